/*
 * Guest memory. Fast path (t, u temporaries):
 *     rorx t,addr,TLB shift; and t,mask; lea u,[addr+size-1]; and u,-4096; cmp u,[r15+t+tag]; jne slow
 *     mov t,[r15+t+addend]; op [t+addr]
 * Further accesses nearby in the same block (group.c): test h,h; je slow; op [h+distance]; in a region without the test
 * An access that crosses into the next page, is misaligned where that faults, or whose page is not mapped for direct
 * access fails the comparison and goes the slow path behind the unit, which calls C and comes back.
 */
#include "tcg/host/x86_64/gen.h"

enum { ENTRY_LOG2 = 4 };
_Static_assert(sizeof(TlbEntry) == 1 << ENTRY_LOG2, "index arithmetic");

static int32_t tlb_disp(unsigned regime, bool write, size_t field) { return (int32_t)(tcg_tlb_place(0, write, regime) * sizeof(TlbEntry) + field); }

static Mem mem_add(Mem m, int32_t d) { m.disp += d; return m; }

static unsigned access_regime(const Gen *g, const IrInsn *i)
{
    return i->op == IR_LD || i->op == IR_ST ? (i->aux ? i->aux - 1u : g->regime) : g->regime;
}

static uint32_t only_info(const Gen *g) { return g->only[g->at] ? INFO_ONLY : 0; }

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
    s->flags = gen_flag_source(g);
    s->flags.in_eflags = false;
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

/* The group an access shares a look-up with, or NULL. */
static Group *group_at(Gen *g, unsigned at)
{
    unsigned n = g->group_of[at];
    return n && g->group[n - 1].n > 1 ? &g->group[n - 1] : NULL;
}

static void align_check(Gen *g, SlowPath *s, unsigned size, Mem addr, unsigned w)
{
    if (addr.disp & (int32_t)(size - 1)) {
        asm_lea(&g->a, w, addr, false);
        addr = mem_bd(w, 0);
    }
    asm_rr(&g->a, 0xf6 | O_BM, 0, addr.base);
    a8(&g->a, size - 1);
    s->from2 = asm_jcc(&g->a, IRC_NE);
}

/*
 * Emits the look-up of [@lo, @hi) bytes from @addr (base + displacement); afterwards t holds the addend, w is free. The second byte count
 * is from the address of the first byte of the span: the tag of its page must also be that of the last byte's.
 */
static SlowPath *lookup_span(Gen *g, const IrInsn *i, Mem addr, unsigned t, unsigned w, bool write, int64_t lo, int64_t hi)
{
    unsigned size = i->op == IR_NATIVE ? (unsigned)hi : 1u << (i->mem & IRM_SIZE), regime = access_regime(g, i), first = addr.base;
    int32_t tag = tlb_disp(regime, write, offsetof(TlbEntry, tag));
    bool alone = lo == 0 && hi == size, align = i->mem & IRM_ALIGN;

    gen_count_in(g, g->isa->n_helpers + COUNT_LOOKUP, t);
    bool byte = hi - lo == 1;              /* the first is the last */
    if (addr.disp + lo) {
        first = w;
        asm_lea(&g->a, w, mem_add(addr, (int32_t)lo), byte);
    }
    asm_vrr(&g->a, 0xf0 | M_3A | P_F2, t, NOREG, first);       /* rorx */
    a8(&g->a, TCG_PAGE_BITS - ENTRY_LOG2);
    asm_alu_ri(&g->a, 4, t, (TLB_SIZE - 1) << ENTRY_LOG2, 4);
    Mem last = align && alone ? addr : mem_add(addr, (int32_t)hi - 1);
    if (byte && first == w)
        ;                      /* there already */
    else if (last.disp)
        asm_lea(&g->a, w, last, true);
    else
        asm_mov_rr(&g->a, w, last.base, true);
    asm_alu_ri(&g->a, 4, w, -4096 | (align && alone ? (int32_t)size - 1 : 0), 8);
    asm_rm(&g->a, 0x3b | O_W, w, mem_bid(R15, t, 0, tag));
    SlowPath *s = slow_new(g);
    s->from = asm_jcc(&g->a, IRC_NE);
    if (align && !alone)
        align_check(g, s, size, addr, w);
    asm_load(&g->a, t, mem_bid(R15, t, 0, tlb_disp(regime, write, offsetof(TlbEntry, addend))), true);
    s->addr = addr;
    s->addr_tmp = (uint8_t)t;
    s->info = (uint32_t)(i->mem | regime << 8 | (unsigned)write << 12) | only_info(g);
    s->type = i->type;
    return s;
}

