/* 8259A pair: initialization, priorities, EOIs, special modes, spurious interrupts, ELCR (Intel 231468). */
#include "tests/device/chips.h"
#include "tests/device/roundtrip.h"

#define TEST(name) static void name(Chips *c)

static void init(Chips *c, uint8_t icw4)
{
    for (unsigned i = 0; i < 2; i++) {
        uint16_t p = i ? 0xa0 : 0x20;
        chips_out(c, p, 0x11);
        chips_out(c, p + 1, i ? 0x28 : 0x20);
        chips_out(c, p + 1, i ? 2 : 4);
        chips_out(c, p + 1, icw4);
        chips_out(c, p + 1, 0);
    }
}

static bool intr(Chips *c)
{
    return irq_level(c->pic->irq[0]);
}

static void pulse(Chips *c, unsigned n)
{
    irq_pulse(c->line[n]);
}

TEST(masks_and_registers)
{
    chips_out(c, 0x21, 0xa5);
    CHECK_EQ(chips_in(c, 0x21), 0xa5);
    pulse(c, 0);
    CHECK(!intr(c));
    CHECK_EQ(chips_in(c, 0x20), 1);         /* IRR shows masked requests */
    chips_out(c, 0x21, 0);
    CHECK(intr(c));
    CHECK_EQ(pic_ack(c->pic), 0x20);
    CHECK(!intr(c));
    chips_out(c, 0x20, 0x0b);
    CHECK_EQ(chips_in(c, 0x20), 1);         /* ISR */
    chips_out(c, 0x20, 0x0a);
    CHECK_EQ(chips_in(c, 0x20), 0);
}

TEST(fully_nested)
{
    pulse(c, 5);
    CHECK_EQ(pic_ack(c->pic), 0x25);
    pulse(c, 6);
    CHECK(!intr(c));                        /* lower priority waits */
    pulse(c, 3);
    CHECK_EQ(pic_ack(c->pic), 0x23);        /* higher one interrupts */
    chips_out(c, 0x20, 0x20);
    chips_out(c, 0x20, 0x0b);
    CHECK_EQ(chips_in(c, 0x20), 0x20);      /* non-specific EOI took the higher */
    CHECK(!intr(c));
    chips_out(c, 0x20, 0x65);               /* specific */
    CHECK_EQ(pic_ack(c->pic), 0x26);
}

TEST(cascade)
{
    pulse(c, 12);
    CHECK(intr(c));
    CHECK_EQ(pic_ack(c->pic), 0x2c);
    chips_out(c, 0x20, 0x0b);
    CHECK_EQ(chips_in(c, 0x20), 4);
    pulse(c, 9);                            /* higher on the slave, but the master's IR2 is in service */
    CHECK(!intr(c));
    chips_out(c, 0x20, 0x20);
    CHECK_EQ(pic_ack(c->pic), 0x29);
}

TEST(special_fully_nested)
{
    init(c, 0x11);
    pulse(c, 12);
    CHECK_EQ(pic_ack(c->pic), 0x2c);
    pulse(c, 9);
    CHECK_EQ(pic_ack(c->pic), 0x29);        /* not blocked by IR2 in service */
    pulse(c, 13);
    CHECK(!intr(c));
}

TEST(spurious)
{
    CHECK_EQ(pic_ack(c->pic), 0x27);
    chips_out(c, 0x20, 0x0b);
    CHECK_EQ(chips_in(c, 0x20), 0);         /* no ISR bit */
    /* A slave request that is masked between INT and INTA: the master's line has fallen again. */
    pulse(c, 10);
    chips_out(c, 0xa1, 0x04);
    CHECK_EQ(pic_ack(c->pic), 0x27);
    chips_out(c, 0xa1, 0);
    CHECK_EQ(pic_ack(c->pic), 0x2a);
}

TEST(auto_eoi)
{
    init(c, 3);
    pulse(c, 3);
    CHECK_EQ(pic_ack(c->pic), 0x23);
    chips_out(c, 0x20, 0x0b);
    CHECK_EQ(chips_in(c, 0x20), 0);
    chips_out(c, 0x20, 0x80);               /* rotate in AEOI: 3 becomes lowest at its INTA */
    pulse(c, 3);
    CHECK_EQ(pic_ack(c->pic), 0x23);
    pulse(c, 3);
    pulse(c, 7);
    CHECK_EQ(pic_ack(c->pic), 0x27);
    CHECK_EQ(pic_ack(c->pic), 0x23);
}

