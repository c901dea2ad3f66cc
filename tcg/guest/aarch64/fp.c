/*
 * Scalar floating point on the host's instructions. The host's exception flags are FPSR's (same conditions), its rounding mode is FPCR's. What
 * differs goes out of line, to the helper, which does it again: results that are NaN (ARM has its own rules for which), the smallest normal number
 * (ARM notices underflow before rounding, the host after it), out-of-range conversions. Halves are always by helper, for FZ see fpfz.c.
 */
#include "tcg/guest/aarch64/simd.h"

static unsigned log2_of(const A64Args *a) { return a->ftype == 0 ? 2 : a->ftype == 1 ? 3 : 1; }
static unsigned arr_of(const A64Args *a) { return log2_of(a) << 1 | 1; }

/* big: 2^23 or 2^52; small: 2^-100 */
static const struct { uint64_t sign, one, smallest, half, big, inf, small, two, three_halves; } fk[2] = {
    { 0x80000000, 0x3f800000, 0x00800000, 0x3f000000, 0x4b000000, 0x7f800000, 0x0d800000, 0x40000000, 0x3fc00000 },
    { 1ull << 63, 0x3ff0000000000000, 0x0010000000000000, 0x3fe0000000000000, 0x4330000000000000, 0x7ff0000000000000, 0x39b0000000000000,
      0x4000000000000000, 0x3ff8000000000000 } };

static IrVal konst(A64Tr *t, bool dbl, bool scalar, uint64_t v)
{
    return scalar ? ir_vconst(t->u, v, 0) : av_splat(t, 2 + dbl, v);
}

void av_fp_helper(A64Tr *t, const A64Args *a, unsigned op, A64Shape shape, unsigned flags, int ra)
{
    unsigned rm = (unsigned)a->rm, index = flags & AVD_ELEM ? av_elem(a, &rm) : 0;
    av_know(t, a->rd, false, false);
    a64_call(t, A64H_fpv, a64_k(t, av_what(op, shape, (unsigned)a->arr, flags)), a64_k(t, av_regs(a, rm, index, ra)), 0, 0);
}

/* ---- checks ---- */
static IrVal absolute(A64Tr *t, bool dbl, bool scalar, IrVal v) { return av_op2(t, VOP_PAND, v, konst(t, dbl, scalar, fk[dbl].sign - 1)); }

static IrVal ucomis(A64Tr *t, bool dbl, IrVal a, IrVal b) { return ir_vop(t->u, IRT_FL, dbl ? VOP_UCOMISD : VOP_UCOMISS, a, b, 0, 0); }

void av_check(A64Tr *t, IrVal v, bool dbl, bool tiny, unsigned slow)
{
    if (tiny)
        ir_brcond(t->u, IRC_E, ucomis(t, dbl, absolute(t, dbl, true, v), konst(t, dbl, true, fk[dbl].smallest)), slow);
    else
        ir_brcond(t->u, IRC_P, ucomis(t, dbl, v, v), slow);
}

void av_any_to(A64Tr *t, IrVal v, unsigned slow)
{
    ir_brcond(t->u, IRC_NE, ir_vop(t->u, IRT_FL, VOP_PTEST, v, v, 0, 0), slow);
}

enum { CMP_EQ = 0, CMP_LT = 1, CMP_LE = 2, CMP_UNORD = 3, CMP_EQ_UQ = 8, CMP_GE = 13, CMP_GT = 14, CMP_NLT_UQ = 21, CMP_NGE_UQ = 25 };   /* SDM 2A, CMPPS */

void av_check_all(A64Tr *t, IrVal v, bool dbl, bool tiny, unsigned slow)
{
    unsigned cmp = dbl ? VOP_CMPPD : VOP_CMPPS;
    if (tiny)
        av_any_to(t, av_op2i(t, cmp, absolute(t, dbl, false, v), konst(t, dbl, false, fk[dbl].smallest), CMP_EQ_UQ), slow);
    else
        av_any_to(t, av_op2i(t, cmp, v, v, CMP_UNORD), slow);
}

static void check(A64Tr *t, IrVal v, bool dbl, bool scalar, bool tiny, unsigned slow)
{
    (scalar ? av_check : av_check_all)(t, v, dbl, tiny, slow);
}

