#pragma once
#include "tcg/guest/aarch64/softfp.h"
#include "tcg/guest/aarch64/translate.h"
#include "tcg/vops.h"

/* Shared by the emitters of FP and AdvSIMD and by opcodes_simd.def, whose constants (A64Args.k) are made here. */

/* Integer operations: how they are done out of line (help_simd.c) and in line. LONG and WIDE ones are named by what they do to the elements. */
typedef enum A64Vop {
    A64V_ADD, A64V_SUB, A64V_MUL, A64V_MLA, A64V_MLS, A64V_PMUL, A64V_SHADD, A64V_UHADD, A64V_SRHADD, A64V_URHADD, A64V_SHSUB, A64V_UHSUB,
    A64V_SQADD, A64V_UQADD, A64V_SQSUB, A64V_UQSUB, A64V_SUQADD, A64V_USQADD, A64V_CMGT, A64V_CMGE, A64V_CMHI, A64V_CMHS, A64V_CMTST, A64V_CMEQ,
    A64V_CMGT0, A64V_CMGE0, A64V_CMEQ0, A64V_CMLE0, A64V_CMLT0, A64V_SSHL, A64V_USHL, A64V_SRSHL, A64V_URSHL, A64V_SQSHL, A64V_UQSHL, A64V_SQRSHL,
    A64V_UQRSHL, A64V_SMAX, A64V_UMAX, A64V_SMIN, A64V_UMIN, A64V_SABD, A64V_UABD, A64V_SABA, A64V_UABA, A64V_SQDMULH, A64V_SQRDMULH, A64V_SQRDMLAH,
    A64V_SQRDMLSH, A64V_SDOT, A64V_UDOT,
    A64V_SADDL, A64V_UADDL, A64V_SSUBL, A64V_USUBL, A64V_SABAL, A64V_UABAL, A64V_SABDL, A64V_UABDL, A64V_SMLAL, A64V_UMLAL, A64V_SMLSL, A64V_UMLSL,
    A64V_SMULL, A64V_UMULL, A64V_SQDMLAL, A64V_SQDMLSL, A64V_SQDMULL, A64V_PMULL, A64V_SADDW, A64V_UADDW, A64V_SSUBW, A64V_USUBW,
    A64V_ADDHN, A64V_RADDHN, A64V_SUBHN, A64V_RSUBHN,
    A64V_REV64, A64V_REV32, A64V_REV16, A64V_CLS, A64V_CLZ, A64V_CNT, A64V_NOT, A64V_RBIT, A64V_ABS, A64V_NEG, A64V_SQABS, A64V_SQNEG, A64V_URECPE,
    A64V_URSQRTE, A64V_SADDLP, A64V_UADDLP, A64V_SADALP, A64V_UADALP, A64V_XTN, A64V_SQXTN, A64V_UQXTN, A64V_SQXTUN, A64V_SHLL, A64V_SADDLV, A64V_UADDLV,
    A64V_SSHR, A64V_USHR, A64V_SSRA, A64V_USRA, A64V_SRSHR, A64V_URSHR, A64V_SRSRA, A64V_URSRA, A64V_SHL, A64V_SLI, A64V_SRI, A64V_SQSHLU, A64V_SQSHLI,
    A64V_UQSHLI, A64V_SHRN, A64V_RSHRN, A64V_SQSHRN, A64V_SQRSHRN, A64V_UQSHRN, A64V_UQRSHRN, A64V_SQSHRUN, A64V_SQRSHRUN, A64V_SSHLL, A64V_USHLL,
    A64V_INT_OPS,
    /* conversions, in the order of rounding modes FPR_; then what is only a name for an emitter */
    A64V_FCVTNS = A64V_INT_OPS, A64V_FCVTNU, A64V_FCVTPS, A64V_FCVTPU, A64V_FCVTMS, A64V_FCVTMU, A64V_FCVTZS, A64V_FCVTZU, A64V_FCVTAS, A64V_FCVTAU,
    A64V_SCVTF, A64V_UCVTF,
    A64V_AND, A64V_BIC, A64V_ORR, A64V_ORN, A64V_EOR, A64V_BSL, A64V_BIT, A64V_BIF,
    A64V_UZP1, A64V_TRN1, A64V_ZIP1, A64V_UZP2, A64V_TRN2, A64V_ZIP2,
    A64V_AESE, A64V_AESD, A64V_AESMC, A64V_AESIMC, A64V_SHA1C, A64V_SHA1P, A64V_SHA1M, A64V_SHA1SU0, A64V_SHA256H, A64V_SHA256H2, A64V_SHA256SU1,
    A64V_SHA1H, A64V_SHA1SU1, A64V_SHA256SU0, A64V_SHA512H, A64V_SHA512H2, A64V_SHA512SU1, A64V_RAX1, A64V_SHA512SU0,
} A64Vop;

