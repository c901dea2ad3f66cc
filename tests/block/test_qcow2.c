/* Random operations on qcow2 images of every kind against a model in memory; consistency after each stretch. */
#include "tests/block/model.h"

#include <string.h>

int main(int argc, char **argv)
{
    uint32_t seed = getenv("SEED") ? (uint32_t)strtoul(getenv("SEED"), NULL, 10) : g_random_int();
    unsigned rounds = getenv("ROUNDS") ? (unsigned)atoi(getenv("ROUNDS")) : 6;
    const char *only = getenv("CONFIG");
    printf("SEED=%u ROUNDS=%u\n", seed, rounds);
    fflush(stdout);
    for (unsigned c = 0; c < n_model_configs; c++) {
        if (only && strcmp(only, model_configs[c].name))
            continue;
        GRand *rand = g_rand_new_with_seed(seed + c);
        Model m;
        model_init(&m, &model_configs[c], rand);
        for (unsigned i = 0; i < rounds; i++) {
            for (int k = 0; k < 40; k++)
                model_step(&m);
            model_compare(&m);
            model_check(&m);
        }
        model_clear(&m);
        g_rand_free(rand);
    }
    return 0;
}
