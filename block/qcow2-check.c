/* The consistency check: count what is referenced, compare with the refcounts, repair on request. */
#include "block/qcow2-internal.h"

#include <errno.h>
#include <string.h>

enum { MAX_L1_BYTES_ALL = 1 << 30 };    /* of all snapshots together: hostile images end here */

typedef struct Check {
    Qcow2 *s;
    BlockCheck *out;
    unsigned fix;
    Qcow2Refs *refs;
    GHashTable *l2;             /* L2 table's offset -> L2Use */
    bool rebuild;               /* the refcount structures themselves are damaged */
    uint64_t next_host;         /* for counting fragments */
    uint64_t highest;           /* cluster with a refcount */
    uint64_t leaks, bad;        /* found while comparing */
} Check;

typedef struct L2Use {
    uint32_t weight;            /* how many L1 entries point to it */
    bool active;
    uint64_t guest;             /* of the active L1 entry */
} L2Use;

static void G_GNUC_PRINTF(2, 3) say(Check *c, const char *fmt, ...)
{
    if (!c->out->message)
        return;
    va_list ap;
    va_start(ap, fmt);
    g_autofree char *line = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    c->out->message(c->out->opaque, line);
}

#define damage(c, ...) ((c)->out->corruptions++, say((c), __VA_ARGS__))

/* Count a range of the file that something uses; false if it cannot be. */
static bool use_range(Check *c, uint64_t offset, uint64_t bytes, uint32_t weight, const char *what)
{
    Qcow2 *s = c->s;
    if (offset > INT64_MAX || bytes > INT64_MAX - offset || (bytes && offset + bytes > q_align_up(s, s->file_end))) {
        damage(c, "ERROR %s: offset=%" PRIx64 " lies outside the image", what, offset);
        return false;
    }
    uint64_t first = offset >> s->cluster_bits;
    q_refs_add(c->refs, first, q_clusters(s, offset + bytes) - first, weight);
    return true;
}

/* ---- L1 tables: collect the L2 tables they point to ---- */

static void use_l1(Check *c, const uint64_t *l1, uint32_t n, bool active, uint32_t weight)
{
    Qcow2 *s = c->s;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t offset = l1[i] & Q_OFFSET_MASK;
        if (!l1[i])
            continue;
        if (l1[i] & Q_L1_RESERVED)
            damage(c, "ERROR found l1 entry with reserved bits set: %" PRIx64, l1[i]);
        if (!offset)
            continue;
        if (offset & (s->cluster_size - 1)) {
            damage(c, "ERROR l2_offset=%" PRIx64 ": Table is not cluster aligned; L1 entry corrupted", offset);
            continue;
        }
        if (!use_range(c, offset, s->cluster_size, weight, "L2 table"))
            continue;
        L2Use *u = g_hash_table_lookup(c->l2, &offset);
        if (!u) {
            u = g_new0(L2Use, 1);
            g_hash_table_insert(c->l2, g_memdup2(&offset, sizeof(offset)), u);
        }
        if (active && u->active)
            damage(c, "ERROR two L1 entries point to the L2 table at %" PRIx64, offset);
        u->weight += weight;
        if (active && !u->active)
            u->guest = (uint64_t)i << (s->cluster_bits + s->l2_bits);
        u->active |= active;
    }
}

static int use_snapshots(Check *c)
{
    Qcow2 *s = c->s;
    uint64_t total = 0;
    for (guint i = 0; i < s->snapshots->len; i++) {
        const Qcow2Snapshot *sn = g_ptr_array_index(s->snapshots, i);
        uint64_t bytes = sn->l1_size * 8ull;
        total += bytes;
        if (bytes > Q_MAX_L1_BYTES || total > MAX_L1_BYTES_ALL || (sn->l1_offset & (s->cluster_size - 1))) {
            damage(c, "ERROR snapshot %s (%s) has an impossible L1 table", sn->id, sn->name);
            continue;
        }
        if (!use_range(c, sn->l1_offset, bytes, 1, "L1 table of a snapshot"))
            continue;
        g_autofree uint64_t *l1 = g_try_malloc(MAX(bytes, 8));
        int r = l1 ? bn_read(s->file, sn->l1_offset, l1, bytes) : -ENOMEM;
        if (r < 0)
            return r;
        for (uint32_t k = 0; k < sn->l1_size; k++)
            l1[k] = GUINT64_FROM_BE(l1[k]);
        use_l1(c, l1, sn->l1_size, false, 1);
    }
    return 0;
}

