/* x86 vCPUs of the PC: what vmm must know of the CPU type, the CPU model, and the state a direct boot starts from. */
#include <string.h>

#include "cpu/x86/cpuid.h"
#include "cpu/x86/opcode.h"
#include "hw/board/pc-internal.h"
#include "util/bits.h"

static void cpu_reset(void *state, unsigned index, bool init)
{
    x86_state_reset(state, init, index == 0);
}

static uint64_t cpu_pc(const void *state)
{
    const X86State *s = state;
    return s->seg[X86_CS].attr & X86_SEG_L ? s->rip : s->seg[X86_CS].base + s->rip;
}

static bool cpu_in_user(const void *state)
{
    return ((const X86State *)state)->cpl == 3;
}

/* Everything but the translator's private area and what it derives. */
static const FieldDesc cpu_fields[] = {
    FIELD_ARRAY(X86State, gpr), FIELD(X86State, rip), FIELD(X86State, cc), FIELD(X86State, rflags_rest), FIELD_RAW(X86State, seg),
    FIELD_RAW(X86State, gdt), FIELD_RAW(X86State, idt), FIELD(X86State, cr0), FIELD(X86State, cr2), FIELD(X86State, cr3), FIELD(X86State, cr4),
    FIELD(X86State, cr8), FIELD(X86State, xcr0), FIELD(X86State, mxcsr), FIELD(X86State, pkru), FIELD(X86State, fcw), FIELD(X86State, fsw),
    FIELD(X86State, ftw), FIELD(X86State, fop), FIELD(X86State, fip), FIELD(X86State, fdp), FIELD(X86State, fcs), FIELD(X86State, fds),
    FIELD(X86State, cpl), FIELD_RAW(X86State, fpr), FIELD_RAW(X86State, vec), FIELD_ARRAY(X86State, kmask), FIELD_RAW(X86State, msr),
    FIELD_ARRAY(X86State, dr), FIELD_RAW(X86State, ev), FIELD_ARRAY(X86State, pdptr), FIELD(X86State, tsc_offset), FIELD(X86State, tsc_adjust),
    FIELD(X86State, tsc_deadline), FIELD(X86State, n_extra_msr), FIELD_RAW(X86State, extra_msr), FIELD(X86State, xstate_extra),
    FIELD_ARRAY(X86State, xsave_extra), { 0 }
};

static bool cpu_post_load(void *state, GError **err)
{
    X86State *s = state;
    if (s->n_extra_msr > X86_EXTRA_MSRS || s->cpl > 3 || s->ev.mp_state > X86_MP_SIPI_RECEIVED || s->ev.injected.kind > X86_EVENT_SOFT ||
        s->ev.pending.kind > X86_EVENT_SOFT) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "the saved state of a CPU is damaged");
        return false;
    }
    s->rflags_rest |= 2;
    s->ev.tlb_flush_pending = 1;
    s->groups_valid = s->groups_dirty = X86_GROUP_ALL;
    return true;
}

const CpuType pc_cpu_type = {
    .name = "x86", .state_size = sizeof(X86State), .state_align = _Alignof(X86State), .groups_all = X86_GROUP_ALL,
    .groups_valid_offset = offsetof(X86State, groups_valid), .groups_dirty_offset = offsetof(X86State, groups_dirty),
    .reset = cpu_reset, .pc = cpu_pc, .in_user = cpu_in_user, .opcode = x86_opcode_bytes, .state_fields = cpu_fields, .post_load = cpu_post_load,
};

static void free_model(void *p)
{
    x86_model_free(p);
}

/* Without -cpu: what both engines can do here, so that a guest may always be moved. -cpu host and max take all that the engine has, and host says what
 * keeps the guest from the translator. */
static void limit_to_both(Pc *pc, X86Features *avail)
{
    X86Features tcg = x86_features_tcg();
    if (!pc->cfg.cpu)
        for (unsigned i = 0; i < X86_FEATURE_WORDS; i++)
            avail->w[i] &= tcg.w[i];
}

static void say_what_binds(Pc *pc, const X86CpuModel *model)
{
    X86Features tcg = x86_features_tcg();
    g_autoptr(GString) names = g_string_new(NULL);
    for (unsigned i = 0; i < X86_FEAT_END; i++) {
        const char *name = x86_feature_name((X86Feature)i);
        if (name && x86_features_has(&model->feat, (X86Feature)i) && !x86_features_has(&tcg, (X86Feature)i))
            g_string_append_printf(names, " %.*s", (int)strcspn(name, "|"), name);
    }
    if (names->len)
        log_warn(machine_log(pc->m), "-cpu host: the translator lacks%s; the guest cannot be moved to it for good", names->str);
}

