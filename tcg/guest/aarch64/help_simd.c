/*
 * AdvSIMD integer instructions an element at a time: what is rare, or has no counterpart among the host's. Elements are zero-extended; an operation
 * returns a result whose upper bits do not count. (ARM C7.2, the pseudocode of each instruction.)
 */
#include "tcg/guest/aarch64/simd.h"

typedef __int128 I128;
typedef struct El { unsigned bits, shift; bool sat; } El;   /* bits: of a source element */
typedef uint64_t ElFn(El *e, uint64_t a, uint64_t b, uint64_t d);

static uint64_t mask(unsigned bits) { return bits >= 64 ? ~0ull : (1ull << bits) - 1; }
static int64_t sext(uint64_t v, unsigned bits) { return (int64_t)(v << (64 - bits)) >> (64 - bits); }
#define S(v) sext(v, e->bits)
#define EL(name) static uint64_t el_##name(El *e, uint64_t a, uint64_t b, uint64_t d)
#define UNUSED_EL (void)e, (void)a, (void)b, (void)d

static uint64_t sat_s(El *e, I128 v, unsigned bits)
{
    I128 max = (I128)mask(bits - 1), min = -max - 1;
    e->sat |= v > max || v < min;
    return (uint64_t)(v > max ? max : v < min ? min : v);
}

static uint64_t sat_u(El *e, I128 v, unsigned bits)
{
    I128 max = (I128)mask(bits);
    e->sat |= v > max || v < 0;
    return (uint64_t)(v > max ? max : v < 0 ? 0 : v);
}

EL(ADD) { UNUSED_EL; return a + b; }
EL(SUB) { UNUSED_EL; return a - b; }
EL(MUL) { UNUSED_EL; return a * b; }
EL(MLA) { UNUSED_EL; return d + a * b; }
EL(MLS) { UNUSED_EL; return d - a * b; }
EL(SHADD) { UNUSED_EL; return (uint64_t)((S(a) + S(b)) >> 1); }
EL(UHADD) { UNUSED_EL; return (a + b) >> 1; }
EL(SRHADD) { UNUSED_EL; return (uint64_t)((S(a) + S(b) + 1) >> 1); }
EL(URHADD) { UNUSED_EL; return (a + b + 1) >> 1; }
EL(SHSUB) { UNUSED_EL; return (uint64_t)((S(a) - S(b)) >> 1); }
EL(UHSUB) { UNUSED_EL; return (a - b) >> 1; }
EL(SQADD) { UNUSED_EL; return sat_s(e, (I128)S(a) + S(b), e->bits); }
EL(UQADD) { UNUSED_EL; return sat_u(e, (I128)a + b, e->bits); }
EL(SQSUB) { UNUSED_EL; return sat_s(e, (I128)S(a) - S(b), e->bits); }
EL(UQSUB) { UNUSED_EL; return sat_u(e, (I128)a - b, e->bits); }
EL(SUQADD) { UNUSED_EL; return sat_s(e, (I128)S(d) + a, e->bits); }
EL(USQADD) { UNUSED_EL; return sat_u(e, (I128)d + S(a), e->bits); }
EL(CMGT) { UNUSED_EL; return S(a) > S(b) ? ~0ull : 0; }
EL(CMGE) { UNUSED_EL; return S(a) >= S(b) ? ~0ull : 0; }
EL(CMHI) { UNUSED_EL; return a > b ? ~0ull : 0; }
EL(CMHS) { UNUSED_EL; return a >= b ? ~0ull : 0; }
EL(CMTST) { UNUSED_EL; return a & b ? ~0ull : 0; }
EL(CMEQ) { UNUSED_EL; return a == b ? ~0ull : 0; }
EL(CMGT0) { UNUSED_EL; return S(a) > 0 ? ~0ull : 0; }
EL(CMGE0) { UNUSED_EL; return S(a) >= 0 ? ~0ull : 0; }
EL(CMEQ0) { UNUSED_EL; return !a ? ~0ull : 0; }
EL(CMLE0) { UNUSED_EL; return S(a) <= 0 ? ~0ull : 0; }
EL(CMLT0) { UNUSED_EL; return S(a) < 0 ? ~0ull : 0; }
EL(SMAX) { UNUSED_EL; return S(a) > S(b) ? a : b; }
EL(UMAX) { UNUSED_EL; return a > b ? a : b; }
EL(SMIN) { UNUSED_EL; return S(a) < S(b) ? a : b; }
EL(UMIN) { UNUSED_EL; return a < b ? a : b; }
EL(SABD) { UNUSED_EL; return (uint64_t)(S(a) > S(b) ? S(a) - S(b) : S(b) - S(a)); }
EL(UABD) { UNUSED_EL; return a > b ? a - b : b - a; }
EL(SABA) { return d + el_SABD(e, a, b, d); }
EL(UABA) { return d + el_UABD(e, a, b, d); }

