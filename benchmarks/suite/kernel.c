/* What an operating system's kernel does for a program. Each is bound to one CPU by its caller. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "benchmarks/suite/suite.h"

static uint64_t failed(const char *what)
{
    perror(what);
    return 0;
}

static uint64_t run_syscall(uint64_t n)
{
    uint64_t good = 0;
    for (uint64_t i = 0; i < n; i++)
        good += syscall(SYS_getppid) >= 0;
    return good;
}

/* One byte there and back between two processes. */
static uint64_t run_pingpong(uint64_t n)
{
    int to[2], from[2];
    if (pipe(to) || pipe(from))
        return failed("pipe");
    pid_t child = fork();
    if (child < 0)
        return failed("fork");
    char c = 1;
    uint64_t sum = 0;
    if (child == 0) {
        close(to[1]);
        while (read(to[0], &c, 1) == 1) {
            c++;
            if (write(from[1], &c, 1) != 1)
                break;
        }
        _exit(0);
    }
    for (uint64_t i = 0; i < n; i++) {
        c = (char)i;
        if (write(to[1], &c, 1) != 1 || read(from[0], &c, 1) != 1)
            return failed("pipe");
        sum += (uint8_t)c;
    }
    close(to[1]);
    close(to[0]);
    close(from[0]);
    close(from[1]);
    waitpid(child, NULL, 0);
    return sum;
}

/* Two processes that give way to each other. */
static uint64_t run_switch(uint64_t n)
{
    volatile uint64_t *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return failed("mmap");
    pid_t child = fork();
    if (child < 0)
        return failed("fork");
    /* shared[0] counts turns: even ones are the parent's */
    for (uint64_t i = child == 0; i < 2 * n; i += 2) {
        while (shared[0] != i)
            sched_yield();
        shared[0] = i + 1;
        sched_yield();
    }
    if (child == 0)
        _exit(0);
    waitpid(child, NULL, 0);
    munmap((void *)shared, 4096);
    return n;
}

static uint64_t run_fork(uint64_t n)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < n; i++) {
        int status = 0;
        pid_t child = fork();
        if (child < 0)
            return failed("fork");
        if (child == 0)
            _exit((int)(i & 63));
        if (waitpid(child, &status, 0) != child)
            return failed("waitpid");
        sum += (uint64_t)WEXITSTATUS(status);
    }
    return sum + 1;
}

static uint64_t run_exec(uint64_t n)
{
    char self[] = "/proc/self/exe", arg[] = "true";
    char *argv[] = { self, arg, NULL };
    for (uint64_t i = 0; i < n; i++) {
        int status = 0;
        pid_t child = fork();
        if (child < 0)
            return failed("fork");
        if (child == 0) {
            execv(self, argv);
            _exit(99);
        }
        if (waitpid(child, &status, 0) != child || WEXITSTATUS(status))
            return failed("exec");
    }
    return n;
}

/* 1 MiB mapped, each page touched, unmapped. */
static uint64_t run_mmap(uint64_t n)
{
    enum { SIZE = 1 << 20 };
    for (uint64_t i = 0; i < n; i++) {
        uint8_t *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
            return failed("mmap");
        for (unsigned k = 0; k < SIZE; k += 4096)
            p[k] = (uint8_t)k;
        munmap(p, SIZE);
    }
    return n;
}

/* Faults of a mapped file: the pages are there, only the mapping is not. */
static uint64_t run_filemap(uint64_t n)
{
    enum { SIZE = 1 << 20 };
    int fd = memfd_create("suite", 0);
    uint64_t sum = 0;
    if (fd < 0 || ftruncate(fd, SIZE))
        return failed("memfd");
    for (uint64_t i = 0; i < n; i++) {
        uint8_t *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED)
            return failed("mmap");
        for (unsigned k = 0; k < SIZE; k += 4096)
            sum += p[k]++;
        munmap(p, SIZE);
    }
    close(fd);
    return sum + 1;
}

/* Protection taken and given back, with a fault in between. */
static void on_fault(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    mprotect((void *)((uintptr_t)info->si_addr & ~(uintptr_t)4095), 4096, PROT_READ | PROT_WRITE);
}

static uint64_t run_signal(uint64_t n)
{
    struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO }, old;
    uint8_t *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t sum = 0;
    if (p == MAP_FAILED || sigaction(SIGSEGV, &sa, &old))
        return failed("signal");
    for (uint64_t i = 0; i < n; i++) {
        mprotect(p, 4096, PROT_READ);
        *(volatile uint8_t *)p = (uint8_t)i;
        sum += *p;
    }
    sigaction(SIGSEGV, &old, NULL);
    munmap(p, 4096);
    return sum + 1;
}

/* Files in memory: create, write, read, remove. */
static uint64_t run_files(uint64_t n)
{
    char buf[4096], name[] = "/tmp/suite-file";
    memset(buf, 7, sizeof(buf));
    for (uint64_t i = 0; i < n; i++) {
        int fd = open(name, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
        if (fd < 0)
            return failed(name);
        for (unsigned k = 0; k < 4; k++)
            if (write(fd, buf, sizeof(buf)) != sizeof(buf))
                return failed(name);
        if (lseek(fd, 0, SEEK_SET) || read(fd, buf, sizeof(buf)) != sizeof(buf))
            return failed(name);
        close(fd);
        unlink(name);
    }
    return n;
}

const Workload suite_kernel[] = {
    { "syscall", "kernel", 200000, run_syscall, "", "a system call that does nothing" },
    { "pingpong", "kernel", 5000, run_pingpong, "", "a byte through two pipes and back between two processes" },
    { "switch", "kernel", 6000, run_switch, "", "two switches between two processes" },
    { "fork", "kernel", 100, run_fork, "", "fork, exit, wait" },
    { "forkexec", "kernel", 40, run_exec, "", "fork, exec of a static program, exit, wait" },
    { "mmap", "kernel", 60, run_mmap, "", "1 MiB mapped, touched, unmapped" },
    { "filemap", "kernel", 100, run_filemap, "", "1 MiB of a file in memory mapped, touched, unmapped" },
    { "signal", "kernel", 5000, run_signal, "", "a write fault delivered as a signal, two mprotect" },
    { "files", "kernel", 1000, run_files, "", "a file of 16 KiB created, written, read, removed" },
    { 0 },
};
