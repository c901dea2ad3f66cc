#include "block/format.h"
#include "block/uring.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

/* ---- children and the bottom of every request: plain blocking calls ---- */

int bn_readv(BlockNode *node, uint64_t offset, uint64_t len, BlockIov io)
{
    return len ? node->format->readv(node, offset, len, io) : 0;
}

int bn_writev(BlockNode *node, uint64_t offset, uint64_t len, BlockIov io, unsigned flags)
{
    if (node->read_only)
        return -EROFS;
    return len ? node->format->writev(node, offset, len, io, flags) : 0;
}

int bn_read(BlockNode *node, uint64_t offset, void *buf, uint64_t len)
{
    struct iovec vec;
    return bn_readv(node, offset, len, biov_buf(&vec, buf, len));
}

int bn_write(BlockNode *node, uint64_t offset, const void *buf, uint64_t len)
{
    struct iovec vec;
    return bn_writev(node, offset, len, biov_buf(&vec, buf, len), 0);
}

enum { ZERO_CHUNK = 1 << 20 };

static int write_zeroes_slowly(BlockNode *node, uint64_t offset, uint64_t len)
{
    g_autofree char *zeros = g_try_malloc0(MIN(len, ZERO_CHUNK));
    if (!zeros)
        return -ENOMEM;
    for (uint64_t n; len; offset += n, len -= n) {
        n = MIN(len, ZERO_CHUNK);
        int r = bn_write(node, offset, zeros, n);
        if (r < 0)
            return r;
    }
    return 0;
}

int bn_write_zeroes(BlockNode *node, uint64_t offset, uint64_t len, unsigned flags)
{
    if (node->read_only)
        return -EROFS;
    if (!len)
        return 0;
    int r = -ENOTSUP;
    if (node->format->write_zeroes)
        r = node->format->write_zeroes(node, offset, len, flags);
    if (r == -ENOTSUP && !(flags & BLOCK_REQ_NO_FALLBACK))
        r = write_zeroes_slowly(node, offset, len);
    return r;
}

int bn_discard(BlockNode *node, uint64_t offset, uint64_t len)
{
    if (node->read_only)
        return -EROFS;
    return len && node->format->discard ? node->format->discard(node, offset, len) : 0;
}

int bn_flush(BlockNode *node)
{
    return node->format->flush && !node->read_only ? node->format->flush(node) : 0;
}

/* ---- requests ---- */

static int req_check(const BlockNode *node, BlockOp op, uint64_t offset, uint64_t len)
{
    if (op == BLOCK_FLUSH)
        return 0;
    if (op != BLOCK_READ && node->read_only)
        return -EROFS;
    if (offset > node->length || len > node->length - offset)
        return op == BLOCK_READ ? -EIO : -ENOSPC;
    return 0;
}

static int exec_write(BlockNode *node, uint64_t offset, uint64_t len, BlockIov io, unsigned flags)
{
    if (node->opts.detect_zeroes && !(flags & BLOCK_REQ_COMPRESS) && biov_is_zero(io, len))
        return bn_write_zeroes(node, offset, len, node->opts.detect_zeroes == BLOCK_DETECT_UNMAP ? BLOCK_REQ_MAY_UNMAP : 0);
    return bn_writev(node, offset, len, io, flags);
}

static int node_exec(BlockNode *node, BlockOp op, unsigned flags, uint64_t offset, uint64_t len, BlockIov io)
{
    int r = req_check(node, op, offset, len);
    if (r < 0)
        return r;
    switch (op) {
    case BLOCK_READ:
        return bn_readv(node, offset, len, io);
    case BLOCK_WRITE:
        r = exec_write(node, offset, len, io, flags);
        break;
    case BLOCK_WRITE_ZEROES:
        r = bn_write_zeroes(node, offset, len, node->opts.discard ? flags : flags & ~(unsigned)BLOCK_REQ_MAY_UNMAP);
        break;
    case BLOCK_DISCARD:
        r = node->opts.discard ? bn_discard(node, offset, len) : 0;
        break;
    case BLOCK_FLUSH:
        return bn_flush(node);
    case BLOCK_OPS:
        return -EINVAL;
    }
    /* Cache modes without a write cache promise that a finished write is stable, whoever asked for it or not. */
    if (r == 0 && ((flags & BLOCK_REQ_FUA) || !g_atomic_int_get(&node->write_cache)))
        r = bn_flush(node);
    return r;
}

