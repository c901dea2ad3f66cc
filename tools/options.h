#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/accel.h"

/* The command line of tandem, parsed. What names other things (drives, devices) stays text until the machine is made. */
typedef struct TandemOptions {
    char *machine;              /* "pc", "virt", "none" */
    char *arch;                 /* guest CPU: "x86_64", "aarch64", "riscv64"; NULL: by the kernel image, else x86_64 */
    bool machine_given;
    char *accel;                /* "kvm:tcg", "auto"; NULL = auto */
    char *accel_option;         /* how the engine was named, for messages: "-accel", "-enable-kvm" */
    char *cpu, *kernel, *initrd, *append, *bios, *boot, *name, *log_items, *log_file, *display, *vga, *uuid, *debugcon;
    uint64_t ram_bytes, n_vcpus, max_vcpus, tb_cache_bytes;
    AccelIrqchip irqchip;
    AccelRing0 ring0;
    unsigned tier;              /* translator's back end: 0 default, else TcgTier */
    uint64_t switch_us;         /* test option: move to the other engine every so often */
    bool enable_kvm, nographic, nodefaults, no_reboot, no_shutdown, paused, no_acpi, smm_off, snapshot;
    bool no_run;                /* building the machine is all that is asked for */
    bool sandbox_on, sandbox_off;       /* asked for by name */
    GPtrArray *machine_options; /* char *, "name=value": of -machine, for the board */
    GPtrArray *drives, *devices, *netdevs, *nics, *chardevs, *serials, *monitors, *qmps;     /* char *, in order */
    char *disks[4], *cdrom;     /* -hda ... -hdd */
    char *disk;                 /* the one argument without a dash */
} TandemOptions;

typedef enum OptionsResult { OPTIONS_RUN, OPTIONS_DONE, OPTIONS_BAD } OptionsResult;

/*
 * OPTIONS_DONE: *ret_text (g_free) is what was asked for (-help, -version, -d help). OPTIONS_BAD: one line in @err.
 */
OptionsResult options_parse(TandemOptions *o, int argc, char *const *argv, char **ret_text, GError **err);
void options_clear(TandemOptions *o);
/* Every option name, for tests; NULL-terminated, g_free the array only. */
const char **options_names(void);
/* True if the option takes an argument; for tests. */
bool options_has_arg(const char *name);
