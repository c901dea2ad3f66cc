/* Indirect jumps: virtual calls, a byte-code interpreter. */
#include <stdlib.h>

#include "benchmarks/suite/suite.h"

/* ---- virtual calls ---- */
typedef struct Shape Shape;
typedef struct ShapeOps { uint64_t (*area)(const Shape *); void (*grow)(Shape *, uint64_t by); } ShapeOps;
struct Shape { const ShapeOps *ops; uint64_t a, b; };

static uint64_t square_area(const Shape *s) { return s->a * s->a; }
static uint64_t rect_area(const Shape *s) { return s->a * s->b; }
static uint64_t tri_area(const Shape *s) { return s->a * s->b / 2; }
static void grow_a(Shape *s, uint64_t by) { s->a += by; }
static void grow_both(Shape *s, uint64_t by)
{
    s->a += by;
    s->b ^= by;
}

static uint64_t run_virtual(uint64_t n)
{
    enum { SHAPES = 64 };
    static const ShapeOps ops[4] = { { square_area, grow_a }, { rect_area, grow_both }, { tri_area, grow_both }, { rect_area, grow_a } };
    Shape *s = malloc(SHAPES * sizeof(*s));
    uint64_t seed = 9, sum = 0;
    if (!s)
        return 0;
    for (unsigned i = 0; i < SHAPES; i++)
        s[i] = (Shape){ &ops[suite_random(&seed) % 4], i + 1, i + 3 };
    for (uint64_t i = 0; i < n; i++) {
        Shape *one = &s[i % SHAPES];
        sum += one->ops->area(one);
        one->ops->grow(one, i & 3);
    }
    free(s);
    return sum;
}

/* ---- a stack machine, one indirect jump an instruction ---- */
enum { OP_PUSH, OP_ADD, OP_SUB, OP_MUL, OP_XOR, OP_LT, OP_JZ, OP_JMP, OP_LOAD, OP_STORE, OP_DUP, OP_DROP, OP_SHR, OP_HALT };

enum { CODE_LEN = 80 };

/* Collatz steps of the numbers below local 0, added up in local 3. */
static void assemble(int16_t *code)
{
    unsigned at = 0, loop, exit_outer, inner, exit_inner, even, join;
#define EMIT(v) code[at++] = (int16_t)(v)
    EMIT(OP_PUSH); EMIT(1); EMIT(OP_STORE); EMIT(1);
    loop = at;
    EMIT(OP_LOAD); EMIT(1); EMIT(OP_LOAD); EMIT(0); EMIT(OP_LT); EMIT(OP_JZ); exit_outer = at; EMIT(0);
    EMIT(OP_LOAD); EMIT(1); EMIT(OP_STORE); EMIT(2);
    inner = at;
    EMIT(OP_PUSH); EMIT(1); EMIT(OP_LOAD); EMIT(2); EMIT(OP_LT); EMIT(OP_JZ); exit_inner = at; EMIT(0);
    EMIT(OP_LOAD); EMIT(3); EMIT(OP_PUSH); EMIT(1); EMIT(OP_ADD); EMIT(OP_STORE); EMIT(3);
    EMIT(OP_LOAD); EMIT(2); EMIT(OP_DUP); EMIT(OP_PUSH); EMIT(1); EMIT(OP_SHR); EMIT(OP_DUP); EMIT(OP_ADD); EMIT(OP_XOR);
    EMIT(OP_JZ); even = at; EMIT(0);
    EMIT(OP_LOAD); EMIT(2); EMIT(OP_PUSH); EMIT(3); EMIT(OP_MUL); EMIT(OP_PUSH); EMIT(1); EMIT(OP_ADD);
    EMIT(OP_JMP); join = at; EMIT(0);
    code[even] = (int16_t)at;
    EMIT(OP_LOAD); EMIT(2); EMIT(OP_PUSH); EMIT(1); EMIT(OP_SHR);
    code[join] = (int16_t)at;
    EMIT(OP_STORE); EMIT(2); EMIT(OP_JMP); EMIT(inner);
    code[exit_inner] = (int16_t)at;
    EMIT(OP_LOAD); EMIT(1); EMIT(OP_PUSH); EMIT(1); EMIT(OP_ADD); EMIT(OP_STORE); EMIT(1); EMIT(OP_JMP); EMIT(loop);
    code[exit_outer] = (int16_t)at;
    EMIT(OP_HALT);
#undef EMIT
}

__attribute__((noinline)) static uint64_t interpret(const int16_t *code, uint64_t *local)
{
    static void *const at[] = { &&push, &&add, &&sub, &&mul, &&xor, &&lt, &&jz, &&jmp, &&load, &&store, &&dup, &&drop, &&shr, &&halt };
    uint64_t stack[32], *sp = stack, steps = 0;
    const int16_t *pc = code;
#define NEXT do { steps++; goto *at[*pc++]; } while (0)
    NEXT;
push: *sp++ = (uint64_t)*pc++; NEXT;
add: sp--; sp[-1] += *sp; NEXT;
sub: sp--; sp[-1] -= *sp; NEXT;
mul: sp--; sp[-1] *= *sp; NEXT;
xor: sp--; sp[-1] ^= *sp; NEXT;
lt: sp--; sp[-1] = sp[-1] < *sp; NEXT;
shr: sp--; sp[-1] >>= *sp; NEXT;
dup: *sp = sp[-1]; sp++; NEXT;
drop: sp--; NEXT;
load: *sp++ = local[*pc++]; NEXT;
store: local[*pc++] = *--sp; NEXT;
jmp: pc = code + *pc; NEXT;
jz: pc = *--sp ? pc + 1 : code + *pc; NEXT;
halt: return steps;
#undef NEXT
}

static uint64_t run_bytecode(uint64_t n)
{
    int16_t code[CODE_LEN];
    uint64_t sum = 0;
    assemble(code);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t local[4] = { 100 + i % 7, 0, 0, 0 };
        sum += interpret(code, local);
        sum = suite_mix(sum, local[3]);
    }
    return sum;
}

const Workload suite_dispatch[] = {
    { "virtual", "integer", 3000000, run_virtual, "", "two calls through tables of functions" },
    { "bytecode", "integer", 300, run_bytecode, "", "a stack machine with computed gotos: Collatz numbers" },
    { 0 },
};
