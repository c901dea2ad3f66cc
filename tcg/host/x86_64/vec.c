/* Vector registers: loads, stores, width changes; operations come from the table of vops. */
#include "tcg/host/x86_64/gen.h"

/* @legacy: without VEX, the register's upper half stays. */
void gen_vec_ld(Gen *g, const IrInsn *i, Mem m, unsigned xmm, bool legacy)
{
    static const unsigned op[] = { [2] = 0x6e | M_0F | P_66 /* movd */, [3] = 0x7e | M_0F | P_F3 /* movq */, [4] = 0x10 | M_0F /* movups */ };
    unsigned size = i->mem & IRM_SIZE;
    if (size == 5)
        asm_vrm(&g->a, 0x6f | M_0F | P_F3 | O_L, xmm, NOREG, m);
    else if (size < 2)
        GEN_FAIL(g);
    else if (legacy)
        asm_rm(&g->a, op[size], xmm, m);
    else
        asm_vrm(&g->a, op[size], xmm, NOREG, m);
}

void gen_vec_st(Gen *g, const IrInsn *i, Mem m, unsigned xmm)
{
    switch (i->mem & IRM_SIZE) {
    case 2: asm_vrm(&g->a, 0x7e | M_0F | P_66, xmm, NOREG, m); break;
    case 3: asm_vrm(&g->a, 0xd6 | M_0F | P_66, xmm, NOREG, m); break;
    case 4: asm_vrm(&g->a, 0x7f | M_0F | P_F3, xmm, NOREG, m); break;
    case 5: asm_vrm(&g->a, 0x7f | M_0F | P_F3 | O_L, xmm, NOREG, m); break;
    default: GEN_FAIL(g); break;
    }
}

static void gen_vzext(Gen *g, IrInsn *i)
{
    unsigned a = gen_xreg(g, i->a);
    bool narrow = g->u->insn[i->a].type == IRT_V64, done = !narrow && g->upper_zero[i->a] && !gen_live_after(g, i->a);
    int home = gen_xhint(g, false);
    if (done && (home == (int)a || (home < 0 && a >= N_XHOMES))) {
        gen_xdef(g, a, true);  /* it is that already */
        return;
    }
    unsigned x = gen_xdst(g);
    asm_vrr(&g->a, (narrow ? 0x7eu : 0x6fu) | M_0F | P_F3, x, NOREG, a);
    gen_xdef(g, x, true);
}

static void gen_vconst(Gen *g)
{
    int home = gen_xhint(g, false);
    g->loc[g->at] = (Loc){ L_VCONST, 0, 0 };
    if (home < 0)
        return;
    asm_vrm(&g->a, 0x6f | M_0F | P_F3, (unsigned)home, NOREG, gen_vconst_mem(g, (IrVal)g->at, 0));
    gen_xdef(g, (unsigned)home, true);
}

/* Values of the slots as they were get places of their own first. */
static void gen_vupper(Gen *g, const IrInsn *i)
{
    unsigned homes = 0, zero = NOREG, first = (unsigned)i->imm;
    gen_xensure(g);
    for (unsigned s = first; s < first + i->aux; s++) {
        gen_preserve_slot(g, s, 0);
        gen_unlock(g);
        homes += g->slot_xhome[s] != 0;
    }
    if (homes == N_XHOMES) {
        gen_spill_vectors(g);
        a8(&g->a, 0xc5);       /* vzeroupper */
        a8(&g->a, 0xf8);
        a8(&g->a, 0x77);
    }
    for (unsigned s = first; s < first + i->aux; s++) {
        unsigned home = g->slot_xhome[s] - 1u;
        Mem m = gen_slot_mem(g, s);
        m.disp += 16;
        if (g->slot_xhome[s]) {
            if (homes != N_XHOMES)
                asm_vrr(&g->a, 0x6f | M_0F | P_F3, home, NOREG, home);
            continue;
        }
        if (zero == NOREG) {
            zero = gen_xtmp(g);
            asm_vrr(&g->a, 0xef | M_0F | P_66, zero, zero, zero);
        }
        asm_vrm(&g->a, 0x7f | M_0F | P_F3, zero, NOREG, m);
    }
}

static void gen_fpenv(Gen *g, const IrInsn *i)
{
    Mem m = mem_bd(RBP, (int32_t)g->isa->fpenv_offset - STATE_BIAS);
    bool put = i->op == IR_FPENVPUT;
    if (put)
        asm_store(&g->a, m, gen_reg(g, i->a), false);
    asm_rm(&g->a, 0xae | M_0F, put ? 2 : 3, m);    /* ldmxcsr, stmxcsr */
    if (put)
        return;
    unsigned dst = gen_dst(g, 0);
    asm_load(&g->a, dst, m, false);
    gen_def(g, dst);
}

bool gen_vec(Gen *g, IrInsn *i)
{
    if (i->op == IR_VCONST) {
        gen_vconst(g);
        return true;
    }
    if (i->op == IR_FPENV || i->op == IR_FPENVPUT) {
        gen_fpenv(g, i);
        return true;
    }
    if (i->op == IR_VUPPER) {
        gen_vupper(g, i);
        return true;
    }
    if (i->op == IR_ZEXT && type_vec(i->type)) {
        gen_vzext(g, i);
        return true;
    }
    return i->op == IR_VOP && gen_vop(g, i);
}
