#include "tcg/guest/x86/sys.h"

/* Far JMP, CALL and RET (SDM 2A): direct, through call gates, to tasks. */

enum { SYS_TSS16 = 1, SYS_TSS16_BUSY = 3, SYS_CALL16 = 4, SYS_TASK_GATE = 5, SYS_TSS32 = 9, SYS_CALL32 = 12 };

void x86_cs_commit(X86State *s, X86Seg cs, uint64_t rip)
{
    s->seg[X86_CS] = cs;
    s->cpl = cs.sel & 3;
    s->rip = x86_lma(s) && cs.attr & X86_SEG_L ? rip : (uint32_t)rip;
    x86_mode_changed(s);
}

void x86_cs_check_rip(X86State *s, const X86Seg *cs, uint64_t rip, uint32_t error)
{
    bool ok = x86_lma(s) && cs->attr & X86_SEG_L ? x86_canonical(s, rip) : (uint32_t)rip <= cs->limit;
    if (!ok)
        x86_raise_err(s, X86_GP, error);
}

static uint64_t truncate_to(uint64_t v, unsigned size) { return size == 8 ? v : size == 4 ? (uint32_t)v : (uint16_t)v; }

/* Code segment @d of a direct transfer or (@gate) of one through a call gate; present, privilege checked; RPL becomes CPL,
 * or with @inward the segment's DPL. */
static X86Seg target_cs(X86State *s, uint16_t sel, X86Desc d, bool gate, bool inward)
{
    uint32_t attr = x86_desc_attr(d), err = sel & 0xfffc;
    unsigned dpl = x86_attr_dpl(attr), cpl = s->cpl;
    bool conforming = x86_attr_conforming(attr);

    if (!x86_attr_code(attr) || (conforming || inward ? dpl > cpl : dpl != cpl))
        x86_raise_err(s, X86_GP, err);
    if (!gate && !conforming && (sel & 3u) > cpl)
        x86_raise_err(s, X86_GP, err);
    bool l = attr & X86_SEG_L, db = attr & X86_SEG_DB;
    if (x86_lma(s) && (gate ? !l || db : l && db))
        x86_raise_err(s, X86_GP, err);
    if (!(attr & X86_SEG_P))
        x86_raise_err(s, X86_NP, err);
    x86_desc_mark(s, sel, 1);
    if (inward && !conforming)
        cpl = dpl;
    X86Seg g = x86_seg_of((uint16_t)((sel & ~3) | cpl), d);
    g.attr |= 1;
    return g;
}

typedef struct CallGate { uint16_t sel; unsigned params, size; uint64_t offset; } CallGate;

static void check_gate(X86State *s, uint16_t sel, uint32_t attr)
{
    unsigned dpl = x86_attr_dpl(attr);
    if (dpl < s->cpl || dpl < (sel & 3u))
        x86_raise_err(s, X86_GP, sel & 0xfffc);
    if (!(attr & X86_SEG_P))
        x86_raise_err(s, X86_NP, sel & 0xfffc);
}

static CallGate read_call_gate(X86State *s, uint16_t sel, X86Desc d)
{
    bool wide = d.hi & 0x800;
    CallGate g = { .sel = (uint16_t)(d.lo >> 16), .params = d.hi & 0x1f, .size = wide ? 4 : 2,
                   .offset = wide ? (d.lo & 0xffff) | (d.hi & 0xffff0000) : d.lo & 0xffff };
    uint64_t va;

    check_gate(s, sel, x86_desc_attr(d));
    if (!x86_lma(s))
        return g;
    if (!x86_desc_where(s, sel, 16, &va))
        x86_raise_err(s, X86_GP, sel & 0xfffc);
    uint64_t high = x86_sys_load(s, va + 8, 3);
    if (high >> 40 & 0x1f)
        x86_raise_err(s, X86_GP, sel & 0xfffc);
    g.offset |= high << 32;
    g.size = 8;
    g.params = 0;
    return g;
}

static X86Desc gate_target(X86State *s, const CallGate *g)
{
    if (!(g->sel & 0xfffc))
        x86_raise_gp0(s);
    return x86_desc_get(s, g->sel, X86_GP, 0);
}

