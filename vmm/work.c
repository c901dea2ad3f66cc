#include <pthread.h>

#include "vmm/machine-internal.h"

/*
 * Who may be in guest code, and work items. A vCPU is parked unless between work_enter and work_leave. An item runs while
 * nobody is inside and nobody can enter; whoever notices first runs it: a vCPU on its way in, or the main loop.
 */

static uintptr_t me(void)
{
    return (uintptr_t)pthread_self();
}

/* run_lock held. */
static void kick_all_locked(Machine *m)
{
    for (guint i = 0; i < m->vcpus->len; i++) {
        Vcpu *c = g_ptr_array_index(m->vcpus, i);
        if (atomic_load(&c->in_guest))
            vcpu_kick(c);
    }
}

void work_kick_all(Machine *m)
{
    g_mutex_lock(&m->run_lock);
    kick_all_locked(m);
    g_mutex_unlock(&m->run_lock);
}

/* Run all queued items. run_lock held on entry and exit, dropped around items; the caller is not in the guest. */
static void run_items_locked(Machine *m)
{
    if (m->exclusive)
        return;
    m->exclusive = true;
    m->runner = me();
    while (m->work.length) {
        while (m->n_in_guest) {
            kick_all_locked(m);
            g_cond_wait(&m->park_cond, &m->run_lock);
        }
        Work *w = g_queue_pop_head(&m->work);
        if (!m->work.length)
            atomic_store(&m->work_due, false);
        g_mutex_unlock(&m->run_lock);
        w->fn(m, w->opaque);
        g_mutex_lock(&m->run_lock);
        atomic_fetch_add(&m->work_count, 1);
        if (w->done)
            *w->done = true;
        g_free(w);
    }
    m->runner = 0;
    m->exclusive = false;
    g_cond_broadcast(&m->run_cond);
}

bool work_enter(Machine *m, Vcpu *c)
{
    g_mutex_lock(&m->run_lock);
    for (;;) {
        if (m->stopping)
            break;
        if (m->work.length && !m->exclusive)
            run_items_locked(m);
        else if (m->exclusive || !m->allowed)
            g_cond_wait(&m->run_cond, &m->run_lock);
        else
            break;
    }
    bool go = !m->stopping;
    if (go) {
        m->n_in_guest++;
        /* Kicks before this were meant to get us here; later ones find in_guest set. */
        atomic_store(&c->kicked, false);
        atomic_store(&c->in_guest, true);
    }
    g_mutex_unlock(&m->run_lock);
    return go;
}

void work_leave(Machine *m, Vcpu *c)
{
    g_mutex_lock(&m->run_lock);
    atomic_store(&c->in_guest, false);
    if (--m->n_in_guest == 0 && (m->exclusive || !m->allowed))     /* else nobody waits, and a wake-up is a system call */
        g_cond_broadcast(&m->park_cond);
    g_mutex_unlock(&m->run_lock);
}

void work_set_allowed(Machine *m, bool allowed, bool wait)
{
    g_mutex_lock(&m->run_lock);
    m->allowed = allowed;
    if (allowed)
        g_cond_broadcast(&m->run_cond);
    while (wait && !allowed && m->n_in_guest) {
        kick_all_locked(m);
        g_cond_wait(&m->park_cond, &m->run_lock);
    }
    g_mutex_unlock(&m->run_lock);
    /* Sleepers in HLT look again: they stop waiting for events when the machine may not run, and the other way round. */
    for (guint i = 0; i < m->vcpus->len; i++)
        vcpu_kick(g_ptr_array_index(m->vcpus, i));
}

static void push_work(Machine *m, MachineWorkFn *fn, void *opaque, bool *done)
{
    Work *w = g_new0(Work, 1);
    *w = (Work){ fn, opaque, done };
    g_mutex_lock(&m->run_lock);
    g_queue_push_tail(&m->work, w);
    atomic_store(&m->work_due, true);
    kick_all_locked(m);
    bool vcpu_will = m->n_in_guest > 0;
    g_mutex_unlock(&m->run_lock);
    /* A vCPU that is inside runs it on its way out; if all are parked the main loop does. */
    if (!vcpu_will)
        machine_post_flush(m);
}

void machine_queue_work(Machine *m, MachineWorkFn *fn, void *opaque)
{
    push_work(m, fn, opaque, NULL);
}

void machine_run_work(Machine *m, MachineWorkFn *fn, void *opaque)
{
    bool done = false;
    push_work(m, fn, opaque, &done);
    g_mutex_lock(&m->run_lock);
    g_assert(m->runner != me());
    while (!done) {
        if (m->exclusive)
            g_cond_wait(&m->run_cond, &m->run_lock);
        else
            run_items_locked(m);
    }
    g_mutex_unlock(&m->run_lock);
}

bool work_is_runner(Machine *m)
{
    g_mutex_lock(&m->run_lock);
    bool r = m->runner == me();
    g_mutex_unlock(&m->run_lock);
    return r;
}

void machine_flush_work(Machine *m)
{
    g_mutex_lock(&m->run_lock);
    while ((m->work.length || m->exclusive) && m->runner != me()) {
        if (m->exclusive)
            g_cond_wait(&m->run_cond, &m->run_lock);
        else
            run_items_locked(m);
    }
    g_mutex_unlock(&m->run_lock);
}

bool machine_work_pending(const Machine *m)
{
    return atomic_load_explicit(&((Machine *)m)->work_due, memory_order_relaxed);
}

bool machine_vcpus_at_rest(const Machine *m)
{
    Machine *w = (Machine *)m;
    g_mutex_lock(&w->run_lock);
    bool rest = w->runner == me() || !w->threads_up || (!w->allowed && !w->n_in_guest && !w->exclusive);
    g_mutex_unlock(&w->run_lock);
    return rest;
}

uint64_t machine_work_count(const Machine *m)
{
    return atomic_load(&((Machine *)m)->work_count);
}
