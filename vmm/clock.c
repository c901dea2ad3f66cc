#include "vmm/clock.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "util/bits.h"

typedef struct KindClock {
    Clock clock;            /* util's interface; first */
    MachineClock *owner;
} KindClock;

struct MachineClock {
    Loop *loop;
    KindClock virt;
    GMutex lock;            /* timers, writers of the below */
    GPtrArray *timers;
    _Atomic unsigned seq;   /* odd while base and running change */
    _Atomic bool running, manual;
    _Atomic int64_t base;   /* running: host ns at virtual 0; else virtual now */
    int64_t wall_at_boot;
    _Atomic uint64_t tsc_hz;
    uint64_t tsc_at_new;
    int64_t ns_at_new;
};

struct Timer {
    MachineClock *clock;
    ClockKind kind;
    LoopTimer *lt;          /* NULL with a manual clock */
    DevLock *lock;
    void (*fn)(void *opaque);
    void *opaque;
    _Atomic int64_t deadline;   /* INT64_MAX: not armed */
};

/* ---- time ---- */

static int64_t host_ns(void)
{
    return clock_now_ns(&clock_host);
}

static int64_t wall_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

static int64_t virtual_ns(MachineClock *c)
{
    for (;;) {
        unsigned s = atomic_load_explicit(&c->seq, memory_order_acquire);
        bool running = atomic_load_explicit(&c->running, memory_order_acquire);
        int64_t base = atomic_load_explicit(&c->base, memory_order_acquire);
        if (!(s & 1) && atomic_load_explicit(&c->seq, memory_order_acquire) == s)
            return running ? host_ns() - base : base;
    }
}

/* c->lock held. */
static void set_base(MachineClock *c, bool running, int64_t base)
{
    atomic_fetch_add(&c->seq, 1);
    atomic_store(&c->running, running);
    atomic_store(&c->base, base);
    atomic_fetch_add(&c->seq, 1);
}

static int64_t virt_now(const Clock *clock)
{
    return virtual_ns(CONTAINER_OF(clock, KindClock, clock)->owner);
}

int64_t mclock_now(MachineClock *c, ClockKind kind)
{
    switch (kind) {
    case CLOCK_KIND_VIRTUAL: return virtual_ns(c);
    case CLOCK_KIND_HOST: return host_ns();
    default: return atomic_load_explicit(&c->manual, memory_order_relaxed) ? c->wall_at_boot + virtual_ns(c) : wall_ns();
    }
}

const Clock *mclock_clock(MachineClock *c, ClockKind kind)
{
    g_assert(kind != CLOCK_KIND_WALL);
    return kind == CLOCK_KIND_VIRTUAL ? &c->virt.clock : &clock_host;
}

MachineClock *mclock_new(Loop *loop)
{
    MachineClock *c = g_new0(MachineClock, 1);
    c->loop = loop ? loop_ref(loop) : NULL;
    c->virt.clock.now_ns = virt_now;
    c->virt.owner = c;
    g_mutex_init(&c->lock);
    c->timers = g_ptr_array_new();
    c->wall_at_boot = wall_ns();
    c->tsc_at_new = mclock_host_tsc();
    c->ns_at_new = host_ns();
    return c;
}

void mclock_free(MachineClock *c)
{
    if (!c)
        return;
    g_assert(c->timers->len == 0);
    g_ptr_array_free(c->timers, TRUE);
    if (c->loop)
        loop_unref(c->loop);
    g_mutex_clear(&c->lock);
    g_free(c);
}

/* ---- timers ---- */

/* Let the loop wait for it, unless its clock stands still. c->lock held. */
static void wait_locked(Timer *t)
{
    int64_t deadline = atomic_load(&t->deadline);
    bool moving = t->kind == CLOCK_KIND_HOST || atomic_load(&t->clock->running);
    if (!t->lt)
        return;
    if (moving && deadline != INT64_MAX)
        loop_timer_arm(t->lt, deadline);
    else
        loop_timer_disarm(t->lt);
}

static void timer_fire(void *opaque)
{
    Timer *t = opaque;
    if (!devlock_enter(t->lock))
        return;
    /* Armed anew, cancelled or stopped since the loop looked: then that arming counts. */
    int64_t deadline = atomic_load(&t->deadline);
    if (deadline <= mclock_now(t->clock, t->kind) && deadline != INT64_MAX &&
        atomic_compare_exchange_strong(&t->deadline, &deadline, INT64_MAX))
        t->fn(t->opaque);
    devlock_leave(t->lock);
}