static void jmp_gate(X86State *s, uint16_t sel, X86Desc d)
{
    CallGate g = read_call_gate(s, sel, d);
    X86Seg cs = target_cs(s, g.sel, gate_target(s, &g), true, false);

    x86_cs_check_rip(s, &cs, g.offset, 0);
    x86_cs_commit(s, cs, g.offset);
}

/* To a more privileged level: stack from the TSS, parameters copied (SDM 3A 5.8.5). */
static void call_gate_inner(X86State *s, const CallGate *g, X86Seg cs, uint64_t next_rip)
{
    const X86Seg *tr = &s->seg[X86_TR];
    unsigned cpl = cs.sel & 3;
    bool lma = x86_lma(s), wide = X86_SEG_TYPE(tr) & 8;
    unsigned off = lma || wide ? 4 + 8 * cpl : 2 + 4 * cpl, last = lma ? 7 : wide ? 5 : 3;
    X86Seg ss;

    if (off + last > tr->limit)
        x86_raise_err(s, X86_TS, tr->sel & 0xfffc);
    uint64_t sp = x86_sys_load(s, tr->base + off, lma ? 3 : wide ? 2 : 1);
    if (lma)
        ss = x86_seg_null((uint16_t)cpl, cpl);
    else
        ss = x86_seg_get_ss(s, (uint16_t)x86_sys_load(s, tr->base + off + (wide ? 4 : 2), 1), cpl, X86_TS, 0);
    X86Stack st = x86_stack_new(s, &ss, sp, g->size, cpl, lma), old = x86_stack_now(s, g->size);
    st.error = lma ? 0 : ss.sel & 0xfffc;
    x86_stack_push(&st, s->seg[X86_SS].sel);
    x86_stack_push(&st, s->gpr[X86_RSP]);
    old.sp += (uint64_t)g->params * g->size;
    for (unsigned i = 0; i < g->params; i++) {             /* from the highest down, so that the order stays */
        old.sp -= g->size;
        uint64_t at = old.sp;
        x86_stack_push(&st, x86_stack_pop(s, &old));
        old.sp = at;
    }
    x86_stack_push(&st, s->seg[X86_CS].sel);
    x86_stack_push(&st, next_rip);
    x86_cs_check_rip(s, &cs, g->offset, 0);
    x86_stack_commit(s, &st);
    s->seg[X86_SS] = ss;
    x86_stack_set_sp(s, &st);
    x86_cs_commit(s, cs, g->offset);
}

/* Push CS and the return address on the current stack, then go. */
static void call_same(X86State *s, X86Seg cs, uint64_t rip, unsigned size, bool long_stack, uint64_t next_rip)
{
    X86Stack st = x86_stack_now(s, size);

    if (long_stack) {                          /* through a 64-bit gate out of compatibility mode: no segmentation of the stack any more */
        st.flat64 = true;
        st.base = 0;
        st.mask = ~0ull;
    }
    x86_stack_push(&st, s->seg[X86_CS].sel);
    x86_stack_push(&st, next_rip);
    x86_cs_check_rip(s, &cs, rip, 0);
    x86_stack_commit(s, &st);
    x86_stack_set_sp(s, &st);
    x86_cs_commit(s, cs, rip);
}

static void call_gate(X86State *s, uint16_t sel, X86Desc d, uint64_t next_rip)
{
    CallGate g = read_call_gate(s, sel, d);
    X86Seg cs = target_cs(s, g.sel, gate_target(s, &g), true, true);

    if ((cs.sel & 3u) < s->cpl)
        call_gate_inner(s, &g, cs, next_rip);
    else
        call_same(s, cs, g.offset, g.size, x86_lma(s), next_rip);
}

static void to_task(X86State *s, uint16_t sel, X86Desc d, bool call, uint64_t next_rip)
{
    uint32_t attr = x86_desc_attr(d);
    X86TaskCause cause = call ? X86_TASK_CALL : X86_TASK_JMP;

    check_gate(s, sel, attr);
    tcg_sync_pc(x86_cpu(s));
    x86_task_switch(s, (attr & 15) == SYS_TASK_GATE ? (uint16_t)(d.lo >> 16) : sel, cause, next_rip, false, 0);
}

