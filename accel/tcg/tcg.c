/* The translator as an engine: its callbacks are the vCPU's view of the machine. */
#include "tcg/tcg.h"

#include <string.h>

#include "accel/tcg/guest.h"
#include "vmm/accel.h"
#include "vmm/clock.h"
#include "vmm/machine.h"
#include "vmm/vcpu.h"

/* Pages with translations, by RAM address: the page-flag hook reports those, translations are named by guest-physical address. */
typedef struct TcgVm {
    Machine *m;
    TcgContext *ctx;
    GMutex lock;
    GMutex step_lock;          /* as the assistant of an engine without ACCEL_TRAPS_CODE: one vCPU at a time, so that it may flush what all share */
    GHashTable *code_pages;    /* ram_addr page -> gpa page (uint64_t values in pointers' clothing: allocated) */
} TcgVm;

typedef struct TcgEc {
    TcgVm *vm;
    Vcpu *c;
    TcgCpu *cpu;
    const TcgGuest *guest;
    uint64_t flushes;          /* tcg_cpu_flushes that the engine we assist knows of */
} TcgEc;

static bool is_assistant(const TcgEc *ec) { return ec->c->accel != &accel_tcg; }

static AddressSpace *space_of(const TcgEc *ec)
{
    return ec->c->smm && ec->guest->in_smm(ec->c->state) ? ec->c->smm : ec->c->mem;
}

/* PAGE_CODE is all there is, and set for the translations of this very address. */
static bool only_code(TcgVm *vm, uint64_t gpa, uint64_t ram_addr)
{
    uint64_t page = ram_addr & ~(uint64_t)(TCG_PAGE_SIZE - 1);
    g_mutex_lock(&vm->lock);
    const uint64_t *known = g_hash_table_lookup(vm->code_pages, &page);
    bool yes = known && *known == (gpa & ~(uint64_t)(TCG_PAGE_SIZE - 1));
    g_mutex_unlock(&vm->lock);
    return yes;
}

static uint8_t *cb_page(void *opaque, uint64_t gpa, unsigned *ret_flags)
{
    TcgEc *ec = opaque;
    MemMap rd;
    const CpuIntcOps *intc = ec->c->intc.ops;
    *ret_flags = 0;
    if (intc && intc->mmio_page && intc->mmio_page(ec->c->intc.opaque) == (gpa & ~(uint64_t)(TCG_PAGE_SIZE - 1)))
        return NULL;
    if (!as_vcpu_translate(space_of(ec), gpa, false, &rd) || rd.len < TCG_PAGE_SIZE)
        return NULL;
    if (rd.readonly)           /* or written elsewhere: such ranges are cut out and marked (vmm/view.c) */
        *ret_flags |= TCG_PAGE_RO;
    else if (rd.flags) {
        uint8_t f = atomic_load_explicit(rd.flags, memory_order_relaxed);
        *ret_flags |= !f ? 0 : f == PAGE_CODE && only_code(ec->vm, gpa, rd.ram_addr) ? TCG_PAGE_TRACK | TCG_PAGE_ONLY_CODE : TCG_PAGE_TRACK;
    }
    return rd.host;
}

static void cb_page_code(void *opaque, uint64_t gpa, bool armed)
{
    TcgEc *ec = opaque;
    MemMap map;
    if (!as_translate(space_of(ec), gpa, false, &map))
        return;
    uint64_t off = map.ram_addr - ram_block_addr(map.ram);
    g_mutex_lock(&ec->vm->lock);
    if (armed)
        g_hash_table_insert(ec->vm->code_pages, g_memdup2(&map.ram_addr, 8), g_memdup2(&gpa, 8));
    else
        g_hash_table_remove(ec->vm->code_pages, &map.ram_addr);
    g_mutex_unlock(&ec->vm->lock);
    if (armed)
        mem_pages_arm(map.ram, PAGE_CODE, off, TCG_PAGE_SIZE);
    else
        mem_pages_disarm(map.ram, PAGE_CODE, off, TCG_PAGE_SIZE);
}

typedef struct WholePage { TcgVm *vm; RamBlock *b; uint64_t ram_addr; } WholePage;

static void page_released(void *opaque)
{
    const WholePage *w = opaque;
    g_mutex_lock(&w->vm->lock);
    g_hash_table_remove(w->vm->code_pages, &w->ram_addr);
    g_mutex_unlock(&w->vm->lock);
    mem_pages_disarm(w->b, PAGE_CODE, w->ram_addr - ram_block_addr(w->b), TCG_PAGE_SIZE);
}

