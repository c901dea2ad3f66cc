/* Serial ports, monitors and -chardev: who gets the terminal. */
#include <string.h>

#include "tools/keys.h"
#include "tools/setup.h"

static void quit(void *opaque)
{
    loop_quit(((Tandem *)opaque)->loop);
}

/* Owned by t->chardevs; known to the machine by name. */
static bool keep(Tandem *t, CharDev *cd, GError **err)
{
    g_ptr_array_add(t->chardevs, cd);
    return machine_add_object(t->machine, "chardev", chardev_name(cd), cd, NULL, err);
}

static bool open_one(Tandem *t, const char *id, const char *spec, CharDev **ret, GError **err)
{
    g_autofree char *note = NULL;
    CharDev *cd = ui_chardev_open(t->loop, id, spec, &note, err);
    if (!cd)
        return false;
    if (note)
        tandem_say("%s", note);
    *ret = cd;
    return keep(t, cd, err);
}

static bool add_monitor(Tandem *t, CharDev *cd)
{
    UiMonitor *m = ui_monitor_new(cd, &t->control);
    g_ptr_array_add(t->monitors, m);
    return m != NULL;
}

static bool open_mux(Tandem *t, const char *id, CharDev **ret, GError **err)
{
    t->mux = ui_mux_new(t->loop, quit, t);
    *ret = ui_mux_add(t->mux, id);
    if (!keep(t, *ret, err))
        return false;
    CharDev *mon = ui_mux_add(t->mux, "monitor");
    g_ptr_array_add(t->chardevs, mon);
    return add_monitor(t, mon);
}

static bool stdio_taken(const TandemOptions *o)
{
    if (o->debugcon && ui_chardev_is_stdio(o->debugcon))
        return true;
    for (unsigned i = 0; i < o->monitors->len; i++)
        if (ui_chardev_is_stdio(g_ptr_array_index(o->monitors, i)))
            return true;
    for (unsigned i = 0; i < o->serials->len; i++)
        if (ui_chardev_is_stdio(g_ptr_array_index(o->serials, i)))
            return true;
    for (unsigned i = 0; i < o->chardevs->len; i++)
        if (g_str_has_prefix(g_ptr_array_index(o->chardevs, i), "stdio"))
            return true;
    return false;
}

static bool check_stdio(const TandemOptions *o, GError **err)
{
    unsigned users = o->debugcon && ui_chardev_is_stdio(o->debugcon);
    for (unsigned i = 0; i < o->serials->len; i++)
        users += ui_chardev_is_stdio(g_ptr_array_index(o->serials, i));
    for (unsigned i = 0; i < o->monitors->len; i++)
        users += ui_chardev_is_stdio(g_ptr_array_index(o->monitors, i));
    for (unsigned i = 0; i < o->chardevs->len; i++)
        users += g_str_has_prefix(g_ptr_array_index(o->chardevs, i), "stdio");
    return users <= 1 || opt_fail(err, "standard input and output can be used once; -serial mon:stdio shares them between console and monitor");
}

static bool open_serials(Tandem *t, GError **err)
{
    const TandemOptions *o = &t->o;
    for (unsigned i = 0; i < 4; i++) {
        const char *spec = i < o->serials->len ? g_ptr_array_index(o->serials, i) : NULL;
        g_autofree char *id = g_strdup_printf("serial%u", i);
        CharDev *cd;
        if (!spec && i == 0 && (o->nographic || !o->nodefaults))
            spec = stdio_taken(o) ? "null" : "mon:stdio";
        if (!spec || !strcmp(spec, "none"))
            continue;
        if (!(!strcmp(spec, "mon:stdio") ? open_mux(t, id, &cd, err) : open_one(t, id, spec, &cd, err)))
            return false;
        t->serial_ids[i] = g_steal_pointer(&id);
    }
    return true;
}

static bool open_monitors(Tandem *t, GError **err)
{
    for (unsigned i = 0; i < t->o.monitors->len; i++) {
        const char *spec = g_ptr_array_index(t->o.monitors, i);
        g_autofree char *id = g_strdup_printf("monitor%u", i);
        CharDev *cd;
        if (!strcmp(spec, "none"))
            continue;
        if (!open_one(t, id, spec, &cd, err))
            return false;
        if (!add_monitor(t, cd))
            return opt_fail(err, "-monitor %s cannot be used", spec);
    }
    return true;
}

/* "-chardev socket,id=c0,path=/x,server=on" in the words of ui_chardev_open. */
static bool open_chardev(Tandem *t, const char *text, GError **err)
{
    g_autoptr(Keys) k = keys_new(text, "backend");
    const char *backend = keys_take(k, "backend"), *id = keys_take(k, "id"), *path = keys_take(k, "path");
    bool server = false, wait = false, is_socket = backend && !strcmp(backend, "socket");
    CharDev *cd;
    if (!backend || !id)
        return opt_fail(err, "-chardev %s: a kind and id= are needed, such as stdio,id=c0", text);
    if (!parse_bool(keys_take(k, "server"), "-chardev server", &server, err) || !parse_bool(keys_take(k, "wait"), "-chardev wait", &wait, err) ||
        !keys_all_used(k, "chardev", "stdio, file, socket, pty or null, id=, path=, server=, wait=", err))
        return false;
    if ((is_socket || !strcmp(backend, "file")) != (path != NULL))
        return opt_fail(err, "-chardev %s: path= belongs to file and socket, which need it", text);
    g_autofree char *spec = is_socket ? g_strdup_printf("unix:%s%s", path, server ? ",server=on" : "") : path ? g_strdup_printf("file:%s", path) : g_strdup(backend);
    return open_one(t, id, spec, &cd, err);
}

bool tandem_open_chardevs(Tandem *t, GError **err)
{
    if (!check_stdio(&t->o, err))
        return false;
    for (unsigned i = 0; i < t->o.chardevs->len; i++)
        if (!open_chardev(t, g_ptr_array_index(t->o.chardevs, i), err))
            return false;
    CharDev *cd;
    if (t->o.debugcon && !open_one(t, "debugcon", t->o.debugcon, &cd, err))
        return false;
    return open_serials(t, err) && open_monitors(t, err);
}
