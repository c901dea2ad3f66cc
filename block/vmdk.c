/*
 * VMDK, read-only: one file with a sparse extent, as "monolithicSparse" and "streamOptimized" have it (vmdk-desc.c has the
 * disks that are made of several files). "Virtual Disk
 * Format 5.0" (VMware, 2011), "Hosted Sparse Extents" and "Stream-Optimized Compressed Sparse Extents".
 */
#include "block/vmdk-internal.h"

#include <errno.h>
#include <string.h>

enum { SECTOR = 512, FLAG_ZERO_GRAIN = 4, FLAG_COMPRESSED = 1 << 16, FLAG_MARKERS = 1 << 17, GRAIN_MAX = 1 << 20 };

typedef struct Vmdk {
    uint64_t grain;             /* bytes */
    uint32_t gtes, flags;
    uint64_t n_tables;
    uint32_t *directory;        /* little endian, sectors */
    VmdkDesc *desc;             /* not NULL: nothing of the above, but other files */
} Vmdk;

static uint32_t le32(const uint8_t *p)
{
    return (uint32_t)p[3] << 24 | p[2] << 16 | p[1] << 8 | p[0];
}

static uint64_t le64(const uint8_t *p)
{
    return (uint64_t)le32(p + 4) << 32 | le32(p);
}

static int vmdk_probe(const uint8_t *head, size_t len, const char *name)
{
    return len >= SECTOR && !memcmp(head, "KDMV", 4) ? 100 : vmdk_is_desc(head, len) ? 100 : 0;
}

static bool vmdk_open(BlockNode *node, GError **err)
{
    Vmdk *s = node->state;
    uint8_t h[SECTOR] = { 0 };
    uint64_t size = 0;
    if (!ro_open(node, err))
        return false;
    block_file_size(node->file, &size);
    if (bn_read(node->file, 0, h, MIN(size, sizeof(h))) == 0 && vmdk_is_desc(h, sizeof(h)))
        return (s->desc = vmdk_desc_open(node, err)) != NULL;
    if (bn_read(node->file, 0, h, sizeof(h)) < 0 || memcmp(h, "KDMV", 4))
        return ro_bad(node, err, "it is neither a sparse VMDK extent nor a descriptor");
    /* A stream has its grain directory's place in a footer, one sector before the end marker. */
    if (le64(h + 56) == UINT64_MAX && (size < 3 * SECTOR || bn_read(node->file, size - 2 * SECTOR, h, sizeof(h)) < 0 || memcmp(h, "KDMV", 4)))
        return ro_bad(node, err, "the footer of the stream is missing");
    s->flags = le32(h + 8);
    uint64_t capacity = le64(h + 12), grain = le64(h + 20), dir = le64(h + 56);
    s->gtes = le32(h + 44);
    if (capacity > INT64_MAX / SECTOR || grain < 1 || grain > GRAIN_MAX / SECTOR || (grain & (grain - 1)) || s->gtes < 1 || s->gtes > 65536 ||
        dir > INT64_MAX / SECTOR)
        return ro_bad(node, err, "impossible sizes in its header");
    node->length = capacity * SECTOR;
    s->grain = grain * SECTOR;
    uint64_t covered = s->grain * s->gtes;
    s->n_tables = node->length / covered + !!(node->length % covered);
    char desc[1024] = "";
    if (le64(h + 28) && le64(h + 28) < size / SECTOR && bn_read(node->file, le64(h + 28) * SECTOR, desc, sizeof(desc) - 1) == 0 &&
        strstr(desc, "parentCID=") && !strstr(desc, "parentCID=ffffffff"))
        return ro_bad(node, err, "it depends on another VMDK, which is not supported");
    s->directory = ro_read_table(node, dir * SECTOR, s->n_tables, 4, "grain directory", err);
    return s->directory != NULL;
}

static int vmdk_close(BlockNode *node)
{
    g_free(((Vmdk *)node->state)->directory);
    vmdk_desc_free(((Vmdk *)node->state)->desc);
    return 0;
}

static int vmdk_map(BlockNode *node, uint64_t offset, uint64_t max, RoMap *m)
{
    Vmdk *s = node->state;
    uint64_t grain = offset / s->grain, in = offset % s->grain, index = grain / s->gtes;
    uint64_t table = index < s->n_tables ? GUINT32_FROM_LE(s->directory[index]) : 0;
    uint8_t raw[4];
    m->len = MIN(max, s->grain - in);
    m->type = RO_ZERO;
    if (!table)
        return 0;
    int r = bn_read(node->file, table * SECTOR + grain % s->gtes * 4, raw, 4);
    uint64_t entry = r < 0 ? 0 : le32(raw);
    if (entry == 0 || (entry == 1 && (s->flags & FLAG_ZERO_GRAIN)))
        return r;
    m->type = s->flags & FLAG_COMPRESSED ? RO_PACKED : RO_DATA;
    m->host = entry * SECTOR + (m->type == RO_DATA ? in : 0);
    return r;
}

/* With markers a grain begins with its sector number (8 bytes) and its packed length (4); without, with the length. */
static int vmdk_unpack(BlockNode *node, const RoMap *m, uint64_t offset, uint64_t len, BlockIov io)
{
    Vmdk *s = node->state;
    uint8_t head[12];
    unsigned head_len = s->flags & FLAG_MARKERS ? 12 : 4;
    int r = bn_read(node->file, m->host, head, head_len);
    uint64_t packed = r < 0 ? 0 : le32(head + head_len - 4);
    if (r < 0 || !packed || packed > 2 * GRAIN_MAX)
        return r < 0 ? r : -EIO;
    /* The last grain of a disk may be short: what follows it reads as zeros. */
    g_autofree uint8_t *in = g_malloc(packed), *out = g_malloc0(s->grain);
    uint64_t want = MIN(s->grain, node->length - (offset - offset % s->grain));
    r = bn_read(node->file, m->host + head_len, in, packed);
    r = r < 0 ? r : ro_inflate(out, s->grain, in, packed, false);
    if (r < 0 && want < s->grain)
        r = ro_inflate(out, want, in, packed, false);
    if (r == 0)
        biov_from_buf(io, out + offset % s->grain, len);
    return r;
}

static int vmdk_readv(BlockNode *node, uint64_t offset, uint64_t len, BlockIov io)
{
    const VmdkDesc *d = ((Vmdk *)node->state)->desc;
    return d ? vmdk_desc_readv(d, offset, len, io) : ro_readv(node, offset, len, io, vmdk_map, vmdk_unpack);
}

static int vmdk_status(BlockNode *node, uint64_t offset, uint64_t len, BlockStatus *ret_status)
{
    const VmdkDesc *d = ((Vmdk *)node->state)->desc;
    return d ? vmdk_desc_status(d, offset, len, ret_status) : ro_status(node, offset, len, ret_status, vmdk_map);
}

static int vmdk_info(BlockNode *node, BlockInfo *ret_info)
{
    const Vmdk *s = node->state;
    /* The bytes are in the other files that a descriptor names. */
    return s->desc ? 0 : ro_info(node, ret_info, (uint32_t)s->grain);
}

const BlockFormat block_format_vmdk = {
    .name = "vmdk", .state_size = sizeof(Vmdk), .probe = vmdk_probe, .open = vmdk_open, .close = vmdk_close,
    .readv = vmdk_readv, .status = vmdk_status, .info = vmdk_info,
};
