#pragma once
#include <stdatomic.h>

#include "util/publish.h"
#include "vmm/memory.h"

typedef enum MemKind { MEM_CONTAINER, MEM_RAM, MEM_MMIO, MEM_ALIAS } MemKind;

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

View *view_build(MemRegion *root, bool partial);    /* tree_lock held */
View *view_without(const View *v, GuestAddr start, GuestAddr last);     /* a copy with a hole */
bool view_equal(const View *a, const View *b);
void view_free(void *view);
RamBlock *ram_block_new(MemSystem *ms, const char *name, uint64_t size, GError **err);
/* The tree changed; called without tree_lock. */
void mem_system_changed(MemSystem *ms);
