/*
 * The AArch64 `virt` machine, at the addresses that QEMU publishes in its device tree (docs/system/arm/virt.rst): Linux, U-Boot and EDK II know them.
 * virtualization=on: with EL2; secure=on: with EL3. Firmware starts in the highest level, kernels in the highest that is not secure; PSCI is behind HVC, or
 * SMC where there is EL2; where there is EL3 it is the firmware's.
 */
#include <elf.h>
#include <string.h>

#include "cpu/aarch64/model.h"
#include "cpu/aarch64/state.h"
#include "hw/board/aarch64-cpu.h"
#include "hw/board/boot-internal.h"
#include "hw/board/virt.h"
#include "hw/gpio/pl061.h"
#include "hw/intc/armcpu.h"
#include "hw/intc/gic.h"
#include "hw/misc/fw_cfg.h"
#include "hw/pci/ecam.h"
#include "hw/storage/cfi-flash.h"
#include "hw/virtio/virtio-mmio.h"
#include "util/bits.h"
#include "util/random.h"

#define FLASH 0x0ull
#define FLASH_BANK 0x4000000ull
#define GICD 0x8000000ull
#define GICC 0x8010000ull
#define V2M 0x8020000ull
#define ITS 0x8080000ull
#define GICR 0x80a0000ull
#define GICR_WINDOW 0xf60000ull
#define UART 0x9000000ull
#define RTC 0x9010000ull
#define FW_CFG 0x9020000ull
#define GPIO 0x9030000ull
#define SECURE_UART 0x9040000ull
#define SECURE_GPIO 0x90b0000ull
#define VIRTIO 0xa000000ull
#define SECURE_RAM 0xe000000ull
#define SECURE_RAM_SIZE 0x1000000ull
#define PCI_MMIO 0x10000000ull
#define PCI_MMIO_SIZE 0x2eff0000ull
#define PCI_PIO 0x3eff0000ull
#define RAM 0x40000000ull
#define ECAM 0x4010000000ull
#define ECAM_SIZE 0x10000000ull
#define PCI_HIGH 0x8000000000ull
#define PCI_HIGH_SIZE 0x8000000000ull
#define MB 0x100000ull
/* SPIs */
enum { UART_IRQ = 1, RTC_IRQ = 2, PCI_IRQ = 3, GPIO_IRQ = 7, SECURE_UART_IRQ = 8, VIRTIO_IRQ = 16, V2M_IRQ = 48, N_VIRTIO = 32, VIRTIO_STRIDE = 0x200, N_MSI = 64 };
enum { KEY_PIN = 3, OFF_PIN = 0, RESTART_PIN = 1, POWER_KEY = 116, FDT_ALIGN = 2 << 20, MAX_CPUS = 8 };

typedef struct Virt {
    Machine *m;
    BoardConfig cfg;
    MemRegion *ram, *secure_ram;
    Device *cpus, *gic, *v2m, *its, *pci, *flash[2], *key, *fw_cfg;
    bool el2, el3;
    bool v3, with_its;          /* MSIs: GICv2 has a frame of v2m, GICv3 the translation service or nothing */
    const char *cpu_compatible;
    VirtImages images;
    uint64_t start, fdt, initrd, initrd_len;
    bool direct;                /* the kernel is entered, not firmware */
} Virt;

/* ---- devices ---- */

/* The kernel is entered, not firmware. */
static bool is_direct(const Virt *v)
{
    if (v->cfg.bios)
        return v->cfg.kernel && !strcmp(v->cfg.bios, "none");
    return v->cfg.kernel && !machine_find_object(v->m, "drive", "pflash0");
}

static IrqWire *spi(Virt *v, unsigned n) { return device_input(v->gic, n); }

static void got_msi(void *opaque, uint64_t addr, uint32_t data, uint32_t from)
{
    Virt *v = opaque;
    if (v->v2m && addr == V2M + GICV2M_SETSPI)
        gicv2m_msi(v->v2m, data);
    else if (v->its && addr == ITS + ITS_TRANSLATER)
        its_msi(v->its, from, data);
}

