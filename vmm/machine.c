#include <string.h>

#include "vmm/machine-internal.h"

/* Building, ending, events. Lifecycle: lifecycle.c; named objects: objects.c; work items: work.c; engines: engine.c. */

/* ---- events ---- */

typedef struct Listener {
    MachineListenerFn *fn;
    void *opaque;
} Listener;

static Mailbox *mailbox_new(Machine *m)
{
    Mailbox *mb = g_new0(Mailbox, 1);
    atomic_init(&mb->refs, 1);
    mb->m = m;
    g_mutex_init(&mb->lock);
    mb->events = g_array_new(FALSE, FALSE, sizeof(MachineEvent));
    return mb;
}

static void mailbox_unref(Mailbox *mb)
{
    if (atomic_fetch_sub(&mb->refs, 1) != 1)
        return;
    for (guint i = 0; i < mb->events->len; i++)
        g_free((char *)g_array_index(mb->events, MachineEvent, i).id);
    g_array_free(mb->events, TRUE);
    g_mutex_clear(&mb->lock);
    g_free(mb);
}

static void deliver(Machine *m, const MachineEvent *ev)
{
    for (guint i = 0; i < m->listeners->len; i++) {
        Listener l = g_array_index(m->listeners, Listener, i);
        if (l.fn)
            l.fn(l.opaque, m, ev);
    }
    if (ev->kind != MACHINE_EV_POWERDOWN)
        return;
    if (m->powerdown.fn)
        m->powerdown.fn(m->powerdown.opaque);
    else
        machine_request_shutdown(m, CAUSE_HOST_MONITOR, 0);
}

/* Main thread, from the loop. */
static void mailbox_run(void *opaque)
{
    Mailbox *mb = opaque;
    g_mutex_lock(&mb->lock);
    GArray *events = mb->events;
    bool flush = mb->flush_work;
    mb->events = g_array_new(FALSE, FALSE, sizeof(MachineEvent));
    mb->scheduled = mb->flush_work = false;
    g_mutex_unlock(&mb->lock);
    if (mb->m && flush)
        machine_flush_work(mb->m);
    for (guint i = 0; i < events->len; i++) {
        MachineEvent *ev = &g_array_index(events, MachineEvent, i);
        if (mb->m)
            deliver(mb->m, ev);
        g_free((char *)ev->id);
    }
    g_array_free(events, TRUE);
    mailbox_unref(mb);
}

/* mb->lock held. */
static bool schedule_locked(Mailbox *mb)
{
    bool first = !mb->scheduled;
    mb->scheduled = true;
    if (first)
        atomic_fetch_add(&mb->refs, 1);
    return first;
}

void machine_post(Machine *m, const MachineEvent *ev)
{
    MachineEvent copy = *ev;
    copy.id = g_strdup(ev->id);
    copy.state = machine_state(m);
    copy.reason = machine_pause_reason(m);
    g_mutex_lock(&m->mailbox->lock);
    g_array_append_val(m->mailbox->events, copy);
    bool first = schedule_locked(m->mailbox);
    g_mutex_unlock(&m->mailbox->lock);
    if (first)
        loop_defer(m->loop, mailbox_run, m->mailbox);
}

void machine_post_flush(Machine *m)
{
    g_mutex_lock(&m->mailbox->lock);
    m->mailbox->flush_work = true;
    bool first = schedule_locked(m->mailbox);
    g_mutex_unlock(&m->mailbox->lock);
    if (first)
        loop_defer(m->loop, mailbox_run, m->mailbox);
}

void machine_listen(Machine *m, MachineListenerFn *fn, void *opaque)
{
    Listener l = { fn, opaque };
    g_array_append_val(m->listeners, l);
}

/* The slot stays, empty: a listener may take itself out while being called. */
void machine_unlisten(Machine *m, MachineListenerFn *fn, void *opaque)
{
    for (guint i = 0; i < m->listeners->len; i++) {
        Listener *l = &g_array_index(m->listeners, Listener, i);
        if (l->fn == fn && l->opaque == opaque)
            l->fn = NULL;
    }
}

/* ---- memory changes while the guest runs ---- */

static void commit_item(Machine *m, void *opaque)
{
    atomic_store(&m->commit_due, false);
    mem_commit_now(m->mem);
}

