/* libslirp's user network on the main loop (libslirp 4.7, libslirp.h). */
#include <arpa/inet.h>
#include <slirp/libslirp.h>
#include <string.h>

#include "ui/net.h"

enum { QUEUE_MAX = 512, NS_PER_MILLI = 1000000 };

/*
 * Frames from the guest come on a vCPU's thread under the card's lock; libslirp is not thread safe and sends from wherever it is
 * called. So frames wait in a queue for the main thread, where libslirp runs without any lock of ours.
 */
struct UiNet {
    Loop *loop;
    Slirp *slirp;
    NetPort *port;
    GSource *source;            /* polls libslirp's sockets */
    GArray *polls;              /* of Poll: what libslirp asked for in this turn */
    GMutex lock;                /* guards what follows */
    GQueue queue;               /* of GBytes *, from the guest */
    bool scheduled, full;
    unsigned deferred;
    bool dead;
};

typedef struct Poll { int fd; GIOCondition events; gpointer tag; } Poll;
typedef struct NetSource { GSource source; UiNet *net; } NetSource;
typedef struct SlirpTimer { UiNet *net; LoopTimer *timer; SlirpTimerCb cb; void *opaque; } SlirpTimer;

/* ---- sockets ---- */

static GIOCondition to_gio(int ev)
{
    return (ev & SLIRP_POLL_IN ? G_IO_IN : 0) | (ev & SLIRP_POLL_OUT ? G_IO_OUT : 0) | (ev & SLIRP_POLL_PRI ? G_IO_PRI : 0) |
           (ev & SLIRP_POLL_ERR ? G_IO_ERR : 0) | (ev & SLIRP_POLL_HUP ? G_IO_HUP : 0);
}

static int from_gio(GIOCondition c)
{
    return (c & G_IO_IN ? SLIRP_POLL_IN : 0) | (c & G_IO_OUT ? SLIRP_POLL_OUT : 0) | (c & G_IO_PRI ? SLIRP_POLL_PRI : 0) |
           (c & G_IO_ERR ? SLIRP_POLL_ERR : 0) | (c & G_IO_HUP ? SLIRP_POLL_HUP : 0);
}

static int add_poll(int fd, int events, void *opaque)
{
    UiNet *n = opaque;
    Poll p = { .fd = fd, .events = to_gio(events) };
    p.tag = g_source_add_unix_fd(n->source, fd, p.events);
    g_array_append_val(n->polls, p);
    return (int)n->polls->len - 1;
}

static int get_revents(int idx, void *opaque)
{
    UiNet *n = opaque;
    if (idx < 0 || (guint)idx >= n->polls->len)
        return 0;
    return from_gio(g_source_query_unix_fd(n->source, g_array_index(n->polls, Poll, idx).tag));
}

static gboolean source_prepare(GSource *source, gint *timeout)
{
    UiNet *n = ((NetSource *)source)->net;
    uint32_t ms = UINT32_MAX;
    for (guint i = 0; i < n->polls->len; i++)
        g_source_remove_unix_fd(source, g_array_index(n->polls, Poll, i).tag);
    g_array_set_size(n->polls, 0);
    slirp_pollfds_fill(n->slirp, &ms, add_poll, n);
    *timeout = ms > G_MAXINT ? -1 : (gint)ms;
    return FALSE;
}

static gboolean source_check(GSource *source)
{
    UiNet *n = ((NetSource *)source)->net;
    for (guint i = 0; i < n->polls->len; i++)
        if (g_source_query_unix_fd(source, g_array_index(n->polls, Poll, i).tag))
            return TRUE;
    return FALSE;
}

static gboolean source_dispatch(GSource *source, GSourceFunc fn, gpointer data)
{
    UiNet *n = ((NetSource *)source)->net;
    slirp_pollfds_poll(n->slirp, 0, get_revents, n);
    return G_SOURCE_CONTINUE;
}

/* ---- what libslirp calls ---- */

static ssize_t cb_send_packet(const void *buf, size_t len, void *opaque)
{
    UiNet *n = opaque;
    struct iovec iov = { (void *)buf, len };
    NetOffload off = { 0 };
    return netport_send(n->port, &iov, 1, &off);
}

