#include "vmm/machine-internal.h"

#define RESET_WAIT_NS (5 * INT64_C(1000000000))

/* States of a machine. Every change is made by a work item, so changes never cross; listeners hear of them on the main thread. */

MachineState machine_state(const Machine *m)
{
    return (MachineState)atomic_load(&((Machine *)m)->state);
}

PauseReason machine_pause_reason(const Machine *m)
{
    return (PauseReason)atomic_load(&((Machine *)m)->reason);
}

int machine_exit_status(const Machine *m)
{
    return atomic_load(&((Machine *)m)->exit_status);
}

const char *machine_state_name(const Machine *m)
{
    static const char *const states[] = {
        [MACHINE_CREATED] = "prelaunch", [MACHINE_PRELAUNCH] = "prelaunch", [MACHINE_RUNNING] = "running",
        [MACHINE_PAUSED] = "paused", [MACHINE_IO_ERROR] = "io-error", [MACHINE_SHUTDOWN] = "shutdown",
    };
    static const char *const reasons[] = {
        [PAUSE_NONE] = "paused", [PAUSE_USER] = "paused", [PAUSE_DEBUG] = "debug", [PAUSE_SAVE] = "save-vm",
        [PAUSE_INTERNAL_ERROR] = "internal-error", [PAUSE_GUEST_PANIC] = "guest-panicked", [PAUSE_SUSPENDED] = "suspended",
        [PAUSE_SHUTDOWN] = "shutdown",
    };
    MachineState s = machine_state(m);
    return s == MACHINE_PAUSED ? reasons[machine_pause_reason(m)] : states[s];
}

void machine_set_state(Machine *m, MachineState state, PauseReason why)
{
    if ((int)state == atomic_load(&m->state) && (int)why == atomic_load(&m->reason))
        return;
    atomic_store(&m->reason, why);
    atomic_store(&m->state, state);
    machine_post(m, &(MachineEvent){ .kind = MACHINE_EV_STATE });
}

static void halt_machine(Machine *m, MachineState state, PauseReason why)
{
    work_set_allowed(m, false, false);
    mclock_stop(m->clock);
    machine_set_state(m, state, why);
}

/* ---- run, pause ---- */

static void cont_item(Machine *m, void *opaque)
{
    bool *ok = opaque;
    MachineState s = machine_state(m);
    *ok = s == MACHINE_PRELAUNCH || s == MACHINE_PAUSED || s == MACHINE_IO_ERROR;
    if (!*ok)
        return;
    machine_set_state(m, MACHINE_RUNNING, PAUSE_NONE);
    mclock_start(m->clock);
    work_set_allowed(m, true, false);
}

bool machine_cont(Machine *m, GError **err)
{
    bool ok = false;
    machine_run_work(m, cont_item, &ok);
    if (!ok)
        g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, "the machine is '%s' and cannot go on from there", machine_state_name(m));
    return ok;
}

static void pause_item(Machine *m, void *opaque)
{
    if (machine_state(m) == MACHINE_RUNNING)
        halt_machine(m, MACHINE_PAUSED, (PauseReason)GPOINTER_TO_UINT(opaque));
}

void machine_pause(Machine *m, PauseReason why)
{
    machine_run_work(m, pause_item, GUINT_TO_POINTER(why));
    machine_flush_work(m);      /* what vCPUs queued on their way out; now only other threads can add */
}

void machine_request_pause(Machine *m, PauseReason why)
{
    machine_queue_work(m, pause_item, GUINT_TO_POINTER(why));
}

static void io_error_item(Machine *m, void *opaque)
{
    g_autofree char *id = opaque;
    if (machine_state(m) == MACHINE_RUNNING)
        halt_machine(m, MACHINE_IO_ERROR, PAUSE_NONE);
    machine_post(m, &(MachineEvent){ .kind = MACHINE_EV_IO_ERROR, .id = id });
}

void machine_io_error(Machine *m, const char *id)
{
    machine_queue_work(m, io_error_item, g_strdup(id));
}

/* ---- shutdown, reset, power button ---- */

typedef struct Shutdown {
    MachineCause cause;
    int status;
} Shutdown;

