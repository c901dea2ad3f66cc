/* PIIX3 IDE: a disk and a CD-ROM, PIO and DMA, through the ports a driver uses. */
#include <linux/pci_regs.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "hw/storage/ide.h"
#include "tests/device/rig.h"
#include "util/bits.h"

enum { CMD = 0x1f0, CTL = 0x3f6, CMD2 = 0x170, CTL2 = 0x376, BM = 0xc100, PRD = 0x100000, BUF = 0x200000 };
enum { BSY = 0x80, DRDY = 0x40, DRQ = 8, ERR = 1 };

static Rig rig;
static unsigned irqs[2], irq_on[2];

static void got_irq(void *opaque, unsigned n, bool level)
{
    irqs[n] += level;
    irq_on[n] = level;
}

static uint8_t wait_idle(unsigned base)
{
    for (unsigned i = 0; i < 500000; i++) {
        uint8_t st = (uint8_t)rig_in(&rig, (uint16_t)(base == CMD ? CTL : CTL2), 1);
        if (!(st & BSY))
            return st;
        rig_settle(&rig);
        g_usleep(200);
    }
    CHECK(false);
    return 0;
}

static uint8_t wait_irq(unsigned base)
{
    unsigned n = base == CMD2;
    for (unsigned i = 0; i < 500000 && !irq_on[n]; i++) {
        rig_settle(&rig);
        g_usleep(200);
    }
    CHECK(irq_on[n]);
    return (uint8_t)rig_in(&rig, (uint16_t)(base + 7), 1);
}

static void task(unsigned base, uint8_t dev, uint64_t lba, unsigned count, bool ext)
{
    rig_out(&rig, (uint16_t)(base + 6), 1, 0xe0u | (unsigned)dev << 4 | (ext ? 0 : lba >> 24 & 15));
    for (unsigned pass = !ext; pass < 2; pass++) {
        unsigned up = pass == 0;
        rig_out(&rig, (uint16_t)(base + 2), 1, up ? count >> 8 : count & 0xff);
        for (unsigned i = 0; i < 3; i++)
            rig_out(&rig, (uint16_t)(base + 3 + i), 1, (uint32_t)(lba >> (8 * i + (up ? 24 : 0))) & 0xff);
    }
}

static void cmd(unsigned base, uint8_t c) { rig_out(&rig, (uint16_t)(base + 7), 1, c); }

static void read_data(unsigned base, void *buf, unsigned len)
{
    for (unsigned i = 0; i < len; i += 2)
        store_le16((uint8_t *)buf + i, (uint16_t)rig_in(&rig, (uint16_t)base, 2));
}

static void write_data(unsigned base, const void *buf, unsigned len)
{
    for (unsigned i = 0; i < len; i += 4)
        rig_out(&rig, (uint16_t)base, 4, load_le32((const uint8_t *)buf + i));
}

static void test_identify(void)
{
    uint8_t id[512];
    task(CMD, 0, 0, 0, false);
    cmd(CMD, 0xec);
    CHECK_EQ(wait_irq(CMD) & (DRQ | ERR | BSY), DRQ);
    read_data(CMD, id, 512);
    CHECK(!(wait_idle(CMD) & DRQ));
    CHECK_EQ(load_le32(id + 120), 8192);
    CHECK_EQ(load_le64(id + 200), 8192);
    CHECK_EQ(load_le16(id + 94), 0x8010);
    CHECK(id[20] == 'D' && id[21] == 'S' && id[22] == '1' && id[23] == 'K');      /* "SDK1", swapped */
    task(CMD, 1, 0, 0, false);              /* nobody there */
    CHECK_EQ(rig_in(&rig, CMD + 7, 1), 0);
    cmd(CMD, 0xec);
    CHECK_EQ(rig_in(&rig, CMD + 7, 1), 0);
    CHECK_EQ(rig_in(&rig, CMD + 2, 1), 0);
}

/* One command of @count sectors by PIO in blocks of @block sectors. */
static void pio(uint8_t c, uint64_t lba, unsigned count, unsigned block, bool ext, bool write, uint8_t *buf)
{
    task(CMD, 0, lba, count, ext);
    cmd(CMD, c);
    for (unsigned done = 0; done < count; done += block) {
        unsigned n = MIN(block, count - done) * 512;
        if (write) {
            if (done)
                wait_irq(CMD);
            CHECK_EQ(wait_idle(CMD) & (DRQ | ERR), DRQ);
            write_data(CMD, buf + done * 512, n);
        } else {
            CHECK_EQ(wait_irq(CMD) & (DRQ | ERR), DRQ);
            read_data(CMD, buf + done * 512, n);
        }
    }
    if (write)
        CHECK_EQ(wait_irq(CMD) & (DRQ | ERR), 0);
    CHECK_EQ(wait_idle(CMD) & (DRQ | ERR), 0);
}

