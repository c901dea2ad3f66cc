/* Pointer authentication of v8.3 with QARMA5 (ARM D8.8; shared pseudocode ComputePAC, AddPAC, Auth, Strip). */
#include "tcg/guest/aarch64/aarch64.h"

/* ---- the cipher: 16 cells of 4 bits; rows of four cells are 16 bits ---- */
static uint64_t rotate(uint64_t v, unsigned n) { return v << n | v >> (64 - n); }
static uint64_t cells_left1(uint64_t v) { return (v << 1 & 0xeeeeeeeeeeeeeeeeull) | (v >> 3 & 0x1111111111111111ull); }
static uint64_t cells_left2(uint64_t v) { return (v << 2 & 0xccccccccccccccccull) | (v >> 2 & 0x3333333333333333ull); }
static uint64_t mult(uint64_t v) { return cells_left1(rotate(v, 16) ^ rotate(v, 48)) ^ cells_left2(rotate(v, 32)); }

/* out cell n (from bit 0) = in cell from[n] */
static uint64_t permute(uint64_t v, const uint8_t from[16])
{
    uint64_t r = 0;
    for (unsigned n = 0; n < 16; n++)
        r |= (v >> 4 * from[n] & 15) << 4 * n;
    return r;
}

static const uint8_t shuffle_from[16] = { 13, 6, 11, 0, 7, 12, 1, 10, 8, 3, 14, 5, 2, 9, 4, 15 };
static const uint8_t unshuffle_from[16] = { 3, 6, 12, 9, 14, 11, 1, 4, 8, 13, 7, 2, 5, 0, 10, 15 };
static const uint8_t tweak_from[16] = { 4, 5, 6, 7, 11, 2, 3, 8, 12, 13, 14, 15, 0, 1, 10, 9 };
/* cells of the tweak that the shift register steps: in the result of the permutation */
#define TWEAK_CELLS 0xff0ff000f00f0f00ull

static uint64_t tweak(uint64_t v)
{
    v = permute(v, tweak_from);
    uint64_t top = (v ^ v >> 1) & 0x1111111111111111ull, stepped = (v >> 1 & 0x7777777777777777ull) | top << 3;
    return (v & ~TWEAK_CELLS) | (stepped & TWEAK_CELLS);
}

static const uint8_t sbox[16] = { 11, 6, 8, 15, 12, 0, 9, 14, 3, 7, 4, 5, 13, 2, 1, 10 };
static const uint8_t unsbox[16] = { 5, 14, 13, 8, 10, 11, 1, 9, 2, 6, 15, 0, 4, 12, 7, 3 };

static uint64_t substitute(uint64_t v, const uint8_t box[16])
{
    uint64_t r = 0;
    for (unsigned n = 0; n < 64; n += 4)
        r |= (uint64_t)box[v >> n & 15] << n;
    return r;
}

uint64_t a64_qarma5(uint64_t data, uint64_t modifier, uint64_t key0, uint64_t key1)
{
    static const uint64_t rc[5] = { 0, 0x13198a2e03707344ull, 0xa4093822299f31d0ull, 0x082efa98ec4e6c89ull, 0x452821e638d01377ull };
    static const uint64_t alpha = 0xc0ac29b7c97c50ddull;
    uint64_t modk0 = key0 << 63 | key0 >> 2 << 1 | (key0 >> 63 ^ (key0 >> 1 & 1)), mod[6] = { modifier }, v = data ^ key0;
    for (unsigned i = 0; i < 5; i++) {
        v ^= key1 ^ mod[i] ^ rc[i];
        if (i)
            v = mult(permute(v, shuffle_from));
        v = substitute(v, sbox);
        mod[i + 1] = tweak(mod[i]);
    }
    v ^= modk0 ^ mod[5];
    v = substitute(mult(permute(v, shuffle_from)), sbox);
    v = mult(permute(v, shuffle_from)) ^ key1;
    v = substitute(permute(v, unshuffle_from), unsbox);
    v = permute(mult(v), unshuffle_from) ^ key0 ^ mod[5];
    for (unsigned i = 5; i-- > 0;) {
        v = substitute(v, unsbox);
        if (i)
            v = permute(mult(v), unshuffle_from);
        v ^= rc[i] ^ key1 ^ mod[i] ^ alpha;
    }
    return v ^ modk0;
}

/* What another algorithm than the architecture's may be (ID_AA64ISAR1.API): any mixing that depends on all bits. */
static uint64_t mixed(uint64_t data, uint64_t modifier, uint64_t key0, uint64_t key1)
{
    const uint64_t odd = 0x9e3779b97f4a7c15ull;
    uint64_t v = (data ^ key0) * odd;
    v = (v ^ v >> 29 ^ modifier ^ key1) * odd;
    v = (v ^ v >> 32 ^ key0) * odd;
    return v ^ v >> 31;
}

