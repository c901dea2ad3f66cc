/* Translations: look-up, making, invalidation. */
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "tcg/tcg-internal.h"
#include "util/loop.h"

static const uint64_t PAGE_MASK = ~(uint64_t)(TCG_PAGE_SIZE - 1);

enum { UNIT_INSNS = 64, UNIT_BYTES = UNIT_INSNS * 16, REGION_INSNS = 96 };

/* Neighbours in the code are neighbours in the table: a short process touches little of it. */
static unsigned block_hash(uint64_t gpa, uint64_t mode)
{
    enum { SLOT_BITS = 7 };    /* for each page of code */
    uint64_t page = (gpa >> TCG_PAGE_BITS) + (gpa >> 30) + (mode * 0x9e3779b97f4a7c15ull >> 40), slot = (gpa >> 1 ^ gpa >> 8) & ((1 << SLOT_BITS) - 1);
    return (unsigned)(page << SLOT_BITS | slot) & (BLOCK_HASH - 1);
}

static unsigned page_hash(uint64_t gpa) { return (unsigned)((gpa >> TCG_PAGE_BITS) * 0x9e3779b1u >> 8) & (PAGE_HASH - 1); }

/* Lock-free: chains only grow at the head; dead blocks stay until everything is flushed. */
TcgBlock *tcg_block_find(TcgContext *ctx, uint64_t gpa, uint64_t gpa2, uint64_t mode, bool one_insn)
{
    TcgBlock *b = __atomic_load_n(&ctx->hash[block_hash(gpa, mode)], __ATOMIC_ACQUIRE);
    for (; b; b = b->hash_next)
        if (b->gpa == gpa && b->mode == mode && !__atomic_load_n(&b->dead, __ATOMIC_RELAXED) && b->one_insn == one_insn &&
            (!b->gpa2 || b->gpa2 == gpa2))
            return b;
    return NULL;
}

CodePage *tcg_code_page(TcgContext *ctx, uint64_t gpa)
{
    CodePage *p = __atomic_load_n(&ctx->pages[page_hash(gpa)], __ATOMIC_ACQUIRE);
    while (p && p->gpa != gpa)
        p = p->next;
    return p;
}

/* Most pages never have code: a bit that is clear says so without a look at the list, which is not in the host's caches. */
static unsigned maybe_bit(uint64_t gpa) { return (unsigned)((gpa >> TCG_PAGE_BITS) * 0x9e3779b97f4a7c15ull >> 49); }

bool tcg_page_has_code(TcgContext *ctx, uint64_t gpa)
{
    unsigned bit = maybe_bit(gpa);
    if (!(__atomic_load_n(&ctx->maybe_code[bit >> 6], __ATOMIC_SEQ_CST) >> (bit & 63) & 1))
        return false;
    const CodePage *p = tcg_code_page(ctx, gpa & PAGE_MASK);
    return p && __atomic_load_n(&p->armed, __ATOMIC_SEQ_CST);
}

/* ---- pages with code; ctx->lock held ---- */
static uint64_t map_bits(uint64_t gpa, uint64_t len)
{
    unsigned first = (unsigned)(gpa & ~PAGE_MASK) >> 6, last = (unsigned)MIN((gpa & ~PAGE_MASK) + len - 1, (uint64_t)TCG_PAGE_SIZE - 1) >> 6;
    return (last - first == 63 ? ~0ull : (1ull << (last - first + 1)) - 1) << first;
}

static void page_arm(TcgCpu *cpu, CodePage *p)
{
    TcgContext *ctx = cpu->ctx;
    __atomic_store_n(&p->armed, true, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&ctx->track_gen, 1, __ATOMIC_SEQ_CST);
    tcg_revoke_writes(ctx, p->gpa);
    if (cpu->cb->page_code)
        cpu->cb->page_code(cpu->opaque, p->gpa, true);
    p->idle_writes = 0;
    if (ctx->cpus->len < 2 || ctx->config.direct)
        return;
    /* another vCPU may be between its look at the soft TLB and its store: the bytes are compared when all have been at a safe point */
    p->armed_at = __atomic_add_fetch(&ctx->arm_seq, 1, __ATOMIC_SEQ_CST);
    if (!p->unchecked) {
        p->unchecked = true;
        p->unchecked_next = ctx->unchecked;
        __atomic_store_n(&ctx->unchecked, p, __ATOMIC_SEQ_CST);
    }
    for (unsigned n = 0; n < ctx->cpus->len; n++)
        if (ctx->cpus->pdata[n] != cpu)
            tcg_cpu_poke(ctx->cpus->pdata[n]);
}

static void page_disarm(TcgCpu *cpu, CodePage *p)
{
    __atomic_store_n(&p->armed, false, __ATOMIC_SEQ_CST);
    if (cpu && cpu->cb->page_code)
        cpu->cb->page_code(cpu->opaque, p->gpa, false);
}

