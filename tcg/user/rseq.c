/*
 * Restartable sequences (rseq(2); Linux's linux/rseq.h). A critical section has to be given up when another thread may have run on its thread's CPU, or a signal
 * handler. Where in the guest a thread is, the host's kernel cannot know when it takes the CPU away. So the CPUs that the guest sees here are our own: as many as
 * the host has, each with at most one registered thread in guest code. What the host's scheduler does then disturbs nobody; and when a CPU changes hands, its
 * thread stands between two instructions, or in a system call, and goes to the abort address before its next instruction.
 * - While there are CPUs enough, a thread keeps the one it got first.
 * - In a system call a thread's CPU may be taken (one bit beside the owner); behind the call it takes it back by compare and exchange, or another one.
 * - Who finds none queues; the head of the queue has some thread stopped at a safe point after a time slice; a CPU that is given up goes to the first who may have it.
 * This holds for the threads of one process. Data per CPU in memory that several processes share is not guarded against one another.
 */
#include <errno.h>
#include <linux/futex.h>
#include <linux/rseq.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tcg/user/calls.h"

enum { RSEQ_BYTES = 32, SLICE_NS = 3000000, IN_CALL = 1, NOWHERE = -1 };
/* The area as of Linux 6.3 without mm_cid: user_rseq_auxv says so. */
typedef struct Area { uint32_t cpu_id_start, cpu_id; uint64_t cs; uint32_t flags, node_id, mm_cid, pad; } Area;
typedef struct Section { uint32_t version, flags; uint64_t start, length, abort; } Section;

/* A thread's registration. */
struct UserRseq {
    UserCpus *cpus;
    TcgCpu *tcg;
    uint64_t area;
    uint32_t sig;
    int cpu;                   /* the last one; of the slot there we are the owner, or it was taken */
    uint32_t yield;            /* somebody wants it */
    uint32_t granted;          /* futex: the wait is over */
    UserRseq *next;            /* in the queue */
    cpu_set_t allowed;
};
_Static_assert(_Alignof(UserRseq) > IN_CALL, "the bit has room");

struct UserCpus {
    pthread_mutex_t lock;      /* of the queue, and of whoever puts another owner into a slot */
    UserRseq *head, **tail;
    uint32_t waiting;
    unsigned n, victim;
    bool nodes;                /* there is more than one */
    uintptr_t owner[];         /* UserRseq | IN_CALL, 0 = free */
};

static void lock_init(UserCpus *c)
{
    pthread_mutex_init(&c->lock, NULL);
    c->head = NULL;
    c->tail = &c->head;
    c->waiting = 0;
}

static UserCpus *cpus_of(UserProc *p)
{
    pthread_mutex_lock(&p->thread_lock);
    if (!p->cpus) {
        unsigned n = CLAMP(sysconf(_SC_NPROCESSORS_CONF), 1, CPU_SETSIZE);
        p->cpus = g_malloc0(sizeof(UserCpus) + n * sizeof(uintptr_t));
        p->cpus->n = n;
        p->cpus->nodes = !access("/sys/devices/system/node/node1", F_OK);
        lock_init(p->cpus);
    }
    pthread_mutex_unlock(&p->thread_lock);
    return p->cpus;
}

static uint32_t node_of(const UserCpus *c, int cpu)
{
    char name[80];
    for (uint32_t node = 0; c->nodes && node < 1024; node++) {
        g_snprintf(name, sizeof(name), "/sys/devices/system/cpu/cpu%d/node%u", cpu, node);
        if (!access(name, F_OK))
            return node;
    }
    return 0;
}

/* The CPUs on which the host lets thread @tid run (0: this one), as far as the guest sees them. */
static void read_allowed(const UserCpus *c, int tid, cpu_set_t *ret)
{
    bool any = false;
    CPU_ZERO(ret);
    if (syscall(SYS_sched_getaffinity, tid, sizeof(*ret), ret) < 0)
        CPU_ZERO(ret);
    for (unsigned n = 0; n < c->n; n++)
        any |= CPU_ISSET(n, ret);
    for (unsigned n = 0; n < c->n && !any; n++)
        CPU_SET(n, ret);
}

