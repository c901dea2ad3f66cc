/* Starting from firmware: the image, and the files it reads through fw_cfg. */
#include <string.h>

#include "hw/board/pc-internal.h"
#include "util/bits.h"

/* Where Debian puts SeaBIOS (package seabios). */
static const char *const images[] = { "/usr/share/seabios/bios-256k.bin", "/usr/share/qemu/bios-256k.bin", "/usr/share/seabios/bios.bin" };

static GBytes *open_image(Pc *pc, GError **err)
{
    if (pc->cfg.bios)
        return boot_file_open(pc->cfg.bios, "the firmware (-bios)", err);
    for (unsigned i = 0; i < ARRAY_LEN(images); i++)
        if (g_file_test(images[i], G_FILE_TEST_EXISTS))
            return boot_file_open(images[i], "the firmware", err);
    g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_NOENT, "no firmware found (%s); install it with: apt-get install seabios, or name one with -bios", images[0]);
    return NULL;
}

/* At the top of 4 GiB, its last 128 KiB again below 1 MiB, where PAM may put DRAM over it. */
bool pc_firmware_load(Pc *pc, GError **err)
{
    MemSystem *ms = machine_mem(pc->m);
    MemRegion *pci = i440fx_pci_mem(pc->host);
    g_autoptr(GBytes) image = open_image(pc, err);
    gsize len;
    if (!image)
        return false;
    const void *p = g_bytes_get_data(image, &len);
    if (!len || len % 0x10000 || len > PC_BIOS_MAX) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s is not a firmware image: its size is not a multiple of 64 KiB up to 16 MiB",
                    pc->cfg.bios ? pc->cfg.bios : "the file found");
        return false;
    }
    MemRegion *rom = mem_region_new_rom(ms, "firmware", len, err);
    if (!rom)
        return false;
    memcpy(mem_region_ram_host(rom), p, len);
    mem_region_add(pci, PC_HIGH_BASE - len, rom, 0);
    uint64_t low = MIN(len, (uint64_t)(PC_ISA_BIOS_END - PC_ISA_BIOS));
    MemRegion *alias = mem_region_new_alias(ms, "firmware-low", rom, len - low, low);
    mem_region_add(pci, PC_ISA_BIOS_END - low, alias, 0);
    mem_region_unref(alias);
    mem_region_unref(rom);
    return true;
}

/* ---- files ---- */

static void put_array(Machine *m, const char *name, GByteArray *a)
{
    machine_set_fw_file(m, name, a->data, a->len);
    g_byte_array_unref(a);
}

static void put_e820(Pc *pc)
{
    GByteArray *a = g_byte_array_new();
    pc->n_e820 = 0;
    pc_e820_add(pc, 0, pc->low_bytes, E820_RAM);
    pc_e820_add(pc, PC_HIGH_BASE, pc->high_bytes, E820_RAM);
    for (unsigned i = 0; i < pc->n_e820; i++) {
        uint8_t e[20];
        store_le64(e, pc->e820[i].base);
        store_le64(e + 8, pc->e820[i].len);
        store_le32(e + 16, pc->e820[i].type);
        g_byte_array_append(a, e, sizeof(e));
    }
    put_array(pc->m, "etc/e820", a);
}

bool pc_firmware_files(Pc *pc, GError **err)
{
    static const uint8_t sercon[2] = { 0xf8, 0x03 };
    put_e820(pc);
    if (pc->plan.segments)
        pc_offer_kernel(pc);
    pc_bootorder(pc);
    machine_set_fw_file(pc->m, "etc/acpi/tables", pc->acpi->data->data, pc->acpi->data->len);
    put_array(pc->m, "etc/acpi/rsdp", acpi_loader_rsdp(pc->acpi));
    put_array(pc->m, "etc/table-loader", acpi_loader_script(pc->acpi));
    machine_set_fw_file(pc->m, "etc/smbios/smbios-tables", pc->smbios_tables->data, pc->smbios_tables->len);
    machine_set_fw_file(pc->m, "etc/smbios/smbios-anchor", pc->smbios_anchor->data, pc->smbios_anchor->len);
    /* No display: SeaBIOS puts its text console, and so GRUB's, on the serial line. */
    if (pc->cfg.serial[0])
        machine_set_fw_file(pc->m, "etc/sercon-port", sercon, sizeof(sercon));
    return true;
}
