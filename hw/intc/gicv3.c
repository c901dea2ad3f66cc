/* GICv3 with one security state and affinity routing (Arm IHI 0069H; GICD_CTLR.DS and ARE are 1): distributor, redistributors, CPU interface. */
#include <string.h>

#include "cpu/aarch64/sysreg.h"
#include "hw/intc/gic-internal.h"
#include "util/bits.h"

enum { D_CTLR = 0x0000, D_TYPER = 0x0004, D_IIDR = 0x0008, D_TYPER2 = 0x000c, D_IPRIORITYR = 0x0400, D_ITARGETSR = 0x0800, D_IROUTER = 0x6000, D_ID = 0xffd0 };
enum { R_CTLR = 0x00, R_IIDR = 0x04, R_TYPER = 0x08, R_WAKER = 0x14, SGI_FRAME = 0x10000 };
enum { DCTLR_GROUPS = 3, DCTLR_ARE = 0x10, DCTLR_DS = 0x40, WAKER_SLEEP = 2, WAKER_CHILDREN = 4, TYPER_LPIS = 1 << 17, TYPER_A3V = 1 << 24, TYPER_NO1N = 1 << 25,
       TYPER_NO_LPI_IDBITS = 9, IIDR = 0x43b, TYPER_LAST = 0x10, TYPER_PLPIS = 1 };
#define IROUTER_IRM (1ull << 31)

static uint8_t id_byte(unsigned off)
{
    static const uint8_t id[] = { 0x44, 0, 0, 0, 0x92, 0xb4, 0x3b, 0, 0x0d, 0xf0, 0x05, 0xb1 };
    return off % 4 ? 0 : id[(off - D_ID) / 4];
}

/* ---- distributor (12.9) ---- */

/* Any CPU (IRM): the first one. Affinity 0 is the CPU's number; no such CPU: nowhere. */
static void route(Gic *g, unsigned spi, uint64_t val)
{
    g->router[spi] = val & (0xff00ffffffull | IROUTER_IRM);
    uint64_t aff = g->router[spi] & 0xff00ffffffull;
    g->target[spi] = val & IROUTER_IRM ? 1 : aff < g->n_cpus ? (uint8_t)(1u << aff) : 0;
}

static uint32_t dist_word(Gic *g, unsigned off)
{
    uint32_t v = 0;
    switch (off) {
    case D_CTLR: return g->ctlr | DCTLR_ARE | DCTLR_DS;
    case D_TYPER: return (GIC_BANKS - 1) | (g->lpis ? TYPER_LPIS | (GIC_ID_BITS - 1) << 19 : TYPER_NO_LPI_IDBITS << 19) | TYPER_A3V | TYPER_NO1N;
    case D_IIDR: return IIDR;
    default: break;
    }
    if (off >= D_IROUTER + 8 * 32 && off < D_IROUTER + 8 * GIC_INTIDS)
        return (uint32_t)(g->router[(off - D_IROUTER) / 8 - 32] >> 8 * (off & 4));
    if (off >= D_ID)
        return id_byte(off);
    /* the private interrupts' registers are in the redistributors */
    if (off % 0x80 < 4 && off < D_IPRIORITYR)
        return 0;
    if ((off >= D_IPRIORITYR && off < D_IPRIORITYR + 32) || off == 0xc00 || off == 0xc04)
        return 0;
    gic_bank_read(g, 0, off, &v);
    return v;
}

static uint64_t dist_read(void *opaque, uint64_t off, unsigned size)
{
    Gic *g = opaque;
    uint64_t v = dist_word(g, (unsigned)off & ~3u) >> 8 * (off & 3);
    return size == 8 ? v | (uint64_t)dist_word(g, (unsigned)off + 4) << 32 : v & bits_mask(8 * size);
}

static void dist_word_write(Gic *g, unsigned off, uint32_t val)
{
    if (off == D_CTLR)
        g->ctlr = val & DCTLR_GROUPS;
    else if (off >= D_IROUTER + 8 * 32 && off < D_IROUTER + 8 * GIC_INTIDS)
        route(g, (off - D_IROUTER) / 8 - 32, bits_put(g->router[(off - D_IROUTER) / 8 - 32], 8 * (off & 4), 32, val));
    else if (!(off % 0x80 < 4 && off < D_IPRIORITYR) && off != 0xc00 && off != 0xc04)
        gic_bank_write(g, 0, off, val);
}

