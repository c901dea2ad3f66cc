#pragma once
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

#include "tcg/ir.h"
#include "util/log.h"

/*
 * The translator as a library: it knows guests (tcg/guest/<isa>), hosts (tcg/host/<arch>) and nothing of machines.
 * A TcgContext is one machine's (or process's) code cache; a TcgCpu one vCPU's translator, running on the guest's own
 * state struct. All that lies outside (RAM, devices, interrupts, time) comes in through TcgCallbacks.
 */

typedef struct TcgContext TcgContext;
typedef struct TcgCpu TcgCpu;

typedef enum TcgAccess { TCG_READ, TCG_WRITE, TCG_EXEC } TcgAccess;
enum { TCG_REGION_PAGES = 8, TCG_REGION_SPANS = 20 };
enum { TCG_PAGE_BITS = 12, TCG_PAGE_SIZE = 4096, TCG_REGIMES = 4 };

/* Why tcg_cpu_run returned. The values >= TCG_LEAVE_GUEST may also be the imm of an IR EXIT. */
typedef enum TcgLeave {
    TCG_LEAVE_KICKED,          /* tcg_cpu_kick was called */
    TCG_LEAVE_STEPPED,         /* tcg_cpu_run's instruction budget is used up */
    TCG_LEAVE_HALTED,          /* the guest waits for an interrupt (HLT); state says so too */
    TCG_LEAVE_SHUTDOWN,        /* triple fault or its like */
    TCG_LEAVE_EXCEPTION,       /* direct memory only: a callback noted what happened (signal, exit) and left by tcg_leave_with */
    TCG_LEAVE_DEBUG,           /* breakpoint or single step for the debugger */
    TCG_LEAVE_GUEST,           /* (IR EXIT only) mode or interrupt state may have changed: look again, do not return to the caller */
} TcgLeave;

/* ---- what the world offers the translator; every function gets TcgCpu's opaque, called on the vCPU's thread ---- */
enum { TCG_PAGE_RO = 1,        /* writes go to io_write (ROM) */
       TCG_PAGE_ONLY_CODE = 4, /* with TRACK: only because of translations made of it */
       TCG_PAGE_TRACK = 2 };   /* somebody wants to see writes: call page_written before each, never map directly */
typedef struct TcgCallbacks {
    /* RAM or ROM page at @gpa (page aligned): host address, or NULL = device or nothing. */
    uint8_t *(*page)(void *opaque, uint64_t gpa, unsigned *ret_flags);   /* no floating point here */
    /* Arm or disarm write tracking because translated code was made of this page / no longer exists. Arming returns
     * when no vCPU holds a direct write mapping any more (at their safe points). */
    void (*page_code)(void *opaque, uint64_t gpa, bool armed);
    void (*page_written)(void *opaque, uint64_t gpa, unsigned len);
    uint64_t (*io_read)(void *opaque, uint64_t gpa, unsigned size);
    void (*io_write)(void *opaque, uint64_t gpa, uint64_t value, unsigned size);
    uint64_t (*port_in)(void *opaque, uint16_t port, unsigned size);
    void (*port_out)(void *opaque, uint16_t port, uint64_t value, unsigned size);
    /* System registers that live outside the CPU proper (x86: APIC MSRs, TPR...; numbers are the guest's). False: no such register. */
    bool (*sysreg_read)(void *opaque, uint32_t reg, uint64_t *ret);
    bool (*sysreg_write)(void *opaque, uint32_t reg, uint64_t value);
    bool (*irq_pending)(void *opaque);       /* a maskable interrupt of sufficient priority waits */
    int (*irq_ack)(void *opaque);            /* take it: vector, or -1 (spurious, nothing any more) */
    uint64_t (*time_counter)(void *opaque);  /* x86: the guest's TSC */
    /* A privileged event worth logging: kind and text are static strings. May be NULL. */
    void (*event)(void *opaque, const char *kind, uint64_t value);
    /* ---- direct memory only (TcgConfig.direct): one Linux process instead of a machine; NULL in a machine ---- */
    bool (*exec_ok)(void *opaque, uint64_t va);      /* the page may be executed */
    bool (*write_ok)(void *opaque, uint64_t va);     /* the guest may write there: a host fault only means that code was made of the page */
    /* The guest's exception @vector (its own numbering) at the state's pc, a trap's pc behind the instruction. Does not return: tcg_leave_with. */
    void (*exception)(void *opaque, unsigned vector, uint64_t error, uint64_t addr);
    /* System-call instruction; the pc is behind it. @kind: which one, guest's numbering. Outside translated code (tcg_outside). */
    void (*syscall)(void *opaque, unsigned kind);
} TcgCallbacks;

