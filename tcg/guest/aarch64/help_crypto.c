/* AES, SHA-1, SHA-256, SHA-512 and SHA-3 instructions, PMULL of 64 bits (ARM C7.2; FIPS 180-4, 197). */
#include <string.h>

#include "tcg/guest/aarch64/simd.h"

static uint32_t ror32(uint32_t v, unsigned n) { return v >> n | v << (32 - n); }
static uint32_t rol32(uint32_t v, unsigned n) { return v << n | v >> (32 - n); }
static uint64_t ror64(uint64_t v, unsigned n) { return v >> n | v << (64 - n); }

/* ---- AES ---- */
static uint8_t times2(uint8_t v) { return (uint8_t)(v << 1 ^ (v >> 7 ? 0x1b : 0)); }

static uint8_t gf_mul(uint8_t a, uint8_t b)
{
    uint8_t r = 0;
    for (; b; b >>= 1, a = times2(a))
        r ^= b & 1 ? a : 0;
    return r;
}

/* FIPS 197 5.1.1: the inverse (its 254th power), then an affine map. */
static uint8_t sub_byte(uint8_t v)
{
    uint8_t i = 1, s = v;
    for (unsigned n = 0; n < 7; n++) {
        s = gf_mul(s, s);
        i = gf_mul(i, s);
    }
    return (uint8_t)(i ^ (i << 1 | i >> 7) ^ (i << 2 | i >> 6) ^ (i << 3 | i >> 5) ^ (i << 4 | i >> 4) ^ 0x63);
}

static uint8_t inv_sub_byte(uint8_t v)
{
    uint8_t s = (uint8_t)((v << 1 | v >> 7) ^ (v << 3 | v >> 5) ^ (v << 6 | v >> 2) ^ 5), i = 1;
    for (unsigned n = 0; n < 7; n++) {
        s = gf_mul(s, s);
        i = gf_mul(i, s);
    }
    return i;
}

static void aes_round(A64Vec *d, const A64Vec *n, bool inverse)
{
    A64Vec x;
    for (unsigned k = 0; k < 16; k++)
        x.b[k] = d->b[k] ^ n->b[k];
    for (unsigned k = 0; k < 16; k++) {
        unsigned row = k & 3, from = (inverse ? k + 16 - 4 * row : k + 4 * row) & 15;
        d->b[k] = inverse ? inv_sub_byte(x.b[from]) : sub_byte(x.b[from]);
    }
}

static void aes_mix(A64Vec *d, A64Vec n, bool inverse)
{
    static const uint8_t m[2][4] = { { 2, 3, 1, 1 }, { 14, 11, 13, 9 } };
    for (unsigned k = 0; k < 16; k++) {
        uint8_t v = 0;
        for (unsigned j = 0; j < 4; j++)
            v ^= gf_mul(n.b[(k & 12) | ((k + j) & 3)], m[inverse][j]);
        d->b[k] = v;
    }
}

/* ---- SHA-1 and SHA-256 ---- */
static uint32_t choose(uint32_t x, uint32_t y, uint32_t z) { return ((y ^ z) & x) ^ z; }
static uint32_t majority(uint32_t x, uint32_t y, uint32_t z) { return (x & y) | ((x | y) & z); }

static void sha1_rounds(A64Vec *d, A64Vec n, A64Vec m, unsigned op)
{
    uint32_t y = n.s[0];
    for (unsigned k = 0; k < 4; k++) {
        uint32_t t = op == A64V_SHA1C ? choose(d->s[1], d->s[2], d->s[3]) : op == A64V_SHA1M ? majority(d->s[1], d->s[2], d->s[3]) : d->s[1] ^ d->s[2] ^ d->s[3];
        y += rol32(d->s[0], 5) + t + m.s[k];
        d->s[1] = rol32(d->s[1], 30);
        uint32_t w = y;
        y = d->s[3];
        d->s[3] = d->s[2];
        d->s[2] = d->s[1];
        d->s[1] = d->s[0];
        d->s[0] = w;
    }
}

static void sha256_rounds(A64Vec *x, A64Vec *y, A64Vec w)
{
    for (unsigned k = 0; k < 4; k++) {
        uint32_t t = y->s[3] + (ror32(y->s[0], 6) ^ ror32(y->s[0], 11) ^ ror32(y->s[0], 25)) + choose(y->s[0], y->s[1], y->s[2]) + w.s[k];
        uint32_t a = t + majority(x->s[0], x->s[1], x->s[2]) + (ror32(x->s[0], 2) ^ ror32(x->s[0], 13) ^ ror32(x->s[0], 22)), e = t + x->s[3];
        for (unsigned j = 3; j > 0; j--) {
            x->s[j] = x->s[j - 1];
            y->s[j] = y->s[j - 1];
        }
        x->s[0] = a;
        y->s[0] = e;
    }
}

static void sha256_schedule0(A64Vec *d, A64Vec n)
{
    for (unsigned k = 0; k < 4; k++) {
        uint32_t v = k < 3 ? d->s[k + 1] : n.s[0];
        d->s[k] += ror32(v, 7) ^ ror32(v, 18) ^ v >> 3;
    }
}

