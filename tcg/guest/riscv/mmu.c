/* Address translation: Sv39, Sv48 (priv 4.3-4.5), physical memory protection (priv 3.7). */
#include "tcg/guest/riscv/riscv.h"

enum { PTE_V = 1, PTE_R = 2, PTE_W = 4, PTE_X = 8, PTE_U = 16, PTE_G = 32, PTE_A = 64, PTE_D = 128 };
typedef enum WalkResult { WALK_OK, WALK_PAGE_FAULT, WALK_ACCESS_FAULT } WalkResult;
enum { SATP_BARE = 0, SATP_SV39 = 8, SATP_SV48 = 9, MAX_RETRIES = 64 };

/* ---- PMP, granularity 4 KiB: rights are the same in the whole page ---- */
enum { PMP_R = 1, PMP_W = 2, PMP_X = 4, PMP_L = 128, PMP_TOR = 1, PMP_NA4 = 2, PMP_NAPOT = 3 };

static bool pmp_match(const RiscvState *s, unsigned n, uint8_t cfg, uint64_t gpa)
{
    uint64_t word = gpa >> 2, addr = s->pmpaddr[n], prev = n ? s->pmpaddr[n - 1] : 0;
    switch (cfg >> 3 & 3) {
    case PMP_TOR: return word >= (prev & ~0x3ffull) && word < (addr & ~0x3ffull);
    case PMP_NAPOT: {
        uint64_t a = addr | 0x1ff, mask = a ^ (a + 1);   /* trailing ones and the zero above */
        return ((word ^ a) & ~mask) == 0;
    }
    default: return false;
    }
}

/* R, W, X allowed to @priv at @gpa. */
static unsigned pmp_rights(const RiscvState *s, uint64_t gpa, unsigned priv)
{
    bool any = false;
    for (unsigned n = 0; n < RISCV_PMPS; n++) {
        uint8_t cfg = (uint8_t)(s->pmpcfg[n / 8] >> (8 * (n % 8)));
        if (!(cfg >> 3 & 3))
            continue;
        any = true;
        if (pmp_match(s, n, cfg, gpa))
            return priv == RISCV_M && !(cfg & PMP_L) ? 7 : cfg & 7;
    }
    (void)any;                 /* no entry matches: only M may (priv 3.7.1: at least one is implemented) */
    return priv == RISCV_M ? 7 : 0;
}

static unsigned need_of(TcgAccess access) { return access == TCG_READ ? PMP_R : access == TCG_WRITE ? PMP_W : PMP_X; }

static void set_rights(TcgXlate *x, unsigned r, unsigned w, unsigned e)
{
    x->readable = r != 0;
    x->writable = w != 0;
    x->executable = e != 0;
}

static WalkResult physical(const RiscvState *s, uint64_t gpa, TcgAccess access, unsigned priv, TcgXlate *x)
{
    unsigned rights = pmp_rights(s, gpa, priv);
    x->gpa = gpa & ~(uint64_t)(TCG_PAGE_SIZE - 1);
    set_rights(x, rights & PMP_R, rights & PMP_W, rights & PMP_X);
    return rights & need_of(access) ? WALK_OK : WALK_ACCESS_FAULT;
}

/* ---- the walk ---- */
typedef struct Who { unsigned priv; bool sum, mxr; } Who;

static bool leaf_allows(uint64_t pte, TcgAccess access, Who w)
{
    if (pte & PTE_U ? w.priv == RISCV_S && (access == TCG_EXEC || !w.sum) : w.priv == RISCV_U)
        return false;
    switch (access) {
    case TCG_READ: return pte & PTE_R || (w.mxr && pte & PTE_X);
    case TCG_WRITE: return pte & PTE_W;
    default: return pte & PTE_X;
    }
}

/* Set A, and D for a write. False: the entry changed meanwhile. */
static bool update_ad(TcgCpu *cpu, uint64_t at, uint64_t *pte, TcgAccess access, WalkResult *r)
{
    uint64_t want = *pte | PTE_A | (access == TCG_WRITE ? PTE_D : 0);
    bool done = true;
    if (want == *pte)
        return true;
    if (!tcg_phys_cas(cpu, at, 8, *pte, want, &done))
        *r = WALK_ACCESS_FAULT;
    *pte = want;
    return done;
}