static bool in_priorities(uint64_t off, unsigned first) { return off >= D_IPRIORITYR + first && off < D_ITARGETSR; }

static void dist_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    Gic *g = opaque;
    if (in_priorities(off, 32)) {
        for (unsigned i = 0; i < size; i++)
            gic_prio_write(g, 0, (unsigned)off + i, (uint8_t)(val >> 8 * i));
    } else if (size >= 4) {
        dist_word_write(g, (unsigned)off, (uint32_t)val);
        if (size == 8)
            dist_word_write(g, (unsigned)off + 4, (uint32_t)(val >> 32));
    }
    gic_update(g);
}

static const MmioOps dist_ops = { .read = dist_read, .write = dist_write, .min_size = 1, .max_size = 8 };

/* ---- redistributors (12.11): two frames of 64 KiB for each CPU ---- */

static uint64_t typer(const Gic *g, unsigned cpu) { return (uint64_t)cpu << 32 | cpu << 8 | (cpu + 1 == g->n_cpus ? TYPER_LAST : 0) | (g->lpis ? TYPER_PLPIS : 0); }

static uint32_t redist_word(Gic *g, unsigned cpu, unsigned off)
{
    uint32_t v = 0;
    if (off >= SGI_FRAME) {
        off -= SGI_FRAME;
        bool own = off < D_IPRIORITYR ? off % 0x80 < 4 : off < D_IPRIORITYR + 32 || off == 0xc00 || off == 0xc04;
        if (own)
            gic_bank_read(g, cpu, off, &v);
        return off >= D_ID ? id_byte(off) : v;
    }
    if (g->lpis && gic_lpi_read(g, cpu, off, &v))
        return v;
    switch (off) {
    case R_IIDR: return IIDR;
    case R_TYPER: return (uint32_t)typer(g, cpu);
    case R_TYPER + 4: return (uint32_t)(typer(g, cpu) >> 32);
    case R_WAKER: return g->cpu[cpu].asleep ? WAKER_SLEEP | WAKER_CHILDREN : 0;
    default: return off >= D_ID ? id_byte(off) : 0;
    }
}

static uint64_t redist_read(void *opaque, uint64_t off, unsigned size)
{
    Gic *g = opaque;
    unsigned cpu = (unsigned)(off / GICR_STRIDE), at = (unsigned)(off % GICR_STRIDE);
    uint64_t v = redist_word(g, cpu, at & ~3u) >> 8 * (at & 3);
    return size == 8 ? v | (uint64_t)redist_word(g, cpu, at + 4) << 32 : v & bits_mask(8 * size);
}

static void redist_word_write(Gic *g, unsigned cpu, unsigned off, uint32_t val)
{
    if (off == R_WAKER) {
        g->cpu[cpu].asleep = val & WAKER_SLEEP;
    } else if (off >= SGI_FRAME) {
        off -= SGI_FRAME;
        if (off < D_IPRIORITYR ? off % 0x80 < 4 : off == 0xc00 || off == 0xc04)
            gic_bank_write(g, cpu, off, val);
    } else if (g->lpis) {
        gic_lpi_write(g, cpu, off, val);
    }
}

static void redist_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    Gic *g = opaque;
    unsigned cpu = (unsigned)(off / GICR_STRIDE), at = (unsigned)(off % GICR_STRIDE);
    if (at >= SGI_FRAME && in_priorities(at - SGI_FRAME, 0)) {
        for (unsigned i = 0; i < size && at - SGI_FRAME + i < D_IPRIORITYR + 32; i++)
            gic_prio_write(g, cpu, at - SGI_FRAME + i, (uint8_t)(val >> 8 * i));
    } else if (size >= 4) {
        redist_word_write(g, cpu, at, (uint32_t)val);
        if (size == 8)
            redist_word_write(g, cpu, at + 4, (uint32_t)(val >> 32));
    }
    gic_update(g);
}

static const MmioOps redist_ops = { .read = redist_read, .write = redist_write, .min_size = 1, .max_size = 8 };

/* ---- CPU interface (12.2) ---- */

static uint64_t acknowledge(Gic *g, unsigned cpu, unsigned group)
{
    unsigned prio, of, irq = gic_deliverable(g, cpu, &prio, &of);
    if (irq == GIC_SPURIOUS || of != group)
        return GIC_SPURIOUS;
    gic_activate(g, cpu, irq, prio, group);
    return irq;
}

