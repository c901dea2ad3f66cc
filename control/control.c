#include "control/control.h"

#include <string.h>

enum { MAX_WORDS = 16 };

static const ControlCommand *find(const ControlCommand *table, const char *name)
{
    for (; table->name; table++)
        if (!strcmp(table->name, name))
            return table;
    return NULL;
}

static void run(Control *c, const ControlCommand *table, const char *const *argv, GString *out)
{
    g_autoptr(GError) err = NULL;
    unsigned n = g_strv_length((char **)argv) - 1;
    const ControlCommand *cmd = find(table, argv[0]);
    if (!cmd)
        g_string_append_printf(out, "unknown command '%s'; 'help' lists all\n", argv[0]);
    else if (n < cmd->min_args || n > cmd->max_args)
        g_string_append_printf(out, "usage: %s %s\n", cmd->name, cmd->args);
    else if (!cmd->run(c, argv, out, &err))
        g_string_append_printf(out, "error: %s\n", err ? err->message : "failed");
}

void control_line(Control *c, const char *line, GString *out)
{
    g_auto(GStrv) words = g_strsplit_set(line, " \t\r\n", -1);
    const char *argv[MAX_WORDS + 1];
    unsigned n = 0;
    for (unsigned i = 0; words[i] && n < MAX_WORDS; i++)
        if (*words[i])
            argv[n++] = words[i];
    argv[n] = NULL;
    if (n)
        run(c, control_commands, argv, out);
}

static void list(const ControlCommand *table, const char *prefix, GString *out)
{
    for (; table->name; table++) {
        g_autofree char *call = g_strdup_printf("%s%s %s", prefix, table->name, table->args);
        g_string_append_printf(out, "%-24s %s\n", call, table->help);
    }
}

static bool cmd_help(Control *c, const char *const *argv, GString *out, GError **err)
{
    list(control_commands, "", out);
    list(control_info_commands, "info ", out);
    return true;
}

static bool cmd_info(Control *c, const char *const *argv, GString *out, GError **err)
{
    if (!argv[1])
        list(control_info_commands, "info ", out);
    else
        run(c, control_info_commands, argv + 1, out);
    return true;
}

static bool cmd_cont(Control *c, const char *const *argv, GString *out, GError **err)
{
    return machine_cont(c->machine, err);
}

static bool cmd_stop(Control *c, const char *const *argv, GString *out, GError **err)
{
    machine_pause(c->machine, PAUSE_USER);
    return true;
}

static bool cmd_quit(Control *c, const char *const *argv, GString *out, GError **err)
{
    c->quit(c->opaque);
    return true;
}

static bool cmd_reset(Control *c, const char *const *argv, GString *out, GError **err)
{
    machine_request_reset(c->machine, CAUSE_HOST_MONITOR);
    return true;
}

static bool cmd_powerdown(Control *c, const char *const *argv, GString *out, GError **err)
{
    machine_request_powerdown(c->machine);
    return true;
}

/* QEMU's words: of a drive that lies on a temporary file (-snapshot), or on any backing file. */
static bool cmd_commit(Control *c, const char *const *argv, GString *out, GError **err)
{
    bool all = !strcmp(argv[1], "all"), found = false;
    for (unsigned i = 0; c->drives && i < c->drives->len; i++) {
        const ControlDrive *d = g_ptr_array_index(c->drives, i);
        if (all ? !block_backing(d->node) || block_read_only(d->node) : strcmp(argv[1], d->id))
            continue;
        found = true;
        if (!block_commit(d->node, NULL, true, machine_loop(c->machine), NULL, NULL, err)) {
            g_prefix_error(err, "'commit' of '%s': ", d->id);
            return false;
        }
        g_string_append_printf(out, "%s: committed\n", d->id);
    }
    if (!found && !all)
        g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "Device '%s' not found; 'info block' lists all", argv[1]);
    else if (!found)
        g_string_append(out, "nothing to commit: no drive has a backing file\n");
    return found || all;
}

const ControlCommand control_commands[] = {
    { "cont", "", "let the guest run", 0, 0, cmd_cont },
    { "c", "", "as cont", 0, 0, cmd_cont },
    { "stop", "", "pause the guest", 0, 0, cmd_stop },
    { "quit", "", "end tandem at once; disks are flushed", 0, 0, cmd_quit },
    { "q", "", "as quit", 0, 0, cmd_quit },
    { "info", "[SUBJECT]", "show something", 0, 1, cmd_info },
    { "commit", "all|DRIVE", "write a drive's changes since -snapshot into its image", 1, 1, cmd_commit },
    { "system_reset", "", "press the reset button", 0, 0, cmd_reset },
    { "system_powerdown", "", "press the power button", 0, 0, cmd_powerdown },
    { "help", "", "this list", 0, 0, cmd_help },
    { 0 }
};
