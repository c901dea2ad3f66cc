/* QARMA5 of pointer authentication with a cell a byte: substitutions and permutations are PSHUFB. Needs SSSE3. */
#include <tmmintrin.h>

#include "tcg/guest/aarch64/aarch64.h"

#define SSSE3 static inline __attribute__((target("ssse3")))
typedef const uint8_t Cells[16] __attribute__((aligned(16)));

/* out cell n = in cell from[n] */
static Cells shuffle_from = { 13, 6, 11, 0, 7, 12, 1, 10, 8, 3, 14, 5, 2, 9, 4, 15 }, unshuffle_from = { 3, 6, 12, 9, 14, 11, 1, 4, 8, 13, 7, 2, 5, 0, 10, 15 };
static Cells tweak_from = { 4, 5, 6, 7, 11, 2, 3, 8, 12, 13, 14, 15, 0, 1, 10, 9 };
static Cells sbox = { 11, 6, 8, 15, 12, 0, 9, 14, 3, 7, 4, 5, 13, 2, 1, 10 }, unsbox = { 5, 14, 13, 8, 10, 11, 1, 9, 2, 6, 15, 0, 4, 12, 7, 3 };
/* a cell rotated left by 1, 2; what stepping the tweak's shift register changes, in the cells where it is stepped */
static Cells left1 = { 0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15 }, left2 = { 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15 };
static Cells step = { 0, 9, 11, 2, 6, 15, 13, 4, 12, 5, 7, 14, 10, 3, 1, 8 };
static Cells stepped = { 0, 0, 255, 0, 255, 0, 0, 255, 0, 0, 0, 255, 255, 0, 255, 255 };

SSSE3 __m128i cells(const uint8_t *p) { return _mm_load_si128((const __m128i *)p); }
SSSE3 __m128i look(Cells table, __m128i v) { return _mm_shuffle_epi8(cells(table), v); }
SSSE3 __m128i permute(__m128i v, Cells from) { return _mm_shuffle_epi8(v, cells(from)); }

SSSE3 __m128i spread(uint64_t v)
{
    const uint64_t low = 0x0f0f0f0f0f0f0f0full;
    return _mm_unpacklo_epi8(_mm_cvtsi64_si128((long long)(v & low)), _mm_cvtsi64_si128((long long)(v >> 4 & low)));
}

SSSE3 uint64_t gather(__m128i v)
{
    __m128i pairs = _mm_maddubs_epi16(v, _mm_set1_epi16(0x1001));
    return (uint64_t)_mm_cvtsi128_si64(_mm_packus_epi16(pairs, pairs));
}

SSSE3 __m128i mult(__m128i v)
{
    __m128i odd = _mm_xor_si128(_mm_shuffle_epi32(v, 0x93), _mm_shuffle_epi32(v, 0x39));
    return _mm_xor_si128(look(left1, odd), look(left2, _mm_shuffle_epi32(v, 0x4e)));
}

SSSE3 __m128i tweak(__m128i v)
{
    v = permute(v, tweak_from);
    return _mm_xor_si128(v, _mm_and_si128(look(step, v), cells(stepped)));
}

__attribute__((target("ssse3"))) uint64_t a64_qarma5_vector(uint64_t data, uint64_t modifier, uint64_t key0, uint64_t key1)
{
    static const uint64_t rc[5] = { 0, 0x13198a2e03707344ull, 0xa4093822299f31d0ull, 0x082efa98ec4e6c89ull, 0x452821e638d01377ull }, alpha = 0xc0ac29b7c97c50ddull;
    uint64_t modk0 = key0 << 63 | key0 >> 2 << 1 | (key0 >> 63 ^ (key0 >> 1 & 1));
    __m128i mod[6], v = spread(data ^ key0);
    mod[0] = spread(modifier);
    for (unsigned i = 0; i < 5; i++) {
        v = _mm_xor_si128(v, _mm_xor_si128(mod[i], spread(key1 ^ rc[i])));
        if (i)
            v = mult(permute(v, shuffle_from));
        v = look(sbox, v);
        mod[i + 1] = tweak(mod[i]);
    }
    v = _mm_xor_si128(v, _mm_xor_si128(mod[5], spread(modk0)));
    v = look(sbox, mult(permute(v, shuffle_from)));
    v = _mm_xor_si128(mult(permute(v, shuffle_from)), spread(key1));
    v = look(unsbox, permute(v, unshuffle_from));
    v = _mm_xor_si128(permute(mult(v), unshuffle_from), _mm_xor_si128(mod[5], spread(key0)));
    for (unsigned i = 5; i-- > 0;) {
        v = look(unsbox, v);
        if (i)
            v = permute(mult(v), unshuffle_from);
        v = _mm_xor_si128(v, _mm_xor_si128(mod[i], spread(rc[i] ^ key1 ^ alpha)));
    }
    return gather(v) ^ modk0;
}
