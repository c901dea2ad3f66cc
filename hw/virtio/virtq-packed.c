/* Packed virtqueues (virtio 1.2, 2.8). */
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdatomic.h>

#include "hw/virtio/virtio-internal.h"
#include "util/bits.h"

/* Offsets in a descriptor, and in an event suppression area. */
enum { DESC_LEN = 8, DESC_ID = 12, DESC_FLAGS = 14, EVENT_OFF_WRAP = 0, EVENT_FLAGS = 2 };
enum { F_AVAIL = 1 << VRING_PACKED_DESC_F_AVAIL, F_USED = 1 << VRING_PACKED_DESC_F_USED };

static uint64_t slot_addr(const VirtQueue *vq, unsigned slot)
{
    return vq->desc + slot * (uint64_t)sizeof(VirtqDesc);
}

static bool is_avail(uint16_t flags, bool wrap)
{
    return !!(flags & F_AVAIL) == wrap && !!(flags & F_USED) != wrap;
}

bool virtq_packed_empty(VirtQueue *vq)
{
    uint16_t flags = (uint16_t)virtq_load(vq, slot_addr(vq, vq->last_avail) + DESC_FLAGS, 2);
    return vq->v->broken || !is_avail(flags, vq->avail_wrap);
}

/* The last two fields are id and flags here, flags and next in a split ring. */
static VirtqDesc from_packed(VirtqDesc d)
{
    return (VirtqDesc){ .addr = d.addr, .len = d.len, .flags = d.next, .next = d.flags };
}

static bool gather_indirect(VirtQueue *vq, const VirtqDesc *d)
{
    /* In a packed ring a table is used from its first to its last entry; only WRITE means anything in there (2.8.7). */
    unsigned n = d->flags & VRING_DESC_F_NEXT ? 0 : virtq_read_indirect(vq, d->addr, d->len);
    for (unsigned i = 0; i < n; i++) {
        VirtqDesc e = from_packed(vq->v->scratch->desc[i]);
        if (e.flags & VRING_DESC_F_INDIRECT || !virtq_map_desc(vq, &e))
            n = 0;
    }
    if (!n)
        virtio_broken(vq->v, "virtqueue %u: bad indirect descriptor", vq->index);
    return n > 0;
}

bool virtq_packed_gather(VirtQueue *vq, uint16_t pos, bool wrap, uint16_t *ret_head, uint16_t *ret_slots)
{
    for (unsigned taken = 0; taken < vq->num; taken++) {
        VirtqDesc d;
        if (as_dma_read(vq->v->dev.dma, slot_addr(vq, pos), &d, sizeof(d)) != MEM_OK) {
            virtio_broken(vq->v, "virtqueue %u: ring is not RAM", vq->index);
            return false;
        }
        virtq_le_desc(&d);
        d = from_packed(d);
        if (d.flags & VRING_DESC_F_INDIRECT ? taken || !gather_indirect(vq, &d) : !virtq_map_desc(vq, &d))
            break;
        if (!(d.flags & VRING_DESC_F_NEXT)) {
            *ret_head = d.next;
            *ret_slots = (uint16_t)(taken + 1);
            return true;
        }
        if (++pos == vq->num)
            pos = 0;
    }
    virtio_broken(vq->v, "virtqueue %u: bad or endless descriptor chain", vq->index);
    return false;
}

void virtq_packed_fill(VirtQueue *vq, uint16_t slot, uint16_t head, uint32_t len)
{
    virtq_store(vq, slot_addr(vq, slot) + DESC_ID, 2, head);
    virtq_store(vq, slot_addr(vq, slot) + DESC_LEN, 4, len);
}

void virtq_packed_publish(VirtQueue *vq, uint16_t slot, bool wrap, uint32_t len)
{
    uint16_t flags = wrap ? F_AVAIL | F_USED : 0;
    virtq_store(vq, slot_addr(vq, slot) + DESC_FLAGS, 2, flags | (len ? VRING_DESC_F_WRITE : 0));
}

/* The driver event area: disabled, always, or when slot (off, wrap) is used (2.8.14). */
bool virtq_packed_want_interrupt(VirtQueue *vq)
{
    uint16_t flags = (uint16_t)virtq_load(vq, vq->avail + EVENT_FLAGS, 2) & 3;
    uint16_t old = vq->signalled_used, now = vq->used_idx;
    bool valid = vq->signalled_valid;
    vq->signalled_used = now;
    vq->signalled_valid = true;
    if (flags == VRING_PACKED_EVENT_FLAG_DISABLE)
        return false;
    if (flags != VRING_PACKED_EVENT_FLAG_DESC || !virtio_has(vq->v, VIRTIO_RING_F_EVENT_IDX))
        return true;
    uint16_t off_wrap = (uint16_t)virtq_load(vq, vq->avail + EVENT_OFF_WRAP, 2);
    int event = off_wrap & 0x7fff;
    if (!!(off_wrap >> VRING_PACKED_EVENT_F_WRAP_CTR) != vq->used_wrap)
        event -= vq->num;
    /* Positions before the present wrap are one ring lower. */
    int from = old > now ? old - vq->num : old;
    return !valid || vring_need_event((uint16_t)event, now, (uint16_t)from);
}

void virtq_packed_set_notification(VirtQueue *vq, bool on)
{
    uint16_t flags = on ? VRING_PACKED_EVENT_FLAG_ENABLE : VRING_PACKED_EVENT_FLAG_DISABLE;
    if (on && virtio_has(vq->v, VIRTIO_RING_F_EVENT_IDX)) {
        virtq_store(vq, vq->used + EVENT_OFF_WRAP, 2, vq->last_avail | vq->avail_wrap << VRING_PACKED_EVENT_F_WRAP_CTR);
        atomic_thread_fence(memory_order_release);
        flags = VRING_PACKED_EVENT_FLAG_DESC;
    }
    virtq_store(vq, vq->used + EVENT_FLAGS, 2, flags);
}
