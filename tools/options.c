#include "tools/options.h"

#include <stddef.h>
#include <string.h>

#include "tools/keys.h"
#include "util/log.h"
#include "util/sandbox.h"

enum { VCPUS_MAX = 255, RAM_DEFAULT = 512 << 20 };

typedef struct OptionDesc OptionDesc;
struct OptionDesc {
    const char *name, *arg, *help;      /* arg NULL: takes none */
    bool (*set)(TandemOptions *o, const OptionDesc *d, const char *arg, GError **err);
    size_t offset;
};

/* ---- setters ---- */

static void *field(TandemOptions *o, const OptionDesc *d)
{
    return (char *)o + d->offset;
}

static bool set_flag(TandemOptions *o, const OptionDesc *d, const char *arg, GError **err)
{
    *(bool *)field(o, d) = true;
    return true;
}

static bool set_text(TandemOptions *o, const OptionDesc *d, const char *arg, GError **err)
{
    char **p = field(o, d);
    g_free(*p);
    *p = g_strdup(arg);
    return true;
}

static bool set_list(TandemOptions *o, const OptionDesc *d, const char *arg, GError **err)
{
    g_ptr_array_add(*(GPtrArray **)field(o, d), g_strdup(arg));
    return true;
}

static bool set_accepted(TandemOptions *o, const OptionDesc *d, const char *arg, GError **err)
{
    return true;
}

static bool set_irqchip(TandemOptions *o, const char *text, GError **err)
{
    static const char *const names[] = { [ACCEL_IRQCHIP_OFF] = "off", [ACCEL_IRQCHIP_SPLIT] = "split", [ACCEL_IRQCHIP_ON] = "on" };
    for (unsigned i = ACCEL_IRQCHIP_OFF; text && i < G_N_ELEMENTS(names); i++) {
        if (!strcmp(text, names[i])) {
            o->irqchip = (AccelIrqchip)i;
            return true;
        }
    }
    return !text || opt_fail(err, "kernel-irqchip takes on, off or split, not '%s'", text);
}

static bool set_ring0(TandemOptions *o, const char *text, GError **err)
{
    if (text && strcmp(text, "kvm") && strcmp(text, "tcg"))
        return opt_fail(err, "-accel ring0=%s does not exist: kvm, or tcg for a KVM without hardware support", text);
    o->ring0 = !text ? o->ring0 : *text == 'k' ? ACCEL_RING0_ENGINE : ACCEL_RING0_ASSISTANT;
    return true;
}

static bool accel_known(const char *list, GError **err)
{
    g_auto(GStrv) names = g_strsplit(list, ":", -1);
    for (unsigned i = 0; names[i]; i++)
        if (strcmp(names[i], "kvm") && strcmp(names[i], "tcg") && strcmp(names[i], "auto"))
            return opt_fail(err, "'%s' is not an engine; use kvm, tcg, auto or a list such as kvm:tcg", names[i]);
    return *list || opt_fail(err, "an engine is missing; use kvm, tcg, auto or a list such as kvm:tcg");
}

static bool take_accel(TandemOptions *o, const char *list, const char *from, GError **err)
{
    if (!accel_known(list, err))
        return false;
    /* QEMU tries several -accel in the order given; so does a list. */
    char *old = o->accel;
    o->accel = old && !strcmp(from, "-accel") && !g_strcmp0(o->accel_option, from) ? g_strconcat(old, ":", list, NULL) : g_strdup(list);
    g_free(old);
    g_free(o->accel_option);
    o->accel_option = g_strdup(from);
    return true;
}

/* The numbers are those of TcgTier (tcg/tcg.h). */
static bool set_tier(TandemOptions *o, const char *arg, GError **err)
{
    if (arg && strcmp(arg, "interp") && strcmp(arg, "1") && strcmp(arg, "2"))
        return opt_fail(err, "-accel tier=%s does not exist: interp (slow reference), 1 (blocks only) or 2 (regions at once)", arg);
    o->tier = !arg ? o->tier : *arg == 'i' ? 1 : *arg == '1' ? 2 : 3;
    return true;
}

