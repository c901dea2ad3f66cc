/* Threads under contention, thread-local storage, robust mutexes, cancellation; prints sums that do not depend on timing. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { THREADS = 8, ROUNDS = 20000 };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static uint64_t plain;
static _Atomic uint64_t atom;
static _Atomic uint8_t bytes[4];
static __thread uint64_t local;
static int turn;

static void *work(void *arg)
{
    uintptr_t me = (uintptr_t)arg;
    pthread_barrier_wait(&barrier);
    for (unsigned n = 0; n < ROUNDS; n++) {
        pthread_mutex_lock(&lock);
        plain += me;
        pthread_mutex_unlock(&lock);
        atomic_fetch_add(&atom, me);
        atomic_fetch_xor(&bytes[n & 3], (uint8_t)me);
        uint64_t v = atomic_load(&atom);
        while (!atomic_compare_exchange_weak(&atom, &v, v + 1))
            ;
        local += me;
    }
    for (unsigned n = 0; n < 50; n++) {      /* in turn */
        pthread_mutex_lock(&lock);
        while (turn % THREADS != (int)me)
            pthread_cond_wait(&cond, &lock);
        turn++;
        pthread_cond_broadcast(&cond);
        pthread_mutex_unlock(&lock);
    }
    return (void *)(uintptr_t)local;
}

static pthread_mutex_t robust;
static void *dies_with_lock(void *arg) { (void)arg; pthread_mutex_lock(&robust); return NULL; }

static void *short_life(void *arg) { return arg; }

static void *sleeper(void *arg)
{
    (void)arg;
    for (;;)
        pause();
    return NULL;
}

static void *spinner(void *arg)
{
    (void)arg;
    for (;;)
        pthread_testcancel();
    return NULL;
}

int main(void)
{
    pthread_t t[THREADS];
    pthread_barrier_init(&barrier, NULL, THREADS);
    uint64_t sum = 0;
    for (uintptr_t n = 0; n < THREADS; n++)
        pthread_create(&t[n], NULL, work, (void *)n);
    for (unsigned n = 0; n < THREADS; n++) {
        void *r;
        pthread_join(t[n], &r);
        sum += (uintptr_t)r;
    }
    printf("mutex %llu atomic %llu local %llu turn %d bytes %d%d%d%d\n", (unsigned long long)plain, (unsigned long long)atom,
           (unsigned long long)sum, turn, bytes[0], bytes[1], bytes[2], bytes[3]);
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&robust, &attr);
    pthread_create(&t[0], NULL, dies_with_lock, NULL);
    pthread_join(t[0], NULL);
    int e = pthread_mutex_lock(&robust);
    printf("robust mutex of a dead thread: %s\n", e == EOWNERDEAD ? "EOWNERDEAD" : "?");
    void *r;
    pthread_create(&t[0], NULL, sleeper, NULL);
    pthread_create(&t[1], NULL, spinner, NULL);
    usleep(20000);
    pthread_cancel(t[0]);
    pthread_cancel(t[1]);
    pthread_join(t[0], &r);
    printf("cancelled %d", r == PTHREAD_CANCELED);
    pthread_join(t[1], &r);
    printf(" %d\n", r == PTHREAD_CANCELED);
    for (unsigned n = 0; n < 300; n++) {     /* many short lives */
        pthread_create(&t[0], NULL, short_life, NULL);
        pthread_join(t[0], NULL);
    }
    puts("done");
    return 0;
}
