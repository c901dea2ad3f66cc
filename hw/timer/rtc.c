/*
 * MC146818A real-time clock plus RAM (Motorola, 1984). Time is a function of the wall clock; flags of the past are worked out when
 * register C is read, and a timer runs only for interrupts that are enabled.
 */
#include "hw/timer/rtc.h"

#include <string.h>

#include "util/bits.h"

enum { SEC, SEC_ALARM, MIN_, MIN_ALARM, HOUR, HOUR_ALARM, WDAY, MDAY, MONTH, YEAR, REG_A, REG_B, REG_C, REG_D, CMOS_SIZE = 128 };
enum { A_RS = 0x0f, A_DV = 0x70, A_DV_RESET = 0x60, A_UIP = 0x80 };
enum { B_DSE = 1, B_24H = 2, B_DM_BINARY = 4, B_SQWE = 8, B_UIE = 16, B_AIE = 32, B_PIE = 64, B_SET = 128 };
enum { C_UF = 16, C_AF = 32, C_PF = 64, C_IRQF = 128, D_VRT = 128, HOUR_PM = 0x80, ALARM_ANY = 0xc0 };
/* UIP rises 244 us before the update, which lasts 1984 us (figure 14). The new time is there when it falls. */
enum { UIP_NS = (244 + 1984) * 1000, DAY = 86400 };
/* ns since 1970 in 64 bits end in 2262; a guest's time is folded into these years, so that sums with the wall clock cannot overflow. */
enum { YEAR_MIN = 1970, YEAR_MAX = 2199 };
#define SEC_LIMIT (230ll * 366 * DAY)

typedef struct Rtc {
    Device dev;
    char *base;                 /* property */
    uint8_t cmos[CMOS_SIZE];    /* time registers only while B_SET or the divider holds them */
    uint8_t index;
    int64_t offset_ns;          /* RTC time = wall clock + this, ns since 1970 */
    int64_t held_ns;            /* time while it stands still */
    int64_t seen_ns;            /* RTC time up to which flags were worked out */
    int64_t seen_virtual_ns;    /* the same for the periodic flag */
    uint8_t wday_shift;         /* weekday register against the calendar's */
    Timer *timer;
} Rtc;

/* ---- calendar (proleptic Gregorian; days since 1970-01-01) ---- */

static int64_t days_from_civil(int64_t y, unsigned m, unsigned d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    unsigned yoe = (unsigned)(y - era * 400), doy = (153 * (m + (m > 2 ? -3u : 9u)) + 2) / 5 + d - 1, doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + doe - 719468;
}

typedef struct Civil { int64_t year; unsigned month, day; } Civil;

static Civil civil_from_days(int64_t z)
{
    z += 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    unsigned doe = (unsigned)(z - era * 146097), yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153, m = mp < 10 ? mp + 3 : mp - 9;
    return (Civil){ .year = (int64_t)yoe + era * 400 + (m <= 2), .month = m, .day = doy - (153 * mp + 2) / 5 + 1 };
}

/* ---- register formats ---- */

static uint8_t encode(const Rtc *r, unsigned v)
{
    return (uint8_t)(r->cmos[REG_B] & B_DM_BINARY ? v : v / 10 % 10 << 4 | v % 10);
}

/* Total: a guest may write anything. */
static unsigned decode(const Rtc *r, uint8_t v)
{
    return r->cmos[REG_B] & B_DM_BINARY ? v : (v >> 4) * 10u + (v & 15);
}

static uint8_t encode_hour(const Rtc *r, unsigned h)
{
    if (r->cmos[REG_B] & B_24H)
        return encode(r, h);
    return encode(r, h % 12 ? h % 12 : 12) | (h >= 12 ? HOUR_PM : 0);
}

static unsigned decode_hour(const Rtc *r, uint8_t v)
{
    if (r->cmos[REG_B] & B_24H)
        return decode(r, v) % 24;
    return decode(r, v & 0x7f) % 12 + (v & HOUR_PM ? 12 : 0);
}

