/*
 * Direct memory: what a host fault in translated code means to the guest. The table of a block says which guest instruction an access belongs to, and
 * of what the flags are to be made that a put left to whoever might look (flags.c).
 */
#include <string.h>
#include <ucontext.h>

#include "tcg/host/x86_64/gen.h"

/* ---- while the unit is made ---- */
static uint32_t keep_flags(Gen *g, const FlagSource *f)
{
    unsigned n = g->n_fault_flags;
    if (!f->op && !f->n_late)
        return 0;
    if (n && !memcmp(&g->fault_flags[n - 1], f, sizeof(*f)))
        return n;
    g->fault_flags[n] = *f;
    return ++g->n_fault_flags;
}

void gen_note_fault(Gen *g, const FlagSource *f, bool rmw)
{
    if (!g->ctx->config.direct)
        return;
    TcgFaultAt *last = g->n_fault ? &g->fault[g->n_fault - 1] : NULL;
    uint32_t end = (uint32_t)(g->a.p - g->entry), more = keep_flags(g, f);
    if (last && last->off == (int32_t)g->insn_off && last->more == more && last->rmw == rmw)
        last->end = end;
    else if (g->n_fault < IR_MAX_INSNS)
        g->fault[g->n_fault++] = (TcgFaultAt){ end, (int32_t)g->insn_off, more, rmw };
    else
        GEN_FAIL(g);
}

/* In one piece: the faults, what their flags are made of, the puts that wait (.late: bytes from the flags on). */
void gen_keep_faults(Gen *g)
{
    size_t faults = g->n_fault * sizeof(g->fault[0]), flags = g->n_fault_flags * sizeof(g->fault_flags[0]), late = g->n_late * sizeof(g->late_put[0]);
    _Static_assert(sizeof(TcgFaultAt) % _Alignof(uint32_t) == 0, "FlagSource behind it is copied out");
    g->b->n_faults = g->n_fault;
    g->b->faults = NULL;
    if (!g->n_fault)
        return;
    for (unsigned n = 0; n < g->n_fault_flags; n++)
        g->fault_flags[n].late = (uint32_t)(flags + g->fault_flags[n].late * sizeof(g->late_put[0]));
    g->b->faults = g_malloc(faults + flags + late);
    memcpy(g->b->faults, g->fault, faults);
    memcpy(g->b->faults + g->n_fault, g->fault_flags, flags);
    memcpy((uint8_t *)(g->b->faults + g->n_fault) + flags, g->late_put, late);
}

/* ---- when it happened ---- */
static uint64_t host_reg(const greg_t *r, unsigned reg)
{
    static const uint8_t greg[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                      REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };
    return (uint64_t)r[greg[reg]];
}

/* gen_load_place in C; above a narrow value's bytes is anything. */
static uint64_t value_at(const TcgCpu *cpu, const greg_t *r, Loc l, int64_t konst)
{
    const uint8_t *state = cpu->state;
    uint64_t v = 0;
    switch (l.kind) {
    case L_CONST: return (uint64_t)konst;
    case L_HOME: case L_TEMP: return host_reg(r, l.reg);
    case L_SPILL: return cpu->env->spill[l.n];
    case L_SLOT: memcpy(&v, state + cpu->isa->slots[l.n].offset, l.reg); return v;
    case L_PC: memcpy(&v, state + cpu->isa->pc_base_offset, 8); return v + (uint64_t)konst;
    default: return 0;
    }
}

#define AGAIN(op)                                                                                                                          \
    switch (bytes) {                                                                                                                       \
    case 1: __asm__(op "b %b2, %b1\n\tseto %%al\n\tlahf" : "=&a"(fl), "+r"(x) : "r"(y) : "cc"); break;                                      \
    case 2: __asm__(op "w %w2, %w1\n\tseto %%al\n\tlahf" : "=&a"(fl), "+r"(x) : "r"(y) : "cc"); break;                                      \
    case 4: __asm__(op "l %k2, %k1\n\tseto %%al\n\tlahf" : "=&a"(fl), "+r"(x) : "r"(y) : "cc"); break;                                      \
    default: __asm__(op "q %q2, %q1\n\tseto %%al\n\tlahf" : "=&a"(fl), "+r"(x) : "r"(y) : "cc"); break;                                     \
    }
#define AGAIN_SHIFT(op)                                                                                                                    \
    if (bytes == 4)                                                                                                                        \
        __asm__(op "l %%cl, %k1\n\tseto %%al\n\tlahf" : "=&a"(fl), "+r"(x) : "c"(y) : "cc");                                              \
    else                                                                                                                                   \
        __asm__(op "q %%cl, %q1\n\tseto %%al\n\tlahf" : "=&a"(fl), "+r"(x) : "c"(y) : "cc")

