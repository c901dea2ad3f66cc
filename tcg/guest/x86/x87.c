/*
 * x87. Where all exceptions are masked (nearly always) an instruction is IR_NATIVE: on an x86 host the guest's registers live in the host's unit and
 * the instruction is itself. Otherwise, and on other back ends, help_x87.c executes it. Pointers to the last instruction (FIP, FDP, FOP...) are
 * the translator's: a constant is stored an instruction, and made what FNSTENV shows when somebody looks (SDM 1 8.1.8).
 */
#include "tcg/guest/x86/vec.h"

/* Bytes of memory operands by opcode (D8..DF) and modrm.reg; 0: environment or state, by operand size. */
static const uint8_t mem_bytes[8][8] = {
    { 4, 4, 4, 4, 4, 4, 4, 4 }, { 4, 0xff, 4, 4, 0, 2, 0, 2 }, { 4, 4, 4, 4, 4, 4, 4, 4 }, { 4, 4, 4, 4, 0xff, 10, 0xff, 10 },
    { 8, 8, 8, 8, 8, 8, 8, 8 }, { 8, 8, 8, 8, 0, 0xff, 0, 2 }, { 2, 2, 2, 2, 2, 2, 2, 2 }, { 2, 2, 2, 2, 10, 8, 10, 8 },
};

/* Encodings that raise #UD; the manual's other gaps are aliases on every x87 since the 80387 (FSTP1, FXCH4, FCOM2, FFREEP...). */
static bool reserved(unsigned op, unsigned modrm)
{
    switch (op) {
    case 1: return (modrm >= 0xd1 && modrm <= 0xd7) || modrm == 0xe2 || modrm == 0xe3 || modrm == 0xe6 || modrm == 0xe7 || modrm == 0xef;
    case 2: return modrm >= 0xe0 && modrm != 0xe9;
    case 3: return modrm >= 0xf8 || (modrm >= 0xe5 && modrm <= 0xe7);
    case 5: return modrm >= 0xf0;
    case 6: return modrm >= 0xd8 && modrm <= 0xdf && modrm != 0xd9;
    case 7: return (modrm >= 0xe1 && modrm <= 0xe7) || modrm >= 0xf8;
    default: return false;
    }
}

static IrVal code_const(X86Tr *t) { return x86_k(t, t->in.opcode << 8 | t->in.modrm | t->in.opsize << 16); }

/* What IR_NATIVE changes behind the slots' backs on back ends that call the helper. */
static void forget(X86Tr *t)
{
    ir_forget(t->u, X86S_FSW);
    ir_forget(t->u, X86S_FTW);
    ir_forget(t->u, X86S_X87_LIVE);
    for (unsigned n = 0; n < 8; n++) {
        ir_forget(t->u, X86S_MM0 + n);
        ir_forget(t->u, X86S_MMEXP0 + n);
    }
    t->mmx_ready = false;
}

IrVal x86_x87_native(X86Tr *t, IrType type, IrVal b, IrVal c, unsigned bytes)
{
    IrVal v = ir_native(t->u, IRN_X87, type, X86H_x87, code_const(t), b, c, x86_k(t, bytes));
    forget(t);
    return v;
}

/* FIP, FOP; FDP and its segment for those with a memory operand. */
static void note_pointers(X86Tr *t)
{
    IrUnit *u = t->u;
    unsigned fop = (t->in.opcode & 7u) << 8 | t->in.modrm;
    if (!t->x87_based || t->slow) {
        ir_put(u, IRT_I64, X86S_X87_BASE, x86_rip(t, 0));
        ir_put(u, IRT_I16, X86S_FCS, ir_get(u, IRT_I16, X86S_CS_SEL));
        t->x87_based |= !t->slow;
    }
    ir_put(u, IRT_I32, X86S_X87_LAST, ir_const(u, IRT_I32, (int64_t)((uint32_t)t->off | fop << 16 | 1u << 31)));
    if (t->in.mod == 3)
        return;
    ir_put(u, IRT_I64, X86S_FDP, x86_ea(t));
    if (t->x87_seg != t->in.seg + 1u || t->slow) {
        ir_put(u, IRT_I8, X86S_X87_DSEG, ir_const(u, IRT_I8, t->in.seg + 1));
        if (!t->slow)
            t->x87_seg = (uint8_t)(t->in.seg + 1);
    }
}

/* FLDENV FNSTENV FRSTOR FNSAVE: whole formats, by helper. */
static void environment(X86Tr *t, unsigned op, unsigned reg)
{
    unsigned w = t->in.opsize == 1 ? 2 : 4, bytes = 7 * w + (op == 5 ? 80 : 0);
    IrVal lin = x86_mem(t, bytes, reg == 6);
    x86_call(t, X86H_x87, code_const(t), lin, 0, 0);
    t->x87_based = false;
    t->x87_seg = 0;
    if (reg == 4 || t->mode & X86M_XF)
        x86_leave_look(t);     /* the mode key says whether exceptions are masked */
}

/* #AC at CPL 3 where asked for: the accesses themselves are not checked. */
static void check_align(X86Tr *t, IrVal lin, unsigned bytes)
{
    unsigned align = bytes == 10 ? 8 : bytes;
    if (t->mode & X86M_AC)
        ir_brnz(t->u, IRT_I64, ir_bin(t->u, IR_AND, IRT_I64, lin, x86_k(t, align - 1)), x86_cold_raise(t, X86_AC_EXC));
}

void x86_e_x87(X86Tr *t)
{
    unsigned op = t->in.opcode & 7, modrm = t->in.modrm, reg = modrm >> 3 & 7;
    bool mem = t->in.mod != 3;
    unsigned bytes = mem ? mem_bytes[op][reg] : 0;

    if (bytes == 0xff || (!mem && reserved(op, modrm))) {
        x86_emit_ud(t);
        return;
    }
    if (x86_fpu_refused(t))
        return;
    if (mem && !bytes) {
        environment(t, op, reg);
        return;
    }
    IrVal lin = mem ? x86_mem(t, bytes, x86_x87_stores(op, reg)) : 0;
    if (mem)
        check_align(t, lin, bytes);
    bool fcomi = !mem && modrm >= 0xe8 && modrm <= 0xf7 && (op == 3 || op == 7), fcmov = !mem && (op == 2 || op == 3) && modrm < 0xe0;
    if (t->mode & X86M_XF) {
        x86_call(t, X86H_x87, code_const(t), lin, 0, x86_k(t, bytes));
    } else {
        IrVal v = x86_x87_native(t, fcomi ? IRT_FL : IRT_NONE, lin, fcmov ? ir_get(t->u, IRT_FL, X86S_FL) : 0, bytes);
        if (fcomi)
            ir_put(t->u, IRT_FL, X86S_FL, v);
    }
    note_pointers(t);
}