static SlowPath *lookup(Gen *g, const IrInsn *i, Mem addr, unsigned t, unsigned w, bool write)
{
    return lookup_span(g, i, addr, t, w, write, 0, 1 << (i->mem & IRM_SIZE));
}

/* For the result: not what is stored, nor what the slow path makes flags from. */
static void free_part(Gen *g, IrVal v)
{
    const IrInsn *self = &g->u->insn[g->at];
    if (v != self->b && g->loc[v].kind != L_ADDR && !gen_flags_from(g, v))
        gen_free_if_dead(g, v);
}

/* A look-up takes base and displacement; an index is added up before. The value to be stored has its register by now. */
static Mem lookup_operand(Gen *g, IrVal v)
{
    const IrInsn *i = &g->u->insn[v], *self = &g->u->insn[g->at];
    if (g->loc[v].kind != L_ADDR || !i->b)
        return gen_addr_mem(g, v);
    unsigned r = gen_reg(g, v);
    if (self->op == IR_LD || self->op == IR_ST) {
        free_part(g, i->a);
        free_part(g, i->b);
    }
    return mem_bd(r, 0);
}

/* An access that cannot fail any more. */
static bool sure(const Gen *g, const Group *p, const IrInsn *i)
{
    unsigned size = 1u << (i->mem & IRM_SIZE);
    return p && p->leave && p->first != g->at && !(i->mem & IRM_ALIGN && (p->align < size || g->group_off[g->at] & (int32_t)(size - 1)));
}

/* Host address of an access in *ret, by itself or through its group; on the slow path the access is done out of line. NULL: there is none. */
static SlowPath *host_address(Gen *g, const IrInsn *i, bool write, Mem *ret)
{
    Group *p = group_at(g, g->at);
    SlowPath *s;
    if (!p) {
        Mem addr = lookup_operand(g, i->a);
        unsigned t = gen_tmp(g), w = gen_tmp(g);
        s = lookup(g, i, addr, t, w, write);
        g->locked &= ~(1u << w);
        *ret = mem_bid(t, addr.base, 0, addr.disp);
        return s;
    }
    unsigned size = 1u << (i->mem & IRM_SIZE);
    int32_t d = g->group_off[g->at];
    bool align = i->mem & IRM_ALIGN;
    if (p->first == g->at) {
        Mem addr = lookup_operand(g, i->a);
        unsigned t = gen_tmp(g), w = gen_tmp(g);
        Addr places = gen_addr(g, i->a);
        s = lookup_span(g, i, addr, t, w, p->write, p->lo, p->hi);
        s->places = places;
        s->zero_host = !p->leave;
        asm_lea(&g->a, t, mem_bid(t, addr.base, 0, addr.disp), true);
        s->span_back = p->leave ? g->a.p : NULL;
        gen_def_val(g, p->val, t);
        g->locked &= ~(1u << w);
        s->host = (uint8_t)t;
    } else if (sure(g, p, i)) {
        *ret = mem_bd(gen_reg(g, p->val), d);
        return NULL;
    } else {
        bool check = align && (p->align < size || d & (int32_t)(size - 1));
        unsigned t = gen_reg(g, p->val), w = check ? gen_tmp(g) : 0;
        Addr places = gen_addr(g, i->a);
        asm_rr(&g->a, 0x85 | O_W, t, t);
        s = slow_new(g);
        s->from = asm_jcc(&g->a, IRC_E);
        s->places = places;
        s->host = (uint8_t)t;
        if (check) {
            align_check(g, s, size, mem_bd(t, d), w);
            g->locked &= ~(1u << w);
        }
    }
    if (align && !(d & (int32_t)(size - 1)) && p->align < size)
        p->align = (uint8_t)size;
    s->retry = true;
    s->info = (uint32_t)(i->mem | p->regime << 8 | (unsigned)write << 12) | only_info(g);
    s->type = i->type;
    *ret = mem_bd(s->host, d);
    return s;
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
    Mem addr = lookup_operand(g, v);
    if (direct(g))
        return direct_mem(g, addr);
    unsigned t = gen_tmp(g), w = gen_tmp(g);
    SlowPath *s = lookup_span(g, i, addr, t, w, write, 0, size);
    s->info |= size << 16;
    *ret_slow = s;
    return mem_bid(t, addr.base, 0, addr.disp);
}

