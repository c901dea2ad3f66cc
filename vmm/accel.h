#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/memory.h"

/*
 * What an engine is. One const AccelOps each, listed in the registry that tools compile in. Hooks may be NULL where noted.
 *
 * @vm is what vm_init made, @ec what vcpu_init made. State lives in Vcpu.state (cpu/<isa>/state.h); engines fetch and write back by groups:
 *  - groups_valid: the struct holds the current value; groups_dirty: the struct is newer than the engine.
 *  - before vcpu_run vmm calls state_in with the dirty groups; an engine that keeps state elsewhere then clears groups_valid when it runs.
 *  - an engine that runs on the struct itself (tcg) leaves everything valid and, as assistant, marks what it changed dirty.
 */
typedef struct Machine Machine;
typedef struct Vcpu Vcpu;
typedef struct AccelOps AccelOps;

/* ---- exits ---- */

typedef enum ExitKind {
    EXIT_NONE,              /* vcpu_run came back for nothing in particular (kick, work item): run again */
    EXIT_PIO,
    EXIT_MMIO,
    EXIT_HALT,              /* HLT or waiting for SIPI, nothing deliverable: sleep until vcpu_raise */
    EXIT_SHUTDOWN,          /* triple fault */
    EXIT_EMULATION_FAILED,  /* the engine does not know the instruction: hand over */
    EXIT_DEBUG,             /* breakpoint, watchpoint or single step for the debugger */
    EXIT_IRQ_WINDOW,        /* interrupts can be injected now (engine without local APIC) */
    EXIT_EOI,               /* level EOI that user space must see (split irqchip) */
    EXIT_MSR,               /* an MSR the engine leaves to us */
    EXIT_HYPERCALL,
    EXIT_SYSTEM_EVENT,      /* the engine reports guest shutdown, reset or crash */
    EXIT_FAIL_ENTRY,        /* the host refuses this state */
    EXIT_ERROR,             /* the engine itself failed: -errno in error */
    EXIT_STEPPED,           /* vcpu_step reached its limit */
    EXIT_KIND_MAX
} ExitKind;

typedef struct VmExit {
    ExitKind kind;
    bool write;
    uint8_t size;               /* PIO: 1, 2, 4; MMIO: 1..8 */
    uint32_t count;             /* PIO: elements of a string instruction's chunk; 0 means 1 */
    uint64_t addr;              /* port, guest-physical address, MSR index, vector (EOI) */
    /* PIO/MMIO: bytes as the CPU sees them, count * size of them, in or out. Points to engine memory or to value. NULL = &value. */
    void *data;
    uint64_t value;             /* MSR value; single accesses */
    MemResult result;           /* set by vcpu_io */
    /* EMULATION_FAILED: what the engine knows (n_insn 0 = nothing). */
    uint8_t n_insn, insn[15];
    uint32_t suberror;
    const char *why;            /* static text for the statistics, NULL: the instruction says it all */
    bool events_only;           /* nothing wrong with the next instruction: there is an event that the engine does not deliver */
    bool user_only;             /* since the last hand-over only least privileged code ran: page tables and system registers are as they were */
    int error;
} VmExit;

/*
 * The one way out of guest code for both engines: kvm calls it after KVM_RUN returned, tcg in the middle of an instruction. Performs a PIO,
 * MMIO, EOI or MSR exit, sets result and data, counts it. On the vCPU's own thread. True: a work item is due, so leave before
 * the next instruction (vcpu_run returns EXIT_NONE). Handlers behind it never read or change vCPU state.
 */
bool vcpu_io(Vcpu *c, VmExit *x);
/* The same for one access of 1, 2, 4 or 8 bytes of a device's memory, with less ado. *ret_leave: as vcpu_io's result. */
MemResult vcpu_mmio(Vcpu *c, GuestAddr gpa, unsigned size, bool write, uint64_t *val, bool *ret_leave);

/* ---- configuration ---- */

