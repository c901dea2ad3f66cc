#pragma once
#include "tcg/guest/aarch64/guest.h"
#include "tcg/guest/aarch64/translate.h"
#include "tests/isa/oracle.h"

/* The random-program test of AArch64, common to its parts: aarch64_random.c (base instructions, the loop), aarch64_random_fp.c. */

enum { AREA = 0x200000, BACK = 0x1f0000, DATA = 4096, DATA_SIZE = 8192, CODE = 0x10000, CODE_SIZE = 8192, OUT_SIZE = DATA + DATA_SIZE,
       IN_SIZE = CODE + CODE_SIZE, RAM_BASE = BACK, RAM_SIZE = 0x40000, MAX_SEQ = 64, MAX_INSNS = 160 };
/* Registers with a meaning: counter of the loop, base that moves, index, base (SP is one too), address of the area. With ways: what an address is made in,
 * table of targets, return addresses kept. */
enum { WAY = 20, TABLE_REG = 21, KEPT = 22, LOOP = 23, MOVING = 24, INDEX = 25, BASE = 26, AREA_REG = 27, LINK = 30 };

/* The runner's area, byte for byte. v: two halves each. */
typedef union A64Area {
    struct { uint64_t x[32], v[64], nzcv, fpcr, fpsr; };
    uint8_t raw[IN_SIZE];
} A64Area;

typedef struct A64Test {
    uint64_t rng, mode;
    uint8_t *ram;
    A64Area in, want, got;
    Oracle oracle;
    bool loops, ways, patches;
    unsigned bad, seen[A64_OPS];
    uint32_t seq[MAX_INSNS];   /* instructions of the case, and where they lie in the code */
    unsigned at[MAX_INSNS + 1], n;
    /* other instructions than the base: NULL or what an option has set */
    bool (*allowed)(const A64OpInfo *i);                     /* instead of the base's choice */
    uint32_t (*adjust)(const A64OpInfo *i, uint32_t insn);   /* random bits so that it becomes legal and comparable */
    uint64_t (*rnd_vector)(void);                            /* half a vector register */
    void (*rnd_fp)(void);                                    /* in.fpcr, in.fpsr */
} A64Test;
extern A64Test T;

uint64_t a64t_rnd(void);
/* An instruction at T.at[T.n]; the next one is behind it. One like @op with random operands (0: none); one that nothing depends on. */
void a64t_put(uint32_t insn);
uint32_t a64t_pick(unsigned op);
bool a64t_simple(unsigned op);
/* aarch64_random_ways.c: loops of calls and jumps. */
void a64t_ways(void);
/* Options of the other parts; false: none of theirs. */
bool a64t_option(const char *name);
/* Post-indexed in another way than by imm7 or imm9. */
bool a64t_moves_base(const A64OpInfo *i);