static bool set_accel(TandemOptions *o, const OptionDesc *d, const char *arg, GError **err)
{
    g_autoptr(Keys) k = keys_new(arg, "accel");
    const char *list = keys_take(k, "accel");
    const char *thread = keys_take(k, "thread");
    if (!list)
        return opt_fail(err, "-accel needs an engine first: kvm, tcg or auto");
    if (thread && strcmp(thread, "multi"))
        return opt_fail(err, "-accel thread=%s does not exist: each virtual CPU has a thread of its own (thread=multi)", thread);
    return take_accel(o, list, "-accel", err) && set_irqchip(o, keys_take(k, "kernel-irqchip"), err) &&
           parse_size(keys_take(k, "tb-size"), "-accel tb-size", 1 << 20, &o->tb_cache_bytes, err) &&
           set_tier(o, keys_take(k, "tier"), err) && set_ring0(o, keys_take(k, "ring0"), err) &&
           parse_number(keys_take(k, "switch-us"), "-accel switch-us", 0, 1000000, &o->switch_us, err) &&
           keys_all_used(k, "accel", "kernel-irqchip=on|off|split, ring0=kvm|tcg, tb-size=SIZE, thread=multi, tier=interp|1|2, switch-us=N", err);
}

static bool set_enable_kvm(TandemOptions *o, const OptionDesc *d, const char *arg, GError **err)
{
    return take_accel(o, "kvm", "-enable-kvm", err);
}

static bool set_machine(TandemOptions *o, const OptionDesc *d, const char *arg, GError **err)
{
    g_autoptr(Keys) k = keys_new(arg, "type");
    const char *type = keys_take(k, "type"), *accel = keys_take(k, "accel");
    bool smm = true;
    static const char *const same[] = { "usb", "vmport", "graphics", "hpet", "acpi", "mem-merge", "dump-guest-core" };
    for (unsigned i = 0; i < G_N_ELEMENTS(same); i++)
        keys_take(k, same[i]);          /* QEMU scripts set them; they change nothing here */
    /* "help": who knows the machines lists them (tandem_board_help) */
    static const char *const types[] = { "pc", "virt", "none", "help", "?" };
    for (unsigned i = 0; type && i <= G_N_ELEMENTS(types); i++) {
        if (i == G_N_ELEMENTS(types))
            return opt_fail(err, "there is no machine '%s'; use pc, virt or none", type);
        if (strcmp(type, types[i]) && (i || !g_str_has_prefix(type, "pc-i440fx")))
            continue;
        g_free(o->machine);
        o->machine = g_strdup(types[i]);
        o->machine_given = true;
        break;
    }
    if ((accel && !take_accel(o, accel, "-machine accel", err)) || !set_irqchip(o, keys_take(k, "kernel-irqchip"), err) ||
        !parse_bool(keys_take(k, "smm"), "-machine smm", &smm, err))
        return false;
    /* what some board calls its own: the chosen one is asked when it is known */
    static const char *const boards[] = { "gic-version", "secure", "virtualization", "mte", "highmem", "its", "ras", "iommu", "dtb", "dumpdtb" };
    for (unsigned i = 0; i < G_N_ELEMENTS(boards); i++) {
        const char *value = keys_take(k, boards[i]);
        if (value)
            g_ptr_array_add(o->machine_options, g_strdup_printf("%s=%s", boards[i], value));
        if (value && !strcmp(boards[i], "dumpdtb"))
            o->no_run = true;
    }
    o->smm_off = !smm;
    return keys_all_used(k, "machine", "pc, virt or none, accel=, kernel-irqchip=, smm=, gic-version=, its=, dtb=, dumpdtb=", err);
}

static bool set_dtb(TandemOptions *o, const OptionDesc *d, const char *arg, GError **err)
{
    g_ptr_array_add(o->machine_options, g_strdup_printf("dtb=%s", arg));
    return true;
}

