/* System calls: processes, threads, exec. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "tcg/user/calls.h"
#include "tcg/user/convert.h"

#define PTR(p) ((uint64_t)(uintptr_t)(p))
enum { STRING_MAX = 131072, ALL_MAX = 16 << 20 };     /* MAX_ARG_STRLEN; more than the kernel ever takes, with the pointers */

int64_t user_sys_exit(UserThread *t, const uint64_t *a) { return user_thread_exit(t, (int)a[0]); }
TCG_CALL_PATH int64_t user_sys_exit_group(UserThread *t, const uint64_t *a) { return user_exit_group(t, (int)a[0]); }

int64_t user_sys_set_tid_address(UserThread *t, const uint64_t *a)
{
    t->clear_tid = a[0];
    return syscall(SYS_gettid);
}

TCG_CALL_PATH int64_t user_sys_set_robust_list(UserThread *t, const uint64_t *a)
{
    if (t->proc->vfork && a[1] == 3 * sizeof(uint64_t) && getpid() == t->tid)
        return 0;              /* its parent waits by the one that the kernel has */
    return user_host_syscall(t, SYS_set_robust_list, a[0], a[1], 0, 0, 0, 0);
}

/* ---- exec: this program again, with the guest's program as its argument ---- */
/* *bytes: grows as the kernel counts. */
static int64_t get_list(UserThread *t, uint64_t at, GPtrArray *list, uint64_t *bytes)
{
    for (uint64_t n = 0; at; n++) {
        uint64_t p = 0;
        if (!user_get_word(t, &p, at + n * user_word(t->call_abi)))
            return -EFAULT;
        if (!p)
            break;
        char *s = user_string(t, p, STRING_MAX), last;
        if (!s)
            return user_get(t, &last, p + STRING_MAX - 1, 1) ? -E2BIG : -EFAULT;
        g_ptr_array_add(list, s);
        size_t len = strlen(s);
        *bytes += len + 1 + sizeof(p);
        if (*bytes > ALL_MAX || len >= STRING_MAX)
            return -E2BIG;
    }
    return 0;
}

/* The kernel's limit (execve(2), "Limits on size of arguments and environment"), who is not asked when the program is executed in this process. */
static bool too_much(uint64_t bytes)
{
    struct rlimit stack;
    uint64_t most = 6 << 20;
    if (!getrlimit(RLIMIT_STACK, &stack))
        most = MAX(MIN(most, stack.rlim_cur / 4), (uint64_t)STRING_MAX);
    return bytes > most;
}

/* What the kernel would say before it gives the old program up. */
static int64_t check_program(const char *path)
{
    unsigned machine, elf_class;
    char head[2] = { 0 };
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    struct stat st;
    int64_t r = access(path, X_OK) ? -errno : fstat(fd, &st) || !S_ISREG(st.st_mode) ? -EACCES : 0;
    bool script = pread(fd, head, 2, 0) == 2 && head[0] == '#' && head[1] == '!';
    if (!r && !script && (!user_elf_peek(fd, &machine, &elf_class) || !user_guest_name(machine, elf_class)))
        r = -ENOEXEC;
    close(fd);
    return r;
}

static int64_t exec_self(UserThread *t, const char *path, GPtrArray *args, GPtrArray *env)
{
    const UserOptions *o = &t->proc->options;
    g_autoptr(GPtrArray) all = g_ptr_array_new();
    int64_t r;
    g_ptr_array_add(args, NULL);
    g_ptr_array_add(env, NULL);
    if (user_exec_here(t, path, (char **)args->pdata, (char **)env->pdata))
        return 0;
    g_ptr_array_set_size(args, (int)args->len - 1);
    g_ptr_array_add(all, (char *)o->self);
    for (char *const *s = o->self_args; s && *s; s++)
        g_ptr_array_add(all, *s);
    g_autofree char *limits = user_limits_text(t->proc);
    if (limits) {
        g_ptr_array_add(all, "-limits");
        g_ptr_array_add(all, limits);
    }
    g_ptr_array_add(all, "-0");
    g_ptr_array_add(all, args->len ? args->pdata[0] : "");
    g_ptr_array_add(all, "--");   /* the path may look like an option */
    g_ptr_array_add(all, (char *)path);
    for (guint n = 1; n < args->len; n++)
        g_ptr_array_add(all, args->pdata[n]);
    g_ptr_array_add(all, NULL);
    r = user_host_syscall(t, SYS_execve, PTR("/proc/self/exe"), PTR(all->pdata), PTR(env->pdata), 0, 0, 0);
    if (r == -ENOENT) {        /* in a chroot without /proc: started there by binfmt_misc, which does it again */
        g_ptr_array_add(args, NULL);
        r = user_host_syscall(t, SYS_execve, PTR(path), PTR(args->pdata), PTR(env->pdata), 0, 0, 0);
    }
    return r;
}