/* Fill the ten time registers (and the century) for @sec since 1970. */
static void regs_from_time(const Rtc *r, int64_t sec, uint8_t regs[CMOS_SIZE])
{
    int64_t days = sec / DAY - (sec % DAY < 0);
    unsigned tod = (unsigned)(sec - days * DAY);
    Civil c = civil_from_days(days);
    regs[SEC] = encode(r, tod % 60);
    regs[MIN_] = encode(r, tod / 60 % 60);
    regs[HOUR] = encode_hour(r, tod / 3600);
    regs[WDAY] = encode(r, (unsigned)((days % 7 + 11 + r->wday_shift) % 7 + 1));     /* 1970-01-01 was a Thursday; Sunday is 1 */
    regs[MDAY] = encode(r, c.day);
    regs[MONTH] = encode(r, c.month);
    regs[YEAR] = encode(r, (unsigned)(c.year % 100));
    regs[RTC_CENTURY] = (uint8_t)((unsigned)(c.year / 1000 % 10) << 4 | (unsigned)(c.year / 100 % 10));   /* always BCD, as PC firmware has it */
}

/* Whatever stands in the registers as a time; nonsense is folded into range. Sets the weekday's shift. */
static int64_t time_from_regs(Rtc *r, const uint8_t regs[CMOS_SIZE])
{
    unsigned century = (regs[RTC_CENTURY] >> 4) * 10u + (regs[RTC_CENTURY] & 15), month = decode(r, regs[MONTH]), day = decode(r, regs[MDAY]);
    int64_t year = CLAMP((int64_t)century * 100 + decode(r, regs[YEAR]) % 100, YEAR_MIN, YEAR_MAX);
    int64_t days = days_from_civil(year, CLAMP(month, 1, 12), CLAMP(day, 1, 31));
    r->wday_shift = (uint8_t)((decode(r, regs[WDAY]) + 6u + 7u - (unsigned)((days + 4) % 7)) % 7);
    return days * DAY + decode_hour(r, regs[HOUR]) * 3600 + decode(r, regs[MIN_]) % 60 * 60 + decode(r, regs[SEC]) % 60;
}

/* ---- time ---- */

static bool held(const Rtc *r)
{
    return r->cmos[REG_B] & B_SET || (r->cmos[REG_A] & A_DV_RESET) == A_DV_RESET;
}

static int64_t wall_ns(Rtc *r)
{
    return mclock_now(r->dev.clock, CLOCK_KIND_WALL);
}

static int64_t rtc_now(Rtc *r)
{
    return held(r) ? r->held_ns : wall_ns(r) + r->offset_ns;
}

static int64_t sec_of(int64_t ns)
{
    return ns / NS_PER_SEC - (ns % NS_PER_SEC < 0);
}

static int64_t frac_of(int64_t ns)
{
    return ns - sec_of(ns) * NS_PER_SEC;
}

/* ---- alarm ---- */

static bool alarm_field(const Rtc *r, unsigned reg, unsigned v)
{
    uint8_t a = r->cmos[reg];
    if ((a & ALARM_ANY) == ALARM_ANY)
        return true;
    return reg == HOUR_ALARM ? decode_hour(r, a) == v : decode(r, a) == v;
}

/* First second of day >= @tod that matches, or -1. */
static int alarm_in_day(const Rtc *r, unsigned tod)
{
    for (unsigned h = tod / 3600; h < 24; h++) {
        if (!alarm_field(r, HOUR_ALARM, h))
            continue;
        for (unsigned m = h == tod / 3600 ? tod / 60 % 60 : 0; m < 60; m++) {
            if (!alarm_field(r, MIN_ALARM, m))
                continue;
            for (unsigned s = h * 60 + m == tod / 60 ? tod % 60 : 0; s < 60; s++)
                if (alarm_field(r, SEC_ALARM, s))
                    return (int)(h * 3600 + m * 60 + s);
        }
    }
    return -1;
}

