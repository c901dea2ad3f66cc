/* Integer operations. */
#include "tcg/host/x86_64/gen.h"

enum { D_ADD, D_OR, D_ADC, D_SBB, D_AND, D_SUB, D_XOR, D_CMP };

static unsigned w_of(IrType t) { return t == IRT_I64 ? O_W : 0; }
/* Width of the host operation: exact where flags are wanted, else 8 and 16 bits are done in 32. */
static unsigned op_bytes(const IrInsn *i, IrType t) { return i->fl ? type_bytes(t) : t == IRT_I64 ? 8 : 4; }

/* Flags come out of the instruction just emitted. */
static void flags_out(Gen *g, const IrInsn *i)
{
    g->fl_cur = i->fl;
}

static int alu_digit(unsigned op)
{
    switch (op) {
    case IR_ADD: return D_ADD;
    case IR_SUB: return D_SUB;
    case IR_ADC: return D_ADC;
    case IR_SBB: return D_SBB;
    case IR_AND: return D_AND;
    case IR_OR: return D_OR;
    case IR_XOR: return D_XOR;
    default: return -1;
    }
}

/* dst op= b */
static void alu(Gen *g, int digit, unsigned dst, IrVal b, unsigned bytes)
{
    int32_t imm;
    Mem m;
    if (gen_imm32(g, b, &imm))
        asm_alu_ri(&g->a, (unsigned)digit, dst, imm, bytes);
    else if (gen_in_mem(g, b, &m))
        asm_rm(&g->a, asm_alu_op((unsigned)digit, bytes), dst, m);
    else
        asm_rr(&g->a, asm_alu_op((unsigned)digit, bytes), dst, gen_reg(g, b));
}

static bool reg_is(const Gen *g, IrVal v, unsigned reg)
{
    return (g->loc[v].kind == L_HOME || g->loc[v].kind == L_TEMP) && g->loc[v].reg == reg;
}

unsigned gen_dst_from(Gen *g, IrVal a, IrVal b, IrVal c, unsigned bytes)
{
    unsigned dst = gen_dst(g, a);
    if ((b && a != b && reg_is(g, b, dst)) || (c && a != c && reg_is(g, c, dst)))
        dst = gen_tmp(g);
    gen_reg_into(g, a, dst, bytes);
    return dst;
}

/* The home that the result, of 8 or 16 bits, is put into, if nobody needs what that part of it holds: host instructions of that width leave the rest
 * alone. -1: not so. */
static int low_home(const Gen *g, const IrInsn *i)
{
    unsigned slot = (i->hint & ~(unsigned)IR_HINT_LOW) - 1u;
    if (!(i->hint & IR_HINT_LOW) || i->type > IRT_I16 || !g->slot_home[slot])
        return -1;
    for (unsigned n = 0; n < g->n_alias[slot]; n++)
        if (gen_live_after(g, g->alias[slot][n]))
            return -1;
    return g->slot_home[slot] - 1;
}

/* The same where the first operand is in it and may be operated on in place. */
static int part_home(const Gen *g, const IrInsn *i)
{
    int home = low_home(g, i);
    return home >= 0 && g->loc[i->a].kind == L_HOME && reg_is(g, i->a, (unsigned)home) ? home : -1;
}

/* INC and DEC keep C: ADD/SUB of 1 whose flags are only wanted merged over old ones. */
static IrVal incdec_merge(Gen *g, const IrInsn *i)
{
    int32_t imm;
    IrVal f = i->fl;
    if ((i->op != IR_ADD && i->op != IR_SUB) || !f || g->u->insn[f].uses != 1 || !gen_imm32(g, i->b, &imm) || imm != 1)
        return 0;
    IrVal m = g->u->insn[f].last;
    const IrInsn *fm = &g->u->insn[m];
    if (fm->op != IR_FLMERGE || fm->b != f || !fm->a || (unsigned)fm->imm != (IRFL_ALL & ~IRFL_C) || m <= g->at)
        return 0;
    if (fm->a < g->at)
        return m;
    /* the old flags are fetched in between: fetch them now */
    IrInsn *old = &g->u->insn[fm->a];
    if (old->op != IR_RGET)
        return 0;
    g->loc[fm->a] = (Loc){ L_SLOT, 0, (uint16_t)old->imm };
    gen_alias_add(g, (unsigned)old->imm, fm->a);
    old->op = IR_NOP;
    return m;
}

static bool dies_in_temp(const Gen *g, IrVal v) { return g->loc[v].kind == L_TEMP && !gen_live_after(g, v); }

