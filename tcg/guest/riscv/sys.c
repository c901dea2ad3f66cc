/* Environment calls, CSRs, returns, fences of the address space: all by helper, which checks privilege itself. */
#include "tcg/guest/riscv/translate.h"

bool rv_ecall(RiscvTr *t, const RiscvArgs *a)
{
    (void)a;
    ir_jmp(t->u, rv_call(t, RVH_ecall, 0, 0, 0, 0), IRJ_PLAIN);
    t->end = true;
    return true;
}

bool rv_ebreak(RiscvTr *t, const RiscvArgs *a)
{
    (void)a;
    rv_emit_raise(t, RISCV_E_BREAK, rv_k(t, 0));
    return true;
}

static bool return_by(RiscvTr *t, unsigned helper)
{
    rv_call(t, helper, rv_k(t, t->insn), 0, 0, 0);
    rv_leave_after(t, 0);
    return true;
}

bool rv_mret(RiscvTr *t, const RiscvArgs *a) { (void)a; return return_by(t, RVH_mret); }
bool rv_sret(RiscvTr *t, const RiscvArgs *a) { (void)a; return return_by(t, RVH_sret); }

/* The helper sets the pc to the next instruction when the wait is allowed. */
bool rv_wfi(RiscvTr *t, const RiscvArgs *a)
{
    (void)a;
    rv_call(t, RVH_wfi, rv_k(t, t->insn), 0, 0, 0);
    rv_leave_look(t);
    return true;
}

bool rv_sfence(RiscvTr *t, const RiscvArgs *a)
{
    rv_call(t, RVH_sfence, rv_x(t, a->rs1), rv_x(t, a->rs2), rv_k(t, (a->rs1 ? 1 : 0) | (a->rs2 ? 2 : 0)), rv_k(t, t->insn));
    ir_jmp(t->u, ir_pc(t->u, t->next), IRJ_PLAIN);     /* looked up: it may be somewhere else */
    t->end = true;
    return true;
}

/* The slot of a CSR that is a register and nothing else, with its bits that can be written; -1: not one of them, or not for this privilege. */
static int plain_csr(const RiscvTr *t, unsigned n, uint64_t *ret_mask)
{
    static const struct { uint16_t n, slot; uint64_t mask; } plain[] = {
        { 0x140, RVS_SSCRATCH, ~0ull }, { 0x141, RVS_SEPC, ~1ull }, { 0x142, RVS_SCAUSE, ~0ull }, { 0x143, RVS_STVAL, ~0ull },
        { 0x340, RVS_MSCRATCH, ~0ull }, { 0x341, RVS_MEPC, ~1ull }, { 0x342, RVS_MCAUSE, ~0ull }, { 0x343, RVS_MTVAL, ~0ull },
    };
    for (unsigned k = 0; k < sizeof(plain) / sizeof(plain[0]) && RVM_PRIV(t->mode) >= (n >> 8 & 3); k++)
        if (plain[k].n == n) {
            *ret_mask = plain[k].mask;
            return plain[k].slot;
        }
    return -1;
}

static void plain(RiscvTr *t, const RiscvArgs *a, unsigned slot, uint64_t mask, IrVal v, bool write)
{
    IrUnit *u = t->u;
    IrVal old = ir_get(u, IRT_I64, slot);
    if (write) {
        v = a->k == 0 ? v : a->k == 1 ? ir_bin(u, IR_OR, IRT_I64, old, v) : ir_bin(u, IR_ANDN, IRT_I64, v, old);
        if (mask != ~0ull)
            v = ir_bin(u, IR_AND, IRT_I64, v, rv_k(t, (int64_t)mask));
        ir_put(u, IRT_I64, slot, v);
    }
    rv_put(t, a->rd, old);
}

