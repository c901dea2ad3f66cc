/* Backing chains: temporary overlays, commit, loops, missing files, relative names, how long opening takes. */
#include "tests/block/check.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { SIZE = 4 << 20, DEPTH = 10 };

typedef struct Fixture {
    BlockCtx *ctx;
    char *dir;
} Fixture;

static char *in_dir(const Fixture *f, const char *name)
{
    return g_build_filename(f->dir, name, NULL);
}

static void create(const Fixture *f, const char *format, const char *name, const char *backing, const char *backing_format, uint64_t size)
{
    GError *err = NULL;
    g_autofree char *path = in_dir(f, name);
    BlockCreateOpts c = { .format = format, .name = path, .size = size, .have_size = size != 0, .backing = backing,
                          .backing_format = backing_format, .cache = BLOCK_CACHE_UNSAFE };
    CHECK_OK(block_create(f->ctx, &c, NULL, &err), err);
}

static BlockNode *open_it(const Fixture *f, const char *name, bool writable)
{
    GError *err = NULL;
    g_autofree char *path = in_dir(f, name);
    BlockOpenOpts o = { .writable = writable, .cache = BLOCK_CACHE_UNSAFE, .discard = true };
    BlockNode *node = block_open(f->ctx, path, &o, &err);
    CHECK_OK(node, err);
    return node;
}

static void fill(BlockNode *node, uint64_t offset, uint64_t len, int byte)
{
    g_autofree uint8_t *buf = g_malloc(len);
    memset(buf, byte, len);
    CHECK(block_pwrite(node, offset, buf, len, 0) == 0);
}

static void expect(BlockNode *node, uint64_t offset, uint64_t len, int byte)
{
    g_autofree uint8_t *buf = g_malloc(len);
    CHECK(block_pread(node, offset, buf, len) == 0);
    for (uint64_t i = 0; i < len; i++)
        CHECK(buf[i] == byte, "byte %#" PRIx64 " is %#x, not %#x", offset + i, buf[i], byte);
}

static void test_temporary(const Fixture *f, const char *format)
{
    GError *err = NULL;
    g_autofree char *path = in_dir(f, "base");
    create(f, format, "base", NULL, NULL, SIZE);
    BlockNode *node = open_it(f, "base", true);
    fill(node, 0, SIZE / 2, 0x11);
    CHECK(block_close(node) == 0);
    BlockOpenOpts o = { .format = format, .writable = true, .discard = true };
    node = block_open_temporary(f->ctx, path, &o, &err);
    CHECK_OK(node, err);
    CHECK(!block_read_only(node) && block_length(node) == SIZE);
    fill(node, 1000, 100000, 0x22);
    CHECK(block_pwrite_zeroes(node, 1 << 20, 1 << 20, BLOCK_REQ_MAY_UNMAP) == 0);
    CHECK(block_pdiscard(node, 300000, 200000) == 0);
    expect(node, 0, 1000, 0x11);
    expect(node, 1000, 100000, 0x22);
    expect(node, 1 << 20, 1 << 20, 0);
    /* The image is untouched, may be read by others, and not be written to by others. */
    BlockNode *other = open_it(f, "base", false);
    expect(other, 0, SIZE / 2, 0x11);
    block_unref(other);
    block_unref(node);
    node = block_open_temporary(f->ctx, path, &o, &err);
    CHECK_OK(node, err);
    expect(node, 0, SIZE / 2, 0x11);
    fill(node, 5000, 70000, 0x33);
    CHECK(block_pwrite_zeroes(node, 1 << 20, 4096, BLOCK_REQ_MAY_UNMAP) == 0);
    CHECK_OK(block_commit(node, NULL, true, NULL, NULL, NULL, &err), err);
    expect(node, 5000, 70000, 0x33);
    fill(node, 0, 100, 0x44);           /* after the commit: gone with the overlay */
    block_unref(node);
    node = open_it(f, "base", true);
    expect(node, 0, 5000, 0x11);
    expect(node, 5000, 70000, 0x33);
    expect(node, 1 << 20, 4096, 0);
    BlockCheck check = { 0 };
    int r = block_check(node, 0, &check);
    CHECK(r == -ENOTSUP || (r == 0 && !check.corruptions && !check.leaks));
    block_unref(node);
    unlink(path);
}

