#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Architectural state of one RISC-V hart (RV64GC). Gdbstub, snapshots and the monitor use this struct and nothing else; the translator runs
 * on it in place: hot registers first, its private area last. "priv" is the Privileged manual (Volume II, 20211203), "unpriv" Volume I.
 *
 * Owner: the Vcpu. Only the vCPU's own thread, or anyone while the vCPU is parked, may touch it.
 */

enum { RISCV_RA = 1, RISCV_SP = 2, RISCV_A0 = 10, RISCV_A1 = 11 };
enum { RISCV_U, RISCV_S, RISCV_M = 3 };        /* privilege */

/* mstatus (priv 3.1.6) */
#define RISCV_SIE (1ull << 1)
#define RISCV_MIE (1ull << 3)
#define RISCV_SPIE (1ull << 5)
#define RISCV_MPIE (1ull << 7)
#define RISCV_SPP (1ull << 8)
#define RISCV_MPP_SHIFT 11
#define RISCV_MPP (3ull << RISCV_MPP_SHIFT)
#define RISCV_FS (3ull << 13)                  /* 0 off, 1 initial, 2 clean, 3 dirty */
#define RISCV_MPRV (1ull << 17)
#define RISCV_SUM (1ull << 18)
#define RISCV_MXR (1ull << 19)
#define RISCV_TVM (1ull << 20)
#define RISCV_TW (1ull << 21)
#define RISCV_TSR (1ull << 22)
#define RISCV_UXL (2ull << 32)
#define RISCV_SXL (2ull << 34)
#define RISCV_SD (1ull << 63)

/* Interrupt numbers = bits of mip and mie (priv 3.1.9) */
enum { RISCV_IRQ_SSI = 1, RISCV_IRQ_MSI = 3, RISCV_IRQ_STI = 5, RISCV_IRQ_MTI = 7, RISCV_IRQ_SEI = 9, RISCV_IRQ_MEI = 11 };
/* Exception codes (priv table 3.6) */
enum { RISCV_E_INSN_MISALIGNED, RISCV_E_INSN_ACCESS, RISCV_E_ILLEGAL, RISCV_E_BREAK, RISCV_E_LOAD_MISALIGNED, RISCV_E_LOAD_ACCESS,
       RISCV_E_STORE_MISALIGNED, RISCV_E_STORE_ACCESS, RISCV_E_ECALL_U, RISCV_E_ECALL_S, RISCV_E_ECALL_M = 11, RISCV_E_INSN_PAGE,
       RISCV_E_LOAD_PAGE, RISCV_E_STORE_PAGE = 15 };
#define RISCV_CAUSE_IRQ (1ull << 63)

/* menvcfg (priv 3.1.18; Sstc 2) */
#define RISCV_ENVCFG_FIOM 1ull
#define RISCV_ENVCFG_STCE (1ull << 63)

/* CSR numbers outside the hart that the machine answers through sysreg_read/write: lines of mip, time, stimecmp. */
enum { RISCV_SYSREG_LINES = 0x344, RISCV_SYSREG_TIME = 0xc01, RISCV_SYSREG_STIMECMP = 0x14d };

/* fcsr (unpriv 11.2): flags NX 0, UF 1, OF 2, DZ 3, NV 4; rounding mode in bits 5-7 */
enum { RISCV_NX = 1, RISCV_UF = 2, RISCV_OF = 4, RISCV_DZ = 8, RISCV_NV = 16 };
enum { RISCV_RNE, RISCV_RTZ, RISCV_RDN, RISCV_RUP, RISCV_RMM, RISCV_DYN = 7 };

/* Extensions that can be left out */
enum { RISCV_X_ZICOND = 1, RISCV_X_ZBA = 2, RISCV_X_ZBB = 4, RISCV_X_ZBC = 8, RISCV_X_ZBS = 16, RISCV_X_SSTC = 32 };

enum { RISCV_PMPS = 16, RISCV_TMPS = 4, RISCV_XLAT_SIZE = 24576 };
/* Groups of state: x and pc, f and fcsr, everything else. */
enum { RISCV_GROUP_GPR = 1, RISCV_GROUP_FPR = 2, RISCV_GROUP_SYS = 4, RISCV_GROUP_ALL = 7 };

typedef struct RiscvState {
    uint64_t x[32];            /* x[0] stays 0 */
    uint64_t pc;               /* exact whenever C code outside the translator looks; see pc_base */
    uint64_t pc_base;          /* translator: virtual address of the code page that is running */
    uint64_t tmp[RISCV_TMPS];  /* translator scratch that lives across labels of one unit */
    uint64_t f[32];
    /* LR's reservation: address (~0 none) and the value that was there */
    uint64_t res_addr, res_value;
    uint32_t mxcsr;            /* fflags and rounding as the host's FPU has them; riscv_fflags() */
    uint8_t frm;               /* as written, also the reserved values */
    uint8_t priv;
    uint8_t halted;            /* WFI: until mip & mie */
    uint8_t tlb_flush_pending; /* somebody else wrote the state */
    /* constants for translated code; set by reset */
    uint64_t k_box;            /* ~0 */

    uint64_t hartid;
    uint64_t mstatus, medeleg, mideleg, mie, mip;      /* mip: the bits software may write; lines come from the machine */
    /* mcycle, minstret: what is added to the machine's counter, or the value while mcountinhibit stops them */
    uint64_t mcycle, minstret;
    uint64_t mtvec, mcounteren, mscratch, mepc, mcause, mtval, mcountinhibit, menvcfg;
    uint64_t stvec, scounteren, sscratch, sepc, scause, stval, senvcfg, satp, stimecmp;
    uint64_t pmpcfg[RISCV_PMPS / 8], pmpaddr[RISCV_PMPS];
    uint8_t stopped;           /* waits for the machine to start it: never runs */

    uint32_t groups_valid, groups_dirty;
    uint32_t ext_off;          /* extensions that the machine leaves out, RISCV_X_; a reset keeps it */
    /* The translator's own, guest-neutral (TcgEnv); zero on creation, saved by nobody. */
    _Alignas(64) uint8_t xlat[RISCV_XLAT_SIZE];
} RiscvState;

/* Reset (priv 3.4); pc is the board's to set. */
void riscv_state_reset(RiscvState *s, uint64_t hartid);
unsigned riscv_fflags(const RiscvState *s);
void riscv_set_fflags(RiscvState *s, unsigned flags);
void riscv_set_frm(RiscvState *s, unsigned frm);
/* misa: RV64IMAFDCSU */
uint64_t riscv_misa(void);
/* ISA string for the device tree, without the extensions @off. */
enum { RISCV_ISA_STRING = 128 };
void riscv_isa_string(unsigned off, char ret[RISCV_ISA_STRING]);
/* -cpu @text (hostile): MODEL[,EXTENSION=on|off...]; the extensions that it leaves out. */
bool riscv_model_parse(const char *text, unsigned *ret_off, GError **err);
/* What it takes, lines of text; the caller's. */
char *riscv_models_help(void);
/* "ra", "sp"...; "ft0"...; name of a CSR or NULL. */
const char *riscv_x_name(unsigned n);
const char *riscv_f_name(unsigned n);
const char *riscv_csr_name(unsigned csr);
