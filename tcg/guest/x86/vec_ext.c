/* Vector instructions that are not one operation on registers: halves, conversions to memory, strings, masked moves, gathers. */
#include "tcg/guest/x86/vec.h"

void x86_e_vins128(X86Tr *t)
{
    if (!x86_vec_ok(t))
        return;
    IrVal b = x86_vget(t, 2, IRT_V128, 4, false), a = ir_get(t->u, IRT_V256, X86S_VEC0 + x86_vreg(t, 1));
    x86_vput(t, x86_vreg(t, 0), IRT_V256, ir_vop(t->u, IRT_V256, VOP_VINSERTI128, a, b, 0, (unsigned)t->in.imm & 255));
}

/* Result @v to a vector register or 2^log2 bytes of memory */
static void put_rm(X86Tr *t, IrVal v, unsigned log2)
{
    if (!x86_is_mem(t, 0)) {
        x86_vput(t, x86_vreg(t, 0), IRT_V128, v);
        return;
    }
    IrVal lin = x86_mem(t, 1u << log2, true);
    ir_st(t->u, IRT_V128, lin, v, log2, 0, 0);
}

void x86_e_vext128(X86Tr *t)
{
    if (!x86_vec_ok(t))
        return;
    IrVal a = ir_get(t->u, IRT_V256, X86S_VEC0 + x86_vreg(t, 1));
    put_rm(t, ir_vop(t->u, IRT_V128, VOP_VEXTRACTI128, a, 0, 0, (unsigned)t->in.imm & 255), 4);
}

void x86_e_vps2ph(X86Tr *t)
{
    if (!x86_vec_ok(t))
        return;
    IrVal a = ir_get(t->u, x86_vtype(t), X86S_VEC0 + x86_vreg(t, 1));
    put_rm(t, ir_vop(t->u, IRT_V128, VOP_VCVTPS2PH, a, 0, 0, (unsigned)t->in.imm & 255), t->in.vex_l ? 4 : 3);
}

void x86_e_vbcast128(X86Tr *t)
{
    if (!x86_vec_ok(t))
        return;
    IrVal a = x86_vget(t, 1, IRT_V128, 4, false);
    x86_vput(t, x86_vreg(t, 0), IRT_V256, ir_vop(t->u, IRT_V256, VOP_VINSERTI128, ir_zext(t->u, IRT_V256, IRT_V128, a), a, 0, 1));
}

/* From memory the value is lane 0 whatever the immediate's upper bits say (SDM 2A INSERTPS). */
void x86_e_vinsertps(X86Tr *t)
{
    if (!x86_vec_ok(t))
        return;
    unsigned n = t->in.vex ? 2 : 1, k = (unsigned)t->in.imm & (x86_is_mem(t, n) ? 0x3f : 0xff);
    IrVal b = x86_vget(t, n, IRT_V128, 2, false), a = ir_get(t->u, IRT_V128, X86S_VEC0 + x86_vreg(t, t->in.vex ? 1 : 0));
    x86_vput(t, x86_vreg(t, 0), IRT_V128, ir_vop(t->u, IRT_V128, VOP_INSERTPS, a, b, 0, k));
}

/* A length in RAX or RDX: one of 32 bits is as good as its sign extension, only its distance from 0 counts, up to the number of elements. */
static IrVal length(X86Tr *t, unsigned reg)
{
    return x86_64bit(t) && t->in.rex_w ? x86_gpr(t, 3, reg) : ir_sext(t->u, IRT_I64, IRT_I32, x86_gpr(t, 2, reg));
}

