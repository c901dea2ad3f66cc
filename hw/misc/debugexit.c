/* A port that ends the program: for test guests. A write of v ends it with status v << 1 | 1, as under QEMU. */
#include "hw/isa/isa.h"

typedef struct DebugExit {
    IsaDevice isa;
    uint32_t iobase, iosize;    /* properties */
} DebugExit;

static uint64_t debugexit_read(void *opaque, uint64_t off, unsigned size)
{
    return 0;
}

static void debugexit_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    device_request(opaque, DEVICE_REQ_EXIT, val << 1 | 1);
}

static const MmioOps debugexit_ops = { .read = debugexit_read, .write = debugexit_write, .min_size = 1, .max_size = 4, .unaligned = true };

static bool debugexit_realize(Device *dev, GError **err)
{
    DebugExit *d = (DebugExit *)dev;
    if (d->iobase + d->iosize > 0x10000) {
        g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "%s: iobase + iosize is beyond port 0xffff", dev->id);
        return false;
    }
    device_init_pio(dev, 0, "port", &debugexit_ops, d->iosize);
    d->isa.pio_addr[0] = d->iobase;
    return true;
}

static const PropDesc debugexit_props[] = {
    PROP(DebugExit, iobase, PROP_U32, "iobase", .def = "0x501", .min = 1, .max = 0xffff, .help = "first port"),
    PROP(DebugExit, iosize, PROP_U32, "iosize", .def = "2", .min = 1, .max = 0x1000, .help = "number of ports"),
    { 0 }
};

const DeviceClass debugexit_class = {
    .name = "isa-debug-exit", .summary = "port that ends the program with a status", .size = sizeof(DebugExit), .bus = BUS_ISA,
    .props = debugexit_props, .realize = debugexit_realize,
};
