/* Who gets an interrupt message (SDM 3A 11.6.2 IPI destinations, 11.11 MSI, 11.12.10 x2APIC). */
#include "hw/intc/lapic-internal.h"

#include "hw/intc/ioapic.h"
#include "hw/intc/pic.h"

/* ---- destinations ---- */

static bool match_physical(const Lapic *l, const ApicMsg *m)
{
    bool x2 = lapic_x2apic(l);
    uint32_t id = x2 ? lapic_reg(l, LR_ID) : lapic_reg(l, LR_ID) >> 24;
    if (m->dest == (m->wide ? UINT32_MAX : 0xff))
        return true;
    return id == m->dest;
}

static bool match_logical(const Lapic *l, const ApicMsg *m)
{
    uint32_t ldr = lapic_reg(l, LR_LDR);
    if (m->dest == (m->wide ? UINT32_MAX : 0xff))
        return true;
    if (lapic_x2apic(l))
        return ldr >> 16 == m->dest >> 16 && ldr & m->dest & 0xffff;
    if (m->dest > 0xff)
        return false;
    ldr >>= 24;
    if (lapic_reg(l, LR_DFR) >> 28 == 0xf)      /* flat */
        return ldr & m->dest;
    return (ldr >> 4 == m->dest >> 4 || m->dest >> 4 == 0xf) && ldr & m->dest & 0xf;    /* cluster */
}

static bool match(const Lapic *l, const ApicMsg *m)
{
    return lapic_hw_enabled(l) && (m->logical ? match_logical(l, m) : match_physical(l, m));
}

/* Lowest processor priority among the matching ones; of equals, the vector chooses, so that a source stays where it is. */
static Lapic *arbitrate(ApicBus *bus, const ApicMsg *m)
{
    unsigned best = 256, n_best = 0;
    for (guint i = 0; i < bus->lapics->len; i++) {
        Lapic *l = g_ptr_array_index(bus->lapics, i);
        if (!match(l, m) || !lapic_sw_enabled(l))
            continue;
        unsigned p = lapic_ppr(l) >> 4;
        n_best = p < best ? 1 : p == best ? n_best + 1 : n_best;
        best = MIN(p, best);
    }
    unsigned skip = n_best ? m->vector % n_best : 0;
    Lapic *any = NULL;
    for (guint i = 0; i < bus->lapics->len; i++) {
        Lapic *l = g_ptr_array_index(bus->lapics, i);
        if (!match(l, m) || !lapic_sw_enabled(l))
            continue;
        any = l;                /* a priority may have changed since: take somebody all the same */
        if (lapic_ppr(l) >> 4 == best && !skip--)
            return l;
    }
    return any;
}

void apicbus_send(ApicBus *bus, const ApicMsg *m)
{
    if (m->mode == DM_LOWEST) {
        Lapic *l = arbitrate(bus, m);
        if (l)
            lapic_deliver(l, DM_FIXED, m->vector, m->level);
        return;
    }
    if (!m->logical && m->dest < bus->lapics->len) {    /* the common case: IDs as the board gave them */
        Lapic *l = g_ptr_array_index(bus->lapics, m->dest);
        if (m->dest != 0xff && lapic_x2apic(l) && match(l, m)) {
            lapic_deliver(l, m->mode, m->vector, m->level);
            return;
        }
    }
    for (guint i = 0; i < bus->lapics->len; i++) {
        Lapic *l = g_ptr_array_index(bus->lapics, i);
        if (match(l, m))
            lapic_deliver(l, m->mode, m->vector, m->level);
    }
}

/* ---- sources ---- */

