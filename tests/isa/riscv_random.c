/*
 * Random RISC-V instruction sequences, run by the translator and by Debian's qemu-riscv64 (through riscv/runner.S); x and f registers, fcsr and
 * memory must agree, and every line of opcodes.def that can run this way must have run.
 *
 *   riscv_random RUNNER [SEED [CASES [interp|tier1|tier2|worker|loops|ways|direct|fp...]]]     77: there is no qemu-riscv64
 *
 * loops: a case is run round and round, as regions. fp: few floating-point instructions, mostly on values where something special happens.
 * ways: loops of calls and jumps, also by register, to functions in this page and another one, which change. worker: regions come from another
 * thread. direct: memory as a Linux program has it.
 *
 * What that QEMU lacks (Zicond) is compared with a model here.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tcg/guest/riscv/guest.h"
#include "tcg/guest/riscv/translate.h"
#include "tests/isa/oracle.h"
#include "tests/isa/random.h"

enum { AREA = 0x200000, BACK = 0x1f0000, DATA = 4096, DATA_SIZE = 8192, CODE = 0x10000, CODE_SIZE = 8192, OUT_SIZE = DATA + DATA_SIZE,
       IN_SIZE = CODE + CODE_SIZE, RAM_BASE = BACK, RAM_SIZE = 0x40000, MAX_SEQ = 40, MAX_INSNS = 160, BASE_SP = 2, BASE_GP = 3, BASE_S0 = 8, COUNTER = 9,
       MAX_TURNS = 12 };

/* The runner's area, byte for byte. */
typedef union Area {
    struct { uint64_t x[32], f[32], fcsr; };
    uint8_t raw[IN_SIZE];
} Area;

static struct {
    uint64_t rng;
    uint8_t *ram;
    Area in, want, got;
    Oracle oracle;
    bool loops, fp, ways, patches;
    unsigned bad, seen[RISCV_OPS];
    uint32_t seq[MAX_INSNS];   /* instructions of the case, and where they lie */
    unsigned at[MAX_INSNS + 1], n;
} T;

static uint64_t rnd(void) { return rnd_next(&T.rng); }

/* ---- values ---- */
static uint64_t rnd_int(void) { return rnd_integer(&T.rng); }

static uint64_t rnd_float(bool dbl)
{
    static const uint64_t d[] = { 0, 0x3ff0000000000000, 0x7ff0000000000000, 0x7ff8000000000000, 0x7ff0000000000001, 0x7fefffffffffffff, 1, 0x0010000000000000,
                                  0x000fffffffffffff, 0x4330000000000001, 0x43e0000000000000, 0x41dfffffffe00000, 0x3fe0000000000000, 0x4008000000000000,
                                  0x41f0000000000000, 0x3690000000000000, 0x47efffffe0000000, 0x3810000000000000, 0x7ff8dead00000000 };
    static const uint32_t s[] = { 0, 0x3f800000, 0x7f800000, 0x7fc00000, 0x7f800001, 0x7f7fffff, 1, 0x00800000, 0x007fffff, 0x4b000001, 0x5f000000, 0x4f000000,
                                  0x3f000000, 0x40400000, 0x4f800000, 0x7fc12345 };
    uint64_t sign = rnd() & 1;
    unsigned how = T.fp && rnd() % 4 ? 0 : (unsigned)(rnd() % 4);
    if (dbl) {
        uint64_t v = how == 0 ? d[rnd() % G_N_ELEMENTS(d)] : how == 1 ? (0x3ffull + rnd() % 70 - 20) << 52 | (rnd() << (rnd() % 52) & ~0ull >> 12)
                                                                       : how == 2 ? (0x3ff0000000000000ull | rnd() % 8 << 49) : rnd() >> 1;
        return v ^ sign << 63;
    }
    uint32_t v = how == 0 ? s[rnd() % G_N_ELEMENTS(s)] : how == 1 ? (uint32_t)(127 + rnd() % 70 - 20) << 23 | ((uint32_t)rnd() << (rnd() % 23) & 0x7fffff)
                                                                  : how == 2 ? (0x3f800000u | (uint32_t)(rnd() % 8) << 20) : (uint32_t)rnd() >> 1;
    v ^= (uint32_t)sign << 31;
    return rnd() % 16 ? v | 0xffffffff00000000ull : v | rnd() << 32;
}