SlowPath *gen_slow_new(Gen *g) { return slow_new(g); }

/* Where a vector load goes. */
static unsigned load_register(Gen *g, const IrInsn *i, bool *ret_legacy)
{
    int home = i->type == IRT_V128 ? gen_xhint(g, true) : -1;
    *ret_legacy = home >= 0;
    return home >= 0 ? (unsigned)home : gen_xdst(g);
}

/* As the access can name it; a look-up takes less. */
static Mem direct_operand(Gen *g, IrVal v, bool align)
{
    int32_t at;
    if (align || g->ctx->config.direct_base)
        return lookup_operand(g, v);
    if (g->loc[v].kind == L_CONST && gen_imm32(g, v, &at))
        return mem_bd(NOREG, at);
    return gen_addr_mem(g, v);
}

static void direct_ld(Gen *g, IrInsn *i)
{
    bool vec = type_vec(i->type), align = i->mem & IRM_ALIGN;
    if (align)
        gen_clobber_flags(g);
    Mem addr = direct_operand(g, i->a, align);
    bool legacy = false;
    /* a load that faults leaves its register as it was, which may be a home */
    unsigned t = align ? gen_tmp(g) : 0, dst = vec ? load_register(g, i, &legacy) : align ? t : gen_dst(g, 0);
    SlowPath *s = direct_align(g, i, addr, t, false);
    FlagSource f = gen_flag_source(g);
    if (vec) {
        gen_vec_ld(g, i, direct_mem(g, addr), dst, legacy);
        gen_xdef(g, dst, !legacy);
    } else {
        int_load(g, i, dst, direct_mem(g, addr));
        gen_def(g, dst);
    }
    gen_note_fault(g, &f, i->mem & IRM_RMW);
    if (s) {
        s->kind = THUNK_LD;
        s->dst = (uint8_t)dst;
        s->is_vec = vec;
        s->legacy = legacy;
        s->back = g->a.p;
    }
}

static void gen_ld(Gen *g, IrInsn *i)
{
    if (direct(g)) {
        direct_ld(g, i);
        return;
    }
    const Group *p = group_at(g, g->at);
    if (!sure(g, p, i))
        gen_clobber_flags(g);
    bool vec = type_vec(i->type), legacy = false;
    unsigned x = vec ? load_register(g, i, &legacy) : 0;   /* before the branch: what it spills must happen on both paths */
    bool later = p && p->first != g->at && !vec;
    unsigned dst = later ? gen_dst(g, 0) : 0;
    Mem host;
    SlowPath *s = host_address(g, i, i->mem & IRM_RMW, &host);
    if (vec) {
        gen_vec_ld(g, i, host, x, legacy);
        dst = x;
        gen_xdef(g, x, !legacy);
    } else {
        if (s && !s->retry)
            g->locked &= ~(1u << host.base);
        if (!later)            /* one of the look-up's temporaries is free: nothing is spilled here */
            dst = gen_dst(g, 0);
        int_load(g, i, dst, host);
        gen_def(g, dst);
    }
    if (!s)
        return;
    s->kind = THUNK_LD;
    s->dst = (uint8_t)dst;
    s->is_vec = vec;
    s->legacy = legacy;
    s->back = g->a.p;
}

