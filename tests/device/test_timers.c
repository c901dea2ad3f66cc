/* 8254 in all modes, port 61h (Intel 231164); MC146818A; HPET 1.0a. */
#include <string.h>

#include "hw/timer/hpet.h"
#include "hw/timer/pit.h"
#include "hw/timer/rtc.h"
#include "tests/device/chips.h"
#include "tests/device/roundtrip.h"

#define TEST(name) static void name(Chips *c)
enum { HPET_BASE = 0xfed00000 };

static Device *pit, *rtc, *hpet;       /* of the machine under test */
static unsigned edges[2];

static void on_wire(void *opaque, unsigned n, bool level)
{
    edges[n] += level;
}

/* ---- 8254 ---- */

/* Time up to the start of PIT clock @n from now on, which begins on one. */
static void ticks(Chips *c, uint64_t n)
{
    MachineClock *k = machine_clock(c->m);
    uint64_t now = mclock_ns_to_ticks(mclock_now(k, CLOCK_KIND_VIRTUAL), PIT_HZ);
    chips_advance(c, mclock_ticks_to_ns_up(now + n, PIT_HZ) - mclock_now(k, CLOCK_KIND_VIRTUAL));
}

static void load(Chips *c, unsigned ch, uint8_t control, uint16_t count)
{
    chips_out(c, 0x43, (uint8_t)(ch << 6 | control));
    chips_out(c, (uint16_t)(0x40 + ch), (uint8_t)count);
    chips_out(c, (uint16_t)(0x40 + ch), (uint8_t)(count >> 8));
}

static unsigned count_of(Chips *c, unsigned ch)
{
    chips_out(c, 0x43, (uint8_t)(ch << 6));
    unsigned lo = chips_in(c, (uint16_t)(0x40 + ch));
    return lo | chips_in(c, (uint16_t)(0x40 + ch)) << 8;
}

static unsigned status_of(Chips *c, unsigned ch)
{
    chips_out(c, 0x43, (uint8_t)(0xe0 | 2 << ch));
    return chips_in(c, (uint16_t)(0x40 + ch));
}

static bool out(Chips *c, unsigned ch)
{
    return status_of(c, ch) >> 7;
}

TEST(pit_mode0)
{
    load(c, 0, 0x30, 4);
    CHECK(!out(c, 0));
    ticks(c, 1);                            /* CE is loaded by the next clock */
    CHECK_EQ(count_of(c, 0), 4);
    ticks(c, 3);
    CHECK(!out(c, 0));
    CHECK_EQ(count_of(c, 0), 1);
    ticks(c, 1);
    CHECK(out(c, 0));
    ticks(c, 1);
    CHECK_EQ(count_of(c, 0), 0xffff);       /* goes on counting */
    CHECK(out(c, 0));
    chips_advance(c, 1000000);
    CHECK_EQ(edges[0], 1);
    chips_out(c, 0x40, 9);                  /* first byte: OUT low, count stopped */
    CHECK(!out(c, 0));
    ticks(c, 100);
    CHECK(!out(c, 0));
    chips_out(c, 0x40, 0);
    ticks(c, 10);
    CHECK(out(c, 0));
}

TEST(pit_mode2)
{
    load(c, 0, 0x34, 100);
    CHECK(out(c, 0));
    ticks(c, 1);
    CHECK_EQ(count_of(c, 0), 100);
    ticks(c, 98);
    CHECK(out(c, 0));
    ticks(c, 1);
    CHECK_EQ(count_of(c, 0), 1);
    CHECK(!out(c, 0));
    ticks(c, 1);
    CHECK(out(c, 0));
    CHECK_EQ(count_of(c, 0), 100);
    unsigned before = edges[0];
    ticks(c, 1000);
    CHECK_EQ(edges[0] - before, 10);
    chips_out(c, 0x40, 50);                 /* a new count waits for the end of the period */
    chips_out(c, 0x40, 0);
    CHECK(status_of(c, 0) & 0x40);
    ticks(c, 10);
    CHECK_EQ(count_of(c, 0), 90);
    ticks(c, 90);
    CHECK(!(status_of(c, 0) & 0x40));
    CHECK_EQ(count_of(c, 0), 50);
    before = edges[0];
    ticks(c, 500);
    CHECK_EQ(edges[0] - before, 10);
}

