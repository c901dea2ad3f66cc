/* vCPU threads, work items, lifecycle, hand-over and switch, with dummy engines; several machines at once. */
#include <pthread.h>
#include <string.h>

#include "tests/unit/check.h"
#include "tests/unit/dummy_engine.h"
#include "vmm/snapshot.h"

/* A device whose port write at 0 queues an item that copies the value to what reads of port 4 give; at 8 resets, at 12 exits with status. */
typedef struct Echo {
    Device dev;
    Machine *m;             /* the test's own way up; devices proper have none */
    _Atomic uint32_t seen;
    _Atomic unsigned items, resets;
    _Atomic unsigned busy, early; /* looks until its transfers are done: a reset waits for them */
    uint32_t saved;
} Echo;

typedef struct EchoItem {
    Echo *e;
    uint32_t val;
} EchoItem;

static void echo_item(Machine *m, void *opaque)
{
    g_autofree EchoItem *it = opaque;
    for (unsigned i = 0; i < machine_n_vcpus(m); i++)
        CHECK(!atomic_load(&machine_vcpu(m, i)->in_guest));
    CHECK(machine_vcpus_at_rest(m));
    atomic_store(&it->e->seen, it->val);
    atomic_fetch_add(&it->e->items, 1);
}

static uint64_t echo_read(void *opaque, uint64_t off, unsigned size)
{
    return atomic_load(&((Echo *)opaque)->seen);
}

static void echo_write(void *opaque, uint64_t off, uint64_t val, unsigned size)
{
    Echo *e = opaque;
    if (off == 0) {
        EchoItem *it = g_new(EchoItem, 1);
        *it = (EchoItem){ e, (uint32_t)val };
        machine_queue_work(e->m, echo_item, it);
    } else if (off == 8) {
        device_request(&e->dev, DEVICE_REQ_RESET, 0);
    } else if (off == 12) {
        device_request(&e->dev, DEVICE_REQ_EXIT, 3);
    }
}

static const MmioOps echo_ops = { echo_read, echo_write, 1, 4, 0, 0 };

static bool echo_realize(Device *dev, GError **err)
{
    device_init_pio(dev, 0, "port", &echo_ops, 16);
    return true;
}

static void echo_reset(Device *dev)
{
    atomic_fetch_add(&((Echo *)dev)->resets, 1);
    /* The first two are the one at realize and the machine's own. */
    if (atomic_exchange(&((Echo *)dev)->busy, 3) && atomic_load(&((Echo *)dev)->resets) > 2)
        atomic_fetch_add(&((Echo *)dev)->early, 1);
}

static bool echo_busy(Device *dev)
{
    Echo *e = (Echo *)dev;
    return atomic_load(&e->busy) && atomic_fetch_sub(&e->busy, 1) > 1;
}

static const FieldDesc echo_fields[] = { FIELD(Echo, saved), { 0 } };
static const DeviceSection echo_state[] = { { .name = "main", .version = 1, .min_version = 1, .fields = echo_fields }, { 0 } };
static const DeviceClass echo_class = { .name = "echo", .summary = "for tests", .size = sizeof(Echo), .realize = echo_realize,
                                        .reset = echo_reset, .busy = echo_busy, .state = echo_state };

typedef struct Rig {
    Machine *m;
    Loop *loop;
    Echo *echo;
    DummyProgram prog;
    unsigned shutdowns, resets, states, accels;
    int status;
} Rig;

static void on_event(void *opaque, Machine *m, const MachineEvent *ev)
{
    Rig *r = opaque;
    r->shutdowns += ev->kind == MACHINE_EV_SHUTDOWN;
    r->resets += ev->kind == MACHINE_EV_RESET;
    r->states += ev->kind == MACHINE_EV_STATE;
    r->accels += ev->kind == MACHINE_EV_ACCEL;
    if (ev->kind == MACHINE_EV_SHUTDOWN)
        r->status = ev->exit_status;
}

