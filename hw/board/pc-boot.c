/* Booting a kernel without firmware: what lies in memory, and what firmware would have done to the chips. */
#include <linux/pci_regs.h>
#include <string.h>

#include "hw/board/pc-internal.h"
#include "util/bits.h"

/* ---- plan ---- */

static void make_e820(Pc *pc, uint64_t acpi_len)
{
    pc->n_e820 = 0;
    pc_e820_add(pc, 0, BOOT_EBDA, E820_RAM);
    pc_e820_add(pc, BOOT_EBDA, 0xa0000 - BOOT_EBDA, E820_RESERVED);
    pc_e820_add(pc, PC_BOOT_ROM, PC_BOOT_ROM_SIZE, E820_RESERVED);
    pc->acpi_base = pc->low_bytes - acpi_len;
    pc_e820_add(pc, 0x100000, pc->acpi_base - 0x100000, E820_RAM);
    pc_e820_add(pc, pc->acpi_base, acpi_len, E820_ACPI);
    pc_e820_add(pc, 0xfffc0000, 0x40000, E820_RESERVED);
    pc_e820_add(pc, PC_HIGH_BASE, pc->high_bytes, E820_RAM);
}

static void keep_files(Pc *pc, GBytes *kernel, const BootEnv *env)
{
    pc->boot_files = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    g_ptr_array_add(pc->boot_files, g_bytes_ref(kernel));
    for (unsigned i = 0; i < env->n_modules; i++)
        g_ptr_array_add(pc->boot_files, g_bytes_ref(env->modules[i].data));
}

static bool make_plan(Pc *pc, GError **err)
{
    const PcConfig *c = &pc->cfg;
    g_autoptr(GError) e = NULL;
    g_autoptr(GBytes) kernel = boot_file_open(c->kernel, "the kernel", &e);
    g_autoptr(GArray) modules = kernel && c->initrd ? boot_modules_open(c->initrd, &e) : NULL;
    BootEnv env = {
        .map = pc->e820, .n_map = pc->n_e820, .rsdp = pc->acpi ? PC_BOOT_ROM : 0, .kernel_name = c->kernel, .cmdline = c->append ? c->append : "",
        .modules = modules ? (const BootModule *)modules->data : NULL, .n_modules = modules ? modules->len : 0, .firmware = c->bios != NULL,
    };
    if (e) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_FAILED, "%s", e->message);
        return false;
    }
    if (!boot_plan_make(&pc->plan, kernel, &env, &e)) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_FAILED, "-kernel %s: %s", c->kernel, e->message);
        return false;
    }
    keep_files(pc, kernel, &env);
    return true;
}

/* In firmware's place at 0xf0000: RSDP and SMBIOS, where systems look for them; reset vector at the end: nothing to run. */
static bool make_rom(Pc *pc, GError **err)
{
    MemSystem *ms = machine_mem(pc->m);
    MemRegion *pci = i440fx_pci_mem(pc->host), *rom = mem_region_new_rom(ms, "boot-rom", PC_BOOT_ROM_SIZE, err);
    if (!rom)
        return false;
    uint8_t *p = mem_region_ram_host(rom);
    acpi_rsdp_at(pc->acpi, pc->acpi_base, p);
    memcpy(p + PC_SMBIOS_ANCHOR - PC_BOOT_ROM, pc->smbios_anchor->data, pc->smbios_anchor->len);
    memcpy(p + PC_SMBIOS_TABLES - PC_BOOT_ROM, pc->smbios_tables->data, MIN(pc->smbios_tables->len, 0xff00u - (PC_SMBIOS_TABLES - PC_BOOT_ROM)));
    p[0xfff0] = 0xf4;           /* hlt */
    p[0xfff1] = 0xeb;           /* jmp back to it */
    p[0xfff2] = 0xfd;
    mem_region_add(pci, PC_BOOT_ROM, rom, 0);
    MemRegion *high = mem_region_new_alias(ms, "boot-rom-high", rom, 0, PC_BOOT_ROM_SIZE);
    mem_region_add(pci, PC_HIGH_BASE - PC_BOOT_ROM_SIZE, high, 0);
    mem_region_unref(high);
    mem_region_unref(rom);
    return true;
}

