/* The cache of L2 tables and refcount blocks, and the commit that brings them to the disk in order: see ORDERING.md. */
#include "block/qcow2-internal.h"

#include <errno.h>
#include <string.h>

enum { FREES_MAX = 1 << 16 };

/* ---- tables ---- */

static void table_free(Qcow2 *s, Qcow2Table *t)
{
    if (s->last_table == t)
        s->last_table = NULL;
    s->tables_n[t->kind]--;
    s->dirty_n -= t->dirty_lo < t->dirty_hi;
    g_free(t->data);
    g_free(t);
}

void q_tables_free(Qcow2 *s)
{
    GHashTableIter it;
    void *t;
    g_hash_table_iter_init(&it, s->tables);
    while (g_hash_table_iter_next(&it, NULL, &t)) {
        g_hash_table_iter_remove(&it);
        table_free(s, t);
    }
}

typedef struct Age {
    uint64_t used;
    Qcow2Table *t;
} Age;

static int age_cmp(const void *a, const void *b)
{
    const Age *x = a, *y = b;
    return x->used < y->used ? -1 : x->used > y->used;
}

/* Drop the older half of the clean tables of one kind, once there are too many: a sort now and then instead of a list
 * that every access would have to maintain. */
static void tables_evict(Qcow2 *s, Qcow2TableKind kind)
{
    if (s->tables_n[kind] < s->tables_max[kind])
        return;
    Age *ages = g_new(Age, s->tables_n[kind]);
    size_t n = 0;
    GHashTableIter it;
    void *p;
    g_hash_table_iter_init(&it, s->tables);
    while (g_hash_table_iter_next(&it, NULL, &p)) {
        Qcow2Table *t = p;
        if (t->kind == kind && t->dirty_lo == t->dirty_hi && !t->committing && !t->is_new)
            ages[n++] = (Age){ t->used, t };
    }
    qsort(ages, n, sizeof(*ages), age_cmp);
    for (size_t i = 0; i < (n + 1) / 2; i++) {
        Qcow2Table *t = ages[i].t;
        g_hash_table_remove(s->tables, &t->offset);
        table_free(s, t);
    }
    g_free(ages);
}

Qcow2Table *q_table_cached(Qcow2 *s, uint64_t offset)
{
    Qcow2Table *t = s->last_table && s->last_table->offset == offset ? s->last_table : g_hash_table_lookup(s->tables, &offset);
    if (t) {
        t->used = ++s->tick;
        s->last_table = t;
    }
    return t;
}

static void loads_are_stale(Qcow2 *s, uint64_t offset)
{
    for (Qcow2Load *l = s->loads; l; l = l->next)
        l->stale |= l->offset == offset;
}

static Qcow2Table *table_add(Qcow2 *s, Qcow2TableKind kind, uint64_t offset, uint8_t *data)
{
    Qcow2Table *t = g_new0(Qcow2Table, 1);
    *t = (Qcow2Table){ .offset = offset, .kind = kind, .data = data, .used = ++s->tick };
    g_hash_table_insert(s->tables, &t->offset, t);
    s->tables_n[kind]++;
    loads_are_stale(s, offset);
    return t;
}

static bool table_place_ok(const Qcow2 *s, uint64_t offset)
{
    return !(offset & (s->cluster_size - 1)) && offset >= s->cluster_size && offset <= Q_OFFSET_MASK && offset < s->file_end;
}

int q_table_get(Qcow2 *s, Qcow2TableKind kind, uint64_t offset, Qcow2Table **ret_table)
{
    Qcow2Table *t = q_table_cached(s, offset);
    if (!t) {
        if (!table_place_ok(s, offset))
            return q_corrupt(s, kind == Q_TABLE_L2 ? "L2 table outside the file" : "refcount block outside the file", offset);
        tables_evict(s, kind);
        uint8_t *data = g_try_malloc(s->cluster_size);
        if (!data)
            return -ENOMEM;
        int r = bn_read(s->file, offset, data, s->cluster_size);
        if (r < 0) {
            g_free(data);
            return r;
        }
        t = table_add(s, kind, offset, data);
    }
    /* One cluster as two kinds of table: two pointers of the image disagree. */
    if (t->kind != kind)
        return q_corrupt(s, "one cluster is L2 table and refcount block", offset);
    *ret_table = t;
    return 0;
}

static bool being_loaded(const Qcow2 *s, uint64_t offset)
{
    for (const Qcow2Load *l = s->loads; l; l = l->next)
        if (l->offset == offset)
            return true;
    return false;
}

