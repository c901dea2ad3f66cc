/* Vector operations: one host instruction each, by the table in tcg/vops.def. */
#include "tcg/host/x86_64/gen.h"
#include "tcg/vops.h"

typedef enum Form { BIN, BINI, UN, UNI, SBIN, SBINI, WIDEN, NARROW, TRI, FMA, FROMI, FROMI0, TOI, TOIMR, TOFL, INS, TOII, TOIIMR, INS128, EXT128,
                    SHI2, SHI3, SHI4, SHI6, SHI7, LEG, LEGI, LEGX0, NARROWIMR, PCI, PCE } Form;
typedef struct VopEnc { uint32_t enc; uint8_t form; } VopEnc;

static const VopEnc vop_enc[VOPS] = {
#define VOP(name, form, enc, fp) [VOP_##name] = { enc, form },
#include "tcg/vops.def"
#undef VOP
};
static const uint8_t shift_digit[] = { [SHI2] = 2, [SHI3] = 3, [SHI4] = 4, [SHI6] = 6, [SHI7] = 7 };

static unsigned L_of(IrType t) { return t == IRT_V256 ? O_L : 0; }

/* Second operand from memory where it lies there; of the state's it is no copy that would be worth a register. */
static bool src_mem(Gen *g, IrVal v, IrType need, unsigned tail, Mem *m)
{
    Loc l = g->loc[v];
    if (g->u->insn[v].type != need || need == IRT_V64)
        return false;
    if (l.kind == L_VCONST)
        *m = gen_vconst_mem(g, v, tail);
    else if (l.kind == L_SLOT)
        *m = gen_slot_mem(g, l.n);
    else if (l.kind == L_VSPILL && !gen_live_after(g, v))
        *m = gen_env(g, offsetof(TcgEnv, vspill) + 32 * l.n);
    else
        return false;
    return true;
}

/* Whether an immediate byte ends the instruction. */
static unsigned tail_of(unsigned form) { return form == BINI || form == UNI || form == SBINI || form == TRI || form == INS128 || form == LEGI; }

/* reg, vvvv, r/m = v; @tail: bytes that follow */
static void emit_src(Gen *g, unsigned op, unsigned reg, unsigned vvvv, IrVal v, IrType need, unsigned tail)
{
    Mem m;
    if (src_mem(g, v, need, tail, &m))
        asm_vrm(&g->a, op, reg, vvvv, m);
    else
        asm_vrr(&g->a, op, reg, vvvv, gen_xreg(g, v));
}

static void gen_fma(Gen *g, IrInsn *i, unsigned op)
{
    Mem m;
    unsigned b = gen_xreg(g, i->b);
    bool mem = src_mem(g, i->c, i->type, 0, &m);
    unsigned c = mem ? NOREG : gen_xreg(g, i->c), dst = gen_xdst(g);
    if (dst == b || dst == c)
        dst = gen_xtmp(g);
    unsigned a = gen_xreg(g, i->a);
    if (a != dst)              /* what is above the result becomes 0 in any case */
        asm_vrr(&g->a, 0x6f | M_0F | P_F3 | L_of(i->type), dst, NOREG, a);
    if (mem)
        asm_vrm(&g->a, op, dst, b, m);
    else
        asm_vrr(&g->a, op, dst, b, c);
    gen_xdef(g, dst, true);
}

static bool gen_vop_vec(Gen *g, IrInsn *i, const VopEnc *e, unsigned imm)
{
    unsigned op = e->enc | L_of(i->type), a, dst;
    switch (e->form) {
    case BIN: case BINI: case SBIN: case SBINI:
        a = gen_xreg(g, i->a);
        dst = gen_xdst(g);
        emit_src(g, op, dst, a, i->b, e->form >= SBIN ? IRT_NONE : i->type, tail_of(e->form));
        break;
    case UN: case UNI:
        dst = gen_xdst(g);
        emit_src(g, op, dst, NOREG, i->a, i->type, tail_of(e->form));
        break;
    case WIDEN:
        dst = gen_xdst(g);
        emit_src(g, op, dst, NOREG, i->a, IRT_NONE, 0);
        break;
    case NARROW:
        dst = gen_xdst(g);
        emit_src(g, e->enc | L_of(g->u->insn[i->a].type), dst, NOREG, i->a, g->u->insn[i->a].type, 0);
        break;
    case TRI:
        a = gen_xreg(g, i->a);
        unsigned c = gen_xreg(g, i->c);
        dst = gen_xdst(g);
        emit_src(g, op, dst, a, i->b, i->type, 1);
        imm = c << 4;
        a8(&g->a, imm);
        gen_xdef(g, dst, true);
        return true;
    case FMA:
        gen_fma(g, i, op);
        return true;
    default:
        return false;
    }
    if (e->form == BINI || e->form == UNI || e->form == SBINI)
        a8(&g->a, imm);
    gen_xdef(g, dst, true);
    return true;
}

