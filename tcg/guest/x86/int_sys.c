#include "tcg/guest/x86/translate.h"

/* System instructions: checks that the mode key decides are made here, the rest is helpers' (sys group). */

static IrVal call0(X86Tr *t, unsigned helper)
{
    return x86_call(t, helper, 0, 0, 0, 0);
}

void x86_e_nop(X86Tr *t)
{
}

/* A hint that this processor waits: let others run (the run loop may look). */
void x86_e_pause(X86Tr *t)
{
}

void x86_e_fence(X86Tr *t)
{
    static const uint8_t kind[] = { IRFENCE_LOAD, IRFENCE_ALL, IRFENCE_STORE };
    ir_fence(t->u, kind[t->in.op->arg]);
}

/* Cache lines have no state here; the access is checked as a load of one byte (SDM 2A CLFLUSH). */
void x86_e_clflush(X86Tr *t)
{
    x86_ld(t, 0, x86_mem(t, 1, false));
}

/* ---- interrupt flag, halt ---- */

void x86_e_cli(X86Tr *t)
{
    IrUnit *u = t->u;
    if (!(t->mode & X86M_IOPL_OK)) {
        call0(t, X86H_cli);
        return;
    }
    IrVal r = ir_get(u, IRT_I32, X86S_RFLAGS_REST);
    ir_put(u, IRT_I32, X86S_RFLAGS_REST, ir_bin(u, IR_AND, IRT_I32, r, ir_const(u, IRT_I32, ~(int64_t)X86_IF)));
}

/* If nothing waits there is nothing to hold back over the next instruction: it follows in the same unit, which looks nowhere in between. */
void x86_e_sti(X86Tr *t)
{
    bool quick = t->mode & X86M_IOPL_OK, hold = quick && x86_hold_next(t);
    if (quick && !hold && t->t->region && t->t->n_insns) {
        x86_leave_goto(t, t->off);     /* a region that is full: the block that begins here has room for the next instruction */
        return;
    }
    if (!hold) {
        call0(t, X86H_sti);
        x86_leave_look(t);
        return;
    }
    unsigned quiet = ir_label_new(t->u);
    ir_brz(t->u, IRT_I64, call0(t, X86H_sti_quick), quiet);
    x86_leave_look(t);
    x86_label(t, quiet);
    t->end = false;
}

void x86_e_hlt(X86Tr *t)
{
    if (x86_emit_cpl0(t))
        return;
    x86_call(t, X86H_hlt, x86_rip(t, t->next), 0, 0, 0);
    ir_exit(t->u, TCG_LEAVE_GUEST);
    t->end = true;
}

/* ---- ports ---- */

static IrVal port(X86Tr *t, unsigned n)
{
    if (t->in.op->opnd[n].kind == X86O_I)
        return x86_k(t, t->in.imm & 0xff);
    return ir_zext(t->u, IRT_I64, IRT_I16, x86_gpr(t, 1, X86_RDX));
}

void x86_e_in(X86Tr *t)
{
    unsigned log2 = x86_osz(t, 0);
    IrVal v = x86_call(t, X86H_in, port(t, 1), x86_k(t, 1 << log2), 0, 0);
    x86_gpr_put(t, log2, X86_RAX, ir_trunc(t->u, x86_type(log2), v));
    x86_leave_goto(t, t->next);
}

void x86_e_out(X86Tr *t)
{
    unsigned log2 = x86_osz(t, 1);
    IrVal v = ir_zext(t->u, IRT_I64, x86_type(log2), x86_gpr(t, log2, X86_RAX));
    x86_call(t, X86H_out, port(t, 0), v, x86_k(t, 1 << log2), 0);
    x86_leave_goto(t, t->next);
}

/* ---- registers of the system ---- */

void x86_e_mov_cr(X86Tr *t)
{
    unsigned cr = t->in.reg;
    if (!(cr == 0 || cr == 2 || cr == 3 || cr == 4 || (cr == 8 && x86_64bit(t)))) {
        x86_emit_ud(t);
        return;
    }
    if (x86_emit_cpl0(t))
        return;
    unsigned log2 = x86_64bit(t) ? 3 : 2;
    if (!t->in.op->arg) {
        IrVal v = x86_call(t, X86H_mov_cr_read, x86_k(t, cr), 0, 0, 0);
        x86_gpr_put(t, log2, t->in.rm, ir_trunc(t->u, x86_type(log2), v));
        return;
    }
    IrVal v = ir_zext(t->u, IRT_I64, x86_type(log2), x86_gpr(t, log2, t->in.rm));
    x86_call(t, X86H_mov_cr_write, x86_k(t, cr), v, 0, 0);
    x86_leave_next(t);
}

