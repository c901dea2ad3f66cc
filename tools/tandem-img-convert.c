/* convert: copy what is there, by several threads. */
#include "tools/tandem-img.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { CHUNK = 2 << 20, SECTOR = 512, MAX_WORKERS = 16, DEFAULT_SPARSE = 4096 };

typedef struct Convert {
    Img *img;
    BlockNode *src[64], *dst;
    uint64_t start[65];         /* where each source begins in the output; [n] is the end */
    unsigned n;
    uint64_t total, chunk, unit;
    uint64_t sparse;            /* shorter runs of zeros in what is stored are copied */
    bool compress, target_zero, target_backing, all_data, progress, salvage;

    GMutex lock;                /* protects the rest */
    uint64_t next, done;
    int error;
    const char *error_what;
    uint64_t error_offset;
} Convert;

typedef enum Kind { KIND_ZERO, KIND_DATA, KIND_BACKING, KIND_UNKNOWN } Kind;

static int fail_at(Convert *c, int r, const char *what, uint64_t offset)
{
    g_mutex_lock(&c->lock);
    if (!c->error) {
        c->error = r;
        c->error_what = what;
        c->error_offset = offset;
    }
    g_mutex_unlock(&c->lock);
    return r;
}

static unsigned source_at(const Convert *c, uint64_t offset)
{
    unsigned i = 0;
    while (offset >= c->start[i + 1])
        i++;
    return i;
}

/* --salvage: what cannot be read becomes zeros, sector by sector. */
static int salvage(Convert *c, BlockNode *src, uint64_t in, uint8_t *buf, uint64_t len, uint64_t offset)
{
    for (uint64_t pos = 0, n; pos < len; pos += n) {
        n = MIN(SECTOR - (in + pos) % SECTOR, len - pos);
        int r = block_pread(src, in + pos, buf + pos, n);
        if (r >= 0)
            continue;
        memset(buf + pos, 0, n);
        if (!c->img->quiet)
            img_error(c->img, "warning: error while reading offset %" PRIu64 ": %s", offset + pos, g_strerror(-r));
    }
    return 0;
}

/* Read a range that may span several sources. */
static int read_range(Convert *c, uint64_t offset, uint8_t *buf, uint64_t len)
{
    while (len) {
        unsigned i = source_at(c, offset);
        uint64_t in = offset - c->start[i], size = block_length(c->src[i]), part = MIN(len, c->start[i + 1] - offset);
        uint64_t have = in < size ? MIN(part, size - in) : 0;
        int r = have ? block_pread(c->src[i], in, buf, have) : 0;
        if (r < 0 && c->salvage)
            r = salvage(c, c->src[i], in, buf, have, offset);
        if (r < 0)
            return fail_at(c, r, "reading", offset);
        memset(buf + have, 0, part - have);
        offset += part;
        buf += part;
        len -= part;
    }
    return 0;
}

/* What each unit of a chunk is, by the metadata of the sources. A unit of several kinds counts as data. */
static int classify(Convert *c, uint64_t offset, uint64_t len, uint8_t *kinds)
{
    uint64_t end = offset + len, base = offset;
    memset(kinds, c->all_data ? KIND_DATA : KIND_UNKNOWN, (len + c->unit - 1) / c->unit);
    while (!c->all_data && offset < end) {
        unsigned i = source_at(c, offset);
        uint64_t in = offset - c->start[i], part = MIN(end, c->start[i + 1]) - offset;
        BlockStatus st = { .len = part, .flags = BLOCK_ST_ZERO | BLOCK_ST_ALLOCATED };
        if (in < block_length(c->src[i])) {
            int r = c->target_backing ? block_status(c->src[i], in, part, &st) : block_status_chain(c->src[i], NULL, in, part, &st);
            if (r < 0 && c->salvage)
                st = (BlockStatus){ .len = MIN(part, c->unit), .flags = BLOCK_ST_DATA | BLOCK_ST_ALLOCATED };
            else if (r < 0)
                return fail_at(c, r, "reading the block status", offset);
        }
        Kind kind = c->target_backing && !(st.flags & BLOCK_ST_ALLOCATED) ? KIND_BACKING : st.flags & BLOCK_ST_ZERO ? KIND_ZERO : KIND_DATA;
        for (uint64_t u = (offset - base) / c->unit; u * c->unit < offset + st.len - base; u++)
            kinds[u] = kinds[u] == KIND_UNKNOWN || kinds[u] == kind ? kind : KIND_DATA;
        offset += st.len;
    }
    return 0;
}