void q_table_load(Qcow2 *s, uint64_t offset)
{
    while (being_loaded(s, offset)) {   /* once is enough */
        s->waiters++;
        g_cond_wait(&s->wake, &s->lock);
        s->waiters--;
    }
    if (g_hash_table_lookup(s->tables, &offset) || !table_place_ok(s, offset))
        return;
    uint8_t *data = g_try_malloc(s->cluster_size);
    if (!data)
        return;
    Qcow2Load load = { offset, false, s->loads }, **p = &s->loads;
    s->loads = &load;
    g_mutex_unlock(&s->lock);
    int r = bn_read(s->file, offset, data, s->cluster_size);
    g_mutex_lock(&s->lock);
    while (*p != &load)
        p = &(*p)->next;
    *p = load.next;
    if (s->waiters)
        g_cond_broadcast(&s->wake);
    /* Who got the table meanwhile may have changed it, written it, and let go of it again: then ours is old. */
    if (r < 0 || load.stale) {
        g_free(data);
        return;
    }
    tables_evict(s, Q_TABLE_L2);
    table_add(s, Q_TABLE_L2, offset, data);
}

void q_tables_trim(Qcow2 *s)
{
    GHashTableIter it;
    void *p;
    g_hash_table_iter_init(&it, s->tables);
    while (g_hash_table_iter_next(&it, NULL, &p)) {
        Qcow2Table *t = p;
        if (t->used > s->trim_tick || t->dirty_lo != t->dirty_hi || t->committing || t->is_new)
            continue;
        g_hash_table_iter_remove(&it);
        table_free(s, t);
    }
    s->trim_tick = s->tick;
}

Qcow2Table *q_table_new(Qcow2 *s, Qcow2TableKind kind, uint64_t offset, bool blank)
{
    q_table_drop(s, offset);
    Qcow2Table *t = table_add(s, kind, offset, g_malloc0(s->cluster_size));
    t->is_new = true;
    q_table_dirty(s, t, 0, blank ? 8 : s->cluster_size);
    return t;
}

void q_table_dirty(Qcow2 *s, Qcow2Table *t, uint32_t lo, uint32_t hi)
{
    if (t->dirty_lo == t->dirty_hi) {
        t->dirty_lo = lo;
        t->dirty_hi = hi;
        s->dirty_n++;
        return;
    }
    t->dirty_lo = MIN(t->dirty_lo, lo);
    t->dirty_hi = MAX(t->dirty_hi, hi);
}

void q_table_drop(Qcow2 *s, uint64_t offset)
{
    Qcow2Table *t = g_hash_table_lookup(s->tables, &offset);
    loads_are_stale(s, offset);
    if (!t)
        return;
    g_assert(!t->committing);
    g_hash_table_remove(s->tables, &offset);
    table_free(s, t);
}

void q_l1_dirty(Qcow2 *s, uint32_t index)
{
    if (s->l1_lo == s->l1_hi) {
        s->l1_lo = index;
        s->l1_hi = index + 1;
        return;
    }
    s->l1_lo = MIN(s->l1_lo, index);
    s->l1_hi = MAX(s->l1_hi, index + 1);
}

void q_free_later(Qcow2 *s, uint64_t offset, uint64_t count, bool data)
{
    s->frees_n += count;
    if (s->frees->len) {
        /* Mostly neighbours come one after the other. */
        Qcow2Free *last = &g_array_index(s->frees, Qcow2Free, s->frees->len - 1);
        if (last->data == data && last->offset + (last->count << s->cluster_bits) == offset) {
            last->count += count;
            return;
        }
    }
    Qcow2Free f = { offset, count, data };
    g_array_append_val(s->frees, f);
}

/* ---- commit ---- */

typedef struct Write {          /* a copy of what is to be written */
    uint64_t offset;
    uint32_t len, lo;
    bool was_new;
    Qcow2Table *table;          /* NULL: part of the L1 or refcount table */
    uint8_t *data;
} Write;

enum { STAGE_REFCOUNTS, STAGE_REFTABLE, STAGE_MAPPING, STAGES };

typedef struct Commit {
    GArray *writes[STAGES];     /* of Write */
    uint32_t l1_lo, l1_hi, reftable_lo, reftable_hi;
    GArray *frees;
    uint64_t frees_n;
    uint8_t *scratch;
} Commit;

