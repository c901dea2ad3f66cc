/* Which of the optional vector operations the host has. */
#include <cpuid.h>

#include "tcg/tcg-internal.h"

unsigned tcg_host_vops(void)
{
    unsigned a, b, c, d, r = 0;
    if (__get_cpuid(1, &a, &b, &c, &d))
        r |= (c >> 25 & 1 ? TCG_VOPS_AES : 0) | (c >> 1 & 1 ? TCG_VOPS_CLMUL : 0);     /* SDM 2A, CPUID */
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d))
        r |= b >> 29 & 1 ? TCG_VOPS_SHA : 0;
    return r;
}

unsigned tcg_optional_vops(const TcgCpu *cpu) { return cpu ? cpu->ctx->host_vops : 0; }