static bool make_msi(Virt *v, GError **err)
{
    if (!v->v3) {
        v->v2m = virt_device(v->m, "arm-gicv2m", "v2m", NULL, err);
        if (!v->v2m)
            return false;
        virt_map(v->m, V2M, device_mmio(v->v2m, 0));
        for (unsigned i = 0; i < N_MSI; i++)
            irq_connect(v->v2m->irq[i], spi(v, V2M_IRQ + i));
    } else if (v->with_its) {
        v->its = device_new(v->m, &its_class, "its", err);
        if (!v->its)
            return false;
        its_setup(v->its, v->gic);
        if (!device_realize(v->its, NULL, err))
            return false;
        virt_map(v->m, ITS, device_mmio(v->its, 0));
    }
    irq_fabric_set_msi(machine_fabric(v->m), got_msi, v);
    return true;
}

/* Which state CPU @cpu is in that accesses a device; its own thread. */
static bool cpu_is_secure(void *opaque, unsigned cpu) { return a64_secure(machine_vcpu(((Virt *)opaque)->m, cpu)->state); }

static bool make_intc(Virt *v, GError **err)
{
    static const uint8_t ppi[A64_TIMERS] = { [A64_TIMER_PHYS] = 30, [A64_TIMER_VIRT] = 27, [A64_TIMER_HYP] = 26, [A64_TIMER_SEC] = 29 };
    unsigned n = machine_n_vcpus(v->m);
    Vcpu *cpus[MAX_CPUS];
    for (unsigned i = 0; i < n; i++)
        cpus[i] = machine_vcpu(v->m, i);
    g_autofree char *count = g_strdup_printf("%u", n);
    v->gic = device_new(v->m, v->v3 ? &gicv3_class : &gicv2_class, "gic", err);
    if (!v->gic)
        return false;
    bool direct = is_direct(v);
    gic_setup(v->gic, &(GicSetup){ .cpus = cpus, .n = n, .secure = v->el3 ? cpu_is_secure : NULL, .secure_opaque = v, .reset_nonsecure = v->el3 && direct });
    if (!device_set_prop(v->gic, "cpus", count, err) || (v->with_its && !device_set_prop(v->gic, "lpis", "on", err)) || !device_realize(v->gic, NULL, err))
        return false;
    v->cpus = device_new(v->m, &arm_cpus_class, "cpus", err);
    if (!v->cpus)
        return false;
    arm_cpus_setup(v->cpus, cpus, n, v->v3 ? v->gic : NULL);
    if (!device_realize(v->cpus, NULL, err))
        return false;
    virt_map(v->m, GICD, device_mmio(v->gic, 0));
    virt_map(v->m, v->v3 ? GICR : GICC, device_mmio(v->gic, 1));
    for (unsigned i = 0; i < 2 * n; i++)
        irq_connect(v->gic->irq[i], device_input(v->cpus, i));
    for (unsigned i = 0; i < A64_TIMERS * n; i++)
        irq_connect(v->cpus->irq[i], device_input(v->gic, GIC_SPIS + 32 * (i / A64_TIMERS) + ppi[i % A64_TIMERS]));
    return make_msi(v, err);
}