/* Arrangements a line stands for, a bit for each value of arr (log2 of the element's bytes << 1 | 128 bits). */
enum { VARR_B = 3, VARR_BH = 0xf, VARR_H = 0xc, VARR_HX = 0xc, VARR_S = 0x30, VARR_HS = 0x3c, VARR_BHS = 0x3f, VARR_ALL = 0xbf, VARR_DD = 0xc0, VARR_SD = 0xb0,
       VARR_HSD = 0xbc, VARR_S4 = 0x20, VARR_ACROSS = 0x2f };
#define V(op, m) (A64V_##op | VARR_##m << 16)
#define F(op, m) (FPO_##op | VARR_##m << 16)
/* Of loads and stores, beside what they have of A64EA_: post-indexed is of structures. */
enum { VM_LOAD = 0x1000, VM_POST = 0x4000 };

static inline unsigned av_op(const A64Args *a) { return (unsigned)a->k & 0xffff; }
static inline unsigned av_log2(const A64Args *a) { return (unsigned)a->arr >> 1; }
static inline bool av_q(const A64Args *a) { return a->arr & 1; }

/* simd_legal.c. Whether the arrangement of a decoded instruction exists. @a is completed: arr of shifts. */
bool a64_simd_legal(A64Args *a);
/* First in every emitter: the completed operands to *a. Negative: go on; else what to return. */
static inline int av_begin(A64Tr *t, const A64Args *in, A64Args *a)
{
    *a = *in;
    return !a64_simd_legal(a) ? 0 : a64_fp_trapped(t) ? 1 : -1;
}

/* Shapes of the helpers: where operands and results lie. */
typedef enum A64Shape { AVS_SAME, AVS_PAIR, AVS_LONG, AVS_WIDE, AVS_HN, AVS_NARROW, AVS_ADDLP, AVS_ACROSS, AVS_SHLL } A64Shape;
/* Descriptor of a helper of vectors: operation, shape, arrangement; registers, element of rm (or none), shift. */
enum { AVD_SCALAR = 1 << 28, AVD_ELEM = 1 << 29, AVD_ZERO = 1 << 30 };
static inline int64_t av_what(unsigned op, A64Shape shape, unsigned arr, unsigned flags) { return (int64_t)(op | (unsigned)shape << 16 | arr << 20 | flags); }
static inline int64_t av_regs(const A64Args *a, unsigned rm, unsigned index, int shift)
{
    return (int64_t)((unsigned)a->rd | (unsigned)a->rn << 8 | rm << 16 | index << 24 | (uint64_t)(unsigned)shift << 32);
}

/* In helpers: element @n of 2^log2 bytes. */
static inline uint64_t av_elem_get(const A64Vec *v, unsigned log2, unsigned n)
{
    return log2 == 0 ? v->b[n] : log2 == 1 ? v->h[n] : log2 == 2 ? v->s[n] : v->d[n];
}
static inline void av_elem_set(A64Vec *v, unsigned log2, unsigned n, uint64_t x)
{
    if (log2 == 0)
        v->b[n] = (uint8_t)x;
    else if (log2 == 1)
        v->h[n] = (uint16_t)x;
    else if (log2 == 2)
        v->s[n] = (uint32_t)x;
    else
        v->d[n] = x;
}

/* simd_disas.c. An operand, value @v, of the kinds that only opcodes_simd.def has, or as a number. */
int a64_print_simd(char *buf, size_t size, const A64Args *a, const A64Operand *o, int32_t v);