static void fill(uint8_t *p, size_t len, unsigned seed)
{
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)(i * 11 + i / 512 + seed);
}

static void test_pio(void)
{
    static const struct { uint8_t write, read; unsigned block; bool ext; } modes[] = {
        { 0x30, 0x20, 1, false }, { 0x34, 0x24, 1, true }, { 0xc5, 0xc4, 8, false }, { 0x39, 0x29, 8, true }, { 0xce, 0x29, 8, true },
    };
    uint8_t a[20 * 512], b[20 * 512];
    task(CMD, 0, 0, 8, false);
    cmd(CMD, 0xc6);
    CHECK_EQ(wait_irq(CMD) & ERR, 0);
    for (unsigned i = 0; i < ARRAY_LEN(modes); i++) {
        fill(a, sizeof(a), i);
        pio(modes[i].write, 100 + 37 * i, 20, modes[i].block, modes[i].ext, true, a);
        pio(modes[i].read, 100 + 37 * i, 20, modes[i].block, modes[i].ext, false, b);
        CHECK(!memcmp(a, b, sizeof(a)));
    }
    /* The same sector by cylinder, head, sector: 16 heads, 63 sectors. LBA 1108 = 1/1/38. */
    fill(a, 512, 99);
    pio(0x30, 1108, 1, 1, false, true, a);
    rig_out(&rig, CMD + 6, 1, 0xa1);
    rig_out(&rig, CMD + 2, 1, 1);
    rig_out(&rig, CMD + 3, 1, 38);
    rig_out(&rig, CMD + 4, 1, 1);
    rig_out(&rig, CMD + 5, 1, 0);
    cmd(CMD, 0x20);
    CHECK_EQ(wait_irq(CMD) & (DRQ | ERR), DRQ);
    read_data(CMD, b, 512);
    CHECK(!memcmp(a, b, 512));
}

static void test_errors(void)
{
    task(CMD, 0, 8190, 3, false);
    cmd(CMD, 0x20);
    CHECK(wait_irq(CMD) & ERR);
    CHECK_EQ(rig_in(&rig, CMD + 1, 1), 0x10);
    cmd(CMD, 0xfe);
    CHECK(wait_irq(CMD) & ERR);
    CHECK_EQ(rig_in(&rig, CMD + 1, 1), 4);
    task(CMD, 0, 0, 0, false);
    cmd(CMD, 0xf8);
    CHECK_EQ(wait_irq(CMD) & ERR, 0);
    CHECK_EQ(rig_in(&rig, CMD + 3, 1) | rig_in(&rig, CMD + 4, 1) << 8, 8191);
    cmd(CMD, 0xe7);
    CHECK_EQ(wait_irq(CMD) & ERR, 0);
    rig_out(&rig, CTL, 1, 2);               /* nIEN */
    unsigned before = irqs[0];
    cmd(CMD, 0xe5);
    CHECK_EQ(irqs[0], before);
    CHECK_EQ(rig_in(&rig, CMD + 2, 1), 0xff);
    rig_out(&rig, CTL, 1, 6);
    CHECK_EQ(rig_in(&rig, CTL, 1), BSY);
    rig_out(&rig, CTL, 1, 0);
    CHECK_EQ(rig_in(&rig, CTL, 1), 0x50);
    CHECK_EQ(rig_in(&rig, CMD + 2, 1), 1);
}

/* Scatter list over @n pieces of @len bytes with holes between. */
static void prds(unsigned n, unsigned len, bool eot)
{
    for (unsigned i = 0; i < n; i++) {
        store_le32(rig.host + PRD + 8 * i, BUF + i * 0x10000);
        store_le32(rig.host + PRD + 8 * i + 4, (len & 0xffff) | (eot && i == n - 1 ? 1u << 31 : 0));
    }
}

