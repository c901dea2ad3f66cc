/* Signals of faults: their codes and contexts, and the same numbers sent, blocked and waited for; calls that begin again after a handler. Prints what happened. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

static sigjmp_buf jump;
static siginfo_t info;
static ucontext_t context;
static volatile int count;

static void jump_out(int sig, siginfo_t *si, void *uc)
{
    info = *si;
    context = *(ucontext_t *)uc;
    siglongjmp(jump, sig);
}

static void note(int sig, siginfo_t *si, void *uc)
{
    (void)sig, (void)uc;
    info = *si;
    count++;
}

static void on(int sig, void (*fn)(int, siginfo_t *, void *), int flags)
{
    struct sigaction sa = { .sa_sigaction = fn, .sa_flags = SA_SIGINFO | flags };
    sigaction(sig, &sa, NULL);
}

/* ---- causes ---- */
#if defined(__x86_64__) || defined(__i386__)
#ifdef __x86_64__
#define PC REG_RIP
#else
#define PC REG_EIP
#endif

static long trap(void) { return (long)context.uc_mcontext.gregs[REG_TRAPNO]; }
static long error(void) { return (long)context.uc_mcontext.gregs[REG_ERR]; }
static bool at_pc(void) { return (uintptr_t)info.si_addr == (uintptr_t)context.uc_mcontext.gregs[PC]; }
#define TRY(name, ...) do { if (!sigsetjmp(jump, 1)) { __VA_ARGS__; printf("x86: %s: nothing\n", name); } else \
    printf("x86: %s: signal %d code %d, at the instruction %d, trap %ld error %lx\n", name, info.si_signo, info.si_code, at_pc(), trap(), error()); } while (0)

static void float_causes(void)
{
    static const struct { const char *name; unsigned open; } sets[] = { { "invalid", 1 }, { "denormal", 2 }, { "division", 4 }, { "overflow", 8 }, { "underflow", 16 }, { "precision", 32 }, { "all", 63 } };
    static volatile double one = 1, zero, big = 1e308, small = 1e-308, three = 3, tiny = 5e-324;
    static volatile double *const pairs[][2] = { { &one, &zero }, { &zero, &zero }, { &big, &small }, { &small, &big }, { &one, &three }, { &tiny, &one } };
    for (volatile unsigned n = 0; n < sizeof(sets) / sizeof(sets[0]); n++)
        for (volatile unsigned k = 0; k < sizeof(pairs) / sizeof(pairs[0]); k++) {
            unsigned mxcsr = 0x1f80 & ~(sets[n].open << 7), plain = 0x1f80;
            uint16_t cw = (uint16_t)(0x37f & ~sets[n].open);
            char name[64];
            snprintf(name, sizeof(name), "%s open, SSE %g/%g", sets[n].name, *pairs[k][0], *pairs[k][1]);
            TRY(name, __asm__ volatile("ldmxcsr %0\n movsd %1, %%xmm0\n divsd %2, %%xmm0" : : "m"(mxcsr), "m"(*pairs[k][0]), "m"(*pairs[k][1])));
            __asm__ volatile("ldmxcsr %0" : : "m"(plain));
            snprintf(name, sizeof(name), "%s open, x87 %g/%g", sets[n].name, *pairs[k][0], *pairs[k][1]);
            TRY(name, __asm__ volatile("fninit\n fldcw %0\n fldl %1\n fdivl %2\n fwait" : : "m"(cw), "m"(*pairs[k][0]), "m"(*pairs[k][1])));
            __asm__ volatile("fninit");
        }
    TRY("x87 stack", uint16_t cw = 0x37e; __asm__ volatile("fninit\n fldcw %0\n fstp %%st(0)\n fwait" : : "m"(cw)));
    __asm__ volatile("fninit");
}

