#pragma once
#include "util/loop.h"

#include <glib.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

/*
 * The block layer: virtual disks in files of several formats, layered on each other.
 *
 * A BlockNode is one layer of one opened image (a file, a raw or qcow2 interpretation of it...). A device holds the
 * topmost node and submits BlockReqs to it. For a device that is all there is to know: block_submit(), the length, the
 * read-only flag, and block_drain_*. Tools and tests use the blocking calls further down.
 *
 * Threads: every function may be called from any thread unless its comment says otherwise. Opening, closing the last
 * reference, resizing and snapshots are for the main thread. No function calls back into the caller before it returns.
 */

typedef struct BlockCtx BlockCtx;
typedef struct BlockNode BlockNode;
typedef struct BlockReq BlockReq;
typedef struct BlockFormat BlockFormat;

/* ---- context: owns the worker pool; nothing in this layer is global ---- */

/* A context with up to @max_workers threads (0: a sensible default), started on demand. */
BlockCtx *block_ctx_new(unsigned max_workers);
/*
 * Make what requests that complete on @loop need from the kernel (an io_uring), for a process that soon may not make it any more; else it is made
 * when first used. Where the kernel refuses it the workers do everything. Any thread.
 */
void block_ctx_prepare(BlockCtx *ctx, Loop *loop);
/* Each worker calls @fn once, before its next piece of work; workers made later too. Once, any thread. */
void block_ctx_set_worker_start(BlockCtx *ctx, void (*fn)(void));
/* All nodes opened in it must be gone. It holds a reference on every Loop that requests named. */
void block_ctx_free(BlockCtx *ctx);
/* Give back cached metadata that was not used since the last call. A pool with threads does so every minute by itself. */
void block_ctx_trim(BlockCtx *ctx);

/* ---- requests ---- */

typedef enum BlockOp {
    BLOCK_READ, BLOCK_WRITE,
    BLOCK_FLUSH,                /* offset and len unused: covers every request completed before it was submitted */
    BLOCK_DISCARD,              /* a hint: afterwards the range reads as before or as zeros; clipped parts are ignored */
    BLOCK_WRITE_ZEROES,         /* afterwards the range reads as zeros */
    BLOCK_OPS
} BlockOp;

enum {                          /* BlockReq.flags */
    BLOCK_REQ_FUA = 1,          /* WRITE, WRITE_ZEROES: done only when on stable storage */
    BLOCK_REQ_MAY_UNMAP = 2,    /* WRITE_ZEROES: may deallocate the range */
    BLOCK_REQ_NO_FALLBACK = 4,  /* WRITE_ZEROES: -ENOTSUP rather than writing zeros the slow way */
    BLOCK_REQ_COMPRESS = 8,     /* WRITE: store compressed, offset and len in whole clusters (tools) */
};

/* ret: 0 or -errno. Called exactly once, in the thread of req->loop, never inside block_submit. The request is the
 * callee's again: it may be freed or submitted anew. */
typedef void BlockDone(BlockReq *req, int ret);

/* A range that a request is busy with; the formats' own. Exclusive ones (that change the mapping) overlap nobody. */
typedef struct BlockTrack {
    uint64_t start, end;
    bool exclusive;
    struct BlockTrack *next, **prev;
} BlockTrack;

/*
 * One request. The submitter allocates it (embedded in its own struct, usually), fills the first part and leaves it
 * and everything it points to alone until done is called. Zero the struct once before its first use.
 */
struct BlockReq {
    BlockOp op;
    unsigned flags;
    uint64_t offset, len;       /* bytes; any alignment; offset + len must not exceed the length (-EIO, or -ENOSPC for writes) */
    const struct iovec *iov;    /* READ and WRITE: sum of iov_len must be >= len; the first len bytes are used */
    unsigned niov;
    BlockDone *done;
    void *opaque;
    Loop *loop;                 /* where done is called; must outlive the request */

    /* the block layer's own */
    BlockNode *node;
    BlockReq *next;
    int ret;
    int64_t start_ns;
    BlockTrack track;
};

