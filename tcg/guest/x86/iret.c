#include "tcg/guest/x86/sys.h"

/* IRET (SDM 2A; VM86: 3B 20.2.5), POPF, PUSHF, CLI, STI with all their conditions. */

/* Bits of RFLAGS that POPF and IRET may write at the current CPL (SDM 3A 5.8, POPF table 4-16). */
uint32_t x86_flags_writable(const X86State *s, unsigned size)
{
    uint32_t m = X86_ARITH | X86_TF | X86_DF | X86_NT;

    if (size > 2)
        m |= X86_AC | X86_ID;
    if (s->cpl == 0)
        m |= X86_IOPL;
    if (s->cpl <= x86_iopl(s))
        m |= X86_IF;
    return m;
}

static void write_flags(X86State *s, uint64_t v, uint32_t mask)
{
    uint64_t old = x86_rflags(s);
    /* RF has an effect, and is cleared by the next instruction, only with breakpoints enabled. */
    if (!x86_dr_enabled(s))
        v &= ~(uint64_t)X86_RF;
    x86_set_rflags(s, (old & ~(uint64_t)mask) | (v & mask));
}

typedef struct Popped { uint64_t rip, flags, rsp; uint16_t cs, ss; } Popped;

X86Seg x86_return_cs(X86State *s, uint16_t sel)
{
    uint32_t err = sel & 0xfffc;
    unsigned rpl = sel & 3;

    if (!err)
        x86_raise_gp0(s);
    X86Desc d = x86_desc_get(s, sel, X86_GP, 0);
    uint32_t attr = x86_desc_attr(d);
    unsigned dpl = x86_attr_dpl(attr);
    if (!x86_attr_code(attr) || rpl < s->cpl || (x86_attr_conforming(attr) ? dpl > rpl : dpl != rpl))
        x86_raise_err(s, X86_GP, err);
    if (x86_lma(s) && (attr & (X86_SEG_L | X86_SEG_DB)) == (X86_SEG_L | X86_SEG_DB))
        x86_raise_err(s, X86_GP, err);
    if (!(attr & X86_SEG_P))
        x86_raise_err(s, X86_NP, err);
    x86_desc_mark(s, sel, 1);
    X86Seg g = x86_seg_of(sel, d);
    g.attr |= 1;
    return g;
}

X86Seg x86_return_ss(X86State *s, uint16_t sel, const X86Seg *cs, unsigned cpl)
{
    if (sel & 0xfffc)
        return x86_seg_get_ss(s, sel, cpl, X86_GP, 0);
    if (!x86_lma(s) || !(cs->attr & X86_SEG_L) || cpl == 3 || (sel & 3) != cpl)
        x86_raise_gp0(s);
    return x86_seg_null(sel, cpl);
}

static uint64_t iret_real(X86State *s, unsigned size)
{
    X86Stack st = x86_stack_now(s, size);
    uint64_t rip = x86_stack_pop(s, &st), cs = x86_stack_pop(s, &st), flags = x86_stack_pop(s, &st);

    if (rip > 0xffff)
        x86_raise_gp0(s);
    x86_stack_set_sp(s, &st);
    x86_seg_paragraph(s, X86_CS, (uint16_t)cs);
    s->rip = rip;
    write_flags(s, flags, x86_flags_writable(s, size) | (size > 2 ? X86_RF : 0));
    return x86_linear_pc(s);
}

