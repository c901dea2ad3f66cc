#pragma once
#include <pthread.h>
#include <stdatomic.h>

#include "util/publish.h"
#include "vmm/memory.h"

typedef enum MemKind { MEM_CONTAINER, MEM_RAM, MEM_MMIO, MEM_ALIAS } MemKind;

/* ---- device locks ---- */

struct DevLock {
    _Atomic uint32_t word;      /* futex: 0 free, 1 held, 2 held and somebody may sleep */
    bool gone;                  /* lock held */
    _Atomic uintptr_t holder;   /* kept in all builds: it is one store, and turns a self-deadlock into a message */
    void (*hook)(void *opaque, bool locked);
    void *hook_opaque;
    _Atomic int refs;
};

#ifdef TANDEM_CHECK_LOCKS
void devlock_note(const DevLock *l, bool enter);
#else
static inline void devlock_note(const DevLock *l, bool enter) { }
#endif
/* Somebody else has it: wait, and take it. */
void devlock_wait(DevLock *l);
void devlock_wake(DevLock *l);

static inline void devlock_drop(DevLock *l)
{
    if (atomic_exchange_explicit(&l->word, 0, memory_order_release) == 2)
        devlock_wake(l);
}

/* devlock_enter and devlock_leave in place: on the way of every device access. */
static inline bool devlock_enter_here(DevLock *l)
{
    if (!l)
        return true;
    uintptr_t self = (uintptr_t)pthread_self();
    uint32_t is = 0;
    g_assert(atomic_load_explicit(&l->holder, memory_order_relaxed) != self);
    if (!atomic_compare_exchange_strong_explicit(&l->word, &is, 1, memory_order_acquire, memory_order_relaxed))
        devlock_wait(l);
    if (l->gone) {
        devlock_drop(l);
        return false;
    }
    atomic_store_explicit(&l->holder, self, memory_order_relaxed);
    devlock_note(l, true);
    return true;
}

static inline void devlock_leave_here(DevLock *l)
{
    if (!l)
        return;
    void (*hook)(void *, bool) = l->hook;
    if (hook)
        hook(l->hook_opaque, true);
    devlock_note(l, false);
    atomic_store_explicit(&l->holder, 0, memory_order_relaxed);
    devlock_drop(l);
    if (hook)
        hook(l->hook_opaque, false);
}

typedef struct DoorbellList {
    unsigned n;
    Doorbell d[];
} DoorbellList;

struct MemRegion {
    _Atomic int refs;
    MemKind kind;
    MemSystem *ms;
    char *name;
    /* Set at creation. */
    RamBlock *ram;
    const MmioOps *ops;
    void *opaque;
    DevLock *lock;
    MemRegion *target;
    uint64_t unaligned;         /* bits of an offset that do not count for alignment: all or none */
    unsigned load_sizes, store_sizes;   /* accesses of these sizes (their sum) are one call of a handler, the value as it is */
    /* Tree; ms->tree_lock. */
    uint64_t size, offset, alias_offset, seq;
    int priority;
    unsigned access;
    bool enabled, readonly, mapped;
    MemRegion *parent;          /* not a reference: the parent holds the child */
    GPtrArray *children;        /* of MemRegion references, front to back */
    /* Published. */
    _Atomic(DoorbellList *) doorbells;
    _Atomic bool coalesced;
};

struct RamBlock {
    _Atomic int refs;
    MemSystem *ms;
    char *name;
    int fd;
    uint8_t *host;
    uint64_t size, addr;
    _Atomic uint8_t *flags;
    void *map;                  /* as mmap gave it, with slack for alignment */
    size_t map_len;
};

typedef struct ListenerSet {
    unsigned n;
    struct { const MemListener *l; void *opaque; } e[];
} ListenerSet;

enum { PAGE_CLIENTS = 4 };
typedef struct PageHooks {
    struct { PageWrittenFn *fn; void *opaque; } hook[PAGE_CLIENTS];
} PageHooks;

struct MemSystem {
    Publish *publish;
    GMutex tree_lock;           /* all trees, depth, dirty, pending doorbells */
    unsigned depth;
    bool dirty, partial;        /* partial: some region is not MEM_RW, so views need two maps */
    uint64_t seq;
    GPtrArray *bells;           /* regions whose doorbells changed, references */
    void (*schedule)(void *opaque);
    void *schedule_opaque;
    GMutex commit_lock;         /* taken before tree_lock: one commit at a time; spaces, replacing of listeners */
    GPtrArray *spaces;
    _Atomic(ListenerSet *) listeners;
    _Atomic(PageHooks *) hooks;
    GMutex blocks_lock;         /* leaf */
    GPtrArray *blocks;
    uint64_t next_ram_addr;
};

enum { VIEW_HINTS = 16 };
typedef struct View {
    FlatView pub;               /* points into ranges below */
    unsigned total;
    _Atomic uint16_t hint[2][VIEW_HINTS];      /* range that answered last at addresses of this hash, or the one behind the hole; reads, writes */
    FlatRange ranges[];         /* each holds a reference on its region */
} View;

struct AddressSpace {
    MemSystem *ms;
    char *name;
    MemRegion *root;
    _Atomic(View *) view;
};

static inline bool range_is(const FlatRange *r, unsigned at, unsigned n, GuestAddr gpa) { return at < n && gpa - r[at].start <= r[at].last - r[at].start; }
/* The long way of view_find. */
const FlatRange *view_search(const FlatView *v, GuestAddr gpa, bool write);
/* view_find, for what is asked again and again: found without the search. A stale or foreign hint only costs it. */
static inline const FlatRange *view_hit(const FlatView *v, GuestAddr gpa, bool write)
{
    const View *all = (const View *)(const void *)v;
    const FlatRange *r = write ? v->wr : v->rd;
    unsigned at = atomic_load_explicit(&all->hint[write][(gpa ^ gpa >> 12) & (VIEW_HINTS - 1)], memory_order_relaxed);
    return range_is(r, at, write ? v->n_wr : v->n_rd, gpa) ? &r[at] : view_search(v, gpa, write);
}

View *view_build(MemRegion *root, bool partial);    /* tree_lock held */
View *view_without(const View *v, GuestAddr start, GuestAddr last);     /* a copy with a hole */
bool view_equal(const View *a, const View *b);
void view_free(void *view);
RamBlock *ram_block_new(MemSystem *ms, const char *name, uint64_t size, GError **err);
/* The tree changed; called without tree_lock. */
void mem_system_changed(MemSystem *ms);
