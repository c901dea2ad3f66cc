/*
 * Halves in line: to singles, there the operation, and back with the host's rounding. A single has 2p + 2 of a half's p bits, so rounding twice is
 * rounding once for all but fused operations, and each exception of the half is raised by one step or the other. As for singles, NaNs and the
 * smallest normal number go out of line. Of a fused operation's single so do those that lie between two halves, as the first rounding may have put
 * them there, and those that are not above the smallest normal one.
 */
#include "tcg/guest/aarch64/simd.h"

enum { MXCSR_ROUNDING = 4 };

static bool is_fused(unsigned op) { return op >= FPO_MADD && op <= FPO_NMSUB; }

/* FPCR says otherwise about denormals; or their format is another one. */
bool av_half_in_line(const A64Tr *t, unsigned op)
{
    return !(t->mode & A64M_FZ16) && (op <= FPO_MUL || op == FPO_DIV || op == FPO_NMUL || op == FPO_MULX || op == FPO_SQRT || (op >= FPO_MAX && op <= FPO_ABD) ||
                                      (op >= FPO_CMEQ && op <= FPO_ACGT) || is_fused(op) || (op >= FPO_RINTN && op <= FPO_RINTI));
}

static IrVal to_singles(A64Tr *t, IrVal x, bool high) { return av_op1(t, VOP_VCVTPH2PS, high ? av_op1(t, VOP_PSHUFD, x, 0xee) : x, 0); }
IrVal av_half_to_single(A64Tr *t, IrVal x) { return to_singles(t, av_low_elem(t, x, 1), false); }

/* Singles to halves in the low half; not NaNs. */
IrVal av_to_halves(A64Tr *t, IrVal x, unsigned slow)
{
    IrVal r = av_op1(t, VOP_VCVTPS2PH, x, MXCSR_ROUNDING);
    IrVal tiny = av_op2(t, VOP_PCMPEQW, av_op2(t, VOP_PAND, r, av_splat(t, 1, 0x7fff)), av_splat(t, 1, 0x0400));
    av_any_to(t, tiny, slow);
    return r;
}

/* On @n and @m of four halves, or the low one with @scalar, whose other lanes are 0. */
static IrVal four(A64Tr *t, unsigned op, bool scalar, IrVal n, IrVal m, bool high, unsigned slow)
{
    IrVal x = to_singles(t, n, high), y = m ? to_singles(t, m, high) : 0;
    unsigned plain = op == FPO_ABD ? FPO_SUB : op == FPO_NMUL ? FPO_MUL : op;      /* signs change behind the last rounding */
    IrVal r = op < FPO_SQRT ? av_fp_binary(t, plain, false, scalar, x, y, slow) : av_fp_unary(t, op, false, scalar, x, slow);
    if (op >= FPO_CMEQ && op <= FPO_ACGT)
        return av_op2(t, VOP_PACKSSDW, r, av_zero(t));
    r = av_to_halves(t, r, slow);
    if (op == FPO_ABD)
        return av_op2(t, VOP_PAND, r, av_splat(t, 1, 0x7fff));
    return op == FPO_NMUL ? av_op2(t, VOP_PXOR, r, av_splat(t, 1, 0x8000)) : r;
}

IrVal av_to_halves_again(A64Tr *t, IrVal r, unsigned slow)
{
    enum { NORMAL = 0x38800001, BELOW = 0x1fff, BETWEEN = 0x1000 };        /* above 2^-14; of the bits that a half has not */
    IrVal mag = av_op2(t, VOP_PAND, r, av_splat(t, 2, 0x7fffffff));
    IrVal bad = av_op2(t, VOP_PAND, av_op2(t, VOP_PSUBD, mag, av_splat(t, 2, NORMAL)), av_op2(t, VOP_PSUBD, av_zero(t), mag));
    bad = av_op2(t, VOP_POR, bad, av_op2(t, VOP_PCMPEQD, av_op2(t, VOP_PAND, r, av_splat(t, 2, BELOW)), av_splat(t, 2, BETWEEN)));
    ir_brcond(t->u, IRC_NE, ir_vop(t->u, IRT_FL, VOP_VTESTPS, bad, bad, 0, 0), slow);
    return av_op1(t, VOP_VCVTPS2PH, r, MXCSR_ROUNDING);
}

static IrVal fused_four(A64Tr *t, unsigned op, IrVal n, IrVal m, IrVal d, bool high, unsigned slow)
{
    static const uint16_t vop[] = { VOP_FMADD231PS, VOP_FNMADD231PS, VOP_FNMSUB231PS, VOP_FMSUB231PS };
    IrVal r = av_op3(t, vop[op - FPO_MADD], to_singles(t, d, high), to_singles(t, n, high), to_singles(t, m, high));
    av_check_all(t, r, false, false, slow);
    return av_to_halves_again(t, r, slow);
}

IrVal av_half(A64Tr *t, unsigned op, bool scalar, bool q, IrVal n, IrVal m, IrVal d, unsigned slow)
{
    if (scalar) {
        n = av_low_elem(t, n, 1);
        m = m ? av_low_elem(t, m, 1) : 0;
        d = d ? av_low_elem(t, d, 1) : 0;
    }
    bool fused = is_fused(op);
    IrVal r = fused ? fused_four(t, op, n, m, d, false, slow) : four(t, op, scalar, n, m, false, slow);
    if (!q || scalar)
        return r;
    return av_op2(t, VOP_PUNPCKLQDQ, r, fused ? fused_four(t, op, n, m, d, true, slow) : four(t, op, false, n, m, true, slow));
}
