/* PIIX3 IDE with a disk and a CD-ROM: port accesses, whole commands and packets, scatter lists. */
#include <linux/pci_regs.h>
#include <string.h>

#include "hw/storage/ide.h"
#include "tests/device/rig.h"
#include "tests/fuzz/fuzz.h"
#include "util/bits.h"

enum { BM = 0xc100, PRD = 0x100000 };

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

static Device *make(Rig *r)
{
    static const uint16_t ports[] = { 0x1f0, 0x170, 0x3f6, 0x376 };
    static const char *const props[] = { "id=ide", "addr=1.1", NULL }, *const hd[] = { "drive=d", "bus=ide.0", "id=hd", NULL },
                      *const cd[] = { "drive=c", "bus=ide.1", "id=cd", NULL };
    rig_init(r);
    Device *ide = rig_device(r, "piix3-ide", props);
    for (unsigned i = 0; i < 4; i++)
        mem_region_add(machine_io_root(r->m), ports[i], device_pio(ide, i), 0);
    rig_cfg_write(r, PCI_DEVFN(1, 1), PCI_BASE_ADDRESS_4, 4, BM);
    rig_cfg_write(r, PCI_DEVFN(1, 1), PCI_COMMAND, 2, 5);
    rig_drive(r, "d", 1 << 20, true);
    rig_drive(r, "c", 1 << 20, false);
    rig_device(r, "ide-hd", hd);
    rig_device(r, "ide-cd", cd);
    rig_run(r);
    return ide;
}

static void packet(Rig *r, In *in)
{
    unsigned limit = take(in, 1) * 64;
    rig_out(r, 0x171, 1, take(in, 1) & 1);
    rig_out(r, 0x174, 1, limit & 0xff);
    rig_out(r, 0x175, 1, limit >> 8);
    rig_out(r, 0x177, 1, 0xa0);
    for (unsigned i = 0; i < 6; i++)
        rig_out(r, 0x170, 2, take(in, 2));
}

static void op(Rig *r, In *in)
{
    uint16_t base = take(in, 1) & 1 ? 0x170 : 0x1f0;
    switch (take(in, 1) % 10) {
    case 0:
        rig_out(r, (uint16_t)(base + take(in, 1) % 8), 1, take(in, 1));
        break;
    case 1:
        rig_in(r, (uint16_t)(base + take(in, 1) % 8), 1);
        break;
    case 2:                     /* a disk command with a sensible address */
        rig_out(r, base + 6, 1, 0xe0);
        for (unsigned i = 2; i < 6; i++)
            rig_out(r, (uint16_t)(base + i), 1, i < 4 ? take(in, 1) : 0);
        rig_out(r, base + 7, 1, take(in, 1));
        break;
    case 3:
        packet(r, in);
        break;
    case 4:                     /* move data */
        for (unsigned n = take(in, 1) * 8; n; n--) {
            if (n & 1)
                rig_out(r, base, 4, n);
            else
                rig_in(r, base, 4);
        }
        break;
    case 5:
        store_le32(r->host + PRD + take(in, 1) % 16 * 8, take(in, 1) & 0x80 ? take(in, 4) : 0x200000 + take(in, 2) * 16);
        store_le32(r->host + PRD + take(in, 1) % 16 * 8 + 4, take(in, 4));
        break;
    case 6:
        rig_out(r, (uint16_t)((base == 0x1f0 ? BM : BM + 8) + 4), 4, PRD);
        rig_out(r, base == 0x1f0 ? BM : BM + 8, 1, take(in, 1));
        break;
    case 7:
        rig_settle(r);
        break;
    case 8:
        rig_out(r, base == 0x1f0 ? 0x3f6 : 0x376, 1, take(in, 1));
        break;
    default:
        rig_out(r, (uint16_t)(BM + take(in, 1) % 16), 1, take(in, 1));
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    In in = { data, data + MIN(size, 2048u) };
    Rig r;
    Device *ide = make(&r);
    while (in.p < in.end)
        op(&r, &in);
    rig_settle(&r);
    g_autoptr(GByteArray) out = g_byte_array_new();
    GError *err = NULL;
    if (device_save(ide, out, NULL) && !device_load(ide, out->data, out->len, &err)) {
        fprintf(stderr, "own state refused: %s\n", err->message);
        abort();
    }
    rig_clear(&r);
    return 0;
}
