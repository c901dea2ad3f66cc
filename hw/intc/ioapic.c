/*
 * 82093AA I/O APIC (Intel 290566-001). Version 20h, with the EOI register that ICH added: Linux uses it when local APICs
 * suppress EOI broadcasts. Interrupts leave as MSIs: bits of a redirection entry and of an MSI's data have the same layout.
 */
#include "hw/intc/ioapic.h"

#include "util/bits.h"

enum { IOREGSEL = 0x00, IOWIN = 0x10, IOEOI = 0x40, REG_ID = 0, REG_VER = 1, REG_ARB = 2, REG_REDIR = 0x10 };
enum { VERSION = 0x20 | (X86_IOAPIC_PINS - 1) << 16, ID_MASK = 0x0f000000 };
enum { DM_FIXED, DM_LOWEST, DM_SMI, DM_RSVD, DM_NMI, DM_INIT, DM_RSVD2, DM_EXTINT };
#define REDIR_STATUS   BIT(12)
#define REDIR_POLARITY BIT(13)
#define REDIR_RIRR     BIT(14)
#define REDIR_LEVEL    BIT(15)
#define REDIR_MASK     BIT(16)
#define REDIR_WRITABLE 0xff0000000001afffull
/* Storms of a level interrupt whose handler does not reach its cause end here, as in KVM: see ioapic_eoi_pin(). */
enum { STORM_EOIS = 10000, STORM_DELAY_NS = 10000000 };

typedef struct Ioapic {
    Device dev;             /* its lock is the fabric's */
    X86IoapicState s;
    uint32_t reset_id;      /* property */
    Timer *storm_timer;
    uint32_t storm_pins;    /* held back until the timer */
    uint32_t eois[X86_IOAPIC_PINS];     /* in a row with the line still up */
    void (*pin_eoi)(void *opaque, unsigned pin);
    void *pin_eoi_opaque;
} Ioapic;

static unsigned delivery_mode(uint64_t e)
{
    return (unsigned)bits_get(e, 8, 3);
}

/* Only fixed and lowest priority interrupts can be level triggered; the others are edges whatever bit 15 says (3.2.4). */
static bool is_level(uint64_t e)
{
    return e & REDIR_LEVEL && delivery_mode(e) <= DM_LOWEST;
}

/* Destination and mode into an MSI's address, the rest into its data (SDM 3A 11.11). Lock held; delivery takes no lock. */
static void send(Ioapic *io, unsigned pin)
{
    uint64_t e = io->s.redir[pin];
    uint64_t addr = 0xfee00000u | bits_get(e, 56, 8) << 12 | bits_get(e, 11, 1) << 2 | (delivery_mode(e) == DM_LOWEST ? BIT(3) : 0);
    uint32_t data = (uint32_t)(e & 0x7ff) | (is_level(e) ? (uint32_t)(BIT(15) | BIT(14)) : 0);
    irq_fabric_msi(device_fabric(&io->dev), addr, data, 0);
}

/* Send what pin @n asks for, if it may. Lock held. */
static void service(Ioapic *io, unsigned n)
{
    uint64_t e = io->s.redir[n];
    if (!(io->s.irr & BIT(n)) || e & REDIR_MASK)
        return;
    if (is_level(e)) {
        if (e & REDIR_RIRR || io->storm_pins & BIT(n))
            return;
        io->s.redir[n] |= REDIR_RIRR;
    } else {
        io->s.irr &= ~(uint32_t)BIT(n);
    }
    send(io, n);
}

/* Level entries follow the line, edge entries latch its rise. Polarity is not modelled: a high level is an active line, as on KVM. */
static void ioapic_input(void *opaque, unsigned n, bool level)
{
    Ioapic *io = opaque;
    uint32_t bit = (uint32_t)BIT(n);
    bool rising = level && !(io->s.line & bit);
    io->s.line = level ? io->s.line | bit : io->s.line & ~bit;
    if (is_level(io->s.redir[n])) {
        io->s.irr = level ? io->s.irr | bit : io->s.irr & ~bit;
        if (!level)
            io->eois[n] = 0;
    } else if (rising && !(io->s.redir[n] & REDIR_MASK)) {
        io->s.irr |= bit;   /* an edge into a masked pin is lost (3.2.4, bit 16) */
    }
    service(io, n);
}

/* ---- end of interrupt ---- */

/*
 * A guest that acknowledges a level interrupt without serving it would be interrupted again at once, forever, and never come
 * to serve it: after many in a row the next one is held back a while.
 */
static void ioapic_eoi_pin(Ioapic *io, unsigned n)
{
    io->s.redir[n] &= ~REDIR_RIRR;
    irq_wire_eoi_locked(device_input(&io->dev, n));
    if (io->pin_eoi)
        io->pin_eoi(io->pin_eoi_opaque, n);
    if (io->s.irr & BIT(n) && ++io->eois[n] >= STORM_EOIS) {
        io->eois[n] = 0;
        io->storm_pins |= (uint32_t)BIT(n);
        timer_arm(io->storm_timer, mclock_now(io->dev.clock, CLOCK_KIND_VIRTUAL) + STORM_DELAY_NS);
    }
    service(io, n);
}

