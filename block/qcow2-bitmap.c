/*
 * Persistent dirty bitmaps (the spec, "Bitmaps"). Those with the auto flag follow every write of ours: their bits are
 * read before the first change, marked in use on disk meanwhile, and written to new clusters at the close. After a crash
 * they are in use for ever: inconsistent, as the spec has it. All others stay as they are.
 */
#include "block/qcow2-internal.h"

#include <errno.h>
#include <string.h>

enum { ENTRY_FIXED = 24, MAX_BITS_BYTES = 512 << 20 };

void q_bitmap_free(void *bitmap)
{
    Qcow2Bitmap *b = bitmap;
    g_free(b->name);
    g_free(b->extra);
    g_free(b->bits);
    g_free(b);
}

static uint64_t bits_bytes(const Qcow2 *s, const Qcow2Bitmap *b)
{
    uint64_t granularity = 1ull << b->granularity_bits, n = s->h.size / granularity + !!(s->h.size % granularity);
    return n / 8 + !!(n % 8);
}

/* ---- the directory ---- */

static Qcow2Bitmap *parse_entry(Qcow2 *s, const uint8_t *p, uint64_t left, uint64_t *ret_len)
{
    if (left < ENTRY_FIXED)
        return NULL;
    uint32_t name_len = p[18] << 8 | p[19], extra = be32_at(p + 20);
    uint64_t len = ENTRY_FIXED + (uint64_t)name_len + extra;
    if (!name_len || name_len > Q_MAX_NAME || extra > 1 << 20 || len > left || p[17] > 31 || p[17] < 9)
        return NULL;
    Qcow2Bitmap *b = g_new0(Qcow2Bitmap, 1);
    *b = (Qcow2Bitmap){ .table_offset = be64_at(p), .table_size = be32_at(p + 8), .flags = be32_at(p + 12), .type = p[16],
                        .granularity_bits = p[17], .extra_size = extra, .extra = g_memdup2(p + ENTRY_FIXED, extra),
                        .name = g_strndup((const char *)p + ENTRY_FIXED + extra, name_len) };
    *ret_len = (len + 7) & ~7ull;
    return b;
}

static const Qcow2Extension *extension(const Qcow2 *s)
{
    for (guint i = 0; i < s->extensions->len; i++) {
        const Qcow2Extension *e = &g_array_index(s->extensions, Qcow2Extension, i);
        if (e->type == Q_EXT_BITMAPS)
            return e;
    }
    return NULL;
}

bool q_bitmaps_read(Qcow2 *s, GError **err)
{
    const Qcow2Extension *e = extension(s);
    if (!e || !(s->h.autoclear_features & Q_AUTOCLEAR_BITMAPS))
        return true;            /* none, or what is there means nothing any more */
    uint64_t n = e->len >= 24 ? be32_at(e->data) : 0, size = e->len >= 24 ? be64_at(e->data + 8) : 0;
    uint64_t offset = e->len >= 24 ? be64_at(e->data + 16) : 0, pos = 0, len;
    bool ok = n && n <= Q_MAX_BITMAPS && size <= Q_MAX_BITMAP_DIRECTORY && !(offset & (s->cluster_size - 1)) && offset >= s->cluster_size &&
              offset < s->file_end && size <= s->file_end - offset;
    g_autofree uint8_t *dir = ok ? g_try_malloc(MAX(size, 1)) : NULL;
    ok = dir && bn_read(s->file, offset, dir, size) == 0;
    for (uint64_t i = 0; ok && i < n; i++) {
        Qcow2Bitmap *b = pos < size ? parse_entry(s, dir + pos, size - pos, &len) : NULL;
        ok = b != NULL;
        if (b)
            g_ptr_array_add(s->bitmaps, b);
        pos += ok ? len : 0;
    }
    if (ok || s->node->opts.repair)
        return true;
    block_error(err, 0, "Could not open '%s': the bitmap directory is damaged; 'check -r all' on a copy may help", s->node->name);
    return false;
}

