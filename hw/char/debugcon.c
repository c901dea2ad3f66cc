/*
 * Ports that take a byte of text each and cannot be busy: 402h (SeaBIOS and OVMF look for e9h there) and e9h (Bochs). Port regions 0 and 1, one
 * byte each, for the two; output goes to the property chardev, unset = nowhere.
 */
#include "vmm/chardev.h"
#include "vmm/device.h"

enum { READBACK = 0xe9 };

typedef struct DebugCon {
    Device dev;
    CharDev *chr;               /* property */
} DebugCon;

static uint64_t debugcon_read(void *opaque, uint64_t off, unsigned size)
{
    return READBACK;
}

/* Bytes that the back end does not take at once are lost: the port has no flow control. */
static void debugcon_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    chardev_write(((DebugCon *)opaque)->chr, &(uint8_t){ (uint8_t)val }, 1);
}

static const MmioOps debugcon_ops = { .read = debugcon_read, .write = debugcon_write, .min_size = 1, .max_size = 1, .unaligned = true };
static const CharFrontOps debugcon_front = { 0 };

static bool debugcon_realize(Device *dev, GError **err)
{
    DebugCon *d = (DebugCon *)dev;
    if (d->chr && !chardev_attach(d->chr, &debugcon_front, d, dev->lock)) {
        g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "chardev '%s' is in use by another device: give each device its own",
                    chardev_name(d->chr));
        return false;
    }
    device_init_pio(dev, 0, "port402", &debugcon_ops, 1);
    device_init_pio(dev, 1, "porte9", &debugcon_ops, 1);
    return true;
}

static void debugcon_unrealize(Device *dev)
{
    DebugCon *d = (DebugCon *)dev;
    if (d->chr)
        chardev_detach(d->chr);
}

static const PropDesc debugcon_props[] = {
    PROP(DebugCon, chr, PROP_REF, "chardev", .ref_type = "chardev", .shared = true, .help = "where the text goes"), { 0 }
};

const DeviceClass debugcon_class = {
    .name = "debugcon", .summary = "firmware's debug ports", .size = sizeof(DebugCon), .bus = BUS_SYS, .internal = true,
    .props = debugcon_props, .realize = debugcon_realize, .unrealize = debugcon_unrealize,
};