static void collect_table(Qcow2Table *t, Commit *c, unsigned stage, Qcow2 *s)
{
    uint32_t len = t->dirty_hi - t->dirty_lo;
    Write w = { t->offset + t->dirty_lo, len, t->dirty_lo, t->is_new, t, g_memdup2(t->data + t->dirty_lo, len) };
    g_array_append_val(c->writes[stage], w);
    t->dirty_lo = t->dirty_hi = 0;
    t->is_new = false;
    t->committing = true;
    s->dirty_n--;
}

static void collect_pointers(Commit *c, unsigned stage, const uint64_t *entries, uint64_t base, uint32_t *lo, uint32_t *hi)
{
    if (*lo == *hi)
        return;
    uint32_t n = *hi - *lo;
    Write w = { base + *lo * 8ull, n * 8, 0, false, NULL, g_malloc(n * 8) };
    for (uint32_t i = 0; i < n; i++)
        be64_put(w.data + i * 8, entries[*lo + i]);
    g_array_append_val(c->writes[stage], w);
    *lo = *hi = 0;
}

static unsigned dirty_limit(const Qcow2 *s)
{
    return (unsigned)MAX(s->tables_max[Q_TABLE_L2] / 2, 16);
}

/* Lazy refcounts: the dirty bit says that refcounts on disk mean nothing until they are rebuilt, so they may wait. */
static bool refcounts_wait(const Qcow2 *s)
{
    return s->dirty_marked && s->can_write && s->dirty_n <= dirty_limit(s);
}

static void collect(Qcow2 *s, Commit *c)
{
    for (unsigned i = 0; i < STAGES; i++)
        c->writes[i] = g_array_new(FALSE, FALSE, sizeof(Write));
    if (s->dirty_n) {
        GHashTableIter it;
        void *p;
        g_hash_table_iter_init(&it, s->tables);
        while (g_hash_table_iter_next(&it, NULL, &p)) {
            Qcow2Table *t = p;
            if (t->dirty_lo == t->dirty_hi)
                continue;
            if (t->kind == Q_TABLE_REFBLOCK && !t->is_new && refcounts_wait(s))
                continue;
            collect_table(t, c, t->kind == Q_TABLE_REFBLOCK || t->is_new ? STAGE_REFCOUNTS : STAGE_MAPPING, s);
        }
    }
    c->reftable_lo = s->reftable_lo, c->reftable_hi = s->reftable_hi;
    collect_pointers(c, STAGE_REFTABLE, s->reftable, s->h.refcount_table_offset, &s->reftable_lo, &s->reftable_hi);
    c->l1_lo = s->l1_lo, c->l1_hi = s->l1_hi;
    collect_pointers(c, STAGE_MAPPING, s->l1, s->h.l1_table_offset, &s->l1_lo, &s->l1_hi);
    c->frees = s->frees;
    c->frees_n = s->frees_n;
    s->frees = g_array_new(FALSE, FALSE, sizeof(Qcow2Free));
    s->frees_n = 0;
}

