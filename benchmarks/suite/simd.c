/* Packed arithmetic over 32 KiB, by SSE2 and by AVX2 with FMA. */
#include <immintrin.h>
#include <stdlib.h>

#include "benchmarks/suite/suite.h"

enum { FLOATS = 4096 };        /* two arrays of 16 KiB */

static void *two_arrays(uint64_t seed)
{
    float *f = aligned_alloc(64, 2 * FLOATS * sizeof(*f));
    for (unsigned i = 0; f && i < 2 * FLOATS; i++)
        f[i] = (float)(suite_random(&seed) % 1000) / 1000.0f;
    return f;
}

static uint64_t checksum(const void *data)
{
    const uint64_t *v = data;
    uint64_t sum = 0;
    for (unsigned i = 0; i < FLOATS / 2; i++)
        sum = suite_mix(sum, v[i]);
    return sum;
}

static uint64_t run_float_sse(uint64_t n)
{
    float *a = two_arrays(31), *b = a + FLOATS;
    if (!a)
        return 0;
    __m128 scale = _mm_set1_ps(0.75f), least = _mm_set1_ps(-2.0f);
    for (uint64_t r = 0; r < n; r++)
        for (unsigned i = 0; i < FLOATS; i += 4) {
            __m128 x = _mm_load_ps(a + i), y = _mm_load_ps(b + i);
            __m128 t = _mm_add_ps(_mm_mul_ps(x, scale), _mm_mul_ps(y, y));
            t = _mm_max_ps(_mm_sub_ps(t, _mm_shuffle_ps(x, y, 0x4e)), least);
            _mm_store_ps(a + i, t);
        }
    uint64_t sum = checksum(a);
    free(a);
    return sum;
}

__attribute__((target("avx2,fma"))) static uint64_t run_float_avx(uint64_t n)
{
    float *a = two_arrays(32), *b = a + FLOATS;
    if (!a)
        return 0;
    __m256 scale = _mm256_set1_ps(0.75f), least = _mm256_set1_ps(-2.0f);
    for (uint64_t r = 0; r < n; r++)
        for (unsigned i = 0; i < FLOATS; i += 8) {
            __m256 x = _mm256_load_ps(a + i), y = _mm256_load_ps(b + i);
            __m256 t = _mm256_fmadd_ps(x, scale, _mm256_mul_ps(y, y));
            t = _mm256_max_ps(_mm256_sub_ps(t, _mm256_permute_ps(x, 0x4e)), least);
            _mm256_store_ps(a + i, t);
        }
    uint64_t sum = checksum(a);
    free(a);
    return sum;
}

static uint64_t run_int_sse(uint64_t n)
{
    int32_t *a = two_arrays(33), *b = a + FLOATS;
    if (!a)
        return 0;
    __m128i low = _mm_set1_epi16(0x0ff0);
    for (uint64_t r = 0; r < n; r++)
        for (unsigned i = 0; i < FLOATS; i += 4) {
            __m128i x = _mm_load_si128((void *)(a + i)), y = _mm_load_si128((void *)(b + i));
            __m128i t = _mm_add_epi16(_mm_mullo_epi16(x, y), _mm_srli_epi32(x, 3));
            t = _mm_xor_si128(_mm_and_si128(t, low), _mm_unpacklo_epi8(x, y));
            t = _mm_sub_epi32(t, _mm_cmpgt_epi16(x, y));
            _mm_store_si128((void *)(a + i), _mm_add_epi64(t, _mm_sad_epu8(x, y)));
        }
    uint64_t sum = checksum(a);
    free(a);
    return sum;
}

__attribute__((target("avx2"))) static uint64_t run_int_avx(uint64_t n)
{
    int32_t *a = two_arrays(34), *b = a + FLOATS;
    if (!a)
        return 0;
    __m256i order = _mm256_setr_epi8(3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12, 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12);
    for (uint64_t r = 0; r < n; r++)
        for (unsigned i = 0; i < FLOATS; i += 8) {
            __m256i x = _mm256_load_si256((void *)(a + i)), y = _mm256_load_si256((void *)(b + i));
            __m256i t = _mm256_add_epi32(_mm256_mullo_epi32(x, y), _mm256_shuffle_epi8(x, order));
            t = _mm256_or_si256(_mm256_slli_epi32(t, 5), _mm256_srli_epi32(t, 27));
            _mm256_store_si256((void *)(a + i), _mm256_xor_si256(t, _mm256_max_epi32(x, y)));
        }
    uint64_t sum = checksum(a);
    free(a);
    return sum;
}

const Workload suite_simd[] = {
    { "float-sse", "packed", 20000, run_float_sse, "", "32 KiB of packed single precision, SSE2" },
    { "float-avx", "packed", 40000, run_float_avx, "", "32 KiB of packed single precision, AVX2 with FMA" },
    { "int-sse", "packed", 16000, run_int_sse, "", "32 KiB of packed integers, SSE2" },
    { "int-avx", "packed", 40000, run_int_avx, "", "32 KiB of packed integers, AVX2" },
    { 0 },
};
