/* The fixed tables: FACS, FADT, MADT, HPET, WAET, RSDT, XSDT (ACPI 6.4, chapter 5.2). */
#include <string.h>

#include "hw/acpi/acpi-internal.h"
#include "hw/pci/piix4_pm.h"
#include "util/bits.h"

/* Generic address structure: port @addr of @bits. */
static void put_gas_io(AcpiTables *t, uint8_t bits, uint64_t addr)
{
    acpi_put(t, addr ? 1 : 0, 1);
    acpi_put(t, addr ? bits : 0, 1);
    acpi_put(t, 0, 1);
    acpi_put(t, 0, 1);
    acpi_put(t, addr, 8);
}

static uint32_t facs(AcpiTables *t)
{
    uint8_t f[64] = { 0 };
    g_byte_array_set_size(t->data, (guint)align_up(t->data->len, 64));
    uint32_t at = t->data->len;
    memcpy(f, "FACS", 4);
    store_le32(f + 4, sizeof(f));
    g_byte_array_append(t->data, f, sizeof(f));
    return at;
}

/* Revision 3 (244 bytes): what every system of the last twenty years reads. 5.2.9. */
static uint32_t fadt(AcpiTables *t, const AcpiConfig *c, uint32_t facs_at, uint32_t dsdt_at)
{
    enum { WBINVD = 1, PROC_C1 = 4, SLP_BUTTON = 0x20, RTC_S4 = 0x80, RESET_REG_SUP = 0x400, LEGACY_DEVICES = 1, HAS_8042 = 2 };
    uint32_t at = acpi_table_begin(t, "FACP", 3);
    acpi_put_pointer(t, facs_at, 4);
    acpi_put_pointer(t, dsdt_at, 4);
    acpi_put(t, 0, 1);                          /* reserved */
    acpi_put(t, 1, 1);                          /* desktop */
    acpi_put(t, c->sci, 2);
    acpi_put(t, 0xb2, 4);                       /* SMI_CMD */
    acpi_put(t, PIIX4_ACPI_ENABLE, 1);
    acpi_put(t, PIIX4_ACPI_DISABLE, 1);
    acpi_put(t, 0, 2);                          /* S4BIOS_REQ, PSTATE_CNT */
    acpi_put(t, c->pm_base + PIIX4_PM1A_EVT, 4);
    acpi_put(t, 0, 4);
    acpi_put(t, c->pm_base + PIIX4_PM1A_CNT, 4);
    acpi_put(t, 0, 4);
    acpi_put(t, 0, 4);                          /* PM2 */
    acpi_put(t, c->pm_base + PIIX4_PM_TMR, 4);
    acpi_put(t, c->pm_base + PIIX4_GPE0, 4);
    acpi_put(t, 0, 4);
    acpi_put(t, 4, 1);                          /* lengths: PM1 event, control, PM2, timer, GPE0, GPE1 */
    acpi_put(t, 2, 1);
    acpi_put(t, 0, 1);
    acpi_put(t, 4, 1);
    acpi_put(t, PIIX4_GPE0_LEN, 1);
    acpi_put(t, 0, 1);
    acpi_put(t, 0, 2);                          /* GPE1_BASE, CST_CNT */
    acpi_put(t, 0xfff, 2);                      /* no C2, no C3 */
    acpi_put(t, 0xfff, 2);
    acpi_put(t, 0, 8);                          /* FLUSH_SIZE, FLUSH_STRIDE, DUTY_*, DAY_ALRM, MON_ALRM */
    acpi_put(t, 0x32, 1);                       /* CMOS register of the century */
    acpi_put(t, LEGACY_DEVICES | (c->has_kbd ? HAS_8042 : 0), 2);
    acpi_put(t, 0, 1);
    acpi_put(t, WBINVD | PROC_C1 | SLP_BUTTON | RTC_S4 | RESET_REG_SUP, 4);
    put_gas_io(t, 8, 0xcf9);                    /* RESET_REG */
    acpi_put(t, 6, 1);
    acpi_put(t, 0, 3);
    acpi_put(t, 0, 8);                          /* X_FIRMWARE_CTRL: the 32-bit one counts */
    acpi_put_pointer(t, dsdt_at, 8);
    put_gas_io(t, 32, c->pm_base + PIIX4_PM1A_EVT);
    put_gas_io(t, 0, 0);
    put_gas_io(t, 16, c->pm_base + PIIX4_PM1A_CNT);
    put_gas_io(t, 0, 0);
    put_gas_io(t, 0, 0);
    put_gas_io(t, 32, c->pm_base + PIIX4_PM_TMR);
    put_gas_io(t, 32, c->pm_base + PIIX4_GPE0);
    put_gas_io(t, 0, 0);
    acpi_table_end(t, at);
    return at;
}

