#pragma once
#include "hw/pci/pci.h"

/*
 * 82441FX (i440FX): the host bridge's ports 0xcf8-0xcff with the PCI bus behind them, and its function 0:0.0 with PAM and SMRAM.
 *
 *   Device *host = device_new(m, &i440fx_host_class, "i440fx", err);
 *   i440fx_host_setup(host, &(I440fxSetup){ ... });
 *   device_realize(host, NULL, err);             -> bus "pci.0"
 *   mem_region_add(io_root, 0xcf8, device_mmio(host, 0), 0);      (the region belongs into port space)
 *   mem_region_add(mem_root, 0, i440fx_pci_mem(host), -1);        (below RAM at priority 0)
 *   then device "i440fx" (i440fx_class) at addr 0.0 of that bus: it adds the PAM and SMRAM windows to mem_root at priority 1
 */
typedef struct I440fxSetup {
    Machine *machine;
    MemRegion *mem_root;        /* CPUs' memory; RAM lies in it at priority 0 from address 0 on */
    MemRegion *ram;             /* the RAM that lies at 0 */
    MemRegion *io_root;         /* ports */
    AddressSpace *dma;          /* bus masters' view */
} I440fxSetup;

extern const DeviceClass i440fx_host_class;
extern const PciDeviceClass i440fx_class;

void i440fx_host_setup(Device *host, const I440fxSetup *setup);
PciBus *i440fx_bus(Device *host);
/* Container of 2^64: PCI memory space. Boards put ROMs and the VGA window in here. */
MemRegion *i440fx_pci_mem(Device *host);
/* What a vCPU in SMM sees, a container of 2^64: the system's memory with SMRAM at 0xa0000 where it is enabled. After i440fx_class was realized. */
MemRegion *i440fx_smm_root(Device *host);
