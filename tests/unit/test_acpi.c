/* ACPI tables and SMBIOS: structure, checksums, pointers; AML through Intel's disassembler and compiler where installed. */
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>

#include "hw/acpi/acpi.h"
#include "hw/acpi/aml.h"
#include "hw/acpi/smbios.h"
#include "util/bits.h"

enum { BASE = 0x100000, RAM = 0x400000 };

static AcpiTables *make(unsigned n_cpus, bool hpet)
{
    g_autofree uint32_t *ids = g_new0(uint32_t, n_cpus);
    for (unsigned i = 0; i < n_cpus; i++)
        ids[i] = i;
    AcpiConfig c = {
        .n_cpus = n_cpus, .apic_ids = ids, .pm_base = 0x600, .sci = 9, .pci_mem_base = 0x80000000, .pci_mem_end = 0xfec00000,
        .ioapic_base = 0xfec00000, .lapic_base = 0xfee00000, .hpet_base = hpet ? 0xfed00000 : 0, .has_kbd = true, .has_rtc = true, .n_serials = 2,
        .serial = { { 0x3f8, 4 }, { 0x2f8, 3 } },
    };
    return acpi_tables_new(&c);
}

static void check_sum(const uint8_t *p, size_t len)
{
    uint8_t s = 0;
    for (size_t i = 0; i < len; i++)
        s = (uint8_t)(s + p[i]);
    g_assert_cmpuint(s, ==, 0);
}

static MemSystem *new_memory(MemRegion **root, AddressSpace **as)
{
    MemSystem *ms = mem_system_new();
    *root = mem_region_new_container(ms, "root", 0);
    MemRegion *ram = mem_region_new_ram(ms, "ram", RAM, NULL);
    mem_region_add(*root, 0, ram, 0);
    mem_region_unref(ram);
    *as = as_new(ms, "as", *root);
    return ms;
}

static void check_table(AddressSpace *as, uint64_t at, const char *sig, uint8_t *copy, uint32_t *ret_len)
{
    uint8_t h[36];
    g_assert(as_read(as, at, h, sizeof(h)) == MEM_OK);
    g_assert(!memcmp(h, sig, 4));
    uint32_t len = load_le32(h + 4);
    g_assert(len >= 36 && at + len <= RAM);
    as_read(as, at, copy, len);
    check_sum(copy, len);
    *ret_len = len;
}

static void write_aml(const char *dir, const uint8_t *p, uint32_t len)
{
    g_autofree char *path = g_build_filename(dir, "dsdt.aml", NULL);
    g_assert(g_file_set_contents(path, (const char *)p, len, NULL));
}

/* Disassembled and compiled again without an error: the AML is what the grammar says. */
static void check_iasl(const uint8_t *p, uint32_t len)
{
    g_autofree char *iasl = g_find_program_in_path("iasl");
    if (!iasl) {
        printf("iasl is not installed, AML not checked by it\n");
        return;
    }
    g_autofree char *dir = g_dir_make_tmp("acpi-XXXXXX", NULL);
    write_aml(dir, p, len);
    const char *steps[][5] = { { "iasl", "-d", "dsdt.aml", NULL }, { "iasl", "-vs", "dsdt.dsl", NULL } };
    for (unsigned i = 0; i < 2; i++) {
        g_autofree char *out = NULL, *errs = NULL;
        int status = -1;
        g_assert(g_spawn_sync(dir, (char **)steps[i], NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &errs, &status, NULL));
        if (status || (i && !strstr(out, "0 Errors")))
            g_error("iasl: %s%s", out, errs);
    }
    const char *files[] = { "dsdt.aml", "dsdt.dsl" };
    for (unsigned i = 0; i < 2; i++) {
        g_autofree char *path = g_build_filename(dir, files[i], NULL);
        g_unlink(path);
    }
    g_rmdir(dir);
}