void x86_e_mov_dr(X86Tr *t)
{
    if (t->in.reg > 7) {
        x86_emit_ud(t);
        return;
    }
    if (x86_emit_cpl0(t))
        return;
    unsigned log2 = x86_64bit(t) ? 3 : 2;
    if (!t->in.op->arg) {
        IrVal v = x86_call(t, X86H_mov_dr_read, x86_k(t, t->in.reg), 0, 0, 0);
        x86_gpr_put(t, log2, t->in.rm, ir_trunc(t->u, x86_type(log2), v));
        return;
    }
    IrVal v = ir_zext(t->u, IRT_I64, x86_type(log2), x86_gpr(t, log2, t->in.rm));
    x86_call(t, X86H_mov_dr_write, x86_k(t, t->in.reg), v, 0, 0);
    x86_leave_look(t);
}

/* A bit of CR4 (mode bit @bit) keeps the instruction from programs. */
static bool kept_from_programs(X86Tr *t, uint32_t bit)
{
    if (!(t->mode & bit) || x86_cpl(t) == 0)
        return false;
    x86_emit_gp0(t);
    return true;
}

static bool needs_prot(X86Tr *t)
{
    if (x86_prot(t))
        return false;
    x86_emit_ud(t);
    return true;
}

/* Memory gets 16 bits, a register the operand size. */
static void store_word(X86Tr *t, IrVal v)
{
    if (x86_is_mem(t, 0))
        x86_st(t, 1, x86_mem(t, 2, true), ir_trunc(t->u, IRT_I16, v));
    else
        x86_put(t, 0, ir_trunc(t->u, x86_otype(t, 0), v));
}

static IrVal sys_get(X86Tr *t, unsigned what)
{
    return x86_call(t, X86H_sys_get, x86_k(t, what), 0, 0, 0);
}

/* SLDT, STR */
void x86_e_store_sys(X86Tr *t)
{
    if (needs_prot(t) || kept_from_programs(t, X86M_UMIP))
        return;
    store_word(t, sys_get(t, t->in.op->arg ? X86_SYS_TR : X86_SYS_LDTR));
}

void x86_e_smsw(X86Tr *t)
{
    store_word(t, call0(t, X86H_smsw));
}

void x86_e_lmsw(X86Tr *t)
{
    if (x86_emit_cpl0(t))
        return;
    x86_call(t, X86H_lmsw, ir_zext(t->u, IRT_I64, IRT_I16, x86_get(t, 0)), 0, 0, 0);
    x86_leave_look(t);
}

/* LLDT, LTR */
void x86_e_load_sys(X86Tr *t)
{
    if (needs_prot(t) || x86_emit_cpl0(t))
        return;
    x86_call(t, t->in.op->arg ? X86H_ltr : X86H_lldt, ir_zext(t->u, IRT_I64, IRT_I16, x86_get(t, 0)), 0, 0, 0);
}

void x86_e_verrw(X86Tr *t)
{
    if (needs_prot(t))
        return;
    x86_call(t, t->in.op->arg ? X86H_verw : X86H_verr, ir_zext(t->u, IRT_I64, IRT_I16, x86_get(t, 0)), 0, 0, 0);
}

/* LAR, LSL: the helper sets ZF; without it the destination stays. */
void x86_e_lar(X86Tr *t)
{
    if (needs_prot(t))
        return;
    unsigned log2 = t->in.opsize;
    IrVal v = x86_call(t, t->in.op->arg ? X86H_lsl : X86H_lar, ir_zext(t->u, IRT_I64, IRT_I16, x86_get(t, 1)), 0, 0, 0);
    IrVal f = ir_get(t->u, IRT_FL, X86S_FL), old = ir_get(t->u, IRT_I64, X86S_RAX + t->in.reg);
    if (log2 == 1)
        v = ir_deposit(t->u, IRT_I64, old, v, 0, 16);
    else
        v = ir_zext(t->u, IRT_I64, IRT_I32, v);
    ir_put(t->u, IRT_I64, X86S_RAX + t->in.reg, ir_select(t->u, IRT_I64, IRC_E, f, v, old));
}

