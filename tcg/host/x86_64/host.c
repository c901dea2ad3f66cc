/* The x86-64 host: common thunks, one unit to code, links between units. */
#include <cpuid.h>
#include <string.h>

#include "tcg/host/x86_64/gen.h"

static Mem state_mem(uint32_t off) { return mem_bd(RBP, (int32_t)off - STATE_BIAS); }

static void homes(Asm *a, const GuestIsa *isa, bool store)
{
    for (unsigned s = 0; s < isa->n_slots; s++) {
        unsigned rank = isa->slots[s].rank;
        if (!rank || rank > N_HOMES || type_vec(isa->slots[s].type))
            continue;
        if (store)
            asm_store(a, state_mem(isa->slots[s].offset), home_reg[rank - 1], true);
        else
            asm_load(a, home_reg[rank - 1], state_mem(isa->slots[s].offset), true);
    }
}

typedef struct Thunks { Asm a; TcgContext *ctx; const GuestIsa *isa; } Thunks;

static Mem env_mem(const Thunks *t, size_t off) { return state_mem((uint32_t)(t->isa->xlat_offset + off)); }
#define TENV(t, f) env_mem(t, offsetof(TcgEnv, f))

static void thunk_begin(Thunks *t, unsigned n)
{
    while ((uintptr_t)t->a.p & 15)
        a8(&t->a, 0x90);                  /* one may go on in the next */
    t->ctx->thunks[n] = t->a.p - (t->ctx->rw - t->ctx->rx);
}

static void mxcsr(Thunks *t, bool load, Mem m) { asm_rm(&t->a, 0xae | M_0F, load ? 2 : 3, m); }

static const uint8_t saved_regs[] = { RBX, RBP, R12, R13, R14, R15 };

static void push_pop(Asm *a, unsigned reg, bool push)
{
    if (reg & 8)
        a8(a, 0x41);
    a8(a, (push ? 0x50 : 0x58) | (reg & 7));
}

/* Direct memory: the base, if there is one. */
static void load_r15(Thunks *t)
{
    if (!t->ctx->config.direct)
        asm_load(&t->a, R15, TENV(t, tlb), true);
    else if (t->ctx->config.direct_base)
        asm_mov_imm(&t->a, R15, (int64_t)t->ctx->config.direct_base);
}

/* Each vector home from or to its slot; @low: not the upper halves of slots of 256 bits. */
static void each_vector(Thunks *t, bool load, bool low)
{
    enum { MOVDQU_LD = 0x6f | M_0F | P_F3, MOVDQU_ST = 0x7f | M_0F | P_F3, MOVQ_LD = 0x7e | M_0F | P_F3, MOVQ_ST = 0xd6 | M_0F | P_66 };
    for (unsigned s = 0; s < t->isa->n_slots; s++) {
        unsigned rank = t->isa->slots[s].rank, type = t->isa->slots[s].type;
        unsigned op = type == IRT_V64 ? (load ? MOVQ_LD : MOVQ_ST) : load ? MOVDQU_LD : MOVDQU_ST;
        if (type_vec(type) && rank && rank <= N_XHOMES)
            asm_vrm(&t->a, op | (type == IRT_V256 && !low ? O_L : 0), rank - 1, NOREG, state_mem(t->isa->slots[s].offset));
    }
}

/* Is any upper half not 0? Narrower slots have none; false: there are only such. */
static bool test_upper(Thunks *t)
{
    enum { POR = 0xeb | M_0F | P_66, PXOR = 0xef | M_0F | P_66, PTEST = 0x17 | M_38 | P_66 };
    bool any = false;
    asm_vrr(&t->a, PXOR, 0, 0, 0);
    for (unsigned s = 0; s < t->isa->n_slots; s++) {
        unsigned rank = t->isa->slots[s].rank;
        if (t->isa->slots[s].type != IRT_V256 || !rank || rank > N_XHOMES)
            continue;
        asm_vrm(&t->a, POR, 0, 0, state_mem(t->isa->slots[s].offset + 16));
        any = true;
    }
    asm_vrr(&t->a, PTEST, 0, NOREG, 0);
    return any;
}

