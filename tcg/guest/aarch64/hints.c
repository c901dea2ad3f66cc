/* Hints, barriers, pointer authentication, the system registers that programs use (ARM C4.1.93, C5.2, C6.2). */
#include "tcg/guest/aarch64/translate.h"

bool tr_nop(A64Tr *t, const A64Args *a) { (void)t, (void)a; return true; }

/*
 * Barriers: of what the host does not keep by itself there are only earlier stores before later loads. CRm bits 0-1: loads, stores, both.
 */
bool tr_barrier(A64Tr *t, const A64Args *a)
{
    if ((a->crm & 3) == 3 || (a->crm & 3) == 0)
        ir_fence(t->u, IRFENCE_MEMORY);
    return true;
}

/* The translator sees stores to code itself; another unit, because this one may be stale. */
bool tr_isb(A64Tr *t, const A64Args *a)
{
    (void)a;
    a64_leave_goto(t, t->next);
    return true;
}

bool tr_sb(A64Tr *t, const A64Args *a) { (void)t, (void)a; return true; }

/* ---- waiting ---- */
bool tr_wfi(A64Tr *t, const A64Args *a)
{
    (void)a;
    a64_call(t, A64H_wfi, 0, 0, 0, 0);
    a64_leave_look(t);
    return true;
}

bool tr_wfe(A64Tr *t, const A64Args *a)
{
    (void)a;
    a64_call(t, A64H_wfe, 0, 0, 0, 0);
    a64_leave_look(t);
    return true;
}

/* k 1: SEVL */
bool tr_sev(A64Tr *t, const A64Args *a)
{
    ir_put(t->u, IRT_I8, A64S_EVENT, ir_const(t->u, IRT_I8, 1));
    if (!a->k)
        a64_call(t, A64H_sev, 0, 0, 0, 0);
    return true;
}

bool tr_esb(A64Tr *t, const A64Args *a) { (void)t, (void)a; return true; }

/* ---- pointer authentication ---- */
static bool key_on(const A64Tr *t, unsigned key) { return A64M_PAUTH(t->mode, key); }

IrVal a64_authenticate(A64Tr *t, IrVal ptr, IrVal modifier, unsigned key)
{
    return key_on(t, key) ? a64_call(t, A64H_pac_check, ptr, modifier, a64_k(t, key), 0) : ptr;
}

static IrVal sign(A64Tr *t, IrVal ptr, IrVal modifier, unsigned key)
{
    return key_on(t, key) ? a64_call(t, A64H_pac_sign, ptr, modifier, a64_k(t, key), 0) : ptr;
}

/* k: key, 4: check, 8: modifier 0 */
bool tr_pac(A64Tr *t, const A64Args *a)
{
    unsigned key = (unsigned)a->k & 3;
    if (!key_on(t, key))
        return true;
    IrVal modifier = a->k & 8 ? a64_k(t, 0) : a64_xsp(t, a->rn), ptr = a64_x(t, a->rd);
    a64_put_x(t, a->rd, a->k & 4 ? a64_authenticate(t, ptr, modifier, key) : sign(t, ptr, modifier, key));
    return true;
}

/* k: key, 4: check; of x30 with 8: modifier 0, 16: SP; else of x17 with x16 */
bool tr_pac_hint(A64Tr *t, const A64Args *a)
{
    unsigned key = (unsigned)a->k & 3;
    int reg = a->k & 24 ? A64_LR : 17;
    if (!key_on(t, key))
        return true;
    IrVal modifier = a->k & 8 ? a64_k(t, 0) : a64_xsp(t, a->k & 16 ? A64_SP : 16), ptr = a64_x(t, reg);
    a64_put_x(t, reg, a->k & 4 ? a64_authenticate(t, ptr, modifier, key) : sign(t, ptr, modifier, key));
    return true;
}

/* XPACI 0, XPACD 1, XPACLRI 2 */
bool tr_xpac(A64Tr *t, const A64Args *a)
{
    int reg = a->k == 2 ? A64_LR : a->rd;
    a64_put_x(t, reg, a64_call(t, A64H_pac_strip, a64_x(t, reg), a64_k(t, a->k == 1), 0, 0));
    return true;
}

