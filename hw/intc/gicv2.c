/* GICv2 (Arm IHI 0048B), with the Security Extensions where the machine has a Secure state: distributor, CPU interfaces. */
#include <string.h>

#include "hw/intc/gic-internal.h"
#include "util/bits.h"

enum { D_CTLR = 0x000, D_TYPER = 0x004, D_IIDR = 0x008, D_IPRIORITYR = 0x400, D_ITARGETSR = 0x800, D_ICFGR = 0xc00, D_SGIR = 0xf00, D_CPENDSGIR = 0xf10, D_SPENDSGIR = 0xf20,
       D_SGI_END = 0xf30, D_ID = 0xfd0 };
enum { C_CTLR = 0x00, C_PMR = 0x04, C_BPR = 0x08, C_IAR = 0x0c, C_EOIR = 0x10, C_RPR = 0x14, C_HPPIR = 0x18, C_ABPR = 0x1c, C_AIAR = 0x20, C_AEOIR = 0x24,
       C_AHPPIR = 0x28, C_APR0 = 0xd0, C_NSAPR0 = 0xe0, C_IIDR = 0xfc, C_DIR = 0x1000 };
/* GICC_CTLR (4.4.1) */
enum { CTLR_ENABLE = 3, CTLR_ACKCTL = 4, CTLR_FIQEN = 8, CTLR_EOIMODE = 0x200, CTLR_EOIMODE_NS = 0x400, CTLR_MASK = 0x61f | 0x1e0 };
enum { TYPER_SECURITY = 1 << 10, SGIR_NSATT = 1 << 15 };
enum { IIDR = 0x0200143b };

/* ---- distributor ---- */

static uint32_t target_read(const Gic *g, unsigned irq, unsigned self)
{
    if (g->n_cpus == 1 || irq >= GIC_INTIDS)
        return 0;               /* one CPU: RAZ/WI (4.3.12) */
    return irq < 32 ? 1u << self : g->target[irq - 32];
}

/* A Secure interrupt (group 0), and the access is not. */
static bool hidden(Gic *g, unsigned self, unsigned irq)
{
    return gic_nonsecure(g, self) && irq < GIC_INTIDS && !(gic_bank(g, self, irq / 32)->group >> irq % 32 & 1);
}

static uint8_t byte_read(Gic *g, unsigned off, unsigned self)
{
    static const uint8_t id[] = { 0x04, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x90, 0, 0, 0, 0xb4, 0, 0, 0, 0x2b, 0, 0, 0, 0, 0, 0, 0,
                                  0x0d, 0, 0, 0, 0xf0, 0, 0, 0, 0x05, 0, 0, 0, 0xb1, 0, 0, 0 };
    if (off >= D_ITARGETSR && off < D_ICFGR)
        return hidden(g, self, off - D_ITARGETSR) ? 0 : (uint8_t)target_read(g, off - D_ITARGETSR, self);
    if (off >= D_CPENDSGIR && off < D_SGI_END)
        return hidden(g, self, off & 15) ? 0 : g->cpu[self].sgi_from[off & 15];
    return off >= D_ID ? id[off - D_ID] : 0;
}

static uint32_t dist_word(Gic *g, unsigned off, unsigned self)
{
    uint32_t v = 0;
    switch (off) {
    case D_CTLR: return gic_nonsecure(g, self) ? g->ctlr >> 1 : g->ctlr;
    case D_TYPER: return (GIC_BANKS - 1) | (g->n_cpus - 1) << 5 | (g->secure ? TYPER_SECURITY : 0);
    case D_IIDR: return IIDR;
    default: break;
    }
    if (gic_bank_read(g, self, off, &v))
        return v;
    for (unsigned i = 0; i < 4; i++)
        v |= (uint32_t)byte_read(g, off + i, self) << 8 * i;
    return v;
}

static uint64_t dist_read(void *opaque, uint64_t off, unsigned size)
{
    Gic *g = opaque;
    return off < 0x1000 ? dist_word(g, (unsigned)off & ~3u, gic_self(g)) >> 8 * (off & 3) & bits_mask(8 * size) : 0;
}

static void sgi_pend(Gic *g, unsigned cpu, unsigned n, uint8_t from, bool on)
{
    GicCpu *c = &g->cpu[cpu];
    c->sgi_from[n] = on ? c->sgi_from[n] | from : c->sgi_from[n] & (uint8_t)~from;
    c->own.latch = (uint32_t)bits_put(c->own.latch, n, 1, c->sgi_from[n] != 0);
}

/* Target list, all but me, or me (4.3.15); of the Secure state: for that group only which NSATT says, of the other one: for group 1. */
static void sgi_send(Gic *g, unsigned self, uint32_t val)
{
    unsigned filter = val >> 24 & 3, mask = filter == 0 ? val >> 16 & 0xff : filter == 1 ? ~(1u << self) : filter == 2 ? 1u << self : 0;
    bool group1 = gic_nonsecure(g, self) || val & SGIR_NSATT;
    for (unsigned i = 0; i < g->n_cpus; i++)
        if (mask >> i & 1 && (!g->secure || (g->cpu[i].own.group >> (val & 15) & 1) == group1))
            sgi_pend(g, i, val & 15, (uint8_t)(1u << self), true);
}

