/* Who owns the interrupt controllers: the models, or an engine with chips of its own. State and ownership move together. */
#include "hw/board/pc-internal.h"
#include "hw/intc/handover.h"
#include "hw/timer/pit.h"

static IrqChipSet chip_set(const Pc *pc)
{
    return (IrqChipSet){ .m = pc->m, .pic = pc->pic, .pit = pc->pit, .ioapic = pc->ioapic, .gsi = pc->gsi,
                         .lapics = (Device *const *)pc->lapics->pdata, .n_lapics = pc->lapics->len };
}

static bool on_switch(Machine *m, const AccelOps *from, void *from_vm, const AccelOps *to, void *to_vm, void *opaque, GError **err)
{
    IrqChipSet s = chip_set(opaque);
    return irqchips_switch(&s, from, from_vm, to, to_vm, err);
}

/* Split: the engine's local APICs end a level interrupt of our I/O APIC. */
static void on_eoi(void *opaque, uint8_t vector)
{
    apicbus_eoi(((Pc *)opaque)->apicbus, vector);
}

/* Start of a reset's board part: what follows sets up the models. */
void pc_irqchip_before_reset(Pc *pc)
{
    irq_fabric_set_owner(machine_fabric(pc->m), IRQ_OWNER_MODEL);
    pit_set_active(pc->pit, true);
}

void pc_irqchip_after_reset(Pc *pc)
{
    g_autoptr(GError) err = NULL;
    IrqChipSet s = chip_set(pc);
    if (!irqchips_reset(&s, &err))
        log_warn(machine_log(pc->m), "interrupt controllers stay with the models: %s", err ? err->message : "no reason given");
}

void pc_irqchip_init(Pc *pc)
{
    machine_set_switch_hook(pc->m, on_switch, pc);
    machine_set_eoi_hook(pc->m, on_eoi, pc);
}
