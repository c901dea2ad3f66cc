/*
 * Guest signals are host signals. A host signal that the guest catches is noted in its thread, all others are blocked until
 * the frame for the guest's handler is made: one note is enough, nothing is lost, the kernel keeps the rest queued.
 * What the guest ignores or leaves at its default has that disposition in the host too.
 */
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tcg/user/internal.h"

static inline uint64_t bit(int sig) { return 1ull << (sig - 1); }

/* Faults of translated code: always caught, never blocked in the host. */
static const uint8_t faults[USER_FAULTS] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
/* The same without the table, of which a forked child has nothing mapped. */
static inline uint64_t fault_bits(void) { return bit(SIGSEGV) | bit(SIGBUS) | bit(SIGFPE) | bit(SIGILL) | bit(SIGTRAP); }

static bool is_fault(int sig) { return fault_bits() & bit(sig); }

TCG_CALL_PATH uint64_t user_host_mask(uint64_t mask) { return mask & ~(fault_bits() | bit(SIGKILL) | bit(SIGSTOP)); }

/* Raw: the C library keeps two signals for itself, which are the guest library's here. Not while a caught one waits: the next would take its place. All are
 * blocked then, until it is delivered. */
static TCG_CALL_PATH void host_mask(UserThread *t, uint64_t mask)
{
    mask = user_host_mask(mask);
    user_host_syscall(t, SYS_rt_sigprocmask, SIG_SETMASK, (uintptr_t)&mask, 0, sizeof(mask), 0, 0);
}

TCG_CALL_PATH void user_set_mask(UserThread *t, uint64_t mask)
{
    t->mask = mask & ~(bit(SIGKILL) | bit(SIGSTOP));
    host_mask(t, mask);
    if (G_UNLIKELY(t->have_held))
        user_catch_held(t, t->mask);
}

/* ---- held ones ---- */
uint64_t user_held(const UserThread *t, uint64_t set)
{
    uint64_t r = 0;
    uint32_t have = __atomic_load_n(&t->have_held, __ATOMIC_ACQUIRE);
    for (unsigned n = 0; n < USER_FAULTS; n++)
        r |= have >> n & 1 ? bit(faults[n]) : 0;
    return r & set;
}

int user_take_held(UserThread *t, uint64_t set, siginfo_t *ret)
{
    for (unsigned n = 0; n < USER_FAULTS; n++)
        if (user_held(t, set & bit(faults[n]))) {
            *ret = t->held[n];
            __atomic_fetch_and(&t->have_held, ~(1u << n), __ATOMIC_ACQ_REL);
            return faults[n];
        }
    return 0;
}

void user_catch_held(UserThread *t, uint64_t mask)
{
    uint64_t all = ~0ull, was;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &was, sizeof(was));
    bool got = !t->have_signal && user_take_held(t, ~mask, &t->caught);
    if (got) {
        t->have_signal = 1;
        was = user_host_mask(~0ull);
        tcg_cpu_kick(t->cpu);
    }
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &was, NULL, sizeof(was));
}

/* In the signal handler. The first of its number stays, as in the kernel. */
static void hold(UserThread *t, const siginfo_t *si)
{
    for (unsigned n = 0; n < USER_FAULTS; n++)
        if (faults[n] == si->si_signo && !(t->have_held >> n & 1)) {
            t->held[n] = *si;
            __atomic_fetch_or(&t->have_held, 1u << n, __ATOMIC_RELEASE);
        }
}

/* ---- catching ---- */
typedef struct KernelSigaction { void *handler; uint64_t flags; void (*restorer)(void); uint64_t mask; } KernelSigaction;
#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1u << 31)   /* linux/signal.h */
#endif
enum { FLAG_RESTORER = 0x04000000, LIBRARY_SIGNALS = 32 };

void user_sigreturn(void);
__asm__(".text\n.p2align 4\n.globl user_sigreturn\n.type user_sigreturn, @function\nuser_sigreturn:\n mov $15, %eax\n syscall\n.size user_sigreturn, .-user_sigreturn\n");

