/*
 * KVM's 8254. It can only be loaded with a full count, so one that moves here in the middle of a period ends that much later; the part that had gone
 * by is remembered and added when it moves away, with the tick that is due by then. Ticks are neither lost nor invented over many moves. A counter at rest
 * (it has ended, or got a control word only) cannot be put in at all: it gets the longest count, 55 ms, and is taken out as it was. How far counter 0 is KVM
 * tells only to its vCPUs, by a latched count, and whether a one-shot that the guest loaded has ended not at all: a guest that moves just then stands still
 * until it is clear, at most those 55 ms.
 */
#include <sys/ioctl.h>

#include "accel/kvm/kvm-internal.h"
#include "cpu/x86/irqchip.h"
#include "vmm/clock.h"

enum { HZ = 1193182, NEVER_LOADED = 0xff, P61_GATE2 = 1, P61_SPEAKER = 2, SETTLE_US = 100, SETTLE_TRIES = 20, SLACK = 60 };

static int64_t host_ns(KvmVm *vm) { return mclock_now(machine_clock(vm->m), CLOCK_KIND_HOST); }
static uint64_t virtual_ticks(KvmVm *vm) { return mclock_ns_to_ticks(mclock_now(machine_clock(vm->m), CLOCK_KIND_VIRTUAL), HZ); }
static bool periodic(unsigned mode) { return mode == 2 || mode == 3; }
static bool hw_triggered(unsigned mode) { return mode == 1 || mode == 5; }

/* Ticks that an armed counter has run. */
static uint64_t gone(const X86PitChannel *c, uint64_t now)
{
    bool running = c->loaded && (c->gate || hw_triggered(c->mode));
    return !running ? c->elapsed : (int64_t)(now - c->start) < 0 ? 0 : now - c->start;
}

static uint32_t length(const struct kvm_pit_channel_state *k) { return k->count ? k->count : 65536; }

static void channel_to(struct kvm_pit_channel_state *k, const X86PitChannel *c)
{
    *k = (struct kvm_pit_channel_state){
        .count = c->next_count & 0xffff, .latched_count = c->latch, .count_latched = !c->latched ? 0 : c->latched == 1 && c->rw == 3 ? 2 : c->rw, .status_latched = c->status_latched,
        .status = c->status, .read_state = c->rw == 3 ? (c->read_msb ? 4 : 3) : c->rw, .write_state = c->rw == 3 ? (c->write_msb ? 4 : 3) : c->rw,
        .write_latch = c->write_low, .rw_mode = c->rw, .mode = c->armed ? c->mode : NEVER_LOADED, .bcd = c->bcd, .gate = c->gate,
    };
    if (!c->armed && !(c->mode == 3 && c->rw == 3))
        k->mode = c->mode;
}

bool kvm_pit_in(KvmVm *vm, const X86PitState *s, uint64_t tick, GError **err)
{
    struct kvm_pit_state2 k = { .flags = s->port61 & P61_SPEAKER ? KVM_PIT_FLAGS_SPEAKER_DATA_ON : 0 };
    uint64_t since = virtual_ticks(vm) - tick;
    for (unsigned n = 0; n < 3; n++) {
        const X86PitChannel *c = &s->ch[n];
        uint64_t e = c->armed ? gone(c, tick) : 0;
        channel_to(&k.channels[n], c);
        vm->pit_rest[n] = !c->armed ? PIT_EMPTY : !periodic(c->mode) && e >= c->count ? PIT_ENDED : PIT_RUNS;
        vm->pit_shift[n] = vm->pit_rest[n] == PIT_EMPTY ? 0 : vm->pit_rest[n] == PIT_ENDED ? c->count : e % c->count + since;
        if (vm->pit_rest[n] != PIT_RUNS)
            k.channels[n].count = 0;
    }
    int64_t start = host_ns(vm);
    if (ioctl(vm->fd, KVM_SET_PIT2, &k) < 0 || ioctl(vm->fd, KVM_GET_PIT2, &k) < 0)
        return kvm_fail(err, "writing the interval timer");
    vm->pit_loaded_end = host_ns(vm);
    for (unsigned n = 0; n < 3; n++)
        vm->pit_loaded[n] = n ? k.channels[n].count_load_time : start;
    vm->pit_count = length(&k.channels[0]);
    vm->pit_mode = k.channels[0].mode;
    return true;
}

