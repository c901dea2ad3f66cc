/* amend and bitmap */
#include "tools/tandem-img.h"

#include <stdio.h>
#include <string.h>

static const char amend_help[] =
    "Amend options for 'qcow2':\n"
    "  backing_file=<str>     - File name of a base image\n"
    "  backing_fmt=<str>      - Image format of the base image\n"
    "  compat=<str>           - Compatibility level (v2 [0.10] or v3 [1.1])\n"
    "  data_file=<str>        - File name of an external data file\n"
    "  data_file_raw=<bool (on/off)> - The external data file must stay valid as a raw image\n"
    "  lazy_refcounts=<bool (on/off)> - Postpone refcount updates\n"
    "  refcount_bits=<num>    - Width of a reference count entry in bits\n"
    "  size=<size>            - Virtual disk size\n";

static int finish(Img *img, BlockNode *node, const char *name, bool ok, GError *err)
{
    int r = ok ? 0 : img_gerror(img, err), c = block_close(node);
    return r == 0 && c < 0 ? img_error(img, "cannot write '%s': %s", name, g_strerror(-c)) : r;
}

int img_amend(Img *img, int argc, char **argv)
{
    static const struct option longs[] = { { "quiet", no_argument, NULL, 'q' }, { "force", no_argument, NULL, IMG_OPT_OWN }, IMG_COMMON_LONG };
    g_autoptr(GPtrArray) options = g_ptr_array_new_with_free_func(g_free);
    ImgOpen how = { .writable = true };
    bool help = false, progress = false, any = false;
    GError *err = NULL;
    for (int o; (o = getopt_long(argc, argv, ":f:t:o:pqh", longs, NULL)) != -1;) {
        switch (o) {
        case 'f': how.format = optarg; break;
        case 't': how.cache = optarg; break;
        case 'o':
            any = true;
            help |= img_has_help(optarg);
            img_add_options(options, optarg);
            break;
        case 'p': progress = true; break;
        case 'q': img->quiet = true; break;
        case IMG_OPT_OWN: break;
        case IMG_OPT_IMAGE_OPTS: how.image_opts = true; break;
        case IMG_OPT_OBJECT: break;
        default: return img_usage(img, "amend: unknown or incomplete option");
        }
    }
    if (help) {
        printf("%s", amend_help);
        return 0;
    }
    if (!any)
        return img_usage(img, "Must specify options (-o)");
    if (optind != argc - 1)
        return img_usage(img, "Expecting one image file name");
    BlockNode *node = img_open(img, argv[optind], &how);
    if (!node)
        return 1;
    progress = progress && !img->quiet;
    if (progress)
        img_progress(0);
    BlockCreateOpts o = { .format = block_format_name(node), .name = argv[optind], .options = (const char *const *)options->pdata };
    bool ok = block_amend(node, &o, &err);
    if (progress) {
        img_progress(ok);
        printf("\n");
    }
    return finish(img, node, argv[optind], ok, err);
}

enum { BITMAP_ADD = IMG_OPT_OWN, BITMAP_REMOVE, BITMAP_CLEAR, BITMAP_ENABLE, BITMAP_DISABLE, BITMAP_MERGE, MAX_ACTIONS = 16 };

typedef struct Bitmap {
    Img *img;
    ImgOpen how, source_how;
    const char *name, *source_file;
    struct { int what; const char *source; } actions[MAX_ACTIONS];
    unsigned n;
    uint64_t granularity;
} Bitmap;

static bool act(const Bitmap *b, BlockNode *node, BlockNode *source, GError **err)
{
    static const char *const names[] = { "add", "remove", "clear", "enable", "disable", "merge" };
    for (unsigned i = 0; i < b->n; i++) {
        int what = b->actions[i].what;
        bool ok = what == BITMAP_MERGE ? block_bitmap_merge(node, b->name, source ? source : node, b->actions[i].source, err)
                                       : block_bitmap(node, (BlockBitmapOp)(what - BITMAP_ADD), b->name, b->granularity, err);
        if (!ok) {
            g_prefix_error(err, "Operation %s on bitmap %s failed: ", names[what - BITMAP_ADD], b->name);
            return false;
        }
    }
    return true;
}

static int bitmap_run(Bitmap *b, const char *file)
{
    bool add = false, merge = false;
    for (unsigned i = 0; i < b->n; i++) {
        add |= b->actions[i].what == BITMAP_ADD;
        merge |= b->actions[i].what == BITMAP_MERGE;
    }
    if (b->granularity && !add)
        return img_error(b->img, "granularity only supported with --add");
    if (b->source_file && !merge)
        return img_error(b->img, "Merge bitmap source file only supported with --merge");
    if (b->source_how.format && !b->source_file)
        return img_error(b->img, "-F only supported with -b");
    BlockNode *node = img_open(b->img, file, &b->how);
    if (!node)
        return 1;
    GError *err = NULL;
    BlockNode *source = b->source_file ? img_open(b->img, b->source_file, &b->source_how) : NULL;
    bool opened = source || !b->source_file, ok = opened && act(b, node, source, &err);
    block_unref(source);
    if (!opened) {
        block_unref(node);
        return 1;
    }
    return finish(b->img, node, file, ok, err);
}

int img_bitmap(Img *img, int argc, char **argv)
{
    static const struct option longs[] = { { "add", no_argument, NULL, BITMAP_ADD }, { "remove", no_argument, NULL, BITMAP_REMOVE },
                                           { "clear", no_argument, NULL, BITMAP_CLEAR }, { "enable", no_argument, NULL, BITMAP_ENABLE },
                                           { "disable", no_argument, NULL, BITMAP_DISABLE }, { "merge", required_argument, NULL, BITMAP_MERGE },
                                           { "source-file", required_argument, NULL, 'b' }, { "source-format", required_argument, NULL, 'F' },
                                           { "granularity", required_argument, NULL, 'g' }, IMG_COMMON_LONG };
    Bitmap b = { .img = img, .how = { .writable = true, .no_backing = true }, .source_how = { .no_backing = true } };
    for (int o; (o = getopt_long(argc, argv, ":f:g:b:F:h", longs, NULL)) != -1;) {
        switch (o) {
        case 'f': b.how.format = optarg; break;
        case 'b': b.source_file = optarg; break;
        case 'F': b.source_how.format = optarg; break;
        case 'g':
            if (!img_size(img, optarg, "granularity", &b.granularity))
                return 1;
            break;
        case BITMAP_ADD: case BITMAP_REMOVE: case BITMAP_CLEAR: case BITMAP_ENABLE: case BITMAP_DISABLE: case BITMAP_MERGE:
            if (b.n == MAX_ACTIONS)
                return img_error(img, "too many actions");
            b.actions[b.n].what = o;
            b.actions[b.n++].source = optarg;
            break;
        case IMG_OPT_IMAGE_OPTS: b.how.image_opts = true; break;
        case IMG_OPT_OBJECT: break;
        default: return img_usage(img, "bitmap: unknown or incomplete option");
        }
    }
    if (optind != argc - 2)
        return img_usage(img, "Expecting filename and bitmap name");
    if (!b.n)
        return img_usage(img, "Need at least one of --add, --remove, --clear, --enable, --disable, or --merge");
    b.name = argv[optind + 1];
    return bitmap_run(&b, argv[optind]);
}
