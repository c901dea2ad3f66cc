/*
 * PrimeCell UART PL011 (ARM DDI 0183G; section numbers below are its), revision r1p4: FIFOs of 16. The line has no speed: a byte leaves when the back
 * end takes it; only the receiver's time-out counts bits. Like other emulators it sends and receives whatever UARTEN says: programs print without
 * setting it up.
 */
#include "util/bits.h"
#include "vmm/chardev.h"
#include "vmm/device.h"

enum { FIFO_LEN = 16, UARTCLK_HZ = 24000000, TIMEOUT_BITS = 32 };
enum { DR = 0x00, RSR_ECR = 0x04, FR = 0x18, ILPR = 0x20, IBRD = 0x24, FBRD = 0x28, LCR_H = 0x2c, CR = 0x30, IFLS = 0x34, IMSC = 0x38, RIS = 0x3c,
       MIS = 0x40, ICR = 0x44, DMACR = 0x48, ID = 0xfe0 };
enum { DR_FE = 1 << 8, DR_BE = 1 << 10, DR_OE = 1 << 11 };
enum { FR_CTS = 1, FR_DSR = 2, FR_DCD = 4, FR_RXFE = 0x10, FR_TXFF = 0x20, FR_RXFF = 0x40, FR_TXFE = 0x80 };
enum { LCR_BRK = 1, LCR_PEN = 2, LCR_EPS = 4, LCR_STP2 = 8, LCR_FEN = 0x10, LCR_SPS = 0x80 };
enum { CR_LBE = 1 << 7, CR_TXE = 1 << 8, CR_RXE = 1 << 9 };
enum { I_RX = 1 << 4, I_TX = 1 << 5, I_RT = 1 << 6, I_FE = 1 << 7, I_BE = 1 << 9, I_OE = 1 << 10, I_ALL = 0x7ff };

typedef struct Fifo {
    uint16_t data[FIFO_LEN];
    uint8_t head, len;
} Fifo;

typedef struct Pl011 {
    Device dev;
    CharDev *chr;               /* property */
    Fifo rx, tx;
    uint32_t lcr, cr, ifls, imsc, ris, ibrd, fbrd, ilpr, dmacr;
    uint8_t rsr;
    bool overrun;               /* the next byte into the FIFO carries OE (3.3.1) */
    Timer *timeout;
} Pl011;

static unsigned capacity(const Pl011 *s) { return s->lcr & LCR_FEN ? FIFO_LEN : 1; }

/* IFLS: 1/8, 1/4, 1/2, 3/4, 7/8 of the FIFO (3.3.9). */
static unsigned level_of(unsigned code)
{
    static const uint8_t levels[8] = { 2, 4, 8, 12, 14, 14, 14, 14 };
    return levels[code & 7];
}

static unsigned rx_trigger(const Pl011 *s) { return s->lcr & LCR_FEN ? level_of(s->ifls >> 3) : 1; }
static unsigned tx_trigger(const Pl011 *s) { return s->lcr & LCR_FEN ? level_of(s->ifls) : 0; }
static void update(Pl011 *s) { irq_set(s->dev.irq[0], s->ris & s->imsc); }

/* ---- receiver ---- */

/* 32 bit times without a read while data waits (2.8.6); at most 40 ms. */
static void timeout_restart(Pl011 *s)
{
    if (!s->rx.len) {
        timer_cancel(s->timeout);
        s->ris &= ~(uint32_t)I_RT;
        return;
    }
    uint64_t divisor = MAX(64 * s->ibrd + s->fbrd, 64u);   /* in 1/64 */
    int64_t wait = mclock_ticks_to_ns_up(TIMEOUT_BITS * 16 * divisor / 64, UARTCLK_HZ);
    timer_arm(s->timeout, mclock_now(s->dev.clock, CLOCK_KIND_VIRTUAL) + MIN(wait, 40 * NS_PER_MS));
}

static void timed_out(void *opaque)
{
    Pl011 *s = opaque;
    if (s->rx.len)
        s->ris |= I_RT;
    update(s);
}

static void rx_push(Pl011 *s, uint16_t word)
{
    if (s->rx.len >= capacity(s)) {
        s->overrun = true;
        s->rsr |= 8;
        s->ris |= I_OE;
        return;
    }
    if (s->overrun)
        word |= DR_OE;
    s->overrun = false;
    s->rx.data[(s->rx.head + s->rx.len++) % FIFO_LEN] = word;
    if (s->rx.len >= rx_trigger(s))
        s->ris |= I_RX;
    if (word & DR_BE)
        s->ris |= I_BE;
    timeout_restart(s);
}

