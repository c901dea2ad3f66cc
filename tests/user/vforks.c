/*
 * vforked children that are killed at any moment, or die of themselves, many times over: their parent, whose memory they share, must go on as if nothing had
 * been. Each kind runs for a while; how often is not printed.
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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
    setvbuf(stdout, NULL, _IONBF, 0);
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
