#include "tests/block/model.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

const ModelConfig model_configs[] = {
    { "default", 3 << 20, { NULL } },
    { "512", 1 << 20, { "cluster_size=512", NULL } },
    { "4k backing", 2 << 20, { "cluster_size=4k", NULL }, 1500000 - 1500000 % 512 },
    { "v2", 2 << 20, { "compat=0.10", "cluster_size=4k", NULL } },
    { "v2 backing discard", 2 << 20, { "compat=0.10", "cluster_size=1k", NULL }, 2 << 20, true },
    { "2M", 5 << 20, { "cluster_size=2M", NULL }, 3 << 20 },
    { "refcount 1", 1 << 20, { "cluster_size=1k", "refcount_bits=1", NULL }, 0, true, .no_snapshots = true },
    { "refcount 2", 1 << 20, { "cluster_size=512", "refcount_bits=2", NULL }, 0, true },
    { "refcount 64", 1 << 20, { "cluster_size=512", "refcount_bits=64", NULL }, 1 << 20, true },
    { "lazy", 2 << 20, { "lazy_refcounts=on", "cluster_size=4k", NULL }, 0, true },
    { "zstd", 1 << 20, { "compression_type=zstd", "cluster_size=8k", NULL } },
    { "extended", 3 << 20, { "extended_l2=on", "cluster_size=16k", NULL } },
    { "extended backing", 3 << 20, { "extended_l2=on", "cluster_size=64k", NULL }, 2 << 20, true },
    { "data file", 1 << 20, { "data_file=data.raw", "cluster_size=4k", NULL }, 0, true, .no_snapshots = true, .no_compress = true },
    { "raw data file", 1 << 20, { "data_file=data.raw", "data_file_raw=on", NULL }, 0, true, .no_snapshots = true, .no_compress = true },
    { "preallocated", 1 << 20, { "preallocation=metadata", "cluster_size=4k", NULL }, 0, true },
};
const unsigned n_model_configs = G_N_ELEMENTS(model_configs);

static uint64_t rnd(Model *m, uint64_t below)
{
    return (uint64_t)(g_rand_double(m->rand) * (double)below);
}

static void fill_random(Model *m, uint8_t *p, uint64_t len)
{
    /* Recognisable, compressible, never zero. */
    uint32_t tag = g_rand_int(m->rand);
    for (uint64_t i = 0; i < len; i++)
        p[i] = (uint8_t)((tag >> (i >> 9 & 3) * 8) | 1);
}

void model_open(Model *m)
{
    GError *err = NULL;
    BlockOpenOpts o = { .format = "qcow2", .writable = true, .cache = BLOCK_CACHE_UNSAFE, .discard = m->config->discard };
    m->node = block_open(m->ctx, m->path, &o, &err);
    CHECK_OK(m->node, err);
    CHECK(block_length(m->node) == m->size);
}

void model_close(Model *m)
{
    CHECK(block_close(m->node) == 0);
    m->node = NULL;
}

void model_init(Model *m, const ModelConfig *config, GRand *rand)
{
    GError *err = NULL;
    *m = (Model){ .config = config, .rand = rand, .ctx = block_ctx_new(1), .size = config->size };
    m->data = g_malloc0(MODEL_MAX);
    m->buf = g_malloc0(MODEL_MAX);
    m->dir = g_dir_make_tmp("tandem-model-XXXXXX", NULL);
    m->path = g_build_filename(m->dir, "a.qcow2", NULL);
    if (config->backing) {
        m->backing_path = g_build_filename(m->dir, "base.raw", NULL);
        m->backing = g_malloc0(MODEL_MAX);
        fill_random(m, m->backing, config->backing);
        CHECK(g_file_set_contents(m->backing_path, (char *)m->backing, (gssize)config->backing, NULL));
        memcpy(m->data, m->backing, MIN(config->backing, m->size));
    }
    BlockCreateOpts c = { .format = "qcow2", .name = m->path, .size = m->size, .have_size = true, .options = config->options,
                          .backing = config->backing ? "base.raw" : NULL, .backing_format = "raw", .cache = BLOCK_CACHE_UNSAFE };
    if (!config->backing)
        c.backing_format = NULL;
    CHECK_OK(block_create(m->ctx, &c, NULL, &err), err);
    model_open(m);
}