Timer *timer_new(MachineClock *c, ClockKind kind, DevLock *lock, void (*fn)(void *opaque), void *opaque)
{
    g_assert(kind != CLOCK_KIND_WALL);
    Timer *t = g_new0(Timer, 1);
    t->clock = c;
    t->kind = kind;
    t->lock = devlock_ref(lock);
    t->fn = fn;
    t->opaque = opaque;
    atomic_init(&t->deadline, INT64_MAX);
    if (c->loop && !atomic_load(&c->manual))
        t->lt = loop_timer_new(c->loop, mclock_clock(c, kind), timer_fire, t);
    g_mutex_lock(&c->lock);
    g_ptr_array_add(c->timers, t);
    g_mutex_unlock(&c->lock);
    return t;
}

void timer_free(Timer *t)
{
    if (!t)
        return;
    g_mutex_lock(&t->clock->lock);
    g_ptr_array_remove_fast(t->clock->timers, t);
    g_mutex_unlock(&t->clock->lock);
    loop_timer_free(t->lt);
    devlock_unref(t->lock);
    g_free(t);
}

void timer_arm(Timer *t, int64_t deadline_ns)
{
    g_mutex_lock(&t->clock->lock);
    atomic_store(&t->deadline, deadline_ns);
    wait_locked(t);
    g_mutex_unlock(&t->clock->lock);
}

void timer_cancel(Timer *t)
{
    if (atomic_load(&t->deadline) != INT64_MAX)
        timer_arm(t, INT64_MAX);
}

bool timer_armed(const Timer *t)
{
    return timer_deadline(t) != INT64_MAX;
}

int64_t timer_deadline(const Timer *t)
{
    return atomic_load(&((Timer *)t)->deadline);
}

static void timer_field_save(const void *field, GByteArray *out)
{
    uint8_t b[8];
    store_le64(b, (uint64_t)timer_deadline(*(Timer *const *)field));
    g_byte_array_append(out, b, sizeof(b));
}

static bool timer_field_load(void *field, const uint8_t *data, size_t len, GError **err)
{
    if (len != 8) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "saved state: a timer has %zu bytes instead of 8", len);
        return false;
    }
    timer_arm(*(Timer **)field, (int64_t)load_le64(data));
    return true;
}

const FieldOps timer_field_ops = { timer_field_save, timer_field_load };

/* ---- start, stop ---- */

static void rewait_locked(MachineClock *c)
{
    for (guint i = 0; i < c->timers->len; i++)
        wait_locked(g_ptr_array_index(c->timers, i));
}

void mclock_start(MachineClock *c)
{
    g_mutex_lock(&c->lock);
    if (!atomic_load(&c->running) && !atomic_load(&c->manual)) {
        set_base(c, true, host_ns() - atomic_load(&c->base));
        rewait_locked(c);
    }
    g_mutex_unlock(&c->lock);
}

void mclock_stop(MachineClock *c)
{
    g_mutex_lock(&c->lock);
    if (atomic_load(&c->running)) {
        set_base(c, false, host_ns() - atomic_load(&c->base));
        rewait_locked(c);
    }
    g_mutex_unlock(&c->lock);
}

void mclock_set_virtual(MachineClock *c, int64_t ns)
{
    g_mutex_lock(&c->lock);
    g_assert(!atomic_load(&c->running));
    set_base(c, false, ns);
    g_mutex_unlock(&c->lock);
}

void mclock_set_manual(MachineClock *c)
{
    g_assert(!atomic_load(&c->running));
    atomic_store(&c->manual, true);
}

/* The timer on the virtual clock that is due first, at or before @limit. */
static Timer *next_due(MachineClock *c, int64_t limit)
{
    Timer *best = NULL;
    g_mutex_lock(&c->lock);
    for (guint i = 0; i < c->timers->len; i++) {
        Timer *t = g_ptr_array_index(c->timers, i);
        if (t->kind == CLOCK_KIND_VIRTUAL && timer_deadline(t) <= limit && (!best || timer_deadline(t) < timer_deadline(best)))
            best = t;
    }
    g_mutex_unlock(&c->lock);
    return best;
}

void mclock_advance(MachineClock *c, int64_t ns)
{
    g_assert(atomic_load(&c->manual));
    int64_t target = virtual_ns(c) + ns;
    Timer *t;
    while ((t = next_due(c, target)) && timer_deadline(t) != INT64_MAX) {
        int64_t at = MAX(virtual_ns(c), timer_deadline(t));
        g_mutex_lock(&c->lock);
        set_base(c, false, at);
        g_mutex_unlock(&c->lock);
        timer_fire(t);
    }
    g_mutex_lock(&c->lock);
    set_base(c, false, target);
    g_mutex_unlock(&c->lock);
}

