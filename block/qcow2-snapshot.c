/* Internal snapshots (the spec, "Snapshots"): the table of them, and create, apply, delete on what is in qcow2-tree.c. */
#include "block/qcow2-internal.h"
#include "block/qcow2-tree.h"

#include <errno.h>
#include <string.h>

enum { ENTRY_FIXED = 40, EXTRA_OURS = 24 };     /* VM state size, disk size, instruction count (QEMU 6 and later) */

void q_snapshot_free(void *snapshot)
{
    Qcow2Snapshot *sn = snapshot;
    g_free(sn->id);
    g_free(sn->name);
    g_free(sn->extra);
    g_free(sn);
}

/* ---- the table on disk ---- */

static bool bad_table(Qcow2 *s, GError **err)
{
    block_error(err, 0, "Could not open '%s': the snapshot table is damaged; 'check -r all' on a copy may help", s->node->name);
    return false;
}

/* One entry at @pos, which moves on. The table may end anywhere in the file; every length is checked against the bound. */
static Qcow2Snapshot *read_entry(Qcow2 *s, uint64_t *pos, uint64_t limit)
{
    uint8_t fixed[ENTRY_FIXED];
    if (limit - *pos < sizeof(fixed) || bn_read(s->file, *pos, fixed, sizeof(fixed)) < 0)
        return NULL;
    uint32_t id_len = fixed[12] << 8 | fixed[13], name_len = fixed[14] << 8 | fixed[15], extra = be32_at(fixed + 36);
    uint64_t rest = (uint64_t)extra + id_len + name_len;
    if (extra > 1 << 20 || limit - *pos - sizeof(fixed) < rest)
        return NULL;
    g_autofree uint8_t *p = g_malloc(rest + 1);
    if (rest && bn_read(s->file, *pos + sizeof(fixed), p, rest) < 0)
        return NULL;
    Qcow2Snapshot *sn = g_new0(Qcow2Snapshot, 1);
    *sn = (Qcow2Snapshot){
        .l1_offset = be64_at(fixed), .l1_size = be32_at(fixed + 8), .date_sec = be32_at(fixed + 16),
        .date_nsec = be32_at(fixed + 20), .vm_clock_ns = be64_at(fixed + 24), .vm_state_size = be32_at(fixed + 32),
        .extra_size = extra, .extra = g_memdup2(p, extra),
        .id = g_strndup((char *)p + extra, id_len), .name = g_strndup((char *)p + extra + id_len, name_len),
    };
    if (extra >= 8)
        sn->vm_state_size = be64_at(p);
    sn->disk_size = extra >= 16 ? be64_at(p + 8) : s->h.size;
    *pos += (ENTRY_FIXED + rest + 7) & ~7ull;
    return sn;
}

bool q_snapshots_read(Qcow2 *s, GError **err)
{
    uint64_t pos = s->h.snapshots_offset, limit = MIN(s->file_end, pos + Q_MAX_SNAPSHOT_TABLE);
    for (uint32_t i = 0; i < s->h.nb_snapshots; i++) {
        Qcow2Snapshot *sn = pos < limit ? read_entry(s, &pos, limit) : NULL;
        if (!sn)
            return bad_table(s, err);
        g_ptr_array_add(s->snapshots, sn);
        if (s->node->opts.repair)
            continue;           /* the check reports it */
        if (sn->l1_size * 8ull > Q_MAX_L1_BYTES || (sn->l1_offset & (s->cluster_size - 1)) || sn->l1_offset >= s->file_end)
            return bad_table(s, err);
    }
    return true;
}