/* One more translation, or one being made: writes are watched from before its bytes are read. */
static CodePage *page_hold(TcgCpu *cpu, uint64_t gpa)
{
    TcgContext *ctx = cpu->ctx;
    CodePage *p = tcg_code_page(ctx, gpa);
    if (!p) {
        p = g_new0(CodePage, 1);
        p->gpa = gpa;
        __atomic_fetch_or(&ctx->maybe_code[maybe_bit(gpa) >> 6], 1ull << (maybe_bit(gpa) & 63), __ATOMIC_SEQ_CST);
        p->next = ctx->pages[page_hash(gpa)];
        __atomic_store_n(&ctx->pages[page_hash(gpa)], p, __ATOMIC_RELEASE);
    }
    p->n_live++;
    if (!p->armed && !p->loose)
        page_arm(cpu, p);
    return p;
}

static void page_drop(TcgCpu *cpu, CodePage *p)
{
    p->n_live--;
    if (!p->n_live && p->armed && cpu && cpu->ctx->config.direct)    /* the host's page protection: every write in vain is a signal */
        page_disarm(cpu, p);
}

/* No code of it runs any more, what was killed included. */
static bool page_quiet(const TcgContext *ctx, const CodePage *p)
{
    return !p->n_live && p->armed && (ctx->cpus->len < 2 || tcg_all_passed(ctx, p->killed_at));
}

/* Written again and again, and no code of it runs any more: from now on directly. */
static void page_idle(TcgCpu *cpu, CodePage *p)
{
    if (p->n_live || !p->armed || ++p->idle_writes < MAX_IDLE_WRITES)
        return;
    pthread_mutex_lock(&cpu->ctx->lock);
    if (page_quiet(cpu->ctx, p))
        page_disarm(cpu, p);
    pthread_mutex_unlock(&cpu->ctx->lock);
}

static unsigned grain(uint64_t gpa) { return (unsigned)(gpa & ~PAGE_MASK) >> 6; }

static void publish_map(CodePage *p) { __atomic_store_n(&p->map, p->bits, __ATOMIC_SEQ_CST); }

static void page_list(CodePage *p, TcgPart *part)
{
    TcgPart **head = &p->at[grain(part->gpa)];
    uint64_t bits = map_bits(part->gpa, part->len);
    part->next = *head;
    *head = part;
    p->span = MAX(p->span, (unsigned)__builtin_popcountll(bits));
    p->bits |= bits;
    for (; bits; bits &= bits - 1)
        p->cover[__builtin_ctzll(bits)]++;
    publish_map(p);
}

static void page_unlist(CodePage *p, TcgPart *part)
{
    TcgPart **at = &p->at[grain(part->gpa)];
    while (*at != part)
        at = &(*at)->next;
    *at = part->next;
    for (uint64_t bits = map_bits(part->gpa, part->len); bits; bits &= bits - 1)
        if (!--p->cover[__builtin_ctzll(bits)])
            p->bits &= ~(bits & -bits);
    publish_map(p);
}

/* Readers of the chain may stand on it: its own link stays. */
static void hash_remove(TcgContext *ctx, TcgBlock *b)
{
    for (TcgBlock **at = &ctx->hash[block_hash(b->gpa, b->mode)]; *at; at = &(*at)->hash_next)
        if (*at == b) {
            __atomic_store_n(at, b->hash_next, __ATOMIC_RELEASE);
            return;
        }
}

/* Lists of parts are other ones afterwards. */
static void block_kill(TcgCpu *cpu, TcgContext *ctx, TcgBlock *b)
{
    TcgBlock *old = b->replaced;
    CodePage *p = tcg_code_page(ctx, b->gpa & PAGE_MASK);
    uint32_t seq = __atomic_add_fetch(&ctx->arm_seq, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&b->dead, 1, __ATOMIC_SEQ_CST);
    if (ctx->host->kill)
        ctx->host->kill(ctx, b);
    hash_remove(ctx, b);
    for (unsigned n = 0; n < b->n_parts; n++) {
        CodePage *q = tcg_code_page(ctx, b->part[n].gpa & PAGE_MASK);
        __atomic_store_n(&q->killed_at, seq, __ATOMIC_SEQ_CST);      /* before its map says that nothing is there */
        page_unlist(q, &b->part[n]);
        page_drop(cpu, q);
    }
    __atomic_store_n(&ctx->stats.invalidations, ctx->stats.invalidations + 1, __ATOMIC_RELAXED);
    b->replaced = NULL;
    if (b->revivable && p->n_killed == MAX_KILLED) {
        p->killed = NULL;      /* what is forgotten stays in the cache until that is flushed */
        p->n_killed = 0;
    }
    if (b->revivable) {
        b->killed_next = p->killed;
        p->killed = b;
        p->n_killed++;
    }
    TcgBlock *other = old && !old->dead ? old : b->region && !b->region->dead ? b->region : NULL;
    if (other)
        block_kill(cpu, ctx, other);   /* its entry leads here; or its side exits do */
}

/* The write is of an operand that the translation reads when it runs. */
static bool in_hole(const TcgBlock *b, uint64_t from, uint64_t to)
{
    uint64_t page = b->gpa & PAGE_MASK;
    for (unsigned n = 0; n < b->n_holes; n++)
        if (from >= page + b->hole[n].off && to <= page + b->hole[n].off + b->hole[n].len)
            return true;
    return false;
}

