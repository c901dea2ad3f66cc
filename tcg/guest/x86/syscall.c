#include "tcg/guest/x86/sys.h"

/* SYSCALL/SYSRET (AMD APM 3; SDM 2B) and SYSENTER/SYSEXIT. They load fixed flat segments, no descriptor is read. */

enum { CODE = X86_SEG_P | X86_SEG_S | X86_SEG_G | 11, DATA = X86_SEG_P | X86_SEG_S | X86_SEG_G | X86_SEG_DB | 3 };

static X86Seg flat_code(uint16_t sel, unsigned cpl, bool is64)
{
    return (X86Seg){ .limit = 0xffffffff, .sel = (uint16_t)((sel & ~3) | cpl), .attr = CODE | cpl << 5 | (is64 ? X86_SEG_L : X86_SEG_DB) };
}

static X86Seg flat_data(uint16_t sel, unsigned cpl)
{
    return (X86Seg){ .limit = 0xffffffff, .sel = (uint16_t)((sel & ~3) | cpl), .attr = DATA | cpl << 5 };
}

/* Where the vendors differ: Intel has SYSCALL in 64-bit code only, AMD has SYSENTER outside long mode only. */
static void check_available(X86State *s, bool sysenter)
{
    if (!sysenter && (!(s->msr.efer & X86_EFER_SCE) || (x86_is_intel(s) && !x86_code64(s))))
        x86_raise(s, X86_UD);
    if (sysenter && !x86_is_intel(s) && x86_lma(s))
        x86_raise(s, X86_UD);
}

static uint64_t transfer(X86State *s, X86Seg cs, X86Seg ss, uint64_t rip, unsigned cpl)
{
    s->seg[X86_CS] = cs;
    s->seg[X86_SS] = ss;
    s->cpl = cpl;
    s->rip = rip;
    x86_mode_changed(s);
    x86_irq_recheck(s);
    /* The step is judged by the new TF: FMASK keeps it off the kernel's entry, and SYSRET that sets it traps before the first instruction of
     * the program, "as if the SYSCALL had just completed". */
    if (s->rflags_rest & X86_TF)
        x86_h_db_trap(s, rip, 1, 0, 0);
    return x86_linear_pc(s);
}

/* One process: its system is outside. @kind is the callback's, the state's RIP is behind the instruction. */
TCG_CALL_PATH uint64_t x86_outside_call(X86State *s, unsigned kind)
{
    TcgCpu *cpu = x86_cpu(s);
    tcg_outside_begin(cpu);
    tcg_cpu_callbacks(cpu)->syscall(tcg_cpu_opaque(cpu), kind);
    tcg_outside_end(cpu);
    if (x86_mode_key(s) != tcg_mode_now(cpu))    /* few calls change it */
        x86_mode_changed(s);
    return x86_linear_pc(s);
}

TCG_CALL_PATH uint64_t x86_h_syscall(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;
    uint16_t sel = s->msr.star >> 32;
    uint64_t flags = x86_rflags(s) & ~(uint64_t)X86_RF, rip;
    bool lma = x86_lma(s);

    if (tcg_cpu_callbacks(x86_cpu(s))->syscall) {
        s->gpr[X86_RCX] = s->rip = a;
        s->gpr[11] = flags;
        return x86_outside_call(s, X86_CALL_SYSCALL);
    }
    check_available(s, false);
    if (lma) {
        s->gpr[X86_RCX] = a;
        s->gpr[11] = flags;
        rip = x86_code64(s) ? s->msr.lstar : s->msr.cstar;
        x86_set_rflags(s, flags & ~s->msr.sfmask);
    } else {
        s->gpr[X86_RCX] = (uint32_t)a;
        rip = (uint32_t)s->msr.star;
        x86_set_rflags(s, flags & ~(uint64_t)(X86_IF | X86_VM));
    }
    return transfer(s, flat_code(sel & 0xfffc, 0, lma), flat_data((sel & 0xfffc) + 8, 0), rip, 0);
}

uint64_t x86_h_sysret(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;
    uint16_t sel = s->msr.star >> 48;
    uint64_t rip = s->gpr[X86_RCX];
    bool lma = x86_lma(s), to64 = lma && a == 8;

    check_available(s, false);
    if (s->cpl || !x86_pe(s))
        x86_raise_gp0(s);
    if (to64 && x86_is_intel(s) && !x86_canonical(s, rip))
        x86_raise_gp0(s);
    X86Seg ss = flat_data((sel & 0xfffc) + 8, 3);
    if (!x86_is_intel(s)) {                    /* AMD: base, limit and rights stay as they are (APM 3, SYSRET) */
        uint16_t ss_sel = ss.sel;
        ss = s->seg[X86_SS];
        ss.sel = ss_sel;
        if (!to64)                             /* what no one can tell from AMD's unusable cached SS, but our checks would see */
            ss = flat_data(ss_sel, 3);
        ss.attr = (ss.attr & ~(X86_SEG_UNUSABLE | 0x60u)) | X86_SEG_P | X86_SEG_S | 3 | 3u << 5;
    }
    if (lma)
        x86_set_rflags(s, (s->gpr[11] & 0x3c7fd7) | 2);
    else
        s->rflags_rest |= X86_IF;
    return transfer(s, flat_code(to64 ? (sel & 0xfffc) + 16 : sel & 0xfffc, 3, to64), ss, to64 ? rip : (uint32_t)rip, 3);
}

uint64_t x86_h_sysenter(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;
    uint16_t sel = s->msr.sysenter_cs & 0xfffc;
    bool lma = x86_lma(s);

    if (tcg_cpu_callbacks(x86_cpu(s))->syscall)
        return x86_outside_call(s, X86_CALL_SYSENTER);
    check_available(s, true);
    if (!x86_pe(s) || !sel)
        x86_raise_gp0(s);
    s->rflags_rest &= ~(X86_VM | X86_IF | X86_RF);
    s->gpr[X86_RSP] = lma ? s->msr.sysenter_esp : (uint32_t)s->msr.sysenter_esp;
    return transfer(s, flat_code(sel, 0, lma), flat_data(sel + 8, 0), lma ? s->msr.sysenter_eip : (uint32_t)s->msr.sysenter_eip, 0);
}

uint64_t x86_h_sysexit(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;
    uint16_t sel = s->msr.sysenter_cs & 0xfffc;
    bool to64 = a == 8;
    uint64_t rip = s->gpr[X86_RDX], rsp = s->gpr[X86_RCX];

    check_available(s, true);
    if (!x86_pe(s) || s->cpl || !sel)
        x86_raise_gp0(s);
    if (to64 && (!x86_canonical(s, rip) || !x86_canonical(s, rsp)))
        x86_raise_gp0(s);
    sel += to64 ? 32 : 16;
    s->gpr[X86_RSP] = to64 ? rsp : (uint32_t)rsp;
    return transfer(s, flat_code(sel, 3, to64), flat_data(sel + 8, 3), to64 ? rip : (uint32_t)rip, 3);
}

uint64_t x86_h_swapgs(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;
    uint64_t old = s->seg[X86_GS].base;

    x86_need_cpl0(s);
    s->seg[X86_GS].base = s->msr.kernel_gs_base;
    s->msr.kernel_gs_base = old;
    return 0;
}
