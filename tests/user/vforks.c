/*
 * vforked children. What they write before they exit is the parent's, what they allocate too. Those that are killed at any moment, or die of themselves, many
 * times over: their parent, whose memory they share natively, must go on as if nothing had been. Each kind runs for a while; how often is not printed.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { KIND_MS = 300, WARM = 20000, MAX_DELAY_US = 1500 };
typedef struct Order { pid_t pid; unsigned delay_us; } Order;

static int orders[2];
static unsigned seed = 1;
static volatile unsigned sink;

static unsigned rnd(void) { return seed = seed * 1103515245 + 12345, seed >> 8; }

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void compute(unsigned times)
{
    for (unsigned n = 0; n < times; n++)
        sink = sink * 3 + n;
}

static void actions(unsigned times)
{
    struct sigaction sa = { .sa_handler = SIG_IGN };
    for (unsigned n = 0; n < times; n++)
        sigaction(n & 1 ? SIGUSR1 : SIGUSR2, &sa, NULL);
}

static void masks(unsigned times)
{
    sigset_t set;
    sigfillset(&set);
    for (unsigned n = 0; n < times; n++) {
        sigprocmask(SIG_BLOCK, &set, NULL);
        getppid();
    }
}

static void waits(unsigned times)
{
    struct timespec ts = { 0, 1000 };
    for (unsigned n = 0; n < times && n < 100; n++)
        nanosleep(&ts, NULL);
}

static int *volatile nowhere;

static void fault(unsigned times) { *nowhere = (int)times; }
static void ends(unsigned times) { (void)times; raise(SIGTERM); }

static const struct { const char *name; void (*fn)(unsigned times); int sig; } kinds[] = {
    { "computes", compute, SIGKILL }, { "sets signal actions", actions, SIGKILL }, { "sets masks", masks, SIGKILL }, { "waits", waits, SIGKILL },
    { "faults", fault, SIGSEGV }, { "ends itself", ends, SIGTERM },
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

/* What the parent does between its children: whatever they may have left broken is needed. */
static int works(void)
{
    struct sigaction sa = { .sa_handler = SIG_DFL }, old;
    int ok = !sigaction(SIGUSR1, &sa, &old) && old.sa_handler == SIG_DFL;
    char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    p[4096] = 1;
    return ok && !mprotect(p, 4096, PROT_READ) && !munmap(p, 8192);
}

/* @warm: so often before it may be killed. What the C library's malloc, or a translator that runs it for the child, is in the middle of then is lost for the parent. */
static int one(unsigned kind, unsigned warm)
{
    int status = 0;
    Order o = { 0, rnd() % MAX_DELAY_US };
    pid_t pid = vfork();
    if (!pid) {
        o.pid = getpid();
        kinds[kind].fn(warm);
        if (kinds[kind].sig == SIGKILL)
            (void)!write(orders[1], &o, sizeof(o));
        for (;;)
            kinds[kind].fn(1000);
    }
    return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == kinds[kind].sig && works();
}

static void all(const char *who)
{
    for (unsigned k = 0; k < KINDS; k++) {
        int ok = one(k, WARM);
        for (double end = now() + KIND_MS / 1e3; ok && now() < end;)
            ok = one(k, 0);
        printf("%s, a child that %s: %s\n", who, kinds[k].name, ok ? "ok" : "broken");
    }
}

/* ---- children that write and exit ---- */
enum { MANY = 300000 };
static volatile int error_of_child;
static char many[MANY];
extern char **environ;

