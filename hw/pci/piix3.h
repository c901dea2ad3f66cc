#pragma once
#include "hw/pci/pci.h"

/*
 * 82371SB (PIIX3) function 0, the ISA bridge: routes PIRQA-D to ISA interrupts. Outputs dev->irq[0..15] are the ISA interrupt
 * lines (boards connect 3-7, 9-12, 14, 15). The PCI bus' INTx is wired to its inputs by piix3_connect().
 */
extern const PciDeviceClass piix3_class;
/* Board, after realize: PIRQ inputs onto the bus it sits on. */
void piix3_connect(Device *dev);