/* ---- programs ---- */
static bool decode(uint32_t insn, RiscvArgs *a) { return (insn & 3) == 3 ? riscv_decode32(insn, a) : riscv_decode16(insn & 0xffff, a); }

/* ways: the table of targets, what an address is made in, return addresses kept. */
enum { TABLE_REG = 18, WAY = 19, KEPT = 20, TABLE = 0x1f00, WORDS = 0xc0, LINK = 1 };

static bool is_base(int r)
{
    return r == BASE_SP || r == BASE_GP || r == BASE_S0 || (T.loops && r == COUNTER) || (T.ways && (r == COUNTER || r == LINK || (r >= TABLE_REG && r <= KEPT)));
}

static bool writes_x(const RiscvOpInfo *i)
{
    for (unsigned n = 0; n < i->n_operands; n++)
        if (i->operand[n].kind == RISCV_KIND_X && i->operand[n].offset == offsetof(RiscvArgs, rd))
            return true;
    return false;
}

static unsigned size_of(const RiscvOpInfo *i) { return 1u << ((unsigned)(i->attrs & RISCV_ATTR_ATOMIC && i->k > 255 ? i->k >> 8 : i->k) & 7); }

/* fflags with anything; frm and fcsr only so that no reserved rounding mode comes of it. */
static bool csr_wanted(const RiscvOpInfo *i, const RiscvArgs *a)
{
    bool imm = i->emit == rv_csri;
    if (a->csr == 1)
        return true;
    if (a->csr != 2 && a->csr != 3)
        return false;
    return i->k == 0 ? imm && a->rs1 <= (a->csr == 2 ? 4 : 31) : !a->rs1 || (i->k == 2 && imm);
}

/* Can the random instruction be part of a program? */
static bool wanted(const RiscvOpInfo *i, const RiscvArgs *a)
{
    if (i->attrs & (RISCV_ATTR_PRIV | RISCV_ATTR_BRANCH | RISCV_ATTR_JUMP) || i->ext == RISCV_EXT_ZIFENCEI)
        return false;
    if ((writes_x(i) && is_base(a->rd)) || a->op == RISCV_OP_C_ADDI16SP)
        return false;
    if (i->ext == RISCV_EXT_C && i->emit != rv_store && i->emit != rv_fstore && i->emit != rv_fload && is_base(a->rd))
        return false;
    if (i->attrs & RISCV_ATTR_ATOMIC)
        return a->rs1 == BASE_S0 || a->rs1 == BASE_SP;
    if (i->attrs & (RISCV_ATTR_LOAD | RISCV_ATTR_STORE))
        return (a->rs1 == BASE_S0 || a->rs1 == BASE_SP) && a->imm >= -4000 && a->imm + (int)size_of(i) <= 4000;
    if (i->attrs & RISCV_ATTR_CSR)
        return csr_wanted(i, a);
    if (i->attrs & RISCV_ATTR_RM)
        return a->rm <= 4 || a->rm == RISCV_DYN;
    return true;
}

/* Random bits in the free places; what rarely fits by chance is helped. */
static uint32_t random_bits(const RiscvOpInfo *i)
{
    uint32_t insn = ((uint32_t)rnd() & ~i->mask) | i->value;
    if (i->width == 32 && i->attrs & (RISCV_ATTR_LOAD | RISCV_ATTR_STORE))
        insn = (insn & ~(31u << 15)) | (rnd() & 1 ? BASE_S0 : BASE_SP) << 15;
    if (i->attrs & RISCV_ATTR_CSR)
        insn = (insn & 0xfffff) | (uint32_t)(1 + rnd() % 3) << 20;
    if (i->attrs & RISCV_ATTR_RM && rnd() & 1)
        insn |= 7u << 12;
    return insn;
}

static uint32_t pick(unsigned op)
{
    const RiscvOpInfo *i = &riscv_op_info[op];
    for (unsigned tries = 0; tries < 4000; tries++) {
        RiscvArgs a = { 0 };
        uint32_t insn = random_bits(i);
        if (decode(insn, &a) && a.op == op && wanted(i, &a))
            return insn;
    }
    return 0;
}

static void put_insn(uint32_t insn)
{
    unsigned len = (insn & 3) == 3 ? 4 : 2;
    memcpy(&T.in.raw[CODE + T.at[T.n]], &insn, len);
    T.seq[T.n] = insn;
    T.at[T.n + 1] = T.at[T.n] + len;
    T.n++;
}

