/* Traps, interrupts, returns (priv 3.1.6-3.1.9, 3.3, 4.1). */
#include <sched.h>

#include "tcg/guest/riscv/riscv.h"

static uint64_t vectored(uint64_t tvec, uint64_t cause)
{
    uint64_t base = tvec & ~3ull;
    return tvec & 1 && cause & RISCV_CAUSE_IRQ ? base + 4 * (cause & 63) : base;
}

static void trap_s(RiscvState *s, uint64_t cause, uint64_t tval)
{
    uint64_t m = s->mstatus;
    s->scause = cause;
    s->stval = tval;
    s->sepc = s->pc;
    m &= ~(RISCV_SPP | RISCV_SPIE | RISCV_SIE);
    m |= (s->mstatus & RISCV_SIE ? RISCV_SPIE : 0) | (s->priv == RISCV_S ? RISCV_SPP : 0);
    s->mstatus = m;
    s->priv = RISCV_S;
    s->pc = vectored(s->stvec, cause);
}

static void trap_m(RiscvState *s, uint64_t cause, uint64_t tval)
{
    uint64_t m = s->mstatus;
    s->mcause = cause;
    s->mtval = tval;
    s->mepc = s->pc;
    m &= ~(RISCV_MPP | RISCV_MPIE | RISCV_MIE);
    m |= (s->mstatus & RISCV_MIE ? RISCV_MPIE : 0) | (uint64_t)s->priv << RISCV_MPP_SHIFT;
    s->mstatus = m;
    s->priv = RISCV_M;
    s->pc = vectored(s->mtvec, cause);
}

static void log_trap(RiscvState *s, uint64_t cause, uint64_t tval)
{
    Log *log = tcg_cpu_log(riscv_cpu(s));
    if (log_on(log, LOG_INT))
        log_item(log, LOG_INT, "trap: hart %llu %s %llu tval %#llx priv %u at %#llx", (unsigned long long)s->hartid,
                 cause & RISCV_CAUSE_IRQ ? "interrupt" : "exception", (unsigned long long)(cause & 63), (unsigned long long)tval, s->priv,
                 (unsigned long long)s->pc);
}

void riscv_trap(RiscvState *s, uint64_t cause, uint64_t tval)
{
    log_trap(s, cause, tval);
    uint64_t deleg = cause & RISCV_CAUSE_IRQ ? s->mideleg : s->medeleg;
    s->res_addr = ~0ull;       /* another thread may run before the SC */
    if (s->priv <= RISCV_S && deleg >> (cause & 63) & 1)
        trap_s(s, cause, tval);
    else
        trap_m(s, cause, tval);
    tcg_mode_changed(riscv_cpu(s));
}

void riscv_raise(RiscvState *s, uint64_t cause, uint64_t tval)
{
    TcgCpu *cpu = riscv_cpu(s);
    const TcgCallbacks *cb = tcg_cpu_callbacks(cpu);
    tcg_sync_pc(cpu);
    if (cb->exception)         /* one process: its system decides */
        cb->exception(tcg_cpu_opaque(cpu), (unsigned)cause, 0, tval);
    riscv_trap(s, cause, tval);
    tcg_leave(cpu);
}

void riscv_align_fault(TcgCpu *cpu, uint64_t va, TcgAccess access)
{
    riscv_raise(tcg_cpu_state(cpu), access == TCG_WRITE ? RISCV_E_STORE_MISALIGNED : RISCV_E_LOAD_MISALIGNED, va);
}

void riscv_bus_fault(TcgCpu *cpu, uint64_t va, TcgAccess access)
{
    riscv_raise(tcg_cpu_state(cpu), access == TCG_WRITE ? RISCV_E_STORE_ACCESS : access == TCG_READ ? RISCV_E_LOAD_ACCESS : RISCV_E_INSN_ACCESS, va);
}

uint64_t riscv_h_raise(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    (void)c;
    (void)d;
    riscv_raise(state, a, b);
}

TCG_CALL_PATH uint64_t riscv_h_ecall(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    RiscvState *s = state;
    TcgCpu *cpu = riscv_cpu(s);
    const TcgCallbacks *cb = tcg_cpu_callbacks(cpu);
    (void)a, (void)b, (void)c, (void)d;
    tcg_sync_pc(cpu);
    if (!cb->syscall) {
        riscv_trap(s, RISCV_E_ECALL_U + s->priv, 0);
        return s->pc;
    }
    s->pc += 4;
    s->res_addr = ~0ull;
    tcg_outside_begin(cpu);
    cb->syscall(tcg_cpu_opaque(cpu), 0);
    tcg_outside_end(cpu);
    tcg_mode_settle(cpu);
    return s->pc;
}

