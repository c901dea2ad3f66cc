/* The command line: words are separated by line feeds. Nothing is opened. */
#include <glib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tools/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *line = g_strndup((const char *)data, size);
    g_auto(GStrv) argv = g_strsplit(line, "\n", 64);
    g_autofree char *text = NULL;
    GError *err = NULL;
    TandemOptions o;
    OptionsResult r = options_parse(&o, (int)g_strv_length(argv), argv, &text, &err);
    g_assert((r == OPTIONS_BAD) == (err != NULL) && (r == OPTIONS_DONE) == (text != NULL));
    g_assert(!err || *err->message);
    g_clear_error(&err);
    options_clear(&o);
    return 0;
}
