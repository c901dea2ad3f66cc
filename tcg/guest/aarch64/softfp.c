#include "tcg/guest/aarch64/softfp.h"

#include "cpu/aarch64/state.h"

typedef unsigned __int128 U128;
typedef struct Fmt { unsigned bits, mant; int bias; } Fmt;
static const Fmt fmts[] = { { 16, 10, 15 }, { 32, 23, 127 }, { 64, 52, 1023 } };

typedef enum Kind { ZERO, FINITE, INF, QNAN, SNAN } Kind;
/* Finite: mant * 2^(exp - 63), bit 63 of mant set. raw: the encoding. */
typedef struct Num { Kind kind; bool sign; int exp; uint64_t mant, raw; } Num;

static uint64_t ones(unsigned n) { return n >= 64 ? ~0ull : (1ull << n) - 1; }
static uint64_t sign_bit(const Fmt *f) { return 1ull << (f->bits - 1); }
static uint64_t exp_ones(const Fmt *f) { return (uint64_t)(2 * f->bias + 1) << f->mant; }
static uint64_t quiet_bit(const Fmt *f) { return 1ull << (f->mant - 1); }
static uint64_t default_nan(const Fmt *f) { return exp_ones(f) | quiet_bit(f); }
static uint64_t signed_of(const Fmt *f, bool sign, uint64_t v) { return v | (sign ? sign_bit(f) : 0); }
static bool is_nan(const Num *n) { return n->kind >= QNAN; }
static bool flushes(const FpEnv *e, const Fmt *f) { return e->fpcr & (f->bits == 16 ? A64_FPCR_FZ16 : A64_FPCR_FZ); }

static uint64_t invalid(FpEnv *e, const Fmt *f)
{
    e->flags |= A64_IOC;
    return default_nan(f);
}

/* FPUnpackBase */
static Num unpack_as(FpEnv *e, const Fmt *f, uint64_t v, bool flush, bool alt_half)
{
    Num n = { .raw = v & ones(f->bits), .sign = v & sign_bit(f) };
    uint64_t frac = v & ones(f->mant);
    int exp = (int)(v >> f->mant & (unsigned)(2 * f->bias + 1));
    if (exp == 2 * f->bias + 1 && !alt_half) {
        n.kind = !frac ? INF : frac & quiet_bit(f) ? QNAN : SNAN;
        return n;
    }
    if (!exp && frac && flush) {
        frac = 0;
        e->flags |= f->bits == 16 ? 0 : A64_IDC;
    }
    if (!exp && !frac)
        return n;
    n.kind = FINITE;
    n.mant = exp ? (frac | 1ull << f->mant) << (63 - f->mant) : frac << (63 - f->mant);
    n.exp = (exp ? exp : 1) - f->bias;
    unsigned up = (unsigned)__builtin_clzll(n.mant);
    n.mant <<= up;
    n.exp -= (int)up;
    return n;
}

static Num unpack(FpEnv *e, const Fmt *f, uint64_t v) { return unpack_as(e, f, v, flushes(e, f), false); }

/* FPProcessNaN */
static uint64_t nan_of(FpEnv *e, const Fmt *f, const Num *n)
{
    if (n->kind == SNAN)
        e->flags |= A64_IOC;
    return e->fpcr & A64_FPCR_DN ? default_nan(f) : n->raw | quiet_bit(f);
}

/* FPProcessNaNs and FPProcessNaNs3: signalling ones first. */
static bool nans(FpEnv *e, const Fmt *f, const Num *const n[], unsigned count, uint64_t *ret)
{
    for (Kind k = SNAN; k >= QNAN; k--)
        for (unsigned i = 0; i < count; i++)
            if (n[i]->kind == k) {
                *ret = nan_of(e, f, n[i]);
                return true;
            }
    return false;
}

static bool rounds_up(FpRound r, bool sign, bool odd, bool half, bool rest)
{
    switch (r) {
    case FPR_NEAREST: return half && (rest || odd);
    case FPR_UP: return !sign && (half || rest);
    case FPR_DOWN: return sign && (half || rest);
    case FPR_AWAY: return half;
    default: return false;
    }
}

