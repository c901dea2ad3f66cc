#include <string.h>

#include "vmm/machine-internal.h"

/* Engines of a machine: slots, hand-over of instructions, switch of the whole machine, choice. */

/* ---- slots ---- */

/* A listener's opaque: which slot of which machine. */
typedef struct SlotRef {
    Machine *m;
    unsigned slot;
} SlotRef;

static void on_changed(void *opaque, AddressSpace *as, const FlatView *old, const FlatView *new_view)
{
    SlotRef *r = opaque;
    const AccelOps *ops = r->m->slot[r->slot].ops;
    if (ops->memory_changed)
        ops->memory_changed(r->m->slot[r->slot].vm, as, old, new_view);
}

static void on_revoke(void *opaque, PageClient client, uint64_t ram_addr, uint64_t len)
{
    SlotRef *r = opaque;
    const AccelOps *ops = r->m->slot[r->slot].ops;
    if (ops->pages_revoke)
        ops->pages_revoke(r->m->slot[r->slot].vm, client, ram_addr, len);
}

static void on_doorbells(void *opaque, MemRegion *mr)
{
    SlotRef *r = opaque;
    const AccelOps *ops = r->m->slot[r->slot].ops;
    if (ops->doorbells)
        ops->doorbells(r->m->slot[r->slot].vm, mr);
}

static void on_sync(void *opaque, RamBlock *b, uint64_t offset, uint64_t len)
{
    SlotRef *r = opaque;
    const AccelOps *ops = r->m->slot[r->slot].ops;
    if (ops->dirty_log)
        ops->dirty_log(r->m->slot[r->slot].vm, b, offset, len);
}

static const MemListener slot_listener = { .changed = on_changed, .revoke = on_revoke, .sync = on_sync, .doorbells = on_doorbells };

static void set_ec(Vcpu *c, unsigned slot, void *ec)
{
    atomic_store(&c->priv->slot_ec[slot], ec);
    if (c->machine->current == slot)
        c->ec = ec;
    else
        c->assist_ec = ec;
}

static bool open_vcpus(Machine *m, unsigned slot, GError **err)
{
    for (guint i = 0; i < m->vcpus->len; i++) {
        Vcpu *c = g_ptr_array_index(m->vcpus, i);
        void *ec = NULL;
        if (!m->slot[slot].ops->vcpu_init(m->slot[slot].vm, c, &ec, err))
            return false;
        set_ec(c, slot, ec);
        if (slot != m->current)
            c->assist = m->slot[slot].ops;
    }
    return true;
}

/* vm_init happens before vCPUs exist for the first engine (machine_new), later for an assistant. */
bool engine_open(Machine *m, unsigned slot, GError **err)
{
    if (!m->slot[slot].vm_ready) {
        if (!m->slot[slot].ops->vm_init(m, &m->cfg.accel_cfg, &m->slot[slot].vm, err))
            return false;
        m->slot[slot].vm_ready = true;
        SlotRef *r = g_new(SlotRef, 1);
        *r = (SlotRef){ m, slot };
        m->slot[slot].listener = r;
        mem_listener_add(m->mem, &slot_listener, r);
    }
    if (m->slot[slot].ready || !m->built)
        return true;
    m->slot[slot].ready = open_vcpus(m, slot, err);
    return m->slot[slot].ready;
}

void engine_close(Machine *m, unsigned slot)
{
    if (!m->slot[slot].ops || !m->slot[slot].vm_ready)
        return;
    for (guint i = 0; i < m->vcpus->len; i++) {
        Vcpu *c = g_ptr_array_index(m->vcpus, i);
        void *ec = atomic_load(&c->priv->slot_ec[slot]);
        if (ec && m->slot[slot].ops->vcpu_fini)
            m->slot[slot].ops->vcpu_fini(ec);
        set_ec(c, slot, NULL);
    }
    mem_listener_remove(m->mem, &slot_listener, m->slot[slot].listener);
    if (m->slot[slot].ops->vm_fini)
        m->slot[slot].ops->vm_fini(m->slot[slot].vm);
    m->slot[slot].vm = NULL;
    m->slot[slot].vm_ready = m->slot[slot].ready = false;
    g_free(m->slot[slot].listener);
}

void *machine_accel_vm(Machine *m)
{
    return m->slot[m->current].vm;
}

const AccelOps *machine_accel(const Machine *m)
{
    return m->slot[m->current].ops;
}

