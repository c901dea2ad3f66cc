#pragma once
#include "hw/virtio/virtio.h"
#include "tests/device/rig.h"

/* A small virtio-pci driver that works on guest memory: what a guest would do, one step a function. */
typedef struct Vq {
    uint16_t index, num, vector;
    GuestAddr desc, avail, used;
    uint16_t avail_idx, kicked_idx, seen_used, next_desc;
    bool packed, wrap;
    uint16_t slot;
    uint16_t slots_of[VIRTQ_MAX_NUM];   /* packed: length of chain id */
} Vq;

typedef struct Vdrv {
    Rig *r;
    Device *dev;
    uint8_t devfn;
    bool legacy;
    uint64_t mmio;              /* BAR 4 */
    uint16_t io;                /* BAR 0 */
    uint64_t features;
    GuestAddr heap;             /* next free guest address */
} Vdrv;

typedef struct Buf { GuestAddr addr; uint32_t len; bool in; } Buf;

/* Find BARs, reset, negotiate @wanted & offered. FEATURES_OK is set, DRIVER_OK is not. */
void vdrv_init(Vdrv *d, Rig *r, Device *dev, bool legacy, uint64_t wanted);
uint64_t vdrv_offered(Vdrv *d);
void vdrv_queue(Vdrv *d, Vq *q, unsigned index, unsigned num, bool packed);
void vdrv_start(Vdrv *d);
uint8_t vdrv_status(Vdrv *d);
void vdrv_set_status(Vdrv *d, uint8_t status);
uint32_t vdrv_config(Vdrv *d, unsigned off, unsigned size);
void vdrv_set_config(Vdrv *d, unsigned off, unsigned size, uint32_t val);
GuestAddr vdrv_alloc(Vdrv *d, uint32_t bytes, uint32_t align);
/* Make a chain available (not yet notified); returns its id. @indirect: through a table. */
uint16_t vq_add(Vdrv *d, Vq *q, const Buf *bufs, unsigned n, bool indirect);
/* Notify, unless event index or flag say that the device does not want it: as a driver that saves exits. */
void vq_kick(Vdrv *d, Vq *q);
/* Wait for the next used element. */
uint16_t vq_wait(Vdrv *d, Vq *q, uint32_t *ret_len);
bool vq_ready(Vdrv *d, Vq *q);
/* MSI-X: enable, vector @n at address 0xfee00000 with data @data. */
void vdrv_msix(Vdrv *d, unsigned n, uint32_t data);
