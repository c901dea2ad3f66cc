/* RISC-V under the translator: the hart's time and interrupt lines are its CpuIntc's "registers" (cpu/riscv/state.h, RISCV_SYSREG_*). */
#include "accel/tcg/guest.h"
#include "cpu/riscv/state.h"
#include "tcg/guest/riscv/guest.h"

static int64_t no_offset(const void *state) { return 0; }

static bool sysreg_read(Vcpu *c, uint32_t reg, uint64_t *ret)
{
    const CpuIntcOps *ops = c->intc.ops;
    return ops && ops->msr_read(c->intc.opaque, reg, ret);
}

static bool sysreg_write(Vcpu *c, uint32_t reg, uint64_t value)
{
    const CpuIntcOps *ops = c->intc.ops;
    return ops && ops->msr_write(c->intc.opaque, reg, value);
}

/* NMI, SMI, INIT and SIPI do not exist here. */
static void take_events(Vcpu *c, uint32_t events) {}
static void state_written(Vcpu *c) { ((RiscvState *)c->state)->tlb_flush_pending = 1; }

const TcgGuest tcg_guest_riscv = {
    .name = "riscv64", .isa = &riscv_isa, .tsc_offset = no_offset, .sysreg_read = sysreg_read, .sysreg_write = sysreg_write,
    .take_events = take_events, .state_written = state_written,
};
