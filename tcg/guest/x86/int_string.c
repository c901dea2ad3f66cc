#include "tcg/guest/x86/translate.h"

/* String instructions: one step inline, repeated ones a stretch at a time in a helper (help_string.c). */

static IrVal index_off(X86Tr *t, unsigned reg)
{
    return ir_zext(t->u, IRT_I64, x86_type(t->in.adsize), x86_gpr(t, t->in.adsize, reg));
}

static IrVal source(X86Tr *t, unsigned log2)
{
    return x86_seg_linear(t, t->in.seg, index_off(t, X86_RSI), 1u << log2, false);
}

static IrVal destination(X86Tr *t, unsigned log2, bool write)
{
    return x86_seg_linear(t, X86_ES, index_off(t, X86_RDI), 1u << log2, write);
}

/* The step, in the address size's type: size, or -size with DF. */
static IrVal step(X86Tr *t, unsigned log2)
{
    IrUnit *u = t->u;
    IrVal df = ir_extract(u, IRT_I32, ir_get(u, IRT_I32, X86S_RFLAGS_REST), 10, 1);
    IrVal back = ir_tri(u, IR_SHL, IRT_I32, df, ir_const(u, IRT_I8, log2 + 1), 0);
    IrVal d = ir_bin(u, IR_SUB, IRT_I32, ir_const(u, IRT_I32, 1 << log2), back);
    if (t->in.adsize == 3)
        return ir_sext(u, IRT_I64, IRT_I32, d);
    return ir_trunc(u, x86_type(t->in.adsize), d);
}

static void advance(X86Tr *t, unsigned reg, IrVal by)
{
    unsigned log2 = t->in.adsize;
    x86_gpr_put(t, log2, reg, ir_bin(t->u, IR_ADD, x86_type(log2), x86_gpr(t, log2, reg), by));
}

/* Packed description of a repeated instruction for its helper: X86REP_ in help_string.c's head. */
static void repeat(X86Tr *t, unsigned helper, unsigned log2)
{
    unsigned single = t->mode & (X86M_TF | X86M_DR) ? 1u : 0;
    int64_t what = log2 | t->in.adsize << 4 | t->in.seg << 8 | (t->in.rep == 0xf3) << 12 | single << 13 | (t->in.rep != 0) << 14;
    IrVal done = x86_call(t, helper, x86_k(t, what), 0, 0, 0);
    unsigned out = ir_label_new(t->u);
    ir_brnz(t->u, IRT_I64, done, out);
    x86_leave_goto(t, t->off);
    x86_label(t, out);
    x86_leave_goto(t, t->next);
}

/* @n elements, at most a page of them, in plain memory at once; @slow: where that cannot be. */
static void bulk_step(X86Tr *t, IrOp op, unsigned log2, IrVal n, unsigned slow)
{
    IrUnit *u = t->u;
    IrVal to = x86_gpr(t, 3, X86_RDI), from = x86_gpr(t, 3, op == IR_COPY ? X86_RSI : X86_RAX);
    IrVal df = ir_bin(u, IR_AND, IRT_I32, ir_get(u, IRT_I32, X86S_RFLAGS_REST), ir_const(u, IRT_I32, X86_DF));
    ir_brnz(u, IRT_I32, df, slow);
    IrVal bytes = log2 ? ir_tri(u, IR_SHL, IRT_I64, n, ir_const(u, IRT_I8, log2), 0) : n;
    IrVal source = op == IR_COPY ? ir_host(u, from, 0, bytes, false, slow) : from;
    ir_host_op(u, op, ir_host(u, to, 0, bytes, true, slow), source, n, log2);
    if (op == IR_COPY)
        x86_gpr_put(t, 3, X86_RSI, ir_bin(u, IR_ADD, IRT_I64, from, bytes));
    x86_gpr_put(t, 3, X86_RDI, ir_bin(u, IR_ADD, IRT_I64, to, bytes));
}

/* Not more elements than @n and than there are from @addr to the end of its page. */
static IrVal to_page_end(X86Tr *t, IrVal addr, unsigned log2, IrVal n)
{
    IrUnit *u = t->u;
    IrVal off = ir_bin(u, IR_AND, IRT_I64, addr, x86_k(t, TCG_PAGE_SIZE - 1)), left = ir_bin(u, IR_SUB, IRT_I64, x86_k(t, TCG_PAGE_SIZE), off);
    if (log2)
        left = ir_tri(u, IR_SHR, IRT_I64, left, ir_const(u, IRT_I8, log2), 0);
    return ir_select(u, IRT_I64, IRC_B, ir_cmp(u, IRT_I64, n, left), n, left);
}

