/* qcow2: opening, closing, and the table of what it can do. */
#include "block/qcow2-internal.h"

#include <errno.h>
#include <string.h>

enum { L2_CACHE_MAX_BYTES = 128 << 20, REFBLOCK_CACHE_MAX_BYTES = 32 << 20, CACHE_MIN_TABLES = 32 };

static int qcow2_probe(const uint8_t *head, size_t len, const char *name)
{
    return len >= 8 && be32_at(head) == QCOW2_MAGIC && be32_at(head + 4) >= 2 ? 100 : 0;
}

/* Enough for 1 TiB at 64 KiB clusters (128 MiB of L2 tables); they are filled on use only. */
static void cache_limits(Qcow2 *s)
{
    s->tables_max[Q_TABLE_L2] = MAX(L2_CACHE_MAX_BYTES >> s->cluster_bits, CACHE_MIN_TABLES);
    s->tables_max[Q_TABLE_REFBLOCK] = MAX(REFBLOCK_CACHE_MAX_BYTES >> s->cluster_bits, CACHE_MIN_TABLES);
}

static uint64_t *read_pointers(Qcow2 *s, uint64_t offset, uint64_t n)
{
    uint64_t *p = g_try_malloc0(MAX(n, 1) * 8);
    if (p && n && bn_read(s->file, offset, p, n * 8) < 0) {
        g_free(p);
        return NULL;
    }
    for (uint64_t i = 0; p && i < n; i++)
        p[i] = GUINT64_FROM_BE(p[i]);
    return p;
}

static bool read_tables(Qcow2 *s, GError **err)
{
    s->reftable_entries = (uint32_t)(((uint64_t)s->h.refcount_table_clusters << s->cluster_bits) / 8);
    s->l1 = read_pointers(s, s->h.l1_table_offset, s->h.l1_size);
    s->reftable = read_pointers(s, s->h.refcount_table_offset, s->reftable_entries);
    if (!s->l1 || !s->reftable) {
        block_error(err, 0, "Could not read the L1 or refcount table of '%s'", s->node->name);
        return false;
    }
    return true;
}

/* Where guest data must never go. L2 tables of snapshots are not in it (finding them means reading all their L1 tables);
 * their refcounts, and the check for it, protect them. */
static void mark(Qcow2 *s, uint64_t offset, uint64_t bytes)
{
    /* What lies outside of the file is somebody's fantasy; the use of it fails in its own time. */
    if (offset < s->file_end && bytes <= Q_MAX_L1_BYTES)
        q_meta_mark(s, offset, bytes, true);
}

static void mark_metadata(Qcow2 *s)
{
    mark(s, 0, s->cluster_size);
    mark(s, s->h.l1_table_offset, s->h.l1_size * 8ull);
    mark(s, s->h.refcount_table_offset, s->reftable_entries * 8ull);
    for (uint32_t i = 0; i < s->h.l1_size; i++)
        if (s->l1[i] & Q_OFFSET_MASK)
            mark(s, s->l1[i] & Q_OFFSET_MASK, s->cluster_size);
    for (uint32_t i = 0; i < s->reftable_entries; i++)
        if (s->reftable[i] & ~Q_REFTABLE_RESERVED)
            mark(s, s->reftable[i] & ~Q_REFTABLE_RESERVED, s->cluster_size);
    for (guint i = 0; i < s->snapshots->len; i++) {
        const Qcow2Snapshot *sn = g_ptr_array_index(s->snapshots, i);
        mark(s, sn->l1_offset, sn->l1_size * 8ull);
    }
}

