/* AdvSIMD floating point: the scalar rules of fp.c for all elements at once. A 64-bit operand's upper half is made harmless before. */
#include "tcg/guest/aarch64/simd.h"

typedef enum Operands { THREE, ONE, WITH_ZERO, PAIRS, SCALAR_PAIR, ELEM, SCALAR = 8, SCALAR_ELEM = SCALAR | ELEM } Operands;

static bool fused(unsigned op) { return op == FPO_MADD || op == FPO_MSUB; }

static void helper(A64Tr *t, const A64Args *a, unsigned how)
{
    unsigned op = av_op(a), base = how & 7;
    av_fp_helper(t, a, op, base == PAIRS || base == SCALAR_PAIR ? AVS_PAIR : AVS_SAME,
                 (how & SCALAR || base == SCALAR_PAIR ? AVD_SCALAR : 0) | (base == ELEM ? AVD_ELEM : 0) | (base == WITH_ZERO ? AVD_ZERO : 0), fused(op) ? a->rd : 0);
}

static void slow_three(A64Tr *t, const A64Args *a) { helper(t, a, THREE); }
static void slow_one(A64Tr *t, const A64Args *a) { helper(t, a, ONE); }
static void slow_zero(A64Tr *t, const A64Args *a) { helper(t, a, WITH_ZERO); }
static void slow_pairs(A64Tr *t, const A64Args *a) { helper(t, a, PAIRS); }
static void slow_spair(A64Tr *t, const A64Args *a) { helper(t, a, SCALAR_PAIR); }
static void slow_elem(A64Tr *t, const A64Args *a) { helper(t, a, ELEM); }
static void slow_s(A64Tr *t, const A64Args *a) { helper(t, a, SCALAR | THREE); }
static void slow_s1(A64Tr *t, const A64Args *a) { helper(t, a, SCALAR | ONE); }
static void slow_s0(A64Tr *t, const A64Args *a) { helper(t, a, SCALAR | WITH_ZERO); }
static void slow_selem(A64Tr *t, const A64Args *a) { helper(t, a, SCALAR_ELEM); }

static A64ColdFn *const slow_fn[16] = { [THREE] = slow_three, [ONE] = slow_one, [WITH_ZERO] = slow_zero, [PAIRS] = slow_pairs, [SCALAR_PAIR] = slow_spair, [ELEM] = slow_elem,
                                        [SCALAR | THREE] = slow_s, [SCALAR | ONE] = slow_s1, [SCALAR | WITH_ZERO] = slow_s0, [SCALAR_ELEM] = slow_selem };

/* Whether this operation on this format has code in line. */
static bool in_line(const A64Args *a)
{
    unsigned op = av_op(a);
    if (op == FPO_ABS || op == FPO_NEG)
        return true;
    return !av_fp_exact(av_log2(a)) && op != FPO_RECPE && op != FPO_RSQRTE && op != FPO_RECPX;
}

/* Register @n as an operand: of 64 bits only if @q is false. */
static IrVal operand(A64Tr *t, int n, bool q)
{
    IrVal v = av_get(t, n);
    return q || t->zero64 >> n & 1 ? v : av_low(t, v);
}

static IrVal fuse(A64Tr *t, unsigned op, bool dbl, bool scalar, IrVal d, IrVal n, IrVal m, unsigned slow)
{
    static const uint16_t vop[2][4] = { { VOP_FMADD231PS, VOP_FMADD231PD, VOP_FMADD231SS, VOP_FMADD231SD }, { VOP_FNMADD231PS, VOP_FNMADD231PD, VOP_FNMADD231SS, VOP_FNMADD231SD } };
    av_fz_before(t, A64FZ_MUL, dbl, scalar, n, m, d, slow);
    IrVal r = av_op3(t, vop[op == FPO_MSUB][scalar * 2 + dbl], d, n, m);
    (scalar ? av_check : av_check_all)(t, r, dbl, true, slow);
    av_fz_after(t, dbl, scalar, r, slow);
    return r;
}

