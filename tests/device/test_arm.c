/* Chips of the AArch64 virt machine: GICv2, GICv3, v2m, timers and PSCI, PL011, PL031, PL061, NOR flash, fw_cfg as memory. Time is manual. */
#include <string.h>

#include "cpu/aarch64/state.h"
#include "cpu/aarch64/sysreg.h"
#include "hw/gpio/pl061.h"
#include "hw/intc/armcpu.h"
#include "hw/intc/gic.h"
#include "hw/misc/fw_cfg.h"
#include "hw/storage/cfi-flash.h"
#include "tests/device/noengine.h"
#include "tests/device/roundtrip.h"
#include "tests/unit/check.h"
#include "util/bits.h"
#include "vmm/chardev.h"
#include "vmm/machine.h"

extern const DeviceClass pl011_class, pl031_class;
enum { CPUS = 4, DIST = 0x8000000, CPUIF = 0x8010000, REDIST = 0x80a0000, UART = 0x9000000, GPIO = 0x9030000, FLASH = 0x10000000, FW = 0x9020000, RTC = 0x9010000 };
typedef struct Board {
    Machine *m;
    Device *gic, *cpus;
    Irq *spi[GIC_SPIS];
    unsigned self;              /* whose accesses these are */
} Board;

static void cpu_reset(void *state, unsigned index, bool init) { a64_state_reset(state, A64_EL1, index); }
static const CpuType cpu_type = { .name = "aarch64", NO_CPU(A64State, A64_GROUP_ALL), .reset = cpu_reset };
static unsigned who(void *opaque) { return ((Board *)opaque)->self; }

static Device *make(Board *b, const DeviceClass *k, const char *prop, const char *value)
{
    GError *err = NULL;
    Device *dev = device_new(b->m, k, NULL, &err);
    CHECK(dev && (!prop || device_set_prop(dev, prop, value, &err)) && device_realize(dev, NULL, &err));
    return dev;
}

static void map(Board *b, uint64_t at, Device *dev, unsigned region)
{
    mem_region_add(machine_mem_root(b->m), at, device_mmio(dev, region), 0);
    mem_commit_now(machine_mem(b->m));
}

static void board_init(Board *b, bool v3)
{
    GError *err = NULL;
    Vcpu *cpus[CPUS];
    memset(b, 0, sizeof(*b));
    MachineConfig cfg = { .name = "none", .n_vcpus = CPUS, .max_vcpus = CPUS, .cpu = &cpu_type, .accel = &no_engine };
    b->m = machine_new(&cfg, &err);
    CHECK(b->m);
    mclock_set_manual(machine_clock(b->m));
    for (unsigned i = 0; i < CPUS; i++)
        cpus[i] = machine_vcpu(b->m, i);
    b->gic = device_new(b->m, v3 ? &gicv3_class : &gicv2_class, NULL, &err);
    gic_setup(b->gic, &(GicSetup){ .cpus = cpus, .n = CPUS, .self = who, .opaque = b });
    CHECK(device_set_prop(b->gic, "cpus", "4", &err) && device_realize(b->gic, NULL, &err));
    b->cpus = device_new(b->m, &arm_cpus_class, NULL, &err);
    arm_cpus_setup(b->cpus, cpus, CPUS, v3 ? b->gic : NULL);
    CHECK(device_realize(b->cpus, NULL, &err));
    for (unsigned i = 0; i < 2 * CPUS; i++)
        irq_connect(b->gic->irq[i], device_input(b->cpus, i));
    for (unsigned i = 0; i < CPUS; i++)
        irq_connect(b->cpus->irq[A64_TIMERS * i + A64_TIMER_VIRT], device_input(b->gic, GIC_SPIS + 32 * i + 27));
    for (unsigned i = 0; i < GIC_SPIS; i++) {
        b->spi[i] = irq_new();
        irq_connect(b->spi[i], device_input(b->gic, i));
    }
    map(b, DIST, b->gic, 0);
    map(b, v3 ? REDIST : CPUIF, b->gic, 1);
}

