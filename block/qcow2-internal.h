#pragma once
#include "block/format.h"

/*
 * qcow2, versions 2 and 3, after the public specification (docs/interop/qcow2.txt, "the spec" below).
 * block/ORDERING.md says in which order things reach the disk, and why that is safe at every moment.
 *
 * One lock an image (Qcow2.lock) guards all metadata in memory; it is dropped for data I/O and for the writing of
 * metadata. Functions named q_* expect it held, unless they say otherwise.
 */

#define QCOW2_MAGIC 0x514649fbu
#define Q_OFFSET_MASK 0x00fffffffffffe00ull     /* of L1 and standard L2 entries: bits 9-55 */
#define Q_COPIED (1ull << 63)
#define Q_COMPRESSED (1ull << 62)
#define Q_ZERO 1ull
#define Q_L1_RESERVED 0x7f000000000001ffull
#define Q_L2_RESERVED 0x3f000000000001feull     /* of a standard descriptor */
#define Q_REFTABLE_RESERVED 0x1ffull

enum {                          /* incompatible_features */
    Q_INCOMPAT_DIRTY = 1, Q_INCOMPAT_CORRUPT = 2, Q_INCOMPAT_DATA_FILE = 4, Q_INCOMPAT_COMPRESSION = 8,
    Q_INCOMPAT_EXTENDED_L2 = 16, Q_INCOMPAT_KNOWN = 31,
    Q_COMPAT_LAZY_REFCOUNTS = 1,
    Q_AUTOCLEAR_BITMAPS = 1, Q_AUTOCLEAR_RAW_DATA = 2, Q_AUTOCLEAR_KNOWN = 3,
};
enum { Q_EXT_END = 0, Q_EXT_BACKING_FORMAT = 0xe2792aca, Q_EXT_FEATURES = 0x6803f857, Q_EXT_BITMAPS = 0x23852875,
       Q_EXT_CRYPT = 0x0537be77, Q_EXT_DATA_FILE = 0x44415441 };
enum { Q_COMPRESS_ZLIB, Q_COMPRESS_ZSTD };

/* Bounds of what is taken from an image (the first two are QEMU's, so that whatever it opens opens here). */
enum {
    Q_MAX_L1_BYTES = 32 << 20, Q_MAX_REFTABLE_BYTES = 8 << 20, Q_MAX_SNAPSHOTS = 65536, Q_MAX_SNAPSHOT_TABLE = 64 << 20,
    Q_MAX_BITMAPS = 65535, Q_MAX_BITMAP_DIRECTORY = 64 << 20, Q_MIN_CLUSTER_BITS = 9, Q_MAX_CLUSTER_BITS = 21,
    Q_HEADER_V2 = 72, Q_HEADER_V3 = 104, Q_HEADER_OURS = 112, Q_MAX_NAME = 1023,
};

typedef struct Qcow2Extension {
    uint32_t type, len;
    uint8_t *data;
} Qcow2Extension;

/* The header in host byte order; the names are the spec's. */
typedef struct Qcow2Header {
    uint32_t version;
    uint64_t backing_file_offset;
    uint32_t backing_file_size, cluster_bits;
    uint64_t size;
    uint32_t crypt_method, l1_size;
    uint64_t l1_table_offset, refcount_table_offset;
    uint32_t refcount_table_clusters, nb_snapshots;
    uint64_t snapshots_offset, incompatible_features, compatible_features, autoclear_features;
    uint32_t refcount_order, header_length;
    uint8_t compression_type;
} Qcow2Header;

typedef enum Qcow2TableKind { Q_TABLE_L2, Q_TABLE_REFBLOCK, Q_TABLE_KINDS } Qcow2TableKind;

/* One cluster of metadata in memory, as on disk (big endian). */
typedef struct Qcow2Table {
    uint64_t offset;            /* host offset, the key */
    Qcow2TableKind kind;
    uint32_t dirty_lo, dirty_hi;        /* bytes [lo, hi) differ from the disk; equal: none */
    bool is_new;                /* nothing on disk points to it yet: goes out in the first stage */
    bool committing;            /* a commit has a copy of it under way: not to be evicted */
    uint64_t used;              /* Qcow2.tick of the last use */
    uint8_t *data;
} Qcow2Table;

