#include "block/format.h"
#include "block/uring.h"

#include <malloc.h>

enum { TRIM_SECONDS = 60 };

/*
 * The worker pool. A worker takes jobs until there are none and then sleeps; a job never waits for another job (child
 * I/O runs in the same worker), so any number of workers, one included, makes progress.
 */
typedef struct PoolJob {
    LoopFn *fn;
    void *opaque;
} PoolJob;

struct BlockCtx {
    GMutex lock;                /* protects all */
    GCond work;
    GQueue jobs;                /* of PoolJob */
    GPtrArray *threads;
    unsigned idle, max;
    bool stop;
    void (*worker_start)(void);
    GHashTable *rings;          /* Loop -> BlockUring, NULL where the host has none */
    int64_t trimmed_ns;
    GMutex nodes_lock;          /* protects nodes; taken before a node's own locks */
    GPtrArray *nodes;
};

void block_ctx_add(BlockCtx *ctx, BlockNode *node)
{
    g_mutex_lock(&ctx->nodes_lock);
    if (node->format->trim)
        g_ptr_array_add(ctx->nodes, node);
    g_mutex_unlock(&ctx->nodes_lock);
}

void block_ctx_remove(BlockCtx *ctx, BlockNode *node)
{
    g_mutex_lock(&ctx->nodes_lock);
    g_ptr_array_remove_fast(ctx->nodes, node);
    g_mutex_unlock(&ctx->nodes_lock);
}

void block_ctx_trim(BlockCtx *ctx)
{
    g_mutex_lock(&ctx->nodes_lock);
    for (guint i = 0; i < ctx->nodes->len; i++) {
        BlockNode *node = g_ptr_array_index(ctx->nodes, i);
        node->format->trim(node);
    }
    g_mutex_unlock(&ctx->nodes_lock);
}

/* Wait for work; the first idle worker after a minute trims. Lock held, dropped meanwhile. */
static void wait_or_trim(BlockCtx *ctx)
{
    int64_t now = clock_now_ns(&clock_host) / 1000, due = ctx->trimmed_ns / 1000 + TRIM_SECONDS * G_TIME_SPAN_SECOND;
    if (due <= now) {
        ctx->trimmed_ns = now * 1000;
        g_mutex_unlock(&ctx->lock);
        block_ctx_trim(ctx);
        malloc_trim(0);
        g_mutex_lock(&ctx->lock);
        return;
    }
    ctx->idle++;
    g_cond_wait_until(&ctx->work, &ctx->lock, due);
    ctx->idle--;
}

static void *pool_thread(void *opaque)
{
    BlockCtx *ctx = opaque;
    bool begun = false;
    g_mutex_lock(&ctx->lock);
    for (;;) {
        PoolJob *job = g_queue_pop_head(&ctx->jobs);
        if (!job) {
            if (ctx->stop)
                break;
            wait_or_trim(ctx);
            continue;
        }
        void (*start)(void) = begun ? NULL : ctx->worker_start;
        g_mutex_unlock(&ctx->lock);
        if (start) {
            start();
            begun = true;
        }
        job->fn(job->opaque);
        g_free(job);
        g_mutex_lock(&ctx->lock);
    }
    g_mutex_unlock(&ctx->lock);
    return NULL;
}

BlockCtx *block_ctx_new(unsigned max_workers)
{
    BlockCtx *ctx = g_new0(BlockCtx, 1);
    g_mutex_init(&ctx->lock);
    g_cond_init(&ctx->work);
    g_queue_init(&ctx->jobs);
    ctx->threads = g_ptr_array_new();
    ctx->rings = g_hash_table_new(NULL, NULL);
    ctx->max = max_workers ? max_workers : 16;
    ctx->trimmed_ns = clock_now_ns(&clock_host);
    g_mutex_init(&ctx->nodes_lock);
    ctx->nodes = g_ptr_array_new();
    return ctx;
}

void block_ctx_set_worker_start(BlockCtx *ctx, void (*fn)(void))
{
    g_mutex_lock(&ctx->lock);
    ctx->worker_start = fn;
    g_mutex_unlock(&ctx->lock);
}

void block_ctx_free(BlockCtx *ctx)
{
    if (!ctx)
        return;
    g_mutex_lock(&ctx->lock);
    ctx->stop = true;
    g_cond_broadcast(&ctx->work);
    g_mutex_unlock(&ctx->lock);
    for (unsigned i = 0; i < ctx->threads->len; i++)
        g_thread_join(g_ptr_array_index(ctx->threads, i));
    g_ptr_array_free(ctx->threads, TRUE);
    GHashTableIter it;
    void *ring;
    g_hash_table_iter_init(&it, ctx->rings);
    while (g_hash_table_iter_next(&it, NULL, &ring))
        block_uring_free(ring);
    g_hash_table_destroy(ctx->rings);
    g_ptr_array_free(ctx->nodes, TRUE);
    g_mutex_clear(&ctx->nodes_lock);
    g_cond_clear(&ctx->work);
    g_mutex_clear(&ctx->lock);
    g_free(ctx);
}

void block_ctx_run(BlockCtx *ctx, LoopFn *fn, void *opaque)
{
    PoolJob *job = g_new(PoolJob, 1);
    *job = (PoolJob){ fn, opaque };
    g_mutex_lock(&ctx->lock);
    g_queue_push_tail(&ctx->jobs, job);
    if (ctx->idle) {
        g_cond_signal(&ctx->work);
    } else if (ctx->threads->len < ctx->max) {
        GThread *t = g_thread_try_new("block", pool_thread, ctx, NULL);
        if (t)
            g_ptr_array_add(ctx->threads, t);
        else
            g_assert(ctx->threads->len);        /* the host refuses even the first thread */
    }
    g_mutex_unlock(&ctx->lock);
}

BlockUring *block_ctx_uring(BlockCtx *ctx, Loop *loop)
{
    void *ring = NULL;
    g_mutex_lock(&ctx->lock);
    if (!g_hash_table_lookup_extended(ctx->rings, loop, NULL, &ring)) {
        ring = block_uring_new(loop);
        g_hash_table_insert(ctx->rings, loop, ring);
    }
    g_mutex_unlock(&ctx->lock);
    return ring;
}

void block_ctx_prepare(BlockCtx *ctx, Loop *loop)
{
    block_ctx_uring(ctx, loop);
}
