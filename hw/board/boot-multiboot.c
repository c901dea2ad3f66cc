/* Multiboot Specification 0.6.96. */
#include <string.h>

#include "hw/board/boot-internal.h"
#include "util/bits.h"

enum {
    SEARCH = 8192, MAGIC = 0x1badb002, EAX = 0x2badb002, INFO_SIZE = 116,
    WANT_PAGE_ALIGN = 1, WANT_MEM = 2, WANT_VIDEO = 4, HAS_ADDRESSES = 0x10000,
    HAS_MEM = 1, HAS_CMDLINE = 4, HAS_MODS = 8, HAS_MMAP = 0x40, HAS_LOADER_NAME = 0x200,
    /* in BOOT_LIST: module list, memory map, names */
    MODS = 0, MMAP = 16 * BOOT_MAX_MODULES, NAMES = MMAP + 24 * 128,
};

int64_t boot_multiboot_find(const uint8_t *p, uint64_t len)
{
    for (uint64_t off = 0; off + 12 <= MIN(len, (uint64_t)SEARCH); off += 4) {
        uint32_t flags = load_le32(p + off + 4);
        if (load_le32(p + off) == MAGIC && (uint32_t)(MAGIC + flags + load_le32(p + off + 8)) == 0)
            return (int64_t)off;
    }
    return -1;
}

/* The header says itself what goes where (3.1.3). */
static bool load_by_header(BootPlan *plan, const BootEnv *env, GBytes *kernel, uint64_t off, uint64_t *ret_end, GError **err)
{
    gsize len;
    const uint8_t *h = (const uint8_t *)g_bytes_get_data(kernel, &len) + off;
    if (!range_inside(off, 32, len))
        return boot_fail(err, "the multiboot header is cut short");
    uint64_t header = load_le32(h + 12), load = load_le32(h + 16), load_end = load_le32(h + 20), bss_end = load_le32(h + 24);
    if (load > header || header - load > off)
        return boot_fail(err, "the multiboot header's addresses do not belong to this file");
    uint64_t from = off - (header - load), filesz = load_end ? load_end - load : len - from;
    if (load_end && load_end < load)
        return boot_fail(err, "the multiboot header's load_end_addr lies before its load_addr");
    if (!range_inside(from, filesz, len))
        return boot_fail(err, "the multiboot image ends before its load_end_addr: the file is cut short");
    uint64_t memsz = bss_end > load + filesz ? bss_end - load : filesz;
    plan->entry = load_le32(h + 28);
    *ret_end = load + memsz;
    return boot_add(plan, env, "the multiboot image", load, memsz, boot_slice(kernel, from, filesz), err);
}

static bool load_elf(BootPlan *plan, const BootEnv *env, GBytes *kernel, uint64_t *ret_end, GError **err)
{
    gsize len;
    const uint8_t *p = g_bytes_get_data(kernel, &len);
    ElfImage elf;
    if (!elf_is(p, len))
        return boot_fail(err, "the multiboot image is neither ELF nor does its header carry load addresses");
    if (!elf_parse(p, len, &elf, err) || !elf_add_segments(plan, env, &elf, kernel, err))
        return false;
    /* Files whose entry is a virtual address: the segment it lies in says where that is. */
    plan->entry = elf.entry;
    *ret_end = 0;
    for (unsigned i = 0; i < elf.n; i++) {
        const ElfSegment *s = &elf.seg[i];
        if (s->vaddr != s->paddr && elf.entry >= s->vaddr && elf.entry - s->vaddr < s->memsz)
            plan->entry = elf.entry - s->vaddr + s->paddr;
        *ret_end = MAX(*ret_end, s->paddr + s->memsz);
    }
    return true;
}

