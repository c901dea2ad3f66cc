/* Integer and branch code: lists, matrices, state machines; hashing; pointers; sorting; calls; SHA-256. */
#include <stdlib.h>
#include <string.h>

#include "benchmarks/suite/suite.h"

/* ---- a mix in the manner of CoreMark ---- */
typedef struct Node { struct Node *next; int16_t key, value; } Node;
enum { LIST_LEN = 200, DIM = 12 };

static uint16_t crc16(uint16_t crc, uint16_t v)
{
    for (unsigned i = 0; i < 16; i++, v >>= 1) {
        unsigned bit = (crc ^ v) & 1;
        crc >>= 1;
        if (bit)
            crc ^= 0xa001;
    }
    return crc;
}

static Node *list_reverse(Node *l)
{
    Node *done = NULL;
    while (l) {
        Node *next = l->next;
        l->next = done;
        done = l;
        l = next;
    }
    return done;
}

static Node *list_find(Node *l, int16_t key)
{
    while (l && l->key != key)
        l = l->next;
    return l;
}

static int by_key(const Node *a, const Node *b) { return a->key - b->key; }
static int by_value(const Node *a, const Node *b) { return crc16(0, (uint16_t)a->value) - crc16(0, (uint16_t)b->value); }

static Node *list_merge(Node *a, Node *b, int (*compare)(const Node *, const Node *))
{
    Node head, *tail = &head;
    while (a && b) {
        Node **least = compare(a, b) <= 0 ? &a : &b;
        tail->next = *least;
        tail = *least;
        *least = (*least)->next;
    }
    tail->next = a ? a : b;
    return head.next;
}

static Node *list_sort(Node *l, int (*compare)(const Node *, const Node *))
{
    if (!l || !l->next)
        return l;
    Node *half = l, *end = l->next;
    while (end && end->next) {
        half = half->next;
        end = end->next->next;
    }
    Node *second = half->next;
    half->next = NULL;
    return list_merge(list_sort(l, compare), list_sort(second, compare), compare);
}

static uint16_t matrices(int16_t *a, const int16_t *b, int16_t seed)
{
    uint16_t crc = 0;
    for (unsigned i = 0; i < DIM * DIM; i++)
        a[i] = (int16_t)(a[i] + seed);
    for (unsigned i = 0; i < DIM; i++)
        for (unsigned j = 0; j < DIM; j++) {
            int32_t sum = 0;
            for (unsigned k = 0; k < DIM; k++)
                sum += a[i * DIM + k] * b[k * DIM + j];
            crc = (uint16_t)(crc + (sum >> 2 & 0xf) * (sum >> 5 & 0x7f));
        }
    return crc;
}

/* Which kind of number a text is. */
static unsigned scan(const char **text)
{
    enum { START, INT, FLOAT, EXP, SCI, BAD } state = START;
    const char *s = *text;
    for (; *s && *s != ','; s++) {
        unsigned digit = (unsigned)(*s - '0') < 10;
        switch (state) {
        case START: state = digit || *s == '+' || *s == '-' ? INT : *s == '.' ? FLOAT : BAD; break;
        case INT: state = digit ? INT : *s == '.' ? FLOAT : BAD; break;
        case FLOAT: state = digit ? FLOAT : *s == 'e' || *s == 'E' ? EXP : BAD; break;
        case EXP: state = digit || *s == '+' || *s == '-' ? SCI : BAD; break;
        case SCI: state = digit ? SCI : BAD; break;
        case BAD: break;
        }
    }
    *text = *s ? s + 1 : s;
    return state;
}

static uint64_t run_mix(uint64_t n)
{
    static const char numbers[] = "5012,-874,+122,35.54400,.1234500,-110.700,+0.64400,5.500e+3,-.123e-2,-87e+832,+0.6e-12,"
        "T0.3e-1F,-T.T++Tq,1T3.4e4z,34.0e-T^,12345678,7,1.5,x,88.e,";
    Node nodes[LIST_LEN], *l = NULL;
    int16_t a[DIM * DIM], b[DIM * DIM];
    uint64_t seed = 42, sum = 0;
    for (unsigned i = 0; i < DIM * DIM; i++) {
        a[i] = (int16_t)suite_random(&seed);
        b[i] = (int16_t)suite_random(&seed);
    }
    for (unsigned i = 0; i < LIST_LEN; i++) {
        nodes[i] = (Node){ l, (int16_t)i, (int16_t)suite_random(&seed) };
        l = &nodes[i];
    }
    for (uint64_t i = 0; i < n; i++) {
        unsigned counts[8] = { 0 };
        for (unsigned k = 0; k < 10; k++) {
            Node *f = list_find(l, (int16_t)((i * 7 + k * 19) % LIST_LEN));
            sum += f ? (uint64_t)f->value : 1;
        }
        l = list_reverse(l);
        l = list_sort(l, i & 1 ? by_value : by_key);
        sum = suite_mix(sum, matrices(a, b, (int16_t)i));
        for (const char *s = numbers; *s;)
            counts[scan(&s)]++;
        for (unsigned k = 0; k < 8; k++)
            sum = crc16((uint16_t)sum, (uint16_t)counts[k]) + (sum & ~0xffffull);
    }
    return sum;
}

/* ---- a hash table of 1 MB, open addressing ---- */
enum { HASH_SLOTS = 1 << 16 };
typedef struct Slot { uint64_t key, value; } Slot;

static Slot *hash_at(Slot *t, uint64_t key)
{
    uint64_t h = key * 0x9e3779b97f4a7c15 >> 48;
    while (t[h].key && t[h].key != key)
        h = (h + 1) & (HASH_SLOTS - 1);
    return &t[h];
}

