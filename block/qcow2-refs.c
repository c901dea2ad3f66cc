/* Counting references to host clusters, sparsely; and making refcounts anew from the counts. */
#include "block/qcow2-internal.h"

#include <errno.h>
#include <string.h>

enum { CHUNK_BITS = 14, CHUNK = 1 << CHUNK_BITS };

struct Qcow2Refs {
    GHashTable *chunks;         /* chunk number -> uint32_t[CHUNK] */
    uint64_t last_key, end;
    uint32_t *last;
};

Qcow2Refs *q_refs_new(void)
{
    Qcow2Refs *refs = g_new0(Qcow2Refs, 1);
    refs->chunks = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
    return refs;
}

void q_refs_free(Qcow2Refs *refs)
{
    g_hash_table_destroy(refs->chunks);
    g_free(refs);
}

static uint32_t *chunk_of(Qcow2Refs *refs, uint64_t cluster, bool create)
{
    uint64_t key = cluster >> CHUNK_BITS;
    if (refs->last && refs->last_key == key)
        return refs->last;
    uint32_t *chunk = g_hash_table_lookup(refs->chunks, &key);
    if (!chunk && create) {
        chunk = g_new0(uint32_t, CHUNK);
        g_hash_table_insert(refs->chunks, g_memdup2(&key, sizeof(key)), chunk);
    }
    if (chunk) {
        refs->last = chunk;
        refs->last_key = key;
    }
    return chunk;
}

void q_refs_add(Qcow2Refs *refs, uint64_t cluster, uint64_t count, uint32_t weight)
{
    for (; count; cluster++, count--) {
        uint32_t *n = &chunk_of(refs, cluster, true)[cluster & (CHUNK - 1)];
        *n = weight > UINT32_MAX - *n ? UINT32_MAX : *n + weight;
        refs->end = MAX(refs->end, cluster + 1);
    }
}

uint32_t q_refs_get(Qcow2Refs *refs, uint64_t cluster)
{
    const uint32_t *chunk = chunk_of(refs, cluster, false);
    return chunk ? chunk[cluster & (CHUNK - 1)] : 0;
}

const uint32_t *q_refs_span(Qcow2Refs *refs, uint64_t cluster, uint64_t *count)
{
    uint64_t place = cluster & (CHUNK - 1);
    const uint32_t *chunk = chunk_of(refs, cluster, false);
    *count = MIN(*count, CHUNK - place);
    return chunk ? chunk + place : NULL;
}

uint64_t q_refs_end(const Qcow2Refs *refs)
{
    return refs->end;
}

static int key_cmp(const void *a, const void *b)
{
    uint64_t x = **(const uint64_t *const *)a, y = **(const uint64_t *const *)b;
    return x < y ? -1 : x > y;
}

int q_refs_walk(Qcow2Refs *refs, Qcow2RefsFn *fn, void *opaque)
{
    guint n;
    uint64_t **keys = (uint64_t **)g_hash_table_get_keys_as_array(refs->chunks, &n);
    qsort(keys, n, sizeof(*keys), key_cmp);
    int r = 0;
    for (guint i = 0; r == 0 && i < n; i++)
        r = fn(opaque, *keys[i] << CHUNK_BITS, g_hash_table_lookup(refs->chunks, keys[i]), CHUNK);
    g_free(keys);
    return r;
}

/* ---- rebuilding ---- */

typedef struct Blocks {         /* numbers of the blocks that are needed, ascending */
    Qcow2 *s;
    GArray *list;
} Blocks;

static void need_block(Blocks *b, uint64_t block)
{
    if (!b->list->len || g_array_index(b->list, uint64_t, b->list->len - 1) < block)
        g_array_append_val(b->list, block);
}

static int needed_blocks(void *opaque, uint64_t first, const uint32_t *counts, uint32_t n)
{
    Blocks *b = opaque;
    for (uint32_t i = 0; i < n; i++)
        if (counts[i])
            need_block(b, (first + i) >> b->s->refblock_bits);
    return 0;
}

