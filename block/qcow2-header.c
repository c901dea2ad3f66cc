/* The qcow2 header and its extensions (the spec, "Header" and "Header extensions"). */
#include "block/qcow2-internal.h"

#include <errno.h>
#include <string.h>

static const struct { uint8_t kind, bit; char name[46]; } feature_names[] = {
    { 0, 0, "dirty bit" }, { 0, 1, "corrupt bit" }, { 0, 2, "external data file" }, { 0, 3, "compression type" },
    { 0, 4, "extended L2 entries" }, { 1, 0, "lazy refcounts" }, { 2, 0, "bitmaps" }, { 2, 1, "raw external data" },
};

void q_extensions_free(GArray *extensions)
{
    for (guint i = 0; extensions && i < extensions->len; i++)
        g_free(g_array_index(extensions, Qcow2Extension, i).data);
    if (extensions)
        g_array_free(extensions, TRUE);
}

void q_extension_set(Qcow2 *s, uint32_t type, const void *data, uint32_t len)
{
    for (guint i = 0; i < s->extensions->len; i++) {
        Qcow2Extension *e = &g_array_index(s->extensions, Qcow2Extension, i);
        if (e->type != type)
            continue;
        g_free(e->data);
        if (data)
            *e = (Qcow2Extension){ type, len, g_memdup2(data, len) };
        else
            g_array_remove_index(s->extensions, i);
        return;
    }
    if (!data)
        return;
    Qcow2Extension e = { type, len, g_memdup2(data, len) };
    g_array_append_val(s->extensions, e);
}

void q_geometry(Qcow2 *s)
{
    const Qcow2Header *h = &s->h;
    s->cluster_bits = h->cluster_bits;
    s->cluster_size = 1u << h->cluster_bits;
    s->extended = h->incompatible_features & Q_INCOMPAT_EXTENDED_L2;
    s->external = h->incompatible_features & Q_INCOMPAT_DATA_FILE;
    s->raw_external = s->external && (h->autoclear_features & Q_AUTOCLEAR_RAW_DATA);
    s->lazy = h->compatible_features & Q_COMPAT_LAZY_REFCOUNTS;
    s->l2_entry_size = s->extended ? 16 : 8;
    s->l2_bits = h->cluster_bits - (s->extended ? 4 : 3);
    s->subclusters = s->extended ? 32 : 1;
    s->subcluster_size = s->cluster_size / s->subclusters;
    s->refblock_bits = h->cluster_bits + 3 - h->refcount_order;
    s->refcount_max = h->refcount_order == 6 ? UINT64_MAX : (1ull << (1u << h->refcount_order)) - 1;
}

static void header_decode(Qcow2Header *h, const uint8_t *p)
{
    *h = (Qcow2Header){
        .version = be32_at(p + 4), .backing_file_offset = be64_at(p + 8), .backing_file_size = be32_at(p + 16),
        .cluster_bits = be32_at(p + 20), .size = be64_at(p + 24), .crypt_method = be32_at(p + 32), .l1_size = be32_at(p + 36),
        .l1_table_offset = be64_at(p + 40), .refcount_table_offset = be64_at(p + 48),
        .refcount_table_clusters = be32_at(p + 56), .nb_snapshots = be32_at(p + 60), .snapshots_offset = be64_at(p + 64),
        .refcount_order = 4, .header_length = Q_HEADER_V2,
    };
    if (h->version < 3)
        return;
    h->incompatible_features = be64_at(p + 72);
    h->compatible_features = be64_at(p + 80);
    h->autoclear_features = be64_at(p + 88);
    h->refcount_order = be32_at(p + 96);
    h->header_length = be32_at(p + 100);
    h->compression_type = h->header_length > 104 ? p[104] : 0;
}

static uint32_t header_fixed(const Qcow2Header *h, uint8_t *p)
{
    be32_put(p, QCOW2_MAGIC);
    be32_put(p + 4, h->version);
    be64_put(p + 8, h->backing_file_offset);
    be32_put(p + 16, h->backing_file_size);
    be32_put(p + 20, h->cluster_bits);
    be64_put(p + 24, h->size);
    be32_put(p + 32, h->crypt_method);
    be32_put(p + 36, h->l1_size);
    be64_put(p + 40, h->l1_table_offset);
    be64_put(p + 48, h->refcount_table_offset);
    be32_put(p + 56, h->refcount_table_clusters);
    be32_put(p + 60, h->nb_snapshots);
    be64_put(p + 64, h->snapshots_offset);
    if (h->version < 3)
        return Q_HEADER_V2;
    be64_put(p + 72, h->incompatible_features);
    be64_put(p + 80, h->compatible_features);
    be64_put(p + 88, h->autoclear_features);
    be32_put(p + 96, h->refcount_order);
    be32_put(p + 100, h->header_length);
    return Q_HEADER_V3;
}

