/* Cryptographic instructions: by the host's where it has them, else by helper. */
#include "tcg/guest/aarch64/simd.h"

static void by_helper(A64Tr *t, const A64Args *a, unsigned op, unsigned imm)
{
    av_know(t, a->rd, false, false);
    a64_call(t, A64H_crypto, a64_k(t, (int64_t)(op | imm << 16)), a64_k(t, av_regs(a, (unsigned)a->rm, 0, a->ra)), 0, 0);
}

bool v_aes(A64Tr *t, const A64Args *a)
{
    if (!a64_fp_trapped(t))
        by_helper(t, a, (unsigned)a->k, 0);
    return true;
}

bool v_sha(A64Tr *t, const A64Args *a)
{
    if (!a64_fp_trapped(t))
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
    av_know(t, a->rd, false, false);
    a64_call(t, A64H_pmull64, a64_k(t, a->q), a64_k(t, av_regs(a, (unsigned)a->rm, 0, 0)), 0, 0);
    return true;
}
