/* Conventional PCI: bus, configuration space, BARs, INTx. PCI Local Bus Specification 3.0, chapter 6. */
#include "hw/pci/pci.h"

#include <linux/pci_regs.h>
#include <string.h>

#include "hw/pci/pci-internal.h"
#include "util/bits.h"

#define BAR_UNMAPPED UINT64_MAX

static PciDevice *pci_device(Device *dev)
{
    return (PciDevice *)dev;
}

static const PciDeviceClass *pci_class(const PciDevice *pci)
{
    return (const PciDeviceClass *)pci->dev.klass;
}

/* ---- config space helpers ---- */

void pci_config_set(PciDevice *pci, unsigned off, uint32_t val, unsigned size)
{
    g_assert(range_inside(off, size, PCI_CONFIG_SIZE) && size <= 4);
    store_le(&pci->config[off], size, val);
}

uint32_t pci_config_get(const PciDevice *pci, unsigned off, unsigned size)
{
    g_assert(range_inside(off, size, PCI_CONFIG_SIZE) && size <= 4);
    return (uint32_t)load_le(&pci->config[off], size);
}

void pci_set_wmask(PciDevice *pci, unsigned off, uint32_t mask, unsigned size)
{
    g_assert(range_inside(off, size, PCI_CONFIG_SIZE) && size <= 4);
    store_le(&pci->wmask[off], size, mask);
}

unsigned pci_add_cap(PciDevice *pci, uint8_t id, unsigned len)
{
    unsigned off = (pci->caps_end + 3u) & ~3u;
    g_assert(range_inside(off, len, PCI_CONFIG_SIZE) && len >= 2);
    memset(&pci->config[off], 0, len);
    memset(&pci->wmask[off], 0, len);
    pci->config[off] = id;
    /* Appended, so that drivers find them in the order of adding. */
    unsigned link = PCI_CAPABILITY_LIST;
    while (pci->config[link])
        link = pci->config[link] + PCI_CAP_LIST_NEXT;
    pci->config[link] = (uint8_t)off;
    pci->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
    pci->caps_end = (uint16_t)(off + len);
    return off;
}

bool pci_bus_master(const PciDevice *pci)
{
    return pci->config[PCI_COMMAND] & PCI_COMMAND_MASTER;
}

static void config_init(PciDevice *pci)
{
    const PciDeviceClass *k = pci_class(pci);
    memset(pci->config, 0, sizeof(pci->config));
    store_le16(&pci->config[PCI_VENDOR_ID], k->vendor);
    store_le16(&pci->config[PCI_DEVICE_ID], k->device);
    store_le16(&pci->config[PCI_SUBSYSTEM_VENDOR_ID], k->sub_vendor);
    store_le16(&pci->config[PCI_SUBSYSTEM_ID], k->sub_device);
    store_le32(&pci->config[PCI_CLASS_REVISION], k->class_code << 8 | k->revision);
    /* Bit 7 of the header type: multifunction (6.2.1). */
    if (k->multifunction || pci->multifunction_prop)
        pci->config[PCI_HEADER_TYPE] |= 0x80;
    pci->config[PCI_INTERRUPT_PIN] = k->int_pin;
    pci_set_wmask(pci, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY |
                  PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE, 2);
    store_le16(&pci->w1c[PCI_STATUS], 0xf900);
    pci->wmask[PCI_CACHE_LINE_SIZE] = 0xff;
    pci->wmask[PCI_LATENCY_TIMER] = 0xf8;
    pci->wmask[PCI_INTERRUPT_LINE] = k->int_pin ? 0xff : 0;
    pci->caps_end = 0x40;
    for (unsigned i = 0; i < PCI_BARS; i++)
        pci->bar[i].addr = BAR_UNMAPPED;
}

/* ---- BARs ---- */

static unsigned bar_offset(unsigned n)
{
    return n == PCI_ROM_BAR ? PCI_ROM_ADDRESS : PCI_BASE_ADDRESS_0 + 4 * n;
}

void pci_add_bar(PciDevice *pci, unsigned n, PciBarType type, bool prefetch, MemRegion *mr)
{
    uint64_t size = mem_region_size(mr);
    unsigned off = bar_offset(n);
    g_assert(n < PCI_BARS && pci->bar[n].type == PCI_BAR_NONE && is_pow2(size));
    g_assert(size >= (type == PCI_BAR_IO ? 4 : 16) && (type == PCI_BAR_MEM64 ? n < 5 : size <= BIT(31)));
    pci->bar[n] = (PciBar){ .type = type, .prefetch = prefetch, .mr = mr, .size = size, .addr = BAR_UNMAPPED };
    uint32_t flags = type == PCI_BAR_IO ? PCI_BASE_ADDRESS_SPACE_IO : prefetch ? PCI_BASE_ADDRESS_MEM_PREFETCH : 0;
    uint64_t mask = ~(size - 1);
    if (n == PCI_ROM_BAR) {
        flags = 0;
        mask |= PCI_ROM_ADDRESS_ENABLE;
    }
    if (type == PCI_BAR_MEM64) {
        flags |= PCI_BASE_ADDRESS_MEM_TYPE_64;
        pci_set_wmask(pci, off + 4, (uint32_t)(mask >> 32), 4);
    }
    pci_config_set(pci, off, flags, 4);
    pci_set_wmask(pci, off, (uint32_t)mask, 4);
}