static void on_signal(int sig, siginfo_t *si, void *ucontext)
{
    UserThread *t = user_self();
    ucontext_t *uc = ucontext;
    uint64_t all = user_host_mask(~0ull);
    if (!t)
        return;
    if (is_fault(sig) && si->si_code > 0 && !user_behind_syscall(uc)) {
        /* Most ways on leave this handler by longjmp. What comes here now is noted; then the interrupted code does not go on with an open mask. */
        syscall(SYS_rt_sigprocmask, SIG_SETMASK, &uc->uc_sigmask, NULL, 8);
        if (t->guard)
            siglongjmp(*t->guard, 1);
        t->fault_signal = sig;
        t->fault_general = sig == SIGSEGV && si->si_code == SI_KERNEL;
        if (tcg_host_signal(sig, si, ucontext)) {
            if (t->have_signal)
                memcpy(&uc->uc_sigmask, &all, sizeof(all));
            return;
        }
        KernelSigaction dfl = { .handler = SIG_DFL, .flags = FLAG_RESTORER, .restorer = user_sigreturn };
        syscall(SYS_rt_sigaction, sig, &dfl, NULL, 8);   /* our own defect: die of it when the instruction runs again */
        return;
    }
    if (is_fault(sig) && (t->have_signal || (t->suspended ? t->suspend_mask : t->mask) & bit(sig))) {
        hold(t, si);
        return;
    }
    t->caught = *si;
    t->have_signal = 1;
    user_rewind_syscall(ucontext);
    memcpy(&uc->uc_sigmask, &all, sizeof(all));
    tcg_cpu_kick(t->cpu);
}

static void host_action(int sig, uint64_t handler, uint64_t flags)
{
    KernelSigaction k = { .handler = (void *)(uintptr_t)handler, .flags = FLAG_RESTORER | (flags & (SA_NOCLDSTOP | SA_NOCLDWAIT | SA_RESTART)),
                          .restorer = user_sigreturn, .mask = user_host_mask(~0ull) };
    if (is_fault(sig) || handler > 1) {
        k.handler = (void *)on_signal;
        k.flags |= SA_SIGINFO | (is_fault(sig) ? SA_NODEFER : 0);
    }
    syscall(SYS_rt_sigaction, sig, &k, NULL, 8);
}

/* The C library takes the action of one of its two signals when it makes its first thread: it has to before the guest's library or runtime does. */
static void *nothing(void *opaque) { return opaque; }

static void library_first(UserThread *t)
{
    UserProc *p = t->proc;
    pthread_t first;
    uint64_t mask = t->mask;
    if (p->library_signals)
        return;
    user_set_mask(t, ~0ull);   /* what that thread caught would be lost */
    if (!pthread_create(&first, NULL, nothing, NULL))
        pthread_join(first, NULL);
    user_set_mask(t, mask);
    p->library_signals = true;
}

void user_signal_threads(UserProc *p)
{
    pthread_mutex_lock(&p->signal_lock);
    for (int sig = LIBRARY_SIGNALS; sig < LIBRARY_SIGNALS + 2 && !p->library_signals; sig++)
        host_action(sig, p->action[sig].handler, p->action[sig].flags);
    p->library_signals = true;
    pthread_mutex_unlock(&p->signal_lock);
}

void user_signal_init(UserProc *p)
{
    for (int sig = 1; sig <= USER_SIGNALS; sig++) {
        KernelSigaction k = { 0 };
        if (!syscall(SYS_rt_sigaction, sig, NULL, &k, 8) && k.handler == SIG_IGN)
            p->action[sig].handler = 1;
        if (is_fault(sig))
            host_action(sig, p->action[sig].handler, 0);
    }
    uint64_t mask = 0;
    UserThread *t = p->threads->pdata[0];
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &mask, sizeof(mask));
    user_set_mask(t, mask);
}

void user_signal_exec(UserThread *t)
{
    pthread_mutex_lock(&t->proc->signal_lock);
    for (int sig = 1; sig <= USER_SIGNALS; sig++) {
        UserSigaction *a = &t->proc->action[sig];
        bool anew = a->handler > 1 || a->flags;
        *a = (UserSigaction){ .handler = a->handler == 1 };
        if (anew)
            host_action(sig, a->handler, 0);
    }
    pthread_mutex_unlock(&t->proc->signal_lock);
    t->altstack = (stack_t){ .ss_flags = SS_DISABLE };
    t->suspended = false;
}

/* ---- system calls ---- */
int64_t user_sigaction(UserThread *t, int sig, const UserSigaction *set, UserSigaction *old)
{
    UserProc *p = t->proc;
    if (sig < 1 || sig > USER_SIGNALS || (set && (sig == SIGKILL || sig == SIGSTOP)))
        return -EINVAL;
    pthread_mutex_lock(&p->signal_lock);
    if (old)
        *old = t->proc->action[sig];
    if (set) {
        if (sig == LIBRARY_SIGNALS || sig == LIBRARY_SIGNALS + 1)
            library_first(t);
        t->proc->action[sig] = *set;
        t->proc->action[sig].mask &= ~(bit(SIGKILL) | bit(SIGSTOP));
        host_action(sig, set->handler, set->flags);
    }
    pthread_mutex_unlock(&p->signal_lock);
    return 0;
}

int64_t user_sigprocmask(UserThread *t, int how, const uint64_t *set, uint64_t *old)
{
    uint64_t was = t->mask;
    if (set) {
        if (how == SIG_BLOCK)
            user_set_mask(t, was | *set);
        else if (how == SIG_UNBLOCK)
            user_set_mask(t, was & ~*set);
        else if (how == SIG_SETMASK)
            user_set_mask(t, *set);
        else
            return -EINVAL;
    }
    if (old)
        *old = was;
    return 0;
}

