/* Exceptions, which level they are taken to, returns from them (ARM D1.3, D1.4). */
#include "tcg/guest/aarch64/aarch64.h"

#include "cpu/aarch64/sysreg.h"

enum { VECTOR_SYNC = 0, VECTOR_IRQ = 0x80, VECTOR_FIQ = 0x100, VECTOR_SERROR = 0x180, VECTOR_LOWER = 0x400, INSN = 4 };

static void log_entry(A64State *s, const char *what, uint64_t esr, uint64_t far)
{
    Log *log = tcg_cpu_log(a64_cpu(s));
    if (log_on(log, LOG_INT))
        log_item(log, LOG_INT, "exception: cpu %llu %s esr %#llx far %#llx EL%u at %#llx", (unsigned long long)(s->mpidr & 0xff), what, (unsigned long long)esr,
                 (unsigned long long)far, s->el, (unsigned long long)s->pc);
}

/* PSTATE and pc as an exception to EL @to, which is not below the current one, leaves them; state->pc is where it returns to. */
static void enter(A64State *s, unsigned vector, unsigned to)
{
    unsigned from = s->el < to ? VECTOR_LOWER : s->spsel ? 0x200 : 0;
    bool pan = s->pan || (to == A64_EL1 && !(s->sctlr[A64_EL1] & A64_SCTLR_SPAN)), elsewhere = to >= A64_EL2 && s->el != to;
    s->spsr[to] = a64_pstate(s);
    s->elr[to] = s->pc;
    s->excl_addr = ~0ull;
    a64_set_pstate(s, (a64_pstate(s) & 0xf0000000) | A64_PS_DAIF | to << 2 | A64_PS_SP | (pan ? A64_PS_PAN : 0));
    s->step_begun = 0;
    s->pc = s->vbar[to] + from + vector;
    if (elsewhere)
        a64_space_sync(s, false);
    tcg_mode_changed(a64_cpu(s));
}

/* FAR is written by those that have an address (ARM D17.2.41). */
static bool has_far(unsigned ec)
{
    return ec == A64_EC_IABT || ec == A64_EC_IABT_LOWER || ec == A64_EC_DABT || ec == A64_EC_DABT_LOWER || ec == A64_EC_PC_ALIGN || ec == A64_EC_WATCH ||
           ec == A64_EC_WATCH_LOWER;
}

/* Classes that say by a bit whether it came from a lower level. */
static bool has_level(unsigned ec)
{
    return ec == A64_EC_IABT || ec == A64_EC_DABT || ec == A64_EC_BKPT || ec == A64_EC_STEP || ec == A64_EC_WATCH;
}

static void take_sync(A64State *s, unsigned to, unsigned ec, uint32_t iss, uint64_t far)
{
    ec -= has_level(ec) && s->el < to;
    uint64_t esr = (uint64_t)ec << 26 | 1u << 25 | iss;
    log_entry(s, "sync", esr, far);
    s->esr[to] = esr;
    if (has_far(ec))
        s->far[to] = far;
    enter(s, VECTOR_SYNC, to);
}

/* ---- which level (ARM D1.3.6) ---- */

/* What no register sends elsewhere: EL1, or the level it happens in; TGE: EL2 has EL0 for itself. */
static unsigned usual_target(const A64State *s)
{
    return s->el >= A64_EL2 ? s->el : s->el == A64_EL0 && a64_el2_rules(s) && s->hcr & A64_HCR_TGE ? A64_EL2 : A64_EL1;
}

static bool is_debug(unsigned ec) { return (ec >= A64_EC_BKPT_LOWER && ec <= A64_EC_WATCH) || ec == A64_EC_BRK; }

/* FP and AdvSIMD: by CPACR_EL1, then CPTR_EL2, then CPTR_EL3. */
static unsigned fp_target(const A64State *s, unsigned *ec, uint32_t *iss)
{
    unsigned fpen = s->cpacr >> 20 & 3, usual = usual_target(s);
    if (s->el <= A64_EL1 && fpen != 3 && !(fpen == 1 && s->el == A64_EL1)) {
        *ec = usual == A64_EL2 ? A64_EC_UNKNOWN : *ec;
        *iss = usual == A64_EL2 ? 0 : *iss;
        return usual;
    }
    bool second = s->cptr[A64_EL2] & A64_CPTR_TFP && (s->el == A64_EL2 || (s->el < A64_EL2 && a64_el2_rules(s)));
    return second ? A64_EL2 : s->has_el3 ? A64_EL3 : usual;
}

