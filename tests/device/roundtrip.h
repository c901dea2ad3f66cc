#pragma once
#include <string.h>

#include "tests/unit/check.h"
#include "vmm/device.h"

/* Save, reset, load back; the device must then save the same. */
static inline void round_trip(Device *dev)
{
    GError *err = NULL;
    g_autoptr(GByteArray) one = g_byte_array_new(), two = g_byte_array_new();
    CHECK(device_save(dev, one, &err));
    device_reset(dev);
    CHECK(device_load(dev, one->data, one->len, &err));
    CHECK(device_save(dev, two, &err));
    CHECK(one->len == two->len && !memcmp(one->data, two->data, one->len));
}
