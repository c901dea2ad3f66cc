/*
 * F and D (unpriv chapters 11, 12) on the host's floating-point instructions. The host's exception flags are the guest's fflags (same
 * conditions, underflow detected after rounding in both), the host's rounding mode is frm. What differs is out of line: results that are NaN
 * (canonical here), and by helper singles that are not NaN-boxed, static rounding modes other than frm, out-of-range conversions.
 * Scalar operations of the host take what is above the lane from their first operand: of boxed singles comes a boxed single.
 */
#include "tcg/guest/riscv/translate.h"
#include "tcg/vops.h"

static bool fp_on(const RiscvTr *t) { return t->mode & RVM_FS_ON; }
static bool is_double(const RiscvArgs *a) { return a->k & 1; }
static unsigned kind_of(const RiscvArgs *a) { return (unsigned)a->k & 0xfe; }

/* Rounding mode of the instruction in this mode; -1: reserved. */
static int rounding(const RiscvTr *t, const RiscvArgs *a)
{
    unsigned rm = a->rm == RISCV_DYN ? RVM_FRM(t->mode) : (unsigned)a->rm;
    return rm > RISCV_RMM ? -1 : (int)rm;
}

/* Does the host round this way now? */
static bool host_rounds(const RiscvTr *t, int rm) { return rm == (int)RVM_FRM(t->mode) && rm != RISCV_RMM; }

/* Before the first write of an f register: mstatus.FS becomes dirty. */
static void dirty(RiscvTr *t)
{
    if (t->mode & RVM_FS_DIRTY || t->look)
        return;
    rv_call(t, RVH_fs_dirty, 0, 0, 0, 0);
    t->look = true;
}

static IrVal fget(RiscvTr *t, int n) { return ir_get(t->u, IRT_V64, RVS_F0 + (unsigned)n); }
static IrVal fraw(RiscvTr *t, int n) { return ir_vop(t->u, IRT_I64, VOP_MOVDTOI, fget(t, n), 0, 0, 0); }
static IrVal box(RiscvTr *t) { return ir_get(t->u, IRT_V64, RVS_BOX); }

static void fput(RiscvTr *t, int n, IrVal v, bool single)
{
    dirty(t);
    ir_put(t->u, IRT_V64, RVS_F0 + (unsigned)n, v);
    if (single)
        t->boxed |= 1u << n;
    else
        t->boxed &= ~(1u << n);
}

static void fput_raw(RiscvTr *t, int n, IrVal v, bool single) { fput(t, n, ir_vop(t->u, IRT_V64, VOP_MOVD, v, 0, 0, 0), single); }

/* Go out of line unless f[n] is a NaN-boxed single (unpriv 12.2). */
static void need_boxed(RiscvTr *t, const RiscvArgs *a, int n)
{
    if (t->boxed >> n & 1)
        return;
    IrVal high = ir_tri(t->u, IR_SAR, IRT_I64, fraw(t, n), ir_const(t->u, IRT_I8, 32), 0);
    IrVal fl = ir_cmp(t->u, IRT_I64, high, rv_k(t, -1));
    ir_brcond(t->u, IRC_NE, fl, rv_cold(t, RISCV_COLD_FP, a));
    t->boxed |= 1u << n;
}

static IrVal operand(RiscvTr *t, const RiscvArgs *a, int n, bool dbl)
{
    if (!dbl)
        need_boxed(t, a, n);
    return fget(t, n);
}

/* ---- by helper ---- */
enum { OPND_F1 = 1, OPND_F2 = 2, OPND_F3 = 4, OPND_X1 = 8, RES_X = 16 };

static unsigned shape(unsigned kind)
{
    if (kind <= RVF_FDIV || (kind >= RVF_FSGNJ && kind <= RVF_FMAX))
        return OPND_F1 | OPND_F2;
    if (kind >= RVF_FMADD && kind <= RVF_FNMADD)
        return OPND_F1 | OPND_F2 | OPND_F3;
    if (kind >= RVF_FLE && kind <= RVF_FEQ)
        return OPND_F1 | OPND_F2 | RES_X;
    if (kind == RVF_FCLASS || (kind >= RVF_TO_W && kind <= RVF_TO_LU))
        return OPND_F1 | RES_X;
    return kind >= RVF_FROM_W && kind <= RVF_FROM_LU ? OPND_X1 : OPND_F1;
}

