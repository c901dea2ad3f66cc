#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/memory.h"

/*
 * Interrupt wires and the fabric.
 *
 * Irq is the driving end: one output of one device. IrqWire is the input of a controller (or of anything that wants
 * a level); several Irqs may drive one wire, their levels are ORed. A device drives its Irq and knows nothing more.
 *
 * All controllers (8259, I/O APIC, PIRQ router, HPET/PIT mux, SCI) of a machine form its IrqFabric with one lock. Wire
 * handlers run with that lock held. A fabric device (DeviceClass.fabric) has the fabric's lock as its device lock.
 */
typedef struct Irq Irq;
typedef struct IrqWire IrqWire;
typedef struct IrqFabric IrqFabric;

/* The wire's ORed level changed; the fabric lock is held. Drive further wires with irq_set_locked only. */
typedef void IrqHandler(void *opaque, unsigned n, bool level);

/* ---- driving (devices) ---- */

/* Set the output's level. Any thread, a device lock may be held, the fabric lock not. NULL and unconnected outputs are fine. */
void irq_set(Irq *irq, bool level);
/* Up and down: an edge. */
void irq_pulse(Irq *irq);
bool irq_level(const Irq *irq);
/* The same for code that holds the fabric lock (controllers). */
void irq_set_locked(Irq *irq, bool level);
void irq_pulse_locked(Irq *irq);

/*
 * After the controller saw an EOI for a level interrupt of the wire, @fn runs (fabric lock not held, any thread) so that
 * the owner of a still pending condition raises it again; the lowering half is done by the fabric. NULL removes.
 */
void irq_set_resample(Irq *irq, void (*fn)(void *opaque), void *opaque);

/* ---- wiring (core and boards) ---- */

Irq *irq_new(void);
void irq_free(Irq *irq);                        /* lowers and disconnects it */
/* Connect (or with NULL disconnect) an output; the present level carries over. Not while the fabric lock is held. */
void irq_connect(Irq *irq, IrqWire *wire);
IrqWire *irq_wire(const Irq *irq);

/* Input @n of whoever owns @opaque. Freed with the fabric, or earlier once nothing is connected. */
IrqWire *irq_wire_new(IrqFabric *f, IrqHandler *fn, void *opaque, unsigned n);
void irq_wire_free(IrqWire *w);
bool irq_wire_level(const IrqWire *w);          /* wait-free */
unsigned irq_wire_index(const IrqWire *w);
/* Controllers, lock held: a level interrupt of this wire was acknowledged by EOI. Resample callbacks run after unlock. */
void irq_wire_eoi_locked(IrqWire *w);

/* ---- the fabric ---- */

/* Who delivers interrupts: the models in hw, or the engine with its in-kernel chips. Changed by work item only. */
typedef enum IrqOwner { IRQ_OWNER_MODEL, IRQ_OWNER_ENGINE } IrqOwner;

/* What an engine that owns the controllers offers; calls come with the fabric lock held except msi. */
typedef struct IrqEngineOps {
    void (*gsi)(void *opaque, unsigned gsi, bool level);
    void (*msi)(void *opaque, uint64_t addr, uint32_t data);            /* any thread, no lock */
    /* Without gsi: vectors of level interrupts, whose EOIs the engine reports (EXIT_EOI): 256 bits. Lock held. */
    void (*level_vectors)(void *opaque, const uint64_t vectors[4]);
    bool pit;                                                           /* with gsi: the 8254 is the engine's too */
} IrqEngineOps;

/* @from: who wrote it, as the bus numbers its devices (PCI: bus << 8 | devfn); 0 if it has no number. */
typedef void IrqMsiFn(void *opaque, uint64_t addr, uint32_t data, uint32_t from);

IrqFabric *irq_fabric_new(void);
void irq_fabric_free(IrqFabric *f);
DevLock *irq_fabric_devlock(IrqFabric *f);      /* the lock as a device lock (not a new reference) */
void irq_fabric_lock(IrqFabric *f);
void irq_fabric_unlock(IrqFabric *f);           /* runs due resample callbacks afterwards */

/* The model side's receiver of MSIs (the local APICs); called on any thread without locks. */
void irq_fabric_set_msi(IrqFabric *f, IrqMsiFn *fn, void *opaque);
/* The engine's offer (@ops not copied; NULL withdraws) and the present owner. */
void irq_fabric_set_engine(IrqFabric *f, const IrqEngineOps *ops, void *opaque);
void irq_fabric_set_owner(IrqFabric *f, IrqOwner owner);
IrqOwner irq_fabric_owner(const IrqFabric *f);
const IrqEngineOps *irq_fabric_engine(const IrqFabric *f, void **ret_opaque);
/*
 * Controllers' input handlers call this first: true if the engine owns the controllers and took the level. Lock held.
 */
bool irq_fabric_engine_gsi_locked(IrqFabric *f, unsigned gsi, bool level);

/*
 * While the controllers' state moves between owners: from hold to release, level changes and messages of other threads are kept, and then reach the
 * new owner in full, edges too. No vCPU runs. The calling thread's own go through at once.
 */
void irq_fabric_hold(IrqFabric *f);
void irq_fabric_release(IrqFabric *f);

/* Deliver a message-signalled interrupt to whoever owns the local APICs. Any thread; device locks may be held. Not DMA. */
void irq_fabric_msi(IrqFabric *f, uint64_t addr, uint32_t data, uint32_t from);

/* ---- what an engine asks the local interrupt controller of one vCPU ---- */

/*
 * Filled by the LAPIC model (or, without one, by the PIC glue). Called on the vCPU's own thread unless noted; @opaque is
 * CpuIntc.opaque. tcg polls pending only after vcpu_raise(VCPU_EV_INTR) told it to look.
 */
typedef struct CpuIntcOps {
    bool (*pending)(void *opaque);              /* an interrupt above TPR is deliverable if IF allows; wait-free */
    int (*ack)(void *opaque);                   /* take it: vector 0..255, or -1 if it vanished */
    uint8_t (*tpr)(void *opaque);               /* CR8, 0..15 */
    void (*set_tpr)(void *opaque, uint8_t cr8);
    void (*eoi)(void *opaque);
    /* INIT or SIPI reached the vCPU and was taken: reset what INIT resets (SDM 3A 11.4.7.3). */
    void (*init_sipi)(void *opaque, bool init);
    /* x2APIC MSRs 0x800-0x8ff and IA32_APIC_BASE, IA32_TSC_DEADLINE; false: #GP. */
    bool (*msr_read)(void *opaque, uint32_t msr, uint64_t *ret);
    bool (*msr_write)(void *opaque, uint32_t msr, uint64_t val);
    /*
     * A controller whose registers each CPU sees in its own physical address space: memory accesses come here first. False: not
     * its page. NULL: none. mmio_page says where that page is now (UINT64_MAX: nowhere), so that no RAM below it is mapped directly; it
     * changes only in msr_write.
     */
    bool (*mmio)(void *opaque, GuestAddr gpa, unsigned size, bool write, uint64_t *val);
    GuestAddr (*mmio_page)(void *opaque);
    /*
     * For an engine that owns the local controllers but not what hangs on their INTR pin (the 8259s): the pin's level, and its acknowledge as ack.
     * Changes come as VCPU_EV_INTR. NULL: nothing hangs there.
     */
    bool (*ext_pending)(void *opaque);
    int (*ext_ack)(void *opaque);
} CpuIntcOps;

typedef struct CpuIntc {
    const CpuIntcOps *ops;      /* NULL: no controller */
    void *opaque;
} CpuIntc;