void block_submit(BlockNode *node, BlockReq *req);

/* ---- nodes ---- */

typedef enum BlockCache {
    BLOCK_CACHE_WRITEBACK,      /* host page cache; flushes are honoured (default) */
    BLOCK_CACHE_NONE,           /* O_DIRECT; flushes are honoured */
    BLOCK_CACHE_WRITETHROUGH,   /* host page cache; every write is flushed before it is done */
    BLOCK_CACHE_DIRECTSYNC,     /* O_DIRECT; every write is flushed before it is done */
    BLOCK_CACHE_UNSAFE,         /* host page cache; flushes are ignored */
} BlockCache;

/* What a user of a node does with it, and lets others do (the same bits as in the image locks of other tools). */
enum {
    BLOCK_PERM_CONSISTENT_READ = 1,
    BLOCK_PERM_WRITE = 2,
    BLOCK_PERM_WRITE_UNCHANGED = 4,
    BLOCK_PERM_RESIZE = 8,
    BLOCK_PERM_ALL = 15,
};

typedef enum BlockDetectZeroes {
    BLOCK_DETECT_OFF,
    BLOCK_DETECT_ON,            /* writes of zeros become WRITE_ZEROES */
    BLOCK_DETECT_UNMAP,         /* that may unmap too */
} BlockDetectZeroes;

typedef struct BlockOpenOpts {
    const char *format;         /* NULL: find out from the content */
    bool writable;
    BlockCache cache;
    bool no_backing;            /* do not open the image's backing file: its ranges read as zeros */
    bool no_data_file;          /* do not open an external data file (for "info" of untrusted images) */
    struct BlockNode *data_file;        /* an opened external data file, instead of the one that the image names; a reference is taken */
    bool force_share;           /* readers only: take no locks (-U of the image tool) */
    bool no_lock;               /* take no locks and check none */
    bool discard;               /* else discards are ignored, and zero writes do not unmap */
    BlockDetectZeroes detect_zeroes;
    uint64_t raw_offset, raw_size;      /* raw: the part of the file that is the disk; size counts with raw_has_size */
    bool raw_has_size;
    bool no_uring;              /* all requests through the pool of threads */
    bool repair;                /* open although marked corrupt or dirty, in order to check and repair */
    const char *snapshot;       /* id or name of an internal snapshot to read; implies read-only */
} BlockOpenOpts;

/*
 * Open the image @name: a path, "file:PATH", a protocol ("nbd://", "nbd+unix://") where one is built in, or a description
 * in JSON ("json:{...}", block/name.c). The node comes with one reference. On failure NULL and one line in @err that names
 * cause and remedy.
 * Main thread; blocks.
 */
BlockNode *block_open(BlockCtx *ctx, const char *name, const BlockOpenOpts *opts, GError **err);
/* The same on top of the node @file (a reference is taken), whatever its name says. */
BlockNode *block_open_on(BlockNode *file, const BlockOpenOpts *opts, GError **err);
/*
 * The same with every write kept in a temporary overlay that vanishes with the node (-snapshot): the image itself is
 * opened read-only, whatever opts->writable says. block_commit brings the writes back on request.
 */
BlockNode *block_open_temporary(BlockCtx *ctx, const char *name, const BlockOpenOpts *opts, GError **err);
BlockNode *block_ref(BlockNode *node);
/* The last one drains, flushes (ignoring errors: flush before if you care) and closes. NULL is fine. Main thread. */
void block_unref(BlockNode *node);
/* Flush and close, reporting an error; drops the caller's reference, which must be the last one. */
int block_close(BlockNode *node);

