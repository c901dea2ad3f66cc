/*
 * PC16550D UART with FIFOs (National Semiconductor PC16550D, June 1995; section numbers below are its). The line has no speed:
 * a byte leaves when the back end takes it. Only the receiver's time-out counts character times.
 */
#include "hw/char/serial.h"

#include "util/bits.h"
#include "vmm/chardev.h"

enum { FIFO_LEN = 16, CLOCK_HZ = 1843200 };
enum { R_DATA, R_IER, R_IIR_FCR, R_LCR, R_MCR, R_LSR, R_MSR, R_SCR };
enum { IER_RDA = 1, IER_THRE = 2, IER_RLS = 4, IER_MS = 8 };
enum { IIR_NONE = 1, IIR_MS = 0, IIR_THRE = 2, IIR_RDA = 4, IIR_RLS = 6, IIR_TIMEOUT = 12, IIR_FIFO = 0xc0 };
enum { FCR_ENABLE = 1, FCR_CLEAR_RX = 2, FCR_CLEAR_TX = 4 };
enum { LCR_WLS = 3, LCR_STB = 4, LCR_PEN = 8, LCR_EPS = 16, LCR_STICK = 32, LCR_BREAK = 64, LCR_DLAB = 128 };
enum { MCR_DTR = 1, MCR_RTS = 2, MCR_OUT1 = 4, MCR_OUT2 = 8, MCR_LOOP = 16 };
enum { LSR_DR = 1, LSR_OE = 2, LSR_PE = 4, LSR_FE = 8, LSR_BI = 16, LSR_THRE = 32, LSR_TEMT = 64, LSR_FIFO_ERR = 128, LSR_ERRORS = 30 };
enum { MSR_DCTS = 1, MSR_DDSR = 2, MSR_TERI = 4, MSR_DDCD = 8, MSR_CTS = 16, MSR_DSR = 32, MSR_RI = 64, MSR_DCD = 128 };

typedef struct Fifo {
    uint8_t data[FIFO_LEN], err[FIFO_LEN];
    uint8_t head, len;
} Fifo;

typedef struct Serial {
    Device dev;
    CharDev *chr;               /* property */
    uint8_t line;               /* property: LCR after reset */
    bool ungated;               /* property: INTR does not pass through OUT2's gate */
    Fifo rx, tx;
    uint16_t divisor;
    uint8_t ier, fcr, lcr, mcr, lsr, msr, scr;
    bool thre_ipending;         /* THRE interrupt asks and was not yet seen in IIR (table II) */
    bool timeout_ipending;
    Timer *timeout;
} Serial;

static unsigned fifo_capacity(const Serial *s)
{
    return s->fcr & FCR_ENABLE ? FIFO_LEN : 1;
}

static unsigned rx_trigger(const Serial *s)
{
    static const uint8_t levels[] = { 1, 4, 8, 14 };
    return s->fcr & FCR_ENABLE ? levels[s->fcr >> 6] : 1;
}

/* ---- interrupts (8.6, table II) ---- */

static uint8_t iir(const Serial *s)
{
    if (s->ier & IER_RLS && s->lsr & LSR_ERRORS)
        return IIR_RLS;
    if (s->ier & IER_RDA && s->rx.len >= rx_trigger(s))
        return IIR_RDA;
    if (s->ier & IER_RDA && s->timeout_ipending)
        return IIR_TIMEOUT;
    if (s->ier & IER_THRE && s->thre_ipending)
        return IIR_THRE;
    if (s->ier & IER_MS && s->msr & (MSR_DCTS | MSR_DDSR | MSR_TERI | MSR_DDCD))
        return IIR_MS;
    return IIR_NONE;
}

