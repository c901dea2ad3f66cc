#include <string.h>
#include <unistd.h>

#include "ui/chardevs.h"
#include "ui/stream.h"

enum { ESCAPE = 1, MAX_CHANNELS = 4, PENDING = 4096 };

typedef struct Channel { UiMux *mux; CharDev *cd; } Channel;

struct UiMux {
    Loop *loop;
    UiStream *stream;
    UiTerminal *term;
    Channel channel[MAX_CHANNELS];
    unsigned n, focus;
    bool escaped;
    uint8_t pending[PENDING];   /* for the channel with the focus */
    size_t n_pending;
    void (*quit)(void *opaque);
    void *opaque;
};

static void say(UiMux *m, const char *text)
{
    ui_stream_write(m->stream, text, strlen(text));
}

static void help(UiMux *m)
{
    say(m, "\r\nC-a h    this help\r\nC-a x    quit\r\nC-a c    switch between console and monitor\r\n"
           "C-a b    send a break\r\nC-a C-a  send C-a\r\n");
}

/* After Ctrl-A. */
static void command(UiMux *m, uint8_t ch)
{
    CharDev *cd = m->channel[m->focus].cd;
    switch (ch) {
    case 'x':
        say(m, "\r\ntandem: terminated\r\n");
        m->quit(m->opaque);
        break;
    case 'c':
        m->focus = (m->focus + 1) % m->n;
        m->n_pending = 0;       /* was meant for the other one */
        chardev_event(m->channel[m->focus].cd, CHAR_OPENED);
        break;
    case 'b':
        chardev_event(cd, CHAR_BREAK);
        break;
    case 'h':
    case '?':
        help(m);
        break;
    case ESCAPE:
        m->pending[m->n_pending++] = ch;
        break;
    default:
        break;
    }
}

static CharDev *focused(UiMux *m)
{
    return m->n ? m->channel[m->focus].cd : NULL;
}

/* What the focused channel does not take now waits here: pasted text must not get lost in a 16-byte FIFO. */
static size_t mux_can_receive(void *opaque)
{
    return PENDING - ((UiMux *)opaque)->n_pending;
}

static void deliver(void *opaque)
{
    UiMux *m = opaque;
    CharDev *cd = focused(m);
    size_t done = 0;
    while (cd && done < m->n_pending) {
        size_t n = chardev_receive(cd, m->pending + done, m->n_pending - done);
        if (!n)
            break;
        done += n;
    }
    m->n_pending -= done;
    memmove(m->pending, m->pending + done, m->n_pending);
}

static void mux_receive(void *opaque, const uint8_t *buf, size_t len)
{
    UiMux *m = opaque;
    for (size_t i = 0; i < len; i++) {
        if (m->escaped) {
            m->escaped = false;
            deliver(m);         /* what was typed before belongs to the channel that had the focus then */
            command(m, buf[i]);
        } else if (buf[i] == ESCAPE) {
            m->escaped = true;
        } else {
            m->pending[m->n_pending++] = buf[i];
        }
    }
    deliver(m);
}

static void mux_writable(void *opaque)
{
    UiMux *m = opaque;
    for (unsigned i = 0; i < m->n; i++)
        if (m->channel[i].cd)
            chardev_writable(m->channel[i].cd);
}

static const UiStreamOps mux_ops = { .can_receive = mux_can_receive, .receive = mux_receive, .writable = mux_writable, .resume = deliver };

static ssize_t channel_write(void *opaque, const uint8_t *buf, size_t len)
{
    ssize_t n = ui_stream_write(((Channel *)opaque)->mux->stream, buf, len);
    return n < 0 ? (ssize_t)len : n;
}

static void channel_accept_input(void *opaque)
{
    ui_stream_accept_input(((Channel *)opaque)->mux->stream);
}

static const CharBackOps channel_ops = { .write = channel_write, .accept_input = channel_accept_input };

UiMux *ui_mux_new(Loop *loop, void (*quit)(void *opaque), void *opaque)
{
    UiMux *m = g_new0(UiMux, 1);
    int in = ui_fd_private(STDIN_FILENO, false), out = ui_fd_private(STDOUT_FILENO, true);
    m->loop = loop;
    m->quit = quit;
    m->opaque = opaque;
    m->term = ui_terminal_new(false);
    m->stream = ui_stream_new(loop, in < 0 ? -1 : in, out < 0 ? -1 : out, true, &mux_ops, m);
    return m;
}

CharDev *ui_mux_add(UiMux *m, const char *name)
{
    g_assert(m->n < MAX_CHANNELS);
    Channel *c = &m->channel[m->n++];
    c->mux = m;
    c->cd = chardev_new(name, &channel_ops, c);
    if (m->n == 1)
        chardev_event(c->cd, CHAR_OPENED);      /* the others when they get the focus: a monitor then greets */
    return c->cd;
}

void ui_mux_free(UiMux *m)
{
    if (!m)
        return;
    m->n = 0;
    ui_stream_free(m->stream);
    ui_terminal_free(m->term);
    g_free(m);
}
