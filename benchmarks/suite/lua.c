/* A dynamic language in the manner of Lua: tagged values, tables with string keys, closures, strings, a register machine. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "benchmarks/suite/suite.h"

typedef enum { T_NIL, T_INT, T_NUM, T_STR, T_TAB, T_FUN } Type;
typedef struct Str { struct Str *next; uint32_t hash, len; char text[24]; } Str;
typedef struct Table Table;
typedef struct Closure Closure;
typedef struct Value { Type type; union { int64_t i; double d; Str *s; Table *t; Closure *f; }; } Value;
typedef struct Entry { Str *key; Value value; } Entry;
struct Table { unsigned mask, used; Entry *e; };
typedef struct Insn { uint8_t op, a, b, c; int32_t k; } Insn;
struct Closure { const Insn *code; Value up[2]; };
enum { BUCKETS = 512, REGS = 64, ARENA = 1 << 20 };
typedef struct Vm { Str *strings[BUCKETS]; Value reg[REGS]; Str *konst[4]; uint8_t *arena; size_t used; bool failed; } Vm;

/* Memory of one run; freed as a whole. */
static void *take(Vm *vm, size_t size)
{
    size = (size + 15) & ~(size_t)15;
    if (vm->used + size > ARENA) {
        vm->failed = true;
        vm->used = 0;
    }
    void *p = vm->arena + vm->used;
    vm->used += size;
    memset(p, 0, size);
    return p;
}

/* Strings are interned: equal ones are one. */
static Str *intern(Vm *vm, const char *text, uint32_t len)
{
    uint32_t hash = 2166136261u;
    for (uint32_t i = 0; i < len; i++)
        hash = (hash ^ (uint8_t)text[i]) * 16777619u;
    for (Str *s = vm->strings[hash % BUCKETS]; s; s = s->next)
        if (s->hash == hash && s->len == len && !memcmp(s->text, text, len))
            return s;
    Str *s = take(vm, sizeof(*s));
    s->hash = hash;
    s->len = len;
    memcpy(s->text, text, len);
    s->next = vm->strings[hash % BUCKETS];
    vm->strings[hash % BUCKETS] = s;
    return s;
}

static Table *table_new(Vm *vm, unsigned size)
{
    Table *t = take(vm, sizeof(*t));
    t->mask = size - 1;
    t->e = take(vm, size * sizeof(*t->e));
    return t;
}

static Entry *table_at(Table *t, const Str *key)
{
    uint32_t h = key->hash & t->mask;
    while (t->e[h].key && t->e[h].key != key)
        h = (h + 1) & t->mask;
    return &t->e[h];
}

static void table_set(Vm *vm, Table *t, Str *key, Value v)
{
    Entry *e = table_at(t, key);
    if (!e->key) {
        if (++t->used * 4 > t->mask * 3) {
            Table old = *t;
            t->mask = 2 * old.mask + 1;
            t->e = take(vm, (t->mask + 1) * sizeof(*t->e));
            for (unsigned i = 0; i <= old.mask; i++)
                if (old.e[i].key)
                    *table_at(t, old.e[i].key) = old.e[i];
            e = table_at(t, key);
        }
        e->key = key;
    }
    e->value = v;
}

static double number(Value v) { return v.type == T_NUM ? v.d : (double)v.i; }

static Value arith(char op, Value x, Value y)
{
    if (x.type == T_INT && y.type == T_INT) {
        int64_t a = x.i, b = y.i;
        return (Value){ .type = T_INT, .i = op == '+' ? a + b : op == '-' ? a - b : op == '*' ? a * b : b ? a % b : 0 };
    }
    double a = number(x), b = number(y);
    return (Value){ .type = T_NUM, .d = op == '+' ? a + b : op == '-' ? a - b : op == '*' ? a * b : b };
}

static Str *concat(Vm *vm, Value x, Value y)
{
    char text[24];
    uint32_t len = x.s->len < 12 ? x.s->len : 12;
    memcpy(text, x.s->text, len);
    uint64_t v = (uint64_t)y.i;
    do {
        text[len++] = (char)('0' + v % 10);
        v /= 10;
    } while (v && len < sizeof(text) - 1);
    return intern(vm, text, len);
}

enum { LOADI, LOADN, LOADS, MOVE, ADD, SUB, MUL, MOD, LT, JF, JMP, GET, SET, NEWTAB, CLOSURE, CALL, GETUP, SETUP, CONCAT, RET };

/* counter: up0 = up0 + 1; up1 = up1 * 0.5 + up0; return up0 */
static const Insn counter_code[] = {
    { GETUP, 0, 0, 0, 0 }, { LOADI, 1, 0, 0, 1 }, { ADD, 0, 0, 1, 0 }, { SETUP, 0, 0, 0, 0 },
    { GETUP, 1, 1, 0, 0 }, { LOADN, 2, 0, 0, 1 }, { MUL, 1, 1, 2, 0 }, { ADD, 1, 1, 0, 0 }, { SETUP, 1, 1, 0, 0 }, { RET, 0, 0, 0, 0 },
};
/*
 * main: r0 = n; r1 = {}; r2 = closure; r3 = 0; r4 = 0
 * while r4 < r0: k = "key" .. (r4 % 61); r1[k] = (r1[k] or 0) + counter(); o = {x = r4}; r3 = r3 + r1[k] % 7 + o.x; r4 = r4 + 1
 */
