/* mmap with its flags, code that is written at run time, the break; prints what a program can rely on. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096 };

#ifdef __x86_64__
typedef int Fn(void);
static void emit(uint8_t *at, int v)
{
    uint8_t code[6] = { 0xb8, 0, 0, 0, 0, 0xc3 };      /* mov eax, v; ret */
    memcpy(code + 1, &v, 4);
    memcpy(at, code, sizeof(code));
}

static void code(void)
{
    uint8_t *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int sum = 0;
    for (int n = 0; n < 200; n++) {          /* rewritten in place */
        emit(p, n);
        sum += ((Fn *)(uintptr_t)p)();
    }
    printf("rewritten code: %d\n", sum);
    sum = 0;
    for (int n = 0; n < 100; n++) {          /* W^X */
        mprotect(p, PAGE, PROT_READ | PROT_WRITE);
        emit(p + 64, n * 3);
        mprotect(p, PAGE, PROT_READ | PROT_EXEC);
        sum += ((Fn *)(uintptr_t)(p + 64))();
    }
    printf("by mprotect: %d\n", sum);
    for (int n = sum = 0; n < 20; n++) {     /* key -1 is none */
        if (syscall(SYS_pkey_mprotect, p, PAGE, PROT_READ | PROT_WRITE, -1))
            break;
        emit(p, n);
        if (syscall(SYS_pkey_mprotect, p, PAGE, PROT_READ | PROT_EXEC, -1))
            break;
        sum += ((Fn *)(uintptr_t)p)();
    }
    printf("by mprotect with keys: %d, one that nobody has: %d\n", sum, (int)syscall(SYS_pkey_mprotect, p, PAGE, PROT_READ, 14));
    mprotect(p, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
    emit(p, 11);
    int a = ((Fn *)(uintptr_t)p)();
    FILE *f = tmpfile();
    uint8_t file[PAGE] = { 0 };
    emit(file, 22);
    fwrite(file, PAGE, 1, f);
    fflush(f);
    lseek(fileno(f), 0, SEEK_SET);
    int got = (int)read(fileno(f), p, PAGE);           /* the kernel writes over code */
    int b = ((Fn *)(uintptr_t)p)();
    emit(file, 33);
    pwrite(fileno(f), file, PAGE, 0);
    mmap(p, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fileno(f), 0);
    int c = ((Fn *)(uintptr_t)p)();
    printf("read over code: %d, %d then %d, mapped over it %d\n", got, a, b, c);
    fclose(f);
    /* an instruction that changes the next one */
    static const uint8_t self[] = { 0xc6, 0x05, 1, 0, 0, 0, 77, 0xb8, 1, 0, 0, 0, 0xc3 };   /* movb [rip+1], 77; mov eax, 1; ret */
    mprotect(p + PAGE, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
    memcpy(p + PAGE, self, sizeof(self));
    printf("changes its own next instruction: %d\n", ((Fn *)(uintptr_t)(p + PAGE))());
    munmap(p, 2 * PAGE);
}

/* One thread calls, the other rewrites an aligned immediate: every value that was ever there may be seen, the last one must. */
static uint8_t *shared;
static _Atomic int stop;
static void *writer(void *arg)
{
    (void)arg;
    for (int n = 0; n < 2000; n++) {
        *(_Atomic uint32_t *)(shared + 4) = (uint32_t)n;
        atomic_thread_fence(memory_order_seq_cst);
    }
    *(_Atomic uint32_t *)(shared + 4) = 999999;
    stop = 1;
    return NULL;
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* So often that watching the page does not pay, then long enough not at all that it does; again and again. */
static void often(void)
{
    static const uint8_t self[] = { 0x40, 0x88, 0x3d, 1, 0, 0, 0, 0xb8, 1, 0, 0, 0, 0xc3 };   /* mov [rip+1], dil; mov eax, 1; ret */
    typedef int Fn1(int);
    uint8_t *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    volatile uint64_t *data = (volatile uint64_t *)(void *)(p + 2048);
    int bad = 0;
    memcpy(p, self, sizeof(self));
    for (int64_t round = 0, end = now_ms() + 450; round < 3 || now_ms() < end; round++) {
        for (int n = 0; n < 2000; n++) {
            bad += ((Fn1 *)(uintptr_t)p)(n) != (n & 0xff);
            emit(p + 64, n);
            bad += ((Fn *)(uintptr_t)(p + 64))() != n;
            emit(p + PAGE - 3, n);     /* across two pages */
            bad += ((Fn *)(uintptr_t)(p + PAGE - 3))() != n;
            *data = (uint64_t)n;
        }
        for (int n = 0; n < 20000; n++)
            bad += ((Fn *)(uintptr_t)(p + 64))() != 1999;
    }
    munmap(p, 2 * PAGE);
    printf("code written often: %d wrong\n", bad);
}

static void cross(void)
{
    static const uint8_t start[] = { 0x90, 0x90, 0x90, 0xb8, 0, 0, 0, 0, 0xc3 };
    pthread_t t;
    int bad = 0, v = 0;
    shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(shared, start, sizeof(start));
    pthread_create(&t, NULL, writer, NULL);
    while (!stop) {
        v = ((Fn *)(uintptr_t)shared)();
        bad += v != 999999 && (v < 0 || v >= 2000);
    }
    pthread_join(t, NULL);
    printf("another thread's code: last %d, bad %d\n", ((Fn *)(uintptr_t)shared)(), bad);
}
#else
static void code(void) {}
static void cross(void) {}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

typedef int Fn(void);
static void emit(uint8_t *at, int v)
{
#if defined(__aarch64__)
    uint32_t code[] = { 0x52800000 | (uint32_t)v << 5, 0xd65f03c0 };     /* mov w0, v; ret */
    memcpy(at, code, sizeof(code));
#elif defined(__riscv)
    uint32_t code[] = { 0x00000513 | (uint32_t)v << 20, 0x00008067 };    /* li a0, v; ret */
    memcpy(at, code, sizeof(code));
#else
    uint8_t code[6] = { 0xb8, (uint8_t)v, (uint8_t)(v >> 8), 0, 0, 0xc3 };      /* mov eax, v; ret */
    memcpy(at, code, sizeof(code));
#endif
    __builtin___clear_cache((char *)at, (char *)at + 8);
}

static void often(void)
{
    uint8_t *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    volatile uint64_t *data = (volatile uint64_t *)(void *)(p + 2048);
    int bad = 0;
    for (int64_t round = 0, end = now_ms() + 450; round < 3 || now_ms() < end; round++) {
        for (int n = 0; n < 2000; n++) {
            emit(p + 64, n);
            bad += ((Fn *)(uintptr_t)(p + 64))() != n;
            *data = (uint64_t)n;
        }
        for (int n = 0; n < 20000; n++)
            bad += ((Fn *)(uintptr_t)(p + 64))() != 1999;
    }
    munmap(p, PAGE);
    printf("code written often: %d wrong\n", bad);
}
#endif

/* @r was evaluated before: errno is its. */
static void say(const char *what, long r) { printf("%s: %ld %s\n", what, r, r == -1 ? strerror(errno) : "ok"); }

static void maps(void)
{
    uint8_t *map = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(map, 5, 8 * PAGE);
    munmap(map + 2 * PAGE, PAGE);
    uint8_t *q = mmap(map + 2 * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    printf("hole filled: %d, zero %d\n", q == map + 2 * PAGE, q[0] == 0);
    q = mmap(map, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    say("no replace", q == MAP_FAILED ? -1 : 0);
    q = mremap(map, 8 * PAGE, 16 * PAGE, MREMAP_MAYMOVE);
    printf("mremap: %d, content %d\n", q != MAP_FAILED, q[7 * PAGE] == 5 && q[8 * PAGE] == 0);
    say("mprotect of nothing", mprotect(q + 64 * PAGE, 0, PROT_READ));
    say("munmap", munmap(q, 16 * PAGE));
    say("munmap again", munmap(q, 16 * PAGE));
    say("length 0", munmap(q, 0));
    say("unaligned", mmap(q + 1, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED ? -1 : 0);
    uint8_t *start = sbrk(0), *more = sbrk(1 << 20);
    memset(more, 1, 1 << 20);
    printf("break: %d, back %d\n", start == more, sbrk(-(1 << 20)) == start + (1 << 20) && sbrk(0) == start);
    int fd = -1;
    void *volatile nowhere = (void *)16;
    say("bad file", mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED ? -1 : 0);
    fflush(stdout);
    int p[2];
    (void)!pipe(p);
    say("write(2) of nowhere", (long)write(p[1], nowhere, 1));
    /* What cannot be mapped leaves nothing behind where there was nothing. */
    map = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(map + PAGE, 2 * PAGE);
    munmap(map + 4 * PAGE, PAGE);
    say("pipe mapped", mmap(map, 8 * PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, p[0], 0) == MAP_FAILED ? -1 : 0);
    q = mmap(map + PAGE, 2 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    say("the first hole", q == map + PAGE ? 0 : -1);
    q = mmap(map + 4 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    say("the second hole", q == map + 4 * PAGE ? 0 : -1);
}

static sigjmp_buf jump;
static void jump_out(int sig) { siglongjmp(jump, sig); }

/* Many that are small. */
static void pages(void)
{
    int failed = 0;
    for (int n = 0; n < 300; n++)
        failed += mmap(NULL, PAGE, n & 1 ? PROT_READ : PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
    printf("pages: %d failed\n", failed);
}

/* Where nobody, a new thread or an emulator, maps anything into the hole that a mapping is to grow in. */
static void *const far_away = sizeof(void *) == 8 ? (void *)(UINTPTR_MAX / 0x200000) : NULL;

/* A mapping that grows down, as far as the next one's gap. */
static void grows(void)
{
    enum { ROOM = 1024, KEEP = 1000, GAP = 256 };
    uint8_t *all = mmap(far_away, ROOM * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(all + PAGE, (KEEP - 1) * PAGE);             /* below: one page that stays */
    volatile uint8_t *low = mmap(all + KEEP * PAGE, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1, 0);
    unsigned sum = 0;
    low[0] = 1;
    for (int n = 1; n < 200; n++)
        low[-n * PAGE + n] = (uint8_t)n;
    for (int n = 1; n < 200; n++)
        sum += low[-n * PAGE + n];
    printf("grown: %u\n", sum);
    low[-600 * PAGE] = 3;
    printf("at once: %d %d\n", low[-600 * PAGE], low[-599 * PAGE]);
    signal(SIGSEGV, jump_out);
    if (!sigsetjmp(jump, 1)) {
        low[-(KEEP - GAP / 2) * PAGE] = 1;
        printf("into the gap\n");
    } else {
        printf("no further\n");
    }
    signal(SIGSEGV, SIG_DFL);
    say("given back", munmap(all, ROOM * PAGE));
    unsigned char state[4];
    say("nothing left", mincore(all + KEEP * PAGE - 599 * PAGE, PAGE, state));
#ifdef MAP_32BIT
    void *here = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    if ((uintptr_t)here >> 31 && sizeof(here) == 8)
        printf("high address\n");
#endif
}

/* Two threads at a time on a page that is not there yet. */
enum { STEPS = 300 };
static uint8_t *steps_top;
static int steps_at;

static void *steps(void *which)
{
    while (!__atomic_load_n(&steps_top, __ATOMIC_SEQ_CST))
        sched_yield();
    for (int n = 1; n <= STEPS; n++) {
        __atomic_add_fetch(&steps_at, 1, __ATOMIC_SEQ_CST);
        while (__atomic_load_n(&steps_at, __ATOMIC_SEQ_CST) < 2 * n)
            if (n % 4)
                sched_yield();
        *(volatile uint8_t *)(steps_top - n * PAGE + (intptr_t)which) = 1;
    }
    return NULL;
}

static void grows_for_two(void)
{
    enum { ROOM = 1024 };
    pthread_t other;
    unsigned sum = 0;
    if (pthread_create(&other, NULL, steps, (void *)8))
        return;
    uint8_t *all = mmap(far_away, ROOM * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(all + PAGE, (ROOM - 2) * PAGE);
    uint8_t *top = mmap(all + (ROOM - 1) * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1, 0);
    __atomic_store_n(&steps_top, top, __ATOMIC_SEQ_CST);
    steps(NULL);
    pthread_join(other, NULL);
    for (int n = 1; n <= STEPS; n++)
        sum += steps_top[-n * PAGE] + steps_top[-n * PAGE + 8];
    printf("grown for two: %u\n", sum);
    munmap(all, ROOM * PAGE);
}

int main(void)
{
    maps();
    pages();
    grows();
    grows_for_two();
    code();
    often();
    cross();
    return 0;
}