/* It was made of these bytes of its page, holes aside. */
static bool same_bytes(const TcgPart *part, const uint8_t *page)
{
    const uint8_t *code = page + (part->gpa & ~PAGE_MASK);
    if (!part->bytes)
        return false;
    if (!part->b->n_holes)
        return !memcmp(part->bytes, code, part->len);
    for (unsigned n = 0; n < part->len; n++)
        if (part->bytes[n] != code[n] && !in_hole(part->b, part->gpa + n, part->gpa + n + 1))
            return false;
    return true;
}

/* A write of an immediate operand's size killed something. */
static void note_patch(CodePage *p, uint64_t gpa, unsigned len)
{
    unsigned pick = 0, off = (unsigned)(gpa & ~PAGE_MASK);
    if (len != 4 && len != 8)
        return;
    for (unsigned n = 0; n < TCG_MAX_SOFT; n++) {
        if (p->patched[n].at.off == off && p->patched[n].at.len == len) {
            p->patched[n].n += p->patched[n].n < 255;
            return;
        }
        if (p->patched[n].n < p->patched[pick].n)
            pick = n;
    }
    p->patched[pick].at = (struct TcgSoft){ (uint16_t)off, (uint8_t)len };
    p->patched[pick].n = 1;
}

/* Kill what was made of [gpa, gpa+len) (within a page). Returns whether the instruction at @self (gpa, or ~0) was among it. */
static bool kill_range(TcgCpu *cpu, TcgContext *ctx, uint64_t gpa, uint64_t len, uint64_t self)
{
    CodePage *p = tcg_code_page(ctx, gpa & PAGE_MASK);
    bool hit_self = false;
    if (!p)
        return false;
    unsigned first = (unsigned)(gpa & ~PAGE_MASK) >> 6, last = (unsigned)((gpa & ~PAGE_MASK) + len - 1) >> 6;
    for (unsigned g = first < p->span ? 0 : first - p->span; g <= last; g++)
        for (TcgPart *part = p->at[g], *next; part; part = next) {
            TcgBlock *b = part->b;
            next = part->next;
            if (gpa >= part->gpa + part->len || gpa + len <= part->gpa || in_hole(b, gpa, gpa + len))
                continue;
            note_patch(p, gpa, (unsigned)len);
            for (unsigned n = 0; n < b->n_parts; n++)
                hit_self |= self >= b->part[n].gpa && self < b->part[n].gpa + b->part[n].len;
            block_kill(cpu, ctx, b);
            next = p->at[g];
        }
    publish_map(p);
    return hit_self;
}

/* Without a lock: no translation is made of these bytes, nor being made. */
static bool outside_map(TcgContext *ctx, uint64_t gpa, unsigned len, CodePage **ret)
{
    *ret = tcg_code_page(ctx, gpa & PAGE_MASK);
    return !*ret || !(__atomic_load_n(&(*ret)->map, __ATOMIC_SEQ_CST) & map_bits(gpa, len));
}

/* The translation whose host code (executable view) holds @host, or NULL: they are made at ascending addresses. ctx->lock held. */
TcgBlock *tcg_block_at(TcgContext *ctx, const void *host)
{
    guint lo = 0, hi = ctx->blocks->len;
    while (lo < hi) {
        guint mid = (lo + hi) / 2;
        const TcgBlock *b = ctx->blocks->pdata[mid];
        if ((const uint8_t *)b->host + b->host_len <= (const uint8_t *)host)
            lo = mid + 1;
        else
            hi = mid;
    }
    TcgBlock *b = lo < ctx->blocks->len ? ctx->blocks->pdata[lo] : NULL;
    return b && (const uint8_t *)b->host <= (const uint8_t *)host ? b : NULL;
}

/* Returns whether the running instruction was among it. */
static bool kill_written(TcgCpu *cpu, uint64_t gpa, unsigned len)
{
    TcgContext *ctx = cpu->ctx;
    uint64_t self = ~0ull, page, pc = cpu_pc_base(cpu) + (uint64_t)(int64_t)cpu->env->cur_off;
    if (cpu->env->in_code && tcg_fetch_peek(cpu, pc & PAGE_MASK, &page))
        self = page + (pc & ~PAGE_MASK);
    pthread_mutex_lock(&ctx->lock);
    uint64_t before = ctx->stats.invalidations;
    bool hit = kill_range(cpu, ctx, gpa, len, self);
    if (ctx->stats.invalidations != before)
        tcg_poke_others(ctx, cpu);      /* who is in a translation that was killed shall not stay there for long */
    pthread_mutex_unlock(&ctx->lock);
    return hit;
}

