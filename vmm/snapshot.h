#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/machine.h"

/*
 * Saved machine state as named sections, independent of where it goes (qcow2 VM state, file, socket, a switch test's memory).
 * The machine is paused while devices and vCPUs are written; RAM may go earlier.
 */
typedef struct StateSink {
    /* One section; @data is valid during the call. 0 or -errno (stops the save). */
    int (*section)(void *opaque, const char *name, unsigned version, const void *data, size_t len);
    /* Pages of a RAM block: [offset, +len) from its start; @host NULL = all zero. */
    int (*ram)(void *opaque, const char *block, uint64_t offset, uint64_t len, const void *host);
    void *opaque;
} StateSink;

typedef struct StateSource {
    /* Next section: 1 and the outputs (g_free *ret_name, g_byte_array_unref), 0 at the end, -errno. */
    int (*next)(void *opaque, char **ret_name, unsigned *ret_version, GByteArray **ret_data);
    void *opaque;
} StateSource;

/* Clock, vCPUs, fabric owner, devices in order. Machine paused or prelaunch; main thread. */
bool machine_save_devices(Machine *m, const StateSink *sink, GError **err);
/* All RAM blocks, zero pages as such. */
bool machine_save_ram(Machine *m, const StateSink *sink, GError **err);
/* Into a machine of the same configuration, paused. Unknown or missing sections are errors. On false the machine was reset. */
bool machine_load_devices(Machine *m, const StateSource *src, GError **err);
