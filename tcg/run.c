/* The run loop of a vCPU, contexts, kicks. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "tcg/tcg-internal.h"

static const uint64_t PAGE_MASK = ~(uint64_t)(TCG_PAGE_SIZE - 1);
enum { CACHE_DEFAULT = 256 << 20, GEN_LIMIT = 1 << 20, MODE_BITS = 12, LEAVE_FPE = -2, LEAVE_FAULT = -3, LEAVE_JUMP = 0x100 };

/* ---- host arithmetic traps ---- */
/* The vCPU whose code runs on this thread: a signal handler has nothing else to go by. */
static __thread TcgCpu *running;

/* Out of a signal handler into the run loop of the thread. */
static void leave_signal(TcgCpu *cpu, const ucontext_t *uc, int why) __attribute__((noreturn));
static void leave_signal(TcgCpu *cpu, const ucontext_t *uc, int why)
{
    if (cpu->ctx->host->vectors)
        cpu->ctx->host->vectors(cpu, uc);
    if (cpu->isa->fpenv_offset)
        *(uint32_t *)((uint8_t *)cpu->state + cpu->isa->fpenv_offset) = uc->uc_mcontext.fpregs->mxcsr;
    __asm__ volatile("ldmxcsr %0" : : "m"(cpu->env->host_mxcsr));
    if (cpu->isa->fpu_signal)
        cpu->isa->fpu_signal(cpu, uc->uc_mcontext.fpregs);
    tcg_sync_pc(cpu);
    cpu->env->in_code = false;
    cpu->leave_why = why;
    _longjmp(cpu->leave_jmp, 1);
}

/* The guest unmasked a floating-point exception and met it. Units of such a mode settle all state before each instruction. */
static void on_fpe(int sig, siginfo_t *si, void *opaque)
{
    TcgCpu *cpu = running;
    if (cpu && cpu->env->in_code && cpu->isa->fpe_fault) {
        cpu->fpe_code = si->si_code;
        leave_signal(cpu, opaque, LEAVE_FPE);
    }
    struct sigaction dfl = { .sa_handler = SIG_DFL };
    sigaction(sig, &dfl, NULL);      /* our own defect: die of it when the instruction runs again */
}

/* ---- direct memory: host faults are the guest's ---- */
bool tcg_host_signal(int sig, const void *siginfo, void *ucontext)
{
    TcgCpu *cpu = running;
    const siginfo_t *si = siginfo;
    const ucontext_t *uc = ucontext;
    if (!cpu || !cpu->env->in_code || si->si_code <= 0)
        return false;
    int64_t off;
    bool rmw = false;
    if (cpu->ctx->host->fault && cpu->ctx->host->fault(cpu, uc, sig != SIGFPE, &off, &rmw))
        cpu->env->cur_off = (int32_t)off;
    if (sig == SIGFPE) {
        cpu->fpe_code = si->si_code;
        leave_signal(cpu, uc, LEAVE_FPE);
    }
    uint64_t va = (uint64_t)(uintptr_t)si->si_addr - cpu->ctx->config.direct_base;
    bool write = uc->uc_mcontext.gregs[REG_ERR] & 2;
    if (sig == SIGSEGV && write && cpu->cb->write_ok(cpu->opaque, va)) {
        if (tcg_page_written(cpu, va) && !cpu->cur_block->one_insn) {   /* code is made of it, the running instruction too */
            cpu->one_insn = true;
            leave_signal(cpu, uc, -1);
        }
        return true;
    }
    cpu->fault_va = va;
    cpu->fault_access = write || rmw ? TCG_WRITE : TCG_READ;
    leave_signal(cpu, uc, LEAVE_FAULT);
}

static void catch_fpe(void)
{
    /* SA_NODEFER: the handler leaves by longjmp */
    struct sigaction sa = { .sa_sigaction = on_fpe, .sa_flags = SA_SIGINFO | SA_NODEFER }, old;
    /* a sanitizer's handler, which only reports, gives way too */
    if (sigaction(SIGFPE, NULL, &old) || !(old.sa_flags & SA_SIGINFO) || old.sa_sigaction != on_fpe)
        sigaction(SIGFPE, &sa, NULL);
}