static GByteArray *encode_directory(const Qcow2 *s)
{
    GByteArray *out = g_byte_array_new();
    static const uint8_t zeros[8];
    for (guint i = 0; i < s->bitmaps->len; i++) {
        const Qcow2Bitmap *b = g_ptr_array_index(s->bitmaps, i);
        uint8_t p[ENTRY_FIXED] = { 0 };
        size_t name_len = strlen(b->name);
        be64_put(p, b->table_offset);
        be32_put(p + 8, b->table_size);
        be32_put(p + 12, b->flags);
        p[16] = b->type;
        p[17] = b->granularity_bits;
        p[18] = (uint8_t)(name_len >> 8);
        p[19] = (uint8_t)name_len;
        be32_put(p + 20, b->extra_size);
        g_byte_array_append(out, p, sizeof(p));
        g_byte_array_append(out, b->extra, b->extra_size);
        g_byte_array_append(out, (const uint8_t *)b->name, (guint)name_len);
        g_byte_array_append(out, zeros, -out->len & 7);
    }
    return out;
}

static int alloc_retry(Qcow2 *s, uint64_t clusters, uint64_t *ret_offset)
{
    uint64_t n;
    int r;
    do
        r = q_alloc(s, clusters, true, ret_offset, &n);
    while (r == -EAGAIN && (r = q_reftable_grow(s, ((uint64_t)s->reftable_entries << s->refblock_bits) + 2 * clusters + 64)) == 0);
    return r;
}

/* A new directory elsewhere, everything it refers to on disk; then the header; then the old one is free. */
static int switch_directory(Qcow2 *s)
{
    const Qcow2Extension *e = extension(s);
    uint64_t old_offset = e && e->len >= 24 ? be64_at(e->data + 16) : 0, old_size = e && e->len >= 24 ? be64_at(e->data + 8) : 0, place = 0;
    GByteArray *dir = encode_directory(s);
    int r = dir->len ? alloc_retry(s, q_clusters(s, dir->len), &place) : 0;
    if (r == 0 && dir->len)
        r = bn_write(s->file, place, dir->data, dir->len);
    r = r < 0 ? r : q_commit(s);
    if (r == 0) {
        uint8_t x[24] = { 0 };
        be32_put(x, s->bitmaps->len);
        be64_put(x + 8, dir->len);
        be64_put(x + 16, place);
        q_extension_set(s, Q_EXT_BITMAPS, dir->len ? x : NULL, sizeof(x));
        s->h.autoclear_features &= ~(uint64_t)Q_AUTOCLEAR_BITMAPS;
        s->h.autoclear_features |= dir->len ? Q_AUTOCLEAR_BITMAPS : 0;
        r = q_header_rewrite(s, NULL) ? bn_flush(s->file) : -EIO;
    }
    if (r == 0 && old_size)
        q_free_later(s, old_offset, q_clusters(s, old_size), false);
    g_byte_array_free(dir, TRUE);
    return r;
}

/* ---- bits ---- */

static int read_table(Qcow2 *s, const Qcow2Bitmap *b, uint8_t **ret_table)
{
    uint64_t bytes = b->table_size * 8ull;
    *ret_table = NULL;
    if (!bytes)
        return 0;
    if (bytes > MAX_BITS_BYTES || (b->table_offset & (s->cluster_size - 1)) || b->table_offset >= s->file_end || !b->table_offset)
        return q_corrupt(s, "a bitmap's table lies outside the file", b->table_offset);
    *ret_table = g_try_malloc(bytes);
    int r = *ret_table ? bn_read(s->file, b->table_offset, *ret_table, bytes) : -ENOMEM;
    if (r < 0)
        g_clear_pointer(ret_table, g_free);
    return r;
}

static int load_bits(Qcow2 *s, Qcow2Bitmap *b)
{
    uint64_t bytes = bits_bytes(s, b);
    g_autofree uint8_t *table = NULL;
    if (bytes > MAX_BITS_BYTES || q_clusters(s, bytes) > b->table_size)
        return -EFBIG;
    int r = read_table(s, b, &table);
    if (r < 0)
        return r;
    b->bits = g_try_malloc0(MAX(bytes, 1));
    if (!b->bits)
        return -ENOMEM;
    for (uint64_t i = 0, pos = 0; r == 0 && pos < bytes; i++, pos += s->cluster_size) {
        uint64_t entry = be64_at(table + i * 8), offset = entry & Q_OFFSET_MASK, n = MIN(s->cluster_size, bytes - pos);
        if (!offset)
            memset(b->bits + pos, entry & 1 ? 0xff : 0, n);
        else if ((offset & (s->cluster_size - 1)) || offset >= s->file_end)
            r = q_corrupt(s, "a bitmap's data lies outside the file", offset);
        else
            r = bn_read(s->file, offset, b->bits + pos, n);
    }
    if (r < 0)
        g_clear_pointer(&b->bits, g_free);
    return r;
}