/* First second after @sec with an alarm; INT64_MAX if none ever. */
static int64_t next_alarm(const Rtc *r, int64_t sec)
{
    int64_t from = sec + 1, day = from / DAY - (from % DAY < 0);
    int hit = alarm_in_day(r, (unsigned)(from - day * DAY));
    if (hit >= 0)
        return day * DAY + hit;
    hit = alarm_in_day(r, 0);
    return hit >= 0 ? (day + 1) * DAY + hit : INT64_MAX;
}

/* ---- periodic ---- */

/* Ticks of 32768 Hz between two, 0 = off (table 5 with the 32.768 kHz base; 1 and 2 are 256 and 128 Hz). */
static uint64_t periodic_ticks(const Rtc *r)
{
    unsigned rs = r->cmos[REG_A] & A_RS;
    if (!rs || (r->cmos[REG_A] & A_DV_RESET) == A_DV_RESET)
        return 0;
    return 1ull << ((rs < 3 ? rs + 7 : rs) - 1);
}

/* ---- flags and interrupts ---- */

/* Flags that time has set since we looked last. */
static void rtc_catch_up(Rtc *r)
{
    int64_t now = rtc_now(r), vnow = mclock_now(r->dev.clock, CLOCK_KIND_VIRTUAL);
    uint64_t period = periodic_ticks(r);
    if (!held(r)) {
        int64_t sec = sec_of(now), seen = sec_of(r->seen_ns);
        /* A wall clock that was set back has no updates in between. */
        if (sec > seen) {
            r->cmos[REG_C] |= C_UF;
            if (next_alarm(r, seen) <= sec)
                r->cmos[REG_C] |= C_AF;
        }
    }
    r->seen_ns = now;
    if (period && mclock_ns_to_ticks(vnow, 32768) / period != mclock_ns_to_ticks(r->seen_virtual_ns, 32768) / period)
        r->cmos[REG_C] |= C_PF;
    r->seen_virtual_ns = vnow;
}

/* Virtual time of the next enabled event. */
static int64_t next_event(Rtc *r)
{
    int64_t vnow = r->seen_virtual_ns, at = INT64_MAX, sec = sec_of(r->seen_ns);
    uint64_t period = periodic_ticks(r);
    uint8_t b = r->cmos[REG_B], c = r->cmos[REG_C];
    if (b & B_PIE && !(c & C_PF) && period)
        at = mclock_ticks_to_ns_up((mclock_ns_to_ticks(vnow, 32768) / period + 1) * period, 32768);
    if (held(r))
        return at;
    int64_t next = b & B_UIE && !(c & C_UF) ? sec + 1 : INT64_MAX;
    if (b & B_AIE && !(c & C_AF))
        next = MIN(next, next_alarm(r, sec));
    if (next != INT64_MAX)
        at = MIN(at, vnow + next * NS_PER_SEC - r->seen_ns);
    return at;
}

static void rtc_update(Rtc *r)
{
    rtc_catch_up(r);
    uint8_t on = r->cmos[REG_B] & r->cmos[REG_C] & (C_UF | C_AF | C_PF);
    r->cmos[REG_C] = (uint8_t)((r->cmos[REG_C] & ~C_IRQF) | (on ? C_IRQF : 0));
    irq_set(r->dev.irq[0], on);
    int64_t at = next_event(r);
    if (at == INT64_MAX)
        timer_cancel(r->timer);
    else
        timer_arm(r->timer, at);
}

static void rtc_timer(void *opaque)
{
    rtc_update(opaque);
}

/* ---- ports ---- */

