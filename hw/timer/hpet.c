/* High precision event timers (IA-PC HPET Specification 1.0a, 2004; section numbers are its). */
#include "hw/timer/hpet.h"

#include "util/bits.h"

enum { N_TIMERS = 3, NS_PER_TICK = HPET_PERIOD_FS / 1000000 };
enum { R_CAP = 0x000, R_CONF = 0x010, R_STATUS = 0x020, R_COUNTER = 0x0f0, R_TIMERS = 0x100, TIMER_STRIDE = 0x20, T_CONF = 0x00, T_CMP = 0x08,
       T_FSB = 0x10 };
enum { CONF_ENABLE = 1, CONF_LEGACY = 2 };
enum { TN_LEVEL = 2, TN_ENABLE = 4, TN_PERIODIC = 8, TN_PERIODIC_CAP = 0x10, TN_64_CAP = 0x20, TN_SETVAL = 0x40, TN_32 = 0x100, TN_ROUTE = 0x3e00,
       TN_FSB = 0x4000, TN_FSB_CAP = 0x8000 };
enum { TN_WRITABLE = TN_LEVEL | TN_ENABLE | TN_PERIODIC | TN_SETVAL | TN_32 | TN_ROUTE | TN_FSB };
/* Pins 20-23: nothing else uses them on this board. */
#define ROUTE_CAP 0x00f00000ull
#define TN_CAPS (TN_PERIODIC_CAP | TN_64_CAP | TN_FSB_CAP | ROUTE_CAP << 32)
#define CAPABILITIES ((uint64_t)HPET_PERIOD_FS << 32 | 0x8086ull << 16 | 1u << 15 | 1u << 13 | (N_TIMERS - 1) << 8 | 1)
/* Shortest time between two expiries of one timer that the host is asked for. */
enum { MIN_INTERVAL_NS = 20000 };

typedef struct Hpet Hpet;

typedef struct HpetTimer {
    uint64_t conf;              /* writable bits */
    uint64_t cmp, period, fsb;
    Hpet *hpet;
    Timer *timer;
} HpetTimer;

struct Hpet {
    Device dev;
    uint64_t conf, status;
    uint64_t counter;           /* while stopped; running: at @start_ns */
    int64_t start_ns;
    HpetTimer t[N_TIMERS];
    /* fabric lock: */
    bool legacy;
    bool in[2];
};

/* ---- counter ---- */

static int64_t now_ns(Hpet *h)
{
    return mclock_now(h->dev.clock, CLOCK_KIND_VIRTUAL);
}

static uint64_t counter(Hpet *h)
{
    if (!(h->conf & CONF_ENABLE))
        return h->counter;
    return h->counter + (uint64_t)(now_ns(h) - h->start_ns) / NS_PER_TICK;
}

static uint64_t timer_mask(const HpetTimer *t)
{
    return t->conf & TN_32 ? UINT32_MAX : UINT64_MAX;
}

/* ---- interrupts (2.4.3) ---- */

static void timer_output(Hpet *h, unsigned n, bool level)
{
    HpetTimer *t = &h->t[n];
    if (h->conf & CONF_LEGACY && n < 2)
        irq_set(h->dev.irq[HPET_LEGACY + n], level);
    else if (ROUTE_CAP >> bits_get(t->conf, 9, 5) & 1)
        irq_set(h->dev.irq[bits_get(t->conf, 9, 5)], level);
}

/* Level lines follow the status bit; an edge goes up and down. */
static void timer_interrupt(Hpet *h, unsigned n)
{
    HpetTimer *t = &h->t[n];
    if (t->conf & TN_LEVEL)
        h->status |= BIT(n);
    if (!(t->conf & TN_ENABLE) || !(h->conf & CONF_ENABLE))
        return;
    if (t->conf & TN_FSB) {
        device_msi(&h->dev, t->fsb >> 32, (uint32_t)t->fsb, 0);
    } else {
        timer_output(h, n, true);
        if (!(t->conf & TN_LEVEL))
            timer_output(h, n, false);
    }
}