/* ADD and SUB without flags, into another register than a's: LEA saves the copy and leaves EFLAGS alone. */
static bool lea_wanted(Gen *g, const IrInsn *i)
{
    int32_t imm;
    if (i->fl || i->type < IRT_I32)
        return false;
    if (gen_imm32(g, i->b, &imm))
        return imm != INT32_MIN;
    return i->op == IR_ADD && g->loc[i->b].kind != L_CONST && g->loc[i->a].kind != L_CONST && !dies_in_temp(g, i->a);
}

static void gen_lea_add(Gen *g, IrInsn *i)
{
    int32_t imm;
    bool w = i->type == IRT_I64;
    unsigned a = gen_reg(g, i->a);
    if (gen_imm32(g, i->b, &imm)) {
        unsigned dst = gen_dst(g, i->a);
        asm_lea(&g->a, dst, mem_bd(a, i->op == IR_SUB ? -imm : imm), w);
        gen_def(g, dst);
        return;
    }
    unsigned b = gen_reg(g, i->b), dst = gen_dst(g, i->a);
    asm_lea(&g->a, dst, mem_bid(a, b, 0, 0), w);
    gen_def(g, dst);
}

static void gen_addsub(Gen *g, IrInsn *i)
{
    IrVal m = incdec_merge(g, i);
    unsigned bytes = op_bytes(i, i->type), dst;
    if (m) {
        gen_use_flags(g, g->u->insn[m].a);
        int part = part_home(g, i);
        dst = part >= 0 ? (unsigned)part : gen_dst_from(g, i->a, 0, 0, bytes == 1 ? 4 : bytes);
        asm_rr(&g->a, (bytes == 1 ? 0xfeu | O_BM : 0xffu) | asm_size_bits(bytes), i->op == IR_SUB, dst);
        gen_def(g, dst);
        g->fl_cur = m;
        g->u->insn[m].op = IR_NOP;          /* done here */
        if (g->u->insn[m].last <= g->at)
            g->fl_cur = 0;
        return;
    }
    int part = part_home(g, i);
    if (part >= 0) {
        gen_clobber_flags(g);
        alu(g, alu_digit(i->op), (unsigned)part, i->b, type_bytes(i->type));
        gen_def(g, (unsigned)part);
        flags_out(g, i);
        return;
    }
    if (i->op == IR_ADD && dies_in_temp(g, i->b) && !dies_in_temp(g, i->a)) {
        IrVal t = i->a;
        i->a = i->b;
        i->b = t;
    }
    if (lea_wanted(g, i)) {
        gen_lea_add(g, i);
        return;
    }
    gen_clobber_flags(g);
    dst = gen_dst_from(g, i->a, i->b, 0, bytes);
    alu(g, alu_digit(i->op), dst, i->b, bytes);
    gen_def(g, dst);
    flags_out(g, i);
}

static void gen_logic(Gen *g, IrInsn *i)
{
    unsigned bytes = op_bytes(i, i->type), dst;
    int64_t k;
    gen_clobber_flags(g);
    if (i->op == IR_XOR && i->a == i->b) {
        dst = gen_dst(g, 0);
        asm_rr(&g->a, 0x33, dst, dst);
        if (i->fl && bytes < 4)
            asm_rr(&g->a, asm_alu_op(D_XOR, bytes), dst, dst);
        gen_def(g, dst);
        flags_out(g, i);
        return;
    }
    int part = part_home(g, i);
    if (part >= 0) {
        alu(g, alu_digit(i->op), (unsigned)part, i->b, type_bytes(i->type));
        gen_def(g, (unsigned)part);
        flags_out(g, i);
        return;
    }
    if (i->op == IR_AND && !i->fl && ir_is_const(g->u, i->b, &k) && (k == 0xff || k == 0xffff || k == 0xffffffff)) {
        dst = gen_dst(g, i->a);
        unsigned a = gen_reg(g, i->a);
        asm_rr(&g->a, k == 0xff ? 0xb6u | M_0F | O_BM : k == 0xffff ? 0xb7u | M_0F : 0x8bu, dst, a);
        gen_def(g, dst);
        return;
    }
    if (dies_in_temp(g, i->b) && !dies_in_temp(g, i->a)) {
        IrVal t = i->a;
        i->a = i->b;
        i->b = t;
    }
    dst = gen_dst_from(g, i->a, i->b, 0, bytes);
    alu(g, alu_digit(i->op), dst, i->b, bytes);
    gen_def(g, dst);
    flags_out(g, i);
}