/* In VM86 with IOPL 3, or for 16-bit IRET with VME through the virtual interrupt flag. */
static uint64_t iret_vm86(X86State *s, unsigned size)
{
    bool virt = x86_iopl(s) < 3;

    if (virt && (!(s->cr4 & X86_CR4_VME) || size != 2))
        x86_raise_gp0(s);
    X86Stack st = x86_stack_now(s, size);
    uint64_t rip = x86_stack_pop(s, &st), cs = x86_stack_pop(s, &st), flags = x86_stack_pop(s, &st);
    if (rip > 0xffff || (virt && ((flags & X86_IF && s->rflags_rest & X86_VIP) || flags & X86_TF)))
        x86_raise_gp0(s);
    x86_stack_set_sp(s, &st);
    x86_seg_paragraph(s, X86_CS, (uint16_t)cs);
    s->rip = rip;
    uint32_t mask = x86_flags_writable(s, size) | (size > 2 ? X86_RF : 0);
    if (virt) {
        flags = (flags & ~(uint64_t)X86_VIF) | (flags & X86_IF ? X86_VIF : 0);
        mask = (mask & ~X86_IF) | X86_VIF;
    }
    write_flags(s, flags, mask);
    return x86_linear_pc(s);
}

static uint64_t iret_to_vm86(X86State *s, X86Stack *st, const Popped *p)
{
    static const uint8_t order[] = { X86_ES, X86_DS, X86_FS, X86_GS };
    uint16_t sel[4];
    uint64_t rsp = x86_stack_pop(s, st);
    uint16_t ss = (uint16_t)x86_stack_pop(s, st);

    for (unsigned i = 0; i < 4; i++)
        sel[i] = (uint16_t)x86_stack_pop(s, st);
    if ((uint32_t)p->rip > 0xffff)
        x86_raise_gp0(s);
    write_flags(s, p->flags, X86_ARITH | X86_TF | X86_IF | X86_DF | X86_IOPL | X86_NT | X86_RF | X86_VM | X86_AC | X86_VIF | X86_VIP | X86_ID);
    s->rflags_rest |= X86_VM;
    s->cpl = 3;
    x86_seg_paragraph(s, X86_CS, p->cs);
    x86_seg_paragraph(s, X86_SS, ss);
    for (unsigned i = 0; i < 4; i++)
        x86_seg_paragraph(s, order[i], sel[i]);
    s->gpr[X86_RSP] = (uint32_t)rsp;
    s->rip = (uint16_t)p->rip;
    return x86_linear_pc(s);
}

static uint32_t iret_mask(const X86State *s, unsigned size)
{
    uint32_t mask = x86_flags_writable(s, size);
    if (size > 2)
        mask |= X86_RF;
    if (size > 2 && s->cpl == 0)
        mask |= X86_VIF | X86_VIP;
    return mask;
}

static uint64_t iret_prot(X86State *s, unsigned size)
{
    bool from64 = x86_code64(s);
    X86Stack st = x86_stack_now(s, size);
    Popped p = { .rip = x86_stack_pop(s, &st) };

    p.cs = (uint16_t)x86_stack_pop(s, &st);
    p.flags = x86_stack_pop(s, &st);
    if (!x86_lma(s) && size == 4 && p.flags & X86_VM && s->cpl == 0)
        return iret_to_vm86(s, &st, &p);
    X86Seg cs = x86_return_cs(s, p.cs), ss = s->seg[X86_SS];
    unsigned cpl = p.cs & 3;
    bool outer = cpl != s->cpl;
    if (outer || from64) {
        p.rsp = x86_stack_pop(s, &st);
        p.ss = (uint16_t)x86_stack_pop(s, &st);
        ss = x86_return_ss(s, p.ss, &cs, cpl);
    }
    x86_cs_check_rip(s, &cs, p.rip, 0);
    write_flags(s, p.flags, iret_mask(s, size));
    if (outer || from64) {
        s->seg[X86_SS] = ss;
        st.mask = cs.attr & X86_SEG_L && x86_lma(s) ? ~0ull : ss.attr & X86_SEG_DB ? 0xffffffff : 0xffff;
        st.sp = p.rsp;
    }
    x86_stack_set_sp(s, &st);
    x86_cs_commit(s, cs, p.rip);
    if (outer)
        x86_seg_drop_inner(s, cpl);
    return x86_linear_pc(s);
}

static uint64_t iret_task(X86State *s)
{
    tcg_sync_pc(x86_cpu(s));
    uint16_t link = (uint16_t)x86_sys_load(s, s->seg[X86_TR].base, 1);
    /* The old task's saved EIP is that of the instruction after IRET; no one may rely on it, the length is unknown here. */
    x86_task_switch(s, link, X86_TASK_IRET, s->rip + 1, false, 0);
    return x86_linear_pc(s);
}