static bool byte_write(Gic *g, unsigned off, uint8_t val, unsigned self)
{
    uint8_t cpus = val & (uint8_t)bits_mask(g->n_cpus);
    if (off >= D_ITARGETSR && off < D_ICFGR) {
        unsigned irq = off - D_ITARGETSR;
        if (irq >= 32 && irq < GIC_INTIDS && g->n_cpus > 1 && !hidden(g, self, irq))
            g->target[irq - 32] = cpus;
    } else if (off >= D_CPENDSGIR && off < D_SGI_END) {
        if (!hidden(g, self, off & 15))
            sgi_pend(g, self, off & 15, cpus, off >= D_SPENDSGIR);
    } else {
        return gic_prio_write(g, self, off, val);
    }
    return true;
}

static void dist_write(void *opaque, uint64_t off64, uint64_t val, unsigned size)
{
    Gic *g = opaque;
    unsigned off = (unsigned)off64, self = gic_self(g);
    if (off == D_CTLR)
        g->ctlr = gic_nonsecure(g, self) ? (g->ctlr & 1) | (val & 1) << 1 : (uint32_t)val & 3;
    else if (off == D_SGIR && size == 4)
        sgi_send(g, self, (uint32_t)val);
    else if (off >= D_IPRIORITYR && off < 0x1000)
        for (unsigned i = 0; i < size; i++)
            byte_write(g, off + i, (uint8_t)(val >> 8 * i), self);
    if (size == 4 && off < 0x1000)
        gic_bank_write(g, self, off, (uint32_t)val);
    gic_update(g);
}

static const MmioOps dist_ops = { .read = dist_read, .write = dist_write, .min_size = 1, .max_size = 4 };

/* ---- CPU interface ---- */

/* A group-1 interrupt is not acknowledged through GICC_IAR unless AckCtl, a group-0 one never through GICC_AIAR (4.4.4, 4.4.11). */
static uint32_t visible(const Gic *g, unsigned self, unsigned irq, unsigned group, bool alias)
{
    if (irq == GIC_SPURIOUS || ((alias || gic_nonsecure(g, self)) && !group))
        return GIC_SPURIOUS;
    if (gic_nonsecure(g, self))
        return irq;
    return group && !alias && !(g->cpu[self].ctlr & CTLR_ACKCTL) ? GIC_GROUP1_ONLY : irq;
}

static uint32_t acknowledge(Gic *g, unsigned self, bool alias)
{
    unsigned prio, group, irq = gic_deliverable(g, self, &prio, &group);
    uint32_t id = visible(g, self, irq, group, alias);
    if (id >= GIC_GROUP1_ONLY)
        return id;
    if (irq < 16) {
        unsigned from = (unsigned)__builtin_ctz(g->cpu[self].sgi_from[irq] | 0x100u) & 7;
        sgi_pend(g, self, irq, (uint8_t)(1u << from), false);
        uint32_t more = g->cpu[self].own.latch & 1u << irq;
        gic_activate(g, self, irq, prio, group);
        g->cpu[self].own.latch |= more;
        gic_update(g);
        return id | from << 10;
    }
    gic_activate(g, self, irq, prio, group);
    return id;
}

static void end_of_interrupt(Gic *g, unsigned self, uint32_t val)
{
    unsigned irq = val & 0x3ff;
    if (irq >= GIC_INTIDS)
        return;
    bool ns = gic_nonsecure(g, self);
    if (hidden(g, self, irq))
        return;
    gic_drop_priority(g, self, gic_bank(g, self, irq / 32)->group >> irq % 32 & 1);
    if (!(g->cpu[self].ctlr & (ns ? CTLR_EOIMODE_NS : CTLR_EOIMODE)))
        gic_deactivate(g, self, irq);
}

/* What the Non-secure state has under the same addresses (4.4): its half of the priorities, group 1 for both, its bits of GICC_CTLR where group 0's are. */
static uint32_t control_shown(const GicCpu *c) { return (c->ctlr >> 1 & (1 | CTLR_EOIMODE)) | (c->ctlr >> 2 & 0x60); }
static uint32_t control_meant(const GicCpu *c, uint32_t v)
{
    return (c->ctlr & ~(2u | 0x180 | CTLR_EOIMODE_NS)) | (v & 1) << 1 | (v & 0x60) << 2 | (v & CTLR_EOIMODE) << 1;
}