static void req_done(void *opaque)
{
    BlockReq *req = opaque;
    BlockNode *node = req->node;
    req->done(req, req->ret);
    /* Only now: whoever drains wants no completion outstanding, not only no I/O. */
    g_mutex_lock(&node->lock);
    if (--node->in_flight == 0)
        g_cond_broadcast(&node->idle);
    g_mutex_unlock(&node->lock);
}

static void stats_add(BlockNode *node, BlockOp op, uint64_t len, int ret, int64_t ns)
{
    g_mutex_lock(&node->lock);
    node->stats.reqs[op]++;
    node->stats.bytes[op] += ret == 0 ? len : 0;
    node->stats.errors[op] += ret < 0;
    node->stats.time_ns[op] += (uint64_t)ns;
    g_mutex_unlock(&node->lock);
}

void bn_req_complete(BlockReq *req, int ret)
{
    req->ret = ret;
    stats_add(req->node, req->op, req->len, ret, clock_now_ns(&clock_host) - req->start_ns);
    loop_defer(req->loop, req_done, req);
}

static void req_work(void *opaque)
{
    BlockReq *req = opaque;
    BlockIov io = { req->iov, req->niov, 0 };
    bn_req_complete(req, node_exec(req->node, req->op, req->flags, req->offset, req->len, io));
}

/* ---- without a worker ---- */

static bool can_inline(const BlockNode *node, const BlockReq *req)
{
    if ((req->op != BLOCK_READ && req->op != BLOCK_WRITE) || req->flags || !node->format->inline_begin || !req->len ||
        req->niov > IOV_MAX || node->opts.no_uring)
        return false;
    if (req->op == BLOCK_WRITE && (node->opts.detect_zeroes || !g_atomic_int_get(&((BlockNode *)node)->write_cache)))
        return false;
    uint64_t sum = 0;
    for (unsigned i = 0; i < req->niov; i++)
        sum += req->iov[i].iov_len;
    return sum == req->len;
}

static bool start_inline(BlockReq *req)
{
    BlockNode *node = req->node;
    const BlockFormat *f = node->format;
    int fd;
    uint64_t offset = req->offset;
    BlockUring *ring = can_inline(node, req) ? block_ctx_uring(node->ctx, req->loop) : NULL;
    if (!ring || !f->inline_begin(node, req, &fd, &offset))
        return false;
    if (block_uring_submit(ring, req, fd, offset))
        return true;
    if (f->inline_end)
        f->inline_end(node, req);
    return false;
}

void bn_inline_done(BlockReq *req, int res)
{
    BlockNode *node = req->node;
    if (node->format->inline_end)
        node->format->inline_end(node, req);
    if (res >= 0 && (uint64_t)res != req->len) {
        /* The end of the file, a signal, a full disk: rare, and the pool knows how to go on. */
        block_ctx_run(node->ctx, req_work, req);
        return;
    }
    req->ret = res < 0 ? res : 0;
    int64_t ns = clock_now_ns(&clock_host) - req->start_ns;
    g_mutex_lock(&node->lock);
    node->stats.inline_reqs++;
    g_mutex_unlock(&node->lock);
    stats_add(node, req->op, req->len, req->ret, ns);
    req_done(req);
}