/* @stopped: host time at which the counter was halted and after which KVM has sent nothing. */
/* Where a counter is: ticks it has run at host time @at (known to +-@margin ns), and whether that is since we loaded it. */
typedef struct Phase { uint64_t run; int64_t at, margin; bool same; } Phase;

static uint64_t to_ticks(int64_t ns) { return mclock_ns_to_ticks(MAX(ns, 0), HZ); }
static uint64_t run_at(const Phase *p, int64_t ns) { return p->run + to_ticks(ns - p->at); }

/* KVM keeps no load time of counter 0, so its vCPU latches the count: ticks of the present period. False: the guest has one latched, or it failed. */
static bool latched_phase(KvmVm *vm, const struct kvm_pit_channel_state *k, uint64_t *ret)
{
    struct kvm_pit_state2 after;
    uint64_t n = length(k);
    if (k->count_latched || k->mode == NEVER_LOADED || !kvm_pit_latch(vm->ec[0]) || ioctl(vm->fd, KVM_GET_PIT2, &after) < 0 || !after.channels[0].count_latched)
        return false;
    uint64_t d = (n - after.channels[0].latched_count) & 0xffff;
    *ret = k->mode == 3 ? d / 2 : d;
    return true;
}

static bool in_use(const struct kvm_pit_channel_state *k) { return k->mode != NEVER_LOADED; }

/* @ret_newest: if the guest loaded it meanwhile, it cannot have run longer. */
static Phase counter0(KvmVm *vm, const struct kvm_pit_channel_state *k, uint64_t *ret_newest)
{
    uint64_t n = length(k), d = 0;
    int64_t start = host_ns(vm);
    bool known = latched_phase(vm, k, &d);
    int64_t end = host_ns(vm);
    Phase p = { .at = (start + end) / 2, .margin = (end - start) / 2, .same = n == vm->pit_count && k->mode == vm->pit_mode };
    uint64_t least = to_ticks(start - vm->pit_loaded_end), most = to_ticks(end - vm->pit_loaded[0]), from = least > SLACK ? least - SLACK : 0;
    *ret_newest = most;
    p.run = to_ticks(p.at - vm->pit_loaded_end);
    for (uint64_t c = d; known && c < n; c += k->mode == 3 ? n / 2 + 1 : n) {
        p.run = from + (c + n - from % n) % n;
        if (p.same && p.run <= most + SLACK)
            return p;
    }
    if (known)
        p = (Phase){ .run = d, .at = p.at, .margin = p.margin };
    return p;
}

/*
 * A one-shot that the guest loaded may have ended a period ago, for all that its phase says. If it has not, it will: then the 8259 gets an edge. All vCPUs
 * are at rest, so nobody takes it away.
 */
static bool ends_yet(KvmVm *vm, const Phase *p, uint64_t n)
{
    struct kvm_irqchip k = { .chip_id = KVM_IRQCHIP_PIC_MASTER };
    if (ioctl(vm->fd, KVM_GET_IRQCHIP, &k) < 0)
        return true;
    uint8_t before = k.chip.pic.irr & 1;
    k.chip.pic.irr &= (__u8)~1;
    ioctl(vm->fd, KVM_SET_IRQCHIP, &k);
    bool ended = false;
    while (!ended && run_at(p, host_ns(vm) - SETTLE_US * 2000) < n) {
        g_usleep(SETTLE_US * 5);
        ended = ioctl(vm->fd, KVM_GET_IRQCHIP, &k) == 0 && k.chip.pic.irr & 1;
    }
    if (before) {
        k.chip.pic.irr |= 1;
        ioctl(vm->fd, KVM_SET_IRQCHIP, &k);
    }
    return ended;
}

/*
 * Halt counter 0. KVM's timer of the host may be late, and is taken away unseen if it is: not close to an end. What a worker thread of KVM's has not
 * sent yet it sends before this returns (setting the state flushes it). @ret_sent: ticks it had run by then.
 */
