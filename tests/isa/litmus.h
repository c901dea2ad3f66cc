#pragma once
#include "tcg/tcg.h"

/*
 * Two vCPUs of a guest on two threads, straight on the translator: counters lose nothing, locks protect, and the guest's order of accesses forbids
 * what it forbids. An image of the guest's (GUEST/smp.S) has the loops; test n begins at 4 * n of it and ends in WFI. Its arguments: which CPU
 * (0, 1), shared data, rounds, this CPU's results, the other's progress, own progress.
 *
 * COUNTS: both add 1 a round to words of 64, 32, 16 and 8 bits at 0, 8, 12, 14 of the shared data. EXTREMES: moreover the rounds to go into a minimum
 * at 16, a maximum at 24, an exclusive or at 32. LOCK: 1 and 3 added to plain counters at 256 and 512 with the lock at 0. PAIR: 2 a round to both
 * halves of 16 bytes. MESSAGE: CPU 1 counts flags ahead of their data. BOTH: each CPU's result of a round is what it read of the other's word.
 */
typedef enum LitmusKind { LITMUS_COUNTS, LITMUS_EXTREMES, LITMUS_LOCK, LITMUS_PAIR, LITMUS_MESSAGE, LITMUS_BOTH } LitmusKind;
typedef struct LitmusTest { const char *name; LitmusKind kind; } LitmusTest;

enum { LITMUS_ARGS = 6 };
typedef struct LitmusGuest {
    const GuestIsa *isa;
    size_t state_size;
    bool narrow;               /* counts in 16 and 8 bits too */
    void (*reset)(void *state, unsigned cpu);
    void (*start)(void *state, const uint64_t args[LITMUS_ARGS], uint64_t pc);
    const LitmusTest *tests;
    unsigned n_tests;
} LitmusGuest;

/* main of a guest's program: IMAGE [SECONDS]; TCG_TIER of the environment: interp, 1, 2, worker. */
int litmus_main(const LitmusGuest *guest, int argc, char **argv);