static int free_stored(Qcow2 *s, Qcow2Bitmap *b)
{
    uint8_t *table;
    int r = read_table(s, b, &table);
    for (uint64_t i = 0; r == 0 && i < b->table_size; i++) {
        uint64_t offset = be64_at(table + i * 8) & Q_OFFSET_MASK;
        if (offset && !(offset & (s->cluster_size - 1)))
            q_free_later(s, offset, 1, false);
    }
    if (r == 0 && b->table_size)
        q_free_later(s, b->table_offset, q_clusters(s, b->table_size * 8ull), false);
    g_free(table);
    return r;
}

/* New clusters and a new table; the old ones become free once the directory has switched. */
static int store_bits(Qcow2 *s, Qcow2Bitmap *b)
{
    uint64_t bytes = bits_bytes(s, b), clusters = q_clusters(s, bytes), place;
    g_autofree uint8_t *table = g_try_malloc0(MAX(clusters, 1) * 8), *cluster = g_try_malloc0(s->cluster_size);
    int r = table && cluster ? 0 : -ENOMEM;
    for (uint64_t i = 0, pos = 0; r == 0 && i < clusters; i++, pos += s->cluster_size) {
        uint64_t n = MIN(s->cluster_size, bytes - pos);
        if (buf_is_zero(b->bits + pos, n))
            continue;
        r = alloc_retry(s, 1, &place);
        if (r < 0)
            break;
        memset(cluster, 0, s->cluster_size);
        memcpy(cluster, b->bits + pos, n);
        be64_put(table + i * 8, place);
        r = bn_write(s->file, place, cluster, s->cluster_size);
    }
    if (r == 0 && clusters)
        r = alloc_retry(s, q_clusters(s, clusters * 8), &place);
    r = r < 0 || !clusters ? r : bn_write(s->file, place, table, clusters * 8);
    r = r < 0 ? r : free_stored(s, b);
    if (r == 0) {
        b->table_offset = clusters ? place : 0;
        b->table_size = (uint32_t)clusters;
    }
    return r;
}

static void set_bits(const Qcow2 *s, Qcow2Bitmap *b, uint64_t offset, uint64_t len)
{
    uint64_t last = MIN((offset + len - 1) >> b->granularity_bits, bits_bytes(s, b) * 8 - 1);
    for (uint64_t k = offset >> b->granularity_bits; k <= last; k++)
        b->bits[k >> 3] |= (uint8_t)(1 << (k & 7));
}

void q_bitmaps_mark(Qcow2 *s, uint64_t offset, uint64_t len)
{
    for (guint i = 0; s->bitmaps_tracked && len && i < s->bitmaps->len; i++) {
        Qcow2Bitmap *b = g_ptr_array_index(s->bitmaps, i);
        if (b->bits)
            set_bits(s, b, offset, len);
    }
}

/* Before the first change: the bits into memory, and "in use" on disk. */
int q_bitmaps_begin(Qcow2 *s)
{
    bool any = false;
    int r = 0;
    if (s->bitmaps_tracked)
        return 0;
    for (guint i = 0; r == 0 && i < s->bitmaps->len; i++) {
        Qcow2Bitmap *b = g_ptr_array_index(s->bitmaps, i);
        if (!(b->flags & Q_BITMAP_AUTO) || (b->flags & Q_BITMAP_IN_USE) || b->type != 1 || b->bits)
            continue;
        r = load_bits(s, b);
        if (r == 0)
            b->flags |= Q_BITMAP_IN_USE;
        any |= r == 0;
    }
    r = r < 0 || !any ? r : switch_directory(s);
    s->bitmaps_tracked = any && r == 0;
    return r;
}

