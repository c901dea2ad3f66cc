#include "util/publish.h"

#include <pthread.h>
#include <stdatomic.h>

enum { STRIPES = 32, STRIPE_BYTES = 64 };

typedef struct Stripe {
    _Alignas(STRIPE_BYTES) _Atomic uint64_t readers[2];    /* by epoch parity */
} Stripe;

typedef struct Retired {
    GDestroyNotify free_fn;
    void *ptr;
} Retired;

struct Publish {
    Stripe stripe[STRIPES];
    _Atomic unsigned epoch;         /* 0 or 1: where new readers count themselves */
    _Atomic unsigned n_pending;     /* so that safe points stay cheap */
    GMutex lock;                    /* the rest */
    GArray *fresh, *waiting;        /* of Retired; waiting = unpublished before the present grace period began */
    unsigned stage;                 /* 0: no grace period; 1: the other epoch must drain; 2: flipped, the old one must drain */
};

Publish *publish_new(void)
{
    Publish *p = g_aligned_alloc0(1, sizeof(*p), STRIPE_BYTES);
    g_mutex_init(&p->lock);
    p->fresh = g_array_new(FALSE, FALSE, sizeof(Retired));
    p->waiting = g_array_new(FALSE, FALSE, sizeof(Retired));
    return p;
}

static void run_all(GArray *a)
{
    for (guint i = 0; i < a->len; i++) {
        Retired *r = &g_array_index(a, Retired, i);
        r->free_fn(r->ptr);
    }
}

void publish_free(Publish *p)
{
    if (!p)
        return;
    for (unsigned i = 0; i < STRIPES; i++)
        g_assert(!p->stripe[i].readers[0] && !p->stripe[i].readers[1]);
    run_all(p->waiting);
    run_all(p->fresh);
    g_array_free(p->waiting, TRUE);
    g_array_free(p->fresh, TRUE);
    g_mutex_clear(&p->lock);
    g_aligned_free(p);
}

/* Threads land on stripes by the address of their control block: no registration, no thread-local variable. */
static unsigned my_stripe(void)
{
    uintptr_t self = (uintptr_t)pthread_self();
    return (unsigned)((self >> 12) * 0x9e3779b97f4a7c15ull >> 59) % STRIPES;
}

PublishToken publish_read_begin(Publish *p)
{
    unsigned s = my_stripe(), e = atomic_load_explicit(&p->epoch, memory_order_relaxed);
    /* seq_cst: the reader's later load of the published pointer must not pass this (Dekker with readers_gone). */
    atomic_fetch_add_explicit(&p->stripe[s].readers[e], 1, memory_order_seq_cst);
    return s << 1 | e;
}

void publish_read_end(Publish *p, PublishToken token)
{
    atomic_fetch_sub_explicit(&p->stripe[token >> 1].readers[token & 1], 1, memory_order_release);
}

static bool readers_gone(Publish *p, unsigned epoch)
{
    for (unsigned i = 0; i < STRIPES; i++)
        if (atomic_load_explicit(&p->stripe[i].readers[epoch], memory_order_seq_cst))
            return false;
    return true;
}

/* Advance as far as readers allow; returns what may be freed, or NULL. Lock held. */
static GArray *advance_locked(Publish *p)
{
    if (p->stage == 0) {
        if (!p->fresh->len)
            return NULL;
        GArray *t = p->waiting;
        p->waiting = p->fresh;
        p->fresh = t;
        p->stage = 1;
    }
    /* A reader may have read the epoch before the last flip and counted itself only now: drain that one first. */
    unsigned e = atomic_load_explicit(&p->epoch, memory_order_relaxed);
    if (p->stage == 1) {
        if (!readers_gone(p, e ^ 1))
            return NULL;
        e ^= 1;
        atomic_store_explicit(&p->epoch, e, memory_order_seq_cst);
        p->stage = 2;
    }
    if (!readers_gone(p, e ^ 1))
        return NULL;
    GArray *due = p->waiting;
    p->waiting = g_array_new(FALSE, FALSE, sizeof(Retired));
    p->stage = 0;
    return due;
}

void publish_reclaim(Publish *p)
{
    while (atomic_load_explicit(&p->n_pending, memory_order_relaxed)) {
        g_mutex_lock(&p->lock);
        GArray *due = advance_locked(p);
        if (due)
            atomic_fetch_sub_explicit(&p->n_pending, due->len, memory_order_relaxed);
        g_mutex_unlock(&p->lock);
        if (!due)
            return;
        run_all(due);
        g_array_free(due, TRUE);
    }
}

void publish_retire(Publish *p, GDestroyNotify free_fn, void *ptr)
{
    Retired r = { free_fn, ptr };
    g_mutex_lock(&p->lock);
    g_array_append_val(p->fresh, r);
    atomic_fetch_add_explicit(&p->n_pending, 1, memory_order_relaxed);
    g_mutex_unlock(&p->lock);
    publish_reclaim(p);
}

unsigned publish_pending(Publish *p)
{
    return atomic_load_explicit(&p->n_pending, memory_order_relaxed);
}