/*
 * Vector homes from or to the state. No general register changes. Upper halves that are all 0 are loaded by 128-bit loads: the host then knows that they are
 * 0, and instructions without VEX need not wait for the old content of their destination.
 */
static void thunk_vectors(Thunks *t, bool load)
{
    thunk_begin(t, load ? THUNK_VLOAD : THUNK_VSAVE);
    if (load && test_upper(t)) {
        uint8_t *wide = asm_jcc(&t->a, IRC_NE);
        each_vector(t, true, true);
        uint8_t *done = asm_jmp(&t->a);
        asm_patch(&t->a, wide);
        each_vector(t, true, false);
        asm_patch(&t->a, done);
    } else {
        each_vector(t, load, false);
    }
    asm_rm(&t->a, 0xc7, 0, TENV(t, vec_live));
    a32(&t->a, load);
    a8(&t->a, 0xc3);
}

static void call_thunk(Thunks *t, unsigned n)
{
    a8(&t->a, 0xe8);
    a32(&t->a, 0);
    asm_patch_to(&t->a, t->a.p, (uint8_t *)t->ctx->thunks[n] + (t->ctx->rw - t->ctx->rx));
}

/* On the way to C code. */
static void save_vectors(Thunks *t)
{
    asm_alu_mi(&t->a, 7, TENV(t, vec_live), 0, 4);
    uint8_t *no = asm_jcc8(&t->a, IRC_E);
    call_thunk(t, THUNK_VSAVE);
    a8(&t->a, 0xc5);                      /* vzeroupper: the caller's SSE code must not wait for our upper halves */
    a8(&t->a, 0xf8);
    a8(&t->a, 0x77);
    asm_patch8(&t->a, no);
}

/* void enter(state, entry) */
static void thunk_enter(Thunks *t)
{
    thunk_begin(t, THUNK_ENTER);
    for (unsigned n = 0; n < 6; n++)
        push_pop(&t->a, saved_regs[n], true);
    asm_alu_ri(&t->a, 5, RSP, 8, 8);
    asm_lea(&t->a, RBP, mem_bd(RDI, STATE_BIAS), true);
    load_r15(t);
    mxcsr(t, false, TENV(t, host_mxcsr));
    if (t->isa->fpenv_offset)
        mxcsr(t, true, state_mem(t->isa->fpenv_offset));
    homes(&t->a, t->isa, false);
    asm_rr(&t->a, 0xff, 4, RSI);
}

static void thunk_exit(Thunks *t)
{
    thunk_begin(t, THUNK_PROBE);          /* EAX: target's page offset, ECX: link */
    asm_store(&t->a, TENV(t, link), RCX, false);
    asm_rr(&t->a, 0x63 | O_W, RAX, RAX);
    asm_rm(&t->a, 0x03 | O_W, RAX, state_mem(t->isa->pc_base_offset));
    uint8_t *miss = asm_jump_probe(&t->a, RAX, TENV(t, jc), state_mem(t->isa->pc_base_offset));
    asm_patch(&t->a, miss);
    asm_store(&t->a, TENV(t, arg[0]), RAX, true);
    asm_rm(&t->a, 0xc7 | O_W, 0, TENV(t, leave));
    a32(&t->a, 0x100);
    uint8_t *leave = asm_jmp(&t->a);
    thunk_begin(t, THUNK_MISS);           /* RAX: target */
    asm_store(&t->a, TENV(t, arg[0]), RAX, true);
    asm_rm(&t->a, 0xc7 | O_W, 0, TENV(t, leave));
    a32(&t->a, 0x100);
    asm_rm(&t->a, 0xc7, 0, TENV(t, link));
    a32(&t->a, 0);
    uint8_t *j = asm_jmp(&t->a);
    thunk_begin(t, THUNK_HOT);            /* as THUNK_LEAVE */
    asm_rm(&t->a, 0xc7 | O_W, 0, TENV(t, leave));
    a32(&t->a, LEAVE_HOT);
    thunk_begin(t, THUNK_LEAVE);          /* EAX: cur_off, ECX: link */
    asm_store(&t->a, TENV(t, cur_off), RAX, false);
    asm_store(&t->a, TENV(t, link), RCX, false);
    asm_patch(&t->a, j);
    asm_patch(&t->a, leave);
    homes(&t->a, t->isa, true);
    if (t->isa->fpenv_offset)
        mxcsr(t, false, state_mem(t->isa->fpenv_offset));
    mxcsr(t, true, TENV(t, host_mxcsr));
    save_vectors(t);
    asm_alu_ri(&t->a, 0, RSP, 8, 8);
    for (unsigned n = 6; n-- > 0;)
        push_pop(&t->a, saved_regs[n], false);
    a8(&t->a, 0xc3);
}

