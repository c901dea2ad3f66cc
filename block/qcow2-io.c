/* Reading and writing guest data. */
#include "block/qcow2-internal.h"

#include <errno.h>
#include <string.h>

/* ---- requests that exclude each other ---- */

static bool track_conflict(const Qcow2 *s, uint64_t start, uint64_t end, bool exclusive)
{
    if (!exclusive && !s->exclusive_n)
        return false;
    for (const Qcow2Track *t = s->tracks; t; t = t->next)
        if ((exclusive || t->exclusive) && t->start < end && start < t->end)
            return true;
    return false;
}

bool q_track_try(Qcow2 *s, Qcow2Track *t, uint64_t start, uint64_t end, bool exclusive)
{
    if (track_conflict(s, start, end, exclusive))
        return false;
    *t = (Qcow2Track){ start, end, exclusive, s->tracks, &s->tracks };
    if (t->next)
        t->next->prev = &t->next;
    s->tracks = t;
    s->exclusive_n += exclusive;
    return true;
}

void q_track_begin(Qcow2 *s, Qcow2Track *t, uint64_t start, uint64_t end, bool exclusive)
{
    while (!q_track_try(s, t, start, end, exclusive)) {
        s->waiters++;
        g_cond_wait(&s->wake, &s->lock);
        s->waiters--;
    }
}

void q_track_end(Qcow2 *s, Qcow2Track *t)
{
    *t->prev = t->next;
    if (t->next)
        t->next->prev = t->prev;
    s->exclusive_n -= t->exclusive;
    if (s->waiters)
        g_cond_broadcast(&s->wake);
}

/* ---- reading ---- */

static int read_backing(Qcow2 *s, uint64_t offset, uint64_t len, BlockIov io)
{
    BlockNode *b = s->node->backing;
    uint64_t have = b && offset < b->length ? MIN(len, b->length - offset) : 0;
    int r = have ? bn_readv(b, offset, have, io) : 0;
    if (r == 0 && have < len)
        biov_zero(biov_advance(io, have), len - have);
    return r;
}

int q_read_mapped(Qcow2 *s, uint64_t offset, const Qcow2Map *map, uint64_t len, BlockIov io)
{
    switch (map->type) {
    case Q_UNALLOCATED:
        return read_backing(s, offset, len, io);
    case Q_ZEROS:
        biov_zero(io, len);
        return 0;
    case Q_NORMAL:
        return bn_readv(s->data_file, map->host, len, io);
    case Q_PACKED:
        return q_read_packed(s, map->host, offset & (s->cluster_size - 1), len, io);
    }
    return -EIO;
}

int q_read_range(Qcow2 *s, uint64_t offset, uint64_t len, BlockIov io)
{
    while (len) {
        Qcow2Map m;
        g_mutex_lock(&s->lock);
        q_map_load(s, offset);
        int r = q_map(s, offset, len, &m);
        g_mutex_unlock(&s->lock);
        r = r < 0 ? r : q_read_mapped(s, offset, &m, m.len, io);
        if (r < 0)
            return r;
        offset += m.len;
        len -= m.len;
        io = biov_advance(io, m.len);
    }
    return 0;
}

int qcow2_readv(BlockNode *node, uint64_t offset, uint64_t len, BlockIov io)
{
    Qcow2 *s = node->state;
    Qcow2Track track;
    uint64_t have = offset < node->length ? MIN(len, node->length - offset) : 0;
    if (s->h.crypt_method)
        return -EACCES;
    if (have < len)             /* a backing file shorter than what lies on it */
        biov_zero(biov_advance(io, have), len - have);
    if (!have)
        return 0;
    g_mutex_lock(&s->lock);
    q_track_begin(s, &track, offset, offset + have, false);
    g_mutex_unlock(&s->lock);
    int r = q_read_range(s, offset, have, io);
    g_mutex_lock(&s->lock);
    q_track_end(s, &track);
    g_mutex_unlock(&s->lock);
    return r;
}

/* ---- writing where there is no cluster of our own yet ---- */

typedef struct Alloc {
    uint64_t guest, n;          /* first cluster's offset, number of clusters */
    uint64_t host;
    uint64_t lo, hi;            /* guest bytes that are valid in the new clusters afterwards; lo <= data < hi */
    bool reuse;                 /* the clusters belong to us already, as preallocated zeros or with other subclusters */
    bool blank;                 /* nothing was ever written there: reads as zeros */
    bool allocated;
} Alloc;

