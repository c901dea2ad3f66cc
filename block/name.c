/*
 * Names that describe an image: "json:{...}", as they stand in images and on command lines. The object is flattened:
 * {"file": {"filename": "x"}} is file.filename=x, and either form may be written. What each key means is the list in
 * take_common() and open_tree(); a key that nobody takes is an error.
 */
#include "block/format.h"

#include <errno.h>
#include <string.h>

enum { MAX_DEPTH = 16, MAX_KEYS = 256, MAX_KEY_BYTES = 512 };

/* ---- JSON ---- */

typedef struct Json {
    const char *p;
    GHashTable *keys;           /* char * -> char *; null is "" */
    const char *problem;
} Json;

static bool problem(Json *j, const char *what)
{
    j->problem = j->problem ? j->problem : what;
    return false;
}

static void blanks(Json *j)
{
    j->p += strspn(j->p, " \t\r\n");
}

static bool parse_escape(Json *j, GString *out)
{
    static const char from[] = "\"\\/bfnrt'", to[] = "\"\\/\b\f\n\r\t'";
    const char *at = *j->p ? strchr(from, *j->p) : NULL;
    if (at) {
        g_string_append_c(out, to[at - from]);
        j->p++;
        return true;
    }
    unsigned code = 0;
    if (*j->p++ != 'u')
        return problem(j, "bad escape in a string");
    for (int i = 0; i < 4; i++, j->p++) {
        int digit = g_ascii_xdigit_value(*j->p);
        if (digit < 0)
            return problem(j, "bad escape in a string");
        code = code << 4 | (unsigned)digit;
    }
    if (!code || !g_unichar_validate(code))
        return problem(j, "a character that no name can have");
    g_string_append_unichar(out, code);
    return true;
}

static bool parse_string(Json *j, GString *out)
{
    char quote = *j->p;
    if (quote != '"' && quote != '\'')
        return problem(j, "a string is missing");
    for (j->p++; *j->p != quote;) {
        if ((unsigned char)*j->p < 32)
            return problem(j, "a string does not end");
        if (*j->p != '\\')
            g_string_append_c(out, *j->p++);
        else if (j->p++, !parse_escape(j, out))
            return false;
    }
    j->p++;
    return true;
}

static bool put(Json *j, const char *key, const char *value)
{
    if (g_hash_table_size(j->keys) >= MAX_KEYS)
        return problem(j, "too many options");
    g_hash_table_insert(j->keys, g_strdup(key), g_strdup(value));
    return true;
}

static bool parse_value(Json *j, const char *key, unsigned depth);

static bool parse_members(Json *j, const char *key, char end, unsigned depth)
{
    for (unsigned n = 0;; n++) {
        g_autoptr(GString) name = g_string_new(key);
        blanks(j);
        if (*j->p == end && !n)
            break;
        if (name->len)
            g_string_append_c(name, '.');
        if (end == ']') {
            g_string_append_printf(name, "%u", n);
        } else {
            if (!parse_string(j, name))
                return false;
            blanks(j);
            if (*j->p++ != ':')
                return problem(j, "':' is missing");
        }
        if (name->len > MAX_KEY_BYTES)
            return problem(j, "a key is too long");
        if (!parse_value(j, name->str, depth + 1))
            return false;
        blanks(j);
        if (*j->p == end)
            break;
        if (*j->p++ != ',')
            return problem(j, "',' is missing");
    }
    j->p++;
    return true;
}

static bool parse_word(Json *j, const char *key)
{
    static const struct { const char *word, *value; } words[] = { { "true", "on" }, { "false", "off" }, { "null", "" } };
    size_t n = strspn(j->p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");
    g_autofree char *text = g_strndup(j->p, n);
    j->p += n;
    for (unsigned i = 0; i < G_N_ELEMENTS(words); i++)
        if (!strcmp(text, words[i].word))
            return put(j, key, words[i].value);
    return g_ascii_isdigit(*text) || *text == '-' ? put(j, key, text) : problem(j, "invalid keyword");
}

static bool parse_value(Json *j, const char *key, unsigned depth)
{
    blanks(j);
    if (depth > MAX_DEPTH)
        return problem(j, "too deep");
    if (*j->p == '{')
        return j->p++, parse_members(j, key, '}', depth);
    if (*j->p == '[')
        return j->p++, parse_members(j, key, ']', depth);
    if (*j->p != '"' && *j->p != '\'')
        return parse_word(j, key);
    g_autoptr(GString) s = g_string_new(NULL);
    return parse_string(j, s) && put(j, key, s->str);
}

static GHashTable *parse(const char *text, GError **err)
{
    Json j = { text, g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free), NULL };
    blanks(&j);
    bool ok = *j.p == '{' ? parse_value(&j, "", 0) : problem(&j, "it is not an object");
    if (ok)
        blanks(&j);             /* after a failure the position may be behind the end */
    if (ok && !*j.p)
        return j.keys;
    block_error(err, 0, "Could not parse the JSON options: %s", j.problem ? j.problem : "something follows the object");
    g_hash_table_destroy(j.keys);
    return NULL;
}

