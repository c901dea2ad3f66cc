/*
 * MMX on the vector operations: a register is the low half of a vector. Operations that look across 64 bits are composed so that
 * their result comes out there.
 */
#include "tcg/guest/x86/vec.h"

bool x86_mmx_ok(X86Tr *t)
{
    if (t->mode & X86M_EM)
        x86_emit_ud(t);
    else if (t->mode & X86M_TS)
        x86_emit_raise(t, X86_NM);
    if (t->mode & (X86M_EM | X86M_TS))
        return false;
    if (t->mode & X86M_XF)
        x86_fpu_pending(t);    /* SDM 3A 12.5: #MF comes before the MMX instruction */
    else if (t->slow)
        x86_call(t, X86H_x87_settle, 0, 0, 0, 0);
    else if (!t->mmx_ready)
        ir_brnz(t->u, IRT_I8, ir_get(t->u, IRT_I8, X86S_X87_LIVE), x86_cold_slow(t));
    t->mmx_ready |= !t->slow;
    return true;
}

/* Every MMX instruction makes TOP 0 and all tags valid, EMMS all of them empty (SDM 3A table 12-1). After the last thing that may fault. */
static void set_tags(X86Tr *t, int tags)
{
    IrVal fsw = ir_get(t->u, IRT_I16, X86S_FSW);
    ir_put(t->u, IRT_I16, X86S_FSW, ir_bin(t->u, IR_AND, IRT_I16, fsw, ir_const(t->u, IRT_I16, ~0x3800)));
    ir_put(t->u, IRT_I8, X86S_FTW, ir_const(t->u, IRT_I8, tags));
}

static void touch(X86Tr *t) { set_tags(t, -1); }

static unsigned mmreg(const X86Tr *t, unsigned n)
{
    return (t->in.op->opnd[n].kind == X86O_P ? t->in.reg : t->in.rm) & 7;
}

static IrVal mmget(X86Tr *t, unsigned n)
{
    if (x86_is_mem(t, n))
        return ir_ld(t->u, IRT_V64, x86_mem(t, 8, false), 3, 0, 0);
    return ir_get(t->u, IRT_V64, X86S_MM0 + mmreg(t, n));
}

static void mmput(X86Tr *t, unsigned reg, IrVal v)
{
    touch(t);
    ir_put(t->u, IRT_V64, X86S_MM0 + reg, v);
    ir_put(t->u, IRT_I16, X86S_MMEXP0 + reg, ir_const(t->u, IRT_I16, -1));
}

static IrVal op2(X86Tr *t, unsigned vop, IrVal a, IrVal b, unsigned k) { return ir_vop(t->u, IRT_V64, vop, a, b, 0, k); }

static IrVal both(X86Tr *t, IrVal a, IrVal b) { return ir_vop(t->u, IRT_V128, VOP_PUNPCKLQDQ, a, b, 0, 0); }

static IrVal mmx_compute(X86Tr *t, unsigned vop, IrVal a, IrVal b, unsigned k)
{
    IrVal x;
    switch (vop) {
    case VOP_PACKSSWB: case VOP_PACKSSDW: case VOP_PACKUSWB: case VOP_PHADDW: case VOP_PHADDD: case VOP_PHADDSW: case VOP_PHSUBW: case VOP_PHSUBD:
    case VOP_PHSUBSW:
        x = both(t, a, b);
        return ir_trunc(t->u, IRT_V64, ir_vop(t->u, IRT_V128, vop, x, x, 0, 0));
    case VOP_PUNPCKHBW: case VOP_PUNPCKHWD: case VOP_PUNPCKHDQ: {
        unsigned low = vop == VOP_PUNPCKHBW ? VOP_PUNPCKLBW : vop == VOP_PUNPCKHWD ? VOP_PUNPCKLWD : VOP_PUNPCKLDQ;
        return op2(t, low, op2(t, VOP_PSRLQI, a, 0, 32), op2(t, VOP_PSRLQI, b, 0, 32), 0);
    }
    case VOP_PSHUFB:
        x = ir_vop(t->u, IRT_V64, VOP_MOVD, x86_k(t, (int64_t)0x8787878787878787ull), 0, 0, 0);
        return op2(t, vop, a, op2(t, VOP_PAND, b, x, 0), 0);
    case VOP_PALIGNR:
        return ir_trunc(t->u, IRT_V64, ir_vop(t->u, IRT_V128, VOP_PSRLDQ, both(t, b, a), 0, 0, k));
    default:
        return op2(t, vop, a, b, k);
    }
}

