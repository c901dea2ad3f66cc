#pragma once
#include <glib.h>
#include <stdint.h>

/* SMBIOS 2.8 (DSP0134): anchor and structures. */
typedef struct SmbiosConfig {
    const char *uuid;           /* 36 characters, or NULL = zeros */
    const char *product;
    unsigned n_cpus;
    uint64_t ram_bytes, low_bytes;      /* all; below 4 GiB */
} SmbiosConfig;

GByteArray *smbios_tables(const SmbiosConfig *c, unsigned *ret_count, unsigned *ret_max);
/* The 31-byte entry point for structures at @gpa. Firmware that moves them corrects address and checksums. */
GByteArray *smbios_anchor(const GByteArray *tables, unsigned count, unsigned max, uint32_t gpa);
