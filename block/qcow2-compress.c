/* Compressed clusters: raw deflate or zstd (the spec, "Compressed Clusters Descriptor"). */
#include "block/qcow2-internal.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

/*
 * Deflate with a window of 4 KiB: what QEMU writes and reads. A reader that provides the whole output as window takes
 * larger ones too, so reading is done with the largest.
 */
enum { DEFLATE_WINDOW = 12, INFLATE_WINDOW = 15 };

void q_inflated_clear(Qcow2 *s)
{
    g_mutex_lock(&s->inflate_lock);
    for (int i = 0; i < Q_INFLATED; i++) {
        g_free(s->inflated[i].data);
        s->inflated[i] = (Qcow2Inflated){ 0 };
    }
    g_mutex_unlock(&s->inflate_lock);
}

/* The input may be followed by other clusters' data: decoding ends when a cluster is complete. */
static int inflate_zlib(uint8_t *out, uint32_t out_len, const uint8_t *in, uint64_t in_len)
{
    z_stream z = { .next_in = (Bytef *)in, .avail_in = (uInt)in_len, .next_out = out, .avail_out = out_len };
    if (inflateInit2(&z, -INFLATE_WINDOW) != Z_OK)
        return -ENOMEM;
    int r = inflate(&z, Z_FINISH);
    bool ok = z.avail_out == 0 && (r == Z_STREAM_END || r == Z_BUF_ERROR);
    inflateEnd(&z);
    return ok ? 0 : -EIO;
}

static int inflate_zstd(uint8_t *out, uint32_t out_len, const uint8_t *in, uint64_t in_len)
{
    ZSTD_DCtx *d = ZSTD_createDCtx();
    if (!d)
        return -ENOMEM;
    ZSTD_outBuffer o = { out, out_len, 0 };
    ZSTD_inBuffer i = { in, in_len, 0 };
    size_t r = 1;
    /* There may be several frames in one cluster; a step without progress is the end of bad data. */
    while (o.pos < o.size && !ZSTD_isError(r)) {
        size_t before = i.pos + o.pos;
        r = ZSTD_decompressStream(d, &o, &i);
        if (i.pos + o.pos == before)
            break;
    }
    ZSTD_freeDCtx(d);
    return o.pos == o.size && !ZSTD_isError(r) ? 0 : -EIO;
}

static int inflate_cluster(Qcow2 *s, uint64_t entry, uint8_t *out)
{
    uint64_t offset, bytes;
    q_packed_place(s, entry, &offset, &bytes);
    if (offset < s->cluster_size || offset >= s->file_end || bytes > 2ull * s->cluster_size + 512) {
        g_mutex_lock(&s->lock);
        int r = q_corrupt(s, "a compressed cluster lies outside the file", offset);
        g_mutex_unlock(&s->lock);
        return r;
    }
    uint8_t *in = g_try_malloc(bytes);
    int r = in ? bn_read(s->file, offset, in, bytes) : -ENOMEM;
    if (r == 0)
        r = s->h.compression_type == Q_COMPRESS_ZSTD ? inflate_zstd(out, s->cluster_size, in, bytes)
                                                     : inflate_zlib(out, s->cluster_size, in, bytes);
    g_free(in);
    return r;
}

/* Small reads of one cluster come one after the other: a few are kept. */
static bool inflated_find(Qcow2 *s, uint64_t entry, uint64_t in_cluster, uint64_t len, BlockIov io)
{
    bool found = false;
    g_mutex_lock(&s->inflate_lock);
    for (int i = 0; i < Q_INFLATED && !found; i++) {
        Qcow2Inflated *c = &s->inflated[i];
        if (c->key != entry || !c->data)
            continue;
        found = true;
        c->used = ++s->inflate_tick;
        biov_from_buf(io, c->data + in_cluster, len);
    }
    g_mutex_unlock(&s->inflate_lock);
    return found;
}

