/* Cache and TLB maintenance, address translation instructions: the SYS space (ARM C5.3, C5.4, C5.5). */
#include "tcg/guest/aarch64/aarch64.h"

#include "cpu/aarch64/sysreg.h"

enum { ISS_CM = 1 << 8, ISS_WNR = 1 << 6 };

static bool el0_may(const A64State *s, uint64_t bit) { return s->el || s->sctlr[A64_EL1] & bit || tcg_cpu_callbacks(a64_cpu((A64State *)s))->exception; }

static void trap(A64State *s, uint32_t n, uint32_t rt)
{
    a64_raise(s, A64_EC_SYSREG, (n >> 14 & 3) << 20 | (n & 7) << 17 | (n >> 11 & 7) << 14 | (n >> 7 & 15) << 10 | rt << 5 | (n >> 3 & 15) << 1, 0);
}

/* ---- caches: there are none, but an address that cannot be read faults ---- */
static void by_address(A64State *s, uint64_t va, bool write)
{
    TcgCpu *cpu = a64_cpu(s);
    if (tcg_cpu_callbacks(cpu)->exception)
        return;
    tcg_probe(cpu, va, 1, write ? TCG_WRITE : TCG_READ, a64_isa_regime(s));
}

/* CRn 7 but for AT. */
static void cache_op(A64State *s, uint32_t n, uint32_t rt, uint64_t v)
{
    unsigned op1 = n >> 11 & 7, crm = n >> 3 & 15, op2 = n & 7;
    bool user = op1 == 3, known = false;
    if (user)                  /* IC IVAU, DC CVAC, CVAU, CVAP, CIVAC */
        known = (crm == 5 && op2 == 1) || ((crm == 10 || crm == 11 || crm == 12 || crm == 14) && op2 == 1);
    else if (op1 == 0)         /* IC IALLUIS, IALLU, DC IVAC, ISW, CSW, CISW */
        known = (crm == 1 && op2 == 0) || (crm == 5 && op2 == 0) || (crm == 6 && (op2 == 1 || op2 == 2)) || ((crm == 10 || crm == 14) && op2 == 2);
    if (!known || (!user && s->el == A64_EL0))
        a64_raise(s, A64_EC_UNKNOWN, 0, 0);
    if (user && !el0_may(s, A64_SCTLR_UCI))
        trap(s, n, rt);
    if ((user && crm != 5) || (crm == 6 && op2 == 1))
        by_address(s, v, crm == 6);
}

/* ---- TLBI: CRm 3 inner shareable, 7 this CPU ---- */
static void tlb_op(A64State *s, uint32_t n, uint64_t v)
{
    TcgCpu *cpu = a64_cpu(s);
    unsigned crm = n >> 3 & 15, op2 = n & 7;
    bool every = crm == 3;
    uint64_t va = (uint64_t)((int64_t)(v << 20) >> 8);     /* VA[55:12] in bits 43:0 */
    uint32_t asid = (uint32_t)(v >> 48 & (s->tcr[A64_EL1] >> 36 & 1 ? 0xffff : 0xff));
    if (s->el == A64_EL0 || (n >> 11 & 7) || (crm != 3 && crm != 7) || op2 == 4 || op2 == 6)
        a64_raise(s, A64_EC_UNKNOWN, 0, 0);
    TcgFlush what = op2 == 0 ? TCG_FLUSH_ALL : op2 == 2 ? TCG_FLUSH_TAG : TCG_FLUSH_PAGE;
    if (every)
        s->flush_sent = tcg_flush_everywhere(cpu, what, va, asid);
    else
        tcg_flush_here(cpu, what, va, asid);
}

static void at_op(A64State *s, uint32_t n, uint64_t v)
{
    unsigned crm = n >> 3 & 15, op2 = n & 7;
    if (s->el == A64_EL0 || (n >> 11 & 7) || op2 > (crm == 9 ? 1u : 3u))
        a64_raise(s, A64_EC_UNKNOWN, 0, 0);
    a64_at(s, v, op2 & 2, op2 & 1, crm == 9);
}

uint64_t a64_h_sys_op(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    A64State *s = state;
    uint32_t n = a & 0xffff, rt = a >> 16 & 31;
    unsigned crn = n >> 7 & 15, crm = n >> 3 & 15;
    (void)c, (void)d;
    if (crn == 8)
        tlb_op(s, n, b);
    else if (crn == 7 && (crm == 8 || crm == 9))
        at_op(s, n, b);
    else if (crn == 7)
        cache_op(s, n, rt, b);
    else
        a64_raise(s, A64_EC_UNKNOWN, 0, 0);
    return 0;
}

uint64_t a64_h_dsb(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    A64State *s = state;
    (void)a, (void)b, (void)c, (void)d;
    tcg_flush_settle(a64_cpu(s));
    s->flush_sent = 0;
    return 0;
}