static void put_entry(GByteArray *out, const Qcow2Snapshot *sn)
{
    uint8_t fixed[ENTRY_FIXED] = { 0 };
    size_t id_len = strlen(sn->id), name_len = strlen(sn->name);
    be64_put(fixed, sn->l1_offset);
    be32_put(fixed + 8, sn->l1_size);
    fixed[12] = (uint8_t)(id_len >> 8);
    fixed[13] = (uint8_t)id_len;
    fixed[14] = (uint8_t)(name_len >> 8);
    fixed[15] = (uint8_t)name_len;
    be32_put(fixed + 16, sn->date_sec);
    be32_put(fixed + 20, sn->date_nsec);
    be64_put(fixed + 24, sn->vm_clock_ns);
    be32_put(fixed + 32, sn->vm_state_size > UINT32_MAX ? 0 : (uint32_t)sn->vm_state_size);
    be32_put(fixed + 36, sn->extra_size);
    g_byte_array_append(out, fixed, sizeof(fixed));
    g_byte_array_append(out, sn->extra, sn->extra_size);
    g_byte_array_append(out, (const uint8_t *)sn->id, (guint)id_len);
    g_byte_array_append(out, (const uint8_t *)sn->name, (guint)name_len);
    static const uint8_t zeros[8];
    g_byte_array_append(out, zeros, -out->len & 7);
}

static uint64_t table_bytes(const GPtrArray *list)
{
    GByteArray *b = g_byte_array_new();
    for (guint i = 0; i < list->len; i++)
        put_entry(b, g_ptr_array_index(list, i));
    uint64_t n = b->len;
    g_byte_array_free(b, TRUE);
    return n;
}

static int alloc_retry(Qcow2 *s, uint64_t clusters, uint64_t *ret_offset)
{
    uint64_t n;
    int r;
    do {
        r = q_prepare(s, clusters * 2 + 64);
        r = r < 0 ? r : q_alloc(s, clusters, true, ret_offset, &n);
    } while (r == -EAGAIN);
    return r;
}

/* Write @list to a new place and switch the header to it. Everything it refers to must be on disk. */
static int switch_table(Qcow2 *s, const GPtrArray *list)
{
    uint64_t old_offset = s->h.snapshots_offset, old_bytes = table_bytes(s->snapshots), place = 0;
    GByteArray *b = g_byte_array_new();
    for (guint i = 0; i < list->len; i++)
        put_entry(b, g_ptr_array_index(list, i));
    int r = b->len > Q_MAX_SNAPSHOT_TABLE || list->len > Q_MAX_SNAPSHOTS ? -EFBIG : 0;
    if (r == 0 && b->len) {
        r = alloc_retry(s, q_clusters(s, b->len), &place);
        r = r < 0 ? r : bn_write(s->file, place, b->data, b->len);
    }
    r = r < 0 ? r : q_commit(s);        /* its refcounts too */
    Qcow2Header old = s->h;
    if (r == 0) {
        s->h.snapshots_offset = place;
        s->h.nb_snapshots = list->len;
        r = q_header_write(s);
        r = r < 0 ? r : bn_flush(s->file);
    }
    if (r < 0) {
        s->h = old;
        if (place)
            q_alloc_undo(s, place, q_clusters(s, b->len));
    } else if (old_bytes) {
        q_free_later(s, old_offset, q_clusters(s, old_bytes), false);
    }
    g_byte_array_free(b, TRUE);
    return r;
}

/* ---- looking up ---- */

int q_snapshot_find(const Qcow2 *s, const char *id_or_name)
{
    for (int by_name = 0; by_name < 2; by_name++) {
        for (guint i = 0; i < s->snapshots->len; i++) {
            const Qcow2Snapshot *sn = g_ptr_array_index(s->snapshots, i);
            if (!strcmp(by_name ? sn->name : sn->id, id_or_name))
                return (int)i;
        }
    }
    return -1;
}

static void public_free(void *p)
{
    BlockSnapshot *sn = p;
    g_free(sn->id);
    g_free(sn->name);
    g_free(sn);
}

