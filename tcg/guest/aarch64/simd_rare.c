/* Integer operations on vectors that take the host several instructions each: shifts by registers, what saturates beside additions, counting, polynomials. */
#include "tcg/guest/aarch64/simd.h"

static Av wider(const Av *v) { return (Av){ v->t, v->a, v->log2 + 1, true }; }

/* ---- shifts by registers: elements extended, shifted left by width + count (beyond: 0), the upper halves of that are the results ---- */
static IrVal shift_bytes(const Av *v, IrVal n, IrVal m, bool sign, bool round)
{
    static const uint64_t powers = 0x8040201008040201ull;
    A64Tr *t = v->t;
    IrVal count = sign && !round ? av_op2(t, VOP_PMAXSB, m, av_splat(t, 0, 0xf8)) : m, y[2];
    IrVal index = av_op2(t, VOP_PADDUSB, av_op2(t, VOP_PADDB, count, av_splat(t, 0, 8)), av_splat(t, 0, 0x70));    /* above 15: bit 7, for which PSHUFB gives 0 */
    IrVal low = av_op2(t, VOP_PSHUFB, ir_vconst(t->u, powers, 0), index), high = av_op2(t, VOP_PSHUFB, ir_vconst(t->u, 0, powers), index);
    for (unsigned k = 0; k < 2; k++) {
        y[k] = av_op2(t, VOP_PMULLW, av_extend(v, n, sign, k), av_op2(t, k ? VOP_PUNPCKHBW : VOP_PUNPCKLBW, low, high));
        if (round)
            y[k] = av_op2(t, VOP_PADDW, y[k], av_splat(t, 1, 0x80));
        y[k] = av_op1(t, VOP_PSRLWI, y[k], 8);
    }
    return av_op2(t, VOP_PACKUSWB, y[0], y[1]);
}

static IrVal shift_words(const Av *v, IrVal n, IrVal m, bool sign, bool round)
{
    A64Tr *t = v->t;
    IrVal count = av_op1(t, VOP_PSRAWI, av_op1(t, VOP_PSLLWI, m, 8), 8), y[2];
    if (sign && !round)
        count = av_op2(t, VOP_PMAXSW, count, av_splat(t, 1, 0xfff0));
    count = av_op2(t, VOP_PADDW, count, av_splat(t, 1, 16));
    for (unsigned k = 0; k < 2; k++) {
        y[k] = av_op2(t, VOP_VPSLLVD, av_extend(v, n, sign, k), av_extend(v, count, false, k));
        if (round)
            y[k] = av_op2(t, VOP_PADDD, y[k], av_splat(t, 2, 0x8000));
        y[k] = av_op1(t, sign ? VOP_PSRADI : VOP_PSRLDI, y[k], 16);
    }
    return av_op2(t, sign ? VOP_PACKSSDW : VOP_PACKUSDW, y[0], y[1]);
}

static IrVal shift_rounded32(const Av *v, IrVal n, IrVal m, bool sign)
{
    A64Tr *t = v->t;
    IrVal count = av_op2(t, VOP_PADDD, av_op1(t, VOP_PSRADI, av_op1(t, VOP_PSLLDI, m, 24), 24), av_splat(t, 2, 32)), y[2];
    for (unsigned k = 0; k < 2; k++)
        y[k] = av_op2(t, VOP_PADDQ, av_op2(t, VOP_VPSLLVQ, av_extend(v, n, sign, k), av_extend(v, count, true, k)), av_splat(t, 3, 1ull << 31));
    return av_op2i(t, VOP_SHUFPS, y[0], y[1], 0xdd);
}

static IrVal shift_signed64(A64Tr *t, IrVal n, IrVal m)
{
    IrVal ff = av_splat(t, 3, 0xff), sign = av_op2(t, VOP_PCMPGTQ, av_zero(t), n), right = av_op2(t, VOP_PAND, av_op2(t, VOP_PSUBQ, av_zero(t), m), ff);
    IrVal down = av_op2(t, VOP_PXOR, av_op2(t, VOP_VPSRLVQ, av_op2(t, VOP_PXOR, n, sign), right), sign);
    return av_op3(t, VOP_BLENDVPD, av_op2(t, VOP_VPSLLVQ, n, av_op2(t, VOP_PAND, m, ff)), down, av_op1(t, VOP_PSLLQI, m, 56));
}

/* To the right by k the bit k - 1 is added. */
static IrVal shift_rounded64(const Av *v, IrVal n, IrVal m, bool sign)
{
    A64Tr *t = v->t;
    unsigned op = sign ? A64V_SSHL : A64V_USHL;
    IrVal one = av_splat(t, 3, 1), bit = av_op2(t, VOP_PAND, av_inline(v, op, n, av_op2(t, VOP_PADDQ, m, one), 0), one);
    IrVal right = av_op2(t, VOP_PCMPGTQ, av_zero(t), av_op1(t, VOP_PSLLQI, m, 56));
    return av_op2(t, VOP_PADDQ, av_inline(v, op, n, m, 0), av_op2(t, VOP_PAND, bit, right));
}

