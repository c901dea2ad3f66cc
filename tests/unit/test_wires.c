/* Interrupt wires, resampling, MSI routing, clocks and timers, character devices, network ports, input. */
#include <pthread.h>
#include <string.h>

#include "tests/unit/check.h"
#include "vmm/chardev.h"
#include "vmm/clock.h"
#include "vmm/input.h"
#include "vmm/irq.h"
#include "vmm/netdev.h"

/* ---- wires ---- */

typedef struct Sink {
    IrqFabric *f;
    Irq *chain;             /* driven on from inside the handler */
    unsigned edges[4];
    bool level[4];
} Sink;

static void on_wire(void *opaque, unsigned n, bool level)
{
    Sink *s = opaque;
    CHECK(devlock_held(irq_fabric_devlock(s->f)));
    CHECK(s->level[n] != level);
    s->level[n] = level;
    s->edges[n] += level;
    if (n == 0)
        irq_set_locked(s->chain, level);
}

static void count_call(void *opaque)
{
    ++*(unsigned *)opaque;
}

static void on_msi(void *opaque, uint64_t addr, uint32_t data, uint32_t from)
{
    CHECK(addr == 0xfee00000 && data == 0x41);
    ++*(unsigned *)opaque;
}

static void engine_gsi(void *opaque, unsigned gsi, bool level)
{
    *(int *)opaque = level ? (int)gsi : -1;
}

static void *toggle(void *opaque)
{
    for (unsigned i = 0; i < 20000; i++) {
        irq_set(opaque, true);
        irq_set(opaque, false);
    }
    return NULL;
}

static void test_wires(void)
{
    IrqFabric *f = irq_fabric_new();
    Sink s = { .f = f };
    IrqWire *w[2] = { irq_wire_new(f, on_wire, &s, 0), irq_wire_new(f, on_wire, &s, 1) };
    Irq *a = irq_new(), *b = irq_new();
    unsigned calls = 0;
    s.chain = irq_new();
    irq_connect(s.chain, w[1]);
    irq_set(a, true);               /* unconnected */
    irq_connect(a, w[0]);           /* the level carries over */
    irq_connect(b, w[0]);
    CHECK(s.level[0] && s.level[1]);
    irq_set(b, true);
    irq_set(a, false);
    CHECK(s.level[0]);              /* ORed */
    irq_set(b, false);
    CHECK(!s.level[0] && !s.level[1]);
    CHECK_EQ(s.edges[0], 1);
    irq_pulse(a);
    CHECK_EQ(s.edges[1], 2);

    irq_set_resample(b, count_call, &calls);
    irq_set(b, true);
    irq_fabric_lock(f);
    irq_wire_eoi_locked(w[0]);
    CHECK(!s.level[0] && calls == 0);
    irq_fabric_unlock(f);
    CHECK_EQ(calls, 1);
    irq_set(b, true);
    irq_connect(b, NULL);           /* takes its level along */
    CHECK(!s.level[0]);
    irq_set_resample(b, NULL, NULL);
    irq_set(b, false);
    irq_connect(b, w[0]);

    pthread_t t[2];
    pthread_create(&t[0], NULL, toggle, a);
    pthread_create(&t[1], NULL, toggle, b);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    CHECK(!s.level[0] && !irq_wire_level(w[0]));

    irq_free(a);
    irq_free(b);
    irq_free(s.chain);
    irq_fabric_free(f);
}

static void test_owner(void)
{
    static const IrqEngineOps engine = { .gsi = engine_gsi };
    unsigned msis = 0;
    IrqFabric *f = irq_fabric_new();
    irq_fabric_set_msi(f, on_msi, &msis);
    irq_fabric_msi(f, 0xfee00000, 0x41, 0);
    CHECK_EQ(msis, 1);
    int gsi = 0;
    irq_fabric_lock(f);
    CHECK(!irq_fabric_engine_gsi_locked(f, 9, true));
    irq_fabric_unlock(f);
    irq_fabric_set_engine(f, &engine, &gsi);
    irq_fabric_set_owner(f, IRQ_OWNER_ENGINE);
    irq_fabric_lock(f);
    CHECK(irq_fabric_engine_gsi_locked(f, 9, true) && gsi == 9);
    irq_fabric_unlock(f);
    irq_fabric_free(f);
}

