#include "block/format.h"

#include <errno.h>
#include <string.h>

enum { PROBE_SIZE = 2048, MAX_CHAIN = 256 };

/* Not G_DEFINE_QUARK, which keeps the number in a writable static. */
GQuark block_error_quark(void)
{
    return g_quark_from_static_string("tandem-block");
}

void block_error(GError **err, int negative_errno, const char *fmt, ...)
{
    if (!err)
        return;
    va_list ap;
    va_start(ap, fmt);
    g_autofree char *what = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    if (negative_errno)
        g_set_error(err, BLOCK_ERROR, -negative_errno, "%s: %s", what, g_strerror(-negative_errno));
    else
        g_set_error_literal(err, BLOCK_ERROR, 0, what);
}

static void node_free(BlockNode *node)
{
    block_unref(node->backing);
    block_unref(node->file);
    g_mutex_clear(&node->lock);
    g_cond_clear(&node->idle);
    g_free((char *)node->opts.snapshot);
    g_free(node->state);
    g_free(node->throttle);
    g_free(node->name);
    g_free(node->backing_name);
    g_free(node->backing_format);
    g_free(node);
}

BlockNode *bn_new(BlockCtx *ctx, const BlockFormat *format, const char *name, BlockNode *file, const BlockOpenOpts *opts,
                  GError **err)
{
    BlockNode *node = g_new0(BlockNode, 1);
    node->refs = 1;
    node->ctx = ctx;
    node->format = format;
    node->name = g_strdup(name);
    node->file = file;
    node->opts = *opts;
    node->opts.format = NULL;
    node->opts.snapshot = g_strdup(opts->snapshot);
    node->read_only = !opts->writable || opts->snapshot;
    node->write_cache = opts->cache != BLOCK_CACHE_WRITETHROUGH && opts->cache != BLOCK_CACHE_DIRECTSYNC;
    node->state = g_malloc0(MAX(format->state_size, 1));
    g_mutex_init(&node->lock);
    g_cond_init(&node->idle);
    node->parked_last = &node->parked;
    if (!format->open(node, err)) {
        node_free(node);
        return NULL;
    }
    block_ctx_add(ctx, node);
    return node;
}

static int node_close(BlockNode *node)
{
    block_ctx_remove(node->ctx, node);
    block_drain_begin(node, NULL);
    int r = bn_flush(node);
    if (node->format->close) {
        int c = node->format->close(node);
        r = r < 0 ? r : c;
    }
    node_free(node);
    return r;
}

BlockNode *block_ref(BlockNode *node)
{
    g_atomic_int_inc(&node->refs);
    return node;
}

void block_unref(BlockNode *node)
{
    if (node && g_atomic_int_dec_and_test(&node->refs))
        node_close(node);
}

int block_close(BlockNode *node)
{
    bool last = g_atomic_int_dec_and_test(&node->refs);
    g_assert(last);
    return node_close(node);
}

/* ---- names ---- */

static const BlockFormat *protocol_of(const char *name)
{
    /* A scheme, alone or with a transport: "nbd://", "nbd+unix://". */
    for (const BlockFormat *const *f = block_formats; *f; f++) {
        size_t n = (*f)->prefix ? strlen((*f)->prefix) : 0;
        if (n && g_str_has_prefix(name, (*f)->prefix) && (name[n] == ':' || name[n] == '+') && strstr(name, "://"))
            return *f;
    }
    return &block_format_file;
}

char *block_backing_path(const BlockNode *node)
{
    const char *b = node->backing_name;
    if (!b)
        return NULL;
    if (g_path_is_absolute(b) || strstr(b, "://") || g_str_has_prefix(b, "json:"))
        return g_strdup(b);
    if (g_str_has_prefix(b, "file:"))
        b += 5;
    g_autofree char *own = block_path_of(node->name);
    g_autofree char *dir = g_path_get_dirname(own);
    if (g_path_is_absolute(b) || !strcmp(dir, "."))
        return g_strdup(b);
    return g_build_filename(dir, b, NULL);
}