static unsigned target_of(const A64State *s, unsigned *ec, uint32_t *iss)
{
    if (*ec == A64_EC_FP)
        return fp_target(s, ec, iss);
    return is_debug(*ec) && a64_debug_target(s) > s->el ? a64_debug_target(s) : usual_target(s);
}

void a64_take(A64State *s, unsigned ec, uint32_t iss)
{
    unsigned to = target_of(s, &ec, &iss);
    take_sync(s, to, ec, iss, 0);
}

void a64_raise(A64State *s, unsigned ec, uint32_t iss, uint64_t far)
{
    TcgCpu *cpu = a64_cpu(s);
    const TcgCallbacks *cb = tcg_cpu_callbacks(cpu);
    tcg_sync_pc(cpu);
    s->excl_addr = ~0ull;
    if (cb->exception)         /* one process: its system decides */
        cb->exception(tcg_cpu_opaque(cpu), ec, iss, far);
    unsigned to = target_of(s, &ec, &iss);
    take_sync(s, to, ec, iss, far);
    tcg_leave(cpu);
}

void a64_raise_to(A64State *s, unsigned to, unsigned ec, uint32_t iss, uint64_t far)
{
    tcg_sync_pc(a64_cpu(s));
    take_sync(s, to, ec, iss, far);
    tcg_leave(a64_cpu(s));
}

void a64_align_fault(TcgCpu *cpu, uint64_t va, TcgAccess access)
{
    A64State *s = tcg_cpu_state(cpu);
    a64_raise(s, s->el ? A64_EC_DABT : A64_EC_DABT_LOWER, A64_FSC_ALIGNMENT | (access == TCG_WRITE ? A64_ISS_WNR : 0), va);
}

uint64_t a64_h_raise(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    (void)d;
    a64_raise(state, (unsigned)a, (uint32_t)b, c);
}

TCG_CALL_PATH uint64_t a64_h_svc(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    A64State *s = state;
    TcgCpu *cpu = a64_cpu(s);
    const TcgCallbacks *cb = tcg_cpu_callbacks(cpu);
    (void)b, (void)c, (void)d;
    tcg_sync_pc(cpu);
    s->pc += INSN;
    if (!cb->syscall) {
        s->ss = 0;             /* it counts as executed */
        take_sync(s, usual_target(s), A64_EC_SVC, (uint32_t)a, 0);
        return s->pc;
    }
    s->excl_addr = ~0ull;
    tcg_outside_begin(cpu);
    cb->syscall(tcg_cpu_opaque(cpu), 0);
    tcg_outside_end(cpu);
    tcg_mode_settle(cpu);
    return s->pc;
}

/* ---- HVC, SMC (ARM C6.2.92, C6.2.289): one of them may be the way to the machine's PSCI ---- */
static void psci(A64State *s)
{
    enum { PSCI_SUSPEND = 1 };
    uint64_t fn = s->x[0] & ~0x40000000ull;
    for (unsigned n = 0; n < 4; n++)
        a64_machine_write(s, A64_MACHINE_PSCI + n, s->x[n]);
    uint64_t r = a64_machine_read(s, A64_MACHINE_PSCI);
    if (r == A64_PSCI_STOP)
        s->power = A64_POWER_OFF;
    else
        s->x[0] = r;
    if (!r && (uint32_t)fn == (0x84000000u | PSCI_SUSPEND))
        s->halted = 1;
}

/* It returns behind the instruction. */
static void call_up(A64State *s, unsigned to, unsigned ec, uint32_t iss) __attribute__((noreturn));
static void call_up(A64State *s, unsigned to, unsigned ec, uint32_t iss)
{
    tcg_sync_pc(a64_cpu(s));
    s->pc += INSN;
    s->ss = 0;
    take_sync(s, to, ec, iss, 0);
    tcg_leave(a64_cpu(s));
}

static bool hvc_defined(const A64State *s)
{
    bool enabled = s->has_el3 ? s->scr & A64_SCR_HCE : !(s->hcr & A64_HCR_HCD);
    return s->has_el2 && enabled && !(s->el == A64_EL1 && a64_secure(s));
}

