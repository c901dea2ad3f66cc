#include <string.h>
#include <sys/random.h>

#include "tcg/guest/x86/translate.h"

/* Bodies of the integer instructions' helpers. */

static bool expand_up_ok(const X86Seg *g, uint64_t off, unsigned bytes)
{
    return off <= g->limit && bytes - 1 <= g->limit - off;
}

/* Above the limit, up to 64 KiB or 4 GiB (SDM 3A 5.3). */
static bool expand_down_ok(const X86Seg *g, uint64_t off, unsigned bytes)
{
    uint64_t top = g->attr & X86_SEG_DB ? 0xffffffff : 0xffff;
    return off > g->limit && off + bytes - 1 <= top;
}

static bool seg_access_ok(const X86State *s, unsigned seg, uint64_t off, unsigned bytes, bool write)
{
    const X86Seg *g = &s->seg[seg];
    bool prot = s->cr0 & X86_CR0_PE && !(s->rflags_rest & X86_VM);
    if (!prot)
        return expand_up_ok(g, off, bytes);
    if (g->attr & X86_SEG_UNUSABLE || !(g->attr & X86_SEG_P))
        return false;
    bool code = g->attr & 8;
    if (write ? code || !(g->attr & 2) : code && !(g->attr & 2))
        return false;
    return !code && g->attr & 4 ? expand_down_ok(g, off, bytes) : expand_up_ok(g, off, bytes);
}

uint64_t x86_h_seg_check(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;
    if (!seg_access_ok(s, (unsigned)a, b, c & 0xffff, c >> 16))
        x86_raise_err(s, a == X86_SS ? X86_SS_EXC : X86_GP, 0);
    return 0;
}

uint64_t x86_h_sys_get(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    const X86State *s = state;
    switch (a) {
    case X86_SYS_LDTR: return s->seg[X86_LDTR].sel;
    case X86_SYS_TR: return s->seg[X86_TR].sel;
    case X86_SYS_GDT_BASE: return s->gdt.base;
    case X86_SYS_GDT_LIMIT: return s->gdt.limit;
    case X86_SYS_IDT_BASE: return s->idt.base;
    default: return s->idt.limit;
    }
}

uint64_t x86_h_set_ac(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;
    uint32_t rest = a ? s->rflags_rest | X86_AC : s->rflags_rest & ~X86_AC;
    if (rest != s->rflags_rest) {
        s->rflags_rest = rest;
        TcgCpu *cpu = x86_cpu(s);
        uint64_t smap = s->cr4 & X86_CR4_SMAP && !(rest & X86_AC) ? X86M_SMAP : 0;
        tcg_mode_set(cpu, (tcg_mode_now(cpu) & ~(uint64_t)X86M_SMAP) | smap);      /* level 0 only */
    }
    return 0;
}

uint64_t x86_h_random(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    uint64_t v = 0;
    uint8_t *p = (uint8_t *)&v;
    for (unsigned n = 0; n < sizeof(v);) {
        ssize_t r = getrandom(p + n, sizeof(v) - n, 0);
        if (r > 0)
            n += (unsigned)r;
    }
    return v;
}

/* ---- decimal adjustment (SDM 2A DAA, DAS, AAA, AAS) ---- */

static uint32_t szp(uint8_t v)
{
    uint32_t cc = 0;
    cc |= v == 0 ? X86_CC_Z : 0;
    cc |= v & 0x80 ? X86_CC_S : 0;
    cc |= __builtin_parity(v) ? 0 : X86_CC_P;
    return cc;
}

static void put_ax(X86State *s, unsigned ax)
{
    s->gpr[X86_RAX] = (s->gpr[X86_RAX] & ~0xffffull) | (ax & 0xffff);
}

static void packed_adjust(X86State *s, bool sub)
{
    unsigned al = s->gpr[X86_RAX] & 0xff, old = al;
    bool c = s->cc & X86_CC_C, a = (al & 15) > 9 || s->cc & X86_CC_A, nc = false;
    if (a) {
        nc = c || (sub ? al < 6 : al + 6 > 0xff);
        al = sub ? al - 6 : al + 6;
    }
    if (old > 0x99 || c) {
        al = sub ? al - 0x60 : al + 0x60;
        nc = true;
    }
    put_ax(s, (s->gpr[X86_RAX] & 0xff00) | (al & 0xff));
    s->cc = (s->cc & X86_CC_V) | szp((uint8_t)al) | (nc ? X86_CC_C : 0) | (a ? X86_CC_A : 0);
}

static void unpacked_adjust(X86State *s, bool sub)
{
    unsigned ax = s->gpr[X86_RAX] & 0xffff;
    bool a = (ax & 15) > 9 || s->cc & X86_CC_A;
    if (a)
        ax = sub ? ax - 0x106 : ax + 0x106;
    ax &= 0xff0f;
    put_ax(s, ax);
    s->cc = (s->cc & X86_CC_V) | szp((uint8_t)ax) | (a ? X86_CC_C | X86_CC_A : 0);
}

uint64_t x86_h_bcd(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    if (a == B_DAA || a == B_DAS)
        packed_adjust(state, a == B_DAS);
    else
        unpacked_adjust(state, a == B_AAS);
    return 0;
}

/* ---- CMPXCHG16B ---- */

uint64_t x86_h_cmpxchg16b(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;
    unsigned regime = x86_isa.regime(x86_mode_key(s));
    if (a & 15)
        x86_raise_err(s, X86_GP, 0);
    uint64_t expect[2] = { s->gpr[X86_RAX], s->gpr[X86_RDX] }, want[2] = { s->gpr[X86_RBX], s->gpr[X86_RCX] };
    bool ok = tcg_cas16(x86_cpu(s), a, expect, want, regime);
    s->cc = (s->cc & ~X86_CC_Z) | (ok ? X86_CC_Z : 0);
    if (!ok) {
        s->gpr[X86_RAX] = expect[0];
        s->gpr[X86_RDX] = expect[1];
    }
    return 0;
}
