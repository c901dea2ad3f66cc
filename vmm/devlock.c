#include <pthread.h>
#include <stdatomic.h>

#include "vmm/memory.h"

struct DevLock {
    _Atomic int refs;
    pthread_mutex_t mutex;
    _Atomic uintptr_t holder;
    bool gone;                  /* mutex */
    void (*hook)(void *opaque, bool locked);
    void *hook_opaque;
};

#ifdef TANDEM_CHECK_LOCKS
/*
 * What this thread holds. The fabric's lock (the one with a hook) may be taken under a device's, nothing under the fabric's, and no second
 * device's: two vCPUs that make the same two devices talk to each other would wait for each other for ever.
 */
static __thread struct { const DevLock *device, *fabric; } holds;

static void note_enter(const DevLock *l)
{
    g_assert(!holds.fabric);
    g_assert(l->hook || !holds.device);
    *(l->hook ? &holds.fabric : &holds.device) = l;
}

static void note_leave(const DevLock *l)
{
    g_assert(holds.fabric == l || holds.device == l);
    *(holds.fabric == l ? &holds.fabric : &holds.device) = NULL;
}
#else
static void note_enter(const DevLock *l) { }
static void note_leave(const DevLock *l) { }
#endif

DevLock *devlock_new(void)
{
    DevLock *l = g_new0(DevLock, 1);
    atomic_init(&l->refs, 1);
    pthread_mutex_init(&l->mutex, NULL);
    return l;
}

DevLock *devlock_ref(DevLock *l)
{
    if (l)
        atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
    return l;
}

void devlock_unref(DevLock *l)
{
    if (!l || atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) != 1)
        return;
    pthread_mutex_destroy(&l->mutex);
    g_free(l);
}

/* The holder is kept in all builds: it is one store, and turns a self-deadlock into a message. */
bool devlock_held(const DevLock *l)
{
    return !l || atomic_load_explicit(&l->holder, memory_order_relaxed) == (uintptr_t)pthread_self();
}

bool devlock_enter(DevLock *l)
{
    if (!l)
        return true;
    uintptr_t self = (uintptr_t)pthread_self();
    g_assert(atomic_load_explicit(&l->holder, memory_order_relaxed) != self);
    pthread_mutex_lock(&l->mutex);
    if (l->gone) {
        pthread_mutex_unlock(&l->mutex);
        return false;
    }
    atomic_store_explicit(&l->holder, self, memory_order_relaxed);
    note_enter(l);
    return true;
}

void devlock_leave(DevLock *l)
{
    if (!l)
        return;
    if (l->hook)
        l->hook(l->hook_opaque, true);
    note_leave(l);
    atomic_store_explicit(&l->holder, 0, memory_order_relaxed);
    pthread_mutex_unlock(&l->mutex);
    if (l->hook)
        l->hook(l->hook_opaque, false);
}

void devlock_retire(DevLock *l)
{
    if (!devlock_enter(l))
        return;
    l->gone = true;
    devlock_leave(l);
}

void devlock_set_hook(DevLock *l, void (*fn)(void *opaque, bool locked), void *opaque)
{
    l->hook = fn;
    l->hook_opaque = opaque;
}