static uint8_t dma(unsigned base, bool read)
{
    unsigned bm = base == CMD ? BM : BM + 8;
    rig_out(&rig, (uint16_t)(bm + 4), 4, PRD);
    rig_out(&rig, (uint16_t)(bm + 2), 1, 6);
    rig_out(&rig, (uint16_t)bm, 1, read ? 9 : 1);
    uint8_t st = wait_irq(base);
    uint8_t bms = (uint8_t)rig_in(&rig, (uint16_t)(bm + 2), 1);
    CHECK(bms & 4);
    rig_out(&rig, (uint16_t)bm, 1, 0);
    rig_out(&rig, (uint16_t)(bm + 2), 1, 6);
    CHECK_EQ(rig_in(&rig, (uint16_t)(bm + 2), 1) & 7, 0);
    CHECK(st & ERR || !(bms & 2));
    return st;
}

static void test_dma(void)
{
    for (unsigned mode = 0; mode < 4; mode++) {
        bool ext = mode & 1;
        prds(4, 2048, true);
        for (unsigned i = 0; i < 4; i++)
            fill(rig.host + BUF + i * 0x10000, 2048, 100 * mode + i);
        task(CMD, 0, 3000 + mode, 16, ext);
        cmd(CMD, ext ? mode & 2 ? 0x3d : 0x35 : 0xca);
        CHECK_EQ(dma(CMD, false) & ERR, 0);
        for (unsigned i = 0; i < 4; i++)
            memset(rig.host + BUF + i * 0x10000, 0, 2048);
        task(CMD, 0, 3000 + mode, 16, ext);
        cmd(CMD, ext ? 0x25 : 0xc8);
        CHECK_EQ(dma(CMD, true) & ERR, 0);
        for (unsigned i = 0; i < 4; i++) {
            uint8_t want[2048];
            fill(want, sizeof(want), 100 * mode + i);
            CHECK(!memcmp(want, rig.host + BUF + i * 0x10000, 2048));
        }
    }
    prds(1, 512, true);                     /* too short */
    task(CMD, 0, 0, 16, false);
    cmd(CMD, 0xc8);
    CHECK(dma(CMD, true) & ERR);
    store_le32(rig.host + PRD, 0xf0000000);     /* not RAM */
    cmd(CMD, 0xc8);
    CHECK(dma(CMD, true) & ERR);
    memset(rig.host + PRD, 0, 0x10000);     /* a list without end of 64 KiB pieces at 0: bounded by the transfer */
    task(CMD, 0, 0, 8, false);
    cmd(CMD, 0xc8);
    CHECK_EQ(dma(CMD, true) & ERR, 0);
}

/* ---- CD-ROM ---- */

static uint8_t packet(const uint8_t *cdb, unsigned limit, bool use_dma)
{
    rig_out(&rig, CMD2 + 6, 1, 0xa0);
    rig_out(&rig, CMD2 + 1, 1, use_dma);
    rig_out(&rig, CMD2 + 4, 1, limit & 0xff);
    rig_out(&rig, CMD2 + 5, 1, limit >> 8);
    cmd(CMD2, 0xa0);
    CHECK_EQ(wait_idle(CMD2) & DRQ, DRQ);
    CHECK_EQ(rig_in(&rig, CMD2 + 2, 1) & 3, 1);
    write_data(CMD2, cdb, 12);
    return use_dma ? dma(CMD2, true) : 0;
}

/* Take a PIO reply; returns its length, or -1 on a check condition. */
static int take_reply(uint8_t *buf, unsigned room)
{
    unsigned n = 0;
    for (;;) {
        uint8_t st = wait_irq(CMD2);
        if (st & ERR)
            return -1;
        if (!(st & DRQ))
            break;
        CHECK_EQ(rig_in(&rig, CMD2 + 2, 1) & 3, 2);
        unsigned len = rig_in(&rig, CMD2 + 4, 1) | rig_in(&rig, CMD2 + 5, 1) << 8;
        CHECK(n + len <= room);
        read_data(CMD2, buf + n, len);
        n += len;
    }
    CHECK_EQ(rig_in(&rig, CMD2 + 2, 1) & 3, 3);
    return (int)n;
}

static int command(uint8_t op, uint8_t *buf, unsigned room, const uint8_t *rest)
{
    uint8_t cdb[12] = { op };
    if (rest)
        memcpy(cdb + 1, rest, 11);
    packet(cdb, 2048, false);
    return take_reply(buf, room);
}

