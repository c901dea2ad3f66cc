#include "vmm/input.h"

#include <glib.h>
#include <stdatomic.h>

struct InputSink {
    InputHub *hub;
    unsigned kinds;
    const InputSinkOps *ops;
    void *opaque;
    DevLock *lock;
};

struct InputHub {
    GRWLock lock;               /* read: events; write: sinks come and go */
    GPtrArray *sinks;           /* the last one of a kind wins */
    _Atomic unsigned leds;
};

InputHub *input_hub_new(void)
{
    InputHub *h = g_new0(InputHub, 1);
    g_rw_lock_init(&h->lock);
    h->sinks = g_ptr_array_new();
    return h;
}

void input_hub_free(InputHub *h)
{
    if (!h)
        return;
    g_assert(h->sinks->len == 0);
    g_ptr_array_free(h->sinks, TRUE);
    g_rw_lock_clear(&h->lock);
    g_free(h);
}

InputSink *input_sink_add(InputHub *h, unsigned kinds, const InputSinkOps *ops, void *opaque, DevLock *lock)
{
    InputSink *s = g_new0(InputSink, 1);
    *s = (InputSink){ h, kinds, ops, opaque, devlock_ref(lock) };
    g_rw_lock_writer_lock(&h->lock);
    g_ptr_array_add(h->sinks, s);
    g_rw_lock_writer_unlock(&h->lock);
    return s;
}

void input_sink_remove(InputSink *s)
{
    if (!s)
        return;
    g_rw_lock_writer_lock(&s->hub->lock);
    g_ptr_array_remove(s->hub->sinks, s);
    g_rw_lock_writer_unlock(&s->hub->lock);
    devlock_unref(s->lock);
    g_free(s);
}

/* The sink for @kinds (any of them), entered; NULL and nothing held if none. */
static InputSink *sink_enter(InputHub *h, unsigned kinds)
{
    g_rw_lock_reader_lock(&h->lock);
    for (guint i = h->sinks->len; i-- > 0;) {
        InputSink *s = g_ptr_array_index(h->sinks, i);
        if (s->kinds & kinds && devlock_enter(s->lock))
            return s;
    }
    g_rw_lock_reader_unlock(&h->lock);
    return NULL;
}

static void sink_leave(InputSink *s)
{
    InputHub *h = s->hub;
    devlock_leave(s->lock);
    g_rw_lock_reader_unlock(&h->lock);
}

bool input_wants(InputHub *h, InputKind kind)
{
    bool found = false;
    g_rw_lock_reader_lock(&h->lock);
    for (guint i = 0; i < h->sinks->len; i++)
        found |= ((InputSink *)g_ptr_array_index(h->sinks, i))->kinds & kind;
    g_rw_lock_reader_unlock(&h->lock);
    return found;
}

void input_key(InputHub *h, unsigned code, bool down)
{
    InputSink *s = sink_enter(h, INPUT_KEYS);
    if (!s)
        return;
    if (s->ops->key)
        s->ops->key(s->opaque, code, down);
    sink_leave(s);
}

void input_button(InputHub *h, unsigned code, bool down)
{
    InputSink *s = sink_enter(h, INPUT_REL | INPUT_ABS);
    if (!s)
        return;
    if (s->ops->button)
        s->ops->button(s->opaque, code, down);
    sink_leave(s);
}

void input_rel(InputHub *h, int dx, int dy, int wheel)
{
    InputSink *s = sink_enter(h, INPUT_REL);
    if (!s)
        return;
    if (s->ops->rel)
        s->ops->rel(s->opaque, dx, dy, wheel);
    sink_leave(s);
}

void input_abs(InputHub *h, unsigned x, unsigned y)
{
    InputSink *s = sink_enter(h, INPUT_ABS);
    if (!s)
        return;
    if (s->ops->abs)
        s->ops->abs(s->opaque, x, y);
    sink_leave(s);
}

void input_sync(InputHub *h)
{
    InputSink *s = sink_enter(h, INPUT_REL | INPUT_ABS);
    if (!s)
        return;
    if (s->ops->sync)
        s->ops->sync(s->opaque);
    sink_leave(s);
}

void input_set_leds(InputHub *h, unsigned leds)
{
    atomic_store(&h->leds, leds);
}

unsigned input_leds(InputHub *h)
{
    return atomic_load(&h->leds);
}