/* Another thread's changes while the fabric is held arrive afterwards, edges too. */
typedef struct Mover { IrqFabric *f; Irq *out[3]; } Mover;

static void *while_held(void *opaque)
{
    Mover *m = opaque;
    irq_set(m->out[0], true);
    irq_pulse(m->out[1]);
    irq_set(m->out[2], false);
    irq_set(m->out[2], true);
    for (unsigned i = 0; i < 3; i++)
        irq_fabric_msi(m->f, 0xfee00000, 0x41, 0);
    return NULL;
}

static void test_hold(void)
{
    unsigned msis = 0;
    Sink s = { .f = irq_fabric_new() };
    Mover m = { .f = s.f };
    irq_fabric_set_msi(s.f, on_msi, &msis);
    for (unsigned i = 0; i < 3; i++) {
        m.out[i] = irq_new();
        irq_connect(m.out[i], irq_wire_new(s.f, on_wire, &s, i + 1));
    }
    Irq *own = irq_new();
    irq_connect(own, irq_wire_new(s.f, on_wire, &s, 0));
    irq_set(m.out[2], true);
    irq_fabric_hold(s.f);
    pthread_t t;
    pthread_create(&t, NULL, while_held, &m);
    pthread_join(t, NULL);
    CHECK(!s.level[1] && !s.edges[2] && s.edges[3] == 1 && msis == 0);
    irq_set(own, true);                 /* the holder's go through */
    irq_fabric_msi(s.f, 0xfee00000, 0x41, 0);
    CHECK(s.level[0] && msis == 1);
    irq_fabric_release(s.f);
    CHECK(s.level[1] && s.edges[1] == 1);
    CHECK(!s.level[2] && s.edges[2] == 1);
    CHECK(s.level[3] && s.edges[3] == 2);
    CHECK_EQ(msis, 2);
    irq_set(m.out[0], false);
    CHECK(!s.level[1]);
    for (unsigned i = 0; i < 3; i++)
        irq_free(m.out[i]);
    irq_free(own);
    irq_fabric_free(s.f);
}

/* ---- clock ---- */

typedef struct Ticker {
    MachineClock *c;
    Timer *t;
    unsigned fired;
    int64_t at[8];
} Ticker;

static void tick(void *opaque)
{
    Ticker *k = opaque;
    CHECK(k->fired < 8);
    k->at[k->fired++] = mclock_now(k->c, CLOCK_KIND_VIRTUAL);
    if (k->fired < 3)
        timer_arm(k->t, k->at[k->fired - 1] + 100);
}

static void test_manual_clock(void)
{
    Ticker k = { .c = mclock_new(NULL) };
    DevLock *lock = devlock_new();
    mclock_set_manual(k.c);
    k.t = timer_new(k.c, CLOCK_KIND_VIRTUAL, lock, tick, &k);
    timer_arm(k.t, 50);
    mclock_advance(k.c, 49);
    CHECK_EQ(k.fired, 0);
    mclock_advance(k.c, 1000);
    CHECK(k.fired == 3 && k.at[0] == 50 && k.at[1] == 150 && k.at[2] == 250);
    CHECK(!timer_armed(k.t));

    /* State table round trip. */
    GByteArray *out = g_byte_array_new();
    const FieldDesc table[] = { FIELD_TIMER(Ticker, t), { 0 } };
    timer_arm(k.t, 7777);
    fields_save(table, &k, out);
    timer_cancel(k.t);
    CHECK(fields_load(table, &k, 1, out->data, out->len, NULL));
    CHECK_EQ(timer_deadline(k.t), 7777);
    g_byte_array_unref(out);

    devlock_retire(lock);           /* the device is gone: the timer no longer calls it */
    mclock_advance(k.c, 1);
    timer_free(k.t);
    mclock_free(k.c);
    devlock_unref(lock);
}

static void stop_loop(void *opaque)
{
    loop_quit(opaque);
}

