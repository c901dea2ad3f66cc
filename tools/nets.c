/* -netdev and -nic. */
#include <string.h>

#include "tools/keys.h"
#include "tools/setup.h"
#include "ui/net.h"

/* Values of every "hostfwd=": the only key that may come more than once. */
static GPtrArray *take_all(Keys *k, const char *name)
{
    GPtrArray *a = g_ptr_array_new();
    for (unsigned i = 0; i < k->list->len; i++) {
        Key *e = &g_array_index(k->list, Key, i);
        if (strcmp(e->name, name))
            continue;
        e->used = true;
        g_ptr_array_add(a, e->value ? e->value : (char *)"");
    }
    g_ptr_array_add(a, NULL);
    return a;
}

static bool open_user(Tandem *t, Keys *k, const char *id, const char *option, GError **err)
{
    g_autoptr(GPtrArray) fwd = take_all(k, "hostfwd");
    UiNetUser cfg = { .hostfwd = (const char *const *)fwd->pdata, .hostname = keys_take(k, "hostname"), .tftp = keys_take(k, "tftp"),
                      .bootfile = keys_take(k, "bootfile") };
    if (!parse_bool(keys_take(k, "restrict"), "restrict", &cfg.restricted, err) ||
        !keys_all_used(k, option, "user, id=, hostfwd=, hostname=, restrict=, tftp=, bootfile=", err))
        return false;
    UiNet *n = ui_net_user_new(t->loop, id, &cfg, err);
    if (!n)
        return false;
    g_ptr_array_add(t->nets, n);
    return machine_add_object(t->machine, "netdev", id, ui_net_port(n), NULL, err);
}

static bool open_netdev(Tandem *t, const char *text, GError **err)
{
    g_autoptr(Keys) k = keys_new(text, "type");
    const char *type = keys_take(k, "type"), *id = keys_take(k, "id");
    if (!type || strcmp(type, "user"))
        return opt_fail(err, "-netdev %s: there is no such network back end; use user", text);
    if (!id)
        return opt_fail(err, "-netdev %s: id= is missing; a -device names it with netdev=ID", text);
    return open_user(t, k, id, "netdev", err);
}

/* Back end and card in one. */
static bool open_nic(Tandem *t, const char *text, unsigned i, GError **err)
{
    g_autoptr(Keys) k = keys_new(text, "type");
    const char *type = keys_take(k, "type"), *model = keys_take(k, "model"), *mac = keys_take(k, "mac"), *given = keys_take(k, "id");
    if (type && !strcmp(type, "none"))
        return true;
    if (!type || strcmp(type, "user"))
        return opt_fail(err, "-nic %s: there is no such network back end; use user or none", text);
    g_autofree char *id = given ? g_strdup(given) : g_strdup_printf("nic%u", i);
    g_ptr_array_add(t->device_args, g_strdup_printf("%s,netdev=%s%s%s", model ? model : "virtio-net-pci", id, mac ? ",mac=" : "", mac ? mac : ""));
    return open_user(t, k, id, "nic", err);
}

void tandem_name_idle_nets(Tandem *t)
{
    for (unsigned i = 0; i < t->o.netdevs->len; i++) {
        g_autoptr(Keys) k = keys_new(g_ptr_array_index(t->o.netdevs, i), "type");
        const char *id = keys_take(k, "id");
        if (id && !machine_object_used(t->machine, "netdev", id))
            tandem_say("netdev %s belongs to no device: the guest does not see it (-device virtio-net-pci,netdev=%s)", id, id);
    }
}

bool tandem_open_nets(Tandem *t, GError **err)
{
    const TandemOptions *o = &t->o;
    for (unsigned i = 0; i < o->netdevs->len; i++)
        if (!open_netdev(t, g_ptr_array_index(o->netdevs, i), err))
            return false;
    for (unsigned i = 0; i < o->nics->len; i++)
        if (!open_nic(t, g_ptr_array_index(o->nics, i), i, err))
            return false;
    bool plain = !o->netdevs->len && !o->nics->len && !o->nodefaults && t->board && t->board->nic;
    /* As with QEMU a guest has a network unless it is told otherwise. */
    if (plain && device_class_find(device_registry, "virtio-net-pci"))
        return open_nic(t, "user", 0, err);
    return true;
}
