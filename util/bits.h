#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * Bit fields and byte order. Loads and stores accept any alignment; the name gives width and order
 * ("le32" = little endian, 32 bits). All functions are total: widths are taken modulo nothing, callers
 * pass start + len <= 64 and 1 <= len <= 64.
 */
#define BIT(n) (1ull << (n))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define DIV_UP(n, d) (((n) + (d) - 1) / (d))
#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

/* A mask of the @len low bits, 0 <= len <= 64. */
static inline uint64_t bits_mask(unsigned len)
{
    return len >= 64 ? UINT64_MAX : (1ull << len) - 1;
}

static inline uint64_t bits_get(uint64_t v, unsigned start, unsigned len)
{
    return v >> start & bits_mask(len);
}

static inline uint64_t bits_put(uint64_t v, unsigned start, unsigned len, uint64_t field)
{
    uint64_t m = bits_mask(len) << start;
    return (v & ~m) | (field << start & m);
}

static inline int64_t bits_sext(uint64_t v, unsigned len)
{
    return (int64_t)(v << (64 - len)) >> (64 - len);
}

static inline bool is_pow2(uint64_t v)
{
    return v && !(v & (v - 1));
}

/* Round up to a multiple of the power of two @align; wraps to 0 past 2^64. */
static inline uint64_t align_up(uint64_t v, uint64_t align)
{
    return (v + align - 1) & ~(align - 1);
}

static inline uint64_t align_down(uint64_t v, uint64_t align)
{
    return v & ~(align - 1);
}

/* True if [start, start + len) lies inside [0, limit), without overflow. */
static inline bool range_inside(uint64_t start, uint64_t len, uint64_t limit)
{
    return start <= limit && len <= limit - start;
}

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define BITS_LE_(n, v) (v)
#define BITS_BE_(n, v) __builtin_bswap##n(v)
#else
#define BITS_LE_(n, v) __builtin_bswap##n(v)
#define BITS_BE_(n, v) (v)
#endif

#define BITS_LOAD_STORE_(n, order, conv)                                \
    static inline uint##n##_t load_##order##n(const void *p)            \
    {                                                                   \
        uint##n##_t v;                                                  \
        memcpy(&v, p, sizeof(v));                                       \
        return conv(n, v);                                              \
    }                                                                   \
    static inline void store_##order##n(void *p, uint##n##_t v)         \
    {                                                                   \
        v = conv(n, v);                                                 \
        memcpy(p, &v, sizeof(v));                                       \
    }
BITS_LOAD_STORE_(16, le, BITS_LE_)
BITS_LOAD_STORE_(32, le, BITS_LE_)
BITS_LOAD_STORE_(64, le, BITS_LE_)
BITS_LOAD_STORE_(16, be, BITS_BE_)
BITS_LOAD_STORE_(32, be, BITS_BE_)
BITS_LOAD_STORE_(64, be, BITS_BE_)

/* Little-endian load and store of @size = 1..8 bytes. In one piece where there is one: a wider load of it does not wait then. */
static inline uint64_t load_le(const void *p, unsigned size)
{
    uint64_t v = 0;
    switch (size) {
    case 1: return *(const uint8_t *)p;
    case 2: return load_le16(p);
    case 4: return load_le32(p);
    case 8: return load_le64(p);
    }
    for (unsigned i = 0; i < size; i++)
        v |= (uint64_t)((const uint8_t *)p)[i] << 8 * i;
    return v;
}

static inline void store_le(void *p, unsigned size, uint64_t v)
{
    switch (size) {
    case 1: *(uint8_t *)p = (uint8_t)v; return;
    case 2: store_le16(p, (uint16_t)v); return;
    case 4: store_le32(p, (uint32_t)v); return;
    case 8: store_le64(p, v); return;
    }
    for (unsigned i = 0; i < size; i++)
        ((uint8_t *)p)[i] = (uint8_t)(v >> 8 * i);
}
