/* System registers of the list in cpu/aarch64/sysreg.def. */
#include "cpu/aarch64/sysreg.h"

#include "cpu/aarch64/model.h"
#include "tcg/guest/aarch64/aarch64.h"

enum { CTL_ENABLE = 1, CTL_IMASK = 2, CTL_ISTATUS = 4, TRAP_DIR_READ = 1 };
/* sysreg's descriptor: number, then Rt, index of the line */
typedef struct Reg { A64State *s; TcgCpu *cpu; uint32_t n, rt; bool bad, trap, read; unsigned trap_to; } Reg;   /* trap_to: a level above EL1 */

static uint32_t crm_of(uint32_t n) { return n >> 3 & 15; }
static uint32_t op2_of(uint32_t n) { return n & 7; }
static unsigned op1_of(uint32_t n) { return n >> 11 & 7; }
static unsigned least_el(uint32_t n)
{
    static const uint8_t least[8] = { A64_EL1, A64_EL1, A64_EL1, A64_EL0, A64_EL2, A64_EL2, A64_EL3, A64_EL1 };
    return least[op1_of(n)];
}

uint64_t a64_machine_read(A64State *s, uint32_t reg)
{
    TcgCpu *cpu = a64_cpu(s);
    const TcgCallbacks *cb = tcg_cpu_callbacks(cpu);
    uint64_t v = 0;
    if (cb->sysreg_read)
        cb->sysreg_read(tcg_cpu_opaque(cpu), reg, &v);
    return v;
}

void a64_machine_write(A64State *s, uint32_t reg, uint64_t v)
{
    TcgCpu *cpu = a64_cpu(s);
    const TcgCallbacks *cb = tcg_cpu_callbacks(cpu);
    if (cb->sysreg_write)
        cb->sysreg_write(tcg_cpu_opaque(cpu), reg, v);
}

/* EL0 may, or the kernel allowed it: else the access is the kernel's (ARM D17.2.118, D17.12). */
static bool el0_allowed(Reg *r, bool allowed)
{
    r->trap |= r->s->el == A64_EL0 && !allowed && !tcg_cpu_callbacks(r->cpu)->exception;
    return !r->trap;
}

/* ---- identification ---- */
enum { PFR0_GIC_SHIFT = 24 };

/* What the machine is beside what programs may use of it; Cortex-A53 and A72 are v8.0 with CRC32, AES, SHA1, SHA2. */
typedef struct IdOf { uint8_t crm, op2; uint64_t v8_0, max; bool keep; } IdOf;      /* keep: of max, or what a64_id_register says in these bits */
static const IdOf id_of[] = {
    { 4, 0, 0x0000000000000011, 0x0000000000ff0011, true },    /* PFR0: EL0, EL1 in AArch64; max: CSV2, CSV3 */
    { 5, 0, 0x0000000010305006, 0x0000000010305006, false },   /* DFR0: debug v8, breakpoints 6, watchpoints 4, context-aware 2 */
    { 6, 0, 0x0000000000011120, ~0ull, true },                 /* ISAR0 */
    { 6, 1, 0, ~0ull, true },                                  /* ISAR1 */
    { 6, 2, 0, ~0ull, true },                                  /* ISAR2 */
    { 7, 0, 0x0000000000101024, 0x0000000000101025, false },   /* MMFR0: 44 (A53: 40) or 48 bits, ASIDs of 16, granules of 4, 16, 64 KiB */
    { 7, 1, 0, 0x0000000000100000, false },                    /* MMFR1: PAN */
    { 7, 2, 0, 0x1000000000000000, false },                    /* MMFR2: E0PD, for which Linux leaves its page tables where they are */
};
/* ID_AA64PFR0: nothing is speculated on (CSV2, CSV3); ID_AA64ISAR1: pointer authentication by QARMA5 (GPA, APA), by another algorithm (GPI, API) */
static const uint64_t PFR0_CSV = 0x11ull << 56, ISAR1_QARMA5 = 0x1000010, ISAR1_IMPDEF = 0x10000100;

