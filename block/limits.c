/* Limits on requests, and what devices do about failed ones. */
#include "block/format.h"

#include <string.h>

#define LIMIT_MAX 1000000000000000ull   /* as QEMU has it: sums stay far from overflow */
enum { PAUSE_WORTH_NS = 100000000 };    /* what passes at once */

/*
 * Each limit is a clock that runs ahead by what was let through: a request may begin once the clock is not further ahead
 * than the burst allows. A burst of several seconds has a second clock that runs at the burst's rate.
 */
typedef struct Clocks {
    int64_t paid_ns, burst_ns;
} Clocks;

typedef struct Delayed {
    BlockReq *req;
    LoopTimer *timer;
    struct Delayed *next, **prev;
} Delayed;

typedef struct BlockThrottle {
    BlockLimits limits;
    Clocks clocks[BLOCK_LIMITS];
    Delayed *waiting;
} BlockThrottle;

/* ---- settings ---- */

static const char *wrong(const BlockLimits *l)
{
    bool reqs = false;
    for (unsigned total = 0; total < BLOCK_LIMITS; total += BLOCK_LIMIT_REQS) {
        const BlockLimit *t = &l->limit[total];
        for (unsigned k = 1; k < 3; k++)
            if ((t->per_sec && t[k].per_sec) || (t->burst_per_sec && t[k].burst_per_sec))
                return "bps/iops/max total values and read/write values cannot be used at the same time";
    }
    for (unsigned i = 0; i < BLOCK_LIMITS; i++) {
        const BlockLimit *b = &l->limit[i];
        reqs |= i >= BLOCK_LIMIT_REQS && b->per_sec;
        if (b->per_sec > LIMIT_MAX || b->burst_per_sec > LIMIT_MAX || b->burst_sec > LIMIT_MAX)
            return "bps/iops/max values must be within [0, 1000000000000000]";
        if (b->burst_per_sec && !b->per_sec)
            return "bps_max/iops_max require corresponding bps/iops values";
        if (b->burst_per_sec && b->burst_per_sec < b->per_sec)
            return "bps_max/iops_max cannot be lower than bps/iops";
        if (b->burst_sec > 1 && !b->burst_per_sec)
            return "burst length set without burst rate";
        if (b->burst_sec > 1 && b->burst_per_sec > LIMIT_MAX / b->burst_sec)
            return "burst length too high for this burst rate";
    }
    return l->req_size && !reqs ? "iops size requires an iops value to be set" : NULL;
}

bool block_set_limits(BlockNode *node, const BlockLimits *limits, GError **err)
{
    static const BlockLimits none;
    const char *why = wrong(limits);
    if (why) {
        block_error(err, 0, "'%s': %s", node->name, why);
        return false;
    }
    g_mutex_lock(&node->lock);
    if (!node->throttle && memcmp(limits, &none, sizeof(none)))
        node->throttle = g_new0(BlockThrottle, 1);
    if (node->throttle) {
        node->throttle->limits = *limits;
        memset(node->throttle->clocks, 0, sizeof(node->throttle->clocks));
    }
    g_mutex_unlock(&node->lock);
    return true;
}

/* ---- requests ---- */

/* Whole numbers: a device calls this in the middle of the guest's code, whose flag for inexact results the host's is then (tcg/softmmu.c). */
static int64_t ns_of(uint64_t amount, uint64_t per_sec, int64_t max)
{
    unsigned __int128 ns = (unsigned __int128)amount * 1000000000 / per_sec;
    return ns > (uint64_t)max ? max : (int64_t)ns;
}

/* Let @amount pass; returns when. */
static int64_t pay(const BlockLimit *l, Clocks *c, uint64_t amount, int64_t now)
{
    const int64_t window_max = 1000000000000000000, cost_max = 3600000000000;
    if (!l->per_sec)
        return now;
    int64_t window = l->burst_per_sec ? ns_of(l->burst_per_sec * MAX(l->burst_sec, 1), l->per_sec, window_max) : PAUSE_WORTH_NS;
    c->paid_ns = MAX(c->paid_ns, now - window) + ns_of(amount, l->per_sec, cost_max);
    if (l->burst_sec <= 1)
        return c->paid_ns;
    c->burst_ns = MAX(c->burst_ns, now - PAUSE_WORTH_NS) + ns_of(amount, l->burst_per_sec, cost_max);
    return MAX(c->paid_ns, c->burst_ns);
}