static bool make_chips(Virt *v, GError **err)
{
    const char *props[] = { v->cfg.serial[0] ? "chardev" : NULL, v->cfg.serial[0], NULL };
    Device *uart = virt_device(v->m, "pl011", "uart", props, err);
    Device *rtc = uart ? virt_device(v->m, "pl031", "rtc", NULL, err) : NULL;
    Device *gpio = rtc ? virt_device(v->m, "pl061", "gpio", NULL, err) : NULL;
    v->key = gpio ? virt_device(v->m, "gpio-key", "power-key", NULL, err) : NULL;
    v->fw_cfg = v->key ? virt_device(v->m, "fw_cfg", "fw_cfg", NULL, err) : NULL;
    if (!v->fw_cfg)
        return false;
    virt_map(v->m, UART, device_mmio(uart, 0));
    virt_map(v->m, RTC, device_mmio(rtc, 0));
    virt_map(v->m, GPIO, device_mmio(gpio, 0));
    virt_map(v->m, FW_CFG, device_mmio(v->fw_cfg, 0));
    irq_connect(uart->irq[0], spi(v, UART_IRQ));
    irq_connect(rtc->irq[0], spi(v, RTC_IRQ));
    irq_connect(gpio->irq[0], spi(v, GPIO_IRQ));
    irq_connect(v->key->irq[0], device_input(gpio, KEY_PIN));
    machine_set_powerdown_hook(v->m, gpio_key_press, v->key);
    fw_cfg_setup(v->fw_cfg, v->m);
    return true;
}

/*
 * What only firmware for EL3 uses (secure=on): memory, a UART, pins that reset the machine and switch it off. The Non-secure state is not kept out: addresses
 * have no security here.
 */
static bool make_secure(Virt *v, GError **err)
{
    const char *props[] = { v->cfg.serial[1] ? "chardev" : NULL, v->cfg.serial[1], NULL };
    v->secure_ram = mem_region_new_ram(machine_mem(v->m), "virt.secure-ram", SECURE_RAM_SIZE, err);
    Device *uart = v->secure_ram ? virt_device(v->m, "pl011", "secure-uart", props, err) : NULL;
    Device *gpio = uart ? virt_device(v->m, "pl061", "secure-gpio", NULL, err) : NULL;
    Device *power = gpio ? virt_device(v->m, "gpio-pwr", "secure-power", NULL, err) : NULL;
    if (!power)
        return false;
    mem_region_add(machine_mem_root(v->m), SECURE_RAM, v->secure_ram, 0);
    virt_map(v->m, SECURE_UART, device_mmio(uart, 0));
    virt_map(v->m, SECURE_GPIO, device_mmio(gpio, 0));
    irq_connect(uart->irq[0], spi(v, SECURE_UART_IRQ));
    irq_connect(gpio->irq[1 + OFF_PIN], device_input(power, 1));
    irq_connect(gpio->irq[1 + RESTART_PIN], device_input(power, 0));
    return true;
}

static const VirtPci pci_windows = { .ecam = ECAM, .ecam_size = ECAM_SIZE, .mmio = PCI_MMIO, .mmio_size = PCI_MMIO_SIZE, .high = PCI_HIGH, .high_size = PCI_HIGH_SIZE,
                                     .pio = PCI_PIO };

static bool make_buses(Virt *v, GError **err)
{
    IrqWire *intx[4], *virtio[N_VIRTIO];
    for (unsigned i = 0; i < 4; i++)
        intx[i] = spi(v, PCI_IRQ + i);
    for (unsigned i = 0; i < N_VIRTIO; i++)
        virtio[i] = spi(v, VIRTIO_IRQ + i);
    v->pci = virt_pci_new(v->m, &pci_windows, intx, err);
    if (!v->pci)
        return false;
    virtio_mmio_bus_new(v->m, VIRTIO, VIRTIO_STRIDE, virtio, N_VIRTIO);
    return true;
}

/* ---- device tree ---- */

enum { PH_CLOCK = 0x8000, PH_GIC = 0x8003, PH_MSI, PH_GPIO, PH_SECURE_GPIO, PH_CPU = 0x8010, SPI = 0, PPI = 1, EDGE = 1, LEVEL = 4 };

static void fdt_spi(Fdt *f, unsigned n, unsigned how) { fdt_cells(f, "interrupts", SPI, n, how); }

