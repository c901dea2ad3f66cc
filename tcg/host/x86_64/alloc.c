/* Where values live: one forward walk, decisions at the moment of need, helped by the last uses and hints of pass/live.c. */
#include "tcg/host/x86_64/gen.h"

Mem gen_env(const Gen *g, size_t off) { return mem_bd(RBP, g->env + (int32_t)off); }

Mem gen_slot_mem(const Gen *g, unsigned slot) { return mem_bd(RBP, (int32_t)g->u->slots[slot].offset - STATE_BIAS); }

Mem gen_vconst_mem(const Gen *g, IrVal v, unsigned tail) { return mem_rip(g->vconst + 16 * g->u->insn[v].imm, tail); }

bool gen_live_after(const Gen *g, IrVal v) { return g->u->insn[v].last > g->at; }

/* Results of these arrive zero-extended in 64 bits, because the host writes 32-bit registers that way. */
static bool zero_extends(const Gen *g, IrVal v, IrType from)
{
    const IrInsn *i = &g->u->insn[v];
    if (i->type != from)
        return false;
    if (i->op == IR_LD)
        return !(i->mem & IRM_SIGN) || from == IRT_I32;
    if (i->op == IR_RGET)
        return !g->slot_home[i->imm];
    if (from != IRT_I32)
        return false;
    switch (i->op) {
    case IR_ADD: case IR_SUB: case IR_ADC: case IR_ADX: case IR_SBB: case IR_AND: case IR_OR: case IR_XOR: case IR_ANDN: case IR_NEG: case IR_NOT:
    case IR_SHL: case IR_SHR: case IR_SAR: case IR_ROL: case IR_ROR: case IR_MUL: case IR_MULU: case IR_MULS: case IR_HI:
    case IR_BSWAP: case IR_CLZ: case IR_CTZ: case IR_POPCNT: case IR_LEA: case IR_SELECT: case IR_ZEXT: case IR_SEXT: case IR_EXTRACT:
    case IR_PDEP: case IR_PEXT: case IR_BZHI: case IR_BLS:
        return true;
    default:
        return false;
    }
}

static IrVal alias_of(const Gen *g, unsigned at)
{
    const IrInsn *i = &g->u->insn[at];
    switch (i->op) {
    case IR_TRUNC:
        return i->a;
    case IR_ZEXT:
        if (i->type < IRT_I32 || i->type > IRT_I64)
            return 0;          /* of a narrower one: its extension to aux was none either */
        return g->u->insn[i->a].type < i->aux || zero_extends(g, i->a, i->aux) ? i->a : 0;
    case IR_FLMERGE:
        return !i->a ? i->b : !i->b ? i->a : 0;
    default:
        return 0;
    }
}

/* The same for every unit of a guest. */
static void setup_homes(Gen *g)
{
    if (g->homes_of == g->u->slots)
        return;
    g->homes_of = g->u->slots;
    memset(g->slot_home, 0, sizeof(g->slot_home));
    memset(g->slot_xhome, 0, sizeof(g->slot_xhome));
    for (unsigned s = 0; s < g->u->n_slots; s++) {
        unsigned rank = g->u->slots[s].rank;
        if (type_vec(g->u->slots[s].type)) {
            if (rank && rank <= N_XHOMES) {
                g->slot_xhome[s] = (uint8_t)rank;
                g->xhome_slot[rank - 1] = (uint8_t)s;
            }
        } else if (rank && rank <= N_HOMES) {
            g->slot_home[s] = home_reg[rank - 1] + 1;
            g->home_slot[home_reg[rank - 1]] = (uint8_t)s;
        }
    }
}

/* Needs no place to be kept. */
static bool made_anew(const Gen *g, IrVal v) { return g->u->insn[v].op == IR_CONST || g->u->insn[v].op == IR_PC; }

/* An address is computed where it is used, or not at all: its operands have to live as long. */
static bool deferred(const Gen *g, const IrInsn *i)
{
    return i->op == IR_LEA && i->type == IRT_I64 && i->a && !i->hint && i->uses && !made_anew(g, i->b) && i->imm == (int32_t)i->imm &&
           i->imm > -(1 << 30) && i->imm < 1 << 30;
}

