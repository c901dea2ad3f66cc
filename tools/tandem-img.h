#pragma once
#include "block/block.h"

#include <getopt.h>

/*
 * What the subcommands of tandem-img share. Words, options and output are those of qemu-img 7.2, seen from outside, so
 * that scripts for it run. A subcommand gets argv from its own name on and returns the exit code.
 */
typedef struct Img {
    BlockCtx *ctx;
    const char *self;           /* how we were called: prefix of messages */
    bool quiet;
} Img;

typedef int ImgFn(Img *img, int argc, char **argv);
ImgFn img_create, img_info, img_check, img_convert, img_compare, img_snapshot, img_commit, img_rebase, img_resize, img_map, img_measure,
      img_amend, img_bench, img_dd, img_bitmap;

/* One line on stderr, with our name. Return 1, the exit code. */
int img_error(const Img *img, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
int img_gerror(const Img *img, GError *err);    /* frees it */
int img_usage(const Img *img, const char *problem);
/* On stdout, unless quiet. */
void img_say(const Img *img, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
void img_progress(double fraction);             /* 0 to 1, as with -p */

/* Long options that every subcommand takes, after its own; values from here on. */
enum { IMG_OPT_IMAGE_OPTS = 256, IMG_OPT_OBJECT, IMG_OPT_OWN };
#define IMG_COMMON_LONG \
    { "help", no_argument, NULL, 'h' }, { "image-opts", no_argument, NULL, IMG_OPT_IMAGE_OPTS }, \
    { "object", required_argument, NULL, IMG_OPT_OBJECT }, { "force-share", no_argument, NULL, 'U' }, { 0 }

typedef struct ImgOpen {
    const char *format, *cache;         /* NULL: default */
    bool writable, image_opts, force_share, no_backing, repair, no_data_file, no_uring;
    const char *snapshot;
} ImgOpen;

/* NULL after a message. */
BlockNode *img_open(Img *img, const char *name, const ImgOpen *how);
/* The same of an internal snapshot, as after -l: @which is an id, a name, or "snapshot.id=I,snapshot.name=N". NULL: of the image itself. */
BlockNode *img_open_snapshot(Img *img, const char *name, const ImgOpen *how, const char *which);
bool img_parse_cache(const char *name, BlockCache *ret_cache);
/* A size argument, with a message on failure. */
bool img_size(const Img *img, const char *text, const char *what, uint64_t *ret_size);
/* Append the parts of "a=b,c=d" (",," is a comma) to a NULL-terminated array. */
void img_add_options(GPtrArray *list, const char *text);
bool img_has_help(const char *text);    /* -o help or -o ? */
int img_print_create_help(Img *img, const char *format);
bool img_json_flag(const Img *img, const char *text, bool *ret_json, bool *ret_ok);

/* A value as JSON: a{sv}, av, s, t, x, b, d. Pretty, four blanks a level. */
char *img_json(GVariant *value);
char *img_human_size(uint64_t bytes);   /* "1.5 MiB"; g_free it */
void img_print_snapshots(GPtrArray *list);