/* RAX: another target than the one of the JumpTarget at RCX, which the caller counts as a success. */
static void thunk_target(Thunks *t)
{
    thunk_begin(t, THUNK_TARGET);
    asm_alu_mi(&t->a, 5, mem_bd(RCX, offsetof(JumpTarget, trust)), 2, 4);
    uint8_t *keep = asm_jcc8(&t->a, IRC_NS);
    asm_store(&t->a, mem_bd(RCX, offsetof(JumpTarget, va)), RAX, true);
    asm_rm(&t->a, 0xc7, 0, mem_bd(RCX, offsetof(JumpTarget, trust)));
    a32(&t->a, 0);
    asm_patch8(&t->a, keep);
    a8(&t->a, 0xc3);
}

static void thunk_call(Thunks *t)
{
    thunk_begin(t, THUNK_CALL);           /* RAX: function; RSI RDX RCX and env arg[3]: arguments */
    homes(&t->a, t->isa, true);
    asm_alu_ri(&t->a, 5, RSP, 8, 8);
    save_vectors(t);
    asm_lea(&t->a, RDI, mem_bd(RBP, -STATE_BIAS), true);
    asm_load(&t->a, R8, TENV(t, arg[3]), true);
    asm_rr(&t->a, 0xff, 2, RAX);
    asm_alu_ri(&t->a, 0, RSP, 8, 8);
    homes(&t->a, t->isa, false);
    load_r15(t);
    a8(&t->a, 0xc3);
}

/* @pushed: the instruction's page offset and the access's info are on the stack, and taken off it. */
static void thunk_slow(Thunks *t, unsigned n, void (*fn)(TcgCpu *), bool pushed)
{
    static const uint8_t temps[] = { RAX, RCX, RDX, RSI };
    thunk_begin(t, n);
    for (unsigned k = 0; k < 4; k++)
        asm_store(&t->a, env_mem(t, offsetof(TcgEnv, save) + 8 * k), temps[k], true);
    if (pushed) {
        asm_load(&t->a, RAX, mem_bd(RSP, 16), false);
        asm_load(&t->a, RCX, mem_bd(RSP, 8), true);
        asm_store(&t->a, TENV(t, cur_off), RAX, false);
        asm_store(&t->a, TENV(t, arg[3]), RCX, true);
    }
    homes(&t->a, t->isa, true);
    asm_load(&t->a, RAX, TENV(t, vec_live), false);
    push_pop(&t->a, RAX, true);
    save_vectors(t);
    asm_load(&t->a, RDI, TENV(t, cpu), true);
    asm_mov_imm(&t->a, RAX, (int64_t)(uintptr_t)fn);
    asm_rr(&t->a, 0xff, 2, RAX);
    push_pop(&t->a, RAX, false);
    asm_rr(&t->a, 0x85, RAX, RAX);
    uint8_t *no = asm_jcc8(&t->a, IRC_E);
    call_thunk(t, THUNK_VLOAD);
    asm_patch8(&t->a, no);
    homes(&t->a, t->isa, false);
    for (unsigned k = 0; k < 4; k++)
        asm_load(&t->a, temps[k], env_mem(t, offsetof(TcgEnv, save) + 8 * k), true);
    if (pushed) {
        a8(&t->a, 0xc2);                  /* ret 16 */
        a8(&t->a, 16);
        a8(&t->a, 0);
    } else {
        a8(&t->a, 0xc3);
    }
}

