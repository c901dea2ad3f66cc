/*
 * Where regions lead: what the blocks of a page know of the ways that were gone, and pages other than the first. A page is taken in when a block's jump
 * there is linked in this context, or the context's jump cache leads there: so it is known without asking page tables (the worker has none), has
 * translations and is watched. Before it goes on there, translated code looks into a table of the context whether all its pages are where they were
 * (IR_CROSS); what that table says comes from the run loop (tcg_region_look).
 */
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tcg/tcg-internal.h"

static const uint64_t PAGE_MASK = ~(uint64_t)(TCG_PAGE_SIZE - 1);

/* (A front end by itself has no vCPU, and the page it was given.) */
int tcg_region_page(const TcgUnitDesc *d, int64_t off)
{
    if (!d->cpu)
        return off >= 0 && off < TCG_PAGE_SIZE ? 0 : -1;
    const TcgContext *ctx = d->cpu->ctx;
    for (unsigned n = 0; n < ctx->n_region_pages; n++)
        if (off >= ctx->region_page[n].off && off < ctx->region_page[n].off + TCG_PAGE_SIZE)
            return (int)n;
    return -1;
}

/* Jumps of the block that ends before @next: the next one behind @l of it or its like; NULL: there are no more. */
typedef struct Ways { const CodePage *p; const TcgPart *part; unsigned g, last, n; uint64_t mode, end; } Ways;

static bool ways_begin(const TcgUnitDesc *d, int64_t next, Ways *w)
{
    int at = tcg_region_page(d, next - 1);
    if (at < 0 || !d->cpu)
        return false;
    const TcgContext *ctx = d->cpu->ctx;
    const CodePage *p = ctx->region_page[at].page;
    unsigned last = (unsigned)(next - 1 - ctx->region_page[at].off) >> 6, first = last < p->span ? 0 : last - p->span;
    *w = (Ways){ p, p->at[first], first, last, 0, d->mode, p->gpa + (uint64_t)(next - ctx->region_page[at].off) };
    return true;
}

static const TcgLink *ways_next(const TcgUnitDesc *d, Ways *w)
{
    for (;;) {
        while (!w->part && w->g < w->last)
            w->part = w->p->at[++w->g];
        if (!w->part)
            return NULL;
        const TcgBlock *b = w->part->b;
        if (b->mode == w->mode && b->tier < 2 && w->part == b->part && b->gpa + b->len == w->end && w->n < b->n_links)
            return &d->cpu->ctx->links[b->first_link + w->n++];
        w->part = w->part->next;
        w->n = 0;
    }
}

/* Which ways the branch before page offset @next went so far: 1 on behind it, 2 to @to. */
static unsigned branch_seen(const TcgUnitDesc *d, int64_t next, int64_t to)
{
    Ways w;
    unsigned seen = 0;
    if (!ways_begin(d, next, &w))
        return 0;
    int64_t base = d->cpu->ctx->region_page[tcg_region_page(d, next - 1)].off;
    for (const TcgLink *l; (l = ways_next(d, &w));)
        if (l->tries)
            seen |= l->off == next - base ? 1 : l->off == to - base ? 2 : 0;
    return seen;
}

/* One that is there and watched: somebody jumped from @next to @to, in this context and from this place. */
static CodePage *page_jumped_to(const TcgUnitDesc *d, int64_t next, int64_t to)
{
    Ways w;
    if (!d->cpu->ctx_id || !ways_begin(d, next, &w))
        return NULL;
    int64_t base = d->cpu->ctx->region_page[tcg_region_page(d, next - 1)].off;
    for (const TcgLink *l; (l = ways_next(d, &w));)
        if (l->cross && l->linked && l->off == to - base && l->ctx_id == d->cpu->ctx_id &&
            l->page == (uint32_t)(d->cpu->ctx->region_base + (uint64_t)base) && l->to && !l->to->dead)
            return tcg_code_page(d->cpu->ctx, l->to->gpa & PAGE_MASK);
    return NULL;
}

