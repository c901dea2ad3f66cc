/*
 * FPCR.FZ in line (ARM A1.5.2): the host computes as without it, since its own flushing raises other flags. Where flushing would have something to do
 * (an operand that is denormal, a result that may be tiny) the instruction goes out of line before anything is raised. A tiny sum, fused or not, is
 * exact, so it is looked at afterwards; products and quotients are kept away from there by bounds on their operands, generous ones.
 */
#include "tcg/guest/aarch64/simd.h"

/* Bits of: the smallest normal number; factors and dividends at least, divisors at most. */
static const struct { uint64_t smallest, factor, dividend, divisor; } bound[2] = {
    { 0x00800000, 0x26000000, 0x20800000, 0x5e800000 },        /* 2^-126, 2^-51, 2^-62, 2^62 */
    { 0x0010000000000000, 0x21a0000000000000, 0x20b0000000000000, 0x5f30000000000000 }     /* 2^-1022, 2^-485, 2^-500, 2^500 */
};
static const uint64_t SMALLEST_SINGLE = 0x3810000000000000;    /* 2^-126 as a double */

static IrVal konst(A64Tr *t, bool dbl, uint64_t v) { return av_splat(t, 2 + dbl, v); }
static IrVal magnitude(A64Tr *t, bool dbl, IrVal x) { return av_op2(t, VOP_PAND, x, konst(t, dbl, ~0ull >> (dbl ? 1 : 33))); }

/* Negative elements: not 0, and of a magnitude below @least. */
static IrVal below(A64Tr *t, bool dbl, IrVal x, uint64_t least)
{
    IrVal mag = magnitude(t, dbl, x);
    return av_op2(t, VOP_PAND, av_op2(t, av_psub[2 + dbl], mag, konst(t, dbl, least)), av_op2(t, av_psub[2 + dbl], av_zero(t), mag));
}

static IrVal above(A64Tr *t, bool dbl, IrVal x, uint64_t most) { return av_op2(t, av_psub[2 + dbl], konst(t, dbl, most), magnitude(t, dbl, x)); }

/* Values that code before this has looked at, as elements of one kind: 2 doubles, 1 all of the vector. */
static bool known(A64Tr *t, IrVal x, unsigned kind, uint64_t least)
{
    for (unsigned n = 0; n < A64_FZ_KNOWN; n++)
        if (t->fz_known[n].v == x && t->fz_known[n].kind == kind && t->fz_known[n].least >= least)
            return true;
    return false;
}

static void know(A64Tr *t, IrVal x, unsigned kind, uint64_t least) { t->fz_known[t->fz_next++ % A64_FZ_KNOWN] = (A64FzKnown){ x, (uint8_t)kind, least }; }

static IrVal either(A64Tr *t, IrVal a, IrVal b) { return !a ? b : !b ? a : av_op2(t, VOP_POR, a, b); }

static void leave_if(A64Tr *t, bool dbl, bool scalar, IrVal bad, unsigned slow)
{
    if (!bad)
        return;
    if (scalar) {
        IrVal v = ir_vop(t->u, a64_type(dbl), VOP_MOVDTOI, bad, 0, 0, 0);
        ir_brcond(t->u, IRC_S, ir_test(t->u, a64_type(dbl), v, v), slow);
    } else {
        ir_brcond(t->u, IRC_NE, ir_vop(t->u, IRT_FL, dbl ? VOP_VTESTPD : VOP_VTESTPS, bad, bad, 0, 0), slow);
    }
}

/* An operand's part of what is bad; 0: nothing. */
static IrVal operand(A64Tr *t, bool dbl, bool scalar, IrVal x, uint64_t least)
{
    unsigned kind = dbl * 2u + !scalar;
    if (!x || known(t, x, kind, least))
        return 0;
    know(t, x, kind, least);
    return below(t, dbl, x, least);
}

void av_fz_before(A64Tr *t, A64Fz how, bool dbl, bool scalar, IrVal n, IrVal m, IrVal d, unsigned slow)
{
    if (!(t->mode & A64M_FZ))
        return;
    uint64_t least = how == A64FZ_MUL ? bound[dbl].factor : how == A64FZ_DIV ? bound[dbl].dividend : how == A64FZ_TO_SINGLE ? SMALLEST_SINGLE : bound[dbl].smallest;
    IrVal bad = operand(t, dbl, scalar, n, least);
    bad = either(t, bad, operand(t, dbl, scalar, m, how == A64FZ_MUL ? least : bound[dbl].smallest));
    bad = either(t, bad, operand(t, dbl, scalar, d, bound[dbl].smallest));
    if (how == A64FZ_DIV)
        bad = either(t, bad, above(t, dbl, m, bound[dbl].divisor));
    leave_if(t, dbl, scalar, bad, slow);
}

IrVal av_times_power(A64Tr *t, bool dbl, bool scalar, IrVal x, int power, unsigned slow)
{
    static const uint16_t mul[4] = { VOP_MULPS, VOP_MULPD, VOP_MULSS, VOP_MULSD };
    uint64_t by = dbl ? (uint64_t)(1023 + power) << 52 : (uint64_t)(127 + power) << 23;
    if (power > 0) {
        av_fz_before(t, A64FZ_PLAIN, dbl, scalar, x, 0, 0, slow);
        leave_if(t, dbl, scalar, above(t, dbl, x, dbl ? 0x43d0000000000000 : 0x5e800000), slow);
    }
    return av_op2(t, mul[scalar * 2 + dbl], x, konst(t, dbl, by));
}

void av_fz_after(A64Tr *t, bool dbl, bool scalar, IrVal r, unsigned slow)
{
    if (t->mode & A64M_FZ)
        leave_if(t, dbl, scalar, operand(t, dbl, scalar, r, bound[dbl].smallest), slow);
}
