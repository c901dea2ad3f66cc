#pragma once
#include "cpu/x86/irqchip.h"
#include "vmm/device.h"

/*
 * 8254 and the PC's port 61h. Ports: 0 the 8254 (4, at 40h), 1 port 61h (1). Output irq[0] is OUT0. Gates 0 and 1 are high, gate 2
 * is bit 0 of port 61h.
 */
extern const DeviceClass pit_class;

#define PIT_HZ 1193182ull

/*
 * Hand-over of ownership; work item. Stop: no interrupts from here until pit_start; its state and the tick of the virtual clock that it is of. In: state
 * of that tick, OUT as it was then, still standing. Start: what should have happened since @tick does now.
 */
uint64_t pit_stop(Device *dev, X86PitState *ret);
void pit_state_in(Device *dev, const X86PitState *s, uint64_t tick);
void pit_start(Device *dev, uint64_t tick);
/* An engine owns the PIT: no timer interrupts from here. */
void pit_set_active(Device *dev, bool active);
