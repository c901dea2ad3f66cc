#include "ui/monitor.h"

#include <string.h>

enum { LINE_MAX_LEN = 1024, HISTORY = 50 };
static const char prompt[] = "(tandem) ";

struct UiMonitor {
    CharDev *cd;
    Control *control;
    GString *line;
    GPtrArray *history;         /* char *, oldest first */
    unsigned at;                /* place in the history, its length = the new line */
    unsigned escape;            /* bytes of ESC [ x seen */
};

static void say(UiMonitor *m, const char *text)
{
    for (const char *nl; (nl = strchr(text, '\n')); text = nl + 1) {
        chardev_write(m->cd, (const uint8_t *)text, (size_t)(nl - text));
        chardev_write(m->cd, (const uint8_t *)"\r\n", 2);
    }
    chardev_write(m->cd, (const uint8_t *)text, strlen(text));
}

static void redraw(UiMonitor *m)
{
    say(m, "\r\033[K");
    say(m, prompt);
    say(m, m->line->str);
}

static void remember(UiMonitor *m)
{
    if (m->line->len)
        g_ptr_array_add(m->history, g_strdup(m->line->str));
    if (m->history->len > HISTORY)
        g_ptr_array_remove_index(m->history, 0);
    m->at = m->history->len;
}

static void enter(UiMonitor *m)
{
    g_autoptr(GString) out = g_string_new(NULL);
    say(m, "\n");
    remember(m);
    control_line(m->control, m->line->str, out);
    g_string_truncate(m->line, 0);
    say(m, out->str);
    say(m, prompt);
}

static void browse(UiMonitor *m, int step)
{
    if (step < 0 ? m->at == 0 : m->at >= m->history->len)
        return;
    m->at = (unsigned)((int)m->at + step);
    g_string_assign(m->line, m->at < m->history->len ? g_ptr_array_index(m->history, m->at) : "");
    redraw(m);
}

/* Complete from the table if only one command fits. */
static void complete(UiMonitor *m)
{
    const char *found = NULL;
    for (const ControlCommand *c = control_commands; c->name; c++) {
        if (m->line->len && g_str_has_prefix(c->name, m->line->str)) {
            if (found)
                return;
            found = c->name;
        }
    }
    if (found) {
        g_string_printf(m->line, "%s ", found);
        redraw(m);
    }
}

static void key(UiMonitor *m, uint8_t ch)
{
    if (m->escape) {
        if (m->escape == 2 && (ch == 'A' || ch == 'B'))
            browse(m, ch == 'A' ? -1 : 1);
        m->escape = m->escape == 1 && ch == '[' ? 2 : 0;
    } else if (ch == '\r' || ch == '\n') {
        enter(m);
    } else if (ch == 0x1b) {
        m->escape = 1;
    } else if (ch == 0x7f || ch == 8) {
        if (m->line->len) {
            g_string_truncate(m->line, m->line->len - 1);
            say(m, "\b \b");
        }
    } else if (ch == '\t') {
        complete(m);
    } else if (ch == 0x15) {
        g_string_truncate(m->line, 0);
        redraw(m);
    } else if (ch >= ' ' && m->line->len < LINE_MAX_LEN) {
        g_string_append_c(m->line, (char)ch);
        chardev_write(m->cd, &ch, 1);
    }
}

static size_t monitor_can_receive(void *opaque)
{
    return 256;
}

static void monitor_receive(void *opaque, const uint8_t *buf, size_t len)
{
    for (size_t i = 0; i < len; i++)
        key(opaque, buf[i]);
}

static void monitor_event(void *opaque, CharEvent ev)
{
    UiMonitor *m = opaque;
    if (ev != CHAR_OPENED)
        return;
    say(m, "\ntandem ");
    say(m, m->control->version);
    say(m, " monitor, 'help' lists commands\n");
    say(m, prompt);
    say(m, m->line->str);
}

static const CharFrontOps monitor_ops = { .can_receive = monitor_can_receive, .receive = monitor_receive, .event = monitor_event };

UiMonitor *ui_monitor_new(CharDev *cd, Control *control)
{
    UiMonitor *m = g_new0(UiMonitor, 1);
    m->cd = cd;
    m->control = control;
    m->line = g_string_new(NULL);
    m->history = g_ptr_array_new_with_free_func(g_free);
    if (!chardev_attach(cd, &monitor_ops, m, NULL)) {
        m->cd = NULL;
        ui_monitor_free(m);
        return NULL;
    }
    return m;
}

void ui_monitor_free(UiMonitor *m)
{
    if (!m)
        return;
    if (m->cd)
        chardev_detach(m->cd);
    g_string_free(m->line, true);
    g_ptr_array_unref(m->history);
    g_free(m);
}
