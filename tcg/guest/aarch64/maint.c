/* Cache and TLB maintenance, address translation instructions: the SYS space (ARM C5.3, C5.4, C5.5). */
#include "tcg/guest/aarch64/aarch64.h"

#include "cpu/aarch64/sysreg.h"

enum { ISS_CM = 1 << 8, ISS_WNR = 1 << 6 };

/* EL2 wants to know of it: a bit of HCR_EL2. */
static void hyp_trap(A64State *s, uint64_t bit, uint32_t n, uint32_t rt)
{
    if (s->el <= A64_EL1 && s->hcr & bit && a64_el2_rules(s))
        a64_raise_to(s, A64_EL2, A64_EC_SYSREG, (n >> 14 & 3) << 20 | (n & 7) << 17 | (n >> 11 & 7) << 14 | (n >> 7 & 15) << 10 | rt << 5 | (n >> 3 & 15) << 1, 0);
}

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
    hyp_trap(s, op2 == 2 ? A64_HCR_TSW : crm == 1 || crm == 5 || crm == 11 ? A64_HCR_TPU : A64_HCR_TPC, n, rt);
    if ((user && crm != 5) || (crm == 6 && op2 == 1))
        by_address(s, v, crm == 6);
}

/* ---- TLBI: CRm 3 inner shareable, 7 this CPU; 0 and 4 the same by stage 2's addresses ---- */
/* Of EL2 (op1 4) and EL3 (op1 6). ALLEn, ALLE1, VMALLS12E1, IPAS2E1: what is cached is not told apart by VMID nor by stage 2's addresses. */
static TcgFlush high_flush(A64State *s, unsigned op1, unsigned crm, unsigned op2)
{
    bool by_address = op2 == 1 || op2 == 5, stage2 = crm == 0 || crm == 4, known;
    known = stage2 ? op1 == 4 && by_address : by_address || op2 == 0 || (op1 == 4 && (op2 == 4 || op2 == 6));
    if (!known || s->el < (op1 == 4 ? A64_EL2 : A64_EL3))
        a64_raise(s, A64_EC_UNKNOWN, 0, 0);
    return by_address && !stage2 ? TCG_FLUSH_PAGE : TCG_FLUSH_ALL;
}

static void tlb_op(A64State *s, uint32_t n, uint32_t rt, uint64_t v)
{
    TcgCpu *cpu = a64_cpu(s);
    unsigned op1 = n >> 11 & 7, crm = n >> 3 & 15, op2 = n & 7;
    bool every = crm == 3 || crm == 0, high = op1 == 4 || op1 == 6;
    uint64_t va = (uint64_t)((int64_t)(v << 20) >> 8);     /* VA[55:12] in bits 43:0 */
    uint32_t asid = (uint32_t)(v >> 48 & (s->tcr[A64_EL1] >> 36 & 1 ? 0xffff : 0xff));
    if (high ? crm > 7 || (crm & 3 && (crm & 3) != 3) : s->el == A64_EL0 || op1 || (crm != 3 && crm != 7) || op2 == 4 || op2 == 6)
        a64_raise(s, A64_EC_UNKNOWN, 0, 0);
    TcgFlush what = high ? high_flush(s, op1, crm, op2) : op2 == 0 ? TCG_FLUSH_ALL : op2 == 2 ? TCG_FLUSH_TAG : TCG_FLUSH_PAGE;
    hyp_trap(s, A64_HCR_TTLB, n, rt);
    every |= s->el == A64_EL1 && s->hcr & A64_HCR_FB && a64_el2_rules(s);
    if (every)
        s->flush_sent = tcg_flush_everywhere(cpu, what, va, asid);
    else
        tcg_flush_here(cpu, what, va, asid);
}

/* S1E1R, W, S1E0R, W, PAN's (CRm 9); op1 4: S1E2R, W, S12E1R, W, S12E0R, W; op1 6: S1E3R, W */
static void at_op(A64State *s, uint32_t n, uint64_t v)
{
    unsigned op1 = n >> 11 & 7, crm = n >> 3 & 15, op2 = n & 7, el = op1 == 6 ? A64_EL3 : op1 == 4 && op2 < 2 ? A64_EL2 : A64_EL1;
    bool both = op1 == 4 && op2 >= 4, known = op1 == 0 ? op2 <= (crm == 9 ? 1u : 3u) : crm == 8 && (op2 < 2 || both);
    unsigned least = op1 == 0 ? A64_EL1 : op1 == 4 ? A64_EL2 : op1 == 6 ? A64_EL3 : A64_ELS;
    if (!known || s->el < least || (op1 == 4 && !s->has_el2))
        a64_raise(s, A64_EC_UNKNOWN, 0, 0);
    a64_at(s, v, (A64At){ .el = el, .user = op2 & 2 && el == A64_EL1, .write = op2 & 1, .pan = crm == 9, .both = both });
}

uint64_t a64_h_sys_op(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    A64State *s = state;
    uint32_t n = a & 0xffff, rt = a >> 16 & 31;
    unsigned crn = n >> 7 & 15, crm = n >> 3 & 15;
    (void)c, (void)d;
    if (crn == 8)
        tlb_op(s, n, rt, b);
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