/* ID_AA64PFR0's EL2 and EL3: AArch64 only. */
static uint64_t levels(const A64State *s) { return (s->has_el2 ? 1u << 8 : 0) | (s->has_el3 ? 1u << 12 : 0); }

uint64_t a64_machine_id(const A64State *s, unsigned crm, unsigned op2)
{
    unsigned part = s->midr >> 4 & 0xfff;
    bool v8_0 = a64_midr_v8_0(s->midr);
    for (unsigned i = 0; i < sizeof(id_of) / sizeof(id_of[0]); i++) {
        const IdOf *d = &id_of[i];
        if (d->crm != crm || d->op2 != op2)
            continue;
        if (v8_0 || !d->keep)
            return ((v8_0 ? d->v8_0 : d->max) - (part == 0xd03 && crm == 7 && !op2 ? 2 : 0)) | (crm == 4 && !op2 ? levels(s) : 0);
        uint64_t v = a64_id_register(s, crm, op2, false) & d->max;
        if (crm == 4)
            v = (v & ~0xffffull) | 0x11 | PFR0_CSV | levels(s);
        if (crm == 6 && op2 == 1 && s->pauth)
            v = (v & ~ISAR1_QARMA5) | (s->pauth == A64_PAUTH_IMPDEF ? ISAR1_IMPDEF : 0);
        return v;
    }
    return 0;
}

static uint64_t read_id(Reg *r)
{
    uint64_t v = r->s->el == A64_EL0 ? a64_id_register(r->s, crm_of(r->n), op2_of(r->n), true) : a64_machine_id(r->s, crm_of(r->n), op2_of(r->n)), gic;
    const TcgCallbacks *cb = tcg_cpu_callbacks(r->cpu);
    if (crm_of(r->n) == 4 && !op2_of(r->n) && cb->sysreg_read && cb->sysreg_read(tcg_cpu_opaque(r->cpu), A64_ICC_SRE, &gic))
        v |= 1ull << PFR0_GIC_SHIFT;
    return v;
}

/* Caches as a Cortex-A72 has them: 32 KiB data, 48 KiB code, 1 MiB. */
static uint64_t read_ccsidr(Reg *r) { return r->s->csselr == 0 ? 0x701fe00a : r->s->csselr == 1 ? 0x201fe012 : r->s->csselr == 2 ? 0x707fe07a : 0; }
static uint64_t read_ctr(Reg *r) { return el0_allowed(r, r->s->sctlr[A64_EL1] & A64_SCTLR_UCT) ? A64_CTR : 0; }

/* ---- PSTATE ---- */
static uint64_t read_sp_el0(Reg *r) { r->bad |= !r->s->spsel; return r->s->sp_el[A64_EL0]; }
static void write_sp_el0(Reg *r, uint64_t v)
{
    r->bad |= !r->s->spsel;
    if (!r->bad)
        r->s->sp_el[A64_EL0] = v;
}
static uint64_t read_spsel(Reg *r) { return r->s->spsel; }
static void write_spsel(Reg *r, uint64_t v)
{
    a64_sp_save(r->s);
    r->s->spsel = v & 1;
    a64_sp_load(r->s);
    tcg_mode_changed(r->cpu);
}
static uint64_t read_currentel(Reg *r) { return (uint64_t)r->s->el << 2; }
static uint64_t read_pan(Reg *r) { return r->s->pan ? A64_PS_PAN : 0; }
static void write_pan(Reg *r, uint64_t v)
{
    r->s->pan = v & A64_PS_PAN ? 1 : 0;
    tcg_mode_changed(r->cpu);
}

static bool daif_allowed(Reg *r) { return el0_allowed(r, r->s->sctlr[A64_EL1] & A64_SCTLR_UMA); }
static uint64_t read_daif(Reg *r) { return daif_allowed(r) ? r->s->daif : 0; }
static void write_daif(Reg *r, uint64_t v)
{
    if (!daif_allowed(r))
        return;
    r->s->daif = (uint16_t)(v & A64_PS_DAIF);
    a64_recheck(r->s);
}

static uint64_t read_isr(Reg *r) { return a64_interrupt_status(r->s); }