static void test_place(unsigned n_cpus, bool hpet)
{
    MemRegion *root;
    AddressSpace *as;
    MemSystem *ms = new_memory(&root, &as);
    AcpiTables *t = make(n_cpus, hpet);
    uint8_t rsdp[ACPI_RSDP_SIZE];
    g_autofree uint8_t *buf = g_malloc(RAM);
    uint32_t len;
    acpi_place(t, BASE, as);
    acpi_rsdp_at(t, BASE, rsdp);
    check_sum(rsdp, 20);
    check_sum(rsdp, sizeof(rsdp));
    check_table(as, load_le64(rsdp + 24), "XSDT", buf, &len);
    unsigned n = (len - 36) / 8;
    g_assert_cmpuint(n, ==, hpet ? 4 : 3);
    uint64_t tables[4];
    for (unsigned i = 0; i < n; i++)
        tables[i] = load_le64(buf + 36 + 8 * i);
    check_table(as, load_le32(rsdp + 16), "RSDT", buf, &len);
    for (unsigned i = 0; i < n; i++)
        g_assert_cmpuint(load_le32(buf + 36 + 4 * i), ==, tables[i]);
    check_table(as, tables[0], "FACP", buf, &len);
    g_assert_cmpuint(len, ==, 244);
    uint64_t facs = load_le32(buf + 36), dsdt = load_le32(buf + 40);
    g_assert_cmpuint(facs % 64, ==, 0);
    g_assert_cmpuint(load_le64(buf + 140), ==, dsdt);
    check_table(as, tables[1], "APIC", buf, &len);
    g_assert_cmpuint(len, ==, 44 + 8 * n_cpus + 12 + 5 * 10 + 6);
    check_table(as, dsdt, "DSDT", buf, &len);
    check_iasl(buf, len);
    acpi_tables_free(t);
    as_free(as);
    mem_region_unref(root);
    mem_system_free(ms);
}

/* What firmware does with the script gives what acpi_place does. */
static void test_loader(void)
{
    AcpiTables *t = make(3, true);
    GByteArray *s = acpi_loader_script(t), *r = acpi_loader_rsdp(t);
    g_autofree uint8_t *d = g_memdup2(t->data->data, t->data->len);
    g_assert_cmpuint(s->len % ACPI_LOADER_ENTRY, ==, 0);
    g_assert_cmpuint(r->len, ==, ACPI_RSDP_SIZE);
    for (unsigned i = 0; i < s->len; i += ACPI_LOADER_ENTRY) {
        const uint8_t *e = s->data + i;
        bool tables = !strcmp((const char *)e + 4, "etc/acpi/tables");
        uint8_t *file = tables ? d : r->data;
        uint32_t size = tables ? t->data->len : r->len;
        if (load_le32(e) == 2) {
            uint32_t off = load_le32(e + 116), n = e[120];
            g_assert(off + n <= size);
            store_le(file + off, n, load_le(file + off, n) + BASE);
        } else if (load_le32(e) == 3) {
            uint32_t off = load_le32(e + 60), start = load_le32(e + 64), n = load_le32(e + 68);
            g_assert(off < size && start + n <= size);
            uint8_t sum = 0;
            file[off] = 0;
            for (uint32_t k = 0; k < n; k++)
                sum = (uint8_t)(sum + file[start + k]);
            file[off] = (uint8_t)-sum;
            check_sum(file + start, n);
        }
    }
    uint8_t want[ACPI_RSDP_SIZE];
    acpi_rsdp_at(t, BASE, want);
    g_assert(!memcmp(want, r->data, sizeof(want)));
    g_byte_array_unref(s);
    g_byte_array_unref(r);
    acpi_tables_free(t);
}

static void test_pkglen(void)
{
    static const unsigned bodies[] = { 0, 62, 63, 4093, 4094, 70000 };
    for (unsigned i = 0; i < ARRAY_LEN(bodies); i++) {
        Aml *a = g_byte_array_new();
        unsigned at = aml_begin(a, AML_PACKAGE);
        for (unsigned n = 0; n < bodies[i]; n++)
            aml_byte(a, 0);
        aml_end(a, at);
        unsigned extra = a->data[1] >> 6, len = extra ? a->data[1] & 15 : a->data[1] & 63;
        for (unsigned n = 0; n < extra; n++)
            len |= (unsigned)a->data[2 + n] << (4 + 8 * n);
        g_assert_cmpuint(len, ==, a->len - 1);
        g_byte_array_unref(a);
    }
}

static void test_smbios(uint64_t ram, uint64_t low)
{
    unsigned count, max, seen = 0;
    SmbiosConfig c = { .uuid = "00112233-4455-6677-8899-aabbccddeeff", .product = "test", .n_cpus = 300, .ram_bytes = ram, .low_bytes = low };
    GByteArray *t = smbios_tables(&c, &count, &max), *a = smbios_anchor(t, count, max, 0xf0200);
    check_sum(a->data, 31);
    check_sum(a->data + 16, 15);
    for (unsigned at = 0; at < t->len; seen++) {
        unsigned end = at + t->data[at + 1];
        g_assert(end + 2 <= t->len);
        while (t->data[end] || t->data[end + 1])
            end++;
        g_assert(end + 2 - at <= max);
        at = end + 2;
    }
    g_assert_cmpuint(seen, ==, count);
    g_byte_array_unref(t);
    g_byte_array_unref(a);
}

int main(void)
{
    test_pkglen();
    test_place(1, false);
    test_place(4, true);
    test_place(255, true);
    test_loader();
    test_smbios(512 << 20, 512 << 20);
    test_smbios(5ull << 40, 3ull << 30);
    printf("acpi: ok\n");
    return 0;
}
