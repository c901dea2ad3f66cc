/* Runs a fuzz target over the files named on the command line, for builds without libFuzzer. */
#include <glib.h>
#include <stdio.h>

#include "tests/fuzz/fuzz.h"

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        g_autofree char *data = NULL;
        gsize len;
        g_autoptr(GError) err = NULL;
        if (!g_file_get_contents(argv[i], &data, &len, &err)) {
            fprintf(stderr, "%s\n", err->message);
            return 1;
        }
        LLVMFuzzerTestOneInput((const uint8_t *)data, len);
    }
    printf("%d inputs\n", argc - 1);
    return 0;
}
