/* Interrupt translation service and LPIs: commands and messages of an operating system, and of one that means ill. Without a CPU. */
#include <string.h>

#include "cpu/aarch64/state.h"
#include "cpu/aarch64/sysreg.h"
#include "hw/intc/armcpu.h"
#include "hw/intc/gic.h"
#include "tests/device/noengine.h"
#include "tests/device/roundtrip.h"
#include "tests/unit/check.h"
#include "vmm/machine.h"

enum { CPUS = 4, DIST = 0x8000000, ITS = 0x8080000, REDIST = 0x80a0000, RAM_BYTES = 0x400000 };
/* What the guest has in its memory. */
enum { QUEUE = 0x10000, DEVICES = 0x20000, COLLECTIONS = 0x30000, PROP = 0x40000, PEND = 0x50000, ITT = 0x90000, SECOND = 0xa0000 };
enum { MOVI = 1, INT = 3, CLEAR = 4, SYNC = 5, MAPD = 8, MAPC = 9, MAPTI = 10, MAPI = 11, INV = 12, INVALL = 13, MOVALL = 14, DISCARD = 15 };
#define VALID (1ull << 63)

typedef struct Board {
    Machine *m;
    Device *gic, *cpus, *its;
    MemRegion *ram;
    uint64_t tail;
} Board;

static void cpu_reset(void *state, unsigned index, bool init) { a64_state_reset(state, A64_EL1, index); }
static const CpuType cpu_type = { .name = "aarch64", NO_CPU(A64State, A64_GROUP_ALL), .reset = cpu_reset };

static uint64_t load(Board *b, uint64_t gpa, unsigned size)
{
    uint64_t v = 0;
    as_load(machine_as_mem(b->m), gpa, size, &v);
    return v;
}

static void store(Board *b, uint64_t gpa, unsigned size, uint64_t v) { as_store(machine_as_mem(b->m), gpa, size, v); }

static uint64_t sysreg(Board *b, unsigned cpu, uint32_t reg)
{
    uint64_t v = 0;
    CpuIntc *i = &machine_vcpu(b->m, cpu)->intc;
    CHECK(i->ops->msr_read(i->opaque, reg, &v));
    return v;
}

static void sysreg_put(Board *b, unsigned cpu, uint32_t reg, uint64_t v)
{
    CpuIntc *i = &machine_vcpu(b->m, cpu)->intc;
    CHECK(i->ops->msr_write(i->opaque, reg, v));
}

static bool waits(Board *b, unsigned cpu) { return sysreg(b, cpu, A64_MACHINE_LINES) == A64_LINE_IRQ; }

/* Acknowledge and end. */
static uint64_t take(Board *b, unsigned cpu)
{
    uint64_t irq = sysreg(b, cpu, A64_ICC_IAR1);
    if (irq != 1023)
        sysreg_put(b, cpu, A64_ICC_EOIR1, irq);
    return irq;
}

static void map(Board *b, uint64_t at, MemRegion *mr) { mem_region_add(machine_mem_root(b->m), at, mr, 0); }

static void board_init(Board *b)
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
    b->gic = device_new(b->m, &gicv3_class, NULL, &err);
    gic_setup(b->gic, &(GicSetup){ .cpus = cpus, .n = CPUS });
    CHECK(device_set_prop(b->gic, "cpus", "4", &err) && device_set_prop(b->gic, "lpis", "on", &err) && device_realize(b->gic, NULL, &err));
    b->cpus = device_new(b->m, &arm_cpus_class, NULL, &err);
    arm_cpus_setup(b->cpus, cpus, CPUS, b->gic);
    CHECK(device_realize(b->cpus, NULL, &err));
    for (unsigned i = 0; i < 2 * CPUS; i++)
        irq_connect(b->gic->irq[i], device_input(b->cpus, i));
    b->its = device_new(b->m, &its_class, NULL, &err);
    its_setup(b->its, b->gic);
    CHECK(device_realize(b->its, NULL, &err));
    b->ram = mem_region_new_ram(machine_mem(b->m), "ram", RAM_BYTES, &err);
    CHECK(b->ram);
    map(b, 0, b->ram);
    map(b, DIST, device_mmio(b->gic, 0));
    map(b, REDIST, device_mmio(b->gic, 1));
    map(b, ITS, device_mmio(b->its, 0));
    mem_commit_now(machine_mem(b->m));
}

