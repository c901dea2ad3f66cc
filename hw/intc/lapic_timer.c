/* The local APIC's timer (SDM 3A 11.5.4): one-shot, periodic, TSC deadline. All with the device lock held. */
#include "hw/intc/lapic-internal.h"

#include "cpu/x86/state.h"

/* A guest that asks for an interrupt every few ns would keep the host's timer thread busy and never run itself. */
enum { MIN_PERIOD_NS = 50000 };

static int64_t now_ns(Lapic *l)
{
    return mclock_now(l->dev.clock, CLOCK_KIND_VIRTUAL);
}

/* Divide configuration: bits 3, 1, 0; 7 means 1 (11.5.4, figure 11-10). */
static unsigned divide_shift(uint32_t tdcr)
{
    return ((tdcr & 3) + (tdcr >> 1 & 4) + 1) & 7;
}

/* One count lasts 2^shift ns: LAPIC_TIMER_HZ is 1 GHz. */
static int64_t period_ns(const Lapic *l)
{
    return (int64_t)((uint64_t)l->s.reg[LR_TMICT] << divide_shift(l->s.reg[LR_TDCR]));
}

static uint32_t timer_mode(const Lapic *l)
{
    return lapic_reg(l, LR_LVT_TIMER) & LVT_TIMER_MODE;
}

/* ---- TSC deadline ---- */

/* Device lock held; the offset changes on the vCPU's own thread only, and a stale one is corrected when the timer fires. */
static uint64_t guest_tsc(const Lapic *l)
{
    const X86State *s = l->cpu->state;
    return mclock_host_tsc() + (uint64_t)__atomic_load_n(&s->tsc_offset, __ATOMIC_RELAXED);
}

static void deadline_arm(Lapic *l)
{
    uint64_t now = guest_tsc(l), left = l->s.tsc_deadline > now ? l->s.tsc_deadline - now : 0;
    /* Beyond some years is never; keeps the sum in range. */
    if (left > INT64_MAX / 4) {
        timer_cancel(l->timer);
        return;
    }
    int64_t ns = mclock_ticks_to_ns_up(left, mclock_tsc_hz(l->dev.clock));
    timer_arm(l->timer, now_ns(l) + MIN(ns, INT64_MAX / 4));
}

void lapic_timer_deadline(Lapic *l, uint64_t tsc)
{
    if (timer_mode(l) != LVT_TIMER_DEADLINE)
        return;
    l->s.tsc_deadline = tsc;
    if (tsc)
        deadline_arm(l);
    else
        timer_cancel(l->timer);
}

/* ---- count-down modes ---- */

/* Arm for the end of the running period, given timer_start. */
static void countdown_arm(Lapic *l)
{
    int64_t end = l->s.timer_start + period_ns(l);
    if (timer_mode(l) == LVT_TIMER_PERIODIC)
        end = MAX(end, now_ns(l) + MIN_PERIOD_NS);
    timer_arm(l->timer, end);
}

void lapic_timer_restart(Lapic *l)
{
    if (timer_mode(l) == LVT_TIMER_DEADLINE)
        return;
    l->s.timer_running = l->s.reg[LR_TMICT] != 0;
    l->s.timer_start = now_ns(l);
    if (l->s.timer_running)
        countdown_arm(l);
    else
        timer_cancel(l->timer);
}

uint32_t lapic_timer_count(Lapic *l)
{
    int64_t period = period_ns(l);
    if (!l->s.timer_running || !period || timer_mode(l) == LVT_TIMER_DEADLINE)
        return 0;
    int64_t gone = now_ns(l) - l->s.timer_start;
    if (timer_mode(l) == LVT_TIMER_PERIODIC)
        gone %= period;
    else if (gone >= period)
        return 0;
    return (uint32_t)((uint64_t)(period - gone + (int64_t)BIT(divide_shift(l->s.reg[LR_TDCR])) - 1) >> divide_shift(l->s.reg[LR_TDCR]));
}

/* The count goes on from where it is, at the new rate. */
void lapic_timer_divide(Lapic *l, uint32_t tdcr)
{
    uint32_t left = lapic_timer_count(l);
    l->s.reg[LR_TDCR] = tdcr & 0xb;
    if (!l->s.timer_running || timer_mode(l) == LVT_TIMER_DEADLINE)
        return;
    l->s.timer_start = now_ns(l) - (int64_t)((uint64_t)(l->s.reg[LR_TMICT] - left) << divide_shift(tdcr));
    countdown_arm(l);
}

void lapic_timer_lvt(Lapic *l, uint32_t val)
{
    uint32_t old = timer_mode(l), mode = val & LVT_TIMER_MODE;
    if (old == mode)
        return;
    /* Entering or leaving TSC deadline mode disarms (11.5.4.1); periodic and one-shot share the running count. */
    if (old == LVT_TIMER_DEADLINE || mode == LVT_TIMER_DEADLINE) {
        l->s.tsc_deadline = 0;
        l->s.timer_running = false;
        l->s.reg[LR_TMICT] = 0;
        timer_cancel(l->timer);
    }
}

static void countdown_fired(Lapic *l)
{
    int64_t now = now_ns(l), period = period_ns(l);
    if (!l->s.timer_running || !period)
        return;
    if (now < l->s.timer_start + period) {
        countdown_arm(l);
        return;
    }
    if (timer_mode(l) == LVT_TIMER_PERIODIC) {
        /* Periods that nobody could see any more are left out: the interrupt request is one bit. */
        l->s.timer_start += (now - l->s.timer_start) / period * period;
        countdown_arm(l);
    } else {
        l->s.timer_running = false;
    }
    lapic_fire_lvt(l, LR_LVT_TIMER);
}

void lapic_timer_fired(void *opaque)
{
    Lapic *l = opaque;
    if (timer_mode(l) != LVT_TIMER_DEADLINE) {
        countdown_fired(l);
    } else if (l->s.tsc_deadline) {
        if (guest_tsc(l) < l->s.tsc_deadline) {
            deadline_arm(l);
            return;
        }
        l->s.tsc_deadline = 0;
        lapic_fire_lvt(l, LR_LVT_TIMER);
    }
}

void lapic_timer_rearm(Lapic *l)
{
    timer_cancel(l->timer);
    if (timer_mode(l) == LVT_TIMER_DEADLINE) {
        if (l->s.tsc_deadline)
            deadline_arm(l);
    } else if (l->s.timer_running) {
        countdown_arm(l);
    }
}

void lapic_countdown_from_count(Device *dev, X86LapicState *s)
{
    uint32_t initial = s->reg[LR_TMICT], left = MIN(s->reg[LR_TMCCT], initial);
    s->timer_running = left != 0 || (initial && (s->reg[LR_LVT_TIMER] & LVT_TIMER_MODE) == LVT_TIMER_PERIODIC);
    s->timer_start = mclock_now(dev->clock, CLOCK_KIND_VIRTUAL) - (int64_t)((uint64_t)(initial - left) << divide_shift(s->reg[LR_TDCR]));
}