static void board_clear(Board *b)
{
    for (unsigned i = 0; i < GIC_SPIS; i++)
        irq_free(b->spi[i]);
    machine_free(b->m);
}

static uint64_t load(Board *b, uint64_t gpa, unsigned size)
{
    uint64_t v = 0;
    as_load(machine_as_mem(b->m), gpa, size, &v);
    return v;
}

static void store(Board *b, uint64_t gpa, unsigned size, uint64_t v)
{
    as_store(machine_as_mem(b->m), gpa, size, v);
    mem_commit_now(machine_mem(b->m));
}

static uint32_t r32(Board *b, uint64_t gpa) { return (uint32_t)load(b, gpa, 4); }
static void w32(Board *b, uint64_t gpa, uint32_t v) { store(b, gpa, 4, v); }

static uint64_t sysreg(Board *b, unsigned cpu, uint32_t reg)
{
    uint64_t v = 0;
    CpuIntc *i = &machine_vcpu(b->m, cpu)->intc;
    CHECK(i->ops->msr_read(i->opaque, reg, &v));
    return v;
}

static bool sysreg_put(Board *b, unsigned cpu, uint32_t reg, uint64_t v)
{
    CpuIntc *i = &machine_vcpu(b->m, cpu)->intc;
    return i->ops->msr_write(i->opaque, reg, v);
}

static unsigned lines(Board *b, unsigned cpu) { return (unsigned)sysreg(b, cpu, A64_MACHINE_LINES); }

/* ---- GICv2 ---- */

static void v2_on(Board *b)
{
    w32(b, DIST, 1);
    for (b->self = CPUS; b->self-- > 0;) {
        w32(b, CPUIF, 1);
        w32(b, CPUIF + 4, 0xff);
        if (!b->self)
            break;
    }
}

static void test_v2(void)
{
    Board board, *b = &board;
    board_init(b, false);
    v2_on(b);
    CHECK_EQ(r32(b, DIST + 4), 8 | 3 << 5);
    CHECK_EQ(r32(b, DIST + 0xfe8) & 0xf0, 0x20);
    CHECK_EQ(r32(b, CPUIF + 4), 0xf8);                      /* five bits of priority */
    CHECK_EQ(r32(b, DIST + 0x800), 0x01010101);
    /* level: pending while up, again after the end of interrupt */
    w32(b, DIST + 0x104, 1 << 3);
    store(b, DIST + 0x800 + 35, 1, 3);
    irq_set(b->spi[3], true);
    CHECK_EQ(lines(b, 0), A64_LINE_IRQ);
    CHECK_EQ(lines(b, 1), A64_LINE_IRQ);
    CHECK_EQ(lines(b, 2), 0);
    CHECK_EQ(r32(b, CPUIF + 0x18), 35);
    CHECK_EQ(r32(b, CPUIF + 0xc), 35);
    CHECK_EQ(lines(b, 0) | lines(b, 1), 0);
    CHECK_EQ(r32(b, DIST + 0x304), 1 << 3);
    CHECK_EQ(r32(b, CPUIF + 0xc), 1023);
    w32(b, CPUIF + 0x10, 35);
    CHECK_EQ(lines(b, 0), A64_LINE_IRQ);
    CHECK_EQ(r32(b, CPUIF + 0xc), 35);
    irq_set(b->spi[3], false);
    w32(b, CPUIF + 0x10, 35);
    CHECK_EQ(lines(b, 0), 0);
    /* edge: once, also if it went away */
    w32(b, DIST + 0xc08, 2 << 2 * 4);
    w32(b, DIST + 0x104, 1 << 4);
    store(b, DIST + 0x800 + 36, 1, 1);
    irq_pulse(b->spi[4]);
    CHECK_EQ(r32(b, DIST + 0x204), 1 << 4);
    CHECK_EQ(r32(b, CPUIF + 0xc), 36);
    irq_pulse(b->spi[4]);                                   /* while active: pending again */
    w32(b, CPUIF + 0x10, 36);
    CHECK_EQ(r32(b, CPUIF + 0xc), 36);
    w32(b, CPUIF + 0x10, 36);
    CHECK_EQ(r32(b, CPUIF + 0xc), 1023);
    round_trip(b->gic);
    board_clear(b);
}

