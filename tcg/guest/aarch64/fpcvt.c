/* Conversions of floating-point scalars: between formats, to and from integers. As in fp.c, what the host does differently is out of line. */
#include "tcg/guest/aarch64/simd.h"

static unsigned log2_of(const A64Args *a) { return a->ftype == 0 ? 2 : a->ftype == 1 ? 3 : 1; }

/* ---- between formats; k: FCVT's opcode of the result ---- */
static void slow_cvt(A64Tr *t, const A64Args *a)
{
    unsigned to = a->k == 0 ? FP_SINGLE : a->k == 1 ? FP_DOUBLE : FP_HALF;
    av_know(t, a->rd, false, false);
    a64_call(t, A64H_fcvt, a64_k(t, (log2_of(a) - 1) | to << 4), a64_k(t, av_regs(a, 0, 0, 0)), 0, 0);
}

bool fp_cvt(A64Tr *t, const A64Args *a)
{
    bool dbl = a->k == 1;
    if (a64_fp_trapped(t))
        return true;
    /* FZ16 is not for conversions between formats */
    if (a->k == 3 && log2_of(a) == 2 && !(t->mode & A64M_AHP)) {
        unsigned slow = a64_cold(t, slow_cvt, a);
        IrVal x = av_low_elem(t, av_get(t, a->rn), 2);
        av_fz_before(t, A64FZ_PLAIN, false, true, x, 0, 0, slow);
        av_check(t, x, false, false, slow);
        av_put_zeroed(t, a->rd, av_to_halves(t, x, slow), 1);
        return true;
    }
    if (a->k == 0 && log2_of(a) == 1 && !(t->mode & A64M_AHP)) {
        IrVal x = av_op1(t, VOP_VCVTPH2PS, av_low_elem(t, av_get(t, a->rn), 1), 0);
        av_check(t, x, false, false, a64_cold(t, slow_cvt, a));
        av_put_zeroed(t, a->rd, x, 2);
        return true;
    }
    if ((a->k == 3 || log2_of(a) == 1) && !(t->mode & (A64M_AHP | A64M_FZ))) {      /* between halves and doubles, by singles */
        unsigned slow = a64_cold(t, slow_cvt, a);
        IrVal x = av_get(t, a->rn);
        x = dbl ? av_half_to_single(t, x) : av_op2(t, VOP_CVTSD2SS, av_zero(t), x);
        av_check(t, x, false, false, slow);
        av_put_zeroed(t, a->rd, dbl ? av_op2(t, VOP_CVTSS2SD, av_zero(t), x) : av_to_halves_again(t, x, slow), dbl ? 3 : 1);
        return true;
    }
    if (a->k == 3 || av_fp_exact(log2_of(a))) {
        slow_cvt(t, a);
        return true;
    }
    unsigned slow = a64_cold(t, slow_cvt, a);
    IrVal x = av_get(t, a->rn);
    av_fz_before(t, dbl ? A64FZ_PLAIN : A64FZ_TO_SINGLE, !dbl, true, x, 0, 0, slow);
    IrVal r = av_op2(t, dbl ? VOP_CVTSS2SD : VOP_CVTSD2SS, av_zero(t), x);
    av_check(t, r, dbl, !dbl, slow);
    av_put_zeroed(t, a->rd, r, 2 + dbl);
    return true;
}

/* ---- to integers ---- */
static IrVal rounded(A64Tr *t, bool dbl, IrVal x, unsigned mode) { return av_op2i(t, dbl ? VOP_ROUNDSD : VOP_ROUNDSS, av_zero(t), x, mode); }

/* To nearest with ties away: what is missing to the next integer towards zero, doubled, is -1, 0 or 1 towards zero. Every step is exact. */
IrVal av_nearest_away(A64Tr *t, bool dbl, bool scalar, IrVal x)
{
    static const uint16_t vop[3][4] = { { VOP_ROUNDPS, VOP_ROUNDPD, VOP_ROUNDSS, VOP_ROUNDSD }, { VOP_ADDPS, VOP_ADDPD, VOP_ADDSS, VOP_ADDSD },
                                        { VOP_SUBPS, VOP_SUBPD, VOP_SUBSS, VOP_SUBSD } };
    enum { QUIETLY_TO_ZERO = 11 };
    unsigned form = scalar * 2u + dbl;
    IrVal whole = scalar ? av_op2i(t, vop[0][form], x, x, QUIETLY_TO_ZERO) : av_op1(t, vop[0][form], x, QUIETLY_TO_ZERO);
    IrVal rest = av_op2(t, vop[2][form], x, whole), twice = av_op2(t, vop[1][form], rest, rest);
    return av_op2(t, vop[1][form], whole, scalar ? av_op2i(t, vop[0][form], twice, twice, QUIETLY_TO_ZERO) : av_op1(t, vop[0][form], twice, QUIETLY_TO_ZERO));
}

