/* Requests, drain, cache modes and locks, on a raw image. */
#include "tests/block/check.h"

#include <errno.h>
#include <immintrin.h>
#include <string.h>
#include <unistd.h>

enum { SIZE = 1 << 20, DEPTH = 32 };

typedef struct Fixture {
    BlockCtx *ctx;
    BlockNode *node;
    Loop *loop;
    char *dir, *path;
    uint8_t *model;
    unsigned pending, parked_done;
} Fixture;

static void setup(Fixture *f, BlockCache cache, bool no_uring)
{
    GError *err = NULL;
    *f = (Fixture){ .ctx = block_ctx_new(4), .loop = loop_new(NULL), .model = g_malloc0(SIZE) };
    f->dir = g_dir_make_tmp("tandem-block-XXXXXX", NULL);
    f->path = g_build_filename(f->dir, "a.raw", NULL);
    BlockCreateOpts c = { .format = "raw", .name = f->path, .size = SIZE, .have_size = true };
    CHECK_OK(block_create(f->ctx, &c, NULL, &err), err);
    BlockOpenOpts o = { .format = "raw", .writable = true, .cache = cache, .discard = true, .no_uring = no_uring };
    f->node = block_open(f->ctx, f->path, &o, &err);
    CHECK_OK(f->node, err);
    CHECK(block_length(f->node) == SIZE);
}

static void teardown(Fixture *f)
{
    CHECK(block_close(f->node) == 0);
    block_ctx_free(f->ctx);
    loop_unref(f->loop);
    unlink(f->path);
    rmdir(f->dir);
    g_free(f->path);
    g_free(f->dir);
    g_free(f->model);
}

typedef struct TestReq {
    BlockReq req;
    struct iovec iov[3];
    uint8_t buf[24 * 1024];
    Fixture *f;
    bool submitting;
} TestReq;

static void test_done(BlockReq *req, int ret)
{
    TestReq *t = req->opaque;
    CHECK(!t->submitting, "done inside submit");
    CHECK(ret == 0, "op %d: %d", req->op, ret);
    t->f->pending--;
}

static void fill(TestReq *t, Fixture *f, BlockOp op, uint64_t offset, uint64_t len)
{
    t->f = f;
    uint64_t a = len / 3, b = len / 5;
    t->iov[0] = (struct iovec){ t->buf, a };
    t->iov[1] = (struct iovec){ t->buf + a, b };
    t->iov[2] = (struct iovec){ t->buf + a + b, len - a - b };
    t->req = (BlockReq){ .op = op, .offset = offset, .len = len, .iov = t->iov, .niov = 3, .done = test_done, .opaque = t,
                         .loop = f->loop };
}

static void run(Fixture *f, TestReq *reqs, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        f->pending++;
        reqs[i].submitting = true;
        block_submit(f->node, &reqs[i].req);
        reqs[i].submitting = false;
    }
    while (f->pending)
        loop_iterate(f->loop, true);
}

static void test_requests(BlockCache cache, bool no_uring, GRand *rand)
{
    Fixture f;
    setup(&f, cache, no_uring);
    TestReq *reqs = g_new0(TestReq, DEPTH);
    for (int round = 0; round < 40; round++) {
        for (int i = 0; i < DEPTH; i++) {
            /* Each request in its own 32 KiB, so that the order does not matter. */
            uint64_t off = (uint64_t)i * 32768 + (uint64_t)g_rand_int_range(rand, 0, 8192);
            uint64_t len = (uint64_t)g_rand_int_range(rand, 1, 24576);
            int kind = g_rand_int_range(rand, 0, 4);
            BlockOp op = kind == 0 ? BLOCK_WRITE_ZEROES : BLOCK_WRITE;
            fill(&reqs[i], &f, op, off, len);
            reqs[i].req.flags = kind == 0 ? BLOCK_REQ_MAY_UNMAP : kind == 1 ? BLOCK_REQ_FUA : 0;
            memset(reqs[i].buf, g_rand_int_range(rand, 0, 256), len);
            if (op == BLOCK_WRITE)
                memcpy(f.model + off, reqs[i].buf, len);
            else
                memset(f.model + off, 0, len);
        }
        run(&f, reqs, DEPTH);
        for (int i = 0; i < DEPTH; i++)
            fill(&reqs[i], &f, BLOCK_READ, (uint64_t)i * 32768, 24576);
        run(&f, reqs, DEPTH);
        for (int i = 0; i < DEPTH; i++)
            CHECK(!memcmp(reqs[i].buf, f.model + (size_t)i * 32768, 24576), "round %d request %d", round, i);
    }
    fill(&reqs[0], &f, BLOCK_FLUSH, 0, 0);
    run(&f, reqs, 1);
    BlockStats st;
    block_stats(f.node, &st);
    CHECK(!no_uring || !st.inline_reqs);
    CHECK(st.reqs[BLOCK_READ] == 40 * DEPTH && st.errors[BLOCK_WRITE] == 0 && st.in_flight == 0);
    g_free(reqs);
    teardown(&f);
}

