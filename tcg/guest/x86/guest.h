#pragma once
#include "tcg/tcg.h"

/* The x86 guest as others see it. */
extern const GuestIsa x86_isa;
/* sysreg_read/write numbers beyond MSR indexes. */
/* TcgCallbacks.syscall's kinds, and the vector that is Linux's system call. */
enum { X86_CALL_SYSCALL, X86_CALL_INT80, X86_CALL_SYSENTER, X86_INT_LINUX = 0x80 };
enum { X86_SYSREG_TPR = 0x10000000, X86_SYSREG_APIC_ID = 0x10000001 };