/* gen_flags_again in C, bit for bit. */
static uint16_t flags_again(const FlagSource *f, uint64_t x, uint64_t y)
{
    unsigned bytes = f->bytes;
    uint64_t fl = 0;
    switch (f->op) {
    case IR_SUB: x += y; AGAIN("cmp") break;
    case IR_CMP: AGAIN("cmp") break;
    case IR_ADD: x -= y; AGAIN("add") break;
    case IR_TEST: AGAIN("test") break;
    case IR_SHL: AGAIN_SHIFT("shl"); break;
    case IR_SHR: AGAIN_SHIFT("shr"); break;
    case IR_SAR: AGAIN_SHIFT("sar"); break;
    case IR_CLZ: case IR_CTZ:
        x ^= y = 8 * bytes;
        bytes = 4;
        AGAIN("cmp")
        break;
    case IR_FLUNPACK: return (uint16_t)x;
    case IR_POPCNT: return (uint32_t)x ? 0 : IRFL_Z;
    default: y = x; AGAIN("test") break;
    }
    return (uint16_t)fl;
}

static void puts_to_state(const TcgCpu *cpu, const greg_t *r, const TcgBlock *b, const TcgFaultAt *at)
{
    const uint8_t *more = (const uint8_t *)(b->faults + b->n_faults);
    FlagSource f;
    LatePut p;
    if (!at->more)
        return;
    memcpy(&f, more + (at->more - 1) * sizeof(f), sizeof(f));
    for (unsigned n = 0; n < f.n_late; n++) {
        memcpy(&p, more + f.late + n * sizeof(p), sizeof(p));
        uint64_t v = value_at(cpu, r, p.loc, p.konst);
        memcpy((uint8_t *)cpu->state + cpu->isa->slots[p.slot].offset, &v, sizeof(v));
    }
    if (!f.op)
        return;
    uint16_t fl = (flags_again(&f, value_at(cpu, r, f.x, f.x_const), value_at(cpu, r, f.y, f.y_const)) | f.set) ^ f.turn;
    memcpy((uint8_t *)cpu->state + cpu->isa->slots[f.slot].offset, &fl, sizeof(fl));
}

bool gen_host_fault(TcgCpu *cpu, const void *ucontext, bool access, int64_t *ret_off, bool *ret_rmw)
{
    const greg_t *r = ((const ucontext_t *)ucontext)->uc_mcontext.gregs;
    const uint8_t *pc = (const uint8_t *)(uintptr_t)r[REG_RIP];
    TcgContext *ctx = cpu->ctx;
    if (pc < ctx->rx || pc >= ctx->rx + ctx->size)
        return false;
    for (unsigned s = 0; s < cpu->isa->n_slots; s++) {
        unsigned rank = cpu->isa->slots[s].rank;
        uint64_t v = rank && rank <= N_HOMES ? host_reg(r, home_reg[rank - 1]) : 0;
        if (rank && rank <= N_HOMES && !type_vec(cpu->isa->slots[s].type))
            memcpy((uint8_t *)cpu->state + cpu->isa->slots[s].offset, &v, 8);
    }
    if (!access)
        return false;
    pthread_mutex_lock(&ctx->lock);      /* this thread is in translated code: it does not hold it */
    const TcgBlock *b = tcg_block_at(ctx, pc);
    uint32_t n = 0, at = b ? (uint32_t)(pc - (const uint8_t *)b->host) : 0;
    while (b && n < b->n_faults && b->faults[n].end <= at)
        n++;
    bool known = b && n < b->n_faults;
    if (known) {
        *ret_off = b->faults[n].off;
        *ret_rmw = b->faults[n].rmw;
        puts_to_state(cpu, r, b, &b->faults[n]);
    }
    pthread_mutex_unlock(&ctx->lock);
    return known;
}

/* The vector homes as the signal found them: in the frame's XSAVE area in standard form (SDM 1, 13.4). */
void gen_host_vectors(TcgCpu *cpu, const void *ucontext)
{
    const struct _libc_fpstate *fp = ((const ucontext_t *)ucontext)->uc_mcontext.fpregs;
    const uint8_t *area = (const uint8_t *)fp;
    uint32_t magic;
    uint64_t features = 0;
    if (!cpu->env->vec_live)
        return;
    memcpy(&magic, area + 464, 4);        /* struct _fpx_sw_bytes, then the XSAVE header */
    if (magic == 0x46505853)
        memcpy(&features, area + 512, 8);
    for (unsigned s = 0; s < cpu->isa->n_slots; s++) {
        unsigned rank = cpu->isa->slots[s].rank;
        uint8_t *to = (uint8_t *)cpu->state + cpu->isa->slots[s].offset;
        if (!type_vec(cpu->isa->slots[s].type) || !rank || rank > N_XHOMES)
            continue;
        memcpy(to, area + 160 + 16 * (rank - 1), MIN(ir_type_bytes(cpu->isa->slots[s].type), 16u));
        if (cpu->isa->slots[s].type != IRT_V256)
            continue;
        memset(to + 16, 0, 16);
        if (features & 4)
            memcpy(to + 16, area + 576 + 16 * (rank - 1), 16);
    }
    cpu->env->vec_live = 0;
}