static int64_t exec_any(UserThread *t, char *own, uint64_t argv, uint64_t envp)
{
    const char *path = own;
    g_autoptr(GPtrArray) args = g_ptr_array_new_with_free_func(g_free), env = g_ptr_array_new_with_free_func(g_free);
    if (!strcmp(path, "/proc/self/exe"))
        path = t->proc->exe;
    int64_t r = check_program(path);
    uint64_t bytes = strlen(path) + 1;
    r = r ? r : get_list(t, argv, args, &bytes);
    r = r ? r : get_list(t, envp, env, &bytes);
    if (!r && too_much(bytes))
        r = -E2BIG;
    return r ? r : exec_self(t, path, args, env);
}

/* What is wrong with a name that could not be read. */
static int64_t bad_path(uint64_t at)
{
    return !syscall(SYS_faccessat, AT_FDCWD, at, F_OK) || errno != ENAMETOOLONG ? -EFAULT : -ENAMETOOLONG;
}

int64_t user_sys_execve(UserThread *t, const uint64_t *a)
{
    g_autofree char *path = NULL;
    uint64_t p = user_path(t, a[0], &path);
    return path ? exec_any(t, path, a[1], a[2]) : bad_path(p);
}

int64_t user_sys_execveat(UserThread *t, const uint64_t *a)
{
    g_autofree char *path = user_string(t, a[1], 4096), *full = NULL;
    if (!path)
        return bad_path(a[1]);
    if (!path[0] && !(a[4] & AT_EMPTY_PATH))
        return -ENOENT;
    if (a[4] & ~(uint64_t)(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
        return -EINVAL;
    if (path[0] != '/' && (int)a[0] != AT_FDCWD && fcntl((int)a[0], F_GETFD) < 0)
        return -EBADF;
    if (path[0] == '/' || ((int)a[0] == AT_FDCWD && path[0]))
        full = g_strdup(path);
    else
        full = g_strdup_printf("/proc/self/fd/%d%s%s", (int)a[0], path[0] ? "/" : "", path);
    g_clear_pointer(&path, g_free);
    return exec_any(t, full, a[2], a[3]);
}

/* ---- names ---- */
int64_t user_sys_uname(UserThread *t, const uint64_t *a)
{
    struct utsname u;
    if (uname(&u))
        return -errno;
    g_strlcpy(u.machine, t->proc->abi->uname, sizeof(u.machine));
    return user_put(t, a[0], &u, sizeof(u)) ? 0 : -EFAULT;
}

int64_t user_sys_prctl(UserThread *t, const uint64_t *a)
{
    switch ((int)a[0]) {
    case PR_SET_SYSCALL_USER_DISPATCH:
        return a[1] || a[2] || a[3] || a[4] ? -EINVAL : 0;
    case PR_SET_SECCOMP: case PR_SET_MM:
        return -EINVAL;        /* would hit the translator, whose system calls are others */
    case PR_SET_NAME: case PR_GET_NAME: case PR_SET_PDEATHSIG: case PR_GET_PDEATHSIG: case PR_GET_DUMPABLE: case PR_CAPBSET_READ: case PR_SET_CHILD_SUBREAPER:
        return user_host_syscall(t, SYS_prctl, a[0], a[1], a[2], a[3], a[4], 0);
    default:
        t->proc->lasting = true;
        return user_host_syscall(t, SYS_prctl, a[0], a[1], a[2], a[3], a[4], 0);
    }
}

/* Calls that only one guest has. */
static int64_t special(UserThread *t, unsigned sys, const uint64_t *a, int64_t otherwise)
{
    int64_t r = otherwise;
    if (t->call_abi->special)
        t->call_abi->special(t, sys, a, &r);
    return r;
}

int64_t user_sys_arch_prctl(UserThread *t, const uint64_t *a) { return special(t, USYS_arch_prctl, a, -EINVAL); }
int64_t user_sys_modify_ldt(UserThread *t, const uint64_t *a) { return special(t, USYS_modify_ldt, a, -ENOSYS); }
int64_t user_sys_set_thread_area(UserThread *t, const uint64_t *a) { return special(t, USYS_set_thread_area, a, -ENOSYS); }
int64_t user_sys_get_thread_area(UserThread *t, const uint64_t *a) { return special(t, USYS_get_thread_area, a, -ENOSYS); }
