/*
 * Guest memory. Fast path (t, u temporaries):
 *     lea t,[addr]; shr t,TLB shift; and t,mask; lea u,[addr+size-1]; and u,-4096; cmp u,[r15+t+tag]; jne slow
 *     mov t,[r15+t+addend]; op [t+addr]
 * An access that crosses into the next page, is misaligned where that faults, or whose page is not mapped for direct
 * access fails the comparison and goes the slow path behind the unit, which calls C and comes back.
 */
#include "tcg/host/x86_64/gen.h"

enum { ENTRY_LOG2 = 5 };
_Static_assert(sizeof(TlbEntry) == 1 << ENTRY_LOG2, "index arithmetic");

static int32_t tlb_disp(unsigned regime, size_t field) { return (int32_t)(regime * TLB_SIZE * sizeof(TlbEntry) + field); }

/* The guest address as a host memory operand without the addend: folds an LEA of base + displacement made for this access only. */
static Mem addr_operand(Gen *g, IrVal v)
{
    return mem_bd(gen_reg(g, v), 0);
}

static Mem mem_add(Mem m, int32_t d) { m.disp += d; return m; }

static unsigned access_regime(const Gen *g, const IrInsn *i)
{
    return i->op == IR_LD || i->op == IR_ST ? (i->aux ? i->aux - 1u : g->regime) : g->regime;
}

static SlowPath *slow_new(Gen *g)
{
    if (g->n_slow >= MAX_SLOW) {
        GEN_FAIL(g);
        g->n_slow = 0;
    }
    SlowPath *s = &g->slow[g->n_slow++];
    memset(s, 0, sizeof(*s));
    s->at = (uint16_t)g->at;
    s->off = g->insn_off;
    for (unsigned x = 0; x < 16; x++)
        if (g->xmm_val[x] && g->u->insn[g->xmm_val[x]].last >= g->at)
            s->xlive |= (uint16_t)(1u << x);
    return s;
}

/* ---- direct memory: the host's MMU is the guest's ---- */
static bool direct(const Gen *g) { return g->ctx->config.direct; }

static Mem direct_mem(const Gen *g, Mem addr)
{
    return g->ctx->config.direct_base ? mem_bid(R15, addr.base, 0, addr.disp) : addr;
}

/* What was emitted since the last note belongs to the guest instruction under way, should the host fault in it. */
static void note_fault(Gen *g)
{
    TcgFaultAt *last = g->n_fault ? &g->fault[g->n_fault - 1] : NULL;
    uint32_t end = (uint32_t)(g->a.p - g->entry);
    if (last && last->off == (int32_t)g->insn_off)
        last->end = end;
    else if (g->n_fault < IR_MAX_INSNS)
        g->fault[g->n_fault++] = (TcgFaultAt){ end, (int32_t)g->insn_off };
    else
        GEN_FAIL(g);
}

/* Where alignment is demanded: the slow path raises. */
static SlowPath *direct_align(Gen *g, const IrInsn *i, Mem addr, unsigned t, bool write)
{
    unsigned size = 1u << (i->mem & IRM_SIZE);
    if (!(i->mem & IRM_ALIGN) || size == 1)
        return NULL;
    asm_lea(&g->a, t, addr, true);
    asm_rr(&g->a, 0xf7, 0, t);
    a32(&g->a, size - 1);
    SlowPath *s = slow_new(g);
    s->from = asm_jcc(&g->a, IRC_NE);
    s->addr = addr;
    s->addr_tmp = (uint8_t)t;
    s->info = (uint32_t)(i->mem | access_regime(g, i) << 8 | (unsigned)write << 12);
    s->type = i->type;
    return s;
}

/* Emits the look-up; afterwards t holds the addend. */
static SlowPath *lookup_size(Gen *g, const IrInsn *i, Mem addr, unsigned t, unsigned u, bool write, unsigned size)
{
    unsigned regime = access_regime(g, i);
    int32_t tag = tlb_disp(regime, write ? offsetof(TlbEntry, wtag) : offsetof(TlbEntry, rtag));
    bool align = i->mem & IRM_ALIGN;

    asm_lea(&g->a, t, addr, false);
    asm_rr(&g->a, 0xc1, 5, t);
    a8(&g->a, TCG_PAGE_BITS - ENTRY_LOG2);
    asm_alu_ri(&g->a, 4, t, (TLB_SIZE - 1) << ENTRY_LOG2, 4);
    asm_lea(&g->a, u, align ? addr : mem_add(addr, (int32_t)size - 1), true);
    asm_alu_ri(&g->a, 4, u, -4096 | (align ? (int32_t)size - 1 : 0), 8);
    asm_rm(&g->a, 0x3b | O_W, u, mem_bid(R15, t, 0, tag));
    SlowPath *s = slow_new(g);
    s->from = asm_jcc(&g->a, IRC_NE);
    asm_load(&g->a, t, mem_bid(R15, t, 0, tlb_disp(regime, offsetof(TlbEntry, addend))), true);
    s->addr = addr;
    s->addr_tmp = (uint8_t)t;
    s->info = (uint32_t)(i->mem | regime << 8 | (unsigned)write << 12);
    s->type = i->type;
    return s;
}

