/* Chips of the RISC-V virt machine: Goldfish RTC. Time is manual. */
#include "tests/device/drive.h"

enum { RTC = 0xd0000000, TIME_LOW = 0, TIME_HIGH = 4, ALARM_LOW = 8, ALARM_HIGH = 12, IRQ_ENABLED = 16, CLEAR_ALARM = 20, ALARM_STATUS = 24, CLEAR_INTERRUPT = 28 };

extern const DeviceClass goldfish_rtc_class;

static uint64_t time_of(Drive *d)
{
    uint64_t low = rig_load(&d->rig, RTC + TIME_LOW, 4);
    return low | rig_load(&d->rig, RTC + TIME_HIGH, 4) << 32;
}

static void set_alarm(Drive *d, uint64_t at)
{
    rig_store(&d->rig, RTC + ALARM_HIGH, 4, at >> 32);
    rig_store(&d->rig, RTC + ALARM_LOW, 4, at & UINT32_MAX);
}

static void test_time(void)
{
    Drive d;
    CHECK(drive_init(&d, &goldfish_rtc_class, NULL));
    uint64_t start = time_of(&d);
    mclock_advance(machine_clock(d.rig.m), 5 * NS_PER_SEC);
    CHECK_EQ(time_of(&d), start + 5 * NS_PER_SEC);
    /* whatever time the guest sets, it goes on from there, over the end too */
    static const uint32_t highs[] = { 0, 0x7fffffff, 0x80000000, UINT32_MAX };
    for (unsigned n = 0; n < 4; n++) {
        rig_store(&d.rig, RTC + TIME_HIGH, 4, highs[n]);
        rig_store(&d.rig, RTC + TIME_LOW, 4, UINT32_MAX);
        CHECK_EQ(time_of(&d), (uint64_t)highs[n] << 32 | UINT32_MAX);
        mclock_advance(machine_clock(d.rig.m), 1000);
        CHECK_EQ(time_of(&d), ((uint64_t)highs[n] << 32 | UINT32_MAX) + 1000);
    }
    drive_clear(&d);
}

static void test_alarm(void)
{
    Drive d;
    CHECK(drive_init(&d, &goldfish_rtc_class, NULL));
    rig_store(&d.rig, RTC + IRQ_ENABLED, 4, 1);
    set_alarm(&d, time_of(&d) + 1000);
    CHECK_EQ(rig_load(&d.rig, RTC + ALARM_STATUS, 4), 1);
    mclock_advance(machine_clock(d.rig.m), 999);
    CHECK_EQ(d.edges, 0);
    mclock_advance(machine_clock(d.rig.m), 1);
    CHECK_EQ(d.edges, 1);
    CHECK_EQ(rig_load(&d.rig, RTC + ALARM_STATUS, 4), 0);
    rig_store(&d.rig, RTC + CLEAR_INTERRUPT, 4, 1);
    set_alarm(&d, 1);           /* long ago: at once */
    CHECK_EQ(d.edges, 2);
    rig_store(&d.rig, RTC + CLEAR_INTERRUPT, 4, 1);
    set_alarm(&d, UINT64_MAX);  /* never */
    mclock_advance(machine_clock(d.rig.m), 1000 * NS_PER_SEC);
    CHECK_EQ(d.edges, 2);
    rig_store(&d.rig, RTC + CLEAR_ALARM, 4, 1);
    CHECK_EQ(rig_load(&d.rig, RTC + ALARM_STATUS, 4), 0);
    drive_clear(&d);
}

int main(void)
{
    test_time();
    test_alarm();
    return 0;
}