/* Somebody (DMA, another alias of the page, another engine) writes a page with translations. */
static void code_hook(void *opaque, RamBlock *b, uint64_t offset, uint64_t len)
{
    TcgVm *vm = opaque;
    uint64_t end = offset + len;
    while (offset < end) {
        uint64_t page = (ram_block_addr(b) + offset) & ~(uint64_t)(TCG_PAGE_SIZE - 1);
        uint64_t stop = MIN((offset | (TCG_PAGE_SIZE - 1)) + 1, end);
        g_mutex_lock(&vm->lock);
        const uint64_t *gpa = g_hash_table_lookup(vm->code_pages, &page);
        uint64_t at = gpa ? *gpa + (offset & (TCG_PAGE_SIZE - 1)) : 0;
        g_mutex_unlock(&vm->lock);
        if (gpa)
            tcg_invalidate_range(vm->ctx, at, stop - offset);
        if (gpa && stop - offset == TCG_PAGE_SIZE)     /* nothing of it is left */
            tcg_release_page(vm->ctx, at, page_released, &(WholePage){ vm, b, page });
        offset = stop;
    }
}

static void cb_page_written(void *opaque, uint64_t gpa, unsigned len)
{
    TcgEc *ec = opaque;
    MemMap map;
    if (!as_vcpu_translate(space_of(ec), gpa, true, &map))
        return;
    uint64_t off = map.ram_addr - ram_block_addr(map.ram);
    /* For user code such a write is a whole hand-over (ACCEL_TRAPS_CODE): let go of the page, more writes will come. */
    if (is_assistant(ec) && ec->c->type->in_user && ec->c->type->in_user(ec->c->state))
        mem_pages_written(map.ram, off & ~(uint64_t)(TCG_PAGE_SIZE - 1), TCG_PAGE_SIZE);
    else
        mem_pages_written(map.ram, off, len);
}

static void mmio(TcgEc *ec, uint64_t gpa, unsigned size, bool write, uint64_t *val)
{
    bool leave;
    MemResult r = vcpu_mmio(ec->c, gpa, size, write, val, &leave);
    if (leave)
        tcg_cpu_kick(ec->cpu);
    if (r == MEM_DECODE_ERROR)
        tcg_io_refused(ec->cpu);
}

static uint64_t cb_io_read(void *opaque, uint64_t gpa, unsigned size)
{
    uint64_t v = 0;
    mmio(opaque, gpa, size, false, &v);
    return v;
}

static void cb_io_write(void *opaque, uint64_t gpa, uint64_t value, unsigned size) { mmio(opaque, gpa, size, true, &value); }

static uint64_t port(TcgEc *ec, uint16_t port, unsigned size, bool write, uint64_t value)
{
    VmExit x = { .kind = EXIT_PIO, .write = write, .size = (uint8_t)size, .addr = port, .value = value };
    if (vcpu_io(ec->c, &x))
        tcg_cpu_kick(ec->cpu);
    return x.value;
}

static uint64_t cb_port_in(void *opaque, uint16_t at, unsigned size) { return port(opaque, at, size, false, 0); }
static void cb_port_out(void *opaque, uint16_t at, uint64_t value, unsigned size) { port(opaque, at, size, true, value); }

bool tcg_intc_read(Vcpu *c, uint32_t reg, uint64_t *ret)
{
    const CpuIntcOps *ops = c->intc.ops;
    return ops && ops->msr_read && ops->msr_read(c->intc.opaque, reg, ret);
}

bool tcg_intc_write(Vcpu *c, uint32_t reg, uint64_t value)
{
    const CpuIntcOps *ops = c->intc.ops;
    return ops && ops->msr_write && ops->msr_write(c->intc.opaque, reg, value);
}

static bool cb_sysreg_read(void *opaque, uint32_t reg, uint64_t *ret)
{
    TcgEc *ec = opaque;
    return ec->guest->sysreg_read(ec->c, reg, ret);
}

static bool cb_sysreg_write(void *opaque, uint32_t reg, uint64_t value)
{
    TcgEc *ec = opaque;
    return ec->guest->sysreg_write(ec->c, reg, value);
}

