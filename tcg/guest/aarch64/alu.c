/* Data processing: immediates and registers (ARM C6.2; C4.1.92, C4.1.94). */
#include "tcg/guest/aarch64/translate.h"

/* a + b or a - b; @k bit 0: set flags, bit 1: subtract. */
static IrVal add_or_sub(A64Tr *t, int sf, int k, IrVal a, IrVal b)
{
    IrVal v = ir_bin(t->u, k & 2 ? IR_SUB : IR_ADD, a64_type(sf), a, b);
    if (k & 1)
        a64_put_flags(t, ir_flags(t->u, v), k & 2 ? A64FL_BORROW : A64FL_CARRY);
    return v;
}

bool tr_addsub_imm(A64Tr *t, const A64Args *a)
{
    int64_t imm = a->sh ? (int64_t)a->imm << 12 : a->imm;
    if (a->k & 1) {
        IrVal n = a64_rsp(t, a->sf, a->rn), v;
        if ((a->k & 2) && a->rd == 31) {       /* CMP */
            a64_put_flags(t, ir_cmp(t->u, a64_type(a->sf), n, a64_kt(t, a->sf, imm)), A64FL_BORROW);
            return true;
        }
        v = add_or_sub(t, a->sf, a->k, n, a64_kt(t, a->sf, imm));
        a64_put_r(t, a->sf, a->rd, v);
        return true;
    }
    a64_put_rsp(t, a->sf, a->rd, ir_lea(t->u, a64_type(a->sf), a64_rsp(t, a->sf, a->rn), 0, 0, a->k & 2 ? -imm : imm));
    return true;
}

/* MOVN 0, MOVZ 2, MOVK 3 */
bool tr_movw(A64Tr *t, const A64Args *a)
{
    unsigned pos = (unsigned)a->hw * 16;
    uint64_t v = (uint64_t)(uint32_t)a->imm << pos;
    if (!a->sf && a->hw > 1)
        return false;
    if (a->k == 3)
        a64_put_r(t, a->sf, a->rd, ir_deposit(t->u, a64_type(a->sf), a64_r(t, a->sf, a->rd), a64_kt(t, a->sf, a->imm), pos, 16));
    else
        a64_put_x(t, a->rd, a64_k(t, (int64_t)(a->k ? v : a->sf ? ~v : (uint32_t)~v)));
    return true;
}
