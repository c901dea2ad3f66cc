#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/fielddesc.h"
#include "util/loop.h"
#include "vmm/memory.h"

/*
 * All time enters here; clock_gettime is banned elsewhere. A MachineClock belongs to one machine.
 *  CLOCK_KIND_VIRTUAL  ns since the machine was made, stands still while it is paused. Guest timers use it.
 *  CLOCK_KIND_HOST     monotonic host ns, never stands still (back ends, rate limits).
 *  CLOCK_KIND_WALL     ns since 1970 UTC (RTC), follows the host's changes. No timers on it.
 */
typedef enum ClockKind { CLOCK_KIND_VIRTUAL, CLOCK_KIND_HOST, CLOCK_KIND_WALL } ClockKind;

typedef struct MachineClock MachineClock;
typedef struct Timer Timer;

#define NS_PER_SEC 1000000000ll
#define NS_PER_MS 1000000ll

/* Timers run in the thread of @loop (referenced); NULL only with mclock_set_manual (tests). */
MachineClock *mclock_new(Loop *loop);
/* All timers freed before; not inside a timer callback. */
void mclock_free(MachineClock *c);
int64_t mclock_now(MachineClock *c, ClockKind kind);
/* Virtual time stands still between stop and start. Created stopped. Not nestable; main thread or work item. */
void mclock_start(MachineClock *c);
void mclock_stop(MachineClock *c);
/* Loading a snapshot: set virtual time (stopped only). Timers keep their absolute deadlines. */
void mclock_set_virtual(MachineClock *c, int64_t ns);
/* Tests: virtual and wall time move only by mclock_advance(), which runs due timers in the caller. Before any start. */
void mclock_set_manual(MachineClock *c);
void mclock_advance(MachineClock *c, int64_t ns);
/* The clock as util/loop.h's interface, for code that knows only util; not for CLOCK_KIND_WALL. Lives as long as @c. */
const Clock *mclock_clock(MachineClock *c, ClockKind kind);

/*
 * A timer calls @fn(@opaque) once after its deadline, on the thread of the clock's Loop, with @lock held
 * (NULL: none). It is one-shot; the callback may arm it again. Arming and cancelling work from any thread, best with
 * @lock held: after timer_cancel or a new timer_arm under @lock, the callback for the old deadline does not run any more.
 */
Timer *timer_new(MachineClock *c, ClockKind kind, DevLock *lock, void (*fn)(void *opaque), void *opaque);
void timer_free(Timer *t);                              /* NULL is fine; cancels */
void timer_arm(Timer *t, int64_t deadline_ns);          /* absolute, of its clock; the past means at once */
void timer_cancel(Timer *t);
bool timer_armed(const Timer *t);
int64_t timer_deadline(const Timer *t);                 /* INT64_MAX if not armed */
/* For state tables: FIELD_TIMER(Pit, timer), member is Timer * and exists at load. Saves the deadline, restores arming. */
extern const FieldOps timer_field_ops;
#define FIELD_TIMER(t, f) FIELD_OPS(t, f, &timer_field_ops)

/* ticks * 10^9 / hz and back, without overflow for the clock's range, rounding down. hz > 0. */
int64_t mclock_ticks_to_ns(uint64_t ticks, uint64_t hz);
uint64_t mclock_ns_to_ticks(int64_t ns, uint64_t hz);
/* Same, rounding up: the first ns at which @ticks have passed (deadlines). */
int64_t mclock_ticks_to_ns_up(uint64_t ticks, uint64_t hz);

/* ---- TSC and kvmclock ---- */

uint64_t mclock_host_tsc(void);
/* Host TSC rate in Hz (measured once per clock, or what the engine knows better through mclock_set_tsc_hz). */
uint64_t mclock_tsc_hz(MachineClock *c);
void mclock_set_tsc_hz(MachineClock *c, uint64_t hz);

/* One page of pvclock as the guest reads it (Linux Documentation/virt/kvm/x86/msr.rst). Filled for now. */
typedef struct PvClockData {
    uint32_t version;           /* set by the caller: odd while writing */
    uint32_t pad0;
    uint64_t tsc_timestamp;     /* guest TSC */
    uint64_t system_time;       /* ns, virtual clock */
    uint32_t tsc_to_system_mul;
    int8_t tsc_shift;
    uint8_t flags;
    uint8_t pad[2];
} PvClockData;
void mclock_pvclock(MachineClock *c, int64_t tsc_offset, PvClockData *ret);
/* Wall clock at virtual time 0, for MSR_KVM_WALL_CLOCK. */
int64_t mclock_wall_at_boot(MachineClock *c);
