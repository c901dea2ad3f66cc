/*
 * What a crash leaves behind. A random workload on a qcow2 image in memory (and its external data file, if it has one),
 * every write and flush remembered. Then for every prefix of that log, and for random legal reorderings of what came
 * since the last flush, the image is opened, checked (leaks at most), compared (what was flushed is there, what was not
 * is old or new), and written to again.
 *
 * STATES=n: crash states in all (default 1000). A second run in which flushes inside the commit are ignored must find
 * damage: the test of the test.
 */
#include "tests/block/memlog.h"

#include <malloc.h>
#include <string.h>

enum { DISK_MAX = 4 << 20, MAX_OPS = 400, N_SNAPSHOTS = 3, FILES = 2 /* image, external data file */ };

typedef struct Config {
    char name[64];
    uint64_t size, max_write, cluster;
    unsigned ops, share;        /* share: of all states, in parts */
    bool snapshots, resize, data_file;
    char options[6][32];
} Config;

/* Every legal combination of what the issue names. */
static const struct { const char *name; uint64_t cluster, size, max_write; unsigned ops, share; bool extended; } sizes[] = {
    { "512", 512, 192 << 10, 6000, 60, 8, false }, { "4k", 4096, 1 << 20, 40000, 60, 8, false }, { "64k", 65536, 2 << 20, 200000, 40, 4, true },
    { "2M", 2 << 20, 4 << 20, 100000, 12, 1, true },
};
static const char *const widths[] = { "1", "16", "64" };
static const struct { const char *name, *options[2]; bool v2, data_file, extended; } kinds[] = {
    { "plain" }, { "v2", { "compat=0.10" }, .v2 = true }, { "lazy", { "lazy_refcounts=on" } }, { "data file", { "data_file=data" }, .data_file = true },
    { "raw data file", { "data_file=data", "data_file_raw=on" }, .data_file = true },
    { "lazy data file", { "data_file=data", "lazy_refcounts=on" }, .data_file = true }, { "extended", { "extended_l2=on" }, .extended = true },
    { "lazy extended", { "extended_l2=on", "lazy_refcounts=on" }, .extended = true },
};

static GArray *all_configs(void)
{
    GArray *list = g_array_new(FALSE, TRUE, sizeof(Config));
    for (unsigned s = 0; s < G_N_ELEMENTS(sizes); s++) {
        for (unsigned w = 0; w < G_N_ELEMENTS(widths); w++) {
            for (unsigned k = 0; k < G_N_ELEMENTS(kinds); k++) {
                if ((kinds[k].v2 && w != 1) || (kinds[k].extended && !sizes[s].extended))
                    continue;
                Config c = { .size = sizes[s].size, .max_write = sizes[s].max_write, .ops = sizes[s].ops, .share = sizes[s].share,
                             .cluster = sizes[s].cluster,
                             .snapshots = w && !kinds[k].data_file, .resize = !kinds[k].v2, .data_file = kinds[k].data_file };
                unsigned n = 0;
                snprintf(c.name, sizeof(c.name), "%s refcount %s %s", sizes[s].name, widths[w], kinds[k].name);
                snprintf(c.options[n++], 32, "cluster_size=%s", sizes[s].name);
                snprintf(c.options[n++], 32, "refcount_bits=%s", widths[w]);
                for (unsigned o = 0; o < 2 && kinds[k].options[o]; o++)
                    snprintf(c.options[n++], 32, "%s", kinds[k].options[o]);
                g_array_append_val(list, c);
            }
        }
    }
    return list;
}

typedef struct Op {             /* what a range may read as from here on */
    uint64_t offset, len;
    uint8_t *data;              /* NULL: zeros */
    guint first_event;          /* events in the log when it began */
    uint64_t size;              /* length of the disk after it */
} Op;

typedef struct Flushed {        /* a flush that returned */
    guint event;                /* events in the log then */
    unsigned op;                /* operations before it */
    uint8_t *data;
    uint64_t size;
} Flushed;

