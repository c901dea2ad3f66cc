#include "hw/virtio/virtio-mmio.h"

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>

#include "hw/virtio/virtio-internal.h"
#include "util/bits.h"
#include "vmm/machine.h"

enum { MAGIC = 0x74726976, VERSION = 2, VENDOR = 0x4d444e54, INT_QUEUE = 1, INT_CONFIG = 2 };

/* ---- interrupts ---- */

static void mmio_notify(VirtioDevice *v, uint16_t vector, bool config)
{
    v->isr |= config ? INT_CONFIG : INT_QUEUE;
    irq_set(v->dev.irq[0], true);
}

static bool mmio_dma_allowed(VirtioDevice *v) { return true; }

static const VirtioTransport mmio_transport = { .notify = mmio_notify, .dma_allowed = mmio_dma_allowed };

static void acknowledge(VirtioDevice *v, uint32_t bits)
{
    v->isr &= (uint8_t)~bits;
    irq_set(v->dev.irq[0], v->isr != 0);
}

/* ---- registers (4.2.2) ---- */

static VirtQueue *selected(VirtioDevice *v) { return v->queue_sel < v->n_queues ? &v->vq[v->queue_sel] : NULL; }

/* NOTIFY_ON_EMPTY and ANY_LAYOUT belong to the legacy interface only. */
static uint32_t features_read(VirtioDevice *v)
{
    uint64_t f = v->host_features & ~(BIT(VIRTIO_F_NOTIFY_ON_EMPTY) | BIT(VIRTIO_F_ANY_LAYOUT));
    return v->device_feature_sel < 2 ? (uint32_t)(f >> 32 * v->device_feature_sel) : 0;
}

static uint64_t mmio_read(void *opaque, uint64_t off, unsigned size)
{
    VirtioDevice *v = opaque;
    const VirtQueue *vq = selected(v);
    if (off >= VIRTIO_MMIO_CONFIG)
        return virtio_config_read(v, (unsigned)off - VIRTIO_MMIO_CONFIG, size);
    if (size != 4)
        return 0;
    switch (off) {
    case VIRTIO_MMIO_MAGIC_VALUE: return MAGIC;
    case VIRTIO_MMIO_VERSION: return VERSION;
    case VIRTIO_MMIO_DEVICE_ID: return v->type->id;
    case VIRTIO_MMIO_VENDOR_ID: return VENDOR;
    case VIRTIO_MMIO_DEVICE_FEATURES: return features_read(v);
    case VIRTIO_MMIO_QUEUE_NUM_MAX: return vq ? vq->num_max : 0;
    case VIRTIO_MMIO_QUEUE_READY: return vq ? vq->ready : 0;
    case VIRTIO_MMIO_INTERRUPT_STATUS: return v->isr;
    case VIRTIO_MMIO_STATUS: return virtio_status(v);
    case VIRTIO_MMIO_CONFIG_GENERATION: return v->config_generation;
    default: return 0;
    }
}

static void put_half(uint64_t *addr, bool high, uint64_t val) { *addr = bits_put(*addr, high ? 32 : 0, 32, val); }

static void queue_write(VirtQueue *vq, uint64_t off, uint32_t val)
{
    if (off == VIRTIO_MMIO_QUEUE_READY && !val)
        virtq_reset(vq);
    if (vq->ready)              /* the rest must not change under a live queue */
        return;
    switch (off) {
    case VIRTIO_MMIO_QUEUE_NUM:
        if (virtq_size_ok(vq, val & 0xffff))
            vq->num = (uint16_t)val;
        break;
    case VIRTIO_MMIO_QUEUE_READY:
        if (val == 1)
            virtq_enable(vq);
        break;
    case VIRTIO_MMIO_QUEUE_DESC_LOW: case VIRTIO_MMIO_QUEUE_DESC_HIGH: put_half(&vq->desc, off == VIRTIO_MMIO_QUEUE_DESC_HIGH, val); break;
    case VIRTIO_MMIO_QUEUE_AVAIL_LOW: case VIRTIO_MMIO_QUEUE_AVAIL_HIGH: put_half(&vq->avail, off == VIRTIO_MMIO_QUEUE_AVAIL_HIGH, val); break;
    case VIRTIO_MMIO_QUEUE_USED_LOW: case VIRTIO_MMIO_QUEUE_USED_HIGH: put_half(&vq->used, off == VIRTIO_MMIO_QUEUE_USED_HIGH, val); break;
    default: break;
    }
}

static void mmio_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    VirtioDevice *v = opaque;
    if (off >= VIRTIO_MMIO_CONFIG) {
        virtio_config_write(v, (unsigned)off - VIRTIO_MMIO_CONFIG, (uint32_t)val, size);
        return;
    }
    if (size != 4)
        return;
    switch (off) {
    case VIRTIO_MMIO_DEVICE_FEATURES_SEL: v->device_feature_sel = (uint32_t)val; break;
    case VIRTIO_MMIO_DRIVER_FEATURES_SEL: v->driver_feature_sel = (uint32_t)val; break;
    case VIRTIO_MMIO_DRIVER_FEATURES:
        if (v->driver_feature_sel < 2)
            virtio_set_driver_features(v, bits_put(v->driver_features, 32 * v->driver_feature_sel, 32, val), false);
        break;
    case VIRTIO_MMIO_QUEUE_SEL: v->queue_sel = (uint16_t)val; break;
    case VIRTIO_MMIO_QUEUE_NOTIFY: virtio_kick(v, (uint16_t)val); break;
    case VIRTIO_MMIO_INTERRUPT_ACK: acknowledge(v, (uint32_t)val); break;
    case VIRTIO_MMIO_STATUS:
        virtio_set_status(v, (uint8_t)val);
        if (!val)
            acknowledge(v, 0xff);
        break;
    default:
        if (selected(v))
            queue_write(selected(v), off, (uint32_t)val);
        break;
    }
}

