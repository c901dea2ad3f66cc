#include "tests/device/rig.h"

#include <linux/pci_regs.h>
#include <string.h>
#include <unistd.h>

#include "util/bits.h"

extern const DeviceClass *const device_registry[];

static void isa_input(void *opaque, unsigned n, bool level)
{
    Rig *r = opaque;
    r->isa_level = (r->isa_level & ~(1u << n)) | (unsigned)level << n;
}

static void got_msi(void *opaque, uint64_t addr, uint32_t data, uint32_t from)
{
    Rig *r = opaque;
    r->n_msi++;
    r->msi_addr = addr;
    r->msi_data = data;
}

static Device *make(Rig *r, const DeviceClass *k, Bus *bus, const char *addr)
{
    GError *err = NULL;
    Device *d = device_new(r->m, k, NULL, &err);
    CHECK(d);
    if (addr)
        CHECK(device_set_prop(d, "addr", addr, &err));
    if (!device_realize(d, bus, &err)) {
        fprintf(stderr, "%s\n", err->message);
        CHECK(false);
    }
    return d;
}

static void make_chipset(Rig *r)
{
    r->pcihost = device_new(r->m, &i440fx_host_class, NULL, NULL);
    i440fx_host_setup(r->pcihost, &(I440fxSetup){ .machine = r->m, .mem_root = machine_mem_root(r->m), .ram = r->ram,
                                                 .io_root = machine_io_root(r->m), .dma = machine_as_mem(r->m) });
    CHECK(device_realize(r->pcihost, NULL, NULL));
    r->bus = i440fx_bus(r->pcihost);
    mem_region_add(machine_io_root(r->m), 0xcf8, device_mmio(r->pcihost, 0), 0);
    mem_region_add(machine_mem_root(r->m), 0, i440fx_pci_mem(r->pcihost), -1);
    make(r, &i440fx_class.dev, &r->bus->bus, "0.0");
    r->piix3 = make(r, &piix3_class.dev, &r->bus->bus, "1.0");
    piix3_connect(r->piix3);
    for (unsigned i = 0; i < 16; i++) {
        r->isa[i] = irq_wire_new(machine_fabric(r->m), isa_input, r, i);
        irq_connect(r->piix3->irq[i], r->isa[i]);
    }
}

void rig_init(Rig *r)
{
    GError *err = NULL;
    memset(r, 0, sizeof(*r));
    MachineConfig cfg = { .name = "none", .devices = device_registry };
    r->m = machine_new(&cfg, &err);
    CHECK(r->m);
    irq_fabric_set_msi(machine_fabric(r->m), got_msi, r);
    r->ram = mem_region_new_ram(machine_mem(r->m), "ram", RIG_RAM, &err);
    CHECK(r->ram);
    r->host = mem_region_ram_host(r->ram);
    mem_region_add(machine_mem_root(r->m), 0, r->ram, 0);
    make_chipset(r);
    CHECK(machine_complete(r->m, &err));
    r->block = block_ctx_new(2);
}

void rig_clear(Rig *r)
{
    mem_region_unref(r->ram);
    machine_free(r->m);
    block_ctx_free(r->block);
}

/* What only boards make. */
static Device *make_internal(Rig *r, const DeviceClass *k, const char *const *props, GError **err)
{
    Device *d = device_new(r->m, k, NULL, err);
    for (; d && *props; props++) {
        g_auto(GStrv) kv = g_strsplit(*props, "=", 2);
        if (strcmp(kv[0], "id") && !device_set_prop(d, kv[0], kv[1], err))
            return NULL;
    }
    return d && device_realize(d, NULL, err) ? d : NULL;
}

Device *rig_device(Rig *r, const char *klass, const char *const *props)
{
    GError *err = NULL;
    const DeviceClass *k = device_class_find(device_registry, klass);
    CHECK(k);
    Device *d = k->internal ? make_internal(r, k, props, &err) : machine_add_device(r->m, klass, props, &err);
    if (!d)
        fprintf(stderr, "%s: %s\n", klass, err->message);
    CHECK(d);
    machine_flush_work(r->m);
    return d;
}

