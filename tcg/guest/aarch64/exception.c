/* Exceptions to EL1, returns from them, waiting (ARM D1.3, D1.4). */
#include "tcg/guest/aarch64/aarch64.h"

#include "cpu/aarch64/sysreg.h"

enum { VECTOR_SYNC = 0, VECTOR_IRQ = 0x80, VECTOR_FIQ = 0x100, INSN = 4 };

static void log_entry(A64State *s, const char *what, uint64_t esr, uint64_t far)
{
    Log *log = tcg_cpu_log(a64_cpu(s));
    if (log_on(log, LOG_INT))
        log_item(log, LOG_INT, "exception: cpu %llu %s esr %#llx far %#llx EL%u at %#llx", (unsigned long long)(s->mpidr & 0xff), what, (unsigned long long)esr,
                 (unsigned long long)far, s->el, (unsigned long long)s->pc);
}

/* PSTATE and pc as an exception to EL1 leaves them; state->pc is where it returns to. */
static void enter(A64State *s, unsigned vector)
{
    unsigned from = s->el == A64_EL0 ? 0x400 : s->spsel ? 0x200 : 0;
    bool pan = s->pan || !(s->sctlr[A64_EL1] & A64_SCTLR_SPAN);
    s->spsr[A64_EL1] = a64_pstate(s);
    s->elr[A64_EL1] = s->pc;
    s->excl_addr = ~0ull;
    a64_set_pstate(s, (a64_pstate(s) & 0xf0000000) | A64_PS_DAIF | A64_EL1 << 2 | A64_PS_SP | (pan ? A64_PS_PAN : 0));
    s->step_begun = 0;
    s->pc = s->vbar[A64_EL1] + from + vector;
    tcg_mode_changed(a64_cpu(s));
}

/* FAR is written by those that have an address (ARM D17.2.41). */
static bool has_far(unsigned ec)
{
    return ec == A64_EC_IABT || ec == A64_EC_IABT_LOWER || ec == A64_EC_DABT || ec == A64_EC_DABT_LOWER || ec == A64_EC_PC_ALIGN || ec == A64_EC_WATCH ||
           ec == A64_EC_WATCH_LOWER;
}

static void take_sync(A64State *s, unsigned ec, uint32_t iss, uint64_t far)
{
    uint64_t esr = (uint64_t)ec << 26 | 1u << 25 | iss;
    log_entry(s, "sync", esr, far);
    s->esr[A64_EL1] = esr;
    if (has_far(ec))
        s->far[A64_EL1] = far;
    enter(s, VECTOR_SYNC);
}

void a64_take(A64State *s, unsigned ec, uint32_t iss) { take_sync(s, ec, iss, 0); }

void a64_raise(A64State *s, unsigned ec, uint32_t iss, uint64_t far)
{
    TcgCpu *cpu = a64_cpu(s);
    const TcgCallbacks *cb = tcg_cpu_callbacks(cpu);
    tcg_sync_pc(cpu);
    s->excl_addr = ~0ull;
    if (cb->exception)         /* one process: its system decides */
        cb->exception(tcg_cpu_opaque(cpu), ec, iss, far);
    take_sync(s, ec, iss, far);
    tcg_leave(cpu);
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

uint64_t a64_h_svc(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    A64State *s = state;
    TcgCpu *cpu = a64_cpu(s);
    const TcgCallbacks *cb = tcg_cpu_callbacks(cpu);
    (void)b, (void)c, (void)d;
    tcg_sync_pc(cpu);
    s->pc += INSN;
    if (!cb->syscall) {
        s->ss = 0;             /* it counts as executed */
        take_sync(s, A64_EC_SVC, (uint32_t)a, 0);
        return s->pc;
    }
    s->excl_addr = ~0ull;
    tcg_outside_begin(cpu);
    cb->syscall(tcg_cpu_opaque(cpu), 0);
    tcg_outside_end(cpu);
    tcg_mode_changed(cpu);
    return s->pc;
}

/* ---- HVC, SMC: without EL2 and EL3 both are undefined, but that the machine is a PSCI implementation behind HVC ---- */
uint64_t a64_h_hvc(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    enum { SMC = 1 << 16, PSCI_SUSPEND = 1 };
    A64State *s = state;
    TcgCpu *cpu = a64_cpu(s);
    (void)b, (void)c, (void)d;
    if (s->el == A64_EL0 || a & SMC || !tcg_cpu_callbacks(cpu)->sysreg_read)
        a64_raise(s, A64_EC_UNKNOWN, 0, 0);
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
    return 0;
}

/* ---- interrupts ---- */
static bool due(const A64State *s, uint64_t lines)
{
    return (lines & A64_LINE_FIQ && !(s->daif & A64_PS_F)) || (lines & A64_LINE_IRQ && !(s->daif & A64_PS_I));
}

void a64_recheck(A64State *s)
{
    TcgCpu *cpu = a64_cpu(s);
    const TcgCallbacks *cb = tcg_cpu_callbacks(cpu);
    bool masked = (s->daif & (A64_PS_I | A64_PS_F)) == (A64_PS_I | A64_PS_F);
    if (!masked && cb->irq_pending && cb->irq_pending(tcg_cpu_opaque(cpu)))
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

static void take_interrupt(A64State *s, uint64_t lines)
{
    bool fiq = lines & A64_LINE_FIQ && !(s->daif & A64_PS_F);
    log_entry(s, fiq ? "fiq" : "irq", 0, 0);
    enter(s, fiq ? VECTOR_FIQ : VECTOR_IRQ);
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
        a64_take_step(s);
        return true;
    }
    uint64_t lines = cb->irq_pending && cb->irq_pending(tcg_cpu_opaque(cpu)) ? a64_machine_read(s, A64_MACHINE_LINES) : 0;
    if (s->halted && !lines)
        return false;
    s->halted = 0;
    if (lines && due(s, lines))
        take_interrupt(s, lines);
    return true;
}

/* ---- returns ---- */

/* Illegal: to a higher level, AArch32, or one that does not exist (ARM D1.4.6). PSTATE.IL then; level and stack stay. */
static bool legal(const A64State *s, uint64_t spsr)
{
    unsigned el = spsr >> 2 & 3;
    return !(spsr & (A64_PS_AARCH32 | 2)) && el <= s->el && (el || !(spsr & A64_PS_SP));
}

uint64_t a64_h_eret(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    A64State *s = state;
    (void)b, (void)c, (void)d;
    if (s->el != A64_EL1)
        a64_raise(s, A64_EC_UNKNOWN, 0, 0);
    uint64_t spsr = s->spsr[A64_EL1], pc = s->elr[A64_EL1];
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
    tcg_mode_changed(a64_cpu(s));
    a64_recheck(s);
    return pc;
}
