/* Local APICs and I/O APIC: priorities, every way to address an interrupt, IPIs, x2APIC, timers, LINT pins (SDM 3A chapter 11, 290566). */
#include <string.h>

#include "tests/device/chips.h"
#include "tests/device/roundtrip.h"

#define TEST(name) static void name(Chips *c)
#define X2 0xfee00c00u

static void eoi(Chips *c, unsigned i)
{
    chips_apic_write(c, i, 0xb0, 0);
}

static bool msr_write(Chips *c, unsigned i, uint32_t msr, uint64_t val)
{
    Vcpu *v = chips_cpu(c, i);
    return v->intc.ops->msr_write(v->intc.opaque, msr, val);
}

static bool msr_read(Chips *c, unsigned i, uint32_t msr, uint64_t *ret)
{
    Vcpu *v = chips_cpu(c, i);
    return v->intc.ops->msr_read(v->intc.opaque, msr, ret);
}

static uint64_t rdmsr(Chips *c, unsigned i, uint32_t msr)
{
    uint64_t v = 0;
    CHECK(msr_read(c, i, msr, &v));
    return v;
}

static void ipi(Chips *c, unsigned from, uint8_t dest, uint32_t icr)
{
    chips_apic_write(c, from, 0x310, (uint32_t)dest << 24);
    chips_apic_write(c, from, 0x300, icr);
}

/* Bit i: processor i got @vector, which is then finished. */
static unsigned receivers(Chips *c, int vector)
{
    unsigned got = 0;
    for (unsigned i = 0; i < c->n; i++) {
        chips_events(c, i);
        if (!chips_pending(c, i))
            continue;
        CHECK_EQ(chips_ack(c, i), vector);
        CHECK(!chips_pending(c, i));
        got |= 1u << i;
        if (rdmsr(c, i, 0x1b) & 0x400)
            CHECK(msr_write(c, i, 0x80b, 0));
        else
            eoi(c, i);
    }
    return got;
}

TEST(reset_values)
{
    CHECK_EQ(rdmsr(c, 0, 0x1b), 0xfee00900);
    CHECK_EQ(rdmsr(c, 1, 0x1b), 0xfee00800);
    CHECK_EQ(chips_apic(c, 2, 0x20), 0x02000000);
    CHECK_EQ(chips_apic(c, 0, 0x30) & 0xff00ff, 0x50014);
    CHECK_EQ(chips_apic(c, 0, 0xe0), 0xffffffff);
    device_reset(c->lapic[0]);
    CHECK_EQ(chips_apic(c, 0, 0xf0), 0xff);
    for (unsigned r = 0x320; r <= 0x370; r += 0x10) {
        CHECK_EQ(chips_apic(c, 0, r), 0x10000);
        chips_apic_write(c, 0, r, 0x30);    /* software-disabled: stays masked */
        CHECK_EQ(chips_apic(c, 0, r), 0x10030);
    }
}

TEST(priorities)
{
    ipi(c, 0, 0, 0x40000 | 0x51);
    ipi(c, 0, 0, 0x40000 | 0x61);
    ipi(c, 0, 0, 0x40000 | 0x62);
    CHECK_EQ(chips_ack(c, 0), 0x62);
    CHECK_EQ(chips_apic(c, 0, 0xa0), 0x60);
    CHECK(!chips_pending(c, 0));            /* 0x61 is of the same class */
    eoi(c, 0);
    chips_apic_write(c, 0, 0x80, 0x55);
    CHECK_EQ(chips_apic(c, 0, 0xa0), 0x55);
    CHECK_EQ(chips_ack(c, 0), 0x61);
    eoi(c, 0);
    CHECK(!chips_pending(c, 0));            /* TPR class 5 holds 0x51 back */
    CHECK_EQ(chips_ack(c, 0), -1);
    CHECK_EQ(chips_cpu(c, 0)->intc.ops->tpr(chips_cpu(c, 0)->intc.opaque), 5);
    chips_events(c, 0);
    chips_cpu(c, 0)->intc.ops->set_tpr(chips_cpu(c, 0)->intc.opaque, 4);
    CHECK_EQ(chips_apic(c, 0, 0x80), 0x40);
    CHECK(chips_events(c, 0) & VCPU_EV_INTR);       /* told that it may go now */
    CHECK_EQ(chips_ack(c, 0), 0x51);
    CHECK_EQ(chips_apic(c, 0, 0x100 + 0x20), 0x20000);
    eoi(c, 0);
    eoi(c, 0);                              /* with nothing in service: nothing */
    CHECK_EQ(chips_apic(c, 0, 0x120), 0);
}