/* @v shifted left by @by, which may be negative; a saturated left shift is the caller's. */
static I128 shifted(I128 v, int by, unsigned bits, bool round)
{
    if (by >= 0)
        return by >= (int)bits ? 0 : (I128)((unsigned __int128)v << by);
    if (-by > (int)bits || (-by == (int)bits && !round))
        return v < 0 && !round ? -1 : 0;
    return (v + (round ? (I128)1 << (-by - 1) : 0)) >> -by;
}

static uint64_t sat_shift_s(El *e, I128 v, int by, unsigned bits, unsigned to, bool round)
{
    if (by >= (int)bits && v)
        return sat_s(e, v < 0 ? -((I128)1 << 100) : (I128)1 << 100, to);
    return sat_s(e, shifted(v, by, bits, round), to);
}

static uint64_t sat_shift_u(El *e, I128 v, int by, unsigned bits, unsigned to, bool round)
{
    if (by >= (int)bits && v)
        return sat_u(e, v < 0 ? -1 : (I128)1 << 100, to);
    return sat_u(e, shifted(v, by, bits, round), to);
}

EL(SSHL) { UNUSED_EL; return (uint64_t)shifted(S(a), (int8_t)b, e->bits, false); }
EL(USHL) { UNUSED_EL; return (uint64_t)shifted((I128)a, (int8_t)b, e->bits, false); }
EL(SRSHL) { UNUSED_EL; return (uint64_t)shifted(S(a), (int8_t)b, e->bits, true); }
EL(URSHL) { UNUSED_EL; return (uint64_t)shifted((I128)a, (int8_t)b, e->bits, true); }
EL(SQSHL) { UNUSED_EL; return sat_shift_s(e, S(a), (int8_t)b, e->bits, e->bits, false); }
EL(UQSHL) { UNUSED_EL; return sat_shift_u(e, (I128)a, (int8_t)b, e->bits, e->bits, false); }
EL(SQRSHL) { UNUSED_EL; return sat_shift_s(e, S(a), (int8_t)b, e->bits, e->bits, true); }
EL(UQRSHL) { UNUSED_EL; return sat_shift_u(e, (I128)a, (int8_t)b, e->bits, e->bits, true); }

/* ---- doubling multiplications ---- */
EL(SQDMULH) { UNUSED_EL; return sat_s(e, ((I128)S(a) * S(b) * 2) >> e->bits, e->bits); }
EL(SQRDMULH) { UNUSED_EL; return sat_s(e, ((I128)S(a) * S(b) * 2 + ((I128)1 << (e->bits - 1))) >> e->bits, e->bits); }
EL(SQRDMLAH) { UNUSED_EL; return sat_s(e, ((I128)S(d) * ((I128)1 << e->bits) + (I128)S(a) * S(b) * 2 + ((I128)1 << (e->bits - 1))) >> e->bits, e->bits); }
EL(SQRDMLSH) { UNUSED_EL; return sat_s(e, ((I128)S(d) * ((I128)1 << e->bits) - (I128)S(a) * S(b) * 2 + ((I128)1 << (e->bits - 1))) >> e->bits, e->bits); }
EL(SQDMULL) { UNUSED_EL; return sat_s(e, (I128)S(a) * S(b) * 2, 2 * e->bits); }
EL(SQDMLAL) { uint64_t p = el_SQDMULL(e, a, b, d); return sat_s(e, (I128)sext(d, 2 * e->bits) + sext(p, 2 * e->bits), 2 * e->bits); }
EL(SQDMLSL) { uint64_t p = el_SQDMULL(e, a, b, d); return sat_s(e, (I128)sext(d, 2 * e->bits) - sext(p, 2 * e->bits), 2 * e->bits); }