const char *block_name(const BlockNode *node);          /* as given to block_open */
const char *block_format_name(const BlockNode *node);   /* "qcow2" */
uint64_t block_length(const BlockNode *node);           /* virtual size in bytes, any number; see block_on_resize */
bool block_read_only(const BlockNode *node);
bool block_padded(const BlockNode *node);               /* a raw file that ended within a sector: the length is rounded up */
bool block_write_cache(const BlockNode *node);          /* false: writes are stable when done (writethrough, directsync) */
void block_set_write_cache(BlockNode *node, bool on);   /* what a guest may switch (virtio-blk WCE) */
uint32_t block_opt_io_size(const BlockNode *node);      /* bytes; 0: no preference */
uint32_t block_discard_granularity(const BlockNode *node);      /* bytes; 0: discard is useless here */
/* Have @fn called in the main thread after the length changed. One listener a node; NULL ends it. */
void block_on_resize(BlockNode *node, LoopFn *fn, void *opaque);

/*
 * begin: requests submitted from now on wait inside the node; returns when none is in flight. Nests. The thread must
 * not be the only one that runs a Loop on which requests in flight complete, unless it passes that Loop as @own (it is
 * iterated while waiting); otherwise NULL. end lets the waiting ones go.
 */
void block_drain_begin(BlockNode *node, Loop *own);
void block_drain_end(BlockNode *node);

/*
 * Limits on what reads, writes and zero writes of a node may take. Without a burst rate 100 ms worth of a limit pass at
 * once after a pause; with one, burst_sec seconds' worth at that rate. Later requests wait, in order of their submission.
 */
typedef struct BlockLimit {
    uint64_t per_sec;           /* 0: no limit */
    uint64_t burst_per_sec;     /* 0: none */
    uint64_t burst_sec;         /* 0: 1 */
} BlockLimit;
typedef enum BlockLimitKind {
    BLOCK_LIMIT_BYTES, BLOCK_LIMIT_BYTES_READ, BLOCK_LIMIT_BYTES_WRITE, BLOCK_LIMIT_REQS, BLOCK_LIMIT_REQS_READ, BLOCK_LIMIT_REQS_WRITE,
    BLOCK_LIMITS
} BlockLimitKind;
typedef struct BlockLimits {
    BlockLimit limit[BLOCK_LIMITS];
    uint64_t req_size;          /* a request of more bytes counts as several; 0: as one */
} BlockLimits;
/* False with a line in @err (NULL or not) if they contradict each other; then nothing changes. */
bool block_set_limits(BlockNode *node, const BlockLimits *limits, GError **err);

/* What a device does when a request fails, unless its own property says otherwise: kept here for it. */
typedef enum BlockOnError { BLOCK_ON_ERROR_AUTO, BLOCK_ON_ERROR_REPORT, BLOCK_ON_ERROR_IGNORE, BLOCK_ON_ERROR_STOP, BLOCK_ON_ERROR_ENOSPC } BlockOnError;
/* Words: auto, report, ignore, stop, and for writes enospc (stop if the host's disk is full, else report). NULL is auto. */
bool block_parse_on_error(const char *text, bool writes, BlockOnError *ret, GError **err);
void block_set_on_error(BlockNode *node, BlockOnError reads, BlockOnError writes);
/* @own, or what the node was told, or the default (report reads, enospc for writes); never AUTO. @node may be NULL. */
BlockOnError block_on_error(const BlockNode *node, bool writes, BlockOnError own);

/* Whether discards may go to the host without being asked for: a regular file that is sparse already, or a format. */
bool block_discard_is_safe(const BlockNode *node);
void block_set_discard(BlockNode *node, bool on);       /* before its first request */

typedef struct BlockStats {
    uint64_t reqs[BLOCK_OPS], bytes[BLOCK_OPS], errors[BLOCK_OPS];
    uint64_t time_ns[BLOCK_OPS];        /* submit to completion, summed */
    uint64_t inline_reqs;               /* served without a worker */
    unsigned in_flight;
    uint64_t metadata_bytes;            /* held by the cache of metadata; shrinks when idle */
} BlockStats;
void block_stats(BlockNode *node, BlockStats *ret_stats);

/* ---- blocking calls: tools, tests, snapshots. 0 or -errno; run in the calling thread ---- */

