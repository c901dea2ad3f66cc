/*
 * IR_NATIVE: the guest is of the host's kind and an instruction works on registers that both share. IRN_X87: the guest's x87 registers, status and
 * control words are the host's own while GuestIsa.fpu_live_offset's byte is set, and each instruction is itself. Exceptions are masked (the guest's mode
 * key sees to that), so nothing traps; all else (stack faults, tags, rounding) the host's unit does as the guest's would.
 */
#include "tcg/host/x86_64/gen.h"

enum { FNSTSW_AX = 0xdfe0, FLDCW = 0xd928 };

static void ensure_live(Gen *g)
{
    if (g->fpu_live)
        return;
    gen_clobber_flags(g);
    asm_alu_mi(&g->a, 7, mem_bd(RBP, (int32_t)g->isa->fpu_live_offset - STATE_BIAS), 0, 1);
    SlowPath *s = gen_slow_new(g);
    s->kind = THUNK_NLOAD;
    s->from = asm_jcc(&g->a, IRC_E);
    s->back = g->a.p;
    g->fpu_live = true;
}

/* Which memory forms D8 + op, /reg write. */
static bool is_store(unsigned op, unsigned reg)
{
    static const uint8_t stores[8] = { [1] = 0x8c, [3] = 0x8e, [5] = 0x8e, [7] = 0xce };
    return stores[op] >> reg & 1;
}

static void x87_mem(Gen *g, IrInsn *i, unsigned op, unsigned reg, unsigned size)
{
    SlowPath *s;
    bool write = is_store(op, reg);
    gen_clobber_flags(g);
    Mem m = gen_guest_mem(g, i, i->b, size, write, &s);
    asm_rm(&g->a, 0xd8 + op, reg, m);
    gen_note_fault(g, &(FlagSource){ 0 }, false);
    if (!s)
        return;
    s->kind = write ? THUNK_NCHECK : THUNK_NLD;
    s->dst = (uint8_t)(op << 3 | reg);
    s->back = g->a.p;
}

void gen_native_slow(Gen *g, const SlowPath *s)
{
    if (s->kind == THUNK_NLOAD) {
        gen_slow_call(g, s, THUNK_NLOAD);
        return;
    }
    gen_slow_head(g, s);
    gen_slow_call(g, s, s->kind);
    asm_rm(&g->a, 0xd8u + (s->dst >> 3), s->dst & 7, ENV(g, vspill[15]));
    if (s->kind == THUNK_NCHECK)
        gen_slow_call(g, s, THUNK_NST);
}

static void emit_bytes(Gen *g, unsigned code)
{
    a8(&g->a, code >> 8);
    a8(&g->a, code);
}

bool gen_native(Gen *g, IrInsn *i)
{
    int64_t k, size = 0;
    if (i->op != IR_NATIVE || i->aux != IRN_X87 || !ir_is_const(g->u, i->a, &k))
        return false;
    unsigned code = (unsigned)k & 0xffff, modrm = code & 255, op = code >> 8 & 7;
    ir_is_const(g->u, i->d, &size);
    ensure_live(g);
    gen_slots_change(g);
    if (modrm >= 0xc0) {
        if (i->c)
            gen_use_flags(g, i->c);
        if (code == FNSTSW_AX)
            gen_take(g, RAX);
        if (i->type == IRT_FL)
            gen_clobber_flags(g);
        emit_bytes(g, code);
        if (i->type == IRT_FL)
            gen_set_flags(g, (IrVal)g->at);
        else if (code == FNSTSW_AX)
            gen_def(g, RAX);
    } else if ((code & 0xff38) == FLDCW) {
        asm_store(&g->a, ENV(g, arg[0]), gen_reg(g, i->b), false);
        asm_rm(&g->a, 0xd9, 5, ENV(g, arg[0]));
    } else {
        x87_mem(g, i, op, modrm >> 3 & 7, (unsigned)size);
    }
    return true;
}
