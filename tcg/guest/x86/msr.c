#include "tcg/guest/x86/sys.h"
#include "cpu/x86/cpuid.h"

#include <stddef.h>

/*
 * Model-specific registers (SDM 4; AMD APM 2 appendix A; KVM's from the kernel's Documentation/virt/kvm/x86/msr.rst).
 * A plain one is a line of the table; those with an effect have a function; the APIC's and the clock's go out.
 */

typedef struct Msr Msr;
struct Msr {
    uint32_t first, last;
    uint32_t at;               /* offset in X86State of the first, 8 bytes each; 0 = reads zero, writes vanish */
    uint64_t writable;         /* other bits set: #GP(0). 0 = read-only */
    bool (*set)(X86State *s, const Msr *m, uint32_t index, uint64_t v);
    bool (*get)(X86State *s, const Msr *m, uint32_t index, uint64_t *ret);
    uint32_t feature;          /* + 1; 0 = always there */
    uint8_t vendor;            /* + 1; 0 = both */
};
#define MSR_ALL (~0ull)

/* ---- ways to write ---- */

static uint64_t *slot(X86State *s, const Msr *m, uint32_t index)
{
    return (uint64_t *)((uint8_t *)s + m->at) + (index - m->first);
}

static bool set_canonical(X86State *s, const Msr *m, uint32_t index, uint64_t v)
{
    if (!x86_canonical(s, v))
        return false;
    *slot(s, m, index) = v;
    return true;
}

static bool set_segbase(X86State *s, const Msr *m, uint32_t index, uint64_t v)
{
    if (!x86_canonical(s, v))
        return false;
    s->seg[index == 0xc0000100 ? X86_FS : X86_GS].base = v;
    return true;
}

static bool get_segbase(X86State *s, const Msr *m, uint32_t index, uint64_t *ret)
{
    *ret = s->seg[index == 0xc0000100 ? X86_FS : X86_GS].base;
    return true;
}

