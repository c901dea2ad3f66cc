#include "cpu/aarch64/state.h"

#include <string.h>

#include "cpu/aarch64/model.h"

/* The host's MXCSR (SDM 1 10.2.3): flags IE 0, DE 1, ZE 2, OE 3, UE 4, PE 5; masks 7-12; rounding 13-14: nearest, down, up, to zero. */
enum { MXCSR_MASKS = 0x1f80, MXCSR_FLAGS = 0x3f, MXCSR_RC_SHIFT = 13 };
/* The IR's packed flags (tcg/ir.h): overflow 0, carry 8, zero 14, sign 15. */
enum { FL_V = 1, FL_C = 0x100, FL_Z = 0x4000, FL_N = 0x8000 };

uint64_t a64_mpidr(unsigned index) { return 1ull << 31 | (uint64_t)(index / 16) << 8 | index % 16; }

void a64_state_reset(A64State *s, unsigned el, unsigned index)
{
    memset(s, 0, offsetof(A64State, groups_valid));
    s->el = (uint8_t)el;
    s->spsel = el != A64_EL0;
    s->daif = el ? A64_PS_DAIF : 0;
    s->mxcsr = MXCSR_MASKS;
    s->fl = FL_C;
    s->excl_addr = ~0ull;
    s->sctlr[A64_EL1] = 0x30d00800;            /* RES1 bits */
    s->sctlr[A64_EL2] = s->sctlr[A64_EL3] = 0x30c50830;
    s->oslsr = 8 | 2;                          /* OS lock implemented and locked */
    s->midr = 0x000fd0f0;                      /* implementer 0: software */
    s->mpidr = a64_mpidr(index);
    s->vpidr = s->midr;
    s->vmpidr = s->mpidr;
    s->cntfrq = 62500000;
    s->cptr[A64_EL2] = 0x33ff;
    s->hcr = A64_HCR_RW;                       /* there is no AArch32 */
    s->scr = A64_SCR_RW | 0x30;
    s->tlb_flush_pending = 1;
    s->groups_valid = s->groups_dirty = A64_GROUP_ALL;
}

void a64_state_nonsecure(A64State *s)
{
    if (s->has_el3) {
        s->scr |= A64_SCR_NS | A64_SCR_HCE | A64_SCR_APK | A64_SCR_API;
        s->el = s->has_el2 ? A64_EL2 : A64_EL1;
    }
    s->tlb_flush_pending = 1;
}

void a64_state_program(A64State *s, const uint64_t random[A64_KEYS][2])
{
    a64_state_reset(s, A64_EL0, 0);
    s->tlb_flush_pending = 0;
    s->midr = s->vpidr = A64_MIDR_PROGRAM;     /* Neoverse N1 r4p1: C libraries then copy by 128 bits */
    s->cpacr = 3 << 20;
    s->sctlr[A64_EL1] |= A64_SCTLR_ENIA | A64_SCTLR_ENIB | A64_SCTLR_ENDA | A64_SCTLR_ENDB | A64_SCTLR_UCT | A64_SCTLR_UCI | A64_SCTLR_DZE |
                          A64_SCTLR_NTWI | A64_SCTLR_NTWE | A64_SCTLR_SA0;
    s->tcr[A64_EL1] = 16 | 16 << 16 | 1ull << 37;   /* addresses of 48 bits, the top byte ignored */
    memcpy(s->key, random, sizeof(s->key));
}

uint32_t a64_nzcv(const A64State *s)
{
    uint32_t f = s->fl;
    return (f & FL_N ? 1u << 31 : 0) | (f & FL_Z ? 1u << 30 : 0) | (f & FL_C ? 0 : 1u << 29) | (f & FL_V ? 1u << 28 : 0);
}

void a64_set_nzcv(A64State *s, uint32_t v)
{
    s->fl = (v >> 31 & 1 ? FL_N : 0u) | (v >> 30 & 1 ? FL_Z : 0u) | (v >> 29 & 1 ? 0 : FL_C) | (v >> 28 & 1 ? FL_V : 0u);
}

/* ---- floating-point status: the same conditions as the host's, but for input denormals that are flushed ---- */
uint32_t a64_fpsr(const A64State *s)
{
    uint32_t m = s->mxcsr;
    return s->fpsr | (m & 1 ? A64_IOC : 0) | (m >> 2 & 1 ? A64_DZC : 0) | (m >> 3 & 1 ? A64_OFC : 0) | (m >> 4 & 1 ? A64_UFC : 0) | (m >> 5 & 1 ? A64_IXC : 0);
}

void a64_set_fpsr(A64State *s, uint32_t v)
{
    s->mxcsr &= ~(uint32_t)MXCSR_FLAGS;
    s->fpsr = v & (A64_FPSR_QC | 0x9f);
}

