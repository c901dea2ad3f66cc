/*
 * One backward walk over the unit: uses, last uses, which flags anybody looks at, dead code, dead register writes, and
 * hints (which value would best be computed straight into a guest register's home).
 */
#include <string.h>

#include "tcg/tcg-internal.h"
#include "tcg/vops.h"

static const bool vop_fp[VOPS] = {
#define VOP(name, form, enc, fp) [VOP_##name] = fp,
#include "tcg/vops.def"
#undef VOP
};

enum { SLOT_MAX = 256 };

typedef struct Live {
    IrUnit *u;
    uint16_t fl_need;          /* of the flags slot: bits looked at before the next write of it */
    uint8_t dead[SLOT_MAX];    /* slot is written in full before anybody sees it */
    uint16_t label_need[IR_MAX_LABELS];  /* flags that the code behind a label looks at; all of them until it was met */
    uint16_t put_val[SLOT_MAX];/* value that the next RPUT in program order writes, if it may be hinted */
} Live;

static const uint16_t cond_need[8] = { IRFL_V, IRFL_C, IRFL_Z, IRFL_C | IRFL_Z, IRFL_N, IRFL_P, IRFL_N | IRFL_V, IRFL_N | IRFL_V | IRFL_Z };

static void observe_all(Live *l)
{
    l->fl_need = IRFL_ALL;
    memset(l->dead, 0, l->u->n_slots);
}

static void no_hints(Live *l)
{
    memset(l->put_val, 0, l->u->n_slots * sizeof(l->put_val[0]));
}

static void use(Live *l, unsigned at, IrVal v)
{
    if (!v)
        return;
    IrInsn *d = &l->u->insn[v];
    if (!d->uses++)
        d->last = (uint16_t)at;
}

static void need(Live *l, IrVal fl, unsigned bits)
{
    if (fl)
        l->u->insn[fl].fl_need |= bits;
}

/* Which flags of its FL operands an instruction looks at. */
static void flag_needs(Live *l, const IrInsn *i)
{
    unsigned n = i->fl ? l->u->insn[i->fl].fl_need : 0;
    switch (i->op) {
    case IR_COND: case IR_SELECT: case IR_BRCOND: need(l, i->a, cond_need[i->aux >> 1]); break;
    case IR_ADC: case IR_SBB: need(l, i->c, IRFL_C); break;
    case IR_ADX: need(l, i->c, (i->aux ? IRFL_V : IRFL_C) | n); break;
    case IR_RCL: case IR_RCR: need(l, i->c, IRFL_C | n); break;
    case IR_SHL: case IR_SHR: case IR_SAR: case IR_ROL: case IR_ROR: need(l, i->c, n); break;
    case IR_SHLD: case IR_SHRD: need(l, i->d, n); break;
    case IR_BT: need(l, i->c, i->fl_need & ~IRFL_C); break;
    case IR_FLMERGE: need(l, i->a, i->fl_need & ~(unsigned)i->imm); need(l, i->b, i->fl_need & (unsigned)i->imm); break;
    case IR_FLPACK: need(l, i->a, IRFL_ALL); break;
    case IR_NATIVE: need(l, i->c, IRFL_ALL); break;
    default: break;
    }
}

static bool flags_operand_unneeded(const IrUnit *u, const IrInsn *i)
{
    unsigned n = i->fl ? u->insn[i->fl].fl_need : 0;
    return !n && (i->op == IR_SHL || i->op == IR_SHR || i->op == IR_SAR || i->op == IR_ROL || i->op == IR_ROR);
}

/* Drop flags operands nobody needs, so that they do not keep their producers alive. */
static void drop_flag_operands(IrUnit *u, IrInsn *i)
{
    unsigned n = i->fl ? u->insn[i->fl].fl_need : 0;
    if (flags_operand_unneeded(u, i))
        i->c = 0;
    if ((i->op == IR_SHLD || i->op == IR_SHRD) && !n)
        i->d = 0;
    if (i->op == IR_BT && !(i->fl_need & ~IRFL_C))
        i->c = 0;
    if (i->op == IR_FLMERGE && !(i->fl_need & ~(unsigned)i->imm))
        i->a = 0;
    if (i->op == IR_FLMERGE && !(i->fl_need & (unsigned)i->imm))
        i->b = 0;
}

/* A write of a slot. Returns false if it is dead. */
static bool live_put(Live *l, IrInsn *i)
{
    unsigned slot = (unsigned)i->imm;
    const IrSlot *s = &l->u->slots[slot];
    if (i->type == IRT_FL) {
        unsigned n = l->fl_need;
        l->fl_need = 0;
        if (!n)
            return false;
        need(l, i->a, n);
        return true;
    }
    if (l->dead[slot])
        return false;
    if (i->type == s->type)
        l->dead[slot] = 1;
    bool vec = s->type >= IRT_V64 && (i->type >= IRT_V128 || i->type == s->type), part = s->type == IRT_I64 && i->type <= IRT_I16;
    l->put_val[slot] = s->rank && (i->type == IRT_I64 || vec || part) ? i->a : 0;
    if (l->put_val[slot])
        l->u->insn[i->a].hint = (uint16_t)((slot + 1) | (i->type == s->type ? 0 : IR_HINT_LOW));
    return true;
}

