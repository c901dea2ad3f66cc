/*
 * The driver of the workloads.
 *   suite list                 name, class, n, needs, what; tab separated
 *   suite run NAME [N [TIMES]] one workload, TIMES over: "BENCH name n wall-seconds CPU-seconds checksum"
 *   suite serve                the same for each line "NAME N TIMES" of the standard input, in a process each, after "BENCH-READY"
 *   suite true                 nothing: what forkexec runs
 * CPU seconds are those of this process and its children; benchmarks/run takes its own for a machine.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "benchmarks/suite/suite.h"

/* The round trip of a command alone, which benchmarks/run takes off. */
static uint64_t run_nothing(uint64_t n) { return n; }

static const Workload base[] = { { "nothing", "base", 1, run_nothing, "", "a command and its answer" }, { 0 } };
static const Workload *const lists[] = { base, suite_integer, suite_dispatch, suite_lua, suite_float, suite_single, suite_fused, suite_x87,
    suite_simd, suite_vector, suite_crypto, suite_string, suite_movs, suite_jit, suite_kernel, suite_smp, suite_exits };
enum { N_LISTS = sizeof(lists) / sizeof(lists[0]) };

static double clock_s(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double children_s(void)
{
    struct rusage u;
    getrusage(RUSAGE_CHILDREN, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static double cpu_s(void) { return clock_s(CLOCK_PROCESS_CPUTIME_ID) + children_s(); }

static const Workload *find(const char *name)
{
    for (unsigned k = 0; k < N_LISTS; k++)
        for (const Workload *w = lists[k]; w && w->name; w++)
            if (!strcmp(w->name, name))
                return w;
    return NULL;
}

static int list(void)
{
    for (unsigned k = 0; k < N_LISTS; k++)
        for (const Workload *w = lists[k]; w && w->name; w++)
            printf("%s\t%s\t%" PRIu64 "\t%s\t%s\n", w->name, w->class, w->n, w->needs, w->what);
    return 0;
}

/* Each of the @times has to give the same sum. */
static int run(const char *name, uint64_t n, uint64_t times)
{
    const Workload *w = find(name);
    if (!w) {
        fprintf(stderr, "suite: no workload \"%s\"\n", name);
        return 1;
    }
    if (!n)
        n = w->n;
    double wall = clock_s(CLOCK_MONOTONIC), cpu = cpu_s();
    uint64_t sum = w->run(n);
    for (uint64_t i = 1; i < times; i++)
        if (w->run(n) != sum) {
            fprintf(stderr, "suite: %s: another result the %" PRIu64 ". time\n", name, i + 1);
            return 1;
        }
    cpu = cpu_s() - cpu;
    wall = clock_s(CLOCK_MONOTONIC) - wall;
    printf("BENCH %s %" PRIu64 " %.6f %.6f %" PRIx64 "\n", name, n, wall, cpu, sum);
    return 0;
}

/* In a process of its own: what a workload leaves behind (a bigger heap to fork, say) is not the next one's. */
static void run_apart(const char *name, uint64_t n, uint64_t times)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        status = run(name, n, times);
        fflush(stdout);
        _exit(status);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status)
        printf("BENCH-ERROR %s %" PRIu64 " 0 0 %x\n", name, n, (unsigned)status);
    fflush(stdout);
}

static int serve(void)
{
    char line[128], name[64];
    struct termios t;
    if (!tcgetattr(0, &t)) {
        t.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(0, TCSANOW, &t);
    }
    printf("BENCH-READY\n");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        uint64_t n = 0, times = 1;
        if (sscanf(line, "%63s %" SCNu64 " %" SCNu64, name, &n, &times) < 1)
            continue;
        if (!strcmp(name, "end"))
            break;
        run_apart(name, n, times);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "true"))
        return 0;
    if (argc == 2 && !strcmp(argv[1], "list"))
        return list();
    if (argc == 2 && !strcmp(argv[1], "serve"))
        return serve();
    if (argc >= 3 && argc <= 5 && !strcmp(argv[1], "run"))
        return run(argv[2], argc > 3 ? strtoull(argv[3], NULL, 0) : 0, argc > 4 ? strtoull(argv[4], NULL, 0) : 1);
    fprintf(stderr, "usage: suite list | run NAME [N [TIMES]] | serve\n");
    return 2;
}
