/* Guest registers, labels, jumps, helpers. */
#include "tcg/host/x86_64/gen.h"

static void home_partial(Gen *g, unsigned home, IrInsn *i, unsigned slot)
{
    unsigned bytes = type_bytes(i->type);
    if (bytes == 4) {          /* through memory: no guest here writes half a register and keeps the rest */
        asm_store(&g->a, gen_slot_mem(g, slot), home, true);
        asm_store(&g->a, gen_slot_mem(g, slot), gen_reg(g, i->a), false);
        asm_load(&g->a, home, gen_slot_mem(g, slot), true);
        return;
    }
    int32_t imm;
    if (g->loc[i->a].kind == L_CONST && gen_imm32(g, i->a, &imm)) {
        if (bytes == 2)
            a8(&g->a, 0x66);
        if (home & 8 || (bytes == 1 && home >= 4))
            a8(&g->a, 0x40 | (home & 8 ? 1 : 0));
        a8(&g->a, (bytes == 1 ? 0xb0u : 0xb8u) | (home & 7));
        a8(&g->a, (unsigned)imm);
        if (bytes == 2)
            a8(&g->a, (unsigned)imm >> 8);
        return;
    }
    asm_rr(&g->a, bytes == 1 ? 0x8au | O_B | O_BM : 0x8bu | P_66, home, gen_reg(g, i->a));
}

static void put_home(Gen *g, IrInsn *i, unsigned slot, unsigned home)
{
    IrVal v = i->a;
    if (g->loc[v].kind == L_HOME && g->loc[v].reg == home)
        return;                /* what is there already, in part or whole */
    if (i->type != g->u->slots[slot].type) {
        gen_materialise(g, v);
        gen_preserve_slot(g, slot, 0);
        home_partial(g, home, i, slot);
        return;
    }
    if (g->loc[v].kind == L_ADDR) {
        Mem m = gen_addr_mem(g, v);      /* before the old content, which may be part of it, is forgotten */
        gen_preserve_slot(g, slot, 0);
        asm_lea(&g->a, home, m, true);
        if (!gen_live_after(g, v))
            return;
        g->loc[v] = (Loc){ L_HOME, (uint8_t)home, (uint16_t)slot };
        gen_alias_add(g, slot, v);
        return;
    }
    gen_preserve_slot(g, slot, 0);
    Loc l = g->loc[v];
    gen_reg_into(g, v, home, 8);
    if (l.kind == L_TEMP && gen_live_after(g, v)) {
        g->reg_val[l.reg] = 0;
        g->loc[v] = (Loc){ L_HOME, (uint8_t)home, (uint16_t)slot };
        gen_alias_add(g, slot, v);
    }
}

static void put_mem(Gen *g, IrInsn *i, unsigned slot)
{
    unsigned bytes = type_bytes(i->type);
    Mem m = gen_slot_mem(g, slot);
    int32_t imm;
    if (g->loc[i->a].kind == L_SLOT && g->loc[i->a].n == slot && i->type == g->u->insn[i->a].type)
        return;                /* what is there already */
    if (gen_put_late(g, i))
        return;
    if (g->loc[i->a].kind == L_CONST && gen_imm32(g, i->a, &imm)) {
        gen_preserve_slot(g, slot, 0);
        asm_rm(&g->a, (bytes == 1 ? 0xc6u : 0xc7u) | asm_size_bits(bytes), 0, m);
        if (bytes == 1)
            a8(&g->a, (unsigned)imm);
        else if (bytes == 2)
            (a8(&g->a, (unsigned)imm), a8(&g->a, (unsigned)imm >> 8));
        else
            a32(&g->a, (uint32_t)imm);
        return;
    }
    unsigned r = gen_reg(g, i->a);
    gen_preserve_slot(g, slot, 0);
    asm_rm(&g->a, (bytes == 1 ? 0x88u | O_B : 0x89u) | asm_size_bits(bytes), r, m);
    if (bytes >= type_bytes(g->u->insn[i->a].type))
        gen_note_slot(g, slot, i->a);
}