static void test_running_clock(void)
{
    Loop *loop = loop_new(NULL);
    MachineClock *c = mclock_new(loop);
    Timer *t = timer_new(c, CLOCK_KIND_VIRTUAL, NULL, stop_loop, loop);
    timer_arm(t, 3 * NS_PER_MS);
    g_usleep(5000);
    while (loop_iterate(loop, false))
        ;
    CHECK(timer_armed(t));          /* virtual time stands still */
    CHECK_EQ(mclock_now(c, CLOCK_KIND_VIRTUAL), 0);
    mclock_start(c);
    loop_run(loop);
    CHECK(mclock_now(c, CLOCK_KIND_VIRTUAL) >= 3 * NS_PER_MS && !timer_armed(t));
    mclock_stop(c);
    int64_t now = mclock_now(c, CLOCK_KIND_VIRTUAL);
    g_usleep(1000);
    CHECK_EQ(mclock_now(c, CLOCK_KIND_VIRTUAL), now);
    timer_free(t);

    CHECK_EQ(mclock_ticks_to_ns(1193182, 1193182), NS_PER_SEC);
    CHECK_EQ(mclock_ns_to_ticks(mclock_ticks_to_ns_up(12345, 1193182), 1193182), 12345);
    CHECK_EQ(mclock_ticks_to_ns(UINT64_MAX, 1), INT64_MAX);
    uint64_t hz = mclock_tsc_hz(c);
    CHECK(hz > 100000000 && hz < 20000000000ull);
    for (unsigned i = 0; i < 5; i++) {      /* one second of TSC is one second of kvmclock */
        PvClockData pv;
        mclock_set_tsc_hz(c, hz / (1 + i * i) + i);
        mclock_pvclock(c, 0, &pv);
        uint64_t tsc = mclock_tsc_hz(c);
        uint64_t scaled = pv.tsc_shift < 0 ? tsc >> -pv.tsc_shift : tsc << pv.tsc_shift;
        int64_t ns = (int64_t)((unsigned __int128)scaled * pv.tsc_to_system_mul >> 32);
        CHECK(ABS(ns - NS_PER_SEC) < 10);
    }
    mclock_free(c);
    loop_unref(loop);
}

/* ---- character devices ---- */

typedef struct Ends {
    DevLock *lock;
    uint8_t got[16];
    size_t n_got, room;
    unsigned opened, closed, accepts;
    size_t wrote;
} Ends;

static size_t front_room(void *opaque)
{
    Ends *e = opaque;
    CHECK(devlock_held(e->lock));
    return e->room;
}

static void front_receive(void *opaque, const uint8_t *buf, size_t len)
{
    Ends *e = opaque;
    CHECK(len <= e->room);
    memcpy(e->got + e->n_got, buf, len);
    e->n_got += len;
    e->room -= len;
}

static void front_event(void *opaque, CharEvent ev)
{
    Ends *e = opaque;
    e->opened += ev == CHAR_OPENED;
    e->closed += ev == CHAR_CLOSED;
}

static ssize_t back_write(void *opaque, const uint8_t *buf, size_t len)
{
    ((Ends *)opaque)->wrote += MIN(len, 3u);
    return (ssize_t)MIN(len, 3u);
}

static void back_accept(void *opaque)
{
    ((Ends *)opaque)->accepts++;
}

static void test_chardev(void)
{
    static const CharFrontOps front = { front_room, front_receive, front_event, NULL };
    static const CharBackOps back = { .write = back_write, .accept_input = back_accept };
    Ends e = { .lock = devlock_new(), .room = 4 };
    CharDev *cd = chardev_new("c0", &back, &e);
    CHECK_EQ(chardev_receive(cd, (const uint8_t *)"x", 1), 0);      /* nobody there */
    chardev_event(cd, CHAR_OPENED);
    CHECK(chardev_attach(cd, &front, &e, e.lock));
    CHECK(!chardev_attach(cd, &front, &e, e.lock));
    CHECK_EQ(e.opened, 1);
    CHECK_EQ(chardev_can_receive(cd), 4);
    CHECK_EQ(chardev_receive(cd, (const uint8_t *)"hello", 5), 4);
    CHECK(!memcmp(e.got, "hell", 4));
    CHECK_EQ(chardev_write(cd, (const uint8_t *)"abcde", 5), 3);
    chardev_accept_input(cd);
    CHECK_EQ(e.accepts, 1);
    chardev_event(cd, CHAR_CLOSED);
    CHECK(e.closed == 1 && !chardev_is_open(cd));
    chardev_detach(cd);
    CHECK_EQ(chardev_can_receive(cd), 0);
    chardev_free(cd);
    CHECK_EQ(chardev_write(NULL, (const uint8_t *)"abc", 3), 3);
    devlock_unref(e.lock);
}