static void store_imm(Gen *g, unsigned size, int32_t imm, Mem m)
{
    asm_rm(&g->a, (size ? 0xc7u : 0xc6u) | asm_size_bits(1u << size), 0, m);
    if (size == 0)
        a8(&g->a, (unsigned)imm);
    else if (size == 1)
        (a8(&g->a, (unsigned)imm), a8(&g->a, (unsigned)imm >> 8));
    else
        a32(&g->a, (uint32_t)imm);
}

static void store_reg(Gen *g, unsigned size, unsigned reg, Mem m)
{
    asm_rm(&g->a, (size ? 0x89u : 0x88u | O_B) | asm_size_bits(1u << size), reg, m);
}

static void int_store(Gen *g, const IrInsn *i, Mem m)
{
    int32_t imm;
    if (g->loc[i->b].kind == L_CONST && gen_imm32(g, i->b, &imm))
        store_imm(g, i->mem & IRM_SIZE, imm, m);
    else
        store_reg(g, i->mem & IRM_SIZE, gen_reg(g, i->b), m);
}

static void direct_st(Gen *g, IrInsn *i)
{
    bool vec = type_vec(i->type);
    int32_t imm;
    if (i->mem & IRM_ALIGN)
        gen_clobber_flags(g);
    bool konst = !vec && g->loc[i->b].kind == L_CONST && gen_imm32(g, i->b, &imm);
    unsigned val = vec ? gen_xreg(g, i->b) : konst ? NOREG : gen_reg(g, i->b);
    Mem addr = direct_operand(g, i->a, i->mem & IRM_ALIGN);
    SlowPath *s = i->mem & IRM_ALIGN ? direct_align(g, i, addr, gen_tmp(g), true) : NULL;
    FlagSource f = gen_flag_source(g);
    if (vec)
        gen_vec_st(g, i, direct_mem(g, addr), val);
    else
        int_store(g, i, direct_mem(g, addr));
    gen_note_fault(g, &f, false);
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
    bool vec = type_vec(i->type);
    int32_t imm;
    if (!sure(g, group_at(g, g->at), i))
        gen_clobber_flags(g);
    bool konst = !vec && g->loc[i->b].kind == L_CONST && gen_imm32(g, i->b, &imm);
    unsigned val = vec ? gen_xreg(g, i->b) : konst ? NOREG : gen_reg(g, i->b);
    Mem host;
    SlowPath *s = host_address(g, i, true, &host);
    if (vec)
        gen_vec_st(g, i, host, val);
    else
        int_store(g, i, host);
    if (!s)
        return;
    s->kind = THUNK_ST;
    s->is_vec = vec;
    s->dst = (uint8_t)val;
    s->back = g->a.p;
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
    gen_note_fault(g, &(FlagSource){ 0 }, false);   /* no put is pending (flags.c): registers change between its accesses */
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
    Mem addr = lookup_operand(g, i->a);
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
    if (i->aux == IRA_XCHG || i->aux == IRA_ADD) {
        gen_armw_simple(g, i);
        return;
    }
    gen_materialise(g, i->a);
    gen_spill_temps(g);
    gen_take(g, RAX);
    gen_take(g, RCX);
    if (i->b) {
        gen_reg_into(g, i->b, RCX, 8);
        asm_store(&g->a, ENV(g, arg[1]), RCX, true);
    }
    Mem addr = lookup_operand(g, i->a);
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
    gen_materialise(g, i->a);
    gen_spill_temps(g);
    gen_take(g, RAX);
    gen_reg_into(g, i->b, RAX, 8);
    asm_store(&g->a, ENV(g, arg[2]), RAX, true);
    Mem addr = lookup_operand(g, i->a);
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
    for (unsigned left = s->xlive; left; left &= left - 1) {
        unsigned x = (unsigned)__builtin_ctz(left);
        asm_vrm(&g->a, (save ? 0x7fu : 0x6fu) | M_0F | P_F3 | O_L, x, NOREG, gen_env(g, offsetof(TcgEnv, vsave) + 32 * x));
    }
}

