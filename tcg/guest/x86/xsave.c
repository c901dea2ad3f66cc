#include "tcg/guest/x86/sys.h"
#include "cpu/x86/cpuid.h"
#include "cpu/x86/xsave.h"

/*
 * FXSAVE, FXRSTOR and the XSAVE family (SDM 1 chapter 13; 2A/2D). Helpers with TCG_H_FPU: the whole state is in the struct. The area is
 * put together in standard format, then only the parts that the instruction writes go to memory.
 */

enum { MXCSR_MASK = 0xffff, HDR = X86_XSAVE_LEGACY };

static uint64_t rd64(const uint8_t *p) { uint64_t v; __builtin_memcpy(&v, p, 8); return v; }
static uint32_t rd32(const uint8_t *p) { uint32_t v; __builtin_memcpy(&v, p, 4); return v; }
static void wr64(uint8_t *p, uint64_t v) { __builtin_memcpy(p, &v, 8); }
static void wr32(uint8_t *p, uint32_t v) { __builtin_memcpy(p, &v, 4); }

/* Without REX.W the instruction and data pointers are 32 bits and a selector. */
static void pointers_to(const X86State *s, uint8_t *area, bool rexw)
{
    if (rexw)
        return;
    wr32(area + 8, (uint32_t)s->fip);
    wr32(area + 12, s->fcs);
    wr32(area + 16, (uint32_t)s->fdp);
    wr32(area + 20, s->fds);
}

static void x87_from(X86State *s, const uint8_t *area, bool rexw)
{
    s->fcw = (uint16_t)((s->fcw & 0x1f7f) | 0x40);         /* reserved bits read as they always do */
    s->fcs = s->fds = 0;
    if (rexw)
        return;
    s->fip = rd32(area + 8);
    s->fcs = (uint16_t)rd32(area + 12);
    s->fdp = rd32(area + 16);
    s->fds = (uint16_t)rd32(area + 20);
}

static void check_fx(X86State *s, uint64_t va)
{
    if (s->cr0 & (X86_CR0_EM | X86_CR0_TS))
        x86_raise(s, X86_NM);
    if (va & 15)
        x86_raise_gp0(s);
    x86_x87_settle(s);
    tcg_fpenv_get(x86_cpu(s));
}

uint64_t x86_h_fxsave(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;
    uint8_t area[X86_XSAVE_LEGACY];
    unsigned n = x86_code64(s) ? 16 : 8;

    check_fx(s, a);
    tcg_probe(x86_cpu(s), a, 512, TCG_WRITE, x86_regime_now(s));
    x86_dr_note(s, a, 512, true);
    __builtin_memset(area, 0, sizeof(area));
    x86_fxsave_pack(s, area, true, n);
    pointers_to(s, area, b == 8);
    tcg_store_bytes(x86_cpu(s), a, area, 160 + 16 * n, x86_regime_now(s));
    return 0;
}

uint64_t x86_h_fxrstor(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;
    uint8_t area[X86_XSAVE_LEGACY];

    check_fx(s, a);
    tcg_load_bytes(x86_cpu(s), a, area, 512, x86_regime_now(s));
    x86_dr_note(s, a, 512, false);
    if (rd32(area + 24) & ~(uint32_t)MXCSR_MASK)
        x86_raise_gp0(s);
    if (!x86_code64(s))
        for (unsigned i = 8; i < 16; i++) {                /* those that the image does not name stay */
            wr64(area + 160 + 16 * i, s->vec[i].q[0]);
            wr64(area + 168 + 16 * i, s->vec[i].q[1]);
        }
    x86_fxsave_unpack(s, area);
    x87_from(s, area, b == 8);
    tcg_fpenv_put(x86_cpu(s));
    return 0;
}

/* ---- XSAVE family ---- */

typedef struct Xs {
    X86State *s;
    TcgCpu *cpu;
    uint64_t va, mask;         /* mask: RFBM */
    unsigned regime;
    bool rexw;
    uint64_t compact;          /* components that have a place in the compacted format; 0 = standard */
} Xs;

static void begin(Xs *x, X86State *s, uint64_t va, uint64_t op_size, bool supervisor)
{
    if (!(s->cr4 & X86_CR4_OSXSAVE))
        x86_raise(s, X86_UD);
    if (s->cr0 & X86_CR0_TS)
        x86_raise(s, X86_NM);
    if (supervisor)
        x86_need_cpl0(s);
    if (va & 63)
        x86_raise_gp0(s);
    x86_x87_settle(s);
    tcg_fpenv_get(x86_cpu(s));
    *x = (Xs){ .s = s, .cpu = x86_cpu(s), .va = va, .regime = x86_regime_now(s), .rexw = op_size == 8 };
    x->mask = ((uint32_t)s->gpr[X86_RAX] | s->gpr[X86_RDX] << 32) & (s->xcr0 | (supervisor ? s->msr.xss : 0));
}

