#include "tcg/guest/x86/translate.h"

/* Control of x87 state: no arithmetic. */

/* CR0.EM or TS: x87 instructions raise #NM (SDM 3A 2.5). True if that was emitted. */
bool x86_fpu_refused(X86Tr *t)
{
    if (!(t->mode & (X86M_TS | X86M_EM)))
        return false;
    x86_emit_raise(t, X86_NM);
    return true;
}

/*
 * An unmasked exception of an instruction before is reported now (SDM 1 8.6). Without CR0.NE it is an external interrupt's matter (FERR#).
 * Where all exceptions are masked there is none.
 */
void x86_fpu_pending(X86Tr *t)
{
    IrUnit *u = t->u;
    if ((t->mode & (X86M_XF | X86M_NE)) != (X86M_XF | X86M_NE))
        return;
    IrVal es = ir_bin(u, IR_AND, IRT_I16, ir_get(u, IRT_I16, X86S_FSW), ir_const(u, IRT_I16, 0x80));
    ir_brnz(u, IRT_I16, es, x86_cold_raise(t, X86_MF));
}

void x86_e_fwait(X86Tr *t)
{
    if ((t->mode & (X86M_TS | X86M_MP)) == (X86M_TS | X86M_MP))
        x86_emit_raise(t, X86_NM);
    else
        x86_fpu_pending(t);
}

void x86_e_fninit(X86Tr *t)
{
    if (x86_fpu_refused(t))
        return;
    x86_call(t, X86H_fninit, 0, 0, 0, 0);
    t->x87_based = false;
    t->x87_seg = 0;
    if (t->mode & X86M_XF)
        x86_leave_look(t);
}

/* Exception flags, stack fault, ES and busy. */
void x86_e_fnclex(X86Tr *t)
{
    IrUnit *u = t->u;
    if (x86_fpu_refused(t))
        return;
    if (t->mode & X86M_XF)
        ir_put(u, IRT_I16, X86S_FSW, ir_bin(u, IR_AND, IRT_I16, ir_get(u, IRT_I16, X86S_FSW), ir_const(u, IRT_I16, 0x7f00)));
    else
        x86_x87_native(t, IRT_NONE, 0, 0, 0);
}

/* FENI, FDISI, FSETPM: nothing since the 80387. */
void x86_e_fnop(X86Tr *t)
{
    x86_fpu_refused(t);
}

/* The slot always has the control word. */
void x86_e_fnstcw(X86Tr *t)
{
    if (!x86_fpu_refused(t))
        x86_put(t, 0, ir_get(t->u, IRT_I16, X86S_FCW));
}

void x86_e_fnstsw(X86Tr *t)
{
    IrUnit *u = t->u;
    if (x86_fpu_refused(t))
        return;
    IrVal v;
    if (t->mode & X86M_XF) {
        v = ir_get(u, IRT_I16, X86S_FSW);
    } else {
        v = ir_native(u, IRN_X87, IRT_I16, X86H_x87, x86_k(t, 0xdfe0), 0, 0, x86_k(t, 0));
        ir_forget(u, X86S_X87_LIVE);
        t->mmx_ready = false;
    }
    if (t->in.mod == 3)
        ir_put(u, IRT_I16, X86S_RAX, v);
    else
        x86_put(t, 0, v);
}

/* Unmasking a flag that is set, or masking the last one, changes ES (SDM 1 8.1.3.3), and the mode: by helper. */
void x86_e_fldcw(X86Tr *t)
{
    IrUnit *u = t->u;
    if (x86_fpu_refused(t))
        return;
    x86_fpu_pending(t);
    IrVal v = x86_get(t, 0);
    if (t->mode & X86M_XF || t->slow) {
        x86_call(t, X86H_fldcw, ir_zext(u, IRT_I64, IRT_I16, v), 0, 0, 0);
        x86_leave_look(t);
        return;
    }
    IrVal masks = ir_bin(u, IR_AND, IRT_I16, v, ir_const(u, IRT_I16, 0x3f));
    ir_brcond(u, IRC_NE, ir_cmp(u, IRT_I16, masks, ir_const(u, IRT_I16, 0x3f)), x86_cold_slow(t));
    v = ir_bin(u, IR_AND, IRT_I16, v, ir_const(u, IRT_I16, 0x1f7f));
    v = ir_bin(u, IR_OR, IRT_I16, v, ir_const(u, IRT_I16, 0x40));
    ir_put(u, IRT_I16, X86S_FCW, v);
    x86_x87_native(t, IRT_NONE, v, 0, 0);
}
