/* virtio-net against a port of our own, virtio-rng, virtio-console. */
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "tests/device/vdrv.h"
#include "util/bits.h"
#include "vmm/chardev.h"
#include "vmm/netdev.h"

/* ---- network ---- */

typedef struct Peer {
    NetPort *port;
    uint8_t frame[NET_MAX_FRAME];
    size_t len;
    unsigned n;
    bool answer;                /* send something back from inside receive */
} Peer;

static ssize_t peer_receive(void *opaque, const struct iovec *iov, unsigned n, const NetOffload *off)
{
    Peer *p = opaque;
    size_t total = 0;
    for (unsigned i = 0; i < n; i++)
        total += iov[i].iov_len;
    p->len = iov_read(iov, n, 0, p->frame, sizeof(p->frame));
    p->n++;
    if (p->answer) {
        struct iovec back = { p->frame, p->len };
        netport_send(p->port, &back, 1, NULL);
    }
    return (ssize_t)total;
}

static const NetPortOps peer_ops = { .receive = peer_receive };

typedef struct Net {
    Vdrv d;
    Vq rx, tx, ctrl;
    GuestAddr buf;
} Net;

static void net_init(Net *t, Rig *r, Device *dev, bool legacy, uint64_t wanted)
{
    vdrv_init(&t->d, r, dev, legacy, wanted);
    vdrv_queue(&t->d, &t->rx, 0, 64, false);
    vdrv_queue(&t->d, &t->tx, 1, 64, false);
    vdrv_queue(&t->d, &t->ctrl, 2, 64, false);
    t->buf = vdrv_alloc(&t->d, 1 << 18, 4096);
    vdrv_start(&t->d);
}

static void fill_frame(uint8_t *p, size_t len, const uint8_t *dst)
{
    memcpy(p, dst, 6);
    for (size_t i = 6; i < len; i++)
        p[i] = (uint8_t)(i * 13);
}

static void send_frame(Net *t, uint32_t hdr, uint32_t len)
{
    Buf b[2] = { { t->buf, hdr, false }, { t->buf + 4096, len, false } };
    vq_add(&t->d, &t->tx, b, 2, false);
    vq_kick(&t->d, &t->tx);
    vq_wait(&t->d, &t->tx, NULL);
}

static void peer_send(Peer *p, size_t len, const uint8_t *dst)
{
    uint8_t f[NET_MAX_FRAME];
    fill_frame(f, len, dst);
    struct iovec iov[2] = { { f, 10 }, { f + 10, len - 10 } };
    netport_send(p->port, iov, 2, NULL);
}

static const uint8_t own[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 }, other[6] = { 2, 0, 0, 0, 0, 1 };

static void test_tx_rx(Net *t, Peer *p, uint32_t hdr)
{
    Rig *r = t->d.r;
    memset(r->host + t->buf, 0, hdr);
    fill_frame(r->host + t->buf + 4096, 1000, other);
    send_frame(t, hdr, 1000);
    CHECK_EQ(p->len, 1000);
    CHECK(!memcmp(p->frame, r->host + t->buf + 4096, 1000));

    uint32_t len;
    unsigned before = p->n;
    Buf in = { t->buf + 8192, 2048, true };
    peer_send(p, 700, own);                     /* no buffer yet: the core keeps it */
    vq_add(&t->d, &t->rx, &in, 1, false);
    vq_kick(&t->d, &t->rx);
    vq_wait(&t->d, &t->rx, &len);
    CHECK_EQ(len, 700 + hdr);
    CHECK_EQ(r->host[t->buf + 8192 + hdr + 699], (uint8_t)(699 * 13));
    if (hdr == 12)
        CHECK_EQ(load_le16(r->host + t->buf + 8192 + 10), 1);
    CHECK_EQ(p->n, before);
}

static void test_merged(Net *t, Peer *p)
{
    Rig *r = t->d.r;
    uint32_t len;
    for (unsigned i = 0; i < 8; i++) {
        Buf in = { t->buf + 0x4000 + i * 0x1000, 1024, true };
        vq_add(&t->d, &t->rx, &in, 1, false);
    }
    vq_kick(&t->d, &t->rx);
    peer_send(p, 3000, own);
    CHECK_EQ(load_le16(r->host + t->rx.used + 2) - t->rx.seen_used, 3);
    CHECK_EQ(load_le16(r->host + t->buf + 0x4000 + 10), 3);
    vq_wait(&t->d, &t->rx, &len);
    CHECK_EQ(len, 1024);
    vq_wait(&t->d, &t->rx, &len);
    CHECK_EQ(len, 1024);
    vq_wait(&t->d, &t->rx, &len);
    CHECK_EQ(len, 3000 + 12 - 2048);
    CHECK_EQ(r->host[t->buf + 0x6000 + len - 1], (uint8_t)(2999 * 13));
    for (unsigned i = 3; i < 8; i++) {
        peer_send(p, 100, own);
        vq_wait(&t->d, &t->rx, &len);
    }
}

