/* AdvSIMD copies, permutations, immediates. */
#include "tcg/guest/aarch64/simd.h"

static unsigned size_of_imm5(const A64Args *a) { return (unsigned)__builtin_ctz((unsigned)a->immhb); }
static unsigned index_of_imm5(const A64Args *a) { return (unsigned)a->immhb >> (size_of_imm5(a) + 1); }

IrVal av_gather(A64Tr *t, const IrVal *from, unsigned count, const uint8_t by[16])
{
    IrVal r = 0;
    for (unsigned s = 0; s < count; s++) {
        uint64_t k[2] = { 0, 0 };
        bool any = false;
        for (unsigned n = 0; n < 16; n++) {
            bool here = by[n] != 0xff && by[n] / 16u == s;
            k[n / 8] |= (uint64_t)(here ? by[n] & 15u : 0x80u) << 8 * (n % 8);
            any |= here;
        }
        if (!any)
            continue;
        IrVal x = av_op2(t, VOP_PSHUFB, from[s], ir_vconst(t->u, k[0], k[1]));
        r = r ? av_op2(t, VOP_POR, r, x) : x;
    }
    return r;
}

IrVal av_zip(const Av *v, IrVal n, IrVal m, bool high)
{
    static const uint16_t vop[4][2] = { { VOP_PUNPCKLBW, VOP_PUNPCKHBW }, { VOP_PUNPCKLWD, VOP_PUNPCKHWD }, { VOP_PUNPCKLDQ, VOP_PUNPCKHDQ },
                                        { VOP_PUNPCKLQDQ, VOP_PUNPCKHQDQ } };
    return av_op2(v->t, vop[v->log2][high], n, m);
}

static IrVal transpose(const Av *v, IrVal n, IrVal m, bool second)
{
    A64Tr *t = v->t;
    unsigned wide = v->log2 + 1, bits = 8u << v->log2;
    if (v->log2 == 3)
        return av_zip(v, n, m, second);
    IrVal mask = av_splat(t, wide, second ? (~0ull >> (64 - bits)) << bits : ~0ull >> (64 - bits));
    if (second)
        return av_op2(t, VOP_POR, av_op1(t, av_psrli[wide], n, bits), av_op2(t, VOP_PAND, m, mask));
    return av_op2(t, VOP_POR, av_op2(t, VOP_PAND, n, mask), av_op1(t, av_pslli[wide], m, bits));
}

bool v_perm(A64Tr *t, const A64Args *in)
{
    A64Args a;
    int r = av_begin(t, in, &a);
    if (r >= 0)
        return r;
    Av v = { t, &a, av_log2(&a), av_q(&a) };
    unsigned op = av_op(&a);
    IrVal n = av_get(t, a.rn), m = av_get(t, a.rm), x;
    if (op == A64V_TRN1 || op == A64V_TRN2) {
        x = transpose(&v, n, m, op == A64V_TRN2);
    } else if (op == A64V_ZIP1 || op == A64V_ZIP2) {
        x = av_zip(&v, n, m, op == A64V_ZIP2 && v.q);
        if (op == A64V_ZIP2 && !v.q)
            x = av_op1(t, VOP_PSRLDQ, x, 8);
    } else {
        if (!v.q)
            n = m = av_op2(t, VOP_PUNPCKLQDQ, n, m);
        x = av_unzip(&v, n, m, op == A64V_UZP2);
    }
    av_put_q(t, a.rd, x, v.q);
    return true;
}

bool v_ext(A64Tr *t, const A64Args *in)
{
    A64Args a;
    int r = av_begin(t, in, &a);
    if (r >= 0)
        return r;
    IrVal n = av_get(t, a.rn), m = av_get(t, a.rm);
    if (av_q(&a))
        av_put(t, a.rd, av_op2i(t, VOP_PALIGNR, m, n, (unsigned)a.index));
    else
        av_put(t, a.rd, av_low(t, av_op1(t, VOP_PSRLDQ, av_op2(t, VOP_PUNPCKLQDQ, n, m), (unsigned)a.index)));
    return true;
}