static void gen_andn(Gen *g, IrInsn *i)
{
    gen_clobber_flags(g);
    unsigned a = gen_reg(g, i->a), b = gen_reg(g, i->b), dst = gen_dst(g, i->b);
    asm_vrr(&g->a, 0xf2 | M_38 | (i->type == IRT_I64 ? O_W : 0), dst, a, b);
    if (i->fl && type_bytes(i->type) < 4)
        asm_rr(&g->a, asm_size_bits(type_bytes(i->type)) | (i->type == IRT_I8 ? 0x84u | O_B | O_BM : 0x85u), dst, dst);
    gen_def(g, dst);
    flags_out(g, i);
}

static void gen_carry(Gen *g, IrInsn *i)
{
    unsigned bytes = i->fl ? type_bytes(i->type) : i->type == IRT_I64 ? 8 : 4;
    gen_use_flags(g, i->c);
    unsigned dst = gen_dst_from(g, i->a, i->b, 0, bytes);
    alu(g, alu_digit(i->op), dst, i->b, bytes);
    gen_def(g, dst);
    flags_out(g, i);
}

/* ADCX, ADOX; where the host lacks them the flag goes through C, and back into a packed copy. */
static void gen_adx(Gen *g, IrInsn *i)
{
    unsigned bytes = type_bytes(i->type), bit = i->aux ? 0 : 8;    /* of IRFL_V, IRFL_C */
    if (g->ctx->host_has & HOST_ADX) {
        gen_use_flags(g, i->c);
        unsigned dst = gen_dst_from(g, i->a, i->b, 0, bytes);
        asm_rr(&g->a, 0xf6u | M_38 | (i->aux ? P_F3 : P_66) | w_of(i->type), dst, gen_reg(g, i->b));
        gen_def(g, dst);
        flags_out(g, i);
        return;
    }
    unsigned old = gen_pack_flags(g, i->c);
    gen_clobber_flags(g);
    g->locked |= 1u << old;
    unsigned carry = gen_tmp(g);
    asm_mov_rr(&g->a, carry, old, false);
    asm_alu_ri(&g->a, D_AND, carry, IRFL_ALL & ~(1 << bit), 4);
    asm_rr(&g->a, 0xba | M_0F, 4, old);         /* bt */
    a8(&g->a, bit);
    unsigned dst = gen_dst_from(g, i->a, i->b, 0, bytes);
    alu(g, D_ADC, dst, i->b, bytes);
    asm_rr(&g->a, 0x92 | M_0F | O_BM, 0, old);  /* setc */
    asm_rr(&g->a, 0xb6 | M_0F | O_BM, old, old);
    if (bit) {
        asm_rr(&g->a, 0xc1, 4, old);            /* shl */
        a8(&g->a, bit);
    }
    asm_rr(&g->a, 0x0b, carry, old);
    gen_def(g, dst);
    if (i->fl)
        gen_def_val(g, i->fl, carry);
}

static void gen_negnot(Gen *g, IrInsn *i)
{
    unsigned bytes = op_bytes(i, i->type);
    if (i->op == IR_NEG)
        gen_clobber_flags(g);
    int part = part_home(g, i);
    if (part >= 0)
        bytes = type_bytes(i->type);
    unsigned dst = part >= 0 ? (unsigned)part : gen_dst_from(g, i->a, 0, 0, bytes);
    asm_rr(&g->a, (bytes == 1 ? 0xf6u | O_BM : 0xf7u) | asm_size_bits(bytes), i->op == IR_NEG ? 3 : 2, dst);
    gen_def(g, dst);
    if (i->op == IR_NEG)
        flags_out(g, i);
}

static unsigned shift_digit(unsigned op)
{
    static const uint8_t d[] = { [IR_SHL] = 4, [IR_SHR] = 5, [IR_SAR] = 7, [IR_ROL] = 0, [IR_ROR] = 1, [IR_RCL] = 2, [IR_RCR] = 3 };
    return d[op];
}

/* Is the host's masking of the count meant, or does it not show because the count is below the width? */
static bool host_masks(const Gen *g, const IrInsn *i, unsigned bits)
{
    const IrInsn *c = &g->u->insn[i->b];
    int64_t k;
    if (i->aux)
        return true;
    if (c->op == IR_CONST)
        return (uint8_t)c->imm < bits;
    return c->op == IR_AND && ir_is_const(g->u, c->b, &k) && k >= 0 && k < bits;
}

