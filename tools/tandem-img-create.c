/* create, resize, amend */
#include "tools/tandem-img.h"

#include <string.h>

int img_create(Img *img, int argc, char **argv)
{
    static const struct option longs[] = { { "quiet", no_argument, NULL, 'q' }, IMG_COMMON_LONG };
    g_autoptr(GPtrArray) options = g_ptr_array_new_with_free_func(g_free);
    BlockCreateOpts o = { .format = "raw", .cache = BLOCK_CACHE_WRITEBACK };
    GError *err = NULL;
    bool help = false;
    g_ptr_array_add(options, NULL);
    for (int c; (c = getopt_long(argc, argv, ":F:b:f:ho:qu", longs, NULL)) != -1;) {
        switch (c) {
        case 'F': o.backing_format = optarg; break;
        case 'b': o.backing = optarg; break;
        case 'f': o.format = optarg; break;
        case 'o':
            help |= img_has_help(optarg);
            img_add_options(options, optarg);
            break;
        case 'q': img->quiet = true; break;
        case 'u': o.backing_unsafe = true; break;
        case 'h': return img_usage(img, "create [-q] [-f fmt] [-b backing_file [-F backing_fmt]] [-u] [-o options] filename [size]"), 0;
        default: return img_usage(img, "create: unknown or incomplete option");
        }
    }
    if (help)
        return img_print_create_help(img, o.format);
    if (optind >= argc)
        return img_usage(img, "Expecting image file name");
    o.name = argv[optind++];
    o.options = (const char *const *)options->pdata;
    if (!block_format_find(o.format))
        return img_error(img, "%s: Unknown file format '%s'", o.name, o.format);
    const char *size = optind < argc ? argv[optind++] : block_opt_get(&o, "size");
    o.backing = o.backing ? o.backing : block_opt_get(&o, "backing_file");
    o.backing_format = o.backing_format ? o.backing_format : block_opt_get(&o, "backing_fmt");
    if (optind < argc)
        return img_usage(img, "Unexpected argument");
    if (size && !img_size(img, size, "image size", &o.size))
        return 1;
    o.have_size = size != NULL;
    char *line = NULL;
    bool ok = block_create(img->ctx, &o, &line, &err);
    if (line)
        img_say(img, "%s\n", line);
    g_free(line);
    return ok ? 0 : img_gerror(img, err);
}

static bool parse_new_size(Img *img, const char *text, uint64_t now, uint64_t *ret_size)
{
    int sign = *text == '+' ? 1 : *text == '-' ? -1 : 0;
    uint64_t n;
    if (!img_size(img, text + (sign != 0), "image size", &n))
        return false;
    if ((sign > 0 && n > INT64_MAX - now) || (sign < 0 && n >= now)) {
        img_error(img, "New image size must be positive");
        return false;
    }
    n = sign > 0 ? now + n : sign < 0 ? now - n : n;
    if (!n) {
        img_error(img, "New image size must be positive");
        return false;
    }
    *ret_size = (n + 511) & ~511ull;
    return true;
}

int img_resize(Img *img, int argc, char **argv)
{
    enum { SHRINK = IMG_OPT_OWN, PREALLOC };
    static const struct option longs[] = { { "shrink", no_argument, NULL, SHRINK }, { "preallocation", required_argument, NULL, PREALLOC },
                                           { "quiet", no_argument, NULL, 'q' }, IMG_COMMON_LONG };
    ImgOpen how = { .writable = true };
    BlockPrealloc prealloc = BLOCK_PREALLOC_OFF;
    bool shrink = false;
    /* "-10M" is a size, not an option: take it off first, as qemu-img does. */
    if (argc < 3)
        return img_usage(img, "Not enough arguments");
    const char *text = argv[--argc];
    for (int c; (c = getopt_long(argc, argv, ":f:hq", longs, NULL)) != -1;) {
        switch (c) {
        case 'f': how.format = optarg; break;
        case 'q': img->quiet = true; break;
        case SHRINK: shrink = true; break;
        case IMG_OPT_IMAGE_OPTS: how.image_opts = true; break;
        case IMG_OPT_OBJECT: break;
        case PREALLOC:
            if (!block_parse_prealloc(optarg, &prealloc))
                return img_error(img, "Invalid preallocation mode '%s'", optarg);
            break;
        default: return img_usage(img, "resize: unknown or incomplete option");
        }
    }
    if (optind != argc - 1)
        return img_usage(img, "Expecting image file name and size");
    BlockNode *node = img_open(img, argv[optind], &how);
    uint64_t size;
    if (!node)
        return 1;
    GError *err = NULL;
    int r = 1;
    if (!parse_new_size(img, text, block_length(node), &size)) {
        /* said so */
    } else if (size < block_length(node) && !shrink) {
        img_error(img, "Use the --shrink option to perform a shrink operation. It deletes all data beyond the new end of the image");
    } else if (size <= block_length(node) && prealloc != BLOCK_PREALLOC_OFF) {
        img_error(img, "Preallocation can only be used for growing images");
    } else if (!block_resize(node, size, prealloc, &err)) {
        img_gerror(img, err);
    } else {
        r = 0;
    }
    int c = block_close(node);
    if (r == 0 && c < 0)
        return img_error(img, "cannot write '%s': %s", argv[optind], g_strerror(-c));
    if (r == 0)
        img_say(img, "Image resized.\n");
    return r;
}
