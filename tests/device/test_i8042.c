/* Keyboard controller, keyboard, mouse; A20 and reset lines; port 92h; ISA test cards. */
#include <linux/input-event-codes.h>
#include <string.h>

#include "hw/isa/isa.h"
#include "tests/device/chips.h"
#include "tests/device/roundtrip.h"

extern const DeviceClass i8042_class, port92_class, debugexit_class, testdev_class;

typedef struct Kbd {
    Chips c;
    Device *dev;
} Kbd;

static void cmd(Kbd *k, uint8_t v) { chips_out(&k->c, 0x64, v); }
static void data(Kbd *k, uint8_t v) { chips_out(&k->c, 0x60, v); }
static uint8_t get(Kbd *k) { return (uint8_t)chips_in(&k->c, 0x60); }
static uint8_t status(Kbd *k) { return (uint8_t)chips_in(&k->c, 0x64); }
static bool line(Kbd *k, unsigned n) { return irq_level(k->dev->irq[n]); }
static void key(Kbd *k, unsigned code, bool down) { input_key(machine_input(k->c.m), code, down); }

static void expect(Kbd *k, bool aux, const uint8_t *bytes, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        CHECK_EQ(status(k) & 0x21, aux ? 0x21 : 1);
        CHECK_EQ(get(k), bytes[i]);
    }
    CHECK(!(status(k) & 1));
}
#define EXPECT(k, aux, ...) expect(k, aux, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

static void mouse(Kbd *k, uint8_t v)
{
    cmd(k, 0xd4);
    data(k, v);
}

static void set_ctr(Kbd *k, uint8_t v)
{
    cmd(k, 0x60);
    data(k, v);
}

/* What firmware and Linux do first. */
static void start_up(Kbd *k)
{
    cmd(k, 0xaa);
    EXPECT(k, false, 0x55);
    CHECK(status(k) & 4);
    cmd(k, 0x20);
    CHECK_EQ(get(k) & 0x30, 0x30);
    cmd(k, 0xab);
    EXPECT(k, false, 0);
    cmd(k, 0xa9);
    EXPECT(k, false, 0);
    cmd(k, 0xa8);
    cmd(k, 0x20);
    CHECK_EQ(get(k) & 0x30, 0x10);
    cmd(k, 0xae);
    cmd(k, 0x75);
    CHECK(status(k) & 8);
    data(k, 0x99);
    CHECK(!(status(k) & 8));
    cmd(k, 0x35);
    EXPECT(k, false, 0x99);
    cmd(k, 0xd3);                           /* Linux's test for a mouse port: comes back as the mouse's */
    data(k, 0x5a);
    EXPECT(k, true, 0x5a);
    cmd(k, 0xd2);
    data(k, 0xa5);
    EXPECT(k, false, 0xa5);
}

static void keyboard_commands(Kbd *k)
{
    set_ctr(k, 0x01);                       /* no translation, interrupt on */
    data(k, 0xff);
    CHECK(line(k, 0));
    EXPECT(k, false, 0xfa, 0xaa);
    CHECK(!line(k, 0));
    data(k, 0xf2);
    EXPECT(k, false, 0xfa, 0xab, 0x83);
    data(k, 0xee);
    EXPECT(k, false, 0xee);
    data(k, 0xed);
    EXPECT(k, false, 0xfa);
    data(k, 5);
    EXPECT(k, false, 0xfa);
    CHECK_EQ(input_leds(machine_input(k->c.m)), 5);
    data(k, 0xf3);
    data(k, 0x20);
    EXPECT(k, false, 0xfa, 0xfa);
    data(k, 0xf0);
    data(k, 0);
    EXPECT(k, false, 0xfa, 0xfa, 2);
    data(k, 0xf0);
    data(k, 3);
    EXPECT(k, false, 0xfa, 0xfe);
    data(k, 0x12);
    EXPECT(k, false, 0xfe);
    data(k, 0xf5);
    EXPECT(k, false, 0xfa);
    key(k, KEY_A, true);
    CHECK(!(status(k) & 1));
    data(k, 0xf4);
    EXPECT(k, false, 0xfa);
    key(k, KEY_A, true);
    EXPECT(k, false, 0x1c);
    data(k, 0xfe);
    EXPECT(k, false, 0x1c);
    data(k, 0xed);                          /* a command instead of an argument */
    data(k, 0xee);
    EXPECT(k, false, 0xfa, 0xee);
}

