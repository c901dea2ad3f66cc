#pragma once
#include "vmm/device.h"

/*
 * High precision event timers (IA-PC HPET 1.0a): three comparators, 64 bits, 100 MHz. MMIO 0 (1 KiB, at fed00000h). Inputs: 0 the 8254's OUT0,
 * 1 the RTC's interrupt. Outputs: n the I/O APIC's pin n, HPET_LEGACY + 0 and + 1 what goes to ISA interrupts 0 and 8: the
 * inputs, or in legacy replacement mode timers 0 and 1.
 */
extern const DeviceClass hpet_class;
enum { HPET_PINS = 24, HPET_LEGACY = HPET_PINS };
#define HPET_PERIOD_FS 10000000u

/* Board, after all are realized: puts itself between @pit, @rtc (may be NULL) and @gsi (hw/intc/gsi.h). */
void hpet_connect(Device *hpet, Device *pit, Device *rtc, Device *gsi);
