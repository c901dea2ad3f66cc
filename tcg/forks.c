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
    cpu->env->young--;
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

/* What is as it was is not written: each page that is, the parent or the child has to copy. */
TCG_CALL_PATH void tcg_fork_begin(TcgContext *ctx, TcgCpu *cpu)
{
    if (notes(ctx) && ctx->config.direct && ctx->config.tier == TCG_TIER_AUTO) {
        tcg_run_lock(ctx);
        if (cpu->code_generation == ctx->generation)
            make_noted(cpu);
        tcg_run_unlock(ctx);
    }
    pid_t self = getpid();
    if (ctx->fork_owner != self || ctx->fork_links != ctx->n_links || ctx->fork_generation != ctx->generation) {
        ctx->fork_owner = self;
        ctx->fork_links = ctx->n_links;
        ctx->fork_generation = ctx->generation;
    }
    pthread_mutex_lock(&ctx->lock);
}

TCG_CALL_PATH void tcg_fork_end(TcgContext *ctx, TcgCpu *cpu, bool child)
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
    cpu->env->young = ctx->fork_notes ? YOUNG : 0;
}

void tcg_program_replaced(TcgCpu *cpu, bool (*stays)(void *opaque, uint64_t va), void *opaque, bool by_itself)
{
    tcg_jumps_keep(cpu, stays, opaque);
    cpu->ctx->others = cpu->ctx->config.others;     /* what is kept suits that too */
    if (!by_itself)            /* what it translates is nothing that the parent will need */
        cpu->env->young = 0;
}

void tcg_fork_free(TcgContext *ctx)
{
    if (ctx->fork_notes)
        munmap(ctx->fork_notes, sizeof(*ctx->fork_notes));
}
