/* Field tables: round trip, versions, and hostile streams. */
#include <string.h>

#include "tests/unit/check.h"
#include "util/bits.h"
#include "util/fielddesc.h"
#include "util/publish.h"

typedef enum Colour { RED, GREEN = 0x12345678 } Colour;

typedef struct Inner {
    uint16_t a;
    int32_t b;
} Inner;

typedef struct Outer {
    uint8_t u8;
    bool flag;
    Colour colour;
    uint64_t u64;
    int16_t words[5];
    uint8_t raw[3];
    Inner one, many[3];
    uint8_t *buf;
    uint32_t len;
    uint32_t later, maybe;
} Outer;

static const FieldDesc inner_fields[] = { FIELD(Inner, a), FIELD(Inner, b), { 0 } };
static const FieldDesc fields[] = {
    FIELD(Outer, u8), FIELD(Outer, flag), FIELD(Outer, colour), FIELD(Outer, u64), FIELD_ARRAY(Outer, words), FIELD_RAW(Outer, raw),
    FIELD_SUB(Outer, one, inner_fields), FIELD_SUB_ARRAY(Outer, many, inner_fields), FIELD_BUF(Outer, buf, len, 100),
    FIELD_SINCE(Outer, later, 2), FIELD_OPTIONAL(Outer, maybe), { 0 }
};
/* What a writer of version 1 had. */
static const FieldDesc fields_v1[] = {
    FIELD(Outer, u8), FIELD(Outer, flag), FIELD(Outer, colour), FIELD(Outer, u64), FIELD_ARRAY(Outer, words), FIELD_RAW(Outer, raw),
    FIELD_SUB(Outer, one, inner_fields), FIELD_SUB_ARRAY(Outer, many, inner_fields), FIELD_BUF(Outer, buf, len, 100), { 0 }
};

static void fill(Outer *o)
{
    uint8_t data[] = { 9, 8, 7 };
    *o = (Outer){ .u8 = 0x5a, .flag = true, .colour = GREEN, .u64 = 0x1122334455667788, .words = { -1, 2, -3, 4, -5 }, .raw = { 1, 2, 3 },
                  .one = { 7, -7 }, .many = { { 1, -1 }, { 2, -2 }, { 3, -3 } }, .len = 3, .later = 77, .maybe = 88 };
    o->buf = g_memdup2(data, 3);
}

/* Member by member: padding is anything. */
static bool same_inner(const Inner *a, const Inner *b, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (a[i].a != b[i].a || a[i].b != b[i].b)
            return false;
    return true;
}

static bool same(const Outer *a, const Outer *b)
{
    return a->u8 == b->u8 && a->flag == b->flag && a->colour == b->colour && a->u64 == b->u64 && !memcmp(a->words, b->words, sizeof(a->words)) &&
           !memcmp(a->raw, b->raw, 3) && same_inner(&a->one, &b->one, 1) && same_inner(a->many, b->many, 3) &&
           a->len == b->len && !memcmp(a->buf, b->buf, a->len);
}

static void test_round_trip(void)
{
    Outer a, b = { .maybe = 5, .later = 6 };
    g_autoptr(GByteArray) s = g_byte_array_new(), s1 = g_byte_array_new();
    fill(&a);
    fields_save(fields, &a, s);
    CHECK(fields_load(fields, &b, 2, s->data, s->len, NULL));
    CHECK(same(&a, &b) && b.later == 77 && b.maybe == 88);
    b.later = 6;
    b.maybe = 5;
    fields_save(fields_v1, &a, s1);
    CHECK(fields_load(fields, &b, 1, s1->data, s1->len, NULL));
    CHECK(b.later == 6 && b.maybe == 5);
    GError *err = NULL;
    CHECK(!fields_load(fields, &b, 2, s1->data, s1->len, &err) && strstr(err->message, "later"));
    g_clear_error(&err);
    g_free(a.buf);
    g_free(b.buf);
}

/* Every cut and every changed byte gives success or a clean error, nothing else (sanitizers watch). */
static void test_hostile(void)
{
    Outer a, b = { 0 };
    g_autoptr(GByteArray) s = g_byte_array_new();
    fill(&a);
    fields_save(fields, &a, s);
    unsigned refused = 0;
    for (guint cut = 0; cut < s->len; cut++)
        refused += !fields_load(fields, &b, 2, s->data, cut, NULL);
    CHECK(refused >= s->len - 2);       /* only the optional field at the end may be missing */
    for (guint i = 0; i < s->len; i++)
        for (unsigned v = 0; v < 256; v += 51) {
            g_autofree uint8_t *bad = g_memdup2(s->data, s->len);
            bad[i] ^= (uint8_t)(v + 1);
            GError *err = NULL;
            CHECK(fields_load(fields, &b, 2, bad, s->len, &err) || err);
            g_clear_error(&err);
        }
    g_free(a.buf);
    g_free(b.buf);
}

static void count_free(void *p)
{
    ++*(int *)p;
}

static void test_publish(void)
{
    int freed = 0;
    Publish *p = publish_new();
    PublishToken t = publish_read_begin(p), t2;
    publish_retire(p, count_free, &freed);
    CHECK(freed == 0 && publish_pending(p) == 1);
    t2 = publish_read_begin(p);         /* newer readers do not keep it */
    publish_retire(p, count_free, &freed);
    publish_read_end(p, t);
    publish_reclaim(p);
    CHECK(freed == 1);
    publish_read_end(p, t2);
    publish_reclaim(p);
    CHECK(freed == 2 && publish_pending(p) == 0);
    t = publish_read_begin(p);
    publish_retire(p, count_free, &freed);
    publish_read_end(p, t);
    publish_free(p);                    /* frees the rest */
    CHECK_EQ(freed, 3);
}

static void test_bits(void)
{
    uint8_t b[8];
    store_be32(b, 0x11223344);
    CHECK(b[0] == 0x11 && load_be32(b) == 0x11223344 && load_le32(b) == 0x44332211);
    store_le(b, 3, 0x123456);
    CHECK(load_le(b, 3) == 0x123456 && bits_get(0xabcd, 4, 8) == 0xbc && bits_put(0, 60, 4, 0xf) == 0xf000000000000000ull);
    CHECK(bits_sext(0x80, 8) == -128 && bits_sext(0x7f, 8) == 127 && bits_mask(64) == UINT64_MAX && bits_mask(0) == 0);
    CHECK(range_inside(10, 0, 10) && !range_inside(10, 1, 10) && !range_inside(UINT64_MAX, 2, UINT64_MAX) && align_up(4097, 4096) == 8192);
}

int main(void)
{
    test_round_trip();
    test_hostile();
    test_publish();
    test_bits();
    puts("fields: ok");
    return 0;
}