static const MmioOps mmio_ops = { .read = mmio_read, .write = mmio_write, .min_size = 1, .max_size = 4 };

/* ---- life ---- */

bool virtio_mmio_realize(Device *dev, GError **err)
{
    VirtioDevice *v = CONTAINER_OF(dev, VirtioDevice, dev);
    v->opt_no_legacy = true;
    if (v->opt_no_modern) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "there is no interface before virtio 1 over MMIO: drop disable-modern");
        return false;
    }
    if (!virtio_init(v, ((const VirtioMmioClass *)dev->klass)->type, &mmio_transport, err))
        return false;
    device_init_mmio(dev, 0, "virtio", &mmio_ops, VIRTIO_MMIO_SIZE);
    device_init_irqs(dev, 1);
    return true;
}

void virtio_mmio_unrealize(Device *dev) { virtio_fini(CONTAINER_OF(dev, VirtioDevice, dev)); }

void virtio_mmio_reset(Device *dev)
{
    VirtioDevice *v = CONTAINER_OF(dev, VirtioDevice, dev);
    virtio_reset(v);
    v->resetting = false;
    acknowledge(v, 0xff);
}

static bool mmio_post_load(Device *dev, unsigned version, GError **err)
{
    VirtioDevice *v = CONTAINER_OF(dev, VirtioDevice, dev);
    if (!virtio_post_load(dev, version, err))
        return false;
    acknowledge(v, 0);
    return true;
}

const DeviceSection virtio_mmio_base_state[] = {
    { .name = "virtio", .version = 1, .min_version = 1, .fields = virtio_fields, .post_load = mmio_post_load }, { 0 }
};

/* ---- the bus ---- */

typedef struct MmioBus {
    Bus bus;
    uint64_t base, stride;
    IrqWire *wire[VIRTIO_MMIO_SLOTS];
    Device *slot[VIRTIO_MMIO_SLOTS];
    unsigned n;
    MemRegion *empty;           /* below the slots in use */
} MmioBus;

static uint64_t empty_read(void *opaque, uint64_t off, unsigned size)
{
    uint64_t reg = off % ((MmioBus *)opaque)->stride;
    return reg == VIRTIO_MMIO_MAGIC_VALUE ? MAGIC : reg == VIRTIO_MMIO_VERSION ? VERSION : 0;
}

static void empty_write(void *opaque, uint64_t off, uint64_t val, unsigned size) {}

static const MmioOps empty_ops = { .read = empty_read, .write = empty_write, .min_size = 1, .max_size = 4 };

static bool mmio_attach(Bus *b, Device *dev, GError **err)
{
    MmioBus *bus = (MmioBus *)b;
    for (unsigned i = 0; i < bus->n; i++)
        if (!bus->slot[i]) {
            bus->slot[i] = dev;
            return true;
        }
    g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, "all %u slots for virtio devices over MMIO are taken; use the -pci form", bus->n);
    return false;
}

static unsigned slot_of(const MmioBus *bus, const Device *dev)
{
    unsigned i = 0;
    while (i < bus->n && bus->slot[i] != dev)
        i++;
    return i;
}

static void mmio_plug(Bus *b, Device *dev)
{
    MmioBus *bus = (MmioBus *)b;
    unsigned i = slot_of(bus, dev);
    mem_region_add(machine_mem_root(b->machine), bus->base + i * bus->stride, device_mmio(dev, 0), 2);
    irq_connect(dev->irq[0], bus->wire[i]);
}

static void mmio_unplug(Bus *b, Device *dev)
{
    mem_region_remove(device_mmio(dev, 0));
    irq_connect(dev->irq[0], NULL);
}

static void mmio_detach(Bus *b, Device *dev)
{
    MmioBus *bus = (MmioBus *)b;
    unsigned i = slot_of(bus, dev);
    if (i < bus->n)
        bus->slot[i] = NULL;
}

static const BusOps mmio_bus_ops = { .kind = BUS_VIRTIO, .attach = mmio_attach, .plug = mmio_plug, .unplug = mmio_unplug, .detach = mmio_detach };

static void mmio_bus_free(void *opaque)
{
    MmioBus *bus = opaque;
    bus_clear(&bus->bus);
    mem_region_remove(bus->empty);
    mem_region_unref(bus->empty);
    g_free(bus);
}

Bus *virtio_mmio_bus_new(Machine *m, uint64_t base, uint64_t stride, IrqWire *const *wires, unsigned n)
{
    MmioBus *bus = g_new0(MmioBus, 1);
    bus->base = base;
    bus->stride = stride;
    bus->n = MIN(n, (unsigned)VIRTIO_MMIO_SLOTS);
    for (unsigned i = 0; i < bus->n; i++)
        bus->wire[i] = wires[i];
    bus_init(&bus->bus, &mmio_bus_ops, "virtio-mmio", NULL, m);
    bus->empty = mem_region_new_mmio(machine_mem(m), "virtio-mmio-empty", &empty_ops, bus, bus->n * stride, NULL);
    mem_region_add(machine_mem_root(m), base, bus->empty, 1);
    machine_own(m, bus, mmio_bus_free);
    return &bus->bus;
}
