/* Signals as a program sees them; prints what happened. Run natively and under tandem-user: the same. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

static volatile sig_atomic_t count, last, depth, max_depth;
static sigjmp_buf jump;
static siginfo_t info;

static void note(int sig) { count++; last = sig; }

static void on(int sig, void (*fn)(int, siginfo_t *, void *), int flags)
{
    struct sigaction sa = { .sa_sigaction = fn, .sa_flags = SA_SIGINFO | flags };
    sigaction(sig, &sa, NULL);
}

static void simple(int sig, void (*fn)(int), int flags)
{
    struct sigaction sa = { .sa_handler = fn, .sa_flags = flags };
    sigaction(sig, &sa, NULL);
}

static void jump_out(int sig, siginfo_t *si, void *uc)
{
    (void)uc;
    info = *si;
    siglongjmp(jump, sig);
}

static void faults(void)
{
    uint8_t *page = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    volatile uint8_t *volatile bad = page + 100;
    volatile int zero = 0, sink;
    on(SIGSEGV, jump_out, 0);
    on(SIGFPE, jump_out, 0);
    on(SIGILL, jump_out, 0);
    on(SIGTRAP, jump_out, 0);
    on(SIGBUS, jump_out, 0);
    if (!sigsetjmp(jump, 1))
        *bad = 1;
    printf("write to a read-only page: signal %d code %d at +%ld\n", info.si_signo, info.si_code, (long)((uint8_t *)info.si_addr - page));
    munmap(page, 8192);
    if (!sigsetjmp(jump, 1))
        sink = *bad;
    printf("read of nothing: signal %d code %d at +%ld\n", info.si_signo, info.si_code, (long)((uint8_t *)info.si_addr - page));
    if (!sigsetjmp(jump, 1))
        ((void (*)(void))(uintptr_t)bad)();
    printf("jump to nowhere: signal %d code %d at +%ld\n", info.si_signo, info.si_code, (long)((uint8_t *)info.si_addr - page));
    if (!sigsetjmp(jump, 1))
        sink = 5 / zero;
    printf("division by 0: signal %d code %d\n", info.si_signo, info.si_code);
#ifdef __x86_64__
    if (!sigsetjmp(jump, 1))
        __asm__ volatile("ud2");
    printf("undefined: signal %d code %d\n", info.si_signo, info.si_code);
    if (!sigsetjmp(jump, 1))
        __asm__ volatile("int3");
    printf("breakpoint: signal %d code %d\n", info.si_signo, info.si_code);
    if (!sigsetjmp(jump, 1))
        __asm__ volatile("hlt");
    printf("privileged: signal %d code %d\n", info.si_signo, info.si_code);
    volatile uint64_t strange[] = { 0xdead000000000000 };
    for (volatile int n = 0; n < 1; n++) {
        if (!sigsetjmp(jump, 1))
            *(volatile char *)strange[n] = 1;
        printf("privileged address: signal %d code %d at %p\n", info.si_signo, info.si_code, info.si_addr);
        if (!sigsetjmp(jump, 1))
            ((void (*)(void))strange[n])();
        printf("privileged address, jump: signal %d code %d at %p\n", info.si_signo, info.si_code, info.si_addr);
    }
#endif
    FILE *f = tmpfile();
    fputc('x', f);
    fflush(f);
    uint8_t *map = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fileno(f), 0);
    if (!sigsetjmp(jump, 1))
        sink = map[5000];
    printf("behind the end of a file: signal %d code %d at +%ld\n", info.si_signo, info.si_code, (long)((uint8_t *)info.si_addr - map));
    (void)sink;
    fclose(f);
}

/* The handler mends the cause; the instruction runs again. */
static uint8_t *mend_page;
static void mend(int sig, siginfo_t *si, void *uc)
{
    (void)sig, (void)uc;
    count++;
    mprotect((void *)((uintptr_t)si->si_addr & ~4095ul), 4096, PROT_READ | PROT_WRITE);
}

