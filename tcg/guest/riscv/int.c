/* Integer emitters: RV64I, M, Zba, Zbb, Zbc, Zbs, Zicond (unpriv chapters 2, 13, 12, 28). */
#include "tcg/guest/riscv/translate.h"

bool rv_lui(RiscvTr *t, const RiscvArgs *a) { rv_put(t, a->rd, rv_k(t, a->imm)); return true; }

/* A page offset that translated code may go to. */
static bool near_by(int64_t off) { return off > -(1 << 30) && off < 1 << 30; }

bool rv_auipc(RiscvTr *t, const RiscvArgs *a)
{
    if (near_by(t->off + a->imm))
        rv_put_pc(t, a->rd, t->off + a->imm);
    else
        rv_put(t, a->rd, ir_lea(t->u, IRT_I64, ir_pc(t->u, t->off), 0, 0, a->imm));
    return true;
}

bool rv_mv(RiscvTr *t, const RiscvArgs *a) { rv_put(t, a->rd, rv_x(t, a->rs2)); return true; }

/* What is shifted left by how many bits: a value that came of such an instruction; 0: it did not. */
static IrVal shifted(const RiscvTr *t, IrVal v, int64_t *ret)
{
    const IrInsn *i = ir_at(t->u, v);
    return i->op == IR_SHL && i->type == IRT_I64 && !i->c && !i->aux && ir_is_const(t->u, i->b, ret) ? i->a : 0;
}

/* An index made to bytes and added to the base, without Zba. */
static bool scaled_add(RiscvTr *t, const RiscvArgs *a)
{
    IrVal x = rv_x(t, a->rs1), y = rv_x(t, a->rs2);
    for (unsigned n = 0; n < 2; n++) {
        int64_t scale;
        IrVal index = shifted(t, n ? y : x, &scale);
        if (!index || scale < 1 || scale > 3)
            continue;
        rv_put(t, a->rd, ir_lea(t->u, IRT_I64, n ? x : y, index, (unsigned)scale, 0));
        return true;
    }
    return false;
}

bool rv_alu(RiscvTr *t, const RiscvArgs *a)
{
    if (a->k == IR_ADD && a->rs1 && a->rs2 && scaled_add(t, a))
        return true;
    rv_put(t, a->rd, ir_bin(t->u, (IrOp)a->k, IRT_I64, rv_x(t, a->rs1), rv_x(t, a->rs2)));
    return true;
}

bool rv_alui(RiscvTr *t, const RiscvArgs *a)
{
    IrVal v;
    if (a->k == IR_ADD && t->known >> a->rs1 & 1 && near_by(t->place[a->rs1] + a->imm)) {      /* behind AUIPC */
        rv_put_pc(t, a->rd, t->place[a->rs1] + a->imm);
        return true;
    }
    if (!a->rs1 && a->k != IR_AND)                 /* li */
        v = rv_k(t, a->imm);
    else if (a->k == IR_ADD)
        v = rv_addr(t, a->rs1, a->imm);
    else if (a->k == IR_XOR && a->imm == -1)       /* not */
        v = ir_un(t->u, IR_NOT, IRT_I64, rv_x(t, a->rs1));
    else
        v = ir_bin(t->u, (IrOp)a->k, IRT_I64, rv_x(t, a->rs1), rv_k(t, a->imm));
    rv_put(t, a->rd, v);
    return true;
}

bool rv_aluw(RiscvTr *t, const RiscvArgs *a)
{
    rv_put_w(t, a->rd, ir_bin(t->u, (IrOp)a->k, IRT_I32, rv_w(t, a->rs1), rv_w(t, a->rs2)));
    return true;
}

bool rv_aluiw(RiscvTr *t, const RiscvArgs *a)
{
    IrVal v = rv_w(t, a->rs1);
    if (a->imm)
        v = ir_bin(t->u, IR_ADD, IRT_I32, v, ir_const(t->u, IRT_I32, a->imm));
    rv_put_w(t, a->rd, v);
    return true;
}

static void set_cond(RiscvTr *t, int rd, IrCond cc, IrVal a, IrVal b)
{
    IrVal fl = ir_cmp(t->u, IRT_I64, a, b);
    rv_put(t, rd, ir_zext(t->u, IRT_I64, IRT_I8, ir_cond(t->u, cc, fl)));
}

bool rv_slt(RiscvTr *t, const RiscvArgs *a) { set_cond(t, a->rd, (IrCond)a->k, rv_x(t, a->rs1), rv_x(t, a->rs2)); return true; }
bool rv_slti(RiscvTr *t, const RiscvArgs *a) { set_cond(t, a->rd, (IrCond)a->k, rv_x(t, a->rs1), rv_k(t, a->imm)); return true; }

