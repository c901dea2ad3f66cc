/*
 * PS/2 mouse (IBM PS/2 Hardware Interface Technical Reference, "Mouse"), with the wheel of Microsoft's IntelliMouse: sample rates 200, 100, 80
 * in a row make it report ID 3 and a fourth byte, 200, 200, 80 ID 4 and two more buttons.
 */
#include "hw/input/ps2.h"

#include <glib.h>
#include <linux/input-event-codes.h>

#include "util/bits.h"

enum { ACK = 0xfa, RESEND = 0xfe, SELF_TEST_OK = 0xaa, ID_PLAIN = 0, ID_WHEEL = 3, ID_BUTTONS = 4 };

static void reply(Ps2Mouse *m, uint8_t byte)
{
    if (m->q.n_reply < PS2_QUEUE)
        m->q.reply[m->q.n_reply++] = byte;
}

/* ---- packets ---- */

static bool something(const Ps2Mouse *m)
{
    return m->dx || m->dy || (m->id != ID_PLAIN && m->dz) || m->buttons != m->sent_buttons;
}

/* Takes as much of the movement as fits into nine bits. */
static unsigned packet(Ps2Mouse *m, uint8_t out[4])
{
    int dx = CLAMP(m->dx, -255, 255), dy = CLAMP(m->dy, -255, 255), dz = m->id == ID_BUTTONS ? CLAMP(m->dz, -8, 7) : CLAMP(m->dz, -127, 127);
    m->dx -= dx;
    m->dy -= dy;
    m->dz -= dz;
    m->sent_buttons = m->buttons;
    out[0] = (uint8_t)(8 | (m->buttons & 7) | (dx < 0 ? 0x10 : 0) | (dy < 0 ? 0x20 : 0));
    out[1] = (uint8_t)dx;
    out[2] = (uint8_t)dy;
    out[3] = (uint8_t)(m->id == ID_BUTTONS ? (dz & 15) | (m->buttons >> 3 & 3) << 4 : dz);
    if (m->id == ID_PLAIN)
        m->dz = 0;
    return m->id == ID_PLAIN ? 3 : 4;
}

/* Report in stream mode while there is room: what does not fit adds up and follows later. */
void ps2_mouse_sync(Ps2Mouse *m)
{
    while (m->enabled && !m->remote && !m->wrap && something(m) && m->q.n_event + 4 <= PS2_EVENTS) {
        uint8_t p[4];
        unsigned n = packet(m, p);
        for (unsigned i = 0; i < n; i++)
            m->q.event[m->q.n_event++] = p[i];
    }
}

void ps2_mouse_button(Ps2Mouse *m, unsigned code, bool down)
{
    static const unsigned codes[] = { BTN_LEFT, BTN_RIGHT, BTN_MIDDLE, BTN_SIDE, BTN_EXTRA };
    for (unsigned i = 0; i < ARRAY_LEN(codes); i++)
        if (codes[i] == code)
            m->buttons = (uint8_t)bits_put(m->buttons, i, 1, down);
}

static void add(int32_t *sum, int64_t delta)
{
    *sum = (int32_t)CLAMP(*sum + CLAMP(delta, -0xffff, 0xffff), -0xffff, 0xffff);
}

void ps2_mouse_move(Ps2Mouse *m, int dx, int dy, int wheel)
{
    if (!m->enabled)
        return;
    add(&m->dx, dx);
    add(&m->dy, -(int64_t)dy);
    add(&m->dz, -(int64_t)wheel);
}

/* ---- commands ---- */

static void defaults(Ps2Mouse *m)
{
    m->rate = 100;
    m->resolution = 2;
    m->enabled = m->remote = m->scale21 = false;
    m->magic = 0;
    m->dx = m->dy = m->dz = 0;
    m->q.n_event = 0;
}

void ps2_mouse_reset(Ps2Mouse *m)
{
    *m = (Ps2Mouse){ .buttons = m->buttons, .sent_buttons = m->buttons };
    defaults(m);
}

static void set_rate(Ps2Mouse *m, uint8_t rate)
{
    /* 1: 200 seen; 2: 200, 100; 3: 200, 200. */
    m->rate = rate;
    if (m->magic == 2 && rate == 80)
        m->id = ID_WHEEL;
    else if (m->magic == 3 && rate == 80)
        m->id = ID_BUTTONS;
    m->magic = rate == 200 ? (m->magic == 1 ? 3 : 1) : rate == 100 && m->magic == 1 ? 2 : 0;
}

static void status(Ps2Mouse *m)
{
    reply(m, ACK);
    reply(m, (uint8_t)((m->remote ? 0x40 : 0) | (m->enabled ? 0x20 : 0) | (m->scale21 ? 0x10 : 0) | (m->buttons & 1 ? 4 : 0) |
                       (m->buttons & 4 ? 2 : 0) | (m->buttons & 2 ? 1 : 0)));
    reply(m, m->resolution);
    reply(m, m->rate);
}

static void argument(Ps2Mouse *m, uint8_t val)
{
    if (m->command == 0xf3)
        set_rate(m, val);
    else
        m->resolution = val & 3;
    m->command = 0;
    reply(m, ACK);
}

static void read_data(Ps2Mouse *m)
{
    uint8_t p[4];
    unsigned n = packet(m, p);
    reply(m, ACK);
    for (unsigned i = 0; i < n; i++)
        reply(m, p[i]);
}

/* Commands that only set something. */
static bool setting(Ps2Mouse *m, uint8_t val)
{
    switch (val) {
    case 0xe6: m->scale21 = false; break;
    case 0xe7: m->scale21 = true; break;
    case 0xea: m->remote = false; break;
    case 0xec: m->wrap = false; break;
    case 0xee: m->wrap = true; break;
    case 0xf0: m->remote = true; break;
    case 0xf4: m->enabled = true; break;
    case 0xf5: m->enabled = false; break;
    case 0xf6: defaults(m); break;
    default: return false;
    }
    m->q.n_event = 0;
    reply(m, ACK);
    return true;
}

void ps2_mouse_write(Ps2Mouse *m, uint8_t val)
{
    if (m->wrap && val != 0xff && val != 0xec) {
        reply(m, val);
        return;
    }
    if (m->command) {
        argument(m, val);
        return;
    }
    if (setting(m, val))
        return;
    switch (val) {
    case 0xe8: case 0xf3:       /* resolution, sample rate */
        m->command = val;
        reply(m, ACK);
        break;
    case 0xe9:
        status(m);
        break;
    case 0xeb:
        read_data(m);
        break;
    case 0xf2:
        reply(m, ACK);
        reply(m, m->id);
        break;
    case 0xfe:
        reply(m, m->q.last);
        break;
    case 0xff:
        ps2_mouse_reset(m);
        reply(m, ACK);
        reply(m, SELF_TEST_OK);
        reply(m, ID_PLAIN);
        break;
    default:
        reply(m, RESEND);
    }
}

bool ps2_mouse_valid(const Ps2Mouse *m)
{
    bool sums = ABS((int64_t)m->dx) <= 0xffff && ABS((int64_t)m->dy) <= 0xffff && ABS((int64_t)m->dz) <= 0xffff;
    return sums && m->q.n_reply <= PS2_QUEUE && m->q.n_event <= PS2_EVENTS && m->magic <= 3 && m->buttons < 32 && m->sent_buttons < 32 &&
           (m->id == ID_PLAIN || m->id == ID_WHEEL || m->id == ID_BUTTONS);
}
