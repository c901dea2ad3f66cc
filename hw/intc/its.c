/*
 * Interrupt translation service of the GICv3 (Arm IHI 0069H 5.2, 5.3, 12.19): device and event to an LPI and a collection, collection to a redistributor.
 * Its tables are in guest memory and nowhere else; what an entry says is checked whenever it is read. No virtual LPIs.
 */
#include "hw/intc/gic-internal.h"
#include "util/bits.h"

enum { CTLR = 0x0000, IIDR = 0x0004, TYPER = 0x0008, CBASER = 0x0080, CWRITER = 0x0088, CREADR = 0x0090, BASER = 0x0100, ID = 0xffd0, FRAME = 0x10000 };
enum { CTLR_ENABLED = 1, ENTRY = 8, COMMAND = 32, DEV_BITS = 16, EVENT_BITS = 16, STALLED = 1, RETRY = 1 };
enum { DEVICES, COLLECTIONS, TABLES };
#define CTLR_QUIESCENT (1u << 31)
#define VALID (1ull << 63)
#define INDIRECT (1ull << 62)
#define CBASER_BITS 0xb8effffffffffcffull
#define QUEUE_BITS 0xfffe0ull
#define BASER_BITS 0xf8e0ffffffffffffull
#define TABLE_4K 0x000ffffffffff000ull
#define ITT_BITS 0x000fffffffffff00ull

typedef struct Its {
    Device dev;
    Gic *gic;
    uint32_t ctlr;
    uint64_t cbaser, cwriter, creadr, baser[TABLES];
    uint32_t invall;            /* while commands run: CPUs whose LPIs are all to be looked up again, once, at the end */
} Its;

/* ---- tables; formats of entries are ours (5.2): 8 bytes, bit 63 valid ---- */

static bool load(Its *s, uint64_t at, uint64_t *ret) { return as_dma_load(s->dev.dma, at, ENTRY, ret) == MEM_OK; }

static void store(Its *s, uint64_t at, uint64_t val)
{
    if (as_dma_store(s->dev.dma, at, ENTRY, val) != MEM_OK)
        device_guest_error(&s->dev, "a table is not in memory");
}

static uint64_t page_bytes(uint64_t baser) { return 0x1000ull << 2 * MIN(baser >> 8 & 3, 2u); }

/* Pages of 64 KiB: address bits 51:48 stand in 15:12 (12.19.1). */
static uint64_t table_base(uint64_t baser)
{
    uint64_t page = page_bytes(baser), at = baser & 0x0000fffffffff000ull & ~(page - 1);
    return page == 0x10000 ? at | (baser >> 12 & 15) << 48 : at;
}

/* Flat, or a first level of pages. */
static bool entry_at(Its *s, unsigned table, uint32_t n, uint64_t *ret)
{
    uint64_t b = s->baser[table], page = page_bytes(b), room = ((b & 0xff) + 1) * page / ENTRY, first;
    unsigned per = (unsigned)(page / ENTRY);
    if (!(b & VALID) || n >> DEV_BITS)
        return false;
    *ret = table_base(b) + (uint64_t)n * ENTRY;
    if (!(b & INDIRECT))
        return n < room;
    if (n / per >= room || !load(s, table_base(b) + n / per * ENTRY, &first) || !(first & VALID))
        return false;
    *ret = (first & TABLE_4K & ~(page - 1)) + n % per * ENTRY;
    return true;
}

/* Device: table of its events 51:8, bits of their numbers less one 4:0. */
static bool event_at(Its *s, uint32_t dev, uint32_t event, uint64_t *ret)
{
    uint64_t at, e;
    if (!entry_at(s, DEVICES, dev, &at) || !load(s, at, &e) || !(e & VALID) || event >> EVENT_BITS || (uint64_t)event >> ((e & 31) + 1))
        return false;
    *ret = (e & ITT_BITS) + (uint64_t)event * ENTRY;
    return true;
}

