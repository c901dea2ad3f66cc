#pragma once
#include <glib.h>
#include <stdbool.h>

#include "block/block.h"
#include "vmm/machine.h"

/*
 * Monitor commands: one table, from which the human front end (and later QMP) is made. Main thread.
 */
typedef struct ControlDrive {
    char *id, *device;          /* "ide0", "virtio-blk-pci" (NULL: none yet) */
    BlockNode *node;            /* a reference */
} ControlDrive;

typedef struct Control {
    Machine *machine;
    const char *version, *accel_line;   /* accel_line: which engine runs, and why */
    GPtrArray *drives;          /* of ControlDrive *, not owned; may be NULL */
    void (*quit)(void *opaque); /* end the process soon, exit status 0 */
    void *opaque;
} Control;

typedef struct ControlCommand {
    const char *name, *args, *help;     /* args: what follows the name, "" = nothing */
    unsigned min_args, max_args;
    /* Answer goes to @out, lines end in \n. @argv[0] is the name. */
    bool (*run)(Control *c, const char *const *argv, GString *out, GError **err);
} ControlCommand;

/* Terminated by { 0 }. */
extern const ControlCommand control_commands[], control_info_commands[];

/* One line of a person: finds the command, checks the number of arguments, runs it, answers in words (errors too). */
void control_line(Control *c, const char *line, GString *out);
