#include "tcg/guest/x86/decode.h"

#include <string.h>

#include "cpu/x86/state.h"
#include "tcg/guest/x86/translate.h"
#include "tcg/vops.h"
#include "util/bits.h"

#include "tcg/x86_opcodes_tab.h"

const char *const x86_feature_names[X86F_COUNT] = { X86_FEATURE_NAMES };

enum { MAX_LEN = 15 };

typedef struct Cursor {
    const uint8_t *code;
    unsigned avail, pos;
    X86DecodeResult err;
} Cursor;

static uint8_t take8(Cursor *c)
{
    if (c->pos >= MAX_LEN)
        c->err = X86D_LONG;
    else if (c->pos >= c->avail)
        c->err = c->err ? c->err : X86D_SHORT;
    else
        return c->code[c->pos++];
    return 0;
}

/* @size bytes, sign-extended. */
static int64_t take(Cursor *c, unsigned size)
{
    if (c->err)
        return 0;
    if (c->pos + size > MAX_LEN) {
        c->err = X86D_LONG;
        return 0;
    }
    if (c->pos + size > c->avail) {
        c->err = X86D_SHORT;
        return 0;
    }
    uint64_t v = load_le(c->code + c->pos, size);
    c->pos += size;
    return bits_sext(v, size * 8);
}

/* Legacy and REX prefixes; returns the first opcode byte. A REX not right before the opcode is ignored (SDM 2A 2.2.1). */
static uint8_t take_prefixes(Cursor *c, X86Insn *in, bool *ret_adsz)
{
    for (;;) {
        uint8_t b = take8(c);
        if (c->err)
            return 0;
        switch (b) {
        case 0x26: case 0x2e: case 0x36: case 0x3e:
            if (in->mode != X86M_CODE64)
                in->seg_pfx = b >> 3 & 3;
            break;
        case 0x64: case 0x65: in->seg_pfx = X86_FS + (b - 0x64); break;
        case 0x66: in->opsz_pfx = 1; break;
        case 0x67: *ret_adsz = true; break;
        case 0xf0: in->lock = 1; break;
        case 0xf2: case 0xf3: in->rep = b; break;
        default:
            if (in->mode != X86M_CODE64 || (b & 0xf0) != 0x40)
                return b;
            in->rex = b;
            continue;
        }
        in->rex = 0;
    }
}

/* C4, C5 (SDM 2A 2.3.5). Fills the map, prefix index and the REX-like bits. */
static bool take_vex(Cursor *c, X86Insn *in, uint8_t first, unsigned *ret_map, unsigned *ret_pfx)
{
    uint8_t b1 = take8(c), b2;
    unsigned map = 1;
    if (first == 0xc4) {
        b2 = take8(c);
        map = b1 & 31;
        in->rex = 0x40 | (uint8_t)(~b1 >> 5 & 7) | (b2 >> 7 << 3);
        in->rex_w = b2 >> 7;
    } else {
        b2 = b1;
        in->rex = 0x40 | (uint8_t)(~b1 >> 7 & 1) << 2;
    }
    *ret_pfx = b2 & 3;         /* none, 66, F3, F2: the order of X86K_PFX */
    in->vex = 1;
    in->vex_l = b2 >> 2 & 1;
    in->vvvv = ~b2 >> 3 & 15;
    if (in->mode != X86M_CODE64)
        in->rex = 0;           /* W stays: it selects among vector instructions here too */
    *ret_map = X86_MAP_V1 + map - 1;
    return map >= 1 && map <= 3;
}

static void take_modrm16(Cursor *c, X86Insn *in)
{
    static const struct { uint8_t base, index; } form[8] = {
        { X86_RBX, X86_RSI }, { X86_RBX, X86_RDI }, { X86_RBP, X86_RSI }, { X86_RBP, X86_RDI },
        { X86_RSI, X86_NO_REG }, { X86_RDI, X86_NO_REG }, { X86_RBP, X86_NO_REG }, { X86_RBX, X86_NO_REG } };
    unsigned rm = in->modrm & 7;
    in->base = form[rm].base;
    in->index = form[rm].index;
    if (in->mod == 0 && rm == 6) {
        in->base = X86_NO_REG;
        in->disp = (int32_t)take(c, 2);
    } else if (in->mod) {
        in->disp = (int32_t)take(c, in->mod);
    }
}