/* A branch or jump over what comes next, its offset found by trying. */
static void put_branch(unsigned op)
{
    uint32_t over = pick(RISCV_OP_ADDI);
    const RiscvOpInfo *i = &riscv_op_info[op];
    int want = i->width / 8 + 4;
    for (unsigned tries = 0; tries < 200000; tries++) {
        RiscvArgs a = { 0 };
        uint32_t insn = random_bits(i);
        if (op == RISCV_OP_JAL)
            insn = (insn & 0xfff) | (uint32_t)want << 20;
        if (!decode(insn, &a) || a.op != op || a.imm != want || (op == RISCV_OP_JAL && is_base(a.rd)))
            continue;
        put_insn(insn);
        put_insn(over);
        return;
    }
}

/* auipc t, 0; jump to behind the jump through t */
static void put_indirect(unsigned op)
{
    static const uint8_t regs[] = { 1, 5, 6, 7, 10, 15, 28 };
    uint32_t t = regs[rnd() % sizeof(regs)], link = rnd() & 1 ? 1 : 0;
    put_insn(0x17 | t << 7);
    if (op == RISCV_OP_JALR) {
        put_insn(0x67 | link << 7 | t << 15 | 8u << 20);
    } else {
        put_insn(0x13 | t << 7 | t << 15 | 10u << 20);
        put_insn((op == RISCV_OP_C_JR ? 0x8002u : 0x9002u) | t << 7);
    }
}

/* What the translator knows as one: extensions by two shifts, an index that is scaled, a branch on a comparison's result. */
static void put_idiom(void)
{
    static const uint32_t back[] = { 0x5013, 0x40005013 }, compare[] = { 0x2033, 0x3033, 0xa2001053, 0xa2000053, 0xa2002053, 0xa0001053, 0xa0000053 };
    static const uint8_t from[] = { 32, 32, 48, 56, 8 };
    uint32_t rd = 10 + (uint32_t)(rnd() % 6), to = rnd() % 2 ? rd : 5, x = 10 + (uint32_t)(rnd() % 8), y = 10 + (uint32_t)(rnd() % 8), n = from[rnd() % 5];
    switch (rnd() % 3) {
    case 0:
        put_insn(0x1013 | rd << 7 | x << 15 | n << 20);
        put_insn(back[rnd() % 2] | to << 7 | rd << 15 | (uint32_t)(rnd() % 2 ? n : rnd() % 64) << 20);
        break;
    case 1:
        put_insn(0x1013 | rd << 7 | x << 15 | (uint32_t)(rnd() % 5) << 20);
        put_insn(0x33 | to << 7 | (rnd() % 2 ? rd << 15 | y << 20 : y << 15 | rd << 20));
        break;
    default:
        put_insn(compare[rnd() % G_N_ELEMENTS(compare)] | rd << 7 | x << 15 | y << 20);
        if (rnd() % 4 == 0)
            put_insn(pick(RISCV_OP_ADDI));
        put_insn(0x463 | (uint32_t)(rnd() % 2) << 12 | rd << 15);
        put_insn(pick(RISCV_OP_ADDI));
    }
}

/* SC right behind an LR of its width and address (what other pairs do is the implementation's choice), or without any. */
static void put_sc(uint32_t insn, bool any_lr)
{
    if (any_lr || rnd() % 4)
        put_insn(0x1000002f | (insn & 0x060ff000) | 5 << 7);
    put_insn(insn);
}

/* QEMU 7.2 counts the trailing zeros of the upper half too in CTZW; it has no Zicond. Both: against the model below. */
static bool by_model(unsigned op) { return op == RISCV_OP_CTZW || riscv_op_info[op].ext == RISCV_EXT_ZICOND; }

static unsigned allowed(unsigned op)
{
    const RiscvOpInfo *i = &riscv_op_info[op];
    return !(i->attrs & RISCV_ATTR_PRIV) && !by_model(op) && i->ext != RISCV_EXT_ZIFENCEI && op != RISCV_OP_C_ADDI16SP;
}

static void put_jump_back(void)
{
    uint32_t off = (uint32_t)(BACK - (AREA + CODE + (int)T.at[T.n]));
    put_insn(0x6f | (off >> 20 & 1) << 31 | (off >> 1 & 0x3ff) << 21 | (off >> 11 & 1) << 20 | (off >> 12 & 0xff) << 12);
}

