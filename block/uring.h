#pragma once
#include "block/format.h"

/*
 * One io_uring a Loop, for requests that need nothing but I/O on a file: submitted by whoever has the request, completed
 * by the Loop's thread, no worker between. NULL where the host has no io_uring: then the pool does it all.
 */
typedef struct BlockUring BlockUring;

BlockUring *block_uring_new(Loop *loop);
void block_uring_free(BlockUring *ring);
/* Any thread. False: full, or the kernel refused; nothing was started. bn_inline_done follows in the Loop's thread. */
bool block_uring_submit(BlockUring *ring, BlockReq *req, int fd, uint64_t offset);

/* ctx.c: the ring for @loop, made on first use. */
BlockUring *block_ctx_uring(BlockCtx *ctx, Loop *loop);
/* node.c: @res as read(2) and write(2) return it, or -errno. */
void bn_inline_done(BlockReq *req, int res);
