/* Guest threads are host threads, processes the host's. */
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tcg/user/internal.h"

enum { HOST_STACK = 1 << 20, STATE_ALIGN = 64 };

/* The thread that runs here: a signal handler has nothing else to go by. */
static __thread UserThread *self;

UserThread *user_self(void) { return self; }

void user_thread_bind(UserThread *t)
{
    self = t;
    t->tid = (int)syscall(SYS_gettid);
}

/* What each system call writes lies together, at the start of a page: fork copies few pages. */
UserThread *user_thread_new(UserProc *p)
{
    size_t own = (sizeof(UserThread) + STATE_ALIGN - 1) & ~(size_t)(STATE_ALIGN - 1);
    void *memory = g_malloc0(own + p->abi->isa->state_size + USER_PAGE);
    UserThread *t = (UserThread *)(((uintptr_t)memory + USER_PAGE - 1) & ~(uintptr_t)(USER_PAGE - 1));
    t->memory = memory;
    t->proc = p;
    t->call_abi = p->abi;
    t->own = g_malloc0(p->abi->own_size + 1);
    t->state = (uint8_t *)t + own;
    t->altstack.ss_flags = SS_DISABLE;
    t->cpu = tcg_cpu_new(p->tcg, p->abi->isa, t->state, &user_callbacks, t);
    pthread_mutex_lock(&p->thread_lock);
    g_ptr_array_add(p->threads, t);
    pthread_mutex_unlock(&p->thread_lock);
    return t;
}

void user_thread_free(UserThread *t)
{
    UserProc *p = t->proc;
    pthread_mutex_lock(&p->thread_lock);
    g_ptr_array_remove_fast(p->threads, t);
    pthread_mutex_unlock(&p->thread_lock);
    tcg_cpu_free(t->cpu);
    g_free(t->own);
    g_free(t->memory);
}

/* ---- the end ---- */
static void end_process(int status) __attribute__((noreturn));
static TCG_CALL_PATH void end_process(int status)
{
    for (;;)
        user_own_syscall(SYS_exit_group, (uint64_t)status, 0, 0, 0);
}

TCG_CALL_PATH int64_t user_exit_group(UserThread *t, int status)
{
    if (t->robust)
        user_robust_exit(t);
    user_vfork_exit(t);
    end_process(status);
}

int64_t user_thread_exit(UserThread *t, int status)
{
    UserProc *p = t->proc;
    pthread_mutex_lock(&p->thread_lock);
    bool last = p->threads->len == 1;
    pthread_mutex_unlock(&p->thread_lock);
    if (last)
        user_exit_group(t, status);
    t->ending = true;
    tcg_cpu_kick(t->cpu);
    return 0;
}

static void thread_end(UserThread *t) __attribute__((noreturn));
static void thread_end(UserThread *t)
{
    uint64_t tid_at = t->clear_tid;
    uint32_t zero = 0;
    user_rseq_exit(t);
    if (t->robust)
        user_robust_exit(t);
    bool main_thread = getpid() == t->tid;
    user_set_mask(t, ~0ull);
    if (tid_at && user_put(t, tid_at, &zero, sizeof(zero)))
        syscall(SYS_futex, g2h(tid_at), FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
    self = NULL;
    user_thread_free(t);
    if (main_thread)
        for (;;)               /* a zombie leader, as the kernel has it: the others go on */
            syscall(SYS_exit, 0);
    pthread_exit(NULL);
}

/* ---- running ---- */
static void on_exception(UserThread *t)
{
    siginfo_t si;
    memset(&si, 0, sizeof(si));
    t->exc.valid = false;
    if (!t->proc->abi->exception(t, t->exc.vector, t->exc.error, t->exc.addr, &si))
        return;
    if (si.si_signo != SIGSEGV || (si.si_code != SEGV_MAPERR && si.si_code != SEGV_ACCERR) || !user_grow(t, (uint64_t)(uintptr_t)si.si_addr))
        user_force(t, &si);
}

void user_thread_loop(UserThread *t)
{
    for (;;) {
        TcgLeave why = tcg_cpu_run(t->cpu, 0);
        if (why == TCG_LEAVE_EXCEPTION && t->exc.valid)
            on_exception(t);
        if (why == TCG_LEAVE_SHUTDOWN)
            user_die(t, SIGABRT);
        if (t->ending)
            thread_end(t);
        if (t->rseq)
            user_rseq_turn(t);
        user_deliver(t);
    }
}

/* ---- clone ---- */
typedef struct Birth { UserThread *t; pthread_mutex_t lock; pthread_cond_t cond; bool done; uint64_t child_tid, parent_tid; int tid; } Birth;

static void *thread_main(void *opaque)
{
    Birth *b = opaque;
    UserThread *t = b->t;
    user_thread_bind(t);
    int tid = t->tid;
    if (b->child_tid)
        user_put(t, b->child_tid, &tid, sizeof(tid));
    if (b->parent_tid)
        user_put(t, b->parent_tid, &tid, sizeof(tid));
    pthread_mutex_lock(&b->lock);
    b->tid = tid;
    b->done = true;
    pthread_cond_signal(&b->cond);
    pthread_mutex_unlock(&b->lock);
    user_set_mask(t, t->mask);
    user_thread_loop(t);
}

static int64_t new_thread(UserThread *t, uint64_t flags, uint64_t stack, uint64_t parent_tid, uint64_t child_tid, uint64_t tls)
{
    tcg_others_come(t->proc->tcg);
    UserThread *c = user_thread_new(t->proc);
    Birth b = { .t = c, .child_tid = flags & CLONE_CHILD_SETTID ? child_tid : 0, .parent_tid = flags & CLONE_PARENT_SETTID ? parent_tid : 0 };
    pthread_attr_t attr;
    c->mask = t->mask;
    c->clear_tid = flags & CLONE_CHILD_CLEARTID ? child_tid : 0;
    t->proc->abi->clone(c, t, stack, flags & CLONE_SETTLS, tls);
    pthread_mutex_init(&b.lock, NULL);
    pthread_cond_init(&b.cond, NULL);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, HOST_STACK);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    uint64_t mask = t->mask;
    user_set_mask(t, ~0ull);   /* the child starts with everything blocked */
    int e = pthread_create(&c->pthread, &attr, thread_main, &b);
    user_signal_threads(t->proc);
    if (!e) {
        pthread_mutex_lock(&b.lock);
        while (!b.done)
            pthread_cond_wait(&b.cond, &b.lock);
        pthread_mutex_unlock(&b.lock);
    }
    user_set_mask(t, mask);
    pthread_attr_destroy(&attr);
    if (e)
        user_thread_free(c);
    return e ? -e : b.tid;
}

