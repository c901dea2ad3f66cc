/*
 * VMDK descriptor files, read-only: "monolithicFlat", "twoGbMaxExtentFlat", "twoGbMaxExtentSparse" and what else is made
 * of FLAT, VMFS, SPARSE and ZERO extents. "Virtual Disk Format 5.0" (VMware, 2011), "The Descriptor File".
 */
#include "block/vmdk-internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { SECTOR = 512, MAX_DESC_BYTES = 1 << 20, MAX_EXTENTS = 8192 };
static const char signature[] = "# Disk DescriptorFile";

typedef struct Extent {
    uint64_t start, len;        /* bytes of the disk */
    uint64_t offset;            /* FLAT: where it begins in the file */
    BlockNode *node;            /* NULL: zeros, or not opened */
} Extent;

struct VmdkDesc {
    GArray *extents;            /* of Extent, one after the other */
    bool closed;                /* the extents were not opened */
};

bool vmdk_is_desc(const uint8_t *head, size_t len)
{
    return len >= sizeof(signature) - 1 && !memcmp(head, signature, sizeof(signature) - 1);
}

void vmdk_desc_free(VmdkDesc *d)
{
    if (!d)
        return;
    for (guint i = 0; i < d->extents->len; i++)
        block_unref(g_array_index(d->extents, Extent, i).node);
    g_array_free(d->extents, TRUE);
    g_free(d);
}

/* ---- one line: RW 4192256 SPARSE "disk-s001.vmdk" [OFFSET] ---- */

static bool bad_line(BlockNode *node, const char *line, GError **err)
{
    g_autofree char *clean = g_strescape(line, NULL);
    block_error(err, 0, "Could not open '%s': invalid extent line '%.100s'", node->name, clean);
    return false;
}

static bool open_extent(BlockNode *node, const char *name, bool sparse, Extent *e, GError **err)
{
    BlockNode probe = { .name = node->name, .backing_name = (char *)name };
    g_autofree char *path = block_backing_path(&probe);
    BlockOpenOpts o = { .cache = node->opts.cache, .force_share = node->opts.force_share, .no_lock = node->opts.no_lock };
    BlockNode *file = bn_open_protocol(node->ctx, path, &o, err);
    uint8_t magic[4] = { 0 };
    if (file && sparse && (bn_read(file, 0, magic, 4) < 0 || memcmp(magic, "KDMV", 4))) {
        /* Not another descriptor: they could go round in circles. */
        block_error(err, 0, "Could not open '%s': its extent '%s' is no sparse extent", node->name, path);
    } else if (file) {
        e->node = sparse ? bn_new(node->ctx, &block_format_vmdk, path, block_ref(file), &o, err) : block_ref(file);
    }
    block_unref(file);
    return e->node;
}

static bool extent_line(BlockNode *node, VmdkDesc *d, const char *line, GError **err)
{
    char access[10], type[16], name[1024] = "";
    unsigned long long sectors = 0, offset = 0;
    int n = sscanf(line, "%9s %llu %15s \"%1023[^\"\n]\" %llu", access, &sectors, type, name, &offset);
    bool zero = n >= 3 && !strcmp(type, "ZERO"), sparse = n >= 3 && !strcmp(type, "SPARSE");
    bool flat = n >= 3 && (!strcmp(type, "FLAT") || !strcmp(type, "VMFS"));
    if (n < 3 || (!zero && n < 4) || !sectors || sectors > INT64_MAX / SECTOR || offset > INT64_MAX / SECTOR || (flat && n < 5 && strcmp(type, "VMFS")))
        return bad_line(node, line, err);
    if (!zero && !sparse && !flat) {
        block_error(err, 0, "Could not open '%s': extents of type %s are not supported", node->name, type);
        return false;
    }
    Extent e = { .start = node->length, .len = sectors * SECTOR, .offset = offset * SECTOR };
    if (e.len > INT64_MAX - e.start || d->extents->len == MAX_EXTENTS)
        return bad_line(node, "the disk gets too large", err);
    if (!zero && !d->closed && !open_extent(node, name, sparse, &e, err))
        return false;
    node->length += e.len;
    g_array_append_val(d->extents, e);
    return true;
}

static bool is_extent(const char *line)
{
    return g_str_has_prefix(line, "RW ") || g_str_has_prefix(line, "RDONLY ") || g_str_has_prefix(line, "NOACCESS ");
}

static bool parse(BlockNode *node, VmdkDesc *d, const char *text, GError **err)
{
    g_auto(GStrv) lines = g_strsplit_set(text, "\r\n", -1);
    for (unsigned i = 0; lines[i]; i++) {
        const char *line = g_strstrip(lines[i]);
        if (g_str_has_prefix(line, "parentCID=") && g_ascii_strcasecmp(line + 10, "ffffffff"))
            return ro_bad(node, err, "it depends on another VMDK, which is not supported");
        if (is_extent(line) && !extent_line(node, d, line, err))
            return false;
    }
    return d->extents->len || ro_bad(node, err, "the descriptor names no extents");
}

VmdkDesc *vmdk_desc_open(BlockNode *node, GError **err)
{
    uint64_t size = 0;
    block_file_size(node->file, &size);
    size = MIN(size, MAX_DESC_BYTES);
    g_autofree char *text = g_malloc0(size + 1);
    int r = bn_read(node->file, 0, text, size);
    if (r < 0) {
        block_error(err, r, "Could not read '%s'", node->name);
        return NULL;
    }
    VmdkDesc *d = g_new0(VmdkDesc, 1);
    d->extents = g_array_new(FALSE, FALSE, sizeof(Extent));
    d->closed = node->opts.no_data_file;
    node->length = 0;
    if (parse(node, d, text, err))
        return d;
    vmdk_desc_free(d);
    return NULL;
}

/* ---- reading ---- */

static const Extent *find(const VmdkDesc *d, uint64_t offset)
{
    guint lo = 0, hi = d->extents->len;
    while (hi - lo > 1) {
        guint mid = (lo + hi) / 2;
        if (g_array_index(d->extents, Extent, mid).start <= offset)
            lo = mid;
        else
            hi = mid;
    }
    return &g_array_index(d->extents, Extent, lo);
}

int vmdk_desc_readv(const VmdkDesc *d, uint64_t offset, uint64_t len, BlockIov io)
{
    while (len) {
        const Extent *e = find(d, offset);
        uint64_t in = offset - e->start, n = in < e->len ? MIN(len, e->len - in) : len;
        if (d->closed)
            return -ENOTSUP;    /* opened only to be described */
        int r = 0;
        if (e->node && in < e->len)
            r = bn_readv(e->node, e->offset + in, n, io);
        else
            biov_zero(io, n);
        if (r < 0)
            return r;
        offset += n;
        len -= n;
        io = biov_advance(io, n);
    }
    return 0;
}

int vmdk_desc_status(const VmdkDesc *d, uint64_t offset, uint64_t len, BlockStatus *ret_status)
{
    const Extent *e = find(d, offset);
    uint64_t in = offset - e->start, n = MIN(len, e->len - in);
    if (d->closed)
        return -ENOTSUP;
    *ret_status = (BlockStatus){ .len = n, .flags = BLOCK_ST_ZERO | BLOCK_ST_ALLOCATED };
    if (!e->node || e->offset + in >= e->node->length)
        return 0;
    int r = block_status(e->node, e->offset + in, n, ret_status);
    ret_status->flags &= ~(unsigned)BLOCK_ST_EOF;
    return r;
}
