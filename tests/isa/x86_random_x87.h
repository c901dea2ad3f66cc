#pragma once
#include "cpu/x86/state.h"

/* Random x87 and MMX programs for x86_random: bytes, inputs, and what of the outputs may be compared. @rnd: 64 random bits. */
typedef uint64_t X87Rnd(void);
enum { X87_MAX_BYTES = 1024 };

/* A program for code at any address; memory operands are [rSI + disp32], rSI = address of the data area. Returns its length (<= X87_MAX_BYTES). */
unsigned x87_make(uint8_t *b, X87Rnd *rnd, uint64_t data, bool code32);
/* Fill the data area (64 KiB): operands, control words, state images. */
void x87_inputs(uint8_t *data, X87Rnd *rnd);
/* Blank what depends on selectors, or that the host's FXSAVE leaves out. */
void x87_normalise(uint8_t *data);
/* Control, status and tag words and registers of an FXSAVE image against the state. NULL or what differs. */
const char *x87_differs(const uint8_t *fxsave, const X86State *s);
/* Forms generated so far, of how many. */
unsigned x87_covered(unsigned *ret_of);
