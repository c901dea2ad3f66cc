#pragma once
#include "block/block.h"
#include "hw/pci/pci.h"

/*
 * PIIX3 IDE (PCI function with two channels) and what hangs on it. Controller outputs: irq[0], irq[1] = the channels' interrupts (14 and 15).
 * Port regions: 0, 1 = command blocks (8 ports: 0x1f0, 0x170), 2, 3 = control blocks (1 port: 0x3f6, 0x376). It provides the buses "ide.0" and
 * "ide.1" for ide-hd and ide-cd.
 */
extern const PciDeviceClass piix3_ide_class;
extern const DeviceClass ide_hd_class, ide_cd_class;

/* Main thread, no locks: change the medium of an ide-cd (NULL: none). The node is borrowed and must live until changed again or unrealize. */
void ide_cd_set_media(Device *cd, BlockNode *node);
bool ide_cd_locked(Device *cd);         /* the guest prevents removal */