uint64_t a64_h_hvc(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    enum { SMC = 1 << 16, IMM = 0xffff };
    A64State *s = state;
    bool smc = a & SMC, machine = tcg_cpu_callbacks(a64_cpu(s))->sysreg_read && s->conduit == (smc ? A64_CONDUIT_SMC : A64_CONDUIT_HVC);
    (void)b, (void)c, (void)d;
    if (smc && s->el == A64_EL1 && a64_el2_rules(s) && s->hcr & A64_HCR_TSC)
        a64_raise_to(s, A64_EL2, A64_EC_SMC, (uint32_t)a & IMM, 0);
    if (s->el != A64_EL0 && machine) {
        psci(s);
        return 0;
    }
    if (s->el != A64_EL0 && smc && s->has_el3 && !(s->scr & A64_SCR_SMD))
        call_up(s, A64_EL3, A64_EC_SMC, (uint32_t)a & IMM);
    if (s->el != A64_EL0 && !smc && hvc_defined(s))
        call_up(s, MAX(s->el, (unsigned)A64_EL2), A64_EC_HVC, (uint32_t)a & IMM);
    a64_raise(s, A64_EC_UNKNOWN, 0, 0);
}

/* ---- interrupts ---- */
typedef struct Due { unsigned vector, to; } Due;

/* A physical one (ARM D1.3.6.4): EL1 and EL0 cannot mask what is for a higher level, and a level does not take what is for a lower one. */
static bool physical(const A64State *s, uint64_t by_el3, uint64_t by_el2, uint64_t mask, unsigned *ret_to)
{
    bool second = a64_el2_rules(s) && s->hcr & (by_el2 | A64_HCR_TGE);
    *ret_to = s->has_el3 && s->scr & by_el3 ? A64_EL3 : second ? A64_EL2 : A64_EL1;
    return s->el < *ret_to && *ret_to != A64_EL1 ? true : s->el <= *ret_to && !(s->daif & mask);
}

/* Of HCR_EL2 and the GIC's virtual interface: for EL1, while physical ones are EL2's (D1.3.6.6). */
static uint64_t virtual_lines(const A64State *s, uint64_t lines)
{
    if (!a64_el2_rules(s) || s->hcr & A64_HCR_TGE)
        return 0;
    uint64_t h = s->hcr;
    return (h & A64_HCR_IMO && (h & A64_HCR_VI || lines & A64_LINE_VIRQ) ? A64_LINE_IRQ : 0) |
           (h & A64_HCR_FMO && (h & A64_HCR_VF || lines & A64_LINE_VFIQ) ? A64_LINE_FIQ : 0) |
           (h & A64_HCR_AMO && h & A64_HCR_VSE ? A64_LINE_SERROR : 0);
}

static bool due(const A64State *s, uint64_t lines, Due *ret)
{
    uint64_t virt = s->el <= A64_EL1 ? virtual_lines(s, lines) : 0;
    if (lines & A64_LINE_FIQ && physical(s, A64_SCR_FIQ, A64_HCR_FMO, A64_PS_F, &ret->to))
        return ret->vector = VECTOR_FIQ, true;
    if (lines & A64_LINE_IRQ && physical(s, A64_SCR_IRQ, A64_HCR_IMO, A64_PS_I, &ret->to))
        return ret->vector = VECTOR_IRQ, true;
    ret->to = A64_EL1;
    if (virt & A64_LINE_SERROR && !(s->daif & A64_PS_A))
        return ret->vector = VECTOR_SERROR, true;
    if (virt & A64_LINE_FIQ && !(s->daif & A64_PS_F))
        return ret->vector = VECTOR_FIQ, true;
    ret->vector = VECTOR_IRQ;
    return virt & A64_LINE_IRQ && !(s->daif & A64_PS_I);
}

uint64_t a64_interrupt_status(A64State *s)
{
    uint64_t lines = a64_machine_read(s, A64_MACHINE_LINES);
    bool second = s->el == A64_EL1 && a64_el2_rules(s);
    uint64_t virt = second ? virtual_lines(s, lines) : 0;
    if (second && s->hcr & A64_HCR_IMO)
        lines &= ~(uint64_t)A64_LINE_IRQ;
    if (second && s->hcr & A64_HCR_FMO)
        lines &= ~(uint64_t)A64_LINE_FIQ;
    lines = (lines & (A64_LINE_IRQ | A64_LINE_FIQ)) | virt;
    return (lines & A64_LINE_IRQ ? A64_PS_I : 0) | (lines & A64_LINE_FIQ ? A64_PS_F : 0) | (lines & A64_LINE_SERROR ? A64_PS_A : 0);
}

