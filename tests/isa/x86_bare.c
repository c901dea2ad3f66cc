/*
 * x86_bare ROM [STATS]: run a 64 KiB ROM image under the translator on nothing but RAM: 64 MiB, ROM at its two places, port 0xe9 prints,
 * port 0x2000 reads 0x77 (it is us), port 0xf4 ends with (value << 1 | 1) as QEMU's isa-debug-exit does, 0x2001 raises the interrupt whose vector was written, 0x2002 an NMI,
 * 0x2003 an SMI. TCG_TIER=interp in the environment: on the reference back end; 1, 2: blocks only, regions at once.
 */
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/x86/cpuid.h"
#include "tcg/guest/x86/x86.h"
#include "tcg/tcg.h"

enum { RAM_SIZE = 64 << 20, ROM_SIZE = 65536 };

typedef struct Bare {
    uint8_t *ram;
    uint8_t *rom;
    X86State *s;
    TcgCpu *cpu;
    int exit_code;
    int irq;                   /* vector, or -1 */
    uint64_t tpr, tsc;
} Bare;

static uint8_t *cb_page(void *opaque, uint64_t gpa, unsigned *ret_flags)
{
    Bare *b = opaque;
    *ret_flags = 0;
    if (gpa >= 0xf0000 && gpa < 0x100000) {
        *ret_flags = TCG_PAGE_RO;
        return b->rom + (gpa - 0xf0000);
    }
    if (gpa >= 0xffff0000 && gpa < 0x100000000) {
        *ret_flags = TCG_PAGE_RO;
        return b->rom + (gpa - 0xffff0000);
    }
    return gpa < RAM_SIZE ? b->ram + gpa : NULL;
}

static void cb_page_code(void *opaque, uint64_t gpa, bool armed) { (void)opaque, (void)gpa, (void)armed; }
static void cb_page_written(void *opaque, uint64_t gpa, unsigned len) { (void)opaque, (void)gpa, (void)len; }
static uint64_t cb_io_read(void *opaque, uint64_t gpa, unsigned size) { (void)opaque, (void)gpa, (void)size; return ~0ull; }
static void cb_io_write(void *opaque, uint64_t gpa, uint64_t v, unsigned size) { (void)opaque, (void)gpa, (void)v, (void)size; }

static uint64_t cb_port_in(void *opaque, uint16_t port, unsigned size)
{
    (void)opaque, (void)size;
    return port == 0x2000 ? 0x77 : ~0ull;
}

static void cb_port_out(void *opaque, uint16_t port, uint64_t v, unsigned size)
{
    Bare *b = opaque;
    (void)size;
    switch (port) {
    case 0xe9:
        putchar((int)(v & 0xff));
        break;
    case 0xf4:
        b->exit_code = (int)((v & 0xff) << 1 | 1);
        tcg_cpu_kick(b->cpu);
        break;
    case 0x2001:
        b->irq = (int)(v & 0xff);
        tcg_cpu_poke(b->cpu);
        break;
    case 0x2002:
        b->s->ev.nmi_pending = 1;
        tcg_cpu_poke(b->cpu);
        break;
    case 0x2003:
        b->s->ev.smm_pending = 1;
        tcg_cpu_poke(b->cpu);
        break;
    }
}

static bool cb_sysreg_read(void *opaque, uint32_t reg, uint64_t *ret)
{
    Bare *b = opaque;
    *ret = reg == 0x10000000 ? b->tpr : reg == 0x1b ? 0xfee00900 : 0;
    return reg == 0x10000000 || reg == 0x10000001 || reg == 0x1b;
}

static bool cb_sysreg_write(void *opaque, uint32_t reg, uint64_t v)
{
    Bare *b = opaque;
    if (reg == 0x10000000)
        b->tpr = v;
    return reg == 0x10000000;
}

static bool cb_irq_pending(void *opaque) { return ((Bare *)opaque)->irq >= 0; }

static int cb_irq_ack(void *opaque)
{
    Bare *b = opaque;
    int v = b->irq;
    b->irq = -1;
    return v;
}

static uint64_t cb_time_counter(void *opaque)
{
    Bare *b = opaque;
    return (b->tsc += 1000) + (uint64_t)b->s->tsc_offset;
}

static const TcgCallbacks callbacks = {
    .page = cb_page, .page_code = cb_page_code, .page_written = cb_page_written, .io_read = cb_io_read, .io_write = cb_io_write,
    .port_in = cb_port_in, .port_out = cb_port_out, .sysreg_read = cb_sysreg_read, .sysreg_write = cb_sysreg_write,
    .irq_pending = cb_irq_pending, .irq_ack = cb_irq_ack, .time_counter = cb_time_counter,
};

static bool load_rom(Bare *b, const char *path)
{
    gchar *data;
    gsize len;
    if (!g_file_get_contents(path, &data, &len, NULL) || len != ROM_SIZE) {
        fprintf(stderr, "x86_bare: %s: not a ROM of 64 KiB\n", path);
        return false;
    }
    b->rom = g_aligned_alloc(1, ROM_SIZE, 4096);
    memcpy(b->rom, data, len);
    g_free(data);
    return true;
}

static void say(void *opaque, const char *line)
{
    (void)opaque;
    fprintf(stderr, "%s\n", line);
}

static void run(Bare *b, bool step)
{
    for (unsigned n = 0; b->exit_code < 0 && n < 200000000; n++) {
        TcgLeave why = tcg_cpu_run(b->cpu, step ? 1 : 0);
        if (why == TCG_LEAVE_SHUTDOWN || why == TCG_LEAVE_HALTED) {
            printf("%s at %04x:%llx\n", why == TCG_LEAVE_HALTED ? "halted" : "shutdown", b->s->seg[X86_CS].sel, (unsigned long long)b->s->rip);
            return;
        }
    }
}

int main(int argc, char **argv)
{
    Bare b = { .exit_code = -1, .irq = -1, .tsc = 1000000 };
    if (argc < 2 || !load_rom(&b, argv[1]))
        return 2;
    GError *err = NULL;
    setvbuf(stdout, NULL, _IOLBF, 0);
    const char *name = getenv("TCG_TIER");
    TcgTier tier = !name ? TCG_TIER_AUTO : *name == 'i' ? TCG_TIER_INTERP : *name == '1' ? TCG_TIER_1 : TCG_TIER_2;
    TcgConfig config = { .cache_size = 32 << 20, .log = log_new(say, NULL), .tier = tier };
    X86Features feat = x86_features_tcg();
    X86CpuModel *model = x86_model_new("max", &feat, NULL, &err);
    TcgContext *ctx = model ? tcg_new(&config, &err) : NULL;
    if (!ctx) {
        fprintf(stderr, "x86_bare: %s\n", err->message);
        return 2;
    }
    model->vendor = X86_VENDOR_AMD;
    if (argc > 2 && !strcmp(argv[2], "intel"))
        model->vendor = X86_VENDOR_INTEL;
    b.ram = g_aligned_alloc0(1, RAM_SIZE, 4096);
    b.s = g_aligned_alloc0(1, sizeof(X86State), 64);
    x86_state_reset(b.s, false, true);
    b.s->model = model;
    b.cpu = tcg_cpu_new(ctx, &x86_isa, b.s, &callbacks, &b);
    run(&b, argc > 2 && !strcmp(argv[2], "step"));
    fflush(stdout);
    tcg_cpu_free(b.cpu);
    tcg_free(ctx);
    log_free(config.log);
    x86_model_free(model);
    g_aligned_free(b.ram);
    g_aligned_free(b.rom);
    g_aligned_free(b.s);
    return b.exit_code == 1 ? 0 : 1;
}
