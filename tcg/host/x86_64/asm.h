#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/*
 * Encoder for x86-64 (SDM vol. 2, chapter 2). Writes where p points while there is room; past the end it only counts, the
 * caller looks at asm_full() once a unit.
 */
typedef struct Asm { uint8_t *p, *end; } Asm;

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, RIPREG = 0x40, NOREG = 0xff };

/* base, index NOREG: none; scale: log2. base RIPREG: disp is the low half of the target's address, scale how many bytes of the instruction follow. */
typedef struct Mem { uint8_t base, index, scale; int32_t disp; } Mem;

/* Instruction word: opcode | map << 8 | prefix | flags */
enum { M_0F = 0x100, M_38 = 0x200, M_3A = 0x300, P_66 = 0x1000, P_F3 = 0x2000, P_F2 = 0x3000,
       O_W = 0x10000,          /* REX.W */
       O_B = 0x20000,          /* reg operand is a byte register */
       O_BM = 0x40000,         /* r/m register operand is a byte register */
       O_LOCK = 0x80000, O_L = 0x100000 /* VEX.L */ };

static inline bool asm_full(const Asm *a) { return a->p > a->end; }
static inline void a8(Asm *a, unsigned v) { if (a->p < a->end) *a->p = (uint8_t)v; a->p++; }
static inline void a32(Asm *a, uint32_t v) { if (a->p + 4 <= a->end) memcpy(a->p, &v, 4); a->p += 4; }
static inline void a64(Asm *a, uint64_t v) { if (a->p + 8 <= a->end) memcpy(a->p, &v, 8); a->p += 8; }

static inline void asm_modrm_mem(Asm *a, unsigned reg, Mem m)
{
    if (m.base == RIPREG) {
        a8(a, (reg & 7) << 3 | 5);
        a32(a, (uint32_t)m.disp - (uint32_t)(uintptr_t)(a->p + 4 + m.scale));
        return;
    }
    if (m.base == NOREG) {
        a8(a, (reg & 7) << 3 | 4);
        a8(a, m.scale << 6 | (m.index == NOREG ? 4 : m.index & 7) << 3 | 5);
        a32(a, (uint32_t)m.disp);
        return;
    }
    bool sib = m.index != NOREG || (m.base & 7) == RSP;
    unsigned mod = m.disp == 0 && (m.base & 7) != RBP ? 0 : m.disp == (int8_t)m.disp ? 1 : 2;
    a8(a, mod << 6 | (reg & 7) << 3 | (sib ? 4 : m.base & 7));
    if (sib)
        a8(a, m.scale << 6 | (m.index == NOREG ? 4 : m.index & 7) << 3 | (m.base & 7));
    if (mod == 1)
        a8(a, (unsigned)m.disp);
    else if (mod == 2)
        a32(a, (uint32_t)m.disp);
}

static inline void asm_prefixes(Asm *a, unsigned op, unsigned reg, unsigned index, unsigned base, bool force_rex)
{
    static const uint8_t pfx[4] = { 0, 0x66, 0xf3, 0xf2 };
    if (op & O_LOCK)
        a8(a, 0xf0);
    if (op >> 12 & 3)
        a8(a, pfx[op >> 12 & 3]);
    unsigned rex = (op & O_W ? 8 : 0) | (reg & 8 ? 4 : 0) | (index != NOREG && index & 8 ? 2 : 0) | (base != NOREG && base & 8 ? 1 : 0);
    if (rex || force_rex)
        a8(a, 0x40 | rex);
    if (op >> 8 & 3)
        a8(a, 0x0f);
    if ((op >> 8 & 3) == 2)
        a8(a, 0x38);
    if ((op >> 8 & 3) == 3)
        a8(a, 0x3a);
    a8(a, op & 0xff);
}

