/* Branches, calls, exceptions (ARM C4.1.93). */
#include "tcg/guest/aarch64/translate.h"

/* k 1: BL */
bool tr_b(A64Tr *t, const A64Args *a)
{
    if (a->k)
        a64_call_rel(t, t->off + a->imm);
    else
        a64_branch(t, t->off + a->imm, 0, 0);
    return true;
}

bool tr_bcond(A64Tr *t, const A64Args *a)
{
    IrVal fl = 0;
    IrCond cc = a->cond < 14 ? a64_cond(t, (unsigned)a->cond, &fl) : 0;
    a64_branch(t, t->off + a->imm, cc, fl);
    return true;
}

bool tr_cbz(A64Tr *t, const A64Args *a)
{
    IrVal v = a64_r(t, a->sf, a->rt);
    a64_branch(t, t->off + a->imm, (IrCond)a->k, ir_test(t->u, a64_type(a->sf), v, v));
    return true;
}

/* k 1: TBNZ */
bool tr_tbz(A64Tr *t, const A64Args *a)
{
    IrCond cc;
    IrVal fl;
    if (a->bit == 63 || a->bit == 31) {        /* the sign */
        IrVal v = a64_r(t, a->bit == 63, a->rt);
        fl = ir_test(t->u, a64_type(a->bit == 63), v, v);
        cc = a->k ? IRC_S : IRC_NS;
    } else if (a->bit < 31) {
        fl = ir_test(t->u, IRT_I32, a64_r(t, 0, a->rt), a64_kt(t, 0, 1ll << a->bit));
        cc = a->k ? IRC_NE : IRC_E;
    } else {
        fl = ir_bt(t->u, IRT_I64, a64_x(t, a->rt), ir_const(t->u, IRT_I8, a->bit), 0);
        cc = a->k ? IRC_B : IRC_AE;
    }
    a64_branch(t, t->off + a->imm, cc, fl);
    return true;
}

/* k: IrJump */
bool tr_br(A64Tr *t, const A64Args *a)
{
    a64_jump(t, a->rn, 0, (IrJump)a->k);
    return true;
}

/* k: IrJump | key << 4, 32: modifier 0, 64: RETAA and RETAB */
bool tr_bra(A64Tr *t, const A64Args *a)
{
    unsigned key = (unsigned)a->k >> 4 & 1 ? A64_KEY_IB : A64_KEY_IA;
    int rn = a->k & 64 ? A64_LR : a->rn;
    IrVal modifier = a->k & 32 ? a64_k(t, 0) : a64_xsp(t, a->k & 64 ? A64_SP : a->rm);
    a64_jump(t, rn, a64_authenticate(t, a64_x(t, rn), modifier, key), (IrJump)(a->k & 15));
    return true;
}

/* ---- exceptions ---- */
bool tr_svc(A64Tr *t, const A64Args *a)
{
    ir_jmp(t->u, a64_call(t, A64H_svc, a64_k(t, a->imm), 0, 0, 0), IRJ_PLAIN);
    t->end = true;
    return true;
}

bool tr_brk(A64Tr *t, const A64Args *a)
{
    a64_emit_raise(t, A64_EC_BRK, (uint32_t)a->imm);
    return true;
}

/* Undefined without a halting debugger. */
bool tr_hlt(A64Tr *t, const A64Args *a) { (void)t, (void)a; return false; }
bool tr_udf(A64Tr *t, const A64Args *a) { (void)t, (void)a; return false; }
