#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Direct boot without firmware: from a kernel image to a plan of what lies where in guest memory and how the boot processor starts.
 * Pure functions over bytes, no machine: images are hostile, every size is checked, errors are one line.
 *
 * Kinds, in the order they are looked for:
 *   bzImage      Linux Documentation/arch/x86/boot.rst: the 64-bit entry if the kernel has one, else the 32-bit one; an image that is older than these,
 *                or does as if, starts in real mode when firmware has run
 *   multiboot 1  Multiboot Specification 0.6.96: ELF32/ELF64 or the header's own addresses; modules
 *   ELF          with a PVH note (XEN_ELFNOTE_PHYS32_ENTRY): Xen's x86/HVM direct boot ABI; else a 64-bit vmlinux, entered as the bzImage's
 *                64-bit entry is
 */

/* E820 memory types (ACPI 6.4, table 15.4) */
enum { E820_RAM = 1, E820_RESERVED = 2, E820_ACPI = 3, E820_NVS = 4 };
typedef struct E820Entry { uint64_t base, len; uint32_t type; } E820Entry;

typedef struct BootModule { GBytes *data; const char *cmdline; } BootModule;

typedef struct BootEnv {
    const E820Entry *map;       /* sorted by base */
    unsigned n_map;
    uint64_t rsdp;              /* guest-physical address, 0 = none */
    const char *kernel_name;    /* for multiboot's command line */
    const char *cmdline;        /* never NULL */
    /* -initrd: one module is the initrd; multiboot takes several with their command lines. */
    const BootModule *modules;
    unsigned n_modules;
    bool firmware;              /* the user wants firmware to run first */
} BootEnv;

/* @data (may be NULL) and zeros up to @len, at @gpa. */
typedef struct BootSegment {
    uint64_t gpa, len;
    GBytes *data;               /* owned; may be shorter than len */
    const char *what;           /* for messages */
} BootSegment;

/* BOOT_REAL16: the segments are put there by firmware's last act, which then jumps to @entry with its segment registers 0x20 paragraphs lower. */
typedef enum BootMode { BOOT_FLAT32, BOOT_LONG64, BOOT_REAL16 } BootMode;

typedef struct BootPlan {
    GArray *segments;           /* of BootSegment, in RAM, not overlapping */
    const char *kind;           /* "bzImage, 64-bit entry" ... for messages */
    BootMode mode;
    uint64_t entry;
    uint64_t rax, rbx, rsi;
    uint16_t stack;             /* BOOT_REAL16: SP */
} BootPlan;

/* Where a plan puts its own things; the rest of the first 640 KiB is free for images. */
enum {
    BOOT_GDT = 0x500, BOOT_INFO = 0x6000, BOOT_ZERO_PAGE = 0x7000, BOOT_STACK = 0x8ff0, BOOT_PAGE_TABLES = 0x9000, BOOT_CMDLINE = 0x20000,
    BOOT_CMDLINE_MAX = 0x10000, BOOT_LIST = 0x30000, BOOT_LIST_MAX = 0x8000, BOOT_EBDA = 0x9fc00,
    BOOT_MAX_MODULES = 256,
};

/* False with @err (the image is none of these, is damaged or does not fit); *plan is then empty. */
bool boot_plan_make(BootPlan *plan, GBytes *kernel, const BootEnv *env, GError **err);
void boot_plan_clear(BootPlan *plan);

/* "file args,file2": opens each file. @ret is an array of BootModule with a clear function. */
GArray *boot_modules_open(const char *list, GError **err);
/* A whole file, mapped. One-line error with the file's name. */
GBytes *boot_file_open(const char *path, const char *what, GError **err);
/* Its bytes are not needed for a while: they leave our memory, and come back from the file when they are looked at. Only for what boot_file_open returned. */
void boot_file_rest(GBytes *file);