void rig_run(Rig *r)
{
    CHECK(machine_cont(r->m, NULL));
    rig_settle(r);
}

static gboolean too_late(gpointer p)
{
    *(bool *)p = true;
    return G_SOURCE_REMOVE;
}

void rig_wait(Rig *r, const bool *done)
{
    bool late = false;
    GSource *s = g_timeout_source_new(5000);
    g_source_set_callback(s, too_late, &late, NULL);
    g_source_attach(s, loop_context(machine_loop(r->m)));
    while (!*done && !late)
        loop_iterate(machine_loop(r->m), true);
    g_source_destroy(s);
    g_source_unref(s);
    CHECK(*done);
}

void rig_settle(Rig *r)
{
    machine_flush_work(r->m);
    while (loop_iterate(machine_loop(r->m), false)) { }
    machine_flush_work(r->m);
}

/* ---- accesses ---- */

uint64_t rig_load(Rig *r, GuestAddr gpa, unsigned size)
{
    uint64_t v = 0;
    as_load(machine_as_mem(r->m), gpa, size, &v);
    machine_flush_work(r->m);
    return v;
}

void rig_store(Rig *r, GuestAddr gpa, unsigned size, uint64_t val)
{
    as_store(machine_as_mem(r->m), gpa, size, val);
    machine_flush_work(r->m);
}

uint32_t rig_in(Rig *r, uint16_t port, unsigned size)
{
    uint64_t v = 0;
    as_load(machine_as_io(r->m), port, size, &v);
    machine_flush_work(r->m);
    return (uint32_t)v;
}

void rig_out(Rig *r, uint16_t port, unsigned size, uint32_t val)
{
    as_store(machine_as_io(r->m), port, size, val);
    machine_flush_work(r->m);
}

uint32_t rig_cfg_read(Rig *r, uint8_t devfn, unsigned off, unsigned size)
{
    rig_out(r, 0xcf8, 4, 0x80000000u | (uint32_t)devfn << 8 | (off & 0xfc));
    return rig_in(r, (uint16_t)(0xcfc + (off & 3)), size);
}

void rig_cfg_write(Rig *r, uint8_t devfn, unsigned off, unsigned size, uint32_t val)
{
    rig_out(r, 0xcf8, 4, 0x80000000u | (uint32_t)devfn << 8 | (off & 0xfc));
    rig_out(r, (uint16_t)(0xcfc + (off & 3)), size, val);
}

uint8_t rig_devfn(Device *dev)
{
    return ((PciDevice *)dev)->devfn;
}

unsigned rig_find_cap(Rig *r, uint8_t devfn, uint8_t id)
{
    unsigned off = rig_cfg_read(r, devfn, PCI_CAPABILITY_LIST, 1);
    for (unsigned n = 0; off && n < 48; n++) {
        if (rig_cfg_read(r, devfn, off, 1) == id)
            return off;
        off = rig_cfg_read(r, devfn, off + 1, 1);
    }
    return 0;
}

/* ---- drives ---- */

static void drop_node(void *node)
{
    block_unref(node);
}

BlockNode *rig_drive(Rig *r, const char *id, uint64_t bytes, bool writable)
{
    GError *err = NULL;
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("tandem-rig-XXXXXX", &path, &err);
    CHECK(fd >= 0 && ftruncate(fd, (off_t)bytes) == 0);
    close(fd);
    BlockNode *node = block_open(r->block, path, &(BlockOpenOpts){ .format = "raw", .writable = writable }, &err);
    if (!node)
        fprintf(stderr, "%s\n", err->message);
    CHECK(node);
    unlink(path);
    CHECK(machine_add_object(r->m, "drive", id, node, drop_node, &err));
    return node;
}