typedef enum AccelIrqchip { ACCEL_IRQCHIP_DEFAULT, ACCEL_IRQCHIP_OFF, ACCEL_IRQCHIP_SPLIT, ACCEL_IRQCHIP_ON } AccelIrqchip;

/* Who runs privileged code of the guest: the engine itself, or its assistant (for engines that are good at user code only). */
typedef enum AccelRing0 { ACCEL_RING0_DEFAULT, ACCEL_RING0_ENGINE, ACCEL_RING0_ASSISTANT } AccelRing0;

typedef struct AccelConfig {
    AccelIrqchip irqchip;
    AccelRing0 ring0;
    unsigned max_vcpus;
    uint64_t tb_cache_bytes;    /* translator's code cache, 0 = default */
    unsigned tier;              /* translator's back end (TcgTier), 0 = as it sees fit */
    uint32_t debug_flags;       /* engine's own */
} AccelConfig;

typedef struct AccelInfo {
    bool hardware;              /* guest code runs on virtualization hardware */
    bool kernel_irqchip;        /* can own the interrupt controllers */
    bool slow_kernel_code;      /* runs ring 0 of a stock kernel slower than a translator would */
    char line[160];             /* for the user: what kind of host this is */
} AccelInfo;

/*
 * vcpu_step's limits: stops at the first that is reached, at least one instruction later (@at_once: or when pending events are delivered). With @until
 * the engine runs at full speed: max_insns does not hold then, and what it executed is not counted.
 */
typedef struct VcpuStep {
    uint64_t max_insns;         /* >= 1 */
    bool (*until)(void *opaque);    /* looks at the state between two instructions, wherever privilege or mode may have changed; NULL: none */
    void *opaque;
    bool at_once;               /* @until may hold before the first instruction */
} VcpuStep;

typedef enum AccelTrait {
    ACCEL_NO_SMM = 1,           /* has no system management mode: the board shows it as already set up */
    ACCEL_USER_ONLY = 2,        /* can_run says what it runs; all else is the assistant's. CPU models are the assistant's */
    ACCEL_TRAPS_CODE = 4,       /* guest writes to pages armed for PAGE_CODE end in a hand-over: the assistant may keep its translations */
} AccelTrait;

typedef struct VcpuBreakpoint { uint64_t gva; uint8_t len, kind; } VcpuBreakpoint;  /* kind: 0 exec, 1 write, 2 read, 3 access */
typedef struct VcpuDebug {
    bool single_step;
    unsigned n;
    const VcpuBreakpoint *points;
} VcpuDebug;

/* ---- the engine ---- */

struct AccelOps {
    const char *name;           /* "kvm", "tcg" */
    int priority;               /* `auto` takes the usable one with the highest */
    const char *isa;            /* guest CPU it runs ("x86"), NULL = any */
    /* Can it run here? No side effects that outlive the call. @err says cause and remedy. */
    bool (*probe)(const AccelConfig *cfg, AccelInfo *ret, GError **err);

    /*
     * Before vm_init, main thread: take out of @features (cpu/<isa>'s struct of them) what guests cannot have under this engine, and append the names to
     * @lost. NULL: can do everything that was in.
     */
    void (*cpu_features)(const AccelConfig *cfg, void *features, GString *lost);

    /* Once a machine, before vCPUs; for an assistant engine on first use (vCPUs parked). It adds its MemListener here. */
    bool (*vm_init)(Machine *m, const AccelConfig *cfg, void **ret_vm, GError **err);
    void (*vm_fini)(void *vm);
    /* A view changed (MemListener.changed); work item, vCPUs parked. vmm registers it, the engine does not. */
    void (*memory_changed)(void *vm, AddressSpace *as, const FlatView *old, const FlatView *new_view);
    /*
     * At a full switch to this engine, vCPUs parked: the guest ran on another engine, whose writes may have set no page flags. Forget what
     * was made of memory contents. NULL: keeps no such thing. (For single hand-overs the engine sees to it in vcpu_step.)
     */
    void (*guest_ran_elsewhere)(void *vm);
    /* MemListener.revoke: any thread. NULL: engine has no direct entries of its own. */
    void (*pages_revoke)(void *vm, PageClient client, uint64_t ram_addr, uint64_t len);
    /* Doorbells of a mapped region changed; vCPUs parked. NULL: the core rings them. */
    void (*doorbells)(void *vm, MemRegion *mr);

