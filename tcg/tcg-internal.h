#pragma once
#include <pthread.h>
#include <setjmp.h>

#include "tcg/tcg.h"

/* Private to tcg/ (core and hosts). */

/*
 * The soft TLB: a table for loads and one for stores, so that a copy between addresses of one index does not drive itself out. An entry's tag is the
 * page that may be accessed directly, or TLB_NONE; a fast-path hit is (va + size - 1) & -4096 == tag. What else is known is in TlbInfo.
 */
typedef struct TlbEntry { uint64_t tag, addend; } TlbEntry;
typedef struct TlbInfo { uint64_t va, gpa; } TlbInfo;     /* page that the entry is about, or TLB_NONE; guest-physical page | TLB_G_* */
#define TLB_NONE (~0ull)
enum { TLB_BITS = 11, TLB_SIZE = 1 << TLB_BITS, TLB_FILLED = 2048, TLB_SPACES = 8, XTLB_SIZE = 1024 };
enum { TLB_G_READ = 1, TLB_G_WRITE = 2,    /* what the page tables allow (write: with the dirty bit set) */
       TLB_G_IO = 4 };         /* not RAM (or a store to ROM) */

/* Executable pages met; an entry counts while its generation is the current one. */
typedef struct XEntry { uint64_t va, gpa; uint32_t gen, regime; } XEntry;

/* Executable pages met in a generation, as a filter: a page whose bit is clear was not (its XEntry may be replaced by another one's). */
enum { XSEEN_BITS = 1 << 14 };
typedef struct XSeen { uint64_t bits[XSEEN_BITS / 64]; } XSeen;

/* Regions (aligned, a power of two) that hold every large page entered: INVLPG of an address there drops more than one entry. */
enum { LARGE_REGIONS = 8 };
typedef struct LargePages { unsigned n; struct { uint64_t base, mask; } at[LARGE_REGIONS + 1]; } LargePages;

/* Entries of the soft TLB that others of the same place drove out. */
enum { TLB_VICTIMS = 8 };
typedef struct TlbVictim { TlbEntry e; TlbInfo info; uint32_t place, track_gen; } TlbVictim;   /* place: as in filled[], + 1; track_gen: then, see TcgContext */

/* What one address space has cached. The array of a space is contiguous, regime after regime: translated code reaches it off one register. */
typedef struct TlbSpace {
    TlbEntry e[TCG_REGIMES][2][TLB_SIZE];      /* loads, stores */
    TlbInfo info[TCG_REGIMES][2][TLB_SIZE];
    XEntry x[XTLB_SIZE];       /* user code */
    XSeen x_seen;
    uint64_t base;
    uint32_t tag;
    bool valid;
    uint32_t ctx_gen;          /* generation of user code contexts in this space */
    uint64_t last_use;
    unsigned regimes;          /* which have entries, a bit each */
    unsigned n_filled;         /* > TLB_FILLED: too many to list */
    uint16_t filled[TLB_FILLED];
    TlbVictim victim[TLB_VICTIMS];
    unsigned next_victim;
    LargePages large;
    uint64_t wfilter[64];      /* pages that may have a direct write entry: a bit for each hash of their address */
} TlbSpace;

/* Indirect-jump cache of a context (jumps.c): hit if va matches. Place: bits 1 to JC_BITS of va ^ va >> TCG_PAGE_BITS. */
typedef struct JumpEntry { uint64_t va; void *host; } JumpEntry;
enum { JC_BITS = 15, JC_SIZE = 1 << JC_BITS, JC_FILLED = 2048, JC_TABLES = 16, CHECK_SLOTS = 1 << 14, CHECK_FILLED = 512 };
typedef struct JumpTable {
    JumpEntry e[JC_SIZE];
    uint32_t block[JC_SIZE];   /* index (TcgBlock) of what e leads to */
    uint16_t filled[JC_FILLED];
    unsigned n_filled;         /* > JC_FILLED: too many to list */
    /* Regions of several pages, by their check: in this context with the first page at @base the others are where they were (base + tag) or not (its complement). */
    uint64_t seen[CHECK_SLOTS];
    uint16_t seen_filled[CHECK_FILLED];
    unsigned n_seen;           /* > CHECK_FILLED: too many to list */
} JumpTable;
static inline unsigned tcg_check_slot(uint32_t check) { return check & (CHECK_SLOTS - 1); }
static inline unsigned tcg_check_tag(uint32_t check) { return 1 + check / CHECK_SLOTS % (TCG_PAGE_SIZE - 1); }