static bool set_smp(TandemOptions *o, const OptionDesc *d, const char *arg, GError **err)
{
    static const char *const parts[] = { "sockets", "dies", "cores", "threads" };
    g_autoptr(Keys) k = keys_new(arg, "cpus");
    uint64_t product = 1, n = 0, max = 0;
    bool topology = false;
    for (unsigned i = 0; i < G_N_ELEMENTS(parts); i++) {
        uint64_t v = 1;
        const char *text = keys_take(k, parts[i]);
        topology |= text != NULL;
        if (!parse_number(text, "-smp", 1, VCPUS_MAX, &v, err))
            return false;
        product *= v;
    }
    if (!parse_number(keys_take(k, "cpus"), "-smp", 1, VCPUS_MAX, &n, err) || !parse_number(keys_take(k, "maxcpus"), "-smp maxcpus", 1, VCPUS_MAX, &max, err) ||
        !keys_all_used(k, "smp", "a number, cpus=, maxcpus=, sockets=, dies=, cores=, threads=", err))
        return false;
    if (!n)
        n = topology ? product : max ? max : 1;
    if (n > VCPUS_MAX || (max && max < n))
        return opt_fail(err, "-smp %s: %s", arg, n > VCPUS_MAX ? "at most 255 CPUs" : "maxcpus is less than cpus");
    if (topology && product != n && product != max)
        return opt_fail(err, "-smp %s: sockets * dies * cores * threads is %u, not the number of CPUs", arg, (unsigned)product);
    o->n_vcpus = n;
    o->max_vcpus = MAX(max, n);
    return true;
}

static bool set_memory(TandemOptions *o, const OptionDesc *d, const char *arg, GError **err)
{
    enum { MIN_RAM = 1 << 20, PAGE = 4096 };
    g_autoptr(Keys) k = keys_new(arg, "size");
    uint64_t bytes = 0;
    const char *text = keys_take(k, "size");
    if (!text || !parse_size(text, "-m", 1 << 20, &bytes, err))
        return text ? false : opt_fail(err, "-m needs a size, such as -m 512M");
    if (bytes < MIN_RAM || bytes > 1ull << 40 || bytes % PAGE)
        return opt_fail(err, "-m %s: memory is 1M to 1T, a multiple of 4K", text);
    o->ram_bytes = bytes;
    return keys_all_used(k, "m", "a size (plain numbers are MiB)", err);
}

static bool set_disk(TandemOptions *o, const OptionDesc *d, const char *arg, GError **err)
{
    char **p = &o->disks[d->name[2] - 'a'];
    if (*p)
        return opt_fail(err, "-%s is given twice", d->name);
    *p = g_strdup(arg);
    return true;
}

static bool set_log(TandemOptions *o, const OptionDesc *d, const char *arg, GError **err)
{
    char *old = o->log_items;
    o->log_items = old ? g_strconcat(old, ",", arg, NULL) : g_strdup(arg);
    g_free(old);
    return true;
}

static bool set_display(TandemOptions *o, const OptionDesc *d, const char *arg, GError **err)
{
    if (!strcmp(arg, "none"))
        return true;
    return opt_fail(err, "-%s %s: there is no display device yet; the console is the serial line (-%s none is accepted)", d->name, arg, d->name);
}

static bool set_sandbox(TandemOptions *o, const OptionDesc *d, const char *arg, GError **err)
{
    g_autoptr(Keys) k = keys_new(arg, "enable");
    static const char *const same[] = { "obsolete", "elevateprivileges", "spawn", "resourcecontrol" };
    bool on = true;
    for (unsigned i = 0; i < G_N_ELEMENTS(same); i++)
        keys_take(k, same[i]);          /* QEMU's finer choices: here all of it is denied always */
    if (!parse_bool(keys_take(k, "enable"), "-sandbox", &on, err))
        return false;
    o->sandbox_on = on;
    o->sandbox_off = !on;
    return keys_all_used(k, "sandbox", "on, off or help", err);
}

static bool set_boot(TandemOptions *o, const OptionDesc *d, const char *arg, GError **err)
{
    g_autoptr(Keys) k = keys_new(arg, "order");
    const char *order = keys_take(k, "order"), *once = keys_take(k, "once");
    bool menu;
    if (!parse_bool(keys_take(k, "menu"), "-boot menu", &menu, err))
        return false;
    keys_take(k, "strict");
    keys_take(k, "splash-time");
    keys_take(k, "reboot-timeout");
    for (const char *c = order ? order : "c"; *c; c++)
        if (!strchr("acdn", *c))
            return opt_fail(err, "-boot order is made of the letters a, c, d and n, not '%c'", *c);
    if (once)
        return opt_fail(err, "-boot once= does not exist; use order=");
    return set_text(o, d, arg, err) && keys_all_used(k, "boot", "order=, menu=on|off, strict=on|off", err);
}

/* ---- the table ---- */

