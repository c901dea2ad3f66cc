#include "util/loop.h"

#include <errno.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

typedef struct Deferred {
    LoopFn *fn;
    void *opaque;
    struct Deferred *next;
} Deferred;

typedef struct LoopSource {     /* the GSource behind a Loop: deferred calls and the timerfd */
    GSource source;
    Loop *loop;
} LoopSource;

struct Loop {
    gint refs;
    GMainContext *context;
    GSource *source;
    gpointer timer_tag;
    int timer_fd;
    gint quit;

    GMutex lock;                /* protects everything below; no callback runs under it */
    Deferred *first, **last;
    gint has_deferred;          /* written under lock, peeked at without */
    GPtrArray *heap;            /* armed timers, a binary heap by wake_ns */
    int64_t programmed_ns;      /* what the timerfd is set to, not later than the first timer; INT64_MAX if unset */
    int64_t asked_ns;           /* when a timer was armed last */
};

struct LoopTimer {
    Loop *loop;
    const Clock *clock;
    LoopFn *fn;
    void *opaque;
    int64_t deadline_ns;        /* by clock */
    int64_t wake_ns;            /* by the host's clock; loop->lock */
    int heap_index;             /* -1: not armed; loop->lock */
};

struct LoopFd {
    GSource source;
    gpointer tag;
    LoopFdFn *fn;
    void *opaque;
};

static int64_t host_now_ns(const Clock *clock)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

const Clock clock_host = { host_now_ns };

/* ---- the heap of timers; loop->lock held ---- */

static LoopTimer *heap_at(Loop *loop, unsigned i)
{
    return g_ptr_array_index(loop->heap, i);
}

static void heap_put(Loop *loop, unsigned i, LoopTimer *t)
{
    loop->heap->pdata[i] = t;
    t->heap_index = (int)i;
}

static void heap_up(Loop *loop, unsigned i)
{
    LoopTimer *t = heap_at(loop, i);
    for (; i > 0 && heap_at(loop, (i - 1) / 2)->wake_ns > t->wake_ns; i = (i - 1) / 2)
        heap_put(loop, i, heap_at(loop, (i - 1) / 2));
    heap_put(loop, i, t);
}

static void heap_down(Loop *loop, unsigned i)
{
    LoopTimer *t = heap_at(loop, i);
    for (;;) {
        unsigned c = 2 * i + 1;
        if (c + 1 < loop->heap->len && heap_at(loop, c + 1)->wake_ns < heap_at(loop, c)->wake_ns)
            c++;
        if (c >= loop->heap->len || heap_at(loop, c)->wake_ns >= t->wake_ns)
            break;
        heap_put(loop, i, heap_at(loop, c));
        i = c;
    }
    heap_put(loop, i, t);
}

static void heap_remove(Loop *loop, LoopTimer *t)
{
    if (t->heap_index < 0)
        return;
    unsigned i = (unsigned)t->heap_index;
    LoopTimer *moved = heap_at(loop, loop->heap->len - 1);
    g_ptr_array_set_size(loop->heap, (gint)loop->heap->len - 1);
    t->heap_index = -1;
    if (moved == t)
        return;
    heap_put(loop, i, moved);
    heap_up(loop, i);
    heap_down(loop, (unsigned)moved->heap_index);
}

static void heap_insert(Loop *loop, LoopTimer *t)
{
    g_ptr_array_add(loop->heap, t);
    heap_up(loop, loop->heap->len - 1);
}

/*
 * Program the timerfd for the first timer; @host: the time now. Only a change costs a system call. Where timers are put off again and again in quick
 * succession (a guest that arms and disarms its own) the timerfd is left at the earlier time: one wake-up for nothing then, instead of all these calls.
 */
static void timer_program(Loop *loop, int64_t host)
{
    enum { QUICK_NS = 20000 };
    int64_t ns = loop->heap->len ? MAX(heap_at(loop, 0)->wake_ns, 1) : INT64_MAX;
    bool quick = host - loop->asked_ns < QUICK_NS;
    loop->asked_ns = host;
    if (ns == loop->programmed_ns || (quick && ns > loop->programmed_ns))
        return;
    struct itimerspec its = { 0 };
    if (ns != INT64_MAX) {
        its.it_value.tv_sec = ns / 1000000000;
        its.it_value.tv_nsec = ns % 1000000000;
    }
    timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &its, NULL);
    loop->programmed_ns = ns;
}

