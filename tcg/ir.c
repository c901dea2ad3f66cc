#include "tcg/ir.h"

#include <stdio.h>
#include <string.h>

#include "tcg/tcg.h"

const IrOpInfo ir_op_info[IR_OPS] = {
#define IR_OP(name, text, cls, n, flags) [IR_##name] = { text, #cls[0], n, flags },
#include "tcg/ir.def"
#undef IR_OP
};

void ir_begin(IrUnit *u, IrInsn *buf, const IrSlot *slots, unsigned n_slots)
{
    u->insn = buf;
    u->n = 0;
    u->n_labels = 0;
    u->n_vconsts = 0;
    u->slots = slots;
    u->n_slots = n_slots;
    u->overflow = false;
    u->others = IR_OTHERS;
    u->lonely = false;
    u->fixed = false;
    u->page = 0;
    u->apart = 0;
    memset(u->cur, 0, sizeof(u->cur));
    ir_emit(u, IR_NOP, IRT_NONE, 0, 0, 0, 0);
}

IrVal ir_emit(IrUnit *u, IrOp op, IrType type, IrVal a, IrVal b, IrVal c, int64_t imm)
{
    if (u->n >= IR_MAX_INSNS) {
        u->overflow = true;    /* the last place is overwritten again and again: the unit is thrown away */
        u->n = IR_MAX_INSNS - 1;
    }
    IrInsn *i = &u->insn[u->n];
    memset(i, 0, sizeof(*i));
    i->op = op;
    i->type = type;
    i->a = a;
    i->b = b;
    i->c = c;
    i->imm = imm;
    return (IrVal)u->n++;
}

bool ir_is_const(const IrUnit *u, IrVal v, int64_t *ret)
{
    if (!v || u->insn[v].op != IR_CONST)
        return false;
    *ret = u->insn[v].imm;
    return true;
}

static int64_t sign_trim(IrType type, int64_t v)
{
    switch (type) {
    case IRT_I8: return (int8_t)v;
    case IRT_I16: return (int16_t)v;
    case IRT_I32: return (int32_t)v;
    default: return v;
    }
}

IrVal ir_const(IrUnit *u, IrType type, int64_t imm)
{
    return ir_emit(u, IR_CONST, type, 0, 0, 0, sign_trim(type, imm));
}

IrVal ir_get(IrUnit *u, IrType type, unsigned slot)
{
    IrVal v = u->cur[slot];
    if (v) {
        IrType have = u->insn[v].type;
        if (have == type)
            return v;
        if (have > type && have <= IRT_I64)
            return ir_trunc(u, type, v);
    }
    v = ir_emit(u, IR_RGET, type, 0, 0, 0, slot);
    if (!u->cur[slot] || type == u->slots[slot].type)
        u->cur[slot] = v;
    return v;
}

void ir_put(IrUnit *u, IrType type, unsigned slot, IrVal v)
{
    ir_emit(u, IR_RPUT, type, v, 0, 0, slot);
    /* After a partial write reads of that width or less see the value, wider ones miss and read the slot. */
    u->cur[slot] = v;
}

IrVal ir_pc(IrUnit *u, int64_t page_off)
{
    return u->fixed ? ir_const(u, IRT_I64, (int64_t)(u->page + (uint64_t)page_off)) : ir_emit(u, IR_PC, IRT_I64, 0, 0, 0, page_off);
}

void ir_insn(IrUnit *u, int64_t page_off, unsigned len)
{
    IrVal i = ir_emit(u, IR_INSN, IRT_NONE, 0, 0, 0, page_off);
    u->insn[i].aux = (uint8_t)len;
}

void ir_vupper(IrUnit *u, unsigned slot, unsigned n)
{
    IrVal i = ir_emit(u, IR_VUPPER, IRT_NONE, 0, 0, 0, slot);
    u->insn[i].aux = (uint8_t)n;
    for (unsigned s = slot; s < slot + n; s++)
        if (u->insn[u->cur[s]].type == IRT_V256)
            u->cur[s] = 0;
}