/* addi s1, s1, -1; bnez s1, the case's first instruction */
static void put_loop(void)
{
    put_insn(0xfff00013 | COUNTER << 7 | COUNTER << 15);
    uint32_t off = 0u - T.at[T.n];
    put_insn(0x00001063 | COUNTER << 15 | (off >> 12 & 1) << 31 | (off >> 5 & 0x3f) << 25 | (off >> 1 & 0xf) << 8 | (off >> 11 & 1) << 7);
}

static void generate(unsigned first)
{
    unsigned want = 1 + (unsigned)(rnd() % (T.fp ? 4 : MAX_SEQ - 8));   /* few that set flags: none hides another's */
    bool any_lr = T.loops;
    T.n = T.at[0] = 0;
    while (T.n < want) {
        unsigned op = T.n || T.fp || !allowed(first) ? (unsigned)(rnd() % RISCV_OPS) : first;
        const RiscvOpInfo *i = &riscv_op_info[op];
        uint32_t insn;
        if (!allowed(op) || (T.fp && !(i->attrs & RISCV_ATTR_FP)))
            continue;
        if (T.n && !T.fp && rnd() % 8 == 0) {
            put_idiom();
            continue;
        }
        if (i->emit == rv_jalr)
            put_indirect(op);
        else if (i->attrs & (RISCV_ATTR_BRANCH | RISCV_ATTR_JUMP))
            put_branch(op);
        else if ((insn = pick(op)))
            i->emit == rv_sc ? put_sc(insn, any_lr) : put_insn(insn);
        any_lr |= i->emit == rv_lr || i->emit == rv_sc;
        T.seen[op]++;
    }
    if (T.loops)
        put_loop();
    put_jump_back();
}

/* ---- ways ---- */
/* The first two may call the others; the last one's first instruction is written. */
static const uint16_t func[] = { 0x800, 0x1000, 0xa00, 0x1800 };

static uint32_t insn_i(uint32_t base, uint32_t rd, uint32_t rs1, int imm) { return base | rd << 7 | rs1 << 15 | (uint32_t)imm << 20; }
static uint32_t addi(uint32_t rd, uint32_t rs1, int imm) { return insn_i(0x13, rd, rs1, imm); }

static void put_jal(uint32_t rd, unsigned to)
{
    uint32_t off = to - T.at[T.n];
    put_insn(0x6f | rd << 7 | (off >> 20 & 1) << 31 | (off >> 1 & 0x3ff) << 21 | (off >> 11 & 1) << 20 | (off >> 12 & 0xff) << 12);
}

/* Over the next @bytes but in one of @often turns. */
static void put_seldom(int often, int bytes)
{
    put_insn(insn_i(0x7013, WAY, COUNTER, often - 1));
    put_insn(0x1063 | WAY << 15 | (uint32_t)(bytes + 4) << 7);
}

static void put_random(unsigned most)
{
    for (unsigned n = (unsigned)(rnd() % (most + 1)); n > 0;) {
        unsigned op = (unsigned)(rnd() % RISCV_OPS);
        const RiscvOpInfo *i = &riscv_op_info[op];
        uint32_t insn;
        if (!allowed(op) || i->emit == rv_lr || i->emit == rv_sc || i->attrs & (RISCV_ATTR_BRANCH | RISCV_ATTR_JUMP) || !(insn = pick(op)))
            continue;
        put_insn(insn);
        n--;
    }
}

/* An entry of the table's pair @pair, by the turn. */
static void put_load(uint32_t reg, int pair)
{
    put_insn(insn_i(0x5013, WAY, COUNTER, (int)(rnd() % 9)));
    put_insn(insn_i(0x7013, WAY, WAY, 8));
    put_insn(0x33 | WAY << 7 | WAY << 15 | TABLE_REG << 20);
    put_insn(insn_i(0x3003, reg, WAY, 16 * pair));
}

static void set_target(int pair, unsigned entry, unsigned to)
{
    uint64_t va = AREA + CODE + to;
    memcpy(&T.in.raw[CODE + TABLE + 16 * pair + 8 * (int)entry], &va, 8);
}

