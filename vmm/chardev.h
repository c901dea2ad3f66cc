#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmm/memory.h"

/*
 * Byte streams between a device (front: serial port, virtio console, debug port) or a monitor and the outside (back: stdio, pty, socket,
 * file; filled by ui). One front and one back at most; either may be missing and come later.
 *
 * Locks: device -> back end. The front calls chardev_write with its device lock held. A back end calls chardev_receive,
 * chardev_event and chardev_writable without any lock of its own; the core takes the front's lock.
 */
typedef struct CharDev CharDev;

typedef enum CharEvent { CHAR_OPENED, CHAR_CLOSED, CHAR_BREAK } CharEvent;

/* Line parameters of a real serial line; back ends may ignore them. */
typedef struct CharLine {
    uint32_t baud;
    uint8_t data_bits, stop_bits;
    char parity;                /* 'N', 'E', 'O', 'M', 'S' */
} CharLine;

/* Device side. All under its lock. Hooks may be NULL (a device that only writes). */
typedef struct CharFrontOps {
    size_t (*can_receive)(void *opaque);                                /* bytes it takes now */
    void (*receive)(void *opaque, const uint8_t *buf, size_t len);      /* len <= can_receive() just before */
    void (*event)(void *opaque, CharEvent ev);
    void (*writable)(void *opaque);                                     /* after a short write: try again */
} CharFrontOps;

/* Outside. Called from any thread, may take the back end's own lock, must not block and must not call back. */
typedef struct CharBackOps {
    /* Bytes taken (fewer than @len, down to 0, if full: chardev_writable() follows), or -errno if broken (data is dropped). */
    ssize_t (*write)(void *opaque, const uint8_t *buf, size_t len);
    /* The front can receive again: poll input. */
    void (*accept_input)(void *opaque);
    void (*set_line)(void *opaque, const CharLine *line);
    void (*send_break)(void *opaque);
    void (*free)(void *opaque);
} CharBackOps;

/* @name is the -chardev id, copied. @ops NULL makes a sink ("null"). */
CharDev *chardev_new(const char *name, const CharBackOps *ops, void *opaque);
/* Detach the front first. Calls ops->free. */
void chardev_free(CharDev *cd);
const char *chardev_name(const CharDev *cd);

/* Front. False if there is one already. @lock (may be NULL) is taken around its hooks. Announces CHAR_OPENED if the back is open. */
bool chardev_attach(CharDev *cd, const CharFrontOps *ops, void *opaque, DevLock *lock);
void chardev_detach(CharDev *cd);       /* no hook runs afterwards; without the front's lock */
/* Everything is taken without a back end or after an error: a guest never hangs on a missing peer. NULL cd: same. */
size_t chardev_write(CharDev *cd, const uint8_t *buf, size_t len);
void chardev_accept_input(CharDev *cd);
void chardev_set_line(CharDev *cd, const CharLine *line);
void chardev_send_break(CharDev *cd);
bool chardev_is_open(const CharDev *cd);

/* Back. */
size_t chardev_can_receive(CharDev *cd);
/* Delivers what fits, returns how much: keep the rest until accept_input. */
size_t chardev_receive(CharDev *cd, const uint8_t *buf, size_t len);
void chardev_event(CharDev *cd, CharEvent ev);  /* OPENED/CLOSED also set chardev_is_open */
void chardev_writable(CharDev *cd);
