#pragma once
#include "tests/guest/print.h"

/* What bare-metal images share: console, system registers, EL0, PSCI. Built for armv8-a, linked at 0x40200000, entered at EL1. */
#define READ(r) ({ u64 v_; __asm__ volatile("mrs %0, " #r : "=r"(v_)); v_; })
#define WRITE(r, v) __asm__ volatile("msr " #r ", %0\nisb" : : "r"((u64)(v)) : "memory")
enum { GICD = 0x8000000, GICC = 0x8010000, GICR = 0x80a0000 };

u64 run_el0(u64 (*fn)(u64), u64 arg);
void run_end(void);
void secondary(void);
void cpu_main(u64 cpu);
void trap(u64 kind, u64 *regs);

static inline u64 psci(u64 fn, u64 a, u64 b, u64 c)
{
    register u64 x0 __asm__("x0") = fn, x1 __asm__("x1") = a, x2 __asm__("x2") = b, x3 __asm__("x3") = c;
    __asm__ volatile("hvc #0" : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3) : : "memory", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17");
    return x0;
}

static inline void finish(void)
{
    psci(0x84000008, 0, 0, 0);
    for (;;)
        __asm__ volatile("wfi");
}
