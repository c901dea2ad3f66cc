/* Intel 82441FX host bridge (data sheet 290549-001): configuration ports, PAM, SMRAM. */
#include "hw/pci/i440fx.h"

#include <linux/pci_regs.h>

#include "util/bits.h"

enum {
    PAM0 = 0x59,                /* seven registers, two segments each */
    PAM_RE = 1, PAM_WE = 2,
    SMRAM = 0x72,
    SMRAM_D_OPEN = 0x40, SMRAM_D_CLS = 0x20, SMRAM_D_LCK = 0x10, SMRAM_G_SMRAME = 0x08, SMRAM_C_BASE_SEG = 0x02,
    N_PAM = 13,
    RCR_SRST = 2, RCR_RCPU = 4,
    CONFADD_EN = 1 << 31,
};

/* ---- ports 0xcf8-0xcff ---- */

typedef struct I440fxHost {
    Device dev;
    I440fxSetup setup;
    PciBus bus;
    MemRegion *pci_mem;         /* container of 2^64 */
    MemRegion *hole;            /* in pci_mem: what no device claims below 1 MiB, so that DRAM does not shine through the windows */
    MemRegion *smm_root;        /* container of 2^64 */
    _Atomic uint32_t confadd;
    _Atomic uint8_t rcr;
    uint32_t saved_confadd;
    uint8_t saved_rcr;
} I440fxHost;

static uint8_t confadd_devfn(uint32_t a)
{
    return (uint8_t)(a >> 8);
}

/* Only bus 0 exists; a cycle to another one ends in a master abort: all-ones. */
static bool confadd_hits(uint32_t a)
{
    return a & CONFADD_EN && !(a >> 16 & 0xff);
}

static uint64_t host_read(void *opaque, uint64_t off, unsigned size)
{
    I440fxHost *h = opaque;
    uint32_t a = atomic_load(&h->confadd);
    if (off >= 4)
        return confadd_hits(a) ? pci_bus_config_read(&h->bus, confadd_devfn(a), (a & 0xfc) + (unsigned)(off - 4), size)
                               : bits_mask(8 * size);
    if (off == 0 && size == 4)
        return a;
    return off == 1 && size == 1 ? atomic_load(&h->rcr) : bits_mask(8 * size);
}

/*
 * CONFADD takes dwords only; other sizes go through to ISA, where PIIX3 has its reset control register at 0xcf9
 * (82371SB 2.5.4.2): it sits in this handler because a dword at 0xcf8 must reach one device in one piece.
 */
static void host_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    I440fxHost *h = opaque;
    uint32_t a = atomic_load(&h->confadd);
    if (off >= 4) {
        if (confadd_hits(a))
            pci_bus_config_write(&h->bus, confadd_devfn(a), (a & 0xfc) + (unsigned)(off - 4), (uint32_t)val, size);
    } else if (off == 0 && size == 4) {
        atomic_store(&h->confadd, (uint32_t)val & 0x80fffffc);
    } else if (off == 1 && size == 1) {
        uint8_t old = atomic_exchange(&h->rcr, (uint8_t)val & (RCR_SRST | RCR_RCPU));
        if (val & RCR_RCPU && !(old & RCR_RCPU))
            device_request(&h->dev, DEVICE_REQ_RESET, 0);
    }
}

/* No device lock around these: the target of a config cycle has its own, and two are never held together. */
static const MmioOps host_ops = { .read = host_read, .write = host_write, .min_size = 1, .max_size = 4 };

static uint64_t hole_read(void *opaque, uint64_t off, unsigned size)
{
    return bits_mask(8 * size);
}

/* A master abort. */
static void hole_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
}

static const MmioOps hole_ops = { .read = hole_read, .write = hole_write, .min_size = 1, .max_size = 8 };

/* PIRQ lines as PIIX3 boards wire them, and as SeaBIOS assumes: slot 1 pin A is PIRQA. */
static unsigned map_intx(unsigned slot, unsigned pin)
{
    return slot + pin + 3;
}

void i440fx_host_setup(Device *host, const I440fxSetup *setup)
{
    ((I440fxHost *)host)->setup = *setup;
}

static bool host_realize(Device *dev, GError **err)
{
    I440fxHost *h = (I440fxHost *)dev;
    MemSystem *ms = device_mem(dev);
    g_assert(h->setup.machine);
    device_init_mem(dev, 0, mem_region_new_mmio(ms, "pci-config", &host_ops, h, 8, NULL));
    h->pci_mem = mem_region_new_container(ms, "pci", 0);
    h->hole = mem_region_new_mmio(ms, "pci-hole", &hole_ops, h, 0x60000, NULL);
    mem_region_add(h->pci_mem, 0xa0000, h->hole, -1);
    PciBusConfig cfg = { .name = "pci.0", .mem = h->pci_mem, .io = h->setup.io_root, .dma = h->setup.dma, .map_intx = map_intx, .first_slot = 2 };
    pci_bus_init(&h->bus, &cfg, dev, h->setup.machine);
    return true;
}

