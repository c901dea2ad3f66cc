#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Guest memory and port I/O.
 *
 * A MemSystem (one a machine) holds trees of regions. An AddressSpace looks at a tree from its root through a
 * FlatView: a sorted, immutable list of ranges, published without waiting. Tree functions may be called from any
 * thread, also inside an MmioOps handler; they only mark the system dirty. The new views appear at the next commit:
 *  - in a machine, a work item does it before the vCPU that caused it executes its next instruction;
 *  - without one (tests), every change commits at once unless inside mem_begin/mem_commit.
 *
 * Lock order: device lock -> MemSystem's tree lock (internal, short). Accesses take no lock but the device's.
 */
typedef uint64_t GuestAddr;

#define PAGE_BITS 12
#define PAGE_SIZE 4096u

typedef enum MemResult {
    MEM_OK,
    MEM_DECODE_ERROR,       /* nothing answers there: reads are all-ones, writes are dropped */
    MEM_ACCESS_ERROR,       /* something is there but refuses (DMA to MMIO, write to ROM by DMA) */
} MemResult;

typedef struct MemSystem MemSystem;
typedef struct MemRegion MemRegion;
typedef struct AddressSpace AddressSpace;
typedef struct RamBlock RamBlock;

/* ---- the lock around a device's handlers ---- */

/*
 * Shared by a device, its regions and its timers, and alive as long as any of them. After devlock_retire (unrealize)
 * devlock_enter fails, so that late accesses through an old view read all-ones and never reach the device.
 */
typedef struct DevLock DevLock;
DevLock *devlock_new(void);
DevLock *devlock_ref(DevLock *l);
void devlock_unref(DevLock *l);
/* False, and not locked, if the device is gone. NULL is a lock that always succeeds. Not recursive. */
bool devlock_enter(DevLock *l);
void devlock_leave(DevLock *l);
/* Takes the lock itself. */
void devlock_retire(DevLock *l);
/* @fn runs right before the mutex is dropped (locked = true) and right after (false); the interrupt fabric's lock uses it. */
void devlock_set_hook(DevLock *l, void (*fn)(void *opaque, bool locked), void *opaque);
/* True if the calling thread holds it (debug builds; otherwise always true). For asserts. */
bool devlock_held(const DevLock *l);

/* ---- regions ---- */

typedef enum MmioEndian { MMIO_LITTLE, MMIO_BIG } MmioEndian;

/*
 * Handlers get offsets relative to the region, sizes of 1, 2, 4 or 8 within [min_size, max_size], and never an access
 * that leaves the region. The core splits what is wider or (without @unaligned) not aligned, and widens what is narrower
 * than min_size: a narrow read takes its lanes from a wide one, a narrow write reaches the device min_size wide with
 * zeros in the other lanes. Values are in the lane order of @endian. The region's DevLock is held; a handler must not
 * read or change vCPU state, and DMA reaches RAM only, so a device is never re-entered.
 */
typedef struct MmioOps {
    uint64_t (*read)(void *opaque, uint64_t off, unsigned size);
    void (*write)(void *opaque, uint64_t off, uint64_t val, unsigned size);
    uint8_t min_size, max_size;     /* 0 means 1 and 4 */
    MmioEndian endian;
    bool unaligned;                 /* the handlers take any alignment (ports: most do not care) */
} MmioOps;

/*
 * Regions are counted references: _new gives one to the caller, a container and every view hold their own.
 * Names are for messages and `info mtree`, copied. A size of 0 means 2^64.
 */
MemRegion *mem_region_new_container(MemSystem *ms, const char *name, uint64_t size);
/* Zeroed RAM behind a memfd (sealed against shrinking); NULL with @err if the host refuses. @size is a multiple of PAGE_SIZE. */
MemRegion *mem_region_new_ram(MemSystem *ms, const char *name, uint64_t size, GError **err);
/* Same, but guest writes are swallowed and DMA writes refused. Fill it with mem_region_ram_host(). */
MemRegion *mem_region_new_rom(MemSystem *ms, const char *name, uint64_t size, GError **err);
/* @lock may be NULL for handlers that lock themselves. @opaque must live until the lock is retired. */
MemRegion *mem_region_new_mmio(MemSystem *ms, const char *name, const MmioOps *ops, void *opaque, uint64_t size, DevLock *lock);
/* A window of @size bytes on @target from @offset on, wherever (and whether or not) @target itself is mapped. Holds a reference. */
MemRegion *mem_region_new_alias(MemSystem *ms, const char *name, MemRegion *target, uint64_t offset, uint64_t size);
MemRegion *mem_region_ref(MemRegion *mr);
void mem_region_unref(MemRegion *mr);