/* TBL, TBX: PSHUFB gives 0 where bit 7 is set, which adding 112 with saturation does to all but 0..15. */
bool v_tbl(A64Tr *t, const A64Args *a)
{
    if (a64_fp_trapped(t))
        return true;
    unsigned count = (unsigned)a->index + 1;
    IrVal m = av_get(t, a->rm), r = 0;
    for (unsigned n = 0; n < count; n++) {
        IrVal at = n ? av_op2(t, VOP_PSUBB, m, av_splat(t, 0, 16 * n)) : m;
        at = av_op2(t, VOP_PADDUSB, at, av_splat(t, 0, 0x70));
        IrVal x = av_op2(t, VOP_PSHUFB, av_get(t, (a->rn + (int)n) & 31), at);
        r = n ? av_op2(t, VOP_POR, r, x) : x;
    }
    if (a->k) {
        IrVal out = av_op2(t, VOP_PCMPEQB, av_op2(t, VOP_PMAXUB, m, av_splat(t, 0, 16 * count)), m);
        r = av_op3(t, VOP_PBLENDVB, r, av_get(t, a->rd), out);
    }
    av_put_q(t, a->rd, r, av_q(a));
    return true;
}

/* ---- copies ---- */
bool v_dup_elem(A64Tr *t, const A64Args *in)
{
    A64Args a;
    int r = av_begin(t, in, &a);
    if (r >= 0)
        return r;
    av_put_q(t, a.rd, av_dup(t, av_get(t, a.rn), size_of_imm5(&a), index_of_imm5(&a)), a.q);
    return true;
}

bool s_dup_elem(A64Tr *t, const A64Args *in)
{
    A64Args a;
    int r = av_begin(t, in, &a);
    if (r >= 0)
        return r;
    unsigned log2 = size_of_imm5(&a), index = index_of_imm5(&a);
    IrVal n = av_get(t, a.rn);
    av_put_scalar(t, a.rd, index ? av_op1(t, VOP_PSRLDQ, n, index << log2) : n, log2);
    return true;
}

IrVal av_broadcast(A64Tr *t, IrVal x, unsigned log2)
{
    IrVal v = av_op1(t, VOP_MOVD, x, 0);
    if (log2 == 3)
        return av_op2(t, VOP_PUNPCKLQDQ, v, v);
    return log2 == 2 ? av_op1(t, VOP_PSHUFD, v, 0) : av_op1(t, log2 ? VOP_VPBROADCASTW : VOP_VPBROADCASTB, v, 0);
}

IrVal av_insert(A64Tr *t, IrVal into, IrVal x, unsigned log2, unsigned index)
{
    static const uint16_t vop[] = { VOP_PINSRB, VOP_PINSRW, VOP_PINSRD, VOP_PINSRD };
    return av_op2i(t, vop[log2], into, x, index);
}

bool v_dup_reg(A64Tr *t, const A64Args *in)
{
    A64Args a;
    int r = av_begin(t, in, &a);
    if (r >= 0)
        return r;
    unsigned log2 = size_of_imm5(&a);
    av_put_q(t, a.rd, av_broadcast(t, a64_r(t, log2 == 3, a.rn), log2), a.q);
    return true;
}

bool v_ins_reg(A64Tr *t, const A64Args *in)
{
    A64Args a;
    int r = av_begin(t, in, &a);
    if (r >= 0)
        return r;
    unsigned log2 = size_of_imm5(&a);
    av_put(t, a.rd, av_insert(t, av_get(t, a.rd), a64_r(t, log2 == 3, a.rn), log2, index_of_imm5(&a)));
    return true;
}

/* Element as an integer. */
static IrVal extracted(A64Tr *t, IrVal v, unsigned log2, unsigned index)
{
    static const uint16_t vop[] = { VOP_PEXTRB, VOP_PEXTRW, VOP_PEXTRD, VOP_PEXTRD };
    IrType type = log2 == 3 ? IRT_I64 : IRT_I32;
    return !index && log2 > 1 ? ir_vop(t->u, type, VOP_MOVDTOI, v, 0, 0, 0) : ir_vop(t->u, type, vop[log2], v, 0, 0, index);
}

