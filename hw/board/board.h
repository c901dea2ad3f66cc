#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/machine.h"

/* What -machine names: one const Board each, listed in the registry that tools compile in. */
enum { BOARD_SERIALS = 4 };

typedef struct BoardConfig {
    const char *cpu;                    /* model and features as text; NULL = the default */
    const char *kernel, *initrd, *append;   /* paths; kernel NULL = firmware */
    const char *bios;                   /* path; NULL = the firmware that Debian has for the board; boards without a need take "none" */
    const char *serial[BOARD_SERIALS];  /* ids of chardev objects, NULL = no such port */
    const char *debugcon;               /* id of a chardev object for ports 0x402 and 0xe9, or NULL */
    const char *boot_order;             /* letters a, c, d, n; NULL = c */
    bool boot_menu;
    const char *uuid;                   /* text, or NULL */
    const char *name;
    const char *const *options;         /* of -machine, "name=value", NULL-terminated; only names that the board lists */
    bool no_smm;                        /* SMM is presented as already set up and locked */
} BoardConfig;

typedef struct Board {
    const char *machine, *arch;         /* "virt", "riscv64" */
    const char *summary;
    unsigned max_vcpus, max_serials;
    unsigned buses;                     /* 1 << BUS_... of those that devices of the user can be plugged into */
    const CpuType *cpu;
    const char *const *options;         /* names of -machine's options that are its own; NULL: none */
    unsigned flash_banks;               /* -drive if=pflash: drives "pflash0"... that it looks for */
    const char *engine;                 /* the only engine that can run it; NULL: any */
    /*
     * Build the board's own devices into @m (state CREATED). Devices of the user are added afterwards, then finish, then machine_complete. @cfg's strings
     * live as long as @m. False with one line in @err.
     */
    bool (*init)(Machine *m, const BoardConfig *cfg, GError **err);
    /* Reads kernel and firmware, makes tables: after all devices that are there at start. */
    bool (*finish)(Machine *m, GError **err);
    char *(*cpu_help)(void);   /* what -cpu takes, lines of text */
    const char *disk, *cdrom, *nic;     /* devices that -hda, -cdrom, -nic mean here */
} Board;
