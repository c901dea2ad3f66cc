#include "tcg/guest/x86/sys.h"

/*
 * Exceptions and interrupts (SDM 3A chapter 6, INT n in 2A).
 *
 * s->ev.injected is the event whose delivery is under way, with s->rip exact. A fault meanwhile comes back to x86_raise_event,
 * which combines the two (table 6-5) and starts over. Software events keep s->rip at the INT instruction, so a fault in their
 * delivery restarts it.
 */

enum { GATE_TASK = 5, GATE_INT16 = 6, GATE_TRAP16 = 7, GATE_INT32 = 14, GATE_TRAP32 = 15 };

typedef struct Gate {
    unsigned type, dpl, ist;
    bool present;
    uint16_t sel;
    uint64_t offset;
} Gate;

typedef struct Frame {
    const X86Event *ev;
    uint64_t next_rip, flags;
    uint32_t ext;
    Gate gate;
    X86Seg cs;                 /* new */
    unsigned cpl;              /* new */
} Frame;

unsigned x86_ext(const X86State *s)
{
    unsigned k = s->ev.injected.kind;
    return k != X86_EVENT_NONE && k != X86_EVENT_SOFT && k != X86_EVENT_TASK;
}

/* ---- raising ---- */

static bool contributory(const X86Event *e)
{
    return e->kind == X86_EVENT_EXCEPTION && (e->vector == X86_DE || (e->vector >= X86_TS && e->vector <= X86_GP) || e->vector == X86_CP);
}

static bool page_fault(const X86Event *e)
{
    return e->kind == X86_EVENT_EXCEPTION && (e->vector == X86_PF_EXC || e->vector == X86_VE);
}

static void shutdown(X86State *s) __attribute__((noreturn));
static void shutdown(X86State *s)
{
    TcgCpu *cpu = x86_cpu(s);
    const TcgCallbacks *cb = tcg_cpu_callbacks(cpu);

    s->ev.injected.kind = X86_EVENT_NONE;
    s->ev.triple_fault = 1;
    if (cb->event)
        cb->event(tcg_cpu_opaque(cpu), "triple fault", s->rip);
    tcg_leave_with(cpu, TCG_LEAVE_SHUTDOWN);
}

void x86_raise_event(X86State *s, X86Event ev)
{
    const X86Event first = s->ev.injected;

    if (first.kind == X86_EVENT_NONE)
        tcg_sync_pc(x86_cpu(s));
    if (page_fault(&ev))
        s->cr2 = ev.payload;
    if (first.kind == X86_EVENT_EXCEPTION && first.vector == X86_DF_EXC && (contributory(&ev) || page_fault(&ev)))
        shutdown(s);
    if ((contributory(&first) && contributory(&ev)) || (page_fault(&first) && (page_fault(&ev) || contributory(&ev))))
        ev = (X86Event){ .kind = X86_EVENT_EXCEPTION, .vector = X86_DF_EXC, .has_error = 1 };
    x86_deliver(s, &ev, s->rip);
    tcg_leave(x86_cpu(s));
}

void x86_raise(X86State *s, unsigned vector)
{
    x86_raise_event(s, (X86Event){ .kind = X86_EVENT_EXCEPTION, .vector = (uint8_t)vector });
}

void x86_raise_err(X86State *s, unsigned vector, uint32_t error)
{
    x86_raise_event(s, (X86Event){ .kind = X86_EVENT_EXCEPTION, .vector = (uint8_t)vector, .has_error = 1, .error = error });
}

void x86_raise_gp0(X86State *s) { x86_raise_err(s, X86_GP, 0); }

/* ---- delivery ---- */

/* The image's RF: set for faults, so that the restarted instruction does not hit its breakpoint again (SDM 3B 17.3.1.1). */
static uint64_t saved_flags(const X86State *s, const X86Event *ev)
{
    bool fault = ev->kind == X86_EVENT_EXCEPTION && ev->vector != X86_DB && ev->vector != X86_BP && ev->vector != X86_OF_EXC &&
                 ev->vector != X86_MC && ev->vector != X86_DF_EXC;
    return x86_rflags(s) | (fault ? X86_RF : 0);
}

