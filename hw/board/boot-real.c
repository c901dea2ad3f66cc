/*
 * Images that start in real mode and call a BIOS: Linux Documentation/arch/x86/boot.rst, "Running the Kernel" (the 16-bit boot protocol). iPXE, memdisk,
 * GRUB's lnxboot and Linux before 2.6.31 are such. The plan says where the parts go once firmware has run (pc-kernelrom.c).
 */
#include <string.h>

#include "hw/board/boot-internal.h"
#include "util/bits.h"

enum {
    HDR_SETUP_SECTS = 0x1f1, HDR_VERSION = 0x206, HDR_TYPE_OF_LOADER = 0x210, HDR_LOADFLAGS = 0x211, HDR_MOVE_SIZE = 0x212, HDR_RAMDISK = 0x218,
    HDR_RAMDISK_SIZE = 0x21c, HDR_HEAP_END = 0x224, HDR_CMDLINE = 0x228, HDR_INITRD_MAX = 0x22c, HDR_XLOADFLAGS = 0x236, HDR_CMDLINE_SIZE = 0x238,
    HDR_INIT_SIZE = 0x260, OLD_CMDLINE_MAGIC = 0x20, OLD_CMDLINE_OFFSET = 0x22, OLD_CMDLINE = 0xa33f,
    LOADED_HIGH = 1, CAN_USE_HEAP = 0x80, XLF_KERNEL_64 = 1, LOADER_UNKNOWN = 0xff, SECTOR = 512, SETUP_MAX = 0x8000,
    /* Firmware keeps its tables in the last megabyte. */
    KEEP_BIOS = 0x100000,
};

/* Where things lie: as the protocol's version wants it. The stack ends where the heap's part of the segment does. */
typedef struct Layout { uint32_t setup, kernel, cmdline, stack, cmdline_max; } Layout;

static Layout layout_of(const uint8_t *p)
{
    unsigned version = load_le16(p + HDR_VERSION);
    uint32_t kernel = p[HDR_LOADFLAGS] & LOADED_HIGH ? 0x100000 : 0x10000;
    if (version < 0x0202 || kernel < 0x100000)
        return (Layout){ .setup = 0x90000, .kernel = kernel, .cmdline = 0x99000, .stack = 0x9000, .cmdline_max = 255 };
    return (Layout){ .setup = 0x10000, .kernel = kernel, .cmdline = BOOT_CMDLINE, .stack = 0xe000,
                     .cmdline_max = version >= 0x0206 ? load_le32(p + HDR_CMDLINE_SIZE) : 255 };
}

/* Since 2.10 a kernel says how much memory it needs to unpack itself: without that, nobody promises that its 32-bit entry needs no BIOS. */
bool boot_real_is(const uint8_t *p, uint64_t len)
{
    unsigned version = load_le16(p + HDR_VERSION);
    return boot_linux_is(p, len) && version >= 0x0200 && (version < 0x020a || !load_le32(p + HDR_INIT_SIZE) || !(p[HDR_LOADFLAGS] & LOADED_HIGH)) &&
           !(version >= 0x020c && load_le16(p + HDR_XLOADFLAGS) & XLF_KERNEL_64);
}

static bool add_setup(BootPlan *plan, const BootEnv *env, const Layout *l, const uint8_t *image, uint32_t len, uint64_t initrd, GError **err)
{
    uint8_t *p = g_memdup2(image, len);
    unsigned version = load_le16(p + HDR_VERSION);
    p[HDR_TYPE_OF_LOADER] = LOADER_UNKNOWN;
    store_le32(p + HDR_RAMDISK, (uint32_t)initrd);      /* below 4 GiB: boot_low_end */
    store_le32(p + HDR_RAMDISK_SIZE, initrd ? (uint32_t)g_bytes_get_size(env->modules[0].data) : 0);
    if (version >= 0x0201) {
        p[HDR_LOADFLAGS] |= CAN_USE_HEAP;
        store_le16(p + HDR_HEAP_END, (uint16_t)(l->stack - 0x200));
    }
    if (version >= 0x0202) {
        store_le32(p + HDR_CMDLINE, l->cmdline);
    } else {
        store_le16(p + OLD_CMDLINE_MAGIC, OLD_CMDLINE);
        store_le16(p + OLD_CMDLINE_OFFSET, (uint16_t)(l->cmdline - l->setup));
        store_le16(p + HDR_MOVE_SIZE, (uint16_t)(l->cmdline - l->setup + strlen(env->cmdline) + 1));
    }
    return boot_add(plan, env, "the kernel's setup", l->setup, len, g_bytes_new_take(p, len), err);
}

static bool place_initrd(const BootPlan *plan, const BootEnv *env, const uint8_t *p, uint64_t *ret_at, GError **err)
{
    uint64_t len = env->n_modules ? g_bytes_get_size(env->modules[0].data) : 0, end = boot_low_end(env);
    uint64_t limit = (load_le16(p + HDR_VERSION) >= 0x0203 ? load_le32(p + HDR_INITRD_MAX) : 0x37ffffffu) + 1ull;
    *ret_at = 0;
    if (env->n_modules > 1)
        return boot_fail(err, "this kernel takes one initrd; -initrd with a list of files is for multiboot images");
    if (len)
        *ret_at = boot_place_high(plan, env, len, 0x100000, MIN(limit, end - MIN(end, (uint64_t)KEEP_BIOS)), 4096);
    return !len || *ret_at ||
           boot_fail(err, "the initrd (%" PRIu64 " MiB) does not fit into the guest's memory beside the kernel; give more with -m", len >> 20);
}

bool boot_real(BootPlan *plan, GBytes *kernel, const BootEnv *env, GError **err)
{
    gsize len;
    const uint8_t *p = g_bytes_get_data(kernel, &len);
    uint32_t setup = (uint32_t)((p[HDR_SETUP_SECTS] ? p[HDR_SETUP_SECTS] : 4) + 1) * SECTOR;
    Layout l = layout_of(p);
    uint64_t initrd;
    if (load_le16(p + HDR_VERSION) < 0x0200)
        return boot_fail(err, "the kernel uses boot protocol %u.%02u; 2.00 or later is needed", p[HDR_VERSION + 1], p[HDR_VERSION]);
    if (setup >= len)
        return boot_fail(err, "the kernel image ends within its setup sectors: the file is cut short");
    if (setup > SETUP_MAX)
        return boot_fail(err, "the kernel's real-mode code has %u KiB, the boot protocol leaves it 32", setup / 1024);
    if (!boot_add(plan, env, "the kernel", l.kernel, len - setup, boot_slice(kernel, setup, len - setup), err) ||
        !place_initrd(plan, env, p, &initrd, err) || !add_setup(plan, env, &l, p, setup, initrd, err) ||
        !boot_add_cmdline_at(plan, env, env->cmdline, l.cmdline, l.cmdline_max, err))
        return false;
    if (initrd && !boot_add(plan, env, "the initrd", initrd, g_bytes_get_size(env->modules[0].data), g_bytes_ref(env->modules[0].data), err))
        return false;
    plan->kind = "bzImage, real-mode entry after firmware";
    plan->mode = BOOT_REAL16;
    plan->entry = l.setup + 0x200;
    plan->stack = l.stack;
    return true;
}