GPtrArray *qcow2_snapshot_list(BlockNode *node)
{
    Qcow2 *s = node->state;
    GPtrArray *list = g_ptr_array_new_with_free_func(public_free);
    g_mutex_lock(&s->lock);
    for (guint i = 0; i < s->snapshots->len; i++) {
        const Qcow2Snapshot *sn = g_ptr_array_index(s->snapshots, i);
        BlockSnapshot *p = g_new0(BlockSnapshot, 1);
        *p = (BlockSnapshot){ g_strdup(sn->id), g_strdup(sn->name), sn->vm_state_size, sn->disk_size, sn->date_sec, sn->vm_clock_ns,
                              sn->date_nsec, sn->extra_size >= 24 ? be64_at(sn->extra + 16) : UINT64_MAX };
        g_ptr_array_add(list, p);
    }
    g_mutex_unlock(&s->lock);
    return list;
}

static bool report(Qcow2 *s, int r, const char *what, const char *name, GError **err)
{
    if (r < 0 && err && !*err)
        block_error(err, r, "Could not %s snapshot '%s' in '%s'", what, name, s->node->name);
    return r == 0;
}

/* Narrow refcounts run out: apply needs room for one reference more than there are snapshots. */
static void full(Qcow2 *s, int r, GError **err)
{
    if (r == -EINVAL)
        block_error(err, 0, "'%s': a refcount would exceed its %u bits; delete a snapshot first", s->node->name, 1u << s->h.refcount_order);
}

/* ---- create ---- */

static char *next_id(const Qcow2 *s)
{
    uint64_t max = 0;
    for (guint i = 0; i < s->snapshots->len; i++)
        max = MAX(max, g_ascii_strtoull(((const Qcow2Snapshot *)g_ptr_array_index(s->snapshots, i))->id, NULL, 10));
    return g_strdup_printf("%" PRIu64, max + 1);
}

static Qcow2Snapshot *make_snapshot(const Qcow2 *s, const BlockSnapshot *in)
{
    Qcow2Snapshot *sn = g_new0(Qcow2Snapshot, 1);
    *sn = (Qcow2Snapshot){ .l1_size = s->h.l1_size, .vm_state_size = in->vm_state_size, .disk_size = s->h.size,
                           .vm_clock_ns = in->vm_clock_ns, .date_sec = (uint32_t)in->date_sec, .date_nsec = in->date_nsec,
                           .extra_size = EXTRA_OURS, .extra = g_malloc(EXTRA_OURS),
                           .id = in->id && *in->id ? g_strdup(in->id) : next_id(s), .name = g_strdup(in->name ? in->name : "") };
    be64_put(sn->extra, sn->vm_state_size);
    be64_put(sn->extra + 8, sn->disk_size);
    be64_put(sn->extra + 16, in->icount);
    return sn;
}

static int write_l1_copy(Qcow2 *s, uint64_t offset)
{
    uint64_t bytes = MAX(s->h.l1_size, 1) * 8ull;
    g_autofree uint8_t *be = g_try_malloc0(bytes);
    if (!be)
        return -ENOMEM;
    for (uint32_t i = 0; i < s->h.l1_size; i++)
        be64_put(be + i * 8ull, s->l1[i] & ~Q_COPIED);
    return bn_write(s->file, offset, be, bytes);
}

/* Flags off, then counts up, then the snapshot: see ORDERING.md. */
static int create_locked(Qcow2 *s, Qcow2Snapshot *sn)
{
    uint64_t l1_clusters = q_clusters(s, MAX(s->h.l1_size, 1) * 8ull);
    int r = alloc_retry(s, l1_clusters, &sn->l1_offset);
    if (r < 0)
        return r;
    r = q_tree_flags(s, Q_FLAGS_CLEAR);
    r = r < 0 ? r : q_commit(s);
    if (r == 0) {
        r = q_tree_add(s, s->l1, s->h.l1_size, 1);
        if (r == 0) {
            r = write_l1_copy(s, sn->l1_offset);
            g_ptr_array_add(s->snapshots, sn);
            GPtrArray *list = s->snapshots;
            s->snapshots = g_ptr_array_new();
            for (guint i = 0; i + 1 < list->len; i++)
                g_ptr_array_add(s->snapshots, g_ptr_array_index(list, i));
            r = r < 0 ? r : switch_table(s, list);
            g_ptr_array_unref(s->snapshots);
            s->snapshots = list;
            if (r < 0) {
                g_ptr_array_steal_index(list, list->len - 1);
                q_tree_add(s, s->l1, s->h.l1_size, -1);
            }
        }
    }
    if (r < 0) {
        q_alloc_undo(s, sn->l1_offset, l1_clusters);
        q_tree_flags(s, Q_FLAGS_FROM_REFCOUNTS);
        return r;
    }
    q_meta_mark(s, sn->l1_offset, l1_clusters << s->cluster_bits, true);
    return 0;
}