/* A vector home. A put of half a slot keeps the rest, which instructions without VEX do. */
static void put_xhome(Gen *g, IrInsn *i, unsigned slot, unsigned home)
{
    IrVal v = i->a;
    if (gen_in_xhome(g, v, home))
        return;
    unsigned x = gen_xreg(g, v);
    gen_preserve_slot(g, slot, v);
    if (i->type == g->u->slots[slot].type)
        asm_vrr(&g->a, 0x6f | M_0F | P_F3 | (i->type == IRT_V256 ? O_L : 0), home, NOREG, x);
    else
        asm_rr(&g->a, 0x28 | M_0F, home, x);
    if (!gen_live_after(g, v))
        return;
    if (g->loc[v].kind == L_XMM) {
        g->xmm_val[x] = 0;
        g->loc[v] = (Loc){ L_XHOME, (uint8_t)home, (uint16_t)slot };
        g->upper_zero[v] = g->upper_zero[v] && i->type == g->u->slots[slot].type;
    }
    gen_alias_add(g, slot, v);
}

static void gen_rput(Gen *g, IrInsn *i)
{
    unsigned slot = (unsigned)i->imm;
    if (i->type == IRT_FL) {
        gen_put_flags(g, slot, i->a);
    } else if (type_vec(i->type)) {
        if (g->slot_xhome[slot]) {
            put_xhome(g, i, slot, g->slot_xhome[slot] - 1u);
            return;
        }
        unsigned x = gen_xreg(g, i->a);
        gen_preserve_slot(g, slot, 0);
        if (i->type == IRT_V64)
            asm_vrm(&g->a, 0xd6 | M_0F | P_66, x, NOREG, gen_slot_mem(g, slot));
        else
            asm_vrm(&g->a, 0x7f | M_0F | P_F3 | (i->type == IRT_V256 ? O_L : 0), x, NOREG, gen_slot_mem(g, slot));
    } else if (g->slot_home[slot]) {
        put_home(g, i, slot, g->slot_home[slot] - 1u);
    } else {
        put_mem(g, i, slot);
    }
}

static void gen_rget(Gen *g, IrInsn *i)
{
    unsigned slot = (unsigned)i->imm;
    if (g->slot_xhome[slot])
        g->loc[g->at] = (Loc){ L_XHOME, (uint8_t)(g->slot_xhome[slot] - 1), (uint16_t)slot };
    else if (g->slot_home[slot])
        g->loc[g->at] = (Loc){ L_HOME, (uint8_t)(g->slot_home[slot] - 1), (uint16_t)slot };
    else
        g->loc[g->at] = (Loc){ L_SLOT, 0, (uint16_t)slot };
    if (g->loc[g->at].kind == L_SLOT && i->type < IRT_FL)
        gen_note_slot(g, slot, (IrVal)g->at);
    gen_alias_add(g, slot, (IrVal)g->at);
}

void gen_pc_into(Gen *g, int64_t off, unsigned reg)
{
    asm_load(&g->a, reg, mem_bd(RBP, (int32_t)g->isa->pc_base_offset - STATE_BIAS), true);
    if (off)
        asm_lea(&g->a, reg, mem_bd(reg, (int32_t)off), true);
}

/* Left to whoever needs it: an access that shares another one's look-up does not. */
static void gen_pc(Gen *g, IrInsn *i)
{
    if (!i->hint) {
        g->loc[g->at] = (Loc){ L_PC, 0, 0 };
        return;
    }
    unsigned dst = gen_dst(g, 0);
    gen_pc_into(g, i->imm, dst);
    gen_def(g, dst);
}

static void gen_code(Gen *g, IrInsn *i)
{
    unsigned dst = gen_dst(g, 0);
    asm_mov_imm(&g->a, dst, i->imm);
    if (i->aux == 8 || i->type != IRT_I64)
        asm_load(&g->a, dst, mem_bd(dst, 0), i->aux == 8);
    else
        asm_rm(&g->a, 0x63 | O_W, dst, mem_bd(dst, 0));
    gen_def(g, dst);
}