/* ---- operations ---- */
/* Minimum or maximum: no NaN among them; of zeros with different signs the host answers the second operand, either way. */
static IrVal extreme(A64Tr *t, bool dbl, bool scalar, bool max, IrVal n, IrVal m, unsigned slow)
{
    static const uint16_t vop[2][4] = { { VOP_MINPS, VOP_MINPD, VOP_MINSS, VOP_MINSD }, { VOP_MAXPS, VOP_MAXPD, VOP_MAXSS, VOP_MAXSD } };
    unsigned op = vop[max][scalar * 2 + dbl];
    if (scalar)
        ir_brcond(t->u, IRC_P, ucomis(t, dbl, n, m), slow);
    else
        av_any_to(t, av_op2i(t, dbl ? VOP_CMPPD : VOP_CMPPS, n, m, CMP_UNORD), slow);
    IrVal r = av_op2(t, max ? VOP_PAND : VOP_POR, av_op2(t, op, n, m), av_op2(t, op, m, n));
    return scalar ? av_low_elem(t, r, 2 + dbl) : r;
}

static IrVal comparison(A64Tr *t, unsigned op, bool dbl, bool scalar, IrVal n, IrVal m)
{
    static const uint8_t how[] = { [FPO_CMEQ] = CMP_EQ, [FPO_CMGE] = CMP_GE, [FPO_CMGT] = CMP_GT, [FPO_CMLE] = CMP_LE, [FPO_CMLT] = CMP_LT, [FPO_ACGE] = CMP_GE,
                                   [FPO_ACGT] = CMP_GT };
    if (op >= FPO_ACGE) {
        n = absolute(t, dbl, scalar, n);
        m = absolute(t, dbl, scalar, m);
    }
    return av_op2i(t, scalar ? dbl ? VOP_CMPSD : VOP_CMPSS : dbl ? VOP_CMPPD : VOP_CMPPS, n, m, how[op]);
}

/*
 * FRECPS: 2 - n * m, FRSQRTS: (3 - n * m) / 2, which is 1.5 - n / 2 * m as long as halving n is exact. Infinities (0 times them is no error here),
 * NaNs and small n go out of line.
 */
static IrVal step(A64Tr *t, bool rsqrt, bool dbl, bool scalar, IrVal n, IrVal m, unsigned slow)
{
    unsigned cmp = scalar ? dbl ? VOP_CMPSD : VOP_CMPSS : dbl ? VOP_CMPPD : VOP_CMPPS;
    static const uint16_t mul[4] = { VOP_MULPS, VOP_MULPD, VOP_MULSS, VOP_MULSD }, fma[4] = { VOP_FNMADD231PS, VOP_FNMADD231PD, VOP_FNMADD231SS, VOP_FNMADD231SD };
    IrVal x = absolute(t, dbl, scalar, n), inf = konst(t, dbl, scalar, fk[dbl].inf);
    IrVal bad = av_op2(t, VOP_POR, av_op2i(t, cmp, x, inf, CMP_EQ_UQ), av_op2i(t, cmp, absolute(t, dbl, scalar, m), inf, CMP_EQ_UQ));
    if (rsqrt)
        bad = av_op2(t, VOP_POR, bad, av_op2i(t, cmp, x, konst(t, dbl, scalar, fk[dbl].small), CMP_NGE_UQ));
    if (scalar)
        bad = av_low(t, bad);
    av_any_to(t, bad, slow);
    if (rsqrt)
        n = av_op2(t, mul[scalar * 2 + dbl], n, konst(t, dbl, scalar, fk[dbl].half));
    IrVal r = av_op3(t, fma[scalar * 2 + dbl], konst(t, dbl, scalar, rsqrt ? fk[dbl].three_halves : fk[dbl].two), n, m);
    av_fz_after(t, dbl, scalar, r, slow);
    return r;
}

/* FMULX: 0 times an infinity is 2 there, and no exception. */
static void no_infinity(A64Tr *t, bool dbl, bool scalar, IrVal n, IrVal m, unsigned slow)
{
    unsigned cmp = scalar ? dbl ? VOP_CMPSD : VOP_CMPSS : dbl ? VOP_CMPPD : VOP_CMPPS;
    IrVal inf = konst(t, dbl, scalar, fk[dbl].inf);
    IrVal bad = av_op2(t, VOP_POR, av_op2i(t, cmp, absolute(t, dbl, scalar, n), inf, CMP_EQ_UQ), av_op2i(t, cmp, absolute(t, dbl, scalar, m), inf, CMP_EQ_UQ));
    av_any_to(t, scalar ? av_low(t, bad) : bad, slow);
}

