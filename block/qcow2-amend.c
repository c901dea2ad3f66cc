/* Changing an image's creation options afterwards. Every step leaves a valid image; the header switches over last. */
#include "block/qcow2-internal.h"
#include "block/qcow2-tree.h"

#include <errno.h>
#include <string.h>

static bool fail(Qcow2 *s, GError **err, int r, const char *what)
{
    if (err && !*err)
        block_error(err, r, "'%s': %s", s->node->name, what);
    return false;
}

/* New refcounts of another width, made from what is referenced, beside the old ones; one header write takes them. */
static bool change_width(Qcow2 *s, uint32_t order, GError **err)
{
    Qcow2Refs *refs;
    if (order == s->h.refcount_order)
        return true;
    if (s->snapshots->len && order == 0)
        return fail(s, err, 0, "1-bit refcounts and internal snapshots exclude each other; delete the snapshots first");
    g_mutex_lock(&s->lock);
    int r = q_prepare(s, 0);
    r = r < 0 ? r : q_commit(s);
    r = r < 0 ? r : q_commit(s);        /* what the first one freed */
    r = r < 0 ? r : q_count_references(s, &refs);
    if (r == 0) {
        uint32_t old = s->h.refcount_order;
        s->h.refcount_order = order;
        q_geometry(s);
        r = q_refcounts_rebuild(s, refs);
        if (r < 0) {
            s->h.refcount_order = old;
            q_geometry(s);
        }
        q_refs_free(refs);
        s->compressed_next = 0;
    }
    g_mutex_unlock(&s->lock);
    if (r == -ERANGE)
        return fail(s, err, 0, "a cluster is referenced more often than refcounts of that width can count");
    return r < 0 ? fail(s, err, r, "cannot change the refcounts") : true;
}

static bool set_features(Qcow2 *s, const Qcow2Header *h, GError **err)
{
    Qcow2Header old = s->h;
    g_mutex_lock(&s->lock);
    int r = q_commit(s);
    s->h = *h;
    bool ok = r == 0 && q_header_rewrite(s, err);
    r = ok ? bn_flush(s->file) : r;
    if (!ok || r < 0)
        s->h = old;
    q_geometry(s);
    g_mutex_unlock(&s->lock);
    return ok && r == 0 ? true : fail(s, err, r, "cannot write the header");
}

static bool upgrade(Qcow2 *s, GError **err)
{
    Qcow2Header h = s->h;
    h.version = 3;
    h.header_length = Q_HEADER_OURS;
    h.incompatible_features = h.compatible_features = h.autoclear_features = 0;
    for (guint i = 0; i < s->snapshots->len; i++)
        if (((const Qcow2Snapshot *)g_ptr_array_index(s->snapshots, i))->extra_size < 16)
            return fail(s, err, 0, "its snapshots lack what version 3 wants; delete them first");
    return set_features(s, &h, err);
}

/* Version 2 has no zero flag: such clusters become unallocated, or real zeros where a backing file would show. */
static int expand_zeros(Qcow2 *s)
{
    BlockNode *node = s->node;
    g_autofree char *zeros = g_try_malloc0(s->cluster_size);
    int r = zeros ? 0 : -ENOMEM;
    for (uint64_t offset = 0; r == 0 && offset < node->length;) {
        Qcow2Map m;
        struct iovec vec;
        g_mutex_lock(&s->lock);
        r = q_map(s, offset, node->length - offset, &m);
        g_mutex_unlock(&s->lock);
        if (r == 0 && m.type == Q_ZEROS && !node->backing_name)
            r = q_forget(node, offset, m.len);
        for (uint64_t k = 0, n; r == 0 && m.type == Q_ZEROS && node->backing_name && k < m.len; k += n) {
            n = MIN(s->cluster_size, m.len - k);
            r = qcow2_writev(node, offset + k, n, biov_buf(&vec, zeros, n), 0);
        }
        offset += m.len;
    }
    return r;
}

static bool downgrade(Qcow2 *s, GError **err)
{
    Qcow2Header h = s->h;
    if (s->extended || s->external || h.compression_type)
        return fail(s, err, 0, "extended L2 entries, data files and zstd are impossible in version 2; use 'convert -o compat=0.10'");
    if (s->bitmaps->len)
        return fail(s, err, 0, "bitmaps are impossible in version 2; remove them first");
    if (s->snapshots->len)
        return fail(s, err, 0, "its snapshots may use what version 2 does not have; delete them first");
    if (h.refcount_order != 4)
        return fail(s, err, 0, "compat=0.10 requires refcount_bits=16; give both");
    int r = expand_zeros(s);
    if (r < 0)
        return fail(s, err, r, "cannot write out the zero clusters");
    h = s->h;
    h.version = 2;
    h.header_length = Q_HEADER_V2;
    h.incompatible_features = h.compatible_features = h.autoclear_features = 0;
    s->dirty_marked = false;    /* set_features commits all refcounts first */
    return set_features(s, &h, err);
}

