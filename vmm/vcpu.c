#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>

#include "util/bits.h"
#include "vmm/machine-internal.h"

/* vCPU threads and the exit table. */

typedef void ExitFn(Vcpu *c, VmExit *x);

static void exit_pio(Vcpu *c, VmExit *x);
static void exit_mmio(Vcpu *c, VmExit *x);
static void exit_msr(Vcpu *c, VmExit *x);
static void exit_eoi(Vcpu *c, VmExit *x);
static void exit_shutdown(Vcpu *c, VmExit *x);
static void exit_debug(Vcpu *c, VmExit *x);
static void exit_system(Vcpu *c, VmExit *x);
static void exit_error(Vcpu *c, VmExit *x);

/* inside: handled by vcpu_io in the middle of vcpu_run; the others after it, still unparked. HALT then sleeps, parked. */
static const struct { const char *name; ExitFn *fn; bool inside; } exit_table[EXIT_KIND_MAX] = {
    [EXIT_NONE] = { "none", NULL, false },
    [EXIT_PIO] = { "pio", exit_pio, true },
    [EXIT_MMIO] = { "mmio", exit_mmio, true },
    [EXIT_HALT] = { "halt", NULL, false },
    [EXIT_SHUTDOWN] = { "shutdown", exit_shutdown, false },
    [EXIT_EMULATION_FAILED] = { "emulation-failed", NULL, false },
    [EXIT_DEBUG] = { "debug", exit_debug, false },
    [EXIT_IRQ_WINDOW] = { "irq-window", NULL, false },
    [EXIT_EOI] = { "eoi", exit_eoi, true },
    [EXIT_MSR] = { "msr", exit_msr, true },
    [EXIT_HYPERCALL] = { "hypercall", NULL, false },
    [EXIT_SYSTEM_EVENT] = { "system-event", exit_system, false },
    [EXIT_FAIL_ENTRY] = { "fail-entry", exit_error, false },
    [EXIT_ERROR] = { "error", exit_error, false },
    [EXIT_STEPPED] = { "stepped", NULL, false },
};

const char *exit_kind_name(ExitKind k)
{
    return (unsigned)k < EXIT_KIND_MAX ? exit_table[k].name : "?";
}

static inline void run_exit(Vcpu *c, VmExit *x)
{
    Machine *m = c->machine;
    bool timed = atomic_load_explicit(&m->exit_timing, memory_order_relaxed);
    int64_t start = timed ? mclock_now(m->clock, CLOCK_KIND_HOST) : 0;
    c->stats.count[x->kind]++;
    if (exit_table[x->kind].fn)
        exit_table[x->kind].fn(c, x);
    if (timed)
        c->stats.ns[x->kind] += (uint64_t)(mclock_now(m->clock, CLOCK_KIND_HOST) - start);
}

static inline bool leave_due(const Vcpu *c)
{
    return atomic_load_explicit(&c->machine->work_due, memory_order_relaxed) || vcpu_must_leave(c);
}

bool vcpu_io(Vcpu *c, VmExit *x)
{
    g_assert((unsigned)x->kind < EXIT_KIND_MAX && exit_table[x->kind].inside);
    if (!x->data)
        x->data = &x->value;
    run_exit(c, x);
    return leave_due(c);
}

/* ---- inside ---- */

/* All of value, where it goes there: a load of it that is wider than the store before would wait for that to reach the cache. */
static inline void put_answer(VmExit *x, uint8_t *to, uint64_t v)
{
    if (to == (uint8_t *)&x->value)
        x->value = x->size == 8 ? v : v & bits_mask(8 * x->size);
    else
        store_le(to, x->size, v);
}

static void exit_pio(Vcpu *c, VmExit *x)
{
    uint8_t *p = x->data;
    uint32_t n = x->count ? x->count : 1;
    x->result = MEM_OK;
    for (uint32_t i = 0; i < n; i++, p += x->size) {
        uint64_t v = 0;
        MemResult r = x->write ? as_vcpu_store(c->io, x->addr, x->size, load_le(p, x->size)) : as_vcpu_load(c->io, x->addr, x->size, &v);
        if (!x->write)
            put_answer(x, p, v);
        x->result = r == MEM_OK ? x->result : r;
    }
}