TEST(ipi_matrix)
{
    static const struct { uint8_t dest; uint32_t icr; unsigned who; } m[] = {
        { 2, 0x30, 4 }, { 0xff, 0x30, 15 }, { 9, 0x30, 0 },
        { 1, 0x40030, 2 }, { 1, 0x80030, 15 }, { 1, 0xc0030, 13 },          /* self, all, all but self; sent by 1 */
        { 0x05, 0x830, 5 }, { 0xff, 0x830, 15 }, { 0x10, 0x830, 0 },        /* flat logical */
        { 2, 0x8030, 4 }, { 2, 0xc030, 4 },
    };
    for (unsigned i = 0; i < 4; i++)
        chips_apic_write(c, i, 0xd0, 0x01000000u << i);
    for (unsigned i = 0; i < sizeof(m) / sizeof(m[0]); i++) {
        ipi(c, 1, m[i].dest, m[i].icr);
        CHECK_EQ(receivers(c, 0x30), m[i].who);
    }
    for (unsigned i = 0; i < 4; i++) {      /* cluster: two of two */
        chips_apic_write(c, i, 0xe0, 0x0fffffff);
        chips_apic_write(c, i, 0xd0, (i / 2 << 4 | 1u << i % 2) << 24);
    }
    ipi(c, 0, 0x13, 0x830);
    CHECK_EQ(receivers(c, 0x30), 12);
    ipi(c, 0, 0xf1, 0x830);
    CHECK_EQ(receivers(c, 0x30), 5);
    ipi(c, 0, 0x02, 0x830);
    CHECK_EQ(receivers(c, 0x30), 2);
}

TEST(lowest_priority)
{
    for (unsigned i = 0; i < 4; i++) {
        chips_apic_write(c, i, 0xd0, 0x01000000u << i);
        chips_apic_write(c, i, 0x80, i == 2 ? 0x10 : 0x40);
    }
    ipi(c, 0, 0xff, 0x900 | 0x71);
    CHECK_EQ(receivers(c, 0x71), 4);
    chips_apic_write(c, 2, 0xf0, 0xff);     /* software-disabled ones take no part */
    ipi(c, 0, 0x06, 0x900 | 0x71);
    CHECK_EQ(receivers(c, 0x71), 2);
    ipi(c, 0, 0x04, 0x900 | 0x71);
    CHECK_EQ(receivers(c, 0x71), 0);
}

TEST(other_modes)
{
    ipi(c, 0, 1, 0x400);
    CHECK_EQ(chips_events(c, 1), VCPU_EV_NMI);
    ipi(c, 0, 1, 0x200);
    CHECK_EQ(chips_events(c, 1), VCPU_EV_SMI);
    ipi(c, 0, 1, 0xc500);
    CHECK_EQ(chips_events(c, 1), VCPU_EV_INIT);
    ipi(c, 0, 1, 0x8500);                   /* INIT level de-assert: nothing */
    CHECK_EQ(chips_events(c, 1), 0);
    ipi(c, 0, 1, 0x69a);
    CHECK_EQ(chips_events(c, 1), VCPU_EV_SIPI);
    CHECK_EQ(chips_cpu(c, 1)->sipi_vector, 0x9a);
    ipi(c, 0, 0, 0xc0500 | 0x4000);         /* INIT to all but self, as Linux never and firmware often does */
    CHECK_EQ(chips_events(c, 0), 0);
    CHECK_EQ(chips_events(c, 3), VCPU_EV_INIT);
    CHECK_EQ(chips_events(c, 1), VCPU_EV_INIT);
    chips_apic_write(c, 1, 0xf0, 0xff);     /* software-disabled: still takes NMI */
    ipi(c, 0, 1, 0x400);
    CHECK_EQ(chips_events(c, 1), VCPU_EV_NMI);
    CHECK(msr_write(c, 1, 0x1b, 0xfee00000));       /* globally disabled: gone from the bus */
    ipi(c, 0, 1, 0x400);
    CHECK_EQ(chips_events(c, 1), 0);
}

