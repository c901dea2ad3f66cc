/* Virtio over PCI: transitional device, MSI-X, doorbells (virtio 1.2, 4.1). */
#include "hw/virtio/virtio-pci.h"

#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <string.h>

#include "hw/virtio/virtio-internal.h"
#include "util/bits.h"

/* BAR 0: legacy ports; BAR 1: MSI-X; BAR 4 (64 bits): these four, 4 KiB each. */
enum { LEGACY_BAR = 0, MSIX_BAR = 1, MODERN_BAR = 4 };
enum { AREA_COMMON, AREA_ISR, AREA_DEVICE, AREA_NOTIFY, N_AREAS, AREA_SIZE = 0x1000 };
enum { MSIX_PBA_OFF = 0x800, MSIX_BAR_SIZE = 0x1000, NOTIFY_MULT = 4 };
enum { ISR_QUEUE = 1, ISR_CONFIG = VIRTIO_PCI_ISR_CONFIG };

static VirtioDevice *from_pci(PciDevice *pci)
{
    return CONTAINER_OF(pci, VirtioDevice, pci);
}

bool virtio_pci_busy(Device *dev)
{
    VirtioDevice *v = from_pci((PciDevice *)dev);
    return v->type && v->type->busy && v->type->busy(v);
}

/* ---- interrupts ---- */

static void pci_notify(VirtioDevice *v, uint16_t vector, bool config)
{
    if (pci_msix_enabled(&v->pci)) {
        if (vector != VIRTIO_NO_VECTOR)
            pci_msix_notify(&v->pci, vector);
        return;
    }
    v->isr |= config ? ISR_CONFIG | ISR_QUEUE : ISR_QUEUE;
    pci_set_intx(&v->pci, true);
}

static bool pci_dma_allowed(VirtioDevice *v)
{
    return pci_bus_master(&v->pci);
}

static const VirtioTransport pci_transport = { .notify = pci_notify, .dma_allowed = pci_dma_allowed };

static uint8_t isr_read(VirtioDevice *v)
{
    uint8_t isr = v->isr;
    v->isr = 0;
    pci_set_intx(&v->pci, false);
    return isr;
}

/* A vector that does not exist reads back as "none" (4.1.5.1.2). */
static uint16_t checked_vector(VirtioDevice *v, uint64_t val)
{
    return val < v->pci.msix_n ? (uint16_t)val : VIRTIO_NO_VECTOR;
}

static VirtQueue *selected(VirtioDevice *v)
{
    return v->queue_sel < v->n_queues ? &v->vq[v->queue_sel] : NULL;
}

/* ---- common configuration ---- */

/* The features of one 32-bit half. NOTIFY_ON_EMPTY and ANY_LAYOUT belong to the legacy interface only. */
static uint32_t modern_features(VirtioDevice *v)
{
    uint64_t f = v->host_features & ~(BIT(VIRTIO_F_NOTIFY_ON_EMPTY) | BIT(VIRTIO_F_ANY_LAYOUT));
    return v->device_feature_sel < 2 ? (uint32_t)(f >> 32 * v->device_feature_sel) : 0;
}

static void common_fill(VirtioDevice *v, uint8_t *c)
{
    const VirtQueue *vq = selected(v);
    store_le32(c + VIRTIO_PCI_COMMON_DFSELECT, v->device_feature_sel);
    store_le32(c + VIRTIO_PCI_COMMON_DF, modern_features(v));
    store_le32(c + VIRTIO_PCI_COMMON_GFSELECT, v->driver_feature_sel);
    store_le32(c + VIRTIO_PCI_COMMON_GF, v->driver_feature_sel < 2 ? (uint32_t)(v->driver_features >> 32 * v->driver_feature_sel) : 0);
    store_le16(c + VIRTIO_PCI_COMMON_MSIX, v->config_vector);
    store_le16(c + VIRTIO_PCI_COMMON_NUMQ, (uint16_t)v->n_queues);
    c[VIRTIO_PCI_COMMON_STATUS] = virtio_status(v);
    c[VIRTIO_PCI_COMMON_CFGGENERATION] = v->config_generation;
    store_le16(c + VIRTIO_PCI_COMMON_Q_SELECT, v->queue_sel);
    if (!vq)
        return;
    store_le16(c + VIRTIO_PCI_COMMON_Q_SIZE, vq->num);
    store_le16(c + VIRTIO_PCI_COMMON_Q_MSIX, vq->vector);
    store_le16(c + VIRTIO_PCI_COMMON_Q_ENABLE, vq->ready);
    store_le16(c + VIRTIO_PCI_COMMON_Q_NOFF, vq->index);
    store_le64(c + VIRTIO_PCI_COMMON_Q_DESCLO, vq->desc);
    store_le64(c + VIRTIO_PCI_COMMON_Q_AVAILLO, vq->avail);
    store_le64(c + VIRTIO_PCI_COMMON_Q_USEDLO, vq->used);
}

