#pragma once
#include "block/format.h"

/*
 * What the read-only formats of other programs have in common: a map from offsets to places in the file. Such images are
 * there to be converted; opening one for writing is refused.
 */
typedef struct RoMap {
    enum { RO_HOLE, RO_ZERO, RO_DATA, RO_PACKED } type;         /* HOLE: the backing file shows, or zeros */
    uint64_t host;              /* DATA: of the first byte asked for; PACKED: the format's own */
    uint64_t len;               /* from the asked offset on, at most what was asked */
} RoMap;

typedef int RoMapFn(BlockNode *node, uint64_t offset, uint64_t max, RoMap *ret_map);
/* Unpack what @map says: @in_unit is the offset within the packed unit. */
typedef int RoUnpackFn(BlockNode *node, const RoMap *map, uint64_t offset, uint64_t len, BlockIov io);

int ro_readv(BlockNode *node, uint64_t offset, uint64_t len, BlockIov io, RoMapFn *map, RoUnpackFn *unpack);
int ro_status(BlockNode *node, uint64_t offset, uint64_t len, BlockStatus *ret_status, RoMapFn *map);
/* What is known of every such image: its @cluster, bytes it takes on the host. */
int ro_info(BlockNode *node, BlockInfo *ret_info, uint32_t cluster);
/* Refuse writing. */
bool ro_open(BlockNode *node, GError **err);
/* @n table entries of @size bytes from @offset, checked to lie in the file; NULL with @err. g_free it. */
void *ro_read_table(BlockNode *node, uint64_t offset, uint64_t n, unsigned size, const char *what, GError **err);
bool ro_bad(BlockNode *node, GError **err, const char *what);
/* One unit of deflate data, raw (@raw) or with a zlib header, that must give exactly @out_len bytes. */
int ro_inflate(void *out, uint64_t out_len, const void *in, uint64_t in_len, bool raw);

extern const BlockFormat block_format_qcow, block_format_vdi, block_format_vpc, block_format_vhdx, block_format_vmdk;
