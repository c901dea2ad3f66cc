/* What leaving guest code costs: ports, device memory, timers, halting; and a disk. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "benchmarks/suite/suite.h"

static uint64_t failed(const char *what)
{
    fprintf(stderr, "suite: ");
    perror(what);
    return 0;
}

/* The status register of the first serial port's modem lines: reading it does nothing else. */
static uint64_t run_port(uint64_t n)
{
    if (ioperm(0x2fb, 1, 1))
        return failed("ioperm");
    for (uint64_t i = 0; i < n; i++)
        inb(0x2fb);            /* line control of the second port */
    return n;
}

/* The I/O APIC's select register; needs iomem=relaxed on the kernel's command line. */
static uint64_t run_mmio(uint64_t n)
{
    int fd = open("/dev/mem", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return failed("/dev/mem");
    volatile uint32_t *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0xfec00000);
    if (p == MAP_FAILED)
        return failed("/dev/mem: mmap");
    uint32_t all = 0;
    for (uint64_t i = 0; i < n; i++)
        all |= p[0];
    munmap((void *)p, 4096);
    close(fd);
    return n + (all == 0xffffffff);
}

/* A timer that is the next one to expire is armed and disarmed: the CPU's timer is set each time. */
static uint64_t run_timer(uint64_t n)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    const struct itimerspec soon = { .it_value = { .tv_nsec = 900000 } }, never = { 0 };
    if (fd < 0)
        return failed("timerfd");
    for (uint64_t i = 0; i < n; i++)
        if (timerfd_settime(fd, 0, &soon, NULL) || timerfd_settime(fd, 0, &never, NULL))
            return failed("timerfd");
    close(fd);
    return n;
}

/* Halted until the timer wakes it. */
static uint64_t run_halt(uint64_t n)
{
    const struct timespec t = { .tv_nsec = 20000 };
    for (uint64_t i = 0; i < n; i++)
        if (clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL))
            return failed("nanosleep");
    return n;
}

static uint64_t read_disk(uint64_t n, size_t size, int random)
{
    enum { SPAN = 64 << 20 };  /* benchmarks/run makes it that big, of zeros */
    int fd = open("/dev/vda", O_RDONLY | O_DIRECT | O_CLOEXEC);
    uint8_t *buf = aligned_alloc(4096, size);
    uint64_t seed = 91, good = 0;
    if (fd < 0 || !buf)
        return failed("/dev/vda");
    for (uint64_t i = 0; i < n; i++) {
        uint64_t at = (random ? suite_random(&seed) : i) % (SPAN / size) * size;
        good += pread(fd, buf, size, (off_t)at) == (ssize_t)size && !buf[i % size];
    }
    free(buf);
    close(fd);
    return good;
}

static uint64_t run_disk_4k(uint64_t n) { return read_disk(n, 4096, 1); }
static uint64_t run_disk_1m(uint64_t n) { return read_disk(n, 1 << 20, 0); }

const Workload suite_exits[] = {
    { "port", "exits", 500000, run_port, "guest", "a read of an I/O port" },
    { "mmio", "exits", 200000, run_mmio, "guest", "a read of a device's memory (I/O APIC)" },
    { "timer", "exits", 10000, run_timer, "", "a timer armed and disarmed" },
    { "halt", "exits", 1000, run_halt, "", "halted until a timer of 20 us" },
    { "disk-4k", "disk", 2000, run_disk_4k, "disk", "a random read of 4 KiB, uncached" },
    { "disk-1m", "disk", 100, run_disk_1m, "disk", "a read of 1 MiB, uncached" },
    { 0 },
};
