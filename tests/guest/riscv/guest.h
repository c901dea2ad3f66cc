#pragma once
#include "tests/guest/print.h"

/* What bare-metal images share: console, CSRs, modes. Built for rv64gc, at 0x80000000, in machine mode. */
#define CSR_READ(c) ({ u64 v_; __asm__ volatile("csrr %0, " #c : "=r"(v_)); v_; })
#define CSR_WRITE(c, v) __asm__ volatile("csrw " #c ", %0" : : "r"((u64)(v)) : "memory")
#define CSR_SET(c, v) __asm__ volatile("csrs " #c ", %0" : : "r"((u64)(v)) : "memory")
#define CSR_CLEAR(c, v) __asm__ volatile("csrc " #c ", %0" : : "r"((u64)(v)) : "memory")
enum { U = 0, S = 1, M = 3 };

u64 run_in(u64 (*fn)(u64), u64 arg, u64 mode);
void run_end(void);
void hart_main(u64 hart);

static inline void finish(unsigned code) { REG32(0x100000) = code ? code << 16 | 0x3333 : 0x5555; }

/* In a program that expects no trap. */
static inline __attribute__((noreturn)) void unexpected_trap(void)
{
    show("unexpected", CSR_READ(mcause));
    show("at", CSR_READ(mepc));
    finish(1);
    for (;;)
        ;
}