/* ---- interrupts ---- */
static int highest(uint64_t pending)
{
    static const uint8_t order[] = { RISCV_IRQ_MEI, RISCV_IRQ_MSI, RISCV_IRQ_MTI, RISCV_IRQ_SEI, RISCV_IRQ_SSI, RISCV_IRQ_STI };
    for (unsigned n = 0; n < sizeof(order); n++)
        if (pending >> order[n] & 1)
            return order[n];
    return -1;
}

static int due(const RiscvState *s, uint64_t pending)
{
    bool m_on = s->priv < RISCV_M || s->mstatus & RISCV_MIE;
    bool s_on = s->priv < RISCV_S || (s->priv == RISCV_S && s->mstatus & RISCV_SIE);
    int n = m_on ? highest(pending & ~s->mideleg) : -1;
    return n >= 0 || !s_on ? n : highest(pending & s->mideleg);
}

bool riscv_irq_due(RiscvState *s)
{
    uint64_t pending = s->mie ? riscv_mip(s) & s->mie : 0;
    return pending && due(s, pending) >= 0;
}

bool riscv_deliver(TcgCpu *cpu)
{
    RiscvState *s = tcg_cpu_state(cpu);
    if (s->tlb_flush_pending)
        riscv_space_sync(s, true);
    if (s->stopped)
        return false;
    uint64_t pending = riscv_mip(s) & s->mie;
    if (s->halted && !pending)
        return false;
    s->halted = 0;
    int n = pending ? due(s, pending) : -1;
    if (n >= 0)
        riscv_trap(s, RISCV_CAUSE_IRQ | (unsigned)n, 0);
    return true;
}

uint64_t riscv_h_wfi(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    RiscvState *s = state;
    (void)b, (void)c, (void)d;
    if (s->priv == RISCV_U || (s->priv == RISCV_S && s->mstatus & RISCV_TW))
        riscv_raise(s, RISCV_E_ILLEGAL, a);
    /* What is pending and cannot be taken now ends the wait at once. Firmware that waits for another hart in such a loop (OpenSBI's hart state
     * management) must not keep the host's CPU from it. */
    if (riscv_mip(s) & s->mie)
        sched_yield();
    s->halted = 1;
    return 0;
}

/* ---- returns ---- */
static void enter_mode(RiscvState *s, unsigned priv, uint64_t pc)
{
    if (priv != RISCV_M)
        s->mstatus &= ~RISCV_MPRV;
    s->priv = (uint8_t)priv;
    s->pc = pc & ~1ull;
    s->res_addr = ~0ull;
    tcg_mode_changed(riscv_cpu(s));
    s->tmp[0] = riscv_irq_due(s) ? RVA_LOOK : RVA_JUMP;
}

uint64_t riscv_h_mret(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    RiscvState *s = state;
    (void)b, (void)c, (void)d;
    if (s->priv != RISCV_M)
        riscv_raise(s, RISCV_E_ILLEGAL, a);
    unsigned to = (unsigned)((s->mstatus & RISCV_MPP) >> RISCV_MPP_SHIFT);
    uint64_t on = s->mstatus & RISCV_MPIE ? RISCV_MIE : 0;
    s->mstatus = (s->mstatus & ~(RISCV_MIE | RISCV_MPP)) | on | RISCV_MPIE;
    enter_mode(s, to, s->mepc);
    return s->pc;
}

uint64_t riscv_h_sret(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    RiscvState *s = state;
    (void)b, (void)c, (void)d;
    if (s->priv == RISCV_U || (s->priv == RISCV_S && s->mstatus & RISCV_TSR))
        riscv_raise(s, RISCV_E_ILLEGAL, a);
    unsigned to = s->mstatus & RISCV_SPP ? RISCV_S : RISCV_U;
    uint64_t on = s->mstatus & RISCV_SPIE ? RISCV_SIE : 0;
    s->mstatus = (s->mstatus & ~(RISCV_SIE | RISCV_SPP)) | on | RISCV_SPIE;
    enter_mode(s, to, s->sepc);
    return s->pc;
}

uint64_t riscv_h_sfence(void *state, uint64_t va, uint64_t asid, uint64_t given, uint64_t insn)
{
    RiscvState *s = state;
    TcgCpu *cpu = riscv_cpu(s);
    if (s->priv == RISCV_U || (s->priv == RISCV_S && s->mstatus & RISCV_TVM))
        riscv_raise(s, RISCV_E_ILLEGAL, insn);
    switch (given) {
    case 0: tcg_flush_all(cpu); break;
    case 2: tcg_flush_tag(cpu, asid & 0xffff); break;
    default: tcg_flush_page(cpu, va, asid & 0xffff); break;
    }
    return 0;
}
