/*
 * KVM's 8254. It can only be loaded with a full count, so one that moves here in the middle of a period ends that much later; the part that had gone
 * by is remembered and added when it moves away, with the tick that is due by then. Ticks are neither lost nor invented over many moves. A counter at rest
 * (it has ended, or got a control word only) cannot be put in at all: it gets the longest count, 55 ms, and is taken out as it was.
 */
#include <sys/ioctl.h>

#include "accel/kvm/kvm-internal.h"
#include "cpu/x86/irqchip.h"
#include "vmm/clock.h"

enum { HZ = 1193182, NEVER_LOADED = 0xff, P61_GATE2 = 1, P61_SPEAKER = 2 };

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

bool kvm_pit_in(KvmVm *vm, const X86PitState *s, GError **err)
{
    struct kvm_pit_state2 k = { .flags = s->port61 & P61_SPEAKER ? KVM_PIT_FLAGS_SPEAKER_DATA_ON : 0 };
    uint64_t now = virtual_ticks(vm);
    for (unsigned n = 0; n < 3; n++) {
        const X86PitChannel *c = &s->ch[n];
        uint64_t e = c->armed ? gone(c, now) : 0;
        channel_to(&k.channels[n], c);
        vm->pit_rest[n] = !c->armed ? PIT_EMPTY : !periodic(c->mode) && e >= c->count ? PIT_ENDED : PIT_RUNS;
        vm->pit_shift[n] = vm->pit_rest[n] == PIT_EMPTY ? 0 : vm->pit_rest[n] == PIT_ENDED ? c->count : e % c->count;
        if (vm->pit_rest[n] != PIT_RUNS)
            k.channels[n].count = 0;
    }
    if (ioctl(vm->fd, KVM_SET_PIT2, &k) < 0 || ioctl(vm->fd, KVM_GET_PIT2, &k) < 0)
        return kvm_fail(err, "writing the interval timer");
    for (unsigned n = 0; n < 3; n++)
        vm->pit_loaded[n] = k.channels[n].count_load_time;
    return true;
}

static void channel_from(KvmVm *vm, unsigned n, X86PitChannel *c, const struct kvm_pit_channel_state *k)
{
    uint32_t count = k->count ? k->count : 65536;
    bool same = k->count_load_time == vm->pit_loaded[n], armed = k->mode != NEVER_LOADED && !(same && vm->pit_rest[n] == PIT_EMPTY);
    if (same && vm->pit_rest[n] == PIT_ENDED)
        count = (uint32_t)vm->pit_shift[n];
    *c = (X86PitChannel){
        .count = count, .next_count = count, .latch = k->latched_count, .latched = !k->count_latched ? 0 : k->count_latched == 3 ? 2 : 1,
        .status = k->status, .status_latched = k->status_latched, .rw = k->rw_mode ? k->rw_mode : 3, .mode = k->mode != NEVER_LOADED ? k->mode : 3, .write_low = k->write_latch,
        .bcd = k->bcd, .gate = k->gate, .read_msb = k->read_state == 4, .write_msb = k->write_state == 4, .armed = armed,
        .loaded = armed, .null_count = !armed,
    };
    int64_t ns = MAX(host_ns(vm) - k->count_load_time, 0);
    uint64_t run = mclock_ns_to_ticks(ns, HZ), shift = same ? vm->pit_shift[n] : 0, now = virtual_ticks(vm);
    if (c->gate || hw_triggered(c->mode))
        c->start = now - run - shift;
    else
        c->elapsed = run + shift;
    if (n || !armed || !c->gate || (same && vm->pit_rest[n] == PIT_ENDED))
        return;
    /* one more edge than KVM has seen? */
    uint64_t due = periodic(c->mode) ? (run + shift) / count - run / count : run < count && run + shift >= count;
    if (due) {
        struct kvm_irq_level up = { .irq = 0, .level = 1 }, down = { .irq = 0, .level = 0 };
        ioctl(vm->fd, KVM_IRQ_LINE, &up);
        ioctl(vm->fd, KVM_IRQ_LINE, &down);
    }
}

bool kvm_pit_out(KvmVm *vm, X86PitState *s, GError **err)
{
    struct kvm_pit_state2 k;
    if (ioctl(vm->fd, KVM_GET_PIT2, &k) < 0)
        return kvm_fail(err, "reading the interval timer");
    for (unsigned n = 0; n < 3; n++)
        channel_from(vm, n, &s->ch[n], &k.channels[n]);
    s->port61 = (uint8_t)((k.channels[2].gate ? P61_GATE2 : 0) | (k.flags & KVM_PIT_FLAGS_SPEAKER_DATA_ON ? P61_SPEAKER : 0));
    return true;
}
