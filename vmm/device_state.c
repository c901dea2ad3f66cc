#include <string.h>

#include "util/bits.h"
#include "vmm/machine-internal.h"

/*
 * State of one device: sections, each a byte with the length of its name, the name, 2 bytes version, 4 bytes length,
 * fields. Written in table order, base sections first.
 */
static void save_section(Device *dev, const DeviceSection *s, GByteArray *out)
{
    uint8_t head[6], n = (uint8_t)strlen(s->name);
    if (s->needed && !s->needed(dev))
        return;
    if (s->pre_save)
        s->pre_save(dev);
    g_byte_array_append(out, &n, 1);
    g_byte_array_append(out, (const guint8 *)s->name, n);
    store_le16(head, s->version);
    store_le32(head + 2, 0);
    g_byte_array_append(out, head, sizeof(head));
    guint start = out->len;
    fields_save(s->fields, dev, out);
    store_le32(out->data + start - 4, out->len - start);
}

static void save_all(Device *dev, GByteArray *out)
{
    for (const DeviceSection *s = dev->klass->base_state; s && s->name; s++)
        save_section(dev, s, out);
    for (const DeviceSection *s = dev->klass->state; s && s->name; s++)
        save_section(dev, s, out);
}

bool device_has_state(const Device *dev)
{
    return dev->klass->state || dev->klass->base_state;
}

bool device_save(Device *dev, GByteArray *out, GError **err)
{
    const DeviceClass *k = dev->klass;
    if (!devlock_enter(dev->lock)) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "device '%s' is gone", dev->id);
        return false;
    }
    bool ok = !k->can_save || k->can_save(dev, err);
    if (ok)
        save_all(dev, out);
    devlock_leave(dev->lock);
    return ok;
}

enum { SECTIONS_MAX = 32 };
typedef struct Cursor {
    const uint8_t *p, *end;
    int version[SECTIONS_MAX];      /* of each section in table order, -1 = absent */
    unsigned n;
} Cursor;

typedef struct SectionHead {
    const char *name;
    uint8_t name_len;
    uint16_t version;
    const uint8_t *data;
    uint32_t len;
} SectionHead;

/* Look at the next section without taking it; false at the end or on a cut. */
static bool peek(const Cursor *c, SectionHead *ret)
{
    size_t left = (size_t)(c->end - c->p);
    if (left < 1 || left < 1u + c->p[0] + 6u)
        return false;
    SectionHead h = { .name = (const char *)c->p + 1, .name_len = c->p[0] };
    const uint8_t *q = c->p + 1 + h.name_len;
    h.version = load_le16(q);
    h.len = load_le32(q + 2);
    h.data = q + 6;
    if ((size_t)(c->end - h.data) < h.len)
        return false;
    *ret = h;
    return true;
}

static bool load_section(Device *dev, const DeviceSection *s, Cursor *c, GError **err)
{
    SectionHead h;
    g_assert(c->n < SECTIONS_MAX);
    c->version[c->n++] = -1;
    bool here = peek(c, &h) && strlen(s->name) == h.name_len && !memcmp(s->name, h.name, h.name_len);
    if (!here) {
        if (s->needed)
            return true;
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "section '%s' is missing", s->name);
        return false;
    }
    if (h.version > s->version || h.version < s->min_version) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "section '%s' has version %u, known are %u to %u", s->name, h.version,
                    s->min_version, s->version);
        return false;
    }
    c->p = h.data + h.len;
    c->version[c->n - 1] = h.version;
    return fields_load(s->fields, dev, h.version, h.data, h.len, err);
}

static bool load_list(Device *dev, const DeviceSection *s, Cursor *c, GError **err)
{
    for (; s && s->name; s++)
        if (!load_section(dev, s, c, err))
            return false;
    return true;
}

/* After everything is in place, so that checks may look at other sections' fields. */
static bool post_load_list(Device *dev, const DeviceSection *s, const int **version, GError **err)
{
    for (; s && s->name; s++, ++*version)
        if (s->post_load && **version >= 0 && !s->post_load(dev, (unsigned)**version, err))
            return false;
    return true;
}

static bool load_all(Device *dev, Cursor *c, GError **err)
{
    const DeviceClass *k = dev->klass;
    if (!load_list(dev, k->base_state, c, err) || !load_list(dev, k->state, c, err))
        return false;
    if (c->p != c->end) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "unknown data after the last section");
        return false;
    }
    const int *version = c->version;
    return post_load_list(dev, k->base_state, &version, err) && post_load_list(dev, k->state, &version, err);
}

bool device_load(Device *dev, const uint8_t *data, size_t len, GError **err)
{
    const DeviceClass *k = dev->klass;
    Cursor c = { .p = data, .end = data + len };
    device_reset(dev);
    if (!devlock_enter(dev->lock)) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "device '%s' is gone", dev->id);
        return false;
    }
    /* A refused stream has left half of itself behind, which even reset may trip over (a clock keeps its time): put back what was sane. */
    g_autoptr(GByteArray) sane = g_byte_array_new();
    save_all(dev, sane);
    GError *why = NULL;
    bool ok = load_all(dev, &c, &why);
    if (!ok) {
        Cursor back = { .p = sane->data, .end = sane->data + sane->len };
        load_all(dev, &back, NULL);
        if (k->reset)
            k->reset(dev);
    }
    devlock_leave(dev->lock);
    if (!ok)
        g_propagate_prefixed_error(err, why, "device '%s': ", dev->id);
    return ok;
}
