/* System registers of the list in cpu/aarch64/sysreg.def. */
#include "cpu/aarch64/sysreg.h"

#include "tcg/guest/aarch64/aarch64.h"

enum { CTL_ENABLE = 1, CTL_IMASK = 2, CTL_ISTATUS = 4, TRAP_DIR_READ = 1 };
/* sysreg's descriptor: number, then Rt, index of the line */
typedef struct Reg { A64State *s; TcgCpu *cpu; uint32_t n, rt; bool bad, trap, read; } Reg;

static uint32_t crm_of(uint32_t n) { return n >> 3 & 15; }
static uint32_t op2_of(uint32_t n) { return n & 7; }
static unsigned least_el(uint32_t n) { return (n >> 11 & 7) == 3 ? A64_EL0 : A64_EL1; }

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

uint64_t a64_machine_id(const A64State *s, unsigned crm, unsigned op2)
{
    unsigned part = s->midr >> 4 & 0xfff;
    bool v8_0 = s->midr >> 24 == 'A' && (part == 0xd03 || part == 0xd08);
    for (unsigned i = 0; i < sizeof(id_of) / sizeof(id_of[0]); i++) {
        const IdOf *d = &id_of[i];
        if (d->crm != crm || d->op2 != op2)
            continue;
        if (v8_0 || !d->keep)
            return (v8_0 ? d->v8_0 : d->max) - (part == 0xd03 && crm == 7 && !op2 ? 2 : 0);
        uint64_t v = a64_id_register(s, crm, op2, false) & d->max;
        if (crm == 4)
            v = (v & ~0xffffull) | 0x11 | PFR0_CSV;
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

static uint64_t read_isr(Reg *r)
{
    uint64_t l = a64_machine_read(r->s, A64_MACHINE_LINES);
    return (l & A64_LINE_IRQ ? A64_PS_I : 0) | (l & A64_LINE_FIQ ? A64_PS_F : 0);
}

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
static uint64_t read_cntfrq(Reg *r) { return el0_allowed(r, r->s->cntkctl & (EL0PCTEN | EL0VCTEN)) ? r->s->cntfrq : 0; }
static void write_cntfrq(Reg *r, uint64_t v)
{
    r->bad |= r->s->el == A64_EL0;
    if (!r->bad)
        r->s->cntfrq = v & 0xffffffff;
}
static uint64_t read_cntpct(Reg *r) { return el0_allowed(r, r->s->cntkctl & EL0PCTEN) ? counter(r->s) : 0; }
static uint64_t read_cntvct(Reg *r) { return el0_allowed(r, r->s->cntkctl & EL0VCTEN) ? counter(r->s) : 0; }

/* CRm 2: CNTP, 3: CNTV; op2 0: TVAL, 1: CTL, 2: CVAL. */
static unsigned timer_of(const Reg *r) { return crm_of(r->n) == 2 ? A64_TIMER_PHYS : A64_TIMER_VIRT; }
static bool timer_allowed(Reg *r) { return el0_allowed(r, r->s->cntkctl & (crm_of(r->n) == 2 ? EL0PTEN : EL0VTEN)); }

static uint64_t read_timer(Reg *r)
{
    const A64Timer *t = &r->s->timer[timer_of(r)];
    if (!timer_allowed(r))
        return 0;
    switch (op2_of(r->n)) {
    case 0: return (uint32_t)(t->cval - counter(r->s));
    case 1: return t->ctl | (t->ctl & CTL_ENABLE && counter(r->s) >= t->cval ? CTL_ISTATUS : 0);
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
    t->cval = op2_of(r->n) ? v : counter(r->s) + (uint64_t)(int64_t)(int32_t)v;
    a64_machine_write(r->s, A64_MACHINE_TIMER + n, t->cval);
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
}

static Reg reg_of(void *state, uint64_t desc, bool read)
{
    A64State *s = state;
    return (Reg){ s, a64_cpu(s), desc & 0xffff, desc >> 16 & 31, false, false, read };
}

/* One program sees of the kernel's what Linux shows it: identification. */
static bool visible(const Reg *r)
{
    return r->s->el >= least_el(r->n) || (tcg_cpu_callbacks(r->cpu)->exception && r->read && r->n >> 7 == A64_SYSREG(3, 0, 0, 0, 0) >> 7);
}

uint64_t a64_h_sysreg_read(void *state, uint64_t desc, uint64_t b, uint64_t c, uint64_t d)
{
    Reg r = reg_of(state, desc, true);
    const RegDesc *g = &regs[desc >> 32];
    const TcgCallbacks *cb = tcg_cpu_callbacks(r.cpu);
    (void)b, (void)c, (void)d;
    r.bad = g->no_read || !visible(&r);
    uint64_t v = g->value;
    if (!r.bad && g->out)
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
    if (!r.bad && g->out) {
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