static bool zero_vec(const X86State *s, unsigned first, unsigned n, unsigned from, unsigned to)
{
    uint64_t v = 0;
    for (unsigned i = first; i < first + n; i++)
        for (unsigned k = from; k < to; k++)
            v |= s->vec[i].q[k];
    return !v;
}

static bool x87_initial(const X86State *s)
{
    uint64_t v = (s->fcw ^ 0x37fu) | s->fsw | s->ftw | s->fop | s->fip | s->fdp | s->fcs | s->fds;
    for (unsigned i = 0; i < 8; i++)
        v |= s->fpr[i].mant | s->fpr[i].exp;
    return !v;
}

/* XINUSE (SDM 1 13.6): components that are not in their initial configuration. */
static uint64_t in_use(const X86State *s, uint64_t mask)
{
    uint64_t u = mask & s->xstate_extra & ~(uint64_t)X86_XC_KNOWN, k = 0;

    u |= x87_initial(s) ? 0 : X86_XC_X87;
    u |= zero_vec(s, 0, 16, 0, 2) ? 0 : X86_XC_SSE;
    u |= mask & X86_XC_AVX && !zero_vec(s, 0, 16, 2, 4) ? X86_XC_AVX : 0;
    u |= mask & X86_XC_ZMM_HI256 && !zero_vec(s, 0, 16, 4, 8) ? X86_XC_ZMM_HI256 : 0;
    u |= mask & X86_XC_HI16_ZMM && !zero_vec(s, 16, 16, 0, 8) ? X86_XC_HI16_ZMM : 0;
    for (unsigned i = 0; i < 8; i++)
        k |= s->kmask[i];
    u |= k ? X86_XC_OPMASK : 0;
    u |= s->pkru ? X86_XC_PKRU : 0;
    return u & mask;
}

static uint32_t offset_of(const Xs *x, unsigned i)
{
    return x->compact ? x86_xsave_compact_offset(x->compact, i) : x86_xsave_component(i).offset;
}

static void store(const Xs *x, uint32_t at, const uint8_t *from, uint32_t len)
{
    tcg_store_bytes(x->cpu, x->va + at, from, len, x->regime);
    x86_dr_note(x->s, x->va + at, len, true);
}

static void store_components(const Xs *x, uint64_t which, uint64_t mxcsr_if, const uint8_t *area)
{
    unsigned n = x86_code64(x->s) ? 16 : 8;

    if (which & X86_XC_X87) {
        store(x, 0, area, 24);
        store(x, 32, area + 32, 128);
    }
    if (mxcsr_if)
        store(x, 24, area + 24, 8);
    if (which & X86_XC_SSE)
        store(x, 160, area + 160, 16 * n);
    for (unsigned i = 2; i < 63 && which >> i; i++) {
        X86XsaveComponent c = x86_xsave_component(i);
        if (which >> i & 1 && c.size)
            store(x, offset_of(x, i), area + c.offset, i == 2 ? 16 * n : c.size);
    }
}

static void probe(const Xs *x, TcgAccess access)
{
    uint64_t m = x->compact ? x->compact : x->mask;
    tcg_probe(x->cpu, x->va, x86_xsave_size(m, x->compact != 0), access, x->regime);
}

static void save_standard(Xs *x, bool optimised)
{
    uint8_t area[X86_XSAVE_MAX], old[8];
    X86State *s = x->s;
    uint64_t used = in_use(s, x->mask);

    probe(x, TCG_WRITE);
    tcg_load_bytes(x->cpu, x->va + HDR, old, 8, x->regime);
    x86_xsave_pack(s, x->mask, area);
    pointers_to(s, area, x->rexw);
    store_components(x, optimised ? x->mask & used : x->mask, x->mask & (X86_XC_SSE | X86_XC_AVX), area);
    wr64(area, (rd64(old) & ~x->mask) | used);
    store(x, HDR, area, 8);
}

static void save_compact(Xs *x)
{
    uint8_t area[X86_XSAVE_MAX];
    X86State *s = x->s;
    uint64_t used = in_use(s, x->mask);

    if (x->mask & X86_XC_SSE && s->mxcsr != 0x1f80)
        used |= X86_XC_SSE;
    x->compact = x->mask | X86_XCOMP_COMPACT;
    probe(x, TCG_WRITE);
    x86_xsave_pack(s, x->mask, area);
    pointers_to(s, area, x->rexw);
    store_components(x, used, used & X86_XC_SSE, area);
    wr64(area, used);
    wr64(area + 8, x->compact);
    store(x, HDR, area, 16);
}

uint64_t x86_h_xsave(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    Xs x;
    begin(&x, state, a, b, false);
    save_standard(&x, false);
    return 0;
}

uint64_t x86_h_xsaveopt(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    Xs x;
    begin(&x, state, a, b, false);
    save_standard(&x, true);
    return 0;
}

