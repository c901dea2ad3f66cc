/* Moves of SSE and AVX: whole registers, scalars, halves, to and from general registers. */
#include "tcg/guest/x86/vec.h"

/* MOVAPS, MOVUPS and their like, loads and stores; arg: 1 = aligned memory */
void x86_e_vmov(X86Tr *t)
{
    if (!x86_vec_ok(t))
        return;
    IrType type = x86_vtype(t);
    unsigned log2 = type == IRT_V256 ? 5 : 4;
    bool align = t->in.op->arg;
    if (x86_is_mem(t, 0)) {
        IrVal lin = x86_mem(t, 1u << log2, true);
        ir_st(t->u, type, lin, ir_get(t->u, type, X86S_VEC0 + x86_vreg(t, 1)), log2, align ? IRM_ALIGN : 0, 0);
        return;
    }
    x86_vput(t, x86_vreg(t, 0), type, x86_vget(t, 1, type, log2, align));
}

void x86_e_vload_scalar(X86Tr *t)
{
    if (x86_vec_ok(t))
        x86_vput(t, x86_vreg(t, 0), IRT_V128, x86_vget(t, 1, IRT_V128, x86_vmem_log2(t, 1), false));
}

void x86_e_vstore_scalar(X86Tr *t)
{
    if (!x86_vec_ok(t))
        return;
    unsigned log2 = x86_vmem_log2(t, 0);
    IrVal lin = x86_mem(t, 1u << log2, true);
    ir_st(t->u, IRT_V128, lin, ir_get(t->u, IRT_V128, X86S_VEC0 + x86_vreg(t, 1)), log2, 0, 0);
}

/* MOVQ xmm, xmm/m64 */
void x86_e_vmovq_in(X86Tr *t)
{
    if (!x86_vec_ok(t))
        return;
    IrVal v;
    if (x86_is_mem(t, 1))
        v = x86_vget(t, 1, IRT_V128, 3, false);
    else
        v = ir_vop(t->u, IRT_V128, VOP_MOVQ, ir_get(t->u, IRT_V128, X86S_VEC0 + x86_vreg(t, 1)), 0, 0, 0);
    x86_vput(t, x86_vreg(t, 0), IRT_V128, v);
}

/* MOVLPS/PD, MOVHPS/PD from memory; arg: 1 = high half */
void x86_e_vload_half(X86Tr *t)
{
    if (!x86_vec_ok(t))
        return;
    unsigned n = t->in.vex ? 2 : 1;
    IrVal m = x86_vget(t, n, IRT_V128, 3, false), old = ir_get(t->u, IRT_V128, X86S_VEC0 + x86_vreg(t, t->in.vex ? 1 : 0));
    IrVal v = t->in.op->arg ? ir_vop(t->u, IRT_V128, VOP_PUNPCKLQDQ, old, m, 0, 0) : ir_vop(t->u, IRT_V128, VOP_MOVSD, old, m, 0, 0);
    x86_vput(t, x86_vreg(t, 0), IRT_V128, v);
}

void x86_e_vstore_half(X86Tr *t)
{
    if (!x86_vec_ok(t))
        return;
    IrVal lin = x86_mem(t, 8, true), v = ir_get(t->u, IRT_V128, X86S_VEC0 + x86_vreg(t, 1));
    if (t->in.op->arg)
        v = ir_vop(t->u, IRT_V128, VOP_PUNPCKHQDQ, v, v, 0, 0);
    ir_st(t->u, IRT_V128, lin, v, 3, 0, 0);
}

/* MOVD/MOVQ between general registers or memory and vector registers */
void x86_e_vmovd_in(X86Tr *t)
{
    if (!x86_vec_ok(t))
        return;
    unsigned log2 = x86_osz(t, 1);
    IrVal v = x86_is_mem(t, 1) ? x86_vget(t, 1, IRT_V128, log2, false) : ir_vop(t->u, IRT_V128, VOP_MOVD, x86_get(t, 1), 0, 0, 0);
    x86_vput(t, x86_vreg(t, 0), IRT_V128, v);
}

void x86_e_vmovd_out(X86Tr *t)
{
    if (!x86_vec_ok(t))
        return;
    unsigned log2 = x86_osz(t, 0);
    if (x86_is_mem(t, 0)) {
        IrVal lin = x86_mem(t, 1u << log2, true);
        ir_st(t->u, IRT_V128, lin, ir_get(t->u, IRT_V128, X86S_VEC0 + t->in.reg), log2, 0, 0);
        return;
    }
    IrVal v = ir_get(t->u, IRT_V128, X86S_VEC0 + t->in.reg);
    x86_put(t, 0, ir_vop(t->u, x86_type(log2), VOP_MOVDTOI, v, 0, 0, 0));
}
