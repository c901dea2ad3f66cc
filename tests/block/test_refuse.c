/* What is illegal is refused, in one line, and changes nothing: neither the file that was there nor the image. */
#include "tests/block/check.h"

#include <string.h>
#include <unistd.h>

enum { SIZE = 1 << 20 };

static const char *const bad_creations[][4] = {
    { "compat=0.10", "refcount_bits=1" }, { "compat=0.10", "refcount_bits=64" }, { "compat=0.10", "lazy_refcounts=on" },
    { "compat=0.10", "extended_l2=on" }, { "compat=0.10", "compression_type=zstd" }, { "compat=0.10", "data_file=d" },
    { "extended_l2=on", "cluster_size=8k" }, { "extended_l2=on", "cluster_size=512" }, { "data_file_raw=on" }, { "cluster_size=256" },
    { "cluster_size=4M" }, { "cluster_size=3000" }, { "refcount_bits=0" }, { "refcount_bits=3" }, { "refcount_bits=128" },
    { "compression_type=lzma" }, { "preallocation=some" }, { "compat=4" }, { "frob=1" }, { "lazy_refcounts=perhaps" },
};

enum { SNAPSHOT, COMPRESS, BITMAP, SHRINK, AMEND };
static const struct { const char *options[4]; int op; const char *amend; bool snapshot; } bad_operations[] = {
    { { "refcount_bits=1" }, SNAPSHOT }, { { "data_file=d" }, SNAPSHOT }, { { "data_file=d", "data_file_raw=on" }, SNAPSHOT },
    { { "data_file=d" }, COMPRESS }, { { "compat=0.10" }, BITMAP }, { { "compat=0.10" }, SHRINK, NULL, true },
    { { "refcount_bits=64" }, AMEND, "compat=0.10" }, { { "extended_l2=on" }, AMEND, "compat=0.10" }, { { "compression_type=zstd" }, AMEND, "compat=0.10" },
    { { "data_file=d" }, AMEND, "compat=0.10" }, { { "compat=0.10" }, AMEND, "refcount_bits=1" }, { { "compat=0.10" }, AMEND, "lazy_refcounts=on" },
    { { NULL }, AMEND, "refcount_bits=1", true }, { { NULL }, AMEND, "data_file=x" }, { { "data_file=d" }, AMEND, "data_file_raw=on" },
    { { NULL }, AMEND, "cluster_size=4k" }, { { NULL }, AMEND, "compat=9" }, { { NULL }, AMEND, "size=much" }, { { NULL }, AMEND, "backing_file=other" },
};

static char *read_all(const char *name, gsize *ret_len)
{
    char *data;
    CHECK(g_file_get_contents(name, &data, ret_len, NULL), "%s", name);
    return data;
}

static void one_creation(BlockCtx *ctx, const char *const *options)
{
    static const char text[] = "somebody's only copy";
    GError *err = NULL;
    gsize len;
    BlockCreateOpts c = { .format = "qcow2", .name = "a", .size = SIZE, .have_size = true, .options = options };
    CHECK(g_file_set_contents("a", text, -1, NULL));
    bool made = block_create(ctx, &c, NULL, &err);
    CHECK(!made && err && !strchr(err->message, '\n'), "%s %s: made", options[0], options[1] ? options[1] : "");
    g_clear_error(&err);
    g_autofree char *now = read_all("a", &len);
    CHECK(len == strlen(text) && !memcmp(now, text, len), "%s: the file that was there is gone", options[0]);
    CHECK(access("d", F_OK) < 0, "%s: a data file was made", options[0]);
}

static bool attempt(BlockNode *node, unsigned i, GError **err)
{
    g_autofree char *buf = g_malloc0(65536);
    const char *amend[] = { bad_operations[i].amend, NULL };
    switch (bad_operations[i].op) {
    case SNAPSHOT: return block_snapshot_create(node, &(BlockSnapshot){ .name = (char *)"s" }, err);
    case COMPRESS: return block_pwrite(node, 0, buf, 65536, BLOCK_REQ_COMPRESS) == 0;
    case BITMAP: return block_bitmap(node, BLOCK_BITMAP_ADD, "b", 0, err);
    case SHRINK: return block_resize(node, SIZE / 2, BLOCK_PREALLOC_OFF, err);
    default: return block_amend(node, &(BlockCreateOpts){ .format = "qcow2", .name = "a", .options = amend }, err);
    }
}

static BlockNode *open_it(BlockCtx *ctx)
{
    GError *err = NULL;
    BlockNode *node = block_open(ctx, "a", &(BlockOpenOpts){ .writable = true }, &err);
    CHECK_OK(node, err);
    return node;
}

static void one_operation(BlockCtx *ctx, unsigned i)
{
    GError *err = NULL;
    gsize before_len, after_len;
    char data[3000];
    BlockCreateOpts c = { .format = "qcow2", .name = "a", .size = SIZE, .have_size = true, .options = bad_operations[i].options };
    CHECK_OK(block_create(ctx, &c, NULL, &err), err);
    BlockNode *node = open_it(ctx);
    memset(data, 7, sizeof(data));
    CHECK(block_pwrite(node, 70000, data, sizeof(data), 0) == 0);
    if (bad_operations[i].snapshot)
        CHECK_OK(block_snapshot_create(node, &(BlockSnapshot){ .name = (char *)"old" }, &err), err);
    CHECK(block_close(node) == 0);
    g_autofree char *before = read_all("a", &before_len);
    node = open_it(ctx);
    bool done = attempt(node, i, &err);
    CHECK(!done && (!err || !strchr(err->message, '\n')), "operation %u was done", i);
    g_clear_error(&err);
    CHECK(block_close(node) == 0);
    g_autofree char *after = read_all("a", &after_len);
    CHECK(before_len == after_len && !memcmp(before, after, after_len), "operation %u changed the image", i);
    unlink("d");
}

int main(void)
{
    BlockCtx *ctx = block_ctx_new(1);
    g_autofree char *dir = g_dir_make_tmp("tandem-refuse-XXXXXX", NULL);
    CHECK(chdir(dir) == 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(bad_creations); i++)
        one_creation(ctx, bad_creations[i]);
    for (unsigned i = 0; i < G_N_ELEMENTS(bad_operations); i++)
        one_operation(ctx, i);
    unlink("a");
    rmdir(dir);
    block_ctx_free(ctx);
    return 0;
}
