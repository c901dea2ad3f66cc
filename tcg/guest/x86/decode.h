#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "tcg/x86_opcodes.h"

/* The decoder: bytes to X86Insn, driven by the tables made of opcodes.def. Knows nothing of the IR. */

typedef enum X86OpndKind {
    X86O_NONE, X86O_E, X86O_G, X86O_M, X86O_R, X86O_I, X86O_J, X86O_O, X86O_S, X86O_C, X86O_D, X86O_A, X86O_X, X86O_Y, X86O_Z, X86O_B,
    X86O_V, X86O_W, X86O_H, X86O_U, X86O_L, X86O_P, X86O_Q, X86O_N, X86O_T,
    X86O_REG, X86O_SEG, X86O_XMM, X86O_ST, X86O_ONE      /* fixed: X86Opnd.reg */
} X86OpndKind;

typedef enum X86OpndSize {
    X86Z_none, X86Z_b, X86Z_w, X86Z_d, X86Z_q, X86Z_v, X86Z_z, X86Z_y, X86Z_n, X86Z_bs, X86Z_dq, X86Z_qq, X86Z_x, X86Z_ps, X86Z_pd,
    X86Z_ss, X86Z_sd, X86Z_s, X86Z_p, X86Z_a, X86Z_t
} X86OpndSize;

/* The match key has one bit of each field set; an entry is taken if it accepts them all. */
enum {
    X86K_REG = 0, X86K_RM = 8, X86K_MOD = 16,            /* memory, register */
    X86K_PFX = 18,                                       /* none, 66, F3, F2 */
    X86K_MODE = 22, X86K_OSZ = 24, X86K_W = 27, X86K_L = 29, X86K_VVVV = 31
};
enum { X86A_D64 = 1, X86A_F64 = 2, X86A_LOCK = 4, X86A_VSIB = 8 };      /* X86Op.attrs */
enum { X86_MAP_1, X86_MAP_0F, X86_MAP_38, X86_MAP_3A, X86_MAP_V1, X86_MAP_V2, X86_MAP_V3, X86_MAPS };

typedef struct X86Opnd { uint8_t kind, size, reg; } X86Opnd;
typedef void X86EmitFn(struct X86Tr *t);
typedef struct X86Op {
    const char *name;
    X86EmitFn *emit;
    int32_t arg;
    uint32_t accept;
    uint8_t feature;           /* X86F_ */
    uint8_t attrs;
    uint8_t undef;             /* flags left undefined: bits C P A Z S O from bit 0 up */
    uint8_t map, opcode;
    uint16_t line;             /* in opcodes.def */
    X86Opnd opnd[4];
} X86Op;
extern const X86Op x86_ops[X86_N_OPS];
extern const char *const x86_feature_names[X86F_COUNT];

enum { X86_NO_REG = 0xff, X86_REG_PC = 0xfe };

typedef struct X86Insn {
    const X86Op *op;
    uint8_t len, opcode, mode;             /* mode: X86M_CODE16/32/64 */
    uint8_t opsize, adsize;                /* log2 of bytes: 1 2 3 */
    uint8_t rep, lock, opsz_pfx;           /* rep: 0, 0xF2, 0xF3; opsz_pfx: 66 present */
    uint8_t rex, rex_w, vex, vex_l, vvvv;  /* rex: the byte or 0; vex: any VEX form; vvvv already inverted */
    uint8_t modrm, mod, reg, rm;           /* reg, rm with REX bits; rm of memory forms: unspecified */
    uint8_t seg;                           /* effective segment of the memory operand (X86_ES..) */
    uint8_t seg_pfx;                       /* the override given, or X86_NO_REG; FS/GS only in 64-bit code */
    uint8_t base, index, scale;            /* register numbers (X86A_VSIB: index is a vector's), X86_NO_REG, X86_REG_PC; scale log2 */
    int32_t disp;
    int64_t imm, imm2;                     /* I, J, O, A (offset); imm2: second immediate, A's selector */
} X86Insn;

typedef enum X86DecodeResult {
    X86D_OK,
    X86D_SHORT,                /* more bytes than @avail are needed */
    X86D_UD,                   /* invalid: #UD; len = bytes looked at */
    X86D_LONG,                 /* over 15 bytes: #GP(0) */
} X86DecodeResult;

/* Decode one instruction of @avail bytes in the code width of the mode key (x86.h: X86M_CODE, X86M_PE, X86M_VM86 are looked at). */
X86DecodeResult x86_decode(const uint8_t *code, unsigned avail, uint64_t mode, X86Insn *ret);
/* log2 of the bytes of an operand of size class @size; X86_NO_REG where it has no power-of-two size. */
unsigned x86_opnd_log2(const X86Insn *in, unsigned size);
static inline bool x86_opnd_is_mem(const X86Insn *in, unsigned n)
{
    unsigned k = in->op->opnd[n].kind;
    return k == X86O_M || k == X86O_O || k == X86O_X || k == X86O_Y || ((k == X86O_E || k == X86O_W || k == X86O_Q) && in->mod != 3);
}
