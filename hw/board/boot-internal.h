#pragma once
#include <inttypes.h>

#include "hw/board/boot.h"

/* Between the loaders of one kind each and boot.c. */

G_GNUC_PRINTF(2, 3) bool boot_fail(GError **err, const char *fmt, ...);

/* True if all of [gpa, +len) is RAM. */
bool boot_is_ram(const BootEnv *env, uint64_t gpa, uint64_t len);
/* Highest address + 1 of the RAM that begins at or below 1 MiB and ends below 4 GiB: where modules go. */
uint64_t boot_low_end(const BootEnv *env);
/* Takes over @data (may be NULL). False: not RAM, or it overlaps something that is placed already. */
bool boot_add(BootPlan *plan, const BootEnv *env, const char *what, uint64_t gpa, uint64_t len, GBytes *data, GError **err);
/* Highest @align-ed address below @limit where @len bytes fit above @floor and beside what is placed; 0 = none. */
uint64_t boot_place_high(const BootPlan *plan, const BootEnv *env, uint64_t len, uint64_t floor, uint64_t limit, uint64_t align);
/* @len bytes of @image from @off; checked by the caller. */
GBytes *boot_slice(GBytes *image, uint64_t off, uint64_t len);
/* GDT (0x10 code, 0x18 data, 0x20 TSS) and, for 64-bit entries, page tables of the first 4 GiB. */
bool boot_add_cpu(BootPlan *plan, const BootEnv *env, GError **err);
/* The command line as a NUL-terminated string of at most @max bytes at BOOT_CMDLINE. */
bool boot_add_cmdline(BootPlan *plan, const BootEnv *env, const char *cmdline, uint64_t max, GError **err);
bool boot_add_cmdline_at(BootPlan *plan, const BootEnv *env, const char *cmdline, uint64_t gpa, uint64_t max, GError **err);

/* What makes a zero page (boot_params) beyond the setup header; @header may be NULL (vmlinux). */
typedef struct LinuxBoot {
    const uint8_t *header;      /* image from offset 0; 0x1f1.. is the setup header */
    uint64_t header_end;        /* bytes of it */
    uint64_t cmdline_max, initrd_max;       /* last address of the initrd */
    uint64_t run_end;           /* kernel needs memory up to here while it unpacks */
} LinuxBoot;
bool boot_add_zero_page(BootPlan *plan, const BootEnv *env, const LinuxBoot *lb, GError **err);

typedef struct ElfSegment { uint64_t paddr, vaddr, filesz, memsz, offset; } ElfSegment;
enum { ELF_MAX_SEGMENTS = 64 };
typedef struct ElfImage {
    bool is64;
    uint64_t entry;
    unsigned n;
    ElfSegment seg[ELF_MAX_SEGMENTS];
    bool has_pvh;
    uint32_t pvh_entry;
} ElfImage;
bool elf_is(const uint8_t *p, uint64_t len);
/* Checks everything against @len: offsets and sizes in *ret are safe to use. */
bool elf_parse(const uint8_t *p, uint64_t len, ElfImage *ret, GError **err);
/* The same for the CPU with that e_machine. */
bool elf_parse_machine(const uint8_t *p, uint64_t len, unsigned want, ElfImage *ret, GError **err);
bool elf_add_segments(BootPlan *plan, const BootEnv *env, const ElfImage *elf, GBytes *image, GError **err);

/* Each: false without @err set = not this kind. */
bool boot_linux_is(const uint8_t *p, uint64_t len);
bool boot_linux(BootPlan *plan, GBytes *kernel, const BootEnv *env, GError **err);
/* Is it an image for which nothing but the real-mode entry is sure to work? */
bool boot_real_is(const uint8_t *p, uint64_t len);
/* Segments in this order: kernel, setup, command line and perhaps initrd. For every image that boot_linux_is() accepts. */
bool boot_real(BootPlan *plan, GBytes *kernel, const BootEnv *env, GError **err);
/* Offset of the header, or -1. */
int64_t boot_multiboot_find(const uint8_t *p, uint64_t len);
bool boot_multiboot(BootPlan *plan, GBytes *kernel, const BootEnv *env, GError **err);
bool boot_elf(BootPlan *plan, GBytes *kernel, const BootEnv *env, GError **err);