static bool open_data_file(Qcow2 *s, GError **err)
{
    BlockNode *node = s->node, *given = node->opts.data_file;
    s->data_file = s->file;
    for (guint i = 0; i < s->extensions->len; i++) {
        const Qcow2Extension *e = &g_array_index(s->extensions, Qcow2Extension, i);
        if (e->type == Q_EXT_DATA_FILE && e->len && e->len <= Q_MAX_NAME)
            s->data_file_name = g_strndup((const char *)e->data, e->len);
    }
    node->opts.data_file = NULL;
    if (s->external && given) {
        s->data_file = block_ref(given);
        return true;
    }
    if (!s->external || node->opts.no_data_file)
        return true;
    if (!s->data_file_name) {
        block_error(err, 0, "Could not open '%s': 'data-file' is required for this image, and it does not name one", node->name);
        return false;
    }
    BlockNode probe = { .name = node->name, .backing_name = s->data_file_name };
    g_autofree char *path = block_backing_path(&probe);
    BlockOpenOpts opts = node->opts;
    opts.format = "file";
    s->data_file = block_open(node->ctx, path, &opts, err);
    if (!s->data_file) {
        g_prefix_error(err, "Could not open the data file of '%s': ", node->name);
        return false;
    }
    return true;
}

static void state_free(Qcow2 *s)
{
    if (s->tables) {
        q_tables_free(s);
        g_hash_table_destroy(s->tables);
        g_hash_table_destroy(s->meta);
        g_array_free(s->frees, TRUE);
        g_mutex_clear(&s->lock);
        g_cond_clear(&s->wake);
        q_inflated_clear(s);
        g_mutex_clear(&s->inflate_lock);
    }
    if (s->data_file && s->data_file != s->file)
        block_unref(s->data_file);
    if (s->snapshots)
        g_ptr_array_unref(s->snapshots);
    if (s->bitmaps)
        g_ptr_array_unref(s->bitmaps);
    q_extensions_free(s->extensions);
    g_free(s->data_file_name);
    g_free(s->l1);
    g_free(s->reftable);
}

static void state_init(Qcow2 *s, BlockNode *node)
{
    s->node = node;
    s->file = s->data_file = node->file;
    s->extensions = g_array_new(FALSE, FALSE, sizeof(Qcow2Extension));
    s->snapshots = g_ptr_array_new_with_free_func(q_snapshot_free);
    s->bitmaps = g_ptr_array_new_with_free_func(q_bitmap_free);
    s->tables = g_hash_table_new(g_int64_hash, g_int64_equal);
    s->meta = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
    s->frees = g_array_new(FALSE, FALSE, sizeof(Qcow2Free));
    g_mutex_init(&s->lock);
    g_mutex_init(&s->inflate_lock);
    g_cond_init(&s->wake);
}

/* Refuse to write to what is marked corrupt; repair what is marked dirty (refcounts behind, after a crash). */
static bool open_marks(Qcow2 *s, GError **err)
{
    BlockNode *node = s->node;
    if (node->opts.repair)
        return true;
    s->corrupt = s->h.incompatible_features & Q_INCOMPAT_CORRUPT;
    if (s->corrupt && !node->read_only) {
        block_error(err, 0, "'%s': Image is corrupt; cannot be opened read/write. Repair a copy with 'check -r all'", node->name);
        return false;
    }
    s->corrupt = false;
    if (!(s->h.incompatible_features & Q_INCOMPAT_DIRTY) || node->read_only)
        return true;
    BlockCheck check = { 0 };
    int r = qcow2_check(node, BLOCK_FIX_ERRORS | BLOCK_FIX_LEAKS, &check);
    if (r < 0 || check.corruptions || check.errors) {
        block_error(err, r, "Could not repair the dirty image '%s'; try 'check -r all' on a copy", node->name);
        return false;
    }
    return true;
}

static bool load_snapshot(Qcow2 *s, GError **err)
{
    if (!s->node->opts.snapshot)
        return true;
    int i = q_snapshot_find(s, s->node->opts.snapshot);
    if (i < 0) {
        block_error(err, 0, "'%s' has no snapshot '%s'", s->node->name, s->node->opts.snapshot);
        return false;
    }
    const Qcow2Snapshot *sn = g_ptr_array_index(s->snapshots, (guint)i);
    uint64_t *l1 = read_pointers(s, sn->l1_offset, sn->l1_size);
    uint64_t covered = 1ull << (s->cluster_bits + s->l2_bits), size = sn->disk_size ? sn->disk_size : s->h.size;
    if (!l1 || size / covered + !!(size % covered) > sn->l1_size) {
        g_free(l1);
        block_error(err, 0, "the L1 table of snapshot '%s' in '%s' cannot be read", s->node->opts.snapshot, s->node->name);
        return false;
    }
    g_free(s->l1);
    s->l1 = l1;
    s->h.l1_size = sn->l1_size;
    s->node->length = size;
    return true;
}

