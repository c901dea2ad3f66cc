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

/* An unmasked exception of an instruction before is reported now (SDM 1 8.6). CR0.NE = 0 is a matter of the helper's: FERR#. */
void x86_fpu_pending(X86Tr *t)
{
    IrUnit *u = t->u;
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
    IrUnit *u = t->u;
    if (x86_fpu_refused(t))
        return;
    ir_put(u, IRT_I16, X86S_FCW, ir_const(u, IRT_I16, 0x37f));
    ir_put(u, IRT_I16, X86S_FSW, ir_const(u, IRT_I16, 0));
    ir_put(u, IRT_I8, X86S_FTW, ir_const(u, IRT_I8, 0));
    ir_put(u, IRT_I16, X86S_FOP, ir_const(u, IRT_I16, 0));
    ir_put(u, IRT_I64, X86S_FIP, x86_k(t, 0));
    ir_put(u, IRT_I64, X86S_FDP, x86_k(t, 0));
}

/* Exception flags, stack fault, ES and busy. */
void x86_e_fnclex(X86Tr *t)
{
    IrUnit *u = t->u;
    if (x86_fpu_refused(t))
        return;
    ir_put(u, IRT_I16, X86S_FSW, ir_bin(u, IR_AND, IRT_I16, ir_get(u, IRT_I16, X86S_FSW), ir_const(u, IRT_I16, 0x7f00)));
}

/* FENI, FDISI, FSETPM: nothing since the 80387. */
void x86_e_fnop(X86Tr *t)
{
    x86_fpu_refused(t);
}

void x86_e_fnstcw(X86Tr *t)
{
    if (!x86_fpu_refused(t))
        x86_put(t, 0, ir_get(t->u, IRT_I16, X86S_FCW));
}

void x86_e_fnstsw(X86Tr *t)
{
    if (x86_fpu_refused(t))
        return;
    IrVal v = ir_get(t->u, IRT_I16, X86S_FSW);
    if (t->in.mod == 3)
        ir_put(t->u, IRT_I16, X86S_RAX, v);
    else
        x86_put(t, 0, v);
}

/* Unmasking a flag that is set, or masking the last one, changes ES (SDM 1 8.1.3.3). */
void x86_e_fldcw(X86Tr *t)
{
    if (x86_fpu_refused(t))
        return;
    x86_fpu_pending(t);
    x86_call(t, X86H_fldcw, ir_zext(t->u, IRT_I64, IRT_I16, x86_get(t, 0)), 0, 0, 0);
}
