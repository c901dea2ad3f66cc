/* Pointer authentication: QARMA-64 with five rounds against its designers' vector (ePrint 2016/444, appendix), and where codes go in a pointer. */
#include <glib.h>

#include "tcg/guest/aarch64/aarch64.h"

static void cipher(void)
{
    uint64_t by_host, k = 0x9e3779b97f4a7c15ull;
    g_assert_cmphex(a64_qarma5(0xfb623599da6e8127ull, 0x477d469dec0b8762ull, 0x84be85ce9804e94bull, 0xec2802d4e0a488e9ull), ==, 0xc003b93999b33765ull);
    for (uint64_t n = 0; n < 1000; n++) {
        uint64_t a = n * k, b = (a ^ a >> 31) * k, c = (b ^ b >> 29) * k, d = (c ^ c >> 32) * k;
        if (a64_qarma5_host(a, b, c, d, &by_host))
            g_assert_cmphex(by_host, ==, a64_qarma5(a, b, c, d));
    }
}

static A64State *program(void)
{
    static const uint64_t keys[A64_KEYS][2] = { { 1, 2 }, { 3, 4 }, { 5, 6 }, { 7, 8 }, { 9, 10 } };
    A64State *s = g_aligned_alloc0(1, sizeof(*s), 64);
    a64_state_program(s, keys);
    return s;
}

/* A program's pointers: the top byte is free, 48 bits of address, so the code is in bits 54-48. */
static void pointers(void)
{
    A64State *s = program();
    uint64_t seen = 0;
    for (uint64_t p = 0x7f1234567000; p < 0x7f1234567400; p += 4)
        for (unsigned key = A64_KEY_IA; key <= A64_KEY_DB; key++) {
            uint64_t good = p | 0x5aull << 56, v = a64_pauth_sign(s, good, p * 3, key);
            g_assert_cmphex(v & ~(0x7full << 48), ==, good);
            seen |= v;
            g_assert_cmphex(a64_pauth_check(s, v, p * 3, key), ==, good);
            g_assert_cmphex(a64_pauth_strip(s, v, key >= A64_KEY_DA), ==, good);
            /* another code: an error code in bits 54-53 */
            g_assert_cmphex(a64_pauth_check(s, v ^ 1ull << 50, p * 3, key), ==, good | (key & 1 ? 2ull : 1ull) << 53);
        }
    g_assert_cmphex(seen >> 48 & 0x7f, ==, 0x7f);
    g_aligned_free(s);
}

/* A kernel's: no tags, the upper half; bit 55 stays, codes in 63-56 and 54-48. */
static void kernel_pointers(void)
{
    A64State *s = program();
    s->el = A64_EL1;
    s->tcr[A64_EL1] = 16 | 16 << 16;
    uint64_t good = 0xffff800008123456ull, v = a64_pauth_sign(s, good, 0x1234, A64_KEY_IA);
    g_assert_cmphex(v & 0x0080ffffffffffffull, ==, good & 0x0080ffffffffffffull);
    g_assert_cmphex(a64_pauth_check(s, v, 0x1234, A64_KEY_IA), ==, good);
    g_assert_cmphex(a64_pauth_check(s, v, 0x1235, A64_KEY_IA), ==, (good & ~(3ull << 61)) | 1ull << 61);
    g_assert_cmphex(a64_pauth_strip(s, v, false), ==, good);
    g_aligned_free(s);
}

int main(void)
{
    cipher();
    pointers();
    kernel_pointers();
    return 0;
}
