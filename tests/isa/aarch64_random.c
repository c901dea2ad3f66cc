/*
 * Random AArch64 instruction sequences, run by the translator and by Debian's qemu-aarch64 (through aarch64/runner.S); x and v registers, NZCV,
 * FPCR, FPSR and memory must agree, and every line of the instruction lists that can run this way must have run.
 *
 *   aarch64_random RUNNER [SEED [CASES [auto|tier1|tier2|interp] [worker] [loops|ways] [direct] [plain] [fp]]]     77: there is no qemu-aarch64
 *
 * fp: FP and AdvSIMD. plain: without optional vector operations of the host. loops: each case goes round some hundred times, so that regions are made. ways: loops of calls and
 * jumps, also by register, to functions in this page and another one, which change. worker: regions come from another thread. direct: memory as a Linux program has it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/isa/aarch64_insn.h"
#include "tests/isa/aarch64_random.h"
#include "tests/isa/random.h"

static void die(const char *text) { puts(text); exit(1); }

A64Test T;

uint64_t a64t_rnd(void) { return rnd_next(&T.rng); }

/* ---- programs ---- */
static bool reserved(int r) { return (r >= LOOP && r <= AREA_REG && r != MOVING) || (T.ways && ((r >= WAY && r <= KEPT) || r == LINK)); }

static bool is_general(unsigned kind) { return kind == A64_KIND_X || kind == A64_KIND_R || kind == A64_KIND_W || kind == A64_KIND_XSP || kind == A64_KIND_RSP; }

static int32_t arg_at(const A64Args *a, unsigned offset)
{
    int32_t v;
    memcpy(&v, (const char *)a + offset, sizeof(v));
    return v;
}

static const A64Operand *operand(const A64OpInfo *i, const char *name)
{
    for (unsigned n = 0; n < i->n_operands; n++)
        if (!strcmp(i->operand[n].name, name))
            return &i->operand[n];
    return NULL;
}

static bool writes_back(const A64OpInfo *i)
{
    unsigned how = (unsigned)i->k & A64EA_MASK;
    return a64t_moves_base(i) || ((operand(i, "imm9") || operand(i, "imm7")) && (how == A64EA_POST || how == A64EA_PRE));
}

/* Registers that keep their meaning are written by nobody. */
static bool spares_registers(const A64OpInfo *i, const A64Args *a)
{
    bool base_moves = writes_back(i);
    for (unsigned n = 0; n < i->n_operands; n++) {
        const A64Operand *o = &i->operand[n];
        int r = arg_at(a, o->offset);
        if (!is_general(o->kind) || o->offset == offsetof(A64Args, rn) || o->offset == offsetof(A64Args, rm))
            continue;
        if (reserved(r) || (base_moves && r == MOVING) || ((o->kind == A64_KIND_XSP || o->kind == A64_KIND_RSP) && r == 31))
            return false;
    }
    return true;
}

/* Combinations whose result the architecture leaves open (ARM K1.2). */
static bool predictable(const A64OpInfo *i, const A64Args *a)
{
    if (operand(i, "rt2") && i->attrs & A64_ATTR_LOAD && a->rt == a->rt2)
        return false;
    if (i->attrs & A64_ATTR_EXCL && i->attrs & A64_ATTR_STORE)
        return a->rs != a->rt && a->rs != a->rn && !(operand(i, "rt2") && a->rs == a->rt2);
    if (i->emit == tr_casp)
        return a->rs < 22 && a->rt < 22;
    return true;
}

static bool wanted(const A64OpInfo *i, uint32_t insn, const A64Args *a)
{
    return spares_registers(i, a) && predictable(i, a) && a64t_legal(insn, a, T.mode);
}

