/* AdvSIMD conversions. */
#include "tcg/guest/aarch64/simd.h"

void av_cvt_helper(A64Tr *t, const A64Args *a, unsigned flags, int fbits)
{
    av_know(t, a->rd, false, false);
    a64_call(t, A64H_fcvtv, a64_k(t, av_what(av_op(a), AVS_SAME, (unsigned)a->arr, flags)), a64_k(t, av_regs(a, 0, 0, fbits)), 0, 0);
}

static void slow_v(A64Tr *t, const A64Args *a) { av_cvt_helper(t, a, 0, 0); }
static void slow_s(A64Tr *t, const A64Args *a) { av_cvt_helper(t, a, AVD_SCALAR, 0); }

/* ---- float and integer, four or two singles ---- */
static const uint8_t round_mode[] = { [FPR_NEAREST] = 0, [FPR_UP] = 2, [FPR_DOWN] = 1, [FPR_ZERO] = 3, [FPR_AWAY] = 3 };
enum { QUIETLY = 8 };
static unsigned how_of(unsigned op) { return (op - A64V_FCVTNS) / 2; }
static bool is_signed(unsigned op) { return !((op - A64V_FCVTNS) & 1); }

static IrVal whole(A64Tr *t, unsigned how, IrVal x)
{
    return how == FPR_ZERO ? x : how == FPR_AWAY ? av_nearest_away(t, false, false, x) : av_op1(t, VOP_ROUNDPS, x, round_mode[how] | QUIETLY);
}

/* The conversion of what was rounded is exact. */
static void note_inexact(A64Tr *t, unsigned how, IrVal x)
{
    if (how != FPR_ZERO)
        av_op1(t, VOP_ROUNDPS, x, round_mode[how]);
}

static IrVal singles_to_int(A64Tr *t, unsigned op, IrVal x, unsigned slow)
{
    enum { GE = 13, ORDERED = 7 };
    unsigned how = how_of(op);
    bool sign = is_signed(op);
    av_fz_before(t, A64FZ_PLAIN, false, false, x, 0, 0, slow);
    IrVal r = whole(t, how, x);
    if (!sign) {               /* 0 <= x < 2^31, by the encoding */
        IrVal k = ir_vconst(t->u, 0x4f0000004f000000ull, 0x4f0000004f000000ull);
        av_any_to(t, av_op2(t, VOP_PCMPEQD, av_op2(t, VOP_PMAXUD, r, k), r), slow);
    }
    IrVal v = av_op1(t, VOP_CVTTPS2DQ, r, 0);
    if (sign) {                /* INT_MIN where it does not fit: its complement for what is too large, 0 for NaN */
        v = av_op2(t, VOP_PXOR, v, av_op2i(t, VOP_CMPPS, x, av_splat(t, 2, 0x4f000000), GE));
        v = av_op2(t, VOP_PAND, v, av_op2i(t, VOP_CMPPS, x, x, ORDERED));
    }
    note_inexact(t, how, x);
    return v;
}

/* ---- halves, which are singles on the way; out of line what does not fit into 16 bits ---- */
static IrVal halves_to_int(A64Tr *t, unsigned op, IrVal x, bool high, unsigned slow)
{
    IrVal s = av_op1(t, VOP_VCVTPH2PS, high ? av_op1(t, VOP_PSHUFD, x, 0xee) : x, 0);
    IrVal r = whole(t, how_of(op), s);
    if (!is_signed(op)) {      /* 0 <= x < 2^16, by the encoding: a negative fraction is no inexact result */
        IrVal k = av_splat(t, 2, 0x47800000);
        av_any_to(t, av_op2(t, VOP_PCMPEQD, av_op2(t, VOP_PMAXUD, r, k), r), slow);
    }
    IrVal v = av_op1(t, VOP_CVTTPS2DQ, r, 0);
    if (is_signed(op))
        av_any_to(t, av_op1(t, VOP_PSRLDI, av_op2(t, VOP_PADDD, v, av_splat(t, 2, 1 << 15)), 16), slow);
    note_inexact(t, how_of(op), s);
    return v;
}

static IrVal halves(const Av *v, unsigned op, IrVal x, unsigned slow)
{
    enum { MXCSR_ROUNDING = 4 };
    A64Tr *t = v->t;
    bool sign = op >= A64V_SCVTF ? op == A64V_SCVTF : is_signed(op);
    IrVal part[2] = { 0, 0 };
    for (unsigned n = 0; n <= v->q; n++)
        part[n] = op < A64V_SCVTF ? halves_to_int(t, op, x, n, slow) : av_op1(t, VOP_VCVTPS2PH, av_op1(t, VOP_CVTDQ2PS, av_extend(v, x, sign, n), 0), MXCSR_ROUNDING);
    if (op < A64V_SCVTF)
        return av_op2(t, sign ? VOP_PACKSSDW : VOP_PACKUSDW, part[0], v->q ? part[1] : part[0]);
    return v->q ? av_op2(t, VOP_PUNPCKLQDQ, part[0], part[1]) : part[0];
}

