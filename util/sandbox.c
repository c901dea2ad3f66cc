#include "util/sandbox.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#if defined(__x86_64__)
enum { ARCH = (int)AUDIT_ARCH_X86_64 };
#elif defined(__aarch64__)
enum { ARCH = (int)AUDIT_ARCH_AARCH64 };
#else
enum { ARCH = 0 };
#endif

/* Further checks of a call's arguments. */
typedef enum Check {
    ANY,
    NO_EXEC,                    /* argument 2 without PROT_EXEC */
    ONLY_NAME,                  /* prctl: the name of a thread or of memory */
    THREADS                     /* clone: with CLONE_THREAD */
} Check;

enum { P = 1 << SANDBOX_PROCESS, V = 1 << SANDBOX_VCPU | P, B = 1 << SANDBOX_BLOCK | V };   /* each with those that may start it */

typedef struct Rule {
    uint16_t nr;
    uint8_t roles, check;
    const char *name, *why;
    const char *rare;           /* when it happens, where the test's runs do not show it */
} Rule;

#define RULE(call, roles, check, why) { SYS_##call, roles, check, #call, why, NULL }
#define RARE(call, roles, check, why, when) { SYS_##call, roles, check, #call, why, when }

/* The frequent ones first: the kernel goes through the list from the top. */
static const Rule rules[] = {
    RULE(futex, B, ANY, "locks and waiting"),
    RULE(ioctl, V, ANY, "KVM_RUN and the state of a KVM vCPU; terminals"),
    RULE(io_uring_enter, B, ANY, "reads and writes of images on their way"),
    RULE(write, B, ANY, "waking a loop (eventfd); consoles, logs"),
    RULE(read, B, ANY, "eventfd, timerfd, signalfd; consoles"),
    RULE(timerfd_settime, B, ANY, "timers of devices"),
    RARE(ppoll, B, ANY, "the main loop's wait; images on a server", "a GLib that prefers it"),
#ifdef SYS_poll
    RULE(poll, B, ANY, "the main loop's wait; images on a server"),
#endif
    RULE(pread64, B, ANY, "metadata of images"),
    RULE(pwrite64, B, ANY, "metadata of images"),
    RULE(preadv, B, ANY, "data of images"),
    RULE(pwritev, B, ANY, "data of images"),
    RULE(fdatasync, B, ANY, "flushes of images"),
    RARE(fsync, B, ANY, "flushes of images", "of files whose size changed"),
    RULE(fallocate, B, ANY, "discard and writing zeroes"),
    RARE(ftruncate, B, ANY, "images that grow", "images whose length is set"),
    RARE(lseek, B, ANY, "holes and sizes of files", "map and convert of sparse files"),
    RARE(fstat, B, ANY, "kind and size of an open file", "another C library"),
    RULE(newfstatat, B, ANY, "kind and size of an open file"),
    RARE(statx, B, ANY, "kind and size of an open file", "another C library"),
    RARE(copy_file_range, B, ANY, "copies within images", "commit and convert where the file system can"),
    RULE(fcntl, B, ANY, "locks of images; close-on-exec"),
    RARE(restart_syscall, B, ANY, "a wait that was interrupted", "after SIGSTOP"),
    RULE(mmap, B, NO_EXEC, "memory, never executable"),
    RULE(munmap, B, ANY, "memory"),
    RULE(mprotect, B, NO_EXEC, "memory, never executable"),
    RULE(mremap, B, ANY, "memory"),
    RULE(madvise, B, ANY, "memory that is given back"),
    RARE(brk, B, ANY, "memory", "memory in small pieces"),
    RARE(membarrier, B, ANY, "order between threads", "tables that readers pass without a lock"),
    RULE(getrandom, B, ANY, "RDRAND, virtio-rng, hash tables"),
    RULE(rt_sigprocmask, B, ANY, "start and end of threads"),
    RARE(rt_sigaction, B, ANY, "handlers of traps", "an engine opened late"),
    RARE(rt_sigreturn, B, ANY, "the way back from a handler", "a trap of the guest's floating point, a kick of KVM"),
    RARE(sigaltstack, B, ANY, "handlers of traps", "a translator opened late"),
    RULE(clone3, B, ANY, "threads that are made when needed"),
    RARE(clone, B, THREADS, "threads that are made when needed", "a C library or kernel without clone3"),
    RULE(set_robust_list, B, ANY, "start of a thread"),
    RULE(rseq, B, ANY, "start of a thread"),
    RULE(prctl, B, ONLY_NAME, "names of threads"),
    RULE(seccomp, B, ANY, "narrowing a new thread"),
    RULE(exit, B, ANY, "end of a thread"),
    RULE(exit_group, B, ANY, "end of the process"),
    RARE(tgkill, B, ANY, "kicking a vCPU out of KVM; abort", "under kvm, with guest code running"),
    RARE(gettid, B, ANY, "whom to kick; abort", "under kvm"),
    RARE(getpid, B, ANY, "abort", "an assertion that failed"),
    RARE(sched_yield, B, ANY, "waiting for a moment", "another thread is about to finish"),
    RARE(sched_getaffinity, B, ANY, "number of processors", "an engine opened late"),
    RARE(clock_gettime, B, ANY, "time", "hosts whose clock is not in the vDSO"),
    RARE(clock_nanosleep, B, ANY, "waiting for a moment", "rare waits"),
    RARE(gettimeofday, P, ANY, "time", "hosts whose clock is not in the vDSO"),
    RARE(eventfd2, V, ANY, "wake-ups", "a loop made late"),
    RARE(timerfd_create, V, ANY, "timers", "a loop made late"),
    RULE(close, B, ANY, "files, sockets"),
    RARE(dup, B, ANY, "files", "descriptors that are passed on"),
    RARE(memfd_create, V, ANY, "memory of an engine that is opened late", "switching engines"),
    RULE(openat, P, ANY, "resolv.conf; images the monitor names"),
    RARE(unlink, P, ANY, "sockets that were listened on", "end of a unix: back end"),
    RARE(unlinkat, P, ANY, "sockets that were listened on", "end of a unix: back end"),
    RARE(faccessat2, P, ANY, "can an image be opened", "images the monitor names"),
    RARE(access, P, ANY, "can an image be opened", "images the monitor names"),
    RARE(readlink, P, ANY, "names of images", "images the monitor names"),
    RARE(getcwd, P, ANY, "names of images", "images the monitor names"),
    RARE(flock, B, ANY, "locks of images", "file systems without OFD locks"),
    RARE(fadvise64, B, ANY, "images", "images the monitor names"),
    RULE(socket, P, ANY, "the user network"),
    RULE(connect, P, ANY, "the user network"),
    RARE(bind, P, ANY, "the user network", "ports that the guest listens on"),
    RARE(listen, P, ANY, "the user network", "forwarded ports that the guest changes"),
    RULE(accept4, P, ANY, "monitor, consoles, forwarded ports"),
    RARE(accept, P, ANY, "forwarded ports", "libslirp's forwarded ports"),
    RULE(sendto, B, ANY, "the user network, monitor; images on a server"),
    RULE(recvfrom, B, ANY, "the user network, monitor; images on a server"),
    RARE(sendmsg, B, ANY, "sockets", "messages with several parts"),
    RARE(recvmsg, B, ANY, "sockets", "messages with several parts"),
    RARE(readv, B, ANY, "sockets and consoles", "messages with several parts"),
    RARE(writev, B, ANY, "sockets and consoles; abort's text", "messages with several parts"),
    RULE(setsockopt, P, ANY, "the user network"),
    RULE(getsockopt, P, ANY, "the user network"),
    RARE(getsockname, P, ANY, "the user network", "ports that the guest listens on"),
    RARE(getpeername, P, ANY, "the user network", "connections to forwarded ports"),
    RULE(shutdown, P, ANY, "the user network"),
    RARE(uname, P, ANY, "the user network's host name", "resolving"),
    RARE(sysinfo, P, ANY, "memory of the host", "sorting large arrays"),
    RARE(getuid, P, ANY, "who we are", "GLib's look at its environment"),
    RARE(geteuid, P, ANY, "who we are", "GLib's look at its environment"),
    RARE(getgid, P, ANY, "who we are", "GLib's look at its environment"),
    RARE(getegid, P, ANY, "who we are", "GLib's look at its environment"),
    RARE(getdents64, P, ANY, "images", "images the monitor names"),
    RARE(getrusage, B, ANY, "images on a server", "TLS, for its random numbers"),
    RARE(prlimit64, B, ANY, "size of a stack", "start of a thread"),
};
enum { RULES = sizeof(rules) / sizeof(rules[0]), PROGRAM_MAX = 8 * RULES + 16 };

