/* commit and rebase: moving data along a chain of backing files */
#include "tools/tandem-img.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { BUF = 1 << 20 };

static bool is_zero(const uint8_t *p, uint64_t len)
{
    return !p[0] && !memcmp(p, p + 1, len - 1);
}

static int write_smart(BlockNode *node, uint64_t offset, const uint8_t *buf, uint64_t len)
{
    return is_zero(buf, len) ? block_pwrite_zeroes(node, offset, len, BLOCK_REQ_MAY_UNMAP) : block_pwrite(node, offset, buf, len, 0);
}

/* ---- commit ---- */

typedef struct Pace {
    bool progress;
    uint64_t rate;              /* bytes a second; 0: no limit */
    int64_t start_ns;
} Pace;

static void show_progress(void *opaque, uint64_t done, uint64_t total)
{
    const Pace *p = opaque;
    double ahead = p->rate ? (double)done / (double)p->rate - (double)(clock_now_ns(&clock_host) - p->start_ns) / 1e9 : 0;
    if (p->progress)
        img_progress((double)done / (double)total);
    if (ahead > 0)
        g_usleep((gulong)(MIN(ahead, 3600) * 1e6));
}

static BlockNode *find_base(BlockNode *top, const char *name)
{
    BlockNode *base = block_backing(top), *above = top;
    while (base && name && strcmp(block_name(base), name) && strcmp(block_backing_name(above), name)) {
        above = base;
        base = block_backing(base);
    }
    return base;
}

static int commit_node(Img *img, BlockNode *top, const char *base_name, bool keep, Pace *pace)
{
    GError *err = NULL;
    if (!block_backing(top))
        return img_error(img, "Image does not have a backing file");
    BlockNode *base = find_base(top, base_name);
    if (!base)
        return img_error(img, "Did not find '%s' in the backing chain of '%s'", base_name, block_name(top));
    bool ok = block_commit(top, base, !keep, NULL, show_progress, pace, &err);
    if (pace->progress)
        printf("\n");
    if (!ok)
        return img_gerror(img, err);
    img_say(img, "Image committed.\n");
    return 0;
}

int img_commit(Img *img, int argc, char **argv)
{
    static const struct option longs[] = { { "quiet", no_argument, NULL, 'q' }, IMG_COMMON_LONG };
    ImgOpen how = { .writable = true };
    const char *base = NULL;
    bool keep = false;
    Pace pace = { .start_ns = clock_now_ns(&clock_host) };
    for (int o; (o = getopt_long(argc, argv, ":f:t:b:dpqhr:", longs, NULL)) != -1;) {
        switch (o) {
        case 'f': how.format = optarg; break;
        case 't': how.cache = optarg; break;
        case 'b': base = optarg; break;
        case 'd': keep = true; break;
        case 'p': pace.progress = true; break;
        case 'r':
            if (!img_size(img, optarg, "rate limit", &pace.rate))
                return 1;
            break;
        case 'q': img->quiet = true; break;
        case IMG_OPT_IMAGE_OPTS: how.image_opts = true; break;
        case IMG_OPT_OBJECT: break;
        default: return img_usage(img, "commit: unknown or incomplete option");
        }
    }
    if (optind != argc - 1)
        return img_usage(img, "Expecting one image file name");
    BlockNode *top = img_open(img, argv[optind], &how);
    if (!top)
        return 1;
    pace.progress = pace.progress && !img->quiet;
    int r = commit_node(img, top, base, keep, &pace);
    int c = block_close(top);
    return r == 0 && c < 0 ? img_error(img, "cannot write '%s': %s", argv[optind], g_strerror(-c)) : r;
}

/* ---- rebase ---- */

static int read_padded(BlockNode *node, uint64_t offset, uint8_t *buf, uint64_t len)
{
    uint64_t have = node && offset < block_length(node) ? MIN(len, block_length(node) - offset) : 0;
    memset(buf + have, 0, len - have);
    return have ? block_pread(node, offset, buf, have) : 0;
}