/* ---- vectors in IR ---- */
static inline IrVal av_get(A64Tr *t, int n) { return ir_get(t->u, IRT_V128, A64S_V0 + (unsigned)n); }
/* Known of what is above 64 and above 32 bits of register @n: nothing, or that it is 0. */
static inline void av_know(A64Tr *t, int n, bool zero64, bool zero32)
{
    t->zero64 = (t->zero64 & ~(1u << n)) | (uint32_t)zero64 << n;
    t->zero32 = (t->zero32 & ~(1u << n)) | (uint32_t)zero32 << n;
}
static inline void av_put(A64Tr *t, int n, IrVal v)
{
    av_know(t, n, false, false);
    ir_put(t->u, IRT_V128, A64S_V0 + (unsigned)n, v);
}
static inline IrVal av_op1(A64Tr *t, unsigned vop, IrVal a, unsigned k) { return ir_vop(t->u, IRT_V128, vop, a, 0, 0, k); }
static inline IrVal av_op2(A64Tr *t, unsigned vop, IrVal a, IrVal b) { return ir_vop(t->u, IRT_V128, vop, a, b, 0, 0); }
static inline IrVal av_op2i(A64Tr *t, unsigned vop, IrVal a, IrVal b, unsigned k) { return ir_vop(t->u, IRT_V128, vop, a, b, 0, k); }
static inline IrVal av_op3(A64Tr *t, unsigned vop, IrVal a, IrVal b, IrVal c) { return ir_vop(t->u, IRT_V128, vop, a, b, c, 0); }
/* The low 64 bits, zero-extended; of a result, unless the instruction is one of 128 bits. */
static inline IrVal av_low(A64Tr *t, IrVal v) { return av_op1(t, VOP_MOVQ, v, 0); }
static inline void av_put_q(A64Tr *t, int n, IrVal v, bool q)
{
    av_put(t, n, q ? v : av_low(t, v));
    av_know(t, n, !q, false);
}
/* A value whose rest is 0 already, of 2^log2 bytes. */
static inline void av_put_zeroed(A64Tr *t, int n, IrVal v, unsigned log2)
{
    av_put(t, n, v);
    av_know(t, n, log2 <= 3, log2 <= 2);
}
static inline IrVal av_zero(A64Tr *t) { return ir_vconst(t->u, 0, 0); }
static inline IrVal av_ones(A64Tr *t) { return ir_vconst(t->u, ~0ull, ~0ull); }
/* The low element of 2^log2 bytes, zero-extended. */
IrVal av_low_elem(A64Tr *t, IrVal v, unsigned log2);
void av_put_scalar(A64Tr *t, int n, IrVal v, unsigned log2);
/* Value @v in every element. */
IrVal av_splat(A64Tr *t, unsigned log2, uint64_t v);
/* Element @index in all of them. */
IrVal av_dup(A64Tr *t, IrVal v, unsigned log2, unsigned index);
/* By element: register and index of rm and hlm. */
unsigned av_elem(const A64Args *a, unsigned *ret_reg);
/* The whole instruction by helper: of integer operations, of floating-point ones (FPO_), of conversions. */
void av_int_helper(A64Tr *t, const A64Args *a, A64Shape shape, unsigned flags, int shift);

/* Where an operation is done in line: on elements of 2^log2 bytes, 128 bits of them with q. */
typedef struct Av { A64Tr *t; const A64Args *a; unsigned log2; bool q; } Av;
/* simd_int.c. On vectors: of elements of 2^log2 bytes; 0: there is no such code. @d: the destination's old value. */
IrVal av_inline(const Av *v, unsigned op, IrVal n, IrVal m, IrVal d);
/* simd_rare.c, of which av_inline knows too; polynomial products of bytes, of 16 bits. */
IrVal av_rare(const Av *v, unsigned op, IrVal n, IrVal m, IrVal d);
IrVal av_pmull8(const Av *v, IrVal n, IrVal m);
/* simd_shift.c */
IrVal av_shift(const Av *v, unsigned op, IrVal n, IrVal d, unsigned shift);
/* Something was saturated: where @diff is not 0. */
void av_note_sat(A64Tr *t, IrVal diff);
static inline IrVal av_vop(const Av *v, const uint16_t vops[4], IrVal a, IrVal b) { return av_op2(v->t, vops[v->log2], a, b); }
extern const uint16_t av_padd[4], av_psub[4], av_pcmpeq[4], av_pcmpgt[4], av_psrli[4], av_pslli[4];
IrVal av_not(A64Tr *t, IrVal v);
/* Elements of the low or high half, extended to twice their width. */
IrVal av_extend(const Av *v, IrVal x, bool sign, bool high);
/* Elements @odd (or even) of twice the width into the low half, 0 above. */
IrVal av_halves(const Av *v, IrVal x, bool odd);
/* Elements with even or odd numbers of @n, then of @m. */
IrVal av_unzip(const Av *v, IrVal n, IrVal m, bool odd);
/* Elements of the low or high halves, in turns. */
IrVal av_zip(const Av *v, IrVal n, IrVal m, bool high);
/* simd_perm.c. Element @index <- the low one of an integer (I64 for 8 bytes, else I32). */
IrVal av_insert(A64Tr *t, IrVal into, IrVal x, unsigned log2, unsigned index);
/* An integer in every element. */
IrVal av_broadcast(A64Tr *t, IrVal x, unsigned log2);
/* Bytes of @count vectors taken as one, 0xff: 0. */
IrVal av_gather(A64Tr *t, const IrVal *from, unsigned count, const uint8_t by[16]);
/* Narrowing of elements twice as wide; 0: no such code. */
IrVal av_narrow(const Av *v, unsigned op, IrVal x);
/* A narrow result @x (low half, 0 above) into the destination's half. */
void av_put_narrow(A64Tr *t, const A64Args *a, IrVal x);

