/* The loop over a unit's instructions, and leaving it. */
#include "tcg/guest/riscv/translate.h"

enum { DEFAULT_INSNS = 64, ROOM_INSNS = 256, ROOM_LABELS = 16, ROOM_COLD = 8 };

IrVal rv_call(RiscvTr *t, unsigned helper, IrVal a, IrVal b, IrVal c, IrVal d) { return ir_call(t->u, riscv_helpers, helper, a, b, c, d); }

IrVal rv_addr(RiscvTr *t, int n, int64_t imm)
{
    return ir_lea(t->u, IRT_I64, n ? rv_x(t, n) : 0, 0, 0, imm);
}

unsigned rv_cold(RiscvTr *t, RiscvColdKind kind, const RiscvArgs *a)
{
    if (t->n_cold && t->cold[t->n_cold - 1].off == t->off && t->cold[t->n_cold - 1].kind == kind)
        return t->cold[t->n_cold - 1].label;
    unsigned label = ir_label_new(t->u);
    if (t->n_cold == RISCV_MAX_COLD) {
        t->u->overflow = true;
        return label;
    }
    t->cold[t->n_cold++] = (RiscvCold){ (uint16_t)label, (uint8_t)kind, (uint8_t)t->len, t->look, *a, t->off };
    return label;
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

static void begin_insn(RiscvTr *t, int64_t off, unsigned len)
{
    t->off = off;
    t->len = len;
    t->next = off + len;
    t->end = t->look = false;
    ir_insn(t->u, off, len);
}

static uint32_t half(const uint8_t *p) { return p[0] | (uint32_t)p[1] << 8; }

/* The instruction at byte @pos and its length in t->insn, t->len; false: it does not fit and is not the first. */
static bool fetch(RiscvTr *t, unsigned pos)
{
    TcgUnitDesc *d = t->d;
    if (d->avail < pos + 2)
        return false;
    t->insn = half(d->code + pos);
    t->len = (t->insn & 3) == 3 ? 4 : 2;
    if (t->len == 2)
        return true;
    if (d->avail < pos + 4) {
        if (pos)
            return false;
        tcg_code_cross(d);
    }
    t->insn |= half(d->code + pos + 2) << 16;
    return true;
}

static void emit_one(RiscvTr *t)
{
    RiscvArgs a = { 0 };
    if (t->len == 2 ? riscv_decode16(t->insn, &a) : riscv_decode32(t->insn, &a)) {
        a.k = riscv_op_info[a.op].k;
        if (riscv_op_info[a.op].emit(t, &a))
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
        if (c->kind == RISCV_COLD_FP) {
            rv_fp_slow(t, &c->a);
        } else if (c->kind == RISCV_COLD_NAN) {
            t->look = c->look;
            rv_fp_nan(t, &c->a);
        } else {
            ir_put(t->u, IRT_I64, RVS_RES_ADDR, rv_k(t, -1));
            rv_put(t, c->a.rd, rv_k(t, 1));
        }
        if (!t->end)
            rv_leave_goto(t, t->next);
    }
}

static bool room_left(const RiscvTr *t)
{
    const IrUnit *u = t->u;
    return u->n < IR_MAX_INSNS - ROOM_INSNS - 16 * t->n_cold && u->n_labels < IR_MAX_LABELS - ROOM_LABELS && t->n_cold < RISCV_MAX_COLD - ROOM_COLD;
}

void riscv_translate(TcgUnitDesc *d)
{
    RiscvTr tr, *t = &tr;
    tr.d = d;
    tr.u = d->u;
    tr.mode = d->mode;
    tr.boxed = 0;
    tr.n_cold = 0;
    tr.end = tr.look = false;
    unsigned max = d->max_insns ? d->max_insns : DEFAULT_INSNS, pos = 0, in_page = TCG_PAGE_SIZE - d->page_off;
    d->n_insns = d->len = 0;
    while (!t->end && d->n_insns < max && room_left(t) && (!pos || pos < in_page)) {
        if (!fetch(t, pos) || (pos && pos + t->len > in_page))
            break;
        begin_insn(t, d->page_off + pos, t->len);
        emit_one(t);
        pos += t->len;
        d->n_insns++;
        if (t->look && !t->end)
            rv_leave_look(t);
    }
    d->len = pos;
    if (!t->end)
        rv_leave_goto(t, d->page_off + pos);
    emit_cold(t);
}