/* How many clusters from @index on are of the same sort as the first: those to be reused, or those to be replaced. */
static uint64_t same_sort(Qcow2 *s, const Qcow2Table *t, uint32_t index, uint64_t max, bool reuse)
{
    uint64_t n = 1, first = q_l2_entry(s, t, index) & Q_OFFSET_MASK;
    max = MIN(max, (1ull << s->l2_bits) - index);
    for (; n < max; n++) {
        uint64_t e = q_l2_entry(s, t, index + (uint32_t)n), host = e & Q_OFFSET_MASK;
        bool ours = !(e & Q_COMPRESSED) && (e & Q_COPIED);
        if (reuse ? !ours || host != first + (n << s->cluster_bits) || (!s->extended && !(e & Q_ZERO)) : ours)
            break;
    }
    return n;
}

/* Which bytes around the data must be copied into the new clusters. */
static void copy_range(Qcow2 *s, const Qcow2Table *t, Alloc *a, uint64_t offset, uint64_t end)
{
    uint64_t unit = s->cluster_size;
    if (s->extended) {
        uint64_t first = q_l2_entry(s, t, q_l2_index(s, a->guest));
        uint64_t last = q_l2_entry(s, t, q_l2_index(s, a->guest) + (uint32_t)a->n - 1);
        uint64_t lo_unit = a->reuse || !(first & (Q_OFFSET_MASK | Q_COMPRESSED)) ? s->subcluster_size : unit;
        uint64_t hi_unit = a->reuse || !(last & (Q_OFFSET_MASK | Q_COMPRESSED)) ? s->subcluster_size : unit;
        a->lo = offset & ~(lo_unit - 1);
        a->hi = (end + hi_unit - 1) & ~(hi_unit - 1);
        return;
    }
    a->lo = a->guest;
    a->hi = a->guest + a->n * unit;
}

static int alloc_begin(Qcow2 *s, uint64_t offset, uint64_t len, Alloc *a)
{
    Qcow2Table *t;
    int r = q_l2_for_write(s, offset, &t);
    if (r < 0)
        return r;
    uint32_t index = q_l2_index(s, offset);
    uint64_t e = q_l2_entry(s, t, index), want;
    *a = (Alloc){ .guest = offset & ~(uint64_t)(s->cluster_size - 1) };
    a->reuse = !(e & Q_COMPRESSED) && (e & Q_COPIED) && (!s->external || (e & Q_OFFSET_MASK) == a->guest);
    want = same_sort(s, t, index, q_clusters(s, offset + len - a->guest), a->reuse);
    if (a->reuse || s->external) {
        a->host = s->external ? a->guest : e & Q_OFFSET_MASK;
        a->n = want;
    } else {
        uint64_t old_end = s->file_end;
        r = q_alloc(s, want, false, &a->host, &a->n);
        if (r < 0)
            return r;
        a->allocated = true;
        a->blank = a->host >= old_end;
        r = q_l2_for_write(s, offset, &t);      /* it may have been evicted */
        if (r < 0) {
            q_alloc_undo(s, a->host, a->n);
            return r;
        }
    }
    uint64_t end = MIN(offset + len, a->guest + (a->n << s->cluster_bits));
    copy_range(s, t, a, offset, end);
    return 0;
}

/* Does the range read as zeros, by the mapping alone? Lock not held. */
static bool range_is_zero(Qcow2 *s, uint64_t offset, uint64_t len)
{
    while (len) {
        Qcow2Map m;
        g_mutex_lock(&s->lock);
        q_map_load(s, offset);
        int r = q_map(s, offset, len, &m);
        g_mutex_unlock(&s->lock);
        const BlockNode *b = s->node->backing;
        if (r < 0 || m.type == Q_NORMAL || m.type == Q_PACKED || (m.type == Q_UNALLOCATED && b && offset < b->length))
            return false;
        offset += m.len;
        len -= m.len;
    }
    return true;
}

/* The data and what surrounds it in the new clusters, in one write where possible. Lock not held. */
static int alloc_write(Qcow2 *s, const Alloc *a, uint64_t offset, uint64_t len, BlockIov io)
{
    uint64_t head = offset - a->lo, tail = a->hi - (offset + len), host = a->host + (a->lo - a->guest);
    if (head && a->blank && range_is_zero(s, a->lo, head)) {
        host += head;
        head = 0;
    }
    if (tail && a->blank && range_is_zero(s, offset + len, tail))
        tail = 0;
    if (!head && !tail)
        return bn_writev(s->data_file, host, len, io, 0);
    g_autofree char *edge = g_try_malloc(head + tail);
    g_autofree struct iovec *vec = g_try_new(struct iovec, io.niov + 2);
    struct iovec edge_vec;
    unsigned n = 0;
    if (!edge || !vec)
        return -ENOMEM;
    int r = head ? q_read_range(s, offset - head, head, biov_buf(&edge_vec, edge, head)) : 0;
    if (r == 0 && tail)
        r = q_read_range(s, offset + len, tail, biov_buf(&edge_vec, edge + head, tail));
    if (r < 0)
        return r;
    if (head)
        vec[n++] = (struct iovec){ edge, head };
    uint64_t got;
    n += biov_slice(io, len, vec + n, io.niov, &got);
    if (tail)
        vec[n++] = (struct iovec){ edge + head, tail };
    return bn_writev(s->data_file, host, head + len + tail, (BlockIov){ vec, n, 0 }, 0);
}