static void test_commit_refused(const Fixture *f)
{
    GError *err = NULL;
    create(f, "qcow2", "base", NULL, NULL, SIZE);
    create(f, "qcow2", "top", "base", "qcow2", 0);
    BlockNode *node = open_it(f, "top", true), *other = open_it(f, "base", false);
    fill(node, 0, 4096, 1);
    CHECK(!block_commit(node, NULL, true, NULL, NULL, NULL, &err) && strstr(err->message, "lock"), "%s", err ? err->message : "committed");
    g_clear_error(&err);
    expect(node, 0, 4096, 1);
    expect(other, 0, 4096, 0);
    block_unref(other);
    CHECK_OK(block_commit(node, NULL, true, NULL, NULL, NULL, &err), err);
    BlockStatus st;
    CHECK(block_status(node, 0, SIZE, &st) == 0 && !(st.flags & BLOCK_ST_ALLOCATED) && st.len == SIZE);
    expect(node, 0, 4096, 1);
    block_unref(node);
    g_autofree char *base = in_dir(f, "base"), *top = in_dir(f, "top");
    unlink(base);
    unlink(top);
}

static void test_bad_chains(const Fixture *f)
{
    GError *err = NULL;
    create(f, "qcow2", "a", NULL, NULL, SIZE);
    create(f, "qcow2", "b", "a", "qcow2", 0);
    g_autofree char *a = in_dir(f, "a"), *b = in_dir(f, "b");
    BlockOpenOpts o = { .no_backing = true, .writable = true };
    BlockNode *node = block_open(f->ctx, a, &o, &err);
    CHECK_OK(node, err);
    CHECK_OK(block_change_backing(node, "b", "qcow2", &err), err);
    block_unref(node);
    o = (BlockOpenOpts){ 0 };
    CHECK(!block_open(f->ctx, b, &o, &err) && strstr(err->message, "more than once"), "%s", err ? err->message : "opened");
    g_clear_error(&err);
    unlink(a);
    CHECK(!block_open(f->ctx, b, &o, &err) && strstr(err->message, "backing file"), "%s", err ? err->message : "opened");
    g_clear_error(&err);
    unlink(b);
}

static void test_deep(const Fixture *f)
{
    char last[16] = "0";
    create(f, "qcow2", "0", NULL, NULL, SIZE);
    for (int i = 1; i < DEPTH; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%d", i);
        create(f, "qcow2", name, last, "qcow2", 0);
        memcpy(last, name, sizeof(last));
        BlockNode *node = open_it(f, name, true);
        fill(node, (uint64_t)i * 100000, 5000, i);
        block_unref(node);
    }
    int64_t best = INT64_MAX;
    for (int i = 0; i < 5; i++) {
        int64_t start = clock_now_ns(&clock_host);
        BlockNode *node = open_it(f, last, true);
        int64_t ns = clock_now_ns(&clock_host) - start;
        best = MIN(best, ns);
        for (int k = 1; k < DEPTH; k++)
            expect(node, (uint64_t)k * 100000, 5000, k);
        block_unref(node);
    }
    printf("opening a chain of %d: %.3f ms\n", DEPTH, (double)best / 1e6);
    for (int i = 0; i < DEPTH; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%d", i);
        g_autofree char *path = in_dir(f, name);
        unlink(path);
    }
}

int main(void)
{
    Fixture f = { block_ctx_new(2), g_dir_make_tmp("tandem-chain-XXXXXX", NULL) };
    test_temporary(&f, "raw");
    test_temporary(&f, "qcow2");
    test_commit_refused(&f);
    test_bad_chains(&f);
    test_deep(&f);
    rmdir(f.dir);
    g_free(f.dir);
    block_ctx_free(f.ctx);
    return 0;
}