/* The handler begins with an FPU as a program does, whatever the interrupted code made of its own. */
static uint32_t seen_mxcsr;
static struct { uint16_t word, rest[13]; } seen_env;
static void look_at_fpu(int sig)
{
    (void)sig;
    __asm__ volatile("stmxcsr %0\n fnstenv %1" : "=m"(seen_mxcsr), "=m"(seen_env));
}

static void fresh_fpu(void)
{
    uint32_t strange = 0x7fbf, after, plain = 0x1f80;
    uint16_t cw = 0x0c7f, cw_after;
    double left;
    signal(SIGUSR1, look_at_fpu);
    __asm__ volatile("fninit\n fldcw %0\n fld1\n fldpi\n ldmxcsr %1" : : "m"(cw), "m"(strange));
    syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR1);
    __asm__ volatile("stmxcsr %0\n fnstcw %1\n fstp %%st(0)\n fstpl %2\n fninit\n ldmxcsr %3" : "=m"(after), "=m"(cw_after), "=m"(left) : "m"(plain));
    printf("x86: handler's FPU: MXCSR %x, control %x status %x tags %x; after it MXCSR %x control %x, register %g\n", seen_mxcsr, seen_env.word, seen_env.rest[1], seen_env.rest[3],
           after, cw_after, left);
}

static void other_causes(void)
{
    static volatile uintptr_t low = 16;
    static volatile long long high = (long long)0xffffffff81000000ull;
    static uint8_t bytes[64] __attribute__((aligned(64)));
    uint8_t *page = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    TRY("int1", __asm__ volatile(".byte 0xf1"));
    TRY("int3", __asm__ volatile("int3"));
    TRY("int $3", __asm__ volatile(".byte 0xcd, 3"));
    TRY("int $4", __asm__ volatile("int $4"));
    TRY("int $0", __asm__ volatile("int $0"));
    TRY("int $1", __asm__ volatile("int $1"));
    TRY("int $14", __asm__ volatile("int $14"));
    TRY("int $16", __asm__ volatile("int $16"));
    TRY("int $255", __asm__ volatile("int $255"));
    TRY("cli", __asm__ volatile("cli"));
    TRY("kernel's address", *(volatile char *)(intptr_t)high = 1);
    TRY("read of 0", (void)*(volatile char *)low);
    TRY("write to 0", *(volatile char *)low = 1);
    TRY("addition to 0", __asm__ volatile("addl $1, (%0)" : : "r"(low) : "memory"));
    TRY("locked addition to 0", __asm__ volatile("lock addl $1, (%0)" : : "r"(low) : "memory"));
    TRY("exchange with 0", uint32_t v; __asm__ volatile("xchg %0, (%1)" : "=r"(v) : "r"(low) : "memory"));
    TRY("jump to 0", ((void (*)(void))low)());
    TRY("write to what can be read", *page = 1);
    TRY("jump to what can be read", ((void (*)(void))page)());
    mprotect(page, 8192, PROT_NONE);
    TRY("read of what cannot be read", (void)*(volatile uint8_t *)page);
    TRY("jump to what cannot be read", ((void (*)(void))page)());
    TRY("selector that is not there", __asm__ volatile("mov %0, %%fs" : : "r"(0x83)));
    TRY("odd address", __asm__ volatile("movaps (%0), %%xmm0" : : "r"(bytes + 1)));
    TRY("long instruction", __asm__ volatile(".fill 15, 1, 0x66\n nop"));
    munmap(page, 8192);
}
#else

static void float_causes(void) { }
static void other_causes(void) { }
static void fresh_fpu(void) { }
#endif