static void sha256_schedule1(A64Vec *d, A64Vec n, A64Vec m)
{
    for (unsigned k = 0; k < 4; k++) {
        uint32_t v = k < 2 ? m.s[k + 2] : d->s[k - 2];
        d->s[k] += (ror32(v, 17) ^ ror32(v, 19) ^ v >> 10) + (k < 3 ? n.s[k + 1] : m.s[0]);
    }
}

static void sha1_schedule(A64Vec *d, A64Vec n, A64Vec m, bool first)
{
    A64Vec x = *d;
    if (first) {
        d->d[0] = x.d[1] ^ x.d[0] ^ m.d[0];
        d->d[1] = n.d[0] ^ x.d[1] ^ m.d[1];
        return;
    }
    uint32_t t[4];
    for (unsigned k = 0; k < 4; k++)
        t[k] = x.s[k] ^ (k < 3 ? n.s[k + 1] : 0);
    for (unsigned k = 0; k < 4; k++)
        d->s[k] = rol32(t[k], 1);
    d->s[3] ^= rol32(t[0], 2);
}

/* ---- SHA-512, SHA-3 ---- */
static uint64_t choose64(uint64_t x, uint64_t y, uint64_t z) { return (x & y) ^ (~x & z); }
static uint64_t majority64(uint64_t x, uint64_t y, uint64_t z) { return (x & y) ^ (x & z) ^ (y & z); }
static uint64_t big1(uint64_t v) { return ror64(v, 14) ^ ror64(v, 18) ^ ror64(v, 41); }
static uint64_t big0(uint64_t v) { return ror64(v, 28) ^ ror64(v, 34) ^ ror64(v, 39); }

static void sha512(A64Vec *d, A64Vec n, A64Vec m, unsigned op)
{
    uint64_t hi, lo;
    switch (op) {
    case A64V_SHA512H:
        hi = choose64(m.d[1], n.d[0], n.d[1]) + big1(m.d[1]) + d->d[1];
        lo = hi + m.d[0];
        d->d[0] += choose64(lo, m.d[1], n.d[0]) + big1(lo);
        d->d[1] = hi;
        break;
    case A64V_SHA512H2:
        hi = majority64(n.d[0], m.d[1], m.d[0]) + big0(m.d[0]) + d->d[1];
        d->d[0] += majority64(hi, m.d[0], m.d[1]) + big0(hi);
        d->d[1] = hi;
        break;
    case A64V_SHA512SU0:
        d->d[0] += ror64(d->d[1], 1) ^ ror64(d->d[1], 8) ^ d->d[1] >> 7;
        d->d[1] += ror64(n.d[0], 1) ^ ror64(n.d[0], 8) ^ n.d[0] >> 7;
        break;
    case A64V_SHA512SU1:
        for (unsigned k = 0; k < 2; k++)
            d->d[k] += (ror64(n.d[k], 19) ^ ror64(n.d[k], 61) ^ n.d[k] >> 6) + m.d[k];
        break;
    default:                   /* RAX1 */
        for (unsigned k = 0; k < 2; k++)
            d->d[k] = n.d[k] ^ ror64(m.d[k], 63);
        break;
    }
}

/* a: A64V_, b: av_regs */
uint64_t a64_h_crypto(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    A64State *s = state;
    A64Vec *r = &s->v[b & 31], n = s->v[b >> 8 & 31], m = s->v[b >> 16 & 31], old = *r;
    unsigned op = a & 0xffff;
    (void)c;
    (void)d;
    switch (op) {
    case A64V_AESE: case A64V_AESD: aes_round(r, &n, op == A64V_AESD); break;
    case A64V_AESMC: case A64V_AESIMC: aes_mix(r, n, op == A64V_AESIMC); break;
    case A64V_SHA1C: case A64V_SHA1P: case A64V_SHA1M: sha1_rounds(r, n, m, op); break;
    case A64V_SHA1SU0: sha1_schedule(r, n, m, true); break;
    case A64V_SHA1SU1: sha1_schedule(r, n, m, false); break;
    case A64V_SHA1H: *r = (A64Vec){ .s = { rol32(n.s[0], 30) } }; break;
    case A64V_SHA256H: sha256_rounds(r, &n, m); break;
    case A64V_SHA256H2:
        sha256_rounds(&n, &old, m);
        *r = old;
        break;
    case A64V_SHA256SU0: sha256_schedule0(r, n); break;
    case A64V_SHA256SU1: sha256_schedule1(r, n, m); break;
    default: sha512(r, n, m, op); break;
    }
    return 0;
}

uint64_t a64_h_pmull64(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    A64State *s = state;
    uint64_t x = s->v[b >> 8 & 31].d[a & 1], y = s->v[b >> 16 & 31].d[a & 1];
    A64Vec r = { { 0 } };
    (void)c;
    (void)d;
    for (unsigned n = 0; n < 64; n++)
        if (y >> n & 1) {
            r.d[0] ^= x << n;
            r.d[1] ^= n ? x >> (64 - n) : 0;
        }
    s->v[b & 31] = r;
    return 0;
}
