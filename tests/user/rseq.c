/*
 * Restartable sequences (rseq(2)): registration and its errors, a section that a signal interrupts, a counter for each CPU that more threads than there are
 * CPUs raise without atomics, and the CPU number of a thread that may run on one CPU only. Each thread registers an area of its own in place of the C library's.
 */
#include <errno.h>
#include <linux/rseq.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if __has_include(<sys/rseq.h>)
#include <sys/rseq.h>
#endif

enum { SIG = 0x53053053, LEN = 32, THREADS = 7, MAX_CPUS = 1024 };
typedef struct Area { uint32_t cpu_id_start, cpu_id; uint64_t cs; uint32_t flags, node_id, mm_cid, pad; } __attribute__((aligned(32))) Area;
static __thread Area area;

static int call(void *at, uint32_t len, int flags, uint32_t sig)
{
    errno = 0;
    return (int)syscall(SYS_rseq, at, len, flags, sig);
}

static void drop_library(void)
{
#ifdef RSEQ_SIG
    if (__rseq_size)
        for (uint32_t len = LEN; len < 512; len += 32)
            if (!call((uint8_t *)__builtin_thread_pointer() + __rseq_offset, len, RSEQ_FLAG_UNREGISTER, RSEQ_SIG))
                return;
#endif
}

static int enter(void)
{
    drop_library();
    return call(&area, LEN, 0, SIG);
}

/* One more in counter[CPU], after a while, given up when disturbed: false. spin: never ends by itself. */
#if defined(__x86_64__)
#define DESC(name) ".pushsection .data.rseq, \"aw\"\n .balign 32\n" name ": .long 0, 0\n .quad 1f, 2f - 1f, 4f\n .popsection\n"
#define ABORT "jmp 5f\n .long 0x53053053\n 4: mov $0, %[ok]\n 5:\n"
static bool add(uint64_t *counter, uint32_t cpu)
{
    int ok = 1;
    __asm__ volatile(DESC("3") "lea 3b(%%rip), %%rax\n mov %%rax, %[cs]\n 1: cmp %[cpu], %[id]\n jne 4f\n mov (%[c]), %%rax\n mov $500, %%ecx\n 6: dec %%ecx\n jnz 6b\n inc %%rax\n mov %%rax, (%[c])\n 2:\n" ABORT
                     : [ok] "+r"(ok), [cs] "=m"(area.cs) : [cpu] "r"(cpu), [id] "m"(area.cpu_id), [c] "r"(&counter[cpu]) : "rax", "rcx", "memory", "cc");
    return ok;
}
static bool spin(void)
{
    int ok = 1;
    __asm__ volatile(DESC("3") "lea 3b(%%rip), %%rax\n mov %%rax, %[cs]\n 1: jmp 1b\n 2:\n" ABORT : [ok] "+r"(ok), [cs] "=m"(area.cs) : : "rax", "memory");
    return ok;
}
#elif defined(__aarch64__) || (defined(__riscv) && __riscv_xlen == 64)
#define DESC ".pushsection .data.rseq, \"aw\"\n .balign 32\n 3: .long 0, 0\n .quad 1f, 2f - 1f, 4f\n .popsection\n"
#ifdef __aarch64__
#define SET "adrp x9, 3b\n add x9, x9, :lo12:3b\n str x9, %[cs]\n"
#define ABORT "b 5f\n .inst 0x53053053\n 4: mov %w[ok], #0\n 5:\n"
#define ADD "ldr w9, %[id]\n cmp w9, %w[cpu]\n b.ne 4f\n ldr x9, [%[c]]\n mov w10, #500\n 6: subs w10, w10, #1\n b.ne 6b\n add x9, x9, #1\n str x9, [%[c]]\n"
#define SPIN "b 1b\n"
#define TEMP "x9", "x10"
#else
#define SET "la t0, 3b\n sd t0, %[cs]\n"
#define ABORT "j 5f\n .word 0x53053053\n 4: li %[ok], 0\n 5:\n"
#define ADD "lw t0, %[id]\n sext.w t1, %[cpu]\n bne t0, t1, 4f\n ld t0, 0(%[c])\n li t1, 500\n 6: addi t1, t1, -1\n bnez t1, 6b\n  addi t0, t0, 1\n sd t0, 0(%[c])\n"
#define SPIN "j 1b\n"
#define TEMP "t0", "t1"
#endif
static bool add(uint64_t *counter, uint32_t cpu)
{
    int ok = 1;
    __asm__ volatile(DESC SET "1:\n" ADD "2:\n" ABORT : [ok] "+r"(ok), [cs] "=m"(area.cs) : [cpu] "r"(cpu), [id] "m"(area.cpu_id), [c] "r"(&counter[cpu]) : TEMP, "memory", "cc");
    return ok;
}
static bool spin(void)
{
    int ok = 1;
    __asm__ volatile(DESC SET "1:\n" SPIN "2:\n" ABORT : [ok] "+r"(ok), [cs] "=m"(area.cs) : : TEMP, "memory");
    return ok;
}
#elif defined(__i386__)
#define DESC ".pushsection .data.rseq, \"aw\"\n .balign 32\n 3: .long 0, 0\n .long 1f, 0, 2f - 1f, 0, 4f, 0\n .popsection\n"
#define ABORT "jmp 5f\n .long 0x53053053\n 4: movl $0, %[ok]\n 5:\n"
static bool add(uint64_t *counter, uint32_t cpu)
{
    int ok = 1;
    __asm__ volatile(DESC "movl $3b, %[cs]\n 1: cmp %[cpu], %[id]\n jne 4f\n mov (%[c]), %%eax\n mov $500, %%ecx\n 6: dec %%ecx\n jnz 6b\n inc %%eax\n mov %%eax, (%[c])\n 2:\n" ABORT
                     : [ok] "+r"(ok), [cs] "=m"(area.cs) : [cpu] "r"(cpu), [id] "m"(area.cpu_id), [c] "r"(&counter[cpu]) : "eax", "ecx", "memory", "cc");
    return ok;
}
static bool spin(void)
{
    int ok = 1;
    __asm__ volatile(DESC "movl $3b, %[cs]\n 1: jmp 1b\n 2:\n" ABORT : [ok] "+r"(ok), [cs] "=m"(area.cs) : : "memory");
    return ok;
}
#endif