static void fdt_cpus(Virt *v, Fdt *f)
{
    unsigned n = machine_n_vcpus(v->m);
    fdt_node(f, "cpus");
    fdt_cells(f, "#address-cells", 1);
    fdt_cells(f, "#size-cells", 0);
    for (unsigned i = 0; i < n; i++) {
        fdt_node(f, "cpu@%x", i);
        fdt_cells(f, "phandle", PH_CPU + i);
        fdt_cells(f, "reg", i);
        if (n > 1)
            fdt_str(f, "enable-method", "psci");
        fdt_str(f, "compatible", v->cpu_compatible);
        fdt_str(f, "device_type", "cpu");
        fdt_end(f);
    }
    fdt_node(f, "cpu-map");
    fdt_node(f, "socket0");
    fdt_cluster(f, n, PH_CPU);
    fdt_end(f);
    fdt_end(f);
    fdt_end(f);
}

static void fdt_intc(Virt *v, Fdt *f)
{
    fdt_node(f, "intc@%llx", GICD);
    fdt_cells(f, "phandle", PH_GIC);
    if (v->v3) {
        fdt_cells(f, "reg", 0, (uint32_t)GICD, 0, GICD_SIZE, 0, (uint32_t)GICR, 0, (uint32_t)GICR_WINDOW);
        fdt_cells(f, "#redistributor-regions", 1);
    } else {
        fdt_cells(f, "reg", 0, (uint32_t)GICD, 0, GICD_SIZE, 0, (uint32_t)GICC, 0, 0x10000);
    }
    fdt_str(f, "compatible", v->v3 ? "arm,gic-v3" : "arm,cortex-a15-gic");
    fdt_flag(f, "ranges");
    fdt_cells(f, "#size-cells", 2);
    fdt_cells(f, "#address-cells", 2);
    fdt_flag(f, "interrupt-controller");
    fdt_cells(f, "#interrupt-cells", 3);
    if (v->v2m || v->its) {
        fdt_node(f, v->its ? "its@%llx" : "v2m@%llx", v->its ? ITS : V2M);
        fdt_cells(f, "phandle", PH_MSI);
        fdt_reg(f, v->its ? ITS : V2M, v->its ? ITS_SIZE : 0x1000);
        if (v->its)
            fdt_cells(f, "#msi-cells", 1);
        fdt_flag(f, "msi-controller");
        fdt_str(f, "compatible", v->its ? "arm,gic-v3-its" : "arm,gic-v2m-frame");
        fdt_end(f);
    }
    fdt_end(f);
    /* secure, non-secure physical, virtual, hypervisor; GICv2: the mask of CPUs in bits 15:8 */
    uint32_t how = v->v3 ? LEVEL : LEVEL | (uint32_t)bits_mask(machine_n_vcpus(v->m)) << 8;
    fdt_node(f, "timer");
    fdt_cells(f, "interrupts", PPI, 13, how, PPI, 14, how, PPI, 11, how, PPI, 10, how);
    fdt_flag(f, "always-on");
    fdt_strs(f, "compatible", "arm,armv8-timer", "arm,armv7-timer", NULL);
    fdt_end(f);
}

static void fdt_pci(Virt *v, Fdt *f)
{
    uint32_t intx[4][VIRT_INTX_CELLS];
    for (unsigned i = 0; i < 4; i++)
        memcpy(intx[i], (uint32_t[]){ PH_GIC, 0, 0, SPI, PCI_IRQ + i, LEVEL }, sizeof(intx[i]));
    fdt_node(f, "pcie@%llx", PCI_MMIO);
    virt_pci_fdt(&pci_windows, f, intx, 6);
    if (v->v2m || v->its)
        fdt_cells(f, "msi-map", 0, PH_MSI, 0, 0x10000);
    fdt_end(f);
}

/* A PrimeCell; the caller ends the node. */
static void fdt_primecell(Fdt *f, const char *name, uint64_t at, unsigned irq)
{
    g_autofree char *compatible = g_strdup_printf("arm,%s", name);
    fdt_node(f, "%s@%llx", name, (unsigned long long)at);
    fdt_reg(f, at, 0x1000);
    fdt_strs(f, "compatible", compatible, "arm,primecell", NULL);
    fdt_spi(f, irq, LEVEL);
}