bool pc_make_cpus(Pc *pc, GError **err)
{
    /* What the translator can do, unless the engine is the host's own CPU. */
    bool tcg = !g_strcmp0(machine_accel_name(pc->m), "tcg") || machine_accel_traits(pc->m) & ACCEL_USER_ONLY;
    X86Features avail = tcg ? x86_features_tcg() : x86_features_host();
    g_autoptr(GString) warn = g_string_new(NULL), lost = g_string_new(NULL);
    limit_to_both(pc, &avail);
    machine_limit_features(pc->m, &avail, lost);
    if (lost->len)
        log_warn(machine_log(pc->m), "kvm: this host cannot give the guest's CPU %s; it goes without", lost->str);
    X86CpuModel *model = x86_model_new(pc->cfg.cpu ? pc->cfg.cpu : "max", &avail, warn, err);
    if (!model)
        return false;
    if (warn->len && pc->cfg.cpu)
        log_warn(machine_log(pc->m), "%s", warn->str);
    if (!strcmp(model->name, "host"))
        say_what_binds(pc, model);
    machine_own(pc->m, model, free_model);
    model->n_cpus = machine_n_vcpus(pc->m);
    model->tsc_hz = mclock_tsc_hz(machine_clock(pc->m));
    model->apic_hz = (uint32_t)LAPIC_TIMER_HZ;
    x86_model_finish(model);
    pc->cpu_model = model;
    for (unsigned i = 0; i < machine_n_vcpus(pc->m); i++) {
        Vcpu *c = machine_vcpu(pc->m, i);
        c->model = model;
        ((X86State *)c->state)->model = model;
    }
    return true;
}

/* After every reset: what depends on the model. Vcpus at rest, all groups valid and dirty. */
void pc_reset_cpus(Pc *pc)
{
    for (unsigned i = 0; i < machine_n_vcpus(pc->m); i++) {
        X86State *s = machine_vcpu(pc->m, i)->state;
        s->gpr[X86_RDX] = x86_model_signature(pc->cpu_model);
        if (pc->direct) {
            /* Memory is write-back, as firmware leaves it: a kernel takes disabled MTRRs as "no caches, no PAT" (SDM 3A 12.11.2.1). */
            s->msr.mtrr.def_type = 0xc06;
            s->cr0 &= ~(uint64_t)(X86_CR0_CD | X86_CR0_NW);
            for (unsigned f = 0; f < 11; f++)
                s->msr.mtrr.fixed[f] = 0x0606060606060606ull;
        }
    }
}

static X86Seg flat(uint16_t sel, uint32_t attr)
{
    return (X86Seg){ .sel = sel, .limit = UINT32_MAX, .attr = attr };
}

/*
 * 64-bit entry: Linux boot.rst "64-bit boot protocol"; 32-bit: PVH and Multiboot 3.2, which agree: flat segments, no paging,
 * interrupts off.
 */
void pc_boot_cpu(Pc *pc)
{
    Vcpu *c = machine_vcpu(pc->m, 0);
    X86State *s = c->state;
    bool is64 = pc->plan.mode == BOOT_LONG64;
    uint32_t common = X86_SEG_P | X86_SEG_S | X86_SEG_G;
    s->seg[X86_CS] = flat(0x10, common | 11 | (is64 ? X86_SEG_L : X86_SEG_DB));
    for (unsigned i = 0; i < X86_LDTR; i++)
        if (i != X86_CS)
            s->seg[i] = flat(0x18, common | 3 | X86_SEG_DB);
    s->seg[X86_LDTR] = (X86Seg){ .attr = X86_SEG_UNUSABLE | 2 };
    s->seg[X86_TR] = (X86Seg){ .sel = 0x20, .limit = 0x67, .attr = X86_SEG_P | 11 };
    s->gdt = (X86Dtr){ .base = BOOT_GDT, .limit = 5 * 8 - 1 };
    s->idt = (X86Dtr){ .base = 0, .limit = 0 };
    s->cr0 |= X86_CR0_PE | X86_CR0_ET;
    if (is64) {
        s->cr4 = X86_CR4_PAE;
        s->cr3 = BOOT_PAGE_TABLES;
        s->cr0 |= X86_CR0_PG | X86_CR0_NE | X86_CR0_WP;
        s->msr.efer = X86_EFER_LME | X86_EFER_LMA;
    }
    x86_set_rflags(s, 2);
    s->rip = pc->plan.entry;
    s->gpr[X86_RAX] = pc->plan.rax;
    s->gpr[X86_RBX] = pc->plan.rbx;
    s->gpr[X86_RSI] = pc->plan.rsi;
    s->gpr[X86_RSP] = BOOT_STACK;
    s->cpl = 0;
    vcpu_state_changed(c, X86_GROUP_ALL);
}