static int write_block(Qcow2 *s, Qcow2Refs *refs, uint64_t block, uint64_t place, uint8_t *buf)
{
    uint64_t first = block << s->refblock_bits;
    memset(buf, 0, s->cluster_size);
    for (uint64_t i = 0; i < 1ull << s->refblock_bits; i++) {
        uint32_t n = q_refs_get(refs, first + i);
        if (n > s->refcount_max)
            return -ERANGE;
        if (n)
            q_refcount_entry_set(s, buf, i, n);
    }
    return bn_write(s->file, place << s->cluster_bits, buf, s->cluster_size);
}

static int write_refcounts(Qcow2 *s, Qcow2Refs *refs, const Blocks *b, uint64_t start, uint64_t n_table)
{
    g_autofree uint8_t *buf = g_try_malloc(s->cluster_size), *table = g_try_malloc0(n_table << s->cluster_bits);
    int r = buf && table ? 0 : -ENOMEM;
    for (guint i = 0; r == 0 && i < b->list->len; i++) {
        uint64_t block = g_array_index(b->list, uint64_t, i);
        r = write_block(s, refs, block, start + n_table + i, buf);
        be64_put(table + block * 8, (start + n_table + i) << s->cluster_bits);
    }
    r = r < 0 ? r : bn_write(s->file, start << s->cluster_bits, table, n_table << s->cluster_bits);
    return r < 0 ? r : bn_flush(s->file);
}

static void forget_refblocks(Qcow2 *s)
{
    GHashTableIter it;
    void *p;
    g_hash_table_iter_init(&it, s->tables);
    while (g_hash_table_iter_next(&it, NULL, &p)) {
        Qcow2Table *t = p;
        if (t->kind == Q_TABLE_REFBLOCK)
            t->dirty_hi = t->dirty_lo < t->dirty_hi ? (s->dirty_n--, t->dirty_lo) : t->dirty_lo;
    }
}

int q_refcounts_rebuild(Qcow2 *s, Qcow2Refs *refs)
{
    uint64_t start = MAX(q_refs_end(refs), q_clusters(s, s->file_end)), n_table = 0, total = 0;
    Blocks b = { s, g_array_new(FALSE, FALSE, sizeof(uint64_t)) };
    q_refs_walk(refs, needed_blocks, &b);
    guint base = b.list->len;
    do {                        /* what describes the new tables themselves comes on top */
        total = n_table + b.list->len;
        g_array_set_size(b.list, base);
        for (uint64_t c = start; c < start + total; c++)
            need_block(&b, c >> s->refblock_bits);
        uint64_t last = b.list->len ? g_array_index(b.list, uint64_t, b.list->len - 1) : 0;
        n_table = q_clusters(s, (last + 1) * 8);
    } while (n_table + b.list->len != total);
    int r = n_table << s->cluster_bits > Q_MAX_REFTABLE_BYTES ? -EFBIG : 0;
    uint64_t *table = r < 0 ? NULL : g_try_malloc0(n_table << s->cluster_bits);
    r = r < 0 ? r : table ? 0 : -ENOMEM;
    if (r == 0) {
        q_refs_add(refs, start, total, 1);
        r = write_refcounts(s, refs, &b, start, n_table);
    }
    Qcow2Header old = s->h;
    if (r == 0) {
        s->h.refcount_table_offset = start << s->cluster_bits;
        s->h.refcount_table_clusters = (uint32_t)n_table;
        r = q_header_write(s);
        r = r < 0 ? r : bn_flush(s->file);
    }
    if (r < 0) {
        s->h = old;
        g_free(table);
    } else {
        for (guint i = 0; i < b.list->len; i++)
            table[g_array_index(b.list, uint64_t, i)] = (start + n_table + i) << s->cluster_bits;
        forget_refblocks(s);
        g_free(s->reftable);
        s->reftable = table;
        s->reftable_entries = (uint32_t)((n_table << s->cluster_bits) / 8);
        s->reftable_lo = s->reftable_hi = 0;
        s->file_end = MAX(s->file_end, (start + total) << s->cluster_bits);
        s->free_hint = 1;
        q_meta_mark(s, start << s->cluster_bits, total << s->cluster_bits, true);
    }
    g_array_free(b.list, TRUE);
    return r;
}
