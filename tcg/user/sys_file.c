/* System calls: files. Paths go through the sysroot; /proc/self shows the guest, not us. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tcg/user/calls.h"
#include "tcg/user/convert.h"

#define PTR(p) ((uint64_t)(uintptr_t)(p))
enum { PATH_BYTES = 4096 };

/*
 * What the kernel shows of itself is this system's, also where the sysroot has the empty folders that it is mounted on. So are the root, which programs that
 * walk through a tree know by its number, and temporary files: what is made there is not in the sysroot, but would be looked for in its folder.
 */
static bool of_system(const char *path)
{
    static const char *const tops[] = { "/proc", "/sys", "/dev", "/tmp" };
    if (!path[strspn(path, "/.")])
        return true;
    for (unsigned n = 0; n < G_N_ELEMENTS(tops); n++) {
        size_t len = strlen(tops[n]);
        if (!strncmp(path, tops[n], len) && (!path[len] || path[len] == '/'))
            return true;
    }
    return false;
}

uint64_t user_path(UserThread *t, uint64_t at, char **ret_path)
{
    const char *root = t->proc->options.sysroot;
    char *path = *ret_path = user_string(t, at, PATH_BYTES);
    if (!path)
        return at;
    if (root && path[0] == '/' && !of_system(path)) {
        char *in_root = g_build_filename(root, path, NULL);
        if (!faccessat(AT_FDCWD, in_root, F_OK, AT_SYMLINK_NOFOLLOW)) {
            g_free(path);
            path = in_root;
        } else {
            g_free(in_root);
        }
    }
    *ret_path = path;
    return PTR(path);
}

/* ---- /proc/self ---- */
/* The file's name behind /proc/self/, /proc/OUR-PID/, and task/TID/ in them, else NULL. */
static const char *proc_self(const char *path)
{
    const char *name = NULL;
    if (!g_str_has_prefix(path, "/proc/"))
        return NULL;
    g_autofree char *ours = g_strdup_printf("/proc/%d/", (int)getpid());
    if (g_str_has_prefix(path, "/proc/thread-self/"))
        return path + strlen("/proc/thread-self/");
    if (g_str_has_prefix(path, "/proc/self/"))
        name = path + strlen("/proc/self/");
    else if (g_str_has_prefix(path, ours))
        name = path + strlen(ours);
    if (name && g_str_has_prefix(name, "task/") && g_ascii_isdigit(name[5])) {
        const char *behind = strchr(name + 5, '/');
        name = behind ? behind + 1 : name;
    }
    return name;
}

