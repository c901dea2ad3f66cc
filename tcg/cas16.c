/* Compare-and-swap of 16 bytes. Called by helpers: compiled without floating point and vectors, as they are. */
#include "tcg/tcg.h"

__attribute__((target("cx16"))) static bool host_cas16(void *p, uint64_t expect[2], const uint64_t want[2])
{
    bool ok;
    __asm__ volatile("lock cmpxchg16b %1" : "=@ccz"(ok), "+m"(*(unsigned __int128 *)p), "+a"(expect[0]), "+d"(expect[1])
                     : "b"(want[0]), "c"(want[1]) : "memory");
    return ok;
}

/* Pages that somebody watches, or devices: the other processors stand still. */
static bool slow_cas16(TcgCpu *cpu, uint64_t va, unsigned regime, uint64_t expect[2], const uint64_t want[2])
{
    tcg_probe(cpu, va, 16, TCG_WRITE, regime);
    tcg_need_alone(cpu);
    uint64_t lo = tcg_load(cpu, va, 3, regime), hi = tcg_load(cpu, va + 8, 3, regime);
    bool ok = lo == expect[0] && hi == expect[1];
    tcg_store(cpu, va, ok ? want[0] : lo, 3, regime);
    tcg_store(cpu, va + 8, ok ? want[1] : hi, 3, regime);
    expect[0] = lo;
    expect[1] = hi;
    return ok;
}

bool tcg_cas16(TcgCpu *cpu, uint64_t va, uint64_t expect[2], const uint64_t want[2], unsigned regime)
{
    unsigned len;
    uint8_t *host = tcg_host(cpu, va, TCG_WRITE, regime, &len);
    return host ? host_cas16(host, expect, want) : slow_cas16(cpu, va, regime, expect, want);
}
