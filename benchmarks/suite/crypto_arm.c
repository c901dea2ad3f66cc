/* crypto.c's workloads by the instructions of AArch64, with the same results. */
#include <arm_neon.h>

#include "benchmarks/suite/suite.h"

static uint64x2_t random_pair(uint64_t *seed)
{
    uint64_t low = suite_random(seed), high = suite_random(seed);
    return (uint64x2_t){ low, high };
}

/* AESE adds the key before the other steps, AESENC after them. */
static uint64_t run_aes(uint64_t n)
{
    uint8x16_t key[11], sum = { 0 };
    uint64x2_t ctr = { 0 };
    const uint64x2_t one = { 1, 0 };
    uint64_t seed = 51;
    for (unsigned i = 0; i < 11; i++)
        key[i] = (uint8x16_t)random_pair(&seed);
    for (uint64_t r = 0; r < n; r++) {
        uint8x16_t b[4];
        for (unsigned k = 0; k < 4; k++) {
            b[k] = (uint8x16_t)ctr;
            ctr += one;
        }
        for (unsigned i = 0; i < 9; i++)
            for (unsigned k = 0; k < 4; k++)
                b[k] = vaesmcq_u8(vaeseq_u8(b[k], key[i]));
        for (unsigned k = 0; k < 4; k++)
            sum ^= vaeseq_u8(b[k], key[9]) ^ key[10];
    }
    uint64x2_t v = (uint64x2_t)sum;
    return v[0] ^ v[1];
}

static uint64_t run_sha(uint64_t n)
{
    uint32x4_t k[16], data[16];
    uint64_t seed = 52;
    for (unsigned i = 0; i < 16; i++) {
        k[i] = (uint32x4_t)random_pair(&seed);
        data[i] = (uint32x4_t)random_pair(&seed);
    }
    /* x86 keeps F, E, B, A and H, G, D, C from the lowest lane on */
    uint32x4_t s0 = data[3], s1 = data[7], abcd = { s0[3], s0[2], s1[3], s1[2] }, efgh = { s0[1], s0[0], s1[1], s1[0] };
    for (uint64_t r = 0; r < n; r++) {
        uint32x4_t w[4], old_abcd = abcd, old_efgh = efgh;
        for (unsigned i = 0; i < 4; i++)
            w[i] = data[(r + i) % 16];
        for (unsigned i = 0; i < 16; i++) {
            uint32x4_t wk = w[i % 4] + k[i], before = abcd;
            abcd = vsha256hq_u32(abcd, efgh, wk);
            efgh = vsha256h2q_u32(efgh, before, wk);
            w[i % 4] = vsha256su1q_u32(vsha256su0q_u32(w[i % 4], w[(i + 1) % 4]), w[(i + 2) % 4], w[(i + 3) % 4]);
        }
        abcd += old_abcd;
        efgh += old_efgh;
    }
    return ((uint64_t)efgh[0] << 32 | efgh[1]) ^ ((uint64_t)abcd[2] << 32 | abcd[3]);
}

const Workload suite_crypto[] = {
    { "aes", "crypto", 1000000, run_aes, "", "four blocks of AES-128 by the AES instructions" },
    { "sha", "crypto", 300000, run_sha, "", "a block of SHA-256 by the SHA instructions" },
    { 0 },
};
