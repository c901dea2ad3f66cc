#pragma once
#include "vmm/device.h"
#include "vmm/vcpu.h"

/*
 * What a machine has around its AArch64 CPUs ("arm-cpus"): interrupt lines, generic timers (ARM D11), power by PSCI 1.1 (Arm DEN 0022D). It is their
 * CpuIntc; numbers of cpu/aarch64/sysreg.h are its "registers", those of a GICv3 go on to it.
 *
 * Inputs 2 * c and 2 * c + 1: IRQ and FIQ of CPU c. Outputs 4 * c + t: timer t (A64_TIMER_n) of CPU c.
 */
enum { ARM_COUNTER_HZ = 62500000, ARM_CPUS_MAX = 8 };

extern const DeviceClass arm_cpus_class;
/* Before realize. @gicv3: NULL for other controllers. */
void arm_cpus_setup(Device *dev, Vcpu *const *cpus, unsigned n, Device *gicv3);
/* From the next reset on all run from the start: the firmware has PSCI. Else only the first does. */
void arm_cpus_set_all_on(Device *dev, bool on);
