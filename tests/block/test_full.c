/*
 * The disk gets full at any allocation. The operation that hits it fails, nothing else is lost, nothing is damaged, and
 * once there is room again all goes on.
 */
#include "tests/block/memlog.h"

#include <errno.h>
#include <string.h>

enum { DISK = 512 << 10, MAX_WRITE = 20000, OPS = 40 };

typedef struct Full {
    BlockCtx *ctx;
    Memlog log, data;           /* the image, its external data file */
    BlockNode *node;
    GRand *rand;
    uint8_t model[DISK], buf[DISK], got[DISK];
    unsigned failures;
    uint64_t cluster;
    bool external;
} Full;

static void accept(Full *f, int r, const char *what)
{
    CHECK(r == 0 || r == -ENOSPC, "%s: %s", what, g_strerror(-r));
    f->failures += r < 0;
}

/* After a failure both the old and the new byte are fine; reading settles which. */
static void settle(Full *f, uint64_t offset, uint64_t len, int r)
{
    if (r == 0)
        memcpy(f->model + offset, f->buf, len);
    CHECK(block_pread(f->node, offset, f->got, len) == 0);
    for (uint64_t i = 0; i < len; i++) {
        uint8_t old = f->model[offset + i];
        CHECK(f->got[i] == old || (r < 0 && f->got[i] == f->buf[i]), "byte %#" PRIx64 " is %#x, not %#x", offset + i, f->got[i], old);
        f->model[offset + i] = f->got[i];
    }
}

static void step(Full *f)
{
    uint64_t len = (uint64_t)g_rand_int_range(f->rand, 1, MAX_WRITE), offset = (uint64_t)g_rand_int_range(f->rand, 0, DISK - MAX_WRITE);
    int kind = g_rand_int_range(f->rand, 0, 22), r;
    GError *err = NULL;
    if (kind < 12) {
        memset(f->buf, g_rand_int_range(f->rand, 1, 256), len);
        r = block_pwrite(f->node, offset, f->buf, len, 0);
        accept(f, r, "write");
        settle(f, offset, len, r);
    } else if (kind < 15) {
        r = block_pwrite_zeroes(f->node, offset, len, kind & 1 ? BLOCK_REQ_MAY_UNMAP : 0);
        accept(f, r, "zero");
        memset(f->buf, 0, len);
        settle(f, offset, len, r);
    } else if (kind < 18) {
        accept(f, block_flush(f->node), "flush");
    } else if (kind < 20) {
        offset -= offset % f->cluster;
        len = MIN((len + f->cluster - 1) / f->cluster * f->cluster, DISK - offset);
        memset(f->buf, g_rand_int_range(f->rand, 1, 256), len);
        r = block_pwrite(f->node, offset, f->buf, len, f->external ? 0 : BLOCK_REQ_COMPRESS);
        accept(f, r, "compressed write");
        settle(f, offset, len, r);
    } else {
        g_autofree char *name = g_strdup_printf("s%d", g_rand_int_range(f->rand, 0, 3));
        BlockSnapshot sn = { .name = name };
        bool ok = kind == 20 ? block_snapshot_create(f->node, &sn, &err) : block_snapshot_delete(f->node, name, &err);
        CHECK(ok || strstr(err->message, "No space") || strstr(err->message, "not found") || strstr(err->message, "impossible") ||
              strstr(err->message, "refcount"), "%s", err->message);
        f->failures += !ok && strstr(err->message, "No space");
        g_clear_error(&err);
    }
}

static void compare(Full *f, uint64_t budget)
{
    int r = block_pread(f->node, 0, f->buf, DISK);
    CHECK(r == 0, "read: %s", g_strerror(-r));
    for (uint64_t i = 0; i < DISK; i++)
        CHECK(f->buf[i] == f->model[i], "budget %" PRIu64 ": byte %#" PRIx64 " is %#x, not %#x",
              budget, i, f->buf[i], f->model[i]);
}

