#pragma once
#include "vmm/device.h"
#include "vmm/machine.h"

/*
 * Who owns the interrupt controllers, the models here or an engine with chips of its own, and how their state moves. An engine offers
 * itself with irq_fabric_set_engine(), its vm as opaque, and has irqchip_out and irqchip_in: both get an X86Irqchips (cpu/x86/irqchip.h).
 *
 *  - irqchip_in takes the local APICs, and the 8259s and the I/O APIC too if its IrqEngineOps has gsi, and the 8254 if it can.
 *  - irqchip_out fills what it owns and sets has_pit. Of a local APIC it fills reg[] (TMCCT included: the countdown is restored from it);
 *    IA32_APIC_BASE and the TSC deadline travel with the vCPU's state.
 */
typedef struct IrqChipSet {
    Machine *m;
    Device *pic, *pit, *ioapic, *gsi;
    Device *const *lapics;      /* by vCPU index */
    unsigned n_lapics;
} IrqChipSet;

/*
 * Move from one engine to another; for MachineSwitchFn. Work item, all vCPUs' state valid. False with @err: nothing moved. All pending
 * interrupts, levels and countdowns go along.
 */
bool irqchips_switch(const IrqChipSet *s, const AccelOps *from, void *from_vm, const AccelOps *to, void *to_vm, GError **err);
/* After a machine reset, and once before start: if the current engine is to own them, give it the models' reset state. Vcpus at rest. */
bool irqchips_reset(const IrqChipSet *s, GError **err);
