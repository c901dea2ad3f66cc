#pragma once
#include "block/format.h"

/* file.c and file-lock.c */
typedef struct FileState {
    int fd;
    bool direct;                /* O_DIRECT: offsets, lengths and addresses are multiples of align */
    bool device;                /* a block device: its size is fixed */
    uint32_t align;
    gint no_punch, no_zero_range;       /* the file system said that it cannot */
    GMutex rmw;                 /* one read-modify-write at a time, see file_write_unaligned */
} FileState;

/*
 * Take shared locks for what we do (@perm) and what others must not do (@unshared), then see that nobody did the reverse
 * before: two takers may both fail, never both succeed.
 */
bool file_lock(int fd, const char *name, unsigned perm, unsigned unshared, GError **err);
/* All of them. */
void file_unlock(int fd);