static void defer_leas(Gen *g)
{
    IrInsn *insn = g->u->insn;
    uint16_t *until = g->lea_until;    /* from here on it is in a register: somebody wanted more than to access memory there */
    memset(until, 0, g->u->n * sizeof(until[0]));
    for (unsigned at = g->u->n - 1; at > 0; at--) {
        const IrInsn *i = &insn[at];
        if (g->rep[at] != at || i->op == IR_NOP)
            continue;
        if (deferred(g, i)) {
            unsigned last = until[at] && until[at] < i->last ? until[at] : i->last;
            if (insn[i->a].last < last)
                insn[i->a].last = (uint16_t)last;
            if (i->b && insn[i->b].last < last)
                insn[i->b].last = (uint16_t)last;
        } else if (i->op == IR_RPUT && i->type == IRT_I64) {
            until[i->a] = (uint16_t)at;
        }
    }
}

bool gen_defer_lea(Gen *g, const IrInsn *i)
{
    if (!deferred(g, i))
        return false;
    g->loc[g->at] = (Loc){ L_ADDR, 0, 0 };
    return true;
}

void gen_setup(Gen *g)
{
    IrUnit *u = g->u;
    setup_homes(g);
    memset(g->reg_val, 0, sizeof(g->reg_val));
    memset(g->xmm_val, 0, sizeof(g->xmm_val));
    memset(g->n_alias, 0, u->n_slots);
    memset(g->slot_version, 0, sizeof(g->slot_version));
    g->xlive = false;
    memset(g->upper_zero, 0, u->n);
    g->locked = g->xlocked = 0;
    g->spill_used = g->vspill_used = 0;
    g->fl_cur = 0;
    g->rep[0] = 0;
    g->max_off = 0;
    for (unsigned at = 1; at < u->n; at++) {
        IrInsn *i = &u->insn[at];
        if (i->op == IR_INSN && i->imm > g->max_off)
            g->max_off = i->imm;
        i->a = g->rep[i->a];
        i->b = g->rep[i->b];
        i->c = g->rep[i->c];
        i->d = g->rep[i->d];
        g->loc[at] = (Loc){ 0 };
        g->in_slot[at].slot = 0;
        IrVal r = i->op == IR_NOP ? 0 : alias_of(g, at);
        g->rep[at] = r ? r : (uint16_t)at;
        if (r && i->last > u->insn[r].last)
            u->insn[r].last = i->last;
        if (r)
            u->insn[r].uses += i->uses;
    }
    gen_find_groups(g);
    gen_drop_puts(g);
    gen_defer_flags(g);
    gen_find_late(g);
    defer_leas(g);
}

static void alias_drop(Gen *g, unsigned slot, IrVal v)
{
    for (unsigned n = 0; n < g->n_alias[slot]; n++)
        if (g->alias[slot][n] == v) {
            g->alias[slot][n] = g->alias[slot][--g->n_alias[slot]];
            return;
        }
}

/* Where @v was spilled to before: a value never changes, so that its copy there holds as long as it is needed. -1: nowhere. */
static int spilled_at(const Gen *g, IrVal v)
{
    for (uint64_t used = g->spill_used; used; used &= used - 1) {
        int n = __builtin_ctzll(used);
        if (g->spill_val[n] == v)
            return n;
    }
    return -1;
}

/* Places of values that died in a register. */
static void free_spill_places(Gen *g)
{
    for (unsigned n = 0; n < SPILL_PLACES; n++)
        if (g->spill_used >> n & 1 && g->u->insn[g->spill_val[n]].last < g->at)
            g->spill_used &= ~(1ull << n);
}

static int spill_place(Gen *g, IrVal v)
{
    if (g->spill_used == (1ull << SPILL_PLACES) - 1)
        free_spill_places(g);
    unsigned n = g->spill_used == ~0ull ? 64 : (unsigned)__builtin_ctzll(~g->spill_used);
    if (n >= SPILL_PLACES) {
        GEN_FAIL(g);
        return 0;
    }
    g->spill_used |= 1ull << n;
    g->spill_val[n] = v;
    return (int)n;
}

