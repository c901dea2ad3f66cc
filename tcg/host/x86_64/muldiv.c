/* Multiplication and division. */
#include "tcg/host/x86_64/gen.h"

enum { CMP = 7 };

static unsigned w_of(IrType t) { return t == IRT_I64 ? O_W : 0; }
static void flags_out(Gen *g, const IrInsn *i) { g->fl_cur = i->fl; }

static void gen_mul_low(Gen *g, IrInsn *i)
{
    int32_t imm;
    Mem m;
    gen_clobber_flags(g);
    unsigned w = w_of(i->type);
    if (gen_imm32(g, i->b, &imm)) {
        unsigned a = gen_reg(g, i->a), dst = gen_dst(g, i->a);
        asm_rr(&g->a, (imm == (int8_t)imm ? 0x6bu : 0x69u) | w, dst, a);
        if (imm == (int8_t)imm)
            a8(&g->a, (unsigned)imm);
        else
            a32(&g->a, (uint32_t)imm);
        gen_def(g, dst);
        return;
    }
    unsigned dst = gen_dst_from(g, i->a, i->b, 0, 8);
    if (gen_in_mem(g, i->b, &m))
        asm_rm(&g->a, 0xaf | M_0F | w, dst, m);
    else
        asm_rr(&g->a, 0xaf | M_0F | w, dst, gen_reg(g, i->b));
    gen_def(g, dst);
}

/* IMUL r, r/m gives low half and flags in one instruction where nobody wants the high half. */
static bool imul_two(Gen *g, IrInsn *i)
{
    if (i->op != IR_MULS || i->hi || i->type == IRT_I8)
        return false;
    int32_t imm;
    Mem m;
    unsigned sz = asm_size_bits(type_bytes(i->type)), dst;
    gen_clobber_flags(g);
    if (i->type >= IRT_I32 && gen_imm32(g, i->b, &imm)) {
        unsigned a = gen_reg(g, i->a);
        dst = gen_dst(g, i->a);
        asm_rr(&g->a, (imm == (int8_t)imm ? 0x6bu : 0x69u) | sz, dst, a);
        if (imm == (int8_t)imm)
            a8(&g->a, (unsigned)imm);
        else
            a32(&g->a, (uint32_t)imm);
    } else {
        dst = gen_dst_from(g, i->a, i->b, 0, 8);
        if (i->type == IRT_I64 && gen_in_mem(g, i->b, &m))
            asm_rm(&g->a, 0xaf | M_0F | sz, dst, m);
        else
            asm_rr(&g->a, 0xaf | M_0F | sz, dst, gen_reg(g, i->b));
    }
    gen_def(g, dst);
    flags_out(g, i);
    return true;
}

static bool in_rdx(const Gen *g, IrVal v) { return g->loc[v].kind == L_TEMP && g->loc[v].reg == RDX; }

/* MULX leaves EFLAGS alone and both halves where they are wanted. */
static bool mulx(Gen *g, IrInsn *i)
{
    if (i->op != IR_MULU || i->fl || !i->hi || i->type < IRT_I32)
        return false;
    enum { MULX = 0xf6 | M_38 | P_F2 };
    if (in_rdx(g, i->b)) {                 /* where one factor must be, and it stays */
        IrVal t = i->a;
        i->a = i->b;
        i->b = t;
    }
    bool there = in_rdx(g, i->a), low = i->uses > 1;
    if (there) {
        g->locked |= 1u << RDX;
    } else {
        gen_take(g, RDX);
        gen_reg_into(g, i->a, RDX, 8);
    }
    Mem m;
    bool mem = i->b != i->a && i->type == IRT_I64 && gen_in_mem(g, i->b, &m);
    unsigned b = i->b == i->a ? RDX : mem ? NOREG : gen_reg(g, i->b), lo = low ? gen_dst(g, 0) : NOREG;
    if (low)
        g->locked |= 1u << lo;
    unsigned hi = gen_tmp(g);
    if (mem)
        asm_vrm(&g->a, MULX | w_of(i->type), hi, low ? lo : hi, m);
    else
        asm_vrr(&g->a, MULX | w_of(i->type), hi, low ? lo : hi, b);     /* one register for both: the high half */
    if (!there)
        g->reg_val[RDX] = 0;
    if (low)
        gen_def(g, lo);
    gen_def_val(g, i->hi, hi);
    return true;
}

