#pragma once
#include "cpu/x86/irqchip.h"
#include "vmm/device.h"
#include "vmm/vcpu.h"

/*
 * Local APICs (SDM 3A chapter 11), xAPIC and x2APIC, and the bus between them.
 *
 * The board makes one apicbus, one I/O APIC and 8259 pair, and for each vCPU one lapic:
 *     lapic_attach(device_new(m, &lapic_class, ...), bus, vcpu); device_realize(...)
 * which fills vcpu->intc. Registers are reached through CpuIntcOps.mmio and the MSR hooks, not through an address space: the page
 * is at IA32_APIC_BASE, which each vCPU has for itself.
 *
 * Locks: registers belong to the vCPU's thread under the lapic's device lock (the timer runs on another). IRR, TMR and what
 * others look at to find a destination are atomic, so delivery takes no lock at all.
 */
extern const DeviceClass apicbus_class, lapic_class;

/* Rate of the timer before its divider. CPUID 15h's crystal must say the same: guests take it for the timer's rate. KVM's is the same. */
#define LAPIC_TIMER_HZ 1000000000ull

/* Inputs of the bus: INTR of the 8259 pair to LINT0, NMI to LINT1 of every local APIC. */
enum { APICBUS_INTR, APICBUS_NMI };

/* Before realize; boards, vCPU not running. The lapic's index is the vCPU's; APIC ID is vcpu->apic_id. */
void lapic_attach(Device *lapic, Device *bus, Vcpu *c);
/* Where INTA cycles and EOI broadcasts go. After all are realized. */
void apicbus_connect(Device *bus, Device *pic, Device *const *ioapics, unsigned n_ioapics);
/* EOI seen by an engine's local APICs (split irqchip): tell the I/O APICs. Any thread, no locks. */
void apicbus_eoi(Device *bus, uint8_t vector);
/* Deliver an MSI (any thread, any lock but none is needed). Registered with the fabric by realize. */
void apicbus_msi(void *bus, uint64_t addr, uint32_t data, uint32_t from);

/* As firmware leaves it: software-enabled, LINT0 = ExtINT (boot processor only), LINT1 = NMI. For direct kernel boot, from a reset hook. */
void lapic_virtual_wire(Device *lapic);

/* Hand-over of ownership; work item. apic_base must be kept equal to X86Msrs.apic_base by the caller. */
void lapic_state_out(Device *lapic, X86LapicState *ret);
void lapic_state_in(Device *lapic, const X86LapicState *s);
