#pragma once
#include "cpu/riscv/state.h"
#include "tcg/tcg.h"

/* The RISC-V guest as its own files see it. */

/* Register slots of the IR (slots.c): slot n is x[n], for n = 1..31. */
enum { RVS_PC = 0, RVS_TMP0 = 32, RVS_F0 = RVS_TMP0 + RISCV_TMPS, RVS_RES_ADDR = RVS_F0 + 32, RVS_RES_VALUE, RVS_BOX, RVS_SSCRATCH, RVS_SEPC, RVS_SCAUSE,
       RVS_STVAL, RVS_MSCRATCH, RVS_MEPC, RVS_MCAUSE, RVS_MTVAL, RVS_MSTATUS, RVS_SLOTS };
/* What a helper leaves in RVS_TMP0 for the code behind it: the mode is the same; it is another one; the run loop has to look (an interrupt is due). */
enum { RVA_STAY, RVA_JUMP, RVA_LOOK };
extern const IrSlot riscv_slots[RVS_SLOTS];

/* What of mstatus sstatus shows (priv 4.1.1). */
#define RISCV_SSTATUS_READ (RISCV_SD | 3ull << 32 | RISCV_MXR | RISCV_SUM | RISCV_FS | RISCV_SPP | RISCV_SPIE | RISCV_SIE)

/* Mode key */
#define RVM_PRIV(m)   ((unsigned)(m) & 3)
#define RVM_REGIME(m) ((unsigned)(m) >> 2 & 3)
#define RVM_FS_ON     (1u << 4)
#define RVM_FS_DIRTY  (1u << 5)
#define RVM_FRM(m)    ((unsigned)(m) >> 6 & 7)
#define RVM_FRM_SHIFT 6
/* Translation regimes: whose rights data accesses have. */
enum { RVR_USER, RVR_KERNEL, RVR_KERNEL_SUM, RVR_MACHINE };

uint64_t riscv_mode_key(const void *state);

/* Floating-point operations of the helper, each | 1 for double precision. Bits 8-10 of its descriptor: rounding mode, never DYN. */
enum { RVF_FADD = 2, RVF_FSUB = 4, RVF_FMUL = 6, RVF_FDIV = 8, RVF_FSQRT = 10, RVF_FMADD = 12, RVF_FMSUB = 14, RVF_FNMSUB = 16, RVF_FNMADD = 18,
       RVF_FSGNJ = 20, RVF_FSGNJN = 22, RVF_FSGNJX = 24, RVF_FMIN = 26, RVF_FMAX = 28, RVF_FLE = 30, RVF_FLT = 32, RVF_FEQ = 34, RVF_FCLASS = 36,
       RVF_TO_W = 38, RVF_TO_WU = 40, RVF_TO_L = 42, RVF_TO_LU = 44, RVF_FROM_W = 46, RVF_FROM_WU = 48, RVF_FROM_L = 50, RVF_FROM_LU = 52,
       RVF_S_D = 54, RVF_D_S = 56 };

/* Helpers: one list. RISCV_HELPER(NAME, return type, TCG_H_ flags). Function: riscv_h_NAME. */
enum {
#define RISCV_HELPER(name, ret, flags) RVH_##name,
#include "tcg/guest/riscv/helpers.def"
#undef RISCV_HELPER
    RISCV_HELPERS
};
#define RISCV_HELPER(name, ret, flags) uint64_t riscv_h_##name(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d);
#include "tcg/guest/riscv/helpers.def"
#undef RISCV_HELPER
extern const TcgHelper riscv_helpers[RISCV_HELPERS];

static inline TcgCpu *riscv_cpu(RiscvState *s) { return tcg_cpu_from_xlat(s->xlat); }

/* trap.c. Enter the handler for @cause (with RISCV_CAUSE_IRQ for an interrupt); state->pc is the instruction's. */
void riscv_trap(RiscvState *s, uint64_t cause, uint64_t tval);
/* The same from within an instruction: syncs the pc, does not return. */
void riscv_raise(RiscvState *s, uint64_t cause, uint64_t tval) __attribute__((noreturn));
bool riscv_deliver(TcgCpu *cpu);
void riscv_bus_fault(TcgCpu *cpu, uint64_t va, TcgAccess access) __attribute__((noreturn));
void riscv_align_fault(TcgCpu *cpu, uint64_t va, TcgAccess access) __attribute__((noreturn));
/* Whether an interrupt is to be taken before the next instruction. */
bool riscv_irq_due(RiscvState *s);
/* csr.c */
/* Whether a write of CSR @n says in RVS_TMP0 what is to be done; after others the run loop looks. */
bool riscv_csr_calm(unsigned n);
uint64_t riscv_mip(RiscvState *s);             /* software bits and the machine's lines */
/* mmu.c */
bool riscv_mmu(TcgCpu *cpu, uint64_t va, TcgAccess access, unsigned regime, TcgXlate *ret);
void riscv_mmu_fault(TcgCpu *cpu, uint64_t va, TcgAccess access, unsigned regime) __attribute__((noreturn));
/* Address space of satp, after it or everything was written. @flush: nothing cached holds. */
void riscv_space_sync(RiscvState *s, bool flush);

void riscv_translate(TcgUnitDesc *t);
int riscv_disas(const uint8_t *code, unsigned avail, uint64_t mode, uint64_t pc, char *buf, int size);
