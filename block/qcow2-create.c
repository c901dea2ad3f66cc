/* Making a new qcow2 image. */
#include "block/qcow2-internal.h"

#include <errno.h>
#include <string.h>

const char qcow2_create_help[] =
    "  backing_file=<str>     - File name of a base image\n"
    "  backing_fmt=<str>      - Image format of the base image\n"
    "  cluster_size=<size>    - qcow2 cluster size\n"
    "  compat=<str>           - Compatibility level (v2 [0.10] or v3 [1.1])\n"
    "  compression_type=<str> - Compression method used for image cluster compression\n"
    "  data_file=<str>        - File name of an external data file\n"
    "  data_file_raw=<bool (on/off)> - The external data file must stay valid as a raw image\n"
    "  extended_l2=<bool (on/off)> - Extended L2 tables\n"
    "  lazy_refcounts=<bool (on/off)> - Postpone refcount updates\n"
    "  preallocation=<str>    - Preallocation mode (allowed values: off, metadata, falloc, full)\n"
    "  refcount_bits=<num>    - Width of a reference count entry in bits\n"
    "  size=<size>            - Virtual disk size\n";

typedef struct New {
    const BlockCreateOpts *opts;
    Qcow2 s;                    /* as far as the header encoder needs it */
    const char *backing, *backing_format, *data_file, *prealloc_text;
    uint64_t size, shown_size;  /* in whole sectors; as it was asked for */
    bool data_file_raw;
    BlockPrealloc prealloc;
} New;

static bool fail(GError **err, const New *n, const char *what)
{
    block_error(err, 0, "%s: %s", n->opts->name, what);
    return false;
}

static bool bool_opt(const New *n, const char *key, bool *ret, GError **err)
{
    const char *text = block_opt_get(n->opts, key);
    if (text && !block_parse_bool(text, ret)) {
        block_error(err, 0, "Parameter '%s' expects 'on' or 'off'", key);
        return false;
    }
    return true;
}

static bool parse_header_opts(New *n, GError **err)
{
    Qcow2Header *h = &n->s.h;
    const char *text;
    uint64_t v;
    if ((text = block_opt_get(n->opts, "compat"))) {
        if (!strcmp(text, "0.10") || !strcmp(text, "v2"))
            h->version = 2;
        else if (strcmp(text, "1.1") && strcmp(text, "v3"))
            return fail(err, n, "compat must be 0.10 (v2) or 1.1 (v3)");
    }
    if ((text = block_opt_get(n->opts, "cluster_size"))) {
        if (!block_parse_size(text, &v) || v < 512 || v > 2 << 20 || (v & (v - 1)))
            return fail(err, n, "Cluster size must be a power of two between 512 and 2048k");
        h->cluster_bits = (uint32_t)__builtin_ctzll(v);
    }
    if ((text = block_opt_get(n->opts, "refcount_bits"))) {
        if (!block_parse_size(text, &v) || v < 1 || v > 64 || (v & (v - 1)))
            return fail(err, n, "Refcount width must be a power of two and may not exceed 64 bits");
        h->refcount_order = (uint32_t)__builtin_ctzll(v);
    }
    if ((text = block_opt_get(n->opts, "compression_type"))) {
        if (strcmp(text, "zlib") && strcmp(text, "zstd"))
            return fail(err, n, "compression_type must be zlib or zstd");
        if (!strcmp(text, "zstd")) {
            h->compression_type = Q_COMPRESS_ZSTD;
            h->incompatible_features |= Q_INCOMPAT_COMPRESSION;
        }
    }
    return true;
}

static bool parse_switches(New *n, GError **err)
{
    Qcow2Header *h = &n->s.h;
    bool lazy = false, extended = false;
    if (!bool_opt(n, "lazy_refcounts", &lazy, err) || !bool_opt(n, "extended_l2", &extended, err) ||
        !bool_opt(n, "data_file_raw", &n->data_file_raw, err))
        return false;
    n->data_file = block_opt_get(n->opts, "data_file");
    if (extended && !block_opt_get(n->opts, "cluster_size"))
        h->cluster_bits = MAX(h->cluster_bits, 14);
    h->compatible_features = lazy ? Q_COMPAT_LAZY_REFCOUNTS : 0;
    h->incompatible_features |= (extended ? Q_INCOMPAT_EXTENDED_L2 : 0) | (n->data_file ? Q_INCOMPAT_DATA_FILE : 0);
    h->autoclear_features = n->data_file_raw ? Q_AUTOCLEAR_RAW_DATA : 0;
    n->prealloc_text = block_opt_get(n->opts, "preallocation");
    if (n->prealloc_text && !block_parse_prealloc(n->prealloc_text, &n->prealloc))
        return fail(err, n, "preallocation must be off, metadata, falloc or full");
    /* Whoever uses the data file alone must see what the image says. */
    if (n->data_file_raw && n->prealloc == BLOCK_PREALLOC_OFF)
        n->prealloc = BLOCK_PREALLOC_METADATA;
    return true;
}

