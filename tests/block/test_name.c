/* Names in JSON: what they open, what they refuse, raw parts of files, backing and data files given by name. */
#include "tests/block/check.h"

#include <string.h>
#include <unistd.h>

enum { SIZE = 1 << 20 };

static const struct { const char *name, *message; uint64_t size; int first; } cases[] = {
    { "json:{\"driver\":\"raw\",\"file\":{\"driver\":\"file\",\"filename\":\"base\"}}", NULL, SIZE, 1 },
    { "json:{'driver':'raw', 'file.filename':'base'}", NULL, SIZE, 1 },
    { " json:{}", "No such file", 0, 0 },
    { "json: { \"file\" : { \"filename\" : \"b\\u0061se\" } , \"read-only\":true, \"cache\":{\"direct\":false}, \"detect-zeroes\":\"on\" } ", NULL, SIZE, 1 },
    { "json:{\"driver\":\"raw\",\"offset\":4096,\"size\":512,\"file.filename\":\"base\"}", NULL, 512, 2 },
    { "json:{\"driver\":\"raw\",\"offset\":\"1023k\",\"file.filename\":\"base\"}", NULL, 1024, 2 },
    { "json:{\"driver\":\"raw\",\"offset\":1048576,\"size\":1,\"file.filename\":\"base\"}", "beyond the end", 0, 0 },
    { "json:{\"driver\":\"raw\",\"offset\":18446744073709551615,\"file.filename\":\"base\"}", "beyond the end", 0, 0 },
    { "json:{\"driver\":\"raw\",\"file\":{\"driver\":\"qcow2\",\"file\":{\"driver\":\"file\",\"filename\":\"top\"}}}", NULL, SIZE, 1 },
    { "json:{\"driver\":\"qcow2\",\"file.filename\":\"top\"}", NULL, SIZE, 1 },
    { "json:{\"driver\":\"qcow2\",\"file.filename\":\"top\",\"backing\":null}", NULL, SIZE, 0 },
    { "json:{\"driver\":\"qcow2\",\"file.filename\":\"top\",\"backing\":{\"driver\":\"raw\",\"offset\":4096,\"file.filename\":\"base\"}}", NULL, SIZE, 2 },
    { "json:{\"driver\":\"qcow2\",\"file.filename\":\"top\",\"backing\":\"node\"}", "nor node-name", 0, 0 },
    { "json:{\"driver\":\"qcow2\",\"file.filename\":\"ext\",\"data-file\":{\"driver\":\"file\",\"filename\":\"base\"}}", NULL, SIZE, 1 },
    { "json:{\"driver\":\"qcow2\",\"file.filename\":\"ext\",\"data-file\":{\"driver\":\"file\",\"filename\":\"gone\"}}", "gone", 0, 0 },
    { "json:{\"driver\":\"qcow2\",\"file.filename\":\"base\"}", "not in qcow2 format", 0, 0 },
    { "json:{}", "either driver or file", 0, 0 }, { "json:", "not an object", 0, 0 }, { "json:[]", "not an object", 0, 0 },
    { "json:{\"driver\":\"raw\"}", "must be specified for", 0, 0 }, { "json:{\"driver\":\"raw\",\"file\":\"base\"}", "nor node-name", 0, 0 },
    { "json:{\"driver\":\"file\"}", "requires a file name", 0, 0 }, { "json:{\"driver\":\"raw\",\"file\":{}}", "must be specified", 0, 0 },
    { "json:{\"driver\":\"soap\",\"file.filename\":\"base\"}", "Unknown driver", 0, 0 },
    { "json:{\"file.filename\":\"base\",\"colour\":\"red\"}", "does not support the option 'colour'", 0, 0 },
    { "json:{\"file.filename\":\"base\",\"read-only\":\"perhaps\"}", "on' or 'off", 0, 0 },
    { "json:{\"file.filename\":\"base\",\"discard\":\"all\"}", "does not accept", 0, 0 },
    { "json:{\"file.filename\":\"json:{}\"}", "inside of another", 0, 0 },
    { "json:{\"file.filename\":\"ba\\u0000se\"}", "no name can have", 0, 0 }, { "json:{\"file.filename\":\"base", "does not end", 0, 0 },
    { "json:{\"file.filename\":\"base\"", "missing", 0, 0 }, { "json:{\"file.filename\":\"base\"}x", "follows", 0, 0 },
    { "json:{\"file.filename\" \"base\"}", "':' is missing", 0, 0 }, { "json:{\"a\":\\u}", "invalid keyword", 0, 0 }, { "json:{\"a\":\"\\u12", "escape", 0, 0 },
    { "json:{\"a\":[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}", "too deep", 0, 0 }, { "json:{\"a\":{\"b\":nonsense}}", "invalid keyword", 0, 0 },
};

