#pragma once

/* System registers by the five fields of MRS and MSR, as in bits 20-5 of the instruction; what lies outside the CPU is asked for by these numbers too. */
#define A64_SYSREG(op0, op1, crn, crm, op2) ((op0) << 14 | (op1) << 11 | (crn) << 7 | (crm) << 3 | (op2))

/* The GICv3's CPU interface (Arm IHI 0069H 12.2) */
enum {
    A64_ICC_PMR = A64_SYSREG(3, 0, 4, 6, 0), A64_ICC_IAR0 = A64_SYSREG(3, 0, 12, 8, 0), A64_ICC_EOIR0 = A64_SYSREG(3, 0, 12, 8, 1),
    A64_ICC_HPPIR0 = A64_SYSREG(3, 0, 12, 8, 2), A64_ICC_BPR0 = A64_SYSREG(3, 0, 12, 8, 3), A64_ICC_AP0R0 = A64_SYSREG(3, 0, 12, 8, 4),
    A64_ICC_AP1R0 = A64_SYSREG(3, 0, 12, 9, 0), A64_ICC_DIR = A64_SYSREG(3, 0, 12, 11, 1), A64_ICC_RPR = A64_SYSREG(3, 0, 12, 11, 3),
    A64_ICC_SGI1R = A64_SYSREG(3, 0, 12, 11, 5), A64_ICC_ASGI1R = A64_SYSREG(3, 0, 12, 11, 6), A64_ICC_SGI0R = A64_SYSREG(3, 0, 12, 11, 7),
    A64_ICC_IAR1 = A64_SYSREG(3, 0, 12, 12, 0), A64_ICC_EOIR1 = A64_SYSREG(3, 0, 12, 12, 1), A64_ICC_HPPIR1 = A64_SYSREG(3, 0, 12, 12, 2),
    A64_ICC_BPR1 = A64_SYSREG(3, 0, 12, 12, 3), A64_ICC_CTLR = A64_SYSREG(3, 0, 12, 12, 4), A64_ICC_SRE = A64_SYSREG(3, 0, 12, 12, 5),
    A64_ICC_SRE_EL2 = A64_SYSREG(3, 4, 12, 9, 5), A64_ICC_SRE_EL3 = A64_SYSREG(3, 6, 12, 12, 5), A64_ICC_CTLR_EL3 = A64_SYSREG(3, 6, 12, 12, 4),
    A64_ICC_IGRPEN1_EL3 = A64_SYSREG(3, 6, 12, 12, 7), A64_ICC_IGRPEN0 = A64_SYSREG(3, 0, 12, 12, 6), A64_ICC_IGRPEN1 = A64_SYSREG(3, 0, 12, 12, 7),
    /* the virtual one's, of EL2 (12.4) */
    A64_ICH_AP0R0 = A64_SYSREG(3, 4, 12, 8, 0), A64_ICH_AP1R0 = A64_SYSREG(3, 4, 12, 9, 0), A64_ICH_HCR = A64_SYSREG(3, 4, 12, 11, 0),
    A64_ICH_VTR = A64_SYSREG(3, 4, 12, 11, 1), A64_ICH_MISR = A64_SYSREG(3, 4, 12, 11, 2), A64_ICH_EISR = A64_SYSREG(3, 4, 12, 11, 3),
    A64_ICH_ELRSR = A64_SYSREG(3, 4, 12, 11, 5), A64_ICH_VMCR = A64_SYSREG(3, 4, 12, 11, 7), A64_ICH_LR0 = A64_SYSREG(3, 4, 12, 12, 0),
    A64_ICH_LR8 = A64_SYSREG(3, 4, 12, 13, 0),
};

/*
 * What else the translator asks the machine for through sysreg_read and sysreg_write; no instruction has these numbers. LINES: A64_LINE_ bits. COUNTER: the
 * system counter. TIMER: the CPU's timers were programmed (A64State.timer, of which the machine keeps copies): write + n = CVAL, + 8 + n = CTL of A64_TIMER_n.
 * PSCI: the arguments by writes to + 0..3, then the call is made by reading; the result is x0, or A64_PSCI_STOP when the CPU is now off.
 * START: entry point and context of a CPU that is switched on (read). VOFF: CNTVOFF_EL2 (write).
 */
enum { A64_MACHINE_VOFF = 7, A64_MACHINE_LINES = 1, A64_MACHINE_COUNTER = 2, A64_MACHINE_START_PC = 3, A64_MACHINE_START_X0 = 4, A64_MACHINE_PSCI = 8, A64_MACHINE_TIMER = 16 };
#define A64_PSCI_STOP 0x7fffffff00000000ull
