#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Architectural state of one AArch64 CPU. Gdbstub, snapshots and the monitor use this struct and nothing else; the translator runs on it in
 * place: hot registers first, its private area last. "ARM" in comments is the Arm Architecture Reference Manual for A-profile (DDI 0487).
 *
 * Owner: the Vcpu. Only the vCPU's own thread, or anyone while the vCPU is parked, may touch it.
 */

enum { A64_LR = 30, A64_SP = 31 };             /* x[A64_SP] is the stack pointer in use: see a64_sp_* */
enum { A64_EL0, A64_EL1, A64_EL2, A64_EL3, A64_ELS };

/* PSTATE as SPSR has it (ARM C5.2.18) */
#define A64_PS_N (1ull << 31)
#define A64_PS_Z (1ull << 30)
#define A64_PS_C (1ull << 29)
#define A64_PS_V (1ull << 28)
#define A64_PS_UAO (1ull << 23)
#define A64_PS_PAN (1ull << 22)
#define A64_PS_SS (1ull << 21)
#define A64_PS_IL (1ull << 20)
#define A64_PS_D (1ull << 9)
#define A64_PS_A (1ull << 8)
#define A64_PS_I (1ull << 7)
#define A64_PS_F (1ull << 6)
#define A64_PS_DAIF (A64_PS_D | A64_PS_A | A64_PS_I | A64_PS_F)
#define A64_PS_AARCH32 (1ull << 4)
#define A64_PS_SP 1ull                         /* bit 0: SP_ELx; bits 2-3: EL */

/* SCTLR_ELx (ARM D17.2.118) */
#define A64_SCTLR_M (1ull << 0)
#define A64_SCTLR_A (1ull << 1)
#define A64_SCTLR_C (1ull << 2)
#define A64_SCTLR_SA (1ull << 3)
#define A64_SCTLR_SA0 (1ull << 4)
#define A64_SCTLR_UMA (1ull << 9)
#define A64_SCTLR_I (1ull << 12)
#define A64_SCTLR_ENDB (1ull << 13)
#define A64_SCTLR_DZE (1ull << 14)
#define A64_SCTLR_UCT (1ull << 15)
#define A64_SCTLR_NTWI (1ull << 16)
#define A64_SCTLR_NTWE (1ull << 18)
#define A64_SCTLR_WXN (1ull << 19)
#define A64_SCTLR_SPAN (1ull << 23)
#define A64_SCTLR_E0E (1ull << 24)
#define A64_SCTLR_EE (1ull << 25)
#define A64_SCTLR_UCI (1ull << 26)
#define A64_SCTLR_ENDA (1ull << 27)
#define A64_SCTLR_ENIB (1ull << 30)
#define A64_SCTLR_ENIA (1ull << 31)

/* HCR_EL2 (ARM D17.2.48) */
#define A64_HCR_VM (1ull << 0)
#define A64_HCR_PTW (1ull << 2)
#define A64_HCR_FMO (1ull << 3)
#define A64_HCR_IMO (1ull << 4)
#define A64_HCR_AMO (1ull << 5)
#define A64_HCR_VF (1ull << 6)
#define A64_HCR_VI (1ull << 7)
#define A64_HCR_VSE (1ull << 8)
#define A64_HCR_FB (1ull << 9)
#define A64_HCR_DC (1ull << 12)
#define A64_HCR_TWI (1ull << 13)
#define A64_HCR_TWE (1ull << 14)
#define A64_HCR_TID2 (1ull << 17)
#define A64_HCR_TSC (1ull << 19)
#define A64_HCR_TSW (1ull << 22)
#define A64_HCR_TPC (1ull << 23)
#define A64_HCR_TPU (1ull << 24)
#define A64_HCR_TTLB (1ull << 25)
#define A64_HCR_TGE (1ull << 27)
#define A64_HCR_HCD (1ull << 29)
#define A64_HCR_TRVM (1ull << 30)
#define A64_HCR_RW (1ull << 31)
#define A64_HCR_APK (1ull << 40)
#define A64_HCR_API (1ull << 41)
#define A64_HCR_V8_0 0x3ffffffffull            /* the bits that v8.0 has */

/* SCR_EL3 (ARM D17.2.117) */
#define A64_SCR_NS (1ull << 0)
#define A64_SCR_IRQ (1ull << 1)
#define A64_SCR_FIQ (1ull << 2)
#define A64_SCR_EA (1ull << 3)
#define A64_SCR_SMD (1ull << 7)
#define A64_SCR_HCE (1ull << 8)
#define A64_SCR_RW (1ull << 10)
#define A64_SCR_ST (1ull << 11)
#define A64_SCR_TWI (1ull << 12)
#define A64_SCR_TWE (1ull << 13)
#define A64_SCR_APK (1ull << 16)
#define A64_SCR_API (1ull << 17)
#define A64_SCR_BITS 0x33f8full

