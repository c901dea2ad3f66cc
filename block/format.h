#pragma once
#include "block/block.h"

/*
 * What a format or protocol implements, and what it may use of the node it lives in. For block/ and its tests.
 *
 * All I/O hooks are plain blocking functions, called by pool workers or by whoever made a blocking call, several at a
 * time: a format has its own lock and must not hold it over slow I/O that others need not wait for. Children are used
 * through bn_*(), in the same thread. Hooks that are NULL are not there: the core decides what that means.
 */

/* A position in an iovec array; lengths travel beside it. */
typedef struct BlockIov {
    const struct iovec *iov;
    unsigned niov;
    uint64_t skip;              /* bytes of the array before the position */
} BlockIov;

static inline BlockIov biov_advance(BlockIov io, uint64_t n)
{
    io.skip += n;
    while (io.niov && io.skip >= io.iov->iov_len) {
        io.skip -= io.iov->iov_len;
        io.iov++;
        io.niov--;
    }
    return io;
}

/* For one flat buffer: the BlockIov points to *vec. */
static inline BlockIov biov_buf(struct iovec *vec, const void *buf, uint64_t len)
{
    *vec = (struct iovec){ (void *)buf, len };
    return (BlockIov){ vec, 1, 0 };
}

/* A plain array for at most @len bytes (fewer if it needs more than @max entries); returns the number of entries. */
unsigned biov_slice(BlockIov io, uint64_t len, struct iovec *vec, unsigned max, uint64_t *ret_len);
void biov_from_buf(BlockIov io, const void *buf, uint64_t len);
void biov_to_buf(BlockIov io, void *buf, uint64_t len);
void biov_zero(BlockIov io, uint64_t len);
bool biov_is_zero(BlockIov io, uint64_t len);
bool buf_is_zero(const void *buf, uint64_t len);

struct BlockFormat {
    const char *name;
    const char *prefix;         /* protocols: the scheme, "nbd"; NULL for formats and for files */
    bool protocol;              /* has no node below it */
    bool can_backing;
    size_t state_size;

    /* How sure: 0 no, 100 certain. @head: the first bytes of the file. */
    int (*probe)(const uint8_t *head, size_t len, const char *name);
    /* node->file, opts, name are set; sets node->length and what else it knows. On failure close is not called. */
    bool (*open)(BlockNode *node, GError **err);
    int (*close)(BlockNode *node);      /* flushes what it holds; frees its state */

    int (*readv)(BlockNode *node, uint64_t offset, uint64_t len, BlockIov io);
    int (*writev)(BlockNode *node, uint64_t offset, uint64_t len, BlockIov io, unsigned flags);
    int (*write_zeroes)(BlockNode *node, uint64_t offset, uint64_t len, unsigned flags);
    int (*discard)(BlockNode *node, uint64_t offset, uint64_t len);
    int (*flush)(BlockNode *node);
    /* flags of this layer; NULL: all data. */
    int (*status)(BlockNode *node, uint64_t offset, uint64_t len, BlockStatus *ret_status);
    int (*resize)(BlockNode *node, uint64_t length, BlockPrealloc prealloc, GError **err);

    /*
     * The fast path, called inside block_submit: without blocking, say where the whole request, which begins at *offset
     * of this node, lies in a plain file. True: *ret_fd is set, *offset is the place in the file, and inline_end is
     * called when the I/O has ended. Only READ and WRITE.
     */
    bool (*inline_begin)(BlockNode *node, BlockReq *req, int *ret_fd, uint64_t *offset);
    void (*inline_end)(BlockNode *node, BlockReq *req);

    bool (*create)(BlockCtx *ctx, const BlockCreateOpts *opts, char **ret_line, GError **err);
    const char *create_help;
    int (*check)(BlockNode *node, unsigned fix, BlockCheck *check);
    int (*info)(BlockNode *node, BlockInfo *ret_info);
    GPtrArray *(*snapshot_list)(BlockNode *node);
    bool (*snapshot_create)(BlockNode *node, const BlockSnapshot *snapshot, GError **err);
    bool (*snapshot_apply)(BlockNode *node, const char *id_or_name, GError **err);
    bool (*snapshot_delete)(BlockNode *node, const char *id_or_name, GError **err);
    /* Make the image refer to another backing file (NULL: none), without looking at data. */
    bool (*change_backing)(BlockNode *node, const char *name, const char *format, GError **err);
    /* Between read-only and writable, drained; node->read_only is what it was. The file below comes first. NULL: nothing
     * to do but to change the flag. */
    bool (*set_writable)(BlockNode *node, bool writable, GError **err);
    bool (*bitmap)(BlockNode *node, BlockBitmapOp op, const char *name, uint64_t granularity, GError **err);
    /* @src has the same format. */
    bool (*bitmap_merge)(BlockNode *node, const char *name, BlockNode *src, const char *src_name, GError **err);
    bool (*amend)(BlockNode *node, const BlockCreateOpts *opts, GError **err);
    void (*trim)(BlockNode *node);      /* let go of cached metadata that was not used since the last call; never waits */
    uint64_t (*cache_bytes)(BlockNode *node);   /* held by the cache of metadata */
    int (*make_empty)(BlockNode *node); /* after a commit: drop all data of this layer */
};

