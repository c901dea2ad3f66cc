/* System registers, maintenance, exception returns: helpers check privilege themselves; what kernels do all the time is in line. */
#include "tcg/guest/aarch64/translate.h"

#include "cpu/aarch64/sysreg.h"

/* Registers that are a slot of 64 bits, for EL1 (a64int's list has those of EL0). */
typedef struct Plain { uint16_t n; uint8_t slot; bool sp0; } Plain;
static const Plain plain[] = {
    { (uint16_t)A64_SYSREG(3, 0, 4, 1, 0), A64S_SP_EL0, true },      { (uint16_t)A64_SYSREG(3, 0, 13, 0, 4), A64S_TPIDR_EL1, false },
    { (uint16_t)A64_SYSREG(3, 0, 4, 0, 1), A64S_ELR_EL1, false },    { (uint16_t)A64_SYSREG(3, 0, 4, 0, 0), A64S_SPSR_EL1, false },
    { (uint16_t)A64_SYSREG(3, 0, 5, 2, 0), A64S_ESR_EL1, false },    { (uint16_t)A64_SYSREG(3, 0, 6, 0, 0), A64S_FAR_EL1, false },
    { (uint16_t)A64_SYSREG(3, 0, 2, 0, 0), A64S_TTBR0_EL1, false },  { (uint16_t)A64_SYSREG(3, 0, 2, 0, 1), A64S_TTBR1_EL1, false },
};

