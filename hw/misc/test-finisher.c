/* SiFive's test finisher, which device trees call syscon-poweroff and syscon-reboot: a word ends or resets the machine. */
#include "vmm/device.h"

enum { FAIL = 0x3333, PASS = 0x5555, RESET = 0x7777 };

typedef struct Finisher { Device dev; } Finisher;

static uint64_t finisher_read(void *opaque, uint64_t off, unsigned size) { return 0; }

static void finisher_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    switch (off == 0 ? val & 0xffff : 0) {
    case FAIL: device_request(opaque, DEVICE_REQ_EXIT, val >> 16 & 0xffff); break;
    case PASS: device_request(opaque, DEVICE_REQ_SHUTDOWN, 0); break;
    case RESET: device_request(opaque, DEVICE_REQ_RESET, 0); break;
    default: break;
    }
}

static const MmioOps finisher_ops = { .read = finisher_read, .write = finisher_write, .min_size = 2, .max_size = 4 };

static bool finisher_realize(Device *dev, GError **err)
{
    device_init_mmio(dev, 0, "test", &finisher_ops, 0x1000);
    return true;
}

const DeviceClass test_finisher_class = {
    .name = "sifive-test", .summary = "power off and reset by a word", .size = sizeof(Finisher), .bus = BUS_SYS, .internal = true,
    .realize = finisher_realize,
};
