/* Kernel images of every kind: whatever the bytes, a plan lies in RAM without overlaps, or there is an error. */
#include <glib.h>
#include <string.h>

#include "hw/board/boot.h"
#include "tests/fuzz/fuzz.h"

static void check_plan(const BootPlan *plan)
{
    for (unsigned i = 0; i < plan->segments->len; i++) {
        const BootSegment *a = &g_array_index(plan->segments, BootSegment, i);
        g_assert(a->gpa + a->len >= a->gpa && (!a->data || g_bytes_get_size(a->data) <= a->len));
        for (unsigned k = 0; k < i; k++) {
            const BootSegment *b = &g_array_index(plan->segments, BootSegment, k);
            g_assert(a->gpa + a->len <= b->gpa || b->gpa + b->len <= a->gpa || !a->len || !b->len);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const E820Entry map[] = { { 0, BOOT_EBDA, E820_RAM }, { BOOT_EBDA, 0x400, E820_RESERVED }, { 0x100000, 0x7f00000, E820_RAM }, { 1ull << 32, 1 << 30, E820_RAM } };
    g_autoptr(GBytes) image = g_bytes_new_static(data, size), module = g_bytes_new_static("module", 6);
    g_autoptr(GError) err = NULL;
    BootModule mod = { module, "module args" };
    BootEnv env = { .map = map, .n_map = 4, .kernel_name = "k", .cmdline = "c", .modules = &mod, .n_modules = 1 };
    BootPlan plan;
    bool ok = boot_plan_make(&plan, image, &env, &err);
    g_assert(ok == (err == NULL));
    if (ok)
        check_plan(&plan);
    boot_plan_clear(&plan);
    return 0;
}