/* SHL SHR SAR by a variable without flags, 32 and 64 bits: BMI2. Counts of the width and more are patched in. */
static bool shift_bmi2(Gen *g, IrInsn *i)
{
    unsigned bits = 8 * type_bytes(i->type);
    if (i->fl || i->type < IRT_I32 || i->op > IR_SAR || !host_masks(g, i, bits) || g->u->insn[i->b].op == IR_CONST)
        return false;
    unsigned pfx = i->op == IR_SHL ? P_66 : i->op == IR_SHR ? P_F2 : P_F3;
    unsigned a = gen_reg(g, i->a), n = gen_reg(g, i->b), dst = gen_dst(g, i->a);
    asm_vrr(&g->a, 0xf7 | M_38 | pfx | w_of(i->type), dst, n, a);
    gen_def(g, dst);
    return true;
}

static void shift_const(Gen *g, IrInsn *i, unsigned bytes, unsigned n)
{
    bool rot = i->op >= IR_ROL;
    if (!rot && n >= 8 * bytes && bytes >= 4) {    /* the host would mask it */
        unsigned dst = gen_dst_from(g, i->a, 0, 0, bytes);
        if (i->op == IR_SAR) {
            asm_rr(&g->a, 0xc1 | asm_size_bits(bytes), 7, dst);
            a8(&g->a, 8 * bytes - 1);
        } else {
            asm_rr(&g->a, 0x33, dst, dst);
        }
        gen_def(g, dst);
        flags_out(g, i);
        return;
    }
    int part = part_home(g, i);
    unsigned dst = part >= 0 ? (unsigned)part : gen_dst_from(g, i->a, 0, 0, bytes);
    unsigned sz = (bytes == 1 ? 0xc0u | O_BM : 0xc1u) | asm_size_bits(bytes);
    if (n == 1) {
        asm_rr(&g->a, (bytes == 1 ? 0xd0u | O_BM : 0xd1u) | asm_size_bits(bytes), shift_digit(i->op), dst);
    } else {
        asm_rr(&g->a, sz, shift_digit(i->op), dst);
        a8(&g->a, n > 31 && bytes < 4 ? 31 : n);
    }
    gen_def(g, dst);
    flags_out(g, i);
}

static void gen_shift(Gen *g, IrInsn *i)
{
    unsigned bytes = type_bytes(i->type);
    int64_t k;
    if (shift_bmi2(g, i))
        return;
    bool is_const = ir_is_const(g->u, i->b, &k);
    if (is_const && !(uint8_t)k && !i->fl) {
        unsigned a = gen_reg(g, i->a), dst = gen_dst(g, i->a);
        if (dst != a || bytes == 4)            /* a result of 32 bits is zero-extended: zero_extends() */
            asm_mov_rr(&g->a, dst, a, bytes == 8);
        gen_def(g, dst);
        return;
    }
    /* flags in: C for rotates through carry; all of them where the count may be 0 or the operation leaves some alone */
    if (i->c)
        gen_use_flags(g, i->c);
    else
        gen_clobber_flags(g);
    if (is_const) {
        shift_const(g, i, bytes, (uint8_t)k);
        return;
    }
    if (!reg_is(g, i->b, RCX)) {
        gen_take(g, RCX);
        gen_reg_into(g, i->b, RCX, 4);
    } else {
        g->locked |= 1u << RCX;
    }
    unsigned dst = gen_dst(g, i->a);
    if (dst == RCX || (i->a != i->b && reg_is(g, i->b, dst)))
        dst = gen_tmp(g);
    gen_reg_into(g, i->a, dst, bytes);
    if (i->op <= IR_SAR && i->op >= IR_SHL && !i->c && bytes >= 4 && !host_masks(g, i, 8 * bytes)) {
        /* counts beyond the host's mask: clamp (SAR) or clear */
        unsigned digit = shift_digit(i->op);
        asm_alu_ri(&g->a, D_CMP, RCX, (int)(8 * bytes), 1);
        uint8_t *small = asm_jcc8(&g->a, 2);
        if (i->op == IR_SAR) {
            asm_rr(&g->a, 0xc1 | asm_size_bits(bytes), 7, dst);
            a8(&g->a, 8 * bytes - 1);
        } else {
            asm_rr(&g->a, 0x33, dst, dst);
        }
        a8(&g->a, 0xeb);
        a8(&g->a, 0);
        uint8_t *end = g->a.p;
        asm_patch8(&g->a, small);
        asm_rr(&g->a, 0xd3 | asm_size_bits(bytes), digit, dst);
        asm_patch8(&g->a, end);
    } else {
        asm_rr(&g->a, (bytes == 1 ? 0xd2u | O_BM : 0xd3u) | asm_size_bits(bytes), shift_digit(i->op), dst);
    }
    gen_def(g, dst);
    flags_out(g, i);
}

