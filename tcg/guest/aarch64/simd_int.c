/* Integer operations on vectors as the host's vector instructions. */
#include "tcg/guest/aarch64/simd.h"

const uint16_t av_padd[4] = { VOP_PADDB, VOP_PADDW, VOP_PADDD, VOP_PADDQ }, av_psub[4] = { VOP_PSUBB, VOP_PSUBW, VOP_PSUBD, VOP_PSUBQ },
    av_pcmpeq[4] = { VOP_PCMPEQB, VOP_PCMPEQW, VOP_PCMPEQD, VOP_PCMPEQQ }, av_pcmpgt[4] = { VOP_PCMPGTB, VOP_PCMPGTW, VOP_PCMPGTD, VOP_PCMPGTQ };
static const uint16_t pmaxs[4] = { VOP_PMAXSB, VOP_PMAXSW, VOP_PMAXSD }, pmaxu[4] = { VOP_PMAXUB, VOP_PMAXUW, VOP_PMAXUD },
    pmins[4] = { VOP_PMINSB, VOP_PMINSW, VOP_PMINSD }, pminu[4] = { VOP_PMINUB, VOP_PMINUW, VOP_PMINUD };

/* ---- building blocks ---- */
IrVal av_splat(A64Tr *t, unsigned log2, uint64_t v)
{
    static const uint64_t times[4] = { 0x0101010101010101ull, 0x0001000100010001ull, 0x0000000100000001ull, 1 };
    static const uint64_t mask[4] = { 0xff, 0xffff, 0xffffffff, ~0ull };
    v = (v & mask[log2]) * times[log2];
    return ir_vconst(t->u, v, v);
}

IrVal av_not(A64Tr *t, IrVal v) { return av_op2(t, VOP_PXOR, v, av_ones(t)); }

IrVal av_low_elem(A64Tr *t, IrVal v, unsigned log2)
{
    if (log2 == 4)
        return v;
    if (log2 == 3)
        return av_low(t, v);
    if (log2 == 2)
        return av_op2i(t, VOP_INSERTPS, v, v, 0x0e);
    return av_op2(t, VOP_PAND, v, ir_vconst(t->u, log2 ? 0xffff : 0xff, 0));
}

void av_put_scalar(A64Tr *t, int n, IrVal v, unsigned log2) { av_put_zeroed(t, n, av_low_elem(t, v, log2), log2); }

/* PSHUFB by bytes that @fn names (0x80: 0). */
static IrVal shuffle(A64Tr *t, IrVal v, const uint8_t by[16])
{
    uint64_t k[2] = { 0, 0 };
    for (unsigned n = 0; n < 16; n++)
        k[n / 8] |= (uint64_t)by[n] << 8 * (n % 8);
    return av_op2(t, VOP_PSHUFB, v, ir_vconst(t->u, k[0], k[1]));
}

IrVal av_dup(A64Tr *t, IrVal v, unsigned log2, unsigned index)
{
    uint8_t by[16];
    if (log2 == 2)
        return av_op1(t, VOP_PSHUFD, v, index * 0x55);
    if (log2 == 3)
        return av_op2(t, index ? VOP_PUNPCKHQDQ : VOP_PUNPCKLQDQ, v, v);
    for (unsigned n = 0; n < 16; n++)
        by[n] = (uint8_t)((index << log2) + n % (1u << log2));
    return shuffle(t, v, by);
}

void av_note_sat(A64Tr *t, IrVal diff)
{
    IrUnit *u = t->u;
    IrVal fl = ir_vop(u, IRT_FL, VOP_PTEST, diff, diff, 0, 0);
    IrVal yes = ir_zext(u, IRT_I32, IRT_I8, ir_cond(u, IRC_NE, fl));
    yes = ir_tri(u, IR_SHL, IRT_I32, yes, ir_const(u, IRT_I8, 27), 0);
    ir_put(u, IRT_I32, A64S_FPSR, ir_bin(u, IR_OR, IRT_I32, ir_get(u, IRT_I32, A64S_FPSR), yes));
}

IrVal av_extend(const Av *v, IrVal x, bool sign, bool high)
{
    static const uint16_t vop[3][2] = { { VOP_PMOVZXBW, VOP_PMOVSXBW }, { VOP_PMOVZXWD, VOP_PMOVSXWD }, { VOP_PMOVZXDQ, VOP_PMOVSXDQ } };
    static const uint16_t unpack[3] = { VOP_PUNPCKHBW, VOP_PUNPCKHWD, VOP_PUNPCKHDQ };
    if (high && !sign)
        return av_op2(v->t, unpack[v->log2], x, av_zero(v->t));
    return av_op1(v->t, vop[v->log2][sign], high ? av_op1(v->t, VOP_PSHUFD, x, 0xee) : x, 0);
}