static void fdt_virtio_irq(Fdt *f, unsigned i)
{
    fdt_flag(f, "dma-coherent");
    fdt_spi(f, VIRTIO_IRQ + i, EDGE);
}

/* For the Secure state only (Linux Documentation/devicetree/bindings/arm/secure.txt). */
static void fdt_secure_only(Fdt *f)
{
    fdt_str(f, "status", "disabled");
    fdt_str(f, "secure-status", "okay");
    fdt_end(f);
}

static void fdt_power_pin(Fdt *f, const char *name, unsigned pin)
{
    fdt_node(f, "%s", name);
    fdt_str(f, "compatible", name);
    fdt_cells(f, "gpios", PH_SECURE_GPIO, pin, 0);
    fdt_secure_only(f);
}

static void fdt_secure(Fdt *f)
{
    fdt_node(f, "secflash@%llx", FLASH);
    fdt_cells(f, "bank-width", 4);
    fdt_reg(f, FLASH, FLASH_BANK);
    fdt_str(f, "compatible", "cfi-flash");
    fdt_secure_only(f);
    fdt_node(f, "flash@%llx", FLASH + FLASH_BANK);
    fdt_cells(f, "bank-width", 4);
    fdt_reg(f, FLASH + FLASH_BANK, FLASH_BANK);
    fdt_str(f, "compatible", "cfi-flash");
    fdt_end(f);
    fdt_node(f, "secram@%llx", SECURE_RAM);
    fdt_str(f, "device_type", "memory");
    fdt_reg(f, SECURE_RAM, SECURE_RAM_SIZE);
    fdt_secure_only(f);
    fdt_primecell(f, "pl011", SECURE_UART, SECURE_UART_IRQ);
    fdt_cells(f, "clocks", PH_CLOCK, PH_CLOCK);
    fdt_strs(f, "clock-names", "uartclk", "apb_pclk", NULL);
    fdt_secure_only(f);
    fdt_primecell(f, "pl061", SECURE_GPIO, 0);
    fdt_cells(f, "phandle", PH_SECURE_GPIO);
    fdt_cells(f, "clocks", PH_CLOCK);
    fdt_str(f, "clock-names", "apb_pclk");
    fdt_flag(f, "gpio-controller");
    fdt_cells(f, "#gpio-cells", 2);
    fdt_secure_only(f);
    fdt_power_pin(f, "gpio-poweroff", OFF_PIN);
    fdt_power_pin(f, "gpio-restart", RESTART_PIN);
    fdt_node(f, "secure-chosen");
    fdt_str(f, "stdout-path", "/pl011@9040000");
    fdt_end(f);
}

static void fdt_chips(Virt *v, Fdt *f)
{
    fdt_node(f, "apb-pclk");
    fdt_cells(f, "phandle", PH_CLOCK);
    fdt_str(f, "clock-output-names", "clk24mhz");
    fdt_cells(f, "clock-frequency", 24000000);
    fdt_cells(f, "#clock-cells", 0);
    fdt_str(f, "compatible", "fixed-clock");
    fdt_end(f);
    fdt_primecell(f, "pl011", UART, UART_IRQ);
    fdt_cells(f, "clocks", PH_CLOCK, PH_CLOCK);
    fdt_strs(f, "clock-names", "uartclk", "apb_pclk", NULL);
    fdt_end(f);
    fdt_primecell(f, "pl031", RTC, RTC_IRQ);
    fdt_cells(f, "clocks", PH_CLOCK);
    fdt_str(f, "clock-names", "apb_pclk");
    fdt_end(f);
    fdt_primecell(f, "pl061", GPIO, GPIO_IRQ);
    fdt_cells(f, "phandle", PH_GPIO);
    fdt_cells(f, "clocks", PH_CLOCK);
    fdt_str(f, "clock-names", "apb_pclk");
    fdt_flag(f, "gpio-controller");
    fdt_cells(f, "#gpio-cells", 2);
    fdt_end(f);
    fdt_node(f, "gpio-keys");
    fdt_str(f, "compatible", "gpio-keys");
    fdt_node(f, "poweroff");
    fdt_cells(f, "gpios", PH_GPIO, KEY_PIN, 0);
    fdt_cells(f, "linux,code", POWER_KEY);
    fdt_str(f, "label", "GPIO Key Poweroff");
    fdt_end(f);
    fdt_end(f);
    if (v->el3)
        fdt_secure(f);
    else
        fdt_flash(f, FLASH, FLASH_BANK);
    fdt_fw_cfg(f, FW_CFG);
    fdt_virtio(f, VIRTIO, VIRTIO_STRIDE, N_VIRTIO, fdt_virtio_irq);
}

