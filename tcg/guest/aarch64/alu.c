/* Data processing: immediates and registers (ARM C6.2; C4.1.92, C4.1.95). */
#include "tcg/guest/aarch64/translate.h"

static unsigned width(const A64Args *a) { return a->sf ? 64 : 32; }
static IrVal count_k(A64Tr *t, unsigned n) { return ir_const(t->u, IRT_I8, n); }

/* ---- addition, subtraction. k bit 0: flags, bit 1: subtract ---- */
static IrVal with_flags(A64Tr *t, int sf, int k, IrVal a, IrVal b)
{
    IrVal v = ir_bin(t->u, k & 2 ? IR_SUB : IR_ADD, a64_type(sf), a, b);
    a64_put_flags(t, ir_flags(t->u, v), k & 2 ? A64FL_BORROW : A64FL_CARRY);
    return v;
}

/* Flags alone, or flags and result. */
static void flags_and_put(A64Tr *t, const A64Args *a, IrVal x, IrVal y)
{
    if (a->rd != 31)
        a64_put_r(t, a->sf, a->rd, with_flags(t, a->sf, a->k, x, y));
    else if (a->k & 2)
        a64_put_flags(t, ir_cmp(t->u, a64_type(a->sf), x, y), A64FL_BORROW);
    else
        with_flags(t, a->sf, a->k, x, y);
}

/* ADRP and ADD of the low part: one address. */
static IrVal pc_plus(A64Tr *t, IrVal v, int64_t disp)
{
    const IrInsn *i = ir_at(t->u, v);
    int64_t at = i->imm + disp;
    return i->op == IR_PC && at == (int32_t)at ? ir_pc(t->u, at) : 0;
}

bool tr_addsub_imm(A64Tr *t, const A64Args *a)
{
    int64_t imm = a->sh ? (int64_t)a->imm << 12 : a->imm;
    IrVal n = a64_rsp(t, a->sf, a->rn);
    if (a->k & 1) {
        flags_and_put(t, a, n, a64_kt(t, a->sf, imm));
        return true;
    }
    IrVal v = a->sf && !(a->k & 2) ? pc_plus(t, n, imm) : 0;
    a64_put_rsp(t, a->sf, a->rd, v ? v : ir_lea(t->u, a64_type(a->sf), n, 0, 0, a->k & 2 ? -imm : imm));
    return true;
}

/* LSL LSR ASR ROR by a constant. */
static IrVal shifted(A64Tr *t, const A64Args *a, int rm)
{
    static const uint8_t op[] = { IR_SHL, IR_SHR, IR_SAR, IR_ROR };
    IrVal v = a64_r(t, a->sf, rm);
    return a->imm ? ir_tri(t->u, (IrOp)op[a->sh], a64_type(a->sf), v, count_k(t, (unsigned)a->imm), 0) : v;
}

static bool reserved_shift(const A64Args *a) { return !a->sf && a->imm >= 32; }

bool tr_addsub_reg(A64Tr *t, const A64Args *a)
{
    IrUnit *u = t->u;
    IrType type = a64_type(a->sf);
    IrVal v;
    if (a->sh == 3 || reserved_shift(a))
        return false;
    if (a->k & 1) {
        flags_and_put(t, a, a64_r(t, a->sf, a->rn), shifted(t, a, a->rm));
        return true;
    }
    if (a->k == 2 && a->rn == 31)
        v = ir_un(u, IR_NEG, type, shifted(t, a, a->rm));
    else if (a->k == 2)
        v = ir_bin(u, IR_SUB, type, a64_r(t, a->sf, a->rn), shifted(t, a, a->rm));
    else if (a->rn == 31)
        v = shifted(t, a, a->rm);
    else if (a->sh == 0 && a->imm <= 3)
        v = ir_lea(u, type, a64_r(t, a->sf, a->rn), a64_r(t, a->sf, a->rm), (unsigned)a->imm, 0);
    else
        v = ir_bin(u, IR_ADD, type, a64_r(t, a->sf, a->rn), shifted(t, a, a->rm));
    a64_put_r(t, a->sf, a->rd, v);
    return true;
}

IrVal a64_extend(A64Tr *t, int option, int rm)
{
    static const uint8_t type[] = { IRT_I8, IRT_I16, IRT_I32, IRT_I64 };
    IrType from = (IrType)type[option & 3];
    IrVal v = ir_trunc(t->u, from, a64_x(t, rm));
    return option & 4 ? ir_sext(t->u, IRT_I64, from, v) : ir_zext(t->u, IRT_I64, from, v);
}

