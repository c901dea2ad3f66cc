/*
 * vfork: the child is a process of its own with a copy of our memory, so that whatever happens to it, in the middle of whatever, harms nobody, and it executes
 * a program as any other does. Its parent waits until it has executed one or is gone, which the kernel tells by a robust futex in shared memory
 * (Documentation/locking/robust-futexes), and then takes over the pages that the child wrote, when it ended by exit(2): what natively is written at once, and
 * what posix_spawn(3) and others tell their parent by. A child that changed its mappings, which would not fit the parent's, or wrote more than four megabytes
 * keeps its pages to itself.
 * Beside a thread that has others only the bytes that the child changed in its parent's frames are given: the rest of a page may be what another thread
 * wrote meanwhile, since stacks may lie in a heap (Go's).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tcg/user/internal.h"

enum { MOST_PAGES = 1024, UNBORN = 1, CHUNK = 256, LOOK_NS = 50000000, FRAMES = 4 * USER_PAGE };

/* Shared by the two. word: the child's thread while it has not executed another program. */
struct UserVfork {
    struct robust_list_head head;
    struct robust_list node;
    uint32_t word, n_pages, n_given;       /* given: all of them */
    uint64_t map_changes, sp;
    bool shares;               /* memory: the parent shall see what is written */
    bool alone;                /* the parent has no other threads, who write too */
    uint32_t n_frames;         /* if it has: bytes from sp on in @frames as they were when it was forked, and in @page what the child made of them */
    uint8_t frames[FRAMES];
    uint64_t at[MOST_PAGES];
    uint8_t page[MOST_PAGES][USER_PAGE];
};

UserVfork *user_vfork_new(UserThread *t, bool shares)
{
    UserVfork *v = mmap(NULL, sizeof(UserVfork), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (v == MAP_FAILED)
        return NULL;
    v->word = UNBORN;
    v->shares = shares;
    v->map_changes = t->proc->map_changes;
    v->sp = t->proc->abi->sp(t);
    v->alone = t->proc->threads->len == 1;
    return v;
}

void user_vfork_born(UserThread *t, UserVfork *v)
{
    t->proc->vfork = v;
    if (v->shares && !v->alone) {
        const UserRegion *r = user_region_locked(t->proc, v->sp);
        uint32_t n = r ? (uint32_t)MIN(r->end - v->sp, (uint64_t)FRAMES) : 0;
        v->n_frames = user_get(t, v->frames, v->sp, n) ? n : 0;
    }
    v->head.list.next = &v->node;
    v->node.next = &v->head.list;
    v->head.futex_offset = (long)offsetof(UserVfork, word) - (long)offsetof(UserVfork, node);
    __atomic_store_n(&v->word, (uint32_t)t->tid | FUTEX_WAITERS, __ATOMIC_SEQ_CST);
    syscall(SYS_set_robust_list, &v->head, sizeof(v->head));
}

void user_vfork_over(UserProc *p)
{
    UserVfork *v = p->vfork;
    if (!v)
        return;
    p->vfork = NULL;
    syscall(SYS_set_robust_list, NULL, sizeof(v->head));
    __atomic_store_n(&v->word, 0, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &v->word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
    munmap(v, sizeof(*v));
}

/* Pages of @r that are this process's alone, which it has written since it was forked (Documentation/admin-guide/mm/pagemap). */
static bool take_pages(UserThread *t, UserVfork *v, int pagemap, const UserRegion *r)
{
    const uint64_t present = 1ull << 63, swapped = 1ull << 62, exclusive = 1ull << 56;
    uint64_t e[CHUNK];
    for (uint64_t at = r->start; at < r->end; at += CHUNK * USER_PAGE) {
        size_t n = MIN((r->end - at) / USER_PAGE, (uint64_t)CHUNK);
        if (pread(pagemap, e, n * sizeof(e[0]), (off_t)((uint64_t)(uintptr_t)g2h(at) / USER_PAGE * sizeof(e[0]))) != (ssize_t)(n * sizeof(e[0])))
            return false;
        for (size_t k = 0; k < n; k++) {
            if (!(e[k] & swapped) && !(e[k] & present && e[k] & exclusive))
                continue;
            if (v->n_pages == MOST_PAGES)
                return false;
            v->at[v->n_pages] = at + k * USER_PAGE;
            if (!user_get(t, v->page[v->n_pages++], at + k * USER_PAGE, USER_PAGE))
                return false;
        }
    }
    return true;
}

TCG_CALL_PATH void user_vfork_exit(UserThread *t)
{
    UserProc *p = t->proc;
    UserVfork *v = p->vfork;
    int pagemap = v && v->shares && v->map_changes == p->map_changes ? open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC) : -1;
    if (pagemap < 0)
        return;
    if (!v->alone) {
        if (user_get(t, v->page, v->sp, v->n_frames))
            __atomic_store_n(&v->n_given, 1, __ATOMIC_SEQ_CST);
        close(pagemap);
        return;
    }
    bool all = !pthread_rwlock_tryrdlock(&p->map_lock);
    for (guint n = 0; n < p->map->len && all; n++) {
        const UserRegion *r = &g_array_index(p->map, UserRegion, n);
        if (r->prot & PROT_WRITE && !r->shared)
            all = take_pages(t, v, pagemap, r);
    }
    if (all)
        __atomic_store_n(&v->n_given, v->n_pages, __ATOMIC_SEQ_CST);
    close(pagemap);
}

static void take_over(UserThread *t, const UserVfork *v)
{
    const uint8_t *now = v->page[0];
    for (uint32_t n = 0; v->alone && n < MIN(v->n_given, (uint32_t)MOST_PAGES); n++) {
        user_will_write(t, v->at[n], USER_PAGE);
        user_put(t, v->at[n], v->page[n], USER_PAGE);
    }
    for (uint32_t n = 0, end; !v->alone && v->n_given && n < v->n_frames; n = end + 1) {
        for (end = n; end < v->n_frames && now[end] != v->frames[end]; end++)
            continue;
        if (end > n) {
            user_will_write(t, v->sp + n, end - n);
            user_put(t, v->sp + n, now + n, end - n);
        }
    }
}

static bool gone(pid_t pid)
{
    siginfo_t si = { 0 };
    return waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG | WNOWAIT | __WALL) || si.si_pid == pid;
}

void user_vfork_wait(UserThread *t, UserVfork *v, pid_t pid)
{
    const struct timespec look = { .tv_nsec = LOOK_NS };      /* for who dies before the kernel knows the list */
    uint32_t w = UNBORN;
    while (pid > 0 && (w = __atomic_load_n(&v->word, __ATOMIC_SEQ_CST)) && !(w & FUTEX_OWNER_DIED))
        if (syscall(SYS_futex, &v->word, FUTEX_WAIT, w, &look, NULL, 0) && errno == ETIMEDOUT && gone(pid))
            break;
    if (pid > 0 && w)
        take_over(t, v);
    munmap(v, sizeof(*v));
}