void a64_set_fpcr(A64State *s, uint32_t v)
{
    static const uint8_t rc[4] = { 0, 2, 1, 3 };
    s->fpcr = v & A64_FPCR_MASK;
    s->mxcsr &= ~(3u << MXCSR_RC_SHIFT);       /* flushing to zero is not the host's: it raises other flags */
    s->mxcsr |= (uint32_t)rc[(v & A64_FPCR_RMODE) >> A64_FPCR_RMODE_SHIFT] << MXCSR_RC_SHIFT;
}

/* ---- PSTATE ---- */
uint64_t a64_pstate(const A64State *s)
{
    return a64_nzcv(s) | (s->uao ? A64_PS_UAO : 0) | (s->pan ? A64_PS_PAN : 0) | (s->ss ? A64_PS_SS : 0) | (s->il ? A64_PS_IL : 0) | s->daif |
           (uint64_t)s->el << 2 | (s->spsel ? A64_PS_SP : 0);
}

void a64_set_pstate(A64State *s, uint64_t v)
{
    a64_sp_save(s);
    a64_set_nzcv(s, (uint32_t)v);
    s->uao = v & A64_PS_UAO ? 1 : 0;
    s->pan = v & A64_PS_PAN ? 1 : 0;
    s->ss = v & A64_PS_SS ? 1 : 0;
    s->il = v & A64_PS_IL ? 1 : 0;
    s->daif = (uint16_t)(v & A64_PS_DAIF);
    s->el = v >> 2 & 3;
    s->spsel = v & A64_PS_SP;
    a64_sp_load(s);
}

/* ---- identification: v8.0 with LSE, CRC32, AES/SHA/SHA512/PMULL, FP16, dot product, RCpc, PAuth (QARMA5), PAN, JSCVT, FCMA, RDM, FlagM (ARM D17.2.57 ff.) ---- */
typedef struct IdReg { uint8_t crm, op2; uint64_t value, user, v8_0; } IdReg;   /* user: the fields that Linux shows programs; v8_0: of those, a model of v8.0 has */
static const IdReg id_regs[] = {
    { 4, 0, 0x0000000000110011, ~0ull, 0x11 },        /* ID_AA64PFR0: FP and AdvSIMD with FP16; a machine has more ELs than a program sees */
    { 5, 0, 0x0000000000000006, 0, 0 },           /* ID_AA64DFR0: debug v8 */
    { 6, 0, 0x0010100010212120, ~0ull, 0x11120 },     /* ID_AA64ISAR0: FlagM (TS) DP RDM Atomics CRC32 SHA2 (512) SHA1 AES */
    { 6, 1, 0x0000001001211011, ~0ull, 0 },           /* ID_AA64ISAR1: SB GPA LRCPC (2) FCMA JSCVT APA DPB */
    { 7, 0, 0x0000000000001125, 0, 0 },           /* ID_AA64MMFR0: 48 bits, 16-bit ASID, mixed endian no */
    { 7, 1, 0x0000000000100000, 0, 0 },           /* ID_AA64MMFR1: PAN */
    { 7, 2, 0, 0, 0 },
};

uint64_t a64_id_register(const A64State *s, unsigned crm, unsigned op2, bool user)
{
    enum { APA = 0xf0, GPA = 0xf << 24 };
    for (unsigned n = 0; n < sizeof(id_regs) / sizeof(id_regs[0]); n++) {
        const IdReg *r = &id_regs[n];
        if (r->crm == crm && r->op2 == op2)
            return !user ? r->value : a64_midr_v8_0(s->midr) ? r->v8_0 : r->value & r->user & ~(crm == 6 && op2 == 1 && s->pauth == A64_PAUTH_NONE ? APA | GPA : 0ull);
    }
    return 0;
}

uint64_t a64_hwcap(bool v8_0, bool pauth)
{
    enum { FP_TO_CRC32 = 0xff, ATOMICS = 1 << 8, FPHP = 1 << 9, ASIMDHP = 1 << 10, CPUID = 1 << 11, ASIMDRDM = 1 << 12, JSCVT = 1 << 13, FCMA = 1 << 14,
           LRCPC = 1 << 15, DCPOP = 1 << 16, ASIMDDP = 1 << 20, SHA512 = 1 << 21, ILRCPC = 1 << 26, FLAGM = 1 << 27, SB = 1 << 29 };
    static const uint64_t PACA_PACG = 3ull << 30;
    uint64_t later = ATOMICS | FPHP | ASIMDHP | ASIMDRDM | JSCVT | FCMA | LRCPC | DCPOP | ASIMDDP | SHA512 | ILRCPC | FLAGM | SB | (pauth ? PACA_PACG : 0);
    return FP_TO_CRC32 | CPUID | (v8_0 ? 0 : later);
}

const char *a64_x_name(unsigned n)
{
    static const char *const names[32] = { "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16",
                                           "x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x29", "x30", "sp" };
    return names[n & 31];
}
