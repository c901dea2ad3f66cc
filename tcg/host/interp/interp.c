/*
 * The reference back end: no code is generated, a unit's IR is run as it came from the front end, without passes. Slow, and as
 * near to the definitions in tcg/ir.def as can be: what the other back ends are compared with.
 * Not independent of an x86-64 host are only the vector operations (vop.c).
 * The guest's MXCSR is loaded while a unit runs, as with translated code: helpers and the slow paths expect that (tcg_world_enter).
 */
#include "tcg/host/interp/interp.h"
#include "tcg/vops.h"

static void op_insn(Run *r, const IrInsn *i) { r->env->cur_off = (int32_t)i->imm; }
static void op_pc(Run *r, const IrInsn *i) { interp_put(r, i, cpu_pc_base(r->cpu) + (uint64_t)i->imm); }

static void op_code(Run *r, const IrInsn *i)
{
    uint64_t v = 0;
    memcpy(&v, (const void *)(uintptr_t)i->imm, i->aux);
    interp_put(r, i, interp_sext(v, 8 * i->aux));
}

/* prepare put it into the cache. */
static void op_vconst(Run *r, const IrInsn *i)
{
    Val *v = &r->val[i - r->ir];
    memset(v, 0, sizeof(*v));
    memcpy(v, r->cpu->ctx->rx + i->imm, 16);
}

static void op_rget(Run *r, const IrInsn *i)
{
    Val *v = &r->val[i - r->ir];
    memset(v, 0, sizeof(*v));
    memcpy(v, r->state + r->isa->slots[i->imm].offset, ir_type_bytes(i->type));
}

static void op_rput(Run *r, const IrInsn *i) { memcpy(r->state + r->isa->slots[i->imm].offset, &r->val[i->a], ir_type_bytes(i->type)); }

static void op_fpenv(Run *r, const IrInsn *i)
{
    uint32_t v;
    __asm__ volatile("stmxcsr %0" : "=m"(v));
    interp_put(r, i, v);
}

static void op_fpenvput(Run *r, const IrInsn *i)
{
    uint32_t v = (uint32_t)r->val[i->a].u;
    memcpy(r->state + r->isa->fpenv_offset, &v, sizeof(v));
    __asm__ volatile("ldmxcsr %0" : : "m"(v));
}

static void op_vupper(Run *r, const IrInsn *i)
{
    for (unsigned n = 0; n < i->aux; n++)
        memset(r->state + r->isa->slots[i->imm + n].offset + 16, 0, 16);
}

/* ---- memory: always what the other back ends' slow paths call ---- */
static void access_args(Run *r, const IrInsn *i, bool write)
{
    bool plain = i->op == IR_LD || i->op == IR_ST;
    unsigned regime = plain && i->aux ? i->aux - 1u : r->regime;
    r->env->arg[0] = r->val[i->a].u + (uint64_t)i->imm;
    r->env->arg[3] = i->mem | regime << 8 | (unsigned)write << 12 | (plain ? 0 : (unsigned)i->aux << 16) | (i->op == IR_CAS ? 1u << 24 : 0);
}

static void op_ld(Run *r, const IrInsn *i)
{
    unsigned bytes = 1u << (i->mem & IRM_SIZE);
    Val *v = &r->val[i - r->ir];
    access_args(r, i, i->mem & IRM_RMW);
    tcg_slow_ld(r->cpu);
    if (i->type >= IRT_V64) {
        memset(v, 0, sizeof(*v));
        memcpy(v, r->env->vspill[15], bytes);
        return;
    }
    uint64_t got = r->env->ret & interp_mask(8 * bytes);
    interp_put(r, i, i->mem & IRM_SIGN ? interp_sext(got, 8 * bytes) : got);
}

static void op_st(Run *r, const IrInsn *i)
{
    access_args(r, i, true);
    r->env->arg[1] = r->val[i->b].u;
    if ((i->mem & IRM_SIZE) > 3)
        memcpy(r->env->vspill[15], &r->val[i->b], sizeof(Val));
    tcg_slow_st(r->cpu);
}

static void op_rmw(Run *r, const IrInsn *i)
{
    access_args(r, i, true);
    r->env->arg[1] = r->val[i->op == IR_CAS ? i->c : i->b].u;
    r->env->arg[2] = r->val[i->b].u;
    tcg_slow_rmw(r->cpu);
    interp_put(r, i, r->env->ret);
}

