/* What the PC is made of: the tables of addresses and interrupt numbers, and the wiring of the chips. */
#include <string.h>

#include "hw/board/pc-internal.h"
#include "hw/isa/isa.h"
#include "hw/misc/fw_cfg.h"
#include "hw/timer/hpet.h"
#include "util/bits.h"

enum { NO_IRQ = -1, MAX_PORTS = 4, MAX_IRQS = 3 };

/* Port and MMIO region n of a device go to ports[n] (0 = unused) and mmio; output n drives interrupt irq[n]. */
typedef struct IsaDesc {
    const char *klass, *id;
    bool optional;              /* left out if this build lacks it */
    uint16_t ports[MAX_PORTS];
    uint64_t mmio;
    int8_t irq[MAX_IRQS];
    size_t keep;                /* offset of a Device * in Pc, 0 = none */
} IsaDesc;

static const IsaDesc chips[] = {
    { "i8259", "pic", false, { 0x20, 0xa0, 0x4d0 }, 0, { NO_IRQ, NO_IRQ, NO_IRQ }, offsetof(Pc, pic) },
    { "ioapic", "ioapic", false, { 0 }, PC_IOAPIC, { NO_IRQ, NO_IRQ, NO_IRQ }, offsetof(Pc, ioapic) },
    { "apicbus", "apicbus", false, { 0 }, 0, { NO_IRQ, NO_IRQ, NO_IRQ }, offsetof(Pc, apicbus) },
    { "gsi", "gsi", false, { 0 }, 0, { NO_IRQ, NO_IRQ, NO_IRQ }, offsetof(Pc, gsi) },
};

static const IsaDesc isa[] = {
    { "i8254", "pit", false, { 0x40, 0x61 }, 0, { 0, NO_IRQ, NO_IRQ }, offsetof(Pc, pit) },
    { "mc146818", "rtc", false, { 0x70 }, 0, { 8, NO_IRQ, NO_IRQ }, offsetof(Pc, rtc) },
    { "i8042", "kbd", false, { 0x60, 0x64 }, 0, { 1, 12, NO_IRQ }, offsetof(Pc, kbd) },
    { "port92", "port92", false, { 0x92 }, 0, { NO_IRQ, NO_IRQ, NO_IRQ }, offsetof(Pc, port92) },
    { "hpet", "hpet", true, { 0 }, PC_HPET, { NO_IRQ, NO_IRQ, NO_IRQ }, offsetof(Pc, hpet) },
    { "fw_cfg", "fw_cfg", false, { 0x510, 0x514 }, 0, { NO_IRQ, NO_IRQ, NO_IRQ }, offsetof(Pc, fw_cfg) },
};

static const struct { uint16_t port; int8_t irq; } serials[PC_SERIALS] = { { 0x3f8, 4 }, { 0x2f8, 3 }, { 0x3e8, 4 }, { 0x2e8, 3 } };

uint16_t pc_serial_port(unsigned n)
{
    return serials[n].port;
}

uint8_t pc_serial_irq(unsigned n)
{
    return (uint8_t)serials[n].irq;
}

/* ISA interrupts that PIIX3 can route a PIRQ to. */
static const uint8_t pirq_targets[] = { 3, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15 };

static void map(Pc *pc, Device *dev, const IsaDesc *d)
{
    for (unsigned i = 0; i < MAX_PORTS; i++)
        if (d->ports[i] && device_pio(dev, i))
            mem_region_add(machine_io_root(pc->m), d->ports[i], device_pio(dev, i), 1);
    if (d->mmio && device_mmio(dev, 0))
        mem_region_add(machine_mem_root(pc->m), d->mmio, device_mmio(dev, 0), 1);
    for (unsigned i = 0; i < MAX_IRQS && i < dev->n_irq; i++)
        if (d->irq[i] != NO_IRQ)
            irq_connect(dev->irq[i], device_input(pc->gsi, (unsigned)d->irq[i]));
    if (d->keep)
        *(Device **)((char *)pc + d->keep) = dev;
}