#define A64_CPTR_TFP (1ull << 10)              /* CPTR_EL2, CPTR_EL3 */
#define A64_MDCR_TDE (1ull << 8)               /* MDCR_EL2: debug exceptions are EL2's */

#define A64_TCR_E0PD (3ull << 55)              /* TCR_EL1: EL0 has no business in the lower range, the upper one */

/* FPCR (ARM C5.2.8) and FPSR (C5.2.10) */
#define A64_FPCR_FZ16 (1u << 19)
#define A64_FPCR_RMODE_SHIFT 22
#define A64_FPCR_RMODE (3u << A64_FPCR_RMODE_SHIFT)    /* nearest, plus infinity, minus infinity, zero */
#define A64_FPCR_FZ (1u << 24)
#define A64_FPCR_DN (1u << 25)
#define A64_FPCR_AHP (1u << 26)
#define A64_FPCR_MASK (A64_FPCR_FZ16 | A64_FPCR_RMODE | A64_FPCR_FZ | A64_FPCR_DN | A64_FPCR_AHP)
enum { A64_IOC = 1, A64_DZC = 2, A64_OFC = 4, A64_UFC = 8, A64_IXC = 16, A64_IDC = 128 };
#define A64_FPSR_QC (1u << 27)

/* Exception classes: ESR_ELx.EC (ARM D17.2.37). What cb->exception gets as its vector; its error is the ISS, its address FAR. */
enum { A64_EC_UNKNOWN = 0, A64_EC_WFX = 1, A64_EC_FP = 7, A64_EC_PAUTH = 9, A64_EC_ILLEGAL_STATE = 0xe, A64_EC_SVC = 0x15, A64_EC_HVC, A64_EC_SMC,
       A64_EC_SYSREG, A64_EC_IABT_LOWER = 0x20, A64_EC_IABT, A64_EC_PC_ALIGN, A64_EC_DABT_LOWER = 0x24, A64_EC_DABT, A64_EC_SP_ALIGN,
       A64_EC_FPE = 0x2c, A64_EC_SERROR = 0x2f, A64_EC_BKPT_LOWER, A64_EC_BKPT, A64_EC_STEP_LOWER, A64_EC_STEP, A64_EC_WATCH_LOWER, A64_EC_WATCH,
       A64_EC_BRK = 0x3c };
#define A64_ISS_WNR (1u << 6)
#define A64_ISS_S1PTW (1u << 7)
/* Fault status codes of aborts (ISS.DFSC): + level 0-3 */
enum { A64_FSC_SIZE = 0, A64_FSC_TRANSLATION = 4, A64_FSC_ACCESS_FLAG = 8, A64_FSC_PERMISSION = 12, A64_FSC_EXTERNAL = 0x10, A64_FSC_EXTERNAL_WALK = 0x14,
       A64_FSC_ALIGNMENT = 0x21 };

/* Interrupt lines of the CPU, as the machine's sysreg_read(A64_SYSREG_LINES) has them. */
enum { A64_LINE_IRQ = 1, A64_LINE_FIQ = 2, A64_LINE_SERROR = 4, A64_LINE_VIRQ = 8, A64_LINE_VFIQ = 16 };

enum { A64_TMPS = 4, A64_XLAT_SIZE = 24576, A64_BREAKPOINTS = 16, A64_KEYS = 5, A64_ROOTS = 4 };
/* What ID_AA64DFR0 says of them; the last ones compare CONTEXTIDR too. */
enum { A64_DFR_BREAKPOINTS = 6, A64_DFR_WATCHPOINTS = 4, A64_DFR_CONTEXTS = 2 };
enum { A64_STEP_DONE = 1, A64_STEP_EXCLUSIVE };
enum { A64_MDSCR_KDE = 1 << 13 };
enum { A64_KEY_IA, A64_KEY_IB, A64_KEY_DA, A64_KEY_DB, A64_KEY_GA };
/* What calls the machine's PSCI: nothing where firmware has it. */
typedef enum A64Conduit { A64_CONDUIT_HVC, A64_CONDUIT_SMC, A64_CONDUIT_NONE } A64Conduit;
typedef enum A64Power { A64_POWER_ON, A64_POWER_OFF, A64_POWER_ON_PENDING } A64Power;    /* as PSCI's AFFINITY_INFO answers */
/* Groups of state: x and pc and PSTATE, v and FPCR/FPSR, everything else. */
enum { A64_GROUP_GPR = 1, A64_GROUP_FPR = 2, A64_GROUP_SYS = 4, A64_GROUP_ALL = 7 };