#define FLAG(n, f, h) { .name = n, .help = h, .set = set_flag, .offset = offsetof(TandemOptions, f) }
#define TEXT(n, a, f, h) { .name = n, .arg = a, .help = h, .set = set_text, .offset = offsetof(TandemOptions, f) }
#define LIST(n, a, f, h) { .name = n, .arg = a, .help = h, .set = set_list, .offset = offsetof(TandemOptions, f) }
#define CALL(n, a, fn, h) { .name = n, .arg = a, .help = h, .set = fn }

static const OptionDesc options[] = {
    CALL("accel", "kvm|tcg|auto[,kernel-irqchip=on|off|split][,ring0=kvm|tcg][,tb-size=SIZE][,tier=interp|1|2]", set_accel, "engine; a list (kvm:tcg) takes the first that works; default auto"),
    CALL("enable-kvm", NULL, set_enable_kvm, "as -accel kvm"),
    TEXT("arch", "x86_64|aarch64|riscv64", arch, "guest CPU; default: as the program's name (qemu-system-aarch64) or the kernel image says, else x86_64"),
    CALL("machine", "pc|virt|none[,accel=NAME][,kernel-irqchip=...][,smm=on|off][,gic-version=2|3]", set_machine, "what to emulate; default pc, for other CPUs virt"),
    CALL("M", "...", set_machine, "as -machine"),
    TEXT("cpu", "MODEL[,+FEATURE][,-FEATURE]", cpu, "CPU model: qemu64, max, host, x86-64-v2, x86-64-v3; help lists them"),
    CALL("smp", "N[,maxcpus=N][,sockets=N][,cores=N][,threads=N]", set_smp, "number of CPUs, 1 to 255; default 1"),
    CALL("m", "SIZE", set_memory, "memory, plain numbers are MiB; default 512M"),
    TEXT("kernel", "FILE", kernel, "boot this bzImage, vmlinux, PVH or multiboot image directly"),
    TEXT("initrd", "FILE[ ARGS][,FILE...]", initrd, "initial ram disk, or multiboot modules"),
    TEXT("append", "TEXT", append, "kernel command line"),
    CALL("dtb", "FILE", set_dtb, "the virt machines' device tree, instead of their own; -machine virt,dumpdtb=FILE writes it and ends"),
    LIST("drive", "file=FILE[,format=raw|qcow2][,if=ide|virtio|pflash|none][,id=ID][,cache=...][,readonly=on][,media=disk|cdrom]"
         "[,snapshot=on][,discard=unmap][,detect-zeroes=on][,rerror=...][,werror=stop][,throttling.iops-total=N]...", drives, "a drive"),
    CALL("hda", "FILE", set_disk, "first IDE disk"),
    CALL("hdb", "FILE", set_disk, "second IDE disk"),
    CALL("hdc", "FILE", set_disk, "third IDE disk"),
    CALL("hdd", "FILE", set_disk, "fourth IDE disk"),
    TEXT("cdrom", "FILE", cdrom, "CD-ROM as third IDE drive"),
    { .name = "boot", .arg = "[order=]LETTERS[,menu=on|off]", .help = "boot order: c disk, d CD-ROM, n network", .set = set_boot, .offset = offsetof(TandemOptions, boot) },
    TEXT("bios", "FILE", bios, "firmware image; default Debian's SeaBIOS"),
    LIST("serial", "stdio|mon:stdio|file:PATH|unix:PATH,server=on|pty|null|none", serials, "a serial port (up to 4 times)"),
    FLAG("nographic", nographic, "console and monitor on this terminal, Ctrl-A h for help (the default)"),
    LIST("chardev", "stdio|file|socket|pty|null,id=ID[,path=PATH]...", chardevs, "a character device for -device"),
    LIST("netdev", "user,id=ID[,hostfwd=RULE][,...]", netdevs, "a network back end"),
    LIST("nic", "user[,model=virtio-net-pci][,mac=MAC]|none", nics, "a network card with its back end"),
    LIST("device", "NAME[,PROPERTY=VALUE...]", devices, "add a device; help lists those of the machine, NAME,help the properties of one"),
    FLAG("no-reboot", no_reboot, "a guest's reboot ends tandem"),
    FLAG("no-shutdown", no_shutdown, "a guest's power-off pauses it"),
    FLAG("S", paused, "do not start the CPUs; 'cont' in the monitor does"),
    FLAG("nodefaults", nodefaults, "no default devices"),
    LIST("monitor", "stdio|unix:PATH,server=on|pty|null|none", monitors, "where the monitor is"),
    TEXT("debugcon", "stdio|file:PATH|...", debugcon, "what firmware writes to its debug ports 0x402 and 0xe9"),
    LIST("qmp", "...", qmps, "accepted, but not yet there: says so"),
    CALL("d", "ITEM[,ITEM...]", set_log, "log items; help lists them"),
    TEXT("D", "FILE", log_file, "write the log there instead of to standard error"),
    CALL("sandbox", "on|off", set_sandbox, "refuse system calls that a running machine does not need; help lists them; default on where the host can"),
    TEXT("name", "NAME", name, "name of the guest"),
    TEXT("uuid", "UUID", uuid, "the system's UUID"),
    FLAG("snapshot", snapshot, "writes to disks go to temporary files; 'commit' in the monitor keeps them"),
    CALL("display", "none", set_display, "accepted; there is no display device yet"),
    CALL("vga", "none", set_display, "accepted; there is no display device yet"),
    CALL("no-user-config", NULL, set_accepted, "accepted; there is no configuration file"),
    { .name = "version", .help = "print the version" },
    { .name = "help", .help = "print this" },
    { .name = "h", .help = "as -help" },
};

