#include "tcg/guest/x86/translate.h"

#include "cpu/x86/cpuid.h"
#include "util/bits.h"

/* The loop over a unit's instructions, and leaving it. */

enum { REGION_TURNS = 8, DEFAULT_INSNS = 64, ROOM_INSNS = 512, ROOM_LABELS = 40, ROOM_COLD = 24 };   /* an instruction's need; STI's and its successor's too */

IrVal x86_call(X86Tr *t, unsigned helper, IrVal a, IrVal b, IrVal c, IrVal d)
{
    return ir_call(t->u, x86_helpers, helper, a, b, c, d);
}

void x86_label(X86Tr *t, unsigned label)
{
    ir_label(t->u, label);
    t->lin = 0;
    t->epoch++;
}

/* ---- exceptions ---- */

void x86_emit_raise(X86Tr *t, unsigned vector)
{
    x86_call(t, X86H_raise, x86_k(t, vector), 0, 0, 0);
    ir_exit(t->u, TCG_LEAVE_GUEST);
    t->end = true;
}

void x86_emit_raise_err(X86Tr *t, unsigned vector, unsigned err)
{
    x86_call(t, X86H_raise_err, x86_k(t, vector), x86_k(t, err), 0, 0);
    ir_exit(t->u, TCG_LEAVE_GUEST);
    t->end = true;
}

bool x86_emit_cpl0(X86Tr *t)
{
    if (x86_cpl(t) == 0)
        return false;
    x86_emit_gp0(t);
    return true;
}

static unsigned cold_add(X86Tr *t, unsigned kind, unsigned vector)
{
    for (unsigned i = 0; i < t->n_cold; i++)
        if (t->cold[i].kind == kind && t->cold[i].vector == vector && t->cold[i].off == t->off)
            return t->cold[i].label;
    unsigned label = ir_label_new(t->u);
    if (t->n_cold == X86_MAX_COLD) {
        t->u->overflow = true;
        return label;
    }
    t->cold[t->n_cold++] = (X86Cold){ (uint16_t)label, (uint8_t)kind, (uint8_t)vector, t->off };
    return label;
}

static unsigned cold_goto(X86Tr *t, unsigned kind, int64_t to)
{
    for (unsigned i = 0; i < t->n_cold; i++)
        if (t->cold[i].kind == kind && t->cold[i].to == to && t->cold[i].off == t->off)
            return t->cold[i].label;
    unsigned label = ir_label_new(t->u);
    if (t->n_cold == X86_MAX_COLD) {
        t->u->overflow = true;
        return label;
    }
    t->cold[t->n_cold++] = (X86Cold){ .label = (uint16_t)label, .kind = (uint8_t)kind, .off = t->off, .to = to };
    return label;
}

unsigned x86_cold_raise(X86Tr *t, unsigned vector)
{
    bool has_err = vector == X86_DF_EXC || (vector >= X86_TS && vector <= X86_PF_EXC) || vector == X86_AC_EXC;
    return cold_add(t, has_err ? X86_COLD_RAISE_ERR0 : X86_COLD_RAISE, vector);
}

unsigned x86_cold_slow(X86Tr *t)
{
    return cold_add(t, X86_COLD_SLOW, 0);
}

unsigned x86_cold_fetch(X86Tr *t)
{
    return cold_add(t, X86_COLD_FETCH, 0);
}

/* ---- leaving ---- */

/* TF, debug registers or the interrupt shadow: no direct links, the run loop looks after each instruction. */
static bool one_insn_mode(const X86Tr *t)
{
    return t->mode & (X86M_TF | X86M_DR | X86M_SHADOW | X86M_XM);
}

IrVal x86_rip(X86Tr *t, int64_t off)
{
    IrVal pc = ir_pc(t->u, off);
    if (x86_64bit(t))
        return pc;
    IrVal v = ir_trunc(t->u, IRT_I32, pc);
    if (!x86_flat(t))
        v = ir_bin(t->u, IR_SUB, IRT_I32, v, ir_get(t->u, IRT_I32, X86S_CS_BASE));
    return ir_zext(t->u, IRT_I64, IRT_I32, v);
}

bool x86_sure(const X86Tr *t)
{
    return t->fetch_high && !t->slow && t->in.opsize == (X86M_CODE(t->mode) == X86M_CODE16 ? 1 : 2);
}