static bool cb_irq_pending(void *opaque)
{
    TcgEc *ec = opaque;
    return ec->c->intc.ops && ec->c->intc.ops->pending(ec->c->intc.opaque);
}

static int cb_irq_ack(void *opaque)
{
    TcgEc *ec = opaque;
    return ec->c->intc.ops ? ec->c->intc.ops->ack(ec->c->intc.opaque) : -1;
}

static uint64_t cb_time_counter(void *opaque)
{
    TcgEc *ec = opaque;
    return mclock_host_tsc() + (ec->guest->tsc_offset ? ec->guest->tsc_offset(ec->c->state) : 0);
}

static const TcgCallbacks callbacks = {
    .page = cb_page, .page_code = cb_page_code, .page_written = cb_page_written, .io_read = cb_io_read, .io_write = cb_io_write,
    .port_in = cb_port_in, .port_out = cb_port_out, .sysreg_read = cb_sysreg_read, .sysreg_write = cb_sysreg_write,
    .irq_pending = cb_irq_pending, .irq_ack = cb_irq_ack, .time_counter = cb_time_counter,
};

/* ---- the engine ---- */
static bool tcg_probe_host(const AccelConfig *cfg, AccelInfo *ret, GError **err)
{
    (void)cfg;
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("bmi2")) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_NOSYS, "tcg: this host CPU lacks AVX2 or BMI2, which the translator's back end needs");
        return false;
    }
    if (ret) {
        memset(ret, 0, sizeof(*ret));
        g_strlcpy(ret->line, "tcg: dynamic translation, no hardware support needed", sizeof(ret->line));
    }
    return true;
}

static bool tcg_vm_init(Machine *m, const AccelConfig *cfg, void **ret_vm, GError **err)
{
    /* Beside another engine: what it leaves to us is the guest's kernel at most. A full 10 MiB, with what belongs to it, stays under 40 MiB beyond guest RAM. */
    uint64_t beside = machine_accel(m) != &accel_tcg ? 10 << 20 : 0;
    TcgConfig config = { .cache_size = cfg->tb_cache_bytes ? cfg->tb_cache_bytes : beside, .tier = (TcgTier)cfg->tier, .worker = TCG_WORKER_SPARE, .log = machine_log(m), .ticks = mclock_host_tsc,
                         .others = MAX(machine_config(m)->max_vcpus, machine_config(m)->n_vcpus) > 1 ? IR_OTHERS : IR_ONE_CPU };
    TcgContext *ctx = tcg_new(&config, err);
    if (!ctx)
        return false;
    TcgVm *vm = g_new0(TcgVm, 1);
    vm->m = m;
    vm->ctx = ctx;
    g_mutex_init(&vm->lock);
    g_mutex_init(&vm->step_lock);
    vm->code_pages = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
    mem_pages_set_hook(machine_mem(m), PAGE_CODE, code_hook, vm);
    *ret_vm = vm;
    return true;
}

static void tcg_vm_fini(void *opaque)
{
    TcgVm *vm = opaque;
    mem_pages_set_hook(machine_mem(vm->m), PAGE_CODE, NULL, NULL);
    tcg_free(vm->ctx);
    g_hash_table_unref(vm->code_pages);
    g_mutex_clear(&vm->lock);
    g_mutex_clear(&vm->step_lock);
    g_free(vm);
}

typedef struct Views { const FlatView *old, *now; } Views;

/* Where the page that code is fetched from is on the host; NULL: not RAM. */
static const uint8_t *code_host(const FlatView *v, uint64_t gpa)
{
    unsigned lo = 0, hi = v->n_rd;
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        if (v->rd[mid].last < gpa)
            lo = mid + 1;
        else
            hi = mid;
    }
    const FlatRange *r = lo < v->n_rd && v->rd[lo].start <= gpa ? &v->rd[lo] : NULL;
    return r && r->ram && r->last - gpa >= TCG_PAGE_SIZE - 1 ? r->host + (gpa - r->start) : NULL;
}

static bool same_page(void *opaque, uint64_t gpa)
{
    const Views *v = opaque;
    return code_host(v->old, gpa) == code_host(v->now, gpa);
}

/* Devices that come and go, or move, leave translations alone. */
static void tcg_memory_changed(void *opaque, AddressSpace *as, const FlatView *old, const FlatView *new_view)
{
    TcgVm *vm = opaque;
    Views views = { old, new_view };
    (void)as;
    tcg_remapped(vm->ctx, same_page, &views);
}

