/* Any registered device. The input is "CLASS\n" and operations for drive.c; DEVICE=CLASS in the environment chooses for all inputs. */
#include <string.h>

#include "tests/device/drive.h"
#include "tests/fuzz/fuzz.h"

static const DeviceClass *choose(const uint8_t **data, size_t *size)
{
    char name[64] = "";
    const char *forced = getenv("DEVICE");
    const uint8_t *nl = memchr(*data, '\n', MIN(*size, sizeof(name) - 1));
    if (nl) {
        memcpy(name, *data, (size_t)(nl - *data));
        name[nl - *data] = 0;
        *size -= (size_t)(nl + 1 - *data);
        *data = nl + 1;
    }
    const DeviceClass *k = device_class_find(device_registry, forced ? forced : name);
    if (k || !*size)
        return k;
    unsigned n = 0;     /* a damaged name: let the fuzzer's byte choose, so that no input is wasted */
    while (device_registry[n])
        n++;
    k = device_registry[**data % n];
    ++*data;
    --*size;
    return k;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const DeviceClass *k = choose(&data, &size);
    Drive d;
    if (!k || !drive_init(&d, k, NULL))
        return 0;
    DriveBytes b = { .p = data, .end = data + size };
    drive_run(&d, &b, 4000);
    drive_clear(&d);
    return 0;
}