/* Where the image lets its backing file show through, and old and new one differ there, take the old data over. */
static int rebase_data(BlockNode *node, BlockNode *new_base, uint64_t unit, bool progress)
{
    BlockNode *old_base = block_backing(node);
    g_autofree uint8_t *old_buf = g_malloc(BUF), *new_buf = g_malloc(BUF);
    uint64_t length = block_length(node);
    int r = 0;
    for (uint64_t offset = 0; r == 0 && offset < length;) {
        BlockStatus st;
        r = block_status(node, offset, length - offset, &st);
        if (r < 0)
            break;
        if (!(st.flags & BLOCK_ST_ALLOCATED)) {
            st.len = MIN(st.len, BUF);
            r = read_padded(old_base, offset, old_buf, st.len);
            r = r < 0 ? r : read_padded(new_base, offset, new_buf, st.len);
            for (uint64_t k = 0, n; r == 0 && k < st.len; k += n) {
                n = MIN(unit - (offset + k) % unit, st.len - k);
                if (memcmp(old_buf + k, new_buf + k, n))
                    r = write_smart(node, offset + k, old_buf + k, n);
            }
        }
        offset += st.len;
        if (progress)
            img_progress((double)offset / (double)length);
    }
    return r < 0 ? r : block_flush(node);
}

typedef struct Rebase {
    Img *img;
    ImgOpen how, base_how;
    const char *base;
    bool unsafe, progress;
} Rebase;

static int rebase_node(const Rebase *b, BlockNode *node)
{
    GError *err = NULL;
    BlockInfo info;
    int r = 0;
    const char *base = b->base && *b->base ? b->base : NULL;
    if (!b->unsafe) {
        BlockNode *new_base = NULL;
        if (base) {
            g_autofree char *dir = g_path_get_dirname(block_name(node));
            g_autofree char *path = g_path_is_absolute(base) || !strcmp(dir, ".") ? g_strdup(base) : g_build_filename(dir, base, NULL);
            new_base = img_open(b->img, path, &b->base_how);
            if (!new_base)
                return 1;
        }
        r = block_info(node, &info);
        if (r == 0 && info.specific)
            g_variant_unref(info.specific);
        r = r < 0 ? r : rebase_data(node, new_base, MAX(info.cluster_size, 4096), b->progress);
        if (b->progress)
            printf("\n");
        block_unref(new_base);
        if (r < 0)
            return img_error(b->img, "error while rebasing '%s': %s", block_name(node), g_strerror(-r));
    }
    return block_change_backing(node, base, b->base_how.format, &err) ? 0 : img_gerror(b->img, err);
}

int img_rebase(Img *img, int argc, char **argv)
{
    static const struct option longs[] = { { "quiet", no_argument, NULL, 'q' }, IMG_COMMON_LONG };
    Rebase b = { .img = img, .how = { .writable = true } };
    for (int o; (o = getopt_long(argc, argv, ":f:t:T:F:b:upqUh", longs, NULL)) != -1;) {
        switch (o) {
        case 'f': b.how.format = optarg; break;
        case 'F': b.base_how.format = optarg; break;
        case 't': b.how.cache = optarg; break;
        case 'T': b.base_how.cache = optarg; break;
        case 'b': b.base = optarg; break;
        case 'u': b.unsafe = true; break;
        case 'p': b.progress = true; break;
        case 'q': img->quiet = true; break;
        case 'U': b.base_how.force_share = true; break;
        case IMG_OPT_IMAGE_OPTS: b.how.image_opts = true; break;
        case IMG_OPT_OBJECT: break;
        default: return img_usage(img, "rebase: unknown or incomplete option");
        }
    }
    if (optind != argc - 1)
        return img_usage(img, "Expecting one image file name");
    if (!b.base)
        return img_usage(img, "Use backing file (-b) option");
    if (b.unsafe && *b.base && !b.base_how.format)
        return img_error(img, "backing format must be specified with -F");
    b.progress = b.progress && !img->quiet;
    b.how.no_backing = b.unsafe;
    BlockNode *node = img_open(img, argv[optind], &b.how);
    if (!node)
        return 1;
    int r = rebase_node(&b, node);
    int c = block_close(node);
    return r == 0 && c < 0 ? img_error(img, "cannot write '%s': %s", argv[optind], g_strerror(-c)) : r;
}
