/*
 * The PC's keyboard controller, an 8042 with IBM's program (PS/2 Hardware Interface Technical Reference, "Keyboard and auxiliary device controller",
 * 1990). Ports: 0 data (1, at 60h), 1 status and command (1, at 64h). Outputs: irq[0] keyboard (ISA interrupt 1), irq[1] mouse (12), irq[2] the
 * level of the A20 gate. Bytes arrive without the cable's delay.
 */
#include "hw/input/ps2.h"
#include "util/bits.h"
#include "vmm/device.h"

enum { ST_OBF = 1, ST_SYS = 4, ST_CMD = 8, ST_UNLOCKED = 0x10, ST_AUX = 0x20 };
enum { CTR_KBD_INT = 1, CTR_AUX_INT = 2, CTR_SYS = 4, CTR_KBD_OFF = 0x10, CTR_AUX_OFF = 0x20, CTR_XLATE = 0x40 };
enum { OUT_RESET = 1, OUT_A20 = 2, OUT_KBD_OBF = 0x10, OUT_AUX_OBF = 0x20 };
enum { SRC_NONE, SRC_KBD, SRC_AUX, SRC_CTL };

typedef struct I8042 {
    Device dev;
    Ps2Kbd kbd;
    Ps2Mouse mouse;
    uint8_t ram[32];            /* [0] is CTR, the command byte */
    uint8_t out_port;           /* bits 0 and 1; the rest is made up */
    uint8_t obf;                /* output buffer ... */
    uint8_t src;                /* ... and whose byte it is: SRC_* */
    bool obf_aux;               /* it shows as the auxiliary device's */
    uint8_t reply;              /* controller's answer, waits for the output buffer */
    bool reply_full, reply_aux;
    uint8_t command;            /* waits for its data byte; 0 = none */
    bool cmd_flag;              /* last write went to 64h */
    bool xlate_break;           /* F0h was swallowed: next code gets bit 7 */
    InputSink *sink;
} I8042;

static uint8_t ctr(const I8042 *s)
{
    return s->ram[0];
}

/* ---- output buffer and interrupts ---- */

static void update_irqs(I8042 *s)
{
    bool full = s->src != SRC_NONE;
    irq_set(s->dev.irq[0], full && !s->obf_aux && ctr(s) & CTR_KBD_INT);
    irq_set(s->dev.irq[1], full && s->obf_aux && ctr(s) & CTR_AUX_INT);
}

static void fill(I8042 *s, uint8_t byte, uint8_t src, bool aux)
{
    s->obf = byte;
    s->src = src;
    s->obf_aux = aux;
}

/* Next byte of the keyboard as the system sees it; F0h of set 2 is folded into the code. */
static bool kbd_byte(I8042 *s, uint8_t *ret)
{
    while (ps2_queue_pop(&s->kbd.q, ret)) {
        if (!(ctr(s) & CTR_XLATE))
            return true;
        if (*ret == 0xf0) {
            s->xlate_break = true;
            continue;
        }
        *ret = ps2_translate(*ret) | (s->xlate_break ? 0x80 : 0);
        s->xlate_break = false;
        return true;
    }
    return false;
}

/* If the buffer is empty, let in whoever has something: the controller, the keyboard, the mouse. */
static void pump(I8042 *s)
{
    uint8_t byte;
    if (s->src == SRC_NONE && s->reply_full) {
        s->reply_full = false;
        fill(s, s->reply, SRC_CTL, s->reply_aux);
    }
    if (s->src == SRC_NONE && !(ctr(s) & CTR_KBD_OFF) && kbd_byte(s, &byte))
        fill(s, byte, SRC_KBD, false);
    if (s->src == SRC_NONE && !(ctr(s) & CTR_AUX_OFF)) {
        if (ps2_queue_pop(&s->mouse.q, &byte))
            fill(s, byte, SRC_AUX, true);
        ps2_mouse_sync(&s->mouse);      /* there is room again */
    }
    update_irqs(s);
}

/* An answer of the controller replaces one that was not fetched. */
static void answer(I8042 *s, uint8_t byte, bool aux)
{
    s->reply = byte;
    s->reply_aux = aux;
    s->reply_full = true;
    pump(s);
}