/* ---- L2 tables ---- */

static void count_active(Check *c, uint64_t entry, uint64_t host)
{
    c->out->allocated_clusters++;
    if (entry & Q_COMPRESSED) {
        c->out->compressed_clusters++;
        c->out->fragmented_clusters++;  /* as QEMU does: they never are contiguous */
        return;
    }
    if (c->next_host && host != c->next_host)
        c->out->fragmented_clusters++;
    c->next_host = host + c->s->cluster_size;
}

static void use_data(Check *c, uint64_t guest, uint64_t entry, uint64_t bitmap, const L2Use *u)
{
    Qcow2 *s = c->s;
    uint64_t offset, n;
    if (entry & Q_COMPRESSED) {
        if (entry & Q_COPIED)
            damage(c, "ERROR: coffset=0x%" PRIx64 ": copied flag must never be set for compressed clusters", entry);
        if (s->external) {
            damage(c, "ERROR compressed cluster %" PRIx64 " in image with external data file", guest);
            return;
        }
        n = q_entry_clusters(s, entry, &offset);
        if (use_range(c, offset, n << s->cluster_bits, u->weight, "compressed cluster") && u->active)
            count_active(c, entry, offset);
        return;
    }
    offset = entry & Q_OFFSET_MASK;
    if (entry & Q_L2_RESERVED)
        damage(c, "ERROR found l2 entry with reserved bits set: %" PRIx64, entry);
    if (s->extended && ((bitmap & 0xffffffff & (bitmap >> 32)) || ((bitmap & 0xffffffff) && !offset && !s->external)))
        damage(c, "ERROR offset=%" PRIx64 ": impossible subclusters %" PRIx64, guest, bitmap);
    if (!offset && !(s->external && (entry & Q_COPIED)))
        return;
    if (offset & (s->cluster_size - 1)) {
        damage(c, "ERROR offset=%" PRIx64 ": Cluster is not properly aligned; L2 entry corrupted.", offset);
        return;
    }
    bool data = s->extended ? bitmap & 0xffffffff : !(entry & Q_ZERO);
    if (s->external) {
        if (u->active && offset != guest)
            damage(c, "ERROR offset=%" PRIx64 ": external data cluster out of place", offset);
    } else if (!use_range(c, offset, s->cluster_size, u->weight, "data cluster")) {
        return;
    } else if (offset == 0) {
        damage(c, "ERROR guest cluster %" PRIx64 " points to the header", guest);
    }
    if (u->active && data)
        count_active(c, entry, offset);
}

static int l2_cmp(const void *a, const void *b)
{
    const L2Use *x = *(L2Use *const *)a, *y = *(L2Use *const *)b;
    return x->guest < y->guest ? -1 : x->guest > y->guest;
}

typedef struct L2Item {
    L2Use *use;
    uint64_t offset;
} L2Item;

/* All L2 tables once each, those of the active image in guest order. They are read past the cache, which a check of a
 * large image would only thrash, unless the cache has something newer. */
static int use_l2_tables(Check *c)
{
    Qcow2 *s = c->s;
    GHashTableIter it;
    void *key, *value;
    guint n = g_hash_table_size(c->l2), i = 0;
    g_autofree L2Item *items = g_new(L2Item, n + 1);
    g_autofree uint8_t *buf = g_malloc(s->cluster_size);
    int r = 0;
    g_hash_table_iter_init(&it, c->l2);
    while (g_hash_table_iter_next(&it, &key, &value))
        items[i++] = (L2Item){ value, *(uint64_t *)key };
    qsort(items, n, sizeof(*items), l2_cmp);
    for (i = 0; r == 0 && i < n; i++) {
        const Qcow2Table *cached = q_table_cached(s, items[i].offset);
        const uint8_t *p = cached ? cached->data : buf;
        r = cached ? 0 : bn_read(s->file, items[i].offset, buf, s->cluster_size);
        for (uint32_t k = 0; r == 0 && k < 1u << s->l2_bits; k++) {
            uint64_t entry = be64_at(p + (size_t)k * s->l2_entry_size);
            uint64_t bitmap = s->extended ? be64_at(p + (size_t)k * 16 + 8) : 0;
            if (entry || bitmap)
                use_data(c, items[i].use->guest + ((uint64_t)k << s->cluster_bits), entry, bitmap, items[i].use);
        }
    }
    return r;
}

/* ---- bitmaps and other extensions ---- */

