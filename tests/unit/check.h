#pragma once
#include <stdio.h>
#include <stdlib.h>

/* For tests only: stop with the place and the condition. */
#define CHECK(cond)                                                                     \
    do {                                                                                \
        if (!(cond)) {                                                                  \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #cond);          \
            exit(1);                                                                    \
        }                                                                               \
    } while (0)
#define CHECK_EQ(a, b)                                                                  \
    do {                                                                                \
        unsigned long long a_ = (unsigned long long)(a), b_ = (unsigned long long)(b);  \
        if (a_ != b_) {                                                                 \
            fprintf(stderr, "%s:%d: %s is 0x%llx, %s is 0x%llx\n", __FILE__, __LINE__, #a, a_, #b, b_); \
            exit(1);                                                                    \
        }                                                                               \
    } while (0)
