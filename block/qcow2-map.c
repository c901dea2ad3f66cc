/* From guest offsets to host clusters: L1 and L2 tables (the spec, "Cluster mapping" and "Extended L2 Entries"). */
#include "block/qcow2-internal.h"

#include <errno.h>
#include <string.h>

uint32_t q_l2_index(const Qcow2 *s, uint64_t offset)
{
    return (uint32_t)(offset >> s->cluster_bits) & ((1u << s->l2_bits) - 1);
}

uint64_t q_l2_entry(const Qcow2 *s, const Qcow2Table *t, uint32_t index)
{
    return be64_at(t->data + (size_t)index * s->l2_entry_size);
}

uint64_t q_l2_bitmap(const Qcow2 *s, const Qcow2Table *t, uint32_t index)
{
    return s->extended ? be64_at(t->data + (size_t)index * 16 + 8) : 0;
}

void q_l2_set(Qcow2 *s, Qcow2Table *t, uint32_t index, uint64_t entry, uint64_t bitmap)
{
    uint32_t at = index * s->l2_entry_size;
    be64_put(t->data + at, entry);
    if (s->extended)
        be64_put(t->data + at + 8, bitmap);
    q_table_dirty(s, t, at, at + s->l2_entry_size);
}

void q_packed_place(const Qcow2 *s, uint64_t entry, uint64_t *ret_offset, uint64_t *ret_bytes)
{
    unsigned x = 62 - (s->cluster_bits - 8);
    uint64_t sectors = ((entry & ~(Q_COPIED | Q_COMPRESSED)) >> x) + 1;
    *ret_offset = entry & ((1ull << x) - 1);
    *ret_bytes = sectors * 512 - (*ret_offset & 511);
}

uint64_t q_entry_clusters(const Qcow2 *s, uint64_t entry, uint64_t *ret_offset)
{
    if (entry & Q_COMPRESSED) {
        uint64_t offset, bytes;
        q_packed_place(s, entry, &offset, &bytes);
        *ret_offset = offset & ~(uint64_t)(s->cluster_size - 1);
        return q_clusters(s, offset + bytes - *ret_offset);
    }
    *ret_offset = entry & Q_OFFSET_MASK;
    return *ret_offset ? 1 : 0;
}

int q_check_data_offset(Qcow2 *s, uint64_t guest, uint64_t host)
{
    if (s->external) {
        if (host != (guest & ~(uint64_t)(s->cluster_size - 1)))
            return q_corrupt(s, "a cluster of the external data file is out of place", host);
        return 0;
    }
    if (host & (s->cluster_size - 1))
        return q_corrupt(s, "a data cluster is not aligned", host);
    if (host < s->cluster_size || host >= s->file_end)
        return q_corrupt(s, "a data cluster lies outside the file", host);
    if (q_is_meta(s, host, s->cluster_size))
        return q_corrupt(s, "a data cluster overlaps metadata", host);
    return 0;
}

/* ---- looking up ---- */

static int check_l1(Qcow2 *s, uint64_t entry)
{
    if (entry & Q_L1_RESERVED)
        return q_corrupt(s, "reserved bits in the L1 table", entry);
    return 0;
}

/* What subcluster @sc of an entry is. */
static int classify(Qcow2 *s, uint64_t guest, uint64_t entry, uint64_t bitmap, unsigned sc, Qcow2Map *m)
{
    *m = (Qcow2Map){ .type = Q_UNALLOCATED };
    if (entry & Q_COMPRESSED) {
        if (s->external)
            return q_corrupt(s, "a compressed cluster although there is an external data file", entry);
        m->type = Q_PACKED;
        m->host = entry;
        return 0;
    }
    uint64_t host = entry & Q_OFFSET_MASK;
    bool present = host || (s->external && (entry & Q_COPIED));
    if ((entry & Q_L2_RESERVED) || (s->extended && (entry & Q_ZERO)))
        return q_corrupt(s, "reserved bits in an L2 entry", entry);
    m->copied = entry & Q_COPIED;
    if (s->extended) {
        bool allocated = bitmap >> sc & 1, zero = bitmap >> (sc + 32) & 1;
        if ((allocated && zero) || (allocated && !present))
            return q_corrupt(s, "an impossible subcluster", bitmap);
        m->type = zero ? Q_ZEROS : allocated ? Q_NORMAL : Q_UNALLOCATED;
    } else if (s->h.version >= 3 && (entry & Q_ZERO)) {
        m->type = Q_ZEROS;
    } else if (present) {
        m->type = Q_NORMAL;
    }
    m->host = host;
    return present ? q_check_data_offset(s, guest, host) : 0;
}

static bool continues(const Qcow2 *s, const Qcow2Map *first, const Qcow2Map *next, uint64_t expected)
{
    if (first->type != next->type || first->copied != next->copied || first->type == Q_PACKED)
        return false;
    if (first->type == Q_UNALLOCATED && !s->extended)
        return true;
    return next->host == (first->host || first->type == Q_NORMAL ? expected : 0);
}