/* ---- forms without VEX, which keep the upper half of the register: the guest's own, straight into the guest's register ---- */
/* @home holds @a, so that a two-operand instruction may work on it; false: @other is there and would be lost. */
static bool low_start(Gen *g, unsigned home, IrVal a, unsigned other)
{
    if (gen_in_xhome(g, a, home))
        return true;
    if (other == home)
        return false;
    asm_rr(&g->a, 0x28 | M_0F, home, gen_xreg(g, a));
    return true;
}

static bool low_binary(Gen *g, IrInsn *i, const VopEnc *e, unsigned home)
{
    Mem m;
    bool mem = e->form < SBIN && src_mem(g, i->b, IRT_V128, tail_of(e->form), &m);
    unsigned b = mem ? NOREG : gen_xreg(g, i->b);
    if (!low_start(g, home, i->a, b))
        return false;
    if (mem)
        asm_rm(&g->a, e->enc, home, m);
    else
        asm_rr(&g->a, e->enc, home, b);
    return true;
}

static bool low_from_int(Gen *g, IrInsn *i, const VopEnc *e, unsigned home)
{
    unsigned w = i->imm >> 24 & 1 ? O_W : 0;
    unsigned b = gen_reg(g, e->form == FROMI0 ? i->a : i->b);
    if (e->form != FROMI0)
        low_start(g, home, i->a, NOREG);
    asm_rr(&g->a, e->enc | w, home, b);
    return true;
}

static bool gen_vop_low(Gen *g, IrInsn *i, const VopEnc *e, unsigned imm)
{
    int home = gen_xhint(g, true);
    if (home < 0 || i->type != IRT_V128 || e->enc & O_W)
        return false;
    bool ok = false;
    unsigned h = (unsigned)home;
    switch (e->form) {
    case BIN: case BINI: case SBIN: case SBINI: case LEG: case LEGI:
        ok = low_binary(g, i, e, h);
        break;
    case LEGX0:
        ok = gen_in_xhome(g, i->c, 0) && h && low_binary(g, i, e, h);
        break;
    case UN: case UNI: case WIDEN: case NARROW:
        ok = g->u->insn[i->a].type == IRT_V128;
        if (ok)
            asm_rr(&g->a, e->enc, h, gen_xreg(g, i->a));
        break;
    case SHI2: case SHI3: case SHI4: case SHI6: case SHI7:
        ok = low_start(g, h, i->a, NOREG);
        asm_rr(&g->a, e->enc, shift_digit[e->form], h);
        break;
    case FROMI: case INS: case FROMI0:
        ok = low_from_int(g, i, e, h);
        break;
    default: break;
    }
    if (!ok)
        return false;
    if (e->form == BINI || e->form == SBINI || e->form == UNI || e->form == LEGI || e->form == INS || (e->form >= SHI2 && e->form <= SHI7))
        a8(&g->a, imm);
    gen_xdef(g, h, false);
    return true;
}

/* No VEX form: the result overwrites the first operand; SHA256RNDS2 has its third in xmm0. */
static bool gen_vop_legacy(Gen *g, IrInsn *i, const VopEnc *e, unsigned imm)
{
    if (e->form != LEG && e->form != LEGI && e->form != LEGX0)
        return false;
    unsigned mov = 0x6f | M_0F | P_F3, a = gen_xreg(g, i->a), dst = gen_xtmp(g);
    asm_vrr(&g->a, mov, dst, NOREG, a);
    unsigned b = gen_xreg(g, i->b);
    bool third = e->form == LEGX0 && !gen_in_xhome(g, i->c, 0);
    Mem save = ENV(g, vsave[0]);
    if (third) {
        unsigned c = gen_xreg(g, i->c);
        if (b == 0) {
            b = gen_xtmp(g);
            asm_vrr(&g->a, mov, b, NOREG, 0);
        }
        asm_vrm(&g->a, 0x7f | M_0F | P_F3 | O_L, 0, NOREG, save);
        asm_vrr(&g->a, mov, 0, NOREG, c);
    }
    asm_rr(&g->a, e->enc, dst, b);
    if (e->form == LEGI)
        a8(&g->a, imm);
    if (third)
        asm_vrm(&g->a, mov | O_L, 0, NOREG, save);
    gen_xdef(g, dst, true);
    return true;
}

