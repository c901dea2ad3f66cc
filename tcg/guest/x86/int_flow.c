#include "tcg/guest/x86/translate.h"

/* Jumps, calls, returns, loops, interrupts. */

/* Outside flat segments a near target beyond CS.limit faults at the branch, before anything is written. */
static void check_target(X86Tr *t, IrVal rip)
{
    IrUnit *u = t->u;
    if (x86_64bit(t) || x86_flat(t))
        return;
    IrVal limit = ir_zext(u, IRT_I64, IRT_I32, ir_get(u, IRT_I32, X86S_CS_LIMIT));
    ir_brcond(u, IRC_A, ir_cmp(u, IRT_I64, rip, limit), x86_cold_raise(t, X86_GP));
}

static IrVal rel_target(X86Tr *t)
{
    IrVal rip = x86_rip(t, t->next + t->in.imm);
    return t->in.opsize == 1 ? ir_extract(t->u, IRT_I64, rip, 0, 16) : rip;
}

/* The target needs no check here. */
static bool sure(X86Tr *t) { return x86_64bit(t) || x86_flat(t) || x86_sure_target(t, t->next + t->in.imm); }

static void check_rel(X86Tr *t)
{
    if (!sure(t))
        check_target(t, rel_target(t));
}

static void leave_rel(X86Tr *t)
{
    check_rel(t);
    x86_leave_rel(t, t->in.imm);
}

void x86_e_jcc(X86Tr *t)
{
    IrCond cc = (IrCond)(t->in.opcode & 15);
    IrVal fl = ir_get(t->u, IRT_FL, X86S_FL);
    if (sure(t) && (x86_follow(t, t->in.imm, cc, fl) || x86_skip(t, t->in.imm, cc, fl)))
        return;
    unsigned taken = ir_label_new(t->u);
    ir_brcond(t->u, cc, ir_get(t->u, IRT_FL, X86S_FL), taken);
    x86_leave_goto(t, t->next);
    x86_label(t, taken);
    leave_rel(t);
}

void x86_e_jmp_rel(X86Tr *t)
{
    if (sure(t) && x86_follow(t, t->in.imm, 0, 0))
        return;
    leave_rel(t);
}

static IrVal return_address(X86Tr *t)
{
    return ir_trunc(t->u, x86_type(t->in.opsize), x86_rip(t, t->next));
}

void x86_e_call_rel(X86Tr *t)
{
    check_rel(t);
    IrVal ret = return_address(t);
    x86_sp_put(t, x86_push_at(t, t->in.opsize, x86_sp(t), ret));
    if (!sure(t) || !x86_follow_call(t, t->in.imm, ret))
        x86_leave_rel(t, t->in.imm);
}

void x86_e_jmp_ind(X86Tr *t)
{
    IrVal rip = ir_zext(t->u, IRT_I64, x86_otype(t, 0), x86_get(t, 0));
    check_target(t, rip);
    if (!x86_follow_ind(t, rip, 0))
        x86_leave_rip(t, rip, IRJ_PLAIN);
}

void x86_e_call_ind(X86Tr *t)
{
    IrVal rip = ir_zext(t->u, IRT_I64, x86_otype(t, 0), x86_get(t, 0));
    check_target(t, rip);
    IrVal ret = return_address(t);
    x86_sp_put(t, x86_push_at(t, t->in.opsize, x86_sp(t), ret));
    if (!x86_follow_ind(t, rip, ret))
        x86_leave_rip(t, rip, IRJ_CALL);
}

void x86_e_ret(X86Tr *t)
{
    unsigned sp_log2 = x86_sp_log2(t);
    IrVal v, sp = x86_pop_at(t, t->in.opsize, x86_sp(t), &v);
    IrVal rip = ir_zext(t->u, IRT_I64, x86_type(t->in.opsize), v);
    check_target(t, rip);
    if (t->in.op->opnd[0].kind == X86O_I)
        sp = ir_bin(t->u, IR_ADD, x86_type(sp_log2), sp, ir_const(t->u, x86_type(sp_log2), t->in.imm));
    x86_sp_put(t, sp);
    if (!x86_follow_ret(t, rip) && !x86_follow_ind(t, rip, 0))
        x86_leave_rip(t, rip, IRJ_RET);
}

/* LOOP, LOOPE, LOOPNE count in rCX of the address size. arg: 0, 1 while not zero flag, 2 while zero flag. */
void x86_e_loop(X86Tr *t)
{
    IrUnit *u = t->u;
    unsigned log2 = t->in.adsize, done = ir_label_new(u);
    IrType ty = x86_type(log2);
    IrVal n = ir_bin(u, IR_SUB, ty, x86_gpr(t, log2, X86_RCX), ir_const(u, ty, 1));
    IrVal fl = ir_get(u, IRT_FL, X86S_FL);
    bool first = sure(t);      /* else the count changes behind the look at the target, which only a taken branch takes */
    if (first)
        x86_gpr_put(t, log2, X86_RCX, n);
    ir_brz(u, ty, n, done);
    if (t->in.op->arg)
        ir_brcond(u, t->in.op->arg == 1 ? IRC_E : IRC_NE, fl, done);
    check_rel(t);
    if (!first)
        x86_gpr_put(t, log2, X86_RCX, n);
    x86_leave_rel(t, t->in.imm);
    x86_label(t, done);
    if (!first)
        x86_gpr_put(t, log2, X86_RCX, ir_bin(u, IR_SUB, ty, x86_gpr(t, log2, X86_RCX), ir_const(u, ty, 1)));
    x86_leave_goto(t, t->next);
}

