/* Device trees (Devicetree Specification 0.4), written with libfdt. */
#include <errno.h>
#include <libfdt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "hw/board/boot.h"
#include "hw/board/virt.h"
#include "util/bits.h"
#include "util/random.h"

enum { FDT_MAX = 1 << 20 };

static void keep(Fdt *f, int r)
{
    if (r < 0 && !f->error)
        f->error = r;
}

void fdt_open(Fdt *f)
{
    *f = (Fdt){ .buf = g_malloc0(FDT_MAX), .size = FDT_MAX, .next_phandle = 1 };
    keep(f, fdt_create(f->buf, f->size));
    keep(f, fdt_finish_reservemap(f->buf));
    keep(f, fdt_begin_node(f->buf, ""));
}

void fdt_node(Fdt *f, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    g_autofree char *name = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    keep(f, fdt_begin_node(f->buf, name));
}

void fdt_end(Fdt *f) { keep(f, fdt_end_node(f->buf)); }
void fdt_str(Fdt *f, const char *name, const char *value) { keep(f, fdt_property_string(f->buf, name, value)); }
void fdt_flag(Fdt *f, const char *name) { keep(f, fdt_property(f->buf, name, NULL, 0)); }

void fdt_strs(Fdt *f, const char *name, ...)
{
    g_autoptr(GByteArray) a = g_byte_array_new();
    va_list ap;
    va_start(ap, name);
    for (const char *s; (s = va_arg(ap, const char *));)
        g_byte_array_append(a, (const guint8 *)s, (guint)strlen(s) + 1);
    va_end(ap);
    keep(f, fdt_property(f->buf, name, a->data, (int)a->len));
}

void fdt_u32s(Fdt *f, const char *name, const uint32_t *cells, unsigned n)
{
    void *p = NULL;
    int r = fdt_property_placeholder(f->buf, name, (int)(4 * n), &p);
    keep(f, r);
    for (unsigned i = 0; !r && i < n; i++)
        store_be32((uint8_t *)p + 4 * i, cells[i]);
}

void fdt_reg(Fdt *f, uint64_t base, uint64_t size)
{
    fdt_cells(f, "reg", (uint32_t)(base >> 32), (uint32_t)base, (uint32_t)(size >> 32), (uint32_t)size);
}

void fdt_chosen(Fdt *f, const char *stdout_path, const char *cmdline, uint64_t initrd, uint64_t initrd_len)
{
    uint32_t seed[8], kaslr[2];
    random_bytes(seed, sizeof(seed));
    random_bytes(kaslr, sizeof(kaslr));
    fdt_node(f, "chosen");
    fdt_u32s(f, "rng-seed", seed, ARRAY_LEN(seed));
    fdt_u32s(f, "kaslr-seed", kaslr, ARRAY_LEN(kaslr));
    if (stdout_path)
        fdt_str(f, "stdout-path", stdout_path);
    if (cmdline)
        fdt_str(f, "bootargs", cmdline);
    if (initrd_len) {
        fdt_cells(f, "linux,initrd-start", (uint32_t)(initrd >> 32), (uint32_t)initrd);
        fdt_cells(f, "linux,initrd-end", (uint32_t)((initrd + initrd_len) >> 32), (uint32_t)(initrd + initrd_len));
    }
    fdt_end(f);
}

void fdt_cluster(Fdt *f, unsigned n_cpus, uint32_t phandle)
{
    fdt_node(f, "cluster0");
    for (unsigned i = 0; i < n_cpus; i++) {
        fdt_node(f, "core%u", i);
        fdt_cells(f, "cpu", phandle + i);
        fdt_end(f);
    }
    fdt_end(f);
}

void fdt_flash(Fdt *f, uint64_t base, uint64_t size)
{
    fdt_node(f, "flash@%llx", (unsigned long long)base);
    fdt_cells(f, "bank-width", 4);
    fdt_cells(f, "reg", 0, (uint32_t)base, 0, (uint32_t)size, 0, (uint32_t)(base + size), 0, (uint32_t)size);
    fdt_str(f, "compatible", "cfi-flash");
    fdt_end(f);
}