/*
 * What a function signs when it begins it checks when it ends, and the next call from there signs it again: most codes were computed lately.
 */
static uint64_t cipher(A64State *s, uint64_t v, uint64_t modifier, unsigned key)
{
    uint64_t key0 = s->key[key][1], key1 = s->key[key][0];
    if (s->pauth == A64_PAUTH_IMPDEF)
        return mixed(v, modifier, key0, key1);
    A64Pac *p = &s->pacs[(v ^ modifier >> 4 ^ key1) * 0x9e3779b97f4a7c15ull >> 56];
    if (p->known && p->data == v && p->modifier == modifier && p->key[0] == key0 && p->key[1] == key1)
        return p->code;
    uint64_t code;
    if (!a64_qarma5_host(v, modifier, key0, key1, &code))
        code = a64_qarma5(v, modifier, key0, key1);
    *p = (A64Pac){ v, modifier, { key0, key1 }, code, 1 };
    return code;
}

/* ---- pointers ---- */
typedef struct Layout { bool tbi; unsigned bottom; uint64_t field; uint64_t good; } Layout;

static unsigned address_bits(uint64_t tsz) { return 64 - (unsigned)(tsz < 16 ? 16 : tsz > 39 ? 39 : tsz); }

/* Where the code lies in @ptr, whose upper bits were or shall be copies of bit @sel; good: the pointer as it is without. */
static Layout layout(const A64State *s, uint64_t ptr, bool data, bool signing)
{
    Layout l;
    bool two = s->el <= A64_EL1, upper = two && ptr >> 55 & 1, any_tbi;
    uint64_t tcr = s->tcr[two ? A64_EL1 : s->el];
    unsigned tbi_bit = two ? 37 : 20, tbid_bit = two ? 51 : 29;
    bool tbi0 = (tcr >> tbi_bit & 1) && (data || !(tcr >> tbid_bit & 1));
    bool tbi1 = two && (tcr >> (tbi_bit + 1) & 1) && (data || !(tcr >> (tbid_bit + 1) & 1));
    l.tbi = upper ? tbi1 : tbi0;
    any_tbi = tbi0 || tbi1;
    uint64_t sel = signing && !any_tbi ? ptr >> 63 : ptr >> 55 & 1;
    l.bottom = address_bits(two && (signing ? sel : ptr >> 55 & 1) ? tcr >> 16 & 63 : tcr & 63);
    uint64_t ext = ~0ull << l.bottom & (l.tbi ? ~0ull >> 8 : ~0ull);
    l.field = ext & ~(1ull << 55);
    l.good = (ptr & ~ext) | (sel ? ext : 0);
    return l;
}

uint64_t a64_pauth_sign(A64State *s, uint64_t ptr, uint64_t modifier, unsigned key)
{
    Layout l = layout(s, ptr, key >= A64_KEY_DA, true);
    uint64_t pac = cipher(s, l.good, modifier, key), top = l.field | 1ull << 55;
    if ((ptr & top) && (ptr & top) != top)
        pac ^= 1ull << (l.tbi ? 54 : 62);      /* not a good pointer: nor will the signed one be */
    return (pac & l.field) | (l.good & ~l.field);
}

uint64_t a64_pauth_check(A64State *s, uint64_t ptr, uint64_t modifier, unsigned key)
{
    Layout l = layout(s, ptr, key >= A64_KEY_DA, false);
    uint64_t pac = cipher(s, l.good, modifier, key), code = key & 1 ? 2 : 1;
    if (!((pac ^ ptr) & l.field))
        return l.good;
    unsigned at = l.tbi ? 53 : 61;
    return (l.good & ~(3ull << at)) | code << at;
}

uint64_t a64_pauth_strip(const A64State *s, uint64_t ptr, bool data) { return layout(s, ptr, data, false).good; }

/* ---- helpers ---- */
uint64_t a64_h_pac_sign(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d) { (void)d; return a64_pauth_sign(state, a, b, (unsigned)c); }
uint64_t a64_h_pac_check(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d) { (void)d; return a64_pauth_check(state, a, b, (unsigned)c); }
uint64_t a64_h_pac_strip(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d) { (void)c, (void)d; return a64_pauth_strip(state, a, b); }

uint64_t a64_h_pac_generic(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    (void)c, (void)d;
    return cipher(state, a, b, A64_KEY_GA) & 0xffffffff00000000ull;
}