static void inflated_keep(Qcow2 *s, uint64_t entry, uint8_t *data)
{
    g_mutex_lock(&s->inflate_lock);
    Qcow2Inflated *oldest = &s->inflated[0];
    for (int i = 1; i < Q_INFLATED; i++)
        if (s->inflated[i].used < oldest->used)
            oldest = &s->inflated[i];
    g_free(oldest->data);
    *oldest = (Qcow2Inflated){ entry, ++s->inflate_tick, data };
    g_mutex_unlock(&s->inflate_lock);
}

int q_read_packed(Qcow2 *s, uint64_t entry, uint64_t in_cluster, uint64_t len, BlockIov io)
{
    io = biov_advance(io, 0);
    if (len == s->cluster_size && io.niov && io.iov->iov_len - io.skip >= len)
        return inflate_cluster(s, entry, (uint8_t *)io.iov->iov_base + io.skip);
    if (inflated_find(s, entry, in_cluster, len, io))
        return 0;
    uint8_t *out = g_try_malloc(s->cluster_size);
    int r = out ? inflate_cluster(s, entry, out) : -ENOMEM;
    if (r < 0) {
        g_free(out);
        return r;
    }
    biov_from_buf(io, out + in_cluster, len);
    inflated_keep(s, entry, out);
    return 0;
}

/* ---- writing ---- */

/* What a run of clusters is compressed with: setting it up costs more than a small cluster does. */
typedef struct Packer {
    z_stream z;
    ZSTD_CCtx *zstd;
    bool has_z;
    uint8_t *in, *out;
} Packer;

static bool packer_init(const Qcow2 *s, Packer *p)
{
    *p = (Packer){ .in = g_try_malloc(s->cluster_size), .out = g_try_malloc(s->cluster_size) };
    if (s->h.compression_type == Q_COMPRESS_ZSTD)
        p->zstd = ZSTD_createCCtx();
    else
        p->has_z = deflateInit2(&p->z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -DEFLATE_WINDOW, 9, Z_DEFAULT_STRATEGY) == Z_OK;
    return p->in && p->out && (p->zstd || p->has_z);
}

static void packer_clear(Packer *p)
{
    if (p->has_z)
        deflateEnd(&p->z);
    ZSTD_freeCCtx(p->zstd);
    g_free(p->in);
    g_free(p->out);
}

/* Bytes of compressed data in p->out, 0: it does not get smaller. */
static uint64_t compress_cluster(const Qcow2 *s, Packer *p)
{
    uint64_t max = s->cluster_size - 1;
    if (p->zstd) {
        size_t n = ZSTD_compressCCtx(p->zstd, p->out, max, p->in, s->cluster_size, ZSTD_CLEVEL_DEFAULT);
        return ZSTD_isError(n) ? 0 : n;
    }
    if (deflateReset(&p->z) != Z_OK)
        return 0;
    p->z.next_in = p->in;
    p->z.avail_in = s->cluster_size;
    p->z.next_out = p->out;
    p->z.avail_out = (uInt)max;
    return deflate(&p->z, Z_FINISH) == Z_STREAM_END ? max - p->z.avail_out : 0;
}

/*
 * A place for @bytes of compressed data: behind the last one in its cluster, or in a new cluster. Such data may run over
 * into the next host cluster only if that is ours as well; we always end it at the cluster's border or take both.
 */
static int packed_alloc(Qcow2 *s, uint64_t bytes, uint64_t *ret_offset)
{
    uint64_t left = s->compressed_next ? s->cluster_size - (s->compressed_next & (s->cluster_size - 1)) : 0, place, n, refs = 0;
    int r = 0;
    if (left) {
        r = q_refcount_get(s, s->compressed_next >> s->cluster_bits, &refs);
        if (r < 0)
            return r;
    }
    if (left >= bytes && refs && refs < s->refcount_max) {
        r = q_refcount_add(s, s->compressed_next, 1, 1);
        if (r < 0)
            return r;
        *ret_offset = s->compressed_next;
        s->compressed_next += bytes;
    } else {
        r = q_alloc(s, 1, true, &place, &n);
        if (r < 0)
            return r;
        uint64_t tail_end = (s->compressed_next & ~(uint64_t)(s->cluster_size - 1)) + s->cluster_size;
        if (left && refs && refs < s->refcount_max && tail_end == place) {
            /* The new cluster follows the old one: begin in the old one's tail. */
            r = q_refcount_add(s, s->compressed_next, 1, 1);
            if (r < 0) {
                q_alloc_undo(s, place, 1);
                return r;
            }
            *ret_offset = s->compressed_next;
            s->compressed_next += bytes;
        } else {
            *ret_offset = place;
            s->compressed_next = place + bytes;
        }
    }
    if (!(s->compressed_next & (s->cluster_size - 1)))
        s->compressed_next = 0;
    return 0;
}

