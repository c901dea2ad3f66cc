/* ELF kernels: 64-bit vmlinux, and PVH (Xen docs/misc/pvh.pandoc, xen/include/public/arch-x86/hvm/start_info.h). */
#include <elf.h>
#include <string.h>

#include "hw/board/boot-internal.h"
#include "util/bits.h"

enum { XEN_ELFNOTE_PHYS32_ENTRY = 18, START_INFO_MAGIC = 0x336ec578, MAX_NOTES = 64 };

bool elf_is(const uint8_t *p, uint64_t len)
{
    return len >= EI_NIDENT && !memcmp(p, ELFMAG, SELFMAG);
}

/* Notes are padded to 4 bytes, whatever p_align says, in every file that carries this one. */
static void find_pvh(const uint8_t *p, uint64_t len, ElfImage *elf)
{
    uint64_t off = 0;
    for (unsigned n = 0; n < MAX_NOTES && range_inside(off, 12, len); n++) {
        uint64_t namesz = load_le32(p + off), descsz = load_le32(p + off + 4);
        uint64_t name = off + 12, desc = name + align_up(namesz, 4);
        if (!range_inside(desc, descsz, len))
            return;
        if (load_le32(p + off + 8) == XEN_ELFNOTE_PHYS32_ENTRY && namesz == 4 && !memcmp(p + name, "Xen", 4) && descsz >= 4) {
            elf->has_pvh = true;
            elf->pvh_entry = load_le32(p + desc);
            return;
        }
        off = desc + align_up(descsz, 4);
    }
}

typedef struct Phdr { uint32_t type; ElfSegment s; } Phdr;

static Phdr read_phdr(const uint8_t *h, bool is64)
{
    Phdr r = { .type = load_le32(h) };
    if (is64) {
        r.s = (ElfSegment){ .offset = load_le64(h + 8), .vaddr = load_le64(h + 16), .paddr = load_le64(h + 24), .filesz = load_le64(h + 32),
                            .memsz = load_le64(h + 40) };
    } else {
        r.s = (ElfSegment){ .offset = load_le32(h + 4), .vaddr = load_le32(h + 8), .paddr = load_le32(h + 12), .filesz = load_le32(h + 16),
                            .memsz = load_le32(h + 20) };
    }
    return r;
}

static bool read_segments(const uint8_t *p, uint64_t len, uint64_t phoff, unsigned phentsize, unsigned phnum, ElfImage *elf, GError **err)
{
    if (phentsize != (elf->is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)) || phnum > 256 || !range_inside(phoff, (uint64_t)phentsize * phnum, len))
        return boot_fail(err, "the ELF file's program headers are damaged or outside of the file");
    for (unsigned i = 0; i < phnum; i++) {
        Phdr h = read_phdr(p + phoff + (uint64_t)i * phentsize, elf->is64);
        if (h.type != PT_LOAD && h.type != PT_NOTE)
            continue;
        if (!range_inside(h.s.offset, h.s.filesz, len) || (h.type == PT_LOAD && h.s.memsz < h.s.filesz))
            return boot_fail(err, "ELF segment %u reaches beyond the end of the file", i);
        if (h.type == PT_NOTE)
            find_pvh(p + h.s.offset, h.s.filesz, elf);
        if (h.type != PT_LOAD || !h.s.memsz)
            continue;
        if (elf->n == ELF_MAX_SEGMENTS)
            return boot_fail(err, "the ELF file has more than %d segments", ELF_MAX_SEGMENTS);
        elf->seg[elf->n++] = h.s;
    }
    return elf->n > 0 || boot_fail(err, "the ELF file has nothing to load");
}

bool elf_parse_machine(const uint8_t *p, uint64_t len, unsigned want, ElfImage *ret, GError **err)
{
    *ret = (ElfImage){ .is64 = len > EI_CLASS && p[EI_CLASS] == ELFCLASS64 };
    if (len < (ret->is64 ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr)) || p[EI_DATA] != ELFDATA2LSB)
        return boot_fail(err, "the ELF file is cut short or not little endian");
    unsigned type = load_le16(p + 16), machine = load_le16(p + 18);
    if (want ? machine != want : machine != EM_386 && machine != EM_X86_64)
        return boot_fail(err, "the ELF file is for another CPU (e_machine %u) than this machine's", machine);
    if (type != ET_EXEC && type != ET_DYN)
        return boot_fail(err, "the ELF file is not an executable (e_type %u)", type);
    if (ret->is64) {
        ret->entry = load_le64(p + 24);
        return read_segments(p, len, load_le64(p + 32), load_le16(p + 54), load_le16(p + 56), ret, err);
    }
    ret->entry = load_le32(p + 24);
    return read_segments(p, len, load_le32(p + 28), load_le16(p + 42), load_le16(p + 44), ret, err);
}

bool elf_parse(const uint8_t *p, uint64_t len, ElfImage *ret, GError **err)
{
    return elf_parse_machine(p, len, 0, ret, err);
}