EL(SDOT)
{
    UNUSED_EL;
    for (unsigned n = 0; n < 4; n++)
        d += (uint64_t)((int64_t)(int8_t)(a >> 8 * n) * (int8_t)(b >> 8 * n));
    return d;
}

EL(UDOT)
{
    UNUSED_EL;
    for (unsigned n = 0; n < 4; n++)
        d += (a >> 8 * n & 255) * (b >> 8 * n & 255);
    return d;
}

EL(PMUL)
{
    uint64_t r = 0;
    UNUSED_EL;
    for (unsigned n = 0; n < 8; n++)
        r ^= b >> n & 1 ? a << n : 0;
    return r;
}

/* ---- long, wide, narrow ---- */
EL(SADDL) { UNUSED_EL; return (uint64_t)(S(a) + S(b)); }
EL(SSUBL) { UNUSED_EL; return (uint64_t)(S(a) - S(b)); }
EL(SMULL) { UNUSED_EL; return (uint64_t)(S(a) * S(b)); }
EL(SMLAL) { UNUSED_EL; return d + (uint64_t)(S(a) * S(b)); }
EL(SMLSL) { UNUSED_EL; return d - (uint64_t)(S(a) * S(b)); }
EL(SADDW) { UNUSED_EL; return a + (uint64_t)S(b); }
EL(SSUBW) { UNUSED_EL; return a - (uint64_t)S(b); }
EL(ADDHN) { UNUSED_EL; return (a + b) >> e->bits; }
EL(RADDHN) { UNUSED_EL; return (a + b + (1ull << (e->bits - 1))) >> e->bits; }
EL(SUBHN) { UNUSED_EL; return (a - b) >> e->bits; }
EL(RSUBHN) { UNUSED_EL; return (a - b + (1ull << (e->bits - 1))) >> e->bits; }
EL(SADDLP) { UNUSED_EL; return (uint64_t)(S(a) + S(b)); }
EL(SADALP) { UNUSED_EL; return d + (uint64_t)(S(a) + S(b)); }
EL(UADALP) { UNUSED_EL; return d + a + b; }
EL(XTN) { UNUSED_EL; return a; }
EL(SQXTN) { UNUSED_EL; return sat_s(e, sext(a, 2 * e->bits), e->bits); }
EL(UQXTN) { UNUSED_EL; return sat_u(e, (I128)a, e->bits); }
EL(SQXTUN) { UNUSED_EL; return sat_u(e, sext(a, 2 * e->bits), e->bits); }
EL(SHLL) { UNUSED_EL; return a << e->bits; }

/* ---- one operand ---- */
EL(CLZ) { UNUSED_EL; return a ? (uint64_t)__builtin_clzll(a) - (64 - e->bits) : e->bits; }
EL(CLS) { uint64_t x = (a ^ (uint64_t)(S(a) >> 1)) & mask(e->bits - 1); return el_CLZ(e, x, b, d) - 1; }
EL(CNT) { UNUSED_EL; return (uint64_t)__builtin_popcountll(a); }
EL(NOT) { UNUSED_EL; return ~a; }
EL(ABS) { UNUSED_EL; return (uint64_t)(S(a) < 0 ? -(uint64_t)S(a) : (uint64_t)S(a)); }
EL(NEG) { UNUSED_EL; return -a; }
EL(SQABS) { UNUSED_EL; return sat_s(e, S(a) < 0 ? -(I128)S(a) : S(a), e->bits); }
EL(SQNEG) { UNUSED_EL; return sat_s(e, -(I128)S(a), e->bits); }
EL(URECPE) { UNUSED_EL; return a >> 31 ? (uint64_t)a64_recip_estimate((unsigned)(a >> 23)) << 23 : ~0ull; }
EL(URSQRTE) { UNUSED_EL; return a >> 30 ? (uint64_t)a64_rsqrt_estimate((unsigned)(a >> 23)) << 23 : ~0ull; }

