#pragma once
#include "hw/pci/pci.h"

/*
 * A host bridge as device trees call it "pci-host-ecam-generic": configuration space is memory (PCI Express Base 5.0, 7.2.2), one MMIO region 0 of
 * 1 MiB a bus. Bus "pci.0" with the devices of -device; there are no other buses.
 */
typedef struct EcamSetup {
    Machine *machine;
    uint64_t size;              /* of the configuration window */
    AddressSpace *dma;          /* bus masters' view */
} EcamSetup;

extern const DeviceClass ecam_class;
/* Before realize. */
void ecam_setup(Device *dev, const EcamSetup *setup);
PciBus *ecam_bus(Device *dev);
/* Containers that boards put windows on: 2^64 of memory, 64 KiB of ports. */
MemRegion *ecam_mem(Device *dev);
MemRegion *ecam_io(Device *dev);