typedef struct Qcow2Free {      /* clusters to give back once what pointed to them is gone from the disk */
    uint64_t offset, count;
    bool data;                  /* guest data: may be punched out of the file */
} Qcow2Free;

typedef BlockTrack Qcow2Track;

typedef struct Qcow2Load {      /* an L2 table that somebody is reading without the lock */
    uint64_t offset;
    bool stale;                 /* meanwhile the cluster got into the cache in another way */
    struct Qcow2Load *next;
} Qcow2Load;

typedef struct Qcow2Snapshot {
    uint64_t l1_offset, vm_state_size, disk_size, vm_clock_ns;
    uint32_t l1_size, date_sec, date_nsec, extra_size;
    char *id, *name;
    uint8_t *extra;             /* all of it, also what we do not know */
} Qcow2Snapshot;

enum { Q_BITMAP_IN_USE = 1, Q_BITMAP_AUTO = 2 };
typedef struct Qcow2Bitmap {
    char *name;
    uint64_t table_offset;
    uint32_t table_size, flags, extra_size;
    uint8_t type, granularity_bits;
    uint8_t *extra;
    uint8_t *bits;              /* while it is tracked; else NULL */
} Qcow2Bitmap;

enum { Q_INFLATED = 4 };        /* decompressed clusters kept */
typedef struct Qcow2Inflated {
    uint64_t key;               /* compressed descriptor; 0: empty */
    uint64_t used;
    uint8_t *data;
} Qcow2Inflated;

typedef struct Qcow2 {
    BlockNode *node, *file, *data_file;         /* data_file == file unless external */
    Qcow2Header h;
    GArray *extensions;         /* of Qcow2Extension; all but the end marker */
    char *data_file_name;

    uint32_t cluster_bits, cluster_size, l2_bits, l2_entry_size, subclusters, subcluster_size;
    uint32_t refblock_bits;     /* log2 of the entries in a refcount block */
    uint64_t refcount_max;
    bool external, raw_external, extended, corrupt, lazy, dirty_marked, can_write, autoclear_pending;

    GMutex lock;                /* protects everything below */
    GCond wake;                 /* a track or a commit has ended */
    Qcow2Track *tracks;
    unsigned exclusive_n;       /* of these */
    unsigned waiters;

    uint64_t *l1;               /* host byte order, h.l1_size entries */
    uint32_t l1_lo, l1_hi;      /* entries [lo, hi) are dirty */
    uint64_t *reftable;         /* host byte order */
    uint32_t reftable_entries, reftable_lo, reftable_hi;

    GHashTable *tables;         /* host offset -> Qcow2Table, both kinds */
    Qcow2Table *last_table;     /* that was looked up: mostly the next one, too */
    Qcow2Load *loads;
    uint64_t tick, trim_tick, tables_max[Q_TABLE_KINDS];
    unsigned tables_n[Q_TABLE_KINDS], dirty_n;
    bool committing;

    GHashTable *meta;           /* clusters of metadata: chunk number -> bitmap, see q_meta_mark */
    uint64_t meta_key;          /* the chunk that was looked up last, plus 1; 0: none */
    uint8_t *meta_bits;         /* its bitmap, or NULL */
    uint64_t free_hint;         /* no free cluster below this index */
    uint64_t file_end;          /* bytes; nothing was ever written at or beyond it: reads as zeros */
    GArray *frees;              /* of Qcow2Free: pending */
    uint64_t frees_n;
    bool reftable_full;
    uint64_t compressed_next;   /* where the next compressed cluster may go; 0: take a new cluster */

    gint holes;                 /* 0: unknown, 1: the file is sparse, 2: it is not */
    GPtrArray *snapshots;       /* of Qcow2Snapshot */
    GPtrArray *bitmaps;         /* of Qcow2Bitmap */
    bool bitmaps_tracked;
    GMutex inflate_lock;        /* protects the two below; a leaf */
    Qcow2Inflated inflated[Q_INFLATED];
    uint64_t inflate_tick;
} Qcow2;

static inline uint64_t be64_at(const uint8_t *p)
{
    uint64_t v;
    __builtin_memcpy(&v, p, 8);
    return GUINT64_FROM_BE(v);
}

static inline void be64_put(uint8_t *p, uint64_t v)
{
    v = GUINT64_TO_BE(v);
    __builtin_memcpy(p, &v, 8);
}