static void put_site(int pair)
{
    unsigned kind = (unsigned)(rnd() % 6), f = func[rnd() % 4];
    if (kind == 0) {
        put_jal(LINK, f);
    } else if (kind == 1) {
        int off = (int)f - (int)T.at[T.n];
        put_insn(0x17 | WAY << 7 | (uint32_t)((off + 0x800) & ~0xfff));
        put_insn(insn_i(0x67, LINK, WAY, ((off & 0xfff) ^ 0x800) - 0x800));
    } else if (kind == 2 && T.patches) {
        put_seldom(128, 20);
        put_insn(insn_i(0x5013, WAY, COUNTER, 5));
        put_insn(insn_i(0x7013, WAY, WAY, 4));
        put_insn(0x33 | WAY << 7 | WAY << 15 | TABLE_REG << 20);
        put_insn(insn_i(0x2003, WAY, WAY, WORDS));
        uint32_t off = (uint32_t)(func[3] - TABLE);
        put_insn(0x2023 | TABLE_REG << 15 | WAY << 20 | (off & 31) << 7 | (off >> 5 & 127) << 25);
        return;
    } else {
        uint32_t reg = rnd() & 1 ? WAY : LINK;
        bool jump = kind == 5;
        for (unsigned n = 0; n < 2; n++)
            set_target(pair, n, func[rnd() % 4]);
        put_load(reg, pair);
        if (jump) {            /* to behind it, or one further */
            set_target(pair, 0, T.at[T.n] + 4);
            set_target(pair, 1, T.at[T.n] + 8);
        }
        put_insn(insn_i(0x67, jump ? 0 : LINK, reg, 0));
    }
    put_insn(addi(10, 10, 1)); /* some calls return behind it */
    put_random(2);
}

static void put_func(unsigned k)
{
    bool calls = k < 2 && rnd() & 1;
    T.at[T.n] = func[k];
    if (k == 3)
        put_insn(addi(11, 11, 7));
    put_random(3);
    if (k < 2 && !calls && rnd() & 1) {
        put_jal(0, func[2 + rnd() % 2]);
        return;
    }
    if (calls) {
        put_insn(addi(KEPT, LINK, 0));
        put_jal(LINK, func[2 + rnd() % 2]);
        put_insn(addi(12, 12, 1));
        put_random(1);
        put_insn(addi(LINK, KEPT, 0));
    }
    if (rnd() % 3 == 0) {
        put_seldom(32, 4);
        put_insn(addi(LINK, LINK, 4));
    }
    put_insn(rnd() & 1 ? 0x8082 : 0x8067);
}

static void generate_ways(void)
{
    uint32_t words[] = { addi(11, 11, 7), addi(11, 11, -9) };
    unsigned sites = 1 + (unsigned)(rnd() % 4);
    memcpy(&T.in.raw[CODE + TABLE + WORDS], words, sizeof(words));
    T.in.x[COUNTER] = 400 + rnd() % 1600;
    T.in.x[TABLE_REG] = AREA + CODE + TABLE;
    T.n = T.at[0] = 0;
    for (unsigned n = 0; n < sites; n++)
        put_site((int)n);
    put_loop();
    put_jump_back();
    for (unsigned k = 0; k < 4; k++)
        put_func(k);
}

static void make_case(unsigned first)
{
    memset(&T.in, 0, sizeof(T.in));
    for (unsigned n = 1; n < 32; n++)
        T.in.x[n] = rnd_int();
    for (unsigned n = 0; n < 32; n++)
        T.in.f[n] = rnd_float(rnd() & 1);
    T.in.x[BASE_GP] = AREA;
    T.in.x[BASE_SP] = AREA + DATA + DATA_SIZE / 2;
    T.in.x[BASE_S0] = T.in.x[BASE_SP] + 64 * (rnd() % 8);
    if (T.loops)
        T.in.x[COUNTER] = 1 + rnd() % MAX_TURNS;
    T.in.fcsr = (rnd() % 3 ? 0 : rnd() % 5) << 5 | (rnd() & 31);
    for (unsigned n = 0; n < DATA_SIZE; n += 8) {
        uint64_t v = rnd() & 1 ? rnd_int() : rnd_float(rnd() & 1);
        memcpy(&T.in.raw[DATA + n], &v, 8);
    }
    if (T.ways)
        generate_ways();
    else
        generate(first);
}

