#pragma once
#include <stdint.h>

/* What bare-metal images of every guest print with. */
typedef uint64_t u64;
#define REG32(a) (*(volatile uint32_t *)(uintptr_t)(a))
#define REG64(a) (*(volatile u64 *)(uintptr_t)(a))
/* The data register of the machine's UART. */
#ifdef __aarch64__
enum { UART = 0x9000000 };
static inline void put(char c) { REG32(UART) = (unsigned char)c; }
#else
enum { UART = 0x10000000 };
static inline void put(char c) { *(volatile char *)UART = c; }
#endif

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
