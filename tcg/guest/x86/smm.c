#include "tcg/guest/x86/sys.h"
#include "cpu/x86/cpuid.h"

/*
 * System management mode: the 64-bit state-save map of AMD APM 2 table 10-1 (revision 0x20064, SMBASE relocation), which firmware knows
 * from every virtual machine. Memory is reached by physical address; the board shows SMRAM while ev.smm is set, so everything
 * cached of memory goes on the way in and out.
 */

enum { S_SEG = 0xfe00, S_GDTR = 0xfe60, S_LDTR = 0xfe70, S_IDTR = 0xfe80, S_TR = 0xfe90, S_IO_RESTART = 0xfec8, S_HALT = 0xfec9, S_NMI = 0xfeca,
       S_CPL = 0xfecb, S_EFER = 0xfed0, S_REV = 0xfefc, S_SMBASE = 0xff00, S_CR4 = 0xff48, S_CR3 = 0xff50, S_CR0 = 0xff58, S_DR7 = 0xff60,
       S_DR6 = 0xff68, S_RFLAGS = 0xff70, S_RIP = 0xff78, S_GPR = 0xff80 };
enum { SMM_REVISION = 0x20064 };

static void put(X86State *s, unsigned at, unsigned size, uint64_t v)
{
    tcg_phys_store(x86_cpu(s), s->msr.smbase + at, size, v);
}

static uint64_t get(X86State *s, unsigned at, unsigned size)
{
    uint64_t v;
    return tcg_phys_load(x86_cpu(s), s->msr.smbase + at, size, &v) ? v : 0;
}

static unsigned seg_at(unsigned i)
{
    return i == X86_LDTR ? S_LDTR : i == X86_TR ? S_TR : S_SEG + 16 * i;
}

static void put_seg(X86State *s, unsigned i)
{
    const X86Seg *g = &s->seg[i];
    unsigned at = seg_at(i);
    /* Rights as in the descriptor's second word from bit 8 on; bits 8 to 11, the limit's there, are 0. So Debian's QEMU and KVM save them. */
    uint32_t attr = g->attr & X86_SEG_UNUSABLE ? g->attr & 0x60 : g->attr & 0xf0ff;
    put(s, at, 2, g->sel);
    put(s, at + 2, 2, attr);
    put(s, at + 4, 4, g->limit);
    put(s, at + 8, 8, g->base);
}

static void get_seg(X86State *s, unsigned i)
{
    unsigned at = seg_at(i);
    uint32_t attr = (uint32_t)get(s, at + 2, 2);
    X86Seg g = { .sel = (uint16_t)get(s, at, 2), .limit = (uint32_t)get(s, at + 4, 4), .base = get(s, at + 8, 8) };

    g.attr = attr & 0xf0ff;
    if (!(attr & X86_SEG_P))
        g.attr = X86_SEG_UNUSABLE | (attr & 0x60);
    s->seg[i] = g;
}

static void save(X86State *s, bool halted)
{
    for (unsigned i = 0; i < X86_SEGS; i++)
        put_seg(s, i);
    put(s, S_GDTR + 4, 4, s->gdt.limit);
    put(s, S_GDTR + 8, 8, s->gdt.base);
    put(s, S_IDTR + 4, 4, s->idt.limit);
    put(s, S_IDTR + 8, 8, s->idt.base);
    put(s, S_IO_RESTART, 1, 0);
    put(s, S_HALT, 1, halted);
    put(s, S_NMI, 1, s->ev.nmi_masked);
    put(s, S_CPL, 1, s->cpl);
    put(s, S_EFER, 8, s->msr.efer);
    put(s, S_REV, 4, SMM_REVISION);
    put(s, S_SMBASE, 4, s->msr.smbase);
    put(s, S_CR4, 8, s->cr4);
    put(s, S_CR3, 8, s->cr3);
    put(s, S_CR0, 8, s->cr0);
    put(s, S_DR7, 8, s->dr[7]);
    put(s, S_DR6, 8, s->dr[6]);
    put(s, S_RFLAGS, 8, x86_rflags(s));
    put(s, S_RIP, 8, s->rip);
    for (unsigned i = 0; i < 16; i++)
        put(s, S_GPR + 8 * (15 - i), 8, s->gpr[i]);
}

