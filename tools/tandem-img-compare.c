/* compare and dd */
#include "tools/tandem-img.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUF = 2 << 20, EXIT_OPEN = 2, EXIT_STATUS = 3, EXIT_READ = 4 };

typedef struct Compare {
    Img *img;
    BlockNode *a, *b;
    bool strict, progress;
    uint8_t *buf_a, *buf_b;
} Compare;

static bool reads_zero(const BlockStatus *st)
{
    return st->flags & BLOCK_ST_ZERO;
}

static int mismatch(const Compare *c, const char *what, uint64_t offset)
{
    img_say(c->img, what, offset);
    return 1;
}

static uint64_t first_difference(const uint8_t *p, const uint8_t *q, uint64_t len)
{
    uint64_t i = 0;
    while (i < len && p[i] == q[i])
        i++;
    return i;
}

/* A range that both images have, of one status each. */
static int compare_range(Compare *c, uint64_t offset, uint64_t len, bool zero_a, bool zero_b)
{
    for (uint64_t n; len; offset += n, len -= n) {
        n = MIN(len, BUF);
        int r = zero_a ? 0 : block_pread(c->a, offset, c->buf_a, n);
        r = r < 0 || zero_b ? r : block_pread(c->b, offset, c->buf_b, n);
        if (r < 0) {
            img_error(c->img, "Error while reading offset %" PRIu64 ": %s", offset, g_strerror(-r));
            return EXIT_READ;
        }
        if (zero_a)
            memset(c->buf_a, 0, n);
        if (zero_b)
            memset(c->buf_b, 0, n);
        if (memcmp(c->buf_a, c->buf_b, n))
            return mismatch(c, "Content mismatch at offset %" PRIu64 "!\n", offset + first_difference(c->buf_a, c->buf_b, n));
    }
    return 0;
}

static int status(Compare *c, BlockNode *node, uint64_t offset, uint64_t len, BlockStatus *ret_st)
{
    *ret_st = (BlockStatus){ .len = len, .flags = BLOCK_ST_ZERO };
    int r = offset < block_length(node) ? block_status_chain(node, NULL, offset, len, ret_st) : 0;
    if (r >= 0)
        return 0;
    img_error(c->img, "Sector allocation test failed for %s: %s", block_name(node), g_strerror(-r));
    return EXIT_STATUS;
}

static int compare_all(Compare *c)
{
    uint64_t la = block_length(c->a), lb = block_length(c->b), end = MAX(la, lb);
    if (la != lb && c->strict)
        return mismatch(c, "Strict mode: Image size mismatch!\n", 0);
    for (uint64_t offset = 0; offset < end;) {
        BlockStatus sa, sb;
        if (la != lb && offset == MIN(la, lb))
            img_say(c->img, "Warning: Image size mismatch!\n");
        uint64_t limit = offset < MIN(la, lb) ? MIN(la, lb) : end;
        int r = status(c, c->a, offset, limit - offset, &sa);
        r = r ? r : status(c, c->b, offset, limit - offset, &sb);
        if (r)
            return r;
        uint64_t len = MIN(sa.len, sb.len);
        if (c->strict && (sa.flags & (BLOCK_ST_ZERO | BLOCK_ST_ALLOCATED)) != (sb.flags & (BLOCK_ST_ZERO | BLOCK_ST_ALLOCATED)))
            return mismatch(c, "Strict mode: Offset %" PRIu64 " block status mismatch!\n", offset);
        if (!reads_zero(&sa) || !reads_zero(&sb))
            r = compare_range(c, offset, len, reads_zero(&sa), reads_zero(&sb));
        if (r)
            return r;
        offset += len;
        if (c->progress)
            img_progress((double)offset / (double)end);
    }
    img_say(c->img, "Images are identical.\n");
    return 0;
}