TEST(pit_mode3)
{
    load(c, 0, 0x36, 5);                    /* odd: high 3, low 2 */
    ticks(c, 1);
    static const bool wave[] = { 1, 1, 1, 0, 0, 1, 1, 1, 0, 0 };
    for (unsigned i = 0; i < 10; i++, ticks(c, 1))
        CHECK_EQ(out(c, 0), wave[i]);
    CHECK_EQ(count_of(c, 0), 4);
    ticks(c, 1);
    CHECK_EQ(count_of(c, 0), 2);
    load(c, 2, 0x36, 10);
    chips_out(c, 0x61, 1);                  /* gate up: starts */
    ticks(c, 1);
    CHECK_EQ(count_of(c, 2), 10);
    ticks(c, 4);
    CHECK_EQ(count_of(c, 2), 2);
    CHECK(chips_in(c, 0x61) & 0x20);
    ticks(c, 1);
    CHECK(!(chips_in(c, 0x61) & 0x20));
    CHECK_EQ(count_of(c, 2), 10);
    chips_out(c, 0x61, 0);                  /* gate down: OUT high at once */
    CHECK(chips_in(c, 0x61) & 0x20);
    chips_out(c, 0x61, 1);
    ticks(c, 1);
    CHECK_EQ(count_of(c, 2), 10);           /* and from the start again */
    chips_out(c, 0x42, 20);                 /* new count in the high half: from the low half on */
    chips_out(c, 0x42, 0);
    ticks(c, 5);
    CHECK(!(chips_in(c, 0x61) & 0x20));
    ticks(c, 9);
    CHECK(!(chips_in(c, 0x61) & 0x20));
    ticks(c, 1);
    CHECK(chips_in(c, 0x61) & 0x20);
}

TEST(pit_one_shots)
{
    load(c, 2, 0x32, 5);                    /* mode 1: nothing before the gate rises */
    CHECK(chips_in(c, 0x61) & 0x20);
    ticks(c, 20);
    CHECK(chips_in(c, 0x61) & 0x20);
    CHECK(status_of(c, 2) & 0x40);
    chips_out(c, 0x61, 1);
    ticks(c, 1);
    CHECK(!(chips_in(c, 0x61) & 0x20));
    ticks(c, 3);
    chips_out(c, 0x61, 0);
    chips_out(c, 0x61, 1);                  /* retriggered */
    ticks(c, 5);
    CHECK(!(chips_in(c, 0x61) & 0x20));
    ticks(c, 1);
    CHECK(chips_in(c, 0x61) & 0x20);
    load(c, 0, 0x38, 3);                    /* mode 4: a strobe of one clock */
    CHECK(out(c, 0));
    ticks(c, 3);
    CHECK(out(c, 0));
    ticks(c, 1);
    CHECK(!out(c, 0));
    ticks(c, 1);
    CHECK(out(c, 0));
    ticks(c, 70000);
    unsigned once = edges[0];
    ticks(c, 140000);
    CHECK_EQ(edges[0], once);               /* once only */
    chips_out(c, 0x61, 0);
    load(c, 2, 0x3a, 3);                    /* mode 5: the same, by the gate */
    ticks(c, 10);
    CHECK(chips_in(c, 0x61) & 0x20);
    chips_out(c, 0x61, 1);
    ticks(c, 4);
    CHECK(!(chips_in(c, 0x61) & 0x20));
    ticks(c, 1);
    CHECK(chips_in(c, 0x61) & 0x20);
}