/* ---- guests ---- */
enum { TCG_H_READS = 1,        /* looks at guest registers in the state struct */
       TCG_H_WRITES = 2,       /* may change them: values got before are stale after */
       TCG_H_FAULTS = 4,       /* may not return (guest exception): the state must be exact before */
       TCG_H_NORETURN = 8 };
/* Helpers are compiled without floating point and vector instructions, unless TCG_H_FPU: then the back end saves what it keeps there. */
enum { TCG_H_FPU = 16 };
typedef uint64_t TcgHelperFn(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d);
typedef struct TcgHelper { const char *name; TcgHelperFn *fn; uint8_t ret_type, flags; } TcgHelper;

enum { TCG_MAX_SOFT = 4 };
/* One translation in progress, as the front end sees it. */
typedef struct TcgUnitDesc {
    IrUnit *u;
    TcgCpu *cpu;
    const void *state;         /* for the mode bits that are in the key; nothing else may be baked in */
    uint64_t mode;             /* mode key */
    uint64_t pc;               /* virtual address of the first byte: for logs only, never baked into code */
    unsigned page_off;         /* pc & 4095 (or the segment-adjusted linear address & 4095) */
    unsigned max_insns;
    bool end_at_store;         /* the unit ends behind an instruction that may have written memory (ir_may_write) */
    bool region;               /* follow jumps along the likely way, go round a loop several times; never without room */
    const uint8_t *code;       /* guest bytes from page_off on */
    unsigned avail;            /* how many: to the end of the page, or into the next one after tcg_code_cross */
    /* Places in this page (offsets) that the guest writes again and again. An immediate operand that is one of them exactly may be IR_CODE instead of a
     * constant: then its bit in soft_used is set, and writes of it leave the translation alone. */
    struct TcgSoft { uint16_t off; uint8_t len; } soft[TCG_MAX_SOFT];
    unsigned n_soft;
    const uint8_t *code_host;  /* where the page is on the host */
    struct { int64_t off; unsigned len; } span[TCG_REGION_SPANS];   /* what tcg_region_took was told */
    unsigned n_spans;
    /* results */
    unsigned soft_used;
    bool back;                 /* a region went on at a lower address that is not its start */
    unsigned n_insns, len;     /* instructions; bytes from the first one to behind the last, with what a region left out */
} TcgUnitDesc;

/*
 * Regions leave the straight line and the page. Page offsets are those of the first page throughout, beyond it or negative. go: may the way go on at
 * @to behind the instruction from @off to @next? branch: where does it go on behind a branch there, which leads to @to; NEXT: behind it. CHECK: GO,
 * but IR_CROSS first. code: the bytes there up to the end of their page. took: the instruction is part of the region; false: it cannot be.
 */
typedef enum TcgWay { TCG_WAY_OUT, TCG_WAY_NEXT, TCG_WAY_GO, TCG_WAY_CHECK } TcgWay;
TcgWay tcg_region_go(TcgUnitDesc *d, int64_t off, int64_t next, int64_t to);
TcgWay tcg_region_branch(TcgUnitDesc *d, int64_t off, int64_t next, int64_t to, bool conditional);
/* Where the indirect jump at page offset @off went most of the time; false: not known, or here and there. */
bool tcg_region_target(const TcgUnitDesc *d, int64_t off, int64_t *ret_to);
const uint8_t *tcg_region_code(const TcgUnitDesc *d, int64_t off, unsigned *ret_avail);
bool tcg_region_took(TcgUnitDesc *d, int64_t off, unsigned len);

typedef struct TcgXlate {
    uint64_t gpa;              /* of the page frame's byte that va names, page aligned */
    uint8_t readable, writable, executable;   /* for this regime, writable only if D is already set */
    uint8_t global;            /* valid in every address space */
    uint8_t page_log2;         /* size of the mapping, for INVLPG of large pages */
} TcgXlate;

typedef enum TcgFlush { TCG_FLUSH_ALL, TCG_FLUSH_TAG, TCG_FLUSH_PAGE } TcgFlush;

