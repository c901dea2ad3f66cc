/* Address spaces of a vCPU: executable pages met, flushes, revoking write entries. */
#include <string.h>

#include "tcg/tcg-internal.h"

static const uint64_t PAGE_MASK = ~(uint64_t)(TCG_PAGE_SIZE - 1);
enum { TLB_PLACES = TCG_REGIMES * 2 * TLB_SIZE };

static bool large_has(const LargePages *l, uint64_t va)
{
    for (unsigned n = 0; n < l->n; n++)
        if (!((va ^ l->at[n].base) & l->at[n].mask))
            return true;
    return false;
}

/* Mask of the smallest region that holds both. */
static uint64_t joint_mask(uint64_t base1, uint64_t mask1, uint64_t base2, uint64_t mask2)
{
    uint64_t mask = mask1 & mask2, diff = (base1 ^ base2) & mask;
    if (!diff)
        return mask;
    unsigned top = 63 - (unsigned)__builtin_clzll(diff);
    return top == 63 ? 0 : mask & ~0ull << (top + 1);
}

/* When the table is full the two regions closest to each other become one: user's and kernel's stay apart. */
void tcg_large_note(LargePages *l, uint64_t va, unsigned page_log2)
{
    uint64_t mask = ~(uint64_t)0 << page_log2, best_mask = 0;
    unsigned a = 0, b = 1;
    if (page_log2 <= TCG_PAGE_BITS)
        return;
    for (unsigned n = 0; n < l->n; n++)
        if (!((va ^ l->at[n].base) & l->at[n].mask) && (l->at[n].mask & mask) == l->at[n].mask)
            return;
    l->at[l->n].base = va & mask;
    l->at[l->n++].mask = mask;
    if (l->n <= LARGE_REGIONS)
        return;
    for (unsigned i = 0; i < l->n; i++)
        for (unsigned k = i + 1; k < l->n; k++) {
            uint64_t m = joint_mask(l->at[i].base, l->at[i].mask, l->at[k].base, l->at[k].mask);
            if (m > best_mask) {
                best_mask = m;
                a = i;
                b = k;
            }
        }
    l->at[a].base &= best_mask;
    l->at[a].mask = best_mask;
    l->at[b] = l->at[--l->n];
}

/* Two bits a page, of all bits of its number: user's pages are not to look like the kernel's. Pages of a large one are in the list of those. */
static uint64_t xseen_hash(uint64_t va) { return (va >> TCG_PAGE_BITS) * 0x9e3779b97f4a7c15ull; }
static unsigned xseen_first(uint64_t hash) { return hash >> 48 & (XSEEN_BITS - 1); }
static unsigned xseen_second(uint64_t hash) { return hash >> 32 & (XSEEN_BITS - 1); }

static void xseen_note(XSeen *x, uint64_t va)
{
    uint64_t hash = xseen_hash(va);
    x->bits[xseen_first(hash) / 64] |= 1ull << xseen_first(hash) % 64;
    x->bits[xseen_second(hash) / 64] |= 1ull << xseen_second(hash) % 64;
}

static bool xseen_has(const XSeen *x, uint64_t va)
{
    uint64_t hash = xseen_hash(va);
    return x->bits[xseen_first(hash) / 64] >> xseen_first(hash) % 64 & x->bits[xseen_second(hash) / 64] >> xseen_second(hash) % 64 & 1;
}

static unsigned filter_bit(uint64_t gpa) { return (unsigned)((gpa >> TCG_PAGE_BITS) * 0x9e3779b97f4a7c15ull >> 52); }

void tcg_filter_add(TlbSpace *s, uint64_t gpa)
{
    unsigned bit = filter_bit(gpa);
    uint64_t *w = &s->wfilter[bit >> 6];
    __atomic_store_n(w, *w | 1ull << (bit & 63), __ATOMIC_SEQ_CST);
}

/* ---- execution ---- */
static XEntry *x_at(TcgCpu *cpu, uint64_t va, bool super)
{
    return super ? &cpu->x_super[va >> TCG_PAGE_BITS & (XTLB_SIZE - 1)] : &tcg_cur_space(cpu)->x[va >> TCG_PAGE_BITS & (XTLB_SIZE - 1)];
}

