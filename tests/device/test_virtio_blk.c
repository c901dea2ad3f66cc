/* virtio-blk through guest memory: both interfaces, split and packed rings, indirect tables, errors, hostile rings, resets. */
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "tests/device/vdrv.h"
#include "util/bits.h"

typedef struct Blk {
    Vdrv d;
    Vq q;
    GuestAddr hdr, status, data;
    bool indirect;
} Blk;

static void blk_init(Blk *b, Rig *r, Device *dev, bool legacy, bool packed, uint64_t wanted)
{
    vdrv_init(&b->d, r, dev, legacy, wanted);
    vdrv_queue(&b->d, &b->q, 0, 16, packed);
    b->hdr = vdrv_alloc(&b->d, 64, 16);
    b->status = b->hdr + 32;
    b->data = vdrv_alloc(&b->d, 1 << 20, 4096);
    b->indirect = false;
    vdrv_start(&b->d);
}

static void blk_post(Blk *b, uint32_t type, uint64_t sector, uint32_t len)
{
    uint8_t *h = b->d.r->host + b->hdr;
    store_le32(h, type);
    store_le32(h + 4, 0);
    store_le64(h + 8, sector);
    b->d.r->host[b->status] = 0xaa;
    bool in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
    /* Data in two pieces: the block layer gets an iovec. */
    Buf bufs[4] = { { b->hdr, 16, false }, { b->data, len / 2, in }, { b->data + len / 2, len - len / 2, in }, { b->status, 1, true } };
    if (!len)
        bufs[1] = bufs[3];
    vq_add(&b->d, &b->q, bufs, len ? 4 : 2, b->indirect);
    vq_kick(&b->d, &b->q);
}

static uint8_t blk_op(Blk *b, uint32_t type, uint64_t sector, uint32_t len)
{
    blk_post(b, type, sector, len);
    vq_wait(&b->d, &b->q, NULL);
    return b->d.r->host[b->status];
}

static void round_trip(Blk *b, uint64_t sector, uint8_t seed)
{
    uint8_t *p = b->d.r->host + b->data;
    uint32_t len = 8192;
    for (uint32_t i = 0; i < len; i++)
        p[i] = (uint8_t)(i * 7 + seed);
    CHECK_EQ(blk_op(b, VIRTIO_BLK_T_OUT, sector, len), VIRTIO_BLK_S_OK);
    memset(p, 0, len);
    CHECK_EQ(blk_op(b, VIRTIO_BLK_T_IN, sector, len), VIRTIO_BLK_S_OK);
    for (uint32_t i = 0; i < len; i++)
        CHECK_EQ(p[i], (uint8_t)(i * 7 + seed));
    CHECK_EQ(blk_op(b, VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_OK);
}

static void test_modes(Rig *r, Device *dev)
{
    for (unsigned mode = 0; mode < 8; mode++) {
        Blk b;
        bool legacy = mode & 1, events = mode & 2, packed = !legacy && mode & 4;
        uint64_t f = BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_RING_F_INDIRECT_DESC) | (events ? BIT(VIRTIO_RING_F_EVENT_IDX) : 0) |
                     (packed ? BIT(VIRTIO_F_RING_PACKED) : 0);
        blk_init(&b, r, dev, legacy, packed, f);
        CHECK_EQ(vdrv_config(&b.d, 0, 4), 2048);
        for (unsigned i = 0; i < 40; i++) {     /* several times around the ring */
            b.indirect = !packed && i & 1;
            round_trip(&b, i * 16, (uint8_t)(mode * 31 + i));
        }
        CHECK(rig_in(r, (uint16_t)(b.d.io + 19), 1) & 1);      /* ISR */
        CHECK_EQ(rig_in(r, (uint16_t)(b.d.io + 19), 1), 0);
    }
}