void gen_leave(Asm *a, const TcgContext *ctx, unsigned thunk, uint32_t off, uint32_t link)
{
    a8(a, 0xb8 | RAX);
    a32(a, off);
    a8(a, 0xb8 | RCX);
    a32(a, link);
    uint8_t *j = asm_jmp(a);
    asm_patch_to(a, j, (uint8_t *)ctx->thunks[thunk] + (ctx->rw - ctx->rx));
}

static bool host_init(TcgContext *ctx, const GuestIsa *isa)
{
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("bmi2"))
        return false;
    unsigned a, b, c, d;
    ctx->host_has = __get_cpuid_count(7, 0, &a, &b, &c, &d) && b >> 19 & 1 ? HOST_ADX : 0;
    Thunks t = { .a = { ctx->rw, ctx->rw + ctx->size }, .ctx = ctx, .isa = isa };
    thunk_vectors(&t, true);
    thunk_vectors(&t, false);
    thunk_enter(&t);
    thunk_exit(&t);
    thunk_call(&t);
    thunk_target(&t);
    thunk_slow(&t, THUNK_LD, tcg_slow_ld, true);
    thunk_slow(&t, THUNK_ST, tcg_slow_st, true);
    thunk_slow(&t, THUNK_RMW, tcg_slow_rmw, true);
    thunk_slow(&t, THUNK_FILL, tcg_slow_fill, true);
    thunk_slow(&t, THUNK_NLOAD, tcg_slow_native_load, false);
    thunk_slow(&t, THUNK_NLD, tcg_slow_native_ld, false);
    thunk_slow(&t, THUNK_NCHECK, tcg_slow_native_check, false);
    thunk_slow(&t, THUNK_NST, tcg_slow_native_st, false);
    ctx->used = ctx->start = (size_t)(t.a.p - ctx->rw + 63) & ~(size_t)63;
    return true;
}

/* An operand that is a deferred address gets its register before the result's is chosen: the result may go into a home (hint) that the
 * address is made of. Accesses, RPUT and calls see to it themselves. */
static void addresses_first(Gen *g, const IrInsn *i)
{
    if (i->op == IR_LD || i->op == IR_ST || i->op == IR_ARMW || i->op == IR_CAS || i->op == IR_RPUT || i->op == IR_CALL || (i->op == IR_LEA && gen_defer_lea(g, i)))
        return;
    gen_materialise(g, i->a);
    gen_materialise(g, i->b);
    gen_materialise(g, i->c);
    gen_materialise(g, i->d);
}

static void emit_body(Gen *g)
{
    for (g->at = 1; g->at < g->u->n && !g->failed; g->at++) {
        IrInsn *i = &g->u->insn[g->at];
        if (i->op == IR_NOP || g->rep[g->at] != g->at)
            continue;
        if (gen_uses_xhome(g, i))
            gen_xensure(g);
        addresses_first(g, i);
        if (!gen_ctl(g, i) && !gen_int(g, i) && !gen_mem(g, i) && !gen_vec(g, i) && !gen_native(g, i) && !gen_bulk_op(g, i))
            GEN_FAIL(g);
        gen_free_dead(g);
        gen_free_group(g);
        gen_unlock(g);
    }
}

static void fix_labels(Gen *g)
{
    for (unsigned n = 0; n < g->n_fix; n++) {
        if (!g->label_at[g->fix[n].label])
            GEN_FAIL(g);
        else
            asm_patch_to(&g->a, g->fix[n].at, g->label_at[g->fix[n].label]);
    }
}