/* Forms with an immediate that picks a lane or a count. */
static bool gen_vop_lane(Gen *g, IrInsn *i, const VopEnc *e, unsigned imm)
{
    unsigned op = e->enc | L_of(i->type), a, dst;
    switch (e->form) {
    case SHI2: case SHI3: case SHI4: case SHI6: case SHI7:
        a = gen_xreg(g, i->a);
        dst = gen_xdst(g);
        asm_vrr(&g->a, op, shift_digit[e->form], dst, a);
        break;
    case INS128:
        a = gen_xreg(g, i->a);
        dst = gen_xdst(g);
        emit_src(g, e->enc | O_L, dst, a, i->b, IRT_V128, 1);
        break;
    case EXT128:
        a = gen_xreg(g, i->a);
        dst = gen_xdst(g);
        asm_vrr(&g->a, e->enc | O_L, a, NOREG, dst);
        break;
    case NARROWIMR:
        a = gen_xreg(g, i->a);
        dst = gen_xdst(g);
        asm_vrr(&g->a, e->enc | L_of(g->u->insn[i->a].type), a, NOREG, dst);
        break;
    default:
        return false;
    }
    a8(&g->a, imm);
    gen_xdef(g, dst, true);
    return true;
}

static bool gen_vop_int(Gen *g, IrInsn *i, const VopEnc *e, unsigned imm)
{
    unsigned a, dst, w, wide = i->imm >> 24 & 1 ? O_W : 0;   /* not by type: a truncation is an alias of its operand */
    switch (e->form) {
    case FROMI: case INS:
        a = gen_xreg(g, i->a);
        unsigned b = gen_reg(g, i->b);
        dst = gen_xdst(g);
        w = wide;
        asm_vrr(&g->a, e->enc | w, dst, a, b);
        if (e->form == INS)
            a8(&g->a, imm);
        gen_xdef(g, dst, true);
        return true;
    case FROMI0:
        b = gen_reg(g, i->a);
        dst = gen_xdst(g);
        w = wide;
        asm_vrr(&g->a, e->enc | w, dst, NOREG, b);
        gen_xdef(g, dst, true);
        return true;
    case TOI: case TOIMR: case TOII: case TOIIMR:
        a = gen_xreg(g, i->a);
        dst = gen_dst(g, 0);
        w = (i->type == IRT_I64 ? O_W : 0) | L_of(g->u->insn[i->a].type);
        if (e->form == TOIMR || e->form == TOIIMR)
            asm_vrr(&g->a, e->enc | w, a, NOREG, dst);
        else
            asm_vrr(&g->a, e->enc | w, dst, NOREG, a);
        if (e->form >= TOII)
            a8(&g->a, imm);
        gen_def(g, dst);
        return true;
    case TOFL:
        gen_clobber_flags(g);
        a = gen_xreg(g, i->a);
        emit_src(g, e->enc | L_of(g->u->insn[i->a].type), a, NOREG, i->b, g->u->insn[i->a].type, 0);
        gen_set_flags(g, (IrVal)g->at);
        return true;
    default:
        return false;
    }
}

/* PCMPISTRI, PCMPESTRI: index in ECX and flags. */
static bool gen_vop_string(Gen *g, IrInsn *i, const VopEnc *e, unsigned imm)
{
    bool lengths = e->form == PCE;
    if (e->form != PCI && !lengths)
        return false;
    gen_clobber_flags(g);
    if (lengths) {
        gen_spill_temps(g);
        gen_take(g, RAX);
        gen_take(g, RDX);
        gen_reg_into(g, i->c, RAX, 8);
        gen_reg_into(g, i->d, RDX, 8);
    }
    gen_take(g, RCX);
    emit_src(g, e->enc | (lengths ? O_W : 0), gen_xreg(g, i->a), NOREG, i->b, IRT_V128, 1);
    a8(&g->a, imm);
    gen_def(g, RCX);
    g->fl_cur = i->fl;
    return true;
}

bool gen_vop(Gen *g, IrInsn *i)
{
    unsigned n = i->imm & 0xffff, imm = i->imm >> 16 & 255;
    if (n >= VOPS)
        return false;
    return gen_vop_low(g, i, &vop_enc[n], imm) || gen_vop_legacy(g, i, &vop_enc[n], imm) || gen_vop_vec(g, i, &vop_enc[n], imm) || gen_vop_lane(g, i, &vop_enc[n], imm) || gen_vop_int(g, i, &vop_enc[n], imm) ||
        gen_vop_string(g, i, &vop_enc[n], imm);
}
