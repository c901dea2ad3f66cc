#include "control/control.h"

static bool info_status(Control *c, const char *const *argv, GString *out, GError **err)
{
    g_string_append_printf(out, "VM status: %s\n", machine_state_name(c->machine));
    return true;
}

static bool info_version(Control *c, const char *const *argv, GString *out, GError **err)
{
    g_string_append_printf(out, "tandem %s\n", c->version);
    return true;
}

static bool info_accel(Control *c, const char *const *argv, GString *out, GError **err)
{
    const MachineConfig *cfg = machine_config(c->machine);
    if (!cfg->accel) {
        g_string_append(out, "no engine: this machine has no CPU\n");
        return true;
    }
    g_string_append_printf(out, "engine: %s\n", machine_accel_name(c->machine));
    if (c->accel_line)
        g_string_append_printf(out, "chosen: %s\n", c->accel_line);
    g_string_append_printf(out, "assistant: %s\n", cfg->assist ? cfg->assist->name : "none");
    return true;
}

static bool info_block(Control *c, const char *const *argv, GString *out, GError **err)
{
    for (unsigned i = 0; c->drives && i < c->drives->len; i++) {
        const ControlDrive *d = g_ptr_array_index(c->drives, i);
        BlockStats st;
        block_stats(d->node, &st);
        g_string_append_printf(out, "%s: %s (%s%s), %" G_GUINT64_FORMAT " bytes\n", d->id, block_name(d->node), block_format_name(d->node),
                               block_read_only(d->node) ? ", read-only" : "", (guint64)block_length(d->node));
        if (block_backing_name(d->node))
            g_string_append_printf(out, "    on top of %s\n", block_backing_name(d->node));
        g_string_append_printf(out, "    read %" G_GUINT64_FORMAT " requests, %" G_GUINT64_FORMAT " bytes; written %" G_GUINT64_FORMAT
                               " requests, %" G_GUINT64_FORMAT " bytes; flushes %" G_GUINT64_FORMAT "; in flight %u; metadata cache %" G_GUINT64_FORMAT
                               " bytes\n",
                               (guint64)st.reqs[BLOCK_READ], (guint64)st.bytes[BLOCK_READ], (guint64)st.reqs[BLOCK_WRITE],
                               (guint64)st.bytes[BLOCK_WRITE], (guint64)st.reqs[BLOCK_FLUSH], st.in_flight,
                               (guint64)st.metadata_bytes);
    }
    return true;
}

/* The engine's own counters. */
static bool info_jit(Control *c, const char *const *argv, GString *out, GError **err)
{
    const AccelOps *a = machine_accel(c->machine);
    g_autofree char *text = a && a->stats ? a->stats(machine_accel_vm(c->machine)) : NULL;
    g_string_append(out, text ? text : "the engine that runs has no statistics of its own\n");
    return true;
}

static bool info_stats(Control *c, const char *const *argv, GString *out, GError **err)
{
    g_autofree char *text = machine_exit_stats(c->machine);
    g_string_append(out, text);
    return true;
}

static bool info_mtree(Control *c, const char *const *argv, GString *out, GError **err)
{
    g_autofree char *text = mem_system_dump(machine_mem(c->machine));
    g_string_append(out, text);
    return true;
}

const ControlCommand control_info_commands[] = {
    { "status", "", "running, paused...", 0, 0, info_status },
    { "version", "", "version of tandem", 0, 0, info_version },
    { "accel", "", "which engine runs, and why", 0, 0, info_accel },
    { "block", "", "drives and their counters", 0, 0, info_block },
    { "jit", "", "counters of the translator", 0, 0, info_jit },
    { "stats", "", "exits of the virtual CPUs", 0, 0, info_stats },
    { "mtree", "", "memory regions and views", 0, 0, info_mtree },
    { 0 }
};