bool tcg_fetch_peek(TcgCpu *cpu, uint64_t va, uint64_t *ret_gpa)
{
    if (cpu_direct(cpu)) {
        *ret_gpa = va & PAGE_MASK;
        return cpu->cb->exec_ok(cpu->opaque, va);
    }
    bool super = cpu->isa->supervisor(cpu->mode);
    uint32_t gen = super ? cpu->super_gen : tcg_cur_space(cpu)->ctx_gen;
    XEntry *x = x_at(cpu, va, super);
    uint64_t page = va & PAGE_MASK;
    uint32_t regime = cpu->isa->fetch_regime ? cpu->isa->fetch_regime(cpu->mode) : 0;
    if (x->va != page || x->gen != gen || x->regime != regime) {
        TcgXlate t = { .page_log2 = TCG_PAGE_BITS };
        if (!cpu->isa->mmu(cpu, va, TCG_EXEC, cpu->isa->regime(cpu->mode), &t))
            return false;
        if (super && !t.global)
            cpu->super_nonglobal = true;
        if (t.page_log2 <= TCG_PAGE_BITS)
            xseen_note(super ? &cpu->x_super_seen : &tcg_cur_space(cpu)->x_seen, va);
        tcg_large_note(super ? &cpu->x_super_large : &tcg_cur_space(cpu)->large, va, t.page_log2);
        *x = (XEntry){ .va = page, .gpa = t.gpa & PAGE_MASK, .gen = gen, .regime = regime };
    }
    *ret_gpa = x->gpa;
    return true;
}

uint64_t tcg_fetch_page(TcgCpu *cpu, uint64_t va)
{
    uint64_t gpa;
    if (!tcg_fetch_peek(cpu, va, &gpa))
        cpu->isa->mmu_fault(cpu, va, TCG_EXEC, cpu->isa->regime(cpu->mode));
    return gpa;
}

/* ---- spaces and flushes ---- */
uint32_t tcg_new_gen(TcgContext *ctx) { return __atomic_add_fetch(&ctx->next_gen, 1, __ATOMIC_RELAXED); }

static void drop_user_code(TcgCpu *cpu, TlbSpace *s)
{
    s->ctx_gen = tcg_new_gen(cpu->ctx);
    memset(&s->x_seen, 0, sizeof(s->x_seen));
}

void tcg_space_drop(TcgCpu *cpu, TlbSpace *s)
{
    if (cpu_direct(cpu)) {     /* never filled */
        s->n_filled = 0;
    } else if (s->n_filled > TLB_FILLED) {
        for (unsigned r = 0; r < TCG_REGIMES; r++) {
            if (!(s->regimes >> r & 1))
                continue;
            memset(s->e[r], 0xff, sizeof(s->e[r]));
            memset(s->info[r], 0xff, sizeof(s->info[r]));
        }
    } else {
        for (unsigned n = 0; n < s->n_filled; n++) {
            tcg_space_entries(s)[s->filled[n]].tag = TLB_NONE;
            tcg_space_info(s)[s->filled[n]].va = TLB_NONE;
        }
    }
    if (s->n_filled)
        memset(s->wfilter, 0, sizeof(s->wfilter));
    s->n_filled = s->regimes = 0;
    memset(s->victim, 0, sizeof(s->victim));
    s->large.n = 0;
    drop_user_code(cpu, s);
    cpu->stats.tlb_flushes++;
}

static void drop_super(TcgCpu *cpu)
{
    cpu->super_gen = tcg_new_gen(cpu->ctx);
    cpu->super_nonglobal = false;
    memset(&cpu->x_super_seen, 0, sizeof(cpu->x_super_seen));
    cpu->x_super_large.n = 0;
}