int block_pread(BlockNode *node, uint64_t offset, void *buf, uint64_t len);
int block_pwrite(BlockNode *node, uint64_t offset, const void *buf, uint64_t len, unsigned flags);
int block_pwrite_zeroes(BlockNode *node, uint64_t offset, uint64_t len, unsigned flags);
int block_pdiscard(BlockNode *node, uint64_t offset, uint64_t len);
int block_flush(BlockNode *node);

typedef enum BlockPrealloc { BLOCK_PREALLOC_OFF, BLOCK_PREALLOC_METADATA, BLOCK_PREALLOC_FALLOC, BLOCK_PREALLOC_FULL } BlockPrealloc;
/* Change the length. Shrinking throws data away. New space reads as zeros. Drains by itself. */
bool block_resize(BlockNode *node, uint64_t length, BlockPrealloc prealloc, GError **err);

/* What a range is made of. */
enum {
    BLOCK_ST_DATA = 1,          /* stored data */
    BLOCK_ST_ZERO = 2,          /* reads as zeros */
    BLOCK_ST_ALLOCATED = 4,     /* this layer says what it reads as; else the backing file does */
    BLOCK_ST_OFFSET = 8,        /* host_offset is valid: plain bytes in host_file at this place */
    BLOCK_ST_COMPRESSED = 16,
    BLOCK_ST_EOF = 32,          /* the range ends where the layer ends */
};
typedef struct BlockStatus {
    uint64_t len;               /* bytes from the asked offset that have this status; > 0 */
    unsigned flags;
    uint64_t host_offset;
    const char *host_file;      /* lives as long as the node */
    unsigned depth;             /* block_status_chain: which layer, 0 = top */
} BlockStatus;
/* Of this layer alone. */
int block_status(BlockNode *node, uint64_t offset, uint64_t len, BlockStatus *ret_status);
/* Through the backing chain down to but without @base (NULL: all of it). */
int block_status_chain(BlockNode *node, const BlockNode *base, uint64_t offset, uint64_t len, BlockStatus *ret_status);

/* ---- the graph ---- */

BlockNode *block_backing(const BlockNode *node);        /* not a new reference; NULL: none (or not opened) */
BlockNode *block_file(const BlockNode *node);           /* the node below that carries this one's bytes */
const char *block_backing_name(const BlockNode *node);  /* as stored in the image, or NULL */
const char *block_backing_format(const BlockNode *node);
/* The backing file's name as it would be opened: relative names are relative to the image's folder. g_free it. */
char *block_backing_path(const BlockNode *node);

/* ---- image-level operations; main thread, the node drained or used by nobody else ---- */

typedef struct BlockCreateOpts {
    const char *format, *name;
    uint64_t size;              /* bytes; ignored with have_size false (then taken from the backing file) */
    bool have_size;
    const char *backing, *backing_format;
    bool backing_unsafe;        /* do not open the backing file to check it */
    const char *const *options; /* NULL-terminated "key=value" list, as after -o; later ones win */
    BlockCache cache;
    bool quiet;
} BlockCreateOpts;
/* Create (or overwrite) an image. *ret_line, if not NULL, becomes the "Formatting..." line (g_free it). */
bool block_create(BlockCtx *ctx, const BlockCreateOpts *opts, char **ret_line, GError **err);
/* The last value of @key in opts->options ("on" for a bare key), or NULL. */
const char *block_opt_get(const BlockCreateOpts *opts, const char *key);
/* "name  help" lines of the creation options of a format; g_free it. NULL: no such format or it cannot be created. */
char *block_create_help(const char *format);

typedef struct BlockCheck {
    uint64_t corruptions, leaks, errors;        /* errors: the check itself failed there (I/O) */
    uint64_t corruptions_fixed, leaks_fixed;
    uint64_t stale_flags;       /* of the corruptions: "refcount is one" not noted; costs a copy, harms nothing */
    uint64_t total_clusters, allocated_clusters, fragmented_clusters, compressed_clusters;
    uint64_t image_end;
    void (*message)(void *opaque, const char *line);    /* may be NULL */
    void *opaque;
} BlockCheck;
enum { BLOCK_FIX_LEAKS = 1, BLOCK_FIX_ERRORS = 2 };
/* -ENOTSUP: this format has no check. */
int block_check(BlockNode *node, unsigned fix, BlockCheck *check);

