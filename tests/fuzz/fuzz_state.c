/*
 * A processor's saved state, damaged: it is refused, or the translator runs on from it for a while. The first byte chooses the CPU and the back end, the
 * second the number of changes (place in the stream, two bytes, and value); the rest is code at 1000h.
 */
#include <glib.h>
#include <string.h>

#include "cpu/x86/cpuid.h"
#include "cpu/x86/state.h"
#include "hw/board/aarch64-cpu.h"
#include "hw/board/board.h"
#include "hw/board/pc.h"
#include "tcg/guest/aarch64/guest.h"
#include "tcg/guest/riscv/guest.h"
#include "tcg/guest/x86/guest.h"
#include "tcg/tcg.h"
#include "tests/fuzz/bare.h"
#include "tests/fuzz/fuzz.h"

enum { CODE = 0x1000, CODE_MAX = 0x800, STEPS = 300, CPUS = 3 };
extern const Board board_virt_riscv64;

typedef struct Cpu { const CpuType *type; const GuestIsa *isa; TcgContext *ctx[2]; TcgCpu *cpu[2]; void *state[2]; } Cpu;
typedef struct Fuzz { uint8_t ram[FUZZ_RAM]; Cpu c[CPUS]; X86CpuModel *model; } Fuzz;

static bool cb_sysreg_read(void *o, uint32_t reg, uint64_t *ret) { *ret = 0; return reg & 1; }
static bool cb_sysreg_write(void *o, uint32_t reg, uint64_t v) { return reg & 1; }
static uint64_t cb_time(void *o) { return 0; }
static const TcgCallbacks callbacks = { FUZZ_CALLBACKS, .sysreg_read = cb_sysreg_read, .sysreg_write = cb_sysreg_write, .time_counter = cb_time };

static void cpu_new(Fuzz *f, unsigned n, const CpuType *type, const GuestIsa *isa)
{
    Cpu *c = &f->c[n];
    *c = (Cpu){ .type = type, .isa = isa };
    for (unsigned i = 0; i < 2; i++) {
        TcgConfig config = { .cache_size = 16 << 20, .tier = i ? TCG_TIER_INTERP : TCG_TIER_AUTO };
        c->ctx[i] = tcg_new(&config, NULL);
        c->state[i] = g_aligned_alloc0(1, type->state_size, 64);
        type->reset(c->state[i], 0, false);
        if (isa == &x86_isa)
            ((X86State *)c->state[i])->model = f->model;
        c->cpu[i] = tcg_cpu_new(c->ctx[i], isa, c->state[i], &callbacks, f);
    }
}

static Fuzz *fuzz_new(void)
{
    Fuzz *f = g_aligned_alloc0(1, sizeof(*f), 4096);
    X86Features feat = x86_features_tcg();
    f->model = x86_model_new("max", &feat, NULL, NULL);
    x86_model_finish(f->model);
    cpu_new(f, 0, &pc_cpu_type, &x86_isa);
    cpu_new(f, 1, &aarch64_cpu_type, &a64_isa);
    cpu_new(f, 2, board_virt_riscv64.cpu, &riscv_isa);
    return f;
}

/* Real mode and machine modes: the code is where the damage left the pc, else at CODE. */
static void start(const Cpu *c, void *state)
{
    c->type->reset(state, 0, false);
    if (c->isa != &x86_isa) {
        *(uint64_t *)((uint8_t *)state + c->isa->pc_offset) = CODE;
        return;
    }
    X86State *s = state;
    s->rip = CODE;
    s->seg[X86_CS].base = 0;
    s->seg[X86_CS].sel = 0;
}

static bool load(const Cpu *c, void *state, const uint8_t **p, size_t *size)
{
    g_autoptr(GByteArray) a = g_byte_array_new();
    GError *err = NULL;
    fields_save(c->type->state_fields, state, a);
    for (unsigned n = *(*p)++ % 16; (--*size, n > 0) && *size >= 3; n--, *p += 3, *size -= 2)
        a->data[((*p)[0] | (unsigned)(*p)[1] << 8) % a->len] = (*p)[2];
    bool ok = fields_load(c->type->state_fields, state, 1, a->data, a->len, &err) && (!c->type->post_load || c->type->post_load(state, &err));
    g_assert(ok == !err);
    g_clear_error(&err);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static Fuzz *f;
    if (!f)
        f = fuzz_new();
    if (size < 8)
        return 0;
    Cpu *c = &f->c[data[0] % CPUS];
    unsigned which = data[0] >> 7;
    const uint8_t *p = data + 1;
    size_t left = size - 1;
    memset(f->ram, 0, sizeof(f->ram));
    start(c, c->state[which]);
    if (!load(c, c->state[which], &p, &left))
        return 0;
    memcpy(f->ram + CODE, p, MIN((size_t)(data + size - p), (size_t)CODE_MAX));
    tcg_flush_code(c->ctx[which]);
    for (unsigned n = 0; n < 4; n++)
        if (tcg_cpu_run(c->cpu[which], STEPS) != TCG_LEAVE_KICKED)
            break;
    return 0;
}
