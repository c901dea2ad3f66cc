/* Intel 82371AB (PIIX4) function 3: power management and SMBus (data sheet 290562-001, chapter 7). */
#include "hw/pci/piix4_pm.h"

#include <linux/pci_regs.h>
#include <string.h>

#include "util/bits.h"

enum {  /* configuration space */
    PMBA = 0x40, CNTA = 0x44, DEVACTA = 0x54, DEVACTB = 0x58, DEVACTB_APMC_EN = 1 << 25, PMREGMISC = 0x80, PMIOSE = 1,
    SMBBA = 0x90, SMBHSTCFG = 0xd2, SMB_HST_EN = 1,
};
enum {  /* ACPI registers from PMBA */
    PMSTS = 0x00, PMEN = 0x02, PMCNTRL = 0x04, PMTMR = 0x08, GPSTS = 0x0c, GPEN = 0x0e, PM_SIZE = 0x40,
    TMROF = 1 << 0, GBL = 1 << 5, PWRBTN = 1 << 8, RTC = 1 << 10, RSM = 1 << 15,
    PMSTS_BITS = TMROF | GBL | PWRBTN | RTC | RSM, PMEN_BITS = TMROF | GBL | PWRBTN | RTC,
    SCI_EN = 1 << 0, GBL_RLS = 1 << 2, SUS_TYP_SHIFT = 10, SUS_EN = 1 << 13, PMCNTRL_BITS = SCI_EN | 2 | 7 << SUS_TYP_SHIFT,
};
enum { SMBHSTSTS = 0, SMBHSTCNT = 2, SMB_SIZE = 16, SMB_START = 0x40, SMB_DEV_ERR = 0x04, SMB_STS_BITS = 0x1e };
enum { PM_HZ = 3579545, PM_WRAP = 1 << 23 };     /* the status bit follows bit 23 of a 24-bit counter */
enum { IRQ_SCI, IRQ_SMI };

typedef struct Piix4Pm {
    PciDevice pci;
    MemRegion *acpi, *smbus;
    Timer *overflow;
    bool have_smm;              /* option: an SMM handler can be installed */
    uint64_t epoch;             /* half turns of the counter that TMROF_STS has told of */
    uint16_t pmsts, pmen, pmcntrl, gpsts, gpen;
    uint8_t plain[PM_SIZE];     /* the other registers: storage */
    uint8_t apmc, apms;
    uint8_t smb[SMB_SIZE];
} Piix4Pm;

static Piix4Pm *pm_of(void *dev)
{
    return dev;
}

/* ---- timer and SCI; lock held ---- */

static uint64_t pm_ticks(Piix4Pm *s)
{
    return mclock_ns_to_ticks(mclock_now(s->pci.dev.clock, CLOCK_KIND_VIRTUAL), PM_HZ);
}

/* TMROF_STS as it stands now: set whenever bit 23 changed since it was cleared. */
static void look_at_timer(Piix4Pm *s)
{
    uint64_t epoch = pm_ticks(s) / PM_WRAP;
    if (epoch != s->epoch)
        s->pmsts |= TMROF;
    s->epoch = epoch;
}

static void update_sci(Piix4Pm *s)
{
    bool on = s->pmcntrl & SCI_EN && (s->pmsts & s->pmen & PMEN_BITS || s->gpsts & s->gpen);
    irq_set(s->pci.dev.irq[IRQ_SCI], on);
}

/* The timer is armed only while its interrupt could be seen; for readers look_at_timer is enough. */
static void arm_overflow(Piix4Pm *s)
{
    if (!(s->pmen & TMROF) || s->pmsts & TMROF) {
        timer_cancel(s->overflow);
        return;
    }
    uint64_t next = (pm_ticks(s) | (PM_WRAP - 1)) + 1;
    timer_arm(s->overflow, mclock_ticks_to_ns_up(next, PM_HZ));
}

static void overflowed(void *opaque)
{
    Piix4Pm *s = opaque;
    look_at_timer(s);
    update_sci(s);
}

