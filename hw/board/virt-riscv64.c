/*
 * The riscv64 `virt` machine, at the addresses that QEMU publishes in its device tree (docs/system/riscv/virt.rst): OpenSBI, U-Boot and Linux know
 * them. Started by OpenSBI, or with -bios none directly in machine mode.
 */
#include <elf.h>
#include <string.h>

#include "cpu/riscv/state.h"
#include "hw/board/boot.h"
#include "hw/board/virt.h"
#include "hw/intc/aclint.h"
#include "hw/intc/plic.h"
#include "hw/misc/fw_cfg.h"
#include "hw/virtio/virtio-mmio.h"
#include "util/bits.h"

#define MROM 0x1000ull
#define MROM_SIZE 0xf000ull
#define TEST 0x100000ull
#define RTC 0x101000ull
#define CLINT 0x2000000ull
#define PCI_PIO 0x3000000ull
#define PLIC 0xc000000ull
#define UART 0x10000000ull
#define VIRTIO 0x10001000ull
#define FW_CFG 0x10100000ull
#define FLASH 0x20000000ull
#define FLASH_BANK 0x2000000ull
#define ECAM 0x30000000ull
#define ECAM_SIZE 0x10000000ull
#define PCI_MMIO 0x40000000ull
#define PCI_MMIO_SIZE 0x40000000ull
#define PCI_HIGH 0x400000000ull
#define PCI_HIGH_SIZE 0x400000000ull
#define DRAM 0x80000000ull
enum { UART_IRQ = 10, RTC_IRQ = 11, PCI_IRQ = 32, VIRTIO_IRQ = 1, N_VIRTIO = 8, VIRTIO_STRIDE = 0x1000, MAX_HARTS = 8, FDT_ALIGN = 2 << 20 };

typedef struct Virt {
    Machine *m;
    BoardConfig cfg;
    MemRegion *ram, *mrom;
    Device *aclint, *plic, *pci, *fw_cfg, *flash[2];
    VirtImages images;
    uint64_t start, next, fdt, initrd, initrd_len;     /* firmware's entry, what it starts, device tree */
    bool place_initrd;
    unsigned ext_off;          /* what -cpu leaves out */
} Virt;

/* ---- harts ---- */

static void cpu_reset(void *state, unsigned index, bool init) { riscv_state_reset(state, index); }
static uint64_t cpu_pc(const void *state) { return ((const RiscvState *)state)->pc; }
static bool cpu_in_user(const void *state) { return ((const RiscvState *)state)->priv == RISCV_U; }

static const FieldDesc cpu_fields[] = {
    FIELD_ARRAY(RiscvState, x), FIELD(RiscvState, pc), FIELD_ARRAY(RiscvState, f), FIELD(RiscvState, res_addr), FIELD(RiscvState, res_value),
    FIELD(RiscvState, mxcsr), FIELD(RiscvState, frm), FIELD(RiscvState, priv), FIELD(RiscvState, halted), FIELD(RiscvState, hartid),
    FIELD(RiscvState, mstatus), FIELD(RiscvState, medeleg), FIELD(RiscvState, mideleg), FIELD(RiscvState, mie), FIELD(RiscvState, mip),
    FIELD(RiscvState, mtvec), FIELD(RiscvState, mcounteren), FIELD(RiscvState, mscratch), FIELD(RiscvState, mepc), FIELD(RiscvState, mcause),
    FIELD(RiscvState, mtval), FIELD(RiscvState, mcountinhibit), FIELD(RiscvState, mcycle), FIELD(RiscvState, minstret), FIELD(RiscvState, menvcfg), FIELD(RiscvState, stvec),
    FIELD(RiscvState, scounteren), FIELD(RiscvState, sscratch), FIELD(RiscvState, sepc), FIELD(RiscvState, scause), FIELD(RiscvState, stval),
    FIELD(RiscvState, senvcfg), FIELD(RiscvState, satp), FIELD(RiscvState, stimecmp), FIELD_ARRAY(RiscvState, pmpcfg),
    FIELD_ARRAY(RiscvState, pmpaddr), FIELD(RiscvState, stopped), { 0 }
};