static int64_t timer_wake_ns(const LoopTimer *t, int64_t host)
{
    int64_t delay;
    if (t->clock == &clock_host)
        return t->deadline_ns;
    if (__builtin_sub_overflow(t->deadline_ns, clock_now_ns(t->clock), &delay))
        delay = t->deadline_ns < 0 ? 0 : INT64_MAX;
    return delay > INT64_MAX - host ? INT64_MAX - 1 : host + MAX(delay, 0);
}

/* ---- the source ---- */

static void run_deferred(Loop *loop)
{
    g_mutex_lock(&loop->lock);
    Deferred *d = loop->first;
    loop->first = NULL;
    loop->last = &loop->first;
    g_atomic_int_set(&loop->has_deferred, 0);
    g_mutex_unlock(&loop->lock);
    while (d) {
        Deferred *next = d->next;
        d->fn(d->opaque);
        g_free(d);
        d = next;
    }
}

static void run_timers(Loop *loop)
{
    int64_t host = host_now_ns(NULL);
    g_mutex_lock(&loop->lock);
    if (loop->programmed_ns <= host) {
        uint64_t expirations;
        while (read(loop->timer_fd, &expirations, sizeof(expirations)) < 0 && errno == EINTR)
            ;
        loop->programmed_ns = INT64_MAX;
    }
    while (loop->heap->len && heap_at(loop, 0)->wake_ns <= host) {
        LoopTimer *t = heap_at(loop, 0);
        heap_remove(loop, t);
        if (t->clock != &clock_host && clock_now_ns(t->clock) < t->deadline_ns) {
            /* The clock ran slower than the host's: wait again, at least a bit should it stand still. */
            t->wake_ns = MAX(timer_wake_ns(t, host), host + 1000000);
            heap_insert(loop, t);
            continue;
        }
        g_mutex_unlock(&loop->lock);
        t->fn(t->opaque);       /* may free t */
        g_mutex_lock(&loop->lock);
    }
    timer_program(loop, host);
    g_mutex_unlock(&loop->lock);
}

static gboolean source_prepare(GSource *source, gint *timeout)
{
    *timeout = -1;
    return g_atomic_int_get(&((LoopSource *)source)->loop->has_deferred);
}

static gboolean source_check(GSource *source)
{
    Loop *loop = ((LoopSource *)source)->loop;
    return g_atomic_int_get(&loop->has_deferred) || (g_source_query_unix_fd(source, loop->timer_tag) & G_IO_IN);
}

static gboolean source_dispatch(GSource *source, GSourceFunc callback, gpointer opaque)
{
    Loop *loop = ((LoopSource *)source)->loop;
    bool timers = g_source_query_unix_fd(source, loop->timer_tag) & G_IO_IN;
    run_deferred(loop);
    if (timers)
        run_timers(loop);
    return G_SOURCE_CONTINUE;
}

static const GSourceFuncs loop_source_funcs = { source_prepare, source_check, source_dispatch, NULL, NULL, NULL };

Loop *loop_new(GMainContext *context)
{
    Loop *loop = g_new0(Loop, 1);
    loop->refs = 1;
    loop->context = context ? g_main_context_ref(context) : g_main_context_new();
    g_mutex_init(&loop->lock);
    loop->last = &loop->first;
    loop->heap = g_ptr_array_new();
    loop->programmed_ns = INT64_MAX;
    loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (loop->timer_fd < 0)
        g_error("timerfd_create: %s", g_strerror(errno));   /* as with memory: nothing works without it */
    loop->source = g_source_new((GSourceFuncs *)&loop_source_funcs, sizeof(LoopSource));
    ((LoopSource *)loop->source)->loop = loop;
    g_source_set_can_recurse(loop->source, TRUE);
    loop->timer_tag = g_source_add_unix_fd(loop->source, loop->timer_fd, G_IO_IN);
    g_source_attach(loop->source, loop->context);
    return loop;
}

Loop *loop_ref(Loop *loop)
{
    g_atomic_int_inc(&loop->refs);
    return loop;
}

void loop_unref(Loop *loop)
{
    if (!loop || !g_atomic_int_dec_and_test(&loop->refs))
        return;
    while (g_atomic_int_get(&loop->has_deferred))
        run_deferred(loop);
    g_assert(loop->heap->len == 0);     /* timers hold no reference: their owner forgot to free one */
    g_source_destroy(loop->source);
    g_source_unref(loop->source);
    g_main_context_unref(loop->context);
    close(loop->timer_fd);
    g_ptr_array_free(loop->heap, TRUE);
    g_mutex_clear(&loop->lock);
    g_free(loop);
}