/* ---- translation ---- */
static void write_sctlr(Reg *r, uint64_t v)
{
    uint64_t old = r->s->sctlr[A64_EL1];
    r->s->sctlr[A64_EL1] = v;
    if ((old ^ v) & (A64_SCTLR_M | A64_SCTLR_WXN))
        a64_space_sync(r->s, true);
    tcg_mode_changed(r->cpu);
}
static void write_cpacr(Reg *r, uint64_t v)
{
    r->s->cpacr = v & (3ull << 20);
    tcg_mode_changed(r->cpu);
}
static void write_ttbr0(Reg *r, uint64_t v)
{
    if (v == r->s->ttbr0[A64_EL1])
        return;
    r->s->ttbr0[A64_EL1] = v;
    a64_space_sync(r->s, false);
}
static void write_ttbr1(Reg *r, uint64_t v)
{
    if (v == r->s->ttbr1[A64_EL1])
        return;
    r->s->ttbr1[A64_EL1] = v;
    a64_space_sync(r->s, false);
}
static void write_tcr(Reg *r, uint64_t v)
{
    if (!a64_machine_id(r->s, 7, 2))
        v &= ~A64_TCR_E0PD;
    if (v == r->s->tcr[A64_EL1])
        return;
    r->s->tcr[A64_EL1] = v;
    a64_space_sync(r->s, true);
}
static void write_tpidrro(Reg *r, uint64_t v)
{
    r->bad |= r->s->el == A64_EL0;
    if (!r->bad)
        r->s->tpidrro_el0 = v;
}

/* ---- generic timer (ARM D11.2) ---- */
enum { EL0PCTEN = 1, EL0VCTEN = 2, EL0VTEN = 1 << 8, EL0PTEN = 1 << 9 };
static uint64_t counter(A64State *s) { return a64_machine_read(s, A64_MACHINE_COUNTER); }
static uint64_t virtual_counter(A64State *s) { return counter(s) - s->cntvoff; }
static uint64_t read_cntfrq(Reg *r) { return el0_allowed(r, r->s->cntkctl & (EL0PCTEN | EL0VCTEN)) ? r->s->cntfrq : 0; }
static void write_cntfrq(Reg *r, uint64_t v)
{
    r->bad |= r->s->el == A64_EL0;
    if (!r->bad)
        r->s->cntfrq = v & 0xffffffff;
}
static uint64_t read_cntpct(Reg *r) { return el0_allowed(r, r->s->cntkctl & EL0PCTEN) ? counter(r->s) : 0; }
static uint64_t read_cntvct(Reg *r) { return el0_allowed(r, r->s->cntkctl & EL0VCTEN) ? virtual_counter(r->s) : 0; }
static void write_cntvoff(Reg *r, uint64_t v)
{
    r->s->cntvoff = v;
    a64_machine_write(r->s, A64_MACHINE_VOFF, v);
}

/* op1 4: CNTHP, 7: CNTPS; CRm 2: CNTP, 3: CNTV; op2 0: TVAL, 1: CTL, 2: CVAL. */
static unsigned timer_of(const Reg *r)
{
    unsigned op1 = op1_of(r->n);
    return op1 == 4 ? A64_TIMER_HYP : op1 == 7 ? A64_TIMER_SEC : crm_of(r->n) == 2 ? A64_TIMER_PHYS : A64_TIMER_VIRT;
}
static bool timer_allowed(Reg *r) { return el0_allowed(r, r->s->cntkctl & (crm_of(r->n) == 2 ? EL0PTEN : EL0VTEN)); }
static uint64_t timer_counter(Reg *r) { return timer_of(r) == A64_TIMER_VIRT ? virtual_counter(r->s) : counter(r->s); }

static uint64_t read_timer(Reg *r)
{
    const A64Timer *t = &r->s->timer[timer_of(r)];
    if (!timer_allowed(r))
        return 0;
    switch (op2_of(r->n)) {
    case 0: return (uint32_t)(t->cval - timer_counter(r));
    case 1: return t->ctl | (t->ctl & CTL_ENABLE && timer_counter(r) >= t->cval ? CTL_ISTATUS : 0);
    default: return t->cval;
    }
}