typedef struct GuestIsa {
    const char *name;
    uint32_t state_size;
    uint32_t xlat_offset;      /* of the translator's area in the state */
    uint32_t pc_offset;        /* of the 64-bit pc: linear address, except for segmented guests (see linear_pc) */
    uint32_t pc_base_offset;
    uint32_t fpenv_offset;     /* 32-bit field: the guest's FP environment in the host's form (x86 host: MXCSR); live in hardware while translated code
                                * and helpers run, written back whenever tcg_cpu_run's loop is reached */
    /* Floating-point registers that the guest shares with the host as they are, worked on by IR_NATIVE (x86 on x86: x87). While the byte
     * fpu_live_offset of the state is set they are in the host's; settle brings them back (returns whether they were there), signal does so from what
     * the kernel saved for a signal handler that does not return. load: called by translated code. NULL: there is no such thing. */
    uint32_t fpu_live_offset;
    void (*fpu_load)(TcgCpu *cpu);
    bool (*fpu_settle)(TcgCpu *cpu);
    void (*fpu_signal)(TcgCpu *cpu, const void *fxsave);
    const IrSlot *slots;
    unsigned n_slots;
    const TcgHelper *helpers;
    unsigned n_helpers;
    /* Mode key of the state: everything decoding and translation depend on. */
    uint64_t (*mode)(const void *state);
    /* Linear address of the next instruction, from the pc register (x86: CS.base + RIP, wrapped). And back: pc register of a linear address. */
    uint64_t (*linear_pc)(const void *state);
    void (*set_pc_from_linear)(void *state, uint64_t linear);
    unsigned (*regime)(uint64_t mode);       /* default translation regime of a unit */
    bool (*supervisor)(uint64_t mode);       /* its global code pages outlive an address-space switch */
    /* Modes that translate instruction addresses differently without being another address space (paging off for firmware...); NULL: there is one. */
    unsigned (*fetch_regime)(uint64_t mode);
    /* Translate; stops before an instruction that does not fit in t->avail unless it is the first. */
    void (*translate)(TcgUnitDesc *t);
    /* Page tables. False: it would fault; then mmu_fault raises exactly that fault (does not return). */
    bool (*mmu)(TcgCpu *cpu, uint64_t va, TcgAccess access, unsigned regime, TcgXlate *ret);
    void (*mmu_fault)(TcgCpu *cpu, uint64_t va, TcgAccess access, unsigned regime) __attribute__((noreturn));
    void (*align_fault)(TcgCpu *cpu, uint64_t va, TcgAccess access) __attribute__((noreturn));
    /* Nothing answers at the physical address behind @va (tcg_io_refused, or no memory to fetch from). Does not return. NULL: reads are all ones, writes are lost. */
    void (*bus_fault)(TcgCpu *cpu, uint64_t va, TcgAccess access) __attribute__((noreturn));
    /* What a flush of @what must be on @cpu, by what the guest noted of its translations (more, never less); NULL: that. @cpu is this thread's or at a safe point. */
    TcgFlush (*flush_as)(TcgCpu *cpu, TcgFlush what);
    /* A host arithmetic trap (SIGFPE) in translated code; @code is si_code. Does not return. */
    void (*fpe_fault)(TcgCpu *cpu, int code) __attribute__((noreturn));
    /* Deliver whatever is due before the next instruction (interrupt, NMI, INIT, pending exception). Returns false when the vCPU
     * must not run (halted, waiting for SIPI): the run loop leaves with TCG_LEAVE_HALTED. */
    bool (*deliver)(TcgCpu *cpu);
    /* Disassemble one instruction for logs; returns its length. */
    int (*disas)(const uint8_t *code, unsigned avail, uint64_t mode, uint64_t pc, char *buf, int size);
} GuestIsa;

/* Within io_read and io_write: nothing answered there. */
void tcg_io_refused(TcgCpu *cpu);
/* Only while translating the first instruction: make bytes of the next page available in t->code/t->avail. Raises the guest's page fault
 * (does not return) if the next page cannot be executed. */
void tcg_code_cross(TcgUnitDesc *t);