bool ir_may_write(const IrUnit *u)
{
    for (unsigned n = u->n; n-- > 1 && u->insn[n].op != IR_INSN;)
        if (u->insn[n].op == IR_ST || u->insn[n].op == IR_ARMW || u->insn[n].op == IR_CAS || u->insn[n].op == IR_NATIVE || u->insn[n].op == IR_CALL)
            return true;
    return false;
}

static bool fold_bin(IrOp op, IrType type, int64_t a, int64_t b, int64_t *ret)
{
    switch (op) {
    case IR_ADD: *ret = (int64_t)((uint64_t)a + (uint64_t)b); return true;
    case IR_SUB: *ret = (int64_t)((uint64_t)a - (uint64_t)b); return true;
    case IR_AND: *ret = a & b; return true;
    case IR_OR: *ret = a | b; return true;
    case IR_XOR: *ret = a ^ b; return true;
    default: return false;
    }
}

IrVal ir_bin(IrUnit *u, IrOp op, IrType type, IrVal a, IrVal b)
{
    return ir_emit(u, op, type, a, b, 0, 0);
}

/* For address arithmetic and the like, where nobody asks for flags. */
static IrVal ir_bin_nofl(IrUnit *u, IrOp op, IrType type, IrVal a, IrVal b)
{
    int64_t x, y, r;
    if (ir_is_const(u, a, &x) && ir_is_const(u, b, &y) && fold_bin(op, type, x, y, &r))
        return ir_const(u, type, r);
    return ir_emit(u, op, type, a, b, 0, 0);
}

IrVal ir_un(IrUnit *u, IrOp op, IrType type, IrVal a)
{
    return ir_emit(u, op, type, a, 0, 0, 0);
}

IrVal ir_tri(IrUnit *u, IrOp op, IrType type, IrVal a, IrVal b, IrVal c)
{
    return ir_emit(u, op, type, a, b, c, 0);
}

IrVal ir_shift_modulo(IrUnit *u, IrOp op, IrType type, IrVal a, IrVal count)
{
    int64_t k;
    if (ir_is_const(u, count, &k))
        return ir_tri(u, op, type, a, ir_const(u, IRT_I8, k & (type == IRT_I64 ? 63 : 31)), 0);
    IrVal v = ir_tri(u, op, type, a, ir_trunc(u, IRT_I8, count), 0);
    u->insn[v].aux = 1;
    return v;
}

IrVal ir_quad(IrUnit *u, IrOp op, IrType type, IrVal a, IrVal b, IrVal c, IrVal d)
{
    IrVal v = ir_emit(u, op, type, a, b, c, 0);
    u->insn[v].d = d;
    return v;
}

/* Projections stand right behind what they project, before anything else reads flags: callers ask at once. */
IrVal ir_flags(IrUnit *u, IrVal of)
{
    IrInsn *i = &u->insn[of];
    if (!i->fl) {
        IrVal v = ir_emit(u, IR_FLAGS, IRT_FL, of, 0, 0, 0);
        u->insn[of].fl = v;
        return v;
    }
    return i->fl;
}

IrVal ir_hi(IrUnit *u, IrVal of)
{
    IrInsn *i = &u->insn[of];
    if (!i->hi) {
        IrVal v = ir_emit(u, IR_HI, i->type, of, 0, 0, 0);
        u->insn[of].hi = v;
        return v;
    }
    return i->hi;
}

IrVal ir_cmp(IrUnit *u, IrType operands, IrVal a, IrVal b)
{
    IrVal v = ir_emit(u, IR_CMP, IRT_FL, a, b, 0, 0);
    u->insn[v].aux = operands;
    return v;
}

IrVal ir_test(IrUnit *u, IrType operands, IrVal a, IrVal b)
{
    IrVal v = ir_emit(u, IR_TEST, IRT_FL, a, b, 0, 0);
    u->insn[v].aux = operands;
    return v;
}

IrVal ir_bt(IrUnit *u, IrType operands, IrVal a, IrVal bit, IrVal old_fl)
{
    IrVal v = ir_emit(u, IR_BT, IRT_FL, a, bit, old_fl, 0);
    u->insn[v].aux = operands;
    return v;
}