bool qcow2_snapshot_create(BlockNode *node, const BlockSnapshot *snapshot, GError **err)
{
    Qcow2 *s = node->state;
    Qcow2Track track;
    if (s->external || s->refcount_max < 2) {
        block_error(err, 0, "'%s': internal snapshots are impossible with %s", node->name,
                    s->external ? "an external data file" : "1-bit refcounts (refcount_bits=1)");
        return false;
    }
    if ((snapshot->id && strlen(snapshot->id) > UINT16_MAX) || (snapshot->name && strlen(snapshot->name) > UINT16_MAX)) {
        block_error(err, 0, "a snapshot's name has at most 65535 bytes");
        return false;
    }
    g_mutex_lock(&s->lock);
    q_track_begin(s, &track, 0, UINT64_MAX, true);
    Qcow2Snapshot *sn = make_snapshot(s, snapshot);
    int r = q_commit(s);
    r = r < 0 ? r : create_locked(s, sn);
    q_track_end(s, &track);
    g_mutex_unlock(&s->lock);
    if (r < 0)
        q_snapshot_free(sn);
    full(s, r, err);
    return report(s, r, "create", snapshot->name ? snapshot->name : "", err);
}

/* ---- delete ---- */

static int delete_locked(Qcow2 *s, guint index)
{
    Qcow2Snapshot *sn = g_ptr_array_index(s->snapshots, index);
    uint64_t *l1 = NULL;
    int r = q_tree_read_l1(s, sn->l1_offset, sn->l1_size, &l1);
    if (r < 0)
        return r;
    GPtrArray *rest = g_ptr_array_new();
    for (guint i = 0; i < s->snapshots->len; i++)
        if (i != index)
            g_ptr_array_add(rest, g_ptr_array_index(s->snapshots, i));
    r = switch_table(s, rest);
    g_ptr_array_unref(rest);
    if (r == 0) {
        /* The disk does not know the snapshot any more; whatever fails from here on only leaks. */
        uint32_t n = sn->l1_size;
        uint64_t l1_offset = sn->l1_offset;
        g_ptr_array_remove_index(s->snapshots, index);
        r = q_tree_add(s, l1, n, -1);
        q_free_later(s, l1_offset, q_clusters(s, MAX(n, 1) * 8ull), false);
        r = r < 0 ? r : q_commit(s);
        r = r < 0 ? r : q_tree_flags(s, Q_FLAGS_FROM_REFCOUNTS);
        r = r < 0 ? r : q_commit(s);
    }
    g_free(l1);
    return r;
}

bool qcow2_snapshot_delete(BlockNode *node, const char *id_or_name, GError **err)
{
    Qcow2 *s = node->state;
    Qcow2Track track;
    g_mutex_lock(&s->lock);
    q_track_begin(s, &track, 0, UINT64_MAX, true);
    int index = q_snapshot_find(s, id_or_name), r = 0;
    if (index < 0) {
        block_error(err, 0, "'%s': snapshot not found: %s", node->name, id_or_name);
        r = -ENOENT;
    }
    r = r < 0 ? r : q_commit(s);
    r = r < 0 ? r : delete_locked(s, (guint)index);
    q_track_end(s, &track);
    g_mutex_unlock(&s->lock);
    return report(s, r, "delete", id_or_name, err);
}

