#pragma once
#include "hw/board/board.h"

/* What the `virt` boards of the foreign guests share: images in memory, the flattened device tree, virtio and PCI. */

/* ---- images ---- */
typedef struct VirtImages {
    uint64_t ram_base, ram_end;
    unsigned elf_machine;
    GArray *segments;           /* of BootSegment (boot.h), in RAM */
} VirtImages;

void virt_images_init(VirtImages *v, uint64_t ram_base, uint64_t ram_bytes, unsigned elf_machine);
void virt_images_clear(VirtImages *v);
/* An ELF file at its physical addresses, anything else as it is at @gpa. *ret_end: first free address behind it. */
bool virt_images_load(VirtImages *v, const char *path, const char *what, uint64_t gpa, uint64_t *ret_entry, uint64_t *ret_end, GError **err);
/* The same for what is in memory already. */
bool virt_images_load_bytes(VirtImages *v, GBytes *image, const char *what, uint64_t gpa, uint64_t *ret_entry, uint64_t *ret_end, GError **err);
/* False with @err: a kernel that says it is for another CPU. */
bool virt_images_for_this_cpu(const VirtImages *v, GBytes *image, const char *what, GError **err);
/* A file; one compressed by gzip unpacked. */
GBytes *virt_image_open(const char *path, const char *what, GError **err);
bool virt_images_add(VirtImages *v, const char *what, uint64_t gpa, GBytes *data, GError **err);
/* Copy everything into guest memory: at every reset. */
void virt_images_place(const VirtImages *v, Machine *m);

/* ---- device tree: libfdt's sequential write, errors kept until the end ---- */
typedef struct Fdt {
    void *buf;
    int size, error;
    uint32_t next_phandle;
} Fdt;

void fdt_open(Fdt *f);
void fdt_node(Fdt *f, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
void fdt_end(Fdt *f);
void fdt_str(Fdt *f, const char *name, const char *value);
/* Several strings, NULL-terminated. */
void fdt_strs(Fdt *f, const char *name, ...) G_GNUC_NULL_TERMINATED;
void fdt_flag(Fdt *f, const char *name);
/* @n cells. */
void fdt_u32s(Fdt *f, const char *name, const uint32_t *cells, unsigned n);
#define fdt_cells(f, name, ...) fdt_u32s(f, name, (const uint32_t[]){ __VA_ARGS__ }, sizeof((const uint32_t[]){ __VA_ARGS__ }) / 4)
/* Two cells each. */
void fdt_reg(Fdt *f, uint64_t base, uint64_t size);
/* Finished tree, or NULL with @err. Frees the writer. */
GBytes *fdt_close(Fdt *f, GError **err);
/*
 * What the guest gets of @made (taken; NULL: NULL): itself, or the tree of -machine dtb=FILE with what @made says of this start in its /chosen. Written to
 * dumpdtb=FILE too. NULL with @err.
 */
GBytes *virt_fdt_final(const BoardConfig *cfg, GBytes *made, GError **err);
/* /chosen. */
void fdt_chosen(Fdt *f, const char *stdout_path, const char *cmdline, uint64_t initrd, uint64_t initrd_len);

/* ---- device tree: nodes that all have ---- */
/* "cluster0": CPU n is @phandle + n. */
void fdt_cluster(Fdt *f, unsigned n_cpus, uint32_t phandle);
/* Two banks of @size from @base on. */
void fdt_flash(Fdt *f, uint64_t base, uint64_t size);
void fdt_fw_cfg(Fdt *f, uint64_t base);
/* @n slots; @irq writes the interrupt of slot i, and what else the board says of it. */
void fdt_virtio(Fdt *f, uint64_t base, uint64_t stride, unsigned n, void (*irq)(Fdt *f, unsigned i));

/* A board device: new, properties, realize; NULL with @err. */
Device *virt_device(Machine *m, const char *klass, const char *id, const char *const *props, GError **err);
/* A device's registers into the machine's memory, above RAM. */
void virt_map(Machine *m, uint64_t at, MemRegion *mr);
/* What -bios names, or the first of @paths (NULL-terminated) that is there; NULL with @err, which names Debian's @package. */
const char *virt_firmware_path(const BoardConfig *cfg, const char *const paths[], const char *package, GError **err);
/* What firmware finds in @fw_cfg to start: kernel, initrd and command line of @cfg. False with @err. */
bool virt_offer_kernel(Device *fw_cfg, const BoardConfig *cfg, GError **err);
/* What -machine says of @name, one of the board's options; NULL if nothing. */
const char *virt_option(const BoardConfig *cfg, const char *name);

/* ---- PCI: host bridge "pcie", its windows in the machine's memory ---- */
typedef struct VirtPci { uint64_t ecam, ecam_size, mmio, mmio_size, high, high_size, pio; } VirtPci;
Device *virt_pci_new(Machine *m, const VirtPci *p, IrqWire *const intx[4], GError **err);
/* Properties of its node, which the caller begins and ends. @intx: the interrupt parent's phandle and specifier of each, @n cells. */
enum { VIRT_INTX_CELLS = 6 };
void virt_pci_fdt(const VirtPci *p, Fdt *f, uint32_t intx[4][VIRT_INTX_CELLS], unsigned n);

/* ---- flash: @n banks side by side from @base on, size as text ("64M"); drives "pflash0"... keep what is in them. False with @err. ---- */
bool virt_flash_new(Machine *m, uint64_t base, uint64_t size, const char *size_text, Device **ret_banks, unsigned n, GError **err);