Mem gen_spill_mem(const Gen *g, unsigned n) { return gen_env(g, offsetof(TcgEnv, spill) + 8 * n); }

void gen_note_slot(Gen *g, unsigned slot, IrVal v)
{
    g->in_slot[v].slot = (uint16_t)(slot + 1);
    g->in_slot[v].version = g->slot_version[slot];
}

void gen_slots_change(Gen *g)
{
    for (unsigned s = 0; s < g->u->n_slots; s++)
        g->slot_version[s]++;
}

/* A slot holds @v anyway. */
static bool slot_holds(const Gen *g, IrVal v)
{
    unsigned slot = g->in_slot[v].slot - 1u;
    return g->in_slot[v].slot && g->in_slot[v].version == g->slot_version[slot] && g->n_alias[slot] != MAX_ALIAS;
}

/* @v's place is that slot. */
static bool back_to_slot(Gen *g, IrVal v)
{
    unsigned slot = g->in_slot[v].slot - 1u;
    if (!slot_holds(g, v))
        return false;
    g->loc[v] = (Loc){ L_SLOT, 0, (uint16_t)slot };
    gen_alias_add(g, slot, v);
    return true;
}

/* Move the value in temporary @reg out to memory. */
static void spill(Gen *g, unsigned reg)
{
    IrVal v = g->reg_val[reg];
    g->reg_val[reg] = 0;
    if (!v || g->u->insn[v].last < g->at)
        return;
    if (made_anew(g, v)) {
        g->loc[v] = (Loc){ g->u->insn[v].op == IR_PC ? L_PC : L_CONST, 0, 0 };
        return;
    }
    gen_put_now(g, v, reg);
    if (back_to_slot(g, v))
        return;
    int n = spilled_at(g, v);
    if (n < 0) {
        n = spill_place(g, v);
        asm_store(&g->a, gen_spill_mem(g, (unsigned)n), reg, true);
    }
    g->loc[v] = (Loc){ L_SPILL, 0, (uint16_t)n };
}

static unsigned last_of(const Gen *g, IrVal v) { return g->u->insn[v].last; }

/* Which of two values shall leave its register: one that need not be stored, else the one that is used for longer. */
static bool rather(const Gen *g, IrVal v, IrVal than)
{
    unsigned wait_v = gen_waits(g, v), wait_than = gen_waits(g, than);     /* stored once in any case */
    bool free_v = wait_v || made_anew(g, v) || slot_holds(g, v), free_than = wait_than || made_anew(g, than) || slot_holds(g, than);
    bool over_v = wait_v && wait_v < g->at, over_than = wait_than && wait_than < g->at;
    if (free_v != free_than || over_v != over_than)
        return free_v != free_than ? free_v : over_v;
    return (wait_v ? wait_v : last_of(g, v)) > (wait_than ? wait_than : last_of(g, than));
}

unsigned gen_tmp(Gen *g)
{
    static const uint8_t order[] = { RDX, RCX, RSI, RAX };
    int best = -1;
    for (unsigned n = 0; n < 4; n++) {
        unsigned r = order[n];
        if (g->locked >> r & 1)
            continue;
        if (g->reg_val[r] && last_of(g, g->reg_val[r]) < g->at)
            g->reg_val[r] = 0; /* an operand of a deferred address, dead since */
        if (!g->reg_val[r]) {
            g->locked |= 1u << r;
            return r;
        }
        if (best < 0 || rather(g, g->reg_val[r], g->reg_val[best]))
            best = (int)r;
    }
    if (best < 0) {
        GEN_FAIL(g);
        return RAX;
    }
    spill(g, (unsigned)best);
    g->locked |= 1u << best;
    return (unsigned)best;
}

