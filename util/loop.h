#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Loop: what waits for host events in one thread: file descriptors, timers, calls queued by other threads.
 *
 * A Loop sits on a GMainContext, so a thread that runs glib or SDL code can run Loop code too. Any number of Loops may
 * exist; each is run by at most one thread at a time (the thread that calls loop_run or loop_iterate, or that iterates
 * loop_context() itself). Unless a comment says "any thread", call a function from that thread, or before it starts.
 * Callbacks run in that thread, one at a time, without any lock of the Loop held: they may add, arm and free whatever
 * they like, themselves included.
 */

/* A source of time. now_ns is cheap, takes no lock of a Loop, and never goes back; it may stand still (a paused guest) or run at another rate than the host. */
typedef struct Clock Clock;
struct Clock {
    int64_t (*now_ns)(const Clock *clock);
};

/* The host's CLOCK_MONOTONIC. */
extern const Clock clock_host;

static inline int64_t clock_now_ns(const Clock *clock)
{
    return clock->now_ns(clock);
}

typedef struct Loop Loop;
typedef struct LoopFd LoopFd;
typedef struct LoopTimer LoopTimer;
typedef void LoopFn(void *opaque);
typedef void LoopFdFn(void *opaque, GIOCondition ready);

/* A Loop on a GMainContext of its own (context NULL) or on @context, of which it takes a reference. Never NULL. */
Loop *loop_new(GMainContext *context);
/* Any thread. The last unref must not come from inside a callback of this Loop; queued calls are then run first. */
Loop *loop_ref(Loop *loop);
void loop_unref(Loop *loop);
GMainContext *loop_context(Loop *loop);

/* Run until loop_quit. A quit that came before loop_run makes it return at once (it is remembered, once). */
void loop_run(Loop *loop);
/* Any thread. */
void loop_quit(Loop *loop);
/* Handle what is ready, waiting for it if @wait; true if anything was handled. */
bool loop_iterate(Loop *loop, bool wait);

/* Any thread: have @fn(@opaque) called by the loop's thread, in the order of the calls, each exactly once. Never inside
 * loop_defer itself, not even if the caller is the loop's thread. */
void loop_defer(Loop *loop, LoopFn *fn, void *opaque);

/* Watch @fd, which stays the caller's and must stay open until loop_fd_free. G_IO_HUP and G_IO_ERR are always reported. */
LoopFd *loop_fd_new(Loop *loop, int fd, GIOCondition events, LoopFdFn *fn, void *opaque);
/* Any thread. 0 stops reporting of input and output. */
void loop_fd_set_events(LoopFd *watch, GIOCondition events);
/* After this the callback is not entered again. NULL is fine. */
void loop_fd_free(LoopFd *watch);

/*
 * A timer that calls @fn once when @clock (kept by reference) has reached the deadline; unarmed at first. The
 * resolution is the host's (timerfd, nanoseconds), not glib's milliseconds.
 */
LoopTimer *loop_timer_new(Loop *loop, const Clock *clock, LoopFn *fn, void *opaque);
/* Any thread. Replaces the former deadline; one in the past fires at the next turn of the loop. Whoever stops or bends
 * @clock re-arms its timers; a timer that wakes too early by @clock waits again. */
void loop_timer_arm(LoopTimer *timer, int64_t deadline_ns);
/* Any thread. From the loop's thread: the callback does not come any more. From another one: it may just be running. */
void loop_timer_disarm(LoopTimer *timer);
bool loop_timer_armed(LoopTimer *timer);
/* Loop's thread only (or the Loop is not running). NULL is fine. */
void loop_timer_free(LoopTimer *timer);
