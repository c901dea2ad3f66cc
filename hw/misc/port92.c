/* System control port A (PS/2, port 92h): fast A20 and fast reset. Port region 0 (1 byte); output irq[0] is the A20 gate's level. */
#include "vmm/device.h"

enum { FAST_RESET = 1, A20 = 2, WRITABLE = 0xdf & ~0x24 };

typedef struct Port92 {
    Device dev;
    uint8_t val;
} Port92;

static uint64_t port92_read(void *opaque, uint64_t off, unsigned size)
{
    return ((Port92 *)opaque)->val;
}

static void port92_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    Port92 *p = opaque;
    bool reset = val & FAST_RESET && !(p->val & FAST_RESET);    /* a rising edge */
    p->val = val & WRITABLE;
    irq_set(p->dev.irq[0], val & A20);
    if (reset)
        device_request(&p->dev, DEVICE_REQ_RESET, 0);
}

static const MmioOps port92_ops = { .read = port92_read, .write = port92_write, .min_size = 1, .max_size = 1, .unaligned = true };

static void port92_reset(Device *dev)
{
    ((Port92 *)dev)->val = 0;
    irq_set(dev->irq[0], false);
}

static bool port92_realize(Device *dev, GError **err)
{
    device_init_pio(dev, 0, "port", &port92_ops, 1);
    device_init_irqs(dev, 1);
    return true;
}

static bool port92_post_load(Device *dev, unsigned version, GError **err)
{
    Port92 *p = (Port92 *)dev;
    p->val &= WRITABLE;
    irq_set(dev->irq[0], p->val & A20);
    return true;
}

static const FieldDesc port92_fields[] = { FIELD(Port92, val), { 0 } };
static const DeviceSection port92_state[] = {
    { .name = "port92", .version = 1, .min_version = 1, .fields = port92_fields, .post_load = port92_post_load },
    { 0 }
};

const DeviceClass port92_class = {
    .name = "port92", .summary = "fast A20 and reset", .size = sizeof(Port92), .bus = BUS_SYS, .internal = true,
    .state = port92_state, .realize = port92_realize, .reset = port92_reset,
};