void tcg_lookup_vain(TcgCpu *cpu)
{
    TcgContext *ctx = cpu->ctx;
    uint64_t gpa, pc = cpu_pc_base(cpu) + (uint64_t)(int64_t)cpu->env->cur_off;
    if (!tcg_fetch_peek(cpu, pc & PAGE_MASK, &gpa))
        return;
    gpa += pc & ~PAGE_MASK;
    pthread_mutex_lock(&ctx->lock);
    CodePage *p = tcg_code_page(ctx, gpa & PAGE_MASK);
    if (p && ++p->vain_hits >= MAX_VAIN) {
        p->vain_hits = 0;
        p->vain |= map_bits(gpa, 1);
        kill_range(cpu, ctx, gpa, 1, ~0ull);
        p->killed = NULL;      /* none of these shall come back */
        p->n_killed = 0;
    }
    pthread_mutex_unlock(&ctx->lock);
}

/* ---- direct memory: a write to watched code is a signal and two changes of protection ---- */
/* One more; too many in a short time: for a while the page is not watched. ctx->lock held. */
static void count_fault(CodePage *p)
{
    int64_t now = clock_now_ns(&clock_host);
    if (!p->faults++ || now - p->faults_since > FAULTS_NS) {
        p->faults = 1;
        p->faults_since = now;
    } else if (p->faults >= LOOSE_FAULTS) {
        p->faults = 0;
        p->loose = true;
        p->loose_until = now + LOOSE_NS;
    }
}

bool tcg_page_written(TcgCpu *cpu, uint64_t gpa)
{
    pthread_mutex_lock(&cpu->ctx->lock);
    CodePage *p = tcg_code_page(cpu->ctx, gpa & PAGE_MASK);
    if (p && p->n_live && !p->loose)
        count_fault(p);
    pthread_mutex_unlock(&cpu->ctx->lock);
    return kill_written(cpu, gpa & PAGE_MASK, TCG_PAGE_SIZE);
}

bool tcg_block_stands(TcgCpu *cpu, TcgBlock *b)
{
    TcgContext *ctx = cpu->ctx;
    CodePage *p = tcg_code_page(ctx, b->gpa & PAGE_MASK);
    bool same = true;
    for (unsigned n = 0; n < b->n_parts && same; n++)
        same = same_bytes(&b->part[n], cpu_host(cpu, b->part[n].gpa & PAGE_MASK));
    bool look = !(__atomic_add_fetch(&p->checks, 1, __ATOMIC_RELAXED) & (LOOK_AT_CLOCK - 1)) && clock_now_ns(&clock_host) > p->loose_until;
    if (same && !look)
        return true;
    pthread_mutex_lock(&ctx->lock);
    if (look && p->loose) {    /* once more with protection */
        p->loose = false;
        kill_range(cpu, ctx, p->gpa, TCG_PAGE_SIZE, ~0ull);
    }
    if (!same && !b->dead)
        block_kill(cpu, ctx, b);
    pthread_mutex_unlock(&ctx->lock);
    return false;
}

/* The unit that runs may have been made of the page, and killed by another vCPU since this one was at a safe point. */
static bool killed_lately(const TcgCpu *cpu, const CodePage *p)
{
    return p && cpu->ctx->cpus->len > 1 && (int32_t)(__atomic_load_n(&p->killed_at, __ATOMIC_SEQ_CST) - cpu->seen_arm) > 0;
}

/* A store is about to change watched memory. If it hits the unit that runs, that instruction is started again alone (does not return). */
void tcg_code_written(TcgCpu *cpu, uint64_t gpa, unsigned len)
{
    CodePage *p;
    bool hit = false;
    if (!outside_map(cpu->ctx, gpa, len, &p))
        hit = kill_written(cpu, gpa, len);
    else if (p)
        page_idle(cpu, p);
    hit |= killed_lately(cpu, p);
    if (hit && cpu->env->in_code && !cpu->cur_block->one_insn && !cpu->committed) {
        tcg_sync_pc(cpu);
        cpu->one_insn = true;
        tcg_leave(cpu);
    }
}

void tcg_code_stored(TcgCpu *cpu, uint64_t gpa, unsigned len)
{
    CodePage *p;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!outside_map(cpu->ctx, gpa, len, &p))
        kill_written(cpu, gpa, len);
}

static void compare_page(TcgCpu *cpu, CodePage *p)
{
    unsigned flags;
    const uint8_t *host = cpu->cb->page(cpu->opaque, p->gpa, &flags);
    for (unsigned g = 0; g < CODE_GRAINS; g++)
        for (TcgPart *part = p->at[g], *next; part; part = next) {
            next = part->next;
            if (!host || !same_bytes(part, host)) {
                block_kill(cpu, cpu->ctx, part->b);
                next = p->at[g];
            }
        }
}

void tcg_check_armed(TcgCpu *cpu)
{
    TcgContext *ctx = cpu->ctx;
    pthread_mutex_lock(&ctx->lock);
    for (CodePage **at = &ctx->unchecked; *at;) {
        CodePage *p = *at;
        if (!tcg_all_passed(ctx, p->armed_at)) {
            at = &p->unchecked_next;
            continue;
        }
        __atomic_store_n(at, p->unchecked_next, __ATOMIC_SEQ_CST);
        p->unchecked = false;
        compare_page(cpu, p);
    }
    pthread_mutex_unlock(&ctx->lock);
}