void x86_e_arpl(X86Tr *t)
{
    IrUnit *u = t->u;
    if (needs_prot(t))
        return;
    IrVal d = x86_get_rmw(t, 0), s = x86_get(t, 1), three = ir_const(u, IRT_I16, 3);
    IrVal rpl = ir_bin(u, IR_AND, IRT_I16, s, three);
    IrVal f = ir_cmp(u, IRT_I16, ir_bin(u, IR_AND, IRT_I16, d, three), rpl);
    IrVal raised = ir_bin(u, IR_OR, IRT_I16, ir_bin(u, IR_AND, IRT_I16, d, ir_const(u, IRT_I16, ~3)), rpl);
    IrVal z = ir_tri(u, IR_SHL, IRT_I32, ir_zext(u, IRT_I32, IRT_I8, ir_cond(u, IRC_B, f)), ir_const(u, IRT_I8, 14), 0);
    x86_put(t, 0, ir_select(u, IRT_I16, IRC_B, f, raised, d));
    ir_put(u, IRT_FL, X86S_FL, ir_flmerge(u, ir_get(u, IRT_FL, X86S_FL), ir_un(u, IR_FLUNPACK, IRT_FL, z), IRFL_Z));
}

/* SGDT, SIDT: 2 + 4 bytes, in 64-bit code 2 + 8. */
void x86_e_sgdt(X86Tr *t)
{
    if (kept_from_programs(t, X86M_UMIP))
        return;
    unsigned log2 = x86_64bit(t) ? 3 : 2, idt = (unsigned)t->in.op->arg;
    IrVal limit = sys_get(t, idt ? X86_SYS_IDT_LIMIT : X86_SYS_GDT_LIMIT), base = sys_get(t, idt ? X86_SYS_IDT_BASE : X86_SYS_GDT_BASE);
    IrVal lin = x86_mem(t, 2 + (1u << log2), true);
    x86_st(t, 1, lin, ir_trunc(t->u, IRT_I16, limit));
    x86_st(t, log2, x86_lin_add(t, lin, 2), ir_trunc(t->u, x86_type(log2), base));
}

void x86_e_lgdt(X86Tr *t)
{
    if (x86_emit_cpl0(t))
        return;
    unsigned log2 = x86_64bit(t) ? 3 : 2;
    IrVal lin = x86_mem(t, 2 + (1u << log2), false);
    IrVal limit = ir_zext(t->u, IRT_I64, IRT_I16, x86_ld(t, 1, lin));
    IrVal base = ir_zext(t->u, IRT_I64, x86_type(log2), x86_ld(t, log2, x86_lin_add(t, lin, 2)));
    if (log2 == 2 && t->in.opsize == 1)
        base = ir_extract(t->u, IRT_I64, base, 0, 24);
    x86_call(t, t->in.op->arg ? X86H_lidt : X86H_lgdt, limit, base, 0, 0);
    x86_leave_next(t);
}

void x86_e_invlpg(X86Tr *t)
{
    if (x86_emit_cpl0(t))
        return;
    x86_call(t, X86H_invlpg, x86_mem(t, 0, false), 0, 0, 0);
    x86_leave_next(t);
}

void x86_e_invpcid(X86Tr *t)
{
    if (x86_emit_cpl0(t))
        return;
    IrVal lin = x86_mem(t, 16, false);
    unsigned log2 = x86_64bit(t) ? 3 : 2;
    x86_call(t, X86H_invpcid, ir_zext(t->u, IRT_I64, x86_type(log2), x86_gpr(t, log2, t->in.reg)), lin, 0, 0);
    x86_leave_next(t);
}

void x86_e_wbinvd(X86Tr *t)
{
    if (x86_emit_cpl0(t))
        return;
    call0(t, X86H_wbinvd);
    x86_leave_next(t);
}

void x86_e_clts(X86Tr *t)
{
    if (x86_emit_cpl0(t))
        return;
    call0(t, X86H_clts);
    x86_leave_next(t);
}

/* CLAC, STAC: EFLAGS.AC is in the mode key by way of SMAP. */
void x86_e_clac(X86Tr *t)
{
    if (x86_cpl(t) || !(t->mode & X86M_PE)) {
        x86_emit_ud(t);
        return;
    }
    x86_call(t, X86H_set_ac, x86_k(t, t->in.op->arg), 0, 0, 0);
    x86_leave_next(t);
}