static void op_fence(Run *r, const IrInsn *i)
{
    (void)r;
    (void)i;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static void op_call(Run *r, const IrInsn *i)
{
    if (r->env->calls)
        r->env->calls[i->imm]++;
    uint64_t v = r->isa->helpers[i->imm].fn(r->state, r->val[i->a].u, r->val[i->b].u, r->val[i->c].u, r->val[i->d].u);
    if (i->type != IRT_NONE)
        interp_put(r, i, v);
}

static void op_never(Run *r, const IrInsn *i)
{
    (void)r;
    (void)i;
    g_assert_not_reached();
}

static OpFn *const ops[IR_OPS] = {
    [IR_HLD] = op_never, [IR_HST] = op_never, [IR_COPY] = op_never, [IR_FILL] = op_never,   /* behind HOST only */
    [IR_INSN] = op_insn, [IR_VCONST] = op_vconst, [IR_PC] = op_pc, [IR_CODE] = op_code, [IR_RGET] = op_rget, [IR_RPUT] = op_rput, [IR_VUPPER] = op_vupper, [IR_FPENV] = op_fpenv, [IR_FPENVPUT] = op_fpenvput, [IR_LD] = op_ld, [IR_ST] = op_st, [IR_ARMW] = op_rmw,
    [IR_CAS] = op_rmw, [IR_FENCE] = op_fence, [IR_CALL] = op_call, [IR_NATIVE] = op_call, [IR_VOP] = interp_vop,
};

static bool control(unsigned op) { return op == IR_BR || op == IR_BRCOND || op == IR_BRZ || op == IR_BRNZ || op == IR_HOST || op == IR_GOTO || op == IR_JMP || op == IR_EXIT; }

static void leave(TcgEnv *env, uint64_t why, int64_t off)
{
    env->leave = why;
    env->cur_off = (int32_t)off;
    env->link = 0;
}

static void run(Run *r)
{
    for (const IrInsn *i = r->ir + 1;; i++) {
        uint64_t a = r->val[i->a].u;
        switch (i->op) {
        case IR_BR: i = r->ir + i->imm; break;
        case IR_BRCOND:
            if (interp_cond(i->aux, a))
                i = r->ir + i->imm;
            break;
        case IR_BRZ: case IR_BRNZ:
            if (!(a & interp_mask(interp_bits(i->type))) == (i->op == IR_BRZ))
                i = r->ir + i->imm;
            break;
        case IR_HOST: i = r->ir + i->imm; break;   /* no answer, ever: what would follow it is never reached */
        case IR_GOTO: leave(r->env, 0, i->imm); return;
        case IR_EXIT: leave(r->env, (uint64_t)i->imm + 1, 0); return;
        case IR_JMP:
            leave(r->env, 0x100, r->env->cur_off);
            r->env->arg[0] = a;
            return;
        default:
            (interp_alu[i->op] ? interp_alu[i->op] : ops[i->op])(r, i);
            break;
        }
    }
}

/* ---- the back end ---- */
static bool interp_init(TcgContext *ctx, const GuestIsa *isa)
{
    (void)isa;
    ctx->used = ctx->start = 0;
    return __builtin_cpu_supports("avx2");
}

static bool keep_vconst(TcgContext *ctx, const IrUnit *u, IrInsn *i)
{
    if (ctx->used + 16 > ctx->size)
        return false;
    memcpy(ctx->rw + ctx->used, u->vconst[i->imm], 16);
    i->imm = (int64_t)ctx->used;
    ctx->used += 16;
    return true;
}

/* Every operation is known, every unit ends in a way to leave, and jumps name the place itself. */
static bool prepare(TcgContext *ctx, TcgCpu *cpu, const IrUnit *u, TcgBlock *b)
{
    unsigned label[IR_MAX_LABELS + 1] = { 0 };
    for (unsigned n = 1; n < u->n; n++)
        if (b->ir[n].op == IR_LABEL)
            label[b->ir[n].imm] = n;
    for (unsigned n = 1; n < u->n; n++) {
        IrInsn *i = &b->ir[n];
        bool jump = i->op == IR_BR || i->op == IR_BRCOND || i->op == IR_BRZ || i->op == IR_BRNZ || i->op == IR_HOST;
        if (jump)
            i->imm = label[i->imm];
        if ((jump && !i->imm) || (i->op == IR_VOP && (i->imm & 0xffff) >= VOPS) || (!control(i->op) && !interp_alu[i->op] && !ops[i->op])) {
            b->dead = 1;       /* tells a unit that cannot be made from a full cache */
            return false;
        }
        if (i->op == IR_VOP && !interp_vop_emit(ctx, u, i))
            return false;
        if (i->op == IR_VCONST && !keep_vconst(ctx, u, i))
            return false;
    }
    const IrInsn *last = &b->ir[u->n - 1];
    b->dead = !control(last->op) && !(last->op == IR_CALL && cpu->isa->helpers[last->imm].flags & TCG_H_NORETURN);
    return !b->dead;
}

static bool interp_emit(TcgContext *ctx, TcgCpu *cpu, IrUnit *u, TcgBlock *b)
{
    size_t bytes = u->n * sizeof(IrInsn), before = ctx->used;
    if (ctx->used + bytes > ctx->size)   /* the copy counts as if it lay in the cache */
        return false;
    ctx->used += bytes;
    b->ir = g_memdup2(u->insn, bytes);
    b->n_ir = (uint16_t)u->n;
    b->n_labels = (uint16_t)u->n_labels;
    b->host_len = (uint32_t)bytes;
    if (prepare(ctx, cpu, u, b))
        return true;
    g_free(b->ir);
    b->ir = NULL;
    ctx->used = before;
    return false;
}

static void interp_enter(TcgCpu *cpu, TcgBlock *b)
{
    Run r;
    r.cpu = cpu;
    r.env = cpu->env;
    r.state = cpu->state;
    r.isa = cpu->isa;
    r.ir = b->ir;
    r.regime = cpu->isa->regime(b->mode);
    memset(&r.val[0], 0, sizeof(r.val[0]));
    uint32_t *guest = cpu->isa->fpenv_offset ? (uint32_t *)(r.state + cpu->isa->fpenv_offset) : NULL;
    __asm__ volatile("stmxcsr %0" : "=m"(cpu->env->host_mxcsr));
    if (guest)
        __asm__ volatile("ldmxcsr %0" : : "m"(*guest));
    run(&r);
    if (guest)
        __asm__ volatile("stmxcsr %0" : "=m"(*guest));
    __asm__ volatile("ldmxcsr %0" : : "m"(cpu->env->host_mxcsr));
}

const HostOps tcg_host_interp = {
    .name = "interp", .raw_ir = true, .init = interp_init, .emit = interp_emit, .enter = interp_enter,
};
