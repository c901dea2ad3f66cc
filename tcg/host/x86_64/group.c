/*
 * Accesses that one look-up in the soft TLB serves: in an extended basic block, same regime, addresses that differ by
 * constants of some hundred bytes. The first one looks up the whole span and keeps the host address of its own first byte,
 * as a value like others; the rest add their distance to it. Where the span is not in one directly accessible page the
 * host address is 0 and each access goes its own way, see mem.c. A region that replaces a block is left for that one instead, before the instruction: so the
 * accesses behind the first one need neither test nor slow path.
 */
#include "tcg/host/x86_64/gen.h"

typedef struct Root { IrVal a, b; uint8_t scale, kind, type; } Root;   /* kind 1: relative to pc_base; 2: two values. type: where the sum wraps */
typedef struct Key { Root root; int64_t off; } Key;

static int64_t const_of(const Gen *g, IrVal v) { return g->u->insn[v].imm; }
static bool is_const(const Gen *g, IrVal v) { return v && g->u->insn[v].op == IR_CONST; }

/* @v = *ret + returned constant */
static int64_t strip(const Gen *g, IrVal v, IrType type, IrVal *ret)
{
    int64_t off = 0;
    for (unsigned n = 0; n < 64; n++) {
        const IrInsn *i = &g->u->insn[v];
        if (i->type != type)
            break;
        if (i->op == IR_LEA && i->a && !i->b)
            off += i->imm;
        else if (i->op == IR_ADD && is_const(g, i->b))
            off += const_of(g, i->b);
        else if (i->op == IR_SUB && is_const(g, i->b))
            off -= const_of(g, i->b);
        else
            break;
        v = i->a;
    }
    *ret = v;
    return off;
}

static Key key_of(const Gen *g, IrVal v)
{
    IrType type = g->u->insn[v].type;
    Key k = { .root.type = type };
    k.off = strip(g, v, type, &k.root.a);
    const IrInsn *i = &g->u->insn[k.root.a];
    IrVal base = 0, index = 0;
    if (i->op == IR_CONST) {
        k.off += i->imm;
        k.root.a = 0;
    } else if (i->op == IR_PC) {
        k.off += i->imm;
        k.root = (Root){ .kind = 1, .type = type };
    } else if (i->type == type && (i->op == IR_LEA ? i->a && i->b : i->op == IR_ADD)) {
        int64_t a = strip(g, i->a, type, &base), b = strip(g, i->b, type, &index);
        k.off += a + (i->op == IR_LEA ? i->imm + (int64_t)((uint64_t)b << i->aux) : b);
        k.root = (Root){ .a = base, .b = index, .scale = i->op == IR_LEA ? i->aux : 0, .kind = 2, .type = type };
        if (is_const(g, base) && i->op == IR_ADD) {
            k.off += const_of(g, base);
            k.root = (Root){ .a = index, .type = type };
        }
    }
    return k;
}

static bool same_root(const Root *a, const Root *b) { return a->a == b->a && a->b == b->b && a->scale == b->scale && a->kind == b->kind && a->type == b->type; }

typedef struct Finder { Gen *g; Key key[MAX_GROUPS]; unsigned open; } Finder;   /* groups from @open on may grow */

static void add_access(Finder *f, unsigned at, const IrInsn *i)
{
    Gen *g = f->g;
    Key k = key_of(g, i->a);
    int64_t size = 1 << (i->mem & IRM_SIZE);
    unsigned regime = i->aux ? i->aux - 1u : g->regime;
    bool write = i->op == IR_ST || i->mem & IRM_RMW;
    for (unsigned n = g->n_groups; n-- > f->open;) {
        Group *p = &g->group[n];
        int64_t d = (int64_t)((uint64_t)k.off - (uint64_t)f->key[n].off);
        if (!same_root(&k.root, &f->key[n].root) || p->regime != regime || d < -GROUP_SPAN || d > GROUP_SPAN)
            continue;
        if (MAX(p->hi, d + size) - MIN(p->lo, d) > GROUP_SPAN)
            continue;
        p->lo = MIN(p->lo, d);
        p->hi = MAX(p->hi, d + size);
        p->last = (uint16_t)at;
        p->write |= write;
        p->n++;
        g->group_of[at] = (uint16_t)(n + 1);
        g->group_off[at] = (int32_t)d;
        return;
    }
    if (g->n_groups == MAX_GROUPS)
        return;
    f->key[g->n_groups] = k;
    g->group[g->n_groups++] = (Group){ .lo = 0, .hi = size, .first = (uint16_t)at, .last = (uint16_t)at, .n = 1, .regime = (uint8_t)regime, .write = write };
    g->group_of[at] = (uint16_t)g->n_groups;
    g->group_off[at] = 0;
}