typedef struct Crash {
    const Config *config;
    BlockCtx *ctx;
    GRand *rand;
    Memlog log[FILES], state[FILES], base[FILES];
    GArray *events;             /* of both */
    BlockNode *node;
    uint8_t *model, *buf;
    uint64_t size;
    Op ops[MAX_OPS];
    unsigned n_ops;
    Flushed flushed[MAX_OPS];
    unsigned n_flushed;
    struct { char *name; uint8_t *data; uint64_t size; } snapshots[N_SNAPSHOTS];
    bool quiet;                 /* damage is expected */
    unsigned damaged, states;
    unsigned prefixes;          /* replayed with nothing left out */
} Crash;

static uint64_t rnd(Crash *c, uint64_t below)
{
    return (uint64_t)(g_rand_double(c->rand) * (double)below);
}

static BlockNode *open_image(Crash *c, Memlog *m, GError **err)
{
    BlockOpenOpts o = { .format = "qcow2", .writable = true, .discard = true, .data_file = c->config->data_file ? memlog_node(c->ctx, m + 1) : NULL };
    BlockNode *file = memlog_node(c->ctx, m), *node = block_open_on(file, &o, err);
    block_unref(file);
    block_unref(o.data_file);
    return node;
}

/* ---- the workload ---- */

static Op *op_begin(Crash *c, uint64_t offset, uint64_t len, const uint8_t *data)
{
    Op *op = &c->ops[c->n_ops++];
    *op = (Op){ offset, len, data ? g_memdup2(data, len) : NULL, c->events->len, c->size };
    return op;
}

static void model_set(Crash *c, const Op *op)
{
    if (op->data)
        memcpy(c->model + op->offset, op->data, op->len);
    else
        memset(c->model + op->offset, 0, op->len);
}

enum { OP_WRITE, OP_ZERO, OP_DISCARD, OP_COMPRESSED };

static void do_write(Crash *c, int kind)
{
    uint64_t len = rnd(c, c->config->max_write) + 1, offset, cluster = c->config->cluster;
    len = MIN(len, c->size);
    offset = rnd(c, c->size - len + 1);
    if (kind == OP_COMPRESSED) {        /* whole clusters */
        offset -= offset % cluster;
        len = MIN((len + cluster - 1) / cluster * cluster, c->size - offset);
    }
    int fill = g_rand_int_range(c->rand, 1, 256), r;
    for (uint64_t i = 0; i < len; i++)
        c->buf[i] = (uint8_t)(fill + (i >> 9));
    Op *op = op_begin(c, offset, len, kind == OP_WRITE || kind == OP_COMPRESSED ? c->buf : NULL);
    if (kind == OP_WRITE || kind == OP_COMPRESSED)
        r = block_pwrite(c->node, offset, c->buf, len, kind == OP_WRITE ? 0 : BLOCK_REQ_COMPRESS);
    else if (kind == OP_ZERO)
        r = block_pwrite_zeroes(c->node, offset, len, rnd(c, 2) ? BLOCK_REQ_MAY_UNMAP : 0);
    else
        r = block_pdiscard(c->node, offset, len);
    CHECK(r == 0);
    if (kind != OP_DISCARD)
        model_set(c, op);
    else
        CHECK(block_pread(c->node, offset, c->model + offset, len) == 0);
}

static void flushed_now(Crash *c)
{
    c->flushed[c->n_flushed++] = (Flushed){ c->events->len, c->n_ops, g_memdup2(c->model, DISK_MAX), c->size };
}

static void do_snapshot(Crash *c)
{
    GError *err = NULL;
    unsigned i = (unsigned)rnd(c, N_SNAPSHOTS);
    if (!c->snapshots[i].name) {
        c->snapshots[i].name = g_strdup_printf("s%u", c->n_ops);
        c->snapshots[i].data = g_memdup2(c->model, DISK_MAX);
        c->snapshots[i].size = c->size;
        BlockSnapshot sn = { .name = c->snapshots[i].name };
        op_begin(c, 0, 0, NULL);
        CHECK_OK(block_snapshot_create(c->node, &sn, &err), err);
    } else if (rnd(c, 2)) {
        uint64_t old = c->size;
        Op *op = op_begin(c, 0, MAX(old, c->snapshots[i].size), c->snapshots[i].data);
        CHECK_OK(block_snapshot_apply(c->node, c->snapshots[i].name, &err), err);
        c->size = op->size = c->snapshots[i].size;
        memcpy(c->model, c->snapshots[i].data, DISK_MAX);
    } else {
        op_begin(c, 0, 0, NULL);
        CHECK_OK(block_snapshot_delete(c->node, c->snapshots[i].name, &err), err);
        g_clear_pointer(&c->snapshots[i].name, g_free);
        g_clear_pointer(&c->snapshots[i].data, g_free);
    }
}

