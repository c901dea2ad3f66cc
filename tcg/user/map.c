/* What the guest has mapped: a table beside the kernel's own, because execution and write rights are ours to say. */
#define MREMAP_FLAGS (MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP)
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "tcg/user/calls.h"

static uint64_t page_up(uint64_t v) { return (v + USER_PAGE - 1) & ~(uint64_t)(USER_PAGE - 1); }

static UserRegion *region(const UserProc *p, guint n) { return &g_array_index(p->map, UserRegion, n); }

static void region_clear(gpointer r) { g_free(((UserRegion *)r)->name); }

/* Start of the host's own lowest mapping under @limit, else @limit. */
static uint64_t foreign_from(uint64_t limit)
{
    FILE *f = fopen("/proc/self/maps", "re");
    char line[512];
    unsigned long long lo;
    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "%llx-", &lo) == 1 && lo >= USER_PAGE && lo < limit)
            limit = lo;        /* they ascend, but one line may be cut */
    if (f)
        fclose(f);
    return limit;
}

/* ---- the lock of the table ---- */
static void lock_read(UserProc *p) { pthread_rwlock_rdlock(&p->map_lock); }
static void lock_write(UserProc *p) { pthread_rwlock_wrlock(&p->map_lock); }
static void unlock(UserProc *p) { pthread_rwlock_unlock(&p->map_lock); }

void user_map_init(UserProc *p)
{
    bool small = p->abi->elf_class == ELFCLASS32;
    p->limit = small ? foreign_from((1ull << 32) - USER_PAGE) : 1ull << 47;
    p->choose = small;
    pthread_rwlock_init(&p->map_lock, NULL);
    p->map = g_array_new(FALSE, FALSE, sizeof(UserRegion));
    g_array_set_clear_func(p->map, region_clear);
}

