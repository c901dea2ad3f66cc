#pragma once
#include "control/control.h"
#include "vmm/chardev.h"

/* A person at a character device, typing monitor commands. Attaches to @cd as its front; main thread. */
typedef struct UiMonitor UiMonitor;
/* @control lives longer. */
UiMonitor *ui_monitor_new(CharDev *cd, Control *control);
void ui_monitor_free(UiMonitor *m);     /* before the CharDev; NULL is fine */
