#include "tcg/guest/x86/sys.h"
#include "cpu/x86/cpuid.h"

/* Control registers (SDM 3A 2.5, 4.10.4) and TLB instructions. */

#define CR0_KNOWN (X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_NE | X86_CR0_WP | X86_CR0_AM | X86_CR0_NW | X86_CR0_CD | X86_CR0_PG)
enum { CR4_FLUSHES = X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PGE | X86_CR4_LA57 | X86_CR4_PCIDE | X86_CR4_SMEP | X86_CR4_SMAP | X86_CR4_PKE |
                     X86_CR4_PKS };

static uint64_t phys_reserved(const X86State *s) { return ~0ull << x86_model_phys_bits(s->model); }
static bool pae_paging(const X86State *s) { return s->cr0 & X86_CR0_PG && s->cr4 & X86_CR4_PAE && !x86_lma(s); }

bool x86_load_pdptrs(X86State *s, uint64_t cr3)
{
    uint64_t v[4];

    for (unsigned i = 0; i < 4; i++) {
        if (!tcg_phys_load(x86_cpu(s), (cr3 & 0xffffffe0) + 8 * i, 8, &v[i]))
            v[i] = 0;
        if (v[i] & 1 && v[i] & (phys_reserved(s) | 0x1e6))
            return false;
    }
    for (unsigned i = 0; i < 4; i++)
        s->pdptr[i] = v[i];
    return true;
}

static void set_space(X86State *s)
{
    bool pcid = s->cr4 & X86_CR4_PCIDE;
    tcg_set_space(x86_cpu(s), s->cr3 & ~(pcid ? 0xfffull : 0x1full), pcid ? s->cr3 & 0xfff : 0);
}

/* @s already has the new PG (and LMA): PDPTEs checked, then everything committed. */
static void check_cr0(X86State *s, uint64_t v)
{
    bool pg = v & X86_CR0_PG, was = s->cr0 & X86_CR0_PG;

    if (v >> 32 || (pg && !(v & X86_CR0_PE)) || (v & X86_CR0_NW && !(v & X86_CR0_CD)))
        x86_raise_gp0(s);
    if (!pg && was && (x86_code64(s) || s->cr4 & X86_CR4_PCIDE))
        x86_raise_gp0(s);
    if (pg && !was && s->msr.efer & X86_EFER_LME &&
        (!(s->cr4 & X86_CR4_PAE) || (x86_pe(s) && s->seg[X86_CS].attr & X86_SEG_L)))
        x86_raise_gp0(s);
    bool pae = pg && s->cr4 & X86_CR4_PAE && !(s->msr.efer & X86_EFER_LME);
    if (pae && (v ^ s->cr0) & (X86_CR0_PG | X86_CR0_CD | X86_CR0_NW) && !x86_load_pdptrs(s, s->cr3))
        x86_raise_gp0(s);
}

void x86_set_cr0(X86State *s, uint64_t v)
{
    uint64_t changed;

    check_cr0(s, v);
    v = (v & CR0_KNOWN) | X86_CR0_ET;
    changed = v ^ s->cr0;
    s->cr0 = v;
    if (changed & X86_CR0_PG) {
        if (v & X86_CR0_PG && s->msr.efer & X86_EFER_LME)
            s->msr.efer |= X86_EFER_LMA;
        else
            s->msr.efer &= ~(uint64_t)X86_EFER_LMA;
    }
    if (changed & (X86_CR0_PG | X86_CR0_WP))
        tcg_flush_all(x86_cpu(s));
    if (changed & X86_CR0_PG)
        set_space(s);
    x86_mode_changed(s);
}

void x86_set_cr3(X86State *s, uint64_t v)
{
    bool pcid = s->cr4 & X86_CR4_PCIDE, keep = pcid && v >> 63;

    if (pcid)
        v &= ~(1ull << 63);
    if (!x86_lma(s))
        v = (uint32_t)v;
    else if (v & phys_reserved(s))
        x86_raise_gp0(s);
    if (pae_paging(s) && !x86_load_pdptrs(s, v))
        x86_raise_gp0(s);
    s->cr3 = v;
    if (!keep)
        tcg_flush_tag(x86_cpu(s), pcid ? v & 0xfff : 0);
    set_space(s);
}