static void one(BlockCtx *ctx, unsigned i)
{
    GError *err = NULL;
    uint8_t byte = 0xff;
    BlockNode *node = block_open(ctx, cases[i].name, &(BlockOpenOpts){ 0 }, &err);
    if (cases[i].message) {
        CHECK(!node && strstr(err->message, cases[i].message) && !strchr(err->message, '\n'), "%s: %s", cases[i].name, node ? "opened" : err->message);
        g_clear_error(&err);
        return;
    }
    CHECK_OK(node, err);
    CHECK(block_length(node) == cases[i].size, "%s: %" PRIu64, cases[i].name, block_length(node));
    CHECK(block_pread(node, 0, &byte, 1) == 0 && byte == cases[i].first, "%s: %d", cases[i].name, byte);
    block_unref(node);
}

/* A part of a file is written to within its bounds, and not resized. */
static void test_part(BlockCtx *ctx)
{
    GError *err = NULL;
    uint8_t byte = 9;
    static const char *const list[] = { "driver=raw", "offset=8192", "size=4096", "file.driver=file", "file.filename=base", NULL };
    g_autofree char *name = block_name_from_options(list);
    BlockNode *node = block_open(ctx, name, &(BlockOpenOpts){ .writable = true }, &err);
    CHECK_OK(node, err);
    CHECK(block_pwrite(node, 4095, &byte, 1, 0) == 0 && block_pwrite(node, 4096, &byte, 1, 0) < 0);
    CHECK(block_pwrite_zeroes(node, 0, 512, 0) == 0);
    CHECK(!block_resize(node, 8192, BLOCK_PREALLOC_OFF, &err) && strstr(err->message, "part of a file"));
    g_clear_error(&err);
    CHECK(block_close(node) == 0);
    node = block_open(ctx, "base", &(BlockOpenOpts){ .format = "raw" }, &err);
    CHECK_OK(node, err);
    CHECK(block_length(node) == SIZE);
    CHECK(block_pread(node, 8192 + 4095, &byte, 1) == 0 && byte == 9);
    CHECK(block_pread(node, 8192 + 511, &byte, 1) == 0 && byte == 0);
    CHECK(block_pread(node, 8192 + 512, &byte, 1) == 0 && byte == 2);
    block_unref(node);
    static const char *const odd[] = { "/a \"file\"\\\x01", NULL };
    g_autofree char *quoted = block_name_from_options(odd);
    CHECK(!strcmp(quoted, "json:{\"file\": \"/a \\\"file\\\"\\\\\\u0001\"}"), "%s", quoted);
}

int main(void)
{
    GError *err = NULL;
    BlockCtx *ctx = block_ctx_new(1);
    g_autofree char *dir = g_dir_make_tmp("tandem-name-XXXXXX", NULL), *data = g_malloc(SIZE);
    CHECK(chdir(dir) == 0);
    memset(data, 2, SIZE);
    memset(data, 1, 4096);
    CHECK(g_file_set_contents("base", data, SIZE, NULL));
    static const char *const ext[] = { "data_file=data", NULL };
    const BlockCreateOpts create[] = {
        /* The backing file's name is in JSON, too. */
        { .format = "qcow2", .name = "top", .backing = "json:{\"driver\":\"raw\",\"file.filename\":\"base\"}", .backing_format = "raw" },
        { .format = "qcow2", .name = "ext", .size = SIZE, .have_size = true, .options = ext },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(create); i++)
        CHECK_OK(block_create(ctx, &create[i], NULL, &err), err);
    BlockNode *node = block_open(ctx, "ext", &(BlockOpenOpts){ .writable = true }, &err);
    CHECK_OK(node, err);
    CHECK(block_pwrite(node, 0, data, SIZE, 0) == 0 && block_close(node) == 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++)
        one(ctx, i);
    test_part(ctx);
    static const char *const files[] = { "base", "top", "ext", "data" };
    for (unsigned i = 0; i < G_N_ELEMENTS(files); i++)
        unlink(files[i]);
    rmdir(dir);
    block_ctx_free(ctx);
    return 0;
}