static void test_cd(void)
{
    uint8_t b[65536 + 4096];
    rig_out(&rig, CMD2 + 6, 1, 0xa0);
    cmd(CMD2, 0xec);
    CHECK(wait_irq(CMD2) & ERR);
    CHECK_EQ(rig_in(&rig, CMD2 + 4, 1) | rig_in(&rig, CMD2 + 5, 1) << 8, 0xeb14);
    cmd(CMD2, 0xa1);
    CHECK_EQ(wait_irq(CMD2) & DRQ, DRQ);
    read_data(CMD2, b, 512);
    CHECK_EQ(load_le16(b), 0x85c0);
    CHECK_EQ(command(0x12, b, 64, (uint8_t[11]){ 0, 0, 0, 36 }), 36);
    CHECK(b[0] == 5 && !memcmp(b + 8, "TANDEM  ", 8));
    CHECK_EQ(command(0x00, b, 0, NULL), 0);
    CHECK_EQ(command(0x25, b, 8, NULL), 8);
    CHECK_EQ(load_be32(b), 511);
    CHECK_EQ(load_be32(b + 4), 2048);
    CHECK_EQ(command(0x43, b, 64, (uint8_t[11]){ 0, 0, 0, 0, 0, 0, 0, 64 }), 20);
    CHECK_EQ(load_be32(b + 16), 512);
    CHECK_EQ(command(0x5a, b, 64, (uint8_t[11]){ 0, 0x2a, 0, 0, 0, 0, 0, 64 }), 28);
    CHECK_EQ(command(0x4a, b, 64, (uint8_t[11]){ 1, 0, 0, 0x10, 0, 0, 0, 8 }), 8);
    CHECK_EQ(b[5], 2);
    CHECK_EQ(command(0x46, b, 64, (uint8_t[11]){ 0, 0, 0, 0, 0, 0, 0, 64 }), 40);
    CHECK_EQ(command(0x28, b, sizeof(b), (uint8_t[11]){ 0, 0, 0, 0, 7, 0, 0, 34 }), 34 * 2048);     /* more than the buffer */
    for (unsigned i = 0; i < 34; i++)
        CHECK_EQ(load_le32(b + i * 2048), 7 + i);
    uint8_t cdb[12] = { 0xa8, 0, 0, 0, 0, 100, 0, 0, 0, 8 };
    prds(4, 4096, true);
    CHECK_EQ(packet(cdb, 0, true) & ERR, 0);
    for (unsigned i = 0; i < 8; i++)
        CHECK_EQ(load_le32(rig.host + BUF + i / 2 * 0x10000 + i % 2 * 2048), 100 + i);
    prds(1, 4096, true);                    /* a small reply by DMA; the list has more room */
    CHECK_EQ(packet((uint8_t[12]){ 0x12, 0, 0, 0, 36 }, 0, true) & ERR, 0);
    CHECK_EQ(rig.host[BUF], 5);
    CHECK_EQ(command(0x28, b, sizeof(b), (uint8_t[11]){ 0, 0, 0, 2, 0, 0, 0, 1 }), -1);
    CHECK_EQ(command(0x03, b, 64, (uint8_t[11]){ 0, 0, 0, 18 }), 18);
    CHECK(b[2] == 5 && b[12] == 0x21);
    CHECK_EQ(command(0xff, b, 64, NULL), -1);
}

static void test_media(Device *cd, BlockNode *node)
{
    uint8_t b[64];
    CHECK_EQ(command(0x1e, b, 0, (uint8_t[11]){ 0, 0, 0, 1 }), 0);
    CHECK(ide_cd_locked(cd));
    CHECK_EQ(command(0x1b, b, 0, (uint8_t[11]){ 0, 0, 0, 2 }), -1);
    CHECK_EQ(command(0x1e, b, 0, NULL), 0);
    ide_cd_set_media(cd, NULL);
    CHECK_EQ(command(0x00, b, 0, NULL), -1);
    CHECK_EQ(command(0x03, b, 64, (uint8_t[11]){ 0, 0, 0, 18 }), 18);
    CHECK(b[2] == 2 && b[12] == 0x3a);
    ide_cd_set_media(cd, node);
    CHECK_EQ(command(0x4a, b, 64, (uint8_t[11]){ 1, 0, 0, 0x10, 0, 0, 0, 8 }), 8);
    CHECK(b[4] == 2 && b[5] == 2);
    CHECK_EQ(command(0x00, b, 0, NULL), -1);        /* unit attention once */
    CHECK_EQ(command(0x00, b, 0, NULL), 0);
}

/* ---- saving in the middle, and werror=stop ---- */