static void storm_over(void *opaque)
{
    Ioapic *io = opaque;
    io->storm_pins = 0;
    for (unsigned i = 0; i < X86_IOAPIC_PINS; i++)
        service(io, i);
}

static void eoi_locked(Ioapic *io, uint8_t vector)
{
    for (unsigned i = 0; i < X86_IOAPIC_PINS; i++)
        if ((io->s.redir[i] & 0xff) == vector && io->s.redir[i] & REDIR_RIRR && is_level(io->s.redir[i]))
            ioapic_eoi_pin(io, i);
}

void ioapic_eoi(Device *dev, uint8_t vector)
{
    irq_fabric_lock(device_fabric(dev));
    eoi_locked((Ioapic *)dev, vector);
    irq_fabric_unlock(device_fabric(dev));
}

void ioapic_set_pin_eoi(Device *dev, void (*fn)(void *opaque, unsigned pin), void *opaque)
{
    Ioapic *io = (Ioapic *)dev;
    irq_fabric_lock(device_fabric(dev));
    io->pin_eoi = fn;
    io->pin_eoi_opaque = opaque;
    irq_fabric_unlock(device_fabric(dev));
}

/* Lock held. */
static void level_vectors(const Ioapic *io, uint64_t ret[4])
{
    memset(ret, 0, 4 * sizeof(ret[0]));
    for (unsigned i = 0; i < X86_IOAPIC_PINS; i++)
        if (is_level(io->s.redir[i]))
            ret[bits_get(io->s.redir[i], 6, 2)] |= BIT(io->s.redir[i] & 63);
}

void ioapic_level_vectors(Device *dev, uint64_t ret[4])
{
    irq_fabric_lock(device_fabric(dev));
    level_vectors((Ioapic *)dev, ret);
    irq_fabric_unlock(device_fabric(dev));
}

/* An engine that owns the local APICs only reports the EOIs that we name. Lock held. */
static void tell_engine(const Ioapic *io)
{
    IrqFabric *f = device_fabric((Device *)&io->dev);
    void *opaque = NULL;
    const IrqEngineOps *e = irq_fabric_engine(f, &opaque);
    uint64_t v[4];
    if (irq_fabric_owner(f) != IRQ_OWNER_ENGINE || !e->level_vectors)
        return;
    level_vectors(io, v);
    e->level_vectors(opaque, v);
}

void ioapic_tell_engine(Device *dev)
{
    irq_fabric_lock(device_fabric(dev));
    tell_engine((Ioapic *)dev);
    irq_fabric_unlock(device_fabric(dev));
}

/* ---- registers ---- */

static uint32_t reg_read(Ioapic *io, unsigned reg)
{
    if (reg >= REG_REDIR && reg < REG_REDIR + 2 * X86_IOAPIC_PINS) {
        uint64_t e = io->s.redir[(reg - REG_REDIR) / 2];
        return (uint32_t)(reg & 1 ? e >> 32 : e);
    }
    switch (reg) {
    case REG_ID:
    case REG_ARB:           /* loaded with the ID whenever that is written (3.2.3) */
        return io->s.id;
    case REG_VER:
        return VERSION;
    default:
        return 0;
    }
}

static void redir_write(Ioapic *io, unsigned n, unsigned shift, uint32_t val)
{
    uint64_t old = io->s.redir[n];
    uint64_t e = bits_put(old, shift, 32, val);
    e = (e & REDIR_WRITABLE) | (old & (REDIR_STATUS | REDIR_RIRR));
    /* Remote IRR means nothing in an edge entry: switching there clears it, the way Linux gets rid of a stuck one. */
    if (!is_level(e))
        e &= ~REDIR_RIRR;
    io->s.redir[n] = e;
    uint32_t bit = (uint32_t)BIT(n);
    if (is_level(e))
        io->s.irr = io->s.line & bit ? io->s.irr | bit : io->s.irr & ~bit;
    else if (is_level(old))
        io->s.irr &= ~bit;
    /* before the interrupt that this may let through */
    if (is_level(e) != is_level(old) || (is_level(e) && (e & 0xff) != (old & 0xff)))
        tell_engine(io);
    service(io, n);
}

static void reg_write(Ioapic *io, unsigned reg, uint32_t val)
{
    if (reg >= REG_REDIR && reg < REG_REDIR + 2 * X86_IOAPIC_PINS)
        redir_write(io, (reg - REG_REDIR) / 2, reg & 1 ? 32 : 0, val);
    else if (reg == REG_ID)
        io->s.id = val & ID_MASK;
}