static bool amend_compat(Qcow2 *s, const char *text, GError **err)
{
    bool v2 = !strcmp(text, "0.10") || !strcmp(text, "v2"), v3 = !strcmp(text, "1.1") || !strcmp(text, "v3");
    if (!v2 && !v3)
        return fail(s, err, 0, "compat must be 0.10 (v2) or 1.1 (v3)");
    if ((v2 && s->h.version == 2) || (v3 && s->h.version == 3))
        return true;
    return v2 ? downgrade(s, err) : upgrade(s, err);
}

static bool amend_lazy(Qcow2 *s, const char *text, GError **err)
{
    bool on;
    Qcow2Header h = s->h;
    if (!block_parse_bool(text, &on))
        return fail(s, err, 0, "lazy_refcounts must be on or off");
    if (on == s->lazy)
        return true;
    if (h.version < 3)
        return fail(s, err, 0, "Lazy refcounts only supported with compatibility level 1.1 and above (use compat=1.1 or greater)");
    h.compatible_features ^= Q_COMPAT_LAZY_REFCOUNTS;
    if (!on && s->dirty_marked) {
        s->dirty_marked = false;
        h.incompatible_features &= ~(uint64_t)Q_INCOMPAT_DIRTY;
    }
    return set_features(s, &h, err);
}

static bool amend_width(Qcow2 *s, const char *text, GError **err)
{
    uint64_t v;
    if (!block_parse_size(text, &v) || v < 1 || v > 64 || (v & (v - 1)))
        return fail(s, err, 0, "Refcount width must be a power of two and may not exceed 64 bits");
    if (s->h.version < 3 && v != 16)
        return fail(s, err, 0, "Different refcount widths than 16 bits require compatibility level 1.1 or above (use compat=1.1 or greater)");
    return change_width(s, (uint32_t)__builtin_ctzll(v), err);
}

/* Where the data is: another name for the external data file; "raw" can only be given up. */
static bool amend_data_file(Qcow2 *s, const char *name, const char *raw_text, GError **err)
{
    bool raw = s->raw_external;
    if (raw_text && !block_parse_bool(raw_text, &raw))
        return fail(s, err, 0, "data_file_raw must be on or off");
    if (raw && !s->raw_external)
        return fail(s, err, 0, "data-file-raw cannot be set on existing images");
    if (name && !s->external)
        return fail(s, err, 0, "data-file can only be set for images that use an external data file");
    if (name && (!*name || strlen(name) > Q_MAX_NAME))
        return fail(s, err, 0, "the name of a data file has 1 to 1023 bytes");
    Qcow2Header h = s->h;
    h.autoclear_features &= raw ? ~0ull : ~(uint64_t)Q_AUTOCLEAR_RAW_DATA;
    if (name) {
        q_extension_set(s, Q_EXT_DATA_FILE, name, (uint32_t)strlen(name));
        g_free(s->data_file_name);
        s->data_file_name = g_strdup(name);
    }
    return set_features(s, &h, err);
}

bool qcow2_amend(BlockNode *node, const BlockCreateOpts *opts, GError **err)
{
    Qcow2 *s = node->state;
    static const char *const known[] = { "backing_file", "backing_fmt", "compat", "data_file", "data_file_raw", "lazy_refcounts", "refcount_bits", "size", NULL };
    const char *compat = block_opt_get(opts, "compat"), *lazy = block_opt_get(opts, "lazy_refcounts");
    const char *width = block_opt_get(opts, "refcount_bits"), *size_text = block_opt_get(opts, "size");
    const char *backing = block_opt_get(opts, "backing_file"), *backing_format = block_opt_get(opts, "backing_fmt");
    const char *data_file = block_opt_get(opts, "data_file"), *data_raw = block_opt_get(opts, "data_file_raw");
    uint64_t size = 0;
    if (!block_opts_known(opts, known, err))
        return false;
    if (size_text && !block_parse_size(size_text, &size))
        return fail(s, err, 0, "bad size");
    if ((backing && g_strcmp0(backing, node->backing_name)) || (backing_format && g_strcmp0(backing_format, node->backing_format)))
        return fail(s, err, 0, "Cannot amend the backing file; use 'rebase' instead");
    if ((data_file || data_raw) && !amend_data_file(s, data_file, data_raw, err))
        return false;
    bool up = compat && s->h.version == 2;
    if (up && !amend_compat(s, compat, err))
        return false;
    if ((lazy && !amend_lazy(s, lazy, err)) || (width && !amend_width(s, width, err)))
        return false;
    if (size_text && size != node->length && !block_resize(node, size, BLOCK_PREALLOC_OFF, err))
        return false;
    return !compat || up || amend_compat(s, compat, err);
}