void tcg_invalidate_range(TcgContext *ctx, uint64_t gpa, uint64_t len)
{
    uint64_t end = gpa + len;
    pthread_mutex_lock(&ctx->lock);
    uint64_t before = ctx->stats.invalidations;
    while (gpa < end) {
        uint64_t stop = MIN((gpa | ~PAGE_MASK) + 1, end);
        kill_range(ctx->cpus->len ? ctx->cpus->pdata[0] : NULL, ctx, gpa, stop - gpa, ~0ull);
        gpa = stop;
    }
    if (ctx->stats.invalidations != before)
        tcg_poke_others(ctx, NULL);
    pthread_mutex_unlock(&ctx->lock);
}

void tcg_release_page(TcgContext *ctx, uint64_t gpa, void (*released)(void *opaque), void *opaque)
{
    pthread_mutex_lock(&ctx->lock);
    CodePage *p = tcg_code_page(ctx, gpa & PAGE_MASK);
    if (p && p->armed && !p->n_live) {
        __atomic_store_n(&p->armed, false, __ATOMIC_SEQ_CST);
        released(opaque);
    }
    pthread_mutex_unlock(&ctx->lock);
}

/* Bytes of the next page for the unit's first instruction. The unit then consists of that instruction only. */
void tcg_code_cross(TcgUnitDesc *t)
{
    TcgCpu *cpu = t->cpu;
    uint64_t next = (t->pc & PAGE_MASK) + TCG_PAGE_SIZE, gpa;
    unsigned flags;

    if (t->avail > sizeof(cpu->bounce) / 2 || cpu->fetch_gpa2)
        return;
    if (!tcg_fetch_peek(cpu, next, &gpa)) {
        CodePage *p = tcg_code_page(cpu->ctx, cpu->fetch_gpa);
        publish_map(p);
        page_drop(cpu, p);
        tcg_meta_back(cpu->ctx, cpu->making);
        cpu->making = NULL;
        pthread_mutex_unlock(&cpu->ctx->lock);
        cpu->isa->mmu_fault(cpu, next, TCG_EXEC, cpu->isa->regime(cpu->mode));
    }
    if (!cpu->ctx->config.direct && gpa != cpu->fetch_gpa) {   /* watched from before it is read */
        CodePage *p2 = page_hold(cpu, gpa);
        __atomic_or_fetch(&p2->map, map_bits(gpa, 32), __ATOMIC_SEQ_CST);
        page_drop(cpu, p2);
    }
    uint8_t *host = cpu->cb->page(cpu->opaque, gpa, &flags);
    memcpy(cpu->bounce, t->code, t->avail);
    if (host)
        memcpy(cpu->bounce + t->avail, host, 32);
    else
        memset(cpu->bounce + t->avail, 0xff, 32);
    cpu->fetch_gpa2 = gpa;
    t->code = cpu->bounce;
    t->avail += 32;
    t->max_insns = 1;
}

/* The page of each part is held once for it. */
static void register_block(TcgContext *ctx, TcgBlock *b)
{
    for (unsigned n = 0; n < b->n_parts; n++)
        page_list(tcg_code_page(ctx, b->part[n].gpa & PAGE_MASK), &b->part[n]);
    unsigned h = block_hash(b->gpa, b->mode);
    b->hash_next = ctx->hash[h];
    __atomic_store_n(&ctx->hash[h], b, __ATOMIC_RELEASE);
}

/* A killed translation of the same bytes. */
static TcgBlock *revive(TcgContext *ctx, CodePage *p, uint64_t gpa, uint64_t mode, bool one_insn, unsigned tier, const uint8_t *code /* of the page */)
{
    if (ctx->host->raw_ir)     /* nothing is gained there */
        return NULL;
    for (TcgBlock **at = &p->killed, *b; (b = *at); at = &b->killed_next) {
        if (b->checked != p->loose || (p->loose && b->tier == 2) || (b->lonely && ctx->others == IR_OTHERS))
            continue;
        if (b->tier == 2 && b->n_holes)    /* its side exits lead to a block that may not have them */
            continue;
        if (b->gpa != gpa || b->mode != mode || b->one_insn != one_insn || b->tier < tier)
            continue;
        bool same = true;
        for (unsigned n = 0; n < b->n_parts && same; n++)
            same = same_bytes(&b->part[n], code);
        if (!same)
            continue;
        *at = b->killed_next;
        p->n_killed--;
        p->n_live += b->n_parts - 1u;
        __atomic_store_n(&b->dead, 0, __ATOMIC_SEQ_CST);
        ctx->host->revive(ctx, b);
        ctx->stats.revivals++;
        return b;
    }
    return NULL;
}

static void log_bytes(TcgCpu *cpu, const TcgUnitDesc *t, const uint8_t *code, uint64_t pc, unsigned len)
{
    char line[256];
    for (unsigned off = 0; cpu->isa->disas && off < len;) {
        int n = cpu->isa->disas(code + off, len - off, t->mode, pc + off, line, sizeof(line));
        log_item(cpu->ctx->config.log, LOG_IN_ASM, "%#llx  %s", (unsigned long long)(pc + off), line);
        off += n > 0 ? (unsigned)n : 1;
    }
}

