/* The CPU of AArch64 boards: what is saved of it. */
#include "hw/board/aarch64-cpu.h"

#include <string.h>

#include "cpu/aarch64/model.h"
#include "cpu/aarch64/state.h"
#include "util/bits.h"

/* What the CPU is stays. PSCI starts all but the first. */
static void cpu_reset(void *state, unsigned index, bool init)
{
    A64State *s = state;
    A64Model first;
    uint64_t midr = s->midr || !a64_model_parse(NULL, &first, NULL) ? s->midr : first.midr;
    uint8_t pauth = s->pauth, has_el2 = s->has_el2, has_el3 = s->has_el3, conduit = s->conduit;
    a64_state_reset(s, a64_highest_el(s), index);
    s->midr = s->vpidr = midr;
    s->pauth = pauth;
    s->has_el2 = has_el2;
    s->has_el3 = has_el3;
    s->conduit = conduit;
    s->power = index ? A64_POWER_OFF : A64_POWER_ON;
}

static uint64_t cpu_pc(const void *state) { return ((const A64State *)state)->pc; }
static bool cpu_in_user(const void *state) { return ((const A64State *)state)->el == A64_EL0; }

static const FieldDesc cpu_fields[] = {
    FIELD_ARRAY(A64State, x), FIELD(A64State, pc), FIELD(A64State, tpidr_el0), FIELD(A64State, tpidrro_el0), FIELD(A64State, excl_addr),
    FIELD_ARRAY(A64State, excl_value), FIELD(A64State, fl), FIELD(A64State, mxcsr), FIELD(A64State, fpcr), FIELD(A64State, fpsr), FIELD_RAW(A64State, v),
    FIELD(A64State, el), FIELD(A64State, spsel), FIELD(A64State, pan), FIELD(A64State, uao), FIELD(A64State, il), FIELD(A64State, ss),
    FIELD(A64State, halted), FIELD(A64State, event), FIELD(A64State, power), FIELD(A64State, step_begun), FIELD(A64State, daif),
    FIELD_ARRAY(A64State, sp_el), FIELD_ARRAY(A64State, elr), FIELD_ARRAY(A64State, spsr), FIELD_ARRAY(A64State, esr), FIELD_ARRAY(A64State, far),
    FIELD_ARRAY(A64State, vbar), FIELD_ARRAY(A64State, sctlr), FIELD_ARRAY(A64State, actlr), FIELD_ARRAY(A64State, tcr), FIELD_ARRAY(A64State, ttbr0),
    FIELD_ARRAY(A64State, ttbr1), FIELD_ARRAY(A64State, mair), FIELD_ARRAY(A64State, amair), FIELD_ARRAY(A64State, afsr0), FIELD_ARRAY(A64State, afsr1),
    FIELD_ARRAY(A64State, tpidr), FIELD(A64State, cpacr), FIELD(A64State, contextidr), FIELD(A64State, par), FIELD(A64State, csselr), FIELD(A64State, cntfrq),
    FIELD(A64State, cntkctl), FIELD_RAW(A64State, timer), FIELD(A64State, mdscr), FIELD(A64State, oslsr), FIELD(A64State, osdlr), FIELD(A64State, mdccint),
    FIELD_ARRAY(A64State, dbgbvr), FIELD_ARRAY(A64State, dbgbcr), FIELD_ARRAY(A64State, dbgwvr), FIELD_ARRAY(A64State, dbgwcr), FIELD(A64State, dbgclaim),
    FIELD_RAW(A64State, key), FIELD(A64State, midr), FIELD(A64State, mpidr), FIELD(A64State, pauth),
    /* EL2 and EL3 */
    FIELD(A64State, has_el2), FIELD(A64State, has_el3), FIELD(A64State, conduit), FIELD_ARRAY(A64State, cptr), FIELD_ARRAY(A64State, mdcr), FIELD(A64State, hcr),
    FIELD(A64State, hstr), FIELD(A64State, hpfar), FIELD(A64State, vtcr), FIELD(A64State, vttbr), FIELD(A64State, vpidr), FIELD(A64State, vmpidr), FIELD(A64State, scr),
    FIELD(A64State, sder), FIELD(A64State, rvbar), FIELD(A64State, cnthctl), FIELD(A64State, cntvoff), FIELD(A64State, pmcr), { 0 }
};

/* Hostile: what translated code relies on is put right. */
static bool cpu_post_load(void *state, GError **err)
{
    A64State *s = state;
    if (s->has_el2 > 1 || s->has_el3 > 1 || s->conduit > A64_CONDUIT_NONE || s->el > a64_highest_el(s) || s->spsel > 1 || (!s->el && s->spsel) || s->power > A64_POWER_ON_PENDING || s->pauth > A64_PAUTH_NONE) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "the saved state of a CPU is damaged");
        return false;
    }
    a64_set_nzcv(s, a64_nzcv(s));
    s->mxcsr = (s->mxcsr & 0x3f) | 0x1f80;
    a64_set_fpcr(s, s->fpcr);
    for (unsigned i = 0; i < ARRAY_LEN(s->v); i++)
        s->v[i].d[2] = s->v[i].d[3] = 0;
    s->pan = s->pan != 0;
    s->uao = s->uao != 0;
    s->daif &= A64_PS_DAIF;
    s->hcr |= A64_HCR_RW;
    memset(s->root, 0, sizeof(s->root));
    s->tlb_flush_pending = 1;
    s->groups_valid = s->groups_dirty = A64_GROUP_ALL;
    return true;
}

const CpuType aarch64_cpu_type = {
    .name = "aarch64", .state_size = sizeof(A64State), .state_align = _Alignof(A64State), .groups_all = A64_GROUP_ALL,
    .groups_valid_offset = offsetof(A64State, groups_valid), .groups_dirty_offset = offsetof(A64State, groups_dirty),
    .reset = cpu_reset, .pc = cpu_pc, .in_user = cpu_in_user, .state_fields = cpu_fields, .post_load = cpu_post_load,
};

bool aarch64_cpu_choose(Machine *m, const char *text, const char **ret_compatible, GError **err)
{
    A64Model model;
    if (!a64_model_parse(text, &model, err))
        return false;
    *ret_compatible = model.compatible;
    for (unsigned k = 0; k < machine_n_vcpus(m); k++) {
        A64State *s = machine_vcpu(m, k)->state;
        s->midr = model.midr;
        s->pauth = model.pauth;
    }
    return true;
}
