#include "tcg/guest/x86/translate.h"

#include "util/bits.h"

/* Operands: registers, addresses, segment checks, memory. */

unsigned x86_osz(const X86Tr *t, unsigned n)
{
    X86Opnd o = t->in.op->opnd[n];
    if (o.kind == X86O_I && o.size == X86Z_z)
        return t->in.opsize;
    return x86_opnd_log2(&t->in, o.size);
}

IrVal x86_gpr(X86Tr *t, unsigned log2, unsigned r)
{
    return ir_get(t->u, x86_type(log2), X86S_RAX + r);
}

void x86_gpr_put(X86Tr *t, unsigned log2, unsigned r, IrVal v)
{
    if (log2 == 2)
        ir_put(t->u, IRT_I64, X86S_RAX + r, ir_zext(t->u, IRT_I64, IRT_I32, v));
    else
        ir_put(t->u, x86_type(log2), X86S_RAX + r, v);
}

static bool is_high_byte(const X86Tr *t, unsigned log2, unsigned r)
{
    return log2 == 0 && r >= 4 && r < 8 && !t->in.rex;
}

IrVal x86_reg_get(X86Tr *t, unsigned log2, unsigned r)
{
    if (!is_high_byte(t, log2, r))
        return x86_gpr(t, log2, r);
    return ir_trunc(t->u, IRT_I8, ir_extract(t->u, IRT_I64, ir_get(t->u, IRT_I64, X86S_RAX + r - 4), 8, 8));
}

void x86_reg_put(X86Tr *t, unsigned log2, unsigned r, IrVal v)
{
    if (!is_high_byte(t, log2, r)) {
        x86_gpr_put(t, log2, r, v);
        return;
    }
    IrVal old = ir_get(t->u, IRT_I64, X86S_RAX + r - 4);
    ir_put(t->u, IRT_I64, X86S_RAX + r - 4, ir_deposit(t->u, IRT_I64, old, v, 8, 8));
}

unsigned x86_opnd_reg(const X86Tr *t, unsigned n)
{
    const X86Insn *in = &t->in;
    X86Opnd o = in->op->opnd[n];
    switch (o.kind) {
    case X86O_E: case X86O_R: return in->rm;
    case X86O_G: return in->reg;
    case X86O_Z: return (in->opcode & 7) | (in->rex << 3 & 8);
    case X86O_B: return in->vvvv;
    default: return o.reg;
    }
}

/* ---- addresses ---- */

static IrVal ea_16(X86Tr *t)
{
    const X86Insn *in = &t->in;
    IrVal b = in->base == X86_NO_REG ? 0 : x86_gpr(t, 2, in->base);
    IrVal x = in->index == X86_NO_REG ? 0 : x86_gpr(t, 2, in->index);
    if (!b)
        return x86_k(t, in->disp & 0xffff);
    IrVal v = ir_lea(t->u, IRT_I32, b, x, 0, in->disp);
    return ir_extract(t->u, IRT_I64, ir_zext(t->u, IRT_I64, IRT_I32, v), 0, 16);
}

IrVal x86_ea(X86Tr *t)
{
    const X86Insn *in = &t->in;
    for (unsigned n = 0; n < 4; n++)
        if (in->op->opnd[n].kind == X86O_O)
            return x86_k(t, (int64_t)((uint64_t)in->imm & bits_mask(8u << in->adsize)));
    if (in->adsize == 1)
        return ea_16(t);
    IrVal x = in->index == X86_NO_REG ? 0 : x86_gpr(t, in->adsize, in->index);
    if (in->base == X86_REG_PC) {
        IrVal pc = ir_pc(t->u, t->next + in->disp);
        return in->adsize == 3 ? pc : ir_zext(t->u, IRT_I64, IRT_I32, ir_trunc(t->u, IRT_I32, pc));
    }
    IrVal b = in->base == X86_NO_REG ? 0 : x86_gpr(t, in->adsize, in->base);
    IrVal v = ir_lea(t->u, x86_type(in->adsize), b, x, in->scale, in->disp);
    return ir_zext(t->u, IRT_I64, x86_type(in->adsize), v);
}

/* Inline for what is common: an offset inside the limit, and in protected mode an expand-up data segment (for reads
 * through CS a readable code segment). Everything else is done again by a copy of the instruction that asks a helper. */