static int64_t due_ns(BlockThrottle *t, const BlockReq *req)
{
    int64_t now = req->start_ns, due = now;
    uint64_t size = t->limits.req_size, reqs = size && req->len > size ? (req->len + size - 1) / size : 1;
    bool write = req->op != BLOCK_READ;
    for (unsigned i = 0; i < BLOCK_LIMITS; i++) {
        if (i % BLOCK_LIMIT_REQS == (write ? 1 : 2))
            continue;
        int64_t at = pay(&t->limits.limit[i], &t->clocks[i], i < BLOCK_LIMIT_REQS ? req->len : reqs, now);
        due = MAX(due, at);
    }
    return due;
}

static void delayed_start(void *opaque)
{
    Delayed *d = opaque;
    BlockReq *req = d->req;
    g_mutex_lock(&req->node->lock);
    *d->prev = d->next;
    if (d->next)
        d->next->prev = d->prev;
    g_mutex_unlock(&req->node->lock);
    loop_timer_free(d->timer);
    g_free(d);
    bn_req_start(req);
}

bool bn_throttle(BlockNode *node, BlockReq *req)
{
    if (req->op != BLOCK_READ && req->op != BLOCK_WRITE && req->op != BLOCK_WRITE_ZEROES)
        return false;
    g_mutex_lock(&node->lock);
    BlockThrottle *t = node->throttle;
    int64_t due = due_ns(t, req);
    bool later = due > req->start_ns && !node->quiesced;
    if (later) {
        Delayed *d = g_new(Delayed, 1);
        *d = (Delayed){ req, loop_timer_new(req->loop, &clock_host, delayed_start, d), t->waiting, &t->waiting };
        if (d->next)
            d->next->prev = &d->next;
        t->waiting = d;
        loop_timer_arm(d->timer, due);
    }
    g_mutex_unlock(&node->lock);
    return later;
}

void bn_throttle_wait(BlockNode *node, BlockOp op, uint64_t len)
{
    BlockReq req = { .op = op, .len = len, .start_ns = clock_now_ns(&clock_host) };
    if (op != BLOCK_READ && op != BLOCK_WRITE && op != BLOCK_WRITE_ZEROES)
        return;
    g_mutex_lock(&node->lock);
    int64_t due = node->throttle ? due_ns(node->throttle, &req) : 0;
    g_mutex_unlock(&node->lock);
    if (due > req.start_ns)
        g_usleep((gulong)((due - req.start_ns) / 1000));
}

void bn_throttle_release(BlockNode *node)
{
    for (Delayed *d = node->throttle ? node->throttle->waiting : NULL; d; d = d->next)
        loop_timer_arm(d->timer, 0);
}

/* ---- failed requests ---- */

bool block_parse_on_error(const char *text, bool writes, BlockOnError *ret, GError **err)
{
    static const char *const names[] = { "auto", "report", "ignore", "stop", "enospc" };
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        if ((text ? !strcmp(text, names[i]) : !i) && (writes || i != BLOCK_ON_ERROR_ENOSPC)) {
            *ret = (BlockOnError)i;
            return true;
        }
    }
    block_error(err, 0, "%s=%s: use report, ignore%s or stop", writes ? "werror" : "rerror", text, writes ? ", enospc" : "");
    return false;
}

void block_set_on_error(BlockNode *node, BlockOnError reads, BlockOnError writes)
{
    node->on_error[0] = reads;
    node->on_error[1] = writes;
}

BlockOnError block_on_error(const BlockNode *node, bool writes, BlockOnError own)
{
    if (own == BLOCK_ON_ERROR_AUTO && node)
        own = node->on_error[writes];
    return own != BLOCK_ON_ERROR_AUTO ? own : writes ? BLOCK_ON_ERROR_ENOSPC : BLOCK_ON_ERROR_REPORT;
}

/* ---- discard ---- */

bool block_discard_is_safe(const BlockNode *node)
{
    const BlockNode *file = node;
    BlockStatus st;
    while (file->file)
        file = file->file;
    if (file->format != &block_format_file || !block_file_is_regular(file))
        return false;           /* a device's owner may count on its space; a server's too */
    if (strcmp(node->format->name, "raw"))
        return true;
    for (uint64_t offset = 0, n = 0; offset < file->length && n < 2; offset += st.len, n++)
        if (block_status((BlockNode *)file, offset, file->length - offset, &st) < 0 || (st.flags & BLOCK_ST_ZERO))
            return true;
    return file->length == 0;
}

void block_set_discard(BlockNode *node, bool on)
{
    node->opts.discard = on;
}
