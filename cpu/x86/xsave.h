#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "cpu/x86/state.h"

/* The XSAVE area (SDM 1 13.4): layout, and conversion from and to the architectural state. */

/* XCR0 and IA32_XSS bits */
enum { X86_XC_X87 = 1, X86_XC_SSE = 2, X86_XC_AVX = 4, X86_XC_BNDREGS = 8, X86_XC_BNDCSR = 16, X86_XC_OPMASK = 32, X86_XC_ZMM_HI256 = 64,
       X86_XC_HI16_ZMM = 128, X86_XC_PKRU = 512 };
/* What pack and unpack know of; the others travel raw in X86State.xsave_extra. */
enum { X86_XC_KNOWN = X86_XC_X87 | X86_XC_SSE | X86_XC_AVX | X86_XC_OPMASK | X86_XC_ZMM_HI256 | X86_XC_HI16_ZMM | X86_XC_PKRU };
enum { X86_XSAVE_LEGACY = 512, X86_XSAVE_HEADER = 64, X86_XSAVE_MAX = 4096 };
#define X86_XCOMP_COMPACT (1ull << 63)

typedef struct X86XsaveComponent { uint32_t offset, size; bool align64; } X86XsaveComponent;

/* Place of component @i (2..62) in the standard format; size 0: not known here. */
X86XsaveComponent x86_xsave_component(unsigned i);
/* Bytes of an area that holds @mask. */
uint32_t x86_xsave_size(uint64_t mask, bool compact);
/* Offset of component @i in a compacted area of @mask. */
uint32_t x86_xsave_compact_offset(uint64_t mask, unsigned i);

/* The 512 bytes of FXSAVE (64-bit form of FIP and FDP). @mxcsr_mask: MXCSR_MASK to store. */
void x86_fxsave_pack(const X86State *s, uint8_t *area, bool xmm, unsigned n_xmm);
void x86_fxsave_unpack(X86State *s, const uint8_t *area);

/*
 * Whole state in standard format, for KVM_GET/SET_XSAVE, snapshots: @area has X86_XSAVE_MAX bytes. pack writes all components of @mask;
 * unpack reads those that XSTATE_BV names, others of @mask are initialised.
 */
void x86_xsave_pack(const X86State *s, uint64_t mask, uint8_t *area);
void x86_xsave_unpack(X86State *s, uint64_t mask, const uint8_t *area);
