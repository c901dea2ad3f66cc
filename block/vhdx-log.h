#pragma once
#include "block/ro.h"

/* vhdx-log.c: the log of a VHDX file ([MS-VHDX] 2.3), replayed in memory: the file stays as it is. */
typedef struct VhdxLog VhdxLog;
/* From the header's fields. NULL with @err if the log is damaged, or cannot be complete. */
VhdxLog *vhdx_log_open(BlockNode *node, const uint8_t guid[16], uint64_t offset, uint64_t length, GError **err);
void vhdx_log_free(VhdxLog *log);       /* NULL is fine, here and below: there is nothing to replay */
/* What the file has, with the log's writes over it. */
int vhdx_log_read(const VhdxLog *log, BlockNode *node, uint64_t offset, void *buf, uint64_t len);
/* The size that the file must be taken to have; reads beyond its end give zeros. */
uint64_t vhdx_log_file_size(const VhdxLog *log, uint64_t size);