void gen_take(Gen *g, unsigned reg)
{
    IrVal v = g->reg_val[reg];
    if (!v) {
        g->locked |= 1u << reg;
        return;
    }
    bool was_locked = g->locked >> reg & 1;
    g->locked |= 1u << reg;
    for (unsigned r = RAX; r <= RSI; r++)
        if ((TEMPS >> r & 1) && !(g->locked >> r & 1) && !g->reg_val[r]) {
            asm_mov_rr(&g->a, r, reg, true);
            g->reg_val[r] = v;
            g->reg_val[reg] = 0;
            g->loc[v] = (Loc){ L_TEMP, (uint8_t)r, 0 };
            if (was_locked)
                g->locked |= 1u << r;
            return;
        }
    spill(g, reg);
}

void gen_unlock(Gen *g) { g->locked = g->xlocked = 0; }

static void load_narrow(Gen *g, unsigned reg, Mem m, unsigned bytes)
{
    if (bytes == 1)
        asm_rm(&g->a, 0xb6 | M_0F, reg, m);
    else if (bytes == 2)
        asm_rm(&g->a, 0xb7 | M_0F, reg, m);
    else
        asm_load(&g->a, reg, m, bytes == 8);
}

/* Copy v's value from wherever it is into reg; its location stays. */
static void load_value(Gen *g, IrVal v, unsigned reg)
{
    Loc l = g->loc[v];
    switch (l.kind) {
    case L_CONST: asm_mov_imm(&g->a, reg, g->u->insn[v].imm); break;
    case L_PC: gen_pc_into(g, g->u->insn[v].imm, reg); break;
    case L_HOME: case L_TEMP:
        if (l.reg != reg)
            asm_mov_rr(&g->a, reg, l.reg, true);
        break;
    case L_SPILL: asm_load(&g->a, reg, gen_spill_mem(g, l.n), true); break;
    case L_SLOT: load_narrow(g, reg, gen_slot_mem(g, l.n), g->u->insn[v].type == IRT_FL ? 2 : type_bytes(g->u->insn[v].type)); break;
    case L_ADDR: asm_lea(&g->a, reg, gen_addr_mem(g, v), true); break;
    default: GEN_FAIL(g); break;
    }
}

Mem gen_addr_mem(Gen *g, IrVal v)
{
    if (g->loc[v].kind != L_ADDR)
        return mem_bd(gen_reg(g, v), 0);
    const IrInsn *i = &g->u->insn[v];
    IrVal a = i->a, b = i->b;
    unsigned scale = i->aux;
    int64_t disp = i->imm;
    while (g->loc[a].kind == L_ADDR) {
        i = &g->u->insn[a];
        if ((i->b && b) || disp + i->imm <= -(1 << 30) || disp + i->imm >= 1 << 30)
            break;
        disp += i->imm;
        if (i->b) {
            b = i->b;
            scale = i->aux;
        }
        a = i->a;
    }
    unsigned ra = gen_reg(g, a);
    return b ? mem_bid(ra, gen_reg(g, b), scale, (int32_t)disp) : mem_bd(ra, (int32_t)disp);
}

/* Before all temporaries are taken. */
void gen_materialise(Gen *g, IrVal v)
{
    uint32_t locked = g->locked;
    if (v && g->loc[v].kind == L_ADDR)
        gen_reg(g, v);
    g->locked = locked;
}

Loc gen_place(const Gen *g, IrVal v)
{
    Loc l = g->loc[v];
    if (l.kind == L_SLOT)
        l.reg = (uint8_t)type_bytes(g->u->insn[v].type);
    return l;
}

void gen_load_place(Gen *g, Loc l, int64_t konst, unsigned reg)
{
    switch (l.kind) {
    case L_CONST: asm_mov_imm(&g->a, reg, konst); break;
    case L_PC: gen_pc_into(g, konst, reg); break;
    case L_HOME: case L_TEMP: asm_mov_rr(&g->a, reg, l.reg, true); break;
    case L_SPILL: asm_load(&g->a, reg, gen_spill_mem(g, l.n), true); break;
    case L_SLOT: load_narrow(g, reg, gen_slot_mem(g, l.n), l.reg); break;
    default: GEN_FAIL(g); break;
    }
}