static bool is_zero(const uint8_t *p, uint64_t len)
{
    return !p[0] && !memcmp(p, p + 1, len - 1);
}

static int write_run(Convert *c, uint64_t offset, const uint8_t *buf, uint64_t len, Kind kind)
{
    int r = 0;
    if (kind == KIND_DATA)
        r = block_pwrite(c->dst, offset, buf, len, c->compress ? BLOCK_REQ_COMPRESS : 0);
    else if (kind == KIND_ZERO && !c->target_zero)
        r = block_pwrite_zeroes(c->dst, offset, len, BLOCK_REQ_MAY_UNMAP);
    return r < 0 ? fail_at(c, r, "writing", offset) : 0;
}

/* Long enough runs of zeros among the units of data from @first to @end. */
static void find_zeros(const Convert *c, uint64_t len, const uint8_t *buf, uint8_t *kinds, uint64_t first, uint64_t end)
{
    for (uint64_t k = first, run = first; k <= end; k++) {
        if (k < end && is_zero(buf + k * c->unit, MIN(c->unit, len - k * c->unit)))
            continue;
        if ((k - run) * c->unit >= c->sparse || (k > run && k * c->unit >= len))
            memset(kinds + run, KIND_ZERO, k - run);
        run = k + 1;
    }
}

static int copy_chunk(Convert *c, uint64_t offset, uint64_t len, uint8_t *buf, uint8_t *kinds)
{
    uint64_t units = (len + c->unit - 1) / c->unit, u = 0;
    int r = classify(c, offset, len, kinds);
    while (r == 0 && u < units) {       /* read runs of data, look for zeros in them */
        uint64_t first = u;
        while (u < units && kinds[u] == KIND_DATA)
            u++;
        if (u == first) {
            u++;
            continue;
        }
        r = read_range(c, offset + first * c->unit, buf + first * c->unit, MIN(u * c->unit, len) - first * c->unit);
        if (r == 0 && !c->all_data)
            find_zeros(c, len, buf, kinds, first, u);
    }
    for (u = 0; r == 0 && u < units;) {
        uint64_t first = u;
        while (u < units && kinds[u] == kinds[first])
            u++;
        r = write_run(c, offset + first * c->unit, buf + first * c->unit, MIN(u * c->unit, len) - first * c->unit, kinds[first]);
    }
    return r;
}

static void *worker(void *opaque)
{
    Convert *c = opaque;
    uint8_t *buf = aligned_alloc(4096, c->chunk), *kinds = g_malloc(c->chunk / c->unit + 1);
    int r = buf ? 0 : fail_at(c, -ENOMEM, "getting memory for", 0);
    while (r == 0) {
        g_mutex_lock(&c->lock);
        uint64_t offset = c->next, len = MIN(c->chunk, c->total - MIN(c->total, offset));
        c->next += c->chunk;
        bool stop = c->error || !len;
        g_mutex_unlock(&c->lock);
        if (stop)
            break;
        r = copy_chunk(c, offset, len, buf, kinds);
        g_mutex_lock(&c->lock);
        c->done += len;
        if (c->progress)
            img_progress((double)c->done / (double)c->total);
        g_mutex_unlock(&c->lock);
    }
    free(buf);
    g_free(kinds);
    return NULL;
}

static int run(Convert *c, unsigned workers)
{
    GThread *threads[MAX_WORKERS];
    unsigned n = 0;
    if (c->progress)
        img_progress(0);
    for (; n + 1 < workers; n++)
        threads[n] = g_thread_new("convert", worker, c);
    worker(c);
    while (n)
        g_thread_join(threads[--n]);
    if (c->error)
        return img_error(c->img, "error while %s at byte %" PRIu64 ": %s", c->error_what, c->error_offset, g_strerror(-c->error));
    if (c->progress) {
        img_progress(1);
        printf("\n");
    }
    return 0;
}

