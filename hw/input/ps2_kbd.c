/* PS/2 keyboard, scan code sets 1 and 2 (IBM PS/2 Hardware Interface Technical Reference, "Keyboard (101- and 102-key)", 1990). */
#include "hw/input/ps2.h"

#include <linux/input-event-codes.h>
#include <string.h>

#include "util/bits.h"

enum { ACK = 0xfa, RESEND = 0xfe, SELF_TEST_OK = 0xaa, ECHO_REPLY = 0xee, OVERRUN = 0x00 };

/* ---- queue ---- */

bool ps2_queue_empty(const Ps2Queue *q)
{
    return !q->n_reply && !q->n_event;
}

bool ps2_queue_pop(Ps2Queue *q, uint8_t *ret)
{
    uint8_t *from = q->n_reply ? q->reply : q->event, *n = q->n_reply ? &q->n_reply : &q->n_event;
    if (!*n)
        return false;
    *ret = from[0];
    memmove(from, from + 1, --*n);
    q->last = *ret;
    return true;
}

static void reply(Ps2Kbd *k, uint8_t byte)
{
    if (k->q.n_reply < PS2_QUEUE)
        k->q.reply[k->q.n_reply++] = byte;
}

/* ---- scan codes ---- */

/* Set 2 (index) to set 1: the translation in the PC's keyboard controller, which defines what "set 1" of a PC is. */
static const uint8_t set2_to_1[128] = {
    0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59,
    0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b,
    0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d,
    0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f,
    0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61,
    0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76,
    0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f,
    0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54,
};

uint8_t ps2_translate(uint8_t set2)
{
    if (set2 < 0x80)
        return set2_to_1[set2];
    return set2 == 0x83 ? 0x41 : set2 == 0x84 ? 0x54 : set2;
}

static uint8_t to_set2(uint8_t set1)
{
    if (set1 == 0x41)
        return 0x83;            /* F7 has the one code above 7fh; 02h is no key */
    for (unsigned i = 0; i < ARRAY_LEN(set2_to_1); i++)
        if (set2_to_1[i] == set1)
            return (uint8_t)i;
    return 0;
}

/* Keys whose set 1 code is not evdev's number; E0 prefix in bit 7. Up to 88 the numbers agree, but for those here. */
static const struct { uint8_t key, code; } other_keys[] = {
    { KEY_KPENTER, 0x9c }, { KEY_RIGHTCTRL, 0x9d }, { KEY_KPSLASH, 0xb5 }, { KEY_SYSRQ, 0xb7 }, { KEY_RIGHTALT, 0xb8 }, { KEY_HOME, 0xc7 },
    { KEY_UP, 0xc8 }, { KEY_PAGEUP, 0xc9 }, { KEY_LEFT, 0xcb }, { KEY_RIGHT, 0xcd }, { KEY_END, 0xcf }, { KEY_DOWN, 0xd0 },
    { KEY_PAGEDOWN, 0xd1 }, { KEY_INSERT, 0xd2 }, { KEY_DELETE, 0xd3 }, { KEY_MUTE, 0xa0 }, { KEY_VOLUMEDOWN, 0xae }, { KEY_VOLUMEUP, 0xb0 },
    { KEY_POWER, 0xde }, { KEY_KPEQUAL, 0x59 }, { KEY_KPCOMMA, 0x7e }, { KEY_YEN, 0x7d }, { KEY_LEFTMETA, 0xdb }, { KEY_RIGHTMETA, 0xdc },
    { KEY_COMPOSE, 0xdd }, { KEY_SLEEP, 0xdf }, { KEY_WAKEUP, 0xe3 }, { KEY_KATAKANAHIRAGANA, 0x70 }, { KEY_RO, 0x73 }, { KEY_HENKAN, 0x79 },
    { KEY_MUHENKAN, 0x7b },
};

static uint8_t code_of(unsigned key)
{
    for (unsigned i = 0; i < ARRAY_LEN(other_keys); i++)
        if (other_keys[i].key == key)
            return other_keys[i].code;
    return key >= KEY_ESC && key <= KEY_F12 && key != KEY_ZENKAKUHANKAKU ? (uint8_t)key : 0;
}

static unsigned put_code(const Ps2Kbd *k, uint8_t *out, uint8_t code, bool down)
{
    unsigned n = 0;
    if (code & 0x80)
        out[n++] = 0xe0;
    code &= 0x7f;
    if (k->set == 1) {
        out[n++] = code | (down ? 0 : 0x80);
        return n;
    }
    if (!down)
        out[n++] = 0xf0;
    out[n++] = to_set2(code);
    return n;
}

static unsigned key_sequence(const Ps2Kbd *k, uint8_t *out, unsigned key, bool down)
{
    static const uint8_t pause1[] = { 0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5 };
    static const uint8_t pause2[] = { 0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77 };
    if (key == KEY_PAUSE) {     /* make only */
        const uint8_t *from = k->set == 1 ? pause1 : pause2;
        unsigned n = !down ? 0 : k->set == 1 ? sizeof(pause1) : sizeof(pause2);
        memcpy(out, from, n);
        return n;
    }
    uint8_t code = code_of(key);
    if (!code)
        return 0;
    unsigned n = 0;
    if (key == KEY_SYSRQ && down)       /* Print Screen holds a shift of its own around it */
        n += put_code(k, out, 0xaa, true);
    n += put_code(k, out + n, code, down);
    if (key == KEY_SYSRQ && !down)
        n += put_code(k, out + n, 0xaa, false);
    return n;
}