GMainContext *loop_context(Loop *loop)
{
    return loop->context;
}

bool loop_iterate(Loop *loop, bool wait)
{
    return g_main_context_iteration(loop->context, wait);
}

void loop_run(Loop *loop)
{
    while (!g_atomic_int_compare_and_exchange(&loop->quit, 1, 0))
        loop_iterate(loop, true);
}

void loop_quit(Loop *loop)
{
    g_atomic_int_set(&loop->quit, 1);
    g_main_context_wakeup(loop->context);
}

void loop_defer(Loop *loop, LoopFn *fn, void *opaque)
{
    Deferred *d = g_new(Deferred, 1);
    *d = (Deferred){ fn, opaque, NULL };
    g_mutex_lock(&loop->lock);
    bool wake = !loop->first;
    *loop->last = d;
    loop->last = &d->next;
    g_atomic_int_set(&loop->has_deferred, 1);
    /* Under the lock, so that the Loop cannot be freed by the call that was just queued. */
    if (wake)
        g_main_context_wakeup(loop->context);
    g_mutex_unlock(&loop->lock);
}

/* ---- file descriptors ---- */

static gboolean fd_check(GSource *source)
{
    return g_source_query_unix_fd(source, ((LoopFd *)source)->tag) != 0;
}

static gboolean fd_dispatch(GSource *source, GSourceFunc callback, gpointer opaque)
{
    LoopFd *w = (LoopFd *)source;
    w->fn(w->opaque, g_source_query_unix_fd(source, w->tag));
    return G_SOURCE_CONTINUE;
}

static const GSourceFuncs fd_source_funcs = { NULL, fd_check, fd_dispatch, NULL, NULL, NULL };

LoopFd *loop_fd_new(Loop *loop, int fd, GIOCondition events, LoopFdFn *fn, void *opaque)
{
    GSource *source = g_source_new((GSourceFuncs *)&fd_source_funcs, sizeof(LoopFd));
    LoopFd *w = (LoopFd *)source;
    w->fn = fn;
    w->opaque = opaque;
    w->tag = g_source_add_unix_fd(source, fd, events | G_IO_HUP | G_IO_ERR);
    g_source_set_can_recurse(source, TRUE);
    g_source_attach(source, loop->context);
    return w;
}

void loop_fd_set_events(LoopFd *w, GIOCondition events)
{
    g_source_modify_unix_fd(&w->source, w->tag, events | G_IO_HUP | G_IO_ERR);
}

void loop_fd_free(LoopFd *w)
{
    if (!w)
        return;
    g_source_destroy(&w->source);
    g_source_unref(&w->source);
}

/* ---- timers ---- */

LoopTimer *loop_timer_new(Loop *loop, const Clock *clock, LoopFn *fn, void *opaque)
{
    LoopTimer *t = g_new0(LoopTimer, 1);
    *t = (LoopTimer){ .loop = loop, .clock = clock, .fn = fn, .opaque = opaque, .heap_index = -1 };
    return t;
}

void loop_timer_arm(LoopTimer *t, int64_t deadline_ns)
{
    int64_t host = host_now_ns(NULL);
    g_mutex_lock(&t->loop->lock);
    heap_remove(t->loop, t);
    t->deadline_ns = deadline_ns;
    t->wake_ns = timer_wake_ns(t, host);
    heap_insert(t->loop, t);
    timer_program(t->loop, host);
    g_mutex_unlock(&t->loop->lock);
}

void loop_timer_disarm(LoopTimer *t)
{
    /* The timerfd is left alone: a wake-up for nothing is cheaper than a system call for each cancelled timeout. */
    g_mutex_lock(&t->loop->lock);
    heap_remove(t->loop, t);
    g_mutex_unlock(&t->loop->lock);
}

bool loop_timer_armed(LoopTimer *t)
{
    g_mutex_lock(&t->loop->lock);
    bool armed = t->heap_index >= 0;
    g_mutex_unlock(&t->loop->lock);
    return armed;
}

void loop_timer_free(LoopTimer *t)
{
    if (!t)
        return;
    loop_timer_disarm(t);
    g_free(t);
}
