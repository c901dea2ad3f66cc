#include "tcg/guest/x86/translate.h"

/* The stack: PUSH, POP and their relatives, ENTER, LEAVE. The stack pointer is put last: everything before may fault. */

unsigned x86_sp_log2(const X86Tr *t)
{
    return x86_64bit(t) ? 3 : t->mode & X86M_SS32 ? 2 : 1;
}

IrVal x86_sp(X86Tr *t)
{
    return x86_gpr(t, x86_sp_log2(t), X86_RSP);
}

void x86_sp_put(X86Tr *t, IrVal sp)
{
    x86_gpr_put(t, x86_sp_log2(t), X86_RSP, sp);
}

static IrVal sp_add(X86Tr *t, IrVal sp, int n)
{
    unsigned log2 = x86_sp_log2(t);
    if (log2 == 1)
        return ir_bin(t->u, IR_ADD, IRT_I16, sp, ir_const(t->u, IRT_I16, n));
    return ir_lea(t->u, x86_type(log2), sp, 0, 0, n);
}

static IrVal stack_linear(X86Tr *t, IrVal sp, unsigned bytes, bool write)
{
    IrVal off = ir_zext(t->u, IRT_I64, x86_type(x86_sp_log2(t)), sp);
    return x86_seg_linear(t, X86_SS, off, bytes, write);
}

IrVal x86_push_at(X86Tr *t, unsigned log2, IrVal sp, IrVal v)
{
    sp = sp_add(t, sp, -(1 << log2));
    x86_st(t, log2, stack_linear(t, sp, 1u << log2, true), v);
    return sp;
}

IrVal x86_pop_at(X86Tr *t, unsigned log2, IrVal sp, IrVal *ret_v)
{
    *ret_v = x86_ld(t, log2, stack_linear(t, sp, 1u << log2, false));
    return sp_add(t, sp, 1 << log2);
}

/* PUSH of a register, memory or immediate; PUSH rSP pushes the old value. */
void x86_e_push(X86Tr *t)
{
    unsigned log2 = t->in.opsize;
    IrVal v = x86_get(t, 0);
    x86_sp_put(t, x86_push_at(t, log2, x86_sp(t), v));
}

/* POP to memory addressed by rSP uses the incremented value; POP rSP ends with the popped one (SDM 2B POP). */
void x86_e_pop(X86Tr *t)
{
    unsigned log2 = t->in.opsize;
    IrVal v, sp = x86_pop_at(t, log2, x86_sp(t), &v);
    if (x86_is_mem(t, 0)) {
        if (t->in.base == X86_RSP && t->in.adsize > 1)
            t->in.disp += 1 << log2;
        x86_put(t, 0, v);
        x86_sp_put(t, sp);
    } else {
        x86_sp_put(t, sp);
        x86_put(t, 0, v);
    }
}

void x86_e_push_seg(X86Tr *t)
{
    unsigned log2 = t->in.opsize;
    IrVal v = ir_zext(t->u, x86_type(log2), IRT_I16, x86_get(t, 0));
    x86_sp_put(t, x86_push_at(t, log2, x86_sp(t), v));
}

void x86_e_pop_seg(X86Tr *t)
{
    unsigned seg = t->in.op->opnd[0].reg;
    IrVal v, sp = x86_pop_at(t, t->in.opsize, x86_sp(t), &v);
    unsigned sp_log2 = x86_sp_log2(t);
    x86_load_seg(t, seg, ir_trunc(t->u, IRT_I16, v));
    x86_gpr_put(t, sp_log2, X86_RSP, sp);
    x86_after_seg_load(t, seg);
}

void x86_e_pusha(X86Tr *t)
{
    unsigned log2 = t->in.opsize;
    IrVal sp = x86_sp(t);
    for (unsigned r = 0; r < 8; r++)
        sp = x86_push_at(t, log2, sp, x86_gpr(t, log2, r));
    x86_sp_put(t, sp);
}