bool tr_addsub_ext(A64Tr *t, const A64Args *a)
{
    IrUnit *u = t->u;
    IrType type = a64_type(a->sf);
    if (a->imm > 4)
        return false;
    IrVal n = a64_rsp(t, a->sf, a->rn), m = ir_trunc(u, type, a64_extend(t, a->opt, a->rm));
    if (a->k == 0 && a->imm <= 3) {
        a64_put_rsp(t, a->sf, a->rd, ir_lea(u, type, n, m, (unsigned)a->imm, 0));
        return true;
    }
    if (a->imm)
        m = ir_tri(u, IR_SHL, type, m, count_k(t, (unsigned)a->imm), 0);
    if (a->k & 1)
        flags_and_put(t, a, n, m);
    else
        a64_put_rsp(t, a->sf, a->rd, ir_bin(u, a->k & 2 ? IR_SUB : IR_ADD, type, n, m));
    return true;
}

/* a + b + C is a - ~b - (1 - C), with the inverted C of the slot; right behind an addition its own carry serves. */
bool tr_adc(A64Tr *t, const A64Args *a)
{
    IrUnit *u = t->u;
    IrType type = a64_type(a->sf);
    bool sub = a->k & 2, carry = !sub && t->raw_kind == A64FL_CARRY;
    IrVal fl = carry ? t->raw : a64_fl(t), x = a64_r(t, a->sf, a->rn), y = a64_r(t, a->sf, a->rm);
    if (!sub && !carry)
        y = ir_un(u, IR_NOT, type, y);
    IrVal v = ir_tri(u, carry ? IR_ADC : IR_SBB, type, x, y, fl);
    if (a->k & 1)
        a64_put_flags(t, ir_flags(u, v), carry ? A64FL_CARRY : A64FL_BORROW);
    a64_put_r(t, a->sf, a->rd, v);
    return true;
}

/* ---- logic ---- */
/* ARM shared pseudocode DecodeBitMasks for immediates. */
static bool bit_mask(unsigned n_r_s, int sf, uint64_t *ret)
{
    unsigned n = n_r_s >> 12, r = n_r_s >> 6 & 63, s = n_r_s & 63, len = n << 6 | (~s & 63);
    if (!len || (!sf && n))
        return false;
    unsigned size = 1u << (31 - (unsigned)__builtin_clz(len)), levels = size - 1;
    if (size < 2 || (s & levels) == levels)
        return false;
    s &= levels;
    r &= levels;
    uint64_t v = ~0ull >> (63 - s), mask = ~0ull >> (64 - size);
    v = (v >> r | (r ? v << (size - r) : 0)) & mask;
    for (; size < 64; size *= 2)
        v |= v << size;
    *ret = v;
    return true;
}

bool tr_logic_imm(A64Tr *t, const A64Args *a)
{
    static const uint8_t op[] = { IR_AND, IR_OR, IR_XOR, IR_AND };
    IrUnit *u = t->u;
    IrType type = a64_type(a->sf);
    uint64_t imm;
    if (!bit_mask((unsigned)a->imm, a->sf, &imm))
        return false;
    IrVal k = a64_kt(t, a->sf, (int64_t)imm), n = a64_r(t, a->sf, a->rn), v;
    if (a->k == 3 && a->rd == 31) {
        a64_put_flags(t, ir_test(u, type, n, k), A64FL_LOGIC);
        return true;
    }
    v = a->k == 1 && a->rn == 31 ? k : ir_bin(u, (IrOp)op[a->k], type, n, k);
    if (a->k == 3) {
        a64_put_flags(t, ir_flags(u, v), A64FL_LOGIC);
        a64_put_r(t, a->sf, a->rd, v);
    } else {
        a64_put_rsp(t, a->sf, a->rd, v);
    }
    return true;
}

/* AND BIC ORR ORN EOR EON ANDS BICS */
bool tr_logic_reg(A64Tr *t, const A64Args *a)
{
    static const uint8_t op[] = { IR_AND, IR_ANDN, IR_OR, IR_OR, IR_XOR, IR_XOR, IR_AND, IR_ANDN };
    IrUnit *u = t->u;
    IrType type = a64_type(a->sf);
    IrVal v;
    if (reserved_shift(a))
        return false;
    IrVal n = a64_r(t, a->sf, a->rn), m = shifted(t, a, a->rm);
    if (a->k == 6 && a->rd == 31) {
        a64_put_flags(t, ir_test(u, type, n, m), A64FL_LOGIC);
        return true;
    }
    if (a->k == 3 || a->k == 5)
        m = ir_un(u, IR_NOT, type, m);
    if (a->rn == 31 && (a->k == 2 || a->k == 3))   /* MOV, MVN */
        v = m;
    else
        v = (a->k & 3) == 1 && a->k != 5 ? ir_bin(u, IR_ANDN, type, m, n) : a->k == 7 ? ir_bin(u, IR_ANDN, type, m, n) : ir_bin(u, (IrOp)op[a->k], type, n, m);
    if (a->k >= 6)
        a64_put_flags(t, ir_flags(u, v), A64FL_LOGIC);
    a64_put_r(t, a->sf, a->rd, v);
    return true;
}