bool tr_pacga(A64Tr *t, const A64Args *a)
{
    a64_put_x(t, a->rd, a64_call(t, A64H_pac_generic, a64_x(t, a->rn), a64_xsp(t, a->rm), 0, 0));
    return true;
}

/* ---- system registers ---- */
bool tr_mrs_slot(A64Tr *t, const A64Args *a)
{
    a64_put_x(t, a->rt, ir_get(t->u, IRT_I64, (unsigned)a->k));
    return true;
}

bool tr_msr_slot(A64Tr *t, const A64Args *a)
{
    ir_put(t->u, IRT_I64, (unsigned)a->k, a64_x(t, a->rt));
    return true;
}

/* TPIDRRO_EL0 */
bool tr_msr_el1_slot(A64Tr *t, const A64Args *a) { return A64M_EL(t->mode) != A64_EL0 && tr_msr_slot(t, a); }

bool tr_mrs_const(A64Tr *t, const A64Args *a)
{
    a64_put_x(t, a->rt, a64_k(t, a->k));
    return true;
}

bool tr_mrs_fpcr(A64Tr *t, const A64Args *a)
{
    if (!a64_fp_trapped(t))
        a64_put_r(t, 0, a->rt, ir_get(t->u, IRT_I32, A64S_FPCR));
    return true;
}

/* Flags of the host (SDM 1, 10.2.3) as FPSR has them: IOC 0, DZC 1, OFC 2, UFC 3, IXC 4. The host's denormal flag is none of them. */
bool tr_mrs_fpsr(A64Tr *t, const A64Args *a)
{
    IrUnit *u = t->u;
    if (a64_fp_trapped(t))
        return true;
    IrVal m = ir_emit(u, IR_FPENV, IRT_I32, 0, 0, 0, 0);
    IrVal v = ir_bin(u, IR_AND, IRT_I32, m, ir_const(u, IRT_I32, 1)), rest = ir_tri(u, IR_SHR, IRT_I32, m, ir_const(u, IRT_I8, 1), 0);
    v = ir_bin(u, IR_OR, IRT_I32, v, ir_bin(u, IR_AND, IRT_I32, rest, ir_const(u, IRT_I32, 0x1e)));
    a64_put_r(t, 0, a->rt, ir_bin(u, IR_OR, IRT_I32, v, ir_get(u, IRT_I32, A64S_FPSR)));
    return true;
}

static void cold_fpcr(A64Tr *t, const A64Args *a)
{
    a64_call(t, A64H_set_fpcr, a64_x(t, a->rt), 0, 0, 0);
    a64_leave_look(t);
}

/* Libraries set it for a while and then back, most times to what it is: that is nothing. */
bool tr_msr_fpcr(A64Tr *t, const A64Args *a)
{
    IrUnit *u = t->u;
    if (a64_fp_trapped(t))
        return true;
    IrVal v = ir_bin(u, IR_AND, IRT_I32, a64_r(t, 0, a->rt), ir_const(u, IRT_I32, (int32_t)A64_FPCR_MASK));
    ir_brcond(u, IRC_NE, ir_cmp(u, IRT_I32, v, ir_get(u, IRT_I32, A64S_FPCR)), a64_cold(t, cold_fpcr, a));
    return true;
}

bool tr_msr_fpsr(A64Tr *t, const A64Args *a)
{
    IrUnit *u = t->u;
    enum { HOST_FLAGS = 0x3f };
    if (a64_fp_trapped(t))
        return true;
    IrVal m = ir_emit(u, IR_FPENV, IRT_I32, 0, 0, 0, 0);
    ir_emit(u, IR_FPENVPUT, IRT_NONE, ir_bin(u, IR_AND, IRT_I32, m, ir_const(u, IRT_I32, ~HOST_FLAGS)), 0, 0, 0);
    ir_put(u, IRT_I32, A64S_FPSR, ir_bin(u, IR_AND, IRT_I32, a64_r(t, 0, a->rt), ir_const(u, IRT_I32, (int32_t)(A64_FPSR_QC | 0x9f))));
    return true;
}
