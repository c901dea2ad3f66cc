/*
 * Jump caches: where the target of an indirect jump is translated. One table for each context (mode, generation of the address space) met lately, so
 * that a hit needs no look at the context: env->jc is the current one's, or one in which nothing is ever found.
 */
#include <string.h>

#include "tcg/tcg-internal.h"

static unsigned place(uint64_t va) { return (unsigned)(va ^ va >> TCG_PAGE_BITS) >> 1 & (JC_SIZE - 1); }

/* Nobody finds an entry whose address belongs to another place: address 0 belongs to the first, 2 does not. A new table is all zeros but for that one. */
static JumpEntry nothing(unsigned at) { return (JumpEntry){ .va = at ? 0 : 2 }; }

static void seen_clear(JumpTable *t)
{
    for (unsigned n = 0; n < t->n_seen && t->n_seen <= CHECK_FILLED; n++)
        t->seen[t->seen_filled[n]] = 0;
    if (t->n_seen > CHECK_FILLED)
        memset(t->seen, 0, sizeof(t->seen));
    t->n_seen = 0;
}

static void table_clear(JumpTable *t)
{
    for (unsigned n = 0; n < t->n_filled && t->n_filled <= JC_FILLED; n++)
        t->e[t->filled[n]] = nothing(t->filled[n]);
    if (t->n_filled > JC_FILLED) {
        memset(t->e, 0, sizeof(t->e));
        t->e[0] = nothing(0);
    }
    t->n_filled = 0;
    seen_clear(t);
}

JumpTable *tcg_jumps_new(void)
{
    JumpTable *t = g_new0(JumpTable, 1);     /* of memory that is not touched before it is used */
    t->e[0] = nothing(0);
    return t;
}

void tcg_jumps_free(TcgCpu *cpu)
{
    for (unsigned n = 0; n < JC_TABLES; n++)
        g_free(cpu->jumps[n].table);
}

void tcg_jumps_forget(TcgCpu *cpu)
{
    pthread_mutex_lock(&cpu->ctx->lock);
    for (unsigned n = 0; n < JC_TABLES; n++)
        if (cpu->jumps[n].table)
            table_clear(cpu->jumps[n].table);
    pthread_mutex_unlock(&cpu->ctx->lock);
}

/* The slot for context @id: its own, else the one that was not used for longest. */
static unsigned slot_for(TcgCpu *cpu, uint32_t id)
{
    unsigned oldest = 0;
    for (unsigned n = 0; n < JC_TABLES; n++) {
        if (cpu->jumps[n].id == id)
            return n;
        if (cpu->jumps[n].used < cpu->jumps[oldest].used)
            oldest = n;
    }
    pthread_mutex_lock(&cpu->ctx->lock);
    if (!cpu->jumps[oldest].table)
        cpu->jumps[oldest].table = tcg_jumps_new();
    else
        table_clear(cpu->jumps[oldest].table);
    cpu->jumps[oldest].id = id;
    pthread_mutex_unlock(&cpu->ctx->lock);
    return oldest;
}

void tcg_jumps_select(TcgCpu *cpu, uint32_t id)
{
    JumpTable *none = cpu->ctx->no_jumps;
    unsigned n = cpu->jumps_now, before = cpu->jumps_before;
    if (id && cpu->jumps[n].id != id) {
        n = cpu->jumps[before].id == id ? before : slot_for(cpu, id);
        cpu->jumps_before = cpu->jumps_now;
        cpu->jumps_now = n;
        cpu->jumps[n].used = ++cpu->jumps_clock;
    }
    __atomic_store_n(&cpu->env->jc, id ? cpu->jumps[n].table->e : none->e, __ATOMIC_SEQ_CST);
}

void tcg_jumps_saw(TcgCpu *cpu, unsigned slot, uint64_t what)
{
    JumpTable *t = cpu->jumps[cpu->jumps_now].table;
    if (!t->seen[slot] && t->n_seen < CHECK_FILLED)
        t->seen_filled[t->n_seen] = (uint16_t)slot;
    t->n_seen += !t->seen[slot] && t->n_seen <= CHECK_FILLED;
    t->seen[slot] = what;
}

TcgBlock *tcg_jumps_find(TcgCpu *cpu, uint32_t id, uint64_t va)
{
    for (unsigned n = 0; n < JC_TABLES; n++) {
        const JumpTable *t = cpu->jumps[n].table;
        if (!t || cpu->jumps[n].id != id || t->e[place(va)].va != va || !t->e[place(va)].host)
            continue;
        TcgBlock *b = cpu->ctx->blocks->pdata[t->block[place(va)] - 1];
        return b->dead ? NULL : b;
    }
    return NULL;
}

void tcg_jumps_enter(TcgCpu *cpu, uint64_t va, const TcgBlock *b, void *host)
{
    if (!cpu->ctx_id || !host)
        return;
    JumpTable *t = cpu->jumps[cpu->jumps_now].table;
    unsigned at = place(va);
    if (t->e[at].va == va && t->e[at].host == host)
        return;                /* a forked child need not copy the page */
    pthread_mutex_lock(&cpu->ctx->lock);
    if (t->e[at].va == nothing(at).va) {
        if (t->n_filled < JC_FILLED)
            t->filled[t->n_filled] = (uint16_t)at;
        t->n_filled += t->n_filled <= JC_FILLED;
    }
    t->e[at] = (JumpEntry){ va, host };
    t->block[at] = b->index;
    pthread_mutex_unlock(&cpu->ctx->lock);
}

void tcg_jumps_keep(TcgCpu *cpu, bool (*stays)(void *opaque, uint64_t va), void *opaque)
{
    for (unsigned k = 0; k < JC_TABLES; k++) {
        JumpTable *t = cpu->jumps[k].table;
        if (t && t->n_filled > JC_FILLED)
            table_clear(t);
        if (t)
            seen_clear(t);
        for (unsigned n = 0; t && n < t->n_filled; n++) {
            JumpEntry *e = &t->e[t->filled[n]];
            if (e->va != nothing(t->filled[n]).va && !stays(opaque, e->va))
                *e = nothing(t->filled[n]);
        }
    }
}