/* What does not come back from the left was too much: the end of the range instead. */
static IrVal shift_saturating(const Av *v, unsigned op, IrVal n, IrVal m)
{
    A64Tr *t = v->t;
    bool sign = op == A64V_SQSHL || op == A64V_SQRSHL, round = op >= A64V_SQRSHL;
    unsigned bits = 8u << v->log2;
    IrVal r = av_inline(v, round ? sign ? A64V_SRSHL : A64V_URSHL : sign ? A64V_SSHL : A64V_USHL, n, m, 0);
    IrVal back = av_inline(v, sign ? A64V_SSHL : A64V_USHL, r, av_vop(v, av_psub, av_zero(t), m), 0);
    IrVal right = av_vop(v, av_pcmpgt, av_zero(t), v->log2 ? av_op1(t, av_pslli[v->log2], m, bits - 8) : m);
    IrVal fits = av_op2(t, VOP_POR, av_vop(v, av_pcmpeq, back, n), right), end = av_ones(t), lost = av_not(t, fits);
    if (sign)
        end = av_op2(t, VOP_PXOR, av_vop(v, av_pcmpgt, av_zero(t), n), av_splat(t, v->log2, ~0ull >> (65 - bits)));
    av_note_sat(t, v->q ? lost : av_low(t, lost));
    return av_op3(t, VOP_PBLENDVB, end, r, fits);
}

static IrVal shift_by(const Av *v, unsigned op, IrVal n, IrVal m)
{
    bool sign = op == A64V_SSHL || op == A64V_SRSHL, round = op == A64V_SRSHL || op == A64V_URSHL;
    if (v->log2 == 0)
        return shift_bytes(v, n, m, sign, round);
    if (v->log2 == 1)
        return shift_words(v, n, m, sign, round);
    if (v->log2 == 2)
        return round ? shift_rounded32(v, n, m, sign) : 0;
    return round ? shift_rounded64(v, n, m, sign) : sign ? shift_signed64(v->t, n, m) : 0;
}

/* ---- saturation ---- */
/* @r where a result that would be the smallest number's negative stands as that number. */
static IrVal no_smallest(const Av *v, IrVal r)
{
    IrVal sat = av_vop(v, av_pcmpeq, r, av_splat(v->t, v->log2, 1ull << ((8u << v->log2) - 1)));
    av_note_sat(v->t, v->q ? sat : av_low(v->t, sat));
    return av_op2(v->t, VOP_PXOR, r, sat);
}

/* An unsigned number and a signed one: one of them moved by half the range. */
static IrVal mixed_add(const Av *v, bool to_signed, IrVal n, IrVal d)
{
    IrVal bias = av_splat(v->t, v->log2, 1ull << ((8u << v->log2) - 1));
    return av_op2(v->t, VOP_PXOR, av_inline(v, to_signed ? A64V_UQADD : A64V_SQADD, av_op2(v->t, VOP_PXOR, d, bias), n, 0), bias);
}

/* SQRDMLAH, SQRDMLSH of 32 bits, halved so that it fits 64: d * 2^31 +- n * m + 2^30, of which bits 31 to 62 are the result unless bit 63 is another than 62. */
static IrVal doubling_accumulate32(const Av *v, bool subtract, IrVal n, IrVal m, IrVal d)
{
    A64Tr *t = v->t;
    IrVal y[2];
    for (unsigned k = 0; k < 2; k++) {
        IrVal x[3] = { n, m, d };
        for (unsigned j = 0; k && j < 3; j++)
            x[j] = av_op1(t, VOP_PSRLQI, x[j], 32);
        IrVal less = av_op2(t, VOP_PSUBQ, av_splat(t, 3, 1ull << 30), av_op2(t, VOP_PMULDQ, x[2], av_splat(t, 2, 1ull << 31)));
        y[k] = av_op2(t, subtract ? VOP_PSUBQ : VOP_PADDQ, less, av_op2(t, VOP_PMULDQ, x[0], x[1]));
    }
    IrVal r = av_op2i(t, VOP_BLENDPS, av_op1(t, VOP_PSRLQI, y[0], 31), av_op2(t, VOP_PADDQ, y[1], y[1]), 10);
    IrVal top = av_op2i(t, VOP_BLENDPS, av_op1(t, VOP_PSRLQI, y[0], 32), y[1], 10);
    IrVal over = av_op1(t, VOP_PSRADI, av_op2(t, VOP_PXOR, r, top), 31);
    IrVal end = av_op2(t, VOP_PXOR, av_op1(t, VOP_PSRADI, top, 31), av_splat(t, 2, 0x7fffffff));
    av_note_sat(t, v->q ? over : av_low(t, over));
    return av_op3(t, VOP_BLENDVPS, r, end, over);
}