/* ---- the command line ---- */

typedef struct Args {
    Img *img;
    ImgOpen src, dst;
    const char *out_format, *backing, *backing_format, *snapshot;
    GPtrArray *options;
    bool no_create, compress, progress, target_is_zero, help, bitmaps, skip_broken, salvage, offload, have_sparse;
    uint64_t sparse, rate;
    unsigned workers;
} Args;

enum { OPT_TARGET_IS_ZERO = IMG_OPT_OWN, OPT_TARGET_IMAGE_OPTS, OPT_BITMAPS, OPT_SKIP_BROKEN, OPT_SALVAGE };

static bool parse_arg(Args *a, int c, const char *arg)
{
    uint64_t n;
    switch (c) {
    case 'f': a->src.format = arg; return true;
    case 'O': a->out_format = arg; return true;
    case 'B': a->backing = arg; return true;
    case 'F': a->backing_format = arg; return true;
    case 'c': a->compress = true; return true;
    case 'l': a->snapshot = arg; return true;
    case 'o':
        a->help |= img_has_help(arg);
        img_add_options(a->options, arg);
        return true;
    case 'S':
        if (!img_size(a->img, arg, "minimum zero buffer size for sparse output", &a->sparse))
            return false;
        if (a->sparse % SECTOR || a->sparse > CHUNK) {
            img_error(a->img, "-S: a multiple of 512, up to 2M, is needed");
            return false;
        }
        a->have_sparse = true;
        return true;
    case 'm':
        if (!block_parse_size(arg, &n) || n < 1 || n > MAX_WORKERS) {
            img_error(a->img, "Invalid number of coroutines. Allowed number of coroutines is between 1 and 16");
            return false;
        }
        a->workers = (unsigned)n;
        return true;
    case 'n': a->no_create = true; return true;
    case 'p': a->progress = true; return true;
    case 'q': a->img->quiet = true; return true;
    case 't': a->dst.cache = arg; return true;
    case 'T': a->src.cache = arg; return true;
    case 'U': a->src.force_share = true; return true;
    case 'C': a->offload = true; return true;   /* there is none; accepted */
    case 'W': return true;      /* always: pieces of 2 MiB, each in order */
    case 'r': return img_size(a->img, arg, "rate limit", &a->rate);
    case OPT_TARGET_IS_ZERO: a->target_is_zero = true; return true;
    case OPT_TARGET_IMAGE_OPTS: a->dst.image_opts = true; return true;
    case OPT_BITMAPS: a->bitmaps = true; return true;
    case OPT_SKIP_BROKEN: a->skip_broken = true; return true;
    case OPT_SALVAGE: a->salvage = true; return true;
    case IMG_OPT_IMAGE_OPTS: a->src.image_opts = true; return true;
    case IMG_OPT_OBJECT: return true;
    default:
        img_usage(a->img, "convert: unknown or incomplete option");
        return false;
    }
}

static bool open_sources(Args *a, Convert *c, char **names, int n)
{
    if (n > (int)G_N_ELEMENTS(c->src)) {
        img_error(a->img, "too many source images");
        return false;
    }
    if (a->snapshot && n > 1) {
        img_error(a->img, "No support for concatenating multiple snapshot");
        return false;
    }
    for (int i = 0; i < n; i++) {
        c->src[i] = img_open_snapshot(a->img, names[i], &a->src, a->snapshot);
        if (!c->src[i])
            return false;
        c->n++;
        c->total += (block_length(c->src[i]) + SECTOR - 1) & ~(uint64_t)(SECTOR - 1);
        c->start[i + 1] = c->total;
    }
    return true;
}

