/* Direct boot: images of each kind, made here, and what is wrong with them. */
#include <elf.h>
#include <stdio.h>
#include <string.h>

#include "hw/board/boot.h"
#include "util/bits.h"

static const E820Entry map[] = {
    { 0, BOOT_EBDA, E820_RAM }, { BOOT_EBDA, 0x400, E820_RESERVED }, { 0x100000, 0x7f00000, E820_RAM }, { 1ull << 32, 1 << 30, E820_RAM },
};

static BootEnv env_with(const char *cmdline, const BootModule *m, unsigned n)
{
    return (BootEnv){ .map = map, .n_map = ARRAY_LEN(map), .rsdp = 0xf0000, .kernel_name = "kernel", .cmdline = cmdline, .modules = m, .n_modules = n };
}

static const BootSegment *find(const BootPlan *p, const char *what)
{
    for (unsigned i = 0; i < p->segments->len; i++)
        if (!strcmp(g_array_index(p->segments, BootSegment, i).what, what))
            return &g_array_index(p->segments, BootSegment, i);
    return NULL;
}

static const uint8_t *data(const BootPlan *p, const char *what)
{
    const BootSegment *s = find(p, what);
    g_assert(s);
    return g_bytes_get_data(s->data, NULL);
}

static void expect_error(GBytes *image, const BootEnv *env, const char *part)
{
    BootPlan plan;
    g_autoptr(GError) err = NULL;
    if (boot_plan_make(&plan, image, env, &err))
        g_error("accepted, expected '%s'", part);
    if (!strstr(err->message, part) || strchr(err->message, '\n'))
        g_error("'%s' instead of '%s'", err->message, part);
}

/* ---- bzImage ---- */

static GByteArray *bzimage(void)
{
    enum { SETUP = 2, KERNEL = 8192 };
    GByteArray *a = g_byte_array_new();
    g_byte_array_set_size(a, (SETUP + 1) * 512 + KERNEL);
    memset(a->data, 0, a->len);
    uint8_t *p = a->data;
    p[0x1f1] = SETUP;
    store_le16(p + 0x1fe, 0xaa55);
    p[0x201] = 0x6a;
    store_le32(p + 0x202, 0x53726448);
    store_le16(p + 0x206, 0x020f);
    p[0x211] = 1;
    store_le32(p + 0x22c, 0x7fffffff);
    p[0x234] = 1;
    store_le16(p + 0x236, 1);
    store_le32(p + 0x238, 2047);
    store_le64(p + 0x258, 0x1000000);
    store_le32(p + 0x260, 0x1000000);
    memset(p + (SETUP + 1) * 512, 0x90, KERNEL);
    return a;
}

static GBytes *bytes(const GByteArray *a)
{
    return g_bytes_new(a->data, a->len);
}

static void test_bzimage(void)
{
    GByteArray *a = bzimage();
    g_autoptr(GBytes) image = bytes(a), initrd = g_bytes_new_take(g_malloc0(100000), 100000);
    BootModule mod = { initrd, "initrd" };
    BootEnv env = env_with("console=ttyS0", &mod, 1);
    BootPlan plan;
    g_assert(boot_plan_make(&plan, image, &env, NULL));
    g_assert_cmpint(plan.mode, ==, BOOT_LONG64);
    g_assert_cmpuint(plan.entry, ==, 0x100200);
    g_assert_cmpuint(plan.rsi, ==, BOOT_ZERO_PAGE);
    const uint8_t *zp = data(&plan, "the zero page");
    const BootSegment *rd = find(&plan, "the initrd");
    g_assert_cmpuint(load_le32(zp + 0x218), ==, rd->gpa);
    g_assert_cmpuint(load_le32(zp + 0x21c), ==, 100000);
    g_assert(rd->gpa % 4096 == 0 && rd->gpa >= 0x2000000 && rd->gpa + rd->len <= 0x8000000);
    g_assert_cmpuint(load_le32(zp + 0x228), ==, BOOT_CMDLINE);
    g_assert_cmpuint(load_le64(zp + 0x70), ==, 0xf0000);
    g_assert_cmpuint(zp[0x1e8], ==, ARRAY_LEN(map));
    g_assert_cmpuint(load_le64(zp + 0x2d0 + 3 * 20), ==, 1ull << 32);
    g_assert_cmpstr((const char *)data(&plan, "the command line"), ==, "console=ttyS0");
    boot_plan_clear(&plan);

    store_le16(a->data + 0x236, 0);
    g_autoptr(GBytes) old = bytes(a);
    g_assert(boot_plan_make(&plan, old, &env, NULL));
    g_assert_cmpint(plan.mode, ==, BOOT_FLAT32);
    g_assert_cmpuint(plan.entry, ==, 0x100000);
    boot_plan_clear(&plan);
    g_byte_array_unref(a);
}

