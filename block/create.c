#include "block/format.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

const char *block_opt_get(const BlockCreateOpts *opts, const char *key)
{
    size_t n = strlen(key);
    const char *value = NULL;
    for (const char *const *o = opts->options; o && *o; o++) {
        if (strncmp(*o, key, n))
            continue;
        if ((*o)[n] == '=')
            value = *o + n + 1;
        else if (!(*o)[n])
            value = "on";       /* as in QEMU: a bare key is a switch */
    }
    return value;
}

bool block_opts_known(const BlockCreateOpts *opts, const char *const *known, GError **err)
{
    for (const char *const *o = opts->options; o && *o; o++) {
        size_t n = strcspn(*o, "=");
        const char *const *k = known;
        while (*k && (strlen(*k) != n || strncmp(*k, *o, n)))
            k++;
        if (!*k) {
            block_error(err, 0, "Invalid parameter '%.*s': format %s does not have it; see -o help", (int)n, *o, opts->format);
            return false;
        }
    }
    return true;
}

bool block_parse_size(const char *text, uint64_t *ret_size)
{
    static const char units[] = "bkmgtpe";
    char *end;
    if (!isdigit((unsigned char)*text))
        return false;
    errno = 0;
    uint64_t whole = strtoull(text, &end, text[0] == '0' && (text[1] | 32) == 'x' ? 16 : 10);
    if (errno)
        return false;
    double fraction = 0;
    if (*end == '.') {
        double scale = 0.1;
        for (end++; isdigit((unsigned char)*end); end++, scale /= 10)
            fraction += (*end - '0') * scale;
    }
    unsigned shift = 0;
    if (*end) {
        const char *u = strchr(units, tolower((unsigned char)*end));
        if (!u || end[1])
            return false;
        shift = (unsigned)(u - units) * 10;
    }
    if ((fraction != 0 && !shift) || whole > UINT64_MAX >> shift)
        return false;
    *ret_size = (whole << shift) + (uint64_t)(fraction * (double)(1ull << shift) + 0.5);
    return true;
}

bool block_parse_bool(const char *text, bool *ret_value)
{
    static const char *const yes[] = { "on", "yes", "true", "y" }, *const no[] = { "off", "no", "false", "n" };
    for (unsigned i = 0; i < G_N_ELEMENTS(yes); i++) {
        if (!strcmp(text, yes[i]) || !strcmp(text, no[i])) {
            *ret_value = !strcmp(text, yes[i]);
            return true;
        }
    }
    return false;
}

bool block_parse_prealloc(const char *text, BlockPrealloc *ret_prealloc)
{
    static const char *const names[] = {
        [BLOCK_PREALLOC_OFF] = "off", [BLOCK_PREALLOC_METADATA] = "metadata",
        [BLOCK_PREALLOC_FALLOC] = "falloc", [BLOCK_PREALLOC_FULL] = "full",
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        if (!strcmp(text, names[i])) {
            *ret_prealloc = (BlockPrealloc)i;
            return true;
        }
    }
    return false;
}

/* The backing file is opened to see that it is an image at all, and to take its size where none was given. */
static bool check_backing(BlockCtx *ctx, const BlockCreateOpts *opts, uint64_t *ret_size, GError **err)
{
    if (!strcmp(opts->backing, opts->name)) {
        block_error(err, 0, "%s: Error: Trying to create an image with the same filename as the backing file", opts->name);
        return false;
    }
    BlockNode probe = { .name = (char *)opts->name, .backing_name = (char *)opts->backing };
    g_autofree char *path = block_backing_path(&probe);
    BlockOpenOpts open_opts = { .format = opts->backing_format, .force_share = true, .no_backing = true, .no_data_file = false };
    GError *why = NULL;
    BlockNode *node = block_open(ctx, path, &open_opts, &why);
    if (!node) {
        g_set_error(err, BLOCK_ERROR, why->code, "%s: Could not open backing file: %s", opts->name, why->message);
        g_error_free(why);
        return false;
    }
    *ret_size = block_length(node);
    block_unref(node);
    return true;
}

bool block_create(BlockCtx *ctx, const BlockCreateOpts *opts, char **ret_line, GError **err)
{
    const BlockFormat *format = block_format_find(opts->format);
    if (!format || !format->create) {
        block_error(err, 0, format ? "Format driver '%s' does not support image creation" : "Unknown file format '%s'", opts->format);
        return false;
    }
    BlockCreateOpts o = *opts;
    if (opts->backing && !(opts->backing_unsafe && opts->have_size)) {
        uint64_t size;
        if (!opts->backing_format && format->can_backing) {
            block_error(err, 0, "%s: Backing file specified without backing format; give it with -F", opts->name);
            return false;
        }
        if (!check_backing(ctx, opts, &size, err))
            return false;
        if (!o.have_size)
            o.size = size;
        o.have_size = true;
    }
    if (!o.have_size) {
        block_error(err, 0, "%s: Image creation needs a size parameter", opts->name);
        return false;
    }
    if (o.size > INT64_MAX - 4095) {
        block_error(err, 0, "%s: Image size must be less than 8 EiB!", opts->name);
        return false;
    }
    if (opts->backing_format && !opts->backing && format->can_backing) {
        block_error(err, 0, "%s: Backing format cannot be used without backing file", opts->name);
        return false;
    }
    return format->create(ctx, &o, ret_line, err);
}

char *block_create_help(const char *format)
{
    const BlockFormat *f = block_format_find(format);
    return f && f->create ? g_strdup(f->create_help) : NULL;
}