/* PCMPxSTRx; arg: 1 = index to ECX (else mask to XMM0), 2 = implicit lengths. Memory needs no alignment. */
void x86_e_pcmpstr(X86Tr *t)
{
    if (!x86_vec_ok(t))
        return;
    IrUnit *u = t->u;
    bool implicit = t->in.op->arg & 2;
    IrVal b = x86_vget(t, 1, IRT_V128, 4, false);
    if (t->in.op->arg & 1) {
        IrVal a = ir_get(u, IRT_V128, X86S_VEC0 + x86_vreg(t, 0)), la = implicit ? 0 : length(t, X86_RAX), lb = implicit ? 0 : length(t, X86_RDX);
        IrVal v = ir_vop(u, IRT_I32, implicit ? VOP_PCMPISTRI : VOP_PCMPESTRI, a, b, la, (unsigned)t->in.imm & 255);
        ir_at(u, v)->d = lb;
        IrVal fl = ir_flags(u, v);
        x86_gpr_put(t, 2, X86_RCX, v);
        ir_put(u, IRT_FL, X86S_FL, fl);
        return;
    }
    IrVal lo = ir_vop(u, IRT_I64, VOP_MOVDTOI, b, 0, 0, 0);
    IrVal hi = ir_vop(u, IRT_I64, VOP_MOVDTOI, ir_vop(u, IRT_V128, VOP_PUNPCKHQDQ, b, b, 0, 0), 0, 0, 0);
    int64_t how = (t->in.imm & 255) | x86_vreg(t, 0) << 8 | implicit << 17 | (x86_64bit(t) && t->in.rex_w) << 20 | (t->in.vex != 0) << 21;
    x86_call(t, X86H_pcmpstr, lo, hi, x86_k(t, how), 0);
}

/* Nobody looks at single accesses, and addresses are linear ones: memory may be looked up by IR_HOST. */
bool x86_host_ok(const X86Tr *t)
{
    return x86_64bit(t) && t->in.adsize == 3 && t->in.seg < X86_FS && !(t->mode & (X86M_TF | X86M_DR | X86M_AC));
}

/* VMASKMOVPS/PD, VPMASKMOVD/Q; arg: 1 = store, the rest log2 of an element's bytes. The mask is operand 1. */
void x86_e_vmaskmov(X86Tr *t)
{
    if (!x86_vec_ok(t))
        return;
    bool store = t->in.op->arg & 1;
    unsigned bytes = t->in.vex_l ? 32 : 16, log2 = t->in.op->arg >> 1;
    if (x86_host_ok(t) && !t->slow) {
        IrType type = x86_vtype(t);
        IrVal mask = ir_get(t->u, type, X86S_VEC0 + x86_vreg(t, 1)), host = ir_host(t->u, x86_mem(t, bytes, store), bytes, 0, store, x86_cold_slow(t));
        if (store)
            ir_host_op(t->u, IR_HST, host, mask, ir_get(t->u, type, X86S_VEC0 + x86_vreg(t, 2)), log2);
        else
            x86_vput(t, x86_vreg(t, 0), type, ir_hld(t->u, type, host, mask, log2));
        return;
    }
    int64_t how = x86_vreg(t, store ? 2 : 0) | x86_vreg(t, 1) << 8 | log2 << 16 | store << 20 | (int64_t)bytes << 24;
    x86_call(t, X86H_vmaskmov, x86_mem(t, bytes, store), x86_k(t, how), 0, 0);
}

/* Where all elements are wanted and each lies in plain memory. The order does not matter, nothing is written before the last one is there. */
static IrVal index_of(X86Tr *t, unsigned n, bool wide)
{
    IrUnit *u = t->u;
    unsigned reg = X86S_VEC0 + t->in.index, q = wide ? n : n / 2;
    IrVal v = q < 2 ? ir_get(u, IRT_V128, reg) : ir_vop(u, IRT_V128, VOP_VEXTRACTI128, ir_get(u, IRT_V256, reg), 0, 0, 1);
    IrVal x = q & 1 ? ir_vop(u, IRT_I64, VOP_PEXTRD, v, 0, 0, 1) : ir_vop(u, IRT_I64, VOP_MOVDTOI, v, 0, 0, 0);
    if (wide)
        return x;
    return n & 1 ? ir_tri(u, IR_SAR, IRT_I64, x, ir_const(u, IRT_I8, 32), 0) : ir_sext(u, IRT_I64, IRT_I32, ir_trunc(u, IRT_I32, x));
}