static void take_modrm32(Cursor *c, X86Insn *in)
{
    unsigned rm = in->modrm & 7;
    unsigned b = in->rex << 3 & 8, x = in->rex << 2 & 8;
    in->base = (uint8_t)(rm | b);
    if (rm == 4) {
        uint8_t sib = take8(c);
        in->scale = sib >> 6;
        in->index = (uint8_t)((sib >> 3 & 7) | x);
        if (in->index == 4 && !(in->op->attrs & X86A_VSIB))
            in->index = X86_NO_REG;
        in->base = (uint8_t)((sib & 7) | b);
        if ((sib & 7) == 5 && in->mod == 0)
            in->base = X86_NO_REG;
    } else if (rm == 5 && in->mod == 0) {
        in->base = in->mode == X86M_CODE64 ? X86_REG_PC : X86_NO_REG;
    }
    if (in->mod == 1)
        in->disp = (int32_t)take(c, 1);
    else if (in->mod == 2 || in->base == X86_NO_REG || in->base == X86_REG_PC)
        in->disp = (int32_t)take(c, 4);
}

static void take_modrm(Cursor *c, X86Insn *in)
{
    in->modrm = take8(c);
    in->mod = in->modrm >> 6;
    in->reg = (in->modrm >> 3 & 7) | (in->rex << 1 & 8);
    in->rm = (in->modrm & 7) | (in->rex << 3 & 8);
}

/* The address part, once it is known that mod != 3 means memory. */
static void take_address(Cursor *c, X86Insn *in)
{
    if (in->adsize == 1)
        take_modrm16(c, in);
    else
        take_modrm32(c, in);
    bool stack = in->base == X86_RSP || in->base == X86_RBP;
    in->seg = stack ? X86_SS : X86_DS;
}

static void take_immediates(Cursor *c, X86Insn *in)
{
    int64_t *slot = &in->imm;
    for (unsigned i = 0; i < 4; i++) {
        X86Opnd o = in->op->opnd[i];
        if (o.kind == X86O_NONE)
            break;
        if (o.kind == X86O_A) {
            in->imm = take(c, 1u << in->opsize);
            in->imm2 = (uint16_t)take(c, 2);
        } else if (o.kind == X86O_O) {
            in->imm = take(c, 1u << in->adsize);
        } else if (o.kind == X86O_I || o.kind == X86O_J || o.kind == X86O_L) {
            unsigned n = o.size == X86Z_bs || o.kind == X86O_L ? 0 : x86_opnd_log2(in, o.size);
            *slot = take(c, 1u << n);
            if (o.size == X86Z_b || o.size == X86Z_w || o.kind == X86O_L)
                *slot &= (int64_t)bits_mask(8u << n);
            slot = &in->imm2;
        }
    }
}

unsigned x86_opnd_log2(const X86Insn *in, unsigned size)
{
    switch (size) {
    case X86Z_b: return 0;
    case X86Z_w: return 1;
    case X86Z_d: case X86Z_ss: return 2;
    case X86Z_q: case X86Z_sd: return 3;
    case X86Z_v: case X86Z_bs: return in->opsize;
    case X86Z_z: return in->opsize == 1 ? 1 : 2;
    case X86Z_y: return in->opsize == 3 ? 3 : 2;
    case X86Z_n: return in->mode == X86M_CODE64 ? 3 : 2;
    case X86Z_dq: return 4;
    case X86Z_qq: return 5;
    case X86Z_x: case X86Z_ps: case X86Z_pd: return in->vex_l ? 5 : 4;
    default: return X86_NO_REG;
    }
}

static uint32_t match_key(const X86Insn *in, unsigned pfx, bool has_modrm)
{
    uint32_t key = 1u << (X86K_PFX + pfx) | 1u << (X86K_OSZ + in->opsize - 1) | 1u << (X86K_W + in->rex_w) | 1u << (X86K_L + in->vex_l);
    key |= 1u << (X86K_MODE + (in->mode != X86M_CODE64));
    if (has_modrm)
        key |= 1u << (X86K_REG + (in->modrm >> 3 & 7)) | 1u << (X86K_RM + (in->modrm & 7)) | 1u << (X86K_MOD + (in->mod == 3));
    if (in->vvvv)
        key |= 1u << X86K_VVVV;
    return key;
}

