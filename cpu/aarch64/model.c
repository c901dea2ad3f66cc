#include "cpu/aarch64/model.h"

#include <string.h>

#include "cpu/aarch64/state.h"
#include "util/bits.h"

static const A64Model models[] = {
    { "cortex-a72", "arm,cortex-a72", 0x410fd083, true, A64_PAUTH_NONE }, { "cortex-a53", "arm,cortex-a53", 0x410fd034, true, A64_PAUTH_NONE },
    { "max", "arm,armv8", 0x000f0510, false, A64_PAUTH_QARMA5 },
};

G_GNUC_PRINTF(2, 3) static bool fail(GError **err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    g_propagate_error(err, g_error_new_valist(G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, fmt, ap));
    va_end(ap);
    return false;
}

/* False: it is not @name=; a value that is neither on nor off sets *err. */
static bool on_or_off(const char *option, const char *name, bool *io, GError **err)
{
    size_t n = strlen(name);
    if (strncmp(option, name, n) || option[n] != '=')
        return false;
    const char *v = option + n + 1;
    if (!strcmp(v, "on") || !strcmp(v, "off"))
        *io = v[1] == 'n';
    else
        fail(err, "-cpu: %s= takes on or off, not '%.64s'", name, v);
    return true;
}

static bool pauth_options(char **options, A64Model *io, GError **err)
{
    bool has = io->pauth != A64_PAUTH_NONE, pauth = has, impdef = false;
    for (char **o = options; *o; o++) {
        GError *bad = NULL;
        if (!on_or_off(*o, "pauth", &pauth, &bad) && !on_or_off(*o, "pauth-impdef", &impdef, &bad))
            return fail(err, "-cpu: no option '%.64s'; there are pauth and pauth-impdef", *o);
        if (bad) {
            g_propagate_error(err, bad);
            return false;
        }
    }
    if ((pauth && !has) || (impdef && !pauth))
        return fail(err, "-cpu: pointer authentication needs the model max, and pauth-impdef=on pointer authentication");
    io->pauth = !pauth ? A64_PAUTH_NONE : impdef ? A64_PAUTH_IMPDEF : A64_PAUTH_QARMA5;
    return true;
}

bool a64_model_parse(const char *text, A64Model *ret, GError **err)
{
    g_auto(GStrv) words = g_strsplit(text ? text : models[0].name, ",", -1);
    for (unsigned i = 0; words[0] && i < ARRAY_LEN(models); i++) {
        if (strcmp(words[0], models[i].name))
            continue;
        *ret = models[i];
        return pauth_options(words + 1, ret, err);
    }
    return fail(err, "-cpu %.64s: AArch64 has the models cortex-a72, cortex-a53 and max", text ? text : "");
}

char *a64_models_help(void)
{
    GString *s = g_string_new("models:\n");
    for (unsigned i = 0; i < ARRAY_LEN(models); i++)
        g_string_append_printf(s, "  %s%s\n", models[i].name, models[i].pauth != A64_PAUTH_NONE ? "[,pauth=on|off][,pauth-impdef=on|off]" : "");
    return g_string_free(s, false);
}

bool a64_midr_v8_0(uint64_t midr)
{
    for (unsigned i = 0; i < ARRAY_LEN(models); i++)
        if (models[i].v8_0 && models[i].midr == midr)
            return true;
    return false;
}
