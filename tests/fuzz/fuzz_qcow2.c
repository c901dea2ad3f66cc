/*
 * A hostile qcow2 image: open, describe, check, read, write, snapshot, repair. It must end, without a crash, without
 * opening other files, and in bounded memory. The image is the input; the operations are fixed.
 */
#include "tests/block/memlog.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PIECE_BYTES = 8192, INPUT_MAX_BYTES = 1 << 20 };

static void read_some(BlockNode *node, uint8_t *buf)
{
    uint64_t length = block_length(node), offset = 0;
    for (int i = 0; i < 24 && offset < length; i++) {
        BlockStatus st;
        uint64_t len = MIN(PIECE_BYTES, length - offset);
        block_pread(node, offset, buf, len);
        if (block_status(node, offset, length - offset, &st) < 0 || st.len < PIECE_BYTES)
            offset += PIECE_BYTES;
        else
            offset += st.len;
    }
    if (length > PIECE_BYTES)
        block_pread(node, length - PIECE_BYTES, buf, PIECE_BYTES);
}

static void write_some(BlockNode *node, uint8_t *buf)
{
    uint64_t length = block_length(node);
    memset(buf, 0xa5, PIECE_BYTES);
    for (unsigned i = 0; i < 4; i++) {
        uint64_t offset = length / 4 * i + i * 777;
        if (offset + PIECE_BYTES > length)
            break;
        block_pwrite(node, offset, buf, PIECE_BYTES - i, 0);
        block_pwrite_zeroes(node, offset + 100, 5000, i & 1 ? BLOCK_REQ_MAY_UNMAP : 0);
        block_pdiscard(node, offset, PIECE_BYTES);
    }
    block_flush(node);
}

static void snapshots(BlockNode *node)
{
    BlockSnapshot sn = { .name = (char *)"fuzz" };
    GPtrArray *list = block_snapshot_list(node);
    if (block_snapshot_create(node, &sn, NULL))
        block_snapshot_apply(node, "fuzz", NULL);
    for (guint i = 0; list && i < MIN(list->len, 3); i++) {
        const BlockSnapshot *old = g_ptr_array_index(list, i);
        block_snapshot_apply(node, old->id, NULL);
        block_snapshot_delete(node, old->id, NULL);
    }
    if (list)
        g_ptr_array_unref(list);
}

static BlockNode *open_image(BlockCtx *ctx, Memlog *m, bool writable, bool repair)
{
    BlockOpenOpts o = { .format = "qcow2", .writable = writable, .repair = repair, .no_backing = true, .no_data_file = true, .discard = true };
    BlockNode *file = memlog_node(ctx, m), *node = block_open_on(file, &o, NULL);
    block_unref(file);
    return node;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 72 || size > INPUT_MAX_BYTES)
        return 0;
    BlockCtx *ctx = block_ctx_new(1);
    Memlog m;
    memlog_init(&m, false);
    MemlogEvent e = { MEMLOG_WRITE, 0, size, (uint8_t *)data };
    memlog_apply(&m, &e, NULL);
    uint8_t *buf = g_malloc(PIECE_BYTES);
    BlockNode *node = open_image(ctx, &m, false, false);
    if (node) {
        BlockInfo info;
        BlockCheck check = { 0 };
        if (block_info(node, &info) == 0 && info.specific)
            g_variant_unref(info.specific);
        read_some(node, buf);
        block_check(node, 0, &check);
        block_unref(node);
    }
    node = open_image(ctx, &m, true, false);
    if (node) {
        write_some(node, buf);
        snapshots(node);
        write_some(node, buf);
        read_some(node, buf);
        block_unref(node);
    }
    node = open_image(ctx, &m, true, true);
    if (node) {
        BlockCheck check = { 0 };
        block_check(node, BLOCK_FIX_LEAKS | BLOCK_FIX_ERRORS, &check);
        block_unref(node);
    }
    g_free(buf);
    memlog_clear(&m);
    block_ctx_free(ctx);
    return 0;
}
