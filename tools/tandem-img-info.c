/* info and map */
#include "tools/tandem-img.h"

#include <stdio.h>
#include <string.h>

/* ---- info ---- */

static GVariant *snapshots_variant(GPtrArray *list)
{
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE("av"));
    for (guint i = 0; i < list->len; i++) {
        const BlockSnapshot *sn = g_ptr_array_index(list, i);
        GVariantDict d;
        g_variant_dict_init(&d, NULL);
        g_variant_dict_insert(&d, "id", "s", sn->id);
        g_variant_dict_insert(&d, "name", "s", sn->name);
        g_variant_dict_insert(&d, "vm-state-size", "t", sn->vm_state_size);
        g_variant_dict_insert(&d, "date-sec", "t", sn->date_sec);
        g_variant_dict_insert(&d, "date-nsec", "t", (uint64_t)sn->date_nsec);
        g_variant_dict_insert(&d, "vm-clock-sec", "t", sn->vm_clock_ns / 1000000000);
        g_variant_dict_insert(&d, "vm-clock-nsec", "t", sn->vm_clock_ns % 1000000000);
        if (sn->icount != UINT64_MAX)
            g_variant_dict_insert(&d, "icount", "t", sn->icount);
        g_variant_builder_add(&b, "v", g_variant_dict_end(&d));
    }
    return g_variant_builder_end(&b);
}

static GVariant *info_variant(BlockNode *node, const BlockInfo *info, GPtrArray *snapshots)
{
    GVariantDict d;
    g_variant_dict_init(&d, NULL);
    g_variant_dict_insert(&d, "virtual-size", "t", block_length(node));
    g_variant_dict_insert(&d, "filename", "s", block_name(node));
    if (info->cluster_size)
        g_variant_dict_insert(&d, "cluster-size", "t", (uint64_t)info->cluster_size);
    g_variant_dict_insert(&d, "format", "s", block_format_name(node));
    if (info->host_bytes >= 0)
        g_variant_dict_insert(&d, "actual-size", "t", (uint64_t)info->host_bytes);
    if (info->encrypted)
        g_variant_dict_insert(&d, "encrypted", "b", TRUE);
    if (snapshots && snapshots->len)
        g_variant_dict_insert_value(&d, "snapshots", snapshots_variant(snapshots));
    if (info->specific) {
        GVariantDict f;
        g_variant_dict_init(&f, NULL);
        g_variant_dict_insert(&f, "type", "s", block_format_name(node));
        g_variant_dict_insert_value(&f, "data", info->specific);
        g_variant_dict_insert_value(&d, "format-specific", g_variant_dict_end(&f));
    }
    if (block_backing_name(node)) {
        g_autofree char *path = block_backing_path(node);
        g_variant_dict_insert(&d, "backing-filename", "s", block_backing_name(node));
        g_variant_dict_insert(&d, "full-backing-filename", "s", path);
        if (block_backing_format(node))
            g_variant_dict_insert(&d, "backing-filename-format", "s", block_backing_format(node));
    }
    g_variant_dict_insert(&d, "dirty-flag", "b", (gboolean)info->dirty);
    return g_variant_dict_end(&d);
}

/* Nested values as qemu-img prints them: arrays as [0], [1], four blanks a level. */
static void print_value(const char *key, GVariant *v, int level)
{
    printf("%*s%s:", 4 * level, "", key);
    if (g_variant_is_of_type(v, G_VARIANT_TYPE_VARDICT)) {
        static const char *const order[] = { "flags", "name", "granularity" };
        printf("\n");
        for (unsigned i = 0; i < G_N_ELEMENTS(order); i++) {
            GVariant *child = g_variant_lookup_value(v, order[i], NULL);
            if (child)
                print_value(order[i], child, level + 1);
            g_clear_pointer(&child, g_variant_unref);
        }
    } else if (g_variant_is_of_type(v, G_VARIANT_TYPE_ARRAY)) {
        printf("\n");
        for (gsize i = 0; i < g_variant_n_children(v); i++) {
            g_autofree char *name = g_strdup_printf("[%zu]", i);
            GVariant *box = g_variant_get_child_value(v, i), *child = g_variant_get_variant(box);
            print_value(name, child, level + 1);
            g_variant_unref(child);
            g_variant_unref(box);
        }
    } else {
        g_autofree char *text = g_variant_is_of_type(v, G_VARIANT_TYPE_STRING) ? g_strdup(g_variant_get_string(v, NULL)) : img_json(v);
        printf(" %s\n", text);
    }
}

