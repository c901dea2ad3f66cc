/*
 * INIT, start-up IPI and NMI that are on their way to a CPU when the machine moves between engines, wherever they wait: in KVM, in the vCPU's events, in the
 * state that another engine left. None is lost, and none of before a reset comes. No CPU runs until the last case.
 */
#include <stdio.h>

#include "accel/tcg/guest.h"
#include "cpu/x86/irqchip.h"
#include "cpu/x86/state.h"
#include "hw/board/pc.h"
#include "vmm/machine.h"

extern const AccelOps accel_kvm;
enum { RAM = 1 << 20, CPUS = 2, VECTOR = 3, READY = 0x501, SKIP = 77, NMI = 4, INIT = 5, SIPI = 6 };
#define CHECK(x) do { if (!(x)) { printf("%s:%d: %s\n", __FILE__, __LINE__, #x); exit(1); } } while (0)

/* movb $1, READY; 1: cli; hlt; jmp 1b */
static const uint8_t code[] = { 0xc6, 0x06, 0x01, 0x05, 0x01, 0xfa, 0xf4, 0xeb, 0xfc };

typedef struct Test {
    Machine *m;
    volatile uint8_t *ram;
    X86Irqchips chips;
    X86LapicState lapic[CPUS];
} Test;

static X86State *state(Test *t, unsigned n) { return machine_vcpu(t->m, n)->state; }

/* As a reset does it: CPUs first, then the local APICs are KVM's. */
static void fresh(Test *t)
{
    GError *err = NULL;
    for (unsigned n = 0; n < CPUS; n++) {
        x86_state_reset(state(t, n), false, n == 0);
        state(t, n)->msr.apic_base = 0xfee00800u | (n ? 0 : 0x100);
        t->lapic[n] = (X86LapicState){ .reg = { [2] = n << 24, [0xe] = UINT32_MAX, [0xf] = 0x1ff } };
        for (unsigned lvt = 0x32; lvt <= 0x37; lvt++)
            t->lapic[n].reg[lvt] = 1 << 16;
    }
    CHECK(accel_kvm.irqchip_in(machine_accel_vm(t->m), &t->chips, &err));
}

/* What another CPU in KVM would send to CPU 1. */
static void send(Test *t, unsigned mode)
{
    irq_fabric_msi(machine_fabric(t->m), 0xfee01000u, 0x4000 | mode << 8 | VECTOR, 0);
}

static void into_kvm(Test *t)
{
    CHECK(accel_kvm.state_in(machine_vcpu(t->m, 1)->ec, X86_GROUP_ALL, NULL));
}

static void leave_kvm(Test *t)
{
    GError *err = NULL;
    CHECK(accel_kvm.irqchip_out(machine_accel_vm(t->m), &t->chips, &err));
}

static bool started(Test *t)
{
    const X86State *s = state(t, 1);
    return s->ev.mp_state == X86_MP_RUNNABLE && s->seg[X86_CS].base == VECTOR << 12 && s->rip == 0 && !s->ev.init_pending && !s->ev.sipi_pending;
}

/* Both came through KVM: before it had anything of the CPU, to one that has not been in KVM since it moved there, to one that was. */
static void in_kvm(Test *t)
{
    fresh(t);
    send(t, INIT);
    send(t, SIPI);
    into_kvm(t);
    *machine_vcpu(t->m, 1)->groups_valid = 0;
    CHECK(accel_kvm.state_out(machine_vcpu(t->m, 1)->ec, X86_GROUP_ALL, NULL) && started(t));
    for (int was_in = 0; was_in < 2; was_in++) {
        fresh(t);
        if (was_in)
            into_kvm(t);
        send(t, INIT);
        send(t, SIPI);
        leave_kvm(t);
        CHECK(started(t));
    }
    fresh(t);
    send(t, INIT);
    leave_kvm(t);
    CHECK(state(t, 1)->ev.mp_state == X86_MP_INIT_RECEIVED);
}

/* INIT came through a model, and what follows through KVM. */
static void in_between(Test *t)
{
    fresh(t);
    state(t, 1)->ev.init_pending = 1;
    into_kvm(t);
    send(t, SIPI);
    leave_kvm(t);
    CHECK(started(t));
    fresh(t);
    vcpu_raise(machine_vcpu(t->m, 1), VCPU_EV_INIT, 0);
    into_kvm(t);
    send(t, SIPI);
    leave_kvm(t);
    CHECK(started(t));
}

static void over_reset(Test *t)
{
    fresh(t);
    send(t, INIT);
    send(t, SIPI);
    fresh(t);
    leave_kvm(t);
    CHECK(state(t, 1)->ev.mp_state == X86_MP_UNINIT && state(t, 1)->rip == 0xfff0);
}

static void nmi(Test *t)
{
    for (int was_in = 0; was_in < 2; was_in++) {
        fresh(t);
        if (was_in)
            into_kvm(t);
        send(t, NMI);
        leave_kvm(t);
        CHECK(state(t, 1)->ev.nmi_pending);
    }
    fresh(t);
    vcpu_raise(machine_vcpu(t->m, 1), VCPU_EV_NMI, 0);
    leave_kvm(t);
    CHECK(state(t, 1)->ev.nmi_pending);
}

/* Another engine took both out of the vCPU's events, and had no turn to do them. */
static void inherited(Test *t)
{
    fresh(t);
    state(t, 0)->rip = sizeof(code) - 4;
    state(t, 0)->seg[X86_CS].base = VECTOR << 12;
    state(t, 1)->ev.init_pending = state(t, 1)->ev.sipi_pending = 1;
    state(t, 1)->ev.sipi_vector = VECTOR;
    CHECK(machine_cont(t->m, NULL));
    while (!t->ram[READY])
        loop_iterate(machine_loop(t->m), false);
}

int main(void)
{
    AccelConfig probe = { .irqchip = ACCEL_IRQCHIP_SPLIT };
    GError *err = NULL;
    MachineConfig cfg = { .name = "inflight", .ram_bytes = RAM, .n_vcpus = CPUS, .max_vcpus = CPUS, .cpu = &pc_cpu_type, .accel = &accel_kvm,
                          .accel_cfg = { .irqchip = ACCEL_IRQCHIP_SPLIT, .max_vcpus = CPUS } };
    if (!accel_kvm.probe(&probe, NULL, &err)) {
        printf("%s\n", err->message);
        return SKIP;
    }
    Test t = { .m = machine_new(&cfg, &err), .chips.n_lapics = CPUS };
    CHECK(t.m);
    t.chips.lapic = t.lapic;
    MemRegion *ram = mem_region_new_ram(machine_mem(t.m), "ram", RAM, &err);
    CHECK(ram);
    mem_region_add(machine_mem_root(t.m), 0, ram, 0);
    t.ram = mem_region_ram_host(ram);
    for (unsigned n = 0; n < sizeof(code); n++)
        t.ram[(VECTOR << 12) + n] = code[n];
    mem_region_unref(ram);
    irq_fabric_set_owner(machine_fabric(t.m), IRQ_OWNER_ENGINE);
    CHECK(machine_complete(t.m, &err));
    in_kvm(&t);
    in_between(&t);
    over_reset(&t);
    nmi(&t);
    inherited(&t);
    machine_free(t.m);
    printf("inflight: ok\n");
    return 0;
}