int q_header_write(Qcow2 *s)
{
    uint8_t buf[Q_HEADER_OURS] = { 0 };
    return bn_write(s->file, 0, buf, header_fixed(&s->h, buf));
}

static bool put_extension(uint8_t *cluster, uint32_t size, uint32_t *pos, uint32_t type, const void *data, uint32_t len)
{
    uint32_t padded = (len + 7) & ~7u;
    if (padded < len || size - *pos < 8 || size - *pos - 8 < padded)
        return false;
    be32_put(cluster + *pos, type);
    be32_put(cluster + *pos + 4, len);
    if (len)
        memcpy(cluster + *pos + 8, data, len);
    *pos += 8 + padded;
    return true;
}

static bool put_features(uint8_t *cluster, uint32_t size, uint32_t *pos)
{
    uint8_t table[G_N_ELEMENTS(feature_names) * 48] = { 0 };
    for (unsigned i = 0; i < G_N_ELEMENTS(feature_names); i++) {
        table[i * 48] = feature_names[i].kind;
        table[i * 48 + 1] = feature_names[i].bit;
        memcpy(table + i * 48 + 2, feature_names[i].name, 46);
    }
    return put_extension(cluster, size, pos, Q_EXT_FEATURES, table, sizeof(table));
}

uint32_t q_header_encode(const Qcow2 *s, const char *backing, uint8_t *cluster)
{
    uint32_t size = s->cluster_size, backing_len = backing ? (uint32_t)strlen(backing) : 0;
    Qcow2Header h = s->h;
    memset(cluster, 0, size);
    if (h.version >= 3) {
        h.header_length = MAX(h.header_length, Q_HEADER_OURS);
        cluster[104] = h.compression_type;
    }
    uint32_t pos = h.header_length;
    bool ok = true;
    for (guint i = 0; ok && i < s->extensions->len; i++) {
        const Qcow2Extension *e = &g_array_index(s->extensions, Qcow2Extension, i);
        if (e->type != Q_EXT_FEATURES)
            ok = put_extension(cluster, size, &pos, e->type, e->data, e->len);
    }
    /* The names are a courtesy: small clusters that need the room for something else go without them. */
    if (ok && h.version >= 3 && size - pos > sizeof(feature_names) + 8 + 8 + backing_len)
        put_features(cluster, size, &pos);
    ok = ok && put_extension(cluster, size, &pos, Q_EXT_END, NULL, 0) && size - pos >= backing_len;
    if (!ok)
        return 0;
    h.backing_file_offset = backing_len ? pos : 0;
    h.backing_file_size = backing_len;
    if (backing_len)
        memcpy(cluster + pos, backing, backing_len);
    header_fixed(&h, cluster);
    return pos + backing_len;
}

bool q_header_rewrite(Qcow2 *s, GError **err)
{
    g_autofree uint8_t *cluster = g_malloc0(s->cluster_size);
    if (!q_header_encode(s, s->node->backing_name, cluster)) {
        block_error(err, 0, "the names and extensions of '%s' do not fit into its header of %u bytes", s->node->name, s->cluster_size);
        return false;
    }
    int r = bn_write(s->file, 0, cluster, s->cluster_size);
    if (r < 0) {
        block_error(err, r, "cannot write the header of '%s'", s->node->name);
        return false;
    }
    header_decode(&s->h, cluster);
    return true;
}

int q_corrupt(Qcow2 *s, const char *what, uint64_t offset)
{
    if (s->corrupt)
        return -EIO;
    s->corrupt = true;
    /* Version 2 has no such bit: then it is remembered for as long as the image is open. */
    if (s->can_write && s->h.version >= 3 && !s->node->opts.repair) {
        s->h.incompatible_features |= Q_INCOMPAT_CORRUPT;
        q_header_write(s);
        bn_flush(s->file);
    }
    return -EIO;
}

/* ---- reading ---- */

static bool bad(Qcow2 *s, GError **err, const char *what)
{
    block_error(err, 0, "Could not open '%s': %s", s->node->name, what);
    return false;
}

