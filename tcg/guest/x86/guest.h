#pragma once
#include "tcg/tcg.h"

/* The x86 guest as others see it. */
extern const GuestIsa x86_isa;
/* TcgCallbacks.syscall's kinds, the vector that is Linux's system call, and the selector whose limit is the number of the CPU. */
enum { X86_CALL_SYSCALL, X86_CALL_INT80, X86_CALL_SYSENTER, X86_INT_LINUX = 0x80, X86_SEL_LINUX_CPU = 0x78 };
/* sysreg_read/write numbers: MSR indexes (of a program's there is TSC_AUX), and beyond. */
enum { X86_SYSREG_TPR = 0x10000000, X86_SYSREG_APIC_ID = 0x10000001 };
#define X86_SYSREG_TSC_AUX 0xc0000103u