static void test_csum(Net *t, Peer *p)
{
    Rig *r = t->d.r;
    uint8_t *h = r->host + t->buf, *f = r->host + t->buf + 4096;
    fill_frame(f, 100, other);
    memset(h, 0, 12);
    h[0] = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    store_le16(h + 6, 34);
    store_le16(h + 8, 6);
    store_le16(f + 40, 0);
    send_frame(t, 12, 100);
    uint32_t sum = 0;
    for (unsigned i = 34; i < 100; i += 2)
        sum += load_be16(p->frame + i);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    CHECK_EQ(sum, 0xffff);
    unsigned before = p->n;
    store_le16(h + 6, 99);                      /* outside: dropped */
    send_frame(t, 12, 100);
    h[1] = VIRTIO_NET_HDR_GSO_TCPV4;            /* never offered: dropped */
    send_frame(t, 12, 100);
    CHECK_EQ(p->n, before);
}

static uint8_t ctrl(Net *t, uint8_t class, uint8_t cmd, const void *data, uint32_t len)
{
    uint8_t *p = t->d.r->host + t->buf;
    p[0] = class;
    p[1] = cmd;
    memcpy(p + 16, data, len);
    p[8] = 0xaa;
    Buf b[3] = { { t->buf, 2, false }, { t->buf + 16, len, false }, { t->buf + 8, 1, true } };
    vq_add(&t->d, &t->ctrl, b, 3, false);
    vq_kick(&t->d, &t->ctrl);
    vq_wait(&t->d, &t->ctrl, NULL);
    return p[8];
}

static void expect_rx(Net *t, Peer *p, const uint8_t *dst, bool passes)
{
    Buf in = { t->buf + 8192, 2048, true };
    uint16_t before = load_le16(t->d.r->host + t->rx.used + 2);
    peer_send(p, 100, dst);
    CHECK_EQ(load_le16(t->d.r->host + t->rx.used + 2), before + passes);
    if (!passes)
        return;
    vq_wait(&t->d, &t->rx, NULL);
    vq_add(&t->d, &t->rx, &in, 1, false);
}

static void test_filter(Net *t, Peer *p)
{
    uint8_t off = 0, on = 1, mcast[6] = { 1, 0, 0x5e, 0, 0, 5 };
    uint8_t bcast[6] = { 255, 255, 255, 255, 255, 255 };
    Buf in = { t->buf + 8192, 2048, true };
    vq_add(&t->d, &t->rx, &in, 1, false);
    expect_rx(t, p, other, true);
    CHECK_EQ(ctrl(t, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &off, 1), VIRTIO_NET_OK);
    expect_rx(t, p, other, false);
    expect_rx(t, p, own, true);
    expect_rx(t, p, bcast, true);
    expect_rx(t, p, mcast, false);
    CHECK_EQ(ctrl(t, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLMULTI, &on, 1), VIRTIO_NET_OK);
    expect_rx(t, p, mcast, true);
    CHECK_EQ(ctrl(t, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, other, 6), VIRTIO_NET_OK);
    expect_rx(t, p, other, true);
    uint8_t table[4 + 6 + 4] = { 1, 0, 0, 0, 0x52, 0x54, 0, 0x12, 0x34, 0x56 };
    CHECK_EQ(ctrl(t, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, table, sizeof(table)), VIRTIO_NET_OK);
    expect_rx(t, p, own, true);
    table[0] = 200;
    CHECK_EQ(ctrl(t, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, table, sizeof(table)), VIRTIO_NET_ERR);
    CHECK_EQ(ctrl(t, 99, 0, table, 1), VIRTIO_NET_ERR);
    CHECK_EQ(ctrl(t, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &on, 1), VIRTIO_NET_OK);
}

static void drop_port(void *port) { netport_free(port); }

static void test_net(Rig *r)
{
    Peer *p = g_new0(Peer, 1);
    Net t;
    p->port = netport_new("peer", &peer_ops, p, NULL, false);
    CHECK(machine_add_object(r->m, "netdev", "n0", p->port, drop_port, NULL));
    const char *props[] = { "id=net0", "netdev=n0", NULL };
    Device *dev = rig_device(r, "virtio-net-pci", props);
    for (unsigned legacy = 0; legacy < 2; legacy++) {
        net_init(&t, r, dev, legacy, BIT(VIRTIO_NET_F_MAC));
        for (unsigned i = 0; i < 6; i++)
            CHECK_EQ(vdrv_config(&t.d, i, 1), own[i]);
        test_tx_rx(&t, p, legacy ? 10 : 12);
    }
    net_init(&t, r, dev, false, BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_CTRL_VQ) |
             BIT(VIRTIO_NET_F_CTRL_RX) | BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) | BIT(VIRTIO_NET_F_STATUS));
    test_tx_rx(&t, p, 12);
    test_merged(&t, p);
    test_csum(&t, p);
    test_filter(&t, p);
    CHECK_EQ(vdrv_config(&t.d, 6, 2), 1);
    netport_set_link(p->port, false);
    CHECK_EQ(vdrv_config(&t.d, 6, 2), 0);
    netport_set_link(p->port, true);

    p->answer = true;                           /* from inside our own send: arrives a turn of the loop later */
    memset(r->host + t.buf, 0, 12);
    fill_frame(r->host + t.buf + 4096, 64, own);
    uint16_t before = t.rx.seen_used;
    send_frame(&t, 12, 64);
    rig_settle(r);
    CHECK_EQ(load_le16(r->host + t.rx.used + 2), before + 1);

    g_autoptr(GByteArray) out = g_byte_array_new();
    CHECK(device_save(dev, out, NULL) && device_load(dev, out->data, out->len, NULL));
    CHECK(machine_del_device(r->m, "net0", NULL));
    rig_settle(r);
    CHECK(machine_remove_object(r->m, "netdev", "n0", NULL));
    g_free(p);
}

