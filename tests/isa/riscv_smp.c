/* riscv_smp IMAGE [SECONDS]: litmus.h, with riscv/smp.S. */
#include <string.h>

#include "tcg/guest/riscv/guest.h"
#include "tcg/guest/riscv/riscv.h"
#include "tests/isa/litmus.h"

static const LitmusTest tests[] = {
    { "LR/SC counters", LITMUS_COUNTS }, { "LR/SC lock", LITMUS_LOCK }, { "AMO counters", LITMUS_EXTREMES }, { "AMO lock", LITMUS_LOCK },
    { "message by AMO.RL and LR.AQ", LITMUS_MESSAGE }, { "message by FENCE", LITMUS_MESSAGE }, { "message by FENCE.TSO", LITMUS_MESSAGE },
    { "stores by AMO.AQRL", LITMUS_BOTH }, { "stores before FENCE", LITMUS_BOTH }, { "stores before LR.AQRL", LITMUS_BOTH },
};

static void reset(void *state, unsigned cpu) { riscv_state_reset(state, cpu); }

static void start(void *state, const uint64_t args[LITMUS_ARGS], uint64_t pc)
{
    RiscvState *s = state;
    memset(s->x, 0, sizeof(s->x));
    memcpy(&s->x[RISCV_A0], args, LITMUS_ARGS * sizeof(args[0]));
    s->pc = pc;
    s->halted = 0;
}

int main(int argc, char **argv)
{
    const LitmusGuest guest = { &riscv_isa, sizeof(RiscvState), false, reset, start, tests, sizeof(tests) / sizeof(tests[0]) };
    return litmus_main(&guest, argc, argv);
}
