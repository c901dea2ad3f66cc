/* Loads, stores, fences, atomics (unpriv chapters 2.6, 2.7, 14). */
#include "tcg/guest/riscv/translate.h"

bool rv_load(RiscvTr *t, const RiscvArgs *a)
{
    IrVal v = ir_ld(t->u, IRT_I64, rv_addr(t, a->rs1, a->imm), (unsigned)a->k & IRM_SIZE, (unsigned)a->k & IRM_SIGN, 0);
    rv_put(t, a->rd, v);
    return true;
}

bool rv_store(RiscvTr *t, const RiscvArgs *a)
{
    static const uint8_t type[] = { IRT_I8, IRT_I16, IRT_I32, IRT_I64 };
    IrVal addr = rv_addr(t, a->rs1, a->imm), v = ir_trunc(t->u, (IrType)type[a->k], rv_x(t, a->rs2));
    ir_st(t->u, (IrType)type[a->k], addr, v, (unsigned)a->k, 0, 0);
    return true;
}

/* Every pair but "earlier stores, later loads" is kept by the IR's order of accesses on the hosts there are; only that one needs an instruction.
 * pred, succ: device input, output, reads, writes from bit 3 down (unpriv 2.7); FENCE.TSO leaves that pair out. */
bool rv_fence(RiscvTr *t, const RiscvArgs *a)
{
    bool tso = t->insn >> 28 == 8;
    if (a->pred & 5 && a->succ & 10 && !tso)
        ir_fence(t->u, IRFENCE_MEMORY);
    return true;
}

/* The translator sees stores to code itself; another unit, because this one may be stale. */
bool rv_fence_i(RiscvTr *t, const RiscvArgs *a)
{
    (void)a;
    ir_fence(t->u, IRFENCE_ALL);
    rv_leave_look(t);
    return true;
}

/* ---- LR/SC: the reservation is an address and the value that was there; SC is a compare-and-swap with that value ---- */
bool rv_lr(RiscvTr *t, const RiscvArgs *a)
{
    IrVal addr = rv_x(t, a->rs1);
    if (a->rl)
        ir_fence(t->u, IRFENCE_MEMORY);
    IrVal v = ir_ld(t->u, IRT_I64, addr, (unsigned)a->k, IRM_ALIGN | (a->k == 2 ? IRM_SIGN : 0u), 0);
    ir_put(t->u, IRT_I64, RVS_RES_ADDR, addr);
    ir_put(t->u, IRT_I64, RVS_RES_VALUE, v);
    rv_put(t, a->rd, v);
    return true;
}

bool rv_sc(RiscvTr *t, const RiscvArgs *a)
{
    IrUnit *u = t->u;
    IrType type = a->k == 2 ? IRT_I32 : IRT_I64;
    IrVal addr = rv_x(t, a->rs1), fl = ir_cmp(u, IRT_I64, addr, ir_get(u, IRT_I64, RVS_RES_ADDR));
    ir_brcond(u, IRC_NE, fl, rv_cold(t, RISCV_COLD_SC, a));
    IrVal expect = ir_trunc(u, type, ir_get(u, IRT_I64, RVS_RES_VALUE)), v = ir_trunc(u, type, rv_x(t, a->rs2));
    if (ir_lonely(u, false)) {         /* nobody comes in between, but the value may have changed by this hart */
        IrVal now = ir_ld(u, type, addr, (unsigned)a->k, IRM_RMW | IRM_ALIGN, 0);
        ir_brcond(u, IRC_NE, ir_cmp(u, type, now, expect), rv_cold(t, RISCV_COLD_SC, a));
        ir_st(u, type, addr, v, (unsigned)a->k, 0, 0);
        ir_put(u, IRT_I64, RVS_RES_ADDR, rv_k(t, -1));
        rv_put(t, a->rd, rv_k(t, 0));
        return true;
    }
    IrVal old = ir_cas(u, type, addr, expect, v, (unsigned)a->k);
    ir_at(u, old)->mem |= IRM_ALIGN;
    IrVal failed = ir_zext(u, IRT_I64, IRT_I8, ir_cond(u, IRC_NE, ir_cmp(u, type, old, expect)));
    ir_put(u, IRT_I64, RVS_RES_ADDR, rv_k(t, -1));
    rv_put(t, a->rd, failed);
    return true;
}

bool rv_amo(RiscvTr *t, const RiscvArgs *a)
{
    unsigned log2 = (unsigned)a->k >> 8;
    IrType type = log2 == 2 ? IRT_I32 : IRT_I64;
    IrVal v = ir_trunc(t->u, type, rv_x(t, a->rs2));
    IrVal old = ir_armw(t->u, type, (IrRmw)(a->k & 255), rv_x(t, a->rs1), v, log2);
    ir_at(t->u, old)->mem |= IRM_ALIGN;
    rv_put(t, a->rd, ir_sext(t->u, IRT_I64, type, old));
    return true;
}