/* ---- shifts: the count is taken modulo the width ---- */
bool rv_sh(RiscvTr *t, const RiscvArgs *a)
{
    rv_put(t, a->rd, ir_shift_modulo(t->u, (IrOp)a->k, IRT_I64, rv_x(t, a->rs1), rv_x(t, a->rs2)));
    return true;
}

/* Shifted left and back: an extension, as there are instructions for in Zba and Zbb only; 0: not one of the host. */
static IrVal extension(RiscvTr *t, IrVal v, const RiscvArgs *a)
{
    int64_t n, back = a->imm;
    IrVal x = a->k == IR_SHL ? 0 : shifted(t, v, &n);
    IrType from = !x ? IRT_NONE : n == 32 && back <= 32 ? IRT_I32 : n != back ? IRT_NONE : n == 48 ? IRT_I16 : n == 56 ? IRT_I8 : IRT_NONE;
    if (!from)
        return 0;
    x = ir_trunc(t->u, from, x);
    x = a->k == IR_SAR ? ir_sext(t->u, IRT_I64, from, x) : ir_zext(t->u, IRT_I64, from, x);
    return n == back ? x : ir_tri(t->u, IR_SHL, IRT_I64, x, ir_const(t->u, IRT_I8, n - back), 0);
}

bool rv_shi(RiscvTr *t, const RiscvArgs *a)
{
    IrVal v = rv_x(t, a->rs1), x = extension(t, v, a);
    if (x)
        v = x;
    else if (a->imm)
        v = ir_tri(t->u, (IrOp)a->k, IRT_I64, v, ir_const(t->u, IRT_I8, a->imm), 0);
    rv_put(t, a->rd, v);
    return true;
}

bool rv_shw(RiscvTr *t, const RiscvArgs *a)
{
    rv_put_w(t, a->rd, ir_shift_modulo(t->u, (IrOp)a->k, IRT_I32, rv_w(t, a->rs1), rv_x(t, a->rs2)));
    return true;
}

bool rv_shiw(RiscvTr *t, const RiscvArgs *a)
{
    IrVal v = rv_w(t, a->rs1);
    if (a->imm)
        v = ir_tri(t->u, (IrOp)a->k, IRT_I32, v, ir_const(t->u, IRT_I8, a->imm), 0);
    if (a->imm && a->k == IR_SHR)      /* bit 31 is 0 */
        rv_put(t, a->rd, ir_zext(t->u, IRT_I64, IRT_I32, v));
    else
        rv_put_w(t, a->rd, v);
    return true;
}

/* ---- jumps ---- */
/* @v is 0 or 1 as a condition was, whose flags are still there; 0: it is not. */
static IrVal condition(const RiscvTr *t, IrVal v, IrCond *ret)
{
    const IrInsn *i = ir_at(t->u, v);
    if (i->op != IR_ZEXT || ir_at(t->u, i->a)->op != IR_COND)
        return 0;
    i = ir_at(t->u, i->a);
    for (unsigned at = i->a + 1u; at < t->u->n; at++) {
        unsigned op = ir_at(t->u, (IrVal)at)->op;
        if (op != IR_COND && op != IR_ZEXT && op != IR_RPUT && op != IR_RGET && op != IR_CONST && op != IR_INSN)
            return 0;
    }
    *ret = (IrCond)i->aux;
    return i->a;
}

bool rv_branch(RiscvTr *t, const RiscvArgs *a)
{
    IrCond cc;
    IrVal fl = !a->rs2 && (a->k == IRC_E || a->k == IRC_NE) ? condition(t, rv_x(t, a->rs1), &cc) : 0;
    if (fl) {
        rv_leave_branch(t, t->off + a->imm, a->k == IRC_E ? cc ^ 1 : cc, fl);
        return true;
    }
    rv_leave_branch(t, t->off + a->imm, (IrCond)a->k, ir_cmp(t->u, IRT_I64, rv_x(t, a->rs1), rv_x(t, a->rs2)));
    return true;
}

bool rv_jal(RiscvTr *t, const RiscvArgs *a)
{
    rv_leave_jal(t, a->rd, t->off + a->imm);
    return true;
}

/* Behind an AUIPC (a call far away), or at the end of a function called in this region, it leads to a place that is known. */
bool rv_jalr(RiscvTr *t, const RiscvArgs *a)
{
    if (t->known >> a->rs1 & 1 && near_by(t->place[a->rs1] + a->imm))
        rv_leave_known(t, a, (t->place[a->rs1] + a->imm) & ~1ll);
    else
        rv_leave_jalr(t, a);
    return true;
}