static GQuark quark(void) { return g_quark_from_static_string("sandbox"); }

/* ---- the program ---- */

typedef struct Program { struct sock_filter f[PROGRAM_MAX]; unsigned short n; } Program;

static void emit(Program *p, uint16_t code, uint32_t k, unsigned jt, unsigned jf)
{
    p->f[p->n++] = (struct sock_filter){ code, (uint8_t)jt, (uint8_t)jf, k };
}

static void load(Program *p, size_t at) { emit(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)at, 0, 0); }
static void leave(Program *p, uint32_t what) { emit(p, BPF_RET | BPF_K, what, 0, 0); }
/* Low halves: the bits looked at are below 32 (little-endian hosts). */
static size_t arg(unsigned n) { return offsetof(struct seccomp_data, args) + 8 * n; }

/* The call matches: its arguments decide. Seven instructions at most. */
static void emit_check(Program *p, Check check)
{
    switch (check) {
    case NO_EXEC:
        load(p, arg(2));
        emit(p, BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1);
        leave(p, SECCOMP_RET_ERRNO | EACCES);
        break;
    case ONLY_NAME:
        load(p, arg(0));
        emit(p, BPF_JMP | BPF_JEQ | BPF_K, PR_SET_NAME, 3, 0);
        emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0x53564d41, 2, 0);  /* PR_SET_VMA: names of malloc's memory */
        emit(p, BPF_JMP | BPF_JEQ | BPF_K, PR_SET_NO_NEW_PRIVS, 1, 0);
        leave(p, SECCOMP_RET_TRAP);
        break;
    case THREADS:
        load(p, arg(0));
        emit(p, BPF_JMP | BPF_JSET | BPF_K, 0x10000, 1, 0);    /* CLONE_THREAD */
        leave(p, SECCOMP_RET_TRAP);
        break;
    case ANY:
        break;
    }
    leave(p, SECCOMP_RET_ALLOW);
}