TEST(init_resets)
{
    Vcpu *v = chips_cpu(c, 1);
    chips_apic_write(c, 1, 0x320, 0x31);
    ipi(c, 0, 1, 0x55);
    v->intc.ops->init_sipi(v->intc.opaque, true);
    CHECK(!chips_pending(c, 1));
    CHECK_EQ(chips_apic(c, 1, 0x320), 0x10000);
    CHECK_EQ(chips_apic(c, 1, 0x20), 0x01000000);
    CHECK_EQ(chips_apic(c, 1, 0xf0), 0xff);
    CHECK_EQ(rdmsr(c, 1, 0x1b), 0xfee00800);
}

TEST(errors)
{
    chips_apic_write(c, 0, 0x370, 0xfe);
    ipi(c, 0, 1, 0x0f);                     /* send illegal vector */
    CHECK_EQ(chips_apic(c, 0, 0x280), 0);   /* shows after a write only */
    chips_apic_write(c, 0, 0x280, 0);
    CHECK_EQ(chips_apic(c, 0, 0x280), 0x20);
    CHECK_EQ(chips_ack(c, 0), 0xfe);
    eoi(c, 0);
    chips_apic_write(c, 0, 0x280, 0);
    CHECK_EQ(chips_apic(c, 0, 0x280), 0);
    apicbus_msi(c->bus, 0xfee00000, 0x05, 0);  /* receive illegal vector */
    chips_apic_write(c, 0, 0x280, 0);
    CHECK_EQ(chips_apic(c, 0, 0x280), 0x40);
    chips_apic_write(c, 0, 0x3a0, 1);       /* no register there */
    chips_apic(c, 0, 0x3a0);
    chips_apic_write(c, 0, 0x280, 0);
    CHECK_EQ(chips_apic(c, 0, 0x280), 0x80);
}

TEST(x2apic)
{
    uint64_t v;
    CHECK(!msr_read(c, 0, 0x802, &v));      /* not in this mode */
    CHECK(!msr_write(c, 0, 0x1b, 0xfee00400));      /* EXTD without EN */
    CHECK(!msr_write(c, 0, 0x1b, 0xfee00901));      /* reserved bit */
    for (unsigned i = 0; i < 4; i++)
        CHECK(msr_write(c, i, 0x1b, X2 | (i ? 0 : 0x100)));
    CHECK(!msr_write(c, 0, 0x1b, 0xfee00900));      /* no way back in one step */
    CHECK_EQ(rdmsr(c, 3, 0x802), 3);
    CHECK_EQ(rdmsr(c, 3, 0x80d), 8);
    v = 0;
    CHECK(!chips_cpu(c, 0)->intc.ops->mmio(chips_cpu(c, 0)->intc.opaque, 0xfee00020, 4, false, &v));
    CHECK(!msr_read(c, 0, 0x80b, &v) && !msr_read(c, 0, 0x80e, &v) && !msr_read(c, 0, 0x831, &v));
    CHECK(!msr_write(c, 0, 0x802, 0) && !msr_write(c, 0, 0x80d, 0) && !msr_write(c, 0, 0x80b, 1) && !msr_write(c, 0, 0x828, 1));
    CHECK(!msr_write(c, 0, 0x808, 0x100) && !msr_write(c, 0, 0x80f, 0x2000) && !msr_write(c, 0, 0x832, 0x80000));
    CHECK(msr_write(c, 0, 0x830, 2ull << 32 | 0x45));
    CHECK_EQ(rdmsr(c, 0, 0x830), 2ull << 32 | 0x45);
    CHECK_EQ(receivers(c, 0x45), 4);
    CHECK(msr_write(c, 0, 0x830, 0xffffffffull << 32 | 0x45));
    CHECK_EQ(receivers(c, 0x45), 15);
    CHECK(msr_write(c, 0, 0x830, 0x0005ull << 32 | 0x845));         /* logical, cluster 0 */
    CHECK_EQ(receivers(c, 0x45), 5);
    CHECK(msr_write(c, 0, 0x830, 0x10005ull << 32 | 0x845));
    CHECK_EQ(receivers(c, 0x45), 0);
    CHECK(msr_write(c, 2, 0x83f, 0x46));
    CHECK_EQ(receivers(c, 0x46), 4);
    apicbus_msi(c->bus, 0xfeeff000, 0x47, 0);
    CHECK_EQ(receivers(c, 0x47), 15);
    CHECK(msr_write(c, 0, 0x1b, 0xfee00100));       /* through disabled back to xAPIC */
    CHECK(!msr_write(c, 0, 0x1b, X2));
    CHECK(msr_write(c, 0, 0x1b, 0xfee00900));
    CHECK_EQ(chips_apic(c, 0, 0x20), 0);
    CHECK_EQ(chips_apic(c, 0, 0xf0), 0xff);
}