static WalkResult leaf(TcgCpu *cpu, uint64_t va, TcgAccess access, Who w, uint64_t at, uint64_t pte, int level, bool global, TcgXlate *x, bool *again)
{
    const RiscvState *s = tcg_cpu_state(cpu);
    uint64_t ppn = pte >> 10 & 0xfffffffffffull, low = (1ull << (9 * level)) - 1;
    WalkResult r = WALK_OK;
    if (ppn & low || !leaf_allows(pte, access, w))
        return WALK_PAGE_FAULT;
    *again = !update_ad(cpu, at, &pte, access, &r);
    if (*again || r)
        return r;
    uint64_t gpa = (ppn | (va >> 12 & low)) << 12;
    r = physical(s, gpa, access, w.priv, x);
    x->readable = x->readable && leaf_allows(pte, TCG_READ, w);
    x->writable = x->writable && pte & PTE_D && leaf_allows(pte, TCG_WRITE, w);
    x->executable = x->executable && leaf_allows(pte, TCG_EXEC, w);
    x->global = global || pte & PTE_G;
    x->page_log2 = (uint8_t)(12 + 9 * level);
    return r;
}

static WalkResult walk_once(TcgCpu *cpu, uint64_t va, TcgAccess access, Who w, TcgXlate *x, bool *again)
{
    const RiscvState *s = tcg_cpu_state(cpu);
    int levels = s->satp >> 60 == SATP_SV39 ? 3 : 4;
    unsigned bits = 12 + 9 * (unsigned)levels;
    uint64_t table = (s->satp & 0xfffffffffffull) << 12, pte;
    bool global = false;
    *again = false;
    if ((uint64_t)((int64_t)(va << (64 - bits)) >> (64 - bits)) != va)
        return WALK_PAGE_FAULT;
    for (int level = levels - 1; level >= 0; level--) {
        uint64_t at = table + (va >> (12 + 9 * level) & 511) * 8;
        if (!(pmp_rights(s, at, RISCV_S) & PMP_R) || !tcg_phys_load(cpu, at, 8, &pte))
            return WALK_ACCESS_FAULT;
        if (!(pte & PTE_V) || (pte & (PTE_R | PTE_W)) == PTE_W || pte >> 54)
            return WALK_PAGE_FAULT;
        if (pte & (PTE_R | PTE_X))
            return leaf(cpu, va, access, w, at, pte, level, global, x, again);
        if (pte & (PTE_A | PTE_D | PTE_U))
            return WALK_PAGE_FAULT;
        global |= pte & PTE_G;
        table = (pte >> 10 & 0xfffffffffffull) << 12;
    }
    return WALK_PAGE_FAULT;
}

static WalkResult walk(TcgCpu *cpu, uint64_t va, TcgAccess access, unsigned regime, TcgXlate *x)
{
    const RiscvState *s = tcg_cpu_state(cpu);
    Who w = { .sum = regime == RVR_KERNEL_SUM, .mxr = s->mstatus & RISCV_MXR };
    w.priv = access == TCG_EXEC ? s->priv : regime == RVR_USER ? RISCV_U : regime == RVR_MACHINE ? RISCV_M : RISCV_S;
    x->page_log2 = TCG_PAGE_BITS;
    x->global = w.priv == RISCV_M;
    if (w.priv == RISCV_M || s->satp >> 60 == SATP_BARE)
        return va >> 56 ? WALK_ACCESS_FAULT : physical(s, va, access, w.priv, x);
    WalkResult r = WALK_PAGE_FAULT;
    bool again = true;
    for (unsigned n = 0; again && n < MAX_RETRIES; n++)
        r = walk_once(cpu, va, access, w, x, &again);
    return r;
}

bool riscv_mmu(TcgCpu *cpu, uint64_t va, TcgAccess access, unsigned regime, TcgXlate *ret)
{
    return walk(cpu, va, access, regime, ret) == WALK_OK;
}

void riscv_mmu_fault(TcgCpu *cpu, uint64_t va, TcgAccess access, unsigned regime)
{
    static const uint8_t page[] = { RISCV_E_LOAD_PAGE, RISCV_E_STORE_PAGE, RISCV_E_INSN_PAGE };
    static const uint8_t acc[] = { RISCV_E_LOAD_ACCESS, RISCV_E_STORE_ACCESS, RISCV_E_INSN_ACCESS };
    TcgXlate x = { .page_log2 = TCG_PAGE_BITS };
    if (tcg_cpu_callbacks(cpu)->exception)
        riscv_raise(tcg_cpu_state(cpu), page[access], va);
    riscv_raise(tcg_cpu_state(cpu), walk(cpu, va, access, regime, &x) == WALK_ACCESS_FAULT ? acc[access] : page[access], va);
}
