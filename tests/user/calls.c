/* System calls at their edges: short buffers, numbers that are too large, structures that the kernel leaves alone. Prints what a program sees. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MARK = 0x5a, HIGH_FD = 70000, FDS = 4, ROOM_FDS = 2 };

static int untouched(const void *p, size_t from, size_t to)
{
    for (size_t n = from; n < to; n++)
        if (((const unsigned char *)p)[n] != MARK)
            return 0;
    return 1;
}

/* A child that runs: the usage is not written. */
static void wait_nohang(void)
{
    struct rusage ru;
    int status = 0, p[2];
    if (pipe(p))
        return;
    pid_t pid = fork();
    if (!pid) {
        char c;
        close(p[1]);
        _exit((int)read(p[0], &c, 1));
    }
    memset(&ru, MARK, sizeof(ru));
    long r = syscall(SYS_wait4, pid, &status, WNOHANG, &ru);
    printf("wait4, nobody: %ld, usage left alone: %d\n", r, untouched(&ru, 0, sizeof(ru)));
    close(p[1]);
    printf("wait4: %d, status %d\n", waitpid(pid, &status, 0) == pid, status);
}

/* More descriptors than a set of libc has; more than there can be. */
static void select_high(void)
{
    static unsigned long set[(1 << 20) / 8 / sizeof(long) + 1];
    struct rlimit lim;
    struct timeval tv = { 0, 0 };
    int p[2], high = HIGH_FD;
    if (pipe(p) || write(p[1], "x", 1) != 1 || getrlimit(RLIMIT_NOFILE, &lim))
        return;
    lim.rlim_cur = lim.rlim_max;
    setrlimit(RLIMIT_NOFILE, &lim);
    if (dup2(p[0], high) < 0)
        high = p[0];
    set[high / (8 * sizeof(long))] |= 1ul << high % (8 * sizeof(long));
    printf("select: %d\n", select(high + 1, (fd_set *)set, NULL, NULL, &tv));
    printf("bit stays: %d\n", (int)(set[high / (8 * sizeof(long))] >> high % (8 * sizeof(long)) & 1));
    printf("select, 2^20 + 1: %d\n", select((1 << 20) + 1, (fd_set *)set, NULL, NULL, &tv));
    int r = select(-1, (fd_set *)set, NULL, NULL, &tv);
    printf("select, -1: %d %d\n", r, errno);
    close(high);
}

static void groups(void)
{
    gid_t list[40];
    for (int n = 0; n < 40; n++)
        list[n] = (gid_t)n + 1000;
    int set = setgroups(40, list), n = getgroups(0, NULL);
    printf("groups: %d, %d, by number %ld\n", set, n, syscall(SYS_getgroups, 0, NULL) - n);
}

/* What the list of robust futexes names cannot be written, or is no futex: the thread ends all the same. */
static void *robust_thread(void *where)
{
    struct { void *next; long offset; void *pending; } head = { &head, 0, where };
    syscall(SYS_set_robust_list, &head, sizeof(head));
    syscall(SYS_exit, 0);
    return NULL;
}

static void robust(void)
{
    int fd = memfd_create("futex", 0);
    if (fd < 0 || ftruncate(fd, 4096))
        return;
    int *rw = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *ro = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    void *where[] = { ro, ro + 4, ro + 1, ro + 4095, (void *)8 };
    for (unsigned n = 0; n < sizeof(where) / sizeof(where[0]); n++) {
        pthread_t t;
        pthread_attr_t attr;
        for (unsigned k = 0; k < 1024; k++)
            rw[k] = (int)getpid() + 1;     /* the next thread's number, most likely */
        pthread_attr_init(&attr);
        if (!pthread_create(&t, &attr, robust_thread, where[n]))
            pthread_join(t, NULL);
    }
    printf("robust lists: alive\n");
}

/* A buffer that is shorter than the option. */
static void short_option(void)
{
    unsigned char buf[64];
    socklen_t len = 4;
    int s = socket(AF_UNIX, SOCK_DGRAM, 0);
    memset(buf, MARK, sizeof(buf));
    int r = getsockopt(s, SOL_SOCKET, SO_RCVTIMEO, buf, &len);
    printf("SO_RCVTIMEO: %d, length %d, behind it: %d\n", r, (int)len, untouched(buf, 4, sizeof(buf)));
    close(s);
}

static int open_files(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* Four descriptors sent, room for two: these come, the others are not left open. */
static void cut_rights(void)
{
    int s[2], fds[FDS] = { 0, 0, 0, 0 };
    char c = 'x';
    _Alignas(16) unsigned char out[CMSG_SPACE(sizeof(fds))] = { 0 }, in[CMSG_LEN(ROOM_FDS * sizeof(int))];
    struct iovec iov = { &c, 1 };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = out, .msg_controllen = sizeof(out) };
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, s))
        return;
    *h = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(fds)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
    memcpy(CMSG_DATA(h), fds, sizeof(fds));
    printf("sendmsg: %zd\n", sendmsg(s[0], &m, 0));
    int before = open_files();
    m = (struct msghdr){ .msg_iov = &iov, .msg_iovlen = 1, .msg_control = in, .msg_controllen = sizeof(in) };
    ssize_t r = recvmsg(s[1], &m, 0);
    h = CMSG_FIRSTHDR(&m);
    int got = h ? (int)((h->cmsg_len - CMSG_LEN(0)) / sizeof(int)) : 0;
    printf("recvmsg: %zd, cut %d, %d files, %d opened\n", r, (m.msg_flags & MSG_CTRUNC) != 0, got, open_files() - before);
}