static A64Conduit conduit_of(const Virt *v) { return v->el3 && !v->direct ? A64_CONDUIT_NONE : v->el2 ? A64_CONDUIT_SMC : A64_CONDUIT_HVC; }

static void fdt_psci(Virt *v, Fdt *f)
{
    if (conduit_of(v) == A64_CONDUIT_NONE)
        return;
    fdt_node(f, "psci");
    fdt_cells(f, "migrate", 0xc4000005);
    fdt_cells(f, "cpu_on", 0xc4000003);
    fdt_cells(f, "cpu_off", 0x84000002);
    fdt_cells(f, "cpu_suspend", 0xc4000001);
    fdt_str(f, "method", conduit_of(v) == A64_CONDUIT_SMC ? "smc" : "hvc");
    fdt_strs(f, "compatible", "arm,psci-1.0", "arm,psci-0.2", "arm,psci", NULL);
    fdt_end(f);
}

static GBytes *make_fdt(Virt *v, GError **err)
{
    Fdt fdt, *f = &fdt;
    g_autofree char *uart = g_strdup_printf("/pl011@%llx", UART);
    fdt_open(f);
    fdt_cells(f, "interrupt-parent", PH_GIC);
    fdt_str(f, "model", "linux,dummy-virt");
    fdt_cells(f, "#size-cells", 2);
    fdt_cells(f, "#address-cells", 2);
    fdt_str(f, "compatible", "linux,dummy-virt");
    fdt_chosen(f, uart, v->direct ? v->cfg.append : NULL, v->initrd, v->initrd_len);
    fdt_psci(v, f);
    fdt_node(f, "memory@%llx", RAM);
    fdt_reg(f, RAM, machine_config(v->m)->ram_bytes);
    fdt_str(f, "device_type", "memory");
    fdt_end(f);
    fdt_cpus(v, f);
    fdt_intc(v, f);
    fdt_chips(v, f);
    fdt_pci(v, f);
    return fdt_close(f, err);
}

/* ---- boot ---- */

/* Where Debian puts EDK II (package qemu-efi-aarch64). */
static const char *const firmware[] = { "/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd", NULL };

/* Firmware runs from the first bank of flash: the drive's, or an image file. */
static bool load_firmware(Virt *v, GError **err)
{
    v->start = FLASH;
    v->fdt = RAM;
    if (machine_find_object(v->m, "drive", "pflash0")) {
        if (v->cfg.bios)
            g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, "-bios and -drive if=pflash,unit=0 are the same bank of flash; give one of them");
        return !v->cfg.bios;
    }
    const char *path = virt_firmware_path(&v->cfg, firmware, "qemu-efi-aarch64", err);
    g_autoptr(GBytes) image = path ? boot_file_open(path, "the firmware (-bios)", err) : NULL;
    gsize len;
    if (!image)
        return false;
    const void *p = g_bytes_get_data(image, &len);
    if (cfi_flash_fill(v->flash[0], p, len))
        return true;
    g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s does not fit into a bank of flash (64 MiB)", path);
    return false;
}

/* Linux Documentation/arch/arm64/booting.rst: header of an Image; images before it said how long they are want 512 KiB of offset. */
static uint64_t image_offset(const uint8_t *p, gsize len, uint64_t *ret_size)
{
    *ret_size = len;
    if (len < 64 || memcmp(p + 56, "ARM\x64", 4))
        return 2 * MB;
    uint64_t offset = load_le64(p + 8), size = load_le64(p + 16);
    if (!size)
        return 0x80000;
    *ret_size = MAX(size, len);
    return offset < 0x1000 ? offset + 2 * MB : offset;
}

