/* Cryptographic instructions: by the host's where it has them, else by helper. */
#include "tcg/guest/aarch64/simd.h"

static void by_helper(A64Tr *t, const A64Args *a, unsigned op, unsigned imm)
{
    av_know(t, a->rd, false, false);
    a64_call(t, A64H_crypto, a64_k(t, (int64_t)(op | imm << 16)), a64_k(t, av_regs(a, (unsigned)a->rm, 0, a->ra)), 0, 0);
}

static bool has(const A64Tr *t, unsigned vops) { return (tcg_optional_vops(t->d->cpu) & vops) == vops; }

/*
 * AESE is AESENCLAST with the key added before instead of behind; AESMC behind it makes it AESENC. Alone, AESMC is AESENC of what AESDECLAST, its
 * reverse but for the mixing, made.
 */
bool v_aes(A64Tr *t, const A64Args *a)
{
    if (a64_fp_trapped(t))
        return true;
    if (!has(t, TCG_VOPS_AES)) {
        by_helper(t, a, (unsigned)a->k, 0);
        return true;
    }
    bool inverse = a->k == A64V_AESD || a->k == A64V_AESIMC;
    IrVal zero = av_zero(t), n = av_get(t, a->rn), r;
    if (a->k == A64V_AESE || a->k == A64V_AESD) {
        IrVal x = av_op2(t, VOP_PXOR, av_get(t, a->rd), n);
        r = av_op2(t, inverse ? VOP_AESDECLAST : VOP_AESENCLAST, x, zero);
        t->aes_in = x;
        t->aes_out = r;
    } else if (n == t->aes_out && ir_at(t->u, n)->imm == (inverse ? VOP_AESDECLAST : VOP_AESENCLAST)) {
        r = av_op2(t, inverse ? VOP_AESDEC : VOP_AESENC, t->aes_in, zero);
    } else {
        r = inverse ? av_op1(t, VOP_AESIMC, n, 0) : av_op2(t, VOP_AESENC, av_op2(t, VOP_AESDECLAST, n, zero), zero);
    }
    av_put(t, a->rd, r);
    return true;
}

static IrVal rotate_left(A64Tr *t, IrVal v, unsigned n) { return av_op2(t, VOP_POR, av_op1(t, VOP_PSLLDI, v, n), av_op1(t, VOP_PSRLDI, v, 32 - n)); }

/* SHA1C, P, M: the host's rounds keep the lanes in the other order and add the round constant, which is taken off. */
static IrVal sha1_rounds(A64Tr *t, unsigned op, IrVal d, IrVal n, IrVal m)
{
    static const uint32_t k[] = { 0x5a827999, 0x6ed9eba1, 0x8f1bbcdc };
    unsigned how = op - A64V_SHA1C;
    IrVal w = av_op2(t, VOP_PADDD, av_op2(t, VOP_PSUBD, m, av_splat(t, 2, k[how])), av_low_elem(t, n, 2));
    IrVal r = av_op2i(t, VOP_SHA1RNDS4, av_op1(t, VOP_PSHUFD, d, 0x1b), av_op1(t, VOP_PSHUFD, w, 0x1b), how);
    return av_op1(t, VOP_PSHUFD, r, 0x1b);
}

static IrVal sha1_schedule1(A64Tr *t, IrVal d, IrVal n)
{
    IrVal r = rotate_left(t, av_op2(t, VOP_PXOR, d, av_op1(t, VOP_PSRLDQ, n, 4)), 1);
    return av_op2(t, VOP_PXOR, r, rotate_left(t, av_op1(t, VOP_PSLLDQ, r, 12), 1));
}

/* SHA256H, H2: halves A B E F and C D G H instead, two rounds at once. The second instruction of a pair finds what the first has computed. */
static IrVal sha256_rounds(A64Tr *t, IrVal abcd, IrVal efgh, IrVal wk, bool second)
{
    if (t->sha_wk != wk || t->sha_abcd != abcd || t->sha_efgh != efgh || !t->sha_wk) {
        IrVal abef = av_op2i(t, VOP_SHUFPS, efgh, abcd, 0x11), cdgh = av_op2i(t, VOP_SHUFPS, efgh, abcd, 0xbb);
        t->sha_cdgh = av_op3(t, VOP_SHA256RNDS2, cdgh, abef, wk);
        t->sha_abef = av_op3(t, VOP_SHA256RNDS2, abef, t->sha_cdgh, av_op1(t, VOP_PSHUFD, wk, 0x0e));
        t->sha_abcd = abcd;
        t->sha_efgh = efgh;
        t->sha_wk = wk;
    }
    return av_op2i(t, VOP_SHUFPS, t->sha_abef, t->sha_cdgh, second ? 0x11 : 0xbb);
}

static IrVal sha(A64Tr *t, unsigned op, IrVal d, IrVal n, IrVal m)
{
    switch (op) {
    case A64V_SHA1C: case A64V_SHA1P: case A64V_SHA1M: return sha1_rounds(t, op, d, n, m);
    case A64V_SHA1SU0: return av_op2(t, VOP_PXOR, av_op2(t, VOP_PXOR, d, m), av_op2i(t, VOP_SHUFPD, d, n, 1));
    case A64V_SHA1SU1: return sha1_schedule1(t, d, n);
    case A64V_SHA1H: return av_low_elem(t, rotate_left(t, n, 30), 2);
    case A64V_SHA256H: return sha256_rounds(t, d, n, m, false);
    case A64V_SHA256H2: return sha256_rounds(t, n, d, m, true);
    case A64V_SHA256SU0: return av_op2(t, VOP_SHA256MSG1, d, n);
    case A64V_SHA256SU1: return av_op2(t, VOP_SHA256MSG2, av_op2(t, VOP_PADDD, d, av_op2i(t, VOP_PALIGNR, m, n, 4)), m);
    default: return 0;
    }
}