uint64_t x86_h_xsavec(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    Xs x;
    begin(&x, state, a, b, false);
    save_compact(&x);
    return 0;
}

uint64_t x86_h_xsaves(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    Xs x;
    begin(&x, state, a, b, true);
    save_compact(&x);
    return 0;
}

static bool all_zero(const uint8_t *p, unsigned n)
{
    uint8_t v = 0;
    for (unsigned i = 0; i < n; i++)
        v |= p[i];
    return !v;
}

/* Header checks (SDM 1 13.8, 13.12). */
static void check_header(Xs *x, const uint8_t *hdr, bool supervisor)
{
    uint64_t bv = rd64(hdr), comp = rd64(hdr + 8), allowed = x->s->xcr0 | (supervisor ? x->s->msr.xss : 0);
    bool ok;

    if (comp & X86_XCOMP_COMPACT)
        ok = x86_model_has(x->s->model, X86_FEAT_XSAVEC) && !(comp & ~X86_XCOMP_COMPACT & ~allowed) && !(bv & ~comp) && all_zero(hdr + 16, 48) &&
             !(bv & X86_XCOMP_COMPACT);
    else
        ok = !supervisor && !(bv & ~allowed) && all_zero(hdr + 8, 16);
    if (!ok)
        x86_raise_gp0(x->s);
    x->compact = comp & X86_XCOMP_COMPACT ? comp : 0;
}

static void load(const Xs *x, uint32_t at, uint8_t *to, uint32_t len)
{
    tcg_load_bytes(x->cpu, x->va + at, to, len, x->regime);
    x86_dr_note(x->s, x->va + at, len, false);
}

static void load_components(const Xs *x, uint64_t which, uint8_t *area)
{
    if (which & X86_XC_X87) {
        load(x, 0, area, 24);
        load(x, 32, area + 32, 128);
    }
    if (which & X86_XC_SSE)
        load(x, 160, area + 160, 256);
    for (unsigned i = 2; i < 63 && which >> i; i++) {
        X86XsaveComponent c = x86_xsave_component(i);
        if (which >> i & 1 && c.size)
            load(x, offset_of(x, i), area + c.offset, c.size);
    }
}

/* MXCSR: in standard format loaded with SSE or AVX, in use or not; compacted it belongs to SSE. */
static uint32_t new_mxcsr(Xs *x, uint64_t bv, const uint8_t *area)
{
    uint32_t v = rd32(area + 24);
    bool from_memory = x->compact ? x->mask & bv & X86_XC_SSE : x->mask & (X86_XC_SSE | X86_XC_AVX);

    if (!from_memory)
        return x->mask & X86_XC_SSE ? 0x1f80 : x->s->mxcsr;
    if (v & ~(uint32_t)MXCSR_MASK)
        x86_raise_gp0(x->s);
    return v;
}

/* In 32-bit code registers 8 to 15 keep their values (SDM 2D XRSTOR). */
static void keep_high(Xs *x, uint64_t mask, X86Vec *high, bool back)
{
    for (unsigned i = 8; i < 16; i++)
        for (unsigned k = 0; k < 4; k++)
            if (back && mask & (k < 2 ? X86_XC_SSE : X86_XC_AVX))
                x->s->vec[i].q[k] = high[i - 8].q[k];
            else if (!back)
                high[i - 8].q[k] = x->s->vec[i].q[k];
}

static void restore(Xs *x, bool supervisor)
{
    uint8_t area[X86_XSAVE_MAX], hdr[X86_XSAVE_HEADER];
    X86Vec high[8];
    X86State *s = x->s;
    uint32_t old_pkru = s->pkru;
    bool code64 = x86_code64(s);

    load(x, HDR, hdr, sizeof(hdr));
    check_header(x, hdr, supervisor);
    probe(x, TCG_READ);
    uint64_t bv = rd64(hdr);
    load(x, 24, area + 24, 8);
    uint32_t mxcsr = new_mxcsr(x, bv, area);
    load_components(x, x->mask & bv, area);
    wr64(area + HDR, bv & x->mask);
    uint64_t extra = s->xstate_extra & ~x->mask;
    if (!code64)
        keep_high(x, 0, high, false);
    x86_xsave_unpack(s, x->mask, area);
    if (!code64)
        keep_high(x, x->mask, high, true);
    s->xstate_extra |= extra;
    s->mxcsr = mxcsr;
    tcg_fpenv_put(x->cpu);
    if (x->mask & X86_XC_X87)
        x87_from(s, area, x->rexw || !(bv & X86_XC_X87));
    if (s->pkru != old_pkru && s->cr4 & X86_CR4_PKE)
        tcg_flush_all(x->cpu);
}

uint64_t x86_h_xrstor(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    Xs x;
    begin(&x, state, a, b, false);
    restore(&x, false);
    return 0;
}

uint64_t x86_h_xrstors(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    Xs x;
    begin(&x, state, a, b, true);
    restore(&x, true);
    return 0;
}
