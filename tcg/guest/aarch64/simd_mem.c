/* Loads and stores of vector registers: one, pairs, structures. All of an instruction's loads come before the first register is written. */
#include "tcg/guest/aarch64/simd.h"

static IrVal load(A64Tr *t, IrVal addr, unsigned log2)
{
    a64_watch(t, addr, 1u << log2, A64_WATCH_LOAD);
    if (log2 > 1)
        return ir_ld(t->u, IRT_V128, addr, log2, a64_mem_bits(t), 0);
    return av_op1(t, VOP_MOVD, ir_ld(t->u, IRT_I32, addr, log2, a64_mem_bits(t), 0), 0);
}

static void store(A64Tr *t, IrVal addr, IrVal v, unsigned log2)
{
    a64_watch(t, addr, 1u << log2, A64_WATCH_STORE);
    if (log2 > 1) {
        ir_st(t->u, IRT_V128, addr, v, log2, a64_mem_bits(t), 0);
        return;
    }
    IrType type = log2 ? IRT_I16 : IRT_I8;
    ir_st(t->u, type, addr, ir_trunc(t->u, type, ir_vop(t->u, IRT_I32, VOP_MOVDTOI, v, 0, 0, 0)), log2, a64_mem_bits(t), 0);
}

static IrVal plus(A64Tr *t, IrVal addr, int64_t n) { return ir_lea(t->u, IRT_I64, addr, 0, 0, n); }

/* One register; @back: what the base register becomes, 0 none. */
static void transfer(A64Tr *t, const A64Args *a, IrVal addr, IrVal back)
{
    unsigned log2 = (unsigned)a->k & 15;
    IrVal v = 0;
    if (a->k & VM_LOAD)
        v = load(t, addr, log2);
    else
        store(t, addr, av_get(t, a->rt), log2);
    if (back)
        a64_put_xsp(t, a->rn, back);
    if (v)
        av_put_zeroed(t, a->rt, v, log2);
}

bool vm_one(A64Tr *t, const A64Args *a)
{
    A64Ea ea;
    if (!a64_ea(t, a, (unsigned)a->k & 15, &ea))
        return false;
    if (a64_fp_trapped(t))
        return true;
    transfer(t, a, ea.addr, ea.back);
    return true;
}

bool vm_literal(A64Tr *t, const A64Args *a)
{
    if (a64_fp_trapped(t))
        return true;
    av_put_zeroed(t, a->rt, load(t, ir_pc(t->u, t->off + a->imm), (unsigned)a->k & 15), (unsigned)a->k & 15);
    return true;
}

bool vm_pair(A64Tr *t, const A64Args *in)
{
    A64Args a = *in;
    unsigned log2 = (unsigned)a.k & 15;
    A64Ea ea;
    if ((a.k & A64EA_MASK) != A64EA_OFF)
        a.imm *= 1 << log2;
    if (!a64_ea(t, &a, log2, &ea))
        return false;
    if (a64_fp_trapped(t))
        return true;
    IrVal v = 0, w = 0;
    if (a.k & VM_LOAD) {
        v = load(t, ea.addr, log2);
        w = load(t, plus(t, ea.addr, 1 << log2), log2);
    } else {
        store(t, ea.addr, av_get(t, a.rt), log2);
        store(t, plus(t, ea.addr, 1 << log2), av_get(t, a.rt2), log2);
    }
    a64_ea_back(t, &a, ea);
    if (v) {
        av_put_zeroed(t, a.rt, v, log2);
        av_put_zeroed(t, a.rt2, w, log2);
    }
    return true;
}

/* ---- structures ---- */
static void post_index(A64Tr *t, const A64Args *a, IrVal base, unsigned bytes)
{
    if (a->k & VM_POST)
        a64_put_xsp(t, a->rn, a->rm == 31 ? plus(t, base, bytes) : ir_lea(t->u, IRT_I64, base, a64_x(t, a->rm), 0, 0));
}

/* Element p is that of vector (@first + @step * p) modulo 3. */
static IrVal one_of_three(const Av *v, const IrVal *from, unsigned first, unsigned step)
{
    IrVal r = from[0];
    for (unsigned k = 1; k < 3; k++) {
        uint64_t mask[2] = { 0, 0 };
        for (unsigned n = 0; n < 16; n++)
            if ((first + step * (n >> v->log2)) % 3 == k)
                mask[n / 8] |= 0xffull << 8 * (n % 8);
        r = av_op3(v->t, VOP_PBLENDVB, r, from[k], ir_vconst(v->t->u, mask[0], mask[1]));
    }
    return r;
}

