#pragma once
#include "tcg/guest/x86/x86.h"

/*
 * Private to the system level of the x86 guest: segmentation, event delivery, paging, control registers.
 *
 * Rule for all of it: the state does not change before the last thing that can fault. Tables and stacks are read and probed
 * first, then everything is committed. s->ev.injected is set while an event is being delivered: a fault then combines with it
 * (x86_raise), and the pc register is already exact.
 *
 * These files are compiled with -mgeneral-regs-only: guest vector registers may be live in the host's while they run.
 */

/* ev.injected.kind while a task switch not caused by an event is past its point of no return: the pc is exact, faults are the new task's. */
enum { X86_EVENT_TASK = 5 };

typedef struct X86Desc { uint32_t lo, hi; } X86Desc;

/* Sysreg numbers that are not MSRs. */

static inline bool x86_pe(const X86State *s) { return s->cr0 & X86_CR0_PE; }
static inline bool x86_vm86(const X86State *s) { return s->rflags_rest & X86_VM; }
static inline bool x86_lma(const X86State *s) { return s->msr.efer & X86_EFER_LMA; }
static inline bool x86_code64(const X86State *s) { return x86_lma(s) && (s->seg[X86_CS].attr & X86_SEG_L); }
/* Real mode or VM86: selectors are paragraphs. */
static inline bool x86_paragraphs(const X86State *s) { return !x86_pe(s) || x86_vm86(s); }
static inline unsigned x86_iopl(const X86State *s) { return s->rflags_rest >> 12 & 3; }
bool x86_is_intel(const X86State *s);

static inline bool x86_canonical(const X86State *s, uint64_t va)
{
    unsigned shift = s->cr4 & X86_CR4_LA57 ? 7 : 16;
    return (uint64_t)((int64_t)(va << shift) >> shift) == va;
}

/* Linear addresses outside long mode are 32 bits wide. */
static inline uint64_t x86_linear(const X86State *s, uint64_t va) { return x86_lma(s) ? va : (uint32_t)va; }

/* Regime of ordinary accesses at privilege @cpl, SMAP override as of now (SDM 3A 4.6.1). */
static inline unsigned x86_regime_at(const X86State *s, unsigned cpl)
{
    if (cpl == 3)
        return X86R_USER;
    return (s->cr4 & X86_CR4_SMAP) && !(s->rflags_rest & X86_AC && s->cpl < 3) ? X86R_KERNEL : X86R_KERNEL_USEROK;
}
static inline unsigned x86_regime_now(const X86State *s) { return x86_regime_at(s, s->cpl); }

/* CPU's own accesses to descriptor tables and task state segments. */
static inline uint64_t x86_sys_load(X86State *s, uint64_t va, unsigned log2)
{
    return tcg_load(x86_cpu(s), x86_linear(s, va), log2, X86R_IMPLICIT);
}

static inline void x86_sys_store(X86State *s, uint64_t va, uint64_t v, unsigned log2)
{
    tcg_store(x86_cpu(s), x86_linear(s, va), v, log2, X86R_IMPLICIT);
}

/* ---- modes and spaces (isa.c) ---- */
/* The state came from elsewhere (reset, other engine): space, mode and mappings anew. */
void x86_space_sync(X86State *s);
static inline void x86_mode_changed(X86State *s) { tcg_mode_changed(x86_cpu(s)); }
/* IF, the NMI mask or TPR may have opened: have the run loop look. */
void x86_irq_recheck(X86State *s);
/* Something is to be delivered before the next instruction, an interrupt shadow apart. */
bool x86_irq_due(X86State *s);
uint64_t x86_linear_pc(const void *state);
/* syscall.c: TcgCallbacks.syscall, with RIP behind the instruction. Returns where to go on. */
uint64_t x86_outside_call(X86State *s, unsigned kind);

/* ---- segmentation (seg.c) ---- */
static inline uint32_t x86_desc_base(X86Desc d) { return d.lo >> 16 | (d.hi & 0xff) << 16 | (d.hi & 0xff000000); }
static inline uint32_t x86_desc_limit(X86Desc d)
{
    uint32_t l = (d.lo & 0xffff) | (d.hi & 0xf0000);
    return d.hi & 1u << 23 ? l << 12 | 0xfff : l;
}
static inline uint32_t x86_desc_attr(X86Desc d) { return d.hi >> 8 & 0xf0ff; }
static inline unsigned x86_attr_dpl(uint32_t attr) { return attr >> 5 & 3; }
static inline bool x86_attr_code(uint32_t attr) { return (attr & 0x18) == 0x18; }
static inline bool x86_attr_conforming(uint32_t attr) { return (attr & 0x1c) == 0x1c; }
static inline bool x86_attr_wdata(uint32_t attr) { return (attr & 0x1a) == 0x12; }

/* Where the descriptor of @sel is; false: null LDT, or beyond the limit. @len 8 or 16. */
bool x86_desc_where(const X86State *s, uint16_t sel, unsigned len, uint64_t *ret_va);
/* Read it; beyond the limit raises @vector with the selector (and @ext). */
X86Desc x86_desc_get(X86State *s, uint16_t sel, unsigned vector, unsigned ext);
/* Set its accessed bit (or @bits of the type field) in memory, atomically. */
void x86_desc_mark(X86State *s, uint16_t sel, uint32_t bits);
void x86_desc_unmark(X86State *s, uint16_t sel, uint32_t bits);
X86Seg x86_seg_of(uint16_t sel, X86Desc d);
void x86_seg_paragraph(X86State *s, unsigned seg, uint16_t sel);
X86Seg x86_seg_null(uint16_t sel, unsigned dpl);
/* Complete load of a data or stack segment with all checks of MOV/POP/LxS. */
void x86_seg_load(X86State *s, unsigned seg, uint16_t sel);
/* After a return to an outer level: data segments the new level may not see become null (SDM 2A RET). */
void x86_seg_drop_inner(X86State *s, unsigned new_cpl);
/* Checked, marked SS for privilege @cpl from selector @sel; faults are #TS or #GP (@vector) and #SS (not present). */
X86Seg x86_seg_get_ss(X86State *s, uint16_t sel, unsigned cpl, unsigned vector, unsigned ext);
bool x86_seg_in_limit(const X86Seg *g, uint64_t off, unsigned size);

