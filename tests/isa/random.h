#pragma once
#include <stdint.h>

/* Random numbers that a seed repeats. */

/* xorshift64* (Vigna 2014); *state is never 0. */
static inline uint64_t rnd_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state * 0x2545f4914f6cdd1dull;
}

static inline uint64_t rnd_seed(uint64_t n) { return n * 0x9e3779b97f4a7c15ull + 1; }

/* Any size and sign, and often what is at an end. */
static inline uint64_t rnd_integer(uint64_t *state)
{
    static const uint64_t special[] = { 0, 1, ~0ull, 1ull << 63, ~0ull >> 1, 0x80000000, 0x7fffffff, 0xffffffff, 0xffffffff80000000ull };
    switch (rnd_next(state) % 4) {
    case 0: return special[rnd_next(state) % (sizeof(special) / sizeof(special[0]))];
    case 1: return rnd_next(state) >> rnd_next(state) % 64;
    case 2: return (uint64_t)((int64_t)rnd_next(state) >> rnd_next(state) % 64);
    default: return rnd_next(state);
    }
}