static int write_cmp(const void *a, const void *b)
{
    const Write *x = a, *y = b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static int write_stage(Qcow2 *s, GArray *writes)
{
    g_array_sort(writes, write_cmp);
    for (guint i = 0; i < writes->len; i++) {
        const Write *w = &g_array_index(writes, Write, i);
        int r = bn_write(s->file, w->offset, w->data, w->len);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Lock not held. */
static int write_all(Qcow2 *s, Commit *c)
{
    int r = write_stage(s, c->writes[STAGE_REFCOUNTS]);
    /* Data and refcounts must be down before anything points to them. */
    if (r == 0 && (c->writes[STAGE_REFTABLE]->len || c->writes[STAGE_MAPPING]->len)) {
        r = bn_flush(s->file);
        if (r == 0 && s->external)
            r = bn_flush(s->data_file);
    }
    if (r == 0 && c->writes[STAGE_REFTABLE]->len) {
        r = write_stage(s, c->writes[STAGE_REFTABLE]);
        r = r < 0 ? r : bn_flush(s->file);
    }
    r = r < 0 ? r : write_stage(s, c->writes[STAGE_MAPPING]);
    if (r == 0 && s->external)
        r = bn_flush(s->data_file);
    return r < 0 ? r : bn_flush(s->file);
}

static void restore(Qcow2 *s, Commit *c)
{
    for (unsigned stage = 0; stage < STAGES; stage++) {
        for (guint i = 0; i < c->writes[stage]->len; i++) {
            const Write *w = &g_array_index(c->writes[stage], Write, i);
            if (!w->table)
                continue;
            q_table_dirty(s, w->table, w->lo, w->lo + w->len);
            w->table->is_new |= w->was_new;
        }
    }
    if (c->l1_lo < c->l1_hi) {
        q_l1_dirty(s, c->l1_lo);
        q_l1_dirty(s, c->l1_hi - 1);
    }
    if (c->reftable_lo < c->reftable_hi) {
        s->reftable_lo = s->reftable_lo == s->reftable_hi ? c->reftable_lo : MIN(s->reftable_lo, c->reftable_lo);
        s->reftable_hi = MAX(s->reftable_hi, c->reftable_hi);
    }
    g_array_append_vals(c->frees, s->frees->data, s->frees->len);
    GArray *later = s->frees;
    s->frees = c->frees;
    c->frees = later;
    s->frees_n += c->frees_n;
}

/* Nothing on disk points to these any more. Guest data is punched out of the file while it still counts as used. */
static int punch(Qcow2 *s, GArray *frees)
{
    for (guint i = 0; s->node->opts.discard && i < frees->len; i++) {
        const Qcow2Free *f = &g_array_index(frees, Qcow2Free, i);
        uint64_t run = 0;
        for (uint64_t k = 0; f->data && k <= f->count; k++) {
            uint64_t refs = 0, cluster = (f->offset >> s->cluster_bits) + k;
            int r = k < f->count ? q_refcount_get(s, cluster, &refs) : 0;
            if (r < 0)
                return r;
            if (refs == 1) {
                run++;
            } else if (run) {
                g_mutex_unlock(&s->lock);
                bn_discard(s->file, (cluster - run) << s->cluster_bits, run << s->cluster_bits);
                g_mutex_lock(&s->lock);
                run = 0;
            }
        }
    }
    return 0;
}

static int apply_frees(Qcow2 *s, GArray *frees)
{
    int ret = punch(s, frees);
    for (guint i = 0; i < frees->len; i++) {
        const Qcow2Free *f = &g_array_index(frees, Qcow2Free, i);
        int r = q_refcount_add(s, f->offset, f->count, -1);
        ret = ret < 0 ? ret : r;
    }
    return ret;
}

int q_commit(Qcow2 *s)
{
    while (s->committing)
        g_cond_wait(&s->wake, &s->lock);
    Commit c = { 0 };
    s->committing = true;
    collect(s, &c);
    g_mutex_unlock(&s->lock);
    int r = write_all(s, &c);
    g_mutex_lock(&s->lock);
    for (unsigned stage = 0; stage < STAGES; stage++)
        for (guint i = 0; i < c.writes[stage]->len; i++)
            if (g_array_index(c.writes[stage], Write, i).table)
                g_array_index(c.writes[stage], Write, i).table->committing = false;
    if (r < 0)
        restore(s, &c);
    else
        r = apply_frees(s, c.frees);
    for (unsigned stage = 0; stage < STAGES; stage++) {
        for (guint i = 0; i < c.writes[stage]->len; i++)
            g_free(g_array_index(c.writes[stage], Write, i).data);
        g_array_free(c.writes[stage], TRUE);
    }
    g_array_free(c.frees, TRUE);
    s->committing = false;
    g_cond_broadcast(&s->wake);
    return r;
}

/* ---- before changes ---- */

/* Once an image is written to, auto-clear bits that we do not keep up to date must go; and with lazy refcounts the
 * dirty bit must be on disk before the first change. */
static int first_change(Qcow2 *s)
{
    bool need_dirty = s->lazy && !s->dirty_marked;
    if (!s->autoclear_pending && !need_dirty)
        return 0;
    Qcow2Header old = s->h;
    s->h.autoclear_features &= Q_AUTOCLEAR_KNOWN;
    if (need_dirty)
        s->h.incompatible_features |= Q_INCOMPAT_DIRTY;
    int r = q_header_write(s);
    r = r < 0 ? r : bn_flush(s->file);
    if (r < 0) {
        s->h = old;
        return r;
    }
    s->dirty_marked |= need_dirty;
    s->autoclear_pending = false;
    return q_bitmaps_begin(s);
}

int q_prepare(Qcow2 *s, uint64_t clusters)
{
    if (!s->can_write || s->corrupt)
        return s->corrupt ? -EIO : -EROFS;
    int r = first_change(s);
    if (r < 0)
        return r;
    if (s->dirty_n > dirty_limit(s) || s->frees_n > FREES_MAX) {
        r = q_commit(s);
        if (r < 0)
            return r;
    }
    if (s->reftable_full)
        r = q_reftable_grow(s, ((uint64_t)s->reftable_entries << s->refblock_bits) + clusters + 64);
    return r;
}
