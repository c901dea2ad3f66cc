/* tandem-img: create, inspect and convert disk images. The subcommands are in tandem-img-*.c. */
#include "tools/tandem-img.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct { const char *name; ImgFn *fn; const char *args; } commands[] = {
    { "amend", img_amend, "[-q] [-p] [-f fmt] [-t cache] -o options filename" },
    { "bench", img_bench, "[-c count] [-d depth] [-f fmt] [-n] [-w] [-o offset] [-s buffer_size] [-S step_size] [-t cache] [-U] filename" },
    { "bitmap", img_bitmap, "(--merge source | --add | --remove | --clear | --enable | --disable)... [-b source_file [-F source_fmt]] [-g granularity] [-f fmt] filename bitmap" },
    { "check", img_check, "[-q] [-f fmt] [--output=human|json] [-r leaks|all] [-T src_cache] [-U] filename" },
    { "commit", img_commit, "[-q] [-f fmt] [-t cache] [-b base] [-d] [-p] filename" },
    { "compare", img_compare, "[-f fmt] [-F fmt] [-T src_cache] [-p] [-q] [-s] [-U] filename1 filename2" },
    { "convert", img_convert, "[-c] [-p] [-q] [-n] [-W] [-U] [-f fmt] [-t cache] [-T src_cache] [-O output_fmt] [-B backing_file [-F fmt]] "
                              "[-o options] [-l snapshot] [-S sparse_size] [-m workers] [-r rate] [--target-is-zero] [--bitmaps [--skip-broken-bitmaps]] [--salvage] filename [...] output_filename" },
    { "create", img_create, "[-q] [-f fmt] [-b backing_file [-F backing_fmt]] [-u] [-o options] filename [size]" },
    { "dd", img_dd, "[-f fmt] [-O output_fmt] [-U] [bs=block_size] [count=blocks] [skip=blocks] if=input of=output" },
    { "info", img_info, "[-f fmt] [--output=human|json] [--backing-chain] [-U] filename" },
    { "map", img_map, "[-f fmt] [-s offset] [-l length] [--output=human|json] [-U] filename" },
    { "measure", img_measure, "[--output=human|json] [-O output_fmt] [-o options] [--size N | [-f fmt] [-l snapshot] filename]" },
    { "rebase", img_rebase, "[-q] [-f fmt] [-t cache] [-T src_cache] [-p] [-u] -b backing_file [-F backing_fmt] filename" },
    { "resize", img_resize, "[-f fmt] [--preallocation=mode] [-q] [--shrink] filename [+|-]size" },
    { "snapshot", img_snapshot, "[-q] [-l | -a snapshot | -c snapshot | -d snapshot] [-U] filename" },
};

static void print_help(const Img *img)
{
    printf("usage: %s [standard options] command [command options]\n\n"
           "Standard options:\n  -h, --help     display this help\n  -V, --version  display the version\n\nCommands:\n", img->self);
    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++)
        printf("  %s %s\n", commands[i].name, commands[i].args);
    printf("\nFormats:");
    for (const BlockFormat *const *f = block_formats; *f; f++)
        printf(" %s", block_format_name_of(*f));
    printf("\n");
}

int img_usage(const Img *img, const char *problem)
{
    fprintf(stderr, "%s: %s\nTry '%s --help' for more information\n", img->self, problem, img->self);
    return 1;
}

int main(int argc, char **argv)
{
    g_autofree char *self = g_path_get_basename(argv[0]);
    Img img = { .self = self };
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    if (argc < 2)
        return img_usage(&img, "Not enough arguments");
    if (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help")) {
        print_help(&img);
        return 0;
    }
    if (!strcmp(argv[1], "-V") || !strcmp(argv[1], "--version")) {
        printf("%s version %s (tandem)\n", self, TANDEM_VERSION);
        return 0;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (strcmp(argv[1], commands[i].name))
            continue;
        if (argc > 2 && (!strcmp(argv[2], "-h") || !strcmp(argv[2], "--help"))) {
            printf("usage: %s %s %s\n", self, commands[i].name, commands[i].args);
            return 0;
        }
        img.ctx = block_ctx_new(0);
        int r = commands[i].fn(&img, argc - 1, argv + 1);
        block_ctx_free(img.ctx);
        return fflush(stdout) == 0 ? r : img_error(&img, "cannot write to the standard output");
    }
    g_autofree char *problem = g_strdup_printf("Command not found: %s", argv[1]);
    return img_usage(&img, problem);
}