/* ---- ours ---- */
static uint8_t *cb_page(void *opaque, uint64_t gpa, unsigned *ret_flags)
{
    (void)opaque;
    *ret_flags = 0;
    return gpa >= RAM_BASE && gpa < RAM_BASE + RAM_SIZE ? T.ram + (gpa - RAM_BASE) : NULL;
}

static uint64_t cb_io_read(void *opaque, uint64_t gpa, unsigned size) { (void)opaque, (void)gpa, (void)size; return 0; }
static void cb_io_write(void *opaque, uint64_t gpa, uint64_t v, unsigned size) { (void)opaque, (void)gpa, (void)v, (void)size; }
static bool cb_yes(void *opaque, uint64_t va) { (void)opaque, (void)va; return true; }
static const TcgCallbacks callbacks = { .page = cb_page, .io_read = cb_io_read, .io_write = cb_io_write, .exec_ok = cb_yes, .write_ok = cb_yes };

static bool run_ours(TcgContext *ctx, TcgCpu *cpu, RiscvState *s)
{
    static const uint32_t wfi = 0x10500073;
    memset(T.ram, 0, RAM_SIZE);
    memcpy(T.ram, &wfi, 4);
    memcpy(T.ram + (AREA - RAM_BASE), T.in.raw, IN_SIZE);
    tcg_invalidate_range(ctx, RAM_BASE, RAM_SIZE);
    memcpy(s->x, T.in.x, sizeof(s->x));
    memcpy(s->f, T.in.f, sizeof(s->f));
    riscv_set_fflags(s, T.in.fcsr & 31);
    riscv_set_frm(s, T.in.fcsr >> 5 & 7);
    s->mstatus |= RISCV_FS;
    if (rnd() % 8 == 0)
        s->mstatus &= ~(2ull << 13);           /* initial: the first instruction makes it dirty */
    s->pc = AREA + CODE;
    s->halted = 0;
    s->mcause = ~0ull;
    s->mtvec = BACK;
    s->res_addr = ~0ull;
    TcgLeave why = tcg_cpu_run(cpu, 0);
    memcpy(&T.got, T.ram + (AREA - RAM_BASE), OUT_SIZE);
    memcpy(T.got.x, s->x, sizeof(s->x));
    memcpy(T.got.f, s->f, sizeof(s->f));
    T.got.fcsr = riscv_fflags(s) | (uint64_t)s->frm << 5;
    if (why == TCG_LEAVE_HALTED && s->mcause == ~0ull)
        return true;
    printf("left with %d, cause %lld at %#llx, value %#llx\n", (int)why, (long long)s->mcause, (unsigned long long)s->mepc, (unsigned long long)s->mtval);
    return false;
}

static void show(unsigned number)
{
    printf("case %u:\n", number);
    for (unsigned n = 0; n < T.n; n++) {
        char line[128];
        riscv_disas(&T.in.raw[CODE + T.at[n]], 4, 0, AREA + CODE + T.at[n], line, sizeof(line));
        printf("  %#x  %08x  %s\n", AREA + CODE + T.at[n], T.seq[n], line);
    }
    for (unsigned n = 0; n < 32; n++) {
        if (T.want.x[n] != T.got.x[n])
            printf("  %s: was %#llx, QEMU %#llx, ours %#llx\n", riscv_x_name(n), (unsigned long long)T.in.x[n], (unsigned long long)T.want.x[n], (unsigned long long)T.got.x[n]);
        if (T.want.f[n] != T.got.f[n])
            printf("  %s: was %#llx, QEMU %#llx, ours %#llx\n", riscv_f_name(n), (unsigned long long)T.in.f[n], (unsigned long long)T.want.f[n], (unsigned long long)T.got.f[n]);
    }
    if (T.want.fcsr != T.got.fcsr)
        printf("  fcsr: was %#llx, QEMU %#llx, ours %#llx\n", (unsigned long long)T.in.fcsr, (unsigned long long)T.want.fcsr, (unsigned long long)T.got.fcsr);
    for (unsigned n = DATA; n < OUT_SIZE; n++)
        if (T.want.raw[n] != T.got.raw[n]) {
            printf("  data byte %#x: QEMU %#x, ours %#x\n", AREA + n, T.want.raw[n], T.got.raw[n]);
            break;
        }
}