static void scan_codes(Kbd *k)
{
    set_ctr(k, 0x00);
    key(k, KEY_ESC, true);
    key(k, KEY_ESC, false);
    EXPECT(k, false, 0x76, 0xf0, 0x76);
    key(k, KEY_F7, true);
    EXPECT(k, false, 0x83);
    key(k, KEY_RIGHTCTRL, true);
    key(k, KEY_RIGHTCTRL, false);
    EXPECT(k, false, 0xe0, 0x14, 0xe0, 0xf0, 0x14);
    key(k, KEY_PAUSE, true);
    key(k, KEY_PAUSE, false);
    EXPECT(k, false, 0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77);
    key(k, KEY_SYSRQ, true);
    key(k, KEY_SYSRQ, false);
    EXPECT(k, false, 0xe0, 0x12, 0xe0, 0x7c, 0xe0, 0xf0, 0x7c, 0xe0, 0xf0, 0x12);
    set_ctr(k, 0x40);                       /* translated: what a PC calls set 1 */
    key(k, KEY_ESC, true);
    key(k, KEY_ESC, false);
    EXPECT(k, false, 0x01, 0x81);
    key(k, KEY_LEFT, false);
    EXPECT(k, false, 0xe0, 0xcb);
    key(k, KEY_PAUSE, true);
    EXPECT(k, false, 0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5);
    for (unsigned code = KEY_ESC; code <= KEY_KPDOT; code++) {
        key(k, code, true);
        EXPECT(k, false, (uint8_t)code);    /* evdev's numbers up to here are set 1's codes */
        key(k, code, false);
        EXPECT(k, false, (uint8_t)(code | 0x80));
    }
    set_ctr(k, 0x00);
    data(k, 0xf0);
    data(k, 1);
    EXPECT(k, false, 0xfa, 0xfa);
    key(k, KEY_DELETE, false);
    EXPECT(k, false, 0xe0, 0xd3);
    key(k, 0x2ff, true);
    CHECK(!(status(k) & 1));
    for (unsigned i = 0; i < 200; i++)
        key(k, KEY_A, i & 1);
    unsigned n = 0;
    uint8_t last = 0;
    while (status(k) & 1) {
        last = get(k);
        n++;
    }
    CHECK(n > 60 && n <= 66);
    CHECK_EQ(last, 0xff);                   /* overrun */
}

static void interrupts(Kbd *k)
{
    set_ctr(k, 0x03);
    key(k, KEY_A, true);
    key(k, KEY_B, true);
    CHECK(line(k, 0) && !line(k, 1));
    get(k);
    CHECK(line(k, 0));                      /* next byte, its own edge */
    get(k);
    CHECK(!line(k, 0));
    set_ctr(k, 0x13);                       /* keyboard off: bytes wait */
    key(k, KEY_A, true);
    CHECK(!(status(k) & 1));
    cmd(k, 0xae);
    CHECK(line(k, 0));
    get(k);
    mouse(k, 0xf4);
    CHECK(line(k, 1) && !line(k, 0));
    EXPECT(k, true, 0xfa);
    set_ctr(k, 0);
    key(k, KEY_A, true);
    CHECK((status(k) & 1) && !line(k, 0));
}

static void move(Kbd *k, int dx, int dy, int wheel)
{
    InputHub *h = machine_input(k->c.m);
    input_rel(h, dx, dy, wheel);
    input_sync(h);
}