static const Insn main_code[] = {
    { NEWTAB, 1, 0, 0, 8 }, { CLOSURE, 2, 0, 0, 0 }, { LOADI, 3, 0, 0, 0 }, { LOADI, 4, 0, 0, 0 },
    { LT, 5, 4, 0, 0 }, { JF, 5, 0, 0, 24 },
    { LOADI, 6, 0, 0, 61 }, { MOD, 6, 4, 6, 0 }, { LOADS, 7, 0, 0, 0 }, { CONCAT, 7, 7, 6, 0 },
    { GET, 8, 1, 7, 0 }, { CALL, 16, 2, 0, 0 }, { ADD, 8, 8, 16, 0 }, { SET, 1, 7, 8, 0 },
    { NEWTAB, 9, 0, 0, 4 }, { LOADS, 10, 0, 0, 1 }, { SET, 9, 10, 4, 0 }, { GET, 11, 9, 10, 0 },
    { LOADI, 12, 0, 0, 7 }, { MOD, 8, 8, 12, 0 }, { ADD, 3, 3, 8, 0 }, { ADD, 3, 3, 11, 0 },
    { LOADI, 12, 0, 0, 1 }, { ADD, 4, 4, 12, 0 }, { JMP, 0, 0, 0, 4 },
    { RET, 3, 0, 0, 0 },
};

/* Windows of registers overlap: a callee's register 0 is the caller's register a, where its result goes. */
static void execute(Vm *vm, Closure *self, Value *r)
{
    static const char ops[] = "+-*%";
    for (const Insn *i = self->code;; i++) {
        switch (i->op) {
        case LOADI: r[i->a] = (Value){ .type = T_INT, .i = i->k }; break;
        case LOADN: r[i->a] = (Value){ .type = T_NUM, .d = i->k / 2.0 }; break;
        case LOADS: r[i->a] = (Value){ .type = T_STR, .s = vm->konst[i->k] }; break;
        case MOVE: r[i->a] = r[i->b]; break;
        case ADD: case SUB: case MUL: case MOD: r[i->a] = arith(ops[i->op - ADD], r[i->b], r[i->c]); break;
        case LT: r[i->a] = (Value){ .type = T_INT, .i = number(r[i->b]) < number(r[i->c]) }; break;
        case JF: if (!r[i->a].i) i = self->code + i->k; break;
        case JMP: i = self->code + i->k - 1; break;
        case GET: {
            Entry *e = table_at(r[i->b].t, r[i->c].s);
            r[i->a] = e->key ? e->value : (Value){ .type = T_INT };
            break;
        }
        case SET: table_set(vm, r[i->a].t, r[i->b].s, r[i->c]); break;
        case NEWTAB: r[i->a] = (Value){ .type = T_TAB, .t = table_new(vm, (unsigned)i->k) }; break;
        case CLOSURE: {
            Closure *f = take(vm, sizeof(*f));
            *f = (Closure){ counter_code, { { .type = T_INT }, { .type = T_NUM } } };
            r[i->a] = (Value){ .type = T_FUN, .f = f };
            break;
        }
        case CALL: execute(vm, r[i->b].f, r + i->a); break;
        case GETUP: r[i->a] = self->up[i->b]; break;
        case SETUP: self->up[i->a] = r[i->b]; break;
        case CONCAT: r[i->a] = (Value){ .type = T_STR, .s = concat(vm, r[i->b], r[i->c]) }; break;
        default: r[0] = r[i->a]; return;
        }
    }
}

static uint64_t run_lua(uint64_t n)
{
    Vm *vm = calloc(1, sizeof(*vm));
    uint8_t *arena = malloc(ARENA);
    uint64_t sum = 0;
    if (!vm || !arena)
        return 0;
    for (uint64_t i = 0; i < n; i++) {
        memset(vm, 0, sizeof(*vm));
        vm->arena = arena;
        vm->konst[0] = intern(vm, "key", 3);
        vm->konst[1] = intern(vm, "x", 1);
        Closure main_closure = { main_code, { { .type = T_NIL } } };
        vm->reg[0] = (Value){ .type = T_INT, .i = 2000 };
        execute(vm, &main_closure, vm->reg);
        sum = suite_mix(sum, (uint64_t)vm->reg[0].i + vm->failed);
    }
    free(arena);
    free(vm);
    return sum;
}

const Workload suite_lua[] = {
    { "lua", "integer", 100, run_lua, "", "2000 turns of a script with tables, closures and strings" },
    { 0 },
};
