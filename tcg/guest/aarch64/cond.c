/* Conditional data processing, flag manipulation, bits and bytes of one register, checksums (ARM C6.2; C4.1.95). */
#include "tcg/guest/aarch64/translate.h"

static IrVal count_k(A64Tr *t, unsigned n) { return ir_const(t->u, IRT_I8, n); }

/* CSEL CSINC CSINV CSNEG */
static IrVal other(A64Tr *t, const A64Args *a)
{
    IrType type = a64_type(a->sf);
    IrVal m = a64_r(t, a->sf, a->rm);
    switch (a->k) {
    case 1: return ir_lea(t->u, type, m, 0, 0, 1);
    case 2: return ir_un(t->u, IR_NOT, type, m);
    case 3: return ir_lea(t->u, type, ir_un(t->u, IR_NOT, type, m), 0, 0, 1);    /* -m without touching the host's flags */
    default: return m;
    }
}

bool tr_csel(A64Tr *t, const A64Args *a)
{
    IrType type = a64_type(a->sf);
    IrVal fl, v;
    if (a->cond >= 14) {
        a64_put_r(t, a->sf, a->rd, a64_r(t, a->sf, a->rn));
        return true;
    }
    if (a->rn == 31 && a->rm == 31 && (a->k == 1 || a->k == 2)) {      /* CSET, CSETM */
        IrCond cc = a64_cond(t, (unsigned)a->cond, &fl);
        v = ir_zext(t->u, type, IRT_I8, ir_cond(t->u, cc ^ 1, fl));
        if (a->k == 2)
            v = ir_un(t->u, IR_NEG, type, v);
        a64_put_r(t, a->sf, a->rd, v);
        return true;
    }
    IrVal n = a64_r(t, a->sf, a->rn), m = other(t, a);
    IrCond cc = a64_cond(t, (unsigned)a->cond, &fl);
    a64_put_r(t, a->sf, a->rd, ir_select(t->u, type, cc, fl, n, m));
    return true;
}

/*
 * CCMP: the flags of a comparison, or given ones. The second are those of a subtraction p - q too (of constants); so what is compared is
 * selected, not the flags. Z without C is no subtraction's: C then goes to the slot by itself. What is left goes by packed flags.
 */
enum { NV = 9, ZC = 6, Z_ONLY = 4 };
static bool pair_for(unsigned nzcv, int64_t min, int64_t *p, int64_t *q)
{
    static const struct { bool ok; int8_t p, q; } small[16] = { [2] = { true, 1, 0 }, [8] = { true, 0, 1 }, [10] = { true, -1, 0 }, [ZC] = { true, 0, 0 }, [Z_ONLY] = { true, 0, 0 } };
    *p = small[nzcv].p;
    *q = small[nzcv].q;
    switch (nzcv) {
    case 0: *p = 1; *q = min | (int64_t)((uint64_t)min >> 1); return true;
    case 3: *p = min; *q = 1; return true;
    case NV: *p = ~min; *q = -1; return true;
    default: return small[nzcv].ok;
    }
}

static int64_t nzcv_packed(unsigned nzcv) { return (nzcv & 8 ? IRFL_N : 0) | (nzcv & 4 ? IRFL_Z : 0) | (nzcv & 2 ? 0 : IRFL_C) | (nzcv & 1 ? IRFL_V : 0); }

static void put_packed(A64Tr *t, IrVal v)
{
    ir_put(t->u, IRT_FL, A64S_FL, ir_un(t->u, IR_FLUNPACK, IRT_FL, v));
    t->raw_kind = A64FL_NONE;
}

static IrVal get_packed(A64Tr *t) { return ir_un(t->u, IR_FLPACK, IRT_I32, a64_fl(t)); }