/* ---- context and vCPU ---- */
typedef enum TcgTier { TCG_TIER_AUTO, TCG_TIER_INTERP, TCG_TIER_1, TCG_TIER_2 } TcgTier;
/* Regions compiled by a thread of the context's own: not, while the host has more processors than there are vCPUs, always (tests). */
/* Functions on the way of a system call out of translated code and back: together in the program, so that a forked child, which has none of it mapped, has few faults. */
#define TCG_CALL_PATH __attribute__((hot))

typedef enum TcgWorkerUse { TCG_WORKER_OFF, TCG_WORKER_SPARE, TCG_WORKER_ALWAYS } TcgWorkerUse;

typedef struct TcgConfig {
    size_t cache_size;         /* bytes of code cache; 0 = default */
    TcgTier tier;
    TcgWorkerUse worker;       /* TCG_TIER_AUTO without direct memory only */
    Log *log;
    uint64_t (*ticks)(void);   /* a counter of the host, for the time spent translating; NULL: not measured */
    bool one_insn;             /* one guest instruction a unit (debugging) */
    bool plain_vops;           /* as if the host had none of the optional vector operations (tests) */
    /* Direct memory: guest address + base = host address, no soft MMU, the code cache private to the process (fork copies it).
     * The caller owns all signals and hands SIGSEGV, SIGBUS and SIGFPE to tcg_host_signal first. */
    bool direct;
    uint64_t direct_base;
    IrOthers others;           /* who sees guest memory; with direct memory until tcg_others_come */
} TcgConfig;

TcgContext *tcg_new(const TcgConfig *config, GError **err);
void tcg_free(TcgContext *ctx);   /* all its cpus are freed before */
TcgCpu *tcg_cpu_new(TcgContext *ctx, const GuestIsa *isa, void *state, const TcgCallbacks *cb, void *opaque);
void tcg_cpu_free(TcgCpu *cpu);

/* Run until something named in TcgLeave happens; @max_insns 0 = no budget, else at most so many instructions (exact for 1). vCPU's own thread.
 * A "safe point" of the vCPU is whenever it is outside this function, or at the loop's own start. */
TcgLeave tcg_cpu_run(TcgCpu *cpu, uint64_t max_insns);
/* As with no budget, but TCG_LEAVE_STEPPED as soon as @stop says so of the state, which it is asked between two instructions wherever the
 * mode key may have changed, before the first one too. */
TcgLeave tcg_cpu_run_until(TcgCpu *cpu, bool (*stop)(void *opaque), void *opaque);
/* Since tcg_cpu_new: instructions begun under a budget; flushes that the guest asked for. The vCPU's own thread. */
uint64_t tcg_cpu_steps(const TcgCpu *cpu);
uint64_t tcg_cpu_flushes(const TcgCpu *cpu);
/* Make tcg_cpu_run return soon. Any thread, async-signal-safe. */
void tcg_cpu_kick(TcgCpu *cpu);
/* Interrupts may be due (or other reason to look): leave translated code at the next instruction boundary that polls. Any thread. */
void tcg_cpu_poke(TcgCpu *cpu);

/* Direct memory. In the process's signal handlers: the fault happened in translated code or in a helper, and is the guest's (does not
 * return: the run loop raises it) or was settled (true). False: not ours. Async-signal context of the vCPU's thread. */
bool tcg_host_signal(int sig, const void *siginfo, void *ucontext);
/* In a callback that may block or take long: the vCPU counts as being at a safe point between begin and end. When code was flushed meanwhile, or
 * somebody kicked, end leaves for the run loop (does not return); the state must be whole. */
void tcg_outside_begin(TcgCpu *cpu);
void tcg_outside_end(TcgCpu *cpu);
/* Around fork: before with all other threads held off the translator, after in both; in the child @cpu is the only one left. */
void tcg_fork_begin(TcgContext *ctx, TcgCpu *cpu);
void tcg_fork_end(TcgContext *ctx, TcgCpu *cpu, bool child);

/* Direct memory that was ours alone is not from now on: a second thread, or memory shared with other processes, comes. What was translated for us alone is dropped.
 * In a callback between tcg_outside_begin and end, before anybody else can see a thing. */
void tcg_others_come(TcgContext *ctx);

/* The process executes another program now, on this vCPU, its only one: indirect jumps are known only to where @stays says that code is still what it was.
 * @by_itself: it is the same program. Outside tcg_cpu_run or in a callback that is followed by a kick. */
void tcg_program_replaced(TcgCpu *cpu, bool (*stays)(void *opaque, uint64_t va), void *opaque, bool by_itself);