/* ---- contexts ---- */
/* perf looks into its map for memory that is no file's, which one memory's two views can be, too (mremap(2): old_size 0). */
static bool map_for_perf(TcgContext *ctx)
{
    void *rw = mmap(NULL, ctx->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    void *rx = rw == MAP_FAILED ? MAP_FAILED : mremap(rw, 0, ctx->size, MREMAP_MAYMOVE);
    ctx->rw = rw == MAP_FAILED ? NULL : rw;
    ctx->rx = rx == MAP_FAILED || mprotect(rx, ctx->size, PROT_READ | PROT_EXEC) ? NULL : rx;
    return ctx->rw && ctx->rx;
}

static bool map_cache(TcgContext *ctx, GError **err)
{
    ctx->size = ctx->config.cache_size ? ctx->config.cache_size : CACHE_DEFAULT;
    if (ctx->config.direct) {
        void *p = mmap(NULL, ctx->size, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED) {
            g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_NOMEM, "no memory for the code cache (%zu MiB): %s", ctx->size >> 20, g_strerror(errno));
            return false;
        }
        ctx->rw = ctx->rx = p;
        return true;
    }
    if (log_on(ctx->config.log, LOG_PERF) && map_for_perf(ctx))
        return true;
    int fd = memfd_create("tandem-code", MFD_CLOEXEC);
    if (fd >= 0 && !ftruncate(fd, (off_t)ctx->size)) {
        void *rw = mmap(NULL, ctx->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        void *rx = mmap(NULL, ctx->size, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
        ctx->rw = rw == MAP_FAILED ? NULL : rw;
        ctx->rx = rx == MAP_FAILED ? NULL : rx;
    }
    int e = errno;
    if (fd >= 0)
        close(fd);
    if (ctx->rw && ctx->rx)
        return true;
    g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_NOMEM, "no memory for the code cache (%zu MiB): %s", ctx->size >> 20, g_strerror(e));
    return false;
}

TcgContext *tcg_new(const TcgConfig *config, GError **err)
{
    if (!config->direct)
        catch_fpe();
    TcgContext *ctx = g_new0(TcgContext, 1);
    ctx->config = *config;
    ctx->host = config->tier == TCG_TIER_INTERP ? &tcg_host_interp : &tcg_host_x86_64;
    pthread_mutex_init(&ctx->lock, NULL);
    pthread_rwlockattr_t attr;
    pthread_rwlockattr_init(&attr);
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&ctx->run_lock, &attr);
    pthread_rwlockattr_destroy(&attr);
    ctx->hash = g_new0(TcgBlock *, BLOCK_HASH);
    ctx->pages = g_new0(CodePage *, PAGE_HASH);
    ctx->links = g_new0(TcgLink, LINK_MAX);
    ctx->n_links = 1;
    ctx->ir_buf = g_new0(IrInsn, IR_MAX_INSNS + 1);
    ctx->no_ram = g_malloc(TCG_PAGE_SIZE);
    memset(ctx->no_ram, 0xff, TCG_PAGE_SIZE);
    ctx->host_vops = config->plain_vops ? 0 : tcg_host_vops();
    ctx->no_jumps = tcg_jumps_new();
    ctx->cpus = g_ptr_array_new();
    ctx->blocks = g_ptr_array_new();
    ctx->meta = g_ptr_array_new();
    ctx->n_modes = 1;
    ctx->others = config->others;
    ctx->host_cpus = g_get_num_processors();
    if (config->worker && !config->direct && config->tier == TCG_TIER_AUTO)
        ctx->worker = tcg_worker_new();
    if (!map_cache(ctx, err)) {
        tcg_free(ctx);
        return NULL;
    }
    return ctx;
}

void tcg_free(TcgContext *ctx)
{
    if (!ctx)
        return;
    tcg_worker_free(ctx->worker);
    tcg_flush_code(ctx);
    if (ctx->host->free)
        ctx->host->free(ctx);
    if (ctx->rw)
        munmap(ctx->rw, ctx->size);
    if (ctx->rx && ctx->rx != ctx->rw)
        munmap(ctx->rx, ctx->size);
    g_free(ctx->hash);
    g_free(ctx->pages);
    g_free(ctx->links);
    g_free(ctx->ir_buf);
    g_free(ctx->no_ram);
    g_free(ctx->no_jumps);
    tcg_fork_free(ctx);
    g_free(ctx->calls);
    g_ptr_array_free(ctx->cpus, TRUE);
    g_ptr_array_free(ctx->blocks, TRUE);
    g_ptr_array_free(ctx->meta, TRUE);
    pthread_mutex_destroy(&ctx->lock);
    pthread_rwlock_destroy(&ctx->run_lock);
    g_free(ctx);
}

