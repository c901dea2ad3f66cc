/* What GICv2 and GICv3 share: which interrupt is next, priorities, inputs, saved state. All under the fabric's lock. */
#include <string.h>

#include "hw/intc/gic-internal.h"
#include "util/bits.h"

unsigned gic_self(const Gic *g)
{
    if (g->self)
        return MIN(g->self(g->self_opaque), g->n_cpus - 1);
    for (unsigned i = 0; i < g->n_vcpus; i++)
        if (vcpu_is_self(g->vcpu[i]))
            return i;
    return 0;
}

void gic_setup(Device *dev, const GicSetup *setup)
{
    Gic *g = (Gic *)dev;
    g->n_vcpus = MIN(setup->n, (unsigned)GIC_CPUS);
    for (unsigned i = 0; i < g->n_vcpus; i++)
        g->vcpu[i] = setup->cpus[i];
    g->self = setup->self;
    g->self_opaque = setup->opaque;
    g->secure = setup->secure;
    g->secure_opaque = setup->secure_opaque;
    g->reset_nonsecure = setup->reset_nonsecure;
}

/* ---- which one ---- */

static uint32_t groups_on(const Gic *g, const GicBank *b)
{
    return (g->ctlr & 2 ? b->group : 0) | (g->ctlr & 1 ? ~b->group : 0);
}

unsigned gic_best(Gic *g, unsigned cpu, unsigned *ret_prio, unsigned *ret_group)
{
    unsigned found = GIC_SPURIOUS;
    *ret_prio = 0x100;
    *ret_group = 0;
    for (unsigned n = 0; n < GIC_BANKS; n++) {
        const GicBank *b = gic_bank(g, cpu, n);
        uint32_t m = gic_pending_bits(b) & b->enable & ~b->active;
        if (!m)
            continue;
        for (m &= groups_on(g, b); m; m &= m - 1) {
            unsigned k = (unsigned)__builtin_ctz(m);
            if (b->prio[k] >= *ret_prio || (n && !(g->target[32 * (n - 1) + k] >> cpu & 1)))
                continue;
            found = 32 * n + k;
            *ret_prio = b->prio[k];
            *ret_group = b->group >> k & 1;
        }
    }
    unsigned prio, lpi = g->lpis && g->ctlr & 2 ? gic_lpi_best(g, cpu, &prio) : GIC_SPURIOUS;
    if (lpi == GIC_SPURIOUS || prio >= *ret_prio)
        return found;
    *ret_prio = prio;
    *ret_group = 1;
    return lpi;
}

unsigned gic_running_prio(const Gic *g, unsigned cpu)
{
    uint32_t active = g->cpu[cpu].apr[0] | g->cpu[cpu].apr[1];
    return active ? (unsigned)__builtin_ctz(active) << 3 : GIC_IDLE_PRIO;
}

/* Group priority (IHI 0048B 3.3.3, IHI 0069H 4.8.6). */
static unsigned group_prio(const Gic *g, const GicCpu *c, unsigned prio, unsigned group)
{
    bool second = group && !gic_common_bpr(g, c);
    return prio & (second ? ~0u << c->bpr[1] : ~0u << (c->bpr[0] + 1));
}

unsigned gic_deliverable(Gic *g, unsigned cpu, unsigned *ret_prio, unsigned *ret_group)
{
    const GicCpu *c = &g->cpu[cpu];
    if (c->asleep)
        return GIC_SPURIOUS;
    unsigned irq = gic_best(g, cpu, ret_prio, ret_group);
    bool ok = irq != GIC_SPURIOUS && c->enable >> *ret_group & 1 && *ret_prio < c->pmr && group_prio(g, c, *ret_prio, *ret_group) < gic_running_prio(g, cpu);
    return ok ? irq : GIC_SPURIOUS;
}

/* GICv2: group 0 is IRQ unless FIQEn (GICC_CTLR bit 3); GICv3: always FIQ. */
static void update_cpu(Gic *g, unsigned cpu)
{
    unsigned prio, group;
    bool any = gic_deliverable(g, cpu, &prio, &group) != GIC_SPURIOUS;
    bool fiq = any && !group && (g->v3 || g->cpu[cpu].ctlr & 8);
    irq_set_locked(g->dev.irq[2 * cpu], any && !fiq);
    irq_set_locked(g->dev.irq[2 * cpu + 1], fiq);
}

void gic_update(Gic *g)
{
    for (unsigned i = 0; i < g->n_cpus; i++)
        update_cpu(g, i);
}

/* ---- life of an interrupt ---- */

void gic_activate(Gic *g, unsigned cpu, unsigned irq, unsigned prio, unsigned group)
{
    GicCpu *c = &g->cpu[cpu];
    if (gic_is_lpi(irq)) {
        gic_lpi_clear(g, cpu, irq);
    } else {
        GicBank *b = gic_bank(g, cpu, irq / 32);
        b->active |= 1u << irq % 32;
        b->latch &= ~(1u << irq % 32);
    }
    c->apr[group] |= 1u << (group_prio(g, c, prio, group) >> 3);
    gic_update(g);
}