/* ---- sent ---- */
static void sent(int sig)
{
    sigset_t set, old, waits;
    siginfo_t si = { 0 };
    struct timespec none = { 0, 0 };
    on(sig, note, 0);
    count = 0;
    raise(sig);
    printf("sent %d: handled %d times, code %d\n", sig, count, info.si_code);
    sigemptyset(&set);
    sigaddset(&set, sig);
    sigprocmask(SIG_BLOCK, &set, &old);
    count = 0;
    raise(sig);
    sigpending(&waits);
    printf("blocked: handled %d times, pending %d\n", count, sigismember(&waits, sig));
    sigprocmask(SIG_SETMASK, &old, NULL);
    printf("open again: handled %d times\n", count);
    sigprocmask(SIG_BLOCK, &set, NULL);
    sigqueue(getpid(), sig, (union sigval){ .sival_int = 77 });
    int got = sigtimedwait(&set, &si, &none);
    printf("waited for: %d code %d value %d, handled %d times\n", got, si.si_code, si.si_value.sival_int, count);
    printf("again: %d\n", sigtimedwait(&set, &si, &none) < 0 && errno == EAGAIN);
    raise(sig);
    printf("suspended: %d", sigsuspend(&old));
    printf(" %d, handled %d times\n", errno == EINTR, count);
    sigprocmask(SIG_SETMASK, &old, NULL);
    siginfo_t fault = { .si_signo = sig, .si_code = 1 };
    fault.si_addr = (void *)0x123000;
    syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), sig, &fault);
    printf("with the code of a fault: handled %d times, code %d, address %p\n", count, info.si_code, info.si_addr);
}

/* ---- calls that begin again ---- */
typedef struct Poke { pthread_t who; int times; atomic_int *stop; } Poke;

/* Signals while the other thread waits: as many as it needs. */
static void *poke(void *opaque)
{
    Poke *p = opaque;
    while (!*p->stop) {
        pthread_kill(p->who, SIGUSR2);
        usleep(3000);
    }
    return NULL;
}

typedef struct Feed { int fd; } Feed;
static void *feed(void *opaque)
{
    Feed *f = opaque;
    while (count < 3)
        usleep(1000);
    write(f->fd, "x", 1);
    return NULL;
}

static void waits(bool restart)
{
    int pipes[2], pair[2];
    atomic_int stop = 0;
    char c;
    pipe(pipes);
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    struct timeval limit = { 100, 0 };
    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    on(SIGUSR2, note, restart ? SA_RESTART : 0);
    Poke p = { .who = pthread_self(), .stop = &stop };
    Feed f = { pipes[1] };
    pthread_t poker, feeder;
    count = 0;
    if (restart)
        pthread_create(&feeder, NULL, feed, &f);
    pthread_create(&poker, NULL, poke, &p);
    ssize_t r = read(pipes[0], &c, 1);
    printf("read: %zd %d\n", r, r < 0 ? errno : 0);
    r = read(pair[0], &c, 1);
    printf("read with a limit of time: %zd %d\n", r, r < 0 ? errno : 0);
    r = poll(&(struct pollfd){ pair[0], POLLIN, 0 }, 1, 100000);
    printf("poll: %zd %d\n", r, r < 0 ? errno : 0);
#ifdef SYS_futex
    uint32_t word = 0;
    struct timespec long_time = { 100, 0 };
    r = syscall(SYS_futex, &word, 0, 0, &long_time, NULL, 0);
    printf("futex with a limit of time: %zd %d\n", r, r < 0 ? errno : 0);
#endif
    r = nanosleep(&(struct timespec){ 100, 0 }, NULL);
    printf("sleep: %zd %d\n", r, r < 0 ? errno : 0);
    stop = 1;
    pthread_join(poker, NULL);
    if (restart)
        pthread_join(feeder, NULL);
    close(pipes[0]), close(pipes[1]), close(pair[0]), close(pair[1]);
}

int main(void)
{
    static const int sigs[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (unsigned n = 0; n < sizeof(sigs) / sizeof(sigs[0]); n++)
        on(sigs[n], jump_out, 0);
    float_causes();
    other_causes();
    fresh_fpu();
    for (unsigned n = 0; n < sizeof(sigs) / sizeof(sigs[0]); n++)
        sent(sigs[n]);
    waits(false);
    waits(true);
    return 0;
}