static void test_ops(Rig *r, Device *dev)
{
    Blk b;
    blk_init(&b, r, dev, false, false, UINT64_MAX & ~BIT(VIRTIO_F_RING_PACKED) & ~BIT(VIRTIO_F_NOTIFY_ON_EMPTY));
    uint8_t *p = r->host + b.data;
    CHECK_EQ(blk_op(&b, VIRTIO_BLK_T_GET_ID, 0, 20), VIRTIO_BLK_S_OK);
    CHECK(!memcmp(p, "tandem-1\0\0\0\0\0\0\0\0\0\0\0\0", 20));
    memset(p, 0x5a, 4096);
    CHECK_EQ(blk_op(&b, VIRTIO_BLK_T_OUT, 64, 4096), VIRTIO_BLK_S_OK);
    store_le64(p, 64);
    store_le32(p + 8, 4);
    store_le32(p + 12, 0);
    store_le64(p + 16, 70);
    store_le32(p + 24, 1);
    store_le32(p + 28, 1);
    CHECK_EQ(blk_op(&b, VIRTIO_BLK_T_WRITE_ZEROES, 0, 32), VIRTIO_BLK_S_OK);
    CHECK_EQ(blk_op(&b, VIRTIO_BLK_T_IN, 64, 4096), VIRTIO_BLK_S_OK);
    for (unsigned i = 0; i < 4096; i++)
        CHECK_EQ(p[i], i < 2048 || (i >= 3072 && i < 3584) ? 0 : 0x5a);
    store_le64(p, 64);
    store_le32(p + 8, 8);
    store_le32(p + 12, 0);
    CHECK_EQ(blk_op(&b, VIRTIO_BLK_T_DISCARD, 0, 16), VIRTIO_BLK_S_OK);
    store_le32(p + 12, 1);
    CHECK_EQ(blk_op(&b, VIRTIO_BLK_T_DISCARD, 0, 16), VIRTIO_BLK_S_UNSUPP);
    CHECK_EQ(blk_op(&b, VIRTIO_BLK_T_DISCARD, 0, 17), VIRTIO_BLK_S_UNSUPP);
    CHECK_EQ(blk_op(&b, 77, 0, 512), VIRTIO_BLK_S_UNSUPP);
    CHECK_EQ(blk_op(&b, VIRTIO_BLK_T_IN, 2047, 1024), VIRTIO_BLK_S_IOERR);
    CHECK_EQ(blk_op(&b, VIRTIO_BLK_T_OUT, UINT64_MAX / 256, 512), VIRTIO_BLK_S_IOERR);
    CHECK_EQ(blk_op(&b, VIRTIO_BLK_T_IN, 0, 100), VIRTIO_BLK_S_IOERR);
    vdrv_set_config(&b.d, offsetof(struct virtio_blk_config, wce), 1, 0);
    CHECK_EQ(vdrv_config(&b.d, offsetof(struct virtio_blk_config, wce), 1), 0);
    round_trip(&b, 100, 3);
    vdrv_msix(&b.d, 1, 0x51);
    rig_store(r, b.d.mmio + 22, 2, 0);
    rig_store(r, b.d.mmio + 26, 2, 1);
    r->n_msi = 0;
    round_trip(&b, 100, 4);
    CHECK(r->n_msi > 0 && r->msi_data == 0x51);
}

/* Each ends in "needs reset", and a reset makes the device good again. */
static void test_hostile(Rig *r, Device *dev)
{
    for (unsigned kind = 0; kind < 9; kind++) {
        Blk b;
        blk_init(&b, r, dev, false, false, BIT(VIRTIO_RING_F_INDIRECT_DESC));
        uint8_t *desc = r->host + b.q.desc, *avail = r->host + b.q.avail;
        Buf ok[3] = { { b.hdr, 16, false }, { b.data, 512, true }, { b.status, 1, true } };
        switch (kind) {
        case 0:             /* loop */
            vq_add(&b.d, &b.q, ok, 3, false);
            store_le16(desc + 2 * 16 + 12, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE);
            store_le16(desc + 2 * 16 + 14, 1);
            break;
        case 1:             /* next leaves the table */
            vq_add(&b.d, &b.q, ok, 3, false);
            store_le16(desc + 14, 500);
            break;
        case 2:             /* head leaves the table */
            vq_add(&b.d, &b.q, ok, 3, false);
            store_le16(avail + 4, 16);
            break;
        case 3:             /* too many */
            store_le16(avail + 2, 17);
            break;
        case 4:             /* buffer outside RAM */
            ok[1].addr = 0x7000000000;
            vq_add(&b.d, &b.q, ok, 3, false);
            break;
        case 5:             /* buffer wraps */
            ok[1].addr = UINT64_MAX - 100;
            vq_add(&b.d, &b.q, ok, 3, false);
            break;
        case 6:             /* no status */
            vq_add(&b.d, &b.q, ok, 1, false);
            break;
        case 7:             /* readable after writable */
            ok[2].in = false;
            vq_add(&b.d, &b.q, ok, 3, false);
            break;
        case 8:             /* indirect in indirect */
            vq_add(&b.d, &b.q, ok, 3, true);
            store_le16(r->host + load_le64(desc) + 12, VRING_DESC_F_INDIRECT);
            break;
        }
        vq_kick(&b.d, &b.q);
        rig_settle(r);
        CHECK(vdrv_status(&b.d) & VIRTIO_CONFIG_S_NEEDS_RESET);
        CHECK(!vq_ready(&b.d, &b.q));
    }
    CHECK(dev->guest_errors >= 9);
    Blk b;
    blk_init(&b, r, dev, false, false, 0);
    round_trip(&b, 0, 1);
}