bool elf_add_segments(BootPlan *plan, const BootEnv *env, const ElfImage *elf, GBytes *image, GError **err)
{
    for (unsigned i = 0; i < elf->n; i++) {
        const ElfSegment *s = &elf->seg[i];
        if (!boot_add(plan, env, "an ELF segment", s->paddr, s->memsz, s->filesz ? boot_slice(image, s->offset, s->filesz) : NULL, err))
            return false;
    }
    return true;
}

static uint64_t elf_end(const ElfImage *elf)
{
    uint64_t end = 0;
    for (unsigned i = 0; i < elf->n; i++)
        end = MAX(end, elf->seg[i].paddr + elf->seg[i].memsz);
    return end;
}

/* One module (the initrd) as high as possible. */
static bool pvh_modules(BootPlan *plan, const BootEnv *env, uint64_t floor, uint8_t *list, GError **err)
{
    for (unsigned i = 0; i < env->n_modules; i++) {
        uint64_t len = g_bytes_get_size(env->modules[i].data);
        uint64_t at = boot_place_high(plan, env, MAX(len, 1ul), floor, BIT(32), 4096);
        if (!at)
            return boot_fail(err, "the initrd (%" PRIu64 " MiB) does not fit into the guest's memory beside the kernel; give more with -m", len >> 20);
        if (len && !boot_add(plan, env, "the initrd", at, len, g_bytes_ref(env->modules[i].data), err))
            return false;
        store_le64(list + 32 * i, at);
        store_le64(list + 32 * i + 8, len);
    }
    return true;
}

/* hvm_start_info version 1: 56 bytes; modules of 32 bytes, memory map entries of 24 bytes behind it. */
static bool pvh(BootPlan *plan, const BootEnv *env, const ElfImage *elf, GError **err)
{
    enum { MAP = 32 * BOOT_MAX_MODULES };
    unsigned n_map = MIN(env->n_map, 128u);
    g_autofree uint8_t *list = g_malloc0(BOOT_LIST_MAX);
    if (!boot_add_cmdline(plan, env, env->cmdline, BOOT_CMDLINE_MAX - 1, err) || !pvh_modules(plan, env, elf_end(elf), list, err))
        return false;
    for (unsigned i = 0; i < n_map; i++) {
        store_le64(list + MAP + 24 * i, env->map[i].base);
        store_le64(list + MAP + 24 * i + 8, env->map[i].len);
        store_le32(list + MAP + 24 * i + 16, env->map[i].type);
    }
    uint8_t si[56] = { 0 };
    store_le32(si, START_INFO_MAGIC);
    store_le32(si + 4, 1);
    store_le32(si + 12, env->n_modules);
    store_le64(si + 16, env->n_modules ? BOOT_LIST : 0);
    store_le64(si + 24, BOOT_CMDLINE);
    store_le64(si + 32, env->rsdp);
    store_le64(si + 40, BOOT_LIST + MAP);
    store_le32(si + 48, n_map);
    plan->kind = "ELF, PVH entry";
    plan->mode = BOOT_FLAT32;
    plan->entry = elf->pvh_entry;
    plan->rbx = BOOT_INFO;
    return boot_add(plan, env, "the PVH start info", BOOT_INFO, sizeof(si), g_bytes_new(si, sizeof(si)), err) &&
           boot_add(plan, env, "the PVH lists", BOOT_LIST, BOOT_LIST_MAX, g_bytes_new_take(g_steal_pointer(&list), BOOT_LIST_MAX), err);
}

bool boot_elf(BootPlan *plan, GBytes *kernel, const BootEnv *env, GError **err)
{
    gsize len;
    const uint8_t *p = g_bytes_get_data(kernel, &len);
    ElfImage elf;
    if (!elf_parse(p, len, &elf, err) || !elf_add_segments(plan, env, &elf, kernel, err))
        return false;
    if (elf.has_pvh) {
        if (!boot_is_ram(env, elf.pvh_entry, 1))
            return boot_fail(err, "the PVH entry 0x%x is not in the guest's memory", elf.pvh_entry);
        return pvh(plan, env, &elf, err) && boot_add_cpu(plan, env, err);
    }
    if (!elf.is64)
        return boot_fail(err, "%s is a 32-bit ELF file without PVH entry or multiboot header; nothing says how to boot it", env->kernel_name);
    if (!boot_is_ram(env, elf.entry, 1))
        return boot_fail(err, "the entry 0x%" PRIx64 " of the ELF file is not a physical address in the guest's memory", elf.entry);
    LinuxBoot lb = { .cmdline_max = 2047, .initrd_max = UINT32_MAX, .run_end = elf_end(&elf) };
    if (!boot_add_zero_page(plan, env, &lb, err))
        return false;
    plan->kind = "ELF, 64-bit entry";
    plan->mode = BOOT_LONG64;
    plan->entry = elf.entry;
    plan->rsi = BOOT_ZERO_PAGE;
    return boot_add_cpu(plan, env, err);
}
