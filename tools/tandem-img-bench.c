/* bench and measure */
#include "tools/tandem-img.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- bench ---- */

typedef struct Bench {
    Img *img;
    Loop *loop;
    BlockNode *node;
    uint64_t count, offset, step, size, left, in_flight, length;
    unsigned depth, flush_interval, since_flush;
    bool write, no_drain, failed;
    int pattern;
} Bench;

typedef struct Slot {
    BlockReq req;
    struct iovec vec;
    Bench *bench;
    bool flushing;
} Slot;

static void slot_start(Slot *s);

static void slot_done(BlockReq *req, int ret)
{
    Slot *s = req->opaque;
    Bench *b = s->bench;
    b->in_flight--;
    if (ret < 0 && !b->failed) {
        b->failed = true;
        img_error(b->img, "Failed request: %s", g_strerror(-ret));
    }
    if (!b->failed)
        slot_start(s);
}

static void slot_start(Slot *s)
{
    Bench *b = s->bench;
    if (!b->left)
        return;
    if (b->flush_interval && b->since_flush >= b->flush_interval) {
        b->since_flush = 0;
        s->req.op = BLOCK_FLUSH;
    } else {
        b->since_flush++;
        b->left--;
        s->req.op = b->write ? BLOCK_WRITE : BLOCK_READ;
        s->req.offset = b->offset;
        s->req.len = b->size;
        b->offset += b->step;
        if (b->offset > b->length - b->size)
            b->offset %= MAX(b->length - b->size, 1);
        if (b->length <= b->size)
            b->offset = 0;
    }
    b->in_flight++;
    block_submit(b->node, &s->req);
}

static int bench_run(Bench *b)
{
    b->length = block_length(b->node);
    if (b->length < b->size)
        return img_error(b->img, "the image is smaller than one request");
    b->loop = loop_new(NULL);
    Slot *slots = g_new0(Slot, b->depth);
    uint8_t *buf = aligned_alloc(4096, MAX((b->size * b->depth + 4095) & ~4095ull, 4096));
    if (!buf)
        return img_error(b->img, "not enough memory for the buffers");
    memset(buf, b->pattern, b->size * b->depth);
    printf("Sending %" PRIu64 " %s requests, %" PRIu64 " bytes each, %u in parallel (starting at offset %" PRIu64 ", step size %" PRIu64 ")\n",
           b->count, b->write ? "write" : "read", b->size, b->depth, b->offset, b->step);
    if (b->flush_interval)
        printf("Sending flush every %u%s requests\n", b->flush_interval, b->no_drain ? "" : " drained");
    fflush(stdout);
    b->left = b->count;
    int64_t start = clock_now_ns(&clock_host);
    for (unsigned i = 0; i < b->depth; i++) {
        slots[i].vec = (struct iovec){ buf + i * b->size, b->size };
        slots[i].bench = b;
        slots[i].req = (BlockReq){ .iov = &slots[i].vec, .niov = 1, .done = slot_done, .opaque = &slots[i], .loop = b->loop };
        slot_start(&slots[i]);
    }
    while (b->in_flight)
        loop_iterate(b->loop, true);
    printf("Run completed in %3.3f seconds.\n", (double)(clock_now_ns(&clock_host) - start) / 1e9);
    block_drain_begin(b->node, b->loop);
    block_drain_end(b->node);
    loop_unref(b->loop);
    g_free(slots);
    free(buf);
    return b->failed;
}

static bool number(Img *img, const char *text, const char *what, uint64_t min, uint64_t max, uint64_t *ret)
{
    if (block_parse_size(text, ret) && *ret >= min && *ret <= max)
        return true;
    img_error(img, "Invalid %s specified", what);
    return false;
}

