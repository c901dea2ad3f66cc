#include "tcg/guest/x86/translate.h"

/* Moves, extensions, conditional moves, LEA, XLAT, segment registers. */

void x86_e_mov(X86Tr *t)
{
    x86_put(t, 0, x86_get(t, 1));
}

/* From memory: the load extends. */
static IrVal load_extended(X86Tr *t, IrType to, unsigned sign)
{
    unsigned log2 = x86_osz(t, 1);
    return ir_ld(t->u, to, x86_mem(t, 1u << log2, false), log2, t->mem_flags | sign, 0);
}

static bool extends_load(const X86Tr *t, IrType to) { return x86_is_mem(t, 1) && to >= IRT_I32 && to > x86_otype(t, 1); }

void x86_e_movzx(X86Tr *t)
{
    IrType to = x86_otype(t, 0);
    x86_put(t, 0, extends_load(t, to) ? load_extended(t, to, 0) : ir_zext(t->u, to, x86_otype(t, 1), x86_get(t, 1)));
}

/* MOVSX, MOVSXD; MOVSXD with a 16-bit operand size moves 16 bits. */
void x86_e_movsx(X86Tr *t)
{
    IrType to = x86_otype(t, 0), from = x86_otype(t, 1);
    if (extends_load(t, to)) {
        x86_put(t, 0, load_extended(t, to, IRM_SIGN));
        return;
    }
    IrVal v = x86_get(t, 1);
    x86_put(t, 0, to < from ? ir_trunc(t->u, to, v) : ir_sext(t->u, to, from, v));
}

void x86_e_lea(X86Tr *t)
{
    const X86Insn *in = &t->in;
    if (in->opsize == 2 && in->adsize == 3 && in->base != X86_REG_PC && in->base != X86_NO_REG) {    /* the low half of the sum needs the low halves only */
        IrVal x = in->index == X86_NO_REG ? 0 : x86_gpr(t, 2, in->index);
        x86_put(t, 0, ir_lea(t->u, IRT_I32, x86_gpr(t, 2, in->base), x, in->scale, in->disp));
        return;
    }
    x86_put(t, 0, ir_trunc(t->u, x86_otype(t, 0), x86_ea(t)));
}

/* The source is read, and a 32-bit destination zero-extended, whatever the condition. */
void x86_e_cmov(X86Tr *t)
{
    IrVal b = x86_get(t, 1), a = x86_get(t, 0);
    x86_put(t, 0, ir_select(t->u, x86_otype(t, 0), (IrCond)(t->in.opcode & 15), ir_get(t->u, IRT_FL, X86S_FL), b, a));
}

void x86_e_setcc(X86Tr *t)
{
    x86_put(t, 0, ir_cond(t->u, (IrCond)(t->in.opcode & 15), ir_get(t->u, IRT_FL, X86S_FL)));
}

void x86_e_cbw(X86Tr *t)
{
    unsigned log2 = t->in.opsize;
    x86_gpr_put(t, log2, X86_RAX, ir_sext(t->u, x86_type(log2), x86_type(log2 - 1), x86_gpr(t, log2 - 1, X86_RAX)));
}

void x86_e_cwd(X86Tr *t)
{
    unsigned log2 = t->in.opsize;
    IrType ty = x86_type(log2);
    x86_gpr_put(t, log2, X86_RDX, ir_tri(t->u, IR_SAR, ty, x86_gpr(t, log2, X86_RAX), ir_const(t->u, IRT_I8, (8 << log2) - 1), 0));
}

void x86_e_xlat(X86Tr *t)
{
    IrUnit *u = t->u;
    unsigned log2 = t->in.adsize;
    IrVal al = ir_zext(u, IRT_I64, IRT_I8, x86_gpr(t, 0, X86_RAX));
    IrVal ea = ir_bin(u, IR_ADD, IRT_I64, ir_get(u, IRT_I64, X86S_RBX), al);
    if (log2 < 3)
        ea = ir_extract(u, IRT_I64, ea, 0, 8u << log2);
    x86_gpr_put(t, 0, X86_RAX, x86_ld(t, 0, x86_seg_linear(t, t->in.seg, ea, 1, false)));
}

/* ---- segment registers ---- */

/* To a register the selector is zero-extended to the operand size; memory always gets 16 bits. */
void x86_e_mov_from_seg(X86Tr *t)
{
    if ((t->in.reg & 7) > X86_GS) {
        x86_emit_ud(t);
        return;
    }
    IrVal sel = x86_get(t, 1);
    if (x86_is_mem(t, 0))
        x86_st(t, 1, x86_mem(t, 2, true), sel);
    else
        x86_put(t, 0, ir_zext(t->u, x86_otype(t, 0), IRT_I16, sel));
}

void x86_load_seg(X86Tr *t, unsigned seg, IrVal sel)
{
    IrUnit *u = t->u;
    if (x86_prot(t)) {
        x86_call(t, X86H_load_seg, x86_k(t, seg), ir_zext(u, IRT_I64, IRT_I16, sel), 0, 0);
        return;
    }
    /* Real mode and VM86: a paragraph number; limit and rights stay (SDM 3A 20.1.1). */
    ir_put(u, IRT_I16, X86S_ES_SEL + seg, sel);
    ir_put(u, IRT_I64, X86S_ES_BASE + seg, ir_tri(u, IR_SHL, IRT_I64, ir_zext(u, IRT_I64, IRT_I16, sel), ir_const(u, IRT_I8, 4), 0));
}

/* What follows a load: SS opens an interrupt shadow; in flat code of 16 and 32 bits the mode key may be another now. Other units
 * do not assume anything of data segments. */
void x86_after_seg_load(X86Tr *t, unsigned seg)
{
    if (seg == X86_SS) {
        ir_put(t->u, IRT_I8, X86S_INT_SHADOW, ir_const(t->u, IRT_I8, X86_SHADOW_MOV_SS));
        x86_leave_look(t);
    } else if (!x86_64bit(t) && x86_flat(t)) {
        x86_leave_rip(t, x86_rip(t, t->next), IRJ_PLAIN);
    }
}

void x86_e_mov_to_seg(X86Tr *t)
{
    unsigned seg = t->in.reg & 7;
    if (seg > X86_GS || seg == X86_CS) {
        x86_emit_ud(t);
        return;
    }
    x86_load_seg(t, seg, x86_get(t, 1));
    x86_after_seg_load(t, seg);
}

/* LDS, LES, LSS, LFS, LGS */
void x86_e_lseg(X86Tr *t)
{
    unsigned log2 = t->in.opsize, seg = (unsigned)t->in.op->arg;
    IrVal lin = x86_mem(t, (1u << log2) + 2, false);
    IrVal off = x86_ld(t, log2, lin);
    IrVal sel = x86_ld(t, 1, x86_lin_add(t, lin, 1 << log2));
    x86_load_seg(t, seg, sel);                 /* may fault: the register is written after it */
    x86_gpr_put(t, log2, t->in.reg, off);
    x86_after_seg_load(t, seg);
}