static uint32_t rx_pop(Pl011 *s)
{
    uint16_t word = s->rx.data[s->rx.head];
    if (!s->rx.len)
        return word & 0xff;
    s->rx.head = (uint8_t)((s->rx.head + 1) % FIFO_LEN);
    s->rx.len--;
    s->rsr = (uint8_t)((s->rsr & 8) | (word >> 8 & 7));
    if (s->rx.len < rx_trigger(s))
        s->ris &= ~(uint32_t)I_RX;
    timeout_restart(s);
    update(s);
    chardev_accept_input(s->chr);
    return word;
}

/* ---- transmitter ---- */

/* The interrupt comes when the FIFO falls through its level (2.8.4). */
static void tx_drain(Pl011 *s)
{
    while (s->tx.len) {
        uint8_t byte = (uint8_t)s->tx.data[s->tx.head];
        if (chardev_write(s->chr, &byte, 1) != 1)
            break;              /* writable() goes on */
        s->tx.head = (uint8_t)((s->tx.head + 1) % FIFO_LEN);
        if (--s->tx.len <= tx_trigger(s))
            s->ris |= I_TX;
    }
}

static void tx_write(Pl011 *s, uint8_t byte)
{
    static const uint8_t width[] = { 0x1f, 0x3f, 0x7f, 0xff };
    if (s->lcr & 0x60)          /* as it is out of reset (5 bits) nobody means it */
        byte &= width[s->lcr >> 5 & 3];
    if (s->cr & CR_LBE) {
        rx_push(s, byte);
        s->ris |= I_TX;
        return;
    }
    if (s->tx.len >= capacity(s))
        return;
    s->tx.data[(s->tx.head + s->tx.len++) % FIFO_LEN] = byte;
    if (s->tx.len > tx_trigger(s))
        s->ris &= ~(uint32_t)I_TX;
    tx_drain(s);
}

/* ---- registers (3.2) ---- */

static void line_changed(Pl011 *s)
{
    static const char parity[] = { 'O', 'E', 'M', 'S' };
    CharLine line = { .baud = (uint32_t)((uint64_t)UARTCLK_HZ * 4 / MAX(64 * s->ibrd + s->fbrd, 64u)), .data_bits = (uint8_t)(5 + (s->lcr >> 5 & 3)),
                      .stop_bits = s->lcr & LCR_STP2 ? 2 : 1, .parity = 'N' };
    if (s->lcr & LCR_PEN)
        line.parity = parity[(s->lcr & LCR_EPS ? 1 : 0) | (s->lcr & LCR_SPS ? 2 : 0)];
    chardev_set_line(s->chr, &line);
}

static void lcr_write(Pl011 *s, uint32_t val)
{
    bool fifo = (val ^ s->lcr) & LCR_FEN;
    if (val & ~s->lcr & LCR_BRK)
        chardev_send_break(s->chr);
    s->lcr = val & 0xff;
    if (fifo) {                 /* enabling and disabling empties them */
        s->rx = s->tx = (Fifo){ 0 };
        s->ris &= ~(uint32_t)I_RX;
        timeout_restart(s);
        chardev_accept_input(s->chr);
    }
    line_changed(s);
}

static uint32_t flags(const Pl011 *s)
{
    bool open = !s->chr || chardev_is_open(s->chr);
    return (s->rx.len ? 0 : FR_RXFE) | (s->rx.len >= capacity(s) ? FR_RXFF : 0) | (s->tx.len ? 0 : FR_TXFE) | (s->tx.len >= capacity(s) ? FR_TXFF : 0) |
           FR_CTS | (open ? FR_DSR | FR_DCD : 0);
}

static uint64_t pl011_read(void *opaque, uint64_t off, unsigned size)
{
    static const uint8_t id[] = { 0x11, 0x10, 0x14, 0x00, 0x0d, 0xf0, 0x05, 0xb1 };
    Pl011 *s = opaque;
    if (off >= ID)
        return id[(off - ID) / 4];
    switch (off & ~3ull) {
    case DR: return rx_pop(s);
    case RSR_ECR: return s->rsr;
    case FR: return flags(s);
    case ILPR: return s->ilpr;
    case IBRD: return s->ibrd;
    case FBRD: return s->fbrd;
    case LCR_H: return s->lcr;
    case CR: return s->cr;
    case IFLS: return s->ifls;
    case IMSC: return s->imsc;
    case RIS: return s->ris;
    case MIS: return s->ris & s->imsc;
    case DMACR: return s->dmacr;
    default: return 0;
    }
}

static void pl011_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    Pl011 *s = opaque;
    uint32_t v = (uint32_t)val;
    switch (off & ~3ull) {
    case DR: tx_write(s, (uint8_t)v); break;
    case RSR_ECR: s->rsr = 0; break;
    case ILPR: s->ilpr = v & 0xff; break;
    case IBRD: s->ibrd = v & 0xffff; break;
    case FBRD: s->fbrd = v & 0x3f; break;
    case LCR_H: lcr_write(s, v); break;
    case CR: s->cr = v & 0xff87; break;
    case IFLS: s->ifls = v & 0x3f; break;
    case IMSC: s->imsc = v & I_ALL; break;
    case ICR: s->ris &= ~v; break;
    case DMACR: s->dmacr = v & 7; break;
    default: break;
    }
    update(s);
}