void bn_req_start(BlockReq *req)
{
    if ((unsigned)req->op >= BLOCK_OPS || req_check(req->node, req->op, req->offset, req->len) < 0)
        bn_req_complete(req, (unsigned)req->op >= BLOCK_OPS ? -EINVAL : req_check(req->node, req->op, req->offset, req->len));
    else if (!start_inline(req))
        block_ctx_run(req->node->ctx, req_work, req);
}

void block_submit(BlockNode *node, BlockReq *req)
{
    req->node = node;
    req->next = NULL;
    req->start_ns = clock_now_ns(&clock_host);
    g_mutex_lock(&node->lock);
    bool park = node->quiesced > 0;
    if (park) {
        *node->parked_last = req;
        node->parked_last = &req->next;
    } else {
        node->in_flight++;
    }
    bool limited = node->throttle;
    g_mutex_unlock(&node->lock);
    if (!park && !(limited && bn_throttle(node, req)))
        bn_req_start(req);
}

void block_drain_begin(BlockNode *node, Loop *own)
{
    g_mutex_lock(&node->lock);
    node->quiesced++;
    bn_throttle_release(node);
    while (node->in_flight) {
        if (!own) {
            g_cond_wait(&node->idle, &node->lock);
            continue;
        }
        g_cond_wait_until(&node->idle, &node->lock, clock_now_ns(&clock_host) / 1000 + 200);
        g_mutex_unlock(&node->lock);
        while (loop_iterate(own, false))
            ;
        g_mutex_lock(&node->lock);
    }
    g_mutex_unlock(&node->lock);
}

void block_drain_end(BlockNode *node)
{
    g_mutex_lock(&node->lock);
    g_assert(node->quiesced > 0);
    BlockReq *req = NULL;
    if (--node->quiesced == 0) {
        req = node->parked;
        node->parked = NULL;
        node->parked_last = &node->parked;
        for (BlockReq *r = req; r; r = r->next)
            node->in_flight++;
    }
    g_mutex_unlock(&node->lock);
    while (req) {
        BlockReq *next = req->next;
        bn_req_start(req);
        req = next;
    }
}

void block_stats(BlockNode *node, BlockStats *ret_stats)
{
    g_mutex_lock(&node->lock);
    *ret_stats = node->stats;
    ret_stats->in_flight = node->in_flight;
    g_mutex_unlock(&node->lock);
    ret_stats->metadata_bytes = node->format->cache_bytes ? node->format->cache_bytes(node) : 0;
}

/* ---- blocking calls ---- */

static int node_call(BlockNode *node, BlockOp op, unsigned flags, uint64_t offset, uint64_t len, BlockIov io)
{
    g_mutex_lock(&node->lock);
    node->in_flight++;
    bool limited = node->throttle;
    g_mutex_unlock(&node->lock);
    int64_t start = clock_now_ns(&clock_host);
    if (limited)
        bn_throttle_wait(node, op, len);
    int r = node_exec(node, op, flags, offset, len, io);
    stats_add(node, op, len, r, clock_now_ns(&clock_host) - start);
    g_mutex_lock(&node->lock);
    if (--node->in_flight == 0)
        g_cond_broadcast(&node->idle);
    g_mutex_unlock(&node->lock);
    return r;
}

int block_pread(BlockNode *node, uint64_t offset, void *buf, uint64_t len)
{
    struct iovec vec;
    return node_call(node, BLOCK_READ, 0, offset, len, biov_buf(&vec, buf, len));
}

int block_pwrite(BlockNode *node, uint64_t offset, const void *buf, uint64_t len, unsigned flags)
{
    struct iovec vec;
    return node_call(node, BLOCK_WRITE, flags, offset, len, biov_buf(&vec, buf, len));
}

int block_pwrite_zeroes(BlockNode *node, uint64_t offset, uint64_t len, unsigned flags)
{
    return node_call(node, BLOCK_WRITE_ZEROES, flags, offset, len, (BlockIov){ 0 });
}