/* On @n and @m, vectors or (lanes above: anything) scalars; d is read for fused ones. */
static IrVal compute(A64Tr *t, const A64Args *a, bool scalar, IrVal n, IrVal m, unsigned slow)
{
    unsigned op = av_op(a);
    bool dbl = av_log2(a) == 3;
    if (fused(op))
        return fuse(t, op, dbl, scalar, scalar ? av_get(t, a->rd) : operand(t, a->rd, av_q(a)), n, m, slow);
    return op < FPO_SQRT ? av_fp_binary(t, op, dbl, scalar, n, m, slow) : av_fp_unary(t, op, dbl, scalar, n, slow);
}

static void half(A64Tr *t, const A64Args *a, Operands how)
{
    bool scalar = how & SCALAR, q = av_q(a);
    unsigned reg = (unsigned)a->rm, base = how & 7, index = base == ELEM ? av_elem(a, &reg) : 0;
    IrVal n = av_get(t, a->rn), m = base == ONE ? 0 : base == WITH_ZERO ? av_zero(t) : av_get(t, (int)reg);
    if (base == ELEM)
        m = av_dup(t, m, 1, index);
    IrVal r = av_half(t, av_op(a), scalar, q, n, m, fused(av_op(a)) ? av_get(t, a->rd) : 0, a64_cold(t, slow_fn[how], a));
    if (scalar)
        av_put_scalar(t, a->rd, r, 1);
    else
        av_put_q(t, a->rd, r, q);
}

static bool plain(A64Tr *t, const A64Args *in, Operands how)
{
    A64Args a;
    int ret = av_begin(t, in, &a);
    if (ret >= 0)
        return ret;
    if (av_log2(&a) == 1 && av_half_in_line(t, av_op(&a))) {
        half(t, &a, how);
        return true;
    }
    if (!in_line(&a)) {
        slow_fn[how](t, &a);
        return true;
    }
    bool scalar = how & SCALAR, q = av_q(&a);
    unsigned op = av_op(&a), log2 = av_log2(&a), slow = op == FPO_ABS || op == FPO_NEG ? 0 : a64_cold(t, slow_fn[how], &a);
    if (slow == 0 && log2 == 1) {      /* halves */
        uint64_t k = 0x8000800080008000ull;
        av_put_q(t, a.rd, av_op2(t, op == FPO_NEG ? VOP_PXOR : VOP_PAND, av_get(t, a.rn), op == FPO_NEG ? ir_vconst(t->u, k, k) : ir_vconst(t->u, ~k, ~k)), q);
        return true;
    }
    IrVal n = scalar ? av_get(t, a.rn) : operand(t, a.rn, q), m = 0;
    if ((how & 7) == ELEM) {
        unsigned reg, index = av_elem(&a, &reg);
        m = av_get(t, (int)reg);
        m = scalar && !index ? m : av_dup(t, m, log2, index);
        if (!q)
            m = av_low(t, m);
    } else if ((how & 7) == THREE) {
        m = scalar ? av_get(t, a.rm) : operand(t, a.rm, q);
    } else if ((how & 7) == WITH_ZERO) {
        m = av_zero(t);
    }
    if (op == FPO_DIV && !q)
        m = av_op2(t, VOP_MOVSD, ir_vconst(t->u, 0, 0x3f8000003f800000ull), m);
    if (op == FPO_RSQRTS && !q)
        n = av_op2(t, VOP_MOVSD, ir_vconst(t->u, 0, 0x3f8000003f800000ull), n);
    IrVal r = compute(t, &a, scalar, n, m, slow);
    if (scalar)
        av_put_scalar(t, a.rd, r, log2);
    else
        av_put_q(t, a.rd, r, q);
    return true;
}

