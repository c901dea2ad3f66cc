/* Overlays that go away, and bringing an overlay's data down into what it lies on. */
#include "block/format.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { COMMIT_BUF = 1 << 20 };

/* ---- writable or not ---- */

bool block_set_writable(BlockNode *node, bool writable, GError **err)
{
    if (node->read_only == !writable)
        return true;
    if (writable && node->file && !block_set_writable(node->file, true, err))
        return false;
    if (node->format->set_writable && !node->format->set_writable(node, writable, err)) {
        if (writable && node->file)
            block_set_writable(node->file, false, NULL);
        return false;
    }
    node->read_only = !writable;
    return writable || !node->file || block_set_writable(node->file, false, err);
}

/* ---- commit ---- */

static int commit_range(BlockNode *node, BlockNode *base, uint64_t offset, uint64_t max, char *buf, uint64_t *ret_len)
{
    BlockStatus st;
    struct iovec vec;
    int r = block_status_chain(node, base, offset, max, &st);
    if (r < 0)
        return r;
    if ((st.flags & BLOCK_ST_ALLOCATED) && (st.flags & BLOCK_ST_ZERO)) {
        r = bn_write_zeroes(base, offset, st.len, base->opts.discard ? BLOCK_REQ_MAY_UNMAP : 0);
    } else if (st.flags & BLOCK_ST_ALLOCATED) {
        st.len = MIN(st.len, COMMIT_BUF);
        r = bn_readv(node, offset, st.len, biov_buf(&vec, buf, st.len));
        r = r < 0 ? r : bn_writev(base, offset, st.len, biov_buf(&vec, buf, st.len), 0);
    }
    *ret_len = st.len;
    return r;
}

static int commit_all(BlockNode *node, BlockNode *base, BlockProgress *progress, void *opaque)
{
    g_autofree char *buf = g_try_malloc(COMMIT_BUF);
    int r = buf ? 0 : -ENOMEM;
    for (uint64_t offset = 0, len; r == 0 && offset < node->length; offset += len) {
        r = commit_range(node, base, offset, node->length - offset, buf, &len);
        if (r == 0 && progress)
            progress(opaque, offset + len, node->length);
    }
    return r < 0 ? r : bn_flush(base);
}

static bool commit_drained(BlockNode *node, BlockNode *base, bool empty, BlockProgress *progress, void *opaque, GError **err)
{
    if (!block_set_writable(base, true, err))
        return false;
    bool ok = base->length >= node->length || block_resize(base, node->length, BLOCK_PREALLOC_OFF, err);
    int r = ok ? commit_all(node, base, progress, opaque) : 0;
    /* The data is safe below before it goes away above. */
    if (ok && r == 0 && empty && base == node->backing) {
        r = block_make_empty(node);
        r = r == -ENOTSUP ? 0 : r;
    }
    if (r < 0)
        block_error(err, r, "error while committing '%s'", node->name);
    return block_set_writable(base, false, ok && r == 0 ? err : NULL) && ok && r == 0;
}

bool block_commit(BlockNode *node, BlockNode *base, bool empty, Loop *own, BlockProgress *progress, void *opaque, GError **err)
{
    base = base ? base : node->backing;
    if (!base) {
        block_error(err, 0, "'%s' does not have a backing file", node->name);
        return false;
    }
    block_drain_begin(node, own);
    bool ok = commit_drained(node, base, empty, progress, opaque, err);
    block_drain_end(node);
    return ok;
}

/* ---- temporary overlays ---- */

static char *temporary_file(GError **err)
{
    const char *dir = g_getenv("TMPDIR");
    /* /var/tmp rather than /tmp: an overlay may get large, and /tmp is often memory. */
    char *path = g_build_filename(dir && *dir ? dir : "/var/tmp", "tandem-overlay-XXXXXX", NULL);
    int fd = g_mkstemp(path);
    if (fd >= 0) {
        close(fd);
        return path;
    }
    block_error(err, -errno, "Could not make a temporary overlay in '%s' (TMPDIR chooses another place)", dir && *dir ? dir : "/var/tmp");
    g_free(path);
    return NULL;
}

BlockNode *block_open_temporary(BlockCtx *ctx, const char *name, const BlockOpenOpts *opts, GError **err)
{
    BlockOpenOpts base_opts = *opts, overlay_opts = *opts;
    base_opts.writable = false;
    base_opts.detect_zeroes = BLOCK_DETECT_OFF;
    BlockNode *base = block_open(ctx, name, &base_opts, err), *node = NULL;
    g_autofree char *path = base ? temporary_file(err) : NULL;
    if (path) {
        BlockCreateOpts c = { .format = "qcow2", .name = path, .size = base->length, .have_size = true, .cache = BLOCK_CACHE_UNSAFE };
        overlay_opts.format = "qcow2";
        overlay_opts.writable = true;
        overlay_opts.cache = BLOCK_CACHE_UNSAFE;        /* it does not outlive the process: nothing to flush for */
        overlay_opts.no_backing = true;
        overlay_opts.snapshot = NULL;
        if (block_create(ctx, &c, NULL, err))
            node = block_open(ctx, path, &overlay_opts, err);
        unlink(path);
    }
    if (node) {
        node->backing = base;
        node->backing_name = g_strdup(name);
        node->backing_format = g_strdup(base->format->name);
        node->length = base->length;
    } else {
        block_unref(base);
    }
    return node;
}
