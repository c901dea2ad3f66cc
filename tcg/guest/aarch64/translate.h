#pragma once
#include "tcg/a64_opcodes.h"
#include "tcg/guest/aarch64/aarch64.h"

/*
 * What emitters (named in opcodes*.def, A64Tr and A64Args) work with. An emitter reads registers, computes, and writes registers last: what
 * may fault comes before. False: not a legal instruction in this mode; it has emitted nothing that shows then.
 */
enum { A64_MAX_COLD = 96 };
typedef struct A64Tr A64Tr;
/* Code out of line, emitted behind the unit; falls through to behind the instruction unless it ended the unit. */
typedef void A64ColdFn(A64Tr *t, const A64Args *a);
typedef struct A64Cold { uint16_t label; bool crossed; A64ColdFn *fn; A64Args a; int64_t off, to; } A64Cold;   /* crossed: IR_CROSS leads here */

enum { A64_MAX_JOIN = 4, A64_MAX_CALLS = 12 };
typedef struct A64Join { int64_t off; unsigned label; } A64Join;

enum { A64_FZ_KNOWN = 16 };
typedef struct A64FzKnown { IrVal v; uint8_t kind; uint64_t least; } A64FzKnown;

/* What the C flag of t->raw means: a borrow (as the slot has it), a carry, nothing because it is 0; or a host comparison of floating point. */
typedef enum A64FlKind { A64FL_NONE, A64FL_BORROW, A64FL_CARRY, A64FL_LOGIC, A64FL_FCMP } A64FlKind;

#define A64_NO_FOLLOW INT64_MIN
struct A64Tr {
    TcgUnitDesc *d;
    IrUnit *u;
    uint64_t mode;
    uint32_t insn, ahead;      /* raw bits; those behind it, 0 if they are not of this unit */
    const A64Args *args;       /* of this instruction */
    bool watch_all;            /* out of line: every access is looked at */
    int64_t off, next;         /* page offsets of this instruction and the one behind */
    int64_t follow;            /* a region goes on there; A64_NO_FOLLOW: behind this instruction */
    TcgWay way;                /* what it does at this branch, once asked */
    bool way_asked;
    unsigned n_calls;          /* that a region followed and has not returned from; return addresses */
    int64_t call[A64_MAX_CALLS];
    int64_t link;              /* page offset that x30 is known to hold here; A64_NO_FOLLOW: it is not */
    bool end;                  /* a leaving operation was emitted */
    bool look;                 /* mode or interrupt state may change: end with the run loop */
    IrVal sp_new;              /* what this instruction wrote to the stack pointer */
    bool cold_now;             /* out of line: no region goes on from here */
    bool skips;                /* short forward branches stay in the unit; where they arrive: */
    unsigned n_join;
    A64Join join[A64_MAX_JOIN];
    /* the flags as last computed here, before they became the slot's form */
    IrVal raw, raw_a, raw_b;   /* FCMP: the operands */
    uint8_t raw_kind;
    uint8_t raw_vop;           /* index of the comparison, see flags.c */
    bool raw_swapped;          /* raw compares raw_b with raw_a */
    /* FCMP: its flags are not in the slot yet, since the next instruction may be a branch that most of them are for; what does it again */
    A64ColdFn *late;
    A64Args late_args;
    IrVal rbit, rbit_of;       /* RBIT's last result and operand: CLZ of it is a CTZ */
    /* crypto.c: what an AESE or AESD made of its operands' sum; the halves that four rounds of SHA-256 on abcd, efgh, wk made */
    IrVal aes_in, aes_out;
    IrVal sha_abcd, sha_efgh, sha_wk, sha_abef, sha_cdgh;
    A64FzKnown fz_known[A64_FZ_KNOWN];  /* fpfz.c: values that were looked at */
    unsigned fz_next;
    uint32_t zero64, zero32;   /* vector registers known to be 0 above their low 64, 32 bits */
    unsigned n_cold;
    A64Cold cold[A64_MAX_COLD];
};

static inline IrVal a64_k(A64Tr *t, int64_t v) { return ir_const(t->u, IRT_I64, v); }
static inline IrType a64_type(int sf) { return sf ? IRT_I64 : IRT_I32; }
static inline IrVal a64_kt(A64Tr *t, int sf, int64_t v) { return ir_const(t->u, a64_type(sf), v); }
/* x register @n, 31 is 0; and with 31 the stack pointer. */
static inline IrVal a64_x(A64Tr *t, int n) { return n != 31 ? ir_get(t->u, IRT_I64, (unsigned)n) : a64_k(t, 0); }
static inline IrVal a64_xsp(A64Tr *t, int n) { return ir_get(t->u, IRT_I64, (unsigned)n); }
/* The same as an I64 or I32 by @sf. */
static inline IrVal a64_r(A64Tr *t, int sf, int n) { return n != 31 ? ir_get(t->u, a64_type(sf), (unsigned)n) : a64_kt(t, sf, 0); }
static inline IrVal a64_rsp(A64Tr *t, int sf, int n) { return ir_get(t->u, a64_type(sf), (unsigned)n); }
/* Writes: of 64 bits; of a value of the type of @sf, zero-extended. 31: nothing, or the stack pointer. */
static inline void a64_put_xsp(A64Tr *t, int n, IrVal v)
{
    ir_put(t->u, IRT_I64, (unsigned)n, v);
    if (n == A64_SP)
        t->sp_new = v;
    if (n == A64_LR)
        t->link = A64_NO_FOLLOW;
}
static inline void a64_put_x(A64Tr *t, int n, IrVal v)
{
    if (n != 31)
        a64_put_xsp(t, n, v);
}
static inline void a64_put_rsp(A64Tr *t, int sf, int n, IrVal v) { a64_put_xsp(t, n, ir_zext(t->u, IRT_I64, a64_type(sf), v)); }
static inline void a64_put_r(A64Tr *t, int sf, int n, IrVal v)
{
    if (n != 31)
        a64_put_rsp(t, sf, n, v);
}

