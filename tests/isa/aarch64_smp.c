/*
 * Two AArch64 vCPUs on two threads, straight on the translator: counters by exclusive accesses, LSE and pairs lose nothing, locks protect, and
 * release/acquire and barriers forbid what they forbid (message passing; both store, both read the other's old value).
 *
 *   aarch64_smp IMAGE [SECONDS]        IMAGE: aarch64/smp.S
 */
#include <glib.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tcg/guest/aarch64/aarch64.h"
#include "tcg/guest/aarch64/guest.h"

enum { RAM_SIZE = 8 << 20, CODE = 0x10000, DATA = 0x100000, PROGRESS = 0x80000, RESULT = 0x600000, RESULTS = 0x80000, ROUNDS = 20000 };
enum { COUNTER_EXCL, LOCK_EXCL, COUNTERS_LSE, PAIRS, LOCK_LSE, MESSAGE_RELEASE, MESSAGE_BARRIER, BOTH_RELEASE, BOTH_BARRIER, TESTS };

typedef struct Side { TcgCpu *cpu; A64State *s; pthread_t thread; } Side;
typedef struct Test { uint8_t *ram; TcgContext *ctx; Side side[2]; } Test;

static uint8_t *cb_page(void *opaque, uint64_t gpa, unsigned *flags)
{
    Test *t = opaque;
    *flags = 0;
    return gpa < RAM_SIZE ? t->ram + gpa : NULL;
}

static uint64_t cb_io_read(void *o, uint64_t gpa, unsigned size) { (void)o, (void)gpa, (void)size; return 0; }
static void cb_io_write(void *o, uint64_t gpa, uint64_t v, unsigned size) { (void)o, (void)gpa, (void)v, (void)size; }
static const TcgCallbacks callbacks = { .page = cb_page, .io_read = cb_io_read, .io_write = cb_io_write };

static uint64_t word(const Test *t, unsigned off)
{
    uint64_t v;
    memcpy(&v, t->ram + off, 8);
    return v;
}

static void *run(void *opaque)
{
    Side *side = opaque;
    tcg_cpu_run(side->cpu, 0);     /* to WFI */
    return NULL;
}

static void both(Test *t, unsigned test, uint64_t rounds)
{
    memset(t->ram + DATA, 0, RAM_SIZE - DATA);
    memset(t->ram + DATA + 16, 0x7f, 8);       /* a minimum begins high */
    for (unsigned n = 0; n < 2; n++) {
        A64State *s = t->side[n].s;
        uint64_t x[6] = { n, DATA, rounds, RESULT + n * RESULTS, PROGRESS + 64 * !n, PROGRESS + 64 * n }, start = ~0ull;
        memset(s->x, 0, sizeof(s->x));
        memcpy(s->x, x, sizeof(x));
        memcpy(t->ram + x[5], &start, 8);
        s->pc = CODE + 4 * test;
        s->halted = 0;
    }
    for (int n = 0; n < 2; n++)
        pthread_create(&t->side[n].thread, NULL, run, &t->side[n]);
    for (int n = 0; n < 2; n++)
        pthread_join(t->side[n].thread, NULL);
}

static bool expect(const char *test, const char *what, uint64_t got, uint64_t want)
{
    if (got != want)
        printf("%s: %s is %llu, not %llu\n", test, what, (unsigned long long)got, (unsigned long long)want);
    return got == want;
}

static bool counters(Test *t, unsigned test, const char *name)
{
    uint64_t n = ROUNDS, all = 2 * n, small = word(t, DATA + 8);
    both(t, test, n);
    small = word(t, DATA + 8);
    bool ok = expect(name, "64 bits", word(t, DATA), all) && expect(name, "32 bits", (uint32_t)small, all) &&
              expect(name, "16 bits", small >> 32 & 0xffff, all & 0xffff) && expect(name, "8 bits", small >> 48 & 0xff, all & 0xff);
    if (test == COUNTERS_LSE)
        ok = ok && expect(name, "the minimum", word(t, DATA + 16), 1) && expect(name, "the maximum", word(t, DATA + 24), n) &&
             expect(name, "the sum without carries", word(t, DATA + 32), 0);
    return ok;
}