/* Where a killed block sends whoever still enters it: to the run loop, at its own start. */
static void emit_dead_stub(Gen *g, unsigned page_off)
{
    gen_leave(&g->a, g->ctx, THUNK_LEAVE, page_off, LINK_DEAD | g->b->index);
}

static void emit_vconsts(Gen *g)
{
    while (g->u->n_vconsts && (uintptr_t)g->a.p & 15)
        a8(&g->a, 0xcc);
    g->vconst = g->a.p;
    for (unsigned n = 0; n < g->u->n_vconsts; n++) {
        a64(&g->a, g->u->vconst[n][0]);
        a64(&g->a, g->u->vconst[n][1]);
    }
}

static Gen *new_gen(TcgContext *ctx)
{
    Gen *g = g_new(Gen, 1);    /* what a unit needs is set up for it */
    g->homes_of = NULL;
    return ctx->host_data = g;
}

static bool host_emit(TcgContext *ctx, TcgCpu *cpu, IrUnit *u, TcgBlock *b)
{
    Gen *g = ctx->host_data ? ctx->host_data : new_gen(ctx);
    static const uint8_t nop5[] = { 0x0f, 0x1f, 0x44, 0, 0 };
    unsigned links = ctx->n_links;

    g->a = (Asm){ ctx->rw + ctx->used, ctx->rw + ctx->size };
    g->ctx = ctx;
    g->cpu = cpu;
    g->u = u;
    g->b = b;
    g->isa = cpu->isa;
    g->env = (int32_t)cpu->isa->xlat_offset - STATE_BIAS;
    g->regime = cpu->isa->regime(b->mode);
    g->n_fix = g->n_slow = g->n_fault = g->n_fault_flags = g->n_exit = g->n_leaves = 0;
    g->fpu_live = false;
    g->failed = false;
    g->insn_off = (int64_t)(b->gpa & (TCG_PAGE_SIZE - 1));
    memset(g->label_at, 0, (u->n_labels + 1) * sizeof(g->label_at[0]));
    gen_setup(g);

    emit_vconsts(g);
    uint8_t *stub = g->a.p;
    emit_dead_stub(g, (unsigned)g->insn_off);
    while ((uintptr_t)g->a.p & 7)
        a8(&g->a, 0xcc);
    uint8_t *entry = g->a.p;
    b->stub = (uint32_t)(entry - stub);
    g->entry = entry;
    for (unsigned n = 0; n < sizeof(nop5); n++)
        a8(&g->a, nop5[n]);
    emit_body(g);
    gen_exits(g, 0);
    gen_slow_paths(g);
    gen_leaves(g);
    fix_labels(g);
    if (asm_full(&g->a) || g->failed) {
        ctx->n_links = links;
        b->host = NULL;
        b->dead = g->failed;
        if (g->failed)
            log_item(ctx->config.log, LOG_OP_OPT, "given up at instruction %u: %s", g->at, g->why);
        return false;
    }
    b->host = entry - (ctx->rw - ctx->rx);
    b->host_len = (uint32_t)(g->a.p - entry);
    b->first_link = links;
    b->n_links = ctx->n_links - links;
    gen_keep_faults(g);
    ctx->used = (size_t)(g->a.p - ctx->rw + 7) & ~(size_t)7;
    return true;
}

static void host_enter(TcgCpu *cpu, TcgBlock *b)
{
    void (*enter)(void *, void *) = (void (*)(void *, void *))cpu->ctx->thunks[THUNK_ENTER];
    enter(cpu->state, b->host);
}

static void store32(uint8_t *at, uint32_t v) { __atomic_store_n((uint32_t *)at, v, __ATOMIC_RELEASE); }