static uint8_t reg_read(Rtc *r, unsigned i)
{
    uint8_t now[CMOS_SIZE], val;
    switch (i) {
    case SEC: case MIN_: case HOUR: case WDAY: case MDAY: case MONTH: case YEAR: case RTC_CENTURY:
        if (held(r))
            return r->cmos[i];
        regs_from_time(r, sec_of(rtc_now(r)), now);
        return now[i];
    case REG_A:
        return r->cmos[i] | (!held(r) && frac_of(rtc_now(r)) >= NS_PER_SEC - UIP_NS ? A_UIP : 0);
    case REG_C:
        rtc_update(r);
        val = r->cmos[i];
        r->cmos[i] = 0;
        rtc_update(r);
        return val;
    case REG_D:
        return D_VRT;
    default:
        return r->cmos[i];
    }
}

/* Take the registers' content as time from now on. @frac: ns of the second gone already. */
static void resume(Rtc *r, int64_t frac)
{
    r->offset_ns = time_from_regs(r, r->cmos) * NS_PER_SEC + frac - wall_ns(r);
    r->seen_ns = rtc_now(r);
}

static void hold(Rtc *r, int64_t now)
{
    regs_from_time(r, sec_of(now), r->cmos);
    r->held_ns = now;
}

/* A or B changed: time stops, goes on, or is read in another format. */
static void control_write(Rtc *r, unsigned reg, uint8_t val)
{
    rtc_catch_up(r);
    int64_t now = rtc_now(r);
    bool was_held = held(r), was_reset = (r->cmos[REG_A] & A_DV_RESET) == A_DV_RESET;
    r->cmos[reg] = val;
    if (!was_held && held(r)) {
        hold(r, now);
    } else if (was_held && !held(r)) {
        /* Out of divider reset the first update comes after half a second (table 4); SET only keeps updates from showing. */
        resume(r, was_reset ? NS_PER_SEC / 2 : frac_of(r->held_ns));
    }
}

static void time_write(Rtc *r, unsigned i, uint8_t val)
{
    if (held(r)) {
        r->cmos[i] = val;
        return;
    }
    rtc_catch_up(r);
    int64_t now = rtc_now(r);
    regs_from_time(r, sec_of(now), r->cmos);
    r->cmos[i] = val;
    resume(r, frac_of(now));
}

static void reg_write(Rtc *r, unsigned i, uint8_t val)
{
    switch (i) {
    case SEC: case MIN_: case HOUR: case WDAY: case MDAY: case MONTH: case YEAR: case RTC_CENTURY:
        time_write(r, i, val);
        break;
    case SEC_ALARM: case MIN_ALARM: case HOUR_ALARM:
        rtc_catch_up(r);
        r->cmos[i] = val;
        break;
    case REG_A:
        control_write(r, i, val & 0x7f);
        break;
    case REG_B:
        /* SET also clears UIE (register B, bit 7). */
        control_write(r, i, val & B_SET ? val & (uint8_t)~B_UIE : val);
        break;
    case REG_C: case REG_D:
        return;
    default:
        r->cmos[i] = val;
        return;
    }
    rtc_update(r);
}

/* Bit 7 of port 70h gates NMI on a PC; nothing raises one through there. The index port reads as all-ones. */
static uint64_t rtc_read(void *opaque, uint64_t off, unsigned size)
{
    Rtc *r = opaque;
    return off == 0 ? 0xff : reg_read(r, r->index);
}

static void rtc_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    Rtc *r = opaque;
    if (off == 0)
        r->index = val & (CMOS_SIZE - 1);
    else
        reg_write(r, r->index, (uint8_t)val);
}

static const MmioOps rtc_ops = { .read = rtc_read, .write = rtc_write, .min_size = 1, .max_size = 1, .unaligned = true };

/* ---- life ---- */

void rtc_set_cmos(Device *dev, unsigned index, uint8_t val)
{
    g_assert(index > REG_D && index < CMOS_SIZE && index != RTC_CENTURY);
    devlock_enter(dev->lock);
    ((Rtc *)dev)->cmos[index] = val;
    devlock_leave(dev->lock);
}

uint8_t rtc_get_cmos(Device *dev, unsigned index)
{
    g_assert(index < CMOS_SIZE);
    devlock_enter(dev->lock);
    uint8_t val = reg_read((Rtc *)dev, index);
    devlock_leave(dev->lock);
    return val;
}