/* The same for the place of an indirect jump, wherever it came from. */
static CodePage *page_arrived_at(const TcgUnitDesc *d, int64_t to)
{
    TcgContext *ctx = d->cpu->ctx;
    uint64_t va = (d->pc & PAGE_MASK) + (uint64_t)to;
    if (!d->cpu->ctx_id)
        return NULL;
    const TcgBlock *b = ctx->config.direct ? tcg_block_find(ctx, va, 0, d->mode, false) : tcg_jumps_find(d->cpu->of, d->cpu->ctx_id, va);
    return b && b->mode == d->mode && (b->gpa & ~PAGE_MASK) == (va & ~PAGE_MASK) ? tcg_code_page(ctx, b->gpa & PAGE_MASK) : NULL;
}

bool tcg_region_target(const TcgUnitDesc *d, int64_t off, int64_t *ret_to)
{
    int at = tcg_region_page(d, off);
    if (at < 0 || !d->cpu)
        return false;
    const TcgContext *ctx = d->cpu->ctx;
    const JumpTarget *t = &d->cpu->of->env->target[tcg_target_slot(ctx->region_page[at].page->gpa + (uint64_t)(off - ctx->region_page[at].off))];
    if (__atomic_load_n(&t->trust, __ATOMIC_RELAXED) < TARGET_TRUST)
        return false;
    *ret_to = (int64_t)(__atomic_load_n(&t->va, __ATOMIC_RELAXED) - (d->pc & PAGE_MASK));
    return true;
}

/* Direct memory: another thread may just be taking the page away, whose translations are dropped after that. */
static bool copy_page(const TcgContext *ctx, uint8_t *to, const uint8_t *from)
{
    struct iovec here = { to, TCG_PAGE_SIZE }, there = { (void *)(uintptr_t)from, TCG_PAGE_SIZE };
    if (ctx->config.direct)
        return process_vm_readv(getpid(), &here, 1, &there, 1, 0) == TCG_PAGE_SIZE;
    memcpy(to, from, TCG_PAGE_SIZE);
    return true;
}

/* Makes the page of @to one of the region's if it can be. */
static int page_for(TcgUnitDesc *d, int64_t next, int64_t to)
{
    int at = tcg_region_page(d, to);
    if (at >= 0 || !d->cpu || d->cpu->ctx->n_region_pages == TCG_REGION_PAGES)
        return at;
    TcgContext *ctx = d->cpu->ctx;
    CodePage *p = page_jumped_to(d, next, to);
    if (!p)
        p = page_arrived_at(d, to);
    if (!p || !p->host || p->loose || to < -(1 << 30) || to > 1 << 30)
        return -1;
    uint64_t map = p->map;
    at = (int)ctx->n_region_pages;
    __atomic_store_n(&p->map, ~0ull, __ATOMIC_SEQ_CST);    /* watched from before it is read */
    if (!copy_page(ctx, ctx->code_copy[at], p->host)) {
        __atomic_store_n(&p->map, map, __ATOMIC_SEQ_CST);
        return -1;
    }
    ctx->n_region_pages++;
    ctx->region_page[at].off = to & ~(int64_t)(TCG_PAGE_SIZE - 1);
    ctx->region_page[at].page = p;
    return at;
}

TcgWay tcg_region_go(TcgUnitDesc *d, int64_t off, int64_t next, int64_t to)
{
    int at = page_for(d, next, to);
    if (at < 0)
        return TCG_WAY_OUT;
    d->back |= to <= off && to != d->page_off;
    if (!at || d->cpu->ctx->region_checked)
        return TCG_WAY_GO;
    d->cpu->ctx->region_checked = true;
    return TCG_WAY_CHECK;
}

/* Instructions of the region that begins at @to, which is in a page met; 0: none does. */
static unsigned region_at(const TcgUnitDesc *d, int64_t to)
{
    int at = tcg_region_page(d, to);
    const TcgContext *ctx = d->cpu ? d->cpu->ctx : NULL;
    const TcgBlock *b = at < 0 || !ctx ? NULL : tcg_block_find(d->cpu->ctx, ctx->region_page[at].page->gpa + (uint64_t)(to - ctx->region_page[at].off), 0, d->mode, false);
    return b && b->tier == 2 ? b->n_insns : 0;
}

