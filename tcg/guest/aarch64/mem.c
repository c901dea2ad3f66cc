/* Loads and stores (ARM C4.1.94; addresses: C1.3.3). The writeback comes behind the access, which may fault. */
#include "tcg/guest/aarch64/translate.h"

static IrType int_type(unsigned log2)
{
    static const uint8_t type[] = { IRT_I8, IRT_I16, IRT_I32, IRT_I64 };
    return (IrType)type[log2];
}

static IrVal plus(A64Tr *t, IrVal base, int64_t disp) { return ir_lea(t->u, IRT_I64, base, 0, 0, disp); }

static IrVal indexed(A64Tr *t, IrVal base, IrVal index, unsigned shift)
{
    if (shift > 3)             /* of 128-bit registers */
        return ir_lea(t->u, IRT_I64, base, ir_tri(t->u, IR_SHL, IRT_I64, index, ir_const(t->u, IRT_I8, shift), 0), 0, 0);
    return ir_lea(t->u, IRT_I64, base, index, shift, 0);
}

bool a64_ea(A64Tr *t, const A64Args *a, unsigned log2, A64Ea *ret)
{
    IrVal base = a64_xsp(t, a->rn);
    *ret = (A64Ea){ base, 0 };
    switch (a->k & A64EA_MASK) {
    case A64EA_POST: ret->back = plus(t, base, a->imm); return true;
    case A64EA_PRE: ret->addr = ret->back = plus(t, base, a->imm); return true;
    case A64EA_IMM: case A64EA_OFF: ret->addr = plus(t, base, (int64_t)a->imm * (1 << log2)); return true;
    case A64EA_REG:
        if (!(a->opt & 2))
            return false;
        ret->addr = indexed(t, base, a64_extend(t, a->opt, a->rm), a->scaled ? log2 : 0);
        return true;
    default: ret->addr = plus(t, base, a->imm); return true;
    }
}

/* The form's own scaling of PRE and POST of pairs. */
static bool pair_ea(A64Tr *t, const A64Args *a, unsigned log2, A64Ea *ret)
{
    A64Args b = *a;
    if ((a->k & A64EA_MASK) != A64EA_OFF)
        b.imm *= 1 << log2;
    return a64_ea(t, &b, log2, ret);
}

/* LDTR and STTR of EL1 have EL0's rights, unless PSTATE.UAO (ARM C6.2.214). */
static unsigned regime(const A64Tr *t, const A64Args *a)
{
    bool unprivileged = (a->k & A64EA_MASK) == A64EA_UNPRIV && A64M_EL(t->mode) == A64_EL1 && !(t->mode & A64M_UAO);
    return unprivileged ? A64R_USER + 1 : 0;
}

static unsigned watch_kind(const A64Tr *t, const A64Args *a, unsigned kind) { return kind | (regime(t, a) ? A64_WATCH_UNPRIV : 0); }

static unsigned size_of(const A64Args *a)
{
    unsigned log2 = (unsigned)a->k & IRM_SIZE;
    return log2 == 2 && !(a->k & IRM_SIGN) ? 2 + (unsigned)a->sf : log2;
}

/* Sign-extended to X or W, else zero-extended. */
static IrVal load(A64Tr *t, const A64Args *a, IrVal addr, unsigned log2, unsigned reg)
{
    unsigned sign = (unsigned)a->k & IRM_SIGN;
    IrType type = sign && !a->sf ? IRT_I32 : IRT_I64;
    return ir_zext(t->u, IRT_I64, type, ir_ld(t->u, type, addr, log2, sign | a64_mem_bits(t), reg));
}

bool tr_ld(A64Tr *t, const A64Args *a)
{
    unsigned log2 = size_of(a);
    A64Ea ea;
    if (!a64_ea(t, a, log2, &ea))
        return false;
    a64_watch(t, ea.addr, 1u << log2, watch_kind(t, a, A64_WATCH_LOAD));
    IrVal v = load(t, a, ea.addr, log2, regime(t, a));
    a64_ea_back(t, a, ea);
    a64_put_x(t, a->rt, v);
    return true;
}

bool tr_st(A64Tr *t, const A64Args *a)
{
    unsigned log2 = size_of(a);
    A64Ea ea;
    if (!a64_ea(t, a, log2, &ea))
        return false;
    IrType type = int_type(log2);
    a64_watch(t, ea.addr, 1u << log2, watch_kind(t, a, A64_WATCH_STORE));
    ir_st(t->u, type, ea.addr, ir_trunc(t->u, type, a64_x(t, a->rt)), log2, a64_mem_bits(t), regime(t, a));
    a64_ea_back(t, a, ea);
    return true;
}

/* LDRAA, LDRAB: of an address that is authenticated with modifier 0. k: key */
bool tr_ldra(A64Tr *t, const A64Args *a)
{
    IrVal addr = plus(t, a64_authenticate(t, a64_xsp(t, a->rn), a64_k(t, 0), (unsigned)a->k & 3), a->imm);
    a64_watch(t, addr, 8, A64_WATCH_LOAD);
    IrVal v = ir_ld(t->u, IRT_I64, addr, 3, a64_mem_bits(t), 0);
    if ((a->k & A64EA_MASK) == A64EA_PRE)
        a64_put_xsp(t, a->rn, addr);
    a64_put_x(t, a->rt, v);
    return true;
}

