/* System calls of old, which only i386 has; prints what they say beside today's. */
#include <errno.h>
#include <stdio.h>
#ifdef __i386__
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

typedef struct OldStat { uint16_t dev, ino, mode, nlink, uid, gid, rdev, pad; uint32_t size, atime, mtime, ctime; } OldStat;

static int call(long nr, long a, long b, long c)
{
    int r;
    __asm__ volatile("int $0x80" : "=a"(r) : "a"(nr), "b"(a), "c"(b), "d"(c) : "memory");
    return r;
}

static void one_stat(const char *name, int r, const OldStat *o, const struct stat *st)
{
    printf("%s: %d", name, r);
    if (!r)
        printf(", mode %o links %u size %u; as today %d %d %d %d %d", o->mode, o->nlink, o->size, o->ino == st->st_ino, o->rdev == (major(st->st_rdev) << 8 | minor(st->st_rdev)),
               o->uid == st->st_uid, o->mtime == (uint32_t)st->st_mtime, o->mode == st->st_mode);
    printf("\n");
}

static void stats(void)
{
    static const char *const names[] = { "/dev/null", "/proc/self/stat", "/", "/nothing/there", "/proc/self" };
    for (unsigned n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
        OldStat o;
        struct stat st = { 0 };
        memset(&o, 0xee, sizeof(o));
        stat(names[n], &st);
        int r = call(SYS_oldstat, (long)names[n], (long)&o, 0);
        one_stat(names[n], r, &o, &st);
        lstat(names[n], &st);
        r = call(SYS_oldlstat, (long)names[n], (long)&o, 0);
        if (n < 4)
            one_stat("link", r, &o, &st);
    }
    OldStat o;
    struct stat st;
    int fd = open("/dev/zero", O_RDONLY);
    fstat(fd, &st);
    int r = call(SYS_oldfstat, fd, (long)&o, 0);
    one_stat("file", r, &o, &st);
    printf("bad: %d %d %d\n", call(SYS_oldfstat, -1, (long)&o, 0), call(SYS_oldfstat, fd, 8, 0), call(SYS_oldstat, 8, (long)&o, 0));
    close(fd);
}

static void names(void)
{
    struct utsname u;
    char old[5][65], oldest[5][9];
    uname(&u);
    memset(old, 1, sizeof(old));
    memset(oldest, 1, sizeof(oldest));
    int a = call(SYS_olduname, (long)old, 0, 0), b = call(SYS_oldolduname, (long)oldest, 0, 0);
    printf("names: %d %d, %s %s, %d %d %d, %d\n", a, b, old[0], oldest[0], !strcmp(old[1], u.nodename), !strcmp(old[2], u.release), !strncmp(oldest[2], u.release, 8),
           oldest[2][8]);
    printf("bad: %d %d\n", call(SYS_olduname, 8, 0, 0), call(SYS_oldolduname, 8, 0, 0));
}

static void folder(void)
{
    struct { uint32_t ino, off; uint16_t len; char name[256]; } d;
    char all[64] = "";
    int fd = open("/proc/self/task", O_RDONLY), n = 0, r;
    while ((r = call(SYS_readdir, fd, (long)&d, 1)) == 1 && n < 10) {
        if (n++ < 2)
            strncat(all, d.name, 10);
        if (strlen(d.name) != d.len)
            printf("length %d of %s\n", d.len, d.name);
    }
    printf("folder: %d entries, %d, first %s; no folder: %d, bad: %d\n", n, r, all, call(SYS_readdir, -1, (long)&d, 1), call(SYS_readdir, open("/dev/null", O_RDONLY), (long)&d, 1));
}

int main(void)
{
    stats();
    names();
    folder();
    int before = getpriority(PRIO_PROCESS, 0), r = call(SYS_nice, 3, 0, 0), after = getpriority(PRIO_PROCESS, 0);
    printf("nice: %d, %d more", r, after - before);
    r = call(SYS_nice, 1000, 0, 0);
    printf("; %d, now %d\n", r, getpriority(PRIO_PROCESS, 0));
    char us[32];
    r = call(SYS_ustat, 0x7fff, (long)us, 0);
    printf("ustat of nothing: %d; vm86: %d %d\n", r, call(SYS_vm86, 0, 0, 0), call(SYS_vm86old, 0, 0, 0));
    return 0;
}
#else
int main(void) { puts("not here"); return 0; }
#endif
