/* What translated code does for self-hosted debug: asks at instructions and accesses that may match. See debug.c. */
#include "tcg/guest/aarch64/translate.h"

void a64_emit_debug(A64Tr *t)
{
    if (A64M_BREAKS(t->mode) >> a64_break_hash((uint64_t)t->off & 0xfff) & 1)
        a64_call(t, A64H_debug_insn, ir_pc(t->u, t->off), 0, 0, 0);
}

void a64_emit_stepped(A64Tr *t)
{
    bool pair = t->insn >> 21 & 1, exclusive = (t->insn & 0x3fc00000) == 0x08400000 && !(pair && !(t->insn >> 31));    /* not CASP */
    if (!(t->mode & A64M_STEP))
        return;
    ir_put(t->u, IRT_I8, A64S_SS, ir_const(t->u, IRT_I8, 0));
    ir_put(t->u, IRT_I8, A64S_STEP_BEGUN, ir_const(t->u, IRT_I8, exclusive ? A64_STEP_EXCLUSIVE : A64_STEP_DONE));
}

/* The instruction once more, all of its accesses looked at. */
static void cold_watched(A64Tr *t, const A64Args *a)
{
    A64Args again = *a;
    t->args = &again;
    t->watch_all = true;
    (void)a64_op_info[a->op].emit(t, &again);
    t->watch_all = false;
}

void a64_emit_watch(A64Tr *t, IrVal addr, unsigned bytes, unsigned kind)
{
    IrUnit *u = t->u;
    if (t->watch_all) {
        a64_call(t, A64H_debug_data, addr, a64_k(t, bytes), a64_k(t, kind), 0);
        return;
    }
    IrVal off = ir_bin(u, IR_SUB, IRT_I64, ir_tri(u, IR_SHL, IRT_I64, addr, ir_const(u, IRT_I8, 8), 0), ir_get(u, IRT_I64, A64S_WATCH_LOW));
    ir_brcond(u, IRC_BE, ir_cmp(u, IRT_I64, off, ir_get(u, IRT_I64, A64S_WATCH_SPAN)), a64_cold(t, cold_watched, t->args));
}

void a64_emit_debug_look(A64Tr *t)
{
    IrVal kde = ir_bin(t->u, IR_AND, IRT_I64, ir_get(t->u, IRT_I64, A64S_MDSCR), a64_k(t, A64_MDSCR_KDE));
    ir_brnz(t->u, IRT_I64, kde, a64_cold(t, a64_cold_look, NULL));
}