/* ---- moves and addresses ---- */
/* MOVN 0, MOVZ 2, MOVK 3 */
bool tr_movw(A64Tr *t, const A64Args *a)
{
    unsigned pos = (unsigned)a->hw * 16;
    uint64_t v = (uint64_t)(uint32_t)a->imm << pos, mask = 0xffffull << pos;
    int64_t old;
    if (!a->sf && a->hw > 1)
        return false;
    if (a->k != 3) {
        a64_put_x(t, a->rd, a64_k(t, (int64_t)(a->k ? v : a->sf ? ~v : (uint32_t)~v)));
        return true;
    }
    IrVal d = a64_r(t, a->sf, a->rd);
    if (ir_is_const(t->u, d, &old))
        a64_put_r(t, a->sf, a->rd, a64_kt(t, a->sf, (int64_t)(((uint64_t)old & ~mask) | v)));
    else
        a64_put_r(t, a->sf, a->rd, ir_deposit(t->u, a64_type(a->sf), d, a64_kt(t, a->sf, a->imm), pos, 16));
    return true;
}

/* k 1: ADRP */
bool tr_adr(A64Tr *t, const A64Args *a)
{
    int64_t disp = a->k ? (t->off & ~(int64_t)4095) + (int64_t)a->imm * 4096 : t->off + a->imm;
    a64_put_x(t, a->rd, disp == (int32_t)disp ? ir_pc(t->u, disp) : ir_lea(t->u, IRT_I64, ir_pc(t->u, 0), 0, 0, disp));
    return true;
}

/* ---- bit fields. SBFM 0, BFM 1, UBFM 2 ---- */
static IrVal signed_field(A64Tr *t, const A64Args *a, IrVal n)
{
    unsigned w = width(a), r = (unsigned)a->immr, s = (unsigned)a->imms;
    IrUnit *u = t->u;
    IrType type = a64_type(a->sf);
    if (!r && (s == 7 || s == 15 || s == 31))
        return ir_sext(u, type, s == 7 ? IRT_I8 : s == 15 ? IRT_I16 : IRT_I32, ir_trunc(u, s == 7 ? IRT_I8 : s == 15 ? IRT_I16 : IRT_I32, n));
    unsigned left = w - 1 - s, right = s >= r ? left + r : r - s - 1;
    if (left)
        n = ir_tri(u, IR_SHL, type, n, count_k(t, left), 0);
    return right ? ir_tri(u, IR_SAR, type, n, count_k(t, right), 0) : n;
}

static IrVal unsigned_field(A64Tr *t, const A64Args *a, IrVal n)
{
    unsigned w = width(a), r = (unsigned)a->immr, s = (unsigned)a->imms;
    IrUnit *u = t->u;
    IrType type = a64_type(a->sf);
    if (s == w - 1)            /* LSR */
        return r ? ir_tri(u, IR_SHR, type, n, count_k(t, r), 0) : n;
    if (s >= r)
        return ir_extract(u, type, n, r, s - r + 1);
    if (s + 1 != r)            /* not LSL */
        n = ir_extract(u, type, n, 0, s + 1);
    return ir_tri(u, IR_SHL, type, n, count_k(t, w - r), 0);
}

static IrVal inserted(A64Tr *t, const A64Args *a, IrVal n)
{
    unsigned w = width(a), r = (unsigned)a->immr, s = (unsigned)a->imms;
    IrUnit *u = t->u;
    IrType type = a64_type(a->sf);
    IrVal d = a64_r(t, a->sf, a->rd);
    if (s < r)
        return ir_deposit(u, type, d, n, w - r, s + 1);
    if (!r && s == w - 1)
        return n;
    if (r)
        n = ir_tri(u, IR_SHR, type, n, count_k(t, r), 0);
    return ir_deposit(u, type, d, n, 0, s - r + 1);
}

bool tr_bitfield(A64Tr *t, const A64Args *a)
{
    if (a->nbit != a->sf || (!a->sf && (a->immr >= 32 || a->imms >= 32)))
        return false;
    IrVal n = a64_r(t, a->sf, a->rn);
    a64_put_r(t, a->sf, a->rd, a->k == 0 ? signed_field(t, a, n) : a->k == 1 ? inserted(t, a, n) : unsigned_field(t, a, n));
    return true;
}

