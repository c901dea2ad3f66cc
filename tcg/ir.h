#pragma once
#include <stdbool.h>
#include <stdint.h>

/*
 * The IR: guest-neutral, one linear array of instructions a unit; the index of an instruction is the name of its value.
 * Values are SSA, and live within an extended basic block: a LABEL ends every life (a conditional branch does not). Whatever
 * must survive a label lives in a guest register slot (GuestIsa.slots, which include a few scratch slots).
 *
 * Precision is by construction: RPUTs are executed in program order, and the front end emits an instruction's RPUTs after
 * its last operation that may fault. So at every fault the slots *are* the architectural state at the start of the
 * guest instruction named by the last INSN, and nothing needs to be rolled back.
 *
 * Types: bits of a value above its type's width are unspecified, readers must not look at them.
 * Every operation is total: the result for every input is defined (see ir.def), so that host/interp is an oracle.
 */
typedef enum IrType { IRT_NONE, IRT_I8, IRT_I16, IRT_I32, IRT_I64, IRT_FL, IRT_V64, IRT_V128, IRT_V256, IRT_TYPES } IrType;

typedef enum IrOp {
#define IR_OP(name, text, cls, n, flags) IR_##name,
#include "tcg/ir.def"
#undef IR_OP
    IR_OPS
} IrOp;

enum { IRF_F = 1, IRF_H = 2, IRF_M = 4, IRF_X = 8, IRF_S = 16 };
typedef struct IrOpInfo { const char *text; char cls; uint8_t n_args; uint8_t flags; } IrOpInfo;
extern const IrOpInfo ir_op_info[IR_OPS];

/* Packed flags, the form of the flags slot and of FLPACK: AH after LAHF in the high byte, overflow in bit 0, so that an
 * x86 host saves with SETO+LAHF and restores with ADD+SAHF. */
enum { IRFL_V = 1, IRFL_C = 0x100, IRFL_P = 0x400, IRFL_A = 0x1000, IRFL_Z = 0x4000, IRFL_N = 0x8000, IRFL_ALL = 0xd501 };

/* Conditions on a flags value, numbered as x86's tttn field (SDM 2D B.1.4.7). Odd = negation of the even one before. */
typedef enum IrCond { IRC_O, IRC_NO, IRC_B, IRC_AE, IRC_E, IRC_NE, IRC_BE, IRC_A, IRC_S, IRC_NS, IRC_P, IRC_NP, IRC_L, IRC_GE, IRC_LE, IRC_G } IrCond;

/* insn.mem of LD, ST, ARMW, CAS: size in memory and how. */
typedef enum IrMem {
    IRM_SIZE = 7,              /* log2 of the bytes: 0..5 */
    IRM_SIGN = 8,              /* LD: sign-extend to insn.type (else zero-extend) */
    IRM_ALIGN = 16,            /* misaligned: GuestIsa's alignment fault (e.g. MOVAPS) */
    IRM_RMW = 32,              /* LD: needs write permission too, a ST to the same place follows in the same guest instruction */
    IRM_ACQ = 64, IRM_REL = 128,
} IrMem;
/* An access may name another translation regime than the unit's (insn.aux of LD/ST: 0 = unit's own, n = regime n-1). */

typedef enum IrRmw { IRA_XCHG, IRA_ADD, IRA_SUB, IRA_AND, IRA_OR, IRA_XOR, IRA_NEG, IRA_NOT, IRA_SMIN, IRA_SMAX, IRA_UMIN, IRA_UMAX } IrRmw;
/* MEMORY: earlier accesses of ordinary memory before later ones; the others order non-temporal stores and line flushes of the host too. */
typedef enum IrFence { IRFENCE_ALL, IRFENCE_LOAD, IRFENCE_STORE, IRFENCE_MEMORY } IrFence;
typedef enum IrJump { IRJ_PLAIN, IRJ_CALL, IRJ_RET } IrJump;

typedef enum IrNative { IRN_X87 } IrNative;

/* Who else sees guest memory while the unit's code runs. ONE_CPU: device models in other threads, which do nothing there that must be atomic with what the
 * guest does. With ALONE the order of accesses is nobody's business either. */
typedef enum IrOthers { IR_OTHERS, IR_ONE_CPU, IR_ALONE } IrOthers;

typedef uint16_t IrVal;        /* index of the defining instruction; 0 = none (instruction 0 is always NOP) */

