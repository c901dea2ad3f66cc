/* Loops of calls and jumps, also by register, to functions in the loop's page and another one: for regions that follow them. */
#include <string.h>

#include "tests/isa/aarch64_random.h"

enum { TABLE = 0x1f00, WORDS = 0xc0 };

/* The first two may call the others; the last one's first instruction is written. */
static const uint16_t func[] = { 0x800, 0x1000, 0xa00, 0x1e00 };

static unsigned rnd(unsigned n) { return (unsigned)(a64t_rnd() % n); }
static uint32_t word(unsigned op) { return a64_op_info[op].value; }
static uint32_t add(unsigned d, unsigned n, unsigned imm) { return word(A64_OP_ADD_IMM) | 1u << 31 | imm << 10 | n << 5 | d; }
static uint32_t ands(unsigned imm_bits) { return 0x92400000u | imm_bits << 10 | WAY << 5 | WAY; }     /* and way, way, immediate of N = 1 */
static uint32_t shifted(unsigned by) { return 0xd340fc00u | by << 16 | LOOP << 5 | WAY; }             /* lsr way, counter */
static uint32_t way_in_table(void) { return 0x8b000000u | WAY << 16 | TABLE_REG << 5 | WAY; }         /* add way, table, way */

static void put_rel(unsigned op, unsigned to) { a64t_put(word(op) | ((to - T.at[T.n]) >> 2 & 0x3ffffff)); }

/* Over the next @insns but in one of 1 << @often turns. */
static void put_seldom(unsigned often, unsigned insns)
{
    a64t_put(shifted(0));
    a64t_put(ands(often - 1));
    a64t_put(word(A64_OP_CBNZ) | 1u << 31 | (insns + 1) << 5 | WAY);
}

static void put_random(unsigned most)
{
    for (unsigned n = rnd(most + 1); n > 0;) {
        unsigned op = rnd(A64_OPS);
        uint32_t insn = a64t_simple(op) ? a64t_pick(op) : 0;
        if (!insn)
            continue;
        a64t_put(insn);
        n--;
    }
}

static void set_target(unsigned pair, unsigned entry, unsigned to)
{
    uint64_t va = AREA + CODE + to;
    memcpy(&T.in.raw[CODE + TABLE + 16 * pair + 8 * entry], &va, 8);
}

/* Way: an entry of the table's pair @pair, by the turn; to @reg. */
static void put_load(unsigned reg, unsigned pair)
{
    a64t_put(shifted(rnd(9)));
    a64t_put(ands(61u << 6));  /* 8 */
    a64t_put(way_in_table());
    a64t_put(0xf9400000u | 2 * pair << 10 | WAY << 5 | reg);
}

/* It may be signed, with a key of the CPU's own: nobody looks at it. */
static void put_no_link(void) { a64t_put(word(A64_OP_MOVZ) | 1u << 31 | LINK); }

/* The last function's first instruction becomes another one. */
static void put_patch(void)
{
    put_seldom(7, 5);
    a64t_put(shifted(5));
    a64t_put(ands(62u << 6));  /* 4 */
    a64t_put(way_in_table());
    a64t_put(0xb9400000u | WORDS / 4 << 10 | WAY << 5 | WAY);
    a64t_put(0xb8000000u | ((unsigned)(func[3] + 4 - TABLE) & 0x1ff) << 12 | TABLE_REG << 5 | WAY);
}

static void put_site(unsigned pair)
{
    unsigned kind = rnd(6), reg = kind != 4 && rnd(2) ? WAY : LINK;
    if (kind == 0) {
        put_rel(A64_OP_BL, func[rnd(4)]);
    } else if (kind == 1 && T.patches) {
        put_patch();
        return;
    } else {
        for (unsigned n = 0; n < 2; n++)
            set_target(pair, n, func[rnd(4)]);
        put_load(reg, pair);
        if (kind == 5) {       /* to behind it, or one further */
            set_target(pair, 0, T.at[T.n] + 4);
            set_target(pair, 1, T.at[T.n] + 8);
            a64t_put(word(A64_OP_BR) | reg << 5);
        } else if (kind == 4) {
            a64t_put(word(A64_OP_PACIA) | BASE << 5 | reg);
            a64t_put(word(A64_OP_BLRAA) | reg << 5 | BASE);
        } else {
            a64t_put(word(A64_OP_BLR) | reg << 5);
        }
    }
    a64t_put(add(10, 10, 1));  /* some calls return behind it */
    put_no_link();
    put_random(2);
}

static void put_func(unsigned k)
{
    bool calls = k < 2 && rnd(2);
    T.at[T.n] = func[k];
    if (k == 3) {
        a64t_put(word(A64_OP_NOP));
        a64t_put(add(11, 11, 7));
    }
    if (rnd(2))
        a64t_put(word(rnd(2) ? A64_OP_ADRP : A64_OP_ADR) | rnd(1 << 10) << 5 | 13);
    put_random(3);
    if (k < 2 && !calls && rnd(2)) {
        put_rel(A64_OP_B, func[2 + rnd(2)]);
        return;
    }
    if (calls) {
        a64t_put(add(KEPT, LINK, 0));
        put_rel(A64_OP_BL, func[2 + rnd(2)]);
        a64t_put(add(12, 12, 1));
        put_no_link();
        put_random(1);
        a64t_put(add(LINK, KEPT, 0));
    }
    if (rnd(3) == 0) {
        put_seldom(5, 1);
        a64t_put(add(LINK, LINK, 4));
    }
    if (rnd(3) == 0) {         /* around a call: what that leaves in x30 is not there */
        a64t_put(word(A64_OP_CBNZ) | 1u << 31 | 2 << 5 | AREA_REG);
        put_rel(A64_OP_BL, func[2]);
        a64t_put(add(12, 12, 1));
    }
    if (rnd(3) == 0) {
        a64t_put(word(A64_OP_PACIA) | 31 << 5 | LINK);
        a64t_put(word(A64_OP_RETAA));
    } else {
        a64t_put(word(A64_OP_RET) | LINK << 5);
    }
}

void a64t_ways(void)
{
    uint32_t words[] = { add(11, 11, 7), add(11, 11, 900) };
    unsigned sites = 1 + rnd(4);
    memcpy(&T.in.raw[CODE + TABLE + WORDS], words, sizeof(words));
    T.in.x[LOOP] = 400 + rnd(1600);
    T.in.x[TABLE_REG] = AREA + CODE + TABLE;
    for (unsigned n = 0; n < sites; n++)
        put_site(n);
    a64t_put(word(A64_OP_SUB_IMM) | 1u << 31 | 1 << 10 | LOOP << 5 | LOOP);
    a64t_put(word(A64_OP_CBNZ) | 1u << 31 | (-T.at[T.n] >> 2 & 0x7ffff) << 5 | LOOP);
    a64t_put(word(A64_OP_B) | ((uint32_t)(BACK - (AREA + CODE + (int)T.at[T.n])) >> 2 & 0x3ffffff));
    for (unsigned k = 0; k < 4; k++)
        put_func(k);
}
