/*
 * Exclusive accesses and LSE (ARM B2.9, C4.1.94). The exclusive monitor is an address and the value that was there; the store is a
 * compare-and-swap with that value. All are host atomics, and so ordered as the strongest form demands.
 */
#include "tcg/guest/aarch64/translate.h"
#include "tcg/vops.h"

static IrType int_type(unsigned log2)
{
    static const uint8_t type[] = { IRT_I8, IRT_I16, IRT_I32, IRT_I64 };
    return (IrType)type[log2];
}

static unsigned sized(int z, const A64Args *a) { return z == 2 ? 2 + (unsigned)a->sf : (unsigned)z; }
static void aligned(A64Tr *t, IrVal v) { ir_at(t->u, v)->mem |= IRM_ALIGN; }

/* ---- exclusive ---- */
bool tr_ldxr(A64Tr *t, const A64Args *a)
{
    IrVal addr = a64_xsp(t, a->rn);
    a64_watch(t, addr, 1u << sized(a->k, a), A64_WATCH_LOAD | A64_WATCH_ALIGN);
    IrVal v = ir_ld(t->u, IRT_I64, addr, sized(a->k, a), IRM_ALIGN, 0);
    ir_put(t->u, IRT_I64, A64S_EXCL_ADDR, addr);
    ir_put(t->u, IRT_I64, A64S_EXCL_VALUE, v);
    a64_put_x(t, a->rt, v);
    return true;
}

/* Not the address of the load, or none at all. */
static void store_failed(A64Tr *t, const A64Args *a)
{
    ir_put(t->u, IRT_I64, A64S_EXCL_ADDR, a64_k(t, -1));
    a64_put_x(t, a->rs, a64_k(t, 1));
}

static IrVal monitored(A64Tr *t, const A64Args *a, unsigned bytes)
{
    IrVal addr = a64_xsp(t, a->rn), fl = ir_cmp(t->u, IRT_I64, addr, ir_get(t->u, IRT_I64, A64S_EXCL_ADDR));
    ir_brcond(t->u, IRC_NE, fl, a64_cold(t, store_failed, a));
    a64_watch(t, addr, bytes, A64_WATCH_STORE | A64_WATCH_ALIGN);
    return addr;
}

/* Where nobody comes in between: the value may have changed all the same, by this CPU. */
static void store_if(A64Tr *t, const A64Args *a, IrVal addr, IrVal expect, IrVal v, unsigned log2)
{
    IrUnit *u = t->u;
    IrType type = int_type(log2);
    IrVal old = ir_ld(u, type, addr, log2, IRM_RMW | IRM_ALIGN, 0);
    ir_brcond(u, IRC_NE, ir_cmp(u, type, old, expect), a64_cold(t, store_failed, a));
    ir_st(u, type, addr, v, log2, 0, 0);
    ir_put(u, IRT_I64, A64S_EXCL_ADDR, a64_k(t, -1));
    a64_put_x(t, a->rs, a64_k(t, 0));
}

static void swap_if(A64Tr *t, const A64Args *a, IrVal addr, IrVal expect, IrVal v, unsigned log2)
{
    IrUnit *u = t->u;
    IrType type = int_type(log2);
    if (ir_lonely(u, false)) {
        store_if(t, a, addr, expect, v, log2);
        return;
    }
    IrVal old = ir_cas(u, type, addr, expect, v, log2);
    aligned(t, old);
    IrVal failed = ir_zext(u, IRT_I64, IRT_I8, ir_cond(u, IRC_NE, ir_cmp(u, type, old, expect)));
    ir_put(u, IRT_I64, A64S_EXCL_ADDR, a64_k(t, -1));
    a64_put_x(t, a->rs, failed);
}

bool tr_stxr(A64Tr *t, const A64Args *a)
{
    unsigned log2 = sized(a->k, a);
    IrType type = int_type(log2);
    IrVal addr = monitored(t, a, 1u << log2);
    swap_if(t, a, addr, ir_trunc(t->u, type, ir_get(t->u, IRT_I64, A64S_EXCL_VALUE)), ir_trunc(t->u, type, a64_x(t, a->rt)), log2);
    return true;
}

