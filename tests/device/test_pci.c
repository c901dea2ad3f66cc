/* PCI core: sizing and mapping of BARs, INTx through the PIRQ router, MSI-X, PAM and SMRAM, state. */
#include <linux/pci_regs.h>
#include <string.h>

#include "tests/device/rig.h"
#include "tests/device/vdrv.h"
#include "util/bits.h"

static void test_identity(Rig *r)
{
    CHECK_EQ(rig_cfg_read(r, 0, 0, 4), 0x12378086);
    CHECK_EQ(rig_cfg_read(r, PCI_DEVFN(1, 0), 0, 4), 0x70008086);
    CHECK_EQ(rig_cfg_read(r, PCI_DEVFN(1, 0), 0x0e, 1), 0x80);
    CHECK_EQ(rig_cfg_read(r, PCI_DEVFN(31, 7), 0, 4), 0xffffffff);
    CHECK_EQ(rig_cfg_read(r, 0, 0, 2), 0x8086);
    rig_out(r, 0xcf8, 4, 0x80010000u);      /* bus 1 does not exist */
    CHECK_EQ(rig_in(r, 0xcfc, 4), 0xffffffff);
    rig_out(r, 0xcf8, 4, 0);                /* disabled */
    CHECK_EQ(rig_in(r, 0xcfc, 4), 0xffffffff);
    rig_out(r, 0xcf9, 1, 2);
    CHECK_EQ(rig_in(r, 0xcf9, 1), 2);
    CHECK_EQ(rig_in(r, 0xcf8, 4), 0);
}

static void test_bars(Rig *r, uint8_t fn)
{
    rig_cfg_write(r, fn, PCI_COMMAND, 2, 0);
    rig_cfg_write(r, fn, PCI_BASE_ADDRESS_0, 4, UINT32_MAX);
    CHECK_EQ(rig_cfg_read(r, fn, PCI_BASE_ADDRESS_0, 4), 0xffffff81);       /* 128 ports */
    rig_cfg_write(r, fn, PCI_BASE_ADDRESS_1, 4, UINT32_MAX);
    CHECK_EQ(rig_cfg_read(r, fn, PCI_BASE_ADDRESS_1, 4), 0xfffff000);
    rig_cfg_write(r, fn, PCI_BASE_ADDRESS_4, 4, UINT32_MAX);
    rig_cfg_write(r, fn, PCI_BASE_ADDRESS_5, 4, UINT32_MAX);
    CHECK_EQ(rig_cfg_read(r, fn, PCI_BASE_ADDRESS_4, 4), 0xffffc00c);       /* 64 bits, prefetchable, 16 KiB */
    CHECK_EQ(rig_cfg_read(r, fn, PCI_BASE_ADDRESS_5, 4), 0xffffffff);
    rig_cfg_write(r, fn, PCI_COMMAND, 2, 7);                                /* all-ones is nowhere */
    CHECK_EQ(rig_load(r, 0xffffc000, 4), 0xffffffff);
    rig_cfg_write(r, fn, PCI_BASE_ADDRESS_5, 4, 0x10);                      /* above 4 GiB */
    rig_cfg_write(r, fn, PCI_BASE_ADDRESS_4, 4, 0x20000000);
    CHECK_EQ(rig_load(r, 0x1020000000 + 18, 2), 1);                         /* num_queues */
    rig_cfg_write(r, fn, PCI_BASE_ADDRESS_4, 4, 0x30000000);                /* moves at once */
    CHECK_EQ(rig_load(r, 0x1020000000 + 18, 2), 0xffff);
    CHECK_EQ(rig_load(r, 0x1030000000 + 18, 2), 1);
    rig_cfg_write(r, fn, PCI_BASE_ADDRESS_0, 4, 0xc000);
    CHECK_EQ(rig_in(r, 0xc00c, 2), 256);
    rig_cfg_write(r, fn, PCI_COMMAND, 2, 0);
    CHECK_EQ(rig_in(r, 0xc00c, 2), 0xffff);
    CHECK_EQ(rig_load(r, 0x1030000000 + 18, 2), 0xffff);
}

