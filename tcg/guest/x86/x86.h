#pragma once
#include "cpu/x86/state.h"
#include "tcg/guest/x86/guest.h"
#include "tcg/tcg.h"

/* Private to tcg/guest/x86: slots, mode key, helpers, decoder context. */

/* IR register slots. 0..15 are the general registers in encoding order. */
enum {
    X86S_RAX, X86S_RCX, X86S_RDX, X86S_RBX, X86S_RSP, X86S_RBP, X86S_RSI, X86S_RDI,
    X86S_R8, X86S_R9, X86S_R10, X86S_R11, X86S_R12, X86S_R13, X86S_R14, X86S_R15,
    X86S_RIP, X86S_FL, X86S_RFLAGS_REST,
    X86S_TMP0, X86S_TMP1, X86S_TMP2, X86S_TMP3, X86S_TMP4,      /* live across labels within one instruction or unit */
    X86S_ES_BASE, X86S_CS_BASE, X86S_SS_BASE, X86S_DS_BASE, X86S_FS_BASE, X86S_GS_BASE,
    X86S_ES_LIMIT, X86S_CS_LIMIT, X86S_SS_LIMIT, X86S_DS_LIMIT, X86S_FS_LIMIT, X86S_GS_LIMIT,   /* I32 */
    X86S_ES_ATTR, X86S_CS_ATTR, X86S_SS_ATTR, X86S_DS_ATTR, X86S_FS_ATTR, X86S_GS_ATTR,         /* I32 */
    X86S_ES_SEL, X86S_CS_SEL, X86S_SS_SEL, X86S_DS_SEL, X86S_FS_SEL, X86S_GS_SEL,               /* I16 */
    X86S_MXCSR, X86S_FCW, X86S_FSW, X86S_FTW,                   /* I32 I16 I16 I8 */
    X86S_FOP, X86S_FIP, X86S_FDP,                               /* I16 I64 I64 */
    X86S_FCS,                                                   /* I16 */
    X86S_X87_LIVE, X86S_X87_DSEG, X86S_X87_LAST, X86S_X87_BASE, /* I8 I8 I32 I64 */
    X86S_INT_SHADOW,                                            /* I8 */
    X86S_MM0,                                                   /* 8 MMX registers: fpr[n].mant, V64 (physical = MMX number) */
    X86S_MMEXP0 = X86S_MM0 + 8,                                 /* their sign and exponent fields, I16: all ones after an MMX write */
    X86S_VEC0 = X86S_MMEXP0 + 8,                                /* 16 vector registers, V256 */
    X86_SLOTS = X86S_VEC0 + 16
};
extern const IrSlot x86_slots[X86_SLOTS];

/* Mode key: all that decoding and translation depend on besides the bytes. */
#define X86M_CODE16      (0u << 0)
#define X86M_CODE32      (1u << 0)
#define X86M_CODE64      (2u << 0)
#define X86M_CODE(m)     ((m) & 3)
#define X86M_SS32        (1u << 2)          /* stack pointer is ESP (not in 64-bit code) */
#define X86M_CPL(m)      ((m) >> 3 & 3)
#define X86M_CPL_SHIFT   3
#define X86M_PE          (1u << 5)
#define X86M_VM86        (1u << 6)
#define X86M_TF          (1u << 7)
#define X86M_FLAT        (1u << 8)          /* ES CS SS DS: base 0, limit 4 GiB - 1, ordinary present data/code: no checks (always set in 64-bit code) */
#define X86M_LMA         (1u << 9)
#define X86M_TS          (1u << 10)
#define X86M_EM          (1u << 11)
#define X86M_MP          (1u << 12)
#define X86M_OSFXSR      (1u << 13)
#define X86M_AVX         (1u << 14)         /* CR4.OSXSAVE and XCR0 has SSE and AVX */
#define X86M_SMAP        (1u << 15)         /* CR4.SMAP, CPL < 3, EFLAGS.AC = 0: explicit supervisor accesses to user pages fault */
#define X86M_SHADOW      (1u << 16)         /* interrupt shadow is on for the first instruction */
#define X86M_SMM         (1u << 17)
#define X86M_DR          (1u << 18)         /* DR7 has enabled breakpoints: every instruction is checked */
#define X86M_UMIP        (1u << 19)
#define X86M_TSD         (1u << 20)
#define X86M_IOPL_OK     (1u << 21)         /* CPL <= IOPL (always in real mode): CLI, STI, IN, OUT without asking */
#define X86M_FSGSBASE    (1u << 22)
#define X86M_AC          (1u << 23)         /* CPL 3, CR0.AM, EFLAGS.AC: alignment checks */
#define X86M_VME         (1u << 24)         /* CR4.VME in VM86, or CR4.PVI at CPL 3: virtual interrupt flag */
#define X86M_NE          (1u << 25)         /* CR0.NE */
#define X86M_PCE         (1u << 26)
#define X86M_OSXSAVE     (1u << 27)
#define X86M_SHSTK_RESERVED (1u << 28)
#define X86M_XM          (1u << 29)         /* MXCSR unmasks an exception: every instruction may trap in the host, see x86_translate */