/* Of 16 bits: all of it halved fits 32. */
static IrVal doubling_accumulate(const Av *v, bool subtract, IrVal n, IrVal m, IrVal d)
{
    A64Tr *t = v->t;
    if (v->log2 != 1)
        return doubling_accumulate32(v, subtract, n, m, d);
    IrVal lo = av_op2(t, VOP_PMULLW, n, m), hi = av_op2(t, VOP_PMULHW, n, m), y[2];
    for (unsigned k = 0; k < 2; k++) {
        IrVal p = av_op2(t, k ? VOP_PUNPCKHWD : VOP_PUNPCKLWD, lo, hi);
        IrVal sum = av_op2(t, subtract ? VOP_PSUBD : VOP_PADDD, av_op1(t, VOP_PSLLDI, av_extend(v, d, true, k), 15), p);
        y[k] = av_op1(t, VOP_PSRADI, av_op2(t, VOP_PADDD, sum, av_splat(t, 2, 0x4000)), 15);
    }
    IrVal r = av_op2(t, VOP_PACKSSDW, y[0], y[1]), diff = av_op2(t, VOP_PXOR, y[0], av_extend(v, r, true, false));
    if (v->q)
        diff = av_op2(t, VOP_POR, diff, av_op2(t, VOP_PXOR, y[1], av_extend(v, r, true, true)));
    av_note_sat(t, diff);
    return r;
}

/* ---- counting ---- */
static IrVal leading_zeros(const Av *v, IrVal n)
{
    A64Tr *t = v->t;
    if (v->log2 == 0) {        /* of nibbles: 8 where the upper one is 0; of the lower one 4 more */
        IrVal f = av_splat(t, 0, 15), low = av_op2(t, VOP_PAND, n, f), high = av_op2(t, VOP_PAND, av_op1(t, VOP_PSRLWI, n, 4), f);
        return av_op2(t, VOP_PMINUB, av_op2(t, VOP_PSHUFB, ir_vconst(t->u, 0x0505050506060708ull, 0x0404040404040404ull), low),
                      av_op2(t, VOP_PSHUFB, ir_vconst(t->u, 0x0101010102020308ull, 0), high));
    }
    Av half = { t, v->a, v->log2 - 1, v->q };
    unsigned bits = 4u << v->log2;
    IrVal c = leading_zeros(&half, n), high = av_op1(t, av_psrli[v->log2], c, bits);
    IrVal all = av_vop(v, av_pcmpeq, high, av_splat(t, v->log2, bits));
    return av_vop(v, av_padd, high, av_op2(t, VOP_PAND, av_op2(t, VOP_PAND, c, av_splat(t, v->log2, 255)), all));
}

static IrVal leading_signs(const Av *v, IrVal n)
{
    IrVal moved = av_shift(v, A64V_SSHR, n, 0, 1);
    return av_vop(v, av_psub, leading_zeros(v, av_op2(v->t, VOP_PXOR, n, moved)), av_splat(v->t, v->log2, 1));
}

/* ---- polynomials: by the bits of @y, the topmost first ---- */
static IrVal polynomial(const Av *v, IrVal x, IrVal y)
{
    A64Tr *t = v->t;
    IrVal r = 0;
    for (unsigned bit = 0; bit < 8; bit++) {
        IrVal part = av_op2(t, VOP_PAND, x, av_vop(v, av_pcmpgt, av_zero(t), y));
        r = r ? av_op2(t, VOP_PXOR, av_vop(v, av_padd, r, r), part) : part;
        y = av_vop(v, av_padd, y, y);
    }
    return r;
}

IrVal av_pmull8(const Av *v, IrVal n, IrVal m)
{
    Av wide = wider(v);
    return polynomial(&wide, av_extend(v, n, false, v->q), av_op1(v->t, VOP_PSLLWI, av_extend(v, m, false, v->q), 8));
}

IrVal av_rare(const Av *v, unsigned op, IrVal n, IrVal m, IrVal d)
{
    switch (op) {
    case A64V_SSHL: case A64V_USHL: case A64V_SRSHL: case A64V_URSHL: return shift_by(v, op, n, m);
    case A64V_SQSHL: case A64V_UQSHL: case A64V_SQRSHL: case A64V_UQRSHL: return shift_saturating(v, op, n, m);
    case A64V_SUQADD: case A64V_USQADD: return mixed_add(v, op == A64V_SUQADD, n, d);
    case A64V_SQABS: return no_smallest(v, av_inline(v, A64V_ABS, n, 0, 0));
    case A64V_SQNEG: return no_smallest(v, av_inline(v, A64V_NEG, n, 0, 0));
    case A64V_SQRDMLAH: case A64V_SQRDMLSH: return doubling_accumulate(v, op == A64V_SQRDMLSH, n, m, d);
    case A64V_CLZ: return leading_zeros(v, n);
    case A64V_CLS: return leading_signs(v, n);
    case A64V_PMUL: return polynomial(v, n, m);
    default: return 0;
    }
}