static void live_effects(Live *l, const IrInsn *i)
{
    const IrOpInfo *info = &ir_op_info[i->op];
    if (i->op == IR_LABEL) {   /* where a branch comes from it observes; falling in changes nothing */
        l->label_need[i->imm] = l->fl_need;
        no_hints(l);
    } else if (i->op == IR_CROSS || i->op == IR_BRCOND || i->op == IR_BRZ || i->op == IR_BRNZ) {
        unsigned fl = l->fl_need | l->label_need[i->imm];
        observe_all(l);
        l->fl_need = (uint16_t)fl;
        no_hints(l);
    } else if (info->flags & (IRF_M | IRF_X) || i->op == IR_CALL) {
        observe_all(l);
        no_hints(l);
    }
    for (unsigned s = (unsigned)i->imm; i->op == IR_VUPPER && s < i->imm + i->aux; s++) {   /* the lower halves stay */
        l->dead[s] = 0;
        l->put_val[s] = 0;
    }
    if (i->op == IR_RGET) {
        l->dead[i->imm] = 0;
        l->put_val[i->imm] = 0;
        if (i->type == IRT_FL)
            l->fl_need |= i->fl_need;
    }
}

/* Operations whose result takes the place of their first operand on a two-address host. */
static bool in_place(const IrInsn *i)
{
    switch (i->op) {
    case IR_ADD: case IR_SUB: case IR_ADC: case IR_ADX: case IR_SBB: case IR_AND: case IR_OR: case IR_XOR: case IR_NEG: case IR_NOT: case IR_MUL:
    case IR_SHL: case IR_SHR: case IR_SAR: case IR_ROL: case IR_ROR: case IR_BSWAP:
        return true;
    default:
        return i->op == IR_MULS && !i->hi;
    }
}

/* This value is what a coming RPUT writes, with nothing in between that could observe the slot; so may be the operand it takes the place of. */
static void live_hint(Live *l, unsigned at, IrInsn *i)
{
    unsigned s = (i->hint & ~(unsigned)IR_HINT_LOW) - 1u;
    if (!i->hint || l->put_val[s] != at) {
        i->hint = 0;
        return;
    }
    l->put_val[s] = 0;
    if (i->op == IR_ZEXT && ((i->aux == IRT_I32 && i->type == IRT_I64) || (i->aux == IRT_V128 && i->type == IRT_V256))) {
        l->put_val[s] = i->a;
        l->u->insn[i->a].hint = i->hint;
    } else if (in_place(i) && !(i->hint & IR_HINT_LOW) && (in_place(&l->u->insn[i->a]) || l->u->insn[i->a].op == IR_LD) && !l->u->insn[i->a].uses && l->u->insn[i->a].type >= IRT_I32) {
        l->put_val[s] = i->a;
        l->u->insn[i->a].hint = i->hint;
    }
}

void ir_pass_live(IrUnit *u, const GuestIsa *isa)
{
    Live l;                    /* as much of it as the unit has slots and labels is set up */
    l.u = u;
    no_hints(&l);
    for (unsigned n = 0; n <= u->n_labels; n++)
        l.label_need[n] = IRFL_ALL;
    observe_all(&l);
    for (unsigned at = u->n - 1; at > 0; at--) {
        IrInsn *i = &u->insn[at];
        bool keep = ir_op_info[i->op].flags & IRF_S || i->uses || (i->op == IR_VOP && vop_fp[i->imm & 0xffff]);
        if (i->op == IR_RPUT)
            keep = live_put(&l, i);
        if (i->type == IRT_FL && i->op != IR_VOP && i->op != IR_NATIVE && i->op != IR_BRCOND && i->op != IR_RPUT && !i->fl_need)
            keep = false;
        if (!keep) {
            if (i->op == IR_FLAGS)
                u->insn[i->a].fl = 0;
            if (i->op == IR_HI)
                u->insn[i->a].hi = 0;
            i->op = IR_NOP;
            i->a = i->b = i->c = i->d = 0;
            continue;
        }
        live_hint(&l, at, i);
        live_effects(&l, i);
        drop_flag_operands(u, i);
        flag_needs(&l, i);
        use(&l, at, i->a);
        use(&l, at, i->b);
        use(&l, at, i->c);
        use(&l, at, i->d);
    }
    (void)isa;
}