    /* AccelTrait bits, constant after vm_init. NULL: none. */
    unsigned (*traits)(void *vm);

    /* Any thread, the vCPU at rest: what must be bound to the vCPU's own thread is done at the first vcpu_run or vcpu_step. */
    bool (*vcpu_init)(void *vm, Vcpu *c, void **ret_ec, GError **err);
    void (*vcpu_fini)(void *ec);
    /*
     * Run guest code until something needs vmm; fills *x (kind at least). PIO, MMIO, EOI and MSR exits are done inside through vcpu_io.
     * Must return soon after vcpu_kick. A state_out after return sees an instruction boundary.
     */
    void (*vcpu_run)(void *ec, VmExit *x);
    /* As the assistant, or for a debugger: at most so many instructions. EXIT_STEPPED, or any other kind; *ret_done executed. NULL: cannot. */
    void (*vcpu_step)(void *ec, const VcpuStep *limit, VmExit *x, uint64_t *ret_done);
    /* Would it run the vCPU's state as it is in the struct? Own thread; NULL: any. */
    bool (*can_run)(void *ec);
    /* Any thread: make vcpu_run return soon, also if it has not begun yet (no lost kick). NULL: vmm only sets Vcpu.kicked, which the engine polls. */
    void (*vcpu_kick)(void *ec);

    /* vCPU at rest or own thread. Engine -> struct: makes @groups valid (first completes a pending exit). */
    bool (*state_out)(void *ec, uint32_t groups, GError **err);
    /*
     * Struct -> engine: takes over @groups and clears their dirty bits. Own thread, before vcpu_run when something is dirty, and before
     * each vcpu_step: then guest memory, too, may have changed without page flags noticing (another engine ran). NULL: vcpu_run looks itself.
     */
    bool (*state_in)(void *ec, uint32_t groups, GError **err);
    int (*set_debug)(void *ec, const VcpuDebug *dbg);       /* 0 or -errno; NULL: cannot */

    /* Interrupt controllers, vCPUs parked. @chips is cpu/<isa>'s struct of all of them. NULL: never owner. */
    bool (*irqchip_out)(void *vm, void *chips, GError **err);
    bool (*irqchip_in)(void *vm, const void *chips, GError **err);
    /* Local APIC of a vCPU while this engine stays owner and the assistant runs (xAPIC offset, 4 bytes; or MSR-style 64-bit ICR at 0x300). */
    uint64_t (*apic_read)(void *ec, uint32_t reg);
    void (*apic_write)(void *ec, uint32_t reg, uint64_t val);
    /* Merge the engine's dirty log of @b's range into the page flags (mem_pages_written). NULL: it has none. */
    void (*dirty_log)(void *vm, RamBlock *b, uint64_t offset, uint64_t len);
    /* Statistics as text lines for `info`/-d stats (g_free). NULL: none. */
    char *(*stats)(void *vm);
    /* The same for the statistics of exits: what never came to user space. NULL: none. */
    char *(*exit_stats)(void *vm);
};

/* NULL-terminated, generated for tools. */
typedef const AccelOps *const AccelRegistry[];
const AccelOps *accel_find(const AccelOps *const *registry, const char *name);
/* The usable engine with the highest priority; @ret_reasons (g_free) one line per engine that was passed over. NULL with @err if none. */
const AccelOps *accel_auto(const AccelOps *const *registry, const AccelConfig *cfg, AccelInfo *ret_info, char **ret_reasons, GError **err);