TEST(pit_gate_holds)
{
    chips_out(c, 0x61, 1);
    load(c, 2, 0x30, 1000);
    ticks(c, 101);
    chips_out(c, 0x61, 0);
    CHECK_EQ(count_of(c, 2), 900);
    ticks(c, 5000);
    CHECK_EQ(count_of(c, 2), 900);
    chips_out(c, 0x61, 1);
    ticks(c, 899);
    CHECK(!(chips_in(c, 0x61) & 0x20));
    ticks(c, 1);
    CHECK(chips_in(c, 0x61) & 0x20);
}

TEST(pit_reads)
{
    chips_out(c, 0x61, 1);
    load(c, 2, 0x31, 0x1234);               /* BCD */
    ticks(c, 1);
    CHECK_EQ(count_of(c, 2), 0x1234);
    ticks(c, 35);
    CHECK_EQ(count_of(c, 2), 0x1199);
    ticks(c, 1200);
    CHECK_EQ(count_of(c, 2), 0x9999);
    load(c, 2, 0x30, 0);
    ticks(c, 2);
    CHECK_EQ(count_of(c, 2), 0xffff);       /* 0 is 65536 */
    chips_out(c, 0x43, 0x80);               /* latch; a second latch is ignored, time goes on */
    ticks(c, 256);
    chips_out(c, 0x43, 0x80);
    CHECK_EQ(chips_in(c, 0x42), 0xff);
    CHECK_EQ(chips_in(c, 0x42), 0xff);
    CHECK_EQ(chips_in(c, 0x42), 0xff);      /* unlatched: low byte, then high byte */
    CHECK_EQ(chips_in(c, 0x42), 0xfe);
    chips_out(c, 0x43, 0xc8);               /* read back status and count: status comes first */
    CHECK_EQ(chips_in(c, 0x42), 0x30);
    CHECK_EQ(chips_in(c, 0x42), 0xff);
    CHECK_EQ(chips_in(c, 0x42), 0xfe);
    chips_out(c, 0x43, 0x90);               /* LSB only */
    chips_out(c, 0x42, 77);
    ticks(c, 1);
    CHECK_EQ(chips_in(c, 0x42), 77);
    CHECK_EQ(chips_in(c, 0x42), 77);
    chips_out(c, 0x43, 0xa0);               /* MSB only */
    chips_out(c, 0x42, 2);
    ticks(c, 257);
    CHECK_EQ(chips_in(c, 0x42), 1);
    bool refresh = chips_in(c, 0x61) & 0x10;
    ticks(c, 18);
    CHECK(refresh == !(chips_in(c, 0x61) & 0x10));
    CHECK_EQ(chips_in(c, 0x43), 0xff);
}

TEST(pit_state)
{
    load(c, 0, 0x34, 100);
    ticks(c, 11);
    chips_out(c, 0x43, 0);
    round_trip(pit);
    CHECK_EQ(chips_in(c, 0x40), 90);
    CHECK_EQ(chips_in(c, 0x40), 0);
    unsigned before = edges[0];
    ticks(c, 90);
    CHECK_EQ(edges[0] - before, 1);
    X86PitState s;
    memset(&s, 0xff, sizeof(s));            /* hostile, but a bool is one after every loader */
    for (unsigned i = 0; i < 3; i++) {
        X86PitChannel *ch = &s.ch[i];
        ch->bcd = ch->gate = ch->read_msb = ch->write_msb = ch->armed = ch->loaded = ch->null_count = true;
    }
    pit_state_in(pit, &s, 0);
    pit_start(pit, 0);
    ticks(c, 1000);
    count_of(c, 0);
    pit_set_active(pit, false);
    before = edges[0];
    load(c, 0, 0x34, 100);
    ticks(c, 1000);
    CHECK_EQ(edges[0], before);
}

/* ---- RTC ---- */

static unsigned cmos(Chips *c, unsigned i)
{
    chips_out(c, 0x70, (uint8_t)i);
    return chips_in(c, 0x71);
}

static void cmos_write(Chips *c, unsigned i, unsigned v)
{
    chips_out(c, 0x70, (uint8_t)i);
    chips_out(c, 0x71, (uint8_t)v);
}