static void mouse_packets(Kbd *k)
{
    set_ctr(k, 0x02);
    mouse(k, 0xff);
    EXPECT(k, true, 0xfa, 0xaa, 0x00);
    move(k, 5, 5, 0);
    CHECK(!(status(k) & 1));                /* reporting is off */
    mouse(k, 0xf4);
    EXPECT(k, true, 0xfa);
    move(k, 5, 3, 0);
    EXPECT(k, true, 0x28, 5, 0xfd);         /* up is positive there */
    input_button(machine_input(k->c.m), BTN_LEFT, true);
    input_button(machine_input(k->c.m), BTN_MIDDLE, true);
    input_sync(machine_input(k->c.m));
    EXPECT(k, true, 0x0d, 0, 0);
    move(k, -300, 0, 0);                    /* more than fits: two packets */
    EXPECT(k, true, 0x1d, 0x01, 0, 0x1d, 0xd3, 0);
    mouse(k, 0xe9);
    EXPECT(k, true, 0xfa, 0x26, 2, 100);
}

static void rates(Kbd *k, const uint8_t *rate)
{
    for (unsigned i = 0; i < 3; i++) {
        mouse(k, 0xf3);
        mouse(k, rate[i]);
        EXPECT(k, true, 0xfa, 0xfa);
    }
}

static void wheel_and_buttons(Kbd *k)
{
    set_ctr(k, 0x02);
    mouse(k, 0xf4);
    EXPECT(k, true, 0xfa);
    rates(k, (const uint8_t[]){ 200, 100, 80 });
    mouse(k, 0xf2);
    EXPECT(k, true, 0xfa, 3);
    move(k, 0, 0, 1);
    EXPECT(k, true, 8, 0, 0, 0xff);
    rates(k, (const uint8_t[]){ 200, 200, 80 });
    mouse(k, 0xf2);
    EXPECT(k, true, 0xfa, 4);
    input_button(machine_input(k->c.m), BTN_SIDE, true);
    input_sync(machine_input(k->c.m));
    EXPECT(k, true, 8, 0, 0, 0x10);
}

static void mouse_modes(Kbd *k)
{
    set_ctr(k, 0x02);
    mouse(k, 0xf4);
    EXPECT(k, true, 0xfa);
    rates(k, (const uint8_t[]){ 200, 100, 80 });
    mouse(k, 0xf0);                         /* remote: only when asked */
    EXPECT(k, true, 0xfa);
    move(k, 1, 0, 0);
    CHECK(!(status(k) & 1));
    mouse(k, 0xeb);
    EXPECT(k, true, 0xfa, 8, 1, 0, 0);
    mouse(k, 0xee);                         /* wrap */
    mouse(k, 0x42);
    mouse(k, 0xec);
    EXPECT(k, true, 0xfa, 0x42, 0xfa);
    mouse(k, 0xf6);
    mouse(k, 0x01);
    EXPECT(k, true, 0xfa, 0xfe);
    mouse(k, 0xf4);
    for (unsigned i = 0; i < 1000; i++)
        move(k, 1, -1, 0);
    int dx = 0, packets = 0;
    CHECK_EQ(get(k), 0xfa);
    while (status(k) & 1) {                 /* nothing of the way is lost */
        get(k);
        dx += get(k);
        get(k);
        get(k);
        packets++;
    }
    CHECK_EQ(dx, 1000);
    CHECK(packets < 30);
}

static void lines(Kbd *k)
{
    CHECK(line(k, 2));                      /* A20 is on after reset */
    cmd(k, 0xdd);
    CHECK(!line(k, 2));
    cmd(k, 0xd0);
    CHECK_EQ(get(k) & 3, 1);
    cmd(k, 0xd1);
    data(k, 0x03);
    CHECK(line(k, 2));
    CHECK(!machine_work_pending(k->c.m));
    cmd(k, 0xfe);
    CHECK(machine_work_pending(k->c.m));    /* reset */
}

