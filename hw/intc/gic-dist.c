/* Distributor registers of 32 interrupts each (IHI 0048B 4.3, IHI 0069H 12.9): the same layout in GICD and in a redistributor's SGI frame. */
#include "hw/intc/gic-internal.h"

enum { IGROUPR = 0x080, ISENABLER = 0x100, ICENABLER = 0x180, ISPENDR = 0x200, ICPENDR = 0x280, ISACTIVER = 0x300, ICACTIVER = 0x380, IPRIORITYR = 0x400,
       ITARGETSR = 0x800, ICFGR = 0xc00, ICFGR_END = 0xd00 };

static bool prio_place(unsigned off, unsigned *ret_bank, unsigned *ret_n)
{
    unsigned irq = off - IPRIORITYR;
    *ret_bank = irq / 32;
    *ret_n = irq % 32;
    return off >= IPRIORITYR && irq < GIC_INTIDS;
}

bool gic_prio_write(Gic *g, unsigned cpu, unsigned off, uint8_t val)
{
    unsigned bank, n;
    if (!prio_place(off, &bank, &n))
        return false;
    GicBank *b = gic_bank(g, cpu, bank);
    bool ns = gic_nonsecure(g, cpu);
    if (!ns || b->group >> n & 1)
        b->prio[n] = ns ? gic_prio_meant(val) : val & GIC_PRIO_MASK;
    return true;
}

static uint32_t prio_read(Gic *g, unsigned cpu, unsigned off)
{
    unsigned bank, n;
    uint32_t v = 0;
    bool ns = gic_nonsecure(g, cpu);
    for (unsigned i = 0; i < 4 && prio_place(off + i, &bank, &n); i++) {
        const GicBank *b = gic_bank(g, cpu, bank);
        uint8_t prio = !ns ? b->prio[n] : b->group >> n & 1 ? gic_prio_shown(b->prio[n]) : 0;
        v |= (uint32_t)prio << 8 * i;
    }
    return v;
}

/* Of a bank, what the access may see and change. */
static uint32_t seen(const Gic *g, unsigned cpu, const GicBank *b) { return gic_nonsecure(g, cpu) ? b->group : ~0u; }

/* Two bits an interrupt, the upper one: edge. */
static uint32_t config_read(const GicBank *b, unsigned half, uint32_t mask)
{
    uint32_t v = 0;
    for (unsigned i = 0; i < 16; i++)
        v |= ((b->edge & mask) >> (16 * half + i) & 1) << (2 * i + 1);
    return v;
}

static void config_write(GicBank *b, unsigned half, uint32_t val, bool sgis, uint32_t mask)
{
    if (sgis)
        return;
    for (unsigned i = 0; i < 16; i++) {
        uint32_t bit = 1u << (16 * half + i) & mask;
        b->edge = val >> (2 * i + 1) & 1 ? b->edge | bit : b->edge & ~bit;
    }
}

bool gic_bank_read(Gic *g, unsigned cpu, unsigned off, uint32_t *ret)
{
    unsigned n = off % 0x80 / 4;
    *ret = 0;
    if (off < IGROUPR || off >= ICFGR_END || (off >= ITARGETSR && off < ICFGR))
        return false;
    if (off >= ICFGR) {
        unsigned at = (off - ICFGR) / 4;
        if (at / 2 < GIC_BANKS)
            *ret = config_read(gic_bank(g, cpu, at / 2), at % 2, seen(g, cpu, gic_bank(g, cpu, at / 2)));
        return true;
    }
    if (off >= IPRIORITYR) {
        *ret = prio_read(g, cpu, off & ~3u);
        return true;
    }
    if (n >= GIC_BANKS)
        return true;
    const GicBank *b = gic_bank(g, cpu, n);
    switch (off & ~0x7fu) {
    case IGROUPR: *ret = gic_nonsecure(g, cpu) ? 0 : b->group; break;
    case ISENABLER: case ICENABLER: *ret = b->enable; break;
    case ISPENDR: case ICPENDR: *ret = gic_pending_bits(b); break;
    default: *ret = b->active; break;
    }
    *ret &= seen(g, cpu, b);
    return true;
}

/* GICv2: SGIs are always enabled and become pending by GICD_SGIR and GICD_SPENDSGIR only. */
static uint32_t writable(const Gic *g, unsigned n, uint32_t val) { return g->v3 || n ? val : val & 0xffff0000; }

bool gic_bank_write(Gic *g, unsigned cpu, unsigned off, uint32_t val)
{
    unsigned n = off % 0x80 / 4;
    if (off < IGROUPR || off >= ICFGR_END || (off >= IPRIORITYR && off < ICFGR))
        return false;
    if (off >= ICFGR) {
        unsigned at = (off - ICFGR) / 4;
        if (at / 2 < GIC_BANKS)
            config_write(gic_bank(g, cpu, at / 2), at % 2, val, at == 0, seen(g, cpu, gic_bank(g, cpu, at / 2)));
        gic_update(g);
        return true;
    }
    if (n >= GIC_BANKS)
        return true;
    GicBank *b = gic_bank(g, cpu, n);
    val &= seen(g, cpu, b);
    switch (off & ~0x7fu) {
    case IGROUPR: b->group = gic_nonsecure(g, cpu) ? b->group : val; break;
    case ISENABLER: b->enable |= writable(g, n, val); break;
    case ICENABLER: b->enable &= ~writable(g, n, val); break;
    case ISPENDR: b->latch |= writable(g, n, val); break;
    case ICPENDR: b->latch &= ~writable(g, n, val); break;
    case ISACTIVER: b->active |= val; break;
    default: b->active &= ~val; break;
    }
    gic_update(g);
    return true;
}
