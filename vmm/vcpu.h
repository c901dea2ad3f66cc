#pragma once
#include <glib.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/fielddesc.h"
#include "vmm/accel.h"
#include "vmm/irq.h"
#include "vmm/memory.h"

/*
 * One vCPU: a thread, an architectural state, a current engine and perhaps an assistant.
 *
 * The guest CPU type is data: vmm knows no ISA. Fields without "atomic" belong to the vCPU's thread, or to whoever runs a
 * work item (all vCPUs parked).
 */

/* What vmm must know of cpu/<isa>. */
typedef struct CpuType {
    const char *name;                   /* "x86" */
    size_t state_size, state_align;
    uint32_t groups_all;
    size_t groups_valid_offset, groups_dirty_offset;    /* uint32_t each in the state struct */
    /* Power-on (init = false) or INIT-like reset values. */
    void (*reset)(void *state, unsigned index, bool init);
    uint64_t (*pc)(const void *state);                  /* linear address of the next instruction, for messages */
    bool (*in_user)(const void *state);                 /* least privileged mode */
    /* How many of @n instruction bytes name the operation, from *ret_first on (prefixes and operands left out). NULL: all of them. */
    unsigned (*opcode)(const uint8_t *insn, unsigned n, unsigned *ret_first);
    const FieldDesc *state_fields;                      /* saved state */
    bool (*post_load)(void *state, GError **err);
} CpuType;

/* What others tell a vCPU (bits). The engine takes them with vcpu_events_take at instruction boundaries. */
typedef enum VcpuEvent {
    VCPU_EV_INTR = 1,       /* look at intc.ops->pending */
    VCPU_EV_NMI = 2,
    VCPU_EV_SMI = 4,
    VCPU_EV_INIT = 8,
    VCPU_EV_SIPI = 16,      /* with vector */
    VCPU_EV_FLUSH = 32,     /* engine's own: look at your queues (TLB or code flush asked by another vCPU) */
} VcpuEvent;

typedef struct VcpuStats {
    uint64_t count[EXIT_KIND_MAX];
    uint64_t ns[EXIT_KIND_MAX];         /* only while machine_set_exit_timing is on */
    uint64_t handovers, handover_insns; /* EMULATION_FAILED given to the assistant; instructions of counted stretches only */
    uint64_t assist_ns;                 /* in the assistant */
    uint64_t switches;                  /* full engine switches */
    GHashTable *failed_insns;           /* reason and opcode as text -> uint64_t count, EMULATION_FAILED */
} VcpuStats;

struct Vcpu {
    Machine *machine;
    unsigned index;                     /* 0 = boot processor */
    uint32_t apic_id;
    const CpuType *type;
    void *state;                        /* struct X86State * for x86 */
    uint32_t *groups_valid, *groups_dirty;  /* into state */
    const void *model;                  /* CPU model/CPUID tables of cpu/<isa>, set by the board before start */

    const AccelOps *accel;              /* current */
    void *ec;
    const AccelOps *assist;             /* NULL until first use */
    void *assist_ec;

    AddressSpace *mem, *io, *smm;       /* smm NULL: as mem */
    CpuIntc intc;

    _Atomic uint32_t events;            /* VcpuEvent bits */
    _Atomic uint32_t sipi_vector;
    _Atomic bool kicked;                /* leave guest code soon; cleared by the loop */
    _Atomic bool in_guest;              /* not parked */
    VcpuStats stats;
    struct VcpuPriv *priv;
};

/* ---- for controllers and other vCPUs ---- */

/* Tell @c something (any thread, fabric lock may be held): sets the bit, wakes it from HLT, kicks it if it runs. @arg: SIPI vector. */
void vcpu_raise(Vcpu *c, VcpuEvent ev, unsigned arg);
/* Make it leave guest code soon. Any thread. Write what it shall notice first: one that is just entering looks at its conditions instead. */
void vcpu_kick(Vcpu *c);
/* True on @c's own thread. */
bool vcpu_is_self(const Vcpu *c);

/* ---- for engines, own thread ---- */

/* Events among @mask that are pending; they are cleared. */
static inline uint32_t vcpu_events_take(Vcpu *c, uint32_t mask)
{
    if (!(atomic_load_explicit(&c->events, memory_order_relaxed) & mask))
        return 0;
    return atomic_fetch_and_explicit(&c->events, ~mask, memory_order_acq_rel) & mask;
}
/* Leave guest code before the next instruction? (kick or work item) */
static inline bool vcpu_must_leave(const Vcpu *c)
{
    return atomic_load_explicit(&c->kicked, memory_order_relaxed);
}

/* ---- state, own thread or work item ---- */

/* Make @groups of c->state valid, fetching them from the current engine. */
bool vcpu_state_need(Vcpu *c, uint32_t groups, GError **err);
/* c->state was changed: the engine takes @groups over before it runs on. They must be valid. */
void vcpu_state_changed(Vcpu *c, uint32_t groups);
/* Registered with the machine as a policy, see machine.h. */
typedef enum HandoverKind {
    HANDOVER_STEP,          /* n instructions on the assistant, then back */
    HANDOVER_STRETCH,       /* the same with a large n: failures cluster here */
    HANDOVER_UNTIL_USER,    /* until CPL 3 is entered, at most n */
    HANDOVER_SWITCH,        /* all vCPUs move to the assistant for good (work item) */
    HANDOVER_STOP,          /* no assistant can help: machine stops with internal-error */
} HandoverKind;
typedef struct Handover { HandoverKind kind; uint64_t n; } Handover;

const char *exit_kind_name(ExitKind k);