bool pc_boot_plan(Pc *pc, GError **err)
{
    uint64_t acpi_len = align_up(acpi_tables_size(pc->acpi), 0x10000);
    if (pc->low_bytes < 0x200000 + acpi_len) {
        g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "-m: a kernel needs at least %u MiB of memory", (unsigned)(DIV_UP(0x200000 + acpi_len, 1 << 20)));
        return false;
    }
    make_e820(pc, acpi_len);
    if (!make_plan(pc, err))
        return false;
    pc->direct = pc->plan.mode != BOOT_REAL16;
    return true;
}

bool pc_boot_prepare(Pc *pc, GError **err)
{
    return make_rom(pc, err);
}

/* ---- at each reset ---- */

static void load(Pc *pc)
{
    AddressSpace *as = machine_as_mem(pc->m);
    static const uint8_t zeros[65536];
    for (unsigned i = 0; i < pc->plan.segments->len; i++) {
        const BootSegment *s = &g_array_index(pc->plan.segments, BootSegment, i);
        gsize n = 0;
        const void *p = s->data ? g_bytes_get_data(s->data, &n) : NULL;
        if (n)
            as_dma_write(as, s->gpa, p, n);
        for (uint64_t at = n; at < s->len; at += sizeof(zeros))
            as_dma_write(as, s->gpa + at, zeros, MIN(sizeof(zeros), s->len - at));
    }
    for (unsigned i = 0; i < pc->boot_files->len; i++)
        boot_file_rest(pc->boot_files->pdata[i]);
}

static uint64_t bar_size(PciBus *b, uint8_t devfn, unsigned off, uint32_t *ret_old)
{
    *ret_old = pci_bus_config_read(b, devfn, off, 4);
    pci_bus_config_write(b, devfn, off, UINT32_MAX, 4);
    uint32_t v = pci_bus_config_read(b, devfn, off, 4);
    pci_bus_config_write(b, devfn, off, *ret_old, 4);
    if (!v)
        return 0;
    return *ret_old & PCI_BASE_ADDRESS_SPACE_IO ? (~(v & 0xfffcu) & 0xffff) + 1u : (uint64_t)(uint32_t)(~(v & ~15u)) + 1;
}

/* First fit upwards, memory and ports; what does not fit stays off, as with firmware. */
static void assign_bars(PciBus *b, uint8_t devfn, uint64_t *mem, uint64_t *io)
{
    for (unsigned i = 0; i < 6; i++) {
        uint32_t old;
        unsigned off = PCI_BASE_ADDRESS_0 + 4 * i;
        uint64_t size = bar_size(b, devfn, off, &old);
        bool is_io = old & PCI_BASE_ADDRESS_SPACE_IO;
        bool is64 = !is_io && (old & PCI_BASE_ADDRESS_MEM_TYPE_MASK) == PCI_BASE_ADDRESS_MEM_TYPE_64;
        uint64_t *next = is_io ? io : mem, end = is_io ? 0x10000 : PC_PCI_END;
        if (size && align_up(*next, size) + size <= end) {
            uint64_t at = align_up(*next, size);
            pci_bus_config_write(b, devfn, off, (uint32_t)at, 4);
            if (is64)
                pci_bus_config_write(b, devfn, off + 4, 0, 4);
            *next = at + size;
        }
        i += is64;
    }
}