/* A vector register: 128 bits, in a place as wide as the host's registers; the rest stays 0. */
typedef union A64Vec {
    uint64_t d[4];
    uint32_t s[8];
    uint16_t h[16];
    uint8_t b[32];
} __attribute__((aligned(32))) A64Vec;

/* A pointer authentication code computed lately, of data, modifier and key. */
typedef struct A64Pac { uint64_t data, modifier, key[2], code, known; } A64Pac;
enum { A64_MIDR_PROGRAM = 0x414fd0c1 };        /* what programs see */
enum { A64_PACS = 256, A64_PAUTH_QARMA5 = 0, A64_PAUTH_IMPDEF, A64_PAUTH_NONE };

/* A descriptor of translation tables that was walked over: its address, and what it was. */
typedef struct A64Desc { uint64_t at, was; } A64Desc;
enum { A64_DESCS = 2048 };

typedef struct A64Timer { uint64_t cval, ctl; } A64Timer;
enum { A64_TIMER_PHYS, A64_TIMER_VIRT, A64_TIMER_HYP, A64_TIMER_SEC, A64_TIMERS };

typedef struct A64State {
    uint64_t x[32];            /* x[31]: the stack pointer in use */
    uint64_t pc;               /* exact whenever C code outside the translator looks; see pc_base */
    uint64_t pc_base;          /* translator: virtual address of the code page that is running */
    uint64_t tmp[A64_TMPS];    /* translator scratch that lives across labels of one unit */
    uint64_t tpidr_el0, tpidrro_el0;
    /* The monitor of exclusive accesses: address (~0 none) and what was there. */
    uint64_t excl_addr, excl_value[2];
    uint32_t fl;               /* N Z C V in the IR's packed form with C inverted (a borrow): a64_nzcv() */
    uint32_t mxcsr;            /* exception flags, rounding, flush-to-zero as the host's FPU has them: a64_fpsr(), a64_fpcr() */
    uint32_t fpcr;             /* as written */
    uint32_t fpsr;             /* flags that were raised otherwise than in mxcsr; QC */
    A64Vec v[32];

    /* PSTATE other than NZCV */
    uint8_t el, spsel, pan, uao, il, ss;
    uint8_t halted;            /* WFI: until an interrupt is pending */
    uint8_t event;             /* the event register of WFE and SEV */
    uint8_t power;             /* A64Power */
    uint8_t tlb_flush_pending; /* somebody else wrote the state */
    uint8_t pauth;             /* A64_PAUTH_, of the CPU model */
    uint8_t step_begun;        /* software step: A64_STEP_, the instruction that PSTATE.SS allowed is done */
    /* translator, about what it has cached: addresses with tags, code of EL1 that is not global; the last tables of TTBR1 (+ 1), and which is it now */
    uint8_t flush_sent;        /* a TLB flush was sent to other CPUs: DSB waits */
    uint8_t tagged_seen, upper_nonglobal, root_now, next_root;
    uint8_t has_el2, has_el3;  /* of the machine */
    uint8_t conduit;           /* A64Conduit */
    uint64_t root[A64_ROOTS], root_world[A64_ROOTS];   /* world: what else EL1 and EL0 translate by, see mmu.c */
    uint16_t daif;             /* A64_PS_DAIF bits */

    /* banked by exception level; sp_el[of the one in use] is stale: a64_sp_* */
    uint64_t sp_el[A64_ELS], elr[A64_ELS], spsr[A64_ELS], esr[A64_ELS], far[A64_ELS], vbar[A64_ELS], sctlr[A64_ELS], actlr[A64_ELS];
    uint64_t tcr[A64_ELS], ttbr0[A64_ELS], ttbr1[A64_ELS], mair[A64_ELS], amair[A64_ELS], afsr0[A64_ELS], afsr1[A64_ELS], tpidr[A64_ELS];
    uint64_t cpacr, cptr[A64_ELS], contextidr, par, csselr;
    uint64_t hcr, hstr, hpfar, vtcr, vttbr, vpidr, vmpidr, mdcr[A64_ELS], scr, sder, rvbar, rmr;
    /* generic timer: what is programmed; counter and lines are the machine's */
    uint64_t cntfrq, cntkctl, cnthctl, cntvoff;
    A64Timer timer[A64_TIMERS];
    /* debug; translator: what watchpoints can hit at all, see a64_debug_sync. Performance monitors: registers without effect */
    uint64_t watch_low, watch_span;
    uint64_t mdscr, oslsr, osdlr, mdccint, dbgbvr[A64_BREAKPOINTS], dbgbcr[A64_BREAKPOINTS], dbgwvr[A64_BREAKPOINTS], dbgwcr[A64_BREAKPOINTS], dbgclaim;
    uint64_t pmcr, pmcnten, pmovs, pmsel, pmccntr, pmccfiltr, pmuserenr, pminten, disr, vdisr;
    uint64_t key[A64_KEYS][2]; /* pointer authentication: low, high half */
    uint64_t midr, mpidr;      /* of this CPU */

    uint32_t groups_valid, groups_dirty;
    /* The translator's own, guest-neutral (TcgEnv); zero on creation, saved by nobody. */
    _Alignas(64) uint8_t xlat[A64_XLAT_SIZE];
    A64Pac pacs[A64_PACS];
    /* Descriptors that led to code of EL1 that is not global; more than fit: A64_DESCS + 1. desc_at: by address, which are listed. */
    A64Desc desc[A64_DESCS];
    uint64_t desc_at[A64_DESCS];
    unsigned n_desc;
} A64State;

