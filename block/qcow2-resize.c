/* Changing the virtual size, and preallocation. */
#include "block/qcow2-internal.h"

#include <errno.h>
#include <string.h>

/* ---- preallocation ---- */

static int fill(Qcow2 *s, uint64_t host, uint64_t bytes, bool blank, BlockPrealloc prealloc)
{
    uint64_t size;
    int r = block_file_size(s->data_file, &size);
    if (r < 0)
        return r;
    if (prealloc == BLOCK_PREALLOC_METADATA && blank && host + bytes <= size)
        return 0;
    if (blank && host + bytes > size)
        return block_file_truncate(s->data_file, host + bytes, prealloc == BLOCK_PREALLOC_METADATA ? BLOCK_PREALLOC_OFF : prealloc);
    return bn_write_zeroes(s->data_file, host, bytes, prealloc == BLOCK_PREALLOC_METADATA ? BLOCK_REQ_MAY_UNMAP : 0);
}

/* Clusters for the unallocated ones of the range, which reads as zeros before and after. One L2 table's worth at most. */
static int preallocate_some(Qcow2 *s, uint64_t offset, uint64_t max, BlockPrealloc prealloc, uint64_t *ret_done)
{
    Qcow2Table *t;
    uint64_t host, got, old_end, want = 0;
    int r = q_prepare(s, q_clusters(s, max) + 2);
    r = r < 0 ? r : q_l2_for_write(s, offset, &t);
    if (r < 0)
        return r;
    uint32_t index = q_l2_index(s, offset);
    *ret_done = s->cluster_size;
    if (q_l2_entry(s, t, index))
        return 0;
    max = MIN(q_clusters(s, max), (1ull << s->l2_bits) - index);
    while (want < max && !q_l2_entry(s, t, index + (uint32_t)want))
        want++;
    old_end = s->file_end;
    if (s->external) {
        host = offset;
        got = want;
    } else {
        r = q_alloc(s, want, false, &host, &got);
        if (r < 0)
            return r;
    }
    r = fill(s, host, got << s->cluster_bits, host >= old_end && !s->external, prealloc);
    r = r < 0 ? r : q_l2_for_write(s, offset, &t);
    if (r < 0) {
        if (!s->external)
            q_alloc_undo(s, host, got);
        return r;
    }
    /* With a backing file (extended L2 only) the clusters are reserved, the subclusters stay unallocated. */
    uint64_t bits = s->extended && !s->node->backing_name ? 0xffffffff : 0;
    for (uint64_t i = 0; i < got; i++)
        q_l2_set(s, t, index + (uint32_t)i, (host + (i << s->cluster_bits)) | Q_COPIED, bits);
    *ret_done = got << s->cluster_bits;
    return 0;
}

int q_preallocate(Qcow2 *s, uint64_t offset, uint64_t len, BlockPrealloc prealloc)
{
    int r = 0;
    uint64_t done, end = q_align_up(s, offset + len);
    g_mutex_lock(&s->lock);
    offset &= ~(uint64_t)(s->cluster_size - 1);
    while (r == 0 && offset < end) {
        r = preallocate_some(s, offset, end - offset, prealloc, &done);
        if (r == -EAGAIN)
            r = 0;
        else
            offset += done;
    }
    r = r < 0 ? r : q_commit(s);
    g_mutex_unlock(&s->lock);
    return r;
}

/* ---- size ---- */

/* A longer L1 table elsewhere in the file; the header switches over to it. Lock held. */
static int grow_l1(Qcow2 *s, uint32_t entries)
{
    uint64_t clusters = q_clusters(s, entries * 8ull), place, n;
    int r;
    do {
        r = q_prepare(s, clusters * 2 + 64);
        r = r < 0 ? r : q_alloc(s, clusters, true, &place, &n);
    } while (r == -EAGAIN);
    if (r < 0)
        return r;
    uint64_t *l1 = g_try_malloc0(entries * 8ull);
    uint8_t *be = g_try_malloc0(clusters << s->cluster_bits);
    r = l1 && be ? q_commit(s) : -ENOMEM;       /* from here on the lock stays held: nothing gets dirty any more */
    if (r == 0) {
        memcpy(l1, s->l1, s->h.l1_size * 8ull);
        for (uint32_t i = 0; i < entries; i++)
            be64_put(be + i * 8ull, l1[i]);
        r = bn_write(s->file, place, be, clusters << s->cluster_bits);
        r = r < 0 ? r : bn_flush(s->file);
    }
    Qcow2Header old = s->h;
    if (r == 0) {
        s->h.l1_table_offset = place;
        s->h.l1_size = entries;
        r = q_header_write(s);
        r = r < 0 ? r : bn_flush(s->file);
    }
    g_free(be);
    if (r < 0) {
        s->h = old;
        g_free(l1);
        q_alloc_undo(s, place, n);
        return r;
    }
    g_free(s->l1);
    s->l1 = l1;
    q_meta_mark(s, place, clusters << s->cluster_bits, true);
    if (old.l1_size)
        q_free_later(s, old.l1_table_offset, q_clusters(s, old.l1_size * 8ull), false);
    return 0;
}

