/* Intel 82371SB (PIIX3) function 0: PCI to ISA bridge with the PIRQ router (data sheet 290550-002, 2.2). */
#include "hw/pci/piix3.h"

#include <linux/pci_regs.h>

#include "util/bits.h"

enum { PIRQRC = 0x60, PIRQ_DISABLED = 0x80, N_PIRQ = 4, N_ISA = 16 };

typedef struct Piix3 {
    PciDevice pci;
    /* Under the fabric lock: */
    uint8_t route[N_PIRQ];      /* ISA interrupt of each PIRQ, N_ISA = none */
    bool level[N_PIRQ];
} Piix3;

/* Fabric lock held. */
static void drive_isa(Piix3 *p, unsigned isa)
{
    bool on = false;
    for (unsigned i = 0; i < N_PIRQ; i++)
        on |= p->route[i] == isa && p->level[i];
    if (isa < N_ISA)
        irq_set_locked(p->pci.dev.irq[isa], on);
}

static void pirq_input(void *opaque, unsigned n, bool level)
{
    Piix3 *p = opaque;
    p->level[n] = level;
    drive_isa(p, p->route[n]);
}

/* 3-7, 9-12, 14, 15 can be routed to; the rest is reserved (2.2.13): no interrupt. */
static uint8_t route_of(uint8_t pirqrc)
{
    uint8_t isa = pirqrc & 15;
    return pirqrc & PIRQ_DISABLED || !(0xdef8 >> isa & 1) ? N_ISA : isa;
}

/* Device lock held (device -> fabric). */
static void update_routes(Piix3 *p)
{
    IrqFabric *f = device_fabric(&p->pci.dev);
    irq_fabric_lock(f);
    for (unsigned i = 0; i < N_PIRQ; i++) {
        uint8_t old = p->route[i], now = route_of(p->pci.config[PIRQRC + i]);
        if (old == now)
            continue;
        p->route[i] = now;
        drive_isa(p, old);
        drive_isa(p, now);
    }
    irq_fabric_unlock(f);
}

static void piix3_config_written(PciDevice *pci, unsigned off, unsigned len)
{
    if (off < PIRQRC + N_PIRQ && off + len > PIRQRC)
        update_routes((Piix3 *)pci);
}

static void piix3_reset(PciDevice *pci)
{
    update_routes((Piix3 *)pci);
}

/* Register, reset value, writable bits. What has no effect here is plain storage. */
static const struct { uint8_t off, size; uint16_t reset, wmask; } regs[] = {
    { 0x4c, 1, 0x4d, 0xff },        /* IORT */
    { 0x4e, 2, 0x0003, 0x01ff },    /* XBCS */
    { 0x60, 1, 0x80, 0x8f }, { 0x61, 1, 0x80, 0x8f }, { 0x62, 1, 0x80, 0x8f }, { 0x63, 1, 0x80, 0x8f },    /* PIRQRCA-D */
    { 0x69, 1, 0x02, 0xfe },        /* TOM */
    { 0x6a, 2, 0x0000, 0x80ff },    /* MSTAT */
    { 0x70, 1, 0x80, 0xef },        /* MBIRQ0 */
    { 0x76, 1, 0x04, 0x8f }, { 0x77, 1, 0x04, 0x8f },      /* MBDMA */
    { 0x78, 2, 0x0002, 0xffff },    /* PCSC */
    { 0x80, 1, 0x00, 0x7f },        /* APICBASE */
    { 0x82, 1, 0x00, 0x0f },        /* DLC */
    { 0xa0, 1, 0x08, 0x1f },        /* SMICNTL */
    { 0xa2, 2, 0x0000, 0x00ff },    /* SMIEN */
    { 0xa4, 2, 0x0000, 0xffff }, { 0xa6, 2, 0x0000, 0xffff },      /* SEE */
    { 0xa8, 1, 0x0f, 0xff },        /* FTMR */
    { 0xaa, 2, 0x0000, 0x00ff },    /* SMIREQ */
    { 0xac, 1, 0x00, 0xff }, { 0xae, 1, 0x00, 0xff },      /* CTLTMR, CTHTMR */
};

static bool piix3_realize(Device *dev, GError **err)
{
    Piix3 *p = (Piix3 *)dev;
    for (unsigned i = 0; i < ARRAY_LEN(regs); i++) {
        pci_config_set(&p->pci, regs[i].off, regs[i].reset, regs[i].size);
        pci_set_wmask(&p->pci, regs[i].off, regs[i].wmask, regs[i].size);
    }
    /* I/O, memory and bus master are hard-wired on; medium DEVSEL (2.2.3, 2.2.4). */
    pci_set_wmask(&p->pci, PCI_COMMAND, PCI_COMMAND_SPECIAL | PCI_COMMAND_SERR, 2);
    pci_config_set(&p->pci, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
    pci_config_set(&p->pci, PCI_STATUS, PCI_STATUS_DEVSEL_MEDIUM, 2);
    for (unsigned i = 0; i < N_PIRQ; i++)
        p->route[i] = N_ISA;
    device_init_irqs(dev, N_ISA);
    device_init_inputs(dev, N_PIRQ, pirq_input);
    return true;
}

void piix3_connect(Device *dev)
{
    IrqWire *const wires[4] = { device_input(dev, 0), device_input(dev, 1), device_input(dev, 2), device_input(dev, 3) };
    pci_bus_set_intx(pci_device_bus((PciDevice *)dev), wires);
}

/* Levels of the PIRQs are not saved: their drivers bring them back. */
static bool piix3_post_load(Device *dev, unsigned version, GError **err)
{
    update_routes((Piix3 *)dev);
    return true;
}

static const FieldDesc piix3_fields[] = { { 0 } };
static const DeviceSection piix3_state[] = {
    { .name = "piix3", .version = 1, .min_version = 1, .fields = piix3_fields, .post_load = piix3_post_load },
    { 0 }
};

const PciDeviceClass piix3_class = {
    .dev = PCI_CLASS("PIIX3", "PIIX3 ISA bridge (PIRQ router)", Piix3, .internal = true, .state = piix3_state, .realize = piix3_realize),
    .vendor = 0x8086, .device = 0x7000, .class_code = 0x060100, .multifunction = true,
    .sub_vendor = 0x1af4, .sub_device = 0x1100,
    .config_written = piix3_config_written, .reset = piix3_reset,
};
