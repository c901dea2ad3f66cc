#include "hw/acpi/aml.h"

#include <string.h>

#include "util/bits.h"

void aml_byte(Aml *a, uint8_t v)
{
    g_byte_array_append(a, &v, 1);
}

void aml_raw(Aml *a, const void *p, unsigned len)
{
    g_byte_array_append(a, p, len);
}

void aml_op(Aml *a, unsigned op)
{
    if (op >> 8)
        aml_byte(a, (uint8_t)(op >> 8));
    aml_byte(a, (uint8_t)op);
}

unsigned aml_begin(Aml *a, unsigned op)
{
    aml_op(a, op);
    return a->len;
}

/* PkgLength counts itself: one byte up to 63, else 4 bits in the first byte and 8 in each of up to three more (20.2.4). */
void aml_end(Aml *a, unsigned at)
{
    uint8_t head[4];
    unsigned body = a->len - at, n = body + 1 < 0x40 ? 1 : body + 2 < 0x1000 ? 2 : body + 3 < 0x100000 ? 3 : 4, total = body + n;
    if (n == 1) {
        head[0] = (uint8_t)total;
    } else {
        head[0] = (uint8_t)((n - 1) << 6 | (total & 15));
        for (unsigned i = 1; i < n; i++)
            head[i] = (uint8_t)(total >> (4 + 8 * (i - 1)));
    }
    g_byte_array_set_size(a, a->len + n);
    memmove(a->data + at + n, a->data + at, body);
    memcpy(a->data + at, head, n);
}

/* Prefixes, then one, two (0x2e) or more (0x2f) segments of four characters, padded with '_' (20.2.2). */
void aml_name(Aml *a, const char *name)
{
    for (; *name == '\\' || *name == '^'; name++)
        aml_byte(a, (uint8_t)*name);
    g_auto(GStrv) seg = g_strsplit(name, ".", -1);
    unsigned n = g_strv_length(seg);
    if (n == 2)
        aml_byte(a, 0x2e);
    if (n > 2) {
        aml_byte(a, 0x2f);
        aml_byte(a, (uint8_t)n);
    }
    if (!n)
        aml_byte(a, 0);
    for (unsigned i = 0; i < n; i++) {
        char four[5];
        g_snprintf(four, sizeof(four), "%s____", seg[i]);
        aml_raw(a, four, 4);
    }
}

void aml_int(Aml *a, uint64_t v)
{
    uint8_t raw[8];
    unsigned size = v < 2 ? 0 : v < 0x100 ? 1 : v < 0x10000 ? 2 : v < BIT(32) ? 4 : 8;
    static const uint8_t prefix[9] = { [1] = 0x0a, [2] = 0x0b, [4] = 0x0c, [8] = 0x0e };
    aml_byte(a, size ? prefix[size] : (uint8_t)v);
    store_le(raw, size, v);
    aml_raw(a, raw, size);
}

void aml_string(Aml *a, const char *s)
{
    aml_byte(a, 0x0d);
    aml_raw(a, s, (unsigned)strlen(s) + 1);
}

void aml_name_int(Aml *a, const char *name, uint64_t v)
{
    aml_op(a, AML_NAME);
    aml_name(a, name);
    aml_int(a, v);
}

void aml_name_string(Aml *a, const char *name, const char *s)
{
    aml_op(a, AML_NAME);
    aml_name(a, name);
    aml_string(a, s);
}

void aml_name_eisaid(Aml *a, const char *name, const char *id)
{
    uint8_t raw[4];
    uint32_t letters = (uint32_t)((id[0] - 0x40) << 10 | (id[1] - 0x40) << 5 | (id[2] - 0x40));
    uint32_t number = (uint32_t)g_ascii_strtoull(id + 3, NULL, 16);
    store_be32(raw, letters << 16 | number);
    aml_op(a, AML_NAME);
    aml_name(a, name);
    aml_byte(a, 0x0c);
    aml_raw(a, raw, 4);
}

unsigned aml_method(Aml *a, const char *name, unsigned n_args)
{
    unsigned at = aml_begin(a, AML_METHOD);
    aml_name(a, name);
    aml_byte(a, (uint8_t)n_args);
    return at;
}

unsigned aml_device(Aml *a, const char *name)
{
    unsigned at = aml_begin(a, AML_DEVICE);
    aml_name(a, name);
    return at;
}

unsigned aml_scope(Aml *a, const char *name)
{
    unsigned at = aml_begin(a, AML_SCOPE);
    aml_name(a, name);
    return at;
}

/* ---- resource templates ---- */

Crs *crs_new(void)
{
    return g_byte_array_new();
}

static void put(Crs *c, uint64_t v, unsigned size)
{
    uint8_t raw[8];
    store_le(raw, size, v);
    g_byte_array_append(c, raw, size);
}

/* 6.4.2.5: decodes 16 bits, fixed. */
void crs_io(Crs *c, uint16_t base, uint16_t len)
{
    put(c, 0x47, 1);
    put(c, 1, 1);
    put(c, base, 2);
    put(c, base, 2);
    put(c, 1, 1);
    put(c, len, 1);
}

/* 6.4.2.1: edge, active high, exclusive. */
void crs_irq(Crs *c, uint16_t mask)
{
    put(c, 0x22, 1);
    put(c, mask, 2);
}

/* 6.4.3.6 */
void crs_interrupts(Crs *c, const uint32_t *irqs, unsigned n)
{
    put(c, 0x89, 1);
    put(c, 2 + 4 * n, 2);
    put(c, 1 | 8, 1);           /* consumer, level, active high, shared */
    put(c, n, 1);
    for (unsigned i = 0; i < n; i++)
        put(c, irqs[i], 4);
}

/* 6.4.3.4 */
void crs_memory32(Crs *c, bool writable, uint32_t base, uint32_t len)
{
    put(c, 0x86, 1);
    put(c, 9, 2);
    put(c, writable, 1);
    put(c, base, 4);
    put(c, len, 4);
}

/* Word and dword address spaces (6.4.3.5.2, 6.4.3.5.3): producer, fixed minimum and maximum, positive decode. */
static void space(Crs *c, unsigned size, uint8_t type, uint8_t flags, uint64_t first, uint64_t last)
{
    put(c, size == 2 ? 0x88 : 0x87, 1);
    put(c, 3 + 5 * size, 2);
    put(c, type, 1);
    put(c, 0x0c, 1);
    put(c, flags, 1);
    put(c, 0, size);
    put(c, first, size);
    put(c, last, size);
    put(c, 0, size);
    put(c, last - first + 1, size);
}

void crs_word_bus(Crs *c, uint16_t first, uint16_t last)
{
    space(c, 2, 2, 0, first, last);
}

void crs_word_io(Crs *c, uint16_t first, uint16_t last)
{
    space(c, 2, 1, 3, first, last);
}

void crs_dword_memory(Crs *c, bool cacheable, uint32_t first, uint32_t last)
{
    space(c, 4, 0, cacheable ? 3 : 1, first, last);
}

void aml_name_crs(Aml *a, const char *name, Crs *c)
{
    aml_op(a, AML_NAME);
    aml_name(a, name);
    unsigned at = aml_begin(a, AML_BUFFER);
    aml_int(a, c->len + 2);
    aml_raw(a, c->data, c->len);
    aml_byte(a, 0x79);          /* end tag; a checksum of 0 counts as right (6.4.2.9) */
    aml_byte(a, 0);
    aml_end(a, at);
    g_byte_array_unref(c);
}
