/* LPIs of the GICv3 (Arm IHI 0069H 5.1, 12.11): what a redistributor keeps of them, and the guest's configuration and pending tables. */
#include <string.h>

#include "hw/intc/gic-internal.h"
#include "util/bits.h"

enum { R_CTLR = 0x00, R_PROPBASER = 0x70, R_PENDBASER = 0x78, CTLR_ENABLE = 1, CTLR_CES = 2, CONF_ENABLE = 1, CONF_PRIO = 0xfc };
/* Address, memory attributes that say nothing here, and PROPBASER's number of ID bits; PENDBASER.PTZ: the table is all zero (reads 0). */
#define PROPBASER_BITS 0x070fffffffffff9full
#define PENDBASER_BITS 0x470fffffffff0f80ull
#define PENDBASER_PTZ (1ull << 62)
#define TABLE_4K 0x000ffffffffff000ull
#define TABLE_64K 0x000fffffffff0000ull

static AddressSpace *memory(Gic *g) { return g->dev.dma; }

/* LPIs that the guest's tables have room for. */
static unsigned count(const GicLpiCpu *c)
{
    unsigned bits = MIN((unsigned)(c->propbase & 31) + 1, (unsigned)GIC_ID_BITS);
    return c->on && bits > 13 ? (1u << bits) - GIC_LPI_FIRST : 0;
}

/* ---- pending ---- */

/* What changed at one LPI can only make the best known one worse: look at all again. */
static void set_pending(GicLpiCpu *c, unsigned n, bool on)
{
    uint64_t *w = &c->pending[n / 64];
    *w = on ? *w | 1ull << n % 64 : *w & ~(1ull << n % 64);
    c->some[n / 4096] = bits_put(c->some[n / 4096], n / 64 % 64, 1, *w != 0);
    c->stale = true;
}

static bool is_pending(const GicLpiCpu *c, unsigned n) { return c->pending[n / 64] >> n % 64 & 1; }

static void summarize(GicLpiCpu *c)
{
    memset(c->some, 0, sizeof(c->some));
    for (unsigned i = 0; i < GIC_LPI_WORDS; i++)
        c->some[i / 64] |= (uint64_t)(c->pending[i] != 0) << i % 64;
    c->stale = true;
}

static void best_of_word(const GicLpis *l, GicLpiCpu *c, unsigned word)
{
    for (uint64_t m = c->pending[word]; m; m &= m - 1) {
        unsigned n = 64 * word + (unsigned)__builtin_ctzll(m), prio = l->conf[n] & CONF_PRIO;
        if (!(l->conf[n] & CONF_ENABLE) || prio >= c->best_prio)
            continue;
        c->best = GIC_LPI_FIRST + n;
        c->best_prio = prio;
    }
}

unsigned gic_lpi_best(Gic *g, unsigned cpu, unsigned *ret_prio)
{
    GicLpiCpu *c = &g->lpis->cpu[cpu];
    if (c->stale) {
        c->stale = false;
        c->best = GIC_SPURIOUS;
        c->best_prio = 0x100;
        for (unsigned i = 0; c->on && i < ARRAY_LEN(c->some); i++)
            for (uint64_t m = c->some[i]; m; m &= m - 1)
                best_of_word(g->lpis, c, 64 * i + (unsigned)__builtin_ctzll(m));
    }
    *ret_prio = c->best_prio;
    return c->best;
}

static bool known(const GicLpiCpu *c, uint32_t irq) { return irq >= GIC_LPI_FIRST && irq - GIC_LPI_FIRST < count(c); }

/* The configuration may be kept from before, but need not (5.1.1): what the guest's table says now. */
void gic_lpi_pend(Gic *g, unsigned cpu, uint32_t irq)
{
    GicLpiCpu *c = &g->lpis->cpu[cpu];
    if (!known(c, irq))
        return;
    gic_lpi_inv(g, cpu, irq);
    set_pending(c, irq - GIC_LPI_FIRST, true);
}

void gic_lpi_clear(Gic *g, unsigned cpu, uint32_t irq)
{
    GicLpiCpu *c = &g->lpis->cpu[cpu];
    if (known(c, irq))
        set_pending(c, irq - GIC_LPI_FIRST, false);
}

void gic_lpi_move(Gic *g, unsigned from, unsigned to, uint32_t irq)
{
    GicLpiCpu *c = &g->lpis->cpu[from];
    if (from == to || !known(c, irq) || !is_pending(c, irq - GIC_LPI_FIRST))
        return;
    gic_lpi_clear(g, from, irq);
    gic_lpi_pend(g, to, irq);
}

/* @to without LPIs, or with fewer of them: those are lost, as if they came now. */
void gic_lpi_move_all(Gic *g, unsigned from, unsigned to)
{
    GicLpiCpu *a = &g->lpis->cpu[from], *b = &g->lpis->cpu[to];
    if (from == to)
        return;
    for (unsigned i = 0; i < count(b) / 64; i++)
        b->pending[i] |= a->pending[i];
    memset(a->pending, 0, sizeof(a->pending));
    summarize(a);
    summarize(b);
}

/* ---- the guest's tables ---- */

static void all_stale(Gic *g)
{
    for (unsigned i = 0; i < GIC_CPUS; i++)
        g->lpis->cpu[i].stale = true;
}

