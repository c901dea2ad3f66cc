#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Logging. There is no global log: a Log is owned by whoever made it (a Machine, a tool)
 * and handed down. A NULL Log is valid and drops everything.
 */
typedef enum LogItem {
    LOG_IN_ASM, LOG_OP, LOG_OP_OPT, LOG_OUT_ASM, LOG_INT, LOG_EXEC, LOG_GUEST_ERRORS, LOG_STATS, LOG_PERF, LOG_ITEMS
} LogItem;

typedef struct Log Log;
typedef void LogSink(void *opaque, const char *line);

/* A new Log that hands every finished line (without newline) to @sink; the sink may be called from any thread. */
Log *log_new(LogSink *sink, void *opaque);
void log_free(Log *log);

/* Parse QEMU's -d list ("in_asm,int"). False and @err set on an unknown name. */
bool log_set_items(Log *log, const char *list, GError **err);
bool log_on(const Log *log, LogItem item);
/* One line a name: "name  explanation". */
const char *log_items_help(void);

void log_item(Log *log, LogItem item, const char *fmt, ...) G_GNUC_PRINTF(3, 4);
/* A message for the user (warning class), always delivered. */
void log_warn(Log *log, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
/* Rate-limited guest error: at most 10 a second are delivered, the rest counted. */
void log_guest_error(Log *log, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