static TCG_CALL_PATH void lock_all(UserProc *p)
{
    pthread_rwlock_rdlock(&p->map_lock);
    pthread_mutex_lock(&p->signal_lock);
    pthread_mutex_lock(&p->thread_lock);
}

static TCG_CALL_PATH void unlock_all(UserProc *p)
{
    pthread_mutex_unlock(&p->thread_lock);
    pthread_mutex_unlock(&p->signal_lock);
    pthread_rwlock_unlock(&p->map_lock);
}

/* In the child, alone. */
static TCG_CALL_PATH void after_fork(UserThread *t, bool keep_rseq)
{
    UserProc *p = t->proc;
    t->tid = (int)user_own_syscall(SYS_gettid, 0, 0, 0, 0);
    t->robust = 0;
    t->have_held = 0;
    if (p->vfork)
        p->vfork = NULL;       /* of the parent's */
    user_rseq_forked(t, keep_rseq);
    pthread_rwlock_init(&p->map_lock, NULL);
    pthread_mutex_init(&p->signal_lock, NULL);
    pthread_mutex_init(&p->thread_lock, NULL);
    g_ptr_array_set_size(p->threads, 0);
    g_ptr_array_add(p->threads, t);
}

static TCG_CALL_PATH int64_t new_process(UserThread *t, uint64_t flags, uint64_t stack, uint64_t parent_tid, uint64_t child_tid, uint64_t tls)
{
    UserProc *p = t->proc;
    uint64_t mask = t->mask;
    user_set_mask(t, ~0ull);
    if (t->have_signal) {      /* caught before: its handler runs first, in this process only, as the kernel has it */
        user_set_mask(t, mask);
        return -USER_ERESTART;
    }
    UserVfork *v = flags & CLONE_VFORK ? user_vfork_new(t, flags & CLONE_VM) : NULL;
    if (flags & CLONE_VFORK && !v) {
        user_set_mask(t, mask);
        return -ENOMEM;
    }
    lock_all(p);
    tcg_fork_begin(p->tcg, t->cpu);
    pid_t pid = fork();
    int e = pid < 0 ? errno : 0;
    tcg_fork_end(p->tcg, t->cpu, pid == 0);
    if (pid == 0) {
        after_fork(t, !(flags & CLONE_VM));
        if (v)
            user_vfork_born(t, v);
    } else {
        unlock_all(p);
    }
    if (pid == 0) {
        t->clear_tid = flags & CLONE_CHILD_CLEARTID ? child_tid : 0;
        if (flags & CLONE_CHILD_SETTID)
            user_put(t, child_tid, &t->tid, sizeof(t->tid));
        p->abi->clone(t, t, stack, flags & CLONE_SETTLS, tls);
    } else if (pid > 0 && flags & CLONE_PARENT_SETTID) {
        int number = pid;
        user_put(t, parent_tid, &number, sizeof(number));
    }
    if (v && pid)
        user_vfork_wait(t, v, pid);
    user_set_mask(t, mask);
    return pid < 0 ? -e : pid;
}

TCG_CALL_PATH int64_t user_clone(UserThread *t, uint64_t flags, uint64_t stack, uint64_t parent_tid, uint64_t child_tid, uint64_t tls, int exit_signal)
{
    const uint64_t thread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
    if (exit_signal < 0 || exit_signal > USER_SIGNALS)
        return -EINVAL;
    if (flags & CLONE_THREAD)
        return (flags & thread) == thread ? new_thread(t, flags, stack, parent_tid, child_tid, tls) : -EINVAL;
    if (flags & (CLONE_PARENT | CLONE_NEWPID | CLONE_NEWTIME))     /* fork cannot, nor can what comes behind it (clone.c) */
        return -EINVAL;
    /* A process that shares its parent's memory or files and goes on beside it: fork would give it copies. (With CLONE_VFORK the parent waits: vfork.c.) */
    if (flags & CLONE_SIGHAND || (flags & (CLONE_VM | CLONE_FILES) && !(flags & CLONE_VFORK)))
        return -EINVAL;
    return new_process(t, flags, stack, parent_tid, child_tid, tls);
}
