#pragma once
#include "tests/block/check.h"

/*
 * A disk and what it must contain. Random operations are done to both; after each, or at the end, they are compared.
 * Sizes are small, so that every border (cluster, L2 table, refcount block, end of disk) is met often.
 */
enum { MODEL_SNAPSHOTS = 4, MODEL_MAX = 6 << 20 };

typedef struct ModelConfig {
    const char *name;
    uint64_t size;
    const char *options[8];     /* for block_create; NULL-terminated */
    uint64_t backing;           /* size of a raw backing file with random content; 0: none */
    bool discard, no_snapshots, no_compress;
} ModelConfig;

typedef struct Model {
    const ModelConfig *config;
    BlockCtx *ctx;
    BlockNode *node;
    GRand *rand;
    char *dir, *path, *backing_path;
    uint8_t *data, *backing, *buf;
    uint64_t size;
    struct { char *name; uint8_t *data; uint64_t size; } snapshots[MODEL_SNAPSHOTS];
    unsigned ops;
} Model;

void model_init(Model *m, const ModelConfig *config, GRand *rand);
void model_clear(Model *m);
void model_open(Model *m);
void model_close(Model *m);
/* One random operation on both. */
void model_step(Model *m);
/* Everything reads as it should. */
void model_compare(Model *m);
/* No corruption; no leak either. */
void model_check(Model *m);

extern const ModelConfig model_configs[];
extern const unsigned n_model_configs;