static void board_clear(Board *b)
{
    mem_region_unref(b->ram);
    machine_free(b->m);
}

/* One command, carried out when it returns. */
static void command(Board *b, uint64_t w0, uint64_t w1, uint64_t w2, uint64_t w3)
{
    const uint64_t w[] = { w0, w1, w2, w3 };
    for (unsigned i = 0; i < 4; i++)
        store(b, QUEUE + b->tail + 8 * i, 8, w[i]);
    b->tail = (b->tail + 32) % 0x1000;
    store(b, ITS + 0x88, 8, b->tail);
    CHECK_EQ(load(b, ITS + 0x90, 8), b->tail);
}

static void event(Board *b, unsigned op, uint64_t dev, uint64_t n, uint64_t irq, uint64_t coll) { command(b, dev << 32 | op, irq << 32 | n, coll, 0); }

/* Four CPUs that take LPIs, each the collection of its number; device 8 has 32 events. */
static void on(Board *b, bool indirect)
{
    store(b, DIST, 4, 3);
    for (unsigned i = 0; i < CPUS; i++) {
        uint64_t r = REDIST + i * (uint64_t)GICR_STRIDE;
        store(b, r + 0x14, 4, 0);
        store(b, r + 0x70, 8, PROP | 15);
        store(b, r + 0x78, 8, (PEND + 0x10000 * (uint64_t)i) | 1ull << 62);
        store(b, r, 4, 1);
        sysreg_put(b, i, A64_ICC_PMR, 0xf0);
        sysreg_put(b, i, A64_ICC_IGRPEN1, 1);
    }
    store(b, ITS + 0x100, 8, VALID | (indirect ? 1ull << 62 : 0) | DEVICES);
    store(b, ITS + 0x108, 8, VALID | COLLECTIONS);
    if (indirect)
        store(b, DEVICES, 8, VALID | SECOND);
    store(b, ITS + 0x80, 8, VALID | QUEUE);
    store(b, ITS, 4, 1);
    for (uint64_t i = 0; i < CPUS; i++)
        command(b, MAPC, 0, VALID | i << 16 | i, 0);
    command(b, 8ull << 32 | MAPD, 4, VALID | ITT, 0);
}

static void configure(Board *b, uint32_t irq, uint8_t conf) { store(b, PROP + irq - 8192, 1, conf); }

