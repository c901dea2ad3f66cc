#include "tcg/guest/x86/translate.h"

/* Bit tests, scans, counts, BMI1/2, BSWAP, CRC32. */

static void put_fl(X86Tr *t, IrVal f)
{
    ir_put(t->u, IRT_FL, X86S_FL, f);
}

static IrVal get_fl(X86Tr *t)
{
    return ir_get(t->u, IRT_FL, X86S_FL);
}

static IrVal no_flags(X86Tr *t)
{
    return ir_un(t->u, IR_FLUNPACK, IRT_FL, ir_const(t->u, IRT_I32, 0));
}

/* ---- BT, BTS, BTR, BTC ---- */

/* A register bit offset reaches beyond the operand: byte displacement (offset >> log2 of bits) << log2 of bytes, signed (SDM 2A BT). */
static IrVal bit_string_address(X86Tr *t, unsigned log2, bool write)
{
    IrUnit *u = t->u;
    IrVal off = x86_gpr(t, log2, t->in.reg);
    IrVal wide = ir_sext(u, IRT_I64, x86_type(log2), off);
    IrVal words = ir_tri(u, IR_SAR, IRT_I64, wide, ir_const(u, IRT_I8, 3 + log2), 0);
    IrVal ea = ir_lea(u, IRT_I64, x86_ea(t), words, log2, 0);
    if (t->in.adsize == 1)
        ea = ir_extract(u, IRT_I64, ea, 0, 16);
    else if (t->in.adsize == 2)
        ea = ir_zext(u, IRT_I64, IRT_I32, ir_trunc(u, IRT_I32, ea));
    return x86_seg_linear(t, t->in.seg, ea, 1u << log2, write);
}

static IrVal bt_result(X86Tr *t, unsigned what, IrType ty, IrVal a, IrVal mask)
{
    IrUnit *u = t->u;
    if (what == BT_BTS)
        return ir_bin(u, IR_OR, ty, a, mask);
    if (what == BT_BTC)
        return ir_bin(u, IR_XOR, ty, a, mask);
    return ir_bin(u, IR_AND, ty, a, ir_un(u, IR_NOT, ty, mask));
}

void x86_e_bt(X86Tr *t)
{
    IrUnit *u = t->u;
    unsigned what = (unsigned)t->in.op->arg, log2 = x86_osz(t, 0);
    IrType ty = x86_type(log2);
    bool imm = t->in.op->opnd[1].kind == X86O_I, mem = x86_is_mem(t, 0), write = what != BT_BT;
    int64_t bits_m1 = (8 << log2) - 1;
    IrVal bit = imm ? ir_const(u, ty, t->in.imm & bits_m1) : ir_bin(u, IR_AND, ty, x86_gpr(t, log2, t->in.reg), ir_const(u, ty, bits_m1));
    IrVal mask = write ? ir_tri(u, IR_SHL, ty, ir_const(u, ty, 1), ir_trunc(u, IRT_I8, bit), 0) : 0;
    IrVal lin = mem ? (imm ? x86_mem(t, 1u << log2, write) : bit_string_address(t, log2, write)) : 0, old;
    if (t->in.lock) {
        IrRmw rmw = what == BT_BTS ? IRA_OR : what == BT_BTC ? IRA_XOR : IRA_AND;
        old = ir_armw(u, ty, rmw, lin, what == BT_BTR ? ir_un(u, IR_NOT, ty, mask) : mask, log2);
    } else if (mem) {
        old = ir_ld(u, ty, lin, log2, t->mem_flags | (write ? IRM_RMW : 0), 0);
    } else {
        old = x86_get(t, 0);
    }
    IrVal f = ir_bt(u, ty, old, bit, get_fl(t));
    if (write && !t->in.lock) {
        IrVal r = bt_result(t, what, ty, old, mask);
        if (mem)
            x86_st(t, log2, lin, r);
        else
            x86_put(t, 0, r);
    }
    put_fl(t, f);
}

/* ---- scans and counts ---- */

/* Of 0 the destination stays, as AMD documents and Intel's processors do; a 32-bit one is not even extended then. */
static void put_scan(X86Tr *t, IrVal src, IrVal r)
{
    IrUnit *u = t->u;
    unsigned log2 = x86_osz(t, 0);
    IrType ty = x86_type(log2);
    IrVal f = ir_test(u, ty, src, src);
    if (log2 == 2) {
        IrVal old = ir_get(u, IRT_I64, X86S_RAX + t->in.reg);
        ir_put(u, IRT_I64, X86S_RAX + t->in.reg, ir_select(u, IRT_I64, IRC_E, f, old, ir_zext(u, IRT_I64, IRT_I32, r)));
    } else {
        x86_put(t, 0, ir_select(u, ty, IRC_E, f, x86_gpr(t, log2, t->in.reg), r));
    }
    put_fl(t, f);
}

void x86_e_bsf(X86Tr *t)
{
    IrVal src = x86_get(t, 1);
    put_scan(t, src, ir_un(t->u, IR_CTZ, x86_otype(t, 0), src));
}