static uint32_t common_read(VirtioDevice *v, unsigned off, unsigned size)
{
    uint8_t c[64] = { 0 };
    if (!range_inside(off, size, sizeof(c)))
        return 0;
    common_fill(v, c);
    return (uint32_t)load_le(c + off, size);
}

static void queue_write(VirtioDevice *v, unsigned off, uint32_t val)
{
    VirtQueue *vq = selected(v);
    if (!vq)
        return;
    if (off == VIRTIO_PCI_COMMON_Q_MSIX) {
        vq->vector = checked_vector(v, val);
        return;
    }
    if (vq->ready)      /* the rest must not change under a live queue (4.1.4.3.2) */
        return;
    switch (off) {
    case VIRTIO_PCI_COMMON_Q_SIZE:
        if (virtq_size_ok(vq, val & 0xffff))
            vq->num = (uint16_t)val;
        break;
    case VIRTIO_PCI_COMMON_Q_ENABLE:
        if (val == 1)
            virtq_enable(vq);
        break;
    case VIRTIO_PCI_COMMON_Q_DESCLO:
    case VIRTIO_PCI_COMMON_Q_DESCHI:
        vq->desc = bits_put(vq->desc, off == VIRTIO_PCI_COMMON_Q_DESCHI ? 32 : 0, 32, val);
        break;
    case VIRTIO_PCI_COMMON_Q_AVAILLO:
    case VIRTIO_PCI_COMMON_Q_AVAILHI:
        vq->avail = bits_put(vq->avail, off == VIRTIO_PCI_COMMON_Q_AVAILHI ? 32 : 0, 32, val);
        break;
    case VIRTIO_PCI_COMMON_Q_USEDLO:
    case VIRTIO_PCI_COMMON_Q_USEDHI:
        vq->used = bits_put(vq->used, off == VIRTIO_PCI_COMMON_Q_USEDHI ? 32 : 0, 32, val);
        break;
    default:
        break;
    }
}

static void set_status(VirtioDevice *v, uint8_t status)
{
    virtio_set_status(v, status);
    if (status == 0)
        pci_set_intx(&v->pci, false);
}

static void common_write(VirtioDevice *v, unsigned off, uint32_t val, unsigned size)
{
    switch (off) {
    case VIRTIO_PCI_COMMON_DFSELECT:
        v->device_feature_sel = val;
        break;
    case VIRTIO_PCI_COMMON_GFSELECT:
        v->driver_feature_sel = val;
        break;
    case VIRTIO_PCI_COMMON_GF:
        if (v->driver_feature_sel < 2)
            virtio_set_driver_features(v, bits_put(v->driver_features, 32 * v->driver_feature_sel, 32, val), false);
        break;
    case VIRTIO_PCI_COMMON_MSIX:
        v->config_vector = checked_vector(v, val & 0xffff);
        break;
    case VIRTIO_PCI_COMMON_STATUS:
        set_status(v, (uint8_t)val);
        break;
    case VIRTIO_PCI_COMMON_Q_SELECT:
        v->queue_sel = (uint16_t)val;
        break;
    default:
        queue_write(v, off, val);
        break;
    }
}

/* ---- BAR 4 ---- */

static uint64_t modern_read(void *opaque, uint64_t off, unsigned size)
{
    VirtioDevice *v = opaque;
    unsigned in = off % AREA_SIZE;
    switch (off / AREA_SIZE) {
    case AREA_COMMON:
        return common_read(v, in, size);
    case AREA_ISR:
        return in == 0 ? isr_read(v) : 0;
    case AREA_DEVICE:
        return virtio_config_read(v, in, size);
    default:
        return 0;
    }
}

static void modern_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    VirtioDevice *v = opaque;
    unsigned in = off % AREA_SIZE;
    switch (off / AREA_SIZE) {
    case AREA_COMMON:
        common_write(v, in, (uint32_t)val, size);
        break;
    case AREA_DEVICE:
        virtio_config_write(v, in, (uint32_t)val, size);
        break;
    case AREA_NOTIFY:
        virtio_kick(v, in / NOTIFY_MULT);
        break;
    default:
        break;
    }
}

