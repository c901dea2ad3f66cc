/*
 * Virtqueues. The first byte chooses device, interface and ring kind; a proper driver sets the queues up; what follows are operations on
 * ring memory, doorbells and registers, so that the fuzzer spends its time inside the rings.
 */
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "tests/device/vdrv.h"
#include "tests/fuzz/fuzz.h"
#include "util/bits.h"
#include "vmm/chardev.h"
#include "vmm/netdev.h"

typedef struct In {
    const uint8_t *p, *end;
} In;

static uint32_t take(In *in, unsigned n)
{
    uint32_t v = 0;
    for (unsigned i = 0; i < n; i++)
        v |= (uint32_t)(in->p < in->end ? *in->p++ : 0) << 8 * i;
    return v;
}

static ssize_t swallow(void *opaque, const struct iovec *iov, unsigned n, const NetOffload *off)
{
    ssize_t len = 0;
    for (unsigned i = 0; i < n; i++)
        len += (ssize_t)iov[i].iov_len;
    return len;
}

static const NetPortOps peer_ops = { .receive = swallow };

static Device *make(Rig *r, unsigned kind, NetPort **ret_port, CharDev **ret_chr)
{
    static const char *const blk[] = { "drive=d", "num-queues=1", "packed=on", "id=v", NULL };
    static const char *const net[] = { "netdev=n", "packed=on", "id=v", NULL };
    static const char *const con[] = { "chardev=c", "packed=on", "id=v", NULL };
    static const char *const rng[] = { "packed=on", "id=v", NULL };
    switch (kind) {
    case 0:
        rig_drive(r, "d", 1 << 20, true);
        return rig_device(r, "virtio-blk-pci", blk);
    case 1:
        *ret_port = netport_new("n", &peer_ops, NULL, NULL, false);
        machine_add_object(r->m, "netdev", "n", *ret_port, (GDestroyNotify)netport_free, NULL);
        return rig_device(r, "virtio-net-pci", net);
    case 2:
        *ret_chr = chardev_new("c", NULL, NULL);
        machine_add_object(r->m, "chardev", "c", *ret_chr, (GDestroyNotify)chardev_free, NULL);
        return rig_device(r, "virtio-console-pci", con);
    default:
        return rig_device(r, "virtio-rng-pci", rng);
    }
}

/* A descriptor whose buffer mostly lies in RAM. */
static void put_desc(Rig *r, const Vq *q, In *in)
{
    uint8_t *d = r->host + q->desc + take(in, 1) % 32 * 16u;
    store_le64(d, take(in, 1) & 0x80 ? take(in, 4) : 0x200000 + take(in, 2) * 8);
    store_le32(d + 8, take(in, 1) & 0x80 ? take(in, 4) : take(in, 2));
    store_le16(d + 12, (uint16_t)take(in, 2));
    store_le16(d + 14, (uint16_t)take(in, 2));
}

static void send_in(Rig *r, NetPort *port, CharDev *chr, In *in)
{
    static const uint8_t frame[3000] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
    struct iovec iov = { (void *)(uintptr_t)frame, 14 + take(in, 2) % 2900 };
    if (port)
        netport_send(port, &iov, 1, NULL);
    if (chr)
        chardev_receive(chr, frame, MIN(chardev_can_receive(chr), 1 + take(in, 1)));
}

static void op(Vdrv *d, Vq *q, unsigned n_q, NetPort *port, CharDev *chr, In *in)
{
    Rig *r = d->r;
    Vq *vq = &q[take(in, 1) % n_q];
    switch (take(in, 1) % 12) {
    case 0: case 1: case 2:
        put_desc(r, vq, in);
        break;
    case 3:                     /* available entry and index */
        store_le16(r->host + vq->avail + 4 + take(in, 1) % 32 * 2, (uint16_t)take(in, 1));
        store_le16(r->host + vq->avail + 2, (uint16_t)(load_le16(r->host + vq->avail + 2) + take(in, 1) % 4));
        break;
    case 4: case 5:
        vq_kick(d, vq);
        break;
    case 6:                     /* what requests start with */
        store_le64(r->host + 0x200000 + take(in, 1) * 8, (uint64_t)take(in, 4) | (uint64_t)take(in, 2) << 32);
        break;
    case 7:
        rig_settle(r);
        break;
    case 8:
        send_in(r, port, chr, in);
        break;
    case 9:
        rig_store(r, d->mmio + take(in, 2) % 0x4000, 1u << take(in, 1) % 3, take(in, 4));
        break;
    case 10:
        r->host[vq->desc + take(in, 2) % 0x2000] = (uint8_t)take(in, 1);
        break;
    default:
        rig_out(r, (uint16_t)(d->io + take(in, 1) % 64), 1u << take(in, 1) % 3, take(in, 4));
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    In in = { data, data + MIN(size, 4096u) };
    Rig r;
    Vdrv d;
    Vq q[3];
    NetPort *port = NULL;
    CharDev *chr = NULL;
    unsigned mode = take(&in, 1), kind = mode & 3, n_q = kind == 1 ? 3 : kind == 2 ? 2 : 1;
    bool legacy = mode & 4, packed = !legacy && mode & 8;
    if (!size)
        return 0;
    rig_init(&r);
    rig_run(&r);
    Device *dev = make(&r, kind, &port, &chr);
    uint64_t f = ~(BIT(VIRTIO_F_RING_PACKED) | BIT(VIRTIO_F_NOTIFY_ON_EMPTY) | BIT(VIRTIO_RING_F_EVENT_IDX));
    f |= (packed ? BIT(VIRTIO_F_RING_PACKED) : 0) | (mode & 16 ? BIT(VIRTIO_RING_F_EVENT_IDX) : 0);
    vdrv_init(&d, &r, dev, legacy, f);
    for (unsigned i = 0; i < n_q; i++)
        vdrv_queue(&d, &q[i], i, kind == 3 ? 8 : 32, packed);
    vdrv_start(&d);
    memset(r.host + 0x200000, 0, 0x1000);
    while (in.p < in.end)
        op(&d, q, n_q, port, chr, &in);
    rig_settle(&r);
    rig_clear(&r);
    return 0;
}
