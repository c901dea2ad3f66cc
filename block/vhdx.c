/* VHDX, read-only: "[MS-VHDX] Virtual Hard Disk v2 File Format". A log is replayed in memory; parents are refused. */
#include "block/vhdx-log.h"

#include <errno.h>
#include <string.h>

enum { MIB = 1 << 20, REGION_TABLE = 192 << 10, HEADER1 = 64 << 10, HEADER2 = 128 << 10, TABLE_BYTES = 64 << 10, MAX_ENTRIES = 2047, MAX_TABLE_BYTES = 256 << 20 };
enum { PAYLOAD_PRESENT = 6, PAYLOAD_PARTIAL = 7 };

typedef struct Vhdx {
    uint32_t block_size;
    uint64_t chunk_ratio, n_bat;
    uint64_t *bat;              /* little endian */
} Vhdx;

/* Identifiers as they stand in the file (2.2.3.2 and 2.6.2). */
static const uint8_t guid_bat[16] = { 0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42, 0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08 };
static const uint8_t guid_metadata[16] = { 0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b, 0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e };
static const uint8_t guid_parameters[16] = { 0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d, 0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b };
static const uint8_t guid_size[16] = { 0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48, 0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8 };
static const uint8_t guid_sector[16] = { 0x1d, 0xbf, 0x41, 0x81, 0x6f, 0xa9, 0x09, 0x47, 0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f };

static uint32_t le32(const uint8_t *p)
{
    return (uint32_t)p[3] << 24 | p[2] << 16 | p[1] << 8 | p[0];
}

static uint64_t le64(const uint8_t *p)
{
    return (uint64_t)le32(p + 4) << 32 | le32(p);
}

static int vhdx_probe(const uint8_t *head, size_t len, const char *name)
{
    return len >= 8 && !memcmp(head, "vhdxfile", 8) ? 100 : 0;
}

/* The header with the higher sequence number counts; one of the two may be torn. False if there is none. */
static bool current_header(BlockNode *node, uint8_t ret_header[128])
{
    uint8_t h[2][128];
    bool ok[2];
    for (int i = 0; i < 2; i++)
        ok[i] = bn_read(node->file, i ? HEADER2 : HEADER1, h[i], sizeof(h[i])) == 0 && !memcmp(h[i], "head", 4);
    int use = !ok[0] || (ok[1] && le64(h[1] + 8) > le64(h[0] + 8));
    memcpy(ret_header, h[use], sizeof(h[use]));
    return ok[use];
}

/* As ro_read_table, with the log's writes. */
static void *read_table(BlockNode *node, const VhdxLog *log, uint64_t offset, uint64_t bytes, const char *what, GError **err)
{
    uint64_t size = 0;
    block_file_size(node->file, &size);
    size = vhdx_log_file_size(log, size);
    void *p = bytes <= MAX_TABLE_BYTES && bytes <= size && offset <= size - bytes ? g_try_malloc(MAX(bytes, 1)) : NULL;
    if (p && vhdx_log_read(log, node, offset, p, bytes) == 0)
        return p;
    g_free(p);
    block_error(err, 0, "Could not open '%s': its %s does not fit into the file, or cannot be read", node->name, what);
    return NULL;
}

/* An entry of 32 bytes whose first 16 are @guid; the table's entries begin at @first. */
static const uint8_t *find(const uint8_t *table, unsigned first, uint32_t n, const uint8_t *guid)
{
    for (uint32_t i = 0; i < MIN(n, MAX_ENTRIES); i++)
        if (first + (i + 1) * 32 <= TABLE_BYTES && !memcmp(table + first + i * 32, guid, 16))
            return table + first + i * 32;
    return NULL;
}

static bool item(BlockNode *node, const VhdxLog *log, uint64_t base, const uint8_t *table, const uint8_t *guid, void *buf, unsigned len)
{
    const uint8_t *e = find(table, 32, table[10] | table[11] << 8, guid);
    return e && le32(e + 20) >= len && base <= INT64_MAX && vhdx_log_read(log, node, base + le32(e + 16), buf, len) == 0;
}