/* A guest instruction may be started again before the first of these. */
static bool effect(const IrInsn *i)
{
    return i->op == IR_ST || i->op == IR_ARMW || i->op == IR_CAS || i->op == IR_CALL || i->op == IR_NATIVE || i->op == IR_RPUT || i->op == IR_HST ||
        i->op == IR_COPY || i->op == IR_FILL;
}

/* The accesses that have their guest instruction to themselves: no other, no helper, no way round. */
typedef struct Only { unsigned at; bool spoilt; } Only;

static void only_access(Only *o, Gen *g, unsigned at)
{
    const IrInsn *i = &g->u->insn[at];
    bool access = i->op == IR_LD || i->op == IR_ST;
    if (i->op == IR_INSN)
        *o = (Only){ 0 };
    else if (access || ir_op_info[i->op].flags & (IRF_M | IRF_X) || i->op == IR_CALL || i->op == IR_CROSS || i->op == IR_BRCOND || i->op == IR_BRZ || i->op == IR_BRNZ)
        o->spoilt |= !access || o->at || i->mem & IRM_RMW;
    if (access && !o->at)
        o->at = at;
    if (o->at)
        g->only[o->at] = !o->spoilt;
}

bool gen_sure(const Gen *g, unsigned at)
{
    const IrInsn *i = &g->u->insn[at];
    unsigned n = g->group_of[at];
    return (i->op == IR_LD || i->op == IR_ST) && n && g->group[n - 1].n > 1 && g->group[n - 1].leave && g->group[n - 1].first != at && !(i->mem & IRM_ALIGN);
}

void gen_find_groups(Gen *g)
{
    Finder f;                  /* not all of its keys are needed: zeroing them costs more than the search */
    IrUnit *u = g->u;
    f.g = g;
    f.open = 0;
    g->n_groups = 0;
    memset(g->group_of, 0, u->n * sizeof(g->group_of[0]));
    memset(g->only, 0, u->n);
    if (g->ctx->config.direct)
        return;
    Only o = { 0 };
    bool done = false, apart = false;      /* done: something of the guest instruction */
    for (unsigned at = 1; at < u->n; at++) {
        const IrInsn *i = &u->insn[at];
        unsigned groups = g->n_groups;
        only_access(&o, g, at);
        if (i->op == IR_INSN)
            apart = u->apart >> ((uint64_t)i->imm >> 6 & (CODE_GRAINS - 1)) & 1;
        if ((i->op == IR_LD || i->op == IR_ST) && !apart)
            add_access(&f, at, i);
        if (g->n_groups > groups)
            g->group[groups].leave = !done && g->b->tier == 2 && g->b->replaced;
        done = i->op != IR_INSN && (done || effect(i));
        if (i->op == IR_LD || i->op == IR_ST)
            continue;
        if (ir_op_info[i->op].flags & IRF_X || i->op == IR_CALL)
            f.open = g->n_groups;          /* the mapping may change, and values end here anyway */
    }
    for (unsigned n = 0; n < g->n_groups; n++) {
        Group *p = &g->group[n];
        unsigned val = u->n + n;
        if (p->n < 2 || val >= IR_MAX_INSNS) {
            g->group_of[p->first] = 0;
            p->n = p->n < 2 ? 1 : 0;       /* 0: no value left for it, its accesses are on their own */
            continue;
        }
        p->val = (uint16_t)val;
        u->insn[val] = (IrInsn){ .op = IR_NOP, .type = IRT_I64, .uses = 1, .last = p->last };
        g->loc[val] = (Loc){ 0 };
        g->in_slot[val].slot = 0;
        g->rep[val] = (uint16_t)val;
    }
}
