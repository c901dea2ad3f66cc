/* The CPU of AArch64 boards: what is saved of it, its models and their options. */
#include "hw/board/aarch64-cpu.h"

#include <string.h>

#include "cpu/aarch64/state.h"
#include "hw/board/boot-internal.h"
#include "util/bits.h"

typedef struct CpuModel { const char *name, *compatible; uint64_t midr; bool pauth; } CpuModel;
static const CpuModel models[] = {      /* the first is the default */
    { "cortex-a72", "arm,cortex-a72", 0x410fd083 }, { "cortex-a53", "arm,cortex-a53", 0x410fd034 }, { "max", "arm,armv8", 0x000f0510, true },
};

/* What the CPU is stays. PSCI starts all but the first. */
static void cpu_reset(void *state, unsigned index, bool init)
{
    A64State *s = state;
    uint64_t midr = s->midr ? s->midr : models[0].midr;
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

/* ---- -cpu MODEL[,pauth=on|off][,pauth-impdef=on|off] ---- */
static bool on_or_off(const char *option, const char *name, bool *io, GError **err)
{
    size_t n = strlen(name);
    if (strncmp(option, name, n) || option[n] != '=')
        return false;
    const char *v = option + n + 1;
    if (!strcmp(v, "on") || !strcmp(v, "off"))
        *io = v[1] == 'n';
    else
        g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "-cpu: %s= takes on or off, not '%s'", name, v);
    return true;
}

static bool pauth_options(char **options, bool has, uint8_t *ret, GError **err)
{
    bool pauth = has, impdef = false;
    for (char **o = options; *o; o++) {
        GError *bad = NULL;
        if (!on_or_off(*o, "pauth", &pauth, &bad) && !on_or_off(*o, "pauth-impdef", &impdef, &bad))
            return boot_fail(err, "-cpu: no option '%s'; there are pauth and pauth-impdef", *o);
        if (bad) {
            g_propagate_error(err, bad);
            return false;
        }
    }
    if ((pauth && !has) || (impdef && !pauth))
        return boot_fail(err, "-cpu: pointer authentication needs the model max, and pauth-impdef=on pointer authentication");
    *ret = !pauth ? A64_PAUTH_NONE : impdef ? A64_PAUTH_IMPDEF : A64_PAUTH_QARMA5;
    return true;
}

bool aarch64_cpu_choose(Machine *m, const char *text, const char **ret_compatible, GError **err)
{
    g_auto(GStrv) words = g_strsplit(text ? text : models[0].name, ",", -1);
    uint8_t pauth = 0;
    for (unsigned i = 0; words[0] && i < ARRAY_LEN(models); i++) {
        if (strcmp(words[0], models[i].name))
            continue;
        if (!pauth_options(words + 1, models[i].pauth, &pauth, err))
            return false;
        *ret_compatible = models[i].compatible;
        for (unsigned k = 0; k < machine_n_vcpus(m); k++) {
            A64State *s = machine_vcpu(m, k)->state;
            s->midr = models[i].midr;
            s->pauth = pauth;
        }
        return true;
    }
    return boot_fail(err, "-cpu %s: the aarch64 virt machine has the models cortex-a72, cortex-a53 and max", text ? text : "");
}

char *aarch64_cpu_help(void)
{
    GString *s = g_string_new("models:\n");
    for (unsigned i = 0; i < ARRAY_LEN(models); i++)
        g_string_append_printf(s, "  %s%s\n", models[i].name, models[i].pauth ? "[,pauth=on|off][,pauth-impdef=on|off]" : "");
    return g_string_free(s, false);
}