/* FPRoundBase: (mant + a bit of @sticky) * 2^(exp - 63), bit 63 of mant set. */
static uint64_t round_as(FpEnv *e, const Fmt *f, bool sign, int exp, uint64_t mant, bool sticky, bool flush, bool alt_half)
{
    int min_exp = 1 - f->bias, biased = exp - min_exp + 1;
    unsigned drop = 63 - f->mant;
    if (flush && exp < min_exp) {
        e->flags |= A64_UFC;
        return signed_of(f, sign, 0);
    }
    if (biased <= 0) {
        unsigned more = (unsigned)(min_exp - exp);
        biased = 0;
        drop = drop + more > 64 ? 65 : drop + more;
    }
    bool half = drop <= 64 && drop && mant >> (drop - 1) & 1, rest = sticky || (drop > 64 ? mant != 0 : drop > 1 && mant << (65 - drop));
    uint64_t m = drop > 63 ? 0 : mant >> drop;
    bool error = half || rest;
    if (!biased && error)
        e->flags |= A64_UFC;
    if (rounds_up(e->round, sign, m & 1, half, rest)) {
        m++;
        if (m == 1ull << f->mant && !biased)
            biased = 1;
        if (m == 1ull << (f->mant + 1)) {
            biased++;
            m >>= 1;
        }
    }
    if (e->round == FPR_ODD && error)
        m |= 1;
    if (alt_half && biased >= 32) {
        e->flags |= A64_IOC;
        return signed_of(f, sign, 0x7fff);
    }
    if (!alt_half && biased >= 2 * f->bias + 1) {
        bool inf = e->round == FPR_NEAREST || e->round == FPR_AWAY || (e->round == FPR_UP && !sign) || (e->round == FPR_DOWN && sign);
        e->flags |= A64_OFC | A64_IXC;
        return signed_of(f, sign, exp_ones(f) - !inf);
    }
    if (error)
        e->flags |= A64_IXC;
    return signed_of(f, sign, (uint64_t)biased << f->mant | (m & ones(f->mant)));
}

static uint64_t round_to(FpEnv *e, const Fmt *f, bool sign, int exp, uint64_t mant, bool sticky)
{
    return round_as(e, f, sign, exp, mant, sticky, flushes(e, f), false);
}

static uint64_t zero_sum(const FpEnv *e, const Fmt *f) { return signed_of(f, e->round == FPR_DOWN, 0); }

/* The value m * 2^(exp - 127) rounded; 0: the sign of a sum that vanishes. */
static uint64_t round_wide(FpEnv *e, const Fmt *f, bool sign, int exp, U128 m, bool sticky)
{
    if (!m)
        return zero_sum(e, f);
    unsigned up = m >> 64 ? (unsigned)__builtin_clzll((uint64_t)(m >> 64)) : 64 + (unsigned)__builtin_clzll((uint64_t)m);
    m <<= up;
    return round_to(e, f, sign, exp - (int)up, (uint64_t)(m >> 64), sticky || (uint64_t)m);
}

/* A term of a sum: m * 2^(exp - 127), bit 126 or 127 of m set (or m 0). */
typedef struct Term { U128 m; int exp; bool sign; } Term;

static Term term_of(const Num *n) { return n->kind == FINITE ? (Term){ (U128)n->mant << 63, n->exp + 1, n->sign } : (Term){ 0, -100000, n->sign }; }

/* Both finite; the sum exact but for a sticky bit. Bit 127 of the terms is free. */
static uint64_t add_terms(FpEnv *e, const Fmt *f, Term a, Term b)
{
    if (!b.m || (a.m && (a.exp > b.exp || (a.exp == b.exp && a.m >= b.m)))) {
        /* in order */
    } else {
        Term t = a;
        a = b;
        b = t;
    }
    unsigned d = a.exp - b.exp > 127 ? 127 : (unsigned)(a.exp - b.exp);
    bool sticky = b.m && d && b.m << (128 - d);
    U128 small = b.m ? b.m >> d : 0;
    return round_wide(e, f, a.sign, a.exp, a.sign == b.sign ? a.m + small : a.m - small - sticky, sticky);
}