IrVal av_fp_binary(A64Tr *t, unsigned op, bool dbl, bool scalar, IrVal n, IrVal m, unsigned slow)
{
    static const uint16_t vop[][4] = { [FPO_ADD] = { VOP_ADDPS, VOP_ADDPD, VOP_ADDSS, VOP_ADDSD }, [FPO_SUB] = { VOP_SUBPS, VOP_SUBPD, VOP_SUBSS, VOP_SUBSD },
                                       [FPO_MUL] = { VOP_MULPS, VOP_MULPD, VOP_MULSS, VOP_MULSD }, [FPO_DIV] = { VOP_DIVPS, VOP_DIVPD, VOP_DIVSS, VOP_DIVSD } };
    unsigned form = scalar * 2u + dbl, how = op == FPO_ABD ? FPO_SUB : op == FPO_NMUL || op == FPO_MULX ? FPO_MUL : op;
    bool product = how == FPO_MUL || op == FPO_RECPS || op == FPO_RSQRTS;
    av_fz_before(t, product ? A64FZ_MUL : how == FPO_DIV ? A64FZ_DIV : A64FZ_PLAIN, dbl, scalar, n, m, 0, slow);
    if (op >= FPO_MAX && op <= FPO_MINNM)
        return extreme(t, dbl, scalar, op == FPO_MAX || op == FPO_MAXNM, n, m, slow);
    if (op >= FPO_CMEQ && op <= FPO_ACGT)
        return comparison(t, op, dbl, scalar, n, m);
    if (op == FPO_RECPS || op == FPO_RSQRTS)
        return step(t, op == FPO_RSQRTS, dbl, scalar, n, m, slow);
    if (op == FPO_MULX)
        no_infinity(t, dbl, scalar, n, m, slow);
    if (how > FPO_DIV)
        return 0;
    IrVal r = av_op2(t, vop[how][form], n, m);
    check(t, r, dbl, scalar, how >= FPO_MUL, slow);
    if (how < FPO_MUL)
        av_fz_after(t, dbl, scalar, r, slow);
    if (op == FPO_ABD)
        return absolute(t, dbl, scalar, r);
    return op == FPO_NMUL ? av_op2(t, VOP_PXOR, r, konst(t, dbl, scalar, fk[dbl].sign)) : r;
}

/* To nearest with ties away: towards zero, plus one where half or more is missing. Beyond 2^23 or 2^52, out of line. All steps are exact. */
static IrVal round_away(A64Tr *t, bool dbl, bool scalar, IrVal x, unsigned slow)
{
    unsigned round = scalar ? dbl ? VOP_ROUNDSD : VOP_ROUNDSS : dbl ? VOP_ROUNDPD : VOP_ROUNDPS;
    IrVal mag = absolute(t, dbl, scalar, x), big = konst(t, dbl, scalar, fk[dbl].big);
    if (scalar)
        ir_brcond(t->u, IRC_BE, ucomis(t, dbl, big, mag), slow);
    else
        av_any_to(t, av_op2i(t, dbl ? VOP_CMPPD : VOP_CMPPS, mag, big, CMP_NLT_UQ), slow);
    IrVal whole = scalar ? av_op2i(t, round, mag, mag, 11) : av_op1(t, round, mag, 11);
    IrVal rest = av_op2(t, scalar ? dbl ? VOP_SUBSD : VOP_SUBSS : dbl ? VOP_SUBPD : VOP_SUBPS, mag, whole);
    IrVal up = av_op2i(t, scalar ? dbl ? VOP_CMPSD : VOP_CMPSS : dbl ? VOP_CMPPD : VOP_CMPPS, rest, konst(t, dbl, scalar, fk[dbl].half), CMP_GE);
    up = av_op2(t, VOP_PAND, up, konst(t, dbl, scalar, fk[dbl].one));
    IrVal r = av_op2(t, scalar ? dbl ? VOP_ADDSD : VOP_ADDSS : dbl ? VOP_ADDPD : VOP_ADDPS, whole, up);
    return av_op2(t, VOP_POR, r, av_op2(t, VOP_PAND, x, konst(t, dbl, scalar, fk[dbl].sign)));
}

