#include "block/qcow2-tree.h"

#include <errno.h>
#include <string.h>

int q_tree_read_l1(Qcow2 *s, uint64_t offset, uint32_t n, uint64_t **ret_l1)
{
    if (n * 8ull > Q_MAX_L1_BYTES || offset >= s->file_end || (offset & (s->cluster_size - 1)))
        return q_corrupt(s, "a snapshot's L1 table lies outside the file", offset);
    uint64_t *l1 = g_try_malloc(MAX(n, 1) * 8ull);
    int r = l1 ? bn_read(s->file, offset, l1, n * 8ull) : -ENOMEM;
    if (r < 0) {
        g_free(l1);
        return r;
    }
    for (uint32_t i = 0; i < n; i++)
        l1[i] = GUINT64_FROM_BE(l1[i]);
    *ret_l1 = l1;
    return 0;
}

int q_tree_write_l1(Qcow2 *s, const uint64_t *l1, uint32_t n, uint64_t offset)
{
    uint64_t bytes = q_align_up(s, MAX(n, 1) * 8ull);
    g_autofree uint8_t *be = g_try_malloc0(bytes);
    if (!be)
        return -ENOMEM;
    for (uint32_t i = 0; i < n; i++)
        be64_put(be + i * 8ull, l1[i]);
    return bn_write(s->file, offset, be, bytes);
}

/* Do not let the changed tables of a large image fill the memory. */
static int relieve(Qcow2 *s)
{
    return s->dirty_n > MAX(s->tables_max[Q_TABLE_L2] / 2, 16) ? q_commit(s) : 0;
}

/* One L2 table: its clusters, then itself. *done counts entries, so that a failure can be undone exactly. */
static int add_l2(Qcow2 *s, uint64_t l2_offset, int delta, uint32_t max, uint32_t *done)
{
    Qcow2Table *t;
    uint32_t n = 1u << s->l2_bits;
    int r = q_table_get(s, Q_TABLE_L2, l2_offset, &t);
    if (r < 0)
        return r;
    /* Refcount blocks are fetched meanwhile, which may evict the table: work on a copy. */
    g_autofree uint8_t *copy = g_memdup2(t->data, s->cluster_size);
    for (*done = 0; *done < MIN(n, max); ++*done) {
        uint64_t entry = be64_at(copy + (size_t)*done * s->l2_entry_size), offset, count;
        count = q_entry_clusters(s, entry, &offset);
        r = count ? q_refcount_add(s, offset, count, delta) : 0;
        if (r < 0)
            return r;
    }
    if (max > n) {
        r = q_refcount_add(s, l2_offset, 1, delta);
        if (r == 0)
            ++*done;
    }
    return r;
}

static int check_l1_entry(Qcow2 *s, uint64_t entry)
{
    if ((entry & Q_L1_RESERVED) || (entry & Q_OFFSET_MASK & (s->cluster_size - 1)))
        return q_corrupt(s, "a bad entry in a snapshot's L1 table", entry);
    return 0;
}

/* Two entries of one L1 table with one L2 table: damage, and a way to make a small file cost hours. */
static int check_duplicates(Qcow2 *s, const uint64_t *l1, uint32_t n)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t offset = l1[i] & Q_OFFSET_MASK;
        if (offset && !g_hash_table_add(seen, g_memdup2(&offset, sizeof(offset))))
            return q_corrupt(s, "two L1 entries point to one L2 table", offset);
    }
    return 0;
}

int q_tree_add(Qcow2 *s, const uint64_t *l1, uint32_t n, int delta)
{
    uint32_t i, done = 0;
    int r = check_duplicates(s, l1, n);
    if (r < 0)
        return r;
    for (i = 0; i < n; i++) {
        done = 0;
        if (!(l1[i] & Q_OFFSET_MASK))
            continue;
        r = check_l1_entry(s, l1[i]);
        r = r < 0 ? r : add_l2(s, l1[i] & Q_OFFSET_MASK, delta, UINT32_MAX, &done);
        r = r < 0 ? r : relieve(s);
        if (r < 0)
            break;
    }
    if (r == 0 || delta < 0)
        return r;               /* taking back is not undone: what remains counted only leaks */
    if (done)
        add_l2(s, l1[i] & Q_OFFSET_MASK, -delta, done, &(uint32_t){ 0 });
    while (i-- > 0)
        if (l1[i] & Q_OFFSET_MASK)
            add_l2(s, l1[i] & Q_OFFSET_MASK, -delta, UINT32_MAX, &done);
    return r;
}

static int flags_l2(Qcow2 *s, uint64_t offset, Qcow2Flags how)
{
    Qcow2Table *t;
    int r = 0;
    for (uint32_t k = 0; r == 0 && k < 1u << s->l2_bits; k++) {
        uint64_t refs = 0;
        r = q_table_get(s, Q_TABLE_L2, offset, &t);
        if (r < 0)
            break;
        uint64_t entry = q_l2_entry(s, t, k);
        if ((entry & Q_COMPRESSED) || !(entry & Q_OFFSET_MASK))
            continue;
        if (how == Q_FLAGS_FROM_REFCOUNTS)
            r = q_refcount_get(s, (entry & Q_OFFSET_MASK) >> s->cluster_bits, &refs);
        uint64_t want = (entry & ~Q_COPIED) | (refs == 1 ? Q_COPIED : 0);
        if (r < 0 || want == entry)
            continue;
        r = q_table_get(s, Q_TABLE_L2, offset, &t);     /* it may have been evicted */
        if (r == 0)
            q_l2_set(s, t, k, want, q_l2_bitmap(s, t, k));
    }
    return r;
}

int q_tree_clear_flags(Qcow2 *s, const uint64_t *l1, uint32_t n)
{
    int r = 0;
    for (uint32_t i = 0; r == 0 && i < n; i++) {
        if (!(l1[i] & Q_OFFSET_MASK))
            continue;
        r = check_l1_entry(s, l1[i]);
        r = r < 0 ? r : flags_l2(s, l1[i] & Q_OFFSET_MASK, Q_FLAGS_CLEAR);
        r = r < 0 ? r : relieve(s);
    }
    return r;
}

int q_tree_flags(Qcow2 *s, Qcow2Flags how)
{
    int r = 0;
    for (uint32_t i = 0; r == 0 && i < s->h.l1_size; i++) {
        uint64_t offset = s->l1[i] & Q_OFFSET_MASK, refs = 0;
        if (!offset)
            continue;
        r = check_l1_entry(s, s->l1[i]);
        if (r == 0 && how == Q_FLAGS_FROM_REFCOUNTS)
            r = q_refcount_get(s, offset >> s->cluster_bits, &refs);
        /* A table that is shared has only shared clusters below it: their counts say so by themselves. */
        r = r < 0 ? r : flags_l2(s, offset, how);
        if (r < 0)
            break;
        uint64_t want = (s->l1[i] & ~Q_COPIED) | (refs == 1 ? Q_COPIED : 0);
        if (want != s->l1[i]) {
            s->l1[i] = want;
            q_l1_dirty(s, i);
        }
        r = relieve(s);
    }
    return r;
}
