#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "util/fielddesc.h"

/*
 * The two devices on PS/2 cables, as parts of the controller (i8042.c), under its lock. They answer commands at once and put their bytes
 * into a queue from which the controller takes them.
 */
enum { PS2_QUEUE = 16, PS2_EVENTS = 64 };

typedef struct Ps2Queue {
    uint8_t reply[PS2_QUEUE];   /* answers: go first */
    uint8_t n_reply;
    uint8_t event[PS2_EVENTS];  /* keys and movements, whole sequences only */
    uint8_t n_event;
    uint8_t last;               /* for FEh, resend */
} Ps2Queue;

typedef struct Ps2Kbd {
    Ps2Queue q;
    uint8_t command;            /* waits for its argument; 0 = none */
    uint8_t set;                /* scan code set, 1 or 2 */
    uint8_t leds;               /* bit 0 scroll, 1 num, 2 caps lock */
    bool scanning;
} Ps2Kbd;

typedef struct Ps2Mouse {
    Ps2Queue q;
    uint8_t command;
    uint8_t id;                 /* 0 plain, 3 with wheel, 4 with five buttons */
    uint8_t rate, resolution, magic;    /* @magic: progress in the sequence of rates that turns the wheel on */
    bool enabled, remote, wrap, scale21;
    uint8_t buttons, sent_buttons;      /* bit 0 left, 1 right, 2 middle, 3 side, 4 extra */
    int32_t dx, dy, dz;         /* not yet reported; y grows upwards */
} Ps2Mouse;

extern const FieldDesc ps2_kbd_fields[], ps2_mouse_fields[];

bool ps2_queue_pop(Ps2Queue *q, uint8_t *ret);
bool ps2_queue_empty(const Ps2Queue *q);

void ps2_kbd_reset(Ps2Kbd *k);
/* True if the LEDs changed. */
bool ps2_kbd_write(Ps2Kbd *k, uint8_t val);
/* @code is evdev's KEY_*. */
void ps2_kbd_key(Ps2Kbd *k, unsigned code, bool down);
/* What the controller's translation makes of a byte of set 2 (IBM PS/2 technical reference, keyboard controller). */
uint8_t ps2_translate(uint8_t set2);

void ps2_mouse_reset(Ps2Mouse *m);
void ps2_mouse_write(Ps2Mouse *m, uint8_t val);
void ps2_mouse_button(Ps2Mouse *m, unsigned code, bool down);   /* BTN_* */
void ps2_mouse_move(Ps2Mouse *m, int dx, int dy, int wheel);    /* y grows downwards, as input.h has it */
void ps2_mouse_sync(Ps2Mouse *m);
/* Loaded state: false if it cannot be. */
bool ps2_kbd_valid(const Ps2Kbd *k);
bool ps2_mouse_valid(const Ps2Mouse *m);
