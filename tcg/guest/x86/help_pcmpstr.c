/* PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM (SDM 2B 4.1). */
#include "tcg/guest/x86/sys.h"

typedef struct Str { X86Vec v; unsigned len, n; bool word, sign; } Str;

static int32_t elem(const Str *s, unsigned i)
{
    if (s->word)
        return s->sign ? (int16_t)s->v.w[i] : s->v.w[i];
    return s->sign ? (int8_t)s->v.b[i] : s->v.b[i];
}

static unsigned implicit_len(const Str *s)
{
    unsigned i = 0;
    while (i < s->n && elem(s, i))
        i++;
    return i;
}

static unsigned explicit_len(uint64_t reg, bool wide, unsigned n)
{
    int64_t v = wide ? (int64_t)reg : (int32_t)reg;
    return v > (int64_t)n || v < -(int64_t)n ? n : (unsigned)(v < 0 ? -v : v);
}

/* Bit j of the result: what element j of @b has to do with @a. */
static unsigned any_or_range(const Str *a, const Str *b, bool range)
{
    unsigned res = 0;
    for (unsigned j = 0; j < b->len; j++)
        for (unsigned i = 0; i + range < a->len; i += 1 + range) {
            int32_t e = elem(b, j);
            if (range ? e >= elem(a, i) && e <= elem(a, i + 1) : e == elem(a, i))
                res |= 1u << j;
        }
    return res;
}

static unsigned each(const Str *a, const Str *b)
{
    unsigned res = 0;
    for (unsigned j = 0; j < a->n; j++)
        if (j < a->len && j < b->len ? elem(a, j) == elem(b, j) : j >= a->len && j >= b->len)
            res |= 1u << j;
    return res;
}

static unsigned ordered(const Str *a, const Str *b)
{
    unsigned res = 0;
    for (unsigned j = 0; j < a->n; j++) {
        bool same = true;
        for (unsigned i = 0; i < a->len && i + j < a->n; i++)
            same = same && i + j < b->len && elem(a, i) == elem(b, i + j);
        res |= (unsigned)same << j;
    }
    return res;
}

static void put_mask(X86Vec *v, const Str *a, unsigned res, bool expand)
{
    v->q[0] = expand ? 0 : res;
    v->q[1] = 0;
    for (unsigned i = 0; expand && i < a->n; i++) {
        if (a->word)
            v->w[i] = res >> i & 1 ? 0xffff : 0;
        else
            v->b[i] = res >> i & 1 ? 0xff : 0;
    }
}

/* c: immediate | first operand << 8 | index form << 16 | implicit << 17 | 64-bit lengths << 20 | VEX << 21 */
uint64_t x86_h_pcmpstr(void *state, uint64_t lo, uint64_t hi, uint64_t c, uint64_t d)
{
    X86State *s = state;
    Str a = { .n = c & 1 ? 8 : 16, .word = c & 1, .sign = c & 2 }, b = a;
    bool wide = c >> 20 & 1;
    a.v.q[0] = s->vec[c >> 8 & 15].q[0];
    a.v.q[1] = s->vec[c >> 8 & 15].q[1];
    b.v.q[0] = lo;
    b.v.q[1] = hi;
    a.len = c >> 17 & 1 ? implicit_len(&a) : explicit_len(s->gpr[X86_RAX], wide, a.n);
    b.len = c >> 17 & 1 ? implicit_len(&b) : explicit_len(s->gpr[X86_RDX], wide, b.n);
    unsigned mode = c >> 2 & 3, all = (1u << a.n) - 1;
    unsigned res = mode < 2 ? any_or_range(&a, &b, mode) : mode == 2 ? each(&a, &b) : ordered(&a, &b);
    if (c >> 4 & 1)
        res ^= c >> 5 & 1 ? (1u << b.len) - 1 : all;
    if (c >> 16 & 1) {
        s->gpr[X86_RCX] = !res ? a.n : c >> 6 & 1 ? 31u - (unsigned)__builtin_clz(res) : (unsigned)__builtin_ctz(res);
    } else {
        put_mask(&s->vec[0], &a, res, c >> 6 & 1);
        if (c >> 21 & 1)
            s->vec[0].q[2] = s->vec[0].q[3] = 0;
    }
    uint32_t fl = (res ? X86_CF : 0) | (b.len < b.n ? X86_ZF : 0) | (a.len < a.n ? X86_SF : 0);
    s->cc = fl << 8 | (res & 1 ? X86_CC_V : 0);
    return 0;
}
