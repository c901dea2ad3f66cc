/* Address translation (ARM D8): stage 1 of EL1&0, EL2 and EL3, stage 2 of EL1&0 (stage2.c); granules of 4, 16 and 64 KiB, 48 bits. */
#include <string.h>

#include "tcg/guest/aarch64/mmu.h"

enum { ATTR_NG = 1 << 11, ATTR_AP_USER = 1 << 6, ATTR_AP_RO = 1 << 7 };
#define ATTR_PXN (1ull << 53)
#define ATTR_UXN (1ull << 54)
#define TABLE_PXN (1ull << 59)
#define TABLE_UXN (1ull << 60)
#define TABLE_NO_USER (1ull << 61)
#define TABLE_RO (1ull << 62)
/* TCR_EL1 (ARM D17.2.131) */
#define TCR_T0SZ(t) ((unsigned)(t) & 63)
#define TCR_EPD0 (1ull << 7)
#define TCR_TG0(t) ((unsigned)((t) >> 14) & 3)
#define TCR_T1SZ(t) ((unsigned)((t) >> 16) & 63)
#define TCR_A1 (1ull << 22)
#define TCR_EPD1 (1ull << 23)
#define TCR_TG1(t) ((unsigned)((t) >> 30) & 3)
#define TCR_IPS(t) ((unsigned)((t) >> 32) & 7)
#define TCR_AS (1ull << 36)
/* TCR_EL2, TCR_EL3 (D17.2.132): T0SZ, TG0 as above */
#define TCR_PS(t) ((unsigned)((t) >> 16) & 7)
#define TCR_TBI (1ull << 20)
#define TCR_TBI0 (1ull << 37)
#define TCR_TBI1 (1ull << 38)

/* Who accesses. @user: with EL0's rights; @el: whose tables: EL1 (and EL0), EL2, EL3. */
typedef struct Who { bool user, pan; TcgAccess access; uint8_t el; } Who;
typedef A64Walk Walk;

static bool fail(Walk *w, unsigned fault, unsigned level) { return a64_walk_fails(w, fault, level); }

static void all_rights(TcgXlate *x, uint64_t gpa)
{
    *x = (TcgXlate){ .gpa = gpa & ~(uint64_t)(TCG_PAGE_SIZE - 1), .readable = 1, .writable = 1, .executable = 1, .global = 1, .page_log2 = TCG_PAGE_BITS };
}

/* ---- one range of addresses: what TCR says of it ---- */
typedef struct Range { unsigned bits, page_bits; uint64_t ttbr, limit; bool off, tbi, two; } Range;   /* two: there is an upper range as well */

/* No more than the CPU has. */
uint64_t a64_pa_limit(const A64State *s, unsigned field)
{
    static const uint8_t bits[8] = { 32, 36, 40, 42, 44, 48, 48, 48 };
    unsigned have = a64_machine_id(s, 7, 0) & 15;
    return 1ull << bits[MIN(field, have)];
}

static const uint8_t tg0_bits[4] = { 12, 16, 14, 12 }, tg1_bits[4] = { 12, 14, 12, 16 };
static unsigned range_bits(unsigned tsz) { return 64 - (tsz < 16 ? 16 : tsz > 39 ? 39 : tsz); }

static Range range_of(const A64State *s, uint64_t va)
{
    uint64_t t = s->tcr[A64_EL1], limit = a64_pa_limit(s, TCR_IPS(t));
    if (va >> 55 & 1)
        return (Range){ range_bits(TCR_T1SZ(t)), tg1_bits[TCR_TG1(t)], s->ttbr1[A64_EL1], limit, t & TCR_EPD1, t & TCR_TBI1, true };
    return (Range){ range_bits(TCR_T0SZ(t)), tg0_bits[TCR_TG0(t)], s->ttbr0[A64_EL1], limit, t & TCR_EPD0, t & TCR_TBI0, true };
}

static Range high_range(const A64State *s, unsigned el)
{
    uint64_t t = s->tcr[el];
    return (Range){ range_bits(TCR_T0SZ(t)), tg0_bits[TCR_TG0(t)], s->ttbr0[el], a64_pa_limit(s, TCR_PS(t)), false, t & TCR_TBI, false };
}

/* All bits above the range equal bit 55, or are 0 where there is one range only; with TBI the top byte does not count. */
static bool in_range(const Range *r, uint64_t va)
{
    int64_t v = (int64_t)(r->tbi ? (uint64_t)((int64_t)(va << 8) >> 8) : va) >> r->bits;
    if (!r->two)
        return !((r->tbi ? va << 8 >> 8 : va) >> r->bits);
    return v == (va >> 55 & 1 ? -1 : 0);
}