static void test_messages(bool indirect)
{
    Board board, *b = &board;
    board_init(b);
    CHECK_EQ(load(b, ITS, 4), 1u << 31);
    CHECK_EQ(load(b, ITS + 8, 8), 1 | 7 << 4 | 15 << 8 | 15 << 13);
    CHECK_EQ(load(b, ITS + 0xffe8, 4), 0x3b);
    CHECK_EQ(load(b, ITS + 0x100, 8), 1ull << 56 | 7ull << 48);
    CHECK_EQ(load(b, ITS + 0x108, 8), 4ull << 56 | 7ull << 48);
    CHECK_EQ(load(b, ITS + 0x110, 8), 0);
    CHECK_EQ(load(b, DIST + 4, 4) >> 17 & 0x7d, 1 | 15 << 2);
    CHECK_EQ(load(b, REDIST + 8, 4) & 1, 1);
    on(b, indirect);
    CHECK_EQ(load(b, REDIST, 4), 3);
    CHECK_EQ(load(b, REDIST + 0x78, 8), PEND);
    its_msi(b->its, 8, 3);                                  /* not mapped yet */
    event(b, MAPTI, 8, 3, 8200, 1);
    event(b, MAPI, 8, 4, 0, 1);                             /* 4 is no LPI */
    configure(b, 8200, 0xa1);
    event(b, INV, 8, 3, 0, 0);
    for (unsigned i = 0; i < CPUS; i++)
        CHECK(!waits(b, i));
    its_msi(b->its, 9, 3);
    its_msi(b->its, 8, 4);
    its_msi(b->its, 8, 1u << 31);
    its_msi(b->its, 0x10008, 3);
    CHECK(!waits(b, 1));
    its_msi(b->its, 8, 3);
    its_msi(b->its, 8, 3);                                  /* an edge more: still one */
    CHECK(waits(b, 1) && !waits(b, 0));
    round_trip(b->gic);
    round_trip(b->its);
    CHECK_EQ(sysreg(b, 1, A64_ICC_HPPIR1), 8200);
    CHECK_EQ(sysreg(b, 1, A64_ICC_IAR1), 8200);
    CHECK_EQ(sysreg(b, 1, A64_ICC_RPR), 0xa0);
    CHECK(!waits(b, 1));
    its_msi(b->its, 8, 3);                                  /* no active state: pending again, behind itself */
    CHECK(!waits(b, 1));
    sysreg_put(b, 1, A64_ICC_EOIR1, 8200);
    CHECK(waits(b, 1));
    CHECK_EQ(take(b, 1), 8200);
    CHECK_EQ(sysreg(b, 1, A64_ICC_RPR), 0xff);
    CHECK_EQ(take(b, 1), 1023);
    board_clear(b);
}

static void test_commands(void)
{
    Board board, *b = &board;
    board_init(b);
    on(b, false);
    for (uint32_t i = 0; i < 4; i++) {
        event(b, MAPTI, 8, i, 8192 + i, 0);
        configure(b, 8192 + i, (uint8_t)(0xc1 - 0x10 * i));
    }
    command(b, INVALL, 0, 0, 0);
    for (unsigned i = 0; i < 4; i++)
        event(b, INT, 8, i, 0, 0);
    CHECK_EQ(sysreg(b, 0, A64_ICC_HPPIR1), 8195);           /* the most important */
    event(b, MOVI, 8, 3, 0, 2);                             /* and with it what is pending */
    CHECK_EQ(take(b, 2), 8195);
    CHECK_EQ(take(b, 0), 8194);
    event(b, CLEAR, 8, 1, 0, 0);
    CHECK_EQ(sysreg(b, 0, A64_ICC_HPPIR1), 8192);
    configure(b, 8192, 0xc0);                               /* off: stays pending */
    event(b, INV, 8, 0, 0, 0);
    CHECK(!waits(b, 0));
    configure(b, 8192, 0xc1);
    event(b, INV, 8, 0, 0, 0);
    CHECK(waits(b, 0));
    command(b, MOVALL, 0, 0, 3ull << 16);
    CHECK(!waits(b, 0));
    CHECK_EQ(take(b, 3), 8192);
    command(b, MOVALL, 0, 9ull << 16, 3ull << 16);          /* no such CPU */
    event(b, INT, 8, 0, 0, 0);
    event(b, DISCARD, 8, 0, 0, 0);
    CHECK(!waits(b, 0));
    its_msi(b->its, 8, 0);
    CHECK(!waits(b, 0));
    command(b, MAPC, 0, 2, 0);                              /* collection 2 is no more */
    its_msi(b->its, 8, 3);
    CHECK(!waits(b, 2));
    command(b, 8ull << 32 | MAPD, 0, 0, 0);
    its_msi(b->its, 8, 1);
    CHECK(!waits(b, 0));
    command(b, SYNC, 0, 0, 0);
    command(b, 0x2a, 0, 0, 0);                              /* of the GICv4 */
    CHECK_EQ(load(b, ITS, 4), 1);
    store(b, ITS + 0x80, 8, 0);                             /* fixed while enabled */
    CHECK_EQ(load(b, ITS + 0x80, 8), VALID | QUEUE);
    board_clear(b);
}

