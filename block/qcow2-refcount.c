/* Reference counts of host clusters, and the allocator (the spec, "Host cluster management"). */
#include "block/qcow2-internal.h"

#include <errno.h>
#include <string.h>

/* ---- entries of a block: 1 to 64 bits wide, the first one in the lowest bits of a byte ---- */

uint64_t q_refcount_entry(const Qcow2 *s, const uint8_t *block, uint64_t index)
{
    unsigned order = s->h.refcount_order;
    if (order < 3) {
        unsigned per_byte_bits = 3 - order, shift = (unsigned)(index & ((1u << per_byte_bits) - 1)) << order;
        return block[index >> per_byte_bits] >> shift & s->refcount_max;
    }
    const uint8_t *p = block + (index << (order - 3));
    switch (order) {
    case 3: return *p;
    case 4: return (uint64_t)p[0] << 8 | p[1];
    case 5: return be32_at(p);
    default: return be64_at(p);
    }
}

void q_refcount_entry_set(const Qcow2 *s, uint8_t *block, uint64_t index, uint64_t value)
{
    unsigned order = s->h.refcount_order;
    if (order < 3) {
        unsigned per_byte_bits = 3 - order, shift = (unsigned)(index & ((1u << per_byte_bits) - 1)) << order;
        uint8_t *p = block + (index >> per_byte_bits);
        *p = (uint8_t)((*p & ~(s->refcount_max << shift)) | value << shift);
        return;
    }
    uint8_t *p = block + (index << (order - 3));
    switch (order) {
    case 3:
        *p = (uint8_t)value;
        break;
    case 4:
        p[0] = (uint8_t)(value >> 8);
        p[1] = (uint8_t)value;
        break;
    case 5:
        be32_put(p, (uint32_t)value);
        break;
    default:
        be64_put(p, value);
    }
}

static uint64_t block_of(const Qcow2 *s, uint64_t cluster)
{
    return cluster >> s->refblock_bits;
}

static uint64_t index_in_block(const Qcow2 *s, uint64_t cluster)
{
    return cluster & ((1ull << s->refblock_bits) - 1);
}

/* *ret_table NULL: there is no block, all its counts are 0. */
static int get_block(Qcow2 *s, uint64_t block, Qcow2Table **ret_table)
{
    *ret_table = NULL;
    if (block >= s->reftable_entries || !s->reftable[block])
        return 0;
    if (s->reftable[block] & Q_REFTABLE_RESERVED)
        return q_corrupt(s, "reserved bits in the refcount table", s->reftable[block]);
    return q_table_get(s, Q_TABLE_REFBLOCK, s->reftable[block], ret_table);
}

int q_refcount_get(Qcow2 *s, uint64_t cluster, uint64_t *ret_value)
{
    Qcow2Table *t;
    int r = get_block(s, block_of(s, cluster), &t);
    if (r == 0)
        *ret_value = t ? q_refcount_entry(s, t->data, index_in_block(s, cluster)) : 0;
    return r;
}

static void set_entry(Qcow2 *s, Qcow2Table *t, uint64_t cluster, uint64_t value)
{
    uint64_t i = index_in_block(s, cluster);
    uint32_t byte = (uint32_t)(s->h.refcount_order < 3 ? i >> (3 - s->h.refcount_order) : i << (s->h.refcount_order - 3));
    uint32_t width = s->h.refcount_order < 3 ? 1 : 1u << (s->h.refcount_order - 3);
    q_refcount_entry_set(s, t->data, i, value);
    q_table_dirty(s, t, byte, byte + width);
}

static void cluster_is_free(Qcow2 *s, uint64_t cluster)
{
    uint64_t offset = cluster << s->cluster_bits;
    s->free_hint = MIN(s->free_hint, cluster);
    q_table_drop(s, offset);
    q_meta_mark(s, offset, s->cluster_size, false);
    if (s->compressed_next && s->compressed_next >> s->cluster_bits == cluster)
        s->compressed_next = 0;
}

