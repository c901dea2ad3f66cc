/*
 * Loops of atomic operations that were translated while nobody else could see the program's memory go on when somebody can: a thread, and another process by way
 * of each kind of shared memory. Every count is exact.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 80000, COUNTERS = 8 };
typedef struct Shared { uint64_t n[COUNTERS]; uint32_t lock, small; uint8_t byte; uint32_t ready; } Shared;

static __attribute__((noinline)) void work(volatile Shared *s)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        __atomic_fetch_add(&s->n[0], 3, __ATOMIC_SEQ_CST);
        __atomic_fetch_xor(&s->n[1], 1ull << (i & 63), __ATOMIC_SEQ_CST);
        uint64_t old = s->n[2];
        while (!__atomic_compare_exchange_n(&s->n[2], &old, old * 3 + 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            ;
        while (__atomic_exchange_n(&s->lock, 1, __ATOMIC_ACQUIRE))
            ;
        s->n[3]++;
        __atomic_store_n(&s->lock, 0, __ATOMIC_RELEASE);
        __atomic_sub_fetch(&s->small, 1, __ATOMIC_SEQ_CST);
        __atomic_fetch_add(&s->byte, 1, __ATOMIC_SEQ_CST);
    }
}

/* Both at once, as far as there are processors. */
static void together(volatile Shared *s)
{
    __atomic_add_fetch(&s->ready, 1, __ATOMIC_SEQ_CST);
    for (unsigned turn = 0; __atomic_load_n(&s->ready, __ATOMIC_SEQ_CST) < 2 && turn < 1000000; turn++)
        if (turn % 64 == 0)
            usleep(10);
    work(s);
}

static void *other(void *s)
{
    together(s);
    return NULL;
}

static uint64_t chain(void)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < 2 * ROUNDS; i++)
        v = v * 3 + 1;
    return v;
}

static void check(const char *how, volatile Shared *s)
{
    printf("%s: %d %d %d %d %d %d\n", how, s->n[0] == 6 * ROUNDS, s->n[1] == 0, s->n[2] == chain(), s->n[3] == 2 * ROUNDS, s->small == (uint32_t)(-2 * ROUNDS),
           s->byte == (uint8_t)(2 * ROUNDS));
}

static void with_process(const char *how, volatile Shared *s)
{
    pid_t pid = fork();
    together(s);
    if (!pid)
        _exit(0);
    waitpid(pid, NULL, 0);
    check(how, s);
}

static void thread(void)
{
    static Shared s;
    pthread_t t;
    if (pthread_create(&t, NULL, other, &s))
        return;
    together(&s);
    pthread_join(t, NULL);
    check("thread", &s);
}

static void anonymous(void)
{
    with_process("shared mapping", mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
}

static void made_writable(void)
{
    void *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    mprotect(p, 4096, PROT_READ | PROT_WRITE);
    with_process("shared mapping, writable later", p);
}

static void system_v(void)
{
    int id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
    void *p = shmat(id, NULL, 0);
    shmctl(id, IPC_RMID, NULL);
    with_process("segment", p);
}

/* Each begins alone: in a child. */
int main(void)
{
    static void (*const all[])(void) = { thread, anonymous, made_writable, system_v };
    static Shared mine;
    for (unsigned n = 0; n < sizeof(all) / sizeof(all[0]); n++) {
        work(&mine);
        fflush(stdout);
        pid_t pid = fork();
        if (!pid) {
            work(&mine);
            all[n]();
            fflush(stdout);
            _exit(0);
        }
        waitpid(pid, NULL, 0);
    }
    printf("alone: %d\n", mine.n[3] == 4 * ROUNDS);
    return 0;
}