static bool halt(KvmVm *vm, const struct kvm_pit_state2 *k, const Phase *p, uint64_t *ret_sent)
{
    uint64_t n = length(&k->channels[0]), near = to_ticks(p->margin + SETTLE_US * 1000);
    bool once = !periodic(k->channels[0].mode);
    for (unsigned i = 0; in_use(&k->channels[0]) && n > 4 * near && i < SETTLE_TRIES; i++) {
        uint64_t run = run_at(p, host_ns(vm)), phase = run % n;
        if (once ? run + near < n || run > n + near : n - phase > near && (run < n || phase > near))
            break;
        g_usleep(SETTLE_US);
    }
    struct kvm_pit_state2 still = *k;
    still.channels[0].mode = NEVER_LOADED;
    *ret_sent = run_at(p, host_ns(vm));
    return ioctl(vm->fd, KVM_SET_PIT2, &still) == 0;
}

static void channel_from(KvmVm *vm, unsigned n, X86PitChannel *c, const struct kvm_pit_channel_state *k, const Phase *p, uint64_t now)
{
    uint32_t count = length(k);
    bool armed = in_use(k) && !(p->same && vm->pit_rest[n] == PIT_EMPTY);
    if (p->same && vm->pit_rest[n] == PIT_ENDED)
        count = (uint32_t)vm->pit_shift[n];
    *c = (X86PitChannel){
        .count = count, .next_count = count, .latch = k->latched_count, .latched = !k->count_latched ? 0 : k->count_latched == 3 ? 2 : 1,
        .status = k->status, .status_latched = k->status_latched, .rw = k->rw_mode ? k->rw_mode : 3, .mode = k->mode != NEVER_LOADED ? k->mode : 3, .write_low = k->write_latch,
        .bcd = k->bcd, .gate = k->gate, .read_msb = k->read_state == 4, .write_msb = k->write_state == 4, .armed = armed,
        .loaded = armed, .null_count = !armed,
    };
    uint64_t run = run_at(p, host_ns(vm)), shift = p->same ? vm->pit_shift[n] : 0;
    if (c->gate || hw_triggered(c->mode))
        c->start = now - run - shift;
    else
        c->elapsed = run + shift;
}

/* Edges that are due, one if there are more, and that KVM had not sent when its counter had run @sent ticks. */
static void send_due(KvmVm *vm, const X86PitChannel *c, const Phase *p, uint64_t sent, uint64_t now)
{
    uint64_t gone_by = now - c->start;
    if (!c->armed || !c->gate || (p->same && vm->pit_rest[0] == PIT_ENDED))
        return;
    if (periodic(c->mode) ? gone_by / c->count > sent / c->count : sent < c->count && gone_by >= c->count) {
        struct kvm_irq_level up = { .irq = 0, .level = 1 }, down = { .irq = 0, .level = 0 };
        ioctl(vm->fd, KVM_IRQ_LINE, &up);
        ioctl(vm->fd, KVM_IRQ_LINE, &down);
    }
}

bool kvm_pit_out(KvmVm *vm, X86PitState *s, uint64_t *ret_tick, GError **err)
{
    struct kvm_pit_state2 k;
    uint64_t newest, sent;
    if (ioctl(vm->fd, KVM_GET_PIT2, &k) < 0)
        return kvm_fail(err, "reading the interval timer");
    struct kvm_pit_channel_state *c0 = &k.channels[0];
    Phase p = counter0(vm, c0, &newest);
    if (in_use(c0) && !p.same && !periodic(c0->mode) && newest >= p.run + length(c0) && !ends_yet(vm, &p, length(c0)))
        p.run += length(c0);
    if (!halt(vm, &k, &p, &sent))
        return kvm_fail(err, "halting the interval timer");
    uint64_t now = *ret_tick = virtual_ticks(vm);
    for (unsigned n = 0; n < 3; n++) {
        Phase other = { .at = k.channels[n].count_load_time, .same = k.channels[n].count_load_time == vm->pit_loaded[n] };
        channel_from(vm, n, &s->ch[n], &k.channels[n], n ? &other : &p, now);
    }
    send_due(vm, &s->ch[0], &p, sent, now);
    s->port61 = (uint8_t)((k.channels[2].gate ? P61_GATE2 : 0) | (k.flags & KVM_PIT_FLAGS_SPEAKER_DATA_ON ? P61_SPEAKER : 0));
    return true;
}
