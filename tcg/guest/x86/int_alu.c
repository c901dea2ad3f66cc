#include "tcg/guest/x86/translate.h"

/* Two-operand arithmetic and logic, INC, DEC, NEG, NOT, TEST, XADD, CMPXCHG, XCHG, ADX, BCD. */

static void put_fl(X86Tr *t, IrVal f)
{
    ir_put(t->u, IRT_FL, X86S_FL, f);
}

static IrVal get_fl(X86Tr *t)
{
    return ir_get(t->u, IRT_FL, X86S_FL);
}

static IrVal alu_op(X86Tr *t, unsigned what, IrType ty, IrVal a, IrVal b)
{
    static const uint8_t ops[] = { IR_ADD, IR_OR, IR_ADC, IR_SBB, IR_AND, IR_SUB, IR_XOR };
    if (what == A_ADC || what == A_SBB)
        return ir_tri(t->u, ops[what], ty, a, b, get_fl(t));
    return ir_bin(t->u, ops[what], ty, a, b);
}

/* Read-modify-write by compare and swap, for what has no atomic IR operation: ADC, SBB. */
static void locked_carry(X86Tr *t, unsigned what)
{
    IrUnit *u = t->u;
    unsigned log2 = x86_osz(t, 0);
    IrType ty = x86_type(log2);
    IrVal lin = x86_mem(t, 1u << log2, true);
    ir_put(u, IRT_I64, X86S_TMP0, lin);
    ir_put(u, ty, X86S_TMP1, x86_get(t, 1));
    unsigned again = ir_label_new(u);
    ir_br(u, again);
    x86_label(t, again);
    lin = ir_get(u, IRT_I64, X86S_TMP0);
    IrVal old = ir_ld(u, ty, lin, log2, t->mem_flags | IRM_RMW, 0);
    IrVal r = alu_op(t, what, ty, old, ir_get(u, ty, X86S_TMP1));
    IrVal f = ir_flags(u, r);
    IrVal seen = ir_cas(u, ty, lin, old, r, log2);
    ir_brcond(u, IRC_NE, ir_cmp(u, ty, seen, old), again);
    put_fl(t, f);
}

static void locked_alu(X86Tr *t, unsigned what)
{
    static const uint8_t rmw[] = { IRA_ADD, IRA_OR, 0, 0, IRA_AND, IRA_SUB, IRA_XOR };
    if (what == A_ADC || what == A_SBB) {
        locked_carry(t, what);
        return;
    }
    unsigned log2 = x86_osz(t, 0);
    IrType ty = x86_type(log2);
    IrVal b = x86_get(t, 1);
    IrVal old = ir_armw(t->u, ty, rmw[what], x86_mem(t, 1u << log2, true), b, log2);
    put_fl(t, ir_flags(t->u, alu_op(t, what, ty, old, b)));
}

/* XOR r,r and SUB r,r do not depend on r; the constant lets everything behind fold. */
static bool zero_idiom(const X86Tr *t, unsigned what)
{
    return (what == A_XOR || what == A_SUB) && !x86_is_mem(t, 0) && !x86_is_mem(t, 1) && t->in.op->opnd[1].kind == X86O_G && t->in.rm == t->in.reg;
}

void x86_e_alu(X86Tr *t)
{
    unsigned what = (unsigned)t->in.op->arg;
    IrType ty = x86_otype(t, 0);
    if (what == A_CMP) {
        IrVal a = x86_get(t, 0);
        put_fl(t, ir_cmp(t->u, ty, a, x86_get(t, 1)));
        return;
    }
    if (t->in.lock) {
        locked_alu(t, what);
        return;
    }
    if (zero_idiom(t, what)) {
        IrVal z = ir_const(t->u, ty, 0), f = ir_un(t->u, IR_FLUNPACK, IRT_FL, ir_const(t->u, IRT_I32, IRFL_Z | IRFL_P));
        x86_put(t, 0, z);
        put_fl(t, f);
        return;
    }
    IrVal a = x86_get_rmw(t, 0);
    IrVal r = alu_op(t, what, ty, a, x86_get(t, 1));
    IrVal f = ir_flags(t->u, r);
    x86_put(t, 0, r);
    put_fl(t, f);
}