typedef struct IrInsn {
    uint8_t op, type, aux, mem;
    IrVal a, b, c, d;
    int64_t imm;
    /* filled by the builder: projections of this instruction, 0 = none */
    IrVal fl, hi;
    /* filled by passes */
    uint16_t uses;             /* how many operands name this value */
    uint16_t last;             /* index of the last instruction that does */
    uint16_t fl_need;          /* of a flags value: IRFL_* bits that somebody looks at */
    uint16_t hint;             /* home slot + 1 this value should be computed into, 0 = none; IR_HINT_LOW: only the low part of the slot */
} IrInsn;

enum { IR_HINT_LOW = 0x8000 };
enum { IR_MAX_INSNS = 4096, IR_MAX_LABELS = 256, IR_MAX_VCONSTS = 128 };

/* What the IR needs to know of a guest: its register slots. */
typedef struct IrSlot {
    const char *name;
    uint32_t offset;           /* in the guest state struct */
    uint8_t type;              /* IRT_I64, IRT_I32, IRT_FL (stored as 32 bits), IRT_V256 ... */
    uint8_t rank;              /* 1.. = wanted in a host register all the time, smaller first; 0 = lives in memory. Vectors count apart */
} IrSlot;

typedef struct IrUnit {
    IrInsn *insn;              /* IR_MAX_INSNS of them, owned by the translation context of the thread */
    unsigned n;
    unsigned n_labels;
    const IrSlot *slots;
    unsigned n_slots;
    bool overflow;             /* too long: the front end has to stop earlier */
    /* value last put to or got from each slot in this extended basic block; the type it has is insn[v].type */
    IrVal cur[256];
    /* 128-bit constants, each once; low half first */
    uint64_t vconst[IR_MAX_VCONSTS][2];
    unsigned n_vconsts;
    IrOthers others;
    bool lonely;               /* something is not atomic or not in order because of that */
    bool fixed;                /* its page is at virtual address @page for good: IR_PC is a constant */
    uint64_t page;
    uint64_t apart;            /* by 64 bytes of the page: instructions there are likely to access devices */
} IrUnit;

/* ---- builder: every function appends and returns the value's index ---- */
void ir_begin(IrUnit *u, IrInsn *buf, const IrSlot *slots, unsigned n_slots);
IrVal ir_emit(IrUnit *u, IrOp op, IrType type, IrVal a, IrVal b, IrVal c, int64_t imm);
static inline IrInsn *ir_at(IrUnit *u, IrVal v) { return &u->insn[v]; }
bool ir_is_const(const IrUnit *u, IrVal v, int64_t *ret);

IrVal ir_const(IrUnit *u, IrType type, int64_t imm);
/* Reads of a slot that was read or written before in this extended basic block return that value. */
IrVal ir_get(IrUnit *u, IrType type, unsigned slot);
void ir_put(IrUnit *u, IrType type, unsigned slot, IrVal v);
IrVal ir_pc(IrUnit *u, int64_t page_off);
void ir_insn(IrUnit *u, int64_t page_off, unsigned len);
/* The upper halves of @n vector slots from @slot on become 0. */
void ir_vupper(IrUnit *u, unsigned slot, unsigned n);
/* Whether the guest instruction that was begun last may write guest memory. */
bool ir_may_write(const IrUnit *u);

