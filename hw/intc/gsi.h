#pragma once
#include "vmm/device.h"

/*
 * Where the PC's interrupt lines meet: inputs 0-15 are the ISA interrupts, 16-23 the I/O APIC's further pins. An engine that owns
 * the controllers takes them (global system interrupt n); otherwise input n goes to the 8259s (n < 16) and to the I/O APIC,
 * pin 2 for the timer (ISA interrupt 0: the MADT carries this override), pin n for the rest.
 */
extern const DeviceClass gsi_class;
enum { GSI_INPUTS = 24 };

/* Board, after all are realized; @pic or @ioapic may be NULL. */
void gsi_connect(Device *gsi, Device *pic, Device *ioapic);
/* Tell the present owner all levels; in the work item that moved ownership. */
void gsi_resend(Device *gsi);