/* Which options go together: the spec, and what QEMU refuses. */
static bool check_combination(New *n, GError **err)
{
    const Qcow2Header *h = &n->s.h;
    bool extended = h->incompatible_features & Q_INCOMPAT_EXTENDED_L2;
    if (h->version < 3 && h->refcount_order != 4)
        return fail(err, n, "Different refcount widths than 16 bits require compatibility level 1.1 or above (use compat=1.1 or greater)");
    if (h->version < 3 && h->compatible_features)
        return fail(err, n, "Lazy refcounts only supported with compatibility level 1.1 and above (use compat=1.1 or greater)");
    if (h->version < 3 && h->incompatible_features)
        return fail(err, n, "extended_l2, data_file and zstd need compatibility level 1.1 or above (use compat=1.1 or greater)");
    if (extended && h->cluster_bits < 14)
        return fail(err, n, "Extended L2 entries are only supported with cluster sizes of at least 16384 bytes");
    if (n->data_file_raw && !n->data_file)
        return fail(err, n, "data-file-raw requires data-file");
    if (n->data_file_raw && n->backing)
        return fail(err, n, "Backing file and data-file-raw cannot be used at the same time");
    if (n->prealloc && n->backing && !extended)
        return fail(err, n, "Backing file and preallocation can only be used at the same time if extended_l2 is enabled");
    if (n->backing && strlen(n->backing) > Q_MAX_NAME)
        return fail(err, n, "Backing file name too long");
    return true;
}

static bool parse(New *n, GError **err)
{
    static const char *const known[] = { "backing_file", "backing_fmt", "cluster_size", "compat", "compression_type", "data_file",
                                         "data_file_raw", "extended_l2", "lazy_refcounts", "preallocation", "refcount_bits", "size",
                                         NULL };
    n->s.h = (Qcow2Header){ .version = 3, .cluster_bits = 16, .refcount_order = 4 };
    n->size = n->opts->size;
    n->backing = n->opts->backing;
    n->backing_format = n->opts->backing_format;
    if (!block_opts_known(n->opts, known, err) || !parse_header_opts(n, err) || !parse_switches(n, err) || !check_combination(n, err))
        return false;
    n->shown_size = n->size;
    n->size = (n->size + 511) & ~511ull;
    n->s.h.size = n->size;
    n->s.h.header_length = n->s.h.version >= 3 ? Q_HEADER_OURS : Q_HEADER_V2;
    q_geometry(&n->s);
    n->s.extensions = g_array_new(FALSE, FALSE, sizeof(Qcow2Extension));
    if (n->backing_format)
        q_extension_set(&n->s, Q_EXT_BACKING_FORMAT, n->backing_format, (uint32_t)strlen(n->backing_format));
    if (n->data_file)
        q_extension_set(&n->s, Q_EXT_DATA_FILE, n->data_file, (uint32_t)strlen(n->data_file));
    return true;
}

/* Header, refcount table, refcount blocks, L1 table: one after the other from the start of the file. */
static bool layout(New *n, uint64_t *ret_blocks, uint64_t *ret_total, GError **err)
{
    Qcow2 *s = &n->s;
    uint64_t covered = 1ull << (s->cluster_bits + s->l2_bits), l1_size = n->size / covered + !!(n->size % covered);
    if (l1_size * 8 > Q_MAX_L1_BYTES)
        return fail(err, n, "The image size is too large for this cluster size (try a larger cluster_size)");
    uint64_t l1 = MAX(q_clusters(s, l1_size * 8), 1), blocks = 1, table = 1, total, before;
    do {
        before = blocks + table;
        total = 1 + table + blocks + l1;
        blocks = ((total - 1) >> s->refblock_bits) + 1;
        table = q_clusters(s, blocks * 8);
    } while (blocks + table != before);
    s->h.l1_size = (uint32_t)l1_size;
    s->h.refcount_table_offset = s->cluster_size;
    s->h.refcount_table_clusters = (uint32_t)table;
    s->h.l1_table_offset = (1 + table + blocks) << s->cluster_bits;
    *ret_blocks = blocks;
    *ret_total = total;
    return true;
}

