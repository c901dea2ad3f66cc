/* Compiled with -mfpmath=387. */
#include "benchmarks/suite/float.inc"

const Workload suite_x87[] = {
    { "nbody-x87", "x87", 30000, run_nbody, "", "a step of five bodies, on the x87 unit" },
    { "linpack-x87", "x87", 15, run_linpack, "", "a linear system of order 100, on the x87 unit" },
    { 0 },
};