void x86_e_test(X86Tr *t)
{
    IrVal a = x86_get(t, 0);
    put_fl(t, ir_test(t->u, x86_otype(t, 0), a, x86_get(t, 1)));
}

void x86_e_incdec(X86Tr *t)
{
    IrUnit *u = t->u;
    bool dec = t->in.op->arg;
    IrType ty = x86_otype(t, 0);
    IrVal fl = get_fl(t), one = ir_const(u, ty, 1), old, r;     /* fl first: the host then has INC for it */
    if (t->in.lock)
        old = ir_armw(u, ty, dec ? IRA_SUB : IRA_ADD, x86_mem(t, 1u << x86_osz(t, 0), true), one, x86_osz(t, 0));
    else
        old = x86_get_rmw(t, 0);
    r = ir_bin(u, dec ? IR_SUB : IR_ADD, ty, old, one);
    IrVal f = ir_flags(u, r);
    if (!t->in.lock)
        x86_put(t, 0, r);
    put_fl(t, ir_flmerge(u, fl, f, IRFL_ALL & ~IRFL_C));
}

void x86_e_neg(X86Tr *t)
{
    IrUnit *u = t->u;
    IrType ty = x86_otype(t, 0);
    IrVal old = t->in.lock ? ir_armw(u, ty, IRA_NEG, x86_mem(t, 1u << x86_osz(t, 0), true), 0, x86_osz(t, 0)) : x86_get_rmw(t, 0);
    IrVal r = ir_un(u, IR_NEG, ty, old);
    IrVal f = ir_flags(u, r);
    if (!t->in.lock)
        x86_put(t, 0, r);
    put_fl(t, f);
}

void x86_e_not(X86Tr *t)
{
    IrType ty = x86_otype(t, 0);
    if (t->in.lock)
        ir_armw(t->u, ty, IRA_NOT, x86_mem(t, 1u << x86_osz(t, 0), true), 0, x86_osz(t, 0));
    else
        x86_put(t, 0, ir_un(t->u, IR_NOT, ty, x86_get_rmw(t, 0)));
}

/* With memory XCHG is atomic, LOCK or not (SDM 2D XCHG). */
void x86_e_xchg(X86Tr *t)
{
    IrUnit *u = t->u;
    unsigned log2 = x86_osz(t, 0);
    IrVal b = x86_get(t, 1);
    if (x86_is_mem(t, 0)) {
        x86_put(t, 1, ir_armw(u, x86_type(log2), IRA_XCHG, x86_mem(t, 1u << log2, true), b, log2));
        return;
    }
    if (t->in.op->opnd[0].kind == X86O_Z && x86_opnd_reg(t, 0) == 0)
        return;                                /* 90: NOP, also in 64-bit code (no zero extension) */
    IrVal a = x86_get(t, 0);
    x86_put(t, 0, b);
    x86_put(t, 1, a);
}

void x86_e_xadd(X86Tr *t)
{
    IrUnit *u = t->u;
    unsigned log2 = x86_osz(t, 0);
    IrType ty = x86_type(log2);
    IrVal b = x86_get(t, 1), old;
    if (t->in.lock)
        old = ir_armw(u, ty, IRA_ADD, x86_mem(t, 1u << log2, true), b, log2);
    else
        old = x86_get_rmw(t, 0);
    IrVal r = ir_bin(u, IR_ADD, ty, old, b);
    IrVal f = ir_flags(u, r);
    if (x86_is_mem(t, 0)) {
        if (!t->in.lock)
            x86_put(t, 0, r);
        x86_put(t, 1, old);
    } else {
        x86_put(t, 1, old);                    /* XADD r,r: the sum stays */
        x86_put(t, 0, r);
    }
    put_fl(t, f);
}

/* RAX of a failed compare; a successful one leaves even the upper half of a 32-bit operation alone. */
static void cmpxchg_acc(X86Tr *t, unsigned log2, IrVal f, IrVal old)
{
    IrUnit *u = t->u;
    if (log2 == 2) {
        IrVal rax = ir_get(u, IRT_I64, X86S_RAX);
        ir_put(u, IRT_I64, X86S_RAX, ir_select(u, IRT_I64, IRC_E, f, rax, ir_zext(u, IRT_I64, IRT_I32, old)));
        return;
    }
    /* Equal: old is the accumulator's value. */
    ir_put(u, x86_type(log2), X86S_RAX, old);
}

