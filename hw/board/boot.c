#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hw/board/boot-internal.h"
#include "util/bits.h"

bool boot_fail(GError **err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    g_autofree char *msg = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    g_set_error_literal(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, msg);
    return false;
}

bool boot_is_ram(const BootEnv *env, uint64_t gpa, uint64_t len)
{
    for (unsigned i = 0; i < env->n_map; i++) {
        const E820Entry *e = &env->map[i];
        if (e->type == E820_RAM && gpa >= e->base && range_inside(gpa - e->base, len, e->len))
            return true;
    }
    return false;
}

uint64_t boot_low_end(const BootEnv *env)
{
    uint64_t end = 0;
    for (unsigned i = 0; i < env->n_map; i++) {
        const E820Entry *e = &env->map[i];
        if (e->type == E820_RAM && e->base <= 0x100000 && e->base + e->len <= BIT(32))
            end = MAX(end, e->base + e->len);
    }
    return end;
}

static const BootSegment *overlap(const BootPlan *plan, uint64_t gpa, uint64_t len)
{
    for (unsigned i = 0; i < plan->segments->len; i++) {
        const BootSegment *s = &g_array_index(plan->segments, BootSegment, i);
        if (gpa < s->gpa + s->len && s->gpa < gpa + len)
            return s;
    }
    return NULL;
}

bool boot_add(BootPlan *plan, const BootEnv *env, const char *what, uint64_t gpa, uint64_t len, GBytes *data, GError **err)
{
    const BootSegment *other = NULL;
    bool ram = boot_is_ram(env, gpa, len);
    if (ram && len)
        other = overlap(plan, gpa, len);
    if (!ram || other) {
        if (data)
            g_bytes_unref(data);
        if (other)
            return boot_fail(err, "%s at 0x%" PRIx64 " overlaps %s at 0x%" PRIx64, what, gpa, other->what, other->gpa);
        return boot_fail(err, "%s (%" PRIu64 " KiB at 0x%" PRIx64 ") does not fit into the guest's memory; give more with -m", what,
                         DIV_UP(len, 1024), gpa);
    }
    g_array_append_vals(plan->segments, &(BootSegment){ .gpa = gpa, .len = len, .data = data, .what = what }, 1);
    return true;
}

uint64_t boot_place_high(const BootPlan *plan, const BootEnv *env, uint64_t len, uint64_t floor, uint64_t limit, uint64_t align)
{
    uint64_t end = MIN(limit, boot_low_end(env));
    while (len && len <= end) {
        uint64_t at = align_down(end - len, align);
        if (at < floor || !boot_is_ram(env, at, len))
            return 0;
        const BootSegment *s = overlap(plan, at, len);
        if (!s)
            return at;
        end = s->gpa;           /* strictly lower each time */
    }
    return 0;
}

GBytes *boot_slice(GBytes *image, uint64_t off, uint64_t len)
{
    return g_bytes_new_from_bytes(image, (gsize)off, (gsize)len);
}

bool boot_add_cpu(BootPlan *plan, const BootEnv *env, GError **err)
{
    enum { N_TABLES = 6, PRESENT_RW = 3, LARGE = 0x80 };
    uint64_t gdt[5] = { 0, 0, 0, 0x00cf93000000ffffull, 0x00008b0000000067ull };
    gdt[2] = plan->mode == BOOT_LONG64 ? 0x00af9b000000ffffull : 0x00cf9b000000ffffull;
    uint8_t raw[sizeof(gdt)];
    for (unsigned i = 0; i < ARRAY_LEN(gdt); i++)
        store_le64(raw + 8 * i, gdt[i]);
    if (!boot_add(plan, env, "the boot GDT", BOOT_GDT, sizeof(raw), g_bytes_new(raw, sizeof(raw)), err))
        return false;
    if (plan->mode != BOOT_LONG64)
        return true;
    /* PML4, PDPT and four directories of 2 MiB pages: the first 4 GiB, identical. */
    uint8_t *t = g_malloc0(N_TABLES * 4096);
    store_le64(t, (BOOT_PAGE_TABLES + 0x1000) | PRESENT_RW);
    for (unsigned i = 0; i < 4; i++)
        store_le64(t + 0x1000 + 8 * i, (BOOT_PAGE_TABLES + 0x2000 + 0x1000 * i) | PRESENT_RW);
    for (unsigned i = 0; i < 2048; i++)
        store_le64(t + 0x2000 + 8 * i, (uint64_t)i << 21 | PRESENT_RW | LARGE);
    return boot_add(plan, env, "the boot page tables", BOOT_PAGE_TABLES, N_TABLES * 4096, g_bytes_new_take(t, N_TABLES * 4096), err);
}