static int use_bitmap(Check *c, const uint8_t *e, uint64_t *budget)
{
    Qcow2 *s = c->s;
    uint64_t table = be64_at(e), n = be32_at(e + 8);
    if ((table & (s->cluster_size - 1)) || n * 8 > *budget) {
        damage(c, "ERROR a bitmap has an impossible table");
        return 0;
    }
    *budget -= n * 8;
    if (!n || !use_range(c, table, n * 8, 1, "bitmap table"))
        return 0;
    g_autofree uint8_t *entries = g_try_malloc(n * 8);
    int r = entries ? bn_read(s->file, table, entries, n * 8) : -ENOMEM;
    for (uint64_t i = 0; r == 0 && i < n; i++) {
        uint64_t offset = be64_at(entries + i * 8) & Q_OFFSET_MASK;
        if (offset & (s->cluster_size - 1))
            damage(c, "ERROR bitmap cluster %" PRIx64 " is not aligned", offset);
        else if (offset)
            use_range(c, offset, s->cluster_size, 1, "bitmap cluster");
    }
    return r;
}

static int use_bitmaps(Check *c, const Qcow2Extension *x)
{
    Qcow2 *s = c->s;
    if (x->len < 24)
        return 0;
    uint64_t n = be32_at(x->data), size = be64_at(x->data + 8), offset = be64_at(x->data + 16), budget = 1 << 30;
    if (n > Q_MAX_BITMAPS || size > Q_MAX_BITMAP_DIRECTORY || (offset & (s->cluster_size - 1))) {
        damage(c, "ERROR the bitmap directory is impossible");
        return 0;
    }
    if (!use_range(c, offset, size, 1, "bitmap directory"))
        return 0;
    g_autofree uint8_t *dir = g_try_malloc(MAX(size, 1));
    int r = dir ? bn_read(s->file, offset, dir, size) : -ENOMEM;
    for (uint64_t pos = 0; r == 0 && pos + 24 <= size;) {
        uint64_t len = 24ull + (dir[pos + 18] << 8 | dir[pos + 19]) + be32_at(dir + pos + 20);
        r = use_bitmap(c, dir + pos, &budget);
        pos += (len + 7) & ~7ull;
    }
    return r;
}

static int use_extensions(Check *c)
{
    Qcow2 *s = c->s;
    int r = 0;
    for (guint i = 0; r == 0 && i < s->extensions->len; i++) {
        const Qcow2Extension *x = &g_array_index(s->extensions, Qcow2Extension, i);
        if (x->type == Q_EXT_BITMAPS && (s->h.autoclear_features & Q_AUTOCLEAR_BITMAPS))
            r = use_bitmaps(c, x);
        else if (x->type == Q_EXT_CRYPT && x->len >= 16)
            use_range(c, be64_at(x->data), be64_at(x->data + 8), 1, "encryption header");
    }
    return r;
}

/* ---- refcount structures and the comparison ---- */

static bool block_usable(Check *c, uint64_t entry)
{
    Qcow2 *s = c->s;
    return !(entry & Q_REFTABLE_RESERVED) && !(entry & (s->cluster_size - 1)) && entry <= Q_OFFSET_MASK && entry < s->file_end;
}

static void use_refcount_structures(Check *c)
{
    Qcow2 *s = c->s;
    if (!use_range(c, s->h.refcount_table_offset, s->reftable_entries * 8ull, 1, "refcount table"))
        c->rebuild = true;
    for (uint32_t i = 0; i < s->reftable_entries; i++) {
        uint64_t e = s->reftable[i];
        if (!e)
            continue;
        if (!block_usable(c, e)) {
            damage(c, "ERROR refcount block %u is outside image or not aligned (%" PRIx64 "); reftable entry corrupted", i, e);
            c->rebuild = true;
            continue;
        }
        q_refs_add(c->refs, e >> s->cluster_bits, 1, 1);
        if (q_refs_get(c->refs, e >> s->cluster_bits) != 1) {
            damage(c, "ERROR refcount block %u refcount=%u", i, q_refs_get(c->refs, e >> s->cluster_bits));
            c->rebuild = true;
        }
    }
}

