/* AdvSIMD shifts by immediates. */
#include "tcg/guest/aarch64/simd.h"

const uint16_t av_psrli[4] = { 0, VOP_PSRLWI, VOP_PSRLDI, VOP_PSRLQI }, av_pslli[4] = { 0, VOP_PSLLWI, VOP_PSLLDI, VOP_PSLLQI };

static IrVal left(const Av *v, IrVal n, unsigned by)
{
    if (v->log2)
        return av_op1(v->t, av_pslli[v->log2], n, by);
    return av_op2(v->t, VOP_PAND, av_op1(v->t, VOP_PSLLWI, n, by), av_splat(v->t, 0, 0xffull << by));
}

static IrVal right(const Av *v, IrVal n, unsigned by)
{
    if (v->log2)
        return av_op1(v->t, av_psrli[v->log2], n, by);
    return av_op2(v->t, VOP_PAND, av_op1(v->t, VOP_PSRLWI, n, by), av_splat(v->t, 0, 0xffu >> by));
}

static IrVal right_signed(const Av *v, IrVal n, unsigned by)
{
    A64Tr *t = v->t;
    if (v->log2 == 1 || v->log2 == 2)
        return av_op1(t, v->log2 == 1 ? VOP_PSRAWI : VOP_PSRADI, n, by);
    if (v->log2 == 0) {
        if (by >= 8)
            by = 7;
        IrVal sign = av_splat(t, 0, 0x80u >> by);
        return av_op2(t, VOP_PSUBB, av_op2(t, VOP_PXOR, right(v, n, by), sign), sign);
    }
    IrVal sign = av_op2(t, VOP_PCMPGTQ, av_zero(t), n);
    return by >= 64 ? sign : av_op2(t, VOP_POR, av_op1(t, VOP_PSRLQI, n, by), av_op1(t, VOP_PSLLQI, sign, 64 - by));
}

/* Rounded: the last bit shifted out is added. */
static IrVal rounded(const Av *v, IrVal n, unsigned by, bool sign)
{
    IrVal bit = av_op2(v->t, VOP_PAND, right(v, n, by - 1), av_splat(v->t, v->log2, 1));
    return av_vop(v, av_padd, sign ? right_signed(v, n, by) : right(v, n, by), bit);
}

/* To the left, saturating: what does not come back was too much. SQSHLU takes a negative number as 0 and that as saturation. */
static IrVal left_saturating(const Av *v, unsigned op, IrVal n, unsigned by)
{
    A64Tr *t = v->t;
    unsigned bits = 8u << v->log2;
    IrVal from = n;
    if (op == A64V_SQSHLU)
        from = av_op2(t, VOP_PANDN, av_vop(v, av_pcmpgt, av_zero(t), n), n);
    IrVal r = left(v, from, by), back = op == A64V_SQSHLI ? right_signed(v, r, by) : right(v, r, by);
    IrVal fits = av_vop(v, av_pcmpeq, back, from), end = av_ones(t), diff = av_op2(t, VOP_PXOR, back, n);
    if (op == A64V_SQSHLI)
        end = av_op2(t, VOP_PXOR, av_vop(v, av_pcmpgt, av_zero(t), n), av_splat(t, v->log2, ~0ull >> (65 - bits)));
    av_note_sat(t, v->q ? diff : av_low(t, diff));
    return av_op3(t, VOP_PBLENDVB, end, r, fits);
}

IrVal av_shift(const Av *v, unsigned op, IrVal n, IrVal d, unsigned by)
{
    A64Tr *t = v->t;
    unsigned bits = 8u << v->log2;
    uint64_t ones = ~0ull >> (64 - bits);
    switch (op) {
    case A64V_SSHR: return right_signed(v, n, by);
    case A64V_USHR: return right(v, n, by);
    case A64V_SSRA: return av_vop(v, av_padd, d, right_signed(v, n, by));
    case A64V_USRA: return av_vop(v, av_padd, d, right(v, n, by));
    case A64V_SRSHR: case A64V_URSHR: return rounded(v, n, by, op == A64V_SRSHR);
    case A64V_SRSRA: case A64V_URSRA: return av_vop(v, av_padd, d, rounded(v, n, by, op == A64V_SRSRA));
    case A64V_SHL: return left(v, n, by);
    case A64V_SLI: return av_op2(t, VOP_POR, left(v, n, by), av_op2(t, VOP_PAND, d, av_splat(t, v->log2, (1ull << by) - 1)));
    case A64V_SQSHLU: case A64V_SQSHLI: case A64V_UQSHLI: return left_saturating(v, op, n, by);
    case A64V_SRI: return by >= bits ? d : av_op2(t, VOP_POR, right(v, n, by), av_op2(t, VOP_PAND, d, av_splat(t, v->log2, ones & ~(ones >> by))));
    default: return 0;
    }
}

