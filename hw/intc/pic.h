#pragma once
#include "cpu/x86/irqchip.h"
#include "vmm/device.h"

/*
 * The PC's pair of 8259As. Ports: 0 master (2, at 20h), 1 slave (2, at a0h), 2 ELCR (2, at 4d0h). Inputs 0-15 are the ISA
 * interrupts (2 is the cascade and ignored); output irq[0] is the master's INT.
 */
extern const DeviceClass pic_class;

/* The CPU's INTA cycles: vector 0..255, a spurious IR7 if nothing is left. Any thread, takes the fabric lock. */
int pic_ack(Device *dev);
/* Hand-over of ownership and tests; work item. */
void pic_state_out(Device *dev, X86PicState *ret);
void pic_state_in(Device *dev, const X86PicState *s);