static void tcg_pages_revoke(void *opaque, PageClient client, uint64_t ram_addr, uint64_t len)
{
    TcgVm *vm = opaque;
    (void)ram_addr;
    (void)len;
    if (client != PAGE_CODE)   /* ours: the translator has seen to it */
        tcg_revoke_all_writes(vm->ctx);
}

static bool tcg_vcpu_init(void *opaque, Vcpu *c, void **ret_ec, GError **err)
{
    const TcgGuest *guest = tcg_guest_find(c->type->name);
    if (!guest) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_NOSYS, "tcg: no translator for guest CPU '%s'", c->type->name);
        return false;
    }
    TcgEc *ec = g_new0(TcgEc, 1);
    ec->vm = opaque;
    ec->c = c;
    ec->guest = guest;
    ec->cpu = tcg_cpu_new(ec->vm->ctx, guest->isa, c->state, &callbacks, ec);
    *ret_ec = ec;
    return true;
}

static void tcg_vcpu_fini(void *opaque)
{
    TcgEc *ec = opaque;
    tcg_cpu_free(ec->cpu);
    g_free(ec);
}

static ExitKind exit_of(TcgLeave why)
{
    switch (why) {
    case TCG_LEAVE_HALTED: return EXIT_HALT;
    case TCG_LEAVE_SHUTDOWN: return EXIT_SHUTDOWN;
    case TCG_LEAVE_DEBUG: return EXIT_DEBUG;
    case TCG_LEAVE_STEPPED: return EXIT_STEPPED;
    default: return EXIT_NONE;
    }
}

static void take_events(TcgEc *ec)
{
    uint32_t ev = vcpu_events_take(ec->c, ~0u);
    if (ev & (VCPU_EV_NMI | VCPU_EV_SMI | VCPU_EV_INIT | VCPU_EV_SIPI))
        ec->guest->take_events(ec->c, ev);
}

static void tcg_vcpu_run(void *opaque, VmExit *x)
{
    TcgEc *ec = opaque;
    for (;;) {
        take_events(ec);
        if (vcpu_must_leave(ec->c)) {
            x->kind = EXIT_NONE;
            return;
        }
        TcgLeave why = tcg_cpu_run(ec->cpu, 0);
        if (why == TCG_LEAVE_KICKED)
            continue;
        x->kind = exit_of(why);
        return;
    }
}

static void tcg_guest_ran_elsewhere(void *opaque)
{
    TcgVm *vm = opaque;
    tcg_flush_mappings(vm->ctx);
}

/* One turn of the translator under @limit, *done instructions of which are behind us. */
static TcgLeave step_on(TcgEc *ec, const VcpuStep *limit, uint64_t *done)
{
    enum { CHUNK = 256 };
    if (limit->until && (*done || limit->at_once))
        return tcg_cpu_run_until(ec->cpu, limit->until, limit->opaque);
    uint64_t before = tcg_cpu_steps(ec->cpu), n = limit->until ? 1 : MIN(limit->max_insns - *done, (uint64_t)CHUNK);
    TcgLeave why = tcg_cpu_run(ec->cpu, n);
    *done += tcg_cpu_steps(ec->cpu) - before - (why == TCG_LEAVE_KICKED);
    return why;
}

static void step(TcgEc *ec, const VcpuStep *limit, VmExit *x, uint64_t *ret_done)
{
    uint64_t done = 0;
    for (;;) {
        x->kind = EXIT_NONE;
        take_events(ec);
        if (vcpu_must_leave(ec->c))
            break;
        bool alone = limit->until && (done || limit->at_once);
        TcgLeave why = step_on(ec, limit, &done);
        if (why == TCG_LEAVE_KICKED)
            continue;
        x->kind = exit_of(why);
        if (why != TCG_LEAVE_STEPPED || alone || (!limit->until && done >= limit->max_insns))
            break;
    }
    *ret_done = done;
    /* Flushes of the guest are the other engine's business too. */
    if (is_assistant(ec) && tcg_cpu_flushes(ec->cpu) != ec->flushes && (x->kind == EXIT_STEPPED || !limit->until)) {
        ec->flushes = tcg_cpu_flushes(ec->cpu);
        ec->guest->state_written(ec->c);
    }
    *ec->c->groups_dirty |= ec->c->type->groups_all;
}