unsigned machine_accel_traits(const Machine *m)
{
    const AccelOps *ops = machine_accel(m);
    return ops && ops->traits && m->slot[m->current].vm_ready ? ops->traits(m->slot[m->current].vm) : 0;
}

void machine_limit_features(const Machine *m, void *features, GString *lost)
{
    for (unsigned i = 0; i < 2; i++)
        if (m->slot[i].ops && m->slot[i].ops->cpu_features)
            m->slot[i].ops->cpu_features(&m->cfg.accel_cfg, features, lost);
}

const char *machine_accel_name(const Machine *m)
{
    return machine_accel(m) ? machine_accel(m)->name : "none";
}

/* ---- state ---- */

bool vcpu_state_need(Vcpu *c, uint32_t groups, GError **err)
{
    uint32_t missing = groups & ~*c->groups_valid;
    if (!missing || !c->accel->state_out) {
        *c->groups_valid |= groups;
        return true;
    }
    return c->accel->state_out(c->ec, missing, err);
}

void vcpu_state_changed(Vcpu *c, uint32_t groups)
{
    g_assert((*c->groups_valid & groups) == groups);
    *c->groups_dirty |= groups;
}

/* ---- hand-over ---- */

void machine_set_policy(Machine *m, HandoverPolicy *fn, void *opaque)
{
    m->policy = fn;
    m->policy_opaque = opaque;
}

enum { CLUSTER_NS = 2000000, LEVEL_MAX = 4 };

/*
 * One instruction; but a failure soon after the last one (on hosts where a whole kernel fails every few instructions)
 * makes the stretch 16 times longer, up to user mode.
 */
static Handover default_policy(Vcpu *c)
{
    int64_t now = mclock_now(c->machine->clock, CLOCK_KIND_HOST);
    struct VcpuPriv *p = c->priv;
    bool near = p->last_failure_ns && now - p->last_failure_ns < CLUSTER_NS;
    p->last_failure_ns = now;
    p->failure_level = near ? MIN(p->failure_level + 1, (unsigned)LEVEL_MAX) : 0;
    uint64_t n = 1ull << 4 * p->failure_level;
    HandoverKind kind = !p->failure_level ? HANDOVER_STEP : p->failure_level < LEVEL_MAX ? HANDOVER_STRETCH : HANDOVER_UNTIL_USER;
    return (Handover){ kind, n };
}

/* By reason and opcode: what an operation's operands are would fill the table. */
static void count_failure(Vcpu *c, const VmExit *x)
{
    char key[96];
    unsigned first = 0, n = MIN(x->n_insn, (unsigned)sizeof(x->insn));
    if (n && c->type->opcode)
        n = MIN(c->type->opcode(x->insn, n, &first), n - first);
    int at = g_snprintf(key, sizeof(key), "%s", x->why ? x->why : n ? "" : "?");
    for (unsigned i = 0; i < n && at < (int)sizeof(key) - 3; i++)
        at += g_snprintf(key + at, sizeof(key) - (size_t)at, "%s%02x", x->why && !i ? " " : "", x->insn[first + i]);
    uint64_t *count = g_hash_table_lookup(c->stats.failed_insns, key);
    /* Bounded: a guest chooses these bytes. */
    if (!count && g_hash_table_size(c->stats.failed_insns) < 256) {
        count = g_new0(uint64_t, 1);
        g_hash_table_insert(c->stats.failed_insns, g_strdup(key), count);
    }
    if (count)
        ++*count;
}

static void open_assistant_item(Machine *m, void *opaque)
{
    unsigned slot = m->current ^ 1;
    GError *err = NULL;
    if (m->slot[slot].ready || m->slot[slot].failed)
        return;
    if (!engine_open(m, slot, &err)) {
        m->slot[slot].failed = true;
        log_warn(m->cfg.log, "the assistant engine %s does not start: %s", m->slot[slot].ops->name, err->message);
        g_error_free(err);
    }
}

static bool no_help(VmExit *x, const char *why, Machine *m)
{
    log_warn(m->cfg.log, "%s: emulation failure, %s", machine_accel_name(m), why);
    x->kind = EXIT_ERROR;
    return true;
}

bool engine_failed(Vcpu *c, VmExit *x)
{
    c->stats.count[x->kind]++;
    count_failure(c, x);
    c->priv->failed = *x;
    return engine_handover(c, x);
}

static bool in_user(void *opaque)
{
    Vcpu *c = opaque;
    return c->type->in_user && c->type->in_user(c->state);
}