uint64_t x86_h_iret(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;
    unsigned size = (unsigned)a;
    uint64_t pc;

    s->ev.nmi_masked = 0;                      /* even if it faults (SDM 3A 6.7.1) */
    if (!x86_pe(s)) {
        pc = iret_real(s, size);
    } else if (x86_vm86(s)) {
        pc = iret_vm86(s, size);
    } else if (s->rflags_rest & X86_NT) {
        if (x86_lma(s))
            x86_raise_gp0(s);
        pc = iret_task(s);
    } else {
        pc = iret_prot(s, size);
    }
    x86_mode_changed(s);
    x86_irq_recheck(s);
    return pc;
}

/* ---- PUSHF, POPF, CLI, STI ---- */

static bool pvi(const X86State *s) { return !x86_vm86(s) && s->cpl == 3 && s->cr4 & X86_CR4_PVI; }
static bool vme(const X86State *s) { return x86_vm86(s) && s->cr4 & X86_CR4_VME; }

uint64_t x86_h_pushf(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;
    uint64_t v = x86_rflags(s) & ~(uint64_t)(X86_VM | X86_RF);

    if (x86_pe(s) && x86_vm86(s) && x86_iopl(s) < 3) {
        if (a != 2 || !vme(s))
            x86_raise_gp0(s);
        v = (v & ~(uint64_t)X86_IF) | X86_IOPL | (v & X86_VIF ? X86_IF : 0);
    }
    return v;
}

static void popf_vme(X86State *s, uint64_t v)
{
    if ((v & X86_IF && s->rflags_rest & X86_VIP) || v & X86_TF)
        x86_raise_gp0(s);
    v = (v & ~(uint64_t)X86_VIF) | (v & X86_IF ? X86_VIF : 0);
    write_flags(s, v, X86_ARITH | X86_DF | X86_NT | X86_VIF);
}

uint64_t x86_h_popf(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;
    bool vm = x86_pe(s) && x86_vm86(s);

    if (vm && x86_iopl(s) < 3) {
        if (b != 2 || !vme(s))
            x86_raise_gp0(s);
        popf_vme(s, a);
    } else {
        uint32_t old = s->rflags_rest, mask = x86_flags_writable(s, (unsigned)b);
        write_flags(s, a & ~(uint64_t)X86_RF, mask | (b > 2 ? X86_RF : 0));
        if (!((old ^ s->rflags_rest) & (X86_IF | X86_TF | X86_AC | X86_IOPL)))
            return 0;
    }
    x86_mode_changed(s);
    x86_irq_recheck(s);
    return 0;
}

uint64_t x86_h_cli(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;

    if (s->cpl <= x86_iopl(s))
        s->rflags_rest &= ~X86_IF;
    else if (vme(s) || pvi(s))
        s->rflags_rest &= ~X86_VIF;
    else
        x86_raise_gp0(s);
    return 0;
}

uint64_t x86_h_sti_quick(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;

    if (s->rflags_rest & X86_IF)
        return 0;
    s->rflags_rest |= X86_IF;
    if (!x86_irq_due(s))
        return 0;
    s->ev.int_shadow |= X86_SHADOW_STI;
    x86_mode_changed(s);
    x86_irq_recheck(s);
    return 1;
}

uint64_t x86_h_sti(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;

    if (s->cpl <= x86_iopl(s)) {
        if (!(s->rflags_rest & X86_IF)) {
            s->rflags_rest |= X86_IF;
            s->ev.int_shadow |= X86_SHADOW_STI;
            x86_mode_changed(s);
            x86_irq_recheck(s);
        }
    } else if ((vme(s) || pvi(s)) && !(s->rflags_rest & X86_VIP)) {
        s->rflags_rest |= X86_VIF;
    } else {
        x86_raise_gp0(s);
    }
    return 0;
}
