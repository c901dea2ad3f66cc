/* check, snapshot */
#include "tools/tandem-img.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

enum { EXIT_CORRUPT = 2, EXIT_LEAKS = 3, EXIT_NO_CHECK = 63 };

static void check_line(void *opaque, const char *line)
{
    fflush(stdout);
    fprintf(stderr, "%s\n", line);
}

static void print_check(const Img *img, const BlockCheck *c)
{
    if (!c->corruptions && !c->leaks && !c->errors) {
        img_say(img, "No errors were found on the image.\n");
    } else {
        if (c->corruptions)
            img_say(img, "\n%" PRIu64 " errors were found on the image.\n"
                    "Data may be corrupted, or further writes to the image may corrupt it.\n", c->corruptions);
        if (c->leaks)
            img_say(img, "\n%" PRIu64 " leaked clusters were found on the image.\n"
                    "This means waste of disk space, but no harm to data.\n", c->leaks);
        if (c->errors)
            img_say(img, "\n%" PRIu64 " internal errors have occurred during the check.\n", c->errors);
    }
    if (c->total_clusters && c->allocated_clusters)
        img_say(img, "%" PRIu64 "/%" PRIu64 " = %0.2f%% allocated, %0.2f%% fragmented, %0.2f%% compressed clusters\n", c->allocated_clusters,
                c->total_clusters, (double)c->allocated_clusters * 100 / (double)c->total_clusters,
                (double)c->fragmented_clusters * 100 / (double)c->allocated_clusters,
                (double)c->compressed_clusters * 100 / (double)c->allocated_clusters);
    if (c->image_end)
        img_say(img, "Image end offset: %" PRIu64 "\n", c->image_end);
}

static void add_nonzero(GVariantDict *d, const char *key, uint64_t value)
{
    if (value)
        g_variant_dict_insert(d, key, "t", value);
}

static void json_check(const Img *img, const BlockCheck *c, const char *name, const char *format)
{
    GVariantDict d;
    g_variant_dict_init(&d, NULL);
    g_variant_dict_insert(&d, "filename", "s", name);
    g_variant_dict_insert(&d, "format", "s", format);
    g_variant_dict_insert(&d, "check-errors", "t", c->errors);
    add_nonzero(&d, "image-end-offset", c->image_end);
    add_nonzero(&d, "corruptions", c->corruptions);
    add_nonzero(&d, "leaks", c->leaks);
    add_nonzero(&d, "corruptions-fixed", c->corruptions_fixed);
    add_nonzero(&d, "leaks-fixed", c->leaks_fixed);
    add_nonzero(&d, "total-clusters", c->total_clusters);
    add_nonzero(&d, "allocated-clusters", c->allocated_clusters);
    add_nonzero(&d, "fragmented-clusters", c->fragmented_clusters);
    add_nonzero(&d, "compressed-clusters", c->compressed_clusters);
    GVariant *v = g_variant_ref_sink(g_variant_dict_end(&d));
    g_autofree char *text = img_json(v);
    img_say(img, "%s\n", text);
    g_variant_unref(v);
}

static int check_node(Img *img, BlockNode *node, unsigned fix, bool json)
{
    BlockCheck c = { .message = json || img->quiet ? NULL : check_line };
    int r = block_check(node, fix, &c);
    if (r == -ENOTSUP) {
        img_error(img, "This image format does not support checks");
        return EXIT_NO_CHECK;
    }
    if (r == 0 && (c.corruptions_fixed || c.leaks_fixed)) {
        uint64_t corruptions_fixed = c.corruptions_fixed, leaks_fixed = c.leaks_fixed;
        if (!json)
            img_say(img, "The following inconsistencies were found and repaired:\n\n    %" PRIu64 " leaked clusters\n    %" PRIu64
                    " corruptions\n\nDouble checking the fixed image now...\n", leaks_fixed, corruptions_fixed);
        c = (BlockCheck){ .message = c.message };
        r = block_check(node, 0, &c);
        c.corruptions_fixed = corruptions_fixed;
        c.leaks_fixed = leaks_fixed;
    }
    if (json)
        json_check(img, &c, block_name(node), block_format_name(node));
    else
        print_check(img, &c);
    if (r < 0 || c.errors)
        return img_error(img, "Check failed: %s", g_strerror(r < 0 ? -r : EIO));
    return c.corruptions ? EXIT_CORRUPT : c.leaks ? EXIT_LEAKS : 0;
}