/* Where a jump that blocks make goes, by hash: @va has it more often than not, by so much. */
typedef struct JumpTarget { uint64_t va; int32_t trust; } JumpTarget;
enum { TARGET_SLOTS = 1024, TARGET_TRUST = 16, TARGET_SURE = 64 /* not counted on: a page that is not written need not be copied by fork */ };

enum { HOT_SLOTS = 256, HOT_START = 300, HEAT_START = 3000, HEAT_LOOK = 16, HOT_AGAIN = 1 << 14 /* where there is nothing more to gain */, LEAVE_HOT = 0x200 };
/* The guest-neutral area inside the guest's state (GuestIsa.xlat_offset), addressed by translated code. */
typedef struct TcgEnv {
    uint32_t ctx_id;           /* context (mode, address space generation) of the running code; 0 = somebody wants the run loop */
    uint32_t exit_request;
    int32_t cur_off;           /* guest instruction that called out: page offset relative to pc_base */
    uint32_t link;             /* number of the direct jump that left for the run loop, 0 = none */
    TlbEntry *tlb;
    JumpEntry *jc;             /* of the running code's context; one without entries while somebody wants the run loop */
    TcgCpu *cpu;
    uint64_t arg[4];           /* slow paths: address, value, mem info */
    uint64_t ret, ret2;
    uint64_t save[8];          /* temporaries over slow paths */
    uint64_t host_sp;
    uint64_t leave;            /* why translated code returned */
    uint32_t host_mxcsr;
    uint32_t vec_live;         /* vector slots that have homes are in host registers; else (C code runs) in the state */
    bool in_code;              /* translated code is on the stack: the guest's FP environment is live */
    uint16_t young;            /* in a forked child: how many more notes it may make (forks.c) */
    uint64_t *calls;           /* of helpers, in their table's order, and slow paths behind them; NULL: not counted */
    int32_t hot[HOT_SLOTS];    /* jumps back to a place, by hash, until it is worth a region */
    uint64_t spill[48];
    _Alignas(64) uint8_t vspill[16][32];
    uint8_t vsave[16][32];     /* live vector temporaries over calls of C code that uses them */
    JumpTarget target[TARGET_SLOTS];       /* last: the rest lies together */
} TcgEnv;

/* Bytes within a page that a translation is made of: on the list of that page. off: of the page, from the first one. */
typedef struct TcgPart { struct TcgPart *next; struct TcgBlock *b; uint64_t gpa; int64_t off; uint32_t len; uint8_t *bytes; } TcgPart;   /* bytes: what they were; NULL: not known */

typedef struct TcgBlock {
    struct TcgBlock *hash_next, *killed_next;
    uint64_t gpa, gpa2;        /* of the first byte; of the second page of one whose last instruction goes on there (0 = none) */
    uint64_t mode;
    uint32_t len;              /* guest bytes; of a region what the front end says */
    uint16_t n_insns;
    uint8_t dead, one_insn, tier;
    uint8_t checked;           /* of a loose page: entered by the run loop alone, which compares the bytes */
    uint8_t n_parts;
    bool back;                 /* a region that went back, not to its start, without a poll */
    bool lonely;               /* IrUnit.lonely */
    bool revivable;            /* of one page, whose bytes are known */
    uint8_t dead_hits;         /* arrivals after its death */
    uint8_t absent;            /* how often a page of it was not there */
    uint32_t check;            /* a region of several pages: what it looks for in JumpTable.seen; 0: of one */
    uint32_t index;            /* in ctx->blocks, + 1 */
    uint32_t in_links;         /* first of the links that lead here */
    int32_t heat;              /* arrivals by indirect jumps until it is worth a region; of one that has a check: times left because of it until somebody looks */
    void *counted;             /* where those enter who count: executable view; NULL: not made yet */
    struct TcgBlock *replaced; /* the block a region took over from: its entry jumps here */
    struct TcgBlock *region;   /* that took over from this block */
    void *host;                /* entry in the executable view (JIT hosts) */
    uint32_t host_len, stub;   /* stub: bytes before the entry where a killed block continues */
    IrInsn *ir;                /* interp: the unit */
    uint16_t n_ir, n_labels;
    uint32_t first_link, n_links;
    struct TcgSoft hole[TCG_MAX_SOFT]; /* page offsets of bytes that it reads when it runs */
    unsigned n_holes;
    struct TcgFaultAt *faults; /* direct memory: where the host may fault, ascending */
    uint32_t n_faults;
    TcgPart part[];            /* the first one begins at gpa */
} TcgBlock;