/* Which kinds of access see a region; the others fall through to what lies below (i440FX PAM: read ROM, write DRAM). */
enum { MEM_R = 1, MEM_W = 2, MEM_RW = 3 };

/*
 * Put @child into @parent; of overlapping siblings the higher priority wins, then the later added. A child hangs in one
 * place only (use aliases for more) and may stick out: it is clipped. Children cover their parent's own content.
 */
void mem_region_add(MemRegion *parent, uint64_t offset, MemRegion *child, int priority);
void mem_region_remove(MemRegion *child);       /* no-op if it hangs nowhere */
bool mem_region_is_mapped(const MemRegion *mr);
void mem_region_set_offset(MemRegion *child, uint64_t offset);
void mem_region_set_enabled(MemRegion *mr, bool enabled);
void mem_region_set_alias_offset(MemRegion *alias, uint64_t offset);
void mem_region_set_size(MemRegion *mr, uint64_t size);             /* not RAM or ROM */
void mem_region_set_access(MemRegion *mr, unsigned rw);             /* MEM_R, MEM_W, MEM_RW (default) or 0 = disabled */
/* RAM as ROM: unlike set_access(MEM_R) a write is swallowed here and does not fall through. */
void mem_region_set_readonly(MemRegion *mr, bool readonly);

const char *mem_region_name(const MemRegion *mr);
uint64_t mem_region_size(const MemRegion *mr);      /* 0 = 2^64 */
RamBlock *mem_region_ram(const MemRegion *mr);      /* NULL unless RAM or ROM */
uint8_t *mem_region_ram_host(const MemRegion *mr);  /* NULL unless RAM or ROM; for loaders before the guest runs */

/*
 * Doorbell: writes of @size bytes at @offset (of @value only, if @match) do nothing but wake the device. Under kvm the
 * engine binds @fd (an eventfd of the device, or -1 for none) to the address; otherwise the core calls @ring (from the
 * writing thread, no lock held, must not block; NULL: the core writes @fd). size 0 matches every size.
 */
typedef struct Doorbell {
    uint64_t offset;
    unsigned size;
    bool match;
    uint64_t value;
    int fd;
    void (*ring)(void *opaque);
    void *opaque;
} Doorbell;
void mem_region_add_doorbell(MemRegion *mr, const Doorbell *d);     /* copied */
void mem_region_clear_doorbells(MemRegion *mr);
/* Writes have no side effect that must be seen at once: an engine may batch them until the next exit. */
void mem_region_set_coalesced(MemRegion *mr, bool coalesced);

/* ---- the system ---- */

MemSystem *mem_system_new(void);
/* All address spaces must be freed, all readers gone. */
void mem_system_free(MemSystem *ms);
/* @fn (any thread, device locks may be held) must arrange for mem_commit_now() soon. NULL: commit at once. */
void mem_system_set_scheduler(MemSystem *ms, void (*fn)(void *opaque), void *opaque);
/* Nestable bracket: changes inside are published together by the last mem_commit. */
void mem_begin(MemSystem *ms);
void mem_commit(MemSystem *ms);
/* Rebuild and publish all dirty views now. In a machine only from work items (vCPUs parked) or before start. */
void mem_commit_now(MemSystem *ms);
/* Read-side bracket for code that keeps pointers into a view: FlatView and MemRegion pointers are valid inside. */
unsigned mem_read_begin(MemSystem *ms);
void mem_read_end(MemSystem *ms, unsigned token);
/* Called by vCPUs at safe points: free views that nobody reads any more. Cheap when there is none. */
void mem_safe_point(MemSystem *ms);

/* ---- views ---- */

typedef struct FlatRange {
    GuestAddr start, last;      /* inclusive */
    MemRegion *mr;              /* RAM, ROM or MMIO, never alias or container */
    uint64_t offset;            /* of @start in @mr */
    RamBlock *ram;              /* NULL for MMIO */
    uint8_t *host;              /* host address of @start; NULL for MMIO */
    bool readonly;              /* RAM that swallows writes */
    bool split;                 /* writes to some of it go elsewhere (see wr[]): an engine must trap them */
} FlatRange;

typedef struct FlatView {
    unsigned n_rd, n_wr;
    const FlatRange *rd;        /* what reads and fetches see, sorted, not overlapping, merged */
    const FlatRange *wr;        /* what writes see; == rd in most views */
} FlatView;