static void enter_registers(X86State *s)
{
    for (unsigned i = 0; i < X86_LDTR; i++)
        s->seg[i] = (X86Seg){ .limit = 0xffffffff, .attr = X86_SEG_P | X86_SEG_S | X86_SEG_G | 3 };
    s->seg[X86_CS].sel = (uint16_t)(s->msr.smbase >> 4);
    s->seg[X86_CS].base = s->msr.smbase;
    s->cr0 &= ~(uint64_t)(X86_CR0_PE | X86_CR0_EM | X86_CR0_TS | X86_CR0_PG);
    s->cr4 = 0;
    s->msr.efer = 0;
    s->dr[7] = 0x400;
    x86_set_rflags(s, 2);
    s->rip = 0x8000;
    s->cpl = 0;
}

void x86_smm_enter(X86State *s)
{
    bool halted = s->ev.mp_state == X86_MP_HALTED;

    s->ev.mp_state = X86_MP_RUNNABLE;
    s->ev.smm = 1;
    tcg_flush_all(x86_cpu(s));
    save(s, halted);
    s->ev.smm_inside_nmi = s->ev.nmi_masked;
    s->ev.nmi_masked = 1;
    s->ev.int_shadow = 0;
    s->msr.smi_count++;
    enter_registers(s);
    x86_space_sync(s);
}

/* A state no processor accepts shuts down (SDM 3C 32.4.2 RSM). */
static bool state_ok(const X86State *s, uint64_t cr0, uint64_t cr4, uint64_t efer)
{
    bool pg = cr0 & X86_CR0_PG, pe = cr0 & X86_CR0_PE;
    bool long_mode = efer & X86_EFER_LME && pg;

    return !(cr0 >> 32) && (pe || !pg) && !(cr0 & X86_CR0_NW && !(cr0 & X86_CR0_CD)) && !(cr4 & ~x86_model_cr4_mask(s->model)) &&
           !(efer & ~x86_efer_mask(s)) && !(long_mode && !(cr4 & X86_CR4_PAE)) && (!(efer & X86_EFER_LMA) || long_mode);
}

static void restore(X86State *s, uint64_t cr0, uint64_t cr4, uint64_t efer)
{
    for (unsigned i = 0; i < X86_SEGS; i++)
        get_seg(s, i);
    s->gdt = (X86Dtr){ .base = get(s, S_GDTR + 8, 8), .limit = (uint16_t)get(s, S_GDTR + 4, 4) };
    s->idt = (X86Dtr){ .base = get(s, S_IDTR + 8, 8), .limit = (uint16_t)get(s, S_IDTR + 4, 4) };
    s->cr0 = cr0 | X86_CR0_ET;
    s->cr4 = cr4;
    s->cr3 = get(s, S_CR3, 8);
    s->msr.efer = efer & ~(uint64_t)X86_EFER_LMA;
    if (cr0 & X86_CR0_PG && efer & X86_EFER_LME)
        s->msr.efer |= X86_EFER_LMA;
    s->dr[7] = (get(s, S_DR7, 8) & 0xffff2fff) | 0x400;
    s->dr[6] = (get(s, S_DR6, 8) & 0xe00f) | 0xffff0ff0;
    x86_set_rflags(s, (get(s, S_RFLAGS, 8) & 0x3f7fd7) | 2);
    s->rip = get(s, S_RIP, 8);
    for (unsigned i = 0; i < 16; i++)
        s->gpr[i] = get(s, S_GPR + 8 * (15 - i), 8);
    s->cpl = !x86_pe(s) ? 0 : x86_vm86(s) ? 3 : X86_SEG_DPL(&s->seg[X86_SS]);
}

uint64_t x86_h_rsm(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;

    if (!s->ev.smm)
        x86_raise(s, X86_UD);
    uint64_t cr0 = get(s, S_CR0, 8), cr4 = get(s, S_CR4, 8), efer = get(s, S_EFER, 8);
    if (!state_ok(s, cr0, cr4, efer)) {
        tcg_sync_pc(x86_cpu(s));
        s->ev.triple_fault = 1;
        tcg_leave_with(x86_cpu(s), TCG_LEAVE_SHUTDOWN);
    }
    bool halted = get(s, S_HALT, 1) & 1;
    uint64_t smbase = get(s, S_SMBASE, 4);
    restore(s, cr0, cr4, efer);
    s->msr.smbase = smbase;
    s->ev.nmi_masked = s->ev.smm_inside_nmi;
    s->ev.smm_inside_nmi = 0;
    s->ev.int_shadow = 0;
    s->ev.smm = 0;
    if (s->cr0 & X86_CR0_PG && s->cr4 & X86_CR4_PAE && !x86_lma(s))
        x86_load_pdptrs(s, s->cr3);
    x86_space_sync(s);
    if (halted) {
        s->ev.mp_state = X86_MP_HALTED;
        tcg_leave(x86_cpu(s));
    }
    x86_irq_recheck(s);
    return x86_linear_pc(s);
}
