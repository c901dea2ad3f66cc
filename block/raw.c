/* raw: the file's bytes are the disk's bytes. */
#include "block/format.h"

#include <errno.h>

static int raw_probe(const uint8_t *head, size_t len, const char *name)
{
    return 1;
}

static bool raw_open(BlockNode *node, GError **err)
{
    node->length = node->file->length;
    node->file->fixed_size = true;
    node->opt_io_size = node->file->opt_io_size;
    node->discard_granularity = node->file->discard_granularity;
    return true;
}

static int raw_readv(BlockNode *node, uint64_t offset, uint64_t len, BlockIov io)
{
    return bn_readv(node->file, offset, len, io);
}

static int raw_writev(BlockNode *node, uint64_t offset, uint64_t len, BlockIov io, unsigned flags)
{
    return flags & BLOCK_REQ_COMPRESS ? -ENOTSUP : bn_writev(node->file, offset, len, io, flags);
}

static int raw_write_zeroes(BlockNode *node, uint64_t offset, uint64_t len, unsigned flags)
{
    return bn_write_zeroes(node->file, offset, len, flags);
}

static int raw_discard(BlockNode *node, uint64_t offset, uint64_t len)
{
    return node->opts.discard ? bn_discard(node->file, offset, len) : 0;
}

static int raw_flush(BlockNode *node)
{
    return bn_flush(node->file);
}

static int raw_status(BlockNode *node, uint64_t offset, uint64_t len, BlockStatus *ret_status)
{
    return node->file->format->status ? node->file->format->status(node->file, offset, len, ret_status) : 0;
}

static int raw_resize(BlockNode *node, uint64_t length, BlockPrealloc prealloc, GError **err)
{
    if (prealloc == BLOCK_PREALLOC_METADATA) {
        block_error(err, 0, "raw images have no metadata to preallocate; use off, falloc or full");
        return -EINVAL;
    }
    return block_file_truncate(node->file, length, prealloc);
}

static bool raw_inline_begin(BlockNode *node, BlockReq *req, int *ret_fd, uint64_t *ret_offset)
{
    const BlockFormat *f = node->file->format;
    return f->inline_begin && f->inline_begin(node->file, req, ret_fd, ret_offset);
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
    bool ok = node && block_resize(node, opts->size, prealloc, err);
    if (ok && ret_line)
        *ret_line = g_strdup_printf("Formatting '%s', fmt=raw size=%" PRIu64 "%s%s", opts->name, opts->size,
                                    text ? " preallocation=" : "", text ? text : "");
    block_unref(node);
    return ok;
}

const BlockFormat block_format_raw = {
    .name = "raw",
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
    .create_help = "preallocation=<str>    - Preallocation mode (allowed values: off, falloc, full)\n"
                   "size=<size>            - Virtual disk size\n",
};