/* Host code up to @end (bytes from the block's entry) belongs to the guest instruction at page offset @off. more: the host back end's. */
typedef struct TcgFaultAt { uint32_t end; int32_t off; uint32_t more : 31, rmw : 1 /* a load that a store to the same place follows */; } TcgFaultAt;

/* A patchable direct jump. page: low half of where its page is, when it was made last. */
typedef struct TcgLink { uint8_t *at; TcgBlock *from; int64_t off; uint8_t cross, linked, tries, disp, pending; uint32_t ctx_id, prev, next, page; TcgBlock *to; } TcgLink;
/* Pending links, oldest first: when all vCPUs have passed @seq they hold again. */
typedef struct TcgRelinking { uint32_t link, seq; } TcgRelinking;
enum { MAX_RELINKING = 64 };
/* env link of who comes from a killed block's stub, or left a region that does not know where its pages are: and the block's index. */
enum { LINK_DEAD = 1 << 30, LINK_CHECK = 1 << 29, LINK_BLOCK = LINK_CHECK - 1 };

/*
 * A guest page that has or had translations. Armed: writes are watched; it stays so for a while without translations, since whoever writes code
 * does it again. map: a bit for each 64 bytes that translations are made of, all ones while one is being made: a write elsewhere is nobody's business.
 */
enum { CODE_GRAINS = TCG_PAGE_SIZE / 64 };
typedef struct CodePage {
    uint64_t gpa;
    struct CodePage *next, *unchecked_next;
    const uint8_t *host;       /* where it is */
    TcgPart *at[CODE_GRAINS];  /* by the 64 bytes they start in */
    TcgBlock *killed;          /* may come back if the bytes do */
    uint16_t cover[CODE_GRAINS];       /* how many translations are made of each 64 bytes */
    unsigned span;             /* over how many 64 bytes one goes at most */
    unsigned n_live, n_killed, idle_writes;
    uint64_t vain;             /* of the instructions in these 64 bytes some find devices: their accesses share no look-up */
    unsigned vain_hits;
    bool armed, unchecked;
    struct { struct TcgSoft at; uint8_t n; } patched[TCG_MAX_SOFT];    /* writes that killed translations, how often each */
    /* Direct memory: protecting it costs too much just now, so it is not watched, its translations are checked. */
    bool loose;
    uint32_t faults, checks;
    int64_t faults_since, loose_until;     /* ns */
    uint32_t armed_at, killed_at;          /* arm_seq then, and when a translation made of it was killed */
    uint64_t bits, map;        /* bits: what cover says; map: what stores look at */
} CodePage;
enum { PATCHED_SOFT = 3, MAX_KILLED = 64, MAX_IDLE_WRITES = 256, MAX_VAIN = 64 };
enum { BLOCK_HASH = 1 << 19, PAGE_HASH = 1 << 12, MODE_MAX = 4096, LINK_MAX = 1 << 20 };
enum { LOOSE_FAULTS = 64, FAULTS_NS = 10000000, LOOSE_NS = 100000000, LOOK_AT_CLOCK = 256 };

typedef struct HostOps {
    const char *name;
    /* Emit the common thunks at the start of an empty cache. */
    bool (*init)(TcgContext *ctx, const GuestIsa *isa);
    /* Translate @u for @b (b->host, host_len, links set). False: cache full. ctx->lock held. */
    bool (*emit)(TcgContext *ctx, TcgCpu *cpu, IrUnit *u, TcgBlock *b);
    /* Run from @b until something leaves; env->leave, pc_base/cur_off say why and where. */
    void (*enter)(TcgCpu *cpu, TcgBlock *b);
    void (*link)(TcgContext *ctx, const TcgLink *l, const void *entry);     /* good for l->ctx_id and l->page */
    void (*unlink)(TcgContext *ctx, TcgLink *l);
    void (*kill)(TcgContext *ctx, TcgBlock *b);
    void (*revive)(TcgContext *ctx, TcgBlock *b);
    void (*redirect)(TcgContext *ctx, TcgBlock *from, const TcgBlock *to);   /* whoever enters @from goes to @to */
    /* An entry of @b that counts its heat down and leaves as LEAVE_HOT when that is used up; NULL: no room. ctx->lock held. */
    void *(*count)(TcgContext *ctx, TcgBlock *b);
    void (*free)(TcgContext *ctx);
    /* Direct memory: the host fault of @ucontext is in @cpu's translated code: guest registers to the state, *ret_off = the instruction's page
     * offset. False: not in translated code (then both are in their places already), or no access's (@access: it is not a trap of arithmetic). NULL: never is. */
    bool (*fault)(TcgCpu *cpu, const void *ucontext, bool access, int64_t *ret_off, bool *ret_rmw);
    /* The same for homes of vector slots, after any host signal in translated code. NULL: there are none. */
    void (*vectors)(TcgCpu *cpu, const void *ucontext);
    bool raw_ir;               /* wants the front end's IR without passes */
} HostOps;
extern const HostOps tcg_host_interp, tcg_host_x86_64;