/* Interrupt lines as SeaBIOS routes them: PIRQA-D on 10, 10, 11, 11, level triggered. */
static void assign_irqs(Pc *pc, PciBus *b)
{
    static const uint8_t line[4] = { 10, 10, 11, 11 };
    for (unsigned i = 0; i < 4; i++)
        pci_bus_config_write(b, PCI_DEVFN(1, 0), 0x60 + i, line[i], 1);
    as_store(machine_as_io(pc->m), 0x4d1, 1, 1 << (10 - 8) | 1 << (11 - 8));
    for (unsigned devfn = 0; devfn < PCI_SLOTS * PCI_FUNCS; devfn++) {
        unsigned pin = pci_bus_device(b, (uint8_t)devfn) ? pci_bus_config_read(b, (uint8_t)devfn, PCI_INTERRUPT_PIN, 1) : 0;
        if (pin >= 1 && pin <= 4)
            pci_bus_config_write(b, (uint8_t)devfn, PCI_INTERRUPT_LINE, line[((devfn >> 3) + pin - 1 + 3) & 3], 1);
    }
}

static void setup_pci(Pc *pc)
{
    PciBus *b = i440fx_bus(pc->host);
    uint64_t mem = PC_LOW_MAX, io = 0xc000;
    for (unsigned devfn = 0; devfn < PCI_SLOTS * PCI_FUNCS; devfn++) {
        if (!pci_bus_device(b, (uint8_t)devfn))
            continue;
        assign_bars(b, (uint8_t)devfn, &mem, &io);
        uint32_t cmd = pci_bus_config_read(b, (uint8_t)devfn, PCI_COMMAND, 2);
        pci_bus_config_write(b, (uint8_t)devfn, PCI_COMMAND, cmd | PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
    }
    assign_irqs(pc, b);
}

/*
 * Ports as firmware leaves them. Serial lines at 115200 8N1: a kernel that only writes characters must not find the 5 data bits of a reset
 * 16550 (LCR = 0). The timer runs, because Linux waits for its count. The 8259s are at the vectors they have had since 1981, all masked.
 */
static void setup_ports(Pc *pc)
{
    AddressSpace *io = machine_as_io(pc->m);
    static const struct { uint8_t reg, val; } serial[] = { { 3, 0x83 }, { 0, 1 }, { 1, 0 }, { 3, 0x03 }, { 4, 0x03 } };
    static const struct { uint8_t port, val; } chips[] = {
        { 0x43, 0x34 }, { 0x40, 0 }, { 0x40, 0 },
        { 0x20, 0x11 }, { 0x21, 0x08 }, { 0x21, 4 }, { 0x21, 1 }, { 0x21, 0xff }, { 0xa0, 0x11 }, { 0xa1, 0x70 }, { 0xa1, 2 }, { 0xa1, 1 }, { 0xa1, 0xff },
    };
    for (unsigned i = 0; i < ARRAY_LEN(chips); i++)
        as_store(io, chips[i].port, 1, chips[i].val);
    for (unsigned i = 0; i < PC_SERIALS; i++)
        for (unsigned k = 0; pc->cfg.serial[i] && k < ARRAY_LEN(serial); k++)
            as_store(io, pc_serial_port(i) + serial[k].reg, 1, serial[k].val);
}

void pc_boot_reset(Pc *pc)
{
    AddressSpace *as = machine_as_mem(pc->m);
    load(pc);
    acpi_place(pc->acpi, pc->acpi_base, as);
    /* BIOS data area: COM1 and the EBDA, which some multiboot kernels look for (16-bit words at 0x400 and 0x40e). */
    as_dma_store(as, 0x400, 2, 0x3f8);
    as_dma_store(as, 0x40e, 2, BOOT_EBDA >> 4);
    setup_pci(pc);
    setup_ports(pc);
    piix4_pm_setup(pc->pm, PC_PM_BASE, PC_SMB_BASE);
    for (unsigned i = 0; i < pc->lapics->len; i++)
        lapic_virtual_wire(g_ptr_array_index(pc->lapics, i));
    pc_boot_cpu(pc);
}
