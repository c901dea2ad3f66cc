#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Architectural state of one x86 vCPU. Both engines, the gdbstub, snapshots and the monitor use this struct and nothing
 * else. The translator runs on it in place: hot registers first, its private area last (guest-neutral code finds it
 * through the offset in its GuestIsa descriptor).
 *
 * Owner: the Vcpu. Only the vCPU's own thread, or anyone while the vCPU is parked, may touch it.
 */

enum { X86_RAX, X86_RCX, X86_RDX, X86_RBX, X86_RSP, X86_RBP, X86_RSI, X86_RDI };
enum { X86_ES, X86_CS, X86_SS, X86_DS, X86_FS, X86_GS, X86_LDTR, X86_TR, X86_SEGS };

/* Hidden part of a segment register. attr is the descriptor's second dword, bits 8-23, shifted down by 8 (SDM 3A 3.4.5):
 * type 3:0, S 4, DPL 6:5, P 7, AVL 12, L 13, DB 14, G 15; bit 16 is ours: unusable (null selector loaded).
 * limit is in bytes, already scaled. */
typedef struct X86Seg {
    uint64_t base;
    uint32_t limit;
    uint16_t sel;
    uint16_t pad;
    uint32_t attr;
    uint32_t pad2;
} X86Seg;
#define X86_SEG_TYPE(s) ((s)->attr & 0xf)
#define X86_SEG_S        (1u << 4)
#define X86_SEG_DPL(s)  ((s)->attr >> 5 & 3)
#define X86_SEG_P        (1u << 7)
#define X86_SEG_AVL      (1u << 12)
#define X86_SEG_L        (1u << 13)
#define X86_SEG_DB       (1u << 14)
#define X86_SEG_G        (1u << 15)
#define X86_SEG_UNUSABLE (1u << 16)

typedef struct X86Dtr { uint64_t base; uint32_t limit; uint32_t pad; } X86Dtr;
/* One vector register, room for 512 bits: bytes in memory order. */
typedef union X86Vec {
    uint8_t b[64]; uint16_t w[32]; uint32_t d[16]; uint64_t q[8]; float f[16]; double g[8];
} __attribute__((aligned(64))) X86Vec;
/* One x87 register by *physical* number (not relative to TOP): 64-bit significand, sign and exponent. */
typedef struct X86Fpr { uint64_t mant; uint16_t exp; uint16_t pad[3]; } __attribute__((aligned(16))) X86Fpr;

/* RFLAGS */
#define X86_CF 0x1u
#define X86_PF 0x4u
#define X86_AF 0x10u
#define X86_ZF 0x40u
#define X86_SF 0x80u
#define X86_TF 0x100u
#define X86_IF 0x200u
#define X86_DF 0x400u
#define X86_OF 0x800u
#define X86_IOPL 0x3000u
#define X86_NT 0x4000u
#define X86_RF 0x10000u
#define X86_VM 0x20000u
#define X86_AC 0x40000u
#define X86_VIF 0x80000u
#define X86_VIP 0x100000u
#define X86_ID 0x200000u
#define X86_ARITH (X86_CF | X86_PF | X86_AF | X86_ZF | X86_SF | X86_OF)

/* CR0, CR4, EFER bits used by both engines (SDM 3A 2.5, 2.2.1) */
#define X86_CR0_PE (1u << 0)
#define X86_CR0_MP (1u << 1)
#define X86_CR0_EM (1u << 2)
#define X86_CR0_TS (1u << 3)
#define X86_CR0_ET (1u << 4)
#define X86_CR0_NE (1u << 5)
#define X86_CR0_WP (1u << 16)
#define X86_CR0_AM (1u << 18)
#define X86_CR0_NW (1u << 29)
#define X86_CR0_CD (1u << 30)
#define X86_CR0_PG (1u << 31)
#define X86_CR4_VME (1u << 0)
#define X86_CR4_PVI (1u << 1)
#define X86_CR4_TSD (1u << 2)
#define X86_CR4_DE (1u << 3)
#define X86_CR4_PSE (1u << 4)
#define X86_CR4_PAE (1u << 5)
#define X86_CR4_MCE (1u << 6)
#define X86_CR4_PGE (1u << 7)
#define X86_CR4_PCE (1u << 8)
#define X86_CR4_OSFXSR (1u << 9)
#define X86_CR4_OSXMMEXCPT (1u << 10)
#define X86_CR4_UMIP (1u << 11)
#define X86_CR4_LA57 (1u << 12)
#define X86_CR4_FSGSBASE (1u << 16)
#define X86_CR4_PCIDE (1u << 17)
#define X86_CR4_OSXSAVE (1u << 18)
#define X86_CR4_SMEP (1u << 20)
#define X86_CR4_SMAP (1u << 21)
#define X86_CR4_PKE (1u << 22)
#define X86_CR4_PKS (1u << 24)
#define X86_EFER_SCE (1u << 0)
#define X86_EFER_LME (1u << 8)
#define X86_EFER_LMA (1u << 10)
#define X86_EFER_NXE (1u << 11)

