/*
 * Flags values. At most one is in EFLAGS (fl_cur); a packed copy may be in a temporary, a spill place or the flags slot
 * (loc). A value that is only in EFLAGS is saved the moment EFLAGS is about to change and somebody still needs it.
 *
 * A put of flags to their slot that is overwritten by another one, with only memory accesses and conditional branches in between,
 * is left to those: the slow path of the access (with direct memory the host's signal, faults.c) and the way out of the branch make the flags again from
 * operands that are kept so long.
 */
#include "tcg/host/x86_64/gen.h"

/* Packed form of EFLAGS into AX (RAX taken): above its 16 bits a packed value in a register is anything. No flags change. */
static void emit_pack(Gen *g)
{
    asm_rr(&g->a, 0x90 | M_0F | O_BM, 0, RAX);   /* seto al */
    a8(&g->a, 0x9f);                             /* lahf */
}

/* The slot's upper half is 0 and stays so. */
static void store_packed(Gen *g, unsigned slot, unsigned reg) { asm_rm(&g->a, 0x89 | P_66, reg, gen_slot_mem(g, slot)); }

static void store_const(Gen *g, unsigned slot, int64_t fl)
{
    asm_rm(&g->a, 0xc7, 0, gen_slot_mem(g, slot));
    a32(&g->a, (uint32_t)fl & IRFL_ALL);
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
    if (l.kind == L_CONST && g->u->insn[fl].imm == (IRFL_Z | IRFL_P)) {
        unsigned t = gen_tmp(g);
        asm_rr(&g->a, 0x33, t, t);               /* as of 0 - 0 */
        g->locked &= ~(1u << t);
        g->fl_cur = fl;
        return;
    }
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

void gen_look_at_flags(Gen *g, IrVal fl)
{
    if (g->fl_cur != fl)
        gen_use_flags(g, fl);
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
    g->pending = 0;
    if (g->defer[g->at].last) {
        g->pending = (uint16_t)g->at;
        return;
    }
    Loc l = g->loc[fl];
    if (l.kind == L_SLOT && l.n == slot)
        return;
    gen_preserve_slot(g, slot, fl);
    if (l.kind == L_CONST) {
        store_const(g, slot, g->u->insn[fl].imm);
        return;
    }
    if (l.kind == L_NONE && g->fl_cur == fl) {
        gen_take(g, RAX);
        emit_pack(g);
        store_packed(g, slot, RAX);
        g->locked &= ~(1u << RAX);
        g->reg_val[RAX] = 0;
    } else {
        store_packed(g, slot, gen_reg(g, fl));
        if (g->loc[fl].kind == L_TEMP)
            g->reg_val[g->loc[fl].reg] = 0;
    }
    g->loc[fl] = (Loc){ L_SLOT, 0, (uint16_t)slot };
    gen_alias_add(g, slot, fl);
}

/* ---- deferred puts ---- */
static bool branch(const IrInsn *i) { return i->op == IR_CROSS || i->op == IR_BRCOND || i->op == IR_BRZ || i->op == IR_BRNZ; }

/* Flags whose packed form was changed by a constant, and unpacked: what they were before; else @v. */
static IrVal before_change(const Gen *g, IrVal v, uint16_t *ret_set, uint16_t *ret_turn)
{
    const IrInsn *u = g->u->insn, *i = &u[u[v].a];
    *ret_set = *ret_turn = 0;
    if (u[v].op != IR_FLUNPACK || (i->op != IR_OR && i->op != IR_XOR) || u[i->b].op != IR_CONST || u[i->a].op != IR_FLPACK)
        return v;
    *(i->op == IR_OR ? ret_set : ret_turn) = u[i->b].imm & IRFL_ALL;
    return u[i->a].a;
}

/* Changed flags @v, whose put is left to others, and what they are made of are for nobody else. */
static void drop_change(Gen *g, IrVal v)
{
    IrInsn *u = g->u->insn;
    for (unsigned n = 0; n < 3 && u[v].uses == 1; n++) {
        u[v].op = IR_NOP;
        v = u[v].a;
    }
}

/* What makes the flags @v again. */
static bool again_from(const Gen *g, IrVal v, uint16_t *ret_x, uint16_t *ret_y)
{
    const IrInsn *i = &g->u->insn[v];
    if (i->op == IR_CMP || i->op == IR_TEST) {
        *ret_x = i->a;
        *ret_y = i->b;
        return true;
    }
    if (i->op == IR_FLUNPACK) {
        *ret_x = *ret_y = i->a;
        return g->u->insn[i->a].op == IR_CONST;
    }
    if (i->op != IR_FLAGS)
        return false;
    const IrInsn *of = &g->u->insn[i->a];
    *ret_x = i->a;
    *ret_y = of->b;
    if (of->op == IR_CLZ || of->op == IR_CTZ || of->op == IR_POPCNT) {
        *ret_y = i->a;
        return true;
    }
    if (of->op == IR_SHL || of->op == IR_SHR || of->op == IR_SAR) {
        unsigned bits = 8 * type_bytes(of->type), n = (unsigned)g->u->insn[of->b].imm & 0xff;
        *ret_x = of->a;        /* the carry is not in the result */
        return g->u->insn[of->b].op == IR_CONST && !of->c && n && n < bits && bits >= 32;
    }
    return of->op == IR_ADD || of->op == IR_SUB || of->op == IR_AND || of->op == IR_ANDN || of->op == IR_OR || of->op == IR_XOR;
}

static void keep_until(Gen *g, IrVal v, unsigned at)
{
    if (g->u->insn[v].last < at)
        g->u->insn[v].last = (uint16_t)at;
}

void gen_defer_flags(Gen *g)
{
    IrUnit *u = g->u;
    unsigned put = 0, last = 0;
    g->pending = 0;
    memset(g->defer, 0, u->n * sizeof(g->defer[0]));
    bool direct = g->ctx->config.direct;
    for (unsigned at = 1; at < u->n; at++) {
        const IrInsn *i = &u->insn[at];
        uint8_t how = ir_op_info[i->op].flags;
        if (i->op == IR_RPUT && i->type == IRT_FL) {
            uint16_t x, y, set, turn;
            IrVal v = put ? before_change(g, u->insn[put].a, &set, &turn) : 0;
            if (put && last && again_from(g, v, &x, &y)) {
                if (v != u->insn[put].a)
                    drop_change(g, u->insn[put].a);
                g->defer[put].last = (uint16_t)last;
                g->defer[put].fl = v;
                g->defer[put].set = set;
                g->defer[put].turn = turn;
                g->defer[put].x = x;
                g->defer[put].y = y;
                keep_until(g, x, last);
                keep_until(g, y, last);
            }
            put = at;
            last = 0;
        } else if (how & IRF_X || i->op == IR_CALL || i->op == IR_NATIVE || (i->op == IR_RGET && i->type == IRT_FL) ||
                   (direct && (i->op == IR_HOST || i->op == IR_ARMW || i->op == IR_CAS))) {
            put = 0;
        } else if (how & IRF_M || branch(i)) {
            last = at;
        }
    }
}

bool gen_flags_from(const Gen *g, IrVal v)
{
    unsigned put = g->pending;
    return put && g->at <= g->defer[put].last && (v == g->defer[put].x || v == g->defer[put].y);
}

FlagSource gen_flag_source(Gen *g)
{
    FlagSource f = { 0 };
    unsigned put = g->pending;
    if (g->n_waiting)
        gen_late_source(g, &f);
    if (!put || g->at > g->defer[put].last)
        return f;
    IrVal v = g->defer[put].fl, x = g->defer[put].x, y = g->defer[put].y;
    f.set = g->defer[put].set;
    f.turn = g->defer[put].turn;
    const IrInsn *i = &g->u->insn[v];
    const IrInsn *of = i->op == IR_FLAGS ? &g->u->insn[i->a] : i;
    f.op = of->op;
    f.bytes = (uint8_t)type_bytes(i->op == IR_FLAGS ? of->type : i->aux);
    f.x = gen_place(g, x);
    f.y = gen_place(g, y);
    f.x_const = g->u->insn[x].imm;
    f.y_const = g->u->insn[y].imm;
    f.slot = (uint16_t)g->u->insn[put].imm;
    f.in_eflags = g->fl_cur == v;
    return f;
}

/* RAX and RCX in the order in which neither is overwritten before it is read. */
static void operands_to(Gen *g, const FlagSource *f)
{
    bool x_in_rcx = (f->x.kind == L_TEMP) && f->x.reg == RCX, y_in_rax = (f->y.kind == L_TEMP) && f->y.reg == RAX;
    if (x_in_rcx && y_in_rax) {
        asm_rr(&g->a, 0x87 | O_W, RAX, RCX);
    } else if (y_in_rax) {
        gen_load_place(g, f->y, f->y_const, RCX);
        gen_load_place(g, f->x, f->x_const, RAX);
    } else {
        gen_load_place(g, f->x, f->x_const, RAX);
        gen_load_place(g, f->y, f->y_const, RCX);
    }
}

void gen_flags_again(Gen *g, const FlagSource *f, bool keep_temps)
{
    enum { ADD = 0x03, SUB = 0x2b, CMP = 0x3b, TEST = 0x85 };
    Mem a = gen_env(g, offsetof(TcgEnv, save) + 8 * 6), c = gen_env(g, offsetof(TcgEnv, save) + 8 * 7);
    if (f->op == IR_FLUNPACK) {
        store_const(g, f->slot, (f->x_const | f->set) ^ f->turn);
        return;
    }
    unsigned sz = asm_size_bits(f->bytes), cmp = f->bytes == 1 ? 0x3au : CMP | sz, add = f->bytes == 1 ? 0x02u : ADD | sz, test = f->bytes == 1 ? 0x84u : TEST | sz;
    if (keep_temps) {
        asm_store(&g->a, a, RAX, true);
        asm_store(&g->a, c, RCX, true);
    }
    if (!f->in_eflags || keep_temps) {
        operands_to(g, f);
        switch (f->op) {
        case IR_CMP: asm_rr(&g->a, cmp, RAX, RCX); break;
        case IR_TEST: asm_rr(&g->a, test, RCX, RAX); break;
        case IR_SUB:           /* x = a - y */
            asm_rr(&g->a, ADD | O_W, RAX, RCX);
            asm_rr(&g->a, cmp, RAX, RCX);
            break;
        case IR_ADD:
            asm_rr(&g->a, SUB | O_W, RAX, RCX);
            asm_rr(&g->a, add, RAX, RCX);
            break;
        case IR_SHL: case IR_SHR: case IR_SAR:
            asm_rr(&g->a, 0xc1 | sz, f->op == IR_SHL ? 4 : f->op == IR_SHR ? 5 : 7, RAX);
            a8(&g->a, (unsigned)f->y_const);
            break;
        case IR_CLZ: case IR_CTZ:    /* C: x = width, Z: x = 0 */
            asm_alu_ri(&g->a, 6, RAX, 8 * f->bytes, 4);
            asm_alu_ri(&g->a, 7, RAX, 8 * f->bytes, 4);
            break;
        case IR_POPCNT: asm_rr(&g->a, 0xb8u | M_0F | P_F3, RAX, RAX); break;   /* of the result: 0 of 0 only */
        default: asm_rr(&g->a, test, RAX, RAX); break;
        }
    }
    emit_pack(g);
    if (f->set)
        asm_alu_ri(&g->a, 1, RAX, f->set, 4);
    if (f->turn)
        asm_alu_ri(&g->a, 6, RAX, f->turn, 4);
    store_packed(g, f->slot, RAX);
    if (keep_temps) {
        asm_load(&g->a, RAX, a, true);
        asm_load(&g->a, RCX, c, true);
    }
}

/* A branch to a label, where no value but registers' is known: the temporaries are free on the way. */
void gen_branch(Gen *g, unsigned cc, int64_t label)
{
    FlagSource f = gen_flag_source(g);
    if (!f.op && !f.n_late) {
        gen_add_fix(g, asm_jcc(&g->a, cc), label);
        return;
    }
    if (g->n_exit == sizeof(g->exit) / sizeof(g->exit[0])) {
        GEN_FAIL(g);
        return;
    }
    g->exit[g->n_exit].flags = f;
    g->exit[g->n_exit].label = (uint16_t)label;
    g->exit[g->n_exit++].at = asm_jcc(&g->a, cc);
}

/* Does the code end before instruction @at? */
static bool ends_before(const Gen *g, unsigned at)
{
    while (--at && (g->u->insn[at].op == IR_NOP || g->rep[at] != at))
        ;
    unsigned op = g->u->insn[at].op;
    return op == IR_GOTO || op == IR_JMP || op == IR_EXIT || op == IR_BR;
}

void gen_exits(Gen *g, unsigned label)
{
    unsigned left = 0, behind = 0;
    if (label && !ends_before(g, g->at))
        return;
    for (unsigned n = 0; n < g->n_exit; n++) {
        if (label && g->exit[n].label != label) {
            g->exit[left++] = g->exit[n];
            continue;
        }
        if (behind)
            gen_add_fix(g, asm_jmp(&g->a), g->exit[n].label);
        asm_patch(&g->a, g->exit[n].at);
        gen_late_puts(g, &g->exit[n].flags);
        if (g->exit[n].flags.op)
            gen_flags_again(g, &g->exit[n].flags, false);
        behind = label;
        if (!label)
            gen_add_fix(g, asm_jmp(&g->a), g->exit[n].label);
    }
    g->n_exit = left;
}
