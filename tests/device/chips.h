#pragma once
#include "cpu/x86/state.h"
#include "hw/intc/gsi.h"
#include "hw/intc/ioapic.h"
#include "hw/intc/lapic.h"
#include "hw/intc/pic.h"
#include "tests/unit/check.h"
#include "vmm/machine.h"

/*
 * The PC's interrupt chips with processors that never run: the test is the processor. Time is manual.
 */
typedef struct Chips {
    Machine *m;
    unsigned n;
    Device *pic, *ioapic, *gsi, *bus, *lapic[8];
    Irq *line[GSI_INPUTS];      /* what devices would drive */
} Chips;

void chips_init(Chips *c, unsigned n_vcpus);
void chips_clear(Chips *c);
/* A chip that only a board makes; not connected. */
Device *chips_device(Chips *c, const DeviceClass *k);
/* Put all port regions of @dev in I/O space, from @ports[i]. */
void chips_map(Chips *c, Device *dev, const uint16_t *ports);
uint32_t chips_in(Chips *c, uint16_t port);
void chips_out(Chips *c, uint16_t port, uint8_t val);
void chips_advance(Chips *c, int64_t ns);

/* The processor's side. */
Vcpu *chips_cpu(Chips *c, unsigned i);
bool chips_pending(Chips *c, unsigned i);
int chips_ack(Chips *c, unsigned i);
uint32_t chips_apic(Chips *c, unsigned i, unsigned reg);
void chips_apic_write(Chips *c, unsigned i, unsigned reg, uint32_t val);
/* Software-enable all local APICs. */
void chips_enable(Chips *c);
/* Events raised for it since the last call. */
uint32_t chips_events(Chips *c, unsigned i);
uint32_t chips_ioapic(Chips *c, unsigned reg);
void chips_ioapic_write(Chips *c, unsigned reg, uint32_t val);
void chips_redirect(Chips *c, unsigned pin, uint64_t entry);