int img_bench(Img *img, int argc, char **argv)
{
    enum { FLUSH = IMG_OPT_OWN, PATTERN, NO_DRAIN };
    static const struct option longs[] = { { "flush-interval", required_argument, NULL, FLUSH }, { "pattern", required_argument, NULL, PATTERN },
                                           { "no-drain", no_argument, NULL, NO_DRAIN }, { "quiet", no_argument, NULL, 'q' }, IMG_COMMON_LONG };
    ImgOpen how = { 0 };
    Bench b = { .img = img, .count = 75000, .depth = 64, .size = 4096 };
    uint64_t n;
    bool ok = true, native = false;
    for (int o; ok && (o = getopt_long(argc, argv, ":c:d:f:ni:o:qs:S:t:wUh", longs, NULL)) != -1;) {
        switch (o) {
        case 'c': ok = number(img, optarg, "request count", 0, 1ull << 40, &b.count); break;
        case 'd': ok = number(img, optarg, "queue depth", 1, 4096, &n), b.depth = (unsigned)n; break;
        case 'f': how.format = optarg; break;
        case 'n': native = true; break;
        case 'i':
            how.no_uring = !strcmp(optarg, "threads");
            if (strcmp(optarg, "native") && strcmp(optarg, "io_uring") && !how.no_uring)
                return img_error(img, "Invalid aio option: %s", optarg);
            break;
        case 'o': ok = number(img, optarg, "offset", 0, INT64_MAX, &b.offset); break;
        case 'q': img->quiet = true; break;
        case 's': ok = number(img, optarg, "buffer size", 0, 64 << 20, &b.size); break;
        case 'S': ok = number(img, optarg, "step size", 0, INT64_MAX, &b.step); break;
        case 't': how.cache = optarg; break;
        case 'w': b.write = how.writable = true; break;
        case 'U': how.force_share = true; break;
        case FLUSH: ok = number(img, optarg, "flush interval", 0, UINT32_MAX, &n), b.flush_interval = (unsigned)n; break;
        case PATTERN: ok = number(img, optarg, "pattern byte", 0, 255, &n), b.pattern = (int)n; break;
        case NO_DRAIN: b.no_drain = true; break;
        case IMG_OPT_IMAGE_OPTS: how.image_opts = true; break;
        case IMG_OPT_OBJECT: break;
        default: return img_usage(img, "bench: unknown or incomplete option");
        }
    }
    if (!ok)
        return 1;
    if (optind != argc - 1)
        return img_usage(img, "Expecting one image file name");
    if (b.flush_interval && !b.write)
        return img_error(img, "--flush-interval is only available in write tests");
    if (b.flush_interval && b.flush_interval < b.depth)
        return img_error(img, "Flush interval can't be smaller than depth");
    if (native && !how.cache)
        how.cache = "none";
    b.step = b.step ? b.step : b.size;
    b.node = img_open(img, argv[optind], &how);
    int r = b.node ? bench_run(&b) : 1;
    int c = b.node ? block_close(b.node) : 0;
    return r == 0 && c < 0 ? img_error(img, "cannot write '%s': %s", argv[optind], g_strerror(-c)) : r;
}

/* ---- measure ---- */

typedef struct Measure {
    uint64_t required, full, bitmaps;
    bool no_bitmaps;            /* the new image cannot have any */
} Measure;

static uint64_t div_up(uint64_t a, uint64_t b)
{
    return a / b + !!(a % b);
}

/* Clusters of @unit bytes that have data. */
static int count_data(BlockNode *node, uint64_t unit, uint64_t *ret_bytes)
{
    uint64_t length = block_length(node), covered = 0, n = 0;
    for (uint64_t offset = 0; offset < length;) {
        BlockStatus st;
        int r = block_status_chain(node, NULL, offset, length - offset, &st);
        if (r < 0)
            return r;
        if (!(st.flags & BLOCK_ST_ZERO)) {
            uint64_t first = MAX(offset / unit, covered), last = div_up(offset + st.len, unit);
            if (last > first)
                n += last - first;
            covered = MAX(covered, last);
        }
        offset += st.len;
    }
    *ret_bytes = n * unit;
    return 0;
}

/* Header, tables and refcounts for @size bytes, fully allocated. */
static uint64_t qcow2_overhead(uint64_t size, uint64_t cluster, unsigned refcount_bits, unsigned entry)
{
    uint64_t data = div_up(size, cluster), l2 = div_up(data * entry, cluster), l1 = div_up(l2 * 8, cluster), table = 1, blocks = 1, before;
    do {
        before = table + blocks;
        blocks = div_up((1 + data + l2 + l1 + table + blocks) * refcount_bits, cluster * 8);
        table = div_up(blocks * 8, cluster);
    } while (table + blocks != before);
    return (1 + l2 + l1 + table + blocks) * cluster;
}

/* What the bitmaps of @node take when they are copied into an image of clusters of @cluster bytes. */
static uint64_t bitmaps_size(BlockNode *node, uint64_t cluster)
{
    BlockInfo info = { 0 };
    uint64_t sum = 0, directory = 0;
    block_info(node, &info);
    g_autoptr(GVariant) list = info.specific ? g_variant_lookup_value(info.specific, "bitmaps", NULL) : NULL;
    for (gsize i = 0; list && i < g_variant_n_children(list); i++) {
        g_autoptr(GVariant) box = g_variant_get_child_value(list, i), v = g_variant_get_variant(box);
        const char *name = "";
        guint64 granularity = 65536;
        g_variant_lookup(v, "name", "&s", &name);
        g_variant_lookup(v, "granularity", "t", &granularity);
        uint64_t clusters = div_up(div_up(div_up(block_length(node), granularity), 8), cluster);
        sum += (clusters + div_up(clusters * 8, cluster)) * cluster;
        directory += (24 + strlen(name) + 7) & ~7ull;
    }
    g_clear_pointer(&info.specific, g_variant_unref);
    return sum + div_up(directory, cluster) * cluster;
}

