#include "tcg/guest/x86/sys.h"

/* Task switches (SDM 3A 7.3). Outside long mode only. */

enum { T_LINK = 0, T_CR3 = 0x1c, T_EIP = 0x20, T_GPR = 0x28, T_SEG = 0x48, T_LDT = 0x60, T_TRAP = 0x64,
       T16_IP = 0x0e, T16_GPR = 0x12, T16_SEG = 0x22, T16_LDT = 0x2a };

typedef struct Task {
    uint64_t base;
    bool wide;                 /* 32-bit TSS */
    uint32_t cr3, eip, flags, gpr[8], trap;
    uint16_t seg[6], ldt;
} Task;

static const uint8_t seg_order[6] = { X86_ES, X86_CS, X86_SS, X86_DS, X86_FS, X86_GS };

static X86Desc check_tss(X86State *s, uint16_t sel, X86TaskCause cause)
{
    unsigned bad = cause == X86_TASK_IRET ? X86_TS : X86_GP, ext = x86_ext(s);
    uint32_t err = (sel & 0xfffc) | ext;

    if (sel & 4 || !(sel & 0xfffc))
        x86_raise_err(s, bad, err);
    X86Desc d = x86_desc_get(s, sel, bad, ext);
    uint32_t attr = x86_desc_attr(d);
    if ((attr & 0x17) != (cause == X86_TASK_IRET ? 3 : 1))
        x86_raise_err(s, bad, err);
    if (!(attr & X86_SEG_P))
        x86_raise_err(s, X86_NP, err);
    if (x86_desc_limit(d) < (attr & 8 ? 0x67u : 0x2bu))
        x86_raise_err(s, X86_TS, err);
    return d;
}

static void read_task(X86State *s, Task *t)
{
    unsigned step = t->wide ? 4 : 2, log2 = t->wide ? 2 : 1;
    uint64_t gpr = t->base + (t->wide ? T_GPR : T16_GPR), seg = t->base + (t->wide ? T_SEG : T16_SEG);

    t->cr3 = t->wide ? (uint32_t)x86_sys_load(s, t->base + T_CR3, 2) : 0;
    t->eip = (uint32_t)x86_sys_load(s, t->base + (t->wide ? T_EIP : T16_IP), log2);
    t->flags = (uint32_t)x86_sys_load(s, t->base + (t->wide ? T_EIP + 4 : T16_IP + 2), log2);
    for (unsigned i = 0; i < 8; i++)
        t->gpr[i] = (uint32_t)x86_sys_load(s, gpr + i * step, log2) | (t->wide ? 0 : 0xffff0000);
    for (unsigned i = 0; i < 6; i++)
        t->seg[i] = i < 4 || t->wide ? (uint16_t)x86_sys_load(s, seg + i * step, 1) : 0;
    t->ldt = (uint16_t)x86_sys_load(s, t->base + (t->wide ? T_LDT : T16_LDT), 1);
    t->trap = t->wide ? x86_sys_load(s, t->base + T_TRAP, 1) & 1 : 0;
}

/* The dynamic part of the running task, into its TSS; probed before. */
static void save_task(X86State *s, uint64_t base, bool wide, uint64_t eip, uint64_t flags)
{
    unsigned step = wide ? 4 : 2, log2 = wide ? 2 : 1;
    uint64_t gpr = base + (wide ? T_GPR : T16_GPR), seg = base + (wide ? T_SEG : T16_SEG);

    x86_sys_store(s, base + (wide ? T_EIP : T16_IP), eip, log2);
    x86_sys_store(s, base + (wide ? T_EIP + 4 : T16_IP + 2), flags, log2);
    for (unsigned i = 0; i < 8; i++)
        x86_sys_store(s, gpr + i * step, s->gpr[i], log2);
    for (unsigned i = 0; i < (wide ? 6 : 4); i++)
        x86_sys_store(s, seg + i * step, s->seg[seg_order[i]].sel, 1);
}

