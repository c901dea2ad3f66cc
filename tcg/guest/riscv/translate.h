#pragma once
#include "tcg/riscv_opcodes.h"
#include "tcg/guest/riscv/riscv.h"

/*
 * What emitters (named in opcodes.def) work with. An emitter reads registers, computes, and writes registers last. False: not a legal
 * instruction in this mode; it has emitted nothing that shows then.
 */
enum { RISCV_MAX_COLD = 96, RISCV_MAX_CALLS = 12 };
typedef enum RiscvColdKind { RISCV_COLD_FP, RISCV_COLD_NAN, RISCV_COLD_SC, RISCV_COLD_GOTO, RISCV_COLD_CROSSED, RISCV_COLD_JALR, RISCV_COLD_AFTER } RiscvColdKind;
/* Code out of line: the whole instruction done again by helper (FP), a NaN put right (NAN), the uncommon result (SC fails), a way
 * out of a region (GOTO; CROSSED where IR_CROSS leads; JALR that went elsewhere), or what a helper says in RVS_TMP0 (AFTER). */
typedef struct RiscvCold { uint16_t label; uint8_t kind, len; bool look; RiscvArgs a; int64_t off, to; } RiscvCold;

#define RISCV_NO_FOLLOW INT64_MIN
typedef struct RiscvTr {
    TcgUnitDesc *d;
    IrUnit *u;
    uint64_t mode;
    uint32_t insn;             /* raw bits */
    int64_t off, next;         /* page offsets of this instruction and the one behind */
    int64_t follow;            /* a region goes on there; RISCV_NO_FOLLOW: behind this instruction */
    unsigned len;
    bool end;                  /* a leaving operation was emitted */
    bool look;                 /* mode or interrupt state may change: end with the run loop */
    uint32_t boxed;            /* f registers known to hold a NaN-boxed single here */
    uint32_t known;            /* x registers known to hold the address of page offset place[] here */
    int64_t place[32];
    unsigned n_calls;          /* that a region followed and has not returned from; return addresses */
    int64_t call[RISCV_MAX_CALLS];
    unsigned n_cold, cold_before;   /* before: this instruction's begin there */
    RiscvCold cold[RISCV_MAX_COLD];
} RiscvTr;

static inline IrVal rv_k(RiscvTr *t, int64_t v) { return ir_const(t->u, IRT_I64, v); }
/* x register @n, 0 is the constant; writes of x0 vanish. */
static inline IrVal rv_x(RiscvTr *t, int n) { return n ? ir_get(t->u, IRT_I64, (unsigned)n) : rv_k(t, 0); }
static inline void rv_put(RiscvTr *t, int n, IrVal v)
{
    t->known &= ~(1u << n);
    if (n)
        ir_put(t->u, IRT_I64, (unsigned)n, v);
}
/* The address of page offset @off, which is remembered. */
static inline void rv_put_pc(RiscvTr *t, int n, int64_t off)
{
    rv_put(t, n, ir_pc(t->u, off));
    t->known |= n ? 1u << n : 0;
    t->place[n] = off;
}
static inline IrVal rv_w(RiscvTr *t, int n) { return ir_trunc(t->u, IRT_I32, rv_x(t, n)); }
static inline void rv_put_w(RiscvTr *t, int n, IrVal v) { rv_put(t, n, ir_sext(t->u, IRT_I64, IRT_I32, v)); }
IrVal rv_call(RiscvTr *t, unsigned helper, IrVal a, IrVal b, IrVal c, IrVal d);
/* x[n] + imm */
IrVal rv_addr(RiscvTr *t, int n, int64_t imm);
/* Out of line for this instruction; a label. */
unsigned rv_cold(RiscvTr *t, RiscvColdKind kind, const RiscvArgs *a);
/* Raise unconditionally; ends the unit. */
void rv_emit_raise(RiscvTr *t, uint64_t cause, IrVal tval);
/* pc = next instruction, the run loop looks at mode and interrupts. */
void rv_leave_look(RiscvTr *t);
/* The unit ends after a helper; the pc is known to be (va) or in its register (0). As RVS_TMP0 says: by a jump or to the run loop. */
void rv_leave_after(RiscvTr *t, IrVal va);
/* Go to page offset @to where the condition holds (fl 0: always), else behind this instruction. In a region the likely side may simply follow. */
void rv_leave_branch(RiscvTr *t, int64_t to, IrCond cc, IrVal fl);
/* JAL to page offset @to. JALR as it came, which leads to page offset @to, or to where is not known. */
void rv_leave_jal(RiscvTr *t, int rd, int64_t to);
void rv_leave_known(RiscvTr *t, const RiscvArgs *a, int64_t to);
void rv_leave_jalr(RiscvTr *t, const RiscvArgs *a);
/* Guest continues at page offset @off, in the same mode. */
void rv_leave_goto(RiscvTr *t, int64_t off);
/* fp.c: the bodies of RISCV_COLD_FP and RISCV_COLD_NAN. */
void rv_fp_slow(RiscvTr *t, const RiscvArgs *a);
void rv_fp_nan(RiscvTr *t, const RiscvArgs *a);
