#pragma once
#include "cpu/x86/irqchip.h"
#include "vmm/device.h"

/*
 * 8254 and the PC's port 61h. Ports: 0 the 8254 (4, at 40h), 1 port 61h (1). Output irq[0] is OUT0. Gates 0 and 1 are high, gate 2
 * is bit 0 of port 61h.
 */
extern const DeviceClass pit_class;

#define PIT_HZ 1193182ull

/* Hand-over of ownership; work item. */
void pit_state_out(Device *dev, X86PitState *ret);
void pit_state_in(Device *dev, const X86PitState *s);
/* An engine owns the PIT: no timer interrupts from here. */
void pit_set_active(Device *dev, bool active);