EL(RBIT)
{
    uint64_t r = 0;
    UNUSED_EL;
    for (unsigned n = 0; n < 8; n++)
        r |= (a >> n & 1) << (7 - n);
    return r;
}

static uint64_t reversed(uint64_t v, unsigned bits, unsigned to)
{
    uint64_t r = 0;
    for (unsigned n = 0; n < to; n += bits)
        r |= (v >> n & mask(bits)) << (to - bits - n);
    return r;
}

/* ---- shifts by immediates: to the right by e->shift, to the left by -e->shift ---- */
#define BY (-(int)e->shift)
EL(SSHR) { UNUSED_EL; return (uint64_t)shifted(S(a), BY, e->bits, false); }
EL(USHR) { UNUSED_EL; return (uint64_t)shifted((I128)a, BY, e->bits, false); }
EL(SSRA) { return d + el_SSHR(e, a, b, d); }
EL(USRA) { return d + el_USHR(e, a, b, d); }
EL(SRSHR) { UNUSED_EL; return (uint64_t)shifted(S(a), BY, e->bits, true); }
EL(URSHR) { UNUSED_EL; return (uint64_t)shifted((I128)a, BY, e->bits, true); }
EL(SRSRA) { return d + el_SRSHR(e, a, b, d); }
EL(URSRA) { return d + el_URSHR(e, a, b, d); }
EL(SLI) { UNUSED_EL; return a << BY | (d & mask((unsigned)BY)); }
EL(SRI) { uint64_t m = mask(e->bits); UNUSED_EL; return e->shift >= e->bits ? d : a >> e->shift | (d & (m ^ m >> e->shift)); }
EL(SQSHLU) { UNUSED_EL; return sat_shift_u(e, S(a), BY, e->bits, e->bits, false); }
EL(SQSHLI) { UNUSED_EL; return sat_shift_s(e, S(a), BY, e->bits, e->bits, false); }
EL(UQSHLI) { UNUSED_EL; return sat_shift_u(e, (I128)a, BY, e->bits, e->bits, false); }
/* narrowing: the source has twice the bits */
#define WS(v) sext(v, 2 * e->bits)
EL(SHRN) { UNUSED_EL; return a >> e->shift; }
EL(RSHRN) { UNUSED_EL; return (a + (1ull << (e->shift - 1))) >> e->shift; }
EL(SQSHRN) { UNUSED_EL; return sat_shift_s(e, WS(a), BY, 2 * e->bits, e->bits, false); }
EL(SQRSHRN) { UNUSED_EL; return sat_shift_s(e, WS(a), BY, 2 * e->bits, e->bits, true); }
EL(UQSHRN) { UNUSED_EL; return sat_shift_u(e, (I128)a, BY, 2 * e->bits, e->bits, false); }
EL(UQRSHRN) { UNUSED_EL; return sat_shift_u(e, (I128)a, BY, 2 * e->bits, e->bits, true); }
EL(SQSHRUN) { UNUSED_EL; return sat_shift_u(e, WS(a), BY, 2 * e->bits, e->bits, false); }
EL(SQRSHRUN) { UNUSED_EL; return sat_shift_u(e, WS(a), BY, 2 * e->bits, e->bits, true); }
EL(SSHLL) { UNUSED_EL; return (uint64_t)S(a) << BY; }
EL(USHLL) { UNUSED_EL; return a << BY; }

