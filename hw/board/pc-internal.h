#pragma once
#include "hw/acpi/acpi.h"
#include "hw/board/boot.h"
#include "hw/board/pc.h"
#include "hw/intc/gsi.h"
#include "hw/intc/ioapic.h"
#include "hw/intc/lapic.h"
#include "hw/intc/pic.h"
#include "hw/pci/i440fx.h"
#include "hw/pci/piix3.h"
#include "hw/pci/piix4_pm.h"
#include "hw/timer/rtc.h"

/* The map (i440FX as virtual machines have it). */
#define PC_LOW_MAX 0xe0000000ull        /* RAM below 4 GiB: up to 3.5 GiB if that is all ... */
#define PC_LOW_SPLIT 0xc0000000ull      /* ... else 3 GiB, the rest from 4 GiB on */
#define PC_HIGH_BASE 0x100000000ull
#define PC_PCI_END 0xfec00000ull        /* end of the window for PCI memory */
#define PC_IOAPIC 0xfec00000ull
#define PC_HPET 0xfed00000ull
#define PC_LAPIC 0xfee00000ull
enum {
    PC_BIOS_MAX = 16 << 20, PC_ISA_BIOS = 0xe0000, PC_ISA_BIOS_END = 0x100000, PC_PM_BASE = 0x600, PC_SMB_BASE = 0x700, PC_SCI = 9,
    PC_MAX_E820 = 16, PC_BOOT_ROM = 0xf0000, PC_BOOT_ROM_SIZE = 0x10000,
    PC_SMBIOS_ANCHOR = PC_BOOT_ROM + 0x100, PC_SMBIOS_TABLES = PC_BOOT_ROM + 0x200,
};

typedef struct Pc {
    Machine *m;
    PcConfig cfg;
    uint64_t ram_bytes, low_bytes, high_bytes;
    MemRegion *ram;             /* all of it; windows on it are in the memory map */
    AddressSpace *smm;
    Device *host, *piix3, *pm, *gsi, *pic, *ioapic, *apicbus, *pit, *rtc, *hpet, *kbd, *port92, *fw_cfg;
    GPtrArray *lapics;
    IrqWire *smi, *a20;
    MemRegion *a20_off;         /* first MiB once more at the second */
    void *cpu_model;            /* X86CpuModel *, of all vCPUs */
    E820Entry e820[PC_MAX_E820];
    unsigned n_e820;
    AcpiTables *acpi;
    GByteArray *smbios_anchor, *smbios_tables;
    uint64_t acpi_base;         /* direct boot: where tables lie; 0 = firmware places them */
    BootPlan plan;
    GPtrArray *boot_files;      /* GBytes of boot_file_open: what the plan points into */
    bool direct;                /* a kernel is started without firmware */
} Pc;

/* pc.c */
void pc_e820_add(Pc *pc, uint64_t base, uint64_t len, uint32_t type);
Device *pc_device(Pc *pc, const char *klass, const char *id, const char *const *props, Bus *bus, GError **err);
/* pc-devices.c: chips and ISA devices, from tables. */
bool pc_make_chips(Pc *pc, GError **err);
bool pc_make_isa(Pc *pc, GError **err);
uint16_t pc_serial_port(unsigned n);
uint8_t pc_serial_irq(unsigned n);
/* pc-cpu.c */
bool pc_make_cpus(Pc *pc, GError **err);
void pc_reset_cpus(Pc *pc);
/* State of the boot processor for a direct boot. */
void pc_boot_cpu(Pc *pc);
/* pc-bootorder.c: of the devices that are there. */
void pc_bootorder(Pc *pc);
/* pc-irqchip.c */
void pc_irqchip_init(Pc *pc);
void pc_irqchip_before_reset(Pc *pc);
void pc_irqchip_after_reset(Pc *pc);
/* pc-boot.c: what firmware would do, for direct boots. */
bool pc_boot_plan(Pc *pc, GError **err);
bool pc_boot_prepare(Pc *pc, GError **err);
void pc_boot_reset(Pc *pc);
/* pc-tables.c: ACPI and SMBIOS, of the machine as it is. */
bool pc_make_tables(Pc *pc, GError **err);
/* pc-firmware.c */
bool pc_firmware_load(Pc *pc, GError **err);
bool pc_firmware_files(Pc *pc, GError **err);
/* pc-kernelrom.c: a plan of BOOT_REAL16 for firmware to carry out. */
#define PC_KERNEL_ROM "genroms/kernel.bin"
void pc_offer_kernel(Pc *pc);