TEST(relocation)
{
    Vcpu *v = chips_cpu(c, 0);
    uint64_t val = 0;
    CHECK(msr_write(c, 0, 0x1b, 0xd0000900));
    CHECK_EQ(v->intc.ops->mmio_page(v->intc.opaque), 0xd0000000);
    CHECK(!v->intc.ops->mmio(v->intc.opaque, 0xfee00030, 4, false, &val));
    CHECK(v->intc.ops->mmio(v->intc.opaque, 0xd0000030, 4, false, &val));
    CHECK_EQ(val & 0xff, 0x14);
    CHECK(v->intc.ops->mmio(v->intc.opaque, 0xd0000032, 1, false, &val));
    CHECK_EQ(val, 5);                       /* a narrow read sees its part */
    CHECK_EQ(chips_apic(c, 1, 0x30) & 0xff, 0x14);
}

TEST(countdown)
{
    chips_apic_write(c, 0, 0x3e0, 0xb);     /* divide by 1 */
    chips_apic_write(c, 0, 0x320, 0x40);
    chips_apic_write(c, 0, 0x380, 1000);
    CHECK_EQ(chips_apic(c, 0, 0x390), 1000);
    chips_advance(c, 400);
    CHECK_EQ(chips_apic(c, 0, 0x390), 600);
    chips_apic_write(c, 0, 0x3e0, 1);       /* by 4: 600 left, four times as long */
    CHECK_EQ(chips_apic(c, 0, 0x390), 600);
    chips_advance(c, 2399);
    CHECK(!chips_pending(c, 0));
    chips_advance(c, 1);
    CHECK_EQ(receivers(c, 0x40), 1);
    CHECK_EQ(chips_apic(c, 0, 0x390), 0);
    chips_advance(c, 1000000);
    CHECK(!chips_pending(c, 0));
    chips_apic_write(c, 0, 0x320, 0x20040); /* periodic */
    chips_apic_write(c, 0, 0x380, 250000);
    for (unsigned i = 0; i < 5; i++) {
        chips_advance(c, 1000000);
        CHECK_EQ(receivers(c, 0x40), 1);
    }
    chips_apic_write(c, 0, 0x320, 0x30040); /* masked: counts, does not interrupt */
    chips_advance(c, 1500000);
    CHECK_EQ(chips_apic(c, 0, 0x390), 125000);
    CHECK(!chips_pending(c, 0));
    chips_apic_write(c, 0, 0x380, 0);
    chips_apic_write(c, 0, 0x320, 0x20040);
    chips_advance(c, 5000000);
    CHECK(!chips_pending(c, 0));
}

TEST(deadline)
{
    mclock_set_tsc_hz(machine_clock(c->m), 1000000000);
    CHECK(msr_write(c, 0, 0x6e0, mclock_host_tsc() + 1000));
    CHECK_EQ(rdmsr(c, 0, 0x6e0), 0);        /* not in this mode */
    chips_apic_write(c, 0, 0x320, 0x40041);
    chips_apic_write(c, 0, 0x380, 1000);
    CHECK_EQ(chips_apic(c, 0, 0x380), 0);
    CHECK(msr_write(c, 0, 0x6e0, 1));       /* the past */
    chips_advance(c, 1);
    CHECK_EQ(receivers(c, 0x41), 1);
    CHECK_EQ(rdmsr(c, 0, 0x6e0), 0);
    uint64_t far = mclock_host_tsc() + 1000000000000ull;
    CHECK(msr_write(c, 0, 0x6e0, far));
    chips_advance(c, 1000000);
    CHECK(!chips_pending(c, 0));
    CHECK_EQ(rdmsr(c, 0, 0x6e0), far);
    round_trip(c->lapic[0]);
    CHECK(msr_write(c, 0, 0x6e0, 0));
    chips_apic_write(c, 0, 0x320, 0x00041);
    CHECK_EQ(rdmsr(c, 0, 0x6e0), 0);
}

