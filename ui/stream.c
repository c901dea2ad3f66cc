#include "ui/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OUT_MAX = 256 * 1024, IN_CHUNK = 4096, DRAIN_MS = 500 };

struct UiStream {
    Loop *loop;
    int in_fd, out_fd;
    bool own;
    const UiStreamOps *ops;
    void *opaque;
    LoopFd *in_watch, *out_watch;
    bool in_closed;
    GMutex lock;                /* guards what follows */
    GByteArray *out;
    bool flush_queued, input_queued, was_full, broken;
    unsigned deferred;          /* loop_defer calls under way */
    bool dead;
};

int ui_fd_private(int fd, bool write)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)) {
        g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
        int own = open(path, (write ? O_WRONLY : O_RDONLY) | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
        if (own >= 0)
            return own;
    }
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (own < 0)
        return -errno;
    /* A socket, or a terminal that may not be opened again: its flags are shared with whoever started us. */
    if (!S_ISREG(st.st_mode))
        fcntl(own, F_SETFL, fcntl(own, F_GETFL) | O_NONBLOCK);
    return own;
}

/* Lock held. True if all went out. */
static bool flush_locked(UiStream *s)
{
    while (s->out->len && !s->broken) {
        ssize_t n = write(s->out_fd, s->out->data, s->out->len);
        if (n > 0) {
            g_byte_array_remove_range(s->out, 0, (guint)n);
        } else if (n < 0 && errno == EINTR) {
            continue;
        } else if (n < 0 && errno == EAGAIN) {
            return false;
        } else {
            s->broken = true;
        }
    }
    if (s->broken)
        g_byte_array_set_size(s->out, 0);
    return true;
}

static void on_writable(void *opaque, GIOCondition ready)
{
    UiStream *s = opaque;
    g_mutex_lock(&s->lock);
    s->flush_queued = false;
    bool done = flush_locked(s);
    bool room = s->was_full && s->out->len < OUT_MAX / 2;
    if (room)
        s->was_full = false;
    /* A regular file is always ready, so it never comes to a watch. */
    if (!done && !s->out_watch)
        s->out_watch = loop_fd_new(s->loop, s->out_fd, G_IO_OUT, on_writable, s);
    else if (s->out_watch)
        loop_fd_set_events(s->out_watch, done ? 0 : G_IO_OUT);
    if (!done)
        s->flush_queued = true;         /* the watch will do it */
    if (done && s->broken && s->out_watch) {
        loop_fd_free(s->out_watch);     /* HUP would be reported for ever */
        s->out_watch = NULL;
    }
    g_mutex_unlock(&s->lock);
    if (room && s->ops && s->ops->writable)
        s->ops->writable(s->opaque);
}

static void stream_destroy(UiStream *s)
{
    g_byte_array_unref(s->out);
    g_mutex_clear(&s->lock);
    loop_unref(s->loop);
    g_free(s);
}

/* Ends a deferred call: true if the stream still lives. */
static bool deferred_enter(UiStream *s)
{
    g_mutex_lock(&s->lock);
    bool dead = s->dead, last = --s->deferred == 0;
    g_mutex_unlock(&s->lock);
    if (dead && last)
        stream_destroy(s);
    return !dead;
}

static void flush_deferred(void *opaque)
{
    if (deferred_enter(opaque))
        on_writable(opaque, G_IO_OUT);
}

ssize_t ui_stream_write(UiStream *s, const void *buf, size_t len)
{
    g_mutex_lock(&s->lock);
    if (s->broken || s->out_fd < 0) {
        g_mutex_unlock(&s->lock);
        return s->out_fd < 0 ? (ssize_t)len : -EPIPE;
    }
    size_t n = MIN(len, OUT_MAX - MIN(s->out->len, (guint)OUT_MAX));
    g_byte_array_append(s->out, buf, (guint)n);
    if (n < len)
        s->was_full = true;
    bool queue = s->out->len && !s->flush_queued;
    if (queue) {
        s->flush_queued = true;
        s->deferred++;
    }
    g_mutex_unlock(&s->lock);
    if (queue)
        loop_defer(s->loop, flush_deferred, s);
    return (ssize_t)n;
}

static void input_closed(UiStream *s)
{
    s->in_closed = true;
    loop_fd_free(s->in_watch);
    s->in_watch = NULL;
    if (s->ops->closed)
        s->ops->closed(s->opaque);
}

static void on_readable(void *opaque, GIOCondition ready)
{
    UiStream *s = opaque;
    uint8_t buf[IN_CHUNK];
    size_t room = s->ops->can_receive(s->opaque);
    if (!room) {
        /* Nobody takes it now: look again when accept_input says so. A hang-up is then noticed late, which is fine. */
        loop_fd_free(s->in_watch);
        s->in_watch = NULL;
        return;
    }
    ssize_t n = read(s->in_fd, buf, MIN(room, sizeof(buf)));
    if (n > 0)
        s->ops->receive(s->opaque, buf, (size_t)n);
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        input_closed(s);
}

static void input_deferred(void *opaque)
{
    UiStream *s = opaque;
    g_mutex_lock(&s->lock);
    s->input_queued = false;
    g_mutex_unlock(&s->lock);
    if (!deferred_enter(s))
        return;
    if (s->ops->resume)
        s->ops->resume(s->opaque);
    if (!s->in_watch && !s->in_closed)
        s->in_watch = loop_fd_new(s->loop, s->in_fd, G_IO_IN, on_readable, s);
}

void ui_stream_accept_input(UiStream *s)
{
    if (s->in_fd < 0)
        return;
    g_mutex_lock(&s->lock);
    bool queue = !s->input_queued && !s->dead;
    if (queue) {
        s->input_queued = true;
        s->deferred++;
    }
    g_mutex_unlock(&s->lock);
    if (queue)
        loop_defer(s->loop, input_deferred, s);
}

UiStream *ui_stream_new(Loop *loop, int in_fd, int out_fd, bool own, const UiStreamOps *ops, void *opaque)
{
    UiStream *s = g_new0(UiStream, 1);
    s->loop = loop_ref(loop);
    s->in_fd = ops && ops->receive ? in_fd : -1;
    s->out_fd = out_fd;
    s->own = own;
    s->ops = ops;
    s->opaque = opaque;
    s->out = g_byte_array_new();
    g_mutex_init(&s->lock);
    if (s->in_fd >= 0)
        s->in_watch = loop_fd_new(loop, s->in_fd, G_IO_IN, on_readable, s);
    return s;
}

/* What the guest printed last should be seen, but a reader that does not read must not keep us. */
static void drain(UiStream *s)
{
    struct pollfd p = { .fd = s->out_fd, .events = POLLOUT };
    while (!flush_locked(s) && poll(&p, 1, DRAIN_MS) > 0)
        ;
}

void ui_stream_free(UiStream *s)
{
    if (!s)
        return;
    loop_fd_free(s->in_watch);
    loop_fd_free(s->out_watch);
    g_mutex_lock(&s->lock);
    drain(s);
    s->dead = true;
    bool now = !s->deferred;
    if (s->own && s->out_fd >= 0)
        close(s->out_fd);
    if (s->own && s->in_fd >= 0 && s->in_fd != s->out_fd)
        close(s->in_fd);
    g_mutex_unlock(&s->lock);
    if (now)
        stream_destroy(s);
}
