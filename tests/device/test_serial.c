/* 16550A: FIFO levels, interrupt priorities, time-out, loopback, flow to and from a back end; debug ports. */
#include <string.h>

#include "tests/device/chips.h"
#include "tests/device/roundtrip.h"
#include "vmm/chardev.h"

extern const DeviceClass serial_class, debugcon_class;

enum { PORT = 0x3f8, DATA = 0, IER = 1, IIR = 2, FCR = 2, LCR = 3, MCR = 4, LSR = 5, MSR = 6, SCR = 7 };

/* A back end that takes as much as it is told to. */
typedef struct Line {
    char got[256];
    size_t n, room;
    unsigned breaks, accepts;
    CharLine params;
} Line;

typedef struct Uart {
    Chips c;
    Device *dev;
    CharDev *chr;
    Line line;
} Uart;

static ssize_t line_write(void *opaque, const uint8_t *buf, size_t len)
{
    Line *l = opaque;
    size_t n = MIN(MIN(len, l->room), sizeof(l->got) - l->n);
    memcpy(l->got + l->n, buf, n);
    l->n += n;
    l->room -= n;
    return (ssize_t)n;
}

static void line_accept(void *opaque) { ((Line *)opaque)->accepts++; }
static void line_set(void *opaque, const CharLine *p) { ((Line *)opaque)->params = *p; }
static void line_break(void *opaque) { ((Line *)opaque)->breaks++; }

static const CharBackOps line_ops = { .write = line_write, .accept_input = line_accept, .set_line = line_set, .send_break = line_break };

static void wr(Uart *u, unsigned reg, uint8_t v) { chips_out(&u->c, (uint16_t)(PORT + reg), v); }
static uint8_t rd(Uart *u, unsigned reg) { return (uint8_t)chips_in(&u->c, (uint16_t)(PORT + reg)); }
static bool irq(Uart *u) { return irq_level(u->dev->irq[0]); }

static void send(Uart *u, const char *s)
{
    size_t n = strlen(s);
    CHECK_EQ(chardev_receive(u->chr, (const uint8_t *)s, n), n);
}

static void registers(Uart *u)
{
    CHECK_EQ(rd(u, IER), 0);
    CHECK_EQ(rd(u, IIR), 1);
    CHECK_EQ(rd(u, LSR), 0x60);
    CHECK_EQ(rd(u, MSR), 0xb0);
    wr(u, SCR, 0x5a);
    CHECK_EQ(rd(u, SCR), 0x5a);
    wr(u, IER, 0xff);
    CHECK_EQ(rd(u, IER), 0x0f);
    wr(u, IER, 0);
    wr(u, LCR, 0x9b);
    wr(u, DATA, 1);
    wr(u, IER, 0);
    CHECK_EQ(rd(u, DATA), 1);
    CHECK_EQ(u->line.params.baud, 115200);
    CHECK_EQ(u->line.params.parity, 'E');
    wr(u, LCR, 3);
    CHECK_EQ(u->line.params.data_bits, 8);
    CHECK_EQ(u->line.params.parity, 'N');
    CHECK_EQ(rd(u, IER), 0);
}

static void transmit(Uart *u)
{
    wr(u, LCR, 3);
    wr(u, MCR, 8);
    u->line.room = 2;
    for (const char *s = "hello"; *s; s++)
        wr(u, DATA, (uint8_t)*s);
    CHECK_EQ(u->line.n, 2);                 /* 'l' waits, then is overwritten: no FIFO */
    CHECK_EQ(rd(u, LSR), 0);
    wr(u, IER, 2);
    CHECK(!irq(u));
    u->line.room = 100;
    chardev_writable(u->chr);
    CHECK(!memcmp(u->line.got, "heo", 3));
    CHECK(irq(u));
    CHECK_EQ(rd(u, IIR), 2);                /* reading it clears this one */
    CHECK(!irq(u));
    CHECK_EQ(rd(u, IIR), 1);
    wr(u, IER, 0);
    wr(u, IER, 2);                          /* enabled with an empty THR: at once */
    CHECK(irq(u));
    wr(u, FCR, 1);
    u->line.room = u->line.n = 0;
    for (unsigned i = 0; i < 16; i++)
        wr(u, DATA, (uint8_t)('a' + i));
    CHECK(!irq(u));
    round_trip(u->dev);
    wr(u, MCR, 8);
    u->line.room = 100;
    chardev_writable(u->chr);
    CHECK_EQ(u->line.n, 16);
    CHECK(!memcmp(u->line.got, "abcdefghijklmnop", 16));
    CHECK_EQ(rd(u, LSR), 0x60);
    wr(u, LCR, 0x43);
    CHECK_EQ(u->line.breaks, 1);
}

