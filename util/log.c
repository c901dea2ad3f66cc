#include "util/log.h"

#include <string.h>

struct Log {
    LogSink *sink;
    void *opaque;
    uint32_t items;
    GMutex lock;               /* protects the rate limiter */
    int64_t window_us;
    unsigned in_window;
    uint64_t suppressed;
};

static const struct { const char *name, *help; } log_names[LOG_ITEMS] = {
    [LOG_IN_ASM] = { "in_asm", "guest code of each translation" },
    [LOG_OP] = { "op", "IR as the front end made it" },
    [LOG_OP_OPT] = { "op_opt", "IR after the passes" },
    [LOG_OUT_ASM] = { "out_asm", "host code of each translation" },
    [LOG_INT] = { "int", "interrupts and exceptions" },
    [LOG_EXEC] = { "exec", "each entry into translated code" },
    [LOG_GUEST_ERRORS] = { "guest_errors", "what the guest did against a device's protocol" },
    [LOG_STATS] = { "stats", "counters at exit" },
    [LOG_PERF] = { "perf", "write /tmp/perf-PID.map so that perf names guest code" },
};

Log *log_new(LogSink *sink, void *opaque)
{
    Log *log = g_new0(Log, 1);
    log->sink = sink;
    log->opaque = opaque;
    log->items = 1u << LOG_GUEST_ERRORS;
    g_mutex_init(&log->lock);
    return log;
}

void log_free(Log *log)
{
    if (!log)
        return;
    g_mutex_clear(&log->lock);
    g_free(log);
}

static int log_item_by_name(const char *name)
{
    for (int i = 0; i < LOG_ITEMS; i++)
        if (!strcmp(log_names[i].name, name))
            return i;
    return -1;
}

bool log_set_items(Log *log, const char *list, GError **err)
{
    g_auto(GStrv) names = g_strsplit(list, ",", 64);
    for (char **n = names; *n; n++) {
        int item = log_item_by_name(*n);
        if (item < 0) {
            g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "unknown log item '%s'; see -d help", *n);
            return false;
        }
        log->items |= 1u << item;
    }
    return true;
}

bool log_on(const Log *log, LogItem item)
{
    return log && (log->items >> item & 1);
}

const char *log_items_help(void)
{
    return "in_asm        guest code of each translation\n"
           "op            IR as the front end made it\n"
           "op_opt        IR after the passes\n"
           "out_asm       host code of each translation\n"
           "int           interrupts and exceptions\n"
           "exec          each entry into translated code\n"
           "guest_errors  what the guest did against a device's protocol (on by default)\n"
           "stats         counters at exit\n"
           "perf          write a perf map so that perf names guest code\n";
}

static void G_GNUC_PRINTF(2, 0) log_emit(Log *log, const char *fmt, va_list ap)
{
    g_autofree char *line = g_strdup_vprintf(fmt, ap);
    log->sink(log->opaque, line);
}

void log_item(Log *log, LogItem item, const char *fmt, ...)
{
    if (!log_on(log, item))
        return;
    va_list ap;
    va_start(ap, fmt);
    log_emit(log, fmt, ap);
    va_end(ap);
}

void log_warn(Log *log, const char *fmt, ...)
{
    if (!log)
        return;
    va_list ap;
    va_start(ap, fmt);
    log_emit(log, fmt, ap);
    va_end(ap);
}

static bool log_rate_ok(Log *log)
{
    int64_t now = g_get_monotonic_time();
    g_mutex_lock(&log->lock);
    if (now - log->window_us > G_USEC_PER_SEC) {
        log->window_us = now;
        log->in_window = 0;
    }
    bool ok = log->in_window++ < 10;
    log->suppressed += !ok;
    g_mutex_unlock(&log->lock);
    return ok;
}

void log_guest_error(Log *log, const char *fmt, ...)
{
    if (!log_on(log, LOG_GUEST_ERRORS) || !log_rate_ok(log))
        return;
    va_list ap;
    va_start(ap, fmt);
    log_emit(log, fmt, ap);
    va_end(ap);
}