static void rig_up(Rig *r, const DummyInsn *code, unsigned n, unsigned vcpus, const AccelOps *accel, const AccelOps *assist)
{
    memset(r, 0, sizeof(*r));
    r->loop = loop_new(NULL);
    r->m = machine_new(&(MachineConfig){ .name = "rig", .loop = r->loop, .n_vcpus = vcpus, .cpu = &dummy_cpu, .accel = accel, .assist = assist }, NULL);
    CHECK(r->m);
    machine_listen(r->m, on_event, r);
    r->prog = (DummyProgram){ code, n };
    for (unsigned i = 0; i < vcpus; i++)
        machine_vcpu(r->m, i)->model = &r->prog;
    Device *dev = device_new(r->m, &echo_class, "echo0", NULL);
    r->echo = (Echo *)dev;
    r->echo->m = r->m;
    CHECK(device_realize(dev, NULL, NULL));
    mem_region_add(machine_io_root(r->m), 0x100, device_pio(dev, 0), 0);
    CHECK(machine_complete(r->m, NULL));
    CHECK_EQ(machine_state(r->m), MACHINE_PRELAUNCH);
}

static void rig_down(Rig *r)
{
    machine_free(r->m);
    loop_unref(r->loop);
}

static DummyState *state_of(Rig *r, unsigned i)
{
    CHECK(vcpu_state_need(machine_vcpu(r->m, i), dummy_cpu.groups_all, NULL));
    return machine_vcpu(r->m, i)->state;
}

static uint64_t count_of(Rig *r, unsigned i)
{
    machine_pause(r->m, PAUSE_USER);
    uint64_t n = state_of(r, i)->count;
    CHECK(machine_cont(r->m, NULL));
    return n;
}

static void spin_loop(Rig *r)
{
    while (loop_iterate(r->loop, false))
        ;
    g_usleep(200);
}

/* An item queued by an OUT has run before the same vCPU's next instruction, and nobody else was in guest code meanwhile. */
static void test_work_items(const AccelOps *accel)
{
    static const DummyInsn code[] = { { OP_INC, 0 }, { OP_OUT, 0x100 }, { OP_IN, 0x104 }, { OP_CHECK, 0 } };
    Rig r;
    rig_up(&r, code, 4, 1, accel, NULL);
    CHECK(machine_cont(r.m, NULL));
    while (atomic_load(&r.echo->items) < 500)
        spin_loop(&r);
    CHECK_EQ(machine_state(r.m), MACHINE_RUNNING);
    rig_down(&r);

    static const DummyInsn storm[] = { { OP_INC, 0 }, { OP_OUT, 0x100 } };
    rig_up(&r, storm, 2, 4, accel, NULL);
    CHECK(machine_cont(r.m, NULL));
    while (atomic_load(&r.echo->items) < 500)
        spin_loop(&r);
    for (unsigned i = 0; i < 20; i++) {     /* from outside too */
        EchoItem *it = g_new(EchoItem, 1);
        *it = (EchoItem){ r.echo, 0 };
        machine_run_work(r.m, echo_item, it);
    }
    rig_down(&r);
}

static void noop_item(Machine *m, void *opaque)
{
    atomic_fetch_add((_Atomic int *)opaque, 1);
}

static void test_halt(const AccelOps *accel)
{
    static const DummyInsn code[] = { { OP_INC, 0 }, { OP_HLT, 0 } };
    _Atomic int n = 0;
    Rig r;
    rig_up(&r, code, 2, 2, accel, NULL);
    CHECK(machine_cont(r.m, NULL));
    for (unsigned i = 0; i < 50; i++) {
        machine_run_work(r.m, noop_item, &n);       /* all halted: runs here */
        machine_queue_work(r.m, noop_item, &n);     /* or on the loop */
        vcpu_raise(machine_vcpu(r.m, 0), VCPU_EV_INTR, 0);
        spin_loop(&r);
    }
    for (unsigned i = 0; i < 500000 && atomic_load(&n) < 100; i++)
        spin_loop(&r);
    CHECK_EQ(n, 100);
    uint64_t irqs = 0;
    for (unsigned i = 0; i < 500000 && irqs < 10; i++) {      /* each wakes the sleeper; several may become one */
        vcpu_raise(machine_vcpu(r.m, 0), VCPU_EV_INTR, 0);
        g_usleep(200);
        machine_pause(r.m, PAUSE_USER);
        irqs = state_of(&r, 0)->irqs;
        CHECK(machine_cont(r.m, NULL));
    }
    CHECK(irqs >= 10);
    machine_pause(r.m, PAUSE_USER);
    CHECK_EQ(state_of(&r, 1)->irqs, 0);
    rig_down(&r);
}

