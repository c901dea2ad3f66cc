/* x86 under the translator: APIC and clock registers, NMI SMI INIT SIPI. */
#include "accel/tcg/guest.h"
#include "cpu/x86/state.h"
#include "tcg/guest/x86/guest.h"
#include "vmm/accel.h"
#include "vmm/clock.h"
#include "vmm/machine.h"

static bool x86_in_smm(const void *state) { return ((const X86State *)state)->ev.smm; }
static int64_t x86_tsc_offset(const void *state) { return ((const X86State *)state)->tsc_offset; }

enum { MSR_KVM_WALL_CLOCK = 0x11, MSR_KVM_SYSTEM_TIME = 0x12, MSR_KVM_WALL_CLOCK_NEW = 0x4b564d00, MSR_KVM_SYSTEM_TIME_NEW = 0x4b564d01 };

/* The guest names a place for its time page (bit 0: enabled); the rate never changes, so it is written once
 * (Linux Documentation/virt/kvm/x86/msr.rst). */
static void write_system_time(Vcpu *c, uint64_t where)
{
    X86State *s = c->state;
    PvClockData d;
    s->msr.kvm_system_time = where;
    if (!(where & 1))
        return;
    mclock_pvclock(machine_clock(c->machine), s->tsc_offset, &d);
    d.version = 2;
    as_dma_write(c->mem, where & ~1ull, &d, sizeof(d));
}

static void write_wall_clock(Vcpu *c, uint64_t where)
{
    int64_t ns = mclock_wall_at_boot(machine_clock(c->machine));
    uint32_t w[3] = { 2, (uint32_t)(ns / NS_PER_SEC), (uint32_t)(ns % NS_PER_SEC) };
    ((X86State *)c->state)->msr.kvm_wall_clock = where;
    as_dma_write(c->mem, where, w, sizeof(w));
}

static bool kvmclock_write(Vcpu *c, uint32_t reg, uint64_t value)
{
    if (reg == MSR_KVM_SYSTEM_TIME || reg == MSR_KVM_SYSTEM_TIME_NEW)
        write_system_time(c, value);
    else if (reg == MSR_KVM_WALL_CLOCK || reg == MSR_KVM_WALL_CLOCK_NEW)
        write_wall_clock(c, value);
    else
        return false;
    return true;
}

static bool kvmclock_read(const Vcpu *c, uint32_t reg, uint64_t *ret)
{
    const X86State *s = c->state;
    if (reg == MSR_KVM_SYSTEM_TIME || reg == MSR_KVM_SYSTEM_TIME_NEW)
        *ret = s->msr.kvm_system_time;
    else if (reg == MSR_KVM_WALL_CLOCK || reg == MSR_KVM_WALL_CLOCK_NEW)
        *ret = s->msr.kvm_wall_clock;
    else
        return false;
    return true;
}

static bool x86_sysreg_read(Vcpu *c, uint32_t reg, uint64_t *ret)
{
    const CpuIntcOps *ops = c->intc.ops;
    if (reg == X86_SYSREG_APIC_ID) {
        *ret = c->apic_id;
        return true;
    }
    if (reg == X86_SYSREG_TPR) {
        *ret = ops ? ops->tpr(c->intc.opaque) : ((X86State *)c->state)->cr8;
        return true;
    }
    if (kvmclock_read(c, reg, ret) || tcg_intc_read(c, reg, ret))
        return true;
    VmExit x = { .kind = EXIT_MSR, .addr = reg, .size = 8 };
    vcpu_io(c, &x);
    *ret = x.value;
    return x.result == MEM_OK;
}

static bool x86_sysreg_write(Vcpu *c, uint32_t reg, uint64_t value)
{
    const CpuIntcOps *ops = c->intc.ops;
    if (reg == X86_SYSREG_TPR) {
        if (ops)
            ops->set_tpr(c->intc.opaque, (uint8_t)value);
        ((X86State *)c->state)->cr8 = value;
        return true;
    }
    if (kvmclock_write(c, reg, value) || tcg_intc_write(c, reg, value))
        return true;
    VmExit x = { .kind = EXIT_MSR, .write = true, .addr = reg, .size = 8, .value = value };
    if (vcpu_io(c, &x))
        vcpu_kick(c);
    return x.result == MEM_OK;
}

static void x86_take_events(Vcpu *c, uint32_t events)
{
    X86State *s = c->state;
    if (events & VCPU_EV_NMI)
        s->ev.nmi_pending = 1;
    if (events & VCPU_EV_SMI)
        s->ev.smm_pending = 1;
    if (events & VCPU_EV_INIT) {
        s->ev.init_pending = 1;
        if (c->intc.ops && c->intc.ops->init_sipi)
            c->intc.ops->init_sipi(c->intc.opaque, true);
    }
    if (events & VCPU_EV_SIPI) {
        s->ev.sipi_pending = 1;
        s->ev.sipi_vector = (uint8_t)atomic_load(&c->sipi_vector);
    }
}

static void x86_state_written(Vcpu *c) { ((X86State *)c->state)->ev.tlb_flush_pending = 1; }

const TcgGuest tcg_guest_x86 = {
    .name = "x86", .isa = &x86_isa, .in_smm = x86_in_smm, .tsc_offset = x86_tsc_offset, .sysreg_read = x86_sysreg_read,
    .sysreg_write = x86_sysreg_write, .take_events = x86_take_events, .state_written = x86_state_written,
};
