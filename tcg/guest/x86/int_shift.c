#include "tcg/guest/x86/translate.h"

/* Shifts, rotates, double shifts, and the flagless ones of BMI2. */

static IrVal get_fl(X86Tr *t)
{
    return ir_get(t->u, IRT_FL, X86S_FL);
}

/* The count as I8, cut to five or six bits; true in *ret_zero if it is known to be 0, *ret_known if it is a constant. */
static IrVal shift_count(X86Tr *t, unsigned n, unsigned log2, int64_t *ret_known)
{
    int64_t mask = log2 == 3 ? 63 : 31;
    X86Opnd o = t->in.op->opnd[n];
    if (o.kind == X86O_REG) {
        *ret_known = -1;
        return ir_bin(t->u, IR_AND, IRT_I8, x86_get(t, n), ir_const(t->u, IRT_I8, mask));
    }
    *ret_known = o.kind == X86O_ONE ? 1 : t->in.imm & mask;
    return ir_const(t->u, IRT_I8, *ret_known);
}

/* A count of 0 changes nothing, but memory is still accessed (and a 32-bit register is still zero-extended). */
static void put_unchanged(X86Tr *t)
{
    IrVal v = x86_get_rmw(t, 0);
    if (!x86_is_mem(t, 0) && x86_osz(t, 0) == 2)
        x86_put(t, 0, v);
}

void x86_e_shift(X86Tr *t)
{
    unsigned what = (unsigned)t->in.op->arg, log2 = x86_osz(t, 0);
    IrOp op = what == S_SHR ? IR_SHR : what == S_SAR ? IR_SAR : IR_SHL;
    int64_t known;
    IrVal count = shift_count(t, 1, log2, &known);
    if (known == 0) {
        put_unchanged(t);
        return;
    }
    IrVal a = x86_get_rmw(t, 0);
    IrVal r = ir_tri(t->u, op, x86_type(log2), a, count, known > 0 ? 0 : get_fl(t));
    IrVal f = ir_flags(t->u, r);
    x86_put(t, 0, r);
    ir_put(t->u, IRT_FL, X86S_FL, f);
}

void x86_e_rot(X86Tr *t)
{
    static const uint8_t ops[] = { IR_ROL, IR_ROR, IR_RCL, IR_RCR };
    unsigned what = (unsigned)t->in.op->arg, log2 = x86_osz(t, 0);
    int64_t known;
    IrVal count = shift_count(t, 1, log2, &known);
    if (known == 0) {
        put_unchanged(t);
        return;
    }
    IrVal a = x86_get_rmw(t, 0);
    IrVal r = ir_tri(t->u, ops[what], x86_type(log2), a, count, get_fl(t));
    IrVal f = ir_flags(t->u, r);
    x86_put(t, 0, r);
    ir_put(t->u, IRT_FL, X86S_FL, f);
}

/* SHLD, SHRD. A 16-bit shift by more than 15 is undefined in result and flags; the count is cut to the IR's range. */
void x86_e_shxd(X86Tr *t)
{
    unsigned log2 = x86_osz(t, 0);
    int64_t known;
    IrVal count = shift_count(t, 2, log2, &known);
    if (log2 == 1)
        count = known >= 0 ? ir_const(t->u, IRT_I8, known & 15) : ir_bin(t->u, IR_AND, IRT_I8, count, ir_const(t->u, IRT_I8, 15));
    if (known == 0 || (known > 0 && log2 == 1 && !(known & 15))) {
        put_unchanged(t);
        return;
    }
    IrVal a = x86_get_rmw(t, 0);
    IrVal r = ir_quad(t->u, t->in.op->arg ? IR_SHRD : IR_SHLD, x86_type(log2), a, x86_get(t, 1), count, known > 0 ? 0 : get_fl(t));
    IrVal f = ir_flags(t->u, r);
    x86_put(t, 0, r);
    ir_put(t->u, IRT_FL, X86S_FL, f);
}

/* SHLX, SARX, SHRX */
void x86_e_shx(X86Tr *t)
{
    unsigned log2 = x86_osz(t, 0);
    IrVal a = x86_get(t, 1);
    IrVal count = ir_bin(t->u, IR_AND, IRT_I8, x86_gpr(t, 0, t->in.vvvv), ir_const(t->u, IRT_I8, log2 == 3 ? 63 : 31));
    x86_put(t, 0, ir_tri(t->u, (IrOp)t->in.op->arg, x86_type(log2), a, count, 0));
}

void x86_e_rorx(X86Tr *t)
{
    unsigned log2 = x86_osz(t, 0);
    IrVal a = x86_get(t, 1);
    int64_t n = t->in.imm & (log2 == 3 ? 63 : 31);
    x86_put(t, 0, n ? ir_tri(t->u, IR_ROR, x86_type(log2), a, ir_const(t->u, IRT_I8, n), 0) : a);
}