static void gen_mul_wide(Gen *g, IrInsn *i)
{
    unsigned bytes = type_bytes(i->type);
    if (imul_two(g, i) || mulx(g, i))
        return;
    gen_clobber_flags(g);
    gen_take(g, RAX);
    gen_take(g, RDX);
    gen_reg_into(g, i->a, RAX, 8);
    unsigned b = i->b == i->a ? RAX : gen_reg(g, i->b);
    asm_rr(&g->a, (bytes == 1 ? 0xf6u | O_BM : 0xf7u) | asm_size_bits(bytes), i->op == IR_MULS ? 5 : 4, b);
    if (bytes == 1) {          /* AX = product: high half moves to DL; MOVZX and LEA-like moves keep flags */
        a8(&g->a, 0x0f);
        a8(&g->a, 0xb6);
        a8(&g->a, 0xd4);       /* movzx edx, ah */
    }
    g->reg_val[RAX] = g->reg_val[RDX] = 0;
    gen_def(g, RAX);
    if (i->hi)
        gen_def_val(g, i->hi, RDX);
    flags_out(g, i);
}

/* Division without a trap: env->arg in, env->ret/ret2 out, overflow as packed flags in arg[3]. General registers only. */
static void slow_div(TcgEnv *env, unsigned bits, bool is_signed)
{
    uint64_t mask = bits == 64 ? ~0ull : (1ull << bits) - 1;
    uint64_t lo = env->arg[0] & mask, hi = env->arg[1] & mask, d = env->arg[2] & mask;
    env->ret = env->ret2 = 0;
    env->arg[3] = IRFL_V;
    unsigned __int128 n = (unsigned __int128)hi << bits | lo;
    if (!d)
        return;
    bool neg_n = is_signed && hi >> (bits - 1) & 1, neg_d = is_signed && d >> (bits - 1) & 1;
    if (neg_n)
        n = ((~n) + 1) & (bits == 64 ? ~(unsigned __int128)0 : ((unsigned __int128)1 << (2 * bits)) - 1);
    if (neg_d)
        d = (~d + 1) & mask;
    /* quotient fits only if n < d << bits: then schoolbook division bit by bit needs no library */
    if ((uint64_t)(n >> bits) >= d)
        return;
    unsigned __int128 r = n >> bits;
    uint64_t q = 0;
    for (unsigned b = bits; b-- > 0;) {
        r = r << 1 | (n >> b & 1);
        if (r >= d) {
            r -= d;
            q |= 1ull << b;
        }
    }
    if (is_signed && q > (mask >> 1) + (neg_n != neg_d))
        return;
    env->ret = (neg_n != neg_d ? ~q + 1 : q) & mask;
    env->ret2 = (neg_n ? (uint64_t)-(int64_t)(uint64_t)r : (uint64_t)r) & mask;
    env->arg[3] = 0;
}

static uint64_t div_helper(void *state, uint64_t env, uint64_t bits, uint64_t is_signed, uint64_t d)
{
    (void)state;
    (void)d;
    slow_div((TcgEnv *)env, (unsigned)bits, is_signed);
    return 0;
}

/* The dividend is its lower half, sign-extended. */
static bool extended(const Gen *g, const IrInsn *i)
{
    const IrInsn *hi = &g->u->insn[i->b];
    int64_t n;
    return i->op == IR_DIVS && hi->op == IR_SAR && hi->type == i->type && hi->a == i->a && ir_is_const(g->u, hi->b, &n) && n == 8 * type_bytes(i->type) - 1;
}

static void div_call(Gen *g, unsigned bytes, bool is_signed)
{
    asm_store(&g->a, ENV(g, arg[0]), RAX, true);
    asm_store(&g->a, ENV(g, arg[1]), RDX, true);
    asm_store(&g->a, ENV(g, arg[2]), RCX, true);
    asm_lea(&g->a, RSI, ENV(g, ctx_id), true);
    asm_mov_imm(&g->a, RDX, 8 * bytes);
    asm_mov_imm(&g->a, RCX, is_signed);
    gen_count(g, g->isa->n_helpers + COUNT_DIV);
    asm_mov_imm(&g->a, RAX, (int64_t)(uintptr_t)div_helper);
    uint8_t *call = (a8(&g->a, 0xe8), a32(&g->a, 0), g->a.p);
    asm_patch_to(&g->a, call, (uint8_t *)g->ctx->thunks[THUNK_CALL] + (g->ctx->rw - g->ctx->rx));
    g->xlive = false;
    asm_load(&g->a, RAX, ENV(g, ret), true);
    asm_load(&g->a, RDX, ENV(g, ret2), true);
    asm_load(&g->a, RSI, ENV(g, arg[3]), true);
}

static void emit(Gen *g, const char *bytes, unsigned n)
{
    while (n--)
        a8(&g->a, (uint8_t)*bytes++);
}