/* Collection: number of the CPU 15:0. */
static bool collection(Its *s, uint32_t n, unsigned *ret_cpu)
{
    uint64_t at, e;
    if (!entry_at(s, COLLECTIONS, n, &at) || !load(s, at, &e) || !(e & VALID) || (e & 0xffff) >= s->gic->n_cpus)
        return false;
    *ret_cpu = e & 0xffff;
    return true;
}

/* Event: collection 15:0, interrupt 47:16. */
typedef struct Event { uint64_t at; uint32_t irq; unsigned cpu; } Event;

static bool translate(Its *s, uint32_t dev, uint32_t event, Event *ret)
{
    uint64_t e;
    if (!event_at(s, dev, event, &ret->at) || !load(s, ret->at, &e) || !(e & VALID))
        return false;
    ret->irq = (uint32_t)(e >> 16);
    return collection(s, e & 0xffff, &ret->cpu);
}

void its_msi(Device *dev, uint32_t from, uint32_t event)
{
    Its *s = (Its *)dev;
    Event e;
    if (!devlock_enter(dev->lock))
        return;
    if (s->ctlr & CTLR_ENABLED && translate(s, from, event, &e)) {
        gic_lpi_pend(s->gic, e.cpu, e.irq);
        gic_update(s->gic);
    }
    devlock_leave(dev->lock);
}

/* ---- commands (5.3.2 on): 32 bytes. What is wrong in one leaves it out, as 5.3.1 allows. ---- */

typedef struct Command { uint64_t w[4]; } Command;
typedef bool CommandFn(Its *s, const Command *c);

static uint32_t device_of(const Command *c) { return (uint32_t)(c->w[0] >> 32); }
static uint32_t event_of(const Command *c) { return (uint32_t)c->w[1]; }
static uint32_t collection_of(const Command *c) { return c->w[2] & 0xffff; }
/* RDbase: GITS_TYPER.PTA is 0, a processor's number. */
static uint64_t cpu_in(uint64_t word) { return word >> 16 & 0x7ffffffff; }

static bool mapd(Its *s, const Command *c)
{
    uint64_t at;
    if (!entry_at(s, DEVICES, device_of(c), &at) || (c->w[1] & 31) >= EVENT_BITS)
        return false;
    store(s, at, c->w[2] & VALID ? VALID | (c->w[2] & ITT_BITS) | (c->w[1] & 31) : 0);
    return true;
}

static bool mapc(Its *s, const Command *c)
{
    uint64_t at, cpu = cpu_in(c->w[2]), on = c->w[2] & VALID;
    if (!entry_at(s, COLLECTIONS, collection_of(c), &at) || (on && cpu >= s->gic->n_cpus))
        return false;
    store(s, at, on ? VALID | cpu : 0);
    return true;
}

static bool map_event(Its *s, const Command *c, uint32_t irq)
{
    uint64_t at;
    if (!gic_is_lpi(irq) || !event_at(s, device_of(c), event_of(c), &at))
        return false;
    store(s, at, VALID | (uint64_t)irq << 16 | collection_of(c));
    return true;
}

static bool mapti(Its *s, const Command *c) { return map_event(s, c, (uint32_t)(c->w[1] >> 32)); }
static bool mapi(Its *s, const Command *c) { return map_event(s, c, event_of(c)); }

static bool movi(Its *s, const Command *c)
{
    Event e;
    unsigned to;
    if (!translate(s, device_of(c), event_of(c), &e) || !collection(s, collection_of(c), &to))
        return false;
    store(s, e.at, VALID | (uint64_t)e.irq << 16 | collection_of(c));
    gic_lpi_move(s->gic, e.cpu, to, e.irq);
    return true;
}

static bool movall(Its *s, const Command *c)
{
    uint64_t from = cpu_in(c->w[2]), to = cpu_in(c->w[3]);
    if (from >= s->gic->n_cpus || to >= s->gic->n_cpus)
        return false;
    gic_lpi_move_all(s->gic, (unsigned)from, (unsigned)to);
    return true;
}

