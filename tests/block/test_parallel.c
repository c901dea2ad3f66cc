/*
 * Many requests at once on one qcow2 image: writers of neighbouring pieces that share clusters, readers, zeros, discards
 * and flushes, from a Loop and from threads that call directly. Each piece has one owner at a time, so its content is known.
 */
#include "tests/block/check.h"

#include <string.h>
#include <unistd.h>

enum { DISK = 8 << 20, UNIT = 3000, DEPTH = 24, THREADS = 3 };

typedef struct Test Test;

typedef struct Piece {
    BlockReq req;
    struct iovec vec;
    Test *test;
    uint64_t offset, len;
    uint8_t expect;
    bool verifying;
    uint8_t *buf;
} Piece;

struct Test {
    BlockCtx *ctx;
    BlockNode *node;
    Loop *loop;
    GRand *rand;
    unsigned left, in_flight;
    Piece pieces[DEPTH];
};

static void step(Piece *p);

static void done(BlockReq *req, int ret)
{
    Piece *p = req->opaque;
    CHECK(ret == 0, "op %d at %#" PRIx64 ": %s", req->op, req->offset, g_strerror(-ret));
    p->test->in_flight--;
    if (req->op == BLOCK_READ)
        for (uint64_t i = 0; i < p->len; i++)
            CHECK(p->buf[i] == p->expect, "byte %#" PRIx64 " is %#x, not %#x", p->offset + i, p->buf[i], p->expect);
    step(p);
}

static void step(Piece *p)
{
    Test *t = p->test;
    if (!t->left)
        return;
    t->left--;
    int k = g_rand_int_range(t->rand, 0, 10);
    p->req.flags = 0;
    p->req.op = k < 5 ? BLOCK_WRITE : k < 8 ? BLOCK_READ : k == 8 ? BLOCK_WRITE_ZEROES : BLOCK_FLUSH;
    if (p->req.op == BLOCK_WRITE) {
        p->expect = (uint8_t)g_rand_int_range(t->rand, 1, 256);
        memset(p->buf, p->expect, p->len);
    } else if (p->req.op == BLOCK_WRITE_ZEROES) {
        p->expect = 0;
        p->req.flags = g_rand_boolean(t->rand) ? BLOCK_REQ_MAY_UNMAP : 0;
    }
    t->in_flight++;
    block_submit(t->node, &p->req);
}

typedef struct Direct {
    BlockCtx *ctx;
    BlockNode *node;
    uint64_t base;              /* a part of the disk that is this thread's alone */
    uint32_t seed;
} Direct;

/* Every second UNIT of the part, so that clusters are shared with the neighbours of another thread's part. */
static void *direct_thread(void *opaque)
{
    Direct *d = opaque;
    GRand *rand = g_rand_new_with_seed(d->seed);
    enum { N = 40 };
    uint8_t expect[N] = { 0 }, buf[UNIT];
    for (int i = 0; i < 1500; i++) {
        int k = g_rand_int_range(rand, 0, N), kind = g_rand_int_range(rand, 0, 20);
        uint64_t offset = d->base + (uint64_t)k * UNIT * THREADS;
        if (kind < 10) {
            expect[k] = (uint8_t)g_rand_int_range(rand, 1, 256);
            memset(buf, expect[k], UNIT);
            CHECK(block_pwrite(d->node, offset, buf, UNIT, 0) == 0);
        } else if (kind < 17) {
            CHECK(block_pread(d->node, offset, buf, UNIT) == 0);
            for (int b = 0; b < UNIT; b++)
                CHECK(buf[b] == expect[k], "byte %#" PRIx64 " is %#x, not %#x", offset + (uint64_t)b, buf[b], expect[k]);
        } else if (kind < 19) {
            expect[k] = 0;
            CHECK(block_pwrite_zeroes(d->node, offset, UNIT, BLOCK_REQ_MAY_UNMAP) == 0);
        } else {
            CHECK(block_flush(d->node) == 0);
            block_ctx_trim(d->ctx);     /* so that tables are read again in the middle of it */
        }
    }
    g_rand_free(rand);
    return NULL;
}

