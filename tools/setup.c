#include "tools/setup.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tools/keys.h"
#include "ui/net.h"

static const char version[] = "0.1.0";

static void log_line(void *opaque, const char *line)
{
    static const char perf[] = "perf-map ";
    Tandem *t = opaque;
    FILE *f = t->log_file ? t->log_file : stderr;
    if (t->perf_map && g_str_has_prefix(line, perf)) {
        f = t->perf_map;
        line += sizeof(perf) - 1;
    }
    fprintf(f, "%s\n", line);
    fflush(f);
}

static bool open_log(Tandem *t, GError **err)
{
    t->log = log_new(log_line, t);
    if (t->o.log_file && !(t->log_file = fopen(t->o.log_file, "we")))
        return opt_fail(err, "-D: cannot write %s: %s", t->o.log_file, g_strerror(errno));
    if (t->o.log_items && !log_set_items(t->log, t->o.log_items, err))
        return false;
    g_autofree char *map = g_strdup_printf("/tmp/perf-%d.map", (int)getpid());     /* where perf looks */
    if (log_on(t->log, LOG_PERF) && !(t->perf_map = fopen(map, "wxe")))
        return opt_fail(err, "-d perf: cannot write %s: %s", map, g_strerror(errno));
    return true;
}

static void quit(void *opaque)
{
    loop_quit(((Tandem *)opaque)->loop);
}

static bool make_machine(Tandem *t, GError **err)
{
    MachineConfig cfg = {
        .name = t->o.machine, .loop = t->loop, .log = t->log, .ram_bytes = t->o.ram_bytes, .devices = device_registry,
        .no_reboot = t->o.no_reboot, .no_shutdown = t->o.no_shutdown, .accel_cfg = t->accel_cfg,
    };
    if (t->board) {
        cfg.cpu = t->board->cpu;
        cfg.accel = t->accel;
        cfg.assist = t->assist;
        cfg.n_vcpus = (unsigned)t->o.n_vcpus;
        cfg.max_vcpus = (unsigned)t->o.max_vcpus;
    }
    t->machine = machine_new(&cfg, err);
    if (!t->machine)
        return false;
    t->control = (Control){ .machine = t->machine, .version = version, .accel_line = t->accel_line, .drives = t->drives, .quit = quit, .opaque = t };
    return true;
}

static bool make_board(Tandem *t, GError **err)
{
    g_autoptr(Keys) boot = keys_new(t->o.boot ? t->o.boot : "", "order");
    BoardConfig cfg = {
        .cpu = t->o.cpu, .kernel = t->o.kernel, .initrd = t->o.initrd, .append = t->o.append, .bios = t->o.bios, .uuid = t->o.uuid, .name = t->o.name,
        .debugcon = t->o.debugcon ? "debugcon" : NULL, .no_smm = t->o.smm_off, .boot_order = keys_take(boot, "order"),
    };
    if (!parse_bool(keys_take(boot, "menu"), "-boot menu", &cfg.boot_menu, err))
        return false;
    if (cfg.boot_order && strpbrk(cfg.boot_order, "an"))
        tandem_say("-boot a, n: there is no floppy drive and no network boot yet; the others are tried");
    for (unsigned i = 0; i < t->board->max_serials; i++)
        cfg.serial[i] = t->serial_ids[i];
    g_ptr_array_add(t->o.machine_options, NULL);
    cfg.options = (const char *const *)t->o.machine_options->pdata;
    return t->board->init(t->machine, &cfg, err);
}

bool tandem_setup(Tandem *t, GError **err)
{
    t->loop = loop_new(NULL);
    t->block = block_ctx_new(0);
    t->drives = g_ptr_array_new();
    t->chardevs = g_ptr_array_new();
    t->monitors = g_ptr_array_new();
    t->nets = g_ptr_array_new();
    t->device_args = g_ptr_array_new_with_free_func(g_free);
    if (t->o.qmps->len)
        tandem_say("-qmp is accepted but not yet there: nothing will answer on it; use -monitor");
    if (!open_log(t, err) || !tandem_choose_board(t, err) || !tandem_open_drives(t, err) || (t->board && !tandem_choose_accel(t, err)) || !make_machine(t, err) ||
        !tandem_register_drives(t, err) || !tandem_open_chardevs(t, err) || !tandem_open_nets(t, err))
        return false;
    if (t->board && !make_board(t, err))
        return false;
    if (!tandem_add_devices(t, err) || (t->board && !t->board->finish(t->machine, err)) || !machine_complete(t->machine, err))
        return false;
    if (t->board) {
        tandem_say("%s", t->accel_line);
        tandem_name_idle_drives(t);
        tandem_name_idle_nets(t);
    }
    if (t->o.switch_us)
        machine_set_switch_period(t->machine, (unsigned)t->o.switch_us);
    return true;
}

static void free_drives(Tandem *t)
{
    for (unsigned i = 0; t->drives && i < t->drives->len; i++) {
        ControlDrive *d = g_ptr_array_index(t->drives, i);
        if (block_flush(d->node) < 0)
            tandem_say("drive %s: the last flush failed; its newest data may be lost", d->id);
        block_unref(d->node);
        g_free(d->id);
        g_free(d->device);
        g_free(d);
    }
    if (t->drives)
        g_ptr_array_unref(t->drives);
    if (t->block)
        block_ctx_free(t->block);
}

static void free_list(GPtrArray *a, void (*fn)(void *p))
{
    for (unsigned i = 0; a && i < a->len; i++)
        fn(g_ptr_array_index(a, i));
    if (a)
        g_ptr_array_unref(a);
}

static void free_monitor(void *p)
{
    ui_monitor_free(p);
}

static void free_net(void *p)
{
    ui_net_free(p);
}

static void free_chardev(void *p)
{
    chardev_free(p);
}

void tandem_free(Tandem *t)
{
    if (t->machine && log_on(t->log, LOG_STATS) && t->board) {
        g_autofree char *text = machine_exit_stats(t->machine);
        log_item(t->log, LOG_STATS, "%s", text);
        const AccelOps *a = machine_accel(t->machine);
        g_autofree char *engine = a && a->stats ? a->stats(machine_accel_vm(t->machine)) : NULL;
        if (engine)
            log_item(t->log, LOG_STATS, "%s", engine);
    }
    loop_fd_free(t->signal_watch);
    /* Monitors may be asked things until the machine is gone; devices hold the back ends until then. */
    free_list(t->monitors, free_monitor);
    machine_free(t->machine);
    free_list(t->chardevs, free_chardev);
    ui_mux_free(t->mux);
    free_list(t->nets, free_net);
    free_drives(t);
    if (t->device_args)
        g_ptr_array_unref(t->device_args);
    for (unsigned i = 0; i < 4; i++)
        g_free(t->serial_ids[i]);
    if (t->loop)
        loop_unref(t->loop);
    log_free(t->log);
    if (t->log_file)
        fclose(t->log_file);
    if (t->perf_map)
        fclose(t->perf_map);
    g_free(t->accel_line);
    options_clear(&t->o);
    *t = (Tandem){ .signal_fd = -1 };
}