static void test_v2_priorities(void)
{
    Board board, *b = &board;
    board_init(b, false);
    v2_on(b);
    for (unsigned i = 0; i < 3; i++) {
        store(b, DIST + 0x800 + 40 + i, 1, 1);
        store(b, DIST + 0x400 + 40 + i, 1, 0xa0 - 0x20 * i);
    }
    CHECK_EQ(r32(b, DIST + 0x428), 0x6080a0);
    w32(b, DIST + 0x104, 7 << 8);
    w32(b, DIST + 0x204, 1 << 8);
    CHECK_EQ(r32(b, CPUIF + 0xc), 40);
    CHECK_EQ(r32(b, CPUIF + 0x14), 0xa0);
    w32(b, DIST + 0x204, 2 << 8);                           /* more important: preempts */
    CHECK_EQ(lines(b, 0), A64_LINE_IRQ);
    CHECK_EQ(r32(b, CPUIF + 0xc), 41);
    CHECK_EQ(r32(b, CPUIF + 0x14), 0x80);
    w32(b, CPUIF + 4, 0x60);                                /* mask: only what is below */
    w32(b, DIST + 0x204, 4 << 8);
    CHECK_EQ(lines(b, 0), 0);
    w32(b, CPUIF + 4, 0x68);
    CHECK_EQ(lines(b, 0), A64_LINE_IRQ);
    CHECK_EQ(r32(b, CPUIF + 0xc), 42);
    for (unsigned i = 42; i >= 40; i--)
        w32(b, CPUIF + 0x10, i);
    CHECK_EQ(r32(b, CPUIF + 0x14), 0xff);
    CHECK_EQ(r32(b, DIST + 0x304), 0);
    /* EOImode: drop, then deactivate */
    w32(b, CPUIF, 0x201);
    w32(b, CPUIF + 4, 0xff);
    w32(b, DIST + 0x204, 1 << 8);
    CHECK_EQ(r32(b, CPUIF + 0xc), 40);
    w32(b, CPUIF + 0x10, 40);
    CHECK_EQ(r32(b, CPUIF + 0x14), 0xff);
    CHECK_EQ(r32(b, DIST + 0x304), 1 << 8);
    w32(b, CPUIF + 0x1000, 40);
    CHECK_EQ(r32(b, DIST + 0x304), 0);
    /* group 1 goes by the aliased registers, group 0 may be FIQ */
    w32(b, DIST, 3);
    w32(b, CPUIF, 0xb);
    w32(b, DIST + 0x84, 1 << 8);
    w32(b, DIST + 0x204, 1 << 8);
    CHECK_EQ(lines(b, 0), A64_LINE_IRQ);
    CHECK_EQ(r32(b, CPUIF + 0xc), 1022);
    CHECK_EQ(r32(b, CPUIF + 0x20), 40);
    w32(b, CPUIF + 0x24, 40);
    w32(b, DIST + 0x204, 2 << 8);
    CHECK_EQ(lines(b, 0), A64_LINE_FIQ);
    board_clear(b);
}