static const MmioOps modern_ops = { .read = modern_read, .write = modern_write, .min_size = 1, .max_size = 4 };

/* ---- BAR 0, the legacy interface (4.1.4.8) ---- */

static unsigned legacy_config_off(const VirtioDevice *v)
{
    return VIRTIO_PCI_CONFIG_OFF(pci_msix_enabled(&v->pci));
}

static uint64_t legacy_read(void *opaque, uint64_t off, unsigned size)
{
    VirtioDevice *v = opaque;
    const VirtQueue *vq = selected(v);
    if (off >= legacy_config_off(v))
        return virtio_config_read(v, (unsigned)off - legacy_config_off(v), size);
    switch (off) {
    case VIRTIO_PCI_HOST_FEATURES:
        return (uint32_t)v->host_features;
    case VIRTIO_PCI_GUEST_FEATURES:
        return (uint32_t)v->driver_features;
    case VIRTIO_PCI_QUEUE_PFN:
        return vq ? vq->desc >> VIRTIO_PCI_QUEUE_ADDR_SHIFT : 0;
    case VIRTIO_PCI_QUEUE_NUM:
        return vq ? vq->num_max : 0;
    case VIRTIO_PCI_QUEUE_SEL:
        return v->queue_sel;
    case VIRTIO_PCI_STATUS:
        return virtio_status(v);
    case VIRTIO_PCI_ISR:
        return isr_read(v);
    case VIRTIO_MSI_CONFIG_VECTOR:
        return v->config_vector;
    case VIRTIO_MSI_QUEUE_VECTOR:
        return vq ? vq->vector : VIRTIO_NO_VECTOR;
    default:
        return bits_mask(8 * size);
    }
}

static void legacy_set_pfn(VirtQueue *vq, uint32_t pfn)
{
    uint16_t vector = vq->vector;
    if (pfn == 0) {
        virtq_reset(vq);
        return;
    }
    virtq_reset(vq);
    vq->vector = vector;
    vq->num = vq->num_max;
    vq->desc = (uint64_t)pfn << VIRTIO_PCI_QUEUE_ADDR_SHIFT;
    vq->avail = vq->desc + sizeof(VirtqDesc) * vq->num;
    vq->used = align_up(vq->avail + 4 + 2 * (uint64_t)vq->num + 2, VIRTIO_PCI_VRING_ALIGN);
    virtq_enable(vq);
}

static void legacy_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    VirtioDevice *v = opaque;
    VirtQueue *vq = selected(v);
    if (off >= legacy_config_off(v)) {
        virtio_config_write(v, (unsigned)off - legacy_config_off(v), (uint32_t)val, size);
        return;
    }
    switch (off) {
    case VIRTIO_PCI_GUEST_FEATURES:
        virtio_set_driver_features(v, (uint32_t)val, true);
        break;
    case VIRTIO_PCI_QUEUE_PFN:
        if (vq)
            legacy_set_pfn(vq, (uint32_t)val);
        break;
    case VIRTIO_PCI_QUEUE_SEL:
        v->queue_sel = (uint16_t)val;
        break;
    case VIRTIO_PCI_QUEUE_NOTIFY:
        virtio_kick(v, (uint16_t)val);
        break;
    case VIRTIO_PCI_STATUS:
        set_status(v, (uint8_t)val);
        break;
    case VIRTIO_MSI_CONFIG_VECTOR:
        v->config_vector = checked_vector(v, val & 0xffff);
        break;
    case VIRTIO_MSI_QUEUE_VECTOR:
        if (vq)
            vq->vector = checked_vector(v, val & 0xffff);
        break;
    default:
        break;
    }
}

static const MmioOps legacy_ops = { .read = legacy_read, .write = legacy_write, .min_size = 1, .max_size = 4, .unaligned = true };

/* ---- the window into BAR 4 in config space (4.1.4.9) ---- */

static bool window_target(VirtioDevice *v, uint32_t *ret_off, unsigned *ret_size)
{
    const uint8_t *cap = &v->pci.config[v->pci_cfg_cap];
    uint32_t off = load_le32(cap + VIRTIO_PCI_CAP_OFFSET), len = load_le32(cap + VIRTIO_PCI_CAP_LENGTH);
    if (cap[VIRTIO_PCI_CAP_BAR] != MODERN_BAR || (len != 1 && len != 2 && len != 4) || off % len || !range_inside(off, len, N_AREAS * AREA_SIZE))
        return false;
    *ret_off = off;
    *ret_size = len;
    return true;
}