int img_compare(Img *img, int argc, char **argv)
{
    static const struct option longs[] = { { "quiet", no_argument, NULL, 'q' }, IMG_COMMON_LONG };
    ImgOpen a = { 0 }, b = { 0 };
    Compare c = { .img = img };
    for (int o; (o = getopt_long(argc, argv, ":f:F:T:pqsUh", longs, NULL)) != -1;) {
        switch (o) {
        case 'f': a.format = optarg; break;
        case 'F': b.format = optarg; break;
        case 'T': a.cache = b.cache = optarg; break;
        case 'p': c.progress = true; break;
        case 'q': img->quiet = true; break;
        case 's': c.strict = true; break;
        case 'U': a.force_share = b.force_share = true; break;
        case IMG_OPT_IMAGE_OPTS: a.image_opts = b.image_opts = true; break;
        case IMG_OPT_OBJECT: break;
        default: return img_usage(img, "compare: unknown or incomplete option");
        }
    }
    if (optind != argc - 2)
        return img_usage(img, "Expecting two image file names");
    c.progress = c.progress && !img->quiet;
    c.a = img_open(img, argv[optind], &a);
    c.b = c.a ? img_open(img, argv[optind + 1], &b) : NULL;
    c.buf_a = g_malloc(BUF);
    c.buf_b = g_malloc(BUF);
    int r = c.b ? compare_all(&c) : EXIT_OPEN;
    block_unref(c.a);
    block_unref(c.b);
    g_free(c.buf_a);
    g_free(c.buf_b);
    return r;
}

/* ---- dd ---- */

typedef struct Dd {
    const char *in, *out, *out_format;
    uint64_t bs, count, skip;
    bool have_count;
} Dd;

static bool dd_operand(Img *img, Dd *d, const char *arg)
{
    const char *value = strchr(arg, '=');
    if (!value)
        return img_error(img, "unrecognized operand %s", arg), false;
    value++;
    if (g_str_has_prefix(arg, "if="))
        d->in = value;
    else if (g_str_has_prefix(arg, "of="))
        d->out = value;
    else if (g_str_has_prefix(arg, "bs="))
        return img_size(img, value, "bs", &d->bs) && d->bs && d->bs <= 64 << 20 ? true : (img_error(img, "bs is 1 byte to 64 MiB"), false);
    else if (g_str_has_prefix(arg, "count="))
        return d->have_count = true, img_size(img, value, "count", &d->count);
    else if (g_str_has_prefix(arg, "skip="))
        return img_size(img, value, "skip", &d->skip);
    else
        return img_error(img, "unrecognized operand %s", arg), false;
    return true;
}

static int dd_copy(Img *img, const Dd *d, BlockNode *in)
{
    GError *err = NULL;
    uint64_t length = block_length(in), skip, len;
    if (__builtin_mul_overflow(d->skip, d->bs, &skip) || skip > length)
        skip = length;
    /* count counts from the start of the input, skipped blocks included: unlike dd, like qemu-img dd. */
    if (!d->have_count || __builtin_mul_overflow(d->count, d->bs, &len) || len > length)
        len = length;
    len -= MIN(len, skip);
    BlockCreateOpts o = { .format = d->out_format, .name = d->out, .size = len, .have_size = true, .cache = BLOCK_CACHE_WRITEBACK };
    BlockOpenOpts oo = { .format = d->out_format, .writable = true, .detect_zeroes = BLOCK_DETECT_UNMAP, .discard = true };
    BlockNode *out = block_create(img->ctx, &o, NULL, &err) ? block_open(img->ctx, d->out, &oo, &err) : NULL;
    if (!out)
        return img_gerror(img, err);
    g_autofree uint8_t *buf = g_malloc(d->bs);
    int r = 0;
    for (uint64_t done = 0, n; r == 0 && done < len; done += n) {
        n = MIN(d->bs, len - done);
        r = block_pread(in, skip + done, buf, n);
        r = r < 0 ? r : block_pwrite(out, done, buf, n, 0);
    }
    int c = block_close(out);
    r = r < 0 ? r : c;
    return r < 0 ? img_error(img, "error while copying to '%s': %s", d->out, g_strerror(-r)) : 0;
}

int img_dd(Img *img, int argc, char **argv)
{
    static const struct option longs[] = { IMG_COMMON_LONG };
    ImgOpen how = { 0 };
    Dd d = { .out_format = "raw", .bs = 512 };
    for (int o; (o = getopt_long(argc, argv, ":f:O:Uh", longs, NULL)) != -1;) {
        switch (o) {
        case 'f': how.format = optarg; break;
        case 'O': d.out_format = optarg; break;
        case 'U': how.force_share = true; break;
        case IMG_OPT_IMAGE_OPTS: how.image_opts = true; break;
        case IMG_OPT_OBJECT: break;
        default: return img_usage(img, "dd: unknown or incomplete option");
        }
    }
    for (; optind < argc; optind++)
        if (!dd_operand(img, &d, argv[optind]))
            return 1;
    if (!d.in || !d.out)
        return img_error(img, "Must specify both input and output file names");
    BlockNode *in = img_open(img, d.in, &how);
    int r = in ? dd_copy(img, &d, in) : 1;
    block_unref(in);
    return r;
}
