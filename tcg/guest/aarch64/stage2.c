/* Stage 2 of EL1's and EL0's translation (ARM D8.2, D8.4.2, D8.5): by VTTBR_EL2 and VTCR_EL2, faults go to EL2. */
#include "tcg/guest/aarch64/mmu.h"

enum { S2AP_READ = 1 << 6, S2AP_WRITE = 1 << 7, INSN = 4 };
#define S2_XN (1ull << 54)

typedef struct Space2 { unsigned bits, page_bits, level; uint64_t limit; } Space2;

/* VTCR_EL2 (D17.2.158): T0SZ, SL0 (where the walk begins), TG0, PS. False: a combination that there is not. */
static bool space_of(const A64State *s, Space2 *ret)
{
    static const uint8_t granule[4] = { 12, 16, 14, 12 };
    unsigned t0sz = s->vtcr & 63, sl0 = s->vtcr >> 6 & 3;
    *ret = (Space2){ .bits = 64 - (t0sz < 16 ? 16 : t0sz > 39 ? 39 : t0sz), .page_bits = granule[s->vtcr >> 14 & 3], .limit = a64_pa_limit(s, s->vtcr >> 16 & 7) };
    unsigned stride = ret->page_bits - 3, from = ret->page_bits == 12 ? 2 : 3;
    if (sl0 > from)
        return false;
    ret->level = from - sl0;
    /* at most 16 tables side by side where it begins, and more than nothing */
    unsigned below = ret->page_bits + stride * (3 - ret->level);
    return ret->bits > below && ret->bits <= below + stride + 4;
}

static bool fault(A64Walk *w, uint64_t ipa, unsigned fsc, unsigned level)
{
    w->stage2 = true;
    w->ipa = ipa;
    return a64_walk_fails(w, fsc, level);
}

static bool walk(TcgCpu *cpu, uint64_t ipa, A64Walk *w, TcgXlate *ret, unsigned *ret_level)
{
    const A64State *s = tcg_cpu_state(cpu);
    Space2 p;
    if (!space_of(s, &p) || ipa >> p.bits)
        return fault(w, ipa, A64_FSC_TRANSLATION, 0);
    unsigned stride = p.page_bits - 3, level = p.level, shift = p.page_bits + stride * (3 - level), width = p.bits - shift;
    uint64_t table = s->vttbr & A64_TTBR_TABLE & ~((1ull << (width + 3)) - 1), desc;
    for (;; level++, width = stride) {
        shift = p.page_bits + stride * (3 - level);
        uint64_t at = table + ((ipa >> shift & ((1ull << width) - 1)) << 3);
        if (at >= p.limit)
            return fault(w, ipa, A64_FSC_SIZE, level);
        if (!tcg_phys_load(cpu, at, 8, &desc))
            return fault(w, ipa, A64_FSC_EXTERNAL_WALK, level);
        if (!(desc & A64_DESC_VALID) || (level == 3 && !(desc & A64_DESC_TABLE)))
            return fault(w, ipa, A64_FSC_TRANSLATION, level);
        if (level == 3 || !(desc & A64_DESC_TABLE))
            break;
        table = desc & A64_ADDR_48 & ~((1ull << p.page_bits) - 1);
    }
    if (level < 1 || (level == 1 && p.page_bits != 12))
        return fault(w, ipa, A64_FSC_TRANSLATION, level);
    uint64_t low = (1ull << shift) - 1, pa = (desc & A64_ADDR_48 & ~low) | (ipa & low);
    *ret_level = level;
    if (pa >= p.limit)
        return fault(w, ipa, A64_FSC_SIZE, level);
    if (!(desc & A64_DESC_AF))
        return fault(w, ipa, A64_FSC_ACCESS_FLAG, level);
    *ret = (TcgXlate){ .gpa = pa, .readable = (desc & S2AP_READ) != 0, .writable = (desc & S2AP_WRITE) != 0, .executable = !(desc & S2_XN) };
    return true;
}

bool a64_stage2_table(TcgCpu *cpu, uint64_t *io_at, A64Walk *w)
{
    TcgXlate x;
    unsigned level = 0;
    w->table = true;
    if (!walk(cpu, *io_at, w, &x, &level) || (!x.readable && !fault(w, *io_at, A64_FSC_PERMISSION, level)))
        return false;
    w->table = false;
    *io_at = x.gpa;
    return true;
}

/* The size of the mapping stays the first stage's: TLBI by address is about that, and what is about stage 2 drops all. */
bool a64_stage2_leaf(TcgCpu *cpu, uint64_t va, TcgAccess access, A64Walk *w)
{
    TcgXlate x;
    uint64_t ipa = w->x->gpa | (va & (TCG_PAGE_SIZE - 1));
    unsigned level = 0;
    if (!walk(cpu, ipa, w, &x, &level))
        return false;
    if (!a64_walk_allowed(&x, access))
        return fault(w, ipa, A64_FSC_PERMISSION, level);
    w->x->gpa = x.gpa & ~(uint64_t)(TCG_PAGE_SIZE - 1);
    w->x->readable &= x.readable;
    w->x->writable &= x.writable;
    w->x->executable &= x.executable;
    return true;
}

/* ---- the fault's syndrome (D17.2.37, data aborts): what a single register's load or store without writeback is, so that EL2 can do it ---- */
static uint32_t syndrome_of(uint32_t i)
{
    enum { ISV = 1 << 24, SSE = 1 << 21, SF = 1 << 15, AR = 1 << 14 };
    unsigned size = i >> 30, opc = i >> 22 & 3, rt = i & 31;
    bool ordered = (i & 0x3fa08000) == 0x08808000;                     /* LDAR, STLR */
    bool plain = (i & 0x3f000000) == 0x39000000 || ((i & 0x3f200c00) == 0x38000000) || (i & 0x3f200c00) == 0x38000800 || (i & 0x3f200c00) == 0x38200800;
    if (ordered)
        return ISV | size << 22 | rt << 16 | (size == 3 ? SF : 0) | AR;
    if (!plain || (size == 3 && opc >= 2) || (size == 2 && opc == 3))
        return 0;
    return ISV | size << 22 | (opc >= 2 ? SSE : 0) | rt << 16 | (opc >= 2 ? (opc == 2 ? SF : 0) : size == 3 ? SF : 0);
}

static uint32_t insn_at(TcgCpu *cpu, uint64_t pc)
{
    TcgXlate x = { .page_log2 = TCG_PAGE_BITS };
    uint64_t v;
    if (!a64_mmu(cpu, pc, TCG_EXEC, a64_isa_regime(tcg_cpu_state(cpu)), &x) || !tcg_phys_load(cpu, x.gpa | (pc & (TCG_PAGE_SIZE - INSN)), INSN, &v))
        return 0;
    return (uint32_t)v;
}

void a64_stage2_fault(TcgCpu *cpu, uint64_t va, TcgAccess access, const A64Walk *w)
{
    A64State *s = tcg_cpu_state(cpu);
    uint32_t iss = w->fault | w->level | (w->table ? A64_ISS_S1PTW : 0);
    tcg_sync_pc(cpu);
    if (access != TCG_EXEC)
        iss |= (access == TCG_WRITE ? A64_ISS_WNR : 0) | (w->table ? 0 : syndrome_of(insn_at(cpu, s->pc)));
    s->hpfar = w->ipa >> 12 << 4;
    a64_raise_to(s, A64_EL2, access == TCG_EXEC ? A64_EC_IABT_LOWER : A64_EC_DABT_LOWER, iss, va);
}