static bool unknown_features(Qcow2 *s, uint64_t bits, GError **err)
{
    g_autoptr(GString) names = g_string_new(NULL);
    for (guint i = 0; i < s->extensions->len; i++) {
        const Qcow2Extension *e = &g_array_index(s->extensions, Qcow2Extension, i);
        for (uint32_t o = 0; e->type == Q_EXT_FEATURES && o + 48 <= e->len; o += 48) {
            const uint8_t *f = e->data + o;
            if (f[0] != 0 || f[1] > 63 || !(bits >> f[1] & 1))
                continue;
            bits &= ~(1ull << f[1]);
            g_autofree char *name = g_strndup((const char *)f + 2, 46);
            g_autofree char *clean = g_strescape(name, NULL);
            g_string_append_printf(names, "%s%s", names->len ? ", " : "", clean);
        }
    }
    if (bits)
        g_string_append_printf(names, "%sUnknown incompatible feature: %" PRIx64, names->len ? ", " : "", bits);
    block_error(err, 0, "Could not open '%s': Unsupported qcow2 feature(s): %s; a newer program made it", s->node->name, names->str);
    return false;
}

static bool read_extensions(Qcow2 *s, const uint8_t *p, uint32_t size, GError **err)
{
    uint32_t pos = s->h.header_length;
    uint64_t limit = s->h.backing_file_offset ? MIN(s->h.backing_file_offset, size) : size;
    while (pos + 8 <= limit) {
        uint32_t type = be32_at(p + pos), len = be32_at(p + pos + 4);
        pos += 8;
        if (type == Q_EXT_END)
            break;
        if (len > limit - pos)
            return bad(s, err, "a header extension is longer than the header");
        /* Twice the same: the first counts. */
        bool have = false;
        for (guint i = 0; i < s->extensions->len; i++)
            have |= g_array_index(s->extensions, Qcow2Extension, i).type == type;
        if (!have)
            q_extension_set(s, type, p + pos, len);
        pos = (uint32_t)MIN(limit, (uint64_t)pos + ((len + 7ull) & ~7ull));
    }
    return true;
}

static bool check_features(Qcow2 *s, GError **err)
{
    const Qcow2Header *h = &s->h;
    if (h->incompatible_features & ~(uint64_t)Q_INCOMPAT_KNOWN)
        return unknown_features(s, h->incompatible_features & ~(uint64_t)Q_INCOMPAT_KNOWN, err);
    /* Its metadata may be looked at, no more: qcow2_readv refuses. */
    bool look_only = s->node->opts.no_data_file && !s->node->opts.writable && h->crypt_method <= 2;
    if (h->crypt_method == 2 && !look_only)
        return bad(s, err, "it is encrypted (LUKS), which is not supported; decrypt it with 'qemu-img convert'");
    if (h->crypt_method && !look_only)
        return bad(s, err, h->crypt_method == 1 ? "it is encrypted (AES), which is not supported; decrypt it with 'qemu-img convert'"
                                                : "unknown encryption method");
    if (!(h->incompatible_features & Q_INCOMPAT_COMPRESSION) != !h->compression_type)
        return bad(s, err, "the compression type and its feature bit contradict each other");
    if (h->compression_type > Q_COMPRESS_ZSTD)
        return bad(s, err, "unknown compression type");
    if (s->extended && h->cluster_bits < 14)
        return bad(s, err, "extended L2 entries need clusters of at least 16 KiB");
    if (s->raw_external && h->backing_file_offset)
        return bad(s, err, "a raw external data file and a backing file exclude each other");
    if (s->external && h->nb_snapshots)
        return bad(s, err, "an external data file and internal snapshots exclude each other");
    return true;
}

static bool check_place(Qcow2 *s, uint64_t offset, uint64_t bytes, GError **err, const char *what)
{
    /* All tables must lie where the file has bytes, behind the header. A file padded to less than a cluster is fine. */
    if (offset & (s->cluster_size - 1) || offset < s->cluster_size || offset > Q_OFFSET_MASK || bytes > s->file_end ||
        offset > s->file_end - bytes) {
        block_error(err, 0, "Could not open '%s': the %s lies at an impossible place (0x%" PRIx64 "); 'check -r all' on a copy may help",
                    s->node->name, what, offset);
        return false;
    }
    return true;
}

