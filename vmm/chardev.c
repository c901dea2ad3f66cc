#include "vmm/chardev.h"

#include <glib.h>
#include <stdatomic.h>

struct CharDev {
    char *name;
    const CharBackOps *ops;
    void *opaque;
    _Atomic bool open;
    /* The front. Attached and detached on the main thread; back ends may call in from other threads. */
    GRWLock front_lock;         /* read: a hook is running; write: attach, detach */
    const CharFrontOps *front;
    void *front_opaque;
    DevLock *lock;
};

CharDev *chardev_new(const char *name, const CharBackOps *ops, void *opaque)
{
    CharDev *cd = g_new0(CharDev, 1);
    cd->name = g_strdup(name);
    cd->ops = ops;
    cd->opaque = opaque;
    g_rw_lock_init(&cd->front_lock);
    return cd;
}

void chardev_free(CharDev *cd)
{
    if (!cd)
        return;
    g_assert(!cd->front);
    if (cd->ops && cd->ops->free)
        cd->ops->free(cd->opaque);
    g_rw_lock_clear(&cd->front_lock);
    g_free(cd->name);
    g_free(cd);
}

const char *chardev_name(const CharDev *cd)
{
    return cd->name;
}

bool chardev_is_open(const CharDev *cd)
{
    return cd && atomic_load(&((CharDev *)cd)->open);
}

/* ---- front ---- */

bool chardev_attach(CharDev *cd, const CharFrontOps *ops, void *opaque, DevLock *lock)
{
    g_rw_lock_writer_lock(&cd->front_lock);
    bool ok = !cd->front;
    if (ok) {
        cd->front = ops;
        cd->front_opaque = opaque;
        cd->lock = devlock_ref(lock);
    }
    g_rw_lock_writer_unlock(&cd->front_lock);
    if (ok && chardev_is_open(cd))
        chardev_event(cd, CHAR_OPENED);
    return ok;
}

void chardev_detach(CharDev *cd)
{
    g_rw_lock_writer_lock(&cd->front_lock);
    DevLock *lock = cd->lock;
    cd->front = NULL;
    cd->lock = NULL;
    g_rw_lock_writer_unlock(&cd->front_lock);
    devlock_unref(lock);
}

size_t chardev_write(CharDev *cd, const uint8_t *buf, size_t len)
{
    if (!cd || !cd->ops || !cd->ops->write)
        return len;
    ssize_t n = cd->ops->write(cd->opaque, buf, len);
    return n < 0 ? len : (size_t)n;
}

void chardev_accept_input(CharDev *cd)
{
    if (cd && cd->ops && cd->ops->accept_input)
        cd->ops->accept_input(cd->opaque);
}

void chardev_set_line(CharDev *cd, const CharLine *line)
{
    if (cd && cd->ops && cd->ops->set_line)
        cd->ops->set_line(cd->opaque, line);
}

void chardev_send_break(CharDev *cd)
{
    if (cd && cd->ops && cd->ops->send_break)
        cd->ops->send_break(cd->opaque);
}

/* ---- back ---- */

/* Bracket around a front hook: false if there is no front (any more). */
static bool front_enter(CharDev *cd)
{
    g_rw_lock_reader_lock(&cd->front_lock);
    if (cd->front && devlock_enter(cd->lock))
        return true;
    g_rw_lock_reader_unlock(&cd->front_lock);
    return false;
}

static void front_leave(CharDev *cd)
{
    devlock_leave(cd->lock);
    g_rw_lock_reader_unlock(&cd->front_lock);
}

size_t chardev_can_receive(CharDev *cd)
{
    size_t n = 0;
    if (!front_enter(cd))
        return 0;
    if (cd->front->can_receive)
        n = cd->front->can_receive(cd->front_opaque);
    front_leave(cd);
    return n;
}

size_t chardev_receive(CharDev *cd, const uint8_t *buf, size_t len)
{
    size_t n = 0;
    if (!front_enter(cd))
        return 0;
    if (cd->front->receive) {
        n = cd->front->can_receive ? cd->front->can_receive(cd->front_opaque) : len;
        n = MIN(n, len);
        if (n)
            cd->front->receive(cd->front_opaque, buf, n);
    }
    front_leave(cd);
    return n;
}

void chardev_event(CharDev *cd, CharEvent ev)
{
    if (ev != CHAR_BREAK)
        atomic_store(&cd->open, ev == CHAR_OPENED);
    if (!front_enter(cd))
        return;
    if (cd->front->event)
        cd->front->event(cd->front_opaque, ev);
    front_leave(cd);
}

void chardev_writable(CharDev *cd)
{
    if (!front_enter(cd))
        return;
    if (cd->front->writable)
        cd->front->writable(cd->front_opaque);
    front_leave(cd);
}
