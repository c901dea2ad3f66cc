/* AdvSIMD integer instructions: operands and results around the operations of simd_int.c, or all of it by helper. */
#include "tcg/guest/aarch64/simd.h"

void av_int_helper(A64Tr *t, const A64Args *a, A64Shape shape, unsigned flags, int shift)
{
    unsigned rm = (unsigned)a->rm, index = flags & AVD_ELEM ? av_elem(a, &rm) : 0;
    av_know(t, a->rd, false, false);
    a64_call(t, A64H_simd, a64_k(t, av_what(av_op(a), shape, (unsigned)a->arr, flags)), a64_k(t, av_regs(a, rm, index, shift)), 0, 0);
}

unsigned av_elem(const A64Args *a, unsigned *ret_reg)
{
    unsigned log2 = av_log2(a), hlm = (unsigned)a->hlm;
    *ret_reg = (unsigned)a->rm & (log2 == 1 ? 15 : 31);
    return log2 == 1 ? hlm : log2 == 2 ? hlm >> 1 : hlm >> 2;
}

static Av av_of(A64Tr *t, const A64Args *a) { return (Av){ t, a, av_log2(a), av_q(a) }; }

/* An emitter that needs no more than the completed operands. */
static bool emit(A64Tr *t, const A64Args *in, void (*how)(A64Tr *t, const Av *v))
{
    A64Args a;
    int r = av_begin(t, in, &a);
    if (r >= 0)
        return r;
    Av v = av_of(t, &a);
    how(t, &v);
    return true;
}

/* ---- results as wide as the operands ---- */
static bool saturates(unsigned op)
{
    return (op >= A64V_SQADD && op <= A64V_USQADD) || (op >= A64V_SQDMULH && op <= A64V_SQRDMLSH) || (op >= A64V_SQSHL && op <= A64V_UQRSHL) || op == A64V_SQABS || op == A64V_SQNEG;
}

static bool same(A64Tr *t, const A64Args *in, bool scalar, bool elem, bool one)
{
    A64Args a;
    int r = av_begin(t, in, &a);
    if (r >= 0)
        return r;
    Av v = av_of(t, &a);
    unsigned rm = (unsigned)a.rm, index = elem ? av_elem(&a, &rm) : 0;
    bool alone = scalar && saturates(av_op(&a));       /* what else is in the registers must not saturate */
    IrVal n = av_get(t, a.rn), m = one ? 0 : av_get(t, (int)rm), d = av_get(t, a.rd);
    if (elem)
        m = av_op(&a) == A64V_SDOT || av_op(&a) == A64V_UDOT ? av_dup(t, m, 2, index) : av_dup(t, m, v.log2, index);
    if (alone) {
        n = av_low_elem(t, n, v.log2);
        m = m ? av_low_elem(t, m, v.log2) : 0;
        d = av_low_elem(t, d, v.log2);
    }
    IrVal x = av_inline(&v, av_op(&a), n, m, d);
    if (!x)
        av_int_helper(t, &a, AVS_SAME, (scalar ? AVD_SCALAR : 0u) | (elem ? AVD_ELEM : 0u), 0);
    else if (scalar)
        av_put_scalar(t, a.rd, x, v.log2);
    else
        av_put_q(t, a.rd, x, v.q);
    return true;
}

bool v_same(A64Tr *t, const A64Args *a) { return same(t, a, false, false, false); }
bool s_same(A64Tr *t, const A64Args *a) { return same(t, a, true, false, false); }
bool v_un(A64Tr *t, const A64Args *a) { return same(t, a, false, false, true); }
bool s_un(A64Tr *t, const A64Args *a) { return same(t, a, true, false, true); }
bool v_same_elem(A64Tr *t, const A64Args *a) { return same(t, a, false, true, false); }
bool s_same_elem(A64Tr *t, const A64Args *a) { return same(t, a, true, true, false); }