static bool load_kernel(Virt *v, uint64_t *ret_end, GError **err)
{
    g_autoptr(GBytes) image = virt_image_open(v->cfg.kernel, "the kernel", err);
    gsize len;
    uint64_t size;
    if (!image)
        return false;
    const uint8_t *p = g_bytes_get_data(image, &len);
    if (elf_is(p, len))
        return virt_images_load_bytes(&v->images, image, "the kernel", RAM, &v->start, ret_end, err);
    if (!virt_images_for_this_cpu(&v->images, image, "the kernel", err))
        return false;
    uint64_t at = RAM + image_offset(p, len, &size);
    v->start = at;
    *ret_end = at + size;
    if (*ret_end < at || *ret_end > v->images.ram_end)
        return boot_fail(err, "the kernel does not fit into the guest's memory; give more with -m");
    return virt_images_add(&v->images, "the kernel", at, image, err);
}

/* The initrd in the middle of memory or at 128 MiB, the device tree behind it. */
static bool place_tables(Virt *v, uint64_t kernel_end, GError **err)
{
    uint64_t at = MAX(RAM + MIN(machine_config(v->m)->ram_bytes / 2, 128 * MB), align_up(kernel_end, FDT_ALIGN));
    if (v->direct && v->cfg.initrd) {
        g_autoptr(GBytes) data = boot_file_open(v->cfg.initrd, "the initrd", err);
        if (!data || !virt_images_add(&v->images, "the initrd", at, data, err))
            return false;
        v->initrd = at;
        v->initrd_len = g_bytes_get_size(data);
        at += v->initrd_len;
    }
    if (v->direct)
        v->fdt = align_up(at, FDT_ALIGN);
    g_autoptr(GBytes) tree = virt_fdt_final(&v->cfg, make_fdt(v, err), err);
    return tree && virt_images_add(&v->images, "the device tree", v->fdt, tree, err);
}

static void virt_reset(void *opaque)
{
    Virt *v = opaque;
    virt_images_place(&v->images, v->m);
    for (unsigned i = 0; i < machine_n_vcpus(v->m); i++) {
        Vcpu *c = machine_vcpu(v->m, i);
        A64State *s = c->state;
        s->rvbar = s->pc = v->start;
        s->conduit = (uint8_t)conduit_of(v);
        if (v->direct)
            a64_state_nonsecure(s);
        else if (s->conduit == A64_CONDUIT_NONE)
            s->power = A64_POWER_ON;
        s->x[0] = v->direct && !i ? v->fdt : 0;
        vcpu_state_changed(c, A64_GROUP_ALL);
    }
}

static void virt_free(void *opaque)
{
    Virt *v = opaque;
    virt_images_clear(&v->images);
    mem_region_unref(v->ram);
    mem_region_unref(v->secure_ram);
    g_free(v);
}

/* ---- options ---- */

static bool on_or_off(const Virt *v, const char *name, bool *ret, GError **err)
{
    const char *value = virt_option(&v->cfg, name);
    *ret = value && !strcmp(value, "on");
    return !value || *ret || !strcmp(value, "off") || boot_fail(err, "-machine %s= takes on or off, not '%s'", name, value);
}

