#include "block/uring.h"

#include <liburing.h>

enum { RING_ENTRIES = 256, REAP = 64 };

struct BlockUring {
    struct io_uring ring;
    GMutex lock;                /* the submission queue */
    Loop *loop;
    LoopFd *watch;
};

/* Take a batch off the queue before any completion runs: a completion may submit, and may run the loop (drain). */
static void reap(void *opaque, GIOCondition ready)
{
    BlockUring *u = opaque;
    BlockReq *reqs[REAP];
    int res[REAP];
    struct io_uring_cqe *cqes[REAP];
    unsigned n;
    do {
        n = io_uring_peek_batch_cqe(&u->ring, cqes, REAP);
        for (unsigned i = 0; i < n; i++) {
            reqs[i] = io_uring_cqe_get_data(cqes[i]);
            res[i] = cqes[i]->res;
        }
        io_uring_cq_advance(&u->ring, n);
        for (unsigned i = 0; i < n; i++)
            bn_inline_done(reqs[i], res[i]);
    } while (n == REAP);
}

BlockUring *block_uring_new(Loop *loop)
{
    BlockUring *u = g_new0(BlockUring, 1);
    if (io_uring_queue_init(RING_ENTRIES, &u->ring, IORING_SETUP_CLAMP) < 0) {
        g_free(u);
        return NULL;
    }
    g_mutex_init(&u->lock);
    u->loop = loop_ref(loop);
    u->watch = loop_fd_new(loop, u->ring.ring_fd, G_IO_IN, reap, u);
    return u;
}

void block_uring_free(BlockUring *u)
{
    if (!u)
        return;
    loop_fd_free(u->watch);
    io_uring_queue_exit(&u->ring);
    g_mutex_clear(&u->lock);
    loop_unref(u->loop);
    g_free(u);
}

bool block_uring_submit(BlockUring *u, BlockReq *req, int fd, uint64_t offset)
{
    g_mutex_lock(&u->lock);
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
    if (sqe) {
        if (req->op == BLOCK_READ)
            io_uring_prep_readv(sqe, fd, req->iov, req->niov, offset);
        else
            io_uring_prep_writev(sqe, fd, req->iov, req->niov, offset);
        io_uring_sqe_set_data(sqe, req);
        /* What is in the queue is as good as submitted: should the kernel be short of memory now, the next call, or
         * the loop, takes it along. */
        while (io_uring_submit(&u->ring) < 0)
            g_thread_yield();
    }
    g_mutex_unlock(&u->lock);
    return sqe != NULL;
}
