/* The loop over a unit's instructions, and leaving it. */
#include "tcg/guest/riscv/translate.h"

enum { DEFAULT_INSNS = 64, REGION_TURNS = 8, ROOM_INSNS = 256, ROOM_LABELS = 16, ROOM_COLD = 8 };

IrVal rv_call(RiscvTr *t, unsigned helper, IrVal a, IrVal b, IrVal c, IrVal d) { return ir_call(t->u, riscv_helpers, helper, a, b, c, d); }

IrVal rv_addr(RiscvTr *t, int n, int64_t imm)
{
    return ir_lea(t->u, IRT_I64, n ? rv_x(t, n) : 0, 0, 0, imm);
}

static unsigned cold_new(RiscvTr *t, RiscvColdKind kind, const RiscvArgs *a, int64_t to)
{
    unsigned label = ir_label_new(t->u);
    if (t->n_cold == RISCV_MAX_COLD) {
        t->u->overflow = true;
        return label;
    }
    t->cold[t->n_cold++] = (RiscvCold){ (uint16_t)label, (uint8_t)kind, (uint8_t)t->len, t->look, *a, t->off, to };
    return label;
}

unsigned rv_cold(RiscvTr *t, RiscvColdKind kind, const RiscvArgs *a)
{
    /* one of a kind does for all of an instruction's */
    if (t->n_cold > t->cold_before && t->cold[t->n_cold - 1].kind == kind)
        return t->cold[t->n_cold - 1].label;
    return cold_new(t, kind, a, t->next);
}

void rv_emit_raise(RiscvTr *t, uint64_t cause, IrVal tval)
{
    rv_call(t, RVH_raise, rv_k(t, (int64_t)cause), tval, 0, 0);
    ir_exit(t->u, TCG_LEAVE_GUEST);
    t->end = true;
}

void rv_leave_look(RiscvTr *t)
{
    ir_put(t->u, IRT_I64, RVS_PC, ir_pc(t->u, t->next));
    ir_exit(t->u, TCG_LEAVE_GUEST);
    t->end = true;
}

void rv_leave_after(RiscvTr *t, IrVal va)
{
    unsigned look = ir_label_new(t->u);
    if (va)
        ir_put(t->u, IRT_I64, RVS_PC, va);
    IrVal fl = ir_cmp(t->u, IRT_I64, ir_get(t->u, IRT_I64, RVS_TMP0), rv_k(t, RVA_LOOK));
    ir_brcond(t->u, IRC_E, fl, look);
    ir_jmp(t->u, va ? va : ir_get(t->u, IRT_I64, RVS_PC), IRJ_PLAIN);
    ir_label(t->u, look);
    ir_exit(t->u, TCG_LEAVE_GUEST);
    t->end = true;
}

void rv_leave_goto(RiscvTr *t, int64_t off)
{
    if (t->look) {
        ir_put(t->u, IRT_I64, RVS_PC, ir_pc(t->u, off));
        ir_exit(t->u, TCG_LEAVE_GUEST);
    } else {
        ir_goto(t->u, off);
    }
    t->end = true;
}

static const RiscvArgs none;

/* As tcg_region_go or tcg_region_branch has said. */
static void go(RiscvTr *t, TcgWay way, int64_t to)
{
    if (way == TCG_WAY_CHECK)
        ir_cross(t->u, cold_new(t, RISCV_COLD_CROSSED, &none, to));
    t->follow = to;
}

/* In a region: go on at the likely side of a branch. */
static bool follow(RiscvTr *t, int64_t to, IrCond cc, IrVal fl)
{
    if (!t->d->region || t->look)
        return false;
    TcgWay way = tcg_region_branch(t->d, t->off, t->next, to, fl);
    if (way == TCG_WAY_OUT)
        return false;
    if (way == TCG_WAY_NEXT) {
        ir_brcond(t->u, cc, fl, cold_new(t, RISCV_COLD_GOTO, &none, to));
        t->follow = t->next;
        return true;
    }
    if (fl)
        ir_brcond(t->u, cc ^ 1, fl, cold_new(t, RISCV_COLD_GOTO, &none, t->next));
    go(t, way, to);
    return true;
}

void rv_leave_branch(RiscvTr *t, int64_t to, IrCond cc, IrVal fl)
{
    if (follow(t, to, cc, fl))
        return;
    if (fl) {
        unsigned taken = ir_label_new(t->u);
        ir_brcond(t->u, cc, fl, taken);
        rv_leave_goto(t, t->next);
        ir_label(t->u, taken);
    }
    rv_leave_goto(t, to);
}

static bool is_link(int reg) { return reg == RISCV_RA || reg == 5; }

static TcgWay way_to(RiscvTr *t, int64_t to) { return t->d->region && !t->look ? tcg_region_go(t->d, t->off, t->next, to) : TCG_WAY_OUT; }