static uint64_t highest(Gic *g, unsigned cpu, unsigned group)
{
    unsigned prio, of, irq = gic_best(g, cpu, &prio, &of);
    return irq != GIC_SPURIOUS && of == group ? irq : GIC_SPURIOUS;
}

static void end_of_interrupt(Gic *g, unsigned cpu, unsigned group, uint64_t val)
{
    unsigned irq = val & 0xffffff;
    if (irq >= GIC_INTIDS && !(g->lpis && gic_is_lpi(irq)))
        return;
    gic_drop_priority(g, cpu, group);
    if (!(g->cpu[cpu].ctlr & GIC_CPU_EOIMODE))
        gic_deactivate(g, cpu, irq);
}

/* Target list of affinity 0 in a cluster, or all but me (IRM); there is one cluster: affinities 1 to 3 are 0. */
static void sgi_send(Gic *g, unsigned self, uint64_t val, unsigned group)
{
    unsigned irq = val >> 24 & 15, mask = (unsigned)(val & 0xffff) << 16 * (val >> 44 & 15 ? 1 : 0);
    if (val >> 40 & 1)
        mask = ~(1u << self);
    else if (val & 0x00ff00ff00ff0000ull)
        mask = 0;
    for (unsigned i = 0; i < g->n_cpus; i++)
        if (mask >> i & 1 && (g->cpu[i].own.group >> irq & 1) == group)
            g->cpu[i].own.latch |= 1u << irq;
}

static bool icc_read(Gic *g, unsigned cpu, uint32_t reg, uint64_t *ret)
{
    GicCpu *c = &g->cpu[cpu];
    switch (reg) {
    case A64_ICC_PMR: *ret = c->pmr; break;
    case A64_ICC_IAR0: case A64_ICC_IAR1: *ret = acknowledge(g, cpu, reg == A64_ICC_IAR1); break;
    case A64_ICC_HPPIR0: case A64_ICC_HPPIR1: *ret = highest(g, cpu, reg == A64_ICC_HPPIR1); break;
    case A64_ICC_BPR0: *ret = c->bpr[0]; break;
    case A64_ICC_BPR1: *ret = c->ctlr & GIC_CPU_CBPR ? MIN(c->bpr[0] + 1u, 7u) : c->bpr[1]; break;
    case A64_ICC_AP0R0: *ret = c->apr[0]; break;
    case A64_ICC_AP1R0: *ret = c->apr[1]; break;
    case A64_ICC_RPR: *ret = gic_running_prio(g, cpu); break;
    case A64_ICC_CTLR: *ret = c->ctlr | 4 << 8 | 1 << 15; break;    /* PRIbits 5, IDbits 16, A3V */
    case A64_ICC_SRE: *ret = 7; break;
    case A64_ICC_SRE_EL2: case A64_ICC_SRE_EL3: *ret = 15; break;
    case A64_ICH_HCR: *ret = 0; break;
    case A64_ICC_IGRPEN0: *ret = c->enable & 1; break;
    case A64_ICC_IGRPEN1: *ret = c->enable >> 1; break;
    default: return false;
    }
    return true;
}

static bool icc_write(Gic *g, unsigned cpu, uint32_t reg, uint64_t val)
{
    GicCpu *c = &g->cpu[cpu];
    switch (reg) {
    case A64_ICC_PMR: c->pmr = val & GIC_PRIO_MASK; break;
    case A64_ICC_EOIR0: case A64_ICC_EOIR1: end_of_interrupt(g, cpu, reg == A64_ICC_EOIR1, val); break;
    case A64_ICC_BPR0: c->bpr[0] = (uint8_t)MAX(val & 7, (uint64_t)GIC_MIN_BPR0); break;
    case A64_ICC_BPR1: c->bpr[1] = c->ctlr & GIC_CPU_CBPR ? c->bpr[1] : (uint8_t)MAX(val & 7, (uint64_t)GIC_MIN_BPR1); break;
    case A64_ICC_AP0R0: c->apr[0] = (uint32_t)val; break;
    case A64_ICC_AP1R0: c->apr[1] = (uint32_t)val; break;
    case A64_ICC_DIR:
        if (c->ctlr & GIC_CPU_EOIMODE)
            gic_deactivate(g, cpu, (unsigned)(val & 0xffffff));
        break;
    case A64_ICC_SGI1R: sgi_send(g, cpu, val, 1); break;
    case A64_ICC_ASGI1R: case A64_ICC_SGI0R: sgi_send(g, cpu, val, 0); break;
    case A64_ICC_CTLR: c->ctlr = val & (GIC_CPU_CBPR | GIC_CPU_EOIMODE); break;
    case A64_ICC_SRE: case A64_ICC_SRE_EL2: case A64_ICC_SRE_EL3: case A64_ICH_HCR: break;
    case A64_ICC_IGRPEN0: c->enable = (c->enable & 2) | (val & 1); break;
    case A64_ICC_IGRPEN1: c->enable = (c->enable & 1) | (val & 1) << 1; break;
    default: return false;
    }
    gic_update(g);
    return true;
}