static void write_timer(Reg *r, uint64_t v)
{
    unsigned n = timer_of(r);
    A64Timer *t = &r->s->timer[n];
    if (!timer_allowed(r))
        return;
    if (op2_of(r->n) == 1) {
        t->ctl = v & (CTL_ENABLE | CTL_IMASK);
        a64_machine_write(r->s, A64_MACHINE_TIMER + 8 + n, t->ctl);
        return;
    }
    t->cval = op2_of(r->n) ? v : timer_counter(r) + (uint64_t)(int64_t)(int32_t)v;
    a64_machine_write(r->s, A64_MACHINE_TIMER + n, t->cval);
}

/* ---- EL2 and EL3 ---- */
/* What EL2 wants EL1 to see of the CPU. */
static uint64_t read_midr(Reg *r) { return r->s->el == A64_EL1 && a64_el2_rules(r->s) ? r->s->vpidr : r->s->midr; }
static uint64_t read_mpidr(Reg *r) { return r->s->el == A64_EL1 && a64_el2_rules(r->s) ? r->s->vmpidr | 1ull << 31 : r->s->mpidr; }

/* Of what firmware of such a machine writes at reset there is nothing; without a monitor above nobody asks. */
static uint64_t read_pmcr(Reg *r) { r->bad |= r->s->el == A64_EL0 || !r->s->has_el3; return r->s->pmcr; }
static void write_pmcr(Reg *r, uint64_t v)
{
    r->bad |= r->s->el == A64_EL0 || !r->s->has_el3;
    if (!r->bad)
        r->s->pmcr = v & 0xf9;
}
static void own(Reg *r) { r->bad |= a64_highest_el(r->s) == A64_EL1 || r->s->midr >> 24 != 'A'; }
static uint64_t read_own(Reg *r) { return own(r), 0; }
static void write_own(Reg *r, uint64_t v) { own(r), (void)v; }

static unsigned level_of(const Reg *r) { return op1_of(r->n) == 6 ? A64_EL3 : A64_EL2; }
static void write_sctlr_high(Reg *r, uint64_t v)
{
    uint64_t *p = &r->s->sctlr[level_of(r)], old = *p;
    *p = v;
    if ((old ^ v) & (A64_SCTLR_M | A64_SCTLR_WXN))
        a64_space_sync(r->s, true);
    tcg_mode_changed(r->cpu);
}
/* These change when a level's software begins; a flush of everything is what each needs at most. */
static void change(Reg *r, uint64_t *p, uint64_t v)
{
    bool changed = *p != v;
    *p = v;
    if (changed)
        a64_space_sync(r->s, true);
}
static void write_ttbr0_high(Reg *r, uint64_t v) { change(r, &r->s->ttbr0[level_of(r)], v); }
static void write_tcr_high(Reg *r, uint64_t v) { change(r, &r->s->tcr[level_of(r)], v); }
static void write_vtcr(Reg *r, uint64_t v) { change(r, &r->s->vtcr, v & 0xffffffff); }
static void write_hcr(Reg *r, uint64_t v)
{
    v &= A64_HCR_V8_0 | (r->s->pauth == A64_PAUTH_NONE ? 0 : A64_HCR_APK | A64_HCR_API);
    r->s->hcr = v | A64_HCR_RW;                /* what of it translation depends on is looked at on the way to EL1 */
    tcg_mode_changed(r->cpu);
}
static void write_scr(Reg *r, uint64_t v)
{
    r->s->scr = (v & (A64_SCR_BITS | (r->s->pauth == A64_PAUTH_NONE ? 0 : A64_SCR_APK | A64_SCR_API))) | A64_SCR_RW | 0x30;
    tcg_mode_changed(r->cpu);
}
static void write_mdcr_el2(Reg *r, uint64_t v)
{
    r->s->mdcr[A64_EL2] = v & 0xfff;
    tcg_mode_changed(r->cpu);
}
static void write_cptr_el2(Reg *r, uint64_t v)
{
    r->s->cptr[A64_EL2] = (v & 0x80100400) | 0x33ff;
    tcg_mode_changed(r->cpu);
}
static void write_cptr_el3(Reg *r, uint64_t v)
{
    r->s->cptr[A64_EL3] = v & 0x80100400;
    tcg_mode_changed(r->cpu);
}