IrVal ir_flmerge(IrUnit *u, IrVal old_fl, IrVal new_fl, unsigned mask_from_new)
{
    return ir_emit(u, IR_FLMERGE, IRT_FL, old_fl, new_fl, 0, mask_from_new);
}

IrVal ir_cond(IrUnit *u, IrCond cc, IrVal fl)
{
    IrVal v = ir_emit(u, IR_COND, IRT_I8, fl, 0, 0, 0);
    u->insn[v].aux = cc;
    return v;
}

IrVal ir_select(IrUnit *u, IrType type, IrCond cc, IrVal fl, IrVal if_true, IrVal if_false)
{
    IrVal v = ir_emit(u, IR_SELECT, type, fl, if_true, if_false, 0);
    u->insn[v].aux = cc;
    return v;
}

IrVal ir_zext(IrUnit *u, IrType to, IrType from, IrVal v)
{
    int64_t x;
    if (to == from)
        return v;
    if (ir_is_const(u, v, &x))
        return ir_const(u, to, x & (int64_t)(~0ull >> (64 - 8 * ir_type_bytes(from))));
    IrVal r = ir_emit(u, IR_ZEXT, to, v, 0, 0, 0);
    u->insn[r].aux = from;
    return r;
}

IrVal ir_sext(IrUnit *u, IrType to, IrType from, IrVal v)
{
    int64_t x;
    if (to == from)
        return v;
    if (ir_is_const(u, v, &x))
        return ir_const(u, to, sign_trim(from, x));
    IrVal r = ir_emit(u, IR_SEXT, to, v, 0, 0, 0);
    u->insn[r].aux = from;
    return r;
}

IrVal ir_trunc(IrUnit *u, IrType to, IrVal v)
{
    int64_t x;
    IrInsn *i = &u->insn[v];
    if (i->type == to)
        return v;
    if (ir_is_const(u, v, &x))
        return ir_const(u, to, x);
    /* trunc(zext(x)) of the same type is x */
    if ((i->op == IR_ZEXT || i->op == IR_SEXT) && i->aux == to)
        return i->a;
    return ir_emit(u, IR_TRUNC, to, v, 0, 0, 0);
}

IrVal ir_extract(IrUnit *u, IrType type, IrVal v, unsigned pos, unsigned len)
{
    return ir_emit(u, IR_EXTRACT, type, v, 0, 0, pos | len << 8);
}

IrVal ir_deposit(IrUnit *u, IrType type, IrVal into, IrVal v, unsigned pos, unsigned len)
{
    return ir_emit(u, IR_DEPOSIT, type, into, v, 0, pos | len << 8);
}

IrVal ir_lea(IrUnit *u, IrType type, IrVal base, IrVal index, unsigned scale_log2, int64_t disp)
{
    if (!index && !disp && base)
        return base;
    if (!index && !base)
        return ir_const(u, type, disp);
    if (!index && base) {
        int64_t x;
        if (ir_is_const(u, base, &x))
            return ir_const(u, type, (int64_t)((uint64_t)x + (uint64_t)disp));
    }
    if (disp != (int32_t)disp) {
        IrVal k = ir_const(u, type, disp);
        base = base ? ir_bin_nofl(u, IR_ADD, type, base, k) : k;
        disp = 0;
    }
    IrVal v = ir_emit(u, IR_LEA, type, base, index, 0, disp);
    u->insn[v].aux = (uint8_t)scale_log2;
    return v;
}

IrVal ir_ld(IrUnit *u, IrType type, IrVal addr, unsigned size_log2, unsigned mem, unsigned regime)
{
    IrVal v = ir_emit(u, IR_LD, type, addr, 0, 0, 0);
    u->insn[v].mem = (uint8_t)(size_log2 | mem);
    u->insn[v].aux = (uint8_t)regime;
    return v;
}

void ir_st(IrUnit *u, IrType type, IrVal addr, IrVal val, unsigned size_log2, unsigned mem, unsigned regime)
{
    IrVal v = ir_emit(u, IR_ST, type, addr, val, 0, 0);
    u->insn[v].mem = (uint8_t)(size_log2 | mem);
    u->insn[v].aux = (uint8_t)regime;
}

