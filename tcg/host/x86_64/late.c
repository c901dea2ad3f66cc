/*
 * Late puts, in regions on direct memory: the put of a slot in memory that another one overwrites, with only accesses, which may fail, and conditional branches
 * in between, is left to those: the host's signal (faults.c), or the slow path of an access, and the way out of the branch store what the value's place holds
 * then. A value that loses its register while a put of it waits goes to the slot itself. With a soft TLB a register is worth more to what was looked up, whose
 * other accesses cannot fail (dead.c): there a copy loop would be 5 % slower.
 */
#include "tcg/host/x86_64/gen.h"

static bool branch(const IrInsn *i) { return i->op == IR_CROSS || i->op == IR_BRCOND || i->op == IR_BRZ || i->op == IR_BRNZ; }

/* Neither sees a slot nor may leave. */
static bool blind(const IrInsn *i)
{
    if (i->op == IR_INSN || i->op == IR_FENCE || i->op == IR_RGET || i->op == IR_RPUT)
        return true;
    return !(ir_op_info[i->op].flags & (IRF_S | IRF_M | IRF_X)) && i->op != IR_HLD && i->op != IR_CALL;
}

/* Of a whole slot in memory, of a value that is all of what is stored. */
static bool may_wait(const Gen *g, const IrInsn *i)
{
    const IrInsn *v = &g->u->insn[i->a];
    return i->type == IRT_I64 && g->u->slots[i->imm].type == IRT_I64 && !g->slot_home[i->imm] && (v->type == IRT_I64 || (v->type == IRT_I32 && v->op != IR_CONST));
}

/* By slot: the last put, if it is behind the last one who saw all, and how many lookers there were before it. */
typedef struct Search { uint16_t put[256], before[256]; unsigned lookers, last, start, left; } Search;

static void look_at_put(Gen *g, Search *s, unsigned at, const IrInsn *i)
{
    unsigned slot = (unsigned)i->imm, put = s->put[slot], n = s->lookers - s->before[slot];
    if (put > s->start && i->type == g->u->slots[slot].type && n && n <= s->left) {
        IrInsn *v = &g->u->insn[g->u->insn[put].a];
        s->left -= n;
        g->late_until[put] = (uint16_t)s->last;
        g->late_real[put] = v->last;
        v->last = MAX(v->last, (uint16_t)(s->last + 1));
    }
    s->put[slot] = may_wait(g, i) ? (uint16_t)at : 0;
    s->before[slot] = (uint16_t)s->lookers;
}

void gen_find_late(Gen *g)
{
    IrUnit *u = g->u;
    Search s;
    g->n_waiting = g->n_late = g->late_list = g->late_list_n = 0;
    g->late = g->b->tier == 2 && g->ctx->config.direct;
    if (!g->late)
        return;
    memset(&s, 0, sizeof(s));
    s.left = MAX_LATE;
    memset(g->late_until, 0, u->n * sizeof(g->late_until[0]));
    for (unsigned at = 1; at < u->n; at++) {
        const IrInsn *i = &u->insn[at];
        if (i->op == IR_NOP || g->rep[at] != at)
            continue;
        if (i->op == IR_RPUT && !type_vec(i->type) && i->type != IRT_FL) {
            look_at_put(g, &s, at, i);
        } else if (branch(i) || i->op == IR_LD || i->op == IR_ST) {
            s.lookers += !gen_sure(g, at);
            s.last = gen_sure(g, at) ? s.last : at;
        } else if (i->op == IR_RGET) {
            s.put[i->imm] = 0;
        } else if (!blind(i)) {
            s.start = at;
        }
    }
}

/* The put number @n of those that wait does no longer. */
static void waits_not(Gen *g, unsigned n) { g->waiting[n] = g->waiting[--g->n_waiting]; }

bool gen_put_late(Gen *g, const IrInsn *i)
{
    if (!g->late)
        return false;
    for (unsigned n = g->n_waiting; n-- > 0;)
        if (g->late_until[g->waiting[n]] < g->at)
            waits_not(g, n);
    if (!g->late_until[g->at] || g->n_waiting == MAX_WAITING)
        return false;
    gen_materialise(g, i->a);
    gen_preserve_slot(g, (unsigned)i->imm, 0);
    g->waiting[g->n_waiting++] = (uint16_t)g->at;
    return true;
}

unsigned gen_waits(const Gen *g, IrVal v)
{
    for (unsigned n = 0; n < g->n_waiting; n++) {
        unsigned put = g->waiting[n];
        if (g->u->insn[put].a == v && g->late_until[put] >= g->at)
            return g->late_real[put];
    }
    return 0;
}

void gen_put_now(Gen *g, IrVal v, unsigned reg)
{
    for (unsigned n = g->n_waiting; n-- > 0;) {
        unsigned put = g->waiting[n], slot = (unsigned)g->u->insn[put].imm;
        if (g->u->insn[put].a != v || g->late_until[put] < g->at)
            continue;
        asm_store(&g->a, gen_slot_mem(g, slot), reg, true);
        gen_note_slot(g, slot, v);
        waits_not(g, n);
    }
}

/* ---- for those who may look ---- */
static bool same_list(const Gen *g, unsigned n)
{
    for (unsigned k = 0; n == g->late_list_n && k < n; k++) {
        const LatePut *a = &g->late_put[g->late_list + k], *b = &g->late_put[g->n_late + k];
        if (a->loc.kind != b->loc.kind || a->loc.reg != b->loc.reg || a->loc.n != b->loc.n || a->slot != b->slot || a->konst != b->konst)
            return false;
    }
    return n == g->late_list_n;
}

void gen_late_source(Gen *g, FlagSource *f)
{
    unsigned k = 0;
    for (unsigned n = 0; n < g->n_waiting; n++) {
        unsigned put = g->waiting[n];
        IrVal v = g->u->insn[put].a;
        if (g->late_until[put] < g->at)
            continue;
        if (g->n_late + k == MAX_LATE || g->loc[v].kind == L_NONE || g->loc[v].kind == L_ADDR) {
            GEN_FAIL(g);
            return;
        }
        g->late_put[g->n_late + k++] = (LatePut){ gen_place(g, v), (uint16_t)g->u->insn[put].imm, g->u->insn[v].imm };
    }
    if (!k)
        return;
    if (!same_list(g, k)) {
        g->late_list = g->n_late;
        g->late_list_n = k;
        g->n_late += k;
    }
    f->late = g->late_list;
    f->n_late = (uint16_t)k;
}

void gen_late_puts(Gen *g, const FlagSource *f)
{
    Mem keep = gen_env(g, offsetof(TcgEnv, save) + 8 * 6);
    const LatePut *p = &g->late_put[f->late];
    bool more = false;
    for (unsigned n = 0; n < f->n_late; n++) {
        bool in_reg = p[n].loc.kind == L_TEMP || p[n].loc.kind == L_HOME;
        if (in_reg)
            asm_store(&g->a, gen_slot_mem(g, p[n].slot), p[n].loc.reg, true);
        more |= !in_reg;
    }
    if (!more)
        return;
    asm_store(&g->a, keep, RAX, true);
    for (unsigned n = 0; n < f->n_late; n++) {
        if (p[n].loc.kind == L_TEMP || p[n].loc.kind == L_HOME)
            continue;
        gen_load_place(g, p[n].loc, p[n].konst, RAX);
        asm_store(&g->a, gen_slot_mem(g, p[n].slot), RAX, true);
    }
    asm_load(&g->a, RAX, keep, true);
}