static const MmioOps pl011_ops = { .read = pl011_read, .write = pl011_write, .min_size = 2, .max_size = 4 };

/* ---- back end ---- */

static size_t can_receive(void *opaque)
{
    Pl011 *s = opaque;
    return s->cr & CR_LBE ? 0 : capacity(s) - MIN(s->rx.len, capacity(s));
}

static void receive(void *opaque, const uint8_t *buf, size_t len)
{
    Pl011 *s = opaque;
    for (size_t i = 0; i < len; i++)
        rx_push(s, buf[i]);
    update(s);
}

static void event(void *opaque, CharEvent ev)
{
    Pl011 *s = opaque;
    if (ev == CHAR_BREAK && !(s->cr & CR_LBE))
        rx_push(s, DR_BE | DR_FE);
    update(s);
}

static void writable(void *opaque)
{
    Pl011 *s = opaque;
    tx_drain(s);
    update(s);
}

static const CharFrontOps front = { .can_receive = can_receive, .receive = receive, .event = event, .writable = writable };

/* ---- life ---- */

static void pl011_reset(Device *dev)
{
    Pl011 *s = (Pl011 *)dev;
    timer_cancel(s->timeout);
    s->rx = s->tx = (Fifo){ 0 };
    s->lcr = s->imsc = s->ris = s->ibrd = s->fbrd = s->ilpr = s->dmacr = 0;
    s->cr = CR_TXE | CR_RXE;
    s->ifls = 0x12;
    s->rsr = 0;
    s->overrun = false;
    update(s);
}

static bool pl011_realize(Device *dev, GError **err)
{
    Pl011 *s = (Pl011 *)dev;
    device_init_mmio(dev, 0, "regs", &pl011_ops, 0x1000);
    device_init_irqs(dev, 1);
    s->timeout = device_timer_new(dev, timed_out);
    if (s->chr && !chardev_attach(s->chr, &front, s, dev->lock)) {
        g_set_error(err, g_quark_from_static_string("pl011"), 0, "chardev '%s' is in use by another device: give each device its own", chardev_name(s->chr));
        timer_free(s->timeout);
        return false;
    }
    return true;
}

static void pl011_unrealize(Device *dev)
{
    Pl011 *s = (Pl011 *)dev;
    if (s->chr)
        chardev_detach(s->chr);
    timer_free(s->timeout);
}

static bool pl011_post_load(Device *dev, unsigned version, GError **err)
{
    Pl011 *s = (Pl011 *)dev;
    const Fifo *fifos[] = { &s->rx, &s->tx };
    for (unsigned i = 0; i < 2; i++)
        if (fifos[i]->head >= FIFO_LEN || fifos[i]->len > FIFO_LEN) {
            g_set_error(err, g_quark_from_static_string("pl011"), 0, "serial port: impossible FIFO state");
            return false;
        }
    s->ibrd &= 0xffff;
    s->fbrd &= 0x3f;
    s->lcr &= 0xff;
    tx_drain(s);
    line_changed(s);
    update(s);
    return true;
}

static const PropDesc pl011_props[] = {
    PROP(Pl011, chr, PROP_REF, "chardev", .ref_type = "chardev", .help = "where the line goes"), { 0 }
};
static const FieldDesc fifo_fields[] = { FIELD_ARRAY(Fifo, data), FIELD(Fifo, head), FIELD(Fifo, len), { 0 } };
static const FieldDesc pl011_fields[] = {
    FIELD_SUB(Pl011, rx, fifo_fields), FIELD_SUB(Pl011, tx, fifo_fields), FIELD(Pl011, lcr), FIELD(Pl011, cr), FIELD(Pl011, ifls), FIELD(Pl011, imsc),
    FIELD(Pl011, ris), FIELD(Pl011, ibrd), FIELD(Pl011, fbrd), FIELD(Pl011, ilpr), FIELD(Pl011, dmacr), FIELD(Pl011, rsr), FIELD(Pl011, overrun),
    FIELD_TIMER(Pl011, timeout), { 0 }
};
static const DeviceSection pl011_state[] = {
    { .name = "pl011", .version = 1, .min_version = 1, .fields = pl011_fields, .post_load = pl011_post_load }, { 0 }
};

const DeviceClass pl011_class = {
    .name = "pl011", .summary = "PrimeCell UART PL011", .size = sizeof(Pl011), .bus = BUS_SYS, .internal = true, .props = pl011_props,
    .state = pl011_state, .realize = pl011_realize, .reset = pl011_reset, .unrealize = pl011_unrealize,
};
