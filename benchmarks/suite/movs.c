/* x86's string instructions. */
#include <stdlib.h>

#include "benchmarks/suite/suite.h"

/* REP MOVSB itself, whatever the library thinks of it. */
static uint64_t run_rep_movsb(uint64_t n)
{
    enum { SIZE = 16 << 10 };
    uint8_t *a = calloc(2, SIZE);
    uint64_t sum = 0;
    for (uint64_t i = 0; a && i < n; i++) {
        void *to = a + SIZE, *from = a;
        size_t count = SIZE;
        a[i % SIZE] = (uint8_t)i;
        __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
        sum += a[SIZE + i * 7 % SIZE];
    }
    free(a);
    return sum + 1;
}

const Workload suite_movs[] = {
    { "rep-movsb", "string", 80000, run_rep_movsb, "", "REP MOVSB of 16 KiB" },
    { 0 },
};