static bool check_tables(Qcow2 *s, GError **err)
{
    const Qcow2Header *h = &s->h;
    uint64_t l1_bytes = (uint64_t)h->l1_size * 8, covered = 1ull << (s->cluster_bits + s->l2_bits);
    uint64_t l1_needed = h->size / covered + !!(h->size % covered);
    if (h->size > INT64_MAX)
        return bad(s, err, "its size is larger than 2^63 bytes");
    if (l1_bytes > Q_MAX_L1_BYTES)
        return bad(s, err, "Active L1 table too large");
    if (h->l1_size < l1_needed)
        return bad(s, err, "L1 table is too small");
    if (h->l1_size && !check_place(s, h->l1_table_offset, l1_bytes, err, "L1 table"))
        return false;
    if ((uint64_t)h->refcount_table_clusters << s->cluster_bits > Q_MAX_REFTABLE_BYTES)
        return bad(s, err, "Image does not contain a reference count table, or one that is too large");
    if (!h->refcount_table_clusters && !s->node->opts.repair)
        return bad(s, err, "Image does not contain a reference count table");
    if (!check_place(s, h->refcount_table_offset, (uint64_t)h->refcount_table_clusters << s->cluster_bits, err, "refcount table"))
        return false;
    if (h->nb_snapshots > Q_MAX_SNAPSHOTS)
        return bad(s, err, "Snapshot table too large");
    if (h->nb_snapshots && !check_place(s, h->snapshots_offset, 40ull * h->nb_snapshots, err, "snapshot table"))
        return false;
    return true;
}

static bool read_backing_name(Qcow2 *s, GError **err)
{
    BlockNode *node = s->node;
    const Qcow2Header *h = &s->h;
    if (!h->backing_file_offset)
        return true;
    if (h->backing_file_size > Q_MAX_NAME || h->backing_file_offset < h->header_length ||
        h->backing_file_offset > s->cluster_size - h->backing_file_size)
        return bad(s, err, "Backing file name too long, or not in the first cluster");
    if (!h->backing_file_size)
        return true;
    node->backing_name = g_malloc0(h->backing_file_size + 1);
    int r = bn_read(s->file, h->backing_file_offset, node->backing_name, h->backing_file_size);
    if (r < 0 || strlen(node->backing_name) != h->backing_file_size)
        return bad(s, err, "Could not read the backing file name");
    for (guint i = 0; i < s->extensions->len; i++) {
        const Qcow2Extension *e = &g_array_index(s->extensions, Qcow2Extension, i);
        if (e->type == Q_EXT_BACKING_FORMAT && e->len && e->len < 64)
            node->backing_format = g_strndup((const char *)e->data, e->len);
    }
    return true;
}

static bool read_first(Qcow2 *s, GError **err)
{
    uint8_t first[Q_HEADER_OURS] = { 0 };
    int r = bn_read(s->file, 0, first, sizeof(first));
    if (r < 0) {
        block_error(err, r, "Could not read the header of '%s'", s->node->name);
        return false;
    }
    if (be32_at(first) != QCOW2_MAGIC)
        return bad(s, err, "Image is not in qcow2 format");
    header_decode(&s->h, first);
    if (s->h.version < 2 || s->h.version > 3) {
        block_error(err, 0, "Could not open '%s': Unsupported qcow2 version %u", s->node->name, s->h.version);
        return false;
    }
    if (s->h.cluster_bits < Q_MIN_CLUSTER_BITS || s->h.cluster_bits > Q_MAX_CLUSTER_BITS)
        return bad(s, err, "Unsupported cluster size: 2^9 to 2^21 bytes are possible");
    if (s->h.refcount_order > 6)
        return bad(s, err, "Reference count entry width too large; may not exceed 64 bits");
    if (s->h.version >= 3 && (s->h.header_length < Q_HEADER_V3 || (s->h.header_length & 7) ||
                              s->h.header_length > 1u << s->h.cluster_bits))
        return bad(s, err, "qcow2 header too short or exceeds cluster size");
    return true;
}

bool q_header_read(Qcow2 *s, GError **err)
{
    if (!read_first(s, err))
        return false;
    q_geometry(s);
    g_autofree uint8_t *cluster = g_malloc(s->cluster_size);
    int r = bn_read(s->file, 0, cluster, s->cluster_size);
    if (r < 0) {
        block_error(err, r, "Could not read the header of '%s'", s->node->name);
        return false;
    }
    if (!read_extensions(s, cluster, s->cluster_size, err) || !check_features(s, err))
        return false;
    q_geometry(s);
    return check_tables(s, err) && read_backing_name(s, err);
}