/* The long way: k bit 0 CCMP, else CCMN. */
static void ccmp_packed(A64Tr *t, const A64Args *a, IrVal n, IrVal m)
{
    IrUnit *u = t->u;
    IrVal fl, c = 0, v;
    IrType type = a64_type(a->sf);
    if (a->cond < 14) {
        IrCond cc = a64_cond(t, (unsigned)a->cond, &fl);
        c = ir_zext(u, IRT_I32, IRT_I8, ir_cond(u, cc, fl));
    }
    if (a->k & 1) {
        v = ir_un(u, IR_FLPACK, IRT_I32, ir_cmp(u, type, n, m));
    } else {
        IrVal sum = ir_bin(u, IR_ADD, type, n, m);
        v = ir_bin(u, IR_XOR, IRT_I32, ir_un(u, IR_FLPACK, IRT_I32, ir_flags(u, sum)), ir_const(u, IRT_I32, IRFL_C));
    }
    if (c)
        v = ir_select(u, IRT_I32, IRC_NE, ir_test(u, IRT_I32, c, c), v, ir_const(u, IRT_I32, nzcv_packed((unsigned)a->nzcv)));
    put_packed(t, v);
}

bool tr_ccmp(A64Tr *t, const A64Args *a)
{
    IrUnit *u = t->u;
    IrType type = a64_type(a->sf);
    int64_t p, q;
    IrVal n = a64_r(t, a->sf, a->rn), m = a->k & 2 ? a64_kt(t, a->sf, a->imm) : a64_r(t, a->sf, a->rm), fl, c = 0;
    if (!(a->k & 1) || a->cond >= 14 || !pair_for((unsigned)a->nzcv, a->sf ? INT64_MIN : INT32_MIN, &p, &q)) {
        ccmp_packed(t, a, n, m);
        return true;
    }
    IrCond cc = a64_cond(t, (unsigned)a->cond, &fl);
    if (a->nzcv == Z_ONLY)
        c = ir_select(u, IRT_I32, cc, fl, ir_const(u, IRT_I32, 0), ir_const(u, IRT_I32, IRFL_C));
    n = ir_select(u, type, cc, fl, n, a64_kt(t, a->sf, p));
    m = ir_select(u, type, cc, fl, m, a64_kt(t, a->sf, q));
    IrVal cmp = ir_cmp(u, type, n, m);
    if (!c) {
        a64_put_flags(t, cmp, A64FL_BORROW);
        return true;
    }
    put_packed(t, ir_bin(u, IR_OR, IRT_I32, ir_un(u, IR_FLPACK, IRT_I32, cmp), c));
    t->raw = cmp;
    t->raw_kind = A64FL_LOGIC;     /* good for all but C */
    return true;
}

/* ---- FlagM (ARM C6.2.62, .293, .309): on the packed flags ---- */
bool tr_cfinv(A64Tr *t, const A64Args *a)
{
    (void)a;
    put_packed(t, ir_bin(t->u, IR_XOR, IRT_I32, get_packed(t), ir_const(t->u, IRT_I32, IRFL_C)));
    return true;
}

/* Bit @from of the 64-bit value as the flag @flag. */
static IrVal bit_to_flag(A64Tr *t, IrVal v, unsigned from, int64_t flag)
{
    IrVal bit = ir_trunc(t->u, IRT_I32, ir_extract(t->u, IRT_I64, v, from, 1));
    return ir_tri(t->u, IR_SHL, IRT_I32, bit, count_k(t, (unsigned)__builtin_ctzll((uint64_t)flag)), 0);
}

bool tr_rmif(A64Tr *t, const A64Args *a)
{
    static const uint16_t flag[] = { IRFL_V, IRFL_C, IRFL_Z, IRFL_N };
    IrUnit *u = t->u;
    int64_t mask = 0;
    IrVal v = a64_x(t, a->rn), bits = 0;
    if (a->imm)
        v = ir_tri(u, IR_ROR, IRT_I64, v, count_k(t, (unsigned)a->imm), 0);
    for (unsigned n = 0; n < 4; n++)
        if (a->nzcv >> n & 1) {
            IrVal b = bit_to_flag(t, v, n, flag[n]);
            bits = bits ? ir_bin(u, IR_OR, IRT_I32, bits, b) : b;
            mask |= flag[n];
        }
    if (!bits)
        return true;
    if (mask & IRFL_C)
        bits = ir_bin(u, IR_XOR, IRT_I32, bits, ir_const(u, IRT_I32, IRFL_C));
    put_packed(t, ir_bin(u, IR_OR, IRT_I32, ir_bin(u, IR_AND, IRT_I32, get_packed(t), ir_const(u, IRT_I32, ~mask)), bits));
    return true;
}