TcgCpu *tcg_cpu_new(TcgContext *ctx, const GuestIsa *isa, void *state, const TcgCallbacks *cb, void *opaque)
{
    g_assert(sizeof(TcgEnv) <= isa->state_size - isa->xlat_offset);
    TcgCpu *cpu = g_new0(TcgCpu, 1);
    cpu->ctx = ctx;
    cpu->isa = isa;
    cpu->state = state;
    cpu->env = (TcgEnv *)((uint8_t *)state + isa->xlat_offset);
    cpu->cb = cb;
    cpu->opaque = opaque;
    memset(cpu->env, 0, sizeof(*cpu->env));
    cpu->env->cpu = cpu->of = cpu;
    pthread_mutex_init(&cpu->asked_lock, NULL);
    for (unsigned n = 0; n < HOT_SLOTS; n++)
        cpu->env->hot[n] = HOT_START;
    cpu->env->jc = ctx->no_jumps->e;
    pthread_mutex_lock(&ctx->lock);
    if (!ctx->isa) {
        ctx->isa = isa;
        if (log_on(ctx->config.log, LOG_STATS))
            ctx->calls = g_new0(uint64_t, isa->n_helpers + COUNTS);
        if (!ctx->host->init(ctx, isa))
            ctx->broken = true;
    }
    if (ctx->calls)
        cpu->env->calls = g_new0(uint64_t, isa->n_helpers + COUNTS);
    g_ptr_array_add(ctx->cpus, cpu);
    cpu->n_spaces = ctx->config.direct ? 1 : TLB_SPACES;
    for (unsigned n = 0; n < cpu->n_spaces; n++) {
        cpu->spaces[n] = g_new0(TlbSpace, 1);   /* memory that is not touched before it is needed */
        cpu->spaces[n]->n_filled = TLB_FILLED + 1;
        cpu->spaces[n]->regimes = ~0u;
        cpu->spaces[n]->ctx_gen = tcg_new_gen(ctx);
    }
    tcg_space_drop(cpu, cpu->spaces[0]);
    cpu->spaces[0]->valid = true;
    cpu->env->tlb = tcg_space_entries(cpu->spaces[0]);
    cpu->super_gen = tcg_new_gen(ctx);
    cpu->phys_gen = 1;
    pthread_mutex_unlock(&ctx->lock);
    return cpu;
}

void tcg_cpu_free(TcgCpu *cpu)
{
    if (!cpu)
        return;
    pthread_mutex_lock(&cpu->ctx->lock);
    g_ptr_array_remove(cpu->ctx->cpus, cpu);
    for (unsigned n = 0; cpu->env->calls && n < cpu->isa->n_helpers + COUNTS; n++)
        cpu->ctx->calls[n] += cpu->env->calls[n];
    g_free(cpu->env->calls);
    pthread_mutex_unlock(&cpu->ctx->lock);
    pthread_mutex_destroy(&cpu->asked_lock);
    for (unsigned n = 0; n < cpu->n_spaces; n++)
        g_free(cpu->spaces[n]);
    tcg_jumps_free(cpu);
    g_free(cpu);
}

void *tcg_cpu_state(TcgCpu *cpu) { return cpu->state; }
TCG_CALL_PATH const TcgCallbacks *tcg_cpu_callbacks(TcgCpu *cpu) { return cpu->cb; }
TCG_CALL_PATH void *tcg_cpu_opaque(TcgCpu *cpu) { return cpu->opaque; }
TcgContext *tcg_cpu_context(TcgCpu *cpu) { return cpu->ctx; }
Log *tcg_cpu_log(TcgCpu *cpu) { return cpu->ctx->config.log; }
TCG_CALL_PATH TcgCpu *tcg_cpu_from_xlat(void *xlat) { return ((TcgEnv *)xlat)->cpu; }

static uint64_t calls_of(const TcgCpu *cpu, unsigned what)
{
    return cpu->env->calls ? __atomic_load_n(&cpu->env->calls[cpu->isa->n_helpers + what], __ATOMIC_RELAXED) : 0;
}

void tcg_stats(TcgContext *ctx, TcgStats *ret)
{
    pthread_mutex_lock(&ctx->lock);
    *ret = ctx->stats;
    for (unsigned n = 0; n < ctx->cpus->len; n++) {
        const TcgCpu *cpu = ctx->cpus->pdata[n];
        ret->tlb_misses += cpu->stats.tlb_misses;
        ret->tlb_flushes += cpu->stats.tlb_flushes;
        ret->jump_misses += cpu->stats.jump_misses;
        ret->run_entries += cpu->stats.run_entries;
        ret->io_reexec += cpu->stats.io_reexec;
        ret->jumps += calls_of(cpu, COUNT_JUMP);
        ret->lookups += calls_of(cpu, COUNT_LOOKUP);
    }
    if (ctx->calls) {
        ret->jumps += ctx->calls[ctx->isa->n_helpers + COUNT_JUMP];
        ret->lookups += ctx->calls[ctx->isa->n_helpers + COUNT_LOOKUP];
    }
    pthread_mutex_unlock(&ctx->lock);
}

typedef struct CallCount { const char *name; uint64_t n; } CallCount;

