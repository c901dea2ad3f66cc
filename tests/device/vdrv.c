#include "tests/device/vdrv.h"

#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "util/bits.h"

enum { COMMON = 0, DEVICE = 0x2000, NOTIFY = 0x3000 };

static uint32_t common(Vdrv *d, unsigned off, unsigned size) { return (uint32_t)rig_load(d->r, d->mmio + COMMON + off, size); }
static void set_common(Vdrv *d, unsigned off, unsigned size, uint64_t v) { rig_store(d->r, d->mmio + COMMON + off, size, v); }

uint8_t vdrv_status(Vdrv *d)
{
    return (uint8_t)(d->legacy ? rig_in(d->r, d->io + VIRTIO_PCI_STATUS, 1) : common(d, VIRTIO_PCI_COMMON_STATUS, 1));
}

void vdrv_set_status(Vdrv *d, uint8_t status)
{
    if (d->legacy)
        rig_out(d->r, d->io + VIRTIO_PCI_STATUS, 1, status);
    else
        set_common(d, VIRTIO_PCI_COMMON_STATUS, 1, status);
}

uint64_t vdrv_offered(Vdrv *d)
{
    if (d->legacy)
        return rig_in(d->r, d->io + VIRTIO_PCI_HOST_FEATURES, 4);
    set_common(d, VIRTIO_PCI_COMMON_DFSELECT, 4, 0);
    uint64_t f = common(d, VIRTIO_PCI_COMMON_DF, 4);
    set_common(d, VIRTIO_PCI_COMMON_DFSELECT, 4, 1);
    return f | (uint64_t)common(d, VIRTIO_PCI_COMMON_DF, 4) << 32;
}

