/* Names of images in JSON and as --image-opts: any text opens something or is refused in one line. Paths lead nowhere: slashes are taken out. */
#include <fcntl.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/block.h"

enum { INPUT_MAX_BYTES = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_open(BlockCtx *ctx, const char *name)
{
    BlockOpenOpts o = { 0 };
    GError *err = NULL;
    BlockNode *node = block_open(ctx, name, &o, &err);
    g_assert(!node == !!err);
    g_assert(!err || *err->message);
    g_clear_error(&err);
    if (node)
        block_unref(node);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > INPUT_MAX_BYTES)
        return 0;
    g_autofree char *text = g_strndup((const char *)data, size), *name = g_strconcat("json:", text, NULL);
    g_strdelimit(name, "/", '_');
    if (strstr(name, "nbd"))   /* would ask a server */
        return 0;
    char dir[] = "/tmp/fuzz-names-XXXXXX";
    int before = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (before < 0 || !mkdtemp(dir) || chdir(dir))
        return 0;
    BlockCtx *ctx = block_ctx_new(1);
    try_open(ctx, name);
    block_ctx_free(ctx);
    g_assert(!fchdir(before));
    close(before);
    rmdir(dir);
    return 0;
}
