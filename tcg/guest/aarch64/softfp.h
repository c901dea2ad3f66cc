#pragma once
#include <stdbool.h>
#include <stdint.h>

/*
 * Arm's floating point in integer code, as the pseudocode of the Architecture Reference Manual has it (DDI 0487 J1.1.3, functions FPAdd etc.), for
 * the cases that the host's instructions treat differently. A value is its encoding in the low bits.
 */
typedef enum FpFmt { FP_HALF, FP_SINGLE, FP_DOUBLE } FpFmt;
/* Rounding: FPCR.RMode's numbers, then to nearest with ties away, and to odd. */
typedef enum FpRound { FPR_NEAREST, FPR_UP, FPR_DOWN, FPR_ZERO, FPR_AWAY, FPR_ODD } FpRound;

typedef struct FpEnv {
    uint32_t fpcr;
    uint32_t flags;            /* FPSR bits that were raised */
    FpRound round;
} FpEnv;

/* Operations of two operands, of one, and the fused one. */
typedef enum FpOp { FPO_ADD, FPO_SUB, FPO_MUL, FPO_DIV, FPO_NMUL, FPO_MULX, FPO_MAX, FPO_MIN, FPO_MAXNM, FPO_MINNM, FPO_ABD, FPO_RECPS, FPO_RSQRTS,
                    FPO_CMEQ, FPO_CMGE, FPO_CMGT, FPO_CMLE, FPO_CMLT, FPO_ACGE, FPO_ACGT,   /* results: all bits of the format or none */
                    FPO_SQRT, FPO_RECPE, FPO_RSQRTE, FPO_RECPX, FPO_ABS, FPO_NEG,
                    FPO_MADD, FPO_MSUB, FPO_NMADD, FPO_NMSUB,        /* of a (addend), b, c: FMADD's order of operands is b, c, a */
                    FPO_RINTN, FPO_RINTP, FPO_RINTM, FPO_RINTZ, FPO_RINTA, FPO_RINTX, FPO_RINTI, FPOS } FpOp;

uint64_t a64_fp_op(FpEnv *e, FpFmt fmt, FpOp op, uint64_t a, uint64_t b, uint64_t c);
uint64_t a64_fp_convert(FpEnv *e, FpFmt to, FpFmt from, uint64_t v, bool round_odd);
/* To an integer of @bits with @fbits of fraction, saturated; zero-extended. */
uint64_t a64_fp_to_int(FpEnv *e, FpFmt from, uint64_t v, unsigned bits, bool is_signed, unsigned fbits, FpRound round);
uint64_t a64_fp_from_int(FpEnv *e, FpFmt to, uint64_t v, bool is_signed, unsigned fbits);
/* N Z C V in bits 3-0 */
unsigned a64_fp_compare(FpEnv *e, FpFmt fmt, uint64_t a, uint64_t b, bool signal_all);
/* Estimates on fixed point, of 9 bits (ARM RecipEstimate, RecipSqrtEstimate). */
unsigned a64_recip_estimate(unsigned a);
unsigned a64_rsqrt_estimate(unsigned a);
