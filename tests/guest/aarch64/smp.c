/* Two CPUs, the second switched on by PSCI: exclusives, LSE, locks, message passing, store buffering with barriers, SGIs, TLB flushes that reach all.
 * What has them wait for one another ends after a time at the latest: on one core of the host each turn costs an emulator a slice of its scheduler. */
#include "tests/guest/aarch64/guest.h"

enum { CPUS = 2, ROUNDS = 2000, SECONDS_BUFFER = 3, SECONDS_MESSAGE = 5 };
static const u64 LAST = ~0ull;
static volatile u64 arrived, a_excl, a_lse, a_lock, lock_word, slow_sum, up[CPUS];
static volatile uint32_t a_excl32, bits;
static volatile u64 x[2], seen[2], both_zero, data, flag, stale, turn, over, sgis[CPUS], wrong;
static u64 pages[2][512] __attribute__((aligned(4096))), top[512] __attribute__((aligned(4096))), mid[512] __attribute__((aligned(4096))),
    low[512] __attribute__((aligned(4096)));

void trap(u64 kind, u64 *regs)
{
    if (kind == 5) {
        uint32_t n = REG32(GICC + 0xc);
        sgis[READ(mpidr_el1) & 7]++;
        REG32(GICC + 0x10) = n;
        return;
    }
    show("unexpected", READ(esr_el1));
    show("at", regs[31]);
    finish();
}

static void meet(void)
{
    u64 n = __atomic_add_fetch(&arrived, 1, __ATOMIC_SEQ_CST), until = (n + CPUS - 1) / CPUS * CPUS;
    while (__atomic_load_n(&arrived, __ATOMIC_SEQ_CST) < until)
        __asm__ volatile("yield");
}

static void exclusives(void)
{
    u64 v;
    uint32_t fail;
    do
        __asm__ volatile("ldaxr %0, [%2]\nadd %0, %0, #1\nstlxr %w1, %0, [%2]" : "=&r"(v), "=&r"(fail) : "r"(&a_excl) : "memory");
    while (fail);
    do
        __asm__ volatile("ldxr %w0, [%2]\nadd %w0, %w0, #1\nstxr %w1, %w0, [%2]" : "=&r"(v), "=&r"(fail) : "r"(&a_excl32) : "memory");
    while (fail);
}

static void with_lock(void)
{
    u64 old, one = 1;
    do
        __asm__ volatile("swpa %1, %0, [%2]" : "=r"(old) : "r"(one), "r"(&lock_word) : "memory");
    while (old);
    a_lock = a_lock + 1;
    slow_sum = slow_sum + a_lock;
    __asm__ volatile("stlr xzr, [%0]" : : "r"(&lock_word) : "memory");
}

static void store_buffer(u64 cpu)
{
    u64 start = READ(cntvct_el0);
    for (unsigned n = 0; !over; n++) {
        meet();
        if (cpu == 0) {
            x[0] = x[1] = 0;
            over = n + 1 >= ROUNDS / 20 || READ(cntvct_el0) - start > SECONDS_BUFFER * READ(cntfrq_el0);
        }
        meet();
        if (cpu < 2) {
            x[cpu] = 1;
            __asm__ volatile("dmb ish" : : : "memory");
            seen[cpu] = x[!cpu];
        }
        meet();
        if (cpu == 0 && !seen[0] && !seen[1])
            both_zero++;
    }
}

static void message(u64 cpu)
{
    u64 start = READ(cntvct_el0), got = 0, n = 0;
    while (got != LAST && n != LAST) {
        if (cpu == 0) {
            n = n + 2 >= ROUNDS || READ(cntvct_el0) - start > SECONDS_MESSAGE * READ(cntfrq_el0) ? LAST : n + 1;
            while (turn)
                ;
            data = n;
            __asm__ volatile("dmb ishst" : : : "memory");
            flag = n;
            turn = 1;
        } else {
            while (flag == got)
                ;
            got = flag;
            __asm__ volatile("dmb ishld" : : : "memory");
            stale += data != got;
            while (!turn)
                ;
            turn = 0;
        }
    }
}