/* Register destination: a failed compare leaves it alone, in 64 bits (as processors do; the manual is silent). */
static void cmpxchg_reg(X86Tr *t, unsigned log2, IrVal acc, IrVal src)
{
    IrUnit *u = t->u;
    IrVal old = x86_get(t, 0), f = ir_cmp(u, x86_type(log2), acc, old);
    if (log2 == 2) {
        IrVal whole = ir_get(u, IRT_I64, X86S_RAX + t->in.rm);
        IrVal v = ir_select(u, IRT_I64, IRC_E, f, ir_zext(u, IRT_I64, IRT_I32, src), whole);
        cmpxchg_acc(t, log2, f, old);
        if (t->in.rm == X86_RAX)
            v = ir_zext(u, IRT_I64, IRT_I32, src);     /* compared with itself */
        ir_put(u, IRT_I64, X86S_RAX + t->in.rm, v);
    } else {
        IrVal v = ir_select(u, x86_type(log2), IRC_E, f, src, old);
        cmpxchg_acc(t, log2, f, old);
        x86_put(t, 0, v);
    }
    put_fl(t, f);
}

void x86_e_cmpxchg(X86Tr *t)
{
    IrUnit *u = t->u;
    unsigned log2 = x86_osz(t, 0);
    IrType ty = x86_type(log2);
    IrVal src = x86_get(t, 1), acc = x86_gpr(t, log2, X86_RAX), old, f;
    if (!x86_is_mem(t, 0)) {
        cmpxchg_reg(t, log2, acc, src);
        return;
    }
    if (t->in.lock) {
        old = ir_cas(u, ty, x86_mem(t, 1u << log2, true), acc, src, log2);
        f = ir_cmp(u, ty, acc, old);
    } else {
        old = x86_get_rmw(t, 0);
        f = ir_cmp(u, ty, acc, old);
        x86_put(t, 0, ir_select(u, ty, IRC_E, f, src, old));
    }
    cmpxchg_acc(t, log2, f, old);
    put_fl(t, f);
}

/* Always a locked cycle: indistinguishable from the unlocked form for anyone else. */
void x86_e_cmpxchg8b(X86Tr *t)
{
    IrUnit *u = t->u;
    IrVal lin = x86_mem(t, 8, true);
    IrVal lo = ir_zext(u, IRT_I64, IRT_I32, x86_gpr(t, 2, X86_RAX)), nlo = ir_zext(u, IRT_I64, IRT_I32, x86_gpr(t, 2, X86_RBX));
    IrVal expect = ir_deposit(u, IRT_I64, lo, x86_gpr(t, 2, X86_RDX), 32, 32);
    IrVal want = ir_deposit(u, IRT_I64, nlo, x86_gpr(t, 2, X86_RCX), 32, 32);
    IrVal old = ir_cas(u, IRT_I64, lin, expect, want, 3);
    IrVal f = ir_cmp(u, IRT_I64, old, expect);
    IrVal rax = ir_get(u, IRT_I64, X86S_RAX), rdx = ir_get(u, IRT_I64, X86S_RDX);
    ir_put(u, IRT_I64, X86S_RAX, ir_select(u, IRT_I64, IRC_E, f, rax, ir_extract(u, IRT_I64, old, 0, 32)));
    ir_put(u, IRT_I64, X86S_RDX, ir_select(u, IRT_I64, IRC_E, f, rdx, ir_extract(u, IRT_I64, old, 32, 32)));
    put_fl(t, ir_flmerge(u, get_fl(t), f, IRFL_Z));
}

void x86_e_cmpxchg16b(X86Tr *t)
{
    x86_call(t, X86H_cmpxchg16b, x86_mem(t, 16, true), 0, 0, 0);
}

/* ADCX carries through CF, ADOX through OF; nothing else changes. */
void x86_e_adx(X86Tr *t)
{
    IrUnit *u = t->u;
    IrType ty = x86_otype(t, 0);
    IrVal a = x86_get(t, 0), b = x86_get(t, 1), fl = get_fl(t);
    IrVal r = ir_tri(u, IR_ADX, ty, a, b, fl);
    u->insn[r].aux = t->in.op->arg;
    IrVal f = ir_flags(u, r);
    x86_put(t, 0, r);
    put_fl(t, f);
}

