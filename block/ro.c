#include "block/ro.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>

enum { MAX_TABLE_BYTES = 256 << 20 };

static int ro_backing(BlockNode *node, uint64_t offset, uint64_t len, BlockIov io)
{
    BlockNode *b = node->backing;
    uint64_t have = b && offset < b->length ? MIN(len, b->length - offset) : 0;
    biov_zero(biov_advance(io, have), len - have);
    return have ? bn_readv(b, offset, have, io) : 0;
}

int ro_readv(BlockNode *node, uint64_t offset, uint64_t len, BlockIov io, RoMapFn *map, RoUnpackFn *unpack)
{
    uint64_t have = offset < node->length ? MIN(len, node->length - offset) : 0;
    biov_zero(biov_advance(io, have), len - have);
    for (len = have; len;) {
        RoMap m = { .len = len };
        int r = map(node, offset, len, &m);
        if (r < 0)
            return r;
        m.len = MIN(m.len, len);
        switch (m.type) {
        case RO_HOLE: r = ro_backing(node, offset, m.len, io); break;
        case RO_ZERO: biov_zero(io, m.len); break;
        case RO_DATA: r = bn_readv(node->file, m.host, m.len, io); break;
        case RO_PACKED: r = unpack(node, &m, offset, m.len, io); break;
        }
        if (r < 0)
            return r;
        offset += m.len;
        len -= m.len;
        io = biov_advance(io, m.len);
    }
    return 0;
}

int ro_status(BlockNode *node, uint64_t offset, uint64_t len, BlockStatus *ret_status, RoMapFn *map)
{
    RoMap m = { .len = len };
    int r = map(node, offset, len, &m);
    if (r < 0)
        return r;
    static const unsigned flags[] = {
        [RO_HOLE] = 0, [RO_ZERO] = BLOCK_ST_ZERO | BLOCK_ST_ALLOCATED,
        [RO_DATA] = BLOCK_ST_DATA | BLOCK_ST_ALLOCATED | BLOCK_ST_OFFSET,
        [RO_PACKED] = BLOCK_ST_DATA | BLOCK_ST_ALLOCATED | BLOCK_ST_COMPRESSED,
    };
    *ret_status = (BlockStatus){ .len = m.len, .flags = flags[m.type], .host_offset = m.host, .host_file = node->file->name };
    if (m.type == RO_HOLE && !node->backing_name)
        ret_status->flags |= BLOCK_ST_ZERO;
    return 0;
}

int ro_info(BlockNode *node, BlockInfo *ret_info, uint32_t cluster)
{
    if (node->file->format->info)
        node->file->format->info(node->file, ret_info);
    ret_info->cluster_size = cluster;
    return 0;
}

bool ro_open(BlockNode *node, GError **err)
{
    if (node->read_only)
        return true;
    block_error(err, 0, "'%s': format %s can only be read; convert it to qcow2 first", node->name, node->format->name);
    return false;
}

bool ro_bad(BlockNode *node, GError **err, const char *what)
{
    block_error(err, 0, "Could not open '%s': %s", node->name, what);
    return false;
}

void *ro_read_table(BlockNode *node, uint64_t offset, uint64_t n, unsigned size, const char *what, GError **err)
{
    uint64_t file = 0, bytes = n * size;
    block_file_size(node->file, &file);
    if (n > MAX_TABLE_BYTES / size || bytes > file || offset > file - bytes) {
        block_error(err, 0, "Could not open '%s': its %s does not fit into the file", node->name, what);
        return NULL;
    }
    void *p = g_try_malloc(MAX(bytes, 1));
    int r = p ? bn_read(node->file, offset, p, bytes) : -ENOMEM;
    if (r == 0)
        return p;
    block_error(err, r, "Could not read the %s of '%s'", what, node->name);
    g_free(p);
    return NULL;
}

int ro_inflate(void *out, uint64_t out_len, const void *in, uint64_t in_len, bool raw)
{
    z_stream z = { .next_in = (Bytef *)in, .avail_in = (uInt)in_len, .next_out = out, .avail_out = (uInt)out_len };
    if (inflateInit2(&z, raw ? -15 : 15) != Z_OK)
        return -ENOMEM;
    int r = inflate(&z, Z_FINISH);
    bool ok = z.avail_out == 0 && (r == Z_STREAM_END || r == Z_BUF_ERROR);
    inflateEnd(&z);
    return ok ? 0 : -EIO;
}