static void gather_quick(X86Tr *t, unsigned dst, unsigned mask, bool wide)
{
    IrUnit *u = t->u;
    bool q = t->in.rex_w;
    unsigned bytes = t->in.vex_l ? 32 : 16, n = bytes >> (q || wide ? 3 : 2), slow = x86_cold_slow(t), all = (1u << n) - 1, log2 = q ? 3 : 2;
    IrType type = n << log2 > 16 ? IRT_V256 : IRT_V128;
    IrVal m = ir_vop(u, IRT_I32, q ? VOP_MOVMSKPD : VOP_MOVMSKPS, ir_get(u, type, X86S_VEC0 + mask), 0, 0, 0);
    if (n << log2 < 16)
        m = ir_bin(u, IR_AND, IRT_I32, m, ir_const(u, IRT_I32, all));
    ir_brcond(u, IRC_NE, ir_cmp(u, IRT_I32, m, ir_const(u, IRT_I32, all)), slow);
    IrVal half[2] = { 0 };
    for (unsigned k = 0; k < n; k++) {
        IrVal base = t->in.base != X86_NO_REG ? x86_gpr(t, 3, t->in.base) : 0;
        IrVal host = ir_host(u, ir_lea(u, IRT_I64, base, index_of(t, k, wide), t->in.scale, t->in.disp), 1u << log2, 0, false, slow);
        IrVal v = ir_hld(u, q ? IRT_I64 : IRT_I32, host, 0, log2), *to = &half[k << log2 >> 4];
        unsigned lane = k & (q ? 1 : 3);
        *to = lane ? ir_vop(u, IRT_V128, VOP_PINSRD, *to, v, 0, lane) : ir_vop(u, IRT_V128, VOP_MOVD, v, 0, 0, 0);
    }
    IrVal zero = ir_zext(u, IRT_V256, IRT_V128, ir_vop(u, IRT_V128, VOP_MOVD, ir_const(u, IRT_I32, 0), 0, 0, 0)), r = ir_zext(u, IRT_V256, IRT_V128, half[0]);
    ir_put(u, IRT_V256, X86S_VEC0 + dst, half[1] ? ir_vop(u, IRT_V256, VOP_VINSERTI128, r, half[1], 0, 1) : r);
    ir_put(u, IRT_V256, X86S_VEC0 + mask, zero);
}

/* Gathers; arg: 1 = indices of 64 bits. Limits of segments outside 64-bit code are not looked at. */
void x86_e_vgather(X86Tr *t)
{
    if (!x86_vec_ok(t))
        return;
    const X86Insn *in = &t->in;
    unsigned dst = x86_vreg(t, 0), mask = x86_vreg(t, 2);
    if (dst == mask || dst == in->index || mask == in->index) {
        x86_emit_ud(t);
        return;
    }
    if (x86_host_ok(t) && !t->slow) {
        gather_quick(t, dst, mask, t->in.op->arg);
        return;
    }
    IrVal base = x86_k(t, in->disp), seg = x86_k(t, 0);
    if (in->base != X86_NO_REG)
        base = ir_bin(t->u, IR_ADD, IRT_I64, base, x86_gpr(t, 3, in->base));
    if (in->seg >= X86_FS || !x86_64bit(t))
        seg = ir_get(t->u, IRT_I64, X86S_ES_BASE + in->seg);
    int64_t how = dst | mask << 8 | in->index << 16 | in->scale << 24 | in->rex_w << 26 | t->in.op->arg << 27 | in->vex_l << 28 |
                  (int64_t)(in->adsize == 2) << 29;
    x86_call(t, X86H_vgather, base, seg, x86_k(t, how), 0);
}