/* Where the guest wants BAR @n, BAR_UNMAPPED if nowhere. Addresses as they stand while a driver sizes the BAR count as nowhere. */
static uint64_t bar_wanted(const PciDevice *pci, unsigned n)
{
    const PciBar *b = &pci->bar[n];
    uint16_t cmd = load_le16(&pci->config[PCI_COMMAND]);
    uint32_t lo = load_le32(&pci->config[bar_offset(n)]);
    uint64_t limit = b->type == PCI_BAR_IO ? 0xffff : UINT32_MAX;
    if (!pci->plugged || !(cmd & (b->type == PCI_BAR_IO ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)))
        return BAR_UNMAPPED;
    if (n == PCI_ROM_BAR && !(lo & PCI_ROM_ADDRESS_ENABLE))
        return BAR_UNMAPPED;
    uint64_t addr = lo & ~(b->size - 1);
    if (b->type == PCI_BAR_MEM64) {
        addr |= (uint64_t)load_le32(&pci->config[bar_offset(n) + 4]) << 32;
        if (addr >> 32)
            limit = INT64_MAX;
    }
    addr &= ~(b->size - 1);
    bool nowhere = addr == 0 && !(b->type == PCI_BAR_IO && pci_device_bus(pci)->cfg.io_at_0);
    if (nowhere || addr > limit || b->size - 1 >= limit - addr)
        return BAR_UNMAPPED;
    return addr;
}

static void update_bars(PciDevice *pci)
{
    PciBus *bus = pci_device_bus(pci);
    for (unsigned n = 0; n < PCI_BARS; n++) {
        PciBar *b = &pci->bar[n];
        if (b->type == PCI_BAR_NONE)
            continue;
        uint64_t addr = bar_wanted(pci, n);
        if (addr == b->addr)
            continue;
        if (b->addr != BAR_UNMAPPED)
            mem_region_remove(b->mr);
        b->addr = addr;
        if (addr != BAR_UNMAPPED)
            mem_region_add(b->type == PCI_BAR_IO ? bus->cfg.io : bus->cfg.mem, addr, b->mr, 1);
    }
}

/* ---- INTx ---- */

void pci_update_intx(PciDevice *pci)
{
    uint16_t cmd = load_le16(&pci->config[PCI_COMMAND]);
    uint8_t *status = &pci->config[PCI_STATUS];
    *status = (uint8_t)((*status & ~PCI_STATUS_INTERRUPT) | (pci->intx ? PCI_STATUS_INTERRUPT : 0));
    irq_set(pci->intx_irq, pci->intx && !(cmd & PCI_COMMAND_INTX_DISABLE) && !pci_msi_any_enabled(pci));
}

void pci_set_intx(PciDevice *pci, bool level)
{
    if (pci->intx == level)
        return;
    pci->intx = level;
    pci_update_intx(pci);
}

static void connect_intx(PciDevice *pci)
{
    PciBus *bus = pci_device_bus(pci);
    unsigned slot = pci->devfn >> 3, pin = pci_class(pci)->int_pin;
    if (!pin || !pci->intx_irq)
        return;
    unsigned line = bus->cfg.map_intx ? bus->cfg.map_intx(slot, pin - 1) : slot + pin - 1;
    irq_connect(pci->intx_irq, bus->intx[line & 3]);
}

/* ---- accesses; the device's lock is held ---- */

static bool overlaps(unsigned off, unsigned len, unsigned start, unsigned n)
{
    return off < start + n && start < off + len;
}

static uint32_t config_read_locked(PciDevice *pci, unsigned off, unsigned size)
{
    const PciDeviceClass *k = pci_class(pci);
    if (k->config_reading)
        k->config_reading(pci, off, size);
    return (uint32_t)load_le(&pci->config[off], size);
}

