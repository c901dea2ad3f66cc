#pragma once
#include "vmm/device.h"
#include "vmm/machine.h"

/*
 * Cards for the ISA bus, made with -device: the card says in realize what its jumpers say, the bus maps it. Chips that boards
 * solder on (8254, serial ports) are system devices instead and do not know their addresses.
 */
enum { ISA_PIO = 4, ISA_MMIO = 2 };

typedef struct IsaDevice {
    Device dev;
    uint32_t pio_addr[ISA_PIO];     /* of region n; 0 = unused */
    uint64_t mmio_addr[ISA_MMIO];
    bool irqs_are_lines;            /* output n drives interrupt line n */
} IsaDevice;

/* "isa.0", owned by the machine. Lines are inputs of @gsi (hw/intc/gsi.h), which may be NULL. */
Bus *isa_bus_new(Machine *m, Device *gsi);