static void cb_guest_error(const char *msg, void *opaque)
{
}

static int64_t cb_clock(void *opaque)
{
    return clock_now_ns(&clock_host);
}

static void timer_fired(void *opaque)
{
    SlirpTimer *t = opaque;
    t->cb(t->opaque);
}

static void *cb_timer_new(SlirpTimerCb cb, void *cb_opaque, void *opaque)
{
    UiNet *n = opaque;
    SlirpTimer *t = g_new0(SlirpTimer, 1);
    *t = (SlirpTimer){ .net = n, .cb = cb, .opaque = cb_opaque };
    t->timer = loop_timer_new(n->loop, &clock_host, timer_fired, t);
    return t;
}

static void cb_timer_free(void *timer, void *opaque)
{
    SlirpTimer *t = timer;
    loop_timer_free(t->timer);
    g_free(t);
}

static void cb_timer_mod(void *timer, int64_t expire_ms, void *opaque)
{
    loop_timer_arm(((SlirpTimer *)timer)->timer, expire_ms * NS_PER_MILLI);
}

static void cb_poll_fd(int fd, void *opaque)
{
}

static void cb_notify(void *opaque)
{
    g_main_context_wakeup(loop_context(((UiNet *)opaque)->loop));
}

static const SlirpCb callbacks = {
    .send_packet = cb_send_packet, .guest_error = cb_guest_error, .clock_get_ns = cb_clock, .timer_new = cb_timer_new,
    .timer_free = cb_timer_free, .timer_mod = cb_timer_mod, .register_poll_fd = cb_poll_fd, .unregister_poll_fd = cb_poll_fd,
    .notify = cb_notify,
};

/* ---- frames from the guest ---- */

static void net_destroy(UiNet *n)
{
    g_queue_clear_full(&n->queue, (GDestroyNotify)g_bytes_unref);
    g_mutex_clear(&n->lock);
    loop_unref(n->loop);
    g_free(n);
}

static void run_queue(void *opaque)
{
    UiNet *n = opaque;
    g_mutex_lock(&n->lock);
    n->scheduled = false;
    bool last = --n->deferred == 0;
    GQueue frames = n->queue;
    g_queue_init(&n->queue);
    bool dead = n->dead, was_full = n->full;
    n->full = false;
    g_mutex_unlock(&n->lock);
    for (GBytes *b; (b = g_queue_pop_head(&frames));) {
        gsize len;
        const uint8_t *p = g_bytes_get_data(b, &len);
        if (!dead)
            slirp_input(n->slirp, p, (int)len);
        g_bytes_unref(b);
    }
    if (dead && last)
        net_destroy(n);
    else if (!dead && was_full)
        netport_flush(n->port);
}

static ssize_t port_receive(void *opaque, const struct iovec *iov, unsigned n_iov, const NetOffload *off)
{
    UiNet *n = opaque;
    size_t len = 0;
    for (unsigned i = 0; i < n_iov; i++)
        len += iov[i].iov_len;
    if (len > NET_MAX_FRAME)
        return -EMSGSIZE;
    uint8_t *p = g_malloc(MAX(len, 1)), *at = p;
    for (unsigned i = 0; i < n_iov; i++) {
        memcpy(at, iov[i].iov_base, iov[i].iov_len);
        at += iov[i].iov_len;
    }
    g_mutex_lock(&n->lock);
    bool room = g_queue_get_length(&n->queue) < QUEUE_MAX, schedule = false;
    if (room) {
        g_queue_push_tail(&n->queue, g_bytes_new_take(p, len));
        schedule = !n->scheduled;
        n->scheduled = true;
        n->deferred += schedule;
    } else {
        n->full = true;
    }
    g_mutex_unlock(&n->lock);
    if (!room)
        g_free(p);
    if (schedule)
        loop_defer(n->loop, run_queue, n);
    return room ? (ssize_t)len : 0;
}

static const NetPortOps port_ops = { .receive = port_receive };

/* ---- port forwarding ---- */