static void test_lifecycle(const AccelOps *accel)
{
    static const DummyInsn code[] = { { OP_INC, 0 }, { OP_JMP, 0 } };
    static const DummyInsn resets[] = { { OP_INC, 0 }, { OP_OUT, 0x108 } };
    static const DummyInsn exits[] = { { OP_INC, 0 }, { OP_OUT, 0x10c }, { OP_INC, 0 } };
    static const DummyInsn triple[] = { { OP_INC, 0 }, { OP_TRIPLE, 0 } };
    Rig r;
    rig_up(&r, code, 2, 2, accel, NULL);
    CHECK(machine_cont(r.m, NULL));
    CHECK(!machine_cont(r.m, NULL));
    uint64_t before = count_of(&r, 1);
    machine_pause(r.m, PAUSE_USER);
    int64_t t = mclock_now(machine_clock(r.m), CLOCK_KIND_VIRTUAL);
    uint64_t n = state_of(&r, 0)->count;
    g_usleep(2000);
    CHECK_EQ(state_of(&r, 0)->count, n);
    CHECK_EQ(mclock_now(machine_clock(r.m), CLOCK_KIND_VIRTUAL), t);
    CHECK(!strcmp(machine_state_name(r.m), "paused"));
    CHECK(machine_cont(r.m, NULL));
    while (count_of(&r, 1) <= before)
        ;
    spin_loop(&r);
    CHECK(r.states >= 5);
    rig_down(&r);

    rig_up(&r, resets, 2, 2, accel, NULL);
    CHECK(machine_cont(r.m, NULL));
    while (r.resets < 20)
        spin_loop(&r);
    CHECK(atomic_load(&r.echo->resets) >= 20 && !atomic_load(&r.echo->early));
    machine_pause(r.m, PAUSE_USER);
    CHECK(state_of(&r, 0)->count <= 1 && state_of(&r, 1)->count <= 1);
    rig_down(&r);

    rig_up(&r, exits, 3, 1, accel, NULL);
    CHECK(machine_cont(r.m, NULL));
    while (!r.shutdowns)
        spin_loop(&r);
    CHECK_EQ(r.status, 3);
    CHECK_EQ(machine_state(r.m), MACHINE_SHUTDOWN);
    CHECK_EQ(state_of(&r, 0)->count, 1);            /* not one instruction more */
    CHECK(!machine_cont(r.m, NULL));
    rig_down(&r);

    rig_up(&r, triple, 2, 1, accel, NULL);
    CHECK(machine_cont(r.m, NULL));
    while (r.resets < 5)
        spin_loop(&r);
    rig_down(&r);
}

/* ---- engines ---- */