/* ---- traps to EL2 and EL3: registers from @first to @last, in order of their numbers; of EL1 and EL0 for EL2, EL2 too for EL3 ---- */
enum { T_READ = 1, T_WRITE = 2, T_BOTH = 3, T_CLEAR = 4 };     /* CLEAR: the bit is one that allows */
typedef struct Trap { uint16_t first, last; uint8_t how, to, bit; uint32_t field; } Trap;
#define R(op0, op1, crn, crm, op2) (uint16_t)A64_SYSREG(op0, op1, crn, crm, op2)
#define BY(f, bit) bit, offsetof(A64State, f)
static const Trap traps[] = {
    /* TVM, TRVM: what is for virtual memory */
    { R(3, 0, 1, 0, 0),  R(3, 0, 1, 0, 0),  T_WRITE, A64_EL2, BY(hcr, 26) },  { R(3, 0, 1, 0, 0),  R(3, 0, 1, 0, 0),  T_READ, A64_EL2, BY(hcr, 30) },
    { R(3, 0, 2, 0, 0),  R(3, 0, 2, 0, 2),  T_WRITE, A64_EL2, BY(hcr, 26) },  { R(3, 0, 2, 0, 0),  R(3, 0, 2, 0, 2),  T_READ, A64_EL2, BY(hcr, 30) },
    { R(3, 0, 5, 1, 0),  R(3, 0, 5, 2, 0),  T_WRITE, A64_EL2, BY(hcr, 26) },  { R(3, 0, 5, 1, 0),  R(3, 0, 5, 2, 0),  T_READ, A64_EL2, BY(hcr, 30) },
    { R(3, 0, 6, 0, 0),  R(3, 0, 6, 0, 0),  T_WRITE, A64_EL2, BY(hcr, 26) },  { R(3, 0, 6, 0, 0),  R(3, 0, 6, 0, 0),  T_READ, A64_EL2, BY(hcr, 30) },
    { R(3, 0, 10, 2, 0), R(3, 0, 10, 3, 0), T_WRITE, A64_EL2, BY(hcr, 26) },  { R(3, 0, 10, 2, 0), R(3, 0, 10, 3, 0), T_READ, A64_EL2, BY(hcr, 30) },
    { R(3, 0, 13, 0, 1), R(3, 0, 13, 0, 1), T_WRITE, A64_EL2, BY(hcr, 26) },  { R(3, 0, 13, 0, 1), R(3, 0, 13, 0, 1), T_READ, A64_EL2, BY(hcr, 30) },
    /* TID1, TID2, TID3, TACR, TIDCP, APK */
    { R(3, 0, 0, 0, 6),  R(3, 0, 0, 0, 6),  T_READ, A64_EL2, BY(hcr, 16) },   { R(3, 1, 0, 0, 7),  R(3, 1, 0, 0, 7),  T_READ, A64_EL2, BY(hcr, 16) },
    { R(3, 1, 0, 0, 0),  R(3, 1, 0, 0, 1),  T_READ, A64_EL2, BY(hcr, 17) },   { R(3, 2, 0, 0, 0),  R(3, 2, 0, 0, 0),  T_BOTH, A64_EL2, BY(hcr, 17) },
    { R(3, 3, 0, 0, 1),  R(3, 3, 0, 0, 1),  T_READ, A64_EL2, BY(hcr, 17) },   { R(3, 0, 0, 1, 0),  R(3, 0, 0, 7, 7),  T_READ, A64_EL2, BY(hcr, 18) },
    { R(3, 0, 1, 0, 1),  R(3, 0, 1, 0, 1),  T_BOTH, A64_EL2, BY(hcr, 21) },   { R(3, 1, 11, 0, 0), R(3, 1, 11, 15, 7), T_BOTH, A64_EL2, BY(hcr, 20) },
    { R(3, 1, 15, 0, 0), R(3, 1, 15, 15, 7), T_BOTH, A64_EL2, BY(hcr, 20) },  { R(3, 0, 2, 1, 0),  R(3, 0, 2, 3, 1),  T_BOTH | T_CLEAR, A64_EL2, BY(hcr, 40) },
    /* physical timer and counter, CPACR, debug */
    { R(3, 3, 14, 0, 1), R(3, 3, 14, 0, 1), T_READ | T_CLEAR, A64_EL2, BY(cnthctl, 0) }, { R(3, 3, 14, 2, 0), R(3, 3, 14, 2, 2), T_BOTH | T_CLEAR, A64_EL2, BY(cnthctl, 1) },
    { R(3, 0, 1, 0, 2),  R(3, 0, 1, 0, 2),  T_BOTH, A64_EL2, BY(cptr[2], 31) },
    { R(2, 0, 0, 0, 0),  R(2, 0, 0, 15, 7), T_BOTH, A64_EL2, BY(mdcr[2], 9) }, { R(2, 0, 1, 0, 0), R(2, 0, 1, 0, 0), T_BOTH, A64_EL2, BY(mdcr[2], 11) },
    { R(2, 0, 1, 0, 4),  R(2, 0, 1, 4, 4),  T_BOTH, A64_EL2, BY(mdcr[2], 10) }, { R(2, 0, 7, 0, 0), R(2, 0, 7, 15, 7), T_BOTH, A64_EL2, BY(mdcr[2], 9) },
    /* EL3's */
    { R(3, 0, 1, 0, 2),  R(3, 0, 1, 0, 2),  T_BOTH, A64_EL3, BY(cptr[3], 31) }, { R(3, 4, 1, 1, 2), R(3, 4, 1, 1, 2), T_BOTH, A64_EL3, BY(cptr[3], 31) },
    { R(2, 0, 0, 0, 0),  R(2, 0, 0, 15, 7), T_BOTH, A64_EL3, BY(mdcr[3], 9) },  { R(2, 0, 1, 0, 4), R(2, 0, 1, 4, 4), T_BOTH, A64_EL3, BY(mdcr[3], 10) },
    { R(3, 0, 2, 1, 0),  R(3, 0, 2, 3, 1),  T_BOTH | T_CLEAR, A64_EL3, BY(scr, 16) }, { R(3, 7, 14, 2, 0), R(3, 7, 14, 2, 2), T_BOTH | T_CLEAR, A64_EL3, BY(scr, 11) },
};
#undef R
#undef BY

