/* Android's "goldfish" real-time clock (platform/external/qemu docs/GOLDFISH-VIRTUAL-HARDWARE.TXT, part IX): ns since 1970, one alarm. */
#include "util/bits.h"
#include "vmm/device.h"

enum { TIME_LOW, TIME_HIGH = 4, ALARM_LOW = 8, ALARM_HIGH = 12, IRQ_ENABLED = 16, CLEAR_ALARM = 20, ALARM_STATUS = 24, CLEAR_INTERRUPT = 28 };

typedef struct GoldfishRtc {
    Device dev;
    Timer *timer;
    uint64_t offset;            /* guest time - wall clock, modulo 2^64: the guest sets any time */
    uint64_t alarm;
    uint32_t time_high, alarm_high;     /* latched by TIME_LOW; waiting for ALARM_LOW */
    bool armed, irq_enabled, irq_ipending;
} GoldfishRtc;

static uint64_t now(GoldfishRtc *r) { return (uint64_t)mclock_now(r->dev.clock, CLOCK_KIND_WALL) + r->offset; }
static void update(GoldfishRtc *r) { irq_set(r->dev.irq[0], r->irq_enabled && r->irq_ipending); }

static void arm(GoldfishRtc *r)
{
    uint64_t t = now(r);
    if (!r->armed) {
        timer_cancel(r->timer);
    } else if (r->alarm <= t) {
        timer_cancel(r->timer);
        r->armed = false;
        r->irq_ipending = true;
    } else {
        uint64_t wait = MIN(r->alarm - t, (uint64_t)INT64_MAX / 2);
        timer_arm(r->timer, mclock_now(r->dev.clock, CLOCK_KIND_VIRTUAL) + (int64_t)wait);
    }
    update(r);
}

static void due(void *opaque) { arm(opaque); }

static uint64_t rtc_read(void *opaque, uint64_t off, unsigned size)
{
    GoldfishRtc *r = opaque;
    uint64_t t;
    switch (off) {
    case TIME_LOW:
        t = now(r);
        r->time_high = (uint32_t)(t >> 32);
        return (uint32_t)t;
    case TIME_HIGH: return r->time_high;
    case ALARM_LOW: return (uint32_t)r->alarm;
    case ALARM_HIGH: return r->alarm >> 32;
    case IRQ_ENABLED: return r->irq_enabled;
    case ALARM_STATUS: return r->armed;
    default: return 0;
    }
}

static void set_time(GoldfishRtc *r, unsigned shift, uint64_t val)
{
    uint64_t t = now(r);
    r->offset += bits_put(t, shift, 32, val) - t;
    arm(r);
}

static void rtc_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    GoldfishRtc *r = opaque;
    switch (off) {
    case TIME_LOW: set_time(r, 0, val); break;
    case TIME_HIGH: set_time(r, 32, val); break;
    case ALARM_LOW:
        r->alarm = (uint64_t)r->alarm_high << 32 | (uint32_t)val;
        r->armed = true;
        arm(r);
        break;
    case ALARM_HIGH: r->alarm_high = (uint32_t)val; break;
    case IRQ_ENABLED: r->irq_enabled = val & 1; break;
    case CLEAR_ALARM:
        r->armed = false;
        arm(r);
        break;
    case CLEAR_INTERRUPT: r->irq_ipending = false; break;
    default: break;
    }
    update(r);
}

static const MmioOps rtc_ops = { .read = rtc_read, .write = rtc_write, .min_size = 4, .max_size = 4 };

static bool rtc_realize(Device *dev, GError **err)
{
    device_init_mmio(dev, 0, "rtc", &rtc_ops, 0x1000);
    device_init_irqs(dev, 1);
    ((GoldfishRtc *)dev)->timer = device_timer_new(dev, due);
    return true;
}

static void rtc_unrealize(Device *dev) { timer_free(((GoldfishRtc *)dev)->timer); }

static void rtc_reset(Device *dev)
{
    GoldfishRtc *r = (GoldfishRtc *)dev;
    timer_cancel(r->timer);
    r->offset = 0;
    r->alarm = 0;
    r->time_high = r->alarm_high = 0;
    r->armed = r->irq_enabled = r->irq_ipending = false;
    update(r);
}

static bool rtc_post_load(Device *dev, unsigned version, GError **err)
{
    arm((GoldfishRtc *)dev);
    return true;
}

static const FieldDesc rtc_fields[] = {
    FIELD(GoldfishRtc, offset), FIELD(GoldfishRtc, alarm), FIELD(GoldfishRtc, time_high), FIELD(GoldfishRtc, alarm_high), FIELD(GoldfishRtc, armed),
    FIELD(GoldfishRtc, irq_enabled), FIELD(GoldfishRtc, irq_ipending), { 0 }
};
static const DeviceSection rtc_state[] = {
    { .name = "goldfish-rtc", .version = 1, .min_version = 1, .fields = rtc_fields, .post_load = rtc_post_load }, { 0 }
};

const DeviceClass goldfish_rtc_class = {
    .name = "goldfish-rtc", .summary = "Goldfish real-time clock", .size = sizeof(GoldfishRtc), .bus = BUS_SYS, .internal = true,
    .state = rtc_state, .realize = rtc_realize, .reset = rtc_reset, .unrealize = rtc_unrealize,
};