/* translate.c */
/* A label and a call of a helper: always by these. */
void a64_label(A64Tr *t, unsigned label);
IrVal a64_call(A64Tr *t, unsigned helper, IrVal a, IrVal b, IrVal c, IrVal d);
/* @fn out of line for this instruction; a label. Values do not live there. */
unsigned a64_cold(A64Tr *t, A64ColdFn *fn, const A64Args *a);
/* Raise unconditionally; ends the unit. */
void a64_emit_raise(A64Tr *t, unsigned ec, uint32_t iss);
/* FP or AdvSIMD while they are trapped: raises and returns true. */
bool a64_fp_trapped(A64Tr *t);
/* watch.c, of software step, breakpoints, watchpoints: before an instruction; where it has done its work and leaves; before an access of @bytes, A64_WATCH_ @kind;
 * leave if PSTATE.D matters, which was written. */
void a64_emit_debug(A64Tr *t);
void a64_emit_stepped(A64Tr *t);
void a64_emit_watch(A64Tr *t, IrVal addr, unsigned bytes, unsigned kind);
static inline void a64_watch(A64Tr *t, IrVal addr, unsigned bytes, unsigned kind)
{
    if (t->mode & A64M_WATCH)
        a64_emit_watch(t, addr, bytes, kind);
}
void a64_emit_debug_look(A64Tr *t);
/* Out of line: the run loop looks behind this instruction. */
void a64_cold_look(A64Tr *t, const A64Args *a);
/* pc = next instruction, the run loop looks at mode and interrupts. */
void a64_leave_look(A64Tr *t);
/* Guest continues at page offset @off, in the same mode. */
void a64_leave_goto(A64Tr *t, int64_t off);
/* ... at address @va. */
void a64_leave_jmp(A64Tr *t, IrVal va, IrJump hint);
/* Conditional branch to page offset @to, taken under @cc of @fl (@fl 0: always). */
void a64_branch(A64Tr *t, int64_t to, IrCond cc, IrVal fl);
/* BL to page offset @to. */
void a64_call_rel(A64Tr *t, int64_t to);
/* BR, BLR, RET and their like by register @rn, to @va if that is not what it holds. */
void a64_jump(A64Tr *t, int rn, IrVal va, IrJump hint);

/* mem.c. How an address is formed: in the emitter's constant, from bit 8. OFF: immediate in operands' size (pairs). */
enum { A64EA_UR = 0 << 8, A64EA_POST = 1 << 8, A64EA_UNPRIV = 2 << 8, A64EA_PRE = 3 << 8, A64EA_REG = 4 << 8, A64EA_IMM = 5 << 8, A64EA_OFF = 6 << 8,
       A64EA_MASK = 7 << 8 };
typedef struct A64Ea { IrVal addr, back; } A64Ea;      /* back: new value of the base register, 0 = none */
/* Of the operands rn, imm, rm, opt, scaled and the form in a->k; offsets scaled by 1 << @log2. False: reserved. */
bool a64_ea(A64Tr *t, const A64Args *a, unsigned log2, A64Ea *ret);
/* Behind the last access. */
static inline void a64_ea_back(A64Tr *t, const A64Args *a, A64Ea ea)
{
    if (ea.back)
        a64_put_xsp(t, a->rn, ea.back);
}
/* IrMem bits that every access of this mode has. */
static inline unsigned a64_mem_bits(const A64Tr *t) { return t->mode & A64M_ALIGN ? IRM_ALIGN : 0; }
/* Rm extended or shifted as the option field says (ARM C6: ExtendReg), not yet shifted left. */
IrVal a64_extend(A64Tr *t, int option, int rm);

/* crypto.c. CRC-32 of accumulator @acc (I64, 32 bits) over the low 2^log2 bytes of I64 @data, an I32; 0: the host cannot. */
IrVal a64_crc32_clmul(A64Tr *t, IrVal acc, IrVal data, unsigned log2);

/* hints.c. AUT* of @ptr, as the mode's enable bit of A64_KEY_@key says. */
IrVal a64_authenticate(A64Tr *t, IrVal ptr, IrVal modifier, unsigned key);

/* flags.c. NZCV: computed flags @fl whose C is of that kind become PSTATE's. */
void a64_put_flags(A64Tr *t, IrVal fl, A64FlKind kind);
/* NZCV of the comparison of two scalars (V64 values) as FCMP does it; @signal: FCMPE. */
void a64_put_flags_fcmp(A64Tr *t, IrVal a, IrVal b, bool dbl, bool signal);
/* The same, but the slot has them only behind a64_put_late, or where @again did @insn another time: what comes next but B.cond begins with the one. */
void a64_late_flags_fcmp(A64Tr *t, const A64Args *insn, A64ColdFn *again, IrVal a, IrVal b, bool dbl, bool signal);
void a64_put_late(A64Tr *t);
/* PSTATE's flags, C inverted. */
IrVal a64_fl(A64Tr *t);
/* Condition field 0..13 of PSTATE's flags as a condition of a flags value. 14 and 15 are "always" and not asked. */
IrCond a64_cond(A64Tr *t, unsigned cond, IrVal *ret_fl);
