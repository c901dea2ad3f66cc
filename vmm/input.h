#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "vmm/memory.h"

/*
 * Keyboard and pointer events from ui to a device (i8042, virtio-input, USB). Codes are Linux evdev's (linux/input-event-codes.h):
 * layout-neutral key positions. An InputHub (one a machine) passes events to the sink registered last for that kind.
 */
typedef enum InputKind { INPUT_KEYS = 1, INPUT_REL = 2, INPUT_ABS = 4 } InputKind;

typedef struct InputSinkOps {
    void (*key)(void *opaque, unsigned code, bool down);            /* KEY_* */
    void (*button)(void *opaque, unsigned code, bool down);         /* BTN_* */
    void (*rel)(void *opaque, int dx, int dy, int wheel);           /* counts, y grows downwards */
    void (*abs)(void *opaque, unsigned x, unsigned y);              /* 0..32767 of the display */
    void (*sync)(void *opaque);                                     /* end of one event packet */
} InputSinkOps;

typedef struct InputHub InputHub;
typedef struct InputSink InputSink;

InputHub *input_hub_new(void);
void input_hub_free(InputHub *h);               /* sinks must be gone */
/* @kinds ORed; hooks may be NULL and run under @lock (may be NULL). */
InputSink *input_sink_add(InputHub *h, unsigned kinds, const InputSinkOps *ops, void *opaque, DevLock *lock);
void input_sink_remove(InputSink *s);
/* True if someone takes this kind (a window hides the pointer for REL only). Any thread. */
bool input_wants(InputHub *h, InputKind kind);
void input_key(InputHub *h, unsigned code, bool down);
void input_button(InputHub *h, unsigned code, bool down);
void input_rel(InputHub *h, int dx, int dy, int wheel);
void input_abs(InputHub *h, unsigned x, unsigned y);
void input_sync(InputHub *h);
/* LED state back to ui: bit 0 scroll, 1 num, 2 caps lock. */
void input_set_leds(InputHub *h, unsigned leds);
unsigned input_leds(InputHub *h);
