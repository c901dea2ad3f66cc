/*
 * Random instances of every line of the AArch64 instruction lists: each decodes to its own line. Prints "BITS<tab>TEXT" of what the translator
 * takes for aarch64_decode.py, which compares the mnemonics with binutils', and "BITS<tab>-" of random words that it does not take.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/isa/aarch64_insn.h"
#include "tests/isa/random.h"

enum { PER_LINE = 12, TRIES = 3000, RANDOM_WORDS = 4000 };
#define MODE (A64M_FP | 0xfull << A64M_PAUTH_SHIFT | A64_EL1)

static uint64_t state;

static uint32_t rnd(void) { return (uint32_t)(rnd_next(&state) >> 16); }

static void print(uint32_t insn)
{
    char text[128];
    a64_disas((const uint8_t *)&insn, 4, 0, 0, text, sizeof(text));
    printf("%08x\t%s\n", insn, text);
}

static unsigned line(unsigned op)
{
    const A64OpInfo *i = &a64_op_info[op];
    uint32_t ones = a64t_free_bits(op);
    unsigned found = 0;
    for (unsigned tries = 0; tries < TRIES && found < PER_LINE; tries++) {
        uint32_t insn = (rnd() & ~i->mask) | i->value | ones;
        A64Args a = { 0 };
        if (!a64_decode32(insn, &a) || a.op != op || !a64t_legal(insn, &a, MODE))
            continue;           /* a more special one, or reserved */
        found++;
        print(insn);
    }
    return found;
}

int main(void)
{
    int bad = 0;
    state = rnd_seed(1);
    for (unsigned op = 0; op < A64_OPS; op++)
        if (!line(op) && a64_op_info[op].emit != tr_hlt && a64_op_info[op].emit != tr_udf) {
            fprintf(stderr, "%s never decodes to itself\n", a64_op_info[op].name);
            bad = 1;
        }
    for (unsigned n = 0; n < RANDOM_WORDS; n++) {
        uint32_t insn = rnd();
        A64Args a = { 0 };
        if (!a64_decode32(insn, &a) || !a64t_legal(insn, &a, MODE))
            printf("%08x\t-\n", insn);
    }
    return bad;
}