static void sleep_request(Piix4Pm *s, uint16_t val)
{
    switch (val >> SUS_TYP_SHIFT & 7) {
    case PIIX4_SLP_TYP_S5:
        device_request(&s->pci.dev, DEVICE_REQ_SHUTDOWN, 0);
        break;
    case PIIX4_SLP_TYP_S3:
        device_request(&s->pci.dev, DEVICE_REQ_SUSPEND, 0);
        break;
    default:
        break;
    }
}

/* ---- ACPI registers: handled as bytes, so that any width works ---- */

static uint64_t acpi_read(void *opaque, uint64_t off, unsigned size)
{
    Piix4Pm *s = opaque;
    look_at_timer(s);
    uint8_t img[PM_SIZE + 8];
    memcpy(img, s->plain, PM_SIZE);
    memset(img + PM_SIZE, 0xff, 8);
    store_le16(img + PMSTS, s->pmsts);
    store_le16(img + PMEN, s->pmen);
    store_le16(img + PMCNTRL, s->pmcntrl);
    store_le32(img + PMTMR, (uint32_t)pm_ticks(s) & 0xffffff);
    store_le16(img + GPSTS, s->gpsts);
    store_le16(img + GPEN, s->gpen);
    return load_le(img + off, size);
}

static bool covers(uint64_t off, unsigned size, unsigned reg)
{
    return off < reg + 2u && reg < off + size;
}

/* The part of a 16-bit register at @reg that an access carries; @mask gets the bits it covers. */
static uint16_t part(uint64_t off, uint64_t val, unsigned size, unsigned reg, uint16_t *ret_mask)
{
    uint16_t v = 0, mask = 0;
    for (unsigned i = 0; i < 2; i++)
        if (reg + i >= off && reg + i < off + size) {
            v |= (uint16_t)((val >> 8 * (reg + i - off) & 0xff) << 8 * i);
            mask |= (uint16_t)(0xff << 8 * i);
        }
    *ret_mask = mask;
    return v;
}

static void merge(uint16_t *reg, uint16_t v, uint16_t mask, uint16_t writable)
{
    *reg = (uint16_t)((*reg & ~(mask & writable)) | (v & mask & writable));
}

static void acpi_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    Piix4Pm *s = opaque;
    uint16_t mask, v;
    look_at_timer(s);
    if (covers(off, size, PMSTS))
        s->pmsts &= (uint16_t)~(part(off, val, size, PMSTS, &mask) & PMSTS_BITS);
    if (covers(off, size, PMEN)) {
        v = part(off, val, size, PMEN, &mask);
        merge(&s->pmen, v, mask, PMEN_BITS);
    }
    if (covers(off, size, PMCNTRL)) {
        v = part(off, val, size, PMCNTRL, &mask);
        merge(&s->pmcntrl, v, mask, PMCNTRL_BITS);
        if (v & SUS_EN)
            sleep_request(s, s->pmcntrl);
    }
    if (covers(off, size, GPSTS))
        s->gpsts &= (uint16_t)~part(off, val, size, GPSTS, &mask);
    if (covers(off, size, GPEN)) {
        v = part(off, val, size, GPEN, &mask);
        merge(&s->gpen, v, mask, 0xffff);
    }
    for (unsigned i = 0; i < size; i++)
        if (off + i >= 0x10 && off + i < PM_SIZE)
            s->plain[off + i] = (uint8_t)(val >> 8 * i);
    arm_overflow(s);
    update_sci(s);
}

static const MmioOps acpi_ops = { .read = acpi_read, .write = acpi_write, .min_size = 1, .max_size = 4, .unaligned = true };

/* ---- APM ports 0xb2, 0xb3 ---- */

static uint64_t apm_read(void *opaque, uint64_t off, unsigned size)
{
    const Piix4Pm *s = opaque;
    return off ? s->apms : s->apmc;
}

