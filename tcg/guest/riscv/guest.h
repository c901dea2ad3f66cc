#pragma once
#include "tcg/tcg.h"

/* The RISC-V guest as the rest of the program sees it; state: cpu/riscv/state.h. */
extern const GuestIsa riscv_isa;
