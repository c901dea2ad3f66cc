#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Saved state as a table beside the struct:
 *
 *     static const FieldDesc uart_state[] = {
 *         FIELD(Uart, lcr), FIELD(Uart, baud), FIELD_ARRAY(Uart, fifo), FIELD_SINCE(Uart, timeout, 2), { 0 }
 *     };
 *
 * The stream carries names and sizes, so that a reader checks instead of guessing. Integers are stored little
 * endian with their width. Nothing here knows devices: vmm/device.h puts sections around such tables.
 */
typedef enum FieldType {
    FIELD_END,          /* the terminator { 0 } */
    FIELD_UINT,         /* integer or enum of 1, 2, 4 or 8 bytes; signed ones keep their bits */
    FIELD_BOOL,         /* bool: 0 or 1, anything else in a stream is refused */
    FIELD_BYTES,        /* @size raw bytes, byte order is the writer's business (guest-format data) */
    FIELD_STRUCT,       /* an embedded struct described by @sub */
    FIELD_BUFFER,       /* uint8_t * (g_malloc) with its length in a uint32_t at @len_offset, at most @max bytes */
    FIELD_CUSTOM,       /* through @ops: anything that is not plain data (a timer's deadline) */
} FieldType;

typedef struct FieldOps {
    void (*save)(const void *field, GByteArray *out);
    /* Exactly @len bytes were saved under this name; false with @err on bad data (hostile stream). */
    bool (*load)(void *field, const uint8_t *data, size_t len, GError **err);
} FieldOps;

typedef struct FieldDesc {
    const char *name;
    uint32_t offset;                    /* in the struct */
    uint32_t size;                      /* bytes of one element */
    FieldType type;
    uint32_t count;                     /* elements of an array, 1 otherwise */
    uint16_t version;                   /* field exists from this section version on (0 = always) */
    bool optional;                      /* may be absent in any stream: the struct's value (after reset) stays */
    const struct FieldDesc *sub;        /* FIELD_STRUCT */
    uint32_t len_offset, max;           /* FIELD_BUFFER */
    const FieldOps *ops;                /* FIELD_CUSTOM */
} FieldDesc;

#define FIELD_SIZEOF_(t, f) ((uint32_t)sizeof(((t *)0)->f))
#define FIELD_TYPE_(t, f) _Generic(((t *)0)->f, bool: FIELD_BOOL, default: FIELD_UINT)
#define FIELD_DESC_(t, f, ...) { .name = #f, .offset = (uint32_t)offsetof(t, f), __VA_ARGS__ }
/* An integer, bool or enum. */
#define FIELD(t, f) FIELD_DESC_(t, f, .size = FIELD_SIZEOF_(t, f), .type = FIELD_TYPE_(t, f), .count = 1)
/* An integer that exists from section version @v on. */
#define FIELD_SINCE(t, f, v) FIELD_DESC_(t, f, .size = FIELD_SIZEOF_(t, f), .type = FIELD_TYPE_(t, f), .count = 1, .version = v)
#define FIELD_OPTIONAL(t, f) FIELD_DESC_(t, f, .size = FIELD_SIZEOF_(t, f), .type = FIELD_TYPE_(t, f), .count = 1, .optional = true)
/* A fixed array of integers (one dimension). */
#define FIELD_ARRAY(t, f) \
    FIELD_DESC_(t, f, .size = FIELD_SIZEOF_(t, f[0]), .type = FIELD_TYPE_(t, f[0]), .count = FIELD_SIZEOF_(t, f) / FIELD_SIZEOF_(t, f[0]))
/* A member (any type without pointers) as raw bytes. */
#define FIELD_RAW(t, f) FIELD_DESC_(t, f, .size = FIELD_SIZEOF_(t, f), .type = FIELD_BYTES, .count = 1)
/* An embedded struct; a fixed array of structs. */
#define FIELD_SUB(t, f, table) FIELD_DESC_(t, f, .size = FIELD_SIZEOF_(t, f), .type = FIELD_STRUCT, .count = 1, .sub = table)
#define FIELD_SUB_ARRAY(t, f, table) \
    FIELD_DESC_(t, f, .size = FIELD_SIZEOF_(t, f[0]), .type = FIELD_STRUCT, \
                .count = FIELD_SIZEOF_(t, f) / FIELD_SIZEOF_(t, f[0]), .sub = table)
/* uint8_t *@f with its length in the uint32_t member @len; a loaded length above @limit is refused. */
#define FIELD_BUF(t, f, len, limit) \
    FIELD_DESC_(t, f, .size = 1, .type = FIELD_BUFFER, .count = 1, .len_offset = (uint32_t)offsetof(t, len), .max = limit)
#define FIELD_OPS(t, f, o) FIELD_DESC_(t, f, .size = FIELD_SIZEOF_(t, f), .type = FIELD_CUSTOM, .count = 1, .ops = o)

/* Append all fields of @table from @obj to @out. Cannot fail. */
void fields_save(const FieldDesc *table, const void *obj, GByteArray *out);

/*
 * Fill @obj from @data, which a section of version @version wrote. Every non-optional field of that version must be
 * there with its exact size, and nothing else. False with @err on anything wrong; @obj may then be half filled, and
 * the caller resets or drops it. @data is hostile.
 */
bool fields_load(const FieldDesc *table, void *obj, unsigned version, const uint8_t *data, size_t len, GError **err);

/* Bytes that a table's plain fields cover, for tests that look for forgotten members. */
size_t fields_size(const FieldDesc *table);