static void log_unit(TcgCpu *cpu, const TcgUnitDesc *t, LogItem item)
{
    Log *log = cpu->ctx->config.log;
    char line[256];
    if (!log_on(log, item))
        return;
    if (item == LOG_IN_ASM) {
        log_item(log, item, "---- in_asm pc %#llx mode %#llx%s", (unsigned long long)t->pc, (unsigned long long)t->mode, t->region ? " region" : "");
        unsigned avail;
        if (!t->n_spans)
            log_bytes(cpu, t, t->code, t->pc, t->len);
        for (unsigned n = 0; n < t->n_spans; n++)
            log_bytes(cpu, t, tcg_region_code(t, t->span[n].off, &avail), (t->pc & PAGE_MASK) + (uint64_t)t->span[n].off, t->span[n].len);
        return;
    }
    for (unsigned n = 1; n < t->u->n; n++) {
        if (t->u->insn[n].op == IR_NOP)
            continue;
        ir_print_insn(t->u, n, line, sizeof(line));
        log_item(log, item, "  %s", line);
    }
}

static void log_code(TcgCpu *cpu, const TcgBlock *b, uint64_t va)
{
    Log *log = cpu->ctx->config.log;
    if (!b->host)
        return;
    /* A line of perf's map: address, size, name (tools/perf/Documentation/jit-interface.txt). */
    log_item(log, LOG_PERF, "perf-map %llx %x guest_%llx", (unsigned long long)(uintptr_t)b->host, b->host_len, (unsigned long long)va);
    if (!log_on(log, LOG_OUT_ASM))
        return;
    GString *hex = g_string_new(NULL);
    for (unsigned n = 0; n < b->host_len; n++)
        g_string_append_printf(hex, "%02x", ((uint8_t *)b->host)[n]);
    log_item(log, LOG_OUT_ASM, "---- out_asm at %p, %u bytes: %s", b->host, b->host_len, hex->str);
    g_string_free(hex, TRUE);
}

static void soft_places(const TcgContext *ctx, const CodePage *p, const uint8_t *host, TcgUnitDesc *t)
{
    if (!host || ctx->config.direct)
        return;
    t->code_host = host;
    for (unsigned n = 0; n < TCG_MAX_SOFT; n++)
        if (p->patched[n].n >= PATCHED_SOFT)
            t->soft[t->n_soft++] = p->patched[n].at;
}

/* What @b is made of. */
static void set_parts(TcgCpu *cpu, TcgBlock *b, const TcgUnitDesc *t)
{
    const TcgContext *ctx = cpu->ctx;
    unsigned in_first = TCG_PAGE_SIZE - (unsigned)(b->gpa & ~PAGE_MASK);
    b->gpa2 = cpu->fetch_gpa2 && b->len > in_first ? cpu->fetch_gpa2 : 0;
    b->part[0] = (TcgPart){ .b = b, .gpa = b->gpa, .len = MIN(b->len, in_first) };
    b->n_parts = 1;
    if (b->gpa2)
        b->part[b->n_parts++] = (TcgPart){ .b = b, .gpa = b->gpa2, .len = b->len - in_first };
    else if (t->n_spans) {
        b->part[0].len = t->span[0].len;
        for (unsigned n = 1; n < t->n_spans; n++) {
            int at = tcg_region_page(t, t->span[n].off);
            b->part[b->n_parts++] = (TcgPart){ .b = b, .off = ctx->region_page[at].off,
                                               .gpa = ctx->region_page[at].page->gpa + (uint64_t)(t->span[n].off - ctx->region_page[at].off), .len = t->span[n].len };
        }
    }
}

/* The bytes of its parts are kept, and their pages held. */
static void keep_parts(TcgCpu *cpu, TcgBlock *b, const CodePage *p)
{
    TcgContext *ctx = cpu->ctx;
    b->revivable = !b->gpa2 && !(b->replaced && b->replaced->len > b->part[0].len);     /* its side exits lead into that block, which must be of these bytes too */
    for (unsigned n = 0; n < b->n_parts; n++) {
        TcgPart *part = &b->part[n];
        uint64_t page = part->gpa & PAGE_MASK;
        unsigned at = 0;
        b->checked |= n ? page_hold(cpu, page)->loose : p->loose;
        b->revivable &= page == p->gpa;
        while (at < ctx->n_region_pages && ctx->region_page[at].page->gpa != page)
            at++;
        if (at < ctx->n_region_pages && !b->gpa2)
            part->bytes = memcpy(tcg_meta_take(ctx, part->len), ctx->code_copy[at] + (part->gpa & ~PAGE_MASK), part->len);
    }
}

/* Pages that a region went to, whether or not something came of it. */
static void leave_pages(TcgContext *ctx)
{
    for (unsigned n = 1; n < ctx->n_region_pages; n++)
        publish_map(ctx->region_page[n].page);
    ctx->n_region_pages = 0;
}