/* The registers an address is made of, and offsets that stay inside the data. */
static uint32_t fit_address(const A64OpInfo *i, uint32_t insn)
{
    uint32_t base = writes_back(i) ? MOVING : a64t_rnd() & 1 ? BASE : 31;
    insn = (insn & ~(31u << 5)) | base << 5;
    if (operand(i, "imm12"))
        insn &= ~(0xf00u << 10);
    if (i->emit == tr_ldapur || i->emit == tr_stlur)
        insn &= ~(7u << 12);
    if (((unsigned)i->k & A64EA_MASK) == A64EA_REG && operand(i, "xm"))
        insn = (insn & ~(31u << 16)) | INDEX << 16;
    return insn;
}

uint32_t a64t_pick(unsigned op)
{
    const A64OpInfo *i = &a64_op_info[op];
    uint32_t ones = a64t_free_bits(op);
    for (unsigned tries = 0; tries < 4000; tries++) {
        A64Args a = { 0 };
        uint32_t insn = ((uint32_t)a64t_rnd() & ~i->mask) | i->value | ones;
        if (operand(i, "base"))
            insn = fit_address(i, insn);
        if (T.adjust)
            insn = T.adjust(i, insn);
        if (a64_decode32(insn, &a) && a.op == op && wanted(i, insn, &a))
            return insn;
    }
    return 0;
}

void a64t_put(uint32_t insn)
{
    if (T.n >= (T.ways ? MAX_INSNS : MAX_SEQ))
        die("the case is too long");
    memcpy(&T.in.raw[CODE + T.at[T.n]], &insn, 4);
    T.at[T.n + 1] = T.at[T.n] + 4;
    T.seq[T.n++] = insn;
}

static void put(uint32_t insn) { a64t_put(insn); }

static uint32_t word(unsigned op) { return a64_op_info[op].value; }
static uint32_t plain_register(void) { return (uint32_t)(a64t_rnd() % LOOP); }

/* A branch over the next instruction. */
static void put_branch(unsigned op)
{
    const A64OpInfo *i = &a64_op_info[op];
    bool b14 = operand(i, "b14"), b26 = operand(i, "b26");
    uint32_t over = a64t_pick(A64_OP_ADD_IMM), insn = ((uint32_t)a64t_rnd() & ~i->mask) | i->value;
    unsigned low = b26 ? 0 : 5, bits = b26 ? 26 : b14 ? 14 : 19;
    insn &= ~(((1u << bits) - 1) << low);
    put(insn | 2u << low);
    put(over);
}

/* adr r, behind the branch; the branch by r. Authenticated ones are signed before. */
static void put_indirect(unsigned op)
{
    const A64OpInfo *i = &a64_op_info[op];
    bool pauth = i->attrs & A64_ATTR_PAUTH, fixed = !operand(i, "xn"), zero = i->emit == tr_bra && i->k & 32;
    uint32_t r = fixed ? 30 : plain_register(), modifier = fixed ? 31 : BASE, key = (uint32_t)i->k >> 4 & 1;
    put(word(A64_OP_ADR) | r | (pauth ? 3u : 2u) << 5);
    if (pauth)
        put(word(A64_OP_PACIA) | key << 10 | (zero ? 8u << 10 | 31 << 5 : modifier << 5) | r);
    put(i->value | (fixed ? 0 : r << 5) | (pauth && !fixed && !zero ? modifier : 0));
    if (pauth)
        put(word(A64_OP_MOVZ) | 1u << 31 | r);
}