bool v_fp(A64Tr *t, const A64Args *a) { return plain(t, a, THREE); }
bool s_fp(A64Tr *t, const A64Args *a) { return plain(t, a, SCALAR | THREE); }
bool v_fp_un(A64Tr *t, const A64Args *a) { return plain(t, a, ONE); }
bool s_fp_un(A64Tr *t, const A64Args *a) { return plain(t, a, SCALAR | ONE); }
bool v_fp_zero(A64Tr *t, const A64Args *a) { return plain(t, a, WITH_ZERO); }
bool s_fp_zero(A64Tr *t, const A64Args *a) { return plain(t, a, SCALAR | WITH_ZERO); }
bool v_fp_elem(A64Tr *t, const A64Args *a) { return plain(t, a, ELEM); }
bool s_fp_elem(A64Tr *t, const A64Args *a) { return plain(t, a, SCALAR_ELEM); }

/* ---- pairs and across ---- */
bool v_fp_pair(A64Tr *t, const A64Args *in)
{
    A64Args a;
    int ret = av_begin(t, in, &a);
    if (ret >= 0)
        return ret;
    Av v = { t, &a, av_log2(&a), av_q(&a) };
    bool half = v.log2 == 1 && av_half_in_line(t, av_op(&a));
    if (!half && !in_line(&a)) {
        slow_pairs(t, &a);
        return true;
    }
    IrVal n = av_get(t, a.rn), m = av_get(t, a.rm);
    if (!v.q)
        n = m = av_op2(t, VOP_PUNPCKLQDQ, n, m);   /* computed twice */
    if (half)
        av_put_q(t, a.rd, av_half(t, av_op(&a), false, v.q, av_unzip(&v, n, m, false), av_unzip(&v, n, m, true), 0, a64_cold(t, slow_pairs, &a)), v.q);
    else
        av_put_q(t, a.rd, compute(t, &a, false, av_unzip(&v, n, m, false), av_unzip(&v, n, m, true), a64_cold(t, slow_pairs, &a)), v.q);
    return true;
}

bool s_fp_pair(A64Tr *t, const A64Args *in)
{
    A64Args a;
    int ret = av_begin(t, in, &a);
    if (ret >= 0)
        return ret;
    if (av_log2(&a) == 1 && av_half_in_line(t, av_op(&a))) {
        IrVal n = av_get(t, a.rn);
        av_put_scalar(t, a.rd, av_half(t, av_op(&a), true, false, n, av_op1(t, VOP_PSRLDI, n, 16), 0, a64_cold(t, slow_spair, &a)), 1);
        return true;
    }
    if (!in_line(&a)) {
        slow_spair(t, &a);
        return true;
    }
    IrVal n = av_get(t, a.rn), m = av_op1(t, VOP_PSHUFD, n, av_log2(&a) == 3 ? 0xee : 0x55);
    av_put_scalar(t, a.rd, compute(t, &a, true, n, m, a64_cold(t, slow_spair, &a)), av_log2(&a));
    return true;
}

static void slow_across(A64Tr *t, const A64Args *a) { av_fp_helper(t, a, av_op(a), AVS_ACROSS, 0, 0); }

bool v_fp_across(A64Tr *t, const A64Args *in)
{
    A64Args a;
    int ret = av_begin(t, in, &a);
    if (ret >= 0)
        return ret;
    Av v = { t, &a, av_log2(&a), true };
    bool half = v.log2 == 1 && av_half_in_line(t, av_op(&a));
    if (!half && !in_line(&a)) {
        slow_across(t, &a);
        return true;
    }
    unsigned slow = a64_cold(t, slow_across, &a), folds = half && av_q(&a) ? 3 : 2;
    IrVal n = av_get(t, a.rn);
    if (half && !av_q(&a))
        n = av_op2(t, VOP_PUNPCKLQDQ, n, n);
    for (unsigned k = 0; k < folds; k++) {
        IrVal even = av_unzip(&v, n, n, false), odd = av_unzip(&v, n, n, true);
        n = !half ? compute(t, &a, false, even, odd, slow) : av_half(t, av_op(&a), false, false, even, odd, 0, slow);
        if (half)
            n = av_op2(t, VOP_PUNPCKLQDQ, n, n);
    }
    av_put_scalar(t, a.rd, n, v.log2);
    return true;
}