uint64_t x86_efer_mask(const X86State *s)
{
    uint64_t ok = X86_EFER_LMA;
    const struct { X86Feature f; uint64_t bit; } bits[] = {
        { X86_FEAT_SYSCALL, X86_EFER_SCE }, { X86_FEAT_LM, X86_EFER_LME }, { X86_FEAT_NX, X86_EFER_NXE }, { X86_FEAT_FXSR_OPT, 1 << 14 },
        { X86_FEAT_AUTO_IBRS, 1 << 21 },
    };
    for (unsigned i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
        if (x86_model_has(s->model, bits[i].f))
            ok |= bits[i].bit;
    return ok;
}

static bool set_efer(X86State *s, const Msr *m, uint32_t index, uint64_t v)
{
    if (v & ~x86_efer_mask(s) || (s->cr0 & X86_CR0_PG && (v ^ s->msr.efer) & X86_EFER_LME))
        return false;
    v = (v & ~(uint64_t)X86_EFER_LMA) | (s->msr.efer & X86_EFER_LMA);
    bool nx = (v ^ s->msr.efer) & X86_EFER_NXE;
    s->msr.efer = v;
    if (nx)
        tcg_flush_all(x86_cpu(s));
    return true;
}

static bool set_pat(X86State *s, const Msr *m, uint32_t index, uint64_t v)
{
    for (unsigned i = 0; i < 8; i++) {
        unsigned t = v >> (8 * i) & 0xff;
        if (t > 7 || t == 2 || t == 3)
            return false;
    }
    s->msr.pat = v;
    return true;
}

static bool mtrr_type_ok(unsigned t) { return t == 0 || t == 1 || (t >= 4 && t <= 6); }

static bool set_mtrr_fixed(X86State *s, const Msr *m, uint32_t index, uint64_t v)
{
    static const uint32_t order[11] = { 0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f };
    for (unsigned i = 0; i < 8; i++)
        if (!mtrr_type_ok(v >> (8 * i) & 0xff))
            return false;
    for (unsigned i = 0; i < 11; i++)
        if (order[i] == index)
            s->msr.mtrr.fixed[i] = v;
    return true;
}

static bool get_mtrr_fixed(X86State *s, const Msr *m, uint32_t index, uint64_t *ret)
{
    unsigned i = index == 0x250 ? 0 : index < 0x260 ? index - 0x258 + 1 : index - 0x268 + 3;
    *ret = s->msr.mtrr.fixed[i];
    return true;
}

/* Even: base and type, odd: mask and valid bit. */
static bool set_mtrr_var(X86State *s, const Msr *m, uint32_t index, uint64_t v)
{
    uint64_t rsvd = ~0ull << x86_model_phys_bits(s->model);
    unsigned i = (index - 0x200) / 2;
    if (v & (rsvd | (index & 1 ? 0x7ff : 0xf00)) || (!(index & 1) && !mtrr_type_ok(v & 0xff)))
        return false;
    *(index & 1 ? &s->msr.mtrr.mask[i] : &s->msr.mtrr.base[i]) = v;
    return true;
}

static bool get_mtrr_var(X86State *s, const Msr *m, uint32_t index, uint64_t *ret)
{
    unsigned i = (index - 0x200) / 2;
    *ret = index & 1 ? s->msr.mtrr.mask[i] : s->msr.mtrr.base[i];
    return true;
}

static bool set_mtrr_def(X86State *s, const Msr *m, uint32_t index, uint64_t v)
{
    if (v & ~0xcffull || !mtrr_type_ok(v & 0xff))
        return false;
    s->msr.mtrr.def_type = v;
    return true;
}

/* ---- time ---- */

static bool get_tsc(X86State *s, const Msr *m, uint32_t index, uint64_t *ret)
{
    *ret = x86_tsc(s);
    return true;
}

/* Write what an outside register holds once more, so that its owner looks at the counter anew. */
static void rewrite_outside(X86State *s, uint32_t index)
{
    TcgCpu *cpu = x86_cpu(s);
    uint64_t v;
    if (tcg_cpu_callbacks(cpu)->sysreg_read(tcg_cpu_opaque(cpu), index, &v) && v)
        tcg_cpu_callbacks(cpu)->sysreg_write(tcg_cpu_opaque(cpu), index, v);
}

/* Both move the counter; TSC_ADJUST follows writes of the TSC (SDM 3B 17.17.3). A deadline is a value of the counter, kvmclock's page counts from one. */
static void move_tsc(X86State *s, uint64_t delta)
{
    enum { DEADLINE = 0x6e0, KVM_SYSTEM_TIME_NEW = 0x4b564d01 };
    s->tsc_offset += (int64_t)delta;
    s->tsc_adjust += delta;
    if (x86_model_has(s->model, X86_FEAT_TSC_DEADLINE))
        rewrite_outside(s, DEADLINE);
    if (s->msr.kvm_system_time & 1)
        rewrite_outside(s, KVM_SYSTEM_TIME_NEW);
}

static bool set_tsc(X86State *s, const Msr *m, uint32_t index, uint64_t v)
{
    move_tsc(s, v - x86_tsc(s));
    return true;
}

static bool set_tsc_adjust(X86State *s, const Msr *m, uint32_t index, uint64_t v)
{
    move_tsc(s, v - s->tsc_adjust);
    return true;
}

/* ---- outside ---- */

static bool set_outside(X86State *s, const Msr *m, uint32_t index, uint64_t v)
{
    TcgCpu *cpu = x86_cpu(s);
    bool ok = tcg_cpu_callbacks(cpu)->sysreg_write(tcg_cpu_opaque(cpu), index, v);
    if (ok && m->at)
        *slot(s, m, index) = v;
    if (ok && index == 0x1b)                   /* the APIC's page is elsewhere now, or nowhere */
        tcg_flush_all(cpu);
    x86_irq_recheck(s);
    return ok;
}

static bool get_outside(X86State *s, const Msr *m, uint32_t index, uint64_t *ret)
{
    TcgCpu *cpu = x86_cpu(s);
    return tcg_cpu_callbacks(cpu)->sysreg_read(tcg_cpu_opaque(cpu), index, ret);
}

/* ---- with an effect or a computed value ---- */

static bool set_xss(X86State *s, const Msr *m, uint32_t index, uint64_t v)
{
    if (v & ~x86_model_xss_mask(s->model))
        return false;
    s->msr.xss = v;
    return true;
}

static bool set_pkrs(X86State *s, const Msr *m, uint32_t index, uint64_t v)
{
    if (v >> 32)
        return false;
    s->msr.pkrs = v;
    tcg_flush_all(x86_cpu(s));
    return true;
}

/* Writing zero asks for the microcode revision to be put there by CPUID (SDM 3A 9.11.7.1). */
static bool set_bios_sign(X86State *s, const Msr *m, uint32_t index, uint64_t v) { return true; }
static bool get_bios_sign(X86State *s, const Msr *m, uint32_t index, uint64_t *ret)
{
    *ret = x86_is_intel(s) ? 1ull << 32 : 0x1000065;
    return true;
}

static bool get_mtrrcap(X86State *s, const Msr *m, uint32_t index, uint64_t *ret)
{
    *ret = 8 | 1 << 8 | 1 << 10;               /* 8 variable ranges, fixed ones, WC */
    return true;
}

static bool get_mcg_cap(X86State *s, const Msr *m, uint32_t index, uint64_t *ret)
{
    *ret = 10 | 1 << 8;                        /* banks, MCG_CTL present */
    return true;
}

static bool get_smbase(X86State *s, const Msr *m, uint32_t index, uint64_t *ret)
{
    *ret = s->msr.smbase;
    return s->ev.smm;                          /* SDM 4: readable in SMM only */
}

static bool get_platform_info(X86State *s, const Msr *m, uint32_t index, uint64_t *ret)
{
    *ret = s->model ? (s->model->tsc_hz / 100000000 & 0xff) << 8 : 0;
    return true;
}

/* AMD HWCR: writes of what has no meaning here are accepted; bit 24: TSC counts at P0 frequency. */
static bool get_hwcr(X86State *s, const Msr *m, uint32_t index, uint64_t *ret)
{
    *ret = 1 << 24;
    return true;
}

/* AMD DE_CFG: LFENCE is serializing. */
static bool get_de_cfg(X86State *s, const Msr *m, uint32_t index, uint64_t *ret)
{
    *ret = 2;
    return true;
}

static bool set_nothing(X86State *s, const Msr *m, uint32_t index, uint64_t v) { return true; }

#define AT(f) offsetof(X86State, f)
#define FEAT(f) (X86_FEAT_##f + 1)
#define INTEL (X86_VENDOR_INTEL + 1)
#define AMD (X86_VENDOR_AMD + 1)

static const Msr msrs[] = {
    { 0x10, 0x10, 0, MSR_ALL, set_tsc, get_tsc },
    { 0x11, 0x12, 0, MSR_ALL, set_outside, get_outside, FEAT(KVMCLOCK) },
    { 0x17, 0x17, 0, 0, .vendor = INTEL },                 /* PLATFORM_ID */
    { 0x1b, 0x1b, AT(msr.apic_base), MSR_ALL, set_outside, get_outside },
    { 0x3a, 0x3a, AT(msr.feature_control), MSR_ALL, .vendor = INTEL },
    { 0x3b, 0x3b, AT(tsc_adjust), MSR_ALL, set_tsc_adjust, .feature = FEAT(TSC_ADJUST) },
    { 0x48, 0x48, AT(msr.spec_ctrl), 7, .feature = FEAT(SPEC_CTRL) },
    { 0x49, 0x49, 0, 1, set_nothing, .feature = FEAT(SPEC_CTRL) },
    { 0x79, 0x79, 0, MSR_ALL, set_nothing, .vendor = INTEL },   /* microcode update trigger */
    { 0x8b, 0x8b, 0, MSR_ALL, set_bios_sign, get_bios_sign },
    { 0x9e, 0x9e, 0, 0, NULL, get_smbase },
    { 0xce, 0xce, 0, 0, NULL, get_platform_info, .vendor = INTEL },
    { 0xfe, 0xfe, 0, 0, NULL, get_mtrrcap },
    { 0x140, 0x140, 0, 0, .vendor = INTEL },               /* MISC_FEATURE_ENABLES: nothing to enable */
    { 0x174, 0x174, AT(msr.sysenter_cs), 0xffffffff },
    { 0x175, 0x175, AT(msr.sysenter_esp), MSR_ALL, set_canonical },
    { 0x176, 0x176, AT(msr.sysenter_eip), MSR_ALL, set_canonical },
    { 0x179, 0x179, 0, 0, NULL, get_mcg_cap },
    { 0x17a, 0x17a, AT(msr.mcg_status), 7 },
    { 0x17b, 0x17b, AT(msr.mcg_ctl), MSR_ALL },
    { 0x19a, 0x19b, 0, MSR_ALL, set_nothing, .vendor = INTEL }, /* clock modulation, thermal interrupt */
    { 0x19c, 0x19c, 0, 0, .vendor = INTEL },
    { 0x1a0, 0x1a0, AT(msr.misc_enable), MSR_ALL, .vendor = INTEL },
    { 0x1d9, 0x1d9, AT(msr.debugctl), 3 },
    { 0x1db, 0x1de, 0, 0 },                                /* last branch and exception addresses: not recorded */
    { 0x200, 0x20f, 0, MSR_ALL, set_mtrr_var, get_mtrr_var },
    { 0x250, 0x250, 0, MSR_ALL, set_mtrr_fixed, get_mtrr_fixed },
    { 0x258, 0x259, 0, MSR_ALL, set_mtrr_fixed, get_mtrr_fixed },
    { 0x268, 0x26f, 0, MSR_ALL, set_mtrr_fixed, get_mtrr_fixed },
    { 0x277, 0x277, AT(msr.pat), MSR_ALL, set_pat },
    { 0x2ff, 0x2ff, AT(msr.mtrr.def_type), MSR_ALL, set_mtrr_def },
    { 0x400, 0x427, 0, MSR_ALL, set_nothing },             /* machine check banks: nothing is ever reported */
    { 0x6e0, 0x6e0, AT(tsc_deadline), MSR_ALL, set_outside, get_outside, FEAT(TSC_DEADLINE) },
    { 0x6e1, 0x6e1, AT(msr.pkrs), MSR_ALL, set_pkrs, .feature = FEAT(PKS) },
    { 0x800, 0x8ff, 0, MSR_ALL, set_outside, get_outside, FEAT(X2APIC) },
    { 0xda0, 0xda0, AT(msr.xss), MSR_ALL, set_xss, .feature = FEAT(XSAVES) },
    { 0x4b564d00, 0x4b564d01, 0, MSR_ALL, set_outside, get_outside, FEAT(KVMCLOCK2) },
    { 0x4b564d02, 0x4b564d08, 0, MSR_ALL, set_outside, get_outside },
    { 0xc0000080, 0xc0000080, AT(msr.efer), MSR_ALL, set_efer },
    { 0xc0000081, 0xc0000081, AT(msr.star), MSR_ALL, .feature = FEAT(SYSCALL) },
    { 0xc0000082, 0xc0000082, AT(msr.lstar), MSR_ALL, set_canonical, .feature = FEAT(LM) },
    { 0xc0000083, 0xc0000083, AT(msr.cstar), MSR_ALL, set_canonical, .feature = FEAT(LM) },
    { 0xc0000084, 0xc0000084, AT(msr.sfmask), 0xffffffff, .feature = FEAT(LM) },
    { 0xc0000100, 0xc0000101, 0, MSR_ALL, set_segbase, get_segbase, FEAT(LM) },
    { 0xc0000102, 0xc0000102, AT(msr.kernel_gs_base), MSR_ALL, set_canonical, .feature = FEAT(LM) },
    { 0xc0000103, 0xc0000103, AT(msr.tsc_aux), 0xffffffff, .feature = FEAT(RDTSCP) },
    { 0xc0010010, 0xc0010010, 0, MSR_ALL, set_nothing, .vendor = AMD },               /* SYSCFG */
    { 0xc0010015, 0xc0010015, 0, MSR_ALL, set_nothing, get_hwcr, .vendor = AMD },
    { 0xc001001a, 0xc001001a, 0, MSR_ALL, set_nothing, .vendor = AMD },               /* TOP_MEM */
    { 0xc001001d, 0xc001001d, 0, MSR_ALL, set_nothing, .vendor = AMD },
    { 0xc001001f, 0xc001001f, 0, MSR_ALL, set_nothing, .vendor = AMD },               /* NB_CFG */
    { 0xc0010055, 0xc0010055, 0, MSR_ALL, set_nothing, .vendor = AMD },               /* INT_PENDING_MSG */
    { 0xc0010111, 0xc0010111, 0, 0, NULL, get_smbase, .vendor = AMD },
    { 0xc0010112, 0xc0010113, 0, MSR_ALL, set_nothing, .vendor = AMD },               /* SMM_ADDR, SMM_MASK: SMRAM is the board's */
    { 0xc0010114, 0xc0010114, 0, MSR_ALL, set_nothing, .vendor = AMD },               /* VM_CR */
    { 0xc0011020, 0xc0011023, 0, MSR_ALL, set_nothing, .vendor = AMD },               /* LS_CFG, DC_CFG... */
    { 0xc0011029, 0xc0011029, 0, MSR_ALL, set_nothing, get_de_cfg, .vendor = AMD },
    { 0xc001102a, 0xc001102d, 0, MSR_ALL, set_nothing, .vendor = AMD },
};

static const Msr *find(const X86State *s, uint32_t index)
{
    unsigned lo = 0, hi = sizeof(msrs) / sizeof(msrs[0]);

    while (lo < hi) {                          /* the table is sorted */
        unsigned mid = (lo + hi) / 2;
        const Msr *m = &msrs[mid];
        if (index < m->first) {
            hi = mid;
        } else if (index > m->last) {
            lo = mid + 1;
        } else {
            bool there = !m->feature || x86_model_has(s->model, m->feature - 1);
            bool vendor = !m->vendor || (m->vendor == INTEL) == x86_is_intel(s);
            return there && vendor ? m : NULL;
        }
    }
    return NULL;
}

static X86ExtraMsr *find_extra(X86State *s, uint32_t index)
{
    for (uint32_t i = 0; i < s->n_extra_msr && i < X86_EXTRA_MSRS; i++)
        if (s->extra_msr[i].index == index)
            return &s->extra_msr[i];
    return NULL;
}

static bool unknown(X86State *s, const char *what, uint32_t index)
{
    TcgCpu *cpu = x86_cpu(s);
    const TcgCallbacks *cb = tcg_cpu_callbacks(cpu);
    if (cb->event)
        cb->event(tcg_cpu_opaque(cpu), what, index);
    return false;
}

bool x86_msr_get(X86State *s, uint32_t index, uint64_t *ret)
{
    const Msr *m = find(s, index);
    X86ExtraMsr *extra = m ? NULL : find_extra(s, index);

    if (extra) {
        *ret = extra->value;
        return true;
    }
    if (!m)
        return unknown(s, "rdmsr of an unknown register", index);
    if (m->get)
        return m->get(s, m, index, ret);
    *ret = m->at ? *slot(s, m, index) : 0;
    return true;
}

bool x86_msr_set(X86State *s, uint32_t index, uint64_t v)
{
    const Msr *m = find(s, index);
    X86ExtraMsr *extra = m ? NULL : find_extra(s, index);

    if (extra) {
        extra->value = v;
        return true;
    }
    if (!m)
        return unknown(s, "wrmsr of an unknown register", index);
    if (v & ~m->writable || !m->writable)
        return false;
    if (m->set)
        return m->set(s, m, index, v);
    if (m->at)
        *slot(s, m, index) = v;
    return true;
}

uint64_t x86_h_rdmsr(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;
    uint64_t v;

    x86_need_cpl0(s);
    if (!x86_msr_get(s, (uint32_t)s->gpr[X86_RCX], &v))
        x86_raise_gp0(s);
    s->gpr[X86_RAX] = (uint32_t)v;
    s->gpr[X86_RDX] = v >> 32;
    return 0;
}

uint64_t x86_h_wrmsr(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;

    x86_need_cpl0(s);
    if (!x86_msr_set(s, (uint32_t)s->gpr[X86_RCX], (uint32_t)s->gpr[X86_RAX] | s->gpr[X86_RDX] << 32))
        x86_raise_gp0(s);
    return 0;
}
