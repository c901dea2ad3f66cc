/* bzImage and the zero page: Linux Documentation/arch/x86/boot.rst and zero-page.rst. */
#include <string.h>

#include "hw/board/boot-internal.h"
#include "util/bits.h"

/* Offsets in the image's first sectors and in the zero page. */
enum {
    ZP_ACPI_RSDP = 0x070, ZP_E820_ENTRIES = 0x1e8, HDR_SETUP_SECTS = 0x1f1, HDR_BOOT_FLAG = 0x1fe, HDR_JUMP = 0x201, HDR_MAGIC = 0x202, HDR_VERSION = 0x206,
    HDR_TYPE_OF_LOADER = 0x210, HDR_LOADFLAGS = 0x211, HDR_CODE32_START = 0x214, HDR_RAMDISK = 0x218, HDR_RAMDISK_SIZE = 0x21c, HDR_HEAP_END = 0x224,
    HDR_CMDLINE = 0x228, HDR_INITRD_MAX = 0x22c, HDR_XLOADFLAGS = 0x236, HDR_CMDLINE_SIZE = 0x238, HDR_PREF_ADDRESS = 0x258, HDR_INIT_SIZE = 0x260,
    HDR_END_MAX = 0x290, ZP_E820 = 0x2d0, ZP_SIZE = 4096,
    E820_MAX = 128, SECTOR = 512, LOAD_HIGH = 0x100000,
    LOADED_HIGH = 1, CAN_USE_HEAP = 0x80, XLF_KERNEL_64 = 1, LOADER_UNKNOWN = 0xff,
};

bool boot_linux_is(const uint8_t *p, uint64_t len)
{
    return len >= HDR_END_MAX && load_le32(p + HDR_MAGIC) == 0x53726448 && load_le16(p + HDR_BOOT_FLAG) == 0xaa55;
}

/* The initrd as high as it may lie, above everything the kernel needs while it unpacks itself. */
static bool add_initrd(BootPlan *plan, const BootEnv *env, const LinuxBoot *lb, uint64_t *ret_at, uint64_t *ret_len, GError **err)
{
    *ret_at = *ret_len = 0;
    if (env->n_modules > 1)
        return boot_fail(err, "this kernel takes one initrd; -initrd with a list of files is for multiboot images");
    uint64_t len = env->n_modules ? g_bytes_get_size(env->modules[0].data) : 0;
    if (!len)
        return true;
    uint64_t at = boot_place_high(plan, env, len, lb->run_end, lb->initrd_max + 1, 4096);
    if (!at)
        return boot_fail(err, "the initrd (%" PRIu64 " MiB) does not fit into the guest's memory beside the kernel; give more with -m", len >> 20);
    *ret_at = at;
    *ret_len = len;
    return boot_add(plan, env, "the initrd", at, len, g_bytes_ref(env->modules[0].data), err);
}

static void put_e820(uint8_t *zp, const BootEnv *env)
{
    unsigned n = MIN(env->n_map, (unsigned)E820_MAX);
    zp[ZP_E820_ENTRIES] = (uint8_t)n;
    for (unsigned i = 0; i < n; i++) {
        store_le64(zp + ZP_E820 + 20 * i, env->map[i].base);
        store_le64(zp + ZP_E820 + 20 * i + 8, env->map[i].len);
        store_le32(zp + ZP_E820 + 20 * i + 16, env->map[i].type);
    }
}