/* Images that start in real mode: where their parts go, by the version of the protocol. */
static GByteArray *real_image(unsigned version, bool high)
{
    GByteArray *a = bzimage();
    store_le16(a->data + 0x206, (uint16_t)version);
    store_le16(a->data + 0x236, 0);
    a->data[0x211] = high;
    return a;
}

static void real_plan(unsigned version, bool high, bool firmware, uint64_t setup, uint64_t kernel, uint64_t cmdline)
{
    g_autoptr(GByteArray) a = real_image(version, high);
    g_autoptr(GBytes) image = bytes(a), initrd = g_bytes_new_take(g_malloc0(100000), 100000);
    BootModule mod = { initrd, "initrd" };
    BootEnv env = env_with("console=ttyS0", &mod, 1);
    env.firmware = firmware;
    BootPlan plan;
    g_assert(boot_plan_make(&plan, image, &env, NULL));
    g_assert_cmpint(plan.mode, ==, BOOT_REAL16);
    g_assert_cmpuint(plan.entry, ==, setup + 0x200);
    g_assert_cmpuint(find(&plan, "the kernel")->gpa, ==, kernel);
    g_assert_cmpuint(find(&plan, "the kernel's setup")->len, ==, 3 * 512);
    g_assert_cmpuint(find(&plan, "the command line")->gpa, ==, cmdline);
    const BootSegment *rd = find(&plan, "the initrd");
    g_assert(rd->gpa % 4096 == 0 && rd->gpa + rd->len <= 0x7f00000);     /* below what firmware keeps */
    const uint8_t *p = data(&plan, "the kernel's setup");
    g_assert_cmpuint(load_le32(p + 0x218), ==, rd->gpa);
    g_assert_cmpuint(load_le32(p + 0x21c), ==, 100000);
    g_assert_cmpuint(p[0x210], ==, 0xff);
    if (version >= 0x0202)
        g_assert_cmpuint(load_le32(p + 0x228), ==, cmdline);
    else
        g_assert(load_le16(p + 0x20) == 0xa33f && setup + load_le16(p + 0x22) == cmdline && load_le16(p + 0x212) == cmdline - setup + 14);
    g_assert(version == 0x0200 || (p[0x211] & 0x80 && load_le16(p + 0x224) == plan.stack - 0x200));
    boot_plan_clear(&plan);
}

static void bad_real(unsigned version, bool high, unsigned off, unsigned size, uint64_t v, const char *part)
{
    g_autoptr(GByteArray) a = real_image(version, high);
    store_le(a->data + off, size, v);
    g_autoptr(GBytes) image = bytes(a);
    BootEnv env = env_with("a command line", NULL, 0);
    env.firmware = true;
    expect_error(image, &env, part);
}

static void test_real(void)
{
    real_plan(0x0200, true, false, 0x90000, 0x100000, 0x99000);
    real_plan(0x0201, false, false, 0x90000, 0x10000, 0x99000);
    real_plan(0x0203, true, false, 0x10000, 0x100000, BOOT_CMDLINE);
    real_plan(0x0204, false, false, 0x90000, 0x10000, 0x99000);
    real_plan(0x020f, true, true, 0x10000, 0x100000, BOOT_CMDLINE);
    bad_real(0x0203, true, 0x1f1, 1, 200, "cut short");
    bad_real(0x0203, true, 0x206, 2, 0x0105, "boot protocol 1.05");
    bad_real(0x020f, true, 0x238, 4, 5, "shorten -append");
    g_autoptr(GByteArray) a = real_image(0x0203, true), low = real_image(0x0203, false);
    g_byte_array_set_size(a, 100000);
    a->data[0x1f1] = 64;
    g_byte_array_set_size(low, 700000);
    memset(low->data + 10000, 0, 690000);
    g_autoptr(GBytes) large = bytes(a), no_room = bytes(low), big = g_bytes_new_take(g_malloc0(0x7f00000), 0x7f00000), elf = g_bytes_new("\177ELF\2\1", 6);
    BootModule mods[2] = { { big, "" }, { big, "" } };
    BootEnv env = env_with("", mods, 0);
    expect_error(large, &env, "leaves it 32");
    expect_error(no_room, &env, "at 0x10000) does not fit");
    g_byte_array_set_size(low, 9000);
    g_autoptr(GBytes) fits = bytes(low);
    env.n_modules = 1;
    expect_error(fits, &env, "initrd (127 MiB) does not fit");
    env.n_modules = 2;
    expect_error(fits, &env, "one initrd");
    env.firmware = true;
    expect_error(elf, &env, "leave -bios out");
}