static int ended(pid_t pid)
{
    int status = 0;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void failing(const char *who)
{
    char *args[] = { "none", NULL };
    volatile int local = 0;
    pid_t pid = vfork();
    if (!pid) {
        execve("/nonexistent/program", args, environ);
        error_of_child = errno;
        local = errno + 1;
        _exit(127);
    }
    int status = ended(pid);
    printf("%s, exec of nothing: %d, %s, %d\n", who, status, strcmp(who, "alone") ? "-" : strerror(error_of_child), local);
    error_of_child = 0;
    int e = posix_spawn(&pid, "/nonexistent/program", NULL, NULL, args, environ);
    printf("%s, spawn of nothing: %s\n", who, strerror(e));
    e = posix_spawn(&pid, "/bin/true", NULL, NULL, args, environ);
    printf("%s, spawn: %s, %d\n", who, strerror(e), ended(pid));
}

static void writes(void)
{
    volatile int n = 0;
    char *volatile heap = malloc(MANY);
    pid_t pid = vfork();
    if (!pid) {
        memset(many, 3, MANY);
        memset(heap, 4, MANY);
        n = 5;
        _exit(6);
    }
    int status = ended(pid);
    printf("writes: %d, %d %d %d %d %d\n", status, many[0], many[MANY - 1], heap[0], heap[MANY - 1], n);
    free(heap);
}

static void nested(void)
{
    volatile int inner = 0, outer = 0;
    pid_t pid = vfork();
    if (!pid) {
        pid_t child = vfork();
        if (!child) {
            inner = 7;
            _exit(8);
        }
        outer = ended(child);
        _exit(9);
    }
    int status = ended(pid);
    printf("a child's child: %d, %d %d\n", status, inner, outer);
}

static void closes(void)
{
    volatile int n = 0;
    struct timespec ts = { 0, 100000000 };
    pid_t pid = vfork();
    if (!pid) {
        for (int fd = 0; fd < 1024; fd++)
            close(fd);
        syscall(SYS_set_robust_list, &ts, 24);
        nanosleep(&ts, NULL);
        n = 3;
        _exit(4);
    }
    int status = ended(pid);
    printf("a child without files: %d, %d\n", status, n);
}

/* A stack in the middle of what another thread writes to all the time, as in a heap. */
enum { STACK = 256 << 10, BESIDE = 64, TIMES = 100 };
static int forks_over;

static void *forks(void *wrong)
{
    for (volatile int n = 0; n < TIMES; n++) {
        volatile int local = 0;
        pid_t pid = vfork();
        if (!pid) {
            local = n + 1;
            _exit(3);
        }
        *(int *)wrong += ended(pid) != 3 || local != n + 1;
    }
    __atomic_store_n(&forks_over, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void beside(void)
{
    char *area = mmap(NULL, STACK + BESIDE * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    volatile unsigned *counters = (volatile unsigned *)(void *)(area + STACK);
    pthread_t thread;
    pthread_attr_t attr;
    int wrong = 0, lost = 0;
    pthread_attr_init(&attr);
    pthread_attr_setstack(&attr, area, STACK);
    if (pthread_create(&thread, &attr, forks, &wrong))
        return;
    for (unsigned n = 0; !__atomic_load_n(&forks_over, __ATOMIC_ACQUIRE); n++)
        for (int k = 0; k < BESIDE; k++) {
            lost += counters[k * 1024] != n;
            counters[k * 1024] = n + 1;
        }
    pthread_join(thread, NULL);
    printf("what another thread writes beside the stack: %s, %d wrong\n", lost ? "lost" : "kept", wrong);
    munmap(area, STACK + BESIDE * 4096);
}

static void *spins(void *stop)
{
    while (!__atomic_load_n((int *)stop, __ATOMIC_ACQUIRE))
        free(malloc(1000));
    return NULL;
}

static void killer(void)
{
    Order o;
    while (read(orders[0], &o, sizeof(o)) == sizeof(o)) {
        struct timespec ts = { 0, (long)o.delay_us * 1000 };
        nanosleep(&ts, NULL);
        kill(o.pid, SIGKILL);
    }
    _exit(0);
}

int main(void)
{
    pthread_t other;
    int stop = 0;
    setvbuf(stdout, NULL, _IONBF, 0);
    failing("alone");
    writes();
    nested();
    closes();
    if (!pthread_create(&other, NULL, spins, &stop)) {
        failing("with a thread");
        __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
        pthread_join(other, NULL);
    }
    beside();
    (void)!pipe(orders);
    pid_t pid = fork();
    if (!pid) {
        close(orders[1]);
        killer();
    }
    all("alone");
    close(orders[1]);
    waitpid(pid, NULL, 0);
    return 0;
}