static int set_size(Qcow2 *s, uint64_t length)
{
    uint64_t old = s->h.size;
    s->h.size = length;
    int r = q_header_write(s);
    r = r < 0 ? r : bn_flush(s->file);
    if (r < 0)
        s->h.size = old;
    return r;
}

static int shrink(BlockNode *node, uint64_t length)
{
    Qcow2 *s = node->state;
    uint64_t old = node->length, border = MIN(q_align_up(s, length), old);
    int r = border > length ? bn_write_zeroes(node, length, border - length, 0) : 0;
    if (r == 0 && old > border)
        r = s->external ? bn_write_zeroes(node, border, old - border, BLOCK_REQ_MAY_UNMAP) : q_forget(node, border, old - border);
    g_mutex_lock(&s->lock);
    r = r < 0 ? r : q_commit(s);
    r = r < 0 ? r : set_size(s, length);
    g_mutex_unlock(&s->lock);
    if (r == 0 && s->external)
        r = block_file_truncate(s->data_file, length, BLOCK_PREALLOC_OFF);
    return r;
}

static int grow(BlockNode *node, uint64_t length, BlockPrealloc prealloc, GError **err)
{
    Qcow2 *s = node->state;
    uint64_t old = node->length, covered = 1ull << (s->cluster_bits + s->l2_bits), l1 = length / covered + !!(length % covered);
    if (l1 * 8 > Q_MAX_L1_BYTES) {
        block_error(err, 0, "the new size is too large for the cluster size of '%s'", node->name);
        return -EFBIG;
    }
    g_mutex_lock(&s->lock);
    int r = q_prepare(s, 0);
    if (r == 0 && l1 > s->h.l1_size)
        r = grow_l1(s, (uint32_t)l1);
    g_mutex_unlock(&s->lock);
    if (r == 0 && s->external)
        r = block_file_truncate(s->data_file, length, prealloc == BLOCK_PREALLOC_METADATA ? BLOCK_PREALLOC_OFF : prealloc);
    /* What a longer backing file has there must not appear: zeros first, the size after them. */
    node->length = length;
    if (r == 0 && node->backing_name && (!node->backing || node->backing->length > old))
        r = bn_write_zeroes(node, old, MIN(length, node->backing ? node->backing->length : length) - old, BLOCK_REQ_MAY_UNMAP);
    if (r == 0 && prealloc != BLOCK_PREALLOC_OFF)
        r = q_preallocate(s, q_align_up(s, old), length - MIN(length, q_align_up(s, old)), prealloc);
    g_mutex_lock(&s->lock);
    r = r < 0 ? r : q_commit(s);
    r = r < 0 ? r : set_size(s, length);
    g_mutex_unlock(&s->lock);
    if (r < 0)
        node->length = old;
    return r;
}

int qcow2_resize(BlockNode *node, uint64_t length, BlockPrealloc prealloc, GError **err)
{
    Qcow2 *s = node->state;
    if (length & 511) {
        block_error(err, 0, "The new size must be a multiple of 512");
        return -EINVAL;
    }
    if (s->h.version < 3 && s->h.nb_snapshots) {
        block_error(err, 0, "Can't resize a v2 image which has snapshots");
        return -ENOTSUP;
    }
    if (prealloc != BLOCK_PREALLOC_OFF && length > node->length && node->backing_name && !s->extended) {
        block_error(err, 0, "preallocation and a backing file go together with extended_l2 only");
        return -ENOTSUP;
    }
    uint64_t old = node->length;
    g_mutex_lock(&s->lock);
    int r = q_bitmaps_resize_begin(s, err);
    g_mutex_unlock(&s->lock);
    if (r < 0)
        return r;
    r = length < node->length ? shrink(node, length) : grow(node, length, prealloc, err);
    g_mutex_lock(&s->lock);
    int e = q_bitmaps_resize_end(s, old);
    g_mutex_unlock(&s->lock);
    return r < 0 ? r : e;
}
