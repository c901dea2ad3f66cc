#include "tcg/guest/x86/sys.h"

/*
 * Stack frames of far transfers and events: pushes are collected, then all of them are checked (segment limit, canonical, paging),
 * then written. So a fault in the middle of a frame leaves no trace.
 */

X86Stack x86_stack_new(const X86State *s, const X86Seg *ss, uint64_t sp, unsigned size, unsigned cpl, bool flat64)
{
    X86Stack st;

    st.base = flat64 ? 0 : ss->base;
    st.limit = ss->limit;
    st.attr = ss->attr;
    st.mask = flat64 ? ~0ull : ss->attr & X86_SEG_DB ? 0xffffffff : 0xffff;
    st.sp = sp;
    st.regime = x86_regime_at(s, cpl);
    st.size = size;
    st.flat64 = flat64;
    st.error = 0;
    st.n = 0;
    return st;
}

X86Stack x86_stack_now(const X86State *s, unsigned size)
{
    return x86_stack_new(s, &s->seg[X86_SS], s->gpr[X86_RSP], size, s->cpl, x86_code64(s));
}

void x86_stack_push(X86Stack *st, uint64_t v)
{
    if (st->n < X86_STACK_MAX)
        st->val[st->n++] = v;
}

/* Limit of @size bytes at @off, expand-down segments included (SDM 3A 5.3). */
static bool in_limit(uint32_t attr, uint32_t limit, uint64_t off, unsigned size)
{
    uint64_t last = off + size - 1;

    if ((attr & 0x1c) == 0x14)                 /* data, expand down */
        return off > limit && last <= (attr & X86_SEG_DB ? 0xffffffffull : 0xffffull);
    return last <= limit;
}

bool x86_seg_in_limit(const X86Seg *g, uint64_t off, unsigned size)
{
    return in_limit(g->attr, g->limit, off, size);
}

static uint64_t stack_linear(X86State *s, const X86Stack *st, uint64_t off)
{
    if (st->flat64) {
        if (!x86_canonical(s, off) || !x86_canonical(s, off + st->size - 1))
            x86_raise_err(s, X86_SS_EXC, st->error);
        return off;
    }
    if (!in_limit(st->attr, st->limit, off, st->size))
        x86_raise_err(s, X86_SS_EXC, st->error);
    return x86_linear(s, st->base + off);
}

static uint64_t slot_offset(const X86Stack *st, unsigned i) { return (st->sp - (uint64_t)st->size * (i + 1)) & st->mask; }

/* The whole frame lies in one piece of plain RAM: its lowest byte, else NULL. Faults like the pushes. */
static uint8_t *frame_host(X86State *s, X86Stack *st)
{
    unsigned len = st->n * st->size, got = 0;
    uint64_t low = slot_offset(st, st->n - 1);
    uint64_t high = slot_offset(st, 0);

    if (high < low)                            /* wraps around the segment */
        return NULL;
    uint64_t va = stack_linear(s, st, low);
    stack_linear(s, st, high);
    if ((va & (TCG_PAGE_SIZE - 1)) + len > TCG_PAGE_SIZE)
        return NULL;
    uint8_t *host = tcg_host(x86_cpu(s), va, TCG_WRITE, st->regime, &got);
    return host && got >= len ? host : NULL;
}

void x86_stack_probe(X86State *s, X86Stack *st)
{
    for (unsigned i = 0; i < st->n; i++)
        tcg_probe(x86_cpu(s), stack_linear(s, st, slot_offset(st, i)), st->size, TCG_WRITE, st->regime);
}

/* Not memcpy: libc's may use vector registers, which hold the guest's. A stack need not be aligned. */
typedef uint64_t Loose64 __attribute__((aligned(1)));
typedef uint32_t Loose32 __attribute__((aligned(1)));
typedef uint16_t Loose16 __attribute__((aligned(1)));
static void put(uint8_t *p, uint64_t v, unsigned size)
{
    if (size == 8)
        *(Loose64 *)p = v;
    else if (size == 4)
        *(Loose32 *)p = (uint32_t)v;
    else
        *(Loose16 *)p = (uint16_t)v;
}

static unsigned size_log2(unsigned size) { return size == 8 ? 3 : size == 4 ? 2 : 1; }

void x86_stack_commit(X86State *s, X86Stack *st)
{
    if (!st->n)
        return;
    for (unsigned i = 0; x86_dr_enabled(s) && i < st->n; i++)
        x86_dr_note(s, stack_linear(s, st, slot_offset(st, i)), st->size, true);
    uint8_t *host = frame_host(s, st);
    if (host) {
        for (unsigned i = 0; i < st->n; i++)
            put(host + (st->n - 1 - i) * st->size, st->val[i], st->size);
    } else {
        x86_stack_probe(s, st);
        for (unsigned i = 0; i < st->n; i++)
            tcg_store(x86_cpu(s), stack_linear(s, st, slot_offset(st, i)), st->val[i], size_log2(st->size), st->regime);
    }
    st->sp -= (uint64_t)st->n * st->size;
    st->n = 0;
}

uint64_t x86_stack_pop(X86State *s, X86Stack *st)
{
    uint64_t off = st->sp & st->mask;
    uint64_t va = stack_linear(s, st, off), v = tcg_load(x86_cpu(s), va, size_log2(st->size), st->regime);
    x86_dr_note(s, va, st->size, false);
    st->sp += st->size;
    return v;
}

void x86_stack_set_sp(X86State *s, const X86Stack *st)
{
    uint64_t *sp = &s->gpr[X86_RSP];
    if (st->mask == 0xffff)
        *sp = (*sp & ~0xffffull) | (st->sp & 0xffff);
    else
        *sp = st->sp & st->mask;
}