int q_refcount_add(Qcow2 *s, uint64_t offset, uint64_t count, int delta)
{
    uint64_t first = offset >> s->cluster_bits;
    for (uint64_t c = first; c < first + count; c++) {
        Qcow2Table *t;
        int r = get_block(s, block_of(s, c), &t);
        if (r < 0)
            return r;
        uint64_t value = t ? q_refcount_entry(s, t->data, index_in_block(s, c)) : 0;
        /* What is counted here is in use, so it has a count of at least 1 unless the image is damaged. */
        if (value == 0)
            return q_corrupt(s, "a cluster in use has refcount 0", c << s->cluster_bits);
        if (delta > 0 && value == s->refcount_max) {
            if (c > first)
                q_refcount_add(s, offset, c - first, -1);
            return -EINVAL;
        }
        set_entry(s, t, c, value + (delta > 0 ? 1 : -1ull));
        if (delta < 0 && value == 1)
            cluster_is_free(s, c);
    }
    return 0;
}

int q_refcount_set(Qcow2 *s, uint64_t cluster, uint64_t value)
{
    Qcow2Table *t;
    if (value > s->refcount_max)
        return -EINVAL;
    int r = get_block(s, block_of(s, cluster), &t);
    if (r < 0 || !t)
        return r < 0 ? r : -ENOENT;
    set_entry(s, t, cluster, value);
    if (!value)
        s->free_hint = MIN(s->free_hint, cluster);
    return 0;
}

/* ---- clusters known to be metadata ---- */

enum { META_CHUNK_BITS = 9 };       /* small: a hostile L1 table can make for one chunk an entry */

static uint8_t *meta_chunk(Qcow2 *s, uint64_t cluster, bool create)
{
    uint64_t key = cluster >> META_CHUNK_BITS;
    if (s->meta_key == key + 1 && (s->meta_bits || !create))
        return s->meta_bits;
    uint8_t *bits = g_hash_table_lookup(s->meta, &key);
    if (!bits && create) {
        bits = g_malloc0((1 << META_CHUNK_BITS) / 8);
        g_hash_table_insert(s->meta, g_memdup2(&key, sizeof(key)), bits);
    }
    s->meta_key = key + 1;
    s->meta_bits = bits;
    return bits;
}

void q_meta_mark(Qcow2 *s, uint64_t offset, uint64_t bytes, bool is_meta)
{
    uint64_t c = offset >> s->cluster_bits;
    for (uint64_t n = q_clusters(s, bytes); n--; c++) {
        uint8_t *bits = meta_chunk(s, c, is_meta);
        uint32_t i = (uint32_t)(c & ((1 << META_CHUNK_BITS) - 1));
        if (bits)
            bits[i >> 3] = (uint8_t)((bits[i >> 3] & ~(1 << (i & 7))) | is_meta << (i & 7));
    }
}

bool q_is_meta(Qcow2 *s, uint64_t offset, uint64_t bytes)
{
    uint64_t c = offset >> s->cluster_bits;
    for (uint64_t n = q_clusters(s, bytes); n--; c++) {
        const uint8_t *bits = meta_chunk(s, c, false);
        uint32_t i = (uint32_t)(c & ((1 << META_CHUNK_BITS) - 1));
        if (bits && (bits[i >> 3] >> (i & 7) & 1))
            return true;
    }
    return false;
}

/* ---- the allocator ---- */

static void link_block(Qcow2 *s, uint64_t block, uint64_t offset)
{
    s->reftable[block] = offset;
    s->reftable_lo = s->reftable_lo == s->reftable_hi ? (uint32_t)block : MIN(s->reftable_lo, (uint32_t)block);
    s->reftable_hi = MAX(s->reftable_hi, (uint32_t)block + 1);
    q_meta_mark(s, offset, s->cluster_size, true);
    s->file_end = MAX(s->file_end, offset + s->cluster_size);
}

/* A refcount block for clusters that had none: it takes the first cluster of its own range, which is free for sure. */
static int new_block(Qcow2 *s, uint64_t block, Qcow2Table **ret_table)
{
    uint64_t cluster = block << s->refblock_bits, offset = cluster << s->cluster_bits;
    if (cluster == 0 || q_is_meta(s, offset, s->cluster_size))
        return q_corrupt(s, "the refcount block for metadata in use is missing", offset);
    Qcow2Table *t = q_table_new(s, Q_TABLE_REFBLOCK, offset, offset >= s->file_end);
    set_entry(s, t, cluster, 1);
    link_block(s, block, offset);
    *ret_table = t;
    return 0;
}