void gen_add_fix(Gen *g, uint8_t *at, int64_t label)
{
    if (g->n_fix >= MAX_FIX) {
        g->failed = true;
        return;
    }
    g->fix[g->n_fix].at = at;
    g->fix[g->n_fix++].label = (uint16_t)label;
}

/* Nothing but homes and slots lives on. */
static void forget_values(Gen *g)
{
    memset(g->reg_val, 0, sizeof(g->reg_val));
    memset(g->xmm_val, 0, sizeof(g->xmm_val));
    memset(g->n_alias, 0, g->u->n_slots);
    g->spill_used = g->vspill_used = 0;
    g->n_waiting = 0;
    g->fl_cur = 0;
    g->fpu_live = false;
    g->xlive = false;
}

static void gen_brz(Gen *g, IrInsn *i)
{
    unsigned bytes = type_bytes(i->type);
    gen_clobber_flags(g);
    unsigned a = gen_reg(g, i->a);
    asm_rr(&g->a, (bytes == 1 ? 0x84u | O_B | O_BM : 0x85u) | asm_size_bits(bytes), a, a);
    gen_branch(g, i->op == IR_BRZ ? IRC_E : IRC_NE, i->imm);
}

/* Leave for the run loop with cur_off = @off. */
static void emit_leave(Gen *g, int64_t off, unsigned link) { gen_leave(&g->a, g->ctx, THUNK_LEAVE, (uint32_t)off, link); }

/* Look the target up in the jump cache, leave as link @link if it is not there. */
static void emit_probe(Gen *g, int64_t off, unsigned link) { gen_leave(&g->a, g->ctx, THUNK_PROBE, (uint32_t)off, link); }

static TcgLink *new_link(Gen *g, int64_t off, bool cross)
{
    TcgContext *ctx = g->ctx;
    if (ctx->n_links >= LINK_MAX)
        return NULL;
    TcgLink *l = &ctx->links[ctx->n_links++];
    *l = (TcgLink){ .from = g->b, .off = off, .cross = cross };
    return l;
}

/* One instruction that does nothing, so that @n bytes on is a multiple of four. */
static void align_behind(Gen *g, unsigned n)
{
    static const uint8_t nop[4][3] = { { 0 }, { 0x90 }, { 0x66, 0x90 }, { 0x0f, 0x1f, 0x00 } };
    unsigned len = -((unsigned)(uintptr_t)g->a.p + n) & 3;
    for (unsigned k = 0; k < len; k++)
        a8(&g->a, nop[len][k]);
}

/* cmp [rbp + disp], imm32; returns the place of the aligned immediate. */
static uint8_t *emit_look(Gen *g, int32_t disp, uint32_t imm)
{
    align_behind(g, 6);        /* opcode modrm disp32, then the immediate */
    asm_prefixes(&g->a, 0x81, 7, NOREG, RBP, false);
    a8(&g->a, 0x80 | 7 << 3 | RBP);
    a32(&g->a, (uint32_t)disp);
    uint8_t *at = g->a.p;
    a32(&g->a, imm);
    return at;
}

static const uint32_t NO_CTX = 0xffffffff;     /* not yet */

/* Equal if the context is the link's and the page is where it was: it may be mapped twice, beside different pages. Direct memory has each page once. */
static void emit_ctx_look(Gen *g, TcgLink *l)
{
    uint8_t *other = NULL;
    if (!g->ctx->config.direct) {
        emit_look(g, (int32_t)g->isa->pc_base_offset - STATE_BIAS, LINK_NO_PAGE);
        other = asm_jcc8(&g->a, IRC_NE);
    }
    l->at = emit_look(g, ENV(g, ctx_id).disp, NO_CTX);      /* LINK_PAGE behind the other immediate: no alignment in between */
    if (other)
        asm_patch8(&g->a, other);
}