static uint64_t run_hash(uint64_t n)
{
    Slot *t = calloc(HASH_SLOTS, sizeof(*t));
    uint64_t seed = 7, sum = 0;
    if (!t)
        return 0;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t key = suite_random(&seed) % 40000 + 1;
        Slot *s = hash_at(t, key);
        if (!s->key)
            s->key = key;
        s->value += i;
        sum ^= s->value * key;
    }
    free(t);
    return sum;
}

/* ---- dependent loads over 4 MB ---- */
static uint64_t run_chase(uint64_t n)
{
    enum { CELLS = 1 << 16, STRIDE = 8 };       /* one cell a cache line */
    uint64_t *cell = malloc(CELLS * STRIDE * sizeof(*cell)), seed = 3, at = 0, sum = 0;
    if (!cell)
        return 0;
    for (unsigned i = 0; i < CELLS; i++)
        cell[i * STRIDE] = i;
    for (unsigned i = CELLS - 1; i; i--) {      /* one cycle through all (Sattolo 1986) */
        unsigned j = (unsigned)(suite_random(&seed) % i);
        uint64_t v = cell[i * STRIDE];
        cell[i * STRIDE] = cell[j * STRIDE];
        cell[j * STRIDE] = v;
    }
    for (uint64_t i = 0; i < n; i++) {
        at = cell[at * STRIDE];
        sum += at;
    }
    free(cell);
    return sum;
}

/* ---- sorting ---- */
static void quicksort(uint32_t *v, long lo, long hi)
{
    while (lo < hi) {
        uint32_t pivot = v[(lo + hi) / 2];
        long i = lo, j = hi;
        while (i <= j) {
            while (v[i] < pivot)
                i++;
            while (v[j] > pivot)
                j--;
            if (i <= j) {
                uint32_t t = v[i];
                v[i++] = v[j];
                v[j--] = t;
            }
        }
        if (j - lo < hi - i) {
            quicksort(v, lo, j);
            lo = i;
        } else {
            quicksort(v, i, hi);
            hi = j;
        }
    }
}

static uint64_t run_sort(uint64_t n)
{
    enum { LEN = 50000 };
    uint32_t *v = malloc(LEN * sizeof(*v));
    uint64_t seed = 11, sum = 0;
    for (uint64_t i = 0; v && i < n; i++) {
        for (unsigned k = 0; k < LEN; k++)
            v[k] = (uint32_t)suite_random(&seed);
        quicksort(v, 0, LEN - 1);
        sum = suite_mix(sum, v[LEN / 2] + v[17]);
    }
    free(v);
    return sum;
}

/* ---- recursive calls ---- */
__attribute__((noinline, optimize("no-optimize-sibling-calls", "no-inline", "no-ipa-cp")))
static uint64_t fib(unsigned k) { return k < 2 ? k : fib(k - 1) + fib(k - 2); }

__attribute__((noinline, optimize("no-optimize-sibling-calls", "no-inline", "no-ipa-cp")))
static uint32_t ackermann(uint32_t m, uint32_t n)
{
    if (!m)
        return n + 1;
    return ackermann(m - 1, n ? ackermann(m, n - 1) : 1);
}

static uint64_t run_calls(uint64_t n)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < n; i++)
        sum += fib(20 + i % 3) + ackermann(2, 40 + i % 5);
    return sum;
}

/* ---- SHA-256 (FIPS 180-4) in C ---- */
static uint32_t ror(uint32_t v, unsigned by) { return v >> by | v << (32 - by); }

static void sha256_block(uint32_t h[8], const uint8_t *p, const uint32_t k[64])
{
    uint32_t w[64], s[8];
    for (unsigned i = 0; i < 16; i++)
        w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 | (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
    for (unsigned i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + (ror(a, 7) ^ ror(a, 18) ^ a >> 3) + w[i - 7] + (ror(b, 17) ^ ror(b, 19) ^ b >> 10);
    }
    memcpy(s, h, sizeof(s));
    for (unsigned i = 0; i < 64; i++) {
        uint32_t t1 = s[7] + (ror(s[4], 6) ^ ror(s[4], 11) ^ ror(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) + k[i] + w[i];
        uint32_t t2 = (ror(s[0], 2) ^ ror(s[0], 13) ^ ror(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof(s[0]));
        s[4] += t1;
        s[0] = t1 + t2;
    }
    for (unsigned i = 0; i < 8; i++)
        h[i] += s[i];
}

static uint64_t run_sha256(uint64_t n)
{
    uint32_t h[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 }, k[64];
    uint8_t data[4096];
    uint64_t seed = 5;
    for (unsigned i = 0; i < 64; i++)            /* the time is the same with any constants */
        k[i] = (uint32_t)suite_random(&seed);
    for (unsigned i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)suite_random(&seed);
    for (uint64_t i = 0; i < n; i++)
        sha256_block(h, data + i * 64 % sizeof(data), k);
    return (uint64_t)h[0] << 32 | h[7];
}

const Workload suite_integer[] = {
    { "integer", "integer", 1200, run_mix, "", "lists, matrices, a state machine, CRC: in the manner of CoreMark" },
    { "hash", "integer", 3000000, run_hash, "", "an insertion into or look-up in a table of 1 MB" },
    { "chase", "memory", 1500000, run_chase, "", "a dependent load from 4 MB" },
    { "sort", "integer", 10, run_sort, "", "quicksort of 50000 words" },
    { "calls", "integer", 400, run_calls, "", "recursive Fibonacci and Ackermann numbers" },
    { "sha256", "integer", 50000, run_sha256, "", "a block of SHA-256, in C" },
    { 0 },
};
