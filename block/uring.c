#include "block/uring.h"

#include <liburing.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

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

/*
 * A ring that takes reads and writes only: a process that was taken over could otherwise open files and sockets through it, past the sandbox,
 * which sees system calls. Kernels before 5.10 know no restrictions: an ordinary ring there.
 */
static bool ring_new(struct io_uring *ring)
{
    static const struct io_uring_restriction only[] = {
        { .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_READV },
        { .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_WRITEV },
        { .opcode = IORING_RESTRICTION_REGISTER_OP, .register_op = IORING_REGISTER_ENABLE_RINGS },
    };
    int r = io_uring_queue_init(RING_ENTRIES, ring, IORING_SETUP_CLAMP | IORING_SETUP_R_DISABLED);
    if (r == -EINVAL)
        return io_uring_queue_init(RING_ENTRIES, ring, IORING_SETUP_CLAMP) == 0;
    if (r < 0)
        return false;
    struct io_uring_restriction copy[G_N_ELEMENTS(only)];
    memcpy(copy, only, sizeof(only));
    /* Debian's liburing declares functions for these two and does not export them. */
    if (syscall(SYS_io_uring_register, ring->ring_fd, IORING_REGISTER_RESTRICTIONS, copy, G_N_ELEMENTS(copy)) == 0 &&
        syscall(SYS_io_uring_register, ring->ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0) == 0)
        return true;
    io_uring_queue_exit(ring);
    return false;
}

BlockUring *block_uring_new(Loop *loop)
{
    BlockUring *u = g_new0(BlockUring, 1);
    if (!ring_new(&u->ring)) {
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
