#pragma once
#include "tcg/tcg.h"

/* The x86 guest as others see it. */
extern const GuestIsa x86_isa;
/* sysreg_read/write numbers beyond MSR indexes. */
enum { X86_SYSREG_TPR = 0x10000000, X86_SYSREG_APIC_ID = 0x10000001 };
