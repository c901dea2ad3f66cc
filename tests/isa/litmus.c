#include "tests/isa/litmus.h"

#include <glib.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RAM_SIZE = 8 << 20, CODE = 0x10000, CODE_SIZE = 65536, DATA = 0x100000, PROGRESS = 0x80000, RESULT = 0x600000, RESULTS = 0x80000, ROUNDS = 200000,
       BOTH_ROUNDS = 500, BOTH_TURNS = 40, BOTH_SECONDS = 4 };

typedef struct Side { TcgCpu *cpu; void *state; pthread_t thread; } Side;
typedef struct Test { const LitmusGuest *guest; uint8_t *ram; TcgContext *ctx; Side side[2]; const char *name; } Test;

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
        const uint64_t args[LITMUS_ARGS] = { n, DATA, rounds, RESULT + n * RESULTS, PROGRESS + 64 * !n, PROGRESS + 64 * n }, start = ~0ull;
        memcpy(t->ram + args[5], &start, 8);
        t->guest->start(t->side[n].state, args, CODE + 4 * test);
    }
    for (int n = 0; n < 2; n++)
        pthread_create(&t->side[n].thread, NULL, run, &t->side[n]);
    for (int n = 0; n < 2; n++)
        pthread_join(t->side[n].thread, NULL);
}

static bool expect(const Test *t, const char *what, uint64_t got, uint64_t want)
{
    if (got != want)
        printf("%s: %s is %llu, not %llu\n", t->name, what, (unsigned long long)got, (unsigned long long)want);
    return got == want;
}

static bool counts(Test *t, unsigned test, bool extremes)
{
    uint64_t all = 2 * ROUNDS, small;
    both(t, test, ROUNDS);
    small = word(t, DATA + 8);
    bool ok = expect(t, "64 bits", word(t, DATA), all) && expect(t, "32 bits", (uint32_t)small, all);
    if (t->guest->narrow)
        ok = ok && expect(t, "16 bits", small >> 32 & 0xffff, all & 0xffff) && expect(t, "8 bits", small >> 48 & 0xff, all & 0xff);
    if (extremes)
        ok = ok && expect(t, "the minimum", word(t, DATA + 16), 1) && expect(t, "the maximum", word(t, DATA + 24), ROUNDS) &&
             expect(t, "the sum without carries", word(t, DATA + 32), 0);
    return ok;
}

static bool locked(Test *t, unsigned test)
{
    both(t, test, ROUNDS);
    return expect(t, "first counter", word(t, DATA + 256), 2 * ROUNDS) && expect(t, "second counter", word(t, DATA + 512), 6 * ROUNDS) &&
           expect(t, "lock", word(t, DATA), 0);
}

static bool pair(Test *t, unsigned test)
{
    both(t, test, ROUNDS);
    return expect(t, "first half", word(t, DATA), 4 * ROUNDS) && expect(t, "second half", word(t, DATA + 8), 4 * ROUNDS);
}

static bool message(Test *t, unsigned test)
{
    both(t, test, ROUNDS);
    return expect(t, "flags ahead of their data", word(t, RESULT + RESULTS), 0);
}

static bool both_store(Test *t, unsigned test)
{
    unsigned bad = 0;
    gint64 end = g_get_monotonic_time() + BOTH_SECONDS * G_USEC_PER_SEC;
    /* every round waits for the other vCPU: on one core of the host that is a slice of its scheduler */
    for (unsigned turn = 0; turn < BOTH_TURNS && g_get_monotonic_time() < end; turn++) {
        both(t, test, BOTH_ROUNDS);
        for (unsigned n = 1; n <= BOTH_ROUNDS; n++)
            bad += !word(t, RESULT + 8 * n) && !word(t, RESULT + RESULTS + 8 * n);
    }
    return expect(t, "rounds in which both read the old value", bad, 0);
}

static bool one(Test *t, unsigned test)
{
    const LitmusTest *l = &t->guest->tests[test];
    t->name = l->name;
    switch (l->kind) {
    case LITMUS_COUNTS: case LITMUS_EXTREMES: return counts(t, test, l->kind == LITMUS_EXTREMES);
    case LITMUS_LOCK: return locked(t, test);
    case LITMUS_PAIR: return pair(t, test);
    case LITMUS_MESSAGE: return message(t, test);
    case LITMUS_BOTH: return both_store(t, test);
    }
    return false;
}

static bool all(Test *t)
{
    bool ok = true;
    for (unsigned n = 0; n < t->guest->n_tests && ok; n++)
        ok = one(t, n);
    return ok;
}

static bool load(Test *t, const char *path)
{
    g_autofree gchar *data = NULL;
    gsize len;
    if (!g_file_get_contents(path, &data, &len, NULL) || len > CODE_SIZE)
        return false;
    memcpy(t->ram + CODE, data, len);
    return true;
}

static TcgConfig config_of(const char *tier)
{
    static const char *const names[] = { [TCG_TIER_INTERP] = "interp", [TCG_TIER_1] = "1", [TCG_TIER_2] = "2" };
    TcgConfig config = { .tier = TCG_TIER_AUTO, .worker = tier && !strcmp(tier, "worker") ? TCG_WORKER_ALWAYS : TCG_WORKER_OFF };
    for (unsigned n = TCG_TIER_INTERP; tier && n < G_N_ELEMENTS(names); n++)
        if (!strcmp(tier, names[n]))
            config.tier = (TcgTier)n;
    return config;
}

int litmus_main(const LitmusGuest *guest, int argc, char **argv)
{
    Test t = { .guest = guest, .ram = g_aligned_alloc0(1, RAM_SIZE, 4096) };
    gint64 until = argc > 2 ? g_get_monotonic_time() + atoi(argv[2]) * G_USEC_PER_SEC : 0;
    TcgConfig config = config_of(getenv("TCG_TIER"));
    if (argc < 2 || !load(&t, argv[1]))
        return 2;
    t.ctx = tcg_new(&config, NULL);
    for (unsigned n = 0; n < 2; n++) {
        t.side[n].state = g_aligned_alloc0(1, guest->state_size, 64);
        guest->reset(t.side[n].state, n);
        t.side[n].cpu = tcg_cpu_new(t.ctx, guest->isa, t.side[n].state, &callbacks, &t);
    }
    unsigned passes = 0;
    bool ok;
    do
        ok = all(&t);
    while (++passes && ok && g_get_monotonic_time() < until);
    printf("%u passes of %u tests\n", passes, guest->n_tests);
    for (unsigned n = 0; n < 2; n++)
        tcg_cpu_free(t.side[n].cpu);
    tcg_free(t.ctx);
    for (unsigned n = 0; n < 2; n++)
        g_aligned_free(t.side[n].state);
    g_aligned_free(t.ram);
    return !ok;
}