TEST(rotation)
{
    chips_out(c, 0x20, 0xc4);               /* set priority: 4 lowest */
    pulse(c, 4);
    pulse(c, 5);
    CHECK_EQ(pic_ack(c->pic), 0x25);
    chips_out(c, 0x20, 0xa0);               /* rotate on non-specific EOI: 5 lowest, 6 highest, 4 before 5 */
    pulse(c, 5);
    CHECK_EQ(pic_ack(c->pic), 0x24);
    chips_out(c, 0x20, 0xe4);               /* rotate on specific EOI */
    pulse(c, 4);
    CHECK_EQ(pic_ack(c->pic), 0x25);
}

TEST(special_mask)
{
    pulse(c, 3);
    CHECK_EQ(pic_ack(c->pic), 0x23);
    chips_out(c, 0x21, 0x08);
    chips_out(c, 0x20, 0x68);
    pulse(c, 5);
    CHECK_EQ(pic_ack(c->pic), 0x25);        /* lower than what is in service but masked */
    chips_out(c, 0x20, 0x20);
    chips_out(c, 0x20, 0x20);               /* does not clear the masked bit 3 */
    chips_out(c, 0x20, 0x0b);
    CHECK_EQ(chips_in(c, 0x20), 8);
    chips_out(c, 0x20, 0x48);
    pulse(c, 6);
    CHECK(!intr(c));
}

TEST(poll)
{
    chips_out(c, 0x20, 0x0c);
    CHECK_EQ(chips_in(c, 0x20), 0);
    pulse(c, 6);
    chips_out(c, 0x20, 0x0c);
    CHECK_EQ(chips_in(c, 0x20), 0x86);
    CHECK(!intr(c));
    chips_out(c, 0x20, 0x0b);
    CHECK_EQ(chips_in(c, 0x20), 0x40);
}

TEST(level_triggered)
{
    chips_out(c, 0x4d0, 0xff);
    CHECK_EQ(chips_in(c, 0x4d0), 0xf8);
    chips_out(c, 0x4d1, 0xff);
    CHECK_EQ(chips_in(c, 0x4d1), 0xde);
    irq_set(c->line[11], true);
    CHECK_EQ(pic_ack(c->pic), 0x2b);
    chips_out(c, 0xa0, 0x20);
    chips_out(c, 0x20, 0x20);
    CHECK_EQ(pic_ack(c->pic), 0x2b);        /* still up */
    irq_set(c->line[11], false);
    chips_out(c, 0xa0, 0x20);
    chips_out(c, 0x20, 0x20);
    CHECK(!intr(c));
}

TEST(icw_details)
{
    irq_set(c->line[4], true);
    chips_out(c, 0x20, 0x11);
    CHECK(!intr(c));                        /* edge sense reset: the line must fall and rise */
    chips_out(c, 0x21, 0x40);
    chips_out(c, 0x21, 4);
    chips_out(c, 0x21, 1);
    CHECK(!intr(c));
    irq_set(c->line[4], false);
    irq_set(c->line[4], true);
    CHECK_EQ(pic_ack(c->pic), 0x44);
    irq_set(c->line[4], false);
    chips_out(c, 0x20, 0x12);               /* single, no ICW4: two words */
    chips_out(c, 0x21, 0x50);
    chips_out(c, 0x21, 0xfe);               /* this is OCW1 already */
    CHECK_EQ(chips_in(c, 0x21), 0xfe);
}

static void state(Chips *c)
{
    pulse(c, 12);
    pic_ack(c->pic);
    chips_out(c, 0x21, 0x55);
    chips_out(c, 0x20, 0x68);
    round_trip(c->pic);
    CHECK_EQ(chips_in(c, 0x21), 0x55);
    chips_out(c, 0xa0, 0x11);               /* in the middle of initialization */
    round_trip(c->pic);
    chips_out(c, 0xa1, 0x70);
    chips_out(c, 0xa1, 2);
    chips_out(c, 0xa1, 1);
    chips_out(c, 0x21, 0);
    chips_out(c, 0x20, 0x20);
    pulse(c, 15);
    CHECK_EQ(pic_ack(c->pic), 0x77);
}

int main(void)
{
    static void (*const tests[])(Chips *) = {
        masks_and_registers, fully_nested, cascade, special_fully_nested, spurious, auto_eoi, rotation, special_mask, poll, level_triggered,
        icw_details, state,
    };
    for (unsigned i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        Chips c;
        chips_init(&c, 0);
        init(&c, 1);
        tests[i](&c);
        chips_clear(&c);
    }
    printf("pic: ok\n");
    return 0;
}
