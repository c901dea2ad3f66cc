#pragma once
#include "block/ro.h"

/* vmdk-desc.c: a descriptor file, whose disk is made of other files, one after the other. */
typedef struct VmdkDesc VmdkDesc;
bool vmdk_is_desc(const uint8_t *head, size_t len);
/* Sets node->length. Opens the extents unless opts.no_data_file. NULL with @err. */
VmdkDesc *vmdk_desc_open(BlockNode *node, GError **err);
void vmdk_desc_free(VmdkDesc *d);       /* NULL is fine */
int vmdk_desc_readv(const VmdkDesc *d, uint64_t offset, uint64_t len, BlockIov io);
int vmdk_desc_status(const VmdkDesc *d, uint64_t offset, uint64_t len, BlockStatus *ret_status);