/* One attempt. 0 done, 1 unit too long, 2 cache full. ctx->lock held. */
static int translate_once(TcgCpu *cpu, TcgBlock *b, uint64_t va, const uint8_t *code, unsigned max_insns, const CodePage *p, const uint8_t *host)
{
    TcgContext *ctx = cpu->ctx;
    IrUnit *u = &ctx->unit;
    unsigned off = (unsigned)(va & ~PAGE_MASK);
    TcgUnitDesc t = { .u = u, .cpu = cpu, .state = cpu->state, .mode = b->mode, .pc = va, .page_off = off, .max_insns = max_insns, .region = b->tier == 2, .end_at_store = p->loose,
                      .code = code + off, .avail = TCG_PAGE_SIZE - off };
    cpu->fetch_gpa2 = 0;
    ctx->region_page[0].off = 0;
    ctx->region_page[0].page = (CodePage *)p;
    ctx->region_checked = false;
    ctx->n_region_pages = 1;
    ctx->region_base = (uint32_t)(va & PAGE_MASK);
    soft_places(ctx, p, host, &t);
    ir_begin(u, ctx->ir_buf, cpu->isa->slots, cpu->isa->n_slots);
    u->others = ctx->others;
    u->apart = p->vain;
    u->fixed = ctx->config.direct;     /* physical and virtual addresses are one */
    u->page = va & PAGE_MASK;
    cpu->isa->translate(&t);
    if (u->overflow)
        return 1;
    b->len = t.len ? t.len : 1;
    set_parts(cpu, b, &t);
    b->back = t.back;
    b->lonely = u->lonely;
    b->n_insns = (uint16_t)t.n_insns;
    for (unsigned n = b->n_holes = 0; n < t.n_soft; n++)
        if (t.soft_used >> n & 1)
            b->hole[b->n_holes++] = t.soft[n];
    log_unit(cpu, &t, LOG_IN_ASM);
    log_unit(cpu, &t, LOG_OP);
    if (!ctx->host->raw_ir)
        ir_pass_live(u, cpu->isa);
    log_unit(cpu, &t, LOG_OP_OPT);
    if (!ctx->host->emit(ctx, cpu, u, b)) {
        bool failed = b->dead;
        b->dead = 0;
        ctx->stats.halved += failed;
        return failed ? 1 : 2;
    }
    log_code(cpu, b, va);
    ctx->stats.regions += b->tier == 2;
    ctx->stats.region_insns += b->tier == 2 ? t.n_insns : 0;
    ctx->stats.translations++;
    ctx->stats.guest_insns += t.n_insns;
    ctx->stats.code_bytes += b->host_len;
    return 0;
}

/* @b, a region, from @old, a block: whoever enters that one. */
static void take_over(TcgContext *ctx, TcgBlock *old, TcgBlock *b)
{
    if (!old)
        return;
    b->replaced = old;
    old->region = b;
    ctx->host->redirect(ctx, old, b);
    tcg_links_move(ctx, old, b);       /* to come here without a detour */
}

/* @host: the page at @gpa, NULL: nothing is there. @old: what it takes over from. ctx->lock held. */
static TcgBlock *make(TcgCpu *cpu, uint64_t va, uint64_t gpa, bool one_insn, unsigned tier, CodePage *p, const uint8_t *host, TcgBlock *old)
{
    TcgContext *ctx = cpu->ctx;
    unsigned max = one_insn || ctx->config.one_insn ? 1 : tier == 2 ? REGION_INSNS : UNIT_INSNS, off = (unsigned)(gpa & ~PAGE_MASK);
    const uint8_t *code = host ? host : ctx->no_ram;   /* fetching from a device or nothing: all ones */
    bool whole = tier == 2 || p->killed;
    cpu->fetch_gpa = gpa & PAGE_MASK;
    p->host = host;
    /* a copy, because another vCPU may be writing: what is compared later is what was translated */
    memcpy(ctx->code_copy[0] + (whole ? 0 : off), code + (whole ? 0 : off), whole ? TCG_PAGE_SIZE : MIN(TCG_PAGE_SIZE - off, (unsigned)UNIT_BYTES));
    TcgBlock *b = revive(ctx, p, gpa, cpu->mode, one_insn, tier, ctx->code_copy[0]);
    if (b) {
        register_block(ctx, b);
        take_over(ctx, old, b);
        return b;
    }
    size_t size = sizeof(*b) + (tier == 2 ? TCG_REGION_SPANS : 2) * sizeof(b->part[0]);
    b = memset(tcg_meta_take(ctx, size), 0, size);
    b->gpa = gpa;
    b->mode = cpu->mode;
    b->one_insn = one_insn;
    b->tier = (uint8_t)tier;
    b->index = ctx->blocks->len + 1;
    b->replaced = old;
    cpu->making = b;
    uint64_t begun = ctx->config.ticks ? ctx->config.ticks() : 0;
    int r;
    for (r = 1; r == 1 && max; max /= 2) {
        leave_pages(ctx);
        r = translate_once(cpu, b, va, ctx->code_copy[0], max, p, host);
    }
    if (ctx->config.ticks)
        __atomic_store_n(&ctx->stats.translate_ticks, ctx->stats.translate_ticks + (ctx->config.ticks() - begun), __ATOMIC_RELAXED);
    if (r) {
        leave_pages(ctx);
        publish_map(p);
        page_drop(cpu, p);
        tcg_meta_back(ctx, b);
        if (r == 1)
            log_warn(ctx->config.log, "tcg: no code for the instruction at %#llx (mode %#llx): a defect of Tandem, please report",
                     (unsigned long long)va, (unsigned long long)cpu->mode);
        ctx->broken |= r == 1;
        return NULL;
    }
    tcg_meta_back(ctx, &b->part[b->n_parts]);  /* it seldom has as many as there may be */
    keep_parts(cpu, b, p);
    register_block(ctx, b);
    leave_pages(ctx);
    take_over(ctx, old, b);
    if (tier == 2)
        tcg_links_find(cpu, b, va);
    g_ptr_array_add(ctx->blocks, b);
    return b;
}

