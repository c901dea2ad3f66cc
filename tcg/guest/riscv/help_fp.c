/*
 * Floating point out of line: what the host's instructions do differently from RISC-V. Arithmetic is still the host's, with the instruction's
 * own rounding mode loaded; conversions to integers, minimum and maximum, classes are integer code. The guest's MXCSR is live here.
 */
#include "tcg/guest/riscv/riscv.h"

enum { MX_IE = 1, MX_PE = 1 << 5, MX_RC_SHIFT = 13, MX_RC = 3 << MX_RC_SHIFT };

/* One format. */
typedef struct Fmt { unsigned bits, mant, bias; } Fmt;
static const Fmt fmts[2] = { { 32, 23, 127 }, { 64, 52, 1023 } };
static const uint64_t BOX = 0xffffffff00000000ull;

static uint64_t sign_of(const Fmt *f, uint64_t v) { return v >> (f->bits - 1) & 1; }
static uint64_t frac_of(const Fmt *f, uint64_t v) { return v & ((1ull << f->mant) - 1); }
static unsigned exp_of(const Fmt *f, uint64_t v) { return (unsigned)(v >> f->mant) & (2 * f->bias + 1); }
static bool is_nan(const Fmt *f, uint64_t v) { return exp_of(f, v) == 2 * f->bias + 1 && frac_of(f, v); }
static bool is_snan(const Fmt *f, uint64_t v) { return is_nan(f, v) && !(v >> (f->mant - 1) & 1); }
static uint64_t canonical(const Fmt *f) { return (uint64_t)(2 * f->bias + 1) << f->mant | 1ull << (f->mant - 1); }

/* Operand from a register: a single that is not boxed counts as the canonical NaN. */
static uint64_t unbox(const Fmt *f, uint64_t v) { return f->bits == 64 ? v : (v & BOX) == BOX ? (uint32_t)v : canonical(f); }
static uint64_t box(const Fmt *f, uint64_t v) { return f->bits == 64 ? v : v | BOX; }

static uint32_t mxcsr_get(void)
{
    uint32_t v;
    __asm__ volatile("stmxcsr %0" : "=m"(v));
    return v;
}

static void mxcsr_set(uint32_t v) { __asm__ volatile("ldmxcsr %0" : : "m"(v)); }
static void set_flags(uint32_t flags) { mxcsr_set(mxcsr_get() | flags); }

