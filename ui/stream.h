#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/loop.h"

/*
 * A pair of file descriptors as a byte stream: what is written is buffered and goes out on the Loop's thread, so that a vCPU
 * that prints a character at a time costs the host one write for many. Never blocks.
 */
typedef struct UiStream UiStream;

/* On the Loop's thread. NULL hooks: input is not read. */
typedef struct UiStreamOps {
    size_t (*can_receive)(void *opaque);
    void (*receive)(void *opaque, const uint8_t *buf, size_t len);     /* len <= can_receive() */
    void (*closed)(void *opaque);           /* end of input or error; called once */
    void (*writable)(void *opaque);         /* after a short write: there is room again */
    void (*resume)(void *opaque);           /* ui_stream_accept_input was called; before input is read again */
} UiStreamOps;

/* @in_fd, @out_fd: -1 = none; both should not block (regular files excepted). @own: they are closed with the stream. @ops not copied. */
UiStream *ui_stream_new(Loop *loop, int in_fd, int out_fd, bool own, const UiStreamOps *ops, void *opaque);
/* Writes out what it can without blocking for more than a moment, then frees. Loop's thread. NULL is fine. */
void ui_stream_free(UiStream *s);
/* Any thread: bytes taken (fewer if the buffer is full), or -errno if the other end is gone. */
ssize_t ui_stream_write(UiStream *s, const void *buf, size_t len);
/* Any thread: can_receive() may say more now. */
void ui_stream_accept_input(UiStream *s);

/* A descriptor of our own on what @fd is, not blocking, the flags of @fd itself untouched; regular files as they are. -errno. */
int ui_fd_private(int fd, bool write);