/* A jump or call by @rd, which was put, to @to. */
static void go_call(RiscvTr *t, TcgWay way, int rd, int64_t to)
{
    go(t, way, to);
    if (is_link(rd) && t->n_calls < RISCV_MAX_CALLS)
        t->call[t->n_calls++] = t->next;
}

static void put_link(RiscvTr *t, int rd)
{
    if (rd)
        rv_put_pc(t, rd, t->next);
}

void rv_leave_jal(RiscvTr *t, int rd, int64_t to)
{
    put_link(t, rd);
    if (!is_link(rd)) {
        rv_leave_branch(t, to, 0, 0);
        return;
    }
    TcgWay way = way_to(t, to);
    if (way == TCG_WAY_OUT)
        rv_leave_goto(t, to);
    else
        go_call(t, way, rd, to);
}

/* Whether @a is a return to behind the call that was followed last; that has returned. */
static bool returns(RiscvTr *t, const RiscvArgs *a, int64_t *ret_to)
{
    if (!is_link(a->rs1) || !t->n_calls)
        return false;
    *ret_to = t->call[--t->n_calls];
    return true;
}

void rv_leave_known(RiscvTr *t, const RiscvArgs *a, int64_t to)
{
    int64_t behind;
    TcgWay way = !a->rd && returns(t, a, &behind) ? way_to(t, to) : TCG_WAY_OUT;
    if (way == TCG_WAY_OUT)
        rv_leave_jal(t, a->rd, to);
    else
        go(t, way, to);
}

static IrVal jalr_target(RiscvTr *t, const RiscvArgs *a) { return ir_bin(t->u, IR_AND, IRT_I64, rv_addr(t, a->rs1, a->imm), rv_k(t, ~1ll)); }

static void leave_jalr(RiscvTr *t, const RiscvArgs *a, IrVal to)
{
    ir_jmp(t->u, to, is_link(a->rd) ? IRJ_CALL : is_link(a->rs1) ? IRJ_RET : IRJ_PLAIN);
    t->end = true;
}

/* It writes the register that it goes to: out of line that is gone. */
static bool forgets(const RiscvArgs *a) { return a->rd && a->rd == a->rs1; }

void rv_leave_jalr(RiscvTr *t, const RiscvArgs *a)
{
    int64_t to;
    TcgWay way = t->d->region && (returns(t, a, &to) || tcg_region_target(t->d, t->off, &to)) ? way_to(t, to) : TCG_WAY_OUT;
    if (way == TCG_WAY_OUT) {
        IrVal va = jalr_target(t, a);
        put_link(t, a->rd);
        leave_jalr(t, a, va);
        return;
    }
    IrVal base = rv_x(t, a->rs1);
    if (forgets(a))
        ir_put(t->u, IRT_I64, RVS_TMP0, jalr_target(t, a));
    put_link(t, a->rd);
    ir_brcond(t->u, IRC_NE, ir_cmp(t->u, IRT_I64, base, ir_pc(t->u, to - a->imm)), cold_new(t, RISCV_COLD_JALR, a, to));
    go_call(t, way, a->rd, to);
}

static void begin_insn(RiscvTr *t, int64_t off, unsigned len)
{
    t->off = off;
    t->len = len;
    t->next = off + len;
    t->follow = RISCV_NO_FOLLOW;
    t->cold_before = t->n_cold;
    t->end = t->look = false;
    ir_insn(t->u, off, len);
}

static uint32_t half(const uint8_t *p) { return p[0] | (uint32_t)p[1] << 8; }

/* Code at page offset @at; NULL: none of this unit's. A region may go straight on into the next page. */
static const uint8_t *code_at(RiscvTr *t, int64_t at, unsigned *ret_avail)
{
    TcgUnitDesc *d = t->d;
    *ret_avail = d->avail - (unsigned)(at - d->page_off);
    if (!d->region)
        return d->code + (at - d->page_off);
    const uint8_t *code = tcg_region_code(d, at, ret_avail);
    TcgWay way = !code && at == t->next ? tcg_region_go(d, t->off, at, at) : TCG_WAY_OUT;
    if (way == TCG_WAY_OUT)
        return code;
    go(t, way, at);
    return tcg_region_code(d, at, ret_avail);
}

/* The instruction at page offset @at and its length in t->insn, t->len; false: it does not fit and is not the first. */
static bool fetch(RiscvTr *t, int64_t at)
{
    TcgUnitDesc *d = t->d;
    unsigned avail;
    const uint8_t *code = code_at(t, at, &avail);
    if (!code || avail < 2)
        return false;
    t->insn = half(code);
    t->len = (t->insn & 3) == 3 ? 4 : 2;
    if (avail < t->len) {
        if (d->n_insns)
            return false;
        d->region = false;
        tcg_code_cross(d);
        code = d->code;
    }
    if (t->len == 4)
        t->insn |= half(code + 2) << 16;
    return !d->region || tcg_region_took(d, at, t->len);
}