/* Hostile: what translated code relies on is put right. */
static bool cpu_post_load(void *state, GError **err)
{
    RiscvState *s = state;
    if (s->priv > RISCV_M || s->priv == 2 || s->frm > 7) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "the saved state of a CPU is damaged");
        return false;
    }
    s->x[0] = 0;
    s->k_box = ~0ull;
    s->mxcsr = (s->mxcsr & 0x3f) | 0x1f80;
    riscv_set_frm(s, s->frm);
    s->tlb_flush_pending = 1;
    s->groups_valid = s->groups_dirty = RISCV_GROUP_ALL;
    return true;
}

static const CpuType riscv64_cpu_type = {
    .name = "riscv64", .state_size = sizeof(RiscvState), .state_align = _Alignof(RiscvState), .groups_all = RISCV_GROUP_ALL,
    .groups_valid_offset = offsetof(RiscvState, groups_valid), .groups_dirty_offset = offsetof(RiscvState, groups_dirty),
    .reset = cpu_reset, .pc = cpu_pc, .in_user = cpu_in_user, .state_fields = cpu_fields, .post_load = cpu_post_load,
};

/* ---- devices ---- */

static bool make_intc(Virt *v, GError **err)
{
    unsigned n = machine_n_vcpus(v->m);
    Vcpu *harts[MAX_HARTS];
    for (unsigned i = 0; i < n; i++)
        harts[i] = machine_vcpu(v->m, i);
    v->aclint = device_new(v->m, &aclint_class, "aclint", err);
    if (!v->aclint)
        return false;
    aclint_attach(v->aclint, harts, n);
    g_autofree char *contexts = g_strdup_printf("%u", 2 * n);
    if (!device_realize(v->aclint, NULL, err))
        return false;
    v->plic = virt_device(v->m, "riscv-plic", "plic", (const char *[]){ "contexts", contexts, NULL }, err);
    if (!v->plic)
        return false;
    virt_map(v->m, CLINT, device_mmio(v->aclint, 0));
    virt_map(v->m, PLIC, device_mmio(v->plic, 0));
    for (unsigned i = 0; i < 2 * n; i++)
        irq_connect(v->plic->irq[i], device_input(v->aclint, i));
    return true;
}

static bool make_chips(Virt *v, GError **err)
{
    Device *test = virt_device(v->m, "sifive-test", "test", NULL, err);
    Device *rtc = test ? virt_device(v->m, "goldfish-rtc", "rtc", NULL, err) : NULL;
    /* programs without firmware print without setting up the line first */
    const char *props[] = { "line", "3", "ungated", "on", v->cfg.serial[0] ? "chardev" : NULL, v->cfg.serial[0], NULL };
    Device *uart = rtc ? virt_device(v->m, "isa-serial", "uart", props, err) : NULL;
    v->fw_cfg = uart ? virt_device(v->m, "fw_cfg", "fw_cfg", NULL, err) : NULL;
    if (!v->fw_cfg)
        return false;
    fw_cfg_setup(v->fw_cfg, v->m);
    virt_map(v->m, FW_CFG, device_mmio(v->fw_cfg, 0));
    virt_map(v->m, TEST, device_mmio(test, 0));
    virt_map(v->m, RTC, device_mmio(rtc, 0));
    virt_map(v->m, UART, device_pio(uart, 0));
    irq_connect(rtc->irq[0], device_input(v->plic, RTC_IRQ));
    irq_connect(uart->irq[0], device_input(v->plic, UART_IRQ));
    return true;
}

static const VirtPci pci_windows = { .ecam = ECAM, .ecam_size = ECAM_SIZE, .mmio = PCI_MMIO, .mmio_size = PCI_MMIO_SIZE, .high = PCI_HIGH, .high_size = PCI_HIGH_SIZE,
                                     .pio = PCI_PIO };

