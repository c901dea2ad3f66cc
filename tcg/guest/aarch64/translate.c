/* The loop over a unit's instructions, and leaving it. */
#include "tcg/guest/aarch64/translate.h"

#include <string.h>

enum { DEFAULT_INSNS = 64, DEBUG_INSNS = 16, REGION_TURNS = 8, ROOM_INSNS = 400, ROOM_LABELS = 24, ROOM_COLD = 16, INSN = 4 };

IrVal a64_call(A64Tr *t, unsigned helper, IrVal a, IrVal b, IrVal c, IrVal d) { return ir_call(t->u, a64_helpers, helper, a, b, c, d); }

void a64_label(A64Tr *t, unsigned label)
{
    ir_label(t->u, label);
    t->raw_kind = A64FL_NONE;
    t->raw = t->rbit = 0;
    t->zero64 = t->zero32 = 0;
    t->link = A64_NO_FOLLOW;
    memset(t->fz_known, 0, sizeof(t->fz_known));
    t->aes_out = t->sha_wk = 0;
}

/* It goes on at page offset @to. @fn NULL: at once. */
static unsigned cold_add(A64Tr *t, A64ColdFn *fn, const A64Args *a, int64_t to)
{
    for (unsigned n = t->n_cold; n-- > 0 && t->cold[n].off == t->off;)
        if (t->cold[n].fn == fn && t->cold[n].to == to && !t->cold[n].crossed)
            return t->cold[n].label;
    unsigned label = ir_label_new(t->u);
    if (t->n_cold == A64_MAX_COLD) {
        t->u->overflow = true;
        return label;
    }
    t->cold[t->n_cold++] = (A64Cold){ (uint16_t)label, false, fn, a ? *a : (A64Args){ 0 }, t->off, to };
    return label;
}

static unsigned cold_crossed(A64Tr *t, int64_t to)
{
    unsigned label = cold_add(t, NULL, NULL, to), n = t->n_cold;
    if (n && t->cold[n - 1].label == label)
        t->cold[n - 1].crossed = true;
    return label;
}

unsigned a64_cold(A64Tr *t, A64ColdFn *fn, const A64Args *a) { return cold_add(t, fn, a, t->next); }

void a64_emit_raise(A64Tr *t, unsigned ec, uint32_t iss)
{
    a64_call(t, A64H_raise, a64_k(t, ec), a64_k(t, iss), a64_k(t, 0), 0);
    ir_exit(t->u, TCG_LEAVE_GUEST);
    t->end = true;
}

bool a64_fp_trapped(A64Tr *t)
{
    if (t->mode & A64M_FP)
        return false;
    a64_emit_raise(t, A64_EC_FP, 0x1e00000);     /* CV 1, COND always */
    return true;
}

/* ---- leaving ---- */
static bool look_after(const A64Tr *t) { return t->look || t->mode & A64M_STEP; }

void a64_leave_look(A64Tr *t)
{
    a64_emit_stepped(t);
    ir_put(t->u, IRT_I64, A64S_PC, ir_pc(t->u, t->next));
    ir_exit(t->u, TCG_LEAVE_GUEST);
    t->end = true;
}

void a64_leave_goto(A64Tr *t, int64_t off)
{
    if (look_after(t)) {
        a64_emit_stepped(t);
        ir_put(t->u, IRT_I64, A64S_PC, ir_pc(t->u, off));
        ir_exit(t->u, TCG_LEAVE_GUEST);
    } else {
        ir_goto(t->u, off);
    }
    t->end = true;
}

void a64_leave_jmp(A64Tr *t, IrVal va, IrJump hint)
{
    if (look_after(t)) {
        a64_emit_stepped(t);
        ir_put(t->u, IRT_I64, A64S_PC, va);
        ir_exit(t->u, TCG_LEAVE_GUEST);
    } else {
        ir_jmp(t->u, va, hint);
    }
    t->end = true;
}

/* ---- where a region goes on ---- */
static bool may_follow(const A64Tr *t) { return t->d->region && !t->cold_now && !look_after(t); }

/* As tcg_region_go or tcg_region_branch has said. */
static void go(A64Tr *t, TcgWay way, int64_t to)
{
    if (way == TCG_WAY_CHECK)
        ir_cross(t->u, cold_crossed(t, to));
    t->follow = to;
}

static TcgWay way_of(A64Tr *t, int64_t to, bool conditional)
{
    if (!t->way_asked)
        t->way = may_follow(t) ? tcg_region_branch(t->d, t->off, t->next, to, conditional) : TCG_WAY_OUT;
    t->way_asked = true;
    return t->way;
}