/* At the close: back to disk, not in use any more. */
int q_bitmaps_end(Qcow2 *s)
{
    int r = 0;
    if (!s->bitmaps_tracked)
        return 0;
    for (guint i = 0; r == 0 && i < s->bitmaps->len; i++) {
        Qcow2Bitmap *b = g_ptr_array_index(s->bitmaps, i);
        if (!b->bits)
            continue;
        r = store_bits(s, b);
        b->flags &= ~(uint32_t)(r < 0 ? 0 : Q_BITMAP_IN_USE);
        g_clear_pointer(&b->bits, g_free);
    }
    r = r < 0 ? r : switch_directory(s);
    s->bitmaps_tracked = false;
    return r < 0 ? r : q_commit(s);
}

/* ---- resizing ---- */

int q_bitmaps_resize_begin(Qcow2 *s, GError **err)
{
    if (!s->bitmaps->len)
        return 0;
    for (guint i = 0; i < s->bitmaps->len; i++) {
        const Qcow2Bitmap *b = g_ptr_array_index(s->bitmaps, i);
        if (b->type != 1 || ((b->flags & Q_BITMAP_IN_USE) && !b->bits)) {
            block_error(err, 0, "Bitmap '%s' of '%s' is inconsistent and cannot be resized; remove it first", b->name, s->node->name);
            return -ENOTSUP;
        }
    }
    /* Not followed any more from here on: the resize itself is nothing that a bitmap records. */
    int r = q_prepare(s, 0);
    r = r < 0 ? r : s->bitmaps_tracked ? q_bitmaps_end(s) : q_commit(s);
    for (guint i = 0; r == 0 && i < s->bitmaps->len; i++) {
        Qcow2Bitmap *b = g_ptr_array_index(s->bitmaps, i);
        r = load_bits(s, b);
        b->flags |= r == 0 ? Q_BITMAP_IN_USE : 0;
    }
    return r < 0 ? r : switch_directory(s);
}

static bool resize_bits(Qcow2 *s, Qcow2Bitmap *b, uint64_t old_length)
{
    uint64_t granularity = 1ull << b->granularity_bits, bytes = bits_bytes(s, b);
    uint64_t old_bits = old_length / granularity + !!(old_length % granularity), bits = s->h.size / granularity + !!(s->h.size % granularity);
    uint64_t old_bytes = old_bits / 8 + !!(old_bits % 8);
    uint8_t *p = bytes <= MAX_BITS_BYTES ? g_try_malloc0(MAX(bytes, 1)) : NULL;
    if (!p)
        return false;
    memcpy(p, b->bits, MIN(old_bytes, bytes));
    /* Beyond the shorter of the two nothing is marked. */
    for (uint64_t k = MIN(old_bits, bits); k < bytes * 8 && k < MIN(old_bytes, bytes) * 8; k++)
        p[k >> 3] &= (uint8_t)~(1 << (k & 7));
    g_free(b->bits);
    b->bits = p;
    return true;
}

int q_bitmaps_resize_end(Qcow2 *s, uint64_t old_length)
{
    int r = 0;
    if (!s->bitmaps->len)
        return 0;
    for (guint i = 0; i < s->bitmaps->len; i++) {
        Qcow2Bitmap *b = g_ptr_array_index(s->bitmaps, i);
        if (!b->bits)
            continue;
        r = r < 0 || (s->h.size != old_length && !resize_bits(s, b, old_length)) ? (r < 0 ? r : -ENOMEM) : store_bits(s, b);
        b->flags &= ~(uint32_t)(r < 0 ? 0 : Q_BITMAP_IN_USE);
        g_clear_pointer(&b->bits, g_free);
    }
    s->autoclear_pending = true;
    r = r < 0 ? r : switch_directory(s);
    return r < 0 ? r : q_commit(s);
}

/* ---- what the image tool asks for ---- */

static int find_bitmap(const Qcow2 *s, const char *name)
{
    for (guint i = 0; i < s->bitmaps->len; i++)
        if (!strcmp(((const Qcow2Bitmap *)g_ptr_array_index(s->bitmaps, i))->name, name))
            return (int)i;
    return -1;
}