/* ---- M ---- */
bool rv_mulh(RiscvTr *t, const RiscvArgs *a)
{
    IrVal m = ir_bin(t->u, (IrOp)a->k, IRT_I64, rv_x(t, a->rs1), rv_x(t, a->rs2));
    rv_put(t, a->rd, ir_hi(t->u, m));
    return true;
}

/* high(a signed * b unsigned) = high(a * b unsigned) - (a < 0 ? b : 0) */
bool rv_mulhsu(RiscvTr *t, const RiscvArgs *a)
{
    IrVal x = rv_x(t, a->rs1), y = rv_x(t, a->rs2);
    IrVal hi = ir_hi(t->u, ir_bin(t->u, IR_MULU, IRT_I64, x, y));
    IrVal sign = ir_tri(t->u, IR_SAR, IRT_I64, x, ir_const(t->u, IRT_I8, 63), 0);
    rv_put(t, a->rd, ir_bin(t->u, IR_SUB, IRT_I64, hi, ir_bin(t->u, IR_AND, IRT_I64, sign, y)));
    return true;
}

/*
 * Nothing traps (unpriv table 13.1). Divisor 0: quotient all ones, remainder the dividend. Signed overflow: quotient the dividend, remainder 0.
 * The IR's flag V says that one of them happened.
 */
static IrVal divide(RiscvTr *t, const RiscvArgs *a, IrType type, bool rem)
{
    IrUnit *u = t->u;
    bool is_signed = a->k == IR_DIVS;
    IrVal x = type == IRT_I64 ? rv_x(t, a->rs1) : rv_w(t, a->rs1), y = type == IRT_I64 ? rv_x(t, a->rs2) : rv_w(t, a->rs2);
    IrVal hi = is_signed ? ir_tri(u, IR_SAR, type, x, ir_const(u, IRT_I8, type == IRT_I64 ? 63 : 31), 0) : ir_const(u, type, 0);
    IrVal q = ir_emit(u, (IrOp)a->k, type, x, hi, y, 0);
    IrVal r = rem ? ir_hi(u, q) : 0, fl = ir_flags(u, q);
    IrVal zero = ir_const(u, type, 0);
    if (rem) {                 /* V: divisor 0 gives x, overflow (signed, divisor -1) gives 0 */
        IrVal bad = is_signed ? ir_select(u, type, IRC_E, ir_cmp(u, type, y, zero), x, zero) : x;
        return ir_select(u, type, IRC_O, fl, bad, r);
    }
    IrVal ones = ir_const(u, type, -1);
    IrVal bad = is_signed ? ir_select(u, type, IRC_E, ir_cmp(u, type, y, zero), ones, x) : ones;
    return ir_select(u, type, IRC_O, fl, bad, q);
}

bool rv_div(RiscvTr *t, const RiscvArgs *a) { rv_put(t, a->rd, divide(t, a, IRT_I64, false)); return true; }
bool rv_rem(RiscvTr *t, const RiscvArgs *a) { rv_put(t, a->rd, divide(t, a, IRT_I64, true)); return true; }
bool rv_divw(RiscvTr *t, const RiscvArgs *a) { rv_put_w(t, a->rd, divide(t, a, IRT_I32, false)); return true; }
bool rv_remw(RiscvTr *t, const RiscvArgs *a) { rv_put_w(t, a->rd, divide(t, a, IRT_I32, true)); return true; }

/* ---- Zba ---- */
bool rv_shadd(RiscvTr *t, const RiscvArgs *a)
{
    rv_put(t, a->rd, ir_lea(t->u, IRT_I64, rv_x(t, a->rs2), rv_x(t, a->rs1), (unsigned)a->k, 0));
    return true;
}

bool rv_shadd_uw(RiscvTr *t, const RiscvArgs *a)
{
    IrVal z = ir_zext(t->u, IRT_I64, IRT_I32, rv_w(t, a->rs1));
    rv_put(t, a->rd, ir_lea(t->u, IRT_I64, rv_x(t, a->rs2), z, (unsigned)a->k, 0));
    return true;
}

bool rv_slli_uw(RiscvTr *t, const RiscvArgs *a)
{
    IrVal z = ir_zext(t->u, IRT_I64, IRT_I32, rv_w(t, a->rs1));
    if (a->imm)
        z = ir_tri(t->u, IR_SHL, IRT_I64, z, ir_const(t->u, IRT_I8, a->imm), 0);
    rv_put(t, a->rd, z);
    return true;
}

/* ---- Zbc ---- */
bool rv_clmul(RiscvTr *t, const RiscvArgs *a)
{
    rv_put(t, a->rd, rv_call(t, RVH_clmul, rv_x(t, a->rs1), rv_x(t, a->rs2), rv_k(t, a->k), 0));
    return true;
}

