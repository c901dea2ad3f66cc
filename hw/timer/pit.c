/*
 * 8254 programmable interval timer (Intel 231164-005). Counters are functions of the virtual clock: nothing runs but a timer for OUT0's
 * next edge. An "elapsed" tick count since CE was loaded gives count and OUT.
 */
#include "hw/timer/pit.h"

#include "util/bits.h"

enum { CW_BCD = 1, CW_LATCH_COUNT = 0x20, CW_LATCH_STATUS = 0x10, READ_BACK = 3, RW_LSB = 1, RW_MSB = 2, RW_BOTH = 3 };
enum { P61_GATE2 = 1, P61_WRITABLE = 15, P61_REFRESH = 0x10, P61_OUT2 = 0x20 };
/* Refresh requests every 18 ticks of 1.19 MHz toggle bit 4 (PIIX 290550, 2.5.3). */
enum { REFRESH_TICKS = 18 };
/* Shortest interval between two interrupts that the host's timer thread is asked for. */
enum { MIN_INTERVAL_NS = 20000, SHORT_COUNT = 32 };

typedef struct Pit {
    Device dev;
    X86PitState s;
    Timer *timer;
    uint64_t told;          /* the tick up to which OUT0 has been told */
    bool active;
} Pit;

static uint64_t now_ticks(Pit *p)
{
    return mclock_ns_to_ticks(mclock_now(p->dev.clock, CLOCK_KIND_VIRTUAL), PIT_HZ);
}

/* ---- one counter as a function of time ---- */

static bool periodic(const X86PitChannel *c)
{
    return c->mode == 2 || c->mode == 3;
}

static bool hw_triggered(const X86PitChannel *c)
{
    return c->mode == 1 || c->mode == 5;
}

static bool running(const X86PitChannel *c)
{
    return c->loaded && (c->gate || hw_triggered(c));
}

/* Ticks since CE was loaded; it is loaded by the clock after the write, so @start may lie one ahead. */
static uint64_t elapsed(const X86PitChannel *c, uint64_t now)
{
    if (!running(c))
        return c->elapsed;
    return (int64_t)(now - c->start) < 0 ? 0 : now - c->start;
}

/* Length of mode 3's high half; odd counts give it the extra clock. */
static uint64_t high_half(uint32_t count)
{
    return (count + 1u) / 2;
}

/* Modes 2 and 3: let the new count in at the end of the period or half-cycle in which it was written. */
static void channel_sync(X86PitChannel *c, uint64_t now)
{
    if (!periodic(c) || !c->null_count || !running(c) || elapsed(c, now) < c->switch_at)
        return;
    bool to_low = c->mode == 3 && c->switch_at < c->count;
    c->start += c->switch_at;
    c->count = c->next_count;
    c->null_count = false;
    if (to_low)
        c->start -= high_half(c->count);
}

static bool channel_out(const X86PitChannel *c, uint64_t now)
{
    uint64_t e = elapsed(c, now);
    switch (c->mode) {
    case 0:
        return c->loaded && e >= c->count;
    case 1:
        return !c->loaded || e >= c->count;
    case 2:
        return !running(c) || e % c->count != c->count - 1;
    case 3:
        return !running(c) || e % c->count < high_half(c->count);
    default:
        return !c->loaded || e != c->count;
    }
}

static uint16_t to_register(const X86PitChannel *c, uint64_t v)
{
    if (!c->bcd)
        return (uint16_t)v;
    v %= 10000;
    return (uint16_t)(v / 1000 << 12 | v / 100 % 10 << 8 | v / 10 % 10 << 4 | v % 10);
}

static uint16_t channel_count(const X86PitChannel *c, uint64_t now)
{
    uint64_t e = elapsed(c, now), n = c->count, modulus = c->bcd ? 10000 : 65536;
    if (c->mode == 2)
        return to_register(c, n - e % n);
    if (c->mode == 3) {
        uint64_t in = e % n, half = high_half(c->count);
        return to_register(c, (n & ~1ull) - 2 * (in < half ? in : in - half));
    }
    return to_register(c, n + modulus - e % modulus);
}