void rv_fp_slow(RiscvTr *t, const RiscvArgs *a)
{
    unsigned s = shape(kind_of(a));
    int rm = rounding(t, a);
    IrVal desc = rv_k(t, (a->k & 255) | (rm < 0 ? 0 : rm) << 8);
    IrVal x = s & OPND_X1 ? rv_x(t, a->rs1) : fraw(t, a->rs1);
    IrVal v = rv_call(t, RVH_fp, desc, x, s & OPND_F2 ? fraw(t, a->rs2) : 0, s & OPND_F3 ? fraw(t, a->rs3) : 0);
    dirty(t);
    if (s & RES_X)
        rv_put(t, a->rd, v);
    else
        fput_raw(t, a->rd, v, kind_of(a) == RVF_S_D || (kind_of(a) != RVF_D_S && !is_double(a)));
}

static bool refused(RiscvTr *t, const RiscvArgs *a, int *rm)
{
    *rm = rounding(t, a);
    return !fp_on(t) || *rm < 0;
}

/* ---- arithmetic ---- */
/* A NaN is the canonical one whatever the operands were (unpriv 11.3); the result is in its register first, so that it is made there. */
static void fput_number(RiscvTr *t, const RiscvArgs *a, IrVal v, bool dbl)
{
    fput(t, a->rd, v, !dbl);
    IrVal fl = ir_vop(t->u, IRT_FL, dbl ? VOP_UCOMISD : VOP_UCOMISS, v, v, 0, 0);
    ir_brcond(t->u, IRC_P, fl, rv_cold(t, RISCV_COLD_NAN, a));
}

static bool is_fma(const RiscvArgs *a) { return kind_of(a) >= RVF_FMADD && kind_of(a) <= RVF_FNMADD; }

void rv_fp_nan(RiscvTr *t, const RiscvArgs *a)
{
    if (is_fma(a)) {           /* infinity times zero is invalid even before a quiet NaN, where the host keeps quiet (unpriv 11.6); whatever was added, it is NaN */
        IrVal nan = rv_k(t, 0x7ff8000000000000ll), desc = rv_k(t, (a->k & 255) | rounding(t, a) << 8);
        fput_raw(t, a->rd, rv_call(t, RVH_fp, desc, fraw(t, a->rs1), fraw(t, a->rs2), nan), !is_double(a));
        return;
    }
    bool dbl = kind_of(a) == RVF_D_S || (kind_of(a) != RVF_S_D && is_double(a));
    fput_raw(t, a->rd, rv_k(t, dbl ? 0x7ff8000000000000ll : (int64_t)0xffffffff7fc00000ull), !dbl);
}

bool rv_farith(RiscvTr *t, const RiscvArgs *a)
{
    static const uint16_t vop[][2] = { [RVF_FADD / 2] = { VOP_ADDSS, VOP_ADDSD }, [RVF_FSUB / 2] = { VOP_SUBSS, VOP_SUBSD }, [RVF_FMUL / 2] = { VOP_MULSS, VOP_MULSD },
                                       [RVF_FDIV / 2] = { VOP_DIVSS, VOP_DIVSD }, [RVF_FSQRT / 2] = { VOP_SQRTSS, VOP_SQRTSD } };
    int rm;
    bool dbl = is_double(a);
    if (refused(t, a, &rm))
        return false;
    if (!host_rounds(t, rm)) {
        rv_fp_slow(t, a);
        return true;
    }
    IrVal x = operand(t, a, a->rs1, dbl);
    IrVal y = kind_of(a) == RVF_FSQRT ? x : operand(t, a, a->rs2, dbl);
    IrVal v = ir_vop(t->u, IRT_V64, vop[kind_of(a) / 2][dbl], x, y, 0, 0);
    fput_number(t, a, v, dbl);
    return true;
}

/* FNMSUB is -(a*b)+c, FNMADD -(a*b)-c: the host's VFNMADD and VFNMSUB. */
bool rv_fma(RiscvTr *t, const RiscvArgs *a)
{
    static const uint16_t vop[4][2] = { { VOP_FMADD213SS, VOP_FMADD213SD }, { VOP_FMSUB213SS, VOP_FMSUB213SD },
                                        { VOP_FNMADD213SS, VOP_FNMADD213SD }, { VOP_FNMSUB213SS, VOP_FNMSUB213SD } };
    int rm;
    bool dbl = is_double(a);
    if (refused(t, a, &rm))
        return false;
    if (!host_rounds(t, rm)) {
        rv_fp_slow(t, a);
        return true;
    }
    IrVal x = operand(t, a, a->rs1, dbl), y = operand(t, a, a->rs2, dbl), z = operand(t, a, a->rs3, dbl);
    IrVal v = ir_vop(t->u, IRT_V64, vop[(kind_of(a) - RVF_FMADD) / 2][dbl], x, y, z, 0);
    if (a->rd == a->rs1 || a->rd == a->rs2) {   /* the factors are looked at again */
        ir_brcond(t->u, IRC_P, ir_vop(t->u, IRT_FL, dbl ? VOP_UCOMISD : VOP_UCOMISS, v, v, 0, 0), rv_cold(t, RISCV_COLD_FP, a));
        fput(t, a->rd, v, !dbl);
    } else {
        fput_number(t, a, v, dbl);
    }
    return true;
}

