/* Kernels and firmware of the `virt` boards: ELF files or raw images, placed in RAM at every reset. */
#include <elf.h>
#include <string.h>
#include <zlib.h>

#include "hw/board/boot-internal.h"
#include "hw/board/virt.h"
#include "util/bits.h"

static void segment_clear(void *p)
{
    BootSegment *s = p;
    if (s->data)
        g_bytes_unref(s->data);
}

void virt_images_init(VirtImages *v, uint64_t ram_base, uint64_t ram_bytes, unsigned elf_machine)
{
    *v = (VirtImages){ .ram_base = ram_base, .ram_end = ram_base + ram_bytes, .elf_machine = elf_machine,
                       .segments = g_array_new(FALSE, TRUE, sizeof(BootSegment)) };
    g_array_set_clear_func(v->segments, segment_clear);
}

void virt_images_clear(VirtImages *v)
{
    if (v->segments)
        g_array_unref(v->segments);
    v->segments = NULL;
}

static bool add(VirtImages *v, const char *what, uint64_t gpa, uint64_t len, GBytes *data, GError **err)
{
    BootSegment s = { .gpa = gpa, .len = len, .data = data, .what = what };
    bool ok = gpa >= v->ram_base && gpa <= v->ram_end && len <= v->ram_end - gpa;
    for (unsigned i = 0; ok && i < v->segments->len; i++) {
        const BootSegment *o = &g_array_index(v->segments, BootSegment, i);
        if (gpa < o->gpa + o->len && o->gpa < gpa + len) {
            boot_fail(err, "%s and %s want the same memory (0x%" PRIx64 ")", what, o->what, gpa);
            segment_clear(&s);
            return false;
        }
    }
    if (!ok) {
        boot_fail(err, "%s does not fit into the guest's memory at 0x%" PRIx64 "; give more with -m", what, gpa);
        segment_clear(&s);
        return false;
    }
    g_array_append_val(v->segments, s);
    return true;
}

bool virt_images_add(VirtImages *v, const char *what, uint64_t gpa, GBytes *data, GError **err)
{
    return add(v, what, gpa, g_bytes_get_size(data), g_bytes_ref(data), err);
}

static bool load_elf(VirtImages *v, const char *what, GBytes *image, uint64_t *ret_entry, uint64_t *ret_end, GError **err)
{
    gsize len;
    const uint8_t *p = g_bytes_get_data(image, &len);
    ElfImage elf;
    if (!elf_parse_machine(p, len, v->elf_machine, &elf, err))
        return false;
    *ret_entry = elf.entry;
    *ret_end = 0;
    for (unsigned i = 0; i < elf.n; i++) {
        const ElfSegment *s = &elf.seg[i];
        if (!add(v, what, s->paddr, s->memsz, s->filesz ? g_bytes_new_from_bytes(image, s->offset, s->filesz) : NULL, err))
            return false;
        /* a kernel linked at virtual addresses is entered at the physical one */
        if (s->vaddr != s->paddr && elf.entry >= s->vaddr && elf.entry - s->vaddr < s->memsz)
            *ret_entry = elf.entry - s->vaddr + s->paddr;
        *ret_end = MAX(*ret_end, s->paddr + s->memsz);
    }
    return true;
}

/* ---- gzip (RFC 1952) ---- */

enum { UNPACKED_MAX = 1 << 30, UNPACK_STEP = 1 << 20 };

static GBytes *unpack(GBytes *packed, const char *path, GError **err)
{
    gsize len;
    z_stream z = { .next_in = (Bytef *)g_bytes_get_data(packed, &len) };
    g_autoptr(GByteArray) out = g_byte_array_new();
    z.avail_in = (uInt)len;
    int r = len <= UINT32_MAX ? inflateInit2(&z, 16 + MAX_WBITS) : Z_BUF_ERROR;
    if (r != Z_OK)
        return boot_fail(err, "%s cannot be unpacked", path), NULL;
    while (r == Z_OK && out->len < UNPACKED_MAX) {
        guint at = out->len;
        g_byte_array_set_size(out, at + UNPACK_STEP);
        z.next_out = out->data + at;
        z.avail_out = UNPACK_STEP;
        r = inflate(&z, Z_NO_FLUSH);
        g_byte_array_set_size(out, at + UNPACK_STEP - z.avail_out);
    }
    inflateEnd(&z);
    if (r != Z_STREAM_END)
        return boot_fail(err, "%s is damaged (gzip), or longer than 1 GiB", path), NULL;
    return g_byte_array_free_to_bytes(g_steal_pointer(&out));
}

GBytes *virt_image_open(const char *path, const char *what, GError **err)
{
    g_autoptr(GBytes) image = boot_file_open(path, what, err);
    gsize len;
    if (!image)
        return NULL;
    const uint8_t *p = g_bytes_get_data(image, &len);
    return len >= 2 && p[0] == 0x1f && p[1] == 0x8b ? unpack(image, path, err) : g_steal_pointer(&image);
}

/* Linux Documentation/{riscv/boot-image-header,arch/arm64/booting,arch/x86/boot}.rst. */
bool virt_images_for_this_cpu(const VirtImages *v, GBytes *image, const char *what, GError **err)
{
    static const struct { unsigned at; char magic[5]; unsigned machine; const char *cpu; } kinds[] = {
        { 56, "RSC\x05", EM_RISCV, "RISC-V" }, { 56, "ARM\x64", EM_AARCH64, "AArch64" }, { 0x202, "HdrS", EM_X86_64, "x86" } };
    gsize len;
    const uint8_t *p = g_bytes_get_data(image, &len);
    for (unsigned i = 0; i < ARRAY_LEN(kinds); i++)
        if (len >= kinds[i].at + 4 && !memcmp(p + kinds[i].at, kinds[i].magic, 4) && kinds[i].machine != v->elf_machine)
            return boot_fail(err, "%s is Linux for %s; this machine has another CPU (-arch)", what, kinds[i].cpu);
    return true;
}

bool virt_images_load_bytes(VirtImages *v, GBytes *image, const char *what, uint64_t gpa, uint64_t *ret_entry, uint64_t *ret_end, GError **err)
{
    gsize len;
    const uint8_t *p = g_bytes_get_data(image, &len);
    if (elf_is(p, len))
        return load_elf(v, what, image, ret_entry, ret_end, err);
    *ret_entry = gpa;
    *ret_end = gpa + len;
    return virt_images_for_this_cpu(v, image, what, err) && virt_images_add(v, what, gpa, image, err);
}

bool virt_images_load(VirtImages *v, const char *path, const char *what, uint64_t gpa, uint64_t *ret_entry, uint64_t *ret_end, GError **err)
{
    g_autoptr(GBytes) image = virt_image_open(path, what, err);
    return image && virt_images_load_bytes(v, image, what, gpa, ret_entry, ret_end, err);
}

void virt_images_place(const VirtImages *v, Machine *m)
{
    static const uint8_t zeros[4096];
    for (unsigned i = 0; i < v->segments->len; i++) {
        const BootSegment *s = &g_array_index(v->segments, BootSegment, i);
        gsize n = 0;
        const void *p = s->data ? g_bytes_get_data(s->data, &n) : NULL;
        if (n)
            as_dma_write(machine_as_mem(m), s->gpa, p, n);
        for (uint64_t at = n; at < s->len; at += sizeof(zeros))
            as_dma_write(machine_as_mem(m), s->gpa + at, zeros, MIN(sizeof(zeros), s->len - at));
    }
}