static uint64_t data_read(void *opaque, uint64_t off, unsigned size)
{
    I8042 *s = opaque;
    uint8_t val = s->obf;
    if (s->src != SRC_NONE) {
        s->src = SRC_NONE;
        update_irqs(s);         /* down before the next byte raises it: an edge a byte */
        pump(s);
    }
    return val;
}

static uint64_t status_read(void *opaque, uint64_t off, unsigned size)
{
    I8042 *s = opaque;
    bool full = s->src != SRC_NONE;
    return (full ? ST_OBF : 0) | (ctr(s) & CTR_SYS ? ST_SYS : 0) | (s->cmd_flag ? ST_CMD : 0) | ST_UNLOCKED | (full && s->obf_aux ? ST_AUX : 0);
}

/* ---- output port, A20 and reset ---- */

static uint8_t out_port(const I8042 *s)
{
    bool full = s->src != SRC_NONE;
    return (uint8_t)(0xc0 | s->out_port | (full && !s->obf_aux ? OUT_KBD_OBF : 0) | (full && s->obf_aux ? OUT_AUX_OBF : 0));
}

static void out_port_write(I8042 *s, uint8_t val)
{
    s->out_port = val & (OUT_RESET | OUT_A20);
    irq_set(s->dev.irq[2], val & OUT_A20);
    if (!(val & OUT_RESET)) {
        s->out_port |= OUT_RESET;
        device_request(&s->dev, DEVICE_REQ_RESET, 0);
    }
}

/* ---- commands (port 64h) and their data ---- */

static void set_ctr(I8042 *s, uint8_t val)
{
    s->ram[0] = val;
    pump(s);
}

static void self_test(I8042 *s)
{
    s->src = SRC_NONE;
    s->reply_full = s->xlate_break = false;
    s->ram[0] = CTR_SYS | CTR_KBD_OFF | CTR_AUX_OFF | CTR_XLATE;
    answer(s, 0x55, false);
}

static void controller_command(I8042 *s, uint8_t val)
{
    s->command = 0;
    switch (val) {
    case 0x20 ... 0x3f: answer(s, s->ram[val & 31], false); break;
    case 0x60 ... 0x7f: case 0xd1 ... 0xd4: s->command = val; break;
    case 0xa4: answer(s, 0xf1, false); break;           /* no password */
    case 0xa7: set_ctr(s, ctr(s) | CTR_AUX_OFF); break;
    case 0xa8: set_ctr(s, ctr(s) & (uint8_t)~CTR_AUX_OFF); break;
    case 0xa9: case 0xab: answer(s, 0, false); break;   /* interface tests: no error */
    case 0xaa: self_test(s); break;
    case 0xad: set_ctr(s, ctr(s) | CTR_KBD_OFF); break;
    case 0xae: set_ctr(s, ctr(s) & (uint8_t)~CTR_KBD_OFF); break;
    case 0xc0: answer(s, 0x80, false); break;           /* not locked */
    case 0xd0: answer(s, out_port(s), false); break;
    case 0xdd: out_port_write(s, s->out_port & (uint8_t)~OUT_A20); break;
    case 0xdf: out_port_write(s, s->out_port | OUT_A20); break;
    case 0xe0: answer(s, 0, false); break;
    case 0xf0 ... 0xff:                                 /* pulse output port bits that are 0 */
        if (!(val & 1))
            device_request(&s->dev, DEVICE_REQ_RESET, 0);
        break;
    default:
        device_guest_error(&s->dev, "command 0x%02x is unknown", val);
    }
}

/* A byte to the keyboard: the real controller enables the clock line with it. */
static void to_keyboard(I8042 *s, uint8_t val)
{
    s->ram[0] &= (uint8_t)~CTR_KBD_OFF;
    if (ps2_kbd_write(&s->kbd, val))
        input_set_leds(device_input_hub(&s->dev), s->kbd.leds);
    pump(s);
}

static void command_data(I8042 *s, uint8_t command, uint8_t val)
{
    switch (command) {
    case 0x60:
        set_ctr(s, val);
        break;
    case 0x61 ... 0x7f:
        s->ram[command & 31] = val;
        break;
    case 0xd1:
        out_port_write(s, val);
        break;
    case 0xd2: case 0xd3:       /* as if a device had sent it */
        answer(s, val, command == 0xd3);
        break;
    default:
        ps2_mouse_write(&s->mouse, val);
        pump(s);
    }
}