Addr gen_addr(Gen *g, IrVal v)
{
    Addr r = { .base = gen_place(g, v), .base_const = g->u->insn[v].imm };
    while (r.base.kind == L_ADDR) {
        const IrInsn *i = &g->u->insn[v];
        int64_t disp = r.disp + i->imm;
        if ((i->b && r.index.kind) || disp != (int32_t)disp) {
            gen_reg(g, v);
            r.base = gen_place(g, v);
            break;
        }
        if (i->b) {
            if (g->loc[i->b].kind == L_ADDR)
                gen_reg(g, i->b);
            r.index = gen_place(g, i->b);
            r.scale = i->aux;
        }
        r.disp = (int32_t)disp;
        v = i->a;
        r.base = gen_place(g, v);
        r.base_const = g->u->insn[v].imm;
    }
    return r;
}

static void leave_place(Gen *g, IrVal v)
{
    Loc l = g->loc[v];
    if (l.kind == L_TEMP && g->reg_val[l.reg] == v)
        g->reg_val[l.reg] = 0;
    if (l.kind == L_SPILL)
        g->spill_used &= ~(1ull << l.n);
    if (l.kind == L_SLOT || l.kind == L_HOME || l.kind == L_XHOME)
        alias_drop(g, l.n, v);
    if (l.kind == L_XMM && g->xmm_val[l.reg] == v)
        g->xmm_val[l.reg] = 0;
    if (l.kind == L_VSPILL)
        g->vspill_used &= ~(1u << l.n);
}

unsigned gen_reg(Gen *g, IrVal v)
{
    Loc l = g->loc[v];
    if (l.kind == L_HOME)
        return l.reg;
    if (l.kind == L_TEMP) {
        g->locked |= 1u << l.reg;
        return l.reg;
    }
    uint32_t locked = g->locked;
    if (l.kind == L_ADDR) {
        Mem m = gen_addr_mem(g, v);
        unsigned r = gen_tmp(g);
        asm_lea(&g->a, r, m, true);
        g->locked = locked | 1u << r;
        g->loc[v] = (Loc){ L_TEMP, (uint8_t)r, 0 };
        g->reg_val[r] = v;
        return r;
    }
    unsigned r = gen_tmp(g);
    load_value(g, v, r);
    if (l.kind != L_SPILL)
        leave_place(g, v);
    g->loc[v] = (Loc){ L_TEMP, (uint8_t)r, 0 };
    g->reg_val[r] = v;
    return r;
}

void gen_reg_into(Gen *g, IrVal v, unsigned reg, unsigned bytes)
{
    if (g->loc[v].kind == L_HOME || g->loc[v].kind == L_TEMP) {
        if (g->loc[v].reg != reg)
            asm_mov_rr(&g->a, reg, g->loc[v].reg, bytes == 8);
        return;
    }
    load_value(g, v, reg);
}

bool gen_imm32(Gen *g, IrVal v, int32_t *ret)
{
    const IrInsn *i = &g->u->insn[v];
    if (i->op != IR_CONST || i->imm != (int32_t)i->imm)
        return false;
    *ret = (int32_t)i->imm;
    return true;
}

bool gen_in_mem(Gen *g, IrVal v, Mem *ret)
{
    Loc l = g->loc[v];
    if (l.kind == L_SPILL)
        *ret = gen_spill_mem(g, l.n);
    else if (l.kind == L_SLOT && type_bytes(g->u->insn[v].type) == 8)
        *ret = gen_slot_mem(g, l.n);
    else
        return false;
    return true;
}

/* A home may be written ahead of its RPUT if nobody needs its old content after this instruction. */
static int hint_home(const Gen *g)
{
    unsigned hint = g->u->insn[g->at].hint;
    if (!hint || hint & IR_HINT_LOW || !g->slot_home[hint - 1])
        return -1;
    for (unsigned n = 0; n < g->n_alias[hint - 1]; n++)
        if (gen_live_after(g, g->alias[hint - 1][n]))
            return -1;
    return g->slot_home[hint - 1] - 1;
}