static void fast_lines(Kbd *k)
{
    Device *p = chips_device(&k->c, &port92_class);
    chips_map(&k->c, p, (const uint16_t[]){ 0x92 });
    CHECK_EQ(chips_in(&k->c, 0x92), 0);
    chips_out(&k->c, 0x92, 2);
    CHECK(irq_level(p->irq[0]));
    CHECK_EQ(chips_in(&k->c, 0x92), 2);
    CHECK(!machine_work_pending(k->c.m));
    chips_out(&k->c, 0x92, 3);
    CHECK(machine_work_pending(k->c.m));
}

static void save_and_load(Kbd *k)
{
    set_ctr(k, 0x43);
    key(k, KEY_A, true);
    key(k, KEY_A, false);
    mouse(k, 0xf4);
    cmd(k, 0xd4);                           /* in the middle of a command */
    round_trip(k->dev);
    CHECK(line(k, 0));
    CHECK_EQ(get(k), 0x1e);
    CHECK_EQ(get(k), 0x9e);
    EXPECT(k, true, 0xfa);
    data(k, 0xf2);
    EXPECT(k, true, 0xfa, 0);
}

static void test_cards(Kbd *k)
{
    Machine *m = k->c.m;
    GError *err = NULL;
    uint64_t v;
    isa_bus_new(m, k->c.gsi);
    Device *t = device_new(m, &testdev_class, "t", &err);
    CHECK(t && device_realize(t, NULL, &err));
    mem_commit_now(machine_mem(m));
    AddressSpace *io = machine_as_io(m), *mem = machine_as_mem(m);
    as_store(io, 0xe0, 4, 0x12345678);
    as_load(io, 0xe0, 4, &v);
    CHECK_EQ(v, 0x12345678);
    as_load(io, 0xe2, 2, &v);
    CHECK_EQ(v, 0x1234);
    as_store(io, 0xe1, 1, 0xab);
    as_load(io, 0xe0, 4, &v);
    CHECK_EQ(v, 0x1234ab78);
    as_store(mem, 0xff00fff8, 8, 0x1122334455667788);
    as_load(mem, 0xff00fffc, 4, &v);
    CHECK_EQ(v, 0x11223344);
    as_store(io, 0x2005, 1, 1);
    CHECK(irq_wire_level(device_input(k->c.gsi, 5)));
    round_trip(t);
    CHECK(irq_wire_level(device_input(k->c.gsi, 5)));
    as_store(io, 0x2005, 1, 0);
    CHECK(!irq_wire_level(device_input(k->c.gsi, 5)));
    as_store(io, 0xe4, 4, 0x5123);
    CHECK(machine_work_pending(m));
    Device *e = device_new(m, &debugexit_class, "e", &err);
    CHECK(device_set_prop(e, "iobase", "0xf4", &err) && device_set_prop(e, "iosize", "4", &err) && device_realize(e, NULL, &err));
    mem_commit_now(machine_mem(m));
    as_load(io, 0xf4, 4, &v);
    CHECK_EQ(v, 0);
    Device *bad = device_new(m, &debugexit_class, "b", &err);
    CHECK(device_set_prop(bad, "iobase", "0xffff", &err) && !device_realize(bad, NULL, &err));
    g_clear_error(&err);
    device_free(bad);
    device_free(e);
    device_free(t);
    as_load(io, 0xf4, 4, &v);
}

int main(void)
{
    static void (*const tests[])(Kbd *) = {
        start_up, keyboard_commands, scan_codes, interrupts, mouse_packets, wheel_and_buttons, mouse_modes, lines, fast_lines, save_and_load, test_cards,
    };
    for (unsigned i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        Kbd k;
        chips_init(&k.c, 0);
        k.dev = chips_device(&k.c, &i8042_class);
        chips_map(&k.c, k.dev, (const uint16_t[]){ 0x60, 0x64 });
        tests[i](&k);
        chips_clear(&k.c);
    }
    printf("i8042: ok\n");
    return 0;
}
