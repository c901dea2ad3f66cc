#include "tcg/guest/riscv/riscv.h"

static unsigned data_regime(const RiscvState *s)
{
    unsigned priv = s->priv;
    if (priv == RISCV_M && s->mstatus & RISCV_MPRV)
        priv = (unsigned)((s->mstatus & RISCV_MPP) >> RISCV_MPP_SHIFT);
    return priv == RISCV_M ? RVR_MACHINE : priv == RISCV_U ? RVR_USER : s->mstatus & RISCV_SUM ? RVR_KERNEL_SUM : RVR_KERNEL;
}

TCG_CALL_PATH uint64_t riscv_mode_key(const void *state)
{
    const RiscvState *s = state;
    uint64_t fs = s->mstatus & RISCV_FS;
    return s->priv | data_regime(s) << 2 | (fs ? RVM_FS_ON : 0) | (fs == RISCV_FS ? RVM_FS_DIRTY : 0) | (uint64_t)s->frm << RVM_FRM_SHIFT;
}

static uint64_t linear_pc(const void *state) { return ((const RiscvState *)state)->pc; }
static void set_pc(void *state, uint64_t linear) { ((RiscvState *)state)->pc = linear; }
static unsigned mode_regime(uint64_t mode) { return RVM_REGIME(mode); }
static bool mode_supervisor(uint64_t mode) { return RVM_PRIV(mode) != RISCV_U; }
/* Whether satp counts for instructions. */
static unsigned mode_fetch(uint64_t mode) { return RVM_PRIV(mode) == RISCV_M; }

void riscv_space_sync(RiscvState *s, bool flush)
{
    TcgCpu *cpu = riscv_cpu(s);
    s->tlb_flush_pending = 0;
    if (flush)
        tcg_flush_all(cpu);
    tcg_set_space(cpu, s->satp & ~(0xffffull << 44), s->satp >> 44 & 0xffff);
    tcg_mode_changed(cpu);
}

const TcgHelper riscv_helpers[RISCV_HELPERS] = {
#define RISCV_HELPER(name, ret, flags) { #name, riscv_h_##name, ret, flags },
#include "tcg/guest/riscv/helpers.def"
#undef RISCV_HELPER
};

const GuestIsa riscv_isa = {
    .name = "riscv64",
    .state_size = sizeof(RiscvState),
    .xlat_offset = offsetof(RiscvState, xlat),
    .pc_offset = offsetof(RiscvState, pc),
    .pc_base_offset = offsetof(RiscvState, pc_base),
    .fpenv_offset = offsetof(RiscvState, mxcsr),
    .slots = riscv_slots,
    .n_slots = RVS_SLOTS,
    .helpers = riscv_helpers,
    .n_helpers = RISCV_HELPERS,
    .mode = riscv_mode_key,
    .linear_pc = linear_pc,
    .set_pc_from_linear = set_pc,
    .regime = mode_regime,
    .fetch_regime = mode_fetch,
    .supervisor = mode_supervisor,
    .translate = riscv_translate,
    .mmu = riscv_mmu,
    .mmu_fault = riscv_mmu_fault,
    .align_fault = riscv_align_fault,
    .bus_fault = riscv_bus_fault,
    .deliver = riscv_deliver,
    .disas = riscv_disas,
};