/* The region's place in the table of the context that runs, which @jc holds. */
static Mem seen_mem(const Gen *g, unsigned jc)
{
    return mem_bd(jc, (int32_t)(offsetof(JumpTable, seen) + 8 * tcg_check_slot(g->b->check)));
}

/* A region goes on in another page: in this context its pages must be known to be where they were, or it is left. */
static void gen_cross(Gen *g, const IrInsn *i)
{
    if (!g->b->check)
        g->b->check = ++g->ctx->checks;
    gen_clobber_flags(g);
    unsigned base = gen_tmp(g), seen = gen_tmp(g);
    asm_load(&g->a, base, mem_bd(RBP, (int32_t)g->isa->pc_base_offset - STATE_BIAS), true);
    asm_load(&g->a, seen, ENV(g, jc), true);
    asm_alu_ri(&g->a, 0, base, (int32_t)tcg_check_tag(g->b->check), 8);
    asm_rm(&g->a, 0x39 | O_W, base, seen_mem(g, seen));
    gen_branch(g, IRC_NE, i->imm);
}

/* Before a jump is linked, and where it must not be gone. What begins in the last bytes of a page may go on in the next one: such a unit is never linked. */
static void emit_way_out(Gen *g, const Leave *r)
{
    if (r->from)
        asm_patch(&g->a, r->from);
    if (r->poll)
        asm_patch(&g->a, r->poll);
    if (r->cross || r->to > TCG_PAGE_SIZE - 15)
        emit_probe(g, r->to, r->link);
    else
        emit_leave(g, r->to, r->link);
    if (r->hot) {
        asm_patch(&g->a, r->hot);
        gen_leave(&g->a, g->ctx, THUNK_HOT, (uint32_t)r->to, r->link);
    }
}

/* There: known not to be, or the run loop looks when that has happened some times (a process may not live for long). */
static void leave_crossed(Gen *g, int64_t to)
{
    asm_load(&g->a, RAX, mem_bd(RBP, (int32_t)g->isa->pc_base_offset - STATE_BIAS), true);
    asm_load(&g->a, RCX, ENV(g, jc), true);
    asm_alu_ri(&g->a, 0, RAX, (int32_t)tcg_check_tag(g->b->check), 8);
    asm_rr(&g->a, 0xf7 | O_W, 2, RAX);
    asm_rm(&g->a, 0x39 | O_W, RAX, seen_mem(g, RCX));
    uint8_t *known = asm_jcc(&g->a, IRC_E);
    asm_mov_imm(&g->a, RAX, (int64_t)(uintptr_t)&g->b->heat);
    asm_alu_mi(&g->a, 5, mem_bd(RAX, 0), 1, 4);
    uint8_t *later = asm_jcc(&g->a, IRC_NS);
    emit_leave(g, to, LINK_CHECK | g->b->index);
    asm_patch(&g->a, known);
    asm_patch(&g->a, later);
}

/*
 * Direct jump. In the page: [poll if backward;] jmp rel32, first to what is right behind, a jump to the way out at the end of the unit. To another page:
 * cmp ctx_id, imm32; jne probe; add pc_base, delta; jmp rel32. The displacement is aligned so that it is patched in one store.
 * The link holds for one context; from another one, or after mappings changed, the jump cache may know the way.
 */