void x86_e_bsr(X86Tr *t)
{
    IrUnit *u = t->u;
    IrType ty = x86_otype(t, 0);
    IrVal src = x86_get(t, 1);
    put_scan(t, src, ir_bin(u, IR_SUB, ty, ir_const(u, ty, (8 << x86_osz(t, 0)) - 1), ir_un(u, IR_CLZ, ty, src)));
}

static void count_op(X86Tr *t, IrOp op)
{
    IrUnit *u = t->u;
    IrType ty = x86_otype(t, 0);
    IrVal src = x86_get(t, 1);
    IrVal r = ir_un(u, op, ty, src);
    if (ty != IRT_I16) {
        IrVal fl = ir_flags(u, r);
        x86_put(t, 0, r);
        put_fl(t, fl);
        return;
    }
    /* C = (src == 0), as a borrow of src - 1; Z of the result */
    IrVal c = ir_cmp(u, ty, src, ir_const(u, ty, 1));
    IrVal f = ir_flmerge(u, ir_test(u, ty, r, r), c, IRFL_C);
    x86_put(t, 0, r);
    put_fl(t, f);
}

void x86_e_tzcnt(X86Tr *t)
{
    count_op(t, IR_CTZ);
}

void x86_e_lzcnt(X86Tr *t)
{
    count_op(t, IR_CLZ);
}

void x86_e_popcnt(X86Tr *t)
{
    IrUnit *u = t->u;
    IrType ty = x86_otype(t, 0);
    IrVal r = ir_un(u, IR_POPCNT, ty, x86_get(t, 1));
    IrVal f = ty != IRT_I16 ? ir_flags(u, r) : ir_flmerge(u, no_flags(t), ir_test(u, ty, r, r), IRFL_Z);
    x86_put(t, 0, r);
    put_fl(t, f);
}

/* ---- BMI ---- */

void x86_e_andn(X86Tr *t)
{
    IrVal a = x86_get(t, 1);
    IrVal r = ir_bin(t->u, IR_ANDN, x86_otype(t, 0), a, x86_get(t, 2));
    IrVal f = ir_flags(t->u, r);
    x86_put(t, 0, r);
    put_fl(t, f);
}

/* arg: as IR_BLS has it */
void x86_e_bls(X86Tr *t)
{
    IrVal r = ir_un(t->u, IR_BLS, x86_otype(t, 0), x86_get(t, 1));
    ir_at(t->u, r)->aux = (uint8_t)t->in.op->arg;
    IrVal f = ir_flags(t->u, r);
    x86_put(t, 0, r);
    put_fl(t, f);
}

void x86_e_bzhi(X86Tr *t)
{
    IrVal src = x86_get(t, 1);
    IrVal r = ir_bin(t->u, IR_BZHI, x86_otype(t, 0), src, x86_gpr(t, 0, t->in.vvvv));
    IrVal f = ir_flags(t->u, r);
    x86_put(t, 0, r);
    put_fl(t, f);
}

void x86_e_bextr(X86Tr *t)
{
    IrUnit *u = t->u;
    IrType ty = x86_otype(t, 0);
    IrVal src = x86_get(t, 1), ctl = ir_get(u, IRT_I64, X86S_RAX + t->in.vvvv), one = ir_const(u, ty, 1);
    IrVal start = ir_trunc(u, IRT_I8, ctl), len = ir_trunc(u, IRT_I8, ir_extract(u, IRT_I64, ctl, 8, 8));
    IrVal mask = ir_bin(u, IR_SUB, ty, ir_tri(u, IR_SHL, ty, one, len, 0), one);
    IrVal r = ir_bin(u, IR_AND, ty, ir_tri(u, IR_SHR, ty, src, start, 0), mask);
    IrVal f = ir_flags(u, r);
    x86_put(t, 0, r);
    put_fl(t, f);
}

void x86_e_pdep(X86Tr *t)
{
    IrVal a = x86_get(t, 1);
    x86_put(t, 0, ir_bin(t->u, (IrOp)t->in.op->arg, x86_otype(t, 0), a, x86_get(t, 2)));
}

/* ---- bytes ---- */

static IrVal swap(X86Tr *t, unsigned log2, IrVal v)
{
    if (log2 == 1)
        return ir_tri(t->u, IR_ROL, IRT_I16, v, ir_const(t->u, IRT_I8, 8), 0);
    return ir_un(t->u, IR_BSWAP, x86_type(log2), v);
}

/* Of a 16-bit register the result is undefined; processors clear it. */
void x86_e_bswap(X86Tr *t)
{
    unsigned log2 = x86_osz(t, 0);
    x86_put(t, 0, log2 == 1 ? ir_const(t->u, IRT_I16, 0) : swap(t, log2, x86_get(t, 0)));
}

void x86_e_movbe(X86Tr *t)
{
    x86_put(t, 0, swap(t, x86_osz(t, 0), x86_get(t, 1)));
}

void x86_e_crc32(X86Tr *t)
{
    IrVal acc = x86_gpr(t, 2, t->in.reg);
    IrVal r = ir_emit(t->u, IR_CRC32C, IRT_I32, acc, x86_get(t, 1), 0, 0);
    ir_at(t->u, r)->aux = (uint8_t)x86_otype(t, 1);
    x86_gpr_put(t, 2, t->in.reg, r);           /* zero-extends, with a 64-bit destination too */
}