static bool window_touched(VirtioDevice *v, unsigned off, unsigned len)
{
    unsigned data = v->pci_cfg_cap + (unsigned)sizeof(struct virtio_pci_cap);
    return v->pci_cfg_cap && off < data + 4 && off + len > data;
}

void virtio_pci_config_reading(PciDevice *pci, unsigned off, unsigned len)
{
    VirtioDevice *v = from_pci(pci);
    uint32_t at;
    unsigned size;
    if (window_touched(v, off, len) && window_target(v, &at, &size))
        store_le(&pci->config[v->pci_cfg_cap + sizeof(struct virtio_pci_cap)], size, modern_read(v, at, size));
}

void virtio_pci_config_written(PciDevice *pci, unsigned off, unsigned len)
{
    VirtioDevice *v = from_pci(pci);
    uint32_t at;
    unsigned size;
    if (window_touched(v, off, len) && window_target(v, &at, &size))
        modern_write(v, at, load_le(&pci->config[v->pci_cfg_cap + sizeof(struct virtio_pci_cap)], size), size);
}

/* ---- life ---- */

static void add_vendor_cap(VirtioDevice *v, uint8_t type, uint32_t area, uint32_t size)
{
    unsigned extra = type == VIRTIO_PCI_CAP_NOTIFY_CFG || type == VIRTIO_PCI_CAP_PCI_CFG ? 4 : 0;
    unsigned len = (unsigned)sizeof(struct virtio_pci_cap) + extra;
    unsigned cap = pci_add_cap(&v->pci, PCI_CAP_ID_VNDR, len);
    pci_config_set(&v->pci, cap + VIRTIO_PCI_CAP_LEN, len, 1);
    pci_config_set(&v->pci, cap + VIRTIO_PCI_CAP_CFG_TYPE, type, 1);
    if (type == VIRTIO_PCI_CAP_PCI_CFG) {
        pci_set_wmask(&v->pci, cap + VIRTIO_PCI_CAP_BAR, 0xff, 1);
        pci_set_wmask(&v->pci, cap + VIRTIO_PCI_CAP_OFFSET, UINT32_MAX, 4);
        pci_set_wmask(&v->pci, cap + VIRTIO_PCI_CAP_LENGTH, UINT32_MAX, 4);
        pci_set_wmask(&v->pci, cap + (unsigned)sizeof(struct virtio_pci_cap), UINT32_MAX, 4);
        v->pci_cfg_cap = (uint8_t)cap;
        return;
    }
    pci_config_set(&v->pci, cap + VIRTIO_PCI_CAP_BAR, MODERN_BAR, 1);
    pci_config_set(&v->pci, cap + VIRTIO_PCI_CAP_OFFSET, area * AREA_SIZE, 4);
    pci_config_set(&v->pci, cap + VIRTIO_PCI_CAP_LENGTH, size, 4);
    if (type == VIRTIO_PCI_CAP_NOTIFY_CFG)
        pci_config_set(&v->pci, cap + VIRTIO_PCI_NOTIFY_CAP_MULT, NOTIFY_MULT, 4);
}

static void add_doorbells(VirtioDevice *v)
{
    for (unsigned i = 0; i < v->n_queues; i++) {
        VirtQueue *vq = &v->vq[i];
        Doorbell d = { .offset = AREA_NOTIFY * AREA_SIZE + i * NOTIFY_MULT, .size = 2, .fd = vq->event_fd, .ring = virtq_ring, .opaque = vq };
        if (vq->event_fd < 0)
            continue;
        if (!v->opt_no_modern)
            mem_region_add_doorbell(v->bar_modern, &d);
        if (!v->opt_no_legacy) {
            d.offset = VIRTIO_PCI_QUEUE_NOTIFY;
            d.match = true;
            d.value = i;
            mem_region_add_doorbell(v->bar_legacy, &d);
        }
    }
}