static void mending(void)
{
    unsigned sum = 0;
    mend_page = mmap(NULL, 64 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    on(SIGSEGV, mend, 0);
    count = 0;
    for (unsigned n = 0; n < 64 * 4096; n += 512)
        mend_page[n] = (uint8_t)n, sum += n;
    for (unsigned n = 0; n < 64 * 4096; n += 512)
        sum += mend_page[n];
    printf("mended %d pages, sum %u\n", (int)count, sum);
    on(SIGSEGV, jump_out, 0);
}

/* Registers and floating point of interrupted code survive. */
static volatile double dirt;
static void dirty(int sig) { count++; last = sig; dirt = dirt * 1.5 + 3.25; if (dirt > 1e6) dirt = 0; }

static void interrupted(void)
{
    struct itimerval it = { { 0, 700 }, { 0, 700 } }, off = { { 0, 0 }, { 0, 0 } };
    double x = 0, y = 1;
    uint64_t h = 1;
    count = 0;
    simple(SIGALRM, dirty, SA_RESTART);
    setitimer(ITIMER_REAL, &it, NULL);
    for (unsigned n = 0; n < 1000000 || count < 5; n++) {
        if (n >= 1000000)
            continue;
        h = h * 6364136223846793005ull + n;
        x += y * 0.5;
        y = y * 0.999 + 0.001 * (double)(h >> 60);
    }
    setitimer(ITIMER_REAL, &off, NULL);
    printf("interrupted loop: %016llx %.12g %.12g, at least 5 signals: %d\n", (unsigned long long)h, x, y, count >= 5);
}

/* Signals until it is enough: on a busy host the first may come before the call that it is to interrupt. */
static volatile bool enough;
static void *kicker(void *arg)
{
    do {
        usleep(60000);
        pthread_kill(*(pthread_t *)arg, SIGUSR1);
    } while (!enough);
    return NULL;
}

static void kick(pthread_t *k, pthread_t *whom)
{
    enough = false;
    pthread_create(k, NULL, kicker, whom);
}

static void no_more(pthread_t k)
{
    enough = true;
    pthread_join(k, NULL);
}

static void restarts(void)
{
    int p[2];
    char c;
    pthread_t self = pthread_self(), k;
    (void)!pipe(p);
    simple(SIGUSR1, note, 0);
    kick(&k, &self);
    ssize_t r = read(p[0], &c, 1);
    printf("read without SA_RESTART: %zd %s\n", r, r < 0 && errno == EINTR ? "EINTR" : "-");
    no_more(k);
    simple(SIGUSR1, note, SA_RESTART);
    if (!fork()) {
        usleep(150000);
        (void)!write(p[1], "z", 1);
        _exit(0);
    }
    kick(&k, &self);
    r = read(p[0], &c, 1);
    printf("read with SA_RESTART: %zd %c\n", r, c);
    no_more(k);
    int status;
    wait(&status);
    struct timespec ts = { 100, 0 }, left;
    kick(&k, &self);
    int e = nanosleep(&ts, &left);
    printf("nanosleep: %d %s, more than half left: %d\n", e, e && errno == EINTR ? "EINTR" : "-", left.tv_sec >= 50);
    no_more(k);
}

static void masks(void)
{
    sigset_t set, old, pending;
    simple(SIGUSR2, note, 0);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, &old);
    count = 0;
    raise(SIGUSR2);
    sigpending(&pending);
    printf("blocked: %d, pending %d\n", (int)count, sigismember(&pending, SIGUSR2));
    sigemptyset(&set);
    int r = sigsuspend(&set);
    sigprocmask(SIG_BLOCK, NULL, &set);
    printf("sigsuspend: %d %s, ran %d, blocked again %d\n", r, errno == EINTR ? "EINTR" : "-", (int)count, sigismember(&set, SIGUSR2));
    raise(SIGUSR2);
    siginfo_t si;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    r = sigwaitinfo(&set, &si);
    printf("sigwaitinfo: %d from me %d\n", r, si.si_pid == getpid());
    union sigval v = { .sival_int = 4711 };
    sigaddset(&set, SIGRTMIN + 3);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (int n = 0; n < 3; n++, v.sival_int++)
        sigqueue(getpid(), SIGRTMIN + 3, v);
    for (volatile int n = 0; n < 3; n++) {
        sigwaitinfo(&set, &si);
        printf("queued: %d %d\n", si.si_signo - SIGRTMIN, si.si_value.sival_int);
    }
    sigprocmask(SIG_SETMASK, &old, NULL);
}

static void nest(int sig)
{
    depth++;
    if (depth > max_depth)
        max_depth = depth;
    if (depth < 4)
        raise(sig);
    depth--;
    count++;
}

static void nest_once(int sig)
{
    depth++;
    if (depth > max_depth)
        max_depth = depth;
    if (count++ < 3)
        raise(sig);            /* waits until this handler is through */
    depth--;
}

static uint8_t alt[64 << 10];
static volatile int on_alt;
static void where(int sig)
{
    uint8_t here;
    (void)sig;
    on_alt = &here > alt && &here < alt + sizeof(alt);
}

static void stacks_and_nesting(void)
{
    stack_t ss = { .ss_sp = alt, .ss_size = sizeof(alt) }, now;
    count = max_depth = 0;
    simple(SIGUSR1, nest, SA_NODEFER);
    raise(SIGUSR1);
    printf("nested with SA_NODEFER: %d deep, %d runs\n", (int)max_depth, (int)count);
    count = max_depth = 0;
    simple(SIGUSR1, nest_once, 0);
    raise(SIGUSR1);
    printf("without: %d deep, %d runs\n", (int)max_depth, (int)count);
    sigaltstack(&ss, NULL);
    simple(SIGUSR2, where, SA_ONSTACK);
    raise(SIGUSR2);
    sigaltstack(NULL, &now);
    printf("on the alternate stack: %d, size %zu flags %d\n", (int)on_alt, now.ss_size, now.ss_flags);
    simple(SIGUSR2, note, SA_RESETHAND);
    raise(SIGUSR2);
    struct sigaction sa;
    sigaction(SIGUSR2, NULL, &sa);
    printf("SA_RESETHAND: default again %d\n", sa.sa_handler == SIG_DFL);
}