/* a + b; signs of exact zeros as FPAdd. */
static uint64_t sum(FpEnv *e, const Fmt *f, const Num *a, const Num *b)
{
    if (a->kind == INF || b->kind == INF) {
        if (a->kind == b->kind && a->sign != b->sign)
            return invalid(e, f);
        return signed_of(f, a->kind == INF ? a->sign : b->sign, exp_ones(f));
    }
    if (a->kind == ZERO && b->kind == ZERO)
        return a->sign == b->sign ? signed_of(f, a->sign, 0) : zero_sum(e, f);
    return add_terms(e, f, term_of(a), term_of(b));
}

static uint64_t product(FpEnv *e, const Fmt *f, const Num *a, const Num *b, bool extended)
{
    bool sign = a->sign != b->sign;
    if ((a->kind == INF && b->kind == ZERO) || (a->kind == ZERO && b->kind == INF))
        return extended ? signed_of(f, sign, (uint64_t)(f->bias + 1) << f->mant) : invalid(e, f);
    if (a->kind == INF || b->kind == INF)
        return signed_of(f, sign, exp_ones(f));
    if (a->kind == ZERO || b->kind == ZERO)
        return signed_of(f, sign, 0);
    return round_wide(e, f, sign, a->exp + b->exp + 1, (U128)a->mant * b->mant, false);
}

static uint64_t quotient(FpEnv *e, const Fmt *f, const Num *a, const Num *b)
{
    bool sign = a->sign != b->sign;
    if ((a->kind == INF && b->kind == INF) || (a->kind == ZERO && b->kind == ZERO))
        return invalid(e, f);
    if (a->kind == INF || b->kind == ZERO) {
        if (a->kind != INF)
            e->flags |= A64_DZC;
        return signed_of(f, sign, exp_ones(f));
    }
    if (a->kind == ZERO || b->kind == INF)
        return signed_of(f, sign, 0);
    U128 n = (U128)a->mant << 63;
    uint64_t q = (uint64_t)(n / b->mant);       /* 2^62 < q < 2^64 */
    return round_wide(e, f, sign, a->exp - b->exp, (U128)q << 64, n % b->mant);
}

static uint64_t root(FpEnv *e, const Fmt *f, const Num *a)
{
    if (a->kind == ZERO)
        return signed_of(f, a->sign, 0);
    if (a->sign)
        return invalid(e, f);
    if (a->kind == INF)
        return exp_ones(f);
    bool odd = a->exp & 1;
    U128 v = (U128)a->mant << (odd ? 64 : 63);   /* of value 2^126..2^128 */
    uint64_t r = 0;
    for (int bit = 63; bit >= 0; bit--) {
        uint64_t t = r | 1ull << bit;
        if ((U128)t * t <= v)
            r = t;
    }
    return round_to(e, f, false, (a->exp - odd) / 2, r, (U128)r * r != v);
}

/* addend + b * c, halved for FRSQRTS (@down 1), fused. No NaN among them. */
static uint64_t fused(FpEnv *e, const Fmt *f, const Num *a, const Num *b, const Num *c, int down)
{
    bool sign = b->sign != c->sign, inf = b->kind == INF || c->kind == INF, zero = b->kind == ZERO || c->kind == ZERO;
    if ((inf && zero) || (a->kind == INF && inf && a->sign != sign))
        return invalid(e, f);
    if (a->kind == INF || inf)
        return signed_of(f, a->kind == INF ? a->sign : sign, exp_ones(f));
    if (a->kind == ZERO && zero)
        return a->sign == sign ? signed_of(f, sign, 0) : zero_sum(e, f);
    Term p = { 0, -100000, sign }, t = term_of(a);
    if (!zero) {
        p.m = (U128)b->mant * c->mant;           /* two formats' bits at most: the low ones are 0 */
        p.exp = b->exp + c->exp + 1;
        if (p.m >> 127) {
            p.m >>= 1;
            p.exp++;
        }
    }
    p.exp -= down;
    t.exp -= down;
    return add_terms(e, f, p, t);
}

/* A finite half, not 0: v * 2^(exp - 25). */
static bool small_half(uint64_t v, int *exp, uint64_t *mant)
{
    int biased = v >> 10 & 31;
    *exp = biased ? biased : 1;
    *mant = (v & 0x3ff) | (biased ? 0x400 : 0);
    return biased != 31 && *mant;
}