/* Modules follow the kernel, page-aligned; strings go behind the lists. */
static bool add_modules(BootPlan *plan, const BootEnv *env, uint64_t end, uint8_t *list, uint64_t *names, GError **err)
{
    for (unsigned i = 0; i < env->n_modules; i++) {
        const BootModule *m = &env->modules[i];
        uint64_t len = g_bytes_get_size(m->data), at = align_up(MAX(end, 0x100000ul), 4096);
        size_t name_len = strlen(m->cmdline) + 1;
        if (!range_inside(*names, name_len, BOOT_LIST_MAX))
            return boot_fail(err, "the command lines of the modules are too long together");
        if (len && !boot_add(plan, env, "a module", at, len, g_bytes_ref(m->data), err))
            return false;
        store_le32(list + MODS + 16 * i, (uint32_t)at);
        store_le32(list + MODS + 16 * i + 4, (uint32_t)(at + len));
        store_le32(list + MODS + 16 * i + 8, (uint32_t)(BOOT_LIST + *names));
        memcpy(list + *names, m->cmdline, name_len);
        *names += name_len;
        end = at + len;
    }
    return true;
}

static bool add_info(BootPlan *plan, const BootEnv *env, uint64_t end, GError **err)
{
    static const char loader[] = "tandem";
    uint8_t info[INFO_SIZE] = { 0 };
    g_autofree uint8_t *list = g_malloc0(BOOT_LIST_MAX);
    uint64_t names = NAMES;
    unsigned n_map = MIN(env->n_map, 128u);
    memcpy(list + names, loader, sizeof(loader));
    store_le32(info + 64, BOOT_LIST + NAMES);
    names += sizeof(loader);
    if (!add_modules(plan, env, end, list, &names, err))
        return false;
    for (unsigned i = 0; i < n_map; i++) {
        uint8_t *e = list + MMAP + 24 * i;
        store_le32(e, 20);
        store_le64(e + 4, env->map[i].base);
        store_le64(e + 12, env->map[i].len);
        store_le32(e + 20, env->map[i].type);
    }
    store_le32(info, HAS_MEM | HAS_CMDLINE | HAS_MODS | HAS_MMAP | HAS_LOADER_NAME);
    store_le32(info + 4, BOOT_EBDA / 1024);
    store_le32(info + 8, (uint32_t)((boot_low_end(env) - 0x100000) / 1024));
    store_le32(info + 16, BOOT_CMDLINE);
    store_le32(info + 20, env->n_modules);
    store_le32(info + 24, BOOT_LIST + MODS);
    store_le32(info + 44, 24 * n_map);
    store_le32(info + 48, BOOT_LIST + MMAP);
    return boot_add(plan, env, "the multiboot information", BOOT_INFO, sizeof(info), g_bytes_new(info, sizeof(info)), err) &&
           boot_add(plan, env, "the multiboot lists", BOOT_LIST, BOOT_LIST_MAX, g_bytes_new_take(g_steal_pointer(&list), BOOT_LIST_MAX), err);
}

bool boot_multiboot(BootPlan *plan, GBytes *kernel, const BootEnv *env, GError **err)
{
    gsize len;
    const uint8_t *p = g_bytes_get_data(kernel, &len);
    uint64_t off = (uint64_t)boot_multiboot_find(p, len), end;
    uint32_t flags = load_le32(p + off + 4);
    if (flags & 0xffff & ~(WANT_PAGE_ALIGN | WANT_MEM | WANT_VIDEO))
        return boot_fail(err, "the multiboot image demands a feature that does not exist here (flags 0x%x)", flags);
    if (boot_low_end(env) < 0x200000)
        return boot_fail(err, "a multiboot image needs at least 2 MiB of memory; give more with -m");
    if (!(flags & HAS_ADDRESSES ? load_by_header(plan, env, kernel, off, &end, err) : load_elf(plan, env, kernel, &end, err)))
        return false;
    if (plan->entry > UINT32_MAX || !boot_is_ram(env, plan->entry, 1))
        return boot_fail(err, "the multiboot image's entry 0x%" PRIx64 " is not in the guest's memory", plan->entry);
    g_autofree char *cmdline = *env->cmdline ? g_strdup_printf("%s %s", env->kernel_name, env->cmdline) : g_strdup(env->kernel_name);
    if (!boot_add_cmdline(plan, env, cmdline, BOOT_CMDLINE_MAX - 1, err) || !add_info(plan, env, end, err))
        return false;
    plan->kind = "multiboot";
    plan->mode = BOOT_FLAT32;
    plan->rax = EAX;
    plan->rbx = BOOT_INFO;
    return boot_add_cpu(plan, env, err);
}
