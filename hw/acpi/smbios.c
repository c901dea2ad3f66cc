#include "hw/acpi/smbios.h"

#include <string.h>

#include "util/bits.h"

enum { H_BIOS = 0x0000, H_SYSTEM = 0x0100, H_CHASSIS = 0x0300, H_CPU = 0x0400, H_ARRAY = 0x1000, H_DIMM = 0x1100, H_MAP = 0x1300, H_BOOT = 0x2000, H_END = 0x7f00 };

typedef struct Smbios { GByteArray *a; unsigned n, max, start; } Smbios;

static void put(Smbios *s, uint64_t v, unsigned size)
{
    uint8_t raw[8];
    store_le(raw, size, v);
    g_byte_array_append(s->a, raw, size);
}

static void begin(Smbios *s, uint8_t type, uint8_t len, uint16_t handle)
{
    s->start = s->a->len;
    put(s, type, 1);
    put(s, len, 1);
    put(s, handle, 2);
}

/* Strings are numbered from 1 in the order given; two zeros end the structure. */
static void end(Smbios *s, const char *const *strings)
{
    g_assert(s->a->len - s->start == s->a->data[s->start + 1]);
    if (!strings || !*strings)
        put(s, 0, 1);
    for (; strings && *strings; strings++)
        g_byte_array_append(s->a, (const uint8_t *)*strings, (guint)strlen(*strings) + 1);
    put(s, 0, 1);
    s->n++;
    s->max = MAX(s->max, s->a->len - s->start);
}

static void put_uuid(Smbios *s, const char *text)
{
    uint8_t b[16] = { 0 };
    unsigned n = 0;
    for (const char *c = text ? text : ""; *c && n < 32; c++)
        if (g_ascii_isxdigit(*c)) {
            b[n / 2] = (uint8_t)(b[n / 2] << 4 | g_ascii_xdigit_value(*c));
            n++;
        }
    /* The first three fields are little endian since 2.6 (7.2.1). */
    static const uint8_t order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };
    for (unsigned i = 0; i < 16; i++)
        put(s, b[order[i]], 1);
}

static void bios_system_chassis(Smbios *s, const SmbiosConfig *c)
{
    begin(s, 0, 24, H_BIOS);
    put(s, 0x0201, 2);                  /* vendor 1, version 2 */
    put(s, 0xe800, 2);
    put(s, 3, 1);                       /* date */
    put(s, 0, 1);
    put(s, 8, 8);                       /* characteristics are not given */
    put(s, 0x1401, 2);                  /* extension bytes: ACPI; virtual machine, targeted content */
    put(s, 0xffff, 2);
    put(s, 0xffff, 2);
    end(s, (const char *[]){ "Tandem", "0.1.0", "01/01/2026", NULL });

    begin(s, 1, 27, H_SYSTEM);
    put(s, 0x00030201, 4);
    put_uuid(s, c->uuid);
    put(s, 6, 1);                       /* woken by the power switch */
    put(s, 0, 2);
    end(s, (const char *[]){ "Tandem", c->product, "pc-i440fx", NULL });

    begin(s, 3, 22, H_CHASSIS);
    put(s, 1, 1);
    put(s, 1, 1);                       /* type: other */
    put(s, 0, 3);
    put(s, 0x02030303, 4);              /* states: safe; security: unknown */
    put(s, 0, 4);
    put(s, 0, 4);
    put(s, 0, 1);
    end(s, (const char *[]){ "Tandem", NULL });
}

static void cpu_socket(Smbios *s, unsigned n_cpus)
{
    uint8_t n = (uint8_t)MIN(n_cpus, 255u);
    begin(s, 4, 42, H_CPU);
    put(s, 1, 1);                       /* socket designation */
    put(s, 3, 1);                       /* central processor */
    put(s, 1, 1);                       /* family: other */
    put(s, 2, 1);
    put(s, 0, 8);                       /* CPUID tells */
    put(s, 0, 1);
    put(s, 0, 1);
    put(s, 0, 2);
    put(s, 2000, 2);
    put(s, 2000, 2);
    put(s, 0x41, 1);                    /* populated, enabled */
    put(s, 1, 1);
    put(s, 0xffff, 2);
    put(s, 0xffff, 2);
    put(s, 0xffff, 2);
    put(s, 0, 3);
    put(s, n, 1);
    put(s, n, 1);
    put(s, n, 1);
    put(s, 2, 2);
    put(s, 1, 2);
    end(s, (const char *[]){ "CPU 0", "Tandem", NULL });
}

