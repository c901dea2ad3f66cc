/* The vDSO (vdso(7)): its functions are found by name and version as a C library finds them, and say what the system calls say. */
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#if defined(__aarch64__)
#define NAME(n) "__kernel_" n
#define VERSION "LINUX_2.6.39"
#elif defined(__riscv)
#define NAME(n) "__vdso_" n
#define VERSION "LINUX_4.15"
#else
#define NAME(n) "__vdso_" n
#define VERSION "LINUX_2.6"
#endif

typedef struct Vdso { uintptr_t base; const ElfW(Sym) *sym; const char *str; const uint16_t *versym; const ElfW(Verdef) *def; uint32_t n; } Vdso;

static bool open_vdso(Vdso *v)
{
    const ElfW(Ehdr) *e = (const void *)getauxval(AT_SYSINFO_EHDR);
    const ElfW(Dyn) *d = NULL;
    if (!e || memcmp(e->e_ident, ELFMAG, SELFMAG))
        return false;
    const ElfW(Phdr) *ph = (const void *)((const uint8_t *)e + e->e_phoff);
    for (int n = 0; n < e->e_phnum; n++) {
        if (ph[n].p_type == PT_LOAD)
            v->base = (uintptr_t)e - ph[n].p_vaddr + ph[n].p_offset;
        if (ph[n].p_type == PT_DYNAMIC)
            d = (const void *)((const uint8_t *)e + ph[n].p_offset);
    }
    for (; d && d->d_tag; d++) {
        const void *at = (const void *)(v->base + d->d_un.d_ptr);
        if (d->d_tag == DT_SYMTAB)
            v->sym = at;
        if (d->d_tag == DT_STRTAB)
            v->str = at;
        if (d->d_tag == DT_VERSYM)
            v->versym = at;
        if (d->d_tag == DT_VERDEF)
            v->def = at;
        if (d->d_tag == DT_HASH)
            v->n = ((const uint32_t *)at)[1];
        if (d->d_tag == DT_GNU_HASH && !v->n)      /* newer kernels have this one only: the symbols are few */
            v->n = 40;
    }
    return v->sym && v->str && v->versym && v->def && v->n;
}

static bool version_is(const Vdso *v, unsigned ndx, const char *want)
{
    for (const ElfW(Verdef) *d = v->def;; d = (const void *)((const uint8_t *)d + d->vd_next)) {
        if (d->vd_ndx == (ndx & 0x7fff))
            return !strcmp(v->str + ((const ElfW(Verdaux) *)((const uint8_t *)d + d->vd_aux))->vda_name, want);
        if (!d->vd_next)
            return false;
    }
}

static void *find(const Vdso *v, const char *name)
{
    for (uint32_t n = 1; n < v->n; n++)
        if (v->sym[n].st_shndx && !strcmp(v->str + v->sym[n].st_name, name) && version_is(v, v->versym[n], VERSION))
            return (void *)(v->base + v->sym[n].st_value);
    return NULL;
}

static int64_t ns(const struct timespec *t) { return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec; }

/* On each CPU that the process may have: the vDSO's number (where it has the function) and node are the system call's. */
static void cpu_numbers(int (*get)(unsigned *, unsigned *, void *))
{
    cpu_set_t all, one;
    int same = 1;
    sched_getaffinity(0, sizeof(all), &all);
    for (unsigned n = 0; n < CPU_SETSIZE; n++) {
        unsigned cpu = ~0u, node = ~0u, cpu2 = ~0u, node2 = ~0u;
        if (!CPU_ISSET(n, &all))
            continue;
        CPU_ZERO(&one);
        CPU_SET(n, &one);
        if (sched_setaffinity(0, sizeof(one), &one))
            continue;
        syscall(SYS_getcpu, &cpu, &node, NULL);
        same &= !get || (!get(&cpu2, &node2, NULL) && cpu2 == cpu && node2 == node);
        same &= cpu == n;
    }
    sched_setaffinity(0, sizeof(all), &all);
    printf("getcpu: %d\n", same);
}

int main(void)
{
    Vdso v = { 0 };
    struct timespec before, between, after;
    struct timeval tv = { 0 };
    static const clockid_t ids[] = { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_PROCESS_CPUTIME_ID, CLOCK_MONOTONIC_RAW };
    if (!open_vdso(&v))
        return puts("no vDSO"), 1;
    int (*gettime)(clockid_t, struct timespec *) = (int (*)(clockid_t, struct timespec *))find(&v, NAME("clock_gettime"));
    int (*getres)(clockid_t, struct timespec *) = (int (*)(clockid_t, struct timespec *))find(&v, NAME("clock_getres"));
    int (*gettv)(struct timeval *, void *) = (int (*)(struct timeval *, void *))find(&v, NAME("gettimeofday"));
    printf("there: %d %d %d\n", gettime != NULL, getres != NULL, gettv != NULL);
    if (!gettime || !getres || !gettv)
        return 1;
    for (unsigned n = 0; n < sizeof(ids) / sizeof(ids[0]); n++) {
        syscall(SYS_clock_gettime, ids[n], &before);
        int r = gettime(ids[n], &between);
        syscall(SYS_clock_gettime, ids[n], &after);
        printf("clock %d: %d %d\n", (int)ids[n], r, ns(&before) <= ns(&between) && ns(&between) <= ns(&after));
    }
    printf("no such clock: %d\n", gettime(1000, &between));
    int r = getres(CLOCK_MONOTONIC, &between);
    printf("resolution: %d %d\n", r, ns(&between) > 0 && ns(&between) < 1000000000);
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &before);
    r = gettv(&tv, NULL);
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &after);
    int64_t us = (int64_t)tv.tv_sec * 1000000 + tv.tv_usec;
    printf("gettimeofday: %d %d\n", r, ns(&before) / 1000 <= us && us <= ns(&after) / 1000);
    r = (int)syscall(SYS_clock_gettime, CLOCK_MONOTONIC, (void *)8);
    printf("bad pointer: %d %d\n", r, errno == EFAULT);
    r = (int)syscall(SYS_gettimeofday, (void *)8, NULL);
    printf("again: %d %d\n", r, errno == EFAULT);
    cpu_numbers((int (*)(unsigned *, unsigned *, void *))find(&v, NAME("getcpu")));
    printf("library: %d %d\n", clock_gettime(CLOCK_MONOTONIC, &after), sched_getcpu() >= 0);
    return 0;
}
