/* Scalar floating point beside plain arithmetic in double precision: single precision, conversions, comparisons. */
#include <math.h>
#include <stdlib.h>

#include "benchmarks/suite/suite.h"

/* Points of the plane that stay bounded under z*z + c (Mandelbrot's set), in single precision. */
static uint64_t run_mandel(uint64_t n)
{
    enum { SIDE = 24, DEPTH = 100 };
    uint64_t sum = 0;
    for (uint64_t r = 0; r < n; r++)
        for (unsigned k = 0; k < SIDE * SIDE; k++) {
            float cx = (float)(k % SIDE) / SIDE * 3 - 2, cy = (float)(k / SIDE) / SIDE * 2 - 1, x = 0, y = 0;
            unsigned i = 0;
            for (; i < DEPTH && x * x + y * y < 4; i++) {
                float t = x * x - y * y + cx;
                y = 2 * x * y + cy;
                x = t;
            }
            sum += i + (r & 1);
        }
    return sum;
}

/* Samples of sound: from integers and back, filtered, clipped. */
static uint64_t run_filter(uint64_t n)
{
    enum { SAMPLES = 1024 };
    static const double k[3] = { 0.2, 0.6, -0.25 };
    int16_t *s = malloc(SAMPLES * sizeof(*s));
    uint64_t seed = 37, sum = 0;
    for (unsigned i = 0; s && i < SAMPLES; i++)
        s[i] = (int16_t)suite_random(&seed);
    for (uint64_t r = 0; s && r < n; r++) {
        double y1 = 0, y2 = 0;
        for (unsigned i = 0; i < SAMPLES; i++) {
            double y = k[0] * s[i] + k[1] * y1 + k[2] * y2;
            y2 = y1;
            y1 = y;
            y = fabs(y) < 0.5 ? 0 : y * 1.5;
            s[i] = (int16_t)(y > 32767 ? 32767 : y < -32768 ? -32768 : y);
            s[i] ^= (int16_t)(i * 77 + (unsigned)r);
        }
        sum = suite_mix(sum, (uint64_t)s[r % SAMPLES] & 0xffff);
    }
    free(s);
    return sum;
}

const Workload suite_single[] = {
    { "mandel", "float", 300, run_mandel, "", "Mandelbrot's set, 24 times 24 points, scalar single precision" },
    { "filter", "float", 5000, run_filter, "", "a filter over 1024 samples: conversions, comparisons, a recursion" },
    { 0 },
};