void fdt_fw_cfg(Fdt *f, uint64_t base)
{
    fdt_node(f, "fw-cfg@%llx", (unsigned long long)base);
    fdt_flag(f, "dma-coherent");
    fdt_reg(f, base, 0x18);
    fdt_str(f, "compatible", "qemu,fw-cfg-mmio");
    fdt_end(f);
}

void fdt_virtio(Fdt *f, uint64_t base, uint64_t stride, unsigned n, void (*irq)(Fdt *f, unsigned i))
{
    for (unsigned i = 0; i < n; i++) {
        fdt_node(f, "virtio_mmio@%llx", (unsigned long long)(base + i * stride));
        irq(f, i);
        fdt_reg(f, base + i * stride, stride);
        fdt_str(f, "compatible", "virtio,mmio");
        fdt_end(f);
    }
}

GBytes *fdt_close(Fdt *f, GError **err)
{
    fdt_end(f);
    keep(f, fdt_finish(f->buf));
    GBytes *r = NULL;
    if (f->error)
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_FAILED, "the device tree cannot be made: %s", fdt_strerror(f->error));
    else
        r = g_bytes_new(f->buf, fdt_totalsize(f->buf));
    g_free(f->buf);
    f->buf = NULL;
    return r;
}

/* ---- -machine dtb=FILE, dumpdtb=FILE ---- */

static bool fdt_fail(GError **err, const char *path, int r)
{
    g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s is no device tree that can be used (%s)", path, fdt_strerror(r));
    return false;
}

/* The user's tree in @buf of FDT_MAX bytes, with what the board says of this start in its /chosen. */
static bool adopt(const char *path, GBytes *file, GBytes *made, void *buf, GError **err)
{
    static const char *const names[] = { "bootargs", "linux,initrd-start", "linux,initrd-end", "rng-seed", "kaslr-seed" };
    const void *own = g_bytes_get_data(made, NULL), *p;
    gsize len;
    const void *theirs = g_bytes_get_data(file, &len);
    int n, from = fdt_path_offset(own, "/chosen"), r = len < sizeof(struct fdt_header) ? -FDT_ERR_TRUNCATED : fdt_check_full(theirs, len);
    if (!r)
        r = fdt_open_into(theirs, buf, FDT_MAX);
    if (r)
        return fdt_fail(err, path, r);
    int to = fdt_path_offset(buf, "/chosen");
    if (to == -FDT_ERR_NOTFOUND)
        to = fdt_add_subnode(buf, 0, "chosen");
    for (unsigned i = 0; to >= 0 && !r && i < ARRAY_LEN(names); i++)
        if ((p = fdt_getprop(own, from, names[i], &n)))
            r = fdt_setprop(buf, to, names[i], p, n);
    return to >= 0 && !r ? fdt_pack(buf) == 0 : fdt_fail(err, path, to < 0 ? to : r);
}

/* In place: what @path is (a device, a pipe, another's link) stays what it is. */
static bool dump_to(const char *path, GBytes *tree, GError **err)
{
    gsize len;
    const void *p = g_bytes_get_data(tree, &len);
    FILE *f = fopen(path, "we");
    bool ok = f && fwrite(p, 1, len, f) == len;
    if (f && fclose(f))
        ok = false;
    if (!ok)
        g_set_error(err, G_FILE_ERROR, (gint)g_file_error_from_errno(errno), "dumpdtb=%s: %s", path, g_strerror(errno));
    return ok;
}

GBytes *virt_fdt_final(const BoardConfig *cfg, GBytes *made, GError **err)
{
    const char *path = virt_option(cfg, "dtb"), *dump = virt_option(cfg, "dumpdtb");
    g_autoptr(GBytes) file = path && made ? boot_file_open(path, "the device tree (-dtb)", err) : NULL;
    g_autofree void *buf = file ? g_malloc0(FDT_MAX) : NULL;
    if (!made || (path && (!file || !adopt(path, file, made, buf, err)))) {
        g_clear_pointer(&made, g_bytes_unref);
        return NULL;
    }
    if (file) {
        g_bytes_unref(made);
        made = g_bytes_new(buf, fdt_totalsize(buf));
    }
    if (dump && !dump_to(dump, made, err))
        g_clear_pointer(&made, g_bytes_unref);
    return made;
}