static void parked_done(BlockReq *req, int ret)
{
    TestReq *t = req->opaque;
    t->f->parked_done++;
}

static void failed_done(BlockReq *req, int ret)
{
    TestReq *t = req->opaque;
    CHECK(ret == (req->op == BLOCK_READ ? -EIO : -ENOSPC));
    t->f->pending--;
}

static void test_drain(void)
{
    Fixture f;
    setup(&f, BLOCK_CACHE_WRITEBACK, false);
    TestReq *t = g_new0(TestReq, 1);
    block_drain_begin(f.node, f.loop);
    fill(t, &f, BLOCK_WRITE, 0, 4096);
    t->req.done = parked_done;
    block_submit(f.node, &t->req);
    for (int i = 0; i < 20; i++) {
        loop_iterate(f.loop, false);
        g_usleep(500);
    }
    CHECK(f.parked_done == 0);
    block_drain_end(f.node);
    block_drain_begin(f.node, f.loop);
    CHECK(f.parked_done == 1);
    block_drain_end(f.node);
    for (int op = BLOCK_READ; op <= BLOCK_WRITE; op++) {
        fill(t, &f, op, SIZE - 10, 11);
        t->req.done = failed_done;
        run(&f, t, 1);
        fill(t, &f, op, UINT64_MAX - 5, 11);
        t->req.done = failed_done;
        run(&f, t, 1);
    }
    g_free(t);
    teardown(&f);
}

static void test_locks(void)
{
    Fixture f;
    setup(&f, BLOCK_CACHE_WRITEBACK, false);
    GError *err = NULL;
    BlockOpenOpts o = { .format = "raw" };
    CHECK(!block_open(f.ctx, f.path, &o, &err) && strstr(err->message, "lock"));
    g_clear_error(&err);
    o.force_share = true;
    BlockNode *n = block_open(f.ctx, f.path, &o, &err);
    CHECK_OK(n, err);
    CHECK(block_pwrite(n, 0, "x", 1, 0) == -EROFS);
    block_unref(n);
    BlockCreateOpts c = { .format = "raw", .name = f.path, .size = 512, .have_size = true };
    CHECK(!block_create(f.ctx, &c, NULL, &err) && strstr(err->message, "lock"));
    g_clear_error(&err);
    CHECK(block_resize(f.node, SIZE * 2, BLOCK_PREALLOC_OFF, &err) && block_length(f.node) == SIZE * 2);
    uint8_t byte = 1;
    CHECK(block_pread(f.node, SIZE * 2 - 1, &byte, 1) == 0 && byte == 0);
    teardown(&f);
}

static int64_t limited_ms(Fixture *f, TestReq *reqs, int op, const BlockLimits *limits)
{
    GError *err = NULL;
    CHECK_OK(block_set_limits(f->node, limits, &err), err);
    for (int i = 0; i < DEPTH; i++)
        fill(&reqs[i], f, op, (uint64_t)i * 4096, 4096);
    int64_t start = clock_now_ns(&clock_host);
    _mm_setcsr(_mm_getcsr() & ~0x3fu);
    run(f, reqs, DEPTH);
    CHECK(!(_mm_getcsr() & 0x3f));        /* a guest's flags may be live: no floating point */
    return (clock_now_ns(&clock_host) - start) / 1000000;
}

