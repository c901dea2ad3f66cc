#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * A writer of AML (ACPI 6.4, chapter 20): bytes are appended to a GByteArray, in the order in which the grammar wants them. What has a
 * PkgLength is opened by aml_begin, which returns where, and closed by aml_end. Names are as in ASL: "\\_SB.PCI0", "^X", "_HID".
 */
typedef GByteArray Aml;

/* Opcodes used with aml_op and aml_begin; two-byte ones have 0x5b in the high byte. */
enum {
    AML_ZERO = 0x00, AML_ONE = 0x01, AML_NAME = 0x08, AML_SCOPE = 0x10, AML_BUFFER = 0x11, AML_PACKAGE = 0x12, AML_METHOD = 0x14,
    AML_LOCAL0 = 0x60, AML_ARG0 = 0x68, AML_STORE = 0x70, AML_AND = 0x7b, AML_OR = 0x7d, AML_RETURN = 0xa4, AML_IF = 0xa0, AML_ELSE = 0xa1,
    AML_CREATE_DWORD = 0x8a, AML_LEQUAL = 0x93, AML_NOTIFY = 0x86,
    AML_DEVICE = 0x5b82, AML_OPREGION = 0x5b80, AML_FIELD = 0x5b81, AML_PROCESSOR = 0x5b83,
};

void aml_op(Aml *a, unsigned op);
unsigned aml_begin(Aml *a, unsigned op);
void aml_end(Aml *a, unsigned at);
void aml_name(Aml *a, const char *name);
void aml_int(Aml *a, uint64_t v);
void aml_string(Aml *a, const char *s);
void aml_byte(Aml *a, uint8_t v);
void aml_raw(Aml *a, const void *p, unsigned len);
/* Name(NAME, ...) with the value following. */
void aml_name_int(Aml *a, const char *name, uint64_t v);
void aml_name_string(Aml *a, const char *name, const char *s);
/* "PNP0A03" as a compressed id (19.3.4). */
void aml_name_eisaid(Aml *a, const char *name, const char *id);
/* Method head; close with aml_end. */
unsigned aml_method(Aml *a, const char *name, unsigned n_args);
unsigned aml_device(Aml *a, const char *name);
unsigned aml_scope(Aml *a, const char *name);

/* ---- resource templates (6.4): collected, then emitted as a Buffer ---- */
typedef GByteArray Crs;
Crs *crs_new(void);
void crs_io(Crs *c, uint16_t base, uint16_t len);
void crs_irq(Crs *c, uint16_t mask);
/* Extended interrupt, level, active high, shared; @n numbers. */
void crs_interrupts(Crs *c, const uint32_t *irqs, unsigned n);
void crs_memory32(Crs *c, bool writable, uint32_t base, uint32_t len);
void crs_word_bus(Crs *c, uint16_t first, uint16_t last);
void crs_word_io(Crs *c, uint16_t first, uint16_t last);
void crs_dword_memory(Crs *c, bool cacheable, uint32_t first, uint32_t last);
/* Name(NAME, ResourceTemplate() {...}); frees @c. */
void aml_name_crs(Aml *a, const char *name, Crs *c);