IrVal av_halves(const Av *v, IrVal x, bool odd)
{
    uint8_t by[16];
    unsigned size = 1u << v->log2;
    for (unsigned n = 0; n < 16; n++)
        by[n] = n < 8 ? (uint8_t)((n / size * 2 + odd) * size + n % size) : 0x80;
    return shuffle(v->t, x, by);
}

void av_put_narrow(A64Tr *t, const A64Args *a, IrVal x)
{
    av_put(t, a->rd, av_q(a) ? av_op2(t, VOP_PUNPCKLQDQ, av_get(t, a->rd), x) : x);
}

/* ---- arithmetic ---- */
static IrVal mul(const Av *v, IrVal n, IrVal m)
{
    A64Tr *t = v->t;
    if (v->log2 == 1 || v->log2 == 2)
        return av_op2(t, v->log2 == 1 ? VOP_PMULLW : VOP_PMULLD, n, m);
    IrVal even = av_op2(t, VOP_PAND, av_op2(t, VOP_PMULLW, n, m), av_splat(t, 1, 0xff));
    IrVal odd = av_op2(t, VOP_PMULLW, av_op1(t, VOP_PSRLWI, n, 8), av_op1(t, VOP_PSRLWI, m, 8));
    return av_op2(t, VOP_POR, even, av_op1(t, VOP_PSLLWI, odd, 8));
}

/* Halving additions. */
static IrVal halving(const Av *v, IrVal n, IrVal m, bool sign, bool round)
{
    static const uint16_t pavg[] = { VOP_PAVGB, VOP_PAVGW };
    A64Tr *t = v->t;
    IrVal x = av_op2(t, VOP_PXOR, n, m), r;
    if (v->log2 == 2) {
        IrVal half = av_op1(t, sign ? VOP_PSRADI : VOP_PSRLDI, x, 1);
        return round ? av_op2(t, VOP_PSUBD, av_op2(t, VOP_POR, n, m), half) : av_op2(t, VOP_PADDD, av_op2(t, VOP_PAND, n, m), half);
    }
    IrVal bias = sign ? av_splat(t, v->log2, 0x80ull << (v->log2 ? 8 : 0)) : 0;
    if (sign)
        r = av_op2(t, pavg[v->log2], av_op2(t, VOP_PXOR, n, bias), av_op2(t, VOP_PXOR, m, bias));
    else
        r = av_op2(t, pavg[v->log2], n, m);
    if (!round)
        r = av_vop(v, av_psub, r, av_op2(t, VOP_PAND, x, av_splat(t, v->log2, 1)));
    return sign ? av_op2(t, VOP_PXOR, r, bias) : r;
}

/* Rounded down: of small elements the mean of the one and the other's complement, which is half the range too much. */
static IrVal halved_difference(const Av *v, IrVal n, IrVal m, bool sign)
{
    static const uint16_t pavg[] = { VOP_PAVGB, VOP_PAVGW };
    A64Tr *t = v->t;
    unsigned half = sign ? VOP_PSRADI : VOP_PSRLDI;
    if (v->log2 == 2) {
        IrVal borrow = av_op2(t, VOP_PAND, av_op2(t, VOP_PANDN, n, m), av_splat(t, 2, 1));
        return av_op2(t, VOP_PSUBD, av_op2(t, VOP_PSUBD, av_op1(t, half, n, 1), av_op1(t, half, m, 1)), borrow);
    }
    uint64_t top = 0x80ull << (v->log2 ? 8 : 0), low = top - 1;
    IrVal bias = av_splat(t, v->log2, top);
    IrVal x = sign ? av_op2(t, VOP_PXOR, n, bias) : n, y = av_op2(t, VOP_PXOR, m, av_splat(t, v->log2, sign ? low : top | low));
    return av_op2(t, VOP_PXOR, av_op2(t, pavg[v->log2], x, y), bias);
}

/* 32 and 64 bits: overflow where the result's sign is wrong; then the other end of the range. */
static IrVal wide_saturating(const Av *v, bool subtract, IrVal n, IrVal m)
{
    A64Tr *t = v->t;
    IrVal r = av_vop(v, subtract ? av_psub : av_padd, n, m), x = av_op2(t, VOP_PXOR, n, r), y = av_op2(t, VOP_PXOR, subtract ? n : m, subtract ? m : r);
    IrVal over = av_vop(v, av_pcmpgt, av_zero(t), av_op2(t, VOP_PAND, x, y));
    IrVal end = av_op2(t, VOP_PXOR, av_vop(v, av_pcmpgt, av_zero(t), n), av_splat(t, v->log2, ~0ull >> (v->log2 == 2 ? 33 : 1)));
    av_note_sat(t, v->q ? over : av_low(t, over));
    return av_op3(t, VOP_PBLENDVB, r, end, over);
}

