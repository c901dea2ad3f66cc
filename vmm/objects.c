#include <string.h>

#include "vmm/machine-internal.h"

/* Named back ends, firmware files, devices by option. Main thread. */

MachineObject *machine_object(Machine *m, const char *type, const char *id)
{
    for (guint i = 0; i < m->objects->len; i++) {
        MachineObject *o = g_ptr_array_index(m->objects, i);
        if (!strcmp(o->type, type) && !strcmp(o->id, id))
            return o;
    }
    return NULL;
}

bool machine_add_object(Machine *m, const char *type, const char *id, void *ptr, GDestroyNotify free_fn, GError **err)
{
    if (machine_object(m, type, id)) {
        g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "there is a %s with the id '%s' already", type, id);
        return false;
    }
    MachineObject *o = g_new0(MachineObject, 1);
    *o = (MachineObject){ g_strdup(type), g_strdup(id), ptr, free_fn, 0 };
    g_ptr_array_add(m->objects, o);
    return true;
}

void *machine_find_object(Machine *m, const char *type, const char *id)
{
    MachineObject *o = machine_object(m, type, id);
    return o ? o->ptr : NULL;
}

bool machine_object_used(Machine *m, const char *type, const char *id)
{
    MachineObject *o = machine_object(m, type, id);
    return o && o->users;
}

bool machine_remove_object(Machine *m, const char *type, const char *id, GError **err)
{
    MachineObject *o = machine_object(m, type, id);
    if (!o || o->users) {
        g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, o ? "%s '%s' is used by a device" : "there is no %s '%s'", type, id);
        return false;
    }
    g_ptr_array_remove(m->objects, o);
    if (o->free_fn)
        o->free_fn(o->ptr);
    g_free(o->type);
    g_free(o->id);
    g_free(o);
    return true;
}

/* ---- firmware files ---- */

void machine_set_fw_file(Machine *m, const char *name, const void *data, size_t len)
{
    GBytes *bytes = g_bytes_new(data, len);
    g_mutex_lock(&m->fw_lock);
    guint i = 0;
    while (i < m->fw_names->len && strcmp(g_ptr_array_index(m->fw_names, i), name))
        i++;
    if (i < m->fw_names->len) {
        g_bytes_unref(m->fw_data->pdata[i]);
        m->fw_data->pdata[i] = bytes;
    } else {
        g_ptr_array_add(m->fw_names, g_strdup(name));
        g_ptr_array_add(m->fw_data, bytes);
    }
    g_mutex_unlock(&m->fw_lock);
}

void machine_foreach_fw_file(Machine *m, void (*fn)(const char *name, GBytes *data, void *opaque), void *opaque)
{
    g_mutex_lock(&m->fw_lock);
    for (guint i = 0; i < m->fw_names->len; i++)
        fn(g_ptr_array_index(m->fw_names, i), g_ptr_array_index(m->fw_data, i), opaque);
    g_mutex_unlock(&m->fw_lock);
}

/* ---- devices ---- */

void machine_foreach_device(Machine *m, void (*fn)(Device *dev, void *opaque), void *opaque)
{
    for (guint i = 0; i < m->realized->len; i++)
        fn(g_ptr_array_index(m->realized, i), opaque);
}

/* The value of @name in a list of "name=value", NULL if it is not there. */
static const char *option(const char *const *props, const char *name)
{
    size_t n = strlen(name);
    for (; props && *props; props++)
        if (!strncmp(*props, name, n) && (*props)[n] == '=')
            return *props + n + 1;
    return NULL;
}

static bool set_props(Device *dev, const char *const *props, GError **err)
{
    for (; props && *props; props++) {
        const char *eq = strchr(*props, '=');
        g_autofree char *name = eq ? g_strndup(*props, (gsize)(eq - *props)) : g_strdup(*props);
        if (!strcmp(name, "id") || !strcmp(name, "bus"))
            continue;
        if (!device_set_prop(dev, name, eq ? eq + 1 : "on", err))
            return false;
    }
    return true;
}

Device *machine_add_device(Machine *m, const char *klass, const char *const *props, GError **err)
{
    const DeviceClass *k = device_class_find(m->cfg.devices, klass);
    if (!k || k->internal) {
        g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, k ? "device '%s' belongs to the board; see -device help"
                                                                    : "there is no device '%s'; see -device help", klass);
        return NULL;
    }
    const char *bus_name = option(props, "bus");
    Bus *bus = bus_name ? machine_bus(m, bus_name) : NULL;
    if (bus_name && !bus) {
        g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "device '%s': there is no bus '%s'", klass, bus_name);
        return NULL;
    }
    Device *dev = device_new(m, k, option(props, "id"), err);
    if (!dev)
        return NULL;
    if (!set_props(dev, props, err) || !device_realize(dev, bus, err)) {
        device_free(dev);
        return NULL;
    }
    return dev;
}

bool machine_del_device(Machine *m, const char *id, GError **err)
{
    Device *dev = device_by_id(m, id);
    if (!dev || dev->klass->internal || dev->klass->fabric) {
        g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, dev ? "device '%s' belongs to the board" : "there is no device '%s'", id);
        return false;
    }
    device_unrealize(dev);      /* late accesses through old views find its lock retired */
    machine_flush_work(m);
    device_free(dev);
    return true;
}