void gen_slow_call(Gen *g, const SlowPath *s, unsigned thunk)
{
    slow_vectors(g, s, true);
    call_thunk(g, thunk);
    slow_vectors(g, s, false);
}

static void slow_address(Gen *g, const SlowPath *s)
{
    asm_lea(&g->a, s->addr_tmp, s->addr, true);
    asm_store(&g->a, ENV(g, arg[0]), s->addr_tmp, true);
}

void gen_slow_head(Gen *g, const SlowPath *s)
{
    slow_address(g, s);
    asm_rm(&g->a, 0xc7, 0, ENV(g, cur_off));
    a32(&g->a, (uint32_t)s->off);
    asm_rm(&g->a, 0xc7 | O_W, 0, ENV(g, arg[3]));
    a32(&g->a, s->info);
}

/* For the thunks that take them off the stack again (thunk_slow): in 10 bytes, where stores to env take 21. */
static void push_info(Gen *g, const SlowPath *s)
{
    a8(&g->a, 0x68);
    a32(&g->a, (uint32_t)s->off);
    a8(&g->a, 0x68);
    a32(&g->a, s->info);
}

/* ---- an access of a group by itself: look-up here, then C ---- */
/* Two temporaries for the slow path, whatever they hold: not the value to be stored. */
typedef struct Scratch { unsigned a, b; } Scratch;
static Scratch scratch_for(const SlowPath *s)
{
    static const uint8_t order[] = { RSI, RDX, RCX, RAX };
    unsigned r[2], n = 0;
    for (unsigned k = 0; n < 2; k++)
        if (s->is_vec || order[k] != s->dst || s->kind == THUNK_LD)
            r[n++] = order[k];
    return (Scratch){ r[0], r[1] };
}

static void scratch_save(Gen *g, Scratch r, bool save, unsigned except)
{
    unsigned reg[2] = { r.a, r.b };
    for (unsigned n = 0; n < 2; n++) {
        Mem m = gen_env(g, offsetof(TcgEnv, save) + 8 * (4 + n));
        if (save)
            asm_store(&g->a, m, reg[n], true);
        else if (reg[n] != except)
            asm_load(&g->a, reg[n], m, true);
    }
}

/* Guest address to arg[0] and to r.a. r.b may belong to the address: it is written after it is read. */
static void retry_address(Gen *g, const SlowPath *s, Scratch r)
{
    const Addr *p = &s->places;
    unsigned base = p->base.kind == L_HOME || p->base.kind == L_TEMP ? p->base.reg : NOREG;
    if (p->index.kind) {       /* index * scale first, then the base from wherever it is */
        bool in_reg = p->index.kind == L_HOME || p->index.kind == L_TEMP;
        Mem keep = ENV(g, arg[1]);
        if (base == NOREG || base == r.a) {
            if (base == NOREG) {
                asm_store(&g->a, ENV(g, arg[2]), r.b, true);
                gen_load_place(g, p->base, p->base_const, r.b);
                asm_store(&g->a, keep, r.b, true);
                asm_load(&g->a, r.b, ENV(g, arg[2]), true);
            } else {
                asm_store(&g->a, keep, base, true);
            }
            base = NOREG;
        }
        gen_load_place(g, p->index, 0, r.a);
        (void)in_reg;
        if (p->scale) {
            asm_rr(&g->a, 0xc1 | O_W, 4, r.a);
            a8(&g->a, p->scale);
        }
        if (base == NOREG)
            asm_rm(&g->a, 0x03 | O_W, r.a, keep);
        else
            asm_rr(&g->a, 0x03 | O_W, r.a, base);
    } else {
        gen_load_place(g, p->base, p->base_const, r.a);
    }
    if (p->disp)
        asm_lea(&g->a, r.a, mem_bd(r.a, p->disp), true);
    asm_store(&g->a, ENV(g, arg[0]), r.a, true);
}