bool v_logic(A64Tr *t, const A64Args *a)
{
    if (a64_fp_trapped(t))
        return true;
    IrVal n = av_get(t, a->rn), m = a->rn == a->rm ? n : av_get(t, a->rm), d = a->k >= A64V_BSL ? av_get(t, a->rd) : 0, r;
    switch (a->k) {
    case A64V_AND: r = av_op2(t, VOP_PAND, n, m); break;
    case A64V_BIC: r = av_op2(t, VOP_PANDN, m, n); break;
    case A64V_ORR: r = n == m ? n : av_op2(t, VOP_POR, n, m); break;
    case A64V_ORN: r = av_op2(t, VOP_POR, n, av_not(t, m)); break;
    case A64V_EOR: r = av_op2(t, VOP_PXOR, n, m); break;
    case A64V_BSL: r = av_op2(t, VOP_PXOR, m, av_op2(t, VOP_PAND, d, av_op2(t, VOP_PXOR, n, m))); break;
    case A64V_BIT: r = av_op2(t, VOP_PXOR, d, av_op2(t, VOP_PAND, m, av_op2(t, VOP_PXOR, d, n))); break;
    default: r = av_op2(t, VOP_PXOR, d, av_op2(t, VOP_PANDN, m, av_op2(t, VOP_PXOR, d, n))); break;
    }
    av_put_q(t, a->rd, r, av_q(a));
    return true;
}

/* ---- pairs, across lanes ---- */
IrVal av_unzip(const Av *v, IrVal n, IrVal m, bool odd)
{
    A64Tr *t = v->t;
    if (v->log2 == 3)
        return av_op2(t, odd ? VOP_PUNPCKHQDQ : VOP_PUNPCKLQDQ, n, m);
    if (v->log2 == 2)
        return av_op2i(t, VOP_SHUFPS, n, m, odd ? 0xdd : 0x88);
    return av_op2(t, VOP_PUNPCKLQDQ, av_halves(v, n, odd), av_halves(v, m, odd));
}

/* Bytes or words of one vector and its own: next to each other, then the even ones, in both halves. */
static IrVal pairs_of_one(const Av *v, unsigned op, IrVal n)
{
    uint8_t by[16];
    unsigned size = 1u << v->log2;
    IrVal x = av_inline(v, op, n, av_op1(v->t, av_psrli[v->log2 + 1], n, 8 * size), 0);
    for (unsigned k = 0; k < 16; k++)
        by[k] = k < 8 || v->q ? (uint8_t)(k % 8 / size * 2 * size + k % size) : 0xff;
    return av_gather(v->t, &x, 1, by);
}

static void pairwise(A64Tr *t, const Av *v)
{
    IrVal n = av_get(t, v->a->rn), m = av_get(t, v->a->rm);
    if (v->log2 < 2 && (n == m || !v->q)) {
        av_put_zeroed(t, v->a->rd, pairs_of_one(v, av_op(v->a), v->q ? n : av_op2(t, VOP_PUNPCKLQDQ, n, m)), v->q ? 4 : 3);
        return;
    }
    if (!v->q)
        n = m = av_op2(t, VOP_PUNPCKLQDQ, n, m);
    av_put_q(t, v->a->rd, av_inline(v, av_op(v->a), av_unzip(v, n, m, false), av_unzip(v, n, m, true), 0), v->q);
}

bool v_pair(A64Tr *t, const A64Args *a) { return emit(t, a, pairwise); }

static void pairwise_scalar(A64Tr *t, const Av *v)
{
    IrVal n = av_get(t, v->a->rn);
    av_put(t, v->a->rd, av_low(t, av_op2(t, VOP_PADDQ, n, av_op1(t, VOP_PSHUFD, n, 0xee))));
}

bool s_pair(A64Tr *t, const A64Args *a) { return emit(t, a, pairwise_scalar); }

/* Sum of bytes, zero-extended, of the whole. */
static IrVal sum_bytes(A64Tr *t, IrVal n, bool q)
{
    IrVal s = av_op2(t, VOP_PSADBW, n, av_zero(t));
    return q ? av_op2(t, VOP_PADDD, s, av_op1(t, VOP_PSHUFD, s, 0xee)) : s;
}

static IrVal add_pairs(const Av *v, IrVal n, bool sign);

/* Pairs into twice the width, then the sum of these; it fits. */
static IrVal across_long(const Av *v, IrVal n, bool sign)
{
    A64Tr *t = v->t;
    Av wide = { t, v->a, v->log2 + 1, v->q };
    IrVal x = add_pairs(v, n, sign);
    for (unsigned bytes = v->q ? 8 : 4; bytes >= 2u << v->log2; bytes /= 2)
        x = av_vop(&wide, av_padd, x, av_op1(t, VOP_PSRLDQ, x, bytes));
    return x;
}