/* ---- open ---- */

static const BlockFormat *probe(BlockNode *file, int *ret_error)
{
    uint8_t head[PROBE_SIZE];
    const BlockFormat *best = &block_format_raw;
    int best_score = 0;
    size_t len = MIN(sizeof(head), file->length);
    *ret_error = len ? bn_read(file, 0, head, len) : 0;
    if (*ret_error < 0)
        return NULL;
    for (const BlockFormat *const *f = block_formats; *f; f++) {
        int score = (*f)->probe ? (*f)->probe(head, len, file->name) : 0;
        if (score > best_score) {
            best_score = score;
            best = *f;
        }
    }
    return best;
}

static const BlockFormat *pick_format(BlockNode *file, const char *name, const BlockOpenOpts *opts, GError **err)
{
    if (opts->format) {
        const BlockFormat *f = block_format_find(opts->format);
        if (!f)
            block_error(err, 0, "Unknown driver '%s'", opts->format);
        return f;
    }
    int r;
    const BlockFormat *f = probe(file, &r);
    char magic[6] = "";
    if (!f || (f == &block_format_raw && file->length >= sizeof(magic) && (r = bn_read(file, 0, magic, sizeof(magic))) < 0)) {
        block_error(err, r, "Could not read image '%s' for determining its format", name);
        return NULL;
    }
    if (f == &block_format_raw && !memcmp(magic, "LUKS\xba\xbe", sizeof(magic))) {
        block_error(err, 0, "Could not open '%s': it is encrypted (LUKS), which is not supported; if it is a disk that the guest itself "
                    "encrypts, say that its format is raw", name);
        return NULL;
    }
    return f;
}

static bool already_below(BlockNode *const *chain, unsigned n, const char *path)
{
    for (unsigned i = 0; i < n; i++)
        if (!strcmp(chain[i]->name, path))
            return true;
    return false;
}

BlockNode *bn_open_layer(BlockNode *file, const BlockOpenOpts *opts, GError **err)
{
    const BlockFormat *format = pick_format(file, file->name, opts, err);
    if (!format)
        return NULL;
    if (format->protocol)
        return block_ref(file);
    return bn_new(file->ctx, format, file->name, block_ref(file), opts, err);
}

BlockNode *bn_open_protocol(BlockCtx *ctx, const char *name, const BlockOpenOpts *opts, GError **err)
{
    return bn_new(ctx, protocol_of(name), name, NULL, opts, err);
}

static BlockNode *open_name(BlockCtx *ctx, const char *name, const BlockOpenOpts *opts, GError **err)
{
    if (g_str_has_prefix(name, "json:"))
        return bn_open_json(ctx, name, opts, err);
    BlockNode *file = bn_open_protocol(ctx, name, opts, err);
    if (!file)
        return NULL;
    BlockNode *node = bn_open_layer(file, opts, err);
    block_unref(file);
    return node;
}

/* Open the files below @top one after the other: a chain in a loop or of absurd depth ends in an error, not in recursion. */
bool bn_open_chain(BlockNode *top, GError **err)
{
    BlockNode *chain[MAX_CHAIN];
    unsigned n = 0;
    for (BlockNode *node = top; node->backing_name && !node->opts.no_backing; node = node->backing) {
        g_autofree char *path = block_backing_path(node);
        if (node->backing && n < MAX_CHAIN) {   /* the name said what */
            chain[n++] = node;
            continue;
        }
        chain[n++] = node;
        if (already_below(chain, n, path) || n == MAX_CHAIN) {
            block_error(err, 0, "Backing file '%s' specified more than once (or the chain is deeper than %d): "
                        "correct it with 'rebase -u'", path, MAX_CHAIN);
            return false;
        }
        BlockOpenOpts opts = { .format = node->backing_format, .cache = node->opts.cache, .force_share = node->opts.force_share,
                               .no_lock = node->opts.no_lock, .discard = node->opts.discard };
        GError *why = NULL;
        node->backing = open_name(top->ctx, path, &opts, &why);
        if (!node->backing) {
            g_set_error(err, BLOCK_ERROR, why->code, "Could not open backing file: %s", why->message);
            g_error_free(why);
            return false;
        }
    }
    return true;
}