/* ---- sign injection; moves, negations and absolute values are its common forms ---- */
bool rv_fsgnj(RiscvTr *t, const RiscvArgs *a)
{
    IrUnit *u = t->u;
    bool dbl = is_double(a);
    if (!fp_on(t))
        return false;
    if (!dbl) {
        need_boxed(t, a, a->rs1);
        need_boxed(t, a, a->rs2);
    }
    IrVal x = fget(t, a->rs1), v;
    if (kind_of(a) == RVF_FSGNJ && a->rs1 == a->rs2) {
        fput(t, a->rd, x, !dbl);
        return true;
    }
    IrVal sign = ir_vconst(u, dbl ? 1ull << 63 : 1ull << 31, 0);
    if (a->rs1 == a->rs2) {
        v = ir_vop(u, IRT_V64, kind_of(a) == RVF_FSGNJN ? VOP_XORPD : VOP_ANDNPD, kind_of(a) == RVF_FSGNJN ? x : sign, kind_of(a) == RVF_FSGNJN ? sign : x, 0, 0);
    } else {
        IrVal s = ir_vop(u, IRT_V64, VOP_ANDPD, fget(t, a->rs2), sign, 0, 0);
        if (kind_of(a) == RVF_FSGNJN)
            s = ir_vop(u, IRT_V64, VOP_XORPD, s, sign, 0, 0);
        v = kind_of(a) == RVF_FSGNJX ? ir_vop(u, IRT_V64, VOP_XORPD, x, s, 0, 0)
                                     : ir_vop(u, IRT_V64, VOP_ORPD, ir_vop(u, IRT_V64, VOP_ANDNPD, sign, x, 0, 0), s, 0, 0);
    }
    fput(t, a->rd, v, !dbl);
    return true;
}

/* The host's MIN and MAX decide where the operands are ordered and differ. */
bool rv_fminmax(RiscvTr *t, const RiscvArgs *a)
{
    bool dbl = is_double(a), max = kind_of(a) == RVF_FMAX;
    if (!fp_on(t))
        return false;
    IrVal x = operand(t, a, a->rs1, dbl), y = operand(t, a, a->rs2, dbl);
    IrVal fl = ir_vop(t->u, IRT_FL, dbl ? VOP_UCOMISD : VOP_UCOMISS, x, y, 0, 0);
    ir_brcond(t->u, IRC_E, fl, rv_cold(t, RISCV_COLD_FP, a));
    fput(t, a->rd, ir_vop(t->u, IRT_V64, max ? dbl ? VOP_MAXSD : VOP_MAXSS : dbl ? VOP_MINSD : VOP_MINSS, x, y, 0, 0), !dbl);
    return true;
}

/* FEQ is quiet, FLT and FLE signal (unpriv 11.8). a < b is "b above a" of the host, which unordered operands are not. */
bool rv_fcmp(RiscvTr *t, const RiscvArgs *a)
{
    IrUnit *u = t->u;
    bool dbl = is_double(a);
    if (!fp_on(t))
        return false;
    IrVal x = operand(t, a, a->rs1, dbl), y = operand(t, a, a->rs2, dbl), r;
    if (kind_of(a) == RVF_FEQ) {
        IrVal fl = ir_vop(u, IRT_FL, dbl ? VOP_UCOMISD : VOP_UCOMISS, x, y, 0, 0);
        r = ir_bin(u, IR_AND, IRT_I8, ir_cond(u, IRC_E, fl), ir_cond(u, IRC_NP, fl));
    } else {
        IrVal fl = ir_vop(u, IRT_FL, dbl ? VOP_COMISD : VOP_COMISS, y, x, 0, 0);
        r = ir_cond(u, kind_of(a) == RVF_FLT ? IRC_A : IRC_AE, fl);
    }
    dirty(t);
    rv_put(t, a->rd, ir_zext(u, IRT_I64, IRT_I8, r));
    return true;
}

