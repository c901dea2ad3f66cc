#pragma once
#include "tcg/guest/x86/decode.h"
#include "tcg/guest/x86/x86.h"

/*
 * What emitters (x86_e_NAME, named in opcodes.def) work with. An emitter reads operands (x86_get), computes, and writes
 * registers last: everything that may fault comes before the first put (tcg/ir.h). It sees only decoded, valid
 * instructions; privilege and feature-enable checks that depend on the mode key are its own.
 */

/* Constants of the emitter column. */
enum { A_ADD, A_OR, A_ADC, A_SBB, A_AND, A_SUB, A_XOR, A_CMP };
enum { S_ROL, S_ROR, S_RCL, S_RCR, S_SHL, S_SHR, S_SAL, S_SAR };
enum { B_DAA, B_DAS, B_AAA, B_AAS };
enum { F_CMC, F_CLC, F_STC, F_CLD, F_STD };
enum { BT_BT, BT_BTS, BT_BTR, BT_BTC };
enum { FE_LFENCE, FE_MFENCE, FE_SFENCE };

/* What sys_get reads (system slots that have no IR slot). */
enum { X86_SYS_LDTR, X86_SYS_TR, X86_SYS_GDT_BASE, X86_SYS_GDT_LIMIT, X86_SYS_IDT_BASE, X86_SYS_IDT_LIMIT };

enum { X86_MAX_COLD = 160 };
typedef struct X86Cold {
    uint16_t label;
    uint8_t kind;              /* X86_COLD_ */
    uint8_t vector;
    int64_t off;               /* page offset of the instruction */
    int64_t to;                /* GOTO: where */
} X86Cold;
enum { X86_COLD_RAISE, X86_COLD_RAISE_ERR0, X86_COLD_SLOW, X86_COLD_GOTO, X86_COLD_CROSSED, X86_COLD_RET, X86_COLD_FETCH /* SLOW, and x86_check_fetch first */ };

/* Regions: calls that were followed, whose return is too. ret: the address pushed, while values of @epoch live. */
enum { X86_MAX_CALLS = 12 };
typedef struct X86Called { int64_t next; IrVal ret; unsigned epoch; } X86Called;

/* Where forward branches over some instructions of the unit arrive. */
enum { X86_MAX_JOIN = 4 };
typedef struct X86Join { int64_t off; unsigned label; } X86Join;

#define X86_NO_FOLLOW INT64_MIN
typedef struct X86Tr {
    TcgUnitDesc *t;
    IrUnit *u;
    uint64_t mode;
    X86Insn in;
    int64_t off, next;         /* page offsets of this instruction and the one behind */
    bool end;                  /* a leaving operation was emitted */
    bool hold;                 /* the next instruction belongs into this unit: no interrupt before it */
    TcgWay go;                 /* can_go's answer */
    int64_t follow;            /* region: the translation goes on at this page offset; X86_NO_FOLLOW: behind this instruction */
    IrVal fetch_low, fetch_high; /* code with segments: what is compared with CS's limit for the whole unit (x86_check_unit), 0: not done */
    int64_t lowest, highest;   /* page offsets that it jumps to */
    bool slow;                 /* cold copy of an instruction: segment checks by helper */
    uint8_t mem_flags;         /* IrMem bits for every access (alignment checks at CPL 3) */
    bool mmx_ready;            /* x87 state is known to be in the slots (MMX works there) */
    bool x87_based;            /* X87_BASE and FCS are this unit's */
    uint8_t x87_seg;           /* X87_DSEG as this unit left it, 0 = not yet */
    IrVal lin;                 /* linear address of the modrm operand once known, 0 after labels */
    unsigned lin_write;        /* it was checked for writing */
    unsigned epoch;            /* labels so far */
    unsigned n_calls;
    X86Called called[X86_MAX_CALLS];
    bool skips;                /* short forward branches stay in the unit */
    unsigned n_join;
    X86Join join[X86_MAX_JOIN];
    unsigned n_cold;
    X86Cold cold[X86_MAX_COLD];
} X86Tr;