/* NULL: the cache is full (flush and come again), or (b too long at one instruction) a bug that is reported. */
TcgBlock *tcg_block_make(TcgCpu *cpu, uint64_t va, uint64_t gpa, bool one_insn, unsigned tier)
{
    TcgContext *ctx = cpu->ctx;
    unsigned flags;
    pthread_mutex_lock(&ctx->lock);
    TcgBlock *b = tcg_block_find(ctx, gpa, 0, cpu->mode, one_insn);
    if (!b || b->tier < tier) {
        CodePage *p = page_hold(cpu, gpa & PAGE_MASK);
        __atomic_store_n(&p->map, ~0ull, __ATOMIC_SEQ_CST);
        b = make(cpu, va, gpa, one_insn, p->loose ? 1 : tier, p, cpu->cb->page(cpu->opaque, gpa & PAGE_MASK, &flags), b);
    }
    pthread_mutex_unlock(&ctx->lock);
    return b;
}

void tcg_region_make(TcgCpu *cpu, uint64_t va, uint64_t gpa, const uint8_t *host, uint64_t generation)
{
    TcgContext *ctx = cpu->ctx;
    pthread_mutex_lock(&ctx->lock);
    TcgBlock *old = generation == ctx->generation ? tcg_block_find(ctx, gpa, 0, cpu->mode, false) : NULL;
    if (old && old->tier < 2) {            /* its page is held and watched */
        CodePage *p = tcg_code_page(ctx, gpa & PAGE_MASK);
        p->n_live++;
        __atomic_store_n(&p->map, ~0ull, __ATOMIC_SEQ_CST);
        make(cpu, va, gpa, false, 2, p, host, old);
    }
    pthread_mutex_unlock(&ctx->lock);
}

static void block_clear(const TcgBlock *b)
{
    g_free(b->ir);
    g_free(b->faults);
}

/* Memory of the emptied cache is the host's again until it is needed: a cache is seldom full twice. */
static void give_back(TcgContext *ctx)
{
    size_t from = (ctx->start + TCG_PAGE_SIZE - 1) & PAGE_MASK;
    if (ctx->rw && ctx->used > from)
        madvise(ctx->rw + from, ctx->used - from, ctx->config.direct ? MADV_DONTNEED : MADV_REMOVE);
}

bool tcg_code_pages_are(TcgContext *ctx, bool (*same)(void *opaque, uint64_t gpa), void *opaque)
{
    bool all = true;
    pthread_mutex_lock(&ctx->lock);
    for (unsigned n = 0; n < PAGE_HASH && all; n++)
        for (const CodePage *p = ctx->pages[n]; p && all; p = p->next)
            all = same(opaque, p->gpa);
    pthread_mutex_unlock(&ctx->lock);
    return all;
}

/* All vCPUs are at safe points. */
void tcg_flush_code(TcgContext *ctx)
{
    TcgCpu *any = ctx->cpus->len ? ctx->cpus->pdata[0] : NULL;
    pthread_mutex_lock(&ctx->lock);
    for (unsigned n = 0; n < PAGE_HASH; n++)
        for (CodePage *p = ctx->pages[n], *next; p; p = next) {
            next = p->next;
            if (p->armed && any && any->cb->page_code)
                any->cb->page_code(any->opaque, p->gpa, false);
            g_free(p);
        }
    ctx->unchecked = NULL;
    memset(ctx->pages, 0, PAGE_HASH * sizeof(ctx->pages[0]));
    memset(ctx->maybe_code, 0, sizeof(ctx->maybe_code));
    memset(ctx->hash, 0, BLOCK_HASH * sizeof(ctx->hash[0]));
    for (unsigned n = 0; n < ctx->blocks->len; n++)
        block_clear(ctx->blocks->pdata[n]);
    g_ptr_array_set_size(ctx->blocks, 0);
    tcg_meta_clear(ctx);
    give_back(ctx);
    ctx->used = ctx->start;
    ctx->n_links = 1;
    ctx->n_relinking = 0;
    ctx->generation++;
    ctx->stats.cache_flushes++;
    pthread_mutex_unlock(&ctx->lock);
}
