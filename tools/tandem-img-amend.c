/* amend and bitmap */
#include "tools/tandem-img.h"

#include <stdio.h>
#include <string.h>

static const char amend_help[] =
    "Amend options for 'qcow2':\n"
    "  backing_file=<str>     - File name of a base image\n"
    "  backing_fmt=<str>      - Image format of the base image\n"
    "  compat=<str>           - Compatibility level (v2 [0.10] or v3 [1.1])\n"
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

int img_bitmap(Img *img, int argc, char **argv)
{
    enum { ADD = IMG_OPT_OWN, REMOVE, CLEAR, ENABLE, DISABLE, MERGE };
    static const struct option longs[] = { { "add", no_argument, NULL, ADD }, { "remove", no_argument, NULL, REMOVE },
                                           { "clear", no_argument, NULL, CLEAR }, { "enable", no_argument, NULL, ENABLE },
                                           { "disable", no_argument, NULL, DISABLE }, { "merge", required_argument, NULL, MERGE }, IMG_COMMON_LONG };
    static const char *const names[] = { "add", "remove", "clear", "enable", "disable" };
    ImgOpen how = { .writable = true, .no_backing = true };
    BlockBitmapOp ops[16];
    unsigned n = 0;
    uint64_t granularity = 0;
    for (int o; (o = getopt_long(argc, argv, ":f:g:b:F:h", longs, NULL)) != -1;) {
        switch (o) {
        case 'f': how.format = optarg; break;
        case 'g':
            if (!img_size(img, optarg, "granularity", &granularity))
                return 1;
            break;
        case ADD: case REMOVE: case CLEAR: case ENABLE: case DISABLE:
            if (n == G_N_ELEMENTS(ops))
                return img_error(img, "too many actions");
            ops[n++] = (BlockBitmapOp)(o - ADD);
            break;
        case MERGE: return img_error(img, "--merge is not supported yet");
        case IMG_OPT_IMAGE_OPTS: how.image_opts = true; break;
        case IMG_OPT_OBJECT: break;
        default: return img_usage(img, "bitmap: unknown or incomplete option");
        }
    }
    if (optind != argc - 2)
        return img_usage(img, "Expecting filename and bitmap name");
    if (!n)
        return img_usage(img, "Need at least one of --add, --remove, --clear, --enable, --disable, or --merge");
    BlockNode *node = img_open(img, argv[optind], &how);
    if (!node)
        return 1;
    GError *err = NULL;
    bool ok = true;
    for (unsigned i = 0; ok && i < n; i++) {
        ok = block_bitmap(node, ops[i], argv[optind + 1], granularity, &err);
        if (!ok)
            g_prefix_error(&err, "Operation %s on bitmap %s failed: ", names[ops[i]], argv[optind + 1]);
    }
    return finish(img, node, argv[optind], ok, err);
}