IrVal av_fp_unary(A64Tr *t, unsigned op, bool dbl, bool scalar, IrVal x, unsigned slow)
{
    static const uint8_t mode[] = { [FPO_RINTN] = 8, [FPO_RINTP] = 10, [FPO_RINTM] = 9, [FPO_RINTZ] = 11, [FPO_RINTX] = 4, [FPO_RINTI] = 12 };
    IrVal r;
    if (op != FPO_ABS && op != FPO_NEG)
        av_fz_before(t, A64FZ_PLAIN, dbl, scalar, x, 0, 0, slow);
    switch (op) {
    case FPO_ABS: return absolute(t, dbl, scalar, x);
    case FPO_NEG: return av_op2(t, VOP_PXOR, x, konst(t, dbl, scalar, fk[dbl].sign));
    case FPO_RINTA: return round_away(t, dbl, scalar, x, slow);
    case FPO_SQRT:
        r = scalar ? av_op2(t, dbl ? VOP_SQRTSD : VOP_SQRTSS, av_zero(t), x) : av_op1(t, dbl ? VOP_SQRTPD : VOP_SQRTPS, x, 0);
        break;
    case FPO_RINTN: case FPO_RINTP: case FPO_RINTM: case FPO_RINTZ: case FPO_RINTX: case FPO_RINTI:
        r = scalar ? av_op2i(t, dbl ? VOP_ROUNDSD : VOP_ROUNDSS, av_zero(t), x, mode[op]) : av_op1(t, dbl ? VOP_ROUNDPD : VOP_ROUNDPS, x, mode[op]);
        break;
    default: return 0;
    }
    check(t, r, dbl, scalar, false, slow);
    return r;
}

/* ---- scalar arithmetic ---- */
static bool zeroed(const A64Tr *t, int n, bool dbl) { return (dbl ? t->zero64 : t->zero32) >> n & 1; }

/* A result whose rest came with it from register @from. */
static void put_result(A64Tr *t, int n, IrVal v, bool dbl, int from)
{
    if (zeroed(t, from, dbl))
        av_put_zeroed(t, n, v, 2 + dbl);
    else
        av_put_scalar(t, n, v, 2 + dbl);
}

static void slow_bin(A64Tr *t, const A64Args *in)
{
    A64Args a = *in;
    a.arr = (int32_t)arr_of(in);
    av_fp_helper(t, &a, (unsigned)in->k, AVS_SAME, AVD_SCALAR, 0);
}

bool fp_bin(A64Tr *t, const A64Args *a)
{
    unsigned log2 = log2_of(a);
    if (a64_fp_trapped(t))
        return true;
    if (log2 == 1 && av_half_in_line(t, (unsigned)a->k)) {
        av_put_scalar(t, a->rd, av_half(t, (unsigned)a->k, true, false, av_get(t, a->rn), av_get(t, a->rm), 0, a64_cold(t, slow_bin, a)), 1);
        return true;
    }
    if (av_fp_exact(log2)) {
        slow_bin(t, a);
        return true;
    }
    bool dbl = log2 == 3, turn = (a->k == FPO_ADD || a->k == FPO_MUL || a->k == FPO_NMUL) && !zeroed(t, a->rn, dbl) && zeroed(t, a->rm, dbl);
    int n = turn ? a->rm : a->rn, m = turn ? a->rn : a->rm;
    put_result(t, a->rd, av_fp_binary(t, (unsigned)a->k, dbl, true, av_get(t, n), av_get(t, m), a64_cold(t, slow_bin, a)), dbl, n);
    return true;
}