static void negotiate(Vdrv *d, uint64_t wanted)
{
    vdrv_set_status(d, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
    d->features = vdrv_offered(d) & wanted;
    if (d->legacy) {
        rig_out(d->r, d->io + VIRTIO_PCI_GUEST_FEATURES, 4, (uint32_t)d->features);
        return;
    }
    d->features |= BIT(VIRTIO_F_VERSION_1);
    for (unsigned i = 0; i < 2; i++) {
        set_common(d, VIRTIO_PCI_COMMON_GFSELECT, 4, i);
        set_common(d, VIRTIO_PCI_COMMON_GF, 4, d->features >> 32 * i & UINT32_MAX);
    }
    vdrv_set_status(d, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK);
    CHECK(vdrv_status(d) & VIRTIO_CONFIG_S_FEATURES_OK);
}

void vdrv_init(Vdrv *d, Rig *r, Device *dev, bool legacy, uint64_t wanted)
{
    *d = (Vdrv){ .r = r, .dev = dev, .devfn = rig_devfn(dev), .legacy = legacy };
    unsigned slot = d->devfn >> 3;
    d->heap = 0x100000 + (slot & 7) * 0x1c0000ull;     /* each device its own, a resumed one looks at its rings */
    d->mmio = 0xfe000000u + slot * 0x10000;
    d->io = (uint16_t)(0xc000 + slot * 0x100);
    rig_cfg_write(r, d->devfn, PCI_BASE_ADDRESS_0, 4, d->io);
    rig_cfg_write(r, d->devfn, PCI_BASE_ADDRESS_1, 4, (uint32_t)d->mmio + 0x8000);
    rig_cfg_write(r, d->devfn, PCI_BASE_ADDRESS_4, 4, (uint32_t)d->mmio);
    rig_cfg_write(r, d->devfn, PCI_BASE_ADDRESS_5, 4, 0);
    rig_cfg_write(r, d->devfn, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    vdrv_set_status(d, 0);
    rig_settle(r);
    CHECK_EQ(vdrv_status(d), 0);
    negotiate(d, wanted);
}

GuestAddr vdrv_alloc(Vdrv *d, uint32_t bytes, uint32_t align)
{
    GuestAddr a = align_up(d->heap, align);
    d->heap = a + bytes;
    CHECK(d->heap <= RIG_RAM);
    return a;
}

static void queue_addresses(Vdrv *d, Vq *q)
{
    set_common(d, VIRTIO_PCI_COMMON_Q_SIZE, 2, q->num);
    set_common(d, VIRTIO_PCI_COMMON_Q_DESCLO, 4, q->desc);
    set_common(d, VIRTIO_PCI_COMMON_Q_DESCHI, 4, q->desc >> 32);
    set_common(d, VIRTIO_PCI_COMMON_Q_AVAILLO, 4, q->avail);
    set_common(d, VIRTIO_PCI_COMMON_Q_AVAILHI, 4, q->avail >> 32);
    set_common(d, VIRTIO_PCI_COMMON_Q_USEDLO, 4, q->used);
    set_common(d, VIRTIO_PCI_COMMON_Q_USEDHI, 4, q->used >> 32);
    set_common(d, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
    CHECK_EQ(common(d, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
}

void vdrv_queue(Vdrv *d, Vq *q, unsigned index, unsigned num, bool packed)
{
    *q = (Vq){ .index = (uint16_t)index, .packed = packed, .wrap = true };
    if (d->legacy) {
        rig_out(d->r, d->io + VIRTIO_PCI_QUEUE_SEL, 2, index);
        num = rig_in(d->r, d->io + VIRTIO_PCI_QUEUE_NUM, 2);
    } else {
        set_common(d, VIRTIO_PCI_COMMON_Q_SELECT, 2, index);
    }
    q->num = (uint16_t)num;
    q->desc = vdrv_alloc(d, (uint32_t)vring_size(num, 4096) + 4096, 4096);
    memset(d->r->host + q->desc, 0, vring_size(num, 4096) + 4096);
    q->avail = q->desc + 16 * num;
    q->used = align_up(q->avail + 4 + 2 * num + 2, 4096);
    if (d->legacy)
        rig_out(d->r, d->io + VIRTIO_PCI_QUEUE_PFN, 4, (uint32_t)(q->desc >> 12));
    else
        queue_addresses(d, q);
}

void vdrv_start(Vdrv *d)
{
    vdrv_set_status(d, vdrv_status(d) | VIRTIO_CONFIG_S_DRIVER_OK);
}

uint32_t vdrv_config(Vdrv *d, unsigned off, unsigned size)
{
    return d->legacy ? rig_in(d->r, (uint16_t)(d->io + 20 + off), size) : (uint32_t)rig_load(d->r, d->mmio + DEVICE + off, size);
}

void vdrv_set_config(Vdrv *d, unsigned off, unsigned size, uint32_t val)
{
    if (d->legacy)
        rig_out(d->r, (uint16_t)(d->io + 20 + off), size, val);
    else
        rig_store(d->r, d->mmio + DEVICE + off, size, val);
}

void vdrv_msix(Vdrv *d, unsigned n, uint32_t data)
{
    unsigned cap = rig_find_cap(d->r, d->devfn, PCI_CAP_ID_MSIX);
    rig_cfg_write(d->r, d->devfn, cap + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
    uint64_t e = d->mmio + 0x8000 + n * 16;
    rig_store(d->r, e, 4, 0xfee00000u);
    rig_store(d->r, e + 4, 4, 0);
    rig_store(d->r, e + 8, 4, data);
    rig_store(d->r, e + 12, 4, 0);
}

/* ---- rings ---- */

static void put_desc(Vdrv *d, GuestAddr at, const Buf *b, uint16_t flags, uint16_t next)
{
    uint8_t *p = d->r->host + at;
    store_le64(p, b->addr);
    store_le32(p + 8, b->len);
    store_le16(p + 12, flags | (b->in ? VRING_DESC_F_WRITE : 0));
    store_le16(p + 14, next);
}

static uint16_t add_packed(Vdrv *d, Vq *q, const Buf *bufs, unsigned n)
{
    uint16_t id = q->next_desc++ % q->num, first = q->slot, first_flags = 0;
    for (unsigned i = 0; i < n; i++) {
        uint16_t flags = (uint16_t)((q->wrap ? 1 << 7 : 1 << 15) | (i + 1 < n ? VRING_DESC_F_NEXT : 0));
        put_desc(d, q->desc + q->slot * 16, &bufs[i], i ? flags : 0, id);
        if (i == 0)
            first_flags = (uint16_t)(flags | (bufs[0].in ? VRING_DESC_F_WRITE : 0));
        /* A packed descriptor has the id where a split one has its flags' neighbour: swap them. */
        uint8_t *p = d->r->host + q->desc + q->slot * 16;
        uint16_t f = load_le16(p + 12);
        store_le16(p + 12, id);
        store_le16(p + 14, f);
        if (++q->slot == q->num) {
            q->slot = 0;
            q->wrap = !q->wrap;
        }
    }
    store_le16(d->r->host + q->desc + first * 16 + 14, first_flags);
    q->slots_of[id] = (uint16_t)n;
    return id;
}

uint16_t vq_add(Vdrv *d, Vq *q, const Buf *bufs, unsigned n, bool indirect)
{
    Buf table;
    if (q->packed)
        return add_packed(d, q, bufs, n);
    uint16_t head = q->next_desc;
    if (indirect) {
        table = (Buf){ .addr = vdrv_alloc(d, n * 16, 16), .len = n * 16 };
        for (unsigned i = 0; i < n; i++)
            put_desc(d, table.addr + i * 16, &bufs[i], i + 1 < n ? VRING_DESC_F_NEXT : 0, (uint16_t)(i + 1));
        put_desc(d, q->desc + head * 16, &table, VRING_DESC_F_INDIRECT, 0);
        q->next_desc = (uint16_t)((head + 1) % q->num);
    } else {
        for (unsigned i = 0; i < n; i++) {
            uint16_t at = q->next_desc;
            q->next_desc = (uint16_t)((at + 1) % q->num);
            put_desc(d, q->desc + at * 16, &bufs[i], i + 1 < n ? VRING_DESC_F_NEXT : 0, q->next_desc);
        }
    }
    store_le16(d->r->host + q->avail + 4 + 2 * (q->avail_idx % q->num), head);
    q->avail_idx++;
    store_le16(d->r->host + q->avail + 2, q->avail_idx);
    return head;
}

static bool wants_kick(Vdrv *d, Vq *q)
{
    uint16_t old = q->kicked_idx;
    if (q->packed)
        return true;
    q->kicked_idx = q->avail_idx;
    if (d->features & BIT(VIRTIO_RING_F_EVENT_IDX))
        return vring_need_event(load_le16(d->r->host + q->used + 4 + 8 * q->num), q->avail_idx, old);
    return !(load_le16(d->r->host + q->used) & VRING_USED_F_NO_NOTIFY);
}

void vq_kick(Vdrv *d, Vq *q)
{
    if (!wants_kick(d, q))
        return;
    if (d->legacy)
        rig_out(d->r, d->io + VIRTIO_PCI_QUEUE_NOTIFY, 2, q->index);
    else
        rig_store(d->r, d->mmio + NOTIFY + 4 * q->index, 2, q->index);
}

bool vq_ready(Vdrv *d, Vq *q)
{
    if (!q->packed)
        return load_le16(d->r->host + q->used + 2) != q->seen_used;
    /* Completion out of order is not handled: tests wait one by one. */
    uint16_t slot = (uint16_t)(q->seen_used % q->num), f = load_le16(d->r->host + q->desc + slot * 16 + 14);
    bool wrap = !(q->seen_used / q->num & 1);
    return !!(f & 1 << 7) == wrap && !!(f & 1 << 15) == wrap;
}

uint16_t vq_wait(Vdrv *d, Vq *q, uint32_t *ret_len)
{
    for (unsigned i = 0; i < 100000 && !vq_ready(d, q); i++) {
        rig_settle(d->r);
        if (!vq_ready(d, q))
            g_usleep(1000);
    }
    CHECK(vq_ready(d, q));
    if (q->packed) {
        const uint8_t *p = d->r->host + q->desc + q->seen_used % q->num * 16;
        if (ret_len)
            *ret_len = load_le32(p + 8);
        uint16_t id = load_le16(p + 12);
        q->seen_used += q->slots_of[id];
        return id;
    }
    const uint8_t *e = d->r->host + q->used + 4 + 8 * (q->seen_used % q->num);
    q->seen_used++;
    store_le16(d->r->host + q->avail + 4 + 2 * q->num, q->seen_used);      /* used_event: tell us of the next one */
    if (ret_len)
        *ret_len = load_le32(e + 4);
    return (uint16_t)load_le32(e);
}
