/*
 * N Z C V. In the slot C is inverted: then CMP and SUBS leave exactly what the host's subtraction leaves, and all conditions of ARM are conditions of
 * the host. Additions, logical operations and floating-point comparisons have their own meaning of C; conditions behind them in the same unit look at
 * what was computed (t->raw), and the conversion for the slot is dead code as soon as another instruction writes the flags.
 */
#include "tcg/guest/aarch64/translate.h"
#include "tcg/vops.h"

enum { COND_EQ, COND_NE, COND_HS, COND_LO, COND_MI, COND_PL, COND_VS, COND_VC, COND_HI, COND_LS, COND_GE, COND_LT, COND_GT, COND_LE };

static const uint16_t fcmp_vop[4] = { VOP_UCOMISS, VOP_COMISS, VOP_UCOMISD, VOP_COMISD };

static IrVal packed(A64Tr *t, IrVal fl) { return ir_un(t->u, IR_FLPACK, IRT_I32, fl); }
static void put_packed(A64Tr *t, IrVal v) { ir_put(t->u, IRT_FL, A64S_FL, ir_un(t->u, IR_FLUNPACK, IRT_FL, v)); }

void a64_put_flags(A64Tr *t, IrVal fl, A64FlKind kind)
{
    IrUnit *u = t->u;
    if (kind == A64FL_BORROW)
        ir_put(u, IRT_FL, A64S_FL, fl);
    else
        put_packed(t, ir_bin(u, kind == A64FL_CARRY ? IR_XOR : IR_OR, IRT_I32, packed(t, fl), ir_const(u, IRT_I32, IRFL_C)));
    t->raw = fl;
    t->raw_kind = (uint8_t)kind;
}

static IrVal compare(A64Tr *t, IrVal a, IrVal b) { return ir_vop(t->u, IRT_FL, fcmp_vop[t->raw_vop], a, b, 0, 0); }

/* How a condition finds itself in the host's comparison or in that of the operands in the other order. EQ and NE look at two flags of any. */
static const struct { uint8_t cc, swapped; } fcmp_how[] = {
    [COND_HS] = { IRC_BE, 1 }, [COND_LO] = { IRC_A, 1 }, [COND_MI] = { IRC_A, 1 }, [COND_PL] = { IRC_BE, 1 }, [COND_VS] = { IRC_P, 0 }, [COND_VC] = { IRC_NP, 0 },
    [COND_HI] = { IRC_B, 1 }, [COND_LS] = { IRC_AE, 1 }, [COND_GE] = { IRC_AE, 0 }, [COND_LT] = { IRC_B, 0 }, [COND_GT] = { IRC_A, 0 }, [COND_LE] = { IRC_BE, 0 } };

/*
 * The host: above 000, below 001, equal 100, unordered 111 (Z P C). Here: above 0010 (N Z C V), below 1000, equal 0110, unordered 0011. In the packed
 * form a product with 2^7 + 1 adds N to C and takes Z to beyond the form.
 */
static void put_fcmp(A64Tr *t)
{
    enum { N_OF_C = 0x81 };
    IrUnit *u = t->u;
    IrVal v = packed(t, t->raw), fl = t->raw;
    if (t->raw_swapped)
        v = ir_select(u, IRT_I32, IRC_A, fl, ir_const(u, IRT_I32, IRFL_C), ir_bin(u, IR_AND, IRT_I32, v, ir_const(u, IRT_I32, IRFL_Z)));
    v = ir_select(u, IRT_I32, IRC_P, fl, ir_const(u, IRT_I32, IRFL_V), v);
    put_packed(t, ir_bin(u, IR_MUL, IRT_I32, v, ir_const(u, IRT_I32, N_OF_C)));
}

static void compare_fp(A64Tr *t, IrVal a, IrVal b, bool dbl, bool signal, bool swapped)
{
    t->raw_vop = (uint8_t)(dbl * 2 + signal);
    t->raw = swapped ? compare(t, b, a) : compare(t, a, b);
    t->raw_kind = A64FL_FCMP;
    t->raw_swapped = swapped;
    t->raw_a = a;
    t->raw_b = b;
}

void a64_put_flags_fcmp(A64Tr *t, IrVal a, IrVal b, bool dbl, bool signal)
{
    compare_fp(t, a, b, dbl, signal, false);
    put_fcmp(t);
}

void a64_late_flags_fcmp(A64Tr *t, const A64Args *insn, A64ColdFn *again, IrVal a, IrVal b, bool dbl, bool signal)
{
    unsigned cond = t->ahead & 15;
    bool branch = (t->ahead & 0xff000010) == 0x54000000 && cond < 14;
    compare_fp(t, a, b, dbl, signal, branch && fcmp_how[cond].swapped);
    t->late = again;
    t->late_args = *insn;
}

void a64_put_late(A64Tr *t)
{
    if (t->late)
        put_fcmp(t);
    t->late = NULL;
}

IrVal a64_fl(A64Tr *t) { return ir_get(t->u, IRT_FL, A64S_FL); }

/* Two conditions of @fl, both or one of them. */
static IrCond two(A64Tr *t, IrOp op, IrCond x, IrCond y, IrVal fl, IrVal *ret_fl)
{
    IrVal v = ir_bin(t->u, op, IRT_I8, ir_cond(t->u, x, fl), ir_cond(t->u, y, fl));
    *ret_fl = ir_test(t->u, IRT_I8, v, v);
    return IRC_NE;
}

static IrCond fcmp_cond(A64Tr *t, unsigned cond, IrVal *ret_fl)
{
    if (cond == COND_EQ)
        return two(t, IR_AND, IRC_E, IRC_NP, t->raw, ret_fl);
    if (cond == COND_NE)
        return two(t, IR_OR, IRC_NE, IRC_P, t->raw, ret_fl);
    bool other = fcmp_how[cond].swapped != t->raw_swapped;
    *ret_fl = !other ? t->raw : t->raw_swapped ? compare(t, t->raw_a, t->raw_b) : compare(t, t->raw_b, t->raw_a);
    return (IrCond)fcmp_how[cond].cc;
}

IrCond a64_cond(A64Tr *t, unsigned cond, IrVal *ret_fl)
{
    static const uint8_t cc[] = { IRC_E, IRC_NE, IRC_AE, IRC_B, IRC_S, IRC_NS, IRC_O, IRC_NO, IRC_A, IRC_BE, IRC_GE, IRC_L, IRC_G, IRC_LE };
    bool on_c = cond == COND_HS || cond == COND_LO || cond == COND_HI || cond == COND_LS;
    *ret_fl = t->raw;
    if (t->raw_kind == A64FL_FCMP)
        return fcmp_cond(t, cond, ret_fl);
    if (t->raw_kind == A64FL_CARRY && on_c)
        switch (cond) {
        case COND_HS: return IRC_B;
        case COND_LO: return IRC_AE;
        case COND_HI: return two(t, IR_AND, IRC_B, IRC_NE, t->raw, ret_fl);
        default: return two(t, IR_OR, IRC_AE, IRC_E, t->raw, ret_fl);
        }
    if (t->raw_kind == A64FL_NONE || (t->raw_kind == A64FL_LOGIC && on_c))
        *ret_fl = a64_fl(t);
    return (IrCond)cc[cond];
}
