#include "tcg/guest/x86/sys.h"

/* What is due between two instructions, in the manual's order (SDM 3A 6.9, table 6-2). */

static bool irq_open(const X86State *s)
{
    return s->rflags_rest & X86_IF && !s->ev.int_shadow;
}

static void take_init(X86State *s)
{
    bool bsp = s->msr.apic_base & 0x100;
    uint8_t sipi = s->ev.sipi_pending, vector = s->ev.sipi_vector;

    x86_state_reset(s, true, bsp);
    /* A start-up IPI that is here already came after the INIT: its sender waited for wall time, we had not run. */
    s->ev.sipi_pending = sipi;
    s->ev.sipi_vector = vector;
    if (!bsp)
        s->ev.mp_state = X86_MP_INIT_RECEIVED;
}

/* Start-up IPI (SDM 3A 8.4.3): CS from the vector, everything else as INIT left it. */
static void take_sipi(X86State *s)
{
    X86Seg *cs = &s->seg[X86_CS];

    cs->sel = (uint16_t)(s->ev.sipi_vector << 8);
    cs->base = (uint64_t)s->ev.sipi_vector << 12;
    cs->limit = 0xffff;
    s->rip = 0;
    s->ev.mp_state = X86_MP_RUNNABLE;
}

static bool wait_for_sipi(X86State *s)
{
    X86Events *e = &s->ev;

    if (e->init_pending && !e->smm) {
        e->init_pending = 0;
        take_init(s);
    }
    bool waits = e->mp_state == X86_MP_UNINIT || e->mp_state == X86_MP_INIT_RECEIVED;
    if (e->sipi_pending) {
        e->sipi_pending = 0;
        if (waits || e->mp_state == X86_MP_SIPI_RECEIVED) {
            take_sipi(s);
            waits = false;
        }
    } else if (e->mp_state == X86_MP_SIPI_RECEIVED) {
        take_sipi(s);
    }
    return waits;
}

/* Again what another engine, or we, had begun. */
static void redeliver(X86State *s)
{
    X86Event ev = s->ev.injected;
    x86_deliver(s, &ev, s->rip + (ev.kind == X86_EVENT_SOFT ? ev.soft_len : 0));
}

static bool take_nmi(X86State *s)
{
    X86Events *e = &s->ev;

    if (!e->nmi_pending || e->nmi_masked || e->smm || (e->int_shadow & X86_SHADOW_MOV_SS))
        return false;
    e->nmi_pending = 0;
    e->mp_state = X86_MP_RUNNABLE;
    x86_deliver(s, &(X86Event){ .kind = X86_EVENT_NMI, .vector = X86_NMI }, s->rip);
    return true;
}

static bool take_irq(X86State *s, TcgCpu *cpu)
{
    const TcgCallbacks *cb = tcg_cpu_callbacks(cpu);
    void *opaque = tcg_cpu_opaque(cpu);

    if (!irq_open(s) || !cb->irq_pending(opaque))
        return false;
    int vector = cb->irq_ack(opaque);
    if (vector < 0)
        return false;
    s->ev.mp_state = X86_MP_RUNNABLE;
    x86_deliver(s, &(X86Event){ .kind = X86_EVENT_INTR, .vector = (uint8_t)vector }, s->rip);
    return true;
}

/* CR4.VME/PVI: VIP with VIF raises #GP before the next instruction (SDM 3B 20.3.2). */
static void check_vip(X86State *s)
{
    uint32_t both = X86_VIF | X86_VIP;
    bool on = s->cpl == 3 && s->cr4 & (x86_vm86(s) ? X86_CR4_VME : X86_CR4_PVI);
    if (on && x86_pe(s) && (s->rflags_rest & both) == both && !(x86_vm86(s) && x86_iopl(s) == 3))
        x86_raise_gp0(s);
}

bool x86_deliver_events(TcgCpu *cpu)
{
    X86State *s = tcg_cpu_state(cpu);
    X86Events *e = &s->ev;

    if (e->triple_fault)
        tcg_leave_with(cpu, TCG_LEAVE_SHUTDOWN);
    bool waits = wait_for_sipi(s);
    if (e->tlb_flush_pending)
        x86_space_sync(s);
    if (waits)
        return false;
    if (e->injected.kind != X86_EVENT_NONE)
        redeliver(s);
    if (e->pending.kind != X86_EVENT_NONE) {
        X86Event ev = e->pending;
        e->pending.kind = X86_EVENT_NONE;
        e->mp_state = X86_MP_RUNNABLE;
        x86_deliver(s, &ev, s->rip);
    }
    if (e->smm_pending && !e->smm) {
        e->smm_pending = 0;
        e->mp_state = X86_MP_RUNNABLE;
        x86_smm_enter(s);
    }
    if (!take_nmi(s))
        take_irq(s, cpu);
    if (e->mp_state == X86_MP_HALTED)
        return false;
    check_vip(s);
    if (!x86_dr_enabled(s))
        s->rflags_rest &= ~X86_RF;             /* it has no effect and nobody else would clear it */
    return true;
}
