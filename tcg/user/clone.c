/*
 * System calls: clone, clone3, fork, vfork. What a new process has beyond a fork (namespaces, a cgroup, no handlers, a pidfd) is brought about behind it: the child
 * says over a socket how that went, and goes on when its parent has the pidfd.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tcg/user/calls.h"

#define SPACES ((uint64_t)(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWNET))
#define EXTRAS (SPACES | CLONE_INTO_CGROUP | CLONE_CLEAR_SIGHAND | CLONE_PIDFD)
enum { SET_TID_MOST = 32 };    /* MAX_PID_NS_LEVEL */

TCG_CALL_PATH int64_t user_sys_fork(UserThread *t, const uint64_t *a) { (void)a; return user_clone(t, 0, 0, 0, 0, 0, SIGCHLD); }
int64_t user_sys_vfork(UserThread *t, const uint64_t *a) { (void)a; return user_clone(t, CLONE_VM | CLONE_VFORK, 0, 0, 0, 0, SIGCHLD); }

static int join_cgroup(int dir)
{
    int fd = openat(dir, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    int e = fd < 0 || write(fd, "0", 1) != 1 ? errno : 0;
    if (fd >= 0)
        close(fd);
    return e;
}

static void clear_handlers(UserThread *t)
{
    for (int sig = 1; sig <= USER_SIGNALS; sig++)
        if (t->proc->action[sig].handler > 1)
            user_sigaction(t, sig, &(UserSigaction){ 0 }, NULL);
}

/* In the child. It does not come back where something cannot be. */
static void be_born(UserThread *t, const struct clone_args *c, int link)
{
    char go;
    int e = c->flags & SPACES && syscall(SYS_unshare, c->flags & SPACES) ? errno : 0;
    if (!e && c->flags & CLONE_INTO_CGROUP)
        e = join_cgroup((int)c->cgroup);
    if (c->flags & CLONE_CLEAR_SIGHAND)
        clear_handlers(t);
    if (write(link, &e, sizeof(e)) != sizeof(e) || e)
        user_exit_group(t, 127);
    while (!(c->flags & CLONE_VFORK) && read(link, &go, 1) < 0 && errno == EINTR)
        ;
    close(link);
}

/* In the parent of @pid, which is @link's other end. What clone returns. */
static int64_t have_born(UserThread *t, const struct clone_args *c, int link, pid_t pid)
{
    int e = EAGAIN, fd = -1;
    while (read(link, &e, sizeof(e)) < 0 && errno == EINTR)
        ;
    if (!e && c->flags & CLONE_PIDFD) {
        fd = (int)syscall(SYS_pidfd_open, pid, 0);
        e = fd < 0 ? errno : 0;
        user_put(t, c->pidfd, &fd, sizeof(fd));
    }
    if (e)
        waitpid(pid, NULL, __WALL);
    else if (!(c->flags & CLONE_VFORK) && write(link, "", 1) < 0)
        e = 0;                 /* it died meanwhile: as any child may */
    return e ? -e : pid;
}

static int64_t with_extras(UserThread *t, const struct clone_args *c)
{
    int pair[2], none = -1;
    if (c->flags & CLONE_THREAD)
        return -EINVAL;
    if (c->flags & CLONE_PIDFD && !user_put(t, c->pidfd, &none, sizeof(none)))
        return -EFAULT;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        return -errno;
    int64_t r = user_clone(t, c->flags & ~EXTRAS, c->stack ? c->stack + c->stack_size : 0, c->parent_tid, c->child_tid, c->tls, (int)c->exit_signal);
    close(pair[r != 0]);
    if (r == 0)
        be_born(t, c, pair[1]);
    else if (r > 0)
        r = have_born(t, c, pair[0], (pid_t)r);
    if (r != 0)
        close(pair[0]);
    return r;
}

static TCG_CALL_PATH int64_t clone_any(UserThread *t, const struct clone_args *c)
{
    if (c->flags & CLONE_FS && c->flags & (CLONE_NEWNS | CLONE_NEWUSER))
        return -EINVAL;
    if (c->flags & EXTRAS)
        return with_extras(t, c);
    return user_clone(t, c->flags, c->stack ? c->stack + c->stack_size : 0, c->parent_tid, c->child_tid, c->tls, (int)c->exit_signal);
}

TCG_CALL_PATH int64_t user_sys_clone(UserThread *t, const uint64_t *a)
{
    bool back = t->call_abi->clone_tls_last;
    uint64_t flags = (uint32_t)a[0] & ~(uint64_t)CSIGNAL;
    if (flags & CLONE_PIDFD && flags & (CLONE_PARENT_SETTID | CLONE_DETACHED))     /* the parent's number would go there, too */
        return -EINVAL;
    return clone_any(t, &(struct clone_args){ .flags = flags, .stack = a[1], .parent_tid = a[2], .pidfd = a[2], .tls = a[back ? 4 : 3], .child_tid = a[back ? 3 : 4], .exit_signal = a[0] & CSIGNAL });
}

int64_t user_sys_clone3(UserThread *t, const uint64_t *a)
{
    struct clone_args c;
    int64_t r = user_get_extensible(t, &c, sizeof(c), a[0], a[1], CLONE_ARGS_SIZE_VER0);
    if (r)
        return r;
    if (c.set_tid_size > SET_TID_MOST || !c.set_tid != !c.set_tid_size || c.exit_signal & ~(uint64_t)CSIGNAL || c.exit_signal > USER_SIGNALS ||
        (c.flags & CLONE_INTO_CGROUP && (c.cgroup > INT32_MAX || a[1] < CLONE_ARGS_SIZE_VER2)))
        return -EINVAL;
    if (c.flags >> 34 || c.flags & (CLONE_DETACHED | (CSIGNAL & ~CLONE_NEWTIME)) || (c.flags & CLONE_SIGHAND && c.flags & CLONE_CLEAR_SIGHAND) ||
        (c.flags & (CLONE_THREAD | CLONE_PARENT) && c.exit_signal) || !c.stack != !c.stack_size)
        return -EINVAL;
    if (c.set_tid_size)
        return -EPERM;         /* only with CAP_CHECKPOINT_RESTORE: its number is the host's choice */
    return clone_any(t, &c);
}