/* Two-operand arithmetic (ADD SUB AND OR XOR ANDN MUL MULU MULS PDEP PEXT); folds constants where no flags are asked for later. */
IrVal ir_bin(IrUnit *u, IrOp op, IrType type, IrVal a, IrVal b);
IrVal ir_un(IrUnit *u, IrOp op, IrType type, IrVal a);
/* ADC SBB and shifts/rotates: c is the flags value (0 = none where ir.def allows). */
IrVal ir_tri(IrUnit *u, IrOp op, IrType type, IrVal a, IrVal b, IrVal c);
/* SHL SHR SAR ROL ROR of 32 or 64 bits, no flags; the count's width does not matter, it is taken modulo @type's. */
IrVal ir_shift_modulo(IrUnit *u, IrOp op, IrType type, IrVal a, IrVal count);
/* SHLD SHRD */
IrVal ir_quad(IrUnit *u, IrOp op, IrType type, IrVal a, IrVal b, IrVal c, IrVal d);
IrVal ir_flags(IrUnit *u, IrVal of);
IrVal ir_hi(IrUnit *u, IrVal of);
IrVal ir_cmp(IrUnit *u, IrType operands, IrVal a, IrVal b);
IrVal ir_test(IrUnit *u, IrType operands, IrVal a, IrVal b);
IrVal ir_bt(IrUnit *u, IrType operands, IrVal a, IrVal bit, IrVal old_fl);
IrVal ir_flmerge(IrUnit *u, IrVal old_fl, IrVal new_fl, unsigned mask_from_new);
IrVal ir_cond(IrUnit *u, IrCond cc, IrVal fl);
IrVal ir_select(IrUnit *u, IrType type, IrCond cc, IrVal fl, IrVal if_true, IrVal if_false);
/* Conversions; no-ops where types are equal. */
IrVal ir_zext(IrUnit *u, IrType to, IrType from, IrVal v);
IrVal ir_sext(IrUnit *u, IrType to, IrType from, IrVal v);
IrVal ir_trunc(IrUnit *u, IrType to, IrVal v);
IrVal ir_extract(IrUnit *u, IrType type, IrVal v, unsigned pos, unsigned len);
IrVal ir_deposit(IrUnit *u, IrType type, IrVal into, IrVal v, unsigned pos, unsigned len);
IrVal ir_lea(IrUnit *u, IrType type, IrVal base, IrVal index, unsigned scale_log2, int64_t disp);
/* Guest memory. @size_log2: bytes in memory; @mem: further IrMem bits. regime: 0 = the unit's. */
IrVal ir_ld(IrUnit *u, IrType type, IrVal addr, unsigned size_log2, unsigned mem, unsigned regime);
void ir_st(IrUnit *u, IrType type, IrVal addr, IrVal v, unsigned size_log2, unsigned mem, unsigned regime);
/* May a read-modify-write be a load and a store here? Then the unit is marked so. @exchange: one that may be meant as a store and a fence. */
bool ir_lonely(IrUnit *u, bool exchange);
/* Atomic for whom it may concern (IrUnit.others): else a load and a store, the value being the load. IRM_ALIGN may be set in the value's instruction. */
IrVal ir_armw(IrUnit *u, IrType type, IrRmw what, IrVal addr, IrVal v, unsigned size_log2);
IrVal ir_cas(IrUnit *u, IrType type, IrVal addr, IrVal expect, IrVal v, unsigned size_log2);
void ir_fence(IrUnit *u, IrFence kind);
/* Host memory (ir.def). @bytes: how many, 0: as many as value @len says. */
IrVal ir_host(IrUnit *u, IrVal addr, unsigned bytes, IrVal len, bool write, unsigned label);
IrVal ir_hld(IrUnit *u, IrType type, IrVal host, IrVal mask, unsigned size_log2);
/* HST COPY FILL */
void ir_host_op(IrUnit *u, IrOp op, IrVal host, IrVal b, IrVal c, unsigned size_log2);
/* A V128 constant. */
IrVal ir_vconst(IrUnit *u, uint64_t lo, uint64_t hi);
/* Vector operation @vop (tcg/vops.h) with an immediate byte. insn.imm: vop, byte << 16, 1 << 24 if an integer operand has 64 bits. */
IrVal ir_vop(IrUnit *u, IrType type, unsigned vop, IrVal a, IrVal b, IrVal c, unsigned imm8);
/* Labels. */
unsigned ir_label_new(IrUnit *u);
void ir_label(IrUnit *u, unsigned label);
void ir_br(IrUnit *u, unsigned label);
void ir_brcond(IrUnit *u, IrCond cc, IrVal fl, unsigned label);
void ir_brz(IrUnit *u, IrType type, IrVal v, unsigned label);
void ir_brnz(IrUnit *u, IrType type, IrVal v, unsigned label);
void ir_cross(IrUnit *u, unsigned label);
void ir_goto_crossed(IrUnit *u, int64_t page_off);     /* behind the label of IR_CROSS */
/* Leaving. */
void ir_goto(IrUnit *u, int64_t page_off);
void ir_jmp(IrUnit *u, IrVal va, IrJump hint);
void ir_exit(IrUnit *u, int reason);
/* Call helper number @index (of the guest's table); its flags say what happens to the cached slots. */
struct TcgHelper;
IrVal ir_call(IrUnit *u, const struct TcgHelper *table, unsigned index, IrVal a, IrVal b, IrVal c, IrVal d);

/* The same, or the host's own way to do it; writes no guest register that this unit has cached but those that the caller forgets. */
IrVal ir_native(IrUnit *u, IrNative kind, IrType type, unsigned index, IrVal a, IrVal b, IrVal c, IrVal d);
/* Slots that something else changed: read again. */
void ir_forget(IrUnit *u, unsigned slot);

/* Readable form of one instruction or the whole unit (into a caller's buffer; returns the length as snprintf does). */
int ir_print_insn(const IrUnit *u, unsigned i, char *buf, int size);
/* NULL or the first broken rule, as text (static string). */
const char *ir_verify(const IrUnit *u);
static inline unsigned ir_type_bytes(IrType t)
{
    static const uint8_t n[IRT_TYPES] = { 0, 1, 2, 4, 8, 4, 8, 16, 32 };
    return n[t];
}