static bool make(Pc *pc, const IsaDesc *d, const char *const *props, GError **err)
{
    if (d->optional && !device_class_find(machine_config(pc->m)->devices, d->klass))
        return true;
    Device *dev = pc_device(pc, d->klass, d->id, props, NULL, err);
    if (dev)
        map(pc, dev, d);
    return dev != NULL;
}

/* ---- interrupt controllers and local APICs ---- */

static bool make_lapics(Pc *pc, GError **err)
{
    pc->lapics = g_ptr_array_new();
    for (unsigned i = 0; i < machine_n_vcpus(pc->m); i++) {
        g_autofree char *id = g_strdup_printf("lapic%u", i);
        Device *dev = device_new(pc->m, &lapic_class, id, err);
        if (!dev)
            return false;
        lapic_attach(dev, pc->apicbus, machine_vcpu(pc->m, i));
        if (!device_realize(dev, NULL, err)) {
            device_free(dev);
            return false;
        }
        g_ptr_array_add(pc->lapics, dev);
    }
    return true;
}

/* Asked for, or the engine has none. */
static bool pc_no_smm(const Pc *pc)
{
    return pc->cfg.no_smm || machine_accel_traits(pc->m) & ACCEL_NO_SMM;
}

static void smi_input(void *opaque, unsigned n, bool level)
{
    Pc *pc = opaque;
    /* To the boot processor only: firmware sets up SMM on no other one. */
    if (level && !pc_no_smm(pc) && machine_n_vcpus(pc->m))
        vcpu_raise(machine_vcpu(pc->m, 0), VCPU_EV_SMI, 0);
}

static void wire_chips(Pc *pc)
{
    gsi_connect(pc->gsi, pc->pic, pc->ioapic);
    irq_connect(pc->pic->irq[0], device_input(pc->apicbus, APICBUS_INTR));
    apicbus_connect(pc->apicbus, pc->pic, &pc->ioapic, 1);
}

/* ---- PCI ---- */

static bool make_host(Pc *pc, GError **err)
{
    pc->host = device_new(pc->m, &i440fx_host_class, "i440fx", err);
    if (!pc->host)
        return false;
    i440fx_host_setup(pc->host, &(I440fxSetup){ .machine = pc->m, .mem_root = machine_mem_root(pc->m), .ram = pc->ram, .io_root = machine_io_root(pc->m),
                                                .dma = machine_as_mem(pc->m) });
    if (!device_realize(pc->host, NULL, err))
        return false;
    mem_region_add(machine_io_root(pc->m), 0xcf8, device_mmio(pc->host, 0), 1);
    mem_region_add(machine_mem_root(pc->m), 0, i440fx_pci_mem(pc->host), -1);
    return true;
}

/* The IDE function in compatibility mode: its channels have fixed ports and interrupts. */
static void wire_ide(Pc *pc, Device *ide)
{
    static const uint16_t ports[] = { 0x1f0, 0x170, 0x3f6, 0x376 };
    for (unsigned i = 0; i < ARRAY_LEN(ports); i++)
        mem_region_add(machine_io_root(pc->m), ports[i], device_pio(ide, i), 1);
    for (unsigned i = 0; i < 2; i++)
        irq_connect(ide->irq[i], device_input(pc->gsi, 14 + i));
}

static bool make_pci(Pc *pc, GError **err)
{
    static const struct { const char *klass, *id, *addr; bool optional; size_t keep; } functions[] = {
        { "i440fx", "i440fx-fn", "0.0", false, 0 },
        { "PIIX3", "piix3", "1.0", false, offsetof(Pc, piix3) },
        { "piix3-ide", "ide", "1.1", true, 0 },
        { "PIIX4_PM", "pm", "1.3", false, offsetof(Pc, pm) },
    };
    Bus *bus = &i440fx_bus(pc->host)->bus;
    for (unsigned i = 0; i < ARRAY_LEN(functions); i++) {
        if (functions[i].optional && !device_class_find(machine_config(pc->m)->devices, functions[i].klass))
            continue;
        /* Without SMM the PM function shows it as set up, or firmware would wait for its handler for ever. */
        bool no_smm = pc_no_smm(pc) && functions[i].keep == offsetof(Pc, pm);
        const char *props[] = { "addr", functions[i].addr, no_smm ? "smm" : NULL, "off", NULL };
        Device *dev = pc_device(pc, functions[i].klass, functions[i].id, props, bus, err);
        if (!dev)
            return false;
        if (functions[i].keep)
            *(Device **)((char *)pc + functions[i].keep) = dev;
        if (!strcmp(functions[i].klass, "piix3-ide"))
            wire_ide(pc, dev);
    }
    return true;
}