static uint64_t valid_mask(const Qcow2 *s, const Alloc *a, uint64_t cluster)
{
    uint64_t lo = MAX(a->lo, cluster) - cluster, hi = MIN(a->hi, cluster + s->cluster_size) - cluster;
    unsigned first = (unsigned)(lo / s->subcluster_size), last = (unsigned)((hi - 1) / s->subcluster_size);
    return ((2ull << last) - 1) & ~((1ull << first) - 1);
}

static int alloc_link(Qcow2 *s, const Alloc *a)
{
    Qcow2Table *t;
    int r = q_l2_for_write(s, a->guest, &t);
    if (r < 0)
        return r;
    uint32_t index = q_l2_index(s, a->guest);
    for (uint64_t i = 0; i < a->n; i++) {
        uint32_t k = index + (uint32_t)i;
        uint64_t cluster = a->guest + (i << s->cluster_bits), old = q_l2_entry(s, t, k), bits = 0, old_offset;
        if (s->extended) {
            uint64_t mask = valid_mask(s, a, cluster);
            bits = old & Q_COMPRESSED ? mask : (q_l2_bitmap(s, t, k) | mask) & ~(mask << 32);
        }
        uint64_t n = a->reuse || s->external ? 0 : q_entry_clusters(s, old, &old_offset);
        if (n)
            q_free_later(s, old_offset, n, !(old & Q_COMPRESSED));
        q_l2_set(s, t, k, (a->host + (i << s->cluster_bits)) | Q_COPIED, bits);
    }
    return 0;
}

/* Write the first part of a range that needs clusters; the caller has it exclusively. Lock held, dropped for I/O. */
static int write_allocating(Qcow2 *s, uint64_t offset, uint64_t len, BlockIov io, uint64_t *ret_done)
{
    Alloc a;
    int r;
    do {
        r = q_prepare(s, q_clusters(s, len) + 2);
        r = r < 0 ? r : alloc_begin(s, offset, len, &a);
    } while (r == -EAGAIN);
    if (r < 0)
        return r;
    uint64_t part = MIN(len, a.guest + (a.n << s->cluster_bits) - offset);
    g_mutex_unlock(&s->lock);
    r = alloc_write(s, &a, offset, part, io);
    g_mutex_lock(&s->lock);
    r = r < 0 ? r : alloc_link(s, &a);
    if (r < 0 && a.allocated)
        q_alloc_undo(s, a.host, a.n);
    *ret_done = part;
    return r;
}

int qcow2_writev(BlockNode *node, uint64_t offset, uint64_t len, BlockIov io, unsigned flags)
{
    Qcow2 *s = node->state;
    Qcow2Track track;
    bool exclusive = false;
    if (flags & BLOCK_REQ_COMPRESS)
        return q_write_packed(s, offset, len, io);
    g_mutex_lock(&s->lock);
    q_track_begin(s, &track, offset, offset + len, false);
    int r = s->corrupt ? -EIO : s->autoclear_pending ? q_prepare(s, 0) : 0;
    q_bitmaps_mark(s, offset, len);
    while (r == 0 && len) {
        Qcow2Map m;
        uint64_t done;
        q_map_load(s, offset);
        r = q_map(s, offset, len, &m);
        if (r < 0)
            break;
        done = m.len;
        if (m.type == Q_NORMAL && m.copied) {
            g_mutex_unlock(&s->lock);
            r = bn_writev(s->data_file, m.host, m.len, io, 0);
            g_mutex_lock(&s->lock);
        } else if (!exclusive) {
            /* The rest for us alone, in whole clusters since these get copied; then look again. */
            q_track_end(s, &track);
            q_track_begin(s, &track, offset & ~(uint64_t)(s->cluster_size - 1), q_align_up(s, offset + len), true);
            exclusive = true;
            continue;
        } else {
            r = write_allocating(s, offset, len, io, &done);
        }
        offset += done;
        len -= done;
        io = biov_advance(io, done);
    }
    q_track_end(s, &track);
    g_mutex_unlock(&s->lock);
    return r;
}

