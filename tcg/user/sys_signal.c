/* System calls: signals, and the calls that wait with a signal mask of their own. */
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "tcg/user/calls.h"

/* struct sigaction of the kernel: handler, flags, [restorer,] mask. */
static bool get_action(UserThread *t, uint64_t at, UserSigaction *ret)
{
    uint64_t k[4] = { 0 };
    bool short_form = t->proc->abi->no_restorer;
    if (!user_get(t, k, at, short_form ? 24 : 32))
        return false;
    *ret = short_form ? (UserSigaction){ k[0], k[1], 0, k[2] } : (UserSigaction){ k[0], k[1], k[2], k[3] };
    return true;
}

static bool put_action(UserThread *t, uint64_t at, const UserSigaction *a)
{
    bool short_form = t->proc->abi->no_restorer;
    uint64_t k[4] = { a->handler, a->flags, short_form ? a->mask : a->restorer, a->mask };
    return user_put(t, at, k, short_form ? 24 : 32);
}

int64_t user_sys_rt_sigaction(UserThread *t, const uint64_t *a)
{
    UserSigaction set, old;
    if (a[3] != 8)
        return -EINVAL;
    if (a[1] && !get_action(t, a[1], &set))
        return -EFAULT;
    int64_t r = user_sigaction(t, (int)a[0], a[1] ? &set : NULL, &old);
    return r || !a[2] || put_action(t, a[2], &old) ? r : -EFAULT;
}

int64_t user_sys_rt_sigprocmask(UserThread *t, const uint64_t *a)
{
    uint64_t set = 0, old;
    if (a[3] != 8)
        return -EINVAL;
    if (a[1] && !user_get(t, &set, a[1], 8))
        return -EFAULT;
    int64_t r = user_sigprocmask(t, (int)a[0], a[1] ? &set : NULL, &old);
    return r || !a[2] || user_put(t, a[2], &old, 8) ? r : -EFAULT;
}

int64_t user_sys_rt_sigreturn(UserThread *t, const uint64_t *a)
{
    uint64_t mask;
    (void)a;
    t->keep_registers = true;
    if (!t->proc->abi->pop_frame(t, &mask))
        user_force(t, &(siginfo_t){ .si_signo = SIGSEGV, .si_code = SI_KERNEL });
    else
        user_set_mask(t, mask);
    return 0;
}

int64_t user_sys_rt_sigpending(UserThread *t, const uint64_t *a)
{
    uint64_t set = 0;
    if (a[1] > 8)
        return -EINVAL;
    int64_t r = user_host_syscall(t, SYS_rt_sigpending, (uint64_t)(uintptr_t)&set, 8, 0, 0, 0, 0);
    set |= user_held(t, t->mask);
    return r ? r : user_put(t, a[0], &set, a[1]) ? 0 : -EFAULT;
}

/* A waiting call with the guest's mask at @at: the mask for the host in *ret. The handler that ends the wait runs with it and returns to the old one. */
static int64_t wait_mask(UserThread *t, uint64_t at, uint64_t size, uint64_t *ret)
{
    uint64_t set;
    if (size != 8)
        return -EINVAL;
    if (!user_get(t, &set, at, 8))
        return -EFAULT;
    t->suspended = true;
    t->suspend_mask = set & ~((1ull << (SIGKILL - 1)) | (1ull << (SIGSTOP - 1)));
    *ret = user_host_mask(set);
    if (t->have_held)
        user_catch_held(t, t->suspend_mask);
    return 0;
}

/* A limit of time is looked at before the mask. */
static int64_t check_time(UserThread *t, uint64_t at)
{
    struct timespec ts;
    if (at && !user_get(t, &ts, at, sizeof(ts)))
        return -EFAULT;
    return at && (ts.tv_sec < 0 || (uint64_t)ts.tv_nsec >= 1000000000) ? -EINVAL : 0;
}

static int64_t wait_done(UserThread *t, int64_t r)
{
    if (!t->have_signal)
        t->suspended = false;
    return r == -USER_ERESTART ? -EINTR : r;
}

#define PTR(p) ((uint64_t)(uintptr_t)(p))

int64_t user_sys_rt_sigsuspend(UserThread *t, const uint64_t *a)
{
    uint64_t mask;
    int64_t r = wait_mask(t, a[0], a[1], &mask);
    return r ? r : wait_done(t, user_host_syscall(t, SYS_rt_sigsuspend, PTR(&mask), 8, 0, 0, 0, 0));
}

int64_t user_sys_ppoll(UserThread *t, const uint64_t *a)
{
    uint64_t mask;
    int64_t r = check_time(t, a[2]);
    r = !r && a[3] ? wait_mask(t, a[3], a[4], &mask) : r;
    return r ? r : wait_done(t, user_host_syscall(t, SYS_ppoll, a[0], a[1], a[2], a[3] ? PTR(&mask) : 0, 8, 0));
}

int64_t user_sys_pselect6(UserThread *t, const uint64_t *a)
{
    uint64_t mask, pair[2] = { 0 }, host[2] = { 0, 8 };
    if (a[5] && !user_get(t, pair, a[5], sizeof(pair)))
        return -EFAULT;
    int64_t r = check_time(t, a[4]);
    r = !r && pair[0] ? wait_mask(t, pair[0], pair[1], &mask) : r;
    host[0] = pair[0] ? PTR(&mask) : 0;
    return r ? r : wait_done(t, user_host_syscall(t, SYS_pselect6, a[0], a[1], a[2], a[3], a[4], PTR(host)));
}