static void test_v2_sgi(void)
{
    Board board, *b = &board;
    board_init(b, false);
    v2_on(b);
    b->self = 2;
    w32(b, DIST + 0xf00, 1 << 16 | 5);                      /* list: CPU 0 */
    b->self = 3;
    w32(b, DIST + 0xf00, 1 << 24 | 5);                      /* all but me */
    CHECK_EQ(lines(b, 3), 0);
    CHECK_EQ(lines(b, 1), A64_LINE_IRQ);
    b->self = 0;
    CHECK_EQ(r32(b, DIST + 0xf20 + 4) >> 8, 0xc);           /* from 2 and 3 */
    round_trip(b->gic);
    CHECK_EQ(r32(b, CPUIF + 0xc), 5 | 2 << 10);
    CHECK_EQ(r32(b, CPUIF + 0xc), 1023);
    w32(b, CPUIF + 0x10, 5 | 2 << 10);
    CHECK_EQ(r32(b, CPUIF + 0xc), 5 | 3 << 10);
    w32(b, CPUIF + 0x10, 5 | 3 << 10);
    CHECK_EQ(lines(b, 0), 0);
    w32(b, DIST + 0xf00, 2 << 24 | 1);                      /* me */
    CHECK_EQ(r32(b, CPUIF + 0xc), 1);
    board_clear(b);
}

/* ---- GICv3 ---- */

static void v3_on(Board *b)
{
    w32(b, DIST, 3);
    for (unsigned i = 0; i < CPUS; i++) {
        uint64_t r = REDIST + i * (uint64_t)GICR_STRIDE;
        CHECK_EQ(r32(b, r + 0x14), 0);         /* nobody below the guest wakes it */
        w32(b, r + 0x14, 2);
        CHECK_EQ(r32(b, r + 0x14), 6);
        w32(b, r + 0x14, 0);
        CHECK_EQ(r32(b, r + 0x14), 0);
        w32(b, r + 0x10080, ~0u);
        w32(b, r + 0x10100, ~0u);
        CHECK(sysreg_put(b, i, A64_ICC_PMR, 0xf0) && sysreg_put(b, i, A64_ICC_IGRPEN1, 1) && sysreg_put(b, i, A64_ICC_IGRPEN0, 1));
    }
}

static void test_v3(void)
{
    Board board, *b = &board;
    board_init(b, true);
    v3_on(b);
    CHECK_EQ(r32(b, DIST), 0x53);
    CHECK_EQ(r32(b, DIST + 4) & 0x1f, 8);
    CHECK_EQ(r32(b, DIST + 0xffe8), 0x3b);
    CHECK_EQ(load(b, REDIST + 8, 8), 0);
    CHECK_EQ(load(b, REDIST + 3 * GICR_STRIDE + 8, 8), 3ull << 32 | 3 << 8 | 0x10);
    CHECK_EQ(sysreg(b, 0, A64_ICC_CTLR) >> 8 & 7, 4);
    /* a group-1 SPI routed to CPU 2 */
    w32(b, DIST + 0x84, 1 << 8);
    w32(b, DIST + 0x104, 1 << 8);
    store(b, DIST + 0x6000 + 8 * 40, 8, 2);
    CHECK_EQ(load(b, DIST + 0x6000 + 8 * 40, 8), 2);
    irq_set(b->spi[8], true);
    CHECK_EQ(lines(b, 0), 0);
    CHECK_EQ(lines(b, 2), A64_LINE_IRQ);
    CHECK_EQ(sysreg(b, 2, A64_ICC_HPPIR1), 40);
    CHECK_EQ(sysreg(b, 2, A64_ICC_IAR0), 1023);
    CHECK_EQ(sysreg(b, 2, A64_ICC_IAR1), 40);
    CHECK_EQ(sysreg(b, 2, A64_ICC_AP1R0), 1);
    CHECK_EQ(lines(b, 2), 0);
    irq_set(b->spi[8], false);
    round_trip(b->gic);
    CHECK(sysreg_put(b, 2, A64_ICC_EOIR1, 40));
    CHECK_EQ(sysreg(b, 2, A64_ICC_RPR), 0xff);
    CHECK_EQ(r32(b, DIST + 0x304), 0);
    store(b, DIST + 0x6000 + 8 * 40, 8, 9);                 /* no such CPU */
    irq_set(b->spi[8], true);
    for (unsigned i = 0; i < CPUS; i++)
        CHECK_EQ(lines(b, i), 0);
    irq_set(b->spi[8], false);
    /* SGIs: to a list, to all others; group 0 is FIQ */
    CHECK(sysreg_put(b, 0, A64_ICC_SGI1R, 7ull << 24 | 0xa));
    CHECK_EQ(lines(b, 1), A64_LINE_IRQ);
    CHECK_EQ(lines(b, 3), A64_LINE_IRQ);
    CHECK_EQ(lines(b, 2), 0);
    CHECK_EQ(sysreg(b, 1, A64_ICC_IAR1), 7);
    CHECK(sysreg_put(b, 1, A64_ICC_EOIR1, 7));
    CHECK(sysreg_put(b, 1, A64_ICC_SGI1R, 1ull << 40 | 3ull << 24));
    CHECK_EQ(lines(b, 1), 0);
    CHECK_EQ(lines(b, 0), A64_LINE_IRQ);
    CHECK_EQ(sysreg(b, 0, A64_ICC_IAR1), 3);
    w32(b, REDIST + 0x10080, ~(1u << 4));
    CHECK(sysreg_put(b, 1, A64_ICC_SGI1R, 4ull << 24 | 1));  /* wrong group: nothing */
    CHECK_EQ(lines(b, 0), 0);
    CHECK(sysreg_put(b, 0, A64_ICC_EOIR1, 3));
    CHECK(sysreg_put(b, 1, A64_ICC_SGI0R, 4ull << 24 | 1));
    CHECK_EQ(lines(b, 0), A64_LINE_FIQ);
    CHECK_EQ(sysreg(b, 0, A64_ICC_IAR0), 4);
    CHECK(!sysreg_put(b, 0, A64_ICC_SGI0R + 1, 0));
    board_clear(b);
}