static void apm_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    Piix4Pm *s = opaque;
    if (off) {
        s->apms = (uint8_t)val;
        return;
    }
    s->apmc = (uint8_t)val;
    /* The two commands of the FADT; done here so that ACPI works where no SMM handler can be. */
    if (val == PIIX4_ACPI_ENABLE)
        s->pmcntrl |= SCI_EN;
    else if (val == PIIX4_ACPI_DISABLE)
        s->pmcntrl &= (uint16_t)~SCI_EN;
    update_sci(s);
    if (s->have_smm && load_le32(&s->pci.config[DEVACTB]) & DEVACTB_APMC_EN)
        irq_pulse(s->pci.dev.irq[IRQ_SMI]);
}

static const MmioOps apm_ops = { .read = apm_read, .write = apm_write, .min_size = 1, .max_size = 1 };

/* ---- SMBus host: no device answers, so every transaction ends in a device error (7.3.1) ---- */

static uint64_t smb_read(void *opaque, uint64_t off, unsigned size)
{
    const Piix4Pm *s = opaque;
    return s->smb[off];
}

static void smb_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    Piix4Pm *s = opaque;
    if (off == SMBHSTSTS) {
        s->smb[off] &= (uint8_t)~(val & SMB_STS_BITS);
        return;
    }
    s->smb[off] = (uint8_t)val;
    if (off == SMBHSTCNT && val & SMB_START) {
        s->smb[off] &= (uint8_t)~SMB_START;
        s->smb[SMBHSTSTS] |= SMB_DEV_ERR;
    }
}

static const MmioOps smb_ops = { .read = smb_read, .write = smb_write, .min_size = 1, .max_size = 1 };

/* ---- configuration ---- */

static void place(MemRegion *mr, MemRegion *io, uint32_t base, bool on)
{
    mem_region_remove(mr);
    if (on && base)
        mem_region_add(io, base, mr, 1);
}

static void update_io(Piix4Pm *s)
{
    const uint8_t *c = s->pci.config;
    MemRegion *io = pci_device_bus(&s->pci)->cfg.io;
    MemSystem *ms = device_mem(&s->pci.dev);
    mem_begin(ms);
    place(s->acpi, io, load_le32(c + PMBA) & 0xffc0, c[PMREGMISC] & PMIOSE);
    place(s->smbus, io, load_le32(c + SMBBA) & 0xfff0, c[SMBHSTCFG] & SMB_HST_EN);
    mem_commit(ms);
}

static void pm_config_written(PciDevice *pci, unsigned off, unsigned len)
{
    static const uint8_t regs[][2] = { { PMBA, 4 }, { PMREGMISC, 1 }, { SMBBA, 4 }, { SMBHSTCFG, 1 } };
    for (unsigned i = 0; i < ARRAY_LEN(regs); i++)
        if (off < regs[i][0] + (unsigned)regs[i][1] && off + len > regs[i][0]) {
            update_io((Piix4Pm *)pci);
            return;
        }
}

static void pm_reset(PciDevice *pci)
{
    Piix4Pm *s = (Piix4Pm *)pci;
    s->pmsts = s->pmen = s->pmcntrl = s->gpsts = s->gpen = 0;
    memset(s->plain, 0, sizeof(s->plain));
    memset(s->smb, 0, sizeof(s->smb));
    s->apmc = s->apms = 0;
    s->epoch = pm_ticks(s) / PM_WRAP;
    timer_cancel(s->overflow);
    /* Without SMM firmware must find the work done: SeaBIOS takes APMC_EN as "already set up". */
    if (!s->have_smm)
        store_le32(&pci->config[DEVACTB], DEVACTB_APMC_EN);
    update_io(s);
    update_sci(s);
}