static void test_state(Device *ide)
{
    uint8_t a[1024], b[1024];
    g_autoptr(GByteArray) out = g_byte_array_new();
    fill(a, sizeof(a), 77);
    pio(0x30, 500, 2, 1, false, true, a);
    task(CMD, 0, 500, 2, false);
    cmd(CMD, 0x20);
    CHECK_EQ(wait_irq(CMD) & DRQ, DRQ);
    read_data(CMD, b, 100);
    CHECK(device_save(ide, out, NULL));
    device_reset(ide);
    GError *err = NULL;
    if (!device_load(ide, out->data, out->len, &err))
        fprintf(stderr, "%s\n", err->message);
    CHECK(!err);
    machine_flush_work(rig.m);
    read_data(CMD, b + 100, 412);
    CHECK_EQ(wait_irq(CMD) & DRQ, DRQ);
    read_data(CMD, b + 512, 512);
    CHECK(!memcmp(a, b, sizeof(a)));
}

static void test_stop(void)
{
    struct sigaction ignore = { .sa_handler = SIG_IGN };
    struct rlimit old, now;
    sigaction(SIGXFSZ, &ignore, NULL);
    getrlimit(RLIMIT_FSIZE, &old);
    for (unsigned use_dma = 0; use_dma < 2; use_dma++) {
        uint8_t a[512], b[512];
        now = old;
        now.rlim_cur = 4096;
        setrlimit(RLIMIT_FSIZE, &now);
        fill(a, sizeof(a), use_dma);
        memcpy(rig.host + BUF, a, sizeof(a));
        prds(1, 512, true);
        task(CMD, 0, 4000, 1, false);
        cmd(CMD, use_dma ? 0xca : 0x30);
        if (use_dma) {
            rig_out(&rig, BM + 4, 4, PRD);
            rig_out(&rig, BM, 1, 1);
        } else {
            write_data(CMD, a, 512);
        }
        for (unsigned i = 0; i < 200000 && machine_state(rig.m) != MACHINE_IO_ERROR; i++) {
            rig_settle(&rig);
            g_usleep(500);
        }
        setrlimit(RLIMIT_FSIZE, &old);
        CHECK_EQ(machine_state(rig.m), MACHINE_IO_ERROR);
        CHECK(!irq_on[0]);
        CHECK(machine_cont(rig.m, NULL));
        CHECK_EQ(wait_irq(CMD) & ERR, 0);
        rig_out(&rig, BM, 1, 0);
        pio(0x20, 4000, 1, 1, false, false, b);
        CHECK(!memcmp(a, b, sizeof(a)));
    }
}

int main(void)
{
    rig_init(&rig);
    const char *props[] = { "id=ide", "addr=1.1", NULL };
    Device *ide = rig_device(&rig, "piix3-ide", props);
    for (unsigned i = 0; i < 2; i++) {
        irq_connect(ide->irq[i], irq_wire_new(machine_fabric(rig.m), got_irq, NULL, i));
        mem_region_add(machine_io_root(rig.m), i ? CMD2 : CMD, device_pio(ide, i), 0);
        mem_region_add(machine_io_root(rig.m), i ? CTL2 : CTL, device_pio(ide, 2 + i), 0);
    }
    rig_cfg_write(&rig, PCI_DEVFN(1, 1), PCI_BASE_ADDRESS_4, 4, BM);
    rig_cfg_write(&rig, PCI_DEVFN(1, 1), PCI_COMMAND, 2, 5);
    rig_drive(&rig, "d0", 8192 * 512, true);
    BlockNode *cdnode = rig_drive(&rig, "c0", 512 * 2048, true);
    for (uint32_t i = 0; i < 512; i++)
        CHECK_EQ(block_pwrite(cdnode, i * 2048ull, &i, 4, 0), 0);
    const char *hd[] = { "drive=d0", "bus=ide.0", "unit=0", "serial=SDK1", "werror=stop", "id=hd", NULL };
    const char *cd[] = { "drive=c0", "bus=ide.1", "id=cd", NULL };
    rig_device(&rig, "ide-hd", hd);
    Device *cddev = rig_device(&rig, "ide-cd", cd);
    rig_run(&rig);
    test_identify();
    test_pio();
    test_errors();
    test_dma();
    test_cd();
    test_media(cddev, cdnode);
    test_state(ide);
    test_stop();
    CHECK(machine_del_device(rig.m, "hd", NULL));
    rig_settle(&rig);
    CHECK_EQ(rig_in(&rig, CMD + 7, 1), 0);
    rig_clear(&rig);
    return 0;
}