static SlowPath *lookup(Gen *g, const IrInsn *i, Mem addr, unsigned t, unsigned u, bool write)
{
    return lookup_size(g, i, addr, t, u, write, 1u << (i->mem & IRM_SIZE));
}

static void drop_rmw(Gen *g)
{
    if (g->rmw_addr_val)
        g->reg_val[g->rmw_reg] = 0;
    g->rmw_addr_val = 0;
}

/* Load of an integer from host memory m into dst. */
static void int_load(Gen *g, const IrInsn *i, unsigned dst, Mem m)
{
    unsigned size = i->mem & IRM_SIZE;
    bool sign = i->mem & IRM_SIGN, w = i->type == IRT_I64;
    if (size == 3)
        asm_load(&g->a, dst, m, true);
    else if (size == 2)
        asm_rm(&g->a, sign && w ? 0x63u | O_W : 0x8bu, dst, m);
    else
        asm_rm(&g->a, (size ? (sign ? 0xbfu : 0xb7u) : (sign ? 0xbeu : 0xb6u)) | M_0F | (sign && w ? O_W : 0), dst, m);
}

Mem gen_guest_mem(Gen *g, const IrInsn *i, IrVal v, unsigned size, bool write, SlowPath **ret_slow)
{
    *ret_slow = NULL;
    Mem addr = addr_operand(g, v);
    if (direct(g))
        return direct_mem(g, addr);
    drop_rmw(g);
    unsigned t = gen_tmp(g), u = gen_tmp(g);
    SlowPath *s = lookup_size(g, i, addr, t, u, write, size);
    s->info |= size << 16;
    *ret_slow = s;
    return mem_bid(t, addr.base, 0, addr.disp);
}

void gen_note_fault(Gen *g)
{
    if (direct(g))
        note_fault(g);
}

SlowPath *gen_slow_new(Gen *g) { return slow_new(g); }

static void direct_ld(Gen *g, IrInsn *i)
{
    bool vec = type_vec(i->type), align = i->mem & IRM_ALIGN;
    if (align)
        gen_clobber_flags(g);
    Mem addr = addr_operand(g, i->a);
    unsigned t = gen_tmp(g), dst = vec ? gen_xtmp(g) : t;
    SlowPath *s = direct_align(g, i, addr, t, false);
    if (vec) {
        gen_vec_ld(g, i, direct_mem(g, addr), dst);
        gen_xdef(g, dst);
    } else {
        int_load(g, i, dst, direct_mem(g, addr));
        gen_def(g, dst);
    }
    note_fault(g);
    if (s) {
        s->kind = THUNK_LD;
        s->dst = (uint8_t)dst;
        s->is_vec = vec;
        s->back = g->a.p;
    }
}

static void gen_ld(Gen *g, IrInsn *i)
{
    if (direct(g)) {
        direct_ld(g, i);
        return;
    }
    gen_clobber_flags(g);
    drop_rmw(g);
    Mem addr = addr_operand(g, i->a);
    unsigned t = gen_tmp(g), u = gen_tmp(g);
    bool rmw = i->mem & IRM_RMW, vec = type_vec(i->type);
    unsigned x = vec ? gen_xtmp(g) : 0;   /* before the branch: what it spills must happen on both paths */
    SlowPath *s = lookup(g, i, addr, t, u, rmw);
    s->kind = THUNK_LD;
    Mem host = mem_bid(t, addr.base, 0, addr.disp);
    if (vec) {
        gen_vec_ld(g, i, host, x);
        s->dst = (uint8_t)x;
        s->is_vec = true;
        gen_xdef(g, x);
    } else {
        unsigned dst;
        if (rmw) {
            dst = u;           /* t stays: the addend for the store */
        } else {
            g->locked &= ~(1u << t | 1u << u);
            dst = gen_dst(g, 0);
        }
        int_load(g, i, dst, host);
        s->dst = (uint8_t)dst;
        gen_def(g, dst);
    }
    if (rmw) {
        g->rmw_addr_val = i->a;
        g->rmw_reg = (uint8_t)t;
        g->reg_val[t] = 0xffff;
    }
    s->sext = rmw;
    s->back = g->a.p;
}