void x86_e_popa(X86Tr *t)
{
    unsigned log2 = t->in.opsize;
    IrVal sp = x86_sp(t), v[8];
    for (unsigned r = 8; r-- > 0;) {
        if (r == X86_RSP)
            sp = sp_add(t, sp, 1 << log2);
        else
            sp = x86_pop_at(t, log2, sp, &v[r]);
    }
    x86_sp_put(t, sp);
    for (unsigned r = 0; r < 8; r++)
        if (r != X86_RSP)
            x86_gpr_put(t, log2, r, v[r]);
}

/* SDM 2A ENTER. The display is copied through the stack segment, at the stack's width. */
void x86_e_enter(X86Tr *t)
{
    unsigned log2 = t->in.opsize, sp_log2 = x86_sp_log2(t), level = t->in.imm2 & 31;
    IrVal sp = x86_push_at(t, log2, x86_sp(t), x86_gpr(t, log2, X86_RBP));
    IrVal frame = sp, bp = x86_gpr(t, sp_log2, X86_RBP);
    for (unsigned i = 1; i < level; i++) {
        bp = sp_add(t, bp, -(1 << log2));
        IrVal v = x86_ld(t, log2, stack_linear(t, bp, 1u << log2, false));
        sp = x86_push_at(t, log2, sp, v);
    }
    /* of a 16-bit stack pointer the upper half stays, and shows in EBP */
    if (sp_log2 == 1)
        frame = ir_deposit(t->u, IRT_I32, x86_gpr(t, 2, X86_RSP), frame, 0, 16);
    IrVal frame64 = ir_zext(t->u, IRT_I64, x86_type(sp_log2 == 1 ? 2 : sp_log2), frame);
    if (level)
        sp = x86_push_at(t, log2, sp, ir_trunc(t->u, x86_type(log2), frame64));
    sp = sp_add(t, sp, -(int)(t->in.imm & 0xffff));
    stack_linear(t, sp, 1u << log2, true);      /* #SS if nothing could be pushed there */
    x86_gpr_put(t, log2, X86_RBP, ir_trunc(t->u, x86_type(log2), frame64));
    x86_sp_put(t, sp);
}

void x86_e_leave(X86Tr *t)
{
    IrVal v, sp = x86_pop_at(t, t->in.opsize, x86_gpr(t, x86_sp_log2(t), X86_RBP), &v);
    x86_sp_put(t, sp);
    x86_gpr_put(t, t->in.opsize, X86_RBP, v);
}

/* ---- flags ---- */

static IrVal flags_image(X86Tr *t)
{
    IrUnit *u = t->u;
    if (t->mode & X86M_VM86 && !(t->mode & X86M_IOPL_OK))
        return x86_call(t, X86H_pushf, x86_k(t, 1 << t->in.opsize), 0, 0, 0);
    IrVal p = ir_un(u, IR_FLPACK, IRT_I32, ir_get(u, IRT_FL, X86S_FL));
    IrVal rest = ir_bin(u, IR_AND, IRT_I32, ir_get(u, IRT_I32, X86S_RFLAGS_REST), ir_const(u, IRT_I32, ~(int64_t)(X86_VM | X86_RF)));
    IrVal low = ir_extract(u, IRT_I32, p, 8, 8);
    IrVal of = ir_tri(u, IR_SHL, IRT_I32, ir_extract(u, IRT_I32, p, 0, 1), ir_const(u, IRT_I8, 11), 0);
    return ir_zext(u, IRT_I64, IRT_I32, ir_bin(u, IR_OR, IRT_I32, ir_bin(u, IR_OR, IRT_I32, rest, low), of));
}

void x86_e_pushf(X86Tr *t)
{
    IrVal v = ir_trunc(t->u, x86_type(t->in.opsize), flags_image(t));
    x86_sp_put(t, x86_push_at(t, t->in.opsize, x86_sp(t), v));
}

void x86_e_popf(X86Tr *t)
{
    IrVal v, sp = x86_pop_at(t, t->in.opsize, x86_sp(t), &v);
    x86_call(t, X86H_popf, ir_zext(t->u, IRT_I64, x86_type(t->in.opsize), v), x86_k(t, 1 << t->in.opsize), 0, 0);
    x86_sp_put(t, sp);
    if (t->mode & X86M_VME)    /* VIP is looked at in the run loop */
        x86_leave_look(t);
    else
        x86_leave_next(t);
}