bool fp_un(A64Tr *t, const A64Args *a)
{
    unsigned log2 = log2_of(a);
    bool dbl = log2 == 3;
    if (a64_fp_trapped(t))
        return true;
    if (a->k == FPO_ABS || a->k == FPO_NEG) {
        uint64_t sign = 1ull << ((8u << log2) - 1);
        IrVal x = av_get(t, a->rn);
        if (a->k == FPO_ABS)
            av_put_zeroed(t, a->rd, av_op2(t, VOP_PAND, x, ir_vconst(t->u, sign - 1, 0)), log2);
        else
            av_put_scalar(t, a->rd, av_op2(t, VOP_PXOR, x, ir_vconst(t->u, sign, 0)), log2);
    } else if (log2 == 1 && av_half_in_line(t, (unsigned)a->k)) {
        av_put_scalar(t, a->rd, av_half(t, (unsigned)a->k, true, false, av_get(t, a->rn), 0, 0, a64_cold(t, slow_bin, a)), 1);
    } else if (av_fp_exact(log2)) {
        slow_bin(t, a);
    } else {
        IrVal r = av_fp_unary(t, (unsigned)a->k, dbl, true, av_get(t, a->rn), a64_cold(t, slow_bin, a));
        if (a->k == FPO_RINTA)
            av_put_scalar(t, a->rd, r, log2);
        else
            av_put_zeroed(t, a->rd, r, log2);
    }
    return true;
}

static void slow_fma(A64Tr *t, const A64Args *in)
{
    A64Args a = *in;
    a.arr = (int32_t)arr_of(in);
    av_fp_helper(t, &a, (unsigned)in->k, AVS_SAME, AVD_SCALAR, a.ra);
}

bool fp_fma(A64Tr *t, const A64Args *a)
{
    static const uint16_t vop[4][2] = { { VOP_FMADD231SS, VOP_FMADD231SD }, { VOP_FNMADD231SS, VOP_FNMADD231SD }, { VOP_FNMSUB231SS, VOP_FNMSUB231SD },
                                        { VOP_FMSUB231SS, VOP_FMSUB231SD } };
    unsigned log2 = log2_of(a);
    bool dbl = log2 == 3;
    if (a64_fp_trapped(t))
        return true;
    if (log2 == 1 && !av_half_in_line(t, (unsigned)a->k)) {
        slow_fma(t, a);
        return true;
    }
    unsigned slow = a64_cold(t, slow_fma, a);
    IrVal d = av_get(t, a->ra), n = av_get(t, a->rn), m = av_get(t, a->rm);
    if (log2 == 1) {
        av_put_scalar(t, a->rd, av_half(t, (unsigned)a->k, true, false, n, m, d, slow), 1);
        return true;
    }
    av_fz_before(t, A64FZ_MUL, dbl, true, n, m, d, slow);
    IrVal r = av_op3(t, vop[a->k - FPO_MADD][dbl], d, n, m);
    av_check(t, r, dbl, true, slow);
    av_fz_after(t, dbl, true, r, slow);
    put_result(t, a->rd, r, dbl, a->ra);
    return true;
}

/* ---- moves, immediates, selection ---- */
bool fp_mov(A64Tr *t, const A64Args *a)
{
    if (!a64_fp_trapped(t))
        av_put_scalar(t, a->rd, av_get(t, a->rn), log2_of(a));
    return true;
}

bool fp_imm(A64Tr *t, const A64Args *a)
{
    if (!a64_fp_trapped(t))
        av_put_zeroed(t, a->rd, ir_vconst(t->u, av_fp_imm((unsigned)a->imm, log2_of(a)), 0), log2_of(a));
    return true;
}

static IrVal as_int(A64Tr *t, int n, bool wide) { return ir_vop(t->u, wide ? IRT_I64 : IRT_I32, VOP_MOVDTOI, av_get(t, n), 0, 0, 0); }

/* k: log2 of the bytes, 4: the upper half */
bool fp_mov_to(A64Tr *t, const A64Args *a)
{
    if (a64_fp_trapped(t))
        return true;
    if (a->k == 4)
        a64_put_x(t, a->rd, ir_vop(t->u, IRT_I64, VOP_PEXTRD, av_get(t, a->rn), 0, 0, 1));
    else if (a->k == 1)
        a64_put_r(t, 0, a->rd, ir_vop(t->u, IRT_I32, VOP_PEXTRW, av_get(t, a->rn), 0, 0, 0));
    else
        a64_put_r(t, a->k == 3, a->rd, as_int(t, a->rn, a->k == 3));
    return true;
}