/* Registers of the new task; segments with selectors only, their descriptors come after the point of no return. */
static void load_registers(X86State *s, const Task *t, uint32_t flags)
{
    for (unsigned i = 0; i < 8; i++)
        s->gpr[i] = t->gpr[i];
    s->rip = t->eip;
    x86_set_rflags(s, flags | 2);
    for (unsigned i = 0; i < 6; i++)
        s->seg[seg_order[i]] = x86_seg_null(t->seg[i], 0);
    s->seg[X86_LDTR] = x86_seg_null(t->ldt, 0);
    s->cpl = flags & X86_VM ? 3 : t->seg[1] & 3;
    s->seg[X86_SS].attr |= s->cpl << 5;
    s->cr0 |= X86_CR0_TS;
    s->dr[7] &= ~0x155ull;                     /* L0-L3, LE */
}

static void load_ldt(X86State *s, uint16_t sel, unsigned ext)
{
    uint32_t err = (sel & 0xfffc) | ext;

    if (!(sel & 0xfffc))
        return;
    if (sel & 4)
        x86_raise_err(s, X86_TS, err);
    X86Desc d = x86_desc_get(s, sel, X86_TS, ext);
    if ((x86_desc_attr(d) & 0x9f) != (X86_SEG_P | 2))
        x86_raise_err(s, X86_TS, err);
    s->seg[X86_LDTR] = x86_seg_of(sel, d);
}

static void load_cs(X86State *s, uint16_t sel, unsigned ext)
{
    uint32_t err = (sel & 0xfffc) | ext;

    if (!(sel & 0xfffc))
        x86_raise_err(s, X86_TS, err);
    X86Desc d = x86_desc_get(s, sel, X86_TS, ext);
    uint32_t attr = x86_desc_attr(d);
    unsigned dpl = x86_attr_dpl(attr), rpl = sel & 3;
    if (!x86_attr_code(attr) || (x86_attr_conforming(attr) ? dpl > rpl : dpl != rpl))
        x86_raise_err(s, X86_TS, err);
    if (!(attr & X86_SEG_P))
        x86_raise_err(s, X86_NP, err);
    x86_desc_mark(s, sel, 1);
    s->seg[X86_CS] = x86_seg_of(sel, d);
    s->seg[X86_CS].attr |= 1;
}

static void load_data(X86State *s, unsigned seg, uint16_t sel, unsigned ext)
{
    uint32_t err = (sel & 0xfffc) | ext;

    if (!(sel & 0xfffc))
        return;
    X86Desc d = x86_desc_get(s, sel, X86_TS, ext);
    uint32_t attr = x86_desc_attr(d);
    unsigned dpl = x86_attr_dpl(attr);
    bool bad = !(attr & X86_SEG_S) || (attr & 0xa) == 8 || (!x86_attr_conforming(attr) && (dpl < s->cpl || dpl < (sel & 3u)));
    if (bad)
        x86_raise_err(s, X86_TS, err);
    if (!(attr & X86_SEG_P))
        x86_raise_err(s, X86_NP, err);
    x86_desc_mark(s, sel, 1);
    s->seg[seg] = x86_seg_of(sel, d);
    s->seg[seg].attr |= 1;
}

static void load_segments(X86State *s, const Task *t, unsigned ext)
{
    load_ldt(s, t->ldt, ext);
    if (x86_vm86(s)) {
        for (unsigned i = 0; i < 6; i++)
            x86_seg_paragraph(s, seg_order[i], t->seg[i]);
        return;
    }
    load_cs(s, t->seg[1], ext);
    s->seg[X86_SS] = x86_seg_get_ss(s, t->seg[2], s->cpl, X86_TS, ext);
    for (unsigned i = 0; i < 6; i++)
        if (seg_order[i] != X86_CS && seg_order[i] != X86_SS)
            load_data(s, seg_order[i], t->seg[i], ext);
}

static void push_error(X86State *s, bool wide, uint32_t error)
{
    X86Stack st = x86_stack_now(s, wide ? 4 : 2);
    st.error = x86_ext(s);
    x86_stack_push(&st, error);
    x86_stack_commit(s, &st);
    x86_stack_set_sp(s, &st);
}