static bool fwd_fail(const char *rule, GError **err)
{
    g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "'%s' is not a forwarding rule; use tcp|udp:[HOSTADDR]:HOSTPORT-[GUESTADDR]:GUESTPORT, e.g. tcp::2222-:22", rule);
    return false;
}

static bool parse_end(const char *text, struct in_addr *addr, int *ret_port)
{
    const char *colon = strrchr(text, ':');
    guint64 port;
    if (!colon || !g_ascii_string_to_unsigned(colon + 1, 10, 1, 65535, &port, NULL))
        return false;
    g_autofree char *host = g_strndup(text, (gsize)(colon - text));
    if (*host && !inet_aton(host, addr))
        return false;
    *ret_port = (int)port;
    return true;
}

static bool add_fwd(UiNet *n, const char *rule, GError **err)
{
    struct in_addr host = { .s_addr = INADDR_ANY }, guest = { .s_addr = htonl(0x0a00020f) };
    int host_port, guest_port;
    bool udp = g_str_has_prefix(rule, "udp:");
    if (!udp && !g_str_has_prefix(rule, "tcp:") && *rule != ':')
        return fwd_fail(rule, err);
    g_auto(GStrv) ends = g_strsplit(strchr(rule, ':') + 1, "-", 2);
    if (!ends[0] || !ends[1] || !parse_end(ends[0], &host, &host_port) || !parse_end(ends[1], &guest, &guest_port))
        return fwd_fail(rule, err);
    if (slirp_add_hostfwd(n->slirp, udp, host, host_port, guest, guest_port) < 0) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_FAILED, "cannot forward host port %d: it is in use, or below 1024 without the right to it", host_port);
        return false;
    }
    return true;
}

/* ---- life ---- */

static Slirp *open_slirp(UiNet *n, const UiNetUser *u)
{
    SlirpConfig c = {
        .version = 4, .restricted = u->restricted, .in_enabled = true, .vnetwork.s_addr = htonl(0x0a000200), .vnetmask.s_addr = htonl(0xffffff00),
        .vhost.s_addr = htonl(0x0a000202), .in6_enabled = true, .vprefix_len = 64, .vhostname = u->hostname, .tftp_path = u->tftp,
        .bootfile = u->bootfile, .vdhcp_start.s_addr = htonl(0x0a00020f), .vnameserver.s_addr = htonl(0x0a000203),
    };
    inet_pton(AF_INET6, "fec0::", &c.vprefix_addr6);
    inet_pton(AF_INET6, "fec0::2", &c.vhost6);
    inet_pton(AF_INET6, "fec0::3", &c.vnameserver6);
    return slirp_new(&c, &callbacks, n);
}

UiNet *ui_net_user_new(Loop *loop, const char *name, const UiNetUser *cfg, GError **err)
{
    static const GSourceFuncs funcs = { source_prepare, source_check, source_dispatch, NULL, NULL, NULL };
    UiNet *n = g_new0(UiNet, 1);
    n->loop = loop_ref(loop);
    g_mutex_init(&n->lock);
    g_queue_init(&n->queue);
    n->polls = g_array_new(false, false, sizeof(Poll));
    n->port = netport_new(name, &port_ops, n, NULL, false);
    n->slirp = open_slirp(n, cfg);
    n->source = g_source_new((GSourceFuncs *)&funcs, sizeof(NetSource));
    ((NetSource *)n->source)->net = n;
    g_source_attach(n->source, loop_context(loop));
    for (unsigned i = 0; cfg->hostfwd && cfg->hostfwd[i]; i++) {
        if (!add_fwd(n, cfg->hostfwd[i], err)) {
            ui_net_free(n);
            return NULL;
        }
    }
    return n;
}

NetPort *ui_net_port(UiNet *n)
{
    return n->port;
}

void ui_net_free(UiNet *n)
{
    if (!n)
        return;
    netport_free(n->port);      /* nothing comes from the guest any more */
    g_source_destroy(n->source);
    slirp_cleanup(n->slirp);
    g_source_unref(n->source);
    g_array_unref(n->polls);
    g_mutex_lock(&n->lock);
    n->dead = true;
    bool now = !n->deferred;
    g_mutex_unlock(&n->lock);
    if (now)
        net_destroy(n);
}