static void idt_error(X86State *s, const Frame *f, unsigned vector)
{
    x86_raise_err(s, vector, f->ev->vector * 8u + 2 + f->ext);
}

static void read_gate(X86State *s, Frame *f)
{
    Gate *g = &f->gate;
    unsigned size = x86_lma(s) ? 16 : 8;
    uint64_t va = s->idt.base + f->ev->vector * size;

    if (f->ev->vector * size + size - 1 > s->idt.limit)
        idt_error(s, f, X86_GP);
    uint64_t q = x86_sys_load(s, va, 3);
    uint32_t hi = q >> 32;
    g->offset = (q & 0xffff) | (hi & 0xffff0000);
    if (size == 16)
        g->offset |= x86_sys_load(s, va + 8, 3) << 32;
    g->sel = q >> 16;
    g->type = hi >> 8 & 0x1f;
    g->dpl = hi >> 13 & 3;
    g->present = hi & 0x8000;
    g->ist = size == 16 ? hi & 7 : 0;
    bool ok = x86_lma(s) ? g->type == GATE_INT32 || g->type == GATE_TRAP32
                         : g->type >= GATE_TASK && g->type != 8 && (g->type <= GATE_TRAP16 || g->type == GATE_INT32 || g->type == GATE_TRAP32);
    if (!ok || (f->ev->kind == X86_EVENT_SOFT && g->dpl < s->cpl))
        idt_error(s, f, X86_GP);
    if (!g->present)
        idt_error(s, f, X86_NP);
    if (g->type == GATE_INT16 || g->type == GATE_TRAP16)
        g->offset &= 0xffff;
}

/* The gate's code segment: sets f->cs and f->cpl. */
static void read_target(X86State *s, Frame *f)
{
    uint16_t sel = f->gate.sel;

    if (!(sel & 0xfffc))
        x86_raise_err(s, X86_GP, f->ext);
    X86Desc d = x86_desc_get(s, sel, X86_GP, f->ext);
    uint32_t attr = x86_desc_attr(d), err = (sel & 0xfffc) | f->ext;
    unsigned dpl = x86_attr_dpl(attr);
    if (!x86_attr_code(attr) || dpl > s->cpl)
        x86_raise_err(s, X86_GP, err);
    if (x86_lma(s) && (!(attr & X86_SEG_L) || attr & X86_SEG_DB))
        x86_raise_err(s, X86_GP, err);
    if (!(attr & X86_SEG_P))
        x86_raise_err(s, X86_NP, err);
    f->cpl = x86_attr_conforming(attr) ? s->cpl : dpl;
    if (x86_vm86(s) && f->cpl != 0)
        x86_raise_err(s, X86_GP, err);
    x86_desc_mark(s, sel, 1);
    f->cs = x86_seg_of((uint16_t)((sel & ~3) | f->cpl), d);
    f->cs.attr |= 1;
}

static void commit(X86State *s, const Frame *f)
{
    uint32_t clear = X86_TF | X86_NT | X86_RF | X86_VM;

    if (!(f->gate.type & 1))
        clear |= X86_IF;
    s->rflags_rest &= ~clear;
    s->seg[X86_CS] = f->cs;
    s->rip = f->gate.offset;
    s->cpl = f->cpl;
}

static void deliver_long(X86State *s, Frame *f)
{
    const Gate *g = &f->gate;
    uint64_t sp = s->gpr[X86_RSP];

    if (!x86_canonical(s, g->offset))
        x86_raise_err(s, X86_GP, f->ext);
    if (g->ist || f->cpl != s->cpl) {
        unsigned off = g->ist ? 28 + 8 * g->ist : 4 + 8 * f->cpl;
        const X86Seg *tr = &s->seg[X86_TR];
        if (off + 7 > tr->limit)
            x86_raise_err(s, X86_TS, (tr->sel & 0xfffc) | f->ext);
        sp = x86_sys_load(s, tr->base + off, 3);
    }
    X86Stack st = x86_stack_new(s, &s->seg[X86_SS], sp & ~15ull, 8, f->cpl, true);
    st.error = f->ext;
    x86_stack_push(&st, s->seg[X86_SS].sel);
    x86_stack_push(&st, s->gpr[X86_RSP]);
    x86_stack_push(&st, f->flags);
    x86_stack_push(&st, s->seg[X86_CS].sel);
    x86_stack_push(&st, f->next_rip);
    if (f->ev->has_error)
        x86_stack_push(&st, f->ev->error);
    x86_stack_commit(s, &st);
    if (f->cpl != s->cpl)
        s->seg[X86_SS] = x86_seg_null((uint16_t)f->cpl, f->cpl);
    s->gpr[X86_RSP] = st.sp;
    commit(s, f);
}