static bool cpu_read_ns(Gic *g, unsigned self, uint64_t off, uint64_t *ret)
{
    const GicCpu *c = &g->cpu[self];
    if (!gic_nonsecure(g, self))
        return false;
    switch (off) {
    case C_CTLR: *ret = control_shown(c); return true;
    case C_PMR: *ret = gic_prio_shown(c->pmr); return true;
    case C_BPR: *ret = gic_common_bpr(g, c) ? MIN(c->bpr[0] + 1u, 7u) : c->bpr[1]; return true;
    case C_RPR: *ret = gic_running_prio(g, self) == GIC_IDLE_PRIO ? GIC_IDLE_PRIO : gic_prio_shown(gic_running_prio(g, self)); return true;
    case C_APR0: *ret = c->apr[1] >> 16; return true;
    case C_ABPR: case C_AIAR: case C_AHPPIR: case C_NSAPR0: *ret = 0; return true;
    default: return false;
    }
}

static uint64_t cpu_read(void *opaque, uint64_t off, unsigned size)
{
    Gic *g = opaque;
    unsigned self = gic_self(g), prio, group, irq;
    const GicCpu *c = &g->cpu[self];
    uint64_t shown;
    if (cpu_read_ns(g, self, off, &shown))
        return shown;
    switch (off) {
    case C_CTLR: return c->ctlr;
    case C_PMR: return c->pmr;
    case C_BPR: return c->bpr[0];
    case C_ABPR: return c->bpr[1];
    case C_IAR: case C_AIAR: return acknowledge(g, self, off == C_AIAR);
    case C_RPR: return gic_running_prio(g, self);
    case C_HPPIR: case C_AHPPIR:
        irq = gic_best(g, self, &prio, &group);
        return visible(g, self, irq, group, off == C_AHPPIR);
    case C_APR0: return c->apr[0];
    case C_NSAPR0: return c->apr[1];
    case C_IIDR: return IIDR;
    default: return 0;
    }
}

static void control_write(GicCpu *c, uint32_t val)
{
    c->ctlr = val & CTLR_MASK;
    c->enable = val & CTLR_ENABLE;
}

/* The Secure state's form of a write of the other one. False: nothing is there. */
static bool ns_write(const Gic *g, const GicCpu *c, uint64_t *io_off, uint32_t *io)
{
    switch (*io_off) {
    case C_CTLR: *io = control_meant(c, *io); return true;
    case C_PMR: *io = gic_prio_meant(*io); return c->pmr & 0x80;
    case C_BPR: *io_off = C_ABPR; return !gic_common_bpr(g, c);
    case C_APR0: *io_off = C_NSAPR0; *io <<= 16; return true;
    case C_EOIR: case C_DIR: return true;
    default: return false;
    }
}

static void cpu_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    Gic *g = opaque;
    unsigned self = gic_self(g);
    GicCpu *c = &g->cpu[self];
    uint32_t v = (uint32_t)val;
    if (gic_nonsecure(g, self) && !ns_write(g, c, &off, &v))
        return;
    switch (off) {
    case C_CTLR: control_write(c, v); break;
    case C_PMR: c->pmr = v & GIC_PRIO_MASK; break;
    case C_BPR: c->bpr[0] = (uint8_t)MAX(v & 7, (unsigned)GIC_MIN_BPR0); break;
    case C_ABPR: c->bpr[1] = (uint8_t)MAX(v & 7, (unsigned)GIC_MIN_BPR1); break;
    case C_EOIR: case C_AEOIR: end_of_interrupt(g, self, v); break;
    case C_APR0: c->apr[0] = v; break;
    case C_NSAPR0: c->apr[1] = v; break;
    case C_DIR:
        if (c->ctlr & (gic_nonsecure(g, self) ? CTLR_EOIMODE_NS : CTLR_EOIMODE) && !hidden(g, self, v & 0x3ff))
            gic_deactivate(g, self, v & 0x3ff);
        break;
    default: break;
    }
    gic_update(g);
}

static const MmioOps cpu_ops = { .read = cpu_read, .write = cpu_write, .min_size = 4, .max_size = 4 };

/* ---- life ---- */

static bool gicv2_realize(Device *dev, GError **err)
{
    device_init_mmio(dev, 0, "dist", &dist_ops, GICD_SIZE);
    device_init_mmio(dev, 1, "cpu", &cpu_ops, GICC_SIZE);
    return gic_realize((Gic *)dev);
}

static void gicv2_reset(Device *dev)
{
    Gic *g = (Gic *)dev;
    gic_reset(g);
    for (unsigned i = 0; i < GIC_CPUS; i++)
        g->cpu[i].own.enable = 0xffff;
}

static const DeviceSection gicv2_state[] = {
    { .name = "gicv2", .version = 1, .min_version = 1, .fields = gic_fields, .post_load = gic_post_load }, { 0 }
};

const DeviceClass gicv2_class = {
    .name = "arm-gicv2", .summary = "Arm generic interrupt controller, version 2", .size = sizeof(Gic), .bus = BUS_SYS, .fabric = true, .internal = true,
    .props = gic_props, .state = gicv2_state, .realize = gicv2_realize, .reset = gicv2_reset,
};
