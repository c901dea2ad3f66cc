/* PrimeCell real-time clock PL031 (ARM DDI 0224C): seconds, one match interrupt. */
#include "util/bits.h"
#include "vmm/device.h"

enum { DR = 0x00, MR = 0x04, LR = 0x08, CR = 0x0c, IMSC = 0x10, RIS = 0x14, MIS = 0x18, ICR = 0x1c, ID = 0xfe0 };

typedef struct Pl031 {
    Device dev;
    Timer *timer;
    uint32_t offset;            /* seconds of the guest - seconds of the wall clock, modulo 2^32 */
    uint32_t match, load;
    bool armed, imsc, ris;      /* armed: the match value was written and has not been met */
} Pl031;

static int64_t wall_ns(Pl031 *r) { return mclock_now(r->dev.clock, CLOCK_KIND_WALL); }
static uint32_t now(Pl031 *r) { return (uint32_t)(wall_ns(r) / NS_PER_SEC) + r->offset; }
static void update(Pl031 *r) { irq_set(r->dev.irq[0], r->ris && r->imsc); }

static void arm(Pl031 *r)
{
    uint32_t left = r->match - now(r);
    if (r->armed && !left) {
        r->armed = false;
        r->ris = true;
    }
    if (r->armed)
        timer_arm(r->timer, mclock_now(r->dev.clock, CLOCK_KIND_VIRTUAL) + left * NS_PER_SEC - wall_ns(r) % NS_PER_SEC);
    else
        timer_cancel(r->timer);
    update(r);
}

/* The wall clock may have been set back meanwhile: then it is armed anew. */
static void due(void *opaque) { arm(opaque); }

static uint64_t pl031_read(void *opaque, uint64_t off, unsigned size)
{
    static const uint8_t id[] = { 0x31, 0x10, 0x04, 0x00, 0x0d, 0xf0, 0x05, 0xb1 };
    Pl031 *r = opaque;
    if (off >= ID)
        return id[(off - ID) / 4];
    switch (off) {
    case DR: return now(r);
    case MR: return r->match;
    case LR: return r->load;
    case CR: return 1;          /* started, for good (3.3.4) */
    case IMSC: return r->imsc;
    case RIS: return r->ris;
    case MIS: return r->ris && r->imsc;
    default: return 0;
    }
}

static void pl031_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    Pl031 *r = opaque;
    switch (off) {
    case MR:
        r->match = (uint32_t)val;
        r->armed = true;
        arm(r);
        break;
    case LR:
        r->load = (uint32_t)val;
        r->offset = r->load - (uint32_t)(wall_ns(r) / NS_PER_SEC);
        arm(r);
        break;
    case IMSC: r->imsc = val & 1; break;
    case ICR: r->ris = r->ris && !(val & 1); break;
    default: break;
    }
    update(r);
}

static const MmioOps pl031_ops = { .read = pl031_read, .write = pl031_write, .min_size = 4, .max_size = 4 };

static bool pl031_realize(Device *dev, GError **err)
{
    device_init_mmio(dev, 0, "regs", &pl031_ops, 0x1000);
    device_init_irqs(dev, 1);
    ((Pl031 *)dev)->timer = device_timer_new(dev, due);
    return true;
}

static void pl031_unrealize(Device *dev) { timer_free(((Pl031 *)dev)->timer); }

/* The time itself is kept by a battery: what the guest set stays. */
static void pl031_reset(Device *dev)
{
    Pl031 *r = (Pl031 *)dev;
    timer_cancel(r->timer);
    r->match = r->load = 0;
    r->armed = r->imsc = r->ris = false;
    update(r);
}

static bool pl031_post_load(Device *dev, unsigned version, GError **err)
{
    arm((Pl031 *)dev);
    return true;
}

static const FieldDesc pl031_fields[] = {
    FIELD(Pl031, offset), FIELD(Pl031, match), FIELD(Pl031, load), FIELD(Pl031, armed), FIELD(Pl031, imsc), FIELD(Pl031, ris), { 0 }
};
static const DeviceSection pl031_state[] = {
    { .name = "pl031", .version = 1, .min_version = 1, .fields = pl031_fields, .post_load = pl031_post_load }, { 0 }
};

const DeviceClass pl031_class = {
    .name = "pl031", .summary = "PrimeCell real-time clock PL031", .size = sizeof(Pl031), .bus = BUS_SYS, .internal = true, .state = pl031_state,
    .realize = pl031_realize, .reset = pl031_reset, .unrealize = pl031_unrealize,
};