static BlockNode *with_chain(BlockNode *node, GError **err)
{
    if (node && !bn_open_chain(node, err)) {
        block_unref(node);
        return NULL;
    }
    return node;
}

BlockNode *block_open_on(BlockNode *file, const BlockOpenOpts *opts, GError **err)
{
    return with_chain(bn_open_layer(file, opts, err), err);
}

BlockNode *block_open(BlockCtx *ctx, const char *name, const BlockOpenOpts *opts, GError **err)
{
    return with_chain(open_name(ctx, name, opts, err), err);
}

/* ---- optional image-level operations ---- */

int block_check(BlockNode *node, unsigned fix, BlockCheck *check)
{
    return node->format->check ? node->format->check(node, fix, check) : -ENOTSUP;
}

int block_info(BlockNode *node, BlockInfo *ret_info)
{
    *ret_info = (BlockInfo){ .host_bytes = -1 };
    return node->format->info ? node->format->info(node, ret_info) : 0;
}

GPtrArray *block_snapshot_list(BlockNode *node)
{
    return node->format->snapshot_list ? node->format->snapshot_list(node) : NULL;
}

static bool can_snapshot(BlockNode *node, GError **err)
{
    if (!node->format->snapshot_create)
        block_error(err, 0, "'%s': format %s has no internal snapshots; use qcow2", node->name, node->format->name);
    else if (node->read_only)
        block_error(err, 0, "'%s' is opened read-only", node->name);
    else
        return true;
    return false;
}

bool block_snapshot_create(BlockNode *node, const BlockSnapshot *snapshot, GError **err)
{
    return can_snapshot(node, err) && node->format->snapshot_create(node, snapshot, err);
}

bool block_snapshot_apply(BlockNode *node, const char *id_or_name, GError **err)
{
    return can_snapshot(node, err) && node->format->snapshot_apply(node, id_or_name, err);
}

bool block_snapshot_delete(BlockNode *node, const char *id_or_name, GError **err)
{
    return can_snapshot(node, err) && node->format->snapshot_delete(node, id_or_name, err);
}

bool block_change_backing(BlockNode *node, const char *name, const char *format, GError **err)
{
    if (!node->format->change_backing) {
        block_error(err, 0, "'%s': format %s has no backing files", node->name, node->format->name);
        return false;
    }
    if (node->read_only) {
        block_error(err, 0, "'%s' is opened read-only", node->name);
        return false;
    }
    return node->format->change_backing(node, name, format, err);
}

int block_make_empty(BlockNode *node)
{
    return node->read_only ? -EROFS : node->format->make_empty ? node->format->make_empty(node) : -ENOTSUP;
}

static bool can_change(BlockNode *node, bool has, const char *what, GError **err)
{
    if (!has)
        block_error(err, 0, "'%s': format %s has no %s", node->name, node->format->name, what);
    else if (node->read_only)
        block_error(err, 0, "'%s' is opened read-only", node->name);
    return has && !node->read_only;
}

bool block_bitmap(BlockNode *node, BlockBitmapOp op, const char *name, uint64_t granularity, GError **err)
{
    return can_change(node, node->format->bitmap, "bitmaps", err) && node->format->bitmap(node, op, name, granularity, err);
}

bool block_bitmap_merge(BlockNode *node, const char *name, BlockNode *src, const char *src_name, GError **err)
{
    if (!can_change(node, node->format->bitmap_merge, "bitmaps", err))
        return false;
    if (src->format != node->format) {
        block_error(err, 0, "'%s': format %s has no bitmaps", src->name, src->format->name);
        return false;
    }
    return node->format->bitmap_merge(node, name, src, src_name, err);
}

bool block_amend(BlockNode *node, const BlockCreateOpts *opts, GError **err)
{
    return can_change(node, node->format->amend, "options that can be amended", err) && node->format->amend(node, opts, err);
}