static TcgWay way_to(A64Tr *t, int64_t to) { return may_follow(t) && !(to & 3) ? tcg_region_go(t->d, t->off, t->next, to) : TCG_WAY_OUT; }

static bool follow(A64Tr *t, int64_t to, IrCond cc, IrVal fl)
{
    TcgWay way = way_of(t, to, fl);
    if (way == TCG_WAY_OUT)
        return false;
    if (way == TCG_WAY_NEXT) {
        ir_brcond(t->u, cc, fl, cold_add(t, t->late, &t->late_args, to));
        t->follow = t->next;
        a64_put_late(t);
        return true;
    }
    if (fl)
        ir_brcond(t->u, cc ^ 1, fl, cold_add(t, t->late, &t->late_args, t->next));
    a64_put_late(t);
    go(t, way, to);
    return true;
}

/* By a call if @hint says so, whose return address was put. */
static void go_call(A64Tr *t, TcgWay way, int64_t to, IrJump hint)
{
    go(t, way, to);
    if (hint == IRJ_CALL && t->n_calls < A64_MAX_CALLS)
        t->call[t->n_calls++] = t->next;
}

static void put_link(A64Tr *t)
{
    a64_put_x(t, A64_LR, ir_pc(t->u, t->next));
    t->link = t->next;
}

void a64_call_rel(A64Tr *t, int64_t to)
{
    put_link(t);
    TcgWay way = way_to(t, to);
    if (way == TCG_WAY_OUT)
        a64_leave_goto(t, to);
    else
        go_call(t, way, to, IRJ_CALL);
}

/* A jump that went elsewhere: where @a->rn (< 0: the first temporary) says. */
static void cold_jump(A64Tr *t, const A64Args *a)
{
    a64_leave_jmp(t, a->rn < 0 ? ir_get(t->u, IRT_I64, A64S_TMP0) : a64_x(t, a->rn), (IrJump)a->k);
}

/* The likely target of a jump by register @rn. A return is one from the call that was followed last. */
static bool likely(A64Tr *t, IrJump hint, int64_t *ret_to)
{
    if (!t->d->region)
        return false;
    if (hint != IRJ_RET || !t->n_calls)
        return tcg_region_target(t->d, t->off, ret_to);
    *ret_to = t->call[--t->n_calls];
    return true;
}

void a64_jump(A64Tr *t, int rn, IrVal va, IrJump hint)
{
    int64_t to;
    bool held = !va, known = held && rn == A64_LR && t->link != A64_NO_FOLLOW;
    bool asked = likely(t, hint, &to);
    if (known)
        to = t->link;
    TcgWay way = known || asked ? way_to(t, to) : TCG_WAY_OUT;
    if (held)
        va = a64_x(t, rn);
    if (way != TCG_WAY_OUT && !known) {
        A64Args cold = { .rn = held && !(hint == IRJ_CALL && rn == A64_LR) ? rn : -1, .k = (int32_t)hint };
        if (cold.rn < 0)
            ir_put(t->u, IRT_I64, A64S_TMP0, va);
        if (hint == IRJ_CALL)
            put_link(t);
        ir_brcond(t->u, IRC_NE, ir_cmp(t->u, IRT_I64, va, ir_pc(t->u, to)), cold_add(t, cold_jump, &cold, to));
    } else if (hint == IRJ_CALL) {
        put_link(t);
    }
    if (way != TCG_WAY_OUT)
        go_call(t, way, to, hint);
    else if (known)
        a64_leave_goto(t, to);
    else
        a64_leave_jmp(t, va, hint);
}

/* In a block: a branch over a few instructions stays in the unit, which goes on behind it. */
static bool skip(A64Tr *t, int64_t to, IrCond cc, IrVal fl)
{
    enum { SKIP_BYTES = 32 };
    unsigned n = 0;
    if (!t->skips || t->cold_now || !fl || to <= t->next || to > t->next + SKIP_BYTES || to >= TCG_PAGE_SIZE)
        return false;
    while (n < t->n_join && t->join[n].off != to)
        n++;
    if (n == A64_MAX_JOIN)
        return false;
    if (n == t->n_join)
        t->join[t->n_join++] = (A64Join){ to, ir_label_new(t->u) };
    ir_brcond(t->u, cc, fl, t->join[n].label);
    return true;
}

static bool joins(const A64Tr *t, int64_t off)
{
    for (unsigned n = 0; n < t->n_join; n++)
        if (t->join[n].off == off)
            return true;
    return false;
}

/* What skips to @off arrives. */
static void arrive(A64Tr *t, int64_t off)
{
    for (unsigned n = 0; n < t->n_join; n++)
        if (t->join[n].off == off) {
            a64_label(t, t->join[n].label);
            t->join[n] = t->join[--t->n_join];
            t->end = false;
            return;
        }
}