static IrVal across(const Av *v, unsigned op, IrVal n)
{
    A64Tr *t = v->t;
    if (v->log2 == 0 && (op == A64V_ADD || op == A64V_UADDLV))
        return sum_bytes(t, n, v->q);
    if (op == A64V_SADDLV || op == A64V_UADDLV)
        return across_long(v, n, op == A64V_SADDLV);
    for (unsigned bytes = v->q ? 8 : 4; bytes >= 1u << v->log2; bytes /= 2)
        n = av_inline(v, op, n, av_op1(t, VOP_PSRLDQ, n, bytes), 0);
    return n;
}

static void to_one(A64Tr *t, const Av *v)
{
    IrVal x = across(v, av_op(v->a), av_get(t, v->a->rn));
    if (x)
        av_put_scalar(t, v->a->rd, x, v->log2 + (av_op(v->a) == A64V_UADDLV || av_op(v->a) == A64V_SADDLV));
    else
        av_int_helper(t, v->a, AVS_ACROSS, 0, 0);
}

bool v_across(A64Tr *t, const A64Args *a) { return emit(t, a, to_one); }

/* SADDLP...: neighbours into elements twice as wide. */
static IrVal add_pairs(const Av *v, IrVal n, bool sign)
{
    A64Tr *t = v->t;
    Av wide = { t, v->a, v->log2 + 1, v->q };
    if (v->log2 == 0)
        return sign ? av_op2(t, VOP_PMADDUBSW, av_splat(t, 0, 1), n) : av_op2(t, VOP_PMADDUBSW, n, av_splat(t, 0, 1));
    if (v->log2 == 1 && sign)
        return av_op2(t, VOP_PMADDWD, n, av_splat(t, 1, 1));
    if (sign)
        return av_op2(t, VOP_PADDQ, av_op1(t, VOP_PMOVSXDQ, av_op1(t, VOP_PSHUFD, n, 0x08), 0), av_op1(t, VOP_PMOVSXDQ, av_op1(t, VOP_PSHUFD, n, 0x0d), 0));
    IrVal low = av_op2(t, VOP_PAND, n, av_splat(t, wide.log2, v->log2 == 1 ? 0xffff : 0xffffffff));
    return av_vop(&wide, av_padd, low, av_op1(t, av_psrli[wide.log2], n, 8u << v->log2));
}

static void addlp(A64Tr *t, const Av *v)
{
    Av wide = { t, v->a, v->log2 + 1, v->q };
    unsigned op = av_op(v->a);
    IrVal x = add_pairs(v, av_get(t, v->a->rn), op == A64V_SADDLP || op == A64V_SADALP);
    if (op >= A64V_SADALP)
        x = av_vop(&wide, av_padd, x, av_get(t, v->a->rd));
    av_put_q(t, v->a->rd, x, v->q);
}

bool v_addlp(A64Tr *t, const A64Args *a) { return emit(t, a, addlp); }

/* ---- long: results twice as wide ---- */
static bool long_signed(unsigned op) { return op == A64V_SQDMULL || !((op - A64V_SADDL) & 1); }

static IrVal multiply_long(const Av *v, IrVal n, IrVal m, bool sign)
{
    A64Tr *t = v->t;
    if (v->log2 == 1) {
        IrVal lo = av_op2(t, VOP_PMULLW, n, m), hi = av_op2(t, sign ? VOP_PMULHW : VOP_PMULHUW, n, m);
        return av_op2(t, v->q ? VOP_PUNPCKHWD : VOP_PUNPCKLWD, lo, hi);
    }
    if (v->log2 == 2) {
        unsigned spread = v->q ? 0xfa : 0x50;      /* lanes 2 and 3, or 0 and 1, into the even ones */
        return av_op2(t, sign ? VOP_PMULDQ : VOP_PMULUDQ, av_op1(t, VOP_PSHUFD, n, spread), av_op1(t, VOP_PSHUFD, m, spread));
    }
    return av_op2(t, VOP_PMULLW, av_extend(v, n, sign, v->q), av_extend(v, m, sign, v->q));
}