static void leave_to(Gen *g, int64_t to)
{
    bool cross = to < 0 || to >= TCG_PAGE_SIZE;
    TcgLink *l = g->b->one_insn ? NULL : new_link(g, to, cross);
    if (!l) {
        emit_leave(g, to, 0);
        return;
    }
    uint8_t *poll = NULL, *hot = NULL;
    if (!cross && to <= (g->b->back ? g->max_off : g->insn_off)) {
        asm_alu_mi(&g->a, 7, ENV(g, exit_request), 0, 4);
        poll = asm_jcc(&g->a, IRC_NE);
        if (g->b->tier < 2 && g->ctx->config.tier == TCG_TIER_AUTO) {
            asm_alu_mi(&g->a, 5, gen_env(g, offsetof(TcgEnv, hot) + 4 * tcg_hot_slot((uint64_t)to, g->b->gpa)), 1, 4);
            hot = asm_jcc(&g->a, IRC_S);
        }
    }
    if (cross) {
        emit_ctx_look(g, l);
        poll = asm_jcc(&g->a, IRC_NE);
        asm_rm(&g->a, 0x81 | O_W, 0, mem_bd(RBP, (int32_t)g->isa->pc_base_offset - STATE_BIAS));
        a32(&g->a, (uint32_t)(to & ~(int64_t)(TCG_PAGE_SIZE - 1)));
    }
    align_behind(g, 1);
    uint8_t *j = asm_jmp(&g->a);
    if (cross)
        l->disp = (uint8_t)(j - 4 - l->at);
    else
        l->at = j - 4;
    asm_patch(&g->a, j);
    Leave r = { .to = to, .link = (unsigned)(l - g->ctx->links), .poll = poll, .hot = hot, .cross = cross };
    if (g->n_leaves == sizeof(g->leave) / sizeof(g->leave[0])) {
        emit_way_out(g, &r);
        return;
    }
    r.from = asm_jmp(&g->a);
    g->leave[g->n_leaves++] = r;
}

void gen_leaves(Gen *g)
{
    for (unsigned n = 0; n < g->n_leaves; n++)
        emit_way_out(g, &g->leave[n]);
}

void gen_side_exit(Gen *g, int64_t off)
{
    ptrdiff_t rw = g->ctx->rw - g->ctx->rx;
    if (off == (int64_t)(g->b->gpa & (TCG_PAGE_SIZE - 1))) {     /* the block this region took over from, behind its entry, which leads here */
        uint8_t *j = asm_jmp(&g->a);
        asm_patch_to(&g->a, j, (uint8_t *)g->b->replaced->host + rw + ENTRY_BYTES);
        return;
    }
    leave_to(g, off);
}

/* Keep in mind where the jump goes: *RCX, the target is in RAX. */
static void note_target(Gen *g)
{
    if (g->b->tier == 2 || g->b->one_insn || g->ctx->config.tier != TCG_TIER_AUTO)
        return;
    size_t slot = offsetof(TcgEnv, target) + sizeof(JumpTarget) * tcg_target_slot((g->b->gpa & ~(uint64_t)(TCG_PAGE_SIZE - 1)) + (uint64_t)g->insn_off);
    asm_rm(&g->a, 0x3b | O_W, RAX, gen_env(g, slot + offsetof(JumpTarget, va)));
    uint8_t *same = asm_jcc8(&g->a, IRC_E);
    asm_lea(&g->a, RCX, gen_env(g, slot), true);
    a8(&g->a, 0xe8);
    a32(&g->a, 0);
    asm_patch_to(&g->a, g->a.p, (uint8_t *)g->ctx->thunks[THUNK_TARGET] + (g->ctx->rw - g->ctx->rx));
    asm_patch8(&g->a, same);
    asm_alu_mi(&g->a, 7, gen_env(g, slot + offsetof(JumpTarget, trust)), TARGET_SURE, 4);
    uint8_t *sure = asm_jcc8(&g->a, IRC_GE);
    asm_rm(&g->a, 0xff, 0, gen_env(g, slot + offsetof(JumpTarget, trust)));
    asm_patch8(&g->a, sure);
}

/* Indirect: probe the jump cache here, so that each site has its own host branch to predict. */
static void gen_jmp(Gen *g, IrInsn *i)
{
    gen_reg_into(g, i->a, RAX, 8);
    gen_count_in(g, g->isa->n_helpers + COUNT_JUMP, RCX);
    note_target(g);
    uint8_t *miss = asm_jump_probe(&g->a, RAX, ENV(g, jc), mem_bd(RBP, (int32_t)g->isa->pc_base_offset - STATE_BIAS));
    asm_patch(&g->a, miss);
    uint8_t *j = asm_jmp(&g->a);
    asm_patch_to(&g->a, j, (uint8_t *)g->ctx->thunks[THUNK_MISS] + (g->ctx->rw - g->ctx->rx));
}