unsigned gen_dst(Gen *g, IrVal prefer)
{
    int home = hint_home(g);
    if (home >= 0)
        return (unsigned)home;
    if (prefer && g->loc[prefer].kind == L_TEMP && !gen_live_after(g, prefer)) {
        g->locked |= 1u << g->loc[prefer].reg;
        return g->loc[prefer].reg;
    }
    return gen_tmp(g);
}

void gen_alias_add(Gen *g, unsigned slot, IrVal v)
{
    if (g->n_alias[slot] == MAX_ALIAS) {
        unsigned keep = 0;
        for (unsigned n = 0; n < MAX_ALIAS; n++)
            if (g->u->insn[g->alias[slot][n]].last >= g->at)
                g->alias[slot][keep++] = g->alias[slot][n];
        g->n_alias[slot] = (uint8_t)keep;
    }
    if (g->n_alias[slot] == MAX_ALIAS) {
        GEN_FAIL(g);
        return;
    }
    g->alias[slot][g->n_alias[slot]++] = v;
}

void gen_def_val(Gen *g, IrVal v, unsigned reg)
{
    if (!(TEMPS >> reg & 1)) {
        unsigned slot = g->home_slot[reg];
        g->n_alias[slot] = 0;  /* hint_home saw to it that the old ones are dead */
        g->loc[v] = (Loc){ L_HOME, (uint8_t)reg, (uint16_t)slot };
        gen_alias_add(g, slot, v);
        return;
    }
    IrVal old = g->reg_val[reg];
    if (old && old != v && g->loc[old].kind == L_TEMP && g->loc[old].reg == reg)
        g->loc[old].kind = L_NONE;
    if (!g->u->insn[v].uses) {
        g->reg_val[reg] = 0;
        return;
    }
    g->loc[v] = (Loc){ L_TEMP, (uint8_t)reg, 0 };
    g->reg_val[reg] = v;
}

void gen_def(Gen *g, unsigned reg) { gen_def_val(g, (IrVal)g->at, reg); }

void gen_free_if_dead(Gen *g, IrVal v)
{
    if (!v || g->u->insn[v].last > g->at)
        return;
    bool addr = g->loc[v].kind == L_ADDR;
    int copy = g->loc[v].kind == L_TEMP ? spilled_at(g, v) : -1;
    if (copy >= 0)
        g->spill_used &= ~(1ull << copy);
    leave_place(g, v);
    g->loc[v].kind = L_NONE;
    if (g->fl_cur == v)
        g->fl_cur = 0;
    if (addr) {
        gen_free_if_dead(g, g->u->insn[v].a);
        gen_free_if_dead(g, g->u->insn[v].b);
    }
}

void gen_free_group(Gen *g)
{
    unsigned n = g->group_of[g->at];
    if (n)
        gen_free_if_dead(g, g->group[n - 1].val);
}

void gen_free_dead(Gen *g)
{
    const IrInsn *i = &g->u->insn[g->at];
    gen_free_if_dead(g, i->a);
    gen_free_if_dead(g, i->b);
    gen_free_if_dead(g, i->c);
    gen_free_if_dead(g, i->d);
}