/* After a change of anything a level depends on. */
static void levels_update(Hpet *h)
{
    bool pin[HPET_PINS] = { 0 }, isa[2] = { 0 };
    for (unsigned n = 0; n < N_TIMERS; n++) {
        HpetTimer *t = &h->t[n];
        unsigned route = (unsigned)bits_get(t->conf, 9, 5);
        if (!(h->status & BIT(n)) || !(t->conf & TN_LEVEL) || !(t->conf & TN_ENABLE) || t->conf & TN_FSB || !(h->conf & CONF_ENABLE))
            continue;
        if (h->conf & CONF_LEGACY && n < 2)
            isa[n] = true;
        else if (ROUTE_CAP >> route & 1)
            pin[route] = true;
    }
    for (unsigned i = 0; i < HPET_PINS; i++)
        irq_set(h->dev.irq[i], pin[i]);
    for (unsigned i = 0; i < 2 && (h->conf & (CONF_LEGACY | CONF_ENABLE)) == (CONF_LEGACY | CONF_ENABLE); i++)
        irq_set(h->dev.irq[HPET_LEGACY + i], isa[i]);
}

/* The 8254 and the RTC keep ISA interrupts 0 and 8 unless legacy replacement is on (2.3.5.1). */
static void legacy_input(void *opaque, unsigned n, bool level)
{
    Hpet *h = opaque;
    h->in[n] = level;
    if (!h->legacy)
        irq_set_locked(h->dev.irq[HPET_LEGACY + n], level);
}

static void legacy_switch(Hpet *h)
{
    bool on = (h->conf & (CONF_LEGACY | CONF_ENABLE)) == (CONF_LEGACY | CONF_ENABLE);
    irq_fabric_lock(device_fabric(&h->dev));
    if (on != h->legacy) {
        h->legacy = on;
        for (unsigned i = 0; i < 2; i++)
            irq_set_locked(h->dev.irq[HPET_LEGACY + i], !on && h->in[i]);
    }
    irq_fabric_unlock(device_fabric(&h->dev));
}

/* ---- comparators ---- */

/* Expires when the counter equals the comparator; one that has passed waits for the counter to wrap (2.3.9.2). */
static void timer_rearm(Hpet *h, HpetTimer *t, bool after_expiry)
{
    uint64_t left = (t->cmp - counter(h)) & timer_mask(t);
    if (!(h->conf & CONF_ENABLE) || left > INT64_MAX / 4 / NS_PER_TICK) {
        timer_cancel(t->timer);
        return;
    }
    int64_t now = now_ns(h), into = (now - h->start_ns) % NS_PER_TICK, wait = (int64_t)left * NS_PER_TICK - into;
    timer_arm(t->timer, now + MAX(wait, after_expiry ? MIN_INTERVAL_NS : 0));
}

/* A periodic comparator moves on by its period; what was missed is one interrupt. */
static void timer_advance(Hpet *h, HpetTimer *t)
{
    uint64_t mask = timer_mask(t), period = t->period & mask, behind = (counter(h) - t->cmp) & mask;
    if (!period)
        return;
    t->cmp = (t->cmp + (behind / period + 1) * period) & mask;
}

static void timer_expired(void *opaque)
{
    HpetTimer *t = opaque;
    Hpet *h = t->hpet;
    uint64_t left = (t->cmp - counter(h)) & timer_mask(t);
    /* A wait that was cut short, or a comparator that moved. Up to half the range counts as passed. */
    if (left && left <= timer_mask(t) / 2) {
        timer_rearm(h, t, false);
        return;
    }
    bool periodic = t->conf & TN_PERIODIC && t->period & timer_mask(t);
    if (periodic)
        timer_advance(h, t);
    timer_interrupt(h, (unsigned)(t - h->t));
    if (periodic || t->conf & TN_32)        /* 32 bits wrap every 43 s, and match again */
        timer_rearm(h, t, true);
}

