/* Two cascaded 8259A programmable interrupt controllers (Intel 231468-003) with the edge/level registers of PIIX (290550, 2.5.4). */
#include "hw/intc/pic.h"

#include "util/bits.h"

enum { MASTER, SLAVE, CASCADE = 2, N_IR = 8 };
enum { ICW1_IC4 = 1, ICW1_SNGL = 2, ICW1 = 0x10, ICW4_AEOI = 2, ICW4_SFNM = 0x10 };
enum { OCW3 = 8, OCW3_RIS = 1, OCW3_RR = 2, OCW3_P = 4, OCW3_SMM = 0x20, OCW3_ESMM = 0x40 };

typedef struct Pic {
    Device dev;             /* its lock is the fabric's */
    X86PicState s;
} Pic;

/* IRs that can be level triggered: not the timer, keyboard, cascade, RTC and FPU error. */
static const uint8_t elcr_mask[2] = { 0xf8, 0xde };

/* Distance of the highest set bit's priority from the top: 0..7, or 8 if none. */
static unsigned top_priority(const X86Pic *c, uint8_t bits)
{
    if (!bits)
        return N_IR;
    unsigned first = (c->lowest + 1u) & 7;
    return (unsigned)__builtin_ctz((uint8_t)(bits >> first | bits << (8 - first)));
}

static unsigned ir_of(const X86Pic *c, unsigned priority)
{
    return (c->lowest + 1u + priority) & 7;
}

/* IR that may interrupt now, or -1. */
static int pic_request(const X86Pic *c, bool master)
{
    unsigned want = top_priority(c, c->irr & (uint8_t)~c->imr);
    if (want == N_IR)
        return -1;
    /* In special mask mode a masked level in service blocks nobody; in special fully nested mode the slave interrupts itself. */
    uint8_t blockers = c->special_mask ? c->isr & (uint8_t)~c->imr : c->isr;
    if (master && c->sfnm)
        blockers &= (uint8_t)~BIT(CASCADE);
    return want < top_priority(c, blockers) ? (int)ir_of(c, want) : -1;
}

static void set_input(X86Pic *c, unsigned ir, bool level, bool drop_edge)
{
    uint8_t bit = (uint8_t)BIT(ir);
    bool rising = level && !(c->line & bit);
    c->line = level ? c->line | bit : c->line & (uint8_t)~bit;
    if (level && (rising || c->elcr & bit))
        c->irr |= bit;
    /*
     * The real latch needs the line high until INTA. Devices here pulse with no width, so an edge once seen stays, as it does
     * in KVM's controller; a level follows its line.
     */
    if (!level && (c->elcr & bit || drop_edge))
        c->irr &= (uint8_t)~bit;
}

static void pic_update(Pic *p)
{
    set_input(&p->s.chip[MASTER], CASCADE, pic_request(&p->s.chip[SLAVE], false) >= 0, true);
    irq_set_locked(p->dev.irq[0], pic_request(&p->s.chip[MASTER], true) >= 0);
}

static void pic_input(void *opaque, unsigned n, bool level)
{
    Pic *p = opaque;
    if (n == CASCADE)
        return;
    set_input(&p->s.chip[n / N_IR], n % N_IR, level, false);
    pic_update(p);
}

/* ---- acknowledge and end of interrupt ---- */

static void chip_ack(X86Pic *c, unsigned ir)
{
    uint8_t bit = (uint8_t)BIT(ir);
    if (!c->aeoi)
        c->isr |= bit;
    else if (c->rotate_aeoi)
        c->lowest = (uint8_t)ir;
    if (!(c->elcr & bit))
        c->irr &= (uint8_t)~bit;
}

/* Acknowledge what chip @n requests: IR number, 7 if there is nothing (spurious: no ISR bit, 231468 "interrupt sequence"). */
static unsigned chip_inta(Pic *p, unsigned n)
{
    X86Pic *c = &p->s.chip[n];
    int ir = pic_request(c, n == MASTER);
    if (ir < 0)
        return 7;
    chip_ack(c, (unsigned)ir);
    /* The slave's INT falls with its INTA, so that a further request is a new edge for the master. */
    if (n == SLAVE)
        set_input(&p->s.chip[MASTER], CASCADE, false, true);
    return (unsigned)ir;
}