static void gen_double_shift(Gen *g, IrInsn *i)
{
    unsigned bytes = type_bytes(i->type);
    int64_t k;
    bool is_const = ir_is_const(g->u, i->c, &k);
    if (i->d)
        gen_use_flags(g, i->d);
    else
        gen_clobber_flags(g);
    if (!is_const) {
        if (!reg_is(g, i->c, RCX)) {
            gen_take(g, RCX);
            gen_reg_into(g, i->c, RCX, 4);
        }
        g->locked |= 1u << RCX;
    }
    unsigned b = gen_reg(g, i->b), dst = gen_dst(g, i->a);
    if (dst == RCX || dst == b)
        dst = gen_tmp(g);
    gen_reg_into(g, i->a, dst, 8);
    asm_rr(&g->a, (i->op == IR_SHLD ? 0xa4u : 0xacu) + !is_const + (M_0F | asm_size_bits(bytes)), b, dst);
    if (is_const)
        a8(&g->a, (unsigned)k);
    gen_def(g, dst);
    flags_out(g, i);
}

static void gen_bits(Gen *g, IrInsn *i)
{
    unsigned bytes = type_bytes(i->type), w = w_of(i->type), dst, a;
    switch (i->op) {
    case IR_BSWAP:
        if (bytes == 2)
            gen_clobber_flags(g);
        dst = gen_dst_from(g, i->a, 0, 0, 8);
        if (bytes == 2) {
            asm_rr(&g->a, 0xc1 | P_66, 0, dst);
            a8(&g->a, 8);
        } else {
            asm_prefixes(&g->a, (0xc8u + (dst & 7)) | M_0F | w, 0, NOREG, dst, false);
        }
        break;
    case IR_PDEP: case IR_PEXT:
        a = gen_reg(g, i->a);
        unsigned b = gen_reg(g, i->b);
        dst = gen_dst(g, i->a);
        asm_vrr(&g->a, 0xf5 | M_38 | (i->op == IR_PDEP ? P_F2 : P_F3) | w, dst, a, b);
        break;
    default:                   /* CLZ CTZ POPCNT; below 32 bits on a widened copy */
        gen_clobber_flags(g);
        a = gen_reg(g, i->a);
        dst = gen_dst(g, i->a);
        unsigned opc = (i->op == IR_POPCNT ? 0xb8u : i->op == IR_CLZ ? 0xbdu : 0xbcu) | M_0F | P_F3;
        if (bytes == 1) {
            asm_rr(&g->a, 0xb6 | M_0F | O_BM, dst, a);
            if (i->op == IR_CTZ)
                asm_alu_ri(&g->a, D_OR, dst, 0x100, 4);
            asm_rr(&g->a, opc, dst, dst);
            if (i->op == IR_CLZ)
                asm_alu_ri(&g->a, D_SUB, dst, 24, 4);
        } else if (bytes == 2) {
            a8(&g->a, 0x66);
            asm_rr(&g->a, opc, dst, a);
        } else {
            asm_rr(&g->a, opc | w, dst, a);
        }
        gen_def(g, dst);
        flags_out(g, i);
        return;
    }
    gen_def(g, dst);
}

/* BMI1 and BMI2 with the guest's own flags. */
static void gen_bmi(Gen *g, IrInsn *i)
{
    unsigned w = w_of(i->type);
    gen_clobber_flags(g);
    unsigned a = gen_reg(g, i->a), b = i->op == IR_BZHI ? gen_reg(g, i->b) : 0, dst = gen_dst(g, i->a);
    if (i->op == IR_BZHI)
        asm_vrr(&g->a, 0xf5 | M_38 | w, dst, b, a);
    else
        asm_vrr(&g->a, 0xf3 | M_38 | w, i->aux, dst, a);
    gen_def(g, dst);
    flags_out(g, i);
}

static void gen_crc32(Gen *g, IrInsn *i)
{
    unsigned bytes = type_bytes(i->aux);
    unsigned b = gen_reg(g, i->b), dst = gen_dst_from(g, i->a, i->b, 0, 4);
    if (bytes == 2)
        a8(&g->a, 0x66);
    asm_rr(&g->a, (bytes == 1 ? 0xf0u | O_BM : 0xf1u) | M_38 | P_F2 | (bytes == 8 ? O_W : 0), dst, b);
    gen_def(g, dst);
}