static int map_in_table(Qcow2 *s, const Qcow2Table *t, uint64_t offset, uint64_t max, Qcow2Map *m)
{
    uint64_t sc_size = s->subcluster_size, in_sc = offset & (sc_size - 1), span;
    uint32_t index = q_l2_index(s, offset), n = 1u << s->l2_bits;
    unsigned sc = (unsigned)((offset & (s->cluster_size - 1)) / sc_size);
    uint64_t entry = q_l2_entry(s, t, index);
    int r = classify(s, offset, entry, q_l2_bitmap(s, t, index), sc, m);
    if (r < 0)
        return r;
    if (m->type == Q_PACKED) {
        m->len = MIN(max, s->cluster_size - (offset & (s->cluster_size - 1)));
        return 0;
    }
    Qcow2Map first = *m, next;
    uint64_t base = first.host;
    for (span = sc_size - in_sc; span < max; span += sc_size) {
        if (++sc == s->subclusters) {
            sc = 0;
            if (++index == n)
                break;
            entry = q_l2_entry(s, t, index);
            base = first.host + ((offset & (s->cluster_size - 1)) + span);
        }
        if (!s->extended && first.type != Q_NORMAL && entry == 0) {
            /* Long stretches of nothing are common: a cheap way over them. */
            if (first.type != Q_UNALLOCATED)
                break;
            continue;
        }
        r = classify(s, offset + span, entry, q_l2_bitmap(s, t, index), sc, &next);
        if (r < 0)
            break;              /* what comes before is fine; the bad one fails when it is asked for */
        if (!continues(s, &first, &next, base))
            break;
    }
    m->len = MIN(span, max);
    if (m->type == Q_NORMAL)
        m->host += offset & (s->cluster_size - 1);
    return 0;
}

static int map_common(Qcow2 *s, uint64_t offset, uint64_t max, bool cached_only, Qcow2Map *m)
{
    uint64_t l1_index = offset >> (s->cluster_bits + s->l2_bits), table_span = 1ull << (s->cluster_bits + s->l2_bits);
    max = MIN(max, table_span - (offset & (table_span - 1)));
    if (l1_index >= s->h.l1_size)
        return -EIO;
    if (s->external && s->data_file == s->file)
        return -ENOTSUP;        /* opened without its data file, only to be described */
    int r = check_l1(s, s->l1[l1_index]);
    if (r < 0)
        return r;
    uint64_t l2_offset = s->l1[l1_index] & Q_OFFSET_MASK;
    if (!l2_offset) {
        *m = (Qcow2Map){ .type = Q_UNALLOCATED, .len = max };
        return 0;
    }
    Qcow2Table *t = q_table_cached(s, l2_offset);
    if (!t && cached_only)
        return -EAGAIN;
    r = t && t->kind == Q_TABLE_L2 ? 0 : q_table_get(s, Q_TABLE_L2, l2_offset, &t);
    return r < 0 ? r : map_in_table(s, t, offset, max, m);
}

void q_map_load(Qcow2 *s, uint64_t offset)
{
    uint64_t l1_index = offset >> (s->cluster_bits + s->l2_bits);
    if (l1_index >= s->h.l1_size || (s->l1[l1_index] & Q_L1_RESERVED))
        return;
    uint64_t l2_offset = s->l1[l1_index] & Q_OFFSET_MASK;
    if (l2_offset && !g_hash_table_lookup(s->tables, &l2_offset))
        q_table_load(s, l2_offset);
}

int q_map(Qcow2 *s, uint64_t offset, uint64_t max, Qcow2Map *ret_map)
{
    return map_common(s, offset, max, false, ret_map);
}

int q_map_cached(Qcow2 *s, uint64_t offset, uint64_t max, Qcow2Map *ret_map)
{
    return map_common(s, offset, max, true, ret_map);
}

/* ---- changing ---- */

int q_l2_for_write(Qcow2 *s, uint64_t offset, Qcow2Table **ret_table)
{
    if (s->external && s->data_file == s->file)
        return -ENOTSUP;
    uint64_t l1_index = offset >> (s->cluster_bits + s->l2_bits), place, n;
    if (l1_index >= s->h.l1_size)
        return -EIO;
    int r = check_l1(s, s->l1[l1_index]);
    if (r < 0)
        return r;
    uint64_t old = s->l1[l1_index] & Q_OFFSET_MASK, old_end = s->file_end;
    Qcow2Table *t = NULL, *new_table;
    if (old) {
        r = q_table_get(s, Q_TABLE_L2, old, &t);
        if (r < 0)
            return r;
        if (s->l1[l1_index] & Q_COPIED) {
            *ret_table = t;
            return 0;
        }
    }
    /* There is none, or a snapshot has it too: take a new cluster, unreachable on disk until the L1 table is written. */
    r = q_alloc(s, 1, true, &place, &n);
    if (r < 0)
        return r;
    if (t) {                    /* the allocation may have evicted it */
        r = q_table_get(s, Q_TABLE_L2, old, &t);
        if (r < 0) {
            q_alloc_undo(s, place, 1);
            return r;
        }
    }
    new_table = q_table_new(s, Q_TABLE_L2, place, place >= old_end && !t);
    q_meta_mark(s, place, s->cluster_size, true);
    if (t) {
        memcpy(new_table->data, t->data, s->cluster_size);
        q_free_later(s, old, 1, false);
    }
    s->l1[l1_index] = place | Q_COPIED;
    q_l1_dirty(s, (uint32_t)l1_index);
    *ret_table = new_table;
    return 0;
}