static bool bitmap_add(Qcow2 *s, const char *name, uint64_t granularity, GError **err)
{
    size_t len = strlen(name);
    if (s->h.version < 3) {
        block_error(err, 0, "Cannot store dirty bitmaps in qcow2 v2 files; 'amend -o compat=1.1' first");
        return false;
    }
    if (!len || len > Q_MAX_NAME || find_bitmap(s, name) >= 0) {
        block_error(err, 0, len && len <= Q_MAX_NAME ? "Bitmap already exists: %s" : "a bitmap's name has 1 to 1023 bytes: %s", name);
        return false;
    }
    granularity = granularity ? granularity : CLAMP(s->cluster_size, 4096, 65536);
    if ((granularity & (granularity - 1)) || granularity < 512 || granularity > 1u << 31) {
        block_error(err, 0, "Granularity must be a power of two from 512 bytes to 2 GiB");
        return false;
    }
    Qcow2Bitmap *b = g_new0(Qcow2Bitmap, 1);
    *b = (Qcow2Bitmap){ .name = g_strdup(name), .flags = Q_BITMAP_AUTO, .type = 1, .granularity_bits = (uint8_t)__builtin_ctzll(granularity) };
    b->bits = g_try_malloc0(MAX(bits_bytes(s, b), 1));
    g_ptr_array_add(s->bitmaps, b);
    int r = b->bits && bits_bytes(s, b) <= MAX_BITS_BYTES ? store_bits(s, b) : -EFBIG;
    g_clear_pointer(&b->bits, g_free);
    if (r == 0)
        return true;
    g_ptr_array_remove_index(s->bitmaps, s->bitmaps->len - 1);
    block_error(err, r, "cannot add the bitmap");
    return false;
}

static bool bitmap_change(Qcow2 *s, BlockBitmapOp op, const char *name, GError **err)
{
    int i = find_bitmap(s, name), r = 0;
    Qcow2Bitmap *b = i >= 0 ? g_ptr_array_index(s->bitmaps, (guint)i) : NULL;
    if (!b || ((b->flags & Q_BITMAP_IN_USE) && op != BLOCK_BITMAP_REMOVE)) {
        block_error(err, 0, b ? "Bitmap '%s' is inconsistent and cannot be used; remove it" : "Bitmap '%s' not found", name);
        return false;
    }
    if (op == BLOCK_BITMAP_ENABLE) {
        b->flags |= Q_BITMAP_AUTO;
    } else if (op == BLOCK_BITMAP_DISABLE) {
        b->flags &= ~(uint32_t)Q_BITMAP_AUTO;
    } else if (op == BLOCK_BITMAP_CLEAR) {
        b->bits = g_try_malloc0(MAX(bits_bytes(s, b), 1));
        r = b->bits ? store_bits(s, b) : -ENOMEM;
        g_clear_pointer(&b->bits, g_free);
    } else {
        r = free_stored(s, b);
        g_ptr_array_remove_index(s->bitmaps, (guint)i);
    }
    if (r < 0)
        block_error(err, r, "cannot change the bitmap");
    return r == 0;
}

bool qcow2_bitmap(BlockNode *node, BlockBitmapOp op, const char *name, uint64_t granularity, GError **err)
{
    Qcow2 *s = node->state;
    g_mutex_lock(&s->lock);
    int r = s->bitmaps_tracked ? q_bitmaps_end(s) : q_commit(s);
    bool ok = r == 0 && (op == BLOCK_BITMAP_ADD ? bitmap_add(s, name, granularity, err) : bitmap_change(s, op, name, err));
    if (ok)
        r = switch_directory(s);
    r = ok && r == 0 ? q_commit(s) : r;
    s->autoclear_pending = s->bitmaps->len > 0;
    g_mutex_unlock(&s->lock);
    if (r < 0)
        block_error(err, r, "cannot write '%s'", node->name);
    return ok && r == 0;
}

