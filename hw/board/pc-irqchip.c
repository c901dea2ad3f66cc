/* Who owns the interrupt controllers: the models, or an engine with chips of its own. State and ownership move together. */
#include "hw/board/pc-internal.h"
#include "hw/timer/pit.h"

static X86Irqchips *chips_new(Pc *pc)
{
    X86Irqchips *c = g_new0(X86Irqchips, 1);
    c->n_lapics = pc->lapics->len;
    c->lapic = g_new0(X86LapicState, c->n_lapics);
    return c;
}

static void chips_free(X86Irqchips *c)
{
    g_free(c->lapic);
    g_free(c);
}

/* Vcpus at rest. */
static bool take(Pc *pc, const AccelOps *from, void *from_vm, GError **err)
{
    X86Irqchips *c = chips_new(pc);
    bool ok = from->irqchip_out(from_vm, c, err);
    if (ok) {
        irq_fabric_set_owner(machine_fabric(pc->m), IRQ_OWNER_MODEL);
        pic_state_in(pc->pic, &c->pic);
        ioapic_state_in(pc->ioapic, &c->ioapic);
        for (unsigned i = 0; i < c->n_lapics; i++)
            lapic_state_in(g_ptr_array_index(pc->lapics, i), &c->lapic[i]);
        if (c->has_pit) {
            pit_state_in(pc->pit, &c->pit);
            pit_set_active(pc->pit, true);
        }
    }
    chips_free(c);
    return ok;
}

static bool give(Pc *pc, const AccelOps *to, void *to_vm, GError **err)
{
    X86Irqchips *c = chips_new(pc);
    pic_state_out(pc->pic, &c->pic);
    ioapic_state_out(pc->ioapic, &c->ioapic);
    pit_state_out(pc->pit, &c->pit);
    for (unsigned i = 0; i < c->n_lapics; i++)
        lapic_state_out(g_ptr_array_index(pc->lapics, i), &c->lapic[i]);
    c->has_pit = true;
    bool ok = to->irqchip_in(to_vm, c, err);
    if (ok) {
        irq_fabric_set_owner(machine_fabric(pc->m), IRQ_OWNER_ENGINE);
        pit_set_active(pc->pit, !c->has_pit);
    }
    chips_free(c);
    return ok;
}

/* An engine that has chips and uses them offers itself to the fabric in its vm_init. */
static bool engine_wants(Pc *pc, const AccelOps *a)
{
    void *opaque;
    return a && a->irqchip_in && machine_config(pc->m)->accel_cfg.irqchip != ACCEL_IRQCHIP_OFF && irq_fabric_engine(machine_fabric(pc->m), &opaque);
}

static bool owned_by_engine(Pc *pc)
{
    return irq_fabric_owner(machine_fabric(pc->m)) == IRQ_OWNER_ENGINE;
}

static bool on_switch(Machine *m, const AccelOps *from, void *from_vm, const AccelOps *to, void *to_vm, void *opaque, GError **err)
{
    Pc *pc = opaque;
    if (owned_by_engine(pc) && from->irqchip_out && !take(pc, from, from_vm, err))
        return false;
    if (engine_wants(pc, to) && !give(pc, to, to_vm, err))
        return false;
    gsi_resend(pc->gsi);
    return true;
}

/* Start of a reset's board part: what follows sets up the models. */
void pc_irqchip_before_reset(Pc *pc)
{
    irq_fabric_set_owner(machine_fabric(pc->m), IRQ_OWNER_MODEL);
    pit_set_active(pc->pit, true);
}

void pc_irqchip_after_reset(Pc *pc)
{
    const AccelOps *a = machine_accel(pc->m);
    g_autoptr(GError) err = NULL;
    if (!engine_wants(pc, a))
        return;
    if (!give(pc, a, machine_accel_vm(pc->m), &err))
        log_warn(machine_log(pc->m), "interrupt controllers stay with the models: %s", err->message);
    gsi_resend(pc->gsi);
}

void pc_irqchip_init(Pc *pc)
{
    machine_set_switch_hook(pc->m, on_switch, pc);
}
