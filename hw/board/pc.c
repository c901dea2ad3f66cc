/* The i440FX PC: memory map, chips, boot. Addresses and interrupt numbers of devices: pc-devices.c. */
#include "hw/board/pc-internal.h"

#include "cpu/x86/cpuid.h"
#include "util/bits.h"

void pc_e820_add(Pc *pc, uint64_t base, uint64_t len, uint32_t type)
{
    g_assert(pc->n_e820 < PC_MAX_E820);
    if (len)
        pc->e820[pc->n_e820++] = (E820Entry){ base, len, type };
}

Device *pc_device(Pc *pc, const char *klass, const char *id, const char *const *props, Bus *bus, GError **err)
{
    const DeviceClass *k = device_class_find(machine_config(pc->m)->devices, klass);
    if (!k) {
        g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, "this build lacks the device '%s'", klass);
        return NULL;
    }
    Device *dev = device_new(pc->m, k, id, err);
    if (!dev)
        return NULL;
    bool ok = true;
    for (; ok && props && props[0]; props += 2)
        ok = device_set_prop(dev, props[0], props[1], err);
    if (ok && device_realize(dev, bus, err))
        return dev;
    device_free(dev);
    return NULL;
}

static bool make_ram(Pc *pc, GError **err)
{
    MemSystem *ms = machine_mem(pc->m);
    MemRegion *root = machine_mem_root(pc->m);
    pc->ram_bytes = machine_config(pc->m)->ram_bytes;
    pc->low_bytes = pc->ram_bytes <= PC_LOW_MAX ? pc->ram_bytes : PC_LOW_SPLIT;
    pc->high_bytes = pc->ram_bytes - pc->low_bytes;
    pc->ram = mem_region_new_ram(ms, "pc.ram", pc->ram_bytes, err);
    if (!pc->ram)
        return false;
    MemRegion *low = mem_region_new_alias(ms, "ram-below-4g", pc->ram, 0, pc->low_bytes);
    mem_region_add(root, 0, low, 0);
    mem_region_unref(low);
    if (pc->high_bytes) {
        MemRegion *high = mem_region_new_alias(ms, "ram-above-4g", pc->ram, pc->low_bytes, pc->high_bytes);
        mem_region_add(root, PC_HIGH_BASE, high, 0);
        mem_region_unref(high);
    }
    return true;
}

static void pc_reset(void *opaque)
{
    Pc *pc = opaque;
    pc_irqchip_before_reset(pc);
    pc_reset_cpus(pc);
    if (pc->direct)
        pc_boot_reset(pc);
    pc_irqchip_after_reset(pc);
}

static void pc_free(void *opaque)
{
    Pc *pc = opaque;
    boot_plan_clear(&pc->plan);
    if (pc->boot_files)
        g_ptr_array_unref(pc->boot_files);
    as_free(pc->smm);
    mem_region_unref(pc->a20_off);
    mem_region_unref(pc->ram);
    if (pc->lapics)
        g_ptr_array_unref(pc->lapics);
    acpi_tables_free(pc->acpi);
    if (pc->smbios_anchor)
        g_byte_array_unref(pc->smbios_anchor);
    if (pc->smbios_tables)
        g_byte_array_unref(pc->smbios_tables);
    g_free(pc);
}

bool pc_init(Machine *m, const PcConfig *cfg, GError **err)
{
    Pc *pc = g_new0(Pc, 1);
    pc->m = m;
    pc->cfg = *cfg;
    machine_own(m, pc, pc_free);
    if (!machine_add_object(m, "board", "pc", pc, NULL, err) || !make_ram(pc, err) || !pc_make_cpus(pc, err) || !pc_make_chips(pc, err) ||
        !pc_make_isa(pc, err))
        return false;
    machine_add_reset_hook(m, pc_reset, pc);
    pc_irqchip_init(pc);
    return true;
}

static Pc *pc_of(Machine *m)
{
    return machine_find_object(m, "board", "pc");
}

bool pc_finish(Machine *m, GError **err)
{
    Pc *pc = pc_of(m);
    if (!pc_make_tables(pc, err) || (pc->cfg.kernel && !pc_boot_plan(pc, err)))
        return false;
    return pc->direct ? pc_boot_prepare(pc, err) : pc_firmware_load(pc, err) && pc_firmware_files(pc, err);
}

const char *pc_boot_kind(Machine *m)
{
    return pc_of(m)->plan.kind;
}

const Board board_pc = {
    .machine = "pc", .arch = "x86_64", .summary = "i440FX PC", .max_vcpus = 255, .max_serials = PC_SERIALS, .buses = 1 << BUS_ISA | 1 << BUS_PCI | 1 << BUS_IDE, .cpu = &pc_cpu_type,
    .cpu_help = x86_models_help, .init = pc_init, .finish = pc_finish, .disk = "ide-hd", .cdrom = "ide-cd", .nic = "virtio-net-pci",
};
