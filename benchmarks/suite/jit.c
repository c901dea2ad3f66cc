/* Code made at run time: what a JIT compiler or a loader does to a translator. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "benchmarks/suite/suite.h"

typedef uint64_t (*Func)(uint64_t);
enum { PAGES = 64 << 10 };

static uint8_t *code_memory(size_t size)
{
    uint8_t *p = mmap(NULL, size, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        perror("jit: mmap");
        return NULL;
    }
    return p;
}

static Func function_at(uint8_t *p)
{
    union { uint8_t *p; Func f; } u = { .p = p };
    return u.f;
}

static uint8_t *bytes(uint8_t *p, const void *from, unsigned len)
{
    memcpy(p, from, len);
    return p + len;
}

/* rax = ((rdi + k1) ^ rdi << 3) * k2..., @steps times */
static uint8_t *emit(uint8_t *p, uint64_t *seed, unsigned steps)
{
    p = bytes(p, "\x48\x89\xf8", 3);                                    /* mov rax, rdi */
    for (unsigned i = 0; i < steps; i++) {
        uint32_t k = (uint32_t)suite_random(seed) & 0x7fffffff;
        switch (k % 4) {
        case 0: p = bytes(bytes(p, "\x48\x05", 2), &k, 4); break;       /* add rax, k */
        case 1: p = bytes(bytes(p, "\x48\x35", 2), &k, 4); break;       /* xor rax, k */
        case 2: p = bytes(p, "\x48\xc1\xc0\x07\x48\x01\xf8", 7); break; /* rol rax, 7; add rax, rdi */
        default: p = bytes(p, "\xa8\x10\x74\x03\x48\xff\xc0", 7); break;/* test al, 16; jz +3; inc rax */
        }
    }
    *p++ = 0xc3;
    return p;
}

/* A constant in a function is rewritten before each few calls. */
static uint64_t run_patch(uint64_t n)
{
    uint8_t *p = code_memory(PAGES);
    uint64_t seed = 71, sum = 0;
    if (!p)
        return 0;
    static const uint8_t f[] = { 0x48, 0x89, 0xf8, 0x48, 0x05, 0, 0, 0, 0, 0x48, 0xc1, 0xc0, 0x05, 0xc3 };
    memcpy(p, f, sizeof(f));
    for (uint64_t i = 0; i < n; i++) {
        uint32_t k = (uint32_t)suite_random(&seed) & 0x7fffffff;
        memcpy(p + 5, &k, 4);
        for (unsigned r = 0; r < 4; r++)
            sum = function_at(p)(sum);
    }
    munmap(p, PAGES);
    return sum;
}

/* Functions are written one behind the other, called fifty times each, and written over when the memory is full. */
static uint64_t run_jit(uint64_t n)
{
    uint8_t *base = code_memory(PAGES), *p = base;
    uint64_t seed = 72, sum = 0;
    if (!base)
        return 0;
    for (uint64_t i = 0; i < n; i++) {
        if (p + 512 > base + PAGES)
            p = base;
        uint8_t *f = p;
        p = emit(p, &seed, 30);
        for (unsigned r = 0; r < 50; r++)
            sum = function_at(f)(sum + r);
    }
    munmap(base, PAGES);
    return sum;
}

/* Variables beside the code that uses them. */
static uint64_t run_mixed(uint64_t n)
{
    uint8_t *p = code_memory(PAGES);
    uint64_t seed = 73, sum = 0;
    if (!p)
        return 0;
    emit(p, &seed, 10);
    volatile uint64_t *var = (volatile uint64_t *)(void *)(p + 2048);
    for (uint64_t i = 0; i < n; i++) {
        *var = sum + i;
        sum = function_at(p)(*var);
    }
    munmap(p, PAGES);
    return sum;
}

/* Everything runs once: what translation itself costs. */
static uint64_t run_cold(uint64_t n)
{
    uint64_t seed = 74, sum = 0;
    uint8_t *base = code_memory(n * 512);
    if (!base)
        return 0;
    for (uint64_t i = 0; i < n; i++)
        emit(base + i * 512, &seed, 70);
    for (uint64_t i = 0; i < n; i++)
        sum = function_at(base + i * 512)(sum);
    munmap(base, n * 512);
    return sum;
}

const Workload suite_jit[] = {
    { "smc-patch", "self-modifying", 10000, run_patch, "", "a constant in a function rewritten, the function called four times" },
    { "smc-jit", "self-modifying", 3000, run_jit, "", "a function of 150 bytes written and called fifty times" },
    { "smc-data", "self-modifying", 600000, run_mixed, "", "a variable on the page of the code that is called" },
    { "cold", "translation", 3000, run_cold, "", "a function of 100 instructions that runs once" },
    { 0 },
};