bool v_mov_to(A64Tr *t, const A64Args *in)
{
    static const uint8_t type[] = { IRT_I8, IRT_I16, IRT_I32, IRT_I64 };
    A64Args a;
    int r = av_begin(t, in, &a);
    if (r >= 0)
        return r;
    unsigned log2 = size_of_imm5(&a);
    IrVal x = extracted(t, av_get(t, a.rn), log2, index_of_imm5(&a));
    if (a.k) {
        x = ir_sext(t->u, a64_type(a.q), (IrType)type[log2], log2 < 2 ? ir_trunc(t->u, (IrType)type[log2], x) : x);
        a64_put_r(t, a.q, a.rd, x);
    } else {
        a64_put_r(t, log2 == 3, a.rd, x);
    }
    return true;
}

bool v_ins_elem(A64Tr *t, const A64Args *in)
{
    A64Args a;
    int r = av_begin(t, in, &a);
    if (r >= 0)
        return r;
    unsigned log2 = size_of_imm5(&a), to = index_of_imm5(&a), from = (unsigned)a.imm4 >> log2;
    IrVal d = av_get(t, a.rd), n = av_get(t, a.rn);
    if (log2 == 2)
        d = av_op2i(t, VOP_INSERTPS, d, n, from << 6 | to << 4);
    else if (log2 == 3)
        d = to ? av_op2i(t, VOP_SHUFPD, d, n, from << 1) : av_op2i(t, VOP_SHUFPD, n, d, from | 2);
    else
        d = av_insert(t, d, extracted(t, n, log2, from), log2, to);
    av_put(t, a.rd, d);
    return true;
}

/* ---- immediates: AdvSIMDExpandImm (ARM J1.1.3) ---- */
static uint64_t vfp_imm(unsigned imm, unsigned exp_bits, unsigned frac_bits)
{
    uint64_t sign = imm >> 7, b = imm >> 6 & 1, exp = (b ? (1ull << (exp_bits - 1)) - 4 : 1ull << (exp_bits - 1)) | (imm >> 4 & 3);
    return sign << (exp_bits + frac_bits) | exp << frac_bits | (uint64_t)(imm & 15) << (frac_bits - 4);
}

uint64_t av_fp_imm(unsigned imm, unsigned log2) { return log2 == 1 ? vfp_imm(imm, 5, 10) : log2 == 2 ? vfp_imm(imm, 8, 23) : vfp_imm(imm, 11, 52); }

static uint64_t expand(unsigned imm, unsigned cmode, bool op)
{
    uint64_t v = imm;
    if (cmode < 8)
        v = v << 8 * (cmode >> 1);
    else if (cmode < 12)
        return (v << 8 * (cmode >> 1 & 1)) * 0x0001000100010001ull;
    else if (cmode < 14)
        v = cmode == 12 ? v << 8 | 0xff : v << 16 | 0xffff;
    else if (cmode == 14 && !op)
        return v * 0x0101010101010101ull;
    else if (cmode == 14) {
        uint64_t r = 0;
        for (unsigned n = 0; n < 8; n++)
            r |= imm >> n & 1 ? 0xffull << 8 * n : 0;
        return r;
    } else if (op) {
        return av_fp_imm(imm, 3);
    } else {
        v = av_fp_imm(imm, 2);
    }
    return v | v << 32;
}

bool v_movi(A64Tr *t, const A64Args *in)
{
    A64Args a = *in;
    if (a64_fp_trapped(t))
        return true;
    unsigned cmode = t->insn >> 12 & 15, inverted = t->insn >> 29 & 1;
    uint64_t v = expand((unsigned)a.imm, cmode, inverted);
    bool logic = cmode < 12 && cmode & 1;
    if (logic) {
        IrVal d = av_get(t, a.rd);
        if (inverted)
            v = ~v;
        av_put_q(t, a.rd, av_op2(t, inverted ? VOP_PAND : VOP_POR, d, ir_vconst(t->u, v, v)), a.q);
    } else {
        if (inverted && cmode < 14)
            v = ~v;
        av_put(t, a.rd, ir_vconst(t->u, v, a.q ? v : 0));
    }
    return true;
}

bool v_fmov_half(A64Tr *t, const A64Args *a)
{
    if (a64_fp_trapped(t))
        return true;
    uint64_t v = av_fp_imm((unsigned)a->imm, 1) * 0x0001000100010001ull;
    av_put(t, a->rd, ir_vconst(t->u, v, a->q ? v : 0));
    return true;
}
