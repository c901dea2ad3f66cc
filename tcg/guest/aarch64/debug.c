/* Self-hosted debug (ARM D2): which breakpoints and watchpoints match, when software step is due. watch.c has the code that asks. */
#include "tcg/guest/aarch64/aarch64.h"

enum { MDSCR_SS = 1, MDSCR_MDE = 1 << 15, OSLK = 2, DLK = 1, DEBUG_FSC = 0x22, STEP_ISV = 1 << 24, STEP_EX = 1 << 6 };
enum { POINT_E = 1, POINT_SECURE_ONLY = 2, BT_CONTEXT = 2, ACCESS_MAX = 64 };
#define VA_BITS ((1ull << 49) - 1)

static unsigned bits(uint64_t v, unsigned low, unsigned n) { return (unsigned)(v >> low & ((1u << n) - 1)); }

unsigned a64_debug_target(const A64State *s)
{
    return a64_el2_rules(s) && (s->mdcr[A64_EL2] & A64_MDCR_TDE || s->hcr & A64_HCR_TGE) ? A64_EL2 : A64_EL1;
}

/* Debug exceptions are taken to EL1 or EL2, in that level only with KDE and PSTATE.D clear (ARM D2.4). */
static bool enabled(const A64State *s, unsigned el, uint64_t daif)
{
    unsigned to = a64_debug_target(s);
    return !(s->oslsr & OSLK) && !(s->osdlr & DLK) && (el < to || (el == to && s->mdscr & A64_MDSCR_KDE && !(daif & A64_PS_D)));
}

bool a64_step_after_eret(const A64State *s, uint64_t spsr)
{
    return s->mdscr & MDSCR_SS && spsr & A64_PS_SS && !enabled(s, s->el, s->daif) && enabled(s, spsr >> 2 & 3, spsr & A64_PS_DAIF);
}

/* Whether a point with that control register is on for accesses or execution with the rights of @el (ARM D2.8.4), outside of the Secure state: PMC, PAC; HMC. */
static bool on_at(uint64_t cr, unsigned el)
{
    unsigned by = el == A64_EL0 ? 2 : el == A64_EL1 ? 1 : 13;
    return cr & POINT_E && bits(cr, 14, 2) != POINT_SECURE_ONLY && cr >> by & 1;
}

/* Breakpoint @n compares CONTEXTIDR, and it is equal. */
static bool context_matches(const A64State *s, unsigned n)
{
    return n >= A64_DFR_BREAKPOINTS - A64_DFR_CONTEXTS && n < A64_DFR_BREAKPOINTS && s->dbgbcr[n] & POINT_E && bits(s->dbgbcr[n], 21, 3) == BT_CONTEXT / 2 &&
           (uint32_t)s->dbgbvr[n] == (uint32_t)s->contextidr;
}

/* A tagged address without its tag. */
static uint64_t untagged(const A64State *s, uint64_t va)
{
    bool ignored = s->el <= A64_EL1 ? s->tcr[A64_EL1] >> (va >> 55 & 1 ? 38 : 37) & 1 : s->tcr[s->el] >> 20 & 1;
    return ignored ? (uint64_t)((int64_t)(va << 8) >> 8) : va;
}

/* ---- breakpoints ---- */
static bool break_at(const A64State *s, unsigned n, uint64_t pc)
{
    uint64_t cr = s->dbgbcr[n];
    unsigned type = bits(cr, 20, 4);
    if (!on_at(cr, s->el))
        return false;
    if (type == BT_CONTEXT)
        return context_matches(s, n);
    return type <= 1 && bits(cr, 5, 4) && !((s->dbgbvr[n] ^ pc) & VA_BITS & ~3ull) && (!type || context_matches(s, bits(cr, 16, 4)));
}

uint64_t a64_h_debug_insn(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    A64State *s = state;
    (void)b, (void)c, (void)d;
    for (unsigned n = 0; n < A64_DFR_BREAKPOINTS; n++)
        if (break_at(s, n, a))
            a64_raise(s, s->el ? A64_EC_BKPT : A64_EC_BKPT_LOWER, DEBUG_FSC, 0);
    return 0;
}

/* ---- watchpoints ---- */
/* Bytes that watchpoint @n watches lie from *ret to *ret + the result; 0: none. */
static uint64_t watched(const A64State *s, unsigned n, uint64_t *ret)
{
    uint64_t wcr = s->dbgwcr[n], va = s->dbgwvr[n];
    unsigned mask = bits(wcr, 24, 5), bas = bits(wcr, 5, 8) & (va & 4 ? 15 : 255);
    if (mask >= 3) {
        *ret = va & ~((1ull << mask) - 1);
        return 1ull << mask;
    }
    if (!bas)
        return 0;
    *ret = (va & ~3ull) + (unsigned)__builtin_ctz(bas);
    return 32 - (unsigned)__builtin_clz(bas) - (unsigned)__builtin_ctz(bas);
}

