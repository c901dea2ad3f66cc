#include "tests/device/drive.h"

#include <linux/pci_regs.h>
#include <string.h>

#include "hw/virtio/virtio-mmio.h"
#include "hw/storage/ide.h"
#include "vmm/chardev.h"
#include "vmm/netdev.h"

/* ---- bytes ---- */

static bool more(const DriveBytes *b)
{
    return b->p < b->end || b->rand;
}

static uint8_t next8(DriveBytes *b)
{
    if (b->p < b->end)
        return *b->p++;
    return b->rand ? (uint8_t)g_rand_int(b->rand) : 0;
}

static uint64_t next(DriveBytes *b, unsigned n)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < n; i++)
        v |= (uint64_t)next8(b) << 8 * i;
    return v;
}

/* ---- making the device ---- */

static Device *find_made(Rig *r, const DeviceClass *k)
{
    for (unsigned i = 0; i < 256; i++) {
        PciDevice *pci = pci_bus_device(r->bus, (uint8_t)i);
        if (pci && pci->dev.klass == k)
            return &pci->dev;
    }
    return r->pcihost->klass == k ? r->pcihost : NULL;
}

static ssize_t swallow(void *opaque, const struct iovec *iov, unsigned n_iov, const NetOffload *off)
{
    ssize_t len = 0;
    for (unsigned i = 0; i < n_iov; i++)
        len += (ssize_t)iov[i].iov_len;
    return len;
}

/* A back end of each type that devices can name, all called "x". */
static void add_objects(Rig *r)
{
    static const NetPortOps net = { swallow, NULL, NULL };
    rig_drive(r, "x", 1 << 20, true);
    machine_add_object(r->m, "chardev", "x", chardev_new("x", NULL, NULL), (GDestroyNotify)chardev_free, NULL);
    machine_add_object(r->m, "netdev", "x", netport_new("x", &net, NULL, NULL, false), (GDestroyNotify)netport_free, NULL);
}

static bool set_props(Device *dev, GError **err)
{
    for (const PropDesc *p = dev->klass->props; p && p->type != PROP_END; p++) {
        const char *val = p->type == PROP_REF ? "x" : p->type == PROP_MAC ? "52:54:00:12:34:56" : "1";
        if (p->type == PROP_REF ? !strcmp(p->ref_type, "drive") || !strcmp(p->ref_type, "chardev") || !strcmp(p->ref_type, "netdev")
                                : p->required)
            if (!device_set_prop(dev, p->name, val, err))
                return false;
    }
    return true;
}

/* Buses that no device of the rig provides. */
static const BusOps plain_isa = { .kind = BUS_ISA };

typedef struct PlainBus {
    Bus bus;
} PlainBus;

static void plain_bus_free(void *opaque)
{
    bus_clear(opaque);
    g_free(opaque);
}

static void add_isa_bus(Rig *r)
{
    if (machine_default_bus(r->m, BUS_ISA))
        return;
    Bus *bus = g_new0(Bus, 1);
    bus_init(bus, &plain_isa, "isa.0", NULL, r->m);
    machine_own(r->m, bus, plain_bus_free);
}

static Device *add(Rig *r, const DeviceClass *k, const char *id, const char *drive, const char *bus)
{
    Device *dev = device_new(r->m, k, id, NULL);
    CHECK(dev && (!drive || device_set_prop(dev, "drive", drive, NULL)));
    CHECK(device_realize(dev, bus ? machine_bus(r->m, bus) : NULL, NULL));
    return dev;
}

static bool make(Drive *d, const DeviceClass *k, GError **err)
{
    add_objects(&d->rig);
    add_isa_bus(&d->rig);
    if (k->bus == BUS_VIRTIO)
        virtio_mmio_bus_new(d->rig.m, 0xd8000000, 0x1000, (IrqWire *[VIRTIO_MMIO_SLOTS]){ NULL }, VIRTIO_MMIO_SLOTS);
    if (k->bus == BUS_IDE)
        d->host = add(&d->rig, &piix3_ide_class.dev, "ide", NULL, NULL);
    Device *dev = device_new(d->rig.m, k, "dut", err);
    if (!dev || !set_props(dev, err) || !device_realize(dev, NULL, err)) {
        device_free(dev);
        return false;
    }
    d->dev = dev;
    if (k == &piix3_ide_class.dev) {
        rig_drive(&d->rig, "y", 1 << 20, true);
        d->kids[0] = add(&d->rig, &ide_hd_class, "hd", "x", "ide.0");
        d->kids[1] = add(&d->rig, &ide_cd_class, "cd", "y", "ide.1");
    }
    return true;
}

/* ---- windows ---- */

static void map_plain(Drive *d, Device *dev)
{
    for (unsigned i = 0; i < device_n_mmio(dev); i++) {
        MemRegion *mr = device_mmio(dev, i);
        if (mr && !mem_region_is_mapped(mr))
            mem_region_add(machine_mem_root(d->rig.m), 0xd0000000 + i * 0x1000000ull, mr, 1);
    }
    for (unsigned i = 0; i < device_n_pio(dev); i++) {
        MemRegion *mr = device_pio(dev, i);
        if (mr && !mem_region_is_mapped(mr))
            mem_region_add(machine_io_root(d->rig.m), 0x3000 + i * 0x400, mr, 1);
    }
}