/* The slot is about to change: give values that name its present content a place of their own. */
/* @operands: the instruction's own operands are still to be read, so a value whose last use is here stays where it is. */
static void preserve_slot(Gen *g, unsigned slot, IrVal except, bool operands)
{
    unsigned first = 0;
    g->slot_version[slot]++;
    for (unsigned n = 0; n < g->n_alias[slot]; n++) {
        IrVal v = g->alias[slot][n];
        Loc l = g->loc[v];
        if ((l.kind != L_SLOT && l.kind != L_HOME && l.kind != L_XHOME) || l.n != slot)
            continue;          /* a second place of a value that has another */
        if (v == except || (operands && g->u->insn[v].last == g->at)) {
            g->alias[slot][first++] = v;
            continue;
        }
        if (g->u->insn[v].last <= g->at) {
            if (l.kind == L_SLOT || l.kind == L_HOME || l.kind == L_XHOME)
                g->loc[v].kind = L_NONE;
            continue;
        }
        if (type_vec(g->u->insn[v].type)) {
            unsigned x = gen_xtmp(g), mov = 0x6f | M_0F | P_F3 | (g->u->insn[v].type == IRT_V256 ? O_L : 0);
            if (l.kind == L_XHOME)
                gen_xensure(g);
            if (l.kind == L_XHOME)
                asm_vrr(&g->a, mov, x, NOREG, l.reg);
            else
                asm_vrm(&g->a, mov, x, NOREG, gen_slot_mem(g, slot));
            g->upper_zero[v] = l.kind == L_XHOME;
            g->loc[v] = (Loc){ L_XMM, (uint8_t)x, 0 };
            g->xmm_val[x] = v;
            continue;
        }
        if (l.kind == L_HOME && gen_waits(g, v) && gen_waits(g, v) < g->at) {
            gen_put_now(g, v, l.reg);
            g->loc[v].kind = L_NONE;
            continue;
        }
        unsigned r = gen_tmp(g);
        load_value(g, v, r);
        g->loc[v] = (Loc){ L_TEMP, (uint8_t)r, 0 };
        g->reg_val[r] = v;
        g->locked &= ~(1u << r);
    }
    g->n_alias[slot] = (uint8_t)first;
}

void gen_preserve_slot(Gen *g, unsigned slot, IrVal except) { preserve_slot(g, slot, except, false); }

void gen_preserve_all(Gen *g)
{
    gen_slots_change(g);
    for (unsigned s = 0; s < g->u->n_slots; s++)
        if (g->n_alias[s])
            preserve_slot(g, s, 0, true);
}

void gen_spill_temps(Gen *g)
{
    for (unsigned r = RAX; r <= RSI; r++)
        if (TEMPS >> r & 1 && g->reg_val[r])
            spill(g, r);
}

/* ---- vectors ---- */
static void xspill(Gen *g, unsigned x)
{
    IrVal v = g->xmm_val[x];
    g->xmm_val[x] = 0;
    if (!v || g->u->insn[v].last < g->at)
        return;
    if (g->u->insn[v].op == IR_VCONST) {
        g->loc[v] = (Loc){ L_VCONST, 0, 0 };
        return;
    }
    unsigned n = (unsigned)__builtin_ctz(~g->vspill_used | 1u << 15);
    if (n >= 15) {             /* the last place carries operands of slow paths */
        GEN_FAIL(g);
        return;
    }
    g->vspill_used |= 1u << n;
    asm_vrm(&g->a, 0x7f | M_0F | P_F3 | (g->u->insn[v].type == IRT_V256 ? O_L : 0), x, NOREG, gen_env(g, offsetof(TcgEnv, vspill) + 32 * n));
    g->loc[v] = (Loc){ L_VSPILL, 0, (uint16_t)n };
}

void gen_spill_vectors(Gen *g)
{
    for (unsigned x = N_XHOMES; x < 16; x++)
        if (g->xmm_val[x])
            xspill(g, x);
}

unsigned gen_xtmp(Gen *g)
{
    int best = -1;
    for (unsigned x = N_XHOMES; x < 16; x++) {
        if (g->xlocked >> x & 1)
            continue;
        if (!g->xmm_val[x]) {
            g->xlocked |= 1u << x;
            return x;
        }
        if (best < 0 || g->u->insn[g->xmm_val[x]].last > g->u->insn[g->xmm_val[best]].last)
            best = (int)x;
    }
    if (best < 0) {
        GEN_FAIL(g);
        return N_XHOMES;
    }
    xspill(g, (unsigned)best);
    g->xlocked |= 1u << best;
    return (unsigned)best;
}