static bool hyp_pending(const A64State *s) { return s->hcr & (A64_HCR_VI | A64_HCR_VF | A64_HCR_VSE); }

void a64_recheck(A64State *s)
{
    TcgCpu *cpu = a64_cpu(s);
    const TcgCallbacks *cb = tcg_cpu_callbacks(cpu);
    bool masked = (s->daif & (A64_PS_I | A64_PS_F)) == (A64_PS_I | A64_PS_F) && a64_highest_el(s) == A64_EL1;
    if (!masked && (hyp_pending(s) || (cb->irq_pending && cb->irq_pending(tcg_cpu_opaque(cpu)))))
        tcg_cpu_poke(cpu);
}

uint64_t a64_h_daif_clear(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    A64State *s = state;
    (void)b, (void)c, (void)d;
    s->daif &= (uint16_t)~a;
    a64_recheck(s);
    return 0;
}

static void take_interrupt(A64State *s, Due d)
{
    bool serror = d.vector == VECTOR_SERROR;
    log_entry(s, serror ? "serror" : d.vector == VECTOR_FIQ ? "fiq" : "irq", 0, 0);
    if (serror) {
        s->hcr &= ~A64_HCR_VSE;
        s->esr[d.to] = (uint64_t)A64_EC_SERROR << 26 | 1u << 25;
    }
    enter(s, d.vector, d.to);
}

bool a64_deliver(TcgCpu *cpu)
{
    A64State *s = tcg_cpu_state(cpu);
    const TcgCallbacks *cb = tcg_cpu_callbacks(cpu);
    if (s->tlb_flush_pending) {
        a64_space_sync(s, true);
        a64_debug_sync(s);
    }
    if (s->power != A64_POWER_ON)
        return false;
    if (a64_debug_mode(s) & A64M_STEP_DUE) {       /* ARM D2.12 */
        s->halted = 0;
        a64_take_step(s);          /* who returns from there to the same again does not keep from a higher level what is its */
    }
    uint64_t lines = cb->irq_pending && cb->irq_pending(tcg_cpu_opaque(cpu)) ? a64_machine_read(s, A64_MACHINE_LINES) : 0;
    bool any = lines || hyp_pending(s);
    Due d;
    if (s->halted && !any)
        return false;
    s->halted = 0;
    if (any && due(s, lines, &d))
        take_interrupt(s, d);
    return true;
}

/* ---- returns ---- */

/* Illegal: to a higher level, AArch32, or one that does not exist (ARM D1.4.6). PSTATE.IL then; level and stack stay. */
static bool legal(const A64State *s, uint64_t spsr)
{
    unsigned el = spsr >> 2 & 3;
    if (spsr & (A64_PS_AARCH32 | 2) || el > s->el || (!el && spsr & A64_PS_SP))
        return false;
    return el == A64_EL2 ? a64_el2_rules(s) : el != A64_EL1 || !(a64_el2_rules(s) && s->hcr & A64_HCR_TGE);
}

uint64_t a64_h_eret(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    A64State *s = state;
    (void)b, (void)c, (void)d;
    unsigned from = s->el;
    if (from == A64_EL0)
        a64_raise(s, A64_EC_UNKNOWN, 0, 0);
    uint64_t spsr = s->spsr[from], pc = s->elr[from];
    if (a)
        pc = a64_pauth_check(s, pc, s->x[A64_SP], (unsigned)a - 1);
    s->excl_addr = ~0ull;
    s->event = 1;
    bool step = a64_step_after_eret(s, spsr);
    if (legal(s, spsr))
        a64_set_pstate(s, spsr);
    else
        a64_set_pstate(s, (spsr & (0xf0000000 | A64_PS_DAIF | A64_PS_PAN)) | A64_PS_IL | (uint64_t)s->el << 2 | s->spsel);
    s->ss = step;
    s->step_begun = 0;
    s->pc = pc;
    if (s->el != from && from >= A64_EL2)
        a64_space_sync(s, false);
    tcg_mode_changed(a64_cpu(s));
    a64_recheck(s);
    return pc;
}
