/*
 * Random instances of every line of opcodes.def: each decodes to its own line. Prints "BITS<tab>TEXT" for riscv_decode.py, which compares the
 * mnemonics with binutils'.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tcg/guest/riscv/translate.h"
#include "tests/isa/random.h"

enum { PER_LINE = 12, TRIES = 2000 };

static uint64_t state;

static uint32_t rnd(void) { return (uint32_t)(rnd_next(&state) >> 16); }

static unsigned line(unsigned op)
{
    const RiscvOpInfo *i = &riscv_op_info[op];
    unsigned found = 0;
    for (unsigned tries = 0; tries < TRIES && found < PER_LINE; tries++) {
        uint32_t insn = (rnd() & ~i->mask) | i->value;
        RiscvArgs a = { 0 };
        char text[128];
        if (i->width == 16)
            insn &= 0xffff;
        if (!(i->width == 16 ? riscv_decode16(insn, &a) : riscv_decode32(insn, &a)) || a.op != op)
            continue;           /* a condition of the line, or a more special one */
        found++;
        riscv_disas((const uint8_t *)&insn, 4, 0, 0, text, sizeof(text));
        printf("%0*x\t%s\n", i->width / 4, insn, text);
    }
    return found;
}

int main(void)
{
    int bad = 0;
    state = rnd_seed(1);
    for (unsigned op = 0; op < RISCV_OPS; op++)
        if (!line(op)) {
            fprintf(stderr, "%s never decodes to itself\n", riscv_op_info[op].name);
            bad = 1;
        }
    return bad;
}
