#pragma once
#include "tcg/guest/x86/translate.h"
#include "tcg/vops.h"

/* Shared by the vector emitters. */

/* #UD / #NM as CR0, CR4 and XCR0 demand for an SSE or AVX instruction; false: raised, the emitter returns. */
bool x86_vec_ok(X86Tr *t);
bool x86_mmx_ok(X86Tr *t);
/* Vector type of the operation: V256 for VEX.L = 1, else V128. */
static inline IrType x86_vtype(const X86Tr *t) { return t->in.vex && t->in.vex_l ? IRT_V256 : IRT_V128; }
unsigned x86_vreg(const X86Tr *t, unsigned n);   /* vector register number of operand n */
/* Operand n as a vector of @type; a memory operand of 2^log2 bytes (zero-extended), aligned where the instruction demands it. */
IrVal x86_vget(X86Tr *t, unsigned n, IrType type, unsigned log2, bool align);
/* Bytes of a memory operand by its size class. */
unsigned x86_vmem_log2(const X86Tr *t, unsigned n);
/* Write a register operand: legacy keeps what is above 128 bits, VEX clears it. */
void x86_vput(X86Tr *t, unsigned reg, IrType type, IrVal v);