/* The state's pc register is written already. */
static void gen_exit(Gen *g, IrInsn *i)
{
    asm_rm(&g->a, 0xc7 | O_W, 0, ENV(g, leave));
    a32(&g->a, (uint32_t)i->imm + 1);
    emit_leave(g, 0, 0);
}

void gen_count_in(Gen *g, unsigned index, unsigned reg)
{
    if (!g->ctx->calls)
        return;
    asm_load(&g->a, reg, ENV(g, calls), true);
    asm_rm(&g->a, 0xff | O_W, 0, mem_bd(reg, (int32_t)(8 * index)));
}

void gen_count(Gen *g, unsigned index) { gen_count_in(g, index, RAX); }

static void gen_call(Gen *g, IrInsn *i)
{
    static const uint8_t arg_reg[3] = { RSI, RDX, RCX };
    const TcgHelper *h = &g->isa->helpers[i->imm];
    IrVal args[4] = { i->a, i->b, i->c, i->d };
    gen_clobber_flags(g);
    if (h->flags & TCG_H_WRITES)
        gen_preserve_all(g);
    for (unsigned n = 0; n < 4; n++)
        gen_materialise(g, args[n]);
    gen_spill_temps(g);
    gen_spill_vectors(g);
    g->locked |= TEMPS;
    if (args[3]) {
        gen_reg_into(g, args[3], RAX, 8);
        asm_store(&g->a, ENV(g, arg[3]), RAX, true);
    }
    for (unsigned n = 0; n < 3; n++)
        if (args[n])
            gen_reg_into(g, args[n], arg_reg[n], 8);
    asm_rm(&g->a, 0xc7, 0, ENV(g, cur_off));
    a32(&g->a, (uint32_t)g->insn_off);
    gen_count(g, (unsigned)i->imm);
    asm_mov_imm(&g->a, RAX, (int64_t)(uintptr_t)h->fn);
    a8(&g->a, 0xe8);
    a32(&g->a, 0);
    asm_patch_to(&g->a, g->a.p, (uint8_t *)g->ctx->thunks[THUNK_CALL] + (g->ctx->rw - g->ctx->rx));
    g->fpu_live = false;
    g->xlive = false;
    if (i->uses)
        gen_def(g, RAX);
}

bool gen_ctl(Gen *g, IrInsn *i)
{
    switch (i->op) {
    case IR_NOP: return true;
    case IR_TRUNC: return true;
    case IR_CONST: g->loc[g->at] = (Loc){ L_CONST, 0, 0 }; return true;
    case IR_RGET: gen_rget(g, i); return true;
    case IR_RPUT: gen_rput(g, i); return true;
    case IR_PC: gen_pc(g, i); return true;
    case IR_CODE: gen_code(g, i); return true;
    case IR_INSN: g->insn_off = i->imm; return true;
    case IR_LABEL:
        gen_exits(g, (unsigned)i->imm);
        forget_values(g);
        g->label_at[i->imm] = g->a.p;
        return true;
    case IR_BR:
        gen_add_fix(g, asm_jmp(&g->a), i->imm);
        forget_values(g);
        return true;
    case IR_BRCOND:
        gen_look_at_flags(g, i->a);
        gen_branch(g, i->aux, i->imm);
        return true;
    case IR_CROSS: gen_cross(g, i); return true;
    case IR_BRZ: case IR_BRNZ: gen_brz(g, i); return true;
    case IR_GOTO:
        if (i->aux)
            leave_crossed(g, i->imm);
        leave_to(g, i->imm);
        forget_values(g);
        return true;
    case IR_JMP: gen_jmp(g, i); forget_values(g); return true;
    case IR_EXIT: gen_exit(g, i); forget_values(g); return true;
    case IR_CALL: gen_call(g, i); return true;
    default: return false;
    }
}