static void test_v2m(void)
{
    Board board, *b = &board;
    board_init(b, false);
    v2_on(b);
    Device *v2m = make(b, &gicv2m_class, NULL, NULL);
    map(b, 0x8020000, v2m, 0);
    for (unsigned i = 0; i < v2m->n_irq; i++)
        irq_connect(v2m->irq[i], device_input(b->gic, 48 + i));
    CHECK_EQ(r32(b, 0x8020008), 80 << 16 | 64);
    w32(b, DIST + 0xc00 + 4 * 5, 2 << 2 * 3);               /* interrupt 83 */
    w32(b, DIST + 0x108, 1 << 19);
    store(b, DIST + 0x800 + 83, 1, 1);
    gicv2m_msi(v2m, 83);
    CHECK_EQ(r32(b, CPUIF + 0xc), 83);
    w32(b, CPUIF + 0x10, 83);
    w32(b, 0x8020040, 83);
    CHECK_EQ(r32(b, CPUIF + 0xc), 83);
    gicv2m_msi(v2m, 79);
    gicv2m_msi(v2m, 144);
    board_clear(b);
}

/* ---- timers and power ---- */

static void test_cpus(void)
{
    Board board, *b = &board;
    board_init(b, false);
    v2_on(b);
    b->self = 1;
    w32(b, DIST + 0x100, 1 << 27);
    uint64_t now = sysreg(b, 1, A64_MACHINE_COUNTER);
    CHECK(sysreg_put(b, 1, A64_MACHINE_TIMER + A64_TIMER_VIRT, now + 62500) && sysreg_put(b, 1, A64_MACHINE_TIMER + 8 + A64_TIMER_VIRT, 1));
    mclock_advance(machine_clock(b->m), 999999);
    CHECK_EQ(lines(b, 1), 0);
    mclock_advance(machine_clock(b->m), 1);
    CHECK_EQ(lines(b, 1), A64_LINE_IRQ);
    CHECK_EQ(sysreg(b, 1, A64_MACHINE_COUNTER), now + 62500);
    round_trip(b->cpus);
    CHECK_EQ(lines(b, 1), A64_LINE_IRQ);
    CHECK(sysreg_put(b, 1, A64_MACHINE_TIMER + 8 + A64_TIMER_VIRT, 3));
    CHECK_EQ(lines(b, 1), 0);
    CHECK(sysreg_put(b, 1, A64_MACHINE_TIMER + A64_TIMER_VIRT, ~0ull) && sysreg_put(b, 1, A64_MACHINE_TIMER + 8 + A64_TIMER_VIRT, 1));
    CHECK_EQ(lines(b, 1), 0);
    board_clear(b);
}