static bool qcow2_open(BlockNode *node, GError **err)
{
    Qcow2 *s = node->state;
    state_init(s, node);
    if (block_file_size(s->file, &s->file_end) < 0)
        s->file_end = s->file->length;
    bool ok = q_header_read(s, err);
    if (ok) {
        cache_limits(s);
        node->length = s->h.size;
        node->discard_granularity = s->subcluster_size;
        node->opt_io_size = s->subcluster_size;
        ok = read_tables(s, err) && q_snapshots_read(s, err) && q_bitmaps_read(s, err) && open_data_file(s, err);
    }
    if (ok) {
        mark_metadata(s);
        s->can_write = !node->read_only;
        s->free_hint = 1;
        s->autoclear_pending = s->bitmaps->len || (s->h.version >= 3 && (s->h.autoclear_features & ~(uint64_t)Q_AUTOCLEAR_KNOWN));
        ok = open_marks(s, err) && load_snapshot(s, err);
    }
    if (!ok)
        state_free(s);
    return ok;
}

static int qcow2_flush(BlockNode *node)
{
    Qcow2 *s = node->state;
    g_mutex_lock(&s->lock);
    int r = q_commit(s);
    g_mutex_unlock(&s->lock);
    return r;
}

static int close_writes(Qcow2 *s)
{
    g_mutex_lock(&s->lock);
    int r = q_bitmaps_end(s);
    /* The first commit makes pending frees real, the second brings their refcounts down. */
    for (int i = 0; r == 0 && i < 3 && (s->dirty_n || s->frees->len || s->l1_lo < s->l1_hi || s->reftable_lo < s->reftable_hi); i++) {
        bool waiting = s->dirty_marked;
        s->dirty_marked = false;        /* the postponed refcounts go out now */
        r = q_commit(s);
        s->dirty_marked = waiting;
    }
    if (r == 0 && s->dirty_marked && !s->corrupt) {
        s->h.incompatible_features &= ~(uint64_t)Q_INCOMPAT_DIRTY;
        r = q_header_write(s);
        r = r < 0 ? r : bn_flush(s->file);
    }
    g_mutex_unlock(&s->lock);
    return r;
}

static int qcow2_close(BlockNode *node)
{
    Qcow2 *s = node->state;
    int r = s->can_write && !s->corrupt ? close_writes(s) : 0;
    state_free(s);
    return r;
}

static void qcow2_trim(BlockNode *node)
{
    Qcow2 *s = node->state;
    if (!g_mutex_trylock(&s->lock))
        return;                 /* in use: not idle */
    q_tables_trim(s);
    g_mutex_unlock(&s->lock);
}

static uint64_t qcow2_cache_bytes(BlockNode *node)
{
    Qcow2 *s = node->state;
    g_mutex_lock(&s->lock);
    uint64_t n = (uint64_t)(s->tables_n[Q_TABLE_L2] + s->tables_n[Q_TABLE_REFBLOCK]) << s->cluster_bits;
    g_mutex_unlock(&s->lock);
    return n;
}

static int qcow2_info(BlockNode *node, BlockInfo *ret_info)
{
    Qcow2 *s = node->state;
    GVariantDict d;
    static const char *const compression[] = { "zlib", "zstd" };
    if (node->file->format->info)
        node->file->format->info(node->file, ret_info);
    ret_info->cluster_size = s->cluster_size;
    ret_info->dirty = s->h.incompatible_features & Q_INCOMPAT_DIRTY;
    ret_info->encrypted = s->h.crypt_method;
    ret_info->corrupt = s->corrupt || (s->h.incompatible_features & Q_INCOMPAT_CORRUPT);
    ret_info->image_end = s->file_end;
    g_variant_dict_init(&d, NULL);
    g_variant_dict_insert(&d, "compat", "s", s->h.version >= 3 ? "1.1" : "0.10");
    g_variant_dict_insert(&d, "compression-type", "s", compression[s->h.compression_type]);
    g_variant_dict_insert(&d, "refcount-bits", "t", (uint64_t)1 << s->h.refcount_order);
    if (s->h.version >= 3) {
        g_variant_dict_insert(&d, "lazy-refcounts", "b", s->lazy);
        g_variant_dict_insert(&d, "corrupt", "b", ret_info->corrupt);
        g_variant_dict_insert(&d, "extended-l2", "b", s->extended);
    }
    if (s->bitmaps->len)
        g_variant_dict_insert_value(&d, "bitmaps", q_bitmaps_info(s));
    if (s->external) {
        if (s->data_file_name)
            g_variant_dict_insert(&d, "data-file", "s", s->data_file_name);
        g_variant_dict_insert(&d, "data-file-raw", "b", s->raw_external);
    }
    ret_info->specific = g_variant_ref_sink(g_variant_dict_end(&d));
    return 0;
}