static uint64_t packed_entry(const Qcow2 *s, uint64_t offset, uint64_t bytes)
{
    unsigned x = 62 - (s->cluster_bits - 8);
    uint64_t sectors = ((offset + bytes - 1) >> 9) - (offset >> 9);
    return Q_COMPRESSED | offset | sectors << x;
}

static int packed_begin(Qcow2 *s, uint64_t offset, uint64_t bytes, uint64_t *ret_place)
{
    Qcow2Table *t;
    int r;
    do {
        r = q_prepare(s, 4);
        r = r < 0 ? r : q_l2_for_write(s, offset, &t);
        r = r < 0 ? r : packed_alloc(s, bytes, ret_place);
    } while (r == -EAGAIN);
    if (r == 0 && *ret_place + bytes > 1ull << (62 - (s->cluster_bits - 8)))
        r = -EFBIG;
    return r;
}

static int packed_link(Qcow2 *s, uint64_t offset, uint64_t entry)
{
    Qcow2Table *t;
    int r = q_l2_for_write(s, offset, &t);
    if (r < 0)
        return r;
    uint32_t index = q_l2_index(s, offset);
    uint64_t old = q_l2_entry(s, t, index), old_offset, n = q_entry_clusters(s, old, &old_offset);
    if (n)
        q_free_later(s, old_offset, n, !(old & Q_COMPRESSED));
    q_l2_set(s, t, index, entry, 0);
    q_bitmaps_mark(s, offset, s->cluster_size);
    return 0;
}

/* p->in: one whole cluster of guest data. */
static int write_packed_cluster(Qcow2 *s, uint64_t offset, Packer *p)
{
    uint64_t bytes = compress_cluster(s, p), place;
    if (!bytes) {
        struct iovec vec;
        uint64_t len = MIN(s->cluster_size, s->node->length - offset);
        return qcow2_writev(s->node, offset, len, biov_buf(&vec, p->in, len), 0);
    }
    Qcow2Track track;
    g_mutex_lock(&s->lock);
    q_track_begin(s, &track, offset, offset + s->cluster_size, true);
    int r = packed_begin(s, offset, bytes, &place);
    if (r == 0) {
        g_mutex_unlock(&s->lock);
        r = bn_write(s->file, place, p->out, bytes);
        g_mutex_lock(&s->lock);
        r = r < 0 ? r : packed_link(s, offset, packed_entry(s, place, bytes));
        if (r < 0)
            q_alloc_undo(s, place & ~(uint64_t)(s->cluster_size - 1),
                         q_clusters(s, (place & (s->cluster_size - 1)) + bytes));
    }
    q_track_end(s, &track);
    g_mutex_unlock(&s->lock);
    return r;
}

int q_write_packed(Qcow2 *s, uint64_t offset, uint64_t len, BlockIov io)
{
    if (s->external)
        return -ENOTSUP;
    if ((offset & (s->cluster_size - 1)) || ((len & (s->cluster_size - 1)) && offset + len != s->node->length))
        return -EINVAL;
    Packer p;
    int r = packer_init(s, &p) ? 0 : -ENOMEM;
    while (r == 0 && len) {
        uint64_t part = MIN(len, s->cluster_size);
        biov_to_buf(io, p.in, part);
        memset(p.in + part, 0, s->cluster_size - part);
        r = write_packed_cluster(s, offset, &p);
        offset += part;
        len -= part;
        io = biov_advance(io, part);
    }
    packer_clear(&p);
    q_inflated_clear(s);
    return r;
}
