/* A hostile image of any format that is told by its first bytes: open, describe, map, read. */
#include "tests/block/memlog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PIECE_BYTES = 65536, INPUT_MAX_BYTES = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > INPUT_MAX_BYTES)
        return 0;
    BlockCtx *ctx = block_ctx_new(1);
    Memlog m;
    memlog_init(&m, false);
    MemlogEvent e = { MEMLOG_WRITE, 0, size, (uint8_t *)data };
    memlog_apply(&m, &e, NULL);
    BlockOpenOpts o = { .no_backing = true, .no_data_file = true };
    BlockNode *file = memlog_node(ctx, &m), *node = block_open_on(file, &o, NULL);
    block_unref(file);
    if (node) {
        uint8_t *buf = g_malloc(PIECE_BYTES);
        uint64_t length = block_length(node);
        BlockInfo info;
        if (block_info(node, &info) == 0 && info.specific)
            g_variant_unref(info.specific);
        for (uint64_t offset = 0, i = 0; offset < length && i < 16; i++) {
            BlockStatus st;
            block_pread(node, offset, buf, MIN(PIECE_BYTES, length - offset));
            offset += block_status(node, offset, length - offset, &st) < 0 ? PIECE_BYTES : MAX(st.len, PIECE_BYTES);
        }
        block_unref(node);
        g_free(buf);
    }
    memlog_clear(&m);
    block_ctx_free(ctx);
    return 0;
}