static void receive(Uart *u)
{
    wr(u, LCR, 3);
    wr(u, MCR, 8);
    wr(u, IER, 5);
    CHECK_EQ(chardev_can_receive(u->chr), 1);
    CHECK_EQ(chardev_receive(u->chr, (const uint8_t *)"xy", 2), 1);
    CHECK(irq(u));
    CHECK_EQ(rd(u, IIR), 4);
    CHECK_EQ(rd(u, LSR), 0x61);
    CHECK_EQ(rd(u, DATA), 'x');
    CHECK(u->line.accepts > 0);
    CHECK(!irq(u));
    wr(u, FCR, 0x81);                       /* trigger at 8 */
    CHECK_EQ(chardev_can_receive(u->chr), 16);
    send(u, "1234567");
    CHECK(!irq(u));
    send(u, "8");
    CHECK_EQ(rd(u, IIR), 0xc4);
    CHECK_EQ(rd(u, DATA), '1');
    CHECK(!irq(u));                         /* below the trigger again */
    chips_advance(&u->c, 2 * NS_PER_MS);
    CHECK(!irq(u));
    chips_advance(&u->c, 40 * NS_PER_MS);   /* four characters at 9600 */
    CHECK(irq(u));
    CHECK_EQ(rd(u, IIR), 0xcc);
    CHECK_EQ(rd(u, DATA), '2');
    CHECK(!irq(u));
    send(u, "9");
    wr(u, FCR, 0x83);
    CHECK_EQ(rd(u, LSR), 0x60);
    chips_advance(&u->c, 100 * NS_PER_MS);
    CHECK(!irq(u));
    static const struct { uint8_t fcr; unsigned level; } triggers[] = { { 0x01, 1 }, { 0x41, 4 }, { 0x81, 8 }, { 0xc1, 14 } };
    for (unsigned t = 0; t < 4; t++) {
        wr(u, FCR, triggers[t].fcr | 2);
        for (unsigned i = 1; i <= 16; i++) {
            send(u, "z");
            CHECK_EQ(irq(u), i >= triggers[t].level);
        }
        CHECK_EQ(chardev_can_receive(u->chr), 0);
    }
}

static void line_status(Uart *u)
{
    wr(u, LCR, 3);
    wr(u, MCR, 8);
    wr(u, FCR, 0xc1);
    wr(u, IER, 4);
    chardev_event(u->chr, CHAR_BREAK);
    CHECK_EQ(rd(u, IIR), 0xc6);
    CHECK_EQ(rd(u, LSR), 0xf1);             /* BI, DR, and an error in the FIFO */
    CHECK_EQ(rd(u, LSR) & 0x1e, 0);
    CHECK_EQ(rd(u, IIR), 0xc1);
    CHECK_EQ(rd(u, DATA), 0);
    CHECK_EQ(rd(u, LSR), 0x60);
    wr(u, IER, 8);
    CHECK_EQ(rd(u, MSR) & 0x0f, 0);
    chardev_event(u->chr, CHAR_CLOSED);
    CHECK(irq(u));
    CHECK_EQ(rd(u, IIR), 0xc0);
    CHECK_EQ(rd(u, MSR), 0x1a);             /* DSR and DCD went away */
    CHECK_EQ(rd(u, MSR), 0x10);
    CHECK(!irq(u));
}