static void test_handover(void)
{
    static const DummyInsn code[] = { { OP_INC, 0 }, { OP_HARD, 0 }, { OP_INC, 0 }, { OP_INC, 0 } };
    Rig r;
    rig_up(&r, code, 4, 2, &dummy_copy, &dummy_inplace);
    CHECK(machine_cont(r.m, NULL));
    while (count_of(&r, 0) < 60 || count_of(&r, 1) < 60)
        spin_loop(&r);
    machine_pause(r.m, PAUSE_USER);
    for (unsigned i = 0; i < 2; i++) {
        DummyState *s = state_of(&r, i);
        CHECK(s->hard > 10);
        CHECK_EQ(s->count, s->pc);                  /* nothing lost, nothing twice */
        CHECK(s->hard == s->pc / 4 || s->hard == s->pc / 4 + 1);
    }
    CHECK(!strcmp(machine_accel_name(r.m), "copy"));
    g_autofree char *stats = machine_exit_stats(r.m);
    CHECK(strstr(stats, "handovers: ") && strstr(stats, "handover insn 0f: "));
    rig_down(&r);

    rig_up(&r, code, 4, 1, &dummy_copy, NULL);      /* nobody to help */
    CHECK(machine_cont(r.m, NULL));
    while (machine_state(r.m) != MACHINE_PAUSED)
        spin_loop(&r);
    CHECK(!strcmp(machine_state_name(r.m), "internal-error"));
    rig_down(&r);
}

static void test_switch(void)
{
    static const DummyInsn code[] = { { OP_INC, 0 }, { OP_INC, 0 }, { OP_HARD, 0 }, { OP_INC, 0 } };
    Rig r;
    rig_up(&r, code, 4, 2, &dummy_copy, &dummy_inplace);
    machine_set_switch_period(r.m, 500);
    CHECK(machine_cont(r.m, NULL));
    while (r.accels < 50)
        spin_loop(&r);
    machine_pause(r.m, PAUSE_USER);
    for (unsigned i = 0; i < 2; i++) {
        DummyState *s = state_of(&r, i);
        CHECK_EQ(s->count, s->pc);
        CHECK(machine_vcpu(r.m, i)->stats.switches >= 50);
    }
    rig_down(&r);
}

/* ---- memory changed by the guest ---- */

static void test_remap_while_running(void)
{
    static const DummyInsn code[] = { { OP_INC, 0 }, { OP_IN, 0x104 } };
    Rig r;
    rig_up(&r, code, 2, 2, &dummy_inplace, NULL);
    CHECK(machine_cont(r.m, NULL));
    for (unsigned i = 0; i < 100; i++) {
        mem_region_set_offset(device_pio(&r.echo->dev, 0), i & 1 ? 0x100 : 0x200);
        machine_flush_work(r.m);
    }
    CHECK(machine_del_device(r.m, "echo0", NULL));
    while (!count_of(&r, 0))
        ;
    rig_down(&r);
}

/* ---- snapshot ---- */

typedef struct Tape {
    GPtrArray *names, *data;
    guint at;
} Tape;

static int tape_section(void *opaque, const char *name, unsigned version, const void *data, size_t len)
{
    Tape *t = opaque;
    g_ptr_array_add(t->names, g_strdup(name));
    g_ptr_array_add(t->data, g_byte_array_append(g_byte_array_new(), data, (guint)len));
    return 0;
}

static int tape_next(void *opaque, char **ret_name, unsigned *ret_version, GByteArray **ret_data)
{
    Tape *t = opaque;
    if (t->at == t->names->len)
        return 0;
    *ret_name = g_strdup(g_ptr_array_index(t->names, t->at));
    *ret_version = 1;
    *ret_data = g_byte_array_ref(g_ptr_array_index(t->data, t->at++));
    return 1;
}