static int pic_ack_locked(Pic *p)
{
    bool real = pic_request(&p->s.chip[MASTER], true) >= 0;
    unsigned ir = chip_inta(p, MASTER);
    int vector = p->s.chip[MASTER].base + (int)ir;
    if (real && ir == CASCADE)
        vector = p->s.chip[SLAVE].base + (int)chip_inta(p, SLAVE);
    pic_update(p);
    return vector;
}

int pic_ack(Device *dev)
{
    Pic *p = (Pic *)dev;
    irq_fabric_lock(device_fabric(dev));
    int vector = pic_ack_locked(p);
    irq_fabric_unlock(device_fabric(dev));
    return vector;
}

/* OCW2: R, SL, EOI in bits 7:5, level in 2:0. */
static void pic_ocw2(X86Pic *c, uint8_t val)
{
    unsigned ir = val & 7;
    bool rotate = val & 0x80, specific = val & 0x40, eoi = val & 0x20;
    if (!eoi && specific) {         /* set priority, or (without R) no operation */
        if (rotate)
            c->lowest = (uint8_t)ir;
        return;
    }
    if (!eoi) {
        c->rotate_aeoi = rotate;
        return;
    }
    if (!specific) {
        /* In special mask mode a masked ISR bit is not cleared by a non-specific EOI. */
        unsigned top = top_priority(c, c->special_mask ? c->isr & (uint8_t)~c->imr : c->isr);
        if (top == N_IR)
            return;
        ir = ir_of(c, top);
    }
    c->isr &= (uint8_t)~BIT(ir);
    if (rotate)
        c->lowest = (uint8_t)ir;
}

static void pic_icw1(X86Pic *c, uint8_t val)
{
    /* The edge sense circuit is reset: an input must fall and rise again. Levels that are there stay. LTIM is ELCR's business in PIIX. */
    c->irr &= c->elcr;
    c->imr = c->isr = 0;
    c->lowest = 7;
    c->icw1 = val & (ICW1_IC4 | ICW1_SNGL);
    c->read_isr = c->poll = c->special_mask = false;
    if (!(val & ICW1_IC4))
        c->aeoi = c->sfnm = false;
    c->rotate_aeoi = false;
    c->init_state = 1;
}

static void pic_data_write(X86Pic *c, uint8_t val)
{
    switch (c->init_state) {
    case 0:
        c->imr = val;
        return;
    case 1:
        c->base = val & 0xf8;
        c->init_state = c->icw1 & ICW1_SNGL ? (c->icw1 & ICW1_IC4 ? 3 : 0) : 2;
        return;
    case 2:                         /* ICW3: the cascade is soldered */
        c->init_state = c->icw1 & ICW1_IC4 ? 3 : 0;
        return;
    default:
        c->aeoi = val & ICW4_AEOI;
        c->sfnm = val & ICW4_SFNM;
        c->init_state = 0;
    }
}

static void pic_command_write(X86Pic *c, uint8_t val)
{
    if (val & ICW1) {
        pic_icw1(c, val);
    } else if (val & OCW3) {
        if (val & OCW3_ESMM)
            c->special_mask = val & OCW3_SMM;
        if (val & OCW3_P)
            c->poll = true;
        else if (val & OCW3_RR)
            c->read_isr = val & OCW3_RIS;
    } else {
        pic_ocw2(c, val);
    }
}

/* ---- ports ---- */

static void chip_write(Pic *p, unsigned n, uint64_t off, uint64_t val)
{
    if (off & 1)
        pic_data_write(&p->s.chip[n], (uint8_t)val);
    else
        pic_command_write(&p->s.chip[n], (uint8_t)val);
    pic_update(p);
}

static uint64_t chip_read(Pic *p, unsigned n, uint64_t off)
{
    X86Pic *c = &p->s.chip[n];
    if (c->poll) {                  /* the next read of either port is the INTA */
        c->poll = false;
        bool real = pic_request(c, n == MASTER) >= 0;
        unsigned ir = chip_inta(p, n);
        pic_update(p);
        return real ? 0x80 | ir : 0;
    }
    return off & 1 ? c->imr : c->read_isr ? c->isr : c->irr;
}

