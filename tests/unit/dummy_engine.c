#include "tests/unit/dummy_engine.h"

#include <errno.h>

typedef struct DummyEc {
    Vcpu *c;
    DummyState regs;        /* copy's own */
} DummyEc;

static void dummy_reset(void *state, unsigned index, bool init)
{
    DummyState *s = state;
    s->pc = s->count = s->last = s->hard = s->irqs = 0;
}

static uint64_t dummy_pc(const void *state)
{
    return ((const DummyState *)state)->pc;
}

static const FieldDesc dummy_fields[] = {
    FIELD(DummyState, pc), FIELD(DummyState, count), FIELD(DummyState, last), FIELD(DummyState, hard), FIELD(DummyState, irqs), { 0 }
};

const CpuType dummy_cpu = {
    .name = "dummy", .state_size = sizeof(DummyState), .state_align = 64, .groups_all = 3,
    .groups_valid_offset = offsetof(DummyState, groups_valid), .groups_dirty_offset = offsetof(DummyState, groups_dirty),
    .reset = dummy_reset, .pc = dummy_pc, .state_fields = dummy_fields,
};

static bool vm_init(Machine *m, const AccelConfig *cfg, void **ret_vm, GError **err)
{
    *ret_vm = m;
    return true;
}

static bool vcpu_init(void *vm, Vcpu *c, void **ret_ec, GError **err)
{
    DummyEc *ec = g_new0(DummyEc, 1);
    ec->c = c;
    *ret_ec = ec;
    return true;
}

/* One instruction. True: *x says why to leave (kind NONE: just leave). */
static bool step(Vcpu *c, DummyState *s, bool knows_hard, VmExit *x)
{
    const DummyProgram *p = c->model;
    DummyInsn i = p->code[s->pc % p->n];
    VmExit io = { .kind = EXIT_PIO, .size = 4, .addr = i.arg };
    if (vcpu_events_take(c, VCPU_EV_INTR))
        s->irqs++;
    switch (i.op) {
    case OP_INC:
        s->count++;
        break;
    case OP_OUT:
        io.write = true;
        io.value = s->count;
        s->pc++;
        return vcpu_io(c, &io);
    case OP_IN: {
        bool leave = vcpu_io(c, &io);
        s->last = io.value & UINT32_MAX;
        s->pc++;
        return leave;
    }
    case OP_HLT:
        s->pc++;
        x->kind = EXIT_HALT;
        return true;
    case OP_HARD:
        if (!knows_hard) {
            x->kind = EXIT_EMULATION_FAILED;
            x->n_insn = 1;
            x->insn[0] = 0x0f;
            return true;
        }
        s->count++;
        s->hard++;
        break;
    case OP_JMP:
        s->pc = i.arg;
        return false;
    case OP_CHECK:
        if (s->last != s->count) {
            x->kind = EXIT_ERROR;
            x->error = -EPROTO;
            return true;
        }
        break;
    case OP_TRIPLE:
        x->kind = EXIT_SHUTDOWN;
        return true;
    }
    s->pc++;
    return false;
}

static void run(Vcpu *c, DummyState *s, bool knows_hard, VmExit *x)
{
    while (!vcpu_must_leave(c))
        if (step(c, s, knows_hard, x))
            return;
}

/* ---- copy ---- */

static void copy_run(void *opaque, VmExit *x)
{
    DummyEc *ec = opaque;
    DummyState *s = ec->c->state;
    g_assert(!s->groups_dirty);
    s->groups_valid = 0;
    run(ec->c, &ec->regs, false, x);
}

static bool copy_out(void *opaque, uint32_t groups, GError **err)
{
    DummyEc *ec = opaque;
    DummyState *s = ec->c->state;
    *s = ec->regs;
    s->groups_valid = dummy_cpu.groups_all;
    s->groups_dirty = 0;
    return true;
}

static bool copy_in(void *opaque, uint32_t groups, GError **err)
{
    DummyEc *ec = opaque;
    DummyState *s = ec->c->state;
    ec->regs = *s;
    s->groups_dirty = 0;
    return true;
}

static bool always(const AccelConfig *cfg, AccelInfo *ret, GError **err)
{
    return true;
}

const AccelOps dummy_copy = {
    .name = "copy", .priority = 1, .probe = always, .vm_init = vm_init, .vcpu_init = vcpu_init, .vcpu_fini = g_free,
    .vcpu_run = copy_run, .state_out = copy_out, .state_in = copy_in,
};

/* ---- inplace ---- */

static void inplace_run(void *opaque, VmExit *x)
{
    DummyEc *ec = opaque;
    DummyState *s = ec->c->state;
    s->groups_valid = dummy_cpu.groups_all;
    s->groups_dirty = 0;
    run(ec->c, s, true, x);
}

static void inplace_step(void *opaque, const VcpuStep *limit, VmExit *x, uint64_t *ret_done)
{
    DummyEc *ec = opaque;
    DummyState *s = ec->c->state;
    x->kind = EXIT_STEPPED;
    for (*ret_done = 0; *ret_done < limit->max_insns && !vcpu_must_leave(ec->c); ++*ret_done) {
        VmExit sx = { 0 };
        s->groups_dirty = dummy_cpu.groups_all;
        if (step(ec->c, s, true, &sx)) {
            *x = sx;
            ++*ret_done;
            return;
        }
    }
}

const AccelOps dummy_inplace = {
    .name = "inplace", .priority = 2, .probe = always, .vm_init = vm_init, .vcpu_init = vcpu_init, .vcpu_fini = g_free,
    .vcpu_run = inplace_run, .vcpu_step = inplace_step,
};
