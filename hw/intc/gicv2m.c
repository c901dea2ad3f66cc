/* GICv2m: MSIs as SPIs (Arm Server Base System Architecture 3.0, appendix E). */
#include "hw/intc/gic.h"

enum { TYPER = 0x008, IIDR = 0xfcc };

typedef struct Gicv2m {
    Device dev;
    uint32_t base, count;       /* properties: first interrupt, how many */
} Gicv2m;

void gicv2m_msi(Device *dev, uint32_t data)
{
    Gicv2m *g = (Gicv2m *)dev;
    uint32_t n = (data & 0x3ff) - g->base;
    if (n < g->count)
        irq_pulse(dev->irq[n]);
}

static uint64_t v2m_read(void *opaque, uint64_t off, unsigned size)
{
    const Gicv2m *g = opaque;
    return off == TYPER ? g->base << 16 | g->count : off == IIDR ? 0x43b : 0;
}

static void v2m_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    if (off == GICV2M_SETSPI)
        gicv2m_msi(opaque, (uint32_t)val);
}

static const MmioOps v2m_ops = { .read = v2m_read, .write = v2m_write, .min_size = 4, .max_size = 4 };

static bool v2m_realize(Device *dev, GError **err)
{
    Gicv2m *g = (Gicv2m *)dev;
    device_init_mmio(dev, 0, "frame", &v2m_ops, 0x1000);
    device_init_irqs(dev, g->count);
    return true;
}

static const PropDesc v2m_props[] = {
    PROP(Gicv2m, base, PROP_U32, "base", .def = "80", .min = 32, .max = 1019, .help = "first interrupt"),
    PROP(Gicv2m, count, PROP_U32, "count", .def = "64", .min = 1, .max = GICV2M_MAX, .help = "number of interrupts"), { 0 }
};

const DeviceClass gicv2m_class = {
    .name = "arm-gicv2m", .summary = "MSI frame of the GICv2", .size = sizeof(Gicv2m), .bus = BUS_SYS, .internal = true, .props = v2m_props,
    .realize = v2m_realize,
};
