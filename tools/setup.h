#pragma once
#include <stdio.h>

#include "control/control.h"
#include "hw/board/board.h"
#include "tools/options.h"
#include "ui/chardevs.h"
#include "ui/monitor.h"

/* What tandem builds out of its options; freed in one piece. Main thread. */
typedef struct Tandem {
    TandemOptions o;
    Loop *loop;
    Log *log;
    FILE *log_file, *perf_map;
    BlockCtx *block;
    GPtrArray *drives;          /* of ControlDrive * */
    UiMux *mux;
    GPtrArray *chardevs;        /* CharDev *, all of them */
    GPtrArray *monitors;        /* UiMonitor * */
    GPtrArray *nets;            /* UiNet * */
    GPtrArray *device_args;     /* char *: "-device" texts that options imply, before the user's */
    Control control;
    Machine *machine;
    const Board *board;         /* NULL: -machine none */
    const AccelOps *accel, *assist;
    char *accel_line;
    AccelConfig accel_cfg;
    char *serial_ids[4];
    int signal_fd;
    LoopFd *signal_watch;
    unsigned signals;           /* that asked for an end */
} Tandem;

/* setup.c: everything but running. False with one line in @err. */
bool tandem_setup(Tandem *t, GError **err);
void tandem_free(Tandem *t);
/* A line for the user on standard error, "tandem: " in front. */
G_GNUC_PRINTF(1, 2) void tandem_say(const char *fmt, ...);

/* boards.c: which guest CPU and machine. */
bool tandem_choose_board(Tandem *t, GError **err);
/* The machines there are, a line each. */
char *tandem_board_help(void);
/* accel.c: choose engines; says one line. */
bool tandem_choose_accel(Tandem *t, GError **err);
/* drives.c: open images, add "drive" objects, imply devices. Before and after the machine exists. */
bool tandem_open_drives(Tandem *t, GError **err);
bool tandem_register_drives(Tandem *t, GError **err);
void tandem_name_idle_drives(Tandem *t);
/* chars.c */
bool tandem_open_chardevs(Tandem *t, GError **err);
/* nets.c */
bool tandem_open_nets(Tandem *t, GError **err);
void tandem_name_idle_nets(Tandem *t);
/* devices.c: -device; help texts. */
bool tandem_add_devices(Tandem *t, GError **err);
/* True if @arg asks for help; then *ret_text is it. */
bool tandem_device_help(Tandem *t, const char *arg, char **ret_text, GError **err);

extern const Board *const board_registry[];
extern const DeviceClass *const device_registry[];
extern const AccelOps *const accel_registry[];
