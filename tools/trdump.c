/*
 * trdump: what the translator makes of some instructions. Decodes bytes, prints the IR before and after the passes and the
 * host code. Nothing is executed.
 *
 *   trdump [-m 16|32|64] [-c CPL] [-p PC] HEX...        e.g. trdump -m 64 4801d8 7402 c3
 *   trdump -a aarch64 [-p PC] WORD...                   e.g. trdump -a aarch64 d2800020 d65f03c0
 *   trdump -a riscv64 [-r] [-p PC] WORD|HALFWORD...     e.g. trdump -a riscv64 -r 00e7b023 07a1 fef61ce3; -r: as a region
 */
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/aarch64/state.h"
#include "cpu/riscv/state.h"
#include "tcg/guest/aarch64/guest.h"
#include "tcg/guest/riscv/guest.h"
#include "tcg/guest/x86/x86.h"

enum { RAM_SIZE = 1 << 20, TABLES = 0x1000, CODE = 0x8000 };

typedef struct Dump {
    uint8_t *ram;
    TcgCpu *cpu;
    unsigned n;                /* bytes of code */
    unsigned mode;             /* 16, 32, 64 */
    unsigned cpl;
    gboolean region;
    uint64_t key, pc;
} Dump;

typedef struct Arch { const char *name; const GuestIsa *isa; void (*set_state)(void *state, Dump *d); bool words; } Arch;

/* ---- the world around: some RAM, the first translation ends it ---- */
static uint8_t *page(void *opaque, uint64_t gpa, unsigned *ret_flags)
{
    Dump *d = opaque;
    *ret_flags = 0;
    return gpa < RAM_SIZE ? d->ram + gpa : NULL;
}

static void page_code(void *opaque, uint64_t gpa, bool armed)
{
    Dump *d = opaque;
    if (armed)
        tcg_cpu_kick(d->cpu);
}

static uint64_t no_read(void *opaque, uint64_t at, unsigned size) { return ~0ull; }
static void no_write(void *opaque, uint64_t at, uint64_t value, unsigned size) { }
static uint64_t no_in(void *opaque, uint16_t port, unsigned size) { return ~0ull; }
static void no_out(void *opaque, uint16_t port, uint64_t value, unsigned size) { }
static bool no_irq(void *opaque) { return false; }
static int no_ack(void *opaque) { return -1; }
static uint64_t no_time(void *opaque) { return 0; }
static const TcgCallbacks callbacks = { .page = page, .page_code = page_code, .io_read = no_read, .io_write = no_write, .port_in = no_in,
                                        .port_out = no_out, .irq_pending = no_irq, .irq_ack = no_ack, .time_counter = no_time };

/* ---- output ---- */
static void print_code(const GuestIsa *isa, const uint8_t *p, unsigned n, uint64_t mode, uint64_t pc)
{
    char text[160];
    for (unsigned off = 0; off < n;) {
        unsigned len = (unsigned)isa->disas(p + off, n - off, mode, pc + off, text, sizeof(text));
        len = MIN(len, n - off);
        printf("  %8llx  ", (unsigned long long)(pc + off));
        for (unsigned k = 0; k < 10; k++)
            k < len ? printf("%02x", p[off + k]) : printf("  ");
        printf("  %s\n", text);
        off += len;
    }
}

static unsigned from_hex(const char *s, uint8_t *buf, unsigned size)
{
    unsigned n = 0;
    for (; g_ascii_isxdigit(s[0]) && g_ascii_isxdigit(s[1]) && n < size; s += 2)
        buf[n++] = (uint8_t)(g_ascii_xdigit_value(s[0]) << 4 | g_ascii_xdigit_value(s[1]));
    return n;
}

/* The host's code comes as one line of hexadecimal; it is x86-64, which we can read. */
static void line(void *opaque, const char *text)
{
    const char *hex = strstr(text, "bytes: ");
    static const char *const key = "---- out_asm";
    if (strncmp(text, key, strlen(key)) || !hex) {
        printf("%s\n", text);
        return;
    }
    uint8_t *buf = g_malloc(1 << 16);
    unsigned n = from_hex(hex + 7, buf, 1 << 16);
    printf("---- host code, %u bytes\n", n);
    print_code(&x86_isa, buf, n, X86M_CODE64 | X86M_PE | X86M_FLAT | X86M_LMA, 0);
    g_free(buf);
}

/* ---- set-up ---- */
static void set_x86(void *state, Dump *d)
{
    X86State *s = state;
    unsigned cpl = d->cpl;
    bool flat = d->mode != 16;
    x86_state_reset(s, false, true);
    s->cpl = cpl;
    s->rip = d->pc;
    s->cr4 = X86_CR4_OSFXSR | X86_CR4_OSXSAVE;
    s->xcr0 = 7;
    for (int n = 0; n < X86_LDTR; n++)
        s->seg[n] = flat ? (X86Seg){ .limit = 0xffffffff, .attr = 0xc093 | cpl << 5 } : (X86Seg){ .limit = 0xffff, .attr = 0x93 };
    s->cr0 = X86_CR0_ET | X86_CR0_NE | (flat ? X86_CR0_PE : 0);
    if (flat)
        s->seg[X86_CS].attr = (d->mode == 64 ? 0xa09b : 0xc09b) | cpl << 5;
    if (d->mode != 64)
        return;
    uint64_t tables[3] = { (TABLES + 0x1000) | 7, (TABLES + 0x2000) | 7, 0x87 };
    for (unsigned n = 0; n < 3; n++)
        memcpy(d->ram + TABLES + 0x1000 * n, &tables[n], 8);
    s->cr0 |= X86_CR0_PG;
    s->cr3 = TABLES;
    s->cr4 |= X86_CR4_PAE;
    s->msr.efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_SCE;
}