void x86_e_bcd(X86Tr *t)
{
    x86_call(t, X86H_bcd, x86_k(t, t->in.op->arg), 0, 0, 0);
}

/* Division by the immediate: 0 is #DE, decided here. */
void x86_e_aam(X86Tr *t)
{
    IrUnit *u = t->u;
    if (!(t->in.imm & 0xff)) {
        x86_emit_raise(t, X86_DE);
        return;
    }
    IrVal q = ir_tri(u, IR_DIVU, IRT_I8, x86_gpr(t, 0, X86_RAX), ir_const(u, IRT_I8, 0), ir_const(u, IRT_I8, t->in.imm));
    IrVal rem = ir_hi(u, q);
    IrVal ax = ir_deposit(u, IRT_I32, ir_zext(u, IRT_I32, IRT_I8, rem), q, 8, 8);
    ir_put(u, IRT_I16, X86S_RAX, ir_trunc(u, IRT_I16, ax));
    put_fl(t, ir_test(u, IRT_I8, rem, rem));
}

void x86_e_aad(X86Tr *t)
{
    IrUnit *u = t->u;
    IrVal rax = ir_get(u, IRT_I64, X86S_RAX);
    IrVal ah = ir_trunc(u, IRT_I8, ir_extract(u, IRT_I64, rax, 8, 8));
    IrVal v = ir_bin(u, IR_ADD, IRT_I8, ir_bin(u, IR_MUL, IRT_I8, ah, ir_const(u, IRT_I8, t->in.imm)), x86_gpr(t, 0, X86_RAX));
    ir_put(u, IRT_I16, X86S_RAX, ir_trunc(u, IRT_I16, ir_zext(u, IRT_I32, IRT_I8, v)));
    put_fl(t, ir_test(u, IRT_I8, v, v));
}

void x86_e_salc(X86Tr *t)
{
    IrVal c = ir_cond(t->u, IRC_B, get_fl(t));
    ir_put(t->u, IRT_I8, X86S_RAX, ir_un(t->u, IR_NEG, IRT_I8, c));
}

/* ---- carry and direction ---- */

void x86_e_flagop(X86Tr *t)
{
    IrUnit *u = t->u;
    unsigned what = (unsigned)t->in.op->arg;
    if (what == F_CLD || what == F_STD) {
        IrVal r = ir_get(u, IRT_I32, X86S_RFLAGS_REST);
        r = what == F_STD ? ir_bin(u, IR_OR, IRT_I32, r, ir_const(u, IRT_I32, X86_DF)) : ir_bin(u, IR_AND, IRT_I32, r, ir_const(u, IRT_I32, ~(int64_t)X86_DF));
        ir_put(u, IRT_I32, X86S_RFLAGS_REST, r);
        return;
    }
    IrVal p = ir_un(u, IR_FLPACK, IRT_I32, get_fl(t));
    if (what == F_CLC)
        p = ir_const(u, IRT_I32, 0);
    else if (what == F_STC)
        p = ir_const(u, IRT_I32, IRFL_C);
    else
        p = ir_bin(u, IR_XOR, IRT_I32, p, ir_const(u, IRT_I32, IRFL_C));
    put_fl(t, ir_flmerge(u, get_fl(t), ir_un(u, IR_FLUNPACK, IRT_FL, p), IRFL_C));
}

/* AH has the flags' own layout. */
void x86_e_lahf(X86Tr *t)
{
    IrUnit *u = t->u;
    IrVal p = ir_un(u, IR_FLPACK, IRT_I32, get_fl(t));
    IrVal ah = ir_bin(u, IR_OR, IRT_I32, ir_extract(u, IRT_I32, p, 8, 8), ir_const(u, IRT_I32, 2));
    ir_put(u, IRT_I64, X86S_RAX, ir_deposit(u, IRT_I64, ir_get(u, IRT_I64, X86S_RAX), ah, 8, 8));
}

void x86_e_sahf(X86Tr *t)
{
    IrUnit *u = t->u;
    IrVal ax = ir_bin(u, IR_AND, IRT_I32, x86_gpr(t, 2, X86_RAX), ir_const(u, IRT_I32, IRFL_ALL & ~IRFL_V));
    put_fl(t, ir_flmerge(u, get_fl(t), ir_un(u, IR_FLUNPACK, IRT_FL, ax), IRFL_ALL & ~IRFL_V));
}
