/* System calls of guests with 32-bit words that a description of their arguments does not cover; older forms of today's. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/ipc.h>   /* SEMOP and its like */
#include <linux/msg.h>
#include <linux/sem.h>
#include <linux/shm.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>

#include "tcg/user/calls.h"
#include "tcg/user/convert.h"

#define PTR(p) ((uint64_t)(uintptr_t)(p))

/* @n words of the guest at @at, not signed. */
static bool get_words(UserThread *t, uint64_t at, unsigned n, uint64_t *ret)
{
    for (unsigned k = 0; k < n; k++)
        if (!user_get_word(t, &ret[k], at + k * user_word(t->call_abi)))
            return false;
    return true;
}

/* ---- memory, files ---- */
int64_t user_sys_old_mmap(UserThread *t, const uint64_t *a)
{
    uint64_t w[6];
    if (!get_words(t, a[0], 6, w))
        return -EFAULT;
    return user_mmap(t, w[0], w[1], (int)w[2], (int)w[3], (int)w[4], w[5]);
}

int64_t user_sys_llseek(UserThread *t, const uint64_t *a)
{
    int64_t r = user_host_syscall(t, SYS_lseek, a[0], a[1] << 32 | (uint32_t)a[2], a[4], 0, 0, 0);
    return r < 0 ? r : user_put(t, a[3], &r, 8) ? 0 : -EFAULT;
}

int64_t user_sys_old_select(UserThread *t, const uint64_t *a)
{
    static const UserCall call = { USYS_select, { { HOW_S, 0 }, { HOW_FDS, 0 }, { HOW_FDS, 0 }, { HOW_FDS, 0 }, { HOW_IO, UST_timeval } } };
    uint64_t w[6] = { 0 };
    return get_words(t, a[0], 5, w) ? user_call_converted(t, &call, w) : -EFAULT;
}

/* struct linux_dirent: ino, off (words), reclen, name, 0, type at the end. */
int64_t user_sys_small_getdents(UserThread *t, const uint64_t *a)
{
    enum { ROOM = 32768 };
    typedef struct Dirent64 { uint64_t ino; int64_t off; uint16_t reclen; uint8_t type; char name[]; } Dirent64;
    unsigned word = user_word(t->call_abi), head = 2 * word + 2;
    uint64_t room = MIN((uint32_t)a[2], ROOM);
    g_autofree uint8_t *host = g_malloc0(room + 8), *guest = g_malloc0(room + 8);
    int64_t got = user_host_syscall(t, SYS_getdents64, a[0], PTR(host), room, 0, 0, 0), out = 0;
    for (int64_t n = 0; n < got;) {          /* a record is never longer than the host's */
        const Dirent64 *d = (const void *)(host + n);
        size_t name = strlen(d->name);
        uint16_t len = (uint16_t)((head + name + 2 + word - 1) & ~(size_t)(word - 1));
        memset(guest + out, 0, len);
        memcpy(guest + out, &d->ino, word);
        memcpy(guest + out + word, &d->off, word);
        memcpy(guest + out + 2 * word, &len, 2);
        memcpy(guest + out + head, d->name, name);
        guest[out + len - 1] = d->type;
        out += len;
        n += d->reclen;
    }
    return got <= 0 ? got : user_put(t, a[1], guest, (size_t)out) ? out : -EFAULT;
}

/* flock, and flock64 under numbers that only these guests have (asm-generic/fcntl.h). */
static int64_t lock(UserThread *t, uint64_t fd, int cmd, uint64_t at, UserStructId id)
{
    struct flock fl;
    int64_t r = user_struct_get(t, id, &fl, at);
    r = r ? r : user_host_syscall(t, SYS_fcntl, fd, (uint64_t)cmd, PTR(&fl), 0, 0, 0);
    return r || (cmd != F_GETLK && cmd != F_OFD_GETLK) ? r : user_struct_put(t, id, at, &fl);
}

int64_t user_sys_small_fcntl(UserThread *t, const uint64_t *a)
{
    enum { GETLK64 = 12, SETLK64, SETLKW64 };
    int cmd = (int)a[1];
    switch (cmd) {
    case F_GETLK: case F_SETLK: case F_SETLKW: return lock(t, a[0], cmd, a[2], UST_flock);
    case GETLK64: case SETLK64: case SETLKW64: return lock(t, a[0], cmd - GETLK64 + F_GETLK, a[2], UST_flock64);
    case F_OFD_GETLK: case F_OFD_SETLK: case F_OFD_SETLKW: return lock(t, a[0], cmd, a[2], UST_flock64);
    default: return user_sys_fcntl(t, a);
    }
}