static bool make_buses(Virt *v, GError **err)
{
    IrqWire *wires[4], *virtio[N_VIRTIO];
    for (unsigned i = 0; i < 4; i++)
        wires[i] = device_input(v->plic, PCI_IRQ + i);
    for (unsigned i = 0; i < N_VIRTIO; i++)
        virtio[i] = device_input(v->plic, VIRTIO_IRQ + i);
    v->pci = virt_pci_new(v->m, &pci_windows, wires, err);
    if (!v->pci)
        return false;
    virtio_mmio_bus_new(v->m, VIRTIO, VIRTIO_STRIDE, virtio, N_VIRTIO);
    return true;
}

static bool make_memory(Virt *v, GError **err)
{
    MemSystem *ms = machine_mem(v->m);
    v->ram = mem_region_new_ram(ms, "virt.ram", machine_config(v->m)->ram_bytes, err);
    v->mrom = v->ram ? mem_region_new_rom(ms, "virt.mrom", MROM_SIZE, err) : NULL;
    if (!v->mrom)
        return false;
    mem_region_add(machine_mem_root(v->m), DRAM, v->ram, 0);
    virt_map(v->m, MROM, v->mrom);
    return true;
}

/* ---- device tree ---- */

enum { PH_PLIC = 1, PH_TEST = 2, PH_CPU = 16, PH_INTC = 1024 };

static void fdt_cpus(Virt *v, Fdt *f)
{
    unsigned n = machine_n_vcpus(v->m);
    char isa[RISCV_ISA_STRING];
    riscv_isa_string(v->ext_off, isa);
    fdt_node(f, "cpus");
    fdt_cells(f, "#address-cells", 1);
    fdt_cells(f, "#size-cells", 0);
    fdt_cells(f, "timebase-frequency", ACLINT_HZ);
    for (unsigned i = 0; i < n; i++) {
        fdt_node(f, "cpu@%x", i);
        fdt_cells(f, "phandle", PH_CPU + i);
        fdt_str(f, "device_type", "cpu");
        fdt_cells(f, "reg", i);
        fdt_str(f, "status", "okay");
        fdt_str(f, "compatible", "riscv");
        fdt_str(f, "riscv,isa", isa);
        fdt_str(f, "mmu-type", "riscv,sv48");
        fdt_node(f, "interrupt-controller");
        fdt_cells(f, "#interrupt-cells", 1);
        fdt_flag(f, "interrupt-controller");
        fdt_str(f, "compatible", "riscv,cpu-intc");
        fdt_cells(f, "phandle", PH_INTC + i);
        fdt_end(f);
        fdt_end(f);
    }
    fdt_node(f, "cpu-map");
    fdt_cluster(f, n, PH_CPU);
    fdt_end(f);
    fdt_end(f);
}

/* Two interrupts of each hart. */
static void fdt_hart_irqs(Virt *v, Fdt *f, uint32_t a, uint32_t b)
{
    uint32_t cells[4 * MAX_HARTS];
    unsigned n = machine_n_vcpus(v->m);
    for (unsigned i = 0; i < n; i++) {
        cells[4 * i] = cells[4 * i + 2] = PH_INTC + i;
        cells[4 * i + 1] = a;
        cells[4 * i + 3] = b;
    }
    fdt_u32s(f, "interrupts-extended", cells, 4 * n);
}

static void fdt_irq(Fdt *f, uint32_t irq)
{
    fdt_cells(f, "interrupts", irq);
    fdt_cells(f, "interrupt-parent", PH_PLIC);
}