static bool discard(Its *s, const Command *c)
{
    Event e;
    if (!translate(s, device_of(c), event_of(c), &e))
        return false;
    gic_lpi_clear(s->gic, e.cpu, e.irq);
    store(s, e.at, 0);
    return true;
}

static bool one_event(Its *s, const Command *c, void (*fn)(Gic *g, unsigned cpu, uint32_t irq))
{
    Event e;
    if (!translate(s, device_of(c), event_of(c), &e))
        return false;
    fn(s->gic, e.cpu, e.irq);
    return true;
}

static bool pend(Its *s, const Command *c) { return one_event(s, c, gic_lpi_pend); }
static bool clear(Its *s, const Command *c) { return one_event(s, c, gic_lpi_clear); }
static bool inv(Its *s, const Command *c) { return one_event(s, c, gic_lpi_inv); }

static bool invall(Its *s, const Command *c)
{
    unsigned cpu;
    if (!collection(s, collection_of(c), &cpu))
        return false;
    s->invall |= 1u << cpu;
    return true;
}

/* Every command is complete when the next is looked at. */
static bool synchronize(Its *s, const Command *c) { return true; }

static CommandFn *const commands[] = {
    [0x01] = movi, [0x03] = pend, [0x04] = clear, [0x05] = synchronize, [0x08] = mapd, [0x09] = mapc, [0x0a] = mapti, [0x0b] = mapi,
    [0x0c] = inv, [0x0d] = invall, [0x0e] = movall, [0x0f] = discard,
};

/* A step nearer to CWRITER each time; at most 32,768, what the largest queue holds. One that cannot be read stalls the queue until software retries. */
static void run(Its *s)
{
    uint64_t bytes = ((s->cbaser & 0xff) + 1) * 0x1000;
    if (!(s->ctlr & CTLR_ENABLED) || !(s->cbaser & VALID) || s->creadr & STALLED || s->cwriter >= bytes || s->creadr >= bytes)
        return;
    for (; s->creadr != s->cwriter; s->creadr = (s->creadr + COMMAND) % bytes) {
        uint8_t raw[COMMAND];
        Command c;
        if (as_dma_read(s->dev.dma, (s->cbaser & TABLE_4K) + s->creadr, raw, sizeof(raw)) != MEM_OK) {
            device_guest_error(&s->dev, "the command queue is not in memory");
            s->creadr |= STALLED;
            break;
        }
        for (unsigned i = 0; i < ARRAY_LEN(c.w); i++)
            c.w[i] = load_le64(raw + 8 * i);
        unsigned op = c.w[0] & 0xff;
        if (op >= ARRAY_LEN(commands) || !commands[op] || !commands[op](s, &c))
            device_guest_error(&s->dev, "command 0x%x (device 0x%x, event 0x%x, collection 0x%x) is left out", op, device_of(&c), event_of(&c),
                               collection_of(&c));
    }
    for (; s->invall; s->invall &= s->invall - 1)
        gic_lpi_inv_all(s->gic, (unsigned)__builtin_ctz(s->invall));
    gic_update(s->gic);
}

/* ---- registers (12.19) ---- */

/* Physical LPIs, entries of 8 bytes, collections of 16 bits in memory. */
static const uint64_t typer = 1 | (ENTRY - 1) << 4 | (EVENT_BITS - 1) << 8 | (DEV_BITS - 1) << 13;

static uint64_t baser_read(const Its *s, unsigned n)
{
    static const uint8_t type[TABLES] = { [DEVICES] = 1, [COLLECTIONS] = 4 };
    return n < TABLES ? s->baser[n] | (uint64_t)type[n] << 56 | (uint64_t)(ENTRY - 1) << 48 : 0;
}