bool rv_fclass(RiscvTr *t, const RiscvArgs *a)
{
    IrUnit *u = t->u;
    bool dbl = is_double(a);
    if (!fp_on(t))
        return false;
    if (!dbl)
        need_boxed(t, a, a->rs1);
    /* zeros and normal numbers; -infinity is bit 0 ... -normal 1, -0 3, +0 4, +normal 6 (unpriv table 11.5) */
    IrType type = dbl ? IRT_I64 : IRT_I32;
    unsigned bits = dbl ? 64 : 32, mant = dbl ? 52 : 23;
    IrVal raw = ir_trunc(u, type, fraw(t, a->rs1)), one = ir_const(u, type, 1);
    IrVal twice = ir_tri(u, IR_SHL, type, raw, ir_const(u, IRT_I8, 1), 0), exp = ir_tri(u, IR_SHR, type, twice, ir_const(u, IRT_I8, mant + 1), 0);
    IrVal zero = ir_cmp(u, type, twice, ir_const(u, type, 0));
    exp = ir_select(u, type, IRC_E, zero, one, exp);
    IrVal fl = ir_cmp(u, type, ir_bin(u, IR_SUB, type, exp, one), ir_const(u, type, (1 << (bits - 1 - mant)) - 3));
    ir_brcond(u, IRC_A, fl, rv_cold(t, RISCV_COLD_FP, a));
    IrVal sign = ir_tri(u, IR_SAR, type, raw, ir_const(u, IRT_I8, bits - 1), 0);
    zero = ir_cmp(u, type, twice, ir_const(u, type, 0));
    IrVal pos = ir_select(u, type, IRC_E, zero, ir_const(u, type, 1 << 4), ir_const(u, type, 1 << 6));
    IrVal both = ir_select(u, type, IRC_E, zero, ir_const(u, type, 1 << 4 | 1 << 3), ir_const(u, type, 1 << 6 | 1 << 1));
    dirty(t);
    IrVal r = ir_bin(u, IR_XOR, type, pos, ir_bin(u, IR_AND, type, sign, both));
    rv_put(t, a->rd, dbl ? r : ir_zext(u, IRT_I64, IRT_I32, r));
    return true;
}

/* ---- conversions ---- */
/* Go out of line unless 0 <= f[rs1] < 2^bits, not -0: such numbers are ordered as their bits are. */
static void need_below(RiscvTr *t, const RiscvArgs *a, bool dbl, unsigned bits)
{
    IrType type = dbl ? IRT_I64 : IRT_I32;
    int64_t most = dbl ? (int64_t)(1023 + bits) << 52 : (int64_t)(127 + bits) << 23;
    IrVal fl = ir_cmp(t->u, type, ir_trunc(t->u, type, fraw(t, a->rs1)), ir_const(t->u, type, most));
    ir_brcond(t->u, IRC_AE, fl, rv_cold(t, RISCV_COLD_FP, a));
}

/* To an unsigned integer, as a signed one of 64 bits. Just below 2^32 rounding may leave 32 bits: one less. */
static void to_unsigned(RiscvTr *t, const RiscvArgs *a, bool dbl, bool trunc)
{
    bool wide = kind_of(a) == RVF_TO_LU;
    IrVal x = operand(t, a, a->rs1, dbl);
    need_below(t, a, dbl, wide ? 63 : trunc ? 32 : 31);
    unsigned vop = dbl ? (trunc ? VOP_CVTTSD2SI : VOP_CVTSD2SI) : (trunc ? VOP_CVTTSS2SI : VOP_CVTSS2SI);
    IrVal v = ir_vop(t->u, IRT_I64, vop, x, 0, 0, 0);
    dirty(t);
    rv_put(t, a->rd, wide ? v : ir_sext(t->u, IRT_I64, IRT_I32, ir_trunc(t->u, IRT_I32, v)));
}

/* To a signed integer: the host answers INT_MIN to all that does not fit; then the helper looks closer. */
bool rv_ftoint(RiscvTr *t, const RiscvArgs *a)
{
    IrUnit *u = t->u;
    int rm;
    bool dbl = is_double(a), trunc, wide = kind_of(a) == RVF_TO_L;
    if (refused(t, a, &rm))
        return false;
    trunc = rm == RISCV_RTZ;
    bool first = kind_of(a) == RVF_TO_L && !trunc && !host_rounds(t, rm) && rm != RISCV_RMM;
    if (!trunc && !host_rounds(t, rm) && !first) {
        rv_fp_slow(t, a);
        return true;
    }
    if (kind_of(a) == RVF_TO_WU || kind_of(a) == RVF_TO_LU) {
        to_unsigned(t, a, dbl, trunc);
        return true;
    }
    IrVal x = operand(t, a, a->rs1, dbl);
    if (first) {               /* floor, ceil: what 64 bits do not hold is an integer already, so that nothing is inexact */
        static const uint8_t imm[] = { [RISCV_RNE] = 0, [RISCV_RDN] = 1, [RISCV_RUP] = 2 };
        x = ir_vop(u, IRT_V64, dbl ? VOP_ROUNDSD : VOP_ROUNDSS, x, x, 0, imm[rm]);
        trunc = true;
    }
    unsigned vop = dbl ? (trunc ? VOP_CVTTSD2SI : VOP_CVTSD2SI) : (trunc ? VOP_CVTTSS2SI : VOP_CVTSS2SI);
    IrType type = wide ? IRT_I64 : IRT_I32;
    IrVal v = ir_vop(u, type, vop, x, 0, 0, 0);
    IrVal fl = ir_cmp(u, type, v, ir_const(u, type, wide ? INT64_MIN : INT32_MIN));
    ir_brcond(u, IRC_E, fl, rv_cold(t, RISCV_COLD_FP, a));
    dirty(t);
    rv_put(t, a->rd, ir_sext(u, IRT_I64, type, v));
    return true;
}

