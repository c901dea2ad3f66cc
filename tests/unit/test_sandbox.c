/* The filters: what each thread kind may and may not, in child processes that put one on. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/sandbox.h"

#define CHECK(cond) do { if (!(cond)) { fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #cond, errno); _exit(1); } } while (0)

static bool can_open(void)
{
    int fd = open("/proc/self/stat", O_RDONLY);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void *worker(void *opaque)
{
    CHECK(can_open());
    CHECK(sandbox_thread(SANDBOX_BLOCK));
    CHECK(!can_open() && errno == EPERM);
    return NULL;
}

static void *sub_worker(void *opaque)
{
    CHECK(sandbox_thread(SANDBOX_BLOCK));
    CHECK(write(STDOUT_FILENO, "", 0) == 0);
    return NULL;
}

/* A vCPU may start a worker, and neither opens files or sockets. */
static void *vcpu(void *opaque)
{
    CHECK(sandbox_thread(SANDBOX_VCPU));
    CHECK(socket(AF_INET, SOCK_STREAM, 0) < 0 && errno == EPERM);
    CHECK(!can_open() && errno == EPERM);
    g_thread_join(g_thread_new("sub", sub_worker, NULL));
    return NULL;
}

static void *trimmer(void *opaque)
{
    void *volatile p[64];
    CHECK(sandbox_thread(SANDBOX_VCPU));
    for (unsigned i = 0; i < 64; i++)
        p[i] = g_malloc(90000);
    for (unsigned i = 0; i < 64; i++)
        g_free(p[i]);
    return NULL;
}

/* What the C library does behind a thread's back is not refused: @log, standard error meanwhile, stays empty. */
static void quiet(int log)
{
    CHECK(dup2(log, STDERR_FILENO) >= 0 && sandbox_process(NULL));
    g_thread_join(g_thread_new("trimmer", trimmer, NULL));
    _exit(0);
}

static bool ends_well(pid_t pid)
{
    int status = 1;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) && !WEXITSTATUS(status);
}

static bool check_memory(void)
{
    char text[500] = "";
    int log = memfd_create("log", MFD_CLOEXEC);
    pid_t pid = fork();
    if (pid == 0)
        quiet(log);
    bool ok = ends_well(pid) && pread(log, text, sizeof(text) - 1, 0) == 0;
    fprintf(stderr, "%s", text);
    close(log);
    return ok;
}

static void process(void)
{
    void *before = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(before != MAP_FAILED && sandbox_process(NULL));
    CHECK(can_open());
    CHECK(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == EACCES);
    CHECK(mprotect(before, 4096, PROT_READ | PROT_EXEC) < 0 && errno == EACCES);
    CHECK(mprotect(before, 4096, PROT_READ) == 0);
    CHECK(execl("/bin/true", "true", NULL) < 0 && errno == EPERM);
    CHECK(vfork() < 0 && errno == EPERM);
    g_thread_join(g_thread_new("worker", worker, NULL));
    g_thread_join(g_thread_new("vcpu", vcpu, NULL));
    CHECK(can_open());
    _exit(0);
}

int main(void)
{
    g_autofree char *table = sandbox_table();
    const char *missing = sandbox_missing();
    if (missing) {
        printf("no sandbox here: %s\n", missing);
        return 77;
    }
    pid_t pid = fork();
    if (pid == 0)
        process();
    bool ok = ends_well(pid);
    printf("%s", table);
    return !ok || !check_memory();
}
