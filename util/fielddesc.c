#include "util/fielddesc.h"

#include <string.h>

#include "util/bits.h"

/*
 * Stream: for each field a byte with the length of its name, the name, 4 bytes little endian with the length of the
 * payload, the payload. Elements of a struct array carry 4 bytes of length each. Nothing is aligned.
 */
enum { FIELD_NAME_MAX = 255, FIELD_NESTING_MAX = 8 };

static void put_le32(GByteArray *out, uint32_t v)
{
    uint8_t b[4];
    store_le32(b, v);
    g_byte_array_append(out, b, sizeof(b));
}

/* Reserve a length word; set by end_len. */
static guint begin_len(GByteArray *out)
{
    put_le32(out, 0);
    return out->len;
}

static void end_len(GByteArray *out, guint start)
{
    store_le32(out->data + start - 4, out->len - start);
}

static void save_uints(const FieldDesc *f, const uint8_t *p, GByteArray *out)
{
    g_assert(f->size == 1 || f->size == 2 || f->size == 4 || f->size == 8);
    for (uint32_t i = 0; i < f->count; i++, p += f->size) {
        uint8_t b[8];
        uint64_t v;
        switch (f->size) {
        case 1: v = *p; break;
        case 2: v = *(const uint16_t *)(const void *)p; break;
        case 4: v = *(const uint32_t *)(const void *)p; break;
        default: v = *(const uint64_t *)(const void *)p; break;
        }
        store_le(b, f->size, v);
        g_byte_array_append(out, b, f->size);
    }
}

static void save_payload(const FieldDesc *f, const uint8_t *obj, GByteArray *out)
{
    const uint8_t *p = obj + f->offset;
    switch (f->type) {
    case FIELD_UINT:
    case FIELD_BOOL:
        save_uints(f, p, out);
        break;
    case FIELD_BYTES:
        g_byte_array_append(out, p, f->size * f->count);
        break;
    case FIELD_STRUCT:
        for (uint32_t i = 0; i < f->count; i++, p += f->size) {
            guint start = begin_len(out);
            fields_save(f->sub, p, out);
            end_len(out, start);
        }
        break;
    case FIELD_BUFFER: {
        const uint8_t *data = *(uint8_t *const *)(const void *)p;
        uint32_t len = *(const uint32_t *)(const void *)(obj + f->len_offset);
        if (len)
            g_byte_array_append(out, data, len);
        break;
    }
    case FIELD_CUSTOM:
        f->ops->save(p, out);
        break;
    default:
        g_assert_not_reached();
    }
}

void fields_save(const FieldDesc *table, const void *obj, GByteArray *out)
{
    for (const FieldDesc *f = table; f->type != FIELD_END; f++) {
        size_t n = strlen(f->name);
        g_assert(n && n <= FIELD_NAME_MAX);
        uint8_t len = (uint8_t)n;
        g_byte_array_append(out, &len, 1);
        g_byte_array_append(out, (const guint8 *)f->name, len);
        guint start = begin_len(out);
        save_payload(f, obj, out);
        end_len(out, start);
    }
}

/* One field cut out of the stream. */
typedef struct Item {
    const char *name;
    uint8_t name_len;
    const uint8_t *data;
    uint32_t len;
} Item;

static bool next_item(const uint8_t **pos, const uint8_t *end, Item *ret)
{
    const uint8_t *p = *pos;
    size_t left = (size_t)(end - p);
    if (left < 1u || left < 1u + p[0] + 4u)
        return false;
    Item it = { .name = (const char *)p + 1, .name_len = p[0] };
    p += 1 + it.name_len;
    it.len = load_le32(p);
    p += 4;
    if ((size_t)(end - p) < it.len)
        return false;
    it.data = p;
    *pos = p + it.len;
    *ret = it;
    return true;
}

static bool item_is(const Item *it, const char *name)
{
    return strlen(name) == it->name_len && !memcmp(it->name, name, it->name_len);
}

static bool load_table(const FieldDesc *table, uint8_t *obj, unsigned version, const uint8_t *data, size_t len, unsigned depth, GError **err);

static void load_uints(const FieldDesc *f, uint8_t *p, const uint8_t *data)
{
    for (uint32_t i = 0; i < f->count; i++, p += f->size, data += f->size) {
        uint64_t v = load_le(data, f->size);
        switch (f->size) {
        case 1: *p = (uint8_t)v; break;
        case 2: *(uint16_t *)(void *)p = (uint16_t)v; break;
        case 4: *(uint32_t *)(void *)p = (uint32_t)v; break;
        default: *(uint64_t *)(void *)p = v; break;
        }
    }
}

