/*
 * Requests that need no worker go to the kernel with their place in the file, and it is that place, not the guest's,
 * that must suit a file with O_DIRECT: clusters may be smaller than its sectors. A file that stands for such a one.
 */
#include "block/format.h"
#include "tests/block/check.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SECTOR = 4096, BLOCKS = 16 };

typedef struct Strict {
    int fd;
    unsigned accepted;          /* times a place was found good */
} Strict;

static Strict *strict_of(BlockNode *node)
{
    return *(Strict **)node->state;
}

static bool strict_open(BlockNode *node, GError **err)
{
    return true;
}

static int strict_readv(BlockNode *node, uint64_t offset, uint64_t len, BlockIov io)
{
    g_autofree char *buf = g_malloc0(len);
    ssize_t r = pread(strict_of(node)->fd, buf, len, (off_t)offset);
    biov_from_buf(io, buf, len);
    return r < 0 ? -errno : 0;
}

static int strict_writev(BlockNode *node, uint64_t offset, uint64_t len, BlockIov io, unsigned flags)
{
    g_autofree char *buf = g_malloc(len);
    biov_to_buf(io, buf, len);
    node->length = MAX(node->length, offset + len);
    return pwrite(strict_of(node)->fd, buf, len, (off_t)offset) == (ssize_t)len ? 0 : -errno;
}

static bool strict_inline_begin(BlockNode *node, BlockReq *req, int *ret_fd, uint64_t *offset)
{
    *ret_fd = strict_of(node)->fd;
    bool fits = !((*offset | req->len) & (SECTOR - 1));
    strict_of(node)->accepted += fits;
    return fits;
}

static const BlockFormat strict_format = {
    .name = "strict",
    .protocol = true,
    .state_size = sizeof(Strict *),
    .open = strict_open,
    .readv = strict_readv,
    .writev = strict_writev,
    .inline_begin = strict_inline_begin,
};

static void done(BlockReq *req, int ret)
{
    CHECK(ret == 0, "read at %#" PRIx64 ": %s", req->offset, g_strerror(-ret));
    *(bool *)req->opaque = true;
}

static void read_one(BlockNode *node, Loop *loop, uint64_t offset, uint8_t expect)
{
    g_autofree uint8_t *buf = g_malloc0(SECTOR);
    bool ended = false;
    struct iovec vec = { buf, SECTOR };
    BlockReq req = { .op = BLOCK_READ, .offset = offset, .len = SECTOR, .iov = &vec, .niov = 1, .done = done, .opaque = &ended, .loop = loop };
    block_submit(node, &req);
    while (!ended)
        loop_iterate(loop, true);
    block_drain_begin(node, loop);
    block_drain_end(node);
    for (int i = 0; i < SECTOR; i++)
        CHECK(buf[i] == expect, "the wrong bytes at %#" PRIx64, offset);
}

static void create(BlockCtx *ctx, Strict *strict)
{
    GError *err = NULL;
    g_autofree char *dir = g_dir_make_tmp("tandem-inline-XXXXXX", NULL), *path = g_build_filename(dir, "a.qcow2", NULL), *data = NULL;
    const char *const options[] = { "cluster_size=512", NULL };
    BlockCreateOpts c = { .format = "qcow2", .name = path, .size = 1 << 20, .have_size = true, .options = options, .cache = BLOCK_CACHE_UNSAFE };
    CHECK_OK(block_create(ctx, &c, NULL, &err), err);
    gsize len;
    CHECK(g_file_get_contents(path, &data, &len, NULL));
    strict->fd = memfd_create("strict", MFD_CLOEXEC);
    CHECK(strict->fd >= 0 && write(strict->fd, data, len) == (ssize_t)len);
    unlink(path);
    rmdir(dir);
}

int main(void)
{
    GError *err = NULL;
    BlockCtx *ctx = block_ctx_new(2);
    Loop *loop = loop_new(NULL);
    Strict strict = { 0 };
    create(ctx, &strict);
    BlockOpenOpts o = { .format = "qcow2", .writable = true };
    BlockNode *file = bn_new(ctx, &strict_format, "strict", NULL, &o, NULL);
    *(Strict **)file->state = &strict;
    file->length = (uint64_t)lseek(strict.fd, 0, SEEK_END);
    BlockNode *node = block_open_on(file, &o, &err);
    CHECK_OK(node, err);
    unsigned aligned = 0, misaligned = 0;
    uint8_t buf[SECTOR];
    for (unsigned i = 0; i < BLOCKS; i++) {     /* a small cluster between each two: all places there are */
        BlockStatus st;
        memset(buf, (int)i + 1, SECTOR);
        CHECK(block_pwrite(node, (uint64_t)i * SECTOR, buf, SECTOR, 0) == 0);
        CHECK(block_pwrite(node, (512 << 10) + i * 512, buf, 512, 0) == 0);
        CHECK(block_status(node, (uint64_t)i * SECTOR, SECTOR, &st) == 0);
        if (st.len == SECTOR && !(st.host_offset & (SECTOR - 1)))
            aligned++;
        else
            misaligned++;
    }
    CHECK(aligned && misaligned, "%u and %u: the test sees nothing", aligned, misaligned);
    for (unsigned i = 0; i < BLOCKS; i++)
        read_one(node, loop, (uint64_t)i * SECTOR, (uint8_t)(i + 1));
    BlockStats st;
    block_stats(node, &st);
    /* None at all on a host without io_uring. */
    CHECK(st.inline_reqs == 0 || st.inline_reqs == aligned, "%" PRIu64 " without a worker, %u can be", st.inline_reqs, aligned);
    printf("%u blocks lie well, %u do not; %" PRIu64 " read without a worker\n", aligned, misaligned, st.inline_reqs);
    CHECK(block_close(node) == 0);
    block_unref(file);
    close(strict.fd);
    loop_unref(loop);
    block_ctx_free(ctx);
    return 0;
}
