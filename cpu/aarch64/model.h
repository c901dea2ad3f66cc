#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* The models of -cpu, of machines and of programs: what the CPU announces itself to be. */
typedef struct A64Model {
    const char *name, *compatible;     /* compatible: in device trees */
    uint64_t midr;
    bool v8_0;                 /* announces no more than a Cortex-A53 or A72 has: v8.0 with CRC32, AES, SHA1 and SHA2 */
    uint8_t pauth;             /* A64_PAUTH_ */
} A64Model;

/* @text: MODEL[,pauth=on|off][,pauth-impdef=on|off], hostile; NULL: the first model. */
bool a64_model_parse(const char *text, A64Model *ret, GError **err);
/* What it takes, lines of text; the caller's. */
char *a64_models_help(void);
/* Is @midr that of a model with v8_0? */
bool a64_midr_v8_0(uint64_t midr);
