#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/log.h"
#include "util/loop.h"
#include "vmm/accel.h"
#include "vmm/clock.h"
#include "vmm/device.h"
#include "vmm/input.h"
#include "vmm/irq.h"
#include "vmm/memory.h"
#include "vmm/vcpu.h"

/*
 * A machine: memory, clock, fabric, devices, vCPUs, lifecycle. Everything writable of a guest hangs here; two machines
 * in one process share nothing. Main thread = the thread of the machine's Loop, unless a comment says "any thread".
 */

/* ---- making one ---- */

typedef struct MachineConfig {
    const char *name;                           /* "pc", "none" */
    Loop *loop;                                 /* main loop, referenced; NULL = a new one on its own context */
    Log *log;                                   /* not owned, may be NULL */
    uint64_t ram_bytes;                         /* for the board; vmm allocates nothing itself */
    unsigned n_vcpus, max_vcpus;
    const CpuType *cpu;                         /* NULL if n_vcpus == 0 */
    const AccelOps *accel;                      /* NULL if n_vcpus == 0 */
    const AccelOps *assist;                     /* assistant, NULL = none */
    AccelConfig accel_cfg;
    const DeviceClass *const *devices;          /* registry, NULL-terminated */
    bool no_reboot, no_shutdown;                /* -no-reboot: reset ends; -no-shutdown: shutdown pauses */
} MachineConfig;

/* State CREATED. vm_init of the engine has run (threads not). NULL with @err. */
Machine *machine_new(const MachineConfig *cfg, GError **err);
/* Stops and joins vCPU threads, unrealizes devices in reverse order, frees everything. Main thread. NULL is fine. */
void machine_free(Machine *m);

const MachineConfig *machine_config(const Machine *m);  /* strings and registry as given */
Log *machine_log(Machine *m);
Loop *machine_loop(Machine *m);
MachineClock *machine_clock(Machine *m);
MemSystem *machine_mem(Machine *m);
IrqFabric *machine_fabric(Machine *m);
InputHub *machine_input(Machine *m);
/* Containers of 2^64 and 64 KiB that boards fill, and the address spaces on them. */
MemRegion *machine_mem_root(Machine *m);
MemRegion *machine_io_root(Machine *m);
AddressSpace *machine_as_mem(Machine *m);
AddressSpace *machine_as_io(Machine *m);
unsigned machine_n_vcpus(const Machine *m);
Vcpu *machine_vcpu(Machine *m, unsigned index);         /* NULL beyond the end */
/* Boards with a split irqchip: EXIT_EOI of a level vector comes here (vCPU thread, no locks). Before start. */
void machine_set_eoi_hook(Machine *m, void (*fn)(void *opaque, uint8_t vector), void *opaque);
/* Each vCPU thread calls @fn once before it runs guest code. Before the machine runs. */
void machine_set_vcpu_start(Machine *m, void (*fn)(void));
void *machine_accel_vm(Machine *m);                     /* of the current engine */
/* MSI from anywhere (any thread): shorthand for irq_fabric_msi. */
void msi_send(Machine *m, uint64_t addr, uint32_t data);

/* ---- lifecycle ---- */

typedef enum MachineState {
    MACHINE_CREATED,        /* being built */
    MACHINE_PRELAUNCH,      /* complete, never ran (-S) */
    MACHINE_RUNNING,
    MACHINE_PAUSED,         /* with a reason */
    MACHINE_IO_ERROR,       /* a drive's werror=stop */
    MACHINE_SHUTDOWN,       /* the guest is off; only free (or reset) is left */
} MachineState;

typedef enum PauseReason { PAUSE_NONE, PAUSE_USER, PAUSE_DEBUG, PAUSE_SAVE, PAUSE_INTERNAL_ERROR, PAUSE_GUEST_PANIC, PAUSE_SUSPENDED, PAUSE_SHUTDOWN } PauseReason;

typedef enum MachineEventKind {
    MACHINE_EV_STATE,       /* state or reason changed */
    MACHINE_EV_RESET, MACHINE_EV_POWERDOWN, MACHINE_EV_SHUTDOWN, MACHINE_EV_SUSPEND, MACHINE_EV_WAKEUP,
    MACHINE_EV_ACCEL,       /* engine switched */
    MACHINE_EV_DEVICE_ADDED, MACHINE_EV_DEVICE_REMOVED, MACHINE_EV_IO_ERROR,
} MachineEventKind;

/* Who asked for a reset or a shutdown. */
typedef enum MachineCause { CAUSE_GUEST_RESET, CAUSE_GUEST_SHUTDOWN, CAUSE_TRIPLE_FAULT, CAUSE_HOST_MONITOR, CAUSE_HOST_SIGNAL, CAUSE_GUEST_EXIT_DEVICE, CAUSE_INTERNAL } MachineCause;

typedef struct MachineEvent {
    MachineEventKind kind;
    MachineState state;
    PauseReason reason;
    MachineCause cause;
    int exit_status;            /* SHUTDOWN: process exit status asked for */
    const char *id;             /* device or object, NULL if none */
} MachineEvent;

/* Main thread, in order of the changes. Listeners may call machine functions. */
typedef void MachineListenerFn(void *opaque, Machine *m, const MachineEvent *ev);
void machine_listen(Machine *m, MachineListenerFn *fn, void *opaque);
void machine_unlisten(Machine *m, MachineListenerFn *fn, void *opaque);