/* ---- random numbers ---- */

static void test_rng(Rig *r)
{
    const char *props[] = { "id=rng0", NULL };
    Device *dev = rig_device(r, "virtio-rng-pci", props);
    Vdrv d;
    Vq q;
    uint32_t len;
    vdrv_init(&d, r, dev, false, BIT(VIRTIO_RING_F_EVENT_IDX));
    vdrv_queue(&d, &q, 0, 8, false);
    vdrv_start(&d);
    GuestAddr a = vdrv_alloc(&d, 128, 16);
    memset(r->host + a, 0, 128);
    Buf b = { a, 64, true };
    for (unsigned i = 0; i < 20; i++) {
        vq_add(&d, &q, &b, 1, false);
        vq_kick(&d, &q);
        vq_wait(&d, &q, &len);
        CHECK_EQ(len, 64);
    }
    unsigned zeros = 0;
    for (unsigned i = 0; i < 64; i++)
        zeros += r->host[a + i] == 0;
    CHECK(zeros < 16 && r->host[a + 64] == 0);
    CHECK(machine_del_device(r->m, "rng0", NULL));
    rig_settle(r);
}

/* ---- console ---- */

typedef struct Tty {
    uint8_t got[256];
    size_t len, room;
} Tty;

static ssize_t tty_write(void *opaque, const uint8_t *buf, size_t len)
{
    Tty *t = opaque;
    len = MIN(len, t->room);
    memcpy(t->got + t->len, buf, len);
    t->len += len;
    t->room -= len;
    return (ssize_t)len;
}

static const CharBackOps tty_ops = { .write = tty_write };
static void drop_chr(void *chr) { chardev_free(chr); }

static void test_console(Rig *r)
{
    Tty tty = { .room = 5 };
    CharDev *chr = chardev_new("c0", &tty_ops, &tty);
    CHECK(machine_add_object(r->m, "chardev", "c0", chr, drop_chr, NULL));
    const char *props[] = { "id=con0", "chardev=c0", NULL };
    Device *dev = rig_device(r, "virtio-console-pci", props);
    Vdrv d;
    Vq rx, tx;
    vdrv_init(&d, r, dev, false, BIT(VIRTIO_RING_F_EVENT_IDX));
    vdrv_queue(&d, &rx, 0, 16, false);
    vdrv_queue(&d, &tx, 1, 16, false);
    vdrv_start(&d);
    GuestAddr a = vdrv_alloc(&d, 256, 16);
    memcpy(r->host + a, "hello world", 11);
    Buf out = { a, 11, false };
    vq_add(&d, &tx, &out, 1, false);
    vq_kick(&d, &tx);
    CHECK(tty.len == 5 && !vq_ready(&d, &tx));
    tty.room = 100;
    chardev_writable(chr);
    CHECK(tty.len == 11 && !memcmp(tty.got, "hello world", 11));
    vq_wait(&d, &tx, NULL);
    CHECK_EQ(chardev_can_receive(chr), 0);
    Buf in = { a + 64, 16, true };
    vq_add(&d, &rx, &in, 1, false);
    vq_kick(&d, &rx);
    CHECK_EQ(chardev_can_receive(chr), 16);
    CHECK_EQ(chardev_receive(chr, (const uint8_t *)"abc", 3), 3);
    uint32_t len;
    vq_wait(&d, &rx, &len);
    CHECK(len == 3 && !memcmp(r->host + a + 64, "abc", 3));
    for (unsigned i = 0; i < 20; i++) {
        tty.len = 0;
        vq_add(&d, &tx, &out, 1, false);
        vq_kick(&d, &tx);
        vq_wait(&d, &tx, NULL);
        CHECK_EQ(tty.len, 11);
        tty.room = 100;
        CHECK_EQ(chardev_can_receive(chr), 0);
        vq_add(&d, &rx, &in, 1, false);
        vq_kick(&d, &rx);
        CHECK_EQ(chardev_receive(chr, (const uint8_t *)"abc", 3), 3);
        vq_wait(&d, &rx, &len);
    }
    CHECK(machine_del_device(r->m, "con0", NULL));
    rig_settle(r);
    CHECK(machine_remove_object(r->m, "chardev", "c0", NULL));
}

int main(void)
{
    Rig r;
    rig_init(&r);
    rig_run(&r);
    test_net(&r);
    test_rng(&r);
    test_console(&r);
    rig_clear(&r);
    return 0;
}
