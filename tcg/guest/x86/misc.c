#include "tcg/guest/x86/sys.h"
#include "cpu/x86/cpuid.h"

/* CPUID, time, HLT and other instructions of a few lines. */

bool x86_is_intel(const X86State *s) { return s->model && s->model->vendor == X86_VENDOR_INTEL; }

static void put_edx_eax(X86State *s, uint64_t v)
{
    s->gpr[X86_RAX] = (uint32_t)v;
    s->gpr[X86_RDX] = v >> 32;
}

uint64_t x86_tsc(X86State *s)
{
    TcgCpu *cpu = x86_cpu(s);
    return tcg_cpu_callbacks(cpu)->time_counter(tcg_cpu_opaque(cpu));
}

static uint32_t apic_id(X86State *s)
{
    TcgCpu *cpu = x86_cpu(s);
    uint64_t v;
    return tcg_cpu_callbacks(cpu)->sysreg_read(tcg_cpu_opaque(cpu), X86_SYSREG_APIC_ID, &v) ? (uint32_t)v : 0;
}

uint64_t x86_h_cpuid(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;
    X86CpuidState dyn = { .apic_id = apic_id(s), .cr4 = s->cr4, .xcr0 = s->xcr0, .xss = s->msr.xss, .apic_base = s->msr.apic_base,
                          .misc_enable = s->msr.misc_enable };
    uint32_t out[4] = { 0, 0, 0, 0 };

    if (s->model)
        x86_cpuid(s->model, (uint32_t)s->gpr[X86_RAX], (uint32_t)s->gpr[X86_RCX], &dyn, out);
    s->gpr[X86_RAX] = out[0];
    s->gpr[X86_RBX] = out[1];
    s->gpr[X86_RCX] = out[2];
    s->gpr[X86_RDX] = out[3];
    return 0;
}

static void check_tsd(X86State *s)
{
    if (s->cpl && s->cr4 & X86_CR4_TSD && x86_pe(s))
        x86_raise_gp0(s);
}

uint64_t x86_h_rdtsc(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    check_tsd(state);
    put_edx_eax(state, x86_tsc(state));
    return 0;
}

uint32_t x86_tsc_aux(X86State *s)
{
    TcgCpu *cpu = x86_cpu(s);
    const TcgCallbacks *cb = tcg_cpu_callbacks(cpu);
    uint64_t v;
    return cb->syscall && cb->sysreg_read(tcg_cpu_opaque(cpu), X86_SYSREG_TSC_AUX, &v) ? (uint32_t)v : (uint32_t)s->msr.tsc_aux;
}

uint64_t x86_h_rdtscp(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;

    if (!x86_model_has(s->model, X86_FEAT_RDTSCP))
        x86_raise(s, X86_UD);
    check_tsd(s);
    put_edx_eax(s, x86_tsc(s));
    s->gpr[X86_RCX] = x86_tsc_aux(s);
    return 0;
}

uint64_t x86_h_rdpid(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;

    if (!x86_model_has(s->model, X86_FEAT_RDPID))
        x86_raise(s, X86_UD);
    return x86_tsc_aux(s);
}

/* No performance counters are offered: every index is invalid. */
uint64_t x86_h_rdpmc(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    x86_raise_gp0(state);
}

uint64_t x86_h_hlt(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;

    x86_need_cpl0(s);
    s->rip = a;
    s->ev.int_shadow = 0;
    s->ev.mp_state = X86_MP_HALTED;
    x86_mode_changed(s);
    /* Not TCG_LEAVE_HALTED here: x86_deliver_events decides, so that an interrupt that just came is not slept over. */
    tcg_leave(x86_cpu(s));
}

uint64_t x86_h_monitor(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;

    if (!x86_model_has(s->model, X86_FEAT_MONITOR) || s->cpl)
        x86_raise(s, X86_UD);
    if (s->gpr[X86_RCX])
        x86_raise_gp0(s);
    tcg_probe(x86_cpu(s), a, 1, TCG_READ, x86_regime_now(s));
    return 0;
}

/* May return at any time by definition (SDM 2B): it does so at once. */
uint64_t x86_h_mwait(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;

    if (!x86_model_has(s->model, X86_FEAT_MONITOR) || s->cpl)
        x86_raise(s, X86_UD);
    if (s->gpr[X86_RCX] & ~1ull)
        x86_raise_gp0(s);
    return 0;
}

uint64_t x86_h_wbinvd(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    x86_need_cpl0(state);
    return 0;
}

uint64_t x86_h_umip(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;

    if (s->cr4 & X86_CR4_UMIP && s->cpl == 3 && x86_pe(s))
        x86_raise_gp0(s);
    return 0;
}