/* ---- rates ---- */

typedef unsigned __int128 U128;

int64_t mclock_ticks_to_ns(uint64_t ticks, uint64_t hz)
{
    U128 ns = (U128)ticks * NS_PER_SEC / hz;
    return ns > INT64_MAX ? INT64_MAX : (int64_t)ns;
}

int64_t mclock_ticks_to_ns_up(uint64_t ticks, uint64_t hz)
{
    U128 ns = ((U128)ticks * NS_PER_SEC + hz - 1) / hz;
    return ns > INT64_MAX ? INT64_MAX : (int64_t)ns;
}

uint64_t mclock_ns_to_ticks(int64_t ns, uint64_t hz)
{
    return ns <= 0 ? 0 : (uint64_t)((U128)ns * hz / NS_PER_SEC);
}

#if defined(__x86_64__)
#include <cpuid.h>

uint64_t mclock_host_tsc(void)
{
    return __builtin_ia32_rdtsc();
}

/* What the CPU says itself (SDM 3A 19.7.3: CPUID 15H, ECX = crystal Hz), 0 if it does not. */
static uint64_t nominal_tsc_hz(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid_count(0x15, 0, &a, &b, &c, &d) || !a || !b || !c)
        return 0;
    return (uint64_t)c * b / a;
}
#elif defined(__aarch64__)
uint64_t mclock_host_tsc(void)
{
    uint64_t v;
    __asm__ volatile("isb; mrs %0, cntvct_el0" : "=r"(v) : : "memory");
    return v;
}

static uint64_t nominal_tsc_hz(void)
{
    uint64_t v;
    __asm__("mrs %0, cntfrq_el0" : "=r"(v));
    return v;
}
#else
uint64_t mclock_host_tsc(void)
{
    return (uint64_t)host_ns();
}

static uint64_t nominal_tsc_hz(void)
{
    return NS_PER_SEC;
}
#endif

/* Against CLOCK_MONOTONIC since mclock_new; sleeps only if that was less than 10 ms ago (then about 10 ppm of error). */
static uint64_t measure_tsc_hz(MachineClock *c)
{
    int64_t age = host_ns() - c->ns_at_new;
    if (age < 10 * NS_PER_MS)
        g_usleep((gulong)((10 * NS_PER_MS - age) / 1000 + 1));
    int64_t ns = host_ns();
    uint64_t tsc = mclock_host_tsc();
    uint64_t hz = (uint64_t)((U128)(tsc - c->tsc_at_new) * NS_PER_SEC / (uint64_t)(ns - c->ns_at_new));
    return (hz + 500) / 1000 * 1000;        /* guests print kHz */
}

uint64_t mclock_tsc_hz(MachineClock *c)
{
    uint64_t hz = atomic_load(&c->tsc_hz);
    if (hz)
        return hz;
    hz = nominal_tsc_hz();
    if (!hz)
        hz = measure_tsc_hz(c);
    uint64_t none = 0;
    return atomic_compare_exchange_strong(&c->tsc_hz, &none, hz) ? hz : none;
}

void mclock_set_tsc_hz(MachineClock *c, uint64_t hz)
{
    atomic_store(&c->tsc_hz, hz);
}

/* ns = ((tsc << shift) * mul) >> 32, with mul as large as 32 bits allow. */
void mclock_pvclock(MachineClock *c, int64_t tsc_offset, PvClockData *ret)
{
    uint64_t hz = mclock_tsc_hz(c), scaled = hz;
    int shift = 0;
    while (scaled > 2u * NS_PER_SEC) {
        scaled >>= 1;
        shift--;
    }
    while (scaled <= NS_PER_SEC) {
        scaled <<= 1;
        shift++;
    }
    U128 one = (U128)NS_PER_SEC << 32;
    U128 rate = shift < 0 ? (one << -shift) / hz : (one >> shift) / hz;
    *ret = (PvClockData){ .tsc_timestamp = mclock_host_tsc() + (uint64_t)tsc_offset, .system_time = (uint64_t)virtual_ns(c),
                          .tsc_to_system_mul = (uint32_t)MIN(rate, (U128)UINT32_MAX), .tsc_shift = (int8_t)shift };
}

int64_t mclock_wall_at_boot(MachineClock *c)
{
    return c->wall_at_boot;
}
