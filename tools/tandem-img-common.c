#include "tools/tandem-img.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int img_error(const Img *img, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    g_autofree char *line = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    fflush(stdout);
    fprintf(stderr, "%s: %s\n", img->self, line);
    return 1;
}

int img_gerror(const Img *img, GError *err)
{
    img_error(img, "%s", err ? err->message : "unknown error");
    g_clear_error(&err);
    return 1;
}

void img_say(const Img *img, const char *fmt, ...)
{
    if (img->quiet)
        return;
    va_list ap;
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
}

void img_progress(double fraction)
{
    printf("    (%3.2f/100%%)\r", MIN(fraction, 1.0) * 100);
    fflush(stdout);
}

/* ---- options ---- */

bool img_parse_cache(const char *name, BlockCache *ret_cache)
{
    static const struct { const char *name; BlockCache cache; } modes[] = {
        { "writeback", BLOCK_CACHE_WRITEBACK }, { "none", BLOCK_CACHE_NONE }, { "off", BLOCK_CACHE_NONE },
        { "writethrough", BLOCK_CACHE_WRITETHROUGH }, { "directsync", BLOCK_CACHE_DIRECTSYNC }, { "unsafe", BLOCK_CACHE_UNSAFE },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(modes); i++) {
        if (!strcmp(name, modes[i].name)) {
            *ret_cache = modes[i].cache;
            return true;
        }
    }
    return false;
}

/* "driver=qcow2,file.filename=PATH" */
static char *image_opts_name(const char *text)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(g_free);
    img_add_options(list, text);
    return block_name_from_options((const char *const *)list->pdata);
}

BlockNode *img_open(Img *img, const char *name, const ImgOpen *how)
{
    GError *err = NULL;
    BlockOpenOpts o = { .format = how->format, .writable = how->writable, .force_share = how->force_share, .no_backing = how->no_backing,
                        .repair = how->repair, .snapshot = how->snapshot, .discard = true, .no_data_file = how->no_data_file, .no_uring = how->no_uring };
    if (how->cache && !img_parse_cache(how->cache, &o.cache)) {
        img_error(img, "Invalid cache option: %s", how->cache);
        return NULL;
    }
    if (how->writable && how->force_share) {
        img_error(img, "Could not open '%s': force-share=on can only be used with read-only images", name);
        return NULL;
    }
    if (how->image_opts && how->format) {
        img_error(img, "--image-opts and --format are mutually exclusive");
        return NULL;
    }
    g_autofree char *file = how->image_opts ? image_opts_name(name) : g_strdup(name);
    BlockNode *node = block_open(img->ctx, file, &o, &err);
    if (!node)
        img_gerror(img, err);
    return node;
}

/* "snapshot.id=I,snapshot.name=N", both or one of them, or just an id or a name. */
BlockNode *img_open_snapshot(Img *img, const char *name, const ImgOpen *how, const char *which)
{
    ImgOpen own = *how;
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(g_free);
    const char *id = NULL, *tag = NULL;
    own.snapshot = which;
    if (which && g_str_has_prefix(which, "snapshot.")) {
        img_add_options(list, which);
        for (char **p = (char **)list->pdata; *p; p++) {
            if (g_str_has_prefix(*p, "snapshot.id="))
                id = strchr(*p, '=') + 1;
            else if (g_str_has_prefix(*p, "snapshot.name="))
                tag = strchr(*p, '=') + 1;
            else
                return img_error(img, "Failed in parsing snapshot param '%s'", which), NULL;
        }
        own.snapshot = id ? id : tag;
    }
    BlockNode *node = img_open(img, name, &own);
    g_autoptr(GPtrArray) all = node && id ? block_snapshot_list(node) : NULL;
    bool found = !node || !id;
    for (guint i = 0; all && i < all->len; i++) {
        const BlockSnapshot *sn = g_ptr_array_index(all, i);
        found |= !strcmp(sn->id, id) && (!tag || !strcmp(sn->name, tag));
    }
    if (found)
        return node;
    img_error(img, "Failed to load snapshot: '%s' has none with id '%s'%s%s", name, id, tag ? " and name " : "", tag ? tag : "");
    block_unref(node);
    return NULL;
}

bool img_size(const Img *img, const char *text, const char *what, uint64_t *ret_size)
{
    if (block_parse_size(text, ret_size) && *ret_size <= INT64_MAX)
        return true;
    img_error(img, "Invalid %s specified: '%s'. You may use k, M, G, T, P or E suffixes for kilobytes, megabytes, gigabytes, terabytes, "
              "petabytes and exabytes.", what, text);
    return false;
}

void img_add_options(GPtrArray *list, const char *text)
{
    GString *part = g_string_new(NULL);
    if (list->len && !g_ptr_array_index(list, list->len - 1))
        g_ptr_array_remove_index(list, list->len - 1);
    for (const char *p = text;; p++) {
        if (*p && (*p != ',' || p[1] == ',')) {
            g_string_append_c(part, *p);
            p += *p == ',';
            continue;
        }
        if (part->len)
            g_ptr_array_add(list, g_strdup(part->str));
        g_string_truncate(part, 0);
        if (!*p)
            break;
    }
    g_string_free(part, TRUE);
    g_ptr_array_add(list, NULL);
}

