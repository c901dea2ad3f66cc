/* Interrupts by GICv2 or GICv3 (as ID_AA64PFR0 says): timers, SGIs, the UART's, priorities and preemption, masks, WFI, the power key's controller. */
#include "tests/guest/aarch64/guest.h"

static int v3;
static volatile u64 seen, last, count, nested;
static volatile int nest;

static u64 ack(void) { return v3 ? READ(s3_0_c12_c12_0) : REG32(GICC + 0xc); }
static void eoi(u64 n)
{
    if (v3)
        WRITE(s3_0_c12_c12_1, n);
    else
        REG32(GICC + 0x10) = (uint32_t)n;
}
static void set_pmr(u64 v)
{
    if (v3)
        WRITE(s3_0_c4_c6_0, v);
    else
        REG32(GICC + 4) = (uint32_t)v;
}
static u64 running(void) { return v3 ? READ(s3_0_c12_c11_3) : REG32(GICC + 0x14); }
/* Registers of the private interrupts. */
static u64 own(u64 off) { return v3 ? GICR + 0x10000 + off : GICD + off; }
static void unmask(void) { __asm__ volatile("msr daifclr, #2" : : : "memory"); }
static void mask(void) { __asm__ volatile("msr daifset, #2" : : : "memory"); }
static void prio(unsigned n, unsigned v) { *(volatile uint8_t *)(n < 32 ? own(0x400 + n) : GICD + 0x400 + n) = (uint8_t)v; }

void trap(u64 kind, u64 *regs)
{
    if (kind != 5) {
        show("unexpected", kind);
        show("esr", READ(esr_el1));
        show("elr", regs[31]);
        finish();
    }
    u64 n = ack();
    last = n;
    count++;
    if (n == 27)
        WRITE(cntv_ctl_el0, 2);
    if (n == 30)
        WRITE(cntp_ctl_el0, 2);
    if (n == 33)
        REG32(UART + 0x38) = 0;                         /* no more interrupts of the UART */
    if (n < 1020)
        seen |= 1ull << (n & 63);
    if (nest && n == 40) {                              /* let 41 in */
        nest = 0;
        REG32(GICD + 0x204) = 1 << 9;
        u64 spsr = READ(spsr_el1), elr = READ(elr_el1);
        unmask();
        while (!(seen >> 41 & 1))
            ;
        mask();
        WRITE(spsr_el1, spsr);
        WRITE(elr_el1, elr);
        nested = running();
    }
    if (n < 1020)
        eoi(n);
}

static void wait(unsigned n)
{
    while (!(seen >> n & 1)) {
        mask();
        if (!(seen >> n & 1))
            __asm__ volatile("wfi");
        unmask();
    }
    show("took", n);
    seen = 0;
}

static void sgi(unsigned n)
{
    if (v3)
        WRITE(s3_0_c12_c11_5, (u64)n << 24 | 1);
    else
        REG32(GICD + 0xf00) = 2 << 24 | n;
}

static void gic_on(void)
{
    if (v3) {
        REG32(GICD) = 0x12;
        REG32(GICR + 0x14) = 0;
        while (REG32(GICR + 0x14) & 4)
            ;
        REG32(own(0x80)) = ~0u;
        for (unsigned i = 1; i < 9; i++)
            REG32(GICD + 0x80 + 4 * i) = ~0u;
        WRITE(s3_0_c12_c12_7, 1);
    } else {
        REG32(GICD) = 1;
        REG32(GICC) = 1;
    }
    set_pmr(0xf0);
    REG32(own(0x100)) = ~0u;
    for (unsigned n = 0; n < 32; n++)
        prio(n, 0xa0);
}

static void test_priorities(void)
{
    REG32(GICD + 0xc08) = 0x2a0000;                     /* 40, 41, 42: edge */
    prio(40, 0xa0);
    prio(41, 0x80);
    prio(42, 0x80);
    REG32(GICD + 0x104) = 7 << 8;
    mask();
    REG32(GICD + 0x204) = 7 << 8;
    show("pending", REG32(GICD + 0x204) & 0x700);
    show("highest", v3 ? READ(s3_0_c12_c12_2) : REG32(GICC + 0x18));
    u64 a = ack();
    show("first", a);
    show("active", REG32(GICD + 0x304));
    show("running", running() & 0xf8);
    show("nothing better", ack());
    eoi(a);
    a = ack();
    show("second", a);
    eoi(a);
    a = ack();
    show("third", a);
    eoi(a);
    show("idle", running() & 0xf8);
    nest = 1;
    seen = 0;
    REG32(GICD + 0x204) = 1 << 8;
    unmask();
    while (!(seen >> 40 & 1) || nest)
        ;
    show("nested", nested & 0xf8);
    set_pmr(0x80);
    REG32(GICD + 0x204) = 1 << 8;
    for (volatile int i = 0; i < 1000; i++)
        ;
    show("masked", REG32(GICD + 0x204) & 0x700);
    seen = 0;
    set_pmr(0xf0);
    wait(40);
}

void cpu_main(u64 cpu)
{
    (void)cpu;
    v3 = READ(id_aa64pfr0_el1) >> 24 & 1;
    show("gic", v3 ? 3 : 2);
    gic_on();
    unmask();
    sgi(5);
    wait(5);
    sgi(15);
    wait(15);
    WRITE(cntv_tval_el0, 100000);
    WRITE(cntv_ctl_el0, 1);
    wait(27);
    show("ctl", READ(cntv_ctl_el0) & 3);
    u64 before = READ(cntpct_el0);
    WRITE(cntp_cval_el0, before + 100000);
    WRITE(cntp_ctl_el0, 1);
    wait(30);
    show("in time", READ(cntpct_el0) - before >= 100000);
    WRITE(cntv_tval_el0, -1);
    WRITE(cntv_ctl_el0, 3);                             /* met, but masked */
    show("status", READ(cntv_ctl_el0));
    show("isr", READ(isr_el1));
    mask();
    sgi(3);
    __asm__ volatile("wfi");                            /* does not wait: one is pending, masked as it is */
    show("isr", READ(isr_el1));
    unmask();
    wait(3);
    /* UART: transmitter */
    if (!v3)
        *(volatile uint8_t *)(GICD + 0x800 + 33) = 1;
    REG32(GICD + 0x104) = 2;
    prio(33, 0xa0);
    REG32(UART + 0x38) = 1 << 5;
    put('\n');
    wait(33);
    test_priorities();
    finish();
}
