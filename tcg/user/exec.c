/* Another program in this very process: what the kernel's execve(2) undoes, done by hand. What cannot be undone so is left to the kernel (exec_self). */
#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tcg/user/internal.h"

/* A list of robust futexes that the kernel knows is its to walk when the thread ends or executes another program: only an empty one may be forgotten. */
static bool nothing_robust(UserThread *t)
{
    uint64_t head = 0, len = 0, words[3];
    if (t->proc->vfork)        /* the list is that */
        return true;
    if (syscall(SYS_get_robust_list, 0, &head, &len) || !head)
        return true;
    return len == sizeof(words) && user_get(t, words, head, sizeof(words)) && words[0] == head && !words[2];
}

bool user_exec_may(UserThread *t)
{
    const UserProc *p = t->proc;
    bool alone = p->threads->len == 1 && getpid() == t->tid;
    return alone && !p->lasting && !p->options.log && !getauxval(AT_SECURE) && !t->have_signal && user_map_vdso_stands(t->proc) && nothing_robust(t);
}

typedef struct Dirent { uint64_t ino; int64_t off; uint16_t len; uint8_t type; char name[]; } Dirent;   /* linux/dirent.h: linux_dirent64 */

GArray *user_exec_files(int but)
{
    int dir = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return NULL;
    GArray *files = g_array_new(FALSE, FALSE, sizeof(int));
    _Alignas(8) char buf[2048];
    long got;
    while ((got = syscall(SYS_getdents64, dir, buf, sizeof(buf))) > 0)
        for (long at = 0; at < got; at += ((Dirent *)(buf + at))->len) {
            const Dirent *d = (const Dirent *)(buf + at);
            int fd = (int)g_ascii_strtoll(d->name, NULL, 10), flags = d->name[0] == '.' || fd == dir || fd == but ? 0 : fcntl(fd, F_GETFD);
            if (flags > 0 && flags & FD_CLOEXEC)
                g_array_append_val(files, fd);
        }
    close(dir);
    if (got < 0) {
        g_array_free(files, TRUE);
        return NULL;
    }
    return files;
}

void user_exec_undo(UserThread *t, const GArray *files)
{
    UserProc *p = t->proc;
    if (t->robust)
        user_robust_exit(t);
    syscall(SYS_set_robust_list, NULL, 3 * sizeof(uint64_t));
    user_rseq_exit(t);
    user_signal_exec(t);
    t->clear_tid = 0;
    t->exc.valid = false;
    user_map_clear(p);
    munmap(g2h(p->stack_guard), USER_STACK_GAP);
    for (guint n = 0; n < files->len; n++)       /* who sees them closed finds memory detached and mutexes released */
        close(g_array_index(files, int, n));
    user_vfork_over(p);
    p->n_auxv = 0;
    if (t->proc->abi->isa->fpu_settle)
        t->proc->abi->isa->fpu_settle(t->cpu);
    memset(t->state, 0, p->abi->isa->xlat_offset);
    memset(t->own, 0, p->abi->own_size);
}
