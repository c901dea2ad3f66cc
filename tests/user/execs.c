/* What execve(2) keeps and what it undoes; chains and crowds of programs that start themselves. ARGV: a part and its arguments when started by itself. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;
enum { PAGE = 4096, LOW = 0x31000000, CHAIN = 20, CROWD = 4, ROUNDS = 2 };

static char *me;
static char **volatile nowhere;

static int result(pid_t pid)
{
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void handler(int sig) { (void)sig; }

static unsigned long random_words(void)
{
    unsigned long v;
    memcpy(&v, (void *)getauxval(AT_RANDOM), sizeof(v));
    return v;
}

static const char *how(int sig)
{
    struct sigaction sa;
    sigaction(sig, NULL, &sa);
    return sa.sa_handler == SIG_DFL ? "default" : sa.sa_handler == SIG_IGN ? "ignored" : "caught";
}

/* look RANDOM PARENT: what is left of the program before. */
static int look(char **argv)
{
    sigset_t mask, pending;
    stack_t stack;
    struct itimerval timer;
    struct itimerspec left;
    char name[32] = "", link[4096] = "", cmdline[4096] = "";
    sigprocmask(SIG_BLOCK, NULL, &mask);
    sigpending(&pending);
    sigaltstack(NULL, &stack);
    getitimer(ITIMER_REAL, &timer);
    printf("  files:");
    for (int fd = 3; fd < 200; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            printf(" %d", fd);
    printf("\n  USR1 %s, USR2 %s, SEGV %s; HUP blocked %d, pending %d; ALRM blocked %d\n", how(SIGUSR1), how(SIGUSR2), how(SIGSEGV), sigismember(&mask, SIGHUP),
           sigismember(&pending, SIGHUP), sigismember(&mask, SIGALRM));
    printf("  other stack: %s; timer runs: %d; timer of the process: %s\n", stack.ss_flags & SS_DISABLE ? "none" : "there", timer.it_value.tv_sec > 100,
           timer_gettime((timer_t)0, &left) ? strerror(errno) : "there");
    int gone = msync((void *)LOW, PAGE, MS_ASYNC) ? errno : 0;
    printf("  memory: %s; random anew: %d; parent the same: %d\n", strerror(gone), strtoul(argv[2], NULL, 16) != random_words(), atoi(argv[3]) == getppid());
    prctl(PR_GET_NAME, name);
    const char *base = strrchr(argv[0], '/');
    ssize_t n = readlink("/proc/self/exe", link, sizeof(link) - 1);
    int fd = open("/proc/self/cmdline", O_RDONLY);
    ssize_t len = read(fd, cmdline, sizeof(cmdline) - 1);
    close(fd);
    printf("  name right: %d, exe right: %d, cmdline right: %d, VAR %s\n", !strncmp(name, base ? base + 1 : argv[0], 15), n > 0 && !strcmp(link, argv[4]),
           len > 0 && !strcmp(cmdline, argv[0]) && !strcmp(cmdline + strlen(cmdline) + 1, "look"), getenv("VAR"));
    return 33;
}

static void prepare(int timers)
{
    static char other[1 << 16];
    struct sigaction sa = { .sa_handler = handler }, ignore = { .sa_handler = SIG_IGN };
    stack_t stack = { .ss_sp = other, .ss_size = sizeof(other) };
    struct itimerval timer = { .it_value.tv_sec = 1000 };
    sigset_t set;
    timer_t id;
    sigaction(SIGUSR1, &sa, NULL);
    sigaction(SIGSEGV, &sa, NULL);
    sigaction(SIGUSR2, &ignore, NULL);
    sigaltstack(&stack, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGHUP);
    mmap((void *)LOW, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    int fd = open("/dev/null", O_RDONLY);
    fcntl(fd, F_DUPFD, 100);
    fcntl(fd, F_DUPFD_CLOEXEC, 110);
    fcntl(fd, F_DUPFD_CLOEXEC, 150);
    close(fd);
    if (timers) {
        struct sigevent ev = { .sigev_notify = SIGEV_NONE };
        timer_create(CLOCK_MONOTONIC, &ev, &id);
    }
}

static void start_look(void)
{
    char random[32], parent[16], real[4096];
    char *args[] = { me, "look", random, parent, real, NULL }, *env[] = { "VAR=value", NULL };
    snprintf(random, sizeof(random), "%lx", random_words());
    snprintf(parent, sizeof(parent), "%d", (int)getppid());
    if (!realpath(me, real))
        _exit(90);
    nowhere = (char **)8;
    if (execve("/nonexistent/program", args, env) == 0 || execve("/tmp", args, env) == 0 || execve(me, nowhere, env) == 0)
        _exit(91);
    if (strcmp(how(SIGUSR1), "caught") || fcntl(110, F_GETFD) != FD_CLOEXEC)   /* failures changed nothing */
        _exit(92);
    execve(me, args, env);
    _exit(93);
}

static void *exec_thread(void *opaque)
{
    (void)opaque;
    start_look();
    return NULL;
}

static void looks(void)
{
    static const char *const names[] = { "plain", "with a timer", "from a thread", "twice" };
    for (int n = 0; n < 4; n++) {
        pthread_t t;
        printf("%s:\n", names[n]);
        fflush(stdout);
        pid_t pid = fork();
        if (!pid) {
            prepare(n == 1);
            if (n == 2 && !pthread_create(&t, NULL, exec_thread, NULL))
                for (;;)
                    pause();
            if (n == 3)
                execl(me, me, "again", NULL);
            start_look();
        }
        printf("  %d\n", result(pid));
    }
}

/* A mutex that the program held is a dead one's for others. */
static void held_mutex(void)
{
    pthread_mutexattr_t attr;
    int ready[2], end[2];
    char c, text[16];
    pthread_mutex_t *m = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(m, &attr);
    if (pipe(ready) || pipe(end))
        return;
    fcntl(ready[1], F_SETFD, FD_CLOEXEC);
    pid_t pid = fork();
    if (!pid) {
        close(end[1]);
        pthread_mutex_lock(m);
        snprintf(text, sizeof(text), "%d", end[0]);
        execl(me, me, "wait", text, NULL);
        _exit(9);
    }
    close(ready[1]);
    close(end[0]);
    printf("closed by exec: %d", (int)read(ready[0], &c, 1));
    printf(", mutex: %s\n", strerror(pthread_mutex_lock(m)));
    close(end[1]);
    printf("waited: %d\n", result(pid));
}

static void attached(void)
{
    struct shmid_ds ds;
    int id = shmget(IPC_PRIVATE, PAGE, 0600), end[2];
    char text[16], c;
    if (id < 0 || pipe(end) || shmat(id, NULL, 0) == (void *)-1)
        return;
    int ready[2];
    if (pipe2(ready, O_CLOEXEC))
        return;
    pid_t pid = fork();
    if (!pid) {
        close(end[1]);
        snprintf(text, sizeof(text), "%d", end[0]);
        execl(me, me, "wait", text, NULL);
        _exit(9);
    }
    close(ready[1]);
    close(end[0]);
    int got = (int)read(ready[0], &c, 1);
    shmctl(id, IPC_STAT, &ds);
    printf("segment: %d attached after exec (%d)\n", (int)ds.shm_nattch, got);
    shmctl(id, IPC_RMID, NULL);
    close(end[1]);
    result(pid);
}

static int strings_of(pid_t pid, const char *which, char *buf, int size)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, which);
    int fd = open(path, O_RDONLY), n = (int)read(fd, buf, size - 1);
    close(fd);
    for (int k = 0; k < n - 1; k++)
        if (!buf[k])
            buf[k] = ' ';
    buf[n > 0 ? n : 0] = 0;
    return n;
}