void x86_set_cr4(X86State *s, uint64_t v)
{
    uint64_t changed = v ^ s->cr4;

    if (v & ~x86_model_cr4_mask(s->model))
        x86_raise_gp0(s);
    if (x86_lma(s) && (!(v & X86_CR4_PAE) || changed & X86_CR4_LA57))
        x86_raise_gp0(s);
    if (changed & v & X86_CR4_PCIDE && (!x86_lma(s) || s->cr3 & 0xfff))
        x86_raise_gp0(s);
    /* PDPTEs are loaded where these bits change under PAE paging (SDM 3A 4.4.1). */
    bool pae = s->cr0 & X86_CR0_PG && v & X86_CR4_PAE && !x86_lma(s);
    if (pae && changed & (X86_CR4_PAE | X86_CR4_PGE | X86_CR4_PSE | X86_CR4_SMEP) && !x86_load_pdptrs(s, s->cr3))
        x86_raise_gp0(s);
    s->cr4 = v;
    if (changed & CR4_FLUSHES)
        tcg_flush_all(x86_cpu(s));
    if (changed & X86_CR4_PCIDE)
        set_space(s);
    x86_mode_changed(s);
}

static uint64_t get_cr8(X86State *s)
{
    TcgCpu *cpu = x86_cpu(s);
    uint64_t v;
    return tcg_cpu_callbacks(cpu)->sysreg_read(tcg_cpu_opaque(cpu), X86_SYSREG_TPR, &v) ? v : s->cr8;
}

static void set_cr8(X86State *s, uint64_t v)
{
    TcgCpu *cpu = x86_cpu(s);

    if (v >> 4)
        x86_raise_gp0(s);
    s->cr8 = v;
    tcg_cpu_callbacks(cpu)->sysreg_write(tcg_cpu_opaque(cpu), X86_SYSREG_TPR, v);
    x86_irq_recheck(s);
}

uint64_t x86_h_mov_cr_read(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;

    x86_need_cpl0(s);
    switch (a) {
    case 0: return s->cr0;
    case 2: return s->cr2;
    case 3: return s->cr3;
    case 4: return s->cr4;
    case 8: return get_cr8(s);
    default: x86_raise(s, X86_UD);
    }
}

uint64_t x86_h_mov_cr_write(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;

    x86_need_cpl0(s);
    switch (a) {
    case 0: x86_set_cr0(s, b); break;
    case 2: s->cr2 = b; break;
    case 3: x86_set_cr3(s, b); break;
    case 4: x86_set_cr4(s, b); break;
    case 8: set_cr8(s, b); break;
    default: x86_raise(s, X86_UD);
    }
    return 0;
}

uint64_t x86_h_smsw(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;
    if (s->cpl == 3 && s->cr4 & X86_CR4_UMIP && x86_pe(s))
        x86_raise_gp0(s);
    return s->cr0;
}

uint64_t x86_h_lmsw(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;

    x86_need_cpl0(s);
    /* PE can be set, not cleared. */
    x86_set_cr0(s, (s->cr0 & ~0xeull) | (a & 0xf));
    return 0;
}

uint64_t x86_h_clts(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;

    x86_need_cpl0(s);
    s->cr0 &= ~(uint64_t)X86_CR0_TS;
    x86_mode_changed(s);
    return 0;
}

static uint32_t current_tag(const X86State *s) { return s->cr4 & X86_CR4_PCIDE ? s->cr3 & 0xfff : 0; }

uint64_t x86_h_invlpg(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;

    x86_need_cpl0(s);
    if (!x86_lma(s) || x86_canonical(s, a))    /* a no-op otherwise (SDM 2A INVLPG) */
        tcg_flush_page(x86_cpu(s), x86_linear(s, a), current_tag(s));
    return 0;
}