/* What is pending when LPIs are switched off is in the guest's table, and comes from there. */
static void test_pending_table(void)
{
    Board board, *b = &board;
    board_init(b);
    on(b, false);
    event(b, MAPTI, 8, 0, 8200, 0);
    event(b, INT, 8, 0, 0, 0);
    configure(b, 8200, 1);
    CHECK(!waits(b, 0));
    store(b, REDIST, 4, 0);
    CHECK_EQ(load(b, PEND + 8200 / 8, 1), 1);
    its_msi(b->its, 8, 0);                                  /* lost: off */
    store(b, PEND + 8208 / 8, 1, 1);
    configure(b, 8208, 1);
    store(b, REDIST + 0x70, 8, PROP | 13);
    store(b, REDIST, 4, 1);
    CHECK_EQ(take(b, 0), 8200);
    CHECK_EQ(take(b, 0), 8208);
    CHECK(!waits(b, 0));
    device_reset(b->gic);
    device_reset(b->its);
    CHECK_EQ(load(b, REDIST, 4), 2);
    CHECK_EQ(load(b, ITS + 0x80, 8), 0);
    board_clear(b);
}

/* Tables and queue in holes, over themselves, of sizes that do not fit. */
static void test_hostile(void)
{
    Board board, *b = &board;
    board_init(b);
    on(b, false);
    store(b, ITS + 0x88, 8, 0x1000);                        /* beyond the queue: nothing */
    CHECK_EQ(load(b, ITS + 0x90, 8), b->tail);
    command(b, 8ull << 32 | MAPD, 31, VALID | ITT, 0);      /* too many events */
    command(b, 8ull << 32 | MAPD, 15, VALID | 0x000fffffffffff00ull, 0);
    event(b, MAPTI, 8, 77, 8200, 0);
    its_msi(b->its, 8, 77);
    command(b, 600ull << 32 | MAPD, 1, VALID | ITT, 0);     /* the table has one page */
    command(b, 8ull << 32 | MAPD, 4, VALID | ITT, 0);
    store(b, ITT, 8, VALID | 0xffffffffull << 16);          /* what no command made */
    its_msi(b->its, 8, 0);
    store(b, ITT, 8, VALID | 8200ull << 16 | 0xffff);
    its_msi(b->its, 8, 0);
    store(b, COLLECTIONS, 8, VALID | 0xffff);
    store(b, ITT, 8, VALID | 8200ull << 16);
    its_msi(b->its, 8, 0);
    for (unsigned i = 0; i < CPUS; i++)
        CHECK(!waits(b, i));
    store(b, ITS, 4, 0);
    store(b, ITS + 0x80, 8, VALID | 0xff | 0x7f000000);     /* the largest queue, in a hole */
    store(b, ITS + 0x88, 8, 0xfffe0);
    store(b, ITS, 4, 1);
    CHECK_EQ(load(b, ITS + 0x90, 8), 1);                    /* stalled */
    store(b, ITS + 0x88, 8, 0x20);
    CHECK_EQ(load(b, ITS + 0x90, 8), 1);
    store(b, ITS, 4, 0);
    store(b, ITS + 0x80, 8, VALID | 0xff | QUEUE);          /* and over everything */
    store(b, ITS, 4, 1);
    store(b, ITS + 0x88, 8, 0xfffe1);
    CHECK_EQ(load(b, ITS + 0x90, 8), 0xfffe0);
    store(b, REDIST, 4, 0);
    store(b, REDIST + 0x70, 8, 0x7f000000 | 31);
    store(b, REDIST + 0x78, 8, 0x7f000000);
    store(b, REDIST, 4, 1);
    store(b, REDIST, 4, 0);
    board_clear(b);
}

int main(void)
{
    test_messages(false);
    test_messages(true);
    test_commands();
    test_pending_table();
    test_hostile();
    return 0;
}