static uint8_t *retry_lookup(Gen *g, const SlowPath *s, Scratch r)
{
    unsigned size = 1u << (s->info & IRM_SIZE), regime = s->info >> 8 & 15;
    bool write = s->info >> 12 & 1, align = s->info & IRM_ALIGN;
    asm_vrr(&g->a, 0xf0 | M_3A | P_F2, r.b, NOREG, r.a);
    a8(&g->a, TCG_PAGE_BITS - ENTRY_LOG2);
    asm_alu_ri(&g->a, 4, r.b, (TLB_SIZE - 1) << ENTRY_LOG2, 4);
    if (!align)
        asm_lea(&g->a, r.a, mem_bd(r.a, (int32_t)size - 1), true);
    asm_alu_ri(&g->a, 4, r.a, -4096 | (align ? (int32_t)size - 1 : 0), 8);
    asm_rm(&g->a, 0x3b | O_W, r.a, mem_bid(R15, r.b, 0, tlb_disp(regime, write, offsetof(TlbEntry, tag))));
    uint8_t *miss = asm_jcc(&g->a, IRC_NE);
    asm_load(&g->a, r.a, ENV(g, arg[0]), true);
    asm_rm(&g->a, 0x03 | O_W, r.a, mem_bid(R15, r.b, 0, tlb_disp(regime, write, offsetof(TlbEntry, addend))));
    return miss;
}

static void slow_ld_c(Gen *g, const SlowPath *s)
{
    const IrInsn *i = &g->u->insn[s->at];
    gen_slow_call(g, s, THUNK_LD);
    if (s->is_vec)
        gen_vec_ld(g, i, ENV(g, vspill[15]), s->dst, s->legacy);
    else
        int_load(g, i, s->dst, ENV(g, ret));
}