typedef struct TcgWorker TcgWorker;
struct TcgContext {
    TcgConfig config;
    const HostOps *host;
    IrOthers others;           /* of code that is translated from now on */
    pthread_rwlock_t run_lock; /* read-held by a vCPU inside tcg_cpu_run; write = all are at safe points */
    uint32_t stop_request;     /* somebody waits for run_lock */
    uint32_t next_gen;
    uint32_t arm_seq;          /* of what vCPUs must have been at a safe point for: pages armed, translations killed, links made anew */
    uint32_t track_gen;        /* bumped when pages get other clients than code */
    CodePage *unchecked;       /* armed while a vCPU might still have been in the middle of a store to it */
    pthread_mutex_t lock;      /* translation, links, code pages; not for look-ups */
    /* code cache: one memfd, two views */
    uint8_t *rw, *rx;
    size_t size, used, start;  /* start: behind the thunks */
    void *thunks[32];          /* host's own entry points */
    TcgBlock **hash;
    CodePage **pages;
    uint64_t maybe_code[(1 << 15) / 64];       /* by a hash of their address: pages that are on a list of pages, and some others; before they are armed */
    TcgLink *links;
    unsigned n_links;
    TcgRelinking relinking[MAX_RELINKING];
    unsigned n_relinking;
    uint64_t modes[MODE_MAX];
    unsigned n_modes;
    IrInsn *ir_buf;
    IrUnit unit;
    TcgWorker *worker;         /* NULL: vCPUs compile everything themselves */
    unsigned host_cpus;
    GPtrArray *cpus;
    GPtrArray *blocks;         /* all, for freeing */
    GPtrArray *meta;           /* pieces of memory for blocks, see meta.c */
    size_t meta_used;          /* of the last one */
    TcgStats stats;
    void *host_data;
    unsigned host_has;         /* what the back end found on this host */
    uint8_t code_copy[TCG_REGION_PAGES][TCG_PAGE_SIZE];  /* what is being translated */
    struct { int64_t off; CodePage *page; } region_page[TCG_REGION_PAGES];   /* of that: from the first one */
    unsigned n_region_pages;
    bool region_checked;       /* the way went through IR_CROSS */
    uint32_t checks;           /* given out */
    uint32_t region_base;      /* low half of where the unit being made has its (first) page */
    uint8_t *no_ram;           /* a page of all ones */
    JumpTable *no_jumps;
    uint64_t *calls;           /* of vCPUs that are gone, as TcgEnv.calls */
    unsigned host_vops;        /* TCG_VOPS_ */
    bool broken;               /* no unit could be made: said in the log */
    const GuestIsa *isa;       /* of the first cpu: the thunks are made for it */
    uint64_t generation;       /* bumped by a flush of all code */
    /* forks.c. At the last fork, the child's own among them: links and generation of the parent. fork_seen: notes made good. */
    struct TcgForkNotes *fork_notes;
    uint64_t fork_generation;
    uint32_t fork_seen, fork_links;
    int32_t fork_owner;
};

/* Host address of a page of RAM, for reads of page tables; good while gen is the vCPU's. */
typedef struct PhysEntry { uint64_t gpa; uint8_t *host; uint64_t gen; } PhysEntry;
enum { PHYS_ENTRIES = 256 };