static const OptionDesc *option_find(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(options); i++)
        if (!strcmp(options[i].name, name))
            return &options[i];
    return NULL;
}

const char **options_names(void)
{
    const char **names = g_new0(const char *, G_N_ELEMENTS(options) + 1);
    for (unsigned i = 0; i < G_N_ELEMENTS(options); i++)
        names[i] = options[i].name;
    return names;
}

bool options_has_arg(const char *name)
{
    const OptionDesc *d = option_find(name);
    return d && d->arg;
}

static char *help_text(void)
{
    GString *s = g_string_new("usage: tandem [OPTION...] [DISK]\n\n"
                              "Runs a virtual PC. DISK alone boots that image, console on this terminal.\n"
                              "Options take one dash or two:\n\n");
    for (unsigned i = 0; i < G_N_ELEMENTS(options); i++) {
        const OptionDesc *d = &options[i];
        g_string_append_printf(s, "  -%s%s%s\n      %s\n", d->name, d->arg ? " " : "", d->arg ? d->arg : "", d->help);
    }
    g_string_append(s, "\nDuring the run: Ctrl-A x quits, Ctrl-A c switches to the monitor and back, Ctrl-A h lists more.\n");
    return g_string_free(s, false);
}

/* ---- parsing ---- */

/* The nearest name by common prefix, for "did you mean". */
static const char *option_like(const char *name)
{
    const char *best = NULL;
    size_t best_len = 1;
    for (unsigned i = 0; i < G_N_ELEMENTS(options); i++) {
        size_t n = 0;
        while (name[n] && name[n] == options[i].name[n])
            n++;
        if (n > best_len) {
            best_len = n;
            best = options[i].name;
        }
    }
    return best;
}

static bool unknown(const char *arg, const char *name, GError **err)
{
    const char *like = option_like(name);
    if (like)
        return opt_fail(err, "unknown option %s; did you mean -%s? -help lists all", arg, like);
    return opt_fail(err, "unknown option %s; -help lists all", arg);
}

static void init(TandemOptions *o)
{
    GPtrArray **lists[] = { &o->drives, &o->devices, &o->netdevs, &o->nics, &o->chardevs, &o->serials, &o->monitors, &o->qmps, &o->machine_options };
    *o = (TandemOptions){ .ram_bytes = RAM_DEFAULT, .n_vcpus = 1, .max_vcpus = 1 };
    for (unsigned i = 0; i < G_N_ELEMENTS(lists); i++)
        *lists[i] = g_ptr_array_new_with_free_func(g_free);
    o->machine = g_strdup("pc");
}