static void compare(Check *c, uint64_t cluster, uint64_t stored, uint64_t used)
{
    if (stored)
        c->highest = MAX(c->highest, cluster);
    if (stored == used)
        return;
    bool leak = stored > used, fix = c->fix & (leak ? BLOCK_FIX_LEAKS | BLOCK_FIX_ERRORS : BLOCK_FIX_ERRORS);
    bool fixed = fix && q_refcount_set(c->s, cluster, used) == 0;
    say(c, "%s cluster %" PRIu64 " refcount=%" PRIu64 " reference=%" PRIu64, fixed ? "Repairing" : leak ? "Leaked" : "ERROR",
        cluster, stored, used);
    if (leak)
        *(fixed ? &c->out->leaks_fixed : &c->out->leaks) += 1;
    else
        *(fixed ? &c->out->corruptions_fixed : &c->out->corruptions) += 1;
    if (!leak && !fixed)
        c->bad++;
}

static int compare_block(Check *c, uint32_t index)
{
    Qcow2 *s = c->s;
    Qcow2Table *t;
    int r = q_table_get(s, Q_TABLE_REFBLOCK, s->reftable[index], &t);
    if (r < 0)
        return r;
    uint64_t first = (uint64_t)index << s->refblock_bits, n = 1ull << s->refblock_bits;
    for (uint64_t i = 0, span; i < n; i += span) {
        span = n - i;
        const uint32_t *used = q_refs_span(c->refs, first + i, &span);
        unsigned order = s->h.refcount_order;
        /* A block of narrow counts covers far more than most images have. Spans begin and end at whole bytes. */
        if (!used && buf_is_zero(t->data + (i << order >> 3), span << order >> 3))
            continue;
        for (uint64_t k = 0; k < span; k++)
            compare(c, first + i + k, q_refcount_entry(s, t->data, i + k), used ? used[k] : 0);
    }
    return 0;
}

/* Clusters in use for which there is no block at all. */
static int compare_missing(void *opaque, uint64_t first, const uint32_t *counts, uint32_t n)
{
    Check *c = opaque;
    Qcow2 *s = c->s;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t block = (first + i) >> s->refblock_bits;
        if (!counts[i] || (block < s->reftable_entries && s->reftable[block]))
            continue;
        say(c, "ERROR cluster %" PRIu64 " refcount=0 reference=%u", first + i, counts[i]);
        c->out->corruptions++;
        c->rebuild = true;
    }
    return 0;
}

static int compare_all(Check *c)
{
    Qcow2 *s = c->s;
    int r = 0;
    for (uint32_t i = 0; r == 0 && i < s->reftable_entries; i++)
        if (s->reftable[i] && block_usable(c, s->reftable[i]))
            r = compare_block(c, i);
    return r < 0 ? r : q_refs_walk(c->refs, compare_missing, c);
}

/* ---- the flag "refcount is exactly one" ---- */

static void fix_copied(Check *c, bool *ret_changed, uint64_t *entry, uint64_t refs, const char *what, const char *label)
{
    bool copied = *entry & Q_COPIED, should = refs == 1;
    if (copied == should)
        return;
    /* Not set although it could be costs a copy, no more; set although it must not be destroys a snapshot. */
    bool fix = c->fix & BLOCK_FIX_ERRORS;
    say(c, "%s OFLAG_COPIED %s: %s=%" PRIx64 " refcount=%" PRIu64, fix ? "Repairing" : "ERROR", what, label, *entry, refs);
    if (fix) {
        *entry ^= Q_COPIED;
        *ret_changed = true;
        c->out->corruptions_fixed++;
    } else {
        c->out->corruptions++;
        c->out->stale_flags += !copied;
    }
}

static int check_copied_table(Check *c, uint64_t offset)
{
    Qcow2 *s = c->s;
    Qcow2Table *t;
    int r = q_table_get(s, Q_TABLE_L2, offset, &t);
    for (uint32_t k = 0; r == 0 && k < 1u << s->l2_bits; k++) {
        uint64_t entry = q_l2_entry(s, t, k), host = entry & Q_OFFSET_MASK;
        bool changed = false;
        if ((entry & Q_COMPRESSED) || !host || (host & (s->cluster_size - 1)))
            continue;
        fix_copied(c, &changed, &entry, s->external ? 1 : q_refs_get(c->refs, host >> s->cluster_bits), "data cluster", "l2_entry");
        if (changed)
            q_l2_set(s, t, k, entry, q_l2_bitmap(s, t, k));
    }
    return r;
}