static inline bool x86_64bit(const X86Tr *t) { return X86M_CODE(t->mode) == X86M_CODE64; }
static inline bool x86_flat(const X86Tr *t) { return t->mode & X86M_FLAT; }
static inline unsigned x86_cpl(const X86Tr *t) { return X86M_CPL(t->mode); }
/* Protected mode proper: segments have descriptors. */
static inline bool x86_prot(const X86Tr *t) { return (t->mode & (X86M_PE | X86M_VM86)) == X86M_PE; }
static inline IrType x86_type(unsigned log2) { return (IrType)(IRT_I8 + log2); }

/* ---- operands ---- */
/* log2 of the size of operand @n; immediates of class z count as extended to the operand size. */
unsigned x86_osz(const X86Tr *t, unsigned n);
static inline IrType x86_otype(const X86Tr *t, unsigned n) { return x86_type(x86_osz(t, n)); }
static inline bool x86_is_mem(const X86Tr *t, unsigned n) { return x86_opnd_is_mem(&t->in, n); }
/* General register @r as encoded (AH..BH where there is no REX and log2 == 0). */
IrVal x86_reg_get(X86Tr *t, unsigned log2, unsigned r);
void x86_reg_put(X86Tr *t, unsigned log2, unsigned r, IrVal v);
/* By number 0..15, never AH..BH; low @log2 part, put zero-extends from 32 bits. */
IrVal x86_gpr(X86Tr *t, unsigned log2, unsigned r);
void x86_gpr_put(X86Tr *t, unsigned log2, unsigned r, IrVal v);
/* Register number an operand of kind E G R Z B REG names. */
unsigned x86_opnd_reg(const X86Tr *t, unsigned n);
/* Integer operand values, of type x86_otype(t, n). get_rmw: memory is checked for writing, x86_put follows. */
IrVal x86_get(X86Tr *t, unsigned n);
IrVal x86_get_rmw(X86Tr *t, unsigned n);
void x86_put(X86Tr *t, unsigned n, IrVal v);

/* ---- memory ---- */
/* Offset of the modrm operand, I64, wrapped to the address size, without segment base. */
IrVal x86_ea(X86Tr *t);
/* Linear address (I64) of segment:offset after limit and type checks for @bytes; @off is wrapped by the caller. */
IrVal x86_seg_linear(X86Tr *t, unsigned seg, IrVal off, unsigned bytes, bool write);
/* Linear address of the modrm (or moffs) operand, checked for @bytes; computed once an instruction. */
IrVal x86_mem(X86Tr *t, unsigned bytes, bool write);
/* Loads and stores of integers at a linear address. */
IrVal x86_ld(X86Tr *t, unsigned log2, IrVal lin);
void x86_st(X86Tr *t, unsigned log2, IrVal lin, IrVal v);
/* Address @disp bytes further (wraps as the mode does). */
IrVal x86_lin_add(X86Tr *t, IrVal lin, int disp);

/* Load a segment register, and what must follow as the last thing of the instruction (int_mov.c). */
void x86_load_seg(X86Tr *t, unsigned seg, IrVal sel);
void x86_after_seg_load(X86Tr *t, unsigned seg);

/* ---- stack (int_stack.c) ---- */
unsigned x86_sp_log2(const X86Tr *t);
/* Store @v below the stack pointer @sp (SP-width value); returns the new SP, which the caller puts when nothing can fault any more. */
IrVal x86_push_at(X86Tr *t, unsigned log2, IrVal sp, IrVal v);
IrVal x86_pop_at(X86Tr *t, unsigned log2, IrVal sp, IrVal *ret_v);
IrVal x86_sp(X86Tr *t);
void x86_sp_put(X86Tr *t, IrVal sp);

