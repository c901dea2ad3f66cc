#pragma once
#include <string.h>

#include "tcg/guest/aarch64/translate.h"

/* What tests of AArch64's instruction lists ask about one instruction. */

/* Does the translator take it in @mode? Tried on a unit that is thrown away. */
static inline bool a64t_legal(uint32_t insn, const A64Args *decoded, uint64_t mode)
{
    static IrInsn buf[IR_MAX_INSNS];
    static IrUnit u;
    static A64Tr t;
    TcgUnitDesc d = { .u = &u };
    A64Args a = *decoded;
    ir_begin(&u, buf, a64_slots, A64S_SLOTS);
    memset(&t, 0, sizeof(t));
    t.d = &d;
    t.u = &u;
    t.mode = mode;
    t.insn = insn;
    t.next = 4;
    a.k = a64_op_info[a.op].k;
    return a64_op_info[a.op].emit(&t, &a);
}

/* Bits that no operand takes: should-be-one. */
static inline uint32_t a64t_free_bits(unsigned op)
{
    const A64OpInfo *i = &a64_op_info[op];
    uint32_t bits = 0;
    A64Args a = { 0 }, b;
    a64_decode32(i->value, &a);
    for (unsigned n = 0; n < 32; n++) {
        memset(&b, 0, sizeof(b));
        if (!(i->mask >> n & 1) && a64_decode32(i->value | 1u << n, &b) && !memcmp(&a, &b, sizeof(a)))
            bits |= 1u << n;
    }
    return bits;
}