/* Reset into EL @el (ARM D1.12); pc is the board's to set. @index: which CPU, in MPIDR. */
void a64_state_reset(A64State *s, unsigned el, unsigned index);
/* Which levels exist stays (has_el2, has_el3): the highest of them. */
static inline unsigned a64_highest_el(const A64State *s) { return s->has_el3 ? A64_EL3 : s->has_el2 ? A64_EL2 : A64_EL1; }
/* A CPU fresh from reset as firmware would start a kernel on it: in the highest level that is not secure. */
void a64_state_nonsecure(A64State *s);
/* Security state (ARM D1.2.2); whether EL2 has a say in what EL1 and EL0 do (D1.2.5, without Secure EL2). */
static inline bool a64_secure(const A64State *s) { return s->has_el3 && (s->el == A64_EL3 || !(s->scr & A64_SCR_NS)); }
static inline bool a64_el2_rules(const A64State *s) { return s->has_el2 && (!s->has_el3 || s->scr & A64_SCR_NS); }
/* The state of a Linux program: EL0, FP and pointer authentication on with keys of @random. */
void a64_state_program(A64State *s, const uint64_t random[A64_KEYS][2]);
/* MPIDR_EL1 of CPU @index: clusters of 16, as GICv3 targets lists want. */
uint64_t a64_mpidr(unsigned index);

/* N Z C V as PSTATE has them (bits 31-28). */
uint32_t a64_nzcv(const A64State *s);
void a64_set_nzcv(A64State *s, uint32_t nzcv);
/* FPCR and FPSR as the guest reads them; the host's registers are not looked at (tcg_fpenv_get before). */
uint32_t a64_fpsr(const A64State *s);
void a64_set_fpsr(A64State *s, uint32_t v);
void a64_set_fpcr(A64State *s, uint32_t v);
/* All of PSTATE as SPSR_ELx takes it, and back; the second changes no stack pointer. */
uint64_t a64_pstate(const A64State *s);
/* Which sp_el[] x[A64_SP] stands for. Before EL or SPSel changes: save; after: load. */
static inline unsigned a64_sp_bank(const A64State *s) { return s->spsel ? s->el : A64_EL0; }
static inline void a64_sp_save(A64State *s) { s->sp_el[a64_sp_bank(s)] = s->x[A64_SP]; }
static inline void a64_sp_load(A64State *s) { s->x[A64_SP] = s->sp_el[a64_sp_bank(s)]; }
/* NZCV, EL, SPSel, DAIF, PAN, UAO, IL, SS of an SPSR value; the stack pointers are switched. The caller has checked that the EL exists. */
void a64_set_pstate(A64State *s, uint64_t spsr);

/* ID_AA64*_EL1 by CRm and op2 of S3_0_C0_CRm_op2 (what is not there reads 0); what Linux shows EL0 of it with @user (Linux
 * Documentation/arch/arm64/cpu-feature-registers.rst). */
uint64_t a64_id_register(const A64State *s, unsigned crm, unsigned op2, bool user);
enum { A64_CTR = 0x8444c004, A64_DCZID = 4 };          /* lines of 64 bytes; DC ZVA clears 64 */
enum { A64_ZVA_BYTES = 4 << A64_DCZID };
/* Linux's HWCAP bits of what a CPU announces: all that the translator has, or that of model.h's v8_0. */
uint64_t a64_hwcap(bool v8_0, bool pauth);

/* "x0".. "sp"; */
const char *a64_x_name(unsigned n);
