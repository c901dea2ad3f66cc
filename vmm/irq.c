#include "vmm/irq.h"

#include <pthread.h>
#include <stdatomic.h>

struct Irq {
    _Atomic(IrqWire *) wire;
    _Atomic bool level;
    void (*resample)(void *opaque);     /* fabric lock */
    void *resample_opaque;
};

struct IrqWire {
    IrqFabric *fabric;
    IrqHandler *fn;
    void *opaque;
    unsigned n;
    _Atomic int raised;         /* sources at high level */
    bool told;                  /* level the handler knows; fabric lock */
    bool rose;                  /* while the fabric was held by another thread; fabric lock */
    GPtrArray *sources;         /* Irq *, fabric lock */
};

typedef struct Resample {
    void (*fn)(void *opaque);
    void *opaque;
} Resample;

struct IrqFabric {
    DevLock *lock;
    GPtrArray *wires;           /* fabric lock */
    GMutex due_lock;            /* leaf: due */
    GArray *due;                /* of Resample: EOIs seen under the fabric lock */
    _Atomic unsigned n_due;
    _Atomic int owner;
    IrqMsiFn *msi;              /* set while no vCPU runs, like the engine's */
    void *msi_opaque;
    const IrqEngineOps *engine;
    void *engine_opaque;
    _Atomic uintptr_t mover;    /* the thread that holds it, or 0; written under both locks */
    _Atomic int sending;        /* messages on their way */
    GArray *kept;               /* of Message; due_lock */
};

typedef struct Message { uint64_t addr; uint32_t data, from; } Message;

/* ---- fabric ---- */

static void run_due(IrqFabric *f)
{
    g_mutex_lock(&f->due_lock);
    GArray *due = f->due;
    f->due = g_array_new(FALSE, FALSE, sizeof(Resample));
    atomic_store_explicit(&f->n_due, 0, memory_order_relaxed);
    g_mutex_unlock(&f->due_lock);
    for (guint i = 0; i < due->len; i++) {
        Resample *r = &g_array_index(due, Resample, i);
        r->fn(r->opaque);
    }
    g_array_free(due, TRUE);
}

static void fabric_hook(void *opaque, bool locked)
{
    IrqFabric *f = opaque;
    if (!locked && atomic_load_explicit(&f->n_due, memory_order_relaxed))
        run_due(f);
}

IrqFabric *irq_fabric_new(void)
{
    IrqFabric *f = g_new0(IrqFabric, 1);
    f->lock = devlock_new();
    f->wires = g_ptr_array_new();
    g_mutex_init(&f->due_lock);
    f->due = g_array_new(FALSE, FALSE, sizeof(Resample));
    f->kept = g_array_new(FALSE, FALSE, sizeof(Message));
    devlock_set_hook(f->lock, fabric_hook, f);
    return f;
}

void irq_fabric_free(IrqFabric *f)
{
    if (!f)
        return;
    while (f->wires->len)
        irq_wire_free(g_ptr_array_index(f->wires, f->wires->len - 1));
    g_ptr_array_free(f->wires, TRUE);
    g_array_free(f->due, TRUE);
    g_array_free(f->kept, TRUE);
    devlock_set_hook(f->lock, NULL, NULL);
    devlock_unref(f->lock);
    g_mutex_clear(&f->due_lock);
    g_free(f);
}

DevLock *irq_fabric_devlock(IrqFabric *f)
{
    return f->lock;
}

void irq_fabric_lock(IrqFabric *f)
{
    devlock_enter(f->lock);
}

void irq_fabric_unlock(IrqFabric *f)
{
    devlock_leave(f->lock);
}

void irq_fabric_set_msi(IrqFabric *f, IrqMsiFn *fn, void *opaque)
{
    f->msi = fn;
    f->msi_opaque = opaque;
}

void irq_fabric_set_engine(IrqFabric *f, const IrqEngineOps *ops, void *opaque)
{
    irq_fabric_lock(f);
    f->engine = ops;
    f->engine_opaque = opaque;
    irq_fabric_unlock(f);
}

void irq_fabric_set_owner(IrqFabric *f, IrqOwner owner)
{
    g_assert(owner == IRQ_OWNER_MODEL || f->engine);
    atomic_store(&f->owner, owner);
}

IrqOwner irq_fabric_owner(const IrqFabric *f)
{
    return (IrqOwner)atomic_load(&((IrqFabric *)f)->owner);
}