static const Plain *plain_of(const A64Tr *t, uint32_t n)
{
    if (A64M_EL(t->mode) != A64_EL1 || t->mode & A64M_HYP)
        return NULL;
    for (unsigned i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
        if (plain[i].n == n)
            return plain[i].sp0 && !(t->mode & A64M_SPSEL) ? NULL : &plain[i];
    return NULL;
}

static IrVal desc_of(A64Tr *t, const A64Args *a, int index) { return a64_k(t, (int64_t)((uint64_t)index << 32 | (uint64_t)a->rt << 16 | (uint32_t)a->sysreg)); }
static bool is_daif(uint32_t n) { return n == A64_SYSREG(3, 3, 4, 2, 1); }

/* One program, whose kernel is this host's. */
static bool is_program(const A64Tr *t) { return t->d->cpu && tcg_cpu_callbacks(t->d->cpu)->exception; }

bool tr_mrs(A64Tr *t, const A64Args *a)
{
    uint32_t n = (uint32_t)a->sysreg;
    const Plain *p = plain_of(t, n);
    if (p) {
        a64_put_x(t, a->rt, ir_get(t->u, IRT_I64, p->slot));
        return true;
    }
    if (is_daif(n) && A64M_EL(t->mode)) {
        a64_put_x(t, a->rt, ir_zext(t->u, IRT_I64, IRT_I16, ir_get(t->u, IRT_I16, A64S_DAIF)));
        return true;
    }
    if (n == A64_SYSREG(3, 3, 0, 0, 1) && !(t->mode & A64M_HYP) && (A64M_EL(t->mode) != A64_EL0 || is_program(t))) {
        a64_put_x(t, a->rt, a64_k(t, A64_CTR));
        return true;
    }
    int index = a64_sysreg_find(n);
    if (index < 0)
        return false;
    a64_put_x(t, a->rt, a64_call(t, A64H_sysreg_read, desc_of(t, a, index), 0, 0, 0));
    return true;
}

/* Those whose value goes by a mask, or that are more than a value, go to the helper. */
static bool written_plainly(uint32_t n)
{
    return n == A64_SYSREG(3, 0, 4, 1, 0) || n == A64_SYSREG(3, 0, 13, 0, 4) || n == A64_SYSREG(3, 0, 4, 0, 1);
}

/* After these nothing has to be looked at: neither mode nor interrupts depend on them. */
static bool quiet(uint32_t n)
{
    unsigned group = n >> 7;
    return n == A64_SYSREG(3, 0, 4, 0, 0) || n == A64_SYSREG(3, 0, 13, 0, 1) || group == A64_SYSREG(3, 3, 14, 0, 0) >> 7 || group == A64_SYSREG(3, 0, 12, 0, 0) >> 7 ||
           is_daif(n) || (group == A64_SYSREG(3, 0, 2, 0, 0) >> 7 && (n >> 3 & 15));
}

bool tr_msr(A64Tr *t, const A64Args *a)
{
    uint32_t n = (uint32_t)a->sysreg;
    const Plain *p = plain_of(t, n);
    if (p && written_plainly(n)) {
        ir_put(t->u, IRT_I64, p->slot, a64_x(t, a->rt));
        return true;
    }
    int index = a64_sysreg_find(n);
    if (index < 0)
        return false;
    a64_call(t, A64H_sysreg_write, desc_of(t, a, index), a64_x(t, a->rt), 0, 0);
    if (!quiet(n))
        a64_leave_look(t);
    else if (is_daif(n) && A64M_EL(t->mode))
        a64_emit_debug_look(t);
    return true;
}

/* DAIFSet needs nobody, DAIFClr a look at the interrupt lines, which pokes this CPU when one waits. */
bool tr_msr_imm(A64Tr *t, const A64Args *a)
{
    unsigned which = (unsigned)a->op1 << 3 | (unsigned)a->op2;
    bool known = which == (3 << 3 | 6) || which == (3 << 3 | 7) || which == 5 || which == 4;
    if (!known)
        return false;
    IrVal bits = a64_k(t, (int64_t)a->crm << 6);
    if (A64M_EL(t->mode) && which == (3 << 3 | 6)) {
        IrVal daif = ir_get(t->u, IRT_I16, A64S_DAIF);
        ir_put(t->u, IRT_I16, A64S_DAIF, ir_bin(t->u, IR_OR, IRT_I16, daif, ir_const(t->u, IRT_I16, (int64_t)a->crm << 6)));
    } else if (A64M_EL(t->mode) && which == (3 << 3 | 7)) {
        a64_call(t, A64H_daif_clear, bits, 0, 0, 0);
    } else {
        a64_call(t, A64H_msr_imm, a64_k(t, which), a64_k(t, a->crm), 0, 0);
        a64_leave_look(t);
        return true;
    }
    if (a->crm & A64_PS_D >> 6)
        a64_emit_debug_look(t);
    return true;
}

/* Cache maintenance may stay in the unit; after a TLB flush its own page may be another. */
bool tr_sys(A64Tr *t, const A64Args *a)
{
    uint32_t n = (uint32_t)a->sysreg;
    bool by_address = n == A64_SYSREG(1, 3, 7, 5, 1) || n == A64_SYSREG(1, 3, 7, 10, 1) || n == A64_SYSREG(1, 3, 7, 11, 1) || n == A64_SYSREG(1, 3, 7, 14, 1);
    if (by_address && A64M_EL(t->mode) == A64_EL0 && is_program(t))     /* IC IVAU, DC CVAC, CVAU, CIVAC: there are no caches */
        return true;
    a64_call(t, A64H_sys_op, a64_k(t, a->sysreg | (int64_t)a->rt << 16), a64_x(t, a->rt), 0, 0);
    if ((a->sysreg >> 7 & 15) == 8)
        a64_leave_look(t);
    return true;
}

/* The flushes that were sent to other CPUs are done when this one is (ARM D8.14.5). */
static void cold_dsb(A64Tr *t, const A64Args *a)
{
    (void)a;
    a64_call(t, A64H_dsb, 0, 0, 0, 0);
}

bool tr_dsb_wait(A64Tr *t, const A64Args *a)
{
    ir_fence(t->u, IRFENCE_ALL);
    if (A64M_EL(t->mode) != A64_EL0)
        ir_brnz(t->u, IRT_I8, ir_get(t->u, IRT_I8, A64S_FLUSH_SENT), a64_cold(t, cold_dsb, a));
    return true;
}

bool tr_hvc(A64Tr *t, const A64Args *a)
{
    a64_call(t, A64H_hvc, a64_k(t, a->imm | (int64_t)a->k << 16), 0, 0, 0);
    a64_leave_look(t);
    return true;
}

bool tr_eret(A64Tr *t, const A64Args *a)
{
    ir_jmp(t->u, a64_call(t, A64H_eret, a64_k(t, a->k), 0, 0, 0), IRJ_PLAIN);
    t->end = true;
    return true;
}