static void print_specific(GVariant *specific)
{
    static const char *const order[] = { "compat", "compression-type", "lazy-refcounts", "bitmaps", "refcount-bits", "data-file",
                                         "data-file-raw", "corrupt", "extended-l2" };
    if (!specific)
        return;
    printf("Format specific information:\n");
    for (unsigned i = 0; i < G_N_ELEMENTS(order); i++) {
        GVariant *v = g_variant_lookup_value(specific, order[i], NULL);
        if (!v)
            continue;
        g_autofree char *key = g_strdelimit(g_strdup(order[i]), "-", ' ');
        print_value(key, v, 1);
        g_variant_unref(v);
    }
}

static void print_info(BlockNode *node, const BlockInfo *info, GPtrArray *snapshots)
{
    g_autofree char *size = img_human_size(block_length(node));
    printf("image: %s\nfile format: %s\nvirtual size: %s (%" PRIu64 " bytes)\n", block_name(node), block_format_name(node), size,
           block_length(node));
    if (info->host_bytes >= 0) {
        g_autofree char *host = img_human_size((uint64_t)info->host_bytes);
        printf("disk size: %s\n", host);
    } else {
        printf("disk size: unavailable\n");
    }
    if (info->encrypted)
        printf("encrypted: yes\n");
    if (info->cluster_size)
        printf("cluster_size: %u\n", info->cluster_size);
    if (info->dirty)
        printf("cleanly shut down: no\n");
    if (block_backing_name(node)) {
        g_autofree char *path = block_backing_path(node);
        printf("backing file: %s", block_backing_name(node));
        if (strcmp(path, block_backing_name(node)))
            printf(" (actual path: %s)", path);
        printf("\n");
        if (block_backing_format(node))
            printf("backing file format: %s\n", block_backing_format(node));
    }
    if (snapshots && snapshots->len)
        img_print_snapshots(snapshots);
    print_specific(info->specific);
}

typedef struct InfoOut {
    bool json, chain, dry;      /* dry: only see whether everything can be opened */
    GVariantBuilder list;
    unsigned n;
} InfoOut;

/* One image; *ret_next becomes the next one of the chain, or NULL. */
static int info_one(Img *img, const char *name, const ImgOpen *how, InfoOut *out, char **ret_next, char **ret_format)
{
    BlockInfo info;
    BlockNode *node = img_open(img, name, how);
    *ret_next = NULL;
    if (!node)
        return 1;
    int r = block_info(node, &info);
    if (r < 0)
        img_error(img, "cannot get information about '%s': %s", name, g_strerror(-r));
    GPtrArray *snapshots = block_snapshot_list(node);
    if (r == 0 && out->dry) {
        /* nothing is shown yet */
    } else if (r == 0 && out->json) {
        GVariant *v = info_variant(node, &info, snapshots);
        if (out->chain) {
            g_variant_builder_add(&out->list, "v", v);
        } else {
            g_autofree char *text = (g_variant_ref_sink(v), img_json(v));
            printf("%s\n", text);
            g_variant_unref(v);
        }
    } else if (r == 0) {
        if (out->n++)
            printf("\n");
        print_info(node, &info, snapshots);
    }
    *ret_next = block_backing_path(node);
    *ret_format = g_strdup(block_backing_format(node));
    if (snapshots)
        g_ptr_array_unref(snapshots);
    if (r == 0 && info.specific)
        g_variant_unref(info.specific);
    block_unref(node);
    return r < 0;
}

