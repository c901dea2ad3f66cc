/* System calls that only the oldest programs make, i386's: their structures are those of Linux 1. */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>

#include "tcg/user/calls.h"
#include "tcg/user/convert.h"

#define PTR(p) ((uint64_t)(uintptr_t)(p))

/* struct __old_kernel_stat (asm/stat.h). What does not fit into inode and links is refused, sizes and times are cut. */
static int64_t old_stat(UserThread *t, unsigned sys, const uint64_t *a)
{
    struct { uint16_t dev, ino, mode, nlink, uid, gid, rdev, pad; uint32_t size, atime, mtime, ctime; } o;
    struct stat st;
    int64_t r = user_call(t, sys, (uint64_t[6]){ a[0], PTR(&st) });
    if (r)
        return r;
    memset(&o, 0, sizeof(o));
    o.dev = (uint16_t)(major(st.st_dev) << 8 | (minor(st.st_dev) & 0xff));
    o.ino = (uint16_t)st.st_ino;
    o.mode = (uint16_t)st.st_mode;
    o.nlink = (uint16_t)st.st_nlink;
    o.uid = st.st_uid > UINT16_MAX ? 65534 : (uint16_t)st.st_uid;
    o.gid = st.st_gid > UINT16_MAX ? 65534 : (uint16_t)st.st_gid;
    o.rdev = (uint16_t)(major(st.st_rdev) << 8 | (minor(st.st_rdev) & 0xff));
    o.size = (uint32_t)st.st_size;
    o.atime = (uint32_t)st.st_atime;
    o.mtime = (uint32_t)st.st_mtime;
    o.ctime = (uint32_t)st.st_ctime;
    if (o.ino != st.st_ino || o.nlink != st.st_nlink)
        return -EOVERFLOW;
    return user_put(t, a[1], &o, sizeof(o)) ? 0 : -EFAULT;
}

int64_t user_sys_old_stat(UserThread *t, const uint64_t *a) { return old_stat(t, USYS_stat, a); }
int64_t user_sys_old_lstat(UserThread *t, const uint64_t *a) { return old_stat(t, USYS_lstat, a); }
int64_t user_sys_old_fstat(UserThread *t, const uint64_t *a) { return old_stat(t, USYS_fstat, a); }

/* Five names of @size bytes each, in @room of them there is text. */
static int64_t old_uname(UserThread *t, uint64_t at, size_t size, size_t room)
{
    struct utsname u;
    char all[5 * sizeof(u.sysname)] = "";
    int64_t r = user_call(t, USYS_uname, (uint64_t[6]){ PTR(&u) });
    const char *const names[] = { u.sysname, u.nodename, u.release, u.version, u.machine };
    for (unsigned n = 0; !r && n < G_N_ELEMENTS(names); n++)
        memcpy(all + n * size, names[n], strnlen(names[n], room));
    return r ? r : user_put(t, at, all, 5 * size) ? 0 : -EFAULT;
}

int64_t user_sys_olduname(UserThread *t, const uint64_t *a) { return old_uname(t, a[0], 65, 65); }
int64_t user_sys_oldolduname(UserThread *t, const uint64_t *a) { return old_uname(t, a[0], 9, 8); }

int64_t user_sys_nice(UserThread *t, const uint64_t *a)
{
    int64_t now = user_host_syscall(t, SYS_getpriority, PRIO_PROCESS, 0, 0, 0, 0, 0);      /* 20 - nice */
    int64_t want = CLAMP(20 - now + CLAMP((int)a[0], -40, 40), -20, 19);
    int64_t r = now < 0 ? now : user_host_syscall(t, SYS_setpriority, PRIO_PROCESS, 0, (uint64_t)want, 0, 0, 0);
    return r == -EACCES ? -EPERM : r;
}

/* struct old_linux_dirent: one entry a call. The file goes on behind it. */
int64_t user_sys_old_readdir(UserThread *t, const uint64_t *a)
{
    enum { ROOM = 1024, HEAD = 10 };
    uint8_t host[ROOM] __attribute__((aligned(8))), guest[HEAD + ROOM] = { 0 };
    const struct { uint64_t ino; int64_t off; uint16_t reclen; uint8_t type; char name[]; } *d = (const void *)host;
    int64_t start = user_host_syscall(t, SYS_lseek, a[0], 0, SEEK_CUR, 0, 0, 0);
    int64_t got = user_host_syscall(t, SYS_getdents64, a[0], PTR(host), sizeof(host), 0, 0, 0);
    if (got <= 0)
        return got;
    uint16_t len = (uint16_t)strnlen(d->name, ROOM - offsetof(struct dirent64, d_name));
    user_host_syscall(t, SYS_lseek, a[0], (uint64_t)d->off, SEEK_SET, 0, 0, 0);
    memcpy(guest, &d->ino, 4);
    memcpy(guest + 4, &start, 4);
    memcpy(guest + 8, &len, 2);
    memcpy(guest + HEAD, d->name, len);
    if ((uint32_t)d->ino != d->ino)
        return -EOVERFLOW;
    return user_put(t, a[1], guest, HEAD + len + 1u) ? 1 : -EFAULT;
}

/* struct ustat (ustat(2)). */
int64_t user_sys_small_ustat(UserThread *t, const uint64_t *a)
{
    struct { int32_t free, pad; uint64_t inodes; char name[6], pack[6]; uint32_t pad2; } host = { 0 };
    struct { int32_t free; uint32_t inodes; char name[6], pack[6]; } guest = { 0 };
    int64_t r = user_host_syscall(t, SYS_ustat, (uint32_t)a[0], PTR(&host), 0, 0, 0, 0);
    guest.free = host.free;
    guest.inodes = (uint32_t)host.inodes;
    return r ? r : user_put(t, a[1], &guest, sizeof(guest)) ? 0 : -EFAULT;
}