/* One instruction on random values against what the manual says. */
static unsigned check_models(TcgContext *ctx, TcgCpu *cpu, RiscvState *s)
{
    static const uint16_t ops[] = { RISCV_OP_CTZW, RISCV_OP_CZERO_EQZ, RISCV_OP_CZERO_NEZ };
    unsigned bad = 0;
    for (unsigned n = 0; n < 600; n++) {
        unsigned op = ops[n % 3];
        uint64_t a = rnd_int(), b = rnd() & 1 ? 0 : rnd_int(), want;
        memset(&T.in, 0, sizeof(T.in));
        T.in.x[BASE_GP] = AREA;
        T.in.x[11] = a;
        T.in.x[12] = b;
        T.n = 0;
        put_insn(riscv_op_info[op].value | 10 << 7 | 11 << 15 | (op == RISCV_OP_CTZW ? 0 : 12 << 20));
        put_jump_back();
        want = op == RISCV_OP_CTZW ? (uint32_t)a ? (unsigned)__builtin_ctz((uint32_t)a) : 32u : (op == RISCV_OP_CZERO_EQZ) == !b ? 0 : a;
        if (!run_ours(ctx, cpu, s) || T.got.x[10] != want) {
            printf("%s %#llx %#llx: %#llx, not %#llx\n", riscv_op_info[op].name, (unsigned long long)a, (unsigned long long)b,
                   (unsigned long long)T.got.x[10], (unsigned long long)want);
            bad++;
        }
    }
    return bad;
}

static unsigned not_covered(void)
{
    unsigned missing = 0;
    for (unsigned op = 0; op < RISCV_OPS; op++)
        if (allowed(op) && !T.seen[op] && ++missing)
            printf("never ran: %s\n", riscv_op_info[op].name);
    return missing;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    T.rng = rnd_seed(argc > 2 ? strtoull(argv[2], NULL, 0) : 1);
    unsigned cases = argc > 3 ? (unsigned)atoi(argv[3]) : 3000;
    if (!oracle_start(&T.oracle, (char *[]){ "/usr/bin/qemu-riscv64", argv[1], NULL })) {
        puts("no qemu-riscv64 here (package qemu-user)");
        return 77;
    }
    T.ram = g_aligned_alloc0(1, RAM_SIZE, 4096);
    TcgConfig config = { .tier = TCG_TIER_AUTO, .others = getenv("TCG_OTHERS") ? (IrOthers)atoi(getenv("TCG_OTHERS")) : IR_OTHERS };
    for (int n = 4; n < argc; n++) {
        T.loops |= !strcmp(argv[n], "loops");
        T.fp |= !strcmp(argv[n], "fp");
        T.ways |= !strcmp(argv[n], "ways");
        config.direct |= !strcmp(argv[n], "direct");
        if (!strcmp(argv[n], "worker"))
            config.worker = TCG_WORKER_ALWAYS;
        config.tier = !strcmp(argv[n], "loops") || !strcmp(argv[n], "tier2") ? TCG_TIER_2 : !strcmp(argv[n], "interp") ? TCG_TIER_INTERP :
                      !strcmp(argv[n], "tier1") ? TCG_TIER_1 : config.tier;
    }
    T.patches = !config.direct;
    config.direct_base = config.direct ? (uint64_t)(uintptr_t)T.ram - RAM_BASE : 0;
    TcgContext *ctx = tcg_new(&config, NULL);
    RiscvState *s = g_aligned_alloc0(1, sizeof(*s), 64);
    riscv_state_reset(s, 0);
    TcgCpu *cpu = tcg_cpu_new(ctx, &riscv_isa, s, &callbacks, NULL);
    for (unsigned n = 0; n < cases && T.bad < 10; n++) {
        make_case(n % RISCV_OPS);
        if (!oracle_ask(&T.oracle, T.in.raw, IN_SIZE, T.want.raw, OUT_SIZE)) {
            printf("the oracle died\n");
            show(n);
            return 1;
        }
        if (!run_ours(ctx, cpu, s) || memcmp(&T.got, &T.want, OUT_SIZE)) {
            T.bad++;
            show(n);
        }
    }
    T.bad += check_models(ctx, cpu, s);
    unsigned missing = cases >= RISCV_OPS && !T.fp && !T.ways ? not_covered() : 0;
    printf("%u cases, %u differ, %u instructions never ran\n", cases, T.bad, missing);
    tcg_cpu_free(cpu);
    tcg_free(ctx);
    g_aligned_free(s);
    g_aligned_free(T.ram);
    return T.bad || missing;
}
