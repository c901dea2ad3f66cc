#pragma once
#include "tcg/tcg.h"

/* The AArch64 guest as the rest of the program sees it; state: cpu/aarch64/state.h. */
extern const GuestIsa a64_isa;