/* ---- helpers that take their operands from registers in the state and leave results there ---- */

void x86_e_cpuid(X86Tr *t)
{
    call0(t, X86H_cpuid);
    x86_leave_next(t);         /* it serialises: what another processor wrote is fetched behind it (SDM 3A 8.1.3, 8.3) */
}

void x86_e_rdmsr(X86Tr *t)
{
    if (!x86_emit_cpl0(t))
        call0(t, X86H_rdmsr);
}

void x86_e_wrmsr(X86Tr *t)
{
    if (x86_emit_cpl0(t))
        return;
    call0(t, X86H_wrmsr);
    x86_leave_next(t);
}

void x86_e_rdtsc(X86Tr *t)
{
    if (!kept_from_programs(t, X86M_TSD))
        call0(t, X86H_rdtsc);
}

void x86_e_rdtscp(X86Tr *t)
{
    if (!kept_from_programs(t, X86M_TSD))
        call0(t, X86H_rdtscp);
}

void x86_e_rdpmc(X86Tr *t)
{
    if (x86_cpl(t) && !(t->mode & X86M_PCE))
        x86_emit_gp0(t);
    else
        call0(t, X86H_rdpmc);
}

void x86_e_xgetbv(X86Tr *t)
{
    if (t->mode & X86M_OSXSAVE)
        call0(t, X86H_xgetbv);
    else
        x86_emit_ud(t);
}

void x86_e_xsetbv(X86Tr *t)
{
    if (!(t->mode & X86M_OSXSAVE)) {
        x86_emit_ud(t);
        return;
    }
    if (x86_emit_cpl0(t))
        return;
    call0(t, X86H_xsetbv);
    x86_leave_next(t);
}

void x86_e_rdpkru(X86Tr *t)
{
    call0(t, X86H_rdpkru);
}

void x86_e_wrpkru(X86Tr *t)
{
    call0(t, X86H_wrpkru);
    x86_leave_next(t);
}

void x86_e_monitor(X86Tr *t)
{
    if (x86_emit_cpl0(t))
        return;
    IrVal off = ir_zext(t->u, IRT_I64, x86_type(t->in.adsize), x86_gpr(t, t->in.adsize, X86_RAX));
    x86_call(t, X86H_monitor, x86_seg_linear(t, t->in.seg, off, 1, false), 0, 0, 0);
}

void x86_e_mwait(X86Tr *t)
{
    if (x86_emit_cpl0(t))
        return;
    call0(t, X86H_mwait);
    x86_leave_look(t);
}

void x86_e_swapgs(X86Tr *t)
{
    if (!x86_emit_cpl0(t))
        call0(t, X86H_swapgs);
}

void x86_e_rsm(X86Tr *t)
{
    if (!(t->mode & X86M_SMM)) {
        x86_emit_ud(t);
        return;
    }
    x86_leave_linear(t, call0(t, X86H_rsm));
}

/* RDFSBASE, RDGSBASE, WRFSBASE, WRGSBASE */
void x86_e_fsgsbase(X86Tr *t)
{
    if (!(t->mode & X86M_FSGSBASE)) {
        x86_emit_ud(t);
        return;
    }
    unsigned seg = X86_FS + (t->in.op->arg & 1), log2 = x86_osz(t, 0);
    if (t->in.op->arg < 2)
        x86_put(t, 0, ir_get(t->u, x86_type(log2), X86S_ES_BASE + seg));
    else
        x86_call(t, X86H_wrsegbase, x86_k(t, seg), ir_zext(t->u, IRT_I64, x86_type(log2), x86_get(t, 0)), 0, 0);
}

void x86_e_rdpid(X86Tr *t)
{
    unsigned log2 = x86_64bit(t) ? 3 : 2;
    x86_gpr_put(t, log2, t->in.rm, ir_trunc(t->u, x86_type(log2), call0(t, X86H_rdpid)));
}

/* RDRAND, RDSEED: always there; C set, the other flags cleared. */
void x86_e_rdrand(X86Tr *t)
{
    IrUnit *u = t->u;
    IrVal v = call0(t, X86H_random);
    x86_put(t, 0, ir_trunc(u, x86_otype(t, 0), v));
    ir_put(u, IRT_FL, X86S_FL, ir_un(u, IR_FLUNPACK, IRT_FL, ir_const(u, IRT_I32, IRFL_C)));
}
