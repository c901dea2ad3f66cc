#pragma once
#include "vmm/device.h"

/*
 * Platform-level interrupt controller (RISC-V PLIC 1.0.0). MMIO region 0; inputs 1.. are the sources (0 is none); output n is the external
 * interrupt of context n. Boards say how many contexts there are (property).
 */
enum { PLIC_SOURCES = 96, PLIC_MAX_CONTEXTS = 1024, PLIC_SIZE = 0x600000 };
extern const DeviceClass plic_class;