bool x86_sure_target(X86Tr *t, int64_t off)
{
    enum { FAR = 1 << 20 };    /* as x86_leave_rel */
    if (!x86_sure(t) || off - t->next < -FAR || off - t->next >= FAR)
        return false;
    t->lowest = MIN(t->lowest, off);
    t->highest = MAX(t->highest, off);
    return true;
}

static void trap_if_stepping(X86Tr *t)
{
    if (t->mode & (X86M_TF | X86M_DR))
        x86_call(t, X86H_db_trap, ir_get(t->u, IRT_I64, X86S_RIP), x86_k(t, !!(t->mode & X86M_TF)), 0, 0);
}

void x86_leave_look(X86Tr *t)
{
    ir_put(t->u, IRT_I64, X86S_RIP, x86_rip(t, t->next));
    trap_if_stepping(t);
    ir_exit(t->u, TCG_LEAVE_GUEST);
    t->end = true;
}

void x86_leave_next(X86Tr *t)
{
    x86_leave_rip(t, x86_rip(t, t->next), IRJ_PLAIN);
}

void x86_leave_goto(X86Tr *t, int64_t off)
{
    if (one_insn_mode(t)) {
        ir_put(t->u, IRT_I64, X86S_RIP, x86_rip(t, off));
        trap_if_stepping(t);
        ir_exit(t->u, TCG_LEAVE_GUEST);
    } else {
        ir_goto(t->u, off);
    }
    t->end = true;
}

/* Whether relative jumps are by page offset, wherever the code lies. */
static bool direct(const X86Tr *t) { return x86_64bit(t) || (t->in.opsize == 2 && x86_flat(t)) || x86_sure(t); }

static bool may_follow(const X86Tr *t)
{
    return t->t->region && !t->slow && direct(t);
}

/* Whether the region may go on at @to behind this instruction. */
static bool can_go(X86Tr *t, int64_t to)
{
    t->go = tcg_region_go(t->t, t->off, t->next, to);
    return t->go != TCG_WAY_OUT;
}

/* As can_go has said. */
static void go(X86Tr *t, int64_t to)
{
    if (t->go == TCG_WAY_CHECK)
        ir_cross(t->u, cold_goto(t, X86_COLD_CROSSED, to));
    t->follow = to;
}

bool x86_follow(X86Tr *t, int64_t disp, IrCond cc, IrVal fl)
{
    int64_t to = t->next + disp;
    if (!may_follow(t))
        return false;
    t->go = tcg_region_branch(t->t, t->off, t->next, to, fl);
    if (t->go == TCG_WAY_OUT)
        return false;
    if (t->go == TCG_WAY_NEXT) {
        ir_brcond(t->u, cc, fl, cold_goto(t, X86_COLD_GOTO, to));
        t->follow = t->next;
        return true;
    }
    if (fl)
        ir_brcond(t->u, cc ^ 1, fl, cold_goto(t, X86_COLD_GOTO, t->next));
    go(t, to);
    return true;
}

bool x86_follow_call(X86Tr *t, int64_t disp, IrVal ret)
{
    if (!may_follow(t) || t->n_calls == X86_MAX_CALLS || !can_go(t, t->next + disp))
        return false;
    go(t, t->next + disp);
    t->called[t->n_calls++] = (X86Called){ t->next, ret, t->epoch };
    return true;
}

bool x86_follow_ret(X86Tr *t, IrVal rip)
{
    IrUnit *u = t->u;
    if (!may_follow(t) || !t->n_calls || t->slow)
        return false;
    X86Called *c = &t->called[--t->n_calls];
    IrType ty = x86_type(t->in.opsize);
    ir_put(u, IRT_I64, X86S_TMP0, rip);
    IrVal want = c->epoch == t->epoch ? c->ret : ir_trunc(u, ty, x86_rip(t, c->next));
    ir_brcond(u, IRC_NE, ir_cmp(u, ty, ir_trunc(u, ty, rip), want), cold_add(t, X86_COLD_RET, 0));
    t->t->back |= c->next <= t->off;
    t->follow = c->next;
    return true;
}