/* CSRRCI of sstatus, SIE: kernels do this all the time. It makes no interrupt due and no other mode; the mode says what SD is. */
static bool irqs_off(RiscvTr *t, const RiscvArgs *a)
{
    IrUnit *u = t->u;
    if (a->csr != 0x100 || a->k != 2 || a->rs1 != RISCV_SIE || RVM_PRIV(t->mode) < RISCV_S)
        return false;
    IrVal m = ir_get(u, IRT_I64, RVS_MSTATUS);
    ir_put(u, IRT_I64, RVS_MSTATUS, ir_bin(u, IR_AND, IRT_I64, m, rv_k(t, ~(int64_t)RISCV_SIE)));
    if (a->rd) {
        IrVal seen = ir_bin(u, IR_AND, IRT_I64, m, rv_k(t, (int64_t)(RISCV_SSTATUS_READ & ~RISCV_SD)));
        rv_put(t, a->rd, t->mode & RVM_FS_DIRTY ? ir_bin(u, IR_OR, IRT_I64, seen, rv_k(t, (int64_t)RISCV_SD)) : seen);
    }
    return true;
}

/* One bit of @v, from place @from to place @to. */
static IrVal bit_to(RiscvTr *t, IrVal v, unsigned from, unsigned to)
{
    IrUnit *u = t->u;
    IrVal moved = ir_tri(u, from > to ? IR_SHR : IR_SHL, IRT_I32, v, ir_const(u, IRT_I8, from > to ? from - to : to - from), 0);
    return ir_bin(u, IR_AND, IRT_I32, moved, ir_const(u, IRT_I32, 1 << to));
}

/* fflags (NX UF OF DZ NV from bit 0 up) from those of the host (invalid 0, denormal 1, division by zero 2, overflow 3, underflow 4, inexact 5), or back. */
static IrVal fflags_bits(RiscvTr *t, IrVal v, bool from_host)
{
    static const uint8_t host[] = { 5, 4, 3, 2, 0 };
    IrVal r = 0;
    for (unsigned n = 0; n < sizeof(host); n++) {
        IrVal b = from_host ? bit_to(t, v, host[n], n) : bit_to(t, v, n, host[n]);
        r = r ? ir_bin(t->u, IR_OR, IRT_I32, r, b) : b;
    }
    return r;
}

/* fflags read (libm saves them), or written whole (and puts them back); not with what may make mstatus.FS dirty. */
static bool fflags(RiscvTr *t, const RiscvArgs *a, bool write)
{
    enum { HOST_FLAGS = 0x3f };
    IrUnit *u = t->u;
    if (a->csr != 1 || !(t->mode & RVM_FS_ON) || (write && (a->k || !(t->mode & RVM_FS_DIRTY))))
        return false;
    IrVal v = rv_w(t, a->rs1), env = ir_emit(u, IR_FPENV, IRT_I32, 0, 0, 0, 0);
    if (a->rd || !write)
        rv_put(t, a->rd, ir_zext(u, IRT_I64, IRT_I32, fflags_bits(t, env, true)));
    if (write) {
        IrVal rest = ir_bin(u, IR_AND, IRT_I32, env, ir_const(u, IRT_I32, ~HOST_FLAGS));
        ir_emit(u, IR_FPENVPUT, IRT_NONE, ir_bin(u, IR_OR, IRT_I32, rest, fflags_bits(t, v, false)), 0, 0, 0);
    }
    return true;
}

/* CSRRS and CSRRC with x0 (or 0) do not write (unpriv 6.1). What changes neither the mode nor what is due stays in the unit. */
static bool csr(RiscvTr *t, const RiscvArgs *a, IrVal v, bool write)
{
    uint64_t mask;
    int slot = plain_csr(t, (unsigned)a->csr, &mask);
    if (slot >= 0) {
        plain(t, a, (unsigned)slot, mask, v, write);
        return true;
    }
    IrVal old = rv_call(t, RVH_csr, rv_k(t, a->csr | a->k << 12 | (write ? 1 << 14 : 0)), v, rv_k(t, t->insn), 0);
    rv_put(t, a->rd, old);
    if (!write)
        return true;
    if (riscv_csr_calm((unsigned)a->csr))
        ir_brnz(t->u, IRT_I64, ir_get(t->u, IRT_I64, RVS_TMP0), rv_cold(t, RISCV_COLD_AFTER, a));
    else
        rv_leave_look(t);
    return true;
}

bool rv_csr(RiscvTr *t, const RiscvArgs *a)
{
    bool write = a->k == 0 || a->rs1;
    return fflags(t, a, write) || csr(t, a, rv_x(t, a->rs1), write);
}


bool rv_csri(RiscvTr *t, const RiscvArgs *a) { return irqs_off(t, a) || csr(t, a, rv_k(t, a->rs1), a->k == 0 || a->rs1); }