static void loopback(Uart *u)
{
    static const struct { uint8_t mcr, msr; } turn[] = { { 0x10, 0 }, { 0x11, 0x20 }, { 0x12, 0x10 }, { 0x14, 0x40 }, { 0x18, 0x80 } };
    for (unsigned i = 0; i < 5; i++) {
        wr(u, MCR, turn[i].mcr);
        CHECK_EQ(rd(u, MSR) & 0xf0, turn[i].msr);
    }
    wr(u, MCR, 0x14);
    rd(u, MSR);
    wr(u, MCR, 0x10);
    CHECK_EQ(rd(u, MSR), 4);                /* trailing edge of RI */
    wr(u, LCR, 3);
    u->line.n = 0;
    wr(u, DATA, 'q');
    CHECK_EQ(u->line.n, 0);
    CHECK_EQ(rd(u, LSR), 0x61);
    wr(u, DATA, 'r');
    CHECK_EQ(rd(u, LSR), 0x63);             /* overrun: without FIFO the older byte is gone */
    CHECK_EQ(rd(u, DATA), 'r');
    CHECK_EQ(chardev_can_receive(u->chr), 0);
    wr(u, LCR, 0);                          /* five bits */
    wr(u, DATA, 0xff);
    CHECK_EQ(rd(u, DATA), 0x1f);
    wr(u, LCR, 3);
    wr(u, FCR, 1);
    for (unsigned i = 0; i < 17; i++)
        wr(u, DATA, (uint8_t)i);
    CHECK_EQ(rd(u, LSR), 0x63);
    for (unsigned i = 0; i < 16; i++)
        CHECK_EQ(rd(u, DATA), i);           /* with FIFO the newer one is lost */
    CHECK_EQ(rd(u, LSR), 0x60);
}

static void hostile_state(Uart *u)
{
    GError *err = NULL;
    g_autoptr(GByteArray) s = g_byte_array_new();
    CHECK(device_save(u->dev, s, &err));
    for (guint i = 0; i < s->len; i++) {
        uint8_t was = s->data[i];
        s->data[i] = 0xff;
        device_load(u->dev, s->data, s->len, &err);
        g_clear_error(&err);
        s->data[i] = was;
        wr(u, DATA, 1);
        rd(u, DATA);
    }
}

static void debug_ports(Uart *u)
{
    Line l = { .room = 100 };
    CharDev *chr = chardev_new("dbg", &line_ops, &l);
    GError *err = NULL;
    CHECK(machine_add_object(u->c.m, "chardev", "dbg", chr, (GDestroyNotify)chardev_free, &err));
    Device *d = device_new(u->c.m, &debugcon_class, NULL, &err);
    CHECK(device_set_prop(d, "chardev", "dbg", &err) && device_realize(d, NULL, &err));
    chips_map(&u->c, d, (const uint16_t[]){ 0x402, 0xe9 });
    CHECK_EQ(chips_in(&u->c, 0x402), 0xe9);
    CHECK_EQ(chips_in(&u->c, 0xe9), 0xe9);
    chips_out(&u->c, 0x402, 'o');
    chips_out(&u->c, 0xe9, 'k');
    CHECK(l.n == 2 && !memcmp(l.got, "ok", 2));
    device_free(d);
}

int main(void)
{
    static void (*const tests[])(Uart *) = { registers, transmit, receive, line_status, loopback, hostile_state, debug_ports };
    for (unsigned i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        Uart u = { .line.room = 100 };
        GError *err = NULL;
        chips_init(&u.c, 0);
        u.chr = chardev_new("com", &line_ops, &u.line);
        CHECK(machine_add_object(u.c.m, "chardev", "com", u.chr, (GDestroyNotify)chardev_free, &err));
        chardev_event(u.chr, CHAR_OPENED);
        u.dev = device_new(u.c.m, &serial_class, NULL, &err);
        CHECK(device_set_prop(u.dev, "chardev", "com", &err) && device_realize(u.dev, NULL, &err));
        chips_map(&u.c, u.dev, (const uint16_t[]){ PORT });
        tests[i](&u);
        chips_clear(&u.c);
    }
    printf("serial: ok\n");
    return 0;
}