static void mapped(Smbios *s, uint16_t handle, uint64_t start, uint64_t len)
{
    uint64_t first = start >> 10, last = ((start + len) >> 10) - 1;
    bool wide = last > UINT32_MAX - 1;
    begin(s, 19, 31, handle);
    put(s, wide ? UINT32_MAX : first, 4);
    put(s, wide ? UINT32_MAX : last, 4);
    put(s, H_ARRAY, 2);
    put(s, 1, 1);
    put(s, wide ? start : 0, 8);
    put(s, wide ? start + len - 1 : 0, 8);
    end(s, NULL);
}

static void memory(Smbios *s, const SmbiosConfig *c)
{
    uint64_t mib = c->ram_bytes >> 20, kib = c->ram_bytes >> 10;
    begin(s, 16, 23, H_ARRAY);
    put(s, 1, 1);                       /* other location, system memory, multi-bit ECC */
    put(s, 3, 1);
    put(s, 6, 1);
    put(s, kib < 0x80000000 ? kib : 0x80000000, 4);
    put(s, 0xfffe, 2);
    put(s, 1, 2);
    put(s, kib < 0x80000000 ? 0 : c->ram_bytes, 8);
    end(s, NULL);

    begin(s, 17, 40, H_DIMM);
    put(s, H_ARRAY, 2);
    put(s, 0xfffe, 2);
    put(s, 64, 2);
    put(s, 64, 2);
    put(s, mib < 0x7fff ? mib : 0x7fff, 2);
    put(s, 9, 1);                       /* DIMM */
    put(s, 0, 1);
    put(s, 1, 1);
    put(s, 0, 1);
    put(s, 7, 1);                       /* RAM */
    put(s, 2, 2);
    put(s, 0, 2);
    put(s, 2, 1);
    put(s, 0, 3);
    put(s, 0, 1);
    put(s, mib < 0x7fff ? 0 : mib, 4);
    put(s, 0, 2);
    put(s, 0, 6);
    end(s, (const char *[]){ "DIMM 0", "Tandem", NULL });

    mapped(s, H_MAP, 0, c->low_bytes);
    if (c->ram_bytes > c->low_bytes)
        mapped(s, H_MAP + 1, BIT(32), c->ram_bytes - c->low_bytes);
}

GByteArray *smbios_tables(const SmbiosConfig *c, unsigned *ret_count, unsigned *ret_max)
{
    Smbios s = { .a = g_byte_array_new() };
    bios_system_chassis(&s, c);
    cpu_socket(&s, c->n_cpus);
    memory(&s, c);
    begin(&s, 32, 11, H_BOOT);
    put(&s, 0, 6);
    put(&s, 0, 1);
    end(&s, NULL);
    begin(&s, 127, 4, H_END);
    end(&s, NULL);
    *ret_count = s.n;
    *ret_max = s.max;
    return s.a;
}

static uint8_t sum(const uint8_t *p, unsigned len)
{
    uint8_t v = 0;
    while (len--)
        v = (uint8_t)(v + *p++);
    return (uint8_t)-v;
}

GByteArray *smbios_anchor(const GByteArray *tables, unsigned count, unsigned max, uint32_t gpa)
{
    uint8_t e[31] = { 0 };
    memcpy(e, "_SM_", 4);
    e[5] = sizeof(e);
    e[6] = 2;
    e[7] = 8;
    store_le16(e + 8, (uint16_t)max);
    memcpy(e + 0x10, "_DMI_", 5);
    store_le16(e + 0x16, (uint16_t)tables->len);
    store_le32(e + 0x18, gpa);
    store_le16(e + 0x1c, (uint16_t)count);
    e[0x1e] = 0x28;
    e[0x15] = sum(e + 0x10, 15);
    e[4] = sum(e, sizeof(e));
    GByteArray *a = g_byte_array_new();
    g_byte_array_append(a, e, sizeof(e));
    return a;
}