static void build(Program *p, SandboxRole role)
{
    p->n = 0;
    load(p, offsetof(struct seccomp_data, arch));
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)ARCH, 1, 0);
    leave(p, SECCOMP_RET_KILL_PROCESS);
    load(p, offsetof(struct seccomp_data, nr));
    for (unsigned i = 0; i < RULES; i++) {
        if (!(rules[i].roles >> role & 1))
            continue;
        unsigned at = p->n;
        emit(p, BPF_JMP | BPF_JEQ | BPF_K, rules[i].nr, 0, 0);
        emit_check(p, (Check)rules[i].check);
        p->f[at].jf = (uint8_t)(p->n - at - 1);
    }
    leave(p, SECCOMP_RET_TRAP);
}

/* ---- what is refused ---- */

static const char *call_name(int nr)
{
    for (unsigned i = 0; i < RULES; i++)
        if (rules[i].nr == nr)
            return rules[i].name;
    return "?";
}

static size_t add(char *to, size_t at, const char *s)
{
    while (*s && at < 200)
        to[at++] = *s++;
    return at;
}

/* The call fails, the process goes on: a line says which, for the table is wrong, or somebody attacks. Safe in a signal handler. */
static void on_refused(int sig, siginfo_t *si, void *context)
{
    char line[256], digits[8];
    unsigned nr = (unsigned)si->si_syscall, n = 0;
    (void)sig;
    size_t at = add(line, 0, "tandem: the sandbox refused system call ");
    do
        digits[n++] = (char)('0' + nr % 10);
    while ((nr /= 10) && n < sizeof(digits));
    while (n)
        line[at++] = digits[--n];
    at = add(line, at, " (");
    at = add(line, at, call_name(si->si_syscall));
    at = add(line, at, "); please report it, -sandbox off avoids it\n");
    ssize_t r = write(STDERR_FILENO, line, at);
    (void)r;
    ucontext_t *uc = context;
#if defined(__x86_64__)
    uc->uc_mcontext.gregs[REG_RAX] = -EPERM;
#elif defined(__aarch64__)
    uc->uc_mcontext.regs[0] = (uint64_t)-EPERM;
#endif
}