static void append_quoted(GString *out, const char *text, size_t len)
{
    g_string_append_c(out, '"');
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 32)
            g_string_append_printf(out, "\\u%04x", text[i]);
        else
            g_string_append_printf(out, "%s%c", text[i] == '"' || text[i] == '\\' ? "\\" : "", text[i]);
    }
    g_string_append_c(out, '"');
}

char *block_name_from_options(const char *const *list)
{
    GString *out = g_string_new("json:{");
    for (unsigned i = 0; list && list[i]; i++) {
        const char *eq = strchr(list[i], '=');
        size_t n = eq ? (size_t)(eq - list[i]) : 0;
        g_string_append(out, i ? ", " : "");
        append_quoted(out, eq ? list[i] : "file", eq ? n : 4);
        g_string_append(out, ": ");
        append_quoted(out, eq ? eq + 1 : list[i], strlen(eq ? eq + 1 : list[i]));
    }
    return g_string_append_c(out, '}'), g_string_free(out, FALSE);
}

/* ---- from keys to nodes ---- */

typedef struct Tree {
    BlockCtx *ctx;
    GHashTable *keys;           /* what is left */
} Tree;

/* The value of PREFIXkey, which is taken out; g_free it. */
static char *take(Tree *t, const char *prefix, const char *key)
{
    g_autofree char *full = g_strconcat(prefix, key, NULL);
    char *old_key = NULL, *value = NULL;
    if (!g_hash_table_steal_extended(t->keys, full, (void **)&old_key, (void **)&value))
        return NULL;
    g_free(old_key);
    return value;
}

static bool has_below(Tree *t, const char *prefix, const char *key)
{
    g_autofree char *full = g_strconcat(prefix, key, ".", NULL);
    GHashTableIter it;
    void *k;
    g_hash_table_iter_init(&it, t->keys);
    while (g_hash_table_iter_next(&it, &k, NULL))
        if (g_str_has_prefix(k, full))
            return true;
    return false;
}

static bool take_bool(Tree *t, const char *prefix, const char *key, bool *ret, GError **err)
{
    g_autofree char *text = take(t, prefix, key);
    if (!text || block_parse_bool(text, ret))
        return true;
    block_error(err, 0, "Parameter '%s' expects 'on' or 'off'", key);
    return false;
}

static bool take_size(Tree *t, const char *prefix, const char *key, uint64_t *ret, bool *ret_there, GError **err)
{
    g_autofree char *text = take(t, prefix, key);
    *ret_there |= text != NULL;
    if (!text || block_parse_size(text, ret))
        return true;
    block_error(err, 0, "Parameter '%s' expects a size", key);
    return false;
}

static bool take_word(Tree *t, const char *prefix, const char *key, const char *const *words, unsigned *ret, GError **err)
{
    g_autofree char *text = take(t, prefix, key);
    for (unsigned i = 0; text && words[i]; i++) {
        if (!strcmp(text, words[i])) {
            *ret = i;
            return true;
        }
    }
    if (text)
        block_error(err, 0, "Parameter '%s' does not accept value '%s'", key, text);
    return !text;
}

