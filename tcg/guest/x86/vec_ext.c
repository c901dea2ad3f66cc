/* Vector instructions that are not one operation on registers: halves, conversions to memory, strings, masked moves, gathers. */
#include "tcg/guest/x86/vec.h"

void x86_e_vins128(X86Tr *t)
{
    if (!x86_vec_ok(t))
        return;
    IrVal b = x86_vget(t, 2, IRT_V128, 4, false), a = ir_get(t->u, IRT_V256, X86S_VEC0 + x86_vreg(t, 1));
    x86_vput(t, x86_vreg(t, 0), IRT_V256, ir_vop(t->u, IRT_V256, VOP_VINSERTI128, a, b, 0, (unsigned)t->in.imm & 255));
}

/* Result @v to a vector register or 2^log2 bytes of memory */
static void put_rm(X86Tr *t, IrVal v, unsigned log2)
{
    if (!x86_is_mem(t, 0)) {
        x86_vput(t, x86_vreg(t, 0), IRT_V128, v);
        return;
    }
    IrVal lin = x86_mem(t, 1u << log2, true);
    ir_st(t->u, IRT_V128, lin, v, log2, 0, 0);
}

void x86_e_vext128(X86Tr *t)
{
    if (!x86_vec_ok(t))
        return;
    IrVal a = ir_get(t->u, IRT_V256, X86S_VEC0 + x86_vreg(t, 1));
    put_rm(t, ir_vop(t->u, IRT_V128, VOP_VEXTRACTI128, a, 0, 0, (unsigned)t->in.imm & 255), 4);
}

void x86_e_vps2ph(X86Tr *t)
{
    if (!x86_vec_ok(t))
        return;
    IrVal a = ir_get(t->u, x86_vtype(t), X86S_VEC0 + x86_vreg(t, 1));
    put_rm(t, ir_vop(t->u, IRT_V128, VOP_VCVTPS2PH, a, 0, 0, (unsigned)t->in.imm & 255), t->in.vex_l ? 4 : 3);
}

void x86_e_vbcast128(X86Tr *t)
{
    if (!x86_vec_ok(t))
        return;
    IrVal a = x86_vget(t, 1, IRT_V128, 4, false);
    x86_vput(t, x86_vreg(t, 0), IRT_V256, ir_vop(t->u, IRT_V256, VOP_VINSERTI128, ir_zext(t->u, IRT_V256, IRT_V128, a), a, 0, 1));
}

/* From memory the value is lane 0 whatever the immediate's upper bits say (SDM 2A INSERTPS). */
void x86_e_vinsertps(X86Tr *t)
{
    if (!x86_vec_ok(t))
        return;
    unsigned n = t->in.vex ? 2 : 1, k = (unsigned)t->in.imm & (x86_is_mem(t, n) ? 0x3f : 0xff);
    IrVal b = x86_vget(t, n, IRT_V128, 2, false), a = ir_get(t->u, IRT_V128, X86S_VEC0 + x86_vreg(t, t->in.vex ? 1 : 0));
    x86_vput(t, x86_vreg(t, 0), IRT_V128, ir_vop(t->u, IRT_V128, VOP_INSERTPS, a, b, 0, k));
}

/* PCMPxSTRx; arg: 1 = index to ECX (else mask to XMM0), 2 = implicit lengths. Memory needs no alignment. */
void x86_e_pcmpstr(X86Tr *t)
{
    if (!x86_vec_ok(t))
        return;
    IrVal b = x86_vget(t, 1, IRT_V128, 4, false);
    IrVal lo = ir_vop(t->u, IRT_I64, VOP_MOVDTOI, b, 0, 0, 0);
    IrVal hi = ir_vop(t->u, IRT_I64, VOP_MOVDTOI, ir_vop(t->u, IRT_V128, VOP_PUNPCKHQDQ, b, b, 0, 0), 0, 0, 0);
    int64_t how = (t->in.imm & 255) | x86_vreg(t, 0) << 8 | t->in.op->arg << 16 | (x86_64bit(t) && t->in.rex_w) << 20 | (t->in.vex != 0) << 21;
    x86_call(t, X86H_pcmpstr, lo, hi, x86_k(t, how), 0);
}

/* VMASKMOVPS/PD, VPMASKMOVD/Q; arg: 1 = store, the rest log2 of an element's bytes. The mask is operand 1. */
void x86_e_vmaskmov(X86Tr *t)
{
    if (!x86_vec_ok(t))
        return;
    bool store = t->in.op->arg & 1;
    unsigned bytes = t->in.vex_l ? 32 : 16;
    int64_t how = x86_vreg(t, store ? 2 : 0) | x86_vreg(t, 1) << 8 | (t->in.op->arg >> 1) << 16 | store << 20 | (int64_t)bytes << 24;
    x86_call(t, X86H_vmaskmov, x86_mem(t, bytes, store), x86_k(t, how), 0, 0);
}

/* Gathers; arg: 1 = indices of 64 bits. Limits of segments outside 64-bit code are not looked at. */
void x86_e_vgather(X86Tr *t)
{
    if (!x86_vec_ok(t))
        return;
    const X86Insn *in = &t->in;
    unsigned dst = x86_vreg(t, 0), mask = x86_vreg(t, 2);
    if (dst == mask || dst == in->index || mask == in->index) {
        x86_emit_ud(t);
        return;
    }
    IrVal base = x86_k(t, in->disp), seg = x86_k(t, 0);
    if (in->base != X86_NO_REG)
        base = ir_bin(t->u, IR_ADD, IRT_I64, base, x86_gpr(t, 3, in->base));
    if (in->seg >= X86_FS || !x86_64bit(t))
        seg = ir_get(t->u, IRT_I64, X86S_ES_BASE + in->seg);
    int64_t how = dst | mask << 8 | in->index << 16 | in->scale << 24 | in->rex_w << 26 | t->in.op->arg << 27 | in->vex_l << 28 |
                  (int64_t)(in->adsize == 2) << 29;
    x86_call(t, X86H_vgather, base, seg, x86_k(t, how), 0);
}