bool rv_fromint(RiscvTr *t, const RiscvArgs *a)
{
    IrUnit *u = t->u;
    int rm;
    bool dbl = is_double(a), exact = dbl && (kind_of(a) == RVF_FROM_W || kind_of(a) == RVF_FROM_WU);
    if (refused(t, a, &rm))
        return false;
    if (!exact && !host_rounds(t, rm)) {
        rv_fp_slow(t, a);
        return true;
    }
    if (kind_of(a) == RVF_FROM_LU)
        ir_brcond(u, IRC_S, ir_cmp(u, IRT_I64, rv_x(t, a->rs1), rv_k(t, 0)), rv_cold(t, RISCV_COLD_FP, a));
    IrVal x = kind_of(a) == RVF_FROM_L || kind_of(a) == RVF_FROM_LU ? rv_x(t, a->rs1) : kind_of(a) == RVF_FROM_W ? ir_sext(u, IRT_I64, IRT_I32, rv_w(t, a->rs1))
                                                                                    : ir_zext(u, IRT_I64, IRT_I32, rv_w(t, a->rs1));
    IrVal v = ir_vop(u, IRT_V64, dbl ? VOP_CVTSI2SD : VOP_CVTSI2SS, box(t), x, 0, 0);
    fput(t, a->rd, v, !dbl);
    return true;
}

bool rv_fcvt(RiscvTr *t, const RiscvArgs *a)
{
    int rm;
    bool to_double = kind_of(a) == RVF_D_S;
    if (refused(t, a, &rm))
        return false;
    if (!to_double && !host_rounds(t, rm)) {
        rv_fp_slow(t, a);
        return true;
    }
    IrVal x = operand(t, a, a->rs1, !to_double);
    fput_number(t, a, ir_vop(t->u, IRT_V64, to_double ? VOP_CVTSS2SD : VOP_CVTSD2SS, to_double ? x : box(t), x, 0, 0), to_double);
    return true;
}

/* ---- moves ---- */
bool rv_fmv_x(RiscvTr *t, const RiscvArgs *a)
{
    if (!fp_on(t))
        return false;
    IrVal v = fraw(t, a->rs1);
    rv_put(t, a->rd, a->k ? v : ir_sext(t->u, IRT_I64, IRT_I32, ir_trunc(t->u, IRT_I32, v)));
    return true;
}

bool rv_fmv_f(RiscvTr *t, const RiscvArgs *a)
{
    if (!fp_on(t))
        return false;
    IrVal v = rv_x(t, a->rs1);
    if (!a->k)
        v = ir_bin(t->u, IR_OR, IRT_I64, ir_zext(t->u, IRT_I64, IRT_I32, rv_w(t, a->rs1)), rv_k(t, (int64_t)0xffffffff00000000ull));
    fput_raw(t, a->rd, v, !a->k);
    return true;
}

bool rv_fload(RiscvTr *t, const RiscvArgs *a)
{
    if (!fp_on(t))
        return false;
    IrVal v = ir_ld(t->u, IRT_V64, rv_addr(t, a->rs1, a->imm), (unsigned)a->k, 0, 0);
    if (a->k != 3)
        v = ir_vop(t->u, IRT_V64, VOP_PUNPCKLDQ, v, box(t), 0, 0);
    fput(t, a->rd, v, a->k != 3);
    return true;
}

bool rv_fstore(RiscvTr *t, const RiscvArgs *a)
{
    if (!fp_on(t))
        return false;
    ir_st(t->u, IRT_V64, rv_addr(t, a->rs1, a->imm), fget(t, a->rs2), (unsigned)a->k, 0, 0);
    return true;
}