/* What every layer may have. */
static bool take_common(Tree *t, const char *prefix, BlockOpenOpts *o, GError **err)
{
    static const char *const discards[] = { "ignore", "off", "unmap", "on", NULL }, *const zeroes[] = { "off", "on", "unmap", NULL };
    static const char *const aios[] = { "io_uring", "native", "threads", NULL }, *const lockings[] = { "auto", "on", "off", NULL };
    static const char *const without_meaning[] = { "node-name", "auto-read-only", "cache.writeback" };
    bool read_only = false, direct = o->cache == BLOCK_CACHE_NONE || o->cache == BLOCK_CACHE_DIRECTSYNC, no_flush = o->cache == BLOCK_CACHE_UNSAFE;
    unsigned discard = o->discard ? 2 : 0, detect = o->detect_zeroes, aio = 0, locking = 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(without_meaning); i++)
        g_free(take(t, prefix, without_meaning[i]));
    if (!take_bool(t, prefix, "read-only", &read_only, err) || !take_bool(t, prefix, "force-share", &o->force_share, err) ||
        !take_bool(t, prefix, "cache.direct", &direct, err) || !take_bool(t, prefix, "cache.no-flush", &no_flush, err) ||
        !take_word(t, prefix, "discard", discards, &discard, err) || !take_word(t, prefix, "detect-zeroes", zeroes, &detect, err) ||
        !take_word(t, prefix, "aio", aios, &aio, err) || !take_word(t, prefix, "locking", lockings, &locking, err))
        return false;
    bool through = o->cache == BLOCK_CACHE_WRITETHROUGH || o->cache == BLOCK_CACHE_DIRECTSYNC;
    o->cache = no_flush ? BLOCK_CACHE_UNSAFE : direct ? through ? BLOCK_CACHE_DIRECTSYNC : BLOCK_CACHE_NONE :
               through ? BLOCK_CACHE_WRITETHROUGH : BLOCK_CACHE_WRITEBACK;
    o->writable &= !read_only;
    o->discard = discard >= 2;
    o->detect_zeroes = (BlockDetectZeroes)detect;
    o->no_uring |= aio == 2;
    o->no_lock |= locking == 2;
    return true;
}

static char *nbd_uri(Tree *t, const char *prefix)
{
    static const char *const old[] = { "host", "port", "path" }, *const new[] = { "server.host", "server.port", "server.path" };
    char *v[3];
    for (unsigned i = 0; i < 3; i++) {
        v[i] = take(t, prefix, new[i]);
        v[i] = v[i] ? v[i] : take(t, prefix, old[i]);
    }
    g_free(take(t, prefix, "server.type"));
    g_autofree char *name = take(t, prefix, "export"), *export = name ? g_uri_escape_string(name, "/", FALSE) : g_strdup("");
    char *uri = NULL;
    if (v[2]) {
        g_autofree char *path = g_uri_escape_string(v[2], "/", FALSE);
        uri = g_strdup_printf("nbd+unix:///%s?socket=%s", export, path);
    } else if (v[0]) {
        uri = g_strdup_printf("nbd://%s:%s/%s", v[0], v[1] ? v[1] : "10809", export);
    }
    for (unsigned i = 0; i < 3; i++)
        g_free(v[i]);
    return uri;
}

static BlockNode *open_protocol(Tree *t, const char *prefix, const char *driver, const BlockOpenOpts *o, GError **err)
{
    g_autofree char *filename = take(t, prefix, "filename");
    if (!filename && !g_strcmp0(driver, "nbd"))
        filename = nbd_uri(t, prefix);
    if (!filename || g_str_has_prefix(filename, "json:")) {
        block_error(err, 0, filename ? "a name in JSON inside of another" : "The '%s' block driver requires a file name", driver ? driver : "file");
        return NULL;
    }
    return bn_open_protocol(t->ctx, filename, o, err);
}

static bool is_protocol(const char *driver)
{
    static const char *const aliases[] = { "host_device", "host_cdrom" };
    const BlockFormat *f = driver ? block_format_find(driver) : NULL;
    return (f && f->protocol) || (driver && (!strcmp(driver, aliases[0]) || !strcmp(driver, aliases[1])));
}

static BlockNode *open_tree(Tree *t, const char *prefix, const BlockOpenOpts *base, unsigned depth, GError **err);