/* Unsigned: a sum that is less than an operand, a difference of a smaller from a larger. */
static IrVal wide_unsigned(const Av *v, bool subtract, IrVal n, IrVal m)
{
    A64Tr *t = v->t;
    IrVal bias = av_splat(t, v->log2, v->log2 == 2 ? 1ull << 31 : 1ull << 63), r = av_vop(v, subtract ? av_psub : av_padd, n, m);
    IrVal over = av_vop(v, av_pcmpgt, av_op2(t, VOP_PXOR, subtract ? m : n, bias), av_op2(t, VOP_PXOR, subtract ? n : r, bias));
    av_note_sat(t, v->q ? over : av_low(t, over));
    return subtract ? av_op2(t, VOP_PANDN, over, r) : av_op2(t, VOP_POR, r, over);
}

/* What saturates: beside the operation that wraps. */
static IrVal saturating(const Av *v, unsigned op, IrVal n, IrVal m)
{
    static const uint16_t vop[4][2] = { { VOP_PADDSB, VOP_PADDSW }, { VOP_PADDUSB, VOP_PADDUSW }, { VOP_PSUBSB, VOP_PSUBSW }, { VOP_PSUBUSB, VOP_PSUBUSW } };
    if (v->log2 > 1)
        return op == A64V_SQADD || op == A64V_SQSUB ? wide_saturating(v, op == A64V_SQSUB, n, m) : wide_unsigned(v, op == A64V_UQSUB, n, m);
    IrVal r = av_op2(v->t, vop[op - A64V_SQADD][v->log2], n, m);
    IrVal wrap = av_vop(v, op >= A64V_SQSUB ? av_psub : av_padd, n, m), diff = av_op2(v->t, VOP_PXOR, r, wrap);
    av_note_sat(v->t, v->q ? diff : av_low(v->t, diff));
    return r;
}

static IrVal abs_diff(const Av *v, IrVal n, IrVal m, bool sign)
{
    static const uint16_t psubus[] = { VOP_PSUBUSB, VOP_PSUBUSW };
    if (!sign && v->log2 < 2)
        return av_op2(v->t, VOP_POR, av_op2(v->t, psubus[v->log2], n, m), av_op2(v->t, psubus[v->log2], m, n));
    return av_vop(v, av_psub, av_vop(v, sign ? pmaxs : pmaxu, n, m), av_vop(v, sign ? pmins : pminu, n, m));
}

/* Of 32 bits: the doubled 64-bit products' upper halves, even and odd lanes. */
static IrVal doubling_high32(const Av *v, IrVal n, IrVal m, bool round)
{
    A64Tr *t = v->t;
    IrVal part[2];
    for (unsigned k = 0; k < 2; k++) {
        IrVal p = av_op2(t, VOP_PMULDQ, k ? av_op1(t, VOP_PSRLQI, n, 32) : n, k ? av_op1(t, VOP_PSRLQI, m, 32) : m);
        p = av_op2(t, VOP_PADDQ, p, p);
        part[k] = round ? av_op2(t, VOP_PADDQ, p, av_splat(t, 3, 1ull << 31)) : p;
    }
    IrVal r = av_op2i(t, VOP_BLENDPS, av_op1(t, VOP_PSRLQI, part[0], 32), part[1], 10);
    IrVal sat = av_op2(t, VOP_PCMPEQD, r, av_splat(t, 2, 1ull << 31));
    av_note_sat(t, v->q ? sat : av_low(t, sat));
    return av_op2(t, VOP_PXOR, r, sat);
}

/* SQDMULH, SQRDMULH of 16 bits: only -1 * -1 saturates, and only it comes out as -1. */
static IrVal doubling_high(const Av *v, IrVal n, IrVal m, bool round)
{
    A64Tr *t = v->t;
    if (v->log2 != 1)
        return doubling_high32(v, n, m, round);
    IrVal r = round ? av_op2(t, VOP_PMULHRSW, n, m)
                    : av_op2(t, VOP_POR, av_op1(t, VOP_PSLLWI, av_op2(t, VOP_PMULHW, n, m), 1), av_op1(t, VOP_PSRLWI, av_op2(t, VOP_PMULLW, n, m), 15));
    IrVal sat = av_op2(t, VOP_PCMPEQW, r, av_splat(t, 1, 0x8000));
    av_note_sat(t, v->q ? sat : av_low(t, sat));
    return av_op2(t, VOP_PXOR, r, sat);
}

