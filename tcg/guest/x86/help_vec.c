/* MXCSR: live in the host's register while helpers run. */
#include "tcg/guest/x86/sys.h"

uint64_t x86_h_ldmxcsr(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;
    uint32_t v = (uint32_t)a;
    (void)b;
    (void)c;
    (void)d;
    if (v & ~0xffffu)
        x86_raise_err(s, X86_GP, 0);
    s->mxcsr = v;
    __asm__ volatile("ldmxcsr %0" : : "m"(v));
    return 0;
}

uint64_t x86_h_settle(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    (void)state;
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    return 0;
}