/* ---- helpers, exceptions, leaving ---- */
IrVal x86_call(X86Tr *t, unsigned helper, IrVal a, IrVal b, IrVal c, IrVal d);
static inline IrVal x86_k(X86Tr *t, int64_t v) { return ir_const(t->u, IRT_I64, v); }
/* Raise unconditionally; ends the unit. */
void x86_emit_raise(X86Tr *t, unsigned vector);
void x86_emit_raise_err(X86Tr *t, unsigned vector, unsigned err);
static inline void x86_emit_ud(X86Tr *t) { x86_emit_raise(t, X86_UD); }
static inline void x86_emit_gp0(X86Tr *t) { x86_emit_raise_err(t, X86_GP, 0); }
/* A label out of line where the exception is raised for this instruction. For exceptions with an error code that code is 0. */
unsigned x86_cold_raise(X86Tr *t, unsigned vector);
/* A label out of line where the whole instruction is done again with segment checks by helper. */
unsigned x86_cold_slow(X86Tr *t);
/* Outside flat segments: #GP(0) if the instruction's bytes go beyond CS.limit. */
void x86_check_fetch(X86Tr *t);
/* The same for all of the unit at its start; where that does not hold instructions are looked at one by one. x86_translate fills in how far it goes. */
void x86_check_unit(X86Tr *t);
/* Relative jumps of the code's own size are by page offset: their targets are looked at there, too. */
bool x86_sure(const X86Tr *t);
/* A jump to @off is one of these. */
bool x86_sure_target(X86Tr *t, int64_t off);
unsigned x86_cold_fetch(X86Tr *t);
/* RIP (not linear) of page offset @off, I64. */
IrVal x86_rip(X86Tr *t, int64_t off);
/* Guest continues at page offset @off. */
void x86_leave_goto(X86Tr *t, int64_t off);
/* In a region: the likely way of a relative branch by @disp was chosen and the other one emitted; fl 0: there is one way only. False: the branch ends the
 * unit as usual. */
bool x86_follow(X86Tr *t, int64_t disp, IrCond cc, IrVal fl);
/* In a region: the translation goes on in the function called, @ret is the return address as it was pushed; false: the call ends the unit. */
bool x86_follow_call(X86Tr *t, int64_t disp, IrVal ret);
/* In a region: behind the call that was followed last, if that is where RIP value @rip leads. The stack pointer was put. */
bool x86_follow_ret(X86Tr *t, IrVal rip);
/* In a region: go on where the jump to @rip went most of the time, if it does. A call has pushed @ret; 0: no call. */
bool x86_follow_ind(X86Tr *t, IrVal rip, IrVal ret);
/* The same in a block: a branch over a few instructions stays in the unit, which goes on behind it. */
bool x86_skip(X86Tr *t, int64_t disp, IrCond cc, IrVal fl);
/* Relative branch by @disp from the next instruction, with the operand size's wrapping. */
void x86_leave_rel(X86Tr *t, int64_t disp);
/* Guest continues at RIP value @rip (I64, already cut to the operand size). */
void x86_leave_rip(X86Tr *t, IrVal rip, IrJump hint);
/* A helper has written state->rip and perhaps the mode, and returned the linear address @pc. */
void x86_leave_linear(X86Tr *t, IrVal pc);
/* Write RIP = next instruction and let the run loop look at mode and interrupts. */
void x86_leave_look(X86Tr *t);
/* With the next instruction, in the context that the helper before left (mode, mappings); it has poked if an interrupt may be due. */
void x86_leave_next(X86Tr *t);
/* Promise that the next instruction is translated into this unit. False: it cannot be. */
bool x86_hold_next(X86Tr *t);
/* The instruction may look memory up by ir_host, with x86_cold_slow's label (vec_ext.c). */
bool x86_host_ok(const X86Tr *t);
/* Labels: drop what the emitter context cached. */
void x86_label(X86Tr *t, unsigned label);
/* True, with #GP(0) emitted, if CPL is not 0. */
bool x86_emit_cpl0(X86Tr *t);
/* x87 (fpctl.c): true, with #NM emitted, if CR0 forbids it; and report an unmasked exception that is pending. */
bool x86_fpu_refused(X86Tr *t);
void x86_fpu_pending(X86Tr *t);
/* The x87 instruction under way, executed by the host on registers that both share; @b: address, @c: flags for FCMOVcc (x87.c). Not with X86M_XF. */
IrVal x86_x87_native(X86Tr *t, IrType type, IrVal b, IrVal c, unsigned bytes);