/* Halves whose sum is exact in 64 bits; false: others. */
static bool multiply_add_halves(FpEnv *e, const Fmt *f, uint64_t addend, uint64_t x, uint64_t y, uint64_t *ret)
{
    enum { FAR = 40 };
    uint64_t a, b, c;
    int ae, be, ce;
    if (!small_half(addend, &ae, &a) || !small_half(x, &be, &b) || !small_half(y, &ce, &c))
        return false;
    int apart = ae - (be + ce - 25), base = apart > 0 ? be + ce - 50 : ae - 25;     /* both as multiples of 2^base */
    if (apart > FAR || apart < -FAR)
        return false;
    uint64_t p = b * c << (apart < 0 ? -apart : 0);
    a <<= apart > 0 ? apart : 0;
    bool sign = addend >> 15 & 1, p_sign = (x ^ y) >> 15 & 1, greater = p > a;
    uint64_t m = sign == p_sign ? a + p : greater ? p - a : a - p;
    int up = m ? __builtin_clzll(m) : 0;
    *ret = m ? round_to(e, f, greater ? p_sign : sign, base + 63 - up, m << up, false) : zero_sum(e, f);
    return true;
}

static uint64_t multiply_add(FpEnv *e, const Fmt *f, uint64_t addend, uint64_t x, uint64_t y)
{
    uint64_t fast;
    if (f->bits == 16 && !flushes(e, f) && multiply_add_halves(e, f, addend, x, y, &fast))
        return fast;
    Num a = unpack(e, f, addend), b = unpack(e, f, x), c = unpack(e, f, y);
    const Num *n[] = { &a, &b, &c };
    uint64_t r;
    bool bad = (b.kind == INF && c.kind == ZERO) || (b.kind == ZERO && c.kind == INF);
    if (nans(e, f, n, 3, &r))
        return a.kind == QNAN && bad ? invalid(e, f) : r;
    return fused(e, f, &a, &b, &c, 0);
}

/* FRECPS: 2 - a*b; FRSQRTS: (3 - a*b) / 2 */
static uint64_t step(FpEnv *e, const Fmt *f, uint64_t x, uint64_t y, bool rsqrt)
{
    Num a = unpack(e, f, x ^ sign_bit(f)), b = unpack(e, f, y);
    const Num *n[] = { &a, &b };
    uint64_t r;
    if (nans(e, f, n, 2, &r))
        return r;
    Num k = rsqrt ? (Num){ .kind = FINITE, .exp = 1, .mant = 3ull << 62 } : (Num){ .kind = FINITE, .exp = 1, .mant = 1ull << 63 };
    if ((a.kind == INF && b.kind == ZERO) || (a.kind == ZERO && b.kind == INF))
        return rsqrt ? (uint64_t)f->bias << f->mant | quiet_bit(f) : (uint64_t)(f->bias + 1) << f->mant;
    return fused(e, f, &k, &a, &b, rsqrt);
}

/* -1 0 1, 2 unordered */
static int order(const Num *a, const Num *b)
{
    if (is_nan(a) || is_nan(b))
        return 2;
    if (a->kind == ZERO && b->kind == ZERO)
        return 0;
    bool sa = a->kind != ZERO && a->sign, sb = b->kind != ZERO && b->sign;
    if (a->kind == ZERO || b->kind == ZERO || sa != sb)
        return a->kind == ZERO ? (sb ? 1 : -1) : b->kind == ZERO ? (sa ? -1 : 1) : sa ? -1 : 1;
    int m = a->kind != b->kind ? (a->kind == INF ? 1 : -1) : a->kind == INF ? 0 : a->exp != b->exp ? (a->exp > b->exp ? 1 : -1)
                                                                              : a->mant == b->mant ? 0 : a->mant > b->mant ? 1 : -1;
    return sa ? -m : m;
}