/* Guest-physical memory was remapped, or a page got new tracking clients: drop what was cached of it. Only while all vCPUs are at a safe point. */
void tcg_flush_mappings(TcgContext *ctx);
/* The same after a change that leaves pages as they were: translations stay if @same says so of every page that they were made of, @gpa page aligned. */
void tcg_remapped(TcgContext *ctx, bool (*same)(void *opaque, uint64_t gpa), void *opaque);
/* Memory [gpa, gpa+len) was written by somebody else (DMA, other engine): drop translations made of it. Any thread. */
void tcg_invalidate_range(TcgContext *ctx, uint64_t gpa, uint64_t len);
/* If no translation is left of the page at @gpa, its writes are watched no more (page_code's armed = false): @released is called then, under our lock. Any thread. */
void tcg_release_page(TcgContext *ctx, uint64_t gpa, void (*released)(void *opaque), void *opaque);
/* Some page got a tracking client: no vCPU writes directly to any page until the next look. Any thread. */
void tcg_revoke_all_writes(TcgContext *ctx);
/* Drop every translation. Only while all vCPUs are at a safe point. */
void tcg_flush_code(TcgContext *ctx);

typedef struct TcgStats {
    uint64_t regions, region_insns, translations, guest_insns, code_bytes, cache_flushes, invalidations, revivals, tlb_misses, tlb_flushes, jump_misses, run_entries, io_reexec;
    uint64_t halved;           /* units that the back end could not make as long as the front end had them */
    uint64_t translate_ticks;  /* of TcgConfig.ticks, by vCPUs and worker */
    uint64_t jumps, lookups;   /* indirect jumps, look-ups of the soft TLB by translated code; 0 unless LOG_STATS was on when the context was made */
} TcgStats;
void tcg_stats(TcgContext *ctx, TcgStats *ret);
/* Calls of helpers and slow paths by name, the most frequent @max first, a line each; NULL unless LOG_STATS was on when the context was made. The
 * caller frees it. */
char *tcg_helper_stats(TcgContext *ctx, unsigned max);

/* ---- for guests' helpers and system code (tcg/guest/ only), on the vCPU's thread ---- */
void *tcg_cpu_state(TcgCpu *cpu);
const TcgCallbacks *tcg_cpu_callbacks(TcgCpu *cpu);
void *tcg_cpu_opaque(TcgCpu *cpu);
TcgContext *tcg_cpu_context(TcgCpu *cpu);
Log *tcg_cpu_log(TcgCpu *cpu);
/* The TcgCpu of a state, from the state's translator area: pass state + GuestIsa.xlat_offset. */
TcgCpu *tcg_cpu_from_xlat(void *xlat);

/* Optional vector operations (tcg/vops.def) that the host has: AESENC and its like, PCLMULQDQ, SHA. A front end emits no others. @cpu NULL: none. */
enum { TCG_VOPS_AES = 1, TCG_VOPS_CLMUL = 2, TCG_VOPS_SHA = 4 };
unsigned tcg_optional_vops(const TcgCpu *cpu);

/* In a helper, around a callback to a device: FP state and environment are the host's in between. Begin returns whether FP registers were the
 * host's (fpu_live_offset); end brings them back there if told so. */
bool tcg_device_begin(TcgCpu *cpu);
void tcg_device_end(TcgCpu *cpu, bool fpu_was_in);

/* In a helper: write the pc register (linear_pc's inverse) for the guest instruction that called. Done by tcg_leave's callers before they raise. */
void tcg_sync_pc(TcgCpu *cpu);
/* In a helper that looks at the fpenv field (GuestIsa.fpenv_offset): bring it up to date first; after changing it: make it live. */
void tcg_fpenv_get(TcgCpu *cpu);
void tcg_fpenv_put(TcgCpu *cpu);
/* The rest of this instruction may not be seen in parts by other vCPUs: returns if they all are at safe points, else starts the instruction again with
 * them stopped (does not return). Nothing may have been changed before. */
void tcg_need_alone(TcgCpu *cpu);
/* Leave the helper and translated code for the run loop; state (pc included) is as it shall be. */
void tcg_leave(TcgCpu *cpu) __attribute__((noreturn));
/* The same, and return @why from tcg_cpu_run. */
void tcg_leave_with(TcgCpu *cpu, TcgLeave why) __attribute__((noreturn));

