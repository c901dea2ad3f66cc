#pragma once
#include <stdint.h>

/*
 * The workloads of benchmarks/run and benchmarks/foreign: plain C, one static binary, run natively and in a guest. A workload does @n units of work and
 * returns a checksum that depends on @n only, or 0 after a failure of the system (and the reason on stderr).
 */
typedef struct Workload {
    const char *name, *class;
    uint64_t n;                /* units of a usual run: some 30 ms natively, less where translators are slow */
    uint64_t (*run)(uint64_t n);
    const char *needs;         /* "": anything; "guest": a machine of its own (ports, device memory); "disk": /dev/vda; "smp": two CPUs; "fma": its instructions */
    const char *what;          /* one line: what a unit is */
} Workload;

/* Lists end with a NULL name; a list whose file is not for the CPU that the suite is built for is NULL itself. */
extern const Workload suite_integer[], suite_dispatch[], suite_lua[], suite_float[], suite_single[], suite_fused[], suite_vector[], suite_string[],
    suite_kernel[], suite_smp[];
extern const Workload suite_x87[] __attribute__((weak)), suite_simd[] __attribute__((weak)), suite_crypto[] __attribute__((weak)),
    suite_movs[] __attribute__((weak)), suite_jit[] __attribute__((weak)), suite_exits[] __attribute__((weak));

/* A generator of test data (xorshift64*, Vigna 2016). *state != 0. */
static inline uint64_t suite_random(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * 0x2545f4914f6cdd1d;
}

/* One round of a checksum over 64-bit values. */
static inline uint64_t suite_mix(uint64_t sum, uint64_t v)
{
    sum = (sum ^ v) * 0x9e3779b97f4a7c15;
    return sum ^ sum >> 29;
}

/* The bits of a double, for checksums. */
static inline uint64_t suite_bits(double d)
{
    union { double d; uint64_t u; } v = { .d = d };
    return v.u;
}