/* A signed pointer is checked or stripped again: codes depend on keys. */
static void put_pauth(unsigned op)
{
    const A64OpInfo *i = &a64_op_info[op];
    uint32_t r = plain_register(), key = (uint32_t)i->k & 3, value = (uint32_t)(a64t_rnd() & 0xffff) << 5;
    if (i->emit == tr_ldra) {  /* mov r, x26; sign; load */
        uint32_t insn = (uint32_t)(a64t_rnd() & 0xff) << 12 | i->value | r << 5, t = plain_register();
        put(word(A64_OP_ADD_IMM) | 1u << 31 | BASE << 5 | r);
        put(word(A64_OP_PACDZA) + (key == A64_KEY_DB ? 1u << 10 : 0) + r);
        put(insn | (t == r ? (t + 1) % LOOP : t));
        put(word(A64_OP_MOVZ) | 1u << 31 | value | r);
    } else if (i->emit == tr_pacga) {
        put(i->value | r | r << 5 | r << 16);
        put(word(A64_OP_MOVZ) | 1u << 31 | value | r);
    } else if (i->emit == tr_pac_hint) {
        put(word(A64_OP_MOVZ) | 1u << 31 | value | (i->k & 24 ? 30 : 17));
        put(0xd503211f + (i->k & 8 ? 0x200 : i->k & 16 ? 0x220 : 0) + (key << 6) * 1);
        put(0xd503219f + (i->k & 8 ? 0x200 : i->k & 16 ? 0x220 : 0) + (key << 6) * 1);
    } else if (i->emit == tr_xpac) {
        uint32_t reg = i->k == 2 ? 30 : r;
        put(word(A64_OP_MOVZ) | 1u << 31 | value | reg);
        put(word(i->k == 1 ? A64_OP_PACDA : A64_OP_PACIA) | BASE << 5 | reg);
        put(i->value | (i->k == 2 ? 0 : reg));
    } else {
        uint32_t modifier = i->k & 8 ? 31 : BASE;
        put(word(A64_OP_MOVZ) | 1u << 31 | value | r);
        put((word(i->k & 8 ? A64_OP_PACIZA : A64_OP_PACIA) + (key << 10)) | modifier << 5 | r);
        put((word(i->k & 8 ? A64_OP_AUTIZA : A64_OP_AUTIA) + (key << 10)) | modifier << 5 | r);
    }
}

static void put_memory(unsigned op, uint32_t insn)
{
    const A64OpInfo *i = &a64_op_info[op];
    if (writes_back(i))        /* add x24, x26, #n */
        put(word(A64_OP_ADD_IMM) | 1u << 31 | BASE << 5 | (uint32_t)(a64t_rnd() % 64) << 10 | MOVING);
    if (i->attrs & A64_ATTR_EXCL && i->attrs & A64_ATTR_STORE)      /* behind a load of its width and address, or without any */
        put(a64t_rnd() % 4 ? (insn & ~0x1f7fffu) | 1u << 22 | 31u << 16 | (insn & 0x3e0) | (i->emit == tr_stxp ? 6u << 10 : 31u << 10) | 5 : 0xd5033f5f);
    put(insn);
}

static void put_literal(unsigned op)
{
    uint32_t to = DATA + 4 * (uint32_t)(a64t_rnd() % 500), off = (uint32_t)((int)to - (int)(CODE + 4 * T.n)), insn = a64t_pick(op);
    put((insn & ~0xffffe0u) | (off >> 2 & 0x7ffff) << 5);
}

/* What runs only in a pair with something that makes it deterministic. */
static bool put_system(unsigned op)
{
    uint32_t r = plain_register();
    if (op == A64_OP_MRS_TPIDR || op == A64_OP_MSR_TPIDR) {
        put(word(A64_OP_MSR_TPIDR) | r);
        put(word(A64_OP_MRS_TPIDR) | plain_register());
    } else if (op == A64_OP_MRS_NZCV || op == A64_OP_MSR_NZCV) {
        put(word(op) | r);
    } else if (op == A64_OP_MRS_FPCR || op == A64_OP_MRS_FPSR) {
        put(word(op) | r);
    } else if (op == A64_OP_MSR_FPSR) {         /* movz r, #n[, lsl #16]; bits 28 and above are of AArch32 */
        uint64_t k = a64t_rnd() & 1 ? a64t_rnd() & 0xffff : 1 << 16 | (a64t_rnd() & 0xfff);
        put(word(A64_OP_MOVZ) | 1u << 31 | (uint32_t)k << 5 | r);
        put(word(op) | r);
    } else if (op == A64_OP_MSR_FPCR) {         /* movz r, #n, lsl #16; or what is there */
        put(a64t_rnd() & 1 ? word(A64_OP_MOVZ) | 1u << 31 | 1u << 21 | (uint32_t)(a64t_rnd() & 0x7c8) << 5 | r : word(A64_OP_MRS_FPCR) | r);
        put(word(op) | r);
    } else if (op == A64_OP_ISB) {
        put(word(op) | 15 << 8);
    } else {
        return false;
    }
    return true;
}

