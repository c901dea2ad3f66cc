#include "block/format.h"
#include "block/uring.h"

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
    GHashTable *rings;          /* Loop -> BlockUring, NULL where the host has none */
};

static void *pool_thread(void *opaque)
{
    BlockCtx *ctx = opaque;
    g_mutex_lock(&ctx->lock);
    for (;;) {
        PoolJob *job = g_queue_pop_head(&ctx->jobs);
        if (!job) {
            if (ctx->stop)
                break;
            ctx->idle++;
            g_cond_wait(&ctx->work, &ctx->lock);
            ctx->idle--;
            continue;
        }
        g_mutex_unlock(&ctx->lock);
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
    return ctx;
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