void x86_e_jrcxz(X86Tr *t)
{
    unsigned taken = ir_label_new(t->u);
    ir_brz(t->u, x86_type(t->in.adsize), x86_gpr(t, t->in.adsize, X86_RCX), taken);
    x86_leave_goto(t, t->next);
    x86_label(t, taken);
    leave_rel(t);
}

/* ---- far transfers ---- */

static IrVal op_bytes(X86Tr *t)
{
    return x86_k(t, 1 << t->in.opsize);
}

static void far_to(X86Tr *t, IrVal sel, IrVal off)
{
    IrVal next = x86_rip(t, t->next);
    x86_leave_linear(t, x86_call(t, t->in.op->arg ? X86H_far_call : X86H_far_jmp, sel, off, op_bytes(t), next));
}

void x86_e_far_imm(X86Tr *t)
{
    int64_t mask = t->in.opsize == 1 ? 0xffff : 0xffffffff;
    far_to(t, x86_k(t, t->in.imm2 & 0xffff), x86_k(t, t->in.imm & mask));
}

void x86_e_far_mem(X86Tr *t)
{
    unsigned log2 = t->in.opsize;
    IrVal lin = x86_mem(t, (1u << log2) + 2, false);
    IrVal off = ir_zext(t->u, IRT_I64, x86_type(log2), x86_ld(t, log2, lin));
    IrVal sel = x86_ld(t, 1, x86_lin_add(t, lin, 1 << log2));
    far_to(t, ir_zext(t->u, IRT_I64, IRT_I16, sel), off);
}

void x86_e_far_ret(X86Tr *t)
{
    IrVal extra = x86_k(t, t->in.op->opnd[0].kind == X86O_I ? t->in.imm & 0xffff : 0);
    x86_leave_linear(t, x86_call(t, X86H_far_ret, op_bytes(t), extra, 0, 0));
}

void x86_e_iret(X86Tr *t)
{
    x86_leave_linear(t, x86_call(t, X86H_iret, op_bytes(t), 0, 0, 0));
}

/* ---- interrupts ---- */

/* Event delivery has cleared TF: no single-step trap behind it. */
static void leave_event(X86Tr *t, IrVal pc)
{
    ir_jmp(t->u, pc, IRJ_PLAIN);
    t->end = true;
}

void x86_e_int_n(X86Tr *t)
{
    IrVal next = x86_rip(t, t->next);
    if (t->in.op->opnd[0].kind == X86O_I)
        leave_event(t, x86_call(t, X86H_int_n, x86_k(t, t->in.imm & 0xff), next, 0, 0));
    else
        leave_event(t, x86_call(t, X86H_int3, next, 0, 0, 0));
}

void x86_e_int1(X86Tr *t)
{
    leave_event(t, x86_call(t, X86H_icebp, x86_rip(t, t->next), 0, 0, 0));
}

void x86_e_into(X86Tr *t)
{
    unsigned quiet = ir_label_new(t->u);
    ir_brcond(t->u, IRC_NO, ir_get(t->u, IRT_FL, X86S_FL), quiet);
    leave_event(t, x86_call(t, X86H_into, x86_rip(t, t->next), 0, 0, 0));
    x86_label(t, quiet);
    x86_leave_goto(t, t->next);
}

void x86_e_bound(X86Tr *t)
{
    IrUnit *u = t->u;
    unsigned log2 = t->in.opsize;
    IrType ty = x86_type(log2);
    IrVal lin = x86_mem(t, 2u << log2, false);
    IrVal a = x86_get(t, 0), lo = x86_ld(t, log2, lin), hi = x86_ld(t, log2, x86_lin_add(t, lin, 1 << log2));
    unsigned out = x86_cold_raise(t, X86_BR);
    ir_brcond(u, IRC_L, ir_cmp(u, ty, a, lo), out);
    ir_brcond(u, IRC_G, ir_cmp(u, ty, a, hi), out);
}

void x86_e_ud(X86Tr *t)
{
    x86_emit_ud(t);
}

/* The single-step trap is the helper's. */
static void leave_syscall(X86Tr *t, unsigned helper, IrVal a)
{
    leave_event(t, x86_call(t, helper, a, 0, 0, 0));
}

void x86_e_syscall(X86Tr *t)
{
    leave_syscall(t, X86H_syscall, x86_rip(t, t->next));
}

void x86_e_sysret(X86Tr *t)
{
    leave_syscall(t, X86H_sysret, x86_k(t, t->in.opsize == 3 ? 8 : 4));
}

void x86_e_sysenter(X86Tr *t)
{
    leave_syscall(t, X86H_sysenter, 0);
}

void x86_e_sysexit(X86Tr *t)
{
    leave_syscall(t, X86H_sysexit, x86_k(t, t->in.opsize == 3 ? 8 : 4));
}
