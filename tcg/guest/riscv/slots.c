#include "tcg/guest/riscv/riscv.h"

#define AT(f) offsetof(RiscvState, f)
#define X(n, r) [n] = { "x" #n, AT(x) + 8 * (n), IRT_I64, r }
#define F(n, r) [RVS_F0 + n] = { "f" #n, AT(f) + 8 * (n), IRT_V64, r }
#define C(N, n) [RVS_##N] = { #n, AT(n), IRT_I64, 0 }
#define T(n) [RVS_TMP0 + n] = { "tmp" #n, AT(tmp) + 8 * (n), IRT_I64, 0 }

/* rank: what compilers use most: a5 and a4 as scratch, then arguments and the stack pointer; fa5 downwards, then ft0 upwards. */
const IrSlot riscv_slots[RVS_SLOTS] = {
    [RVS_PC] = { "pc", AT(pc), IRT_I64, 0 },
    X(1, 14), X(2, 4), X(3, 0), X(4, 0), X(5, 0), X(6, 0), X(7, 0), X(8, 8), X(9, 10), X(10, 3), X(11, 6), X(12, 7), X(13, 5), X(14, 2), X(15, 1),
    X(16, 9), X(17, 11), X(18, 12), X(19, 13), X(20, 0), X(21, 0), X(22, 0), X(23, 0), X(24, 0), X(25, 0), X(26, 0), X(27, 0), X(28, 0), X(29, 0), X(30, 0), X(31, 0),
    T(0), T(1), T(2), T(3),
    F(0, 7), F(1, 8), F(2, 9), F(3, 12), F(4, 0), F(5, 0), F(6, 0), F(7, 0), F(8, 0), F(9, 0), F(10, 6),
    F(11, 5), F(12, 4), F(13, 3), F(14, 2), F(15, 1), F(16, 10), F(17, 11), F(18, 0), F(19, 0), F(20, 0), F(21, 0),
    F(22, 0), F(23, 0), F(24, 0), F(25, 0), F(26, 0), F(27, 0), F(28, 0), F(29, 0), F(30, 0), F(31, 0),
    [RVS_RES_ADDR] = { "res_addr", AT(res_addr), IRT_I64, 0 },
    [RVS_RES_VALUE] = { "res_value", AT(res_value), IRT_I64, 0 },
    C(SSCRATCH, sscratch), C(SEPC, sepc), C(SCAUSE, scause), C(STVAL, stval), C(MSCRATCH, mscratch), C(MEPC, mepc), C(MCAUSE, mcause), C(MTVAL, mtval), C(MSTATUS, mstatus),
    [RVS_BOX] = { "k_box", AT(k_box), IRT_V64, 0 },
};
