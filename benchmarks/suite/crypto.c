/* AES and SHA-256 by the CPU's instructions. */
#include <cpuid.h>
#include <immintrin.h>
#include <stdio.h>

#include "benchmarks/suite/suite.h"

/* In this order: crypto_arm.c has the same data. */
static __m128i random_pair(uint64_t *seed)
{
    uint64_t low = suite_random(seed), high = suite_random(seed);
    return _mm_set_epi64x((long long)high, (long long)low);
}

/* AES-128 in counter mode, four blocks at a time; the round keys are any. */
__attribute__((target("aes,sse4.1"))) static uint64_t run_aes(uint64_t n)
{
    __m128i key[11], ctr = _mm_setzero_si128(), one = _mm_set_epi64x(0, 1), sum = ctr;
    uint64_t seed = 51;
    for (unsigned i = 0; i < 11; i++)
        key[i] = random_pair(&seed);
    for (uint64_t r = 0; r < n; r++) {
        __m128i b[4];
        for (unsigned k = 0; k < 4; k++) {
            b[k] = _mm_xor_si128(ctr, key[0]);
            ctr = _mm_add_epi64(ctr, one);
        }
        for (unsigned i = 1; i < 10; i++)
            for (unsigned k = 0; k < 4; k++)
                b[k] = _mm_aesenc_si128(b[k], key[i]);
        for (unsigned k = 0; k < 4; k++)
            sum = _mm_xor_si128(sum, _mm_aesenclast_si128(b[k], key[10]));
    }
    return (uint64_t)_mm_extract_epi64(sum, 0) ^ (uint64_t)_mm_extract_epi64(sum, 1);
}

/* The block function of SHA-256 (FIPS 180-4) on the SHA extensions; the constants are any. */
__attribute__((target("sha,sse4.1,ssse3"))) static uint64_t run_sha(uint64_t n)
{
    __m128i k[16], data[16], s0, s1;
    uint64_t seed = 52;
    unsigned a = 0, b = 0, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & 1u << 29)) {
        fprintf(stderr, "suite: the CPU has no SHA extensions\n");
        return 0;
    }
    for (unsigned i = 0; i < 16; i++) {
        k[i] = random_pair(&seed);
        data[i] = random_pair(&seed);
    }
    s0 = data[3];
    s1 = data[7];
    for (uint64_t r = 0; r < n; r++) {
        __m128i w[4], old0 = s0, old1 = s1;
        for (unsigned i = 0; i < 4; i++)
            w[i] = data[(r + i) % 16];
        for (unsigned i = 0; i < 16; i++) {
            __m128i wk = _mm_add_epi32(w[i % 4], k[i]);
            s1 = _mm_sha256rnds2_epu32(s1, s0, wk);
            s0 = _mm_sha256rnds2_epu32(s0, s1, _mm_shuffle_epi32(wk, 0x0e));
            __m128i t = _mm_sha256msg1_epu32(w[i % 4], w[(i + 1) % 4]);
            t = _mm_add_epi32(t, _mm_alignr_epi8(w[(i + 3) % 4], w[(i + 2) % 4], 4));
            w[i % 4] = _mm_sha256msg2_epu32(t, w[(i + 3) % 4]);
        }
        s0 = _mm_add_epi32(s0, old0);
        s1 = _mm_add_epi32(s1, old1);
    }
    return (uint64_t)_mm_extract_epi64(s0, 0) ^ (uint64_t)_mm_extract_epi64(s1, 1);
}

const Workload suite_crypto[] = {
    { "aes", "crypto", 1000000, run_aes, "", "four blocks of AES-128 by AES-NI" },
    { "sha", "crypto", 300000, run_sha, "", "a block of SHA-256 by the SHA extensions" },
    { 0 },
};
