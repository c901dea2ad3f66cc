#include "tcg/guest/x86/sys.h"

/* Port I/O: permission (SDM 1 18.5), then the callback. */

void x86_io_check(X86State *s, uint16_t port, unsigned size)
{
    const X86Seg *tr = &s->seg[X86_TR];
    bool vm = x86_vm86(s);

    if (!x86_pe(s) || (!vm && s->cpl <= x86_iopl(s)))
        return;
    /* Only a 32- or 64-bit TSS has a map; a set bit, or a map that ends before the port, denies. Two bytes are read always. */
    if (!(X86_SEG_TYPE(tr) & 8) || tr->attr & X86_SEG_UNUSABLE || 0x67 > tr->limit)
        x86_raise_gp0(s);
    uint32_t map = (uint32_t)x86_sys_load(s, tr->base + 0x66, 1), at = map + port / 8;
    if (at + 1 > tr->limit)
        x86_raise_gp0(s);
    uint32_t bits = (uint32_t)x86_sys_load(s, tr->base + at, 1) >> (port & 7);
    if (bits & ((1u << size) - 1))
        x86_raise_gp0(s);
}

/* I/O breakpoints (DR7.RWn = 10, CR4.DE) are traps: remembered, raised at the end of the instruction. */
static void io_breakpoint(X86State *s, uint16_t port, unsigned size)
{
    if (!x86_dr_enabled(s) || !(s->cr4 & X86_CR4_DE))
        return;
    uint64_t hit = x86_dr_match(s, port, size, TCG_READ, true);
    if (hit)
        s->dr_pending |= hit;
}

uint64_t x86_h_io_check(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    x86_io_check(state, (uint16_t)a, (unsigned)b);
    return 0;
}

uint64_t x86_h_in(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;
    TcgCpu *cpu = x86_cpu(s);

    x86_io_check(s, (uint16_t)a, (unsigned)b);
    tcg_device_begin(cpu);
    uint64_t v = tcg_cpu_callbacks(cpu)->port_in(tcg_cpu_opaque(cpu), (uint16_t)a, (unsigned)b);
    tcg_device_end(cpu, false);
    io_breakpoint(s, (uint16_t)a, (unsigned)b);
    return v;
}

uint64_t x86_h_out(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;
    TcgCpu *cpu = x86_cpu(s);

    x86_io_check(s, (uint16_t)a, (unsigned)c);
    tcg_device_begin(cpu);
    tcg_cpu_callbacks(cpu)->port_out(tcg_cpu_opaque(cpu), (uint16_t)a, b, (unsigned)c);
    tcg_device_end(cpu, false);
    io_breakpoint(s, (uint16_t)a, (unsigned)c);
    return 0;
}
