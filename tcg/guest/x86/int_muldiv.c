#include "tcg/guest/x86/translate.h"

/* Multiplication and division. */

static void put_fl(X86Tr *t, IrVal f)
{
    ir_put(t->u, IRT_FL, X86S_FL, f);
}

/* MUL and IMUL with one operand: rDX:rAX or AX. */
void x86_e_mul1(X86Tr *t)
{
    IrUnit *u = t->u;
    unsigned log2 = x86_osz(t, 0);
    IrType ty = x86_type(log2);
    IrVal b = x86_get(t, 0);
    IrVal lo = ir_bin(u, t->in.op->arg ? IR_MULS : IR_MULU, ty, x86_gpr(t, log2, X86_RAX), b);
    IrVal hi = ir_hi(u, lo);
    IrVal f = ir_flags(u, lo);
    if (log2 == 0) {
        IrVal ax = ir_deposit(u, IRT_I32, ir_zext(u, IRT_I32, IRT_I8, lo), hi, 8, 8);
        ir_put(u, IRT_I16, X86S_RAX, ir_trunc(u, IRT_I16, ax));
    } else {
        x86_gpr_put(t, log2, X86_RAX, lo);
        x86_gpr_put(t, log2, X86_RDX, hi);
    }
    put_fl(t, f);
}

/* IMUL r, r/m and IMUL r, r/m, imm */
void x86_e_imul3(X86Tr *t)
{
    bool three = t->in.op->opnd[2].kind != X86O_NONE;
    IrVal a = x86_get(t, three ? 1 : 0);
    IrVal r = ir_bin(t->u, IR_MULS, x86_otype(t, 0), a, x86_get(t, three ? 2 : 1));
    IrVal f = ir_flags(t->u, r);
    x86_put(t, 0, r);
    put_fl(t, f);
}

/* MULX: high half to operand 0, low half to operand 1; the high one wins where they are the same. */
void x86_e_mulx(X86Tr *t)
{
    unsigned log2 = x86_osz(t, 0);
    IrVal b = x86_get(t, 2);
    IrVal lo = ir_bin(t->u, IR_MULU, x86_type(log2), x86_gpr(t, log2, X86_RDX), b);
    IrVal hi = ir_hi(t->u, lo);
    x86_put(t, 1, lo);
    x86_put(t, 0, hi);
}

void x86_e_div(X86Tr *t)
{
    IrUnit *u = t->u;
    unsigned log2 = x86_osz(t, 0);
    IrType ty = x86_type(log2);
    IrVal d = x86_get(t, 0);
    IrVal lo = x86_gpr(t, log2, X86_RAX);
    IrVal hi = log2 ? x86_gpr(t, log2, X86_RDX) : ir_trunc(u, IRT_I8, ir_extract(u, IRT_I64, ir_get(u, IRT_I64, X86S_RAX), 8, 8));
    IrVal q = ir_tri(u, t->in.op->arg ? IR_DIVS : IR_DIVU, ty, lo, hi, d);
    IrVal rem = ir_hi(u, q);
    IrVal f = ir_flags(u, q);
    ir_brcond(u, IRC_O, f, x86_cold_raise(t, X86_DE));
    if (log2 == 0) {
        IrVal ax = ir_deposit(u, IRT_I32, ir_zext(u, IRT_I32, IRT_I8, q), rem, 8, 8);
        ir_put(u, IRT_I16, X86S_RAX, ir_trunc(u, IRT_I16, ax));
        return;
    }
    x86_gpr_put(t, log2, X86_RAX, q);
    x86_gpr_put(t, log2, X86_RDX, rem);
}