/* l->at: the displacement (same page), or the context immediate (other page: the page's is LINK_PAGE before it, the displacement l->disp behind it). */
static void host_link(TcgContext *ctx, const TcgLink *l, const void *entry)
{
    uint8_t *at = l->at, *disp = at + l->disp;
    if (!l->cross) {
        store32(at, (uint32_t)((const uint8_t *)entry - (at - (ctx->rw - ctx->rx) + 4)));
        return;
    }
    store32(at, 0xffffffff);
    if (!ctx->config.direct)
        store32(at - LINK_PAGE, l->page);
    store32(disp, (uint32_t)((const uint8_t *)entry - (disp - (ctx->rw - ctx->rx) + 4)));
    store32(at, l->ctx_id);
}

/* Back to what it was before it was linked. No page either: who is between the two comparisons when it is linked again has seen the new one. */
static void host_unlink(TcgContext *ctx, TcgLink *l)
{
    store32(l->at, l->cross ? 0xffffffff : 0);
    if (l->cross && !ctx->config.direct)
        store32(l->at - LINK_PAGE, LINK_NO_PAGE);
}

/* The entry's first five bytes, inside one aligned word, become a jump. */
static void patch_entry(TcgContext *ctx, TcgBlock *b, int32_t d)
{
    uint8_t *rw = (uint8_t *)b->host + (ctx->rw - ctx->rx);
    uint64_t w;
    memcpy(&w, rw, 8);
    w = (w & ~0xffffffffffull) | 0xe9 | (uint64_t)(uint32_t)d << 8;
    __atomic_store_n((uint64_t *)rw, w, __ATOMIC_RELEASE);
}

/* And back. */
static void host_revive(TcgContext *ctx, TcgBlock *b)
{
    static const uint8_t nop5[] = { 0x0f, 0x1f, 0x44, 0, 0 };
    uint8_t *rw = (uint8_t *)b->host + (ctx->rw - ctx->rx);
    uint64_t w;
    memcpy(&w, rw, 8);
    memcpy(&w, nop5, 5);
    __atomic_store_n((uint64_t *)rw, w, __ATOMIC_RELEASE);
}

/* To the stub in front of it. */
static void host_kill(TcgContext *ctx, TcgBlock *b)
{
    if (b->host)
        patch_entry(ctx, b, -(int32_t)b->stub - 5);
}

static void host_redirect(TcgContext *ctx, TcgBlock *from, const TcgBlock *to)
{
    patch_entry(ctx, from, (int32_t)((uint8_t *)to->host - (uint8_t *)from->host) - 5);
}

static void *host_count(TcgContext *ctx, TcgBlock *b)
{
    ptrdiff_t rw = ctx->rw - ctx->rx;
    Thunks t = { .a = { ctx->rw + ctx->used, ctx->rw + ctx->size }, .ctx = ctx, .isa = ctx->isa };
    uint8_t *start = t.a.p;
    asm_mov_imm(&t.a, RAX, (int64_t)(uintptr_t)&b->heat);
    asm_alu_mi(&t.a, 5, mem_bd(RAX, 0), 1, 4);
    uint8_t *on = asm_jcc(&t.a, IRC_NS);
    asm_patch_to(&t.a, on, (uint8_t *)b->host + rw);
    gen_leave(&t.a, ctx, THUNK_HOT, (uint32_t)b->gpa & (TCG_PAGE_SIZE - 1), 0);
    if (asm_full(&t.a))
        return NULL;
    ctx->used = (size_t)(t.a.p - ctx->rw + 7) & ~(size_t)7;
    return start - rw;
}

static void host_free(TcgContext *ctx)
{
    g_free(ctx->host_data);
    ctx->host_data = NULL;
}

const HostOps tcg_host_x86_64 = {
    .name = "x86-64", .init = host_init, .emit = host_emit, .enter = host_enter, .link = host_link, .unlink = host_unlink, .kill = host_kill, .revive = host_revive, .redirect = host_redirect, .count = host_count, .free = host_free, .fault = gen_host_fault,
    .vectors = gen_host_vectors,
};
