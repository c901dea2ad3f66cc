#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "hw/pci/pci.h"
#include "vmm/device.h"

/*
 * Virtio (OASIS "Virtual I/O Device (VIRTIO) Version 1.2"): what all device types share, independent of the transport.
 *
 * One device type = one VirtioType and one instance struct with VirtioDevice first. VirtioDevice begins with the Device of its
 * transport, so a type works on any transport; the class (virtio-pci.h) says which. Everything runs under the device's lock.
 *
 * The guest is hostile: whatever breaks the ring's rules calls virtio_broken(), which stops all queues until a reset.
 */
#define VIRTIO_MAX_QUEUES 64
#define VIRTQ_MAX_NUM 1024          /* ring size; also the longest descriptor chain */
#define VIRTQ_MAX_SEGS 1024         /* host pieces of one chain */
#define VIRTIO_NO_VECTOR 0xffff
#define VIRTIO_CONFIG_MAX 256

typedef struct VirtioDevice VirtioDevice;
typedef struct VirtQueue VirtQueue;

typedef struct VirtioType {
    uint16_t id;                /* virtio_ids.h */
    unsigned config_size;       /* bytes of device configuration, at most VIRTIO_CONFIG_MAX */
    /* In the device's realize: set v->host_features (device's own bits) and add queues with virtio_add_queue. */
    bool (*realize)(VirtioDevice *v, GError **err);
    void (*unrealize)(VirtioDevice *v);
    void (*reset)(VirtioDevice *v);                 /* forget requests; elements popped before are stale */
    /* Requests that may still touch guest memory after a reset: the status register stays non-zero until it is false. NULL: never. */
    bool (*busy)(VirtioDevice *v);
    void (*queue)(VirtQueue *vq);                   /* the guest made buffers available (or may have) */
    void (*config_get)(VirtioDevice *v, uint8_t *cfg);      /* fill config_size bytes, little endian */
    void (*config_set)(VirtioDevice *v, unsigned off, uint32_t val, unsigned size);
    void (*started)(VirtioDevice *v);               /* DRIVER_OK was set: v->features are final */
    void (*resumed)(VirtioDevice *v);               /* the machine runs (again); queues are kicked afterwards. NULL: nothing to do */
} VirtioType;

struct VirtQueue {
    VirtioDevice *v;
    uint16_t index;
    uint16_t num_max;
    uint32_t generation;        /* counts resets: elements of an earlier one are stale */
    int event_fd;               /* doorbell, -1 = none */
    LoopFd *watch;
    /* saved: */
    uint16_t num;               /* entries, a power of 2 in split rings */
    bool ready;
    uint64_t desc, avail, used; /* guest addresses: split: table, available and used ring; packed: ring, driver and device event area */
    uint16_t vector;
    uint16_t last_avail;        /* next to take; packed: slot */
    uint16_t used_idx;          /* next to fill; packed: slot */
    uint16_t signalled_used;    /* used_idx at the last interrupt decision */
    bool signalled_valid;
    bool avail_wrap, used_wrap; /* packed */
    bool notify_off;            /* we told the driver not to notify */
};

/* Between the core and a transport. */
typedef struct VirtioTransport {
    void (*notify)(VirtioDevice *v, uint16_t vector, bool config);
    bool (*dma_allowed)(VirtioDevice *v);
} VirtioTransport;

struct VirtioDevice {
    union {                     /* must be first */
        Device dev;
        PciDevice pci;
    };
    const VirtioType *type;
    const VirtioTransport *transport;
    uint64_t host_features;
    unsigned n_queues;
    VirtQueue vq[VIRTIO_MAX_QUEUES];
    struct VirtioScratch *scratch;
    bool resetting;             /* status still reads as old_status: type->busy */
    uint8_t old_status;
    /* options */
    bool opt_indirect, opt_event_idx, opt_packed;
    bool opt_no_legacy, opt_no_modern;
    uint32_t opt_vectors;       /* 0 = one a queue and one for configuration changes */
    /* saved: */
    uint8_t status;
    bool broken;
    uint64_t driver_features;   /* as the driver wrote them */
    uint64_t features;          /* negotiated */
    uint8_t isr;
    uint8_t config_generation;
    uint16_t config_vector;
    uint32_t device_feature_sel, driver_feature_sel;
    uint16_t queue_sel;
    /* virtio-pci.c: */
    MemRegion *bar_legacy, *bar_modern, *bar_msix;
    uint8_t pci_cfg_cap;
};

extern const FieldDesc virtio_fields[];
bool virtio_post_load(Device *dev, unsigned version, GError **err);