bool tr_ldr_lit(A64Tr *t, const A64Args *a)
{
    a64_watch(t, ir_pc(t->u, t->off + a->imm), 1u << (a->k & IRM_SIZE), A64_WATCH_LOAD);
    IrVal v = ir_ld(t->u, IRT_I64, ir_pc(t->u, t->off + a->imm), (unsigned)a->k & IRM_SIZE, ((unsigned)a->k & IRM_SIGN) | a64_mem_bits(t), 0);
    a64_put_x(t, a->rt, v);
    return true;
}

/* ---- pairs ---- */
static bool load_pair(A64Tr *t, const A64Args *a, unsigned log2, unsigned sign)
{
    A64Ea ea;
    if (!pair_ea(t, a, log2, &ea))
        return false;
    unsigned mem = sign | a64_mem_bits(t);
    a64_watch(t, ea.addr, 2u << log2, A64_WATCH_LOAD);
    IrVal v = ir_ld(t->u, IRT_I64, ea.addr, log2, mem, 0);
    bool again = a->rt == a->rn;        /* when the second access faults, the first starts again */
    if (!again)
        a64_put_x(t, a->rt, v);
    IrVal w = ir_ld(t->u, IRT_I64, plus(t, ea.addr, 1 << log2), log2, mem, 0);
    a64_ea_back(t, a, ea);
    if (again)
        a64_put_x(t, a->rt, v);
    a64_put_x(t, a->rt2, w);
    return true;
}

bool tr_ldp(A64Tr *t, const A64Args *a) { return load_pair(t, a, 2 + (unsigned)a->sf, 0); }
bool tr_ldpsw(A64Tr *t, const A64Args *a) { return load_pair(t, a, 2, IRM_SIGN); }

bool tr_stp(A64Tr *t, const A64Args *a)
{
    unsigned log2 = 2 + (unsigned)a->sf;
    IrType type = a64_type(a->sf);
    A64Ea ea;
    if (!pair_ea(t, a, log2, &ea))
        return false;
    a64_watch(t, ea.addr, 2u << log2, A64_WATCH_STORE);
    ir_st(t->u, type, ea.addr, a64_r(t, a->sf, a->rt), log2, a64_mem_bits(t), 0);
    ir_st(t->u, type, plus(t, ea.addr, 1 << log2), a64_r(t, a->sf, a->rt2), log2, a64_mem_bits(t), 0);
    a64_ea_back(t, a, ea);
    return true;
}

/* ---- ordered accesses: the host keeps the order of all but an earlier store and a later load, which STLR's exchange does ---- */
static unsigned sized(const A64Args *a) { return a->k == 2 ? 2 + (unsigned)a->sf : (unsigned)a->k; }

bool tr_ldar(A64Tr *t, const A64Args *a)
{
    a64_watch(t, a64_xsp(t, a->rn), 1u << sized(a), A64_WATCH_LOAD | A64_WATCH_ALIGN);
    a64_put_x(t, a->rt, ir_ld(t->u, IRT_I64, a64_xsp(t, a->rn), sized(a), IRM_ALIGN | IRM_ACQ, 0));
    return true;
}

static bool store_release(A64Tr *t, const A64Args *a, IrVal addr, unsigned log2)
{
    IrType type = int_type(log2);
    IrVal v = ir_trunc(t->u, type, a64_x(t, a->rt));
    a64_watch(t, addr, 1u << log2, A64_WATCH_STORE | A64_WATCH_ALIGN);
    if (ir_lonely(t->u, true))
        ir_st(t->u, type, addr, v, log2, IRM_ALIGN, 0);
    else
        ir_at(t->u, ir_armw(t->u, type, IRA_XCHG, addr, v, log2))->mem |= IRM_ALIGN;
    return true;
}

bool tr_stlr(A64Tr *t, const A64Args *a) { return store_release(t, a, a64_xsp(t, a->rn), sized(a)); }

/* Like STUR and LDUR; k: as theirs. */
bool tr_stlur(A64Tr *t, const A64Args *a) { return store_release(t, a, plus(t, a64_xsp(t, a->rn), a->imm), size_of(a)); }

bool tr_ldapur(A64Tr *t, const A64Args *a)
{
    IrVal addr = plus(t, a64_xsp(t, a->rn), a->imm);
    unsigned log2 = size_of(a), sign = (unsigned)a->k & IRM_SIGN;
    IrType type = sign && !a->sf ? IRT_I32 : IRT_I64;
    a64_watch(t, addr, 1u << log2, A64_WATCH_LOAD | A64_WATCH_ALIGN);
    a64_put_x(t, a->rt, ir_zext(t->u, IRT_I64, type, ir_ld(t->u, type, addr, log2, sign | IRM_ALIGN | IRM_ACQ, 0)));
    return true;
}

/* DC ZVA: a block of zeros (ARM C5.3). */
bool tr_dc_zva(A64Tr *t, const A64Args *a)
{
    IrVal at = ir_bin(t->u, IR_AND, IRT_I64, a64_x(t, a->rt), a64_k(t, -A64_ZVA_BYTES)), zero = ir_vconst(t->u, 0, 0);
    a64_watch(t, at, A64_ZVA_BYTES, A64_WATCH_STORE);
    for (unsigned n = 0; n < A64_ZVA_BYTES; n += 16)
        ir_st(t->u, IRT_V128, plus(t, at, n), zero, 4, 0, 0);
    return true;
}