static void do_resize(Crash *c)
{
    GError *err = NULL;
    uint64_t size = (rnd(c, MIN(c->config->size * 2, DISK_MAX) / 512) + 1) * 512, lo = MIN(size, c->size), hi = MAX(size, c->size);
    Op *op = op_begin(c, lo, hi - lo, NULL);
    CHECK_OK(block_resize(c->node, size, BLOCK_PREALLOC_OFF, &err), err);
    model_set(c, op);
    c->size = op->size = size;
}

static void workload(Crash *c)
{
    for (unsigned i = 0; i < c->config->ops; i++) {
        uint64_t k = rnd(c, 100);
        if (k < 50)
            do_write(c, OP_WRITE);
        else if (k < 55)
            do_write(c, c->config->data_file ? OP_WRITE : OP_COMPRESSED);
        else if (k < 63)
            do_write(c, OP_ZERO);
        else if (k < 71)
            do_write(c, OP_DISCARD);
        else if (k < 77 && c->config->snapshots)
            do_snapshot(c);
        else if (k < 81 && c->config->resize)
            do_resize(c);
        else {
            CHECK(block_flush(c->node) == 0);
            flushed_now(c);
        }
    }
    CHECK(block_close(c->node) == 0);
    flushed_now(c);
}

static void load(Crash *c, unsigned file, const char *path)
{
    g_autofree char *data = NULL;
    gsize len;
    CHECK(g_file_get_contents(path, &data, &len, NULL));
    MemlogEvent e = { MEMLOG_WRITE, 0, len, (uint8_t *)data, file };
    memlog_apply(&c->log[file], &e, NULL);
    memlog_copy(&c->base[file], &c->log[file]);
    remove(path);
}

static void setup(Crash *c, const Config *config, GRand *rand)
{
    GError *err = NULL;
    *c = (Crash){ .config = config, .rand = rand, .ctx = block_ctx_new(1), .size = config->size };
    c->model = g_malloc0(DISK_MAX);
    c->buf = g_malloc0(DISK_MAX);
    memlog_init(&c->log[0], true);
    memlog_share(&c->log[1], &c->log[0], 1);
    c->events = c->log[0].events;
    for (unsigned f = 0; f < FILES; f++) {
        memlog_init(&c->state[f], false);
        memlog_init(&c->base[f], false);
    }
    g_autofree char *dir = g_dir_make_tmp("tandem-crash-XXXXXX", NULL), *path = g_build_filename(dir, "a.qcow2", NULL);
    g_autofree char *data_path = g_build_filename(dir, "data", NULL);
    const char *options[7] = { NULL };
    for (unsigned i = 0; config->options[i][0]; i++)
        options[i] = config->options[i];
    BlockCreateOpts o = { .format = "qcow2", .name = path, .size = c->size, .have_size = true, .options = options, .cache = BLOCK_CACHE_UNSAFE };
    CHECK_OK(block_create(c->ctx, &o, NULL, &err), err);
    load(c, 0, path);
    if (config->data_file)
        load(c, 1, data_path);
    remove(dir);
    c->node = open_image(c, c->log, &err);
    CHECK_OK(c->node, err);
    flushed_now(c);
    c->flushed[0].event = 0;
}

static void teardown(Crash *c)
{
    for (unsigned i = 0; i < c->n_ops; i++)
        g_free(c->ops[i].data);
    for (unsigned i = 0; i < c->n_flushed; i++)
        g_free(c->flushed[i].data);
    for (unsigned i = 0; i < N_SNAPSHOTS; i++) {
        g_free(c->snapshots[i].name);
        g_free(c->snapshots[i].data);
    }
    for (unsigned f = FILES; f-- > 0;) {
        memlog_clear(&c->log[f]);
        memlog_clear(&c->state[f]);
        memlog_clear(&c->base[f]);
    }
    block_ctx_free(c->ctx);
    g_free(c->model);
    g_free(c->buf);
}