static uint64_t extreme(FpEnv *e, const Fmt *f, Num a, Num b, bool max, bool number)
{
    const Num *n[] = { &a, &b };
    uint64_t r;
    if (number && a.kind == QNAN && b.kind < QNAN)
        a = (Num){ .kind = INF, .sign = max, .raw = signed_of(f, max, exp_ones(f)) };
    else if (number && b.kind == QNAN && a.kind < QNAN)
        b = (Num){ .kind = INF, .sign = max, .raw = signed_of(f, max, exp_ones(f)) };
    if (nans(e, f, n, 2, &r))
        return r;
    if (a.kind == ZERO && b.kind == ZERO)
        return signed_of(f, max ? a.sign && b.sign : a.sign || b.sign, 0);
    const Num *w = (order(&a, &b) > 0) == max ? &a : &b;
    return w->kind == ZERO ? signed_of(f, w->sign, 0) : w->raw;
}

static uint64_t comparison(FpEnv *e, const Fmt *f, FpOp op, uint64_t x, uint64_t y)
{
    if (op == FPO_ACGE || op == FPO_ACGT) {
        x &= ~sign_bit(f);
        y &= ~sign_bit(f);
    }
    Num a = unpack(e, f, x), b = unpack(e, f, y);
    int o = order(&a, &b);
    if (o == 2) {
        if (op != FPO_CMEQ || a.kind == SNAN || b.kind == SNAN)
            e->flags |= A64_IOC;
        return 0;
    }
    bool yes = op == FPO_CMEQ ? !o : op == FPO_CMGE || op == FPO_ACGE ? o >= 0 : op == FPO_CMLE ? o <= 0 : op == FPO_CMLT ? o < 0 : o > 0;
    return yes ? ones(f->bits) : 0;
}

unsigned a64_fp_compare(FpEnv *e, FpFmt fmt, uint64_t x, uint64_t y, bool signal_all)
{
    static const uint8_t nzcv[] = { 8, 6, 2, 3 };
    Num a = unpack(e, &fmts[fmt], x), b = unpack(e, &fmts[fmt], y);
    int o = order(&a, &b);
    if (o == 2 && (signal_all || a.kind == SNAN || b.kind == SNAN))
        e->flags |= A64_IOC;
    return nzcv[o + 1];
}

/* ---- estimates ---- */
unsigned a64_recip_estimate(unsigned a)
{
    a = a * 2 + 1;
    return ((1u << 19) / a + 1) / 2;
}

unsigned a64_rsqrt_estimate(unsigned a)
{
    a = a < 256 ? a * 2 + 1 : ((a >> 1 << 1) + 1) * 2;
    uint64_t b = 512;          /* the largest whose square times a stays below 2^28 */
    for (unsigned bit = 256; bit; bit >>= 1)
        if (a * (b + bit) * (b + bit) < 1u << 28)
            b += bit;
    return (unsigned)(b + 1) / 2;
}

static uint64_t recip_estimate(FpEnv *e, const Fmt *f, const Num *n)
{
    static const int limit[] = { [16] = -16, [32] = -128, [64] = -1024 };
    if (n->kind == INF)
        return signed_of(f, n->sign, 0);
    if (n->kind == ZERO) {
        e->flags |= A64_DZC;
        return signed_of(f, n->sign, exp_ones(f));
    }
    if (n->exp < limit[f->bits]) {
        bool inf = e->round == FPR_NEAREST || (e->round == FPR_UP && !n->sign) || (e->round == FPR_DOWN && n->sign);
        e->flags |= A64_OFC | A64_IXC;
        return signed_of(f, n->sign, exp_ones(f) - !inf);
    }
    if (flushes(e, f) && n->exp >= f->bias - 1) {
        e->flags |= A64_UFC;
        return signed_of(f, n->sign, 0);
    }
    /* the pseudocode's exponent of a subnormal is 0 or -1: the biased exponent of its leading bit */
    int exp = 2 * f->bias - 1 - (n->exp + f->bias);
    uint64_t frac = (uint64_t)(a64_recip_estimate((unsigned)(n->mant >> 55)) & 0xff) << 44;
    if (exp <= 0) {
        frac = exp == 0 ? 1ull << 51 | frac >> 1 : 1ull << 50 | frac >> 2;
        exp = 0;
    }
    return signed_of(f, n->sign, (uint64_t)exp << f->mant | frac >> (52 - f->mant));
}