/* Whether the CPU has the instruction's extension: for the life of the machine. */
static bool here(const RiscvTr *t, unsigned op)
{
    static const uint8_t bit[RISCV_EXTS] = { [RISCV_EXT_ZICOND] = RISCV_X_ZICOND, [RISCV_EXT_ZBA] = RISCV_X_ZBA, [RISCV_EXT_ZBB] = RISCV_X_ZBB,
                                             [RISCV_EXT_ZBC] = RISCV_X_ZBC, [RISCV_EXT_ZBS] = RISCV_X_ZBS };
    return !(((const RiscvState *)t->d->state)->ext_off & bit[riscv_op_info[op].ext]);
}

static void emit_one(RiscvTr *t)
{
    RiscvArgs a = { 0 };
    if (t->len == 2 ? riscv_decode16(t->insn, &a) : riscv_decode32(t->insn, &a)) {
        a.k = riscv_op_info[a.op].k;
        if (here(t, a.op) && riscv_op_info[a.op].emit(t, &a))
            return;
    }
    rv_emit_raise(t, RISCV_E_ILLEGAL, rv_k(t, t->insn));
}

static void emit_cold(RiscvTr *t)
{
    for (unsigned n = 0; n < t->n_cold; n++) {
        const RiscvCold *c = &t->cold[n];
        ir_label(t->u, c->label);
        begin_insn(t, c->off, c->len);
        t->look = c->look;
        if (c->kind == RISCV_COLD_CROSSED) {
            ir_goto_crossed(t->u, c->to);
            t->end = true;
        } else if (c->kind == RISCV_COLD_JALR) {
            leave_jalr(t, &c->a, forgets(&c->a) ? ir_get(t->u, IRT_I64, RVS_TMP0) : jalr_target(t, &c->a));
        } else if (c->kind == RISCV_COLD_FP) {
            rv_fp_slow(t, &c->a);
        } else if (c->kind == RISCV_COLD_NAN) {
            rv_fp_nan(t, &c->a);
        } else if (c->kind == RISCV_COLD_AFTER) {
            rv_leave_after(t, ir_pc(t->u, t->next));
        } else if (c->kind == RISCV_COLD_SC) {
            ir_put(t->u, IRT_I64, RVS_RES_ADDR, rv_k(t, -1));
            rv_put(t, c->a.rd, rv_k(t, 1));
        }
        if (!t->end)
            rv_leave_goto(t, c->to);
    }
}

static bool room_left(const RiscvTr *t)
{
    const IrUnit *u = t->u;
    return u->n < IR_MAX_INSNS - ROOM_INSNS - 16 * t->n_cold && u->n_labels < IR_MAX_LABELS - ROOM_LABELS && t->n_cold < RISCV_MAX_COLD - ROOM_COLD;
}

/* Where a unit goes on: in a region at its start again as long as there is room for another turn; else false. */
static bool next_place(RiscvTr *t, int64_t *io_at, unsigned *io_turns, unsigned max)
{
    TcgUnitDesc *d = t->d;
    *io_at = t->follow == RISCV_NO_FOLLOW ? t->next : t->follow;
    if (t->follow == RISCV_NO_FOLLOW || *io_at != d->page_off)
        return true;
    unsigned body = d->n_insns / ++*io_turns;
    return *io_turns < REGION_TURNS && d->n_insns + body <= max;
}

void riscv_translate(TcgUnitDesc *d)
{
    RiscvTr tr, *t = &tr;
    tr.d = d;
    tr.u = d->u;
    tr.mode = d->mode;
    tr.boxed = tr.known = 0;
    tr.n_cold = tr.n_calls = 0;
    tr.off = tr.next = d->page_off;
    tr.end = tr.look = false;
    unsigned max = d->max_insns ? d->max_insns : DEFAULT_INSNS, turns = 0;
    d->region &= max > 1;
    d->n_insns = d->len = 0;
    int64_t at = d->page_off;
    while (!t->end && d->n_insns < max && room_left(t) && (d->region || at < TCG_PAGE_SIZE) && fetch(t, at)) {
        /* What begins in this page and ends in the next is a unit of its own, so that only such units depend on two pages. */
        if (d->n_insns && !d->region && at + t->len > TCG_PAGE_SIZE)
            break;
        begin_insn(t, at, t->len);
        emit_one(t);
        d->len = (unsigned)MAX((int64_t)d->len, t->next - d->page_off);
        d->n_insns++;
        if (t->look && !t->end)
            rv_leave_look(t);
        if (!next_place(t, &at, &turns, max) || (d->end_at_store && ir_may_write(t->u)))
            break;
    }
    if (!t->end)
        rv_leave_goto(t, at);
    emit_cold(t);
}