static bool choose_options(Virt *v, GError **err)
{
    const char *gic = virt_option(&v->cfg, "gic-version");
    if (gic && strcmp(gic, "2") && strcmp(gic, "3") && strcmp(gic, "max"))
        return boot_fail(err, "-machine gic-version= takes 2, 3 or max, not '%s'", gic);
    v->v3 = gic && strcmp(gic, "2");
    const char *its = virt_option(&v->cfg, "its");
    if (its && strcmp(its, "on") && strcmp(its, "off"))
        return boot_fail(err, "-machine its= takes on or off, not '%s'", its);
    v->with_its = v->v3 && !(its && !strcmp(its, "off"));
    const char *mte = virt_option(&v->cfg, "mte");
    if (mte && strcmp(mte, "off"))
        return boot_fail(err, "-machine mte=%s: the aarch64 virt machine has no memory tags; it takes off", mte);
    if (!on_or_off(v, "virtualization", &v->el2, err) || !on_or_off(v, "secure", &v->el3, err))
        return false;
    if (!v->el3 && v->cfg.serial[1])
        return boot_fail(err, "the aarch64 virt machine has a second serial port with -machine secure=on only");
    return !(v->el3 && v->v3) || boot_fail(err, "-machine secure=on: the GICv3 here has one security state; it takes gic-version=2");
}

static bool virt_init(Machine *m, const BoardConfig *cfg, GError **err)
{
    Virt *v = g_new0(Virt, 1);
    v->m = m;
    v->cfg = *cfg;
    machine_own(m, v, virt_free);
    virt_images_init(&v->images, RAM, machine_config(m)->ram_bytes, EM_AARCH64);
    if (machine_n_vcpus(m) > MAX_CPUS)
        return boot_fail(err, "the aarch64 virt machine has at most %d CPUs", MAX_CPUS);
    v->ram = mem_region_new_ram(machine_mem(m), "virt.ram", machine_config(m)->ram_bytes, err);
    if (!v->ram || !aarch64_cpu_choose(m, v->cfg.cpu, &v->cpu_compatible, err) || !choose_options(v, err))
        return false;
    for (unsigned i = 0; i < machine_n_vcpus(m); i++) {
        A64State *s = machine_vcpu(m, i)->state;
        s->has_el2 = v->el2;
        s->has_el3 = v->el3;
    }
    mem_region_add(machine_mem_root(m), RAM, v->ram, 0);
    if (!machine_add_object(m, "board", "virt", v, NULL, err) || !make_intc(v, err) || !virt_flash_new(m, FLASH, FLASH_BANK, "64M", v->flash, 2, err) || !make_chips(v, err) || (v->el3 && !make_secure(v, err)) || !make_buses(v, err))
        return false;
    machine_add_reset_hook(m, virt_reset, v);
    return true;
}

static bool virt_finish(Machine *m, GError **err)
{
    Virt *v = machine_find_object(m, "board", "virt");
    uint8_t le[4];
    uint64_t kernel_end = RAM;
    store_le32(le, machine_n_vcpus(m));
    fw_cfg_set_item(v->fw_cfg, FW_CFG_NB_CPUS, le, 2);
    fw_cfg_set_item(v->fw_cfg, FW_CFG_MAX_CPUS, le, 2);
    v->direct = is_direct(v);
    if (v->cfg.bios && !strcmp(v->cfg.bios, "none") && !v->direct)
        return boot_fail(err, "-bios none needs a -kernel: there is nothing to start");
    arm_cpus_set_all_on(v->cpus, conduit_of(v) == A64_CONDUIT_NONE);
    if (!(v->direct ? load_kernel(v, &kernel_end, err) : load_firmware(v, err) && virt_offer_kernel(v->fw_cfg, &v->cfg, err)))
        return false;
    return place_tables(v, kernel_end, err);
}

static const char *const options[] = { "gic-version", "secure", "virtualization", "mte", "highmem", "its", "ras", "iommu", "dtb", "dumpdtb", NULL };

const Board board_virt_aarch64 = {
    .machine = "virt", .arch = "aarch64", .summary = "AArch64 virtual machine (GIC, virtio, PCIe)", .max_vcpus = MAX_CPUS, .max_serials = 2, .cpu = &aarch64_cpu_type, .cpu_help = a64_models_help,
    .buses = 1 << BUS_PCI | 1 << BUS_VIRTIO, .engine = "tcg", .options = options, .flash_banks = 2, .init = virt_init, .finish = virt_finish, .disk = "virtio-blk-pci", .nic = "virtio-net-pci",
};
