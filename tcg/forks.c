/*
 * fork of a process with direct memory. Its children often do the same little thing each time (exec, exit) that the parent never does: what they
 * translate and link would be made anew, in fresh copies of pages, by each. So a child notes that in memory shared with the parent, and the parent makes it
 * before its next fork.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tcg/tcg-internal.h"

static const uint64_t PAGE_MASK = ~(uint64_t)(TCG_PAGE_SIZE - 1);
enum { MAX_NOTES = 512, YOUNG = 96, LONGEST_INSN = 16 };

/* link: number in the table of process @owner as it was when its code had @generation; 0: none. */
typedef struct ForkNote { uint64_t va, generation; uint32_t link; int32_t owner; } ForkNote;
typedef struct TcgForkNotes { uint32_t n; ForkNote at[MAX_NOTES]; } TcgForkNotes;

static TcgForkNotes *notes(TcgContext *ctx)
{
    if (ctx->fork_notes)
        return ctx->fork_notes;
    void *p = mmap(NULL, sizeof(TcgForkNotes), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return ctx->fork_notes = p == MAP_FAILED ? NULL : p;
}

void tcg_fork_note(TcgCpu *cpu, uint64_t va, unsigned link)
{
    TcgContext *ctx = cpu->ctx;
    if (link && (link >= ctx->fork_links || ctx->fork_generation != ctx->generation))
        return;                /* younger than the fork */
    ctx->fork_young--;
    if (__atomic_load_n(&ctx->fork_notes->n, __ATOMIC_RELAXED) >= MAX_NOTES)
        return;
    uint32_t n = __atomic_fetch_add(&ctx->fork_notes->n, 1, __ATOMIC_SEQ_CST);
    if (n >= MAX_NOTES)
        return;
    ForkNote *f = &ctx->fork_notes->at[n];
    f->generation = ctx->fork_generation;
    f->link = link;
    f->owner = ctx->fork_owner;
    __atomic_store_n(&f->va, va, __ATOMIC_RELEASE);
}

/* What children noted since the last fork. The page that code is in may have become another one: then something useless is translated. */
static void make_noted(TcgCpu *cpu)
{
    TcgContext *ctx = cpu->ctx;
    uint32_t n = MIN(__atomic_load_n(&ctx->fork_notes->n, __ATOMIC_SEQ_CST), (uint32_t)MAX_NOTES);
    pid_t self = getpid();
    for (; ctx->fork_seen < n; ctx->fork_seen++) {
        ForkNote f = ctx->fork_notes->at[ctx->fork_seen];
        uint64_t gpa, off = f.va & ~PAGE_MASK;
        if (!f.va || off > TCG_PAGE_SIZE - LONGEST_INSN || !tcg_fetch_peek(cpu, f.va, &gpa))
            continue;
        TcgBlock *b = tcg_block_find(ctx, gpa | off, 0, cpu->mode, false);
        b = b ? b : tcg_block_make(cpu, f.va, gpa | off, false, 1);
        if (!b)
            break;             /* the cache is full */
        if (b->checked)
            continue;
        if (f.link && f.owner == self && f.generation == ctx->generation)
            tcg_link_jump(cpu, f.link, b, f.va, f.generation);
        tcg_jumps_enter(cpu, f.va, b, b->host);
    }
}

void tcg_fork_begin(TcgContext *ctx, TcgCpu *cpu)
{
    if (notes(ctx) && ctx->config.direct && ctx->config.tier == TCG_TIER_AUTO) {
        pthread_rwlock_rdlock(&ctx->run_lock);
        if (cpu->code_generation == ctx->generation)
            make_noted(cpu);
        pthread_rwlock_unlock(&ctx->run_lock);
    }
    ctx->fork_owner = getpid();
    pthread_mutex_lock(&ctx->lock);
}

void tcg_fork_end(TcgContext *ctx, TcgCpu *cpu, bool child)
{
    if (!child) {
        pthread_mutex_unlock(&ctx->lock);
        return;
    }
    pthread_mutex_init(&ctx->lock, NULL);
    pthread_rwlock_init(&ctx->run_lock, NULL);
    ctx->stop_request = 0;
    for (guint n = ctx->cpus->len; n-- > 0;)
        if (ctx->cpus->pdata[n] != cpu)
            g_ptr_array_remove_index(ctx->cpus, n);
    ctx->fork_links = ctx->n_links;
    ctx->fork_generation = ctx->generation;
    ctx->fork_young = ctx->fork_notes ? YOUNG : 0;
    ctx->fork_seen = ctx->fork_notes ? MIN(ctx->fork_notes->n, (uint32_t)MAX_NOTES) : 0;
}

void tcg_program_replaced(TcgCpu *cpu, bool (*stays)(void *opaque, uint64_t va), void *opaque, bool by_itself)
{
    tcg_jumps_keep(cpu, stays, opaque);
    if (!by_itself)            /* what it translates is nothing that the parent will need */
        cpu->ctx->fork_young = 0;
}

void tcg_fork_free(TcgContext *ctx)
{
    if (ctx->fork_notes)
        munmap(ctx->fork_notes, sizeof(*ctx->fork_notes));
}

/* ---- a vforked child, on its parent's vCPU ---- */
typedef struct Nest { jmp_buf leave_jmp; TcgBlock *cur_block; uint64_t code_generation, pc_base; uint32_t link; bool one_insn, inside; } Nest;

void *tcg_nest_begin(TcgCpu *cpu)
{
    Nest *n = g_new(Nest, 1);
    *n = (Nest){ .cur_block = cpu->cur_block, .code_generation = cpu->code_generation, .pc_base = cpu_pc_base(cpu), .link = cpu->link,
                  .one_insn = cpu->one_insn, .inside = cpu->inside };
    memcpy(n->leave_jmp, cpu->leave_jmp, sizeof(n->leave_jmp));
    return n;
}

/* Nobody else is there: locks as new. What it was making when it died may be half made, so that all code goes. */
static void killed_alone(TcgCpu *cpu)
{
    TcgContext *ctx = cpu->ctx;
    bool half_made = pthread_mutex_trylock(&ctx->lock);
    pthread_mutex_init(&ctx->lock, NULL);
    pthread_rwlock_init(&ctx->run_lock, NULL);
    cpu->held = false;
    ctx->stop_request = 0;
    ctx->n_region_pages = 0;
    if (half_made)
        tcg_flush_code(ctx);
}

/* The vCPU's child was killed: what it held is the parent's to give back. Whether it had the lock cannot be noted in one step with taking it
 * (a signal arrives just behind such an instruction), so with other vCPUs it is tried for longer than one of them keeps it. */
static void killed(TcgCpu *cpu)
{
    enum { TRIES = 2000 };     /* of a millisecond */
    TcgContext *ctx = cpu->ctx;
    if (ctx->cpus->len == 1) {
        killed_alone(cpu);
        return;
    }
    if (cpu->held) {
        cpu->held = false;
        pthread_rwlock_unlock(&ctx->run_lock);
    }
    int busy = pthread_mutex_trylock(&ctx->lock);
    for (int n = 0; busy && n < TRIES; n++) {
        g_usleep(1000);
        busy = pthread_mutex_trylock(&ctx->lock);
    }
    pthread_mutex_unlock(&ctx->lock);
}

void tcg_nest_end(TcgCpu *cpu, const void *saved, bool was_killed)
{
    const Nest *n = saved;
    if (was_killed)
        killed(cpu);
    memcpy(cpu->leave_jmp, n->leave_jmp, sizeof(n->leave_jmp));
    cpu->cur_block = n->cur_block;
    cpu->code_generation = n->code_generation;
    cpu_set_pc_base(cpu, n->pc_base);
    cpu->link = n->link;
    cpu->one_insn = n->one_insn;
    __atomic_store_n(&cpu->inside, n->inside, __ATOMIC_SEQ_CST);       /* a child that died of a signal had left its own run */
    cpu->in_code = false;
}
