#pragma once
#include "cpu/x86/irqchip.h"
#include "vmm/device.h"

/*
 * 82093AA I/O APIC. MMIO 0 (4 KiB, at fec00000h); inputs 0-23. It sends its interrupts as MSIs through the fabric, so it serves
 * local APICs of ours and of an engine alike. Property id: the reset value of its APIC ID.
 */
extern const DeviceClass ioapic_class;

/* A local APIC broadcasts the EOI of a level triggered vector. Any thread, takes the fabric lock. */
void ioapic_eoi(Device *dev, uint8_t vector);
/* Called with the fabric lock held when a pin's level interrupt was acknowledged (besides irq_wire_eoi_locked on the pin's wire). */
void ioapic_set_pin_eoi(Device *dev, void (*fn)(void *opaque, unsigned pin), void *opaque);
/* Vectors that are level triggered in some entry, for engines that must report their EOIs (split irqchip): 256 bits. */
void ioapic_level_vectors(Device *dev, uint64_t ret[4]);
/* An engine became owner of the local APICs: tell it those vectors; later changes reach it by themselves. */
void ioapic_tell_engine(Device *dev);
void ioapic_state_out(Device *dev, X86IoapicState *ret);
void ioapic_state_in(Device *dev, const X86IoapicState *s);