static void test_window(Rig *r, uint8_t fn)
{
    /* The last vendor capability reaches BAR 4 without mapping it. */
    unsigned cap = 0;
    for (unsigned off = rig_cfg_read(r, fn, 0x34, 1); off; off = rig_cfg_read(r, fn, off + 1, 1))
        if (rig_cfg_read(r, fn, off, 1) == PCI_CAP_ID_VNDR && rig_cfg_read(r, fn, off + 3, 1) == 5)
            cap = off;
    CHECK(cap);
    rig_cfg_write(r, fn, cap + 4, 1, 4);
    rig_cfg_write(r, fn, cap + 8, 4, 18);
    rig_cfg_write(r, fn, cap + 12, 4, 2);
    CHECK_EQ(rig_cfg_read(r, fn, cap + 16, 2), 1);
    rig_cfg_write(r, fn, cap + 12, 4, 3);       /* nonsense length: nothing happens */
    rig_cfg_read(r, fn, cap + 16, 4);
    rig_cfg_write(r, fn, cap + 8, 4, 0xfffffffc);
    rig_cfg_write(r, fn, cap + 12, 4, 4);
    rig_cfg_write(r, fn, cap + 16, 4, 0);
}

static void test_intx(Rig *r, PciDevice *pci)
{
    uint8_t fn = pci->devfn, piix = PCI_DEVFN(1, 0);
    unsigned line = (fn >> 3) - 1;              /* slot 1 pin A is PIRQA */
    rig_cfg_write(r, piix, 0x60 + (line & 3), 1, 11);
    CHECK_EQ(r->isa_level, 0);
    CHECK(devlock_enter(pci->dev.lock));
    pci_set_intx(pci, true);
    devlock_leave(pci->dev.lock);
    CHECK_EQ(r->isa_level, 1 << 11);
    CHECK(rig_cfg_read(r, fn, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
    rig_cfg_write(r, piix, 0x60 + (line & 3), 1, 10);
    CHECK_EQ(r->isa_level, 1 << 10);
    rig_cfg_write(r, piix, 0x60 + (line & 3), 1, 2);        /* reserved */
    CHECK_EQ(r->isa_level, 0);
    rig_cfg_write(r, piix, 0x60 + (line & 3), 1, 10);
    rig_cfg_write(r, fn, PCI_COMMAND, 2, PCI_COMMAND_INTX_DISABLE);
    CHECK_EQ(r->isa_level, 0);
    rig_cfg_write(r, fn, PCI_COMMAND, 2, 0);
    CHECK_EQ(r->isa_level, 1 << 10);
    device_reset(&pci->dev);
    CHECK_EQ(r->isa_level, 0);
}

static void test_msix(Rig *r, PciDevice *pci)
{
    uint8_t fn = pci->devfn;
    uint64_t table = 0xfe100000;
    rig_cfg_write(r, fn, PCI_BASE_ADDRESS_1, 4, (uint32_t)table);
    rig_cfg_write(r, fn, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    unsigned cap = rig_find_cap(r, fn, PCI_CAP_ID_MSIX);
    CHECK_EQ(rig_cfg_read(r, fn, cap + PCI_MSIX_FLAGS, 2) & PCI_MSIX_FLAGS_QSIZE, 1);
    rig_store(r, table + 16, 4, 0xfee01000);
    rig_store(r, table + 24, 4, 0x4041);
    CHECK_EQ(rig_load(r, table + 28, 4), 1);    /* masked after reset */
    rig_cfg_write(r, fn, cap + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
    r->n_msi = 0;
    devlock_enter(pci->dev.lock);
    pci_msix_notify(pci, 1);
    pci_msix_notify(pci, 99);
    devlock_leave(pci->dev.lock);
    CHECK_EQ(r->n_msi, 0);
    CHECK_EQ(rig_load(r, table + 0x800, 4), 2);
    rig_cfg_write(r, fn, cap + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
    rig_store(r, table + 28, 4, 0);
    CHECK_EQ(r->n_msi, 0);                      /* the whole function is masked */
    rig_cfg_write(r, fn, cap + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
    CHECK_EQ(r->n_msi, 1);
    CHECK_EQ(r->msi_addr, 0xfee01000);
    CHECK_EQ(r->msi_data, 0x4041);
    CHECK_EQ(rig_load(r, table + 0x800, 4), 0);
}

static void test_pam(Rig *r)
{
    /* A ROM in PCI space below 1 MiB, as boards map the BIOS. */
    MemRegion *rom = mem_region_new_rom(machine_mem(r->m), "bios", 0x20000, NULL);
    memset(mem_region_ram_host(rom), 0xee, 0x20000);
    mem_region_add(i440fx_pci_mem(r->pcihost), 0xe0000, rom, 0);
    machine_flush_work(r->m);
    r->host[0xf1234] = 0x11;
    CHECK_EQ(rig_load(r, 0xf1234, 1), 0xee);
    rig_cfg_write(r, 0, 0x59, 1, 0x20);         /* write DRAM, read ROM: how firmware copies itself */
    rig_store(r, 0xf1234, 1, 0x22);
    CHECK_EQ(rig_load(r, 0xf1234, 1), 0xee);
    CHECK_EQ(r->host[0xf1234], 0x22);
    rig_cfg_write(r, 0, 0x59, 1, 0x10);         /* read DRAM, writes go to PCI: shadowed and protected */
    rig_store(r, 0xf1234, 1, 0x33);
    CHECK_EQ(rig_load(r, 0xf1234, 1), 0x22);
    rig_cfg_write(r, 0, 0x59, 1, 0x30);
    rig_store(r, 0xf1234, 1, 0x44);
    CHECK_EQ(rig_load(r, 0xf1234, 1), 0x44);
    r->host[0xe8000] = 0x55;                    /* PAM6 low: 0xe8000-0xebfff only */
    rig_cfg_write(r, 0, 0x5f, 1, 0x03);
    CHECK_EQ(rig_load(r, 0xe8000, 1), 0x55);
    CHECK_EQ(rig_load(r, 0xec000, 1), 0xee);
    r->host[0xc4000] = 0x66;                    /* PAM1 high; nothing in PCI space */
    CHECK_EQ(rig_load(r, 0xc4000, 1), 0xff);
    rig_cfg_write(r, 0, 0x5a, 1, 0x30);
    CHECK_EQ(rig_load(r, 0xc4000, 1), 0x66);
    CHECK_EQ(rig_load(r, 0xc0000, 1), 0xff);
    mem_region_remove(rom);
    mem_region_unref(rom);
    machine_flush_work(r->m);
}

static void test_smram(Rig *r)
{
    AddressSpace *smm = as_new(machine_mem(r->m), "smm", i440fx_smm_root(r->pcihost));
    uint64_t v;
    machine_flush_work(r->m);
    r->host[0xa8000] = 0x77;
    CHECK_EQ(rig_load(r, 0xa8000, 1), 0xff);
    rig_cfg_write(r, 0, 0x72, 1, 0x48);         /* open and enabled */
    CHECK_EQ(rig_load(r, 0xa8000, 1), 0x77);
    rig_cfg_write(r, 0, 0x72, 1, 0x08);
    CHECK_EQ(rig_load(r, 0xa8000, 1), 0xff);
    CHECK(as_load(smm, 0xa8000, 1, &v) == MEM_OK && v == 0x77);
    CHECK(as_load(smm, 0x1000, 1, &v) == MEM_OK);
    rig_cfg_write(r, 0, 0x72, 1, 0x58);         /* lock: D_OPEN drops and stays down */
    CHECK_EQ(rig_cfg_read(r, 0, 0x72, 1), 0x1a);
    rig_cfg_write(r, 0, 0x72, 1, 0x40);
    CHECK_EQ(rig_cfg_read(r, 0, 0x72, 1), 0x1a);
    as_free(smm);
}

static void test_state(Rig *r, PciDevice *pci)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    GError *err = NULL;
    rig_cfg_write(r, pci->devfn, PCI_BASE_ADDRESS_4, 4, 0x40000000);
    rig_cfg_write(r, pci->devfn, PCI_BASE_ADDRESS_5, 4, 0);
    rig_cfg_write(r, pci->devfn, PCI_COMMAND, 2, 7);
    CHECK(device_save(&pci->dev, out, &err));
    device_reset(&pci->dev);
    machine_flush_work(r->m);
    CHECK_EQ(rig_load(r, 0x40000012, 2), 0xffff);
    CHECK(device_load(&pci->dev, out->data, out->len, &err));
    machine_flush_work(r->m);
    CHECK_EQ(rig_load(r, 0x40000012, 2), 1);
    for (unsigned i = 0; i < out->len; i++) {   /* a cut stream is refused, never read beyond */
        CHECK(!device_load(&pci->dev, out->data, i, NULL));
    }
}

int main(void)
{
    Rig r;
    rig_init(&r);
    rig_drive(&r, "d0", 1 << 20, true);
    const char *props[] = { "id=vd0", "drive=d0", "addr=5", "num-queues=1", NULL };
    PciDevice *pci = (PciDevice *)rig_device(&r, "virtio-blk-pci", props);
    CHECK_EQ(pci->devfn, PCI_DEVFN(5, 0));
    test_identity(&r);
    test_bars(&r, pci->devfn);
    test_window(&r, pci->devfn);
    test_intx(&r, pci);
    test_msix(&r, pci);
    test_pam(&r);
    test_smram(&r);
    test_state(&r, pci);
    CHECK(machine_del_device(r.m, "vd0", NULL));
    rig_settle(&r);
    CHECK_EQ(rig_cfg_read(&r, PCI_DEVFN(5, 0), 0, 4), 0xffffffff);
    rig_clear(&r);
    return 0;
}