static void add_bars(VirtioDevice *v)
{
    MemSystem *ms = device_mem(&v->dev);
    unsigned vectors = v->opt_vectors ? MIN(v->opt_vectors, 128u) : v->n_queues + 1;
    if (!v->opt_no_legacy) {
        uint64_t size = 32;
        while (size < 24 + v->type->config_size)
            size *= 2;
        v->bar_legacy = mem_region_new_mmio(ms, "virtio-legacy", &legacy_ops, v, size, v->dev.lock);
        pci_add_bar(&v->pci, LEGACY_BAR, PCI_BAR_IO, false, v->bar_legacy);
    }
    v->bar_msix = mem_region_new_container(ms, "virtio-msix", MSIX_BAR_SIZE);
    pci_add_msix(&v->pci, vectors, MSIX_BAR, v->bar_msix, 0, MSIX_PBA_OFF);
    pci_add_bar(&v->pci, MSIX_BAR, PCI_BAR_MEM32, false, v->bar_msix);
    if (!v->opt_no_modern) {
        v->bar_modern = mem_region_new_mmio(ms, "virtio-modern", &modern_ops, v, N_AREAS * AREA_SIZE, v->dev.lock);
        pci_add_bar(&v->pci, MODERN_BAR, PCI_BAR_MEM64, true, v->bar_modern);
        add_vendor_cap(v, VIRTIO_PCI_CAP_COMMON_CFG, AREA_COMMON, 64);
        add_vendor_cap(v, VIRTIO_PCI_CAP_ISR_CFG, AREA_ISR, 1);
        if (v->type->config_size)
            add_vendor_cap(v, VIRTIO_PCI_CAP_DEVICE_CFG, AREA_DEVICE, v->type->config_size);
        add_vendor_cap(v, VIRTIO_PCI_CAP_NOTIFY_CFG, AREA_NOTIFY, v->n_queues * NOTIFY_MULT);
        add_vendor_cap(v, VIRTIO_PCI_CAP_PCI_CFG, 0, 0);
    }
    add_doorbells(v);
}

/* Transitional ids of the types that existed before virtio 1; newer types have no legacy interface (4.1.2). */
static uint16_t transitional_id(uint16_t type)
{
    static const uint16_t ids[] = { [1] = 0x1000, [2] = 0x1001, [3] = 0x1003, [4] = 0x1005, [5] = 0x1002, [8] = 0x1004, [9] = 0x1009 };
    return type < ARRAY_LEN(ids) ? ids[type] : 0;
}

static void set_identity(VirtioDevice *v)
{
    uint16_t id = v->type->id;
    bool legacy = !v->opt_no_legacy;
    pci_config_set(&v->pci, PCI_DEVICE_ID, legacy ? transitional_id(id) : 0x1040u + id, 2);
    pci_config_set(&v->pci, PCI_REVISION_ID, legacy ? 0 : 1, 1);
    pci_config_set(&v->pci, PCI_SUBSYSTEM_VENDOR_ID, 0x1af4, 2);
    pci_config_set(&v->pci, PCI_SUBSYSTEM_ID, legacy ? id : 0x1100, 2);
}

bool virtio_pci_realize(Device *dev, GError **err)
{
    VirtioDevice *v = CONTAINER_OF(dev, VirtioDevice, dev);
    const VirtioPciClass *k = (const VirtioPciClass *)dev->klass;
    if (!transitional_id(k->type->id))
        v->opt_no_legacy = true;
    if (v->opt_no_legacy && v->opt_no_modern) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "a virtio device needs one interface: drop disable-legacy or disable-modern");
        return false;
    }
    if (!virtio_init(v, k->type, &pci_transport, err))
        return false;
    if (v->opt_no_modern)
        v->host_features &= UINT32_MAX;
    set_identity(v);
    add_bars(v);
    return true;
}

/* BARs themselves belong to the bus. */
void virtio_pci_unrealize(Device *dev)
{
    virtio_fini(CONTAINER_OF(dev, VirtioDevice, dev));
}

void virtio_pci_reset(PciDevice *pci)
{
    VirtioDevice *v = from_pci(pci);
    virtio_reset(v);
    v->resetting = false;
}

bool virtio_pci_post_load(Device *dev, unsigned version, GError **err)
{
    VirtioDevice *v = CONTAINER_OF(dev, VirtioDevice, dev);
    v->config_vector = checked_vector(v, v->config_vector);
    for (unsigned i = 0; i < v->n_queues; i++)
        v->vq[i].vector = checked_vector(v, v->vq[i].vector);
    return virtio_post_load(dev, version, err);
}

const DeviceSection virtio_pci_base_state[] = {
    PCI_BASE_SECTIONS,
    { .name = "virtio", .version = 1, .min_version = 1, .fields = virtio_fields, .post_load = virtio_pci_post_load },
    { 0 }
};
