#include "tests/device/chips.h"

#include <string.h>

#include "tests/device/noengine.h"

enum { IOAPIC_BASE = 0xfec00000, LAPIC_BASE = 0xfee00000 };

static void cpu_reset(void *state, unsigned index, bool init)
{
    x86_state_reset(state, init, index == 0);
}

static const CpuType cpu_type = { .name = "x86", NO_CPU(X86State, X86_GROUP_ALL), .reset = cpu_reset };

Device *chips_device(Chips *c, const DeviceClass *k)
{
    GError *err = NULL;
    Device *dev = device_new(c->m, k, NULL, &err);
    CHECK(dev && device_realize(dev, NULL, &err));
    return dev;
}

void chips_map(Chips *c, Device *dev, const uint16_t *ports)
{
    for (unsigned i = 0; i < device_n_pio(dev); i++)
        mem_region_add(machine_io_root(c->m), ports[i], device_pio(dev, i), 0);
    mem_commit_now(machine_mem(c->m));
}

void chips_init(Chips *c, unsigned n)
{
    GError *err = NULL;
    memset(c, 0, sizeof(*c));
    c->n = n;
    MachineConfig cfg = { .name = "none", .n_vcpus = n, .max_vcpus = n, .cpu = n ? &cpu_type : NULL, .accel = n ? &no_engine : NULL };
    c->m = machine_new(&cfg, &err);
    CHECK(c->m);
    mclock_set_manual(machine_clock(c->m));
    c->pic = chips_device(c, &pic_class);
    c->ioapic = chips_device(c, &ioapic_class);
    c->bus = chips_device(c, &apicbus_class);
    c->gsi = chips_device(c, &gsi_class);
    for (unsigned i = 0; i < n; i++) {
        c->lapic[i] = device_new(c->m, &lapic_class, NULL, &err);
        lapic_attach(c->lapic[i], c->bus, machine_vcpu(c->m, i));
        CHECK(device_realize(c->lapic[i], NULL, &err));
    }
    gsi_connect(c->gsi, c->pic, c->ioapic);
    apicbus_connect(c->bus, c->pic, &c->ioapic, 1);
    for (unsigned i = 0; i < GSI_INPUTS; i++) {
        c->line[i] = irq_new();
        irq_connect(c->line[i], device_input(c->gsi, i));
    }
    chips_map(c, c->pic, (const uint16_t[]){ 0x20, 0xa0, 0x4d0 });
    mem_region_add(machine_mem_root(c->m), IOAPIC_BASE, device_mmio(c->ioapic, 0), 0);
    mem_commit_now(machine_mem(c->m));
}

void chips_clear(Chips *c)
{
    for (unsigned i = 0; i < GSI_INPUTS; i++)
        irq_free(c->line[i]);
    machine_free(c->m);
}

uint32_t chips_in(Chips *c, uint16_t port)
{
    uint64_t v = 0;
    as_load(machine_as_io(c->m), port, 1, &v);
    return (uint32_t)v;
}

void chips_out(Chips *c, uint16_t port, uint8_t val)
{
    as_store(machine_as_io(c->m), port, 1, val);
}

void chips_advance(Chips *c, int64_t ns)
{
    mclock_advance(machine_clock(c->m), ns);
}

Vcpu *chips_cpu(Chips *c, unsigned i)
{
    return machine_vcpu(c->m, i);
}

bool chips_pending(Chips *c, unsigned i)
{
    Vcpu *v = chips_cpu(c, i);
    return v->intc.ops->pending(v->intc.opaque);
}

int chips_ack(Chips *c, unsigned i)
{
    Vcpu *v = chips_cpu(c, i);
    return v->intc.ops->ack(v->intc.opaque);
}

static void apic_access(Chips *c, unsigned i, unsigned reg, bool write, uint32_t *val)
{
    uint64_t v = *val;
    Vcpu *cpu = chips_cpu(c, i);
    CHECK(cpu->intc.ops->mmio(cpu->intc.opaque, LAPIC_BASE + reg, 4, write, &v));
    *val = (uint32_t)v;
}

uint32_t chips_apic(Chips *c, unsigned i, unsigned reg)
{
    uint32_t v = 0;
    apic_access(c, i, reg, false, &v);
    return v;
}

void chips_apic_write(Chips *c, unsigned i, unsigned reg, uint32_t val)
{
    apic_access(c, i, reg, true, &val);
}

void chips_enable(Chips *c)
{
    for (unsigned i = 0; i < c->n; i++)
        chips_apic_write(c, i, 0xf0, 0x1ff);
}

uint32_t chips_events(Chips *c, unsigned i)
{
    return vcpu_events_take(chips_cpu(c, i), ~0u);
}

uint32_t chips_ioapic(Chips *c, unsigned reg)
{
    uint64_t v;
    as_store(machine_as_mem(c->m), IOAPIC_BASE, 4, reg);
    as_load(machine_as_mem(c->m), IOAPIC_BASE + 0x10, 4, &v);
    return (uint32_t)v;
}

void chips_ioapic_write(Chips *c, unsigned reg, uint32_t val)
{
    as_store(machine_as_mem(c->m), IOAPIC_BASE, 4, reg);
    as_store(machine_as_mem(c->m), IOAPIC_BASE + 0x10, 4, val);
}

void chips_redirect(Chips *c, unsigned pin, uint64_t e)
{
    chips_ioapic_write(c, 0x10 + 2 * pin, 0x10000);
    chips_ioapic_write(c, 0x11 + 2 * pin, (uint32_t)(e >> 32));
    chips_ioapic_write(c, 0x10 + 2 * pin, (uint32_t)e);
}
