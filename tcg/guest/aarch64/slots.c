#include "tcg/guest/aarch64/aarch64.h"

#define AT(f) offsetof(A64State, f)
#define X(n, r) [n] = { "x" #n, AT(x) + 8 * (n), IRT_I64, r }
#define V(n, r) [A64S_V0 + n] = { "v" #n, AT(v) + sizeof(A64Vec) * (n), IRT_V128, r }
#define T(n) [A64S_TMP0 + n] = { "tmp" #n, AT(tmp) + 8 * (n), IRT_I64, 0 }

/* rank: how often the instructions that compiled integer code executes name a register (benchmarks/suite, counted in 2026). */
const IrSlot a64_slots[A64S_SLOTS] = {
    X(0, 1), X(1, 2), X(2, 3), X(3, 4), X(4, 5), X(5, 7), X(6, 8), X(7, 10), X(8, 13), X(9, 0), X(10, 0), X(11, 0), X(12, 0), X(13, 0), X(14, 0), X(15, 0),
    X(16, 0), X(17, 0), X(18, 0), X(19, 6), X(20, 11), X(21, 12), X(22, 0), X(23, 0), X(24, 0), X(25, 0), X(26, 0), X(27, 0), X(28, 0), X(29, 0), X(30, 0),
    [A64S_SP] = { "sp", AT(x[A64_SP]), IRT_I64, 9 },
    [A64S_PC] = { "pc", AT(pc), IRT_I64, 0 },
    [A64S_FL] = { "fl", AT(fl), IRT_FL, 0 },
    T(0), T(1), T(2), T(3),
    [A64S_TPIDR] = { "tpidr_el0", AT(tpidr_el0), IRT_I64, 0 },
    [A64S_TPIDRRO] = { "tpidrro_el0", AT(tpidrro_el0), IRT_I64, 0 },
    [A64S_EXCL_ADDR] = { "excl_addr", AT(excl_addr), IRT_I64, 0 },
    [A64S_EXCL_VALUE] = { "excl_value", AT(excl_value[0]), IRT_I64, 0 },
    [A64S_EXCL_VALUE2] = { "excl_value2", AT(excl_value[1]), IRT_I64, 0 },
    [A64S_FPSR] = { "fpsr", AT(fpsr), IRT_I32, 0 },
    [A64S_FPCR] = { "fpcr", AT(fpcr), IRT_I32, 0 },
    [A64S_EVENT] = { "event", AT(event), IRT_I8, 0 },
    [A64S_SP_EL0] = { "sp_el0", AT(sp_el[A64_EL0]), IRT_I64, 0 },
    [A64S_TPIDR_EL1] = { "tpidr_el1", AT(tpidr[A64_EL1]), IRT_I64, 0 },
    [A64S_ELR_EL1] = { "elr_el1", AT(elr[A64_EL1]), IRT_I64, 0 },
    [A64S_SPSR_EL1] = { "spsr_el1", AT(spsr[A64_EL1]), IRT_I64, 0 },
    [A64S_ESR_EL1] = { "esr_el1", AT(esr[A64_EL1]), IRT_I64, 0 },
    [A64S_FAR_EL1] = { "far_el1", AT(far[A64_EL1]), IRT_I64, 0 },
    [A64S_TTBR0_EL1] = { "ttbr0_el1", AT(ttbr0[A64_EL1]), IRT_I64, 0 },
    [A64S_TTBR1_EL1] = { "ttbr1_el1", AT(ttbr1[A64_EL1]), IRT_I64, 0 },
    [A64S_FLUSH_SENT] = { "flush_sent", AT(flush_sent), IRT_I8, 0 },
    [A64S_SS] = { "ss", AT(ss), IRT_I8, 0 },
    [A64S_STEP_BEGUN] = { "step_begun", AT(step_begun), IRT_I8, 0 },
    [A64S_MDSCR] = { "mdscr", AT(mdscr), IRT_I64, 0 },
    [A64S_WATCH_LOW] = { "watch_low", AT(watch_low), IRT_I64, 0 },
    [A64S_WATCH_SPAN] = { "watch_span", AT(watch_span), IRT_I64, 0 },
    [A64S_DAIF] = { "daif", AT(daif), IRT_I16, 0 },
    V(0, 1), V(1, 2), V(2, 3), V(3, 4), V(4, 5), V(5, 6), V(6, 7), V(7, 8), V(8, 0), V(9, 0), V(10, 0), V(11, 0), V(12, 0), V(13, 0), V(14, 0), V(15, 0),
    V(16, 9), V(17, 10), V(18, 11), V(19, 0), V(20, 0), V(21, 0), V(22, 0), V(23, 0), V(24, 0), V(25, 0), V(26, 0), V(27, 0), V(28, 0), V(29, 0), V(30, 0), V(31, 12),
};