static IrVal long_sqdmull(const Av *v, IrVal n, IrVal m)
{
    Av wide = { v->t, v->a, v->log2 + 1, true };
    IrVal p = multiply_long(v, n, m, true), twice = av_vop(&wide, av_padd, p, p);
    IrVal sat = av_vop(&wide, av_pcmpeq, twice, av_splat(v->t, wide.log2, v->log2 == 1 ? 1ull << 31 : 1ull << 63));
    av_note_sat(v->t, sat);
    return av_op2(v->t, VOP_PXOR, twice, sat);
}

/* 0: by helper. */
static IrVal long_op(const Av *v, unsigned op, IrVal n, IrVal m, IrVal d)
{
    A64Tr *t = v->t;
    Av wide = { t, v->a, v->log2 + 1, true };
    bool sign = long_signed(op);
    switch (op) {
    case A64V_SADDL: case A64V_UADDL: return av_vop(&wide, av_padd, av_extend(v, n, sign, v->q), av_extend(v, m, sign, v->q));
    case A64V_SSUBL: case A64V_USUBL: return av_vop(&wide, av_psub, av_extend(v, n, sign, v->q), av_extend(v, m, sign, v->q));
    case A64V_SABDL: case A64V_UABDL: return av_extend(v, av_inline(v, sign ? A64V_SABD : A64V_UABD, n, m, 0), false, v->q);
    case A64V_SABAL: case A64V_UABAL: return av_vop(&wide, av_padd, d, av_extend(v, av_inline(v, sign ? A64V_SABD : A64V_UABD, n, m, 0), false, v->q));
    case A64V_SMULL: case A64V_UMULL: return multiply_long(v, n, m, sign);
    case A64V_SMLAL: case A64V_UMLAL: return av_vop(&wide, av_padd, d, multiply_long(v, n, m, sign));
    case A64V_SMLSL: case A64V_UMLSL: return av_vop(&wide, av_psub, d, multiply_long(v, n, m, sign));
    case A64V_SQDMULL: return long_sqdmull(v, n, m);
    case A64V_SQDMLAL: case A64V_SQDMLSL: return av_inline(&wide, op == A64V_SQDMLAL ? A64V_SQADD : A64V_SQSUB, d, long_sqdmull(v, n, m), 0);
    case A64V_PMULL: return v->log2 ? 0 : av_pmull8(v, n, m);
    default: return 0;
    }
}

static bool do_long(A64Tr *t, const A64Args *in, bool scalar, bool elem)
{
    A64Args a;
    int r = av_begin(t, in, &a);
    if (r >= 0)
        return r;
    Av v = av_of(t, &a);
    unsigned rm = (unsigned)a.rm, index = elem ? av_elem(&a, &rm) : 0;
    IrVal n = av_get(t, a.rn), m = av_get(t, (int)rm), d = av_get(t, a.rd);
    if (elem)
        m = av_dup(t, m, v.log2, index);
    if (scalar) {              /* nothing else is to saturate */
        v.q = false;
        n = av_low_elem(t, n, v.log2);
        m = av_low_elem(t, m, v.log2);
        d = av_low_elem(t, d, v.log2 + 1);
    }
    IrVal x = long_op(&v, av_op(&a), n, m, d);
    if (x && scalar)
        av_put_scalar(t, a.rd, x, v.log2 + 1);
    else if (x)
        av_put(t, a.rd, x);
    else
        av_int_helper(t, &a, AVS_LONG, (scalar ? AVD_SCALAR : 0u) | (elem ? AVD_ELEM : 0u), 0);
    return true;
}

bool v_long(A64Tr *t, const A64Args *a) { return do_long(t, a, false, false); }
bool s_long(A64Tr *t, const A64Args *a) { return do_long(t, a, true, false); }
bool v_long_elem(A64Tr *t, const A64Args *a) { return do_long(t, a, false, true); }
bool s_long_elem(A64Tr *t, const A64Args *a) { return do_long(t, a, true, true); }

static void wider(A64Tr *t, const Av *v)
{
    Av wide = { t, v->a, v->log2 + 1, true };
    unsigned op = av_op(v->a);
    IrVal m = av_extend(v, av_get(t, v->a->rm), op == A64V_SADDW || op == A64V_SSUBW, v->q);
    av_put(t, v->a->rd, av_vop(&wide, op >= A64V_SSUBW ? av_psub : av_padd, av_get(t, v->a->rn), m));
}