static bool open_tables(BlockNode *node, const VhdxLog *log, GError **err)
{
    Vhdx *s = node->state;
    uint8_t parameters[8], size[8], sector[4];
    g_autofree uint8_t *regions = read_table(node, log, REGION_TABLE, TABLE_BYTES, "region table", err);
    const uint8_t *bat = regions ? find(regions, 16, le32(regions + 8), guid_bat) : NULL;
    const uint8_t *metadata = regions ? find(regions, 16, le32(regions + 8), guid_metadata) : NULL;
    if (!regions)
        return false;
    if (memcmp(regions, "regi", 4) || !bat || !metadata)
        return ro_bad(node, err, "the region table is damaged");
    uint64_t base = le64(metadata + 16);
    g_autofree uint8_t *table = read_table(node, log, base, TABLE_BYTES, "metadata table", err);
    if (!table)
        return false;
    if (memcmp(table, "metadata", 8) || !item(node, log, base, table, guid_parameters, parameters, 8) || !item(node, log, base, table, guid_size, size, 8) ||
        !item(node, log, base, table, guid_sector, sector, 4))
        return ro_bad(node, err, "the metadata is damaged");
    s->block_size = le32(parameters);
    node->length = le64(size);
    if (le32(parameters + 4) & 2)
        return ro_bad(node, err, "it depends on a parent, which is not supported");
    if (s->block_size < MIB || s->block_size > 256 * MIB || (s->block_size & (s->block_size - 1)) || node->length > 64ull << 40 ||
        (le32(sector) != 512 && le32(sector) != 4096))
        return ro_bad(node, err, "impossible sizes in its metadata");
    s->chunk_ratio = (1ull << 23) * le32(sector) / s->block_size;
    uint64_t blocks = node->length / s->block_size + !!(node->length % s->block_size);
    s->n_bat = blocks ? blocks + (blocks - 1) / s->chunk_ratio : 0;
    s->bat = read_table(node, log, le64(bat + 16), s->n_bat * 8, "block allocation table", err);
    return s->bat != NULL;
}

static bool vhdx_open(BlockNode *node, GError **err)
{
    static const uint8_t none[16];
    uint8_t id[8] = { 0 }, header[128];
    if (!ro_open(node, err))
        return false;
    if (bn_read(node->file, 0, id, 8) < 0 || !vhdx_probe(id, 8, NULL))
        return ro_bad(node, err, "Image not in VHDX format");
    if (!current_header(node, header))
        return ro_bad(node, err, "both its headers are damaged");
    VhdxLog *log = NULL;
    if (memcmp(header + 48, none, 16) && !(log = vhdx_log_open(node, header + 48, le64(header + 72), le32(header + 68), err)))
        return false;
    bool ok = open_tables(node, log, err);
    vhdx_log_free(log);
    return ok;
}

static int vhdx_close(BlockNode *node)
{
    g_free(((Vhdx *)node->state)->bat);
    return 0;
}

/* Every chunk_ratio payload entries the table has one for a sector bitmap, which only disks with parents use. */
static int vhdx_map(BlockNode *node, uint64_t offset, uint64_t max, RoMap *m)
{
    Vhdx *s = node->state;
    uint64_t block = offset / s->block_size, in = offset % s->block_size, index = block + block / s->chunk_ratio;
    uint64_t entry = index < s->n_bat ? GUINT64_FROM_LE(s->bat[index]) : 0;
    m->len = MIN(max, s->block_size - in);
    m->type = (entry & 7) == PAYLOAD_PRESENT ? RO_DATA : RO_ZERO;
    m->host = (entry >> 20 << 20) + in;
    return (entry & 7) == PAYLOAD_PARTIAL ? -EIO : 0;
}

static int vhdx_readv(BlockNode *node, uint64_t offset, uint64_t len, BlockIov io)
{
    return ro_readv(node, offset, len, io, vhdx_map, NULL);
}

static int vhdx_status(BlockNode *node, uint64_t offset, uint64_t len, BlockStatus *ret_status)
{
    return ro_status(node, offset, len, ret_status, vhdx_map);
}

static int vhdx_info(BlockNode *node, BlockInfo *ret_info)
{
    return ro_info(node, ret_info, ((Vhdx *)node->state)->block_size);
}

const BlockFormat block_format_vhdx = {
    .name = "vhdx", .state_size = sizeof(Vhdx), .probe = vhdx_probe, .open = vhdx_open, .close = vhdx_close,
    .readv = vhdx_readv, .status = vhdx_status, .info = vhdx_info,
};
