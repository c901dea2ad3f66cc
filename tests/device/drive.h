#pragma once
#include "tests/device/rig.h"

/*
 * Drives any registered device class without a CPU: makes it in a rig, maps what it has, and turns bytes (random ones, or a
 * fuzzer's) into accesses, passing time and resets. Time is manual, so a run is repeatable.
 */
typedef struct DriveBytes {
    const uint8_t *p, *end;     /* a fuzzer's input; then, if @rand, random bytes without end */
    GRand *rand;
} DriveBytes;

typedef struct DriveWindow {
    AddressSpace *as;
    uint64_t base, len;
} DriveWindow;

typedef struct Drive {
    Rig rig;
    Device *dev;
    Device *host;               /* the controller whose bus it needs, or NULL */
    Device *kids[2];            /* on its buses, or NULL */
    GArray *windows;            /* DriveWindow: where the device answers */
    IrqWire **wires;            /* of outputs that nobody else had connected */
    unsigned n_wires;
    unsigned edges;             /* rising, all wires */
} Drive;

extern const DeviceClass *const device_registry[];

/* False, with *ret_why (static text or NULL), if the class cannot be made alone. */
bool drive_init(Drive *d, const DeviceClass *k, char **ret_why);
void drive_clear(Drive *d);
/* Up to @n operations, fewer if the bytes run out. */
void drive_run(Drive *d, DriveBytes *b, unsigned n);
/* State of the device, and NULL if it refuses to be saved now. */
GByteArray *drive_save(Drive *d);
