/* The command line: every option with one and two dashes, good and bad values, each bad one a single line with a remedy. */
#include <stdio.h>
#include <string.h>

#include "tools/keys.h"
#include "tools/options.h"

typedef struct Case {
    const char *argv[12];
    const char *message;        /* part of the error, NULL = accepted */
} Case;

static const Case cases[] = {
    { { "disk.qcow2" }, NULL },
    { { "a.raw", "b.raw" }, "one disk image at most" },
    { { "-accel", "kvm" }, NULL },
    { { "-accel", "kvm:tcg,kernel-irqchip=split" }, NULL },
    { { "-accel", "tcg,thread=multi,tb-size=64" }, NULL },
    { { "-accel", "xen" }, "not an engine" },
    { { "-accel", "" }, "needs an engine" },
    { { "-accel", "tcg,thread=single" }, "does not exist" },
    { { "-accel", "kvm,kernel-irqchip=maybe" }, "on, off or split" },
    { { "-accel", "tcg,colour=red" }, "does not know 'colour'" },
    { { "-accel", "tcg,tb-size=huge" }, "takes a size" },
    { { "-accel", "tcg,switch-us=-1" }, "takes a number" },
    { { "-enable-kvm" }, NULL },
    { { "-machine", "pc,accel=tcg" }, NULL },
    { { "-M", "none", "-S", "-nodefaults", "-qmp", "stdio" }, NULL },
    { { "-machine", "pc-i440fx-7.2,usb=off,smm=off" }, NULL },
    { { "-machine", "q35" }, "no machine 'q35'" },
    { { "-machine", "pc,accel=warp" }, "not an engine" },
    { { "-machine", "pc,smm=perhaps" }, "on or off" },
    { { "-machine", "pc,flavour=mint" }, "does not know" },
    { { "-cpu", "max,+avx2" }, NULL },
    { { "-arch", "riscv64" }, NULL },
    { { "-smp", "4" }, NULL },
    { { "-smp", "cpus=4,sockets=2,cores=2" }, NULL },
    { { "-smp", "2,maxcpus=8" }, NULL },
    { { "-smp", "0" }, "1 to 255" },
    { { "-smp", "256" }, "1 to 255" },
    { { "-smp", "two" }, "takes a number" },
    { { "-smp", "3,sockets=2" }, "not the number of CPUs" },
    { { "-smp", "4,maxcpus=2" }, "less than" },
    { { "-smp", "2,wheels=4" }, "does not know" },
    { { "-m", "1G" }, NULL },
    { { "-m", "size=512" }, NULL },
    { { "-m", "1.5G" }, NULL },
    { { "-m", "0" }, "1M to 1T" },
    { { "-m", "-5" }, "takes a size" },
    { { "-m", "1Q" }, "takes a size" },
    { { "-m", "99999999999999999999G" }, "takes a size" },
    { { "-m", "4T" }, "1M to 1T" },
    { { "-m", "1000001b" }, "multiple of 4K" },
    { { "-m", "nan" }, "takes a size" },
    { { "-m", "512,slots=3" }, "does not know" },
    { { "-kernel", "k", "-initrd", "i", "-append", "quiet" }, NULL },
    { { "-append", "quiet" }, "needs -kernel" },
    { { "-initrd", "i" }, "needs -kernel" },
    { { "-drive", "file=x,if=virtio" }, NULL },
    { { "-hda", "a", "-hdb", "b", "-hdc", "c", "-hdd", "d" }, NULL },
    { { "-hda", "a", "-hda", "b" }, "twice" },
    { { "-hda", "a", "b" }, "first disk" },
    { { "-cdrom", "a", "-hdc", "b" }, "same drive" },
    { { "-cdrom", "a" }, NULL },
    { { "-boot", "c" }, NULL },
    { { "-boot", "order=dc,menu=on" }, NULL },
    { { "-boot", "order=x" }, "letters" },
    { { "-boot", "once=d" }, "does not exist" },
    { { "-boot", "c,speed=9" }, "does not know" },
    { { "-boot", "menu=perhaps" }, "on or off" },
    { { "-sandbox", "on" }, NULL },
    { { "-sandbox", "on,obsolete=deny,spawn=deny" }, NULL },
    { { "-sandbox", "maybe" }, "on or off" },
    { { "-bios", "b" }, NULL },
    { { "-dtb", "b" }, NULL },
    { { "-serial", "null", "-serial", "pty" }, NULL },
    { { "-serial=stdio" }, "unknown option" },
    { { "-nographic", "-debugcon", "null" }, NULL },
    { { "-chardev", "null,id=c" }, NULL },
    { { "-netdev", "user,id=n" }, NULL },
    { { "-nic", "user" }, NULL },
    { { "-device", "virtio-net-pci" }, NULL },
    { { "-no-reboot", "-no-shutdown" }, NULL },
    { { "-monitor", "stdio" }, NULL },
    { { "-d", "int,exec", "-D", "log" }, NULL },
    { { "-name", "x", "-uuid", "00112233-4455-6677-8899-aabbccddeeff" }, NULL },
    { { "-uuid", "1234" }, "hexadecimal" },
    { { "-snapshot", "disk.qcow2" }, NULL },
    { { "-display", "none", "-vga", "none", "-no-user-config" }, NULL },
    { { "-display", "gtk" }, "no display device" },
    { { "-vga", "std" }, "no display device" },
    { { "-frobnicate" }, "unknown option" },
    { { "--kernal", "x" }, "did you mean -kernel" },
    { { "-" }, NULL },
    { { "--" }, "unknown option" },
};