bool qcow2_change_backing(BlockNode *node, const char *name, const char *format, GError **err)
{
    Qcow2 *s = node->state;
    if (s->raw_external && name) {
        block_error(err, 0, "'%s' has a raw external data file, which excludes a backing file", node->name);
        return false;
    }
    int r = qcow2_flush(node);
    char *old_name = node->backing_name, *old_format = node->backing_format;
    node->backing_name = g_strdup(name);
    node->backing_format = name ? g_strdup(format) : NULL;
    q_extension_set(s, Q_EXT_BACKING_FORMAT, name ? format : NULL, name && format ? (uint32_t)strlen(format) : 0);
    if (r == 0 && q_header_rewrite(s, err)) {
        g_free(old_name);
        g_free(old_format);
        return true;
    }
    if (err && !*err)
        block_error(err, r, "cannot write '%s'", node->name);
    g_free(node->backing_name);
    g_free(node->backing_format);
    node->backing_name = old_name;
    node->backing_format = old_format;
    q_extension_set(s, Q_EXT_BACKING_FORMAT, old_format, old_format ? (uint32_t)strlen(old_format) : 0);
    return false;
}

static bool qcow2_set_writable(BlockNode *node, bool writable, GError **err)
{
    Qcow2 *s = node->state;
    if (writable) {
        s->can_write = true;
        bool was = node->read_only;
        node->read_only = false;
        bool ok = !node->opts.snapshot && open_marks(s, err) && (!s->external || block_set_writable(s->data_file, true, err));
        if (node->opts.snapshot)
            block_error(err, 0, "'%s': an internal snapshot cannot be written to", node->name);
        node->read_only = was;
        s->can_write = ok;
        return ok;
    }
    int r = s->corrupt ? 0 : close_writes(s);
    if (r < 0) {
        block_error(err, r, "Could not write '%s'", node->name);
        return false;
    }
    s->can_write = s->dirty_marked = false;
    s->autoclear_pending = s->bitmaps->len > 0;
    return !s->external || block_set_writable(s->data_file, false, err);
}

const BlockFormat block_format_qcow2 = {
    .name = "qcow2",
    .can_backing = true,
    .state_size = sizeof(Qcow2),
    .probe = qcow2_probe,
    .open = qcow2_open,
    .close = qcow2_close,
    .readv = qcow2_readv,
    .writev = qcow2_writev,
    .write_zeroes = qcow2_write_zeroes,
    .discard = qcow2_discard,
    .flush = qcow2_flush,
    .status = qcow2_status,
    .resize = qcow2_resize,
    .inline_begin = qcow2_inline_begin,
    .inline_end = qcow2_inline_end,
    .create = qcow2_create,
    .create_help = qcow2_create_help,
    .check = qcow2_check,
    .info = qcow2_info,
    .snapshot_list = qcow2_snapshot_list,
    .snapshot_create = qcow2_snapshot_create,
    .snapshot_apply = qcow2_snapshot_apply,
    .snapshot_delete = qcow2_snapshot_delete,
    .change_backing = qcow2_change_backing,
    .make_empty = qcow2_make_empty,
    .trim = qcow2_trim,
    .cache_bytes = qcow2_cache_bytes,
    .bitmap = qcow2_bitmap,
    .bitmap_merge = qcow2_bitmap_merge,
    .amend = qcow2_amend,
    .set_writable = qcow2_set_writable,
};
