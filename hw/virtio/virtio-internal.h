#pragma once
#include "hw/virtio/virtio.h"

/* Between virtio.c, the queue files and the transports. */

typedef struct VirtqDesc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags;             /* VRING_DESC_F_* */
    uint16_t next;              /* split: next; packed: buffer id (the two change places in memory) */
} VirtqDesc;

/* Work space for one chain; guarded by the device lock. */
struct VirtioScratch {
    VirtqDesc desc[VIRTQ_MAX_NUM];
    struct iovec iov[VIRTQ_MAX_SEGS];
    DmaMap map[VIRTQ_MAX_SEGS];
    unsigned n, n_out;          /* pieces in iov and map; the first n_out are readable */
    uint64_t out_len, in_len;
};
struct VirtioScratch *virtio_scratch_new(void);

/* The queue is set up and the device may serve it. */
bool virtq_usable(const VirtQueue *vq);
bool virtq_size_ok(const VirtQueue *vq, unsigned num);
bool virtq_position_ok(const VirtQueue *vq);
/* The doorbell rang: any thread, no lock held. */
void virtq_ring(void *vq);

bool virtq_is_packed(const VirtQueue *vq);
/* Map one descriptor's buffer into the scratch; false and broken if it cannot be. */
bool virtq_map_desc(VirtQueue *vq, const VirtqDesc *d);
/* A table of @len bytes at @addr into the scratch's desc[]; the number, or 0 and broken. */
unsigned virtq_read_indirect(VirtQueue *vq, uint64_t addr, uint32_t len);
/* Ring memory. A failure breaks the device and reads 0. */
uint64_t virtq_load(VirtQueue *vq, uint64_t addr, unsigned size);
void virtq_store(VirtQueue *vq, uint64_t addr, unsigned size, uint64_t val);
void virtq_le_desc(VirtqDesc *d);

/* virtq-packed.c. Gather maps the chain at slot @pos into the scratch; head and slots are outputs. */
bool virtq_packed_gather(VirtQueue *vq, uint16_t pos, bool wrap, uint16_t *ret_head, uint16_t *ret_slots);
bool virtq_packed_empty(VirtQueue *vq);
/* Write the used descriptor at @slot without its flags; then publish it. */
void virtq_packed_fill(VirtQueue *vq, uint16_t slot, uint16_t head, uint32_t len);
void virtq_packed_publish(VirtQueue *vq, uint16_t slot, bool wrap, uint32_t len);
bool virtq_packed_want_interrupt(VirtQueue *vq);
void virtq_packed_set_notification(VirtQueue *vq, bool on);

int eventfd_make(void);         /* -1 if the host has none left: notifications then arrive as plain writes */
void eventfd_drain(int fd);
void eventfd_ring(int fd);
void eventfd_close(int fd);