bool img_has_help(const char *text)
{
    return !strcmp(text, "help") || !strcmp(text, "?") || g_str_has_suffix(text, ",help") || g_str_has_suffix(text, ",?");
}

int img_print_create_help(Img *img, const char *format)
{
    g_autofree char *help = block_create_help(format);
    if (!help)
        return img_error(img, "Format driver '%s' does not support image creation", format);
    printf("Supported %s options:\n%s", format, help);
    return 0;
}

bool img_json_flag(const Img *img, const char *text, bool *ret_json, bool *ret_ok)
{
    *ret_json = !strcmp(text, "json");
    *ret_ok = *ret_json || !strcmp(text, "human");
    if (!*ret_ok)
        img_error(img, "--output must be used with human or json as argument.");
    return *ret_ok;
}

/* ---- output ---- */

static void json_string(GString *out, const char *s)
{
    g_string_append_c(out, '"');
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            g_string_append_printf(out, "\\%c", *s);
        else if ((unsigned char)*s < 32)
            g_string_append_printf(out, "\\u%04x", *s);
        else
            g_string_append_c(out, *s);
    }
    g_string_append_c(out, '"');
}

static void json_value(GString *out, GVariant *v, int level);

static void json_children(GString *out, GVariant *v, int level, bool dict)
{
    gsize n = g_variant_n_children(v);
    g_string_append_c(out, dict ? '{' : '[');
    for (gsize i = 0; i < n; i++) {
        GVariant *child = g_variant_get_child_value(v, i);
        g_string_append_printf(out, "%s\n%*s", i ? "," : "", 4 * (level + 1), "");
        if (dict) {
            const char *key;
            GVariant *value;
            g_variant_get(child, "{&sv}", &key, &value);
            json_string(out, key);
            g_string_append(out, ": ");
            json_value(out, value, level + 1);
            g_variant_unref(value);
        } else {
            json_value(out, child, level + 1);
        }
        g_variant_unref(child);
    }
    g_string_append_printf(out, "\n%*s", 4 * level, "");
    g_string_append_c(out, dict ? '}' : ']');
}

static void json_value(GString *out, GVariant *v, int level)
{
    if (g_variant_is_of_type(v, G_VARIANT_TYPE_VARIANT)) {
        GVariant *inner = g_variant_get_variant(v);
        json_value(out, inner, level);
        g_variant_unref(inner);
    } else if (g_variant_is_of_type(v, G_VARIANT_TYPE_VARDICT)) {
        json_children(out, v, level, true);
    } else if (g_variant_is_of_type(v, G_VARIANT_TYPE_ARRAY)) {
        json_children(out, v, level, false);
    } else if (g_variant_is_of_type(v, G_VARIANT_TYPE_STRING)) {
        json_string(out, g_variant_get_string(v, NULL));
    } else if (g_variant_is_of_type(v, G_VARIANT_TYPE_BOOLEAN)) {
        g_string_append(out, g_variant_get_boolean(v) ? "true" : "false");
    } else if (g_variant_is_of_type(v, G_VARIANT_TYPE_UINT64)) {
        g_string_append_printf(out, "%" G_GUINT64_FORMAT, g_variant_get_uint64(v));
    } else {
        g_string_append_printf(out, "%" G_GINT64_FORMAT, g_variant_get_int64(v));
    }
}

char *img_json(GVariant *value)
{
    GString *out = g_string_new(NULL);
    json_value(out, value, 0);
    return g_string_free(out, FALSE);
}

char *img_human_size(uint64_t bytes)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    double v = (double)bytes;
    unsigned u = 0;
    /* Three digits, as %.3g prints them: 999.6 KiB is 1 MiB already (QEMU's border is 1000, its steps are 1024). */
    while (v >= 1000 && u + 1 < G_N_ELEMENTS(units)) {
        v /= 1024;
        u++;
    }
    return g_strdup_printf("%0.3g %s", v, units[u]);
}

void img_print_snapshots(GPtrArray *list)
{
    printf("Snapshot list:\n%-10s%-17s%8s%20s%13s%11s\n", "ID", "TAG", "VM SIZE", "DATE", "VM CLOCK", "ICOUNT");
    for (guint i = 0; i < list->len; i++) {
        const BlockSnapshot *sn = g_ptr_array_index(list, i);
        char date[32], clock[32], icount[24] = "";
        time_t t = (time_t)sn->date_sec;
        struct tm tm;
        localtime_r(&t, &tm);
        strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm);
        uint64_t secs = sn->vm_clock_ns / 1000000000;
        snprintf(clock, sizeof(clock), "%02u:%02u:%02u.%03u", (unsigned)(secs / 3600), (unsigned)(secs / 60 % 60), (unsigned)(secs % 60),
                 (unsigned)(sn->vm_clock_ns / 1000000 % 1000));
        if (sn->icount != UINT64_MAX)
            snprintf(icount, sizeof(icount), "%" PRIu64, sn->icount);
        g_autofree char *size = img_human_size(sn->vm_state_size);
        printf("%-9s %-16s %8s%20s%13s%11s\n", sn->id, sn->name, size, date, clock, icount);
    }
}
