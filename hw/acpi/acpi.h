#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/memory.h"

/*
 * ACPI tables (ACPI 6.4) of the PC as one relocatable blob: pointers in it are offsets, and a list says where they and the
 * checksums are. From it either firmware places them (the table loader's script) or a direct boot does.
 */
typedef struct AcpiConfig {
    unsigned n_cpus;
    const uint32_t *apic_ids;           /* n_cpus of them */
    uint16_t pm_base, sci;
    uint64_t pci_mem_base, pci_mem_end; /* window of the host bridge, end exclusive */
    uint32_t ioapic_base, lapic_base, hpet_base;        /* hpet_base 0 = none */
    bool has_kbd, has_rtc;
    unsigned n_serials;
    struct { uint16_t port; uint8_t irq; } serial[4];
} AcpiConfig;

typedef struct AcpiPatch {
    enum { ACPI_PATCH_POINTER, ACPI_PATCH_CHECKSUM } kind;
    uint32_t offset;                    /* of the pointer or the checksum byte */
    uint32_t start, len;                /* checksum: bytes summed up; pointer: len is its size */
} AcpiPatch;

typedef struct AcpiTables {
    GByteArray *data;                   /* pointers are offsets into itself */
    GArray *patches;                    /* of AcpiPatch, pointers before the checksums over them */
    uint32_t rsdt, xsdt;                /* offsets */
} AcpiTables;

AcpiTables *acpi_tables_new(const AcpiConfig *cfg);
void acpi_tables_free(AcpiTables *t);   /* NULL is fine */
uint64_t acpi_tables_size(const AcpiTables *t);
/* Put them at @base (64-byte aligned), with absolute pointers. */
void acpi_place(const AcpiTables *t, uint64_t base, AddressSpace *as);
enum { ACPI_RSDP_SIZE = 36 };
/* The RSDP of tables placed at @base. */
void acpi_rsdp_at(const AcpiTables *t, uint64_t base, uint8_t ret[ACPI_RSDP_SIZE]);
/* What firmware needs to place them itself: an RSDP with offsets, and the loader's script that names the files. */
enum { ACPI_LOADER_ENTRY = 128 };
GByteArray *acpi_loader_rsdp(const AcpiTables *t);
GByteArray *acpi_loader_script(const AcpiTables *t);