static bool load_structs(const FieldDesc *f, uint8_t *p, unsigned version, const Item *it, unsigned depth, GError **err)
{
    const uint8_t *pos = it->data, *end = it->data + it->len;
    for (uint32_t i = 0; i < f->count; i++, p += f->size) {
        if (end - pos < 4 || (size_t)(end - pos - 4) < load_le32(pos)) {
            g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "saved state: '%s' is cut off", f->name);
            return false;
        }
        uint32_t n = load_le32(pos);
        pos += 4;
        if (!load_table(f->sub, p, version, pos, n, depth + 1, err))
            return false;
        pos += n;
    }
    if (pos != end) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "saved state: '%s' has more elements than fit", f->name);
        return false;
    }
    return true;
}

static bool load_buffer(const FieldDesc *f, uint8_t *obj, const Item *it, GError **err)
{
    uint8_t **slot = (uint8_t **)(void *)(obj + f->offset);
    uint8_t *copy = it->len <= f->max ? g_try_malloc(it->len ? it->len : 1) : NULL;
    if (!copy) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "saved state: '%s' has %u bytes, at most %u fit", f->name, it->len, f->max);
        return false;
    }
    memcpy(copy, it->data, it->len);
    g_free(*slot);
    *slot = copy;
    *(uint32_t *)(void *)(obj + f->len_offset) = it->len;
    return true;
}

static bool load_field(const FieldDesc *f, uint8_t *obj, unsigned version, const Item *it, unsigned depth, GError **err)
{
    if (f->type == FIELD_STRUCT)
        return load_structs(f, obj + f->offset, version, it, depth, err);
    if (f->type == FIELD_BUFFER)
        return load_buffer(f, obj, it, err);
    if (f->type == FIELD_CUSTOM)
        return f->ops->load(obj + f->offset, it->data, it->len, err);
    if (it->len != f->size * f->count) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "saved state: '%s' has %u bytes instead of %u", f->name, it->len,
                    f->size * f->count);
        return false;
    }
    for (uint32_t i = 0; f->type == FIELD_BOOL && i < it->len; i++)
        if (it->data[i] > 1) {
            g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "saved state: '%s' is neither true nor false", f->name);
            return false;
        }
    if (f->type == FIELD_BYTES)
        memcpy(obj + f->offset, it->data, it->len);
    else
        load_uints(f, obj + f->offset, it->data);
    return true;
}

/* Fields stand in the table's order; those newer than the stream and optional ones may be absent. */
static bool load_table(const FieldDesc *table, uint8_t *obj, unsigned version, const uint8_t *data, size_t len, unsigned depth, GError **err)
{
    const uint8_t *pos = data, *end = data + len;
    const FieldDesc *f = table;
    g_assert(depth < FIELD_NESTING_MAX);
    while (pos < end) {
        Item it;
        if (!next_item(&pos, end, &it)) {
            g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "saved state is cut off");
            return false;
        }
        while (f->type != FIELD_END && !item_is(&it, f->name) && (f->optional || f->version > version))
            f++;
        if (f->type == FIELD_END || !item_is(&it, f->name)) {
            g_autofree char *name = g_strndup(it.name, it.name_len);
            g_autofree char *safe = g_strescape(name, NULL);
            g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "saved state: unexpected field '%s'%s%s", safe,
                        f->type == FIELD_END ? "" : " instead of ", f->type == FIELD_END ? "" : f->name);
            return false;
        }
        if (!load_field(f++, obj, version, &it, depth, err))
            return false;
    }
    for (; f->type != FIELD_END; f++)
        if (!f->optional && f->version <= version) {
            g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "saved state: field '%s' is missing", f->name);
            return false;
        }
    return true;
}

bool fields_load(const FieldDesc *table, void *obj, unsigned version, const uint8_t *data, size_t len, GError **err)
{
    return load_table(table, obj, version, data, len, 0, err);
}

size_t fields_size(const FieldDesc *table)
{
    size_t sum = 0;
    for (const FieldDesc *f = table; f->type != FIELD_END; f++)
        sum += (size_t)f->size * f->count;
    return sum;
}