static void wire_pci(Pc *pc)
{
    piix3_connect(pc->piix3);
    for (unsigned i = 0; i < ARRAY_LEN(pirq_targets); i++)
        irq_connect(pc->piix3->irq[pirq_targets[i]], device_input(pc->gsi, pirq_targets[i]));
    irq_connect(pc->pm->irq[0], device_input(pc->gsi, PC_SCI));
    pc->smi = irq_wire_new(machine_fabric(pc->m), smi_input, pc, 0);
    irq_connect(pc->pm->irq[1], pc->smi);
    mem_region_add(machine_io_root(pc->m), 0xb2, device_pio(pc->pm, 0), 1);
    machine_set_powerdown_hook(pc->m, piix4_pm_power_button, pc->pm);
    pc->smm = as_new(machine_mem(pc->m), "smm", i440fx_smm_root(pc->host));
    for (unsigned i = 0; i < machine_n_vcpus(pc->m); i++)
        machine_vcpu(pc->m, i)->smm = pc->smm;
}

bool pc_make_chips(Pc *pc, GError **err)
{
    for (unsigned i = 0; i < ARRAY_LEN(chips); i++)
        if (!make(pc, &chips[i], NULL, err))
            return false;
    if (!make_lapics(pc, err))
        return false;
    wire_chips(pc);
    if (!make_host(pc, err) || !make_pci(pc, err))
        return false;
    wire_pci(pc);
    return true;
}

/* ---- ISA ---- */

static bool make_serials(Pc *pc, GError **err)
{
    for (unsigned i = 0; i < PC_SERIALS; i++) {
        if (!pc->cfg.serial[i])
            continue;
        g_autofree char *id = g_strdup_printf("com%u", i + 1);
        IsaDesc d = { "isa-serial", id, false, { serials[i].port }, 0, { serials[i].irq, NO_IRQ, NO_IRQ }, 0 };
        if (!make(pc, &d, (const char *[]){ "chardev", pc->cfg.serial[i], NULL }, err))
            return false;
    }
    return true;
}

/*
 * The A20 gate: keyboard controller and port 92h are ORed. Off, the second MiB shows the first; what real hardware does to the other odd
 * ones nobody looks at.
 */
static void a20_input(void *opaque, unsigned n, bool level)
{
    mem_region_set_enabled(((Pc *)opaque)->a20_off, !level);
}

static void wire_a20(Pc *pc)
{
    enum { MIB = 0x100000 };
    pc->a20_off = mem_region_new_alias(machine_mem(pc->m), "a20-off", pc->ram, 0, MIB);
    mem_region_set_enabled(pc->a20_off, false);
    mem_region_add(machine_mem_root(pc->m), MIB, pc->a20_off, 2);
    pc->a20 = irq_wire_new(machine_fabric(pc->m), a20_input, pc, 0);
    irq_connect(pc->kbd->irq[2], pc->a20);
    irq_connect(pc->port92->irq[0], pc->a20);
}

