/* Says that it is ready, waits for the power key on the GPIO controller, tells, and switches off. */
#include "tests/guest/aarch64/guest.h"

enum { GPIO = 0x9030000, PIN = 8 };

void trap(u64 kind, u64 *regs)
{
    show("unexpected", kind);
    show("at", regs[31]);
    finish();
}

void cpu_main(u64 cpu)
{
    (void)cpu;
    REG32(GPIO + 0x404) = 0;                            /* edges, the rising one, of the key's pin */
    REG32(GPIO + 0x40c) = PIN;
    REG32(GPIO + 0x410) = PIN;
    *(volatile uint8_t *)(GICD + 0x800 + 39) = 1;
    REG32(GICD + 0x104) = 1 << 7;
    REG32(GICD) = 1;
    REG32(GICC) = 1;
    REG32(GICC + 4) = 0xf0;
    print("ready\n");
    while (!(READ(isr_el1) & 0x80))
        __asm__ volatile("wfi");
    show("interrupt", REG32(GICC + 0xc));
    show("key", REG32(GPIO + 0x418));
    show("level", REG32(GPIO + (PIN << 2)));
    finish();
}