/* "backing": null, or a node that takes the place of what the image names. */
static bool take_backing(Tree *t, const char *prefix, const BlockOpenOpts *o, BlockNode *node, unsigned depth, GError **err)
{
    g_autofree char *ref = take(t, prefix, "backing"), *below = g_strconcat(prefix, "backing.", NULL);
    if (ref && !*ref) {
        node->opts.no_backing = true;
    } else if (ref) {
        block_error(err, 0, "Cannot find device='' nor node-name='%s'", ref);
        return false;
    } else if (has_below(t, prefix, "backing")) {
        BlockOpenOpts b = { .cache = o->cache, .force_share = o->force_share, .no_lock = o->no_lock, .discard = o->discard };
        node->backing = open_tree(t, below, &b, depth + 1, err);
        if (!node->backing)
            return false;
        if (!node->backing_name)
            node->backing_name = g_strdup(node->backing->name);
    }
    return true;
}

static BlockNode *open_format(Tree *t, const char *prefix, const char *driver, BlockOpenOpts *o, unsigned depth, GError **err)
{
    g_autofree char *ref = take(t, prefix, "file"), *below = g_strconcat(prefix, "file.", NULL);
    if (ref || !has_below(t, prefix, "file")) {
        if (ref)
            block_error(err, 0, "Cannot find device='%s' nor node-name='%s'", ref, ref);
        else
            block_error(err, 0, driver ? "A block device must be specified for \"file\"" : "Must specify either driver or file");
        return NULL;
    }
    bool there = false;
    if ((!g_strcmp0(driver, "raw") && (!take_size(t, prefix, "offset", &o->raw_offset, &there, err) ||
                                       !take_size(t, prefix, "size", &o->raw_size, &o->raw_has_size, err))))
        return NULL;
    BlockOpenOpts below_opts = *o;
    g_autofree char *data = g_strconcat(prefix, "data-file.", NULL);
    below_opts.format = NULL;
    below_opts.snapshot = NULL;
    below_opts.raw_offset = below_opts.raw_size = below_opts.raw_has_size = 0;
    BlockNode *file = open_tree(t, below, &below_opts, depth + 1, err);
    if (!file)
        return NULL;
    o->format = driver;
    bool has_data = has_below(t, prefix, "data-file");
    o->data_file = has_data ? open_tree(t, data, &below_opts, depth + 1, err) : NULL;
    BlockNode *node = has_data && !o->data_file ? NULL : bn_open_layer(file, o, err);
    block_unref(o->data_file);
    block_unref(file);
    /* The chain of the topmost node is its opener's business. */
    if (node && (!take_backing(t, prefix, o, node, depth, err) || (depth && !bn_open_chain(node, err)))) {
        block_unref(node);
        return NULL;
    }
    return node;
}

static BlockNode *open_tree(Tree *t, const char *prefix, const BlockOpenOpts *base, unsigned depth, GError **err)
{
    BlockOpenOpts o = *base;
    g_autofree char *driver = take(t, prefix, "driver");
    if (depth > MAX_DEPTH) {
        block_error(err, 0, "too many layers");
        return NULL;
    }
    if (driver && !block_format_find(driver) && !is_protocol(driver)) {
        block_error(err, 0, "Unknown driver '%s'", driver);
        return NULL;
    }
    if (!take_common(t, prefix, &o, err))
        return NULL;
    g_autofree char *filename = g_strconcat(prefix, "filename", NULL);
    bool protocol = is_protocol(driver) || (!driver && depth && (g_hash_table_contains(t->keys, filename) || !has_below(t, prefix, "file")));
    return protocol ? open_protocol(t, prefix, driver, &o, err) : open_format(t, prefix, driver, &o, depth, err);
}

BlockNode *bn_open_json(BlockCtx *ctx, const char *name, const BlockOpenOpts *opts, GError **err)
{
    GError *why = NULL;
    Tree t = { ctx, parse(name + strlen("json:"), &why) };
    if (t.keys && opts->format) {
        g_hash_table_insert(t.keys, g_strdup("driver"), g_strdup(opts->format));
    }
    BlockNode *node = t.keys ? open_tree(&t, "", opts, 0, &why) : NULL;
    if (node && g_hash_table_size(t.keys)) {
        GHashTableIter it;
        void *key;
        g_hash_table_iter_init(&it, t.keys);
        g_hash_table_iter_next(&it, &key, NULL);
        block_error(&why, 0, "Block format '%s' does not support the option '%s'", node->format->name, (char *)key);
        block_unref(node);
        node = NULL;
    }
    if (t.keys)
        g_hash_table_destroy(t.keys);
    if (!node) {
        block_error(err, 0, "Could not open '%s': %s", name, why->message);
        g_error_free(why);
    }
    return node;
}
