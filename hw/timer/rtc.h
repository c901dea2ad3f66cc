#pragma once
#include <time.h>

#include "vmm/device.h"

/*
 * MC146818 real-time clock with the PC's 128 bytes of CMOS RAM. Port region 0 (2, at 70h); output irq[0] (ISA interrupt 8). Time is the
 * host's wall clock plus an offset that the guest sets. Property base: "utc" (default), "localtime", or seconds since 1970 at start.
 */
extern const DeviceClass rtc_class;

/* Boards, before start: bytes that firmware reads. @index >= 14 and not the century. They survive resets. */
void rtc_set_cmos(Device *dev, unsigned index, uint8_t val);
uint8_t rtc_get_cmos(Device *dev, unsigned index);
enum { RTC_CENTURY = 0x32 };    /* for the FADT */