/* What others see of a program: the last one's arguments and environment, whole. */
static void seen(void)
{
    static char args[8192], envs[8192];
    char text[16], c, *env[] = { "ONE=1", "TWO=2", NULL };
    int end[2], ready[2];
    if (pipe(end) || pipe2(ready, O_CLOEXEC))
        return;
    pid_t pid = fork();
    if (!pid) {
        close(end[1]);
        snprintf(text, sizeof(text), "%d", end[0]);
        execle(me, "another-name", "wait", text, "and a third argument that is longer than the others", NULL, env);
        _exit(9);
    }
    close(ready[1]);
    close(end[0]);
    int got = (int)read(ready[0], &c, 1), n_args = 0, n_envs = 0;
    for (int n = 0; n < 2000 && (n_args <= 0 || n_envs <= 0); n++) {            /* files are closed before there is a stack */
        usleep(5000);
        n_args = strings_of(pid, "cmdline", args, sizeof(args));
        n_envs = strings_of(pid, "environ", envs, sizeof(envs));
    }
    printf("seen (%d): %d bytes %s, %d bytes %s\n", got, n_args, args, n_envs, envs);
    close(end[1]);
    result(pid);
}

/* As many arguments and as long ones as the kernel takes, and more. */
static void limits(void)
{
    static const int lengths[] = { 131071, 131072 }, counts[] = { 15, 40, 60, 70 }, empties[] = { 180000, 300000 };
    static char text[131073], *args[300010], *env[] = { NULL };
    for (int n = 0; n < 8; n++) {
        int k = 2, length = n < 2 ? lengths[n] : n < 6 ? 130000 : 0, count = n < 2 ? 1 : n < 6 ? counts[n - 2] : empties[n - 6];
        fflush(stdout);
        pid_t pid = fork();
        if (!pid) {
            memset(text, 'a', length);
            text[length] = 0;
            args[0] = me;
            args[1] = "nothing";
            while (k < count + 2)
                args[k++] = text;
            execve(me, args, env);
            _exit(errno);
        }
        printf("%d arguments of %d bytes: %d\n", count, length, result(pid));
    }
}