/* ---- one crash ---- */

static bool damage(Crash *c, guint event, const char *fmt, ...) G_GNUC_PRINTF(3, 4);

static bool damage(Crash *c, guint event, const char *fmt, ...)
{
    c->damaged++;
    if (c->quiet)
        return false;
    va_list ap;
    va_start(ap, fmt);
    g_autofree char *what = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    CHECK(false, "%s: crash at event %u of %u: %s", c->config->name, event, c->events->len, what);
    return false;
}

static bool possible(const Crash *c, const Flushed *f, guint event, uint64_t i, uint8_t value)
{
    for (unsigned k = f->op; k < c->n_ops && c->ops[k].first_event <= event; k++) {
        const Op *op = &c->ops[k];
        if (i >= op->offset && i < op->offset + op->len && value == (op->data ? op->data[i - op->offset] : 0))
            return true;
    }
    return false;
}

static bool possible_size(const Crash *c, const Flushed *f, guint event, uint64_t size)
{
    bool ok = size == f->size;
    for (unsigned k = f->op; !ok && k < c->n_ops && c->ops[k].first_event <= event; k++)
        ok = size == c->ops[k].size;
    return ok;
}

static bool verify_content(Crash *c, BlockNode *node, const Flushed *f, guint event)
{
    uint64_t size = block_length(node);
    if (!possible_size(c, f, event, size))
        return damage(c, event, "the disk has %" PRIu64 " bytes", size);
    int r = block_pread(node, 0, c->buf, size);
    if (r < 0)
        return damage(c, event, "cannot be read: %s", g_strerror(-r));
    if (size > f->size)
        memset(f->data + f->size, 0, size - f->size);
    for (uint64_t i = 0; i < size; i++) {
        if (i % 512 == 0 && size - i >= 512 && !memcmp(c->buf + i, f->data + i, 512))
            i += 511;
        else if (c->buf[i] != f->data[i] && !possible(c, f, event, i, c->buf[i]))
            return damage(c, event, "byte %#" PRIx64 " is %#x, was flushed as %#x", i, c->buf[i], f->data[i]);
    }
    return true;
}

static void print_line(void *opaque, const char *line)
{
    if (opaque && !g_str_has_prefix(line, "Leaked") && !strstr(line, "OFLAG"))
        fprintf(stderr, "%s\n", line);
}

static bool verify_check(Crash *c, BlockNode *node, guint event, const char *when)
{
    BlockCheck check = { .message = print_line, .opaque = c->quiet ? NULL : c };
    int r = block_check(node, 0, &check);
    if (r < 0 || check.errors || check.corruptions > check.stale_flags)
        return damage(c, event, "check %s: %" PRIu64 " corruptions (%d)", when, check.corruptions, r);
    return true;
}

/* Life goes on: writes must not make it worse. */
static bool write_again(Crash *c, BlockNode *node, guint event)
{
    for (int i = 0; i < 6; i++) {
        uint64_t len = rnd(c, c->config->max_write) + 1;
        len = MIN(len, block_length(node));
        uint64_t offset = rnd(c, block_length(node) - len + 1);
        memset(c->buf, 0x55, len);
        int r = block_pwrite(node, offset, c->buf, len, 0);
        if (r < 0)
            return damage(c, event, "cannot be written to: %s", g_strerror(-r));
    }
    return block_flush(node) == 0 && verify_check(c, node, event, "after new writes");
}

static void verify(Crash *c, guint event)
{
    GError *err = NULL;
    const Flushed *f = &c->flushed[0];
    for (unsigned i = 1; i < c->n_flushed && c->flushed[i].event <= event; i++)
        f = &c->flushed[i];
    c->states++;
    BlockNode *node = open_image(c, c->state, &err);
    if (!node) {
        damage(c, event, "cannot be opened: %s", err->message);
        g_clear_error(&err);
        return;
    }
    if (verify_check(c, node, event, "at once") && verify_content(c, node, f, event))
        write_again(c, node, event);
    block_unref(node);
}