/* Tick of OUT's next rise after @now (mode 3: next change), UINT64_MAX if none. */
static uint64_t next_edge(const X86PitChannel *c, uint64_t now)
{
    if (!running(c))
        return UINT64_MAX;
    uint64_t e = elapsed(c, now), n = c->count, period = e / n * n, at;
    switch (c->mode) {
    case 0:
    case 1:
        at = n;
        break;
    case 2:
        at = period + n;
        break;
    case 3:
        at = e - period < high_half(c->count) ? period + high_half(c->count) : period + n;
        break;
    default:
        at = n + 1;             /* the strobe is low for one clock */
    }
    return at > e ? c->start + at : UINT64_MAX;
}

/* ---- OUT0 ---- */

static void pit_rearm(Pit *p, uint64_t now)
{
    X86PitChannel *c = &p->s.ch[0];
    uint64_t edge = p->active ? next_edge(c, now) : UINT64_MAX;
    if (edge == UINT64_MAX) {
        timer_cancel(p->timer);
        return;
    }
    if (c->null_count && periodic(c))
        edge = MIN(edge, c->start + c->switch_at);
    int64_t at = mclock_ticks_to_ns_up(edge, PIT_HZ);
    if (c->count < SHORT_COUNT)
        at = MAX(at, mclock_now(p->dev.clock, CLOCK_KIND_VIRTUAL) + MIN_INTERVAL_NS);
    timer_arm(p->timer, at);
}

/* The guest changed something, or time passed: set OUT0 and the timer for its next edge. */
static void pit_update(Pit *p)
{
    uint64_t now = now_ticks(p);
    channel_sync(&p->s.ch[0], now);
    if (p->active)
        irq_set(p->dev.irq[0], channel_out(&p->s.ch[0], now));
    p->told = now;
    pit_rearm(p, now);
}

/* As pit_update where the timer may be late: what interrupts is the rise, and a pulse of one clock may have come and gone. */
static void pit_catch_up(Pit *p)
{
    if (p->active && next_edge(&p->s.ch[0], p->told) <= now_ticks(p))
        irq_set(p->dev.irq[0], false);
    pit_update(p);
}

static void pit_timer(void *opaque)
{
    Pit *p = opaque;
    /* Pulses of one clock (modes 2, 4, 5) have come and gone: what interrupts is the rise. */
    if (p->active && p->s.ch[0].mode != 0 && p->s.ch[0].mode != 3)
        irq_set(p->dev.irq[0], false);
    pit_update(p);
}

/* ---- gate ---- */

static void channel_gate(X86PitChannel *c, bool gate, uint64_t now)
{
    if (gate == c->gate)
        return;
    channel_sync(c, now);
    uint64_t e = elapsed(c, now);
    c->gate = gate;
    if (!gate) {
        if (!hw_triggered(c))
            c->elapsed = e;     /* modes 0 and 4 stand still; 2 and 3 start again with the next rise */
    } else if ((hw_triggered(c) || periodic(c)) && c->armed) {
        c->count = c->next_count;
        c->null_count = false;
        c->loaded = true;
        c->start = now + 1;
    } else {
        c->start = now - c->elapsed;
    }
}

/* ---- ports 40h-43h ---- */

static void channel_load(X86PitChannel *c, uint16_t reg, uint64_t now)
{
    uint32_t n = reg;
    if (c->bcd)
        n = (reg >> 12) * 1000u + (reg >> 8 & 15) * 100u + (reg >> 4 & 15) * 10u + (reg & 15);
    if (!n)
        n = c->bcd ? 10000 : 65536;
    bool first = !c->armed;
    c->next_count = n;
    c->armed = true;
    c->null_count = true;
    if (hw_triggered(c))
        return;                 /* CE is loaded by the gate */
    if (periodic(c) && !first && running(c)) {
        uint64_t e = elapsed(c, now), whole = e / c->count * c->count, half = high_half(c->count);
        c->start += whole;
        c->switch_at = c->mode == 3 && e - whole < half ? half : c->count;
        return;
    }
    c->count = n;
    c->loaded = true;
    c->null_count = false;
    c->elapsed = 0;
    c->start = now + 1;
}

