#pragma once
#include <stddef.h>
#include <stdint.h>

/* What libFuzzer (or replay.c) calls; a target defines it. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