uint64_t riscv_h_clmul(void *state, uint64_t a, uint64_t b, uint64_t from, uint64_t unused)
{
    unsigned __int128 sum = 0;
    (void)state, (void)unused;
    for (unsigned n = 0; n < 64; n++)
        sum ^= ((unsigned __int128)a << n) & -(unsigned __int128)(b >> n & 1);
    return (uint64_t)(sum >> from);
}

/* ---- Zbb ---- */
bool rv_andn(RiscvTr *t, const RiscvArgs *a)
{
    rv_put(t, a->rd, ir_bin(t->u, IR_ANDN, IRT_I64, rv_x(t, a->rs2), rv_x(t, a->rs1)));
    return true;
}

/* ORN, XNOR */
bool rv_orn(RiscvTr *t, const RiscvArgs *a)
{
    IrVal inv = ir_un(t->u, IR_NOT, IRT_I64, rv_x(t, a->rs2));
    rv_put(t, a->rd, ir_bin(t->u, (IrOp)a->k, IRT_I64, rv_x(t, a->rs1), inv));
    return true;
}

bool rv_minmax(RiscvTr *t, const RiscvArgs *a)
{
    IrVal x = rv_x(t, a->rs1), y = rv_x(t, a->rs2);
    rv_put(t, a->rd, ir_select(t->u, IRT_I64, (IrCond)a->k, ir_cmp(t->u, IRT_I64, x, y), x, y));
    return true;
}

bool rv_un(RiscvTr *t, const RiscvArgs *a) { rv_put(t, a->rd, ir_un(t->u, (IrOp)a->k, IRT_I64, rv_x(t, a->rs1))); return true; }
bool rv_unw(RiscvTr *t, const RiscvArgs *a)
{
    rv_put(t, a->rd, ir_zext(t->u, IRT_I64, IRT_I32, ir_un(t->u, (IrOp)a->k, IRT_I32, rv_w(t, a->rs1))));
    return true;
}

bool rv_ext(RiscvTr *t, const RiscvArgs *a)
{
    IrType from = (IrType)(a->k & 255);
    IrVal v = ir_trunc(t->u, from, rv_x(t, a->rs1));
    rv_put(t, a->rd, a->k >> 8 == IR_SEXT ? ir_sext(t->u, IRT_I64, from, v) : ir_zext(t->u, IRT_I64, from, v));
    return true;
}

/* Each byte that is not 0 becomes 255: bit 7 of (low seven bits + 127) | byte, spread. */
bool rv_orc_b(RiscvTr *t, const RiscvArgs *a)
{
    IrUnit *u = t->u;
    IrVal x = rv_x(t, a->rs1), low = rv_k(t, 0x7f7f7f7f7f7f7f7fll);
    IrVal v = ir_bin(u, IR_ADD, IRT_I64, ir_bin(u, IR_AND, IRT_I64, x, low), low);
    v = ir_bin(u, IR_ANDN, IRT_I64, low, ir_bin(u, IR_OR, IRT_I64, v, x));
    IrVal one = ir_tri(u, IR_SHR, IRT_I64, v, ir_const(u, IRT_I8, 7), 0);
    rv_put(t, a->rd, ir_bin(u, IR_OR, IRT_I64, ir_bin(u, IR_SUB, IRT_I64, v, one), v));
    return true;
}

/* ---- Zbs: 0 clear, 1 extract, 2 invert, 3 set ---- */
static bool single_bit(RiscvTr *t, const RiscvArgs *a, IrVal n)
{
    IrUnit *u = t->u;
    IrVal x = rv_x(t, a->rs1), v;
    if (a->k == 1) {
        v = ir_bin(u, IR_AND, IRT_I64, ir_shift_modulo(u, IR_SHR, IRT_I64, x, n), rv_k(t, 1));
    } else {
        IrVal bit = ir_shift_modulo(u, IR_SHL, IRT_I64, rv_k(t, 1), n);
        v = a->k ? ir_bin(u, a->k == 2 ? IR_XOR : IR_OR, IRT_I64, x, bit) : ir_bin(u, IR_ANDN, IRT_I64, bit, x);
    }
    rv_put(t, a->rd, v);
    return true;
}

bool rv_bit(RiscvTr *t, const RiscvArgs *a) { return single_bit(t, a, rv_x(t, a->rs2)); }
bool rv_biti(RiscvTr *t, const RiscvArgs *a) { return single_bit(t, a, rv_k(t, a->imm)); }

/* ---- Zicond ---- */
bool rv_czero(RiscvTr *t, const RiscvArgs *a)
{
    IrVal zero = rv_k(t, 0), fl = ir_cmp(t->u, IRT_I64, rv_x(t, a->rs2), zero);
    rv_put(t, a->rd, ir_select(t->u, IRT_I64, (IrCond)a->k, fl, zero, rv_x(t, a->rs1)));
    return true;
}
