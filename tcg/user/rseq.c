/*
 * Restartable sequences (rseq(2); Linux's linux/rseq.h, Documentation of the ABI in its selftests). A critical section must be given up when its thread moves to
 * another CPU, or when another thread or a signal handler runs on its CPU meanwhile. The host's kernel cannot tell where in the guest a thread is. So each
 * registered thread has a CPU number that no other one has: no section can then be disturbed but by the thread's own signal handlers, and when one of these
 * starts we know the guest's pc exactly. More threads than CPUs: those that come too late are refused, as on a kernel without rseq.
 */
#include <errno.h>
#include <linux/rseq.h>
#include <string.h>

#include "tcg/user/calls.h"
#include "tcg/user/convert.h"

enum { RSEQ_BYTES = 32, MAX_IDS = 64, RSEQ_UNINITIALIZED = -1 };
typedef struct Area { uint32_t cpu_id_start, cpu_id; uint64_t cs; uint32_t flags, node_id, mm_cid, pad; } Area;
typedef struct Section { uint32_t version, flags; uint64_t start, length, abort; } Section;

static int take_id(UserProc *p)
{
    unsigned n = MIN(g_get_num_processors(), (unsigned)MAX_IDS);
    int got = -1;
    pthread_mutex_lock(&p->thread_lock);
    for (unsigned k = 0; k < n && got < 0; k++)
        if (!(p->rseq_ids >> k & 1))
            got = (int)k;
    p->rseq_ids |= got < 0 ? 0 : 1ull << got;
    pthread_mutex_unlock(&p->thread_lock);
    return got;
}

void user_rseq_exit(UserThread *t)
{
    if (!t->rseq)
        return;
    pthread_mutex_lock(&t->proc->thread_lock);
    t->proc->rseq_ids &= ~(1ull << t->rseq_id);
    pthread_mutex_unlock(&t->proc->thread_lock);
    t->rseq = 0;
}

/* Alone with its parent's id. */
void user_rseq_forked(UserThread *t) { t->proc->rseq_ids = t->rseq ? 1ull << t->rseq_id : 0; }

int64_t user_sys_rseq(UserThread *t, const uint64_t *a)
{
    uint64_t at = a[0], len = (uint32_t)a[1];
    uint32_t sig = (uint32_t)a[3];
    Area area = { .cpu_id = (uint32_t)RSEQ_UNINITIALIZED };
    if ((uint32_t)a[2] & ~(uint32_t)RSEQ_FLAG_UNREGISTER)
        return -EINVAL;
    bool same = t->rseq == at && len == RSEQ_BYTES;
    if (a[2] & RSEQ_FLAG_UNREGISTER) {
        if (!same || !t->rseq)
            return -EINVAL;
        if (sig != t->rseq_sig)
            return -EPERM;
        if (!user_put(t, at, &area, sizeof(area)))
            return -EFAULT;
        user_rseq_exit(t);
        return 0;
    }
    if (t->rseq)
        return !same ? -EINVAL : sig != t->rseq_sig ? -EPERM : -EBUSY;
    if (at & (RSEQ_BYTES - 1) || len != RSEQ_BYTES || !at)
        return -EINVAL;
    if (!user_get(t, &area, at, sizeof(area)))
        return -EFAULT;
    int id = t->in_vfork ? -1 : take_id(t->proc);
    if (id < 0)
        return -ENOSYS;
    t->rseq = at;
    t->rseq_id = (unsigned)id;
    t->rseq_sig = sig;
    area = (Area){ .cpu_id_start = (uint32_t)id, .cpu_id = (uint32_t)id, .mm_cid = (uint32_t)id };
    if (user_put(t, at, &area, sizeof(area)))
        return 0;
    user_rseq_exit(t);
    return -EFAULT;
}

bool user_rseq_signal(UserThread *t, uint64_t *pc)
{
    Area area;
    Section s;
    uint32_t sig;
    uint64_t none = 0;
    if (!t->rseq)
        return true;
    if (!user_get(t, &area, t->rseq, sizeof(area)))
        return false;
    if (!area.cs)
        return true;
    if (!user_get(t, &s, area.cs, sizeof(s)) || s.version || s.abort - s.start < s.length || !user_get(t, &sig, s.abort - 4, 4) || sig != t->rseq_sig)
        return false;
    if (*pc - s.start < s.length)
        *pc = s.abort;
    return user_put(t, t->rseq + offsetof(Area, cs), &none, sizeof(none));
}
