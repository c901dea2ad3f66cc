#pragma once
#include <glib.h>

#include "util/loop.h"
#include "vmm/chardev.h"

/*
 * The host side of character devices. Each is a CharDev whose chardev_free releases everything; main thread only.
 * A spec is QEMU's: "stdio", "file:PATH", "unix:PATH[,server=on][,wait=off]", "pty", "null", "none".
 */
typedef struct UiTerminal UiTerminal;

/* Puts stdin into raw mode if it is a terminal (@signals: Ctrl-C still interrupts us) and remembers how it was. Never NULL. */
UiTerminal *ui_terminal_new(bool signals);
/* Restores. NULL is fine. */
void ui_terminal_free(UiTerminal *t);

/* @note (may be NULL) receives a line for the user ("serial0 is /dev/pts/3"), g_free. */
CharDev *ui_chardev_open(Loop *loop, const char *name, const char *spec, char **ret_note, GError **err);
/* True if @spec uses this process's standard input. */
bool ui_chardev_is_stdio(const char *spec);

/*
 * One terminal for a guest's console and the monitor, as with -nographic. Ctrl-A is the escape key:
 * x quit, c next, b break, h help, Ctrl-A itself.
 */
typedef struct UiMux UiMux;
UiMux *ui_mux_new(Loop *loop, void (*quit)(void *opaque), void *opaque);
/* A further channel; the first one has the focus at the start. The CharDev is the caller's. At most 4. */
CharDev *ui_mux_add(UiMux *mux, const char *name);
/* After its CharDevs. Restores the terminal. NULL is fine. */
void ui_mux_free(UiMux *mux);