static inline bool virtio_has(const VirtioDevice *v, unsigned feature)
{
    return v->features >> feature & 1;
}

/* ---- for device types ---- */

/* In realize: the next queue, with at most @num_max entries (a power of 2). */
VirtQueue *virtio_add_queue(VirtioDevice *v, unsigned num_max);
/* The guest broke the protocol: DEVICE_NEEDS_RESET, no queue is served any more until a reset. */
void virtio_broken(VirtioDevice *v, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
/* Device configuration changed. */
void virtio_notify_config(VirtioDevice *v);
/* True if queues may be served: DRIVER_OK (modern), not broken. */
bool virtio_running(const VirtioDevice *v);

/*
 * One chain, mapped: first member of a device's request struct. out = what the device reads, in = what it writes. The arrays may be
 * changed by the device (trimmed); what is mapped is remembered apart.
 */
typedef struct VirtqElem {
    VirtQueue *vq;
    uint32_t generation;
    uint16_t head;              /* descriptor or buffer id */
    uint16_t slots;             /* packed: descriptors in the ring */
    uint16_t pos;               /* where in the ring it was taken, for saving */
    bool pos_wrap;
    unsigned n_out, n_in;
    struct iovec *out, *in;
    uint64_t out_len, in_len;   /* bytes */
    unsigned n_maps_out, n_maps;
    DmaMap *maps;
} VirtqElem;

/* The next chain in a new zeroed struct of @size bytes (VirtqElem first); NULL if there is none or the device is broken. */
void *virtq_pop(VirtQueue *vq, size_t size);
/* Give the buffer back: @written bytes from the start of the writable part changed. Frees nothing. Stale elements are only unmapped. */
void virtq_push(VirtqElem *e, uint64_t written);
/* Several buffers that the driver must see at once, in order (all of one queue). */
void virtq_push_many(VirtqElem *const *e, const uint64_t *written, unsigned n);
/* Undo the latest pop(s), last first: the buffers count as not taken. Unmaps. */
void virtq_unpop(VirtqElem *e);
/* Unmap without giving back (stale after a reset, device going away). @written as for push. */
void virtq_drop(VirtqElem *e, uint64_t written);
/* Free what virtq_pop returned; unmapped before. */
void virtq_free(VirtqElem *e);
/*
 * For queue hooks that serve a ring in a loop: true while it may take another buffer. Bounds what one notification can cost, however
 * fast other vCPUs refill the ring; then the rest is done on the device's loop. @count starts at 0.
 */
bool virtq_budget(VirtQueue *vq, unsigned *count);
/* Interrupt the guest if it wants to know of what was pushed. */
void virtq_notify(VirtQueue *vq);
bool virtq_empty(VirtQueue *vq);
/* Tell the driver whether it need notify us of new buffers. On: check virtq_empty() again afterwards. */
void virtq_set_notification(VirtQueue *vq, bool on);
/* After a load: take the chain again that was at @pos / @head (from a saved element). NULL and broken on nonsense. */
void *virtq_retake(VirtQueue *vq, size_t size, uint16_t head, uint16_t pos, bool wrap);

/* iovec helpers: copy at most @len bytes at @off; return bytes copied. */
size_t iov_read(const struct iovec *iov, unsigned n, uint64_t off, void *buf, size_t len);
size_t iov_write(const struct iovec *iov, unsigned n, uint64_t off, const void *buf, size_t len);
/* Drop the first @len bytes of the array in place; returns the new count (entries move down). */
unsigned iov_skip(struct iovec *iov, unsigned n, uint64_t len);
/* Keep the first @len bytes; returns the new count. */
unsigned iov_clip(struct iovec *iov, unsigned n, uint64_t len);

/* ---- for transports ---- */

bool virtio_init(VirtioDevice *v, const VirtioType *type, const VirtioTransport *t, GError **err);
void virtio_fini(VirtioDevice *v);
void virtio_reset(VirtioDevice *v);
uint8_t virtio_status(VirtioDevice *v);             /* as the register reads */
void virtio_set_status(VirtioDevice *v, uint8_t status);
void virtio_set_driver_features(VirtioDevice *v, uint64_t features, bool legacy);
/* Queue @n was notified; lock held. */
void virtio_kick(VirtioDevice *v, unsigned n);
/* A driver enabled the queue, its addresses are set. False and broken if they cannot be. */
bool virtq_enable(VirtQueue *vq);
void virtq_reset(VirtQueue *vq);
uint32_t virtio_config_read(VirtioDevice *v, unsigned off, unsigned size);
void virtio_config_write(VirtioDevice *v, unsigned off, uint32_t val, unsigned size);