enum { MAX_ASKED = 32 };
struct TcgCpu {
    TcgContext *ctx;
    const GuestIsa *isa;
    void *state;
    TcgEnv *env;
    const TcgCallbacks *cb;
    void *opaque;
    TlbSpace *spaces[TLB_SPACES];
    unsigned n_spaces, space;
    uint64_t space_clock;
    PhysEntry phys[PHYS_ENTRIES];
    uint64_t phys_gen;         /* a flush of everything, as after a change of memory, starts a new one */
    uint32_t super_gen;        /* generation of supervisor code contexts */
    XEntry x_super[XTLB_SIZE];
    XSeen x_super_seen;
    LargePages x_super_large;
    bool super_nonglobal;      /* supervisor code of this generation came from a non-global page */
    uint64_t mode;             /* cached mode key and its number */
    unsigned mode_no;
    uint64_t mode_cache[64];
    uint16_t mode_cache_no[64];
    struct { JumpTable *table; uint64_t used; uint32_t id; } jumps[JC_TABLES];   /* id: context */
    unsigned jumps_now, jumps_before;
    uint64_t jumps_clock;
    uint32_t kicked;           /* tcg_cpu_kick: return to the caller */
    bool (*stop)(void *opaque);  /* tcg_cpu_run_until's */
    void *stop_opaque;
    uint64_t n_steps, n_flushes;
    /* Flushes that other vCPUs ask for, done at a safe point; too many become one of everything. */
    pthread_mutex_t asked_lock;
    struct { TcgFlush what; uint32_t tag; uint64_t va; } asked[MAX_ASKED];
    uint32_t n_asked;          /* written under the lock, read by the vCPU without */
    bool want_alone, alone;    /* the next instruction runs while every other vCPU is at a safe point; it does */
    bool inside;               /* tcg_cpu_run: not at a safe point */
    uint32_t seen_arm;         /* arm_seq at the last safe point */
    struct { uint64_t gpa; uint32_t gen; } code_only[16];   /* watched pages that nobody but translated code wants */
    bool io_refused;           /* by the access in hand */
    enum { IO_NONE, IO_DONE, IO_AGAIN } io_done;   /* the device access of the instruction at the pc is done, its answer io_value; that instruction runs */
    uint64_t io_value;
    bool committed;            /* a store that cannot be started again is under way */
    bool one_insn;             /* next unit: one instruction, no tracking of writes to itself */
    TcgBlock *cur_block;       /* entered last from the run loop */
    jmp_buf leave_jmp;
    bool hot;                  /* the last leave was LEAVE_HOT */
    bool wishes, impatient;    /* the worker was asked for something since tcg_cpu_run began; the last time it came to nothing */
    int leave_why;             /* -1: look again */
    int fpe_code;              /* si_code of the host's trap */
    uint64_t fault_va;         /* direct memory: what the host's fault named */
    TcgAccess fault_access;
    TcgCpu *of;                /* the worker's: for which vCPU; else itself */
    uint32_t ctx_id, link;     /* of the state now (env's is 0 while somebody pokes); jump that left last */
    uint64_t fetch_gpa;        /* page being translated */
    TcgBlock *making;          /* while a unit is translated: a fault of its second page takes it back */
    uint64_t fetch_gpa2;       /* of the page tcg_code_cross went on to, 0 = none */
    uint64_t code_generation;
    bool x_global;             /* what the last executable translation said */
    uint8_t bounce[64];
    TcgStats stats;
};

/* In arg[3] of slow loads and stores, beside IrMem, regime << 8, write << 12: the instruction makes no other access and calls nothing. */
enum { INFO_ONLY = 1 << 25 };

static inline bool cpu_direct(const TcgCpu *c) { return c->ctx->config.direct; }
static inline uint8_t *cpu_host(const TcgCpu *c, uint64_t va) { return (uint8_t *)(uintptr_t)(va + c->ctx->config.direct_base); }
enum { COUNT_LD, COUNT_ST, COUNT_RMW, COUNT_NATIVE_LD, COUNT_NATIVE_ST, COUNT_NATIVE_LOAD, COUNT_DIV, COUNT_FILL, COUNT_JUMP, COUNT_LOOKUP, COUNTS };
static inline void cpu_count(TcgCpu *c, unsigned what)
{
    if (c->env->calls)
        c->env->calls[c->isa->n_helpers + what]++;
}
static inline TcgEnv *cpu_env(TcgCpu *c) { return c->env; }
static inline uint64_t cpu_pc_base(const TcgCpu *c) { return *(uint64_t *)((uint8_t *)c->state + c->isa->pc_base_offset); }
static inline void cpu_set_pc_base(TcgCpu *c, uint64_t v) { *(uint64_t *)((uint8_t *)c->state + c->isa->pc_base_offset) = v; }