static bool make_target(Args *a, Convert *c, const char *name)
{
    GError *err = NULL;
    BlockCreateOpts o = { .format = a->out_format, .name = name, .size = c->total, .have_size = true, .backing = a->backing,
                          .backing_format = a->backing_format, .options = (const char *const *)a->options->pdata,
                          .cache = BLOCK_CACHE_UNSAFE };
    o.backing = o.backing ? o.backing : block_opt_get(&o, "backing_file");
    o.backing_format = o.backing_format ? o.backing_format : block_opt_get(&o, "backing_fmt");
    c->target_backing = o.backing != NULL;
    if (!a->no_create && !block_create(a->img->ctx, &o, NULL, &err)) {
        g_prefix_error(&err, "error while converting %s: ", a->out_format);
        return img_gerror(a->img, err), false;
    }
    a->dst.format = a->out_format;
    a->dst.writable = true;
    if (!a->dst.cache)
        a->dst.cache = "unsafe";
    c->dst = img_open(a->img, name, &a->dst);
    BlockLimits limits = { .limit[BLOCK_LIMIT_BYTES] = { a->rate } };
    return c->dst && (block_set_limits(c->dst, &limits, &err) || (img_gerror(a->img, err), false));
}

static bool check_target(Args *a, Convert *c)
{
    BlockInfo info;
    if (a->no_create && block_length(c->dst) < c->total)
        return img_error(a->img, "output file is smaller than input file"), false;
    if (block_info(c->dst, &info) < 0)
        info = (BlockInfo){ 0 };
    if (info.specific)
        g_variant_unref(info.specific);
    if (a->compress && strcmp(block_format_name(c->dst), "qcow2"))
        return img_error(a->img, "Compression not supported for this file format; use -O qcow2"), false;
    c->compress = a->compress;
    c->all_data = a->sparse == 0;
    c->unit = DEFAULT_SPARSE;
    c->sparse = a->sparse;
    if (info.cluster_size)
        c->unit = MAX(c->unit, a->compress ? info.cluster_size : block_opt_io_size(c->dst));
    c->unit = 1ull << (63 - __builtin_clzll(c->unit));
    c->chunk = MAX(CHUNK, c->unit);
    /* What was just made of a regular file reads as zeros; anything else must be told. */
    c->target_zero = !c->target_backing && (a->target_is_zero || !a->no_create) && !c->all_data;
    return true;
}

/* ---- bitmaps ---- */

typedef struct BitmapCopy {
    Args *a;
    BlockNode *src, *dst;       /* dst NULL: only see whether it can be done */
} BitmapCopy;

static bool copy_bitmap(const BitmapCopy *b, GVariant *v, GError **err)
{
    const char *name = NULL;
    guint64 granularity = 0;
    bool in_use = false, automatic = false;
    g_autoptr(GVariant) flags = g_variant_lookup_value(v, "flags", NULL);
    g_variant_lookup(v, "name", "&s", &name);
    g_variant_lookup(v, "granularity", "t", &granularity);
    for (gsize i = 0; flags && i < g_variant_n_children(flags); i++) {
        g_autoptr(GVariant) box = g_variant_get_child_value(flags, i), flag = g_variant_get_variant(box);
        in_use |= !strcmp(g_variant_get_string(flag, NULL), "in-use");
        automatic |= !strcmp(g_variant_get_string(flag, NULL), "auto");
    }
    if (in_use && !b->a->skip_broken) {
        img_error(b->a->img, "Cannot copy inconsistent bitmap '%s': try --skip-broken-bitmaps, or 'bitmap --remove'", name);
        return false;
    }
    if (in_use || !b->dst)
        return true;
    return block_bitmap(b->dst, BLOCK_BITMAP_ADD, name, granularity, err) && block_bitmap_merge(b->dst, name, b->src, name, err) &&
           (automatic || block_bitmap(b->dst, BLOCK_BITMAP_DISABLE, name, 0, err));
}