/* Everything that can fault in the old task: limits, then every byte of both TSSs that will be read or written. */
static void probe(X86State *s, uint64_t old_base, bool old_wide, const Task *t, bool link)
{
    TcgCpu *cpu = x86_cpu(s);

    tcg_probe(cpu, x86_linear(s, old_base + (old_wide ? T_EIP : T16_IP)), old_wide ? 0x40 : 0x1c, TCG_WRITE, X86R_IMPLICIT);
    tcg_probe(cpu, x86_linear(s, t->base), t->wide ? 0x68 : 0x2c, TCG_READ, X86R_IMPLICIT);
    if (link)
        tcg_probe(cpu, x86_linear(s, t->base), 2, TCG_WRITE, X86R_IMPLICIT);
}

static void new_space(X86State *s, const Task *t)
{
    if (!t->wide || !(s->cr0 & X86_CR0_PG))
        return;
    if (s->cr4 & X86_CR4_PAE && !x86_load_pdptrs(s, t->cr3))
        x86_raise_err(s, X86_GP, x86_ext(s));
    s->cr3 = t->cr3;
    tcg_flush_tag(x86_cpu(s), 0);
    tcg_set_space(x86_cpu(s), s->cr3 & ~0x1full, 0);
}

void x86_task_switch(X86State *s, uint16_t sel, X86TaskCause cause, uint64_t next_rip, bool has_error, uint32_t error)
{
    X86Desc d = check_tss(s, sel, cause);
    X86Seg *tr = &s->seg[X86_TR];
    bool nests = cause == X86_TASK_CALL || cause == X86_TASK_EVENT, old_wide = X86_SEG_TYPE(tr) & 8;
    Task t = { .base = x86_desc_base(d), .wide = x86_desc_attr(d) & 8 };
    uint64_t flags = x86_rflags(s);
    unsigned ext = x86_ext(s);

    if (tr->limit < (old_wide ? 0x5fu : 0x29u))
        x86_raise_err(s, X86_TS, (tr->sel & 0xfffc) | ext);
    probe(s, tr->base, old_wide, &t, nests);
    read_task(s, &t);
    bool was = tcg_commit(x86_cpu(s), true);   /* an event by a task gate is not done yet */
    if (cause == X86_TASK_JMP || cause == X86_TASK_IRET)
        x86_desc_unmark(s, tr->sel, 2);
    if (cause == X86_TASK_IRET)
        flags &= ~(uint64_t)X86_NT;
    save_task(s, tr->base, old_wide, next_rip, flags);
    if (nests)
        x86_sys_store(s, t.base + T_LINK, tr->sel, 1);
    if (cause != X86_TASK_IRET)
        x86_desc_mark(s, sel, 2);
    *tr = x86_seg_of(sel, d);
    tr->attr |= 2;
    new_space(s, &t);
    load_registers(s, &t, t.flags | (nests ? X86_NT : 0));
    /* From here on faults belong to the new task, whose EIP is already in place. */
    if (s->ev.injected.kind == X86_EVENT_NONE)
        s->ev.injected.kind = X86_EVENT_TASK;
    x86_mode_changed(s);
    load_segments(s, &t, ext);
    if (has_error)
        push_error(s, t.wide, error);
    x86_cs_check_rip(s, &s->seg[X86_CS], s->rip, ext);
    if (s->ev.injected.kind == X86_EVENT_TASK)
        s->ev.injected.kind = X86_EVENT_NONE;
    if (t.trap)                                /* T bit: #DB before the first instruction, DR6.BT */
        s->ev.pending = (X86Event){ .kind = X86_EVENT_EXCEPTION, .vector = X86_DB, .has_payload = 1, .payload = 1 << 15 };
    x86_mode_changed(s);
    tcg_commit(x86_cpu(s), was);
    if (t.trap)
        tcg_cpu_poke(x86_cpu(s));
}