static int made_up(const void *data, size_t len)
{
    int fd = memfd_create("proc", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (write(fd, data, len) != (ssize_t)len || lseek(fd, 0, SEEK_SET)) {
        close(fd);
        return -ENOMEM;
    }
    return fd;
}

static int made_up_cmdline(const UserProc *p)
{
    g_autoptr(GByteArray) all = g_byte_array_new();
    for (char **s = p->argv; *s; s++)
        g_byte_array_append(all, (const guint8 *)*s, (guint)strlen(*s) + 1);
    return made_up(all->data, all->len);
}

static int made_up_auxv(const UserProc *p)
{
    unsigned word = user_word(p->abi);
    uint8_t all[sizeof(p->auxv)];
    for (unsigned n = 0; n < p->n_auxv; n++)
        memcpy(all + n * word, &p->auxv[n], word);
    return made_up(all, p->n_auxv * word);
}

/* The guest's CPU, as often as there are host CPUs. */
static int made_up_cpuinfo(const UserProc *p)
{
    g_autoptr(GString) s = g_string_new(NULL);
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    for (long k = 0; k < n; k++)
        p->abi->cpu_info(p, s, (unsigned)k);
    return made_up(s->str, s->len);
}

int user_proc_open(UserThread *t, const char *path, int flags)
{
    const char *name = proc_self(path);
    int fd = -ENOENT;
    bool cpus = t->proc->abi->cpu_info && !strcmp(path, "/proc/cpuinfo");
    if (!name && !cpus)
        return -1;
    if (cpus) {
        fd = made_up_cpuinfo(t->proc);
    } else if (!strcmp(name, "maps")) {
        g_autofree char *text = user_maps_text(t->proc);
        fd = made_up(text, strlen(text));
    } else if (!strcmp(name, "auxv")) {
        fd = made_up_auxv(t->proc);
    } else if (!strcmp(name, "cmdline") && !t->proc->strings_shown) {
        fd = made_up_cmdline(t->proc);
    } else if (!strcmp(name, "exe")) {
        fd = open(t->proc->exe, flags);
        fd = fd < 0 ? -errno : fd;
    } else {
        if (!strcmp(name, "mem") && flags & O_ACCMODE)
            t->proc->lasting = true;         /* may write where nobody can: no code is what its file says */
        return -1;
    }
    if (fd >= 0 && !(flags & O_CLOEXEC))
        fcntl(fd, F_SETFD, 0);
    return fd < 0 ? fd - 1 : fd;             /* -1 is taken: errors are one lower */
}

static int64_t open_path(UserThread *t, int dir, uint64_t at, int flags, uint64_t mode, const struct open_how *how)
{
    g_autofree char *path = NULL;
    uint64_t p = user_path(t, at, &path);
    int fd = path ? user_proc_open(t, path, flags) : -1;
    if (fd != -1)
        return fd < -1 ? fd + 1 : fd;
    if (how)
        return user_host_syscall(t, SYS_openat2, (uint64_t)dir, p, PTR(how), sizeof(*how), 0, 0);
    return user_host_syscall(t, SYS_openat, (uint64_t)dir, p, (uint64_t)flags, mode, 0, 0);
}

static int flags_in(const UserThread *t, uint64_t flags) { return t->proc->abi->open_flags ? t->proc->abi->open_flags((int)flags) : (int)flags; }

int64_t user_sys_open(UserThread *t, const uint64_t *a) { return open_path(t, AT_FDCWD, a[0], flags_in(t, a[1]), a[2], NULL); }
int64_t user_sys_openat(UserThread *t, const uint64_t *a) { return open_path(t, (int)a[0], a[1], flags_in(t, a[2]), a[3], NULL); }

int64_t user_sys_openat2(UserThread *t, const uint64_t *a)
{
    struct open_how how = { 0 };
    int64_t r = user_get_extensible(t, &how, sizeof(how), a[2], a[3], sizeof(how));
    if (r)
        return r;
    how.flags = (uint64_t)(unsigned)flags_in(t, how.flags);
    return open_path(t, (int)a[0], a[1], (int)how.flags, how.mode, &how);
}

/* ---- stat ---- */
static int64_t put_stat(UserThread *t, uint64_t at, const struct stat *st)
{
    uint8_t guest[256];
    const UserAbi *abi = t->proc->abi;
    if (!abi->put_stat)
        return user_put(t, at, st, sizeof(*st)) ? 0 : -EFAULT;
    return user_put(t, at, guest, abi->put_stat(guest, st)) ? 0 : -EFAULT;
}

/* user_path, and what /proc/self/exe leads to. */
static uint64_t stat_name(UserThread *t, uint64_t at, int flags, char **to_free)
{
    uint64_t p = user_path(t, at, to_free);
    const char *name = *to_free ? proc_self(*to_free) : NULL;
    return name && !strcmp(name, "exe") && !(flags & AT_SYMLINK_NOFOLLOW) ? PTR(t->proc->exe) : p;
}

static int64_t stat_path(UserThread *t, int dir, uint64_t path_at, uint64_t to, int flags)
{
    struct stat st;
    g_autofree char *to_free = NULL;
    uint64_t path = stat_name(t, path_at, flags, &to_free);
    int64_t r = user_host_syscall(t, SYS_newfstatat, (uint64_t)dir, path, PTR(&st), (uint64_t)flags, 0, 0);
    return r ? r : put_stat(t, to, &st);
}

/* Its structure is the same for all guests. */
int64_t user_sys_statx(UserThread *t, const uint64_t *a)
{
    g_autofree char *to_free = NULL;
    uint64_t path = stat_name(t, a[1], (int)a[2], &to_free);
    user_will_write(t, a[4], 256);
    return user_host_syscall(t, SYS_statx, a[0], path, a[2], a[3], a[4], 0);
}

int64_t user_sys_stat(UserThread *t, const uint64_t *a) { return stat_path(t, AT_FDCWD, a[0], a[1], 0); }
int64_t user_sys_lstat(UserThread *t, const uint64_t *a) { return stat_path(t, AT_FDCWD, a[0], a[1], AT_SYMLINK_NOFOLLOW); }
int64_t user_sys_newfstatat(UserThread *t, const uint64_t *a) { return stat_path(t, (int)a[0], a[1], a[2], (int)a[3]); }

int64_t user_sys_fstat(UserThread *t, const uint64_t *a)
{
    struct stat st;
    int64_t r = user_host_syscall(t, SYS_fstat, a[0], PTR(&st), 0, 0, 0, 0);
    return r ? r : put_stat(t, a[1], &st);
}

/* ---- links ---- */
static int64_t read_link(UserThread *t, int dir, uint64_t path_at, uint64_t to, uint64_t size)
{
    char buf[PATH_BYTES];
    g_autofree char *path = NULL;
    uint64_t p = user_path(t, path_at, &path);
    const char *name = path ? proc_self(path) : NULL;
    int64_t r;
    if ((int)size <= 0) {
        r = -EINVAL;
    } else if (name && !strcmp(name, "exe")) {
        r = (int64_t)strlen(t->proc->exe);
        memcpy(buf, t->proc->exe, MIN((size_t)r, sizeof(buf)));
    } else {
        r = user_host_syscall(t, SYS_readlinkat, (uint64_t)dir, p, PTR(buf), sizeof(buf), 0, 0);
    }
    r = r > 0 ? (int64_t)MIN((uint64_t)r, size) : r;
    return r <= 0 || user_put(t, to, buf, (size_t)r) ? r : -EFAULT;
}

int64_t user_sys_readlink(UserThread *t, const uint64_t *a) { return read_link(t, AT_FDCWD, a[0], a[1], a[2]); }
int64_t user_sys_readlinkat(UserThread *t, const uint64_t *a) { return read_link(t, (int)a[0], a[1], a[2], a[3]); }

/* ---- flags that differ ---- */
int64_t user_sys_fcntl(UserThread *t, const uint64_t *a)
{
    const UserAbi *abi = t->proc->abi;
    uint64_t arg = (int)a[1] == F_SETFL ? (uint64_t)flags_in(t, a[2]) : a[2];
    int64_t r = user_host_syscall(t, SYS_fcntl, a[0], a[1], arg, 0, 0, 0);
    return (int)a[1] == F_GETFL && r >= 0 && abi->open_flags_back ? abi->open_flags_back((int)r) : r;
}

int64_t user_sys_dup3(UserThread *t, const uint64_t *a) { return user_host_syscall(t, SYS_dup3, a[0], a[1], (uint64_t)flags_in(t, a[2]), 0, 0, 0); }

int64_t user_sys_pipe2(UserThread *t, const uint64_t *a)
{
    return user_host_syscall(t, SYS_pipe2, a[0], (uint64_t)flags_in(t, a[1]), 0, 0, 0, 0);
}