/* The CPU's own controller first. */
static inline MemResult mmio_one(Vcpu *c, GuestAddr gpa, unsigned size, bool write, uint64_t *val)
{
    const CpuIntcOps *intc = c->intc.ops;
    if (intc && intc->mmio && intc->mmio(c->intc.opaque, gpa, size, write, val))
        return MEM_OK;
    return write ? as_vcpu_store(c->mem, gpa, size, *val) : as_vcpu_load(c->mem, gpa, size, val);
}

static void exit_mmio(Vcpu *c, VmExit *x)
{
    bool whole = x->size == 1 || x->size == 2 || x->size == 4 || x->size == 8;
    if (!whole) {
        x->result = x->write ? as_write(c->mem, x->addr, x->data, x->size) : as_read(c->mem, x->addr, x->data, x->size);
        return;
    }
    uint64_t v = x->write ? load_le(x->data, x->size) : 0;
    x->result = mmio_one(c, x->addr, x->size, x->write, &v);
    if (!x->write)
        put_answer(x, x->data, v);
}

/* Timed accesses go the long way. */
static MemResult mmio_timed(Vcpu *c, GuestAddr gpa, unsigned size, bool write, uint64_t *val)
{
    VmExit x = { .kind = EXIT_MMIO, .write = write, .size = (uint8_t)size, .addr = gpa, .value = *val };
    vcpu_io(c, &x);
    *val = x.value;
    return x.result;
}

MemResult vcpu_mmio(Vcpu *c, GuestAddr gpa, unsigned size, bool write, uint64_t *val, bool *ret_leave)
{
    MemResult r;
    if (atomic_load_explicit(&c->machine->exit_timing, memory_order_relaxed)) {
        r = mmio_timed(c, gpa, size, write, val);
    } else {
        c->stats.count[EXIT_MMIO]++;
        r = mmio_one(c, gpa, size, write, val);
    }
    *ret_leave = leave_due(c);
    return r;
}

/* The local controller's MSRs; anything else is the engine's business. */
static void exit_msr(Vcpu *c, VmExit *x)
{
    const CpuIntcOps *ops = c->intc.ops;
    bool ok = false;
    if (ops && x->write && ops->msr_write)
        ok = ops->msr_write(c->intc.opaque, (uint32_t)x->addr, x->value);
    else if (ops && !x->write && ops->msr_read)
        ok = ops->msr_read(c->intc.opaque, (uint32_t)x->addr, &x->value);
    x->result = ok ? MEM_OK : MEM_DECODE_ERROR;
}

static void exit_eoi(Vcpu *c, VmExit *x)
{
    Machine *m = c->machine;
    if (m->eoi_fn)
        m->eoi_fn(m->eoi_opaque, (uint8_t)x->addr);
}

/* ---- after vcpu_run ---- */

/* Sleep until somebody raises an event or wants the thread. Parked. */
static void sleep_in_halt(Vcpu *c)
{
    struct VcpuPriv *p = c->priv;
    g_mutex_lock(&p->halt_lock);
    while (!atomic_load(&c->events) && !atomic_load(&c->kicked))
        g_cond_wait(&p->halt_cond, &p->halt_lock);
    g_mutex_unlock(&p->halt_lock);
}

static void exit_shutdown(Vcpu *c, VmExit *x)
{
    log_item(c->machine->cfg.log, LOG_INT, "vcpu %u: triple fault", c->index);
    machine_request_reset(c->machine, CAUSE_TRIPLE_FAULT);
}

static void exit_debug(Vcpu *c, VmExit *x)
{
    machine_request_pause(c->machine, PAUSE_DEBUG);
}

static void exit_system(Vcpu *c, VmExit *x)
{
    static const MachineCause causes[] = { CAUSE_INTERNAL, CAUSE_GUEST_SHUTDOWN, CAUSE_GUEST_RESET };
    if (x->value == 1)
        machine_request_shutdown(c->machine, causes[1], 0);
    else if (x->value == 2)
        machine_request_reset(c->machine, causes[2]);
    else
        machine_request_pause(c->machine, PAUSE_GUEST_PANIC);
}

static void exit_error(Vcpu *c, VmExit *x)
{
    Machine *m = c->machine;
    uint64_t pc = 0;
    if (vcpu_state_need(c, c->type->groups_all, NULL) && c->type->pc)
        pc = c->type->pc(c->state);
    log_warn(m->cfg.log, "vcpu %u: %s cannot go on (%s%s%s, code 0x%" PRIx64 ") at 0x%" PRIx64 "; the machine is paused", c->index,
             c->accel->name, exit_kind_name(x->kind), x->error ? ": " : "", x->error ? g_strerror(-x->error) : "", x->value, pc);
    machine_request_pause(m, PAUSE_INTERNAL_ERROR);
}

