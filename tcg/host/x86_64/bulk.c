/*
 * Operations on host memory that a look-up in the soft TLB gave out whole: bulk moves, elements chosen by a mask, gathers. The look-up goes to a label where it is
 * in vain, and a helper does the guest's instruction from its start.
 */
#include "tcg/host/x86_64/gen.h"

enum { ENTRY_LOG2 = 4 };
_Static_assert(sizeof(TlbEntry) == 1 << ENTRY_LOG2, "index arithmetic");

/* Registers of an operand and a result may be one: the operand is not needed any more. */
static void gen_host(Gen *g, IrInsn *i)
{
    gen_clobber_flags(g);
    if (g->ctx->config.direct) {               /* nothing to look up: the helper's way always */
        gen_add_fix(g, asm_jmp(&g->a), i->imm);
        gen_def(g, gen_tmp(g));
        return;
    }
    bool write = i->mem & IRM_RMW;
    int32_t tag = (int32_t)(tcg_tlb_place(0, write, g->regime) * sizeof(TlbEntry) + offsetof(TlbEntry, tag));
    int32_t addend = tag - (int32_t)offsetof(TlbEntry, tag) + (int32_t)offsetof(TlbEntry, addend);
    unsigned a = gen_reg(g, i->a), n = i->b ? gen_reg(g, i->b) : NOREG, t = gen_tmp(g), w = gen_tmp(g);
    asm_vrr(&g->a, 0xf0 | M_3A | P_F2, t, NOREG, a);           /* rorx */
    a8(&g->a, TCG_PAGE_BITS - ENTRY_LOG2);
    asm_alu_ri(&g->a, 4, t, (TLB_SIZE - 1) << ENTRY_LOG2, 4);
    asm_lea(&g->a, w, n == NOREG ? mem_bd(a, i->aux - 1) : mem_bid(a, n, 0, -1), true);
    asm_alu_ri(&g->a, 4, w, -TCG_PAGE_SIZE, 8);
    asm_rm(&g->a, 0x3b | O_W, w, mem_bid(R15, t, 0, tag));
    gen_branch(g, IRC_NE, i->imm);
    asm_load(&g->a, t, mem_bid(R15, t, 0, addend), true);
    asm_rr(&g->a, 0x03 | O_W, t, a);
    gen_def(g, t);
}

/* VPMASKMOVD, VPMASKMOVQ */
static unsigned masked(const IrInsn *i, bool store, IrType type)
{
    return (store ? 0x8eu : 0x8cu) | M_38 | P_66 | (i->aux == 3 ? O_W : 0) | (type == IRT_V256 ? O_L : 0);
}

static void gen_hld(Gen *g, IrInsn *i)
{
    Mem m = mem_bd(gen_reg(g, i->a), 0);
    if (!i->b) {
        unsigned dst = gen_dst(g, i->a);
        asm_load(&g->a, dst, m, i->type == IRT_I64);
        gen_def(g, dst);
        return;
    }
    unsigned mask = gen_xreg(g, i->b), x = gen_xdst(g);
    asm_vrm(&g->a, masked(i, false, i->type), x, mask, m);
    gen_xdef(g, x, true);
}

static void gen_hst(Gen *g, IrInsn *i)
{
    Mem m = mem_bd(gen_reg(g, i->a), 0);
    unsigned mask = gen_xreg(g, i->b), v = gen_xreg(g, i->c);
    asm_vrm(&g->a, masked(i, true, g->u->insn[i->c].type), v, mask, m);
}

/* @v, which ends here, in temporary @reg itself, to be overwritten. */
static void operand_in(Gen *g, IrVal v, unsigned reg)
{
    if (g->loc[v].kind == L_TEMP && g->loc[v].reg == reg && !gen_live_after(g, v)) {
        g->locked |= 1u << reg;
        return;
    }
    gen_take(g, reg);
    gen_reg_into(g, v, reg, 8);
}

/* REP MOVS, REP STOS: the host's own, whose destination is in RDI, a home. */
static void gen_bulk(Gen *g, IrInsn *i)
{
    static const uint32_t size[] = { 0, P_66, 0, O_W };
    bool copy = i->op == IR_COPY;
    operand_in(g, i->c, RCX);
    operand_in(g, i->b, copy ? RSI : RAX);
    operand_in(g, i->a, RDX);
    asm_rr(&g->a, 0x87 | O_W, RDX, RDI);
    a8(&g->a, 0xf3);
    if (size[i->aux] == P_66)
        a8(&g->a, 0x66);
    if (size[i->aux] == O_W)
        a8(&g->a, 0x48);
    a8(&g->a, (copy ? 0xa4u : 0xaau) + (i->aux != 0));
    asm_mov_rr(&g->a, RDI, RDX, true);
}

bool gen_bulk_op(Gen *g, IrInsn *i)
{
    switch (i->op) {
    case IR_HOST: gen_host(g, i); return true;
    case IR_HLD: gen_hld(g, i); return true;
    case IR_HST: gen_hst(g, i); return true;
    case IR_COPY: case IR_FILL: gen_bulk(g, i); return true;
    default: return false;
    }
}
