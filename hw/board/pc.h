#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "hw/board/board.h"

/*
 * The PC: i440FX + PIIX3 + PIIX4, the only place that knows addresses and interrupt numbers. Started by firmware, or, with a
 * kernel, without any.
 */
enum { PC_SERIALS = BOARD_SERIALS };
typedef BoardConfig PcConfig;

extern const Board board_pc;
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
