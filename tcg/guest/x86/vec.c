/* SSE and AVX: one emitter for everything that is "registers in, vector operation, register out". */
#include "tcg/guest/x86/vec.h"

bool x86_vec_ok(X86Tr *t)
{
    bool ud = t->in.vex ? !(t->mode & X86M_AVX) : t->mode & X86M_EM || !(t->mode & X86M_OSFXSR);
    if (ud)
        x86_emit_ud(t);
    else if (t->mode & X86M_TS)
        x86_emit_raise(t, X86_NM);
    return !ud && !(t->mode & X86M_TS);
}

unsigned x86_vreg(const X86Tr *t, unsigned n)
{
    switch (t->in.op->opnd[n].kind) {
    case X86O_V: case X86O_P: return t->in.reg;
    case X86O_H: case X86O_B: return t->in.vvvv;
    case X86O_L: return (unsigned)t->in.imm >> 4 & (X86M_CODE(t->mode) == X86M_CODE64 ? 15 : 7);
    case X86O_XMM: return 0;
    default: return t->in.rm;
    }
}

unsigned x86_vmem_log2(const X86Tr *t, unsigned n)
{
    switch (t->in.op->opnd[n].size) {
    case X86Z_b: return 0;
    case X86Z_w: return 1;
    case X86Z_d: case X86Z_ss: return 2;
    case X86Z_q: case X86Z_sd: return 3;
    case X86Z_qq: return 5;
    case X86Z_dq: return 4;
    default: return x86_vtype(t) == IRT_V256 ? 5 : 4;
    }
}

IrVal x86_vget(X86Tr *t, unsigned n, IrType type, unsigned log2, bool align)
{
    if (!x86_is_mem(t, n))
        return ir_get(t->u, type, X86S_VEC0 + x86_vreg(t, n));
    IrVal lin = x86_mem(t, 1u << log2, false);
    if (log2 < 2) {
        IrVal v = ir_ld(t->u, IRT_I32, lin, log2, t->mem_flags, 0);
        return ir_vop(t->u, type, VOP_MOVD, v, 0, 0, 0);
    }
    return ir_ld(t->u, type, lin, log2, align && log2 >= 4 ? IRM_ALIGN : 0, 0);
}

void x86_vput(X86Tr *t, unsigned reg, IrType type, IrVal v)
{
    if (t->in.vex && type != IRT_V256)
        v = ir_zext(t->u, IRT_V256, type, v);
    ir_put(t->u, t->in.vex ? IRT_V256 : type, X86S_VEC0 + reg, v);
}

typedef enum Form { BIN, BINI, UN, UNI, SBIN, SBINI, WIDEN, NARROW, TRI, FMA, FROMI, FROMI0, TOI, TOIMR, TOFL, INS, TOII, TOIIMR, INS128, EXT128,
                    SHI2, SHI3, SHI4, SHI6, SHI7, LEG, LEGI, LEGX0, NARROWIMR, PCI, PCE } Form;
static const uint8_t vop_form[VOPS] = {
#define VOP(name, form, enc, fp) [VOP_##name] = form,
#include "tcg/vops.def"
#undef VOP
};

/* Operand @n as a source; legacy 128-bit memory operands must be aligned. */
static IrVal src(X86Tr *t, unsigned n, IrType type)
{
    unsigned form = vop_form[t->in.op->arg];
    bool sha = form >= LEG && form <= LEGX0;     /* observed: these do not demand it */
    return x86_vget(t, n, type, x86_vmem_log2(t, n), !t->in.vex && !sha);
}