/* ---- network ---- */

typedef struct Nic {
    unsigned frames, links, room;
    size_t bytes;
} Nic;

static ssize_t nic_receive(void *opaque, const struct iovec *iov, unsigned n, const NetOffload *off)
{
    Nic *nic = opaque;
    size_t len = 0;
    if (!nic->room)
        return 0;
    nic->room--;
    for (unsigned i = 0; i < n; i++)
        len += iov[i].iov_len;
    nic->frames++;
    nic->bytes += len;
    return (ssize_t)len;
}

static void nic_link(void *opaque, bool up)
{
    ((Nic *)opaque)->links++;
}

static void test_net(void)
{
    static const NetPortOps ops = { nic_receive, nic_link, NULL };
    Nic n[2] = { { .room = 2 }, { .room = 2 } };
    NetPort *a = netport_new("a", &ops, &n[0], NULL, false), *b = netport_new("b", &ops, &n[1], NULL, true);
    char frame[60] = { 0 };
    struct iovec iov[2] = { { frame, 14 }, { frame, 46 } };
    CHECK_EQ(netport_send(a, iov, 2, NULL), 60);        /* no peer: gone */
    CHECK(netport_connect(a, b) && !netport_connect(a, b));
    CHECK(netport_peer_offloads(a) && !netport_peer_offloads(b));
    CHECK_EQ(netport_send(a, iov, 2, NULL), 60);
    CHECK_EQ(netport_send(a, iov, 2, NULL), 60);
    CHECK(netport_can_send(a));
    for (unsigned i = 0; i < 300; i++)
        netport_send(a, iov, 2, NULL);
    CHECK(!netport_can_send(a));
    CHECK_EQ(netport_dropped(a), 300 - 256);
    n[1].room = 1000;
    netport_flush(b);
    CHECK(n[1].frames == 258 && n[1].bytes == 258 * 60 && netport_can_send(a));
    netport_set_link(b, false);
    CHECK(n[0].links == 1 && n[1].links == 1 && !netport_link(a));
    CHECK_EQ(netport_send(a, iov, 2, NULL), 60);
    CHECK_EQ(n[1].frames, 258);
    netport_free(a);
    CHECK(!netport_peer(b));
    netport_free(b);
}

/* ---- input ---- */

static void got_key(void *opaque, unsigned code, bool down)
{
    *(int *)opaque = down ? (int)code : -(int)code;
}

static void test_input(void)
{
    static const InputSinkOps ops = { .key = got_key };
    int one = 0, two = 0;
    InputHub *h = input_hub_new();
    input_key(h, 30, true);
    InputSink *s1 = input_sink_add(h, INPUT_KEYS, &ops, &one, NULL), *s2 = input_sink_add(h, INPUT_KEYS | INPUT_REL, &ops, &two, NULL);
    input_key(h, 30, true);
    CHECK(one == 0 && two == 30);                       /* the last one wins */
    input_rel(h, 1, 1, 0);
    CHECK(input_wants(h, INPUT_REL) && !input_wants(h, INPUT_ABS));
    input_sink_remove(s2);
    input_key(h, 30, false);
    CHECK_EQ(one, -30);
    input_sink_remove(s1);
    input_hub_free(h);
}

int main(void)
{
    test_wires();
    test_owner();
    test_hold();
    test_manual_clock();
    test_running_clock();
    test_chardev();
    test_net();
    test_input();
    puts("wires: ok");
    return 0;
}
