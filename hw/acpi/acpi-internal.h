#pragma once
#include "hw/acpi/acpi.h"

/* Between the makers of single tables and acpi.c. */

/* Appends a table header (16-byte aligned); its offset. */
uint32_t acpi_table_begin(AcpiTables *t, const char sig[4], uint8_t revision);
/* Fills in length and checksum patch. */
void acpi_table_end(AcpiTables *t, uint32_t at);
void acpi_put(AcpiTables *t, uint64_t v, unsigned size);
/* A pointer of @size bytes to offset @target of the blob. */
void acpi_put_pointer(AcpiTables *t, uint32_t target, unsigned size);
/* dsdt.c: the DSDT's AML. */
void acpi_dsdt(AcpiTables *t, const AcpiConfig *cfg);