#ifdef __x86_64__
/* A handler that changes the interrupted registers. */
static void patch_regs(int sig, siginfo_t *si, void *opaque)
{
    ucontext_t *uc = opaque;
    (void)sig, (void)si;
    uc->uc_mcontext.gregs[REG_RIP] += 2;     /* over ud2 */
    uc->uc_mcontext.gregs[REG_RAX] = 1234567;
    uc->uc_mcontext.gregs[REG_R15] ^= 0xff;
}

static void contexts(void)
{
    uint64_t a = 1, b = 0x1100;
    on(SIGILL, patch_regs, 0);
    __asm__ volatile("mov %1, %%r15; ud2; mov %%r15, %1" : "=a"(a), "+r"(b) : : "r15");
    printf("changed in the handler: %llu %llx\n", (unsigned long long)a, (unsigned long long)b);
}
#else
static void contexts(void) {}
#endif

static void ends(void)
{
    static const int sigs[] = { SIGTERM, SIGKILL, SIGSEGV, SIGABRT };
    for (unsigned n = 0; n < 4; n++) {
        int status;
        if (!fork()) {
            simple(SIGSEGV, SIG_DFL, 0);
            kill(getpid(), sigs[n]);
            _exit(1);
        }
        wait(&status);
        printf("child died of %d: %d\n", sigs[n], WIFSIGNALED(status) ? WTERMSIG(status) : -1);
    }
    int status;
    if (!fork()) {
        simple(SIGSEGV, SIG_DFL, 0);
        volatile int *volatile nowhere = (volatile int *)8;
        *nowhere = 1;
    }
    wait(&status);
    printf("child that faults died of %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : -1);
}

/* A thread without the C library, and a signal that the library keeps for itself, given to it before (as Go's runtime does). */
enum { LIBRARY_SIGNAL = 33 };
static _Atomic int bare_tid;
static _Alignas(16) char bare_stack[65536];

static int bare_thread(void *arg)
{
    while (last != LIBRARY_SIGNAL)
        syscall(SYS_sched_yield);
    return 0;
}

static void library_signal(void)
{
    char action[64];
    simple(SIGUSR1, note, 0);
    syscall(SYS_rt_sigaction, SIGUSR1, NULL, action, 8);
    syscall(SYS_rt_sigaction, LIBRARY_SIGNAL, action, NULL, 8);
    int tid = 0, flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
    bare_tid = 1;
    if (clone(bare_thread, bare_stack + sizeof(bare_stack), flags, NULL, &tid, NULL, &bare_tid) < 0)
        return;
    syscall(SYS_tgkill, getpid(), tid, LIBRARY_SIGNAL);
    while (bare_tid)
        usleep(1000);
    printf("a signal of the library's, to a thread without it: %d\n", last);
    last = count = 0;
}

/* Two kinds that come together while the mask is changed and processes are made: each is handled once. */
enum { PAIRS = 2000 };
static volatile sig_atomic_t kinds[2];
static void kind(int sig) { kinds[sig - SIGRTMIN]++; }

static void send_pairs(pid_t to)
{
    for (int n = 0; n < 2 * PAIRS; n++) {
        while (sigqueue(to, SIGRTMIN + n % 2, (union sigval){ 0 }) && errno == EAGAIN)
            usleep(100);
        if (n % 2)
            usleep(20);
    }
}

static void together(void)
{
    sigset_t one;
    int status;
    pid_t self = getpid();
    simple(SIGRTMIN, kind, SA_RESTART);
    simple(SIGRTMIN + 1, kind, SA_RESTART);
    sigemptyset(&one);
    sigaddset(&one, SIGUSR1);
    pid_t sender = fork();
    if (!sender) {
        send_pairs(self);
        _exit(0);
    }
    for (unsigned turn = 0; waitpid(sender, &status, WNOHANG) != sender; turn++) {
        for (int n = 0; n < 50; n++) {
            sigprocmask(SIG_BLOCK, &one, NULL);
            sigprocmask(SIG_UNBLOCK, &one, NULL);
        }
        pid_t pid = turn % 4 ? -1 : fork();
        if (!pid)
            _exit(0);
        if (pid > 0)
            waitpid(pid, &status, 0);
    }
    for (int n = 0; n < 10000 && kinds[0] + kinds[1] < 2 * PAIRS; n++)
        usleep(1000);
    printf("pairs of signals: %d and %d handled\n", kinds[0], kinds[1]);
    simple(SIGRTMIN, SIG_DFL, 0);
    simple(SIGRTMIN + 1, SIG_DFL, 0);
}

int main(void)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    library_signal();
    together();
    faults();
    mending();
    interrupted();
    restarts();
    masks();
    stacks_and_nesting();
    contexts();
    ends();
    return 7;
}