/* ---- the walk ---- */
/* Rights of a leaf, with what the tables above took away in the same bits of @desc (ARM D8.4). EL2 and EL3 have nobody below in their tables. */
static void rights(const A64State *s, uint64_t desc, Who who, TcgXlate *x)
{
    bool high = who.el >= A64_EL2, user = desc & ATTR_AP_USER && !high, ro = desc & ATTR_AP_RO, wxn = s->sctlr[who.el] & A64_SCTLR_WXN;
    bool user_w = user && !ro;
    if (who.user) {
        x->readable = user;
        x->writable = user_w;
        x->executable = !(desc & ATTR_UXN) && !(wxn && user_w);
    } else {
        x->readable = !(who.pan && user);
        x->writable = !ro && !(who.pan && user);
        x->executable = !(desc & (high ? ATTR_UXN : ATTR_PXN)) && !user_w && !(wxn && !ro);
    }
}

static uint64_t inherit(uint64_t table)
{
    return (table & TABLE_PXN ? ATTR_PXN : 0) | (table & TABLE_UXN ? ATTR_UXN : 0) | (table & TABLE_RO ? (uint64_t)ATTR_AP_RO : 0);
}

static bool leaf(const A64State *s, const Range *r, uint64_t va, uint64_t desc, unsigned level, Who who, Walk *w)
{
    unsigned shift = r->page_bits + (r->page_bits - 3) * (3 - level);
    uint64_t low = (1ull << shift) - 1, pa = (desc & A64_ADDR_48 & ~low) | (va & low);
    if (pa >= r->limit)
        return fail(w, A64_FSC_SIZE, level);
    if (!(desc & A64_DESC_AF))
        return fail(w, A64_FSC_ACCESS_FLAG, level);
    rights(s, desc, who, w->x);
    w->x->gpa = pa & ~(uint64_t)(TCG_PAGE_SIZE - 1);
    w->x->page_log2 = (uint8_t)shift;
    w->x->global = who.el >= A64_EL2 || !(desc & ATTR_NG);
    return a64_walk_allowed(w->x, who.access) || fail(w, A64_FSC_PERMISSION, level);
}

static bool walk_tables(TcgCpu *cpu, const Range *r, uint64_t va, Who who, Walk *w)
{
    const A64State *s = tcg_cpu_state(cpu);
    unsigned stride = r->page_bits - 3, level = 4 - (r->bits - r->page_bits + stride - 1) / stride;
    uint64_t table = r->ttbr & A64_TTBR_TABLE & ~((1ull << (r->bits - (r->page_bits + stride * (3 - level)) + 3)) - 1), extra = 0, desc;
    bool no_user = false;
    unsigned width = r->bits - (r->page_bits + stride * (3 - level));      /* index bits of the first level */
    for (;; level++, width = stride) {
        uint64_t at = table + ((va >> (r->page_bits + stride * (3 - level)) & ((1ull << width) - 1)) << 3);
        if (at >= r->limit)
            return fail(w, A64_FSC_SIZE, level);
        if (who.el == A64_EL1 && a64_stage2_on(s) && !a64_stage2_table(cpu, &at, w))
            return false;
        if (!tcg_phys_load(cpu, at, 8, &desc))
            return fail(w, A64_FSC_EXTERNAL_WALK, level);
        w->desc[w->n++] = (A64Desc){ at, desc };
        if (!(desc & A64_DESC_VALID) || (level == 3 && !(desc & A64_DESC_TABLE)))
            return fail(w, A64_FSC_TRANSLATION, level);
        if (level == 3 || !(desc & A64_DESC_TABLE)) {
            bool block_ok = level == 3 || level == 2 || (level == 1 && r->page_bits == 12);
            desc = (desc | extra) & ~(no_user ? (uint64_t)ATTR_AP_USER : 0);
            return block_ok ? leaf(s, r, va, desc, level, who, w) : fail(w, A64_FSC_TRANSLATION, level);
        }
        extra |= inherit(desc);
        no_user |= desc & TABLE_NO_USER;
        table = desc & A64_ADDR_48 & ~((1ull << r->page_bits) - 1);
    }
}

/* TGE and DC turn the first stage off (D17.2.48). */
static bool mmu_on(const A64State *s, unsigned el)
{
    bool off = el == A64_EL1 && a64_el2_rules(s) && s->hcr & (A64_HCR_TGE | A64_HCR_DC);
    return s->sctlr[el] & A64_SCTLR_M && !off;
}