/* N and Z of the low @k bits, V: the bit above differs from the sign; C stays. */
bool tr_setf(A64Tr *t, const A64Args *a)
{
    IrUnit *u = t->u;
    IrVal v = a64_x(t, a->rn), low = ir_extract(u, IRT_I64, v, 0, (unsigned)a->k);
    IrVal c = ir_bin(u, IR_AND, IRT_I32, get_packed(t), ir_const(u, IRT_I32, IRFL_C));
    IrVal z = ir_select(u, IRT_I32, IRC_E, ir_test(u, IRT_I64, low, low), ir_const(u, IRT_I32, IRFL_Z), ir_const(u, IRT_I32, 0));
    IrVal x = ir_bin(u, IR_XOR, IRT_I64, v, ir_tri(u, IR_SHR, IRT_I64, v, count_k(t, 1), 0));
    IrVal r = ir_bin(u, IR_OR, IRT_I32, c, z);
    r = ir_bin(u, IR_OR, IRT_I32, r, bit_to_flag(t, v, (unsigned)a->k - 1, IRFL_N));
    put_packed(t, ir_bin(u, IR_OR, IRT_I32, r, bit_to_flag(t, x, (unsigned)a->k - 1, IRFL_V)));
    return true;
}

/* PSTATE's NZCV in bits 31-28, and back. */
bool tr_mrs_nzcv(A64Tr *t, const A64Args *a)
{
    IrUnit *u = t->u;
    IrVal p = get_packed(t);
    IrVal nz = ir_tri(u, IR_SHL, IRT_I32, ir_bin(u, IR_AND, IRT_I32, p, ir_const(u, IRT_I32, IRFL_N | IRFL_Z)), count_k(t, 16), 0);
    IrVal c = ir_bin(u, IR_AND, IRT_I32, ir_un(u, IR_NOT, IRT_I32, p), ir_const(u, IRT_I32, IRFL_C));
    IrVal v = ir_bin(u, IR_AND, IRT_I32, p, ir_const(u, IRT_I32, IRFL_V));
    IrVal r = ir_bin(u, IR_OR, IRT_I32, nz, ir_tri(u, IR_SHL, IRT_I32, c, count_k(t, 21), 0));
    a64_put_r(t, 0, a->rt, ir_bin(u, IR_OR, IRT_I32, r, ir_tri(u, IR_SHL, IRT_I32, v, count_k(t, 28), 0)));
    return true;
}

bool tr_msr_nzcv(A64Tr *t, const A64Args *a)
{
    IrUnit *u = t->u;
    IrVal v = a64_r(t, 0, a->rt);
    IrVal nz = ir_bin(u, IR_AND, IRT_I32, ir_tri(u, IR_SHR, IRT_I32, v, count_k(t, 16), 0), ir_const(u, IRT_I32, IRFL_N | IRFL_Z));
    IrVal c = ir_tri(u, IR_SHR, IRT_I32, ir_un(u, IR_NOT, IRT_I32, v), count_k(t, 21), 0);
    IrVal o = ir_bin(u, IR_AND, IRT_I32, ir_tri(u, IR_SHR, IRT_I32, v, count_k(t, 28), 0), ir_const(u, IRT_I32, IRFL_V));
    IrVal r = ir_bin(u, IR_OR, IRT_I32, nz, ir_bin(u, IR_AND, IRT_I32, c, ir_const(u, IRT_I32, IRFL_C)));
    put_packed(t, ir_bin(u, IR_OR, IRT_I32, r, o));
    return true;
}