static void int_store(Gen *g, const IrInsn *i, Mem m)
{
    unsigned size = i->mem & IRM_SIZE;
    int32_t imm;
    if (g->loc[i->b].kind == L_CONST && gen_imm32(g, i->b, &imm)) {
        asm_rm(&g->a, (size ? 0xc7u : 0xc6u) | asm_size_bits(1u << size), 0, m);
        if (size == 0)
            a8(&g->a, (unsigned)imm);
        else if (size == 1)
            (a8(&g->a, (unsigned)imm), a8(&g->a, (unsigned)imm >> 8));
        else
            a32(&g->a, (uint32_t)imm);
        return;
    }
    asm_rm(&g->a, (size ? 0x89u : 0x88u | O_B) | asm_size_bits(1u << size), gen_reg(g, i->b), m);
}

static void direct_st(Gen *g, IrInsn *i)
{
    bool vec = type_vec(i->type);
    int32_t imm;
    if (i->mem & IRM_ALIGN)
        gen_clobber_flags(g);
    Mem addr = addr_operand(g, i->a);
    bool konst = !vec && g->loc[i->b].kind == L_CONST && gen_imm32(g, i->b, &imm);
    unsigned val = vec ? gen_xreg(g, i->b) : konst ? NOREG : gen_reg(g, i->b);
    SlowPath *s = i->mem & IRM_ALIGN ? direct_align(g, i, addr, gen_tmp(g), true) : NULL;
    if (vec)
        gen_vec_st(g, i, direct_mem(g, addr), val);
    else
        int_store(g, i, direct_mem(g, addr));
    note_fault(g);
    if (s) {
        s->kind = THUNK_ST;
        s->is_vec = vec;
        s->dst = (uint8_t)val;
        s->back = g->a.p;
    }
}

static void gen_st(Gen *g, IrInsn *i)
{
    if (direct(g)) {
        direct_st(g, i);
        return;
    }
    bool vec = type_vec(i->type), reuse = g->rmw_addr_val == i->a && g->rmw_addr_val;
    int32_t imm;
    gen_clobber_flags(g);
    reuse = reuse && g->rmw_addr_val;
    Mem addr = addr_operand(g, i->a);
    unsigned val = 0;
    bool konst = !vec && g->loc[i->b].kind == L_CONST && gen_imm32(g, i->b, &imm);
    if (vec)
        val = gen_xreg(g, i->b);
    else if (!konst)
        val = gen_reg(g, i->b);
    unsigned t;
    SlowPath *s;
    reuse = reuse && g->rmw_addr_val;
    if (reuse) {
        t = g->rmw_reg;
        g->locked |= 1u << t;
        asm_rr(&g->a, 0x85 | O_W, t, t);
        s = slow_new(g);
        s->from = asm_jcc(&g->a, IRC_E);
        s->addr = addr;
        s->addr_tmp = (uint8_t)t;
        s->info = (uint32_t)(i->mem | access_regime(g, i) << 8 | 1u << 12);
    } else {
        drop_rmw(g);
        t = gen_tmp(g);
        unsigned u = gen_tmp(g);
        s = lookup(g, i, addr, t, u, true);
    }
    s->kind = THUNK_ST;
    s->is_vec = vec;
    s->type = i->type;
    s->dst = (uint8_t)(konst ? NOREG : val);
    Mem host = mem_bid(t, addr.base, 0, addr.disp);
    if (vec)
        gen_vec_st(g, i, host, val);
    else
        int_store(g, i, host);
    s->back = g->a.p;
    drop_rmw(g);
}

/* Host address of an atomic access into t. The slow path does the whole operation in C and skips to the end. */
static SlowPath *atomic_lookup(Gen *g, IrInsn *i, Mem addr, unsigned t, unsigned u)
{
    SlowPath *s = direct(g) ? direct_align(g, i, addr, t, true) : lookup(g, i, addr, t, u, true);
    if (!s)
        return NULL;
    s->kind = THUNK_RMW;
    s->info |= (uint32_t)i->aux << 16 | (i->op == IR_CAS ? 1u << 24 : 0);
    return s;
}

static Mem atomic_mem(const Gen *g, Mem addr, unsigned t) { return direct(g) ? direct_mem(g, addr) : mem_bid(t, addr.base, 0, addr.disp); }

