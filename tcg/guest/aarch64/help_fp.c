/* Floating point out of line, on the state's registers: everything with FZ, halves, NaNs, and what the host's instructions do not do. */
#include "tcg/guest/aarch64/simd.h"

static FpEnv env_of(const A64State *s)
{
    return (FpEnv){ .fpcr = s->fpcr, .round = (FpRound)((s->fpcr & A64_FPCR_RMODE) >> A64_FPCR_RMODE_SHIFT) };
}

typedef struct Desc { unsigned op, shape, log2, count, index; bool elem, scalar, zero; const A64Vec *n, *m, *a; A64Vec *d; } Desc;

static Desc desc_of(A64State *s, uint64_t a, uint64_t b)
{
    unsigned log2 = a >> 21 & 3;
    bool scalar = a & AVD_SCALAR;
    return (Desc){ .op = a & 0xffff, .shape = a >> 16 & 15, .log2 = log2, .count = scalar ? 1 : (a >> 20 & 1 ? 16u : 8u) >> log2, .index = b >> 24 & 15,
                   .elem = (a & AVD_ELEM) != 0, .scalar = scalar, .zero = (a & AVD_ZERO) != 0, .n = &s->v[b >> 8 & 31],
                   .m = &s->v[b >> 16 & 31], .a = &s->v[b >> 32 & 31], .d = &s->v[b & 31] };
}

/* The operation on one element's operands; fused ones have their addend in @d. */
static uint64_t one(FpEnv *e, const Desc *s, uint64_t n, uint64_t m, uint64_t d)
{
    FpFmt f = (FpFmt)(s->log2 - 1);
    if (s->op >= FPO_MADD && s->op <= FPO_NMSUB)
        return a64_fp_op(e, f, (FpOp)s->op, d, n, m);
    return a64_fp_op(e, f, (FpOp)s->op, n, m, 0);
}

/* a: av_what(FPO_, ...), b: av_regs with the addend's register as its shift */
uint64_t a64_h_fpv(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    A64State *st = state;
    Desc s = desc_of(st, a, b);
    FpEnv e = env_of(st);
    A64Vec r = { { 0 } };
    (void)c;
    (void)d;
    if (s.shape == AVS_PAIR) {
        unsigned half = s.scalar ? 1 : s.count / 2;
        for (unsigned i = 0; i < s.count; i++) {
            const A64Vec *v = i < half ? s.n : s.m;
            av_elem_set(&r, s.log2, i, one(&e, &s, av_elem_get(v, s.log2, 2 * (i % half)), av_elem_get(v, s.log2, 2 * (i % half) + 1), 0));
        }
    } else if (s.shape == AVS_ACROSS) {
        uint64_t v[8];
        for (unsigned i = 0; i < s.count; i++)
            v[i] = av_elem_get(s.n, s.log2, i);
        for (unsigned n = s.count; n > 1; n /= 2)      /* ARM Reduce: in pairs, the lower half first */
            for (unsigned i = 0; i < n / 2; i++)
                v[i] = one(&e, &s, v[2 * i], v[2 * i + 1], 0);
        av_elem_set(&r, s.log2, 0, v[0]);
    } else {
        for (unsigned i = 0; i < s.count; i++)
            av_elem_set(&r, s.log2, i, one(&e, &s, av_elem_get(s.n, s.log2, i), s.zero ? 0 : av_elem_get(s.m, s.log2, s.elem ? s.index : i), av_elem_get(s.a, s.log2, i)));
    }
    *s.d = r;
    st->fpsr |= e.flags;
    return 0;
}

static FpRound round_of(unsigned op) { return (FpRound)((op - A64V_FCVTNS) / 2); }

/* Conversions between floats and integers (or fixed point) of the same width. a: av_what(A64V_FCVTNS.., ...), b: av_regs with the bits of fraction */
uint64_t a64_h_fcvtv(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    A64State *st = state;
    Desc s = desc_of(st, a, b);
    FpEnv e = env_of(st);
    A64Vec r = { { 0 } };
    FpFmt f = (FpFmt)(s.log2 - 1);
    unsigned bits = 8u << s.log2, fbits = (unsigned)(b >> 32);
    (void)c;
    (void)d;
    for (unsigned i = 0; i < s.count; i++) {
        uint64_t v = av_elem_get(s.n, s.log2, i);
        if (s.op >= A64V_SCVTF) {
            bool sign = s.op == A64V_SCVTF;
            v = a64_fp_from_int(&e, f, sign ? (uint64_t)((int64_t)(v << (64 - bits)) >> (64 - bits)) : v, sign, fbits);
        } else {
            v = a64_fp_to_int(&e, f, v, bits, !((s.op - A64V_FCVTNS) & 1), fbits, round_of(s.op));
        }
        av_elem_set(&r, s.log2, i, v);
    }
    *s.d = r;
    st->fpsr |= e.flags;
    return 0;
}

/* Scalar to a general register. a: operation | format << 8 | 64 bits << 12 | bits of fraction << 16, b: the float */
uint64_t a64_h_fp_to_int(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    A64State *s = state;
    FpEnv e = env_of(s);
    unsigned op = A64V_FCVTNS + (a & 255);
    (void)c;
    (void)d;
    uint64_t v = a64_fp_to_int(&e, (FpFmt)(a >> 8 & 3), b, a >> 12 & 1 ? 64 : 32, !((op - A64V_FCVTNS) & 1), a >> 16 & 127, round_of(op));
    s->fpsr |= e.flags;
    return v;
}

