/* VDI (VirtualBox), read-only: one table of blocks, usually of 1 MiB. */
#include "block/ro.h"

#include <errno.h>
#include <string.h>

typedef struct Vdi {
    uint32_t block_size, blocks;
    uint64_t data_offset;
    uint32_t *map;              /* little endian */
} Vdi;

enum { VDI_SIGNATURE_AT = 0x40, VDI_HEADER = 0x200 };
#define VDI_SIGNATURE 0xbeda107fu
#define VDI_UNALLOCATED 0xffffffffu
#define VDI_DISCARDED 0xfffffffeu

static uint32_t le32(const uint8_t *p)
{
    return (uint32_t)p[3] << 24 | p[2] << 16 | p[1] << 8 | p[0];
}

static int vdi_probe(const uint8_t *head, size_t len, const char *name)
{
    return len >= VDI_HEADER && le32(head + VDI_SIGNATURE_AT) == VDI_SIGNATURE ? 100 : 0;
}

static bool vdi_open(BlockNode *node, GError **err)
{
    Vdi *s = node->state;
    uint8_t h[VDI_HEADER] = { 0 };
    if (!ro_open(node, err))
        return false;
    if (bn_read(node->file, 0, h, sizeof(h)) < 0 || !vdi_probe(h, sizeof(h), NULL))
        return ro_bad(node, err, "Image not in VDI format");
    if (le32(h + 0x44) != 0x00010001)
        return ro_bad(node, err, "unsupported VDI version (1.1 is known)");
    static const uint8_t no_parent[16];
    if (memcmp(h + 0x1a8, no_parent, 16))
        return ro_bad(node, err, "it is a differencing image, which is not supported");
    s->data_offset = le32(h + 0x158);
    node->length = le32(h + 0x170) | (uint64_t)le32(h + 0x174) << 32;
    s->block_size = le32(h + 0x178);
    s->blocks = le32(h + 0x180);
    if (s->block_size < 512 || s->block_size > 64 << 20 || (s->block_size & 511) || node->length > (uint64_t)s->block_size * s->blocks)
        return ro_bad(node, err, "impossible block size or number of blocks");
    s->map = ro_read_table(node, le32(h + 0x154), s->blocks, 4, "block map", err);
    return s->map != NULL;
}

static int vdi_close(BlockNode *node)
{
    g_free(((Vdi *)node->state)->map);
    return 0;
}

static int vdi_map(BlockNode *node, uint64_t offset, uint64_t max, RoMap *m)
{
    Vdi *s = node->state;
    uint64_t index = offset / s->block_size, in = offset % s->block_size;
    uint32_t entry = index < s->blocks ? GUINT32_FROM_LE(s->map[index]) : VDI_UNALLOCATED;
    m->len = MIN(max, s->block_size - in);
    m->type = entry >= VDI_DISCARDED ? RO_ZERO : RO_DATA;
    m->host = s->data_offset + (uint64_t)entry * s->block_size + in;
    return 0;
}

static int vdi_readv(BlockNode *node, uint64_t offset, uint64_t len, BlockIov io)
{
    return ro_readv(node, offset, len, io, vdi_map, NULL);
}

static int vdi_status(BlockNode *node, uint64_t offset, uint64_t len, BlockStatus *ret_status)
{
    return ro_status(node, offset, len, ret_status, vdi_map);
}

static int vdi_info(BlockNode *node, BlockInfo *ret_info)
{
    return ro_info(node, ret_info, ((Vdi *)node->state)->block_size);
}

const BlockFormat block_format_vdi = {
    .name = "vdi", .state_size = sizeof(Vdi), .probe = vdi_probe, .open = vdi_open, .close = vdi_close,
    .readv = vdi_readv, .status = vdi_status, .info = vdi_info,
};