/* ---- the thread ---- */

/* One stay in guest code. True: *x is left for the table. */
static bool run_once(Vcpu *c, VmExit *x)
{
    if (c->priv->handover_due) {
        *x = c->priv->failed;
        return engine_handover(c, x);
    }
    if (*c->groups_dirty && c->accel->state_in && !c->accel->state_in(c->ec, *c->groups_dirty, NULL)) {
        x->kind = EXIT_FAIL_ENTRY;
        return true;
    }
    c->accel->vcpu_run(c->ec, x);
    g_assert((unsigned)x->kind < EXIT_KIND_MAX && !exit_table[x->kind].inside);
    return x->kind != EXIT_EMULATION_FAILED || engine_failed(c, x);
}

static void *vcpu_thread(void *opaque)
{
    Vcpu *c = opaque;
    Machine *m = c->machine;
    bool begun = false;
    atomic_store(&c->priv->self, (uintptr_t)pthread_self());
    while (work_enter(m, c)) {
        VmExit x = { 0 };
        if (!begun && m->vcpu_start)
            m->vcpu_start();
        begun = true;
        bool left = run_once(c, &x);
        if (left)
            run_exit(c, &x);
        work_leave(m, c);
        mem_safe_point(m->mem);
        if (left && x.kind == EXIT_HALT)
            sleep_in_halt(c);
    }
    return NULL;
}

static void *state_slot(Vcpu *c, size_t offset)
{
    return (char *)c->state + offset;
}

Vcpu *vcpu_new(Machine *m, unsigned index)
{
    const CpuType *t = m->cfg.cpu;
    Vcpu *c = g_new0(Vcpu, 1);
    c->machine = m;
    c->index = c->apic_id = index;
    c->type = t;
    c->state = g_aligned_alloc0(1, align_up(t->state_size, MAX(t->state_align, 64)), MAX(t->state_align, 64));
    c->groups_valid = state_slot(c, t->groups_valid_offset);
    c->groups_dirty = state_slot(c, t->groups_dirty_offset);
    c->accel = m->cfg.accel;
    c->mem = m->as_mem;
    c->io = m->as_io;
    c->priv = g_new0(struct VcpuPriv, 1);
    c->stats.failed_insns = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_mutex_init(&c->priv->halt_lock);
    g_cond_init(&c->priv->halt_cond);
    return c;
}

void vcpu_free(Vcpu *c)
{
    g_hash_table_destroy(c->stats.failed_insns);
    g_mutex_clear(&c->priv->halt_lock);
    g_cond_clear(&c->priv->halt_cond);
    g_aligned_free(c->state);
    g_free(c->priv);
    g_free(c);
}

bool vcpu_start(Vcpu *c, GError **err)
{
    g_autofree char *name = g_strdup_printf("vcpu%u", c->index);
    c->priv->thread = g_thread_try_new(name, vcpu_thread, c, err);
    return c->priv->thread != NULL;
}

void vcpu_join(Vcpu *c)
{
    if (c->priv->thread)
        g_thread_join(c->priv->thread);
    c->priv->thread = NULL;
}

void vcpu_reset(Vcpu *c)
{
    c->type->reset(c->state, c->index, false);
    *c->groups_valid = *c->groups_dirty = c->type->groups_all;
    atomic_store(&c->events, 0);
    c->priv->handover_due = c->priv->resume = false;
    /* One that slept in HLT runs again; one that waits for SIPI goes back to sleep by itself. */
    vcpu_kick(c);
}

bool vcpu_is_self(const Vcpu *c)
{
    return atomic_load(&c->priv->self) == (uintptr_t)pthread_self();
}

/* Both slots: a switch may be swapping the vCPU's current and assistant pointers right now. */
static void kick_engines(Vcpu *c)
{
    for (unsigned i = 0; i < 2; i++) {
        const AccelOps *ops = c->machine->slot[i].ops;
        void *ec = atomic_load(&c->priv->slot_ec[i]);
        if (ec && ops->vcpu_kick)
            ops->vcpu_kick(ec);
    }
}

