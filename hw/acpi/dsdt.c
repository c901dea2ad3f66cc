/* The DSDT of the PC: processors, the PCI root with its interrupt links, ISA devices, power button, S5. */
#include "hw/acpi/acpi-internal.h"
#include "hw/acpi/aml.h"
#include "hw/pci/piix4_pm.h"
#include "util/bits.h"

static void processors(Aml *a, const AcpiConfig *c)
{
    unsigned scope = aml_scope(a, "\\_SB");
    for (unsigned i = 0; i < c->n_cpus; i++) {
        g_autofree char *name = g_strdup_printf("C%03X", i);
        unsigned dev = aml_device(a, name);
        aml_name_string(a, "_HID", "ACPI0007");
        aml_name_int(a, "_UID", i);
        aml_end(a, dev);
    }
    aml_end(a, scope);
}

/* Interrupt link LNKA... (PNP0C0F): PIRQ route register @field of PIIX3, bit 7 = off. */
static void link_device(Aml *a, unsigned n)
{
    static const uint32_t choices[] = { 5, 10, 11 };
    char name[] = "LNKA", field[] = "PRQA";
    name[3] = field[3] = (char)('A' + n);
    unsigned dev = aml_device(a, name);
    aml_name_eisaid(a, "_HID", "PNP0C0F");
    aml_name_int(a, "_UID", n);
    Crs *prs = crs_new();
    crs_interrupts(prs, choices, ARRAY_LEN(choices));
    aml_name_crs(a, "_PRS", prs);

    unsigned m = aml_method(a, "_STA", 0);      /* 9: present, but disabled; 11: in use */
    unsigned cond = aml_begin(a, AML_IF);
    aml_op(a, AML_AND);
    aml_name(a, field);
    aml_int(a, 0x80);
    aml_op(a, AML_ZERO);
    aml_op(a, AML_RETURN);
    aml_int(a, 9);
    aml_end(a, cond);
    aml_op(a, AML_RETURN);
    aml_int(a, 11);
    aml_end(a, m);

    m = aml_method(a, "_DIS", 0);
    aml_op(a, AML_OR);
    aml_name(a, field);
    aml_int(a, 0x80);
    aml_name(a, field);
    aml_end(a, m);

    m = aml_method(a, "_CRS", 0);
    Crs *crs = crs_new();
    crs_interrupts(crs, (uint32_t[]){ 0 }, 1);
    aml_name_crs(a, "PRR0", crs);
    aml_op(a, AML_CREATE_DWORD);
    aml_name(a, "PRR0");
    aml_int(a, 5);                              /* the number in the descriptor */
    aml_name(a, "PRRI");
    aml_op(a, AML_AND);
    aml_name(a, field);
    aml_int(a, 0x0f);
    aml_name(a, "PRRI");
    aml_op(a, AML_RETURN);
    aml_name(a, "PRR0");
    aml_end(a, m);

    m = aml_method(a, "_SRS", 1);
    aml_op(a, AML_CREATE_DWORD);
    aml_op(a, AML_ARG0);
    aml_int(a, 5);
    aml_name(a, "PRRI");
    aml_op(a, AML_STORE);
    aml_name(a, "PRRI");
    aml_name(a, field);
    aml_end(a, m);
    aml_end(a, dev);
}

/* Each slot's four pins: slot 1 pin A is on PIRQA, as the board wires it. */
static void prt(Aml *a)
{
    enum { SLOTS = 32 };
    aml_op(a, AML_NAME);
    aml_name(a, "_PRT");
    unsigned all = aml_begin(a, AML_PACKAGE);
    aml_byte(a, SLOTS * 4);
    for (unsigned i = 0; i < SLOTS * 4; i++) {
        char name[] = "LNKA";
        name[3] = (char)('A' + (i / 4 + i % 4 + 3) % 4);
        unsigned one = aml_begin(a, AML_PACKAGE);
        aml_byte(a, 4);
        aml_int(a, (uint64_t)(i / 4) << 16 | 0xffff);
        aml_int(a, i % 4);
        aml_name(a, name);
        aml_int(a, 0);
        aml_end(a, one);
    }
    aml_end(a, all);
}

static void isa_device(Aml *a, const char *name, const char *hid, unsigned uid, Crs *crs)
{
    unsigned dev = aml_device(a, name);
    aml_name_eisaid(a, "_HID", hid);
    aml_name_int(a, "_UID", uid);
    aml_name_int(a, "_STA", 15);
    aml_name_crs(a, "_CRS", crs);
    aml_end(a, dev);
}

