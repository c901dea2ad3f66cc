/* aarch64_smp IMAGE [SECONDS]: litmus.h, with aarch64/smp.S. */
#include <string.h>

#include "tcg/guest/aarch64/aarch64.h"
#include "tcg/guest/aarch64/guest.h"
#include "tests/isa/litmus.h"

static const LitmusTest tests[] = {
    { "exclusive counters", LITMUS_COUNTS }, { "exclusive lock", LITMUS_LOCK }, { "LSE counters", LITMUS_EXTREMES }, { "pairs", LITMUS_PAIR },
    { "LSE lock", LITMUS_LOCK }, { "message by STLR and LDAR", LITMUS_MESSAGE }, { "message by DMB", LITMUS_MESSAGE }, { "stores by STLR", LITMUS_BOTH },
    { "stores before DMB", LITMUS_BOTH },
};

static void reset(void *state, unsigned cpu) { a64_state_reset(state, A64_EL1, cpu); }

static void start(void *state, const uint64_t args[LITMUS_ARGS], uint64_t pc)
{
    A64State *s = state;
    memset(s->x, 0, sizeof(s->x));
    memcpy(s->x, args, LITMUS_ARGS * sizeof(args[0]));
    s->pc = pc;
    s->halted = 0;
}

int main(int argc, char **argv)
{
    const LitmusGuest guest = { &a64_isa, sizeof(A64State), true, reset, start, tests, sizeof(tests) / sizeof(tests[0]) };
    return litmus_main(&guest, argc, argv);
}
