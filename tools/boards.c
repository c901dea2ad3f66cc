/* Which guest CPU and which machine: -arch, the program's name, or what the kernel image says. */
#include <elf.h>
#include <string.h>
#include <zlib.h>

#include "tools/keys.h"
#include "tools/setup.h"
#include "util/bits.h"

/*
 * ELF by e_machine; Linux "Image" files, packed or not, by their magic at byte 56 (Linux Documentation/riscv/boot-image-header.rst,
 * arch/arm64/booting.rst).
 */
static const char *arch_of_image(const char *path)
{
    uint8_t h[64] = { 0 };
    gzFile f = path ? gzopen(path, "rbe") : NULL;
    int n = f ? gzread(f, h, sizeof(h)) : 0;
    if (f)
        gzclose(f);
    if (n < (int)sizeof(h))
        return NULL;
    if (!memcmp(h, ELFMAG, SELFMAG))
        return load_le16(h + 18) == EM_RISCV ? "riscv64" : load_le16(h + 18) == EM_AARCH64 ? "aarch64" : NULL;
    return !memcmp(h + 56, "RSC\x05", 4) ? "riscv64" : !memcmp(h + 56, "ARM\x64", 4) ? "aarch64" : NULL;
}

static bool check_options(const Board *b, const GPtrArray *options, GError **err)
{
    for (unsigned i = 0; i < options->len; i++) {
        const char *given = g_ptr_array_index(options, i);
        size_t n = strcspn(given, "=");
        const char *const *known = b->options;
        while (known && *known && (strlen(*known) != n || strncmp(*known, given, n)))
            known++;
        if (!known || !*known)
            return opt_fail(err, "the %s %s machine has no option '%.*s'", b->arch, b->machine, (int)n, given);
    }
    return true;
}

bool tandem_choose_board(Tandem *t, GError **err)
{
    TandemOptions *o = &t->o;
    const char *arch = o->arch;
    if (!strcmp(o->machine, "none"))
        return true;
    if (!arch && (!o->machine_given || strcmp(o->machine, "pc")))
        arch = arch_of_image(o->kernel);
    if (!arch)
        arch = "x86_64";
    for (const Board *const *b = board_registry; *b; b++) {
        bool same = !strcmp((*b)->arch, arch);
        if (!same || (o->machine_given && strcmp((*b)->machine, o->machine)))
            continue;
        t->board = *b;
        g_free(o->machine);
        o->machine = g_strdup((*b)->machine);
        if (o->max_vcpus > (*b)->max_vcpus)
            return opt_fail(err, "the %s %s machine has at most %u CPUs", arch, (*b)->machine, (*b)->max_vcpus);
        if (o->serials->len > (*b)->max_serials)
            return opt_fail(err, "the %s %s machine has at most %u serial ports, -serial is given %u times", arch, (*b)->machine, (*b)->max_serials,
                            o->serials->len);
        return check_options(*b, o->machine_options, err);
    }
    g_autoptr(GString) have = g_string_new(NULL);
    for (const Board *const *b = board_registry; *b; b++)
        g_string_append_printf(have, "%s%s (-arch %s)", have->len ? ", " : "", (*b)->machine, (*b)->arch);
    return o->machine_given ? opt_fail(err, "there is no machine '%s' for -arch %s; there are %s", o->machine, arch, have->str)
                            : opt_fail(err, "there is no -arch %s; there are %s", arch, have->str);
}

char *tandem_board_help(void)
{
    GString *s = g_string_new(NULL);
    for (const Board *const *b = board_registry; *b; b++)
        g_string_append_printf(s, "%-6s %s (-arch %s)\n", (*b)->machine, (*b)->summary, (*b)->arch);
    g_string_append(s, "none   nothing\n");
    return g_string_free(s, false);
}
