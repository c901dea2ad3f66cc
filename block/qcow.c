/* qcow, version 1, read-only: the predecessor of qcow2. Two levels of tables, optional deflate, backing file. */
#include "block/ro.h"

#include <errno.h>
#include <string.h>

typedef struct Qcow {
    unsigned cluster_bits, l2_bits;
    uint64_t l1_entries;
    uint64_t *l1;               /* big endian */
} Qcow;

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

static uint64_t be64(const uint8_t *p)
{
    return (uint64_t)be32(p) << 32 | be32(p + 4);
}

static int qcow_probe(const uint8_t *head, size_t len, const char *name)
{
    return len >= 8 && be32(head) == 0x514649fb && be32(head + 4) == 1 ? 100 : 0;
}

static bool qcow_open(BlockNode *node, GError **err)
{
    Qcow *s = node->state;
    uint8_t h[48] = { 0 };
    if (!ro_open(node, err))
        return false;
    if (bn_read(node->file, 0, h, sizeof(h)) < 0 || !qcow_probe(h, sizeof(h), NULL))
        return ro_bad(node, err, "Image not in qcow format");
    s->cluster_bits = h[32];
    s->l2_bits = h[33];
    node->length = be64(h + 24);
    uint32_t name_len = be32(h + 16);
    if (s->cluster_bits < 9 || s->cluster_bits > 16 || s->l2_bits < 6 || s->l2_bits > 13 || node->length > INT64_MAX)
        return ro_bad(node, err, "impossible cluster or table size");
    if (be32(h + 36))
        return ro_bad(node, err, "it is encrypted, which is not supported");
    unsigned shift = s->cluster_bits + s->l2_bits;
    s->l1_entries = (node->length >> shift) + !!(node->length & ((1ull << shift) - 1));
    if (be64(h + 8) && name_len && name_len < 1024) {
        node->backing_name = g_malloc0(name_len + 1);
        if (bn_read(node->file, be64(h + 8), node->backing_name, name_len) < 0)
            return ro_bad(node, err, "Could not read the backing file name");
    }
    s->l1 = ro_read_table(node, be64(h + 40), s->l1_entries, 8, "L1 table", err);
    return s->l1 != NULL;
}

static int qcow_close(BlockNode *node)
{
    g_free(((Qcow *)node->state)->l1);
    return 0;
}

static int qcow_map(BlockNode *node, uint64_t offset, uint64_t max, RoMap *m)
{
    Qcow *s = node->state;
    uint64_t in = offset & ((1ull << s->cluster_bits) - 1), i1 = offset >> (s->cluster_bits + s->l2_bits), be;
    uint64_t l2 = i1 < s->l1_entries ? GUINT64_FROM_BE(s->l1[i1]) : 0, index = (offset >> s->cluster_bits) & ((1ull << s->l2_bits) - 1);
    m->type = RO_HOLE;
    if (!l2) {
        uint64_t span = 1ull << (s->cluster_bits + s->l2_bits);
        m->len = MIN(max, span - (offset & (span - 1)));
        return 0;
    }
    m->len = MIN(max, (1ull << s->cluster_bits) - in);
    int r = l2 > INT64_MAX - 8 * index ? -EIO : bn_read(node->file, l2 + index * 8, &be, 8);
    uint64_t entry = r < 0 ? 0 : GUINT64_FROM_BE(be);
    if (entry >> 63) {
        m->type = RO_PACKED;
        m->host = entry;
    } else if (entry) {
        m->type = RO_DATA;
        m->host = entry + in;
    }
    return r;
}

static int qcow_unpack(BlockNode *node, const RoMap *m, uint64_t offset, uint64_t len, BlockIov io)
{
    Qcow *s = node->state;
    uint64_t size = 1ull << s->cluster_bits, place = m->host & ((1ull << (63 - s->cluster_bits)) - 1);
    uint64_t packed = m->host >> (63 - s->cluster_bits) & (size - 1);
    g_autofree uint8_t *in = g_malloc(MAX(packed, 1)), *out = g_malloc(size);
    int r = bn_read(node->file, place, in, packed);
    r = r < 0 ? r : ro_inflate(out, size, in, packed, true);
    if (r == 0)
        biov_from_buf(io, out + (offset & (size - 1)), len);
    return r;
}

static int qcow_readv(BlockNode *node, uint64_t offset, uint64_t len, BlockIov io)
{
    return ro_readv(node, offset, len, io, qcow_map, qcow_unpack);
}

static int qcow_status(BlockNode *node, uint64_t offset, uint64_t len, BlockStatus *ret_status)
{
    return ro_status(node, offset, len, ret_status, qcow_map);
}

static int qcow_info(BlockNode *node, BlockInfo *ret_info)
{
    return ro_info(node, ret_info, 1u << ((Qcow *)node->state)->cluster_bits);
}

const BlockFormat block_format_qcow = {
    .name = "qcow", .can_backing = true, .state_size = sizeof(Qcow), .probe = qcow_probe, .open = qcow_open, .close = qcow_close,
    .readv = qcow_readv, .status = qcow_status, .info = qcow_info,
};