/* ---- status, and the path without a worker ---- */

/* Is the file much shorter on the host than it is long? Then its clusters may be preallocated ones without data. */
static bool has_holes(Qcow2 *s)
{
    BlockInfo info = { .host_bytes = -1 };
    int known = g_atomic_int_get(&s->holes);
    if (!known) {
        const BlockFormat *f = s->data_file->format;
        uint64_t size = 0;
        bool ok = f->info && f->info(s->data_file, &info) == 0 && block_file_size(s->data_file, &size) == 0;
        known = ok && info.host_bytes >= 0 && (uint64_t)info.host_bytes < size / 4 ? 1 : 2;
        g_atomic_int_set(&s->holes, known);
    }
    return known == 1;
}

/* A hole in the file reads as zeros, although it counts as data. */
static void look_below(Qcow2 *s, BlockStatus *st)
{
    BlockStatus below;
    if (block_status(s->data_file, st->host_offset, st->len, &below) < 0)
        return;
    st->len = MIN(st->len, below.len);
    st->flags |= below.flags & BLOCK_ST_ZERO;
}

int qcow2_status(BlockNode *node, uint64_t offset, uint64_t len, BlockStatus *ret_status)
{
    Qcow2 *s = node->state;
    Qcow2Map m;
    g_mutex_lock(&s->lock);
    q_map_load(s, offset);
    int r = q_map(s, offset, len, &m);
    g_mutex_unlock(&s->lock);
    if (r < 0)
        return r;
    *ret_status = (BlockStatus){ .len = m.len };
    switch (m.type) {
    case Q_UNALLOCATED:
        ret_status->flags = s->node->backing_name ? 0 : BLOCK_ST_ZERO;
        if (m.host) {           /* other subclusters of it are in use */
            ret_status->flags |= BLOCK_ST_OFFSET;
            ret_status->host_offset = m.host + (offset & (s->cluster_size - 1));
        }
        break;
    case Q_ZEROS:
        ret_status->flags = BLOCK_ST_ZERO | BLOCK_ST_ALLOCATED;
        if (m.host) {
            ret_status->flags |= BLOCK_ST_OFFSET;
            ret_status->host_offset = m.host + (offset & (s->cluster_size - 1));
        }
        break;
    case Q_NORMAL:
        ret_status->flags = BLOCK_ST_DATA | BLOCK_ST_ALLOCATED | BLOCK_ST_OFFSET;
        ret_status->host_offset = m.host;
        if (!s->external && has_holes(s))
            look_below(s, ret_status);
        break;
    case Q_PACKED:
        ret_status->flags = BLOCK_ST_DATA | BLOCK_ST_ALLOCATED | BLOCK_ST_COMPRESSED;
        break;
    }
    ret_status->host_file = s->data_file->name;
    return 0;
}

/* Can the file below take it inside the submission at all? It has nothing to end: a protocol's node. */
static bool file_takes_inline(Qcow2 *s, BlockReq *req, int *ret_fd, uint64_t *offset)
{
    const BlockFormat *f = s->data_file->format;
    return f->inline_begin && !f->inline_end && f->inline_begin(s->data_file, req, ret_fd, offset);
}

bool qcow2_inline_begin(BlockNode *node, BlockReq *req, int *ret_fd, uint64_t *offset)
{
    Qcow2 *s = node->state;
    Qcow2Map m;
    uint64_t at = *offset, guest = *offset;
    bool ok = false;
    /* First what the file takes: a look-up in vain would cost the lock, which the workers want. */
    if (!file_takes_inline(s, req, ret_fd, &at) || !g_mutex_trylock(&s->lock))
        return false;
    if (!s->corrupt && !s->autoclear_pending && !s->h.crypt_method && q_map_cached(s, guest, req->len, &m) == 0 && m.type == Q_NORMAL &&
        m.len == req->len && (req->op == BLOCK_READ || m.copied)) {
        ok = q_track_try(s, &req->track, guest, guest + req->len, false);
        if (ok && req->op == BLOCK_WRITE)
            q_bitmaps_mark(s, guest, req->len);
    }
    g_mutex_unlock(&s->lock);
    if (!ok)
        return false;
    *offset = m.host;           /* with clusters smaller than the host's sectors less aligned than the guest's */
    if (file_takes_inline(s, req, ret_fd, offset))
        return true;
    qcow2_inline_end(node, req);
    return false;
}

void qcow2_inline_end(BlockNode *node, BlockReq *req)
{
    Qcow2 *s = node->state;
    g_mutex_lock(&s->lock);
    q_track_end(s, &req->track);
    g_mutex_unlock(&s->lock);
}