/*
 * Of 128 bits, @count elements in a vector. Place count * k + p of memory is of register (count * k + p) modulo 3, and no two elements of a register
 * have the same p, since 3 and count have no common divisor: one order of a register's elements fits all three vectors, the rest is to choose.
 */
static void by_threes_full(const Av *v, IrVal *r, const IrVal *m, bool to_regs)
{
    unsigned count = 16u >> v->log2;
    IrVal turned[3];
    for (unsigned i = 0; i < 3; i++) {
        uint8_t by[16];
        for (unsigned n = 0; n < 16; n++) {
            unsigned p = ((n >> v->log2) * 3 + i) % count << v->log2 | n % (1u << v->log2);
            by[to_regs ? n : p] = (uint8_t)(to_regs ? p : n);
        }
        IrVal x = to_regs ? one_of_three(v, m, i * count, 2 * count) : m[i];
        turned[i] = by[0] == 0 && v->log2 == 3 ? x : av_gather(v->t, &x, 1, by);
    }
    for (unsigned k = 0; k < 3; k++)
        r[k] = to_regs ? turned[k] : one_of_three(v, turned, count * k, 1);
}

/* Memory order @m to registers @r, or back: element e of register i lies at place e * count + i. */
static void by_threes(const Av *v, IrVal *r, const IrVal *m, bool to_regs)
{
    uint8_t by[16];
    unsigned size = 1u << v->log2, bytes = 8, total = 3 * bytes;
    if (v->q) {
        by_threes_full(v, r, m, to_regs);
        return;
    }
    for (unsigned k = 0; k < 3; k++) {
        for (unsigned n = 0; n < 16; n++) {
            unsigned place = 16 * k + n;
            if (to_regs)
                by[n] = n < bytes ? (uint8_t)((n / size * 3 + k) * size + n % size) : 0xff;
            else
                by[n] = place < total ? (uint8_t)(place / size % 3 * 16 + place / size / 3 * size + n % size) : 0xff;
        }
        r[k] = to_regs || 16 * k < total ? av_gather(v->t, m, 3, by) : 0;
    }
}

/* Each in memory order of pairs into two registers. q 0: all of it in the first vector. */
static void split(const Av *v, IrVal m0, IrVal m1, IrVal *even, IrVal *odd)
{
    *even = v->q ? av_unzip(v, m0, m1, false) : av_halves(v, m0, false);
    *odd = v->q ? av_unzip(v, m0, m1, true) : av_halves(v, m0, true);
}

static void deinterleave(const Av *v, unsigned count, const IrVal *m, IrVal *r)
{
    Av all = *v;
    IrVal p[4];
    if (count == 3) {
        by_threes(v, r, m, true);
    } else if (count == 2) {
        split(v, m[0], m[1], &r[0], &r[1]);
    } else {
        all.q = true;
        split(&all, m[0], m[1], &p[0], &p[1]);
        p[2] = p[3] = 0;
        if (v->q)
            split(&all, m[2], m[3], &p[2], &p[3]);
        split(v, p[0], p[2], &r[0], &r[2]);
        split(v, p[1], p[3], &r[1], &r[3]);
    }
}

static void interleave(const Av *v, unsigned count, const IrVal *r, IrVal *m)
{
    if (count == 3) {
        by_threes(v, m, r, false);
    } else if (count == 2) {
        m[0] = av_zip(v, r[0], r[1], false);
        m[1] = v->q ? av_zip(v, r[0], r[1], true) : 0;
    } else {
        IrVal x = av_zip(v, r[0], r[2], false), y = av_zip(v, r[1], r[3], false);
        m[0] = av_zip(v, x, y, false);
        m[1] = av_zip(v, x, y, true);
        if (!v->q)
            return;
        x = av_zip(v, r[0], r[2], true);
        y = av_zip(v, r[1], r[3], true);
        m[2] = av_zip(v, x, y, false);
        m[3] = av_zip(v, x, y, true);
    }
}

/* @bytes of memory into vectors, or back. */
static void load_all(A64Tr *t, IrVal addr, unsigned bytes, IrVal *m)
{
    for (unsigned n = 0; 16 * n < bytes; n++)
        m[n] = load(t, plus(t, addr, 16 * n), bytes - 16 * n >= 16 ? 4 : 3);
}