static inline uint32_t be32_at(const uint8_t *p)
{
    uint32_t v;
    __builtin_memcpy(&v, p, 4);
    return GUINT32_FROM_BE(v);
}

static inline void be32_put(uint8_t *p, uint32_t v)
{
    v = GUINT32_TO_BE(v);
    __builtin_memcpy(p, &v, 4);
}

static inline uint64_t q_align_up(const Qcow2 *s, uint64_t n)
{
    return (n + s->cluster_size - 1) & ~(uint64_t)(s->cluster_size - 1);
}

static inline uint64_t q_clusters(const Qcow2 *s, uint64_t bytes)
{
    return (bytes >> s->cluster_bits) + !!(bytes & (s->cluster_size - 1));
}

/* ---- qcow2-header.c ---- */
/* Read and check the header and its extensions; sets all that follows from them. No lock needed. */
bool q_header_read(Qcow2 *s, GError **err);
/* The fixed part only, one sector: atomic on disk. The caller orders it against other writes. */
int q_header_write(Qcow2 *s);
/* Header, extensions and backing file name. False if they do not fit in a cluster. */
bool q_header_rewrite(Qcow2 *s, GError **err);
/* The whole first cluster from the struct; returns the bytes used, 0 if it does not fit. */
uint32_t q_header_encode(const Qcow2 *s, const char *backing, uint8_t *cluster);
void q_extension_set(Qcow2 *s, uint32_t type, const void *data, uint32_t len);  /* data NULL: remove */
void q_extensions_free(GArray *extensions);
void q_geometry(Qcow2 *s);      /* what follows from cluster_bits, refcount_order and features */

/* The image is damaged: say so (once), set the corrupt bit, refuse writes from now on. Returns -EIO. */
int q_corrupt(Qcow2 *s, const char *what, uint64_t offset);

/* ---- qcow2-meta.c: the cache of tables, and the commit ---- */
/* *ret_table stays valid while the lock is held. */
int q_table_get(Qcow2 *s, Qcow2TableKind kind, uint64_t offset, Qcow2Table **ret_table);
/* The same for an L2 table, but without the lock during a read that others need not wait for. Drops and retakes the
 * lock; the table may be gone again when it is used, q_table_get will then read it. Errors are left to q_table_get. */
void q_table_load(Qcow2 *s, uint64_t offset);
/* Drop what is clean and was not used since the last call. */
void q_tables_trim(Qcow2 *s);
Qcow2Table *q_table_cached(Qcow2 *s, uint64_t offset);
/* A zeroed table for a newly allocated cluster; @blank: the file reads as zeros there. */
Qcow2Table *q_table_new(Qcow2 *s, Qcow2TableKind kind, uint64_t offset, bool blank);
void q_table_dirty(Qcow2 *s, Qcow2Table *t, uint32_t lo, uint32_t hi);
void q_table_drop(Qcow2 *s, uint64_t offset);
void q_l1_dirty(Qcow2 *s, uint32_t index);
void q_free_later(Qcow2 *s, uint64_t offset, uint64_t count, bool data);
/* Bring all metadata to the disk, in order, and make pending frees real. Drops and retakes the lock. */
int q_commit(Qcow2 *s);
/* Call first in every operation that changes metadata, nothing else held: limits memory, keeps room in the refcount
 * table for @clusters more, clears autoclear bits, marks the image dirty (lazy refcounts). Drops and retakes the lock. */
int q_prepare(Qcow2 *s, uint64_t clusters);
void q_tables_free(Qcow2 *s);

/* ---- qcow2-refcount.c ---- */
uint64_t q_refcount_entry(const Qcow2 *s, const uint8_t *block, uint64_t index);
void q_refcount_entry_set(const Qcow2 *s, uint8_t *block, uint64_t index, uint64_t value);
int q_refcount_get(Qcow2 *s, uint64_t cluster, uint64_t *ret_value);
/* Add @delta to the refcount of @count clusters from @offset. -EINVAL: a count is as high as it can be, nothing changed. */
int q_refcount_add(Qcow2 *s, uint64_t offset, uint64_t count, int delta);
/* For repairs: any value. -ENOENT: there is no usable block for it. */
int q_refcount_set(Qcow2 *s, uint64_t cluster, uint64_t value);
/* Between 1 and @want contiguous free clusters (exactly @want if @all), refcount 1 afterwards. -EAGAIN: the refcount
 * table is full, q_prepare will help. */