void apicbus_ipi(Lapic *self, uint64_t icr)
{
    enum { SHORT_NONE, SHORT_SELF, SHORT_ALL, SHORT_OTHERS };
    unsigned shorthand = (unsigned)bits_get(icr, 18, 2);
    bool x2 = lapic_x2apic(self);
    ApicMsg m = {
        .dest = (uint32_t)(x2 ? icr >> 32 : icr >> 56), .vector = (uint8_t)icr, .mode = (uint8_t)bits_get(icr, 8, 3),
        .logical = icr & BIT(11), .wide = x2,
    };
    /* INIT level de-assert only synchronised arbitration IDs of old buses (11.6.1). */
    if (m.mode == DM_RESERVED || m.mode == DM_EXTINT || (m.mode == DM_INIT && icr & BIT(15) && !(icr & BIT(14))))
        return;
    if (m.mode <= DM_LOWEST && m.vector < 16) {
        lapic_error(self, ESR_SEND_ILLEGAL);
        return;
    }
    switch (shorthand) {
    case SHORT_NONE:
        apicbus_send(self->bus, &m);
        return;
    case SHORT_SELF:
        lapic_deliver(self, m.mode == DM_LOWEST ? DM_FIXED : m.mode, m.vector, false);
        return;
    default:
        /* Lowest priority to everybody is not allowed by the manual; KVM and some processors make it fixed. */
        for (guint i = 0; i < self->bus->lapics->len; i++) {
            Lapic *l = g_ptr_array_index(self->bus->lapics, i);
            if (lapic_hw_enabled(l) && (l != self || shorthand == SHORT_ALL))
                lapic_deliver(l, m.mode == DM_LOWEST ? DM_FIXED : m.mode, m.vector, false);
        }
    }
}

void apicbus_msi(void *opaque, uint64_t addr, uint32_t data, uint32_t from)
{
    if ((addr & ~0xfffffull) != 0xfee00000u)
        return;
    ApicMsg m = {
        .dest = (uint32_t)bits_get(addr, 12, 8), .vector = (uint8_t)data, .mode = (uint8_t)bits_get(data, 8, 3),
        .logical = addr & BIT(2), .level = data & BIT(15),
    };
    if (m.mode == DM_RESERVED || m.mode == DM_SIPI)
        return;
    /* A de-asserted level message means nothing on today's buses (11.11.2). */
    if (m.level && !(data & BIT(14)))
        return;
    apicbus_send(opaque, &m);
}

void apicbus_eoi(Device *dev, uint8_t vector)
{
    ApicBus *bus = (ApicBus *)dev;
    for (unsigned i = 0; i < bus->n_ioapics; i++)
        ioapic_eoi(bus->ioapics[i], vector);
}

static void apicbus_input(void *opaque, unsigned n, bool level)
{
    ApicBus *bus = opaque;
    for (guint i = 0; i < bus->lapics->len; i++)
        lapic_lint(g_ptr_array_index(bus->lapics, i), n, level);
}

/* ---- life ---- */

void apicbus_connect(Device *dev, Device *pic, Device *const *ioapics, unsigned n)
{
    ApicBus *bus = (ApicBus *)dev;
    g_assert(n <= ARRAY_LEN(bus->ioapics));
    bus->pic = pic;
    bus->n_ioapics = n;
    for (unsigned i = 0; i < n; i++)
        bus->ioapics[i] = ioapics[i];
    if (pic)
        irq_connect(pic->irq[0], device_input(dev, APICBUS_INTR));
}

static bool apicbus_realize(Device *dev, GError **err)
{
    ApicBus *bus = (ApicBus *)dev;
    bus->lapics = g_ptr_array_new();
    device_init_inputs(dev, 2, apicbus_input);
    irq_fabric_set_msi(device_fabric(dev), apicbus_msi, bus);
    return true;
}

static void apicbus_unrealize(Device *dev)
{
    irq_fabric_set_msi(device_fabric(dev), NULL, NULL);
    g_ptr_array_free(((ApicBus *)dev)->lapics, TRUE);
}

const DeviceClass apicbus_class = {
    .name = "apicbus", .summary = "bus between local and I/O APICs", .size = sizeof(ApicBus), .bus = BUS_SYS, .fabric = true, .internal = true,
    .realize = apicbus_realize, .unrealize = apicbus_unrealize,
};
