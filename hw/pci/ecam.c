#include "hw/pci/ecam.h"

#include "util/bits.h"

typedef struct Ecam {
    Device dev;
    EcamSetup setup;
    PciBus bus;
    MemRegion *mem, *io;
} Ecam;

/* Bus 27:20, device and function 19:12, register 11:0. Devices here have conventional configuration space only: what follows reads 0. */
static uint64_t ecam_read(void *opaque, uint64_t off, unsigned size)
{
    Ecam *e = opaque;
    unsigned reg = off & 0xfff;
    if (off >> 20)
        return bits_mask(8 * size);
    if (reg < PCI_CONFIG_SIZE)
        return pci_bus_config_read(&e->bus, (uint8_t)(off >> 12), reg, size);
    return pci_bus_config_read(&e->bus, (uint8_t)(off >> 12), 0, 4) == UINT32_MAX ? bits_mask(8 * size) : 0;
}

static void ecam_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    Ecam *e = opaque;
    if (!(off >> 20) && (off & 0xfff) < PCI_CONFIG_SIZE)
        pci_bus_config_write(&e->bus, (uint8_t)(off >> 12), off & 0xfff, (uint32_t)val, size);
}

/* No device lock: the target of a configuration cycle has its own. */
static const MmioOps ecam_ops = { .read = ecam_read, .write = ecam_write, .min_size = 1, .max_size = 4 };

void ecam_setup(Device *dev, const EcamSetup *setup) { ((Ecam *)dev)->setup = *setup; }
PciBus *ecam_bus(Device *dev) { return &((Ecam *)dev)->bus; }
MemRegion *ecam_mem(Device *dev) { return ((Ecam *)dev)->mem; }
MemRegion *ecam_io(Device *dev) { return ((Ecam *)dev)->io; }

static bool ecam_realize(Device *dev, GError **err)
{
    Ecam *e = (Ecam *)dev;
    MemSystem *ms = device_mem(dev);
    if (!e->setup.machine) {
        g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, "needs a board that sets it up");
        return false;
    }
    device_init_mem(dev, 0, mem_region_new_mmio(ms, "pci-ecam", &ecam_ops, e, e->setup.size, NULL));
    e->mem = mem_region_new_container(ms, "pci", 0);
    e->io = mem_region_new_container(ms, "pci-io", 0x10000);
    PciBusConfig cfg = { .name = "pci.0", .mem = e->mem, .io = e->io, .dma = e->setup.dma, .first_slot = 1, .io_at_0 = true };
    pci_bus_init(&e->bus, &cfg, dev, e->setup.machine);
    return true;
}

static void ecam_unrealize(Device *dev)
{
    Ecam *e = (Ecam *)dev;
    pci_bus_clear(&e->bus);
    mem_region_unref(e->mem);
    mem_region_unref(e->io);
}

const DeviceClass ecam_class = {
    .name = "pci-ecam", .summary = "PCI Express host bridge with memory-mapped configuration", .size = sizeof(Ecam), .bus = BUS_SYS, .internal = true,
    .realize = ecam_realize, .unrealize = ecam_unrealize,
};
