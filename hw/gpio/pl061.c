/* PrimeCell GPIO PL061 (ARM DDI 0190B). All under the fabric's lock: its pins are wires. */
#include "hw/gpio/pl061.h"

#include "util/bits.h"

enum { PINS = 8, DATA_END = 0x400, DIRECTION = 0x400, IS = 0x404, IBE = 0x408, IEV = 0x40c, IE = 0x410, RIS = 0x414, MIS = 0x418, IC = 0x41c, AFSEL = 0x420, ID = 0xfe0 };

typedef struct Pl061 {
    Device dev;
    uint8_t in, out;            /* levels of the wires; data register */
    uint8_t dir, is, ibe, iev, ie, afsel;   /* is: level-sensitive; ibe: both edges; iev: high or rising */
    uint8_t ris, data;          /* data: as the pins were at the last look */
} Pl061;

static uint8_t pins(const Pl061 *g) { return (uint8_t)((g->out & g->dir) | (g->in & ~g->dir)); }

static void update(Pl061 *g)
{
    uint8_t now = pins(g), changed = now ^ g->data;
    g->data = now;
    uint8_t edges = (uint8_t)(changed & (g->ibe | ~(now ^ g->iev))) & (uint8_t)~g->is, levels = (uint8_t)(~(now ^ g->iev) & g->is);
    g->ris = (uint8_t)((g->ris & ~g->is) | edges | levels);
    irq_set_locked(g->dev.irq[0], g->ris & g->ie);
    for (unsigned i = 0; i < PINS; i++)
        irq_set_locked(g->dev.irq[1 + i], g->out & g->dir & BIT(i));
}

static void input(void *opaque, unsigned n, bool level)
{
    Pl061 *g = opaque;
    g->in = (uint8_t)bits_put(g->in, n, 1, level);
    update(g);
}

static uint8_t *reg_of(Pl061 *g, uint64_t off)
{
    switch (off) {
    case DIRECTION: return &g->dir;
    case IS: return &g->is;
    case IBE: return &g->ibe;
    case IEV: return &g->iev;
    case IE: return &g->ie;
    case AFSEL: return &g->afsel;
    default: return NULL;
    }
}

/* Address bits 9:2 choose the bits of the data register that are read or written (3.3.1). */
static uint64_t pl061_read(void *opaque, uint64_t off, unsigned size)
{
    static const uint8_t id[] = { 0x61, 0x10, 0x04, 0x00, 0x0d, 0xf0, 0x05, 0xb1 };
    Pl061 *g = opaque;
    if (off < DATA_END)
        return pins(g) & off >> 2;
    if (off >= ID)
        return id[(off - ID) / 4];
    const uint8_t *r = reg_of(g, off);
    return r ? *r : off == RIS ? g->ris : off == MIS ? g->ris & g->ie : 0;
}

static void pl061_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    Pl061 *g = opaque;
    uint8_t *r = reg_of(g, off), mask = (uint8_t)(off >> 2) & g->dir;
    if (off < DATA_END)
        g->out = (uint8_t)((g->out & ~mask) | (val & mask));
    else if (r)
        *r = (uint8_t)val;
    else if (off == IC)
        g->ris &= (uint8_t)~val;
    update(g);
}

static const MmioOps pl061_ops = { .read = pl061_read, .write = pl061_write, .min_size = 4, .max_size = 4 };

static bool pl061_realize(Device *dev, GError **err)
{
    device_init_mmio(dev, 0, "regs", &pl061_ops, 0x1000);
    device_init_inputs(dev, PINS, input);
    device_init_irqs(dev, 1 + PINS);
    return true;
}

static void pl061_reset(Device *dev)
{
    Pl061 *g = (Pl061 *)dev;
    g->out = g->dir = g->is = g->ibe = g->iev = g->ie = g->afsel = g->ris = 0;
    g->data = pins(g);
    update(g);
}

static bool pl061_post_load(Device *dev, unsigned version, GError **err)
{
    update((Pl061 *)dev);
    return true;
}

static const FieldDesc pl061_fields[] = {
    FIELD(Pl061, in), FIELD(Pl061, out), FIELD(Pl061, dir), FIELD(Pl061, is), FIELD(Pl061, ibe), FIELD(Pl061, iev), FIELD(Pl061, ie),
    FIELD(Pl061, afsel), FIELD(Pl061, ris), FIELD(Pl061, data), { 0 }
};
static const DeviceSection pl061_state[] = {
    { .name = "pl061", .version = 1, .min_version = 1, .fields = pl061_fields, .post_load = pl061_post_load }, { 0 }
};

const DeviceClass pl061_class = {
    .name = "pl061", .summary = "PrimeCell GPIO PL061", .size = sizeof(Pl061), .bus = BUS_SYS, .fabric = true, .internal = true, .state = pl061_state,
    .realize = pl061_realize, .reset = pl061_reset,
};

/* ---- a key on a pin ---- */

enum { PRESS_MS = 100 };

typedef struct GpioKey {
    Device dev;
    Timer *release;
} GpioKey;

static void released(void *opaque) { irq_set_locked(((GpioKey *)opaque)->dev.irq[0], false); }

void gpio_key_press(void *key)
{
    GpioKey *k = key;
    if (!devlock_enter(k->dev.lock))
        return;
    irq_set_locked(k->dev.irq[0], true);
    timer_arm(k->release, mclock_now(k->dev.clock, CLOCK_KIND_VIRTUAL) + PRESS_MS * NS_PER_MS);
    devlock_leave(k->dev.lock);
}

static bool key_realize(Device *dev, GError **err)
{
    device_init_irqs(dev, 1);
    ((GpioKey *)dev)->release = device_timer_new(dev, released);
    return true;
}

static void key_unrealize(Device *dev) { timer_free(((GpioKey *)dev)->release); }

static void key_reset(Device *dev)
{
    timer_cancel(((GpioKey *)dev)->release);
    released(dev);
}

static bool key_post_load(Device *dev, unsigned version, GError **err)
{
    irq_set_locked(dev->irq[0], timer_armed(((GpioKey *)dev)->release));
    return true;
}

static const FieldDesc key_fields[] = { FIELD_TIMER(GpioKey, release), { 0 } };
static const DeviceSection key_state[] = {
    { .name = "gpio-key", .version = 1, .min_version = 1, .fields = key_fields, .post_load = key_post_load }, { 0 }
};

const DeviceClass gpio_key_class = {
    .name = "gpio-key", .summary = "key on a GPIO pin", .size = sizeof(GpioKey), .bus = BUS_SYS, .fabric = true, .internal = true, .state = key_state,
    .realize = key_realize, .reset = key_reset, .unrealize = key_unrealize,
};

/* ---- what switches the machine ---- */

static void pwr_input(void *opaque, unsigned n, bool level)
{
    if (level)
        device_request(opaque, n ? DEVICE_REQ_SHUTDOWN : DEVICE_REQ_RESET, 0);
}

static bool pwr_realize(Device *dev, GError **err)
{
    device_init_inputs(dev, 2, pwr_input);
    return true;
}

const DeviceClass gpio_pwr_class = {
    .name = "gpio-pwr", .summary = "reset and power of the machine on GPIO pins", .size = sizeof(Device), .bus = BUS_SYS, .fabric = true, .internal = true,
    .realize = pwr_realize,
};