static void check_segment(X86Tr *t, unsigned seg, IrVal off, unsigned bytes, bool write)
{
    IrUnit *u = t->u;
    if (t->slow) {
        x86_call(t, X86H_seg_check, x86_k(t, seg), off, x86_k(t, bytes | (unsigned)write << 16), 0);
        return;
    }
    IrVal last = ir_lea(u, IRT_I64, off, 0, 0, (int64_t)bytes - 1);
    IrVal limit = ir_zext(u, IRT_I64, IRT_I32, ir_get(u, IRT_I32, X86S_ES_LIMIT + seg));
    ir_brcond(u, IRC_A, ir_cmp(u, IRT_I64, last, limit), x86_cold_slow(t));
    if (!x86_prot(t))
        return;
    unsigned mask = X86_SEG_UNUSABLE | X86_SEG_P | X86_SEG_S | 8 | 4, want = X86_SEG_P | X86_SEG_S;
    if (write)
        mask |= 2, want |= 2;
    else if (seg == X86_CS)
        mask = X86_SEG_UNUSABLE | X86_SEG_P | X86_SEG_S | 8 | 2, want = X86_SEG_P | X86_SEG_S | 8 | 2;
    IrVal a = ir_bin(u, IR_AND, IRT_I32, ir_get(u, IRT_I32, X86S_ES_ATTR + seg), ir_const(u, IRT_I32, mask));
    ir_brcond(u, IRC_NE, ir_cmp(u, IRT_I32, a, ir_const(u, IRT_I32, want)), x86_cold_slow(t));
}

void x86_check_fetch(X86Tr *t)
{
    IrUnit *u = t->u;
    IrVal last = ir_lea(u, IRT_I64, x86_rip(t, t->off), 0, 0, t->in.len - 1);
    IrVal limit = ir_zext(u, IRT_I64, IRT_I32, ir_get(u, IRT_I32, X86S_CS_LIMIT));
    ir_brcond(u, IRC_A, ir_cmp(u, IRT_I64, last, limit), x86_cold_raise(t, X86_GP));
}

void x86_check_unit(X86Tr *t)
{
    IrUnit *u = t->u;
    IrVal rip = x86_rip(t, t->off), limit = ir_zext(u, IRT_I64, IRT_I32, ir_get(u, IRT_I32, X86S_CS_LIMIT));
    t->fetch_high = ir_lea(u, IRT_I64, rip, 0, 0, 1);
    t->fetch_low = ir_lea(u, IRT_I64, rip, 0, 0, -1);       /* below 0: huge */
    ir_brcond(u, IRC_A, ir_cmp(u, IRT_I64, t->fetch_high, limit), x86_cold_fetch(t));
    ir_brcond(u, IRC_A, ir_cmp(u, IRT_I64, t->fetch_low, limit), x86_cold_fetch(t));
    if (X86M_CODE(t->mode) == X86M_CODE16)     /* so that what is inside the limit is inside IP's 16 bits */
        ir_brcond(u, IRC_A, ir_cmp(u, IRT_I64, limit, x86_k(t, 0xffff)), x86_cold_fetch(t));
    t->lowest = t->highest = t->off;
}

static IrVal seg_linear(X86Tr *t, unsigned seg, IrVal off, unsigned bytes, bool write)
{
    IrUnit *u = t->u;
    if (x86_64bit(t))
        return seg < X86_FS ? off : ir_bin(u, IR_ADD, IRT_I64, off, ir_get(u, IRT_I64, X86S_ES_BASE + seg));
    if (x86_flat(t) && seg < X86_FS && !(seg == X86_CS && write && x86_prot(t)))
        return off;
    if (bytes)
        check_segment(t, seg, off, bytes, write);
    IrVal v = ir_bin(u, IR_ADD, IRT_I32, ir_trunc(u, IRT_I32, off), ir_get(u, IRT_I32, X86S_ES_BASE + seg));
    return ir_zext(u, IRT_I64, IRT_I32, v);
}

IrVal x86_seg_linear(X86Tr *t, unsigned seg, IrVal off, unsigned bytes, bool write)
{
    IrVal lin = seg_linear(t, seg, off, bytes, write);
    if (t->mode & X86M_DR && bytes)            /* data breakpoints: noted here, raised by db_trap when the instruction is done */
        x86_call(t, X86H_db_data, lin, x86_k(t, bytes), x86_k(t, write), 0);
    return lin;
}

