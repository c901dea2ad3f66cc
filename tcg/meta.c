/*
 * Memory for what is known of translations. All of it goes when the code goes, so it is taken from big pieces, one behind the other: malloc would keep
 * a header for each, and in a thread of its own grow its heap a page at a time, each by a system call.
 */
#include "tcg/tcg-internal.h"

enum { PIECE = 64 << 10, ALIGN = 8 };

void *tcg_meta_take(TcgContext *ctx, size_t size)
{
    size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    g_assert(size <= PIECE);
    if (!ctx->meta->len || PIECE - ctx->meta_used < size) {
        g_ptr_array_add(ctx->meta, g_malloc(PIECE));
        ctx->meta_used = 0;
    }
    uint8_t *p = (uint8_t *)ctx->meta->pdata[ctx->meta->len - 1] + ctx->meta_used;
    ctx->meta_used += size;
    return p;
}

void tcg_meta_back(TcgContext *ctx, const void *p)
{
    ctx->meta_used = (size_t)((const uint8_t *)p - (const uint8_t *)ctx->meta->pdata[ctx->meta->len - 1]);
    g_assert(ctx->meta_used <= PIECE);
}

void tcg_meta_clear(TcgContext *ctx)
{
    for (unsigned n = 0; n < ctx->meta->len; n++)
        g_free(ctx->meta->pdata[n]);
    g_ptr_array_set_size(ctx->meta, 0);
}