/* ---- apply ---- */

static int apply_locked(Qcow2 *s, const Qcow2Snapshot *sn)
{
    if (s->bitmaps->len && sn->disk_size != s->h.size)
        return -ENOTSUP;        /* a bitmap is as long as the disk */
    uint64_t covered = 1ull << (s->cluster_bits + s->l2_bits), needed = sn->disk_size / covered + !!(sn->disk_size % covered);
    uint64_t clusters = q_clusters(s, MAX(sn->l1_size, 1) * 8ull), place = 0;
    uint64_t *l1 = NULL, *old_l1 = s->l1;
    if (needed > sn->l1_size || sn->disk_size > INT64_MAX)
        return q_corrupt(s, "a snapshot's L1 table is too small", sn->l1_offset);
    int r = q_tree_read_l1(s, sn->l1_offset, sn->l1_size, &l1);
    r = r < 0 ? r : alloc_retry(s, clusters, &place);
    if (r < 0) {
        g_free(l1);
        return r;
    }
    for (uint32_t i = 0; i < sn->l1_size; i++)
        l1[i] &= ~Q_COPIED;
    /* Counts up, flags off in the tables that become active, on disk; then the new L1 table; then the header. */
    r = q_tree_add(s, l1, sn->l1_size, 1);
    bool counted = r == 0;
    r = r < 0 ? r : q_tree_clear_flags(s, l1, sn->l1_size);
    r = r < 0 ? r : q_tree_write_l1(s, l1, sn->l1_size, place);
    r = r < 0 ? r : q_commit(s);
    Qcow2Header old = s->h;
    if (r == 0) {
        s->h.l1_table_offset = place;
        s->h.l1_size = sn->l1_size;
        s->h.size = sn->disk_size;
        r = q_header_write(s);
        r = r < 0 ? r : bn_flush(s->file);
    }
    if (r < 0) {
        s->h = old;
        if (counted)
            q_tree_add(s, l1, sn->l1_size, -1);
        q_alloc_undo(s, place, clusters);
        g_free(l1);
        return r;
    }
    s->l1 = l1;
    q_bitmaps_mark(s, 0, MIN(s->node->length, sn->disk_size));
    s->node->length = sn->disk_size;
    q_meta_mark(s, place, clusters << s->cluster_bits, true);
    for (uint32_t i = 0; i < sn->l1_size; i++)
        if (l1[i] & Q_OFFSET_MASK)
            q_meta_mark(s, l1[i] & Q_OFFSET_MASK, s->cluster_size, true);
    r = q_tree_add(s, old_l1, old.l1_size, -1);
    if (old.l1_size)
        q_free_later(s, old.l1_table_offset, q_clusters(s, old.l1_size * 8ull), false);
    g_free(old_l1);
    r = r < 0 ? r : q_commit(s);
    r = r < 0 ? r : q_tree_flags(s, Q_FLAGS_FROM_REFCOUNTS);
    return r < 0 ? r : q_commit(s);
}

bool qcow2_snapshot_apply(BlockNode *node, const char *id_or_name, GError **err)
{
    Qcow2 *s = node->state;
    Qcow2Track track;
    g_mutex_lock(&s->lock);
    q_track_begin(s, &track, 0, UINT64_MAX, true);
    int index = q_snapshot_find(s, id_or_name), r = 0;
    if (index < 0) {
        block_error(err, 0, "'%s': snapshot not found: %s", node->name, id_or_name);
        r = -ENOENT;
    }
    r = r < 0 ? r : q_commit(s);
    r = r < 0 ? r : apply_locked(s, g_ptr_array_index(s->snapshots, (guint)index));
    q_track_end(s, &track);
    g_mutex_unlock(&s->lock);
    full(s, r, err);
    return report(s, r, "apply", id_or_name, err);
}