bool gicv3_sysreg_read(Device *dev, unsigned cpu, uint32_t reg, uint64_t *ret)
{
    if (!devlock_enter(dev->lock))
        return false;
    bool ok = icc_read((Gic *)dev, cpu, reg, ret);
    devlock_leave(dev->lock);
    return ok;
}

bool gicv3_sysreg_write(Device *dev, unsigned cpu, uint32_t reg, uint64_t val)
{
    if (!devlock_enter(dev->lock))
        return false;
    bool ok = icc_write((Gic *)dev, cpu, reg, val);
    devlock_leave(dev->lock);
    return ok;
}

/* ---- life ---- */

typedef struct Gicv3 {
    Gic gic;                    /* must be first */
    bool with_lpis;             /* property */
    GicLpis lpis;
} Gicv3;

static bool gicv3_realize(Device *dev, GError **err)
{
    Gic *g = (Gic *)dev;
    g->v3 = true;
    g->lpis = ((Gicv3 *)dev)->with_lpis ? &((Gicv3 *)dev)->lpis : NULL;
    device_init_mmio(dev, 0, "dist", &dist_ops, GICD_SIZE);
    device_init_mmio(dev, 1, "redist", &redist_ops, (uint64_t)g->n_cpus * GICR_STRIDE);
    return gic_realize(g);
}

static void gicv3_reset(Device *dev) { gic_reset((Gic *)dev); }

static bool gicv3_post_load(Device *dev, unsigned version, GError **err)
{
    Gic *g = (Gic *)dev;
    for (unsigned i = 0; i < GIC_CPUS; i++)
        g->cpu[i].ctlr &= GIC_CPU_CBPR | GIC_CPU_EOIMODE;
    for (unsigned i = 0; i < GIC_SPIS; i++)
        route(g, i, g->router[i]);
    return gic_post_load(dev, version, err);
}

static bool lpis_needed(const Device *dev) { return ((const Gic *)dev)->lpis; }

static bool lpis_post_load(Device *dev, unsigned version, GError **err)
{
    Gic *g = (Gic *)dev;
    if (g->lpis)
        gic_lpi_loaded(g);
    else
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "LPIs of an interrupt controller that has none here (-machine its=off)");
    return g->lpis;
}

static const FieldDesc lpis_fields[] = { FIELD_SUB(Gicv3, lpis, gic_lpi_fields), { 0 } };
static const DeviceSection gicv3_state[] = {
    { .name = "gicv3", .version = 1, .min_version = 1, .fields = gic_fields, .post_load = gicv3_post_load },
    { .name = "lpis", .version = 1, .min_version = 1, .fields = lpis_fields, .needed = lpis_needed, .post_load = lpis_post_load }, { 0 }
};
static const PropDesc gicv3_props[] = {
    PROP(Gicv3, gic.n_cpus, PROP_U32, "cpus", .def = "1", .min = 1, .max = GIC_CPUS, .help = "number of CPUs"),
    PROP(Gicv3, with_lpis, PROP_BOOL, "lpis", .help = "has LPIs, for an interrupt translation service"), { 0 }
};

const DeviceClass gicv3_class = {
    .name = "arm-gicv3", .summary = "Arm generic interrupt controller, version 3", .size = sizeof(Gicv3), .bus = BUS_SYS, .fabric = true, .internal = true,
    .props = gicv3_props, .state = gicv3_state, .realize = gicv3_realize, .reset = gicv3_reset,
};