/* First region that ends behind @addr. */
static guint find(const UserProc *p, uint64_t addr)
{
    guint lo = 0, hi = p->map->len;
    while (lo < hi) {
        guint mid = (lo + hi) / 2;
        if (region(p, mid)->end <= addr)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

const UserRegion *user_region_locked(const UserProc *p, uint64_t addr)
{
    guint n = find(p, addr);
    return n < p->map->len && region(p, n)->start <= addr ? region(p, n) : NULL;
}

static bool has_prot(UserProc *p, uint64_t addr, int prot)
{
    lock_read(p);
    const UserRegion *r = user_region_locked(p, addr);
    bool ok = r && (r->prot & prot) == prot;
    unlock(p);
    return ok;
}

bool user_can_read(UserProc *p, uint64_t addr) { return has_prot(p, addr, PROT_READ); }
bool user_can_exec(UserProc *p, uint64_t addr) { return has_prot(p, addr, PROT_EXEC); }
bool user_can_write(UserProc *p, uint64_t addr) { return has_prot(p, addr, PROT_WRITE); }
bool user_is_mapped(UserProc *p, uint64_t addr) { return has_prot(p, addr, 0); }

/* Translated code reads what it executes; it is never executable for the host. */
static int host_prot(int prot)
{
    return (prot & (PROT_READ | PROT_WRITE)) | (prot & PROT_EXEC ? PROT_READ : 0);
}

void user_page_code(UserProc *p, uint64_t addr, bool armed)
{
    lock_read(p);
    const UserRegion *r = user_region_locked(p, addr);
    if (r && r->prot & PROT_WRITE)
        mprotect(g2h(addr), USER_PAGE, armed ? host_prot(r->prot & ~PROT_WRITE) : host_prot(r->prot));
    unlock(p);
}

void user_will_write(UserThread *t, uint64_t addr, uint64_t len)
{
    UserProc *p = t->proc;
    bool hit = false;
    if (!len || addr + len < addr)
        return;
    lock_read(p);
    for (guint n = find(p, addr); n < p->map->len && region(p, n)->start < addr + len && !hit; n++)
        hit = (region(p, n)->prot & (PROT_WRITE | PROT_EXEC)) == (PROT_WRITE | PROT_EXEC);
    unlock(p);
    if (hit)
        tcg_invalidate_range(p->tcg, addr & ~(uint64_t)(USER_PAGE - 1), page_up(addr + len) - (addr & ~(uint64_t)(USER_PAGE - 1)));
}

/* ---- changes of the table, locked for writing ---- */
/* A border between regions at @addr. */
static void split(UserProc *p, uint64_t addr)
{
    guint n = find(p, addr);
    if (n >= p->map->len || region(p, n)->start >= addr)
        return;
    UserRegion low = *region(p, n);
    low.end = addr;
    low.name = g_strdup(low.name);
    g_array_insert_val(p->map, n, low);
    UserRegion *high = region(p, n + 1);
    high->offset += addr - high->start;
    high->start = addr;
}

/* Take [start, end) out. Returns whether some of it could be executed. */
static bool cut(UserProc *p, uint64_t start, uint64_t end)
{
    bool exec = false;
    p->map_changes++;
    split(p, start);
    split(p, end);
    guint n = find(p, start), m = n;
    for (; m < p->map->len && region(p, m)->start < end; m++)
        exec |= region(p, m)->prot & PROT_EXEC;
    if (m > n)
        g_array_remove_range(p->map, n, m - n);
    return exec;
}

static bool same_kind(const UserRegion *a, const UserRegion *b)
{
    return a->end == b->start && a->prot == b->prot && a->shared == b->shared && a->ino == b->ino && a->dev == b->dev && a->stable == b->stable && a->grows == b->grows &&
           (!a->ino || a->offset + (a->end - a->start) == b->offset) && !g_strcmp0(a->name, b->name);
}

static void join_at(UserProc *p, guint n)
{
    if (n + 1 < p->map->len && same_kind(region(p, n), region(p, n + 1))) {
        region(p, n)->end = region(p, n + 1)->end;
        g_array_remove_index(p->map, n + 1);
    }
}

static bool put(UserProc *p, UserRegion r)
{
    bool exec = cut(p, r.start, r.end);
    guint n = find(p, r.start);
    if (r.prot & PROT_EXEC)
        user_kept_meet(p, &r);
    g_array_insert_val(p->map, n, r);
    join_at(p, n);
    if (n)
        join_at(p, n - 1);
    return exec;
}

/* Behind the lock: translations of what was there are gone. */
static void drop_code(UserProc *p, bool exec, uint64_t start, uint64_t end)
{
    if (exec && p->tcg)
        tcg_invalidate_range(p->tcg, start, end - start);
    if (!p->stale)
        return;
    lock_write(p);
    GArray *stale = p->stale;
    p->stale = NULL;
    unlock(p);
    for (guint n = 0; stale && n < stale->len; n++)
        tcg_invalidate_range(p->tcg, g_array_index(stale, UserRegion, n).start, g_array_index(stale, UserRegion, n).end - g_array_index(stale, UserRegion, n).start);
    if (stale)
        g_array_free(stale, TRUE);
}

/* A file that changed just now may change once more without another time of change. */
static bool long_ago(int64_t changed_ns)
{
    return g_get_real_time() * 1000 - changed_ns > 2000000000ll;
}

static bool is_vdso(const char *name) { return name && !strcmp(name, "[vdso]"); }

static UserRegion describe(uint64_t start, uint64_t end, int prot, bool shared, uint64_t offset, int fd, const char *name)
{
    UserRegion r = { .start = start, .end = end, .prot = prot, .shared = shared, .offset = offset, .name = g_strdup(name), .stable = is_vdso(name) };
    struct stat st;
    if (fd >= 0 && !fstat(fd, &st)) {
        r.dev = st.st_dev;
        r.ino = st.st_ino;
        r.size = (uint64_t)st.st_size;
        r.changed_ns = st.st_ctim.tv_sec * 1000000000ll + st.st_ctim.tv_nsec;
        r.stable = prot & PROT_EXEC && !(prot & PROT_WRITE) && !shared && S_ISREG(st.st_mode) && long_ago(r.changed_ns);
        if (!name) {
            char link[64], path[4096];
            g_snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
            ssize_t got = readlink(link, path, sizeof(path) - 1);
            r.name = got > 0 ? g_strndup(path, (gsize)got) : NULL;
        }
    }
    return r;
}

void user_map_add(UserProc *p, uint64_t start, uint64_t end, int prot, bool shared, uint64_t offset, int fd, const char *name)
{
    UserRegion r = describe(start, page_up(end), prot, shared, offset, fd, name);
    lock_write(p);
    bool exec = put(p, r);
    unlock(p);
    drop_code(p, exec, start, r.end);
}

bool user_map_vdso_stands(UserProc *p)
{
    bool stands = false;
    lock_read(p);
    for (guint n = 0; n < p->map->len && !stands; n++)
        stands = is_vdso(region(p, n)->name) && region(p, n)->stable;
    unlock(p);
    return stands;
}

/* Direct jumps go from the code of a file to its own code only: what is there is there as a whole or not. */
static bool only_code_of_its_file(const UserProc *p, const UserRegion *r)
{
    for (guint n = 0; n < p->map->len; n++)
        if (region(p, n) != r && region(p, n)->prot & PROT_EXEC && region(p, n)->ino == r->ino && region(p, n)->dev == r->dev)
            return false;
    return true;
}

void user_map_clear(UserProc *p)
{
    lock_write(p);
    for (guint n = 0; n < p->map->len; n++) {
        const UserRegion *r = region(p, n);
        bool vdso = is_vdso(r->name) && r->stable;
        if (r->prot & PROT_EXEC) {
            if (vdso || (r->stable && only_code_of_its_file(p, r)))
                user_kept_add(p, r);
            else
                user_kept_not(p, r);
        }
        if (!vdso)
            munmap(g2h(r->start), r->end - r->start);
    }
    g_array_set_size(p->map, 0);
    unlock(p);
    drop_code(p, false, 0, 0);
}

/* ---- where the kernel's choice of an address would not do: the highest hole under p->limit that has room ---- */
enum { LOWEST = 0x10000, HOLE_TRIES = 64 };

static uint64_t hole_below(const UserProc *p, uint64_t end, uint64_t len)
{
    for (guint n = p->map->len; end >= len; n--) {
        uint64_t start = n ? region(p, n - 1)->end : LOWEST;
        if (end > start && end - start >= len)
            return end - len;
        if (!n)
            break;
        end = MIN(end, region(p, n - 1)->start);
    }
    return 0;
}

/* As mmap(2), below p->limit. */
void *user_map_raw(UserProc *p, uint64_t hint, uint64_t len, int prot, int flags, int fd, uint64_t off)
{
    void *got;
    if (!p->choose || flags & (MAP_FIXED | MAP_FIXED_NOREPLACE))
        return mmap(g2h(hint), len, prot, flags, fd, (off_t)off);
    hint &= ~(uint64_t)(USER_PAGE - 1);
    len = page_up(len);
    if (hint >= LOWEST && len <= p->limit && hint <= p->limit - len) {
        got = mmap(g2h(hint), len, prot, flags | MAP_FIXED_NOREPLACE, fd, (off_t)off);
        if (got != MAP_FAILED || errno != EEXIST)
            return got;
    }
    uint64_t end = p->limit - p->top_gap;
    for (unsigned n = 0; n < HOLE_TRIES; n++) {
        uint64_t at = hole_below(p, end, len);
        if (!at)
            break;
        got = mmap(g2h(at), len, prot, flags | MAP_FIXED_NOREPLACE, fd, (off_t)off);
        if (got != MAP_FAILED || errno != EEXIST)
            return got;
        bool gap = at < p->stack_guard + USER_STACK_GAP && at + len > p->stack_guard;
        end = gap ? p->stack_guard : at;     /* something there that is not the guest's */
    }
    errno = ENOMEM;
    return MAP_FAILED;
}

/* The same for a call that wants a free address: reserved, or 0. */
static uint64_t reserve(UserProc *p, uint64_t len)
{
    void *got = user_map_raw(p, 0, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return got == MAP_FAILED ? 0 : (uint64_t)(uintptr_t)got;
}

/* The first hole of [at, end) in what the guest has: its end in *ret_end; where it begins, @end: there is none. */
static uint64_t next_hole(const UserProc *p, uint64_t at, uint64_t end, uint64_t *ret_end)
{
    for (guint n = find(p, at); n < p->map->len && region(p, n)->start <= at && at < end; n++)
        at = region(p, n)->end;
    guint n = find(p, at);
    *ret_end = n < p->map->len ? MIN(region(p, n)->start, end) : end;
    return MIN(at, end);
}

static void give_back_holes(UserProc *p, uint64_t start, uint64_t end)
{
    uint64_t to;
    for (uint64_t at = start; (at = next_hole(p, at, end, &to)) < end; at = to)
        munmap(g2h(at), to - at);
}

/* MAP_FIXED replaces what is the guest's, never what is ours: the holes of the range are taken first. */
static bool take_holes(UserProc *p, uint64_t start, uint64_t end)
{
    uint64_t to;
    for (uint64_t at = start; (at = next_hole(p, at, end, &to)) < end; at = to)
        if (mmap(g2h(at), to - at, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0) != g2h(at)) {
            give_back_holes(p, start, at);
            return false;
        }
    return true;
}

/* ---- system calls ---- */
int64_t user_mmap(UserThread *t, uint64_t addr, uint64_t len, int prot, int flags, int fd, uint64_t off)
{
    UserProc *p = t->proc;
    if (!len || (flags & MAP_FIXED && addr & (USER_PAGE - 1)))
        return -EINVAL;
    len = page_up(len);
    if (!len || len > p->limit)
        return -ENOMEM;
    if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) && addr > p->limit - len)
        return -ENOMEM;
    lock_write(p);
    if (!addr && !off && fd >= 0 && (flags & (MAP_TYPE | MAP_ANONYMOUS | MAP_FIXED)) == MAP_PRIVATE)
        addr = user_kept_home(p, fd);
    bool fixed = flags & MAP_FIXED && (flags & MAP_FIXED_NOREPLACE) != MAP_FIXED_NOREPLACE;
    bool free_for_us = user_limits_room(p, len) && (!fixed || take_holes(p, addr, addr + len));
    int own = MAP_GROWSDOWN | (p->abi == &user_abi_x86_64 ? 0 : MAP_32BIT);      /* of no meaning elsewhere */
    void *got = free_for_us ? user_map_raw(p, addr, len, host_prot(prot), flags & ~own, fd, off) : MAP_FAILED;
    if (got == MAP_FAILED) {
        int e = free_for_us ? errno : ENOMEM;
        if (free_for_us && fixed)
            give_back_holes(p, addr, addr + len);
        unlock(p);
        return -e;
    }
    uint64_t at = (uint64_t)(uintptr_t)got;
    bool shared = (flags & MAP_TYPE) != MAP_PRIVATE;
    UserRegion r = describe(at, at + len, prot, shared, flags & MAP_ANONYMOUS ? 0 : off, flags & MAP_ANONYMOUS ? -1 : fd, NULL);
    r.grows = flags & MAP_GROWSDOWN && !shared;
    bool exec = put(p, r);
    unlock(p);
    if (shared && prot & PROT_WRITE)
        tcg_others_come(p->tcg);
    drop_code(p, exec, at, at + len);
    return (int64_t)at;
}

/* As the kernel lets a MAP_GROWSDOWN mapping grow: up to the limit of a stack, with a gap to what lies below. */
bool user_grow(UserThread *t, uint64_t addr)
{
    UserProc *p = t->proc;
    struct rlimit limit;
    uint64_t start = addr & ~(uint64_t)(USER_PAGE - 1);
    lock_write(p);
    guint n = find(p, addr);
    const UserRegion *r = n < p->map->len ? region(p, n) : NULL, *below = n ? region(p, n - 1) : NULL;
    bool faster = r && r->grows && r->start <= start && t->grown_seen != p->grown;   /* another thread, since our access: try it again, once */
    bool ok = r && r->grows && r->start > start && !getrlimit(RLIMIT_STACK, &limit) && r->end - start <= limit.rlim_cur && user_limits_room(p, r->start - start) &&
              (!below || start >= below->end + (below->prot ? USER_STACK_GAP : 0));
    ok = ok && mmap(g2h(start), r->start - start, host_prot(r->prot), MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == g2h(start);
    if (ok) {
        put(p, (UserRegion){ .start = start, .end = r->start, .prot = r->prot, .grows = true, .name = g_strdup(r->name) });
        p->grown++;
    }
    t->grown_seen = p->grown;
    unlock(p);
    return ok || faster;
}

int64_t user_munmap(UserThread *t, uint64_t addr, uint64_t len)
{
    UserProc *p = t->proc;
    if (addr & (USER_PAGE - 1) || !len || addr + page_up(len) < addr)
        return -EINVAL;
    len = page_up(len);
    bool exec = false;
    int e = 0;
    lock_write(p);
    /* Only what is the guest's: the rest of the range is ours or nobody's. */
    while (!e) {
        guint n = find(p, addr);
        if (n >= p->map->len || region(p, n)->start >= addr + len)
            break;
        uint64_t from = MAX(region(p, n)->start, addr), to = MIN(region(p, n)->end, addr + len);
        if (munmap(g2h(from), to - from))
            e = errno;
        else
            exec |= cut(p, from, to);
    }
    unlock(p);
    drop_code(p, exec, addr, addr + len);
    return -e;
}

int64_t user_mprotect(UserThread *t, uint64_t addr, uint64_t len, int prot)
{
    UserProc *p = t->proc;
    if (addr & (USER_PAGE - 1) || addr + page_up(len) < addr)
        return addr & (USER_PAGE - 1) ? -EINVAL : -ENOMEM;
    if (!len)
        return 0;
    uint64_t end = addr + page_up(len);
    bool exec = false, shared = false;
    int e = 0;
    lock_write(p);
    split(p, addr);
    split(p, end);
    for (uint64_t at = addr; at < end && !e;) {
        guint n = find(p, at);
        if (n >= p->map->len || region(p, n)->start > at) {
            e = ENOMEM;
            break;
        }
        UserRegion *r = region(p, n);
        if (mprotect(g2h(at), r->end - at, host_prot(prot & (PROT_READ | PROT_WRITE | PROT_EXEC))))
            e = errno;
        else {
            exec |= r->prot & PROT_EXEC;
            p->map_changes++;
            r->prot = prot & (PROT_READ | PROT_WRITE | PROT_EXEC);
            shared |= r->shared && prot & PROT_WRITE;
            r->stable &= !(prot & PROT_WRITE);
            if (prot & PROT_EXEC)
                user_kept_meet(p, r);
        }
        at = r->end;
    }
    for (guint n = find(p, addr ? addr - 1 : 0); n + 1 < p->map->len && region(p, n)->start <= end;) {
        guint before = p->map->len;
        join_at(p, n);
        n += before == p->map->len;
    }
    unlock(p);
    if (shared)
        tcg_others_come(p->tcg);
    drop_code(p, exec, addr, end);
    return -e;
}

static void *remap(UserProc *p, uint64_t old, uint64_t old_len, uint64_t new_len, int flags, uint64_t new_addr)
{
    uint64_t len = page_up(new_len);
    if (flags & MREMAP_FIXED) {
        bool ok = !(new_addr & (USER_PAGE - 1)) && len <= p->limit && new_addr <= p->limit - len;
        errno = ok ? ENOMEM : EINVAL;
        if (!ok || !take_holes(p, new_addr, new_addr + len))
            return MAP_FAILED;
        void *got = mremap(g2h(old), old_len, new_len, flags, g2h(new_addr));
        int e = errno;
        if (got == MAP_FAILED)
            give_back_holes(p, new_addr, new_addr + len);
        errno = e;
        return got;
    }
    if (!p->choose)
        return mremap(g2h(old), old_len, new_len, flags);
    if (!(flags & MREMAP_DONTUNMAP) && old_len && (len <= page_up(old_len) || (len <= p->limit && old <= p->limit - len))) {
        void *got = mremap(g2h(old), old_len, new_len, 0);
        if (got != MAP_FAILED || !(flags & MREMAP_MAYMOVE))
            return got;
    }
    uint64_t at = flags & MREMAP_MAYMOVE ? reserve(p, len) : 0;
    if (!at) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    void *got = mremap(g2h(old), old_len, new_len, flags | MREMAP_FIXED, g2h(at));
    int e = errno;
    if (got == MAP_FAILED)
        munmap(g2h(at), len);
    errno = e;
    return got;
}

int64_t user_mremap(UserThread *t, uint64_t old, uint64_t old_len, uint64_t new_len, int flags, uint64_t new_addr)
{
    UserProc *p = t->proc;
    if (old & (USER_PAGE - 1) || !new_len || flags & ~MREMAP_FLAGS || page_up(new_len) < new_len || old + page_up(old_len) < old)
        return -EINVAL;
    lock_write(p);
    const UserRegion *src = user_region_locked(p, old);
    if (!src || src->end < old + page_up(old_len)) {
        unlock(p);
        return -EFAULT;
    }
    UserRegion r = *src;
    uint64_t more = page_up(new_len) > old_len ? page_up(new_len) - old_len : 0;
    errno = ENOMEM;
    void *got = !more || user_limits_room(p, more) ? remap(p, old, old_len, new_len, flags, new_addr) : MAP_FAILED;
    if (got == MAP_FAILED) {
        int e = errno;
        unlock(p);
        return -e;
    }
    uint64_t at = (uint64_t)(uintptr_t)got;
    r.offset += old - r.start;
    r.name = g_strdup(r.name);
    bool exec = false;
    if (!(flags & MREMAP_DONTUNMAP) && old_len)
        exec |= cut(p, old, old + page_up(old_len));
    r.start = at;
    r.end = at + page_up(new_len);
    exec |= put(p, r);
    unlock(p);
    drop_code(p, exec, old, old + page_up(old_len));
    drop_code(p, exec, at, at + page_up(new_len));
    return (int64_t)at;
}

int64_t user_brk(UserThread *t, uint64_t addr)
{
    UserProc *p = t->proc;
    lock_write(p);
    uint64_t want = page_up(addr), have = p->brk_mapped;
    if (addr >= p->brk_start) {
        bool ok = true;
        if (want > have) {
            ok = want <= p->limit && user_limits_room(p, want - have) && mmap(g2h(have), want - have, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == g2h(have);
            if (ok)
                put(p, (UserRegion){ .start = have, .end = want, .prot = PROT_READ | PROT_WRITE, .name = g_strdup("[heap]") });
        } else if (want < have) {
            munmap(g2h(want), have - want);
            cut(p, want, have);
        }
        if (ok) {
            p->brk = addr;
            p->brk_mapped = want;
        }
    }
    int64_t r = (int64_t)p->brk;
    unlock(p);
    return r;
}

int64_t user_shmat(UserThread *t, int id, uint64_t addr, int flags)
{
    UserProc *p = t->proc;
    struct shmid_ds ds;
    if (shmctl(id, IPC_STAT, &ds))
        return -errno;
    lock_write(p);
    uint64_t hole = p->choose && !addr ? reserve(p, ds.shm_segsz) : 0;
    void *got = (void *)-1;
    int e = ENOMEM;
    if (!p->choose || hole || addr) {
        got = shmat(id, g2h(hole ? hole : addr), (flags & ~SHM_EXEC) | (hole ? SHM_REMAP : 0));
        e = errno;
    }
    if (hole && got == (void *)-1)
        munmap(g2h(hole), ds.shm_segsz);
    bool exec = false;
    uint64_t at = (uint64_t)(uintptr_t)got, end = at + page_up(ds.shm_segsz);
    if (got != (void *)-1)
        exec = put(p, (UserRegion){ .start = at, .end = end, .shared = true, .name = g_strdup("/SYSV00000000 (deleted)"),
                                    .prot = PROT_READ | (flags & SHM_RDONLY ? 0 : PROT_WRITE) | (flags & SHM_EXEC ? PROT_EXEC : 0) });
    unlock(p);
    if (got == (void *)-1)
        return -e;
    tcg_others_come(p->tcg);
    drop_code(p, exec, at, end);
    return (int64_t)at;
}

int64_t user_shmdt(UserThread *t, uint64_t addr)
{
    UserProc *p = t->proc;
    lock_write(p);
    const UserRegion *r = user_region_locked(p, addr);
    uint64_t end = r && r->start == addr && r->shared ? r->end : 0;
    int e = !end ? EINVAL : shmdt(g2h(addr)) ? errno : 0;
    bool exec = !e && cut(p, addr, end);
    unlock(p);
    drop_code(p, exec, addr, end);
    return -e;
}

/* As Linux writes /proc/PID/maps (proc(5)). */
char *user_maps_text(UserProc *p)
{
    GString *s = g_string_new(NULL);
    lock_read(p);
    for (guint n = 0; n < p->map->len; n++) {
        const UserRegion *r = region(p, n);
        gsize line = s->len;
        g_string_append_printf(s, "%08llx-%08llx %c%c%c%c %08llx %02x:%02x %llu ", (unsigned long long)r->start, (unsigned long long)r->end,
                               r->prot & PROT_READ ? 'r' : '-', r->prot & PROT_WRITE ? 'w' : '-', r->prot & PROT_EXEC ? 'x' : '-',
                               r->shared ? 's' : 'p', (unsigned long long)r->offset, major(r->dev), minor(r->dev), (unsigned long long)r->ino);
        while (r->name && s->len - line < 73)
            g_string_append_c(s, ' ');
        g_string_append_printf(s, "%s\n", r->name ? r->name : "");
    }
    unlock(p);
    return g_string_free(s, FALSE);
}

bool user_unprotect_code(UserThread *t)
{
    UserProc *p = t->proc;
    bool any = false;
    lock_read(p);
    g_autoptr(GArray) list = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    for (guint n = 0; n < p->map->len; n++) {
        const UserRegion *r = region(p, n);
        if ((r->prot & (PROT_WRITE | PROT_EXEC)) != (PROT_WRITE | PROT_EXEC))
            continue;
        g_array_append_val(list, r->start);
        g_array_append_val(list, r->end);
        any = true;
    }
    unlock(p);
    for (guint n = 0; n < list->len; n += 2) {
        uint64_t start = g_array_index(list, uint64_t, n), end = g_array_index(list, uint64_t, n + 1);
        tcg_invalidate_range(p->tcg, start, end - start);
    }
    return any;
}