static bool allowed(unsigned op)
{
    const A64OpInfo *i = &a64_op_info[op];
    if (T.allowed)
        return T.allowed(i);
    if (i->attrs & A64_ATTR_SYS)
        return op == A64_OP_MRS_TPIDR || op == A64_OP_MSR_TPIDR || op == A64_OP_MRS_NZCV || op == A64_OP_MSR_NZCV || op == A64_OP_ISB;
    return !(i->attrs & A64_ATTR_FP) && op != A64_OP_HINT;
}

bool a64t_simple(unsigned op)
{
    const A64OpInfo *i = &a64_op_info[op];
    return allowed(op) && !(i->attrs & (A64_ATTR_SYS | A64_ATTR_BRANCH | A64_ATTR_JUMP | A64_ATTR_PAUTH | A64_ATTR_EXCL)) && !operand(i, "b19") && !writes_back(i);
}

static void put_any(unsigned op)
{
    const A64OpInfo *i = &a64_op_info[op];
    uint32_t insn;
    if (i->attrs & A64_ATTR_SYS && put_system(op))
        return;
    if (i->emit == tr_br || i->emit == tr_bra)
        put_indirect(op);
    else if (i->attrs & (A64_ATTR_BRANCH | A64_ATTR_JUMP))
        put_branch(op);
    else if (i->attrs & A64_ATTR_PAUTH)
        put_pauth(op);
    else if (operand(i, "b19"))
        put_literal(op);
    else if ((insn = a64t_pick(op)))
        i->attrs & (A64_ATTR_LOAD | A64_ATTR_STORE) ? put_memory(op, insn) : put(insn);
    else
        return;
    T.seen[op]++;
}

static void generate(unsigned first)
{
    T.n = T.at[0] = 0;
    if (T.ways) {
        a64t_ways();
        return;
    }
    unsigned want = 1 + (unsigned)(a64t_rnd() % (MAX_SEQ - 16)), op;
    while (T.n < want) {
        do
            op = T.n || !allowed(first) ? (unsigned)(a64t_rnd() % A64_OPS) : first;
        while (!allowed(op));
        put_any(op);
        if (a64_op_info[op].emit == fp_cmp && a64t_rnd() & 1)
            put_any(A64_OP_B_COND);      /* which finds the flags as they were computed */
        if (a64_op_info[op].attrs & A64_ATTR_SYS)
            T.seen[op]++;
    }
    if (T.loops) {             /* sub x23, x23, #1; cbnz x23, start */
        put(word(A64_OP_SUB_IMM) | 1u << 31 | 1 << 10 | LOOP << 5 | LOOP);
        put(word(A64_OP_CBNZ) | 1u << 31 | (-T.n & 0x7ffff) << 5 | LOOP);
    }
    put(word(A64_OP_B) | ((uint32_t)(BACK - (AREA + CODE + 4 * (int)T.n)) >> 2 & 0x3ffffff));
}

