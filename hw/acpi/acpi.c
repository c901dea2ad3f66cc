/* Headers, checksums and placement; the tables themselves: tables.c, dsdt.c. */
#include "hw/acpi/acpi-internal.h"

#include <string.h>

#include "util/bits.h"

void acpi_tables_free(AcpiTables *t)
{
    if (!t)
        return;
    g_byte_array_unref(t->data);
    g_array_unref(t->patches);
    g_free(t);
}

uint64_t acpi_tables_size(const AcpiTables *t)
{
    return t->data->len;
}

/* ---- building ---- */

uint32_t acpi_table_begin(AcpiTables *t, const char sig[4], uint8_t revision)
{
    enum { ALIGN = 16, HEADER = 36 };
    uint8_t h[HEADER] = { 0 };
    g_byte_array_set_size(t->data, (guint)align_up(t->data->len, ALIGN));
    uint32_t at = t->data->len;
    memcpy(h, sig, 4);
    h[8] = revision;
    memcpy(h + 10, "TANDEM", 6);
    memcpy(h + 16, "TANDEMPC", 8);
    store_le32(h + 24, 1);
    memcpy(h + 28, "TNDM", 4);
    store_le32(h + 32, 1);
    g_byte_array_append(t->data, h, HEADER);
    return at;
}

void acpi_table_end(AcpiTables *t, uint32_t at)
{
    AcpiPatch p = { ACPI_PATCH_CHECKSUM, at + 9, at, t->data->len - at };
    store_le32(t->data->data + at + 4, t->data->len - at);
    g_array_append_val(t->patches, p);
}

void acpi_put(AcpiTables *t, uint64_t v, unsigned size)
{
    uint8_t raw[8];
    store_le(raw, size, v);
    g_byte_array_append(t->data, raw, size);
}

void acpi_put_pointer(AcpiTables *t, uint32_t target, unsigned size)
{
    AcpiPatch p = { ACPI_PATCH_POINTER, t->data->len, 0, size };
    g_array_append_val(t->patches, p);
    acpi_put(t, target, size);
}

/* ---- placing ---- */

static uint8_t checksum(const uint8_t *p, size_t len)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < len; i++)
        sum += p[i];
    return (uint8_t)-sum;
}

void acpi_place(const AcpiTables *t, uint64_t base, AddressSpace *as)
{
    g_autofree uint8_t *d = g_memdup2(t->data->data, t->data->len);
    for (unsigned i = 0; i < t->patches->len; i++) {
        const AcpiPatch *p = &g_array_index(t->patches, AcpiPatch, i);
        if (p->kind == ACPI_PATCH_POINTER) {
            store_le(d + p->offset, p->len, load_le(d + p->offset, p->len) + base);
        } else {
            d[p->offset] = 0;
            d[p->offset] = checksum(d + p->start, p->len);
        }
    }
    as_dma_write(as, base, d, t->data->len);
}

static void rsdp(const AcpiTables *t, uint64_t base, uint8_t *r)
{
    memset(r, 0, ACPI_RSDP_SIZE);
    memcpy(r, "RSD PTR ", 8);
    memcpy(r + 9, "TANDEM", 6);
    r[15] = 2;
    store_le32(r + 16, (uint32_t)(t->rsdt + base));
    store_le32(r + 20, ACPI_RSDP_SIZE);
    store_le64(r + 24, t->xsdt + base);
}

void acpi_rsdp_at(const AcpiTables *t, uint64_t base, uint8_t ret[ACPI_RSDP_SIZE])
{
    rsdp(t, base, ret);
    ret[8] = checksum(ret, 20);
    ret[32] = checksum(ret, ACPI_RSDP_SIZE);
}

/* ---- the table loader's script ---- */

/*
 * 128-byte commands (the firmware's interface, as SeaBIOS and OVMF read it): ALLOCATE 1 { file[56], align32, zone8 },
 * ADD_POINTER 2 { dest file[56], source file[56], offset32, size8 }, ADD_CHECKSUM 3 { file[56], offset32, start32, length32 }.
 */
static const char file_tables[] = "etc/acpi/tables", file_rsdp[] = "etc/acpi/rsdp";
enum { CMD_ALLOCATE = 1, CMD_ADD_POINTER = 2, CMD_ADD_CHECKSUM = 3, NAME_LEN = 56, ZONE_HIGH = 1, ZONE_FSEG = 2 };

static void script_allocate(GByteArray *s, const char *file, uint32_t align, uint8_t zone)
{
    uint8_t e[ACPI_LOADER_ENTRY] = { CMD_ALLOCATE };
    memcpy(e + 4, file, strlen(file));
    store_le32(e + 4 + NAME_LEN, align);
    e[8 + NAME_LEN] = zone;
    g_byte_array_append(s, e, sizeof(e));
}

static void script_pointer(GByteArray *s, const char *dest, const char *src, uint32_t offset, unsigned size)
{
    uint8_t e[ACPI_LOADER_ENTRY] = { CMD_ADD_POINTER };
    memcpy(e + 4, dest, strlen(dest));
    memcpy(e + 4 + NAME_LEN, src, strlen(src));
    store_le32(e + 4 + 2 * NAME_LEN, offset);
    e[8 + 2 * NAME_LEN] = (uint8_t)size;
    g_byte_array_append(s, e, sizeof(e));
}

static void script_checksum(GByteArray *s, const char *file, uint32_t offset, uint32_t start, uint32_t len)
{
    uint8_t e[ACPI_LOADER_ENTRY] = { CMD_ADD_CHECKSUM };
    memcpy(e + 4, file, strlen(file));
    store_le32(e + 4 + NAME_LEN, offset);
    store_le32(e + 8 + NAME_LEN, start);
    store_le32(e + 12 + NAME_LEN, len);
    g_byte_array_append(s, e, sizeof(e));
}

GByteArray *acpi_loader_rsdp(const AcpiTables *t)
{
    uint8_t r[ACPI_RSDP_SIZE];
    rsdp(t, 0, r);
    GByteArray *a = g_byte_array_new();
    g_byte_array_append(a, r, sizeof(r));
    return a;
}

GByteArray *acpi_loader_script(const AcpiTables *t)
{
    GByteArray *s = g_byte_array_new();
    script_allocate(s, file_tables, 64, ZONE_HIGH);
    for (unsigned i = 0; i < t->patches->len; i++) {
        const AcpiPatch *p = &g_array_index(t->patches, AcpiPatch, i);
        if (p->kind == ACPI_PATCH_POINTER)
            script_pointer(s, file_tables, file_tables, p->offset, p->len);
        else
            script_checksum(s, file_tables, p->offset, p->start, p->len);
    }
    script_allocate(s, file_rsdp, 16, ZONE_FSEG);
    script_pointer(s, file_rsdp, file_tables, 16, 4);
    script_pointer(s, file_rsdp, file_tables, 24, 8);
    script_checksum(s, file_rsdp, 8, 0, 20);
    script_checksum(s, file_rsdp, 32, 0, ACPI_RSDP_SIZE);
    return s;
}