static IrVal dot(const Av *v, IrVal n, IrVal m, IrVal d, bool sign)
{
    A64Tr *t = v->t;
    IrVal part[2][2], x[2] = { n, m };
    for (unsigned k = 0; k < 2; k++) {
        part[k][0] = sign ? av_op1(t, VOP_PSRAWI, av_op1(t, VOP_PSLLWI, x[k], 8), 8) : av_op2(t, VOP_PAND, x[k], av_splat(t, 1, 0xff));
        part[k][1] = av_op1(t, sign ? VOP_PSRAWI : VOP_PSRLWI, x[k], 8);
    }
    IrVal sum = av_op2(t, VOP_PADDD, av_op2(t, VOP_PMADDWD, part[0][0], part[1][0]), av_op2(t, VOP_PMADDWD, part[0][1], part[1][1]));
    return av_op2(t, VOP_PADDD, d, sum);
}

/* ---- comparisons ---- */
static IrVal unsigned_compare(const Av *v, IrVal n, IrVal m, bool or_equal)
{
    A64Tr *t = v->t;
    if (v->log2 < 3) {
        IrVal max = av_vop(v, pmaxu, n, m);
        return or_equal ? av_vop(v, av_pcmpeq, max, n) : av_not(t, av_vop(v, av_pcmpeq, max, m));
    }
    IrVal bias = av_splat(t, 3, 1ull << 63), x = av_op2(t, VOP_PXOR, n, bias), y = av_op2(t, VOP_PXOR, m, bias);
    return or_equal ? av_not(t, av_op2(t, VOP_PCMPGTQ, y, x)) : av_op2(t, VOP_PCMPGTQ, x, y);
}

static IrVal compare(const Av *v, unsigned op, IrVal n, IrVal m)
{
    A64Tr *t = v->t;
    switch (op) {
    case A64V_CMGT: return av_vop(v, av_pcmpgt, n, m);
    case A64V_CMGE: return v->log2 < 3 ? av_vop(v, av_pcmpeq, av_vop(v, pmaxs, n, m), n) : av_not(t, av_vop(v, av_pcmpgt, m, n));
    case A64V_CMHI: case A64V_CMHS: return unsigned_compare(v, n, m, op == A64V_CMHS);
    case A64V_CMTST: return av_not(t, av_vop(v, av_pcmpeq, av_op2(t, VOP_PAND, n, m), av_zero(t)));
    case A64V_CMEQ: return av_vop(v, av_pcmpeq, n, m);
    case A64V_CMGT0: return av_vop(v, av_pcmpgt, n, av_zero(t));
    case A64V_CMGE0: return av_vop(v, av_pcmpgt, n, av_ones(t));
    case A64V_CMEQ0: return av_vop(v, av_pcmpeq, n, av_zero(t));
    case A64V_CMLE0: return av_vop(v, av_pcmpgt, av_splat(t, v->log2, 1), n);
    default: return av_vop(v, av_pcmpgt, av_zero(t), n);
    }
}

/* Shifts by registers, of 32 and 64 bits: counts of the width or more give 0 on the host. */
static IrVal shift_by(const Av *v, IrVal n, IrVal m, bool sign)
{
    A64Tr *t = v->t;
    if (v->log2 < 2 || (sign && v->log2 == 3))
        return av_rare(v, sign ? A64V_SSHL : A64V_USHL, n, m, 0);
    IrVal ff = av_splat(t, v->log2, 0xff), left = av_op2(t, VOP_PAND, m, ff), right = av_op2(t, VOP_PAND, av_vop(v, av_psub, av_zero(t), m), ff);
    IrVal up = av_op2(t, v->log2 == 2 ? VOP_VPSLLVD : VOP_VPSLLVQ, n, left);
    if (!sign)
        return av_op2(t, VOP_POR, up, av_op2(t, v->log2 == 2 ? VOP_VPSRLVD : VOP_VPSRLVQ, n, right));
    return av_op3(t, VOP_BLENDVPS, up, av_op2(t, VOP_VPSRAVD, n, right), av_op1(t, VOP_PSLLDI, m, 24));
}

/* ---- one operand ---- */
static IrVal reverse(const Av *v, unsigned op, IrVal n)
{
    uint8_t by[16];
    unsigned to = op == A64V_REV64 ? 8 : op == A64V_REV32 ? 4 : 2, size = 1u << v->log2;
    for (unsigned k = 0; k < 16; k++)
        by[k] = (uint8_t)(k / to * to + (to / size - 1 - k % to / size) * size + k % size);
    return shuffle(v->t, n, by);
}