/* Exception vectors (SDM 3A 6.3) */
enum { X86_DE, X86_DB, X86_NMI, X86_BP, X86_OF_EXC, X86_BR, X86_UD, X86_NM, X86_DF_EXC, X86_TS = 10, X86_NP, X86_SS_EXC,
       X86_GP, X86_PF_EXC, X86_MF = 16, X86_AC_EXC, X86_MC, X86_XM, X86_VE, X86_CP };

typedef struct X86Mtrr { uint64_t fixed[11], base[8], mask[8], def_type; } X86Mtrr;

/* MSRs that have meaning here; what KVM knows beyond these travels in extra_msr. */
typedef struct X86Msrs {
    uint64_t efer, star, lstar, cstar, sfmask, kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t pat, tsc_aux, apic_base, misc_enable, xss, spec_ctrl, pkrs, feature_control;
    uint64_t mcg_status, mcg_ctl, bios_sign_id, smi_count, debugctl, smbase;
    uint64_t kvm_system_time, kvm_wall_clock, kvm_poll_control, kvm_steal_time, kvm_async_pf_en, kvm_pv_eoi;
    X86Mtrr mtrr;
} X86Msrs;

typedef struct X86ExtraMsr { uint32_t index; uint32_t pad; uint64_t value; } X86ExtraMsr;
enum { X86_EXTRA_MSRS = 64 };

/* mp_state */
enum { X86_MP_RUNNABLE, X86_MP_UNINIT, X86_MP_INIT_RECEIVED, X86_MP_HALTED, X86_MP_SIPI_RECEIVED };
/* int_shadow */
#define X86_SHADOW_STI 1
#define X86_SHADOW_MOV_SS 2

/* An event on its way in. "injected": delivery had begun (it must be delivered again after a hand-over); "pending": due before the next instruction. */
enum { X86_EVENT_NONE, X86_EVENT_EXCEPTION, X86_EVENT_INTR, X86_EVENT_NMI, X86_EVENT_SOFT };
typedef struct X86Event {
    uint8_t kind, vector, has_error, has_payload, soft_len, pad[3];
    uint32_t error, pad2;
    uint64_t payload;          /* CR2 for #PF, DR6 bits for #DB */
} X86Event;

typedef struct X86Events {
    X86Event injected, pending;
    uint8_t nmi_pending, nmi_masked, int_shadow, smm, smm_pending, init_pending, sipi_pending, sipi_vector;
    uint8_t mp_state, triple_fault, tlb_flush_pending, smm_inside_nmi;
} X86Events;

/* Groups an engine may fetch and write back separately. */
enum { X86_GROUP_GPR = 1, X86_GROUP_SEG = 2, X86_GROUP_SYS = 4, X86_GROUP_XSAVE = 8, X86_GROUP_MSR = 16, X86_GROUP_DEBUG = 32,
       X86_GROUP_EVENTS = 64, X86_GROUP_APIC = 128, X86_GROUP_CLOCK = 256, X86_GROUP_ALL = 511 };

enum { X86_XLAT_SIZE = 24576, X86_XSAVE_EXTRA = 4096 };