static unsigned trapped(const Reg *r)
{
    const A64State *s = r->s;
    if (a64_highest_el(s) == A64_EL1)
        return 0;
    for (unsigned i = 0; i < sizeof(traps) / sizeof(traps[0]); i++) {
        const Trap *t = &traps[i];
        if (r->n < t->first || r->n > t->last || !(t->how & (r->read ? T_READ : T_WRITE)))
            continue;
        bool mine = t->to == A64_EL2 ? s->el <= A64_EL1 && a64_el2_rules(s) : s->el <= A64_EL2 && s->has_el3;
        bool set = *(const uint64_t *)((const uint8_t *)s + t->field) >> t->bit & 1;
        if (mine && set != !!(t->how & T_CLEAR))
            return t->to;
    }
    return 0;
}

/* ---- debug ---- */
static void write_mdscr(Reg *r, uint64_t v)
{
    r->s->mdscr = v & 0xffffffff;
    tcg_mode_changed(r->cpu);
}
static uint64_t *dbgpoint(Reg *r)
{
    A64State *s = r->s;
    uint64_t *const sets[] = { s->dbgbvr, s->dbgbcr, s->dbgwvr, s->dbgwcr };
    return &sets[op2_of(r->n) & 3][crm_of(r->n)];
}
static uint64_t read_dbgpoint(Reg *r) { return *dbgpoint(r); }
static void write_dbgpoint(Reg *r, uint64_t v)
{
    /* BVR: an address or a context; BCR; WVR; WCR. AArch64 has no halves of instructions: BAS is two copies of two bits */
    static const uint64_t writable[4] = { ~0ull, 0xffe1e7, ~3ull, 0x1fffffff };
    unsigned which = op2_of(r->n) & 3;
    v &= writable[which];
    if (which == 1)
        v = (v & ~0x1e0ull) | (v & 0x20 ? 0x60 : 0) | (v & 0x80 ? 0x180 : 0);
    *dbgpoint(r) = v;
    a64_debug_sync(r->s);
    tcg_mode_changed(r->cpu);
}
static void write_oslar(Reg *r, uint64_t v)
{
    r->s->oslsr = (r->s->oslsr & ~2ull) | (v & 1) << 1;
    tcg_mode_changed(r->cpu);
}
static void write_osdlr(Reg *r, uint64_t v)
{
    r->s->osdlr = v & 1;
    tcg_mode_changed(r->cpu);
}
static void write_claimset(Reg *r, uint64_t v) { r->s->dbgclaim |= v & 0xff; }
static void write_claimclr(Reg *r, uint64_t v) { r->s->dbgclaim &= ~(v & 0xff); }