/* ---- system ---- */
/* Sizes that do not fit are told in larger units. */
int64_t user_sys_small_sysinfo(UserThread *t, const uint64_t *a)
{
    struct sysinfo s;
    if (sysinfo(&s))
        return -errno;
    unsigned long *v[] = { &s.totalram, &s.freeram, &s.sharedram, &s.bufferram, &s.totalswap, &s.freeswap, &s.totalhigh, &s.freehigh };
    while ((s.totalram | s.totalswap) >> 32) {
        for (unsigned n = 0; n < G_N_ELEMENTS(v); n++)
            *v[n] >>= 1;
        s.mem_unit <<= 1;
    }
    return user_struct_put(t, UST_sysinfo, a[0], &s);
}

static int64_t groups(UserThread *t, long nr, const uint64_t *a)
{
    enum { MAX_GROUPS = 65536 };
    int n = nr == SYS_getgroups ? MIN((int)a[0], MAX_GROUPS) : (int)a[0];
    if (n < 0 || n > MAX_GROUPS)
        return user_host_syscall(t, nr, a[0], USER_BAD_POINTER, 0, 0, 0, 0);
    g_autofree uint32_t *wide = g_new0(uint32_t, (gsize)n + 1);
    g_autofree uint16_t *small = g_new0(uint16_t, (gsize)n + 1);
    if (nr == SYS_setgroups) {
        if (!user_get(t, small, a[1], (size_t)n * 2))
            return user_host_syscall(t, nr, a[0], USER_BAD_POINTER, 0, 0, 0, 0);
        for (int k = 0; k < n; k++)
            wide[k] = small[k];
    }
    int64_t r = user_host_syscall(t, nr, (uint64_t)n, PTR(wide), 0, 0, 0, 0);
    for (int k = 0; k < MIN(r, n); k++)      /* none are asked for: r is how many there are */
        small[k] = wide[k] > UINT16_MAX ? 65534 : (uint16_t)wide[k];
    return r <= 0 || !n || nr == SYS_setgroups || user_put(t, a[1], small, (size_t)r * 2) ? r : -EFAULT;
}

int64_t user_sys_small_getgroups(UserThread *t, const uint64_t *a) { return groups(t, SYS_getgroups, a); }
int64_t user_sys_small_setgroups(UserThread *t, const uint64_t *a) { return groups(t, SYS_setgroups, a); }

/* A mask of CPUs in words that are shorter than the kernel's. */
int64_t user_sys_small_sched_getaffinity(UserThread *t, const uint64_t *a)
{
    uint64_t mask[128] = { 0 }, len = (uint32_t)a[1];
    unsigned word = user_word(t->call_abi);
    if (len & (word - 1))
        return -EINVAL;
    int64_t r = user_host_syscall(t, SYS_sched_getaffinity, a[0], MIN((len + 7) & ~7ull, sizeof(mask)), PTR(mask), 0, 0, 0);
    r = r > 0 ? MIN(r, (int64_t)len) : r;
    return r <= 0 || user_put(t, a[2], mask, (size_t)r) ? r : -EFAULT;
}

/* The size of the structure is the second argument. */
static int64_t statfs64(UserThread *t, const uint64_t *a, unsigned sys)
{
    const UserCall call = { (uint16_t)sys, { { HOW_U, 0 }, { HOW_OUT, UST_statfs64 } } };
    return a[1] != user_struct_guest_size(t->call_abi, UST_statfs64) ? -EINVAL : user_call_converted(t, &call, (const uint64_t[6]){ a[0], a[2] });
}

int64_t user_sys_small_statfs64(UserThread *t, const uint64_t *a) { return statfs64(t, a, USYS_statfs); }
int64_t user_sys_small_fstatfs64(UserThread *t, const uint64_t *a) { return statfs64(t, a, USYS_fstatfs); }

int64_t user_sys_small_stime(UserThread *t, const uint64_t *a)
{
    struct timeval tv = { 0 };
    int32_t sec;
    if (!user_get(t, &sec, a[0], 4))
        return -EFAULT;
    tv.tv_sec = sec;
    return user_host_syscall(t, SYS_settimeofday, PTR(&tv), 0, 0, 0, 0, 0);
}

/* ---- signals of old ---- */
int64_t user_sys_old_signal(UserThread *t, const uint64_t *a)
{
    UserSigaction set = { .handler = a[1], .flags = SA_RESETHAND | SA_NODEFER }, old;
    int64_t r = user_sigaction(t, (int)a[0], &set, &old);
    return r ? r : (int64_t)old.handler;
}

int64_t user_sys_old_sigsuspend(UserThread *t, const uint64_t *a)
{
    uint64_t set = (uint32_t)a[2];
    return user_sys_rt_sigsuspend(t, (const uint64_t[6]){ PTR(&set), 8 });
}

