/*
 * Guest code: whatever it is, the translator comes back after the asked number of instructions. The first byte chooses mode and back end, the rest is
 * code at 1000h, behind it tables that are all there is of the system: faults run through them, or shut the processor down.
 */
#include <glib.h>
#include <string.h>

#include "cpu/x86/cpuid.h"
#include "tcg/guest/x86/x86.h"
#include "tcg/tcg.h"
#include "tests/fuzz/bare.h"
#include "tests/fuzz/fuzz.h"

enum { CODE = 0x1000, CODE_MAX = 0x800, PT = 0x10000, GDT = 0x8000, IDT = 0x9000, STUBS = 0xa000, TSS = 0xb000, STEPS = 400 };

typedef struct Fuzz {
    uint8_t ram[FUZZ_RAM];
    X86CpuModel *model;
    TcgContext *ctx[2];
    TcgCpu *cpu[2];
    X86State *state[2];
    uint64_t tsc;
} Fuzz;

static bool cb_sysreg_read(void *o, uint32_t reg, uint64_t *ret) { *ret = 0; return reg == 0x10000000; }
static bool cb_sysreg_write(void *o, uint32_t reg, uint64_t v) { return reg == 0x10000000; }
static uint64_t cb_time(void *o) { return ((Fuzz *)o)->tsc += 1000; }
static const TcgCallbacks callbacks = { FUZZ_CALLBACKS, .sysreg_read = cb_sysreg_read, .sysreg_write = cb_sysreg_write, .time_counter = cb_time };

static void put(Fuzz *f, unsigned at, uint64_t v) { memcpy(f->ram + at, &v, 8); }

static Fuzz *fuzz_new(void)
{
    Fuzz *f = g_aligned_alloc0(1, sizeof(*f), 4096);
    X86Features feat = x86_features_tcg();
    f->model = x86_model_new("max", &feat, NULL, NULL);
    for (unsigned i = 0; i < 2; i++) {
        TcgConfig config = { .cache_size = 16 << 20, .tier = i ? TCG_TIER_INTERP : TCG_TIER_AUTO };
        f->ctx[i] = tcg_new(&config, NULL);
        f->state[i] = g_aligned_alloc0(1, sizeof(X86State), 64);
        x86_state_reset(f->state[i], false, true);
        f->state[i]->model = f->model;
        f->cpu[i] = tcg_cpu_new(f->ctx[i], &x86_isa, f->state[i], &callbacks, f);
    }
    return f;
}

static void tables(Fuzz *f, bool wide)
{
    put(f, PT, PT + 0x1007);
    put(f, PT + 0x1000, PT + 0x2007);
    put(f, PT + 0x2000, 0x87);                             /* 2 MiB, of which RAM is a part */
    static const uint64_t gdt[] = { 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff, 0x00cffb000000ffff, 0x00cff3000000ffff, 0x00affb000000ffff,
                                    0x0000890000000067 | (uint64_t)TSS << 16, 0, 0x00009b000000ffff, 0x000093000000ffff };
    memcpy(f->ram + GDT, gdt, sizeof(gdt));
    for (unsigned v = 0; v < 256; v++) {
        unsigned at = STUBS + 4 * (v & 31);
        if (wide) {
            put(f, IDT + 16 * v, (at & 0xffff) | 0x18 << 16 | 0xee0000000000ull);
            put(f, IDT + 16 * v + 8, 0);
        } else {
            put(f, IDT + 8 * v, (at & 0xffff) | 8 << 16 | 0xee0000000000ull);
        }
    }
    memset(f->ram + STUBS, 0x90, 256);
    memcpy(f->ram + STUBS + 256, "\x58\xcf", 2);            /* pop, iret: into whatever is there */
    put(f, TSS + 4, 0x7000);
    for (unsigned v = 0; v < 256; v++)                     /* real mode's vectors */
        memcpy(f->ram + 4 * v, (uint16_t[2]){ STUBS, 0 }, 4);
}

static X86Seg seg(uint16_t sel, uint32_t attr) { return (X86Seg){ .sel = sel, .limit = 0xffffffff, .attr = attr }; }

static void enter(X86State *s, unsigned mode)
{
    const X86CpuModel *model = s->model;
    bool user = mode & 4;
    x86_state_reset(s, false, true);
    s->model = model;
    s->rip = CODE;
    s->seg[X86_CS] = (X86Seg){ .limit = 0xffff, .attr = 0x9b };
    for (unsigned i = 0; i < 8; i++)
        s->gpr[i] = 0x20000 + 0x1000 * i;
    s->gpr[X86_RSP] = 0x6800;
    s->xcr0 = 7;
    s->cr4 = X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_OSXSAVE | X86_CR4_DE;
    if ((mode & 3) == 0)
        return;
    bool wide = (mode & 3) >= 2;
    s->gdt = (X86Dtr){ .base = GDT, .limit = 11 * 8 - 1 };
    s->idt = (X86Dtr){ .base = IDT, .limit = 0xfff };
    s->seg[X86_TR] = (X86Seg){ .sel = 0x38, .base = TSS, .limit = 0x67, .attr = 0x8b };
    s->cr0 = 0x33 | (wide || mode & 8 ? 0x80010000 : 0);
    s->cr3 = PT;
    s->cr4 |= X86_CR4_PAE | X86_CR4_PSE;
    if (wide)
        s->msr.efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_SCE | X86_EFER_NXE;
    else if (mode & 8)
        s->cr4 &= ~(uint64_t)X86_CR4_PAE;
    unsigned cs = wide ? (mode & 3) == 3 ? 0x18 : 8 : 8;
    for (unsigned i = 0; i < X86_LDTR; i++)
        s->seg[i] = user ? seg(0x2b, 0xc0f3) : seg(0x10, 0xc093);
    s->seg[X86_CS] = user ? seg(cs == 0x18 ? 0x33 : 0x23, cs == 0x18 ? 0xa0fb : 0xc0fb) : seg((uint16_t)cs, cs == 0x18 ? 0xa09b : 0xc09b);
    s->cpl = user ? 3 : 0;
    s->ev.tlb_flush_pending = 1;
}

static void run(Fuzz *f, unsigned which, unsigned mode, const uint8_t *code, size_t size)
{
    memset(f->ram, 0, sizeof(f->ram));
    tables(f, (mode & 3) >= 2);
    memcpy(f->ram + CODE, code, MIN(size, CODE_MAX));
    tcg_flush_code(f->ctx[which]);
    enter(f->state[which], mode);
    /* Every reason to leave but this is allowed to come again: the rest of the steps is tried. */
    for (unsigned n = 0; n < 4; n++)
        if (tcg_cpu_run(f->cpu[which], STEPS) != TCG_LEAVE_KICKED)
            break;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static Fuzz *f;
    if (!f)
        f = fuzz_new();
    if (size > 1)
        run(f, data[0] >> 7, data[0] & 15, data + 1, size - 1);
    return 0;
}
