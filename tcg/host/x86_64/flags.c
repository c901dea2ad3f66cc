/*
 * Flags values. At most one is in EFLAGS (fl_cur); a packed copy may be in a temporary, a spill place or the flags slot
 * (loc). A value that is only in EFLAGS is saved the moment EFLAGS is about to change and somebody still needs it.
 */
#include "tcg/host/x86_64/gen.h"

/* Packed form of EFLAGS into RAX (taken). No flags change. */
static void emit_pack(Gen *g)
{
    asm_mov_imm(&g->a, RAX, 0);
    asm_rr(&g->a, 0x90 | M_0F | O_BM, 0, RAX);   /* seto al */
    a8(&g->a, 0x9f);                             /* lahf */
}

static void save(Gen *g)
{
    IrVal v = g->fl_cur;
    if (!v || g->loc[v].kind != L_NONE || !gen_live_after(g, v))
        return;
    gen_take(g, RAX);
    emit_pack(g);
    g->loc[v] = (Loc){ L_TEMP, RAX, 0 };
    g->reg_val[RAX] = v;
    g->locked &= ~(1u << RAX);
}

void gen_clobber_flags(Gen *g)
{
    save(g);
    g->fl_cur = 0;
}

void gen_set_flags(Gen *g, IrVal fl) { g->fl_cur = fl; }

void gen_use_flags(Gen *g, IrVal fl)
{
    if (g->fl_cur == fl) {
        save(g);
        return;
    }
    save(g);
    g->fl_cur = 0;
    Loc l = g->loc[fl];
    if (l.kind == L_TEMP && l.reg == RAX) {
        g->reg_val[RAX] = 0;
        g->loc[fl].kind = L_NONE;
        g->locked |= 1u << RAX;
    } else {
        gen_take(g, RAX);
        l = g->loc[fl];
        gen_reg_into(g, fl, RAX, 4);
    }
    a8(&g->a, 0x04);                             /* add al, 0x7f: OF = bit 0 */
    a8(&g->a, 0x7f);
    a8(&g->a, 0x9e);                             /* sahf */
    g->locked &= ~(1u << RAX);
    g->fl_cur = fl;
    if (g->loc[fl].kind == L_NONE)
        save(g);
}

unsigned gen_pack_flags(Gen *g, IrVal fl)
{
    if (g->loc[fl].kind != L_NONE)
        return gen_reg(g, fl);
    if (g->fl_cur != fl) {
        GEN_FAIL(g);
        return RAX;
    }
    gen_take(g, RAX);
    emit_pack(g);
    g->loc[fl] = (Loc){ L_TEMP, RAX, 0 };
    g->reg_val[RAX] = fl;
    return RAX;
}

void gen_put_flags(Gen *g, unsigned slot, IrVal fl)
{
    Loc l = g->loc[fl];
    if (l.kind == L_SLOT && l.n == slot)
        return;
    gen_preserve_slot(g, slot, fl);
    if (l.kind == L_NONE && g->fl_cur == fl) {
        gen_take(g, RAX);
        emit_pack(g);
        asm_store(&g->a, gen_slot_mem(g, slot), RAX, false);
        g->locked &= ~(1u << RAX);
        g->reg_val[RAX] = 0;
    } else {
        asm_store(&g->a, gen_slot_mem(g, slot), gen_reg(g, fl), false);
        if (g->loc[fl].kind == L_TEMP)
            g->reg_val[g->loc[fl].reg] = 0;
    }
    g->loc[fl] = (Loc){ L_SLOT, 0, (uint16_t)slot };
    gen_alias_add(g, slot, fl);
}