static bool measure_qcow2(Img *img, GPtrArray *options, BlockNode *node, uint64_t size, Measure *m)
{
    static const char *const known[] = { "backing_file", "backing_fmt", "cluster_size", "compat", "compression_type", "data_file",
                                         "data_file_raw", "extended_l2", "lazy_refcounts", "preallocation", "refcount_bits", "size", NULL };
    BlockCreateOpts o = { .format = "qcow2", .options = (const char *const *)options->pdata };
    for (const char *const *p = o.options; *p; p++) {
        g_autofree char *key = g_strndup(*p, strcspn(*p, "="));
        if (!g_strv_contains(known, key))
            return img_error(img, "Invalid parameter '%s'", key), false;
    }
    const char *cs = block_opt_get(&o, "cluster_size"), *rb = block_opt_get(&o, "refcount_bits"), *ext = block_opt_get(&o, "extended_l2");
    const char *prealloc = block_opt_get(&o, "preallocation");
    uint64_t cluster = 65536, bits = 16, data = 0;
    bool extended = false;
    if ((cs && (!block_parse_size(cs, &cluster) || cluster < 512 || cluster > 2 << 20 || (cluster & (cluster - 1)))) ||
        (rb && (!block_parse_size(rb, &bits) || !bits || bits > 64)) || (ext && !block_parse_bool(ext, &extended)))
        return img_error(img, "bad cluster_size, refcount_bits or extended_l2"), false;
    int r = node ? count_data(node, cluster, &data) : 0;
    if (r < 0)
        return img_error(img, "Unable to get block status: %s", g_strerror(-r)), false;
    m->bitmaps = node ? bitmaps_size(node, cluster) : 0;
    uint64_t overhead = qcow2_overhead(size, cluster, (unsigned)bits, extended ? 16 : 8), all = div_up(size, cluster) * cluster;
    m->full = overhead + all;
    /* How much of a backing file the new image will share is not known. */
    bool everything = (prealloc && (!strcmp(prealloc, "full") || !strcmp(prealloc, "falloc"))) || block_opt_get(&o, "backing_file");
    m->required = overhead + (everything ? all : data);
    const char *compat = block_opt_get(&o, "compat");
    m->no_bitmaps = compat && (!strcmp(compat, "0.10") || !strcmp(compat, "v2"));
    return true;
}

static void print_measure(const Measure *m, bool json, bool bitmaps)
{
    if (json) {
        g_autofree char *extra = bitmaps ? g_strdup_printf("    \"bitmaps\": %" PRIu64 ",\n", m->bitmaps) : g_strdup("");
        printf("{\n%s    \"required\": %" PRIu64 ",\n    \"fully-allocated\": %" PRIu64 "\n}\n", extra, m->required, m->full);
        return;
    }
    printf("required size: %" PRIu64 "\nfully allocated size: %" PRIu64 "\n", m->required, m->full);
    if (bitmaps)
        printf("bitmaps size: %" PRIu64 "\n", m->bitmaps);
}

int img_measure(Img *img, int argc, char **argv)
{
    enum { OUTPUT = IMG_OPT_OWN, SIZE };
    static const struct option longs[] = { { "output", required_argument, NULL, OUTPUT }, { "size", required_argument, NULL, SIZE }, IMG_COMMON_LONG };
    g_autoptr(GPtrArray) options = g_ptr_array_new_with_free_func(g_free);
    ImgOpen how = { 0 };
    const char *out = "raw", *snapshot = NULL;
    uint64_t size = 0;
    bool json = false, ok = true, have_size = false;
    g_ptr_array_add(options, NULL);
    for (int o; ok && (o = getopt_long(argc, argv, ":f:l:o:O:Uh", longs, NULL)) != -1;) {
        switch (o) {
        case 'f': how.format = optarg; break;
        case 'l': snapshot = optarg; break;
        case 'o': img_add_options(options, optarg); break;
        case 'O': out = optarg; break;
        case 'U': how.force_share = true; break;
        case OUTPUT: img_json_flag(img, optarg, &json, &ok); break;
        case SIZE: have_size = ok = img_size(img, optarg, "image size", &size); break;
        case IMG_OPT_IMAGE_OPTS: how.image_opts = true; break;
        case IMG_OPT_OBJECT: break;
        default: return img_usage(img, "measure: unknown or incomplete option");
        }
    }
    if (!ok)
        return 1;
    if (have_size == (optind < argc))
        return img_error(img, have_size ? "--size N cannot be used together with a filename" : "Either --size N or one filename must be specified");
    BlockNode *node = have_size ? NULL : img_open_snapshot(img, argv[optind], &how, snapshot);
    if (!node && !have_size)
        return 1;
    size = node ? block_length(node) : size;
    Measure m = { .full = size };
    bool bitmaps = node && !strcmp(block_format_name(node), "qcow2") && !strcmp(out, "qcow2");
    if (!strcmp(out, "qcow2")) {
        ok = measure_qcow2(img, options, node, size, &m);
    } else if (!strcmp(out, "raw")) {
        m.required = size;
    } else {
        ok = (img_error(img, "Unknown file format '%s'", out), false);
    }
    if (ok)
        print_measure(&m, json, bitmaps && !m.no_bitmaps);
    block_unref(node);
    return ok ? 0 : 1;
}