/* The unit ended before it came there. */
static void leave_skips(A64Tr *t)
{
    for (unsigned n = 0; n < t->n_join; n++) {
        a64_label(t, t->join[n].label);
        ir_insn(t->u, t->off, INSN);
        a64_leave_goto(t, t->join[n].off);
    }
}

void a64_branch(A64Tr *t, int64_t to, IrCond cc, IrVal fl)
{
    if (follow(t, to, cc, fl) || skip(t, to, cc, fl))
        return;
    if (!fl) {
        a64_leave_goto(t, to);
        return;
    }
    unsigned taken = ir_label_new(t->u);
    ir_brcond(t->u, cc, fl, taken);
    a64_leave_goto(t, t->next);
    a64_label(t, taken);
    a64_leave_goto(t, to);
}

/* ---- the loop ---- */
static void begin_insn(A64Tr *t, int64_t off)
{
    t->off = off;
    t->next = off + INSN;
    t->follow = A64_NO_FOLLOW;
    t->way_asked = false;
    t->sp_new = 0;
    t->end = t->look = false;
    ir_insn(t->u, off, INSN);
}

/*
 * Alignment of the stack pointer (ARM D1.8.2) is a matter of the mode: while it is bad whatever uses it as a base faults, and whoever makes it bad leaves for
 * the run loop. Most instructions that write it move it by multiples of 16.
 */
static bool base_is_sp(uint32_t i)
{
    bool access = (i & 0x0a000000) == 0x08000000, literal = (i & 0x3b000000) == 0x18000000, prefetch = (i & 0xfec00000) == 0xf8800000;
    return access && !literal && !prefetch && (i >> 5 & 31) == A64_SP;
}

static bool keeps_sp_aligned(uint32_t i)
{
    if ((i & 0xbf8003ff) == 0x910003ff)                /* ADD, SUB (immediate) */
        return i >> 22 & 1 || !(i >> 10 & 15);
    if ((i & 0x3a000000) == 0x28000000)                /* pairs: multiples of what they access */
        return !((i >> 15 & 127) << (i >> 26 & 1 ? 2 + (i >> 30) : 2 + (i >> 31)) & 15);
    return (i & 0x3b200400) == 0x38000400 && !(i >> 12 & 15);
}

void a64_cold_look(A64Tr *t, const A64Args *a)
{
    (void)a;
    a64_leave_look(t);
}

static void check_sp(A64Tr *t)
{
    if (!t->sp_new || t->end || !(t->mode & A64M_SP_CHECK))
        return;
    if (t->mode & A64M_SP_BAD)
        t->look = true;
    else if (!keeps_sp_aligned(t->insn))
        ir_brnz(t->u, IRT_I64, ir_bin(t->u, IR_AND, IRT_I64, t->sp_new, a64_k(t, 15)), a64_cold(t, a64_cold_look, NULL));
}

static void emit_one(A64Tr *t)
{
    A64Args a = { 0 };
    t->args = &a;
    a64_emit_debug(t);
    if (t->mode & A64M_IL) {
        a64_emit_raise(t, A64_EC_ILLEGAL_STATE, 0);
        return;
    }
    if (a64_decode32(t->insn, &a)) {
        if (t->mode & A64M_SP_BAD && base_is_sp(t->insn)) {
            a64_emit_raise(t, A64_EC_SP_ALIGN, 0);
            return;
        }
        a.k = a64_op_info[a.op].k;
        if (a64_op_info[a.op].emit(t, &a))
            return;
    }
    a64_emit_raise(t, A64_EC_UNKNOWN, 0);
}

static void emit_cold(A64Tr *t)
{
    t->cold_now = true;
    for (unsigned n = 0; n < t->n_cold; n++) {
        A64Cold c = t->cold[n];
        a64_label(t, c.label);
        begin_insn(t, c.off);
        if (c.fn)
            c.fn(t, &c.a);
        if (c.crossed)
            ir_goto_crossed(t->u, c.to);
        else if (!t->end)
            a64_leave_goto(t, c.to);
    }
}

static bool room_left(const A64Tr *t)
{
    const IrUnit *u = t->u;
    return u->n < IR_MAX_INSNS - ROOM_INSNS - 20 * t->n_cold && u->n_labels < IR_MAX_LABELS - ROOM_LABELS && t->n_cold < A64_MAX_COLD - ROOM_COLD;
}

/* B.cond one of whose ways is out of line: that one does a comparison again which is not in the flags' slot yet. */
static bool late_branch(A64Tr *t)
{
    bool bcond = (t->insn & 0xff000010) == 0x54000000 && (t->insn & 15) < 14;
    return bcond && way_of(t, t->off + (int64_t)((uint64_t)(t->insn >> 5) << 45) / (1ll << 43), true) != TCG_WAY_OUT;
}

