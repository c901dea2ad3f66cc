/* Masked moves and gathers: element by element, each as an access of its own. */
#include <string.h>

#include "tcg/guest/x86/sys.h"

static void clear_upper(X86State *s, unsigned reg)
{
    s->vec[reg].q[2] = s->vec[reg].q[3] = 0;
}

static bool sign_of(const X86Vec *v, unsigned n, unsigned log2)
{
    return log2 == 3 ? v->q[n] >> 63 : v->d[n] >> 31;
}

/* b: data register | mask register << 8 | log2 of an element << 16 | store << 20 | bytes << 24 */
uint64_t x86_h_vmaskmov(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;
    unsigned reg = b & 15, log2 = b >> 16 & 7, n = (unsigned)(b >> 24) >> log2, regime = x86_regime_now(s);
    const X86Vec *mask = &s->vec[b >> 8 & 15];
    bool store = b >> 20 & 1;
    uint64_t r[4] = { 0 };
    for (unsigned k = 0; k < n; k++) {
        uint64_t va = x86_linear(s, a + ((uint64_t)k << log2)), v;
        if (!sign_of(mask, k, log2))
            continue;
        if (store) {                   /* all faults come before the first byte is written */
            tcg_probe(x86_cpu(s), va, 1u << log2, TCG_WRITE, regime);
            continue;
        }
        v = tcg_load(x86_cpu(s), va, log2, regime);
        r[log2 == 3 ? k : k / 2] |= log2 == 3 ? v : (v & 0xffffffff) << 32 * (k & 1);
    }
    for (unsigned k = 0; store && k < n; k++)
        if (sign_of(mask, k, log2))
            tcg_store(x86_cpu(s), x86_linear(s, a + ((uint64_t)k << log2)), log2 == 3 ? s->vec[reg].q[k] : s->vec[reg].d[k], log2, regime);
    for (unsigned k = 0; !store && k < 4; k++)
        s->vec[reg].q[k] = r[k];
    return 0;
}

/* b: data register | mask register << 8 | MMX << 16 */
uint64_t x86_h_maskmov(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;
    bool mmx = b >> 16 & 1;
    unsigned reg = b & 15, mreg = b >> 8 & 15, n = mmx ? 8 : 16, regime = x86_regime_now(s);
    uint64_t v[2] = { mmx ? s->fpr[reg & 7].mant : s->vec[reg].q[0], s->vec[reg].q[1] };
    uint64_t m[2] = { mmx ? s->fpr[mreg & 7].mant : s->vec[mreg].q[0], s->vec[mreg].q[1] };
    for (unsigned pass = 0; pass < 2; pass++)
        for (unsigned k = 0; k < n; k++) {
            uint64_t va = x86_linear(s, a + k);
            if (!(m[k / 8] >> (8 * (k & 7) + 7) & 1))
                continue;
            if (pass == 0)
                tcg_probe(x86_cpu(s), va, 1, TCG_WRITE, regime);
            else
                tcg_store(x86_cpu(s), va, v[k / 8] >> 8 * (k & 7) & 255, 0, regime);
        }
    return 0;
}

/*
 * c: destination | mask << 8 | index << 16 | scale << 24 | elements of 64 bits << 26 | indices of 64 bits << 27 | L << 28 | 32-bit addresses << 29.
 * An element that is done has its mask cleared: after a fault the instruction goes on where it was (SDM 2C VPGATHER).
 */
uint64_t x86_h_vgather(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;
    unsigned dreg = c & 15, mreg = c >> 8 & 15, scale = c >> 24 & 3, regime = x86_regime_now(s);
    const X86Vec *index = &s->vec[c >> 16 & 15];
    X86Vec *dst = &s->vec[dreg], *mask = &s->vec[mreg];
    bool q = c >> 26 & 1, iq = c >> 27 & 1;
    unsigned bytes = c >> 28 & 1 ? 32 : 16, n = bytes >> (q || iq ? 3 : 2);
    for (unsigned k = 0; k < n; k++) {     /* partly done: lanes are all ones or all zeros */
        if (q)
            mask->q[k] = (uint64_t)((int64_t)mask->q[k] >> 63);
        else
            mask->d[k] = (uint32_t)((int32_t)mask->d[k] >> 31);
    }
    for (unsigned k = 0; k < n; k++) {
        if (q ? !mask->q[k] : !mask->d[k])
            continue;
        uint64_t off = a + ((iq ? index->q[k] : (uint64_t)(int64_t)(int32_t)index->d[k]) << scale);
        if (c >> 29 & 1)
            off = (uint32_t)off;
        uint64_t v = tcg_load(x86_cpu(s), x86_linear(s, off + b), q ? 3 : 2, regime);
        if (q) {
            dst->q[k] = v;
            mask->q[k] = 0;
        } else {
            dst->d[k] = (uint32_t)v;
            mask->d[k] = 0;
        }
    }
    mask->q[0] = mask->q[1] = 0;
    if (!q && n == 2)
        dst->q[1] = 0;
    clear_upper(s, mreg);
    if (n << (q ? 3 : 2) <= 16)
        clear_upper(s, dreg);
    return 0;
}