void tcg_set_space(TcgCpu *cpu, uint64_t base, uint32_t tag)
{
    unsigned pick = 0;
    bool found = false;
    for (unsigned n = 0; n < cpu->n_spaces && !found; n++)
        if (cpu->spaces[n]->valid && cpu->spaces[n]->base == base && cpu->spaces[n]->tag == tag) {
            pick = n;
            found = true;
        }
    for (unsigned n = 1; n < cpu->n_spaces && !found; n++) {
        TlbSpace *a = cpu->spaces[n], *b = cpu->spaces[pick];
        if (b->valid && (!a->valid || a->last_use < b->last_use))
            pick = n;
    }
    TlbSpace *s = cpu->spaces[pick];
    if (!found) {
        tcg_space_drop(cpu, s);
        s->base = base;
        s->tag = tag;
        s->valid = true;
    }
    s->last_use = ++cpu->space_clock;
    cpu->space = pick;
    cpu->env->tlb = tcg_space_entries(s);
    if (cpu->super_nonglobal)
        drop_super(cpu);
    tcg_update_ctx(cpu);
}

void tcg_flush_tag(TcgCpu *cpu, uint32_t tag)
{
    cpu->n_flushes++;
    for (unsigned n = 0; n < cpu->n_spaces; n++) {
        TlbSpace *s = cpu->spaces[n];
        if (!s->valid || s->tag != tag)
            continue;
        tcg_space_drop(cpu, s);
        s->valid = n == cpu->space;
    }
    if (cpu->super_nonglobal)
        drop_super(cpu);
    tcg_update_ctx(cpu);
}

void tcg_flush_nonglobal(TcgCpu *cpu)
{
    cpu->n_flushes++;
    for (unsigned n = 0; n < cpu->n_spaces; n++) {
        if (cpu->spaces[n]->valid)
            tcg_space_drop(cpu, cpu->spaces[n]);
        cpu->spaces[n]->valid = n == cpu->space;
    }
    if (cpu->super_nonglobal)
        drop_super(cpu);
    tcg_update_ctx(cpu);
}

void tcg_flush_all(TcgCpu *cpu)
{
    cpu->phys_gen++;
    tcg_flush_nonglobal(cpu);
    drop_super(cpu);
    tcg_update_ctx(cpu);
}

static void flush_page_in(TcgCpu *cpu, TlbSpace *s, uint64_t va)
{
    uint64_t page = va & PAGE_MASK;
    if (large_has(&s->large, va)) {
        tcg_space_drop(cpu, s);
        return;
    }
    for (unsigned n = 0; n < 2 * TCG_REGIMES; n++) {
        unsigned place = tcg_tlb_place(va, n & 1, n / 2);
        if (!(s->regimes >> n / 2 & 1) || tcg_space_info(s)[place].va != page)
            continue;
        tcg_space_entries(s)[place].tag = TLB_NONE;
        tcg_space_info(s)[place].va = TLB_NONE;
    }
    for (unsigned n = 0; n < TLB_VICTIMS; n++)
        if (s->victim[n].info.va == page)
            s->victim[n].place = 0;
    if (xseen_has(&s->x_seen, va))
        drop_user_code(cpu, s);
}

void tcg_flush_page(TcgCpu *cpu, uint64_t va, uint32_t tag)
{
    (void)tag;                 /* every space: the page may be a global one */
    cpu->n_flushes++;
    for (unsigned n = 0; n < cpu->n_spaces; n++)
        if (cpu->spaces[n]->valid)
            flush_page_in(cpu, cpu->spaces[n], va);
    if (xseen_has(&cpu->x_super_seen, va) || large_has(&cpu->x_super_large, va))
        drop_super(cpu);
    tcg_update_ctx(cpu);
}

void tcg_revoke_writes(TcgContext *ctx, uint64_t gpa)
{
    for (unsigned c = 0; c < ctx->cpus->len; c++) {
        TcgCpu *cpu = ctx->cpus->pdata[c];
        for (unsigned n = 0; n < cpu->n_spaces; n++) {
            TlbSpace *s = cpu->spaces[n];
            unsigned bit = filter_bit(gpa);
            if (!(__atomic_load_n(&s->wfilter[bit >> 6], __ATOMIC_SEQ_CST) >> (bit & 63) & 1))
                continue;
            unsigned count = s->n_filled > TLB_FILLED ? TLB_PLACES : s->n_filled;
            for (unsigned k = 0; k < count; k++) {
                unsigned place = s->n_filled > TLB_FILLED ? k : s->filled[k];
                if (tcg_place_writes(place) && (tcg_space_info(s)[place].gpa & PAGE_MASK) == gpa)
                    __atomic_store_n(&tcg_space_entries(s)[place].tag, TLB_NONE, __ATOMIC_SEQ_CST);
            }
        }
    }
}

