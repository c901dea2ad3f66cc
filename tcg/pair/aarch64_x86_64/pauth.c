/* The cipher of pointer authentication, called by helpers while guest values are in vector registers. */
#include "tcg/guest/aarch64/aarch64.h"

bool a64_qarma5_host(uint64_t data, uint64_t modifier, uint64_t key0, uint64_t key1, uint64_t *ret)
{
    uint8_t save[16][16];
    if (!__builtin_cpu_supports("ssse3"))
        return false;
    /* The guest's registers have 128 bits, and SSE leaves what is above alone. */
    __asm__ volatile("movups %%xmm0, (%0)\n movups %%xmm1, 16(%0)\n movups %%xmm2, 32(%0)\n movups %%xmm3, 48(%0)\n movups %%xmm4, 64(%0)\n"
                     "movups %%xmm5, 80(%0)\n movups %%xmm6, 96(%0)\n movups %%xmm7, 112(%0)\n movups %%xmm8, 128(%0)\n movups %%xmm9, 144(%0)\n"
                     "movups %%xmm10, 160(%0)\n movups %%xmm11, 176(%0)\n movups %%xmm12, 192(%0)\n movups %%xmm13, 208(%0)\n movups %%xmm14, 224(%0)\n"
                     "movups %%xmm15, 240(%0)" : : "r"(save) : "memory");
    *ret = a64_qarma5_vector(data, modifier, key0, key1);
    __asm__ volatile("movups (%0), %%xmm0\n movups 16(%0), %%xmm1\n movups 32(%0), %%xmm2\n movups 48(%0), %%xmm3\n movups 64(%0), %%xmm4\n"
                     "movups 80(%0), %%xmm5\n movups 96(%0), %%xmm6\n movups 112(%0), %%xmm7\n movups 128(%0), %%xmm8\n movups 144(%0), %%xmm9\n"
                     "movups 160(%0), %%xmm10\n movups 176(%0), %%xmm11\n movups 192(%0), %%xmm12\n movups 208(%0), %%xmm13\n movups 224(%0), %%xmm14\n"
                     "movups 240(%0), %%xmm15" : : "r"(save) : "memory");
    return true;
}