int block_pdiscard(BlockNode *node, uint64_t offset, uint64_t len)
{
    return node_call(node, BLOCK_DISCARD, 0, offset, len, (BlockIov){ 0 });
}

int block_flush(BlockNode *node)
{
    return node_call(node, BLOCK_FLUSH, 0, 0, 0, (BlockIov){ 0 });
}

/* ---- properties ---- */

const char *block_name(const BlockNode *node) { return node->name; }
const char *block_format_name(const BlockNode *node) { return node->format->name; }
uint64_t block_length(const BlockNode *node) { return node->length; }
bool block_read_only(const BlockNode *node) { return node->read_only; }
bool block_padded(const BlockNode *node) { return node->padded; }
bool block_write_cache(const BlockNode *node) { return g_atomic_int_get(&node->write_cache); }
void block_set_write_cache(BlockNode *node, bool on) { g_atomic_int_set(&node->write_cache, on); }
uint32_t block_opt_io_size(const BlockNode *node) { return node->opt_io_size; }
uint32_t block_discard_granularity(const BlockNode *node) { return node->discard_granularity; }
BlockNode *block_backing(const BlockNode *node) { return node->backing; }
BlockNode *block_file(const BlockNode *node) { return node->file; }
const char *block_backing_name(const BlockNode *node) { return node->backing_name; }
const char *block_backing_format(const BlockNode *node) { return node->backing_format; }

void block_on_resize(BlockNode *node, LoopFn *fn, void *opaque)
{
    node->on_resize = fn;
    node->on_resize_opaque = opaque;
}

bool block_resize(BlockNode *node, uint64_t length, BlockPrealloc prealloc, GError **err)
{
    if (node->read_only || !node->format->resize) {
        block_error(err, 0, node->read_only ? "'%s' is read-only" : "'%s' cannot change its size", node->name);
        return false;
    }
    if (length > INT64_MAX) {
        block_error(err, 0, "%" PRIu64 " bytes are more than an image can have", length);
        return false;
    }
    block_drain_begin(node, NULL);
    int r = node->format->resize(node, length, prealloc, err);
    if (r == 0)
        node->length = length;
    block_drain_end(node);
    if (r < 0 && err && !*err)
        block_error(err, r, "cannot resize '%s'", node->name);
    if (r == 0 && node->on_resize)
        node->on_resize(node->on_resize_opaque);
    return r == 0;
}

/* ---- status ---- */

int block_status(BlockNode *node, uint64_t offset, uint64_t len, BlockStatus *ret_status)
{
    if (offset >= node->length)
        return -EINVAL;
    len = MIN(len, node->length - offset);
    *ret_status = (BlockStatus){ .len = len, .flags = BLOCK_ST_DATA | BLOCK_ST_ALLOCATED };
    int r = node->format->status ? node->format->status(node, offset, len, ret_status) : 0;
    if (r < 0)
        return r;
    ret_status->len = MIN(ret_status->len, len);
    if (offset + ret_status->len == node->length)
        ret_status->flags |= BLOCK_ST_EOF;
    return 0;
}

int block_status_chain(BlockNode *node, const BlockNode *base, uint64_t offset, uint64_t len, BlockStatus *ret_status)
{
    BlockStatus st = { .len = len };
    for (unsigned depth = 0; node && node != base; node = node->backing, depth++) {
        if (offset >= node->length) {
            /* The upper layer is longer: what is not in it reads as zeros. */
            st.flags = BLOCK_ST_ZERO | (depth ? BLOCK_ST_ALLOCATED : 0);
            st.depth = depth;
            break;
        }
        int r = block_status(node, offset, len, &st);
        if (r < 0)
            return r;
        st.depth = depth;
        len = st.len;
        if (st.flags & BLOCK_ST_ALLOCATED)
            break;
        if (!node->backing)
            st.flags |= BLOCK_ST_ZERO;
    }
    *ret_status = st;
    return 0;
}
