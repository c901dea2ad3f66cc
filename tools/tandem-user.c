/* tandem-user: runs one Linux program of any guest CPU. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "tcg/user/user.h"

enum { AUX_PRESERVE_ARGV0 = 1, MAX_SELF_ARGS = 64, LOG_FD = 500 };

typedef struct Cmd {
    UserOptions o;
    char **env;
    const char *self_args[MAX_SELF_ARGS];
    unsigned n_self;
    bool do_register;
    const char *log_items, *log_file;
    int status;                /* -1: go on */
} Cmd;

static int complain(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
static int complain(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    g_autofree char *msg = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    fprintf(stderr, "tandem-user: %s\n", msg);
    return 1;
}

static void opt_sysroot(Cmd *c, const char *v) { c->o.sysroot = v; }

static void opt_cpu(Cmd *c, const char *v)
{
    c->o.cpu = v;
    if (!strcmp(v, "help")) {
        g_autofree char *text = user_cpu_help();
        fputs(text, stdout);
        c->status = 0;
    }
}

static void opt_argv0(Cmd *c, const char *v) { c->o.argv0 = v; }
static void opt_limits(Cmd *c, const char *v) { c->o.limits = v; }
static void opt_strace(Cmd *c, const char *v) { (void)v; c->o.strace = true; }
static void opt_register(Cmd *c, const char *v) { (void)v; c->do_register = true; }

static void opt_set(Cmd *c, const char *v)
{
    const char *eq = strchr(v, '=');
    if (!eq || eq == v) {
        c->status = complain("-E wants NAME=VALUE, got '%s'", v);
        return;
    }
    g_autofree char *name = g_strndup(v, (gsize)(eq - v));
    c->env = g_environ_setenv(c->env, name, eq + 1, TRUE);
}

static void opt_unset(Cmd *c, const char *v) { c->env = g_environ_unsetenv(c->env, v); }

static void opt_tier(Cmd *c, const char *v)
{
    static const struct { const char *name; TcgTier tier; } tiers[] = { { "auto", TCG_TIER_AUTO }, { "interp", TCG_TIER_INTERP }, { "1", TCG_TIER_1 }, { "2", TCG_TIER_2 } };
    for (unsigned n = 0; n < G_N_ELEMENTS(tiers); n++)
        if (!strcmp(tiers[n].name, v)) {
            c->o.tier = tiers[n].tier;
            return;
        }
    c->status = complain("-tier is one of auto, interp, 1, 2, got '%s'", v);
}

static void opt_log(Cmd *c, const char *v)
{
    if (!strcmp(v, "help")) {
        fputs(log_items_help(), stdout);
        c->status = 0;
    }
    c->log_items = v;
}

static void opt_log_file(Cmd *c, const char *v) { c->log_file = v; }

static void opt_version(Cmd *c, const char *v)
{
    (void)v;
    puts("tandem-user " TANDEM_VERSION);
    c->status = 0;
}

static void opt_help(Cmd *c, const char *v);

/* kept: given to programs that the guest starts. */
static const struct Opt { const char *name, *arg, *help; void (*fn)(Cmd *, const char *); bool kept; } opts[] = {
    { "L", "FOLDER", "look here first for the guest's interpreter, libraries and files", opt_sysroot, true },
    { "cpu", "MODEL", "CPU model and features; help lists them", opt_cpu, true },
    { "E", "NAME=VALUE", "set a variable in the guest's environment", opt_set, false },
    { "U", "NAME", "remove a variable from it", opt_unset, false },
    { "0", "NAME", "argv[0] of the guest", opt_argv0, false },
    { "limits", "CUR:MAX,...", "limits of address space, data and stack (how a program hands them to the next)", opt_limits, false },
    { "strace", NULL, "show every system call on stderr", opt_strace, true },
    { "tier", "TIER", "auto, interp, 1 or 2 (for tests)", opt_tier, true },
    { "d", "ITEMS", "log items of the translator, separated by commas; help lists them", opt_log, true },
    { "D", "FILE", "append the log to this file instead of writing it to standard error", opt_log_file, true },
    { "register", NULL, "tell the kernel (binfmt_misc) to start foreign programs with this one; needs root", opt_register, false },
    { "version", NULL, "print the version", opt_version, false },
    { "help", NULL, "this text; -h is the same", opt_help, false },
};

static void opt_help(Cmd *c, const char *v)
{
    (void)v;
    puts("usage: tandem-user [OPTIONS] PROGRAM [ARGUMENTS]\n\nRuns a Linux program of another CPU (taken from its ELF header) in this system.\n"
         "This is no sandbox: the program has all rights of this process.\n");
    for (unsigned n = 0; n < G_N_ELEMENTS(opts); n++)
        printf("  -%-10s %-11s %s\n", opts[n].name, opts[n].arg ? opts[n].arg : "", opts[n].help);
    c->status = 0;
}

static void keep(Cmd *c, const char *arg)
{
    if (c->n_self < MAX_SELF_ARGS - 1)
        c->self_args[c->n_self++] = arg;
}

/* Index of the program in argv. */
static int parse(Cmd *c, int argc, char **argv)
{
    int at = 1;
    for (; at < argc && argv[at][0] == '-' && argv[at][1] && c->status < 0; at++) {
        const char *name = argv[at] + 1 + (argv[at][1] == '-');
        const struct Opt *o = NULL;
        if (!*name)
            return at + 1;     /* "--" */
        for (unsigned n = 0; n < G_N_ELEMENTS(opts) && !o; n++)
            if (!strcmp(opts[n].name, strcmp(name, "h") ? name : "help"))
                o = &opts[n];
        if (!o) {
            c->status = complain("unknown option '%s' (-help lists them)", argv[at]);
        } else if (o->arg && at + 1 >= argc) {
            c->status = complain("option '%s' wants %s", argv[at], o->arg);
        } else {
            if (o->kept)
                keep(c, argv[at]);
            if (o->arg && o->kept)
                keep(c, argv[at + 1]);
            o->fn(c, o->arg ? argv[++at] : NULL);
        }
    }
    return at;
}

/* Magic and mask of a little-endian ELF program of @machine (Documentation/admin-guide/binfmt-misc.rst). */
static int register_one(const char *name, unsigned machine, unsigned elf_class, const char *self)
{
    g_autofree char *line = g_strdup_printf(
        ":tandem-%s:M::\\x7fELF\\x%02x\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\x%02x\\x%02x:"
        "\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x00\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff\\xff\\xff:%s:FP",
        name, elf_class, machine & 0xff, machine >> 8, self);
    int fd = open("/proc/sys/fs/binfmt_misc/register", O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, line, strlen(line)) == (ssize_t)strlen(line);
    if (fd >= 0)
        close(fd);
    if (!ok)
        return complain("cannot register %s: %m (root is needed, and binfmt_misc mounted at /proc/sys/fs/binfmt_misc)", name);
    printf("%s programs now start with %s\n", name, self);
    return 0;
}

static int register_all(const char *self)
{
    static const struct { unsigned machine, elf_class; } foreign[] = { { 183, 2 }, { 243, 2 } };
    int status = 0, known = 0;
    for (unsigned n = 0; n < G_N_ELEMENTS(foreign); n++) {
        const char *name = user_guest_name(foreign[n].machine, foreign[n].elf_class);
        if (!name)
            continue;
        known++;
        status |= register_one(name, foreign[n].machine, foreign[n].elf_class, self);
    }
    return known ? status : complain("there is no foreign guest in this build to register");
}

static void log_line(void *opaque, const char *line)
{
    fprintf(opaque, "%s\n", line);
    fflush(opaque);
}

/* False: said why. */
static bool open_log(Cmd *c)
{
    FILE *f = stderr;
    g_autoptr(GError) err = NULL;
    if (c->log_file) {
        int fd = open(c->log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666), high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, LOG_FD);
        if (high >= 0)
            close(fd);         /* the guest counts on the lowest numbers */
        f = fdopen(high < 0 ? fd : high, "a");
        if (fd < 0 || !f)
            return complain("-D: cannot write '%s': %m", c->log_file), false;
    }
    if (!c->log_items)
        return true;
    c->o.log = log_new(log_line, f);
    return log_set_items(c->o.log, c->log_items, &err) || (complain("-d: %s", err->message), false);
}

int main(int argc, char **argv)
{
    Cmd c = { .status = -1, .env = g_get_environ() };
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    g_strlcpy(self + MAX(n, 0), "", sizeof(self) - (size_t)MAX(n, 0));
    c.o.self = self;
    c.o.self_args = (char *const *)c.self_args;
    int at = 1;
    if (getauxval(AT_FLAGS) & AUX_PRESERVE_ARGV0 && argc > 2) {   /* by binfmt_misc's flag P: path, then argv[0] */
        c.o.argv0 = argv[2];
        argv[2] = argv[1];
        at = 2;
    } else {
        at = parse(&c, argc, argv);
    }
    if (c.status >= 0)
        return c.status;
    if (c.do_register)
        return register_all(self);
    if (at >= argc)
        return complain("which program? (usage: tandem-user [OPTIONS] PROGRAM [ARGUMENTS])");
    if (!open_log(&c))
        return 1;
    GError *err = NULL;
    int status = 1;
    user_run(&c.o, argv[at], argv + at, c.env, &status, &err);
    complain("%s", err ? err->message : "cannot start");
    return status;
}
