/* The PCI Express host bridge of the `virt` boards and its windows. */
#include <string.h>

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

/* Interrupts move on by one with each slot (PCI to PCI Bridge 1.2, 9.1); "ranges" as in the PCI Bus Binding to IEEE 1275, 12. */
void virt_pci_fdt(const VirtPci *p, Fdt *f, uint32_t intx[4][VIRT_INTX_CELLS], unsigned n)
{
    enum { SLOTS = 4, PINS = 4, IO = 0x1000000, MEM32 = 0x2000000, MEM64 = 0x3000000 };
    uint32_t cells[SLOTS * PINS * (4 + VIRT_INTX_CELLS)], *c = cells;
    for (unsigned slot = 0; slot < SLOTS; slot++)
        for (unsigned pin = 0; pin < PINS; pin++, c += 4 + n) {
            memcpy(c, (uint32_t[]){ slot << 11, 0, 0, pin + 1 }, 16);
            memcpy(c + 4, intx[(slot + pin) % 4], 4 * n);
        }
    fdt_cells(f, "interrupt-map-mask", 0x1800, 0, 0, 7);
    fdt_u32s(f, "interrupt-map", cells, (unsigned)(c - cells));
    fdt_cells(f, "#interrupt-cells", 1);
    fdt_cells(f, "ranges", IO, 0, 0, 0, (uint32_t)p->pio, 0, 0x10000, MEM32, 0, (uint32_t)p->mmio, 0, (uint32_t)p->mmio, 0, (uint32_t)p->mmio_size,
              MEM64, p->high >> 32, 0, p->high >> 32, 0, p->high_size >> 32, 0);
    fdt_reg(f, p->ecam, p->ecam_size);
    fdt_flag(f, "dma-coherent");
    fdt_cells(f, "bus-range", 0, 255);
    fdt_cells(f, "linux,pci-domain", 0);
    fdt_cells(f, "#size-cells", 2);
    fdt_cells(f, "#address-cells", 3);
    fdt_str(f, "device_type", "pci");
    fdt_str(f, "compatible", "pci-host-ecam-generic");
}
