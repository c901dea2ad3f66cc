/* The parser of -d's list. */
#include <glib.h>

#include "tests/fuzz/fuzz.h"
#include "util/log.h"

static void sink(void *opaque, const char *line)
{
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *list = g_strndup((const char *)data, size);
    g_autoptr(GError) err = NULL;
    Log *log = log_new(sink, NULL);
    bool ok = log_set_items(log, list, &err);
    g_assert(ok == (err == NULL));
    log_free(log);
    return 0;
}