bool boot_add_cmdline_at(BootPlan *plan, const BootEnv *env, const char *cmdline, uint64_t gpa, uint64_t max, GError **err)
{
    size_t len = strlen(cmdline);
    if (max > BOOT_CMDLINE_MAX - 1)
        max = BOOT_CMDLINE_MAX - 1;
    if (len > max)
        return boot_fail(err, "the command line has %zu characters, this kernel takes at most %" PRIu64 "; shorten -append", len, max);
    return boot_add(plan, env, "the command line", gpa, len + 1, g_bytes_new(cmdline, len + 1), err);
}

bool boot_add_cmdline(BootPlan *plan, const BootEnv *env, const char *cmdline, uint64_t max, GError **err)
{
    return boot_add_cmdline_at(plan, env, cmdline, BOOT_CMDLINE, max, err);
}

static bool make(BootPlan *plan, GBytes *kernel, const BootEnv *env, GError **err)
{
    gsize len;
    const uint8_t *p = g_bytes_get_data(kernel, &len);
    if (len && boot_linux_is(p, len))
        return env->firmware || boot_real_is(p, len) ? boot_real(plan, kernel, env, err) : boot_linux(plan, kernel, env, err);
    if (env->firmware)
        return boot_fail(err, "only a bzImage can be started by firmware; leave -bios out for an ELF or multiboot image");
    if (len && boot_multiboot_find(p, len) >= 0)
        return boot_multiboot(plan, kernel, env, err);
    if (len && elf_is(p, len))
        return boot_elf(plan, kernel, env, err);
    return boot_fail(err, "not a kernel that can be booted directly; -kernel takes a bzImage, a vmlinux or PVH ELF file, or a multiboot image");
}

bool boot_plan_make(BootPlan *plan, GBytes *kernel, const BootEnv *env, GError **err)
{
    *plan = (BootPlan){ .segments = g_array_new(false, true, sizeof(BootSegment)) };
    if (make(plan, kernel, env, err))
        return true;
    boot_plan_clear(plan);
    return false;
}

void boot_plan_clear(BootPlan *plan)
{
    for (unsigned i = 0; plan->segments && i < plan->segments->len; i++) {
        BootSegment *s = &g_array_index(plan->segments, BootSegment, i);
        if (s->data)
            g_bytes_unref(s->data);
    }
    if (plan->segments)
        g_array_unref(plan->segments);
    *plan = (BootPlan){ 0 };
}

GBytes *boot_file_open(const char *path, const char *what, GError **err)
{
    struct stat st = { 0 };
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), code = errno;       /* a pipe without a writer must not stop us */
    if (fd >= 0 && !fstat(fd, &st) && !S_ISREG(st.st_mode)) {
        close(fd);
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "cannot read %s %s: it is no regular file", what, path);
        return NULL;
    }
    GMappedFile *f = fd < 0 ? NULL : g_mapped_file_new_from_fd(fd, false, NULL);
    if (fd >= 0)
        close(fd);
    if (!f) {
        g_set_error(err, G_FILE_ERROR, g_file_error_from_errno(code), "cannot read %s %s: %s", what, path, g_strerror(fd < 0 ? code : EIO));
        return NULL;
    }
    GBytes *b = g_mapped_file_get_bytes(f);
    g_mapped_file_unref(f);
    return b;
}

void boot_file_rest(GBytes *file)
{
    gsize len;
    const void *p = g_bytes_get_data(file, &len);
    if (len)
        madvise((void *)p, len, MADV_DONTNEED);
}

static void module_clear(void *p)
{
    BootModule *m = p;
    g_bytes_unref(m->data);
    g_free((char *)m->cmdline);
}

GArray *boot_modules_open(const char *list, GError **err)
{
    GArray *a = g_array_new(false, true, sizeof(BootModule));
    g_array_set_clear_func(a, module_clear);
    g_auto(GStrv) parts = g_strsplit(list, ",", BOOT_MAX_MODULES + 1);
    for (unsigned i = 0; parts[i]; i++) {
        if (i >= BOOT_MAX_MODULES) {
            boot_fail(err, "-initrd lists more than %d modules", BOOT_MAX_MODULES);
            g_array_unref(a);
            return NULL;
        }
        g_auto(GStrv) words = g_strsplit(g_strchug(parts[i]), " ", 2);
        GBytes *data = boot_file_open(words[0] ? words[0] : "", "the initrd", err);
        if (!data) {
            g_array_unref(a);
            return NULL;
        }
        g_array_append_vals(a, &(BootModule){ .data = data, .cmdline = g_strdup(parts[i]) }, 1);
    }
    return a;
}