/* For nobody else's eyes. An exchange stays one while there are devices: programs make it a store that is seen before what they load next. */
bool ir_lonely(IrUnit *u, bool exchange)
{
    bool plain = u->others == IR_ALONE || (u->others == IR_ONE_CPU && !exchange);
    u->lonely |= plain;
    return plain;
}

static IrVal rmw_value(IrUnit *u, IrType type, IrRmw what, IrVal old, IrVal val)
{
    static const uint8_t op[] = { [IRA_ADD] = IR_ADD, [IRA_SUB] = IR_SUB, [IRA_AND] = IR_AND, [IRA_OR] = IR_OR, [IRA_XOR] = IR_XOR, [IRA_NEG] = IR_NEG, [IRA_NOT] = IR_NOT };
    static const uint8_t keep[] = { [IRA_SMIN] = IRC_L, [IRA_SMAX] = IRC_G, [IRA_UMIN] = IRC_B, [IRA_UMAX] = IRC_A };
    if (what == IRA_XCHG)
        return val;
    if (what >= IRA_SMIN)
        return ir_select(u, type, (IrCond)keep[what], ir_cmp(u, type, old, val), old, val);
    return what == IRA_NEG || what == IRA_NOT ? ir_un(u, (IrOp)op[what], type, old) : ir_bin(u, (IrOp)op[what], type, old, val);
}

IrVal ir_armw(IrUnit *u, IrType type, IrRmw what, IrVal addr, IrVal val, unsigned size_log2)
{
    if (ir_lonely(u, what == IRA_XCHG)) {
        IrVal old = ir_ld(u, type, addr, size_log2, IRM_RMW, 0);
        ir_st(u, type, addr, rmw_value(u, type, what, old, val), size_log2, 0, 0);
        return old;
    }
    IrVal v = ir_emit(u, IR_ARMW, type, addr, val, 0, 0);
    u->insn[v].mem = (uint8_t)size_log2;
    u->insn[v].aux = what;
    return v;
}

IrVal ir_cas(IrUnit *u, IrType type, IrVal addr, IrVal expect, IrVal val, unsigned size_log2)
{
    if (ir_lonely(u, false)) {
        IrVal old = ir_ld(u, type, addr, size_log2, IRM_RMW, 0);
        ir_st(u, type, addr, ir_select(u, type, IRC_E, ir_cmp(u, type, old, expect), val, old), size_log2, 0, 0);
        return old;
    }
    IrVal v = ir_emit(u, IR_CAS, type, addr, expect, val, 0);
    u->insn[v].mem = (uint8_t)size_log2;
    return v;
}

void ir_fence(IrUnit *u, IrFence kind)
{
    if (u->others == IR_ALONE && kind != IRFENCE_LOAD && ir_lonely(u, true))    /* that one also keeps the processor from looking ahead */
        return;
    IrVal v = ir_emit(u, IR_FENCE, IRT_NONE, 0, 0, 0, 0);
    u->insn[v].aux = kind;
}

IrVal ir_host(IrUnit *u, IrVal addr, unsigned bytes, IrVal len, bool write, unsigned label)
{
    IrVal v = ir_emit(u, IR_HOST, IRT_I64, addr, len, 0, label);
    u->insn[v].aux = (uint8_t)bytes;
    u->insn[v].mem = write ? IRM_RMW : 0;
    return v;
}

IrVal ir_hld(IrUnit *u, IrType type, IrVal host, IrVal mask, unsigned size_log2)
{
    IrVal v = ir_emit(u, IR_HLD, type, host, mask, 0, 0);
    u->insn[v].aux = (uint8_t)size_log2;
    return v;
}

void ir_host_op(IrUnit *u, IrOp op, IrVal host, IrVal b, IrVal c, unsigned size_log2)
{
    IrVal v = ir_emit(u, op, IRT_NONE, host, b, c, 0);
    u->insn[v].aux = (uint8_t)size_log2;
}