static void test_snapshot(void)
{
    static const DummyInsn code[] = { { OP_INC, 0 } };
    Tape t = { g_ptr_array_new_with_free_func(g_free), g_ptr_array_new_with_free_func((GDestroyNotify)g_byte_array_unref), 0 };
    StateSink sink = { tape_section, NULL, &t };
    StateSource src = { tape_next, &t };
    Rig r, q;
    rig_up(&r, code, 1, 1, &dummy_copy, NULL);
    r.echo->saved = 0x1234;
    CHECK(machine_cont(r.m, NULL));
    CHECK(!machine_save_devices(r.m, &sink, NULL));         /* running */
    while (count_of(&r, 0) == 0)
        ;
    machine_pause(r.m, PAUSE_SAVE);
    CHECK(machine_save_devices(r.m, &sink, NULL));
    rig_up(&q, code, 1, 1, &dummy_inplace, NULL);
    CHECK(machine_load_devices(q.m, &src, NULL));
    CHECK_EQ(state_of(&q, 0)->count, state_of(&r, 0)->count);
    CHECK_EQ(q.echo->saved, 0x1234);
    t.at = 1;                                               /* the clock is missing */
    GError *err = NULL;
    CHECK(!machine_load_devices(q.m, &src, &err) && strstr(err->message, "clock"));
    g_clear_error(&err);
    CHECK_EQ(q.echo->saved, 0x1234);
    memset(((GByteArray *)t.data->pdata[0])->data + 7, 0x80, 1);     /* a time that no machine has */
    t.at = 0;
    CHECK(!machine_load_devices(q.m, &src, &err) && strstr(err->message, "clock"));
    g_clear_error(&err);
    rig_down(&q);
    rig_down(&r);
    g_ptr_array_unref(t.names);
    g_ptr_array_unref(t.data);
}

/* ---- everything at once ---- */

static void storm_step(Rig *r, GRand *rand, _Atomic int *n)
{
    EchoItem *it;
    switch (g_rand_int(rand) % 10) {
    case 0: machine_pause(r->m, PAUSE_USER); break;
    case 1: machine_request_reset(r->m, CAUSE_HOST_MONITOR); break;
    case 2: machine_request_switch(r->m, g_rand_int(rand) & 1 ? &dummy_copy : &dummy_inplace); break;
    case 3: mem_region_set_enabled(device_pio(&r->echo->dev, 0), g_rand_int(rand) & 1); break;
    case 4: vcpu_raise(machine_vcpu(r->m, g_rand_int(rand) % 3), VCPU_EV_INTR, 0); break;
    case 5: g_free(machine_exit_stats(r->m)); break;
    case 6: machine_request_pause(r->m, PAUSE_DEBUG); break;
    case 7: machine_io_error(r->m, "echo0"); break;
    case 8:
        it = g_new(EchoItem, 1);
        *it = (EchoItem){ r->echo, 1 };
        machine_run_work(r->m, echo_item, it);
        break;
    default: machine_queue_work(r->m, noop_item, n); break;
    }
}

static void test_storm(unsigned seed)
{
    static const DummyInsn code[] = { { OP_INC, 0 }, { OP_OUT, 0x100 }, { OP_HARD, 0 }, { OP_IN, 0x104 }, { OP_HLT, 0 }, { OP_INC, 0 } };
    Rig r;
    _Atomic int n = 0;
    GRand *rand = g_rand_new_with_seed(seed);
    rig_up(&r, code, 6, 3, &dummy_copy, &dummy_inplace);
    machine_set_exit_timing(r.m, true);
    for (unsigned i = 0; i < 400; i++) {
        storm_step(&r, rand, &n);
        machine_cont(r.m, NULL);
        vcpu_raise(machine_vcpu(r.m, i % 3), VCPU_EV_NMI, 0);
        while (loop_iterate(r.loop, false))
            ;
    }
    rig_down(&r);
    g_rand_free(rand);
}

/* ---- two machines in one process ---- */

static void *whole_life(void *opaque)
{
    test_work_items(&dummy_copy);
    test_lifecycle(&dummy_inplace);
    test_handover();
    return NULL;
}

static void test_two_machines(void)
{
    pthread_t t[2];
    for (unsigned i = 0; i < 2; i++)
        pthread_create(&t[i], NULL, whole_life, NULL);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
}

int main(void)
{
    const AccelOps *const engines[] = { &dummy_copy, &dummy_inplace };
    for (unsigned i = 0; i < 2; i++) {
        test_work_items(engines[i]);
        test_halt(engines[i]);
        test_lifecycle(engines[i]);
    }
    test_handover();
    test_switch();
    test_remap_while_running();
    test_snapshot();
    for (unsigned seed = 1; seed <= 5; seed++)
        test_storm(seed);
    test_two_machines();
    puts("machine: ok");
    return 0;
}
