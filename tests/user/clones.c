/* clone and clone3 beyond fork: pidfds, handlers that are cleared, what they refuse; prints what happened. Threads and plain forks are in other tests. */
#include <errno.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef CLONE_CLEAR_SIGHAND
#define CLONE_CLEAR_SIGHAND 0x100000000ull
#endif
static void handler(int sig) { (void)sig; }

static long clone3(struct clone_args *c) { return syscall(SYS_clone3, c, sizeof(*c)); }

static void wait_by(const char *what, long pid, int fd)
{
    siginfo_t si = { 0 };
    int cloexec = fd >= 0 ? (int)syscall(SYS_fcntl, fd, 1 /* F_GETFD */) : -1;
    struct pollfd p = { fd, POLLIN, 0 };
    int ready = poll(&p, 1, -1);
    int r = waitid(P_PIDFD, (id_t)fd, &si, WEXITED);
    printf("%s: ready %d, waited %d, of that child %d, code %d status %d, closed on exec %d\n", what, ready, r, si.si_pid == pid, si.si_code, si.si_status, cloexec);
    close(fd);
}

static void pidfds(void)
{
    int fd = -1;
    struct clone_args c = { .flags = CLONE_PIDFD, .pidfd = (uintptr_t)&fd, .exit_signal = SIGCHLD };
    long pid = clone3(&c);
    if (!pid)
        _exit(7);
    wait_by("clone3", pid, fd);
    fd = -1;
    pid = syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, 0, &fd, 0, 0);
    if (!pid)
        _exit(8);
    wait_by("clone", pid, fd);
    signal(SIGCHLD, SIG_IGN);
    fd = -1;
    pid = clone3(&c);
    if (!pid)
        _exit(9);
    struct pollfd p = { fd, POLLIN, 0 };
    printf("of one that nobody waits for: %d", poll(&p, 1, -1));
    printf(" %d\n", (int)syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0) < 0 && errno == ESRCH);
    close(fd);
    signal(SIGCHLD, SIG_DFL);
    c.flags |= CLONE_VFORK;
    fd = -1;
    pid = clone3(&c);
    if (!pid)
        _exit(10);
    wait_by("vfork", pid, fd);
}

static void handlers(void)
{
    struct clone_args c = { .flags = CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD };
    int status = 0;
    signal(SIGUSR1, handler);
    signal(SIGSEGV, handler);
    signal(SIGUSR2, SIG_IGN);
    long pid = clone3(&c);
    if (!pid) {
        struct sigaction a, b, d;
        sigaction(SIGUSR1, NULL, &a);
        sigaction(SIGUSR2, NULL, &b);
        sigaction(SIGSEGV, NULL, &d);
        _exit((a.sa_handler == SIG_DFL) | (b.sa_handler == SIG_IGN) << 1 | (d.sa_handler == SIG_DFL) << 2);
    }
    waitpid((pid_t)pid, &status, 0);
    struct sigaction a;
    sigaction(SIGUSR1, NULL, &a);
    printf("handlers cleared: %d, here they stay: %d\n", WEXITSTATUS(status), a.sa_handler == handler);
    signal(SIGSEGV, SIG_DFL);
}

static void refused(void)
{
    static const struct { const char *name; struct clone_args c; size_t size; } cases[] = {
        { "small", { .exit_signal = SIGCHLD }, 56 },
        { "unknown flag", { .flags = 1ull << 40 }, sizeof(struct clone_args) },
        { "signal in the flags", { .flags = SIGCHLD }, sizeof(struct clone_args) },
        { "detached", { .flags = CLONE_DETACHED }, sizeof(struct clone_args) },
        { "no such signal", { .exit_signal = 65 }, sizeof(struct clone_args) },
        { "much of a signal", { .exit_signal = 1ull << 32 }, sizeof(struct clone_args) },
        { "size without a stack", { .stack_size = 4096 }, sizeof(struct clone_args) },
        { "stack without a size", { .stack = 4096 }, sizeof(struct clone_args) },
        { "numbers without a list", { .set_tid_size = 1 }, sizeof(struct clone_args) },
        { "list without numbers", { .set_tid = 4096 }, sizeof(struct clone_args) },
        { "too many numbers", { .set_tid = 4096, .set_tid_size = 33 }, sizeof(struct clone_args) },
        { "cleared and shared handlers", { .flags = CLONE_VM | CLONE_SIGHAND | CLONE_CLEAR_SIGHAND }, sizeof(struct clone_args) },
        { "thread with a signal", { .flags = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD, .exit_signal = SIGCHLD }, sizeof(struct clone_args) },
        { "thread without memory", { .flags = CLONE_THREAD | CLONE_SIGHAND }, sizeof(struct clone_args) },
        { "space and folder", { .flags = CLONE_NEWNS | CLONE_FS, .exit_signal = SIGCHLD }, sizeof(struct clone_args) },
        { "bad pidfd pointer", { .flags = CLONE_PIDFD, .pidfd = 8, .exit_signal = SIGCHLD }, sizeof(struct clone_args) },
        { "no such cgroup", { .flags = 0x200000000ull, .cgroup = 999999, .exit_signal = SIGCHLD }, sizeof(struct clone_args) },
    };
    for (unsigned n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
        struct clone_args c = cases[n].c;
        long r = syscall(SYS_clone3, &c, cases[n].size);
        if (!r)
            _exit(0);
        printf("%s: %d\n", cases[n].name, r < 0 ? errno : 0);
        if (r > 0)
            waitpid((pid_t)r, NULL, __WALL);
    }
    int fd;
    long r = syscall(SYS_clone, CLONE_PIDFD | CLONE_PARENT_SETTID | SIGCHLD, 0, &fd, 0, 0);
    if (!r)
        _exit(0);
    printf("pidfd and number in one place: %d\n", r < 0 ? errno : 0);
    printf("left: %d\n", waitpid(-1, NULL, WNOHANG | __WALL) < 0 && errno == ECHILD);
}

/* Where a namespace cannot be had the test says nothing about it. */
static void spaces(void)
{
    int status = -1;
    char name[64] = "";
    struct clone_args c = { .flags = CLONE_NEWUTS, .exit_signal = SIGCHLD };
    long pid = clone3(&c);
    if (!pid) {
        bool ok = !sethostname("inside", 6) && !gethostname(name, sizeof(name)) && !strcmp(name, "inside");
        _exit(ok ? 5 : 6);
    }
    int e = errno;
    gethostname(name, sizeof(name));
    bool mine = strcmp(name, "inside");
    if (pid > 0)
        waitpid((pid_t)pid, &status, 0);
    printf("own name: %s, ours stays: %d\n", pid < 0 ? strerror(e) : WEXITSTATUS(status) == 5 ? "set" : "not set", mine);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    pidfds();
    handlers();
    refused();
    spaces();
    return 0;
}