uint64_t x86_h_invpcid(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;
    TcgCpu *cpu = x86_cpu(s);
    unsigned regime = x86_regime_now(s);

    x86_need_cpl0(s);
    if (x86_paragraphs(s) && x86_pe(s))
        x86_raise_gp0(s);
    tcg_probe(cpu, b, 16, TCG_READ, regime);
    uint64_t pcid = tcg_load(cpu, b, 3, regime), va = tcg_load(cpu, b + 8, 3, regime);
    if (a > 3 || pcid >> 12 || (a <= 1 && pcid && !(s->cr4 & X86_CR4_PCIDE)) || (a == 0 && !x86_canonical(s, va)))
        x86_raise_gp0(s);
    switch (a) {
    case 0: tcg_flush_page(cpu, va, (uint32_t)pcid); break;
    case 1: tcg_flush_tag(cpu, (uint32_t)pcid); break;
    case 2: tcg_flush_all(cpu); break;
    case 3: tcg_flush_nonglobal(cpu); break;
    }
    return 0;
}

/* ---- extended control register, protection keys ---- */

uint64_t x86_h_xgetbv(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;
    uint32_t i = (uint32_t)s->gpr[X86_RCX];

    if (!(s->cr4 & X86_CR4_OSXSAVE))
        x86_raise(s, X86_UD);
    if (i > 1 || (i == 1 && !x86_model_has_xgetbv1(s->model)))
        x86_raise_gp0(s);
    /* XINUSE: nothing is tracked, so all that is enabled counts as in use. */
    s->gpr[X86_RAX] = (uint32_t)s->xcr0;
    s->gpr[X86_RDX] = s->xcr0 >> 32;
    return 0;
}

uint64_t x86_h_xsetbv(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;
    uint64_t v = (uint32_t)s->gpr[X86_RAX] | s->gpr[X86_RDX] << 32;

    if (!(s->cr4 & X86_CR4_OSXSAVE))
        x86_raise(s, X86_UD);
    x86_need_cpl0(s);
    /* x87 always; AVX needs SSE; the three AVX-512 parts come together and need AVX (SDM 1 13.3). */
    bool bad = (uint32_t)s->gpr[X86_RCX] != 0 || !(v & 1) || v & ~x86_model_xcr0_mask(s->model) || (v & 6) == 4 ||
               (v & 0xe0 && ((v & 0xe0) != 0xe0 || (v & 6) != 6)) || ((v >> 3 ^ v >> 4) & 1);
    if (bad)
        x86_raise_gp0(s);
    s->xcr0 = v;
    x86_mode_changed(s);
    return 0;
}

uint64_t x86_h_rdpkru(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;

    if (!(s->cr4 & X86_CR4_PKE))
        x86_raise(s, X86_UD);
    if ((uint32_t)s->gpr[X86_RCX])
        x86_raise_gp0(s);
    s->gpr[X86_RAX] = s->pkru;
    s->gpr[X86_RDX] = 0;
    return 0;
}

uint64_t x86_h_wrpkru(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;

    if (!(s->cr4 & X86_CR4_PKE))
        x86_raise(s, X86_UD);
    if ((uint32_t)s->gpr[X86_RCX] || (uint32_t)s->gpr[X86_RDX])
        x86_raise_gp0(s);
    if (s->pkru != (uint32_t)s->gpr[X86_RAX]) {
        s->pkru = (uint32_t)s->gpr[X86_RAX];
        tcg_flush_all(x86_cpu(s));             /* the soft TLB holds rights with the keys applied */
    }
    return 0;
}

/* ---- FS and GS bases ---- */

static void need_fsgsbase(X86State *s)
{
    if (!(s->cr4 & X86_CR4_FSGSBASE) || !x86_code64(s))
        x86_raise(s, X86_UD);
}

uint64_t x86_h_rdsegbase(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;
    need_fsgsbase(s);
    return s->seg[a].base;
}

uint64_t x86_h_wrsegbase(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;

    need_fsgsbase(s);
    if (!x86_canonical(s, b))
        x86_raise_gp0(s);
    s->seg[a].base = b;
    return 0;
}