static void *idle(void *arg) { return arg; }

/* Programs that do a little of everything, each of which starts the next one. */
static int chain(int n)
{
    char text[16];
    pthread_t t;
    void *p = malloc(300000);
    memset(p, n, 300000);
    if (n % 7 == 0 && !pthread_create(&t, NULL, idle, NULL))
        pthread_join(t, NULL);
    if (!n)
        return 21;
    snprintf(text, sizeof(text), "%d", n - 1);
    execl(n & 1 ? "/proc/self/exe" : me, me, "chain", text, NULL);
    return 1;
}

static int branch(int depth)
{
    char text[16];
    volatile int sum = 1;
    snprintf(text, sizeof(text), "%d", depth - 1);
    for (volatile int n = 0; depth && n < 2; n++) {
        pid_t pid = n ? fork() : vfork();
        if (!pid) {
            execl(me, me, "branch", text, NULL);
            _exit(100);
        }
        sum += result(pid);
    }
    return sum;
}

static void crowd(void)
{
    int bad = 0;
    struct stat st;
    while (!stat(me, &st) && time(NULL) - st.st_ctime < 4)   /* what is known of files that changed just now counts little */
        usleep(100000);
    for (int k = 0; k < ROUNDS; k++) {
        pid_t pid[CROWD];
        for (int n = 0; n < CROWD; n++)
            if (!(pid[n] = fork())) {
                execl(me, me, n & 1 ? "branch" : "chain", "2", NULL);
                _exit(100);
            }
        for (int n = 0; n < CROWD; n++)
            bad += result(pid[n]) != (n & 1 ? 7 : 21);
    }
    printf("crowd: %d wrong\n", bad);
}

__attribute__((noinline, aligned(64))) static int five(void)
{
    __asm__ volatile("");
    return 5;
}

__attribute__((noinline, aligned(64))) static int six(void)
{
    __asm__ volatile("");
    return 6;
}

/* Code that the kernel wrote over, where the host lets it, is the file's again after exec. Its translation is of value only when the file is not new. */
static void patched(void)
{
    enum { LEN = 16 };
    char code[LEN];
    pid_t pid = fork();
    if (!pid) {
        memcpy(code, (void *)six, LEN);
        int fd = open("/proc/self/mem", O_RDWR);
        pwrite(fd, code, LEN, (off_t)(unsigned long)five);
        close(fd);
        if (five() + six() < 11)
            _exit(9);
        execl(me, me, "five", "", NULL);
        _exit(100);
    }
    printf("five: %d\n", result(pid));
}

/* No arguments at all; the name of a process is its script's. */
static void names(void)
{
    char script[] = "/tmp/execs-XXXXXX", real[4096], *none[] = { NULL };
    pid_t pid = fork();
    if (!pid) {
        execve(me, none, none);
        _exit(100);
    }
    printf("without arguments: %d\n", result(pid));
    int fd = mkstemp(script);
    if (!realpath(me, real))
        return;
    dprintf(fd, "#!%s name\n", real);
    fchmod(fd, 0700);
    close(fd);
    if (!(pid = fork())) {
        execl(script, script, NULL);
        _exit(100);
    }
    printf("script: %d\n", result(pid));
    unlink(script);
}

static int script_name(const char *script)
{
    char name[32] = "";
    prctl(PR_GET_NAME, name);
    return strncmp(name, strrchr(script, '/') + 1, 15) ? 1 : 2;
}

int main(int argc, char **argv)
{
    me = argv[0];
    if (!me || !*me)
        return 11;
    if (argc > 2 && !strcmp(argv[1], "five"))
        return five();
    if (argc > 2 && !strcmp(argv[1], "name"))
        return script_name(argv[2]);
    if (argc > 4 && !strcmp(argv[1], "look"))
        return look(argv);
    if (argc > 1 && !strcmp(argv[1], "again")) {
        prepare(0);
        start_look();
    }
    if (argc > 2 && !strcmp(argv[1], "chain"))
        return chain(atoi(argv[2]));
    if (argc > 2 && !strcmp(argv[1], "branch"))
        return branch(atoi(argv[2]));
    if (argc > 2 && !strcmp(argv[1], "wait")) {
        char c;
        return (int)read(atoi(argv[2]), &c, 1) + 5;
    }
    if (argc > 2 && !strcmp(argv[1], "nothing"))
        return 77;
    for (int fd = 3; fd < 1024; fd++)
        close(fd);             /* of whoever started us */
    setvbuf(stdout, NULL, _IOLBF, 0);
    looks();
    held_mutex();
    attached();
    seen();
    limits();
    char text[16];
    snprintf(text, sizeof(text), "%d", CHAIN);
    pid_t pid = fork();
    if (!pid)
        execl(me, me, "chain", text, NULL);
    printf("chain: %d\n", result(pid));
    crowd();
    patched();
    names();
    return 0;
}