bool x86_follow_ind(X86Tr *t, IrVal rip, IrVal ret)
{
    IrUnit *u = t->u;
    IrType ty = x86_type(MAX(t->in.opsize, 2));     /* @to may lie 64 KiB from where 16 bits lead: it is of another code segment */
    int64_t to;
    if (!may_follow(t) || (ret && t->n_calls == X86_MAX_CALLS) || !tcg_region_target(t->t, t->off, &to) || !can_go(t, to))
        return false;
    ir_put(u, IRT_I64, X86S_TMP0, rip);
    ir_brcond(u, IRC_NE, ir_cmp(u, ty, ir_trunc(u, ty, rip), ir_trunc(u, ty, x86_rip(t, to))), cold_add(t, X86_COLD_RET, 0));
    go(t, to);
    if (ret)
        t->called[t->n_calls++] = (X86Called){ t->next, ret, t->epoch };
    return true;
}

bool x86_skip(X86Tr *t, int64_t disp, IrCond cc, IrVal fl)
{
    enum { SKIP_BYTES = 24 };
    int64_t to = t->next + disp;
    unsigned n = 0;
    if (!t->skips || t->slow || !direct(t) || disp <= 0 || disp > SKIP_BYTES || to >= TCG_PAGE_SIZE - 16)
        return false;
    while (n < t->n_join && t->join[n].off != to)
        n++;
    if (n == X86_MAX_JOIN)
        return false;
    if (n == t->n_join)
        t->join[t->n_join++] = (X86Join){ to, ir_label_new(t->u) };
    ir_brcond(t->u, cc, fl, t->join[n].label);
    return true;
}

/* What skips to @off arrives. */
static bool arrive(X86Tr *t, int64_t off)
{
    for (unsigned n = 0; n < t->n_join; n++) {
        if (t->join[n].off != off)
            continue;
        x86_label(t, t->join[n].label);
        t->join[n] = t->join[--t->n_join];
        t->mmx_ready = t->x87_based = false;
        t->x87_seg = 0;
        t->end = false;
        return true;
    }
    return false;
}

/* The unit ended before it came there, or an instruction lies across. */
static void leave_skips(X86Tr *t)
{
    for (unsigned n = 0; n < t->n_join; n++) {
        x86_label(t, t->join[n].label);
        ir_insn(t->u, t->off, 1);
        x86_leave_goto(t, t->join[n].off);
    }
}

static IrVal linear_of_rip(X86Tr *t, IrVal rip)
{
    if (x86_64bit(t) || x86_flat(t))
        return rip;
    IrVal v = ir_bin(t->u, IR_ADD, IRT_I32, ir_trunc(t->u, IRT_I32, rip), ir_get(t->u, IRT_I32, X86S_CS_BASE));
    return ir_zext(t->u, IRT_I64, IRT_I32, v);
}

void x86_leave_rip(X86Tr *t, IrVal rip, IrJump hint)
{
    if (one_insn_mode(t)) {
        ir_put(t->u, IRT_I64, X86S_RIP, rip);
        trap_if_stepping(t);
        ir_exit(t->u, TCG_LEAVE_GUEST);
    } else {
        ir_jmp(t->u, linear_of_rip(t, rip), hint);
    }
    t->end = true;
}

void x86_leave_rel(X86Tr *t, int64_t disp)
{
    int64_t off = t->next + disp;
    bool near_by = disp >= -(1 << 20) && disp < 1 << 20;
    if (x86_64bit(t) || (direct(t) && near_by)) {
        x86_leave_goto(t, off);
        return;
    }
    /* EIP or IP wraps. */
    IrVal rip = x86_rip(t, off);
    if (t->in.opsize == 1)
        rip = ir_extract(t->u, IRT_I64, rip, 0, 16);
    x86_leave_rip(t, rip, IRJ_PLAIN);
}

void x86_leave_linear(X86Tr *t, IrVal pc)
{
    if (one_insn_mode(t)) {
        trap_if_stepping(t);
        ir_exit(t->u, TCG_LEAVE_GUEST);
    } else {
        ir_jmp(t->u, pc, IRJ_PLAIN);
    }
    t->end = true;
}

/* ---- the loop ---- */

static bool room_left(const X86Tr *t)
{
    const IrUnit *u = t->u;
    return u->n < IR_MAX_INSNS - ROOM_INSNS - 20 * t->n_cold && u->n_labels < IR_MAX_LABELS - ROOM_LABELS && t->n_cold < X86_MAX_COLD - ROOM_COLD;
}

/* The instruction's bytes. NULL: the page is none of the region's. */
static const uint8_t *code_at(const X86Tr *t, int64_t off, unsigned *ret_avail)
{
    const TcgUnitDesc *d = t->t;
    if (d->region)
        return tcg_region_code(d, off, ret_avail);
    *ret_avail = d->avail - (unsigned)(off - d->page_off);
    return d->code + (off - d->page_off);
}