static void bad_bzimage(unsigned off, unsigned size, uint64_t v, const char *part)
{
    GByteArray *a = bzimage();
    store_le(a->data + off, size, v);
    g_autoptr(GBytes) image = bytes(a);
    BootEnv env = env_with("a command line", NULL, 0);
    expect_error(image, &env, part);
    g_byte_array_unref(a);
}

static void test_bad_bzimage(void)
{
    bad_bzimage(0x1f1, 1, 200, "cut short");
    bad_bzimage(0x211, 1, 0, "zImage");
    bad_bzimage(0x206, 2, 0x0105, "zImage");
    bad_bzimage(0x260, 4, 0xffffffff, "give more with -m");
    bad_bzimage(0x258, 8, 0xffffffff00000000ull, "above 4 GiB");
    bad_bzimage(0x238, 4, 5, "shorten -append");
    g_autoptr(GBytes) big = g_bytes_new_take(g_malloc0(0x7000000), 0x7000000);
    BootModule mods[2] = { { big, "" }, { big, "" } };
    GByteArray *a = bzimage();
    g_autoptr(GBytes) image = bytes(a);
    BootEnv env = env_with("", mods, 1);
    expect_error(image, &env, "initrd (112 MiB) does not fit");
    env.n_modules = 2;
    expect_error(image, &env, "one initrd");
    g_byte_array_unref(a);
}

/* ---- ELF ---- */

static GByteArray *elf64(uint64_t paddr, bool pvh)
{
    enum { NOTE = 0x1000, CODE = 0x2000, CODE_LEN = 256 };
    GByteArray *a = g_byte_array_new();
    g_byte_array_set_size(a, CODE + CODE_LEN);
    memset(a->data, 0, a->len);
    Elf64_Ehdr eh = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1 }, .e_type = ET_EXEC, .e_machine = EM_X86_64, .e_entry = paddr,
                      .e_phoff = sizeof(eh), .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = pvh ? 2 : 1 };
    Elf64_Phdr ph[2] = { { .p_type = PT_LOAD, .p_offset = CODE, .p_vaddr = paddr, .p_paddr = paddr, .p_filesz = CODE_LEN, .p_memsz = 0x3000 },
                         { .p_type = PT_NOTE, .p_offset = NOTE, .p_filesz = 20, .p_memsz = 20 } };
    memcpy(a->data, &eh, sizeof(eh));
    memcpy(a->data + sizeof(eh), ph, sizeof(ph));
    store_le32(a->data + NOTE, 4);
    store_le32(a->data + NOTE + 4, 4);
    store_le32(a->data + NOTE + 8, 18);
    memcpy(a->data + NOTE + 12, "Xen", 4);
    store_le32(a->data + NOTE + 16, (uint32_t)paddr + 16);
    return a;
}

static void test_elf(void)
{
    BootPlan plan;
    g_autoptr(GBytes) initrd = g_bytes_new_take(g_malloc0(5000), 5000);
    BootModule mod = { initrd, "" };
    BootEnv env = env_with("x", &mod, 1);
    GByteArray *a = elf64(0x200000, false);
    g_autoptr(GBytes) plain = bytes(a);
    g_assert(boot_plan_make(&plan, plain, &env, NULL));
    g_assert_cmpint(plan.mode, ==, BOOT_LONG64);
    g_assert_cmpuint(plan.entry, ==, 0x200000);
    g_assert_cmpuint(find(&plan, "an ELF segment")->len, ==, 0x3000);
    boot_plan_clear(&plan);
    g_byte_array_unref(a);

    a = elf64(0x200000, true);
    g_autoptr(GBytes) pvh = bytes(a);
    g_assert(boot_plan_make(&plan, pvh, &env, NULL));
    g_assert_cmpint(plan.mode, ==, BOOT_FLAT32);
    g_assert_cmpuint(plan.entry, ==, 0x200010);
    const uint8_t *si = data(&plan, "the PVH start info");
    g_assert_cmpuint(load_le32(si), ==, 0x336ec578);
    g_assert_cmpuint(load_le32(si + 12), ==, 1);
    g_assert_cmpuint(load_le64(data(&plan, "the PVH lists")), ==, find(&plan, "the initrd")->gpa);
    g_assert_cmpuint(load_le64(si + 32), ==, 0xf0000);
    boot_plan_clear(&plan);
    g_byte_array_unref(a);
}

static void bad_elf(unsigned off, unsigned size, uint64_t v, const char *part)
{
    GByteArray *a = elf64(0x200000, false);
    store_le(a->data + off, size, v);
    g_autoptr(GBytes) image = bytes(a);
    BootEnv env = env_with("", NULL, 0);
    expect_error(image, &env, part);
    g_byte_array_unref(a);
}