/* The file is made as long as it must be first, so that only what is not zero has to be written. */
static int write_image(New *n, BlockNode *file, uint64_t blocks, uint64_t total, const uint8_t *header, uint32_t header_len)
{
    Qcow2 *s = &n->s;
    uint64_t first_block = 1ull + s->h.refcount_table_clusters, per_block = 1ull << s->refblock_bits;
    int r = block_file_truncate(file, total << s->cluster_bits, BLOCK_PREALLOC_OFF);
    if (r == -ENOSPC)           /* a block device */
        return r;
    r = r < 0 ? bn_write_zeroes(file, 0, total << s->cluster_bits, BLOCK_REQ_MAY_UNMAP) : r;
    g_autofree uint8_t *table = g_malloc0(blocks * 8), *block = g_malloc(s->cluster_size);
    for (uint64_t b = 0; b < blocks; b++)
        be64_put(table + b * 8, (first_block + b) << s->cluster_bits);
    r = r < 0 ? r : bn_write(file, s->h.refcount_table_offset, table, blocks * 8);
    for (uint64_t b = 0; r == 0 && b < blocks; b++) {
        uint64_t first = b << s->refblock_bits, used = MIN(total - first, per_block);
        memset(block, 0, s->cluster_size);
        for (uint64_t c = 0; c < used; c++)
            q_refcount_entry_set(s, block, c, 1);
        uint64_t bytes = ((used << s->h.refcount_order) + 7) / 8;
        r = bn_write(file, (first_block + b) << s->cluster_bits, block, bytes);
    }
    /* The header comes last: half an image is no image. */
    r = r < 0 ? r : bn_flush(file);
    r = r < 0 ? r : bn_write(file, 0, header, header_len);
    return r < 0 ? r : bn_flush(file);
}

static bool create_data_file(BlockCtx *ctx, New *n, GError **err)
{
    if (!n->data_file)
        return true;
    BlockNode probe = { .name = (char *)n->opts->name, .backing_name = (char *)n->data_file };
    g_autofree char *path = block_backing_path(&probe);
    BlockCreateOpts o = { .format = "raw", .name = path, .size = n->size, .have_size = true, .cache = n->opts->cache };
    return block_create(ctx, &o, NULL, err);
}

static bool preallocate(BlockCtx *ctx, New *n, GError **err)
{
    if (n->prealloc == BLOCK_PREALLOC_OFF)
        return true;
    BlockOpenOpts o = { .format = "qcow2", .writable = true, .cache = n->opts->cache, .no_backing = true };
    BlockNode *node = block_open(ctx, n->opts->name, &o, err);
    int r = node ? q_preallocate(node->state, 0, n->size, n->prealloc) : 0;
    if (node) {
        int c = block_close(node);
        r = r < 0 ? r : c;
    }
    if (r < 0)
        block_error(err, r, "%s: Could not preallocate", n->opts->name);
    return node && r == 0;
}

/* As an option would have to be written: with each comma twice. */
static void describe_name(GString *g, const char *key, const char *name)
{
    g_string_append_printf(g, " %s=", key);
    for (; name[0]; name++)
        g_string_append(g, name[0] == ',' ? ",," : (const char[]){ name[0], 0 });
}

static char *describe(const New *n)
{
    static const char *const onoff[] = { "off", "on" };
    const Qcow2Header *h = &n->s.h;
    const char *compat = block_opt_get(n->opts, "compat");
    GString *g = g_string_new(NULL);
    g_string_append_printf(g, "Formatting '%s', fmt=qcow2 cluster_size=%u extended_l2=%s", n->opts->name, n->s.cluster_size, onoff[n->s.extended]);
    if (n->prealloc_text)
        g_string_append_printf(g, " preallocation=%s", n->prealloc_text);
    g_string_append_printf(g, " compression_type=%s size=%" PRIu64, h->compression_type ? "zstd" : "zlib", n->shown_size);
    if (n->backing)
        describe_name(g, "backing_file", n->backing);
    if (n->backing_format)
        g_string_append_printf(g, " backing_fmt=%s", n->backing_format);
    if (n->data_file)
        describe_name(g, "data_file", n->data_file);
    if (n->data_file_raw)
        g_string_append(g, " data_file_raw=on");
    if (compat)
        g_string_append_printf(g, " compat=%s", compat);
    g_string_append_printf(g, " lazy_refcounts=%s refcount_bits=%u", onoff[h->compatible_features & 1], 1u << h->refcount_order);
    return g_string_free(g, FALSE);
}

bool qcow2_create(BlockCtx *ctx, const BlockCreateOpts *opts, char **ret_line, GError **err)
{
    New n = { .opts = opts };
    uint64_t blocks, total;
    bool ok = parse(&n, err) && layout(&n, &blocks, &total, err);
    uint8_t *header = ok ? g_malloc(n.s.cluster_size) : NULL;
    uint32_t header_len = ok ? q_header_encode(&n.s, n.backing, header) : 0;
    if (ok && !header_len)
        ok = fail(err, &n, "the backing or data file name does not fit into the header (try a larger cluster_size)");
    if (ok && ret_line)
        *ret_line = describe(&n);
    ok = ok && create_data_file(ctx, &n, err) && block_file_create(ctx, opts->name, err);
    BlockOpenOpts o = { .format = "file", .writable = true, .cache = opts->cache };
    BlockNode *file = ok ? block_open(ctx, opts->name, &o, err) : NULL;
    ok = ok && file;
    if (ok) {
        int r = write_image(&n, file, blocks, total, header, header_len);
        if (r < 0)
            block_error(err, r, "%s: Could not write the image", opts->name);
        ok = r == 0;
    }
    block_unref(file);
    ok = ok && preallocate(ctx, &n, err);
    g_free(header);
    q_extensions_free(n.s.extensions);
    return ok;
}