static bool on_altstack(const UserThread *t, uint64_t sp)
{
    uint64_t base = (uint64_t)(uintptr_t)t->altstack.ss_sp;
    return !(t->altstack.ss_flags & SS_DISABLE) && sp > base && sp - base <= t->altstack.ss_size;
}

int64_t user_sigaltstack(UserThread *t, const stack_t *set, stack_t *old)
{
    bool on = on_altstack(t, t->proc->abi->sp(t));
    if (old) {
        *old = t->altstack;
        old->ss_flags = on ? SS_ONSTACK : t->altstack.ss_flags;
    }
    if (!set)
        return 0;
    if (on)
        return -EPERM;
    int flags = set->ss_flags & ~(int)SS_AUTODISARM;
    if (flags && flags != SS_DISABLE && flags != SS_ONSTACK)
        return -EINVAL;
    if (set->ss_sp == t->altstack.ss_sp && set->ss_size == t->altstack.ss_size && (set->ss_flags & ~SS_ONSTACK) == (t->altstack.ss_flags & ~SS_DISABLE))
        return 0;              /* no change */
    if (flags != SS_DISABLE && set->ss_size < (t->proc->abi->min_altstack ? t->proc->abi->min_altstack : 2048))
        return -ENOMEM;
    t->altstack = *set;
    t->altstack.ss_flags = set->ss_flags & ~SS_ONSTACK;
    if (flags == SS_DISABLE)
        t->altstack = (stack_t){ .ss_flags = SS_DISABLE };
    return 0;
}

/* ---- delivery ---- */
void user_die(UserThread *t, int sig)
{
    (void)t;
    KernelSigaction dfl = { .handler = SIG_DFL, .flags = FLAG_RESTORER, .restorer = user_sigreturn };
    syscall(SYS_rt_sigaction, sig, &dfl, NULL, 8);
    uint64_t open = ~bit(sig);
    syscall(SYS_tgkill, syscall(SYS_getpid), syscall(SYS_gettid), sig);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &open, NULL, sizeof(open));
    for (;;)
        syscall(SYS_exit_group, 128 + sig);
}

/* Frame and masks for the handler of @si. @blocked: the mask in force, @saved: the one that the handler returns to. */
static void run_handler(UserThread *t, const siginfo_t *si, uint64_t blocked, uint64_t saved)
{
    int sig = si->si_signo;
    UserProc *p = t->proc;
    pthread_mutex_lock(&p->signal_lock);
    UserSigaction a = t->proc->action[sig];
    if (a.flags & SA_RESETHAND && a.handler > 1) {
        t->proc->action[sig].handler = 0;
        host_action(sig, 0, 0);
    }
    pthread_mutex_unlock(&p->signal_lock);
    user_rseq_signal(t);
    bool alt = a.flags & SA_ONSTACK && !(t->altstack.ss_flags & SS_DISABLE) && !on_altstack(t, p->abi->sp(t));
    if (!p->abi->push_frame(t, si, &a, saved, alt)) {
        if (sig == SIGSEGV)
            user_die(t, SIGSEGV);
        siginfo_t segv = { .si_signo = SIGSEGV, .si_code = SI_KERNEL };
        t->mask = saved;
        user_force(t, &segv);
        return;
    }
    if (alt && t->altstack.ss_flags & (int)SS_AUTODISARM)
        t->altstack = (stack_t){ .ss_flags = SS_DISABLE };
    t->mask = (blocked | a.mask | (a.flags & SA_NODEFER ? 0 : bit(sig))) & ~(bit(SIGKILL) | bit(SIGSTOP));
}

static void deliver_one(UserThread *t)
{
    siginfo_t si = t->caught;
    uint64_t saved = t->mask, blocked = t->suspended ? t->suspend_mask : saved;
    uint64_t handler = t->proc->action[si.si_signo].handler;
    t->have_signal = 0;
    t->suspended = false;
    if (handler > 1) {
        run_handler(t, &si, blocked, saved);
    } else if (handler == 0) { /* changed since it was caught: let the kernel do the default thing */
        if (is_fault(si.si_signo))
            user_die(t, si.si_signo);
        syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), si.si_signo, &si);
    }
}

void user_deliver(UserThread *t)
{
    while (t->have_signal) {
        deliver_one(t);
        user_set_mask(t, t->mask);           /* may bring the next */
    }
    t->suspended = false;
}

void user_force(UserThread *t, const siginfo_t *si)
{
    int sig = si->si_signo;
    if (t->proc->action[sig].handler <= 1 || t->mask & bit(sig))
        user_die(t, sig);
    run_handler(t, si, t->mask, t->mask);
    host_mask(t, t->mask);
}