static void far_system(X86State *s, uint16_t sel, X86Desc d, bool call, uint64_t next_rip)
{
    unsigned type = x86_desc_attr(d) & 15;
    bool lma = x86_lma(s);

    if (type == SYS_CALL32 || (type == SYS_CALL16 && !lma)) {
        if (call)
            call_gate(s, sel, d, next_rip);
        else
            jmp_gate(s, sel, d);
    } else if (!lma && (type == SYS_TASK_GATE || ((type == SYS_TSS16 || type == SYS_TSS32) && !(sel & 4)))) {
        to_task(s, sel, d, call, next_rip);
    } else {
        x86_raise_err(s, X86_GP, sel & 0xfffc);
    }
}

static void far_paragraph(X86State *s, uint16_t sel, uint64_t off, unsigned size, bool call, uint64_t next_rip)
{
    if (off > (x86_vm86(s) ? 0xffff : s->seg[X86_CS].limit))
        x86_raise_gp0(s);
    if (call) {
        X86Stack st = x86_stack_now(s, size);
        x86_stack_push(&st, s->seg[X86_CS].sel);
        x86_stack_push(&st, next_rip);
        x86_stack_commit(s, &st);
        x86_stack_set_sp(s, &st);
    }
    x86_seg_paragraph(s, X86_CS, sel);
    s->rip = off;
    x86_mode_changed(s);
}

static uint64_t far_transfer(X86State *s, uint16_t sel, uint64_t off, unsigned size, bool call, uint64_t next_rip)
{
    off = truncate_to(off, size);
    if (x86_paragraphs(s)) {
        far_paragraph(s, sel, off, size, call, next_rip);
        return x86_linear_pc(s);
    }
    if (!(sel & 0xfffc))
        x86_raise_gp0(s);
    X86Desc d = x86_desc_get(s, sel, X86_GP, 0);
    if (!(x86_desc_attr(d) & X86_SEG_S)) {
        far_system(s, sel, d, call, next_rip);
        return x86_linear_pc(s);
    }
    X86Seg cs = target_cs(s, sel, d, false, false);
    if (call) {
        call_same(s, cs, off, size, false, next_rip);
    } else {
        x86_cs_check_rip(s, &cs, off, 0);
        x86_cs_commit(s, cs, off);
    }
    return x86_linear_pc(s);
}

uint64_t x86_h_far_jmp(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    return far_transfer(state, (uint16_t)a, b, (unsigned)c, false, d);
}

uint64_t x86_h_far_call(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    return far_transfer(state, (uint16_t)a, b, (unsigned)c, true, d);
}

uint64_t x86_h_far_ret(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;
    unsigned size = (unsigned)a;
    X86Stack st = x86_stack_now(s, size);
    uint64_t rip = x86_stack_pop(s, &st);
    uint16_t sel = (uint16_t)x86_stack_pop(s, &st);

    st.sp += b;
    if (x86_paragraphs(s)) {
        if (rip > (x86_vm86(s) ? 0xffff : s->seg[X86_CS].limit))
            x86_raise_gp0(s);
        x86_stack_set_sp(s, &st);
        x86_seg_paragraph(s, X86_CS, sel);
        s->rip = rip;
        x86_mode_changed(s);
        return x86_linear_pc(s);
    }
    X86Seg cs = x86_return_cs(s, sel);
    unsigned cpl = sel & 3;
    if (cpl == s->cpl) {
        x86_cs_check_rip(s, &cs, rip, 0);
        x86_stack_set_sp(s, &st);
        x86_cs_commit(s, cs, rip);
        return x86_linear_pc(s);
    }
    uint64_t rsp = x86_stack_pop(s, &st);
    X86Seg ss = x86_return_ss(s, (uint16_t)x86_stack_pop(s, &st), &cs, cpl);
    x86_cs_check_rip(s, &cs, rip, 0);
    st = x86_stack_new(s, &ss, rsp + b, size, cpl, x86_lma(s) && cs.attr & X86_SEG_L);
    s->seg[X86_SS] = ss;
    x86_stack_set_sp(s, &st);
    x86_cs_commit(s, cs, rip);
    x86_seg_drop_inner(s, cpl);
    return x86_linear_pc(s);
}