static void fdt_intc(Virt *v, Fdt *f)
{
    fdt_node(f, "plic@%llx", PLIC);
    fdt_cells(f, "phandle", PH_PLIC);
    fdt_cells(f, "riscv,ndev", PLIC_SOURCES);
    fdt_reg(f, PLIC, PLIC_SIZE);
    fdt_hart_irqs(v, f, RISCV_IRQ_MEI, RISCV_IRQ_SEI);
    fdt_flag(f, "interrupt-controller");
    fdt_strs(f, "compatible", "sifive,plic-1.0.0", "riscv,plic0", NULL);
    fdt_cells(f, "#address-cells", 0);
    fdt_cells(f, "#interrupt-cells", 1);
    fdt_end(f);
    fdt_node(f, "clint@%llx", CLINT);
    fdt_hart_irqs(v, f, RISCV_IRQ_MSI, RISCV_IRQ_MTI);
    fdt_reg(f, CLINT, ACLINT_SIZE);
    fdt_strs(f, "compatible", "sifive,clint0", "riscv,clint0", NULL);
    fdt_end(f);
}

static void fdt_pci(Fdt *f)
{
    uint32_t intx[4][VIRT_INTX_CELLS];
    for (unsigned i = 0; i < 4; i++)
        memcpy(intx[i], (uint32_t[]){ PH_PLIC, PCI_IRQ + i }, 8);
    fdt_node(f, "pci@%llx", ECAM);
    virt_pci_fdt(&pci_windows, f, intx, 2);
    fdt_end(f);
}

static void fdt_virtio_irq(Fdt *f, unsigned i) { fdt_irq(f, VIRTIO_IRQ + i); }

static void fdt_soc(Virt *v, Fdt *f)
{
    fdt_node(f, "soc");
    fdt_cells(f, "#address-cells", 2);
    fdt_cells(f, "#size-cells", 2);
    fdt_str(f, "compatible", "simple-bus");
    fdt_flag(f, "ranges");
    fdt_node(f, "rtc@%llx", RTC);
    fdt_irq(f, RTC_IRQ);
    fdt_reg(f, RTC, 0x1000);
    fdt_str(f, "compatible", "google,goldfish-rtc");
    fdt_end(f);
    fdt_node(f, "serial@%llx", UART);
    fdt_irq(f, UART_IRQ);
    fdt_cells(f, "clock-frequency", 3686400);
    fdt_reg(f, UART, 0x100);
    fdt_str(f, "compatible", "ns16550a");
    fdt_end(f);
    fdt_node(f, "test@%llx", TEST);
    fdt_cells(f, "phandle", PH_TEST);
    fdt_reg(f, TEST, 0x1000);
    fdt_strs(f, "compatible", "sifive,test1", "sifive,test0", "syscon", NULL);
    fdt_end(f);
    fdt_virtio(f, VIRTIO, VIRTIO_STRIDE, N_VIRTIO, fdt_virtio_irq);
    fdt_pci(f);
    fdt_intc(v, f);
    fdt_end(f);
    fdt_flash(f, FLASH, FLASH_BANK);
    fdt_fw_cfg(f, FW_CFG);
}

static void fdt_syscon(Fdt *f, const char *node, const char *compatible, uint32_t value)
{
    fdt_node(f, "%s", node);
    fdt_cells(f, "value", value);
    fdt_cells(f, "offset", 0);
    fdt_cells(f, "regmap", PH_TEST);
    fdt_str(f, "compatible", compatible);
    fdt_end(f);
}

static GBytes *make_fdt(Virt *v, GError **err)
{
    Fdt fdt, *f = &fdt;
    g_autofree char *uart = g_strdup_printf("/soc/serial@%llx", UART);
    fdt_open(f);
    fdt_cells(f, "#address-cells", 2);
    fdt_cells(f, "#size-cells", 2);
    fdt_str(f, "compatible", "riscv-virtio");
    fdt_str(f, "model", "riscv-virtio,qemu");
    fdt_chosen(f, uart, v->cfg.append, v->initrd, v->initrd_len);
    fdt_syscon(f, "poweroff", "syscon-poweroff", 0x5555);
    fdt_syscon(f, "reboot", "syscon-reboot", 0x7777);
    fdt_node(f, "memory@%llx", DRAM);
    fdt_str(f, "device_type", "memory");
    fdt_reg(f, DRAM, machine_config(v->m)->ram_bytes);
    fdt_end(f);
    fdt_cpus(v, f);
    fdt_soc(v, f);
    return fdt_close(f, err);
}