static bool stage1(TcgCpu *cpu, uint64_t va, Who who, Walk *w)
{
    const A64State *s = tcg_cpu_state(cpu);
    w->fault = A64_WALK_GOOD;
    w->level = w->n = 0;
    w->stage2 = w->table = false;
    if (!mmu_on(s, who.el)) {
        if (va >> 48)
            return fail(w, A64_FSC_SIZE, 0);
        all_rights(w->x, va);
        return true;
    }
    Range r = who.el == A64_EL1 ? range_of(s, va) : high_range(s, who.el);
    if (r.off || !in_range(&r, va) || (who.user && (s->tcr[A64_EL1] & A64_TCR_E0PD) >> (55 + (va >> 55 & 1)) & 1))
        return fail(w, A64_FSC_TRANSLATION, 0);
    return walk_tables(cpu, &r, va, who, w);
}

static bool translate(TcgCpu *cpu, uint64_t va, Who who, Walk *w)
{
    const A64State *s = tcg_cpu_state(cpu);
    if (!stage1(cpu, va, who, w))
        return false;
    return who.el != A64_EL1 || !a64_stage2_on(s) || a64_stage2_leaf(cpu, va, who.access, w);
}

static Who who_of(const A64State *s, TcgAccess access, unsigned regime)
{
    uint8_t el = MAX(s->el, (uint8_t)A64_EL1);
    if (access == TCG_EXEC)
        return (Who){ s->el == A64_EL0, false, access, el };
    return (Who){ regime == A64R_USER, regime == A64R_KERNEL_PAN, access, el };
}

static void note_descriptors(A64State *s, const Walk *w)
{
    for (unsigned n = 0; n < w->n && s->n_desc <= A64_DESCS; n++) {
        A64Desc d = w->desc[n];
        uint64_t *listed = &s->desc_at[d.at >> 3 & (A64_DESCS - 1)];
        if (*listed == d.at + 1)
            continue;
        *listed = d.at + 1;
        if (s->n_desc < A64_DESCS)
            s->desc[s->n_desc] = d;
        s->n_desc++;
    }
}

static bool descriptors_same(TcgCpu *cpu)
{
    const A64State *s = tcg_cpu_state(cpu);
    uint64_t now;
    if (s->n_desc > A64_DESCS)
        return false;
    for (unsigned n = 0; n < s->n_desc; n++)
        if (!tcg_phys_load(cpu, s->desc[n].at, 8, &now) || now != s->desc[n].was)
            return false;
    return true;
}

static void forget(A64State *s)
{
    s->tagged_seen = s->upper_nonglobal = 0;
    if (s->n_desc)
        memset(s->desc_at, 0, sizeof(s->desc_at));
    s->n_desc = 0;
}

/*
 * Entries under addresses with tags are not found by address, nor is code that is kept though it is not global by ASID: that is as good as new if the walks
 * that led to it would go the same way.
 */
TcgFlush a64_flush_as(TcgCpu *cpu, TcgFlush what)
{
    A64State *s = tcg_cpu_state(cpu);
    if ((what == TCG_FLUSH_PAGE && s->tagged_seen) || (what == TCG_FLUSH_TAG && s->upper_nonglobal && !descriptors_same(cpu)))
        what = TCG_FLUSH_ALL;
    if (what == TCG_FLUSH_ALL)
        forget(s);
    return what;
}

/*
 * Code of EL1 in the upper range is the same under every ASID while TTBR1 is, and its place among the known ones is in the mode key: so it is kept over
 * changes of the ASID also where it is marked not global (as kernels do that hide themselves from EL0).
 */
bool a64_mmu(TcgCpu *cpu, uint64_t va, TcgAccess access, unsigned regime, TcgXlate *ret)
{
    A64State *s = tcg_cpu_state(cpu);
    Walk w = { .x = ret };
    if (!translate(cpu, va, who_of(s, access, regime), &w))
        return false;
    uint64_t top = va >> 56;
    s->tagged_seen |= top != (va >> 55 & 1 ? 0xff : 0);
    if (access == TCG_EXEC && s->el == A64_EL1 && va >> 55 & 1 && !ret->global) {
        s->upper_nonglobal = 1;
        ret->global = 1;
        note_descriptors(s, &w);
    }
    return true;
}