TEST(lint)
{
    chips_out(c, 0x20, 0x11);
    chips_out(c, 0x21, 0x20);
    chips_out(c, 0x21, 4);
    chips_out(c, 0x21, 1);
    chips_out(c, 0x21, 0);
    irq_pulse(c->line[1]);
    CHECK(!chips_pending(c, 0));            /* LVT masked */
    chips_events(c, 0);
    chips_apic_write(c, 0, 0x350, 0x700);   /* virtual wire; the line is up already */
    CHECK(chips_events(c, 0) & VCPU_EV_INTR);
    CHECK(chips_pending(c, 0) && !chips_pending(c, 1));
    CHECK_EQ(chips_ack(c, 0), 0x21);
    CHECK(!chips_pending(c, 0));
    CHECK_EQ(chips_apic(c, 0, 0x110), 0);   /* no ISR bit in the APIC */
    chips_out(c, 0x20, 0x20);
    CHECK(msr_write(c, 1, 0x1b, 0xfee00000));       /* globally disabled: pins go to the core */
    irq_pulse(c->line[3]);
    CHECK(chips_pending(c, 1));
    CHECK_EQ(chips_ack(c, 1), 0x23);
    chips_events(c, 0);
    chips_events(c, 1);
    Irq *nmi = irq_new();
    irq_connect(nmi, device_input(c->bus, APICBUS_NMI));
    chips_apic_write(c, 0, 0x360, 0x400);
    irq_pulse(nmi);
    CHECK_EQ(chips_events(c, 0), VCPU_EV_NMI);
    CHECK_EQ(chips_events(c, 1), VCPU_EV_NMI);
    CHECK_EQ(chips_events(c, 2), 0);
    irq_free(nmi);
    lapic_virtual_wire(c->lapic[0]);
    CHECK_EQ(chips_apic(c, 0, 0x350), 0x700);
    CHECK_EQ(chips_apic(c, 0, 0xf0), 0x1ff);
}

/* ---- I/O APIC ---- */

TEST(io_edge)
{
    CHECK_EQ(chips_ioapic(c, 1), 0x170020);
    chips_ioapic_write(c, 0, 0x0f123456);
    CHECK_EQ(chips_ioapic(c, 0), 0x0f000000);
    chips_redirect(c, 4, 1ull << 56 | 0x61);
    irq_set(c->line[4], true);
    CHECK_EQ(receivers(c, 0x61), 2);
    CHECK_EQ(receivers(c, 0x61), 0);        /* one edge, one interrupt */
    irq_set(c->line[4], false);
    chips_redirect(c, 4, 1ull << 56 | 0x10061);
    irq_pulse(c->line[4]);                  /* an edge into a masked pin is lost */
    chips_redirect(c, 4, 1ull << 56 | 0x61);
    CHECK_EQ(receivers(c, 0x61), 0);
    chips_redirect(c, 2, 0x30);             /* the timer's override */
    irq_pulse(c->line[0]);
    CHECK_EQ(receivers(c, 0x30), 1);
    CHECK_EQ(chips_ioapic(c, 0x14), 0x30);
}

static void count_resample(void *opaque)
{
    ++*(unsigned *)opaque;
}

TEST(io_level)
{
    unsigned resamples = 0;
    chips_redirect(c, 20, 0x8000 | 0x900 | 0xffull << 56 | 0x71);   /* lowest priority, logical */
    for (unsigned i = 0; i < 4; i++)
        chips_apic_write(c, i, 0xd0, 0x01000000u << i);
    irq_set(c->line[20], true);
    unsigned who = receivers(c, 0x71);      /* its EOI finds the line still up: once more */
    CHECK(who && !(who & (who - 1)));
    CHECK(chips_ioapic(c, 0x10 + 40) & 0x4000);
    irq_set(c->line[20], false);
    CHECK(receivers(c, 0x71));
    CHECK(!(chips_ioapic(c, 0x10 + 40) & 0x4000));
    CHECK_EQ(receivers(c, 0x71), 0);
    irq_set_resample(c->line[20], count_resample, &resamples);
    irq_set(c->line[20], true);
    receivers(c, 0x71);
    CHECK_EQ(resamples, 1);
    CHECK(!irq_level(c->line[20]));         /* lowered; its owner would raise it again */
    CHECK_EQ(receivers(c, 0x71), 0);
    irq_set_resample(c->line[20], NULL, NULL);
    uint64_t level[4];
    ioapic_level_vectors(c->ioapic, level);
    CHECK_EQ(level[1], 1ull << (0x71 - 64));
}

