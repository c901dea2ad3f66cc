#include "tcg/guest/aarch64/aarch64.h"

unsigned a64_isa_regime(const A64State *s)
{
    switch (s->el) {
    case A64_EL0: return A64R_USER;
    case A64_EL1: return s->pan ? A64R_KERNEL_PAN : A64R_KERNEL;
    default: return A64R_HIGH;
    }
}

/* CPACR_EL1.FPEN, CPTR_EL2.TFP, CPTR_EL3.TFP (ARM D17.2.30); whose trap it is: exception.c */
static bool fp_on(const A64State *s)
{
    unsigned fpen = s->cpacr >> 20 & 3;
    if (s->el <= A64_EL1 && fpen != 3 && !(fpen == 1 && s->el == A64_EL1))
        return false;
    if (s->cptr[A64_EL2] & A64_CPTR_TFP && (s->el == A64_EL2 || (s->el < A64_EL2 && a64_el2_rules(s))))
        return false;
    return !(s->has_el3 && s->cptr[A64_EL3] & A64_CPTR_TFP);
}

TCG_CALL_PATH uint64_t a64_mode_key(const void *state)
{
    const A64State *s = state;
    uint64_t sctlr = s->sctlr[s->el ? s->el : A64_EL1], m = s->el | a64_isa_regime(s) << 2 | (fp_on(s) ? A64M_FP : 0) | (sctlr & A64_SCTLR_A ? A64M_ALIGN : 0);
    uint32_t f = s->fpcr;
    m |= (uint64_t)((f & A64_FPCR_RMODE) >> A64_FPCR_RMODE_SHIFT) << A64M_RMODE_SHIFT | (f & A64_FPCR_FZ ? A64M_FZ : 0) | (f & A64_FPCR_DN ? A64M_DN : 0) |
         (f & A64_FPCR_AHP ? A64M_AHP : 0) | (f & A64_FPCR_FZ16 ? A64M_FZ16 : 0);
    m |= (sctlr & A64_SCTLR_ENIA ? 1ull << (A64M_PAUTH_SHIFT + A64_KEY_IA) : 0) | (sctlr & A64_SCTLR_ENIB ? 1ull << (A64M_PAUTH_SHIFT + A64_KEY_IB) : 0) |
         (sctlr & A64_SCTLR_ENDA ? 1ull << (A64M_PAUTH_SHIFT + A64_KEY_DA) : 0) | (sctlr & A64_SCTLR_ENDB ? 1ull << (A64M_PAUTH_SHIFT + A64_KEY_DB) : 0);
    m |= (s->spsel ? A64M_SPSEL : 0) | (s->el ? ((uint64_t)(s->el == A64_EL1 ? s->root_now : 0) << 1 | (sctlr & A64_SCTLR_M)) << A64M_FETCH_SHIFT : 0);
    if (sctlr & (s->el ? A64_SCTLR_SA : A64_SCTLR_SA0))
        m |= A64M_SP_CHECK | (s->x[A64_SP] & 15 ? A64M_SP_BAD : 0);
    m |= s->hcr & (A64_HCR_TRVM | A64_HCR_TID2) && s->el == A64_EL1 && a64_el2_rules(s) ? A64M_HYP : 0;
    return m | (s->uao ? A64M_UAO : 0) | (s->il ? A64M_IL : 0) | a64_debug_mode(s);
}

static uint64_t linear_pc(const void *state) { return ((const A64State *)state)->pc; }
static void set_pc(void *state, uint64_t linear) { ((A64State *)state)->pc = linear; }
static unsigned mode_regime(uint64_t mode) { return A64M_REGIME(mode); }
static bool mode_supervisor(uint64_t mode) { return A64M_EL(mode) != A64_EL0; }

static unsigned mode_fetch(uint64_t mode) { return A64M_FETCH(mode) | (A64M_EL(mode) >= A64_EL2 ? A64M_EL(mode) << 3 : 0); }

const TcgHelper a64_helpers[A64_HELPERS] = {
#define A64_HELPER(name, ret, flags) { #name, a64_h_##name, ret, flags },
#include "tcg/guest/aarch64/helpers.def"
#include "tcg/guest/aarch64/helpers_simd.def"
#include "tcg/guest/aarch64/helpers_sys.def"
#undef A64_HELPER
};

const GuestIsa a64_isa = {
    .name = "aarch64",
    .state_size = sizeof(A64State),
    .xlat_offset = offsetof(A64State, xlat),
    .pc_offset = offsetof(A64State, pc),
    .pc_base_offset = offsetof(A64State, pc_base),
    .fpenv_offset = offsetof(A64State, mxcsr),
    .slots = a64_slots,
    .n_slots = A64S_SLOTS,
    .helpers = a64_helpers,
    .n_helpers = A64_HELPERS,
    .mode = a64_mode_key,
    .linear_pc = linear_pc,
    .set_pc_from_linear = set_pc,
    .regime = mode_regime,
    .supervisor = mode_supervisor,
    .fetch_regime = mode_fetch,
    .translate = a64_translate,
    .mmu = a64_mmu,
    .mmu_fault = a64_mmu_fault,
    .align_fault = a64_align_fault,
    .flush_as = a64_flush_as,
    .deliver = a64_deliver,
    .disas = a64_disas,
};
