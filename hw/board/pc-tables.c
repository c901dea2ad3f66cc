/* ACPI and SMBIOS of the machine as it is. */
#include "hw/acpi/smbios.h"
#include "hw/board/pc-internal.h"

bool pc_make_tables(Pc *pc, GError **err)
{
    unsigned n = machine_n_vcpus(pc->m), count, max;
    g_autofree uint32_t *ids = g_new0(uint32_t, n + 1);
    for (unsigned i = 0; i < n; i++)
        ids[i] = machine_vcpu(pc->m, i)->apic_id;
    AcpiConfig cfg = {
        .n_cpus = n, .apic_ids = ids, .pm_base = PC_PM_BASE, .sci = PC_SCI, .pci_mem_base = MAX(pc->low_bytes, 0x80000000ull), .pci_mem_end = PC_PCI_END,
        .ioapic_base = PC_IOAPIC, .lapic_base = PC_LAPIC, .hpet_base = pc->hpet ? PC_HPET : 0, .has_kbd = pc->kbd, .has_rtc = pc->rtc,
    };
    for (unsigned i = 0; i < PC_SERIALS; i++) {
        if (pc->cfg.serial[i]) {
            cfg.serial[cfg.n_serials].port = pc_serial_port(i);
            cfg.serial[cfg.n_serials++].irq = pc_serial_irq(i);
        }
    }
    pc->acpi = acpi_tables_new(&cfg);
    SmbiosConfig sm = { .uuid = pc->cfg.uuid, .product = "Tandem PC", .n_cpus = n, .ram_bytes = pc->ram_bytes, .low_bytes = pc->low_bytes };
    pc->smbios_tables = smbios_tables(&sm, &count, &max);
    pc->smbios_anchor = smbios_anchor(pc->smbios_tables, count, max, PC_SMBIOS_TABLES);
    return true;
}