/* And back. a: signed | format << 8 | bits of fraction << 16, b: the integer, extended */
uint64_t a64_h_fp_from_int(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    A64State *s = state;
    FpEnv e = env_of(s);
    (void)c;
    (void)d;
    uint64_t v = a64_fp_from_int(&e, (FpFmt)(a >> 8 & 3), b, a & 1, a >> 16 & 127);
    s->fpsr |= e.flags;
    return v;
}

/* FCVT and its vectors. a: from | to << 4 | to odd << 8 | how << 9 (0 a scalar, 1 narrow, 2 long) | Q << 11; b: av_regs */
uint64_t a64_h_fcvt(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    A64State *s = state;
    FpEnv e = env_of(s);
    FpFmt from = (FpFmt)(a & 3), to = (FpFmt)(a >> 4 & 3);
    unsigned how = a >> 9 & 3, q = a >> 11 & 1, fl = from + 1u, tl = to + 1u, wide = fl > tl ? fl : tl, count = how ? 16u >> wide : 1;
    const A64Vec *n = &s->v[b >> 8 & 31];
    A64Vec r = { { 0 } };
    (void)c;
    (void)d;
    if (how == 1 && q)
        r.d[0] = s->v[b & 31].d[0];
    for (unsigned i = 0; i < count; i++)
        av_elem_set(&r, tl, i + (how == 1 && q ? count : 0), a64_fp_convert(&e, to, from, av_elem_get(n, fl, i + (how == 2 && q ? count : 0)), a >> 8 & 1));
    s->v[b & 31] = r;
    s->fpsr |= e.flags;
    return 0;
}

/* NZCV in the slot's form. a: format | signalling << 4, b c: operands */
uint64_t a64_h_fp_compare(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    A64State *s = state;
    FpEnv e = env_of(s);
    (void)d;
    unsigned v = a64_fp_compare(&e, (FpFmt)(a & 3), b, c, a >> 4 & 1);
    s->fpsr |= e.flags;
    return (v & 8 ? IRFL_N : 0u) | (v & 4 ? IRFL_Z : 0u) | (v & 2 ? 0u : IRFL_C) | (v & 1 ? IRFL_V : 0u);
}

/* FCMLA (ARM C7.2.54): a: av_what(rotation, SAME, arr, element), b: av_regs; FCADD: shape PAIR, rotation 1 or 3 */
uint64_t a64_h_fcmla(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    A64State *st = state;
    Desc s = desc_of(st, a, b);
    FpEnv e = env_of(st);
    FpFmt f = (FpFmt)(s.log2 - 1);
    uint64_t sign = 1ull << ((8u << s.log2) - 1);
    A64Vec r = { { 0 } };
    (void)c;
    (void)d;
    for (unsigned i = 0; i < s.count / 2; i++) {
        unsigned re = 2 * i, im = re + 1, mi = s.elem ? s.index : i;
        uint64_t nr = av_elem_get(s.n, s.log2, re), ni = av_elem_get(s.n, s.log2, im), mr = av_elem_get(s.m, s.log2, 2 * mi), mm = av_elem_get(s.m, s.log2, 2 * mi + 1);
        if (s.shape == AVS_PAIR) {
            av_elem_set(&r, s.log2, re, a64_fp_op(&e, f, FPO_ADD, nr, s.op == 1 ? mm ^ sign : mm, 0));
            av_elem_set(&r, s.log2, im, a64_fp_op(&e, f, FPO_ADD, ni, s.op == 1 ? mr : mr ^ sign, 0));
            continue;
        }
        uint64_t x = s.op & 1 ? ni : nr, y = s.op & 1 ? mm : mr, z = s.op & 1 ? mr : mm;
        y ^= s.op == 1 || s.op == 2 ? sign : 0;
        z ^= s.op >= 2 ? sign : 0;
        av_elem_set(&r, s.log2, re, a64_fp_op(&e, f, FPO_MADD, av_elem_get(s.d, s.log2, re), x, y));
        av_elem_set(&r, s.log2, im, a64_fp_op(&e, f, FPO_MADD, av_elem_get(s.d, s.log2, im), x, z));
    }
    *s.d = r;
    st->fpsr |= e.flags;
    return 0;
}

/* FJCVTZS: modulo 2^32; bit 32 of the result is Z, set when it was exact. b: the double */
uint64_t a64_h_fjcvtzs(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    A64State *s = state;
    unsigned exp = b >> 52 & 2047;
    uint64_t frac = b & ~0ull >> 12, v = 0;
    bool sign = b >> 63, exact = true;
    (void)a;
    (void)c;
    (void)d;
    if (exp == 2047) {
        s->fpsr |= A64_IOC;
        return 0;
    }
    if (!exp && frac && s->fpcr & A64_FPCR_FZ) {
        s->fpsr |= A64_IDC;
        return (uint64_t)!sign << 32;
    }
    int shift = (int)exp - 1023 - 52;
    uint64_t m = exp ? frac | 1ull << 52 : frac;
    bool fraction = false, big = false;
    if (shift >= 0) {
        v = shift < 64 ? m << shift : 0;
        big = true;
    } else {
        v = shift > -64 ? m >> -shift : 0;
        fraction = shift > -64 ? m << (64 + shift) : m != 0;
        big = v > (sign ? 0x80000000ull : 0x7fffffffull);
    }
    if (big)
        s->fpsr |= A64_IOC;
    else if (fraction)
        s->fpsr |= A64_IXC;
    exact = !big && !fraction && !(sign && !v);
    return (uint32_t)(sign ? -v : v) | (uint64_t)exact << 32;
}