bool v_wide(A64Tr *t, const A64Args *a) { return emit(t, a, wider); }

/* ---- narrow ---- */
static void high_narrow(A64Tr *t, const Av *v)
{
    Av wide = { t, v->a, v->log2 + 1, true };
    unsigned op = av_op(v->a);
    IrVal x = av_vop(&wide, op >= A64V_SUBHN ? av_psub : av_padd, av_get(t, v->a->rn), av_get(t, v->a->rm));
    if (op == A64V_RADDHN || op == A64V_RSUBHN)
        x = av_vop(&wide, av_padd, x, av_splat(t, wide.log2, 1ull << ((8u << v->log2) - 1)));
    av_put_narrow(t, v->a, av_halves(v, x, true));
}

bool v_hn(A64Tr *t, const A64Args *a) { return emit(t, a, high_narrow); }

/* To 32 bits: what is beyond the range becomes its end. */
static IrVal narrow64(A64Tr *t, unsigned op, IrVal x)
{
    IrVal big, small = 0;
    if (op == A64V_UQXTN) {
        big = av_not(t, av_op2(t, VOP_PCMPEQQ, av_op1(t, VOP_PSRLQI, x, 32), av_zero(t)));
        x = av_op2(t, VOP_POR, x, big);
    } else {
        IrVal max = av_splat(t, 3, op == A64V_SQXTN ? 0x7fffffff : 0xffffffff), min = av_splat(t, 3, op == A64V_SQXTN ? 0xffffffff80000000ull : 0);
        big = av_op2(t, VOP_PCMPGTQ, x, max);
        small = av_op2(t, VOP_PCMPGTQ, min, x);
        x = av_op3(t, VOP_PBLENDVB, av_op3(t, VOP_PBLENDVB, x, max, big), min, small);
    }
    av_note_sat(t, small ? av_op2(t, VOP_POR, big, small) : big);
    return av_op2i(t, VOP_SHUFPS, x, av_zero(t), 0x88);
}

IrVal av_narrow(const Av *v, unsigned op, IrVal x)
{
    static const uint16_t pack_s[] = { VOP_PACKSSWB, VOP_PACKSSDW }, pack_u[] = { VOP_PACKUSWB, VOP_PACKUSDW }, min_u[] = { VOP_PMINUW, VOP_PMINUD };
    static const uint16_t back_s[] = { VOP_PMOVSXBW, VOP_PMOVSXWD }, back_u[] = { VOP_PMOVZXBW, VOP_PMOVZXWD };
    A64Tr *t = v->t;
    if (op == A64V_XTN)
        return av_halves(v, x, false);
    if (v->log2 > 1)
        return narrow64(t, op, x);
    IrVal fits = op == A64V_UQXTN ? av_op2(t, min_u[v->log2], x, av_splat(t, v->log2 + 1, v->log2 ? 0xffff : 0xff)) : x;
    IrVal r = av_op2(t, op == A64V_SQXTN ? pack_s[v->log2] : pack_u[v->log2], fits, av_zero(t));
    av_note_sat(t, av_op2(t, VOP_PXOR, x, op == A64V_UQXTN ? fits : av_op1(t, op == A64V_SQXTN ? back_s[v->log2] : back_u[v->log2], r, 0)));
    return r;
}

static void narrow(A64Tr *t, const Av *v)
{
    IrVal x = av_narrow(v, av_op(v->a), av_get(t, v->a->rn));
    if (x)
        av_put_narrow(t, v->a, x);
    else
        av_int_helper(t, v->a, AVS_NARROW, 0, 0);
}

bool v_narrow(A64Tr *t, const A64Args *a) { return emit(t, a, narrow); }

static void narrow_scalar(A64Tr *t, const Av *v)
{
    av_put_zeroed(t, v->a->rd, av_narrow(v, av_op(v->a), av_low_elem(t, av_get(t, v->a->rn), v->log2 + 1)), v->log2);
}

bool s_narrow(A64Tr *t, const A64Args *a) { return emit(t, a, narrow_scalar); }
