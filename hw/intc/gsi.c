/* The fan-out of interrupt lines to the 8259s and the I/O APIC, or to the engine that owns them. */
#include "hw/intc/gsi.h"

#include "hw/intc/ioapic.h"

enum { N_ISA = 16, TIMER_PIN = 2, FIRST_PIN = N_ISA };

typedef struct Gsi {
    Device dev;             /* its lock is the fabric's */
} Gsi;

/* Outputs: 0-15 to the 8259s, 16 + pin to the I/O APIC. */
static int pin_of(unsigned n)
{
    return n == 0 ? TIMER_PIN : n == TIMER_PIN ? -1 : (int)n;
}

static void drive(Gsi *g, unsigned n, bool level)
{
    if (irq_fabric_engine_gsi_locked(device_fabric(&g->dev), n, level))
        return;
    if (n < N_ISA)
        irq_set_locked(g->dev.irq[n], level);
    if (pin_of(n) >= 0)
        irq_set_locked(g->dev.irq[FIRST_PIN + pin_of(n)], level);
}

static void gsi_input(void *opaque, unsigned n, bool level)
{
    drive(opaque, n, level);
}

/* The I/O APIC saw an EOI of @pin: resample callbacks hang on our input. Lock held. */
static void gsi_pin_eoi(void *opaque, unsigned pin)
{
    Gsi *g = opaque;
    irq_wire_eoi_locked(device_input(&g->dev, pin == TIMER_PIN ? 0 : pin));
}

void gsi_connect(Device *dev, Device *pic, Device *ioapic)
{
    for (unsigned i = 0; pic && i < N_ISA; i++)
        irq_connect(dev->irq[i], device_input(pic, i));
    for (unsigned i = 0; ioapic && i < X86_IOAPIC_PINS; i++)
        irq_connect(dev->irq[FIRST_PIN + i], device_input(ioapic, i));
    if (ioapic)
        ioapic_set_pin_eoi(ioapic, gsi_pin_eoi, dev);
}

void gsi_resend(Device *dev)
{
    irq_fabric_lock(device_fabric(dev));
    for (unsigned i = 0; i < GSI_INPUTS; i++)
        drive((Gsi *)dev, i, irq_wire_level(device_input(dev, i)));
    irq_fabric_unlock(device_fabric(dev));
}

static bool gsi_realize(Device *dev, GError **err)
{
    device_init_irqs(dev, FIRST_PIN + X86_IOAPIC_PINS);
    device_init_inputs(dev, GSI_INPUTS, gsi_input);
    return true;
}

const DeviceClass gsi_class = {
    .name = "gsi", .summary = "interrupt lines of the PC", .size = sizeof(Gsi), .bus = BUS_SYS, .fabric = true, .internal = true,
    .realize = gsi_realize,
};