typedef struct X86State {
    /* hot: translated code addresses these with 8-bit displacements */
    uint64_t gpr[16];
    uint64_t rip;              /* exact whenever C code outside the translator looks; see pc_base */
    uint64_t pc_base;          /* translator: virtual address of the code page that is running */
    uint32_t cc;               /* translator's packed arithmetic flags (tcg/ir.h); x86_rflags() joins them */
    uint32_t rflags_rest;      /* RFLAGS without the six arithmetic flags; bit 1 is set */
    uint64_t tmp[5];           /* translator scratch that lives across labels of one unit */
    X86Seg seg[X86_SEGS];
    X86Dtr gdt, idt;

    uint64_t cr0, cr2, cr3, cr4, cr8, xcr0;
    uint32_t mxcsr, pkru;
    uint16_t fcw, fsw;         /* fsw holds TOP */
    uint8_t ftw, pad_fp;       /* abridged: bit n set = physical register n in use */
    uint16_t fop;
    uint64_t fip, fdp;
    uint16_t fcs, fds;
    uint32_t cpl;              /* cache of SS.DPL (0 in real mode, 3 in VM86) */
    X86Fpr fpr[8];
    X86Vec vec[32];
    uint64_t kmask[8];

    X86Msrs msr;
    uint64_t dr[8];
    X86Events ev;
    uint64_t pdptr[4];         /* PAE paging: loaded with CR3 (SDM 3A 4.4.1) */
    int64_t tsc_offset;        /* guest TSC = host TSC + offset */
    uint64_t tsc_adjust, tsc_deadline;
    uint32_t n_extra_msr;
    X86ExtraMsr extra_msr[X86_EXTRA_MSRS];
    /* XSAVE components tcg does not know, raw, standard format from offset 832 on; xstate_extra says which are valid. */
    uint64_t xstate_extra;
    uint8_t xsave_extra[X86_XSAVE_EXTRA];

    /* x87 of translated code (tcg/guest/x86/x87.c): its registers are in the host's; the instruction done last, folded into fip, fop, fds */
    uint8_t x87_live, x87_dseg;/* dseg: segment + 1 of its memory operand, 0 = none to be noted */
    uint32_t x87_last;         /* page offset | fop << 16 | 1 << 31, 0 = nothing */
    uint64_t x87_base;         /* RIP that page offset counts from */
    uint64_t dr_pending;       /* DR6 bits of data and I/O breakpoints that the running instruction hit */
    const struct X86CpuModel *model;   /* cpu/x86/cpuid.h; not owned, set once on creation */

    uint32_t groups_valid, groups_dirty;
    /* The translator's own, guest-neutral (TcgEnv); zero on creation, saved by nobody. */
    _Alignas(64) uint8_t xlat[X86_XLAT_SIZE];
} X86State;

/* The packed flags of tcg/ir.h: AH as LAHF leaves it in the high byte, SETO in bit 0. Repeated here because cpu/ may not
 * include tcg/; tcg/guest/x86 has a static assertion that they are the same. */
#define X86_CC_V 0x1u
#define X86_CC_C 0x100u
#define X86_CC_P 0x400u
#define X86_CC_A 0x1000u
#define X86_CC_Z 0x4000u
#define X86_CC_S 0x8000u

static inline uint64_t x86_rflags(const X86State *s)
{
    return s->rflags_rest | (s->cc >> 8 & (X86_CF | X86_PF | X86_AF | X86_ZF | X86_SF)) | (s->cc & X86_CC_V ? X86_OF : 0);
}

static inline void x86_set_rflags(X86State *s, uint64_t rflags)
{
    s->rflags_rest = (uint32_t)((rflags & ~(uint64_t)X86_ARITH) | 2);
    s->cc = (uint32_t)((rflags & (X86_CF | X86_PF | X86_AF | X86_ZF | X86_SF)) << 8 | (rflags & X86_OF ? X86_CC_V : 0));
}

/* Power-on and INIT state (SDM 3A 9.1.1, table 9-1). @init keeps x87/vector registers, MSRs and CR0.CD/NW as INIT does.
 * @bsp: runs at once instead of waiting for SIPI. */
void x86_state_reset(X86State *s, bool init, bool bsp);