static uint64_t rsqrt_estimate(FpEnv *e, const Fmt *f, const Num *n)
{
    if (n->kind == ZERO) {
        e->flags |= A64_DZC;
        return signed_of(f, n->sign, exp_ones(f));
    }
    if (n->sign)
        return invalid(e, f);
    if (n->kind == INF)
        return 0;
    int exp = n->exp + f->bias;
    unsigned scaled = exp & 1 ? (unsigned)(n->mant >> 56) : (unsigned)(n->mant >> 55);
    unsigned top = (unsigned)(3 * f->bias - 1 - exp) / 2;
    return (uint64_t)top << f->mant | (uint64_t)(a64_rsqrt_estimate(scaled) & 0xff) << (f->mant - 8);
}

static uint64_t recip_exponent(const Fmt *f, const Num *n)
{
    uint64_t exp = n->raw & exp_ones(f);
    return signed_of(f, n->sign, exp ? ~exp & exp_ones(f) : exp_ones(f) - (1ull << f->mant));
}

/* ---- to integers and back ---- */
/* |value| * 2^@shift rounded to an integer; false: 2^64 or more. */
static bool to_integer(const Num *n, int shift, FpRound r, uint64_t *ret, bool *ret_error)
{
    int drop = 63 - n->exp - shift;
    *ret_error = false;
    if (drop < 0)
        return false;
    bool half = drop > 0 && drop <= 64 && n->mant >> (drop - 1) & 1, rest = drop > 64 || (drop > 1 && n->mant << (65 - drop));
    uint64_t v = drop > 63 ? 0 : n->mant >> drop;
    *ret_error = half || rest;
    *ret = v + rounds_up(r, n->sign, v & 1, half, rest);
    return *ret >= v;
}

uint64_t a64_fp_to_int(FpEnv *e, FpFmt from, uint64_t raw, unsigned bits, bool is_signed, unsigned fbits, FpRound round)
{
    Num n = unpack(e, &fmts[from], raw);
    uint64_t v = 0, max = is_signed ? ones(bits - 1) + n.sign : n.sign ? 0 : ones(bits);
    bool error = false, fits = true;
    if (is_nan(&n)) {
        e->flags |= A64_IOC;
        return 0;
    }
    if (n.kind == INF)
        fits = false;
    else if (n.kind == FINITE)
        fits = to_integer(&n, (int)fbits, round, &v, &error);
    if (!fits || v > max) {
        e->flags |= A64_IOC;
        v = max;
        error = false;
    }
    if (error)
        e->flags |= A64_IXC;
    return (n.sign ? -v : v) & ones(bits);
}

uint64_t a64_fp_from_int(FpEnv *e, FpFmt to, uint64_t v, bool is_signed, unsigned fbits)
{
    bool sign = is_signed && v >> 63;
    if (!v)
        return 0;
    if (sign)
        v = -v;
    unsigned up = (unsigned)__builtin_clzll(v);
    return round_to(e, &fmts[to], sign, 63 - (int)up - (int)fbits, v << up, false);
}

static uint64_t round_int(FpEnv *e, const Fmt *f, const Num *n, FpRound r, bool exact)
{
    uint64_t v = 0;
    bool error;
    if (n->kind != FINITE)
        return n->kind == ZERO ? signed_of(f, n->sign, 0) : n->raw;
    if (n->exp >= (int)f->mant)
        return n->raw;
    to_integer(n, 0, r, &v, &error);
    if (error && exact)
        e->flags |= A64_IXC;
    if (!v)
        return signed_of(f, n->sign, 0);
    unsigned up = (unsigned)__builtin_clzll(v);
    return round_to(e, f, n->sign, 63 - (int)up, v << up, false);
}

