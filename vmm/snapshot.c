#include "vmm/snapshot.h"

#include <string.h>

#include "util/bits.h"
#include "vmm/machine-internal.h"

/* Sections: "clock", "vcpu.N", then "device.ID" in order of realization. Version 1 of each; devices version their own parts. */

static bool put(const StateSink *sink, const char *name, const GByteArray *data, GError **err)
{
    int r = sink->section(sink->opaque, name, 1, data->data, data->len);
    if (r < 0)
        g_set_error(err, G_FILE_ERROR, g_file_error_from_errno(-r), "cannot write saved state '%s': %s", name, g_strerror(-r));
    return r >= 0;
}

static bool save_clock(Machine *m, const StateSink *sink, GError **err)
{
    g_autoptr(GByteArray) data = g_byte_array_new();
    uint8_t b[8];
    store_le64(b, (uint64_t)mclock_now(m->clock, CLOCK_KIND_VIRTUAL));
    g_byte_array_append(data, b, sizeof(b));
    return put(sink, "clock", data, err);
}

static bool save_vcpu(Vcpu *c, const StateSink *sink, GError **err)
{
    g_autoptr(GByteArray) data = g_byte_array_new();
    g_autofree char *name = g_strdup_printf("vcpu.%u", c->index);
    if (!vcpu_state_need(c, c->type->groups_all, err))
        return false;
    fields_save(c->type->state_fields, c->state, data);
    return put(sink, name, data, err);
}

static bool save_device(Device *dev, const StateSink *sink, GError **err)
{
    g_autoptr(GByteArray) data = g_byte_array_new();
    g_autofree char *name = g_strdup_printf("device.%s", dev->id);
    return !device_has_state(dev) || (device_save(dev, data, err) && put(sink, name, data, err));
}

bool machine_save_devices(Machine *m, const StateSink *sink, GError **err)
{
    if (!machine_vcpus_at_rest(m)) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_AGAIN, "the machine is running; pause it before saving");
        return false;
    }
    bool ok = save_clock(m, sink, err);
    for (guint i = 0; ok && i < m->vcpus->len; i++)
        ok = save_vcpu(g_ptr_array_index(m->vcpus, i), sink, err);
    for (guint i = 0; ok && i < m->realized->len; i++)
        ok = save_device(g_ptr_array_index(m->realized, i), sink, err);
    return ok;
}

/* ---- RAM ---- */

typedef struct RamSave {
    const StateSink *sink;
    int error;
} RamSave;

enum { RAM_RUN = 1 << 20 };

static bool all_zero(const uint8_t *p, uint64_t len)
{
    return !p[0] && !memcmp(p, p + 1, len - 1);
}

/* Pages of one kind (zero or not) go out in runs of up to 1 MiB. */
static void save_block(RamBlock *b, void *opaque)
{
    RamSave *s = opaque;
    uint64_t size = ram_block_size(b);
    const uint8_t *host = ram_block_host(b);
    for (uint64_t at = 0; at < size && !s->error;) {
        bool zero = all_zero(host + at, PAGE_SIZE);
        uint64_t n = PAGE_SIZE;
        while (at + n < size && n < RAM_RUN && all_zero(host + at + n, PAGE_SIZE) == zero)
            n += PAGE_SIZE;
        s->error = s->sink->ram(s->sink->opaque, ram_block_name(b), at, n, zero ? NULL : host + at);
        at += n;
    }
}

bool machine_save_ram(Machine *m, const StateSink *sink, GError **err)
{
    RamSave s = { sink, 0 };
    ram_block_foreach(m->mem, save_block, &s);
    if (s.error)
        g_set_error(err, G_FILE_ERROR, g_file_error_from_errno(-s.error), "cannot write saved memory: %s", g_strerror(-s.error));
    return !s.error;
}

/* ---- load ---- */

static bool load_vcpu(Vcpu *c, const GByteArray *data, GError **err)
{
    if (!fields_load(c->type->state_fields, c->state, 1, data->data, data->len, err))
        return false;
    *c->groups_valid = *c->groups_dirty = c->type->groups_all;
    return !c->type->post_load || c->type->post_load(c->state, err);
}

static bool load_clock(Machine *m, const GByteArray *data, GError **err)
{
    if (data->len != 8) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "it has the wrong size");
        return false;
    }
    int64_t ns = (int64_t)load_le64(data->data);
    if (ns < 0 || ns > INT64_MAX / 4) {     /* 73 years: what devices add to it does not overflow */
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "no machine runs that long");
        return false;
    }
    mclock_set_virtual(m->clock, ns);
    return true;
}

/* The section named @name into whatever it belongs to; @step counts what a complete stream has, in order. */
static bool load_section(Machine *m, unsigned step, const char *name, const GByteArray *data, GError **err)
{
    if (step == 0)
        return load_clock(m, data, err);
    if (step <= m->vcpus->len)
        return load_vcpu(g_ptr_array_index(m->vcpus, step - 1), data, err);
    return device_load(device_by_id(m, name + strlen("device.")), data->data, data->len, err);
}

/* Names that a stream must have, in order. */
static GPtrArray *expected_names(Machine *m)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(names, g_strdup("clock"));
    for (guint i = 0; i < m->vcpus->len; i++)
        g_ptr_array_add(names, g_strdup_printf("vcpu.%u", i));
    for (guint i = 0; i < m->realized->len; i++) {
        Device *dev = g_ptr_array_index(m->realized, i);
        if (device_has_state(dev))
            g_ptr_array_add(names, g_strdup_printf("device.%s", dev->id));
    }
    return names;
}

static bool load_all(Machine *m, const StateSource *src, GError **err)
{
    g_autoptr(GPtrArray) names = expected_names(m);
    for (guint step = 0; step <= names->len; step++) {
        g_autofree char *name = NULL;
        g_autoptr(GByteArray) data = NULL;
        unsigned version = 0;
        int r = src->next(src->opaque, &name, &version, &data);
        const char *want = step < names->len ? g_ptr_array_index(names, step) : NULL;
        if (r == 0 && !want)
            return true;
        if (r <= 0 || !want || strcmp(name, want) || version != 1) {
            g_set_error(err, G_FILE_ERROR, r < 0 ? g_file_error_from_errno(-r) : G_FILE_ERROR_INVAL,
                        "saved state has '%s' where this machine has '%s': it comes from another configuration", r > 0 ? name : "(end)",
                        want ? want : "(end)");
            return false;
        }
        if (!load_section(m, step, name, data, err)) {
            g_prefix_error(err, "saved state '%s': ", name);
            return false;
        }
    }
    return true;
}

bool machine_load_devices(Machine *m, const StateSource *src, GError **err)
{
    if (!machine_vcpus_at_rest(m)) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_AGAIN, "the machine is running; pause it before loading");
        return false;
    }
    bool ok = load_all(m, src, err);
    if (!ok)
        machine_reset_now(m);
    mem_commit_now(m->mem);
    return ok;
}