/* On a PC, OUT2 lets INTR through to the bus; in loopback the pin is inactive. */
static void serial_update(Serial *s)
{
    irq_set(s->dev.irq[0], iir(s) != IIR_NONE && ((s->mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2 || s->ungated));
}

/* ---- receiver ---- */

static int64_t char_time_ns(const Serial *s)
{
    unsigned bits = 1 + 5 + (s->lcr & LCR_WLS) + (s->lcr & LCR_PEN ? 1 : 0) + (s->lcr & LCR_STB ? 2 : 1);
    unsigned divisor = s->divisor ? s->divisor : 1;
    return mclock_ticks_to_ns_up((uint64_t)bits * 16 * divisor, CLOCK_HZ);
}

/* FIFO mode: four character times after the last byte came or was read, with bytes below the trigger (8.7). */
static void timeout_restart(Serial *s)
{
    if (!(s->fcr & FCR_ENABLE) || !s->rx.len) {
        timer_cancel(s->timeout);
        return;
    }
    /* At most 40 ms, that of 1000 baud: slower lines exist in divisors only. */
    int64_t wait = MIN(4 * char_time_ns(s), 40 * NS_PER_MS);
    timer_arm(s->timeout, mclock_now(s->dev.clock, CLOCK_KIND_VIRTUAL) + wait);
}

static void serial_timeout(void *opaque)
{
    Serial *s = opaque;
    if (s->rx.len && s->fcr & FCR_ENABLE)
        s->timeout_ipending = true;
    serial_update(s);
}

/* The error bits in LSR are those of the byte at the top of the FIFO (8.4). */
static void rx_show_top(Serial *s)
{
    bool any = false;
    for (unsigned i = 0; i < s->rx.len; i++)
        any |= s->rx.err[(s->rx.head + i) % FIFO_LEN] != 0;
    s->lsr = (uint8_t)(s->lsr & ~(LSR_DR | LSR_FIFO_ERR));
    if (s->rx.len)
        s->lsr |= LSR_DR | s->rx.err[s->rx.head];
    if (any && s->fcr & FCR_ENABLE)
        s->lsr |= LSR_FIFO_ERR;
}

static void rx_push(Serial *s, uint8_t byte, uint8_t err)
{
    if (s->rx.len >= fifo_capacity(s)) {
        s->lsr |= LSR_OE;
        if (s->fcr & FCR_ENABLE)
            return;             /* the shift register is overwritten, the FIFO is not */
        s->rx.len = 0;          /* without FIFO the holding register is */
    }
    unsigned at = (s->rx.head + s->rx.len) % FIFO_LEN;
    s->rx.data[at] = byte;
    s->rx.err[at] = err;
    s->rx.len++;
    rx_show_top(s);
    timeout_restart(s);
}

static uint8_t rx_pop(Serial *s)
{
    uint8_t byte = s->rx.data[s->rx.head];
    if (s->rx.len) {
        s->rx.err[s->rx.head] = 0;
        s->rx.head = (s->rx.head + 1) % FIFO_LEN;
        s->rx.len--;
    }
    s->timeout_ipending = false;
    rx_show_top(s);
    timeout_restart(s);
    serial_update(s);
    chardev_accept_input(s->chr);
    return byte;
}

static void rx_clear(Serial *s)
{
    s->rx = (Fifo){ 0 };
    s->timeout_ipending = false;
    s->lsr = (uint8_t)(s->lsr & ~(LSR_DR | LSR_FIFO_ERR | LSR_BI | LSR_PE | LSR_FE));
    timer_cancel(s->timeout);
}

/* ---- transmitter ---- */

static void tx_drain(Serial *s)
{
    while (s->tx.len) {
        size_t run = MIN(s->tx.len, (size_t)FIFO_LEN - s->tx.head);
        size_t n = chardev_write(s->chr, s->tx.data + s->tx.head, run);
        n = MIN(n, run);
        s->tx.head = (uint8_t)((s->tx.head + n) % FIFO_LEN);
        s->tx.len -= (uint8_t)n;
        if (n < run)
            break;              /* serial_writable() goes on */
    }
    if (!s->tx.len && !(s->lsr & LSR_THRE)) {
        s->lsr |= LSR_THRE | LSR_TEMT;
        s->thre_ipending = true;
    }
}

static void tx_write(Serial *s, uint8_t byte)
{
    static const uint8_t width[] = { 0x1f, 0x3f, 0x7f, 0xff };
    byte &= width[s->lcr & LCR_WLS];
    s->thre_ipending = false;
    if (s->mcr & MCR_LOOP) {
        if (!(s->lcr & LCR_BREAK))
            rx_push(s, byte, 0);
        s->thre_ipending = true;
        return;
    }
    if (s->tx.len >= fifo_capacity(s)) {    /* written without looking at THRE: the newest byte replaces the last */
        s->tx.data[(s->tx.head + s->tx.len - 1) % FIFO_LEN] = byte;
        return;
    }
    s->tx.data[(s->tx.head + s->tx.len++) % FIFO_LEN] = byte;
    s->lsr = (uint8_t)(s->lsr & ~(LSR_THRE | LSR_TEMT));
    tx_drain(s);
}

/* ---- modem lines ---- */

static uint8_t modem_lines(const Serial *s)
{
    if (s->mcr & MCR_LOOP)      /* RTS, DTR, OUT1, OUT2 turn round to CTS, DSR, RI, DCD (8.8) */
        return (uint8_t)((s->mcr & MCR_RTS ? MSR_CTS : 0) | (s->mcr & MCR_DTR ? MSR_DSR : 0) | (s->mcr & MCR_OUT1 ? MSR_RI : 0) |
                         (s->mcr & MCR_OUT2 ? MSR_DCD : 0));
    /* A line without a peer takes everything, so it is always clear to send. */
    bool open = !s->chr || chardev_is_open(s->chr);
    return (uint8_t)(MSR_CTS | (open ? MSR_DSR | MSR_DCD : 0));
}

static void modem_update(Serial *s)
{
    uint8_t now = modem_lines(s), changed = (now ^ s->msr) & 0xf0;
    uint8_t delta = (uint8_t)((changed & MSR_CTS ? MSR_DCTS : 0) | (changed & MSR_DSR ? MSR_DDSR : 0) | (changed & MSR_DCD ? MSR_DDCD : 0) |
                              (changed & MSR_RI && !(now & MSR_RI) ? MSR_TERI : 0));    /* trailing edge only */
    s->msr = (uint8_t)(now | (s->msr & 15) | delta);
}

/* ---- registers ---- */

static void line_changed(Serial *s)
{
    static const char parity[] = "OEMS";
    CharLine line = {
        .baud = CLOCK_HZ / 16 / (s->divisor ? s->divisor : 1u), .data_bits = (uint8_t)(5 + (s->lcr & LCR_WLS)),
        .stop_bits = s->lcr & LCR_STB ? 2 : 1, .parity = s->lcr & LCR_PEN ? parity[s->lcr >> 4 & 3] : 'N',
    };
    chardev_set_line(s->chr, &line);
}

static void fcr_write(Serial *s, uint8_t val)
{
    /* A change of the enable bit clears both FIFOs; other bits count only with it set (8.5). */
    bool toggled = (val ^ s->fcr) & FCR_ENABLE;
    if (toggled || (val & FCR_ENABLE && val & FCR_CLEAR_RX))
        rx_clear(s);
    if (toggled || (val & FCR_ENABLE && val & FCR_CLEAR_TX)) {
        s->tx = (Fifo){ 0 };
        if (!(s->lsr & LSR_THRE))
            s->thre_ipending = true;
        s->lsr |= LSR_THRE | LSR_TEMT;
    }
    s->fcr = val & FCR_ENABLE ? val & (0xc0 | FCR_ENABLE) : 0;
    chardev_accept_input(s->chr);
}

static void lcr_write(Serial *s, uint8_t val)
{
    bool was_break = s->lcr & LCR_BREAK;
    s->lcr = val;
    if (val & LCR_BREAK && !was_break) {
        if (s->mcr & MCR_LOOP)
            rx_push(s, 0, LSR_BI | LSR_FE);
        else
            chardev_send_break(s->chr);
    }
    line_changed(s);
}

static void ier_write(Serial *s, uint8_t val)
{
    uint8_t was = s->ier;
    s->ier = val & 15;
    /* Enabling it with an empty THR interrupts at once; drivers test for that. */
    if (s->ier & IER_THRE && !(was & IER_THRE) && s->lsr & LSR_THRE)
        s->thre_ipending = true;
}

static void divisor_write(Serial *s, unsigned shift, uint8_t val)
{
    s->divisor = (uint16_t)bits_put(s->divisor, shift, 8, val);
    line_changed(s);
}

static void serial_write(void *opaque, uint64_t off, uint64_t val64, unsigned size)
{
    Serial *s = opaque;
    uint8_t val = (uint8_t)val64;
    bool dlab = s->lcr & LCR_DLAB;
    switch (off) {
    case R_DATA:
        if (dlab)
            divisor_write(s, 0, val);
        else
            tx_write(s, val);
        break;
    case R_IER:
        if (dlab)
            divisor_write(s, 8, val);
        else
            ier_write(s, val);
        break;
    case R_IIR_FCR:
        fcr_write(s, val);
        break;
    case R_LCR:
        lcr_write(s, val);
        break;
    case R_MCR:
        s->mcr = val & 31;
        modem_update(s);
        break;
    case R_SCR:
        s->scr = val;
        break;
    default:                    /* LSR and MSR: factory tests only */
        break;
    }
    serial_update(s);
}

static uint8_t iir_read(Serial *s)
{
    uint8_t id = iir(s);
    if (id == IIR_THRE)
        s->thre_ipending = false;
    return id | (s->fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

static uint8_t lsr_read(Serial *s)
{
    uint8_t val = s->lsr;
    s->lsr = (uint8_t)(s->lsr & ~LSR_ERRORS);
    if (s->rx.len)
        s->rx.err[s->rx.head] = 0;
    return val;
}

static uint64_t serial_read(void *opaque, uint64_t off, unsigned size)
{
    Serial *s = opaque;
    bool dlab = s->lcr & LCR_DLAB;
    uint8_t val;
    switch (off) {
    case R_DATA:
        return dlab ? s->divisor & 0xff : rx_pop(s);
    case R_IER:
        return dlab ? s->divisor >> 8 : s->ier;
    case R_IIR_FCR:
        val = iir_read(s);
        break;
    case R_LCR:
        return s->lcr;
    case R_MCR:
        return s->mcr;
    case R_LSR:
        val = lsr_read(s);
        break;
    case R_MSR:
        val = s->msr;
        s->msr &= 0xf0;
        break;
    default:
        return s->scr;
    }
    serial_update(s);
    return val;
}

static const MmioOps serial_ops = { .read = serial_read, .write = serial_write, .min_size = 1, .max_size = 1, .unaligned = true };

/* ---- back end ---- */

static size_t serial_can_receive(void *opaque)
{
    Serial *s = opaque;
    return s->mcr & MCR_LOOP ? 0 : fifo_capacity(s) - MIN(s->rx.len, fifo_capacity(s));
}

static void serial_receive(void *opaque, const uint8_t *buf, size_t len)
{
    Serial *s = opaque;
    for (size_t i = 0; i < len; i++)
        rx_push(s, buf[i], 0);
    serial_update(s);
}

static void serial_event(void *opaque, CharEvent ev)
{
    Serial *s = opaque;
    if (ev == CHAR_BREAK && !(s->mcr & MCR_LOOP))
        rx_push(s, 0, LSR_BI);
    modem_update(s);
    serial_update(s);
}

static void serial_writable(void *opaque)
{
    Serial *s = opaque;
    tx_drain(s);
    serial_update(s);
}

static const CharFrontOps serial_front = {
    .can_receive = serial_can_receive, .receive = serial_receive, .event = serial_event, .writable = serial_writable,
};

/* ---- life ---- */

/* Table I. The divisor survives a reset in the real part; power-on leaves it undefined: 9600 baud. */
static void serial_reset(Device *dev)
{
    Serial *s = (Serial *)dev;
    timer_cancel(s->timeout);
    s->rx = s->tx = (Fifo){ 0 };
    s->divisor = 12;
    s->ier = s->fcr = s->mcr = s->scr = 0;
    s->lcr = s->line;
    s->lsr = LSR_THRE | LSR_TEMT;
    s->thre_ipending = s->timeout_ipending = false;
    s->msr = modem_lines(s);
    serial_update(s);
}

static bool serial_realize(Device *dev, GError **err)
{
    Serial *s = (Serial *)dev;
    device_init_pio(dev, 0, "regs", &serial_ops, 8);
    device_init_irqs(dev, 1);
    s->timeout = device_timer_new(dev, serial_timeout);
    if (s->chr && !chardev_attach(s->chr, &serial_front, s, dev->lock)) {
        g_set_error(err, g_quark_from_static_string("serial"), 0, "chardev '%s' is in use by another device: give each device its own",
                    chardev_name(s->chr));
        timer_free(s->timeout);
        return false;
    }
    return true;
}

static void serial_unrealize(Device *dev)
{
    Serial *s = (Serial *)dev;
    if (s->chr)
        chardev_detach(s->chr);
    timer_free(s->timeout);
}

static bool fifo_ok(const Fifo *f)
{
    return f->head < FIFO_LEN && f->len <= FIFO_LEN;
}

static bool serial_post_load(Device *dev, unsigned version, GError **err)
{
    Serial *s = (Serial *)dev;
    if (!fifo_ok(&s->rx) || !fifo_ok(&s->tx)) {
        g_set_error(err, g_quark_from_static_string("serial"), 0, "serial port: impossible FIFO state");
        return false;
    }
    s->ier &= 15;
    s->mcr &= 31;
    tx_drain(s);
    line_changed(s);
    serial_update(s);
    return true;
}

static const PropDesc serial_props[] = {
    PROP(Serial, chr, PROP_REF, "chardev", .ref_type = "chardev", .help = "where the line goes"),
    PROP(Serial, line, PROP_U8, "line", .def = "0", .max = 0x1f, .help = "line control after reset (3: 8 bits)"),
    PROP(Serial, ungated, PROP_BOOL, "ungated", .def = "off", .help = "interrupts whatever OUT2 is, as outside of a PC"), { 0 }
};
static const FieldDesc fifo_fields[] = { FIELD_ARRAY(Fifo, data), FIELD_ARRAY(Fifo, err), FIELD(Fifo, head), FIELD(Fifo, len), { 0 } };
static const FieldDesc serial_fields[] = {
    FIELD_SUB(Serial, rx, fifo_fields), FIELD_SUB(Serial, tx, fifo_fields), FIELD(Serial, divisor), FIELD(Serial, ier), FIELD(Serial, fcr),
    FIELD(Serial, lcr), FIELD(Serial, mcr), FIELD(Serial, lsr), FIELD(Serial, msr), FIELD(Serial, scr), FIELD(Serial, thre_ipending),
    FIELD(Serial, timeout_ipending), FIELD_TIMER(Serial, timeout), { 0 }
};
static const DeviceSection serial_state[] = {
    { .name = "serial", .version = 1, .min_version = 1, .fields = serial_fields, .post_load = serial_post_load },
    { 0 }
};

const DeviceClass serial_class = {
    .name = "isa-serial", .summary = "16550A serial port", .size = sizeof(Serial), .bus = BUS_SYS, .internal = true,
    .props = serial_props, .state = serial_state, .realize = serial_realize, .reset = serial_reset, .unrealize = serial_unrealize,
};