bool fp_mov_from(A64Tr *t, const A64Args *a)
{
    if (a64_fp_trapped(t))
        return true;
    if (a->k == 4) {
        av_put(t, a->rd, av_insert(t, av_get(t, a->rd), a64_x(t, a->rn), 3, 1));
        return true;
    }
    IrVal x = a64_r(t, a->k == 3, a->rn);
    if (a->k == 1)
        x = ir_zext(t->u, IRT_I32, IRT_I16, ir_trunc(t->u, IRT_I16, x));
    av_put_zeroed(t, a->rd, av_op1(t, VOP_MOVD, x, 0), (unsigned)a->k);
    return true;
}

bool fp_csel(A64Tr *t, const A64Args *a)
{
    unsigned log2 = log2_of(a);
    if (a64_fp_trapped(t))
        return true;
    if (a->cond >= 14) {
        av_put_scalar(t, a->rd, av_get(t, a->rn), log2);
        return true;
    }
    IrVal fl;
    IrCond cc = a64_cond(t, (unsigned)a->cond, &fl);
    IrVal x = ir_select(t->u, a64_type(log2 == 3), cc, fl, as_int(t, a->rn, log2 == 3), as_int(t, a->rm, log2 == 3));
    if (log2 == 1)
        x = ir_bin(t->u, IR_AND, IRT_I32, x, ir_const(t->u, IRT_I32, 0xffff));
    av_put_zeroed(t, a->rd, av_op1(t, VOP_MOVD, x, 0), log2);
    return true;
}

/* ---- comparisons: k bit 0 signals, bit 1 with zero ---- */
static void put_nzcv(A64Tr *t, IrVal packed)
{
    ir_put(t->u, IRT_FL, A64S_FL, ir_un(t->u, IR_FLUNPACK, IRT_FL, packed));
    t->raw = 0;
    t->raw_kind = A64FL_NONE;
}

static void slow_compare(A64Tr *t, const A64Args *a)
{
    IrVal n = as_int(t, a->rn, true), m = a->k & 2 ? a64_k(t, 0) : as_int(t, a->rm, true);
    IrVal v = a64_call(t, A64H_fp_compare, a64_k(t, (log2_of(a) - 1) | (a->k & 1u) << 4), n, m, 0);
    put_nzcv(t, ir_trunc(t->u, IRT_I32, v));
}

static void compare(A64Tr *t, const A64Args *a)
{
    bool dbl = log2_of(a) == 3, half = log2_of(a) == 1;
    if (half && t->mode & A64M_FZ16) {
        slow_compare(t, a);
        return;
    }
    IrVal n = av_get(t, a->rn), m = a->k & 2 ? 0 : av_get(t, a->rm);
    if (half) {
        n = av_half_to_single(t, n);
        m = m ? av_half_to_single(t, m) : 0;
    } else if (t->mode & A64M_FZ)
        av_fz_before(t, A64FZ_PLAIN, dbl, true, n, m, 0, a64_cold(t, slow_compare, a));
    a64_put_flags_fcmp(t, n, m ? m : av_zero(t), dbl, a->k & 1);
}

bool fp_cmp(A64Tr *t, const A64Args *a)
{
    bool dbl = log2_of(a) == 3;
    if (a64_fp_trapped(t))
        return true;
    if (t->mode & A64M_FZ || av_fp_exact(log2_of(a)) || t->cold_now)
        compare(t, a);
    else
        a64_late_flags_fcmp(t, a, compare, av_get(t, a->rn), a->k & 2 ? av_zero(t) : av_get(t, a->rm), dbl, a->k & 1);
    return true;
}

bool fp_ccmp(A64Tr *t, const A64Args *a)
{
    if (a64_fp_trapped(t))
        return true;
    if (a->cond >= 14) {
        compare(t, a);
        return true;
    }
    unsigned other = ir_label_new(t->u), end = ir_label_new(t->u), z = (unsigned)a->nzcv;
    IrVal fl;
    IrCond cc = a64_cond(t, (unsigned)a->cond, &fl);
    ir_brcond(t->u, cc ^ 1, fl, other);
    compare(t, a);
    ir_br(t->u, end);
    a64_label(t, other);
    put_nzcv(t, ir_const(t->u, IRT_I32, (z & 8 ? IRFL_N : 0) | (z & 4 ? IRFL_Z : 0) | (z & 2 ? 0 : IRFL_C) | (z & 1 ? IRFL_V : 0)));
    a64_label(t, end);
    return true;
}