static void channel_write(X86PitChannel *c, uint8_t val, uint64_t now)
{
    channel_sync(c, now);
    switch (c->rw) {
    case RW_LSB:
        channel_load(c, val, now);
        break;
    case RW_MSB:
        channel_load(c, (uint16_t)(val << 8), now);
        break;
    default:
        if (c->write_msb) {
            channel_load(c, (uint16_t)(val << 8 | c->write_low), now);
        } else {
            c->write_low = val;
            if (c->mode == 0) {         /* the first byte stops the count, OUT goes low (mode 0 definition) */
                c->elapsed = elapsed(c, now);
                c->loaded = false;
            }
        }
        c->write_msb = !c->write_msb;
    }
}

static uint8_t channel_read(X86PitChannel *c, uint64_t now)
{
    channel_sync(c, now);
    if (c->status_latched) {
        c->status_latched = 0;
        return c->status;
    }
    if (c->latched) {
        bool msb = c->rw == RW_MSB || (c->rw == RW_BOTH && c->latched == 1);
        c->latched--;
        return (uint8_t)(msb ? c->latch >> 8 : c->latch);
    }
    uint16_t v = channel_count(c, now);
    bool msb = c->rw == RW_MSB || (c->rw == RW_BOTH && c->read_msb);
    if (c->rw == RW_BOTH)
        c->read_msb = !c->read_msb;
    return (uint8_t)(msb ? v >> 8 : v);
}

/* A second latch before the first was read is ignored. */
static void latch_count(X86PitChannel *c, uint64_t now)
{
    if (c->latched)
        return;
    channel_sync(c, now);
    c->latch = channel_count(c, now);
    c->latched = c->rw == RW_BOTH ? 2 : 1;
}

static void latch_status(X86PitChannel *c, uint64_t now)
{
    if (c->status_latched)
        return;
    channel_sync(c, now);
    c->status = (uint8_t)(channel_out(c, now) << 7 | c->null_count << 6 | c->rw << 4 | c->mode << 1 | c->bcd);
    c->status_latched = 1;
}

static void control_word(Pit *p, uint8_t val, uint64_t now)
{
    unsigned sel = val >> 6;
    if (sel == READ_BACK) {
        for (unsigned i = 0; i < 3; i++) {
            if (!(val & 2 << i))
                continue;
            if (!(val & CW_LATCH_COUNT))
                latch_count(&p->s.ch[i], now);
            if (!(val & CW_LATCH_STATUS))
                latch_status(&p->s.ch[i], now);
        }
        return;
    }
    X86PitChannel *c = &p->s.ch[sel];
    unsigned rw = val >> 4 & 3, mode = val >> 1 & 7;
    if (!rw) {
        latch_count(c, now);
        return;
    }
    uint32_t count = c->count;
    *c = (X86PitChannel){ .rw = (uint8_t)rw, .mode = (uint8_t)(mode > 5 ? mode - 4 : mode), .bcd = val & CW_BCD, .gate = c->gate,
                          .null_count = true, .count = count, .next_count = count };
}

static uint64_t pit_read(void *opaque, uint64_t off, unsigned size)
{
    Pit *p = opaque;
    return off == 3 ? 0xff : channel_read(&p->s.ch[off], now_ticks(p));    /* the control word cannot be read */
}

static void pit_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    Pit *p = opaque;
    uint64_t now = now_ticks(p);
    if (off == 3)
        control_word(p, (uint8_t)val, now);
    else
        channel_write(&p->s.ch[off], (uint8_t)val, now);
    if (off == 0 || off == 3)
        pit_update(p);
}

/* ---- port 61h ---- */

static uint64_t port61_read(void *opaque, uint64_t off, unsigned size)
{
    Pit *p = opaque;
    uint64_t now = now_ticks(p);
    channel_sync(&p->s.ch[2], now);
    return p->s.port61 | (now / REFRESH_TICKS & 1 ? P61_REFRESH : 0) | (channel_out(&p->s.ch[2], now) ? P61_OUT2 : 0);
}

static void port61_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    Pit *p = opaque;
    p->s.port61 = val & P61_WRITABLE;
    channel_gate(&p->s.ch[2], val & P61_GATE2, now_ticks(p));
}

