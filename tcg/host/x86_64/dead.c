/*
 * Puts that nobody sees: the slot is overwritten before anything looks at it. pass/live.c finds those without an access in between; these have accesses in
 * between that cannot fail, because the first one of their group has looked (group.c): the stack pointer of a run of pushes, sums of several loads.
 */
#include "tcg/host/x86_64/gen.h"

typedef struct Dead { Gen *g; bool any, slot[256]; } Dead;   /* slot: overwritten in full before anybody looks */

static bool names(const IrInsn *i, IrVal v) { return i->op != IR_NOP && (i->a == v || i->b == v || i->c == v || i->d == v); }

/* Instruction @at, which was said to use @v, is no more. */
static void unuse(Gen *g, unsigned at, IrVal v)
{
    IrInsn *d = &g->u->insn[v];
    if (!v || !d->uses)
        return;
    d->uses--;
    if (d->last != at)
        return;
    while (--at > v && !names(&g->u->insn[at], v))
        ;
    d->last = (uint16_t)at;
}

static void drop(Gen *g, unsigned at)
{
    IrInsn *i = &g->u->insn[at];
    IrVal arg[4] = { i->a, i->b, i->c, i->d };
    if (i->op == IR_FLAGS)
        g->u->insn[i->a].fl = 0;
    if (i->op == IR_HI)
        g->u->insn[i->a].hi = 0;
    i->op = IR_NOP;
    i->a = i->b = i->c = i->d = 0;
    for (unsigned n = 0; n < 4; n++)
        unuse(g, at, arg[n]);
}

static void look_at_put(Dead *d, unsigned at, IrInsn *i)
{
    IrInsn *v = &d->g->u->insn[i->a];
    if (!d->slot[i->imm]) {
        d->slot[i->imm] = i->type == d->g->u->slots[i->imm].type;
        return;
    }
    if (v->op == IR_LEA)
        v->hint = 0;           /* an address: where it is wanted */
    drop(d->g, at);
    d->any = true;
}

static void look(Dead *d, unsigned at)
{
    IrInsn *i = &d->g->u->insn[at];
    if (i->op == IR_RPUT)
        look_at_put(d, at, i);
    else if (i->op == IR_RGET)
        d->slot[i->imm] = false;
    else if (ir_op_info[i->op].flags & IRF_S ? i->op != IR_INSN && !gen_sure(d->g, at) : i->op == IR_CALL)
        memset(d->slot, 0, sizeof(d->slot));
    else if (d->any && !i->uses && i->op != IR_VOP && !(ir_op_info[i->op].flags & IRF_S))
        drop(d->g, at);
}

void gen_drop_puts(Gen *g)
{
    Dead d = { .g = g };
    bool groups = false;
    for (unsigned n = 0; n < g->n_groups; n++)
        groups |= g->group[n].leave && g->group[n].n > 1;
    for (unsigned at = groups ? g->u->n - 1 : 0; at > 0; at--)
        if (g->u->insn[at].op != IR_NOP && g->rep[at] == at)
            look(&d, at);
}