static void host_unrealize(Device *dev)
{
    I440fxHost *h = (I440fxHost *)dev;
    pci_bus_clear(&h->bus);
    mem_region_remove(h->hole);
    mem_region_unref(h->hole);
    mem_region_unref(h->pci_mem);
}

static void host_reset(Device *dev)
{
    I440fxHost *h = (I440fxHost *)dev;
    atomic_store(&h->confadd, 0);
    atomic_store(&h->rcr, 0);
}

static void host_pre_save(Device *dev)
{
    I440fxHost *h = (I440fxHost *)dev;
    h->saved_confadd = atomic_load(&h->confadd);
    h->saved_rcr = atomic_load(&h->rcr);
}

static bool host_post_load(Device *dev, unsigned version, GError **err)
{
    I440fxHost *h = (I440fxHost *)dev;
    atomic_store(&h->confadd, h->saved_confadd & 0x80fffffc);
    atomic_store(&h->rcr, h->saved_rcr & (RCR_SRST | RCR_RCPU));
    return true;
}

static const FieldDesc host_fields[] = { FIELD(I440fxHost, saved_confadd), FIELD(I440fxHost, saved_rcr), { 0 } };
static const DeviceSection host_state[] = {
    { .name = "i440fx-host", .version = 1, .min_version = 1, .fields = host_fields, .pre_save = host_pre_save, .post_load = host_post_load },
    { 0 }
};

const DeviceClass i440fx_host_class = {
    .name = "i440fx-pcihost", .summary = "i440FX host bridge: PCI configuration ports and bus", .size = sizeof(I440fxHost),
    .bus = BUS_SYS, .internal = true, .state = host_state,
    .realize = host_realize, .reset = host_reset, .unrealize = host_unrealize,
};

PciBus *i440fx_bus(Device *host)
{
    return &((I440fxHost *)host)->bus;
}

MemRegion *i440fx_pci_mem(Device *host)
{
    return ((I440fxHost *)host)->pci_mem;
}

MemRegion *i440fx_smm_root(Device *host)
{
    return ((I440fxHost *)host)->smm_root;
}

/* ---- function 0:0.0 ---- */

typedef struct I440fx {
    PciDevice pci;
    I440fxHost *host;
    MemRegion *pam[N_PAM];      /* windows on PCI that cover DRAM where PAM says so */
    MemRegion *vga;             /* the same for 0xa0000-0xbffff */
    MemRegion *smm_system, *smram;      /* in the SMM view */
} I440fx;

static void update_pam(I440fx *d)
{
    for (unsigned i = 0; i < N_PAM; i++) {
        /* Segment 0 is the high nibble of PAM0, then low and high of PAM1-6. */
        uint8_t reg = d->pci.config[PAM0 + (i + 1) / 2];
        unsigned nibble = i & 1 ? reg : reg >> 4;
        unsigned dram = (nibble & PAM_RE ? MEM_R : 0) | (nibble & PAM_WE ? MEM_W : 0);
        mem_region_set_access(d->pam[i], MEM_RW & ~dram);
    }
}

static void update_smram(I440fx *d)
{
    uint8_t s = d->pci.config[SMRAM];
    mem_region_set_enabled(d->vga, !(s & SMRAM_D_OPEN && s & SMRAM_G_SMRAME));
    mem_region_set_enabled(d->smram, s & SMRAM_G_SMRAME);
}

static void i440fx_update(I440fx *d)
{
    MemSystem *ms = device_mem(&d->pci.dev);
    mem_begin(ms);
    update_pam(d);
    update_smram(d);
    mem_commit(ms);
}

static void smram_written(I440fx *d)
{
    uint8_t *s = &d->pci.config[SMRAM];
    if (!(*s & SMRAM_D_LCK))
        return;
    /* Locked until reset: D_OPEN drops, D_OPEN, D_LCK and G_SMRAME can no longer be written (3.2.21). */
    *s &= (uint8_t)~SMRAM_D_OPEN;
    pci_set_wmask(&d->pci, SMRAM, SMRAM_D_CLS, 1);
}

static void i440fx_config_written(PciDevice *pci, unsigned off, unsigned len)
{
    I440fx *d = (I440fx *)pci;
    bool pam = off < PAM0 + 7 && off + len > PAM0, smram = off <= SMRAM && off + len > SMRAM;
    if (smram)
        smram_written(d);
    if (pam || smram)
        i440fx_update(d);
}

static void i440fx_reset(PciDevice *pci)
{
    I440fx *d = (I440fx *)pci;
    pci_set_wmask(pci, SMRAM, SMRAM_D_OPEN | SMRAM_D_CLS | SMRAM_D_LCK | SMRAM_G_SMRAME, 1);
    i440fx_update(d);
}

