/* Kernels and firmware of the `virt` boards: ELF files or raw images, placed in RAM at every reset. */
#include <elf.h>
#include <string.h>

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

bool virt_images_load(VirtImages *v, const char *path, const char *what, uint64_t gpa, uint64_t *ret_entry, uint64_t *ret_end, GError **err)
{
    g_autoptr(GBytes) image = boot_file_open(path, what, err);
    gsize len;
    if (!image)
        return false;
    const uint8_t *p = g_bytes_get_data(image, &len);
    if (elf_is(p, len))
        return load_elf(v, what, image, ret_entry, ret_end, err);
    if (len >= 2 && p[0] == 0x1f && p[1] == 0x8b)
        return boot_fail(err, "%s is compressed (gzip); unpack it first", path);
    *ret_entry = gpa;
    *ret_end = gpa + len;
    return virt_images_add(v, what, gpa, image, err);
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

Device *virt_device(Machine *m, const char *klass, const char *id, const char *const *props, GError **err)
{
    const DeviceClass *k = device_class_find(machine_config(m)->devices, klass);
    if (!k) {
        g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, "this build lacks the device '%s'", klass);
        return NULL;
    }
    Device *dev = device_new(m, k, id, err);
    if (!dev)
        return NULL;
    bool ok = true;
    for (; ok && props && props[0]; props += 2)
        ok = device_set_prop(dev, props[0], props[1], err);
    if (ok && device_realize(dev, NULL, err))
        return dev;
    device_free(dev);
    return NULL;
}