/* The image, and with out->chain what it lies on. */
static int info_chain(Img *img, const char *first, ImgOpen how, InfoOut *out)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autofree char *name = g_strdup(first), *format = g_strdup(how.format);
    int r = 0;
    while (r == 0 && name) {
        char *next = NULL, *next_format = NULL;
        if (!g_hash_table_add(seen, g_strdup(name)))
            return img_error(img, "Backing file '%s' creates an infinite loop.", name);
        how.format = format;
        r = info_one(img, name, &how, out, &next, &next_format);
        how.image_opts = false;
        g_free(name);
        g_free(format);
        name = out->chain ? next : (g_free(next), NULL);
        format = next_format;
    }
    return r;
}

int img_info(Img *img, int argc, char **argv)
{
    enum { OUTPUT = IMG_OPT_OWN, CHAIN };
    static const struct option longs[] = { { "format", required_argument, NULL, 'f' }, { "output", required_argument, NULL, OUTPUT },
                                           { "backing-chain", no_argument, NULL, CHAIN }, IMG_COMMON_LONG };
    /* An image is described without opening what it refers to: its names may be somebody else's choice. */
    ImgOpen how = { .no_backing = true, .repair = true, .no_data_file = true };
    InfoOut out = { 0 };
    bool ok = true;
    for (int c; (c = getopt_long(argc, argv, ":f:hU", longs, NULL)) != -1;) {
        switch (c) {
        case 'f': how.format = optarg; break;
        case 'U': how.force_share = true; break;
        case OUTPUT:
            if (!img_json_flag(img, optarg, &out.json, &ok))
                return 1;
            break;
        case CHAIN: out.chain = true; break;
        case IMG_OPT_IMAGE_OPTS: how.image_opts = true; break;
        case IMG_OPT_OBJECT: break;
        default: return img_usage(img, "info: unknown or incomplete option");
        }
    }
    if (optind != argc - 1)
        return img_usage(img, "Expecting one image file name");
    int r = 0;
    if (out.chain) {
        g_variant_builder_init(&out.list, G_VARIANT_TYPE("av"));
        out.dry = true;
        r = info_chain(img, argv[optind], how, &out);
        out.dry = false;
    }
    r = r ? r : info_chain(img, argv[optind], how, &out);
    if (out.chain) {
        GVariant *v = g_variant_ref_sink(g_variant_builder_end(&out.list));
        g_autofree char *text = img_json(v);
        if (r == 0 && out.json)
            printf("%s\n", text);
        g_variant_unref(v);
    }
    return r;
}

/* ---- map ---- */

typedef struct Range {
    uint64_t start, len;
    BlockStatus st;
} Range;

static bool same_range(const Range *a, const BlockStatus *b)
{
    unsigned kind = BLOCK_ST_DATA | BLOCK_ST_ZERO | BLOCK_ST_OFFSET | BLOCK_ST_ALLOCATED | BLOCK_ST_COMPRESSED;
    if ((a->st.flags & kind) != (b->flags & kind) || a->st.depth != b->depth)
        return false;
    if ((a->st.flags & BLOCK_ST_OFFSET) && (a->st.host_offset + a->len != b->host_offset || a->st.host_file != b->host_file))
        return false;
    return true;
}