/* ---- boot ---- */

/* Where Debian puts OpenSBI (package opensbi). */
static const char *const firmware[] = { "/usr/lib/riscv64-linux-gnu/opensbi/generic/fw_dynamic.bin", "/usr/share/qemu/opensbi-riscv64-generic-fw_dynamic.bin", NULL };

static bool has_drive(Virt *v, const char *name) { return machine_find_object(v->m, "drive", name) != NULL; }

/*
 * As QEMU's machine does: a drive in the first bank of flash is what the harts start with, in machine mode; one in the second bank (EDK II) is what
 * OpenSBI starts. Such firmware finds the kernel in fw_cfg.
 */
static bool load_images(Virt *v, GError **err)
{
    bool own = has_drive(v, "pflash0"), none = own || (v->cfg.bios && !strcmp(v->cfg.bios, "none")), offer = own || has_drive(v, "pflash1");
    uint64_t end = DRAM, entry = 0, kernel_end = 0;
    if (own && v->cfg.bios && strcmp(v->cfg.bios, "none") && strcmp(v->cfg.bios, "default")) {
        g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, "-bios and -drive if=pflash,unit=0 are both what the machine starts with; give one of them");
        return false;
    }
    const char *path = none ? NULL : virt_firmware_path(&v->cfg, firmware, "opensbi", err);
    if (!none && (!path || !virt_images_load(&v->images, path, "the firmware (-bios)", DRAM, &v->start, &end, err)))
        return false;
    if (none && !own && !v->cfg.kernel) {
        g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, "-bios none needs a -kernel: there is nothing to start");
        return false;
    }
    uint64_t at = none ? DRAM : align_up(end, FDT_ALIGN);
    if (offer ? !virt_offer_kernel(v->fw_cfg, &v->cfg, err)
              : v->cfg.kernel && !virt_images_load(&v->images, v->cfg.kernel, "the kernel", at, &entry, &kernel_end, err))
        return false;
    v->place_initrd = v->cfg.initrd && !offer;
    v->next = has_drive(v, "pflash1") ? FLASH + FLASH_BANK : entry;
    if (none)
        v->start = own ? FLASH : entry;
    return true;
}

/* The device tree at the top of memory below 3 GiB of it, the initrd below that. */
static bool place_tables(Virt *v, GError **err)
{
    uint64_t top = DRAM + MIN(machine_config(v->m)->ram_bytes, 3ull << 30);
    v->fdt = (top - FDT_ALIGN) & ~(uint64_t)(FDT_ALIGN - 1);
    if (v->place_initrd) {
        g_autoptr(GBytes) data = boot_file_open(v->cfg.initrd, "the initrd", err);
        if (!data)
            return false;
        v->initrd_len = g_bytes_get_size(data);
        v->initrd = (v->fdt - MIN(v->initrd_len, v->fdt)) & ~(uint64_t)(FDT_ALIGN - 1);
        if (!virt_images_add(&v->images, "the initrd", v->initrd, data, err))
            return false;
    }
    g_autoptr(GBytes) tree = virt_fdt_final(&v->cfg, make_fdt(v, err), err);
    return tree && virt_images_add(&v->images, "the device tree", v->fdt, tree, err);
}

/*
 * Reset vector: a0 = hart, a1 = device tree, a2 = OpenSBI's struct fw_dynamic_info (docs/firmware/fw_dynamic.md), then to the firmware.
 */