static IrVal singles_from_int(A64Tr *t, bool sign, IrVal x, unsigned slow)
{
    if (!sign)
        av_any_to(t, av_op1(t, VOP_PSRLDI, x, 31), slow);
    return av_op1(t, VOP_CVTDQ2PS, x, 0);
}

/* Two doubles, one after the other. */
static IrVal doubles(A64Tr *t, unsigned op, IrVal x, unsigned slow)
{
    IrVal r[2];
    for (unsigned n = 0; n < 2; n++) {
        if (op >= A64V_SCVTF) {
            IrVal i = n ? ir_vop(t->u, IRT_I64, VOP_PEXTRD, x, 0, 0, 1) : ir_vop(t->u, IRT_I64, VOP_MOVDTOI, x, 0, 0, 0);
            r[n] = av_from_int(t, op == A64V_SCVTF, true, true, i, slow);
        } else {
            r[n] = av_op1(t, VOP_MOVD, av_to_int(t, op, true, true, n ? av_op1(t, VOP_PSHUFD, x, 0xee) : x, slow), 0);
        }
    }
    return av_op2(t, VOP_PUNPCKLQDQ, r[0], r[1]);
}

bool v_fcvt(A64Tr *t, const A64Args *in)
{
    A64Args a;
    int ret = av_begin(t, in, &a);
    if (ret >= 0)
        return ret;
    unsigned op = av_op(&a);
    bool q = av_q(&a);
    if (av_log2(&a) == 1 && t->mode & A64M_FZ16) {
        slow_v(t, &a);
        return true;
    }
    unsigned slow = a64_cold(t, slow_v, &a);
    IrVal x = av_get(t, a.rn);
    if (!q)
        x = av_low(t, x);
    Av v = { t, &a, av_log2(&a), q };
    IrVal r = v.log2 == 1 ? halves(&v, op, x, slow) : v.log2 == 3 ? doubles(t, op, x, slow) : op >= A64V_SCVTF ? singles_from_int(t, op == A64V_SCVTF, x, slow) : singles_to_int(t, op, x, slow);
    av_put_q(t, a.rd, r, q);
    return true;
}

bool s_fcvt(A64Tr *t, const A64Args *in)
{
    A64Args a;
    int ret = av_begin(t, in, &a);
    if (ret >= 0)
        return ret;
    unsigned op = av_op(&a), log2 = av_log2(&a);
    bool dbl = log2 == 3;
    if (av_fp_exact(log2)) {
        slow_s(t, &a);
        return true;
    }
    unsigned slow = a64_cold(t, slow_s, &a);
    IrVal x = av_get(t, a.rn), r;
    if (op >= A64V_SCVTF)
        r = av_from_int(t, op == A64V_SCVTF, dbl, dbl, ir_vop(t->u, a64_type(dbl), VOP_MOVDTOI, x, 0, 0, 0), slow);
    else
        r = av_op1(t, VOP_MOVD, av_to_int(t, op, dbl, dbl, x, slow), 0);
    av_put_zeroed(t, a.rd, r, log2);
    return true;
}

static int fbits_of(const A64Args *a) { return (int)((16u << av_log2(a)) - (unsigned)a->immhb); }
static void slow_fixed(A64Tr *t, const A64Args *a) { av_cvt_helper(t, a, 0, fbits_of(a)); }
static void slow_fixed_s(A64Tr *t, const A64Args *a) { av_cvt_helper(t, a, AVD_SCALAR, fbits_of(a)); }