AddressSpace *as_new(MemSystem *ms, const char *name, MemRegion *root);
void as_free(AddressSpace *as);
const char *as_name(const AddressSpace *as);
MemSystem *as_system(AddressSpace *as);
/* Current view; only between mem_read_begin and mem_read_end (or in a listener, or with vCPUs parked). */
const FlatView *as_view(AddressSpace *as);
/* The range that answers at @gpa, NULL if none. */
const FlatRange *view_find(const FlatView *v, GuestAddr gpa, bool write);

typedef enum PageClient { PAGE_CODE = 1, PAGE_VGA = 2, PAGE_MIGRATION = 4, PAGE_SNAPSHOT = 8 } PageClient;

typedef struct MemListener {
    /* A view changed; at a commit. @old is empty at the first call (as_new or mem_listener_add). Both valid during the call. */
    void (*changed)(void *opaque, AddressSpace *as, const FlatView *old, const FlatView *new_view);
    /* @client armed [ram_addr, +len): drop direct write entries to these pages on all vCPUs at their safe points. */
    void (*revoke)(void *opaque, PageClient client, uint64_t ram_addr, uint64_t len);
    /* Merge into the page flags what an engine logged of writes to [offset, +len) of @b (or more). Any thread, vCPUs may run. */
    void (*sync)(void *opaque, RamBlock *b, uint64_t offset, uint64_t len);
    /* Doorbells of @mr changed. */
    void (*doorbells)(void *opaque, MemRegion *mr);
} MemListener;
/* Hooks may be NULL. @l is not copied. "changed" is called at once for every existing address space. */
void mem_listener_add(MemSystem *ms, const MemListener *l, void *opaque);
void mem_listener_remove(MemSystem *ms, const MemListener *l, void *opaque);
unsigned mem_region_doorbells(const MemRegion *mr, const Doorbell **ret);
bool mem_region_coalesced(const MemRegion *mr);

/* ---- CPU accesses (any thread; MMIO handlers run in the caller) ---- */

/* Any length and alignment. On an error the rest still happens: holes read as all-ones. */
MemResult as_read(AddressSpace *as, GuestAddr gpa, void *buf, size_t len);
MemResult as_write(AddressSpace *as, GuestAddr gpa, const void *buf, size_t len);
/* One access of 1, 2, 4 or 8 bytes, value little endian as the CPU sees it; RAM is read and written in one piece if aligned. */
MemResult as_load(AddressSpace *as, GuestAddr gpa, unsigned size, uint64_t *ret);
MemResult as_store(AddressSpace *as, GuestAddr gpa, unsigned size, uint64_t val);

typedef struct MemMap {
    uint8_t *host;          /* of the address asked for */
    uint64_t len;           /* bytes that follow contiguously in guest and host */
    uint64_t ram_addr;      /* machine-wide name of the RAM byte: equal for all aliases of it, stable while it exists */
    _Atomic uint8_t *flags; /* page flags of its page; flags[i] is the i-th page on */
    RamBlock *ram;
    bool readonly;          /* writes through this address must not go to @host: use as_store */
} MemMap;
/*
 * Soft-MMU fill: where does @gpa lie in RAM or ROM? False: it is MMIO or a hole, use as_load/as_store.
 * @write asks the write map. Pointers stay valid until the listener's "changed" reported the range gone.
 */
bool as_translate(AddressSpace *as, GuestAddr gpa, bool write, MemMap *ret);
/*
 * The same for the thread of a vCPU that is in guest code (between work_enter and work_leave): views are replaced only while none is, so these need
 * no read section, whose two locked operations are a third of such an access.
 */
MemResult as_vcpu_load(AddressSpace *as, GuestAddr gpa, unsigned size, uint64_t *ret);
MemResult as_vcpu_store(AddressSpace *as, GuestAddr gpa, unsigned size, uint64_t val);
bool as_vcpu_translate(AddressSpace *as, GuestAddr gpa, bool write, MemMap *ret);

/* ---- DMA (any thread, RAM only, page flags marked) ---- */

/* All or error; on an error a prefix may have been transferred, holes and MMIO are refused. */
MemResult as_dma_read(AddressSpace *as, GuestAddr gpa, void *buf, size_t len);
MemResult as_dma_write(AddressSpace *as, GuestAddr gpa, const void *buf, size_t len);
/* One element of 1, 2, 4 or 8 bytes, little endian, never torn if aligned (ring indices). Barriers are the caller's. */
MemResult as_dma_load(AddressSpace *as, GuestAddr gpa, unsigned size, uint64_t *ret);
MemResult as_dma_store(AddressSpace *as, GuestAddr gpa, unsigned size, uint64_t val);

