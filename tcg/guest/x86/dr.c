#include "tcg/guest/x86/sys.h"

/* Debug registers and debug exceptions (SDM 3B 17.2, 17.3). */

enum { DR6_BD = 1 << 13, DR6_BS = 1 << 14, DR7_GD = 1 << 13 };
#define DR6_FIXED 0xffff0ff0ull

uint64_t x86_dr_match(const X86State *s, uint64_t va, unsigned len, TcgAccess access, bool io)
{
    static const uint8_t lens[4] = { 1, 2, 8, 4 };
    uint64_t hit = 0;

    for (unsigned i = 0; i < 4; i++) {
        unsigned rw = s->dr[7] >> (16 + 4 * i) & 3, n = lens[s->dr[7] >> (18 + 4 * i) & 3];
        bool kind = access == TCG_EXEC ? rw == 0 : io ? rw == 2 : rw == 3 || (rw == 1 && access == TCG_WRITE);
        uint64_t at = s->dr[i] & ~(uint64_t)(n - 1);
        if (!(s->dr[7] >> (2 * i) & 3) || !kind)
            continue;
        if (access == TCG_EXEC ? s->dr[i] == va : va < at + n && at < va + len)
            hit |= 1ull << i;
    }
    return hit;
}

static unsigned check_access(X86State *s, unsigned index)
{
    if (index == 4 || index == 5) {
        if (s->cr4 & X86_CR4_DE)
            x86_raise(s, X86_UD);
        index += 2;
    }
    if (index > 7)
        x86_raise(s, X86_UD);
    x86_need_cpl0(s);
    if (s->dr[7] & DR7_GD)
        x86_raise_event(s, (X86Event){ .kind = X86_EVENT_EXCEPTION, .vector = X86_DB, .has_payload = 1, .payload = DR6_BD });
    return index;
}

uint64_t x86_h_mov_dr_read(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;
    return s->dr[check_access(s, (unsigned)a)];
}

uint64_t x86_h_mov_dr_write(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;
    unsigned i = check_access(s, (unsigned)a);

    if (i >= 6 && b >> 32)
        x86_raise_gp0(s);
    /* DR0 to DR3 take any address, canonical or not (SDM 3B 17.2.6). */
    if (i == 6)
        b = (b & 0xe00f) | DR6_FIXED;
    if (i == 7)
        b = (b & 0xffff2fff) | 0x400;
    s->dr[i] = b;
    x86_mode_changed(s);
    return 0;
}

uint64_t x86_h_db_insn(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;

    /* dr_pending stays: data hits of a MOV SS wait for this instruction's end. */
    if (s->rflags_rest & X86_RF) {
        s->rflags_rest &= ~X86_RF;
        return 0;
    }
    uint64_t hit = x86_dr_match(s, a, 1, TCG_EXEC, false);
    if (hit && !(s->ev.int_shadow & X86_SHADOW_MOV_SS))
        x86_raise_event(s, (X86Event){ .kind = X86_EVENT_EXCEPTION, .vector = X86_DB, .has_payload = 1, .payload = hit });
    return 0;
}

uint64_t x86_h_db_data(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;
    s->dr_pending |= x86_dr_match(s, a, (unsigned)b, c ? TCG_WRITE : TCG_READ, false);
    return 0;
}

uint64_t x86_h_db_trap(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = state;
    uint64_t bits = s->dr_pending;

    if (s->ev.int_shadow & X86_SHADOW_MOV_SS)  /* MOV SS, POP SS: data hits wait for the next instruction, the step is lost */
        return 0;
    s->dr_pending = 0;
    if (b)
        bits |= DR6_BS;
    if (!bits)
        return 0;
    s->rip = a;
    x86_deliver(s, &(X86Event){ .kind = X86_EVENT_EXCEPTION, .vector = X86_DB, .has_payload = 1, .payload = bits }, a);
    tcg_leave(x86_cpu(s));
}
