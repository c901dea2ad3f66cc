/* nbd: a disk that a server on the network, or behind a socket, has. nbd://HOST[:PORT]/EXPORT, nbd+unix:///EXPORT?socket=PATH. */
#include "block/format.h"

#include <errno.h>
#include <libnbd.h>
#include <string.h>

enum { NBD_PIECE = 16 << 20 };

typedef struct Nbd {
    struct nbd_handle *h;       /* serialises its calls by itself */
    bool has_status;
} Nbd;

static bool nbd_fail(BlockNode *node, GError **err)
{
    const char *why = nbd_get_error();
    g_autofree char *line = g_strdelimit(g_strdup(why ? why : "unknown error"), "\n", ' ');
    block_error(err, 0, "Could not open '%s': %s", node->name, line);
    return false;
}

static int nbd_errno_now(void)
{
    int e = nbd_get_errno();
    return e > 0 ? -e : -EIO;
}

static bool nbd_node_open(BlockNode *node, GError **err)
{
    Nbd *s = node->state;
    s->h = nbd_create();
    if (!s->h)
        return nbd_fail(node, err);
    /* Names of images may come from other images: nothing but plain TCP and local sockets, and no files from TLS options. */
    bool ok = nbd_set_uri_allow_transports(s->h, LIBNBD_ALLOW_TRANSPORT_TCP | LIBNBD_ALLOW_TRANSPORT_UNIX) == 0 &&
              nbd_set_uri_allow_local_file(s->h, false) == 0 && nbd_add_meta_context(s->h, LIBNBD_CONTEXT_BASE_ALLOCATION) == 0 &&
              nbd_connect_uri(s->h, node->name) == 0;
    int64_t size = ok ? nbd_get_size(s->h) : -1;
    if (size < 0) {
        nbd_fail(node, err);
    } else if (!node->read_only && nbd_is_read_only(s->h) == 1) {
        block_error(err, 0, "Could not open '%s': the server exports it read-only", node->name);
        size = -1;
    }
    if (size < 0) {
        nbd_close(s->h);
        return false;
    }
    node->length = (uint64_t)size;
    s->has_status = nbd_can_meta_context(s->h, LIBNBD_CONTEXT_BASE_ALLOCATION) == 1;
    node->discard_granularity = nbd_can_trim(s->h) == 1 ? 512 : 0;
    return true;
}

static int nbd_node_close(BlockNode *node)
{
    Nbd *s = node->state;
    nbd_shutdown(s->h, 0);
    nbd_close(s->h);
    return 0;
}

static int nbd_piece(Nbd *s, uint64_t offset, char *buf, uint64_t len, bool write)
{
    int r = write ? nbd_pwrite(s->h, buf, len, offset, 0) : nbd_pread(s->h, buf, len, offset, 0);
    return r < 0 ? nbd_errno_now() : 0;
}

/* In pieces, each from or to one buffer: the caller's where it is flat. */
static int nbd_transfer(BlockNode *node, uint64_t offset, uint64_t len, BlockIov io, bool write)
{
    Nbd *s = node->state;
    char *bounce = NULL;
    int r = 0;
    while (r == 0 && len) {
        uint64_t n = MIN(len, NBD_PIECE);
        io = biov_advance(io, 0);
        if (io.niov && io.iov->iov_len - io.skip >= n) {
            r = nbd_piece(s, offset, (char *)io.iov->iov_base + io.skip, n, write);
        } else {
            bounce = bounce ? bounce : g_try_malloc(MIN(len, NBD_PIECE));
            if (bounce && write)
                biov_to_buf(io, bounce, n);
            r = bounce ? nbd_piece(s, offset, bounce, n, write) : -ENOMEM;
            if (r == 0 && !write)
                biov_from_buf(io, bounce, n);
        }
        offset += n;
        len -= n;
        io = biov_advance(io, n);
    }
    g_free(bounce);
    return r;
}

static int nbd_readv(BlockNode *node, uint64_t offset, uint64_t len, BlockIov io)
{
    uint64_t have = offset < node->length ? MIN(len, node->length - offset) : 0;
    biov_zero(biov_advance(io, have), len - have);
    return nbd_transfer(node, offset, have, io, false);
}

static int nbd_writev(BlockNode *node, uint64_t offset, uint64_t len, BlockIov io, unsigned flags)
{
    return offset > node->length || len > node->length - offset ? -ENOSPC : nbd_transfer(node, offset, len, io, true);
}

static int nbd_node_flush(BlockNode *node)
{
    Nbd *s = node->state;
    if (node->opts.cache == BLOCK_CACHE_UNSAFE || nbd_can_flush(s->h) != 1)
        return 0;
    return nbd_flush(s->h, 0) < 0 ? nbd_errno_now() : 0;
}

static int nbd_write_zeroes(BlockNode *node, uint64_t offset, uint64_t len, unsigned flags)
{
    Nbd *s = node->state;
    if (nbd_can_zero(s->h) != 1)
        return -ENOTSUP;
    if (offset > node->length || len > node->length - offset)
        return -ENOSPC;
    for (uint64_t n; len; offset += n, len -= n) {
        n = MIN(len, 1u << 30);
        if (nbd_zero(s->h, n, offset, flags & BLOCK_REQ_MAY_UNMAP ? 0 : LIBNBD_CMD_FLAG_NO_HOLE) < 0)
            return nbd_errno_now();
    }
    return 0;
}

static int nbd_discard(BlockNode *node, uint64_t offset, uint64_t len)
{
    Nbd *s = node->state;
    for (uint64_t n; len && nbd_can_trim(s->h) == 1; offset += n, len -= n) {
        n = MIN(len, 1u << 30);
        if (nbd_trim(s->h, n, offset, 0) < 0)
            break;
    }
    return 0;       /* a hint */
}

typedef struct Extent {
    uint32_t len, flags;
} Extent;

static int first_extent(void *opaque, const char *context, uint64_t offset, uint32_t *entries, size_t n, int *error)
{
    Extent *e = opaque;
    if (!strcmp(context, LIBNBD_CONTEXT_BASE_ALLOCATION) && n >= 2)
        *e = (Extent){ entries[0], entries[1] };
    return 0;
}

static int nbd_status(BlockNode *node, uint64_t offset, uint64_t len, BlockStatus *ret_status)
{
    Nbd *s = node->state;
    Extent e = { 0 };
    *ret_status = (BlockStatus){ .len = len, .flags = BLOCK_ST_DATA | BLOCK_ST_ALLOCATED | BLOCK_ST_OFFSET, .host_offset = offset,
                                 .host_file = node->name };
    nbd_extent_callback cb = { .callback = first_extent, .user_data = &e };
    if (!s->has_status || nbd_block_status(s->h, MIN(len, 1u << 30), offset, cb, LIBNBD_CMD_FLAG_REQ_ONE) < 0 || !e.len)
        return 0;
    ret_status->len = MIN(len, e.len);
    if (e.flags & LIBNBD_STATE_ZERO)
        ret_status->flags = BLOCK_ST_ZERO | BLOCK_ST_ALLOCATED | BLOCK_ST_OFFSET;
    return 0;
}

const BlockFormat block_format_nbd = {
    .name = "nbd",
    .prefix = "nbd",
    .protocol = true,
    .state_size = sizeof(Nbd),
    .open = nbd_node_open,
    .close = nbd_node_close,
    .readv = nbd_readv,
    .writev = nbd_writev,
    .write_zeroes = nbd_write_zeroes,
    .discard = nbd_discard,
    .flush = nbd_node_flush,
    .status = nbd_status,
};
