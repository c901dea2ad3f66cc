/* Exceptions (ARM D1.3). */
#include "tcg/guest/aarch64/aarch64.h"

void a64_raise(A64State *s, unsigned ec, uint32_t iss, uint64_t far)
{
    TcgCpu *cpu = a64_cpu(s);
    const TcgCallbacks *cb = tcg_cpu_callbacks(cpu);
    tcg_sync_pc(cpu);
    s->excl_addr = ~0ull;
    if (cb->exception)         /* one process: its system decides */
        cb->exception(tcg_cpu_opaque(cpu), ec, iss, far);
    s->esr[A64_EL1] = (uint64_t)ec << 26 | 1u << 25 | iss;
    s->far[A64_EL1] = far;
    s->elr[A64_EL1] = s->pc;
    s->spsr[A64_EL1] = a64_pstate(s);
    s->pc = s->vbar[A64_EL1] + (s->el ? 0x200 : 0x400);
    a64_set_pstate(s, A64_PS_DAIF | A64_EL1 << 2 | A64_PS_SP);
    tcg_mode_changed(cpu);
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
    if (!cb->syscall)
        a64_raise(s, A64_EC_SVC, (uint32_t)a, 0);
    tcg_sync_pc(cpu);
    s->pc += 4;
    s->excl_addr = ~0ull;
    tcg_outside_begin(cpu);
    cb->syscall(tcg_cpu_opaque(cpu), 0);
    tcg_outside_end(cpu);
    tcg_mode_changed(cpu);
    return s->pc;
}

bool a64_deliver(TcgCpu *cpu)
{
    A64State *s = tcg_cpu_state(cpu);
    if (s->tlb_flush_pending) {
        s->tlb_flush_pending = 0;
        tcg_flush_all(cpu);
        tcg_set_space(cpu, 0, 0);
        tcg_mode_changed(cpu);
    }
    return s->power == A64_POWER_ON && !s->halted;
}