/*
 * As the assistant of an engine that shows us no writes to translated code, translations from the last time may be of bytes that are there
 * no more. No vCPU runs here except under step_lock then, so everything can go. A debugger's step on our own machine needs none of this.
 */
static void tcg_vcpu_step(void *opaque, const VcpuStep *limit, VmExit *x, uint64_t *ret_done)
{
    TcgEc *ec = opaque;
    bool blind = is_assistant(ec) && !(machine_accel_traits(ec->c->machine) & ACCEL_TRAPS_CODE);
    if (blind) {
        g_mutex_lock(&ec->vm->step_lock);
        tcg_flush_mappings(ec->vm->ctx);
    }
    step(ec, limit, x, ret_done);
    if (blind)
        g_mutex_unlock(&ec->vm->step_lock);
}

static void tcg_vcpu_kick(void *opaque)
{
    TcgEc *ec = opaque;
    tcg_cpu_kick(ec->cpu);
}

/* The state is the struct itself. */
static bool tcg_state_out(void *opaque, uint32_t groups, GError **err)
{
    TcgEc *ec = opaque;
    (void)err;
    *ec->c->groups_valid |= groups;
    return true;
}

static bool tcg_state_in(void *opaque, uint32_t groups, GError **err)
{
    TcgEc *ec = opaque;
    (void)err;
    *ec->c->groups_dirty &= ~groups;
    ec->guest->state_written(ec->c);
    return true;
}

static void stats_line(GString *out, const char *name, uint64_t n) { g_string_append_printf(out, "%s %llu\n", name, (unsigned long long)n); }

/* Hits are known where translated code counts (-d stats). */
static void stats_hits(GString *out, const char *name, uint64_t misses, uint64_t of)
{
    if (of)
        g_string_append_printf(out, "%s %.3f %% of %llu\n", name, 100.0 - 100.0 * (double)MIN(misses, of) / (double)of, (unsigned long long)of);
}

static char *tcg_stats_text(void *opaque)
{
    TcgVm *vm = opaque;
    TcgStats s;
    tcg_stats(vm->ctx, &s);
    g_autofree char *calls = tcg_helper_stats(vm->ctx, 40);
    GString *out = g_string_new(NULL);
    stats_line(out, "translations", s.translations);
    stats_line(out, "regions (tier 2)", s.regions);
    stats_line(out, "guest instructions in regions", s.region_insns);
    stats_line(out, "units too long for the back end", s.halved);
    stats_line(out, "guest instructions translated", s.guest_insns);
    stats_line(out, "code bytes", s.code_bytes);
    g_string_append_printf(out, "milliseconds spent translating %.1f\n",
                           (double)mclock_ticks_to_ns(s.translate_ticks, mclock_tsc_hz(machine_clock(vm->m))) / 1e6);
    stats_line(out, "cache flushes", s.cache_flushes);
    g_string_append_printf(out, "invalidations %llu, taken back %llu\n", (unsigned long long)s.invalidations, (unsigned long long)s.revivals);
    stats_line(out, "tlb misses", s.tlb_misses);
    stats_hits(out, "tlb hits", s.tlb_misses, s.lookups);
    stats_line(out, "tlb flushes", s.tlb_flushes);
    stats_line(out, "jump cache misses", s.jump_misses);
    stats_hits(out, "jump cache hits", s.jump_misses, s.jumps);
    stats_line(out, "run loop entries", s.run_entries);
    stats_line(out, "device accesses restarted", s.io_reexec);
    g_string_append(out, calls ? calls : "");
    return g_string_free(out, FALSE);
}

const AccelOps accel_tcg = {
    .name = "tcg", .priority = 10, .isa = NULL, .probe = tcg_probe_host, .vm_init = tcg_vm_init, .vm_fini = tcg_vm_fini,
    .memory_changed = tcg_memory_changed, .guest_ran_elsewhere = tcg_guest_ran_elsewhere, .pages_revoke = tcg_pages_revoke, .vcpu_init = tcg_vcpu_init, .vcpu_fini = tcg_vcpu_fini,
    .vcpu_run = tcg_vcpu_run, .vcpu_step = tcg_vcpu_step, .vcpu_kick = tcg_vcpu_kick, .state_out = tcg_state_out, .state_in = tcg_state_in,
    .stats = tcg_stats_text,
};