void vcpu_kick(Vcpu *c)
{
    atomic_store(&c->kicked, true);
    /* Itself too: a register write that does not come through vcpu_io (CR8, x2APIC) may have let an interrupt through. */
    if (atomic_load(&c->in_guest)) {
        kick_engines(c);
        return;
    }
    /* The lock orders this after a sleeper's look at kicked. */
    g_mutex_lock(&c->priv->halt_lock);
    g_cond_signal(&c->priv->halt_cond);
    g_mutex_unlock(&c->priv->halt_lock);
}

void vcpu_raise(Vcpu *c, VcpuEvent ev, unsigned arg)
{
    if (ev == VCPU_EV_SIPI)
        atomic_store(&c->sipi_vector, arg);
    uint32_t old = atomic_fetch_or(&c->events, ev);
    /* Already raised and not yet taken: somebody has kicked. */
    if (!(old & ev))
        vcpu_kick(c);
}

/* ---- statistics ---- */

static int by_count(const void *a, const void *b, void *table)
{
    uint64_t x = *(uint64_t *)g_hash_table_lookup(table, *(char *const *)a);
    uint64_t y = *(uint64_t *)g_hash_table_lookup(table, *(char *const *)b);
    return x < y ? 1 : x > y ? -1 : 0;
}

static void add_failures(GString *s, GHashTable *sum)
{
    g_autoptr(GPtrArray) keys = g_ptr_array_new();
    GHashTableIter it;
    gpointer key;
    g_hash_table_iter_init(&it, sum);
    while (g_hash_table_iter_next(&it, &key, NULL))
        g_ptr_array_add(keys, key);
    g_ptr_array_sort_with_data(keys, by_count, sum);
    for (guint i = 0; i < keys->len && i < 20; i++)
        g_string_append_printf(s, "handover insn %s: %" PRIu64 "\n", (char *)g_ptr_array_index(keys, i),
                               *(uint64_t *)g_hash_table_lookup(sum, g_ptr_array_index(keys, i)));
}

static void sum_vcpu(const Vcpu *c, VcpuStats *sum)
{
    GHashTableIter it;
    gpointer key, val;
    for (unsigned k = 0; k < EXIT_KIND_MAX; k++) {
        sum->count[k] += c->stats.count[k];
        sum->ns[k] += c->stats.ns[k];
    }
    sum->handovers += c->stats.handovers;
    sum->handover_insns += c->stats.handover_insns;
    sum->assist_ns += c->stats.assist_ns;
    sum->switches += c->stats.switches;
    g_hash_table_iter_init(&it, c->stats.failed_insns);
    while (g_hash_table_iter_next(&it, &key, &val)) {
        uint64_t *n = g_hash_table_lookup(sum->failed_insns, key);
        if (!n)
            g_hash_table_insert(sum->failed_insns, key, n = g_new0(uint64_t, 1));
        *n += *(uint64_t *)val;
    }
}

static void exit_stats_item(Machine *m, void *opaque)
{
    GString *s = opaque;
    VcpuStats sum = { .failed_insns = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free) };
    for (guint i = 0; i < m->vcpus->len; i++)
        sum_vcpu(g_ptr_array_index(m->vcpus, i), &sum);
    for (unsigned k = 0; k < EXIT_KIND_MAX; k++) {
        if (!sum.count[k])
            continue;
        g_string_append_printf(s, "exit %s: %" PRIu64, exit_kind_name(k), sum.count[k]);
        if (sum.ns[k])
            g_string_append_printf(s, " (%" PRIu64 " us)", sum.ns[k] / 1000);
        g_string_append_c(s, '\n');
    }
    if (sum.handovers)
        g_string_append_printf(s, "handovers: %" PRIu64 ", instructions counted: %" PRIu64 ", in the assistant: %" PRIu64 " us\n", sum.handovers,
                               sum.handover_insns, sum.assist_ns / 1000);
    if (sum.switches)
        g_string_append_printf(s, "engine switches: %" PRIu64 "\n", sum.switches);
    for (unsigned i = 0; i < 2; i++) {
        g_autofree char *more = m->slot[i].vm_ready && m->slot[i].ops->exit_stats ? m->slot[i].ops->exit_stats(m->slot[i].vm) : NULL;
        if (more)
            g_string_append(s, more);
    }
    add_failures(s, sum.failed_insns);
    g_hash_table_destroy(sum.failed_insns);
}

char *machine_exit_stats(Machine *m)
{
    GString *s = g_string_new(NULL);
    machine_run_work(m, exit_stats_item, s);
    return g_string_free(s, FALSE);
}

void machine_set_exit_timing(Machine *m, bool on)
{
    atomic_store(&m->exit_timing, on);
}