/* What firmware finds out through numbered items and CMOS. */
static void tell_firmware(Pc *pc)
{
    static const char letters[] = "acdn";
    uint8_t raw[8], uuid[16] = { 0 };
    fw_cfg_setup(pc->fw_cfg, pc->m);
    store_le64(raw, pc->low_bytes);
    fw_cfg_set_item(pc->fw_cfg, FW_CFG_RAM_SIZE, raw, 8);
    store_le16(raw, (uint16_t)machine_n_vcpus(pc->m));
    fw_cfg_set_item(pc->fw_cfg, FW_CFG_NB_CPUS, raw, 2);
    fw_cfg_set_item(pc->fw_cfg, FW_CFG_MAX_CPUS, raw, 2);
    store_le16(raw, pc->cfg.boot_menu);
    fw_cfg_set_item(pc->fw_cfg, FW_CFG_BOOT_MENU, raw, 2);
    store_le16(raw, 1);
    fw_cfg_set_item(pc->fw_cfg, FW_CFG_NOGRAPHIC, raw, 2);
    fw_cfg_set_item(pc->fw_cfg, FW_CFG_UUID, uuid, sizeof(uuid));
    /* Boot order as nibbles: 1 floppy, 2 disk, 3 CD-ROM, 4 network; 0x38 bit 0: do not look for a floppy's signature. */
    uint8_t order[3] = { 0 };
    const char *o = pc->cfg.boot_order ? pc->cfg.boot_order : "cd";
    for (unsigned i = 0; i < 3 && o[i]; i++)
        order[i] = (uint8_t)(strchr(letters, o[i]) - letters + 1);
    rtc_set_cmos(pc->rtc, 0x3d, (uint8_t)(order[0] | order[1] << 4));
    rtc_set_cmos(pc->rtc, 0x38, (uint8_t)(order[2] << 4 | 1));
}

/* Memory sizes where firmware since the AT keeps them: KiB up to 64 MiB, 64 KiB units from 16 MiB, 64 KiB units above 4 GiB. */
static void tell_cmos_memory(Pc *pc)
{
    uint64_t ext = (pc->low_bytes - MIN(pc->low_bytes, 0x100000ull)) >> 10, above16 = pc->low_bytes > 16 << 20 ? (pc->low_bytes - (16 << 20)) >> 16 : 0;
    uint64_t high = pc->high_bytes >> 16;
    const struct { uint8_t at; uint64_t v; } words[] = { { 0x15, 640 }, { 0x17, MIN(ext, 65535ull) }, { 0x30, MIN(ext, 65535ull) }, { 0x34, MIN(above16, 65535ull) } };
    for (unsigned i = 0; i < ARRAY_LEN(words); i++) {
        rtc_set_cmos(pc->rtc, words[i].at, (uint8_t)words[i].v);
        rtc_set_cmos(pc->rtc, words[i].at + 1u, (uint8_t)(words[i].v >> 8));
    }
    for (unsigned i = 0; i < 3; i++)
        rtc_set_cmos(pc->rtc, 0x5b + i, (uint8_t)(high >> 8 * i));
    rtc_set_cmos(pc->rtc, 0x5f, (uint8_t)(machine_n_vcpus(pc->m) - 1));
    rtc_set_cmos(pc->rtc, 0x14, 0x06);          /* equipment: FPU, mouse port */
}

static bool make_debugcon(Pc *pc, GError **err)
{
    IsaDesc d = { "debugcon", "debugcon", false, { 0x402, 0xe9 }, 0, { NO_IRQ, NO_IRQ, NO_IRQ }, 0 };
    const char *props[] = { "chardev", pc->cfg.debugcon, NULL };
    return make(pc, &d, pc->cfg.debugcon ? props : NULL, err);
}

bool pc_make_isa(Pc *pc, GError **err)
{
    isa_bus_new(pc->m, pc->gsi);
    for (unsigned i = 0; i < ARRAY_LEN(isa); i++)
        if (!make(pc, &isa[i], NULL, err))
            return false;
    if (pc->hpet)               /* stands between the 8254, the RTC and their interrupts */
        hpet_connect(pc->hpet, pc->pit, pc->rtc, pc->gsi);
    wire_a20(pc);
    tell_firmware(pc);
    tell_cmos_memory(pc);
    return make_debugcon(pc, err) && make_serials(pc, err);
}