/* RESET clears the interrupt enables and flags; time, RAM, format and rate live on the battery. */
static void rtc_reset(Device *dev)
{
    Rtc *r = (Rtc *)dev;
    r->cmos[REG_B] &= (uint8_t)~(B_PIE | B_AIE | B_UIE | B_SQWE);
    r->index = 0;
    rtc_catch_up(r);
    r->cmos[REG_C] = 0;
    rtc_update(r);
}

/* "utc", "localtime" or seconds: what to add to the wall clock. */
static bool parse_base(Rtc *r, GError **err)
{
    gint64 sec;
    if (!r->base || !strcmp(r->base, "utc"))
        return true;
    if (!strcmp(r->base, "localtime")) {
        time_t t = (time_t)(wall_ns(r) / NS_PER_SEC);
        struct tm tm;
        if (localtime_r(&t, &tm))
            r->offset_ns = (int64_t)tm.tm_gmtoff * NS_PER_SEC;
        return true;
    }
    if (!g_ascii_string_to_signed(r->base, 10, 0, SEC_LIMIT, &sec, NULL)) {
        g_set_error(err, g_quark_from_static_string("rtc"), 0, "rtc base '%s' is neither utc, localtime nor seconds since 1970", r->base);
        return false;
    }
    r->offset_ns = sec * NS_PER_SEC - wall_ns(r);
    return true;
}

static bool rtc_realize(Device *dev, GError **err)
{
    Rtc *r = (Rtc *)dev;
    if (!parse_base(r, err))
        return false;
    r->cmos[REG_A] = 0x26;      /* 32.768 kHz time base, 1024 Hz: as PC firmware leaves it */
    r->cmos[REG_B] = B_24H;
    r->seen_ns = rtc_now(r);
    device_init_pio(dev, 0, "ports", &rtc_ops, 2);
    device_init_irqs(dev, 1);
    r->timer = device_timer_new(dev, rtc_timer);
    return true;
}

static void rtc_unrealize(Device *dev)
{
    timer_free(((Rtc *)dev)->timer);
}

static bool rtc_post_load(Device *dev, unsigned version, GError **err)
{
    Rtc *r = (Rtc *)dev;
    int64_t now;
    if (__builtin_add_overflow(wall_ns(r), r->offset_ns, &now) || llabs(now / NS_PER_SEC) > SEC_LIMIT || llabs(r->held_ns / NS_PER_SEC) > SEC_LIMIT) {
        g_set_error(err, g_quark_from_static_string("rtc"), 0, "rtc: time out of range");
        return false;
    }
    r->index &= CMOS_SIZE - 1;
    r->wday_shift %= 7;
    r->seen_ns = rtc_now(r);
    r->seen_virtual_ns = mclock_now(dev->clock, CLOCK_KIND_VIRTUAL);
    rtc_update(r);
    return true;
}

static const PropDesc rtc_props[] = { PROP(Rtc, base, PROP_STR, "base", .def = "utc", .help = "utc, localtime or seconds since 1970"), { 0 } };
static const FieldDesc rtc_fields[] = {
    FIELD_RAW(Rtc, cmos), FIELD(Rtc, index), FIELD(Rtc, offset_ns), FIELD(Rtc, held_ns), FIELD(Rtc, wday_shift), { 0 }
};
static const DeviceSection rtc_state[] = {
    { .name = "rtc", .version = 1, .min_version = 1, .fields = rtc_fields, .post_load = rtc_post_load },
    { 0 }
};

const DeviceClass rtc_class = {
    .name = "mc146818", .summary = "real-time clock and CMOS RAM", .size = sizeof(Rtc), .bus = BUS_SYS, .internal = true,
    .props = rtc_props, .state = rtc_state, .realize = rtc_realize, .reset = rtc_reset, .unrealize = rtc_unrealize,
};