static const MemlogEvent *event_at(const Crash *c, guint i)
{
    return &g_array_index(c->events, MemlogEvent, i);
}

/*
 * Is event @i a barrier for @file? A flush is one for its own file only. With @no_barriers the flushes inside a commit
 * count for nothing: only those that an operation ended with, and they for both files.
 */
static bool is_barrier(const Crash *c, guint i, unsigned file, bool no_barriers)
{
    if (event_at(c, i)->kind != MEMLOG_FLUSH)
        return false;
    for (unsigned k = 0; no_barriers && k < c->n_flushed; k++)
        if (c->flushed[k].event == i + 1)
            return true;
    return !no_barriers && event_at(c, i)->file == file;
}

/* One possible state of a file at event @end: all up to its last barrier, and some of what came since. */
static void one_state(Crash *c, unsigned file, guint since, guint end, bool reorder)
{
    memlog_copy(&c->state[file], &c->base[file]);
    for (guint k = since; k < end; k++)
        if (event_at(c, k)->file == file)
            memlog_apply(&c->state[file], event_at(c, k), reorder ? c->rand : NULL);
}

static void crash_everywhere(Crash *c, unsigned states, bool no_barriers)
{
    guint n = c->events->len, since[FILES] = { 0 };
    double per_event = (double)states / (n + 1), due = 0;
    for (guint i = 0; i <= n; i++) {
        bool first = per_event >= 2;    /* enough to have every prefix as it is, too */
        for (due += per_event; due >= 1; due--, first = false) {
            bool reorder = !first && g_rand_int_range(c->rand, 0, 4) > 0;
            for (unsigned f = 0; f < FILES; f++)
                one_state(c, f, since[f], i, reorder);
            verify(c, i);
            c->prefixes += first;
        }
        for (unsigned f = 0; i < n && f < FILES; f++) {
            if (!is_barrier(c, i, f, no_barriers))
                continue;
            for (guint k = since[f]; k < i; k++)
                if (event_at(c, k)->file == f)
                    memlog_apply(&c->base[f], event_at(c, k), NULL);
            since[f] = i + 1;
        }
    }
}

int main(void)
{
    uint32_t seed = getenv("SEED") ? (uint32_t)strtoul(getenv("SEED"), NULL, 10) : g_random_int();
    unsigned states = getenv("STATES") ? (unsigned)atoi(getenv("STATES")) : 1000, total = 0, found = 0, prefixes = 0, events = 0;
    const char *only = getenv("CONFIG");
    mallopt(M_MMAP_THRESHOLD, 1 << 30);         /* else most of the time goes into page faults of buffers as large as the disk */
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    printf("SEED=%u STATES=%u\n", seed, states);
    fflush(stdout);
    GArray *configs = all_configs();
    unsigned shares = 0;
    for (unsigned i = 0; i < configs->len; i++)
        shares += g_array_index(configs, Config, i).share;
    int64_t start = clock_now_ns(&clock_host);
    for (unsigned i = 0; i < configs->len; i++) {
        const Config *config = &g_array_index(configs, Config, i);
        unsigned part = (unsigned)((uint64_t)states * config->share / shares) + 2;
        if (only && strcmp(only, config->name))
            continue;
        for (unsigned planted = 0; planted < 2; planted++) {
            GRand *rand = g_rand_new_with_seed(seed + i);
            Crash c;
            setup(&c, config, rand);
            workload(&c);
            c.quiet = planted;
            crash_everywhere(&c, planted ? part / 4 + 1 : part, planted);
            total += planted ? 0 : c.states;
            found += c.damaged;
            prefixes += planted ? 0 : c.prefixes;
            events += planted ? 0 : c.events->len + 1;
            teardown(&c);
            g_rand_free(rand);
        }
    }
    printf("%u crash states of %u kinds of images in %.0f s, %u of %u prefixes of the log among them; %u damaged ones with the barriers taken away\n",
           total, configs->len, (double)(clock_now_ns(&clock_host) - start) / 1e9, prefixes, events, found);
    g_array_free(configs, TRUE);
    CHECK(found || only, "taking the barriers away does no harm: the test is blind");
    return 0;
}