void x86_e_mmxop(X86Tr *t)
{
    if (!x86_mmx_ok(t))
        return;
    unsigned vop = (unsigned)t->in.op->arg, k = (unsigned)t->in.imm & 255;
    if (t->in.op->opnd[0].kind == X86O_N) {          /* shift by immediate */
        mmput(t, t->in.rm & 7, op2(t, vop, ir_get(t->u, IRT_V64, X86S_MM0 + (t->in.rm & 7)), 0, k));
        return;
    }
    IrVal b = mmget(t, 1);
    bool unary = vop == VOP_PABSB || vop == VOP_PABSW || vop == VOP_PABSD;
    IrVal a = ir_get(t->u, IRT_V64, X86S_MM0 + (t->in.reg & 7));
    mmput(t, t->in.reg & 7, unary ? op2(t, vop, b, 0, 0) : mmx_compute(t, vop, a, b, k));
}

void x86_e_mmxmov(X86Tr *t)
{
    if (!x86_mmx_ok(t))
        return;
    if (x86_is_mem(t, 0)) {
        IrVal lin = x86_mem(t, 8, true);
        ir_st(t->u, IRT_V64, lin, ir_get(t->u, IRT_V64, X86S_MM0 + mmreg(t, 1)), 3, 0, 0);
        touch(t);
        return;
    }
    mmput(t, mmreg(t, 0), mmget(t, 1));
}

void x86_e_mmxmovd_in(X86Tr *t)
{
    if (!x86_mmx_ok(t))
        return;
    IrVal v = x86_get(t, 1);
    mmput(t, t->in.reg & 7, ir_vop(t->u, IRT_V64, VOP_MOVD, v, 0, 0, 0));
}

void x86_e_mmxmovd_out(X86Tr *t)
{
    if (!x86_mmx_ok(t))
        return;
    IrVal v = ir_vop(t->u, x86_otype(t, 0), VOP_MOVDTOI, ir_get(t->u, IRT_V64, X86S_MM0 + (t->in.reg & 7)), 0, 0, 0);
    x86_put(t, 0, v);
    touch(t);
}

void x86_e_mmxtoi(X86Tr *t)
{
    if (!x86_mmx_ok(t))
        return;
    IrVal v = ir_vop(t->u, IRT_I32, (unsigned)t->in.op->arg, ir_get(t->u, IRT_V64, X86S_MM0 + (t->in.rm & 7)), 0, 0, 0);
    x86_gpr_put(t, 2, t->in.reg, ir_bin(t->u, IR_AND, IRT_I32, v, ir_const(t->u, IRT_I32, 0xff)));
    touch(t);
}

void x86_e_mmxmovq2dq(X86Tr *t)
{
    if (!x86_mmx_ok(t) || !x86_vec_ok(t))
        return;
    IrVal v = ir_vop(t->u, IRT_V128, VOP_MOVQ, ir_get(t->u, IRT_V64, X86S_MM0 + (t->in.rm & 7)), 0, 0, 0);
    x86_vput(t, t->in.reg, IRT_V128, v);
    touch(t);
}

void x86_e_mmxmovdq2q(X86Tr *t)
{
    if (!x86_mmx_ok(t) || !x86_vec_ok(t))
        return;
    mmput(t, t->in.reg & 7, ir_trunc(t->u, IRT_V64, ir_get(t->u, IRT_V128, X86S_VEC0 + t->in.rm)));
}