static void config_write_locked(PciDevice *pci, unsigned off, uint32_t val, unsigned size)
{
    const PciDeviceClass *k = pci_class(pci);
    for (unsigned i = 0; i < size; i++) {
        uint8_t v = (uint8_t)(val >> 8 * i), *c = &pci->config[off + i], w = pci->wmask[off + i];
        *c = (uint8_t)((*c & ~w) | (v & w));
        *c &= (uint8_t)~(v & pci->w1c[off + i]);
    }
    if (overlaps(off, size, PCI_COMMAND, 2) || overlaps(off, size, PCI_BASE_ADDRESS_0, 24) || overlaps(off, size, PCI_ROM_ADDRESS, 4))
        update_bars(pci);
    pci_msi_config_written(pci, off, size);
    pci_update_intx(pci);
    if (k->config_written)
        k->config_written(pci, off, size);
}

/* The device at @devfn with its lock held, or NULL. */
static PciDevice *enter_device(PciBus *b, uint8_t devfn, DevLock **ret_lock)
{
    g_mutex_lock(&b->lock);
    PciDevice *pci = b->devs[devfn];
    DevLock *lock = pci ? devlock_ref(pci->dev.lock) : NULL;
    g_mutex_unlock(&b->lock);
    if (!pci)
        return NULL;
    if (!devlock_enter(lock)) {
        devlock_unref(lock);
        return NULL;
    }
    *ret_lock = lock;
    return pci;
}

static bool config_access_ok(unsigned off, unsigned size)
{
    return (size == 1 || size == 2 || size == 4) && range_inside(off, size, PCI_CONFIG_SIZE) && (off & 3) + size <= 4;
}

uint32_t pci_bus_config_read(PciBus *b, uint8_t devfn, unsigned off, unsigned size)
{
    DevLock *lock;
    PciDevice *pci = config_access_ok(off, size) ? enter_device(b, devfn, &lock) : NULL;
    if (!pci)
        return (uint32_t)bits_mask(8 * size);
    uint32_t val = config_read_locked(pci, off, size);
    devlock_leave(lock);
    devlock_unref(lock);
    return val;
}

void pci_bus_config_write(PciBus *b, uint8_t devfn, unsigned off, uint32_t val, unsigned size)
{
    DevLock *lock;
    PciDevice *pci = config_access_ok(off, size) ? enter_device(b, devfn, &lock) : NULL;
    if (!pci)
        return;
    config_write_locked(pci, off, val, size);
    devlock_leave(lock);
    devlock_unref(lock);
}

PciDevice *pci_bus_device(PciBus *b, uint8_t devfn)
{
    return b->devs[devfn];
}

MemResult pci_dma_read(PciDevice *pci, GuestAddr addr, void *buf, size_t len)
{
    return pci_bus_master(pci) ? as_dma_read(pci->dev.dma, addr, buf, len) : MEM_ACCESS_ERROR;
}

MemResult pci_dma_write(PciDevice *pci, GuestAddr addr, const void *buf, size_t len)
{
    return pci_bus_master(pci) ? as_dma_write(pci->dev.dma, addr, buf, len) : MEM_ACCESS_ERROR;
}

/* ---- life ---- */

static bool parse_addr(const char *text, unsigned *ret_slot, unsigned *ret_fn)
{
    char *end;
    guint64 slot = g_ascii_strtoull(text, &end, 16), fn = 0;
    if (end == text)
        return false;
    if (*end == '.') {
        const char *p = end + 1;
        fn = g_ascii_strtoull(p, &end, 16);
        if (end == p)
            return false;
    }
    if (*end || slot >= PCI_SLOTS || fn >= PCI_FUNCS)
        return false;
    *ret_slot = (unsigned)slot;
    *ret_fn = (unsigned)fn;
    return true;
}

static bool find_devfn(PciBus *b, PciDevice *pci, GError **err)
{
    unsigned slot, fn = 0;
    if (pci->addr_prop) {
        if (!parse_addr(pci->addr_prop, &slot, &fn)) {
            g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "bad PCI address '%s': use SLOT or SLOT.FUNCTION in hexadecimal, 0.0 to 1f.7",
                        pci->addr_prop);
            return false;
        }
        if (b->devs[PCI_DEVFN(slot, fn)]) {
            g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_EXIST, "PCI address %02x.%u is taken by '%s': choose another addr=", slot, fn,
                        b->devs[PCI_DEVFN(slot, fn)]->dev.id);
            return false;
        }
        pci->devfn = PCI_DEVFN(slot, fn);
        return true;
    }
    for (slot = b->cfg.first_slot; slot < PCI_SLOTS; slot++) {
        bool used = false;
        for (fn = 0; fn < PCI_FUNCS; fn++)
            used |= b->devs[PCI_DEVFN(slot, fn)] != NULL;
        if (!used) {
            pci->devfn = PCI_DEVFN(slot, 0);
            return true;
        }
    }
    g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_NOSPC, "no free slot on bus '%s'", b->bus.name);
    return false;
}