static const MmioOps pit_ops = { .read = pit_read, .write = pit_write, .min_size = 1, .max_size = 1, .unaligned = true };
static const MmioOps port61_ops = { .read = port61_read, .write = port61_write, .min_size = 1, .max_size = 1, .unaligned = true };

/* ---- life ---- */

/* The 8254 has no reset pin and comes up undefined: counters rest, in mode 3 as firmware sets them. */
static void pit_reset(Device *dev)
{
    Pit *p = (Pit *)dev;
    for (unsigned i = 0; i < 3; i++)
        p->s.ch[i] = (X86PitChannel){ .rw = RW_BOTH, .mode = 3, .gate = i != 2, .count = 65536, .next_count = 65536, .null_count = true };
    p->s.port61 = 0;
    pit_update(p);
}

static bool pit_realize(Device *dev, GError **err)
{
    Pit *p = (Pit *)dev;
    device_init_pio(dev, 0, "counters", &pit_ops, 4);
    device_init_pio(dev, 1, "port61", &port61_ops, 1);
    device_init_irqs(dev, 1);
    p->timer = device_timer_new(dev, pit_timer);
    p->active = true;
    return true;
}

static void pit_unrealize(Device *dev)
{
    timer_free(((Pit *)dev)->timer);
}

/* Device lock held. Counts divide, so they are brought into range. */
static void pit_take(Pit *p, const X86PitState *s)
{
    for (unsigned i = 0; i < 3; i++) {
        X86PitChannel c = s->ch[i];
        c.count = CLAMP(c.count, 1, 65536);
        c.next_count = CLAMP(c.next_count, 1, 65536);
        c.mode %= 6;
        c.rw = c.rw & 3 ? c.rw & 3 : RW_BOTH;
        c.latched = MIN(c.latched, 2);
        c.switch_at = MIN(c.switch_at, c.count);
        c.gate = i != 2 || c.gate;
        p->s.ch[i] = c;
    }
    p->s.port61 = s->port61 & P61_WRITABLE;
}

static bool pit_post_load(Device *dev, unsigned version, GError **err)
{
    Pit *p = (Pit *)dev;
    X86PitState s = p->s;
    pit_take(p, &s);
    pit_update(p);
    return true;
}

uint64_t pit_stop(Device *dev, X86PitState *ret)
{
    Pit *p = (Pit *)dev;
    devlock_enter(dev->lock);
    pit_catch_up(p);        /* what is due and whose turn has not come yet is not seen on the other side */
    p->active = false;
    timer_cancel(p->timer);
    *ret = p->s;
    uint64_t tick = p->told;
    devlock_leave(dev->lock);
    return tick;
}

void pit_state_in(Device *dev, const X86PitState *s, uint64_t tick)
{
    Pit *p = (Pit *)dev;
    devlock_enter(dev->lock);
    pit_take(p, s);
    p->active = false;
    p->told = tick;
    timer_cancel(p->timer);
    irq_set(dev->irq[0], channel_out(&p->s.ch[0], tick));
    devlock_leave(dev->lock);
}

void pit_start(Device *dev, uint64_t tick)
{
    Pit *p = (Pit *)dev;
    devlock_enter(dev->lock);
    p->active = true;
    p->told = tick;
    pit_catch_up(p);
    devlock_leave(dev->lock);
}

void pit_set_active(Device *dev, bool active)
{
    Pit *p = (Pit *)dev;
    devlock_enter(dev->lock);
    p->active = active;
    if (!active)
        irq_set(dev->irq[0], false);
    pit_update(p);
    devlock_leave(dev->lock);
}

static const FieldDesc pit_fields[] = { FIELD_SUB(Pit, s, x86_pit_fields), { 0 } };
static const DeviceSection pit_state[] = {
    { .name = "i8254", .version = 1, .min_version = 1, .fields = pit_fields, .post_load = pit_post_load },
    { 0 }
};

const DeviceClass pit_class = {
    .name = "i8254", .summary = "8254 interval timer and port 61h", .size = sizeof(Pit), .bus = BUS_SYS, .internal = true,
    .state = pit_state, .realize = pit_realize, .reset = pit_reset, .unrealize = pit_unrealize,
};