static void one(const char *const *options, uint32_t seed, bool discard)
{
    GError *err = NULL;
    Test *t = g_new0(Test, 1);
    t->ctx = block_ctx_new(6);
    t->loop = loop_new(NULL);
    t->rand = g_rand_new_with_seed(seed);
    t->left = 4000;
    g_autofree char *dir = g_dir_make_tmp("tandem-par-XXXXXX", NULL), *path = g_build_filename(dir, "a.qcow2", NULL);
    BlockCreateOpts c = { .format = "qcow2", .name = path, .size = DISK, .have_size = true, .options = options, .cache = BLOCK_CACHE_UNSAFE };
    CHECK_OK(block_create(t->ctx, &c, NULL, &err), err);
    BlockOpenOpts o = { .format = "qcow2", .writable = true, .cache = BLOCK_CACHE_UNSAFE, .discard = discard };
    t->node = block_open(t->ctx, path, &o, &err);
    CHECK_OK(t->node, err);
    GThread *threads[THREADS];
    Direct direct[THREADS];
    for (int i = 0; i < THREADS; i++) {
        direct[i] = (Direct){ t->ctx, t->node, DISK / 2 + (uint64_t)i * UNIT, seed + 1 + (uint32_t)i };
        threads[i] = g_thread_new("direct", direct_thread, &direct[i]);
    }
    for (int i = 0; i < DEPTH; i++) {
        Piece *p = &t->pieces[i];
        *p = (Piece){ .test = t, .offset = (uint64_t)i * UNIT * 3, .len = UNIT * 3 - (uint64_t)i * 7, .buf = g_malloc(UNIT * 3) };
        p->vec = (struct iovec){ p->buf, p->len };
        p->req = (BlockReq){ .offset = p->offset, .len = p->len, .iov = &p->vec, .niov = 1, .done = done, .opaque = p, .loop = t->loop };
        step(p);
    }
    while (t->in_flight)
        loop_iterate(t->loop, true);
    for (int i = 0; i < THREADS; i++)
        g_thread_join(threads[i]);
    block_drain_begin(t->node, t->loop);
    block_drain_end(t->node);
    CHECK(block_flush(t->node) == 0);
    BlockCheck check = { 0 };
    CHECK(block_check(t->node, 0, &check) == 0 && !check.corruptions && !check.leaks, "%" PRIu64 " corruptions, %" PRIu64 " leaks",
          check.corruptions, check.leaks);
    /* The cache of metadata shrinks when idle; what is used again comes back. */
    BlockStats before, after;
    uint8_t byte;
    CHECK(block_flush(t->node) == 0);   /* refcounts that went down with the last one */
    block_stats(t->node, &before);
    block_ctx_trim(t->ctx);
    CHECK(block_pread(t->node, 0, &byte, 1) == 0);
    block_ctx_trim(t->ctx);
    block_ctx_trim(t->ctx);
    block_stats(t->node, &after);
    /* Lazy refcounts may stay dirty. */
    CHECK(after.metadata_bytes < before.metadata_bytes, "%" PRIu64 " bytes, then %" PRIu64, before.metadata_bytes, after.metadata_bytes);
    CHECK(block_close(t->node) == 0);
    block_ctx_free(t->ctx);
    loop_unref(t->loop);
    for (int i = 0; i < DEPTH; i++)
        g_free(t->pieces[i].buf);
    g_rand_free(t->rand);
    g_free(t);
    unlink(path);
    rmdir(dir);
}

int main(void)
{
    static const char *const kinds[][4] = {
        { NULL }, { "cluster_size=512", NULL }, { "cluster_size=4k", "refcount_bits=1", NULL },
        { "extended_l2=on", "cluster_size=32k", NULL }, { "lazy_refcounts=on", "cluster_size=16k", NULL },
    };
    uint32_t seed = getenv("SEED") ? (uint32_t)strtoul(getenv("SEED"), NULL, 10) : g_random_int();
    printf("SEED=%u\n", seed);
    fflush(stdout);
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++)
        for (int discard = 0; discard < 2; discard++)
            one(kinds[i], seed + i * 10, discard);
    return 0;
}