/* @va: the access's address; *ret_at: the first watched byte of it. */
static bool watch_hits(const A64State *s, unsigned n, uint64_t va, unsigned bytes, unsigned el, unsigned kind, uint64_t *ret_at)
{
    uint64_t wcr = s->dbgwcr[n], at, size = watched(s, n, &at);
    if (!size || !on_at(wcr, el) || !(bits(wcr, 3, 2) & kind) || (wcr >> 20 & 1 && !context_matches(s, bits(wcr, 16, 4))))
        return false;
    uint64_t off = (va - at) & VA_BITS, before = (at - va) & VA_BITS;
    if (off >= size && before >= bytes)
        return false;
    *ret_at = off < size ? va : va + before;
    if (bits(wcr, 24, 5) >= 3)
        return true;
    for (uint64_t p = *ret_at; p < va + bytes; p++)    /* BAS may have gaps */
        if (((p - (s->dbgwvr[n] & ~3ull)) & VA_BITS) < 8 && bits(wcr, 5, 8) >> ((p - (s->dbgwvr[n] & ~3ull)) & 7) & 1) {
            *ret_at = p;
            return true;
        }
    return false;
}

/* Aborts of the access have priority (ARM D1.3.5.4). */
static void abort_first(A64State *s, uint64_t va, unsigned bytes, unsigned how)
{
    TcgCpu *cpu = a64_cpu(s);
    TcgAccess access = how & A64_WATCH_STORE ? TCG_WRITE : TCG_READ;
    if (how & A64_WATCH_ALIGN && va & (bytes - 1))
        a64_align_fault(cpu, va, access);
    tcg_probe(cpu, va, bytes, access, how & A64_WATCH_UNPRIV ? A64R_USER : a64_isa_regime(s));
}

uint64_t a64_h_debug_data(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    A64State *s = state;
    unsigned kind = (unsigned)c & 3, el = c & A64_WATCH_UNPRIV ? A64_EL0 : s->el;
    uint64_t va = untagged(s, a), at;
    (void)d;
    for (unsigned n = 0; n < A64_DFR_WATCHPOINTS; n++)
        if (watch_hits(s, n, va, (unsigned)b, el, kind, &at)) {
            bool by_load = kind & A64_WATCH_LOAD && bits(s->dbgwcr[n], 3, 2) & A64_WATCH_LOAD;
            abort_first(s, a, (unsigned)b, (unsigned)c);
            a64_raise(s, s->el ? A64_EC_WATCH : A64_EC_WATCH_LOWER, DEBUG_FSC | (by_load ? 0 : A64_ISS_WNR), at);
        }
    return 0;
}

/* ---- what of it is the mode's ---- */
void a64_debug_sync(A64State *s)
{
    uint64_t low = ~0ull, high = 0, at;
    for (unsigned n = 0; n < A64_DFR_WATCHPOINTS; n++) {
        uint64_t size = s->dbgwcr[n] & POINT_E ? watched(s, n, &at) : 0;
        if (!size)
            continue;
        at = at << 8 >> 8;
        low = MIN(low, at);
        high = MAX(high, at + size - 1);
    }
    /* Any access of up to ACCESS_MAX bytes that begins in there may hit. Shifted: tags do not count. */
    s->watch_low = (low - (ACCESS_MAX - 1)) << 8;
    s->watch_span = high < low ? 0 : (high - low + ACCESS_MAX - 1) << 8;
}

TCG_CALL_PATH uint64_t a64_debug_mode(const A64State *s)
{
    uint64_t m = 0;
    if (!(s->mdscr & (MDSCR_SS | MDSCR_MDE)) || !enabled(s, s->el, s->daif))
        return 0;
    if (s->mdscr & MDSCR_SS)
        m = A64M_STEP | (s->ss ? 0 : A64M_STEP_DUE);
    if (!(s->mdscr & MDSCR_MDE))
        return m;
    for (unsigned n = 0; n < A64_DFR_BREAKPOINTS; n++) {
        unsigned type = bits(s->dbgbcr[n], 20, 4);
        if (on_at(s->dbgbcr[n], s->el) && type <= BT_CONTEXT)
            m |= (type == BT_CONTEXT ? 0xffull : 1ull << a64_break_hash(s->dbgbvr[n] & 0xfff)) << A64M_BREAKS_SHIFT;
    }
    for (unsigned n = 0; n < A64_DFR_WATCHPOINTS; n++)
        if (on_at(s->dbgwcr[n], s->el) || (s->el && on_at(s->dbgwcr[n], A64_EL0)))     /* LDTR is EL0's */
            m |= A64M_WATCH;
    return m;
}

void a64_take_step(A64State *s)
{
    uint32_t iss = DEBUG_FSC | (s->step_begun ? STEP_ISV : 0) | (s->step_begun == A64_STEP_EXCLUSIVE ? STEP_EX : 0);
    a64_take(s, s->el ? A64_EC_STEP : A64_EC_STEP_LOWER, iss);
}

uint64_t a64_h_debug_step(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    A64State *s = state;
    (void)a, (void)b, (void)c, (void)d;
    tcg_sync_pc(a64_cpu(s));
    a64_take_step(s);
    tcg_leave(a64_cpu(s));
}