static OptionsResult parse(const char *const *args, char **ret_text, GError **err)
{
    const char *argv[16] = { "tandem" };
    int argc = 1;
    TandemOptions o;
    for (; *args; args++)
        argv[argc++] = *args;
    OptionsResult r = options_parse(&o, argc, (char *const *)argv, ret_text, err);
    options_clear(&o);
    return r;
}

static void check(const Case *c, bool two_dashes)
{
    g_autofree char *text = NULL;
    g_autoptr(GError) err = NULL;
    g_autoptr(GPtrArray) args = g_ptr_array_new_with_free_func(g_free);
    for (unsigned i = 0; c->argv[i]; i++)
        g_ptr_array_add(args, g_strdup_printf("%s%s", two_dashes && c->argv[i][0] == '-' && c->argv[i][1] > '9' ? "-" : "", c->argv[i]));
    g_ptr_array_add(args, NULL);
    OptionsResult r = parse((const char *const *)args->pdata, &text, &err);
    if (!c->message && r != OPTIONS_RUN)
        g_error("%s: %s", c->argv[0], err ? err->message : "help?");
    if (c->message && (r != OPTIONS_BAD || !strstr(err->message, c->message)))
        g_error("%s %s: '%s' instead of '%s'", c->argv[0], c->argv[1], err ? err->message : "accepted", c->message);
    if (err)
        g_assert(!strchr(err->message, '\n') && strlen(err->message) < 300);
}

/* A text goes where it belongs and nothing else changes. */
static void check_places(void)
{
    const char *argv[] = { "tandem", "-boot", "dc", "-cpu", "a cpu", "-kernel", "a kernel", "-initrd", "an initrd", "-append", "words", "-bios", "firmware", "-name", "a name",
                           "-D", "a log", "-d", "stats", "-uuid", "00112233-4455-6677-8899-aabbccddeeff", "-debugcon", "null", "-cdrom", "a cd", "-arch", "riscv64",
                           "-hda", "d0", "-hdb", "d1", "-hdd", "d3", "-m", "3", "-smp", "5", "-accel", "tcg" };
    TandemOptions o;
    g_autofree char *text = NULL;
    g_assert(options_parse(&o, G_N_ELEMENTS(argv), (char *const *)argv, &text, NULL) == OPTIONS_RUN);
    const struct { const char *got, *want; } texts[] = {
        { o.machine, "pc" }, { o.boot, "dc" }, { o.cpu, "a cpu" }, { o.kernel, "a kernel" }, { o.initrd, "an initrd" }, { o.append, "words" }, { o.bios, "firmware" },
        { o.name, "a name" }, { o.log_file, "a log" }, { o.log_items, "stats" }, { o.uuid, argv[20] }, { o.debugcon, "null" }, { o.cdrom, "a cd" }, { o.arch, "riscv64" },
        { o.disks[0], "d0" }, { o.disks[1], "d1" }, { o.disks[2], NULL }, { o.disks[3], "d3" }, { o.accel, "tcg" }, { o.disk, NULL }, { o.display, NULL }, { o.vga, NULL },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++)
        g_assert_cmpstr(texts[i].got, ==, texts[i].want);
    g_assert(!o.machine_given && o.ram_bytes == 3 << 20 && o.n_vcpus == 5 && o.max_vcpus == 5);
    options_clear(&o);
}