static int check_copied(Check *c)
{
    Qcow2 *s = c->s;
    int r = 0;
    for (uint32_t i = 0; r == 0 && i < s->h.l1_size; i++) {
        uint64_t offset = s->l1[i] & Q_OFFSET_MASK;
        bool changed = false;
        if (!offset || (offset & (s->cluster_size - 1)) || offset >= s->file_end)
            continue;
        fix_copied(c, &changed, &s->l1[i], q_refs_get(c->refs, offset >> s->cluster_bits), "L2 cluster: l1_index", "l1_entry");
        if (changed)
            q_l1_dirty(s, i);
        r = check_copied_table(c, offset);
    }
    return r;
}

/* ---- all of it ---- */

static int count_references(Check *c)
{
    Qcow2 *s = c->s;
    use_range(c, 0, s->cluster_size, 1, "header");
    if (s->h.l1_size)
        use_range(c, s->h.l1_table_offset, s->h.l1_size * 8ull, 1, "L1 table");
    if (s->snapshots->len) {
        uint64_t bytes = 0;
        for (guint i = 0; i < s->snapshots->len; i++) {
            const Qcow2Snapshot *sn = g_ptr_array_index(s->snapshots, i);
            bytes += (40ull + sn->extra_size + strlen(sn->id) + strlen(sn->name) + 7) & ~7ull;
        }
        use_range(c, s->h.snapshots_offset, bytes, 1, "snapshot table");
    }
    use_l1(c, s->l1, s->h.l1_size, true, 1);
    int r = use_snapshots(c);
    r = r < 0 ? r : use_l2_tables(c);
    return r < 0 ? r : use_extensions(c);
}

static int clear_marks(Check *c)
{
    Qcow2 *s = c->s;
    uint64_t marks = Q_INCOMPAT_DIRTY | (c->out->corruptions || c->out->errors ? 0 : Q_INCOMPAT_CORRUPT);
    if (!(s->h.incompatible_features & marks) || c->out->corruptions || c->out->errors)
        return 0;
    s->h.incompatible_features &= ~marks;
    int r = q_header_write(s);
    return r < 0 ? r : bn_flush(s->file);
}

static int check_locked(Check *c)
{
    Qcow2 *s = c->s;
    int r = s->can_write ? q_commit(s) : 0;
    r = r < 0 ? r : count_references(c);
    if (r < 0)
        return r;
    if (c->fix && c->out->corruptions == 0)
        s->corrupt = false;
    use_refcount_structures(c);
    r = c->rebuild ? 0 : compare_all(c);
    if (c->rebuild && (c->fix & BLOCK_FIX_ERRORS)) {
        uint64_t found = c->out->corruptions;
        say(c, "Rebuilding refcount structure");
        q_refs_free(c->refs);   /* count again, without the old structures */
        g_hash_table_remove_all(c->l2);
        c->refs = q_refs_new();
        BlockCheck again = { .message = NULL };
        BlockCheck *out = c->out;
        c->out = &again;
        r = count_references(c);
        c->out = out;
        r = r < 0 ? r : q_refcounts_rebuild(s, c->refs);
        if (r == 0) {
            out->corruptions_fixed += found - again.corruptions;
            out->corruptions = again.corruptions;
            c->highest = q_refs_end(c->refs) - 1;
        }
    }
    r = r < 0 ? r : check_copied(c);
    if (r == 0 && c->fix) {
        r = q_commit(s);
        r = r < 0 ? r : clear_marks(c);
    }
    return r;
}

static void l2_use_free(void *p)
{
    g_free(p);
}

int qcow2_check(BlockNode *node, unsigned fix, BlockCheck *check)
{
    Qcow2 *s = node->state;
    Check c = { .s = s, .out = check, .fix = node->read_only ? 0 : fix, .refs = q_refs_new(),
                .l2 = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, l2_use_free) };
    check->total_clusters = q_clusters(s, node->length);
    g_mutex_lock(&s->lock);
    int r = check_locked(&c);
    check->image_end = (c.highest + 1) << s->cluster_bits;
    g_mutex_unlock(&s->lock);
    check->errors += r < 0;
    q_refs_free(c.refs);
    g_hash_table_destroy(c.l2);
    return r;
}

int q_count_references(Qcow2 *s, Qcow2Refs **ret_refs)
{
    BlockCheck out = { .message = NULL };
    Check c = { .s = s, .out = &out, .refs = q_refs_new(), .l2 = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free) };
    int r = count_references(&c);
    r = r == 0 && out.corruptions ? -EIO : r;
    g_hash_table_destroy(c.l2);
    if (r < 0)
        q_refs_free(c.refs);
    else
        *ret_refs = c.refs;
    return r;
}