static uint64_t ioapic_read(void *opaque, uint64_t off, unsigned size)
{
    Ioapic *io = opaque;
    return off == IOREGSEL ? io->s.select : off == IOWIN ? reg_read(io, io->s.select) : 0;
}

static void ioapic_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    Ioapic *io = opaque;
    if (off == IOREGSEL)
        io->s.select = (uint8_t)val;
    else if (off == IOWIN)
        reg_write(io, io->s.select, (uint32_t)val);
    else if (off == IOEOI)
        eoi_locked(io, (uint8_t)val);
}

static const MmioOps ioapic_ops = { .read = ioapic_read, .write = ioapic_write, .min_size = 4, .max_size = 4 };

/* ---- life ---- */

static void ioapic_reset(Device *dev)
{
    Ioapic *io = (Ioapic *)dev;
    uint32_t line = io->s.line;
    io->s = (X86IoapicState){ .line = line, .id = io->reset_id << 24 & ID_MASK };
    for (unsigned i = 0; i < X86_IOAPIC_PINS; i++)
        io->s.redir[i] = REDIR_MASK;
    io->storm_pins = 0;
    memset(io->eois, 0, sizeof(io->eois));
    timer_cancel(io->storm_timer);
}

static bool ioapic_realize(Device *dev, GError **err)
{
    Ioapic *io = (Ioapic *)dev;
    device_init_mmio(dev, 0, "regs", &ioapic_ops, 4096);
    device_init_inputs(dev, X86_IOAPIC_PINS, ioapic_input);
    io->storm_timer = device_timer_new(dev, storm_over);
    return true;
}

static void ioapic_unrealize(Device *dev)
{
    timer_free(((Ioapic *)dev)->storm_timer);
}

/* Lock held. Registers only: the caller sees to what may be sent. */
static void ioapic_take(Ioapic *io, const X86IoapicState *s)
{
    X86IoapicState n = *s;
    n.id &= ID_MASK;
    n.irr &= (uint32_t)bits_mask(X86_IOAPIC_PINS);
    n.line &= (uint32_t)bits_mask(X86_IOAPIC_PINS);
    for (unsigned i = 0; i < X86_IOAPIC_PINS; i++)
        n.redir[i] &= REDIR_WRITABLE | REDIR_STATUS | REDIR_RIRR;
    io->s = n;
}

static bool ioapic_post_load(Device *dev, unsigned version, GError **err)
{
    Ioapic *io = (Ioapic *)dev;
    X86IoapicState s = io->s;
    ioapic_take(io, &s);
    /* What was held back goes a little later: the local APICs may not have their state yet. */
    io->storm_pins = (uint32_t)bits_mask(X86_IOAPIC_PINS);
    timer_arm(io->storm_timer, mclock_now(dev->clock, CLOCK_KIND_VIRTUAL) + NS_PER_MS);
    return true;
}

void ioapic_state_out(Device *dev, X86IoapicState *ret)
{
    irq_fabric_lock(device_fabric(dev));
    *ret = ((Ioapic *)dev)->s;
    irq_fabric_unlock(device_fabric(dev));
}

/* An engine need not know the lines of edge pins: they are what the wires say. */
void ioapic_state_in(Device *dev, const X86IoapicState *s)
{
    Ioapic *io = (Ioapic *)dev;
    X86IoapicState now = *s;
    irq_fabric_lock(device_fabric(dev));
    now.line = 0;
    for (unsigned i = 0; i < X86_IOAPIC_PINS; i++)
        now.line |= (uint32_t)irq_wire_level(device_input(dev, i)) << i;
    for (unsigned i = 0; i < X86_IOAPIC_PINS; i++)
        if (is_level(now.redir[i]))
            now.irr = (uint32_t)bits_put(now.irr, i, 1, now.line >> i & 1);
    ioapic_take(io, &now);
    for (unsigned i = 0; i < X86_IOAPIC_PINS; i++)
        service(io, i);
    irq_fabric_unlock(device_fabric(dev));
}

static const PropDesc ioapic_props[] = {
    PROP(Ioapic, reset_id, PROP_U32, "id", .def = "0", .max = 15, .help = "APIC ID after reset"), { 0 }
};
static const FieldDesc ioapic_fields[] = { FIELD_SUB(Ioapic, s, x86_ioapic_fields), { 0 } };
static const DeviceSection ioapic_state[] = {
    { .name = "ioapic", .version = 1, .min_version = 1, .fields = ioapic_fields, .post_load = ioapic_post_load },
    { 0 }
};

const DeviceClass ioapic_class = {
    .name = "ioapic", .summary = "82093AA I/O APIC", .size = sizeof(Ioapic), .bus = BUS_SYS, .fabric = true, .internal = true,
    .props = ioapic_props, .state = ioapic_state, .realize = ioapic_realize, .reset = ioapic_reset, .unrealize = ioapic_unrealize,
};