bool x86_hold_next(X86Tr *t)
{
    const TcgUnitDesc *d = t->t;
    unsigned max = d->max_insns ? d->max_insns : DEFAULT_INSNS, avail;
    X86Insn in;
    if (one_insn_mode(t) || d->end_at_store || t->slow || (!d->region && t->next >= TCG_PAGE_SIZE) || d->n_insns + 2 > max || !room_left(t))
        return false;
    const uint8_t *code = code_at(t, t->next, &avail);
    if (!code || x86_decode(code, avail, t->mode, &in) != X86D_OK || (t->next & (TCG_PAGE_SIZE - 1)) + in.len > TCG_PAGE_SIZE || (d->region && !tcg_region_took(t->t, t->next, in.len)))
        return false;
    t->hold = true;
    return true;
}

/* One CPU before devices: what programs make a fence of stays one (an addition of 0, or to the stack), order is what devices may see. */
static bool lock_matters(const X86Tr *t)
{
    const X86Insn *in = &t->in;
    return !ir_lonely(t->u, in->base == X86_RSP || (in->op->opnd[1].kind == X86O_I && !in->imm));
}

static void begin_insn(X86Tr *t, int64_t off)
{
    t->in.lock = t->in.lock && lock_matters(t);
    t->off = off;
    t->next = off + t->in.len;
    t->end = t->hold = false;
    t->lin = 0;
    ir_insn(t->u, off, t->in.len);
}

/* #UD and #GP of what does not decode. */
static void emit_undecodable(X86Tr *t, X86DecodeResult r, int64_t off)
{
    if (!t->in.len)
        t->in.len = 1;
    begin_insn(t, off);
    if (r == X86D_LONG)
        x86_emit_gp0(t);
    else
        x86_emit_ud(t);
}

/* Page offset of what lies @pos bytes behind the first instruction, which may be before it. */
static int64_t place(const TcgUnitDesc *d, int pos) { return (int64_t)d->page_off + pos; }

/* Decode at byte @pos; false: it does not fit and is not the first. */
static bool fetch(X86Tr *t, int pos, X86DecodeResult *ret)
{
    TcgUnitDesc *d = t->t;
    unsigned avail;
    int64_t off = place(d, pos);
    const uint8_t *code = code_at(t, off, &avail);
    if (!code && t->next == off && can_go(t, off)) {     /* straight on into the next page */
        go(t, off);
        code = code_at(t, off, &avail);
    }
    *ret = code ? x86_decode(code, avail, t->mode, &t->in) : X86D_SHORT;
    if (*ret != X86D_SHORT)
        return !d->region || tcg_region_took(d, off, t->in.len ? t->in.len : 1);
    if (pos || d->n_insns)
        return false;
    d->region = false;
    tcg_code_cross(d);
    *ret = x86_decode(d->code, d->avail, t->mode, &t->in);
    return *ret != X86D_SHORT;
}

/* The CPU model has the instruction. Without BMI1 or LZCNT their prefix means nothing: BSF, BSR. LAHF and SAHF always exist outside 64-bit code. */
static bool has_feature(const X86Tr *t)
{
    static const uint16_t bits[X86F_COUNT] = { X86_FEATURE_BITS };
    unsigned f = t->in.op->feature;
    if (!f || (f == X86F_lahf && !x86_64bit(t)))
        return true;
    return x86_model_has(((const X86State *)t->t->state)->model, (X86Feature)bits[f]);
}

static void emit_op(X86Tr *t)
{
    X86EmitFn *fn = t->in.op->emit;
    if (has_feature(t))
        fn(t);
    else if (fn == x86_e_tzcnt)
        x86_e_bsf(t);
    else if (fn == x86_e_lzcnt)
        x86_e_bsr(t);
    else
        x86_emit_ud(t);
}

static void emit_one(X86Tr *t, int64_t off)
{
    begin_insn(t, off);
    if (!x86_64bit(t) && !x86_flat(t) && !t->slow && !t->fetch_high)
        x86_check_unit(t);
    if (t->mode & X86M_DR && !t->slow)
        x86_call(t, X86H_db_insn, ir_pc(t->u, off), 0, 0, 0);
    if (t->mode & X86M_XM)     /* all state in its place: the host may trap anywhere in this instruction (fpe_fault) */
        x86_call(t, X86H_settle, 0, 0, 0, 0);
    emit_op(t);
}