static void master_write(void *opaque, uint64_t off, uint64_t val, unsigned size) { chip_write(opaque, MASTER, off, val); }
static void slave_write(void *opaque, uint64_t off, uint64_t val, unsigned size) { chip_write(opaque, SLAVE, off, val); }
static uint64_t master_read(void *opaque, uint64_t off, unsigned size) { return chip_read(opaque, MASTER, off); }
static uint64_t slave_read(void *opaque, uint64_t off, unsigned size) { return chip_read(opaque, SLAVE, off); }

static uint64_t elcr_read(void *opaque, uint64_t off, unsigned size)
{
    return ((Pic *)opaque)->s.chip[off & 1].elcr;
}

static void elcr_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    Pic *p = opaque;
    X86Pic *c = &p->s.chip[off & 1];
    uint8_t was = c->elcr;
    c->elcr = (uint8_t)val & elcr_mask[off & 1];
    /* An input that becomes level triggered shows its line; an edge latched before stays. */
    c->irr |= c->line & c->elcr & (uint8_t)~was;
    pic_update(p);
}

static const MmioOps master_ops = { .read = master_read, .write = master_write, .min_size = 1, .max_size = 1, .unaligned = true };
static const MmioOps slave_ops = { .read = slave_read, .write = slave_write, .min_size = 1, .max_size = 1, .unaligned = true };
static const MmioOps elcr_ops = { .read = elcr_read, .write = elcr_write, .min_size = 1, .max_size = 1, .unaligned = true };

/* ---- life ---- */

static void pic_reset(Device *dev)
{
    Pic *p = (Pic *)dev;
    for (unsigned i = 0; i < 2; i++) {
        uint8_t line = p->s.chip[i].line;
        p->s.chip[i] = (X86Pic){ .line = line, .lowest = 7 };
    }
    pic_update(p);
}

static bool pic_realize(Device *dev, GError **err)
{
    device_init_pio(dev, 0, "master", &master_ops, 2);
    device_init_pio(dev, 1, "slave", &slave_ops, 2);
    device_init_pio(dev, 2, "elcr", &elcr_ops, 2);
    device_init_irqs(dev, 1);
    device_init_inputs(dev, 16, pic_input);
    return true;
}

/* Anything that indexes is brought into range; the rest is bits. Lock held. */
static void pic_take(Pic *p, const X86PicState *s)
{
    for (unsigned i = 0; i < 2; i++) {
        X86Pic c = s->chip[i];
        c.lowest &= 7;
        c.base &= 0xf8;
        c.elcr &= elcr_mask[i];
        c.init_state &= 3;
        p->s.chip[i] = c;
    }
    pic_update(p);
}

static bool pic_post_load(Device *dev, unsigned version, GError **err)
{
    Pic *p = (Pic *)dev;
    X86PicState s = p->s;
    pic_take(p, &s);
    return true;
}

void pic_state_out(Device *dev, X86PicState *ret)
{
    irq_fabric_lock(device_fabric(dev));
    *ret = ((Pic *)dev)->s;
    irq_fabric_unlock(device_fabric(dev));
}

/* An engine may not know the lines of edge inputs: they are what the wires say. */
void pic_state_in(Device *dev, const X86PicState *s)
{
    X86PicState now = *s;
    irq_fabric_lock(device_fabric(dev));
    for (unsigned i = 0; i < 2 * N_IR; i++) {
        X86Pic *c = &now.chip[i / N_IR];
        uint8_t bit = (uint8_t)BIT(i % N_IR);
        if (i == CASCADE)
            continue;
        c->line = irq_wire_level(device_input(dev, i)) ? c->line | bit : c->line & (uint8_t)~bit;
        if (c->elcr & bit)
            c->irr = (c->irr & (uint8_t)~bit) | (c->line & bit);
    }
    pic_take((Pic *)dev, &now);
    irq_fabric_unlock(device_fabric(dev));
}

static const FieldDesc pic_fields[] = { FIELD_SUB(Pic, s, x86_pic_fields), { 0 } };
static const DeviceSection pic_state[] = {
    { .name = "i8259", .version = 1, .min_version = 1, .fields = pic_fields, .post_load = pic_post_load },
    { 0 }
};

const DeviceClass pic_class = {
    .name = "i8259", .summary = "pair of 8259A interrupt controllers", .size = sizeof(Pic), .bus = BUS_SYS, .fabric = true, .internal = true,
    .state = pic_state, .realize = pic_realize, .reset = pic_reset,
};
