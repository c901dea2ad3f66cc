#pragma once
#include "cpu/aarch64/state.h"
#include "tcg/tcg.h"

/* The AArch64 guest as its own files see it. */

/* Register slots of the IR (slots.c): slot n is x[n] for n = 0..30, 31 the stack pointer in use. */
enum { A64S_X0 = 0, A64S_SP = 31, A64S_PC, A64S_FL, A64S_TMP0, A64S_TPIDR = A64S_TMP0 + A64_TMPS, A64S_TPIDRRO, A64S_EXCL_ADDR, A64S_EXCL_VALUE,
       A64S_EXCL_VALUE2, A64S_EVENT, A64S_FPSR, A64S_FPCR, A64S_V0,
       /* of EL1, what kernels read and write all the time */
       A64S_SP_EL0 = A64S_V0 + 32, A64S_TPIDR_EL1, A64S_ELR_EL1, A64S_SPSR_EL1, A64S_ESR_EL1, A64S_FAR_EL1, A64S_TTBR0_EL1, A64S_TTBR1_EL1, A64S_DAIF, A64S_FLUSH_SENT,
       A64S_SS, A64S_STEP_BEGUN, A64S_MDSCR, A64S_WATCH_LOW, A64S_WATCH_SPAN,
       A64S_SLOTS };
extern const IrSlot a64_slots[A64S_SLOTS];

/* Mode key: all that decoding and translation depend on. */
#define A64M_EL(m)       ((unsigned)(m) & 3)
#define A64M_REGIME(m)   ((unsigned)(m) >> 2 & 3)
#define A64M_FP          (1u << 4)             /* FP and AdvSIMD are not trapped */
#define A64M_ALIGN       (1u << 5)             /* SCTLR.A: all misaligned accesses fault */
#define A64M_RMODE(m)    ((unsigned)(m) >> 6 & 3)      /* FPCR: rounding, FZ, DN, AHP, FZ16 */
#define A64M_RMODE_SHIFT 6
#define A64M_FZ          (1u << 8)
#define A64M_DN          (1u << 9)
#define A64M_AHP         (1u << 10)
#define A64M_FZ16        (1u << 11)
#define A64M_PAUTH(m, k) ((unsigned)(m) >> (12 + (k)) & 1)     /* by A64_KEY_IA.. _DB: SCTLR.EnIA... */
#define A64M_PAUTH_SHIFT 12
#define A64M_UAO         (1u << 16)            /* LDTR and STTR are LDR and STR */
#define A64M_STEP        (1u << 17)            /* software step: an instruction at a time, the run loop looks after each */
#define A64M_IL          (1u << 18)            /* PSTATE.IL: every instruction faults */
#define A64M_SPSEL       (1u << 19)
/* From EL1 on: whether the MMU is on, and which table is TTBR1's: instruction addresses mean something else */
#define A64M_FETCH(m)    ((unsigned)(m) >> 20 & 7)
/* EL1: EL2 may want to see accesses to registers that are a slot or a constant otherwise */
#define A64M_HYP         (1u << 27)
#define A64M_FETCH_SHIFT 20
#define A64M_SP_CHECK    (1u << 23)            /* SCTLR.SA, SA0: the stack pointer is a multiple of 16 when it is a base; and it is not */
#define A64M_SP_BAD      (1u << 24)
#define A64M_STEP_DUE    (1u << 25)            /* the step exception comes before the instruction */
#define A64M_WATCH       (1u << 26)            /* there are watchpoints for what is done here */
/* Breakpoints: by a64_break_hash of an instruction's offset in its page, where to ask. */
#define A64M_BREAKS_SHIFT 32
#define A64M_BREAKS(m)   ((unsigned)((m) >> A64M_BREAKS_SHIFT) & 0xff)
static inline unsigned a64_break_hash(uint64_t off) { return (unsigned)(off >> 2 ^ off >> 5) & 7; }
/* debug_data's kinds of access: load, store, both; with EL0's rights; that must be aligned. */
enum { A64_WATCH_LOAD = 1, A64_WATCH_STORE = 2, A64_WATCH_BOTH = 3, A64_WATCH_UNPRIV = 1 << 8, A64_WATCH_ALIGN = 1 << 9 };
/* Translation regimes: whose rights data accesses have. HIGH: the tables of EL2 or EL3. */
enum { A64R_USER, A64R_KERNEL, A64R_KERNEL_PAN, A64R_HIGH };

uint64_t a64_mode_key(const void *state);