static void atomic_done(Gen *g, SlowPath *s, unsigned dst, unsigned val)
{
    if (direct(g))
        note_fault(g);
    if (!s)
        return;
    s->dst = (uint8_t)dst;
    s->type = (uint8_t)val;
    s->back = g->a.p;
}

static unsigned locked_op(unsigned base, unsigned bytes) { return (bytes == 1 ? base | O_B : (base + 1)) | asm_size_bits(bytes); }

/* rax = old; again: rcx = f(rax, arg[1]); lock cmpxchg [host], rcx; jne again */
static void armw_loop(Gen *g, const IrInsn *i, Mem host)
{
    static const uint8_t digit[] = { [IRA_SUB] = 5, [IRA_AND] = 4, [IRA_OR] = 1, [IRA_XOR] = 6 };
    unsigned bytes = 1u << (i->mem & IRM_SIZE), W = bytes == 8 ? O_W : 0;
    Mem val = ENV(g, arg[1]);
    asm_rm(&g->a, (bytes == 1 ? 0x8au | O_B : 0x8bu) | asm_size_bits(bytes), RAX, host);
    uint8_t *again = g->a.p;
    asm_mov_rr(&g->a, RCX, RAX, true);
    switch (i->aux) {
    case IRA_SUB: case IRA_AND: case IRA_OR: case IRA_XOR:
        asm_rm(&g->a, asm_alu_op(digit[i->aux], W ? 8 : 4), RCX, val);
        break;
    case IRA_NEG: asm_rr(&g->a, 0xf7 | W, 3, RCX); break;
    case IRA_NOT: asm_rr(&g->a, 0xf7 | W, 2, RCX); break;
    default:
        asm_rm(&g->a, (bytes == 1 ? 0x3au | O_B : 0x3bu) | asm_size_bits(bytes), RAX, val);
        asm_rm(&g->a, 0x40u | M_0F | W | (i->aux == IRA_SMIN ? IRC_G : i->aux == IRA_SMAX ? IRC_L : i->aux == IRA_UMIN ? IRC_A : IRC_B), RCX, val);
        break;
    }
    asm_rm(&g->a, locked_op(0xb0, bytes) | M_0F | O_LOCK, RCX, host);
    a8(&g->a, 0x75);
    a8(&g->a, (unsigned)(again - (g->a.p + 1)));
}

static void gen_armw_simple(Gen *g, IrInsn *i)
{
    unsigned bytes = 1u << (i->mem & IRM_SIZE);
    Mem addr = addr_operand(g, i->a);
    unsigned val = gen_reg(g, i->b), v = gen_tmp(g), t = gen_tmp(g);
    SlowPath *s = atomic_lookup(g, i, addr, t, v);
    asm_mov_rr(&g->a, v, val, true);
    asm_rm(&g->a, i->aux == IRA_XCHG ? locked_op(0x86, bytes) : locked_op(0xc0, bytes) | M_0F | O_LOCK, v, atomic_mem(g, addr, t));
    atomic_done(g, s, v, val);
    gen_def(g, v);
}

static void gen_armw(Gen *g, IrInsn *i)
{
    gen_clobber_flags(g);
    drop_rmw(g);
    if (i->aux == IRA_XCHG || i->aux == IRA_ADD) {
        gen_armw_simple(g, i);
        return;
    }
    gen_spill_temps(g);
    gen_take(g, RAX);
    gen_take(g, RCX);
    if (i->b) {
        gen_reg_into(g, i->b, RCX, 8);
        asm_store(&g->a, ENV(g, arg[1]), RCX, true);
    }
    Mem addr = addr_operand(g, i->a);
    unsigned t = gen_tmp(g);
    SlowPath *s = atomic_lookup(g, i, addr, t, RCX);
    armw_loop(g, i, atomic_mem(g, addr, t));
    atomic_done(g, s, RAX, NOREG);
    gen_def(g, RAX);
}

static void gen_cas(Gen *g, IrInsn *i)
{
    unsigned bytes = 1u << (i->mem & IRM_SIZE);
    gen_clobber_flags(g);
    drop_rmw(g);
    gen_spill_temps(g);
    gen_take(g, RAX);
    gen_reg_into(g, i->b, RAX, 8);
    asm_store(&g->a, ENV(g, arg[2]), RAX, true);
    Mem addr = addr_operand(g, i->a);
    unsigned val = gen_reg(g, i->c), t = gen_tmp(g);
    /* RAX is the look-up's second temporary; the expected value is loaded again behind it */
    SlowPath *s = atomic_lookup(g, i, addr, t, RAX);
    asm_load(&g->a, RAX, ENV(g, arg[2]), true);
    asm_rm(&g->a, locked_op(0xb0, bytes) | M_0F | O_LOCK, val, atomic_mem(g, addr, t));
    atomic_done(g, s, RAX, val);
    gen_def(g, RAX);
}