/* A pair is one access, aligned to its size (ARM B2.5.2, C6.2.192). */
bool tr_ldxp(A64Tr *t, const A64Args *a)
{
    IrUnit *u = t->u;
    IrVal addr = a64_xsp(t, a->rn), v, w;
    a64_watch(t, addr, a->sf ? 16 : 8, A64_WATCH_LOAD | A64_WATCH_ALIGN);
    if (a->sf) {
        IrVal both = ir_ld(u, IRT_V128, addr, 4, IRM_ALIGN, 0);
        v = ir_vop(u, IRT_I64, VOP_MOVDTOI, both, 0, 0, 0);
        w = ir_vop(u, IRT_I64, VOP_PEXTRD, both, 0, 0, 1);
        ir_put(u, IRT_I64, A64S_EXCL_VALUE, v);
        ir_put(u, IRT_I64, A64S_EXCL_VALUE2, w);
    } else {
        IrVal both = ir_ld(u, IRT_I64, addr, 3, IRM_ALIGN, 0);
        v = ir_zext(u, IRT_I64, IRT_I32, ir_trunc(u, IRT_I32, both));
        w = ir_tri(u, IR_SHR, IRT_I64, both, ir_const(u, IRT_I8, 32), 0);
        ir_put(u, IRT_I64, A64S_EXCL_VALUE, both);
    }
    ir_put(u, IRT_I64, A64S_EXCL_ADDR, addr);
    a64_put_x(t, a->rt, v);
    a64_put_x(t, a->rt2, w);
    return true;
}

static IrVal two_words(A64Tr *t, int lo, int hi)
{
    IrUnit *u = t->u;
    IrVal h = ir_tri(u, IR_SHL, IRT_I64, a64_x(t, hi), ir_const(u, IRT_I8, 32), 0);
    return ir_bin(u, IR_OR, IRT_I64, h, ir_zext(u, IRT_I64, IRT_I32, a64_r(t, 0, lo)));
}

bool tr_stxp(A64Tr *t, const A64Args *a)
{
    IrVal addr = monitored(t, a, a->sf ? 16 : 8);
    if (a->sf) {
        IrVal failed = a64_call(t, A64H_stxp, addr, a64_x(t, a->rt), a64_x(t, a->rt2), 0);
        a64_put_x(t, a->rs, failed);
    } else {
        swap_if(t, a, addr, ir_get(t->u, IRT_I64, A64S_EXCL_VALUE), two_words(t, a->rt, a->rt2), 3);
    }
    return true;
}

bool tr_clrex(A64Tr *t, const A64Args *a)
{
    (void)a;
    ir_put(t->u, IRT_I64, A64S_EXCL_ADDR, a64_k(t, -1));
    return true;
}

/* ---- LSE ---- */
bool tr_cas(A64Tr *t, const A64Args *a)
{
    unsigned log2 = sized(a->k, a);
    IrType type = int_type(log2);
    a64_watch(t, a64_xsp(t, a->rn), 1u << log2, A64_WATCH_BOTH | A64_WATCH_ALIGN);
    IrVal old = ir_cas(t->u, type, a64_xsp(t, a->rn), ir_trunc(t->u, type, a64_x(t, a->rs)), ir_trunc(t->u, type, a64_x(t, a->rt)), log2);
    aligned(t, old);
    a64_put_x(t, a->rs, ir_zext(t->u, IRT_I64, type, old));
    return true;
}

bool tr_casp(A64Tr *t, const A64Args *a)
{
    IrUnit *u = t->u;
    if (a->rs & 1 || a->rt & 1)
        return false;
    IrVal addr = a64_xsp(t, a->rn);
    a64_watch(t, addr, a->sf ? 16 : 8, A64_WATCH_BOTH | A64_WATCH_ALIGN);
    if (a->sf) {
        a64_call(t, A64H_casp, addr, a64_k(t, a->rs), a64_k(t, a->rt), 0);
        if (a->rs == A64_LR)   /* by the helper */
            t->link = A64_NO_FOLLOW;
        return true;
    }
    IrVal old = ir_cas(u, IRT_I64, addr, two_words(t, a->rs, a->rs + 1), two_words(t, a->rt, a->rt + 1), 3);
    aligned(t, old);
    a64_put_x(t, a->rs, ir_zext(u, IRT_I64, IRT_I32, ir_trunc(u, IRT_I32, old)));
    a64_put_x(t, a->rs + 1, ir_tri(u, IR_SHR, IRT_I64, old, ir_const(u, IRT_I8, 32), 0));
    return true;
}

/* k: IrRmw | z << 8. LDCLR is AND with the complement. */
bool tr_atomic(A64Tr *t, const A64Args *a)
{
    unsigned log2 = sized(a->k >> 8, a);
    IrRmw what = (IrRmw)(a->k & 255);
    IrType type = int_type(log2);
    IrVal v = ir_trunc(t->u, type, a64_x(t, a->rs));
    if (what == IRA_AND)
        v = ir_un(t->u, IR_NOT, type, v);
    a64_watch(t, a64_xsp(t, a->rn), 1u << log2, A64_WATCH_BOTH | A64_WATCH_ALIGN);
    IrVal old = ir_armw(t->u, type, what, a64_xsp(t, a->rn), v, log2);
    aligned(t, old);
    a64_put_x(t, a->rt, ir_zext(t->u, IRT_I64, type, old));
    return true;
}