/* ---- the table ---- */
typedef struct RegDesc {
    uint64_t (*read)(Reg *r);
    void (*write)(Reg *r, uint64_t v);
    uint32_t field, wfield;    /* offsets + 1, 0 = none */
    uint64_t value, mask;      /* constant; writable bits */
    bool no_read, no_write, out;
} RegDesc;

#define READ_FIELD(f) .field = offsetof(A64State, f) + 1
#define READ_CONST(v) .value = (v)
#define READ_FN(name) .read = read_##name
#define READ_OUT .out = true
#define READ_NONE .no_read = true
#define WRITE_FIELD(f, bits) .wfield = offsetof(A64State, f) + 1, .mask = (bits)
#define WRITE_FN(name) .write = write_##name
#define WRITE_IGNORE .mask = 0
#define WRITE_OUT .out = true
#define WRITE_NONE .no_write = true
static const RegDesc regs[] = {
#define A64_REG(op0, op1, crn, crm, op2, name, r, w) { READ_##r, WRITE_##w },
#define A64_REGS(op0, op1, crn, crm1, crm2, op2a, op2b, name, r, w) { READ_##r, WRITE_##w },
#include "cpu/aarch64/sysreg.def"
#undef A64_REG
#undef A64_REGS
};

typedef struct RegPlace { uint16_t base; uint8_t crm2, op2b; } RegPlace;
static const RegPlace places[] = {
#define A64_REG(op0, op1, crn, crm, op2, name, r, w) { (uint16_t)A64_SYSREG(op0, op1, crn, crm, op2), crm, op2 },
#define A64_REGS(op0, op1, crn, crm1, crm2, op2a, op2b, name, r, w) { (uint16_t)A64_SYSREG(op0, op1, crn, crm1, op2a), crm2, op2b },
#include "cpu/aarch64/sysreg.def"
#undef A64_REG
#undef A64_REGS
};

int a64_sysreg_find(uint32_t n)
{
    for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        const RegPlace *p = &places[i];
        if ((p->base ^ n) >> 7 || crm_of(n) < crm_of(p->base) || crm_of(n) > p->crm2 || op2_of(n) < op2_of(p->base) || op2_of(n) > p->op2b)
            continue;
        return (int)i;
    }
    return -1;
}

/* Instruction syndrome of a trapped MRS or MSR (ARM D17.2.37). */
static uint32_t syndrome(const Reg *r)
{
    uint32_t n = r->n;
    return (n >> 14 & 3) << 20 | (n & 7) << 17 | (n >> 11 & 7) << 14 | (n >> 7 & 15) << 10 | r->rt << 5 | crm_of(n) << 1 | (r->read ? TRAP_DIR_READ : 0);
}

static void settle(const Reg *r)
{
    if (r->bad)
        a64_raise(r->s, A64_EC_UNKNOWN, 0, 0);
    if (r->trap)
        a64_raise(r->s, A64_EC_SYSREG, syndrome(r), 0);
    if (r->trap_to)
        a64_raise_to(r->s, r->trap_to, A64_EC_SYSREG, syndrome(r), 0);
}