static bool bus_attach(Bus *bus, Device *dev, GError **err)
{
    PciBus *b = (PciBus *)bus;
    PciDevice *pci = pci_device(dev);
    if (!find_devfn(b, pci, err))
        return false;
    config_init(pci);
    if (pci_class(pci)->int_pin)
        pci->intx_irq = irq_new();
    if (b->cfg.dma)
        dev->dma = b->cfg.dma;
    return true;
}

static void bus_plug(Bus *bus, Device *dev)
{
    PciBus *b = (PciBus *)bus;
    PciDevice *pci = pci_device(dev);
    if (!pci->have_reset_config) {
        memcpy(pci->reset_config, pci->config, sizeof(pci->config));
        pci->have_reset_config = true;
    }
    connect_intx(pci);
    pci->plugged = true;
    g_mutex_lock(&b->lock);
    b->devs[pci->devfn] = pci;
    g_mutex_unlock(&b->lock);
}

static void bus_unplug(Bus *bus, Device *dev)
{
    PciBus *b = (PciBus *)bus;
    PciDevice *pci = pci_device(dev);
    g_mutex_lock(&b->lock);
    if (b->devs[pci->devfn] == pci)
        b->devs[pci->devfn] = NULL;
    g_mutex_unlock(&b->lock);
    pci->plugged = false;
    update_bars(pci);
    for (unsigned n = 0; n < PCI_BARS; n++)
        if (pci->bar[n].mr)
            mem_region_clear_doorbells(pci->bar[n].mr);
    irq_set(pci->intx_irq, false);
}

static void bus_detach(Bus *bus, Device *dev)
{
    PciDevice *pci = pci_device(dev);
    pci_msi_clear(pci);
    for (unsigned n = 0; n < PCI_BARS; n++) {
        if (pci->bar[n].mr)
            mem_region_unref(pci->bar[n].mr);
        pci->bar[n] = (PciBar){ .addr = BAR_UNMAPPED };
    }
    if (pci->intx_irq)
        irq_free(pci->intx_irq);
    pci->intx_irq = NULL;
    pci->have_reset_config = false;
}

static const PropDesc pci_bus_props[] = {
    PROP(PciDevice, addr_prop, PROP_STR, "addr", .help = "slot or slot.function on the bus, hexadecimal (default: next free slot)"),
    PROP(PciDevice, multifunction_prop, PROP_BOOL, "multifunction", .help = "function 0 announces further functions"),
    { 0 }
};

const BusOps pci_bus_ops = {
    .kind = BUS_PCI,
    .attach = bus_attach, .plug = bus_plug, .unplug = bus_unplug, .detach = bus_detach,
    .props = pci_bus_props,
};

void pci_bus_init(PciBus *b, const PciBusConfig *cfg, Device *parent, Machine *m)
{
    b->cfg = *cfg;
    g_mutex_init(&b->lock);
    bus_init(&b->bus, &pci_bus_ops, cfg->name, parent, m);
}

void pci_bus_clear(PciBus *b)
{
    bus_clear(&b->bus);
    g_mutex_clear(&b->lock);
}

void pci_bus_set_intx(PciBus *b, IrqWire *const wires[4])
{
    memcpy(b->intx, wires, sizeof(b->intx));
    for (unsigned i = 0; i < ARRAY_LEN(b->devs); i++)
        if (b->devs[i])
            connect_intx(b->devs[i]);
}

/* The secondary bus' RST#: config space as after realize, nothing decoded, no interrupt. */
void pci_device_reset(Device *dev)
{
    PciDevice *pci = pci_device(dev);
    if (pci->have_reset_config)
        memcpy(pci->config, pci->reset_config, sizeof(pci->config));
    else
        memcpy(pci->reset_config, pci->config, sizeof(pci->config));
    pci->have_reset_config = true;
    update_bars(pci);
    pci_msi_reset(pci);
    pci->intx = false;
    pci_update_intx(pci);
    if (pci_class(pci)->reset)
        pci_class(pci)->reset(pci);
}

/* ---- saved state ---- */

/* Only what the guest may write is taken from the stream: capabilities, BAR types and ids stay ours. */
bool pci_post_load(Device *dev, unsigned version, GError **err)
{
    PciDevice *pci = pci_device(dev);
    for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++) {
        uint8_t w = pci->wmask[i] | pci->w1c[i];
        if (pci->msi_cap && i >= pci->msi_cap + (unsigned)PCI_MSI_PENDING_64 && i < pci->msi_cap + PCI_MSI_PENDING_64 + 4u)
            w = 0xff;
        pci->config[i] = (uint8_t)((pci->reset_config[i] & ~w) | (pci->config[i] & w));
    }
    update_bars(pci);
    pci_update_intx(pci);
    return true;
}

const FieldDesc pci_fields[] = { FIELD_RAW(PciDevice, config), FIELD(PciDevice, intx), { 0 } };

const DeviceSection pci_base_state[] = {
    PCI_BASE_SECTIONS,
    { 0 }
};