static ElFn *const el_fn[A64V_INT_OPS] = {
#define O(n) [A64V_##n] = el_##n
#define AS(n, m) [A64V_##n] = el_##m
    O(ADD), O(SUB), O(MUL), O(MLA), O(MLS), O(PMUL), O(SHADD), O(UHADD), O(SRHADD), O(URHADD), O(SHSUB), O(UHSUB), O(SQADD), O(UQADD), O(SQSUB), O(UQSUB), O(SUQADD),
    O(USQADD), O(CMGT), O(CMGE), O(CMHI), O(CMHS), O(CMTST), O(CMEQ), O(CMGT0), O(CMGE0), O(CMEQ0), O(CMLE0), O(CMLT0), O(SSHL), O(USHL), O(SRSHL), O(URSHL), O(SQSHL),
    O(UQSHL), O(SQRSHL), O(UQRSHL), O(SMAX), O(UMAX), O(SMIN), O(UMIN), O(SABD), O(UABD), O(SABA), O(UABA), O(SQDMULH), O(SQRDMULH), O(SQRDMLAH), O(SQRDMLSH), O(SDOT),
    O(UDOT), O(SADDL), AS(UADDL, ADD), O(SSUBL), AS(USUBL, SUB), AS(SABAL, SABA), AS(UABAL, UABA), AS(SABDL, SABD), AS(UABDL, UABD), O(SMLAL), AS(UMLAL, MLA), O(SMLSL),
    AS(UMLSL, MLS), O(SMULL), AS(UMULL, MUL), O(SQDMLAL), O(SQDMLSL), O(SQDMULL), AS(PMULL, PMUL), O(SADDW), AS(UADDW, ADD), O(SSUBW), AS(USUBW, SUB), O(ADDHN), O(RADDHN),
    O(SUBHN), O(RSUBHN), O(CLS), O(CLZ), O(CNT), O(NOT), O(RBIT), O(ABS), O(NEG), O(SQABS), O(SQNEG), O(URECPE), O(URSQRTE), O(SADDLP), AS(UADDLP, ADD), O(SADALP), O(UADALP),
    O(XTN), O(SQXTN), O(UQXTN), O(SQXTUN), O(SHLL), AS(SADDLV, SADDL), AS(UADDLV, ADD), O(SSHR), O(USHR), O(SSRA), O(USRA), O(SRSHR), O(URSHR), O(SRSRA), O(URSRA),
    AS(SHL, USHLL), O(SLI), O(SRI), O(SQSHLU), O(SQSHLI), O(UQSHLI), O(SHRN), O(RSHRN), O(SQSHRN), O(SQRSHRN), O(UQSHRN), O(UQRSHRN), O(SQSHRUN), O(SQRSHRUN), O(SSHLL),
    O(USHLL),
#undef O
#undef AS
};

/* ---- vectors ---- */
typedef struct Desc { unsigned op, shape, log2, rd, rn, rm, index; bool q, scalar, elem; } Desc;

static Desc desc_of(uint64_t a, uint64_t b)
{
    return (Desc){ .op = a & 0xffff, .shape = a >> 16 & 15, .log2 = a >> 21 & 3, .q = a >> 20 & 1, .scalar = (a & AVD_SCALAR) != 0, .elem = (a & AVD_ELEM) != 0,
                   .rd = b & 31, .rn = b >> 8 & 31, .rm = b >> 16 & 31, .index = b >> 24 & 15 };
}


static unsigned elements(const Desc *s) { return s->scalar ? 1 : (s->q ? 16u : 8u) >> s->log2; }

static void do_same(const Desc *s, El *e, ElFn *fn, const A64Vec *n, const A64Vec *m, const A64Vec *d, A64Vec *r)
{
    for (unsigned i = 0; i < elements(s); i++)
        av_elem_set(r, s->log2, i, fn(e, av_elem_get(n, s->log2, i), av_elem_get(m, s->log2, s->elem ? s->index : i), av_elem_get(d, s->log2, i)));
}

static void do_pair(const Desc *s, El *e, ElFn *fn, const A64Vec *n, const A64Vec *m, A64Vec *r)
{
    unsigned half = elements(s) / 2;
    if (s->scalar) {
        av_elem_set(r, s->log2, 0, fn(e, av_elem_get(n, s->log2, 0), av_elem_get(n, s->log2, 1), 0));
        return;
    }
    for (unsigned i = 0; i < half; i++) {
        av_elem_set(r, s->log2, i, fn(e, av_elem_get(n, s->log2, 2 * i), av_elem_get(n, s->log2, 2 * i + 1), 0));
        av_elem_set(r, s->log2, half + i, fn(e, av_elem_get(m, s->log2, 2 * i), av_elem_get(m, s->log2, 2 * i + 1), 0));
    }
}