static void commit_wanted(void *opaque)
{
    Machine *m = opaque;
    if (!atomic_load(&m->built))
        return;                 /* machine_complete commits */
    if (work_is_runner(m))
        mem_commit_now(m->mem);
    else if (!atomic_exchange(&m->commit_due, true))
        machine_queue_work(m, commit_item, NULL);
}

/* ---- new ---- */

static void make_memory(Machine *m)
{
    m->mem = mem_system_new();
    mem_system_set_scheduler(m->mem, commit_wanted, m);
    m->mem_root = mem_region_new_container(m->mem, "memory", 0);
    m->io_root = mem_region_new_container(m->mem, "io", 0x10000);
    m->as_mem = as_new(m->mem, "memory", m->mem_root);
    m->as_io = as_new(m->mem, "io", m->io_root);
}

Machine *machine_new(const MachineConfig *cfg, GError **err)
{
    g_assert(!cfg->n_vcpus || (cfg->cpu && cfg->accel));
    Machine *m = g_new0(Machine, 1);
    m->cfg = *cfg;
    m->name = g_strdup(cfg->name ? cfg->name : "none");
    m->cfg.name = m->name;
    m->loop = cfg->loop ? loop_ref(cfg->loop) : loop_new(NULL);
    m->mailbox = mailbox_new(m);
    m->clock = mclock_new(m->loop);
    m->fabric = irq_fabric_new();
    m->input = input_hub_new();
    m->devices = g_ptr_array_new();
    m->realized = g_ptr_array_new();
    m->buses = g_ptr_array_new();
    m->objects = g_ptr_array_new();
    m->fw_names = g_ptr_array_new_with_free_func(g_free);
    m->fw_data = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    g_mutex_init(&m->fw_lock);
    m->listeners = g_array_new(FALSE, FALSE, sizeof(Listener));
    m->reset_hooks = g_array_new(FALSE, FALSE, sizeof(Callback));
    m->owned = g_array_new(FALSE, FALSE, sizeof(Owned));
    m->vcpus = g_ptr_array_new();
    g_mutex_init(&m->run_lock);
    g_cond_init(&m->run_cond);
    g_cond_init(&m->park_cond);
    g_queue_init(&m->work);
    make_memory(m);
    m->slot[0].ops = cfg->accel;
    m->slot[1].ops = cfg->assist;
    for (unsigned i = 0; i < cfg->n_vcpus; i++)
        g_ptr_array_add(m->vcpus, vcpu_new(m, i));
    if (cfg->accel && !engine_open(m, 0, err)) {
        machine_free(m);
        return NULL;
    }
    return m;
}

bool machine_complete(Machine *m, GError **err)
{
    g_assert(machine_state(m) == MACHINE_CREATED && !atomic_load(&m->built));
    mem_commit_now(m->mem);
    /* An assistant's memory for code is mapped now, its vCPUs are made when first needed: a sandbox refuses executable memory afterwards. */
    g_autoptr(GError) no_help = NULL;
    if (m->slot[1].ops && !engine_open(m, 1, &no_help))
        log_warn(m->cfg.log, "the assistant engine %s does not start: %s", m->slot[1].ops->name, no_help->message);
    atomic_store(&m->built, true);
    if (m->slot[0].ops && !engine_open(m, 0, err))
        return false;
    machine_reset_now(m);
    m->threads_up = m->vcpus->len > 0;
    for (guint i = 0; i < m->vcpus->len; i++)
        if (!vcpu_start(g_ptr_array_index(m->vcpus, i), err))
            return false;
    machine_set_state(m, MACHINE_PRELAUNCH, PAUSE_NONE);
    return true;
}

/* ---- free ---- */

static void stop_threads(Machine *m)
{
    g_mutex_lock(&m->run_lock);
    m->stopping = true;
    g_cond_broadcast(&m->run_cond);
    g_mutex_unlock(&m->run_lock);
    work_set_allowed(m, false, false);
    for (guint i = 0; i < m->vcpus->len; i++)
        vcpu_join(g_ptr_array_index(m->vcpus, i));
    m->threads_up = false;
    /* What is still queued runs now, everything being alive: an item owns what it carries. */
    machine_flush_work(m);
}