static bool locked(Test *t, unsigned test, const char *name)
{
    both(t, test, ROUNDS);
    return expect(name, "first counter", word(t, DATA + 256), 2 * ROUNDS) && expect(name, "second counter", word(t, DATA + 512), 6 * ROUNDS) &&
           expect(name, "lock", word(t, DATA), 0);
}

static bool pairs(Test *t)
{
    both(t, PAIRS, ROUNDS);
    return expect("pairs", "first half", word(t, DATA), 4 * ROUNDS) && expect("pairs", "second half", word(t, DATA + 8), 4 * ROUNDS);
}

static bool message(Test *t, unsigned test, const char *name)
{
    both(t, test, 4 * ROUNDS);
    return expect(name, "flags ahead of their data", word(t, RESULT + RESULTS), 0);
}

static bool both_store(Test *t, unsigned test, const char *name)
{
    unsigned bad = 0;
    both(t, test, ROUNDS);
    for (unsigned n = 1; n <= ROUNDS; n++)
        bad += !word(t, RESULT + 8 * n) && !word(t, RESULT + RESULTS + 8 * n);
    return expect(name, "rounds in which both read the old value", bad, 0);
}

static bool all(Test *t)
{
    bool ok = counters(t, COUNTER_EXCL, "exclusive counters") && locked(t, LOCK_EXCL, "exclusive lock") && counters(t, COUNTERS_LSE, "LSE counters");
    ok = ok && pairs(t) && locked(t, LOCK_LSE, "LSE lock") && message(t, MESSAGE_RELEASE, "message by STLR and LDAR");
    ok = ok && message(t, MESSAGE_BARRIER, "message by DMB") && both_store(t, BOTH_RELEASE, "stores by STLR");
    return ok && both_store(t, BOTH_BARRIER, "stores before DMB");
}

static bool load(Test *t, const char *path)
{
    gchar *data;
    gsize len;
    if (!g_file_get_contents(path, &data, &len, NULL) || len > 65536)
        return false;
    memcpy(t->ram + CODE, data, len);
    g_free(data);
    return true;
}

int main(int argc, char **argv)
{
    Test t = { .ram = g_aligned_alloc0(1, RAM_SIZE, 4096) };
    gint64 until = argc > 2 ? g_get_monotonic_time() + atoi(argv[2]) * G_USEC_PER_SEC : 0;
    const char *tier = getenv("TCG_TIER");
    TcgConfig config = { .tier = tier && !strcmp(tier, "interp") ? TCG_TIER_INTERP : tier && !strcmp(tier, "2") ? TCG_TIER_2 : TCG_TIER_AUTO };
    if (argc < 2 || !load(&t, argv[1]))
        return 2;
    t.ctx = tcg_new(&config, NULL);
    for (unsigned n = 0; n < 2; n++) {
        t.side[n].s = g_aligned_alloc0(1, sizeof(A64State), 64);
        a64_state_reset(t.side[n].s, A64_EL1, n);
        t.side[n].cpu = tcg_cpu_new(t.ctx, &a64_isa, t.side[n].s, &callbacks, &t);
    }
    unsigned passes = 0;
    bool ok;
    do
        ok = all(&t);
    while (++passes && ok && g_get_monotonic_time() < until);
    printf("%u passes of %u tests\n", passes, TESTS);
    for (unsigned n = 0; n < 2; n++)
        tcg_cpu_free(t.side[n].cpu);
    tcg_free(t.ctx);
    for (unsigned n = 0; n < 2; n++)
        g_aligned_free(t.side[n].s);
    g_aligned_free(t.ram);
    return !ok;
}