/* ---- putting it on ---- */

static int install(SandboxRole role, unsigned flags)
{
    Program *p = g_new(Program, 1);
    build(p, role);
    struct sock_fprog prog = { .len = p->n, .filter = p->f };
    int r = 0;
    /* SPEC_ALLOW: without it older kernels slow down all that the process runs; guests are not kept apart within one process anyway. */
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || (r = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags | SECCOMP_FILTER_FLAG_SPEC_ALLOW, &prog)) < 0)
        r = -errno;
    g_free(p);
    return r;
}

const char *sandbox_missing(void)
{
    uint32_t trap = SECCOMP_RET_TRAP;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return "a sanitizer's build needs more system calls";
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    return "a sanitizer's build needs more system calls";
#endif
#endif
    if (!ARCH)
        return "not known on this kind of host";
    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &trap) < 0 ? "this kernel has no seccomp filters" : NULL;
}

/*
 * The first time that glibc gives memory of a thread back it reads /proc/sys/vm/overcommit_memory (sysdeps/unix/sysv/linux/malloc-sysdep.h), which a vCPU's
 * thread may not. It remembers the answer; so the first time is now.
 */
static void *give_memory_back(void *opaque)
{
    enum { N = 64, SIZE = 100000 };     /* each too small for a mapping of its own, together more than glibc keeps */
    void *volatile p[N];
    for (unsigned i = 0; i < N; i++)
        p[i] = g_malloc(SIZE);
    for (unsigned i = 0; i < N; i++)
        g_free(p[i]);
    return opaque;
}

bool sandbox_process(GError **err)
{
    g_thread_join(g_thread_new("malloc", give_memory_back, NULL));
    struct sigaction sa = { .sa_sigaction = on_refused, .sa_flags = SA_SIGINFO | SA_NODEFER };
    sigaction(SIGSYS, &sa, NULL);
    int r = install(SANDBOX_PROCESS, SECCOMP_FILTER_FLAG_TSYNC);
    if (r)
        g_set_error(err, quark(), 0, "the sandbox cannot be put on (%s); -sandbox off goes without", r > 0 ? "a thread has its own" : g_strerror(-r));
    return !r;
}

bool sandbox_thread(SandboxRole role)
{
    return !install(role, 0);
}

char *sandbox_table(void)
{
    static const char *const names[SANDBOX_ROLES] = { "process", "vcpu", "block" };
    GString *s = g_string_new(NULL);
    for (unsigned i = 0; i < RULES; i++) {
        const Rule *r = &rules[i];
        g_string_append_printf(s, "%-18s ", r->name);
        for (unsigned k = 0; k < SANDBOX_ROLES; k++)
            g_string_append_printf(s, "%s%s", r->roles >> k & 1 ? names[k] : "-", k + 1 < SANDBOX_ROLES ? "," : "");
        g_string_append_printf(s, "  %s%s%s%s\n", r->why, r->rare ? " (rare: " : "", r->rare ? r->rare : "", r->rare ? ")" : "");
    }
    return g_string_free(s, FALSE);
}