struct BlockNode {
    gint refs;
    BlockCtx *ctx;
    const BlockFormat *format;
    void *state;
    char *name;
    BlockNode *file, *backing;
    char *backing_name, *backing_format;
    uint64_t length;            /* changes only while drained */
    BlockOpenOpts opts;         /* strings not valid after open, except snapshot */
    bool read_only;
    bool padded;                /* the file ended within its last sector (raw) */
    bool fixed_size;            /* a file whose user never writes beyond its length (raw) */
    gint write_cache;
    uint32_t opt_io_size, discard_granularity;
    LoopFn *on_resize;
    void *on_resize_opaque;

    GMutex lock;                /* protects the fields below */
    GCond idle;
    unsigned in_flight, quiesced;
    BlockReq *parked, **parked_last;
    struct BlockThrottle *throttle;     /* limits.c; NULL: none */
    BlockOnError on_error[2];   /* reads, writes */
    BlockStats stats;
};

/* The list of nodes that the context trims. */
void block_ctx_add(BlockCtx *ctx, BlockNode *node);
void block_ctx_remove(BlockCtx *ctx, BlockNode *node);
/* The pool: run fn(opaque) on a worker. */
void block_ctx_run(BlockCtx *ctx, LoopFn *fn, void *opaque);

/* Children: no bounds but the file's own; reads beyond the end give zeros, writes there extend a file. */
int bn_readv(BlockNode *node, uint64_t offset, uint64_t len, BlockIov io);
int bn_writev(BlockNode *node, uint64_t offset, uint64_t len, BlockIov io, unsigned flags);
int bn_read(BlockNode *node, uint64_t offset, void *buf, uint64_t len);
int bn_write(BlockNode *node, uint64_t offset, const void *buf, uint64_t len);
int bn_write_zeroes(BlockNode *node, uint64_t offset, uint64_t len, unsigned flags);
int bn_discard(BlockNode *node, uint64_t offset, uint64_t len);
int bn_flush(BlockNode *node);
/* limits.c. True: the request begins later, with bn_req_start from its Loop. node->lock not held. */
bool bn_throttle(BlockNode *node, BlockReq *req);
void bn_throttle_wait(BlockNode *node, BlockOp op, uint64_t len);       /* blocking calls: sleeps until it is due */
void bn_throttle_release(BlockNode *node);      /* what waits may begin now; node->lock held */
void bn_req_start(BlockReq *req);
/* Any thread: the request's result is known. */
void bn_req_complete(BlockReq *req, int ret);

/* A node of @format around @state (its size must fit); open is called. For protocols and tests. Takes no reference of
 * its own on @file: the caller's goes into the node, or is dropped on failure. */
BlockNode *bn_new(BlockCtx *ctx, const BlockFormat *format, const char *name, BlockNode *file, const BlockOpenOpts *opts,
                  GError **err);

/* open.c: a protocol's node; and what @opts->format (or the content) says on top of @file, of which a reference is taken. */
BlockNode *bn_open_protocol(BlockCtx *ctx, const char *name, const BlockOpenOpts *opts, GError **err);
BlockNode *bn_open_layer(BlockNode *file, const BlockOpenOpts *opts, GError **err);
bool bn_open_chain(BlockNode *top, GError **err);       /* the backing files below @top that are not open yet */
/* name.c: "json:{...}"; without its backing chain, unless the name says something about that. */
BlockNode *bn_open_json(BlockCtx *ctx, const char *name, const BlockOpenOpts *opts, GError **err);

/* "-o" lists: false if a key is not in @known (NULL-terminated). */
bool block_opts_known(const BlockCreateOpts *opts, const char *const *known, GError **err);

/* file.c */
int block_file_size(BlockNode *file, uint64_t *ret_size);       /* current size of the file, not cached */
int block_file_truncate(BlockNode *file, uint64_t size, BlockPrealloc prealloc);
bool block_file_create(BlockCtx *ctx, const char *name, GError **err);  /* empty; honours other processes' locks */
bool block_file_is_regular(const BlockNode *file);      /* not a device */
char *block_path_of(const char *name);  /* "file:x" -> "x"; g_free it */

extern const BlockFormat block_format_file, block_format_nbd, block_format_raw, block_format_qcow2;

/* One line: "Could not open 'NAME': ..." */
#define BLOCK_ERROR block_error_quark()
GQuark block_error_quark(void);
void block_error(GError **err, int negative_errno, const char *fmt, ...) G_GNUC_PRINTF(3, 4);
