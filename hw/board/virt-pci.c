/* The PCI Express host bridge of the `virt` boards and its windows. */
#include "hw/board/virt.h"
#include "hw/pci/ecam.h"

/* A host bridge makes all ones of what no function answers (PCIe base 2.3.2, completion with UR), no bus error. */
static uint64_t ones_read(void *opaque, uint64_t off, unsigned size) { return ~0ull; }
static void ones_write(void *opaque, uint64_t off, uint64_t val, unsigned size) {}
static const MmioOps ones_ops = { ones_read, ones_write, 1, 8, .unaligned = true };

static void window(Machine *m, const char *name, MemRegion *target, uint64_t offset, uint64_t at, uint64_t size)
{
    MemRegion *ones = mem_region_new_mmio(machine_mem(m), "pci-no-answer", &ones_ops, NULL, size, NULL);
    mem_region_add(machine_mem_root(m), at, ones, 0);
    mem_region_unref(ones);
    MemRegion *w = mem_region_new_alias(machine_mem(m), name, target, offset, size);
    mem_region_add(machine_mem_root(m), at, w, 1);
    mem_region_unref(w);
}

Device *virt_pci_new(Machine *m, const VirtPci *p, IrqWire *const intx[4], GError **err)
{
    IrqWire *wires[4] = { intx[0], intx[1], intx[2], intx[3] };
    Device *pci = device_new(m, &ecam_class, "pcie", err);
    if (!pci)
        return NULL;
    ecam_setup(pci, &(EcamSetup){ .machine = m, .size = p->ecam_size, .dma = machine_as_mem(m) });
    if (!device_realize(pci, NULL, err))
        return NULL;
    pci_bus_set_intx(ecam_bus(pci), wires);
    mem_region_add(machine_mem_root(m), p->ecam, device_mmio(pci, 0), 1);
    window(m, "pci-mmio", ecam_mem(pci), p->mmio, p->mmio, p->mmio_size);
    window(m, "pci-mmio-high", ecam_mem(pci), p->high, p->high, p->high_size);
    window(m, "pci-pio", ecam_io(pci), 0, p->pio, 0x10000);
    return pci;
}
