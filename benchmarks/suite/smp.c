/* Two threads: on work of their own, on one counter, on one lock; interrupts between processors. */
#define _GNU_SOURCE
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "benchmarks/suite/suite.h"

#ifdef __x86_64__
#define cpu_relax() __builtin_ia32_pause()
#else
#define cpu_relax() ((void)0)
#endif

typedef struct Shared { pthread_mutex_t lock; uint64_t counter, plain, stop, ready; } Shared;
typedef struct Job { Shared *shared; uint64_t n, sum; void (*work)(struct Job *); unsigned cpu; } Job;

static void *thread(void *opaque)
{
    Job *job = opaque;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(job->cpu, &set);
    sched_setaffinity(0, sizeof(set), &set);    /* fails on one CPU: then they share it */
    __atomic_add_fetch(&job->shared->ready, 1, __ATOMIC_SEQ_CST);
    job->work(job);
    return NULL;
}

/* Two threads with half the work each; the sum of their results. */
static uint64_t two(uint64_t n, void (*work)(Job *), void (*second)(Job *))
{
    Shared shared = { .lock = PTHREAD_MUTEX_INITIALIZER };
    Job job[2] = { { &shared, n - n / 2, 0, work, 0 }, { &shared, n / 2, 0, second, 1 } };
    pthread_t id[2];
    for (unsigned i = 0; i < 2; i++)
        if (pthread_create(&id[i], NULL, thread, &job[i])) {
            perror("smp: pthread_create");
            return 0;
        }
    for (unsigned i = 0; i < 2; i++)
        pthread_join(id[i], NULL);
    return job[0].sum + job[1].sum + shared.counter + shared.plain;
}

static void work_alone(Job *job)
{
    uint64_t seed = 81;
    for (uint64_t i = 0; i < job->n; i++)
        job->sum += suite_random(&seed) >> (i & 31);
}

static uint64_t run_one(uint64_t n)
{
    Job job = { .n = n };
    work_alone(&job);
    return job.sum;
}

static void work_atomic(Job *job)
{
    for (uint64_t i = 0; i < job->n; i++)
        __atomic_add_fetch(&job->shared->counter, 1, __ATOMIC_SEQ_CST);
}

static void work_lock(Job *job)
{
    for (uint64_t i = 0; i < job->n; i++) {
        pthread_mutex_lock(&job->shared->lock);
        job->shared->plain++;
        pthread_mutex_unlock(&job->shared->lock);
    }
}

static void work_spin(Job *job)
{
    while (!__atomic_load_n(&job->shared->stop, __ATOMIC_RELAXED))
        cpu_relax();
}

/* MEMBARRIER_CMD_PRIVATE_EXPEDITED interrupts every CPU on which a thread of the process runs. */
static void work_barrier(Job *job)
{
    while (__atomic_load_n(&job->shared->ready, __ATOMIC_SEQ_CST) < 2)
        sched_yield();
    for (uint64_t i = 0; i < job->n; i++)
        job->sum += syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
    __atomic_store_n(&job->shared->stop, 1, __ATOMIC_SEQ_CST);
}

static uint64_t run_pair(uint64_t n) { return two(n, work_alone, work_alone); }
static uint64_t run_atomic(uint64_t n) { return two(n, work_atomic, work_atomic); }
static uint64_t run_lock(uint64_t n) { return two(n, work_lock, work_lock); }

static uint64_t run_ipi(uint64_t n)
{
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0)) {
        perror("smp: membarrier");
        return 0;
    }
    return two(2 * n, work_barrier, work_spin);
}

const Workload suite_smp[] = {
    { "smp-one", "smp", 50000000, run_one, "smp", "the work of smp-pair by one thread" },
    { "smp-pair", "smp", 50000000, run_pair, "smp", "independent integer work by two threads" },
    { "smp-atomic", "smp", 12000000, run_atomic, "smp", "an atomic addition; two threads on one counter" },
    { "smp-mutex", "smp", 1000000, run_lock, "smp", "a mutex taken and given back by two threads" },
    { "ipi", "exits", 5000, run_ipi, "smp", "an interrupt to the other processor and its answer (membarrier)" },
    { 0 },
};
