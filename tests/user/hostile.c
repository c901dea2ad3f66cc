/*
 * Every system call with arguments that no program would pass: what each returns, a line a call. Run as root it becomes nobody first. A child a call, so that
 * what a call does to its process ends there; @names: the calls of this CPU, generated from <sys/syscall.h>.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include SYSCALL_NAMES

enum { TRIES = 48, ARENA = 1 << 16, ARENA_AT = 0x20000000, PATIENCE = 3000 /* of 10 ms */ };

/* They end the caller or others, or what they do is not in their result. */
static const char *const left_out[] = {
    "exit", "exit_group", "fork", "vfork", "clone", "clone3", "rt_sigreturn", "sigreturn", "kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_send_signal",
    "reboot", "vhangup", "seccomp", "personality", "brk", "munmap", "mmap", "mmap2", "mremap", "mprotect", "pkey_mprotect", "pkey_alloc", "pkey_free", "remap_file_pages", "madvise", "process_madvise",
    "shmat", "shmget", "shmctl", "semget", "semctl", "semop", "semtimedop", "semtimedop_time64", "msgget", "msgsnd", "msgrcv", "msgctl", "munlockall", "mlockall", "ipc", "set_thread_area", "setpgid", "setsid", "getrandom", "fanotify_init", "sync", "syncfs", "rseq", "socketcall", "nice", "syscalls",
    "setrlimit", "prlimit64", "set_mempolicy", "mbind", "migrate_pages", "move_pages", "sched_yield", "arch_specific_syscall", "add_key", "request_key", "keyctl", "inotify_init", "inotify_init1", /* quotas of a user */ "ssetmask", "sigsuspend", "pause", "alarm", "setitimer", "rt_sigprocmask", "sigprocmask", "mseal", "map_shadow_stack",
};

typedef struct Shared { int result[TRIES]; } Shared;
static Shared *shared;
static uint8_t *arena;         /* zeros, ones, read-only, no access, then nothing */
static uint32_t rng;

static uint32_t draw(uint32_t n)
{
    rng = rng * 1664525 + 1013904223;
    return (rng >> 8) % n;
}

static long value(void)
{
    static const long plain[] = { 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 40, -1, 64, 4096, 0x7fffffff, (long)0x80000000u, -4096, 0x1000 };
    uint32_t n = draw(40);
    long base = (long)(uintptr_t)arena;
    switch (n) {
    case 0: case 1: case 2: return base;
    case 3: case 4: return base + ARENA;              /* ones */
    case 5: return base + 2 * ARENA;                  /* read only */
    case 6: return base + 3 * ARENA;                  /* no access */
    case 7: case 8: return base + 4 * ARENA;          /* not mapped */
    case 9: case 10: return base + 3 * ARENA - 4;     /* four bytes, the rest not */
    case 11: return base + 2 * ARENA + 64;            /* "/dev/null" */
    case 12: return base + 2 * ARENA + 128;           /* "." */
    case 13: return base + 2 * ARENA + 192;           /* "/nothing/there" */
    case 14: return base + 2 * ARENA + 8192;          /* a name of 5000 letters */
    case 15: return (long)(1ul << (sizeof(long) * 8 - 1));
    case 16: return base + 1;
    default: return plain[n % (sizeof(plain) / sizeof(plain[0]))];
    }
}

static void nothing(int sig) { (void)sig; }

static void set_up(void)
{
    int fds[2];
    struct sigaction sa = { .sa_handler = nothing };
    struct itimerval it = { { 0, 30000 }, { 0, 30000 } };
    for (int fd = 0; fd < 20; fd++)
        close(fd);
    open("/dev/null", O_RDWR);
    dup(0);
    dup(0);
    pipe2(fds, O_NONBLOCK);
    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds);
    open("/", O_RDONLY | O_DIRECTORY);
    ftruncate(memfd_create("file", 0), 10000);
    epoll_create1(0);
    eventfd(0, EFD_NONBLOCK);
    timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    arena = mmap((void *)ARENA_AT, 5 * ARENA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    uint8_t *ro = arena + 2 * ARENA;
    memcpy(ro + 64, "/dev/null", sizeof("/dev/null"));
    memcpy(ro + 128, ".", sizeof("."));
    memcpy(ro + 192, "/nothing/there", sizeof("/nothing/there"));
    memset(ro + 8192, 'x', 5000);
    mprotect(ro, ARENA, PROT_READ);
    mprotect(arena + 3 * ARENA, ARENA, PROT_NONE);
    munmap(arena + 4 * ARENA, ARENA);
    sigaction(SIGALRM, &sa, NULL);
    setitimer(ITIMER_REAL, &it, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void tries(const char *name, long nr)
{
    rng = 12345;
    for (const char *c = name; *c; c++)
        rng = rng * 31 + (uint8_t)*c;
    set_up();
    for (int n = 0; n < TRIES; n++) {
        long a[6];
        memset(arena, 0, ARENA);
        memset(arena + ARENA, 0xff, ARENA);
        for (int k = 0; k < 6; k++)
            a[k] = value();
        if (getenv("HOSTILE_SHOW"))
            dprintf(100, "%s %d: %lx %lx %lx %lx %lx %lx\n", name, n, a[0], a[1], a[2], a[3], a[4], a[5]);
        long r = syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
        shared->result[n] = r == -1 && errno != EINTR ? errno : 0;
    }
    _exit(0);
}

static void one(const char *name, long nr)
{
    int status;
    for (unsigned n = 0; n < sizeof(left_out) / sizeof(left_out[0]); n++)
        if (!strcmp(left_out[n], name))
            return;
    memset(shared, 0xff, sizeof(*shared));
    fflush(stdout);
    pid_t pid = fork();
    if (!pid)
        tries(name, nr);
    for (int n = 0; waitpid(pid, &status, WNOHANG) == 0; n++) {
        usleep(n < 100 ? 500 : 10000);
        if (n == PATIENCE)
            kill(pid, SIGKILL);
    }
    printf("%s", name);
    for (int n = 0; n < TRIES; n++)
        printf(" %d", shared->result[n]);
    if (WIFSIGNALED(status))
        printf(" signal %d", WTERMSIG(status));
    printf("\n");
}

int main(int argc, char **argv)
{
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (getenv("HOSTILE_SHOW"))
        dup2(2, 100);
    if (!getuid() && (setgid(65534) || setuid(65534)))
        return 77;
    setpgid(0, 0);
    setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
    for (unsigned n = 0; n < sizeof(names) / sizeof(names[0]); n++)
        if (argc < 2 || !strcmp(names[n].name, argv[1]))
            one(names[n].name, names[n].nr);
    return 0;
}