static void free_devices(Machine *m)
{
    mem_system_set_scheduler(m->mem, NULL, NULL);
    mem_begin(m->mem);
    while (m->realized->len)
        device_unrealize(g_ptr_array_index(m->realized, m->realized->len - 1));
    while (m->devices->len)
        device_free(g_ptr_array_index(m->devices, m->devices->len - 1));
    for (guint i = m->owned->len; i-- > 0;) {
        Owned *o = &g_array_index(m->owned, Owned, i);
        o->free_fn(o->ptr);
    }
    mem_commit(m->mem);
}

static void free_objects(Machine *m)
{
    for (guint i = m->objects->len; i-- > 0;) {
        MachineObject *o = g_ptr_array_index(m->objects, i);
        if (o->free_fn)
            o->free_fn(o->ptr);
        g_free(o->type);
        g_free(o->id);
        g_free(o);
    }
    g_ptr_array_free(m->objects, TRUE);
}

static void free_memory(Machine *m)
{
    as_free(m->as_mem);
    as_free(m->as_io);
    mem_region_unref(m->mem_root);
    mem_region_unref(m->io_root);
    mem_system_free(m->mem);
}

void machine_free(Machine *m)
{
    if (!m)
        return;
    stop_threads(m);
    m->mailbox->m = NULL;
    free_devices(m);
    engine_close(m, 1);
    engine_close(m, 0);
    for (guint i = 0; i < m->vcpus->len; i++)
        vcpu_free(g_ptr_array_index(m->vcpus, i));
    free_objects(m);
    timer_free(m->switch_timer);
    mclock_free(m->clock);
    input_hub_free(m->input);
    free_memory(m);
    irq_fabric_free(m->fabric);
    g_ptr_array_free(m->vcpus, TRUE);
    g_ptr_array_free(m->devices, TRUE);
    g_ptr_array_free(m->realized, TRUE);
    g_ptr_array_free(m->buses, TRUE);
    g_ptr_array_free(m->fw_names, TRUE);
    g_ptr_array_free(m->fw_data, TRUE);
    g_array_free(m->listeners, TRUE);
    g_array_free(m->reset_hooks, TRUE);
    g_array_free(m->owned, TRUE);
    g_mutex_clear(&m->fw_lock);
    g_mutex_clear(&m->run_lock);
    g_cond_clear(&m->run_cond);
    g_cond_clear(&m->park_cond);
    mailbox_unref(m->mailbox);
    loop_unref(m->loop);
    g_free(m->name);
    g_free(m);
}

/* ---- parts ---- */

const MachineConfig *machine_config(const Machine *m) { return &m->cfg; }
Log *machine_log(Machine *m) { return m->cfg.log; }
Loop *machine_loop(Machine *m) { return m->loop; }
MachineClock *machine_clock(Machine *m) { return m->clock; }
MemSystem *machine_mem(Machine *m) { return m->mem; }
IrqFabric *machine_fabric(Machine *m) { return m->fabric; }
InputHub *machine_input(Machine *m) { return m->input; }
MemRegion *machine_mem_root(Machine *m) { return m->mem_root; }
MemRegion *machine_io_root(Machine *m) { return m->io_root; }
AddressSpace *machine_as_mem(Machine *m) { return m->as_mem; }
AddressSpace *machine_as_io(Machine *m) { return m->as_io; }
unsigned machine_n_vcpus(const Machine *m) { return m->vcpus->len; }

Vcpu *machine_vcpu(Machine *m, unsigned index)
{
    return index < m->vcpus->len ? g_ptr_array_index(m->vcpus, index) : NULL;
}

void msi_send(Machine *m, uint64_t addr, uint32_t data)
{
    irq_fabric_msi(m->fabric, addr, data, 0);
}

void machine_set_eoi_hook(Machine *m, void (*fn)(void *opaque, uint8_t vector), void *opaque)
{
    m->eoi_fn = fn;
    m->eoi_opaque = opaque;
}

void machine_own(Machine *m, void *ptr, GDestroyNotify free_fn)
{
    Owned o = { ptr, free_fn };
    g_array_append_val(m->owned, o);
}

void machine_set_vcpu_start(Machine *m, void (*fn)(void))
{
    m->vcpu_start = fn;
}