static void madt_cpus(AcpiTables *t, const AcpiConfig *c)
{
    for (unsigned i = 0; i < c->n_cpus; i++) {
        bool x2 = c->apic_ids[i] >= 255;
        acpi_put(t, x2 ? 9 : 0, 1);
        acpi_put(t, x2 ? 16 : 8, 1);
        if (x2) {
            acpi_put(t, 0, 2);
            acpi_put(t, c->apic_ids[i], 4);
            acpi_put(t, 1, 4);
            acpi_put(t, i, 4);
        } else {
            acpi_put(t, i, 1);
            acpi_put(t, c->apic_ids[i], 1);
            acpi_put(t, 1, 4);
        }
    }
}

static uint32_t madt(AcpiTables *t, const AcpiConfig *c)
{
    /* ISA interrupts that differ from "edge, same number": the timer sits on pin 2; what PIRQs use is level, active high. */
    static const struct { uint8_t isa, gsi, flags; } overrides[] = { { 0, 2, 0 }, { 5, 5, 0xd }, { 9, 9, 0xd }, { 10, 10, 0xd }, { 11, 11, 0xd } };
    uint32_t at = acpi_table_begin(t, "APIC", 3);
    acpi_put(t, c->lapic_base, 4);
    acpi_put(t, 1, 4);                          /* dual 8259s present */
    madt_cpus(t, c);
    acpi_put(t, 1, 1);                          /* I/O APIC */
    acpi_put(t, 12, 1);
    acpi_put(t, 0, 2);
    acpi_put(t, c->ioapic_base, 4);
    acpi_put(t, 0, 4);
    for (unsigned i = 0; i < ARRAY_LEN(overrides); i++) {
        acpi_put(t, 2, 1);
        acpi_put(t, 10, 1);
        acpi_put(t, 0, 1);
        acpi_put(t, overrides[i].isa, 1);
        acpi_put(t, overrides[i].gsi, 4);
        acpi_put(t, overrides[i].flags, 2);
    }
    acpi_put(t, 4, 1);                          /* LINT1 of all processors is NMI */
    acpi_put(t, 6, 1);
    acpi_put(t, 0xff, 1);
    acpi_put(t, 0, 2);
    acpi_put(t, 1, 1);
    acpi_table_end(t, at);
    return at;
}

/* IA-PC HPET specification 1.0a, 3.2.4: the block ID is the low half of the capabilities register. */
static uint32_t hpet(AcpiTables *t, const AcpiConfig *c)
{
    uint32_t at = acpi_table_begin(t, "HPET", 1);
    acpi_put(t, 0x8086a201, 4);
    acpi_put(t, 0, 4);
    acpi_put(t, c->hpet_base, 8);
    acpi_put(t, 0, 1);
    acpi_put(t, 0, 2);
    acpi_put(t, 0, 1);
    acpi_table_end(t, at);
    return at;
}

/* Windows ACPI Emulated devices table: the RTC needs no double reads, nor does the PM timer. */
static uint32_t waet(AcpiTables *t)
{
    uint32_t at = acpi_table_begin(t, "WAET", 1);
    acpi_put(t, 3, 4);
    acpi_table_end(t, at);
    return at;
}

static uint32_t root(AcpiTables *t, const char sig[4], const uint32_t *tables, unsigned n, unsigned size)
{
    uint32_t at = acpi_table_begin(t, sig, 1);
    for (unsigned i = 0; i < n; i++)
        acpi_put_pointer(t, tables[i], size);
    acpi_table_end(t, at);
    return at;
}

AcpiTables *acpi_tables_new(const AcpiConfig *cfg)
{
    AcpiTables *t = g_new0(AcpiTables, 1);
    uint32_t list[8];
    unsigned n = 0;
    t->data = g_byte_array_new();
    t->patches = g_array_new(false, false, sizeof(AcpiPatch));
    uint32_t facs_at = facs(t), dsdt_at = acpi_table_begin(t, "DSDT", 2);
    acpi_dsdt(t, cfg);
    acpi_table_end(t, dsdt_at);
    list[n++] = fadt(t, cfg, facs_at, dsdt_at);
    list[n++] = madt(t, cfg);
    if (cfg->hpet_base)
        list[n++] = hpet(t, cfg);
    list[n++] = waet(t);
    t->rsdt = root(t, "RSDT", list, n, 4);
    t->xsdt = root(t, "XSDT", list, n, 8);
    return t;
}
