/* util/loop: deferred calls from many threads, fds, timers on a host clock and on one that runs slower. */
#include "util/loop.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CHECK(x) do { if (!(x)) { fprintf(stderr, "%s:%d: %s is false\n", __FILE__, __LINE__, #x); return 1; } } while (0)

typedef struct Counter {
    Loop *loop;
    unsigned n, want;
    int last[4];
    bool in_order;
} Counter;

typedef struct Call {
    Counter *counter;
    int thread, serial;
} Call;

static void count(void *opaque)
{
    Call *call = opaque;
    Counter *c = call->counter;
    c->in_order &= call->serial == c->last[call->thread] + 1;
    c->last[call->thread] = call->serial;
    if (++c->n == c->want)
        loop_quit(c->loop);
    g_free(call);
}

static Counter *thread_counter(void *opaque, int *ret_index)
{
    void **args = opaque;
    *ret_index = (int)(intptr_t)args[1];
    return args[0];
}

static void *defer_thread(void *opaque)
{
    int index;
    Counter *c = thread_counter(opaque, &index);
    for (int i = 1; i <= 10000; i++) {
        Call *call = g_new(Call, 1);
        *call = (Call){ c, index, i };
        loop_defer(c->loop, count, call);
    }
    return NULL;
}

static int test_defer(void)
{
    Counter c = { .loop = loop_new(NULL), .want = 40000, .in_order = true };
    GThread *threads[4];
    void *args[4][2];
    for (int i = 0; i < 4; i++) {
        args[i][0] = &c;
        args[i][1] = (void *)(intptr_t)i;
        threads[i] = g_thread_new("defer", defer_thread, args[i]);
    }
    loop_run(c.loop);
    for (int i = 0; i < 4; i++)
        g_thread_join(threads[i]);
    CHECK(c.n == 40000 && c.in_order);
    loop_quit(c.loop);          /* remembered */
    loop_run(c.loop);
    CHECK(!loop_iterate(c.loop, false));
    loop_unref(c.loop);
    return 0;
}

typedef struct FdTest {
    Loop *loop;
    LoopFd *watch;
    int fd;
    char got;
} FdTest;

static void fd_ready(void *opaque, GIOCondition ready)
{
    FdTest *t = opaque;
    if ((ready & G_IO_IN) && read(t->fd, &t->got, 1) == 1)
        loop_fd_free(t->watch); /* from inside its own callback */
    loop_quit(t->loop);
}

static int test_fd(void)
{
    int p[2];
    CHECK(pipe(p) == 0);
    FdTest t = { .loop = loop_new(NULL), .fd = p[0] };
    t.watch = loop_fd_new(t.loop, p[0], 0, fd_ready, &t);
    CHECK(write(p[1], "x", 1) == 1);
    CHECK(!loop_iterate(t.loop, false));
    loop_fd_set_events(t.watch, G_IO_IN);
    loop_run(t.loop);
    CHECK(t.got == 'x');
    CHECK(write(p[1], "y", 1) == 1);
    CHECK(!loop_iterate(t.loop, false));
    loop_unref(t.loop);
    close(p[0]);
    close(p[1]);
    return 0;
}

typedef struct TimerTest {
    Loop *loop;
    LoopTimer *timer[16];
    int order[16];
    unsigned n;
} TimerTest;

typedef struct TimerArg {
    TimerTest *test;
    int index;
} TimerArg;

static void timer_fired(void *opaque)
{
    TimerArg *a = opaque;
    a->test->order[a->test->n++] = a->index;
    if (a->index == 15)
        loop_quit(a->test->loop);
}

static int test_timers(void)
{
    TimerTest t = { .loop = loop_new(NULL) };
    TimerArg args[16];
    int64_t start = clock_now_ns(&clock_host);
    for (int i = 0; i < 16; i++) {
        int k = (i * 7) % 16;   /* armed out of order */
        args[k] = (TimerArg){ &t, k };
        t.timer[k] = loop_timer_new(t.loop, &clock_host, timer_fired, &args[k]);
        loop_timer_arm(t.timer[k], start + 1000000 + k * 300000);
    }
    loop_timer_disarm(t.timer[5]);
    loop_timer_arm(t.timer[3], start + 1000000 + 13 * 300000 + 1000);
    loop_run(t.loop);
    static const int want[] = { 0, 1, 2, 4, 6, 7, 8, 9, 10, 11, 12, 13, 3, 14, 15 };
    CHECK(t.n == G_N_ELEMENTS(want) && !memcmp(t.order, want, sizeof(want)));
    CHECK(clock_now_ns(&clock_host) - start >= 1000000 + 15 * 300000);
    CHECK(!loop_timer_armed(t.timer[0]));
    for (int i = 0; i < 16; i++)
        loop_timer_free(t.timer[i]);
    loop_unref(t.loop);
    return 0;
}

static int64_t slow_now_ns(const Clock *clock)
{
    return clock_now_ns(&clock_host) / 3;
}

static void quit_loop(void *opaque)
{
    loop_quit(opaque);
}

static int test_slow_clock(void)
{
    static const Clock slow = { slow_now_ns };
    Loop *loop = loop_new(NULL);
    LoopTimer *t = loop_timer_new(loop, &slow, quit_loop, loop);
    int64_t deadline = clock_now_ns(&slow) + 2000000;
    loop_timer_arm(t, deadline);
    loop_run(loop);
    CHECK(clock_now_ns(&slow) >= deadline);
    loop_timer_arm(t, 0);       /* in the past */
    loop_run(loop);
    loop_timer_free(t);
    loop_unref(loop);
    return 0;
}

int main(void)
{
    return test_defer() || test_fd() || test_timers() || test_slow_clock();
}