/* A table of 16 bytes at the low nibble, another at the high one. */
static IrVal nibbles(A64Tr *t, IrVal n, uint64_t lo[2], uint64_t hi[2], unsigned join)
{
    IrVal f = av_splat(t, 0, 15), low = av_op2(t, VOP_PAND, n, f), high = av_op2(t, VOP_PAND, av_op1(t, VOP_PSRLWI, n, 4), f);
    return av_op2(t, join, av_op2(t, VOP_PSHUFB, ir_vconst(t->u, lo[0], lo[1]), low), av_op2(t, VOP_PSHUFB, ir_vconst(t->u, hi[0], hi[1]), high));
}

static IrVal bits_of_bytes(A64Tr *t, IrVal n, bool count)
{
    uint64_t lo[2] = { 0, 0 }, hi[2] = { 0, 0 };
    for (unsigned k = 0; k < 16; k++) {
        unsigned rev = (k & 1) << 3 | (k & 2) << 1 | (k & 4) >> 1 | k >> 3, l = count ? (unsigned)__builtin_popcount(k) : rev << 4;
        lo[k / 8] |= (uint64_t)l << 8 * (k % 8);
        hi[k / 8] |= (uint64_t)(count ? l : rev) << 8 * (k % 8);
    }
    return nibbles(t, n, lo, hi, count ? VOP_PADDB : VOP_POR);
}

static IrVal absolute(const Av *v, IrVal n)
{
    static const uint16_t pabs[] = { VOP_PABSB, VOP_PABSW, VOP_PABSD };
    if (v->log2 < 3)
        return av_op1(v->t, pabs[v->log2], n, 0);
    IrVal sign = av_op2(v->t, VOP_PCMPGTQ, av_zero(v->t), n);
    return av_op2(v->t, VOP_PSUBQ, av_op2(v->t, VOP_PXOR, n, sign), sign);
}

static IrVal others(const Av *v, unsigned op, IrVal n, IrVal m, IrVal d)
{
    switch (op) {
    case A64V_REV64: case A64V_REV32: case A64V_REV16: return reverse(v, op, n);
    case A64V_CNT: case A64V_RBIT: return bits_of_bytes(v->t, n, op == A64V_CNT);
    case A64V_NOT: return av_not(v->t, n);
    case A64V_ABS: return absolute(v, n);
    case A64V_NEG: return av_vop(v, av_psub, av_zero(v->t), n);
    default: return av_rare(v, op, n, m, d);
    }
}

IrVal av_inline(const Av *v, unsigned op, IrVal n, IrVal m, IrVal d)
{
    switch (op) {
    case A64V_ADD: return av_vop(v, av_padd, n, m);
    case A64V_SUB: return av_vop(v, av_psub, n, m);
    case A64V_MUL: return mul(v, n, m);
    case A64V_MLA: return av_vop(v, av_padd, d, mul(v, n, m));
    case A64V_MLS: return av_vop(v, av_psub, d, mul(v, n, m));
    case A64V_SHSUB: case A64V_UHSUB: return halved_difference(v, n, m, op == A64V_SHSUB);
    case A64V_SHADD: case A64V_UHADD: case A64V_SRHADD: case A64V_URHADD:
        return halving(v, n, m, op == A64V_SHADD || op == A64V_SRHADD, op >= A64V_SRHADD);
    case A64V_SQADD: case A64V_UQADD: case A64V_SQSUB: case A64V_UQSUB: return saturating(v, op, n, m);
    case A64V_SSHL: case A64V_USHL: return shift_by(v, n, m, op == A64V_SSHL);
    case A64V_SMAX: return av_vop(v, pmaxs, n, m);
    case A64V_UMAX: return av_vop(v, pmaxu, n, m);
    case A64V_SMIN: return av_vop(v, pmins, n, m);
    case A64V_UMIN: return av_vop(v, pminu, n, m);
    case A64V_SABD: case A64V_UABD: return abs_diff(v, n, m, op == A64V_SABD);
    case A64V_SABA: case A64V_UABA: return av_vop(v, av_padd, d, abs_diff(v, n, m, op == A64V_SABA));
    case A64V_SQDMULH: case A64V_SQRDMULH: return doubling_high(v, n, m, op == A64V_SQRDMULH);
    case A64V_SDOT: case A64V_UDOT: return dot(v, n, m, d, op == A64V_SDOT);
    default: return op >= A64V_CMGT && op <= A64V_CMLT0 ? compare(v, op, n, m) : others(v, op, n, m, d);
    }
}
