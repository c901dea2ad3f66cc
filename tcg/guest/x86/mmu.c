#include "tcg/guest/x86/sys.h"
#include "cpu/x86/cpuid.h"
#include "tcg/guest/x86/decode.h"

/* Page-table walks (SDM 3A chapter 4). Entries are read and A/D bits set in guest-physical memory, atomically. */

enum { PTE_P = 1, PTE_W = 2, PTE_U = 4, PTE_A = 0x20, PTE_D = 0x40, PTE_PS = 0x80, PTE_G = 0x100 };
#define PTE_NX (1ull << 63)
enum { PF_P = 1, PF_W = 2, PF_U = 4, PF_RSVD = 8, PF_I = 16, PF_PK = 32 };

typedef enum WalkResult { WALK_OK, WALK_FAULT, WALK_RETRY, WALK_NONCANONICAL } WalkResult;

typedef struct Walk {
    X86State *s;
    TcgCpu *cpu;
    uint64_t va;
    TcgAccess access;
    unsigned regime;
    bool nxe, wide;            /* entries of 8 bytes */
    uint64_t rsvd;             /* of every entry that is present */
    /* along the way */
    bool user, write, nx;      /* AND of U, AND of W, OR of NX */
    uint64_t entry;
    uint32_t error;
} Walk;

static WalkResult fault(Walk *w, uint32_t bits)
{
    w->error = bits | (w->access == TCG_WRITE ? PF_W : 0) | (w->regime == X86R_USER ? PF_U : 0);
    /* I/D is reported where fetches are told apart at all (SDM 3A 4.7). */
    if (w->access == TCG_EXEC && ((w->nxe && w->s->cr4 & X86_CR4_PAE) || w->s->cr4 & X86_CR4_SMEP))
        w->error |= PF_I;
    return WALK_FAULT;
}

static WalkResult set_bits(Walk *w, uint64_t gpa, uint64_t bits)
{
    bool done;
    if ((w->entry & bits) == bits)
        return WALK_OK;
    if (!tcg_phys_cas(w->cpu, gpa, w->wide ? 8 : 4, w->entry, w->entry | bits, &done))
        return WALK_OK;                        /* tables in ROM: the write is lost */
    if (!done)
        return WALK_RETRY;
    w->entry |= bits;
    return WALK_OK;
}

/* Read the entry at @gpa; present and reserved-bit checks. */
static WalkResult read_entry(Walk *w, uint64_t gpa, uint64_t rsvd)
{
    if (!tcg_phys_load(w->cpu, gpa, w->wide ? 8 : 4, &w->entry))
        w->entry = 0;
    if (!(w->entry & PTE_P))
        return fault(w, 0);
    if (w->entry & (w->rsvd | rsvd))
        return fault(w, PF_P | PF_RSVD);
    w->user &= !!(w->entry & PTE_U);
    w->write &= !!(w->entry & PTE_W);
    w->nx |= w->nxe && w->wide && w->entry & PTE_NX;
    return WALK_OK;
}

/* Protection keys: of user pages PKRU, of supervisor pages PKRS; data accesses only (SDM 3A 4.6.2). */
static unsigned key_rights(const Walk *w)
{
    const X86State *s = w->s;
    uint64_t reg = w->user ? s->pkru : s->msr.pkrs;
    if (!x86_lma(s) || !(s->cr4 & (w->user ? X86_CR4_PKE : X86_CR4_PKS)))
        return 0;
    unsigned bits = reg >> (2 * (w->entry >> 59 & 15)) & 3;
    if (bits & 1)
        return 3;
    return bits & 2 && (w->regime == X86R_USER || s->cr0 & X86_CR0_WP) ? 2 : 0;
}

/* Rights of the finished translation (SDM 3A 4.6.1). */
static void rights(const Walk *w, unsigned keys, TcgXlate *x)
{
    const X86State *s = w->s;
    if (w->regime == X86R_USER) {
        x->readable = w->user;
        x->writable = w->user && w->write;
        x->executable = w->user && !w->nx;
    } else {
        bool smap = w->user && (s->cr4 & X86_CR4_SMAP) && w->regime != X86R_KERNEL_USEROK;
        x->readable = !smap;
        x->writable = !smap && (w->write || !(s->cr0 & X86_CR0_WP));
        x->executable = !w->nx && !(w->user && s->cr4 & X86_CR4_SMEP);
    }
    if (keys & 1)
        x->readable = false;
    if (keys & 2)
        x->writable = false;
}

