/* The lock around a device's handlers: a futex, since most accesses find it free (Drepper, "Futexes Are Tricky", mutex 2). */
#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/memory-internal.h"

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

void devlock_note(const DevLock *l, bool enter)
{
    if (enter)
        note_enter(l);
    else
        note_leave(l);
}
#endif

DevLock *devlock_new(void)
{
    DevLock *l = g_new0(DevLock, 1);
    atomic_init(&l->refs, 1);
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
    g_free(l);
}

bool devlock_held(const DevLock *l)
{
    return !l || atomic_load_explicit(&l->holder, memory_order_relaxed) == (uintptr_t)pthread_self();
}

/* errno is the caller's, as with a mutex. */
static void futex(_Atomic uint32_t *word, int op, uint32_t val)
{
    int e = errno;
    syscall(SYS_futex, word, op, val, NULL, NULL, 0);
    errno = e;
}

void devlock_wait(DevLock *l)
{
    while (atomic_exchange_explicit(&l->word, 2, memory_order_acquire))
        futex(&l->word, FUTEX_WAIT_PRIVATE, 2);
}

void devlock_wake(DevLock *l) { futex(&l->word, FUTEX_WAKE_PRIVATE, 1); }

bool devlock_enter(DevLock *l) { return devlock_enter_here(l); }
void devlock_leave(DevLock *l) { devlock_leave_here(l); }

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