static inline void asm_rr(Asm *a, unsigned op, unsigned reg, unsigned rm)
{
    bool force = (op & O_B && reg >= 4) || (op & O_BM && rm >= 4);
    asm_prefixes(a, op, reg, NOREG, rm, force);
    a8(a, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

static inline void asm_rm(Asm *a, unsigned op, unsigned reg, Mem m)
{
    asm_prefixes(a, op, reg, m.index, m.base, op & O_B && reg >= 4);
    asm_modrm_mem(a, reg, m);
}

/* VEX: op as above (map, prefix, O_W, O_L); vvvv: NOREG if unused */
static inline void asm_vex(Asm *a, unsigned op, unsigned reg, unsigned vvvv, unsigned index, unsigned base)
{
    static const uint8_t pp[4] = { 0, 1, 2, 3 };
    unsigned v = vvvv == NOREG ? 0 : vvvv;
    bool x = index != NOREG && index & 8, b = base != NOREG && base & 8;
    unsigned tail = (~v & 15) << 3 | (op & O_L ? 4 : 0) | pp[op >> 12 & 3];
    if (!x && !b && !(op & O_W) && (op >> 8 & 3) == 1) {
        a8(a, 0xc5);
        a8(a, (reg & 8 ? 0 : 0x80) | tail);
    } else {
        a8(a, 0xc4);
        a8(a, (reg & 8 ? 0 : 0x80) | (x ? 0 : 0x40) | (b ? 0 : 0x20) | (op >> 8 & 3));
        a8(a, (op & O_W ? 0x80 : 0) | tail);
    }
    a8(a, op & 0xff);
}

static inline void asm_vrr(Asm *a, unsigned op, unsigned reg, unsigned vvvv, unsigned rm)
{
    asm_vex(a, op, reg, vvvv, NOREG, rm);
    a8(a, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

static inline void asm_vrm(Asm *a, unsigned op, unsigned reg, unsigned vvvv, Mem m)
{
    asm_vex(a, op, reg, vvvv, m.index, m.base);
    asm_modrm_mem(a, reg, m);
}

static inline Mem mem_bd(unsigned base, int32_t disp) { return (Mem){ (uint8_t)base, NOREG, 0, disp }; }
static inline Mem mem_rip(const uint8_t *target, unsigned tail) { return (Mem){ RIPREG, NOREG, (uint8_t)tail, (int32_t)(uint32_t)(uintptr_t)target }; }
static inline Mem mem_bid(unsigned base, unsigned index, unsigned scale, int32_t disp)
{
    /* RBP and R13 as base take a displacement, and LEA of three parts has the latency of two */
    if (!scale && !disp && (base & 7) == RBP && (index & 7) != RBP && index != NOREG)
        return (Mem){ (uint8_t)index, (uint8_t)base, 0, 0 };
    return (Mem){ (uint8_t)base, (uint8_t)index, (uint8_t)scale, disp };
}

static inline void asm_mov_rr(Asm *a, unsigned dst, unsigned src, bool w) { asm_rr(a, 0x8b | (w ? O_W : 0), dst, src); }
static inline void asm_load(Asm *a, unsigned dst, Mem m, bool w) { asm_rm(a, 0x8b | (w ? O_W : 0), dst, m); }
static inline void asm_store(Asm *a, Mem m, unsigned src, bool w) { asm_rm(a, 0x89 | (w ? O_W : 0), src, m); }
static inline void asm_lea(Asm *a, unsigned dst, Mem m, bool w) { asm_rm(a, 0x8d | (w ? O_W : 0), dst, m); }

/* Shortest form of dst = imm without touching flags. */
static inline void asm_mov_imm(Asm *a, unsigned dst, int64_t v)
{
    if (v == (int64_t)(uint32_t)v) {
        if (dst & 8)
            a8(a, 0x41);
        a8(a, 0xb8 | (dst & 7));
        a32(a, (uint32_t)v);
    } else if (v == (int32_t)v) {
        asm_rr(a, 0xc7 | O_W, 0, dst);
        a32(a, (uint32_t)v);
    } else {
        a8(a, 0x48 | (dst & 8 ? 1 : 0));
        a8(a, 0xb8 | (dst & 7));
        a64(a, (uint64_t)v);
    }
}

/* op /digit with an immediate (ADD OR ADC SBB AND SUB XOR CMP); size in bytes 1 2 4 8 */
static inline unsigned asm_size_bits(unsigned bytes) { return bytes == 8 ? O_W : bytes == 2 ? P_66 : 0; }

static inline void asm_alu_ri(Asm *a, unsigned digit, unsigned reg, int32_t imm, unsigned bytes)
{
    if (bytes == 1) {
        asm_rr(a, 0x80 | O_BM, digit, reg);
        a8(a, (unsigned)imm);
    } else if (imm == (int8_t)imm) {
        asm_rr(a, 0x83 | asm_size_bits(bytes), digit, reg);
        a8(a, (unsigned)imm);
    } else {
        asm_rr(a, 0x81 | asm_size_bits(bytes), digit, reg);
        if (bytes == 2) {
            a8(a, (unsigned)imm);
            a8(a, (unsigned)imm >> 8);
        } else {
            a32(a, (uint32_t)imm);
        }
    }
}

static inline void asm_alu_mi(Asm *a, unsigned digit, Mem m, int32_t imm, unsigned bytes)
{
    bool small = imm == (int8_t)imm;
    asm_rm(a, (bytes == 1 ? 0x80u : small ? 0x83u : 0x81u) | asm_size_bits(bytes), digit, m);
    if (bytes == 1 || small) {
        a8(a, (unsigned)imm);
    } else if (bytes == 2) {
        a8(a, (unsigned)imm);
        a8(a, (unsigned)imm >> 8);
    } else {
        a32(a, (uint32_t)imm);
    }
}

/* reg op= rm: opcode of the "reg, r/m" byte form + 1, e.g. ADD 0x03 */
static inline unsigned asm_alu_op(unsigned digit, unsigned bytes)
{
    return (bytes == 1 ? (digit << 3 | 2) | O_B | O_BM : digit << 3 | 3) | asm_size_bits(bytes);
}

/* Jumps: 32-bit forms; the returned place is patched with asm_patch. */
static inline uint8_t *asm_jcc(Asm *a, unsigned cc) { a8(a, 0x0f); a8(a, 0x80 | cc); a32(a, 0); return a->p; }
static inline uint8_t *asm_jmp(Asm *a) { a8(a, 0xe9); a32(a, 0); return a->p; }
static inline uint8_t *asm_jcc8(Asm *a, unsigned cc) { a8(a, 0x70 | cc); a8(a, 0); return a->p; }
static inline void asm_patch8(Asm *a, uint8_t *at) { if (at <= a->end) at[-1] = (uint8_t)(a->p - at); }
static inline void asm_patch_to(Asm *a, uint8_t *at, const uint8_t *to)
{
    int32_t d = (int32_t)(to - at);
    if (at <= a->end)
        memcpy(at - 4, &d, 4);
}
static inline void asm_patch(Asm *a, uint8_t *at) { asm_patch_to(a, at, a->p); }