/* A leaf of 1 << @log2 bytes, its entry at @gpa, was reached. */
static WalkResult leaf(Walk *w, uint64_t gpa, uint64_t frame, unsigned log2, TcgXlate *x)
{
    TcgXlate r = { 0 };
    unsigned keys = key_rights(w);

    rights(w, keys, &r);
    if (!(w->access == TCG_READ ? r.readable : w->access == TCG_WRITE ? r.writable : r.executable)) {
        bool by_key = (w->access == TCG_READ && keys & 1) || (w->access == TCG_WRITE && keys & 2);
        return fault(w, PF_P | (by_key ? PF_PK : 0));
    }
    WalkResult res = set_bits(w, gpa, w->access == TCG_WRITE ? PTE_A | PTE_D : PTE_A);
    if (res != WALK_OK)
        return res;
    uint64_t in_page = w->va & ((1ull << log2) - 1);
    r.gpa = (frame | in_page) & ~(uint64_t)(TCG_PAGE_SIZE - 1);
    r.writable = r.writable && w->entry & PTE_D;
    r.global = w->entry & PTE_G && w->s->cr4 & X86_CR4_PGE;
    r.page_log2 = log2;
    *x = r;
    return WALK_OK;
}

static uint64_t phys_mask(const X86State *s) { return (1ull << x86_model_phys_bits(s->model)) - 1; }

/* 32-bit paging (SDM 3A 4.3). */
static WalkResult walk32(Walk *w, TcgXlate *x)
{
    const X86State *s = w->s;
    uint64_t gpa = (s->cr3 & 0xfffff000) + (w->va >> 22 & 0x3ff) * 4;
    WalkResult r = read_entry(w, gpa, 0);

    if (r != WALK_OK)
        return r;
    if (w->entry & PTE_PS && s->cr4 & X86_CR4_PSE) {
        /* PSE-36: bits 20:13 are the address's 39:32, as many as the CPU has; the rest is reserved. */
        uint64_t high = (w->entry >> 13 & 0xff) << 32;
        if (w->entry & 1u << 21 || high & ~phys_mask(s))
            return fault(w, PF_P | PF_RSVD);
        return leaf(w, gpa, (w->entry & 0xffc00000) | high, 22, x);
    }
    r = set_bits(w, gpa, PTE_A);
    if (r != WALK_OK)
        return r;
    gpa = (w->entry & 0xfffff000) + (w->va >> 12 & 0x3ff) * 4;
    r = read_entry(w, gpa, 0);
    return r == WALK_OK ? leaf(w, gpa, w->entry & 0xfffff000, 12, x) : r;
}

/* From the table at @table, whose entries translate bits from @shift on, down to the leaf. */
static WalkResult walk_tables(Walk *w, uint64_t table, unsigned shift, TcgXlate *x)
{
    const uint64_t addr = phys_mask(w->s) & 0xffffffffff000ull;
    bool gigabyte = x86_model_has_1g(w->s->model) && x86_lma(w->s);

    for (;; shift -= 9) {
        uint64_t gpa = table + (w->va >> shift & 0x1ff) * 8;
        bool may_be_leaf = shift == 21 || (shift == 30 && gigabyte);
        WalkResult r = read_entry(w, gpa, shift > 21 && !may_be_leaf ? PTE_PS : 0);
        if (r != WALK_OK)
            return r;
        if (shift == 12)
            return leaf(w, gpa, w->entry & addr, 12, x);
        if (may_be_leaf && w->entry & PTE_PS) {
            uint64_t low = (1ull << shift) - 1;
            if (w->entry & low & ~0x1fffull)
                return fault(w, PF_P | PF_RSVD);
            return leaf(w, gpa, w->entry & addr & ~low, shift, x);
        }
        r = set_bits(w, gpa, PTE_A);
        if (r != WALK_OK)
            return r;
        table = w->entry & addr;
    }
}

static WalkResult walk_pae(Walk *w, TcgXlate *x)
{
    uint64_t pdpte = w->s->pdptr[w->va >> 30 & 3];

    if (!(pdpte & PTE_P))
        return fault(w, 0);
    return walk_tables(w, pdpte & phys_mask(w->s) & ~0xfffull, 21, x);
}

static WalkResult walk_once(Walk *w, TcgXlate *x)
{
    X86State *s = w->s;
    bool la57 = s->cr4 & X86_CR4_LA57;

    w->user = w->write = true;
    w->nx = false;
    w->nxe = s->msr.efer & X86_EFER_NXE;
    w->wide = s->cr4 & X86_CR4_PAE;
    if (!w->wide)
        return walk32(w, x);
    w->rsvd = ~phys_mask(s) & (x86_lma(s) ? 0xfffffffffffffull : ~PTE_NX);
    if (!w->nxe)
        w->rsvd |= PTE_NX;
    if (!x86_lma(s))
        return walk_pae(w, x);
    return walk_tables(w, s->cr3 & phys_mask(s) & ~0xfffull, la57 ? 48 : 39, x);
}

