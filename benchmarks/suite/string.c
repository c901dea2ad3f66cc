/* The C library's memory and string functions; which variants it takes depends on the CPU that it sees. */
#include <stdlib.h>
#include <string.h>

#include "benchmarks/suite/suite.h"

enum { BIG = 8 << 20 };

/* The compiler must not see what is called, or it would do it inline. */
typedef struct Calls {
    void *(*copy)(void *, const void *, size_t);
    void *(*set)(void *, int, size_t);
    size_t (*len)(const char *);
    char *(*chr)(const char *, int);
    int (*cmp)(const char *, const char *);
    void *(*memchr)(const void *, int, size_t);
} Calls;

static const Calls *calls(void)
{
    static const Calls c = { memcpy, memset, strlen, (char *(*)(const char *, int))strchr, strcmp, (void *(*)(const void *, int, size_t))memchr };
    const Calls *p = &c;
    __asm__ volatile("" : "+r"(p));
    return p;
}

static uint64_t copies(uint64_t n, size_t size)
{
    const Calls *c = calls();
    uint8_t *a = malloc(2 * size + 64), *b = a + size + 64;
    uint64_t sum = 0;
    if (!a)
        return 0;
    memset(a, 1, 2 * size + 64);
    for (uint64_t i = 0; i < n; i++) {
        a[i % size] = (uint8_t)i;
        c->copy(b - (i & 15), a, size);
        sum += b[i * 7 % (size - 16)];
    }
    free(a);
    return sum + 1;
}

static uint64_t sets(uint64_t n, size_t size)
{
    const Calls *c = calls();
    uint8_t *a = malloc(size);
    uint64_t sum = 0;
    if (!a)
        return 0;
    for (uint64_t i = 0; i < n; i++) {
        c->set(a, (int)(i & 255), size);
        sum += a[i * 7 % size];
    }
    free(a);
    return sum + 1;
}

static uint64_t run_copy_64(uint64_t n) { return copies(n, 64); }
static uint64_t run_copy_1k(uint64_t n) { return copies(n, 1024); }
static uint64_t run_copy_256k(uint64_t n) { return copies(n, 256 << 10); }
static uint64_t run_copy_8m(uint64_t n) { return copies(n, BIG); }
static uint64_t run_set_1k(uint64_t n) { return sets(n, 1024); }
static uint64_t run_set_256k(uint64_t n) { return sets(n, 256 << 10); }

static uint64_t run_strings(uint64_t n)
{
    enum { WORDS = 64, MAX = 200 };
    const Calls *c = calls();
    char (*word)[MAX] = calloc(WORDS, MAX);
    uint64_t seed = 61, sum = 0;
    if (!word)
        return 0;
    for (unsigned i = 0; i < WORDS; i++) {
        unsigned len = 4 + (unsigned)(suite_random(&seed) % (i & 3 ? 24 : MAX - 5));
        for (unsigned k = 0; k < len; k++)
            word[i][k] = (char)('a' + (k < len / 2 ? k % 7 : suite_random(&seed) % 20));
    }
    for (uint64_t i = 0; i < n; i++) {
        const char *w = word[i % WORDS], *v = word[(i * 5 + 1) % WORDS];
        size_t len = c->len(w);
        const char *at = c->chr(w, 't'), *mem = c->memchr(v, 's', MAX);
        sum += len + (uint64_t)(c->cmp(w, v) < 0) + (at ? (uint64_t)(at - w) : 0) + (mem ? (uint64_t)(mem - v) : 0);
    }
    free(word);
    return sum;
}

const Workload suite_string[] = {
    { "memcpy-64", "string", 4500000, run_copy_64, "", "memcpy of 64 bytes" },
    { "memcpy-1k", "string", 1200000, run_copy_1k, "", "memcpy of 1 KiB" },
    { "memcpy-256k", "string", 2400, run_copy_256k, "", "memcpy of 256 KiB" },
    { "memcpy-8m", "string", 10, run_copy_8m, "", "memcpy of 8 MiB" },
    { "memset-1k", "string", 2000000, run_set_1k, "", "memset of 1 KiB" },
    { "memset-256k", "string", 6000, run_set_256k, "", "memset of 256 KiB" },
    { "strings", "string", 1000000, run_strings, "", "strlen, strchr, strcmp, memchr of short and long words" },
    { 0 },
};