/* ---- slow paths, behind the unit ---- */
static void call_thunk(Gen *g, unsigned thunk)
{
    a8(&g->a, 0xe8);
    a32(&g->a, 0);
    asm_patch_to(&g->a, g->a.p, (uint8_t *)g->ctx->thunks[thunk] + (g->ctx->rw - g->ctx->rx));
}

/* Vector temporaries around the call: the C code may use any. */
static void slow_vectors(Gen *g, const SlowPath *s, bool save)
{
    for (unsigned x = 0; x < 16; x++)
        if (s->xlive >> x & 1)
            asm_vrm(&g->a, (save ? 0x7fu : 0x6fu) | M_0F | P_F3 | O_L, x, NOREG, gen_env(g, offsetof(TcgEnv, vsave) + 32 * x));
}

void gen_slow_call(Gen *g, const SlowPath *s, unsigned thunk)
{
    slow_vectors(g, s, true);
    call_thunk(g, thunk);
    slow_vectors(g, s, false);
}

void gen_slow_head(Gen *g, const SlowPath *s)
{
    asm_patch(&g->a, s->from);
    asm_lea(&g->a, s->addr_tmp, s->addr, true);
    asm_store(&g->a, ENV(g, arg[0]), s->addr_tmp, true);
    asm_rm(&g->a, 0xc7, 0, ENV(g, cur_off));
    a32(&g->a, (uint32_t)s->off);
    asm_rm(&g->a, 0xc7 | O_W, 0, ENV(g, arg[3]));
    a32(&g->a, s->info);
}

static void slow_ld(Gen *g, const SlowPath *s)
{
    const IrInsn *i = &g->u->insn[s->at];
    gen_slow_head(g, s);
    gen_slow_call(g, s, THUNK_LD);
    if (s->is_vec)
        gen_vec_ld(g, i, ENV(g, vspill[15]), s->dst);
    else
        int_load(g, i, s->dst, ENV(g, ret));
    if (s->sext)
        asm_load(&g->a, s->addr_tmp, ENV(g, ret2), true);
}

static void slow_st(Gen *g, const SlowPath *s)
{
    const IrInsn *i = &g->u->insn[s->at];
    gen_slow_head(g, s);
    if (s->is_vec) {
        gen_vec_st(g, i, (i->mem & IRM_SIZE) > 3 ? ENV(g, vspill[15]) : ENV(g, arg[1]), s->dst);
    } else if (s->dst == NOREG) {
        asm_rm(&g->a, 0xc7 | O_W, 0, ENV(g, arg[1]));
        a32(&g->a, (uint32_t)g->u->insn[i->b].imm);
    } else {
        asm_store(&g->a, ENV(g, arg[1]), s->dst, true);
    }
    gen_slow_call(g, s, THUNK_ST);
}

static void slow_rmw(Gen *g, const SlowPath *s)
{
    gen_slow_head(g, s);
    if (s->type != NOREG)
        asm_store(&g->a, ENV(g, arg[1]), s->type, true);
    gen_slow_call(g, s, THUNK_RMW);
    asm_load(&g->a, s->dst, ENV(g, ret), true);
}

void gen_slow_paths(Gen *g)
{
    for (unsigned n = 0; n < g->n_slow; n++) {
        const SlowPath *s = &g->slow[n];
        g->at = s->at;
        if (s->kind == THUNK_LD)
            slow_ld(g, s);
        else if (s->kind == THUNK_ST)
            slow_st(g, s);
        else if (s->kind == THUNK_RMW)
            slow_rmw(g, s);
        else
            gen_native_slow(g, s);
        uint8_t *j = asm_jmp(&g->a);
        asm_patch_to(&g->a, j, s->back);
    }
}

bool gen_mem(Gen *g, IrInsn *i)
{
    switch (i->op) {
    case IR_LD: gen_ld(g, i); return true;
    case IR_ST: gen_st(g, i); return true;
    case IR_ARMW: gen_armw(g, i); return true;
    case IR_CAS: gen_cas(g, i); return true;
    case IR_FENCE:
        a8(&g->a, 0x0f);
        a8(&g->a, 0xae);
        a8(&g->a, i->aux == IRFENCE_LOAD ? 0xe8 : i->aux == IRFENCE_STORE ? 0xf8 : 0xf0);
        return true;
    default: return false;
    }
}