bool boot_add_zero_page(BootPlan *plan, const BootEnv *env, const LinuxBoot *lb, GError **err)
{
    uint64_t at, len;
    if (!boot_add_cmdline(plan, env, env->cmdline, lb->cmdline_max, err) || !add_initrd(plan, env, lb, &at, &len, err))
        return false;
    uint8_t *zp = g_malloc0(ZP_SIZE);
    if (lb->header) {
        memcpy(zp + HDR_SETUP_SECTS, lb->header + HDR_SETUP_SECTS, lb->header_end - HDR_SETUP_SECTS);
    } else {
        store_le16(zp + HDR_BOOT_FLAG, 0xaa55);
        store_le32(zp + HDR_MAGIC, 0x53726448);
        store_le16(zp + HDR_VERSION, 0x020c);
        zp[HDR_LOADFLAGS] = LOADED_HIGH;
    }
    zp[HDR_TYPE_OF_LOADER] = LOADER_UNKNOWN;
    zp[HDR_LOADFLAGS] |= CAN_USE_HEAP;
    store_le16(zp + HDR_HEAP_END, 0xfe00);
    store_le32(zp + HDR_CODE32_START, LOAD_HIGH);
    store_le32(zp + HDR_CMDLINE, BOOT_CMDLINE);
    store_le32(zp + HDR_RAMDISK, (uint32_t)at);         /* below 4 GiB: boot_low_end */
    store_le32(zp + HDR_RAMDISK_SIZE, (uint32_t)len);
    store_le64(zp + ZP_ACPI_RSDP, env->rsdp);
    put_e820(zp, env);
    return boot_add(plan, env, "the zero page", BOOT_ZERO_PAGE, ZP_SIZE, g_bytes_new_take(zp, ZP_SIZE), err);
}

/* What of the header depends on the protocol version. */
static bool read_header(const uint8_t *p, uint64_t len, uint64_t kernel_len, LinuxBoot *lb, bool *ret_64, GError **err)
{
    unsigned version = load_le16(p + HDR_VERSION);
    if (version < 0x0200 || !(p[HDR_LOADFLAGS] & LOADED_HIGH))
        return boot_fail(err, "the kernel is a zImage or uses boot protocol %u.%02u; protocol 2.00 and a bzImage are needed", version >> 8, version & 255);
    *lb = (LinuxBoot){ .header = p, .header_end = MIN((uint64_t)HDR_MAGIC + p[HDR_JUMP], (uint64_t)HDR_END_MAX) };
    lb->header_end = MAX(lb->header_end, (uint64_t)HDR_HEAP_END);
    lb->cmdline_max = version >= 0x0206 ? load_le32(p + HDR_CMDLINE_SIZE) : 255;
    lb->initrd_max = version >= 0x0203 ? load_le32(p + HDR_INITRD_MAX) : 0x37ffffff;
    lb->run_end = LOAD_HIGH + kernel_len;
    uint64_t init_size = version >= 0x020a ? load_le32(p + HDR_INIT_SIZE) : 0;
    uint64_t pref = version >= 0x020a ? load_le64(p + HDR_PREF_ADDRESS) : LOAD_HIGH;
    if (pref >= BIT(32))
        return boot_fail(err, "the kernel wants to run at 0x%" PRIx64 ", above 4 GiB", pref);
    lb->run_end = MAX(lb->run_end, MAX(pref, (uint64_t)LOAD_HIGH) + init_size);
    *ret_64 = version >= 0x020c && load_le16(p + HDR_XLOADFLAGS) & XLF_KERNEL_64;
    return true;
}

bool boot_linux(BootPlan *plan, GBytes *kernel, const BootEnv *env, GError **err)
{
    gsize len;
    const uint8_t *p = g_bytes_get_data(kernel, &len);
    uint64_t setup = (uint64_t)((p[HDR_SETUP_SECTS] ? p[HDR_SETUP_SECTS] : 4) + 1) * SECTOR;
    LinuxBoot lb;
    bool is64 = false;
    if (setup >= len)
        return boot_fail(err, "the kernel image ends within its setup sectors: the file is cut short");
    if (!read_header(p, len, len - setup, &lb, &is64, err))
        return false;
    if (!boot_is_ram(env, LOAD_HIGH, lb.run_end - LOAD_HIGH))
        return boot_fail(err, "the kernel needs memory up to %" PRIu64 " MiB to unpack itself; give more with -m", DIV_UP(lb.run_end, 1 << 20));
    if (!boot_add(plan, env, "the kernel", LOAD_HIGH, len - setup, boot_slice(kernel, setup, len - setup), err) ||
        !boot_add_zero_page(plan, env, &lb, err))
        return false;
    plan->kind = is64 ? "bzImage, 64-bit entry" : "bzImage, 32-bit entry";
    plan->mode = is64 ? BOOT_LONG64 : BOOT_FLAT32;
    plan->entry = LOAD_HIGH + (is64 ? 0x200 : 0);
    plan->rsi = BOOT_ZERO_PAGE;
    return boot_add_cpu(plan, env, err);
}
