#pragma once
#include "block/format.h"

#include <stdio.h>
#include <stdlib.h>

/* Stop the test with a place and a reason. */
#define CHECK(x, ...) do { \
        if (!(x)) { \
            fprintf(stderr, "%s:%d: %s is false. ", __FILE__, __LINE__, #x); \
            fprintf(stderr, " " __VA_ARGS__); \
            fprintf(stderr, "\n"); \
            exit(1); \
        } \
    } while (0)

#define CHECK_OK(x, err) do { \
        if (!(x)) { \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #x, (err) ? (err)->message : "no reason given"); \
            exit(1); \
        } \
    } while (0)