IrVal x86_mem(X86Tr *t, unsigned bytes, bool write)
{
    if (!t->lin || (write && !t->lin_write)) {
        t->lin = x86_seg_linear(t, t->in.seg, x86_ea(t), bytes, write);
        t->lin_write = write;
    }
    return t->lin;
}

IrVal x86_lin_add(X86Tr *t, IrVal lin, int disp)
{
    if (x86_64bit(t))
        return ir_lea(t->u, IRT_I64, lin, 0, 0, disp);
    return ir_zext(t->u, IRT_I64, IRT_I32, ir_lea(t->u, IRT_I32, ir_trunc(t->u, IRT_I32, lin), 0, 0, disp));
}

IrVal x86_ld(X86Tr *t, unsigned log2, IrVal lin)
{
    return ir_ld(t->u, x86_type(log2), lin, log2, t->mem_flags, 0);
}

void x86_st(X86Tr *t, unsigned log2, IrVal lin, IrVal v)
{
    ir_st(t->u, x86_type(log2), lin, v, log2, t->mem_flags, 0);
}

/* ---- generic operand access ---- */

/* An immediate that the guest's own code keeps writing, of an instruction that looks at it as a value only: read when it runs. 0: a constant. */
static IrVal soft_imm(X86Tr *t, unsigned n, unsigned log2)
{
    TcgUnitDesc *d = t->t;
    X86Opnd o = t->in.op->opnd[n];
    unsigned bytes = o.size == X86Z_z ? 4 : 1u << log2, at = (unsigned)t->off + t->in.len - bytes;
    bool plain = t->in.op->emit == x86_e_alu || t->in.op->emit == x86_e_mov || t->in.op->emit == x86_e_test;
    if (log2 < 2 || !plain || t->in.op->opnd[n + 1].kind || (o.size != X86Z_z && o.size != X86Z_v))
        return 0;
    for (unsigned k = 0; k < d->n_soft; k++)
        if (d->soft[k].off == at && d->soft[k].len == bytes && at + bytes <= TCG_PAGE_SIZE) {
            d->soft_used |= 1u << k;
            IrVal v = ir_emit(t->u, IR_CODE, x86_type(log2), 0, 0, 0, (int64_t)(uintptr_t)(d->code_host + at));
            ir_at(t->u, v)->aux = (uint8_t)bytes;
            return v;
        }
    return 0;
}

static IrVal get(X86Tr *t, unsigned n, bool rmw)
{
    X86Opnd o = t->in.op->opnd[n];
    unsigned log2 = x86_osz(t, n);
    if (x86_is_mem(t, n)) {
        IrVal lin = x86_mem(t, 1u << log2, rmw);
        return ir_ld(t->u, x86_type(log2), lin, log2, t->mem_flags | (rmw ? IRM_RMW : 0), 0);
    }
    IrVal soft = o.kind == X86O_I && t->t->n_soft ? soft_imm(t, n, log2) : 0;
    if (soft)
        return soft;
    switch (o.kind) {
    case X86O_I: return ir_const(t->u, x86_type(log2), n > 1 && t->in.op->opnd[n - 1].kind == X86O_I ? t->in.imm2 : t->in.imm);
    case X86O_ONE: return ir_const(t->u, IRT_I8, 1);
    case X86O_S: return ir_get(t->u, IRT_I16, X86S_ES_SEL + (t->in.reg & 7));
    case X86O_SEG: return ir_get(t->u, IRT_I16, X86S_ES_SEL + o.reg);
    default: return x86_reg_get(t, log2, x86_opnd_reg(t, n));
    }
}

IrVal x86_get(X86Tr *t, unsigned n)
{
    return get(t, n, false);
}

IrVal x86_get_rmw(X86Tr *t, unsigned n)
{
    return get(t, n, true);
}

void x86_put(X86Tr *t, unsigned n, IrVal v)
{
    unsigned log2 = x86_osz(t, n);
    if (x86_is_mem(t, n))
        x86_st(t, log2, x86_mem(t, 1u << log2, true), v);
    else
        x86_reg_put(t, log2, x86_opnd_reg(t, n), v);
}