static Reg reg_of(void *state, uint64_t desc, bool read)
{
    A64State *s = state;
    return (Reg){ s, a64_cpu(s), desc & 0xffff, desc >> 16 & 31, false, false, read, 0 };
}

/* One program sees of the kernel's what Linux shows it: identification. */
static bool visible(const Reg *r)
{
    if (op1_of(r->n) == 7 && !(r->s->el == A64_EL3 || (r->s->el == A64_EL1 && a64_secure(r->s))))
        return false;
    return r->s->el >= least_el(r->n) || (tcg_cpu_callbacks(r->cpu)->exception && r->read && r->n >> 7 == A64_SYSREG(3, 0, 0, 0, 0) >> 7);
}

/* EL2's, and there is none: EL3 finds nothing there. But for EL1's stack pointer and AArch32's banked registers. */
static bool absent(const Reg *r) { return op1_of(r->n) == 4 && r->s->el == A64_EL3 && !r->s->has_el2 && (r->n >> 7 & 15) != 4; }

uint64_t a64_h_sysreg_read(void *state, uint64_t desc, uint64_t b, uint64_t c, uint64_t d)
{
    Reg r = reg_of(state, desc, true);
    const RegDesc *g = &regs[desc >> 32];
    const TcgCallbacks *cb = tcg_cpu_callbacks(r.cpu);
    (void)b, (void)c, (void)d;
    r.bad = g->no_read || !visible(&r);
    r.trap_to = r.bad ? 0 : trapped(&r);
    uint64_t v = g->value;
    if (r.trap_to || absent(&r))
        v = 0;
    else if (!r.bad && g->out)
        r.bad = !cb->sysreg_read || !cb->sysreg_read(tcg_cpu_opaque(r.cpu), r.n, &v);
    else if (!r.bad && g->read)
        v = g->read(&r);
    else if (g->field)
        v = *(const uint64_t *)((const uint8_t *)r.s + g->field - 1);
    settle(&r);
    return v;
}

uint64_t a64_h_sysreg_write(void *state, uint64_t desc, uint64_t v, uint64_t c, uint64_t d)
{
    Reg r = reg_of(state, desc, false);
    const RegDesc *g = &regs[desc >> 32];
    const TcgCallbacks *cb = tcg_cpu_callbacks(r.cpu);
    (void)c, (void)d;
    r.bad = g->no_write || !visible(&r);
    r.trap_to = r.bad ? 0 : trapped(&r);
    if (r.trap_to || absent(&r)) {
        v = 0;                 /* nothing is written */
    } else if (!r.bad && g->out) {
        r.bad = !cb->sysreg_write || !cb->sysreg_write(tcg_cpu_opaque(r.cpu), r.n, v);
    } else if (!r.bad && g->write) {
        g->write(&r, v);
    } else if (!r.bad && g->wfield) {
        uint64_t *f = (uint64_t *)((uint8_t *)r.s + g->wfield - 1);
        *f = (*f & ~g->mask) | (v & g->mask);
    }
    settle(&r);
    return 0;
}

/* MSR (immediate): fields of PSTATE (ARM C5.1.3). @a: op1 << 3 | op2, @b: the immediate. */
uint64_t a64_h_msr_imm(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    A64State *s = state;
    Reg r = reg_of(state, 0, false);
    (void)c, (void)d;
    uint16_t bits = (uint16_t)(b << 6 & A64_PS_DAIF);
    r.bad = s->el == A64_EL0 && a >> 3 != 3;
    if (!r.bad && a >> 3 == 3) {
        r.n = A64_SYSREG(0, 3, 4, (uint32_t)b, (uint32_t)a & 7);
        r.rt = 31;
        if (daif_allowed(&r)) {
            s->daif = (a & 7) == 6 ? s->daif | bits : s->daif & (uint16_t)~bits;
            a64_recheck(s);
        }
    } else if (!r.bad && (a & 7) == 5) {
        write_spsel(&r, b);
    } else if (!r.bad) {
        write_pan(&r, b & 1 ? A64_PS_PAN : 0);
    }
    settle(&r);
    return 0;
}