static int more_calls(const void *a, const void *b)
{
    const CallCount *x = a, *y = b;
    return x->n < y->n ? 1 : x->n > y->n ? -1 : 0;
}

char *tcg_helper_stats(TcgContext *ctx, unsigned max)
{
    static const char *const slow[COUNTS] = { [COUNT_LD] = "slow load", [COUNT_ST] = "slow store", [COUNT_RMW] = "slow atomic", [COUNT_NATIVE_LD] = "slow x87 load",
                                              [COUNT_NATIVE_ST] = "slow x87 store", [COUNT_NATIVE_LOAD] = "x87 state load", [COUNT_DIV] = "slow division", [COUNT_FILL] = "slow look-up" };
    if (!ctx->calls)
        return NULL;
    unsigned n_helpers = ctx->isa->n_helpers, total = n_helpers + COUNTS;
    GString *out = g_string_new(NULL);
    pthread_mutex_lock(&ctx->lock);
    g_autofree CallCount *list = g_new0(CallCount, total);
    for (unsigned n = 0; n < total; n++) {
        list[n] = (CallCount){ n < n_helpers ? ctx->isa->helpers[n].name : slow[n - n_helpers], ctx->calls[n] };
        for (unsigned c = 0; c < ctx->cpus->len; c++)
            list[n].n += __atomic_load_n(&((TcgCpu *)ctx->cpus->pdata[c])->env->calls[n], __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(&ctx->lock);
    qsort(list, total, sizeof(list[0]), more_calls);
    for (unsigned n = 0; n < total && n < max && list[n].n; n++)
        if (list[n].name)
            g_string_append_printf(out, "helper %-16s %llu\n", list[n].name, (unsigned long long)list[n].n);
    return g_string_free(out, FALSE);
}

/* ---- kicks ---- */
void tcg_cpu_poke(TcgCpu *cpu)
{
    __atomic_store_n(&cpu->env->exit_request, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&cpu->env->ctx_id, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&cpu->env->jc, cpu->ctx->no_jumps->e, __ATOMIC_SEQ_CST);
}

void tcg_poke_others(TcgContext *ctx, const TcgCpu *but)
{
    for (unsigned n = 0; n < ctx->cpus->len; n++)
        if (ctx->cpus->pdata[n] != but)
            tcg_cpu_poke(ctx->cpus->pdata[n]);
}

void tcg_cpu_kick(TcgCpu *cpu)
{
    __atomic_store_n(&cpu->kicked, 1, __ATOMIC_SEQ_CST);
    tcg_cpu_poke(cpu);
}

/* ---- leaving ---- */
TCG_CALL_PATH void tcg_run_lock(TcgContext *ctx)
{
    pthread_rwlock_rdlock(&ctx->run_lock);
}

TCG_CALL_PATH void tcg_run_unlock(TcgContext *ctx)
{
    pthread_rwlock_unlock(&ctx->run_lock);
}

TCG_CALL_PATH void tcg_sync_pc(TcgCpu *cpu)
{
    if (cpu->env->in_code)
        cpu->isa->set_pc_from_linear(cpu->state, cpu_pc_base(cpu) + (uint64_t)(int64_t)cpu->env->cur_off);
}

static void out_of_code(TcgCpu *cpu)
{
    tcg_world_enter(cpu);      /* the guest's FP environment goes back to the state */
    cpu->env->in_code = false;
}

void tcg_leave(TcgCpu *cpu)
{
    if (cpu->env->in_code)
        out_of_code(cpu);
    cpu->leave_why = -1;
    _longjmp(cpu->leave_jmp, 1);
}

void tcg_leave_with(TcgCpu *cpu, TcgLeave why)
{
    if (cpu->env->in_code)
        out_of_code(cpu);
    cpu->leave_why = (int)why;
    _longjmp(cpu->leave_jmp, 1);
}

TCG_CALL_PATH void tcg_outside_begin(TcgCpu *cpu)
{
    tcg_world_enter(cpu);
    cpu->env->in_code = false;
    tcg_run_unlock(cpu->ctx);
}

TCG_CALL_PATH void tcg_outside_end(TcgCpu *cpu)
{
    tcg_run_lock(cpu->ctx);
    if (cpu->code_generation != cpu->ctx->generation || __atomic_load_n(&cpu->env->exit_request, __ATOMIC_SEQ_CST)) {
        cpu->leave_why = -1;
        _longjmp(cpu->leave_jmp, 1);
    }
    cpu->env->in_code = true;
    tcg_world_leave(cpu);
}

void tcg_need_alone(TcgCpu *cpu)
{
    if (cpu->alone || !cpu->env->in_code || cpu->ctx->cpus->len < 2 || cpu->ctx->config.direct)
        return;
    tcg_sync_pc(cpu);
    cpu->want_alone = cpu->one_insn = true;
    tcg_leave(cpu);
}

/* ---- contexts of translated code ---- */
static unsigned mode_number(TcgCpu *cpu, uint64_t mode)
{
    TcgContext *ctx = cpu->ctx;
    unsigned slot = (unsigned)(mode * 0x9e3779b97f4a7c15ull >> 58), n;
    if (cpu->mode_cache_no[slot] && cpu->mode_cache[slot] == mode)
        return cpu->mode_cache_no[slot];
    pthread_mutex_lock(&ctx->lock);
    for (n = 1; n < ctx->n_modes && ctx->modes[n] != mode; n++)
        ;
    if (n == ctx->n_modes && n < MODE_MAX - 1)
        ctx->modes[ctx->n_modes++] = mode;
    pthread_mutex_unlock(&ctx->lock);
    cpu->mode_cache[slot] = mode;
    cpu->mode_cache_no[slot] = (uint16_t)n;
    return n;                  /* MODE_MAX - 1 and beyond: shared by the rest, see below */
}

void tcg_mode_set(TcgCpu *cpu, uint64_t mode)
{
    cpu->mode = mode;
    unsigned no = mode_number(cpu, cpu->mode);
    bool super = cpu->isa->supervisor(cpu->mode);
    uint32_t gen = super ? cpu->super_gen : cpu->spaces[cpu->space]->ctx_gen;
    uint32_t id = gen << MODE_BITS | no;
    if (no >= MODE_MAX - 1 || gen >= GEN_LIMIT - 1)
        id = 0;                /* nothing is linked or cached: slow but right, until the generations start anew */
    __atomic_store_n(&cpu->env->ctx_id, id, __ATOMIC_SEQ_CST);
    cpu->ctx_id = id;
    tcg_jumps_select(cpu, id);
    if (__atomic_load_n(&cpu->env->exit_request, __ATOMIC_SEQ_CST) || (cpu->stop && cpu->stop(cpu->stop_opaque))) {
        __atomic_store_n(&cpu->env->ctx_id, 0, __ATOMIC_SEQ_CST);
        __atomic_store_n(&cpu->env->jc, cpu->ctx->no_jumps->e, __ATOMIC_SEQ_CST);
    }
}

TCG_CALL_PATH uint64_t tcg_mode_now(const TcgCpu *cpu) { return cpu->mode; }
void tcg_update_ctx(TcgCpu *cpu) { tcg_mode_set(cpu, cpu->isa->mode(cpu->state)); }
void tcg_mode_changed(TcgCpu *cpu) { tcg_update_ctx(cpu); }

TCG_CALL_PATH void tcg_mode_settle(TcgCpu *cpu)
{
    uint64_t mode = cpu->isa->mode(cpu->state);
    if (mode != cpu->mode)
        tcg_mode_set(cpu, mode);
}

/* run_lock from reading to writing: every other vCPU is at a safe point afterwards. */
static void stop_world(TcgCpu *cpu)
{
    TcgContext *ctx = cpu->ctx;
    tcg_run_unlock(ctx);
    __atomic_add_fetch(&ctx->stop_request, 1, __ATOMIC_SEQ_CST);
    pthread_mutex_lock(&ctx->lock);
    for (unsigned n = 0; n < ctx->cpus->len; n++)
        tcg_cpu_poke(ctx->cpus->pdata[n]);
    pthread_mutex_unlock(&ctx->lock);
    pthread_rwlock_wrlock(&ctx->run_lock);
    __atomic_sub_fetch(&ctx->stop_request, 1, __ATOMIC_SEQ_CST);
}

static void start_world(TcgCpu *cpu)
{
    cpu->alone = false;
    pthread_rwlock_unlock(&cpu->ctx->run_lock);
    tcg_run_lock(cpu->ctx);
}

/* Everybody out, drop all code, start the generations anew. The caller holds run_lock for reading and does so again afterwards. */
static void flush_world(TcgCpu *cpu)
{
    TcgContext *ctx = cpu->ctx;
    uint64_t seen = ctx->generation;
    stop_world(cpu);
    if (ctx->generation == seen) {
        tcg_flush_code(ctx);
        ctx->next_gen = 0;
        for (unsigned n = 0; n < ctx->cpus->len; n++) {
            TcgCpu *c = ctx->cpus->pdata[n];
            memset(c->x_super, 0, sizeof(c->x_super));
            c->super_gen = tcg_new_gen(ctx);
            for (unsigned k = 0; k < c->n_spaces; k++) {
                memset(c->spaces[k]->x, 0, sizeof(c->spaces[k]->x));
                c->spaces[k]->ctx_gen = tcg_new_gen(ctx);
            }
        }
    }
    start_world(cpu);
}

void tcg_remapped(TcgContext *ctx, bool (*same)(void *opaque, uint64_t gpa), void *opaque)
{
    if (!tcg_code_pages_are(ctx, same, opaque)) {
        tcg_flush_mappings(ctx);
        return;
    }
    for (unsigned n = 0; n < ctx->cpus->len; n++)
        tcg_flush_all(ctx->cpus->pdata[n]);
}

void tcg_flush_mappings(TcgContext *ctx)
{
    for (unsigned n = 0; n < ctx->cpus->len; n++)
        tcg_flush_all(ctx->cpus->pdata[n]);
    tcg_flush_code(ctx);
}

/* ---- the loop ---- */
static TcgBlock *find_block(TcgCpu *cpu, uint64_t va, bool one_insn)
{
    uint64_t gpa = tcg_fetch_page(cpu, va) | (va & ~PAGE_MASK);
    TcgBlock *b = tcg_block_find(cpu->ctx, gpa, 0, cpu->mode, one_insn);
    if (b)
        return b;
    if ((va & ~PAGE_MASK) > TCG_PAGE_SIZE - 16) {   /* it may be a unit that goes on in the next page */
        uint64_t gpa2;
        if (tcg_fetch_peek(cpu, (va & PAGE_MASK) + TCG_PAGE_SIZE, &gpa2))
            b = tcg_block_find(cpu->ctx, gpa, gpa2, cpu->mode, one_insn);
    }
    if (!b && cpu->env->young && !one_insn)
        tcg_fork_note(cpu, va, 0);
    unsigned flags;
    if (!b && cpu->isa->bus_fault && !cpu->cb->page(cpu->opaque, gpa & ~(uint64_t)(TCG_PAGE_SIZE - 1), &flags))
        cpu->isa->bus_fault(cpu, va, TCG_EXEC);
    return b ? b : tcg_block_make(cpu, va, gpa, one_insn, !one_insn && cpu->ctx->config.tier == TCG_TIER_2 ? 2 : 1);
}

static void see_generation(TcgCpu *cpu)
{
    TcgContext *ctx = cpu->ctx;
    if (cpu->code_generation != ctx->generation) {
        cpu->code_generation = ctx->generation;
        tcg_jumps_forget(cpu);
        cpu->link = 0;
    }
}

bool tcg_all_passed(const TcgContext *ctx, uint32_t seq)
{
    for (unsigned n = 0; n < ctx->cpus->len; n++) {
        const TcgCpu *c = ctx->cpus->pdata[n];
        if (__atomic_load_n(&c->inside, __ATOMIC_SEQ_CST) && (int32_t)(__atomic_load_n(&c->seen_arm, __ATOMIC_SEQ_CST) - seq) < 0)
            return false;
    }
    return true;
}

static void safe_point(TcgCpu *cpu)
{
    TcgContext *ctx = cpu->ctx;
    __atomic_store_n(&cpu->seen_arm, __atomic_load_n(&ctx->arm_seq, __ATOMIC_SEQ_CST), __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&ctx->unchecked, __ATOMIC_RELAXED))
        tcg_check_armed(cpu);
    if (__atomic_load_n(&ctx->n_relinking, __ATOMIC_RELAXED))
        tcg_links_settle(ctx);
    if (__atomic_load_n(&ctx->stop_request, __ATOMIC_SEQ_CST)) {
        tcg_run_unlock(ctx);
        /* who asked may not stand in line yet: taking the lock again now, with the poke already answered, would keep him waiting */
        while (__atomic_load_n(&ctx->stop_request, __ATOMIC_SEQ_CST))
            sched_yield();
        tcg_run_lock(ctx);
    }
    if (__atomic_load_n(&ctx->next_gen, __ATOMIC_RELAXED) >= GEN_LIMIT - 64)
        flush_world(cpu);
    see_generation(cpu);
    tcg_do_asked(cpu);
}

/* Enter @b and come back; the pc register is right afterwards. Returns the IR EXIT reason + 1, 0 for ordinary leaving. */
static unsigned run_block(TcgCpu *cpu, TcgBlock *b, uint64_t va)
{
    TcgEnv *env = cpu->env;
    cpu->cur_block = b;
    cpu_set_pc_base(cpu, va & PAGE_MASK);
    env->link = 0;
    env->leave = 0;
    cpu->stats.run_entries++;
    cpu->env->in_code = true;
    cpu->ctx->host->enter(cpu, b);
    cpu->env->in_code = false;
    cpu->link = env->link;
    if (env->leave == 0 || env->leave == LEAVE_HOT) {
        cpu->hot = env->leave == LEAVE_HOT;
        cpu->isa->set_pc_from_linear(cpu->state, cpu_pc_base(cpu) + (uint64_t)(int64_t)env->cur_off);
        return 0;
    }
    if (env->leave == LEAVE_JUMP) {
        cpu->isa->set_pc_from_linear(cpu->state, env->arg[0]);
        cpu->stats.jump_misses++;
        return 0;
    }
    return (unsigned)env->leave;
}

/* A place jumped back to so often that a region is worth it. It is kept in mind even if none can be made. */
static TcgBlock *heat(TcgCpu *cpu, uint64_t va, TcgBlock *b, bool elsewhere)
{
    bool hot = cpu->hot && b && !elsewhere;
    cpu->hot = false;
    if (!hot)
        return b;
    int32_t *count = &cpu->env->hot[tcg_hot_slot(va & ~PAGE_MASK, b->gpa)];
    *count = b->tier == 2 || b->gpa2 ? HOT_AGAIN : HOT_START;
    if (b->tier == 2 || b->gpa2)
        return b;
    b->heat = HEAT_START;
    return tcg_worker_ask(cpu, va, b->gpa) ? b : tcg_block_make(cpu, va, b->gpa, false, 2);
}

/* Where indirect jumps enter @b. */
static void *arrival(TcgCpu *cpu, TcgBlock *b)
{
    pthread_mutex_lock(&cpu->ctx->lock);
    void *at = tcg_counted(cpu->ctx, b);
    pthread_mutex_unlock(&cpu->ctx->lock);
    return at;
}

/* What is due between two instructions. Returns whether to return to the caller with *why. */
static bool events(TcgCpu *cpu, TcgLeave *why)
{
    /* first: who pokes from here on is not seen below, and must stop the code that follows */
    __atomic_store_n(&cpu->env->exit_request, 0, __ATOMIC_SEQ_CST);
    safe_point(cpu);
    if (__atomic_exchange_n(&cpu->kicked, 0, __ATOMIC_SEQ_CST)) {
        *why = TCG_LEAVE_KICKED;
        return true;
    }
    cpu->mode = cpu->isa->mode(cpu->state);
    if (!cpu->isa->deliver(cpu)) {
        *why = TCG_LEAVE_HALTED;
        return true;
    }
    if (cpu->stop && cpu->stop(cpu->stop_opaque)) {
        *why = TCG_LEAVE_STEPPED;
        return true;
    }
    return false;
}

/* An indirect jump whose target its context's table does not have, and nothing is due: as good as a hit. */
static bool jumped_on(TcgCpu *cpu)
{
    return cpu->env->leave == LEAVE_JUMP && __atomic_load_n(&cpu->env->ctx_id, __ATOMIC_RELAXED) && !__atomic_load_n(&cpu->env->exit_request, __ATOMIC_RELAXED) &&
           !log_on(cpu->ctx->config.log, LOG_EXEC);
}

/* Go on at the pc with what is translated there. If that has to be made first, the run loop's next turn does it. As run_block. */
static unsigned run_on(TcgCpu *cpu)
{
    uint64_t va = cpu->isa->linear_pc(cpu->state), gpa;
    cpu->env->leave = 0;
    if (!tcg_fetch_peek(cpu, va, &gpa))
        return 0;
    TcgBlock *to = tcg_block_find(cpu->ctx, gpa | (va & ~PAGE_MASK), 0, cpu->mode, false);
    if (!to || to->checked || cpu->link & (LINK_DEAD | LINK_CHECK))
        return 0;
    if (cpu->link)
        tcg_link_jump(cpu, cpu->link, to, va, cpu->code_generation);
    tcg_jumps_enter(cpu, va, to, arrival(cpu, to));
    return run_block(cpu, to, va);
}

/* One turn: what is due, then code. Returns whether to return to the caller with *why. */
static bool turn(TcgCpu *cpu, bool single, TcgLeave *why)
{
    uint64_t came_to = cpu->isa->linear_pc(cpu->state);
    cpu->io_done = cpu->io_done == IO_DONE ? IO_AGAIN : IO_NONE;
    if (!cpu->io_done && events(cpu, why))
        return true;
    if (cpu->want_alone && !cpu->alone) {
        stop_world(cpu);
        cpu->alone = true;
        see_generation(cpu);   /* another vCPU may have flushed meanwhile */
    }
    tcg_update_ctx(cpu);
    uint64_t va = cpu->isa->linear_pc(cpu->state);
    if (va != came_to)         /* an interrupt came first: that is not where the jump goes */
        cpu->link = 0;
    bool one = cpu->one_insn || single;
    TcgBlock *b = find_block(cpu, va, one);
    if (b && b->checked && !tcg_block_stands(cpu, b))
        b = find_block(cpu, va, one);
    b = heat(cpu, va, b, one || va != came_to || (b && b->checked));
    if (!b) {
        if (cpu->ctx->broken) {
            *why = TCG_LEAVE_SHUTDOWN;
            return true;
        }
        flush_world(cpu);
        see_generation(cpu);
        cpu->io_done = cpu->io_done == IO_AGAIN ? IO_DONE : IO_NONE;
        return false;
    }
    /* Logged are all entries: then no unit jumps to the next by itself. */
    if (log_on(cpu->ctx->config.log, LOG_EXEC)) {
        log_item(cpu->ctx->config.log, LOG_EXEC, "exec pc %#llx gpa %#llx mode %#llx", (unsigned long long)va, (unsigned long long)b->gpa,
                 (unsigned long long)cpu->mode);
    } else if (!one && !b->checked) {
        if (cpu->link & LINK_DEAD)
            tcg_leave_dead(cpu, cpu->link & LINK_BLOCK, cpu->code_generation);
        else if (cpu->link & LINK_CHECK)
            tcg_region_look(cpu, cpu->link & LINK_BLOCK, cpu->code_generation);
        else if (cpu->link && cpu->env->young)
            tcg_fork_note(cpu, va, cpu->link);
        if (cpu->link && !(cpu->link & (LINK_DEAD | LINK_CHECK)))
            tcg_link_jump(cpu, cpu->link, b, va, cpu->code_generation);
        tcg_jumps_enter(cpu, va, b, arrival(cpu, b));
    }
    unsigned left = run_block(cpu, b, va);
    while (!left && !one && jumped_on(cpu))
        left = run_on(cpu);
    cpu->one_insn = cpu->want_alone = false;
    cpu->io_done = IO_NONE;
    if (cpu->alone)
        start_world(cpu);
    if (left && left - 1 != TCG_LEAVE_GUEST) {
        *why = (TcgLeave)(left - 1);
        return true;
    }
    return false;
}

/* Behind this the whole state is in the struct. */
static TcgLeave ran(TcgCpu *cpu, TcgLeave why)
{
    if (cpu->wishes)
        tcg_worker_forget(cpu);
    __atomic_store_n(&cpu->inside, false, __ATOMIC_SEQ_CST);
    if (cpu->isa->fpu_settle)
        cpu->isa->fpu_settle(cpu);
    tcg_run_unlock(cpu->ctx);
    return why;
}

TcgLeave tcg_cpu_run(TcgCpu *cpu, uint64_t max_insns)
{
    TcgLeave why = TCG_LEAVE_KICKED;
    volatile uint64_t left = max_insns;

    if (cpu->ctx->broken)
        return TCG_LEAVE_SHUTDOWN;
    tcg_run_lock(cpu->ctx);
    running = cpu;
    cpu->link = 0;             /* of another run: the state may have changed since */
    see_generation(cpu);       /* the instruction behind a device access runs before the first safe point */
    __atomic_store_n(&cpu->inside, true, __ATOMIC_SEQ_CST);
    if (_setjmp(cpu->leave_jmp)) {
        cpu->committed = false;
        if (cpu->leave_why >= 0)
            return ran(cpu, (TcgLeave)cpu->leave_why);
        cpu->link = 0;
        if (cpu->alone) {      /* the instruction faulted */
            cpu->want_alone = false;
            start_world(cpu);
        }
        if (cpu->want_alone)   /* not executed yet */
            left++;
        if (cpu->leave_why == LEAVE_FPE) {
            cpu->leave_why = -1;
            cpu->isa->fpe_fault(cpu, cpu->fpe_code);
        }
        if (cpu->leave_why == LEAVE_FAULT) {
            cpu->leave_why = -1;
            cpu->isa->mmu_fault(cpu, cpu->fault_va, cpu->fault_access, cpu->isa->regime(cpu->mode));
        }
    }
    for (;;) {
        if (max_insns && left-- == 0) {
            why = TCG_LEAVE_STEPPED;
            break;
        }
        cpu->n_steps += max_insns != 0;
        if (turn(cpu, max_insns != 0, &why))
            break;
    }
    return ran(cpu, why);
}

TcgLeave tcg_cpu_run_until(TcgCpu *cpu, bool (*stop)(void *opaque), void *opaque)
{
    cpu->stop = stop;
    cpu->stop_opaque = opaque;
    TcgLeave why = tcg_cpu_run(cpu, 0);
    cpu->stop = NULL;
    return why;
}

uint64_t tcg_cpu_steps(const TcgCpu *cpu) { return cpu->n_steps; }
uint64_t tcg_cpu_flushes(const TcgCpu *cpu) { return cpu->n_flushes; }