/* Guest-virtual access with all faults and I/O, any alignment. Both check every page before the first byte is written. */
uint64_t tcg_load(TcgCpu *cpu, uint64_t va, unsigned size_log2, unsigned regime);
void tcg_store(TcgCpu *cpu, uint64_t va, uint64_t value, unsigned size_log2, unsigned regime);
void tcg_load_bytes(TcgCpu *cpu, uint64_t va, void *buf, unsigned len, unsigned regime);
void tcg_store_bytes(TcgCpu *cpu, uint64_t va, const void *buf, unsigned len, unsigned regime);
/* Fault now if [va, va+len) (len <= 8192) cannot be accessed. */
void tcg_probe(TcgCpu *cpu, uint64_t va, unsigned len, TcgAccess access, unsigned regime);
/* For a helper that does what cannot be done twice and then stores @len (<= 8192) bytes at @va: tcg_store_ready before that leaves if the store would start
 * the instruction again, and faults like it; tcg_store_done is that store, which does not leave any more. */
void tcg_store_ready(TcgCpu *cpu, uint64_t va, unsigned len, unsigned regime);
void tcg_store_done(TcgCpu *cpu, uint64_t va, uint64_t value, unsigned size_log2, unsigned regime);
/* The same for all stores until it is off again, or the helper is left by a fault: what began cannot begin again, and translated code is left behind it.
 * Returns what it was, to be set again. */
bool tcg_commit(TcgCpu *cpu, bool on);
/* Host address of plain RAM at va, valid for *ret_len bytes (to the end of the page), or NULL: use load/store. For TCG_WRITE the page is untracked RAM.
 * Faults like an access. */
uint8_t *tcg_host(TcgCpu *cpu, uint64_t va, TcgAccess access, unsigned regime, unsigned *ret_len);
/* 16 bytes at @va, a multiple of 16, at once: if they are @expect (low half first), write @want; else write back what is there. What was found is in
 * @expect. Faults like a write. */
bool tcg_cas16(TcgCpu *cpu, uint64_t va, uint64_t expect[2], const uint64_t want[2], unsigned regime);
/* Guest-physical: for page-table walks. False: not RAM. The CAS sets A/D bits; compares and swaps a 4- or 8-byte entry, *ret_done false if it had changed. */
bool tcg_phys_load(TcgCpu *cpu, uint64_t gpa, unsigned size, uint64_t *ret);
bool tcg_phys_cas(TcgCpu *cpu, uint64_t gpa, unsigned size, uint64_t expect, uint64_t value, bool *ret_done);
bool tcg_phys_store(TcgCpu *cpu, uint64_t gpa, unsigned size, uint64_t value);

/* Mode bits, regime attributes or the address space changed: call after writing the state. */
void tcg_mode_changed(TcgCpu *cpu);
/* The same, where it hardly ever has. */
void tcg_mode_settle(TcgCpu *cpu);
/* The same where the new mode key follows from the one before. */
uint64_t tcg_mode_now(const TcgCpu *cpu);
void tcg_mode_set(TcgCpu *cpu, uint64_t mode);
/* The vCPU now runs in address space (@base, @tag): x86 CR3 base and PCID, 0 without PCIDE. Entries cached for it earlier are valid again. */
void tcg_set_space(TcgCpu *cpu, uint64_t base, uint32_t tag);
/* Flushes, this vCPU only; each hits every cached space that carries @tag (any base), globals survive where said. */
void tcg_flush_all(TcgCpu *cpu);                                  /* globals too */
void tcg_flush_nonglobal(TcgCpu *cpu);                            /* all tags, globals stay */
void tcg_flush_tag(TcgCpu *cpu, uint32_t tag);                    /* globals stay */
void tcg_flush_page(TcgCpu *cpu, uint64_t va, uint32_t tag);      /* the page that maps va: under @tag, and a global one */
/* The same by name; and on all vCPUs: at once on this one, on the others at the latest when tcg_flush_settle returns, which may start the instruction
 * again (as tcg_need_alone; nothing may have been changed before). everywhere: whether there are others. */
void tcg_flush_here(TcgCpu *cpu, TcgFlush what, uint64_t va, uint32_t tag);
bool tcg_flush_everywhere(TcgCpu *cpu, TcgFlush what, uint64_t va, uint32_t tag);
void tcg_flush_settle(TcgCpu *cpu);
