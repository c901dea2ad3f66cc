/*
 * A small fixed amount of work, run inside the guest and, as the same static binary, natively beside it.
 * usage: workload [SCALE]. Prints "WORKLOAD kind seconds checksum"; the checksum must not depend on where it runs.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { TABLE = 1 << 16 };

static double now_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Mixed integer work: a generator, a table of 512 KiB with dependent look-ups, unpredictable branches. */
static uint64_t work_int(unsigned scale)
{
    uint64_t *table = calloc(TABLE, sizeof(*table));
    uint64_t x = 88172645463325252u, sum = 0;
    if (!table)
        return 0;
    for (uint64_t i = 0; i < 30000000u * (uint64_t)scale; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        uint64_t *slot = &table[(x + sum) % TABLE];
        if (*slot & 1)
            sum += *slot * 3;
        else
            sum ^= *slot + i;
        *slot = x;
    }
    free(table);
    return sum;
}

/* Scalar double precision: escape times of the Mandelbrot set. */
static uint64_t work_float(unsigned scale)
{
    uint64_t sum = 0;
    unsigned height = 1000 * scale;
    for (unsigned row = 0; row < height; row++)
        for (unsigned col = 0; col < 300; col++) {
            double cr = -2.0 + 3.0 * col / 300, ci = -1.0 + 2.0 * row / height, zr = 0, zi = 0;
            unsigned n = 0;
            for (; n < 1000 && zr * zr + zi * zi < 4.0; n++) {
                double t = zr * zr - zi * zi + cr;
                zi = 2.0 * zr * zi + ci;
                zr = t;
            }
            sum += n;
        }
    return sum;
}

static uint64_t work_syscall(unsigned scale)
{
    uint64_t good = 0;
    for (unsigned i = 0; i < 200000 * scale; i++)
        good += syscall(SYS_getppid) >= 0;
    return good;
}

int main(int argc, char **argv)
{
    static const struct { const char *name; uint64_t (*run)(unsigned scale); } kinds[] = {
        { "integer", work_int }, { "float", work_float }, { "syscall", work_syscall },
    };
    unsigned scale = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1;
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        double start = now_s();
        uint64_t sum = kinds[i].run(scale ? scale : 1);
        printf("WORKLOAD %s %.4f %" PRIx64 "\n", kinds[i].name, now_s() - start, sum);
        fflush(stdout);
    }
    return 0;
}