static void store_all(A64Tr *t, IrVal addr, unsigned bytes, const IrVal *m)
{
    for (unsigned n = 0; 16 * n < bytes; n++)
        store(t, plus(t, addr, 16 * n), m[n], bytes - 16 * n >= 16 ? 4 : 3);
}

static void plain_multi(A64Tr *t, const A64Args *a, unsigned count, IrVal base)
{
    unsigned log2 = av_q(a) ? 4 : 3;
    IrVal r[4];
    for (unsigned n = 0; n < count; n++) {
        if (a->k & VM_LOAD)
            r[n] = load(t, plus(t, base, (int64_t)n << log2), log2);
        else
            store(t, plus(t, base, (int64_t)n << log2), av_get(t, (a->rt + (int)n) & 31), log2);
    }
    post_index(t, a, base, count << log2);
    for (unsigned n = 0; a->k & VM_LOAD && n < count; n++)
        av_put(t, (a->rt + (int)n) & 31, r[n]);
}

bool vm_multi(A64Tr *t, const A64Args *in)
{
    A64Args a;
    int ret = av_begin(t, in, &a);
    if (ret >= 0)
        return ret;
    Av v = { t, &a, av_log2(&a), av_q(&a) };
    unsigned count = (unsigned)a.k & 15, bytes = count * (v.q ? 16u : 8u);
    IrVal base = a64_xsp(t, a.rn), r[4], m[4];
    if ((a.k >> 4 & 15) == 1) {
        plain_multi(t, &a, count, base);
        return true;
    }
    if (a.k & VM_LOAD) {
        if (count == 3 && !v.q)
            m[2] = av_zero(t);
        load_all(t, base, bytes, m);
        deinterleave(&v, count, m, r);
    } else {
        for (unsigned n = 0; n < count; n++)
            r[n] = av_get(t, (a.rt + (int)n) & 31);
        interleave(&v, count, r, m);
        store_all(t, base, bytes, m);
    }
    post_index(t, &a, base, bytes);
    for (unsigned n = 0; a.k & VM_LOAD && n < count; n++)
        av_put(t, (a.rt + (int)n) & 31, r[n]);
    return true;
}

/* One element, as an integer. */
static IrVal load_elem(A64Tr *t, IrVal addr, unsigned log2)
{
    a64_watch(t, addr, 1u << log2, A64_WATCH_LOAD);
    return ir_ld(t->u, log2 == 3 ? IRT_I64 : IRT_I32, addr, log2, a64_mem_bits(t), 0);
}

static void store_elem(A64Tr *t, IrVal addr, IrVal v, unsigned log2, unsigned index)
{
    IrVal x = index ? av_op1(t, VOP_PSRLDQ, v, index << log2) : v;
    store(t, addr, x, log2);
}

bool vm_single(A64Tr *t, const A64Args *in)
{
    A64Args a;
    int ret = av_begin(t, in, &a);
    if (ret >= 0)
        return ret;
    unsigned log2 = a.k >> 8 & 15, count = a.k >> 4 & 15;
    if (log2 == 2 && a.lane & 1)
        log2 = 3;
    unsigned index = (unsigned)a.lane >> log2;
    IrVal base = a64_xsp(t, a.rn), x[4];
    for (unsigned n = 0; n < count; n++) {
        IrVal addr = plus(t, base, (int64_t)n << log2);
        if (a.k & VM_LOAD)
            x[n] = load_elem(t, addr, log2);
        else
            store_elem(t, addr, av_get(t, (a.rt + (int)n) & 31), log2, index);
    }
    post_index(t, &a, base, count << log2);
    for (unsigned n = 0; a.k & VM_LOAD && n < count; n++) {
        int reg = (a.rt + (int)n) & 31;
        av_put(t, reg, av_insert(t, av_get(t, reg), x[n], log2, index));
    }
    return true;
}

bool vm_replicate(A64Tr *t, const A64Args *in)
{
    A64Args a;
    int ret = av_begin(t, in, &a);
    if (ret >= 0)
        return ret;
    unsigned log2 = av_log2(&a), count = a.k >> 4 & 15;
    IrVal base = a64_xsp(t, a.rn), x[4];
    for (unsigned n = 0; n < count; n++)
        x[n] = load_elem(t, plus(t, base, (int64_t)n << log2), log2);
    post_index(t, &a, base, count << log2);
    for (unsigned n = 0; n < count; n++)
        av_put_q(t, (a.rt + (int)n) & 31, av_broadcast(t, x[n], log2), av_q(&a));
    return true;
}