void options_clear(TandemOptions *o)
{
    GPtrArray *lists[] = { o->drives, o->devices, o->netdevs, o->nics, o->chardevs, o->serials, o->monitors, o->qmps, o->machine_options };
    char *texts[] = { o->machine, o->arch, o->accel, o->accel_option, o->cpu, o->kernel, o->initrd, o->append, o->bios, o->boot, o->name, o->log_items,
                      o->log_file, o->display, o->vga, o->uuid, o->debugcon, o->disks[0], o->disks[1], o->disks[2], o->disks[3], o->cdrom, o->disk };
    for (unsigned i = 0; i < G_N_ELEMENTS(lists); i++)
        if (lists[i])
            g_ptr_array_unref(lists[i]);
    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++)
        g_free(texts[i]);
    *o = (TandemOptions){ 0 };
}

/* What makes sense only together. */
static bool check(const TandemOptions *o, GError **err)
{
    if (!o->kernel && (o->initrd || o->append))
        return opt_fail(err, "-%s needs -kernel: it belongs to a kernel that is booted directly", o->initrd ? "initrd" : "append");
    if (o->disk && o->disks[0])
        return opt_fail(err, "both %s and -hda %s want to be the first disk; use -hdb or -drive for one", o->disk, o->disks[0]);
    if (o->cdrom && o->disks[2])
        return opt_fail(err, "-cdrom and -hdc are the same drive; use -drive for one");
    if (o->uuid && !g_uuid_string_is_valid(o->uuid))
        return opt_fail(err, "-uuid takes 8-4-4-4-12 hexadecimal digits, not '%s'", o->uuid);
    if (o->serials->len > 4)
        return opt_fail(err, "a PC has at most 4 serial ports, -serial is given %u times", o->serials->len);
    return true;
}

/* Started as qemu-system-aarch64 or tandem-riscv64: that is the guest. */
static void arch_from_name(TandemOptions *o, const char *program)
{
    g_autofree char *base = g_path_get_basename(program ? program : "");
    const char *dash = strrchr(base, '-');
    static const char *const known[] = { "x86_64", "aarch64", "riscv64" };
    for (unsigned i = 0; dash && i < G_N_ELEMENTS(known); i++)
        if (!strcmp(dash + 1, known[i]))
            o->arch = g_strdup(known[i]);
}

/* What "help" as the option's value lists, if it does. */
static char *list_of(const OptionDesc *d)
{
    return d->set == set_log ? g_strdup(log_items_help()) : d->set == set_sandbox ? sandbox_table()
         : d->set == set_accel ? g_strdup("kvm    the host's KVM\ntcg    translation, on every host\nauto   the better one here (default)\n") : NULL;
}

static OptionsResult one(TandemOptions *o, int argc, char *const *argv, int *i, char **ret_text, GError **err)
{
    const char *arg = argv[*i];
    if (*arg != '-' || !arg[1]) {
        if (o->disk) {
            opt_fail(err, "one disk image at most stands without an option, there are '%s' and '%s'; use -hdb or -drive for more", o->disk, arg);
            return OPTIONS_BAD;
        }
        o->disk = g_strdup(arg);
        return OPTIONS_RUN;
    }
    const char *name = arg + (arg[1] == '-' ? 2 : 1);
    const OptionDesc *d = option_find(name);
    if (!d)
        return unknown(arg, name, err), OPTIONS_BAD;
    if (!d->set) {
        *ret_text = *d->name == 'v' ? g_strdup("tandem 0.1.0\n") : help_text();
        return OPTIONS_DONE;
    }
    if (d->arg && *i + 1 >= argc)
        return opt_fail(err, "-%s needs a value: -%s %s", d->name, d->name, d->arg), OPTIONS_BAD;
    const char *value = d->arg ? argv[++*i] : NULL;
    if (value && (!strcmp(value, "help") || !strcmp(value, "?")) && (*ret_text = list_of(d)))
        return OPTIONS_DONE;
    return d->set(o, d, value, err) ? OPTIONS_RUN : OPTIONS_BAD;
}

OptionsResult options_parse(TandemOptions *o, int argc, char *const *argv, char **ret_text, GError **err)
{
    *ret_text = NULL;
    init(o);
    arch_from_name(o, argc > 0 ? argv[0] : NULL);
    for (int i = 1; i < argc; i++) {
        OptionsResult r = one(o, argc, argv, &i, ret_text, err);
        if (r != OPTIONS_RUN)
            return r;
    }
    return check(o, err) ? OPTIONS_RUN : OPTIONS_BAD;
}