static void test_bad_elf(void)
{
    bad_elf(18, 2, EM_AARCH64, "another CPU");
    bad_elf(16, 2, ET_REL, "not an executable");
    bad_elf(32, 8, UINT64_MAX, "program headers");
    bad_elf(56, 2, 60000, "program headers");
    bad_elf(56, 2, 0, "nothing to load");
    bad_elf(64 + 8, 8, UINT64_MAX - 10, "beyond the end");
    bad_elf(64 + 32, 8, UINT64_MAX, "beyond the end");
    bad_elf(64 + 40, 8, 1, "beyond the end");
    bad_elf(64 + 24, 8, 0x9f000, "does not fit");
    bad_elf(64 + 24, 8, UINT64_MAX - 0x1000, "does not fit");
    bad_elf(64 + 24, 8, 0x6800, "overlaps");
    bad_elf(24, 8, 0xffffffff81000000ull, "entry");
    BootEnv env = env_with("", NULL, 0);
    g_autoptr(GBytes) empty = g_bytes_new("", 0), text = g_bytes_new("hello", 5), elf = g_bytes_new("\177ELF\2\1\1\0\0\0\0\0\0\0\0", 16);
    expect_error(empty, &env, "not a kernel");
    expect_error(text, &env, "not a kernel");
    expect_error(elf, &env, "cut short");
}

/* ---- multiboot ---- */

static GByteArray *multiboot(uint32_t flags)
{
    GByteArray *a = g_byte_array_new();
    g_byte_array_set_size(a, 1024);
    memset(a->data, 0, a->len);
    uint32_t words[] = { 0x1badb002, flags, -(0x1badb002 + flags), 0x100040, 0x100000, 0x100400, 0x102000, 0x100080 };
    for (unsigned i = 0; i < ARRAY_LEN(words); i++)
        store_le32(a->data + 0x40 + 4 * i, words[i]);
    return a;
}

static void test_multiboot(void)
{
    BootPlan plan;
    g_autoptr(GBytes) m0 = g_bytes_new("one", 3), m1 = g_bytes_new("second", 6);
    BootModule mods[2] = { { m0, "/a arg" }, { m1, "/b" } };
    BootEnv env = env_with("args", mods, 2);
    GByteArray *a = multiboot(0x10003);
    g_autoptr(GBytes) image = bytes(a);
    g_assert(boot_plan_make(&plan, image, &env, NULL));
    g_assert_cmpuint(plan.rax, ==, 0x2badb002);
    g_assert_cmpuint(plan.entry, ==, 0x100080);
    g_assert_cmpuint(find(&plan, "the multiboot image")->len, ==, 0x2000);
    g_assert_cmpstr((const char *)data(&plan, "the command line"), ==, "kernel args");
    const uint8_t *info = data(&plan, "the multiboot information"), *list = data(&plan, "the multiboot lists");
    g_assert_cmpuint(load_le32(info + 20), ==, 2);
    g_assert_cmpuint(load_le32(list), ==, 0x102000);
    g_assert_cmpuint(load_le32(list + 4), ==, 0x102003);
    g_assert_cmpstr((const char *)list + load_le32(list + 16 + 8) - BOOT_LIST, ==, "/b");
    g_assert_cmpuint(load_le32(info + 44), ==, 24 * ARRAY_LEN(map));
    g_assert_cmpuint(load_le32(info + 8), ==, 0x7f00000 / 1024);
    boot_plan_clear(&plan);
    g_byte_array_unref(a);
}

static void bad_multiboot(unsigned off, uint32_t v, const char *part)
{
    GByteArray *a = multiboot(0x10003);
    store_le32(a->data + off, v);
    g_autoptr(GBytes) image = bytes(a);
    BootEnv env = env_with("", NULL, 0);
    expect_error(image, &env, part);
    g_byte_array_unref(a);
}

static void test_bad_multiboot(void)
{
    bad_multiboot(0x48, 0, "not a kernel");             /* checksum */
    bad_multiboot(0x4c, 0x50, "do not belong");
    bad_multiboot(0x54, 0x900000, "cut short");
    bad_multiboot(0x54, 0x50, "before its load_addr");
    bad_multiboot(0x58, 0xfffffff0, "does not fit");
    bad_multiboot(0x5c, 0xf0000000, "entry");
    GByteArray *a = multiboot(3), *f = multiboot(0x10013);
    g_autoptr(GBytes) image = bytes(a), feature = bytes(f);
    BootEnv env = env_with("", NULL, 0);
    expect_error(image, &env, "neither ELF");
    expect_error(feature, &env, "demands a feature");
    g_byte_array_unref(a);
    g_byte_array_unref(f);
}

int main(void)
{
    test_bzimage();
    test_bad_bzimage();
    test_real();
    test_elf();
    test_bad_elf();
    test_multiboot();
    test_bad_multiboot();
    printf("loader: ok\n");
    return 0;
}