static void extend(Gen *g, unsigned dst, unsigned src, IrType from, bool sign, bool w)
{
    unsigned W = w && sign ? O_W : 0;
    switch (from) {
    case IRT_I8: asm_rr(&g->a, (sign ? 0xbeu : 0xb6u) | M_0F | O_BM | W, dst, src); break;
    case IRT_I16: asm_rr(&g->a, (sign ? 0xbfu : 0xb7u) | M_0F | W, dst, src); break;
    default: asm_rr(&g->a, sign && w ? 0x63u | O_W : 0x8bu, dst, src); break;
    }
}

static void gen_ext(Gen *g, IrInsn *i)
{
    unsigned a = gen_reg(g, i->a), dst = gen_dst(g, i->a);
    extend(g, dst, a, i->aux, i->op == IR_SEXT, i->type == IRT_I64);
    gen_def(g, dst);
}

static void gen_extract(Gen *g, IrInsn *i)
{
    unsigned pos = i->imm & 255, len = (unsigned)i->imm >> 8;
    unsigned a = gen_reg(g, i->a), dst;
    if (!pos && (len == 8 || len == 16 || len == 32)) {
        dst = gen_dst(g, i->a);
        extend(g, dst, a, len == 8 ? IRT_I8 : len == 16 ? IRT_I16 : IRT_I32, false, false);
        gen_def(g, dst);
        return;
    }
    gen_clobber_flags(g);
    a = gen_reg(g, i->a);
    dst = gen_dst(g, i->a);
    if (dst != a)
        asm_mov_rr(&g->a, dst, a, true);
    if (pos) {
        asm_rr(&g->a, 0xc1 | O_W, 5, dst);
        a8(&g->a, pos);
    }
    if (len == 8 || len == 16 || len == 32) {
        extend(g, dst, dst, len == 8 ? IRT_I8 : len == 16 ? IRT_I16 : IRT_I32, false, false);
    } else if (len < 31) {
        asm_alu_ri(&g->a, D_AND, dst, (int32_t)((1u << len) - 1), 4);
    } else if (len < 64) {
        asm_rr(&g->a, 0xc1 | O_W, 4, dst);
        a8(&g->a, 64 - len);
        asm_rr(&g->a, 0xc1 | O_W, 5, dst);
        a8(&g->a, 64 - len);
    }
    gen_def(g, dst);
}

static void gen_deposit(Gen *g, IrInsn *i)
{
    unsigned pos = i->imm & 255, len = (unsigned)i->imm >> 8;
    gen_clobber_flags(g);
    unsigned b = gen_reg(g, i->b);
    unsigned dst = gen_dst_from(g, i->a, i->b, 0, 8);
    if (i->a == i->b) {
        b = gen_tmp(g);
        asm_mov_rr(&g->a, b, dst, true);
    }
    if (len == 8 || len == 16) {
        if (pos) {
            asm_rr(&g->a, 0xc1 | O_W, 1, dst);
            a8(&g->a, pos);
        }
        asm_rr(&g->a, len == 8 ? 0x8au | O_B | O_BM : 0x8bu | P_66, dst, b);
        if (pos) {
            asm_rr(&g->a, 0xc1 | O_W, 0, dst);
            a8(&g->a, pos);
        }
    } else if (pos + len <= 31) {      /* dst & ~mask | b << pos & mask */
        unsigned t = gen_tmp(g);
        uint32_t mask = ((1u << len) - 1) << pos;
        asm_mov_rr(&g->a, t, b, true);
        if (pos) {
            asm_rr(&g->a, 0xc1, 4, t);
            a8(&g->a, pos);
        }
        asm_rr(&g->a, 0x81, 4, t);
        a32(&g->a, mask);
        asm_rr(&g->a, 0x81 | O_W, 4, dst);
        a32(&g->a, ~mask);
        asm_rr(&g->a, 0x0b | O_W, dst, t);
    } else {
        /* dst ^= ((dst >> pos ^ b) & mask) << pos */
        unsigned t = gen_tmp(g);
        asm_mov_rr(&g->a, t, dst, true);
        asm_rr(&g->a, 0xc1 | O_W, 5, t);
        a8(&g->a, pos);
        asm_rr(&g->a, 0x33 | O_W, t, b);
        asm_rr(&g->a, 0xc1 | O_W, 4, t);
        a8(&g->a, 64 - len);
        if (pos + len < 64) {
            asm_rr(&g->a, 0xc1 | O_W, 5, t);
            a8(&g->a, 64 - len - pos);
        }
        asm_rr(&g->a, 0x33 | O_W, dst, t);
    }
    gen_def(g, dst);
}