TcgWay tcg_region_branch(TcgUnitDesc *d, int64_t off, int64_t next, int64_t to, bool conditional)
{
    enum { SHORT = 24 };       /* a region so short may be repeated at the end of those that lead to it */
    bool start = to == d->page_off, back = !start && to <= off;
    unsigned seen = conditional ? branch_seen(d, next, to) : 2;
    if (back && (conditional ? seen != 1 : region_at(d, to) > SHORT))      /* the loop of another region */
        return TCG_WAY_OUT;
    return seen == 2 || (start && seen != 1) ? tcg_region_go(d, off, next, to) : TCG_WAY_NEXT;
}

void tcg_region_look(TcgCpu *cpu, unsigned index, uint64_t generation)
{
    enum { PATIENCE = 16 };    /* it may soon be there */
    struct { int64_t off; uint64_t gpa; } page[TCG_REGION_SPANS];
    TcgContext *ctx = cpu->ctx;
    unsigned n_pages = 0;
    bool there = true, same = true;
    pthread_mutex_lock(&ctx->lock);
    TcgBlock *b = ctx->generation == generation && index <= ctx->blocks->len ? ctx->blocks->pdata[index - 1] : NULL;
    for (unsigned n = 0; b && !b->dead && n < b->n_parts; n++) {
        page[n_pages].off = b->part[n].off;
        page[n_pages++].gpa = b->part[n].gpa & PAGE_MASK;
    }
    if (b)
        b->heat = HEAT_LOOK;
    pthread_mutex_unlock(&ctx->lock);
    if (!n_pages || !b->check || !cpu->ctx_id)
        return;
    uint64_t base = cpu_pc_base(cpu), gpa, known = base + tcg_check_tag(b->check);
    for (unsigned n = 0; n < n_pages && there && same; n++) {
        there = tcg_fetch_peek(cpu, base + (uint64_t)page[n].off, &gpa);
        same = there && gpa == page[n].gpa;
    }
    if (there || __atomic_add_fetch(&b->absent, 1, __ATOMIC_RELAXED) >= PATIENCE)
        tcg_jumps_saw(cpu, tcg_check_slot(b->check), same ? known : ~known);
}

const uint8_t *tcg_region_code(const TcgUnitDesc *d, int64_t off, unsigned *ret_avail)
{
    int at = tcg_region_page(d, off);
    if (at < 0)
        return NULL;
    const TcgContext *ctx = d->cpu ? d->cpu->ctx : NULL;
    unsigned in = (unsigned)(off - (ctx ? ctx->region_page[at].off : 0));
    *ret_avail = TCG_PAGE_SIZE - in;
    return ctx ? ctx->code_copy[at] + in : d->code + off - d->page_off;
}

bool tcg_region_took(TcgUnitDesc *d, int64_t off, unsigned len)
{
    enum { NEAR = 32 };        /* what lies between is watched too */
    int64_t page = off & ~(int64_t)(TCG_PAGE_SIZE - 1), end = off + len;
    int at = tcg_region_page(d, off);
    if (end > page + TCG_PAGE_SIZE || (at > 0 && d->cpu->ctx->region_page[at].page->vain >> ((off - page) >> 6) & 1))   /* IrUnit.apart knows the first page */
        return false;
    for (unsigned n = 0; n < d->n_spans; n++) {
        int64_t from = d->span[n].off, to = from + d->span[n].len;
        if ((from & ~(int64_t)(TCG_PAGE_SIZE - 1)) != page || (n ? off < from - NEAR : off < from) || off > to + NEAR)
            continue;
        d->span[n].off = MIN(from, off);
        d->span[n].len = (unsigned)(MAX(to, end) - d->span[n].off);
        return true;
    }
    if (d->n_spans == TCG_REGION_SPANS)
        return false;
    d->span[d->n_spans].off = off;
    d->span[d->n_spans++].len = len;
    return true;
}
