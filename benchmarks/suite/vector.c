/* Packed arithmetic over 32 KiB by the compiler's vectors of 16 bytes: SSE2, AdvSIMD, or plain code where there is no vector unit. */
#include <stdlib.h>
#include <string.h>

#include "benchmarks/suite/suite.h"

typedef float F4 __attribute__((vector_size(16)));
typedef double D2 __attribute__((vector_size(16)));
typedef int32_t I4 __attribute__((vector_size(16)));
typedef uint32_t U4 __attribute__((vector_size(16)));
typedef int16_t I8 __attribute__((vector_size(16)));
typedef uint16_t U8 __attribute__((vector_size(16)));
typedef uint8_t B16 __attribute__((vector_size(16)));

/* Lanes of @a where the comparison held, of @b elsewhere: C has no choice between vectors. */
#define PICK(type, mask, a, b) ((type)(((mask) & (__typeof__(mask))(a)) | (~(mask) & (__typeof__(mask))(b))))

enum { BYTES = 16 << 10, VECTORS = BYTES / 16 };

/* Two arrays of BYTES: numbers from 0 to 1 (single precision), or any bits. */
static void *two_arrays(uint64_t seed, int floats)
{
    uint32_t *v = aligned_alloc(64, 2 * BYTES);
    for (unsigned i = 0; v && i < 2 * BYTES / 4; i++) {
        v[i] = (uint32_t)suite_random(&seed);
        float f = (float)(v[i] % 1000) / 1000.0f;
        if (floats)
            memcpy(&v[i], &f, sizeof(f));
    }
    return v;
}

static uint64_t checksum(void *data)
{
    const uint64_t *v = data;
    uint64_t sum = 0;
    for (unsigned i = 0; i < BYTES / 8; i++)
        sum = suite_mix(sum, v[i]);
    free(data);
    return sum;
}

static uint64_t run_float(uint64_t n)
{
    F4 *a = two_arrays(31, 1), *b = a + VECTORS;
    const F4 scale = { 0.75f, 0.75f, 0.75f, 0.75f }, least = { -2.0f, -2.0f, -2.0f, -2.0f };
    for (uint64_t r = 0; a && r < n; r++)
        for (unsigned i = 0; i < VECTORS; i++) {
            F4 t = a[i] * scale + b[i] * b[i] - __builtin_shuffle(a[i], (I4){ 2, 3, 0, 1 });
            a[i] = PICK(F4, t > least, t, least);
        }
    return a ? checksum(a) : 0;
}

static uint64_t run_double(uint64_t n)
{
    D2 *a = aligned_alloc(64, 2 * BYTES), *b = a + VECTORS;
    uint64_t seed = 35;
    for (unsigned i = 0; a && i < 2 * VECTORS; i++)
        a[i] = (D2){ (double)(suite_random(&seed) % 1000) / 1000 + 1, (double)(suite_random(&seed) % 1000) / 1000 };
    for (uint64_t r = 0; a && r < n; r++)
        for (unsigned i = 0; i < VECTORS; i++)
            a[i] = (a[i] * 0.625 - b[i]) / (b[i] * b[i] + 1.5) + a[i];
    return a ? checksum(a) : 0;
}

static uint64_t run_int(uint64_t n)
{
    I8 *a = two_arrays(33, 0), *b = a + VECTORS;
    for (uint64_t r = 0; a && r < n; r++)
        for (unsigned i = 0; i < VECTORS; i++) {
            I8 t = a[i] * b[i] + (I8)((U4)a[i] >> 3);
            t = (I8)((t & 0x0ff0) ^ (I8)__builtin_shuffle((B16)a[i], (B16)b[i], (B16){ 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23 }));
            a[i] = (I8)((I4)t - (I4)(a[i] > b[i])) + PICK(I8, b[i] < t, b[i], t);
        }
    return a ? checksum(a) : 0;
}

/* Bytes: brightness and blending of pixels. */
static uint64_t run_pixels(uint64_t n)
{
    B16 *a = two_arrays(36, 0), *b = a + VECTORS;
    for (uint64_t r = 0; a && r < n; r++)
        for (unsigned i = 0; i < VECTORS; i++) {
            B16 least = PICK(B16, a[i] < b[i], a[i], b[i]), most = PICK(B16, a[i] > b[i], a[i], b[i]);
            U8 low = (U8)(a[i] & (B16)((U8){ 0 } + 0xff)), sum = low * 5 + (U8)(most - least) * 3;
            a[i] = (B16)(sum >> 3) ^ (least + (B16)((U8)most << 8));
        }
    return a ? checksum(a) : 0;
}

const Workload suite_vector[] = {
    { "vec-float", "vector", 20000, run_float, "", "32 KiB of packed single precision" },
    { "vec-double", "vector", 6000, run_double, "", "32 KiB of packed double precision with division" },
    { "vec-int", "vector", 16000, run_int, "", "32 KiB of packed integers" },
    { "vec-pixels", "vector", 20000, run_pixels, "", "32 KiB of packed bytes" },
    { 0 },
};
