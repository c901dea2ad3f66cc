/* Environment calls, CSRs, returns, fences of the address space: all by helper, which checks privilege itself. */
#include "tcg/guest/riscv/translate.h"

bool rv_ecall(RiscvTr *t, const RiscvArgs *a)
{
    (void)a;
    ir_jmp(t->u, rv_call(t, RVH_ecall, 0, 0, 0, 0), IRJ_PLAIN);
    t->end = true;
    return true;
}

bool rv_ebreak(RiscvTr *t, const RiscvArgs *a)
{
    (void)a;
    rv_emit_raise(t, RISCV_E_BREAK, rv_k(t, 0));
    return true;
}

static bool return_by(RiscvTr *t, unsigned helper)
{
    rv_call(t, helper, rv_k(t, t->insn), 0, 0, 0);
    ir_exit(t->u, TCG_LEAVE_GUEST);
    t->end = true;
    return true;
}

bool rv_mret(RiscvTr *t, const RiscvArgs *a) { (void)a; return return_by(t, RVH_mret); }
bool rv_sret(RiscvTr *t, const RiscvArgs *a) { (void)a; return return_by(t, RVH_sret); }

/* The helper sets the pc to the next instruction when the wait is allowed. */
bool rv_wfi(RiscvTr *t, const RiscvArgs *a)
{
    (void)a;
    rv_call(t, RVH_wfi, rv_k(t, t->insn), 0, 0, 0);
    rv_leave_look(t);
    return true;
}

bool rv_sfence(RiscvTr *t, const RiscvArgs *a)
{
    rv_call(t, RVH_sfence, rv_x(t, a->rs1), rv_x(t, a->rs2), rv_k(t, (a->rs1 ? 1 : 0) | (a->rs2 ? 2 : 0)), rv_k(t, t->insn));
    rv_leave_look(t);
    return true;
}

/* CSRRS and CSRRC with x0 (or 0) do not write (unpriv 6.1). What only reads may stay in the unit. */
static bool csr(RiscvTr *t, const RiscvArgs *a, IrVal v, bool write)
{
    IrVal old = rv_call(t, RVH_csr, rv_k(t, a->csr | a->k << 12 | (write ? 1 << 14 : 0)), v, rv_k(t, t->insn), 0);
    rv_put(t, a->rd, old);
    if (write)
        rv_leave_look(t);
    return true;
}

bool rv_csr(RiscvTr *t, const RiscvArgs *a) { return csr(t, a, rv_x(t, a->rs1), a->k == 0 || a->rs1); }
bool rv_csri(RiscvTr *t, const RiscvArgs *a) { return csr(t, a, rv_k(t, a->rs1), a->k == 0 || a->rs1); }