/* Helpers: one list a subject. A64_HELPER(NAME, return type, TCG_H_ flags). Function: a64_h_NAME. */
enum {
#define A64_HELPER(name, ret, flags) A64H_##name,
#include "tcg/guest/aarch64/helpers.def"
#include "tcg/guest/aarch64/helpers_simd.def"
#include "tcg/guest/aarch64/helpers_sys.def"
#undef A64_HELPER
    A64_HELPERS
};
#define A64_HELPER(name, ret, flags) uint64_t a64_h_##name(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d);
#include "tcg/guest/aarch64/helpers.def"
#include "tcg/guest/aarch64/helpers_simd.def"
#include "tcg/guest/aarch64/helpers_sys.def"
#undef A64_HELPER
extern const TcgHelper a64_helpers[A64_HELPERS];

static inline TcgCpu *a64_cpu(A64State *s) { return tcg_cpu_from_xlat(s->xlat); }

/* exception.c. From within an instruction: an exception of class A64_EC_@ec with that syndrome and FAR, at that instruction; does not return. _to: to EL @to,
 * which is not below the current one, whatever registers say. */
void a64_raise(A64State *s, unsigned ec, uint32_t iss, uint64_t far) __attribute__((noreturn));
void a64_raise_to(A64State *s, unsigned to, unsigned ec, uint32_t iss, uint64_t far) __attribute__((noreturn));
bool a64_deliver(TcgCpu *cpu);
/* ISR_EL1 as the current level reads it. */
uint64_t a64_interrupt_status(A64State *s);
/* The same between two instructions: state->pc is where it returns to, the caller leaves. */
void a64_take(A64State *s, unsigned ec, uint32_t iss);
/* debug.c. Bits of the mode key; after debug registers were written; PSTATE.SS behind a return by that SPSR; the step exception is taken (a64_take). */
uint64_t a64_debug_mode(const A64State *s);
void a64_debug_sync(A64State *s);
/* The level that debug exceptions of EL1 and EL0 are taken to. */
unsigned a64_debug_target(const A64State *s);
bool a64_step_after_eret(const A64State *s, uint64_t spsr);
void a64_take_step(A64State *s);
/* Interrupts may be unmasked now: the run loop shall look if one waits. */
void a64_recheck(A64State *s);
void a64_align_fault(TcgCpu *cpu, uint64_t va, TcgAccess access) __attribute__((noreturn));
/* mmu.c */
bool a64_mmu(TcgCpu *cpu, uint64_t va, TcgAccess access, unsigned regime, TcgXlate *ret);
void a64_mmu_fault(TcgCpu *cpu, uint64_t va, TcgAccess access, unsigned regime) __attribute__((noreturn));

TcgFlush a64_flush_as(TcgCpu *cpu, TcgFlush what);
/* Address space and root of TTBR0, TTBR1, TCR after one of them or everything was written. @flush: nothing cached holds. */
void a64_space_sync(A64State *s, bool flush);
/* AT: result in PAR_EL1. */
typedef struct A64At { unsigned el; bool user, write, pan, both; } A64At;  /* regime of EL1 and EL0, EL2 or EL3; rights; PSTATE.PAN counts; both stages */
void a64_at(A64State *s, uint64_t va, A64At how);
/* sysreg.c. Line of cpu/aarch64/sysreg.def of register @n, -1 if there is none. */
int a64_sysreg_find(uint32_t n);
/* ID_AA64*_EL1 as EL1 reads it: by CPU model. */
uint64_t a64_machine_id(const A64State *s, unsigned crm, unsigned op2);
/* What lies outside the CPU (cpu/aarch64/sysreg.h); 0 where there is nothing. */
uint64_t a64_machine_read(A64State *s, uint32_t reg);
void a64_machine_write(A64State *s, uint32_t reg, uint64_t v);

/* isa.c. Regime of data accesses now. */
unsigned a64_isa_regime(const A64State *s);

/* pauth.c. Keys as A64_KEY_; the cipher: ComputePAC of the shared pseudocode. */
uint64_t a64_qarma5(uint64_t data, uint64_t modifier, uint64_t key0, uint64_t key1);
/* tcg/pair/aarch64_HOST: the same by the host's vector instructions, which any caller may use (false: it has them not); and those alone. */
bool a64_qarma5_host(uint64_t data, uint64_t modifier, uint64_t key0, uint64_t key1, uint64_t *ret);
uint64_t a64_qarma5_vector(uint64_t data, uint64_t modifier, uint64_t key0, uint64_t key1);
uint64_t a64_pauth_sign(A64State *s, uint64_t ptr, uint64_t modifier, unsigned key);
uint64_t a64_pauth_check(A64State *s, uint64_t ptr, uint64_t modifier, unsigned key);
uint64_t a64_pauth_strip(const A64State *s, uint64_t ptr, bool data);

void a64_translate(TcgUnitDesc *t);
int a64_disas(const uint8_t *code, unsigned avail, uint64_t mode, uint64_t pc, char *buf, int size);