void model_clear(Model *m)
{
    if (m->node)
        model_close(m);
    block_ctx_free(m->ctx);
    char *data = g_build_filename(m->dir, "data.raw", NULL);
    unlink(data);
    unlink(m->path);
    if (m->backing_path)
        unlink(m->backing_path);
    rmdir(m->dir);
    for (int i = 0; i < MODEL_SNAPSHOTS; i++) {
        g_free(m->snapshots[i].name);
        g_free(m->snapshots[i].data);
    }
    g_free(data);
    g_free(m->path);
    g_free(m->dir);
    g_free(m->backing_path);
    g_free(m->data);
    g_free(m->backing);
    g_free(m->buf);
}

void model_compare(Model *m)
{
    CHECK(block_length(m->node) == m->size);
    int r = block_pread(m->node, 0, m->buf, m->size);
    CHECK(r == 0, "%s: read: %s", m->config->name, g_strerror(-r));
    for (uint64_t i = 0; i < m->size; i++)
        CHECK(m->buf[i] == m->data[i], "%s: op %u: offset %#" PRIx64 " is %#x, not %#x", m->config->name, m->ops, i, m->buf[i], m->data[i]);
}

static void print_line(void *opaque, const char *line)
{
    fprintf(stderr, "%s: %s\n", (const char *)opaque, line);
}

void model_check(Model *m)
{
    CHECK(block_flush(m->node) == 0);
    BlockCheck c = { .message = print_line, .opaque = (void *)m->config->name };
    int r = block_check(m->node, 0, &c);
    CHECK(r == 0 && c.corruptions == 0 && c.leaks == 0 && c.errors == 0, "%s: op %u: %d, %" PRIu64 " corruptions, %" PRIu64 " leaks",
          m->config->name, m->ops, r, c.corruptions, c.leaks);
}

/* ---- the operations ---- */

static void range(Model *m, uint64_t *offset, uint64_t *len)
{
    static const uint64_t scale[] = { 512, 5000, 70000, 600000 };
    uint64_t max = scale[rnd(m, 4)], unit = rnd(m, 2) ? 1 : 512;
    *len = (rnd(m, max) + unit) / unit * unit;
    *len = MIN(*len, m->size);
    *offset = rnd(m, 8) ? rnd(m, m->size - *len + 1) / unit * unit : m->size - *len;
}

static void op_write(Model *m)
{
    uint64_t offset, len;
    range(m, &offset, &len);
    fill_random(m, m->buf, len);
    int r = block_pwrite(m->node, offset, m->buf, len, 0);
    CHECK(r == 0, "write: %s", g_strerror(-r));
    memcpy(m->data + offset, m->buf, len);
}

static void op_compressed(Model *m)
{
    BlockInfo info;
    uint64_t offset, len;
    if (m->config->no_compress || block_info(m->node, &info) < 0)
        return;
    if (info.specific)
        g_variant_unref(info.specific);
    range(m, &offset, &len);
    offset -= offset % info.cluster_size;
    len = MIN((len + info.cluster_size - 1) / info.cluster_size * info.cluster_size, m->size - offset);
    fill_random(m, m->buf, len);
    if (rnd(m, 4) == 0)         /* incompressible */
        for (uint64_t i = 0; i < len; i++)
            m->buf[i] = (uint8_t)g_rand_int(m->rand);
    int r = block_pwrite(m->node, offset, m->buf, len, BLOCK_REQ_COMPRESS);
    CHECK(r == 0, "%s: compressed write %#" PRIx64 "+%#" PRIx64 " of %#" PRIx64 " (%#" PRIx64 "): %s", m->config->name, offset, len, m->size,
          block_length(m->node), g_strerror(-r));
    memcpy(m->data + offset, m->buf, len);
}