void tcg_revoke_all_writes(TcgContext *ctx)
{
    __atomic_add_fetch(&ctx->track_gen, 1, __ATOMIC_SEQ_CST);
    pthread_mutex_lock(&ctx->lock);
    for (unsigned c = 0; c < ctx->cpus->len; c++) {
        TcgCpu *cpu = ctx->cpus->pdata[c];
        for (unsigned n = 0; n < cpu->n_spaces; n++)
            for (unsigned k = 0; cpu->spaces[n]->valid && k < TLB_PLACES; k++)
                if (tcg_place_writes(k))
                    __atomic_store_n(&tcg_space_entries(cpu->spaces[n])[k].tag, TLB_NONE, __ATOMIC_SEQ_CST);
    }
    pthread_mutex_unlock(&ctx->lock);
}

/* ---- flushes on all vCPUs ---- */
void tcg_flush_here(TcgCpu *cpu, TcgFlush what, uint64_t va, uint32_t tag)
{
    if (cpu->isa->flush_as)
        what = cpu->isa->flush_as(cpu, what);
    switch (what) {
    case TCG_FLUSH_ALL: tcg_flush_all(cpu); break;
    case TCG_FLUSH_TAG: tcg_flush_tag(cpu, tag); break;
    case TCG_FLUSH_PAGE: tcg_flush_page(cpu, va, tag); break;
    }
}

static void ask(TcgCpu *cpu, TcgFlush what, uint64_t va, uint32_t tag)
{
    pthread_mutex_lock(&cpu->asked_lock);
    unsigned n = cpu->n_asked;
    if (n == MAX_ASKED) {
        n = 0;
        what = TCG_FLUSH_ALL;
    }
    if (!n || cpu->asked[0].what != TCG_FLUSH_ALL) {
        cpu->asked[n].what = what;
        cpu->asked[n].va = va;
        cpu->asked[n].tag = tag;
        __atomic_store_n(&cpu->n_asked, n + 1, __ATOMIC_SEQ_CST);
    }
    pthread_mutex_unlock(&cpu->asked_lock);
}

void tcg_do_asked(TcgCpu *cpu)
{
    if (!__atomic_load_n(&cpu->n_asked, __ATOMIC_SEQ_CST))
        return;
    pthread_mutex_lock(&cpu->asked_lock);
    for (unsigned i = 0; i < cpu->n_asked; i++)
        tcg_flush_here(cpu, cpu->asked[i].what, cpu->asked[i].va, cpu->asked[i].tag);
    __atomic_store_n(&cpu->n_asked, 0, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&cpu->asked_lock);
}

bool tcg_flush_everywhere(TcgCpu *cpu, TcgFlush what, uint64_t va, uint32_t tag)
{
    const GPtrArray *cpus = cpu->ctx->cpus;
    tcg_flush_here(cpu, what, va, tag);
    for (unsigned n = 0; n < cpus->len; n++)
        if (cpus->pdata[n] != cpu)
            ask(cpus->pdata[n], what, va, tag);
    return cpus->len > 1;
}

void tcg_flush_settle(TcgCpu *cpu)
{
    const GPtrArray *cpus = cpu->ctx->cpus;
    bool any = false;
    for (unsigned n = 0; n < cpus->len; n++) {
        TcgCpu *c = cpus->pdata[n];         /* one that does not run does what it is asked before it runs */
        any |= __atomic_load_n(&c->n_asked, __ATOMIC_SEQ_CST) && __atomic_load_n(&c->inside, __ATOMIC_SEQ_CST);
    }
    if (!any)
        return;
    tcg_need_alone(cpu);
    for (unsigned n = 0; n < cpus->len; n++)
        tcg_do_asked(cpus->pdata[n]);
}