/* 32 requests of 4 KiB. Only the lower bound of the time is sure on a loaded host; what must not wait is set to hours. */
static void test_limits(void)
{
    enum { SLOW = 1 };
    static const struct { int op; BlockLimits limits; int64_t min_ms; } t[] = {
        /* 100 ms worth are 10 requests, each of the others takes 10 ms. */
        { BLOCK_WRITE, { .limit[BLOCK_LIMIT_REQS] = { 100 } }, 215 },
        { BLOCK_READ, { .limit[BLOCK_LIMIT_BYTES] = { 100 * 4096 } }, 215 },
        { BLOCK_READ, { .limit[BLOCK_LIMIT_REQS_READ] = { 99 }, .limit[BLOCK_LIMIT_REQS_WRITE] = { SLOW } }, 215 },
        { BLOCK_WRITE, { .limit[BLOCK_LIMIT_BYTES_WRITE] = { 100 * 4096 }, .limit[BLOCK_LIMIT_BYTES_READ] = { SLOW } }, 215 },
        /* A request of 4 KiB counts as two. */
        { BLOCK_WRITE, { .limit[BLOCK_LIMIT_REQS] = { 100 }, .req_size = 2048 }, 530 },
        /* The burst takes all of them at once. */
        { BLOCK_WRITE, { .limit[BLOCK_LIMIT_REQS] = { SLOW, 40 } }, 0 },
        /* The burst is long enough, its rate of 100 limits. */
        { BLOCK_WRITE, { .limit[BLOCK_LIMIT_REQS] = { SLOW, 100, 2 } }, 215 },
    };
    static const BlockLimits bad[] = {
        { .limit[BLOCK_LIMIT_REQS] = { 1 }, .limit[BLOCK_LIMIT_REQS_READ] = { 1 } },
        { .limit[BLOCK_LIMIT_BYTES] = { 0, 5 } }, { .limit[BLOCK_LIMIT_BYTES] = { 6, 5 } }, { .limit[BLOCK_LIMIT_BYTES] = { 6, 0, 5 } },
        { .limit[BLOCK_LIMIT_BYTES] = { UINT64_MAX } }, { .limit[BLOCK_LIMIT_BYTES] = { 6 }, .req_size = 5 },
        { .limit[BLOCK_LIMIT_REQS] = { 1000000, 1000000000000000, 1000 } },
    };
    Fixture f;
    setup(&f, BLOCK_CACHE_WRITEBACK, false);
    TestReq *reqs = g_new0(TestReq, DEPTH);
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        GError *err = NULL;
        CHECK(!block_set_limits(f.node, &bad[i], &err) && err, "%u", i);
        g_clear_error(&err);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(t); i++) {
        int64_t ms = limited_ms(&f, reqs, t[i].op, &t[i].limits);
        CHECK(ms >= t[i].min_ms, "%u: %d ms", i, (int)ms);
    }
    /* A drain does not wait for what is held back: it would take half a minute. */
    BlockLimits slow = { .limit[BLOCK_LIMIT_REQS] = { SLOW } };
    GError *err = NULL;
    CHECK_OK(block_set_limits(f.node, &slow, &err), err);
    for (int i = 0; i < DEPTH; i++) {
        fill(&reqs[i], &f, BLOCK_WRITE, (uint64_t)i * 4096, 4096);
        f.pending++;
        block_submit(f.node, &reqs[i].req);
    }
    int64_t start = clock_now_ns(&clock_host);
    block_drain_begin(f.node, f.loop);
    CHECK(f.pending == 0 && clock_now_ns(&clock_host) - start < 25000000000, "%d pending", (int)f.pending);
    block_drain_end(f.node);
    g_free(reqs);
    teardown(&f);
}

static void test_on_error(void)
{
    BlockOnError e;
    GError *err = NULL;
    Fixture f;
    setup(&f, BLOCK_CACHE_WRITEBACK, false);
    CHECK(block_on_error(f.node, true, BLOCK_ON_ERROR_AUTO) == BLOCK_ON_ERROR_ENOSPC);
    CHECK(block_on_error(NULL, false, BLOCK_ON_ERROR_AUTO) == BLOCK_ON_ERROR_REPORT);
    block_set_on_error(f.node, BLOCK_ON_ERROR_STOP, BLOCK_ON_ERROR_IGNORE);
    CHECK(block_on_error(f.node, true, BLOCK_ON_ERROR_AUTO) == BLOCK_ON_ERROR_IGNORE);
    CHECK(block_on_error(f.node, false, BLOCK_ON_ERROR_AUTO) == BLOCK_ON_ERROR_STOP);
    CHECK(block_on_error(f.node, false, BLOCK_ON_ERROR_REPORT) == BLOCK_ON_ERROR_REPORT);
    CHECK(block_parse_on_error("enospc", true, &e, &err) && e == BLOCK_ON_ERROR_ENOSPC);
    CHECK(block_parse_on_error(NULL, true, &e, &err) && e == BLOCK_ON_ERROR_AUTO);
    CHECK(!block_parse_on_error("enospc", false, &e, &err) && strstr(err->message, "rerror"));
    g_clear_error(&err);
    CHECK(!block_parse_on_error("explode", true, &e, NULL));
    teardown(&f);
}

static void test_sizes(void)
{
    static const struct { const char *text; uint64_t size; bool ok; } t[] = {
        { "64M", 64 << 20, true }, { "1.5G", 1536u << 20, true }, { "512", 512, true }, { "0x200", 512, true },
        { "10k", 10240, true }, { "", 0, false }, { "-1", 0, false }, { "99999999T", 0, false }, { "1Q", 0, false },
        { "20000000000000000000", 0, false }, { "1MB", 0, false },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(t); i++) {
        uint64_t size = 0;
        CHECK(block_parse_size(t[i].text, &size) == t[i].ok && size == t[i].size, "%s", t[i].text);
    }
}

int main(void)
{
    uint32_t seed = getenv("SEED") ? (uint32_t)atoi(getenv("SEED")) : g_random_int();
    printf("SEED=%u\n", seed);
    GRand *rand = g_rand_new_with_seed(seed);
    test_sizes();
    test_requests(BLOCK_CACHE_WRITEBACK, false, rand);
    test_requests(BLOCK_CACHE_UNSAFE, false, rand);
    test_requests(BLOCK_CACHE_NONE, false, rand);
    test_requests(BLOCK_CACHE_WRITEBACK, true, rand);
    test_requests(BLOCK_CACHE_NONE, true, rand);
    test_drain();
    test_locks();
    test_limits();
    test_on_error();
    g_rand_free(rand);
    return 0;
}