static void data_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    I8042 *s = opaque;
    uint8_t command = s->command;
    s->cmd_flag = false;
    s->command = 0;
    if (command)
        command_data(s, command, (uint8_t)val);
    else
        to_keyboard(s, (uint8_t)val);
}

static void command_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    I8042 *s = opaque;
    s->cmd_flag = true;
    controller_command(s, (uint8_t)val);
}

static const MmioOps data_ops = { .read = data_read, .write = data_write, .min_size = 1, .max_size = 1, .unaligned = true };
static const MmioOps command_ops = { .read = status_read, .write = command_write, .min_size = 1, .max_size = 1, .unaligned = true };

/* ---- events from outside ---- */

static void on_key(void *opaque, unsigned code, bool down)
{
    I8042 *s = opaque;
    ps2_kbd_key(&s->kbd, code, down);
    pump(s);
}

static void on_button(void *opaque, unsigned code, bool down)
{
    ps2_mouse_button(&((I8042 *)opaque)->mouse, code, down);
}

static void on_rel(void *opaque, int dx, int dy, int wheel)
{
    ps2_mouse_move(&((I8042 *)opaque)->mouse, dx, dy, wheel);
}

static void on_sync(void *opaque)
{
    I8042 *s = opaque;
    ps2_mouse_sync(&s->mouse);
    pump(s);
}

static const InputSinkOps sink_ops = { .key = on_key, .button = on_button, .rel = on_rel, .sync = on_sync };

/* ---- life ---- */

static void i8042_reset(Device *dev)
{
    I8042 *s = (I8042 *)dev;
    ps2_kbd_reset(&s->kbd);
    ps2_mouse_reset(&s->mouse);
    memset(s->ram, 0, sizeof(s->ram));
    s->ram[0] = CTR_KBD_INT | CTR_AUX_INT | CTR_XLATE;
    s->out_port = OUT_RESET | OUT_A20;
    s->obf = s->reply = s->command = 0;
    s->src = SRC_NONE;
    s->obf_aux = s->reply_full = s->reply_aux = s->cmd_flag = s->xlate_break = false;
    irq_set(dev->irq[2], true);
    update_irqs(s);
}

static bool i8042_realize(Device *dev, GError **err)
{
    I8042 *s = (I8042 *)dev;
    device_init_pio(dev, 0, "data", &data_ops, 1);
    device_init_pio(dev, 1, "command", &command_ops, 1);
    device_init_irqs(dev, 3);
    s->sink = input_sink_add(device_input_hub(dev), INPUT_KEYS | INPUT_REL, &sink_ops, s, dev->lock);
    return true;
}

static void i8042_unrealize(Device *dev)
{
    input_sink_remove(((I8042 *)dev)->sink);
}

static bool i8042_post_load(Device *dev, unsigned version, GError **err)
{
    I8042 *s = (I8042 *)dev;
    if (!ps2_kbd_valid(&s->kbd) || !ps2_mouse_valid(&s->mouse) || s->src > SRC_CTL) {
        g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "%s: impossible keyboard or mouse state", dev->id);
        return false;
    }
    s->out_port &= OUT_RESET | OUT_A20;
    irq_set(dev->irq[2], s->out_port & OUT_A20);
    input_set_leds(device_input_hub(dev), s->kbd.leds);
    update_irqs(s);
    return true;
}

static const FieldDesc i8042_fields[] = {
    FIELD_SUB(I8042, kbd, ps2_kbd_fields), FIELD_SUB(I8042, mouse, ps2_mouse_fields), FIELD_ARRAY(I8042, ram), FIELD(I8042, out_port), FIELD(I8042, obf),
    FIELD(I8042, src), FIELD(I8042, obf_aux), FIELD(I8042, reply), FIELD(I8042, reply_full), FIELD(I8042, reply_aux), FIELD(I8042, command),
    FIELD(I8042, cmd_flag), FIELD(I8042, xlate_break), { 0 }
};
static const DeviceSection i8042_state[] = {
    { .name = "i8042", .version = 1, .min_version = 1, .fields = i8042_fields, .post_load = i8042_post_load },
    { 0 }
};

const DeviceClass i8042_class = {
    .name = "i8042", .summary = "keyboard controller with keyboard and PS/2 mouse", .size = sizeof(I8042), .bus = BUS_SYS, .internal = true,
    .state = i8042_state, .realize = i8042_realize, .reset = i8042_reset, .unrealize = i8042_unrealize,
};