static void default_sizes(X86Insn *in, bool adsz)
{
    if (in->mode == X86M_CODE64) {
        in->opsize = in->rex_w ? 3 : in->opsz_pfx ? 1 : 2;
        in->adsize = adsz ? 2 : 3;
    } else {
        in->opsize = (in->mode == X86M_CODE32) != in->opsz_pfx ? 2 : 1;
        in->adsize = (in->mode == X86M_CODE32) != adsz ? 2 : 1;
    }
}

/* Opcode bytes behind the prefixes: the map, and the opcode in in->opcode. False: no such map. */
static bool take_opcode(Cursor *c, X86Insn *in, uint64_t mode, unsigned *ret_map, unsigned *ret_pfx)
{
    uint8_t b = in->opcode;
    *ret_map = X86_MAP_1;
    if (b == 0x0f) {
        *ret_map = X86_MAP_0F;
        in->opcode = take8(c);
        if (in->opcode == 0x38 || in->opcode == 0x3a) {
            *ret_map = in->opcode == 0x38 ? X86_MAP_38 : X86_MAP_3A;
            in->opcode = take8(c);
        }
        return true;
    }
    /* VEX needs protected mode; outside 64-bit code the byte behind must look like mod = 3, else it is LES or LDS. */
    if ((b & 0xfe) != 0xc4 || (in->mode != X86M_CODE64 && (!(mode & X86M_PE) || (mode & X86M_VM86))))
        return true;
    if (in->mode != X86M_CODE64 && (c->pos >= c->avail || c->code[c->pos] < 0xc0))
        return true;
    bool bad = in->lock || in->opsz_pfx || in->rep || in->rex;
    bool known = take_vex(c, in, b, ret_map, ret_pfx);
    in->opcode = take8(c);
    return known && !bad;
}

static const X86Op *find_op(const X86Insn *in, unsigned map, unsigned pfx, bool has_modrm)
{
    uint32_t key = match_key(in, pfx, has_modrm);
    unsigned at = map * 256 + in->opcode;
    for (unsigned i = op_first[at]; i < op_first[at + 1]; i++)
        if (!(key & ~x86_ops[i].accept))
            return &x86_ops[i];
    return NULL;
}

X86DecodeResult x86_decode(const uint8_t *code, unsigned avail, uint64_t mode, X86Insn *in)
{
    Cursor c = { code, avail, 0, X86D_OK };
    memset(in, 0, sizeof(*in));
    in->mode = (uint8_t)X86M_CODE(mode);
    in->seg_pfx = in->base = in->index = X86_NO_REG;
    bool adsz = false;
    in->opcode = take_prefixes(&c, in, &adsz);
    if (c.err)
        return c.err;
    in->rex_w = in->rex >> 3 & 1;
    unsigned map, pfx = in->rep ? (in->rep == 0xf3 ? 2 : 3) : in->opsz_pfx;
    bool known = take_opcode(&c, in, mode, &map, &pfx);
    if (c.err || !known)
        return c.err ? c.err : X86D_UD;
    default_sizes(in, adsz);
    bool has_modrm = op_modrm[map * 256 + in->opcode];
    if (has_modrm)
        take_modrm(&c, in);
    if (c.err)
        return c.err;
    in->op = find_op(in, map, pfx, has_modrm);
    in->len = (uint8_t)c.pos;
    if (!in->op)
        return X86D_UD;
    if (in->mode != X86M_CODE64)
        in->vvvv &= 7;         /* only now: where there is no such operand all four bits count */
    if (in->mode == X86M_CODE64 && in->op->attrs & (X86A_D64 | X86A_F64) && (in->opsize == 2 || in->op->attrs & X86A_F64))
        in->opsize = 3;
    if (in->op->attrs & X86A_VSIB && in->adsize == 1)
        return X86D_UD;
    in->seg = X86_DS;
    /* MOV to and from control and debug registers ignore mod (SDM 2B). */
    bool reg_only = map == X86_MAP_0F && (in->opcode & 0xfc) == 0x20;
    if (reg_only)
        in->mod = 3;
    if (has_modrm && in->mod != 3)
        take_address(&c, in);
    if (in->seg_pfx != X86_NO_REG)
        in->seg = in->seg_pfx;
    take_immediates(&c, in);
    if (c.err)
        return c.err;
    in->len = (uint8_t)c.pos;
    if (in->lock && !(in->op->attrs & X86A_LOCK && x86_opnd_is_mem(in, 0)))
        return X86D_UD;
    return X86D_OK;
}