static uint64_t reg_read(const Its *s, unsigned off)
{
    static const uint8_t id[] = { 0x44, 0, 0, 0, 0x94, 0xb4, 0x3b, 0, 0x0d, 0xf0, 0x05, 0xb1 };
    if (off >= BASER && off < BASER + 8 * 8)
        return baser_read(s, (off - BASER) / 8);
    if (off >= ID && off < FRAME)
        return id[(off - ID) / 4 & ~1u] | (uint64_t)id[(off - ID) / 4 | 1] << 32;
    switch (off) {
    case CTLR: return s->ctlr | (s->ctlr & CTLR_ENABLED ? 0 : CTLR_QUIESCENT) | 0x43bull << 32;
    case TYPER: return typer;
    case CBASER: return s->cbaser;
    case CWRITER: return s->cwriter;
    case CREADR: return s->creadr;
    default: return 0;
    }
}

static uint64_t its_read(void *opaque, uint64_t off, unsigned size)
{
    return off < FRAME ? reg_read(opaque, (unsigned)off & ~7u) >> 8 * (off & 4) & bits_mask(8 * size) : 0;
}

/* Where the queue and the tables are is fixed while it is enabled. */
static void base_write(Its *s, unsigned off, uint64_t val)
{
    if (s->ctlr & CTLR_ENABLED)
        return;
    if (off == CBASER) {
        s->cbaser = val & CBASER_BITS;
        s->creadr = 0;
    } else if (off >= BASER && off < BASER + 8 * TABLES) {
        s->baser[(off - BASER) / 8] = val & BASER_BITS;
    }
}

static void its_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    Its *s = opaque;
    unsigned reg = (unsigned)off & ~7u;
    if (off >= FRAME)
        return;                 /* a CPU has no device number */
    val = bits_put(reg_read(s, reg), 8 * (off & 4), 8 * size, val);
    switch (reg) {
    case CTLR: s->ctlr = val & CTLR_ENABLED; break;
    case CWRITER:
        s->cwriter = val & QUEUE_BITS;
        if (val & RETRY)
            s->creadr &= QUEUE_BITS;
        break;
    default: base_write(s, reg, val); return;
    }
    run(s);
}

static const MmioOps its_ops = { .read = its_read, .write = its_write, .min_size = 4, .max_size = 8 };

/* ---- life ---- */

void its_setup(Device *dev, Device *gicv3) { ((Its *)dev)->gic = (Gic *)gicv3; }

static bool its_realize(Device *dev, GError **err)
{
    Its *s = (Its *)dev;
    if (!s->gic || !s->gic->lpis) {
        g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, "needs a GICv3 with LPIs");
        return false;
    }
    device_init_mmio(dev, 0, "its", &its_ops, ITS_SIZE);
    return true;
}

static void its_reset(Device *dev)
{
    Its *s = (Its *)dev;
    s->ctlr = 0;
    s->cbaser = s->cwriter = s->creadr = s->baser[DEVICES] = s->baser[COLLECTIONS] = 0;
}

static bool its_post_load(Device *dev, unsigned version, GError **err)
{
    Its *s = (Its *)dev;
    s->ctlr &= CTLR_ENABLED;
    s->cbaser &= CBASER_BITS;
    s->cwriter &= QUEUE_BITS;
    s->creadr &= QUEUE_BITS | STALLED;
    for (unsigned i = 0; i < TABLES; i++)
        s->baser[i] &= BASER_BITS;
    return true;
}

static const FieldDesc its_fields[] = {
    FIELD(Its, ctlr), FIELD(Its, cbaser), FIELD(Its, cwriter), FIELD(Its, creadr), FIELD_ARRAY(Its, baser), { 0 }
};
static const DeviceSection its_state[] = {
    { .name = "its", .version = 1, .min_version = 1, .fields = its_fields, .post_load = its_post_load }, { 0 }
};

const DeviceClass its_class = {
    .name = "arm-its", .summary = "interrupt translation service of the GICv3", .size = sizeof(Its), .bus = BUS_SYS, .fabric = true, .internal = true,
    .state = its_state, .realize = its_realize, .reset = its_reset,
};