static void shutdown_now(Machine *m, MachineCause cause, int status)
{
    if (machine_state(m) == MACHINE_SHUTDOWN)
        return;
    atomic_store(&m->exit_status, status);
    if (m->cfg.no_shutdown)
        halt_machine(m, MACHINE_PAUSED, PAUSE_SHUTDOWN);
    else
        halt_machine(m, MACHINE_SHUTDOWN, PAUSE_NONE);
    machine_post(m, &(MachineEvent){ .kind = MACHINE_EV_SHUTDOWN, .cause = cause, .exit_status = status });
}

static void shutdown_item(Machine *m, void *opaque)
{
    g_autofree Shutdown *s = opaque;
    shutdown_now(m, s->cause, s->status);
}

void machine_request_shutdown(Machine *m, MachineCause why, int exit_status)
{
    Shutdown *s = g_new(Shutdown, 1);
    *s = (Shutdown){ why, exit_status };
    machine_queue_work(m, shutdown_item, s);
}

static Device *busy_device(Machine *m)
{
    for (guint i = 0; i < m->realized->len; i++)
        if (device_busy(g_ptr_array_index(m->realized, i)))
            return g_ptr_array_index(m->realized, i);
    return NULL;
}

/*
 * What the host reads for a request from before the reset goes straight into guest memory, where the next system is about to be put. The main loop
 * hears of its end: we run it, or let it run. Bounded, for the main thread may wait for us just now, and a disk may hang.
 */
static void wait_for_transfers(Machine *m)
{
    enum { STEP_US = 100 };
    int64_t end = clock_now_ns(&clock_host) + RESET_WAIT_NS;
    Device *dev;
    while ((dev = busy_device(m)) && clock_now_ns(&clock_host) < end) {
        if (!g_main_context_is_owner(loop_context(m->loop)) || !loop_iterate(m->loop, false))
            g_usleep(STEP_US);
    }
    if (dev)
        log_warn(m->cfg.log, "reset: '%s' still waits for the host; what it reads may appear in the new system's memory", dev->id);
}

void machine_reset_now(Machine *m)
{
    for (guint i = 0; i < m->realized->len; i++)
        device_reset(g_ptr_array_index(m->realized, i));
    wait_for_transfers(m);
    for (guint i = 0; i < m->vcpus->len; i++)
        vcpu_reset(g_ptr_array_index(m->vcpus, i));
    mem_commit_now(m->mem);     /* devices moved their regions back; hooks write to memory */
    for (guint i = 0; i < m->reset_hooks->len; i++) {
        Callback *c = &g_array_index(m->reset_hooks, Callback, i);
        c->fn(c->opaque);
    }
    mem_commit_now(m->mem);
}

static void reset_item(Machine *m, void *opaque)
{
    MachineCause why = (MachineCause)GPOINTER_TO_UINT(opaque);
    if (!atomic_exchange(&m->reset_due, false))
        return;
    if (m->cfg.no_reboot && machine_state(m) != MACHINE_PRELAUNCH) {
        shutdown_now(m, why, 0);
        return;
    }
    machine_reset_now(m);
    if (machine_state(m) == MACHINE_SHUTDOWN)
        machine_set_state(m, MACHINE_PAUSED, PAUSE_USER);
    machine_post(m, &(MachineEvent){ .kind = MACHINE_EV_RESET, .cause = why });
}

void machine_request_reset(Machine *m, MachineCause why)
{
    if (!atomic_exchange(&m->reset_due, true))
        machine_queue_work(m, reset_item, GUINT_TO_POINTER(why));
}

void machine_add_reset_hook(Machine *m, void (*fn)(void *opaque), void *opaque)
{
    Callback c = { fn, opaque };
    g_array_append_val(m->reset_hooks, c);
}

void machine_request_powerdown(Machine *m)
{
    machine_post(m, &(MachineEvent){ .kind = MACHINE_EV_POWERDOWN });
}

void machine_set_powerdown_hook(Machine *m, void (*fn)(void *opaque), void *opaque)
{
    m->powerdown = (Callback){ fn, opaque };
}