/* A table that is not in memory enables none. */
void gic_lpi_inv(Gic *g, unsigned cpu, uint32_t irq)
{
    GicLpiCpu *c = &g->lpis->cpu[cpu];
    uint64_t conf = 0;
    if (!known(c, irq))
        return;
    if (as_dma_load(memory(g), (c->propbase & TABLE_4K) + irq - GIC_LPI_FIRST, 1, &conf) != MEM_OK)
        device_guest_error(&g->dev, "the LPI configuration table is not in memory");
    g->lpis->conf[irq - GIC_LPI_FIRST] = (uint8_t)conf;
    all_stale(g);
}

void gic_lpi_inv_all(Gic *g, unsigned cpu)
{
    GicLpiCpu *c = &g->lpis->cpu[cpu];
    if (count(c) && as_dma_read(memory(g), c->propbase & TABLE_4K, g->lpis->conf, count(c)) != MEM_OK) {
        device_guest_error(&g->dev, "the LPI configuration table is not in memory");
        memset(g->lpis->conf, 0, sizeof(g->lpis->conf));
    }
    all_stale(g);
}

/* The pending table has a bit for each interrupt from 0 on; a redistributor that is on keeps them itself (5.1.2). */
static void pending_table(Gic *g, GicLpiCpu *c, bool save)
{
    uint8_t bytes[GIC_LPIS / 8];
    uint64_t at = (c->pendbase & TABLE_64K) + GIC_LPI_FIRST / 8;
    unsigned len = count(c) / 8;
    for (unsigned i = 0; save && i < len / 8; i++)
        store_le64(bytes + 8 * i, c->pending[i]);
    if (!save)
        memset(c->pending, 0, sizeof(c->pending));
    if ((save ? as_dma_write(memory(g), at, bytes, len) : as_dma_read(memory(g), at, bytes, len)) != MEM_OK)
        device_guest_error(&g->dev, "the LPI pending table is not in memory");
    else
        for (unsigned i = 0; !save && i < len / 8; i++)
            c->pending[i] = load_le64(bytes + 8 * i);
    if (save)
        memset(c->pending, 0, sizeof(c->pending));
}

static void enable(Gic *g, unsigned cpu, bool on)
{
    GicLpiCpu *c = &g->lpis->cpu[cpu];
    if (on == c->on)
        return;
    c->on = true;
    if (on)
        gic_lpi_inv_all(g, cpu);
    if (!on || !(c->pendbase & PENDBASER_PTZ))
        pending_table(g, c, !on);
    c->on = on;
    c->pendbase &= ~PENDBASER_PTZ;
    summarize(c);
}

/* ---- registers ---- */

bool gic_lpi_read(Gic *g, unsigned cpu, unsigned off, uint32_t *ret)
{
    const GicLpiCpu *c = &g->lpis->cpu[cpu];
    switch (off) {
    case R_CTLR: *ret = CTLR_CES | (c->on ? CTLR_ENABLE : 0); return true;
    case R_PROPBASER: case R_PROPBASER + 4: *ret = (uint32_t)(c->propbase >> 8 * (off & 4)); return true;
    case R_PENDBASER: case R_PENDBASER + 4: *ret = (uint32_t)((c->pendbase & ~PENDBASER_PTZ) >> 8 * (off & 4)); return true;
    default: return false;
    }
}

/* The tables' places are fixed while LPIs are on. */
bool gic_lpi_write(Gic *g, unsigned cpu, unsigned off, uint32_t val)
{
    GicLpiCpu *c = &g->lpis->cpu[cpu];
    switch (off) {
    case R_CTLR:
        enable(g, cpu, val & CTLR_ENABLE);
        return true;
    case R_PROPBASER: case R_PROPBASER + 4:
        if (!c->on)
            c->propbase = bits_put(c->propbase, 8 * (off & 4), 32, val) & PROPBASER_BITS;
        return true;
    case R_PENDBASER: case R_PENDBASER + 4:
        if (!c->on)
            c->pendbase = bits_put(c->pendbase, 8 * (off & 4), 32, val) & PENDBASER_BITS;
        return true;
    default:
        return false;
    }
}

/* ---- life ---- */

void gic_lpi_reset(Gic *g)
{
    *g->lpis = (GicLpis){ 0 };
    all_stale(g);
}

void gic_lpi_loaded(Gic *g)
{
    for (unsigned i = 0; i < GIC_CPUS; i++) {
        GicLpiCpu *c = &g->lpis->cpu[i];
        c->propbase &= PROPBASER_BITS;
        c->pendbase &= PENDBASER_BITS;
        memset(c->pending + count(c) / 64, 0, sizeof(c->pending) - count(c) / 8);
        summarize(c);
    }
    gic_update(g);
}

static const FieldDesc cpu_fields[] = {
    FIELD(GicLpiCpu, on), FIELD(GicLpiCpu, propbase), FIELD(GicLpiCpu, pendbase), FIELD_ARRAY(GicLpiCpu, pending), { 0 }
};
const FieldDesc gic_lpi_fields[] = { FIELD_RAW(GicLpis, conf), FIELD_SUB_ARRAY(GicLpis, cpu, cpu_fields), { 0 } };