/* ---- registers ---- */

static void conf_write(Hpet *h, uint64_t val)
{
    uint64_t was = h->conf;
    if (was & CONF_ENABLE)
        h->counter = counter(h);
    h->start_ns = now_ns(h);
    h->conf = val & (CONF_ENABLE | CONF_LEGACY);
    legacy_switch(h);
    for (unsigned i = 0; i < N_TIMERS && (was ^ h->conf) & CONF_ENABLE; i++)
        timer_rearm(h, &h->t[i], false);
    levels_update(h);
}

static void timer_conf_write(Hpet *h, HpetTimer *t, uint64_t val)
{
    t->conf = val & TN_WRITABLE;
    if (t->conf & TN_32) {
        t->cmp = (uint32_t)t->cmp;
        t->period = (uint32_t)t->period;
    }
    levels_update(h);
    timer_rearm(h, t, false);
}

/*
 * One-shot: the comparator. Periodic: the period; with VAL_SET, which clears itself, the comparator too (2.3.9.2.2).
 * @shift and @len: the half that is written.
 */
static void cmp_write(Hpet *h, HpetTimer *t, unsigned shift, unsigned len, uint64_t val)
{
    if (t->conf & TN_32 && shift)
        return;
    if (!(t->conf & TN_PERIODIC) || t->conf & TN_SETVAL)
        t->cmp = bits_put(t->cmp, shift, len, val) & timer_mask(t);
    if (t->conf & TN_PERIODIC)
        t->period = bits_put(t->period, shift, len, val) & timer_mask(t);
    t->conf &= ~(uint64_t)TN_SETVAL;
    timer_rearm(h, t, false);
}

static uint64_t *timer_reg(Hpet *h, uint64_t reg, HpetTimer **ret)
{
    uint64_t n = (reg - R_TIMERS) / TIMER_STRIDE;
    if (reg < R_TIMERS || n >= N_TIMERS)
        return NULL;
    *ret = &h->t[n];
    switch ((reg - R_TIMERS) % TIMER_STRIDE) {
    case T_CONF: return &h->t[n].conf;
    case T_CMP: return &h->t[n].cmp;
    case T_FSB: return &h->t[n].fsb;
    default: return NULL;
    }
}

static uint64_t reg_read(Hpet *h, uint64_t reg)
{
    HpetTimer *t;
    uint64_t *p = timer_reg(h, reg, &t);
    if (p)
        return p == &t->conf ? t->conf | TN_CAPS : *p;
    switch (reg) {
    case R_CAP: return CAPABILITIES;
    case R_CONF: return h->conf;
    case R_STATUS: return h->status;
    case R_COUNTER: return counter(h);
    default: return 0;
    }
}

static void counter_write(Hpet *h, uint64_t val)
{
    h->counter = val;
    h->start_ns = now_ns(h);
    for (unsigned i = 0; i < N_TIMERS; i++)
        timer_rearm(h, &h->t[i], false);
}

static void reg_write(Hpet *h, uint64_t reg, unsigned shift, unsigned len, uint64_t val)
{
    HpetTimer *t;
    uint64_t *p = timer_reg(h, reg, &t);
    if (p && p == &t->cmp) {
        cmp_write(h, t, shift, len, val);
        return;
    }
    if (reg == R_STATUS) {
        h->status &= ~(val << shift);
        levels_update(h);
        return;
    }
    uint64_t whole = bits_put(reg_read(h, reg), shift, len, val);
    if (p && p == &t->conf)
        timer_conf_write(h, t, whole);
    else if (p)
        *p = whole;
    else if (reg == R_CONF)
        conf_write(h, whole);
    else if (reg == R_COUNTER)
        counter_write(h, whole);
}

