/* AArch64 under the translator: what lies outside the CPU is its CpuIntc's "registers" (cpu/aarch64/sysreg.h). */
#include "accel/tcg/guest.h"
#include "cpu/aarch64/state.h"
#include "cpu/aarch64/sysreg.h"
#include "tcg/guest/aarch64/guest.h"

/* VCPU_EV_SIPI: PSCI switched the CPU on. It starts as from reset but for entry point and x0 (DEN 0022D 5.6). */
static void take_events(Vcpu *c, uint32_t events)
{
    A64State *s = c->state;
    uint64_t pc, x0;
    if (!(events & VCPU_EV_SIPI) || !tcg_intc_read(c, A64_MACHINE_START_PC, &pc) || !tcg_intc_read(c, A64_MACHINE_START_X0, &x0))
        return;
    c->type->reset(s, c->index, true);
    for (unsigned n = 0; n < A64_TIMERS; n++)   /* what it had programmed before it was switched off */
        tcg_intc_write(c, A64_MACHINE_TIMER + 8 + n, 0);
    tcg_intc_write(c, A64_MACHINE_VOFF, 0);
    a64_state_nonsecure(s);
    s->power = A64_POWER_ON;
    s->pc = pc;
    s->x[0] = x0;
}

static void state_written(Vcpu *c) { ((A64State *)c->state)->tlb_flush_pending = 1; }

const TcgGuest tcg_guest_aarch64 = {
    .name = "aarch64", .isa = &a64_isa, .sysreg_read = tcg_intc_read, .sysreg_write = tcg_intc_write,
    .take_events = take_events, .state_written = state_written,
};
