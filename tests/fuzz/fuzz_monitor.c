/* What somebody types at a monitor: keys and lines, on a machine without anything. */
#include <glib.h>

#include "control/control.h"
#include "tests/fuzz/fuzz.h"
#include "ui/monitor.h"

static void quit(void *opaque) { }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Loop *loop = loop_new(NULL);
    MachineConfig cfg = { .name = "none", .loop = loop };
    Machine *m = machine_new(&cfg, NULL);
    g_autoptr(GPtrArray) drives = g_ptr_array_new();
    Control c = { .machine = m, .version = "0", .accel_line = "none", .drives = drives, .quit = quit };
    CharDev *cd = chardev_new("mon", NULL, NULL);
    bool ok = machine_complete(m, NULL);
    g_assert(ok);
    UiMonitor *mon = ui_monitor_new(cd, &c);
    chardev_event(cd, CHAR_OPENED);
    for (size_t at = 0; at < size;) {
        size_t n = chardev_receive(cd, data + at, size - at);
        at += n ? n : 1;
        loop_iterate(loop, false);
    }
    ui_monitor_free(mon);
    machine_free(m);
    chardev_free(cd);
    loop_unref(loop);
    return 0;
}