int q_alloc(Qcow2 *s, uint64_t want, bool all, uint64_t *ret_offset, uint64_t *ret_count);
/* Give back what was allocated but never linked. */
void q_alloc_undo(Qcow2 *s, uint64_t offset, uint64_t count);
int q_reftable_grow(Qcow2 *s, uint64_t clusters);
/* Clusters known to hold metadata: guest data must never go there. */
void q_meta_mark(Qcow2 *s, uint64_t offset, uint64_t bytes, bool is_meta);
bool q_is_meta(Qcow2 *s, uint64_t offset, uint64_t bytes);

/* ---- qcow2-map.c ---- */
typedef enum Qcow2Type { Q_UNALLOCATED, Q_ZEROS, Q_NORMAL, Q_PACKED } Qcow2Type;
typedef struct Qcow2Map {
    Qcow2Type type;
    bool copied;                /* the cluster belongs to the active image alone */
    uint64_t host;              /* NORMAL: of the first byte. ZEROS: preallocated cluster or 0. PACKED: the L2 entry */
    uint64_t len;               /* bytes from the asked offset that this holds for (PACKED: to the end of the cluster) */
} Qcow2Map;
/* Have the L2 table for @offset in memory if there is one: call before q_map where the lock may be dropped. */
void q_map_load(Qcow2 *s, uint64_t offset);
int q_map(Qcow2 *s, uint64_t offset, uint64_t max, Qcow2Map *ret_map);
/* Only with what is in memory: -EAGAIN otherwise. */
int q_map_cached(Qcow2 *s, uint64_t offset, uint64_t max, Qcow2Map *ret_map);
/* The L2 table for @offset, ready to be changed (allocated or copied if need be). */
int q_l2_for_write(Qcow2 *s, uint64_t offset, Qcow2Table **ret_table);
uint64_t q_l2_entry(const Qcow2 *s, const Qcow2Table *t, uint32_t index);
uint64_t q_l2_bitmap(const Qcow2 *s, const Qcow2Table *t, uint32_t index);
void q_l2_set(Qcow2 *s, Qcow2Table *t, uint32_t index, uint64_t entry, uint64_t bitmap);
uint32_t q_l2_index(const Qcow2 *s, uint64_t offset);
/* What an entry occupies: host offset of the first cluster and number of clusters; 0: nothing. */
uint64_t q_entry_clusters(const Qcow2 *s, uint64_t entry, uint64_t *ret_offset);
void q_packed_place(const Qcow2 *s, uint64_t entry, uint64_t *ret_offset, uint64_t *ret_bytes);
/* Check a host offset of guest data; 0 or -EIO with the image marked. */
int q_check_data_offset(Qcow2 *s, uint64_t guest, uint64_t host);

/* ---- qcow2-io.c; these take the lock themselves ---- */
void q_track_begin(Qcow2 *s, Qcow2Track *t, uint64_t start, uint64_t end, bool exclusive);      /* lock held; may drop it */
bool q_track_try(Qcow2 *s, Qcow2Track *t, uint64_t start, uint64_t end, bool exclusive);        /* lock held */
void q_track_end(Qcow2 *s, Qcow2Track *t);                                                      /* lock held */
int qcow2_readv(BlockNode *node, uint64_t offset, uint64_t len, BlockIov io);
int qcow2_writev(BlockNode *node, uint64_t offset, uint64_t len, BlockIov io, unsigned flags);
int qcow2_status(BlockNode *node, uint64_t offset, uint64_t len, BlockStatus *ret_status);
bool qcow2_inline_begin(BlockNode *node, BlockReq *req, int *ret_fd, uint64_t *offset);
void qcow2_inline_end(BlockNode *node, BlockReq *req);
/* The content of a range, through mapping and backing file; lock not held. */
int q_read_range(Qcow2 *s, uint64_t offset, uint64_t len, BlockIov io);
/* Read what @map says about @offset; lock not held. */
int q_read_mapped(Qcow2 *s, uint64_t offset, const Qcow2Map *map, uint64_t len, BlockIov io);