static uint64_t hpet_read(void *opaque, uint64_t off, unsigned size)
{
    return reg_read(opaque, off & ~7ull) >> 8 * (off & 4) & bits_mask(8 * size);
}

static void hpet_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    reg_write(opaque, off & ~7ull, 8 * (off & 4), 8 * size, val);
}

static const MmioOps hpet_ops = { .read = hpet_read, .write = hpet_write, .min_size = 4, .max_size = 8 };

/* ---- life ---- */

void hpet_connect(Device *dev, Device *pit, Device *rtc, Device *gsi)
{
    for (unsigned i = 16; i < HPET_PINS; i++)
        irq_connect(dev->irq[i], device_input(gsi, i));
    irq_connect(dev->irq[HPET_LEGACY], device_input(gsi, 0));
    irq_connect(dev->irq[HPET_LEGACY + 1], device_input(gsi, 8));
    if (pit)
        irq_connect(pit->irq[0], device_input(dev, 0));
    if (rtc)
        irq_connect(rtc->irq[0], device_input(dev, 1));
}

static void hpet_reset(Device *dev)
{
    Hpet *h = (Hpet *)dev;
    h->conf = h->status = h->counter = 0;
    h->start_ns = 0;
    for (unsigned i = 0; i < N_TIMERS; i++) {
        HpetTimer *t = &h->t[i];
        t->conf = t->period = t->fsb = 0;
        t->cmp = UINT64_MAX;
        timer_cancel(t->timer);
    }
    legacy_switch(h);
    levels_update(h);
}

static bool hpet_realize(Device *dev, GError **err)
{
    Hpet *h = (Hpet *)dev;
    device_init_mmio(dev, 0, "regs", &hpet_ops, 1024);
    device_init_irqs(dev, HPET_PINS + 2);
    device_init_inputs(dev, 2, legacy_input);
    for (unsigned i = 0; i < N_TIMERS; i++) {
        h->t[i].hpet = h;
        h->t[i].timer = timer_new(dev->clock, CLOCK_KIND_VIRTUAL, dev->lock, timer_expired, &h->t[i]);
    }
    return true;
}

static void hpet_unrealize(Device *dev)
{
    for (unsigned i = 0; i < N_TIMERS; i++)
        timer_free(((Hpet *)dev)->t[i].timer);
}

static bool hpet_post_load(Device *dev, unsigned version, GError **err)
{
    Hpet *h = (Hpet *)dev;
    h->conf &= CONF_ENABLE | CONF_LEGACY;
    h->status &= bits_mask(N_TIMERS);
    h->start_ns = MAX(h->start_ns, 0);
    legacy_switch(h);
    for (unsigned i = 0; i < N_TIMERS; i++) {
        HpetTimer *t = &h->t[i];
        t->conf &= TN_WRITABLE;
        t->cmp &= timer_mask(t);
        t->period &= timer_mask(t);
        timer_rearm(h, t, false);
    }
    levels_update(h);
    return true;
}

static const FieldDesc hpet_timer_fields[] = {
    FIELD(HpetTimer, conf), FIELD(HpetTimer, cmp), FIELD(HpetTimer, period), FIELD(HpetTimer, fsb), { 0 }
};
static const FieldDesc hpet_fields[] = {
    FIELD(Hpet, conf), FIELD(Hpet, status), FIELD(Hpet, counter), FIELD(Hpet, start_ns), FIELD_SUB_ARRAY(Hpet, t, hpet_timer_fields), { 0 }
};
static const DeviceSection hpet_state[] = {
    { .name = "hpet", .version = 1, .min_version = 1, .fields = hpet_fields, .post_load = hpet_post_load },
    { 0 }
};

const DeviceClass hpet_class = {
    .name = "hpet", .summary = "high precision event timers", .size = sizeof(Hpet), .bus = BUS_SYS, .internal = true,
    .state = hpet_state, .realize = hpet_realize, .reset = hpet_reset, .unrealize = hpet_unrealize,
};