/* run.c */
/* run_lock for reading */
void tcg_run_lock(TcgContext *ctx);
void tcg_run_unlock(TcgContext *ctx);
/* Every vCPU was at a safe point since @seq, a value of arm_seq. ctx->lock held. */
bool tcg_all_passed(const TcgContext *ctx, uint32_t seq);
void tcg_poke_others(TcgContext *ctx, const TcgCpu *but);      /* as tcg_cpu_poke. ctx->lock held */
/* block.c */
TcgBlock *tcg_block_find(TcgContext *ctx, uint64_t gpa, uint64_t gpa2, uint64_t mode, bool one_insn);
TcgBlock *tcg_block_make(TcgCpu *cpu, uint64_t va, uint64_t gpa, bool one_insn, unsigned tier);
/* A region in place of the block at @gpa, if that is still there. For the worker: @cpu is no vCPU, does not fault. */
void tcg_region_make(TcgCpu *cpu, uint64_t va, uint64_t gpa, const uint8_t *host, uint64_t generation);
CodePage *tcg_code_page(TcgContext *ctx, uint64_t gpa);   /* of that page, or NULL */
/* region.c: number of the page among those of the region that is made, -1: it is none. */
int tcg_region_page(const TcgUnitDesc *d, int64_t off);
/* The region with that index was left because in this context nobody had looked where its pages are. */
void tcg_region_look(TcgCpu *cpu, unsigned index, uint64_t generation);
/* worker.c */
TcgWorker *tcg_worker_new(void);
void tcg_worker_free(TcgWorker *w);
/* A region at @va, some time. False: the vCPU must do it itself. */
bool tcg_worker_ask(TcgCpu *cpu, uint64_t va, uint64_t gpa);
/* Behind this nothing is done for @cpu any more. */
void tcg_worker_forget(TcgCpu *cpu);
static inline unsigned tcg_target_slot(uint64_t gpa) { return (unsigned)(gpa >> 1 ^ gpa >> TCG_PAGE_BITS) & (TARGET_SLOTS - 1); }
static inline unsigned tcg_hot_slot(uint64_t page_off, uint64_t gpa) { return (unsigned)(page_off >> 1 ^ gpa >> TCG_PAGE_BITS) & (HOT_SLOTS - 1); }
/* The running instruction's shared look-up of the soft TLB met a device: after some times it is translated again without one. */
void tcg_lookup_vain(TcgCpu *cpu);
void tcg_code_written(TcgCpu *cpu, uint64_t gpa, unsigned len);
/* The same after the store: for what was translated between look and store. Does not leave. */
void tcg_code_stored(TcgCpu *cpu, uint64_t gpa, unsigned len);
/* Pages armed lately: look whether a store slipped through. At a safe point. */
void tcg_check_armed(TcgCpu *cpu);
bool tcg_page_has_code(TcgContext *ctx, uint64_t gpa);   /* its writes are watched */
bool tcg_code_pages_are(TcgContext *ctx, bool (*same)(void *opaque, uint64_t gpa), void *opaque);   /* all that translations were made of */
void tcg_update_ctx(TcgCpu *cpu);
/* @b is what its bytes say, as far as nobody watches that: else it is dead now. */
bool tcg_block_stands(TcgCpu *cpu, TcgBlock *b);
bool tcg_page_written(TcgCpu *cpu, uint64_t gpa);   /* kill all that was made of the page; true: the running instruction is among it */
TcgBlock *tcg_block_at(TcgContext *ctx, const void *host);
/* meta.c: memory until all code is dropped, aligned to 8, not cleared, at most some KiB at once. ctx->lock held. */
void *tcg_meta_take(TcgContext *ctx, size_t size);
void tcg_meta_back(TcgContext *ctx, const void *p);     /* what was taken last, from @p on */
void tcg_meta_clear(TcgContext *ctx);
/* forks.c. In a young child: @va was translated, or is where the jump numbered @link goes. */
void tcg_fork_note(TcgCpu *cpu, uint64_t va, unsigned link);
void tcg_fork_free(TcgContext *ctx);
/* links.c: the jump numbered @n left for the run loop and arrived at @b: make it direct. */
void tcg_link_jump(TcgCpu *cpu, unsigned n, TcgBlock *b, uint64_t va, uint64_t generation);
/* Those that waited for all vCPUs. At a safe point. */
void tcg_links_settle(TcgContext *ctx);
/* Jumps that lead to block @from lead to @to, a region in its place. ctx->lock held. */
void tcg_links_move(TcgContext *ctx, TcgBlock *from, TcgBlock *to);
/* Jumps of @b, made for @va, to places in other pages that this context's jump cache knows: it would lead there, and nobody come by to make them direct.
 * ctx->lock held; any thread. */