/* Room for @want contiguous clusters where no blocks are yet, from @block on: all the blocks first, then the room. 1:
 * done, *ret_start is set; 0: some of the blocks exist. */
static int new_blocks(Qcow2 *s, uint64_t block, uint64_t want, uint64_t *ret_start)
{
    uint64_t first = block << s->refblock_bits, n = 0, last;
    do {
        last = block_of(s, first + n + want - 1);
        n = last - block + 1;
    } while (last != block_of(s, first + n + want - 1));
    if (last >= s->reftable_entries) {
        s->reftable_full = true;
        return -EAGAIN;
    }
    for (uint64_t b = block; b <= last; b++)
        if (s->reftable[b])
            return 0;
    if (q_is_meta(s, first << s->cluster_bits, (n + want) << s->cluster_bits))
        return q_corrupt(s, "the refcount block for metadata in use is missing", first << s->cluster_bits);
    for (uint64_t i = 0; i < n; i++) {
        q_table_new(s, Q_TABLE_REFBLOCK, (first + i) << s->cluster_bits, (first + i) << s->cluster_bits >= s->file_end);
        link_block(s, block + i, (first + i) << s->cluster_bits);
    }
    for (uint64_t i = 0; i < n; i++)
        set_entry(s, q_table_cached(s, s->reftable[block_of(s, first + i)]), first + i, 1);
    *ret_start = first + n;
    return 1;
}

typedef struct Run {
    uint64_t start, len;
} Run;

/* From cluster @c on, look through one block for a run of free clusters that continues or replaces @run. True: @run is
 * @want long, or it has ended and @all does not ask for more. */
static bool scan_block(Qcow2 *s, const Qcow2Table *t, uint64_t *c, Run *run, uint64_t want, bool all)
{
    uint64_t end = (block_of(s, *c) + 1) << s->refblock_bits;
    for (; *c < end; ++*c) {
        if (q_refcount_entry(s, t->data, index_in_block(s, *c)) == 0) {
            if (!run->len)
                run->start = *c;
            if (++run->len == want)
                return true;
        } else if (run->len) {
            if (!all)
                return true;
            run->len = 0;
        }
    }
    return false;
}

static int find_run(Qcow2 *s, uint64_t want, bool all, Run *run)
{
    uint64_t c = s->free_hint;
    *run = (Run){ 0, 0 };
    for (;;) {
        uint64_t block = block_of(s, c);
        Qcow2Table *t;
        if (block >= s->reftable_entries || c >= (Q_OFFSET_MASK >> s->cluster_bits)) {
            if (run->len && !all)
                return 0;
            s->reftable_full = true;
            return c >= (Q_OFFSET_MASK >> s->cluster_bits) ? -EFBIG : -EAGAIN;
        }
        int r = get_block(s, block, &t);
        if (r == 0 && !t && all && want > 1) {
            run->len = want;
            r = new_blocks(s, block, want, &run->start);
            if (r)
                return r < 0 ? r : 0;
            run->len = 0;
            c = block << s->refblock_bits;
        }
        if (r == 0 && !t)
            r = new_block(s, block, &t);
        if (r < 0)
            return r;
        if (scan_block(s, t, &c, run, want, all))
            return 0;
    }
}

int q_alloc(Qcow2 *s, uint64_t want, bool all, uint64_t *ret_offset, uint64_t *ret_count)
{
    Run run;
    int r = find_run(s, want, all, &run);
    if (r < 0)
        return r;
    uint64_t offset = run.start << s->cluster_bits;
    /* Refcounts that call a live table free are how images get destroyed: better refuse. */
    if (run.start == 0 || q_is_meta(s, offset, run.len << s->cluster_bits))
        return q_corrupt(s, "metadata in use counts as free", offset);
    for (uint64_t i = 0; i < run.len; i++) {
        Qcow2Table *t;
        r = get_block(s, block_of(s, run.start + i), &t);
        if (r < 0)
            return r;
        set_entry(s, t, run.start + i, 1);
    }
    if (s->free_hint >= run.start || !all || want == 1)
        s->free_hint = MAX(s->free_hint, run.start + run.len);
    s->file_end = MAX(s->file_end, offset + (run.len << s->cluster_bits));
    *ret_offset = offset;
    *ret_count = run.len;
    return 0;
}