void x86_e_vop(X86Tr *t)
{
    unsigned vop = (unsigned)t->in.op->arg;
    IrType type = x86_vtype(t);
    if (!x86_vec_ok(t))
        return;
    unsigned n = 1, k = (unsigned)t->in.imm & 255;
    bool scalar = vop_form[vop] == SBIN || vop_form[vop] == SBINI;
    if (!t->in.vex && vop >= VOP_CMPPS && vop <= VOP_CMPSD)
        k &= 7;                /* the legacy form knows eight predicates (SDM 2A, CMPPS) */
    IrVal a, b = 0, c = 0;
    switch (vop_form[vop]) {
    case LEG: case LEGI: case LEGX0:
    case BIN: case BINI: case SBIN: case SBINI:
        if (scalar)
            type = IRT_V128;
        if (t->in.vex)
            a = x86_vget(t, n++, type, 4, false);
        else
            a = ir_get(t->u, type, X86S_VEC0 + x86_vreg(t, 0));
        b = src(t, n, type);
        if (vop_form[vop] == LEGX0)
            c = ir_get(t->u, type, X86S_VEC0);
        break;
    case TRI:
        a = ir_get(t->u, type, X86S_VEC0 + x86_vreg(t, t->in.vex ? n++ : 0));
        b = src(t, n, type);
        c = ir_get(t->u, type, X86S_VEC0 + x86_vreg(t, n + 1));
        break;
    case FMA:
        if (t->in.op->opnd[2].size == X86Z_ss || t->in.op->opnd[2].size == X86Z_sd)
            type = IRT_V128;
        c = src(t, 2, type);
        a = ir_get(t->u, type, X86S_VEC0 + x86_vreg(t, 0));
        b = ir_get(t->u, type, X86S_VEC0 + x86_vreg(t, 1));
        break;
    case WIDEN:
        a = src(t, 1, IRT_V128);
        break;
    case NARROW:
        a = src(t, 1, type);
        type = IRT_V128;
        break;
    case SHI2: case SHI3: case SHI4: case SHI6: case SHI7:
        n = t->in.vex ? 1 : 0;
        a = ir_get(t->u, type, X86S_VEC0 + t->in.rm);
        break;
    default:
        a = src(t, 1, type);
        break;
    }
    x86_vput(t, x86_vreg(t, 0), type, ir_vop(t->u, type, vop, a, b, c, k));
}

/* CVTSI2SS/SD */
void x86_e_vfromi(X86Tr *t)
{
    if (!x86_vec_ok(t))
        return;
    unsigned n = t->in.vex ? 2 : 1;
    IrVal a = ir_get(t->u, IRT_V128, X86S_VEC0 + x86_vreg(t, t->in.vex ? 1 : 0));
    IrVal b = x86_get(t, n);
    x86_vput(t, x86_vreg(t, 0), IRT_V128, ir_vop(t->u, IRT_V128, (unsigned)t->in.op->arg, a, b, 0, 0));
}

/* CVT*2SI, MOVMSK, PMOVMSKB: vector to general register */
void x86_e_vtoi(X86Tr *t)
{
    if (!x86_vec_ok(t))
        return;
    unsigned log2 = x86_osz(t, 0);
    bool scalar = t->in.op->opnd[1].size == X86Z_ss || t->in.op->opnd[1].size == X86Z_sd;
    IrVal a = x86_vget(t, 1, scalar ? IRT_V128 : x86_vtype(t), x86_vmem_log2(t, 1), !t->in.vex);
    x86_gpr_put(t, log2 < 2 ? 2 : log2, x86_opnd_reg(t, 0), ir_vop(t->u, log2 == 3 ? IRT_I64 : IRT_I32, (unsigned)t->in.op->arg, a, 0, 0, 0));
}

/* (U)COMISx, PTEST. The host's OF SF AF are 0 as the guest's must be. */
void x86_e_vtofl(X86Tr *t)
{
    if (!x86_vec_ok(t))
        return;
    bool scalar = t->in.op->opnd[1].size == X86Z_ss || t->in.op->opnd[1].size == X86Z_sd;
    IrType type = scalar ? IRT_V128 : x86_vtype(t);
    IrVal b = x86_vget(t, 1, type, x86_vmem_log2(t, 1), !t->in.vex);
    IrVal a = ir_get(t->u, type, X86S_VEC0 + x86_vreg(t, 0));
    ir_put(t->u, IRT_FL, X86S_FL, ir_vop(t->u, IRT_FL, (unsigned)t->in.op->arg, a, b, 0, 0));
}