static void emit_cold(X86Tr *t)
{
    for (unsigned i = 0; i < t->n_cold; i++) {
        X86Cold c = t->cold[i];
        if (c.kind == X86_COLD_GOTO) {
            x86_label(t, c.label);
            ir_insn(t->u, c.off, 1);
            x86_leave_goto(t, c.to);
            continue;
        }
        if (c.kind == X86_COLD_CROSSED) {
            x86_label(t, c.label);
            ir_insn(t->u, c.off, 1);
            ir_goto_crossed(t->u, c.to);
            continue;
        }
        if (c.kind == X86_COLD_RET) {
            x86_label(t, c.label);
            ir_insn(t->u, c.off, 1);
            x86_leave_rip(t, ir_get(t->u, IRT_I64, X86S_TMP0), IRJ_RET);
            continue;
        }
        unsigned avail;
        const uint8_t *code = code_at(t, c.off, &avail);
        if (x86_decode(code, avail, t->mode, &t->in) != X86D_OK)
            continue;
        x86_label(t, c.label);
        if (c.kind == X86_COLD_SLOW || c.kind == X86_COLD_FETCH) {
            t->slow = true;
            if (c.kind == X86_COLD_FETCH) {
                begin_insn(t, c.off);
                x86_check_fetch(t);
            }
            emit_one(t, c.off);
            if (!t->end)
                x86_leave_goto(t, t->next);
            t->slow = false;
            continue;
        }
        begin_insn(t, c.off);
        if (c.kind == X86_COLD_RAISE)
            x86_emit_raise(t, c.vector);
        else
            x86_emit_raise_err(t, c.vector, 0);
    }
}

/* Where a unit goes on: in a region at its start again as long as there is room for another turn; else false. */
static bool next_place(X86Tr *t, int *io_pos, unsigned *io_turns, unsigned max)
{
    TcgUnitDesc *d = t->t;
    int64_t to = t->follow == X86_NO_FOLLOW ? t->next : t->follow;
    *io_pos = (int)(to - d->page_off);
    if (t->follow == X86_NO_FOLLOW || to != d->page_off)
        return true;
    unsigned body = d->n_insns / ++*io_turns;
    return *io_turns < REGION_TURNS && d->n_insns + body <= max;
}

void x86_translate(TcgUnitDesc *d)
{
    X86Tr tr, *t = &tr;
    memset(t, 0, offsetof(X86Tr, cold));       /* the rest is a list */
    t->t = d;
    t->u = d->u;
    t->mode = d->mode;
    unsigned max = d->max_insns ? d->max_insns : DEFAULT_INSNS, turns = 0;
    if (one_insn_mode(t))
        max = 1;
    if (d->mode & X86M_AC)
        t->mem_flags = IRM_ALIGN;
    d->region &= max > 1;
    d->n_insns = d->len = 0;
    int pos = 0, in_page = TCG_PAGE_SIZE - (int)d->page_off;
    bool first = true;
    t->skips = max > 1 && !d->region;
    while (d->n_insns < max && (room_left(t) || t->hold) && (first || d->region || pos < in_page)) {
        X86DecodeResult r;
        if (!arrive(t, place(d, pos)) && t->end)
            break;
        if (!fetch(t, pos, &r))
            break;
        /* What begins in this page and ends in the next is a unit of its own, so that only such units depend on two pages. */
        if (!first && !d->region && pos + t->in.len > in_page)
            break;
        if (first && d->mode & X86M_SHADOW)
            ir_put(t->u, IRT_I8, X86S_INT_SHADOW, ir_const(t->u, IRT_I8, 0));
        t->follow = X86_NO_FOLLOW;
        if (r == X86D_OK)
            emit_one(t, place(d, pos));
        else
            emit_undecodable(t, r, place(d, pos));
        d->len = (unsigned)MAX((int64_t)d->len, t->next - d->page_off);
        d->n_insns++;
        first = false;
        if (!next_place(t, &pos, &turns, max) || (d->end_at_store && ir_may_write(t->u)))
            break;
    }
    if (!t->end)
        x86_leave_goto(t, place(d, pos));
    if (t->fetch_high) {
        ir_at(t->u, t->fetch_low)->imm = MIN(t->lowest - d->page_off, 0);
        ir_at(t->u, t->fetch_high)->imm = MAX(t->highest - d->page_off, (int64_t)d->len - 1);
    }
    leave_skips(t);
    emit_cold(t);
}