static int64_t psci(Board *b, unsigned cpu, uint64_t fn, uint64_t x1, uint64_t x2, uint64_t x3)
{
    const uint64_t arg[] = { fn, x1, x2, x3 };
    for (unsigned i = 0; i < 4; i++)
        CHECK(sysreg_put(b, cpu, A64_MACHINE_PSCI + i, arg[i]));
    return (int64_t)sysreg(b, cpu, A64_MACHINE_PSCI);
}

static void test_psci(void)
{
    Board board, *b = &board;
    uint64_t v;
    board_init(b, false);
    CpuIntc *third = &machine_vcpu(b->m, 3)->intc;
    CHECK_EQ(psci(b, 0, 0x84000000, 0, 0, 0), 0x10001);
    CHECK_EQ(psci(b, 0, 0x8400000a, 0xc4000003, 0, 0), 0);
    CHECK_EQ(psci(b, 0, 0x8400000a, 0xc4000008, 0, 0), -1);
    CHECK_EQ(psci(b, 0, 0x80000000, 0, 0, 0), -1);
    CHECK_EQ(psci(b, 0, 0x84000006, 0, 0, 0), 2);
    CHECK_EQ(psci(b, 0, 0xc4000004, 3, 0, 0), A64_POWER_OFF);
    CHECK_EQ(psci(b, 0, 0xc4000003, 0, 0x1000, 0), -4);
    CHECK_EQ(psci(b, 0, 0xc4000003, 77, 0x1000, 0), -2);
    CHECK(!third->ops->msr_read(third->opaque, A64_MACHINE_START_PC, &v));
    CHECK_EQ(psci(b, 0, 0xc4000003, 3, 0x40001000, 0x55), 0);
    CHECK(vcpu_events_take(machine_vcpu(b->m, 3), ~0u) & VCPU_EV_SIPI);
    CHECK_EQ(psci(b, 0, 0xc4000004, 3, 0, 0), A64_POWER_ON_PENDING);
    CHECK_EQ(psci(b, 0, 0xc4000003, 3, 0x1000, 0), -5);
    round_trip(b->cpus);
    CHECK(vcpu_events_take(machine_vcpu(b->m, 3), ~0u) & VCPU_EV_SIPI);
    CHECK_EQ(sysreg(b, 3, A64_MACHINE_START_PC), 0x40001000);
    CHECK_EQ(sysreg(b, 3, A64_MACHINE_START_X0), 0x55);
    CHECK_EQ(psci(b, 0, 0xc4000004, 3, 0, 0), A64_POWER_ON);
    CHECK_EQ((uint64_t)psci(b, 3, 0x84000002, 0, 0, 0), A64_PSCI_STOP);
    CHECK_EQ(psci(b, 0, 0xc4000004, 3, 0, 0), A64_POWER_OFF);
    board_clear(b);
}

/* ---- PrimeCells ---- */

static uint8_t sent[64];
static unsigned n_sent;
static ssize_t back_write(void *opaque, const uint8_t *buf, size_t len)
{
    size_t room = *(size_t *)opaque;
    len = MIN(len, MIN(room, sizeof(sent) - n_sent));
    memcpy(sent + n_sent, buf, len);
    n_sent += (unsigned)len;
    *(size_t *)opaque -= len;
    return (ssize_t)len;
}
static const CharBackOps back = { .write = back_write };