/* ---- slots and queue; locked ---- */
static bool take(UserRseq *r, unsigned cpu)
{
    uintptr_t was = __atomic_load_n(&r->cpus->owner[cpu], __ATOMIC_RELAXED);
    if (!CPU_ISSET(cpu, &r->allowed) || (was && !(was & IN_CALL)) ||
        !__atomic_compare_exchange_n(&r->cpus->owner[cpu], &was, (uintptr_t)r, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
        return false;
    r->cpu = (int)cpu;
    return true;
}

static bool take_any(UserRseq *r)
{
    unsigned real = 0, n = r->cpus->n;
    syscall(SYS_getcpu, &real, NULL, NULL);
    if ((r->cpu >= 0 && take(r, (unsigned)r->cpu)) || (real < n && !r->cpus->owner[real] && take(r, real)))
        return true;
    for (int pass = 0; pass < 2; pass++)     /* free ones first, then those in calls */
        for (unsigned k = 0; k < n; k++)
            if ((pass || !__atomic_load_n(&r->cpus->owner[k], __ATOMIC_RELAXED)) && take(r, k))
                return true;
    return false;
}

static void enqueue(UserRseq *r)
{
    r->next = NULL;
    *r->cpus->tail = r;
    r->cpus->tail = &r->next;
    r->granted = 0;
    __atomic_fetch_add(&r->cpus->waiting, 1, __ATOMIC_SEQ_CST);
}

static void dequeue(UserRseq **at)
{
    UserRseq *r = *at;
    UserCpus *c = r->cpus;
    *at = r->next;
    if (c->tail == &r->next)
        c->tail = at;
    __atomic_fetch_sub(&c->waiting, 1, __ATOMIC_SEQ_CST);
}

static UserRseq **queued(UserCpus *c, const UserRseq *r)
{
    UserRseq **at = &c->head;
    while (*at && *at != r)
        at = &(*at)->next;
    return *at ? at : NULL;
}

/* The first in the queue who may have @cpu; NULL: nobody wants it. */
static UserRseq **heir(UserCpus *c, int cpu)
{
    UserRseq **at = &c->head;
    while (*at && !CPU_ISSET(cpu, &(*at)->allowed))
        at = &(*at)->next;
    return *at ? at : NULL;
}

/* @r's CPU goes to who waits for it, or is free. Without effect if it was taken before. */
static void give_up(UserRseq *r)
{
    UserCpus *c = r->cpus;
    uintptr_t was = __atomic_load_n(&c->owner[r->cpu], __ATOMIC_RELAXED);
    if ((was & ~(uintptr_t)IN_CALL) != (uintptr_t)r)
        return;
    UserRseq **at = heir(c, r->cpu), *next = at ? *at : NULL;
    __atomic_store_n(&c->owner[r->cpu], (uintptr_t)next, __ATOMIC_SEQ_CST);
    if (!next)
        return;
    dequeue(at);
    next->cpu = r->cpu;
    __atomic_store_n(&next->granted, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &next->granted, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* One of those whose CPU @r would get next is to stop at its next safe point; taking turns. */
static void ask(UserCpus *c, const UserRseq *r)
{
    for (unsigned k = 0; k < c->n; k++) {
        unsigned n = (c->victim + k) % c->n;
        uintptr_t owner = __atomic_load_n(&c->owner[n], __ATOMIC_RELAXED);
        UserRseq **first = heir(c, (int)n);
        if (!owner || !first || *first != r)
            continue;
        UserRseq *o = (UserRseq *)(owner & ~(uintptr_t)IN_CALL);
        __atomic_store_n(&o->yield, 1, __ATOMIC_SEQ_CST);
        tcg_cpu_kick(o->tcg);
        c->victim = n + 1;
        return;
    }
}

static void acquire(UserRseq *r)
{
    UserCpus *c = r->cpus;
    const struct timespec slice = { 0, SLICE_NS };
    pthread_mutex_lock(&c->lock);
    bool got = take_any(r);
    if (!got)
        enqueue(r);
    while (!got) {
        pthread_mutex_unlock(&c->lock);
        syscall(SYS_futex, &r->granted, FUTEX_WAIT_PRIVATE, 0, &slice, NULL, 0);
        pthread_mutex_lock(&c->lock);
        got = __atomic_load_n(&r->granted, __ATOMIC_SEQ_CST);
        if (got)
            break;
        got = take_any(r);
        if (got)
            dequeue(queued(c, r));
        else
            ask(c, r);
    }
    __atomic_store_n(&r->yield, 0, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&c->lock);
}

/* ---- the guest's side ---- */
static bool put_cpu(UserThread *t)
{
    uint32_t start_id[2] = { (uint32_t)t->rseq->cpu, (uint32_t)t->rseq->cpu }, node = node_of(t->rseq->cpus, t->rseq->cpu);
    return user_put(t, t->rseq->area, start_id, sizeof(start_id)) && user_put(t, t->rseq->area + offsetof(Area, node_id), &node, sizeof(node));
}

/* False: the descriptor is bad. As the kernel: outside of a section the pointer to one is cleared. */
static bool leave_section(UserThread *t)
{
    uint64_t *pc = (uint64_t *)(void *)((uint8_t *)t->state + t->proc->abi->isa->pc_offset), none = 0, limit = t->proc->limit;
    Area area;
    Section s;
    uint32_t sig;
    if (!user_get(t, &area, t->rseq->area, sizeof(area)))
        return false;
    if (!area.cs)
        return true;
    if (area.cs >= limit || !user_get(t, &s, area.cs, sizeof(s)) || s.version || s.start >= limit || s.length > limit - s.start || s.abort >= limit || s.abort < 4 ||
        s.abort - s.start < s.length || !user_get(t, &sig, s.abort - 4, sizeof(sig)) || sig != t->rseq->sig)
        return false;
    if (*pc - s.start < s.length) {
        if (s.flags || area.flags)     /* the ways to say "no restart": gone since Linux 6.1 */
            return false;
        *pc = s.abort;
    }
    return user_put(t, t->rseq->area + offsetof(Area, cs), &none, sizeof(none));
}

/* Another one may have been on the thread's CPU, or it has another one now. */
static void moved(UserThread *t)
{
    if (!put_cpu(t) || !leave_section(t))
        user_die(t, SIGSEGV);
}

void user_rseq_signal(UserThread *t)
{
    if (t->rseq && !leave_section(t))
        user_die(t, SIGSEGV);
}

TCG_CALL_PATH void user_rseq_pause(UserThread *t)
{
    UserRseq *r = t->rseq;
    UserCpus *c = r->cpus;
    __atomic_store_n(&c->owner[r->cpu], (uintptr_t)r | IN_CALL, __ATOMIC_RELEASE);
    if (G_UNLIKELY(__atomic_load_n(&c->waiting, __ATOMIC_RELAXED))) {
        pthread_mutex_lock(&c->lock);
        if (heir(c, r->cpu))
            give_up(r);
        pthread_mutex_unlock(&c->lock);
    }
}

TCG_CALL_PATH void user_rseq_resume(UserThread *t)
{
    UserRseq *r = t->rseq;
    uintptr_t mine = (uintptr_t)r | IN_CALL;
    if (t->ending || __atomic_load_n(&r->cpus->owner[r->cpu], __ATOMIC_RELAXED) == (uintptr_t)r)      /* (registered just now) */
        return;
    if (G_LIKELY(CPU_ISSET(r->cpu, &r->allowed)) &&
        __atomic_compare_exchange_n(&r->cpus->owner[r->cpu], &mine, (uintptr_t)r, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
        return;
    pthread_mutex_lock(&r->cpus->lock);
    give_up(r);
    pthread_mutex_unlock(&r->cpus->lock);
    acquire(r);
    moved(t);
}

void user_rseq_turn(UserThread *t)
{
    UserRseq *r = t->rseq;
    if (!__atomic_exchange_n(&r->yield, 0, __ATOMIC_SEQ_CST))
        return;
    pthread_mutex_lock(&r->cpus->lock);
    bool go = !CPU_ISSET(r->cpu, &r->allowed) || heir(r->cpus, r->cpu);
    if (go)
        give_up(r);
    pthread_mutex_unlock(&r->cpus->lock);
    if (!go)
        return;
    acquire(r);
    moved(t);
}

void user_rseq_exit(UserThread *t)
{
    UserRseq *r = t->rseq;
    if (!r)
        return;
    pthread_mutex_lock(&t->proc->thread_lock);
    t->rseq = NULL;
    pthread_mutex_unlock(&t->proc->thread_lock);
    pthread_mutex_lock(&r->cpus->lock);
    give_up(r);
    pthread_mutex_unlock(&r->cpus->lock);
    g_free(r);
}

/* In the child, alone with the CPU of its parent. */
TCG_CALL_PATH void user_rseq_forked(UserThread *t, bool keep)
{
    UserRseq *r = t->rseq;
    UserCpus *c = t->proc->cpus;
    if (!c)
        return;
    lock_init(c);
    memset(c->owner, 0, c->n * sizeof(c->owner[0]));
    if (r && keep)
        c->owner[r->cpu] = (uintptr_t)r | IN_CALL;
    else
        t->rseq = NULL;        /* the parent's, in the parent's memory */
}

/* ---- system calls ---- */
static int64_t unregister(UserThread *t, uint64_t at, uint32_t len, uint32_t sig)
{
    uint32_t start_id[2] = { 0, (uint32_t)RSEQ_CPU_ID_UNINITIALIZED }, none[2] = { 0, 0 };
    if (!t->rseq || t->rseq->area != at || len != RSEQ_BYTES)
        return -EINVAL;
    if (t->rseq->sig != sig)
        return -EPERM;
    if (!user_put(t, at, start_id, sizeof(start_id)) || !user_put(t, at + offsetof(Area, node_id), none, sizeof(none)))
        return -EFAULT;
    user_rseq_exit(t);
    return 0;
}

int64_t user_sys_rseq(UserThread *t, const uint64_t *a)
{
    uint64_t at = a[0];
    uint32_t len = (uint32_t)a[1], flags = (uint32_t)a[2], sig = (uint32_t)a[3], mm_cid = 0;
    if (flags & RSEQ_FLAG_UNREGISTER)
        return flags & ~(uint32_t)RSEQ_FLAG_UNREGISTER ? -EINVAL : unregister(t, at, len, sig);
    if (flags)
        return -EINVAL;
    if (t->rseq)
        return at != t->rseq->area || len != RSEQ_BYTES ? -EINVAL : sig != t->rseq->sig ? -EPERM : -EBUSY;
    if (!at || at & (RSEQ_BYTES - 1) || len != RSEQ_BYTES)
        return -EINVAL;
    if (at > t->proc->limit - RSEQ_BYTES)
        return -EFAULT;
    UserRseq *r = g_new0(UserRseq, 1);
    *r = (UserRseq){ .cpus = cpus_of(t->proc), .tcg = t->cpu, .area = at, .sig = sig, .cpu = NOWHERE };
    read_allowed(r->cpus, 0, &r->allowed);
    acquire(r);
    t->rseq = r;
    if (put_cpu(t) && user_put(t, at + offsetof(Area, mm_cid), &mm_cid, sizeof(mm_cid)))
        return 0;
    user_rseq_exit(t);
    return -EFAULT;
}

int64_t user_sys_getcpu(UserThread *t, const uint64_t *a)
{
    if (!t->rseq)
        return user_host_syscall(t, SYS_getcpu, a[0], a[1], 0, 0, 0, 0);
    uint32_t cpu = (uint32_t)t->rseq->cpu, node = node_of(t->rseq->cpus, t->rseq->cpu);
    return (!a[0] || user_put(t, a[0], &cpu, sizeof(cpu))) && (!a[1] || user_put(t, a[1], &node, sizeof(node))) ? 0 : -EFAULT;
}

/* The thread of that number has other CPUs now: it moves at its next safe point. */
static void allowed_changed(UserProc *p, int tid)
{
    pthread_mutex_lock(&p->thread_lock);
    for (guint n = 0; n < p->threads->len; n++) {
        UserThread *o = p->threads->pdata[n];
        UserRseq *r = o->tid == tid ? o->rseq : NULL;
        if (!r)
            continue;
        pthread_mutex_lock(&r->cpus->lock);
        read_allowed(r->cpus, tid, &r->allowed);
        __atomic_store_n(&r->yield, 1, __ATOMIC_SEQ_CST);
        pthread_mutex_unlock(&r->cpus->lock);
        tcg_cpu_kick(r->tcg);
    }
    pthread_mutex_unlock(&p->thread_lock);
}

int64_t user_sys_sched_setaffinity(UserThread *t, const uint64_t *a)
{
    int64_t r = user_host_syscall(t, SYS_sched_setaffinity, a[0], a[1], a[2], 0, 0, 0);
    if (!r && t->proc->cpus)
        allowed_changed(t->proc, a[0] ? (int)a[0] : t->tid);
    return r;
}
