#include "vmm/netdev.h"

#include <glib.h>
#include <stdatomic.h>
#include <string.h>

enum { QUEUE_MAX = 256 };

typedef struct Frame {
    size_t len;
    NetOffload off;
    uint8_t data[];
} Frame;

struct NetPort {
    char *name;
    const NetPortOps *ops;
    void *opaque;
    DevLock *lock;
    bool offloads;
    NetPort *peer;              /* main thread; ports are connected before anything sends */
    _Atomic bool link;
    GMutex queue_lock;          /* leaf: frames waiting for this port */
    GQueue queue;
    _Atomic bool waiting;       /* queue is not empty */
    _Atomic uint64_t dropped;
};

NetPort *netport_new(const char *name, const NetPortOps *ops, void *opaque, DevLock *lock, bool offloads)
{
    NetPort *p = g_new0(NetPort, 1);
    p->name = g_strdup(name);
    p->ops = ops;
    p->opaque = opaque;
    p->lock = devlock_ref(lock);
    p->offloads = offloads;
    atomic_init(&p->link, true);
    g_mutex_init(&p->queue_lock);
    g_queue_init(&p->queue);
    return p;
}

void netport_free(NetPort *p)
{
    if (!p)
        return;
    netport_disconnect(p);
    if (p->ops->free)
        p->ops->free(p->opaque);
    g_queue_clear_full(&p->queue, g_free);
    g_mutex_clear(&p->queue_lock);
    devlock_unref(p->lock);
    g_free(p->name);
    g_free(p);
}

const char *netport_name(const NetPort *p)
{
    return p->name;
}

bool netport_connect(NetPort *a, NetPort *b)
{
    if (a == b || a->peer || b->peer)
        return false;
    a->peer = b;
    b->peer = a;
    return true;
}

void netport_disconnect(NetPort *p)
{
    if (p->peer)
        p->peer->peer = NULL;
    p->peer = NULL;
}

NetPort *netport_peer(NetPort *p)
{
    return p->peer;
}

bool netport_peer_offloads(const NetPort *p)
{
    return p->peer && p->peer->offloads;
}

bool netport_link(const NetPort *p)
{
    return atomic_load(&((NetPort *)p)->link);
}

void netport_set_link(NetPort *p, bool up)
{
    NetPort *ends[2] = { p, p->peer };
    for (unsigned i = 0; i < 2; i++) {
        if (!ends[i] || atomic_exchange(&ends[i]->link, up) == up || !ends[i]->ops->link || !devlock_enter(ends[i]->lock))
            continue;
        ends[i]->ops->link(ends[i]->opaque, up);
        devlock_leave(ends[i]->lock);
    }
}

uint64_t netport_dropped(const NetPort *p)
{
    return atomic_load(&((NetPort *)p)->dropped);
}

/* Taken, 0 = full, or negative. */
static ssize_t deliver(NetPort *to, const struct iovec *iov, unsigned n_iov, const NetOffload *off)
{
    /* @to's owner is sending itself and we are the back end's answer (ARP, DHCP): it waits until the owner flushes. */
    if (to->lock && devlock_held(to->lock))
        return 0;
    if (!devlock_enter(to->lock))
        return -1;
    ssize_t r = to->ops->receive(to->opaque, iov, n_iov, off);
    devlock_leave(to->lock);
    return r;
}

/* Keep a copy for later; false if the queue is full. */
static bool enqueue(NetPort *to, const struct iovec *iov, unsigned n_iov, size_t len, const NetOffload *off)
{
    g_mutex_lock(&to->queue_lock);
    bool room = to->queue.length < QUEUE_MAX;
    if (room) {
        Frame *f = g_malloc(sizeof(*f) + len);
        size_t at = 0;
        for (unsigned i = 0; i < n_iov; i++) {
            memcpy(f->data + at, iov[i].iov_base, iov[i].iov_len);
            at += iov[i].iov_len;
        }
        f->len = len;
        f->off = off ? *off : (NetOffload){ 0 };
        g_queue_push_tail(&to->queue, f);
        atomic_store(&to->waiting, true);
    }
    g_mutex_unlock(&to->queue_lock);
    return room;
}

ssize_t netport_send(NetPort *from, const struct iovec *iov, unsigned n_iov, const NetOffload *off)
{
    NetPort *to = from->peer;
    size_t len = 0;
    for (unsigned i = 0; i < n_iov; i++)
        len += iov[i].iov_len;
    if (!to || !netport_link(from) || len > NET_MAX_FRAME) {
        if (to)
            atomic_fetch_add(&from->dropped, 1);
        return (ssize_t)len;
    }
    if (!atomic_load(&to->waiting)) {
        ssize_t r = deliver(to, iov, n_iov, off);
        if (r < 0)
            atomic_fetch_add(&from->dropped, 1);
        if (r)
            return (ssize_t)len;
    }
    if (enqueue(to, iov, n_iov, len, off))
        return 0;
    atomic_fetch_add(&from->dropped, 1);
    return (ssize_t)len;
}

void netport_flush(NetPort *to)
{
    for (;;) {
        g_mutex_lock(&to->queue_lock);
        Frame *f = g_queue_pop_head(&to->queue);
        if (!f)
            atomic_store(&to->waiting, false);
        g_mutex_unlock(&to->queue_lock);
        if (!f)
            return;
        struct iovec iov = { f->data, f->len };
        if (deliver(to, &iov, 1, &f->off) == 0) {
            g_mutex_lock(&to->queue_lock);
            g_queue_push_head(&to->queue, f);
            g_mutex_unlock(&to->queue_lock);
            return;
        }
        g_free(f);
    }
}

bool netport_can_send(NetPort *from)
{
    return !from->peer || !atomic_load(&from->peer->waiting);
}