TEST(io_eoi_variants)
{
    chips_redirect(c, 20, 0x8071);
    chips_apic_write(c, 0, 0xf0, 0x11ff);   /* suppress EOI broadcast: the I/O APIC's own EOI register is used */
    irq_set(c->line[20], true);
    CHECK_EQ(receivers(c, 0x71), 1);
    CHECK_EQ(receivers(c, 0x71), 0);
    as_store(machine_as_mem(c->m), 0xfec00040, 4, 0x71);
    CHECK_EQ(receivers(c, 0x71), 1);
    irq_set(c->line[20], false);
    chips_redirect(c, 20, 0x10071);         /* to edge and back clears remote IRR */
    chips_redirect(c, 20, 0x8071);
    CHECK_EQ(chips_ioapic(c, 0x10 + 40), 0x8071);
    apicbus_eoi(c->bus, 0x71);
}

/* A handler that never reaches its device must not keep the processor in the interrupt for ever. */
TEST(io_storm)
{
    chips_redirect(c, 20, 0x8071);
    irq_set(c->line[20], true);
    unsigned n = 0;
    while (chips_pending(c, 0) && n < 100000) {
        chips_ack(c, 0);
        eoi(c, 0);
        n++;
    }
    CHECK(n > 1000 && n < 100000);
    chips_advance(c, 20000000);
    CHECK(chips_pending(c, 0));
    irq_set(c->line[20], false);
}

TEST(io_extint)
{
    chips_out(c, 0x20, 0x11);
    chips_out(c, 0x21, 0x20);
    chips_out(c, 0x21, 4);
    chips_out(c, 0x21, 1);
    chips_out(c, 0x21, 0);
    chips_redirect(c, 2, 0x700);            /* ExtINT through the I/O APIC */
    irq_pulse(c->line[0]);
    CHECK(chips_pending(c, 0));
    CHECK_EQ(chips_ack(c, 0), 0x20);
    CHECK(!chips_pending(c, 0));
}

TEST(state)
{
    chips_redirect(c, 20, 0x8071);
    irq_set(c->line[20], true);
    chips_ack(c, 0);
    ipi(c, 0, 0, 0x40000 | 0x99);
    chips_apic_write(c, 0, 0x3e0, 0xb);
    chips_apic_write(c, 0, 0x320, 0x20040);
    chips_apic_write(c, 0, 0x380, 250000);
    chips_advance(c, 100000);
    round_trip(c->ioapic);
    round_trip(c->lapic[0]);
    CHECK_EQ(chips_ack(c, 0), 0x99);
    eoi(c, 0);
    CHECK_EQ(chips_apic(c, 0, 0x390), 150000);
    chips_advance(c, 150000);
    irq_set(c->line[20], false);
    eoi(c, 0);                              /* 0x71, level: reaches the I/O APIC */
    CHECK(!(chips_ioapic(c, 0x10 + 40) & 0x4000));
    CHECK_EQ(receivers(c, 0x40), 1);
    X86LapicState s;
    lapic_state_out(c->lapic[0], &s);
    CHECK_EQ(s.reg[0x38], 250000);
    memset(&s, 0xff, sizeof(s));            /* hostile, but a bool is one after every loader */
    s.timer_running = true;
    lapic_state_in(c->lapic[0], &s);
    chips_pending(c, 0);
    chips_ack(c, 0);
    device_reset(c->lapic[0]);
}

int main(void)
{
    static void (*const tests[])(Chips *) = {
        reset_values, priorities, ipi_matrix, lowest_priority, other_modes, init_resets, errors, x2apic, relocation, countdown, deadline, lint,
        io_edge, io_level, io_eoi_variants, io_storm, io_extint, state,
    };
    for (unsigned i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        Chips c;
        chips_init(&c, 4);
        chips_enable(&c);
        tests[i](&c);
        chips_clear(&c);
    }
    printf("lapic: ok\n");
    return 0;
}
