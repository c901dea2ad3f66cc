/* Interrupts: software, timer, Sstc, PLIC with the UART, priorities, WFI. */
#include "tests/guest/riscv/guest.h"

static volatile u64 seen, last, count;

u64 trap(u64 *regs);
u64 trap(u64 *regs)
{
    u64 cause = CSR_READ(mcause);
    if (!(cause >> 63)) {
        if (regs[17] == 0x1234) {
            CSR_SET(mstatus, 3 << 11);
            CSR_WRITE(mepc, run_end);
            return 0;
        }
        show("unexpected", cause);
        finish(1);
    }
    cause &= 63;
    seen |= 1ull << cause;
    last = cause;
    count++;
    switch (cause) {
    case 3: REG32(0x2000000) = 0; break;
    case 7: REG64(0x2004000) = -1; break;
    case 11: {
        uint32_t n = REG32(0xc200004);
        if (n && n != 10)
            show("claim", n);
        *(volatile uint8_t *)0x10000001 = 0;    /* no more interrupts of the UART */
        REG32(0xc200004) = n;
        break;
    }
    default: CSR_CLEAR(mie, 1ull << cause); break;
    }
    return 0;
}

static void wait(u64 bit)
{
    while (!(seen >> bit & 1))
        __asm__ volatile("wfi");
    show("took", bit);
    seen = 0;
}

static volatile u64 s_seen;
void s_trap(void);
__asm__(".text\n.balign 4\n.globl s_trap\ns_trap: addi sp, sp, -16\nsd t0, (sp)\nsd t1, 8(sp)\ncsrr t0, scause\nla t1, s_seen\nsd t0, (t1)\n"
        "li t0, -1\ncsrw 0x14d, t0\ncsrci sip, 2\nld t0, (sp)\nld t1, 8(sp)\naddi sp, sp, 16\nsret\n");

static u64 s_timer(u64 arg)
{
    s_seen = 0;
    CSR_SET(sie, 1 << 5);
    CSR_SET(sstatus, 2);
    u64 now = CSR_READ(time);
    __asm__ volatile("csrw 0x14d, %0" : : "r"(now + 20000));
    while (!s_seen)
        __asm__ volatile("wfi");
    return s_seen + (CSR_READ(time) - now >= 20000 ? 0 : arg);
}

static u64 s_soft(u64 arg)
{
    (void)arg;
    s_seen = 0;
    CSR_SET(sie, 1 << 1);
    CSR_SET(sip, 2);
    while (!s_seen)
        ;
    return s_seen;
}

void hart_main(u64 hart)
{
    if (hart)
        return;
    CSR_WRITE(mie, 0x888);
    CSR_SET(mstatus, 8);
    REG32(0x2000000) = 1;
    wait(3);
    REG64(0x2004000) = REG64(0x200bff8) + 10000;
    wait(7);
    /* 32-bit halves */
    u64 t = REG64(0x200bff8) + 10000;
    REG32(0x2004004) = -1;
    REG32(0x2004000) = (uint32_t)t;
    REG32(0x2004004) = t >> 32;
    wait(7);
    /* both at once: software first */
    CSR_CLEAR(mstatus, 8);
    REG64(0x2004000) = 0;
    REG32(0x2000000) = 1;
    while ((CSR_READ(mip) & 0x88) != 0x88)
        ;
    show("mip", CSR_READ(mip) & 0x888);
    count = 0;
    CSR_SET(mstatus, 8);
    while (count < 2)
        ;
    show("last", last);
    seen = 0;
    /* UART: transmitter empty through the PLIC */
    REG32(0xc000000 + 4 * 10) = 1;
    REG32(0xc002000) = 1 << 10;
    REG32(0xc200000) = 0;
    *(volatile uint8_t *)0x10000001 = 2;
    wait(11);
    show("claim after", REG32(0xc200004));
    show("pending", REG32(0xc001000));
    REG32(0xc200000) = 7;
    show("threshold", REG32(0xc200000));
    /* supervisor: Sstc and software */
    CSR_WRITE(mideleg, 0x222);
    CSR_WRITE(stvec, s_trap);
    CSR_WRITE(mcounteren, 7);
    CSR_SET(0x30a, 1ull << 63);
    show("stimer", run_in(s_timer, 1000, S));
    show("ssoft", run_in(s_soft, 0, S));
    finish(0);
}