static IrVal rotate_right64(A64Tr *t, IrVal v, unsigned n) { return av_op2(t, VOP_POR, av_op1(t, VOP_PSRLQI, v, n), av_op1(t, VOP_PSLLQI, v, 64 - n)); }

/* Two rotations and a shift of SHA-512's schedule. */
static IrVal sha512_sigma(A64Tr *t, IrVal v, unsigned a, unsigned b, unsigned shift)
{
    return av_op2(t, VOP_PXOR, av_op2(t, VOP_PXOR, rotate_right64(t, v, a), rotate_right64(t, v, b)), av_op1(t, VOP_PSRLQI, v, shift));
}

/* What needs no host instruction of its own. */
static IrVal sha_plain(A64Tr *t, unsigned op, IrVal d, IrVal n, IrVal m)
{
    switch (op) {
    case A64V_SHA512SU0: return av_op2(t, VOP_PADDQ, d, sha512_sigma(t, av_op2i(t, VOP_SHUFPD, d, n, 1), 1, 8, 7));
    case A64V_SHA512SU1: return av_op2(t, VOP_PADDQ, av_op2(t, VOP_PADDQ, d, m), sha512_sigma(t, n, 19, 61, 6));
    case A64V_RAX1: return av_op2(t, VOP_PXOR, n, rotate_right64(t, m, 63));
    default: return 0;
    }
}

bool v_sha(A64Tr *t, const A64Args *a)
{
    if (a64_fp_trapped(t))
        return true;
    IrVal d = av_get(t, a->rd), n = av_get(t, a->rn), m = av_get(t, a->rm), r = sha_plain(t, (unsigned)a->k, d, n, m);
    if (!r && has(t, TCG_VOPS_SHA))
        r = sha(t, (unsigned)a->k, d, n, m);
    if (r)
        av_put(t, a->rd, r);
    else
        by_helper(t, a, (unsigned)a->k, 0);
    return true;
}

/* EOR3, BCAX */
bool v_sha3(A64Tr *t, const A64Args *a)
{
    if (a64_fp_trapped(t))
        return true;
    IrVal m = av_get(t, a->rm), x = av_get(t, a->ra);
    av_put(t, a->rd, av_op2(t, VOP_PXOR, av_get(t, a->rn), av_op2(t, a->k ? VOP_PANDN : VOP_PXOR, a->k ? x : m, a->k ? m : x)));
    return true;
}

bool v_xar(A64Tr *t, const A64Args *a)
{
    if (a64_fp_trapped(t))
        return true;
    unsigned by = (unsigned)a->index;
    IrVal x = av_op2(t, VOP_PXOR, av_get(t, a->rn), av_get(t, a->rm));
    av_put(t, a->rd, by ? av_op2(t, VOP_POR, av_op1(t, VOP_PSRLQI, x, by), av_op1(t, VOP_PSLLQI, x, 64 - by)) : x);
    return true;
}

bool v_pmull64(A64Tr *t, const A64Args *a)
{
    if (a64_fp_trapped(t))
        return true;
    if (has(t, TCG_VOPS_CLMUL)) {
        av_put(t, a->rd, av_op2i(t, VOP_PCLMULQDQ, av_get(t, a->rn), av_get(t, a->rm), a->q ? 0x11 : 0));
        return true;
    }
    av_know(t, a->rd, false, false);
    a64_call(t, A64H_pmull64, a64_k(t, a->q), a64_k(t, av_regs(a, (unsigned)a->rm, 0, 0)), 0, 0);
    return true;
}

/*
 * CRC-32 by Barrett's reduction of a message of 64 bits (the accumulator added to it, zeros in front), bits reversed: its product with x^96 / P has
 * the quotient in the low half, and the product of that with P the remainder above (Gopal et al., "Fast CRC Computation ... Using PCLMULQDQ", 2009).
 */
IrVal a64_crc32_clmul(A64Tr *t, IrVal acc, IrVal data, unsigned log2)
{
    IrUnit *u = t->u;
    unsigned bits = 8u << log2;
    if (!has(t, TCG_VOPS_CLMUL))
        return 0;
    IrVal x = ir_bin(u, IR_XOR, IRT_I64, acc, data), k = ir_vconst(u, 0xb4e5b025f7011641ull, 0x1db710641ull);
    if (bits < 64)
        x = ir_tri(u, IR_SHL, IRT_I64, x, ir_const(u, IRT_I8, 64 - bits), 0);
    IrVal q = av_op2i(t, VOP_PCLMULQDQ, av_op1(t, VOP_MOVD, x, 0), k, 0);
    IrVal r = ir_vop(u, IRT_I32, VOP_PEXTRD, av_op2i(t, VOP_PCLMULQDQ, q, k, 0x10), 0, 0, 2);
    if (bits < 32)
        r = ir_bin(u, IR_XOR, IRT_I32, r, ir_tri(u, IR_SHR, IRT_I32, ir_trunc(u, IRT_I32, acc), ir_const(u, IRT_I8, bits), 0));
    return r;
}
