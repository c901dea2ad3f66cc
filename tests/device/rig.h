#pragma once
#include "block/block.h"
#include "hw/pci/i440fx.h"
#include "hw/pci/pci.h"
#include "hw/pci/piix3.h"
#include "tests/unit/check.h"
#include "vmm/machine.h"

/* A machine without vCPUs: 16 MiB of RAM, i440FX and PIIX3, and the accesses a driver would make. */
typedef struct Rig {
    Machine *m;
    MemRegion *ram;
    uint8_t *host;              /* of guest address 0 */
    Device *pcihost;
    PciBus *bus;
    Device *piix3;
    unsigned isa_level;         /* bit n: ISA interrupt n as the router drives it */
    IrqWire *isa[16];
    unsigned n_msi;
    uint64_t msi_addr;          /* the last one */
    uint32_t msi_data;
    BlockCtx *block;
} Rig;

#define RIG_RAM (16u << 20)

void rig_init(Rig *r);
void rig_clear(Rig *r);
/* "name=value" pairs, NULL-terminated. Fails the test if the device cannot be made. */
Device *rig_device(Rig *r, const char *klass, const char *const *props);
/* Run the main loop until *done or for at most 5 s. */
void rig_wait(Rig *r, const bool *done);
void rig_settle(Rig *r);        /* whatever is ready */
void rig_run(Rig *r);           /* machine state RUNNING */

uint64_t rig_load(Rig *r, GuestAddr gpa, unsigned size);
void rig_store(Rig *r, GuestAddr gpa, unsigned size, uint64_t val);
uint32_t rig_in(Rig *r, uint16_t port, unsigned size);
void rig_out(Rig *r, uint16_t port, unsigned size, uint32_t val);
/* Configuration cycles by mechanism 1. */
uint32_t rig_cfg_read(Rig *r, uint8_t devfn, unsigned off, unsigned size);
void rig_cfg_write(Rig *r, uint8_t devfn, unsigned off, unsigned size, uint32_t val);
uint8_t rig_devfn(Device *dev);
unsigned rig_find_cap(Rig *r, uint8_t devfn, uint8_t id);

/* A drive on a temporary raw image of @bytes, registered as object @id. */
BlockNode *rig_drive(Rig *r, const char *id, uint64_t bytes, bool writable);