typedef struct BlockSnapshot {
    char *id, *name;
    uint64_t vm_state_size, disk_size, date_sec, vm_clock_ns;
    uint32_t date_nsec;
    uint64_t icount;            /* G_MAXUINT64: not recorded */
} BlockSnapshot;
/* Array of BlockSnapshot *, freed with g_ptr_array_unref; NULL: the format has no snapshots. */
GPtrArray *block_snapshot_list(BlockNode *node);
bool block_snapshot_create(BlockNode *node, const BlockSnapshot *snapshot, GError **err);
bool block_snapshot_apply(BlockNode *node, const char *id_or_name, GError **err);
bool block_snapshot_delete(BlockNode *node, const char *id_or_name, GError **err);

/* Persistent dirty bitmaps. @granularity (bytes, 0: default) is for ADD. */
typedef enum BlockBitmapOp { BLOCK_BITMAP_ADD, BLOCK_BITMAP_REMOVE, BLOCK_BITMAP_CLEAR, BLOCK_BITMAP_ENABLE, BLOCK_BITMAP_DISABLE } BlockBitmapOp;
bool block_bitmap(BlockNode *node, BlockBitmapOp op, const char *name, uint64_t granularity, GError **err);
/* Add the bits of @src's bitmap @src_name (granularities may differ) to @name of @node. */
bool block_bitmap_merge(BlockNode *node, const char *name, BlockNode *src, const char *src_name, GError **err);
/* Change creation options of an existing image; opts->options, size and backing as for block_create. */
bool block_amend(BlockNode *node, const BlockCreateOpts *opts, GError **err);

typedef struct BlockInfo {
    uint32_t cluster_size;      /* 0: none */
    bool dirty, corrupt, encrypted;
    uint64_t image_end;
    int64_t host_bytes;         /* space used on the host; -1: unknown */
    GVariant *specific;         /* a{sv}, or NULL: what only this format has; keys as the image tool prints them */
} BlockInfo;
/* ret_info->specific is a full reference: g_variant_unref it. */
int block_info(BlockNode *node, BlockInfo *ret_info);

/* ---- formats ---- */

/* Every format and protocol there is, NULL-terminated; the list is block/formats.c. */
extern const BlockFormat *const block_formats[];
const BlockFormat *block_format_find(const char *name);
const char *block_format_name_of(const BlockFormat *format);

/* ---- arguments as people write them ---- */

/* "key=value" (NULL-terminated; a bare word is the value of "file") as a name in JSON; g_free it. */
char *block_name_from_options(const char *const *list);
bool block_parse_size(const char *text, uint64_t *ret_size);    /* "64M", "1.5G" */
bool block_parse_bool(const char *text, bool *ret_value);       /* on off yes no true false */
bool block_parse_prealloc(const char *text, BlockPrealloc *ret_prealloc);
/* Make the image refer to another backing file (NULL: none) without looking at data; the open chain stays as it is. */
bool block_change_backing(BlockNode *node, const char *name, const char *format, GError **err);
/*
 * Write what the layers above @base have into @base (NULL: the backing file of @node), which is made writable for that
 * time and grown if it is smaller. With @empty, and if @base is the immediate backing file, @node is emptied then.
 * @progress may be NULL. Main thread; @own as in block_drain_begin: requests wait until it is done.
 */
typedef void BlockProgress(void *opaque, uint64_t done, uint64_t total);
bool block_commit(BlockNode *node, BlockNode *base, bool empty, Loop *own, BlockProgress *progress, void *opaque, GError **err);
/* Let a node be written to, or not any more. Drained. */
bool block_set_writable(BlockNode *node, bool writable, GError **err);
/* Drop all data of this layer, so that everything comes from the backing file; -ENOTSUP if the format cannot. */
int block_make_empty(BlockNode *node);
