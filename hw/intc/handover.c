#include "hw/intc/handover.h"

#include "cpu/x86/state.h"
#include "hw/intc/gsi.h"
#include "hw/intc/ioapic.h"
#include "hw/intc/lapic-internal.h"
#include "hw/intc/pic.h"
#include "hw/timer/pit.h"

static X86Irqchips *chips_new(const IrqChipSet *s)
{
    X86Irqchips *c = g_new0(X86Irqchips, 1);
    c->n_lapics = s->n_lapics;
    c->lapic = g_new0(X86LapicState, s->n_lapics);
    return c;
}

static void chips_free(X86Irqchips *c)
{
    g_free(c->lapic);
    g_free(c);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(X86Irqchips, chips_free)

static X86State *cpu_state(const IrqChipSet *s, unsigned i)
{
    return machine_vcpu(s->m, i)->state;
}

/* The models' state; IA32_APIC_BASE, the deadline and CR8 also go where an engine looks for them. */
static void collect(const IrqChipSet *s, X86Irqchips *c)
{
    c->pit_now = pit_stop(s->pit, &c->pit);     /* first: it may have a tick for the others */
    pic_state_out(s->pic, &c->pic);
    ioapic_state_out(s->ioapic, &c->ioapic);
    for (unsigned i = 0; i < s->n_lapics; i++) {
        X86State *st = cpu_state(s, i);
        lapic_state_out(s->lapics[i], &c->lapic[i]);
        st->msr.apic_base = c->lapic[i].apic_base;
        st->tsc_deadline = c->lapic[i].tsc_deadline;
        st->cr8 = c->lapic[i].reg[LR_TPR] >> 4 & 15;
    }
}

static void distribute(const IrqChipSet *s, const X86Irqchips *c, bool all)
{
    for (unsigned i = 0; i < s->n_lapics; i++) {
        X86LapicState l = c->lapic[i];
        l.apic_base = cpu_state(s, i)->msr.apic_base;
        l.tsc_deadline = cpu_state(s, i)->tsc_deadline;
        lapic_countdown_from_count(s->lapics[i], &l);
        lapic_state_in(s->lapics[i], &l);
    }
    /* Last, because they may find something to send. */
    if (all) {
        pic_state_in(s->pic, &c->pic);
        ioapic_state_in(s->ioapic, &c->ioapic);
    }
}

/* Does the engine behind @vm offer to own them? @ret_all: the 8259s and the I/O APIC too. */
static bool offers(const IrqChipSet *s, const AccelOps *a, void *vm, bool *ret_all)
{
    void *opaque = NULL;
    const IrqEngineOps *ops = irq_fabric_engine(machine_fabric(s->m), &opaque);
    *ret_all = ops && ops->gsi;
    return ops && opaque == vm && a->irqchip_in && a->irqchip_out;
}

/* Models -> engine. On failure the models stay owners. */
static bool give(const IrqChipSet *s, const AccelOps *to, void *vm, GError **err)
{
    g_autoptr(X86Irqchips) c = chips_new(s);
    const IrqEngineOps *ops = irq_fabric_engine(machine_fabric(s->m), NULL);
    collect(s, c);
    if (!to->irqchip_in(vm, c, err)) {
        pit_start(s->pit, c->pit_now);
        return false;
    }
    irq_fabric_set_owner(machine_fabric(s->m), IRQ_OWNER_ENGINE);
    if (ops->pit)
        pit_set_active(s->pit, false);
    else
        pit_start(s->pit, c->pit_now);
    gsi_resend(s->gsi);
    ioapic_tell_engine(s->ioapic);
    return true;
}

/* Engine -> models. */
static bool take(const IrqChipSet *s, const AccelOps *from, void *vm, bool all, GError **err)
{
    g_autoptr(X86Irqchips) c = chips_new(s);
    if (!from->irqchip_out(vm, c, err))
        return false;
    irq_fabric_set_owner(machine_fabric(s->m), IRQ_OWNER_MODEL);
    /* First the wires as they are now, the timer's too, into models with stale state; then the state, which is the truth about everything but wires. */
    if (c->has_pit)
        pit_state_in(s->pit, &c->pit, c->pit_now);
    gsi_resend(s->gsi);
    distribute(s, c, all);
    if (c->has_pit)
        pit_start(s->pit, c->pit_now);
    return true;
}

static bool move(const IrqChipSet *s, const AccelOps *from, void *from_vm, const AccelOps *to, void *to_vm, GError **err)
{
    bool all;
    if (irq_fabric_owner(machine_fabric(s->m)) == IRQ_OWNER_ENGINE && offers(s, from, from_vm, &all) && !take(s, from, from_vm, all, err))
        return false;
    if (!offers(s, to, to_vm, &all) || give(s, to, to_vm, err))
        return true;
    /* It refused: back to where they were. What the vCPUs and models hold is unchanged. */
    if (offers(s, from, from_vm, &all))
        give(s, from, from_vm, NULL);
    return false;
}

bool irqchips_switch(const IrqChipSet *s, const AccelOps *from, void *from_vm, const AccelOps *to, void *to_vm, GError **err)
{
    IrqFabric *f = machine_fabric(s->m);
    irq_fabric_hold(f);
    bool ok = move(s, from, from_vm, to, to_vm, err);
    irq_fabric_release(f);
    return ok;
}

bool irqchips_reset(const IrqChipSet *s, GError **err)
{
    bool all;
    const AccelOps *a = machine_accel(s->m);
    void *vm = machine_accel_vm(s->m);
    if (!a || !offers(s, a, vm, &all))
        return true;
    IrqFabric *f = machine_fabric(s->m);
    irq_fabric_hold(f);
    irq_fabric_set_owner(f, IRQ_OWNER_MODEL);
    bool ok = give(s, a, vm, err);
    irq_fabric_release(f);
    return ok;
}