static volatile sig_atomic_t handled;
static void on_alarm(int sig) { (void)sig; handled++; }

static void interrupted(void)
{
    /* again and again: the first may come before the section is entered */
    struct itimerval it = { { 0, 20000 }, { 0, 20000 } }, off = { { 0, 0 }, { 0, 0 } };
    signal(SIGALRM, on_alarm);
    setitimer(ITIMER_REAL, &it, NULL);
    bool ok = spin();          /* given up by the signal, or a preemption before it */
    while (!handled)
        sched_yield();
    setitimer(ITIMER_REAL, &off, NULL);
    printf("aborted %d, handler ran %d, pointer %d\n", !ok, handled > 0, area.cs != 0);
}

#define SAY(what, result, then) do { int r_ = (result); printf(what ": %d %d\n", r_, (int)(then)); } while (0)

static void errors(void)
{
    SAY("again", call(&area, LEN, 0, SIG), errno == EBUSY);
    SAY("other length", call(&area, LEN + 1, 0, SIG), errno == EINVAL);
    SAY("other signature", call(&area, LEN, 0, SIG + 1), errno == EPERM);
    SAY("other flags", call(&area, LEN, 6, SIG), errno == EINVAL);
    SAY("elsewhere", call(&area + 1, LEN, RSEQ_FLAG_UNREGISTER, SIG), errno == EINVAL);
    SAY("unregister", call(&area, LEN, RSEQ_FLAG_UNREGISTER, SIG), (int)area.cpu_id);
    SAY("twice", call(&area, LEN, RSEQ_FLAG_UNREGISTER, SIG), errno == EINVAL);
    SAY("crooked", call((uint8_t *)&area + 4, LEN, 0, SIG), errno == EINVAL);
    SAY("register", call(&area, LEN, 0, SIG), area.cpu_id < (uint32_t)sysconf(_SC_NPROCESSORS_CONF));
}