static bool copy_bitmaps(const BitmapCopy *b)
{
    GError *err = NULL;
    BlockInfo info = { 0 };
    bool ok = block_info(b->src, &info) >= 0;
    if (!info.cluster_size || strcmp(block_format_name(b->src), "qcow2")) {
        img_error(b->a->img, "Source lacks bitmap support");
        ok = false;
    } else if (!b->dst && strcmp(b->a->out_format, "qcow2")) {
        img_error(b->a->img, "Format driver '%s' does not support bitmaps", b->a->out_format);
        ok = false;
    }
    g_autoptr(GVariant) list = info.specific ? g_variant_lookup_value(info.specific, "bitmaps", NULL) : NULL;
    for (gsize i = 0; ok && list && i < g_variant_n_children(list); i++) {
        g_autoptr(GVariant) box = g_variant_get_child_value(list, i), v = g_variant_get_variant(box);
        ok = copy_bitmap(b, v, &err);
    }
    g_clear_pointer(&info.specific, g_variant_unref);
    if (err)
        img_gerror(b->a->img, err);
    return ok;
}

/* What contradicts itself, before anything is made. */
static bool check_args(const Args *a, unsigned sources)
{
    const char *why = a->offload && a->compress ? "Cannot enable copy offloading when -c is used" :
                      a->offload && a->have_sparse ? "Cannot enable copy offloading when -S is used" :
                      a->skip_broken && !a->bitmaps ? "Use of --skip-broken-bitmaps requires --bitmaps" :
                      a->bitmaps && a->snapshot ? "Copying bitmaps from a snapshot is not supported" :
                      a->bitmaps && sources > 1 ? "Copying bitmaps only possible with single source" :
                      a->target_is_zero && !a->no_create ? "--target-is-zero requires use of -n flag" : NULL;
    if (why)
        img_error(a->img, "%s", why);
    return !why;
}

int img_convert(Img *img, int argc, char **argv)
{
    static const struct option longs[] = { { "target-is-zero", no_argument, NULL, OPT_TARGET_IS_ZERO }, { "quiet", no_argument, NULL, 'q' },
                                           { "target-image-opts", no_argument, NULL, OPT_TARGET_IMAGE_OPTS }, { "bitmaps", no_argument, NULL, OPT_BITMAPS },
                                           { "skip-broken-bitmaps", no_argument, NULL, OPT_SKIP_BROKEN }, { "salvage", no_argument, NULL, OPT_SALVAGE },
                                           IMG_COMMON_LONG };
    Args a = { .img = img, .out_format = "raw", .sparse = DEFAULT_SPARSE, .workers = CLAMP(g_get_num_processors() * 2, 4, 8),
               .options = g_ptr_array_new_with_free_func(g_free) };
    Convert c = { .img = img };
    int r = 1;
    bool ok = true;
    g_ptr_array_add(a.options, NULL);
    g_mutex_init(&c.lock);
    for (int o; ok && (o = getopt_long(argc, argv, ":B:CF:O:S:T:UWcf:hl:m:no:pqr:t:", longs, NULL)) != -1;)
        ok = parse_arg(&a, o, optarg);
    if (ok && a.help) {
        r = img_print_create_help(img, a.out_format);
    } else if (ok && argc - optind < 2) {
        img_error(img, "Must specify image file name");
    } else if (ok && !block_format_find(a.out_format)) {
        img_error(img, "Unknown file format '%s'", a.out_format);
    } else if (ok && check_args(&a, (unsigned)(argc - optind - 1)) && open_sources(&a, &c, argv + optind, argc - optind - 1) &&
               (!a.bitmaps || copy_bitmaps(&(BitmapCopy){ &a, c.src[0], NULL })) && make_target(&a, &c, argv[argc - 1]) && check_target(&a, &c)) {
        c.progress = a.progress && !img->quiet;
        c.salvage = a.salvage;
        r = run(&c, a.workers);
        if (r == 0 && a.bitmaps && !copy_bitmaps(&(BitmapCopy){ &a, c.src[0], c.dst }))
            r = 1;
    }
    int e = c.dst ? block_close(c.dst) : 0;
    if (r == 0 && e < 0)
        r = img_error(img, "error while writing '%s': %s", argv[argc - 1], g_strerror(-e));
    for (unsigned i = 0; i < c.n; i++)
        block_unref(c.src[i]);
    g_mutex_clear(&c.lock);
    g_ptr_array_unref(a.options);
    return r;
}