static bool pm_realize(Device *dev, GError **err)
{
    Piix4Pm *s = pm_of(dev);
    PciDevice *pci = &s->pci;
    MemSystem *ms = device_mem(dev);
    pci_config_set(pci, PMBA, 1, 4);
    pci_set_wmask(pci, PMBA, 0xffc0, 4);
    for (unsigned r = CNTA; r < DEVACTB + 4; r++)
        pci_set_wmask(pci, r, 0xff, 1);         /* CNTA, CNTB, GPICTL, DEVRESD, DEVACTA, DEVACTB */
    for (unsigned r = 0x5c; r < 0x80; r++)
        pci_set_wmask(pci, r, 0xff, 1);         /* DEVRESA-J */
    pci_set_wmask(pci, PMREGMISC, PMIOSE, 1);
    pci_config_set(pci, SMBBA, 1, 4);
    pci_set_wmask(pci, SMBBA, 0xfff0, 4);
    pci_set_wmask(pci, SMBHSTCFG, 0x0f, 1);
    pci_config_set(pci, SMBHSTCFG + 4, 0, 1);
    pci_set_wmask(pci, PCI_COMMAND, PCI_COMMAND_IO, 2);
    pci_config_set(pci, PCI_STATUS, PCI_STATUS_FAST_BACK | PCI_STATUS_DEVSEL_MEDIUM, 2);
    device_init_irqs(dev, 2);
    device_init_pio(dev, 0, "apm", &apm_ops, 2);
    s->acpi = mem_region_new_mmio(ms, "piix4-acpi", &acpi_ops, s, PM_SIZE, dev->lock);
    s->smbus = mem_region_new_mmio(ms, "piix4-smbus", &smb_ops, s, SMB_SIZE, dev->lock);
    s->overflow = device_timer_new(dev, overflowed);
    return true;
}

static void pm_unrealize(Device *dev)
{
    Piix4Pm *s = pm_of(dev);
    timer_free(s->overflow);
    mem_region_remove(s->acpi);
    mem_region_remove(s->smbus);
    mem_region_unref(s->acpi);
    mem_region_unref(s->smbus);
}

void piix4_pm_power_button(void *opaque)
{
    Piix4Pm *s = opaque;
    if (!devlock_enter(s->pci.dev.lock))
        return;
    s->pmsts |= PWRBTN;
    update_sci(s);
    devlock_leave(s->pci.dev.lock);
}

void piix4_pm_setup(Device *dev, uint16_t base, uint16_t smbus)
{
    PciDevice *pci = (PciDevice *)dev;
    PciBus *bus = pci_device_bus(pci);
    pci_bus_config_write(bus, pci->devfn, PMBA, base, 4);
    pci_bus_config_write(bus, pci->devfn, PMREGMISC, PMIOSE, 1);
    pci_bus_config_write(bus, pci->devfn, SMBBA, smbus, 4);
    pci_bus_config_write(bus, pci->devfn, SMBHSTCFG, SMB_HST_EN | 8, 1);
}

/* ---- saved state ---- */

static bool pm_post_load(Device *dev, unsigned version, GError **err)
{
    Piix4Pm *s = pm_of(dev);
    update_io(s);
    arm_overflow(s);
    update_sci(s);
    return true;
}

static const FieldDesc pm_fields[] = {
    FIELD(Piix4Pm, epoch), FIELD(Piix4Pm, pmsts), FIELD(Piix4Pm, pmen), FIELD(Piix4Pm, pmcntrl), FIELD(Piix4Pm, gpsts), FIELD(Piix4Pm, gpen),
    FIELD_ARRAY(Piix4Pm, plain), FIELD(Piix4Pm, apmc), FIELD(Piix4Pm, apms), FIELD_ARRAY(Piix4Pm, smb), { 0 }
};
static const DeviceSection pm_state[] = {
    { .name = "piix4-pm", .version = 1, .min_version = 1, .fields = pm_fields, .post_load = pm_post_load },
    { 0 }
};

static const PropDesc pm_props[] = {
    PROP(Piix4Pm, have_smm, PROP_BOOL, "smm", .def = "on", .help = "the engine has system management mode"),
    { 0 }
};

const PciDeviceClass piix4_pm_class = {
    .dev = PCI_CLASS("PIIX4_PM", "PIIX4 power management and SMBus", Piix4Pm, .internal = true, .props = pm_props, .state = pm_state,
                     .realize = pm_realize, .unrealize = pm_unrealize),
    .vendor = 0x8086, .device = 0x7113, .revision = 3, .class_code = 0x068000, .int_pin = 1,
    .sub_vendor = 0x1af4, .sub_device = 0x1100,
    .config_written = pm_config_written, .reset = pm_reset,
};
