/* Zeros and discards: changes of the mapping without data. */
#include "block/qcow2-internal.h"

#include <errno.h>

typedef enum ZeroHow {
    ZERO_KEEP,                  /* reads as zeros, the cluster stays reserved */
    ZERO_FREE,                  /* reads as zeros, the cluster is given back */
    ZERO_FORGET,                /* unallocated: there is no backing file that could show through */
} ZeroHow;

/* One cluster. The table is ready to be changed. */
static void zero_cluster(Qcow2 *s, Qcow2Table *t, uint32_t index, ZeroHow how)
{
    uint64_t entry = q_l2_entry(s, t, index), bitmap = q_l2_bitmap(s, t, index), old_offset, zero_bits = 0;
    bool keep = how == ZERO_KEEP && !(entry & Q_COMPRESSED) && (entry & Q_COPIED);
    if (how == ZERO_FORGET && !entry && !bitmap)
        return;
    uint64_t n = keep || s->external ? 0 : q_entry_clusters(s, entry, &old_offset);
    uint64_t new_entry = keep ? entry & (Q_OFFSET_MASK | Q_COPIED) : 0;
    if (how != ZERO_FORGET) {
        if (s->extended)
            zero_bits = 0xffffffffull << 32;
        else
            new_entry |= Q_ZERO;
    }
    if (new_entry == entry && zero_bits == bitmap)
        return;
    if (n)
        q_free_later(s, old_offset, n, !(entry & Q_COMPRESSED));
    q_l2_set(s, t, index, new_entry, zero_bits);
}

/* Whole clusters; the caller has them exclusively. Lock held. */
static int zero_clusters(Qcow2 *s, uint64_t offset, uint64_t len, ZeroHow how)
{
    uint64_t table_span = 1ull << (s->cluster_bits + s->l2_bits);
    while (len) {
        uint64_t part = MIN(len, table_span - (offset & (table_span - 1)));
        uint64_t l1 = offset >> (s->cluster_bits + s->l2_bits);
        if (how == ZERO_FORGET && l1 < s->h.l1_size && !(s->l1[l1] & Q_OFFSET_MASK)) {
            offset += part;
            len -= part;
            continue;
        }
        Qcow2Table *t;
        int r;
        do {
            r = q_prepare(s, 2);
            r = r < 0 ? r : q_l2_for_write(s, offset, &t);
        } while (r == -EAGAIN);
        if (r < 0)
            return r;
        uint32_t index = q_l2_index(s, offset);
        q_bitmaps_mark(s, offset, part);
        for (uint64_t i = 0; i < part >> s->cluster_bits; i++)
            zero_cluster(s, t, index + (uint32_t)i, how);
        offset += part;
        len -= part;
    }
    return 0;
}

/* Does the range read as zeros already? Lock held. */
static int reads_zero(Qcow2 *s, uint64_t offset, uint64_t len, bool *ret_zero)
{
    *ret_zero = false;
    while (len) {
        Qcow2Map m;
        int r = q_map(s, offset, len, &m);
        if (r < 0)
            return r;
        if (!(m.type == Q_ZEROS || (m.type == Q_UNALLOCATED && !s->node->backing_name)))
            return 0;
        offset += m.len;
        len -= m.len;
    }
    *ret_zero = true;
    return 0;
}

/* A part of a cluster: real zeros, unless it reads as such already. */
static int zero_part(BlockNode *node, uint64_t offset, uint64_t len)
{
    Qcow2 *s = node->state;
    bool zero;
    g_mutex_lock(&s->lock);
    int r = reads_zero(s, offset, len, &zero);
    g_mutex_unlock(&s->lock);
    if (r < 0 || zero)
        return r;
    g_autofree char *buf = g_try_malloc0(len);
    struct iovec vec;
    return buf ? qcow2_writev(node, offset, len, biov_buf(&vec, buf, len), 0) : -ENOMEM;
}

static int zero_whole(Qcow2 *s, uint64_t offset, uint64_t len, ZeroHow how)
{
    Qcow2Track track;
    g_mutex_lock(&s->lock);
    q_track_begin(s, &track, offset, offset + len, true);
    int r = zero_clusters(s, offset, len, how);
    q_track_end(s, &track);
    g_mutex_unlock(&s->lock);
    return r;
}

int qcow2_write_zeroes(BlockNode *node, uint64_t offset, uint64_t len, unsigned flags)
{
    Qcow2 *s = node->state;
    uint64_t mask = s->cluster_size - 1, end = offset + len;
    /* The last cluster may reach beyond the end of the disk: then it is whole all the same. */
    uint64_t first = (offset + mask) & ~mask, last = end == node->length ? (end + mask) & ~mask : end & ~mask;
    ZeroHow how = flags & BLOCK_REQ_MAY_UNMAP ? ZERO_FREE : ZERO_KEEP;
    if (s->h.version < 3) {
        if (node->backing_name || how == ZERO_KEEP)
            return -ENOTSUP;
        how = ZERO_FORGET;
    } else if (!node->backing_name && how == ZERO_FREE) {
        how = ZERO_FORGET;
    }
    if (s->raw_external) {
        int r = bn_write_zeroes(s->data_file, offset, len, flags);
        if (r < 0)
            return r;
    }
    if (first >= last)
        return zero_part(node, offset, len);
    int r = offset < first ? zero_part(node, offset, first - offset) : 0;
    r = r < 0 ? r : zero_whole(s, first, last - first, how);
    if (r == 0 && last < end)
        r = zero_part(node, last, end - last);
    return r;
}

int qcow2_discard(BlockNode *node, uint64_t offset, uint64_t len)
{
    Qcow2 *s = node->state;
    uint64_t mask = s->cluster_size - 1, end = offset + len;
    uint64_t first = (offset + mask) & ~mask, last = end == node->length ? (end + mask) & ~mask : end & ~mask;
    if (first >= last || (s->h.version < 3 && node->backing_name))
        return 0;
    if (s->external) {
        /* Clusters of a data file are not ours to give back; with a raw one the data must stay what we say it is. */
        return s->raw_external ? 0 : zero_whole(s, first, last - first, ZERO_KEEP);
    }
    return zero_whole(s, first, last - first, node->backing_name ? ZERO_FREE : ZERO_FORGET);
}

int q_forget(BlockNode *node, uint64_t offset, uint64_t len)
{
    Qcow2 *s = node->state;
    return zero_whole(s, offset, q_align_up(s, len), ZERO_FORGET);
}

int qcow2_make_empty(BlockNode *node)
{
    Qcow2 *s = node->state;
    Qcow2Track track;
    g_mutex_lock(&s->lock);
    q_track_begin(s, &track, 0, UINT64_MAX, true);
    int r = zero_clusters(s, 0, q_align_up(s, node->length), ZERO_FORGET);
    q_track_end(s, &track);
    r = r < 0 ? r : q_commit(s);
    g_mutex_unlock(&s->lock);
    return r;
}