static void set_a64(void *state, Dump *d)
{
    A64State *s = state;
    a64_state_reset(s, A64_EL1, 0);
    s->cpacr = 3 << 20;
    s->pc = d->pc;
}

static void set_riscv(void *state, Dump *d)
{
    RiscvState *s = state;
    riscv_state_reset(s, 0);
    s->mstatus |= RISCV_FS;
    s->pc = d->pc;
}

static const Arch archs[] = { { "x86_64", &x86_isa, set_x86, false }, { "aarch64", &a64_isa, set_a64, true }, { "riscv64", &riscv_isa, set_riscv, true } };

static int dump(Dump *d, const Arch *arch)
{
    GError *err = NULL;
    Log *log = log_new(line, d);
    TcgConfig config = { .log = log, .cache_size = 16 << 20, .tier = d->region ? TCG_TIER_2 : TCG_TIER_AUTO };
    TcgContext *ctx = tcg_new(&config, &err);
    if (!ctx) {
        fprintf(stderr, "trdump: %s\n", err->message);
        return 1;
    }
    log_set_items(log, "op,op_opt,out_asm", NULL);
    void *s = g_aligned_alloc0(1, arch->isa->state_size, 64);
    arch->set_state(s, d);
    d->key = arch->isa->mode(s);
    printf("---- %s, mode key %#llx\n", arch->name, (unsigned long long)d->key);
    print_code(arch->isa, d->ram + d->pc, d->n, d->key, d->pc);
    d->cpu = tcg_cpu_new(ctx, arch->isa, s, &callbacks, d);
    tcg_cpu_run(d->cpu, 0);
    tcg_cpu_free(d->cpu);
    tcg_free(ctx);
    log_free(log);
    g_aligned_free(s);
    return 0;
}

static const Arch *find_arch(const char *name)
{
    for (unsigned n = 0; n < G_N_ELEMENTS(archs); n++)
        if (!strcmp(archs[n].name, name))
            return &archs[n];
    return NULL;
}

/* The bytes of one argument, behind what is there. */
static bool add_code(Dump *d, const Arch *arch, const char *hex)
{
    uint8_t *p = d->ram + d->pc + d->n;
    unsigned n = from_hex(hex, p, 4096 - d->n);
    if (n * 2 != strlen(hex) || (arch->words && n != 4 && (n != 2 || arch->isa != &riscv_isa)))
        return false;
    if (arch->words)
        for (unsigned k = 0; k < n / 2; k++) {
            uint8_t b = p[k];
            p[k] = p[n - 1 - k];
            p[n - 1 - k] = b;
        }
    d->n += n;
    return true;
}

int main(int argc, char **argv)
{
    int mode = 64, cpl = 0;
    gchar *arch_name = NULL;
    gint64 pc = CODE;
    gboolean region = FALSE;
    GError *err = NULL;
    GOptionEntry options[] = { { "arch", 'a', 0, G_OPTION_ARG_STRING, &arch_name, "guest CPU; aarch64 and riscv64 take words as objdump prints them", "x86_64|aarch64|riscv64" }, { "mode", 'm', 0, G_OPTION_ARG_INT, &mode, "code width: 16, 32 or 64", "BITS" },
                               { "region", 'r', 0, G_OPTION_ARG_NONE, &region, "as a region: jumps followed, loops unrolled", NULL },
                               { "cpl", 'c', 0, G_OPTION_ARG_INT, &cpl, "privilege level", "0..3" },
                               { "pc", 'p', 0, G_OPTION_ARG_INT64, &pc, "address of the first byte, 0x4000..0xf0000", "PC" }, { NULL } };
    GOptionContext *oc = g_option_context_new("HEX...");
    g_option_context_set_summary(oc, "Show what the translator makes of some instructions; nothing is executed.");
    g_option_context_add_main_entries(oc, options, NULL);
    bool ok = g_option_context_parse(oc, &argc, &argv, &err);
    g_option_context_free(oc);
    if (!ok || argc < 2 || (mode != 16 && mode != 32 && mode != 64) || cpl < 0 || cpl > 3 || pc < 0x4000 || pc >= (mode == 16 ? 0xf000 : 0xf0000)) {
        fprintf(stderr, "trdump: %s\n", err ? err->message : "wants hexadecimal bytes, a mode of 16, 32 or 64, CPL 0 to 3, PC 0x4000 to 0xf0000; try --help");
        return 1;
    }
    const Arch *arch = find_arch(arch_name ? arch_name : "x86_64");
    if (!arch) {
        fprintf(stderr, "trdump: '%s' is no guest CPU of this program; there are x86_64, aarch64 and riscv64\n", arch_name);
        return 1;
    }
    g_free(arch_name);
    Dump d = { .mode = (unsigned)mode, .cpl = (unsigned)cpl, .pc = (uint64_t)pc, .region = region, .ram = g_malloc(RAM_SIZE) };
    memset(d.ram, 0xcc, RAM_SIZE);
    memset(d.ram + TABLES, 0, 0x3000);
    for (int k = 1; k < argc; k++)
        if (!add_code(&d, arch, argv[k])) {
            fprintf(stderr, "trdump: '%s' is not a row of hexadecimal bytes (aarch64, riscv64: a word), or there are too many\n", argv[k]);
            return 1;
        }
    int r = dump(&d, arch);
    g_free(d.ram);
    return r;
}