const IrqEngineOps *irq_fabric_engine(const IrqFabric *f, void **ret_opaque)
{
    if (ret_opaque)
        *ret_opaque = f->engine_opaque;
    return f->engine;
}

bool irq_fabric_engine_gsi_locked(IrqFabric *f, unsigned gsi, bool level)
{
    if (irq_fabric_owner(f) != IRQ_OWNER_ENGINE || !f->engine->gsi)
        return false;
    f->engine->gsi(f->engine_opaque, gsi, level);
    return true;
}

static bool held_by_another(IrqFabric *f)
{
    uintptr_t mover = atomic_load(&f->mover);
    return mover && mover != (uintptr_t)pthread_self();
}

/* False: nobody holds the fabric any more. */
static bool keep_message(IrqFabric *f, uint64_t addr, uint32_t data, uint32_t from)
{
    g_mutex_lock(&f->due_lock);
    bool held = held_by_another(f), known = false;
    for (guint i = 0; held && !known && i < f->kept->len; i++) {
        const Message *k = &g_array_index(f->kept, Message, i);
        known = k->addr == addr && k->data == data && k->from == from;    /* one bit in IRR, as it would be */
    }
    Message m = { addr, data, from };
    if (held && !known)
        g_array_append_val(f->kept, m);
    g_mutex_unlock(&f->due_lock);
    return held;
}

void irq_fabric_msi(IrqFabric *f, uint64_t addr, uint32_t data, uint32_t from)
{
    atomic_fetch_add(&f->sending, 1);
    while (held_by_another(f)) {
        atomic_fetch_sub(&f->sending, 1);
        if (keep_message(f, addr, data, from))
            return;
        atomic_fetch_add(&f->sending, 1);
    }
    if (irq_fabric_owner(f) == IRQ_OWNER_ENGINE && f->engine->msi)
        f->engine->msi(f->engine_opaque, addr, data);
    else if (f->msi)
        f->msi(f->msi_opaque, addr, data, from);
    atomic_fetch_sub(&f->sending, 1);
}

/* ---- wires ---- */

IrqWire *irq_wire_new(IrqFabric *f, IrqHandler *fn, void *opaque, unsigned n)
{
    IrqWire *w = g_new0(IrqWire, 1);
    w->fabric = f;
    w->fn = fn;
    w->opaque = opaque;
    w->n = n;
    w->sources = g_ptr_array_new();
    irq_fabric_lock(f);
    g_ptr_array_add(f->wires, w);
    irq_fabric_unlock(f);
    return w;
}

void irq_wire_free(IrqWire *w)
{
    if (!w)
        return;
    irq_fabric_lock(w->fabric);
    for (guint i = 0; i < w->sources->len; i++)
        atomic_store(&((Irq *)g_ptr_array_index(w->sources, i))->wire, NULL);
    g_ptr_array_remove_fast(w->fabric->wires, w);
    irq_fabric_unlock(w->fabric);
    g_ptr_array_free(w->sources, TRUE);
    g_free(w);
}

bool irq_wire_level(const IrqWire *w)
{
    return atomic_load_explicit(&((IrqWire *)w)->raised, memory_order_acquire) > 0;
}

unsigned irq_wire_index(const IrqWire *w)
{
    return w->n;
}

/* Tell the handler what the level is now: two threads that cross each other both end with the truth. Lock held. */
static void wire_deliver_locked(IrqWire *w)
{
    bool level = irq_wire_level(w);
    if (held_by_another(w->fabric)) {
        w->rose |= level;
        return;
    }
    if (level == w->told)
        return;
    w->told = level;
    if (w->fn)
        w->fn(w->opaque, w->n, level);
}

/* What happened while the fabric was held. Lock held. */
static void wire_catch_up_locked(IrqWire *w)
{
    bool rose = w->rose;
    w->rose = false;
    if (rose && w->fn) {
        if (w->told)
            w->fn(w->opaque, w->n, false);
        w->fn(w->opaque, w->n, true);
        w->told = true;
    }
    wire_deliver_locked(w);
}

void irq_fabric_hold(IrqFabric *f)
{
    irq_fabric_lock(f);
    g_mutex_lock(&f->due_lock);
    g_assert(!atomic_load(&f->mover));
    atomic_store(&f->mover, (uintptr_t)pthread_self());
    g_mutex_unlock(&f->due_lock);
    irq_fabric_unlock(f);
    /* a message is a system call at most */
    while (atomic_load(&f->sending))
        g_thread_yield();
}