int64_t user_sys_io_pgetevents(UserThread *t, const uint64_t *a)
{
    uint64_t mask, pair[2] = { 0 }, host[2] = { 0, 8 };
    if (a[5] && !user_get(t, pair, a[5], sizeof(pair)))
        return -EFAULT;
    int64_t r = check_time(t, a[4]) == -EFAULT ? -EFAULT : 0;
    r = !r && pair[0] ? wait_mask(t, pair[0], pair[1], &mask) : r;
    host[0] = pair[0] ? PTR(&mask) : 0;
    return r ? r : wait_done(t, user_host_syscall(t, SYS_io_pgetevents, a[0], a[1], a[2], a[3], a[4], PTR(host)));
}

int64_t user_sys_rt_sigtimedwait(UserThread *t, const uint64_t *a)
{
    uint64_t set;
    siginfo_t si;
    if (a[3] != 8)
        return -EINVAL;
    if (!user_get(t, &set, a[0], 8))
        return -EFAULT;
    int64_t r = user_take_held(t, set, &si);
    r = r ? r : user_host_syscall(t, SYS_rt_sigtimedwait, PTR(&set), PTR(&si), a[2], 8, 0, 0);
    return r <= 0 || !a[1] || user_put(t, a[1], &si, sizeof(si)) ? r : -EFAULT;
}

int64_t user_sys_sigaltstack(UserThread *t, const uint64_t *a)
{
    stack_t set, old;
    if (a[0] && !user_get(t, &set, a[0], sizeof(set)))
        return -EFAULT;
    int64_t r = user_sigaltstack(t, a[0] ? &set : NULL, &old);
    return r || !a[1] || user_put(t, a[1], &old, sizeof(old)) ? r : -EFAULT;
}

static int64_t signalfd_any(UserThread *t, int fd, uint64_t at, uint64_t size, int flags)
{
    uint64_t set;
    if (size != 8)
        return -EINVAL;
    if (!user_get(t, &set, at, 8))
        return -EFAULT;
    return user_host_syscall(t, SYS_signalfd4, (uint64_t)fd, PTR(&set), 8, (uint64_t)flags, 0, 0);
}

int64_t user_sys_signalfd(UserThread *t, const uint64_t *a) { return signalfd_any(t, (int)a[0], a[1], a[2], 0); }
int64_t user_sys_signalfd4(UserThread *t, const uint64_t *a) { return signalfd_any(t, (int)a[0], a[1], a[2], (int)a[3]); }

/* ---- epoll: struct epoll_event is packed on x86 only ---- */
enum { MAX_EVENTS = 65536 };

int64_t user_sys_epoll_ctl(UserThread *t, const uint64_t *a)
{
    struct { uint32_t events, data[2]; } __attribute__((packed)) ev;
    uint32_t wide[4];
    if (t->proc->abi->packed_epoll || !a[3])
        return user_host_syscall(t, SYS_epoll_ctl, a[0], a[1], a[2], a[3], 0, 0);
    if (!user_get(t, wide, a[3], sizeof(wide)))
        return -EFAULT;
    ev.events = wide[0];
    ev.data[0] = wide[2];
    ev.data[1] = wide[3];
    return user_host_syscall(t, SYS_epoll_ctl, a[0], a[1], a[2], PTR(&ev), 0, 0);
}

static int64_t epoll_any(UserThread *t, long nr, const uint64_t *a, uint64_t timeout, uint64_t mask_at, uint64_t mask_size)
{
    uint64_t mask;
    int max = (int)a[2];
    bool packed = t->proc->abi->packed_epoll;
    int64_t r = nr == SYS_epoll_pwait2 ? check_time(t, timeout) : 0;
    r = !r && mask_at ? wait_mask(t, mask_at, mask_size, &mask) : r;
    if (r)
        return r;
    max = packed ? max : MIN(max, MAX_EVENTS);   /* none or fewer: the kernel's to refuse */
    g_autofree uint8_t *host = packed ? NULL : g_malloc((gsize)MAX(max, 1) * 12);
    r = wait_done(t, user_host_syscall(t, nr, a[0], packed ? a[1] : PTR(host), (uint64_t)max, timeout, mask_at ? PTR(&mask) : 0, 8));
    for (int64_t n = 0; !packed && n < r; n++) {
        uint32_t wide[4] = { 0 };
        memcpy(&wide[0], host + 12 * n, 4);
        memcpy(&wide[2], host + 12 * n + 4, 8);
        if (!user_put(t, a[1] + 16 * (uint64_t)n, wide, sizeof(wide)))
            return -EFAULT;
    }
    return r;
}

int64_t user_sys_epoll_wait(UserThread *t, const uint64_t *a) { return epoll_any(t, SYS_epoll_pwait, a, a[3], 0, 0); }
int64_t user_sys_epoll_pwait(UserThread *t, const uint64_t *a) { return epoll_any(t, SYS_epoll_pwait, a, a[3], a[4], a[5]); }
int64_t user_sys_epoll_pwait2(UserThread *t, const uint64_t *a) { return epoll_any(t, SYS_epoll_pwait2, a, a[3], a[4], a[5]); }