int64_t user_sys_sgetmask(UserThread *t, const uint64_t *a) { (void)a; return (int64_t)(uint32_t)t->mask; }

int64_t user_sys_ssetmask(UserThread *t, const uint64_t *a)
{
    int64_t old = (int64_t)(uint32_t)t->mask;
    user_set_mask(t, (uint32_t)a[0]);
    return old;
}

/* ---- futexes ---- */
int64_t user_sys_small_futex(UserThread *t, const uint64_t *a)
{
    int cmd = (int)a[1] & FUTEX_CMD_MASK;
    bool waits = cmd == FUTEX_WAIT || cmd == FUTEX_WAIT_BITSET || cmd == FUTEX_LOCK_PI || cmd == FUTEX_LOCK_PI2 || cmd == FUTEX_WAIT_REQUEUE_PI;
    struct timespec ts;
    if (waits && a[3]) {
        int64_t r = user_struct_get(t, UST_timespec, &ts, a[3]);
        return r ? r : user_host_syscall(t, SYS_futex, a[0], a[1], a[2], PTR(&ts), a[4], a[5]);
    }
    return user_host_syscall(t, SYS_futex, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int64_t user_sys_small_set_robust_list(UserThread *t, const uint64_t *a)
{
    if (a[1] != 3 * user_word(t->call_abi))
        return -EINVAL;
    t->robust = a[0];
    return 0;
}

int64_t user_sys_small_get_robust_list(UserThread *t, const uint64_t *a)
{
    unsigned word = user_word(t->call_abi);
    uint64_t len = 3 * word;
    if (a[0] && (int)a[0] != t->tid) {      /* of another: whether there is one, then no */
        int64_t r = user_host_syscall(t, SYS_get_robust_list, a[0], PTR((uint64_t[1]){ 0 }), PTR((uint64_t[1]){ 0 }), 0, 0, 0);
        return r < 0 ? r : -EPERM;
    }
    return user_put(t, a[1], &t->robust, word) && user_put(t, a[2], &len, word) ? 0 : -EFAULT;
}

/* The owner is dead: say so in the futex and wake one (Documentation/locking/robust-futexes). */
static bool robust_one(UserThread *t, uint64_t entry, uint64_t offset)
{
    uint64_t at = (uint32_t)((entry & ~1ull) + offset);
    uint32_t v, was;
    if (at & 3 || !user_get(t, &v, at, 4))
        return false;
    do {
        if ((v & FUTEX_TID_MASK) != (uint32_t)t->tid)
            return true;
        was = v;
        if (!user_cas32(t, at, &v, (was & FUTEX_WAITERS) | FUTEX_OWNER_DIED))
            return false;
    } while (v != was);
    if (v & FUTEX_WAITERS)
        syscall(SYS_futex, g2h(at), FUTEX_WAKE, 1, NULL, NULL, 0);
    return true;
}

TCG_CALL_PATH void user_robust_exit(UserThread *t)
{
    enum { MAX_ENTRIES = 2048 };
    uint64_t head[3], at = t->robust;
    t->robust = 0;
    if (!at || !get_words(t, at, 3, head))
        return;
    uint64_t entry = head[0];
    for (unsigned n = 0; (entry & ~1ull) != at && n < MAX_ENTRIES; n++) {
        uint64_t next;
        if (!user_get_word(t, &next, entry & ~1ull) || (entry != head[2] && !robust_one(t, entry, head[1])))
            return;
        entry = next;
    }
    if (head[2])
        robust_one(t, head[2], head[1]);
}

/* ---- System V ---- */
/* The control calls: IPC_STAT and IPC_SET have a structure, others a number or the host's own form. */
static int64_t ipc_ctl(UserThread *t, long nr, UserStructId id, const uint64_t *a, int cmd, uint64_t arg, bool sem)
{
    uint8_t host[USER_STRUCT_MAX] = { 0 };
    bool stat = cmd == IPC_STAT || (id == UST_shmid_ds && (cmd == SHM_STAT || cmd == SHM_STAT_ANY)) || (id == UST_msqid_ds && (cmd == MSG_STAT || cmd == MSG_STAT_ANY)) ||
                (id == UST_semid_ds && (cmd == SEM_STAT || cmd == SEM_STAT_ANY));
    UserStructId info = id != UST_shmid_ds ? UST_NONE : cmd == IPC_INFO ? UST_shminfo : cmd == SHM_INFO ? UST_shm_info : UST_NONE;
    int64_t r = cmd == IPC_SET ? user_struct_get(t, id, host, arg) : 0;
    uint64_t where = stat || info || cmd == IPC_SET ? PTR(host) : arg;
    if (r)
        return r;
    r = sem ? user_host_syscall(t, nr, a[0], a[1], (uint64_t)cmd, where, 0, 0) : user_host_syscall(t, nr, a[0], (uint64_t)cmd, where, 0, 0, 0);
    int64_t e = r >= 0 && (stat || info) ? user_struct_put(t, info ? info : id, arg, host) : 0;
    return e ? e : r;
}

#ifndef IPC_64
#define IPC_64 0x100
#endif
int64_t user_sys_small_semctl(UserThread *t, const uint64_t *a) { return ipc_ctl(t, SYS_semctl, UST_semid_ds, a, (int)a[2] & ~IPC_64, a[3], true); }
int64_t user_sys_small_shmctl(UserThread *t, const uint64_t *a) { return ipc_ctl(t, SYS_shmctl, UST_shmid_ds, a, (int)a[1] & ~IPC_64, a[2], false); }
int64_t user_sys_small_msgctl(UserThread *t, const uint64_t *a) { return ipc_ctl(t, SYS_msgctl, UST_msqid_ds, a, (int)a[1] & ~IPC_64, a[2], false); }

enum { MAX_MSG = 1 << 20 };
/* struct msgbuf: a word, then the text. */
int64_t user_sys_small_msgsnd(UserThread *t, const uint64_t *a)
{
    unsigned word = user_word(t->call_abi);
    uint64_t len = (uint32_t)a[2];
    uint32_t type;
    if (len > MAX_MSG)
        return -EINVAL;
    g_autofree uint8_t *buf = g_malloc(len + 8);
    if (!user_get(t, &type, a[1], 4) || !user_get(t, buf + 8, a[1] + word, len))
        return -EFAULT;
    memcpy(buf, &(int64_t){ (int32_t)type }, 8);
    return user_host_syscall(t, SYS_msgsnd, a[0], PTR(buf), len, a[3], 0, 0);
}

int64_t user_sys_small_msgrcv(UserThread *t, const uint64_t *a)
{
    unsigned word = user_word(t->call_abi);
    uint64_t len = (uint32_t)a[2];
    if (len > MAX_MSG)
        return -EINVAL;
    g_autofree uint8_t *buf = g_malloc0(len + 8);
    int64_t r = user_host_syscall(t, SYS_msgrcv, a[0], PTR(buf), len, a[3], a[4], 0);
    return r < 0 ? r : user_put(t, a[1], buf, word) && user_put(t, a[1] + word, buf + 8, (size_t)r) ? r : -EFAULT;
}

int64_t user_sys_ipc(UserThread *t, const uint64_t *a)
{
    unsigned call = a[0] & 0xffff, version = (unsigned)(a[0] >> 16 & 0xffff);
    uint64_t first = a[1], second = a[2], third = a[3], ptr = a[4], w[2];
    struct timespec ts;
    int64_t r;
    switch (call) {
    case SEMOP: return user_host_syscall(t, SYS_semop, first, ptr, second, 0, 0, 0);
    case SEMTIMEDOP:
        r = a[5] ? user_struct_get(t, UST_timespec, &ts, a[5]) : 0;
        return r ? r : user_host_syscall(t, SYS_semtimedop, first, ptr, second, a[5] ? PTR(&ts) : 0, 0, 0);
    case SEMGET: return user_host_syscall(t, SYS_semget, first, second, third, 0, 0, 0);
    case SEMCTL:
        return user_get_word(t, w, ptr) ? user_sys_small_semctl(t, (const uint64_t[6]){ first, second, third, w[0] }) : -EFAULT;
    case MSGSND: return user_sys_small_msgsnd(t, (const uint64_t[6]){ first, ptr, second, third });
    case MSGRCV:
        if (version)
            return user_sys_small_msgrcv(t, (const uint64_t[6]){ first, ptr, second, (uint64_t)(int64_t)(int32_t)a[5], third });
        return get_words(t, ptr, 2, w) ? user_sys_small_msgrcv(t, (const uint64_t[6]){ first, w[0], second, (uint64_t)(int64_t)(int32_t)w[1], third }) : -EFAULT;
    case MSGGET: return user_host_syscall(t, SYS_msgget, first, second, 0, 0, 0, 0);
    case MSGCTL: return user_sys_small_msgctl(t, (const uint64_t[6]){ first, second, ptr });
    case SHMAT:
        r = user_shmat(t, (int)first, ptr, (int)second);
        return r < 0 && r > -4096 ? r : user_put(t, third, &r, user_word(t->call_abi)) ? 0 : -EFAULT;
    case SHMDT: return user_shmdt(t, ptr);
    case SHMGET: return user_host_syscall(t, SYS_shmget, first, second, third, 0, 0, 0);
    case SHMCTL: return user_sys_small_shmctl(t, (const uint64_t[6]){ first, second, ptr });
    default: return -ENOSYS;
    }
}