/* Decide and prepare a new stretch. False: *x says what to do instead, *ret_left what to return. */
static bool begin_stretch(Vcpu *c, VmExit *x, bool *ret_left)
{
    Machine *m = c->machine;
    bool user_only = machine_accel_traits(m) & ACCEL_USER_ONLY;
    Handover h = { HANDOVER_UNTIL_USER, 1 };
    if (m->policy)
        h = m->policy(m, c, x, m->policy_opaque);
    else if (!user_only)
        h = default_policy(c);
    *ret_left = true;
    if (h.kind == HANDOVER_STOP)
        return !no_help(x, "and the policy says stop", m);
    if (h.kind == HANDOVER_SWITCH) {
        machine_request_switch(m, m->slot[m->current ^ 1].ops);
        *ret_left = false;
        return false;
    }
    g_autoptr(GError) err = NULL;
    if (!vcpu_state_need(c, c->type->groups_all, &err))
        return !no_help(x, err->message, m);
    /* The assistant has not seen what the guest did meanwhile, in its registers and in memory. */
    if (!x->user_only && c->assist->state_in && !c->assist->state_in(c->assist_ec, c->type->groups_all, NULL))
        return !no_help(x, "and the assistant engine refuses the state", m);
    c->priv->step = (VcpuStep){ .max_insns = MAX(h.n, 1) };
    if (h.kind == HANDOVER_UNTIL_USER) {
        c->priv->step.until = user_only ? c->accel->can_run : in_user;
        c->priv->step.opaque = user_only ? c->ec : (void *)c;
        c->priv->step.at_once = x->events_only;
    }
    c->stats.handovers++;
    return true;
}

/*
 * The current engine gave up on *x, or did so before the assistant was ready, or the assistant was interrupted in its stretch. False: go on;
 * true: *x is left to handle. Runs inside the guest bracket.
 */
bool engine_handover(Vcpu *c, VmExit *x)
{
    Machine *m = c->machine;
    struct VcpuPriv *p = c->priv;
    unsigned slot = m->current ^ 1;
    bool left;
    if (!m->slot[slot].ops || !m->slot[slot].ops->vcpu_step)
        return no_help(x, "and there is no assistant engine", m);
    if (m->slot[slot].failed)
        return no_help(x, "and the assistant engine did not start", m);
    if (!m->slot[slot].ready) {
        p->handover_due = true;
        machine_queue_work(m, open_assistant_item, NULL);
        return false;
    }
    p->handover_due = false;
    if (!p->resume && !begin_stretch(c, x, &left))
        return left;
    VmExit sx = { 0 };
    uint64_t done = 0;
    int64_t start = mclock_now(m->clock, CLOCK_KIND_HOST);
    c->assist->vcpu_step(c->assist_ec, &p->step, &sx, &done);
    c->stats.handover_insns += done;
    c->stats.assist_ns += (uint64_t)(mclock_now(m->clock, CLOCK_KIND_HOST) - start);
    if (!*c->groups_dirty)
        *c->groups_dirty = c->type->groups_all;
    /* Interrupted, or asleep until somebody wakes it: the engine would not run what comes next anyway. */
    p->step.at_once |= done > 0;
    p->resume = p->handover_due = machine_accel_traits(m) & ACCEL_USER_ONLY && p->step.until && (sx.kind == EXIT_NONE || sx.kind == EXIT_HALT);
    if (sx.kind == EXIT_HALT && p->resume) {
        *x = sx;
        return true;
    }
    /* HLT: the engine that owns the local APIC waits better than we do. */
    if (sx.kind == EXIT_STEPPED || sx.kind == EXIT_NONE || sx.kind == EXIT_HALT)
        return false;
    if (sx.kind == EXIT_EMULATION_FAILED)
        return no_help(x, "and the assistant engine does not know the instruction either", m);
    *x = sx;
    return true;
}

/* ---- full switch ---- */

void machine_set_switch_hook(Machine *m, MachineSwitchFn *fn, void *opaque)
{
    m->switch_hook = fn;
    m->switch_opaque = opaque;
}

static void sync_block(RamBlock *b, void *opaque)
{
    mem_pages_sync(b, 0, ram_block_size(b));
}