bool tr_extr(A64Tr *t, const A64Args *a)
{
    IrType type = a64_type(a->sf);
    if (a->nbit != a->sf || reserved_shift(a))
        return false;
    IrVal m = a64_r(t, a->sf, a->rm), k = count_k(t, (unsigned)a->imm);
    if (a->imm && a->rn == a->rm)
        m = ir_tri(t->u, IR_ROR, type, m, k, 0);
    else if (a->imm)
        m = ir_quad(t->u, IR_SHRD, type, m, a64_r(t, a->sf, a->rn), k, 0);
    a64_put_r(t, a->sf, a->rd, m);
    return true;
}

/* ---- shifts by registers: the count is taken modulo the width ---- */
bool tr_shiftv(A64Tr *t, const A64Args *a)
{
    IrType type = a64_type(a->sf);
    IrVal n = a64_r(t, a->sf, a->rn), m = a64_x(t, a->rm);
    a64_put_r(t, a->sf, a->rd, a->k == IR_ROR ? ir_tri(t->u, IR_ROR, type, n, ir_trunc(t->u, IRT_I8, m), 0) : ir_shift_modulo(t->u, (IrOp)a->k, type, n, m));
    return true;
}

/* ---- multiplication, division ---- */
/* MADD 0, MSUB 1 */
bool tr_madd(A64Tr *t, const A64Args *a)
{
    IrType type = a64_type(a->sf);
    IrVal v = ir_bin(t->u, IR_MUL, type, a64_r(t, a->sf, a->rn), a64_r(t, a->sf, a->rm));
    if (a->ra == 31 && a->k)
        v = ir_un(t->u, IR_NEG, type, v);
    else if (a->ra != 31)
        v = a->k ? ir_bin(t->u, IR_SUB, type, a64_r(t, a->sf, a->ra), v) : ir_lea(t->u, type, a64_r(t, a->sf, a->ra), v, 0, 0);
    a64_put_r(t, a->sf, a->rd, v);
    return true;
}

/* bit 0: subtract, bit 1: unsigned */
bool tr_maddl(A64Tr *t, const A64Args *a)
{
    IrUnit *u = t->u;
    IrVal x = a64_r(t, 0, a->rn), y = a64_r(t, 0, a->rm);
    x = a->k & 2 ? ir_zext(u, IRT_I64, IRT_I32, x) : ir_sext(u, IRT_I64, IRT_I32, x);
    y = a->k & 2 ? ir_zext(u, IRT_I64, IRT_I32, y) : ir_sext(u, IRT_I64, IRT_I32, y);
    IrVal v = ir_bin(u, IR_MUL, IRT_I64, x, y);
    if (a->ra == 31 && a->k & 1)
        v = ir_un(u, IR_NEG, IRT_I64, v);
    else if (a->ra != 31)
        v = a->k & 1 ? ir_bin(u, IR_SUB, IRT_I64, a64_x(t, a->ra), v) : ir_lea(u, IRT_I64, a64_x(t, a->ra), v, 0, 0);
    a64_put_x(t, a->rd, v);
    return true;
}

bool tr_mulh(A64Tr *t, const A64Args *a)
{
    IrVal m = ir_bin(t->u, (IrOp)a->k, IRT_I64, a64_x(t, a->rn), a64_x(t, a->rm));
    a64_put_x(t, a->rd, ir_hi(t->u, m));
    return true;
}

/* Divisor 0: 0, as the IR's; the signed overflow gives the dividend, where the IR says V and 0. */
bool tr_div(A64Tr *t, const A64Args *a)
{
    IrUnit *u = t->u;
    IrType type = a64_type(a->sf);
    IrVal x = a64_r(t, a->sf, a->rn), y = a64_r(t, a->sf, a->rm), zero = a64_kt(t, a->sf, 0), q;
    if (a->k == IR_DIVU) {
        q = ir_emit(u, IR_DIVU, type, x, zero, y, 0);
    } else {
        IrVal hi = ir_tri(u, IR_SAR, type, x, count_k(t, width(a) - 1), 0);
        q = ir_emit(u, IR_DIVS, type, x, hi, y, 0);
        IrVal fl = ir_flags(u, q);
        IrVal bad = ir_select(u, type, IRC_E, ir_cmp(u, type, y, zero), zero, x);
        q = ir_select(u, type, IRC_O, fl, bad, q);
    }
    a64_put_r(t, a->sf, a->rd, q);
    return true;
}