static void test_refused_features(Rig *r, Device *dev)
{
    Vdrv d;
    vdrv_init(&d, r, dev, false, 0);
    vdrv_set_status(&d, 0);
    vdrv_set_status(&d, 3);
    rig_store(r, d.mmio + 8, 4, 1);
    rig_store(r, d.mmio + 12, 4, 0xfffffff1);   /* never offered */
    vdrv_set_status(&d, 11);
    CHECK_EQ(vdrv_status(&d), 3);
}

/* A reset with requests in flight: the status stays non-zero until they are done, nothing is written to the old ring. */
static void test_reset_in_flight(Rig *r, Device *dev)
{
    Blk b;
    blk_init(&b, r, dev, false, false, 0);
    blk_post(&b, VIRTIO_BLK_T_IN, 0, 512);
    vdrv_set_status(&b.d, 0);
    uint8_t seen = vdrv_status(&b.d);
    for (unsigned i = 0; i < 200000 && vdrv_status(&b.d); i++) {
        rig_settle(r);
        g_usleep(500);
    }
    CHECK_EQ(vdrv_status(&b.d), 0);
    CHECK(seen == 0 || seen == 15);
    CHECK_EQ(load_le16(r->host + b.q.used + 2), 0);
    blk_init(&b, r, dev, false, false, 0);
    round_trip(&b, 0, 9);
}

/* From now on writes of this process beyond @bytes of a file fail. */
static struct rlimit set_file_limit(rlim_t bytes)
{
    struct rlimit old, now;
    struct sigaction ignore = { .sa_handler = SIG_IGN };
    sigaction(SIGXFSZ, &ignore, NULL);
    getrlimit(RLIMIT_FSIZE, &old);
    now = old;
    now.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &now);
    return old;
}

/* werror=stop: the request waits, survives a save, and is done when the machine goes on. */
static void test_stop(Rig *r)
{
    rig_drive(r, "d1", 1 << 20, true);
    const char *props[] = { "id=vd1", "drive=d1", "num-queues=1", "werror=stop", "rerror=stop", NULL };
    Device *dev = rig_device(r, "virtio-blk-pci", props);
    Blk b;
    GError *err = NULL;
    blk_init(&b, r, dev, false, false, BIT(VIRTIO_BLK_F_FLUSH));
    round_trip(&b, 8, 2);
    g_autoptr(GByteArray) out = g_byte_array_new();
    CHECK(device_save(dev, out, &err));
    uint16_t seen = b.q.seen_used;
    device_reset(dev);
    CHECK(device_load(dev, out->data, out->len, &err));
    machine_flush_work(r->m);
    CHECK_EQ(b.q.seen_used, seen);
    round_trip(&b, 8, 5);
    for (unsigned with_save = 0; with_save < 2; with_save++) {
        struct rlimit old = set_file_limit(4096);
        memset(r->host + b.data, 0x70 + (int)with_save, 1024);
        blk_post(&b, VIRTIO_BLK_T_OUT, 1000, 1024);
        for (unsigned i = 0; i < 200000 && machine_state(r->m) != MACHINE_IO_ERROR; i++) {
            rig_settle(r);
            g_usleep(500);
        }
        setrlimit(RLIMIT_FSIZE, &old);
        CHECK_EQ(machine_state(r->m), MACHINE_IO_ERROR);
        CHECK(!vq_ready(&b.d, &b.q));
        if (with_save) {
            g_byte_array_set_size(out, 0);
            CHECK(device_save(dev, out, &err));
            device_reset(dev);
            CHECK(device_load(dev, out->data, out->len, &err));
            machine_flush_work(r->m);
        }
        CHECK(machine_cont(r->m, &err));
        vq_wait(&b.d, &b.q, NULL);
        CHECK_EQ(r->host[b.status], VIRTIO_BLK_S_OK);
        CHECK_EQ(blk_op(&b, VIRTIO_BLK_T_IN, 1000, 1024), VIRTIO_BLK_S_OK);
        CHECK_EQ(r->host[b.data + 1023], 0x70 + with_save);
    }
}

int main(void)
{
    Rig r;
    rig_init(&r);
    rig_run(&r);
    rig_drive(&r, "d0", 1 << 20, true);
    const char *props[] = { "id=vd0", "drive=d0", "num-queues=1", "serial=tandem-1", "packed=on", NULL };
    Device *dev = rig_device(&r, "virtio-blk-pci", props);
    test_modes(&r, dev);
    test_ops(&r, dev);
    test_hostile(&r, dev);
    test_refused_features(&r, dev);
    test_reset_in_flight(&r, dev);
    test_stop(&r);
    rig_clear(&r);
    return 0;
}
