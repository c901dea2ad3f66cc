#include "hw/isa/isa.h"

#include "hw/intc/gsi.h"

typedef struct IsaBus {
    Bus bus;
    Device *gsi;
} IsaBus;

static void isa_plug(Bus *b, Device *dev)
{
    IsaBus *bus = (IsaBus *)b;
    IsaDevice *d = (IsaDevice *)dev;
    for (unsigned i = 0; i < ISA_PIO; i++)
        if (d->pio_addr[i])
            mem_region_add(machine_io_root(b->machine), d->pio_addr[i], device_pio(dev, i), 1);
    for (unsigned i = 0; i < ISA_MMIO; i++)
        if (d->mmio_addr[i])
            mem_region_add(machine_mem_root(b->machine), d->mmio_addr[i], device_mmio(dev, i), 1);
    for (unsigned i = 0; d->irqs_are_lines && bus->gsi && i < dev->n_irq && i < GSI_INPUTS; i++)
        irq_connect(dev->irq[i], device_input(bus->gsi, i));
}

static void isa_unplug(Bus *b, Device *dev)
{
    for (unsigned i = 0; i < device_n_pio(dev); i++)
        mem_region_remove(device_pio(dev, i));
    for (unsigned i = 0; i < device_n_mmio(dev); i++)
        mem_region_remove(device_mmio(dev, i));
    for (unsigned i = 0; i < dev->n_irq; i++)
        irq_connect(dev->irq[i], NULL);
}

static const BusOps isa_ops = { .kind = BUS_ISA, .plug = isa_plug, .unplug = isa_unplug };

static void isa_bus_free(void *opaque)
{
    bus_clear(opaque);
    g_free(opaque);
}

Bus *isa_bus_new(Machine *m, Device *gsi)
{
    IsaBus *bus = g_new0(IsaBus, 1);
    bus->gsi = gsi;
    bus_init(&bus->bus, &isa_ops, "isa.0", NULL, m);
    machine_own(m, bus, isa_bus_free);
    return &bus->bus;
}