static bool fixed(A64Tr *t, const A64Args *in, bool scalar)
{
    A64Args a;
    int ret = av_begin(t, in, &a);
    if (ret >= 0)
        return ret;
    unsigned op = av_op(&a), log2 = av_log2(&a);
    bool dbl = log2 == 3, from = op >= A64V_SCVTF, sign = op == A64V_SCVTF;
    if (av_fp_exact(log2)) {
        (scalar ? slow_fixed_s : slow_fixed)(t, &a);
        return true;
    }
    unsigned slow = a64_cold(t, scalar ? slow_fixed_s : slow_fixed, &a);
    IrVal x = av_get(t, a.rn), r;
    if (!scalar && !av_q(&a))
        x = av_low(t, x);
    if (!from)
        x = av_times_power(t, dbl, scalar, x, fbits_of(&a), slow);
    if (scalar)
        r = from ? av_from_int(t, sign, dbl, dbl, ir_vop(t->u, a64_type(dbl), VOP_MOVDTOI, x, 0, 0, 0), slow) : av_op1(t, VOP_MOVD, av_to_int(t, op, dbl, dbl, x, slow), 0);
    else
        r = dbl ? doubles(t, op, x, slow) : from ? singles_from_int(t, sign, x, slow) : singles_to_int(t, op, x, slow);
    if (from)
        r = av_times_power(t, dbl, scalar, r, -fbits_of(&a), slow);
    if (scalar)
        av_put_zeroed(t, a.rd, r, log2);
    else
        av_put_q(t, a.rd, r, av_q(&a));
    return true;
}

bool v_fixed(A64Tr *t, const A64Args *a) { return fixed(t, a, false); }
bool s_fixed(A64Tr *t, const A64Args *a) { return fixed(t, a, true); }

/* ---- between formats ---- */
enum { HOW_SCALAR = 0, HOW_NARROW = 1 << 9, HOW_LONG = 2 << 9, TO_ODD = 1 << 8 };

static void convert(A64Tr *t, const A64Args *a, unsigned from, unsigned to, unsigned how)
{
    av_know(t, a->rd, false, false);
    a64_call(t, A64H_fcvt, a64_k(t, (int64_t)(from | to << 4 | how | (a->q ? 1u << 11 : 0))), a64_k(t, av_regs(a, 0, 0, 0)), 0, 0);
}

static void slow_narrow(A64Tr *t, const A64Args *a) { convert(t, a, a->size2 ? FP_DOUBLE : FP_SINGLE, a->size2 ? FP_SINGLE : FP_HALF, HOW_NARROW); }
static void slow_long(A64Tr *t, const A64Args *a) { convert(t, a, a->size2 ? FP_SINGLE : FP_HALF, a->size2 ? FP_DOUBLE : FP_SINGLE, HOW_LONG); }

bool v_fcvtn(A64Tr *t, const A64Args *a)
{
    if (a64_fp_trapped(t))
        return true;
    if (!a->size2 && t->mode & A64M_AHP) {
        slow_narrow(t, a);
        return true;
    }
    unsigned slow = a64_cold(t, slow_narrow, a);
    IrVal x = av_get(t, a->rn);
    if (!a->size2) {
        av_fz_before(t, A64FZ_PLAIN, false, false, x, 0, 0, slow);
        av_check_all(t, x, false, false, slow);
        IrVal h = av_to_halves(t, x, slow);
        av_put(t, a->rd, a->q ? av_op2(t, VOP_PUNPCKLQDQ, av_get(t, a->rd), h) : h);
        av_know(t, a->rd, !a->q, false);
        return true;
    }
    av_fz_before(t, A64FZ_TO_SINGLE, true, false, x, 0, 0, slow);
    IrVal r = av_op1(t, VOP_CVTPD2PS, x, 0);
    av_check_all(t, r, false, true, slow);
    av_put(t, a->rd, a->q ? av_op2(t, VOP_PUNPCKLQDQ, av_get(t, a->rd), r) : r);
    av_know(t, a->rd, !a->q, false);
    return true;
}

bool v_fcvtl(A64Tr *t, const A64Args *a)
{
    if (a64_fp_trapped(t))
        return true;
    if (!a->size2 && t->mode & A64M_AHP) {
        slow_long(t, a);
        return true;
    }
    IrVal n = a->q ? av_op1(t, VOP_PSHUFD, av_get(t, a->rn), 0xee) : av_get(t, a->rn);
    if (a->size2)
        av_fz_before(t, A64FZ_PLAIN, false, false, n, 0, 0, a64_cold(t, slow_long, a));
    IrVal r = av_op1(t, a->size2 ? VOP_CVTPS2PD : VOP_VCVTPH2PS, n, 0);
    av_check_all(t, r, a->size2, false, a64_cold(t, slow_long, a));
    av_put(t, a->rd, r);
    return true;
}

bool v_fcvtxn(A64Tr *t, const A64Args *a)
{
    if (!a64_fp_trapped(t))
        convert(t, a, FP_DOUBLE, FP_SINGLE, TO_ODD | HOW_NARROW);
    return true;
}

bool s_fcvtxn(A64Tr *t, const A64Args *a)
{
    if (!a64_fp_trapped(t))
        convert(t, a, FP_DOUBLE, FP_SINGLE, TO_ODD | HOW_SCALAR);
    return true;
}