IrVal ir_vconst(IrUnit *u, uint64_t lo, uint64_t hi)
{
    unsigned n = 0;
    while (n < u->n_vconsts && (u->vconst[n][0] != lo || u->vconst[n][1] != hi))
        n++;
    if (n == IR_MAX_VCONSTS) {
        u->overflow = true;
        n = 0;
    } else if (n == u->n_vconsts) {
        u->vconst[n][0] = lo;
        u->vconst[n][1] = hi;
        u->n_vconsts++;
    }
    return ir_emit(u, IR_VCONST, IRT_V128, 0, 0, 0, n);
}

IrVal ir_vop(IrUnit *u, IrType type, unsigned vop, IrVal a, IrVal b, IrVal c, unsigned imm8)
{
    bool wide = (a && u->insn[a].type == IRT_I64) || (b && u->insn[b].type == IRT_I64);
    return ir_emit(u, IR_VOP, type, a, b, c, vop | imm8 << 16 | (unsigned)wide << 24);
}

unsigned ir_label_new(IrUnit *u)
{
    if (u->n_labels >= IR_MAX_LABELS - 1)
        u->overflow = true;
    else
        u->n_labels++;
    return u->n_labels;        /* labels are 1.. */
}

void ir_label(IrUnit *u, unsigned label)
{
    ir_emit(u, IR_LABEL, IRT_NONE, 0, 0, 0, label);
    memset(u->cur, 0, sizeof(u->cur));
}

void ir_br(IrUnit *u, unsigned label)
{
    ir_emit(u, IR_BR, IRT_NONE, 0, 0, 0, label);
    memset(u->cur, 0, sizeof(u->cur));
}

void ir_brcond(IrUnit *u, IrCond cc, IrVal fl, unsigned label)
{
    IrVal v = ir_emit(u, IR_BRCOND, IRT_FL, fl, 0, 0, label);
    u->insn[v].aux = cc;
}

void ir_brz(IrUnit *u, IrType type, IrVal v, unsigned label)
{
    ir_emit(u, IR_BRZ, type, v, 0, 0, label);
}

void ir_brnz(IrUnit *u, IrType type, IrVal v, unsigned label)
{
    ir_emit(u, IR_BRNZ, type, v, 0, 0, label);
}

void ir_cross(IrUnit *u, unsigned label)
{
    ir_emit(u, IR_CROSS, IRT_NONE, 0, 0, 0, label);
}

void ir_goto_crossed(IrUnit *u, int64_t page_off)
{
    IrVal v = ir_emit(u, IR_GOTO, IRT_NONE, 0, 0, 0, page_off);
    u->insn[v].aux = 1;
    memset(u->cur, 0, sizeof(u->cur));
}

void ir_goto(IrUnit *u, int64_t page_off)
{
    ir_emit(u, IR_GOTO, IRT_NONE, 0, 0, 0, page_off);
    memset(u->cur, 0, sizeof(u->cur));
}

void ir_jmp(IrUnit *u, IrVal va, IrJump hint)
{
    IrVal v = ir_emit(u, IR_JMP, IRT_NONE, va, 0, 0, 0);
    u->insn[v].aux = hint;
    memset(u->cur, 0, sizeof(u->cur));
}

void ir_exit(IrUnit *u, int reason)
{
    ir_emit(u, IR_EXIT, IRT_NONE, 0, 0, 0, reason);
    memset(u->cur, 0, sizeof(u->cur));
}

IrVal ir_call(IrUnit *u, const TcgHelper *table, unsigned index, IrVal a, IrVal b, IrVal c, IrVal d)
{
    const TcgHelper *h = &table[index];
    IrVal v = ir_emit(u, IR_CALL, h->ret_type, a, b, c, index);
    u->insn[v].d = d;
    u->insn[v].aux = h->flags;
    if (h->flags & TCG_H_WRITES)
        memset(u->cur, 0, sizeof(u->cur));
    return v;
}

IrVal ir_native(IrUnit *u, IrNative kind, IrType type, unsigned index, IrVal a, IrVal b, IrVal c, IrVal d)
{
    IrVal v = ir_emit(u, IR_NATIVE, type, a, b, c, index);
    u->insn[v].d = d;
    u->insn[v].aux = (uint8_t)kind;
    return v;
}

void ir_forget(IrUnit *u, unsigned slot) { u->cur[slot] = 0; }