void irq_fabric_release(IrqFabric *f)
{
    irq_fabric_lock(f);
    g_mutex_lock(&f->due_lock);
    atomic_store(&f->mover, 0);
    GArray *kept = f->kept;
    f->kept = g_array_new(FALSE, FALSE, sizeof(Message));
    g_mutex_unlock(&f->due_lock);
    for (guint i = 0; i < f->wires->len; i++)
        wire_catch_up_locked(g_ptr_array_index(f->wires, i));
    irq_fabric_unlock(f);
    for (guint i = 0; i < kept->len; i++) {
        const Message *m = &g_array_index(kept, Message, i);
        irq_fabric_msi(f, m->addr, m->data, m->from);
    }
    g_array_free(kept, TRUE);
}

/* Count the change; true if the ORed level changed with it. */
static bool wire_count(IrqWire *w, bool up)
{
    int before = up ? atomic_fetch_add(&w->raised, 1) : atomic_fetch_sub(&w->raised, 1);
    return before == (up ? 0 : 1);
}

void irq_wire_eoi_locked(IrqWire *w)
{
    IrqFabric *f = w->fabric;
    g_assert(devlock_held(f->lock));
    for (guint i = 0; i < w->sources->len; i++) {
        Irq *irq = g_ptr_array_index(w->sources, i);
        if (!irq->resample || !atomic_load(&irq->level))
            continue;
        irq_set_locked(irq, false);
        Resample r = { irq->resample, irq->resample_opaque };
        g_mutex_lock(&f->due_lock);
        g_array_append_val(f->due, r);
        atomic_store_explicit(&f->n_due, f->due->len, memory_order_relaxed);
        g_mutex_unlock(&f->due_lock);
    }
}

/* ---- outputs ---- */

Irq *irq_new(void)
{
    return g_new0(Irq, 1);
}

void irq_free(Irq *irq)
{
    if (!irq)
        return;
    irq_connect(irq, NULL);
    g_free(irq);
}

void irq_connect(Irq *irq, IrqWire *wire)
{
    IrqWire *old = atomic_load(&irq->wire);
    bool level = atomic_load(&irq->level);
    if (old) {
        irq_fabric_lock(old->fabric);
        g_ptr_array_remove_fast(old->sources, irq);
        atomic_store(&irq->wire, NULL);
        if (level && wire_count(old, false))
            wire_deliver_locked(old);
        irq_fabric_unlock(old->fabric);
    }
    if (wire) {
        irq_fabric_lock(wire->fabric);
        g_ptr_array_add(wire->sources, irq);
        atomic_store(&irq->wire, wire);
        if (level && wire_count(wire, true))
            wire_deliver_locked(wire);
        irq_fabric_unlock(wire->fabric);
    }
}

IrqWire *irq_wire(const Irq *irq)
{
    return atomic_load(&((Irq *)irq)->wire);
}

void irq_set(Irq *irq, bool level)
{
    if (!irq || atomic_exchange(&irq->level, level) == level)
        return;
    IrqWire *w = atomic_load(&irq->wire);
    if (!w || !wire_count(w, level))
        return;
    irq_fabric_lock(w->fabric);
    wire_deliver_locked(w);
    irq_fabric_unlock(w->fabric);
}

void irq_set_locked(Irq *irq, bool level)
{
    if (!irq || atomic_exchange(&irq->level, level) == level)
        return;
    IrqWire *w = atomic_load(&irq->wire);
    if (!w)
        return;
    g_assert(devlock_held(w->fabric->lock));
    if (wire_count(w, level))
        wire_deliver_locked(w);
}

void irq_pulse(Irq *irq)
{
    irq_set(irq, true);
    irq_set(irq, false);
}

void irq_pulse_locked(Irq *irq)
{
    irq_set_locked(irq, true);
    irq_set_locked(irq, false);
}

bool irq_level(const Irq *irq)
{
    return irq && atomic_load(&((Irq *)irq)->level);
}

void irq_set_resample(Irq *irq, void (*fn)(void *opaque), void *opaque)
{
    IrqWire *w = atomic_load(&irq->wire);
    if (w)
        irq_fabric_lock(w->fabric);
    irq->resample = fn;
    irq->resample_opaque = opaque;
    if (w)
        irq_fabric_unlock(w->fabric);
}