/* LONG: both operands narrow (the upper half with Q); WIDE: the first wide; SHLL as LONG. */
static void do_long(const Desc *s, El *e, ElFn *fn, const A64Vec *n, const A64Vec *m, const A64Vec *d, A64Vec *r)
{
    unsigned count = s->scalar ? 1 : 8u >> s->log2, from = s->q && !s->scalar ? count : 0;
    for (unsigned i = 0; i < count; i++) {
        uint64_t a = s->shape == AVS_WIDE ? av_elem_get(n, s->log2 + 1, i) : av_elem_get(n, s->log2, from + i);
        av_elem_set(r, s->log2 + 1, i, fn(e, a, av_elem_get(m, s->log2, s->elem ? s->index : from + i), av_elem_get(d, s->log2 + 1, i)));
    }
}

static void do_narrow(const Desc *s, El *e, ElFn *fn, const A64Vec *n, const A64Vec *m, const A64Vec *d, A64Vec *r)
{
    unsigned count = s->scalar ? 1 : 8u >> s->log2, to = s->q && !s->scalar ? count : 0;
    if (to)
        r->d[0] = d->d[0];
    for (unsigned i = 0; i < count; i++)
        av_elem_set(r, s->log2, to + i, fn(e, av_elem_get(n, s->log2 + 1, i), av_elem_get(m, s->log2 + 1, i), 0));
}

static void do_addlp(const Desc *s, El *e, ElFn *fn, const A64Vec *n, const A64Vec *d, A64Vec *r)
{
    for (unsigned i = 0; i < elements(s) / 2; i++)
        av_elem_set(r, s->log2 + 1, i, fn(e, av_elem_get(n, s->log2, 2 * i), av_elem_get(n, s->log2, 2 * i + 1), av_elem_get(d, s->log2 + 1, i)));
}

static void do_across(const Desc *s, El *e, ElFn *fn, const A64Vec *n, A64Vec *r)
{
    bool wide = s->op == A64V_SADDLV || s->op == A64V_UADDLV;
    uint64_t v = av_elem_get(n, s->log2, 0);
    if (s->op == A64V_SADDLV)
        v = (uint64_t)sext(v, e->bits);
    for (unsigned i = 1; i < elements(s); i++)
        v = wide ? v + (s->op == A64V_SADDLV ? (uint64_t)sext(av_elem_get(n, s->log2, i), e->bits) : av_elem_get(n, s->log2, i)) : fn(e, v, av_elem_get(n, s->log2, i), 0);
    av_elem_set(r, s->log2 + wide, 0, v);
}

static void do_rev(const Desc *s, const A64Vec *n, A64Vec *r)
{
    unsigned to = s->op == A64V_REV64 ? 3 : s->op == A64V_REV32 ? 2 : 1;
    for (unsigned i = 0; i < (s->q ? 16u : 8u) >> to; i++)
        av_elem_set(r, to, i, reversed(av_elem_get(n, to, i), 8u << s->log2, 8u << to));
}

/* a: av_what, b: av_regs */
uint64_t a64_h_simd(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    A64State *st = state;
    Desc s = desc_of(a, b);
    El e = { .bits = 8u << s.log2, .shift = (unsigned)(b >> 32) };
    const A64Vec *n = &st->v[s.rn], *m = &st->v[s.rm], *old = &st->v[s.rd];
    A64Vec r = { { 0 } };
    ElFn *fn = el_fn[s.op];
    (void)c;
    (void)d;
    if (s.op >= A64V_REV64 && s.op <= A64V_REV16) {
        do_rev(&s, n, &r);
    } else {
        switch ((A64Shape)s.shape) {
        case AVS_SAME: do_same(&s, &e, fn, n, m, old, &r); break;
        case AVS_PAIR: do_pair(&s, &e, fn, n, m, &r); break;
        case AVS_LONG: case AVS_WIDE: case AVS_SHLL: do_long(&s, &e, fn, n, m, old, &r); break;
        case AVS_HN: case AVS_NARROW: do_narrow(&s, &e, fn, n, m, old, &r); break;
        case AVS_ADDLP: do_addlp(&s, &e, fn, n, old, &r); break;
        case AVS_ACROSS: do_across(&s, &e, fn, n, &r); break;
        }
    }
    st->v[s.rd] = r;
    if (e.sat)
        st->fpsr |= A64_FPSR_QC;
    return 0;
}