static void test_pl011(void)
{
    Board board, *b = &board;
    size_t room = 3;
    board_init(b, false);
    CharDev *chr = chardev_new("line", &back, &room);
    CHECK(machine_add_object(b->m, "chardev", "line", chr, (GDestroyNotify)chardev_free, NULL));
    Device *uart = make(b, &pl011_class, "chardev", "line");
    map(b, UART, uart, 0);
    CHECK_EQ(r32(b, UART + 0xfe0), 0x11);
    w32(b, UART + 0x2c, 0x70);                              /* 8 bits, FIFOs */
    w32(b, UART + 0x38, 0x7ff);
    for (unsigned i = 0; i < 14; i++)
        w32(b, UART, 'a' + i);
    CHECK_EQ(n_sent, 3);
    CHECK(!(r32(b, UART + 0x3c) & 0x20));                   /* 11 wait: above the level of 8 ... */
    CHECK(!(r32(b, UART + 0x18) & 0x80));
    round_trip(uart);
    room = 64;
    chardev_writable(chr);
    CHECK_EQ(n_sent, 14);
    CHECK(!memcmp(sent, "abcdefghijklmn", 14));
    CHECK(r32(b, UART + 0x3c) & 0x20);
    CHECK(irq_level(uart->irq[0]));
    w32(b, UART + 0x44, 0x20);
    CHECK(!irq_level(uart->irq[0]));
    /* receiver: below the level only the time-out tells, and only after 32 bits */
    CHECK_EQ(chardev_receive(chr, (const uint8_t *)"xy", 2), 2);
    CHECK(!irq_level(uart->irq[0]));
    mclock_advance(machine_clock(b->m), 40 * NS_PER_MS);
    CHECK_EQ(r32(b, UART + 0x40), 0x40);
    CHECK_EQ(r32(b, UART), 'x');
    CHECK_EQ(r32(b, UART), 'y');
    CHECK(!irq_level(uart->irq[0]));
    CHECK_EQ(chardev_receive(chr, (const uint8_t *)"0123456789abcdefgh", 18), 16);
    CHECK(r32(b, UART + 0x40) & 0x10);
    CHECK(r32(b, UART + 0x18) & 0x40);
    for (unsigned i = 0; i < 16; i++)
        CHECK_EQ(r32(b, UART), (unsigned)"0123456789abcdef"[i]);
    CHECK(r32(b, UART + 0x18) & 0x10);
    w32(b, UART + 0x30, 0x380);                             /* loopback */
    w32(b, UART, 'z');
    CHECK_EQ(r32(b, UART), 'z');
    board_clear(b);
}

static void test_gpio_and_rtc(void)
{
    Board board, *b = &board;
    board_init(b, false);
    Device *gpio = make(b, &pl061_class, NULL, NULL), *key = make(b, &gpio_key_class, NULL, NULL), *rtc = make(b, &pl031_class, NULL, NULL);
    map(b, GPIO, gpio, 0);
    map(b, RTC, rtc, 0);
    irq_connect(key->irq[0], device_input(gpio, 3));
    w32(b, GPIO + 0x408, 8);                                /* both edges of pin 3 */
    w32(b, GPIO + 0x410, 8);
    CHECK_EQ(r32(b, GPIO + (0xff << 2)), 0);
    gpio_key_press(key);
    CHECK_EQ(r32(b, GPIO + (8 << 2)), 8);
    CHECK_EQ(r32(b, GPIO + (4 << 2)), 0);
    CHECK(irq_level(gpio->irq[0]));
    w32(b, GPIO + 0x41c, 8);
    CHECK(!irq_level(gpio->irq[0]));
    round_trip(gpio);
    mclock_advance(machine_clock(b->m), 100 * NS_PER_MS);
    CHECK_EQ(r32(b, GPIO + 0x418), 8);
    CHECK_EQ(r32(b, GPIO + (8 << 2)), 0);
    w32(b, GPIO + 0x400, 1);
    w32(b, GPIO + (3 << 2), 3);                             /* bit 1 is an input */
    CHECK(irq_level(gpio->irq[1]) && !irq_level(gpio->irq[2]));
    w32(b, RTC + 8, 1000);
    CHECK_EQ(r32(b, RTC), 1000);
    w32(b, RTC + 0x10, 1);
    w32(b, RTC + 4, 1003);
    mclock_advance(machine_clock(b->m), 2 * NS_PER_SEC);
    CHECK_EQ(r32(b, RTC), 1002);
    CHECK(!irq_level(rtc->irq[0]));
    round_trip(rtc);
    mclock_advance(machine_clock(b->m), NS_PER_SEC);
    CHECK(irq_level(rtc->irq[0]));
    w32(b, RTC + 0x1c, 1);
    CHECK(!irq_level(rtc->irq[0]));
    board_clear(b);
}