/* The host answers INT_MIN to what does not fit; for unsigned ones the encoding says beforehand whether it does. */
IrVal av_to_int(A64Tr *t, unsigned op, bool dbl, bool wide, IrVal x, unsigned slow)
{
    static const uint8_t mode[] = { [FPR_NEAREST] = 0, [FPR_UP] = 2, [FPR_DOWN] = 1, [FPR_ZERO] = 3, [FPR_AWAY] = 3 };
    IrUnit *u = t->u;
    unsigned how = (op - A64V_FCVTNS) / 2, vop = dbl ? VOP_CVTTSD2SI : VOP_CVTTSS2SI;
    bool sign = !((op - A64V_FCVTNS) & 1);
    av_fz_before(t, A64FZ_PLAIN, dbl, true, x, 0, 0, slow);
    IrVal r = how == FPR_ZERO ? x : how == FPR_AWAY ? av_nearest_away(t, dbl, true, x) : rounded(t, dbl, x, mode[how] | 8), v;
    if (sign) {
        IrType type = a64_type(wide);
        v = ir_vop(u, type, vop, r, 0, 0, 0);
        ir_brcond(u, IRC_E, ir_cmp(u, type, v, ir_const(u, type, wide ? INT64_MIN : INT32_MIN)), slow);
    } else {
        uint64_t limit = dbl ? wide ? 0x43e0000000000000 : 0x41f0000000000000 : wide ? 0x5f000000 : 0x4f800000;
        IrVal bits = ir_vop(u, a64_type(dbl), VOP_MOVDTOI, r, 0, 0, 0);
        ir_brcond(u, IRC_AE, ir_cmp(u, a64_type(dbl), bits, ir_const(u, a64_type(dbl), (int64_t)limit)), slow);
        v = ir_vop(u, IRT_I64, vop, r, 0, 0, 0);
        if (!wide)
            v = ir_trunc(u, IRT_I32, v);
    }
    if (how != FPR_ZERO)
        rounded(t, dbl, x, mode[how]);     /* only for the inexact flag */
    return v;
}

static void to_int_helper(A64Tr *t, const A64Args *a, unsigned fbits)
{
    IrVal bits = ir_vop(t->u, IRT_I64, VOP_MOVDTOI, av_get(t, a->rn), 0, 0, 0);
    int64_t what = (int64_t)((unsigned)a->k - A64V_FCVTNS) | (log2_of(a) - 1) << 8 | (unsigned)a->sf << 12 | fbits << 16;
    a64_put_x(t, a->rd, a64_call(t, A64H_fp_to_int, a64_k(t, what), bits, 0, 0));
}

static void slow_toint(A64Tr *t, const A64Args *a) { to_int_helper(t, a, 0); }

bool fp_toint(A64Tr *t, const A64Args *a)
{
    unsigned log2 = log2_of(a);
    if (a64_fp_trapped(t))
        return true;
    if (log2 == 1 && t->mode & A64M_FZ16) {
        slow_toint(t, a);
        return true;
    }
    IrVal x = log2 == 1 ? av_half_to_single(t, av_get(t, a->rn)) : av_get(t, a->rn);
    a64_put_r(t, a->sf, a->rd, av_to_int(t, (unsigned)a->k, log2 == 3, a->sf, x, a64_cold(t, slow_toint, a)));
    return true;
}

static unsigned fbits_of(const A64Args *a) { return 64 - (unsigned)a->immhb; }
static void slow_tofixed(A64Tr *t, const A64Args *a) { to_int_helper(t, a, fbits_of(a)); }