static void make_case(unsigned first)
{
    memset(&T.in, 0, sizeof(T.in));
    for (unsigned n = 0; n < 31; n++)
        T.in.x[n] = rnd_integer(&T.rng);
    for (unsigned n = 0; n < 64; n++)
        T.in.v[n] = T.rnd_vector ? T.rnd_vector() : a64t_rnd();
    for (unsigned n = 0; n < DATA_SIZE; n += 8) {
        uint64_t v = T.rnd_vector && a64t_rnd() & 1 ? T.rnd_vector() : rnd_integer(&T.rng);
        memcpy(&T.in.raw[DATA + n], &v, 8);
    }
    T.in.x[AREA_REG] = AREA;
    T.in.x[31] = AREA + DATA + 2048;
    T.in.x[BASE] = AREA + DATA + 2048 + 64 * (a64t_rnd() % 8);
    T.in.x[INDEX] = a64t_rnd() & 255;
    T.in.x[LOOP] = 1 + a64t_rnd() % 300;
    T.in.nzcv = (a64t_rnd() & 15) << 28;
    if (T.rnd_fp)
        T.rnd_fp();
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

static bool run_ours(TcgContext *ctx, TcgCpu *cpu, A64State *s)
{
    memset(T.ram, 0, RAM_SIZE);
    memcpy(T.ram, &a64_op_info[A64_OP_WFI].value, 4);
    memcpy(T.ram + (AREA - RAM_BASE), T.in.raw, IN_SIZE);
    tcg_invalidate_range(ctx, RAM_BASE, RAM_SIZE);
    memcpy(s->x, T.in.x, sizeof(s->x));
    for (unsigned n = 0; n < 64; n++)
        s->v[n / 2].d[n % 2] = T.in.v[n];
    a64_set_nzcv(s, (uint32_t)T.in.nzcv);
    a64_set_fpcr(s, (uint32_t)T.in.fpcr);
    a64_set_fpsr(s, (uint32_t)T.in.fpsr);
    s->pc = AREA + CODE;
    s->halted = 0;
    s->el = A64_EL0;
    s->spsel = 0;
    s->vbar[A64_EL1] = BACK - 0x400;
    s->esr[A64_EL1] = ~0ull;
    s->excl_addr = ~0ull;
    TcgLeave why = tcg_cpu_run(cpu, 0);
    memcpy(&T.got, T.ram + (AREA - RAM_BASE), OUT_SIZE);
    memcpy(T.got.x, s->x, sizeof(s->x));
    for (unsigned n = 0; n < 64; n++)
        T.got.v[n] = s->v[n / 2].d[n % 2];
    T.got.nzcv = a64_nzcv(s);
    T.got.fpcr = s->fpcr;
    T.got.fpsr = a64_fpsr(s);
    if (why == TCG_LEAVE_HALTED && s->esr[A64_EL1] == ~0ull)
        return true;
    printf("left with %d, ESR %#llx at %#llx, FAR %#llx\n", (int)why, (unsigned long long)s->esr[A64_EL1], (unsigned long long)s->elr[A64_EL1],
           (unsigned long long)s->far[A64_EL1]);
    return false;
}

static void show_one(const char *name, unsigned n, uint64_t in, uint64_t want, uint64_t got)
{
    if (want != got)
        printf("  %s%u: was %#llx, QEMU %#llx, ours %#llx\n", name, n, (unsigned long long)in, (unsigned long long)want, (unsigned long long)got);
}

static void show(unsigned number)
{
    printf("case %u:\n", number);
    for (unsigned n = 0; n < T.n; n++) {
        char line[128];
        a64_disas((const uint8_t *)&T.seq[n], 4, 0, AREA + CODE + T.at[n], line, sizeof(line));
        printf("  %#x  %08x  %s\n", AREA + CODE + T.at[n], T.seq[n], line);
    }
    for (unsigned n = 0; n < 32; n++)
        show_one("x", n, T.in.x[n], T.want.x[n], T.got.x[n]);
    for (unsigned n = 0; n < 64; n++)
        show_one(n & 1 ? "high half of v" : "v", n / 2, T.in.v[n], T.want.v[n], T.got.v[n]);
    show_one("nzcv", 0, T.in.nzcv, T.want.nzcv, T.got.nzcv);
    show_one("fpcr", 0, T.in.fpcr, T.want.fpcr, T.got.fpcr);
    show_one("fpsr", 0, T.in.fpsr, T.want.fpsr, T.got.fpsr);
    for (unsigned n = DATA; n < OUT_SIZE; n++)
        if (T.want.raw[n] != T.got.raw[n]) {
            printf("  data byte %#x: QEMU %#x, ours %#x\n", AREA + n, T.want.raw[n], T.got.raw[n]);
            break;
        }
}

static unsigned not_covered(void)
{
    unsigned missing = 0;
    for (unsigned op = 0; op < A64_OPS; op++)
        if (allowed(op) && !T.seen[op] && ++missing)
            printf("never ran: %s (line %u)\n", a64_op_info[op].name, op);
    return missing;
}

static TcgConfig options(int argc, char **argv)
{
    TcgConfig c = { .tier = TCG_TIER_AUTO, .others = getenv("TCG_OTHERS") ? (IrOthers)atoi(getenv("TCG_OTHERS")) : IR_OTHERS };
    for (int n = 4; n < argc; n++) {
        if (!strcmp(argv[n], "tier1"))
            c.tier = TCG_TIER_1;
        else if (!strcmp(argv[n], "tier2"))
            c.tier = TCG_TIER_2;
        else if (!strcmp(argv[n], "interp"))
            c.tier = TCG_TIER_INTERP;
        else if (!strcmp(argv[n], "plain"))
            c.plain_vops = true;
        else if (!strcmp(argv[n], "loops"))
            T.loops = true;
        else if (!strcmp(argv[n], "ways"))
            T.ways = true;
        else if (!strcmp(argv[n], "worker"))
            c.worker = TCG_WORKER_ALWAYS;
        else if (!strcmp(argv[n], "direct"))
            c.direct = true;
        else if (!a64t_option(argv[n]) && strcmp(argv[n], "auto"))
            die("what is this option?");
    }
    T.patches = !c.direct;
    c.direct_base = c.direct ? (uint64_t)(uintptr_t)T.ram - RAM_BASE : 0;
    return c;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    T.rng = rnd_seed(argc > 2 ? strtoull(argv[2], NULL, 0) : 1);
    unsigned cases = argc > 3 ? (unsigned)atoi(argv[3]) : 3000;
    if (!oracle_start(&T.oracle, (char *[]){ "/usr/bin/qemu-aarch64", "-cpu", "max", argv[1], NULL })) {
        puts("no qemu-aarch64 here (package qemu-user)");
        return 77;
    }
    T.ram = g_aligned_alloc0(1, RAM_SIZE, 4096);
    static const uint64_t keys[A64_KEYS][2] = { { 1, 2 }, { 3, 4 }, { 5, 6 }, { 7, 8 }, { 9, 10 } };
    TcgConfig config = options(argc, argv);
    TcgContext *ctx = tcg_new(&config, NULL);
    A64State *s = g_aligned_alloc0(1, sizeof(*s), 64);
    a64_state_program(s, keys);
    s->sctlr[A64_EL1] &= ~A64_SCTLR_SA0;       /* the oracle does not look at the stack pointer */
    T.mode = a64_mode_key(s);
    TcgCpu *cpu = tcg_cpu_new(ctx, &a64_isa, s, &callbacks, NULL);
    for (unsigned n = 0; n < cases && T.bad < 10; n++) {
        make_case(n % A64_OPS);
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
    unsigned missing = cases >= A64_OPS && !T.ways ? not_covered() : 0;
    printf("%u cases, %u differ, %u instructions never ran\n", cases, T.bad, missing);
    tcg_cpu_free(cpu);
    tcg_free(ctx);
    g_aligned_free(s);
    g_aligned_free(T.ram);
    return T.bad || missing;
}
