/* VHD (Virtual PC), read-only: fixed and dynamic disks. "Virtual Hard Disk Image Format Specification" (Microsoft, 2006). */
#include "block/ro.h"

#include <errno.h>
#include <string.h>

enum { FOOTER = 512, DYNAMIC_HEADER = 1024, TYPE_FIXED = 2, TYPE_DYNAMIC = 3 };
#define VPC_UNUSED 0xffffffffu

typedef struct Vpc {
    bool dynamic;
    uint32_t block_size, blocks, bitmap_bytes;
    uint32_t *bat;              /* big endian, sectors */
} Vpc;

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

static uint64_t be64(const uint8_t *p)
{
    return (uint64_t)be32(p) << 32 | be32(p + 4);
}

static int vpc_probe(const uint8_t *head, size_t len, const char *name)
{
    return len >= 8 && !memcmp(head, "conectix", 8) ? 100 : 0;
}

/* Virtual PC itself goes by the geometry, and so do programs that imitate it; all others by the size field. */
static uint64_t disk_size(const uint8_t *f)
{
    uint64_t chs = (uint64_t)(f[56] << 8 | f[57]) * f[58] * f[59] * 512;
    bool by_geometry = !memcmp(f + 28, "vpc ", 4) || !memcmp(f + 28, "qemu", 4);
    bool too_large = (f[56] << 8 | f[57]) == 65535 && f[58] == 16 && f[59] == 255;
    return by_geometry && chs && !too_large ? chs : be64(f + 48);
}

static bool open_dynamic(BlockNode *node, const uint8_t *footer, GError **err)
{
    Vpc *s = node->state;
    uint8_t h[DYNAMIC_HEADER] = { 0 };
    uint64_t offset = be64(footer + 16);
    if (offset > INT64_MAX - sizeof(h) || bn_read(node->file, offset, h, sizeof(h)) < 0 || memcmp(h, "cxsparse", 8))
        return ro_bad(node, err, "the header of the dynamic disk is missing");
    s->dynamic = true;
    s->blocks = be32(h + 28);
    s->block_size = be32(h + 32);
    if (s->block_size < 512 || s->block_size > 256 << 20 || (s->block_size & (s->block_size - 1)) ||
        node->length > (uint64_t)s->block_size * s->blocks)
        return ro_bad(node, err, "impossible block size or number of blocks");
    s->bitmap_bytes = (s->block_size / 512 / 8 + 511) & ~511u;
    s->bat = ro_read_table(node, be64(h + 16), s->blocks, 4, "block allocation table", err);
    return s->bat != NULL;
}

static bool vpc_open(BlockNode *node, GError **err)
{
    uint8_t f[FOOTER] = { 0 };
    uint64_t size = 0;
    if (!ro_open(node, err))
        return false;
    block_file_size(node->file, &size);
    if (size < FOOTER || bn_read(node->file, 0, f, FOOTER) < 0)
        return ro_bad(node, err, "it is too short for VHD");
    if (!vpc_probe(f, FOOTER, NULL) && (bn_read(node->file, size - FOOTER, f, FOOTER) < 0 || !vpc_probe(f, FOOTER, NULL)))
        return ro_bad(node, err, "invalid VPC image");
    node->length = disk_size(f);
    if (node->length > INT64_MAX)
        return ro_bad(node, err, "impossible size");
    if (be32(f + 60) == TYPE_DYNAMIC)
        return open_dynamic(node, f, err);
    if (be32(f + 60) != TYPE_FIXED)
        return ro_bad(node, err, "only fixed and dynamic VHD disks are supported");
    return true;
}

static int vpc_close(BlockNode *node)
{
    g_free(((Vpc *)node->state)->bat);
    return 0;
}

static int vpc_map(BlockNode *node, uint64_t offset, uint64_t max, RoMap *m)
{
    Vpc *s = node->state;
    if (!s->dynamic) {
        *m = (RoMap){ RO_DATA, offset, max };
        return 0;
    }
    uint64_t index = offset / s->block_size, in = offset % s->block_size;
    uint32_t entry = index < s->blocks ? GUINT32_FROM_BE(s->bat[index]) : VPC_UNUSED;
    m->len = MIN(max, s->block_size - in);
    m->type = entry == VPC_UNUSED ? RO_ZERO : RO_DATA;
    m->host = (uint64_t)entry * 512 + s->bitmap_bytes + in;
    return 0;
}

static int vpc_readv(BlockNode *node, uint64_t offset, uint64_t len, BlockIov io)
{
    return ro_readv(node, offset, len, io, vpc_map, NULL);
}

static int vpc_status(BlockNode *node, uint64_t offset, uint64_t len, BlockStatus *ret_status)
{
    return ro_status(node, offset, len, ret_status, vpc_map);
}

static int vpc_info(BlockNode *node, BlockInfo *ret_info)
{
    const Vpc *s = node->state;
    return ro_info(node, ret_info, s->dynamic ? s->block_size : 0);
}

const BlockFormat block_format_vpc = {
    .name = "vpc", .state_size = sizeof(Vpc), .probe = vpc_probe, .open = vpc_open, .close = vpc_close,
    .readv = vpc_readv, .status = vpc_status, .info = vpc_info,
};
