#pragma once
#include <string.h>

#include "tcg/tcg-internal.h"

/* One run of a unit. A value is kept zero-extended from its type's width; FL values are packed (IRFL_*). Value 0 is "none", all zero. */
typedef union Val { uint64_t u; uint8_t v[32]; } Val;

typedef struct Run {
    TcgCpu *cpu;
    TcgEnv *env;
    uint8_t *state;
    const GuestIsa *isa;
    const IrInsn *ir;
    unsigned regime;           /* the unit's own */
    Val val[IR_MAX_INSNS];
} Run;

typedef void OpFn(Run *r, const IrInsn *i);
/* Integer and flags operations (alu.c); NULL for the others. */
extern OpFn *const interp_alu[IR_OPS];
bool interp_cond(unsigned cc, uint64_t fl);

/* vop.c: where the stub of a vector operation is goes into the upper half of its imm. False: the code cache is full. */
bool interp_vop_emit(TcgContext *ctx, const IrUnit *u, IrInsn *i);
void interp_vop(Run *r, const IrInsn *i);

static inline unsigned interp_bits(IrType t) { return 8 * ir_type_bytes(t); }
static inline uint64_t interp_mask(unsigned bits) { return bits >= 64 ? ~0ull : (1ull << bits) - 1; }
static inline uint64_t interp_sext(uint64_t v, unsigned bits) { return (uint64_t)((int64_t)(v << (64 - bits)) >> (64 - bits)); }
static inline void interp_put(Run *r, const IrInsn *i, uint64_t v) { r->val[i - r->ir].u = v & interp_mask(interp_bits(i->type)); }
