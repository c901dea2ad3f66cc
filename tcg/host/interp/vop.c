/*
 * Vector operations. Not independent of the host yet: each is executed by the x86-64 instruction that tcg/vops.def names for it, in a stub
 * made with the unit, with the guest's MXCSR loaded. void stub(Val *result, const Val *a, const Val *b, const Val *c, const Val *d); PCI and PCE: flags behind the result's first eight bytes.
 */
#include "tcg/host/interp/interp.h"
#include "tcg/host/x86_64/asm.h"
#include "tcg/vops.h"

typedef enum Form { BIN, BINI, UN, UNI, SBIN, SBINI, WIDEN, NARROW, TRI, FMA, FROMI, FROMI0, TOI, TOIMR, TOFL, INS, TOII, TOIIMR, INS128, EXT128,
                    SHI2, SHI3, SHI4, SHI6, SHI7, LEG, LEGI, LEGX0, NARROWIMR, PCI, PCE } Form;
static const struct { uint32_t enc; uint8_t form; } vops[VOPS] = {
#define VOP(name, form, enc, fp) [VOP_##name] = { enc, form },
#include "tcg/vops.def"
#undef VOP
};
enum { STUB_ALIGN = 16, STUB_MAX = 64 };
typedef void Stub(Val *out, const Val *a, const Val *b, const Val *c, const Val *d);

/* vmovdqu ymm, [base] */
static void load(Asm *a, unsigned ymm, unsigned base) { asm_vrm(a, 0x6f | M_0F | P_F3 | O_L, ymm, NOREG, mem_bd(base, 0)); }

/* ymm0..2 = a b c, RAX = b as an integer (a for FROMI0, 0 for flags); the result goes to ymm0 or RAX. */
static void operation(Asm *a, const IrUnit *u, const IrInsn *i, unsigned form, unsigned enc, unsigned imm)
{
    static const uint8_t digit[] = { [SHI2] = 2, [SHI3] = 3, [SHI4] = 4, [SHI6] = 6, [SHI7] = 7 };
    unsigned L = i->type == IRT_V256 ? O_L : 0, La = u->insn[i->a].type == IRT_V256 ? O_L : 0;
    switch (form) {
    case BIN: case BINI: case SBIN: case SBINI: asm_vrr(a, enc | L, 0, 0, 1); break;
    case UN: case UNI: case WIDEN: asm_vrr(a, enc | L, 0, NOREG, 0); break;
    case NARROW: asm_vrr(a, enc | La, 0, NOREG, 0); break;
    case TRI: asm_vrr(a, enc | L, 0, 0, 1); imm = 2 << 4; break;
    case FMA: asm_vrr(a, enc | L, 0, 1, 2); break;
    case FROMI: case INS: asm_vrr(a, enc | (u->insn[i->b].type == IRT_I64 ? O_W : 0), 0, 0, RAX); break;
    case FROMI0: asm_vrr(a, enc | (u->insn[i->a].type == IRT_I64 ? O_W : 0), 0, NOREG, RAX); break;
    case TOI: case TOII: case TOIMR: case TOIIMR: asm_vrr(a, enc | La | (i->type == IRT_I64 ? O_W : 0), 0, NOREG, 0); break;
    case TOFL: asm_vrr(a, enc | La, 0, NOREG, 1); break;
    case INS128: asm_vrr(a, enc | O_L, 0, 0, 1); break;
    case NARROWIMR: asm_vrr(a, enc | La, 0, NOREG, 0); break;
    case LEG: case LEGI: asm_rr(a, enc, 0, 1); break;
    case LEGX0:
        asm_vrr(a, 0x6f | M_0F | P_F3, 3, NOREG, 0);
        asm_vrr(a, 0x6f | M_0F | P_F3, 0, NOREG, 2);
        asm_rr(a, enc, 3, 1);
        asm_vrr(a, 0x6f | M_0F | P_F3, 0, NOREG, 3);
        break;
    case EXT128: asm_vrr(a, enc | O_L, 0, NOREG, 0); break;
    case PCI: case PCE: asm_vrr(a, enc | (form == PCE ? O_W : 0), 0, NOREG, 1); break;
    default: asm_vrr(a, enc | L, digit[form], 0, 0); break;
    }
    if (form == BINI || form == UNI || form == SBINI || form == TRI || form == INS || form == TOII || form == TOIIMR || (form >= INS128 && form != LEG && form != LEGX0))
        a8(a, imm);
}

bool interp_vop_emit(TcgContext *ctx, const IrUnit *u, IrInsn *i)
{
    unsigned n = i->imm & 0xffff, imm = i->imm >> 16 & 255;
    size_t at = (ctx->used + STUB_ALIGN - 1) & ~(size_t)(STUB_ALIGN - 1);
    if (at + STUB_MAX > ctx->size)
        return false;
    unsigned form = vops[n].form;
    Asm a = { ctx->rw + at, ctx->rw + at + STUB_MAX };
    load(&a, 0, RSI);
    load(&a, 1, RDX);
    load(&a, 2, RCX);
    bool string = form == PCI || form == PCE;
    if (form == TOFL) {
        asm_mov_imm(&a, RAX, 0);
    } else if (string) {
        asm_load(&a, RAX, mem_bd(RCX, 0), true);
        asm_load(&a, RDX, mem_bd(R8, 0), true);
    } else {
        asm_load(&a, RAX, mem_bd(form == FROMI0 ? RSI : RDX, 0), true);
    }
    operation(&a, u, i, form, vops[n].enc, imm);
    if (string) {
        asm_rr(&a, 0x90 | M_0F | O_BM, 0, RAX);
        a8(&a, 0x9f);
        asm_store(&a, mem_bd(RDI, 8), RAX, true);
        asm_mov_rr(&a, RAX, RCX, true);
    } else if (form == TOFL) {
        asm_rr(&a, 0x90 | M_0F | O_BM, 0, RAX);  /* seto al; lahf */
        a8(&a, 0x9f);
    }
    if (i->type >= IRT_V64)
        asm_vrm(&a, 0x7f | M_0F | P_F3 | O_L, 0, NOREG, mem_bd(RDI, 0));
    else
        asm_store(&a, mem_bd(RDI, 0), RAX, true);
    a8(&a, 0xc5);                                /* vzeroupper; ret */
    a8(&a, 0xf8);
    a8(&a, 0x77);
    a8(&a, 0xc3);
    if (asm_full(&a))
        return false;
    i->imm = (int64_t)((uint64_t)(i->imm & 0xffffff) | (uint64_t)(at / STUB_ALIGN) << 32);
    ctx->used = at + STUB_MAX;
    return true;
}

void interp_vop(Run *r, const IrInsn *i)
{
    Val *out = &r->val[i - r->ir];
    Stub *stub = (Stub *)(uintptr_t)(r->cpu->ctx->rx + (uint64_t)i->imm / (1ull << 32) * STUB_ALIGN);
    stub(out, &r->val[i->a], &r->val[i->b], &r->val[i->c], &r->val[i->d]);
    if (i->fl)
        memcpy(&r->val[i->fl].u, out->v + 8, 8);
    if (i->fl)
        r->val[i->fl].u &= IRFL_ALL;
    if (i->type < IRT_FL)
        out->u &= interp_mask(interp_bits(i->type));
    else if (i->type == IRT_FL)
        out->u &= IRFL_ALL;
    else
        memset(out->v + ir_type_bytes(i->type), 0, sizeof(out->v) - ir_type_bytes(i->type));
}