static uint32_t word(const uint8_t *p) { return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24; }

/* The instruction at page offset @at, and the one behind; false: it is none of this unit's. A region may go straight on into the next page. */
static bool fetch(A64Tr *t, int64_t at)
{
    TcgUnitDesc *d = t->d;
    unsigned avail = TCG_PAGE_SIZE - (unsigned)(at & (TCG_PAGE_SIZE - 1));
    if (!d->region && at >= TCG_PAGE_SIZE)
        return false;
    const uint8_t *code = d->region ? tcg_region_code(d, at, &avail) : d->code + (at - d->page_off);
    TcgWay way = !code && at == t->next && !t->end ? tcg_region_go(d, t->off, at, at) : TCG_WAY_OUT;
    if (way != TCG_WAY_OUT) {
        a64_put_late(t);
        go(t, way, at);
        code = tcg_region_code(d, at, &avail);
    }
    if (!code)
        return false;
    t->insn = word(code);
    t->ahead = avail >= 2 * INSN ? word(code + INSN) : 0;
    return !d->region || tcg_region_took(d, at, INSN);
}

/* Where a unit goes on: in a region at its start again as long as there is room for another turn; else false. */
static bool next_place(A64Tr *t, int64_t *io_at, unsigned *io_turns, unsigned max)
{
    TcgUnitDesc *d = t->d;
    *io_at = t->follow == A64_NO_FOLLOW ? t->next : t->follow;
    if (t->follow == A64_NO_FOLLOW || *io_at != d->page_off)
        return true;
    unsigned body = d->n_insns / ++*io_turns;
    return *io_turns < REGION_TURNS && d->n_insns + body <= max;
}

/* What comes before the instruction is fetched: software step, a misaligned pc. */
static bool no_fetch(A64Tr *t)
{
    if (!(t->d->page_off & 3 || t->mode & A64M_STEP_DUE))
        return false;
    begin_insn(t, t->d->page_off);
    if (t->mode & A64M_STEP_DUE)
        a64_call(t, A64H_debug_step, 0, 0, 0, 0);
    else
        a64_call(t, A64H_raise, a64_k(t, A64_EC_PC_ALIGN), a64_k(t, 0), ir_pc(t->u, t->off), 0);
    ir_exit(t->u, TCG_LEAVE_GUEST);
    t->d->n_insns = t->d->len = 1;
    return true;
}

void a64_translate(TcgUnitDesc *d)
{
    A64Tr tr, *t = &tr;
    tr.d = d;
    tr.u = d->u;
    tr.mode = d->mode;
    tr.off = tr.next = d->page_off;
    tr.n_cold = tr.n_calls = 0;
    tr.link = A64_NO_FOLLOW;
    tr.raw = tr.rbit = 0;
    tr.raw_kind = A64FL_NONE;
    tr.zero64 = tr.zero32 = 0;
    memset(tr.fz_known, 0, sizeof(tr.fz_known));
    tr.fz_next = 0;
    tr.aes_out = tr.sha_wk = 0;
    tr.late = NULL;
    tr.end = tr.look = tr.cold_now = tr.watch_all = false;
    bool debug = d->mode & (A64M_STEP | A64M_WATCH) || A64M_BREAKS(d->mode);
    unsigned max = d->mode & A64M_STEP ? 1 : d->max_insns ? d->max_insns : DEFAULT_INSNS, turns = 0;
    if (debug)
        max = MIN(max, DEBUG_INSNS);
    d->region &= max > 1 && !debug;
    d->n_insns = d->len = 0;
    if (no_fetch(t))
        return;
    int64_t at = d->page_off;
    tr.n_join = 0;
    tr.skips = max > 1 && !d->region && !debug;
    while (d->n_insns < max && room_left(t) && (!t->end || joins(t, at)) && fetch(t, at)) {
        if (joins(t, at))
            a64_put_late(t);
        arrive(t, at);
        begin_insn(t, at);
        if (!late_branch(t))
            a64_put_late(t);
        emit_one(t);
        check_sp(t);
        d->len = (unsigned)MAX((int64_t)d->len, t->next - d->page_off);
        d->n_insns++;
        if (t->look && !t->end)
            a64_leave_look(t);
        if (!next_place(t, &at, &turns, max) || (d->end_at_store && ir_may_write(t->u)))
            break;
    }
    if (!t->end) {
        a64_put_late(t);
        a64_leave_goto(t, at);
    }
    t->look = false;
    leave_skips(t);
    emit_cold(t);
}
