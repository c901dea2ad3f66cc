/*
 * Random instances of every line of the AArch64 instruction lists: each decodes to its own line. Prints "BITS<tab>TEXT" of what the translator
 * takes for aarch64_decode.py, which compares the mnemonics with binutils', and "BITS<tab>-" of random words that it does not take.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tcg/guest/aarch64/translate.h"

enum { PER_LINE = 12, TRIES = 3000, RANDOM_WORDS = 4000 };

static uint64_t state = 88172645463325252ull;

static uint32_t rnd(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 16);
}

/* Does the translator take it? */
static bool legal(uint32_t insn, const A64Args *decoded)
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
    t.mode = A64M_FP | 0xfu << A64M_PAUTH_SHIFT | A64_EL1;
    t.insn = insn;
    t.next = 4;
    a.k = a64_op_info[a.op].k;
    return a64_op_info[a.op].emit(&t, &a);
}

/* Bits that no operand takes are should-be-one. */
static uint32_t free_bits(unsigned op)
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

static void print(uint32_t insn)
{
    char text[128];
    a64_disas((const uint8_t *)&insn, 4, 0, 0, text, sizeof(text));
    printf("%08x\t%s\n", insn, text);
}

static unsigned line(unsigned op)
{
    const A64OpInfo *i = &a64_op_info[op];
    uint32_t ones = free_bits(op);
    unsigned found = 0;
    for (unsigned tries = 0; tries < TRIES && found < PER_LINE; tries++) {
        uint32_t insn = (rnd() & ~i->mask) | i->value | ones;
        A64Args a = { 0 };
        if (!a64_decode32(insn, &a) || a.op != op || !legal(insn, &a))
            continue;           /* a more special one, or reserved */
        found++;
        print(insn);
    }
    return found;
}

int main(void)
{
    int bad = 0;
    for (unsigned op = 0; op < A64_OPS; op++)
        if (!line(op) && a64_op_info[op].emit != tr_hlt && a64_op_info[op].emit != tr_udf) {
            fprintf(stderr, "%s never decodes to itself\n", a64_op_info[op].name);
            bad = 1;
        }
    for (unsigned n = 0; n < RANDOM_WORDS; n++) {
        uint32_t insn = rnd();
        A64Args a = { 0 };
        if (!a64_decode32(insn, &a) || !legal(insn, &a))
            printf("%08x\t-\n", insn);
    }
    return bad;
}