/* SS:ESP for privilege @cpl out of the TSS (SDM 3A 6.12.1); *ret_sp and the checked segment. */
static X86Seg inner_stack(X86State *s, unsigned cpl, uint32_t ext, uint64_t *ret_sp)
{
    const X86Seg *tr = &s->seg[X86_TR];
    bool wide = X86_SEG_TYPE(tr) & 8;
    unsigned off = wide ? 4 + 8 * cpl : 2 + 4 * cpl;

    if (off + (wide ? 5 : 3) > tr->limit)
        x86_raise_err(s, X86_TS, (tr->sel & 0xfffc) | ext);
    uint64_t sp = x86_sys_load(s, tr->base + off, wide ? 2 : 1);
    uint16_t ss = (uint16_t)x86_sys_load(s, tr->base + off + (wide ? 4 : 2), 1);
    X86Seg seg = x86_seg_get_ss(s, ss, cpl, X86_TS, ext);
    *ret_sp = sp;
    return seg;
}

static void push_vm86_segments(X86State *s, X86Stack *st)
{
    static const uint8_t order[] = { X86_GS, X86_FS, X86_DS, X86_ES };
    for (unsigned i = 0; i < 4; i++)
        x86_stack_push(st, s->seg[order[i]].sel);
}

static void deliver_prot(X86State *s, Frame *f)
{
    const Gate *g = &f->gate;
    unsigned size = g->type & 8 ? 4 : 2;
    bool vm = x86_vm86(s), inner = f->cpl < s->cpl;
    X86Seg ss = s->seg[X86_SS];
    uint64_t sp = s->gpr[X86_RSP];

    if (inner)
        ss = inner_stack(s, f->cpl, f->ext, &sp);
    X86Stack st = x86_stack_new(s, &ss, sp, size, f->cpl, false);
    st.error = inner ? (ss.sel & 0xfffc) | f->ext : f->ext;
    if (inner) {
        if (vm)
            push_vm86_segments(s, &st);
        x86_stack_push(&st, s->seg[X86_SS].sel);
        x86_stack_push(&st, s->gpr[X86_RSP]);
    }
    x86_stack_push(&st, f->flags);
    x86_stack_push(&st, s->seg[X86_CS].sel);
    x86_stack_push(&st, f->next_rip);
    if (f->ev->has_error)
        x86_stack_push(&st, f->ev->error);
    x86_stack_probe(s, &st);
    x86_cs_check_rip(s, &f->cs, g->offset, f->ext);
    x86_stack_commit(s, &st);
    if (inner)
        s->seg[X86_SS] = ss;
    x86_stack_set_sp(s, &st);
    for (unsigned i = 0; vm && i < X86_LDTR; i++)
        if (i != X86_CS && i != X86_SS)
            s->seg[i] = x86_seg_null(0, 0);
    commit(s, f);
}

/* Real mode (SDM 3B 20.1.4): vector table, three words on the stack. */
static void deliver_real(X86State *s, Frame *f)
{
    unsigned at = f->ev->vector * 4u;

    if (at + 3 > s->idt.limit)
        x86_raise_err(s, X86_GP, f->ev->vector * 8u + 2 + f->ext);
    uint32_t v = (uint32_t)x86_sys_load(s, s->idt.base + at, 2);
    X86Stack st = x86_stack_new(s, &s->seg[X86_SS], s->gpr[X86_RSP], 2, 0, false);
    x86_stack_push(&st, f->flags);
    x86_stack_push(&st, s->seg[X86_CS].sel);
    x86_stack_push(&st, f->next_rip);
    x86_stack_commit(s, &st);
    x86_stack_set_sp(s, &st);
    s->rflags_rest &= ~(X86_IF | X86_TF | X86_AC | X86_RF);
    x86_seg_paragraph(s, X86_CS, (uint16_t)(v >> 16));
    s->rip = v & 0xffff;
}

