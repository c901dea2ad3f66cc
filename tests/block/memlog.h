#pragma once
#include "tests/block/check.h"

/*
 * A file in memory that remembers every change and every flush, for tests of what a crash leaves behind. Between two
 * flushes any subset of the changes may be on the disk; a sector is all or nothing.
 */
typedef enum MemlogKind { MEMLOG_WRITE, MEMLOG_ZERO, MEMLOG_TRUNCATE, MEMLOG_FLUSH } MemlogKind;

typedef struct MemlogEvent {
    MemlogKind kind;
    uint64_t offset, len;       /* TRUNCATE: len is the new size */
    uint8_t *data;
    unsigned file;              /* of several that share a log: whose */
} MemlogEvent;

typedef struct Memlog {
    uint8_t *data;
    uint64_t size, capacity;
    GArray *events;             /* of MemlogEvent; NULL: nothing is remembered */
    unsigned file;
    bool borrowed;              /* the log is another one's */
    uint64_t fail_after;        /* this many bytes may still be allocated; then -ENOSPC. UINT64_MAX: no limit */
} Memlog;

void memlog_init(Memlog *m, bool remember);
/* A second file whose events go into the log of @first, in one order with its. */
void memlog_share(Memlog *m, Memlog *first, unsigned file);
void memlog_clear(Memlog *m);
void memlog_copy(Memlog *to, const Memlog *from);       /* content only */
/* Apply an event; with @rand a random half of its sectors only. */
void memlog_apply(Memlog *m, const MemlogEvent *e, GRand *rand);
/* A node on @m, which must outlive it. */
BlockNode *memlog_node(BlockCtx *ctx, Memlog *m);