static bool switch_now(Machine *m, unsigned to, GError **err)
{
    unsigned from = m->current;
    if (!engine_open(m, to, err))
        return false;
    for (guint i = 0; i < m->vcpus->len; i++) {
        Vcpu *c = g_ptr_array_index(m->vcpus, i);
        if (!vcpu_state_need(c, c->type->groups_all, err))
            return false;
    }
    if (m->switch_hook && !m->switch_hook(m, m->slot[from].ops, m->slot[from].vm, m->slot[to].ops, m->slot[to].vm, m->switch_opaque, err))
        return false;
    /* What the old engine only logged is in the flags before the new one looks at them. */
    ram_block_foreach(m->mem, sync_block, NULL);
    m->current = to;
    if (m->slot[to].ops->guest_ran_elsewhere)
        m->slot[to].ops->guest_ran_elsewhere(m->slot[to].vm);
    for (guint i = 0; i < m->vcpus->len; i++) {
        Vcpu *c = g_ptr_array_index(m->vcpus, i);
        void *ec = c->ec;
        c->ec = c->assist_ec;
        c->accel = m->slot[to].ops;
        c->assist_ec = ec;
        c->assist = m->slot[from].ops;
        *c->groups_dirty = c->type->groups_all;
        c->priv->handover_due = c->priv->resume = false;
        c->stats.switches++;
        /* What was pending in the old engine's own queues is looked up again in the new one, by a sleeper too. */
        atomic_fetch_or(&c->events, VCPU_EV_INTR | VCPU_EV_FLUSH);
        vcpu_kick(c);
    }
    return true;
}

static void switch_item(Machine *m, void *opaque)
{
    GError *err = NULL;
    int want = atomic_exchange(&m->switch_wanted, 0);
    if (!want || m->current == (unsigned)want - 1)
        return;
    if (!switch_now(m, (unsigned)want - 1, &err)) {
        log_warn(m->cfg.log, "the machine stays on %s: %s", machine_accel_name(m), err ? err->message : "the other engine refused");
        g_clear_error(&err);
        return;
    }
    machine_post(m, &(MachineEvent){ .kind = MACHINE_EV_ACCEL });
}

void machine_request_switch(Machine *m, const AccelOps *accel)
{
    for (int i = 0; i < 2; i++)
        if (m->slot[i].ops && m->slot[i].ops == accel) {
            if (!atomic_exchange(&m->switch_wanted, i + 1))
                machine_queue_work(m, switch_item, NULL);
            return;
        }
}

static void switch_tick(void *opaque)
{
    Machine *m = opaque;
    const AccelOps *other = m->slot[m->current ^ 1].ops;
    if (m->switch_us && other) {
        if (machine_state(m) == MACHINE_RUNNING)
            machine_request_switch(m, other);
        timer_arm(m->switch_timer, mclock_now(m->clock, CLOCK_KIND_HOST) + (int64_t)m->switch_us * 1000);
    }
}

void machine_set_switch_period(Machine *m, unsigned us)
{
    m->switch_us = us;
    if (!m->switch_timer)
        m->switch_timer = timer_new(m->clock, CLOCK_KIND_HOST, NULL, switch_tick, m);
    switch_tick(m);
}

/* ---- choice ---- */

const AccelOps *accel_find(const AccelOps *const *registry, const char *name)
{
    for (; registry && *registry; registry++)
        if (!strcmp((*registry)->name, name))
            return *registry;
    return NULL;
}

const AccelOps *accel_auto(const AccelOps *const *registry, const AccelConfig *cfg, AccelInfo *ret_info, char **ret_reasons, GError **err)
{
    const AccelOps *best = NULL;
    g_autoptr(GString) reasons = g_string_new(NULL);
    for (; registry && *registry; registry++) {
        AccelInfo info = { 0 };
        GError *why = NULL;
        if (!(*registry)->probe(cfg, &info, &why)) {
            g_string_append_printf(reasons, "%s: %s\n", (*registry)->name, why->message);
            g_error_free(why);
            continue;
        }
        /* An engine that is slower than a translator for an ordinary guest stands behind every other. */
        bool better = !best || (ret_info->slow_kernel_code != info.slow_kernel_code ? ret_info->slow_kernel_code : (*registry)->priority > best->priority);
        const AccelOps *loser = better ? best : *registry;
        const AccelInfo *lost = better ? ret_info : &info;
        if (loser && lost->slow_kernel_code)
            g_string_append_printf(reasons, "%s: usable, but slower here for an ordinary kernel (-accel %s takes it all the same)\n", loser->name, loser->name);
        if (better) {
            best = *registry;
            *ret_info = info;
        }
    }
    if (!best)
        g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, "no engine can run here:\n%s", reasons->str);
    else if (ret_reasons)
        *ret_reasons = g_strdup(reasons->str);
    return best;
}