/* What an exception does besides the transfer of control. */
static void side_effects(X86State *s, const X86Event *ev)
{
    if (ev->kind == X86_EVENT_NMI)
        s->ev.nmi_masked = 1;
    if (ev->kind != X86_EVENT_EXCEPTION || !ev->has_payload)
        return;
    if (ev->vector == X86_PF_EXC)
        s->cr2 = ev->payload;
    if (ev->vector == X86_DB) {
        s->dr[6] = (s->dr[6] & ~0xfull) | ev->payload;
        s->dr[7] &= ~(1ull << 13);                         /* GD, so that the handler may use the registers */
        s->msr.debugctl &= ~3ull;                          /* LBR and BTF (SDM 3B 17.4.1) */
    }
}

/* -d int: what comes, at which instruction, and where the stack is. */
static void log_event(X86State *s, const X86Event *ev, uint64_t next_rip)
{
    static const char *const kinds[] = { "none", "exception", "interrupt", "NMI", "INT n", "task" };
    Log *log = tcg_cpu_log(x86_cpu(s));
    if (!log_on(log, LOG_INT))
        return;
    log_item(log, LOG_INT, "int: %s %#x error %#x cpl %u at %#x:%#llx next %#llx stack %#x:%#llx cr2 %#llx",
             ev->kind < sizeof(kinds) / sizeof(kinds[0]) ? kinds[ev->kind] : "?", ev->vector, ev->has_error ? ev->error : 0, s->cpl, s->seg[X86_CS].sel,
             (unsigned long long)s->rip, (unsigned long long)next_rip, s->seg[X86_SS].sel, (unsigned long long)s->gpr[X86_RSP],
             (unsigned long long)(page_fault(ev) ? ev->payload : s->cr2));
}

/* The gates that a program may use are #BP's and #OF's: all other INT n are #GP there, as Linux sets the table up. */
static void give_out(X86State *s, const X86Event *ev, uint64_t next_rip)
{
    const TcgCallbacks *cb = tcg_cpu_callbacks(x86_cpu(s));
    bool closed = ev->kind == X86_EVENT_SOFT && ev->vector != X86_BP && ev->vector != X86_OF_EXC;
    s->ev.int_shadow = 0;
    if (closed) {
        cb->exception(tcg_cpu_opaque(x86_cpu(s)), X86_GP, ev->vector * 8u + 2, 0);
    } else {
        s->rip = next_rip;
        cb->exception(tcg_cpu_opaque(x86_cpu(s)), ev->vector, ev->error, ev->payload);
    }
}

void x86_deliver(X86State *s, const X86Event *event, uint64_t next_rip)
{
    const X86Event ev = *event;
    const TcgCallbacks *cb = tcg_cpu_callbacks(x86_cpu(s));
    if (cb->exception)         /* one process: its system decides */
        give_out(s, &ev, next_rip);
    Frame f = { .ev = &ev, .next_rip = next_rip, .flags = saved_flags(s, &ev) };

    log_event(s, &ev, next_rip);
    s->ev.injected = ev;
    tcg_commit(x86_cpu(s), true);              /* a stack where code was shall not make it begin again: the pc may be another by now */
    f.ext = x86_ext(s);
    side_effects(s, &ev);
    s->dr_pending = 0;                         /* of the instruction that is given up; accesses of a delivery do not count */
    if (!x86_pe(s)) {
        deliver_real(s, &f);
    } else {
        read_gate(s, &f);
        if (f.gate.type == GATE_TASK) {
            x86_task_switch(s, f.gate.sel, X86_TASK_EVENT, next_rip, ev.has_error, ev.error);
        } else {
            read_target(s, &f);
            if (x86_lma(s))
                deliver_long(s, &f);
            else
                deliver_prot(s, &f);
        }
    }
    tcg_commit(x86_cpu(s), false);
    s->ev.injected.kind = X86_EVENT_NONE;
    s->ev.int_shadow = 0;
    s->dr_pending = 0;
    x86_mode_changed(s);
}

/* ---- helpers ---- */