static void map_bars(Drive *d, Device *dev)
{
    PciDevice *pci = (PciDevice *)dev;
    for (unsigned i = 0; i < 6; i++) {
        uint32_t addr = pci->bar[i].type == PCI_BAR_IO ? 0xc000 + i * 0x400 : 0xe0000000 + i * 0x1000000;
        if (pci->bar[i].type != PCI_BAR_NONE)
            rig_cfg_write(&d->rig, pci->devfn, PCI_BASE_ADDRESS_0 + 4 * i, 4, addr);
    }
    rig_cfg_write(&d->rig, pci->devfn, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

/* Everything that answers and is not RAM, of the device and of the rig's own: neighbours get their share. */
static void find_windows(Drive *d)
{
    AddressSpace *spaces[] = { machine_as_mem(d->rig.m), machine_as_io(d->rig.m) };
    for (unsigned s = 0; s < 2; s++) {
        const FlatView *v = as_view(spaces[s]);
        for (unsigned i = 0; i < v->n_rd; i++) {
            DriveWindow w = { spaces[s], v->rd[i].start, MIN(v->rd[i].last - v->rd[i].start + 1, 1u << 20) };
            if (!v->rd[i].ram)
                g_array_append_val(d->windows, w);
        }
    }
}

static void count_edge(void *opaque, unsigned n, bool level)
{
    ((Drive *)opaque)->edges += level;
}

static void connect_outputs(Drive *d)
{
    d->wires = g_new0(IrqWire *, d->dev->n_irq + 1);
    for (unsigned i = 0; i < d->dev->n_irq; i++) {
        if (irq_wire(d->dev->irq[i]))
            continue;
        d->wires[d->n_wires] = irq_wire_new(machine_fabric(d->rig.m), count_edge, d, i);
        irq_connect(d->dev->irq[i], d->wires[d->n_wires++]);
    }
}

bool drive_init(Drive *d, const DeviceClass *k, char **ret_why)
{
    GError *err = NULL;
    memset(d, 0, sizeof(*d));
    d->windows = g_array_new(FALSE, FALSE, sizeof(DriveWindow));
    rig_init(&d->rig);
    mclock_set_manual(machine_clock(d->rig.m));
    d->dev = find_made(&d->rig, k);
    if (!d->dev && !make(d, k, &err)) {
        if (ret_why)
            *ret_why = g_strdup(err ? err->message : "no reason given");
        g_clear_error(&err);
        drive_clear(d);
        return false;
    }
    connect_outputs(d);
    map_plain(d, d->dev);
    if (d->host)
        map_plain(d, d->host);
    rig_settle(&d->rig);
    if (k->bus == BUS_PCI)
        map_bars(d, d->dev);
    if (d->host)
        map_bars(d, d->host);
    find_windows(d);
    rig_run(&d->rig);
    return true;
}

void drive_clear(Drive *d)
{
    rig_settle(&d->rig);
    g_array_free(d->windows, TRUE);
    g_free(d->wires);
    rig_clear(&d->rig);
}

/* ---- operations ---- */

static void access_window(Drive *d, DriveBytes *b, bool write)
{
    if (!d->windows->len)
        return;
    const DriveWindow *w = &g_array_index(d->windows, DriveWindow, next8(b) % d->windows->len);
    unsigned size = 1u << next8(b) % (w->as == machine_as_io(d->rig.m) ? 3 : 4);
    uint64_t off = next(b, w->len > 256 ? 3 : 1) % w->len, v;
    if (write)
        as_store(w->as, w->base + off, size, next(b, size));
    else
        as_load(w->as, w->base + off, size, &v);
}

static void access_config(Drive *d, DriveBytes *b, bool write)
{
    if (d->dev->klass->bus != BUS_PCI)
        return;
    unsigned size = 1u << next8(b) % 3, off = next8(b) & ~(size - 1);
    if (write)
        rig_cfg_write(&d->rig, ((PciDevice *)d->dev)->devfn, off, size, (uint32_t)next(b, size));
    else
        rig_cfg_read(&d->rig, ((PciDevice *)d->dev)->devfn, off, size);
}

/* What a device may fetch: small numbers look like addresses, lengths and flags of its rings. */
static void poke_ram(Drive *d, DriveBytes *b)
{
    uint64_t at = next(b, 2) & ~7ull, n = 8u * (1 + next8(b) % 8);
    for (uint64_t i = 0; i < n; i++)
        d->rig.host[at + i] = next8(b);
}

static void drive_input(Drive *d, DriveBytes *b)
{
    unsigned n = device_n_inputs(d->dev);
    if (!n)
        return;
    IrqWire *w = device_input(d->dev, next8(b) % n);
    Irq *irq = irq_new();
    irq_connect(irq, w);
    irq_set(irq, true);
    irq_free(irq);
}

void drive_run(Drive *d, DriveBytes *b, unsigned n)
{
    for (unsigned i = 0; i < n && more(b); i++) {
        switch (next8(b) % 16) {
        case 0: mclock_advance(machine_clock(d->rig.m), (int64_t)next(b, 3) * 10); break;
        case 1: poke_ram(d, b); break;
        case 2: access_config(d, b, true); break;
        case 3: access_config(d, b, false); break;
        case 4: rig_settle(&d->rig); break;
        case 5: drive_input(d, b); break;
        case 6: if (next8(b) < 4) device_reset(d->dev); break;
        case 7: case 8: case 9: case 10: access_window(d, b, false); break;
        default: access_window(d, b, true); break;
        }
        if (machine_work_pending(d->rig.m))
            machine_flush_work(d->rig.m);
    }
    rig_settle(&d->rig);
}

GByteArray *drive_save(Drive *d)
{
    GByteArray *out = g_byte_array_new();
    rig_settle(&d->rig);
    if (device_save(d->dev, out, NULL))
        return out;
    g_byte_array_unref(out);
    return NULL;
}