static void op_zero(Model *m)
{
    uint64_t offset, len;
    range(m, &offset, &len);
    int r = block_pwrite_zeroes(m->node, offset, len, rnd(m, 2) ? BLOCK_REQ_MAY_UNMAP : 0);
    CHECK(r == 0, "zero: %s", g_strerror(-r));
    memset(m->data + offset, 0, len);
}

static void op_discard(Model *m)
{
    uint64_t offset, len;
    range(m, &offset, &len);
    int r = block_pdiscard(m->node, offset, len);
    CHECK(r == 0, "discard: %s", g_strerror(-r));
    CHECK(block_pread(m->node, offset, m->buf, len) == 0);
    for (uint64_t i = 0; i < len; i++) {
        CHECK(m->buf[i] == 0 || m->buf[i] == m->data[offset + i], "discarded byte %#" PRIx64 " is %#x", offset + i, m->buf[i]);
        m->data[offset + i] = m->buf[i];
    }
}

static void op_read(Model *m)
{
    uint64_t offset, len;
    range(m, &offset, &len);
    int r = block_pread(m->node, offset, m->buf, len);
    CHECK(r == 0 && !memcmp(m->buf, m->data + offset, len), "%s: op %u: read %#" PRIx64 "+%#" PRIx64 ": %d", m->config->name, m->ops,
          offset, len, r);
}

static void op_reopen(Model *m)
{
    model_close(m);
    model_open(m);
}

static void op_snapshot(Model *m)
{
    GError *err = NULL;
    int i = (int)rnd(m, MODEL_SNAPSHOTS);
    if (m->config->no_snapshots)
        return;
    if (!m->snapshots[i].name) {
        char *name = g_strdup_printf("snap-%u", m->ops);
        BlockSnapshot sn = { .name = name, .date_sec = 1 };
        if (!block_snapshot_create(m->node, &sn, &err)) {
            /* Narrow refcounts run out; that must be said, and change nothing. */
            CHECK(strstr(err->message, "refcount"), "%s", err->message);
            g_clear_error(&err);
            g_free(name);
            return;
        }
        m->snapshots[i].name = name;
        m->snapshots[i].data = g_memdup2(m->data, MODEL_MAX);
        m->snapshots[i].size = m->size;
    } else if (rnd(m, 2)) {
        if (!block_snapshot_apply(m->node, m->snapshots[i].name, &err)) {
            CHECK(strstr(err->message, "refcount"), "%s", err->message);
            g_clear_error(&err);
            return;
        }
        memcpy(m->data, m->snapshots[i].data, MODEL_MAX);
        m->size = m->snapshots[i].size;
    } else {
        CHECK_OK(block_snapshot_delete(m->node, m->snapshots[i].name, &err), err);
        g_clear_pointer(&m->snapshots[i].name, g_free);
        g_clear_pointer(&m->snapshots[i].data, g_free);
    }
}

static bool has_snapshots(const Model *m)
{
    for (int i = 0; i < MODEL_SNAPSHOTS; i++)
        if (m->snapshots[i].name)
            return true;
    return false;
}

static void op_resize(Model *m)
{
    GError *err = NULL;
    uint64_t size = (rnd(m, MODEL_MAX / 512) + 1) * 512;
    if (m->config->no_compress)
        size = MIN(size, 2 << 20);
    bool ok = block_resize(m->node, size, BLOCK_PREALLOC_OFF, &err);
    if (!ok && has_snapshots(m) && strstr(err->message, "v2")) {
        g_clear_error(&err);
        return;
    }
    CHECK_OK(ok, err);
    memset(m->data + MIN(size, m->size), 0, MODEL_MAX - MIN(size, m->size));
    m->size = size;
}

void model_step(Model *m)
{
    uint64_t k = rnd(m, 100);
    m->ops++;
    if (k < 40)
        op_write(m);
    else if (k < 50)
        op_zero(m);
    else if (k < 60)
        op_discard(m);
    else if (k < 75)
        op_read(m);
    else if (k < 82)
        op_compressed(m);
    else if (k < 90)
        op_snapshot(m);
    else if (k < 93)
        op_resize(m);
    else if (k < 96)
        op_reopen(m);
    else
        CHECK(block_flush(m->node) == 0);
}