void ps2_kbd_key(Ps2Kbd *k, unsigned key, bool down)
{
    uint8_t seq[16];
    unsigned n = key_sequence(k, seq, key, down);
    if (!k->scanning || !n)
        return;
    /* Full: one overrun code, then keys are lost until there is room (set 1: FFh). One byte is kept free for it. */
    if (k->q.n_event + n >= PS2_EVENTS) {
        uint8_t overrun = k->set == 1 ? 0xff : OVERRUN;
        if (k->q.n_event < PS2_EVENTS && k->q.event[k->q.n_event - 1] != overrun)
            k->q.event[k->q.n_event++] = overrun;
        return;
    }
    memcpy(k->q.event + k->q.n_event, seq, n);
    k->q.n_event = (uint8_t)(k->q.n_event + n);
}

/* ---- commands ---- */

void ps2_kbd_reset(Ps2Kbd *k)
{
    *k = (Ps2Kbd){ .set = 2, .scanning = true };
}

static void defaults(Ps2Kbd *k, bool scanning)
{
    k->q.n_event = 0;
    k->set = 2;
    k->scanning = scanning;
}

/* The byte that a command waited for. True if the LEDs changed. */
static bool argument(Ps2Kbd *k, uint8_t val)
{
    uint8_t command = k->command, old = k->leds;
    k->command = 0;
    if (command == 0xed)
        k->leds = val & 7;
    if (command == 0xf0 && val > 2) {   /* set 3 is not there; Linux and Windows do without */
        reply(k, RESEND);
        return false;
    }
    reply(k, ACK);
    if (command == 0xf0 && val)
        k->set = val;
    else if (command == 0xf0)
        reply(k, k->set);
    return k->leds != old;
}

bool ps2_kbd_write(Ps2Kbd *k, uint8_t val)
{
    if (k->command && val < 0xed)
        return argument(k, val);
    k->command = 0;             /* a command instead of an argument is taken as such */
    bool lit = k->leds;
    switch (val) {
    case 0xed: case 0xf0: case 0xf3: case 0xfb: case 0xfc: case 0xfd:
        k->command = val;       /* LEDs, scan code set, typematic rate, key types (set 3 only: accepted) */
        reply(k, ACK);
        return false;
    case 0xee:
        reply(k, ECHO_REPLY);
        return false;
    case 0xf2:
        reply(k, ACK);
        reply(k, 0xab);
        reply(k, 0x83);
        return false;
    case 0xf4:
        k->q.n_event = 0;
        k->scanning = true;
        break;
    case 0xf5:
        defaults(k, false);
        break;
    case 0xf6:
        defaults(k, k->scanning);
        break;
    case 0xf7: case 0xf8: case 0xf9: case 0xfa:
        break;
    case 0xfe:
        reply(k, k->q.last);
        return false;
    case 0xff:
        ps2_kbd_reset(k);
        reply(k, ACK);
        reply(k, SELF_TEST_OK);
        return lit;
    default:
        reply(k, RESEND);
        return false;
    }
    reply(k, ACK);
    return false;
}

bool ps2_kbd_valid(const Ps2Kbd *k)
{
    return k->q.n_reply <= PS2_QUEUE && k->q.n_event <= PS2_EVENTS && (k->set == 1 || k->set == 2) && k->leds < 8;
}

static const FieldDesc queue_fields[] = {
    FIELD_ARRAY(Ps2Queue, reply), FIELD(Ps2Queue, n_reply), FIELD_ARRAY(Ps2Queue, event), FIELD(Ps2Queue, n_event), FIELD(Ps2Queue, last), { 0 }
};
const FieldDesc ps2_kbd_fields[] = {
    FIELD_SUB(Ps2Kbd, q, queue_fields), FIELD(Ps2Kbd, command), FIELD(Ps2Kbd, set), FIELD(Ps2Kbd, leds), FIELD(Ps2Kbd, scanning), { 0 }
};
const FieldDesc ps2_mouse_fields[] = {
    FIELD_SUB(Ps2Mouse, q, queue_fields), FIELD(Ps2Mouse, command), FIELD(Ps2Mouse, id), FIELD(Ps2Mouse, rate), FIELD(Ps2Mouse, resolution),
    FIELD(Ps2Mouse, magic), FIELD(Ps2Mouse, enabled), FIELD(Ps2Mouse, remote), FIELD(Ps2Mouse, wrap), FIELD(Ps2Mouse, scale21),
    FIELD(Ps2Mouse, buttons), FIELD(Ps2Mouse, sent_buttons), FIELD(Ps2Mouse, dx), FIELD(Ps2Mouse, dy), FIELD(Ps2Mouse, dz), { 0 }
};