#define X86M_XF          (1u << 30)         /* the x87 control word unmasks an exception: its instructions are helpers', never the host's own */

/* Translation regimes (insn.aux of LD/ST is regime + 1). */
enum { X86R_USER, X86R_KERNEL,    /* supervisor, SMAP enforced where the mode says so */
       X86R_KERNEL_USEROK,        /* supervisor with EFLAGS.AC = 1 */
       X86R_IMPLICIT };           /* supervisor access of the CPU itself: descriptor tables, TSS, also from CPL 3; SMAP enforced always */

uint64_t x86_mode_key(const void *state);

/* Helpers: one list. X86_HELPER(NAME, return IrType or IRT_NONE, TCG_H_ flags). Function: x86_h_NAME. */
enum {
#define X86_HELPER(name, ret, flags) X86H_##name,
#include "tcg/guest/x86/helpers.def"
#undef X86_HELPER
    X86_HELPERS
};
#define X86_HELPER(name, ret, flags) uint64_t x86_h_##name(void *state, uint64_t a, uint64_t b, uint64_t c, uint64_t d);
#include "tcg/guest/x86/helpers.def"
#undef X86_HELPER
extern const TcgHelper x86_helpers[X86_HELPERS];

static inline TcgCpu *x86_cpu(X86State *s) { return tcg_cpu_from_xlat(s->xlat); }

/* ---- exceptions (excp.c): all of these sync the pc, deliver through IDT/IVT and leave; they do not return ---- */
void x86_raise(X86State *s, unsigned vector) __attribute__((noreturn));
void x86_raise_err(X86State *s, unsigned vector, uint32_t error) __attribute__((noreturn));
/* Delivery proper, callable outside translated code too (deliver, vcpu_step). is_int: INT n/INT3/INTO (rip is the next instruction). May raise nested faults. */
void x86_deliver(X86State *s, const X86Event *ev, uint64_t next_rip);

/* ---- x87 in the host's x87 (help_x87.c) ---- */
void x86_x87_load(TcgCpu *cpu);
/* All x87 state into the struct: before anything there is read or written. */
void x86_x87_settle(X86State *s);
bool x86_x87_settle_cpu(TcgCpu *cpu);
void x86_x87_signal(TcgCpu *cpu, const void *fxsave);
/* The memory operand of opcode D8 + @op, modrm.reg @reg is written. */
static inline bool x86_x87_stores(unsigned op, unsigned reg)
{
    static const uint8_t stores[8] = { [1] = 0xcc, [3] = 0x8e, [5] = 0xce, [7] = 0xce };
    return stores[op] >> reg & 1;
}

void x86_translate(TcgUnitDesc *t);
bool x86_mmu(TcgCpu *cpu, uint64_t va, TcgAccess access, unsigned regime, TcgXlate *ret);
void x86_mmu_fault(TcgCpu *cpu, uint64_t va, TcgAccess access, unsigned regime) __attribute__((noreturn));
void x86_align_fault(TcgCpu *cpu, uint64_t va, TcgAccess access) __attribute__((noreturn));
void x86_fpe_fault(TcgCpu *cpu, int code) __attribute__((noreturn));
bool x86_deliver_events(TcgCpu *cpu);
int x86_disas(const uint8_t *code, unsigned avail, uint64_t mode, uint64_t pc, char *buf, int size);