/* A mapped piece: holds its RAM block. @len may be less than asked for (end of a range): map the rest by another call. */
typedef struct DmaMap {
    void *host;
    uint64_t len;
    RamBlock *ram;
    uint64_t offset;        /* in @ram */
    bool write;
} DmaMap;
MemResult as_dma_map(AddressSpace *as, GuestAddr gpa, uint64_t len, bool write, DmaMap *ret);
/* @written bytes from the start were changed: marks their pages. Clears *map. */
void as_dma_unmap(DmaMap *map, uint64_t written);

/* ---- RAM and page flags ---- */

RamBlock *ram_block_ref(RamBlock *b);
void ram_block_unref(RamBlock *b);
const char *ram_block_name(const RamBlock *b);
uint8_t *ram_block_host(const RamBlock *b);
uint64_t ram_block_size(const RamBlock *b);
uint64_t ram_block_addr(const RamBlock *b);     /* ram_addr of byte 0 */
int ram_block_fd(const RamBlock *b);            /* memfd, offset 0 = byte 0 */
_Atomic uint8_t *ram_block_flags(RamBlock *b);  /* one byte a page */
/* Block by ram_addr; NULL if none. Only inside mem_read_begin/end or while the caller holds the block. */
RamBlock *ram_block_find(MemSystem *ms, uint64_t ram_addr);
void ram_block_foreach(MemSystem *ms, void (*fn)(RamBlock *b, void *opaque), void *opaque);

/*
 * A set flag means: this client wants to know of the next write to the page. A writer that does not go through a
 * direct soft-TLB entry calls mem_pages_written before it stores: hooks run (CODE drops translations and clears its
 * flag itself, SNAPSHOT copies the old bytes), then the other flags are cleared: clear = written since armed. After the
 * store it calls mem_pages_stored, which clears the trackers' flags once more: a collector that armed and copied the
 * page in between would otherwise miss the store.
 */
typedef void PageWrittenFn(void *opaque, RamBlock *b, uint64_t offset, uint64_t len);
/* At most one hook a client; NULL removes. Hooks run in the writing thread, without locks of vmm, and must not block on vCPUs. */
void mem_pages_set_hook(MemSystem *ms, PageClient client, PageWrittenFn *fn, void *opaque);
/* Set the flag on every page of [offset, +len) and revoke write entries through the listeners. */
void mem_pages_arm(RamBlock *b, PageClient client, uint64_t offset, uint64_t len);
void mem_pages_disarm(RamBlock *b, PageClient client, uint64_t offset, uint64_t len);
bool mem_pages_any(RamBlock *b, uint64_t offset, uint64_t len);
void mem_pages_written_slow(RamBlock *b, uint64_t offset, uint64_t len);
void mem_pages_stored_slow(RamBlock *b, uint64_t offset, uint64_t len);
static inline void mem_pages_written(RamBlock *b, uint64_t offset, uint64_t len)
{
    if (mem_pages_any(b, offset, len))
        mem_pages_written_slow(b, offset, len);
}
static inline void mem_pages_stored(RamBlock *b, uint64_t offset, uint64_t len)
{
    if (mem_pages_any(b, offset, len))
        mem_pages_stored_slow(b, offset, len);
}
/* Ask one client to let go of the pages, as if they were about to be written; nobody takes them for written. */
void mem_pages_release(RamBlock *b, PageClient client, uint64_t offset, uint64_t len);
/* Engines that log writes instead of asking before them: bring the flags up to date. */
void mem_pages_sync(RamBlock *b, uint64_t offset, uint64_t len);
/*
 * Call @fn for each maximal run of pages of @b that were written since armed (flag clear), and arm them again first. Syncs. Not for clients that must act
 * before a write (CODE, SNAPSHOT).
 */
void mem_pages_collect(RamBlock *b, PageClient client, uint64_t offset, uint64_t len,
                       void (*fn)(void *opaque, RamBlock *b, uint64_t offset, uint64_t len), void *opaque);

/* Tell listeners that the page at @gpa went away and came back (pc-testdev); work item. */
void mem_remap_page(AddressSpace *as, GuestAddr gpa);

/* Tree and views as text, for the monitor. Free with g_free. */
char *mem_system_dump(MemSystem *ms);
