#pragma once
#include <stdatomic.h>

#include "vmm/machine.h"

/* A named back end; main thread. */
typedef struct MachineObject {
    char *type, *id;
    void *ptr;
    GDestroyNotify free_fn;
    unsigned users;             /* REF properties that name it */
} MachineObject;

typedef struct Work {
    MachineWorkFn *fn;
    void *opaque;
    bool *done;                 /* run_lock; NULL unless somebody waits */
} Work;

/* Deferred calls outlive the machine: they hold this, whose m is cleared by machine_free. */
typedef struct Mailbox {
    _Atomic int refs;
    GMutex lock;
    Machine *m;                 /* main thread */
    GArray *events;             /* of MachineEvent, lock; id owned */
    bool scheduled;             /* lock */
    bool flush_work;            /* lock */
} Mailbox;

typedef struct Callback {
    void (*fn)(void *opaque);
    void *opaque;
} Callback;

typedef struct Owned {
    void *ptr;
    GDestroyNotify free_fn;
} Owned;

struct Machine {
    MachineConfig cfg;
    char *name;
    Loop *loop;
    MachineClock *clock;
    MemSystem *mem;
    IrqFabric *fabric;
    InputHub *input;
    MemRegion *mem_root, *io_root;
    AddressSpace *as_mem, *as_io;

    /* Main thread. */
    GPtrArray *devices;         /* Device *, in order of device_new */
    GPtrArray *realized;        /* Device *, in order of realization */
    GPtrArray *buses;
    GPtrArray *objects;         /* MachineObject * */
    GPtrArray *fw_names, *fw_data;      /* char *, GBytes *; fw_lock */
    GMutex fw_lock;
    unsigned next_id;
    GArray *listeners;          /* of { fn, opaque } */
    GArray *reset_hooks;        /* of Callback */
    GArray *owned;              /* of { ptr, free } */
    Callback powerdown;
    Mailbox *mailbox;

    /* Engines; vCPUs at rest. slot[0] is cfg.accel, slot[1] cfg.assist. */
    struct { const AccelOps *ops; void *vm, *listener; bool vm_ready, ready, failed; } slot[2];
    _Atomic unsigned current;   /* slot that runs; changed with vCPUs at rest */
    HandoverPolicy *policy;
    void *policy_opaque;
    MachineSwitchFn *switch_hook;
    void *switch_opaque;
    Timer *switch_timer;
    unsigned switch_us;
    void (*eoi_fn)(void *opaque, uint8_t vector);
    void *eoi_opaque;
    _Atomic bool exit_timing;
    _Atomic int switch_wanted;  /* slot + 1, 0 = none */

    /* Running and work. run_lock is a leaf: nothing is taken under it. */
    GMutex run_lock;
    GCond run_cond;             /* exclusive or allowed changed, work done */
    GCond park_cond;            /* n_in_guest fell to 0 */
    GPtrArray *vcpus;
    bool threads_up, stopping;
    void (*vcpu_start)(void);                   /* by each vCPU thread once, set before it runs */
    bool allowed;               /* vCPUs may run */
    bool exclusive;             /* somebody runs items */
    uintptr_t runner;           /* that thread */
    unsigned n_in_guest;
    GQueue work;                /* of Work */
    _Atomic bool work_due;
    _Atomic uint64_t work_count;
    _Atomic bool commit_due, reset_due;
    _Atomic int state, reason;
    _Atomic int exit_status;
    _Atomic bool built;         /* machine_complete was called */
};

struct DevicePriv {
    Machine *machine;
    const PropDesc *bus_props;  /* of the kind of bus it plugs into, NULL if there was none at device_new */
    GPtrArray *mmio, *pio;      /* MemRegion references, may hold NULL */
    GPtrArray *inputs;          /* IrqWire * */
    GHashTable *set;            /* names of properties set (const char * of the class) */
    GPtrArray *refs;            /* MachineObject * used */
};

struct VcpuPriv {
    GThread *thread;
    _Atomic uintptr_t self;
    GMutex halt_lock;
    GCond halt_cond;
    VmExit failed;              /* the exit that waits for the assistant */
    bool handover_due;
    bool resume;                /* a stretch was interrupted: @step goes on, no new decision */
    VcpuStep step;
    int64_t last_failure_ns;
    unsigned failure_level;
    _Atomic(void *) slot_ec[2];         /* by slot; set and cleared with the vCPU at rest, read by kickers */
};

/* work.c */
bool work_enter(Machine *m, Vcpu *c);           /* false: thread must end */
void work_leave(Machine *m, Vcpu *c);
void work_kick_all(Machine *m);
bool work_is_runner(Machine *m);                /* the caller is inside an item */
/* Stop vCPUs from entering and wait until none is inside; or let them. */
void work_set_allowed(Machine *m, bool allowed, bool wait);
/* lifecycle.c */
void machine_reset_now(Machine *m);             /* vCPUs at rest */
void machine_set_state(Machine *m, MachineState state, PauseReason why);
/* machine.c */
void machine_post(Machine *m, const MachineEvent *ev);
void machine_post_flush(Machine *m);
MachineObject *machine_object(Machine *m, const char *type, const char *id);
/* vcpu.c */
Vcpu *vcpu_new(Machine *m, unsigned index);
void vcpu_free(Vcpu *c);
bool vcpu_start(Vcpu *c, GError **err);
void vcpu_join(Vcpu *c);
void vcpu_reset(Vcpu *c);
/* engine.c */
bool engine_open(Machine *m, unsigned slot, GError **err);      /* vm_init and vcpu_init for all; vCPUs at rest */
void engine_close(Machine *m, unsigned slot);
/* A new failure *x (its counts too), or the one that waits. In guest; true if *x holds what is left to handle. */
bool engine_failed(Vcpu *c, VmExit *x);
bool engine_handover(Vcpu *c, VmExit *x);
/* props.c */
void device_set_defaults(Device *dev, const PropDesc *props);