/* ---- qcow2-zero.c ---- */
int qcow2_write_zeroes(BlockNode *node, uint64_t offset, uint64_t len, unsigned flags);
int qcow2_discard(BlockNode *node, uint64_t offset, uint64_t len);
int qcow2_make_empty(BlockNode *node);
/* Whole clusters become unallocated, whatever the backing file has there. */
int q_forget(BlockNode *node, uint64_t offset, uint64_t len);

/* ---- qcow2-compress.c; lock not held ---- */
int q_read_packed(Qcow2 *s, uint64_t entry, uint64_t in_cluster, uint64_t len, BlockIov io);
int q_write_packed(Qcow2 *s, uint64_t offset, uint64_t len, BlockIov io);
void q_inflated_clear(Qcow2 *s);

/* ---- qcow2-refs.c: how often each host cluster is referenced; used by the check ---- */
typedef struct Qcow2Refs Qcow2Refs;
Qcow2Refs *q_refs_new(void);
void q_refs_free(Qcow2Refs *refs);
void q_refs_add(Qcow2Refs *refs, uint64_t cluster, uint64_t count, uint32_t weight);
uint32_t q_refs_get(Qcow2Refs *refs, uint64_t cluster);
/* The counts from @cluster on, as many as lie side by side, at most *count; NULL: they are all 0. *count becomes their number. */
const uint32_t *q_refs_span(Qcow2Refs *refs, uint64_t cluster, uint64_t *count);
uint64_t q_refs_end(const Qcow2Refs *refs);     /* one more than the highest cluster ever added */
/* Call @fn with every chunk of counts there is, in order: counts of clusters first .. first + n - 1. */
typedef int Qcow2RefsFn(void *opaque, uint64_t first, const uint32_t *counts, uint32_t n);
int q_refs_walk(Qcow2Refs *refs, Qcow2RefsFn *fn, void *opaque);
/* A new refcount table and new blocks, made from what is referenced, behind the end of the file. */
int q_refcounts_rebuild(Qcow2 *s, Qcow2Refs *refs);

/* ---- qcow2-bitmap.c; lock held ---- */
bool q_bitmaps_read(Qcow2 *s, GError **err);
int q_bitmaps_begin(Qcow2 *s);
void q_bitmaps_mark(Qcow2 *s, uint64_t offset, uint64_t len);
int q_bitmaps_end(Qcow2 *s);
/* Around a change of the disk's length: all bits in memory and in use on disk; then as long as the disk is now, which was
 * @old_length bytes long. */
int q_bitmaps_resize_begin(Qcow2 *s, GError **err);
int q_bitmaps_resize_end(Qcow2 *s, uint64_t old_length);
void q_bitmap_free(void *bitmap);
GVariant *q_bitmaps_info(Qcow2 *s);
bool qcow2_bitmap(BlockNode *node, BlockBitmapOp op, const char *name, uint64_t granularity, GError **err);    /* takes the lock */

bool qcow2_bitmap_merge(BlockNode *node, const char *name, BlockNode *src, const char *src_name, GError **err);      /* too */

/* ---- qcow2-amend.c ---- */
bool qcow2_change_backing(BlockNode *node, const char *name, const char *format, GError **err);
bool qcow2_amend(BlockNode *node, const BlockCreateOpts *opts, GError **err);
/* All references but those of the refcount structures; qcow2-check.c. */
int q_count_references(Qcow2 *s, Qcow2Refs **ret_refs);

/* ---- the rest ---- */
int qcow2_check(BlockNode *node, unsigned fix, BlockCheck *check);
bool qcow2_create(BlockCtx *ctx, const BlockCreateOpts *opts, char **ret_line, GError **err);
extern const char qcow2_create_help[];
int qcow2_resize(BlockNode *node, uint64_t length, BlockPrealloc prealloc, GError **err);
int q_preallocate(Qcow2 *s, uint64_t offset, uint64_t len, BlockPrealloc prealloc);
bool q_snapshots_read(Qcow2 *s, GError **err);
void q_snapshot_free(void *snapshot);
GPtrArray *qcow2_snapshot_list(BlockNode *node);
bool qcow2_snapshot_create(BlockNode *node, const BlockSnapshot *snapshot, GError **err);
bool qcow2_snapshot_apply(BlockNode *node, const char *id_or_name, GError **err);
bool qcow2_snapshot_delete(BlockNode *node, const char *id_or_name, GError **err);
int q_snapshot_find(const Qcow2 *s, const char *id_or_name);