void a64_mmu_fault(TcgCpu *cpu, uint64_t va, TcgAccess access, unsigned regime)
{
    A64State *s = tcg_cpu_state(cpu);
    TcgXlate x = { .page_log2 = TCG_PAGE_BITS };
    Walk w = { .x = &x };
    bool program = tcg_cpu_callbacks(cpu)->exception != NULL;
    if (program) {
        w.fault = A64_FSC_TRANSLATION;
        w.level = 3;
    } else if (translate(cpu, va, who_of(s, access, regime), &w)) {
        tcg_sync_pc(cpu);       /* another CPU has mapped it meanwhile */
        tcg_leave(cpu);
    }
    unsigned fsc = w.fault | w.level;
    if (w.stage2)
        a64_stage2_fault(cpu, va, access, &w);
    if (access == TCG_EXEC)
        a64_raise(s, s->el ? A64_EC_IABT : A64_EC_IABT_LOWER, fsc, va);
    a64_raise(s, s->el ? A64_EC_DABT : A64_EC_DABT_LOWER, fsc | (access == TCG_WRITE ? A64_ISS_WNR : 0), va);
}

/* ---- address spaces ---- */

/* What beside TTBR0, TTBR1 and the ASID decides how EL1 and EL0 translate: stage 2, the VMID (also without it, D8.14.1), TGE and DC, the security state. */
static uint64_t world_of(const A64State *s)
{
    if (a64_secure(s))
        return 1;
    if (!a64_el2_rules(s))
        return 0;
    uint64_t h = s->hcr;
    return (a64_stage2_on(s) ? s->vttbr << 4 | 8 : s->vttbr >> 48 << 52) | (h & A64_HCR_TGE ? 4 : 0) | (h & A64_HCR_DC ? 2 : 0);
}

/* Place of TTBR1's table among the last four; a new one drives out the oldest, and with it all that is cached. */
static unsigned root_of(A64State *s, bool *flush)
{
    uint64_t base = s->ttbr1[A64_EL1] & 0xfffffffffffeull, world = world_of(s);
    for (unsigned n = 0; n < A64_ROOTS; n++)
        if (s->root[n] == base + 1 && s->root_world[n] == world)
            return n;
    unsigned n = s->next_root++ % A64_ROOTS;
    *flush |= s->root[n] != 0;
    s->root[n] = base + 1;
    s->root_world[n] = world;
    return n;
}

/* EL2 and EL3 have an address space each; tags of EL1's are ASIDs, of 16 bits. */
static void high_space_sync(A64State *s, bool flush)
{
    TcgCpu *cpu = a64_cpu(s);
    if (flush) {
        tcg_flush_all(cpu);
        forget(s);
    }
    tcg_set_space(cpu, s->el, 1u << 16);
    tcg_mode_changed(cpu);
}

void a64_space_sync(A64State *s, bool flush)
{
    TcgCpu *cpu = a64_cpu(s);
    uint64_t tcr = s->tcr[A64_EL1], asid = (tcr & TCR_A1 ? s->ttbr1[A64_EL1] : s->ttbr0[A64_EL1]) >> 48;
    s->tlb_flush_pending = 0;
    if (s->el >= A64_EL2) {
        high_space_sync(s, flush);
        return;
    }
    s->root_now = (uint8_t)root_of(s, &flush);
    if (flush) {
        tcg_flush_all(cpu);
        forget(s);
    }
    tcg_set_space(cpu, (s->ttbr0[A64_EL1] & 0xfffffffffffeull) | (uint64_t)s->root_now << 60, (uint32_t)(tcr & TCR_AS ? asid : asid & 0xff));
    tcg_mode_changed(cpu);
}

/* ---- AT (ARM C5.4): the result goes to PAR_EL1; a fault of the second stage says so ---- */
void a64_at(A64State *s, uint64_t va, A64At how)
{
    enum { PAR_PTW = 1 << 8, PAR_S = 1 << 9 };
    TcgXlate x = { .page_log2 = TCG_PAGE_BITS };
    Walk w = { .x = &x };
    Who who = { how.user, how.pan && s->pan && !how.user, how.write ? TCG_WRITE : TCG_READ, (uint8_t)how.el };
    if (how.both ? translate(a64_cpu(s), va, who, &w) : stage1(a64_cpu(s), va, who, &w))
        s->par = x.gpa | 0xffull << 56 | 1 << 11 | 2 << 7 | (x.global ? 0 : 1 << 9);    /* normal, write-back; inner shareable */
    else
        s->par = 1 | (uint64_t)(w.fault | w.level) << 1 | 1 << 11 | (w.stage2 ? PAR_S : 0) | (w.table ? PAR_PTW : 0);
}