/* ---- bits and bytes ---- */
/* Groups of bits under @mask and those @n above change places. */
static IrVal swap_groups(A64Tr *t, int sf, IrVal v, uint64_t mask, unsigned n)
{
    IrUnit *u = t->u;
    IrType type = a64_type(sf);
    IrVal k = a64_kt(t, sf, (int64_t)mask);
    IrVal up = ir_tri(u, IR_SHL, type, ir_bin(u, IR_AND, type, v, k), count_k(t, n), 0);
    IrVal down = ir_bin(u, IR_AND, type, ir_tri(u, IR_SHR, type, v, count_k(t, n), 0), k);
    return ir_bin(u, IR_OR, type, up, down);
}

bool tr_rbit(A64Tr *t, const A64Args *a)
{
    IrVal n = a64_r(t, a->sf, a->rn), v = ir_un(t->u, IR_BSWAP, a64_type(a->sf), n);
    v = swap_groups(t, a->sf, v, 0x0f0f0f0f0f0f0f0full, 4);
    v = swap_groups(t, a->sf, v, 0x3333333333333333ull, 2);
    v = swap_groups(t, a->sf, v, 0x5555555555555555ull, 1);
    a64_put_r(t, a->sf, a->rd, v);
    t->rbit = v;
    t->rbit_of = n;
    return true;
}

bool tr_clz(A64Tr *t, const A64Args *a)
{
    IrVal n = a64_r(t, a->sf, a->rn);
    bool reversed = t->rbit && n == t->rbit;
    a64_put_r(t, a->sf, a->rd, ir_un(t->u, reversed ? IR_CTZ : IR_CLZ, a64_type(a->sf), reversed ? t->rbit_of : n));
    return true;
}

/* Leading bits like the sign, without it. */
bool tr_cls(A64Tr *t, const A64Args *a)
{
    IrType type = a64_type(a->sf);
    IrVal n = a64_r(t, a->sf, a->rn), x = ir_bin(t->u, IR_XOR, type, n, ir_tri(t->u, IR_SAR, type, n, count_k(t, 1), 0));
    a64_put_r(t, a->sf, a->rd, ir_lea(t->u, type, ir_un(t->u, IR_CLZ, type, x), 0, 0, -1));
    return true;
}

bool tr_rev16(A64Tr *t, const A64Args *a)
{
    a64_put_r(t, a->sf, a->rd, swap_groups(t, a->sf, a64_r(t, a->sf, a->rn), 0x00ff00ff00ff00ffull, 8));
    return true;
}

/* 64, 32: all bytes of X or W; 0: REV32, of both halves. */
bool tr_rev(A64Tr *t, const A64Args *a)
{
    bool wide = a->k != 32;
    IrVal v = ir_un(t->u, IR_BSWAP, a64_type(wide), a64_r(t, wide, a->rn));
    if (!a->k)
        v = ir_tri(t->u, IR_ROR, IRT_I64, v, count_k(t, 32), 0);
    a64_put_r(t, wide, a->rd, v);
    return true;
}

/* k: log2 of the bytes, 4: CRC-32C, which is the host's. */
bool tr_crc32(A64Tr *t, const A64Args *a)
{
    static const uint8_t type[] = { IRT_I8, IRT_I16, IRT_I32, IRT_I64 };
    IrType from = (IrType)type[a->k & 3];
    IrVal acc = a64_r(t, 0, a->rn), m = ir_trunc(t->u, from, a64_x(t, a->rm)), v;
    if (a->k & 4) {
        v = ir_bin(t->u, IR_CRC32C, IRT_I32, acc, m);
        ir_at(t->u, v)->aux = (uint8_t)from;
        a64_put_r(t, 0, a->rd, v);
        return true;
    }
    acc = ir_zext(t->u, IRT_I64, IRT_I32, acc);
    if ((v = a64_crc32_clmul(t, acc, a64_x(t, a->rm), (unsigned)a->k)))
        a64_put_r(t, 0, a->rd, v);
    else
        a64_put_x(t, a->rd, a64_call(t, A64H_crc32, acc, ir_zext(t->u, IRT_I64, from, m), a64_k(t, 1 << a->k), 0));
    return true;
}