/* ---- complex numbers: pairs of real and imaginary part. k 0 FCMLA, 1 FCADD, 2 FCMLA by element ---- */
typedef enum Complex { CMLA, CADD, CMLA_ELEM } Complex;

/* Turns of 90 degrees; the pair of rm that is one. */
static unsigned turns(const A64Args *a, Complex how) { return how != CADD ? (unsigned)a->rot : a->rot ? 3 : 1; }
static unsigned pair_of(const A64Args *a) { return av_log2(a) == 1 ? (unsigned)a->hlm >> 1 : (unsigned)a->hlm >> 2; }

static void complex_helper(A64Tr *t, const A64Args *a, Complex how)
{
    bool elem = how == CMLA_ELEM;
    av_know(t, a->rd, false, false);
    a64_call(t, A64H_fcmla, a64_k(t, av_what(turns(a, how), how == CADD ? AVS_PAIR : AVS_SAME, (unsigned)a->arr, elem ? AVD_ELEM : 0)),
             a64_k(t, av_regs(a, (unsigned)a->rm & 31, elem ? pair_of(a) : 0, 0)), 0, 0);
}

static void slow_cmla(A64Tr *t, const A64Args *a) { complex_helper(t, a, CMLA); }
static void slow_cadd(A64Tr *t, const A64Args *a) { complex_helper(t, a, CADD); }
static void slow_cmla_elem(A64Tr *t, const A64Args *a) { complex_helper(t, a, CMLA_ELEM); }

/* The factor or summand @m: its parts exchanged by odd turns, the signs of those that are subtracted changed. */
static IrVal turned(A64Tr *t, IrVal m, bool dbl, unsigned n)
{
    uint64_t one = dbl ? 1ull << 63 : 1ull << 31, re = n == 1 || n == 2 ? one : 0, im = n >= 2 ? one : 0;
    if (n & 1)
        m = av_op1(t, VOP_PSHUFD, m, dbl ? 0x4e : 0xb1);
    if (!n)
        return m;
    return av_op2(t, VOP_PXOR, m, dbl ? ir_vconst(t->u, re, im) : ir_vconst(t->u, im << 32 | re, im << 32 | re));
}

static bool complex_op(A64Tr *t, const A64Args *in, Complex how)
{
    static A64ColdFn *const slow_of[] = { slow_cmla, slow_cadd, slow_cmla_elem };
    A64Args a;
    int ret = av_begin(t, in, &a);
    if (ret >= 0)
        return ret;
    if (av_fp_exact(av_log2(&a))) {
        slow_of[how](t, &a);
        return true;
    }
    unsigned slow = a64_cold(t, slow_of[how], &a), n_turns = turns(&a, how);
    bool q = av_q(&a), dbl = av_log2(&a) == 3;
    IrVal n = operand(t, a.rn, q), m = av_get(t, a.rm & 31), r;
    if (how == CMLA_ELEM)
        m = av_dup(t, m, 3, pair_of(&a));
    m = turned(t, q ? m : av_low(t, m), dbl, n_turns);
    if (how == CADD) {
        r = av_fp_binary(t, FPO_ADD, dbl, false, n, m, slow);
    } else {
        n = av_op1(t, VOP_PSHUFD, n, dbl ? (n_turns & 1 ? 0xee : 0x44) : (n_turns & 1 ? 0xf5 : 0xa0));
        r = fuse(t, FPO_MADD, dbl, false, operand(t, a.rd, q), n, m, slow);
    }
    av_put_q(t, a.rd, r, q);
    return true;
}

bool v_fcmla(A64Tr *t, const A64Args *a) { return complex_op(t, a, CMLA); }
bool v_fcadd(A64Tr *t, const A64Args *a) { return complex_op(t, a, CADD); }
bool v_fcmla_elem(A64Tr *t, const A64Args *a) { return complex_op(t, a, CMLA_ELEM); }