static uint64_t counter[MAX_CPUS];
static bool bad;
enum { ROUNDS = 20000, FOR_S = 1 };
static uint64_t added;

static void *raise_counters(void *arg)
{
    int r = enter();
    (void)arg;
    if (r)
        bad = true;
    int n = 0;
    time_t end = time(NULL) + FOR_S + 1;     /* an interpreter does not get far */
    while (n < ROUNDS && !r && time(NULL) < end) {
        uint32_t cpu = area.cpu_id_start;
        if (cpu >= MAX_CPUS)
            bad = true;
        else
            n += add(counter, cpu);
        if (n == ROUNDS / 2)
            sched_yield();
    }
    __atomic_fetch_add(&added, (uint64_t)n, __ATOMIC_SEQ_CST);
    return NULL;
}

static void crowd(void)
{
    pthread_t t[THREADS];
    uint64_t sum = 0;
    for (int n = 0; n < THREADS; n++)
        if (pthread_create(&t[n], NULL, raise_counters, NULL))
            abort();
    for (int n = 0; n < THREADS; n++)
        pthread_join(t[n], NULL);
    for (int n = 0; n < MAX_CPUS; n++)
        sum += counter[n];
    printf("all counters: %lld lost, errors %d\n", (long long)(added - sum), bad);
}

static void pinned(void)
{
    cpu_set_t all, one;
    bool right = true;
    sched_getaffinity(0, sizeof(all), &all);
    for (int n = 0; n < CPU_SETSIZE; n++)
        if (CPU_ISSET(n, &all)) {
            unsigned cpu = ~0u;
            CPU_ZERO(&one);
            CPU_SET(n, &one);
            sched_setaffinity(0, sizeof(one), &one);
            syscall(SYS_getcpu, &cpu, NULL, NULL);
            right &= area.cpu_id == (uint32_t)n && area.cpu_id_start == (uint32_t)n && cpu == (unsigned)n;
        }
    sched_setaffinity(0, sizeof(all), &all);
    printf("pinned: %d\n", right);
}

static void forked(void)
{
    int status = 0;
    fflush(stdout);
    pid_t pid = fork();
    if (!pid) {
        bool ok = call(&area, LEN, 0, SIG) < 0 && errno == EBUSY && add(counter, area.cpu_id_start) + 1;
        _exit(ok ? 3 : 4);
    }
    waitpid(pid, &status, 0);
    printf("registered in the child: %d\n", WEXITSTATUS(status));
    pid = fork();
    if (!pid) {                /* a wrong signature before the abort address is the program's end */
        call(&area, LEN, RSEQ_FLAG_UNREGISTER, SIG);
        call(&area, LEN, 0, 0x12345678);
        struct itimerval it = { { 0, 1000 }, { 0, 1000 } };
        setitimer(ITIMER_REAL, &it, NULL);
        spin();
        _exit(1);
    }
    waitpid(pid, &status, 0);
    printf("wrong signature: %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

int main(void)
{
    int r = enter();
    if (r && errno == ENOSYS) {     /* a kernel without it: what others say */
        puts("registered: 0 1\nagain: -1 1\nother length: -1 1\nother signature: -1 1\nother flags: -1 1\nelsewhere: -1 1\nunregister: 0 -1\ntwice: -1 1\ncrooked: -1 1\n"
             "register: 0 1\naborted 1, handler ran 1, pointer 0\nall counters: 0 lost, errors 0\npinned: 1\nregistered in the child: 3\nwrong signature: 11");
        return 0;
    }
    printf("registered: %d %d\n", r, area.cpu_id < (uint32_t)sysconf(_SC_NPROCESSORS_CONF) && area.cpu_id == area.cpu_id_start);
    errors();
    interrupted();
    crowd();
    pinned();
    forked();
    return 0;
}
