/* Controllers' state moves to an engine with chips of its own and back: pending interrupts, levels and countdowns are all still there. */
#include <string.h>

#include "hw/intc/handover.h"
#include "hw/timer/pit.h"
#include "tests/device/chips.h"

enum { CPUS = 2 };

/* An engine's chips that only remember. */
typedef struct Engine {
    X86Irqchips chips;
    X86LapicState lapic[CPUS];
    bool refuse, has_pit;
    unsigned levels, n_msi, ins;
} Engine;

static void engine_gsi(void *opaque, unsigned gsi, bool level)
{
    Engine *e = opaque;
    e->levels = (e->levels & ~(1u << gsi)) | (unsigned)level << gsi;
}

static void engine_msi(void *opaque, uint64_t addr, uint32_t data)
{
    ((Engine *)opaque)->n_msi++;
}

static bool chips_in_engine(void *vm, const void *chips, GError **err)
{
    Engine *e = vm;
    const X86Irqchips *c = chips;
    if (e->refuse) {
        g_set_error(err, G_OPTION_ERROR, 0, "no");
        return false;
    }
    e->ins++;
    e->chips = *c;
    memcpy(e->lapic, c->lapic, sizeof(e->lapic));
    e->chips.ioapic.line = e->chips.ioapic.irr = 0;     /* it may not know lines */
    return true;
}

static bool chips_out_engine(void *vm, void *chips, GError **err)
{
    Engine *e = vm;
    X86Irqchips *c = chips;
    X86LapicState *lapic = c->lapic;
    *c = e->chips;
    c->lapic = lapic;
    c->has_pit = e->has_pit;
    memcpy(lapic, e->lapic, sizeof(e->lapic));
    for (unsigned i = 0; i < CPUS; i++)     /* an engine does not know these */
        memset(&lapic[i].apic_base, 0, sizeof(lapic[i]) - offsetof(X86LapicState, apic_base));
    return true;
}

static const AccelOps owner = { .name = "owner", .irqchip_in = chips_in_engine, .irqchip_out = chips_out_engine };
static const AccelOps plain = { .name = "plain" };
static const IrqEngineOps full_ops = { .gsi = engine_gsi, .msi = engine_msi, .pit = true };
static const IrqEngineOps split_ops = { .msi = engine_msi };

static void prepare(Chips *c)
{
    chips_redirect(c, 20, 0x8071);
    irq_set(c->line[20], true);
    CHECK_EQ(chips_ack(c, 0), 0x71);        /* level interrupt in service */
    chips_apic_write(c, 0, 0x300, 0x40000 | 0x51);
    chips_apic_write(c, 1, 0x80, 0x30);
    chips_apic_write(c, 0, 0x3e0, 0xb);
    chips_apic_write(c, 0, 0x320, 0x20040);
    chips_apic_write(c, 0, 0x380, 250000);
    chips_advance(c, 100000);
}

static void check(Chips *c)
{
    CHECK_EQ(chips_apic(c, 0, 0x390), 150000);
    CHECK_EQ(chips_apic(c, 1, 0x80), 0x30);
    CHECK(!chips_pending(c, 0));
    chips_apic_write(c, 0, 0xb0, 0);        /* ends 0x71; the line is still up */
    CHECK_EQ(chips_ack(c, 0), 0x71);
    irq_set(c->line[20], false);
    chips_apic_write(c, 0, 0xb0, 0);
    CHECK_EQ(chips_ack(c, 0), 0x51);
    chips_apic_write(c, 0, 0xb0, 0);
    chips_advance(c, 150000);
    CHECK_EQ(chips_ack(c, 0), 0x40);
}

static void run(bool split)
{
    Chips c;
    Engine e = { .has_pit = !split };
    GError *err = NULL;
    chips_init(&c, CPUS);
    chips_enable(&c);
    Device *pit = chips_device(&c, &pit_class);
    irq_connect(pit->irq[0], device_input(c.gsi, 0));
    IrqChipSet s = { .m = c.m, .pic = c.pic, .pit = pit, .ioapic = c.ioapic, .gsi = c.gsi, .lapics = c.lapic, .n_lapics = CPUS };
    IrqFabric *f = machine_fabric(c.m);
    prepare(&c);
    irq_fabric_set_engine(f, split ? &split_ops : &full_ops, &e);
    e.refuse = true;
    CHECK(!irqchips_switch(&s, &plain, NULL, &owner, &e, &err));
    g_clear_error(&err);
    CHECK_EQ(irq_fabric_owner(f), IRQ_OWNER_MODEL);
    e.refuse = false;
    CHECK(irqchips_switch(&s, &plain, NULL, &owner, &e, &err));
    CHECK_EQ(irq_fabric_owner(f), IRQ_OWNER_ENGINE);
    CHECK_EQ(e.lapic[0].reg[0x39], 150000);
    CHECK_EQ(((X86State *)chips_cpu(&c, 1)->state)->cr8, 3);
    CHECK_EQ(e.levels, split ? 0 : 1u << 20);
    irq_set(c.line[5], true);               /* goes to the engine now, or to our I/O APIC if that stayed */
    CHECK_EQ(e.levels, split ? 0 : 1u << 20 | 1u << 5);
    chips_redirect(&c, 6, 0x66);
    irq_pulse(c.line[6]);
    CHECK_EQ(e.n_msi, split);               /* whose messages reach the engine's local APICs */
    irq_fabric_msi(f, 0xfee00000, 0x55, 0);
    CHECK_EQ(e.n_msi, split + 1u);
    irq_set(c.line[5], false);
    CHECK(irqchips_switch(&s, &owner, &e, &plain, NULL, &err));
    CHECK_EQ(irq_fabric_owner(f), IRQ_OWNER_MODEL);
    check(&c);
    irq_fabric_set_engine(f, NULL, NULL);
    chips_clear(&c);
}

int main(void)
{
    run(false);
    run(true);
    printf("handover: ok\n");
    return 0;
}