/* Out of line: as far as both pages go, then the instruction again for what is left. Elements across pages, devices, DF: the helper. */
static void bulk_pages(X86Tr *t, IrOp op, unsigned log2)
{
    IrUnit *u = t->u;
    unsigned slow = ir_label_new(u), again = ir_label_new(u);
    IrVal all = x86_gpr(t, 3, X86_RCX), n = to_page_end(t, x86_gpr(t, 3, X86_RDI), log2, all);
    if (op == IR_COPY)
        n = to_page_end(t, x86_gpr(t, 3, X86_RSI), log2, n);
    ir_brz(u, IRT_I64, n, slow);
    bulk_step(t, op, log2, n, slow);
    IrVal rest = ir_bin(u, IR_SUB, IRT_I64, all, n);
    x86_gpr_put(t, 3, X86_RCX, rest);
    ir_brnz(u, IRT_I64, rest, again);
    x86_leave_goto(t, t->next);
    x86_label(t, again);
    x86_leave_goto(t, t->off);
    x86_label(t, slow);
    repeat(t, op == IR_COPY ? X86H_rep_movs : X86H_rep_stos, log2);
}

/* REP MOVS, REP STOS. Short ones in line. */
static bool bulk(X86Tr *t, IrOp op, unsigned log2)
{
    if (!t->in.rep || !x86_host_ok(t))
        return false;
    if (t->slow) {
        bulk_pages(t, op, log2);
        return true;
    }
    unsigned slow = x86_cold_slow(t);
    IrVal n = x86_gpr(t, 3, X86_RCX);
    ir_brcond(t->u, IRC_A, ir_cmp(t->u, IRT_I64, n, x86_k(t, TCG_PAGE_SIZE >> log2)), slow);
    bulk_step(t, op, log2, n, slow);
    x86_gpr_put(t, 3, X86_RCX, x86_k(t, 0));
    return true;
}

void x86_e_movs(X86Tr *t)
{
    unsigned log2 = x86_osz(t, 0);
    if (bulk(t, IR_COPY, log2))
        return;
    if (t->in.rep) {
        repeat(t, X86H_rep_movs, log2);
        return;
    }
    IrVal v = x86_ld(t, log2, source(t, log2));
    x86_st(t, log2, destination(t, log2, true), v);
    IrVal by = step(t, log2);
    advance(t, X86_RSI, by);
    advance(t, X86_RDI, by);
}

void x86_e_stos(X86Tr *t)
{
    unsigned log2 = x86_osz(t, 0);
    if (bulk(t, IR_FILL, log2))
        return;
    if (t->in.rep) {
        repeat(t, X86H_rep_stos, log2);
        return;
    }
    x86_st(t, log2, destination(t, log2, true), x86_gpr(t, log2, X86_RAX));
    advance(t, X86_RDI, step(t, log2));
}

void x86_e_lods(X86Tr *t)
{
    unsigned log2 = x86_osz(t, 0);
    if (t->in.rep) {
        repeat(t, X86H_rep_lods, log2);
        return;
    }
    IrVal v = x86_ld(t, log2, source(t, log2));
    x86_gpr_put(t, log2, X86_RAX, v);
    advance(t, X86_RSI, step(t, log2));
}

void x86_e_cmps(X86Tr *t)
{
    unsigned log2 = x86_osz(t, 0);
    if (t->in.rep) {
        repeat(t, X86H_rep_cmps, log2);
        return;
    }
    IrVal a = x86_ld(t, log2, source(t, log2)), b = x86_ld(t, log2, destination(t, log2, false));
    IrVal f = ir_cmp(t->u, x86_type(log2), a, b), by = step(t, log2);
    advance(t, X86_RSI, by);
    advance(t, X86_RDI, by);
    ir_put(t->u, IRT_FL, X86S_FL, f);
}

void x86_e_scas(X86Tr *t)
{
    unsigned log2 = x86_osz(t, 0);
    if (t->in.rep) {
        repeat(t, X86H_rep_scas, log2);
        return;
    }
    IrVal b = x86_ld(t, log2, destination(t, log2, false));
    IrVal f = ir_cmp(t->u, x86_type(log2), x86_gpr(t, log2, X86_RAX), b);
    advance(t, X86_RDI, step(t, log2));
    ir_put(t->u, IRT_FL, X86S_FL, f);
}

/* Port I/O goes through the helper with and without REP: it happens once, after everything that may fault. */
void x86_e_ins(X86Tr *t)
{
    repeat(t, X86H_ins, x86_osz(t, 0));
}

void x86_e_outs(X86Tr *t)
{
    repeat(t, X86H_outs, x86_osz(t, 1));
}