static void isa_devices(Aml *a, const AcpiConfig *c)
{
    Crs *crs;
    for (unsigned i = 0; i < c->n_serials; i++) {
        char name[] = "COM1";
        name[3] = (char)('1' + i);
        crs = crs_new();
        crs_io(crs, c->serial[i].port, 8);
        crs_irq(crs, (uint16_t)(1u << c->serial[i].irq));
        isa_device(a, name, "PNP0501", i + 1, crs);
    }
    if (c->has_rtc) {
        crs = crs_new();
        crs_io(crs, 0x70, 2);
        crs_irq(crs, 1 << 8);
        isa_device(a, "RTC_", "PNP0B00", 0, crs);
    }
    if (c->has_kbd) {
        crs = crs_new();
        crs_io(crs, 0x60, 1);
        crs_io(crs, 0x64, 1);
        crs_irq(crs, 1 << 1);
        isa_device(a, "KBD_", "PNP0303", 0, crs);
        crs = crs_new();
        crs_irq(crs, 1 << 12);
        isa_device(a, "MOU_", "PNP0F13", 0, crs);
    }
}

/* PIIX3's function: PIRQ route registers and what hangs on ISA. */
static void isa_bridge(Aml *a, const AcpiConfig *c)
{
    unsigned dev = aml_device(a, "ISA_");
    aml_name_int(a, "_ADR", 0x00010000);
    aml_op(a, AML_OPREGION);
    aml_name(a, "P40C");
    aml_byte(a, 2);             /* PCI_Config */
    aml_int(a, 0x60);
    aml_int(a, 4);
    isa_devices(a, c);
    aml_end(a, dev);
    unsigned f = aml_begin(a, AML_FIELD);
    aml_name(a, "ISA_.P40C");
    aml_byte(a, 1);             /* ByteAcc, NoLock, Preserve */
    for (unsigned i = 0; i < 4; i++) {
        char name[] = "PRQA";
        name[3] = (char)('A' + i);
        aml_raw(a, name, 4);
        aml_byte(a, 8);
    }
    aml_end(a, f);
}

static void pci_root(Aml *a, const AcpiConfig *c)
{
    unsigned scope = aml_scope(a, "\\_SB"), dev = aml_device(a, "PCI0");
    aml_name_eisaid(a, "_HID", "PNP0A03");
    aml_name_int(a, "_UID", 0);
    aml_name_int(a, "_ADR", 0);
    Crs *crs = crs_new();
    crs_word_bus(crs, 0, 255);
    crs_io(crs, 0xcf8, 8);
    crs_word_io(crs, 0, 0xcf7);
    crs_word_io(crs, 0xd00, 0xffff);
    crs_dword_memory(crs, true, 0xa0000, 0xbffff);
    crs_dword_memory(crs, false, (uint32_t)c->pci_mem_base, (uint32_t)(c->pci_mem_end - 1));
    aml_name_crs(a, "_CRS", crs);
    isa_bridge(a, c);
    /* In PCI0's scope, so that they find the bridge's fields; before _PRT, which names them. */
    for (unsigned i = 0; i < 4; i++)
        link_device(a, i);
    prt(a);
    aml_end(a, dev);
    aml_end(a, scope);
}

static void hpet_device(Aml *a, const AcpiConfig *c)
{
    unsigned scope = aml_scope(a, "\\_SB"), dev = aml_device(a, "HPET");
    aml_name_eisaid(a, "_HID", "PNP0103");
    aml_name_int(a, "_UID", 0);
    Crs *crs = crs_new();
    crs_memory32(crs, false, c->hpet_base, 0x400);
    aml_name_crs(a, "_CRS", crs);
    aml_end(a, dev);
    aml_end(a, scope);
}

/* \_S5: what SLP_TYP to write (7.4.2.6). The power button is the fixed one: FADT flag PWR_BUTTON is 0. */
static void sleep_states(Aml *a)
{
    aml_op(a, AML_NAME);
    aml_name(a, "\\_S5");
    unsigned p = aml_begin(a, AML_PACKAGE);
    aml_byte(a, 4);
    aml_int(a, PIIX4_SLP_TYP_S5);
    aml_int(a, PIIX4_SLP_TYP_S5);
    aml_int(a, 0);
    aml_int(a, 0);
    aml_end(a, p);
}

void acpi_dsdt(AcpiTables *t, const AcpiConfig *cfg)
{
    Aml *a = t->data;
    pci_root(a, cfg);
    if (cfg->hpet_base)
        hpet_device(a, cfg);
    processors(a, cfg);
    sleep_states(a);
}