void tcg_links_find(TcgCpu *cpu, const TcgBlock *b, uint64_t va);
/* Jumps that lead to @b find their way anew. ctx->lock held. */
void tcg_let_go(TcgContext *ctx, TcgBlock *b);
/* The entry of @b for indirect jumps and for ways out of regions: counted as long as a region may come of it. ctx->lock held. */
void *tcg_counted(TcgContext *ctx, TcgBlock *b);
/* Somebody came through the killed block with that index: after some times, let go the jumps that still lead there, so that they find its successor. */
void tcg_leave_dead(TcgCpu *cpu, unsigned index, uint64_t generation);
/* jumps.c */
JumpTable *tcg_jumps_new(void);
void tcg_jumps_free(TcgCpu *cpu);
void tcg_jumps_forget(TcgCpu *cpu);
void tcg_jumps_keep(TcgCpu *cpu, bool (*stays)(void *opaque, uint64_t va), void *opaque);
void tcg_jumps_saw(TcgCpu *cpu, unsigned slot, uint64_t what);     /* JumpTable.seen, in the context that runs */
void tcg_jumps_select(TcgCpu *cpu, uint32_t id);     /* context @id runs from now on; 0: nothing is found */
void tcg_jumps_enter(TcgCpu *cpu, uint64_t va, const TcgBlock *b, void *host);
/* What @va leads to in context @id, if a jump went there lately and it still stands. ctx->lock held; any thread. */
TcgBlock *tcg_jumps_find(TcgCpu *cpu, uint32_t id, uint64_t va);
/* spaces.c */
static inline TlbSpace *tcg_cur_space(TcgCpu *cpu) { return cpu->spaces[cpu->space]; }
/* The entries of all regimes in one row, as filled[] counts them. */
static inline TlbEntry *tcg_space_entries(TlbSpace *s) { return &s->e[0][0][0]; }
static inline TlbInfo *tcg_space_info(TlbSpace *s) { return &s->info[0][0][0]; }
static inline unsigned tcg_tlb_place(uint64_t va, bool write, unsigned regime) { return (2 * regime + write) * TLB_SIZE + (va >> TCG_PAGE_BITS & (TLB_SIZE - 1)); }
static inline bool tcg_place_writes(unsigned place) { return place & TLB_SIZE; }
void tcg_do_asked(TcgCpu *cpu);                      /* at a safe point, or all others are at theirs */
void tcg_large_note(LargePages *l, uint64_t va, unsigned page_log2);
/* The space may have a direct write entry for @gpa: before it is published. */
void tcg_filter_add(TlbSpace *s, uint64_t gpa);
/* softmmu.c */
uint64_t tcg_fetch_page(TcgCpu *cpu, uint64_t va);   /* gpa of the page; faults */
bool tcg_fetch_peek(TcgCpu *cpu, uint64_t va, uint64_t *ret_gpa);
void tcg_space_drop(TcgCpu *cpu, TlbSpace *s);
uint32_t tcg_new_gen(TcgContext *ctx);
/* Slow paths of translated code: arguments in env. */
void tcg_slow_ld(TcgCpu *cpu);
void tcg_slow_st(TcgCpu *cpu);
void tcg_slow_rmw(TcgCpu *cpu);
void tcg_slow_fill(TcgCpu *cpu);
void tcg_slow_native_ld(TcgCpu *cpu);
void tcg_slow_native_check(TcgCpu *cpu);
void tcg_slow_native_st(TcgCpu *cpu);
void tcg_slow_native_load(TcgCpu *cpu);
/* Revoke direct write mappings of a page on every vCPU. */
void tcg_revoke_writes(TcgContext *ctx, uint64_t gpa);
/* vops.c */
unsigned tcg_host_vops(void);
/* pass/live.c */
void ir_pass_live(IrUnit *u, const GuestIsa *isa);
/* Around calls of code that may use vector registers from code that runs with the guest's values there (general-regs-only callers). */
void tcg_world_enter(TcgCpu *cpu);
void tcg_world_leave(TcgCpu *cpu);
