/* Branches, calls, exceptions (ARM C4.1.93). */
#include "tcg/guest/aarch64/translate.h"

/* k 1: BL */
bool tr_b(A64Tr *t, const A64Args *a)
{
    if (a->k)
        a64_put_x(t, A64_LR, ir_pc(t->u, t->next));
    if (a->k)
        a64_leave_goto(t, t->off + a->imm);
    else
        a64_branch(t, t->off + a->imm, 0, 0);
    return true;
}

/* k: IrJump */
bool tr_br(A64Tr *t, const A64Args *a)
{
    IrVal to = a64_x(t, a->rn);
    if (a->k == IRJ_CALL)
        a64_put_x(t, A64_LR, ir_pc(t->u, t->next));
    a64_leave_jmp(t, to, (IrJump)a->k);
    return true;
}

bool tr_svc(A64Tr *t, const A64Args *a)
{
    ir_jmp(t->u, a64_call(t, A64H_svc, a64_k(t, a->imm), 0, 0, 0), IRJ_PLAIN);
    t->end = true;
    return true;
}
