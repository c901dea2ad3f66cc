/*
 * Device for test guests: ports e0h-e3h and 64 KiB of memory at ff000000h read back what was written, a write to e4h drops
 * and restores the mapping of the guest-physical page whose address is written, ports 2000h + n set interrupt line n. The layout is that of the device
 * by the same name in other machines, so that their test images run.
 */
#include "hw/isa/isa.h"

#include <string.h>

#include "hw/intc/gsi.h"
#include "util/bits.h"

enum { MEM_SIZE = 64 << 10, N_LINES = GSI_INPUTS };

typedef struct TestDev {
    IsaDevice isa;
    uint32_t port;              /* e0h-e3h */
    uint32_t lines;             /* levels as written */
    uint8_t mem[MEM_SIZE];
} TestDev;

static uint64_t port_read(void *opaque, uint64_t off, unsigned size)
{
    return ((TestDev *)opaque)->port >> 8 * off & bits_mask(8 * size);
}

static void port_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    TestDev *t = opaque;
    unsigned shift = 8 * (unsigned)off;
    t->port = (uint32_t)bits_put(t->port, shift, MIN(8 * size, 32 - shift), val);
}

static uint64_t remap_read(void *opaque, uint64_t off, unsigned size)
{
    return bits_mask(8 * size);
}

static void remap_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    device_request(opaque, DEVICE_REQ_REMAP, val & ~(uint64_t)(PAGE_SIZE - 1));
}

static void line_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    TestDev *t = opaque;
    t->lines = (uint32_t)bits_put(t->lines, (unsigned)off, 1, val != 0);
    irq_set(t->isa.dev.irq[off], val != 0);
}

static uint64_t line_read(void *opaque, uint64_t off, unsigned size)
{
    return ((TestDev *)opaque)->lines >> off & 1;
}

static uint64_t mem_read(void *opaque, uint64_t off, unsigned size)
{
    return load_le(((TestDev *)opaque)->mem + off, size);
}

static void mem_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    store_le(((TestDev *)opaque)->mem + off, size, val);
}

static const MmioOps port_ops = { .read = port_read, .write = port_write, .min_size = 1, .max_size = 4, .unaligned = true };
static const MmioOps remap_ops = { .read = remap_read, .write = remap_write, .min_size = 4, .max_size = 4, .unaligned = true };
static const MmioOps line_ops = { .read = line_read, .write = line_write, .min_size = 1, .max_size = 1, .unaligned = true };
static const MmioOps mem_ops = { .read = mem_read, .write = mem_write, .min_size = 1, .max_size = 8, .unaligned = true };

static void set_lines(TestDev *t)
{
    for (unsigned i = 0; i < N_LINES; i++)
        irq_set(t->isa.dev.irq[i], t->lines >> i & 1);
}

static void testdev_reset(Device *dev)
{
    TestDev *t = (TestDev *)dev;
    t->port = t->lines = 0;
    memset(t->mem, 0, sizeof(t->mem));
    set_lines(t);
}

static bool testdev_post_load(Device *dev, unsigned version, GError **err)
{
    TestDev *t = (TestDev *)dev;
    t->lines &= (uint32_t)bits_mask(N_LINES);
    set_lines(t);
    return true;
}

static bool testdev_realize(Device *dev, GError **err)
{
    IsaDevice *d = (IsaDevice *)dev;
    device_init_pio(dev, 0, "ports", &port_ops, 4);
    device_init_pio(dev, 1, "remap", &remap_ops, 4);
    device_init_pio(dev, 2, "lines", &line_ops, N_LINES);
    device_init_mmio(dev, 0, "memory", &mem_ops, MEM_SIZE);
    device_init_irqs(dev, N_LINES);
    d->pio_addr[0] = 0xe0;
    d->pio_addr[1] = 0xe4;
    d->pio_addr[2] = 0x2000;
    d->mmio_addr[0] = 0xff000000;
    d->irqs_are_lines = true;
    return true;
}

static const FieldDesc testdev_fields[] = { FIELD(TestDev, port), FIELD(TestDev, lines), FIELD_RAW(TestDev, mem), { 0 } };
static const DeviceSection testdev_state[] = {
    { .name = "testdev", .version = 1, .min_version = 1, .fields = testdev_fields, .post_load = testdev_post_load },
    { 0 }
};

const DeviceClass testdev_class = {
    .name = "pc-testdev", .summary = "ports, memory and interrupt lines for test guests", .size = sizeof(TestDev), .bus = BUS_ISA,
    .state = testdev_state, .realize = testdev_realize, .reset = testdev_reset,
};