static WalkResult walk(Walk *w, TcgXlate *x)
{
    X86State *s = w->s;

    if (x86_lma(s)) {
        if (!x86_canonical(s, w->va))
            return WALK_NONCANONICAL;
    } else {
        w->va = (uint32_t)w->va;
    }
    if (!(s->cr0 & X86_CR0_PG)) {
        *x = (TcgXlate){ .gpa = w->va & ~0xfffull, .readable = 1, .writable = 1, .executable = 1, .page_log2 = 12 };
        return WALK_OK;
    }
    /* Another CPU changed the entry between our read and CAS: look again. It cannot do so for ever. */
    WalkResult r;
    do
        r = walk_once(w, x);
    while (r == WALK_RETRY);
    return r;
}

bool x86_mmu(TcgCpu *cpu, uint64_t va, TcgAccess access, unsigned regime, TcgXlate *ret)
{
    Walk w = { .s = tcg_cpu_state(cpu), .cpu = cpu, .va = va, .access = access, .regime = regime };
    return walk(&w, ret) == WALK_OK;
}

/*
 * Did the instruction reach @va through SS (a non-canonical address is then #SS, SDM 3A 6.15)? Pushes and pops are near RSP, other operands say
 * so by their base register. The bytes are read past the soft TLB: nothing may fault here.
 */
static bool through_ss(X86State *s, TcgCpu *cpu, uint64_t va)
{
    uint8_t code[16];
    TcgXlate x;
    X86Insn in;

    if (s->ev.injected.kind != X86_EVENT_NONE)
        return false;
    tcg_sync_pc(cpu);
    if (va - s->gpr[X86_RSP] + 32 < 64)
        return true;
    Walk w = { .s = s, .cpu = cpu, .va = s->rip, .access = TCG_EXEC, .regime = x86_regime_now(s) };
    if (walk(&w, &x) != WALK_OK)
        return false;
    unsigned off = s->rip & (TCG_PAGE_SIZE - 1), n = 0;
    for (uint64_t v; n < sizeof(code) && off + n < TCG_PAGE_SIZE && tcg_phys_load(cpu, x.gpa + off + n, 1, &v); n++)
        code[n] = (uint8_t)v;
    return n && x86_decode(code, n, x86_mode_key(s), &in) == X86D_OK && in.mod != 3 && in.seg == X86_SS;
}

void x86_mmu_fault(TcgCpu *cpu, uint64_t va, TcgAccess access, unsigned regime)
{
    X86State *s = tcg_cpu_state(cpu);
    Walk w = { .s = s, .cpu = cpu, .va = va, .access = access, .regime = regime };
    TcgXlate x;

    if (tcg_cpu_callbacks(cpu)->exception)
        x86_raise_event(s, (X86Event){ .kind = X86_EVENT_EXCEPTION, .vector = X86_PF_EXC, .has_error = 1, .has_payload = 1, .payload = va,
                                       .error = PF_U | (access == TCG_WRITE ? PF_W : access == TCG_EXEC ? PF_I : 0u) });
    switch (walk(&w, &x)) {
    case WALK_NONCANONICAL:
        x86_raise_err(s, access != TCG_EXEC && through_ss(s, cpu, w.va) ? X86_SS_EXC : X86_GP, x86_ext(s));
    case WALK_FAULT:
        x86_raise_event(s, (X86Event){ .kind = X86_EVENT_EXCEPTION, .vector = X86_PF_EXC, .has_error = 1, .error = w.error,
                                       .has_payload = 1, .payload = w.va });
    default:
        /* Somebody mended the tables since: run the instruction (or delivery) again. */
        if (s->ev.injected.kind == X86_EVENT_NONE)
            tcg_sync_pc(cpu);
        else if (s->ev.injected.kind == X86_EVENT_TASK)
            s->ev.injected.kind = X86_EVENT_NONE;
        tcg_leave(cpu);
    }
}

void x86_align_fault(TcgCpu *cpu, uint64_t va, TcgAccess access)
{
    (void)va, (void)access;
    /* Alignment demanded by the instruction itself (MOVAPS...): #GP(0); #AC is checked by translated code that needs it. */
    x86_raise_gp0(tcg_cpu_state(cpu));
}