void gic_drop_priority(Gic *g, unsigned cpu, unsigned group)
{
    uint32_t *apr = &g->cpu[cpu].apr[group];
    *apr &= *apr - 1;
    gic_update(g);
}

void gic_deactivate(Gic *g, unsigned cpu, unsigned irq)
{
    if (irq >= GIC_INTIDS)
        return;
    GicBank *b = gic_bank(g, cpu, irq / 32);
    b->active &= ~(1u << irq % 32);
    if (irq >= 32 && !(b->edge >> irq % 32 & 1))
        irq_wire_eoi_locked(device_input(&g->dev, irq - 32));
    gic_update(g);
}

static void input(void *opaque, unsigned n, bool level)
{
    Gic *g = opaque;
    unsigned cpu = n < GIC_SPIS ? 0 : (n - GIC_SPIS) / 32, irq = n < GIC_SPIS ? n + 32 : (n - GIC_SPIS) % 32;
    if (cpu >= g->n_cpus || irq < 16)
        return;
    GicBank *b = gic_bank(g, cpu, irq / 32);
    uint32_t bit = 1u << irq % 32, old = b->level;
    b->level = level ? old | bit : old & ~bit;
    if (level && !(old & bit) && b->edge & bit)
        b->latch |= bit;
    if (b->level != old)
        gic_update(g);
}

/* ---- life ---- */

bool gic_realize(Gic *g)
{
    device_init_inputs(&g->dev, GIC_SPIS + 32 * g->n_cpus, input);
    device_init_irqs(&g->dev, 2 * g->n_cpus);
    return true;
}

static void bank_reset(const Gic *g, GicBank *b, uint32_t edge)
{
    uint32_t level = b->level;
    *b = (GicBank){ .level = level, .edge = edge, .group = g->reset_nonsecure ? ~0u : 0 };
    memset(b->prio, g->reset_nonsecure ? 0x80 : 0, sizeof(b->prio));
}

void gic_reset(Gic *g)
{
    g->ctlr = 0;
    for (unsigned i = 0; i < GIC_BANKS - 1; i++)
        bank_reset(g, &g->spi[i], 0);
    for (unsigned i = 0; i < GIC_CPUS; i++) {
        GicBank own = g->cpu[i].own;
        bank_reset(g, &own, 0xffff);
        g->cpu[i] = (GicCpu){ .own = own, .bpr = { GIC_MIN_BPR0, GIC_MIN_BPR1 }, .pmr = g->reset_nonsecure ? 0x80 : 0 };
    }
    memset(g->target, g->v3 || g->n_cpus == 1 ? 1 : 0, sizeof(g->target));
    memset(g->router, 0, sizeof(g->router));
    if (g->lpis)
        gic_lpi_reset(g);
    gic_update(g);
}

static void bank_check(GicBank *b)
{
    for (unsigned i = 0; i < 32; i++)
        b->prio[i] &= GIC_PRIO_MASK;
}

bool gic_post_load(Device *dev, unsigned version, GError **err)
{
    Gic *g = (Gic *)dev;
    for (unsigned i = 0; i < GIC_BANKS - 1; i++)
        bank_check(&g->spi[i]);
    for (unsigned i = 0; i < GIC_CPUS; i++) {
        GicCpu *c = &g->cpu[i];
        bank_check(&c->own);
        c->own.edge |= 0xffff;
        c->bpr[0] = (uint8_t)CLAMP(c->bpr[0], GIC_MIN_BPR0, 7);
        c->bpr[1] = (uint8_t)CLAMP(c->bpr[1], GIC_MIN_BPR1, 7);
        c->asleep = c->asleep && g->v3;
    }
    for (unsigned i = 0; i < GIC_SPIS; i++)
        g->target[i] &= (uint8_t)bits_mask(g->n_cpus);
    gic_update(g);
    return true;
}

static const FieldDesc bank_fields[] = {
    FIELD(GicBank, group), FIELD(GicBank, enable), FIELD(GicBank, latch), FIELD(GicBank, active), FIELD(GicBank, edge), FIELD(GicBank, level),
    FIELD_ARRAY(GicBank, prio), { 0 }
};
static const FieldDesc cpu_fields[] = {
    FIELD_SUB(GicCpu, own, bank_fields), FIELD_ARRAY(GicCpu, sgi_from), FIELD(GicCpu, ctlr), FIELD(GicCpu, enable), FIELD_ARRAY(GicCpu, apr),
    FIELD(GicCpu, pmr), FIELD_ARRAY(GicCpu, bpr), FIELD(GicCpu, asleep), { 0 }
};
const FieldDesc gic_fields[] = {
    FIELD(Gic, ctlr), FIELD_SUB_ARRAY(Gic, cpu, cpu_fields), FIELD_SUB_ARRAY(Gic, spi, bank_fields), FIELD_ARRAY(Gic, target), FIELD_ARRAY(Gic, router), { 0 }
};
const PropDesc gic_props[] = { PROP(Gic, n_cpus, PROP_U32, "cpus", .def = "1", .min = 1, .max = GIC_CPUS, .help = "number of CPUs"), { 0 } };