/* A copy of a consistent bitmap's bits, and how it is made. */
static uint8_t *copy_bits(BlockNode *node, const char *name, Qcow2Bitmap *ret, GError **err)
{
    Qcow2 *s = node->state;
    uint8_t *bits = NULL;
    g_mutex_lock(&s->lock);
    int i = find_bitmap(s, name);
    Qcow2Bitmap *b = i >= 0 ? g_ptr_array_index(s->bitmaps, (guint)i) : NULL;
    bool broken = b && (b->type != 1 || ((b->flags & Q_BITMAP_IN_USE) && !b->bits));
    if (b && !broken) {
        bool was = b->bits;
        int r = was ? 0 : load_bits(s, b);
        bits = r == 0 ? g_memdup2(b->bits, bits_bytes(s, b)) : NULL;
        *ret = *b;
        if (!was)
            g_clear_pointer(&b->bits, g_free);
        if (r < 0)
            block_error(err, r, "cannot read the bitmap '%s' of '%s'", name, node->name);
    } else {
        block_error(err, 0, b ? "Bitmap '%s' of '%s' is inconsistent and cannot be used" : "Bitmap '%s' not found in '%s'", name, node->name);
    }
    g_mutex_unlock(&s->lock);
    return bits;
}

bool qcow2_bitmap_merge(BlockNode *node, const char *name, BlockNode *src, const char *src_name, GError **err)
{
    Qcow2 *s = node->state;
    Qcow2Bitmap from;
    if (src->length != node->length) {
        block_error(err, 0, "Bitmaps are of different sizes (source size is %" PRIu64 " and destination size is %" PRIu64 ")", src->length, node->length);
        return false;
    }
    g_autofree uint8_t *bits = copy_bits(src, src_name, &from, err);
    if (!bits)
        return false;
    g_mutex_lock(&s->lock);
    int r = s->bitmaps_tracked ? q_bitmaps_end(s) : q_commit(s), i = find_bitmap(s, name);
    Qcow2Bitmap *b = i >= 0 ? g_ptr_array_index(s->bitmaps, (guint)i) : NULL;
    bool ok = b && !(b->flags & Q_BITMAP_IN_USE) && b->type == 1;
    if (!ok)
        block_error(err, 0, b ? "Bitmap '%s' of '%s' is inconsistent and cannot be used" : "Bitmap '%s' not found in '%s'", name, node->name);
    r = r < 0 || !ok ? r : load_bits(s, b);
    for (uint64_t k = 0, n = s->h.size; ok && r == 0 && k << from.granularity_bits < n; k++)
        if (bits[k >> 3] >> (k & 7) & 1)
            set_bits(s, b, k << from.granularity_bits, MIN(1ull << from.granularity_bits, n - (k << from.granularity_bits)));
    r = r < 0 || !ok ? r : store_bits(s, b);
    if (ok)
        g_clear_pointer(&b->bits, g_free);
    r = r < 0 || !ok ? r : switch_directory(s);
    r = r < 0 || !ok ? r : q_commit(s);
    s->autoclear_pending = s->bitmaps->len > 0;
    g_mutex_unlock(&s->lock);
    if (ok && r < 0)
        block_error(err, r, "cannot write '%s'", node->name);
    return ok && r == 0;
}

GVariant *q_bitmaps_info(Qcow2 *s)
{
    GVariantBuilder list;
    g_variant_builder_init(&list, G_VARIANT_TYPE("av"));
    for (guint i = 0; i < s->bitmaps->len; i++) {
        const Qcow2Bitmap *b = g_ptr_array_index(s->bitmaps, i);
        GVariantBuilder flags;
        GVariantDict d;
        g_variant_builder_init(&flags, G_VARIANT_TYPE("av"));
        if (b->flags & Q_BITMAP_IN_USE)
            g_variant_builder_add(&flags, "v", g_variant_new_string("in-use"));
        if (b->flags & Q_BITMAP_AUTO)
            g_variant_builder_add(&flags, "v", g_variant_new_string("auto"));
        g_variant_dict_init(&d, NULL);
        g_variant_dict_insert_value(&d, "flags", g_variant_builder_end(&flags));
        g_variant_dict_insert(&d, "name", "s", b->name);
        g_variant_dict_insert(&d, "granularity", "t", (uint64_t)1 << b->granularity_bits);
        g_variant_builder_add(&list, "v", g_variant_dict_end(&d));
    }
    return g_variant_builder_end(&list);
}
