/* -device and its help. */
#include <string.h>

#include "tools/keys.h"
#include "tools/setup.h"

/* What this machine has a bus for; all of them without a machine. */
static char *list_devices(const Board *board)
{
    GString *s = g_string_new(NULL);
    for (const DeviceClass *const *c = device_registry; *c; c++)
        if (!(*c)->internal && (!board || board->buses & 1u << (*c)->bus))
            g_string_append_printf(s, "%-24s %s\n", (*c)->name, (*c)->summary);
    return g_string_free(s, false);
}

static bool find_class(const char *name, const DeviceClass **ret, GError **err)
{
    const DeviceClass *c = device_class_find(device_registry, name);
    if (!c || c->internal)
        return opt_fail(err, "there is no device '%s'; -device help lists all", name);
    *ret = c;
    return true;
}

bool tandem_device_help(Tandem *t, const char *arg, char **ret_text, GError **err)
{
    g_auto(GStrv) parts = g_strsplit(arg, ",", -1);
    if (!parts[0])
        return false;
    if (!strcmp(parts[0], "help") || !strcmp(parts[0], "?")) {
        if (tandem_choose_board(t, err))
            *ret_text = list_devices(t->board);
        return true;
    }
    for (unsigned i = 1; parts[i]; i++) {
        const DeviceClass *c = NULL;
        if (strcmp(parts[i], "help") && strcmp(parts[i], "?"))
            continue;
        if (find_class(parts[0], &c, err))
            *ret_text = device_class_help(c);
        return true;
    }
    return false;
}

static bool add_device(Tandem *t, const char *text, GError **err)
{
    g_autoptr(Keys) k = keys_new(text, "driver");
    g_autoptr(GPtrArray) props = g_ptr_array_new_with_free_func(g_free);
    const DeviceClass *c = NULL;
    const char *driver = keys_take(k, "driver");
    if (!driver || !*driver)
        return opt_fail(err, "-device needs a name first; -device help lists all");
    if (!find_class(driver, &c, err))
        return false;
    for (unsigned i = 0; i < k->list->len; i++) {
        const Key *e = &g_array_index(k->list, Key, i);
        if (strcmp(e->name, "driver"))
            g_ptr_array_add(props, g_strdup_printf("%s=%s", e->name, e->value ? e->value : "on"));
    }
    g_ptr_array_add(props, NULL);
    g_autoptr(GError) e = NULL;
    if (!machine_add_device(t->machine, driver, (const char *const *)props->pdata, &e))
        return opt_fail(err, "-device %s: %s", text, e->message);
    return true;
}

bool tandem_add_devices(Tandem *t, GError **err)
{
    for (unsigned i = 0; i < t->device_args->len; i++)
        if (!add_device(t, g_ptr_array_index(t->device_args, i), err))
            return false;
    for (unsigned i = 0; i < t->o.devices->len; i++)
        if (!add_device(t, g_ptr_array_index(t->o.devices, i), err))
            return false;
    return true;
}
