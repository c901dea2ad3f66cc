#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/machine.h"

/*
 * The PC: i440FX + PIIX3 + PIIX4, the only place that knows addresses and interrupt numbers. Started by firmware, or, with a
 * kernel, without any.
 */
enum { PC_SERIALS = 4 };

typedef struct PcConfig {
    const char *cpu;                    /* model and features as text; NULL = the default */
    const char *kernel, *initrd, *append;   /* paths; kernel NULL = firmware */
    const char *bios;                   /* path; NULL = Debian's SeaBIOS */
    const char *serial[PC_SERIALS];     /* ids of chardev objects, NULL = no such port */
    const char *debugcon;               /* id of a chardev object for ports 0x402 and 0xe9, or NULL */
    const char *boot_order;             /* letters a, c, d, n; NULL = c */
    bool boot_menu;
    const char *uuid;                   /* text, or NULL */
    const char *name;
    bool no_smm;                        /* SMM is presented as already set up and locked */
} PcConfig;

extern const CpuType pc_cpu_type;       /* "x86", for MachineConfig.cpu */

/*
 * Build the board's own devices into @m (state CREATED). Devices of the user are added afterwards, then pc_finish, then
 * machine_complete. @cfg's strings live as long as @m. False with one line in @err.
 */
bool pc_init(Machine *m, const PcConfig *cfg, GError **err);
/* Reads the kernel or firmware, makes tables: after all devices that are there at start. */
bool pc_finish(Machine *m, GError **err);
/* Lines for the user about the boot ("bzImage, 64-bit entry"); NULL = nothing special. */
const char *pc_boot_kind(Machine *m);