static void gen_lea(Gen *g, IrInsn *i)
{
    if (gen_defer_lea(g, i))
        return;
    unsigned a = i->a ? gen_reg(g, i->a) : NOREG, b = i->b ? gen_reg(g, i->b) : NOREG;
    unsigned dst = gen_dst(g, i->a ? i->a : i->b);
    bool w = i->type == IRT_I64;
    if (a == NOREG && i->aux) {          /* no base: modrm mod 0, SIB base 5, disp32 */
        asm_prefixes(&g->a, 0x8d | (w ? O_W : 0), dst, b, NOREG, false);
        a8(&g->a, (dst & 7) << 3 | 4);
        a8(&g->a, i->aux << 6 | (b & 7) << 3 | 5);
        a32(&g->a, (uint32_t)i->imm);
    } else if (a == NOREG) {
        asm_lea(&g->a, dst, mem_bd(b, (int32_t)i->imm), w);
    } else if (b == NOREG) {
        asm_lea(&g->a, dst, mem_bd(a, (int32_t)i->imm), w);
    } else {
        asm_lea(&g->a, dst, mem_bid(a, b, i->aux, (int32_t)i->imm), w);
    }
    gen_def(g, dst);
}

/* ---- flags ---- */
static void gen_compare(Gen *g, IrInsn *i)
{
    unsigned bytes = type_bytes(i->aux);
    int32_t imm;
    Mem m;
    gen_clobber_flags(g);
    if (i->op == IR_CMP && gen_imm32(g, i->b, &imm) && imm == 0) {
        unsigned a = gen_reg(g, i->a);
        asm_rr(&g->a, (bytes == 1 ? 0x84u | O_B | O_BM : 0x85u) | asm_size_bits(bytes), a, a);
    } else if (i->op == IR_CMP) {
        if (gen_imm32(g, i->b, &imm) && gen_in_mem(g, i->a, &m))
            asm_alu_mi(&g->a, D_CMP, m, imm, bytes);
        else
            alu(g, D_CMP, gen_reg(g, i->a), i->b, bytes);
    } else if (gen_imm32(g, i->b, &imm)) {
        asm_rr(&g->a, (bytes == 1 ? 0xf6u | O_BM : 0xf7u) | asm_size_bits(bytes), 0, gen_reg(g, i->a));
        if (bytes == 1)
            a8(&g->a, (unsigned)imm);
        else if (bytes == 2)
            (a8(&g->a, (unsigned)imm), a8(&g->a, (unsigned)imm >> 8));
        else
            a32(&g->a, (uint32_t)imm);
    } else {
        unsigned a = gen_reg(g, i->a), b = gen_reg(g, i->b);
        asm_rr(&g->a, (bytes == 1 ? 0x84u | O_B | O_BM : 0x85u) | asm_size_bits(bytes), b, a);
    }
    gen_set_flags(g, (IrVal)g->at);
}

static void gen_bt(Gen *g, IrInsn *i)
{
    int64_t k;
    unsigned bytes = type_bytes(i->aux) < 4 ? 4 : type_bytes(i->aux), bits = 8 * type_bytes(i->aux);
    if (i->c)
        gen_use_flags(g, i->c);      /* BT leaves Z alone; the manual calls N V A P undefined, hardware keeps them */
    else
        gen_clobber_flags(g);
    unsigned a = gen_reg(g, i->a);
    if (ir_is_const(g->u, i->b, &k)) {
        asm_rr(&g->a, 0xba | M_0F | asm_size_bits(bytes), 4, a);
        a8(&g->a, (unsigned)k & (bits - 1));
    } else if (bits >= 16) {
        asm_rr(&g->a, 0xa3 | M_0F | asm_size_bits(bits / 8), gen_reg(g, i->b), a);
    } else {
        GEN_FAIL(g);            /* no guest has it */
    }
    gen_set_flags(g, (IrVal)g->at);
}

static void gen_flmerge(Gen *g, IrInsn *i)
{
    unsigned mask = (unsigned)i->imm & IRFL_ALL;
    if (g->fl_cur != i->a && g->fl_cur != i->b)
        gen_clobber_flags(g);
    unsigned a = gen_pack_flags(g, i->a);
    g->locked |= 1u << a;
    unsigned b;
    if (g->loc[i->b].kind == L_NONE && a == RAX) {   /* both want RAX: move the first */
        unsigned t = gen_tmp(g);
        asm_mov_rr(&g->a, t, RAX, false);
        g->loc[i->a] = (Loc){ L_TEMP, (uint8_t)t, 0 };
        g->reg_val[t] = i->a;
        g->reg_val[RAX] = 0;
        g->locked &= ~(1u << RAX);
        a = t;
    }
    b = gen_pack_flags(g, i->b);
    if (g->loc[i->a].kind == L_TEMP)
        a = g->loc[i->a].reg;
    g->fl_cur = 0;             /* packed by now, if it was one of the two */
    unsigned t1 = gen_tmp(g), t2 = gen_tmp(g);
    asm_mov_rr(&g->a, t1, a, false);
    asm_mov_rr(&g->a, t2, b, false);
    asm_alu_ri(&g->a, D_AND, t1, (int32_t)(IRFL_ALL & ~mask), 4);
    asm_alu_ri(&g->a, D_AND, t2, (int32_t)mask, 4);
    asm_rr(&g->a, 0x0b, t1, t2);
    gen_def(g, t1);
}