static bool load(Memlog *m, const char *path)
{
    g_autofree char *data = NULL;
    gsize len;
    if (!g_file_get_contents(path, &data, &len, NULL))
        return false;
    MemlogEvent e = { MEMLOG_WRITE, 0, len, (uint8_t *)data, 0 };
    memlog_apply(m, &e, NULL);
    remove(path);
    return true;
}

static unsigned one(const char *const *options, uint64_t budget, uint32_t seed)
{
    GError *err = NULL;
    Full *f = g_new0(Full, 1);
    f->ctx = block_ctx_new(1);
    f->rand = g_rand_new_with_seed(seed);
    memlog_init(&f->log, false);
    memlog_init(&f->data, false);
    g_autofree char *dir = g_dir_make_tmp("tandem-full-XXXXXX", NULL), *path = g_build_filename(dir, "a.qcow2", NULL);
    g_autofree char *data_path = g_build_filename(dir, "data", NULL);
    BlockCreateOpts c = { .format = "qcow2", .name = path, .size = DISK, .have_size = true, .options = options, .cache = BLOCK_CACHE_UNSAFE };
    BlockInfo info;
    CHECK_OK(block_create(f->ctx, &c, NULL, &err), err);
    load(&f->log, path);
    f->external = load(&f->data, data_path);
    remove(dir);
    BlockOpenOpts o = { .format = "qcow2", .writable = true, .data_file = f->external ? memlog_node(f->ctx, &f->data) : NULL };
    BlockNode *file = memlog_node(f->ctx, &f->log);
    f->node = block_open_on(file, &o, &err);
    CHECK_OK(f->node, err);
    block_unref(file);
    block_unref(o.data_file);
    CHECK(block_info(f->node, &info) == 0);
    g_variant_unref(info.specific);
    f->cluster = info.cluster_size;
    f->log.fail_after = budget;
    f->data.fail_after = budget / 2;    /* holes count as room here: a data file has its size from the start */
    for (int i = 0; i < OPS; i++)
        step(f);
    f->log.fail_after = f->data.fail_after = UINT64_MAX;
    compare(f, budget);
    CHECK(block_flush(f->node) == 0);
    BlockCheck check = { 0 };
    CHECK(block_check(f->node, 0, &check) == 0 && check.corruptions == check.stale_flags, "budget %" PRIu64 ": %" PRIu64 " corruptions", budget,
          check.corruptions);
    for (int i = 0; i < 10; i++)
        step(f);
    compare(f, budget);
    CHECK(block_close(f->node) == 0);
    unsigned failures = f->failures;
    g_rand_free(f->rand);
    memlog_clear(&f->log);
    memlog_clear(&f->data);
    block_ctx_free(f->ctx);
    g_free(f);
    return failures;
}

int main(void)
{
    static const char *const kinds[][4] = {
        { "cluster_size=512", "refcount_bits=1" }, { "cluster_size=512", "refcount_bits=16" }, { "cluster_size=512", "refcount_bits=64" },
        { "cluster_size=4k" }, { "cluster_size=4k", "compat=0.10" }, { "cluster_size=512", "lazy_refcounts=on" }, { "cluster_size=64k", "refcount_bits=1" },
        { "cluster_size=64k", "refcount_bits=16" }, { "cluster_size=64k", "refcount_bits=64" }, { "cluster_size=16k", "extended_l2=on" },
        { "cluster_size=512", "data_file=data" }, { "cluster_size=2M", "refcount_bits=64" },
    };
    uint32_t seed = getenv("SEED") ? (uint32_t)strtoul(getenv("SEED"), NULL, 10) : g_random_int();
    unsigned failures = 0;
    printf("SEED=%u\n", seed);
    fflush(stdout);
    for (unsigned k = 0; k < G_N_ELEMENTS(kinds); k++)
        for (uint64_t budget = 0; budget < (k + 1 < G_N_ELEMENTS(kinds) ? 300000 : 9000000); budget += 512 + budget / 8)
            failures += one(kinds[k], budget, seed + k);
    printf("%u operations failed for lack of space\n", failures);
    CHECK(failures > 0);
    return 0;
}