static void print_range(const Range *r, bool json, bool *first, int *ret_bad)
{
    const char *tf[] = { "false", "true" };
    unsigned f = r->st.flags;
    if (!r->len)
        return;
    if (json) {
        printf("%s{ \"start\": %" PRIu64 ", \"length\": %" PRIu64 ", \"depth\": %u, \"present\": %s, \"zero\": %s, \"data\": %s", *first ? "" : ",\n",
               r->start, r->len, r->st.depth, tf[!!(f & BLOCK_ST_ALLOCATED)], tf[!!(f & BLOCK_ST_ZERO)], tf[!!(f & BLOCK_ST_DATA)]);
        if (f & BLOCK_ST_OFFSET)
            printf(", \"offset\": %" PRIu64, r->st.host_offset);
        printf("}");
        *first = false;
        return;
    }
    if ((f & BLOCK_ST_DATA) && !(f & BLOCK_ST_OFFSET))
        *ret_bad = 1;
    else if ((f & BLOCK_ST_DATA) && !(f & BLOCK_ST_ZERO))
        printf("%#-16" PRIx64 "%#-16" PRIx64 "%#-16" PRIx64 "%s\n", r->start, r->len, r->st.host_offset, r->st.host_file);
}

/* Behind the end of a backing file the zeros come from the layer above, which says nothing about them. */
static void behind_end(BlockNode *node, uint64_t offset, BlockStatus *st)
{
    for (unsigned d = 0; d < st->depth; d++)
        node = block_backing(node);
    if (!st->depth || offset < block_length(node))
        return;
    st->depth--;
    st->flags &= ~(unsigned)BLOCK_ST_ALLOCATED;
}

static int map_all(Img *img, BlockNode *node, uint64_t offset, uint64_t end, bool json)
{
    Range cur = { 0 };
    bool first = true;
    int bad = 0;
    if (json)
        printf("[");
    else
        printf("%-16s%-16s%-16s%s\n", "Offset", "Length", "Mapped to", "File");
    while (offset < end) {
        BlockStatus st;
        int r = block_status_chain(node, NULL, offset, end - offset, &st);
        if (r < 0)
            return img_error(img, "Failed to read image metadata: %s", g_strerror(-r));
        behind_end(node, offset, &st);
        if (cur.len && same_range(&cur, &st)) {
            cur.len += st.len;
        } else {
            print_range(&cur, json, &first, &bad);
            cur = (Range){ offset, st.len, st };
        }
        offset += st.len;
        if (bad)
            return img_error(img, "File contains external, encrypted or compressed clusters; use --output=json");
    }
    print_range(&cur, json, &first, &bad);
    if (json)
        printf("]\n");
    return bad ? img_error(img, "File contains external, encrypted or compressed clusters; use --output=json") : 0;
}

int img_map(Img *img, int argc, char **argv)
{
    enum { OUTPUT = IMG_OPT_OWN };
    static const struct option longs[] = { { "format", required_argument, NULL, 'f' }, { "output", required_argument, NULL, OUTPUT },
                                           { "start-offset", required_argument, NULL, 's' }, { "max-length", required_argument, NULL, 'l' },
                                           IMG_COMMON_LONG };
    ImgOpen how = { 0 };
    bool json = false, ok = true;
    uint64_t start = 0, max = UINT64_MAX;
    for (int c; (c = getopt_long(argc, argv, ":f:s:l:hU", longs, NULL)) != -1;) {
        switch (c) {
        case 'f': how.format = optarg; break;
        case 'U': how.force_share = true; break;
        case 's': ok = img_size(img, optarg, "start offset", &start); break;
        case 'l': ok = img_size(img, optarg, "max length", &max); break;
        case OUTPUT: img_json_flag(img, optarg, &json, &ok); break;
        case IMG_OPT_IMAGE_OPTS: how.image_opts = true; break;
        case IMG_OPT_OBJECT: break;
        default: return img_usage(img, "map: unknown or incomplete option");
        }
        if (!ok)
            return 1;
    }
    if (optind != argc - 1)
        return img_usage(img, "Expecting one image file name");
    BlockNode *node = img_open(img, argv[optind], &how);
    if (!node)
        return 1;
    uint64_t length = block_length(node), end = max < length - MIN(start, length) ? start + max : length;
    int r = map_all(img, node, start, end, json);
    block_unref(node);
    return r;
}
