#include "tcg/guest/x86/sys.h"

#include <stddef.h>

/* Base 0, 4 GiB, present, writable and expand-up (or readable code): accesses through it need no check. */
static bool seg_is_flat(const X86Seg *g, bool code)
{
    uint32_t want = code ? 0x9a : 0x92, mask = code ? 0x9a : 0x9e;
    return g->base == 0 && g->limit == 0xffffffff && (g->attr & (mask | X86_SEG_UNUSABLE)) == want;
}

static bool flat(const X86State *s)
{
    return seg_is_flat(&s->seg[X86_CS], true) && seg_is_flat(&s->seg[X86_DS], false) && seg_is_flat(&s->seg[X86_ES], false) &&
           seg_is_flat(&s->seg[X86_SS], false);
}

static uint64_t mode_code(const X86State *s)
{
    uint32_t cs = s->seg[X86_CS].attr;
    if (x86_code64(s))
        return X86M_CODE64 | X86M_FLAT;
    uint64_t m = cs & X86_SEG_DB ? X86M_CODE32 : X86M_CODE16;
    if (s->seg[X86_SS].attr & X86_SEG_DB)
        m |= X86M_SS32;
    return m | (x86_pe(s) && !x86_vm86(s) && flat(s) ? X86M_FLAT : 0);
}

static uint64_t mode_control(const X86State *s)
{
    uint64_t m = 0;
    m |= s->cr0 & X86_CR0_TS ? X86M_TS : 0;
    m |= s->cr0 & X86_CR0_EM ? X86M_EM : 0;
    m |= s->cr0 & X86_CR0_MP ? X86M_MP : 0;
    m |= s->cr0 & X86_CR0_NE ? X86M_NE : 0;
    m |= s->cr4 & X86_CR4_OSFXSR ? X86M_OSFXSR : 0;
    m |= s->cr4 & X86_CR4_OSXSAVE ? X86M_OSXSAVE : 0;
    m |= s->cr4 & X86_CR4_OSXSAVE && (s->xcr0 & 6) == 6 ? X86M_AVX : 0;
    m |= s->cr4 & X86_CR4_UMIP ? X86M_UMIP : 0;
    m |= s->cr4 & X86_CR4_TSD ? X86M_TSD : 0;
    m |= s->cr4 & X86_CR4_FSGSBASE ? X86M_FSGSBASE : 0;
    m |= s->cr4 & X86_CR4_PCE ? X86M_PCE : 0;
    return m;
}

static uint64_t mode_privilege(const X86State *s)
{
    bool vm = x86_vm86(s), pe = x86_pe(s);
    uint64_t m = (uint64_t)s->cpl << X86M_CPL_SHIFT;
    m |= pe ? X86M_PE : 0;
    m |= pe && vm ? X86M_VM86 : 0;
    m |= s->cpl <= x86_iopl(s) ? X86M_IOPL_OK : 0;
    m |= s->cr4 & X86_CR4_SMAP && s->cpl < 3 && !(s->rflags_rest & X86_AC) ? X86M_SMAP : 0;
    m |= s->cpl == 3 && s->cr0 & X86_CR0_AM && s->rflags_rest & X86_AC ? X86M_AC : 0;
    m |= (vm && s->cr4 & X86_CR4_VME) || (!vm && s->cpl == 3 && s->cr4 & X86_CR4_PVI) ? X86M_VME : 0;
    return m;
}

TCG_CALL_PATH uint64_t x86_mode_key(const void *state)
{
    const X86State *s = state;
    uint64_t m = mode_code(s) | mode_control(s) | mode_privilege(s);
    m |= s->rflags_rest & X86_TF ? X86M_TF : 0;
    m |= x86_lma(s) ? X86M_LMA : 0;
    m |= s->ev.int_shadow ? X86M_SHADOW : 0;
    m |= s->ev.smm ? X86M_SMM : 0;
    m |= x86_dr_enabled(s) ? X86M_DR : 0;
    m |= (s->fcw & 0x3f) != 0x3f ? X86M_XF : 0;
    m |= (s->mxcsr & 0x1f80) != 0x1f80 ? X86M_XM : 0;
    return m;
}

uint64_t x86_linear_pc(const void *state)
{
    const X86State *s = state;
    return x86_code64(s) ? s->rip : (uint32_t)(s->seg[X86_CS].base + s->rip);
}

static void set_pc_from_linear(void *state, uint64_t linear)
{
    X86State *s = state;
    s->rip = x86_code64(s) ? linear : (uint32_t)(linear - s->seg[X86_CS].base);
}

static unsigned mode_regime(uint64_t mode)
{
    if (X86M_CPL(mode) == 3)
        return X86R_USER;
    return mode & X86M_SMAP ? X86R_KERNEL : X86R_KERNEL_USEROK;
}

static bool mode_supervisor(uint64_t mode) { return X86M_CPL(mode) != 3; }

void x86_space_sync(X86State *s)
{
    TcgCpu *cpu = x86_cpu(s);
    bool pcid = s->cr4 & X86_CR4_PCIDE;

    s->ev.tlb_flush_pending = 0;
    tcg_flush_all(cpu);
    tcg_set_space(cpu, s->cr3 & ~(pcid ? 1ull << 63 | 0xfff : 0x1full), pcid ? s->cr3 & 0xfff : 0);
    tcg_mode_changed(cpu);
}

bool x86_irq_due(X86State *s)
{
    TcgCpu *cpu = x86_cpu(s);
    const TcgCallbacks *cb = tcg_cpu_callbacks(cpu);
    const X86Events *e = &s->ev;

    return (e->nmi_pending && !e->nmi_masked) || e->smm_pending || (s->rflags_rest & X86_IF && cb->irq_pending(tcg_cpu_opaque(cpu)));
}

void x86_irq_recheck(X86State *s)
{
    if (x86_irq_due(s))
        tcg_cpu_poke(x86_cpu(s));
}

const TcgHelper x86_helpers[X86_HELPERS] = {
#define X86_HELPER(name, ret, flags) { #name, x86_h_##name, ret, flags },
#include "tcg/guest/x86/helpers.def"
#undef X86_HELPER
};

const GuestIsa x86_isa = {
    .name = "x86",
    .state_size = sizeof(X86State),
    .xlat_offset = offsetof(X86State, xlat),
    .pc_offset = offsetof(X86State, rip),
    .pc_base_offset = offsetof(X86State, pc_base),
    .fpenv_offset = offsetof(X86State, mxcsr),
    .fpu_live_offset = offsetof(X86State, x87_live),
    .fpu_load = x86_x87_load,
    .fpu_settle = x86_x87_settle_cpu,
    .fpu_signal = x86_x87_signal,
    .slots = x86_slots,
    .n_slots = X86_SLOTS,
    .helpers = x86_helpers,
    .n_helpers = X86_HELPERS,
    .mode = x86_mode_key,
    .linear_pc = x86_linear_pc,
    .set_pc_from_linear = set_pc_from_linear,
    .regime = mode_regime,
    .supervisor = mode_supervisor,
    .translate = x86_translate,
    .mmu = x86_mmu,
    .mmu_fault = x86_mmu_fault,
    .align_fault = x86_align_fault,
    .fpe_fault = x86_fpe_fault,
    .deliver = x86_deliver_events,
    .disas = x86_disas,
};