/* No option is forgotten above; those with a value say so when it is missing. */
static void check_all_names(void)
{
    g_autofree const char **names = options_names();
    for (unsigned n = 0; names[n]; n++) {
        bool found = !strcmp(names[n], "help") || !strcmp(names[n], "h") || !strcmp(names[n], "version");
        for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++)
            for (unsigned k = 0; cases[i].argv[k]; k++)
                found |= cases[i].argv[k][0] == '-' && !strcmp(cases[i].argv[k] + 1, names[n]);
        if (!found)
            g_error("option -%s has no test here", names[n]);
        if (!options_has_arg(names[n]))
            continue;
        g_autofree char *dashed = g_strdup_printf("-%s", names[n]), *text = NULL;
        g_autoptr(GError) err = NULL;
        const char *args[] = { dashed, NULL };
        g_assert(parse(args, &text, &err) == OPTIONS_BAD && strstr(err->message, "needs a value"));
    }
}

static void check_help(void)
{
    static const struct { const char *args[3], *part; } asks[] = {
        { { "-help" }, "usage: tandem" }, { { "--help" }, "-kernel" }, { { "-h" }, "-drive" }, { { "-version" }, "tandem " },
        { { "-d", "help" }, "in_asm" }, { { "-d", "?" }, "guest_errors" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(asks); i++) {
        g_autofree char *text = NULL;
        g_assert(parse(asks[i].args, &text, NULL) == OPTIONS_DONE);
        g_assert(strstr(text, asks[i].part));
    }
}

static void check_values(void)
{
    uint64_t v = 7;
    static const struct { const char *text; uint64_t unit, want; } sizes[] = {
        { "512", 1 << 20, 512ull << 20 }, { "2G", 1 << 20, 2ull << 30 }, { "1.5k", 1, 1536 }, { "4KiB", 1, 4096 }, { "3b", 1 << 20, 3 }, { "1T", 1, 1ull << 40 },
        { "2MB", 1, 2 << 20 },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_assert(parse_size(sizes[i].text, "x", sizes[i].unit, &v, NULL));
        g_assert_cmpuint(v, ==, sizes[i].want);
    }
    g_assert(parse_size(NULL, "x", 1, &v, NULL) && v == 2 << 20);
    g_assert(parse_number("0x10", "x", 0, 100, &v, NULL) && v == 16);
    g_assert(!parse_number("101", "x", 0, 100, &v, NULL) && v == 16);
    g_autoptr(Keys) k = keys_new("file=a,,b.raw,ro,nofoo,x=1,x=2", NULL);
    g_assert_cmpstr(keys_take(k, "file"), ==, "a,b.raw");
    g_assert_cmpstr(keys_take(k, "ro"), ==, "on");
    g_assert_cmpstr(keys_take(k, "foo"), ==, "off");
    g_assert(!keys_all_used(k, "drive", "file=", NULL));
    g_assert_cmpstr(keys_take(k, "x"), ==, "2");
    g_assert(keys_all_used(k, "drive", "file=", NULL));
}

int main(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        check(&cases[i], false);
        check(&cases[i], true);
    }
    check_places();
    check_all_names();
    check_help();
    check_values();
    printf("options: ok\n");
    return 0;
}