uint64_t x86_h_raise(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    x86_raise(state, (unsigned)a);
}

uint64_t x86_h_raise_err(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    x86_raise_err(state, (unsigned)a, (uint32_t)b);
}

/* VM86: INT n with CR4.VME and a clear bit in the redirection map goes through the program's own table; else IOPL 3 is needed
 * (SDM 3B 20.3, table 20-2). */
static bool vm86_redirected(X86State *s, unsigned vector)
{
    if (s->cr4 & X86_CR4_VME) {
        const X86Seg *tr = &s->seg[X86_TR];
        if (!(X86_SEG_TYPE(tr) & 8) || 0x67 > tr->limit)
            x86_raise_gp0(s);
        unsigned map = (unsigned)x86_sys_load(s, tr->base + 0x66, 1), at = map - 32 + vector / 8;
        if (map < 32 || at > tr->limit)
            x86_raise_gp0(s);
        if (!(x86_sys_load(s, tr->base + at, 0) >> (vector & 7) & 1))
            return true;
    }
    if (x86_iopl(s) < 3)
        x86_raise_gp0(s);
    return false;
}

static void vm86_int_redirect(X86State *s, unsigned vector, uint64_t next_rip)
{
    uint32_t v = (uint32_t)tcg_load(x86_cpu(s), vector * 4u, 2, X86R_USER);
    X86Stack st = x86_stack_now(s, 2);
    uint32_t flags = (uint32_t)x86_rflags(s), clear = X86_TF | X86_NT;

    if (x86_iopl(s) < 3) {                     /* IF of the image is VIF, IOPL reads 3 */
        flags = (flags & ~X86_IF) | X86_IOPL | (flags & X86_VIF ? X86_IF : 0);
        clear |= X86_VIF;
    } else {
        clear |= X86_IF;
    }
    x86_stack_push(&st, flags);
    x86_stack_push(&st, s->seg[X86_CS].sel);
    x86_stack_push(&st, next_rip);
    x86_stack_commit(s, &st);
    x86_stack_set_sp(s, &st);
    s->rflags_rest &= ~clear;
    x86_seg_paragraph(s, X86_CS, (uint16_t)(v >> 16));
    s->rip = v & 0xffff;
    x86_mode_changed(s);
}

static uint64_t soft_int(X86State *s, unsigned vector, uint64_t next_rip)
{
    tcg_sync_pc(x86_cpu(s));
    if (vector == X86_INT_LINUX && tcg_cpu_callbacks(x86_cpu(s))->syscall) {
        s->rip = next_rip;
        return x86_outside_call(s, X86_CALL_INT80);
    }
    X86Event ev = { .kind = X86_EVENT_SOFT, .vector = (uint8_t)vector, .soft_len = (uint8_t)(next_rip - s->rip) };
    x86_deliver(s, &ev, next_rip);
    return x86_linear_pc(s);
}

uint64_t x86_h_int_n(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;

    if (x86_pe(s) && x86_vm86(s) && vm86_redirected(s, (unsigned)a)) {
        vm86_int_redirect(s, (unsigned)a, b);
        return x86_linear_pc(s);
    }
    return soft_int(s, (unsigned)a, b);
}

/* INT3 and INTO: gate privilege is checked as for INT n, IOPL in VM86 is not. */
uint64_t x86_h_int3(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    return soft_int(state, X86_BP, a);
}

uint64_t x86_h_into(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    return soft_int(state, X86_OF_EXC, a);
}

/* INT1: a #DB trap without DR6 bits and without privilege check. */
uint64_t x86_h_icebp(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;
    X86Event ev = { .kind = X86_EVENT_EXCEPTION, .vector = X86_DB };
    s->rip = a;
    x86_deliver(s, &ev, a);
    return x86_linear_pc(s);
}

void x86_fpe_fault(TcgCpu *cpu, int code)
{
    (void)code;
    /* Translated SSE code runs with the guest's masks: a trap is the guest's own (SDM 3A 6.15, #XM; #UD without OSXMMEXCPT). */
    X86State *s = tcg_cpu_state(cpu);
    x86_raise(s, s->cr4 & X86_CR4_OSXMMEXCPT ? X86_XM : X86_UD);
}
