/* Vector registers: loads, stores, width changes; operations come from the table of vops. */
#include "tcg/host/x86_64/gen.h"

void gen_vec_ld(Gen *g, const IrInsn *i, Mem m, unsigned xmm)
{
    switch (i->mem & IRM_SIZE) {
    case 2: asm_vrm(&g->a, 0x6e | M_0F | P_66, xmm, NOREG, m); break;                 /* vmovd */
    case 3: asm_vrm(&g->a, 0x7e | M_0F | P_F3, xmm, NOREG, m); break;                 /* vmovq */
    case 4: asm_vrm(&g->a, 0x6f | M_0F | P_F3, xmm, NOREG, m); break;                 /* vmovdqu */
    case 5: asm_vrm(&g->a, 0x6f | M_0F | P_F3 | O_L, xmm, NOREG, m); break;
    default: GEN_FAIL(g); break;
    }
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
    unsigned a = gen_xreg(g, i->a), x = gen_xtmp(g);
    if (g->u->insn[i->a].type == IRT_V64)
        asm_vrr(&g->a, 0x7e | M_0F | P_F3, x, NOREG, a);
    else
        asm_vrr(&g->a, 0x6f | M_0F | P_F3, x, NOREG, a);
    gen_xdef(g, x);
}

bool gen_vec(Gen *g, IrInsn *i)
{
    if (i->op == IR_ZEXT && type_vec(i->type)) {
        gen_vzext(g, i);
        return true;
    }
    return i->op == IR_VOP && gen_vop(g, i);
}