/* FPConvert; neither side is flushed as a half (FPUnpackCV, FPRoundCV). */
uint64_t a64_fp_convert(FpEnv *e, FpFmt to, FpFmt from, uint64_t v, bool round_odd)
{
    const Fmt *f = &fmts[from], *t = &fmts[to];
    bool alt_in = from == FP_HALF && e->fpcr & A64_FPCR_AHP, alt_out = to == FP_HALF && e->fpcr & A64_FPCR_AHP;
    Num n = unpack_as(e, f, v, from != FP_HALF && flushes(e, f), alt_in);
    if (is_nan(&n)) {
        if (n.kind == SNAN || alt_out)
            e->flags |= A64_IOC;
        if (alt_out)
            return signed_of(t, n.sign, 0);
        if (e->fpcr & A64_FPCR_DN)
            return default_nan(t);
        uint64_t frac = (n.raw & ones(f->mant)) << (52 - f->mant) >> (52 - t->mant);
        return signed_of(t, n.sign, exp_ones(t) | quiet_bit(t) | frac);
    }
    if (n.kind == INF && alt_out) {
        e->flags |= A64_IOC;
        return signed_of(t, n.sign, 0x7fff);
    }
    if (n.kind != FINITE)
        return signed_of(t, n.sign, n.kind == INF ? exp_ones(t) : 0);
    FpRound old = e->round;
    if (round_odd)
        e->round = FPR_ODD;
    uint64_t r = round_as(e, t, n.sign, n.exp, n.mant, false, to != FP_HALF && flushes(e, t), alt_out);
    e->round = old;
    return r;
}

/* ---- by operation ---- */
static uint64_t unary(FpEnv *e, const Fmt *f, FpOp op, uint64_t x)
{
    static const uint8_t rint[] = { [FPO_RINTN] = FPR_NEAREST, [FPO_RINTP] = FPR_UP, [FPO_RINTM] = FPR_DOWN, [FPO_RINTZ] = FPR_ZERO, [FPO_RINTA] = FPR_AWAY };
    Num n = unpack(e, f, x);
    if (is_nan(&n))
        return nan_of(e, f, &n);
    switch (op) {
    case FPO_SQRT: return root(e, f, &n);
    case FPO_RECPE: return recip_estimate(e, f, &n);
    case FPO_RSQRTE: return rsqrt_estimate(e, f, &n);
    case FPO_RECPX: return recip_exponent(f, &n);
    case FPO_RINTX: case FPO_RINTI: return round_int(e, f, &n, e->round, op == FPO_RINTX);
    default: return round_int(e, f, &n, (FpRound)rint[op], false);
    }
}

static uint64_t binary(FpEnv *e, const Fmt *f, FpOp op, uint64_t x, uint64_t y)
{
    Num a = unpack(e, f, x), b = unpack(e, f, y);
    const Num *n[] = { &a, &b };
    uint64_t r;
    if (op >= FPO_MAX && op <= FPO_MINNM)
        return extreme(e, f, a, b, op == FPO_MAX || op == FPO_MAXNM, op >= FPO_MAXNM);
    if (nans(e, f, n, 2, &r))
        return r;
    switch (op) {
    case FPO_ADD: return sum(e, f, &a, &b);
    case FPO_DIV: return quotient(e, f, &a, &b);
    case FPO_MUL: case FPO_NMUL: return product(e, f, &a, &b, false);
    case FPO_MULX: return product(e, f, &a, &b, true);
    default:
        b.sign = !b.sign;
        return sum(e, f, &a, &b);
    }
}

uint64_t a64_fp_op(FpEnv *e, FpFmt fmt, FpOp op, uint64_t a, uint64_t b, uint64_t c)
{
    const Fmt *f = &fmts[fmt];
    uint64_t s = sign_bit(f);
    switch (op) {
    case FPO_ABS: return a & ones(f->bits) & ~s;
    case FPO_NEG: return (a & ones(f->bits)) ^ s;
    case FPO_MADD: return multiply_add(e, f, a, b, c);
    case FPO_MSUB: return multiply_add(e, f, a, b ^ s, c);
    case FPO_NMADD: return multiply_add(e, f, a ^ s, b ^ s, c);
    case FPO_NMSUB: return multiply_add(e, f, a ^ s, b, c);
    case FPO_RECPS: case FPO_RSQRTS: return step(e, f, a, b, op == FPO_RSQRTS);
    case FPO_NMUL: return binary(e, f, op, a, b) ^ s;
    case FPO_ABD: return binary(e, f, op, a, b) & ~s;
    default:
        if (op >= FPO_CMEQ && op <= FPO_ACGT)
            return comparison(e, f, op, a, b);
        return op < FPO_CMEQ ? binary(e, f, op, a, b) : unary(e, f, op, a);
    }
}