/* ---- TLBI of one CPU, seen by the others ---- */
static const u64 BASE = 0x80000000;

static void mmu_on(void)
{
    WRITE(mair_el1, 0xff);
    WRITE(tcr_el1, 25 | 25 << 16 | 3 << 12 | 5 << 8 | 1 << 23 | 2ull << 32);
    WRITE(ttbr0_el1, top);
    __asm__ volatile("dsb sy\ntlbi vmalle1\ndsb sy\nisb" : : : "memory");
    WRITE(sctlr_el1, READ(sctlr_el1) | 5);
}

static void flushes(u64 cpu)
{
    const u64 attr = 0x703;
    if (cpu == 0) {
        pages[0][0] = 111;
        pages[1][0] = 222;
        top[0] = 0x701 | 1ull << 53 | 1ull << 54;
        top[1] = 0x40000701;
        top[2] = (u64)mid | 3;
        mid[0] = (u64)low | 3;
        low[0] = (u64)pages[0] | attr;
    }
    meet();
    mmu_on();
    for (unsigned n = 0; n < 100; n++) {
        meet();
        wrong += REG64(BASE) != (n & 1 ? 222 : 111);
        meet();
        if (cpu == (n & 1)) {
            low[0] = (u64)pages[!(n & 1)] | attr;
            __asm__ volatile("dsb ishst\ntlbi vaae1is, %0\ndsb ish\nisb" : : "r"(BASE >> 12) : "memory");
        }
    }
    meet();
}

static void gic_on(void)
{
    REG32(GICC + 4) = 0xf0;
    REG32(GICC) = 1;
    __asm__ volatile("msr daifclr, #2");
}

static void work(u64 cpu)
{
    gic_on();
    meet();
    for (unsigned n = 0; n < ROUNDS; n++) {
        exclusives();
        __asm__ volatile("ldadd %0, xzr, [%1]" : : "r"(3ull), "r"(&a_lse) : "memory");
        __asm__ volatile("ldset %w0, wzr, [%1]" : : "r"(1u << (n % 31)), "r"(&bits) : "memory");
        with_lock();
    }
    store_buffer(cpu);
    message(cpu);
    meet();
    if (cpu == 0)
        REG32(GICD + 0xf00) = 1 << 24 | 7;              /* to all others, who wait for it */
    while (cpu && !sgis[cpu]) {
        __asm__ volatile("msr daifset, #2" : : : "memory");
        if (!sgis[cpu])
            __asm__ volatile("wfi");
        __asm__ volatile("msr daifclr, #2" : : : "memory");
    }
    meet();
    flushes(cpu);
}

void cpu_main(u64 cpu)
{
    up[cpu] = 1;
    if (cpu == 0) {
        REG32(GICD) = 1;
        show("version", psci(0x84000000, 0, 0, 0) >> 16);
        show("affinity", psci(0xc4000004, 1, 0, 0));
        show("no such cpu", psci(0xc4000003, 77, (u64)secondary, 0));
        for (u64 n = 1; n < CPUS; n++) {
            show("on", psci(0xc4000003, n, (u64)secondary, n));
            while (!up[n])
                ;
        }
        show("on again", psci(0xc4000003, 1, (u64)secondary, 1));
        show("affinity", psci(0xc4000004, 1, 0, 0));
    }
    work(cpu);
    if (cpu == CPUS - 1)
        psci(0x84000002, 0, 0, 0);                      /* off */
    if (cpu)
        for (;;)
            __asm__ volatile("wfi");
    while (psci(0xc4000004, CPUS - 1, 0, 0) != 1)
        ;
    show("exclusive", a_excl);
    show("exclusive 32", a_excl32);
    show("lse", a_lse);
    show("bits", bits);
    show("lock", a_lock);
    show("sum", slow_sum);
    show("both zero", both_zero);
    show("stale", stale);
    show("sgis", sgis[1]);
    show("wrong", wrong);
    finish();
}