static void slow_st_c(Gen *g, const SlowPath *s)
{
    const IrInsn *i = &g->u->insn[s->at];
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

static void store_to(Gen *g, const SlowPath *s, const IrInsn *i, Mem m)
{
    if (s->is_vec)
        gen_vec_st(g, i, m, s->dst);
    else if (s->dst == NOREG)
        store_imm(g, i->mem & IRM_SIZE, (int32_t)g->u->insn[i->b].imm, m);
    else
        store_reg(g, i->mem & IRM_SIZE, s->dst, m);
}

static void slow_retry(Gen *g, const SlowPath *s)
{
    const IrInsn *i = &g->u->insn[s->at];
    Scratch r = scratch_for(s);
    bool ld = s->kind == THUNK_LD;
    scratch_save(g, r, true, NOREG);
    retry_address(g, s, r);
    uint8_t *miss = retry_lookup(g, s, r);
    if (!ld)
        store_to(g, s, i, mem_bd(r.a, 0));
    else if (s->is_vec)
        gen_vec_ld(g, i, mem_bd(r.a, 0), s->dst, s->legacy);
    else
        int_load(g, i, s->dst, mem_bd(r.a, 0));
    uint8_t *done = asm_jmp(&g->a);
    asm_patch(&g->a, miss);
    push_info(g, s);
    if (ld)
        slow_ld_c(g, s);
    else
        slow_st_c(g, s);
    asm_patch(&g->a, done);
    scratch_save(g, r, false, ld && !s->is_vec ? s->dst : NOREG);
    if (s->zero_host)
        asm_rr(&g->a, 0x33, s->host, s->host);
}

/* Is @p's span, from its first access's guest address arg[0], in one page? The returned place is patched to where it is not. */
static uint8_t *span_crosses(Gen *g, const Group *p, Scratch r)
{
    asm_load(&g->a, r.a, ENV(g, arg[0]), true);
    asm_lea(&g->a, r.b, mem_bd(r.a, (int32_t)p->lo), true);
    asm_lea(&g->a, r.a, mem_bd(r.a, (int32_t)p->hi - 1), true);
    asm_rr(&g->a, 0x33 | O_W, r.b, r.a);
    asm_alu_ri(&g->a, 4, r.b, -4096, 8);
    return asm_jcc(&g->a, IRC_NE);
}

/* Host address of its first access in r.a; the returned place is patched to where the look-up is in vain. */
static uint8_t *span_lookup(Gen *g, const Group *p, Scratch r)
{
    asm_load(&g->a, r.a, ENV(g, arg[0]), true);
    asm_vrr(&g->a, 0xf0 | M_3A | P_F2, r.b, NOREG, r.a);
    a8(&g->a, TCG_PAGE_BITS - ENTRY_LOG2);
    asm_alu_ri(&g->a, 4, r.b, (TLB_SIZE - 1) << ENTRY_LOG2, 4);
    asm_alu_ri(&g->a, 4, r.a, -4096, 8);
    asm_rm(&g->a, 0x3b | O_W, r.a, mem_bid(R15, r.b, 0, tlb_disp(p->regime, p->write, offsetof(TlbEntry, tag))));
    uint8_t *miss = asm_jcc(&g->a, IRC_NE);
    asm_load(&g->a, r.a, ENV(g, arg[0]), true);
    asm_rm(&g->a, 0x03 | O_W, r.a, mem_bid(R15, r.b, 0, tlb_disp(p->regime, p->write, offsetof(TlbEntry, addend))));
    return miss;
}

/* The entry is made and looked at once more; in vain (across pages, watched, a device): out of the region. */
static void slow_span(Gen *g, const SlowPath *s)
{
    const Group *p = &g->group[g->group_of[s->at] - 1];
    Scratch r = scratch_for(s);
    scratch_save(g, r, true, NOREG);
    retry_address(g, s, r);
    uint8_t *crosses = span_crosses(g, p, r);
    push_info(g, s);
    gen_slow_call(g, s, THUNK_FILL);
    uint8_t *miss = span_lookup(g, p, r);
    if (s->host != r.a)
        asm_mov_rr(&g->a, s->host, r.a, true);
    scratch_save(g, r, false, s->host);
    uint8_t *j = asm_jmp(&g->a);
    asm_patch_to(&g->a, j, s->span_back);
    asm_patch(&g->a, crosses);
    asm_patch(&g->a, miss);
    gen_side_exit(g, s->off);
}

static void slow_ld(Gen *g, const SlowPath *s)
{
    slow_address(g, s);
    push_info(g, s);
    slow_ld_c(g, s);
}

static void slow_st(Gen *g, const SlowPath *s)
{
    slow_address(g, s);
    push_info(g, s);
    slow_st_c(g, s);
}

static void slow_rmw(Gen *g, const SlowPath *s)
{
    slow_address(g, s);
    push_info(g, s);
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
        asm_patch(&g->a, s->from);
        if (s->from2)
            asm_patch(&g->a, s->from2);
        gen_late_puts(g, &s->flags);
        if (s->flags.op)
            gen_flags_again(g, &s->flags, true);
        if (s->span_back) {
            slow_span(g, s);
            continue;
        }
        if (s->retry)
            slow_retry(g, s);
        else if (s->kind == THUNK_LD)
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

/* Any locked instruction orders ordinary memory, and takes half of MFENCE's time (SDM 3A 9.2.5). */
static void gen_fence(Gen *g, const IrInsn *i)
{
    if (i->aux == IRFENCE_MEMORY) {
        gen_clobber_flags(g);
        a8(&g->a, 0xf0);
        asm_alu_mi(&g->a, 1, mem_bd(RSP, 0), 0, 4);
        return;
    }
    a8(&g->a, 0x0f);
    a8(&g->a, 0xae);
    a8(&g->a, i->aux == IRFENCE_LOAD ? 0xe8 : i->aux == IRFENCE_STORE ? 0xf8 : 0xf0);
}

bool gen_mem(Gen *g, IrInsn *i)
{
    switch (i->op) {
    case IR_LD: gen_ld(g, i); return true;
    case IR_ST: gen_st(g, i); return true;
    case IR_ARMW: gen_armw(g, i); return true;
    case IR_CAS: gen_cas(g, i); return true;
    case IR_FENCE: gen_fence(g, i); return true;
    default: return false;
    }
}