/* CREATED -> PRELAUNCH: memory committed, vCPU threads made (parked), everything reset. */
bool machine_complete(Machine *m, GError **err);
/* PRELAUNCH, PAUSED, IO_ERROR -> RUNNING. Main thread. False in other states. */
bool machine_cont(Machine *m, GError **err);
/* RUNNING -> PAUSED: returns when all vCPUs are parked and virtual time stands still. Main thread, no locks. */
void machine_pause(Machine *m, PauseReason why);
/* From any thread or handler: pause soon. */
void machine_request_pause(Machine *m, PauseReason why);
/* Any thread, locks may be held. Work item / main thread does it soon. */
void machine_request_reset(Machine *m, MachineCause why);
void machine_request_shutdown(Machine *m, MachineCause why, int exit_status);
/* Press the power button: the board's hook (ACPI); without one, shutdown. Any thread. */
void machine_request_powerdown(Machine *m);
void machine_set_powerdown_hook(Machine *m, void (*fn)(void *opaque), void *opaque);
/* A drive stopped for an error (any thread): state IO_ERROR until cont. @id is the device. */
void machine_io_error(Machine *m, const char *id);
MachineState machine_state(const Machine *m);           /* any thread */
PauseReason machine_pause_reason(const Machine *m);
const char *machine_state_name(const Machine *m);       /* "running", "paused", "prelaunch", "io-error", "internal-error", "shutdown" (QMP's words) */
int machine_exit_status(const Machine *m);
/* Boards: runs inside a machine reset after all devices were reset and before vCPUs go on (direct kernel boot sets registers here). In order of adding. */
void machine_add_reset_hook(Machine *m, void (*fn)(void *opaque), void *opaque);
/* Boards: freed with the machine, after devices (board structs, kernel images). */
void machine_own(Machine *m, void *ptr, GDestroyNotify free_fn);

/* ---- work items ---- */

/*
 * Run @fn with all vCPUs parked. Any thread; device locks may be held (the item runs after the handler dropped them, before the queuing vCPU's next
 * guest instruction). Items run one at a time in queue order, on some vCPU thread or the main thread, without any lock; they may take
 * device locks, change memory, state, ownership. A halted, paused or not yet started vCPU counts as parked.
 */
typedef void MachineWorkFn(Machine *m, void *opaque);
void machine_queue_work(Machine *m, MachineWorkFn *fn, void *opaque);
/* Queue and wait until done. Not from a vCPU thread, not with locks. */
void machine_run_work(Machine *m, MachineWorkFn *fn, void *opaque);
/* Run what is queued now; for threads that are not vCPUs (main loop, tests without vCPUs). */
void machine_flush_work(Machine *m);
bool machine_work_pending(const Machine *m);            /* any thread */
/* Asserts that the caller may do what needs vCPUs at rest: inside an item, or no vCPU can run. */
bool machine_vcpus_at_rest(const Machine *m);
uint64_t machine_work_count(const Machine *m);          /* items done */

/* ---- engines ---- */

/* Who runs next after EMULATION_FAILED. vCPU's thread, state not fetched. Default: one instruction; a stretch of 1000 where failures cluster. */
typedef Handover HandoverPolicy(Machine *m, Vcpu *c, const VmExit *why, void *opaque);
void machine_set_policy(Machine *m, HandoverPolicy *fn, void *opaque);
/* Move the whole machine to @accel (current or assistant engine swap roles). Any thread; by work item; EV_ACCEL follows. */
void machine_request_switch(Machine *m, const AccelOps *accel);
/* Boards: move the controllers' state and ownership at a switch; runs inside the item, after the vCPUs' state was fetched from @from and before it is
 * given to @to. False refuses. */
typedef bool MachineSwitchFn(Machine *m, const AccelOps *from, void *from_vm, const AccelOps *to, void *to_vm, void *opaque, GError **err);
void machine_set_switch_hook(Machine *m, MachineSwitchFn *fn, void *opaque);
/* Debug option: move to the other engine every @us microseconds, at arbitrary instructions; 0 = off. */
void machine_set_switch_period(Machine *m, unsigned us);
void machine_set_exit_timing(Machine *m, bool on);
/* Sum over vCPUs (g_free): one line per exit kind and hand-over counts by instruction bytes. */
char *machine_exit_stats(Machine *m);
const AccelOps *machine_accel(const Machine *m);
const char *machine_accel_name(const Machine *m);
unsigned machine_accel_traits(const Machine *m);         /* AccelTrait bits of the current engine */
/* AccelOps.cpu_features of both engines. */
void machine_limit_features(const Machine *m, void *features, GString *lost);

/* ---- named objects ---- */

/* Back ends that devices name in REF properties. @type tag ("drive", "chardev", "netdev", ...) is compared as text. @free_fn may be NULL. */
bool machine_add_object(Machine *m, const char *type, const char *id, void *ptr, GDestroyNotify free_fn, GError **err);
void *machine_find_object(Machine *m, const char *type, const char *id);        /* NULL if none */
bool machine_object_used(Machine *m, const char *type, const char *id);         /* by a device's property */
bool machine_remove_object(Machine *m, const char *type, const char *id, GError **err);    /* refused while a device uses it */
/* Firmware configuration files (fw_cfg fills itself from here at reset). @data is copied. Later ones replace. */
void machine_set_fw_file(Machine *m, const char *name, const void *data, size_t len);
void machine_foreach_fw_file(Machine *m, void (*fn)(const char *name, GBytes *data, void *opaque), void *opaque);

/* ---- devices and buses ---- */

Bus *machine_bus(Machine *m, const char *name);         /* NULL if none */
Bus *machine_default_bus(Machine *m, BusKind kind);
void machine_foreach_device(Machine *m, void (*fn)(Device *dev, void *opaque), void *opaque);   /* in order of realization */
/* new + set props + realize from a "-device" list of name=value pairs, "id" and "bus" included. */
Device *machine_add_device(Machine *m, const char *klass, const char *const *props, GError **err);
/* Unplug by work item. */
bool machine_del_device(Machine *m, const char *id, GError **err);
