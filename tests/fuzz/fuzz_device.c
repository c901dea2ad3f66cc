/*
 * Any registered device (those that need a processor: fuzz_intc.c). The input is "CLASS\n" and operations for drive.c, in between a saved state that
 * was damaged; DEVICE=CLASS in the environment chooses for all inputs.
 */
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

/* The bytes say where and with what; taken or refused, never more. */
static void load_damaged(Drive *d, DriveBytes *b)
{
    g_autoptr(GByteArray) a = device_has_state(d->dev) ? drive_save(d) : NULL;
    GError *err = NULL;
    for (unsigned n = 0; a && a->len && n < 4 && b->end - b->p >= 3; n++, b->p += 3)
        a->data[(b->p[0] | (unsigned)b->p[1] << 8) % a->len] = b->p[2];
    if (a && !device_load(d->dev, a->data, a->len, &err))
        g_assert(err);
    g_clear_error(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const DeviceClass *k = choose(&data, &size);
    Drive d;
    if (!k || !drive_init(&d, k, NULL))
        return 0;
    DriveBytes b = { .p = data, .end = data + size };
    for (unsigned part = 0; part < 20 && b.p < b.end; part++) {
        drive_run(&d, &b, 40 << part / 3);
        load_damaged(&d, &b);
    }
    drive_clear(&d);
    return 0;
}
