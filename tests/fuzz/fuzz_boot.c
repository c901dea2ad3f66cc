/*
 * Kernel images of every kind: whatever the bytes, a plan of the PC lies in RAM without overlaps, or there is an error; and the same for the virt
 * boards, which take compressed images too.
 */
#include <elf.h>
#include <glib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hw/board/boot.h"
#include "hw/board/virt.h"
#include "tests/fuzz/fuzz.h"

static void check_segments(GArray *segments)
{
    for (unsigned i = 0; i < segments->len; i++) {
        const BootSegment *a = &g_array_index(segments, BootSegment, i);
        g_assert(a->gpa + a->len >= a->gpa && (!a->data || g_bytes_get_size(a->data) <= a->len));
        for (unsigned k = 0; k < i; k++) {
            const BootSegment *b = &g_array_index(segments, BootSegment, k);
            g_assert(a->gpa + a->len <= b->gpa || b->gpa + b->len <= a->gpa || !a->len || !b->len);
        }
    }
}

/* Unpacked if it is gzip's, then at a place of a board whose RAM begins at 1 GiB. */
static void virt(const uint8_t *data, size_t size, unsigned machine)
{
    g_autoptr(GError) err = NULL;
    VirtImages v;
    uint64_t entry, end;
    int fd = memfd_create("image", MFD_CLOEXEC);
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    virt_images_init(&v, 1 << 30, 64 << 20, machine);
    if (fd >= 0 && write(fd, data, size) == (ssize_t)size) {
        bool ok = virt_images_load(&v, path, "the kernel", (1 << 30) + (2 << 20), &entry, &end, &err);
        g_assert(ok == (err == NULL));
        check_segments(v.segments);
        for (unsigned i = 0; i < v.segments->len; i++) {
            const BootSegment *s = &g_array_index(v.segments, BootSegment, i);
            g_assert(s->gpa >= v.ram_base && s->gpa + s->len <= v.ram_end);
        }
    }
    virt_images_clear(&v);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const E820Entry map[] = { { 0, BOOT_EBDA, E820_RAM }, { BOOT_EBDA, 0x400, E820_RESERVED }, { 0x100000, 0x7f00000, E820_RAM }, { 1ull << 32, 1 << 30, E820_RAM } };
    g_autoptr(GBytes) image = g_bytes_new_static(data, size), module = g_bytes_new_static("module", 6);
    g_autoptr(GError) err = NULL;
    BootModule mod = { module, "module args" };
    BootEnv env = { .map = map, .n_map = 4, .kernel_name = "k", .cmdline = "c", .modules = &mod, .n_modules = 1, .firmware = size & 2 };
    BootPlan plan;
    bool ok = boot_plan_make(&plan, image, &env, &err);
    g_assert(ok == (err == NULL));
    if (ok)
        check_segments(plan.segments);
    boot_plan_clear(&plan);
    virt(data, size, size & 1 ? EM_AARCH64 : EM_RISCV);
    return 0;
}