void q_alloc_undo(Qcow2 *s, uint64_t offset, uint64_t count)
{
    q_refcount_add(s, offset, count, -1);
}

/* ---- a larger refcount table ---- */

/* The new table lies right behind what the old one covers, with the refcount blocks that describe it all. */
static int write_grown(Qcow2 *s, uint64_t *table, uint64_t entries, uint64_t start, uint64_t n_blocks, uint64_t n_table)
{
    uint64_t total = n_blocks + n_table;
    g_autofree uint8_t *buf = g_try_malloc0(s->cluster_size);
    g_autofree uint8_t *be = g_try_malloc0(n_table << s->cluster_bits);
    int r = buf && be ? 0 : -ENOMEM;
    for (uint64_t b = 0; r == 0 && b < n_blocks; b++) {
        uint64_t first = (block_of(s, start) + b) << s->refblock_bits, per = 1ull << s->refblock_bits;
        memset(buf, 0, s->cluster_size);
        for (uint64_t c = first; c < first + per && c < start + total; c++)
            q_refcount_entry_set(s, buf, c - first, 1);
        table[block_of(s, start) + b] = (start + b) << s->cluster_bits;
        r = bn_write(s->file, (start + b) << s->cluster_bits, buf, s->cluster_size);
    }
    for (uint64_t i = 0; r == 0 && i < entries; i++)
        be64_put(be + i * 8, table[i]);
    r = r < 0 ? r : bn_write(s->file, (start + n_blocks) << s->cluster_bits, be, n_table << s->cluster_bits);
    return r < 0 ? r : bn_flush(s->file);
}

int q_reftable_grow(Qcow2 *s, uint64_t clusters)
{
    /* All blocks that the new table points to must be on disk first, and nobody may commit meanwhile. */
    int r;
    do
        r = q_commit(s);
    while (r == 0 && s->reftable_lo < s->reftable_hi);
    s->reftable_full = false;
    if (r < 0)
        return r;
    uint64_t start = (uint64_t)s->reftable_entries << s->refblock_bits, entries, n_blocks = 0, n_table = 0, total;
    /* Whatever lies beyond (a file longer than its refcounts say) is left alone. */
    if (start >= clusters)
        return 0;
    clusters = MAX(clusters, start + start / 2);
    do {
        total = n_blocks + n_table;
        entries = block_of(s, MAX(clusters, start + total) - 1) + 1;
        n_table = (entries * 8 + s->cluster_size - 1) >> s->cluster_bits;
        entries = (n_table << s->cluster_bits) / 8;
        n_blocks = block_of(s, start + n_blocks + n_table - 1) - block_of(s, start) + 1;
    } while (n_blocks + n_table != total);
    if (n_table << s->cluster_bits > Q_MAX_REFTABLE_BYTES)
        return -EFBIG;
    uint64_t *table = g_try_malloc0(entries * 8);
    if (!table)
        return -ENOMEM;
    memcpy(table, s->reftable, s->reftable_entries * 8);
    r = write_grown(s, table, entries, start, n_blocks, n_table);
    Qcow2Header old = s->h;
    if (r == 0) {
        s->h.refcount_table_offset = (start + n_blocks) << s->cluster_bits;
        s->h.refcount_table_clusters = (uint32_t)n_table;
        r = q_header_write(s);
        r = r < 0 ? r : bn_flush(s->file);
    }
    if (r < 0) {
        s->h = old;
        g_free(table);
        return r;
    }
    g_free(s->reftable);
    s->reftable = table;
    s->reftable_entries = (uint32_t)entries;
    s->file_end = MAX(s->file_end, (start + total) << s->cluster_bits);
    q_meta_mark(s, start << s->cluster_bits, total << s->cluster_bits, true);
    q_free_later(s, old.refcount_table_offset, old.refcount_table_clusters, false);
    return 0;
}
