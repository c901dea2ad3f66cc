#pragma once
#include "vmm/device.h"

/*
 * 16550A serial port. Port region 0 (8, at 3f8h...); output irq[0]. Property chardev: where the line goes, unset = nowhere.
 */
extern const DeviceClass serial_class;