/* As Linux does it: SET, divider reset, registers, and back. The next second begins half a second later. */
static void set_time(Chips *c, const uint8_t regs[8], uint8_t b)
{
    static const uint8_t at[8] = { 0, 2, 4, 6, 7, 8, 9, RTC_CENTURY };
    cmos_write(c, 11, 0x80 | b);
    cmos_write(c, 10, 0x76);
    for (unsigned i = 0; i < 8; i++)
        cmos_write(c, at[i], regs[i]);
    cmos_write(c, 11, b);
    cmos_write(c, 10, 0x26);
}

static void check_time(Chips *c, const uint8_t regs[8])
{
    static const uint8_t at[8] = { 0, 2, 4, 6, 7, 8, 9, RTC_CENTURY };
    for (unsigned i = 0; i < 8; i++)
        CHECK_EQ(cmos(c, at[i]), regs[i]);
}

TEST(rtc_time)
{
    CHECK_EQ(cmos(c, 13), 0x80);
    CHECK_EQ(cmos(c, 11), 2);
    set_time(c, (uint8_t[]){ 0x59, 0x59, 0x23, 5, 0x29, 2, 0x24, 0x20 }, 2);
    check_time(c, (uint8_t[]){ 0x59, 0x59, 0x23, 5, 0x29, 2, 0x24, 0x20 });
    chips_advance(c, 499000000);
    CHECK_EQ(cmos(c, 0), 0x59);
    CHECK(cmos(c, 10) & 0x80);              /* update in progress */
    chips_advance(c, 2000000);
    CHECK(!(cmos(c, 10) & 0x80));
    check_time(c, (uint8_t[]){ 0, 0, 0, 6, 1, 3, 0x24, 0x20 });
    cmos_write(c, 11, 6);                   /* the same in binary */
    cmos_write(c, 2, 45);
    check_time(c, (uint8_t[]){ 0, 45, 0, 6, 1, 3, 24, 0x20 });
    set_time(c, (uint8_t[]){ 0x30, 0x15, 0x92, 1, 0x31, 0x12, 0x99, 0x19 }, 0);     /* 12 h: 12 PM */
    check_time(c, (uint8_t[]){ 0x30, 0x15, 0x92, 1, 0x31, 0x12, 0x99, 0x19 });
    cmos_write(c, 11, 2);
    CHECK_EQ(cmos(c, 4), 0x12);
    cmos_write(c, 4, 0x00);
    cmos_write(c, 11, 0);
    CHECK_EQ(cmos(c, 4), 0x12);             /* midnight */
    chips_advance(c, 86400ll * NS_PER_SEC);
    CHECK_EQ(cmos(c, 9), 0);
    CHECK_EQ(cmos(c, RTC_CENTURY), 0x20);
    CHECK_EQ(cmos(c, 6), 2);                /* the weekday follows what was set */
    set_time(c, (uint8_t[]){ 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, 2);  /* nonsense */
    cmos(c, 0);
}

TEST(rtc_interrupts)
{
    set_time(c, (uint8_t[]){ 0x58, 0x59, 0x11, 2, 4, 5, 0x21, 0x20 }, 2);
    cmos(c, 12);
    cmos_write(c, 11, 0x12);                /* update ended */
    chips_advance(c, 499000000);
    CHECK_EQ(edges[1], 0);
    chips_advance(c, 1500000);
    CHECK_EQ(edges[1], 1);
    CHECK_EQ(cmos(c, 12) & 0xb0, 0x90);
    CHECK_EQ(cmos(c, 12), 0);
    cmos_write(c, 1, 0x00);
    cmos_write(c, 3, 0x00);
    cmos_write(c, 5, 0xff);                 /* any hour */
    cmos_write(c, 11, 0x22);
    chips_advance(c, NS_PER_SEC);
    CHECK_EQ(edges[1], 2);
    CHECK_EQ(cmos(c, 12) & 0xa0, 0xa0);
    chips_advance(c, 3599 * NS_PER_SEC);
    CHECK_EQ(edges[1], 2);
    chips_advance(c, NS_PER_SEC);
    CHECK_EQ(edges[1], 3);
    cmos(c, 12);
    cmos_write(c, 1, 0x77);                 /* no such second */
    chips_advance(c, 90000 * NS_PER_SEC);
    CHECK_EQ(edges[1], 3);
    cmos_write(c, 10, 0x26);                /* 1024 Hz */
    cmos_write(c, 11, 0x42);
    cmos(c, 12);
    unsigned n = 0;
    for (unsigned i = 0; i < 1000; i++) {
        chips_advance(c, NS_PER_MS);
        n += cmos(c, 12) >> 7;
    }
    CHECK(n > 970 && n <= 1000);
    cmos_write(c, 11, 2);
    chips_advance(c, NS_PER_SEC);
    CHECK_EQ(cmos(c, 12) & 0xd0, 0x50);     /* flags without enables: no IRQF */
}

TEST(rtc_ram)
{
    rtc_set_cmos(rtc, 0x34, 0xab);
    CHECK_EQ(cmos(c, 0x34), 0xab);
    CHECK_EQ(cmos(c, 0x34 | 0x80), 0xab);   /* bit 7 is the NMI gate */
    cmos_write(c, 0x0f, 5);
    cmos_write(c, 11, 0x72);
    device_reset(rtc);
    CHECK_EQ(cmos(c, 0x0f), 5);             /* shutdown status survives */
    CHECK_EQ(cmos(c, 11), 2);               /* interrupt enables do not */
    set_time(c, (uint8_t[]){ 1, 2, 3, 4, 5, 6, 7, 0x20 }, 2);
    round_trip(rtc);
    check_time(c, (uint8_t[]){ 1, 2, 3, 4, 5, 6, 7, 0x20 });
    CHECK_EQ(rtc_get_cmos(rtc, 9), 7);
}

/* ---- HPET ---- */

static uint64_t hp(Chips *c, unsigned reg)
{
    uint64_t v;
    as_load(machine_as_mem(c->m), HPET_BASE + reg, 8, &v);
    return v;
}

static void hp_write(Chips *c, unsigned reg, uint64_t v)
{
    as_store(machine_as_mem(c->m), HPET_BASE + reg, 8, v);
}

TEST(hpet_counter)
{
    CHECK_EQ(hp(c, 0) >> 32, HPET_PERIOD_FS);
    CHECK_EQ(hp(c, 0) & 0xffff, 0xa201);
    chips_advance(c, 1000);
    CHECK_EQ(hp(c, 0xf0), 0);
    hp_write(c, 0x10, 1);
    chips_advance(c, 1000);
    CHECK_EQ(hp(c, 0xf0), 100);
    hp_write(c, 0x10, 0);
    chips_advance(c, 1000);
    hp_write(c, 0xf0, 0xfffffffffffffff0ull);
    hp_write(c, 0x10, 1);
    chips_advance(c, 200);
    CHECK_EQ(hp(c, 0xf0), 4);               /* wraps */
    uint64_t hi;
    hp_write(c, 0xf0, 0x123456789abcdef0ull);
    as_load(machine_as_mem(c->m), HPET_BASE + 0xf4, 4, &hi);
    CHECK_EQ(hi, 0x12345678);
}

TEST(hpet_legacy)
{
    hp_write(c, 0x10, 3);
    load(c, 0, 0x34, 100);
    unsigned before = edges[0];
    chips_advance(c, NS_PER_MS);
    CHECK_EQ(edges[0], before);             /* the 8254 is cut off */
    hp_write(c, 0x100, 0x14c);              /* periodic, enabled, VAL_SET, 32 bits: as Linux */
    hp_write(c, 0x108, hp(c, 0xf0) + 100000);
    hp_write(c, 0x108, 100000);
    CHECK_EQ(hp(c, 0x100) & 0x7fff, 0x13c | 0x0);
    chips_advance(c, 10 * NS_PER_MS);
    CHECK_EQ(edges[0] - before, 10);
    hp_write(c, 0x120, 4);
    hp_write(c, 0x128, hp(c, 0xf0) + 50);
    chips_advance(c, NS_PER_MS);
    CHECK_EQ(edges[1], 1);                  /* timer 1 is interrupt 8 */
    hp_write(c, 0x10, 1);
    before = edges[0];
    chips_advance(c, NS_PER_MS);
    CHECK(edges[0] > before);               /* and the 8254 is back */
}

TEST(hpet_level)
{
    hp_write(c, 0x10, 1);
    hp_write(c, 0x140, 20 << 9 | 4 | 2);    /* pin 20, level */
    hp_write(c, 0x148, hp(c, 0xf0) + 1000);
    chips_advance(c, 9990);
    CHECK(!irq_level(hpet->irq[20]));
    chips_advance(c, 10);
    CHECK(irq_level(hpet->irq[20]));
    CHECK_EQ(hp(c, 0x20), 4);
    round_trip(hpet);
    CHECK(irq_level(hpet->irq[20]));
    hp_write(c, 0x20, 4);
    CHECK(!irq_level(hpet->irq[20]));
    hp_write(c, 0x148, hp(c, 0xf0) - 5);    /* the past: waits for the wrap */
    chips_advance(c, NS_PER_SEC);
    CHECK_EQ(hp(c, 0x20), 0);
    hp_write(c, 0x140, 3 << 9 | 4);         /* a pin it cannot have */
    hp_write(c, 0x148, hp(c, 0xf0) + 10);
    chips_advance(c, NS_PER_MS);
    CHECK_EQ(hp(c, 0x140) >> 32, 0x00f00000);
}

static uint64_t msi_addr;
static uint32_t msi_data;

static void on_msi(void *opaque, uint64_t addr, uint32_t data, uint32_t from)
{
    msi_addr = addr;
    msi_data = data;
}

TEST(hpet_fsb)
{
    irq_fabric_set_msi(machine_fabric(c->m), on_msi, NULL);
    hp_write(c, 0x10, 1);
    hp_write(c, 0x150, 0xfee01000ull << 32 | 0x4041);
    hp_write(c, 0x140, 0x4004);
    hp_write(c, 0x148, hp(c, 0xf0) + 10);
    chips_advance(c, 1000);
    CHECK_EQ(msi_addr, 0xfee01000);
    CHECK_EQ(msi_data, 0x4041);
}

static void set_up(Chips *c)
{
    pit = chips_device(c, &pit_class);
    rtc = chips_device(c, &rtc_class);
    hpet = chips_device(c, &hpet_class);
    chips_map(c, pit, (const uint16_t[]){ 0x40, 0x61 });
    chips_map(c, rtc, (const uint16_t[]){ 0x70 });
    mem_region_add(machine_mem_root(c->m), HPET_BASE, device_mmio(hpet, 0), 0);
    mem_commit_now(machine_mem(c->m));
    irq_connect(pit->irq[0], device_input(hpet, 0));
    irq_connect(rtc->irq[0], device_input(hpet, 1));
    for (unsigned i = 0; i < 2; i++)
        irq_connect(hpet->irq[HPET_LEGACY + i], irq_wire_new(machine_fabric(c->m), on_wire, NULL, i));
    memset(edges, 0, sizeof(edges));
}

int main(void)
{
    static void (*const tests[])(Chips *) = {
        pit_mode0, pit_mode2, pit_mode3, pit_one_shots, pit_gate_holds, pit_reads, pit_state, rtc_time, rtc_interrupts, rtc_ram,
        hpet_counter, hpet_legacy, hpet_level, hpet_fsb,
    };
    for (unsigned i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        Chips c;
        chips_init(&c, 0);
        set_up(&c);
        tests[i](&c);
        chips_clear(&c);
    }
    printf("timers: ok\n");
    return 0;
}