static bool is_left(unsigned op) { return op >= A64V_SHL && op != A64V_SRI && op <= A64V_UQSHLI; }

static bool shift(A64Tr *t, const A64Args *in, bool scalar)
{
    A64Args a;
    int r = av_begin(t, in, &a);
    if (r >= 0)
        return r;
    Av v = { t, &a, av_log2(&a), av_q(&a) };
    unsigned op = av_op(&a), bits = 8u << v.log2, by = is_left(op) ? (unsigned)a.immhb - bits : 2 * bits - (unsigned)a.immhb;
    IrVal n = av_get(t, a.rn);
    if (scalar && op >= A64V_SQSHLU && op <= A64V_UQSHLI)      /* nothing else is to saturate */
        n = av_low_elem(t, n, v.log2);
    IrVal x = av_shift(&v, op, n, av_get(t, a.rd), by);
    if (!x)
        av_int_helper(t, &a, AVS_SAME, scalar ? AVD_SCALAR : 0, is_left(op) ? -(int)by : (int)by);
    else if (scalar)
        av_put_scalar(t, a.rd, x, v.log2);
    else
        av_put_q(t, a.rd, x, v.q);
    return true;
}

bool v_shift(A64Tr *t, const A64Args *a) { return shift(t, a, false); }
bool s_shift(A64Tr *t, const A64Args *a) { return shift(t, a, true); }

/* ---- narrowing: a shift of the wide elements, then what narrows them ---- */
static IrVal shift_narrow(const Av *v, unsigned op, IrVal n, unsigned by)
{
    A64Tr *t = v->t;
    Av wide = { t, v->a, v->log2 + 1, true };
    bool sign = op != A64V_UQSHRN && op != A64V_UQRSHRN, round = op == A64V_SQRSHRN || op == A64V_UQRSHRN || op == A64V_SQRSHRUN;
    if (op == A64V_RSHRN)
        n = av_vop(&wide, av_padd, n, av_splat(t, wide.log2, 1ull << (by - 1)));
    if (op == A64V_SHRN || op == A64V_RSHRN)
        return av_narrow(v, A64V_XTN, right(&wide, n, by));
    IrVal x = round ? rounded(&wide, n, by, sign) : sign ? right_signed(&wide, n, by) : right(&wide, n, by);
    return av_narrow(v, !sign ? A64V_UQXTN : op == A64V_SQSHRN || op == A64V_SQRSHRN ? A64V_SQXTN : A64V_SQXTUN, x);
}

static bool shrn(A64Tr *t, const A64Args *in, bool scalar)
{
    A64Args a;
    int r = av_begin(t, in, &a);
    if (r >= 0)
        return r;
    Av v = { t, &a, av_log2(&a), av_q(&a) };
    unsigned by = (16u << v.log2) - (unsigned)a.immhb;
    if (scalar)
        av_put_zeroed(t, a.rd, shift_narrow(&v, av_op(&a), av_low_elem(t, av_get(t, a.rn), v.log2 + 1), by), v.log2);
    else
        av_put_narrow(t, &a, shift_narrow(&v, av_op(&a), av_get(t, a.rn), by));
    return true;
}

bool v_shrn(A64Tr *t, const A64Args *a) { return shrn(t, a, false); }
bool s_shrn(A64Tr *t, const A64Args *a) { return shrn(t, a, true); }

/* ---- lengthening ---- */
static bool lengthen(A64Tr *t, const A64Args *a, bool sign, unsigned by)
{
    Av v = { t, a, av_log2(a), av_q(a) }, wide = { t, a, v.log2 + 1, true };
    IrVal x = av_extend(&v, av_get(t, a->rn), sign, v.q);
    av_put(t, a->rd, by ? left(&wide, x, by) : x);
    return true;
}

bool v_shll_imm(A64Tr *t, const A64Args *in)
{
    A64Args a;
    int r = av_begin(t, in, &a);
    return r >= 0 ? r : lengthen(t, &a, av_op(&a) == A64V_SSHLL, (unsigned)a.immhb - (8u << av_log2(&a)));
}

bool v_shll(A64Tr *t, const A64Args *in)
{
    A64Args a;
    int r = av_begin(t, in, &a);
    return r >= 0 ? r : lengthen(t, &a, false, 8u << av_log2(&a));
}