void x86_e_emms(X86Tr *t)
{
    if (x86_mmx_ok(t))
        set_tags(t, 0);
}

void x86_e_mmxshufw(X86Tr *t)
{
    if (!x86_mmx_ok(t))
        return;
    mmput(t, t->in.reg & 7, op2(t, VOP_PSHUFLW, mmget(t, 1), 0, (unsigned)t->in.imm & 255));
}

void x86_e_mmxpinsrw(X86Tr *t)
{
    if (!x86_mmx_ok(t))
        return;
    IrVal b = x86_is_mem(t, 1) ? ir_ld(t->u, IRT_I32, x86_mem(t, 2, false), 1, t->mem_flags, 0) : x86_gpr(t, 2, x86_opnd_reg(t, 1));
    mmput(t, t->in.reg & 7, op2(t, VOP_PINSRW, ir_get(t->u, IRT_V64, X86S_MM0 + (t->in.reg & 7)), b, (unsigned)t->in.imm & 3));
}

void x86_e_mmxpextrw(X86Tr *t)
{
    if (!x86_mmx_ok(t))
        return;
    IrVal v = ir_vop(t->u, IRT_I32, VOP_PEXTRW, ir_get(t->u, IRT_V64, X86S_MM0 + (t->in.rm & 7)), 0, 0, (unsigned)t->in.imm & 3);
    x86_gpr_put(t, 2, t->in.reg, v);
    touch(t);
}

/* MASKMOVQ, MASKMOVDQU; arg: 1 = MMX. Memory is DS:rDI. */
void x86_e_maskmov(X86Tr *t)
{
    bool mmx = t->in.op->arg;
    if (mmx ? !x86_mmx_ok(t) : !x86_vec_ok(t))
        return;
    unsigned log2 = t->in.adsize;
    IrVal off = x86_gpr(t, log2, X86_RDI);
    IrVal lin = x86_seg_linear(t, t->in.seg, log2 < 3 ? ir_zext(t->u, IRT_I64, x86_type(log2), off) : off, mmx ? 8 : 16, true);
    x86_call(t, X86H_maskmov, lin, x86_k(t, t->in.reg | t->in.rm << 8 | mmx << 16), 0, 0);
    if (mmx)
        touch(t);
}

/* CVTPI2PS, CVTPI2PD; the latter touches the x87 state only if it reads an MMX register (SDM 2A). */
void x86_e_cvtpi2(X86Tr *t)
{
    unsigned vop = (unsigned)t->in.op->arg;
    if (!x86_mmx_ok(t) || !x86_vec_ok(t))
        return;
    IrVal v = ir_vop(t->u, IRT_V128, vop, ir_zext(t->u, IRT_V128, IRT_V64, mmget(t, 1)), 0, 0, 0);
    if (vop == VOP_CVTDQ2PS)
        v = ir_vop(t->u, IRT_V128, VOP_MOVSD, ir_get(t->u, IRT_V128, X86S_VEC0 + t->in.reg), v, 0, 0);
    x86_vput(t, t->in.reg, IRT_V128, v);
    if (vop == VOP_CVTDQ2PS || !x86_is_mem(t, 1))
        touch(t);
}

/* CVT(T)PS2PI, CVT(T)PD2PI: only the lanes converted may raise flags. */
void x86_e_cvt2pi(X86Tr *t)
{
    unsigned vop = (unsigned)t->in.op->arg;
    if (!x86_mmx_ok(t) || !x86_vec_ok(t))
        return;
    IrVal a = x86_vget(t, 1, IRT_V128, x86_vmem_log2(t, 1), true);
    if (vop == VOP_CVTPS2DQ || vop == VOP_CVTTPS2DQ)
        a = ir_vop(t->u, IRT_V128, VOP_MOVQ, a, 0, 0, 0);
    mmput(t, t->in.reg & 7, ir_trunc(t->u, IRT_V64, ir_vop(t->u, IRT_V128, vop, a, 0, 0, 0)));
}