/* 8 and 16 bits by a wider division, which cannot trap; where the divisor is 0 or the quotient too wide, V and zeros. Operands as in gen_div. */
static void narrow_div(Gen *g, bool byte, bool is_signed)
{
    uint8_t *over[2];
    if (byte)
        emit(g, "\x0f\xb6\xc0\xc1\xe2\x08\x09\xd0", 8);          /* movzx eax, al; shl edx, 8; or eax, edx */
    else
        emit(g, "\x0f\xb7\xc0\xc1\xe2\x10\x09\xd0", 8);          /* movzx eax, ax; shl edx, 16; or eax, edx */
    if (is_signed) {
        emit(g, byte ? "\x48\x0f\xbf\xc0" : "\x48\x63\xc0", byte ? 4 : 3);      /* movsx rax, ax; movsxd rax, eax */
        emit(g, byte ? "\x48\x0f\xbe\xc9" : "\x48\x0f\xbf\xc9", 4);           /* movsx rcx, cl; movsx rcx, cx */
    } else {
        if (byte)
            emit(g, "\x0f\xb7\xc0", 3);                             /* movzx eax, ax */
        emit(g, byte ? "\x0f\xb6\xc9" : "\x0f\xb7\xc9", 3);        /* movzx ecx, cl; movzx ecx, cx */
    }
    emit(g, "\x85\xc9", 2);                                          /* test ecx, ecx */
    over[0] = asm_jcc(&g->a, IRC_E);
    if (is_signed) {
        emit(g, "\x48\x99\x48\xf7\xf9", 5);                         /* cqo; idiv rcx */
        emit(g, byte ? "\x48\x0f\xbe\xf0" : "\x48\x0f\xbf\xf0", 4);           /* movsx rsi, al; movsx rsi, ax */
        emit(g, "\x48\x39\xc6", 3);                                  /* cmp rsi, rax */
    } else {
        emit(g, "\x31\xd2\xf7\xf1", 4);                              /* xor edx, edx; div ecx */
        asm_alu_ri(&g->a, CMP, RAX, byte ? 0xff : 0xffff, 4);
    }
    over[1] = asm_jcc(&g->a, is_signed ? IRC_NE : IRC_A);
    emit(g, "\x31\xf6", 2);                                          /* xor esi, esi */
    uint8_t *done = asm_jmp(&g->a);
    asm_patch(&g->a, over[0]);
    asm_patch(&g->a, over[1]);
    emit(g, "\x31\xc0\x31\xd2", 4);                                  /* xor eax, eax; xor edx, edx */
    asm_mov_imm(&g->a, RSI, IRFL_V);
    asm_patch(&g->a, done);
}

/* lo in RAX, hi in RDX, divisor in RCX (all taken). Fast path inline where the quotient surely fits, else a call. */
static void gen_div(Gen *g, IrInsn *i)
{
    unsigned bytes = type_bytes(i->type), sz = asm_size_bits(bytes);
    bool is_signed = i->op == IR_DIVS, sign = bytes >= 4 && extended(g, i);
    gen_clobber_flags(g);
    gen_spill_temps(g);
    gen_spill_vectors(g);
    g->locked |= TEMPS;
    gen_reg_into(g, i->c, RCX, 8);
    gen_reg_into(g, i->a, RAX, 8);
    if (sign)
        asm_prefixes(&g->a, 0x99 | sz, 0, NOREG, NOREG, false);     /* CDQ, CQO */
    else
        gen_reg_into(g, i->b, RDX, 8);
    uint8_t *slow[4] = { 0 };
    unsigned n = 0;
    if (bytes >= 4) {
        if (is_signed) {
            if (!sign) {
                asm_mov_rr(&g->a, RSI, RAX, bytes == 8);
                asm_rr(&g->a, 0xc1 | sz, 7, RSI);
                a8(&g->a, 8 * bytes - 1);
                asm_rr(&g->a, 0x3b | sz, RSI, RDX);
                slow[n++] = asm_jcc(&g->a, IRC_NE);
            }
            asm_lea(&g->a, RSI, mem_bd(RCX, 1), bytes == 8);   /* 0 and -1 go the slow way */
            asm_alu_ri(&g->a, CMP, RSI, 1, bytes);
            slow[n++] = asm_jcc(&g->a, IRC_BE);
        } else {
            asm_rr(&g->a, 0x3b | sz, RDX, RCX);
            slow[n++] = asm_jcc(&g->a, IRC_AE);
        }
        asm_rr(&g->a, 0xf7 | sz, is_signed ? 7 : 6, RCX);
        asm_rr(&g->a, 0x33, RSI, RSI);
        uint8_t *done = asm_jmp(&g->a);
        while (n)
            asm_patch(&g->a, slow[--n]);
        slow[3] = done;
    }
    if (bytes >= 4) {
        div_call(g, bytes, is_signed);
        asm_patch(&g->a, slow[3]);
    } else {
        narrow_div(g, bytes == 1, is_signed);
    }
    gen_def(g, RAX);
    if (i->hi)
        gen_def_val(g, i->hi, RDX);
    if (i->fl)
        gen_def_val(g, i->fl, RSI);
}

void gen_muldiv(Gen *g, IrInsn *i)
{
    if (i->op == IR_MUL)
        gen_mul_low(g, i);
    else if (i->op == IR_MULU || i->op == IR_MULS)
        gen_mul_wide(g, i);
    else
        gen_div(g, i);
}