/* ---- flash, fw_cfg ---- */

static void test_flash(void)
{
    Board board, *b = &board;
    board_init(b, false);
    Device *f = make(b, &cfi_flash_class, "size", "64M");
    map(b, FLASH, f, 0);
    CHECK(cfi_flash_fill(f, "firmware", 8));
    CHECK_EQ(load(b, FLASH, 8), load_le64("firmware"));
    w32(b, FLASH + 0x55 * 4, 0x980098);
    static const char qry[] = "QRY";
    for (unsigned i = 0; i < 3; i++)
        CHECK_EQ(r32(b, FLASH + 4 * (0x10 + i)), (unsigned)qry[i] * 0x10001);
    CHECK_EQ(r32(b, FLASH + 4 * 0x27) & 0xff, 25);          /* two chips of 32 MiB */
    CHECK_EQ(r32(b, FLASH + 4 * 0x2d) & 0xff, 255);
    w32(b, FLASH, 0xff00ff);
    CHECK_EQ(load(b, FLASH, 8), load_le64("firmware"));
    w32(b, FLASH, 0x900090);
    CHECK_EQ(r32(b, FLASH), 0x890089);
    /* a word; programming only clears bits */
    w32(b, FLASH, 0x400040);
    w32(b, FLASH + 0x1000, 0x12345678);
    CHECK_EQ(r32(b, FLASH), 0x800080);
    w32(b, FLASH, 0xff00ff);
    CHECK_EQ(r32(b, FLASH + 0x1000), 0x12345678);
    /* a buffer */
    w32(b, FLASH + 0x40000, 0xe800e8);
    CHECK_EQ(r32(b, FLASH + 0x40000), 0x800080);
    w32(b, FLASH + 0x40000, 0x30003);
    for (unsigned i = 0; i < 4; i++)
        w32(b, FLASH + 0x40000 + 4 * i, 0x1000 + i);
    round_trip(f);
    w32(b, FLASH + 0x40000, 0xd000d0);
    w32(b, FLASH, 0xff00ff);
    CHECK_EQ(r32(b, FLASH + 0x4000c), 0x1003);
    /* erase a sector, not its neighbours */
    w32(b, FLASH + 0x1000, 0x200020);
    w32(b, FLASH + 0x1000, 0xd000d0);
    CHECK_EQ(r32(b, FLASH), 0x800080);
    w32(b, FLASH, 0x500050);
    CHECK_EQ(load(b, FLASH, 8), ~0ull);
    CHECK_EQ(r32(b, FLASH + 0x40000), 0x1000);
    board_clear(b);
}

static void test_fw_cfg(void)
{
    Board board, *b = &board;
    board_init(b, false);
    Device *fw = make(b, &fw_cfg_class, NULL, NULL);
    map(b, FW, fw, 0);
    store(b, FW + 8, 2, 0);                                 /* big endian */
    CHECK_EQ(load(b, FW, 4), load_le32("QEMU"));
    store(b, FW + 8, 2, 0x100);
    CHECK_EQ(load(b, FW, 1), 3);
    CHECK_EQ(load(b, FW + 16, 8), load_le64("QEMU CFG"));
    board_clear(b);
}

int main(void)
{
    test_v2();
    test_v2_priorities();
    test_v2_sgi();
    test_v3();
    test_v2m();
    test_cpus();
    test_psci();
    test_pl011();
    test_gpio_and_rtc();
    test_flash();
    test_fw_cfg();
    return 0;
}
