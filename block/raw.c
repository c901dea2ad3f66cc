/* raw: the file's bytes are the disk's bytes. */
#include "block/format.h"

#include <errno.h>

typedef struct Raw {
    uint64_t offset;            /* of the disk in the file */
    bool window;                /* the disk is a part of the file only */
} Raw;

static uint64_t place(const BlockNode *node, uint64_t offset)
{
    return ((const Raw *)node->state)->offset + offset;
}

static int raw_probe(const uint8_t *head, size_t len, const char *name)
{
    return 1;
}

static bool raw_open(BlockNode *node, GError **err)
{
    Raw *s = node->state;
    const BlockOpenOpts *o = &node->opts;
    uint64_t have = node->file->length, want = o->raw_has_size ? o->raw_size : have - MIN(have, o->raw_offset);
    if (o->raw_offset > have || want > have - o->raw_offset) {
        block_error(err, 0, "Could not open '%s': offset and size reach beyond the end of the file (%" PRIu64 " bytes)", node->name, have);
        return false;
    }
    *s = (Raw){ o->raw_offset, o->raw_offset || o->raw_has_size };
    /* Disks have whole sectors: a file that ends within one reads as zeros from there on, and grows when it is written. */
    if (!s->window && node->file->format == &block_format_file && want <= INT64_MAX - 511)
        want = node->file->length = (want + 511) & ~511ull;
    node->padded = !s->window && want != have;
    node->length = want;
    node->file->fixed_size = true;
    node->opt_io_size = node->file->opt_io_size;
    node->discard_granularity = node->file->discard_granularity;
    return true;
}

static int raw_readv(BlockNode *node, uint64_t offset, uint64_t len, BlockIov io)
{
    return bn_readv(node->file, place(node, offset), len, io);
}

static int raw_writev(BlockNode *node, uint64_t offset, uint64_t len, BlockIov io, unsigned flags)
{
    return flags & BLOCK_REQ_COMPRESS ? -ENOTSUP : bn_writev(node->file, place(node, offset), len, io, flags);
}

static int raw_write_zeroes(BlockNode *node, uint64_t offset, uint64_t len, unsigned flags)
{
    return bn_write_zeroes(node->file, place(node, offset), len, flags);
}

static int raw_discard(BlockNode *node, uint64_t offset, uint64_t len)
{
    return node->opts.discard ? bn_discard(node->file, place(node, offset), len) : 0;
}

static int raw_flush(BlockNode *node)
{
    return bn_flush(node->file);
}

static int raw_status(BlockNode *node, uint64_t offset, uint64_t len, BlockStatus *ret_status)
{
    return node->file->format->status ? node->file->format->status(node->file, place(node, offset), len, ret_status) : 0;
}

static int raw_resize(BlockNode *node, uint64_t length, BlockPrealloc prealloc, GError **err)
{
    if (prealloc == BLOCK_PREALLOC_METADATA) {
        block_error(err, 0, "raw images have no metadata to preallocate; use off, falloc or full");
        return -EINVAL;
    }
    if (((const Raw *)node->state)->window) {
        block_error(err, 0, "a disk that is a part of a file cannot be resized");
        return -EINVAL;
    }
    return block_file_truncate(node->file, length, prealloc);
}

static bool raw_inline_begin(BlockNode *node, BlockReq *req, int *ret_fd, uint64_t *offset)
{
    const BlockFormat *f = node->file->format;
    *offset = place(node, *offset);
    return f->inline_begin && f->inline_begin(node->file, req, ret_fd, offset);
}

static void raw_inline_end(BlockNode *node, BlockReq *req)
{
    if (node->file->format->inline_end)
        node->file->format->inline_end(node->file, req);
}

static int raw_info(BlockNode *node, BlockInfo *ret_info)
{
    return node->file->format->info ? node->file->format->info(node->file, ret_info) : 0;
}

static bool raw_create(BlockCtx *ctx, const BlockCreateOpts *opts, char **ret_line, GError **err)
{
    static const char *const known[] = { "size", "preallocation", NULL };
    BlockPrealloc prealloc = BLOCK_PREALLOC_OFF;
    const char *text = block_opt_get(opts, "preallocation");
    if (!block_opts_known(opts, known, err))
        return false;
    if (text && (!block_parse_prealloc(text, &prealloc) || prealloc == BLOCK_PREALLOC_METADATA)) {
        block_error(err, 0, "preallocation=%s: raw knows off, falloc and full", text);
        return false;
    }
    if (opts->backing) {
        block_error(err, 0, "a raw image cannot have a backing file; use -f qcow2");
        return false;
    }
    if (!block_file_create(ctx, opts->name, err))
        return false;
    BlockOpenOpts open_opts = { .format = "raw", .writable = true, .cache = opts->cache };
    BlockNode *node = block_open(ctx, opts->name, &open_opts, err);
    bool ok = node && block_resize(node, (opts->size + 511) & ~511ull, prealloc, err);
    if (ok && ret_line)
        *ret_line = g_strdup_printf("Formatting '%s', fmt=raw size=%" PRIu64 "%s%s", opts->name, opts->size,
                                    text ? " preallocation=" : "", text ? text : "");
    block_unref(node);
    return ok;
}

const BlockFormat block_format_raw = {
    .name = "raw",
    .state_size = sizeof(Raw),
    .probe = raw_probe,
    .open = raw_open,
    .readv = raw_readv,
    .writev = raw_writev,
    .write_zeroes = raw_write_zeroes,
    .discard = raw_discard,
    .flush = raw_flush,
    .status = raw_status,
    .resize = raw_resize,
    .inline_begin = raw_inline_begin,
    .inline_end = raw_inline_end,
    .info = raw_info,
    .create = raw_create,
    .create_help = "  preallocation=<str>    - Preallocation mode (allowed values: off, falloc, full)\n"
                   "  size=<size>            - Virtual disk size\n",
};