static void make_mrom(Virt *v)
{
    static const uint32_t code[] = {
        0x00000297,             /* auipc t0, 0 */
        0x02828613,             /* addi  a2, t0, 40 */
        0xf1402573,             /* csrr  a0, mhartid */
        0x0202b583,             /* ld    a1, 32(t0) */
        0x0182b283,             /* ld    t0, 24(t0) */
        0x00028067,             /* jr    t0 */
    };
    const uint64_t data[] = { v->start, v->fdt, 0x4942534f, 2, v->next, RISCV_S, 0, 0 };    /* info: magic, version, next, mode, options, boot hart */
    uint8_t *p = mem_region_ram_host(v->mrom);
    for (unsigned i = 0; i < ARRAY_LEN(code); i++)
        store_le32(p + 4 * i, code[i]);
    for (unsigned i = 0; i < ARRAY_LEN(data); i++)
        store_le64(p + 24 + 8 * i, data[i]);
}

static void virt_reset(void *opaque)
{
    Virt *v = opaque;
    virt_images_place(&v->images, v->m);
    for (unsigned i = 0; i < machine_n_vcpus(v->m); i++) {
        Vcpu *c = machine_vcpu(v->m, i);
        ((RiscvState *)c->state)->pc = MROM;
        vcpu_state_changed(c, RISCV_GROUP_ALL);
    }
}

static void virt_free(void *opaque)
{
    Virt *v = opaque;
    virt_images_clear(&v->images);
    mem_region_unref(v->ram);
    mem_region_unref(v->mrom);
    g_free(v);
}

static bool choose_cpu(Virt *v, const char *text, GError **err)
{
    if (text && !riscv_model_parse(text, &v->ext_off, err))
        return false;
    for (unsigned i = 0; i < machine_n_vcpus(v->m); i++)
        ((RiscvState *)machine_vcpu(v->m, i)->state)->ext_off = v->ext_off;
    return true;
}

static bool virt_init(Machine *m, const BoardConfig *cfg, GError **err)
{
    Virt *v = g_new0(Virt, 1);
    v->m = m;
    v->cfg = *cfg;
    machine_own(m, v, virt_free);
    virt_images_init(&v->images, DRAM, machine_config(m)->ram_bytes, EM_RISCV);
    if (machine_n_vcpus(m) > MAX_HARTS) {
        g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, "the riscv64 virt machine has at most %d CPUs", MAX_HARTS);
        return false;
    }
    if (!choose_cpu(v, cfg->cpu, err))
        return false;
    if (!machine_add_object(m, "board", "virt", v, NULL, err) || !make_memory(v, err) || !make_intc(v, err) || !make_chips(v, err) || !virt_flash_new(m, FLASH, FLASH_BANK, "32M", v->flash, 2, err) || !make_buses(v, err))
        return false;
    machine_add_reset_hook(m, virt_reset, v);
    return true;
}

static bool virt_finish(Machine *m, GError **err)
{
    Virt *v = machine_find_object(m, "board", "virt");
    uint8_t le[2] = { (uint8_t)machine_n_vcpus(m), 0 };
    fw_cfg_set_item(v->fw_cfg, FW_CFG_NB_CPUS, le, 2);
    fw_cfg_set_item(v->fw_cfg, FW_CFG_MAX_CPUS, le, 2);
    if (!load_images(v, err) || !place_tables(v, err))
        return false;
    make_mrom(v);
    return true;
}

static const char *const options[] = { "dtb", "dumpdtb", NULL };

const Board board_virt_riscv64 = {
    .machine = "virt", .arch = "riscv64", .summary = "RISC-V virtual machine (virtio, PCIe)", .max_vcpus = MAX_HARTS, .max_serials = 1, .cpu = &riscv64_cpu_type, .cpu_help = riscv_models_help,
    .buses = 1 << BUS_PCI | 1 << BUS_VIRTIO, .engine = "tcg", .options = options, .flash_banks = 2, .init = virt_init, .finish = virt_finish, .disk = "virtio-blk-pci", .nic = "virtio-net-pci",
};
