/* Direct jumps between translations: made when somebody came that way, undone when the translation they lead to is no more. */
#include <string.h>

#include "tcg/tcg-internal.h"

static const uint64_t PAGE_MASK = ~(uint64_t)(TCG_PAGE_SIZE - 1);
enum { MAX_RELINKS = 32 };

/* ctx->lock held, as below. */
static void link_detach(TcgContext *ctx, TcgLink *l)
{
    if (!l->to)
        return;
    if (l->prev)
        ctx->links[l->prev].next = l->next;
    else
        l->to->in_links = l->next;
    if (l->next)
        ctx->links[l->next].prev = l->prev;
    l->to = NULL;
}

static void link_attach(TcgContext *ctx, TcgLink *l, TcgBlock *to)
{
    uint32_t n = (uint32_t)(l - ctx->links);
    link_detach(ctx, l);
    l->to = to;
    l->prev = 0;
    l->next = to->in_links;
    if (l->next)
        ctx->links[l->next].prev = n;
    to->in_links = n;
}

void tcg_let_go(TcgContext *ctx, TcgBlock *b)
{
    for (uint32_t n; (n = b->in_links);) {
        TcgLink *l = &ctx->links[n];
        ctx->host->unlink(ctx, l);
        l->ctx_id = 0;
        l->linked = 0;
        link_detach(ctx, l);
    }
}

void tcg_leave_dead(TcgCpu *cpu, unsigned index, uint64_t generation)
{
    enum { PATIENCE = 4 };     /* the same bytes may soon be back */
    TcgContext *ctx = cpu->ctx;
    pthread_mutex_lock(&ctx->lock);
    TcgBlock *b = ctx->generation == generation && index <= ctx->blocks->len ? ctx->blocks->pdata[index - 1] : NULL;
    if (b && b->dead && ++b->dead_hits >= PATIENCE) {
        b->dead_hits = 0;
        tcg_let_go(ctx, b);
    }
    pthread_mutex_unlock(&ctx->lock);
}

void *tcg_counted(TcgContext *ctx, TcgBlock *b)
{
    if (ctx->config.tier != TCG_TIER_AUTO || !ctx->host->count || b->tier == 2 || b->region || b->gpa2 || b->one_insn)
        return b->host;
    if (!b->counted) {
        b->heat = HEAT_START;
        b->counted = ctx->host->count(ctx, b);
    }
    return b->counted ? b->counted : b->host;
}

static void link_now(TcgContext *ctx, TcgLink *l)
{
    l->linked = 1;
    ctx->host->link(ctx, l, l->from->tier == 2 ? tcg_counted(ctx, l->to) : l->to->host);
}

/*
 * What held for one context shall hold for @id, where its page is at @page. Another vCPU may have found just now that it does hold, and not have gone on yet:
 * so it holds for none until all have been at a safe point. (Direct memory has one address space: it leads to the same code either way.)
 */
static void relink(TcgContext *ctx, TcgLink *l, uint32_t id, uint32_t page)
{
    bool wait = l->cross && l->tries && ctx->cpus->len > 1 && !ctx->config.direct;
    l->tries++;
    l->ctx_id = id;
    l->page = page;
    if (!wait) {
        link_now(ctx, l);
        return;
    }
    l->linked = 0;
    if (l->pending)
        return;
    ctx->host->unlink(ctx, l);
    l->pending = 1;
    uint32_t seq = __atomic_add_fetch(&ctx->arm_seq, 1, __ATOMIC_SEQ_CST);
    ctx->relinking[ctx->n_relinking] = (TcgRelinking){ (uint32_t)(l - ctx->links), seq };
    __atomic_store_n(&ctx->n_relinking, ctx->n_relinking + 1, __ATOMIC_RELAXED);
}

/* One that waits already takes no room. */
static bool may_relink(const TcgContext *ctx, const TcgLink *l, uint32_t id)
{
    return l->ctx_id != id && l->tries < MAX_RELINKS && (l->pending || ctx->n_relinking < MAX_RELINKING);
}

void tcg_links_move(TcgContext *ctx, TcgBlock *from, TcgBlock *to)
{
    for (uint32_t n; (n = from->in_links);) {
        TcgLink *l = &ctx->links[n];
        link_attach(ctx, l, to);
        if (l->linked)
            link_now(ctx, l);
    }
}

void tcg_links_find(TcgCpu *cpu, const TcgBlock *b, uint64_t va)
{
    TcgContext *ctx = cpu->ctx;
    for (unsigned n = 0; n < b->n_links && cpu->ctx_id; n++) {
        TcgLink *l = &ctx->links[b->first_link + n];
        TcgBlock *to = l->cross && !l->to ? tcg_jumps_find(cpu->of, cpu->ctx_id, (va & PAGE_MASK) + (uint64_t)l->off) : NULL;
        if (to && to->region && !to->region->dead)
            to = to->region;
        if (!to || to->mode != b->mode || to->gpa2 || to->one_insn || to->checked)
            continue;
        link_attach(ctx, l, to);
        relink(ctx, l, cpu->ctx_id, (uint32_t)(va & PAGE_MASK));
    }
}

void tcg_links_settle(TcgContext *ctx)
{
    unsigned done = 0;
    pthread_mutex_lock(&ctx->lock);
    for (; done < ctx->n_relinking && tcg_all_passed(ctx, ctx->relinking[done].seq); done++) {
        TcgLink *l = &ctx->links[ctx->relinking[done].link];
        l->pending = 0;
        if (l->ctx_id)         /* what it leads to was not let go meanwhile */
            link_now(ctx, l);
    }
    memmove(ctx->relinking, ctx->relinking + done, (ctx->n_relinking - done) * sizeof(ctx->relinking[0]));
    __atomic_store_n(&ctx->n_relinking, ctx->n_relinking - done, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&ctx->lock);
}

void tcg_link_jump(TcgCpu *cpu, unsigned n, TcgBlock *b, uint64_t va, uint64_t generation)
{
    TcgContext *ctx = cpu->ctx;
    pthread_mutex_lock(&ctx->lock);
    if (ctx->generation == generation && n < ctx->n_links && !b->dead && !b->one_insn) {
        TcgLink *l = &ctx->links[n];
        bool ok = !l->from->dead && l->from->mode == b->mode && (l->cross ? cpu->ctx_id && may_relink(ctx, l, cpu->ctx_id) : !b->gpa2);
        if (ok) {
            link_attach(ctx, l, b);
            relink(ctx, l, cpu->ctx_id, (uint32_t)((va - (uint64_t)l->off) & PAGE_MASK));
        }
    }
    pthread_mutex_unlock(&ctx->lock);
}

/* ---- company ---- */
void tcg_others_come(TcgContext *ctx)
{
    if (ctx->others == IR_OTHERS)
        return;
    ctx->others = IR_OTHERS;   /* ours is the only vCPU, and it is outside */
    for (guint n = 0; n < ctx->blocks->len; n++) {
        const TcgBlock *b = ctx->blocks->pdata[n];
        if (b->lonely && !b->dead)
            tcg_invalidate_range(ctx, b->gpa, 1);
    }
    tcg_poke_others(ctx, NULL);        /* not back into what is dead now */
}