static void gen_flpack(Gen *g, IrInsn *i)
{
    unsigned p = gen_pack_flags(g, i->a), dst = gen_tmp(g);
    asm_rr(&g->a, 0xb7 | M_0F, dst, p);
    gen_def(g, dst);
}

static void gen_flunpack(Gen *g, IrInsn *i)
{
    int64_t k;
    if (ir_is_const(g->u, i->a, &k)) {
        i->imm = k & IRFL_ALL;
        g->loc[g->at] = (Loc){ L_CONST, 0, 0 };
        return;
    }
    gen_clobber_flags(g);
    unsigned dst = gen_tmp(g);
    gen_reg_into(g, i->a, dst, 4);
    asm_alu_ri(&g->a, D_AND, dst, IRFL_ALL, 4);
    gen_def(g, dst);
}

static void gen_cond(Gen *g, IrInsn *i)
{
    gen_look_at_flags(g, i->a);
    int low = low_home(g, i);
    unsigned dst = low >= 0 ? (unsigned)low : gen_dst(g, 0);
    asm_rr(&g->a, 0x90u | i->aux | M_0F | O_BM, 0, dst);
    gen_def(g, dst);
}

static void gen_select(Gen *g, IrInsn *i)
{
    gen_look_at_flags(g, i->a);
    unsigned w = w_of(i->type);
    unsigned b = gen_reg(g, i->b);
    unsigned dst = gen_dst(g, i->c);
    if (dst == b && i->b != i->c)
        dst = gen_tmp(g);
    gen_reg_into(g, i->c, dst, w ? 8 : 4);
    asm_rr(&g->a, 0x40u | i->aux | M_0F | w, dst, b);
    gen_def(g, dst);
}

bool gen_int(Gen *g, IrInsn *i)
{
    switch (i->op) {
    case IR_ADD: case IR_SUB: gen_addsub(g, i); return true;
    case IR_AND: case IR_OR: case IR_XOR: gen_logic(g, i); return true;
    case IR_ANDN: gen_andn(g, i); return true;
    case IR_ADC: case IR_SBB: gen_carry(g, i); return true;
    case IR_ADX: gen_adx(g, i); return true;
    case IR_NEG: case IR_NOT: gen_negnot(g, i); return true;
    case IR_SHL: case IR_SHR: case IR_SAR: case IR_ROL: case IR_ROR: case IR_RCL: case IR_RCR: gen_shift(g, i); return true;
    case IR_SHLD: case IR_SHRD: gen_double_shift(g, i); return true;
    case IR_MUL: case IR_MULU: case IR_MULS: case IR_DIVU: case IR_DIVS: gen_muldiv(g, i); return true;
    case IR_BSWAP: case IR_PDEP: case IR_PEXT: case IR_CLZ: case IR_CTZ: case IR_POPCNT: gen_bits(g, i); return true;
    case IR_BZHI: case IR_BLS: gen_bmi(g, i); return true;
    case IR_CRC32C: gen_crc32(g, i); return true;
    case IR_ZEXT: case IR_SEXT:
        if (type_vec(i->type))
            return false;
        gen_ext(g, i);
        return true;
    case IR_EXTRACT: gen_extract(g, i); return true;
    case IR_DEPOSIT: gen_deposit(g, i); return true;
    case IR_LEA: gen_lea(g, i); return true;
    case IR_CMP: case IR_TEST: gen_compare(g, i); return true;
    case IR_BT: gen_bt(g, i); return true;
    case IR_FLMERGE: gen_flmerge(g, i); return true;
    case IR_FLPACK: gen_flpack(g, i); return true;
    case IR_FLUNPACK: gen_flunpack(g, i); return true;
    case IR_COND: gen_cond(g, i); return true;
    case IR_SELECT: gen_select(g, i); return true;
    case IR_FLAGS: case IR_HI: return true;   /* defined with their parent */
    default: return false;
    }
}