/* ---- the host's arithmetic ---- */
#define OP2(name) \
    static uint64_t host_##name(uint64_t a, uint64_t b, uint64_t c) \
    { \
        uint64_t r; \
        (void)c; \
        __asm__ volatile("vmovq %1, %%xmm0\n\tvmovq %2, %%xmm1\n\tv" #name " %%xmm1, %%xmm0, %%xmm0\n\tvmovq %%xmm0, %0" : "=r"(r) : "r"(a), "r"(b)); \
        return r; \
    }
#define OP3(name) \
    static uint64_t host_##name(uint64_t a, uint64_t b, uint64_t c) \
    { \
        uint64_t r; \
        __asm__ volatile("vmovq %1, %%xmm0\n\tvmovq %2, %%xmm1\n\tvmovq %3, %%xmm2\n\tv" #name " %%xmm2, %%xmm1, %%xmm0\n\tvmovq %%xmm0, %0" \
                         : "=r"(r) : "r"(a), "r"(b), "r"(c)); \
        return r; \
    }
#define OPI(name) \
    static uint64_t host_##name(uint64_t a, uint64_t b, uint64_t c) \
    { \
        uint64_t r; \
        (void)b; \
        (void)c; \
        __asm__ volatile("vpxor %%xmm0, %%xmm0, %%xmm0\n\tv" #name "q %1, %%xmm0, %%xmm0\n\tvmovq %%xmm0, %0" : "=r"(r) : "r"(a)); \
        return r; \
    }
OP2(addss) OP2(addsd) OP2(subss) OP2(subsd) OP2(mulss) OP2(mulsd) OP2(divss) OP2(divsd) OP2(sqrtss) OP2(sqrtsd) OP2(cvtsd2ss) OP2(cvtss2sd)
OP3(fmadd213ss) OP3(fmadd213sd) OP3(fmsub213ss) OP3(fmsub213sd) OP3(fnmadd213ss) OP3(fnmadd213sd) OP3(fnmsub213ss) OP3(fnmsub213sd)
OPI(cvtsi2ss) OPI(cvtsi2sd)

typedef uint64_t HostFn(uint64_t a, uint64_t b, uint64_t c);
static HostFn *const host_fn[][2] = {
    [RVF_FADD / 2] = { host_addss, host_addsd }, [RVF_FSUB / 2] = { host_subss, host_subsd }, [RVF_FMUL / 2] = { host_mulss, host_mulsd },
    [RVF_FDIV / 2] = { host_divss, host_divsd }, [RVF_FSQRT / 2] = { host_sqrtss, host_sqrtsd },
    [RVF_FMADD / 2] = { host_fmadd213ss, host_fmadd213sd }, [RVF_FMSUB / 2] = { host_fmsub213ss, host_fmsub213sd },
    [RVF_FNMSUB / 2] = { host_fnmadd213ss, host_fnmadd213sd }, [RVF_FNMADD / 2] = { host_fnmsub213ss, host_fnmsub213sd },
    [RVF_FROM_L / 2] = { host_cvtsi2ss, host_cvtsi2sd }, [RVF_S_D / 2] = { host_cvtsd2ss }, [RVF_D_S / 2] = { host_cvtss2sd },
};

/* The operation rounded as @rc; exceptions of this one operation in *flags. */
static uint64_t run(HostFn *fn, const uint64_t *v, unsigned rc, uint32_t *flags)
{
    uint32_t before = mxcsr_get();
    mxcsr_set((before & ~(uint32_t)(MX_RC | 0x3f)) | rc << MX_RC_SHIFT);
    uint64_t r = fn(v[0], v[1], v[2]);
    *flags = mxcsr_get() & 0x3f;
    mxcsr_set(before);
    return r;
}

/* The host's code of a rounding mode. */
static unsigned rc_of(unsigned rm)
{
    static const uint8_t rc[8] = { [RISCV_RNE] = 0, [RISCV_RTZ] = 3, [RISCV_RDN] = 1, [RISCV_RUP] = 2 };
    return rc[rm & 7];
}

/*
 * To nearest, ties away (RMM), which the host lacks: it differs from "ties to even" in exact ties only. A tie has one bit more than the
 * format, so the operation on values of one format more tells: singles are computed in double, exactly if it is a tie.
 */
static uint64_t widen(uint64_t v) { return host_cvtss2sd(v, v, 0); }

static bool tie_single(unsigned kind, const uint64_t *v, uint64_t toward_zero)
{
    uint64_t w[3] = { widen(v[0]), widen(v[1]), widen(v[2]) };
    uint32_t fl;
    HostFn *fn = host_fn[kind / 2][1];
    if (kind == RVF_S_D || kind == RVF_FROM_L)
        w[0] = v[0];
    uint64_t exact = kind == RVF_S_D ? v[0] : run(fn, w, 3, &fl);
    if (kind != RVF_S_D && fl & MX_PE)
        return false;
    /* half way between neighbours of the single format: exactly the mean of the two */
    uint64_t next[3] = { widen(toward_zero), widen(toward_zero + 1), 0 }, half[3] = { 0, 0x3fe0000000000000ull, 0 };
    half[0] = run(host_addsd, next, 0, &fl);
    return run(host_mulsd, half, 0, &fl) == exact;
}

/* Double: the tie shows in the x87's 64-bit significand. */
static bool tie_double(unsigned kind, const uint64_t *v, uint64_t toward_zero);

static uint64_t round_max_magnitude(unsigned kind, bool dbl, const uint64_t *v, uint32_t *flags)
{
    HostFn *fn = host_fn[kind / 2][kind >= RVF_S_D ? 0 : dbl];
    uint32_t fz;
    uint64_t zero = run(fn, v, 3, &fz), near = run(fn, v, 0, flags);
    bool wide = dbl || kind == RVF_D_S;
    if (!(fz & MX_PE) || near != zero || is_nan(&fmts[wide], near))
        return near;
    uint32_t saved = mxcsr_get();
    bool tie = wide ? tie_double(kind, v, zero) : tie_single(kind, v, zero);
    mxcsr_set(saved);
    return tie ? zero + 1 : near;
}

/* a op b in extended precision; *inexact. Memory operands only: nothing is kept in x87 registers here. */
static void extended(unsigned kind, const uint64_t *v, uint8_t out[10], bool *inexact)
{
    uint16_t old, cw = 0x37f | 0xc00, sw;  /* toward zero, all masked */
    __asm__ volatile("fnstcw %0\n\tfnclex\n\tfldcw %1" : "=m"(old) : "m"(cw));
    switch (kind) {
    case RVF_FADD: __asm__ volatile("fldl %1\n\tfaddl %2\n\tfstpt %0" : "=m"(*(uint8_t(*)[10])out) : "m"(v[0]), "m"(v[1])); break;
    case RVF_FSUB: __asm__ volatile("fldl %1\n\tfsubl %2\n\tfstpt %0" : "=m"(*(uint8_t(*)[10])out) : "m"(v[0]), "m"(v[1])); break;
    case RVF_FMUL: __asm__ volatile("fldl %1\n\tfmull %2\n\tfstpt %0" : "=m"(*(uint8_t(*)[10])out) : "m"(v[0]), "m"(v[1])); break;
    case RVF_FDIV: __asm__ volatile("fldl %1\n\tfdivl %2\n\tfstpt %0" : "=m"(*(uint8_t(*)[10])out) : "m"(v[0]), "m"(v[1])); break;
    case RVF_FROM_L: __asm__ volatile("fildll %1\n\tfstpt %0" : "=m"(*(uint8_t(*)[10])out) : "m"(v[0])); break;
    default: __asm__ volatile("fldl %1\n\tfsqrt\n\tfstpt %0" : "=m"(*(uint8_t(*)[10])out) : "m"(v[1])); break;
    }
    __asm__ volatile("fnstsw %0\n\tfnclex\n\tfldcw %1" : "=m"(sw) : "m"(old));
    *inexact = sw & 0x20;
}

/* A term sign * mant * 2^exp with an odd mant (or 0). */
typedef struct Term { unsigned __int128 mant; int exp; bool neg; } Term;

static Term term(unsigned __int128 mant, int exp, bool neg)
{
    while (mant && !(mant & 1)) {
        mant >>= 1;
        exp++;
    }
    return (Term){ mant, exp, neg };
}

static uint64_t mant_of(uint64_t v) { return frac_of(&fmts[1], v) | (exp_of(&fmts[1], v) ? 1ull << 52 : 0); }
static int scale_of(uint64_t v) { return (int)(exp_of(&fmts[1], v) ? exp_of(&fmts[1], v) : 1) - 1075; }

/*
 * Is a * b + c exactly half way between @toward_zero and the next? The difference of the two is below 2^(exponent of the last place), so it is 0
 * when it is 0 modulo 2^128 in units of the lowest exponent; if that lies very far below, two odd terms alone are there and cannot cancel.
 */
static bool tie_fused(unsigned kind, const uint64_t *v, uint64_t toward_zero)
{
    bool minus_product = kind == RVF_FNMSUB || kind == RVF_FNMADD, minus_c = kind == RVF_FMSUB || kind == RVF_FNMADD;
    Term t[3] = {
        term((unsigned __int128)mant_of(v[0]) * mant_of(v[1]), scale_of(v[0]) + scale_of(v[1]), ((v[0] ^ v[1]) >> 63) != minus_product),
        term(mant_of(v[2]), scale_of(v[2]), (v[2] >> 63) != minus_c),
        term(2 * (unsigned __int128)mant_of(toward_zero) + 1, scale_of(toward_zero) - 1, !(toward_zero >> 63)),
    };
    int low = t[2].exp;
    for (unsigned n = 0; n < 2; n++)
        if (t[n].mant && t[n].exp < low)
            low = t[n].exp;
    if (t[2].exp - low > 120)
        return false;
    unsigned __int128 sum = 0;
    for (unsigned n = 0; n < 3; n++) {
        unsigned __int128 x = t[n].mant && t[n].exp - low < 128 ? t[n].mant << (t[n].exp - low) : 0;
        sum = t[n].neg ? sum - x : sum + x;
    }
    return !sum;
}

static bool tie_double(unsigned kind, const uint64_t *v, uint64_t toward_zero)
{
    uint8_t e[10];
    bool inexact;
    if (kind >= RVF_FMADD && kind <= RVF_FNMADD)
        return tie_fused(kind, v, toward_zero);
    extended(kind, v, e, &inexact);
    if (inexact)
        return false;
    uint64_t mant = 0;
    for (int n = 7; n >= 0; n--)
        mant = mant << 8 | e[n];
    int exp = ((e[9] & 0x7f) << 8 | e[8]) - 16383, cut = 64 - 53;
    if (exp < -1022)
        cut += -1022 - exp;
    uint64_t below = cut < 64 ? (1ull << cut) - 1 : ~0ull;     /* 64: half of the smallest number */
    return cut <= 64 && (mant & below) == 1ull << (cut - 1);
}

static uint64_t arith(unsigned kind, bool dbl, unsigned rm, uint64_t *v)
{
    const Fmt *out = &fmts[kind == RVF_D_S ? 1 : dbl];
    uint32_t flags;
    uint64_t r;
    if (rm == RISCV_RMM)
        r = round_max_magnitude(kind, dbl, v, &flags);
    else
        r = run(host_fn[kind / 2][kind >= RVF_S_D ? 0 : dbl], v, rc_of(rm), &flags);
    if (out->bits == 32)
        r = (uint32_t)r;
    set_flags(flags);
    return is_nan(out, r) ? canonical(out) : r;
}

/* Infinity times zero is invalid even if the addend is a quiet NaN (unpriv 11.6), which the host keeps quiet about. */
static void fma_invalid(const Fmt *f, const uint64_t *v)
{
    uint64_t abs_mask = (1ull << (f->bits - 1)) - 1, inf = (uint64_t)(2 * f->bias + 1) << f->mant;
    uint64_t a = v[0] & abs_mask, b = v[1] & abs_mask;
    if ((a == inf && !b) || (!a && b == inf))
        set_flags(MX_IE);
}

/* ---- comparisons ---- */
static bool less(const Fmt *f, uint64_t a, uint64_t b)   /* neither is NaN; -0 < +0 */
{
    bool sa = sign_of(f, a), sb = sign_of(f, b);
    if (sa != sb)
        return sa;
    return sa ? a > b : a < b;
}

static uint64_t minmax(const Fmt *f, bool max, uint64_t a, uint64_t b)
{
    if (is_snan(f, a) || is_snan(f, b))
        set_flags(MX_IE);
    if (is_nan(f, a))
        return is_nan(f, b) ? canonical(f) : b;
    if (is_nan(f, b))
        return a;
    return less(f, a, b) != max ? a : b;
}

static uint64_t compare(const Fmt *f, unsigned kind, uint64_t a, uint64_t b)
{
    bool eq = kind == RVF_FEQ;
    uint64_t abs_mask = (1ull << (f->bits - 1)) - 1;
    if (is_nan(f, a) || is_nan(f, b)) {
        if (!eq || is_snan(f, a) || is_snan(f, b))
            set_flags(MX_IE);
        return 0;
    }
    bool same = a == b || !((a | b) & abs_mask);
    return kind == RVF_FEQ ? same : kind == RVF_FLE ? same || less(f, a, b) : !same && less(f, a, b);
}

static uint64_t classify(const Fmt *f, uint64_t v)
{
    bool neg = sign_of(f, v);
    unsigned e = exp_of(f, v);
    if (is_nan(f, v))
        return is_snan(f, v) ? 1 << 8 : 1 << 9;
    if (e == 2 * f->bias + 1)
        return neg ? 1 << 0 : 1 << 7;
    if (e)
        return neg ? 1 << 1 : 1 << 6;
    if (frac_of(f, v))
        return neg ? 1 << 2 : 1 << 5;
    return neg ? 1 << 3 : 1 << 4;
}

/* ---- to integers ---- */
static bool round_up(unsigned rm, bool neg, bool odd, unsigned half)  /* half: 0 below, 1 exactly, 2 above one half; there is a rest */
{
    switch (rm) {
    case RISCV_RNE: return half == 2 || (half == 1 && odd);
    case RISCV_RMM: return half >= 1;
    case RISCV_RDN: return neg;
    case RISCV_RUP: return !neg;
    default: return false;
    }
}

/* Magnitude as an integer, at most 2^64 - 1; false: more than that. */
static bool magnitude(const Fmt *f, uint64_t v, unsigned rm, uint64_t *ret, bool *inexact)
{
    unsigned e = exp_of(f, v);
    uint64_t m = frac_of(f, v) | (e ? 1ull << f->mant : 0), rest = 0;
    int shift = (int)(e ? e : 1) - (int)f->bias - (int)f->mant;
    unsigned half = 0;
    if (shift >= 0) {
        *inexact = false;
        if (shift > 63 - (int)f->mant)
            return false;
        *ret = m << shift;
        return true;
    }
    unsigned n = (unsigned)-shift;
    if (n > 63) {
        rest = m;
        m = 0;
    } else {
        rest = m & ((1ull << n) - 1);
        half = rest == 1ull << (n - 1) ? 1 : rest > 1ull << (n - 1) ? 2 : 0;
        m >>= n;
    }
    *inexact = rest != 0;
    *ret = m + (rest && round_up(rm, sign_of(f, v), m & 1, half));
    return true;
}

static uint64_t to_int(const Fmt *f, unsigned kind, unsigned rm, uint64_t v)
{
    bool is_signed = kind == RVF_TO_W || kind == RVF_TO_L, wide = kind >= RVF_TO_L, neg = sign_of(f, v), inexact = false;
    unsigned bits = wide ? 64 : 32;
    uint64_t max = is_signed ? (1ull << (bits - 1)) - 1 : wide ? ~0ull : 0xffffffff, low = is_signed ? max + 1 : 0, m = 0;
    bool fits = !is_nan(f, v) && magnitude(f, v, rm, &m, &inexact) && m <= (neg ? low : max);
    uint64_t r;
    if (fits) {
        set_flags(inexact ? MX_PE : 0);
        r = neg ? 0 - m : m;
    } else {
        set_flags(MX_IE);
        r = neg && !is_nan(f, v) ? 0 - low : max;
    }
    return wide ? r : (uint64_t)(int64_t)(int32_t)r;
}

/* Unsigned with the top bit: half of it with a sticky bit rounds as it does, then doubled by the exponent. */
static uint64_t from_unsigned(bool dbl, unsigned rm, uint64_t x)
{
    uint64_t v[3] = { (int64_t)x < 0 ? x >> 1 | (x & 1) : x, 0, 0 };
    uint64_t r = arith(RVF_FROM_L, dbl, rm, v);
    return (int64_t)x < 0 ? r + (1ull << fmts[dbl].mant) : r;
}

static uint64_t from_int(unsigned kind, bool dbl, unsigned rm, uint64_t x)
{
    uint64_t v[3] = { kind == RVF_FROM_W ? (uint64_t)(int64_t)(int32_t)x : kind == RVF_FROM_WU ? (uint32_t)x : x, 0, 0 };
    return kind == RVF_FROM_LU ? from_unsigned(dbl, rm, x) : arith(RVF_FROM_L, dbl, rm, v);
}

static uint64_t sign_inject(const Fmt *f, unsigned kind, uint64_t a, uint64_t b)
{
    uint64_t sign = 1ull << (f->bits - 1);
    if (kind == RVF_FSGNJX)
        return a ^ (b & sign);
    return (a & ~sign) | ((kind == RVF_FSGNJN ? ~b : b) & sign);
}

uint64_t riscv_h_fp(void *state, uint64_t desc, uint64_t a, uint64_t b, uint64_t c)
{
    unsigned kind = desc & 0xfe, rm = desc >> 8 & 7;
    bool dbl = desc & 1;
    const Fmt *f = &fmts[dbl];
    (void)state;
    if (kind >= RVF_FROM_W && kind <= RVF_FROM_LU)
        return box(f, from_int(kind, dbl, rm, a));
    if (kind == RVF_S_D || kind == RVF_D_S) {
        uint64_t x = unbox(&fmts[kind == RVF_S_D], a), v[3] = { x, x, 0 };
        return box(&fmts[kind == RVF_D_S], arith(kind, false, rm, v));
    }
    uint64_t v[3] = { unbox(f, a), unbox(f, b), unbox(f, c) };
    switch (kind) {
    case RVF_FSGNJ: case RVF_FSGNJN: case RVF_FSGNJX: return box(f, sign_inject(f, kind, v[0], v[1]));
    case RVF_FMIN: case RVF_FMAX: return box(f, minmax(f, kind == RVF_FMAX, v[0], v[1]));
    case RVF_FLE: case RVF_FLT: case RVF_FEQ: return compare(f, kind, v[0], v[1]);
    case RVF_FCLASS: return classify(f, v[0]);
    case RVF_TO_W: case RVF_TO_WU: case RVF_TO_L: case RVF_TO_LU: return to_int(f, kind, rm, v[0]);
    case RVF_FSQRT: v[1] = v[0]; break;
    case RVF_FMADD: case RVF_FMSUB: case RVF_FNMSUB: case RVF_FNMADD: fma_invalid(f, v); break;
    default: break;
    }
    return box(f, arith(kind, dbl, rm, v));
}

uint64_t riscv_h_fs_dirty(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    RiscvState *s = state;
    (void)a, (void)b, (void)c, (void)d;
    s->mstatus |= RISCV_FS;
    tcg_mode_changed(riscv_cpu(s));
    return 0;
}