/* ---- stacks: collect pushes, check them all, then write (excp.c) ---- */
enum { X86_STACK_MAX = 48 };
typedef struct X86Stack {
    uint64_t base, sp, mask;
    uint32_t limit, attr;
    unsigned regime, size;     /* bytes a push or pop */
    bool flat64;               /* no limit, canonical check */
    uint32_t error;            /* of the #SS a bad access raises */
    unsigned n;
    uint64_t val[X86_STACK_MAX];
} X86Stack;
/* Stack as SS:RSP is now, at the current privilege. */
X86Stack x86_stack_now(const X86State *s, unsigned size);
/* A new one in segment @ss; @flat64: 64-bit rules. */
X86Stack x86_stack_new(const X86State *s, const X86Seg *ss, uint64_t sp, unsigned size, unsigned cpl, bool flat64);
void x86_stack_push(X86Stack *st, uint64_t v);
void x86_stack_probe(X86State *s, X86Stack *st);
/* Write what was pushed and move st->sp. Faults before the first write. */
void x86_stack_commit(X86State *s, X86Stack *st);
uint64_t x86_stack_pop(X86State *s, X86Stack *st);
/* RSP = st->sp under the stack's width. */
void x86_stack_set_sp(X86State *s, const X86Stack *st);

/* ---- events (excp.c) ---- */
void x86_raise_event(X86State *s, X86Event ev) __attribute__((noreturn));
void x86_raise_gp0(X86State *s) __attribute__((noreturn));
static inline void x86_need_cpl0(X86State *s)
{
    if (s->cpl)
        x86_raise_gp0(s);
}
/* EXT bit of error codes found now: 1 while something else than INT n is being delivered. */
unsigned x86_ext(const X86State *s);

/* ---- far transfers (far.c), tasks (task.c) ---- */
/* Change CS; checks done by the caller. @rip is committed too; CPL becomes the selector's RPL. */
void x86_cs_commit(X86State *s, X86Seg cs, uint64_t rip);
/* @rip fits the code segment (limit, or canonical for 64-bit code), else #GP(@error). */
void x86_cs_check_rip(X86State *s, const X86Seg *cs, uint64_t rip, uint32_t error);
/* Checked code segment @sel of a return (IRET, RET far); its RPL is the new privilege. */
X86Seg x86_return_cs(X86State *s, uint16_t sel);
/* SS popped on the way to privilege @cpl and code segment @cs; a null one is for 64-bit code in rings 0 to 2. */
X86Seg x86_return_ss(X86State *s, uint16_t sel, const X86Seg *cs, unsigned cpl);
typedef enum X86TaskCause { X86_TASK_JMP, X86_TASK_CALL, X86_TASK_IRET, X86_TASK_EVENT } X86TaskCause;
/* Switch to the task whose TSS (not gate) selector is @sel. @next_rip is saved as the old task's EIP. @has_error pushes @error. */
void x86_task_switch(X86State *s, uint16_t sel, X86TaskCause cause, uint64_t next_rip, bool has_error, uint32_t error);

/* ---- control registers ---- */
void x86_set_cr0(X86State *s, uint64_t v);
void x86_set_cr3(X86State *s, uint64_t v);
void x86_set_cr4(X86State *s, uint64_t v);
/* PAE paging: load the PDPTE registers for @cr3; false: reserved bits set or not readable, nothing changed. */
bool x86_load_pdptrs(X86State *s, uint64_t cr3);
/* FLAGS write of POPF and IRET: which bits may change at the current CPL and IOPL. */
uint32_t x86_flags_writable(const X86State *s, unsigned size);

/* Bits of EFER that the CPU model has (msr.c). */
uint64_t x86_efer_mask(const X86State *s);
/* ---- SMM (smm.c) ---- */
void x86_smm_enter(X86State *s);

/* ---- debug (dr.c) ---- */
/* Exec breakpoint at linear @pc with RF clear: DR6 bits, 0 = none. */
uint64_t x86_dr_match(const X86State *s, uint64_t va, unsigned len, TcgAccess access, bool io);
static inline bool x86_dr_enabled(const X86State *s) { return s->dr[7] & 0xff; }
/* A helper's own access of @len bytes at @va, which translated code did not announce: a data breakpoint there is raised when the instruction is done. */
static inline void x86_dr_note(X86State *s, uint64_t va, unsigned len, bool write)
{
    if (x86_dr_enabled(s))
        s->dr_pending |= x86_dr_match(s, va, len, write ? TCG_WRITE : TCG_READ, false);
}

uint64_t x86_tsc(X86State *s);
uint32_t x86_tsc_aux(X86State *s);
/* MSR access; false = #GP(0). */
bool x86_msr_get(X86State *s, uint32_t index, uint64_t *ret);
bool x86_msr_set(X86State *s, uint32_t index, uint64_t v);
/* An I/O access at the current privilege: #GP(0) unless IOPL or the TSS's bitmap allows it. */
void x86_io_check(X86State *s, uint16_t port, unsigned size);
