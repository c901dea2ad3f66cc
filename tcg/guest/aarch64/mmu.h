#pragma once
#include "tcg/guest/aarch64/aarch64.h"

/* A walk over translation tables, as both stages see it (mmu.c, stage2.c). */
enum { A64_DESC_VALID = 1, A64_DESC_TABLE = 2, A64_DESC_AF = 1 << 10 };
#define A64_ADDR_48 0xfffffffff000ull
#define A64_TTBR_TABLE 0xfffffffffff0ull            /* small first tables begin within a page */
enum { A64_WALK_GOOD = ~0u, A64_WALK_DESCS = 4 };

typedef struct A64Walk {
    unsigned fault, level;      /* A64_FSC_ value without the level; A64_WALK_GOOD: none */
    bool stage2, table;         /* the fault is one of stage 2: of a table of stage 1 */
    uint64_t ipa;               /* ... at this address */
    TcgXlate *x;
    unsigned n;                 /* descriptors of stage 1 read */
    A64Desc desc[A64_WALK_DESCS];
} A64Walk;

static inline bool a64_walk_fails(A64Walk *w, unsigned fault, unsigned level)
{
    w->fault = fault;
    w->level = level;
    return false;
}

static inline bool a64_walk_allowed(const TcgXlate *x, TcgAccess access)
{
    return access == TCG_READ ? x->readable : access == TCG_WRITE ? x->writable : x->executable;
}

/* Whether EL2 translates what EL1 and EL0 take for physical addresses. */
static inline bool a64_stage2_on(const A64State *s) { return s->hcr & (A64_HCR_VM | A64_HCR_DC) && a64_el2_rules(s) && !(s->hcr & A64_HCR_TGE); }
/* First address beyond what a field of TCR_EL1.IPS's kind says. */
uint64_t a64_pa_limit(const A64State *s, unsigned field);
/* Where a table's descriptor at *io_at is. False: fault, in @w. */
bool a64_stage2_table(TcgCpu *cpu, uint64_t *io_at, A64Walk *w);
/* What stage 1 made of @va, in w->x, taken through stage 2. */
bool a64_stage2_leaf(TcgCpu *cpu, uint64_t va, TcgAccess access, A64Walk *w);
void a64_stage2_fault(TcgCpu *cpu, uint64_t va, TcgAccess access, const A64Walk *w) __attribute__((noreturn));