static void add_windows(I440fx *d)
{
    static const uint32_t start[N_PAM] = {
        0xf0000, 0xc0000, 0xc4000, 0xc8000, 0xcc000, 0xd0000, 0xd4000, 0xd8000, 0xdc000, 0xe0000, 0xe4000, 0xe8000, 0xec000,
    };
    MemSystem *ms = device_mem(&d->pci.dev);
    I440fxHost *h = d->host;
    for (unsigned i = 0; i < N_PAM; i++) {
        d->pam[i] = mem_region_new_alias(ms, "pam-pci", h->pci_mem, start[i], i ? 0x4000 : 0x10000);
        mem_region_add(h->setup.mem_root, start[i], d->pam[i], 1);
    }
    d->vga = mem_region_new_alias(ms, "vga-window", h->pci_mem, 0xa0000, 0x20000);
    mem_region_add(h->setup.mem_root, 0xa0000, d->vga, 1);
    h->smm_root = mem_region_new_container(ms, "smm", 0);
    d->smm_system = mem_region_new_alias(ms, "smm-system", h->setup.mem_root, 0, 0);
    mem_region_add(h->smm_root, 0, d->smm_system, 0);
    d->smram = mem_region_new_alias(ms, "smram", h->setup.ram, 0xa0000, 0x20000);
    mem_region_add(h->smm_root, 0xa0000, d->smram, 1);
}

static bool i440fx_realize(Device *dev, GError **err)
{
    I440fx *d = (I440fx *)dev;
    Device *parent = dev->bus->parent;
    if (!parent || parent->klass != &i440fx_host_class || d->pci.devfn != 0) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "the i440FX function belongs to address 0.0 of its own bus");
        return false;
    }
    d->host = (I440fxHost *)parent;
    for (unsigned r = 0x50; r < 0x59; r++)
        pci_set_wmask(&d->pci, r, 0xff, 1);     /* PMCCFG, DETURBO, DBC, AXC, DRT, DRAMC: plain storage here */
    for (unsigned r = PAM0; r <= PAM0 + 6; r++)
        pci_set_wmask(&d->pci, r, r == PAM0 ? 0x70 : 0x77, 1);
    for (unsigned r = 0x60; r < 0x72; r++)
        pci_set_wmask(&d->pci, r, 0xff, 1);     /* DRB0-7, FDHC, MTT */
    pci_set_wmask(&d->pci, SMRAM, SMRAM_D_OPEN | SMRAM_D_CLS | SMRAM_D_LCK | SMRAM_G_SMRAME, 1);
    pci_config_set(&d->pci, SMRAM, SMRAM_C_BASE_SEG, 1);
    /* COMMAND: memory and bus master are hard-wired on, STATUS: medium DEVSEL (3.2.3, 3.2.4). */
    pci_set_wmask(&d->pci, PCI_COMMAND, PCI_COMMAND_SERR, 2);
    pci_config_set(&d->pci, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
    pci_config_set(&d->pci, PCI_STATUS, PCI_STATUS_DEVSEL_MEDIUM, 2);
    add_windows(d);
    return true;
}

static void i440fx_unrealize(Device *dev)
{
    I440fx *d = (I440fx *)dev;
    MemRegion **all[] = { &d->vga, &d->smm_system, &d->smram, &d->host->smm_root };
    for (unsigned i = 0; i < N_PAM; i++) {
        mem_region_remove(d->pam[i]);
        mem_region_unref(d->pam[i]);
    }
    for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
        mem_region_remove(*all[i]);
        mem_region_unref(*all[i]);
        *all[i] = NULL;
    }
}

static bool i440fx_post_load(Device *dev, unsigned version, GError **err)
{
    I440fx *d = (I440fx *)dev;
    smram_written(d);
    i440fx_update(d);
    return true;
}

static const FieldDesc i440fx_fields[] = { { 0 } };
static const DeviceSection i440fx_state[] = {
    { .name = "i440fx", .version = 1, .min_version = 1, .fields = i440fx_fields, .post_load = i440fx_post_load },
    { 0 }
};

const PciDeviceClass i440fx_class = {
    .dev = PCI_CLASS("i440fx", "i440FX host bridge function (PAM, SMRAM)", I440fx, .internal = true, .state = i440fx_state,
                     .realize = i440fx_realize, .unrealize = i440fx_unrealize),
    .vendor = 0x8086, .device = 0x1237, .revision = 2, .class_code = 0x060000,
    /* Not the chip's (it has none): by these SeaBIOS knows that it runs in a virtual machine with fw_cfg. */
    .sub_vendor = 0x1af4, .sub_device = 0x1100,
    .config_written = i440fx_config_written, .reset = i440fx_reset,
};