/* PINSRx; operand before the immediate is a register or as much of memory */
void x86_e_vpinsr(X86Tr *t)
{
    if (!x86_vec_ok(t))
        return;
    unsigned n = t->in.vex ? 2 : 1, vop = (unsigned)t->in.op->arg;
    unsigned log2 = vop == VOP_PINSRB ? 0 : vop == VOP_PINSRW ? 1 : x86_osz(t, n);
    IrVal a = ir_get(t->u, IRT_V128, X86S_VEC0 + x86_vreg(t, t->in.vex ? 1 : 0)), b;
    if (x86_is_mem(t, n))
        b = ir_ld(t->u, log2 == 3 ? IRT_I64 : IRT_I32, x86_mem(t, 1u << log2, false), log2, t->mem_flags, 0);
    else
        b = x86_gpr(t, log2 == 3 ? 3 : 2, x86_opnd_reg(t, n));
    x86_vput(t, x86_vreg(t, 0), IRT_V128, ir_vop(t->u, IRT_V128, vop, a, b, 0, (unsigned)t->in.imm & 255));
}

void x86_e_vpextr(X86Tr *t)
{
    if (!x86_vec_ok(t))
        return;
    IrVal a = ir_get(t->u, IRT_V128, X86S_VEC0 + x86_vreg(t, 1));
    unsigned log2 = x86_osz(t, 0);
    IrVal v = ir_vop(t->u, log2 == 3 ? IRT_I64 : IRT_I32, (unsigned)t->in.op->arg, a, 0, 0, (unsigned)t->in.imm & 255);
    x86_put(t, 0, log2 < 2 ? ir_trunc(t->u, x86_type(log2), v) : v);
}

void x86_e_vzeroupper(X86Tr *t)
{
    if (!x86_vec_ok(t))
        return;
    unsigned n = x86_64bit(t) ? 16 : 8;
    if (!t->in.op->arg && n == 16) {
        ir_vupper(t->u, X86S_VEC0, n);
        return;
    }
    for (unsigned r = 0; r < n; r++) {
        IrVal v = t->in.op->arg ? ir_vop(t->u, IRT_V128, VOP_MOVD, ir_const(t->u, IRT_I32, 0), 0, 0, 0) : ir_get(t->u, IRT_V128, X86S_VEC0 + r);
        ir_put(t->u, IRT_V256, X86S_VEC0 + r, ir_zext(t->u, IRT_V256, IRT_V128, v));
    }
}

/* FXSAVE, XSAVE and their family: address and operand size to the helper, which checks the rest. */
void x86_e_vstate(X86Tr *t)
{
    x86_call(t, (unsigned)t->in.op->arg, x86_mem(t, 64, false), x86_k(t, t->in.rex_w ? 8 : 4), 0, 0);
    if (t->in.op->arg == X86H_fxrstor || t->in.op->arg == X86H_xrstor || t->in.op->arg == X86H_xrstors)
        x86_leave_look(t);     /* PKRU and MXCSR may be among it */
}

/* LDMXCSR, STMXCSR; arg: 1 = store. In line as long as all exceptions stay masked, which the mode key has a bit for. */
void x86_e_mxcsr(X86Tr *t)
{
    enum { MASKS = 0x1f80, RESERVED = (int)0xffff0000 };
    if (!x86_vec_ok(t))
        return;
    IrUnit *u = t->u;
    IrVal lin = x86_mem(t, 4, t->in.op->arg);
    if (t->in.op->arg) {
        x86_st(t, 2, lin, ir_emit(u, IR_FPENV, IRT_I32, 0, 0, 0, 0));
        return;
    }
    IrVal v = x86_ld(t, 2, lin);
    if (!t->slow && !(t->mode & X86M_XM)) {
        IrVal masked = ir_cmp(u, IRT_I32, ir_bin(u, IR_AND, IRT_I32, v, ir_const(u, IRT_I32, MASKS | RESERVED)), ir_const(u, IRT_I32, MASKS));
        ir_brcond(u, IRC_NE, masked, x86_cold_slow(t));
        ir_emit(u, IR_FPENVPUT, IRT_NONE, v, 0, 0, 0);
        return;
    }
    x86_call(t, X86H_ldmxcsr, v, 0, 0, 0);
    x86_leave_look(t);
}