/* ---- floating point ---- */
/* The whole instruction by helper: FPO_ @op, conversions A64V_ @op. @ra: the addend's register. */
void av_fp_helper(A64Tr *t, const A64Args *a, unsigned op, A64Shape shape, unsigned flags, int ra);
void av_cvt_helper(A64Tr *t, const A64Args *a, unsigned flags, int fbits);
uint64_t av_fp_imm(unsigned imm, unsigned log2);   /* VFPExpandImm */
/* fpfz.c. Before and behind an operation under FPCR.FZ; nothing without it. Operands that are not there are 0. A sum's or fused result is looked at. */
typedef enum A64Fz { A64FZ_PLAIN, A64FZ_MUL, A64FZ_DIV, A64FZ_TO_SINGLE } A64Fz;
void av_fz_before(A64Tr *t, A64Fz how, bool dbl, bool scalar, IrVal n, IrVal m, IrVal d, unsigned slow);
void av_fz_after(A64Tr *t, bool dbl, bool scalar, IrVal r, unsigned slow);
/* @x times 2^@power, exact: for conversions of fixed-point numbers. @power > 0: to @slow if the result is too large for any integer. */
IrVal av_times_power(A64Tr *t, bool dbl, bool scalar, IrVal x, int power, unsigned slow);
/* simd_half.c. Whether FPO_ @op on halves has code in line; that, of vectors (128 bits with @q) or of the low element; what lies above is anything.
 * @d: of fused ones. The low half as a single, 0 above. */
bool av_half_in_line(const A64Tr *t, unsigned op);
IrVal av_half(A64Tr *t, unsigned op, bool scalar, bool q, IrVal n, IrVal m, IrVal d, unsigned slow);
IrVal av_half_to_single(A64Tr *t, IrVal x);
IrVal av_to_halves(A64Tr *t, IrVal x, unsigned slow);
/* The same of singles that were rounded before: to @slow where that shows. */
IrVal av_to_halves_again(A64Tr *t, IrVal x, unsigned slow);
/* Not by the host's instructions: halves. @log2: of the format. */
static inline bool av_fp_exact(unsigned log2) { return log2 == 1; }
/* fp.c. To @slow if scalar @v is a NaN; with @tiny also if it is the smallest normal number, where host and ARM may not agree on underflow. */
void av_check(A64Tr *t, IrVal v, bool dbl, bool tiny, unsigned slow);
/* The same of vectors: any element. */
void av_check_all(A64Tr *t, IrVal v, bool dbl, bool tiny, unsigned slow);
/* To @slow unless all of @v is 0. */
void av_any_to(A64Tr *t, IrVal v, unsigned slow);
/* The operation of two operands FPO_ @op on vectors or on the low elements (the rest of @n stays), checked; 0: no such code. */
IrVal av_fp_binary(A64Tr *t, unsigned op, bool dbl, bool scalar, IrVal n, IrVal m, unsigned slow);
/* @x rounded to integers by FPO_RINT @op; SQRT, ABS, NEG too. */
IrVal av_fp_unary(A64Tr *t, unsigned op, bool dbl, bool scalar, IrVal x, unsigned slow);
/* @x rounded to the nearest integer, ties away from zero; NaN for infinities, 0 without its sign. No flag but their invalid operation. */
IrVal av_nearest_away(A64Tr *t, bool dbl, bool scalar, IrVal x);
/* Low element of @x to an integer of 32 or 64 bits by A64V_FCVT @op. And back. */
IrVal av_to_int(A64Tr *t, unsigned op, bool dbl, bool wide, IrVal x, unsigned slow);
IrVal av_from_int(A64Tr *t, bool sign, bool dbl, bool wide, IrVal x, unsigned slow);
