#include "tools/keys.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

bool opt_fail(GError **err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    g_autofree char *msg = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    g_set_error_literal(err, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, msg);
    return false;
}

static void key_clear(void *p)
{
    Key *k = p;
    g_free(k->name);
    g_free(k->value);
}

/* One element, up to a single comma; *p moves behind it. */
static char *next_element(const char **p)
{
    GString *s = g_string_new(NULL);
    const char *c = *p;
    while (*c && (*c != ',' || c[1] == ',')) {
        c += *c == ',';
        g_string_append_c(s, *c++);
    }
    *p = *c ? c + 1 : c;
    return g_string_free(s, false);
}

Keys *keys_new(const char *text, const char *implied)
{
    Keys *k = g_new0(Keys, 1);
    k->text = g_strdup(text);
    k->list = g_array_new(false, true, sizeof(Key));
    g_array_set_clear_func(k->list, key_clear);
    for (const char *p = text; *p;) {
        bool first = p == text;
        g_autofree char *e = next_element(&p);
        char *eq = strchr(e, '=');
        Key key;
        if (eq)
            key = (Key){ .name = g_strndup(e, (gsize)(eq - e)), .value = g_strdup(eq + 1) };
        else if (first && implied)
            key = (Key){ .name = g_strdup(implied), .value = g_strdup(e) };
        else
            key = (Key){ .name = g_strdup(e) };
        g_array_append_val(k->list, key);
    }
    return k;
}

void keys_free(Keys *k)
{
    if (!k)
        return;
    g_array_unref(k->list);
    g_free(k->text);
    g_free(k);
}

const char *keys_take(Keys *k, const char *name)
{
    const char *found = NULL;
    for (unsigned i = 0; i < k->list->len; i++) {
        Key *e = &g_array_index(k->list, Key, i);
        if (!strcmp(e->name, name)) {
            e->used = true;
            found = e->value ? e->value : "on";
        } else if (!e->value && g_str_has_prefix(e->name, "no") && !strcmp(e->name + 2, name)) {
            e->used = true;
            found = "off";
        }
    }
    return found;
}

bool keys_all_used(const Keys *k, const char *option, const char *known, GError **err)
{
    for (unsigned i = 0; i < k->list->len; i++) {
        const Key *e = &g_array_index(k->list, Key, i);
        if (!e->used)
            return opt_fail(err, "-%s does not know '%s'; it takes %s", option, e->name, known);
    }
    return true;
}

bool parse_bool(const char *text, const char *what, bool *ret, GError **err)
{
    static const char *const words[2][4] = { { "off", "no", "false", "0" }, { "on", "yes", "true", "1" } };
    if (!text)
        return true;
    for (unsigned v = 0; v < 2; v++) {
        for (unsigned i = 0; i < 4; i++) {
            if (!strcmp(text, words[v][i])) {
                *ret = v;
                return true;
            }
        }
    }
    return opt_fail(err, "%s takes on or off, not '%s'", what, text);
}

bool parse_number(const char *text, const char *what, uint64_t min, uint64_t max, uint64_t *ret, GError **err)
{
    guint64 v;
    if (!text)
        return true;
    bool hex = g_str_has_prefix(text, "0x") || g_str_has_prefix(text, "0X");
    if (!g_ascii_string_to_unsigned(hex ? text + 2 : text, hex ? 16 : 10, min, max, &v, NULL))
        return opt_fail(err, "%s takes a number from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT ", not '%s'", what, (guint64)min, (guint64)max, text);
    *ret = v;
    return true;
}

bool parse_size(const char *text, const char *what, uint64_t unit, uint64_t *ret, GError **err)
{
    static const char units[] = "BKMGTPE";
    if (!text)
        return true;
    char *end = NULL;
    double v = g_ascii_isdigit(*text) ? g_ascii_strtod(text, &end) : -1;
    if (v >= 0 && *end) {
        const char *u = strchr(units, g_ascii_toupper(*end));
        unit = u ? 1ull << 10 * (u - units) : 0;
        end += u && (!end[1] || !g_ascii_strcasecmp(end + 1, "iB") || (u > units && !g_ascii_strcasecmp(end + 1, "B"))) ? strlen(end) : 0;
    }
    if (v < 0 || !unit || *end || !isfinite(v) || v * (double)unit >= 0x1p63)
        return opt_fail(err, "%s takes a size such as 512M or 2G, not '%s'", what, text);
    /* Whole numbers stay exact above 2^53. */
    *ret = v == floor(v) && v < 0x1p53 ? (uint64_t)v * unit : (uint64_t)(v * (double)unit);
    return true;
}
