#include "tcg/guest/x86/x86.h"

_Static_assert(X86_CC_V == IRFL_V && X86_CC_C == IRFL_C && X86_CC_P == IRFL_P && X86_CC_A == IRFL_A && X86_CC_Z == IRFL_Z &&
               X86_CC_S == IRFL_N, "the flags slot is the IR's packed form");

#define AT(f) offsetof(X86State, f)
#define GPR(n, r) [n] = { &#n[5], AT(gpr) + 8 * (n), IRT_I64, r }
#define SEG(X, x) [X86S_##x##_BASE] = { #x "_base", AT(seg) + sizeof(X86Seg) * (X) + offsetof(X86Seg, base), IRT_I64, 0 }, \
    [X86S_##x##_LIMIT] = { #x "_limit", AT(seg) + sizeof(X86Seg) * (X) + offsetof(X86Seg, limit), IRT_I32, 0 }, \
    [X86S_##x##_ATTR] = { #x "_attr", AT(seg) + sizeof(X86Seg) * (X) + offsetof(X86Seg, attr), IRT_I32, 0 }, \
    [X86S_##x##_SEL] = { #x, AT(seg) + sizeof(X86Seg) * (X) + offsetof(X86Seg, sel), IRT_I16, 0 }
#define TMP(n) [X86S_TMP0 + n] = { "tmp" #n, AT(tmp) + 8 * (n), IRT_I64, 0 }
#define MM(n) [X86S_MM0 + n] = { "mm" #n, AT(fpr) + sizeof(X86Fpr) * (n), IRT_V64, 0 }, [X86S_MMEXP0 + n] = { "mmexp" #n, AT(fpr) + sizeof(X86Fpr) * (n) + offsetof(X86Fpr, exp), IRT_I16, 0 }
#define VEC(n) [X86S_VEC0 + n] = { "ymm" #n, AT(vec) + sizeof(X86Vec) * (n), IRT_V256, 1 + (n) }

/* rank: how much a register deserves a host register; the legacy eight lead in compiled code of every kind. */
const IrSlot x86_slots[X86_SLOTS] = {
    GPR(X86S_RAX, 1), GPR(X86S_RCX, 4), GPR(X86S_RDX, 3), GPR(X86S_RBX, 7), GPR(X86S_RSP, 2), GPR(X86S_RBP, 8), GPR(X86S_RSI, 6), GPR(X86S_RDI, 5),
    GPR(X86S_R8, 9), GPR(X86S_R9, 13), GPR(X86S_R10, 15), GPR(X86S_R11, 16), GPR(X86S_R12, 10), GPR(X86S_R13, 11), GPR(X86S_R14, 12), GPR(X86S_R15, 14),
    [X86S_RIP] = { "rip", AT(rip), IRT_I64, 0 },
    [X86S_FL] = { "fl", AT(cc), IRT_FL, 0 },
    [X86S_RFLAGS_REST] = { "rflags", AT(rflags_rest), IRT_I32, 0 },
    TMP(0), TMP(1), TMP(2), TMP(3), TMP(4),
    SEG(X86_ES, ES), SEG(X86_CS, CS), SEG(X86_SS, SS), SEG(X86_DS, DS), SEG(X86_FS, FS), SEG(X86_GS, GS),
    [X86S_MXCSR] = { "mxcsr", AT(mxcsr), IRT_I32, 0 },
    [X86S_FCW] = { "fcw", AT(fcw), IRT_I16, 0 },
    [X86S_FSW] = { "fsw", AT(fsw), IRT_I16, 0 },
    [X86S_FTW] = { "ftw", AT(ftw), IRT_I8, 0 },
    [X86S_FOP] = { "fop", AT(fop), IRT_I16, 0 },
    [X86S_FIP] = { "fip", AT(fip), IRT_I64, 0 },
    [X86S_FDP] = { "fdp", AT(fdp), IRT_I64, 0 },
    [X86S_FCS] = { "fcs", AT(fcs), IRT_I16, 0 },
    [X86S_X87_LIVE] = { "x87_live", AT(x87_live), IRT_I8, 0 },
    [X86S_X87_DSEG] = { "x87_dseg", AT(x87_dseg), IRT_I8, 0 },
    [X86S_X87_LAST] = { "x87_last", AT(x87_last), IRT_I32, 0 },
    [X86S_X87_BASE] = { "x87_base", AT(x87_base), IRT_I64, 0 },
    [X86S_INT_SHADOW] = { "int_shadow", AT(ev.int_shadow), IRT_I8, 0 },
    MM(0), MM(1), MM(2), MM(3), MM(4), MM(5), MM(6), MM(7),
    VEC(0), VEC(1), VEC(2), VEC(3), VEC(4), VEC(5), VEC(6), VEC(7), VEC(8), VEC(9), VEC(10), VEC(11), VEC(12), VEC(13), VEC(14), VEC(15),
};
