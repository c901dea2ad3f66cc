/* fork, vfork, exec, posix_spawn, /proc/self; prints what a program can see. ARGV: "child" when started by itself. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int child(int argc, char **argv)
{
    printf("child: argc %d argv0 %s last %s VAR %s\n", argc, argv[0], argv[argc - 1], getenv("VAR") ? getenv("VAR") : "-");
    return 42;
}

static int result(pid_t pid)
{
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void proc_files(const char *me)
{
    char buf[8192], link[256] = "", real[4096];
    int fd = open("/proc/self/cmdline", O_RDONLY);
    ssize_t n = read(fd, buf, sizeof(buf));
    close(fd);
    printf("cmdline: %zd bytes, %s\n", n, buf);
    n = readlink("/proc/self/exe", link, sizeof(link) - 1);
    printf("exe is me: %d\n", n > 0 && realpath(me, real) && !strcmp(link, real));
    struct stat a, b;
    printf("exe's inode: %d\n", !stat("/proc/self/exe", &a) && !stat(me, &b) && a.st_ino == b.st_ino);
    fd = open("/proc/self/auxv", O_RDONLY);
    unsigned long aux[2];
    int pagesz = 0;
    while (read(fd, aux, sizeof(aux)) == sizeof(aux) && aux[0])
        if (aux[0] == AT_PAGESZ)
            pagesz = (int)aux[1];
    close(fd);
    printf("auxv: page size %d, getauxval %lu, secure %lu\n", pagesz, getauxval(AT_PAGESZ), getauxval(AT_SECURE));
    FILE *f = fopen("/proc/self/maps", "r");
    int stack = 0, heap = 0, text = 0, here = 0;
    free(malloc(100));
    while (fgets(buf, sizeof(buf), f)) {
        unsigned long lo, hi;
        char prot[8];
        if (sscanf(buf, "%lx-%lx %7s", &lo, &hi, prot) != 3)
            continue;
        stack |= strstr(buf, "[stack]") && (unsigned long)&f >= lo && (unsigned long)&f < hi;
        heap |= !!strstr(buf, "[heap]");
        text |= (unsigned long)proc_files >= lo && (unsigned long)proc_files < hi && !strncmp(prot, "r-xp", 4) && strstr(buf, link);
        here |= !!strstr(buf, "tandem-user");
    }
    fclose(f);
    printf("maps: stack %d heap %d text %d ours %d\n", stack, heap, text, here);
}

static volatile sig_atomic_t caught;
static void catches(int sig) { (void)sig; caught++; }
static void *nothing(void *arg) { return arg; }

/* What a vforked child forks is a process as any other: with threads, and the child's signal actions. */
static int grandchild(void)
{
    pthread_t thread;
    int e = pthread_create(&thread, NULL, nothing, NULL);
    if (!e)
        pthread_join(thread, NULL);
    raise(SIGUSR1);
    return e ? 1 : caught == 1 ? 7 : 2;
}

static void vforked_and_forked(void)
{
    struct sigaction sa = { .sa_handler = catches }, now;
    pid_t pid = vfork();
    if (!pid) {
        sigaction(SIGUSR1, &sa, NULL);
        pid_t inner = fork();
        _exit(inner ? result(inner) : grandchild());
    }
    printf("vforked and forked: %d", result(pid));
    sigaction(SIGUSR1, NULL, &now);
    printf(", the parent's action is its own: %d\n", now.sa_handler == SIG_DFL);
}

/* A vforked child that is killed while it computes, when it has done so for long. */
static void vforked_and_killed(void)
{
    enum { LONG = 1000000 };
    struct { volatile pid_t pid; volatile unsigned turns; } *both = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t killer = fork(), pid;
    if (!killer) {
        while (both->turns < LONG)
            usleep(1000);
        kill(both->pid, SIGKILL);
        _exit(0);
    }
    pid = vfork();
    if (!pid) {
        both->pid = getpid();
        for (;;)
            both->turns = both->turns < LONG ? both->turns + 1 : LONG;
    }
    printf("vforked and killed: %d", result(pid));
    printf(" %d\n", result(killer));
}

static void exec_of_a_pipe(const char *name, char **args, char **env)
{
    unlink(name);
    mkfifo(name, 0700);
    alarm(60);
    printf("exec of a pipe: %d", execve(name, args, env));
    printf(" %s\n", strerror(errno));
    alarm(0);
    unlink(name);
}

int main(int argc, char **argv)
{
    char *args[] = { "zero", "child", "a b", "", "last", NULL }, *env[] = { "VAR=x y", "PATH=/bin:/usr/bin", NULL };
    setvbuf(stdout, NULL, _IONBF, 0);
    if (argc > 1 && !strcmp(argv[1], "child"))
        return child(argc, argv);
    pid_t pid = fork();
    if (!pid)
        execve(argv[0], args, env);
    printf("fork and exec: %d\n", result(pid));
    volatile int shared = 1;
    pid = vfork();
    if (!pid) {
        shared = 2;
        _exit(5);
    }
    printf("vfork: %d, memory is shared: %d\n", result(pid), shared);
    pid = vfork();
    if (!pid) {
        execve(argv[0], args, env);
        _exit(9);
    }
    printf("vfork and exec: %d\n", result(pid));
    vforked_and_forked();
    vforked_and_killed();
    int e = posix_spawn(&pid, "/nonexistent/program", NULL, NULL, args, env);
    printf("spawn of nothing: %s\n", strerror(e));
    e = posix_spawn(&pid, argv[0], NULL, NULL, args, env);
    printf("spawn: %d %d\n", e, result(pid));
    printf("exec of a folder: %d", execve("/tmp", args, env));
    printf(" %s\n", strerror(errno));
    char name[] = "/tmp/tandem-user-XXXXXX";
    int fd = mkstemp(name);
    dprintf(fd, "#!%s child\nnothing\n", realpath(argv[0], NULL));
    fchmod(fd, 0700);
    close(fd);
    args[1] = "x";
    pid = fork();
    if (!pid)
        _exit(execve(name, args, env) ? errno : 0);
    printf("script: %d\n", result(pid));
    exec_of_a_pipe(name, args, env);
    int p[2];
    (void)!pipe(p);
    for (int n = 0; n < 20; n++)
        if (!fork()) {
            char c = (char)('a' + n);
            (void)!write(p[1], &c, 1);
            _exit(n);
        }
    int sum = 0;
    for (int n = 0, status; n < 20; n++, sum += WEXITSTATUS(status))
        wait(&status);
    printf("20 children: %d\n", sum);
    struct utsname u;
    uname(&u);
    printf("machine %s\n", u.machine);
    proc_files(argv[0]);
    return 0;
}