static void shared_memory_info(void)
{
    struct { struct shminfo i; unsigned char behind[64]; } a;
    struct { struct shm_info i; unsigned char behind[64]; } b;
    memset(&a, MARK, sizeof(a));
    memset(&b, MARK, sizeof(b));
    int r = shmctl(0, IPC_INFO, (struct shmid_ds *)&a);
    printf("IPC_INFO: %d, %lu segments, behind it: %d\n", r >= 0, (unsigned long)a.i.shmmni, untouched(a.behind, 0, sizeof(a.behind)));
    r = shmctl(0, SHM_INFO, (struct shmid_ds *)&b);
    printf("SHM_INFO: %d, %d, behind it: %d\n", r >= 0, b.i.used_ids >= 0 && b.i.used_ids < 1 << 16, untouched(b.behind, 0, sizeof(b.behind)));
}

/* The calls behind a newer mount(8): refused for what is wrong with them, not unknown. */
static void mounts(void)
{
    int e[4], n = 0;
    e[n++] = syscall(SYS_fspick, -1, "x", 0) < 0 ? errno : 0;
    e[n++] = syscall(SYS_open_tree, -1, "x", 0) < 0 ? errno : 0;
    e[n++] = syscall(SYS_move_mount, -1, "x", -1, "y", 0) < 0 ? errno : 0;
    e[n++] = syscall(SYS_fsconfig, -1, 0, "x", "y", 0) < 0 ? errno : 0;
    printf("mounts: %d %d %d %d\n", e[0], e[1], e[2], e[3]);
}

static volatile int signals;
static void on_signal(int sig) { (void)sig, signals++; }

/* What a call could not read or write has not changed which signals come. */
static void after_fault(void)
{
    signal(SIGUSR1, on_signal);
    int e = syscall(SYS_uname, 8) ? errno : 0;
    kill(getpid(), SIGUSR1);
    int now = signals;
    e = e * 1000 + (syscall(SYS_rt_sigaction, SIGUSR2, 8, 0, 8) ? errno : 0);
    kill(getpid(), SIGUSR1);
    printf("after EFAULT (%d): %d, %d signals\n", e, now, signals);
}

/* Lists that are longer than any program's usual ones, and too long. */
static void long_lists(void)
{
    enum { MANY = 70000, LONG = 140000 };
    static char *args[MANY + 2], big[LONG + 1];
    char **volatile nowhere = (char **)8;
    int status = -1;
    for (int n = 0; n < MANY; n++)
        args[n] = "x";
    fflush(stdout);
    if (!fork()) {
        args[0] = "sh", args[1] = "-c", args[2] = "test $# = 69996 && exit 7", args[3] = "sh";
        execv("/bin/sh", args);
        _exit(errno);
    }
    wait(&status);
    memset(big, 'x', LONG);
    int e[3];
    e[0] = execve("/bin/sh", (char *[]){ "sh", big, NULL }, NULL) ? errno : 0;
    e[1] = execve("/bin/sh", nowhere, NULL) ? errno : 0;
    e[2] = execve(big, nowhere, NULL) ? errno : 0;
    printf("lists: %d, too long %d, unreadable %d, name too long %d\n", WEXITSTATUS(status), e[0], e[1], e[2]);
}

/* Limits of memory are the program's: told as they were set, kept, and handed on. */
static void limits(void)
{
    struct rlimit r = { 3 << 20, 5 << 20 }, s = { 1 << 30, RLIM_INFINITY }, got;
    setrlimit(RLIMIT_STACK, &r);
    getrlimit(RLIMIT_STACK, &got);
    printf("limits: %lu %lu", (unsigned long)got.rlim_cur, (unsigned long)got.rlim_max);
    getrlimit(RLIMIT_AS, &got);
    s.rlim_max = got.rlim_max;
    int e = setrlimit(RLIMIT_AS, &s);
    void *p = mmap(NULL, 1u << 30, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    printf(", %d %s", e, p == MAP_FAILED ? strerror(errno) : "mapped");
    s.rlim_cur = (rlim_t)2 << 30, s.rlim_max = 1 << 30;
    printf(", %s\n", setrlimit(RLIMIT_AS, &s) ? strerror(errno) : "set");
    fflush(stdout);
    if (!system("ulimit -s; ulimit -v"))
        fflush(stdout);
}

int main(void)
{
    wait_nohang();
    cut_rights();
    select_high();
    groups();
    robust();
    short_option();
    shared_memory_info();
    mounts();
    after_fault();
    long_lists();
    limits();
    return 0;
}