bool fp_tofixed(A64Tr *t, const A64Args *in)
{
    A64Args a;
    int r = av_begin(t, in, &a);
    if (r >= 0)
        return r;
    bool dbl = log2_of(&a) == 3;
    if (av_fp_exact(log2_of(&a))) {
        slow_tofixed(t, &a);
        return true;
    }
    unsigned slow = a64_cold(t, slow_tofixed, &a);
    IrVal x = av_times_power(t, dbl, true, av_get(t, a.rn), (int)fbits_of(&a), slow);
    a64_put_r(t, a.sf, a.rd, av_to_int(t, (unsigned)a.k, dbl, a.sf, x, slow));
    return true;
}

bool fp_jcvt(A64Tr *t, const A64Args *a)
{
    IrUnit *u = t->u;
    if (a64_fp_trapped(t))
        return true;
    IrVal v = a64_call(t, A64H_fjcvtzs, 0, ir_vop(u, IRT_I64, VOP_MOVDTOI, av_get(t, a->rn), 0, 0, 0), 0, 0);
    IrVal z = ir_trunc(u, IRT_I32, ir_tri(u, IR_SHR, IRT_I64, v, ir_const(u, IRT_I8, 32), 0));
    a64_put_r(t, 0, a->rd, ir_trunc(u, IRT_I32, v));
    z = ir_bin(u, IR_OR, IRT_I32, ir_tri(u, IR_SHL, IRT_I32, z, ir_const(u, IRT_I8, 14), 0), ir_const(u, IRT_I32, IRFL_C));
    ir_put(u, IRT_FL, A64S_FL, ir_un(u, IR_FLUNPACK, IRT_FL, z));
    t->raw = 0;
    t->raw_kind = A64FL_NONE;
    return true;
}

/* ---- from integers ---- */
IrVal av_from_int(A64Tr *t, bool sign, bool dbl, bool wide, IrVal x, unsigned slow)
{
    if (!wide)
        x = sign ? ir_sext(t->u, IRT_I64, IRT_I32, x) : ir_zext(t->u, IRT_I64, IRT_I32, x);
    else if (!sign)
        ir_brcond(t->u, IRC_S, ir_test(t->u, IRT_I64, x, x), slow);
    return ir_vop(t->u, IRT_V128, dbl ? VOP_CVTSI2SD : VOP_CVTSI2SS, av_zero(t), x, 0, 0);
}

static void from_int_helper(A64Tr *t, const A64Args *a, unsigned fbits)
{
    bool sign = a->k == A64V_SCVTF;
    IrVal x = a->sf ? a64_x(t, a->rn) : sign ? ir_sext(t->u, IRT_I64, IRT_I32, a64_r(t, 0, a->rn)) : ir_zext(t->u, IRT_I64, IRT_I32, a64_r(t, 0, a->rn));
    IrVal v = a64_call(t, A64H_fp_from_int, a64_k(t, (int64_t)sign | (log2_of(a) - 1) << 8 | fbits << 16), x, 0, 0);
    av_put_zeroed(t, a->rd, av_op1(t, VOP_MOVD, v, 0), log2_of(a));
}

static void slow_fromint(A64Tr *t, const A64Args *a) { from_int_helper(t, a, 0); }

bool fp_fromint(A64Tr *t, const A64Args *a)
{
    unsigned log2 = log2_of(a);
    if (a64_fp_trapped(t))
        return true;
    unsigned slow = a64_cold(t, slow_fromint, a);
    IrVal r = av_from_int(t, a->k == A64V_SCVTF, log2 == 3, a->sf, a64_r(t, a->sf, a->rn), slow);
    if (log2 == 1)             /* what a single has not exactly is too large for a half */
        r = av_to_halves(t, r, slow);
    av_put_zeroed(t, a->rd, r, log2);
    return true;
}

static void slow_fromfixed(A64Tr *t, const A64Args *a) { from_int_helper(t, a, fbits_of(a)); }

bool fp_fromfixed(A64Tr *t, const A64Args *in)
{
    A64Args a;
    int r = av_begin(t, in, &a);
    if (r >= 0)
        return r;
    bool dbl = log2_of(&a) == 3;
    if (av_fp_exact(log2_of(&a))) {
        slow_fromfixed(t, &a);
        return true;
    }
    IrVal x = av_from_int(t, a.k == A64V_SCVTF, dbl, a.sf, a64_r(t, a.sf, a.rn), a64_cold(t, slow_fromfixed, &a));
    av_put_zeroed(t, a.rd, av_times_power(t, dbl, true, x, -(int)fbits_of(&a), 0), 2 + dbl);
    return true;
}