unsigned gen_xreg(Gen *g, IrVal v)
{
    Loc l = g->loc[v];
    IrType t = g->u->insn[v].type;
    if (l.kind == L_XHOME) {
        gen_xensure(g);
        return l.reg;
    }
    if (l.kind == L_XMM) {
        g->xlocked |= 1u << l.reg;
        return l.reg;
    }
    unsigned x = gen_xtmp(g);
    Mem m = l.kind == L_VCONST ? gen_vconst_mem(g, v, 0) : l.kind == L_SLOT ? gen_slot_mem(g, l.n) : gen_env(g, offsetof(TcgEnv, vspill) + 32 * l.n);
    if (t == IRT_V64)
        asm_vrm(&g->a, 0x7e | M_0F | P_F3, x, NOREG, m);      /* vmovq */
    else
        asm_vrm(&g->a, 0x6f | M_0F | P_F3 | (t == IRT_V256 ? O_L : 0), x, NOREG, m);
    if (l.kind != L_SLOT && l.kind != L_VSPILL && l.kind != L_VCONST)
        GEN_FAIL(g);
    leave_place(g, v);
    g->loc[v] = (Loc){ L_XMM, (uint8_t)x, 0 };
    g->xmm_val[x] = v;
    g->upper_zero[v] = 1;
    return x;
}

void gen_xdef(Gen *g, unsigned xmm, bool upper_zero)
{
    IrVal v = (IrVal)g->at, old = g->xmm_val[xmm];
    g->upper_zero[v] = upper_zero;
    if (xmm < N_XHOMES) {
        unsigned slot = g->xhome_slot[xmm];
        g->n_alias[slot] = 0;  /* gen_xhint saw to it that the old ones are dead */
        g->loc[v] = (Loc){ L_XHOME, (uint8_t)xmm, (uint16_t)slot };
        gen_alias_add(g, slot, v);
        return;
    }
    if (old && old != v && g->loc[old].kind == L_XMM && g->loc[old].reg == xmm)
        g->loc[old].kind = L_NONE;
    g->xmm_val[xmm] = g->u->insn[v].uses ? v : 0;
    g->loc[v] = (Loc){ L_XMM, (uint8_t)xmm, 0 };
}

int gen_xhint(const Gen *g, bool low)
{
    unsigned hint = g->u->insn[g->at].hint, slot = (hint & ~(unsigned)IR_HINT_LOW) - 1;
    if (!hint || !!(hint & IR_HINT_LOW) != low || !g->slot_xhome[slot])
        return -1;
    for (unsigned n = 0; n < g->n_alias[slot]; n++) {
        Loc l = g->loc[g->alias[slot][n]];
        if (gen_live_after(g, g->alias[slot][n]) && l.kind == L_XHOME && l.n == slot)
            return -1;
    }
    return g->slot_xhome[slot] - 1;
}

unsigned gen_xdst(Gen *g)
{
    int home = gen_xhint(g, false);
    return home >= 0 ? (unsigned)home : gen_xtmp(g);
}

/* The low part of @home is v. */
bool gen_in_xhome(Gen *g, IrVal v, unsigned home)
{
    unsigned slot = g->xhome_slot[home];
    bool in = g->loc[v].kind == L_XHOME && g->loc[v].reg == home;
    for (unsigned n = 0; n < g->n_alias[slot]; n++)
        in |= g->alias[slot][n] == v;
    if (in)
        gen_xensure(g);
    return in;
}

bool gen_uses_xhome(const Gen *g, const IrInsn *i)
{
    unsigned hint = i->hint & ~(unsigned)IR_HINT_LOW;
    return ((i->op == IR_RGET || i->op == IR_RPUT) && g->slot_xhome[i->imm]) || (hint && g->slot_xhome[hint - 1]);
}

void gen_xensure(Gen *g)
{
    if (g->xlive)
        return;
    gen_clobber_flags(g);
    g->xlive = true;
    asm_alu_mi(&g->a, 7, ENV(g, vec_live), 0, 4);
    a8(&g->a, 0x75);           /* jne over the call */
    a8(&g->a, 5);
    a8(&g->a, 0xe8);
    a32(&g->a, 0);
    asm_patch_to(&g->a, g->a.p, (uint8_t *)g->ctx->thunks[THUNK_VLOAD] + (g->ctx->rw - g->ctx->rx));
}
