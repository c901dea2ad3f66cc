#pragma once
#include "vmm/device.h"
#include "vmm/vcpu.h"

/*
 * What stands beside each RISC-V hart: the CLINT (software interrupts and timers in machine mode, SiFive's layout, which the ACLINT specification
 * keeps), Sstc's supervisor timer, and the wires of the external interrupts. MMIO region 0 (64 KiB). Inputs 2n, 2n+1: external
 * interrupt of hart n in machine and in supervisor mode.
 */
enum { ACLINT_HZ = 10000000, ACLINT_SIZE = 0x10000 };
extern const DeviceClass aclint_class;

/* Before realize: the harts, which get their interrupt controller here. Lives as long as the machine. */
void aclint_attach(Device *dev, Vcpu *const *harts, unsigned n);
