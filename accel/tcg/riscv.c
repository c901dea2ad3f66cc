/* RISC-V under the translator: the hart's time and interrupt lines are its CpuIntc's "registers" (cpu/riscv/state.h, RISCV_SYSREG_*). */
#include "accel/tcg/guest.h"
#include "cpu/riscv/state.h"
#include "tcg/guest/riscv/guest.h"

/* NMI, SMI, INIT and SIPI do not exist here. */
static void take_events(Vcpu *c, uint32_t events) {}
static void state_written(Vcpu *c) { ((RiscvState *)c->state)->tlb_flush_pending = 1; }

const TcgGuest tcg_guest_riscv = {
    .name = "riscv64", .isa = &riscv_isa, .sysreg_read = tcg_intc_read, .sysreg_write = tcg_intc_write,
    .take_events = take_events, .state_written = state_written,
};
