#pragma once
#include "vmm/device.h"
#include "vmm/vcpu.h"

/*
 * Arm generic interrupt controllers for up to 8 CPUs: "arm-gicv2" (Arm IHI 0048B: MMIO region 0 distributor, 1 CPU interfaces) and "arm-gicv3"
 * (Arm IHI 0069H, always one security state: MMIO region 0 distributor, 1 redistributors; the CPU interface is system registers).
 *
 * Inputs: SPI n (interrupt 32 + n) is input n; PPI k (interrupt 16..31) of CPU c is input GIC_SPIS + 32 * c + k. Outputs 2 * c and 2 * c + 1 are IRQ and
 * FIQ of CPU c.
 */
enum { GIC_CPUS = 8, GIC_SPIS = 256, GICD_SIZE = 0x10000, GICC_SIZE = 0x2000, GICR_STRIDE = 0x20000 };

extern const DeviceClass gicv2_class, gicv3_class, gicv2m_class;

/* Before realize: who asks is looked up among @cpus (fewer than the property "cpus" says: asks as CPU 0). Tests say it with @self instead. */
typedef struct GicSetup {
    Vcpu *const *cpus;          /* copied */
    unsigned n;
    unsigned (*self)(void *opaque);
    void *opaque;
    /* GICv2: with the Security Extensions; whether an access of CPU @cpu is a Secure one. NULL: there is one state. */
    bool (*secure)(void *opaque, unsigned cpu);
    void *secure_opaque;
    bool reset_nonsecure;       /* and no Secure software will give interrupts away: all are group 1 from reset on */
} GicSetup;
void gic_setup(Device *dev, const GicSetup *setup);

/* The CPU interface's system registers of the GICv3 (ICC_*_EL1, numbers as in cpu/aarch64/sysreg.h). False: no such register. Takes the fabric's lock. */
bool gicv3_sysreg_read(Device *dev, unsigned cpu, uint32_t reg, uint64_t *ret);
bool gicv3_sysreg_write(Device *dev, unsigned cpu, uint32_t reg, uint64_t val);

/*
 * "arm-its", the interrupt translation service of a GICv3 made with the property "lpis" (IHI 0069H 5): two frames of 64 KiB, registers and the doorbell
 * at ITS_TRANSLATER. A device number and what it writes are an interrupt of a CPU as the guest's tables have it. Before realize: its controller.
 */
enum { ITS_SIZE = 0x20000, ITS_TRANSLATER = 0x10040 };
extern const DeviceClass its_class;
void its_setup(Device *dev, Device *gicv3);
/* A write of @event to the doorbell by the device of number @from. Any thread; device locks may be held. */
void its_msi(Device *dev, uint32_t from, uint32_t event);

/*
 * "arm-gicv2m" (Server Base System Architecture 3.0, appendix E): a frame of 4 KiB whose register at GICV2M_SETSPI turns the write of an interrupt
 * number into an edge. Output n is interrupt "base" + n; properties base and count.
 */
enum { GICV2M_SETSPI = 0x40, GICV2M_MAX = 128 };
/* A write to that register from outside the CPUs. Any thread, no locks. */
void gicv2m_msi(Device *dev, uint32_t data);
