#pragma once
#include <stdint.h>

/* What bare-metal images share: console, CSRs, modes. Built for rv64gc, at 0x80000000, in machine mode. */
typedef uint64_t u64;
#define CSR_READ(c) ({ u64 v_; __asm__ volatile("csrr %0, " #c : "=r"(v_)); v_; })
#define CSR_WRITE(c, v) __asm__ volatile("csrw " #c ", %0" : : "r"((u64)(v)) : "memory")
#define CSR_SET(c, v) __asm__ volatile("csrs " #c ", %0" : : "r"((u64)(v)) : "memory")
#define CSR_CLEAR(c, v) __asm__ volatile("csrc " #c ", %0" : : "r"((u64)(v)) : "memory")
enum { U = 0, S = 1, M = 3 };
#define REG32(a) (*(volatile uint32_t *)(uintptr_t)(a))
#define REG64(a) (*(volatile u64 *)(uintptr_t)(a))

u64 run_in(u64 (*fn)(u64), u64 arg, u64 mode);
void run_end(void);
void hart_main(u64 hart);

static inline void put(char c) { *(volatile char *)0x10000000 = c; }

static inline void print(const char *s)
{
    while (*s)
        put(*s++);
}

static inline void print_hex(u64 v)
{
    int top = 60;
    while (top && !(v >> top))
        top -= 4;
    for (; top >= 0; top -= 4)
        put("0123456789abcdef"[v >> top & 15]);
}

static inline void show(const char *what, u64 v)
{
    print(what);
    put(' ');
    print_hex(v);
    put('\n');
}

static inline void finish(unsigned code) { REG32(0x100000) = code ? code << 16 | 0x3333 : 0x5555; }