int img_check(Img *img, int argc, char **argv)
{
    enum { OUTPUT = IMG_OPT_OWN };
    static const struct option longs[] = { { "format", required_argument, NULL, 'f' }, { "output", required_argument, NULL, OUTPUT },
                                           { "repair", required_argument, NULL, 'r' }, { "quiet", no_argument, NULL, 'q' }, IMG_COMMON_LONG };
    ImgOpen how = { .no_backing = true, .repair = true, .no_data_file = true };
    unsigned fix = 0;
    bool json = false, ok;
    for (int c; (c = getopt_long(argc, argv, ":f:r:T:hqU", longs, NULL)) != -1;) {
        switch (c) {
        case 'f': how.format = optarg; break;
        case 'T': how.cache = optarg; break;
        case 'U': how.force_share = true; break;
        case 'q': img->quiet = true; break;
        case 'r':
            fix = !strcmp(optarg, "leaks") ? BLOCK_FIX_LEAKS : !strcmp(optarg, "all") ? BLOCK_FIX_LEAKS | BLOCK_FIX_ERRORS : 0;
            if (!fix)
                return img_error(img, "Invalid value '%s' for -r: it is leaks or all", optarg);
            break;
        case OUTPUT:
            if (!img_json_flag(img, optarg, &json, &ok))
                return 1;
            break;
        case IMG_OPT_IMAGE_OPTS: how.image_opts = true; break;
        case IMG_OPT_OBJECT: break;
        default: return img_usage(img, "check: unknown or incomplete option");
        }
    }
    if (optind != argc - 1)
        return img_usage(img, "Expecting one image file name");
    how.writable = fix != 0;
    BlockNode *node = img_open(img, argv[optind], &how);
    if (!node)
        return 1;
    int r = check_node(img, node, fix, json);
    int c = block_close(node);
    return r == 0 && c < 0 ? img_error(img, "cannot write '%s': %s", argv[optind], g_strerror(-c)) : r;
}

static int list_snapshots(BlockNode *node)
{
    GPtrArray *list = block_snapshot_list(node);
    if (list && list->len)
        img_print_snapshots(list);
    if (list)
        g_ptr_array_unref(list);
    return 0;
}

int img_snapshot(Img *img, int argc, char **argv)
{
    static const struct option longs[] = { { "quiet", no_argument, NULL, 'q' }, IMG_COMMON_LONG };
    ImgOpen how = { .no_backing = true };
    int action = 0;
    const char *name = NULL;
    for (int c; (c = getopt_long(argc, argv, ":la:c:d:f:hqU", longs, NULL)) != -1;) {
        switch (c) {
        case 'l': case 'a': case 'c': case 'd':
            if (action)
                return img_usage(img, "Cannot mix '-l', '-a', '-c', '-d'");
            action = c;
            name = optarg;
            break;
        case 'f': how.format = optarg; break;
        case 'U': how.force_share = true; break;
        case 'q': img->quiet = true; break;
        case IMG_OPT_IMAGE_OPTS: how.image_opts = true; break;
        case IMG_OPT_OBJECT: break;
        default: return img_usage(img, "snapshot: unknown or incomplete option");
        }
    }
    if (optind != argc - 1)
        return img_usage(img, "Expecting one image file name");
    how.writable = action && action != 'l';
    BlockNode *node = img_open(img, argv[optind], &how);
    if (!node)
        return 1;
    GError *err = NULL;
    struct timeval now;
    gettimeofday(&now, NULL);
    BlockSnapshot sn = { .name = (char *)name, .date_sec = (uint64_t)now.tv_sec, .date_nsec = (uint32_t)now.tv_usec * 1000 };
    bool ok = action == 'a' ? block_snapshot_apply(node, name, &err) : action == 'c' ? block_snapshot_create(node, &sn, &err) :
              action == 'd' ? block_snapshot_delete(node, name, &err) : action != 'l' || list_snapshots(node) == 0;
    int r = ok ? 0 : img_gerror(img, err);
    int c = block_close(node);
    return r == 0 && c < 0 ? img_error(img, "cannot write '%s': %s", argv[optind], g_strerror(-c)) : r;
}
